//! The cut of an object's wanted bytes into parts.

use std::ops::Range;
use std::sync::Arc;

use crate::words::config::TransferConfig;
use crate::words::cut::{Cut, Length};
use crate::words::object::{ByteRange, Part};

/// The cut of wanted bytes into consecutive parts, without gap or overlap.
///
/// Nothing is stored per part: a plan of a 48.8 TiB object costs as much memory as that of a small one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Half-open, in the object.
    bytes: Range<u64>,
    cut: Cut,
    in_turn: bool,
}

impl Plan {
    /// At least `multipart_threshold` wanted bytes are cut every `multipart_chunksize` bytes, to be fetched in parallel
    /// (boto3's rule: a size equal to the threshold is cut). A smaller object takes one more request at most: the first
    /// has asked for `multipart_chunksize` bytes, and the rest follows after it.
    pub(crate) fn new(bytes: Range<u64>, config: &TransferConfig) -> Self {
        let length = bytes.length();
        let in_turn = length < config.multipart_threshold();
        let first_bytes = first_bytes(config);
        let part_bytes = if in_turn { length.max(1) } else { config.multipart_chunksize() };
        Self { bytes, cut: Cut { first_bytes, part_bytes }, in_turn }
    }

    /// One part of any size: for a server that ignores ranges.
    pub(crate) fn whole(bytes: Range<u64>) -> Self {
        let all = bytes.length().max(1);
        Self { bytes, cut: Cut { first_bytes: all, part_bytes: all }, in_turn: true }
    }

    /// As an earlier download cut them.
    pub(crate) fn as_before(bytes: Range<u64>, cut: Cut) -> Self {
        Self { bytes, cut, in_turn: false }
    }

    /// The range of the parts, counted from the first wanted byte.
    pub(crate) fn cut(&self) -> Cut {
        self.cut
    }

    /// All wanted bytes, half-open, in the object.
    pub(crate) fn bytes(&self) -> Range<u64> {
        self.bytes.clone()
    }

    /// Number of parts; 0 for no bytes.
    pub(crate) fn len(&self) -> u64 {
        self.cut.parts(self.bytes.length())
    }

    /// Whether the parts are to be fetched one after the other.
    pub(crate) fn in_turn(&self) -> bool {
        self.in_turn
    }

    /// The parts that are not in `done`, in order.
    pub(crate) fn cursor(&self, done: Arc<Runs>) -> Cursor {
        let left = self.bytes.length() - done.length();
        Cursor { bytes: self.bytes(), cut: self.cut, done, runs: 0, offset: 0, number: 0, left, again: Vec::new() }
    }

    /// All parts, in order.
    pub(crate) fn parts(&self) -> Cursor {
        self.cursor(Arc::default())
    }
}

/// A plan while it is carried out: it decides where a part ends only when the part is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    bytes: Range<u64>,
    cut: Cut,
    done: Arc<Runs>,
    /// Runs that were passed.
    runs: usize,
    /// The first byte that is neither planned nor passed, counted from the first wanted byte.
    offset: u64,
    /// Parts that were planned or passed.
    number: u64,
    /// Bytes that are still to be planned.
    left: u64,
    /// Bytes that were planned and given back, half-open in the object, and in how large parts they go.
    again: Vec<(Range<u64>, u64)>,
}

impl Cursor {
    /// The next part, of at most `most` bytes, which is not 0; shorter where done bytes or the end come before.
    pub(crate) fn next_of(&mut self, most: u64) -> Option<Part> {
        if let Some(part) = self.next_again() {
            return Some(part);
        }
        self.pass_what_is_done();
        let limit = self.done.runs.get(self.runs).map_or(self.bytes.length(), |run| run.bytes.start);
        let (offset, end) = (self.offset, limit.min(self.offset.saturating_add(most)));
        if offset >= end {
            return None;
        }
        let part = Part { number: self.number, bytes: self.bytes.start + offset..self.bytes.start + end };
        (self.offset, self.number) = (end, self.number + 1);
        self.left -= end - offset;
        Some(part)
    }

    /// Bytes that are still to be planned.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Takes back bytes of the object that a part was to bring. They go next, in parts of `part_bytes`, which is not 0.
    pub(crate) fn give_back(&mut self, bytes: Range<u64>, part_bytes: u64) {
        self.left += bytes.length();
        self.again.push((bytes, part_bytes));
    }

