//! Many objects at once: a prefix into a folder, a folder below a prefix, a prefix below another one.
//!
//! Both sides are listed in the order of their keys, and compared as the names arrive; transfers begin meanwhile. Each
//! of the three directions defines the transfer of an object and the names that it may have.
//!
//! Memory: the pages of the listings, [`AHEAD`] names, and the running transfers, which have the client's limits.
//! Dropping the future drops the running transfers: each object or file is whole, or not there.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::Instrument;

use self::merge::{Merge, Pair};
use self::side::{Names, Seen, Side, What};
use crate::engine::limits::Limits;
use crate::engine::shared::Shared;
use crate::rules::compare::{self, Verdict};
use crate::words::batch::{BatchAction, BatchError, BatchItem, BatchOutcome, BatchReport, ItemError, OnFailure};
use crate::words::batch_progress::BatchProgress;
use crate::words::compare::Compare;
use crate::words::globs::Globs;
use crate::words::listing::ListRequest;
use crate::words::names::NameError;

pub(crate) mod across;
pub(crate) mod down;
mod merge;
mod same;
mod settings;
mod side;
pub(crate) mod up;

/// Names that are checked before the first of them is transferred, if they are listed within [`AT_FIRST`]: those of a
/// small prefix are then all checked before anything is written.
const AHEAD: usize = 10_000;
/// A large prefix is not waited for.
const AT_FIRST: Duration = Duration::from_millis(150);

/// The state that all directions have in common.
pub(crate) struct Settings {
    pub(crate) shared: Shared,
    pub(crate) globs: Globs,
    pub(crate) dry_run: bool,
    pub(crate) on_failure: OnFailure,
    pub(crate) at_once: Option<usize>,
    pub(crate) sync: Option<Compare>,
    pub(crate) delete: bool,
    pub(crate) each: Option<Each>,
    pub(crate) progress: BatchProgress,
    pub(crate) request_payer: bool,
    pub(crate) expected_bucket_owner: Option<String>,
}

/// Called for each item that has ended.
pub(crate) type Each = Box<dyn FnMut(&BatchItem) + Send>;

impl Settings {
    /// The listing of the keys below `prefix`, with the batch's owner and payer.
    pub(crate) fn listing(&self, bucket: String, prefix: String) -> ListRequest {
        let (request_payer, expected_bucket_owner) = (self.request_payer, self.expected_bucket_owner.clone());
        ListRequest { bucket, prefix, request_payer, expected_bucket_owner }
    }

    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared,
            globs: Globs::new(),
            dry_run: false,
            on_failure: OnFailure::Stop,
            at_once: None,
            sync: None,
            delete: false,
            each: None,
            progress: BatchProgress::new(),
            request_payer: false,
            expected_bucket_owner: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Settings");
        out.field("globs", &self.globs).field("dry_run", &self.dry_run).field("on_failure", &self.on_failure);
        out.field("sync", &self.sync).field("delete", &self.delete).finish_non_exhaustive()
    }
}

/// One of the three directions.
pub(crate) trait Direction: Send {
    /// The side to transfer.
    fn source(&self) -> Side;

    /// The listing of the target side; requested only if it matters.
    fn target(&self) -> Side;

    /// Whether one of the sides is a folder of files, where only an empty folder has a name of its own.
    fn has_folder(&self) -> bool {
        true
    }

    /// Whether an object or a file of that name is not to be transferred. Its like at the target stays.
    fn leaves_out(&self, _name: &str) -> bool {
        false
    }

    /// Checks the next name of the source, which is not the name of a folder.
    ///
    /// # Errors
    ///
    /// [`NameError`]: the target cannot have it.
    fn admit(&mut self, seen: &Seen, bytes: u64) -> Result<(), ItemError>;

    /// Transfers an object or makes an empty folder.
    fn transfer(&self, seen: Seen) -> BoxFuture<'static, Result<u64, ItemError>>;

    /// Whether a target that looks older may have the time that was kept with its source. [`same`](Self::same) decides.
    fn keeps_times(&self) -> bool {
        false
    }

    /// Whether both sides, which have the same size, have the same checksum, or the same time if that decides. False if
    /// that is unknown.
    fn same(&self, source: &Seen, target: &Seen) -> BoxFuture<'static, Result<bool, ItemError>>;

    /// Deletes at the target. As many names as [`deleted_at_once`](Self::deleted_at_once) says, or fewer.
    fn delete(&self, names: Vec<String>) -> BoxFuture<'static, Vec<(String, Result<(), ItemError>)>>;

    /// Most names of one deletion.
    fn deleted_at_once(&self) -> usize;
}

/// A batch that runs.
struct Run<D> {
    direction: D,
    settings: Settings,
    at_once: usize,
    /// Compared, and not begun.
    ahead: VecDeque<Step>,
    to_delete: Vec<String>,
    /// Names of the source below which the listing is incomplete.
    unknown: Names,
    tasks: JoinSet<Vec<BatchItem>>,
    report: BatchReport,
}

/// Something to do.
enum Step {
    Transfer(Seen, u64),
    /// As large on both sides: their checksums decide.
    Compare(Seen, Seen, u64),
    Delete(Vec<String>),
}

