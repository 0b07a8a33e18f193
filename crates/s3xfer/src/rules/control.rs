//! [`Controller`]: the number of requests in flight and the size of parts, from the bytes that have come so far.
//!
//! The rule goes by the rate of one body: bytes divided by the time in which bodies flowed. This rate stays the same
//! while the link has room for more bodies, and falls in proportion once it has none, however the waves of answers
//! change the bytes of a short window. So the number of requests is doubled while the rate of a body holds. When the
//! rate falls, the rates of the link and of a body are known, and their quotient is the number of bodies that fill the
//! link. A request waits for its first byte part of the time, so correspondingly more requests are needed.
//!
//! - A lower number must carry as much, or it is abandoned: the rate of a body may have been estimated too high.
//! - On some networks more requests carry less. A number with clearly less throughput than a lower one is abandoned at
//!   once and avoided for a while; if a lower number carries more, a still lower one is tried.
//! - Refused requests (503) came too fast, or were too many ([`Refusals`]).
//! - A window without enough requests, or with requests that waited for the receiver, is not judged.
//!
//! `benches/auto` plays it on many networks, against fixed numbers and the rules of others; `docs/BENCHMARKS.md` has
//! the figures. Times are since the transfer's beginning and given by the caller.

use std::ops::Range;
use std::time::Duration;

use super::at_once::Beside;
use super::crest::Crest;
use super::lateness::{FEW, Lateness, PartTimes};
use super::merge::{Merged, merge};
use super::meter::{Mark, Meter};
use super::part_size::{Knowledge, LEAST_PART_BYTES, OPENED_BYTES, part_bytes};
use super::refusals::Refusals;
use super::retire::{Retired, retire, retire_among_few};
use super::split::{OnItsWay, Others, Split, split};
use crate::words::connections::Connections;
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
    /// Whether bytes are sent: a body flows from the request on then, and the answer comes after it.
    pub(crate) are_uploads: bool,
}

/// Follows a transfer. See the [module](self).
#[derive(Debug, Clone)]
pub(crate) struct Controller {
    bounds: Bounds,
    meter: Meter,
    lateness: Lateness,
    part_times: PartTimes,
    refusals: Refusals,
    /// Parts that were planned, and not asked for yet.
    unasked: u32,
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
    /// Seconds to the first answer, to be remembered; `None` before it.
    first_answer: Option<f64>,
    /// Seconds of the next ceiling.
    ceiling_seconds: f64,
    /// Bytes that are wanted in all; `None` while nobody has said so.
    wanted: Option<u64>,
    /// Seconds in which the fastest connection opened; 0 while unknown.
    round_trip: f64,
    /// Most that came with so many bodies while the link has not been full yet.
    crest: Crest,
    has_rushed: bool,
    retired: Retired,
    /// Parts to be cut off where they are.
    shed: u32,
    /// Highest rate of a body alone or in a window of [`CALM`], and the beginning of the newest one.
    fastest: f64,
    calm: Mark,
}

/// The present number of requests.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// The time when it was set, or its new requests had answered; the number of answers when it was set, and the
    /// number of requests that it added.
    at: f64,
    answers: u64,
    added: f64,
    /// The time from which the level is judged: the new requests have answered, and excess requests have ended.
    mark: Option<Mark>,
}

/// The course of the number of requests.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// The link has not been full yet. So many levels were judged.
    Opening(u32),
    /// It has been full.
    Steady,
    /// A number of requests below that level is being tried.
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
    /// Whether fewer have been tried.
    is_tried: bool,
}

