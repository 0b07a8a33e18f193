//! Work that may block, on one of tokio's blocking threads, or on a thread of our own if none of those is free.
//!
//! A caller may hold all of tokio's blocking threads while it waits for a download: with
//! `spawn_blocking(|| handle.block_on(download))`, as synchronous handlers of web servers do. A job that the download
//! hands to the same pool would then wait for the download's own end. So each job lies in a slot that is emptied once:
//! by a thread of the pool or, if none has come within [`PATIENCE`], by a new thread. During the next [`MEMORY`], the
//! jobs of that runtime go to threads of our own at once.
//!
//! tokio's pool comes first for three reasons. Its threads are reused. A caller's sink runs on the threads that its
//! runtime was configured for. And a paused clock stands still while a job runs, so tests see no time-outs.
//!
//! The usual path costs a lock that is held for some tens of nanoseconds and one allocation, in addition to the
//! microseconds of waking a thread. The jobs of a runtime share one watcher, which exists only while jobs wait.
//!
//! Jobs run to their end whether or not a caller waits for them. When the runtime is shut down, jobs that no thread has
//! begun are dropped, and jobs on threads of our own are not awaited.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// Time that a job waits for a thread of tokio's. A free thread begins within a fraction of a millisecond. If a busy
/// machine takes longer, one more thread does no harm.
const PATIENCE: Duration = Duration::from_millis(50);
/// Time after a late job during which other jobs are not offered to tokio's pool. Jobs that were taken back stay in its
/// queue, empty, until one of its threads takes them: a few a second.
const MEMORY: Duration = Duration::from_secs(1);

/// Runs `job` on a thread that may block, within the runtime's context. It is handed over at once, not when the future
/// is first polled; dropping the future does not stop it.
///
/// The future panics as the job did, and when another runtime waits for it and this one is shut down before a thread
/// has begun the job.
///
/// # Panics
///
/// Outside a tokio runtime with a clock.
pub(crate) fn run<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Running<T> {
    let (tell, told) = oneshot::channel();
    spawn(move || {
        // Nothing of the job is left that could be seen half done: its value is the panic itself.
        let ended = panic::catch_unwind(AssertUnwindSafe(job));
        // The caller may have stopped waiting.
        drop(tell.send(ended));
    });
    Running { told: Some(told), runtime: Handle::current().id() }
}

/// Runs `job` on a thread that may block, without waiting for its end.
///
/// # Panics
///
/// As [`run`].
pub(crate) fn spawn(job: impl FnOnce() + Send + 'static) {
    let (runtime, job) = (Handle::current(), Arc::new(Slot(Mutex::new(Some(job)))));
    let now = Instant::now();
    let offered = offer(&mut pools(), runtime.id(), job.clone(), now);
    match offered {
        Offered::Starved if on_own_thread(&runtime, job.clone(), now) => return,
        Offered::Starved | Offered::Waits => {}
        Offered::WaitsUnseen => drop(runtime.spawn(watch(Watching { runtime: runtime.id(), over: false }))),
    }
    let ticket = Ticket(job);
    runtime.spawn_blocking(move || ticket.0.run());
}

/// The future of a job's value; [`run`] makes it.
#[derive(Debug)]
#[must_use = "the job runs, but nobody learns how it ends"]
pub(crate) struct Running<T> {
    /// `None` once the job was dropped unrun.
    told: Option<oneshot::Receiver<thread::Result<T>>>,
    /// The job's.
    runtime: Id,
}

impl<T> Future for Running<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(told) = &mut self.told else { return Poll::Pending };
        match ready!(Pin::new(told).poll(context)) {
            Ok(Ok(value)) => Poll::Ready(value),
            Ok(Err(payload)) => panic::resume_unwind(payload),
            // The runtime is being shut down, and drops the task that waits as well. It may poll the task until then.
            Err(_) if Handle::try_current().is_ok_and(|now| now.id() == self.runtime) => {
                self.told = None;
                Poll::Pending
            }
            Err(_) => panic!("the tokio runtime was shut down during a transfer"),
        }
    }
}

