//! Targets that take bytes in order and cannot be renamed: FIFOs, terminals, other devices. Also FIFOs as sources.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Cursor, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep, timeout};

use crate::doors::blocking::{self, Running};
use crate::doors::close::close;
use crate::words::action::DiskAction;
use crate::words::failure::TransferError;

/// The time between two attempts to open a FIFO without a reader.
const TRY_AGAIN: Duration = Duration::from_millis(20);
/// Most bytes that are on their way to a device at once.
const LARGEST_WRITE: usize = 1 << 20;

/// Opens `target` for writing. For a FIFO, it waits until another process reads from it, but no longer than `patience`.
///
/// # Errors
///
/// [`TransferError::Disk`].
pub(crate) async fn open(target: &Path, patience: Duration) -> Result<Pin<Box<dyn AsyncWrite + Send>>, TransferError> {
    let fail = |action, source| TransferError::Disk { path: target.to_owned(), action, source };
    let fifo = fs::metadata(target).map_err(|source| fail(DiskAction::Look, source))?.file_type().is_fifo();
    if !fifo {
        let path = target.to_owned();
        let file = blocking::run(move || OpenOptions::new().write(true).open(path)).await;
        let file = file.map_err(|source| fail(DiskAction::Open, source))?;
        return Ok(Box::pin(Device::new(file)));
    }
    // Opened without blocking, because a thread that waits in `open` cannot be interrupted.
    let opened = async {
        loop {
            match pipe::OpenOptions::new().open_sender(target) {
                Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => sleep(TRY_AGAIN).await,
                other => return other,
            }
        }
    };
    match timeout(patience, opened).await {
        Ok(Ok(sender)) => Ok(Box::pin(sender)),
        Ok(Err(source)) => Err(fail(DiskAction::Open, source)),
        Err(_) => {
            let seconds = patience.as_secs();
            Err(fail(DiskAction::AwaitReader { seconds }, io::ErrorKind::TimedOut.into()))
        }
    }
}

/// The bytes that other programs write into the FIFO at `path`. It waits at most `patience` until a program has opened
/// the FIFO; after that, the program may pause for any time. No thread blocks.
///
/// # Errors
///
/// [`io::ErrorKind::TimedOut`]; the operating system's word.
pub(crate) async fn from_writer(path: &Path, patience: Duration) -> io::Result<impl AsyncRead + Send + 'static> {
    // Opened without blocking, as above.
    let receiver = pipe::OpenOptions::new().open_receiver(path)?;
    let (began, mut first) = (Instant::now(), Vec::new());
    // Ready when there are bytes, or when all writers have gone again; without any writer, never.
    while timeout(TRY_AGAIN, receiver.readable()).await.is_err() {
        let mut byte = [0];
        match rustix::io::read(&receiver, &mut byte) {
            // The error of a FIFO that no process has open.
            Ok(0) if began.elapsed() >= patience => {
                let what = format!("nobody has opened the FIFO for writing within {} s", patience.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            Ok(0) | Err(Errno::INTR) => {}
            // It has come in this moment.
            Ok(_) => {
                first.extend(byte);
                break;
            }
            // A process has it open, but has not written yet.
            Err(Errno::AGAIN) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(Cursor::new(first).chain(receiver))
}

/// Written by threads that may block, one write at a time. The next write or the flush returns the result of a write;
/// until then its success is unknown. tokio's own file does the same, but only on tokio's threads. The shutdown closes
/// a handle to the file, because a network file system may report a full disk only then.
struct Device {
    file: Arc<File>,
    writing: Option<Running<io::Result<()>>>,
    is_closed: bool,
}

impl Device {
    fn new(file: File) -> Self {
        Self { file: Arc::new(file), writing: None, is_closed: false }
    }

    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(writing) = &mut self.writing else { return Poll::Ready(Ok(())) };
        let ended = ready!(Pin::new(writing).poll(context));
        self.writing = None;
        Poll::Ready(ended)
    }
}

impl AsyncWrite for Device {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_written(context))?;
        let file = self.file.clone();
        let taken = bytes[..bytes.len().min(LARGEST_WRITE)].to_vec();
        let length = taken.len();
        self.writing = Some(blocking::run(move || (&*file).write_all(&taken)));
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_written(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_written(context))?;
        if !std::mem::replace(&mut self.is_closed, true) {
            let file = self.file.clone();
            self.writing = Some(blocking::run(move || close(file.try_clone()?)));
        }
        self.poll_written(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_a_device_does_not_take_is_told_by_the_next_write_or_the_flush() {
        let full = || open(Path::new("/dev/full"), Duration::ZERO);
        let mut device = full().await.unwrap();
        device.write_all(&[7]).await.unwrap();
        assert_eq!(device.flush().await.unwrap_err().kind(), io::ErrorKind::StorageFull);
        let mut device = full().await.unwrap();
        assert_eq!(device.write(&[7; 10 << 20]).await.unwrap(), LARGEST_WRITE);
        assert_eq!(device.write(&[7]).await.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[tokio::test]
    async fn bytes_reach_a_device_in_order_and_all_of_them_before_the_flush_ends() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut device = Device::new(file.reopen().unwrap());
        let bytes: Vec<u8> = (0..5 * LARGEST_WRITE / 2).map(|n| (n % 251) as u8).collect();
        for some in bytes.chunks(LARGEST_WRITE + 1000) {
            device.write_all(some).await.unwrap();
        }
        device.shutdown().await.unwrap();
        assert!(fs::read(file.path()).unwrap() == bytes);
    }
}
