//! [`Controller`]: how many requests to have in flight and how large a part to ask for, from what has come so far.
//!
//! The judge is the rate of one body: bytes over the time that bodies flowed. It stays the same while the link has room
//! for more of them and falls in proportion once it has none, whatever the waves of answers do to the bytes of a short
//! window. So the number of requests is doubled while the rate of a body holds. When it falls, the rates of the link
//! and of a body are known, and with them how many bodies fill the link; a request waits for its first byte part of the
//! time, so that it takes as many requests more.
//!
//! - A lower number must carry as much, or it is left again: the rate of a body may have been thought too high.
//! - More is worse on some networks. A number at which clearly less came than at a lower one is left at once, and not
//!   gone back to for a while; and where a lower number carries more, a still lower one is tried.
//! - Refused requests (503) come too fast: they follow each other more slowly ([`Pacing`]) and ask for larger parts.
//! - A window in which the requests were not there, or waited for the receiver, says nothing.
//!
//! `benches/auto` plays it on many networks, against fixed numbers and the rules of others; `docs/BENCHMARKS.md` has
//! the figures. Times are since the transfer's beginning and given by the caller.

use std::time::Duration;

use super::lateness::{Lateness, PartTimes};
use super::meter::{Mark, Meter};
use super::pacing::Pacing;
use super::split::{OnItsWay, Others, Split, split};
use crate::words::found::Found;
use crate::words::timeline::Moment;
use crate::words::verdict::Evidence;

/// The limits that the caller sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Most requests in flight; at least 1.
    pub(crate) requests: u32,
    /// Most bytes of a part; at least 1.
    pub(crate) part_bytes: u64,
}

/// Follows a transfer. See the [module](self).
#[derive(Debug, Clone)]
pub(crate) struct Controller {
    bounds: Bounds,
    meter: Meter,
    lateness: Lateness,
    part_times: PartTimes,
    pacing: Pacing,
    /// Requests to have in flight.
    target: f64,
    level: Level,
    phase: Phase,
    /// Highest rate of a body, in bytes per second; 0 while unknown.
    body_rate: f64,
    /// The beginning of the newest short look at the rate of a body.
    glance: Mark,
    /// Most that came lately.
    best: Option<Reached>,
    /// Not to be exceeded for a while, because more were worse.
    ceiling: Option<Ceiling>,
    /// Found to be needed: fewer carried less.
    needed: Option<Reached>,
    /// The newest level that was judged, to be remembered.
    judged: Option<Reached>,
    /// The findings of an earlier transfer, until they are confirmed or refuted.
    told: Option<Found>,
    /// Seconds of the next ceiling.
    ceiling_seconds: f64,
    /// Parts to be cut off where they are.
    shed: u32,
    /// Fewest bytes of a part, once requests were refused.
    least_part: f64,
    /// When a volley was refused last, and how many requests in all.
    refused_at: f64,
    refused: u64,
    /// Highest rate of a body alone or in a window of [`CALM`], and the beginning of the newest one.
    fastest: f64,
    calm: Mark,
}

/// The present number of requests.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// When it was set, what had been answered then, and how many requests it added.
    at: f64,
    answers: u64,
    added: f64,
    /// The beginning of its judgement: the new requests have answered, and excess ones have ended.
    mark: Option<Mark>,
}

/// How the number of requests moves.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The link has not been full yet. So many levels were judged.
    Opening(u32),
    /// It has been full.
    Steady,
    /// Fewer requests are tried than at that level.
    Lowered(Reached),
}

/// Bytes per second that came with so many requests, and when.
#[derive(Debug, Clone, Copy)]
struct Reached {
    requests: f64,
    rate: f64,
    at: f64,
}

#[derive(Debug, Clone, Copy)]
struct Ceiling {
    requests: f64,
    until: f64,
}