/// Requests in flight at the beginning; twice as many where answers are far away, for every step up costs one.
const FIRST: u32 = 16;
/// Seconds to the first byte from which on answers count as far away.
const FAR: f64 = 0.06;
/// Fewest requests, unless the caller wants fewer.
const FEWEST: f64 = 2.0;
/// Growth of the number of requests while the rate of a body holds; up to twice that where answers are far away.
const GROWTH: f64 = 2.0;
/// Times of the first number of requests to have at most before they have answered.
const RUSH: f64 = 4.0;
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
/// The time that must be left for that: in seconds, and in answer times.
const LEAST_WORTH: f64 = 2.0;
const ANSWERS_WORTH: f64 = 8.0;
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
/// Share of the requests that flow where answers hardly come in waves.
const EVEN: f64 = 0.8;
/// The share of a level's new requests whose answers start the level.
const ANSWERED: f64 = 0.75;
/// Shortest window, in seconds.
const LEAST_WINDOW: f64 = 0.02;
/// Bytes that each body must have brought before its rate is trusted, because bytes come in bursts.
const LUMPS: f64 = (256 << 10) as f64;
/// Seconds of a window that lumps say nothing in, for the verdict.
const CALM: f64 = 0.1;
/// Seconds after which the rate is trusted nevertheless.
const LONGEST_WINDOW: f64 = 0.5;
/// Times of an answer after which requests that are too many are cut off, and the least and most seconds.
const DRAIN: f64 = 8.0;
const SHORTEST_DRAIN: f64 = 0.1;
const LONGEST_DRAIN: f64 = 1.0;

/// Connections that are late to their first answer, at least, and one for so many that have answered, from which on
/// they are not served.
const UNSERVED: u32 = 2;
const SERVED_OF_ONE_UNSERVED: u32 = 5;
/// Round trips in which a connection reaches its full rate, and the least round-trip time in seconds for which this
/// takes long.
const OPENING: f64 = 8.0;
const LONG_TRIP: f64 = 0.03;

/// Parts for each request that are few enough to begin at once, where they are the last.
const LAST: f64 = 0.5;

/// Second requests that are always within the budget, and of how many requests one more is.
const SECOND_REQUESTS: u64 = 4;
const REQUESTS_OF_ONE_MORE: u64 = 20;
/// Times of the wait that is late by any measure, after which a request is very late.
const VERY_LATE: f64 = 2.0;

impl Controller {
    /// At the beginning of a transfer.
    pub(crate) fn new(bounds: Bounds) -> Self {
        let target = f64::from(FIRST.min(bounds.requests));
        Self {
            bounds,
            meter: Meter::default(),
            lateness: Lateness::default(),
            part_times: PartTimes::default(),
            refusals: Refusals::default(),
            unasked: 0,
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
            first_answer: None,
            ceiling_seconds: CEILING,
            wanted: None,
            round_trip: 0.0,
            crest: Crest::default(),
            has_rushed: false,
            retired: Retired::default(),
            shed: 0,
            fastest: 0.0,
            calm: Mark::default(),
        }
    }

    /// Reports the findings of an earlier transfer to the same place. They are used before the first answer, and
    /// ignored later.
    pub(crate) fn tell(&mut self, found: Found) {
        if self.meter.answers > 0 {
            return;
        }
        let least = if found.more_are_worse { 1.0 } else { f64::from(FIRST) };
        self.target = found.requests.max(least).min(f64::from(self.bounds.requests));
        self.level.added = self.target;
        self.meter.first_byte = found.first_byte;
        self.refusals = Refusals::told(found.per_second, found.least_part);
        self.told = Some(found);
    }

    /// The start of the next transfer to the same place; `None` while nothing has been judged.
    pub(crate) fn found(&self) -> Option<Found> {
        // Requests that wait for their turn are never enough to be judged, and a few answers tell no pace.
        let limited = Reached { requests: self.target, rate: 0.0, at: self.meter.now };
        let is_limited = self.refusals.is_limited() && self.refusals.taken() >= FEW as u64;
        let judged = self.judged.or_else(|| is_limited.then_some(limited))?;
        let is_full = !matches!(self.phase, Phase::Opening(_));
        let requests = match self.phase {
            // The level after it has not been judged.
            Phase::Opening(_) => judged.requests,
            Phase::Steady => self.target,
            Phase::Lowered(before) => before.requests,
        };
        let (body_rate, first_byte, first_answer) = (self.body_rate, self.meter.first_byte, self.first_answer);
        let more_are_worse = self.ceiling.is_some() || self.refusals.most().is_some();
        let (per_second, least_part) = (self.refusals.pacing().to_remember(), self.least_part());
        Found { requests, body_rate, first_byte, first_answer, is_full, more_are_worse, per_second, least_part }
            .checked()
    }

