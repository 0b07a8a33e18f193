//! [`Order`]: the object to download, and the client's limits for it.
//!
//! The public builder becomes an order when it runs; no code below names the builder or the client.

use std::future::Future;

use crate::engine::deadline::in_time;
use crate::engine::shared::Shared;
use crate::words::failure::TransferError;
use crate::words::object::{ObjectAddress, ObjectRequest};
use crate::words::progress::{Progress, Share};

/// A download that has no target yet.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) shared: Shared,
    pub(crate) object: ObjectRequest,
    /// The object's size, where the caller knows it.
    pub(crate) object_bytes: Option<u64>,
    pub(crate) progress: Share,
}

impl Order {
    pub(crate) fn new(shared: Shared, object: ObjectAddress) -> Self {
        Self { shared, object: ObjectRequest::new(object), object_bytes: None, progress: Progress::new().into() }
    }

    /// Runs `download` with this order, in no more than `transfer_timeout`: the one deadline of a download. Its share
    /// of the progress is taken back unless it succeeds.
    ///
    /// # Errors
    ///
    /// [`TransferError::TimedOut`], and those of `download`.
    pub(crate) async fn run<T, F>(self, download: impl FnOnce(Self) -> F) -> Result<T, TransferError>
    where
        F: Future<Output = Result<T, TransferError>>,
    {
        let (limit, object) = (self.shared.config.transfer_timeout(), self.object.address.clone());
        in_time("download", limit, object, self.progress.clone(), download(self)).await
    }
}
