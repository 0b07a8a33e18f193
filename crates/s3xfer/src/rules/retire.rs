//! The choice of a connection that is given up in the middle of a transfer, because it is far slower than the others:
//! one address of several may be overloaded, and a connection to it brings a tenth of the rate for as long as it lives.
//!
//! No byte is fetched twice but those on their way: the part keeps what it has brought.

use super::split::OnItsWay;

/// A part that flows for less has no rate of its own, in seconds.
const YOUNG: f64 = 0.05;
/// Bytes of it that may be on their way in one lump.
const LUMP: u64 = 64 << 10;
/// Fewest parts that have a rate, for there is no usual one among few.
const FEW: usize = 8;
/// Share of the usual rate: below it, a connection is slow. Connections that share a link differ by less.
const SLOW: f64 = 0.25;
/// Times that another connection is faster for the same bytes, its answer included.
const FASTER: f64 = 2.0;

/// The part whose bytes another connection brings in less than half of the time, if there is any; the worst one.
pub(crate) fn retire(parts: impl Iterator<Item = OnItsWay>, first_byte: f64) -> Option<usize> {
    let timed = parts.enumerate().filter(|(_, part)| part.flowed.as_secs_f64() > YOUNG);
    let timed = timed.map(|(index, part)| {
        let rate = (part.brought + LUMP) as f64 / part.flowed.as_secs_f64();
        (index, part.left as f64, rate)
    });
    let timed: Vec<(usize, f64, f64)> = timed.collect();
    if timed.len() < FEW {
        return None;
    }
    let mut rates: Vec<f64> = timed.iter().map(|(_, _, rate)| *rate).collect();
    let (_, usual, _) = rates.select_nth_unstable_by(timed.len() / 2, f64::total_cmp);
    let usual = *usual;
    let slow = timed.into_iter().filter(|(_, left, rate)| {
        let others = 1.5 * first_byte + left / usual;
        *rate < SLOW * usual && left / rate > FASTER * others
    });
    let (index, ..) = slow.max_by(|one, other| (one.1 / one.2).total_cmp(&(other.1 / other.2)))?;
    Some(index)
}
