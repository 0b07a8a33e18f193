//! How an object is cut into parts.

use crate::words::config::TransferConfig;
use crate::words::object::Part;

/// The parts of an object of known size: consecutive, without gap or overlap.
///
/// Nothing is stored per part: a plan of a 48.8 TiB object costs as much memory as that of a small one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    object_bytes: u64,
    first_bytes: u64,
    part_bytes: u64,
    in_turn: bool,
}

impl Plan {
    /// An object of at least `multipart_threshold` bytes is cut every `multipart_chunksize` bytes, to be fetched in
    /// parallel (boto3's rule: a size equal to the threshold is cut). Of a smaller one, the first request has already
    /// asked for `multipart_chunksize` bytes when its size is known; what that left out is one more part, fetched after
    /// it and never beside it.
    pub(crate) fn new(object_bytes: u64, config: &TransferConfig) -> Self {
        let in_turn = object_bytes < config.multipart_threshold();
        let first_bytes = config.multipart_chunksize();
        let part_bytes = if in_turn { object_bytes.max(1) } else { first_bytes };
        Self { object_bytes, first_bytes, part_bytes, in_turn }
    }

    /// One part, whatever the size: for a server that ignores ranges.
    pub(crate) fn whole(object_bytes: u64) -> Self {
        let all = object_bytes.max(1);
        Self { object_bytes, first_bytes: all, part_bytes: all, in_turn: true }
    }

    /// How many parts; 0 for an empty object.
    pub(crate) fn len(&self) -> u64 {
        match self.object_bytes {
            0 => 0,
            bytes => 1 + bytes.saturating_sub(self.first_bytes).div_ceil(self.part_bytes),
        }
    }

    /// Whether the parts are to be fetched one after the other.
    pub(crate) fn in_turn(&self) -> bool {
        self.in_turn
    }

    /// The parts in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part> + Send + use<> {
        let Self { object_bytes, first_bytes, part_bytes, .. } = *self;
        (0..self.len()).map(move |number| {
            let (start, length) = match number {
                0 => (0, first_bytes),
                later => (first_bytes + (later - 1) * part_bytes, part_bytes),
            };
            Part { number, bytes: start..object_bytes.min(start.saturating_add(length)) }
        })
    }
}

/// How many bytes the first request asks for, before the object's size is known: those of the first part, whatever the
/// size turns out to be. Never beyond what a Content-Range can express.
pub(crate) fn first_request_bytes(config: &TransferConfig) -> u64 {
    config.multipart_chunksize().min(i64::MAX as u64)
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
        assert_eq!((Plan::new(99, &config(100, 10)).len(), Plan::new(9, &config(100, 10)).len()), (2, 1));
        assert!(Plan::new(99, &config(100, 10)).in_turn() && !Plan::new(100, &config(100, 10)).in_turn());
        assert_eq!(Plan::new(100, &config(100, 10)).len(), 10);
        assert_eq!(Plan::new(101, &config(100, 10)).len(), 11);
    }

    #[test]
    fn an_empty_object_has_no_parts() {
        assert_eq!(Plan::new(0, &config(8, 8)).parts().count(), 0);
        assert_eq!(Plan::new(0, &config(1, 8)).parts().count(), 0);
    }

    #[test]
    fn the_largest_sizes_do_not_overflow() {
        let plan = Plan::new(u64::MAX, &config(1, u64::MAX / 2 + 3));
        assert_eq!(plan.parts().last().unwrap().bytes.end, u64::MAX);
        assert!(first_request_bytes(&config(u64::MAX, u64::MAX)) <= i64::MAX as u64);
    }

    proptest! {
        #[test]
        fn parts_cover_the_object_without_gap_or_overlap(
            size in 0_u64..10_000, threshold in 1_u64..5_000, chunk in 1_u64..3_000,
        ) {
            let config = config(threshold, chunk);
            let plan = Plan::new(size, &config);
            let mut next = 0;
            for (number, part) in plan.parts().enumerate() {
                prop_assert_eq!(part.number, number as u64);
                prop_assert_eq!(part.bytes.start, next);
                prop_assert!(!part.bytes.is_empty());
                if size >= threshold { prop_assert!(part.bytes.end - part.bytes.start <= chunk); }
                next = part.bytes.end;
            }
            prop_assert_eq!(next, size);
            prop_assert_eq!(plan.parts().count() as u64, plan.len());
        }

        #[test]
        fn the_first_request_holds_the_first_part(size in 1_u64..10_000, threshold in 1_u64..5_000, chunk in 1_u64..3_000) {
            let config = config(threshold, chunk);
            let first = Plan::new(size, &config).parts().next().unwrap();
            prop_assert!(first.bytes.end <= first_request_bytes(&config));
        }
    }
}
