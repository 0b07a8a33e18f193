//! [`Steering`]: one transfer's controller, and the parts in flight that it may cut short.
//!
//! [`Controller`] is the rule that decides. This file adds the clock, the lock, and the wake-ups.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::rules::at_once::Beside;
use crate::rules::concurrency::{Concurrency, Seen};
use crate::rules::control::{Bounds, Controller};
use crate::rules::lateness::FEW;
use crate::rules::merge::Merged;
use crate::rules::split::{OnItsWay, Split};
use crate::words::connections::Connections;
use crate::words::found::Found;
use crate::words::timeline::{Moment, Timeline};
use crate::words::verdict::Evidence;

/// A request that waits for its turn checks again after this time, because the rate may have changed.
const LONGEST_NAP: Duration = Duration::from_millis(100);

/// The number of a transfer's requests in flight, and the size of its parts.
#[derive(Debug)]
pub(crate) struct Steering {
    bounds: Bounds,
    /// If not, there are always as many requests as there may be, of parts as they are configured.
    adaptive: bool,
    state: Mutex<State>,
    started: Instant,
    /// Held by the next request if requests are sent at a limited rate; the others wait in their order.
    turn: tokio::sync::Mutex<()>,
    /// Notified when more requests may begin than before.
    more: Notify,
    /// Whether every byte has been asked for.
    at_the_end: AtomicBool,
    /// Notified when requests count as late sooner than before.
    sooner: Notify,
    /// Notified when a part was sent or has ended, and when every byte has been requested.
    parts: Notify,
}

#[derive(Debug)]
struct State {
    controller: Controller,
    /// Fewer, while it is the receiver that is behind.
    receiver: Concurrency,
    on_their_way: Vec<Arc<Span>>,
    /// Parts of one size that have not begun; `None` where parts can be split, or their number is not known.
    left: Option<u32>,
    /// Parts that are to be cut off where they are.
    shed: u32,
    /// Whether [`give_up_slow`](Steering::give_up_slow) checks the connections, because all may wait for one.
    gives_up: bool,
    answers: u64,
    second_requests: u64,
    splits: u64,
    /// `None` if it was not requested.
    timeline: Option<Timeline>,
}

/// The bytes of a part while it is fetched; its end may be cut off meanwhile.
#[derive(Debug)]
pub(crate) struct Span {
    planned: Range<u64>,
    place: Mutex<Place>,
    /// Notified when its end is cut off, and when its connection is abandoned.
    stopped: Notify,
}

#[derive(Debug, Clone)]
struct Place {
    start: u64,
    /// The first byte that was not taken yet.
    at: u64,
    end: u64,
    /// When its first answer began; after a connection was given up, the first answer since then.
    answered: Option<Instant>,
    /// The first byte that this answer was to bring.
    since: u64,
    /// The first byte of the newest answer, and the bytes of it that have come, if they are counted as they come.
    coming: Option<(u64, Arc<AtomicU64>)>,
    /// Whether its connection is given up, until the next answer begins.
    is_given_up: bool,
    /// Whether no request for it is in flight: it waits for its turn, or for the end of a pause.
    waits: bool,
}

/// A request in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct Flow {
    steering: Arc<Steering>,
    beside: Beside,
    answered: bool,
    refused: bool,
}

/// A part that others may take the end of, until it is dropped.
#[derive(Debug)]
pub(crate) struct Splittable {
    steering: Arc<Steering>,
    span: Arc<Span>,
}

/// The controller's actions, counted for the report.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Steered {
    pub(crate) second_requests: u64,
    pub(crate) splits: u64,
}

impl Steering {
    /// Always at the `bounds`, or `adaptive` within them; with a moment of the transfer's course for each period.
    pub(crate) fn new(bounds: Bounds, adaptive: bool, started: Instant, timeline: Option<Duration>) -> Arc<Self> {
        let state = Mutex::new(State {
            controller: Controller::new(bounds),
            receiver: Concurrency::new(bounds.requests),
            on_their_way: Vec::new(),
            left: None,
            shed: 0,
            gives_up: false,
            answers: 0,
            second_requests: 0,
            splits: 0,
            timeline: timeline.map(Timeline::new),
        });
        let (turn, more, sooner, parts) = (tokio::sync::Mutex::default(), Notify::new(), Notify::new(), Notify::new());
        let at_the_end = AtomicBool::new(false);
        Arc::new(Self { bounds, adaptive, state, started, turn, more, at_the_end, sooner, parts })
    }

