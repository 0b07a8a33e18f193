//! The cut of an upload or a copy into parts.
//!
//! S3 User Guide, "Amazon S3 multipart upload limits": parts have 5 MiB to 5 GiB, but for the last one; an upload has
//! at most 10,000 of them, numbered from 1.

use std::ops::Range;

use crate::words::object::Part;

/// Fewest bytes of a part, but for the last one.
pub(crate) const LEAST_PART_BYTES: u64 = 5 << 20;
/// The most bytes of a part, of an object written by one PUT, and of an object copied by one request.
pub(crate) const MOST_PART_BYTES: u64 = 5 << 30;
/// Most parts of an upload.
pub(crate) const MOST_PARTS: u64 = 10_000;
/// Most bytes of an object.
pub(crate) const MOST_OBJECT_BYTES: u64 = MOST_PARTS * MOST_PART_BYTES;

/// Bytes of a part where the engine chooses.
const PART_BYTES: u64 = 8 << 20;
/// The least number of parts of a small object, as long as they have 5 MiB, so that several requests share the work.
const PARTS_OF_A_SMALL_OBJECT: u64 = 16;
/// The number of parts of a stream of unknown length after which the part size is doubled.
const DOUBLED_AFTER: u64 = 1000;

/// The caller's wishes for the size of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// `multipart_chunksize`.
    pub(crate) chunk_bytes: u64,
    /// Whether that is a bound, and the engine chooses (`adaptive_concurrency`).
    pub(crate) is_bound: bool,
    /// Below it the server takes no part but the last; [`LEAST_PART_BYTES`] on S3.
    pub(crate) least_bytes: u64,
}

impl Wanted {
    /// Bytes of each part but the last of an object of `bytes`: as wanted, within S3's limits. `None`: it has too many.
    pub(crate) fn part_bytes(self, bytes: u64) -> Option<u64> {
        let chosen = match self.is_bound {
            true => (bytes / PARTS_OF_A_SMALL_OBJECT).clamp(LEAST_PART_BYTES, PART_BYTES).min(self.chunk_bytes),
            false => self.chunk_bytes,
        };
        let needed = bytes.div_ceil(MOST_PARTS);
        // A round number where it is one of ours.
        let needed = if needed > chosen { needed.next_multiple_of(1 << 20).min(MOST_PART_BYTES) } else { needed };
        let part_bytes = chosen.max(needed).max(self.least_bytes).min(MOST_PART_BYTES);
        (bytes <= MOST_PARTS.saturating_mul(part_bytes)).then_some(part_bytes)
    }

    /// The bytes of part `number`, from 0, of a stream of unknown length. The parts grow, so that 10,000 are enough for
    /// long streams, up to `room`, the memory for one part. `None`: there are no more parts, or no memory for one.
    pub(crate) fn next_part_bytes(self, number: u64, room: u64) -> Option<u64> {
        let first = if self.is_bound { PART_BYTES.min(self.chunk_bytes) } else { self.chunk_bytes };
        let first = first.clamp(self.least_bytes, MOST_PART_BYTES);
        let doublings = u32::try_from(number / DOUBLED_AFTER).unwrap_or(u32::MAX);
        let grown = first.saturating_mul(2_u64.saturating_pow(doublings)).min(MOST_PART_BYTES);
        // A size that was asked for is not made smaller in silence; a size that we made larger is.
        let part_bytes = if grown > room { room.max(first) } else { grown };
        (number < MOST_PARTS && part_bytes <= room).then_some(part_bytes)
    }

    /// Most bytes of a stream of unknown length, where there is that much room for a part.
    pub(crate) fn most_stream_bytes(self, room: u64) -> u64 {
        (0..MOST_PARTS).map_while(|number| self.next_part_bytes(number, room)).sum()
    }
}

