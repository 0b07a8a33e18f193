//! The format of a journal: lines of JSON, each followed by a checksum.
//!
//! The first line carries the version and the journal's identity, which the data file's mark repeats. A checksum is a
//! CRC-32 (ISO-HDLC) over the checksum of the line before, as 8 hexadecimal digits, and the line's JSON. So a line
//! counts only after the same lines as when it was written, and a torn line, or the rest of an older file, ends the
//! list. Pure: `journal.rs` reads and writes.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::words::checkpoint::{Checkpoint, Follows, Mark, Record};

/// Other versions are not read: their download starts over. Version 1 identified the data file by its name alone.
/// Version 2 identified parts by their numbers alone, which gives their places only if all parts have one size.
const VERSION: u32 = 3;

/// Bytes of a mark as it stands in the data file.
pub(super) const MARK_BYTES: usize = "s3xfer-mark 0123456789abcdef 0123456789abcdef 01234567\n".len();

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    s3xfer_journal: u32,
    /// A number that no other journal has.
    pub(super) id: u64,
    /// The journal that marked the data file before; `None` where the file was empty.
    pub(super) follows: Option<Follows>,
    /// Identity of the boot of the machine in which it was written; `None` if it is unknown.
    pub(super) boot_id: Option<String>,
    pub(super) checkpoint: Checkpoint,
}

/// The checksum of the line before; of none, at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain(u32);

impl Header {
    pub(super) fn new(id: u64, follows: Option<Follows>, checkpoint: Checkpoint, boot_id: Option<String>) -> Self {
        Self { s3xfer_journal: VERSION, id, follows, boot_id, checkpoint }
    }
}

/// A number that hardly any other text has.
pub(super) fn hash(text: &[u8]) -> u64 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, text)
}

/// A mark as it stands in the data file: a line of text with a CRC-32 at its end.
pub(super) fn mark_line(mark: Mark) -> String {
    let text = format!("s3xfer-mark {:016x} {:016x}", mark.journal, mark.parts);
    format!("{text} {:08x}\n", Chain::START.over(text.as_bytes()).0)
}

/// The mark in the line; `None` if the line holds no mark.
pub(super) fn read_mark(line: &[u8; MARK_BYTES]) -> Option<Mark> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace().skip(1);
    let mut number = || u64::from_str_radix(words.next()?, 16).ok();
    let mark = Mark { journal: number()?, parts: number()? };
    // The whole line must be the text of this mark.
    (mark_line(mark).as_bytes() == line).then_some(mark)
}

impl Chain {
    pub(super) const START: Self = Self(0);

    /// The line for a header or a record, with its end, and where the chain is then.
    pub(super) fn line(self, what: &impl Serialize) -> (String, Self) {
        let mut line = serde_json::to_string(what).expect("plain words have nothing that JSON lacks");
        let next = self.over(line.as_bytes());
        line.push_str(&format!(" {:08x}\n", next.0));
        (line, next)
    }

    fn over(self, json: &[u8]) -> Self {
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32IsoHdlc);
        digest.update(format!("{:08x}", self.0).as_bytes());
        digest.update(json);
        Self(u32::try_from(digest.finalize()).expect("a CRC-32 has 32 bits"))
    }

    /// The JSON of a line without its end, and where the chain is then; `None` if the line does not belong there.
    fn check(self, line: &[u8]) -> Option<(&[u8], Self)> {
        let (json, sum) = line.split_at_checked(line.len().checked_sub(9)?)?;
        let next = self.over(json);
        (sum == format!(" {:08x}", next.0).as_bytes()).then_some((json, next))
    }
}

/// The records of a journal up to its first damaged line; `None` if its first line is damaged.
pub(super) fn read(text: &[u8]) -> Option<(Header, Vec<Record>)> {
    let Lines { header, records, .. } = lines(text)?;
    Some((header, records)).filter(|(header, _): &(Header, _)| header.s3xfer_journal == VERSION)
}

/// The lines of a text that are whole, and all before them.
pub(super) struct Lines<H, R> {
    pub(super) header: H,
    pub(super) records: Vec<R>,
    /// Bytes of these lines.
    pub(super) bytes: usize,
    /// Behind the last of them.
    pub(super) chain: Chain,
}