    /// An earlier transfer to the same place has found that.
    pub(crate) fn tell(&self, found: Found) {
        if let Some(mut state) = self.state() {
            state.controller.tell(found);
        }
    }

    /// The start of the next transfer to the same place.
    pub(crate) fn found(&self) -> Option<Found> {
        self.state()?.controller.found()
    }

    /// Requests to have in flight now.
    pub(crate) fn target(&self) -> u32 {
        self.state().map_or(self.bounds.requests, |state| state.target())
    }

    /// Bytes of the next part, where `left` are not asked for; `None` where parts are as they are configured.
    pub(crate) fn part_bytes(&self, left: u64) -> Option<u64> {
        let mut state = self.state()?;
        let bytes = state.controller.part_bytes(left);
        if left > 0 {
            state.controller.planned_one();
        }
        Some(bytes)
    }

    /// A part must be requested again.
    pub(crate) fn planned_again(&self) {
        if let Some(mut state) = self.state() {
            state.controller.planned_one();
        }
    }

    /// Sets the transfer's total bytes.
    pub(crate) fn wants(&self, bytes: u64) {
        self.lock().controller.wants(bytes);
    }

    /// Whether requests wait for their turn, because some were refused.
    pub(crate) fn is_paced(&self) -> bool {
        self.state().is_some_and(|state| state.controller.is_paced())
    }

    /// Waits until one more request may be sent: one after the other, at the rate of the moment.
    pub(crate) async fn slot(&self) {
        if !self.is_paced() {
            return;
        }
        let _turn = self.turn.lock().await;
        loop {
            let now = self.started.elapsed();
            let at = self.state().map_or(now, |mut state| state.controller.slot(now));
            if at <= now {
                return;
            }
            sleep_until(self.started + at.min(now + LONGEST_NAP)).await;
        }
    }

    /// The connections to the server at this moment.
    pub(crate) fn connections(&self, connections: Connections) {
        if let Some(mut state) = self.state() {
            state.controller.connections(connections);
        }
    }

    /// A request is sent.
    pub(crate) fn asked(self: &Arc<Self>) -> Flow {
        let beside = self.lock().controller.asked(self.started.elapsed());
        Flow { steering: self.clone(), beside, answered: false, refused: false }
    }

    /// Waits until a request that was sent at `began` is late to its first byte; for ever where none ever is. Where a
    /// second request was `refused` before, it is late as soon at the end as before it, and twice as long after each
    /// further refusal.
    pub(crate) async fn late(&self, began: Instant, refused: u32) {
        if !self.adaptive {
            return std::future::pending().await;
        }
        loop {
            let mut sooner = std::pin::pin!(self.sooner.notified());
            sooner.as_mut().enable();
            let Some(late_at) = self.late_at(began, refused) else { return };
            tokio::select! {
                () = sleep_until(late_at) => {}
                () = sooner => {}
            }
        }
    }

    /// When the request is late; `None` once it is.
    fn late_at(&self, began: Instant, refused: u32) -> Option<Instant> {
        let at_the_end = refused == 0 && self.at_the_end.load(Ordering::Relaxed);
        let late_at = began + self.state()?.controller.late_after(at_the_end) * 2_u32.pow(refused.saturating_sub(1));
        (Instant::now() < late_at).then_some(late_at)
    }

    /// A part of `bytes` was sent in so long, by one request.
    pub(crate) fn part_sent(&self, bytes: u64, took: Duration) {
        if let Some(mut state) = self.state() {
            state.controller.part_sent(bytes, took);
        }
        self.parts.notify_waiters();
    }

    /// Waits until a part of `bytes` that has been sent since `began` is late; for ever where none ever is. Where no
    /// second request was to be had at `refused`, it is late again when a part has ended, or after as long again.
    pub(crate) async fn late_part(&self, began: Instant, bytes: u64, refused: Option<Instant>) {
        let mut since = refused.unwrap_or(began);
        loop {
            let mut news = std::pin::pin!(self.parts.notified());
            news.as_mut().enable();
            let late_after = self.state().and_then(|state| state.controller.part_late_after(bytes));
            match late_after.map(|late_after| since + late_after) {
                Some(late_at) if late_at <= Instant::now() => return,
                Some(late_at) => tokio::select! {
                    () = sleep_until(late_at) => {}
                    () = news => since = began,
                },
                None => {
                    news.await;
                    since = began;
                }
            }
        }
    }

