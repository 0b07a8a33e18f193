//! [`TransferMemory`]: the start of a transfer from the findings of earlier ones.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::doors::memory;
use crate::words::found::{Found, Kept, Place};

/// Numbers that adaptive transfers have found, for each endpoint and bucket: how many requests were right, how fast a
/// body came, how long a first byte took, and which rate of requests was refused.
///
/// A transfer with [`adaptive_concurrency`](crate::TransferConfig::adaptive_concurrency) begins with them, and judges
/// them as it judges everything: if its first answer or the first window tells another story, it goes on as if it had
/// been told nothing. A transfer with a fixed number of requests neither asks nor tells.
///
/// Every client has one, and clones share it. [`Client::with_memory`](crate::Client::with_memory) gives several clients
/// the same one, [`load`](Self::load) and [`save`](Self::save) keep it from one process to the next in a small JSON
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
    /// One that remembers nothing: every transfer begins as the first one did.
    #[must_use]
    pub const fn none() -> Self {
        Self { places: None }
    }

    /// Reads the file that [`save`](Self::save) has written; an empty memory where there is none.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, or that is no such file ([`io::ErrorKind::InvalidData`]); the message names it and
    /// says where it is wrong.
    pub fn load(path: impl AsRef<Path>) -> io::Result<Self> {
        let places = memory::read(path.as_ref())?.into_iter().collect();
        Ok(Self { places: Some(Arc::new(Mutex::new(places))) })
    }

    /// Writes it to a file, in one step, with mode 0600. Findings of other processes in that file are kept, of the same
    /// place the newest; one whose date is in the future counts as the oldest. While another process writes the file,
    /// its lock is waited for (`.lock` behind the file's name, removed afterwards), for 5 s at the most. Blocks.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load), and a file that cannot be written. The file is then unchanged.
    pub fn save(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let Some(places) = &self.places else { return Ok(()) };
        let ours: Vec<(Place, Kept)> = lock(places).iter().map(|(place, kept)| (place.clone(), *kept)).collect();
        memory::merge(path.as_ref(), ours)
    }

    /// The number of places that something is known of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.as_ref().map_or(0, |places| lock(places).len())
    }

    /// Whether nothing is known.
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
