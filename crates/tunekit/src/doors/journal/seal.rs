//! `Seals`: a checksum at the end of every line of a journal, over the line, its place and all lines before it.
//!
//! The check is the beginning of a SHA-256 over the check before, the line's number and its text without the check. So
//! changed bits and missing, doubled or moved lines are detected. Lines cut off at the end are not detected: the rest
//! is the journal of a study at an earlier moment. Journals begun before schema 4 have lines without checks; lines
//! appended later have checks, which cover the earlier lines, too.

use sha2::{Digest, Sha256};

/// Bytes of the digest that a line has.
const BYTES: usize = 8;
/// The beginning of a check, in place of a line's last brace.
const BEFORE: &str = r#","check":""#;
/// The end of a line with a check.
const AFTER: &str = r#""}"#;

/// The checks of a journal's lines, one after the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seals {
    last: [u8; BYTES],
    lines: u64,
    /// Whether the last line had one.
    began: bool,
}

/// The relation of a line to its check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sealed {
    /// It has the right one.
    Yes,
    /// It has none.
    No,
    /// It has another one.
    Wrong,
}

impl Seals {
    /// A line with its check; `text` is a JSON object without one.
    pub(super) fn seal(&mut self, text: &str) -> String {
        let body = text.strip_suffix('}').unwrap_or(text);
        let check = self.next(body.as_bytes());
        self.began = true;
        format!("{body}{BEFORE}{}{AFTER}", hex(check))
    }

    /// Looks at the next line of a journal, without its end.
    pub(super) fn check(&mut self, line: &[u8]) -> Sealed {
        let (body, digits) = split(line);
        let check = self.next(body);
        self.began = self.began || digits.is_some();
        match digits {
            None => Sealed::No,
            Some(digits) if digits == hex(check).as_bytes() => Sealed::Yes,
            Some(_) => Sealed::Wrong,
        }
    }

    /// Whether a line without a check is damaged, for one before it had one.
    pub(super) fn has_begun(&self) -> bool {
        self.began
    }

    fn next(&mut self, body: &[u8]) -> [u8; BYTES] {
        self.lines += 1;
        let mut digest = Sha256::new();
        digest.update(self.last);
        digest.update(self.lines.to_le_bytes());
        digest.update(body);
        self.last.copy_from_slice(&digest.finalize()[..BYTES]);
        self.last
    }
}

fn hex(check: [u8; BYTES]) -> String {
    check.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A line's text without its last brace and check, and the digits of its check.
fn split(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    let digits = line.strip_suffix(AFTER.as_bytes()).and_then(|rest| {
        let at = rest.len().checked_sub(2 * BYTES)?;
        Some((rest[..at].strip_suffix(BEFORE.as_bytes())?, &rest[at..]))
    });
    match digits {
        Some((body, digits)) => (body, Some(digits)),
        None => (line.strip_suffix(b"}").unwrap_or(line), None),
    }
}