    /// Whether one more request for the same bytes is within the budget, where the newest has `waited` so long; it is
    /// counted then.
    pub(crate) fn may_ask_again(&self, waited: Duration) -> bool {
        let Some(mut state) = self.state() else { return false };
        let may = state.controller.may_ask_again(state.second_requests, waited);
        state.second_requests += u64::from(may);
        may
    }

    /// Whether all bytes have been requested: from then on requests count as late sooner.
    pub(crate) fn planned(&self, all: bool) {
        self.lock().controller.planned(self.started.elapsed(), all);
        if self.at_the_end.swap(all, Ordering::Relaxed) != all && all {
            self.sooner.notify_waiters();
            self.parts.notify_waiters();
        }
    }

    /// Reports the number of unsent parts of one size that cannot be split: the last of them begin sooner.
    pub(crate) fn parts_left(&self, parts: u64) {
        if let Some(mut state) = self.state() {
            state.left = Some(u32::try_from(parts).unwrap_or(u32::MAX));
        }
    }

    /// Others may take the end of that part from now on.
    pub(crate) fn share(self: &Arc<Self>, span: &Arc<Span>) -> Splittable {
        if let Some(mut state) = self.state() {
            state.on_their_way.push(span.clone());
        }
        Splittable { steering: self.clone(), span: span.clone() }
    }

    /// Looks at the progress: the bytes of all bodies, and the number of them that wait for the receiver now.
    pub(crate) fn look(&self, received: u64, held: u32) {
        let mut state = self.lock();
        state.controller.look(self.started.elapsed(), received, held);
        state.note(false);
    }

    /// A part is done, its permit is free, and these bytes have arrived.
    pub(crate) fn part_done(&self, seen: Seen) {
        if let Some(mut state) = self.state() {
            let now = state.target();
            state.receiver.part_done(seen, now);
        }
        self.parts.notify_waiters();
    }

    /// The next time to look, even without news.
    pub(crate) fn due(&self) -> Option<Instant> {
        let at_the_end = self.at_the_end.load(Ordering::Relaxed);
        let state = self.lock();
        let noted = state.timeline.as_ref().map(Timeline::due);
        let looked = self.adaptive.then(|| state.controller.due(at_the_end || state.gives_up)).flatten();
        Some(self.started + noted.into_iter().chain(looked).min()?)
    }

    /// Completes when it is time to look: something came, or more may begin.
    pub(crate) async fn news(&self) {
        self.more.notified().await;
    }

    /// Cuts parts short that are too many or too slow, or whose end other requests should fetch. Returns the bytes to
    /// request again, and the part size for them. `left` bytes are not requested yet.
    pub(crate) fn cut_off(&self, left: u64) -> Option<(Range<u64>, u64)> {
        let mut state = self.state()?;
        state.shed += state.controller.shed();
        let may_retire = state.shed == 0 && state.controller.may_retire(self.started.elapsed());
        if state.shed == 0 && left > 0 && !may_retire {
            return None;
        }
        let parts: Vec<OnItsWay> = state.on_their_way.iter().map(|span| span.on_its_way()).collect();
        let all = |index: usize| Split { index, bytes: parts[index].left, requests: 1 };
        let retired = if may_retire { state.controller.retire(parts.iter().copied()) } else { None };
        let Split { index, bytes, requests } = match (state.shed.checked_sub(1), retired) {
            (Some(shed), _) => {
                state.shed = shed;
                let (index, _) = parts.iter().enumerate().max_by_key(|(_, part)| part.left)?;
                all(index)
            }
            (None, Some(index)) => all(index),
            (None, None) if left > 0 => return None,
            (None, None) => state.controller.split(parts.into_iter())?,
        };
        let off = state.on_their_way[index].shorten(bytes);
        if off.is_empty() {
            return None;
        }
        state.splits += 1;
        let part_bytes = (off.end - off.start).div_ceil(requests.into());
        Some((off, part_bytes))
    }