    /// Requests to have in flight now.
    pub(crate) fn target(&self) -> u32 {
        // Within the bounds, so the cast is exact.
        self.target.round().clamp(1.0, f64::from(self.bounds.requests)) as u32
    }

    /// The same if `left` parts of one size have not begun and cannot be split. A few last parts that begin when all
    /// others end would have the link to themselves, and could not fill it. They begin with the parts before them.
    pub(crate) fn target_before(&self, left: u32) -> u32 {
        let target = self.target();
        let few = (LAST * f64::from(target)) as u32;
        match left <= few && self.present_ceiling().is_none() && !self.refusals.is_limited() {
            true => target.saturating_add(few),
            false => target,
        }
    }

    /// Bytes of the next part, where `left` are not asked for yet; [`part_bytes`] has the rule.
    pub(crate) fn part_bytes(&self, left: u64) -> u64 {
        let free = self.target - f64::from(self.meter.in_flight + self.unasked);
        let knowledge = Knowledge {
            sent: self.meter.sent,
            requests: self.target,
            free: free.max(1.0),
            is_opening: matches!(self.phase, Phase::Opening(_)),
            first_byte: self.meter.first_byte,
            body_rate: self.body_rate,
            told_rate: self.told.map(|found| found.body_rate),
            is_slow_to_open: self.opening() > 0.0,
            after_refusals: self.least_part(),
            per_second: self.refusals.pacing().per_second(),
        };
        part_bytes(left, &knowledge).min(self.bounds.part_bytes)
    }

    /// Fewest bytes of a part, once requests were refused.
    fn least_part(&self) -> f64 {
        self.refusals.pacing().least_part().min(self.bounds.part_bytes as f64)
    }

    /// The connections to the server at this moment. Where many are open over which it does not answer, it serves no
    /// more than those over which it does.
    pub(crate) fn connections(&mut self, Connections { round_trip, served, late }: Connections) {
        self.round_trip = round_trip.as_secs_f64();
        let most = f64::from(served.max(1));
        if late < UNSERVED.max(served.div_ceil(SERVED_OF_ONE_UNSERVED)) || self.target <= most {
            return;
        }
        self.raise_ceiling(Reached { requests: most, rate: 0.0, at: self.meter.now });
        // More requests bring no loss but also no gain, so fewer are no better.
        self.ceiling.iter_mut().for_each(|ceiling| ceiling.is_tried = true);
        self.phase = Phase::Steady;
        self.set(most);
    }

    /// Seconds in which a new connection reaches its full rate; 0 if this time is negligible.
    fn opening(&self) -> f64 {
        if self.round_trip >= LONG_TRIP { OPENING * self.round_trip } else { 0.0 }
    }

    /// Whether the connections of this level are still finding their rate.
    fn is_young(&self) -> bool {
        let opening = self.opening();
        opening > 0.0 && (self.level.mark.is_none() || self.meter.now - self.level.at < opening)
    }

    /// So many bytes are to come in all.
    pub(crate) fn wants(&mut self, bytes: u64) {
        self.wanted = Some(bytes);
    }

    /// Whether everything has been asked for now.
    pub(crate) fn planned(&mut self, now: Duration, all: bool) {
        self.meter.planned(now, all);
    }

