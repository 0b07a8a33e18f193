//! One measurement: a download into an empty folder, timed, with every byte of it checked.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crc_fast::{CrcAlgorithm, Digest};
use tokio::task::spawn_blocking;
use tunekit::Config;

use crate::engine::{Engine, TransferError};
use crate::object::{Connection, Object};

/// Downloads one object over and over.
#[derive(Debug)]
pub struct Bench {
    /// How to reach it.
    pub connection: Connection,
    /// Which.
    pub object: Object,
    /// Who downloads.
    pub engine: Engine,
    /// The folder that gets the file, in a temporary folder of its own each time.
    pub folder: PathBuf,
    /// The file's name.
    pub file_name: String,
    ledger: Mutex<Ledger>,
}

/// What was measured so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ledger {
    /// Downloads that were timed and found right.
    pub measurements: u64,
    /// Bytes they moved.
    pub bytes: u64,
    /// CRC-64/NVME of the object's bytes.
    expected: Option<u64>,
}

/// Why a measurement did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// The download failed.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The folder or the file in it cannot be used.
    #[error("{}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// The operating system's word.
        source: io::Error,
    },
    /// The download says that it is done, but there is no file.
    #[error("{engine} says that it is done, but wrote no file to {{out}}")]
    NoFile {
        /// Who downloaded.
        engine: String,
    },
    /// The download says that it is done, but too many or too few bytes are there.
    #[error("the downloaded file is wrong: it has {bytes} bytes, the object {expected}")]
    WrongLength {
        /// The file's size.
        bytes: u64,
        /// The object's.
        expected: u64,
    },
    /// The download says that it is done, and as many bytes are there, but they are not the object's.
    #[error("the downloaded file is wrong: its CRC64NVME is {found:016x}, the object's {expected:016x}")]
    WrongBytes {
        /// The file's checksum.
        found: u64,
        /// The object's, or that of the first download.
        expected: u64,
    },
}

impl Bench {
    /// Where the object's checksum is not known beforehand, every download must equal the first.
    #[must_use]
    pub fn new(connection: Connection, object: Object, engine: Engine, folder: PathBuf) -> Self {
        let file_name = object.file_name().to_owned();
        let ledger = Mutex::new(Ledger { expected: object.crc64nvme, ..Ledger::default() });
        Self { connection, object, engine, folder, file_name, ledger }
    }

    /// Downloads the object once, checks the file and removes it. The time is the download's alone.
    ///
    /// Dropped in the middle, the file and its folder are removed.
    ///
    /// # Errors
    ///
    /// [`MeasureError`].
    pub async fn download(&self, config: &Config) -> Result<Duration, MeasureError> {
        let scratch = tempfile::Builder::new()
            .prefix("s3tune-")
            .tempdir_in(&self.folder)
            .map_err(|source| MeasureError::Folder { path: self.folder.clone(), source })?;
        let target = scratch.path().join(&self.file_name);
        let took = self.engine.download(&self.connection, &self.object, config, &target).await?;
        let (bytes, found) = spawn_blocking(move || checksum(&target).map(|sum| (sum, scratch)))
            .await
            .expect("reading a file does not panic")
            .map(|(sum, _scratch)| sum)
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => MeasureError::NoFile { engine: self.engine.name().to_owned() },
                _ => MeasureError::Folder { path: self.folder.clone(), source },
            })?;

        if bytes != self.object.bytes {
            return Err(MeasureError::WrongLength { bytes, expected: self.object.bytes });
        }
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let expected = *ledger.expected.get_or_insert(found);
        if found != expected {
            return Err(MeasureError::WrongBytes { found, expected });
        }
        ledger.measurements += 1;
        ledger.bytes += bytes;
        Ok(took)
    }

    /// What was measured so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        *self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Size and CRC-64/NVME of a file.
fn checksum(path: &Path) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?;
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((bytes, digest.finalize())),
            Ok(read) => {
                digest.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// CRC-64/NVME of bytes that are made on the fly: `fill(offset, buffer)` writes those from `offset` on.
#[must_use]
pub fn checksum_of(bytes: u64, fill: impl Fn(u64, &mut [u8])) -> u64 {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    let mut buffer = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < bytes {
        let length = usize::try_from(bytes - offset).unwrap_or(usize::MAX).min(buffer.len());
        fill(offset, &mut buffer[..length]);
        digest.update(&buffer[..length]);
        offset += length as u64;
    }
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_the_bytes_it_holds_have_the_same_checksum() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i * 7) as u8).collect();
        std::fs::write(file.path(), &bytes).unwrap();
        let made = checksum_of(bytes.len() as u64, |offset, buffer| {
            buffer.copy_from_slice(&bytes[offset as usize..][..buffer.len()]);
        });
        assert_eq!(checksum(file.path()).unwrap(), (bytes.len() as u64, made));
        // The check value of CRC-64/NVME in the catalogue of parametrised CRC algorithms.
        assert_eq!(checksum_of(9, |_, buffer| buffer.copy_from_slice(b"123456789")), 0xae8b_1486_0a79_9888);
    }
}
