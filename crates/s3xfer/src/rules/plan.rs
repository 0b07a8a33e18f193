//! How the wanted bytes of an object are cut into parts.

use std::ops::Range;

use crate::words::config::TransferConfig;
use crate::words::object::{ByteRange, Part};

/// The parts of wanted bytes: consecutive, without gap or overlap.
///
/// Nothing is stored per part: a plan of a 48.8 TiB object costs as much memory as that of a small one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Half-open, in the object.
    bytes: Range<u64>,
    first_bytes: u64,
    part_bytes: u64,
    in_turn: bool,
}

impl Plan {
    /// At least `multipart_threshold` wanted bytes are cut every `multipart_chunksize` bytes, to be fetched in
    /// parallel (boto3's rule: a size equal to the threshold is cut). Of fewer, the first request has already asked for
    /// `multipart_chunksize` bytes when the object's size is known; what that left out is one more part, fetched after
    /// it and never beside it.
    pub(crate) fn new(bytes: Range<u64>, config: &TransferConfig) -> Self {
        let length = bytes.end - bytes.start;
        let in_turn = length < config.multipart_threshold();
        let first_bytes = config.multipart_chunksize();
        let part_bytes = if in_turn { length.max(1) } else { first_bytes };
        Self { bytes, first_bytes, part_bytes, in_turn }
    }

    /// One part, whatever the size: for a server that ignores ranges.
    pub(crate) fn whole(bytes: Range<u64>) -> Self {
        let all = (bytes.end - bytes.start).max(1);
        Self { bytes, first_bytes: all, part_bytes: all, in_turn: true }
    }

    /// As an earlier download cut them.
    pub(crate) fn as_before(bytes: Range<u64>, first_bytes: u64, part_bytes: u64) -> Self {
        Self { bytes, first_bytes, part_bytes, in_turn: false }
    }

    /// Bytes of the first part and of those behind it; the last one may have fewer.
    pub(crate) fn part_bytes(&self) -> (u64, u64) {
        (self.first_bytes, self.part_bytes)
    }

    /// All wanted bytes, half-open, in the object.
    pub(crate) fn bytes(&self) -> Range<u64> {
        self.bytes.clone()
    }

    /// How many parts; 0 for no bytes.
    pub(crate) fn len(&self) -> u64 {
        match self.bytes.end - self.bytes.start {
            0 => 0,
            bytes => 1 + bytes.saturating_sub(self.first_bytes).div_ceil(self.part_bytes),
        }
    }

    /// Whether the parts are to be fetched one after the other.
    pub(crate) fn in_turn(&self) -> bool {
        self.in_turn
    }

    /// The part of that number, which is less than [`len`](Self::len).
    pub(crate) fn part(&self, number: u64) -> Part {
        let (start, length) = match number {
            0 => (0, self.first_bytes),
            later => (self.first_bytes + (later - 1) * self.part_bytes, self.part_bytes),
        };
        let start = self.bytes.start + start;
        Part { number, bytes: start..self.bytes.end.min(start.saturating_add(length)) }
    }

    /// Where the part of the byte at `offset` ends. Both count from the first wanted byte, which has the offset 0.
    pub(crate) fn end_of_part_at(&self, offset: u64) -> u64 {
        let number = match offset.checked_sub(self.first_bytes) {
            None => 0,
            Some(behind) => 1 + behind / self.part_bytes,
        };
        self.part(number).bytes.end - self.bytes.start
    }

    /// The parts in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part> + Send + use<> {
        let plan = self.clone();
        (0..self.len()).map(move |number| plan.part(number))
    }
}

/// What the first request asks for, before the object's size is known: the first part, whatever the size turns out to
/// be. Never beyond what a Content-Range can express; empty when `wanted` is.
pub(crate) fn first_request(wanted: ByteRange, config: &TransferConfig) -> Range<u64> {
    const MOST: u64 = i64::MAX as u64;
    let start = wanted.start.min(MOST);
    let end = start.saturating_add(config.multipart_chunksize()).min(MOST);
    start..wanted.end.map_or(end, |wanted| wanted.min(end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(threshold: u64, chunk: u64) -> TransferConfig {
        TransferConfig::builder().multipart_threshold(threshold).multipart_chunksize(chunk).build().unwrap()
    }

    #[test]
    fn a_size_equal_to_the_threshold_is_cut() {
        assert_eq!((Plan::new(0..99, &config(100, 10)).len(), Plan::new(0..9, &config(100, 10)).len()), (2, 1));
        assert!(Plan::new(0..99, &config(100, 10)).in_turn() && !Plan::new(0..100, &config(100, 10)).in_turn());
        assert_eq!(Plan::new(0..100, &config(100, 10)).len(), 10);
        assert_eq!(Plan::new(0..101, &config(100, 10)).len(), 11);
    }

    #[test]
    fn an_empty_object_has_no_parts() {
        assert_eq!(Plan::new(0..0, &config(8, 8)).parts().count(), 0);
        assert_eq!(Plan::new(0..0, &config(1, 8)).parts().count(), 0);
    }

    #[test]
    fn the_largest_sizes_do_not_overflow() {
        let plan = Plan::new(0..u64::MAX, &config(1, u64::MAX / 2 + 3));
        assert_eq!(plan.parts().last().unwrap().bytes.end, u64::MAX);
        let beyond = ByteRange { start: u64::MAX - 1, end: None };
        for wanted in [ByteRange::WHOLE, beyond] {
            assert!(first_request(wanted, &config(u64::MAX, u64::MAX)).end <= i64::MAX as u64);
        }
    }

    proptest! {
        #[test]
        fn parts_cover_what_is_wanted_without_gap_or_overlap(
            start in 0_u64..500, size in 0_u64..10_000, threshold in 1_u64..5_000, chunk in 1_u64..3_000,
        ) {
            let config = config(threshold, chunk);
            let plan = Plan::new(start..start + size, &config);
            let mut next = start;
            for (number, part) in plan.parts().enumerate() {
                prop_assert_eq!(part.number, number as u64);
                prop_assert_eq!(part.bytes.start, next);
                prop_assert!(!part.bytes.is_empty());
                for byte in [part.bytes.start, part.bytes.end - 1] {
                    prop_assert_eq!(plan.end_of_part_at(byte - start), part.bytes.end - start);
                }
                if size >= threshold { prop_assert!(part.bytes.end - part.bytes.start <= chunk); }
                next = part.bytes.end;
            }
            prop_assert_eq!(next, start + size);
            prop_assert_eq!(plan.parts().count() as u64, plan.len());
        }

        #[test]
        fn the_first_request_asks_for_the_first_part(
            start in 0_u64..500, wanted in prop::option::of(1_u64..10_000), size in 1_u64..10_000,
            threshold in 1_u64..5_000, chunk in 1_u64..3_000,
        ) {
            let config = config(threshold, chunk);
            let wanted = ByteRange { start, end: wanted.map(|bytes| start + bytes) };
            let asked = first_request(wanted, &config);
            let Some(bytes) = wanted.within(size) else { return Ok(()) };
            let first = Plan::new(bytes, &config).parts().next().unwrap();
            prop_assert_eq!(first.bytes, asked.start..asked.end.min(size));
        }
    }
}
