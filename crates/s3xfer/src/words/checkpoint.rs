//! [`Checkpoint`]: the subject of a half-finished download, and the parts of it that count as done.
//!
//! A download can lose its process or its machine. If only the process ends, the kernel still has its bytes, so every
//! written part counts. If the machine crashes, only synced bytes are left, so only synced parts count. The boot id
//! tells which of the two happened. The journal keeps all this on the disk.
//!
//! Between two downloads the files may be cut, swapped, copied or removed. So the data file carries a [`Mark`] after
//! the object's bytes: the identity of its journal, and the number of that journal's parts that it holds. Only that
//! many parts of the journal count, and without a mark none.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::words::cut::Cut;

/// The subject of a download: the object, its version, the bytes of it, and their cut. Two downloads may share a file
/// only if theirs are equal. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Checkpoint {
    pub(crate) bucket: String,
    pub(crate) key: String,
    /// The requested version.
    pub(crate) version_id: Option<String>,
    /// The bytes that were asked for, half-open; `None` is all of them.
    pub(crate) range: Option<Range<u64>>,
    pub(crate) object_bytes: u64,
    pub(crate) e_tag: Option<String>,
    /// Seconds since 1970, and nanoseconds.
    pub(crate) last_modified: Option<(i64, u32)>,
    /// Bytes of part 0.
    pub(crate) first_bytes: u64,
    /// Bytes of every other part; the last one may be shorter.
    pub(crate) part_bytes: u64,
    /// The checksum that the parts' own are of.
    pub(crate) checksum: Option<String>,
}

/// The events of a download, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Record {
    /// All bytes of a part are in the kernel's hands.
    Part(PartWritten),
    /// The bytes of the first `count` parts, as recorded so far, are on the device.
    Synced { count: u64 },
    /// All parts are written, and the mark is being taken off the data file.
    Whole,
}

/// Ties a data file to its journal. The data file holds it behind the object's bytes, and the journal's header has the
/// same identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// A number that no other journal has: a new one is drawn whenever a download begins or continues.
    pub(crate) journal: u64,
    /// Number of the journal's first part records whose parts the data file holds.
    pub(crate) parts: u64,
}

/// The link to a data file that an earlier journal has marked, until this journal marks it itself. The first `kept`
/// part records of this journal are parts of the earlier one; the synced ones come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Follows {
    /// The earlier journal's identity.
    pub(crate) journal: u64,
    /// Its part records that the data file held when this journal began.
    pub(crate) parts: u64,
    /// The least number of them that holds all kept parts that were on the device.
    pub(crate) synced: u64,
    pub(crate) kept: u64,
    pub(crate) kept_synced: u64,
}

/// A completely written part, and the checksum of its bytes if one is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartWritten {
    /// As logs and errors call it.
    pub(crate) number: u64,
    /// Its first byte in the file, and the one behind its last.
    pub(crate) start: u64,
    pub(crate) end: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) crc: Option<u64>,
}

/// A part that need not be fetched again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DonePart {
    pub(crate) number: u64,
    /// Half-open, in the file.
    pub(crate) bytes: Range<u64>,
    pub(crate) crc: Option<u64>,
    /// Whether it is on the device, or with the kernel only.
    pub(crate) synced: bool,
}

impl Checkpoint {
    /// Whether it names a version, so that an equal one is of the same bytes. Without any of the three a replaced
    /// object of the same size looks like the old one, and its download is not to be continued.
    pub(crate) fn names_a_version(&self) -> bool {
        self.e_tag.is_some() || self.version_id.is_some() || self.last_modified.is_some()
    }

    /// Bytes of the file when it is whole.
    pub(crate) fn file_bytes(&self) -> u64 {
        match &self.range {
            Some(range) => range.end.min(self.object_bytes).saturating_sub(range.start),
            None => self.object_bytes,
        }
    }

    /// The place of the mark in the data file: a page of its own, so that no crash tears it. `None` if no file is that
    /// long.
    pub(crate) fn mark_at(&self) -> Option<u64> {
        const PAGE: u64 = 4096;
        self.file_bytes().checked_next_multiple_of(PAGE)
    }

    /// The cut of the bytes that are not recorded yet; `None` where there can be none.
    pub(crate) fn cut(&self) -> Option<Cut> {
        let Self { first_bytes, part_bytes, .. } = *self;
        (first_bytes > 0 && part_bytes > 0).then_some(Cut { first_bytes, part_bytes })
    }
}