    /// Withdraws waiting parts that are to be merged into larger ones. Returns the bytes to request again, and the part
    /// size for them. `left` bytes are not requested yet.
    pub(crate) fn merge(&self, left: u64) -> Vec<(Range<u64>, u64)> {
        let Some(mut state) = self.state().filter(|state| state.controller.is_paced()) else { return Vec::new() };
        let mut waiting: Vec<Range<u64>> = state.on_their_way.iter().filter_map(|span| span.waiting()).collect();
        waiting.sort_unstable_by_key(|part| part.start);
        let mut withdrawn = Vec::new();
        for Merged { bytes, part_bytes } in state.controller.merge(&waiting, left) {
            let spans = state.on_their_way.iter().filter(|span| bytes.contains(&span.left().start));
            // Some of them may have been sent meanwhile.
            let parts: Vec<Range<u64>> = spans.filter_map(|span| span.withdraw()).collect();
            state.controller.withdrawn(u32::try_from(parts.len()).unwrap_or(u32::MAX));
            withdrawn.extend(together(parts).into_iter().map(|bytes| (bytes, part_bytes)));
        }
        withdrawn
    }

    /// Abandons the connections of parts that cannot be split, if another connection would bring the rest much sooner.
    pub(crate) fn give_up_slow(&self) {
        let Some(mut state) = self.state() else { return };
        state.gives_up = true;
        while state.controller.may_retire(self.started.elapsed()) {
            let parts: Vec<OnItsWay> = state.on_their_way.iter().map(|span| span.on_its_way()).collect();
            let retired = state.controller.retire(parts.iter().copied());
            let Some(index) = retired.or_else(|| state.controller.retire_among_few(&parts)) else { return };
            state.on_their_way[index].give_up();
            state.splits += 1;
        }
    }

    /// For the report.
    pub(crate) fn steered(&self) -> Steered {
        let State { second_requests, splits, .. } = *self.lock();
        Steered { second_requests, splits }
    }

    /// The part of a verdict's evidence that is known here, once all bodies have brought `received` bytes.
    pub(crate) fn evidence(&self, received: u64) -> Evidence {
        self.look(received, 0);
        let evidence = self.lock().controller.evidence();
        // If the number of requests was given, the right number was not searched.
        Evidence { link_was_full: self.adaptive && evidence.link_was_full, ..evidence }
    }

    /// The course of the transfer until now; empty if it was not requested.
    pub(crate) fn moments(&self) -> Vec<Moment> {
        let mut state = self.lock();
        state.note(true);
        state.timeline.as_ref().map_or_else(Vec::new, Timeline::moments)
    }

