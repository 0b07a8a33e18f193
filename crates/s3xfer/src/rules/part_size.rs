//! [`part_bytes`]: the size of the next part of a download, from the transfer's measurements so far.

/// The rule's view of the transfer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Knowledge {
    /// Requests so far.
    pub(crate) sent: u64,
    /// Requests to have in flight, and those of them that may begin now; at least 1.
    pub(crate) requests: f64,
    pub(crate) free: f64,
    /// Whether the number of requests still rises.
    pub(crate) is_opening: bool,
    /// Mean seconds to the first byte.
    pub(crate) first_byte: f64,
    /// Highest bytes per second of a body; 0 while unknown.
    pub(crate) body_rate: f64,
    /// The same as an earlier transfer has found it, until that is confirmed or refuted.
    pub(crate) told_rate: Option<f64>,
    /// Whether a new connection takes long to find its rate.
    pub(crate) is_slow_to_open: bool,
    /// Fewest bytes of a part, once requests were refused.
    pub(crate) after_refusals: f64,
    /// Requests per second, where more are refused.
    pub(crate) per_second: Option<f64>,
}

/// Bytes of a part, where nothing speaks for another size.
pub(crate) const PART_BYTES: f64 = (8 << 20) as f64;
/// Fewest bytes of a part, but for the last one.
pub(crate) const LEAST_PART_BYTES: f64 = (1 << 20) as f64;
/// Fewest where a new connection takes long to find its rate: TCP doubles its bytes with each round trip (RFC 5681), so
/// that four times the bytes take two of them more.
pub(crate) const OPENED_BYTES: f64 = (4 << 20) as f64;
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

/// Bytes of the next part, where `left` are not asked for yet. Not 0 where `left` is not.
///
/// A part flows at least half as long as its first byte takes, unless it begins together with all others, and need not
/// flow longer than four times as long or 8 MiB. Near the end parts become smaller, so that all end together.
pub(crate) fn part_bytes(left: u64, known: &Knowledge) -> u64 {
    let Knowledge { requests, first_byte, .. } = *known;
    let left = left as f64;
    // Parts of one size that began together would end together, and all wait for answers at the same time.
    let spread = 1.0 + SPREAD * ((known.sent as f64 * GOLDEN).fract() - 0.5);
    let useful = (LONG * first_byte * known.body_rate).max(PART_BYTES);
    // There may soon be twice as many that want to have a share.
    let soon = if known.is_opening { 2.0 * requests } else { requests };
    let together = left / (WAVES * soon);
    let body_rate = match known.told_rate {
        Some(told) => told,
        None if known.body_rate > 0.0 => known.body_rate,
        None => BODY_RATE,
    };
    let opened = if known.is_slow_to_open { OPENED_BYTES } else { LEAST_PART_BYTES };
    // Requests that begin together wait for their first bytes together, however short their parts are.
    let short = (SHORT * first_byte * body_rate).min(left / known.free);
    let least = opened.max(short).max(after_refusals(left, body_rate, known));
    let bytes = (spread * useful.min(together)).max(least).max(1.0);
    // The last parts have the same size, without a small one at the end.
    let parts = (left / bytes).round().max(1.0);
    (if parts <= WAVES * requests { (left / parts).ceil() } else { bytes }) as u64
}

/// Fewest bytes of a part where requests are refused. `left / (part p)` seconds pass until the last one is sent, `p` of
/// them a second, and `part / body_rate` until it ends: the sum is least at the root of `left body_rate / p`.
fn after_refusals(left: f64, body_rate: f64, known: &Knowledge) -> f64 {
    match known.per_second {
        Some(per_second) => known.after_refusals.min((left * body_rate / per_second).sqrt()),
        None => known.after_refusals,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn known() -> Knowledge {
        Knowledge {
            sent: 0,
            requests: 32.0,
            free: 31.0,
            is_opening: true,
            first_byte: 0.45,
            body_rate: 0.0,
            told_rate: None,
            is_slow_to_open: false,
            after_refusals: 0.0,
            per_second: None,
        }
    }

    #[test]
    fn requests_that_begin_together_share_all_there_is() {
        let alone = part_bytes(62 * MIB, &Knowledge { free: 1.0, ..known() });
        assert!(alone > 5 * MIB, "{alone}: a first byte takes 0.45 s");
        let together = part_bytes(62 * MIB, &known());
        assert!((2 * MIB..=2 * MIB + 1).contains(&together), "{together}");
        let few = part_bytes(9 * MIB, &known());
        assert_eq!(few, MIB, "nine requests are enough");
    }

    #[test]
    fn parts_are_long_enough_for_connections_that_take_long_to_find_their_rate() {
        let slow = Knowledge { is_slow_to_open: true, first_byte: 0.1, ..known() };
        assert_eq!(part_bytes(64 * MIB, &slow), 4 * MIB);
    }

    #[test]
    fn the_last_parts_are_of_one_size_and_none_is_left_over() {
        let settled = Knowledge { is_opening: false, body_rate: 20e6, free: 1.0, first_byte: 0.03, ..known() };
        let (mut left, mut parts) = (500 * MIB, Vec::new());
        while left > 0 {
            let bytes = part_bytes(left, &Knowledge { sent: parts.len() as u64, ..settled }).min(left);
            assert!(bytes > 0);
            parts.push(bytes);
            left -= bytes;
        }
        let last: Vec<u64> = parts.iter().rev().take(30).copied().collect();
        assert!(last.iter().max().unwrap() - last.iter().min().unwrap() < MIB / 4, "{last:?}");
        assert!(*last.last().unwrap() >= MIB && *parts.first().unwrap() > 5 * MIB, "{parts:?}");
    }

    #[test]
    fn refusals_make_parts_larger_but_not_beyond_use() {
        let refused = |per_second| {
            let known = Knowledge { after_refusals: 64e6, per_second, body_rate: 40e6, first_byte: 0.03, ..known() };
            part_bytes(256 * MIB, &known)
        };
        assert!(refused(None) > 60 * MIB && refused(Some(25.0)) < 24 * MIB);
    }
}
