//! [`UploadSource`]: where the bytes of an upload come from.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::stream::{BoxStream, Stream, StreamExt, unfold};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Most bytes that are read from an [`AsyncRead`] at once.
const READ_BYTES: usize = 64 << 10;

/// The source of an upload's bytes: a file, bytes in memory, or a stream whose length nobody knows.
///
/// A path turns into one by itself, and so do bytes: `client.upload(Path::new("a.bin"), "bucket", "key")`.
pub struct UploadSource {
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    File(PathBuf),
    Bytes(Bytes),
    Stream(BoxStream<'static, io::Result<Bytes>>),
}

impl UploadSource {
    /// A file. Its parts are read at their positions, several at a time, as often as they have to be sent. One that is
    /// changed meanwhile is an error ([`TransferError::SourceChanged`](crate::TransferError::SourceChanged)). A FIFO
    /// or a device is read like [`reader`](Self::reader)'s; a FIFO that nobody opens for writing within
    /// [`first_byte_timeout`](crate::TransferConfig::first_byte_timeout) is an error.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { kind: Kind::File(path.into()) }
    }

    /// Bytes in memory. They are the caller's, and do not count against
    /// [`memory_limit`](crate::TransferConfig::memory_limit).
    #[must_use]
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self { kind: Kind::Bytes(bytes.into()) }
    }

    /// Any reader, to its end: a pipe, standard input, an answer of another server. Parts are collected in memory,
    /// within [`memory_limit`](crate::TransferConfig::memory_limit).
    #[must_use]
    pub fn reader(reader: impl AsyncRead + Send + 'static) -> Self {
        let next = |reader: Option<std::pin::Pin<Box<dyn AsyncRead + Send>>>| async move {
            let mut reader = reader?;
            let mut bytes = Vec::with_capacity(READ_BYTES);
            match reader.read_buf(&mut bytes).await {
                Ok(0) => None,
                Ok(_) => Some((Ok(Bytes::from(bytes)), Some(reader))),
                Err(error) => Some((Err(error), None)),
            }
        };
        Self::stream(unfold(Some(Box::pin(reader) as _), next))
    }

    /// Bytes in order, to the stream's end or its first error, which ends the upload
    /// ([`TransferError::Source`](crate::TransferError::Source)).
    #[must_use]
    pub fn stream(stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self { kind: Kind::Stream(stream.boxed()) }
    }
}

impl fmt::Debug for UploadSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::File(path) => write!(f, "UploadSource::file({path:?})"),
            Kind::Bytes(bytes) => write!(f, "UploadSource::bytes({} bytes)", bytes.len()),
            Kind::Stream(_) => f.write_str("UploadSource::stream(..)"),
        }
    }
}

impl From<PathBuf> for UploadSource {
    fn from(path: PathBuf) -> Self {
        Self::file(path)
    }
}

impl From<&Path> for UploadSource {
    fn from(path: &Path) -> Self {
        Self::file(path)
    }
}

impl From<&PathBuf> for UploadSource {
    fn from(path: &PathBuf) -> Self {
        Self::file(path)
    }
}

impl From<Bytes> for UploadSource {
    fn from(bytes: Bytes) -> Self {
        Self::bytes(bytes)
    }
}

impl From<Vec<u8>> for UploadSource {
    fn from(bytes: Vec<u8>) -> Self {
        Self::bytes(bytes)
    }
}
