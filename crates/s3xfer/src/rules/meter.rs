//! [`Meter`]: the work of a transfer's requests so far, in seconds of requests and in bytes.
//!
//! Times are since the transfer's beginning and given by the caller.

use std::time::Duration;

use crate::words::verdict::Evidence;

/// Counts requests, and the time they spend in flight and flowing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    pub(crate) now: f64,
    /// When a request was sent, answered or ended last.
    pub(crate) changed_at: f64,
    pub(crate) in_flight: u32,
    /// The requests among them whose bodies have begun.
    pub(crate) flowing: u32,
    /// Bodies among those that wait for the receiver, not for the network.
    pub(crate) held: u32,
    pub(crate) sent: u64,
    pub(crate) answers: u64,
    /// Mean seconds to the first byte, weighted towards the newest.
    pub(crate) first_byte: f64,
    /// Bytes of all bodies.
    pub(crate) received: f64,
    /// When the first answer came.
    first_answer_at: Option<f64>,
    /// Most that were in flight at one moment.
    peak: u32,
    /// Whether everything has been asked for.
    is_all_asked: bool,
    /// Seconds since then in which less than half of the peak was in flight, but more than nothing: after the last
    /// request a reader may be slow.
    tail: f64,
    /// Seconds of all bodies that flowed.
    flowed: f64,
    /// Seconds of all requests in flight.
    busy: f64,
}

/// A moment, and the totals by then.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark {
    pub(crate) at: f64,
    received: f64,
    flowed: f64,
    busy: f64,
}

/// Bytes and seconds since a [`Mark`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Since {
    pub(crate) seconds: f64,
    pub(crate) bytes: f64,
    flowed: f64,
    busy: f64,
}

/// Answers in the running mean of the time to the first byte.
const ANSWERS: u64 = 16;

impl Meter {
    pub(crate) fn asked(&mut self, now: Duration) {
        self.pass(now);
        self.changed_at = self.now;
        self.sent += 1;
        self.in_flight += 1;
        self.peak = self.peak.max(self.in_flight);
    }

    /// Whether everything has been asked for now: bytes may be given back.
    pub(crate) fn planned(&mut self, now: Duration, all: bool) {
        self.pass(now);
        self.is_all_asked = all;
    }

    pub(crate) fn answered(&mut self, now: Duration, waited: Duration) {
        self.pass(now);
        self.changed_at = self.now;
        self.flowing += 1;
        self.answers += 1;
        self.first_answer_at.get_or_insert(self.now);
        self.first_byte += (waited.as_secs_f64() - self.first_byte) / self.answers.min(ANSWERS) as f64;
    }

    /// A request has ended; `flowed` where its body had begun.
    pub(crate) fn ended(&mut self, now: Duration, flowed: bool) {
        self.pass(now);
        self.changed_at = self.now;
        self.in_flight = self.in_flight.saturating_sub(1);
        self.flowing = self.flowing.saturating_sub(flowed.into());
    }

    /// All bodies have brought `received` bytes, and `held` of them wait for the receiver.
    pub(crate) fn look(&mut self, now: Duration, received: u64, held: u32) {
        self.pass(now);
        self.received = received as f64;
        self.held = held;
    }

    /// Lets time pass, which never goes back.
    pub(crate) fn pass(&mut self, now: Duration) {
        let now = now.as_secs_f64().max(self.now);
        let passed = now - self.now;
        self.flowed += passed * f64::from(self.flowing);
        self.busy += passed * f64::from(self.in_flight);
        if self.is_tail() && self.in_flight > 0 {
            self.tail += passed;
        }
        self.now = now;
    }

    /// Most requests that were in flight at one moment.
    pub(crate) fn peak(&self) -> u32 {
        self.peak
    }

    /// Whether less than half of the peak is in flight, and nothing is left to ask for.
    pub(crate) fn is_tail(&self) -> bool {
        self.is_all_asked && 2 * self.in_flight < self.peak
    }

    /// Whether it is the receiver that most bodies wait for.
    pub(crate) fn is_held_up(&self) -> bool {
        self.held > 0 && 2 * self.held >= self.flowing
    }

    /// Seconds of all bodies since the beginning.
    pub(crate) fn flowed_seconds(&self) -> f64 {
        self.flowed
    }

    /// Mean rate of a body since the beginning, in bytes per second; 0 while nothing has come.
    pub(crate) fn body_rate(&self) -> f64 {
        if self.flowed > 0.0 { self.received / self.flowed } else { 0.0 }
    }

    /// The part of a verdict's evidence that requests and bodies give.
    pub(crate) fn evidence(&self) -> Evidence {
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let waiting = self.busy - self.flowed;
        Evidence {
            requests: if self.now > 0.0 { self.busy / self.now } else { 0.0 },
            body_bytes_per_second: self.body_rate(),
            first_byte: seconds(self.first_byte),
            flowed: seconds(self.first_answer_at.map_or(0.0, |at| self.now - at)),
            tail: seconds(self.tail),
            waiting_share: if self.busy > 0.0 { waiting / self.busy } else { 0.0 },
            ..Evidence::default()
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { at: self.now, received: self.received, flowed: self.flowed, busy: self.busy }
    }

    pub(crate) fn since(&self, mark: Mark) -> Since {
        Since {
            seconds: self.now - mark.at,
            bytes: self.received - mark.received,
            flowed: self.flowed - mark.flowed,
            busy: self.busy - mark.busy,
        }
    }
}

impl Since {
    /// Mean rate of a body, in bytes per second; 0 where none flowed.
    pub(crate) fn body_rate(self) -> f64 {
        if self.flowed > 0.0 { self.bytes / self.flowed } else { 0.0 }
    }

    /// Mean bytes of each body that flowed: their number is a mean over time.
    pub(crate) fn bytes_of_a_body(self) -> f64 {
        self.body_rate() * self.seconds
    }

    /// Mean bytes per second.
    pub(crate) fn rate(self) -> f64 {
        if self.seconds > 0.0 { self.bytes / self.seconds } else { 0.0 }
    }

    /// Mean number of bodies that flowed.
    pub(crate) fn flowing(self) -> f64 {
        if self.seconds > 0.0 { self.flowed / self.seconds } else { 0.0 }
    }

    /// Mean number of requests in flight.
    pub(crate) fn in_flight(self) -> f64 {
        if self.seconds > 0.0 { self.busy / self.seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_bodys_rate_is_of_the_time_in_which_bodies_flowed() {
        let mut meter = Meter::default();
        meter.asked(ms(0));
        meter.asked(ms(0));
        meter.answered(ms(100), ms(100));
        meter.answered(ms(200), ms(200));
        meter.look(ms(300), 3000, 0);
        // One flowed for 200 ms, the other for 100 ms.
        let since = meter.since(Mark::default());
        assert!((since.body_rate() - 10_000.0).abs() < 1e-6 && (since.rate() - 10_000.0).abs() < 1e-6);
        assert!((since.in_flight() - 2.0).abs() < 1e-9 && (meter.first_byte - 0.15).abs() < 1e-9);
        meter.ended(ms(300), true);
        meter.ended(ms(300), true);
        let mark = meter.mark();
        meter.look(ms(400), 3000, 0);
        assert_eq!((meter.since(mark).body_rate(), meter.since(mark).in_flight()), (0.0, 0.0));
    }

    #[test]
    fn time_does_not_go_back() {
        let mut meter = Meter::default();
        meter.asked(ms(50));
        meter.look(ms(20), 7, 1);
        assert_eq!((meter.now, meter.received), (0.05, 7.0));
    }
}
