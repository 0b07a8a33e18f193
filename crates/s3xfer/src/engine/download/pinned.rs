//! [`Pinned`]: a download with a known object and any target: the version to which it is pinned, the check of the
//! bytes, the report.
//!
//! Dropping the future leaves only the sink's bytes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::expected::{self, Expected};
use super::fetch::{Fetcher, Version};
use super::order::Order;
use crate::engine::session::{Ask, At, Attempted, Session};
use crate::engine::turns::Turn;
use crate::rules::checksum::PartChecksums;
use crate::rules::plan::{Cursor, Plan, Runs};
use crate::rules::retry::Attempts;
use crate::words::checkpoint::DonePart;
use crate::words::checksum::{ChecksumAlgorithm, Integrity, NotValidated};
use crate::words::cut::Length;
use crate::words::failure::{RequestFailure, TransferError};
use crate::words::object::Part;
use crate::words::progress::Share;
use crate::words::report::TransferReport;

/// A download whose object is known.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) fetcher: Arc<Fetcher>,
    pub(crate) version: Arc<Version>,
    pub(crate) plan: Plan,
    pub(crate) expected: Expected,
    pub(crate) progress: Share,
    /// Set where one request is in flight at a time; see [`turns`](crate::engine::turns).
    pub(crate) turn: Option<Turn>,
    /// Parts that were fetched.
    parts: AtomicU64,
    /// `None` until the first part that has a checksum.
    checksums: Mutex<Option<PartChecksums>>,
    done: Done,
    resumed_bytes: u64,
}

/// Parts that an earlier download has left.
#[derive(Debug, Default)]
pub(crate) struct Done {
    runs: Arc<Runs>,
    /// The checksums of the parts that have one.
    checksums: Option<PartChecksums>,
    /// Whether their bytes were read back from the disk, and are unchanged.
    pub(crate) were_read_again: bool,
}

impl Done {
    /// The given parts of the object of `plan`, each with its checksum by `algorithm` if one was kept.
    pub(crate) fn new(plan: &Plan, parts: &mut [DonePart], algorithm: Option<ChecksumAlgorithm>) -> Self {
        let first = plan.bytes().start;
        let (mut runs, mut checksums) = (Runs::default(), algorithm.map(PartChecksums::new));
        parts.sort_unstable_by_key(|part| part.bytes.start);
        for DonePart { bytes, crc, .. } in parts.iter() {
            if let (Some(checksums), Some(crc)) = (&mut checksums, *crc) {
                checksums.add(first + bytes.start..first + bytes.end, crc);
            }
            runs.add(bytes.clone());
        }
        Self { runs: Arc::new(runs), checksums, were_read_again: false }
    }

    /// Bytes of all of them.
    pub(crate) fn length(&self) -> u64 {
        self.runs.length()
    }
}

impl Pinned {
    /// Nothing of it is done yet.
    pub(crate) fn new(
        fetcher: Arc<Fetcher>,
        version: Arc<Version>,
        plan: Plan,
        expected: Expected,
        progress: Share,
    ) -> Self {
        progress.set_total(plan.bytes().length());
        let (turn, parts, checksums, done, resumed_bytes) = Default::default();
        Self { fetcher, version, plan, expected, progress, turn, parts, checksums, done, resumed_bytes }
    }

    /// Continues an earlier download of `version`, whose parts `done` are already in the sink. It sends no request yet:
    /// the first part that is fetched shows whether the object still has that version.
    pub(crate) async fn resume(order: Order, version: Version, plan: Plan, mut done: Done) -> Self {
        let Order { shared, object, progress, .. } = order;
        let fetcher = Fetcher { session: Session::new(shared), object };
        let question = expected::question(&fetcher.session, &fetcher.object, None).await;
        let expected = match question {
            Some(answer) => Expected::awaited(answer, version.e_tag.clone()),
            None if fetcher.session.config.validate_checksum() => Expected::none(NotValidated::PartOfTheObject),
            None => Expected::none(NotValidated::TurnedOff),
        };
        let mut pinned = Self::new(Arc::new(fetcher), Arc::new(version), plan, expected, progress);
        pinned.resumed_bytes = done.length();
        pinned.progress.add_written(pinned.resumed_bytes);
        pinned.checksums = Mutex::new(done.checksums.take());
        pinned.done = done;
        pinned
    }

    /// The parts that are to be fetched, in order.
    pub(crate) fn parts(&self) -> Cursor {
        self.plan.cursor(self.done.runs.clone())
    }

