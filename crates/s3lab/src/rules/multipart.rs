//! A multipart upload: the parts that arrived, and the object that CompleteMultipartUpload makes of them.
//!
//! Amazon S3 API reference, "CompleteMultipartUpload": parts are listed in ascending order with their ETags, and all
//! but the last are at least 5 MiB.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::SystemTime;

use super::checksum::{self, Sums};
use crate::words::{Algorithm, Checksums, Content, Object, StandardHeaders};

/// S3's least size of every part but the last, in bytes.
pub(crate) const MIN_PART_BYTES: u64 = 5 << 20;
/// S3's greatest part number.
pub(crate) const MAX_PART_NUMBER: i32 = 10_000;

/// One part that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) content: Content,
    pub(crate) sums: Sums,
    pub(crate) modified: SystemTime,
}

/// An upload in progress.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) headers: StandardHeaders,
    /// The algorithm named at the start; CRC64NVME of the whole where none was.
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) composite: bool,
    pub(crate) parts: BTreeMap<i32, Part>,
    pub(crate) initiated: SystemTime,
}

/// One part as the completing request lists it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) number: i32,
    /// Without quotes.
    pub(crate) etag: Option<String>,
    pub(crate) checksums: Vec<(Algorithm, String)>,
}

/// Why an upload was not completed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CompleteError {
    #[error("the request lists no part")]
    Empty,
    #[error("part {number} is listed behind a greater or equal number")]
    Order { number: i32 },
    #[error("part {number} was not uploaded, or with another ETag or checksum")]
    Invalid { number: i32 },
    #[error("part {number} has {size} bytes, less than the {min} every part but the last needs")]
    TooSmall { number: i32, size: u64, min: u64 },
    #[error("the parts have {size} bytes, not the {expected} x-amz-mp-object-size says")]
    Size { size: u64, expected: u64 },
    #[error("the {} the request gives is not the parts' {actual}", algorithm.name())]
    Checksum { algorithm: Algorithm, actual: String },
}

