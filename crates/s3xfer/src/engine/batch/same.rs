//! Whether two objects, or an object and a file, have the same bytes, by S3's records: the checksum of the whole
//! object, or an ETag that is an MD5 sum (S3 User Guide, "Checking object integrity").

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};

use super::side;
use crate::doors::s3::StoredChecksum;
use crate::engine::session::{Ask, At, Attempted, Session};
use crate::engine::shared::Shared;
use crate::rules::checksum::RunningChecksum;
use crate::rules::retry::Attempts;
use crate::words::batch::ItemError;
use crate::words::checksum::ChecksumAlgorithm;
use crate::words::failure::{RequestFailure, TransferError};
use crate::words::listing::ListRequest;
use crate::words::object::{ObjectAddress, ObjectRequest};

/// A checksum that can be computed of a file, too.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Crc(ChecksumAlgorithm, u64),
    Md5([u8; 16]),
}

/// Whether the file has the object's bytes. Reads all of it.
///
/// # Errors
///
/// The server does not tell the checksum, or the file cannot be read.
pub(crate) async fn object_and_file(
    shared: &Shared,
    asked: &ListRequest,
    object: ObjectAddress,
    e_tag: Option<String>,
    path: PathBuf,
) -> Result<bool, ItemError> {
    let threads = shared.config.use_threads();
    let Some(known) = known(shared, asked, object, e_tag).await? else { return Ok(false) };
    let computed = {
        let path = path.clone();
        side::wait(threads, move || of_file(&path, &known).map(|computed| computed == known)).await
    };
    computed.map_err(|source| ItemError::Unlisted { path, source })
}

/// Whether two objects, which are as large, have the same ETag or the same checksum; false if no kind of it is known of
/// both.
///
/// # Errors
///
/// The server does not tell one.
pub(crate) async fn objects(
    shared: &Shared,
    (source, source_object, source_e_tag): (&ListRequest, ObjectAddress, Option<String>),
    (target, target_object, target_e_tag): (&ListRequest, ObjectAddress, Option<String>),
) -> Result<bool, ItemError> {
    if source_e_tag.is_some() && source_e_tag == target_e_tag {
        return Ok(true);
    }
    let one = known(shared, source, source_object, source_e_tag).await?;
    let other = known(shared, target, target_object, target_e_tag).await?;
    Ok(one.is_some() && one == other)
}

async fn known(
    shared: &Shared,
    asked: &ListRequest,
    object: ObjectAddress,
    e_tag: Option<String>,
) -> Result<Option<Known>, ItemError> {
    let session = Session::new(shared.clone());
    let mut request = ObjectRequest::new(object);
    request.request_payer = asked.request_payer;
    request.expected_bucket_owner = asked.expected_bucket_owner.clone();
    let _permit = session.limits.permit().await;
    let stored = session.persist(&mut AskChecksum { session: &session, object: &request }).await?;
    let crc = match stored {
        StoredChecksum::Whole(algorithm, bytes) => value(&bytes).map(|value| Known::Crc(algorithm, value)),
        _ => None,
    };
    Ok(crc.or_else(|| e_tag.as_deref().and_then(md5).map(Known::Md5)))
}

struct AskChecksum<'a> {
    session: &'a Session,
    object: &'a ObjectRequest,
}

impl Ask for AskChecksum<'_> {
    type Answer = StoredChecksum;
    type Error = TransferError;

    async fn attempt(&mut self, _: &mut Attempts) -> Result<Attempted<StoredChecksum>, TransferError> {
        match self.session.store.checksum(self.object, self.session.config.first_byte_timeout()).await {
            Ok((_, stored)) => Ok(Attempted::Answered(stored)),
            Err(RequestFailure::Transient(error)) => Ok(Attempted::Failed(error)),
            Err(failure) => Err(failure.into_error(&self.object.address, None)),
        }
    }

    fn at(&self) -> At<'_> {
        At { object: &self.object.address, part: 0, offset: 0 }
    }
}

/// A checksum in S3's form, the highest byte first.
fn value(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// The MD5 sum that an ETag is, where it is one: those of multipart uploads have a `-` in them. The ETag of an SSE-KMS
/// or SSE-C object looks like an MD5 sum but is none; it matches no file.
fn md5(e_tag: &str) -> Option<[u8; 16]> {
    let digits = e_tag.strip_prefix('"')?.strip_suffix('"')?;
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut sum = [0; 16];
    for (byte, at) in sum.iter_mut().zip((0..32).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).ok()?;
    }
    Some(sum)
}

/// The file's checksum of the kind that `like` is.
fn of_file(path: &Path, like: &Known) -> std::io::Result<Known> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 256 << 10];
    let mut read = |update: &mut dyn FnMut(&[u8])| loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(bytes) => update(&buffer[..bytes]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    };
    match like {
        Known::Crc(algorithm, _) => {
            let mut running = RunningChecksum::new(*algorithm);
            read(&mut |bytes| running.update(bytes))?;
            Ok(Known::Crc(*algorithm, running.value()))
        }
        Known::Md5(_) => {
            let mut hasher = Md5::new();
            read(&mut |bytes| hasher.update(bytes))?;
            Ok(Known::Md5(hasher.finalize().into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_an_md5_sum_or_not() {
        assert!(md5("\"d41d8cd98f00b204e9800998ecf8427e\"").is_some());
        for other in ["d41d8cd98f00b204e9800998ecf8427e", "\"d41d8cd98f00b204e9800998ecf8427e-3\"", "\"\"", "W/\"x\""] {
            assert_eq!(md5(other), None, "{other}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        std::fs::write(&path, "").unwrap();
        let empty = Known::Md5(md5("\"d41d8cd98f00b204e9800998ecf8427e\"").unwrap());
        assert_eq!(of_file(&path, &empty).unwrap(), empty);
        let crc = Known::Crc(ChecksumAlgorithm::Crc64Nvme, 0);
        assert_eq!(of_file(&path, &crc).unwrap(), crc);
        assert_eq!(value(&[1, 2]), Some(258));
        assert_eq!(value(&[0; 9]), None);
    }
}