/// Requests in flight at the beginning; twice as many where answers are far away, for every step up costs one.
const FIRST: u32 = 16;
/// Seconds to the first byte from which on answers count as far away.
const FAR: f64 = 0.06;
/// Fewest requests, unless the caller wants fewer.
const FEWEST: f64 = 2.0;
/// Growth of the number of requests while the rate of a body holds; up to twice that where answers are far away.
const GROWTH: f64 = 2.0;
/// Growth once the link has been full.
const PROBE: f64 = 1.25;
/// Share of the rate of a body at the level before: above it, the link has room.
const HOLDS: f64 = 0.8;
/// The same of the first level, which is compared with the very first body.
const FIRST_HOLDS: f64 = 0.5;
/// The same once the link has been full, of the highest rate of a body.
const FREE: f64 = 0.95;
/// Requests for each that the link needs.
const SPARE: f64 = 1.3;
/// Share of the present number: if fewer are needed, fewer are tried.
const FEWER: f64 = 0.9;
/// Share of the rate at more requests: below it, fewer are too few.
const AS_MUCH: f64 = 0.95;
/// The same: above it, more were worse.
const BETTER: f64 = 1.05;
/// Number of requests, of those before, where more were worse.
const STEP_DOWN: f64 = 0.7;
/// Share of the best rate: below it, at more requests, more are worse.
const WORSE: f64 = 0.7;
/// Seconds for which the best rate counts.
const MEMORY: f64 = 10.0;
/// Seconds of the first ceiling, and of the longest one.
const CEILING: f64 = 5.0;
const LONGEST_CEILING: f64 = 60.0;
/// Share of the target that must have been in flight for a window to say something.
const USED: f64 = 0.75;
/// Share of a level's new requests whose answers make it begin.
const ANSWERED: f64 = 0.75;
/// Shortest window, in seconds.
const LEAST_WINDOW: f64 = 0.02;
/// Bytes that each body must have brought before its rate is believed, for they come in lumps.
const LUMPS: f64 = (256 << 10) as f64;
/// Seconds of a window that lumps say nothing in, for the verdict.
const CALM: f64 = 0.1;
/// Seconds after which it is believed all the same.
const LONGEST_WINDOW: f64 = 0.5;
/// Seconds after which requests that are too many are cut off.
const LONGEST_DRAIN: f64 = 1.0;
/// Seconds in which refusals are one volley, or the time to the first byte where that is longer.
const VOLLEY: f64 = 0.1;

/// Bytes of a part, where nothing speaks for another size.
const PART_BYTES: f64 = (8 << 20) as f64;
/// Fewest bytes of a part, but for the last one.
const LEAST_PART_BYTES: f64 = (1 << 20) as f64;
/// Bytes per second of a body, while nothing is known.
const BODY_RATE: f64 = 25e6;
/// Most times that a part flows as long as its first byte takes, and fewest.
const LONG: f64 = 4.0;
const SHORT: f64 = 0.5;
/// By how much the sizes of parts differ, and the multiples that spread them evenly.
const SPREAD: f64 = 0.5;
const GOLDEN: f64 = 0.618_033_988_749_894_9;
/// Parts for each request that are left at any time, so that all end together.
const WAVES: f64 = 2.0;

/// Parts for each request that are few enough to begin at once, where they are the last.
const LAST: f64 = 0.5;

/// Second requests that are always within the budget, and of how many requests one more is.
const SECOND_REQUESTS: u64 = 4;
const REQUESTS_OF_ONE_MORE: u64 = 20;

impl Controller {
    /// At the beginning of a transfer.
    pub(crate) fn new(bounds: Bounds) -> Self {
        let target = f64::from(FIRST.min(bounds.requests));
        Self {
            bounds,
            meter: Meter::default(),
            lateness: Lateness::default(),
            part_times: PartTimes::default(),
            pacing: Pacing::default(),
            target,
            level: Level { at: 0.0, answers: 0, added: target, mark: None },
            phase: Phase::Opening(0),
            body_rate: 0.0,
            glance: Mark::default(),
            best: None,
            ceiling: None,
            needed: None,
            judged: None,
            told: None,
            ceiling_seconds: CEILING,
            shed: 0,
            least_part: 0.0,
            refused_at: f64::NEG_INFINITY,
            refused: 0,
            fastest: 0.0,
            calm: Mark::default(),
        }
    }

    /// An earlier transfer to the same place has found that. To be told before the first answer; later it is ignored.
    pub(crate) fn tell(&mut self, found: Found) {
        if self.meter.answers > 0 {
            return;
        }
        let least = if found.more_are_worse { 1.0 } else { f64::from(FIRST) };
        self.target = found.requests.max(least).min(f64::from(self.bounds.requests));
        self.level.added = self.target;
        self.meter.first_byte = found.first_byte;
        self.least_part = found.least_part.min(self.bounds.part_bytes as f64);
        self.pacing = Pacing::told(found.per_second);
        self.told = Some(found);
    }