    /// The part of a verdict's evidence that is known here.
    pub(crate) fn evidence(&self) -> Evidence {
        let link_was_full = !matches!(self.phase, Phase::Opening(_));
        let (best_body_bytes_per_second, refused) = (self.fastest, self.refusals.count());
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

    /// Whether requests wait for their turn, because some were refused.
    pub(crate) fn is_paced(&self) -> bool {
        self.refusals.pacing().is_on()
    }

    /// When the next request may be sent: its turn is taken if that is `now`. To be asked again before long, for the
    /// rate changes.
    pub(crate) fn slot(&mut self, now: Duration) -> Duration {
        self.refusals.slot(now, &self.meter)
    }

    /// A part was planned, or must be requested again, and a request for it follows.
    pub(crate) fn planned_one(&mut self) {
        self.unasked += 1;
    }

    /// So many of these are not to be asked for.
    pub(crate) fn withdrawn(&mut self, parts: u32) {
        self.unasked = self.unasked.saturating_sub(parts);
    }

    /// A request is sent, beside others.
    pub(crate) fn asked(&mut self, now: Duration) -> Beside {
        let beside = Beside { in_flight: self.meter.in_flight, refused: self.refusals.count() };
        self.unasked = self.unasked.saturating_sub(1);
        self.meter.asked(now);
        beside
    }

    /// The first byte of a request that was sent `beside` others has come after `waited`.
    pub(crate) fn answered(&mut self, now: Duration, waited: Duration, beside: Beside) {
        self.meter.answered(now, waited);
        self.lateness.answered(waited);
        if !self.bounds.are_uploads {
            self.refusals.taken_one(&self.meter, beside);
        }
        if self.meter.answers == 1 {
            self.begin(waited.as_secs_f64());
        }
    }

    /// Sets the first number of requests, once the first answer has come.
    fn begin(&mut self, waited: f64) {
        self.first_answer = Some(waited);
        if let Some(found) = self.told {
            if found.may_answer_after(waited) {
                self.first_answer = Some(found.first_answer_after(waited));
                return;
            }
            let bounds = self.bounds;
            let (meter, lateness) = (self.meter.clone(), self.lateness.clone());
            let (wanted, first_answer) = (self.wanted, self.first_answer);
            let (round_trip, unasked, refusals) = (self.round_trip, self.unasked, self.refusals.anew());
            *self = Self { meter, lateness, wanted, first_answer, round_trip, unasked, refusals, ..Self::new(bounds) };
        }
        let far = (waited / FAR).min(2.0) * f64::from(FIRST);
        self.target = self.target.max(far.min(f64::from(self.bounds.requests)));
        self.level.added = self.target;
    }

    /// It has ended; `flowed` where it was answered.
    pub(crate) fn ended(&mut self, now: Duration, flowed: bool) {
        self.meter.ended(now, flowed);
    }

    /// A request that was sent `beside` others was refused (503); `flowed` where its body had begun, as an upload's.
    pub(crate) fn refused(&mut self, now: Duration, beside: Beside, flowed: bool) {
        self.meter.ended(now, flowed);
        if self.refusals.refused(&self.meter, beside) {
            self.phase = Phase::Steady;
        }
    }

    /// Seconds without a first byte after which a request is late. `at_the_end` there is nothing else to ask for.
    pub(crate) fn late_after(&self, at_the_end: bool) -> Duration {
        // A second one would be one too many where they come too fast.
        Duration::from_secs_f64(self.lateness.after(at_the_end && !self.refusals.is_limited()))
    }

    /// A part of `bytes` was sent in so long, by one request.
    pub(crate) fn part_sent(&mut self, bytes: u64, took: Duration) {
        self.part_times.sent(bytes, took);
        self.refusals.taken_one(&self.meter, Beside::default());
    }

    /// Time after which a part of `bytes` that is sent is late; `None` while nothing says so.
    pub(crate) fn part_late_after(&self, bytes: u64) -> Option<Duration> {
        let seconds = self.part_times.late_after(bytes, self.meter.is_tail())?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// Whether another second request is within the budget, after the given number of them, if the first request has
    /// `waited` this long. A third of a large budget is reserved for requests that are late by any measure, not only at
    /// the end. A few more are for requests that are very late: a whole transfer may wait for one of them.
    pub(crate) fn may_ask_again(&self, second_requests: u64, waited: Duration) -> bool {
        let budget = SECOND_REQUESTS + self.meter.sent / REQUESTS_OF_ONE_MORE;
        let budget = match waited.as_secs_f64() / self.lateness.after(false) {
            times if times >= VERY_LATE => budget + SECOND_REQUESTS,
            times if times >= 1.0 => budget,
            _ => SECOND_REQUESTS.max(2 * budget / 3),
        };
        !self.refusals.is_limited() && second_requests < budget
    }

    /// Number of parts to cut off, because there are too many requests; given once.
    pub(crate) fn shed(&mut self) -> u32 {
        std::mem::take(&mut self.shed)
    }

    /// The `waiting` parts that are merged into larger ones, because they wait for their turn: in order, as half-open
    /// ranges of the object, none empty. `left` bytes are not requested yet.
    pub(crate) fn merge(&self, waiting: &[Range<u64>], left: u64) -> Vec<Merged> {
        // A server that does not answer at all is not limiting a rate, so larger parts do not help.
        let pacing = self.refusals.pacing();
        if !pacing.is_on() || pacing.is_silent() || waiting.len() < 2 {
            return Vec::new();
        }
        let bytes: u64 = waiting.iter().map(|part| part.end - part.start).sum();
        merge(waiting, self.part_bytes(left + bytes).max(1))
    }

    /// Whether it is time to look for connections that are far slower than others; asked for once.
    pub(crate) fn may_retire(&mut self, now: Duration) -> bool {
        !self.is_paced() && !self.meter.is_held_up() && self.retired.may_look(now.as_secs_f64(), self.meter.sent)
    }

    /// The part whose connection is to be abandoned, because another connection would bring the part much sooner.
    pub(crate) fn retire(&mut self, parts: impl Iterator<Item = OnItsWay>) -> Option<usize> {
        let index = retire(parts, self.meter.first_byte)?;
        self.retired.one();
        Some(index)
    }

    /// The same where the `parts` are too few to be compared with each other.
    pub(crate) fn retire_among_few(&mut self, parts: &[OnItsWay]) -> Option<usize> {
        let index = retire_among_few(parts, self.meter.first_byte, self.meter.body_rate())?;
        self.retired.one();
        Some(index)
    }

    /// The part whose end others should fetch. Call this when every byte has been requested.
    pub(crate) fn split(&self, parts: impl Iterator<Item = OnItsWay>) -> Option<Split> {
        if self.is_paced() || self.meter.is_held_up() {
            return None;
        }
        let least = (LEAST_PART_BYTES as u64).min(self.bounds.part_bytes);
        let others = Others {
            idle: self.target().saturating_sub(self.meter.in_flight),
            body_rate: self.meter.body_rate(),
            first_byte: self.meter.first_byte,
            least_bytes: least / 2,
            opening: self.opening(),
        };
        split(parts, others)
    }

    /// Looks at the progress: all bodies have brought `received` bytes, and `held` of them wait for the receiver. To be
    /// called whenever something came, and when it is [`due`](Self::due).
    pub(crate) fn look(&mut self, now: Duration, received: u64, held: u32) {
        self.meter.look(now, received, held);
        self.refusals.look(&self.meter);
        if self.refusals.most().is_some_and(|most| self.target > most) {
            self.phase = Phase::Steady;
            self.set(self.target);
        }
        self.glance();
        self.rush();
        self.retreat();
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

    /// The next time to look, even without news. `at_the_end` there is nothing left to ask for, and parts may be split.
    pub(crate) fn due(&self, at_the_end: bool) -> Option<Duration> {
        if self.meter.flowing == 0 {
            return None;
        }
        let (now, window) = (self.meter.now, self.window());
        let judged = self.level.mark.map(|mark| (mark.at + window).max(now + window / 2.0));
        let is_opening = matches!(self.phase, Phase::Opening(_));
        let glanced = is_opening.then_some((self.glance.at + LEAST_WINDOW).max(now + LEAST_WINDOW / 2.0));
        let quiet = now - self.meter.changed_at;
        let split = at_the_end.then_some(now + LEAST_WINDOW.max(quiet / 8.0));
        // Parts that are too many may bring nothing for long.
        let excess = self.level.mark.is_none() && self.meter.in_flight > self.target();
        let drained = excess.then_some((self.level.at + self.drain()).max(now + LEAST_WINDOW));
        let due = judged.into_iter().chain(glanced).chain(drained).chain(split).min_by(f64::total_cmp)?;
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

    /// Opens the connections of the next level while the first requests still wait, if the transfer would otherwise
    /// take many answer times. The rate of the first body is known by then.
    fn rush(&mut self) {
        let Some(wanted) = self.wanted.filter(|_| !self.refusals.is_limited() && !self.has_rushed) else {
            return;
        };
        if self.told.is_some_and(|found| found.is_full) {
            return;
        }
        // The rate of a body that has just begun says nothing where it takes long to be found.
        let is_slow_to_open = self.opening() > 0.0 && self.meter.answers > 0;
        let is_known = self.meter.flowed_seconds() >= LEAST_WINDOW && self.meter.received >= LUMPS / 4.0;
        if !matches!(self.phase, Phase::Opening(0)) || self.level.mark.is_some() || !(is_known || is_slow_to_open) {
            return;
        }
        let left = (wanted as f64 - self.meter.received).max(0.0);
        let useful = left / if is_slow_to_open { OPENED_BYTES } else { self.meter.body_rate() * self.meter.first_byte };
        self.has_rushed = true;
        self.body_rate = self.body_rate.max(self.meter.body_rate());
        let requests = useful.min(RUSH * self.target);
        if requests > self.target {
            let answers = self.meter.answers;
            self.set(requests);
            self.level.added = self.target - self.meter.flowing as f64;
            self.level.answers = answers;
        }
    }

    /// Leaves the level before it is judged, where more bodies have carried clearly less than fewer did a moment ago.
    fn retreat(&mut self) {
        // New connections have hardly begun to carry, and those before them may be done.
        if self.is_young() || !matches!(self.phase, Phase::Opening(_)) {
            return;
        }
        let Some(bodies) = self.crest.look(&self.meter) else { return };
        let gaps = 1.0 + self.meter.first_byte * self.body_rate / self.part_bytes(u64::MAX) as f64;
        let good = Reached { requests: (gaps * bodies).max(FEWEST), rate: self.crest.rate(), at: self.meter.now };
        self.raise_ceiling(good);
        self.best = Some(good);
        self.phase = Phase::Steady;
        self.set(good.requests);
        self.shed = self.meter.in_flight.saturating_sub(self.target());
    }

    fn begin_judgement(&mut self) {
        let answers = (self.meter.answers - self.level.answers) as f64;
        let excess = self.meter.in_flight.saturating_sub(self.target());
        if excess > 0 && self.meter.now - self.level.at > self.drain() {
            self.shed = excess;
            // They count until they have ended: the next look must not cut off as many again.
            self.level.at = self.meter.now;
        }
        if excess == 0 && answers >= (self.level.added * ANSWERED).floor() {
            (self.level.at, self.level.mark) = (self.meter.now, Some(self.meter.mark()));
        }
    }

    /// Seconds after which requests that are too many are cut off.
    fn drain(&self) -> f64 {
        (DRAIN * self.meter.first_byte).clamp(SHORTEST_DRAIN, LONGEST_DRAIN)
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
                // The network has improved if this number was once worse.
                self.ceiling = self.ceiling.filter(|ceiling| ceiling.requests >= before.requests);
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
            && !self.is_young()
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
        let left = self.wanted.map_or(f64::INFINITY, |wanted| wanted as f64 - self.meter.received);
        // A lower number saves requests and may gain no time, so that near the end it is not worth being tried.
        let is_worth_it = left > rate * LEAST_WORTH.max(ANSWERS_WORTH * self.meter.first_byte);
        let is_even = since.flowing() >= EVEN * since.in_flight();
        if let Some(ceiling) = self.ceiling.as_mut().filter(|ceiling| !ceiling.is_tried)
            && is_worth_it
            && is_even
            && self.target > FEWEST
        {
            // More were worse, so that fewer may be better.
            ceiling.is_tried = true;
            return self.lower(now, STEP_DOWN * self.target);
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
                    let is_free = body >= FREE * self.body_rate;
                    // Connections differ: those of the next level are compared with those of this one.
                    self.body_rate = body;
                    self.phase = Phase::Opening(levels + 1);
                    let useful = left / (body * self.meter.first_byte);
                    if self.wanted.is_some() && useful > RUSH * self.target && is_free {
                        2.0
                    } else {
                        (self.meter.first_byte / FAR).clamp(1.0, 2.0)
                    }
                }
                Phase::Steady | Phase::Lowered(_) => 1.0,
            };
            return self.set((growth * far * self.target).max(self.target + 1.0));
        }
        if self.is_young() {
            self.level.mark = Some(self.meter.mark());
            return;
        }
        let was_opening = matches!(self.phase, Phase::Opening(_));
        self.phase = Phase::Steady;
        // One body alone has carried more.
        let is_worse_than_one = rate < WORSE * self.body_rate;
        // The requests of a ramp that made it worse are cut off at once, and the parts that they leave are small.
        let cuts = was_opening && is_worse_than_one;
        let part = self.part_bytes(u64::MAX) as f64;
        let part = if cuts { part.min(left / f64::from(self.meter.in_flight)).max(1.0) } else { part };
        let gaps = 1.0 + self.meter.first_byte * self.body_rate / part;
        let bodies = rate / self.body_rate;
        let needed = SPARE * gaps * if cuts { bodies.max(1.0) } else { bodies };
        let known = self.needed.filter(|known| now.at - known.at < MEMORY && rate > WORSE * known.rate);
        let least = if told.is_some() || is_worse_than_one { FEWEST } else { self.target / 2.0 };
        let needed = needed.max(least).max(known.map_or(0.0, |known| known.requests));
        if needed >= FEWER * self.target || !(is_worse_than_one || is_worth_it) {
            self.level.mark = Some(self.meter.mark());
            return;
        }
        self.lower(now, needed);
        if cuts {
            self.shed = self.meter.in_flight.saturating_sub(self.target());
        }
    }

    fn lower(&mut self, before: Reached, requests: f64) {
        self.phase = Phase::Lowered(before);
        self.set(requests.max(FEWEST));
    }

    fn raise_ceiling(&mut self, good: Reached) {
        let until = self.meter.now + self.ceiling_seconds;
        self.ceiling = Some(Ceiling { requests: good.requests, until, is_tried: false });
        self.ceiling_seconds = (2.0 * self.ceiling_seconds).min(LONGEST_CEILING);
    }

    fn present_ceiling(&self) -> Option<Ceiling> {
        self.ceiling.filter(|ceiling| self.meter.now < ceiling.until)
    }

    fn set(&mut self, requests: f64) {
        self.ceiling = self.present_ceiling();
        let most = self.ceiling.map_or(f64::INFINITY, |ceiling| ceiling.requests).min(f64::from(self.bounds.requests));
        let most = most.min(self.refusals.most().unwrap_or(f64::INFINITY));
        let before = self.target;
        self.target = requests.max(1.0).min(most);
        let added = (self.target - before).max(0.0);
        self.level = Level { at: self.meter.now, answers: self.meter.answers, added, mark: None };
    }
}

#[cfg(test)]
#[path = "control/tests.rs"]
mod tests;
