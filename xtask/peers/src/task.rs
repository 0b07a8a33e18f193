//! The task of every engine, the target of the bytes, and the cuts of ranges.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};

pub const MIB: u64 = 1 << 20;

/// Whole small objects on their way at once, for every engine.
pub const MANY_IN_FLIGHT: usize = 64;

/// One download, or one folder of them.
pub struct Task {
    pub endpoint: String,
    pub bucket: String,
    pub what: What,
    /// For the engines whose concurrency can be set from outside.
    pub concurrency: Option<u32>,
}

pub enum What {
    Get { key: String, out: String },
    GetMany { prefix: String, folder: String, count: u32 },
}

/// The engine has no way to do this.
#[derive(Debug)]
pub struct Unsupported(pub &'static str);

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Unsupported {}

impl Task {
    /// The engine's name and its task; none for what is not a command line of ours.
    pub fn parse(arguments: &[String]) -> Option<(String, Self)> {
        let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut concurrency = None;
        if let Some(at) = words.iter().position(|word| *word == "--concurrency") {
            concurrency = Some(words.get(at + 1)?.parse().ok()?);
            words.drain(at..at + 2);
        }
        let (engine, endpoint, bucket, what) = match words.as_slice() {
            [engine, "get", endpoint, bucket, key, out] => {
                (engine, endpoint, bucket, What::Get { key: (*key).into(), out: (*out).into() })
            }
            [engine, "get-many", endpoint, bucket, prefix, folder, count] => {
                let count = count.parse().ok()?;
                let what = What::GetMany { prefix: (*prefix).into(), folder: (*folder).into(), count };
                (engine, endpoint, bucket, what)
            }
            _ => return None,
        };
        let task = Self { endpoint: (*endpoint).into(), bucket: (*bucket).into(), what, concurrency };
        Some(((*engine).into(), task))
    }
}

/// Keys of a folder and the files they go to.
pub fn many(prefix: &str, folder: &str, count: u32) -> impl Iterator<Item = (String, String)> + Send {
    (0..count).map(move |i| (format!("{prefix}{i:05}"), format!("{folder}/{i:05}")))
}

/// Fetches a folder of objects, [`MANY_IN_FLIGHT`] at once, each in a task of its own; gives the sum of their bytes.
pub async fn fetch_many<F>(
    prefix: &str,
    folder: &str,
    count: u32,
    fetch: impl Fn(String, String) -> F + Send,
) -> Result<u64>
where
    F: Future<Output = Result<u64>> + Send + 'static,
{
    futures::stream::iter(many(prefix, folder, count))
        .map(|(key, out)| tokio::spawn(fetch(key, out)))
        .buffer_unordered(MANY_IN_FLIGHT)
        .map(|joined| joined?)
        .try_fold(0, |sum, bytes| async move { Ok(sum + bytes) })
        .await
}

/// `0..len` in pieces of `part`, the last one shorter.
pub fn ranges(len: u64, part: u64) -> impl Iterator<Item = (u64, u64)> + Send {
    (0..len.div_ceil(part)).map(move |i| (i * part, ((i + 1) * part).min(len)))
}

/// A file, or nothing at all for /dev/null: the same for every engine that leaves writing to its user.
#[derive(Clone)]
pub struct Target(Option<Arc<File>>);

impl Target {
    pub fn open(path: &str, len: Option<u64>) -> Result<Self> {
        if is_null(path) {
            return Ok(Self(None));
        }
        let file = File::create(path)?;
        if let Some(len) = len {
            file.set_len(len)?;
        }
        Ok(Self(Some(Arc::new(file))))
    }

    pub fn write_at(&self, data: &[u8], at: u64) -> Result<()> {
        if let Some(file) = &self.0 {
            file.write_all_at(data, at)?;
        }
        Ok(())
    }

    /// Appends a stream in its order.
    pub async fn append<E>(&self, body: impl Stream<Item = Result<Bytes, E>>) -> Result<u64>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut body = std::pin::pin!(body);
        let mut bytes = 0;
        while let Some(frame) = body.try_next().await? {
            if let Some(file) = &self.0 {
                (&**file).write_all(&frame)?;
            }
            bytes += frame.len() as u64;
        }
        Ok(bytes)
    }
}

pub fn is_null(path: &str) -> bool {
    path == "/dev/null"
}
