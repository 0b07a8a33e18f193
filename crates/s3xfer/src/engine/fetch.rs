//! One part, from the first request to its last byte in the writer's hands, whatever happens in between.
//!
//! Cancelled at any await, the connection is closed or returned by the SDK, and the pieces that were handed over belong to
//! the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::time::sleep;

use crate::doors::s3::{Answer, Store};
use crate::engine::limits::Limits;
use crate::engine::write::{WriteError, Writer};
use crate::rules::coalesce::Coalescer;
use crate::rules::content_range::check_partial;
use crate::rules::plan::{Plan, first_request_bytes};
use crate::rules::retry::Attempts;
use crate::words::config::TransferConfig;
use crate::words::failure::{DownloadError, RequestError, RequestFailure};
use crate::words::object::{ObjectAddress, Part};

/// What every request of one transfer needs.
#[derive(Debug)]
pub(crate) struct Fetcher {
    pub(crate) store: Store,
    pub(crate) object: ObjectAddress,
    pub(crate) config: TransferConfig,
    pub(crate) limits: Arc<Limits>,
    pub(crate) counters: Counters,
}

/// For the report.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) retries: AtomicU64,
    in_flight: AtomicU32,
    pub(crate) peak_requests: AtomicU32,
}

/// The version of the object that a download is pinned to, as the first answer told it.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) object_bytes: u64,
    pub(crate) e_tag: Option<String>,
    /// Where there is no ETag.
    last_modified: Option<(i64, u32)>,
    /// False: the server answers every ranged request with the whole object.
    pub(crate) ranged: bool,
}

/// What the first answer told, and the answer, whose body is the beginning of the object.
#[derive(Debug)]
pub(crate) struct Discovered {
    pub(crate) version: Version,
    pub(crate) plan: Plan,
    pub(crate) first: Answer,
}

/// Why an attempt at a part ended early.
enum AttemptError {
    Request(RequestFailure),
    Write(WriteError),
}

/// Why a part did not come. `Stopped`: because of the writer, which knows more.
pub(crate) enum FetchError {
    Stopped,
    Failed(DownloadError),
}

impl Fetcher {
    /// Asks for the beginning of the object, and learns its size and version from the answer: no HEAD is needed.
    pub(crate) async fn discover(&self) -> Result<Discovered, DownloadError> {
        let range = 0..first_request_bytes(&self.config);
        let mut attempts = Attempts::new(self.config.num_download_attempts());
        let mut asked = Some(&range);
        loop {
            match self.get(asked, None).await {
                Ok(answer) => return self.understand(answer, asked).map_err(|failure| self.error(failure, None)),
                // An empty object has no byte 0. Without a range it answers like any other.
                Err(RequestFailure::BehindTheEnd) if asked.is_some() => asked = None,
                Err(RequestFailure::Transient(error)) => {
                    self.pause(&mut attempts, error, &Part { number: 0, bytes: range.clone() }, 0).await?;
                }
                Err(failure) => return Err(self.error(failure, None)),
            }
        }
    }

    fn understand(&self, first: Answer, asked: Option<&std::ops::Range<u64>>) -> Result<Discovered, RequestFailure> {
        let e_tag = first.e_tag.clone();
        let (object_bytes, plan) = match (&first.content_range, asked) {
            (Some(content_range), Some(asked)) => {
                let got = check_partial(asked, content_range, first.content_length).map_err(bad_response)?;
                (got.object_bytes, Plan::new(got.object_bytes, &self.config))
            }
            (Some(_), None) => return Err(bad_response("a part of the object, though no range was asked for")),
            (None, _) => {
                let Some(length) = first.content_length else {
                    return Err(bad_response("neither Content-Range nor Content-Length tells the object's size"));
                };
                (length, Plan::whole(length))
            }
        };
        let ranged = first.content_range.is_some();
        let version = Version { object_bytes, e_tag, last_modified: first.last_modified, ranged };
        Ok(Discovered { version, plan, first })
    }

    /// Brings `part` to the writer. `begun` is an answer that starts with the part's first byte, if there is one already.
    pub(crate) async fn part(
        &self,
        part: &Part,
        version: &Version,
        mut begun: Option<Answer>,
        writer: &Writer,
    ) -> Result<(), FetchError> {
        let mut attempts = Attempts::new(self.config.num_download_attempts());
        let mut coalescer = Coalescer::new(part.bytes.start, self.config.io_chunksize());
        let mut at = part.bytes.start;
        while at < part.bytes.end {
            let before = at;
            let outcome = self.attempt(part, version, &mut at, begun.take(), &mut coalescer, writer).await;
            if at > before {
                attempts.progressed();
            }
            match outcome {
                // The answer held less than was asked for: ask for the rest.
                Ok(()) => {}
                Err(AttemptError::Request(RequestFailure::Transient(error))) => {
                    self.pause(&mut attempts, error, part, at).await.map_err(FetchError::Failed)?;
                }
                Err(AttemptError::Request(failure)) => {
                    return Err(FetchError::Failed(self.error(failure, version.e_tag.as_deref())));
                }
                Err(AttemptError::Write(error)) => return Err(error.into()),
            }
        }
        match coalescer.finish() {
            Some(rest) => Ok(writer.push(rest).await?),
            None => Ok(()),
        }
    }