    fn next_again(&mut self) -> Option<Part> {
        let (bytes, part_bytes) = self.again.last_mut()?;
        let end = bytes.end.min(bytes.start.saturating_add(*part_bytes));
        let part = Part { number: self.number, bytes: bytes.start..end };
        bytes.start = end;
        if bytes.is_empty() {
            self.again.pop();
        }
        (self.number, self.left) = (self.number + 1, self.left - part.bytes.length());
        Some(part)
    }

    fn pass_what_is_done(&mut self) {
        while let Some(run) = self.done.runs.get(self.runs).filter(|run| run.bytes.start <= self.offset) {
            self.offset = run.bytes.end;
            self.number += run.parts;
            self.runs += 1;
        }
    }
}

/// Parts as the plan cuts them.
impl Iterator for Cursor {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        self.pass_what_is_done();
        self.next_of(self.cut.end_behind(self.offset) - self.offset)
    }
}

/// Parts that are done, put together where they are neighbours: it holds as much as there are gaps.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs {
    runs: Vec<Run>,
}

/// Parts side by side.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    /// Half-open, counted from the first wanted byte.
    bytes: Range<u64>,
    parts: u64,
}

impl Runs {
    /// Adds a part after all others.
    pub(crate) fn add(&mut self, bytes: Range<u64>) {
        match self.runs.last_mut() {
            Some(run) if run.bytes.end == bytes.start => {
                run.bytes.end = bytes.end;
                run.parts += 1;
            }
            _ => self.runs.push(Run { bytes, parts: 1 }),
        }
    }

    /// Bytes of all parts.
    pub(crate) fn length(&self) -> u64 {
        self.runs.iter().map(|run| run.bytes.length()).sum()
    }

    /// Number of parts.
    pub(crate) fn parts(&self) -> u64 {
        self.runs.iter().map(|run| run.parts).sum()
    }

    /// Whether no part is done.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

/// Bytes of the first request. Where the engine chooses the sizes of parts, it is not so large that a small object
/// would come over one connection, and not so small that a far one would take two answers' time.
fn first_bytes(config: &TransferConfig) -> u64 {
    const FIRST: u64 = 8 << 20;
    match config.adaptive_concurrency() {
        true => config.multipart_chunksize().min(FIRST),
        false => config.multipart_chunksize(),
    }
}

/// The range of the first request, before the object's size is known: the first part, for an object of any size. It
/// never ends beyond the numbers of a Content-Range, and is empty when `wanted` is.
pub(crate) fn first_request(wanted: ByteRange, config: &TransferConfig) -> Range<u64> {
    const MOST: u64 = i64::MAX as u64;
    let start = wanted.start.min(MOST);
    let end = start.saturating_add(first_bytes(config)).min(MOST);
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
                if size >= threshold { prop_assert!(part.bytes.length() <= chunk); }
                next = part.bytes.end;
            }
            prop_assert_eq!(next, start + size);
            prop_assert_eq!(plan.parts().count() as u64, plan.len());
        }

        /// Some parts are done, and the sizes change on the way, in any mix.
        #[test]
        fn a_cursor_covers_what_is_not_done_whatever_sizes_it_is_asked_for(
            start in 0_u64..500, size in 0_u64..2_000, chunk in 1_u64..300, done in any::<u64>(),
            sizes in prop::collection::vec(prop::option::of(1_u64..400), 1..50),
        ) {
            let plan = Plan::new(start..start + size, &config(1, chunk));
            let is_done = |part: &Part| done >> (part.number % 64) & 1 == 1;
            let mut runs = Runs::default();
            for part in plan.parts().filter(is_done) {
                runs.add(part.bytes.start - start..part.bytes.end - start);
            }
            let mut covered: Vec<u64> = plan.parts().filter(is_done).flat_map(|part| part.bytes).collect();
            prop_assert_eq!(runs.length(), covered.len() as u64);
            let runs = Arc::new(runs);
            // As the plan cuts them: the very parts that are not done, with their numbers.
            prop_assert!(plan.cursor(runs.clone()).eq(plan.parts().filter(|part| !is_done(part))));
            let mut cursor = plan.cursor(runs);
            for most in sizes.into_iter().cycle() {
                let part = match most {
                    Some(most) => cursor.next_of(most),
                    None => cursor.next(),
                };
                let Some(part) = part else { break };
                prop_assert!(!part.bytes.is_empty() && most.is_none_or(|most| part.bytes.length() <= most));
                covered.extend(part.bytes);
            }
            covered.sort_unstable();
            prop_assert!(covered.into_iter().eq(start..start + size));
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
