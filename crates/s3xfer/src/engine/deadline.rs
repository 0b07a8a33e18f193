//! The one deadline of a transfer in any direction.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;
use tracing::Instrument;

use super::spans;
use crate::words::failure::TransferError;
use crate::words::object::ObjectAddress;
use crate::words::progress::Share;

/// Runs the `transfer` of `object` in no more than `limit`, in a span of its own. Its share of the progress is taken
/// back unless it succeeds.
///
/// # Errors
///
/// [`TransferError::TimedOut`], and those of `transfer`.
pub(crate) fn in_time<T>(
    direction: &'static str,
    limit: Option<Duration>,
    object: ObjectAddress,
    progress: Share,
    transfer: impl Future<Output = Result<T, TransferError>>,
) -> impl Future<Output = Result<T, TransferError>> {
    // Boxed before anything holds it: the futures of transfers are large.
    let transfer = Box::pin(transfer);
    let span = spans::transfer(direction, &object);
    let spanned = async move {
        let bounded = async {
            let Some(limit) = limit else { return transfer.await };
            let late = |_| Err(TransferError::TimedOut { object: object.to_string(), seconds: limit.as_secs() });
            timeout(limit, transfer).await.unwrap_or_else(late)
        };
        progress.until_done(bounded).await
    };
    spanned.instrument(span)
}