/// Work that is done once, by whichever thread comes first.
trait Job: Send + Sync {
    fn run(&self);
    fn waits(&self) -> bool;
    /// Never to be run.
    fn give_up(&self);
}

struct Slot<F>(Mutex<Option<F>>);

impl<F> Slot<F> {
    fn slot(&self) -> MutexGuard<'_, Option<F>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: FnOnce() + Send> Job for Slot<F> {
    fn run(&self) {
        // The lock is given back first.
        let job = self.slot().take();
        if let Some(job) = job {
            job();
        }
    }

    fn waits(&self) -> bool {
        self.slot().is_some()
    }

    fn give_up(&self) {
        drop(self.slot().take());
    }
}

/// A job's entry in tokio's queue. A runtime that is shut down drops it.
struct Ticket<J: Job>(Arc<J>);

impl<J: Job> Drop for Ticket<J> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// The state of one runtime's blocking threads, for as long as its watcher lives.
struct Pool {
    runtime: Id,
    /// The jobs that were offered to it, with the time; those in front may have been begun since.
    waiting: VecDeque<(Instant, Arc<dyn Job>)>,
    /// Jobs are not offered to it until then.
    starved_until: Option<Instant>,
}

static POOLS: Mutex<Vec<Pool>> = Mutex::new(Vec::new());

/// Held for one statement at most. No code of a job, which may be foreign code, runs under this lock: only jobs that
/// have begun are removed here.
fn pools() -> MutexGuard<'static, Vec<Pool>> {
    POOLS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, PartialEq, Eq)]
enum Offered {
    /// Not to be offered to the pool: it has no thread free.
    Starved,
    /// For a thread of the pool.
    Waits,
    /// As [`Waits`](Self::Waits), and a watcher is to be made.
    WaitsUnseen,
}

fn offer(pools: &mut Vec<Pool>, runtime: Id, job: Arc<dyn Job>, now: Instant) -> Offered {
    match pools.iter_mut().find(|pool| pool.runtime == runtime) {
        Some(pool) if pool.is_starved(now) => Offered::Starved,
        Some(pool) => {
            pool.wait(job, now);
            Offered::Waits
        }
        None => {
            pools.push(Pool { runtime, waiting: VecDeque::from([(now, job)]), starved_until: None });
            Offered::WaitsUnseen
        }
    }
}

impl Pool {
    fn is_starved(&self, now: Instant) -> bool {
        self.starved_until.is_some_and(|until| now < until)
    }

    fn wait(&mut self, job: Arc<dyn Job>, now: Instant) {
        self.forget_begun();
        self.waiting.push_back((now, job));
    }

    /// Threads take jobs in their order, so that jobs that have begun are almost always before those that have not.
    fn forget_begun(&mut self) {
        while self.waiting.pop_front_if(|(_, job)| !job.waits()).is_some() {}
    }

    /// Takes out the jobs that have waited for too long.
    fn overdue(&mut self, now: Instant) -> Vec<Arc<dyn Job>> {
        let mut overdue = Vec::new();
        while let Some((_, job)) = self.waiting.pop_front_if(|(since, job)| !job.waits() || *since + PATIENCE <= now) {
            if job.waits() {
                overdue.push(job);
            }
        }
        if !overdue.is_empty() {
            self.starved_until = Some(now + MEMORY);
        }
        overdue
    }

    /// When to look for overdue jobs; `None` when there is nothing to look after.
    fn next_look(&mut self, now: Instant) -> Option<Instant> {
        self.forget_begun();
        let due = self.waiting.front().map(|(since, _)| *since + PATIENCE);
        due.or(self.starved_until.filter(|until| now < *until))
    }
}

/// Takes jobs back that no thread of the pool has begun in time, until none waits. One for each runtime, on that
/// runtime.
async fn watch(mut watching: Watching) {
    while let Some(at) = watching.next_look() {
        sleep_until(at).await;
        let now = Instant::now();
        for job in watching.overdue(now) {
            tracing::debug!("all blocking threads of the runtime are busy; the work gets a thread of its own");
            on_own_thread(&Handle::current(), job, now);
        }
    }
}