/// Lists both sides and transfers all differing objects.
///
/// # Errors
///
/// [`BatchError`]: a side that cannot be listed; with [`OnFailure::Stop`], the first item that failed.
pub(crate) async fn run<D: Direction>(direction: D, settings: Settings) -> Result<BatchReport, BatchError> {
    let started = Instant::now();
    let at_once = settings.at_once.unwrap_or_else(|| small_at_once(&settings.shared.limits)).max(1);
    let report = BatchReport { dry_run: settings.dry_run, ..BatchReport::default() };
    let mut run = Run {
        direction,
        settings,
        at_once,
        ahead: VecDeque::new(),
        to_delete: Vec::new(),
        unknown: Names::default(),
        tasks: JoinSet::new(),
        report,
    };
    let ended = run.go_through().await;
    let mut report = run.report;
    report.elapsed = started.elapsed();
    match ended {
        Ok(()) => Ok(report),
        Err(error) => Err(BatchError { error, report: Box::new(report) }),
    }
}

fn small_at_once(limits: &Limits) -> usize {
    limits.small_at_once() as usize
}

impl<D: Direction> Run<D> {
    async fn go_through(&mut self) -> Result<(), ItemError> {
        let target = (self.settings.sync.is_some() || self.settings.delete).then(|| self.direction.target());
        let mut merge = Merge::new(self.direction.source(), target, self.direction.has_folder());
        let mut listing = Some(&mut merge);
        let until = Instant::now() + AT_FIRST;
        // Checked first, so that an impossible name is reported before anything is written.
        while let Some(merge) = listing.as_mut().filter(|_| self.ahead.len() < AHEAD) {
            let next = tokio::select! {
                biased;
                next = merge.next() => next,
                () = sleep_until(until) => break,
            };
            match next {
                Some(pair) => self.look(pair?)?,
                None => listing = None,
            }
        }
        let mut failed = None;
        loop {
            if listing.is_none() && !self.to_delete.is_empty() {
                let names = std::mem::take(&mut self.to_delete);
                self.ahead.push_back(Step::Delete(names));
            }
            while self.tasks.len() < self.at_once
                && let Some(step) = self.ahead.pop_front()
            {
                self.begin(step)?;
            }
            if listing.is_none() {
                self.settings.progress.listed_all();
            }
            let more = failed.is_none() && self.ahead.len() < self.at_once;
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next() => self.settle(ended)?,
                next = next(&mut listing), if more && listing.is_some() => match next {
                    Some(Ok(pair)) => self.look(pair)?,
                    // Later names are not known. Running transfers may end.
                    Some(Err(error)) => (failed, listing) = (Some(error), None),
                    None => listing = None,
                },
                else => break,
            }
            if failed.is_some() {
                // Without the whole listing, nothing may be called missing.
                self.to_delete.clear();
                self.ahead.retain(|step| !matches!(step, Step::Delete(_)));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Compares both sides of a name.
    fn look(&mut self, pair: Pair) -> Result<(), ItemError> {
        match pair {
            Pair::Source(seen) => self.found(seen, None),
            Pair::Both(seen, there) => self.found(seen, Some(there)),
            Pair::Target(there) => {
                let wanted = self.settings.delete && self.settings.globs.take(&there.name);
                // The prefix's own folder is not a name below it, and no transfer has made a folder or a link.
                let object = matches!(there.what, What::Object { .. }) && !there.name.is_empty();
                if wanted && object && !self.unknown.hold(&there.name) {
                    self.settings.progress.found(0);
                    self.to_delete.push(there.name);
                    if self.to_delete.len() >= self.direction.deleted_at_once() {
                        let names = std::mem::take(&mut self.to_delete);
                        self.ahead.push_back(Step::Delete(names));
                    }
                }
                Ok(())
            }
        }
    }

    fn found(&mut self, seen: Seen, there: Option<Seen>) -> Result<(), ItemError> {
        let taken = match &seen.what {
            // Names below these are unknown, and some of them may be meant.
            What::Unlisted { .. } => {
                self.unknown.add(seen.name.clone());
                self.settings.globs.may_take_below(&seen.name)
            }
            What::NoFile => {
                self.unknown.add(seen.name.clone());
                self.settings.globs.take(&seen.name)
            }
            _ => self.settings.globs.take(&seen.name),
        };
        if !taken {
            return Ok(());
        }
        let name = seen.name.clone();
        let item = |outcome| BatchItem { name: name.clone(), bytes: 0, action: BatchAction::Transfer, outcome };
        let (bytes, side) = match seen.what {
            What::Object { bytes, modified, .. } => (bytes, compare::Side { bytes, modified }),
            What::NoFile => return self.tell(item(BatchOutcome::LeftOut)),
            What::NotUtf8 { path } => {
                let name = path.display().to_string();
                return self.tell(item(BatchOutcome::Failed(ItemError::Name { name, source: NameError::NotUtf8 })));
            }
            What::Unlisted { path, source } => {
                return self.tell(item(BatchOutcome::Failed(ItemError::Unlisted { path, source })));
            }
        };
        if self.direction.leaves_out(&name) {
            return self.tell(BatchItem { bytes, ..item(BatchOutcome::LeftOut) });
        }
        if let Err(error) = self.direction.admit(&seen, bytes) {
            return self.tell(BatchItem { bytes, ..item(BatchOutcome::Failed(error)) });
        }
        let verdict = match (self.settings.sync, &there) {
            // An existing folder counts as the same, whatever its time.
            (Some(_), Some(Seen { what: What::Object { .. }, .. })) if name.ends_with('/') && bytes == 0 => {
                Verdict::Same
            }
            (Some(rule), Some(Seen { what: What::Object { bytes, modified, .. }, .. })) => {
                let there = compare::Side { bytes: *bytes, modified: *modified };
                match compare::compare(rule, side, there) {
                    Verdict::Transfer if side.bytes == there.bytes && self.direction.keeps_times() => Verdict::Ask,
                    verdict => verdict,
                }
            }
            _ => Verdict::Transfer,
        };
        match (verdict, there) {
            (Verdict::Same, _) => {
                return self.tell(BatchItem { bytes, ..item(BatchOutcome::Unchanged) });
            }
            (Verdict::Ask, Some(there)) => self.ahead.push_back(Step::Compare(seen, there, bytes)),
            _ => self.ahead.push_back(Step::Transfer(seen, bytes)),
        }
        self.settings.progress.found(bytes);
        Ok(())
    }

    fn begin(&mut self, step: Step) -> Result<(), ItemError> {
        let dry_run = self.settings.dry_run;
        match step {
            Step::Transfer(seen, bytes) => {
                let (name, action) = (seen.name.clone(), action(&seen.name));
                if dry_run {
                    return self.ended(BatchItem { name, bytes, action, outcome: BatchOutcome::WouldBeDone });
                }
                let transfer = self.direction.transfer(seen);
                let transferred = async move { vec![item(name, bytes, action, transfer.await)] };
                self.tasks.spawn(transferred.in_current_span());
            }
            Step::Compare(seen, there, bytes) => {
                let (name, action) = (seen.name.clone(), action(&seen.name));
                let (same, transfer) = (self.direction.same(&seen, &there), self.direction.transfer(seen));
                let compared = async move {
                    let ended = match same.await {
                        Ok(true) => {
                            return vec![BatchItem { name, bytes, action, outcome: BatchOutcome::Unchanged }];
                        }
                        Ok(false) if dry_run => {
                            return vec![BatchItem { name, bytes, action, outcome: BatchOutcome::WouldBeDone }];
                        }
                        Ok(false) => transfer.await,
                        Err(error) => Err(error),
                    };
                    vec![item(name, bytes, action, ended)]
                };
                self.tasks.spawn(compared.in_current_span());
            }
            Step::Delete(names) if dry_run => {
                for name in names {
                    let (action, outcome) = (BatchAction::Delete, BatchOutcome::WouldBeDone);
                    self.ended(BatchItem { name, bytes: 0, action, outcome })?;
                }
            }
            Step::Delete(names) => {
                let deleted = self.direction.delete(names);
                self.tasks.spawn(deleted.map(|ended| {
                    let item =
                        |(name, ended): (_, Result<(), _>)| item(name, 0, BatchAction::Delete, ended.map(|()| 0));
                    ended.into_iter().map(item).collect()
                }));
            }
        }
        Ok(())
    }

    fn settle(&mut self, ended: Result<Vec<BatchItem>, JoinError>) -> Result<(), ItemError> {
        match ended {
            // All of them have ended, and are reported before the first error.
            Ok(items) => {
                let mut first = Ok(());
                for item in items {
                    first = first.and(self.ended(item));
                }
                first
            }
            Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
            // The runtime shuts down, and this future with it.
            Err(_) => Ok(()),
        }
    }

    /// An item that was begun has ended.
    fn ended(&mut self, item: BatchItem) -> Result<(), ItemError> {
        self.settings.progress.ended(item.bytes, matches!(item.outcome, BatchOutcome::Failed(_)));
        self.tell(item)
    }

    fn tell(&mut self, item: BatchItem) -> Result<(), ItemError> {
        if let Some(each) = &mut self.settings.each {
            each(&item);
        }
        if self.settings.on_failure == OnFailure::Stop
            && let BatchOutcome::Failed(error) = item.outcome
        {
            self.report.failed += 1;
            return Err(error);
        }
        self.report.count(item);
        Ok(())
    }
}

async fn next(listing: &mut Option<&mut Merge>) -> Option<Result<Pair, ItemError>> {
    listing.as_mut()?.next().await
}

fn action(name: &str) -> BatchAction {
    if name.is_empty() || name.ends_with('/') { BatchAction::MakeFolder } else { BatchAction::Transfer }
}

fn item(name: String, bytes: u64, action: BatchAction, ended: Result<u64, ItemError>) -> BatchItem {
    match ended {
        // The transferred version may be another one than the listed one.
        Ok(moved) => BatchItem { name, bytes: moved, action, outcome: BatchOutcome::Done },
        Err(error) => BatchItem { name, bytes, action, outcome: BatchOutcome::Failed(error) },
    }
}
