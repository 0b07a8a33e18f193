//! [`Session`]: the state that every request of one transfer needs, in either direction, and the only retry loop.
//!
//! Dropping the future ends the attempt; only the bytes that it has handed over remain.

use std::future::{Future, pending};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};
use tracing::Instrument;

use crate::doors::machine::Stint;
use crate::doors::s3::Store;
use crate::engine::counters::{Counters, Stopwatch, WaitedNanos};
use crate::engine::limits::Limits;
use crate::engine::memory::TransferMemory;
use crate::engine::shared::Shared;
use crate::engine::spans;
use crate::engine::steering::{Steered, Steering};
use crate::rules::control::Bounds;
use crate::rules::floor::Floor;
use crate::rules::retry::{Attempts, GaveUp, Now};
use crate::rules::verdict::verdict;
use crate::words::checksum::Integrity;
use crate::words::config::TransferConfig;
use crate::words::failure::{RequestError, RequestFailure, TransferError};
use crate::words::found::Place;
use crate::words::object::ObjectAddress;
use crate::words::report::{TransferReport, Waits};
use crate::words::verdict::Evidence;

/// Requests for the same bytes at a time, the first one included.
const MOST_REQUESTS_OF_A_PART: usize = 3;
/// Second requests for the same bytes that the budget may refuse, one after the other, before none is tried any more.
const MOST_DENIED: u32 = 3;
/// The same for all refusals. The wait doubles each time, so the last one is hours away.
const MOST_REFUSED: u32 = 20;

/// Parts that an upload sends at once, unless `max_concurrency` says otherwise: its default is a bound for downloads.
/// S3 takes some 20 MB/s on a connection.
const MOST_UPLOADS: u32 = 64;
/// The same for a copy, whose bytes do not pass through this machine's network.
const MOST_COPIES: u32 = 16;

/// One transfer's way to the server, its limits and its counters.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) store: Store,
    pub(crate) config: TransferConfig,
    pub(crate) limits: Arc<Limits>,
    pub(crate) counters: Counters,
    pub(crate) steering: Arc<Steering>,
    pub(crate) started: Instant,
    memory: TransferMemory,
    processors: Stint,
    most_requests: u32,
    /// The place that the memory was asked for; `None` inside where no request has gone out.
    place: OnceLock<Option<Place>>,
}

impl Session {
    /// Begins now.
    pub(crate) fn new(shared: Shared) -> Arc<Self> {
        let adaptive = shared.config.adaptive_concurrency();
        Self::within(shared, u32::MAX, adaptive, false)
    }

    /// The same for an upload. More of them hold more memory, and bring nothing until a link of 10 Gbit/s is full.
    pub(crate) fn of_uploads(shared: Shared) -> Arc<Self> {
        let adaptive = shared.config.adaptive_concurrency();
        Self::within(shared, MOST_UPLOADS, adaptive, true)
    }

    /// The same for a copy. It always uses the largest number of requests: its bytes do not come here, so nothing
    /// measures a better number.
    pub(crate) fn of_copies(shared: Shared) -> Arc<Self> {
        Self::within(shared, MOST_COPIES, false, false)
    }

    /// Begins now, with at most this number of requests at once if `max_concurrency` is the default.
    fn within(shared: Shared, most_by_default: u32, adaptive: bool, are_uploads: bool) -> Arc<Self> {
        let Shared { store, config, limits, memory, timeline, .. } = shared;
        let is_default = config.max_concurrency() == TransferConfig::default().max_concurrency();
        let most = if is_default { most_by_default } else { u32::MAX };
        let most_requests = if config.use_threads() { limits.requests().min(most) } else { 1 };
        let started = Instant::now();
        let bounds = Bounds { requests: most_requests, part_bytes: config.multipart_chunksize(), are_uploads };
        let steering = Steering::new(bounds, adaptive, started, timeline);
        let (counters, processors, place) = (Counters::default(), Stint::begin(), OnceLock::new());
        Arc::new(Self { store, config, limits, counters, steering, started, memory, processors, most_requests, place })
    }

    /// Sees `ask` through, with as many attempts and as much patience as the configuration gives to each.
    ///
    /// # Errors
    ///
    /// [`TransferError::PartFailed`] when the retry rule gives up, and those of `ask`.
    pub(crate) async fn persist<A: Ask>(&self, ask: &mut A) -> Result<A::Answer, A::Error> {
        let attempts = Attempts::new(self.config.num_download_attempts(), self.config.patience(), self.floor());
        let attempts = attempts.adaptive(self.config.adaptive_concurrency());
        let part = spans::part(ask.at().part, ask.range());
        persist(attempts, (&self.counters, self.started), Some(&self.steering), ask).instrument(part).await
    }