    /// Where the next transfer to the same place may begin; `None` while nothing has been judged.
    pub(crate) fn found(&self) -> Option<Found> {
        let judged = self.judged?;
        let is_full = !matches!(self.phase, Phase::Opening(_));
        let requests = match self.phase {
            // The level after it has not been judged.
            Phase::Opening(_) => judged.requests,
            Phase::Steady => self.target,
            Phase::Lowered(before) => before.requests,
        };
        let (body_rate, first_byte) = (self.body_rate, self.meter.first_byte);
        let more_are_worse = self.ceiling.is_some();
        let (per_second, least_part) = (self.pacing.per_second(), self.least_part);
        Found { requests, body_rate, first_byte, is_full, more_are_worse, per_second, least_part }.checked()
    }

    /// Requests to have in flight now.
    pub(crate) fn target(&self) -> u32 {
        // Within the bounds, so the cast is exact.
        self.target.round().clamp(1.0, f64::from(self.bounds.requests)) as u32
    }

    /// The same where `left` parts of one size have not begun, none of which can be split: a last few that begin when
    /// all others end would have the link for themselves, and cannot fill it. They begin with those before them.
    pub(crate) fn target_before(&self, left: u32) -> u32 {
        let target = self.target();
        let few = (LAST * f64::from(target)) as u32;
        match left <= few && self.ceiling.is_none() && !self.pacing.is_on() {
            true => target.saturating_add(few),
            false => target,
        }
    }

    /// Bytes of the next part, where `left` are not asked for yet.
    ///
    /// A part flows at least half as long as its first byte takes, and need not flow longer than four times as long or
    /// 8 MiB. Near the end parts become smaller, so that all end together.
    pub(crate) fn part_bytes(&self, left: u64) -> u64 {
        let first_byte = self.meter.first_byte;
        // Parts of one size that began together would end together, and all wait for answers at the same time.
        let spread = 1.0 + SPREAD * ((self.meter.sent as f64 * GOLDEN).fract() - 0.5);
        let useful = (LONG * first_byte * self.body_rate).max(PART_BYTES);
        // There may soon be twice as many that want to have a share.
        let requests = if matches!(self.phase, Phase::Opening(_)) { 2.0 * self.target } else { self.target };
        let together = left as f64 / (WAVES * requests);
        let body_rate = match self.told {
            Some(found) => found.body_rate,
            None if self.body_rate > 0.0 => self.body_rate,
            None => BODY_RATE,
        };
        let least = LEAST_PART_BYTES.max(SHORT * first_byte * body_rate).max(self.least_part);
        let bytes = (spread * useful.min(together)).max(least).min(self.bounds.part_bytes as f64).max(1.0);
        // The last ones are of one size, with no small one behind them.
        let parts = (left as f64 / bytes).round().max(1.0);
        let bytes = if parts <= WAVES * self.target { (left as f64 / parts).ceil() } else { bytes };
        (bytes as u64).min(self.bounds.part_bytes)
    }

    /// Whether everything has been asked for now.
    pub(crate) fn planned(&mut self, now: Duration, all: bool) {
        self.meter.planned(now, all);
    }

    /// The part of a verdict's evidence that is known here.
    pub(crate) fn evidence(&self) -> Evidence {
        let link_was_full = !matches!(self.phase, Phase::Opening(_));
        let (best_body_bytes_per_second, refused) = (self.fastest, self.refused);
        Evidence { best_body_bytes_per_second, link_was_full, refused, ..self.meter.evidence() }
    }

