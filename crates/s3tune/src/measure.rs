//! One measurement: a timed download into an empty folder, with every byte checked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tunekit::Config;

use crate::checksum::checksum;
use crate::engines::{Engine, Gauge, TransferError};
use crate::object::{Connection, Object};

/// Downloads one object repeatedly.
#[derive(Debug)]
pub struct Bench {
    /// The connection to the server.
    pub connection: Connection,
    /// The object.
    pub object: Object,
    /// The engine that downloads.
    pub engine: Engine,
    /// The folder for the downloads; each is written into a new temporary folder in it.
    pub folder: PathBuf,
    /// The file's name.
    pub file_name: String,
    /// The time limit of a download, because a program may hang.
    pub limit: Duration,
    ledger: Mutex<Ledger>,
}

/// The cost of the measurements so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ledger {
    /// Downloads that were timed and found right.
    pub measurements: u64,
    /// The bytes of these downloads.
    pub bytes: u64,
    /// CRC-64/NVME of the object's bytes.
    expected: Option<u64>,
}

/// The reason why a measurement failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// The download failed.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The folder or the file in it cannot be used.
    #[error("{}", path.display())]
    Folder {
        /// The folder or the file.
        path: PathBuf,
        /// The operating system's word.
        source: io::Error,
    },
    /// The download did not end.
    #[error("{engine} did not end within {} s", limit.as_secs_f64())]
    Late {
        /// The engine that downloaded.
        engine: String,
        /// The time it had.
        limit: Duration,
    },
    /// The download reported success, but there is no file.
    #[error("{engine} reported success, but wrote no file to {{out}}{}", others(wrote))]
    NoFile {
        /// The engine that downloaded.
        engine: String,
        /// The names in the folder.
        wrote: Vec<String>,
    },
    /// The download reported success, but the file has too many or too few bytes.
    #[error("the downloaded file is wrong: it has {bytes} bytes, the object {expected}")]
    WrongLength {
        /// The file's size.
        bytes: u64,
        /// The object's.
        expected: u64,
    },
    /// The download reported success, and the file has the right size, but its bytes are not the object's.
    #[error("the downloaded file is wrong: its CRC64NVME is {found:016x}, the object's {expected:016x}")]
    WrongBytes {
        /// The file's checksum.
        found: u64,
        /// The object's, or that of the first download.
        expected: u64,
    },
}

impl Bench {
    /// A bench that has measured nothing. If the object's checksum is unknown, every download must equal the first.
    #[must_use]
    pub fn new(connection: Connection, object: Object, engine: Engine, folder: PathBuf) -> Self {
        let file_name = object.file_name().to_owned();
        let ledger = Mutex::new(Ledger { expected: object.crc64nvme, ..Ledger::default() });
        // Ten minutes, and as long as it takes at 1 MB/s.
        let limit = Duration::from_secs(600 + object.bytes / 1_000_000);
        Self { connection, object, engine, folder, file_name, limit, ledger }
    }

    /// Downloads the object once, checks the file and removes it. The time is the download's alone.
    ///
    /// If the future is dropped, the file and its folder are removed.
    ///
    /// # Errors
    ///
    /// [`MeasureError`].
    pub async fn download(&self, config: &Config) -> Result<Duration, MeasureError> {
        self.download_watched(config, &Gauge::new()).await
    }

    /// Like [`Bench::download`]; `gauge` shows the progress.
    ///
    /// # Errors
    ///
    /// [`MeasureError`].
    pub async fn download_watched(&self, config: &Config, gauge: &Gauge) -> Result<Duration, MeasureError> {
        let scratch = tempfile::Builder::new()
            .prefix("s3tune-")
            .tempdir_in(&self.folder)
            .map_err(|source| MeasureError::Folder { path: self.folder.clone(), source })?;
        let target = scratch.path().join(&self.file_name);
        let downloading = self.engine.download(&self.connection, &self.object, config, &target, gauge);
        let took = timeout(self.limit, downloading)
            .await
            .map_err(|_| MeasureError::Late { engine: self.engine.name().to_owned(), limit: self.limit })??;
        // The check takes a while where the object is large.
        gauge.end();
        let expected = self.object.bytes;
        let (scratch, found) = spawn_blocking(move || (checksum(&target, expected), scratch))
            .await
            .map(|(found, scratch)| (scratch, found))
            .expect("reading a file does not panic");
        let (bytes, found) = found.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => {
                MeasureError::NoFile { engine: self.engine.name().to_owned(), wrote: names(scratch.path()) }
            }
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

    /// The cost of the measurements so far.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        *self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A few of the names, for an error.
fn others(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => format!("; it wrote {name:?}"),
        [name, ..] => format!("; it wrote {name:?} and {} more", names.len() - 1),
    }
}
