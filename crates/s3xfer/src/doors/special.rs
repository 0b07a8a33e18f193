//! Targets that take bytes in order and have no name to be given: FIFOs, terminals, other devices.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::net::unix::pipe;
use tokio::time::{sleep, timeout};

use crate::words::failure::DownloadError;

/// How often a FIFO is tried that nobody reads from yet.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// Opens `target` for writing. A FIFO is waited for until somebody reads from it, but no longer than `patience`.
///
/// # Errors
///
/// [`DownloadError::Disk`].
pub(crate) async fn open(target: &Path, patience: Duration) -> Result<Pin<Box<dyn AsyncWrite + Send>>, DownloadError> {
    let fail =
        |action: &str, source| DownloadError::Disk { path: target.to_owned(), action: action.to_owned(), source };
    let fifo = fs::metadata(target).map_err(|source| fail("look at it", source))?.file_type().is_fifo();
    if !fifo {
        let file = tokio::fs::OpenOptions::new().write(true).open(target).await;
        return Ok(Box::pin(file.map_err(|source| fail("open it for writing", source))?));
    }
    // Opened without blocking, for a thread that waits in `open` cannot be called back.
    let opened = async {
        loop {
            match pipe::OpenOptions::new().open_sender(target) {
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                    sleep(TRY_AGAIN).await
                }
                other => return other,
            }
        }
    };
    match timeout(patience, opened).await {
        Ok(Ok(sender)) => Ok(Box::pin(sender)),
        Ok(Err(source)) => Err(fail("open it for writing", source)),
        Err(_) => {
            let action = format!("write to it: nobody has opened it for reading within {} s", patience.as_secs());
            Err(fail(&action, io::ErrorKind::TimedOut.into()))
        }
    }
}
