//! [`Session`]: what every request of one transfer needs, in whatever direction the bytes go, and the one loop that
//! tries again.
//!
//! Dropped at any await, the attempt is over, and nothing remains but what it has handed over.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::doors::s3::Store;
use crate::engine::counters::{Counters, Stopwatch};
use crate::engine::limits::Limits;
use crate::engine::shared::Shared;
use crate::engine::steering::{Steered, Steering};
use crate::rules::control::Bounds;
use crate::rules::floor::Floor;
use crate::rules::retry::{Attempts, GaveUp, Now};
use crate::words::checksum::Integrity;
use crate::words::config::TransferConfig;
use crate::words::failure::{RequestError, RequestFailure, TransferError};
use crate::words::object::ObjectAddress;
use crate::words::report::{TransferReport, Waits};

/// Parts that an upload sends at once, unless `max_concurrency` says otherwise: its default is a bound for downloads.
/// S3 takes some 20 MB/s on a connection.
const MOST_UPLOADS: u32 = 64;

/// One transfer's way to the server, its limits and its counters.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) store: Store,
    pub(crate) config: TransferConfig,
    pub(crate) limits: Arc<Limits>,
    pub(crate) counters: Counters,
    pub(crate) steering: Arc<Steering>,
    pub(crate) started: Instant,
}

impl Session {
    /// Begins now.
    pub(crate) fn new(shared: Shared) -> Arc<Self> {
        let requests = most_requests(&shared.config, &shared.limits);
        Self::within(shared, requests)
    }

    /// The same for an upload. More of them hold more memory, and bring nothing until a link of 10 Gbit/s is full.
    pub(crate) fn of_uploads(shared: Shared) -> Arc<Self> {
        let requests = most_requests(&shared.config, &shared.limits);
        let is_default = shared.config.max_concurrency() == TransferConfig::default().max_concurrency();
        let most = if is_default { MOST_UPLOADS } else { u32::MAX };
        Self::within(shared, requests.min(most))
    }

    fn within(shared: Shared, requests: u32) -> Arc<Self> {
        let Shared { store, config, limits, .. } = shared;
        let started = Instant::now();
        let bounds = Bounds { requests, part_bytes: config.multipart_chunksize() };
        let steering = Steering::new(bounds, config.adaptive_concurrency(), started);
        Arc::new(Self { store, config, limits, counters: Counters::default(), steering, started })
    }

    /// Sees `ask` through, with as many attempts and as much patience as the configuration gives to each.
    ///
    /// # Errors
    ///
    /// [`TransferError::PartFailed`] when the retry rule gives up, and those of `ask`.
    pub(crate) async fn persist<A: Ask>(&self, ask: &mut A) -> Result<A::Answer, A::Error> {
        let attempts = Attempts::new(self.config.num_download_attempts(), self.config.patience(), self.floor());
        let attempts = attempts.paced(self.config.adaptive_concurrency());
        persist(attempts, &self.counters, self.started, ask).await
    }

    /// The answer to a request, or to a second one that is sent where the first is late: whichever begins sooner. The
    /// other one is given up before its body.
    ///
    /// # Errors
    ///
    /// That of the slower one where both fail, and of the first that another attempt would not help against.
    pub(crate) async fn soonest<T, F>(&self, send: impl Fn() -> F) -> Result<T, RequestFailure>
    where
        F: Future<Output = Result<T, RequestFailure>>,
    {
        let mut first = pin!(send());
        tokio::select! {
            biased;
            answer = &mut first => return answer,
            () = self.steering.late(Instant::now()) => {}
        }
        // Nothing is waited for: whoever has the permit may be as late.
        let Some(_permit) = self.limits.try_permit().filter(|_| self.steering.may_ask_again()) else {
            return first.await;
        };
        let mut second = pin!(send());
        tokio::select! {
            answer = &mut first => match answer {
                Err(RequestFailure::Transient(_)) => second.await,
                answer => answer,
            },
            answer = &mut second => match answer {
                Err(RequestFailure::Transient(_)) => first.await,
                answer => answer,
            },
        }
    }

    /// Most requests that this transfer may have in flight.
    pub(crate) fn most_requests(&self) -> u32 {
        most_requests(&self.config, &self.limits)
    }

