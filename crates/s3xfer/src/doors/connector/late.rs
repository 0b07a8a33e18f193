//! [`Answers`]: the time after which the first answer over a new connection is late.
//!
//! It is compared with the waits over open connections that have brought an answer before. A distant or slow server
//! takes equally long over each of them. A server that does not serve the new connection never answers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::pool::Origin;

/// The first answer is late where fewer than [`FEW`] others are known, and at the latest. Few answers take so long.
const LATE_ANSWER: Duration = Duration::from_secs(5);

/// The shortest time after which it is late.
pub(super) const LEAST_LATE: Duration = Duration::from_millis(250);

/// A first answer is late after this multiple of the longest of the newest others.
const TIMES: u32 = 4;

/// Number of others that are compared with, and the least number.
const KEPT: usize = 16;
const FEW: usize = 6;

/// A program that asks more servers than this finds their times out again, instead of growing for ever.
const MOST_ORIGINS: usize = 1024;

/// The newest times to an answer over connections that had brought one before, of each server.
#[derive(Debug, Default)]
pub(super) struct Answers {
    newest: Mutex<HashMap<Origin, VecDeque<Duration>>>,
}

impl Answers {
    /// An answer over a connection that had brought one before began after so long.
    pub(super) fn came(&self, origin: &Origin, after: Duration) {
        let mut newest = self.newest();
        let Some(times) = newest.get_mut(origin) else {
            if newest.len() >= MOST_ORIGINS {
                newest.clear();
            }
            newest.insert(origin.clone(), VecDeque::from([after]));
            return;
        };
        if times.len() >= KEPT {
            times.pop_front();
        }
        times.push_back(after);
    }

    /// The time after which the first answer over a new connection is late.
    pub(super) fn late(&self, origin: &Origin) -> Duration {
        let newest = self.newest();
        let longest = newest.get(origin).filter(|times| times.len() >= FEW).and_then(|times| times.iter().max());
        longest.map_or(LATE_ANSWER, |longest| longest.saturating_mul(TIMES).clamp(LEAST_LATE, LATE_ANSWER))
    }

    fn newest(&self) -> MutexGuard<'_, HashMap<Origin, VecDeque<Duration>>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(host: &str) -> Origin {
        Origin { tls: false, host: host.to_owned(), port: 80, proxy: None }
    }

    #[test]
    fn the_first_answer_is_late_by_the_time_of_the_newest_others() {
        let (answers, origin, other) = (Answers::default(), origin("one"), origin("other"));
        let came = |seconds: f64, times: usize| {
            (0..times).for_each(|_| answers.came(&origin, Duration::from_secs_f64(seconds)));
            answers.late(&origin).as_secs_f64()
        };
        assert_eq!(came(0.2, 5), 5.0, "too few are known");
        assert_eq!(came(0.1, 1), 0.8);
        assert_eq!(came(3.0, 1), 5.0);
        assert_eq!(came(0.1, 15), 5.0, "the long one is among the newest");
        assert_eq!(came(0.1, 1), 0.4);
        assert_eq!(came(0.001, 16), 0.25);
        assert_eq!(answers.late(&other), LATE_ANSWER, "each server has times of its own");
    }

    #[test]
    fn what_is_known_does_not_grow_for_ever() {
        let answers = Answers::default();
        for host in 0..3 * MOST_ORIGINS {
            answers.came(&origin(&host.to_string()), Duration::ZERO);
        }
        assert!(answers.newest().len() <= MOST_ORIGINS);
    }
}
