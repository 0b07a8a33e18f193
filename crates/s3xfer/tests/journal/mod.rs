//! The files beside the target of a download that can be continued, as anybody sees them in the folder.

#![allow(dead_code, reason = "each test binary uses its part of it")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::ops::Range;
use std::path::Path;

/// The names beside the target `object.bin`.
pub(crate) const DATA: &str = ".object.bin.s3xfer";
pub(crate) const JOURNAL: &str = ".object.bin.s3xfer-journal";

/// The numbers of the parts on record, as often as they are there; a torn line is none.
pub(crate) fn recorded(folder: &Path) -> Vec<u64> {
    let text = fs::read_to_string(folder.join(JOURNAL)).unwrap_or_default();
    let number = |line: &str| {
        let (_, number) = line.strip_suffix('\n')?.split_once("\"number\":")?;
        number.split_once([',', '}'])?.0.parse().ok()
    };
    text.split_inclusive('\n').filter_map(number).collect()
}

/// The bytes that a Range header asks for.
pub(crate) fn asked(header: &str) -> Range<u64> {
    let (first, last) = header.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    first.parse().unwrap()..last.parse::<u64>().unwrap() + 1
}