    /// The report of a transfer that has moved `bytes`, as far as any transfer has one.
    pub(crate) fn report(&self, bytes: u64, integrity: Integrity) -> TransferReport {
        let counters = &self.counters;
        let Steered { second_requests, splits } = self.steering.steered();
        let load = |counter: &AtomicU64| Duration::from_nanos(counter.load(Ordering::Relaxed));
        TransferReport {
            bytes,
            resumed_bytes: 0,
            object_bytes: bytes,
            elapsed: self.started.elapsed(),
            e_tag: None,
            version_id: None,
            integrity,
            parts: 0,
            part_bytes: 0,
            requests: counters.requests.load(Ordering::Relaxed),
            retries: counters.retries.load(Ordering::Relaxed),
            second_requests,
            splits,
            most_requests: self.most_requests(),
            peak_requests: counters.peak_requests.load(Ordering::Relaxed),
            peak_memory_bytes: self.limits.peak_memory_bytes(),
            peak_io_queue: 0,
            writes: 0,
            largest_write_bytes: 0,
            waits: Waits {
                network: load(&counters.waited.network),
                bandwidth: load(&counters.waited.bandwidth),
                sink: load(&counters.waited.sink),
                retry: load(&counters.waited.retry),
            },
            config: self.config.clone(),
        }
    }

    /// The lowest rate that is borne.
    pub(crate) fn floor(&self) -> Floor {
        Floor { bytes_per_second: self.config.min_bytes_per_second(), window: self.config.min_rate_window() }
    }
}

fn most_requests(config: &TransferConfig, limits: &Limits) -> u32 {
    match config.use_threads() {
        true => limits.requests(),
        false => 1,
    }
}

/// Something that is asked of the server until it is there.
pub(crate) trait Ask: Send {
    type Answer: Send;
    type Error: From<TransferError> + Send;

    /// One attempt, which goes on where the one before stopped. It tells `attempts` what it brought.
    ///
    /// # Errors
    ///
    /// Any that another attempt would not help against.
    fn attempt(
        &mut self,
        attempts: &mut Attempts,
    ) -> impl Future<Output = Result<Attempted<Self::Answer>, Self::Error>> + Send;

    /// Where the next attempt begins.
    fn at(&self) -> At<'_>;
}

/// The end of an attempt.
pub(crate) enum Attempted<T> {
    Answered(T),
    /// Nothing has failed, and there is more to ask for.
    Again,
    /// Another attempt may help, after a pause.
    Failed(RequestError),
}

/// A place in an object, for logs and errors.
pub(crate) struct At<'a> {
    pub(crate) object: &'a ObjectAddress,
    pub(crate) part: u64,
    pub(crate) offset: u64,
}

/// Sees `ask` through. `began` is when the transfer did; the retries are counted in `counters`.
///
/// # Errors
///
/// [`TransferError::PartFailed`] when the retry rule gives up, and those of `ask`.
pub(crate) async fn persist<A: Ask>(
    mut attempts: Attempts,
    counters: &Counters,
    began: Instant,
    ask: &mut A,
) -> Result<A::Answer, A::Error> {
    loop {
        let source = match ask.attempt(&mut attempts).await? {
            Attempted::Answered(answer) => return Ok(answer),
            Attempted::Again => continue,
            Attempted::Failed(source) => source,
        };
        let now = Now { time: began.elapsed(), transfer_bytes: counters.received() };
        let pause = {
            let At { object, part, offset } = ask.at();
            match attempts.after(&source, now, rand::random()) {
                Ok(pause) => {
                    tracing::debug!(%object, part, offset, error = %source, ?pause, "trying again");
                    pause
                }
                Err(gave_up) => {
                    let without_byte_seconds = match gave_up {
                        GaveUp::Attempts => None,
                        GaveUp::Patience(without_byte) => Some(without_byte.as_secs()),
                    };
                    let (object, attempts) = (object.to_string(), attempts.made());
                    let error =
                        TransferError::PartFailed { object, part, offset, attempts, without_byte_seconds, source };
                    return Err(error.into());
                }
            }
        };
        counters.waited.retry.time(sleep(pause)).await;
        counters.retries.fetch_add(1, Ordering::Relaxed);
    }
}
