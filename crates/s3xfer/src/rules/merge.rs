//! [`merge`]: fewer and larger parts, made of the parts that wait for their turn while a server refuses requests.
//!
//! Parts that were planned before the first refusal are as small as if requests were free. When requests are paced,
//! each of them costs a turn.

use std::ops::Range;

/// Neighbours that become larger parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Merged {
    /// All their bytes, half-open.
    pub(crate) bytes: Range<u64>,
    /// Bytes of each part that is made of them; the last one may be smaller. Not 0.
    pub(crate) part_bytes: u64,
}

/// Times the number of new parts: fewer neighbours are left as they are.
const WORTH: f64 = 1.5;

/// The neighbours among the `waiting` parts, which are in order and not empty, that become parts of about `part_bytes`,
/// which is not 0.
pub(crate) fn merge(waiting: &[Range<u64>], part_bytes: u64) -> Vec<Merged> {
    let runs = waiting.chunk_by(|part, next| part.end == next.start);
    runs.filter_map(|run| {
        let (first, last) = (run.first()?, run.last()?);
        let bytes = last.end - first.start;
        let parts = bytes.div_ceil(part_bytes);
        let are_fewer = parts < run.len() as u64;
        let is_worth_it = are_fewer && run.len() as f64 >= WORTH * bytes as f64 / part_bytes as f64;
        is_worth_it.then(|| Merged { bytes: first.start..last.end, part_bytes: bytes.div_ceil(parts) })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_parts_of_about_that_size() {
        let waiting = [0..10, 10..20, 20..25, 40..50, 60..70, 70..80];
        let pair = Merged { bytes: 60..80, part_bytes: 20 };
        assert_eq!(merge(&waiting, 20), [Merged { bytes: 0..25, part_bytes: 13 }, pair.clone()]);
        assert_eq!(merge(&waiting, 1000), [Merged { bytes: 0..25, part_bytes: 25 }, pair], "one alone stays");
    }

    #[test]
    fn parts_that_are_large_enough_are_left_as_they_are() {
        let parts = |bytes: u64| -> Vec<_> { (0..40).map(|part| bytes * part..bytes * part + bytes).collect() };
        assert_eq!(merge(&parts(10), 12), []);
        assert_eq!(merge(&parts(10), 20), [Merged { bytes: 0..400, part_bytes: 20 }]);
        assert_eq!(merge(&parts(20), 20), [], "they are not made anew for ever");
    }
}
