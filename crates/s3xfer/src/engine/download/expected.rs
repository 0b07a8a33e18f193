//! The checksum that the object must have, requested while the first bytes arrive.
//!
//! Dropping it ends the request.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::Instrument;

use crate::doors::s3::StoredChecksum;
use crate::engine::counters::Counters;
use crate::engine::session::{self, Ask, At, Attempted, Session};
use crate::rules::checksum::{self, PartChecksums};
use crate::rules::floor::Floor;
use crate::rules::plan::first_request;
use crate::rules::retry::Attempts;
use crate::words::checksum::{ChecksumAlgorithm, Integrity, NotValidated, ObjectChecksum};
use crate::words::failure::{RequestFailure, TransferError};
use crate::words::object::{ByteRange, ObjectRequest};

/// The bytes wait for the answer, so a server without an answer must not delay them for long.
const PATIENCE: Duration = Duration::from_secs(5);

type Told = Result<ObjectChecksum, NotValidated>;

/// The server's record of the object's checksum, with the ETag of its version; `None` when there is none.
type Answered = Option<(Option<String>, StoredChecksum)>;

/// The question for a checksum, on its way.
pub(crate) type Question = BoxFuture<'static, Answered>;

/// The object's checksum, as soon as it is known. Clones share the answer.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    told: Shared<BoxFuture<'static, Told>>,
}

impl Expected {
    /// There is none to compare with.
    pub(crate) fn none(why: NotValidated) -> Self {
        Self { told: futures::future::ready(Err(why)).boxed().shared() }
    }

    /// The server sent it with the whole object.
    pub(crate) fn told(stored: &StoredChecksum) -> Self {
        Self { told: futures::future::ready(understand(stored)).boxed().shared() }
    }

    /// The checksum that the answer to a [`question`] gives for the version with that ETag.
    pub(crate) fn awaited(answer: impl Future<Output = Answered> + Send + 'static, e_tag: Option<String>) -> Self {
        let told = async move {
            match answer.await {
                Some((of, stored)) if of == e_tag => understand(&stored),
                _ => Err(NotValidated::NotTold),
            }
        };
        Self { told: told.boxed().shared() }
    }

    /// The checksum algorithm to compute, if any.
    pub(crate) async fn algorithm(&self) -> Option<ChecksumAlgorithm> {
        self.told.clone().await.ok().map(|checksum| checksum.algorithm)
    }

    /// Compares with the checksums of the parts of `bytes`, all of the object.
    ///
    /// # Errors
    ///
    /// The object's checksum and the computed one, when they differ.
    pub(crate) async fn judge(
        &self,
        bytes: Range<u64>,
        parts: Option<&PartChecksums>,
    ) -> Result<Integrity, (ObjectChecksum, u64)> {
        let expected = match self.told.clone().await {
            Ok(expected) => expected,
            Err(why) => return Ok(Integrity::NotValidated(why)),
        };
        let none = PartChecksums::new(expected.algorithm);
        match parts.filter(|parts| parts.algorithm() == expected.algorithm).unwrap_or(&none).of(bytes) {
            None => Ok(Integrity::NotValidated(NotValidated::ResumedWithout)),
            Some(computed) if computed == expected.value => Ok(Integrity::Validated(expected.algorithm)),
            Some(computed) => Err((expected, computed)),
        }
    }
}

/// Asks for the object's checksum where the answers to the GETs will not tell it: beside the first of them, and without
/// a permit (as boto3 sends its HEAD), or before it where there is to be one request at a time.
pub(crate) async fn question(
    session: &Arc<Session>,
    object: &ObjectRequest,
    object_bytes: Option<u64>,
) -> Option<Question> {
    let first = first_request(object.range, &session.config);
    let comes_along = object_bytes.is_some_and(|bytes| bytes <= first.end);
    if session.store.is_url() || !session.config.validate_checksum() || object.range != ByteRange::WHOLE || comes_along
    {
        return None;
    }
    let question = ask(session.clone(), object.clone());
    Some(match session.most_requests() > 1 {
        true => Box::pin(beside(question)),
        false => Box::pin(futures::future::ready(question.await)),
    })
}

/// Asks the server for the object's checksum.
async fn ask(session: Arc<Session>, object: ObjectRequest) -> Answered {
    // No body comes with it, and the patience is over when the timeout below is.
    let attempts = Attempts::new(1, PATIENCE, Floor { bytes_per_second: 0, window: PATIENCE });
    let mut asking = Checksum { session, object };
    // The transfer's counters know nothing of it: it is beside the GETs.
    let counters = Counters::default();
    match timeout(PATIENCE, session::persist(attempts, (&counters, Instant::now()), None, &mut asking)).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::debug!(object = %asking.object.address, ?error, "the server does not state the checksum");
            None
        }
        Err(_) => None,
    }
}

/// The question for an object's checksum.
struct Checksum {
    session: Arc<Session>,
    object: ObjectRequest,
}

impl Ask for Checksum {
    type Answer = (Option<String>, StoredChecksum);
    type Error = TransferError;

    async fn attempt(&mut self, _: &mut Attempts) -> Result<Attempted<Self::Answer>, TransferError> {
        let Session { store, config, .. } = &*self.session;
        match self.session.soonest(|| store.checksum(&self.object, config.first_byte_timeout())).await {
            Ok(told) => Ok(Attempted::Answered(told)),
            Err(RequestFailure::Transient(error)) => Ok(Attempted::Failed(error)),
            Err(failure) => Err(failure.into_error(&self.object.address, None)),
        }
    }

    fn at(&self) -> At<'_> {
        At { object: &self.object.address, part: 0, offset: 0 }
    }
}

/// Runs `question` beside the caller; dropping the returned handle ends it.
fn beside<T: Send + 'static>(
    question: impl Future<Output = Option<T>> + Send + 'static,
) -> impl Future<Output = Option<T>> + Send + 'static {
    let mut task = JoinSet::new();
    task.spawn(question.in_current_span());
    async move { task.join_next().await?.ok()? }
}

fn understand(stored: &StoredChecksum) -> Told {
    match stored {
        StoredChecksum::Whole(algorithm, bytes) => checksum::value(*algorithm, bytes)
            .map(|value| ObjectChecksum { algorithm: *algorithm, value })
            .ok_or(NotValidated::NotCombinable),
        StoredChecksum::OfAnotherType => Err(NotValidated::NotCombinable),
        StoredChecksum::None => Err(NotValidated::NoChecksum),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_that_was_asked_for_counts_for_its_own_version_only() {
        let judged = |of: Option<&str>, computed: u64| {
            let stored = StoredChecksum::Whole(ChecksumAlgorithm::Crc64Nvme, 7_u64.to_be_bytes().to_vec());
            let answer = futures::future::ready(Some((of.map(str::to_owned), stored)));
            let mut parts = PartChecksums::new(ChecksumAlgorithm::Crc64Nvme);
            parts.add(0..3, computed);
            let expected = Expected::awaited(answer, Some("\"a\"".to_owned()));
            expected.judge(0..3, Some(&parts)).now_or_never().expect("the answer is there")
        };
        assert_eq!(judged(Some("\"a\""), 7).unwrap(), Integrity::Validated(ChecksumAlgorithm::Crc64Nvme));
        assert_eq!(judged(Some("\"a\""), 8).unwrap_err().1, 8);
        // The checksum of another version proves nothing, neither way.
        for (of, computed) in [(Some("\"b\""), 7), (Some("\"b\""), 8), (None, 8)] {
            assert_eq!(judged(of, computed).unwrap(), Integrity::NotValidated(NotValidated::NotTold));
        }
    }
}
