//! [`Crew`]: the tasks of one transfer, in any direction. As many run at a time as there are permits.
//!
//! Dropping the future aborts the tasks.

use std::future::{Future, pending};
use std::panic;
use std::pin::pin;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{Stream, StreamExt};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::Instrument;

use crate::engine::limits::RequestPermit;
use crate::engine::session::Session;

/// The work of a crew, cut into jobs that take a request each.
pub(crate) trait Work: Sync {
    type Job: Send;
    type Error: Send + 'static;

    /// One job to its end.
    fn start(&self, job: Self::Job) -> BoxFuture<'static, Result<Then, Self::Error>>;

    /// Looked for whenever a job has ended: something to do beside the jobs, which takes no request's place.
    fn aside(&self) -> Option<BoxFuture<'static, Result<(), Self::Error>>> {
        None
    }

    /// Splits running jobs if that helps, and returns whether there are now jobs to begin.
    fn has_more(&self) -> bool {
        false
    }

    /// Completes when no job is of any use now, though none has failed.
    fn stopped(&self) -> impl Future<Output = Self::Error> + Send {
        pending()
    }
}

/// The answer of a job that has ended: whether another one may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Next,
    /// Running jobs may end; no other job begins.
    Last,
}

/// The tasks of one transfer.
pub(crate) struct Crew<'a> {
    session: &'a Arc<Session>,
    /// The permit of the first job, whose request is already in flight.
    first: Option<RequestPermit>,
}

impl<'a> Crew<'a> {
    pub(crate) fn new(session: &'a Arc<Session>, first: Option<RequestPermit>) -> Self {
        Self { session, first }
    }

    /// Runs the `jobs`, in the order they come, as many at a time as there are permits and the steering says.
    ///
    /// # Errors
    ///
    /// The first error of the work; the tasks that still run are aborted then.
    pub(crate) async fn in_parallel<W: Work>(
        mut self,
        work: &W,
        jobs: impl Stream<Item = W::Job> + Send,
    ) -> Result<(), W::Error> {
        let Session { limits, counters, steering, .. } = &**self.session;
        let mut jobs = pin!(jobs);
        // The next job, which has all that it needs but a permit; then whether more follow.
        let (mut next, mut more, mut last) = (None, true, false);
        let (mut running, mut aside) = (JoinSet::new(), JoinSet::new());
        // Kept from one iteration to the next, because it holds this transfer's place among the waiting ones. Not
        // polled if there is nothing to fetch: a permit that is granted but not used would be missing for the others.
        let mut permit = pin!(limits.permit());
        let mut stopped = pin!(work.stopped());
        loop {
            steering.look(counters.arrived(), counters.held());
            // Checked even if other jobs can begin: the running jobs may be too many, or too slow.
            more |= !last && work.has_more();
            let allowed = running.len() < steering.target() as usize;
            let due = steering.due();
            let first = &mut self.first;
            let granted = async {
                match first.take() {
                    Some(permit) => permit,
                    None => permit.as_mut().await,
                }
            };
            tokio::select! {
                job = jobs.next(), if more && next.is_none() && allowed => match job {
                    Some(job) => next = Some(job),
                    None => more = false,
                },
                granted = granted, if next.is_some() && allowed => {
                    permit.set(limits.permit());
                    if let Some(job) = next.take() {
                        running.spawn(with_permit(granted, self.session.clone(), work.start(job)).in_current_span());
                    }
                }
                () = steering.news(), if !running.is_empty() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && !running.is_empty() => {}
                // The network side ends with the other one, not with the next byte that arrives.
                error = &mut stopped, if !running.is_empty() => return Err(error),
                Some(ended) = running.join_next() => {
                    if ended.unwrap_or_else(propagate)? == Then::Last {
                        (next, more, last) = (None, false, true);
                    }
                    steering.part_done(counters.seen());
                    if let Some(call) = work.aside() {
                        aside.spawn(call);
                    }
                }
                // An error of the work beside the jobs may be reported only once, and only here.
                Some(ended) = aside.join_next() => ended.unwrap_or_else(propagate)?,
                else => return Ok(()),
            }
        }
    }

    /// Runs one job after the other, on the caller's task.
    ///
    /// # Errors
    ///
    /// The first error of the work.
    pub(crate) async fn in_turn<W: Work>(
        mut self,
        work: &W,
        jobs: impl Iterator<Item = W::Job> + Send,
    ) -> Result<(), W::Error> {
        for job in jobs {
            let _permit = match self.first.take() {
                Some(permit) => permit,
                None => self.session.limits.permit().await,
            };
            let in_flight = self.session.counters.in_flight();
            let then = work.start(job).await?;
            drop(in_flight);
            if let Some(call) = work.aside() {
                call.await?;
            }
            if then == Then::Last {
                break;
            }
        }
        Ok(())
    }
}

/// Holds the permit, and counts a job as in flight, until it has ended.
async fn with_permit<T>(permit: RequestPermit, session: Arc<Session>, job: impl Future<Output = T> + Send) -> T {
    let _permit = permit;
    let _in_flight = session.counters.in_flight();
    job.await
}

/// A task ends without a value only by a panic, which is the caller's to see, or because the runtime is going away.
pub(crate) fn propagate<T>(error: JoinError) -> T {
    match error.try_into_panic() {
        Ok(payload) => panic::resume_unwind(payload),
        Err(_) => panic!("the tokio runtime was shut down during a transfer"),
    }
}