/// Reads lines of two kinds: the first one, and all that follow. `None` if the first one is not whole.
pub(super) fn lines<H: DeserializeOwned, R: DeserializeOwned>(text: &[u8]) -> Option<Lines<H, R>> {
    // Text after the last line's end is torn.
    let mut lines = text.split_inclusive(|byte| *byte == b'\n').map_while(|line| line.strip_suffix(b"\n"));
    let first = lines.next()?;
    let (json, mut chain) = Chain::START.check(first)?;
    let (header, mut bytes) = (serde_json::from_slice(json).ok()?, first.len() + 1);
    let mut records = Vec::new();
    for line in lines {
        let Some((json, next)) = chain.check(line) else { break };
        let Ok(record) = serde_json::from_slice(json) else { break };
        records.push(record);
        chain = next;
        bytes += line.len() + 1;
    }
    Some(Lines { header, records, bytes, chain })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::checkpoint::{PartWritten, tests::checkpoint};

    fn records() -> Vec<Record> {
        let part = |number, crc| Record::Part(PartWritten { number, start: 10 * number, end: 10 * number + 10, crc });
        vec![part(7, Some(u64::MAX)), part(0, None), Record::Synced { count: 2 }, part(3, Some(0)), Record::Whole]
    }

    fn header() -> Header {
        let follows = Follows { journal: u64::MAX, parts: 9, synced: 4, kept: 5, kept_synced: 2 };
        Header::new(77, Some(follows), checkpoint(), Some("boot".to_owned()))
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_and_no_other_line_is_one() {
        for mark in [Mark { journal: 0, parts: 0 }, Mark { journal: u64::MAX, parts: 1 << 40 }] {
            let line: [u8; MARK_BYTES] = mark_line(mark).into_bytes().try_into().unwrap();
            assert_eq!(read_mark(&line), Some(mark));
            for at in 0..line.len() {
                for bit in 0..8 {
                    let mut wrong = line;
                    wrong[at] ^= 1 << bit;
                    assert_eq!(read_mark(&wrong), None, "bit {bit} of byte {at}");
                }
            }
        }
        assert_eq!(read_mark(&[0; MARK_BYTES]), None);
    }

    /// The journal's text, and where each of its lines ends.
    fn text() -> (Vec<u8>, Vec<usize>) {
        let (mut text, mut chain) = Chain::START.line(&header());
        let mut ends = vec![text.len()];
        for record in records() {
            let (line, next) = chain.line(&record);
            text.push_str(&line);
            ends.push(text.len());
            chain = next;
        }
        (text.into_bytes(), ends)
    }

    #[test]
    fn cut_at_any_byte_it_says_what_its_whole_lines_say() {
        let (text, ends) = text();
        for length in 0..=text.len() {
            let whole = ends.iter().filter(|end| **end <= length).count();
            match read(&text[..length]) {
                None => assert_eq!(whole, 0, "cut at {length}"),
                Some((header, read)) => {
                    assert_eq!(header, self::header());
                    assert_eq!(read, records()[..whole - 1], "cut at {length}");
                }
            }
        }
    }

    #[test]
    fn wrong_at_any_byte_it_says_what_the_lines_before_say() {
        let (text, ends) = text();
        for at in 0..text.len() {
            for wrong in [0, b'\n', text[at] ^ 1, text[at] ^ 0x20] {
                let mut text = text.clone();
                if text[at] == wrong {
                    continue;
                }
                text[at] = wrong;
                let whole = ends.iter().filter(|end| **end <= at).count();
                assert_eq!(read(&text).map(|(_, read)| read), whole.checked_sub(1).map(|n| records()[..n].to_vec()));
            }
        }
    }

    #[test]
    fn a_line_counts_only_behind_the_lines_it_was_written_behind() {
        let (text, ends) = text();
        let without_the_second = [&text[..ends[0]], &text[ends[1]..]].concat();
        assert_eq!(read(&without_the_second).unwrap().1, []);
    }

    #[test]
    fn it_is_text_with_its_version_in_front() {
        let (text, _) = text();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.starts_with(r#"{"s3xfer_journal":3,"id":77,"follows":{"journal":18446744073709551615,"#),
            "{text}"
        );
        assert!(text.contains(r#""kept_synced":2},"boot_id":"boot","checkpoint":{"bucket":"bucket","#), "{text}");
        assert!(text.contains("\n{\"part\":{\"number\":0,\"start\":0,\"end\":10}} "), "{text}");
        assert!(text.contains("\n{\"synced\":{\"count\":2}} "), "{text}");
        for version in [1, 2, 4] {
            let (other, _) = Chain::START.line(&Header { s3xfer_journal: version, ..header() });
            assert_eq!(read(other.as_bytes()), None, "version {version}");
        }
    }
}