    /// `None`: nothing is decided here.
    fn state(&self) -> Option<MutexGuard<'_, State>> {
        self.adaptive.then(|| self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Neighbours become one.
fn together(mut parts: Vec<Range<u64>>) -> Vec<Range<u64>> {
    parts.sort_unstable_by_key(|part| part.start);
    let runs = parts.chunk_by(|part, next| part.end == next.start);
    runs.filter_map(|run| Some(run.first()?.start..run.last()?.end)).collect()
}

impl State {
    fn target(&self) -> u32 {
        let target = match self.left {
            Some(left) => self.controller.target_before(left),
            None => self.controller.target(),
        };
        target.min(self.receiver.target())
    }

    /// Notes this moment, if it is due or the `last` one.
    fn note(&mut self, last: bool) {
        if let Some(timeline) = &mut self.timeline {
            timeline.add(self.controller.moment(), last);
        }
    }
}

impl Flow {
    /// Its first byte has come, after `waited`.
    pub(crate) fn answered(mut self, waited: Duration) -> Self {
        let answers = {
            let mut state = self.steering.lock();
            state.controller.answered(self.steering.started.elapsed(), waited, self.beside);
            state.answers += 1;
            state.answers
        };
        self.answered = true;
        // Each of the first answers tells much about the answer time. Later ones tell little, and would wake many
        // requests.
        if answers <= FEW as u64 {
            self.steering.sooner.notify_waiters();
        }
        self.steering.more.notify_one();
        self
    }

    /// It was refused for coming too fast.
    pub(crate) fn refused(mut self) {
        let now = self.steering.started.elapsed();
        self.steering.lock().controller.refused(now, self.beside, self.answered);
        self.refused = true;
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        if self.refused {
            return;
        }
        self.steering.lock().controller.ended(self.steering.started.elapsed(), self.answered);
    }
}

impl Drop for Splittable {
    fn drop(&mut self) {
        if let Some(mut state) = self.steering.state() {
            state.on_their_way.retain(|span| !Arc::ptr_eq(span, &self.span));
        }
    }
}

impl Place {
    /// The first byte that has not come.
    fn came(&self) -> u64 {
        let coming = self.coming.as_ref().map_or(0, |(from, arrived)| from + arrived.load(Ordering::Relaxed));
        coming.clamp(self.at, self.end)
    }
}

impl Span {
    /// Half-open, in the object.
    pub(crate) fn new(planned: Range<u64>) -> Arc<Self> {
        let Range { start, end } = planned;
        let place = Place {
            start,
            at: start,
            end,
            answered: None,
            since: start,
            coming: None,
            is_given_up: false,
            waits: true,
        };
        Arc::new(Self { planned, place: Mutex::new(place), stopped: Notify::new() })
    }

    /// All its bytes before any were cut off, half-open.
    pub(crate) fn planned(&self) -> Range<u64> {
        self.planned.clone()
    }

    /// The bytes that were not taken yet, as a half-open range.
    pub(crate) fn left(&self) -> Range<u64> {
        let place = self.place();
        place.at..place.end
    }

    /// All its bytes, half-open.
    pub(crate) fn bytes(&self) -> Range<u64> {
        let place = self.place();
        place.start..place.end
    }

    /// Takes at most `most` bytes: so many of them are the caller's now.
    pub(crate) fn take(&self, most: usize) -> usize {
        let mut place = self.place();
        let taken = (place.end - place.at).min(most as u64);
        place.at += taken;
        // No more than `most`.
        taken as usize
    }

    /// An answer begins to bring the rest of it; `arrived` counts its bytes as they come, before a frame is full.
    pub(crate) fn answered(&self, arrived: Option<Arc<AtomicU64>>) {
        let mut place = self.place();
        place.answered.get_or_insert_with(Instant::now);
        place.coming = arrived.map(|arrived| (place.at, arrived));
        place.is_given_up = false;
    }

    /// Completes when there is nothing left to take because its end was cut off.
    pub(crate) async fn cut_short(&self) {
        while !self.left().is_empty() {
            self.stopped.notified().await;
        }
    }

    /// The same, and when another connection is to bring the rest.
    pub(crate) async fn stopped(&self) {
        while !self.left().is_empty() && !self.is_given_up() {
            self.stopped.notified().await;
        }
    }

    /// Whether another connection is to bring the rest.
    pub(crate) fn is_given_up(&self) -> bool {
        self.place().is_given_up
    }

    fn give_up(&self) {
        let mut place = self.place();
        (place.answered, place.since, place.coming, place.is_given_up) = (None, place.at, None, true);
        self.stopped.notify_one();
    }

    /// A request for the part was sent.
    pub(crate) fn asked(&self) {
        self.place().waits = false;
    }

    /// That request has failed, or has not brought all, and another one follows.
    pub(crate) fn asks_again(&self) {
        self.place().waits = true;
    }

    /// The bytes that are left, if no request for them is on its way.
    fn waiting(&self) -> Option<Range<u64>> {
        let place = self.place();
        (place.waits && place.at < place.end).then(|| place.at..place.end)
    }

    /// Leaves these bytes to another part.
    fn withdraw(&self) -> Option<Range<u64>> {
        let mut place = self.place();
        let left = (place.waits && place.at < place.end).then(|| place.at..place.end)?;
        place.end = place.at;
        self.stopped.notify_one();
        Some(left)
    }

    /// Cuts at most `bytes` off its end, but no bytes that were taken. Returns the cut range.
    fn shorten(&self, bytes: u64) -> Range<u64> {
        let mut place = self.place();
        let (came, end) = (place.came(), place.end);
        let is_all = end.saturating_sub(bytes) <= came;
        // The bytes of a frame that is not full are worth no wait.
        place.end = end.saturating_sub(bytes).max(if is_all { place.at } else { came });
        self.stopped.notify_one();
        place.end..end
    }

    fn on_its_way(&self) -> OnItsWay {
        let place = self.place();
        let came = place.came();
        OnItsWay {
            brought: came - place.since,
            left: place.end - came,
            flowed: place.answered.map_or(Duration::ZERO, |answered| answered.elapsed()),
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn what_is_cut_off_was_not_taken_and_what_is_taken_is_not_cut_off() {
        let span = Span::new(100..200);
        assert_eq!((span.take(30), span.left()), (30, 130..200));
        assert_eq!(span.shorten(20), 180..200);
        assert_eq!((span.take(1000), span.bytes()), (50, 100..180));
        assert_eq!(span.shorten(20), 180..180, "all of it was taken");
        let taken = Span::new(0..10);
        taken.take(4);
        assert_eq!((taken.shorten(u64::MAX), taken.bytes()), (4..10, 0..4));
    }

    #[test]
    fn bytes_that_have_come_are_not_cut_off_though_nobody_has_taken_them() {
        let (span, arrived) = (Span::new(100..200), Arc::new(AtomicU64::new(0)));
        span.answered(Some(arrived.clone()));
        span.take(10);
        arrived.store(30, Ordering::Relaxed);
        assert_eq!((span.on_its_way().brought, span.on_its_way().left), (30, 70));
        assert_eq!((span.shorten(60), span.bytes()), (140..200, 100..140));
        arrived.store(500, Ordering::Relaxed);
        assert_eq!((span.on_its_way().brought, span.on_its_way().left), (40, 0));
        assert_eq!(span.shorten(u64::MAX), 110..140, "a frame that is not full is not waited for");
    }

    #[test]
    fn whoever_waits_for_bytes_that_were_cut_off_is_told() {
        let span = Span::new(0..10);
        let mut waiting = Box::pin(span.cut_short());
        assert!((&mut waiting).now_or_never().is_none());
        span.shorten(4);
        assert!((&mut waiting).now_or_never().is_none(), "six are left");
        span.shorten(6);
        assert!(waiting.now_or_never().is_some());
    }

    #[test]
    fn a_connection_that_is_given_up_leaves_the_part_to_the_next_answer() {
        let span = Span::new(0..10);
        span.answered(None);
        span.take(3);
        let mut waiting = Box::pin(span.stopped());
        assert!((&mut waiting).now_or_never().is_none());
        span.give_up();
        assert!(waiting.now_or_never().is_some() && span.is_given_up());
        assert!(span.cut_short().now_or_never().is_none() && span.left() == (3..10), "the rest is still wanted");
        assert_eq!((span.on_its_way().brought, span.on_its_way().flowed), (0, Duration::ZERO));
        span.answered(None);
        assert!(span.stopped().now_or_never().is_none(), "the next answer is another connection's");
        span.take(2);
        assert_eq!((span.on_its_way().brought, span.on_its_way().left), (2, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_late_sooner_once_everything_has_been_asked_for() {
        let bounds = Bounds { requests: 8, part_bytes: 1 << 20, are_uploads: false };
        let steering = Steering::new(bounds, true, Instant::now(), None);
        for _ in 0..20 {
            drop(steering.asked().answered(Duration::from_millis(100)));
        }
        let began = Instant::now();
        let mut late = Box::pin(steering.late(began, 0));
        assert!(futures::poll!(&mut late).is_pending());
        tokio::time::advance(Duration::from_millis(150)).await;
        assert!(futures::poll!(&mut late).is_pending(), "others take 100 ms, and it may take twice as long");
        steering.planned(true);
        late.await;
        assert_eq!(began.elapsed(), Duration::from_millis(150));
        for (refused, ms) in [(1, 200), (2, 400), (3, 800)] {
            steering.late(began, refused).await;
            assert_eq!(began.elapsed(), Duration::from_millis(ms), "after {refused} refusals");
        }
        let fixed = Steering::new(bounds, false, Instant::now(), None);
        assert!(fixed.late(began, 0).now_or_never().is_none() && !fixed.may_ask_again(Duration::MAX));
        assert_eq!((fixed.target(), fixed.part_bytes(1 << 40), fixed.due()), (8, None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_do_not_wait_for_long_once_a_server_that_refused_everything_answers_again() {
        let bounds = Bounds { requests: 64, part_bytes: 1 << 20, are_uploads: false };
        let steering = Steering::new(bounds, true, Instant::now(), None);
        for _ in 0..100 {
            drop(steering.asked().answered(Duration::from_millis(30)));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        let over = Instant::now() + Duration::from_secs(4);
        let tasks = (0..64).map(|_| steering.clone()).map(|steering| {
            tokio::spawn(async move {
                loop {
                    steering.slot().await;
                    let flow = steering.asked();
                    if Instant::now() >= over {
                        return drop(flow.answered(Duration::from_millis(30)));
                    }
                    flow.refused();
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            })
        });
        let running: Vec<_> = tasks.collect();
        futures::future::join_all(running).await;
        let late = over.elapsed();
        assert!(late < Duration::from_secs(5), "{late:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn parts_that_wait_for_their_turn_are_withdrawn_for_larger_ones() {
        let bounds = Bounds { requests: 64, part_bytes: 64 << 20, are_uploads: false };
        let steering = Steering::new(bounds, true, Instant::now(), None);
        for _ in 0..40 {
            drop(steering.asked().answered(Duration::from_millis(30)));
        }
        tokio::time::advance(Duration::from_millis(100)).await;
        let spans: Vec<_> = (0..32_u64).map(|part| Span::new(part << 20..(part + 1) << 20)).collect();
        let _shared: Vec<_> = spans.iter().map(|span| steering.share(span)).collect();
        assert_eq!(steering.merge(0), [], "nothing was refused");
        let flows: Vec<_> = (0..16).map(|_| steering.asked()).collect();
        flows.into_iter().for_each(Flow::refused);
        // One of them has its turn.
        spans[9].asked();
        let merged = steering.merge(0);
        let all: Vec<_> = merged.iter().map(|(bytes, _)| bytes.clone()).collect();
        assert_eq!(all, [0..9 << 20, 10 << 20..32 << 20]);
        assert!(merged.iter().all(|(_, part_bytes)| *part_bytes > 1 << 20), "{merged:?}");
        assert!(spans[0].cut_short().now_or_never().is_some() && spans[9].cut_short().now_or_never().is_none());
        assert_eq!(steering.merge(31 << 20), [], "the one that is left has no neighbour");
        spans[9].asks_again();
        assert_eq!(spans[9].withdraw(), Some(9 << 20..10 << 20));
        assert_eq!(spans[9].withdraw(), None, "it has nothing left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_is_split_before_its_first_attempt_knows_the_range_of_its_answer() {
        let bounds = Bounds { requests: 8, part_bytes: 8 << 20, are_uploads: false };
        let steering = Steering::new(bounds, true, Instant::now(), None);
        // The first answer came before the crew, and the task that is to take it has not run.
        let _flow = steering.asked().answered(Duration::from_millis(20));
        let span = Span::new(0..8 << 20);
        let _shared = steering.share(&span);
        span.asked();
        tokio::time::advance(Duration::from_secs(1)).await;
        steering.look(1 << 20, 0);
        let (off, _) = steering.cut_off(0).unwrap();
        assert!(span.left() == (0..off.start) && span.planned() == (0..8 << 20), "{off:?}");
    }

    #[test]
    fn the_end_of_a_part_goes_to_others_only_when_nothing_else_is_left() {
        let bounds = Bounds { requests: 8, part_bytes: 8 << 20, are_uploads: false };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let steering = Steering::new(bounds, true, Instant::now(), None);
            let _flow = steering.asked().answered(Duration::from_millis(20));
            let span = Span::new(0..8 << 20);
            let shared = steering.share(&span);
            span.answered(None);
            span.take(1 << 20);
            tokio::time::advance(Duration::from_secs(1)).await;
            steering.look(1 << 20, 0);
            assert_eq!(steering.cut_off(1), None, "there is something to ask for");
            let (off, part_bytes) = steering.cut_off(0).unwrap();
            assert!(off.end == 8 << 20 && span.bytes() == (0..off.start), "{off:?}");
            assert!(part_bytes < off.end - off.start && steering.steered().splits == 1);
            drop(shared);
            assert_eq!(steering.cut_off(0), None, "it is done");
        });
    }
}
