//! The object that the lab stores under a key.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::SystemTime;

use super::Content;

/// A checksum S3 knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// S3's name for it, as in `x-amz-checksum-algorithm`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// Whether the checksum of a whole follows from those of its parts.
    pub(crate) fn combines(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64Nvme)
    }
}

/// The checksums of an object in S3's form: base64, with `-N` after composite ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Checksums {
    pub(crate) values: Vec<(Algorithm, String)>,
    pub(crate) composite: bool,
}

impl Checksums {
    pub(crate) fn get(&self, algorithm: Algorithm) -> Option<String> {
        self.values.iter().find(|(a, _)| *a == algorithm).map(|(_, value)| value.clone())
    }
}

/// The headers S3 keeps with an object and gives back.
#[derive(Debug, Clone, Default)]
pub(crate) struct StandardHeaders {
    pub(crate) cache_control: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) expires: Option<SystemTime>,
    pub(crate) metadata: Option<HashMap<String, String>>,
    /// Keys and values, in the order they were given.
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) storage_class: Option<String>,
    /// Server-side encryption, which is only remembered here.
    pub(crate) encryption: Option<String>,
    pub(crate) kms_key_id: Option<String>,
}

/// One object: immutable once stored; a PUT stores another one in its place.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) content: Content,
    /// Without its quotes.
    pub(crate) etag: String,
    /// Whole seconds, as HTTP dates are.
    pub(crate) modified: SystemTime,
    pub(crate) headers: StandardHeaders,
    pub(crate) checksums: Checksums,
    /// End offset of each part, in order; empty for an object that was stored in one piece.
    pub(crate) part_ends: Vec<u64>,
    /// CRC64NVME of a synthetic object, computed when first asked for: 3 GiB are a few tenths of a second.
    pub(crate) late_crc64nvme: OnceLock<String>,
}

impl Object {
    /// The half-open range of part `number` (counted from 1); an object stored in one piece is its own part 1.
    pub(crate) fn part_range(&self, number: i32) -> Option<std::ops::Range<u64>> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        if self.part_ends.is_empty() {
            return (index == 0).then(|| 0..self.content.len());
        }
        let start = if index == 0 { 0 } else { *self.part_ends.get(index - 1)? };
        Some(start..*self.part_ends.get(index)?)
    }
}