/// A runtime's watcher. However it ends, the next job makes another one.
struct Watching {
    runtime: Id,
    /// The thread has already ended.
    over: bool,
}

impl Watching {
    fn next_look(&mut self) -> Option<Instant> {
        let mut pools = pools();
        let at = pools.iter().position(|pool| pool.runtime == self.runtime)?;
        let look = pools[at].next_look(Instant::now());
        if look.is_none() {
            // Under the same lock: a job that comes later finds that nobody watches.
            pools.swap_remove(at);
            self.over = true;
        }
        look
    }

    fn overdue(&self, now: Instant) -> Vec<Arc<dyn Job>> {
        pools().iter_mut().find(|pool| pool.runtime == self.runtime).map_or_else(Vec::new, |pool| pool.overdue(now))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // The runtime is going away. Waiting jobs are dropped with tokio's queue.
        let mut pools = pools();
        let at = pools.iter().position(|pool| pool.runtime == self.runtime);
        let gone = at.map(|at| pools.swap_remove(at));
        drop(pools);
        drop(gone);
    }
}

/// False if no thread can be started. The job then stays in tokio's queue, and is tried again.
fn on_own_thread(runtime: &Handle, job: Arc<dyn Job>, now: Instant) -> bool {
    let (context, again) = (runtime.clone(), job.clone());
    let thread = thread::Builder::new().name("s3xfer-blocking".to_owned()).spawn(move || {
        let _context = context.enter();
        job.run();
    });
    if let Err(error) = &thread {
        tracing::debug!(%error, "no thread for work that blocks");
        if let Some(pool) = pools().iter_mut().find(|pool| pool.runtime == runtime.id()) {
            pool.wait(again, now);
        }
    }
    thread.is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use futures::FutureExt;
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    /// A runtime whose one blocking thread is held until the sender is used or dropped.
    fn held(builder: &mut Builder) -> (Runtime, mpsc::Sender<()>) {
        let runtime = builder.enable_all().max_blocking_threads(1).build().unwrap();
        let (let_go, wait) = mpsc::channel();
        let (began, begun) = mpsc::channel();
        runtime.spawn_blocking(move || {
            began.send(()).unwrap();
            wait.recv()
        });
        begun.recv().unwrap();
        (runtime, let_go)
    }

    fn thread_name() -> String {
        thread::current().name().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn a_job_runs_on_tokios_thread_where_one_is_free() {
        assert_ne!(run(thread_name).await, "s3xfer-blocking");
    }

    #[test]
    fn where_all_are_held_a_job_runs_once_on_a_thread_of_our_own_in_the_same_runtime() {
        for builder in [&mut Builder::new_current_thread(), Builder::new_multi_thread().worker_threads(1)] {
            let (runtime, let_go) = held(builder);
            let runs = Arc::new(AtomicUsize::new(0));
            let counted = runs.clone();
            let job = async {
                run(move || {
                    counted.fetch_add(1, Ordering::SeqCst);
                    (thread_name(), Handle::current().id())
                })
                .await
            };
            let id = runtime.handle().id();
            assert_eq!(runtime.block_on(job), ("s3xfer-blocking".to_owned(), id));
            // The one in tokio's queue finds nothing to do.
            let_go.send(()).unwrap();
            drop(runtime);
            assert_eq!(runs.load(Ordering::SeqCst), 1);
        }
    }

    #[test]
    fn a_job_that_nobody_waits_for_is_noticed_too() {
        let (runtime, _let_go) = held(Builder::new_multi_thread().worker_threads(1));
        let (tell, told) = mpsc::channel();
        let context = runtime.enter();
        spawn(move || tell.send(thread_name()).unwrap());
        drop(context);
        assert_eq!(told.recv_timeout(Duration::from_secs(60)).unwrap(), "s3xfer-blocking");
        runtime.shutdown_background();
    }

    #[test]
    fn what_panics_is_passed_on_from_either_kind_of_thread() {
        let panicking = || async { AssertUnwindSafe(run(|| panic!("so it is"))).catch_unwind().await };
        let said = |ended: Result<(), Box<dyn std::any::Any + Send>>| *ended.unwrap_err().downcast::<&str>().unwrap();
        let (runtime, let_go) = held(&mut Builder::new_current_thread());
        assert_eq!(said(runtime.block_on(panicking())), "so it is");
        drop(let_go);
        drop(runtime);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        assert_eq!(said(runtime.block_on(panicking())), "so it is");
    }

    #[test]
    fn a_runtime_that_goes_away_drops_its_jobs_and_leaves_no_watcher() {
        let (runtime, let_go) = held(&mut Builder::new_current_thread());
        let (handle, kept) = (runtime.handle().clone(), Arc::new(()));
        let job = || {
            let (_context, kept) = (handle.enter(), kept.clone());
            run(move || drop(kept))
        };
        // Nobody drives the runtime, so that its watcher never looks.
        let before = job();
        runtime.shutdown_background();
        let after = job();
        assert!(!pools().iter().any(|pool| pool.runtime == handle.id()));
        {
            // As a task of the runtime that is polled meanwhile.
            let (_context, mut after) = (handle.enter(), job());
            for _ in 0..2 {
                assert!(Pin::new(&mut after).poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
            }
        }
        let other = Builder::new_current_thread().enable_all().build().unwrap();
        let ended = other.block_on(AssertUnwindSafe(after).catch_unwind());
        assert!(ended.unwrap_err().downcast::<&str>().unwrap().contains("was shut down"));
        // tokio's threads finish queued work before they end.
        drop(let_go);
        other.block_on(before);
        assert_eq!(Arc::strong_count(&kept), 1);
    }

    #[tokio::test]
    async fn thousands_of_jobs_have_one_watcher_that_ends_after_them() {
        let runtime = Handle::current();
        let watched = || pools().iter().filter(|pool| pool.runtime == runtime.id()).count();
        for _ in 0..2_000 {
            run(|| ()).await;
            assert!(runtime.metrics().num_alive_tasks() <= 1);
        }
        while runtime.metrics().num_alive_tasks() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(watched(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_stands_still_while_a_job_runs() {
        let before = Instant::now();
        run(|| thread::sleep(2 * PATIENCE)).await;
        assert_eq!(before.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn jobs_go_to_threads_of_our_own_from_the_first_that_waited_too_long_until_a_while_later() {
        let job = || Arc::new(Slot(Mutex::new(Some(|| ()))));
        let (mut pools, runtime, start) = (Vec::new(), Handle::current().id(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let jobs = [job(), job(), job()];
        assert_eq!(offer(&mut pools, runtime, jobs[0].clone(), at(0)), Offered::WaitsUnseen);
        assert_eq!(offer(&mut pools, runtime, jobs[1].clone(), at(10)), Offered::Waits);
        assert_eq!(offer(&mut pools, runtime, jobs[2].clone(), at(20)), Offered::Waits);
        assert_eq!(pools[0].next_look(at(20)), Some(at(50)));
        assert_eq!(pools[0].overdue(at(49)).len(), 0);
        // One that was begun in time is passed over.
        jobs[0].run();
        assert_eq!(pools[0].next_look(at(49)), Some(at(60)));
        assert_eq!(pools[0].overdue(at(50)).len(), 0);
        assert_eq!(offer(&mut pools, runtime, job(), at(59)), Offered::Waits);
        assert_eq!(pools[0].overdue(at(60)).len(), 1, "the second; the third has waited for 40 ms");
        assert_eq!(offer(&mut pools, runtime, job(), at(60)), Offered::Starved);
        assert_eq!(pools[0].next_look(at(61)), Some(at(70)), "those that wait already are seen to");
        assert_eq!(pools[0].overdue(at(200)).len(), 2);
        assert_eq!(pools[0].next_look(at(200)), Some(at(1200)));
        assert_eq!(offer(&mut pools, runtime, job(), at(1199)), Offered::Starved);
        assert_eq!(offer(&mut pools, runtime, job(), at(1200)), Offered::Waits);
        pools[0].waiting.clear();
        assert_eq!(pools[0].next_look(at(1200)), None);
    }
}
