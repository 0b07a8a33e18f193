//! [`Unfinished`]: the facts about an interrupted upload that the next one needs.
//!
//! The server keeps the parts, and the journal holds their upload and their checksums. A part counts as done if both
//! agree on it: the server's list alone does not prove that its bytes are the file's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A file at one moment. Another size, time of modification or inode is another file, or the same one with other bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SourceIdentity {
    pub(crate) bytes: u64,
    /// Seconds since 1970, and nanoseconds.
    pub(crate) modified: (i64, i64),
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// The target object and the source file of an upload. Two uploads can share parts only if both are equal. Holds no
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Intended {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) source: SourceIdentity,
    /// A digest of everything that the request to begin the upload contains: content type, metadata, encryption and so
    /// on.
    pub(crate) attributes: String,
    pub(crate) checksum: String,
}

/// The first record of an upload's journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unfinished {
    pub(crate) intended: Intended,
    /// Bytes of every part but the last.
    pub(crate) part_bytes: u64,
    /// Seconds since 1970 by this machine's clock, before the server was asked to begin.
    pub(crate) since: u64,
}

/// The steps of an upload, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum UploadRecord {
    /// The server has begun it.
    Begun { upload_id: String },
    /// The server has a part.
    Part(RecordedPart),
    /// All parts are at the server, and it is asked to complete the upload.
    Completing { checksum: u64, e_tag: Option<String> },
}

/// A part that the server has answered for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordedPart {
    /// From 0.
    pub(crate) number: u64,
    pub(crate) e_tag: String,
    pub(crate) checksum: u64,
}

/// The end of an upload that was asked for, and not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Completing {
    pub(crate) checksum: u64,
    pub(crate) e_tag: Option<String>,
}

/// An upload's journal, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SavedUpload {
    pub(crate) unfinished: Unfinished,
    /// `None`: the process ended before it knew the answer.
    pub(crate) upload_id: Option<String>,
    /// By number; the latest record of each.
    pub(crate) parts: BTreeMap<u64, RecordedPart>,
    pub(crate) completing: Option<Completing>,
}

/// A part as the server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedPart {
    /// From 1.
    pub(crate) number: i32,
    pub(crate) e_tag: String,
    pub(crate) bytes: u64,
}

impl SavedUpload {
    pub(crate) fn new(unfinished: Unfinished, records: impl IntoIterator<Item = UploadRecord>) -> Self {
        let mut saved = Self { unfinished, upload_id: None, parts: BTreeMap::new(), completing: None };
        for record in records {
            match record {
                UploadRecord::Begun { upload_id } => saved.upload_id = Some(upload_id),
                UploadRecord::Part(part) => drop(saved.parts.insert(part.number, part)),
                UploadRecord::Completing { checksum, e_tag } => saved.completing = Some(Completing { checksum, e_tag }),
            }
        }
        saved
    }

    /// The parts that need not be sent again, with their places: the parts that are the same in the journal and at the
    /// server.
    pub(crate) fn done(&self, listed: &[ListedPart]) -> Vec<(RecordedPart, std::ops::Range<u64>)> {
        let Unfinished { part_bytes, intended, .. } = &self.unfinished;
        let is_same = |listed: &&ListedPart| {
            let number = u64::try_from(listed.number).ok()?.checked_sub(1)?;
            let recorded = self.parts.get(&number)?;
            let start = number.checked_mul(*part_bytes).filter(|start| *start < intended.source.bytes)?;
            let end = intended.source.bytes.min(start.saturating_add(*part_bytes));
            let same = trimmed(&recorded.e_tag) == trimmed(&listed.e_tag) && listed.bytes == end - start;
            same.then(|| (recorded.clone(), start..end))
        };
        let mut done: Vec<_> = listed.iter().filter_map(|listed| is_same(&listed)).collect();
        done.sort_by_key(|(part, _)| part.number);
        done.dedup_by_key(|(part, _)| part.number);
        done
    }
}

/// Without the quotes, which not every server writes everywhere.
fn trimmed(e_tag: &str) -> &str {
    e_tag.trim_matches('"')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn unfinished() -> Unfinished {
        let source = SourceIdentity { bytes: 25, modified: (1_700_000_000, 7), device: 3, inode: 9 };
        let intended = Intended {
            bucket: "bucket".to_owned(),
            key: "a \"key\"\n é".to_owned(),
            source,
            attributes: "0123".to_owned(),
            checksum: "CRC64NVME".to_owned(),
        };
        Unfinished { intended, part_bytes: 10, since: 1_700_000_001 }
    }

    pub(crate) fn part(number: u64, e_tag: &str) -> RecordedPart {
        RecordedPart { number, e_tag: e_tag.to_owned(), checksum: number }
    }

    fn listed(number: i32, e_tag: &str, bytes: u64) -> ListedPart {
        ListedPart { number, e_tag: e_tag.to_owned(), bytes }
    }

    #[test]
    fn a_part_counts_where_the_journal_and_the_server_agree() {
        let parts = [part(0, "\"a\""), part(1, "\"old\""), part(1, "\"b\""), part(2, "\"c\""), part(3, "\"d\"")];
        let saved = SavedUpload::new(unfinished(), parts.map(UploadRecord::Part));
        let numbers = |listed: &[ListedPart]| {
            saved
                .done(listed)
                .into_iter()
                .map(|(part, bytes)| (part.number, bytes.start, bytes.end))
                .collect::<Vec<_>>()
        };
        let all = [listed(3, "c", 5), listed(1, "\"a\"", 10), listed(2, "\"b\"", 10)];
        assert_eq!(numbers(&all), [(0, 0, 10), (1, 10, 20), (2, 20, 25)]);
        // Another ETag, another size, a part that is not on record, one behind the file's end, and numbers of none.
        let odd = [listed(1, "x", 10), listed(2, "old", 10), listed(3, "c", 10), listed(4, "d", 10)];
        assert_eq!(numbers(&odd), []);
        assert_eq!(numbers(&[listed(0, "a", 10), listed(-1, "a", 10), listed(i32::MAX, "a", 10)]), []);
        assert_eq!(numbers(&[listed(1, "a", 10), listed(1, "a", 10)]), [(0, 0, 10)]);
    }

    #[test]
    fn the_last_word_of_a_journal_counts() {
        let begun = |id: &str| UploadRecord::Begun { upload_id: id.to_owned() };
        let completing = UploadRecord::Completing { checksum: 5, e_tag: None };
        let saved = SavedUpload::new(unfinished(), [begun("a"), UploadRecord::Part(part(0, "x")), completing]);
        assert_eq!(saved.upload_id.as_deref(), Some("a"));
        assert_eq!((saved.parts.len(), saved.completing), (1, Some(Completing { checksum: 5, e_tag: None })));
        assert_eq!(SavedUpload::new(unfinished(), []).upload_id, None);
    }
}
