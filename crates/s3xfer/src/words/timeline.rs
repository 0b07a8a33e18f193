//! [`Moment`]: one point of a transfer's course.

use std::time::Duration;

/// One point of a transfer's course; see [`Download::timeline`](crate::Download::timeline).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Moment {
    /// Since the transfer's beginning.
    pub at: Duration,
    /// Bytes of bodies that had come.
    pub bytes: u64,
    /// Bytes per second since the moment before.
    pub bytes_per_second: f64,
    /// Requests in flight.
    pub requests: u32,
    /// Requests that the engine wanted to have in flight.
    pub target: u32,
}

/// The moments so far: one for each period, and of a long transfer every second one, fourth one and so on.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    every: Duration,
    moments: Vec<Moment>,
}

/// Most moments that are kept.
const MOST: usize = 4096;
/// Shortest period.
const SHORTEST: Duration = Duration::from_millis(1);

impl Timeline {
    /// One moment for each period of `every`, which is at least a millisecond.
    pub(crate) fn new(every: Duration) -> Self {
        Self { every: every.max(SHORTEST), moments: Vec::new() }
    }

    /// When the next moment is due.
    pub(crate) fn due(&self) -> Duration {
        self.moments.last().map_or(Duration::ZERO, |last| last.at + self.every)
    }

    /// Takes the moment if it is due, or the `last` one.
    pub(crate) fn add(&mut self, moment: Moment, last: bool) {
        if moment.at < self.due() && !last {
            return;
        }
        self.moments.push(moment);
        if self.moments.len() > MOST {
            let mut keep = false;
            self.moments.retain(|_| {
                keep = !keep;
                keep
            });
            self.every *= 2;
        }
    }

    /// All of them, with the rates between them.
    pub(crate) fn moments(&self) -> Vec<Moment> {
        let mut moments = self.moments.clone();
        for (before, moment) in self.moments.iter().zip(moments.iter_mut().skip(1)) {
            let seconds = moment.at.saturating_sub(before.at).as_secs_f64();
            let bytes = moment.bytes.saturating_sub(before.bytes) as f64;
            moment.bytes_per_second = if seconds > 0.0 { bytes / seconds } else { 0.0 };
        }
        moments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(ms: u64) -> Moment {
        let at = Duration::from_millis(ms);
        Moment { at, bytes: 1000 * ms, bytes_per_second: 0.0, requests: 1, target: 2 }
    }

    #[test]
    fn moments_are_as_far_apart_as_asked_for_and_never_too_many() {
        let mut timeline = Timeline::new(Duration::from_millis(10));
        (0..100).for_each(|ms| timeline.add(moment(ms), false));
        timeline.add(moment(99), true);
        let moments = timeline.moments();
        assert_eq!(moments.len(), 11);
        assert!(moments[1..].iter().all(|moment| (moment.bytes_per_second - 1e6).abs() < 1.0), "{moments:?}");
        (100..200_000).for_each(|ms| timeline.add(moment(ms), false));
        let moments = timeline.moments();
        assert!((MOST / 2..=MOST).contains(&moments.len()), "{}", moments.len());
        assert!(moments.is_sorted_by_key(|moment| moment.at) && moments[0].at.is_zero());
    }
}