/// The number of part records of the journal `id`, counted from the first, that the data file with this `mark`
/// certainly holds.
pub(crate) fn held_parts(id: u64, follows: Option<&Follows>, mark: Mark) -> u64 {
    if mark.journal == id {
        return mark.parts;
    }
    match follows {
        Some(follows) if follows.journal != mark.journal => 0,
        Some(follows) if mark.parts >= follows.parts => follows.kept,
        // A crash of the machine: the device has the data as it was when it was synced last.
        Some(follows) if mark.parts >= follows.synced => follows.kept_synced,
        _ => 0,
    }
}

/// The records without the part records behind the first `held`, and without all that follows them.
pub(crate) fn only_held(records: &[Record], held: u64) -> &[Record] {
    let mut parts = 0;
    let end = records.iter().position(|record| {
        parts += u64::from(matches!(record, Record::Part(_)));
        parts > held
    });
    &records[..end.unwrap_or(records.len())]
}

/// The parts that count as done after `records`: the synced parts and, if the machine has not been rebooted since
/// (`same_boot`), the written parts. Each part once, in the order of the records.
///
/// A record that contradicts earlier records, or the checkpoint, ends the list, because the later records come from a
/// faulty writer. A record of no bytes is skipped: earlier versions wrote one for a part that was cut off before its
/// first byte.
pub(crate) fn done_parts(checkpoint: &Checkpoint, records: &[Record], same_boot: bool) -> Vec<DonePart> {
    let mut parts: Vec<DonePart> = Vec::new();
    // By their first bytes.
    let mut places: BTreeMap<u64, usize> = BTreeMap::new();
    // Number of distinct parts among the first so many part records: the unit of `synced`.
    let mut distinct = Vec::new();
    let mut synced = 0;
    for record in records {
        match *record {
            Record::Part(PartWritten { number, start, end, crc }) => {
                if start > end || end > checkpoint.file_bytes() {
                    break;
                }
                if start == end {
                    distinct.push(parts.len());
                    continue;
                }
                let before = places.range(..end).next_back().map(|(_, place)| &parts[*place]);
                match before {
                    // The part was fetched again; the bytes are the same, but the later ones may not have reached the
                    // device.
                    Some(part) if part.bytes == (start..end) && part.crc == crc => {}
                    Some(part) if part.bytes.end > start => break,
                    _ => {
                        places.insert(start, parts.len());
                        parts.push(DonePart { number, bytes: start..end, crc, synced: false });
                    }
                }
                distinct.push(parts.len());
            }
            Record::Synced { count: 0 } => {}
            Record::Synced { count } => {
                let Some(&covered) = usize::try_from(count - 1).ok().and_then(|last| distinct.get(last)) else { break };
                synced = synced.max(covered);
            }
            Record::Whole => {}
        }
    }
    for part in &mut parts[..synced] {
        part.synced = true;
    }
    if !same_boot {
        parts.truncate(synced);
    }
    parts
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn checkpoint() -> Checkpoint {
        Checkpoint {
            bucket: "bucket".to_owned(),
            key: "a \"key\"\n with all sorts of é".to_owned(),
            version_id: None,
            range: None,
            object_bytes: 95,
            e_tag: Some("\"abc-7\"".to_owned()),
            last_modified: Some((1_700_000_000, 0)),
            first_bytes: 5,
            part_bytes: 10,
            checksum: Some("crc64nvme".to_owned()),
        }
    }

    impl Checkpoint {
        /// A part's place in the file, as the plan puts it; `None` if there is no such part.
        pub(crate) fn part(&self, number: u64) -> Option<Range<u64>> {
            let start = (0..number).fold(0, |start, _| self.cut().unwrap().end_behind(start));
            let end = self.file_bytes().min(self.cut().unwrap().end_behind(start));
            (start < end).then_some(start..end)
        }

        /// The record of a part that may not be there.
        pub(crate) fn written(&self, number: u64, crc: Option<u64>) -> Record {
            let Range { start, end } = self.part(number).unwrap_or(1000..1010);
            Record::Part(PartWritten { number, start, end, crc })
        }
    }

    fn part(number: u64) -> Record {
        checkpoint().written(number, None)
    }

    fn numbers(records: &[Record], same_boot: bool) -> Vec<u64> {
        done_parts(&checkpoint(), records, same_boot).into_iter().map(|part| part.number).collect()
    }

    #[test]
    fn what_was_written_counts_while_the_machine_runs_and_what_was_synced_always() {
        let records = [part(3), part(1), Record::Synced { count: 2 }, part(0), Record::Synced { count: 1 }, part(9)];
        assert_eq!(numbers(&records, true), [3, 1, 0, 9]);
        assert_eq!(numbers(&records, false), [3, 1]);
        assert_eq!(numbers(&records[..2], false), [0; 0]);
    }

    #[test]
    fn a_record_that_cannot_be_ends_the_list() {
        assert_eq!(numbers(&[part(1), part(10), part(2)], true), [1], "there are parts 0 to 9");
        assert_eq!(numbers(&[part(1), Record::Synced { count: 2 }, part(2)], true), [1]);
        assert_eq!(numbers(&[part(1), Record::Synced { count: u64::MAX }], false), [0; 0]);
        let crc = |crc| checkpoint().written(4, Some(crc));
        assert_eq!(numbers(&[crc(1), crc(2), part(5)], true), [4], "two checksums of one part");
        for (start, end) in [(4, 6), (14, 16), (6, 7), (0, 95), (5, 14), (8, 7), (90, 96)] {
            let odd = Record::Part(PartWritten { number: 4, start, end, crc: None });
            assert_eq!(numbers(&[part(1), odd, part(2)], true), [1], "{start}..{end} beside 5..15");
        }
        let other_sizes = Record::Part(PartWritten { number: 4, start: 15, end: 18, crc: None });
        assert_eq!(numbers(&[part(1), other_sizes, part(0)], true), [1, 4, 0]);
    }

    #[test]
    fn a_record_of_no_bytes_holds_nothing_and_the_records_behind_it_count() {
        for at in [0, 7, 15, 95] {
            let empty = Record::Part(PartWritten { number: 4, start: at, end: at, crc: None });
            let records = [empty, part(1), empty, Record::Synced { count: 3 }, part(2), Record::Synced { count: 9 }];
            assert_eq!(numbers(&records, true), [1, 2], "{at}");
            assert_eq!(numbers(&records, false), [1], "{at}");
            assert_eq!(numbers(&[empty, Record::Synced { count: 1 }, part(1)], false), [0; 0], "{at}");
        }
    }

    #[test]
    fn a_part_recorded_twice_counts_once_and_each_time_in_synced() {
        let records = [part(1), part(1), part(2), Record::Synced { count: 2 }];
        assert_eq!(numbers(&records, true), [1, 2]);
        assert_eq!(numbers(&records, false), [1]);
    }

    #[test]
    fn the_file_has_the_bytes_that_are_wanted_and_the_mark_a_page_behind_them() {
        let some = Checkpoint { range: Some(90..200), ..checkpoint() };
        assert_eq!((checkpoint().file_bytes(), some.file_bytes()), (95, 5));
        let ends = |object_bytes| Checkpoint { object_bytes, ..checkpoint() }.mark_at();
        assert_eq!([0, 1, 4096, 4097, u64::MAX].map(ends), [Some(0), Some(4096), Some(4096), Some(8192), None]);
    }

    #[test]
    fn a_journal_is_believed_as_far_as_the_mark_goes() {
        let mark = |journal, parts| Mark { journal, parts };
        assert_eq!((held_parts(7, None, mark(7, 3)), held_parts(7, None, mark(8, 3))), (3, 0));
        let follows = Follows { journal: 5, parts: 9, synced: 6, kept: 8, kept_synced: 4 };
        let held = |mark| held_parts(7, Some(&follows), mark);
        assert_eq!([mark(7, 3), mark(6, 9), mark(5, 9), mark(5, 10)].map(held), [3, 0, 8, 8]);
        assert_eq!([mark(5, 8), mark(5, 6), mark(5, 5)].map(held), [4, 4, 0]);
        let records = [part(3), Record::Synced { count: 1 }, part(1), Record::Synced { count: 2 }, part(0)];
        for (held, length) in [(0, 0), (1, 2), (2, 4), (3, 5), (9, 5)] {
            assert_eq!(only_held(&records, held), &records[..length]);
        }
    }

    proptest! {
        #[test]
        fn after_a_crash_only_what_a_synced_record_covers_counts(
            script in prop::collection::vec(prop_oneof![3 => (0_u64..10).prop_map(part), 1 => Just(Record::Synced { count: 0 })], 0..40),
        ) {
            // The model: at every sync, everything written so far goes to the device.
            let (mut records, mut written, mut device) = (Vec::new(), Vec::new(), Vec::new());
            for step in script {
                match step {
                    Record::Part(PartWritten { number, .. }) => {
                        written.push(number);
                        records.push(step);
                    }
                    _ => {
                        device.clone_from(&written);
                        records.push(Record::Synced { count: written.len() as u64 });
                    }
                }
            }
            let sorted = |mut parts: Vec<u64>| { parts.sort_unstable(); parts.dedup(); parts };
            prop_assert_eq!(sorted(numbers(&records, true)), sorted(written));
            prop_assert_eq!(sorted(numbers(&records, false)), sorted(device));
        }
    }
}