    /// One request from `at` to the part's end. `at` follows every byte that is taken.
    async fn attempt(
        &self,
        part: &Part,
        version: &Version,
        at: &mut u64,
        begun: Option<Answer>,
        coalescer: &mut Coalescer,
        writer: &Writer,
    ) -> Result<(), AttemptError> {
        let asked = *at..part.bytes.end;
        let mut answer = match begun {
            Some(answer) => answer,
            None => self.get(version.ranged.then_some(&asked), version.e_tag.as_deref()).await?,
        };
        let (starts_at, ends_at) = place(&answer, &asked, version)?;
        let mut skip = asked.start - starts_at;
        let mut place = starts_at;
        while *at < part.bytes.end && place < ends_at {
            let mut frame = match answer.body.next().await {
                Some(frame) => frame.map_err(RequestFailure::Transient)?,
                None => {
                    let source = format!("it ended {} bytes early", ends_at - place).into();
                    return Err(RequestFailure::Transient(RequestError::BrokeOff { source }).into());
                }
            };
            place += frame.len() as u64;
            if place > ends_at {
                return Err(bad_response("the body is longer than its range").into());
            }
            self.limits.pace(frame.len() as u64).await;
            let skipped = frame.split_to(frame.len().min(usize::try_from(skip).unwrap_or(usize::MAX)));
            skip -= skipped.len() as u64;
            frame.truncate(usize::try_from(part.bytes.end - *at).unwrap_or(usize::MAX));
            *at += frame.len() as u64;
            while !frame.is_empty() {
                if let Some(piece) = coalescer.push(&mut frame) {
                    writer.push(piece).await.map_err(AttemptError::Write)?;
                }
            }
        }
        Ok(())
    }

    async fn get(&self, range: Option<&std::ops::Range<u64>>, e_tag: Option<&str>) -> Result<Answer, RequestFailure> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.store.get(&self.object, range, e_tag).await
    }

    async fn pause(
        &self,
        attempts: &mut Attempts,
        source: RequestError,
        part: &Part,
        offset: u64,
    ) -> Result<(), DownloadError> {
        match attempts.after(&source, rand::random()) {
            Some(pause) => {
                tracing::debug!(object = %self.object, part = part.number, offset, error = %source, ?pause, "trying again");
                sleep(pause).await;
                self.counters.retries.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            None => Err(DownloadError::PartFailed {
                object: self.object.to_string(),
                part: part.number,
                offset,
                attempts: attempts.made(),
                source,
            }),
        }
    }

    fn error(&self, failure: RequestFailure, e_tag: Option<&str>) -> DownloadError {
        failure.into_error(&self.object, e_tag)
    }
}

/// Where in the object the answer's body starts and ends, once it is sure that it is the right version of it.
fn place(answer: &Answer, asked: &std::ops::Range<u64>, version: &Version) -> Result<(u64, u64), RequestFailure> {
    // Not every server heeds If-Match.
    match (&version.e_tag, &answer.e_tag) {
        (Some(_), None) => return Err(bad_response("it has no ETag, though the first answer had one")),
        (expected, found) if expected != found => return Err(RequestFailure::Changed),
        (None, _) if answer.last_modified != version.last_modified => return Err(RequestFailure::Changed),
        _ => {}
    }
    let (start, end, object_bytes) = match &answer.content_range {
        Some(content_range) => {
            let got = check_partial(asked, content_range, answer.content_length).map_err(bad_response)?;
            (got.bytes.start, got.bytes.end, got.object_bytes)
        }
        None if version.ranged => {
            return Err(bad_response("the whole object in answer to a request for a range of it"));
        }
        None => match answer.content_length {
            Some(length) => (0, length, length),
            None => return Err(bad_response("no Content-Length")),
        },
    };
    if object_bytes != version.object_bytes {
        return Err(RequestFailure::Changed);
    }
    Ok((start, end))
}

impl Counters {
    /// Counts a part as in flight until the guard is dropped.
    pub(crate) fn in_flight(&self) -> InFlight<'_> {
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak_requests.fetch_max(now, Ordering::Relaxed);
        InFlight(self)
    }
}

/// A part in flight.
pub(crate) struct InFlight<'a>(&'a Counters);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn bad_response(what: impl Into<String>) -> RequestFailure {
    RequestFailure::Final(RequestError::BadResponse { what: what.into() })
}

impl From<RequestFailure> for AttemptError {
    fn from(failure: RequestFailure) -> Self {
        Self::Request(failure)
    }
}

impl From<WriteError> for FetchError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped => Self::Stopped,
            WriteError::Disk(error) => Self::Failed(error),
        }
    }
}
