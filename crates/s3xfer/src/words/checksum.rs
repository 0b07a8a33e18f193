//! Checksums of whole objects: their kinds, and the results of comparing.
//!
//! Source: Amazon S3 User Guide, "Checking object integrity". A checksum is of the FULL_OBJECT or COMPOSITE type; only
//! CRCs of the former can be put together from the CRCs of ranges.

use std::fmt;

/// A checksum that can be combined from those of consecutive ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChecksumAlgorithm {
    /// CRC-32/ISO-HDLC.
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME, S3's default.
    Crc64Nvme,
}

impl ChecksumAlgorithm {
    /// As S3 writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
        }
    }
}

impl ChecksumAlgorithm {
    /// The algorithm of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Crc32, Self::Crc32c, Self::Crc64Nvme].into_iter().find(|algorithm| algorithm.name() == name)
    }
}

impl fmt::Display for ChecksumAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The MD5 that an ETag of an object or a part is, in quotes or not; `None` where it is something else.
pub(crate) fn md5_in(e_tag: &str) -> Option<[u8; 16]> {
    let digits = e_tag.trim_matches('"').as_bytes();
    let mut md5 = [0; 16];
    if digits.len() != 2 * md5.len() {
        return None;
    }
    for (byte, pair) in md5.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(md5)
}

/// The kind of checksum that S3 keeps of a whole object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectChecksum {
    pub(crate) algorithm: ChecksumAlgorithm,
    /// In the low 32 bits for the shorter ones.
    pub(crate) value: u64,
}

/// Whether the bytes are known to be those that were uploaded, or the reason why this is unknown.
///
/// In every case, each range had the requested length and place, and all ranges are of one version of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Integrity {
    /// The checksum that S3 keeps of the whole object matches. This download checked every byte, either as it came from
    /// the server or as it was read back from the disk.
    Validated(ChecksumAlgorithm),
    /// The checksum matches, but the parts that an earlier download had left (`resumed_bytes`) were checked when they
    /// came and not read back since. [`FileDownload::verify_kept`](crate::FileDownload::verify_kept) reads them.
    ValidatedAsReceived(ChecksumAlgorithm),
    /// It was not compared.
    NotValidated(NotValidated),
}

/// Why an object was not compared with a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotValidated {
    /// [`validate_checksum`](crate::TransferConfig::validate_checksum) is off.
    TurnedOff,
    /// Only a range of the object was requested; S3 keeps no checksum of ranges.
    PartOfTheObject,
    /// The server named no checksum of this object.
    NoChecksum,
    /// The object's checksum is composed of its parts' checksums, or cannot be combined from ranges (SHA).
    NotCombinable,
    /// Some bytes are from an earlier download, which did not know the object's algorithm and kept no checksums.
    ResumedWithout,
    /// The server did not give the checksum in time, or refused to.
    NotTold,
}
