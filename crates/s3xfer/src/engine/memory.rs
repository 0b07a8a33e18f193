//! [`TransferMemory`]: the findings of earlier transfers, from which a transfer starts.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::doors::memory;
use crate::words::found::{Found, Kept, Place};

/// The findings of adaptive transfers, for each endpoint and bucket: the right number of requests, the rate of a body,
/// the time to the first byte, and the rate at which requests were refused.
///
/// A transfer with [`adaptive_concurrency`](crate::TransferConfig::adaptive_concurrency) begins with them and checks
/// them. If its first answer or its first window contradicts them, it continues without them. A transfer with a fixed
/// number of requests neither uses nor adds findings.
///
/// Every client has a memory, and clones share it. [`Client::with_memory`](crate::Client::with_memory) gives several
/// clients the same memory. [`load`](Self::load) and [`save`](Self::save) keep it between processes in a small JSON
/// file.
///
/// ```
/// use s3xfer::TransferMemory;
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("memory.json");
/// // Empty where there is no such file yet.
/// let memory = TransferMemory::load(&path)?;
/// // ... Client::from_env().await.with_memory(memory.clone()), and transfers ...
/// memory.save(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TransferMemory {
    /// `None`: nothing is remembered.
    places: Option<Arc<Mutex<HashMap<Place, Kept>>>>,
}

impl Default for TransferMemory {
    fn default() -> Self {
        Self { places: Some(Arc::default()) }
    }
}

impl TransferMemory {
    /// A memory that stays empty: every transfer begins without findings.
    #[must_use]
    pub const fn none() -> Self {
        Self { places: None }
    }

    /// Reads the file that [`save`](Self::save) has written. A missing file gives an empty memory.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not a memory of transfers ([`io::ErrorKind::InvalidData`]); the message names the
    /// file and the fault.
    pub fn load(path: impl AsRef<Path>) -> io::Result<Self> {
        let places = memory::read(path.as_ref())?.into_iter().collect();
        Ok(Self { places: Some(Arc::new(Mutex::new(places))) })
    }

    /// Writes the memory to a file, atomically and with mode 0600. Findings of other processes in that file are kept;
    /// for the same place, the newest wins, and an entry with a future date counts as the oldest. While another process
    /// writes the file, this call waits for its lock (the file's name with `.lock` appended, removed afterwards), for
    /// at most 5 s. It blocks.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load), and a file that cannot be written. The file is then unchanged.
    pub fn save(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let Some(places) = &self.places else { return Ok(()) };
        let ours: Vec<(Place, Kept)> = lock(places).iter().map(|(place, kept)| (place.clone(), *kept)).collect();
        memory::merge(path.as_ref(), ours)
    }

    /// The number of places with findings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.as_ref().map_or(0, |places| lock(places).len())
    }

    /// Whether there are no findings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn recall(&self, place: &Place) -> Option<Found> {
        Some(lock(self.places.as_ref()?).get(place)?.found)
    }

    pub(crate) fn remember(&self, place: Place, found: Found) {
        if let Some(places) = &self.places {
            lock(places).insert(place, Kept { found, at: SystemTime::now() });
        }
    }
}

fn lock(places: &Mutex<HashMap<Place, Kept>>) -> MutexGuard<'_, HashMap<Place, Kept>> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}