    /// Asks the server whether the object still is the version that the download is of, without any of its bytes.
    ///
    /// # Errors
    ///
    /// [`TransferError::ObjectChanged`], and those of any request.
    pub(crate) async fn confirm(&self) -> Result<(), TransferError> {
        self.fetcher.session.persist(&mut Confirming(self)).await
    }

    /// A part is whole, and has that checksum, if it has one.
    pub(crate) fn add(&self, part: &Part, checksum: Option<(ChecksumAlgorithm, u64)>) {
        self.parts.fetch_add(1, Ordering::Relaxed);
        if let Some((algorithm, value)) = checksum {
            let mut checksums = self.checksums.lock().unwrap_or_else(PoisonError::into_inner);
            let checksums = checksums.get_or_insert_with(|| PartChecksums::new(algorithm));
            // Kept parts may have another kind of checksum; the verdict then says that some have none.
            if checksums.algorithm() == algorithm {
                checksums.add(part.bytes.clone(), value);
            }
        }
    }

    /// Compares the received object with its stored checksum.
    ///
    /// # Errors
    ///
    /// [`TransferError::Corrupt`].
    pub(crate) async fn validate(&self) -> Result<Integrity, TransferError> {
        let checksums = self.checksums.lock().unwrap_or_else(PoisonError::into_inner).take();
        let judged = self.expected.judge(self.plan.bytes(), checksums.as_ref()).await;
        let believed = !self.done.runs.is_empty() && !self.done.were_read_again;
        match judged {
            Ok(Integrity::Validated(algorithm)) if believed => Ok(Integrity::ValidatedAsReceived(algorithm)),
            Ok(integrity) => Ok(integrity),
            Err((expected, computed)) => Err(TransferError::Corrupt {
                object: self.fetcher.object.address.to_string(),
                algorithm: expected.algorithm,
                expected: expected.value,
                computed,
            }),
        }
    }

    /// The report of the work so far. The writer fills in `writes`, `largest_write_bytes` and `peak_io_queue`.
    pub(crate) fn report(&self, integrity: Integrity) -> TransferReport {
        TransferReport {
            resumed_bytes: self.resumed_bytes,
            object_bytes: self.version.object_bytes,
            e_tag: self.version.e_tag.clone(),
            modified: self.version.modified,
            parts: self.done.runs.parts() + self.parts.load(Ordering::Relaxed),
            ..self.fetcher.session.report(self.plan.bytes().length(), integrity)
        }
    }
}

/// The question whether the object still is the pinned version.
struct Confirming<'a>(&'a Pinned);

impl Ask for Confirming<'_> {
    type Answer = ();
    type Error = TransferError;

    async fn attempt(&mut self, _: &mut Attempts) -> Result<Attempted<()>, TransferError> {
        let Pinned { fetcher, version, .. } = self.0;
        let Fetcher { session, object } = &**fetcher;
        let failure = match session.store.checksum(object, session.config.first_byte_timeout()).await {
            Ok((e_tag, _)) if e_tag == version.e_tag => return Ok(Attempted::Answered(())),
            Ok(_) => RequestFailure::Changed,
            Err(RequestFailure::Transient(error)) => return Ok(Attempted::Failed(error)),
            Err(failure) => failure,
        };
        Err(fetcher.error(failure, version.e_tag.as_deref()))
    }

    fn at(&self) -> At<'_> {
        At { object: &self.0.fetcher.object.address, part: 0, offset: self.0.plan.bytes().start }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::config::TransferConfig;

    #[test]
    fn neighbours_that_are_done_are_one_run() {
        let config = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(10).build().unwrap();
        let plan = Plan::new(5..10_000_000, &config);
        // In the order in which they came, with two gaps.
        let mut parts: Vec<DonePart> = (0..500_000)
            .rev()
            .filter(|number| !matches!(number, 7 | 300_000))
            .map(|number| DonePart { number, bytes: 10 * number..10 * number + 10, crc: Some(0), synced: true })
            .collect();
        let done = Done::new(&plan, &mut parts, Some(ChecksumAlgorithm::Crc32c));
        assert_eq!(done.length(), 10 * 499_998);
        let mut missing = plan.cursor(done.runs.clone()).map(|part| (part.number, part.bytes));
        assert_eq!(missing.next(), Some((7, 75..85)));
        assert_eq!(missing.next(), Some((300_000, 3_000_005..3_000_015)));
        assert_eq!(missing.next(), Some((500_000, 5_000_005..5_000_015)));
        assert_eq!(missing.count() as u64, plan.len() - 500_001);
        let checksums = done.checksums.unwrap();
        assert!(checksums.of(5..75).is_some() && checksums.of(5..76).is_none());
    }
}
