//! [`Cut`]: where the parts of consecutive bytes begin and end. And how long a range is.

use std::ops::Range;

/// Number of bytes of a half-open range.
pub(crate) trait Length {
    /// Bytes.
    fn length(&self) -> u64;
}

impl Length for Range<u64> {
    fn length(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// Bytes of the first part, and of every other one; the last one may be shorter. Neither is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) first_bytes: u64,
    pub(crate) part_bytes: u64,
}

impl Cut {
    /// Number of parts of that many bytes; 0 for none.
    pub(crate) fn parts(self, bytes: u64) -> u64 {
        match bytes {
            0 => 0,
            bytes => 1 + bytes.saturating_sub(self.first_bytes).div_ceil(self.part_bytes),
        }
    }

    /// The end of the part that holds the byte at `offset`, if that is not where all bytes end.
    pub(crate) fn end_behind(self, offset: u64) -> u64 {
        match offset.checked_sub(self.first_bytes) {
            None => self.first_bytes,
            Some(behind) => {
                let parts = behind / self.part_bytes + 1;
                self.first_bytes.saturating_add(parts.saturating_mul(self.part_bytes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_where_the_next_one_begins() {
        let cut = Cut { first_bytes: 5, part_bytes: 10 };
        assert_eq!([0, 4, 5, 14, 15].map(|offset| cut.end_behind(offset)), [5, 5, 15, 15, 25]);
        assert_eq!([0, 1, 5, 6, 15, 16].map(|bytes| cut.parts(bytes)), [0, 1, 1, 2, 2, 3]);
        let large = Cut { first_bytes: 5, part_bytes: u64::MAX - 7 };
        assert_eq!(
            [5, u64::MAX - 3, u64::MAX].map(|offset| large.end_behind(offset)),
            [u64::MAX - 2, u64::MAX - 2, u64::MAX]
        );
    }

    #[test]
    fn a_range_is_as_long_as_it_has_bytes() {
        #[expect(clippy::reversed_empty_ranges, reason = "a caller may write it")]
        let reversed = 7..5;
        assert_eq!([(3..3).length(), (3..7).length(), reversed.length()], [0, 4, 0]);
    }
}
