//! The choice of a part to split: near the end of a transfer, idle requests can fetch the end of a slow part.
//!
//! No byte is fetched twice: the part keeps the bytes that it will have brought by the time the others are done, and
//! its connection ends there.

use std::time::Duration;

/// A part on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnItsWay {
    /// Bytes that it has brought.
    pub(crate) brought: u64,
    /// Bytes that are still to come.
    pub(crate) left: u64,
    /// Since its answer began; zero before.
    pub(crate) flowed: Duration,
}

/// The ability of other requests to fetch an end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Others {
    /// Requests that have nothing to ask for.
    pub(crate) idle: u32,
    /// Bytes per second that a body brings.
    pub(crate) body_rate: f64,
    /// Seconds to the first byte.
    pub(crate) first_byte: f64,
    /// Fewest bytes that are worth a request.
    pub(crate) least_bytes: u64,
    /// Seconds in which a new body reaches its full rate: until then its rate grows anyway.
    pub(crate) opening: f64,
}

/// An end that is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Split {
    /// Index of the part among the given ones.
    pub(crate) index: usize,
    /// Bytes of the end.
    pub(crate) bytes: u64,
    /// Requests that share them.
    pub(crate) requests: u32,
}

/// Most requests that share one end. There may be others in a moment.
const MOST: f64 = 4.0;
/// A part that flows for less has no rate of its own, in seconds.
const YOUNG: f64 = 0.02;
/// The share of the time to full rate in which a body brings almost nothing.
const OPENED: f64 = 0.75;
/// Bytes that come together.
const LUMP: u64 = 256 << 10;
/// A part crawls that takes so many seconds more, and brings more than so many bytes.
const CRAWL: f64 = 0.5;
const FEW: u64 = 64 << 10;
/// Times of the mean time to the first byte: a new connection takes longer, and the last of several longer still.
const CAUTION: f64 = 1.2;
/// Least gain: so many seconds, and that share of the time without a split.
const GAIN: f64 = 0.02;
const GAIN_SHARE: f64 = 0.25;

/// The slowest of the `parts`, where others that fetch its end gain time.
pub(crate) fn split(parts: impl Iterator<Item = OnItsWay>, others: Others) -> Option<Split> {
    let rate_of = |part: &OnItsWay| match part.flowed.as_secs_f64() {
        // Bytes come in lumps: those of the next one may be on their way.
        seconds if seconds > YOUNG => part.brought.max(LUMP) as f64 / (seconds - OPENED * others.opening),
        _ => others.body_rate,
    };
    let settled = parts.enumerate().filter(|(_, part)| part.flowed.as_secs_f64() >= others.opening);
    let timed = settled.map(|(index, part)| (index, part, rate_of(&part)));
    let timed =
        timed.filter(|(_, _, rate)| *rate > 0.0).map(|(index, part, rate)| (index, part, part.left as f64 / rate));
    let (index, part, seconds) = timed.max_by(|one, other| one.2.total_cmp(&other.2))?;
    let left = part.left as f64;
    let worth = (left / others.least_bytes.max(1) as f64).floor() - 1.0;
    // However little is left of a part that crawls: one request is worth it.
    let crawls = part.left > FEW && seconds > CRAWL;
    let requests = f64::from(others.idle).min(worth.max(f64::from(u8::from(crawls)))).min(MOST);
    if requests < 1.0 {
        return None;
    }
    let own_rate = left / seconds;
    let rate = others.body_rate.max(own_rate);
    let first_byte = CAUTION * others.first_byte;
    // All end at the same time t: own_rate t + requests rate (t - first_byte) = left.
    let together = (left + requests * rate * first_byte) / (own_rate + requests * rate);
    if together <= first_byte || seconds - together < GAIN.max(GAIN_SHARE * seconds) {
        return None;
    }
    // At most `left` and 4, and not negative.
    Some(Split { index, bytes: (left - own_rate * together) as u64, requests: requests as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    fn part(brought_mb: u64, left_mb: u64, ms: u64) -> OnItsWay {
        OnItsWay { brought: brought_mb * MB, left: left_mb * MB, flowed: Duration::from_millis(ms) }
    }

    fn others(idle: u32) -> Others {
        Others { idle, body_rate: 20e6, first_byte: 0.03, least_bytes: MB / 2, opening: 0.0 }
    }

    #[test]
    fn the_end_of_the_slowest_part_is_shared_so_that_all_end_together() {
        // 2 MB/s in place of 20: four seconds are left of the second part.
        let parts = [part(10, 8, 500), part(2, 8, 1000), part(10, 2, 500)];
        let found = split(parts.into_iter(), others(1)).unwrap();
        assert_eq!((found.index, found.requests), (1, 1));
        let seconds = (8e6 - found.bytes as f64) / 2e6;
        assert!((seconds - (0.036 + found.bytes as f64 / 20e6)).abs() < 1e-3, "{found:?}");
        let four = split(parts.into_iter(), others(9)).unwrap();
        assert!(four.requests == 4 && four.bytes > found.bytes);
    }

    #[test]
    fn nothing_is_cut_off_where_no_time_is_gained() {
        assert_eq!(split([part(10, 8, 500)].into_iter(), others(0)), None, "nobody is idle");
        assert_eq!(split([part(10, 1, 500)].into_iter(), others(9)), None, "it ends before a first byte comes");
        let far = Others { first_byte: 0.5, ..others(9) };
        assert_eq!(split([part(10, 8, 500)].into_iter(), far), None, "the others come as late");
        let coarse = Others { least_bytes: 5 * MB, ..others(9) };
        assert_eq!(split([part(10, 8, 500)].into_iter(), coarse), None, "too little for two requests");
        let opening = Others { opening: 1.2, ..others(9) };
        assert_eq!(split([part(1, 8, 500)].into_iter(), opening), None, "it becomes faster by itself");
        assert_eq!(split([].into_iter(), others(9)), None);
        assert_eq!(
            split([part(0, 8, 0)].into_iter(), Others { body_rate: 0.0, ..others(9) }),
            None,
            "nothing is known"
        );
    }

    #[test]
    fn a_part_that_brings_nothing_is_slower_the_longer_it_does() {
        let found = |ms| split([part(0, 1, ms)].into_iter(), others(1));
        assert_eq!((found(0), found(15)), (None, None));
        assert!(found(1000).unwrap().bytes > found(300).unwrap().bytes);
    }

    #[test]
    fn a_young_part_is_as_fast_as_the_others() {
        let found = split([part(0, 100, 1)].into_iter(), others(4)).unwrap();
        assert!(found.bytes < 80 * MB && found.bytes > 75 * MB, "{found:?}");
    }
}