/// The parts of `bytes`, each of `part_bytes` (not 0) but the last.
pub(crate) fn parts(bytes: u64, part_bytes: u64) -> impl Iterator<Item = Part> + Send + 'static {
    let count = bytes.div_ceil(part_bytes);
    (0..count).map(move |number| Part { number, bytes: range(number, part_bytes, bytes) })
}

fn range(number: u64, part_bytes: u64, bytes: u64) -> Range<u64> {
    let start = number * part_bytes;
    start..(start + part_bytes).min(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;
    const OURS: Wanted = Wanted { chunk_bytes: 64 * MIB, is_bound: true, least_bytes: LEAST_PART_BYTES };
    const BOTO3: Wanted = Wanted { chunk_bytes: 8 * MIB, is_bound: false, least_bytes: LEAST_PART_BYTES };

    #[test]
    fn parts_are_as_wanted_within_s3s_limits() {
        for (wanted, bytes, part_bytes) in [
            (BOTO3, 100 * MIB, Some(8 * MIB)),
            (Wanted { chunk_bytes: MIB, ..BOTO3 }, 100 * MIB, Some(5 * MIB)),
            (Wanted { chunk_bytes: 8 << 30, ..BOTO3 }, 100 << 30, Some(5 << 30)),
            // 10,000 parts of 8 MiB are 78 GiB.
            (BOTO3, 80_000 * MIB, Some(8 * MIB)),
            (BOTO3, 80_000 * MIB + 1, Some(9 * MIB)),
            (BOTO3, 1 << 40, Some(105 * MIB)),
            (BOTO3, MOST_OBJECT_BYTES, Some(5 << 30)),
            (BOTO3, MOST_OBJECT_BYTES + 1, None),
            (BOTO3, u64::MAX, None),
            (OURS, 20 * MIB, Some(5 * MIB)),
            (OURS, 112 * MIB, Some(7 * MIB)),
            (OURS, 3 << 30, Some(8 * MIB)),
            (Wanted { chunk_bytes: 6 * MIB, ..OURS }, 3 << 30, Some(6 * MIB)),
        ] {
            assert_eq!(wanted.part_bytes(bytes), part_bytes, "{wanted:?} {bytes}");
        }
    }

    #[test]
    fn parts_of_a_stream_grow_as_far_as_there_is_room() {
        let room = 20 * MIB;
        let sizes: Vec<_> = [0, 999, 1000, 2000, 9999].map(|number| OURS.next_part_bytes(number, room)).into();
        assert_eq!(sizes, [8, 8, 16, 20, 20].map(|mib| Some(mib * MIB)));
        assert_eq!((OURS.next_part_bytes(10_000, room), OURS.next_part_bytes(0, 8 * MIB - 1)), (None, None));
        assert_eq!(BOTO3.next_part_bytes(9999, u64::MAX), Some(4 << 30));
        assert_eq!(BOTO3.most_stream_bytes(8 * MIB), 80_000 * MIB);
        assert_eq!(BOTO3.most_stream_bytes(u64::MAX), 1023 * 1000 * 8 * MIB);
    }

    proptest! {
        #[test]
        fn parts_cover_the_object_without_overlap(bytes in 0_u64..1 << 47, chunk_bytes in 1_u64..1 << 34, is_bound: bool) {
            let wanted = Wanted { chunk_bytes, is_bound, least_bytes: LEAST_PART_BYTES };
            let Some(part_bytes) = wanted.part_bytes(bytes) else {
                prop_assert!(bytes > MOST_OBJECT_BYTES);
                return Ok(());
            };
            prop_assert!((LEAST_PART_BYTES..=MOST_PART_BYTES).contains(&part_bytes));
            let mut end = 0;
            for (number, part) in parts(bytes, part_bytes).enumerate() {
                prop_assert!(part.number == number as u64 && part.number < MOST_PARTS);
                prop_assert!(part.bytes.start == end && !part.bytes.is_empty());
                end = part.bytes.end;
                prop_assert!(end - part.bytes.start == part_bytes || end == bytes);
            }
            prop_assert_eq!(end, bytes);
        }
    }
}