impl Upload {
    /// The algorithms a new part is hashed with, besides MD5 and those its own request names.
    pub(crate) fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        // Parts of an upload without an algorithm carry CRC64NVME, as S3 gives such objects one by itself.
        [Some(Algorithm::Crc64Nvme), self.algorithm].into_iter().flatten()
    }

    /// The object the listed parts make.
    pub(crate) fn complete(
        &self,
        listed: &[Listed],
        min_part_bytes: u64,
        expected_size: Option<u64>,
        expected: &[(Algorithm, String)],
        modified: SystemTime,
    ) -> Result<Object, CompleteError> {
        if listed.is_empty() {
            return Err(CompleteError::Empty);
        }
        let mut parts = Vec::with_capacity(listed.len());
        if let Some(pair) = listed.windows(2).find(|pair| pair[0].number >= pair[1].number) {
            return Err(CompleteError::Order { number: pair[1].number });
        }
        for (index, entry) in listed.iter().enumerate() {
            let number = entry.number;
            let part = self.parts.get(&number).ok_or(CompleteError::Invalid { number })?;
            let same_etag = entry.etag.as_ref().is_none_or(|etag| *etag == part.sums.etag());
            let same_sums = entry.checksums.iter().all(|(algorithm, sum)| {
                part.sums.get(*algorithm).is_some_and(|actual| checksum::base64(actual) == *sum)
            });
            if !same_etag || !same_sums {
                return Err(CompleteError::Invalid { number });
            }
            let size = part.content.len();
            if index + 1 < listed.len() && size < min_part_bytes {
                return Err(CompleteError::TooSmall { number, size, min: min_part_bytes });
            }
            parts.push(part);
        }
        let content = Content::concat(parts.iter().map(|part| &part.content));
        if let Some(expected) = expected_size.filter(|expected| *expected != content.len()) {
            return Err(CompleteError::Size { size: content.len(), expected });
        }
        let algorithm = self.algorithm.unwrap_or(Algorithm::Crc64Nvme);
        let sum_of = |part: &Part, algorithm| part.sums.get(algorithm).map(<[u8]>::to_vec);
        let value = if self.composite {
            let sums: Option<Vec<_>> = parts.iter().map(|part| sum_of(part, algorithm)).collect();
            sums.map(|sums| checksum::composite(algorithm, sums.iter().map(Vec::as_slice)))
        } else {
            let sums: Option<Vec<_>> =
                parts.iter().map(|part| sum_of(part, algorithm).map(|sum| (sum, part.content.len()))).collect();
            sums.and_then(|sums| checksum::full_object(algorithm, sums.iter().map(|(sum, len)| (sum.as_slice(), *len))))
                .map(|sum| checksum::base64(&sum))
        };
        let checksums = Checksums {
            values: value.map(|value| (algorithm, value)).into_iter().collect(),
            composite: self.composite,
        };
        for (algorithm, value) in expected {
            let actual = checksums.get(*algorithm).unwrap_or_default();
            // A client may leave the number of parts out of a composite checksum.
            if actual != *value && actual.split('-').next() != Some(value) {
                return Err(CompleteError::Checksum { algorithm: *algorithm, actual });
            }
        }
        let mut end = 0;
        let part_ends = parts
            .iter()
            .map(|part| {
                end += part.content.len();
                end
            })
            .collect();
        Ok(Object {
            etag: checksum::multipart_etag(parts.iter().map(|part| &part.sums.md5)),
            content,
            modified,
            headers: self.headers.clone(),
            checksums,
            part_ends,
            late_crc64nvme: OnceLock::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(algorithm: Option<Algorithm>, composite: bool, sizes: &[usize]) -> Upload {
        let mut upload = Upload {
            key: "k".into(),
            headers: StandardHeaders::default(),
            algorithm,
            composite,
            parts: BTreeMap::new(),
            initiated: SystemTime::UNIX_EPOCH,
        };
        for (index, size) in sizes.iter().enumerate() {
            let content = Content::memory(vec![index as u8; *size].into());
            let sums = Sums::of(&content, upload.algorithms());
            let part = Part { content, sums, modified: SystemTime::UNIX_EPOCH };
            upload.parts.insert(index as i32 + 1, part);
        }
        upload
    }

    fn list(numbers: &[i32]) -> Vec<Listed> {
        numbers.iter().map(|n| Listed { number: *n, etag: None, checksums: vec![] }).collect()
    }

    fn complete(upload: &Upload, numbers: &[i32]) -> Result<Object, CompleteError> {
        upload.complete(&list(numbers), 10, None, &[], SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn an_upload_without_an_algorithm_gets_the_crc64nvme_of_the_whole() {
        let object = complete(&upload(None, false, &[10, 20, 3]), &[1, 2, 3]).expect("valid");
        let whole = checksum::base64(&checksum::crc64nvme(&object.content));
        assert_eq!(object.checksums.get(Algorithm::Crc64Nvme), Some(whole));
        assert_eq!(object.part_ends, [10, 30, 33]);
        assert_eq!((object.part_range(2), object.part_range(4), object.part_range(0)), (Some(10..30), None, None));
        assert!(object.etag.ends_with("-3"));
    }

    #[test]
    fn a_composite_checksum_is_of_the_parts() {
        let object = complete(&upload(Some(Algorithm::Sha256), true, &[10, 20]), &[1, 2]).expect("valid");
        assert!(object.checksums.get(Algorithm::Sha256).expect("kept").ends_with("=-2"));
    }

    #[test]
    fn wrong_lists_are_refused() {
        let upload = upload(None, false, &[10, 9, 3]);
        assert_eq!(complete(&upload, &[]).unwrap_err(), CompleteError::Empty);
        assert_eq!(complete(&upload, &[2, 1]).unwrap_err(), CompleteError::Order { number: 1 });
        assert_eq!(complete(&upload, &[1, 1]).unwrap_err(), CompleteError::Order { number: 1 });
        assert_eq!(complete(&upload, &[1, 7]).unwrap_err(), CompleteError::Invalid { number: 7 });
        assert_eq!(complete(&upload, &[1, 2, 3]).unwrap_err(), CompleteError::TooSmall { number: 2, size: 9, min: 10 });
        let mut wrong = list(&[1]);
        wrong[0].etag = Some("00".into());
        let at = SystemTime::UNIX_EPOCH;
        assert_eq!(upload.complete(&wrong, 10, None, &[], at).unwrap_err(), CompleteError::Invalid { number: 1 });
        let size = upload.complete(&list(&[1]), 10, Some(11), &[], at).unwrap_err();
        assert_eq!(size, CompleteError::Size { size: 10, expected: 11 });
        let sum = [(Algorithm::Crc64Nvme, "AAAA".to_owned())];
        assert!(matches!(upload.complete(&list(&[1]), 10, None, &sum, at), Err(CompleteError::Checksum { .. })));
    }
}
