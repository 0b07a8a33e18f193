//! Multipart uploads that somebody began and never ended: found and aborted.
//!
//! Dropped at any await, those that were aborted stay so.

use std::time::{Duration, SystemTime};

use crate::engine::shared::Shared;
use crate::words::failure::TransferError;

/// A multipart upload that was begun and neither completed nor aborted. The parts that it has cost what objects cost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StaleUpload {
    /// The key of the object that it was to become.
    pub key: String,
    /// Its id.
    pub upload_id: String,
    /// When it was begun, by the server's clock.
    pub initiated: SystemTime,
}

pub(crate) async fn abort_stale(
    _shared: Shared,
    _bucket: String,
    _prefix: String,
    _older_than: Duration,
) -> Result<Vec<StaleUpload>, TransferError> {
    unimplemented!("the next commit")
}