    /// The answer to a request, or to a second or third request that is sent if the earlier ones are late: the answer
    /// that begins first. The other requests are aborted before their bodies.
    ///
    /// # Errors
    ///
    /// The error of the last request if all fail, or the first error that a retry cannot mend.
    pub(crate) async fn soonest<T, F>(&self, send: impl Fn() -> F) -> Result<T, RequestFailure>
    where
        F: Future<Output = Result<T, RequestFailure>>,
    {
        let mut running = FuturesUnordered::from_iter([send()]);
        let (mut permits, mut newest, mut may) = (Vec::new(), Instant::now(), true);
        // All refusals, and those for want of budget.
        let (mut refused, mut denied) = (0, 0);
        loop {
            tokio::select! {
                biased;
                Some(answer) = running.next() => match answer {
                    Err(RequestFailure::Transient(_)) if !running.is_empty() => {}
                    answer => return answer,
                },
                () = self.steering.late(newest, refused), if may => {
                    // Nothing is waited for: the permit's owner may be as late.
                    let permit = self.limits.try_permit();
                    let is_free = permit.is_some();
                    match permit.filter(|_| self.steering.may_ask_again(newest.elapsed())) {
                        Some(permit) => {
                            permits.push(permit);
                            running.push(send());
                            (newest, refused, denied) = (Instant::now(), 0, 0);
                            may = permits.len() + 1 < MOST_REQUESTS_OF_A_PART;
                        }
                        None => {
                            refused += 1;
                            // A permit may be free the next time.
                            denied += u32::from(is_free);
                            may = denied <= MOST_DENIED && refused < MOST_REFUSED;
                        }
                    }
                }
            }
        }
    }

    /// Begins with the findings of earlier transfers from that bucket. To be called when the first answer has come, and
    /// before the steering knows.
    pub(crate) fn recall(&self, bucket: &str) {
        self.place.get_or_init(|| {
            let place = Place { endpoint: self.store.endpoint()?.to_owned(), bucket: bucket.to_owned() };
            if let Some(found) = self.memory.recall(&place) {
                self.steering.tell(found);
            }
            Some(place)
        });
    }

    /// The measurements that tell the limit of the transfer.
    pub(crate) fn evidence(&self) -> Evidence {
        let WaitedNanos { network, bandwidth, sink, retry } = &self.counters.waited;
        let seconds = |nanos: &AtomicU64| nanos.load(Ordering::Relaxed) as f64 / 1e9;
        let all = [network, bandwidth, sink, retry].map(seconds).iter().sum::<f64>();
        let share = |nanos| if all > 0.0 { seconds(nanos) / all } else { 0.0 };
        let fit = self.limits.requests();
        let is_all_that_fit = self.config.use_threads() && self.most_requests == fit;
        Evidence {
            most_requests: self.most_requests,
            memory_bound: is_all_that_fit && fit < self.limits.requests_without_memory_limit(),
            receiver_share: share(sink),
            bandwidth_share: share(bandwidth),
            retry_share: share(retry),
            processor_share: self.processors.share(self.started.elapsed()),
            ..self.steering.evidence(self.counters.arrived())
        }
    }

    /// Most requests that this transfer may have in flight.
    pub(crate) fn most_requests(&self) -> u32 {
        self.most_requests
    }

    /// The part of the report that all transfers share, for a transfer that has moved `bytes`.
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
            modified: None,
            version_id: None,
            integrity,
            parts: 0,
            part_bytes: 0,
            requests: counters.requests.load(Ordering::Relaxed),
            retries: counters.retries.load(Ordering::Relaxed),
            second_requests,
            splits,
            most_requests: self.most_requests,
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
            verdict: verdict(self.evidence()),
            timeline: self.steering.moments(),
            config: self.config.clone(),
        }
    }

    /// The lowest rate that is borne.
    pub(crate) fn floor(&self) -> Floor {
        Floor { bytes_per_second: self.config.min_bytes_per_second(), window: self.config.min_rate_window() }
    }
}

/// A transfer that was given up has found something too.
impl Drop for Session {
    fn drop(&mut self) {
        if let Some(place) = self.place.take().flatten()
            && let Some(found) = self.steering.found()
        {
            self.memory.remember(place, found);
        }
    }
}

/// A request that is retried until it succeeds.
pub(crate) trait Ask: Send {
    type Answer: Send;
    type Error: From<TransferError> + Send;

    /// One attempt, which continues where the previous one stopped. It reports its bytes to `attempts`.
    ///
    /// # Errors
    ///
    /// An error that a retry cannot mend.
    fn attempt(
        &mut self,
        attempts: &mut Attempts,
    ) -> impl Future<Output = Result<Attempted<Self::Answer>, Self::Error>> + Send;

    /// The beginning of the next attempt.
    fn at(&self) -> At<'_>;

    /// The byte range of the object, if the request is for one part.
    fn range(&self) -> Option<Range<u64>> {
        None
    }

    /// Completes when there is nothing left to ask for, so that a pause before the next attempt is of no use.
    fn withdrawn(&mut self) -> impl Future<Output = ()> + Send {
        pending()
    }
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

/// Sees `ask` through. `began` is when the transfer did; the retries are counted in `counters`. The `steering` knows
/// whether requests wait for their turn.
///
/// # Errors
///
/// [`TransferError::PartFailed`] when the retry rule gives up, and those of `ask`.
pub(crate) async fn persist<A: Ask>(
    mut attempts: Attempts,
    (counters, began): (&Counters, Instant),
    steering: Option<&Steering>,
    ask: &mut A,
) -> Result<A::Answer, A::Error> {
    loop {
        let attempt = spans::attempt(attempts.made());
        let source = match ask.attempt(&mut attempts).instrument(attempt).await? {
            Attempted::Answered(answer) => return Ok(answer),
            Attempted::Again => continue,
            Attempted::Failed(source) => source,
        };
        let is_paced = steering.is_some_and(Steering::is_paced);
        let now = Now { time: began.elapsed(), transfer_bytes: counters.received(), is_paced };
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
        let pause = async {
            tokio::select! {
                () = sleep(pause) => {}
                () = ask.withdrawn() => {}
            }
        };
        counters.waited.retry.time(pause).await;
        counters.retries.fetch_add(1, Ordering::Relaxed);
    }
}