    /// This moment of the transfer's course.
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            at: Duration::try_from_secs_f64(self.meter.now).unwrap_or_default(),
            bytes: self.meter.received as u64,
            bytes_per_second: 0.0,
            requests: self.meter.in_flight,
            target: self.target(),
        }
    }

    /// When the next request may be sent: now or later. The time is taken then.
    pub(crate) fn slot(&mut self, now: Duration) -> Duration {
        self.pacing.slot(now)
    }

    /// A request is sent.
    pub(crate) fn asked(&mut self, now: Duration) {
        self.meter.asked(now);
    }

    /// Its first byte has come after `waited`.
    pub(crate) fn answered(&mut self, now: Duration, waited: Duration) {
        self.meter.answered(now, waited);
        self.lateness.answered(waited);
        if self.meter.answers == 1 {
            self.begin(waited.as_secs_f64());
        }
    }

    /// Sets the first number of requests, once the first answer has come.
    fn begin(&mut self, waited: f64) {
        if let Some(found) = self.told {
            if found.may_answer_after(waited) {
                return;
            }
            let bounds = self.bounds;
            let (meter, lateness) = (self.meter.clone(), self.lateness.clone());
            *self = Self { meter, lateness, ..Self::new(bounds) };
        }
        let far = (waited / FAR).min(2.0) * f64::from(FIRST);
        self.target = self.target.max(far.min(f64::from(self.bounds.requests)));
        self.level.added = self.target;
    }

    /// It has ended; `flowed` where it was answered.
    pub(crate) fn ended(&mut self, now: Duration, flowed: bool) {
        self.meter.ended(now, flowed);
    }

    /// It was refused for coming too fast.
    pub(crate) fn refused(&mut self, now: Duration) {
        self.meter.ended(now, false);
        self.refused += 1;
        let now = self.meter.now;
        if now - self.refused_at < self.meter.first_byte.max(VOLLEY) {
            return;
        }
        self.refused_at = now;
        self.pacing.refused(now, self.meter.sent);
        self.least_part = (2.0 * self.least_part.max(PART_BYTES / 2.0)).min(self.bounds.part_bytes as f64);
        self.phase = Phase::Steady;
    }

    /// Seconds without a first byte after which a request is late. `at_the_end` there is nothing else to ask for.
    pub(crate) fn late_after(&self, at_the_end: bool) -> Duration {
        // A second one would be one too many where they come too fast.
        Duration::from_secs_f64(self.lateness.after(at_the_end && !self.pacing.is_on()))
    }

    /// A part of `bytes` was sent in so long, by one request.
    pub(crate) fn part_sent(&mut self, bytes: u64, took: Duration) {
        self.part_times.sent(bytes, took);
    }

    /// Time after which a part of `bytes` that is sent is late; `None` while nothing says so.
    pub(crate) fn part_late_after(&self, bytes: u64) -> Option<Duration> {
        let seconds = self.part_times.late_after(bytes, self.meter.is_tail())?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// Whether one more second request is within the budget, after so many of them, where the first has `waited` so
    /// long. A third of a large budget is for those that are late by any measure, not only at the end.
    pub(crate) fn may_ask_again(&self, second_requests: u64, waited: Duration) -> bool {
        let budget = SECOND_REQUESTS + self.meter.sent / REQUESTS_OF_ONE_MORE;
        let is_late = waited.as_secs_f64() >= self.lateness.after(false);
        !self.pacing.is_on() && second_requests < if is_late { budget } else { SECOND_REQUESTS.max(2 * budget / 3) }
    }

    /// How many parts to cut off where they are, because there are too many requests; asked once.
    pub(crate) fn shed(&mut self) -> u32 {
        std::mem::take(&mut self.shed)
    }

    /// The part whose end others should fetch. To be asked when every byte has been asked for.
    pub(crate) fn split(&self, parts: impl Iterator<Item = OnItsWay>) -> Option<Split> {
        if self.pacing.is_on() || self.meter.is_held_up() {
            return None;
        }
        let least = (LEAST_PART_BYTES as u64).min(self.bounds.part_bytes);
        let others = Others {
            idle: self.target().saturating_sub(self.meter.in_flight),
            body_rate: self.meter.body_rate(),
            first_byte: self.meter.first_byte,
            least_bytes: least / 2,
        };
        split(parts, others)
    }

    /// Looks at what came: all bodies have brought `received` bytes, and `held` of them wait for the receiver. To be
    /// called whenever something came, and when it is [`due`](Self::due).
    pub(crate) fn look(&mut self, now: Duration, received: u64, held: u32) {
        self.meter.look(now, received, held);
        self.pacing.look(self.meter.now);
        self.glance();
        let calm = self.meter.since(self.calm);
        // Until the second answer comes, the first body has everything for itself.
        let was_alone = self.fastest == 0.0 && self.meter.answers > 1 && calm.bytes >= LUMPS;
        if calm.seconds >= CALM || was_alone {
            self.fastest = self.fastest.max(calm.body_rate());
            self.calm = self.meter.mark();
        }
        match self.level.mark {
            None => self.begin_judgement(),
            Some(mark) if self.meter.now >= mark.at + self.window() => self.judge(mark),
            Some(_) => {}
        }
    }

    /// When to look next, whatever happens. `at_the_end` there is nothing left to ask for, and parts may be split.
    pub(crate) fn due(&self, at_the_end: bool) -> Option<Duration> {
        if self.meter.flowing == 0 {
            return None;
        }
        let (now, window) = (self.meter.now, self.window());
        let judged = self.level.mark.map(|mark| (mark.at + window).max(now + window / 2.0));
        let is_first = matches!(self.phase, Phase::Opening(0));
        let glanced = is_first.then_some((self.glance.at + LEAST_WINDOW).max(now + LEAST_WINDOW / 2.0));
        let quiet = now - self.meter.changed_at;
        let split = at_the_end.then_some(now + LEAST_WINDOW.max(quiet / 8.0));
        let due = judged.into_iter().chain(glanced).chain(split).min_by(f64::total_cmp)?;
        // Seldom where nothing changes for long.
        Some(Duration::from_secs_f64(due.max(now + quiet / 16.0)))
    }

    /// Looks at the rate of a body in a short window: early on, few bodies have the link for themselves.
    fn glance(&mut self) {
        let since = self.meter.since(self.glance);
        if since.seconds < LEAST_WINDOW {
            return;
        }
        match since.body_rate() {
            rate if rate > 0.0 && since.bytes_of_a_body() >= LUMPS => self.body_rate = self.body_rate.max(rate),
            rate if rate > 0.0 && since.seconds < LONGEST_WINDOW => return,
            _ => {}
        }
        self.glance = self.meter.mark();
    }

    fn begin_judgement(&mut self) {
        let answers = (self.meter.answers - self.level.answers) as f64;
        let excess = self.meter.in_flight.saturating_sub(self.target());
        if excess > 0 && self.meter.now - self.level.at > LONGEST_DRAIN {
            self.shed = excess;
        }
        if excess == 0 && answers >= (self.level.added * ANSWERED).floor() {
            self.level.mark = Some(self.meter.mark());
        }
    }

    /// Seconds over which the level is judged.
    fn window(&self) -> f64 {
        let first_byte = self.meter.first_byte;
        match self.phase {
            Phase::Opening(_) => (first_byte / 8.0).max(LEAST_WINDOW),
            Phase::Steady => first_byte.max(2.0 * LEAST_WINDOW),
            // Few requests come in waves of their answers.
            Phase::Lowered(_) => 2.0 * first_byte.max(2.0 * LEAST_WINDOW),
        }
    }

    fn judge(&mut self, mark: Mark) {
        let since = self.meter.since(mark);
        if since.bytes_of_a_body() < LUMPS && since.seconds < LONGEST_WINDOW {
            return;
        }
        let (body, rate) = (since.body_rate(), since.rate());
        if body <= 0.0 || since.in_flight() < USED * self.target || self.meter.is_held_up() {
            self.level.mark = Some(self.meter.mark());
            return;
        }
        let now = Reached { requests: self.target, rate, at: self.meter.now };
        self.judged = Some(now);
        let told = self.told.take();
        let is_confirmed = told.is_some_and(|found| self.body_rate == 0.0 || found.may_flow_at(self.body_rate));
        if let Some(found) = told.filter(|_| is_confirmed) {
            self.body_rate = self.body_rate.max(found.body_rate);
        }
        if let Phase::Lowered(before) = self.phase {
            self.phase = Phase::Steady;
            if rate < AS_MUCH * before.rate {
                self.body_rate = body;
                self.needed = Some(before);
                // More were not worse: the network became better meanwhile.
                self.ceiling = None;
                return self.set(before.requests);
            }
            if rate > BETTER * before.rate && self.target > FEWEST {
                self.raise_ceiling(now);
                return self.lower(now, STEP_DOWN * self.target);
            }
        }
        self.body_rate = self.body_rate.max(body);
        let remembered = self.best.filter(|best| now.at - best.at < MEMORY);
        if let Some(best) = remembered
            && rate < WORSE * best.rate
            && self.target > BETTER * best.requests
        {
            self.raise_ceiling(best);
            self.phase = Phase::Steady;
            self.set(best.requests.max(FEWEST));
            self.shed = self.meter.in_flight.saturating_sub(self.target());
            return;
        }
        if remembered.is_none_or(|best| rate > best.rate) {
            self.best = Some(now);
        }
        let (enough, growth) = match self.phase {
            Phase::Opening(0) if is_confirmed => (FREE, GROWTH),
            Phase::Opening(0) => (FIRST_HOLDS, GROWTH),
            Phase::Opening(_) => (HOLDS, GROWTH),
            Phase::Steady | Phase::Lowered(_) => (FREE, PROBE),
        };
        if body >= enough * self.body_rate {
            let far = match self.phase {
                Phase::Opening(levels) => {
                    // Connections differ: those of this level are what the next one's are compared with.
                    self.body_rate = body;
                    self.phase = Phase::Opening(levels + 1);
                    (self.meter.first_byte / FAR).clamp(1.0, 2.0)
                }
                Phase::Steady | Phase::Lowered(_) => 1.0,
            };
            return self.set((growth * far * self.target).max(self.target + 1.0));
        }
        self.phase = Phase::Steady;
        let gaps = 1.0 + self.meter.first_byte * self.body_rate / self.part_bytes(u64::MAX) as f64;
        let needed = SPARE * gaps * rate / self.body_rate;
        let known = self.needed.filter(|known| now.at - known.at < MEMORY && rate > WORSE * known.rate);
        let least = if told.is_some() { FEWEST } else { self.target / 2.0 };
        let needed = needed.max(least).max(known.map_or(0.0, |known| known.requests));
        match needed < FEWER * self.target {
            true => self.lower(now, needed),
            false => self.level.mark = Some(self.meter.mark()),
        }
    }

    fn lower(&mut self, before: Reached, requests: f64) {
        self.phase = Phase::Lowered(before);
        self.set(requests.max(FEWEST));
    }

    fn raise_ceiling(&mut self, good: Reached) {
        self.ceiling = Some(Ceiling { requests: good.requests, until: self.meter.now + self.ceiling_seconds });
        self.ceiling_seconds = (2.0 * self.ceiling_seconds).min(LONGEST_CEILING);
    }

    fn set(&mut self, requests: f64) {
        self.ceiling = self.ceiling.filter(|ceiling| self.meter.now < ceiling.until);
        let most = self.ceiling.map_or(f64::INFINITY, |ceiling| ceiling.requests).min(f64::from(self.bounds.requests));
        let before = self.target;
        self.target = requests.max(1.0).min(most);
        let added = (self.target - before).max(0.0);
        self.level = Level { at: self.meter.now, answers: self.meter.answers, added, mark: None };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { requests: 512, part_bytes: 64 << 20 };
    const MB: f64 = 1e6;

    /// A link that all bodies share, each no faster than a connection; in steps of a millisecond.
    struct Link {
        bytes_per_second: f64,
        connection: f64,
        first_byte_ms: u64,
        /// Above so many bodies it carries a hundredth.
        collapses_above: usize,
    }

    /// A transfer over it.
    struct Played {
        controller: Controller,
        /// When each request's body begins, and the bytes that are still to come.
        requests: Vec<(u64, f64)>,
        left: u64,
        received: f64,
        ms: u64,
        peak: usize,
    }

    impl Played {
        fn new(bytes: u64) -> Self {
            let (controller, requests) = (Controller::new(BOUNDS), Vec::new());
            Self { controller, requests, left: bytes, received: 0.0, ms: 0, peak: 0 }
        }

        /// Until everything has come, or the time is over.
        fn over(&mut self, link: &Link, until_ms: u64) {
            while self.ms < until_ms && (self.left > 0 || !self.requests.is_empty()) {
                self.step(link);
            }
        }

        fn step(&mut self, link: &Link) {
            let now = Duration::from_millis(self.ms);
            for _ in 0..self.controller.shed().min(self.requests.len() as u32) {
                let (begins, left) = self.requests.pop().expect("no more than there are");
                self.controller.ended(now, begins <= self.ms);
                self.left += left as u64;
            }
            // The first answer tells how large the object is.
            let most = if self.controller.meter.answers == 0 { 1 } else { self.controller.target() };
            while self.left > 0 && self.requests.len() < most as usize {
                let bytes = self.controller.part_bytes(self.left).min(self.left);
                self.left -= bytes;
                self.controller.asked(now);
                self.requests.push((self.ms + link.first_byte_ms, bytes as f64));
            }
            self.peak = self.peak.max(self.requests.len());
            self.ms += 1;
            let now = Duration::from_millis(self.ms);
            for _ in self.requests.iter().filter(|(begins, _)| *begins == self.ms) {
                self.controller.answered(now, Duration::from_millis(link.first_byte_ms));
            }
            let flowing = self.requests.iter().filter(|(begins, _)| *begins <= self.ms).count();
            let carried =
                if flowing > link.collapses_above { link.bytes_per_second / 100.0 } else { link.bytes_per_second };
            let each = link.connection.min(carried / flowing.max(1) as f64) / 1e3;
            for (begins, left) in &mut self.requests {
                if *begins <= self.ms {
                    self.received += each.min(*left);
                    *left -= each.min(*left);
                }
            }
            let before = self.requests.len();
            self.requests.retain(|(_, left)| *left > 0.0);
            for _ in self.requests.len()..before {
                self.controller.ended(now, true);
            }
            self.controller.look(now, self.received as u64, 0);
        }
    }

    fn link(link_mb: f64, connection_mb: f64, first_byte_ms: u64) -> Link {
        let (bytes_per_second, connection) = (link_mb * MB, connection_mb * MB);
        Link { bytes_per_second, connection, first_byte_ms, collapses_above: usize::MAX }
    }

    #[test]
    fn the_last_few_parts_begin_together_unless_more_are_worse_or_too_fast() {
        let mut controller = Controller::new(BOUNDS);
        let targets = |controller: &Controller| [9, 8, 1, 0].map(|left| controller.target_before(left));
        assert_eq!(targets(&controller), [16, 24, 24, 24]);
        controller.asked(Duration::ZERO);
        controller.refused(Duration::from_millis(30));
        assert_eq!(targets(&controller), [controller.target(); 4], "they come too fast");
        let mut worse = Controller::new(BOUNDS);
        worse.raise_ceiling(Reached { requests: 8.0, rate: 1.0, at: 0.0 });
        assert_eq!(targets(&worse), [worse.target(); 4], "more are worse");
    }

    #[test]
    fn slow_connections_become_as_many_as_fill_the_link_within_a_second() {
        let mut played = Played::new(4 << 30);
        let link = link(1000.0, 10.0, 30);
        played.over(&link, 1000);
        let before = played.received;
        played.over(&link, 2000);
        assert!(played.received - before > 900.0 * MB, "{} MB", (played.received - before) / MB);
        assert!(played.peak <= 256, "{}", played.peak);
    }

    #[test]
    fn a_thin_link_keeps_few_requests_and_loses_nothing() {
        let mut played = Played::new(200 << 20);
        played.over(&link(40.0, 60.0, 30), 60_000);
        let least = f64::from(200 << 20) / (40.0 * MB);
        assert!(f64::from(u32::try_from(played.ms).unwrap()) / 1e3 < 1.06 * least, "{} ms", played.ms);
        assert!(played.peak <= 32, "{}", played.peak);
    }

    #[test]
    fn where_more_are_worse_it_goes_back_at_once_and_stays_below() {
        let mut played = Played::new(4 << 30);
        let collapsing = Link { collapses_above: 24, ..link(3000.0, 30.0, 30) };
        played.over(&collapsing, 1500);
        let before = played.received;
        played.over(&collapsing, 4500);
        // 24 connections of 30 MB/s, or the 16 that there were before it was tried.
        assert!(played.received - before > 3.0 * 430.0 * MB, "{} MB", (played.received - before) / MB);
    }

    #[test]
    fn a_link_that_comes_back_is_full_again_within_seconds() {
        let mut played = Played::new(8 << 30);
        played.over(&link(1000.0, 20.0, 30), 2000);
        played.over(&link(250.0, 20.0, 30), 4000);
        played.over(&link(1000.0, 20.0, 30), 6000);
        let before = played.received;
        played.over(&link(1000.0, 20.0, 30), 7000);
        assert!(played.received - before > 850.0 * MB, "{} MB", (played.received - before) / MB);
    }

    #[test]
    fn refused_requests_make_parts_larger_and_follow_each_other_slowly() {
        let mut controller = Controller::new(BOUNDS);
        let ms = Duration::from_millis;
        (0..20).for_each(|_| controller.asked(ms(10)));
        controller.answered(ms(40), ms(30));
        let before = controller.part_bytes(1 << 30);
        (0..15).for_each(|_| controller.refused(ms(50)));
        assert!(controller.part_bytes(1 << 30) >= PART_BYTES as u64 && before < 8 << 20, "{before}");
        (0..15).for_each(|_| controller.refused(ms(400)));
        assert_eq!(controller.part_bytes(10 << 30), 16 << 20, "one volley doubles them once");
        let slots: Vec<Duration> = (0..3).map(|_| controller.slot(ms(500))).collect();
        assert!(slots.is_sorted() && slots[2] > ms(510), "{slots:?}");
        assert!(!controller.may_ask_again(0, ms(10_000)));
    }

    #[test]
    fn a_second_transfer_begins_where_the_first_one_ended() {
        let link = link(1000.0, 10.0, 30);
        let mut first = Played::new(2 << 30);
        first.over(&link, 60_000);
        let found = first.controller.found().expect("it took seconds");
        assert!((80.0..=256.0).contains(&found.requests) && found.is_full && !found.more_are_worse, "{found:?}");
        let mut second = Played::new(2 << 30);
        second.controller.tell(found);
        second.over(&link, 300);
        assert!(second.received > 220.0 * MB, "{} MB in 270 ms", second.received / MB);
        let mut cold = Played::new(2 << 30);
        cold.over(&link, 300);
        assert!(second.received > 1.5 * cold.received, "{} MB without being told", cold.received / MB);
    }

    #[test]
    fn the_findings_of_another_network_cost_nearly_nothing() {
        for (found_on, link) in [
            (link(1000.0, 10.0, 30), link(40.0, 60.0, 120)),
            (link(40.0, 60.0, 120), link(1000.0, 10.0, 30)),
            (link(1000.0, 100.0, 30), link(1000.0, 10.0, 30)),
        ] {
            let mut first = Played::new(1 << 30);
            first.over(&found_on, 60_000);
            let (mut told, mut cold) = (Played::new(256 << 20), Played::new(256 << 20));
            told.controller.tell(first.controller.found().unwrap());
            told.over(&link, 60_000);
            cold.over(&link, 60_000);
            assert!(told.ms * 100 <= cold.ms * 103, "{} ms after {} ms", told.ms, cold.ms);
        }
    }

    #[test]
    fn findings_come_too_late_after_the_first_answer() {
        let mut played = Played::new(1 << 30);
        played.over(&link(1000.0, 10.0, 30), 40);
        let before = played.controller.target();
        let found = Found { requests: 400.0, ..found_anywhere() };
        played.controller.tell(found);
        assert_eq!(played.controller.target(), before);
        let mut never_judged = Controller::new(BOUNDS);
        never_judged.tell(found);
        assert_eq!((never_judged.target(), never_judged.found()), (400, None));
        let mut bounded = Controller::new(Bounds { requests: 5, ..BOUNDS });
        bounded.tell(found);
        assert_eq!(bounded.target(), 5);
    }

    fn found_anywhere() -> Found {
        Found {
            requests: 40.0,
            body_rate: 2e7,
            first_byte: 0.03,
            is_full: true,
            more_are_worse: false,
            per_second: None,
            least_part: 0.0,
        }
    }

    #[test]
    fn parts_that_are_left_are_of_one_size() {
        let controller = Controller::new(BOUNDS);
        let mut left = (20 << 20) + 100_000;
        let mut sizes = Vec::new();
        while left > 0 {
            let bytes = controller.part_bytes(left).min(left);
            sizes.push(bytes);
            left -= bytes;
        }
        assert!(sizes.len() >= 16, "{sizes:?}");
        assert!(sizes.iter().min().unwrap() * 5 / 4 >= *sizes.iter().max().unwrap(), "{sizes:?}");
    }

    proptest! {
        /// Whatever comes, in whatever order.
        #[test]
        fn numbers_stay_within_the_bounds(
            requests in 1_u32..600, part_bytes in 1_u64..1 << 30,
            events in prop::collection::vec((0_u8..5, 0_u64..400, any::<u32>()), 0..400),
        ) {
            let mut controller = Controller::new(Bounds { requests, part_bytes });
            let (mut now, mut received) = (Duration::ZERO, 0);
            for (event, ms, bytes) in events {
                now += Duration::from_millis(ms);
                match event {
                    0 => controller.asked(now),
                    1 => controller.answered(now, Duration::from_millis(ms)),
                    2 => controller.ended(now, bytes % 2 == 0),
                    3 => controller.refused(now),
                    _ => {
                        received += u64::from(bytes);
                        controller.look(now, received, bytes % 7);
                    }
                }
                prop_assert!((1..=requests).contains(&controller.target()));
                let part = controller.part_bytes(u64::from(bytes) << 10);
                prop_assert!((1..=part_bytes).contains(&part.max(1)));
                prop_assert!(controller.due(bytes % 2 == 0).is_none_or(|due| due > now));
                prop_assert!(controller.slot(now) >= now);
            }
        }
    }
}
