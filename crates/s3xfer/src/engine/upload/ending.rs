//! The request that makes an object appear, until it is known whether it did.
//!
//! Dropped at any await, the object is there or it is not, whole in either case.

use std::time::Duration;

use futures::future::BoxFuture;
use md5::Digest;

use super::part::{harmed, is_harmed};
use crate::doors::s3::StoredChecksum;
use crate::doors::s3::writing::{Described, SentPart, Written};
use crate::engine::session::{Ask, At, Attempted, Session};
use crate::rules::checksum;
use crate::rules::ending::{Next, Refusal, Request, may_be_done, next};
use crate::rules::retry::Attempts;
use crate::words::checksum::md5_in;
use crate::words::failure::{RequestError, RequestFailure, TransferError};
use crate::words::target::{Condition, Target};

/// The object to be written, and the request that writes it.
pub(crate) struct Ending<'a> {
    pub(crate) session: &'a Session,
    pub(crate) target: &'a Target,
    pub(crate) request: Request,
    pub(crate) bytes: u64,
    /// The checksum of all its bytes, by the target's algorithm, where it is known.
    pub(crate) checksum: Option<u64>,
    /// The ETag that it will have, where that is known.
    pub(crate) e_tag: Option<String>,
    /// Whether an earlier request to write it may have been carried out, or may yet be.
    pub(crate) unsure: bool,
}

/// Why there is no object.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Another write is under way: all of it is to be done again. `unsure`: the other write may be this one.
    Conflict {
        error: TransferError,
        unsure: bool,
    },
    Failed(TransferError),
}

/// Before all of it is done again after so many conflicts: up to 0.4 s after the first one, twice as long after each
/// other. `jitter` is from 0 to 1.
pub(crate) fn pause_after_conflict(conflicts: u32, jitter: f64) -> Duration {
    const AFTER_CONFLICT: Duration = Duration::from_millis(200);

    AFTER_CONFLICT.saturating_mul(1 << conflicts.min(6)).mul_f64(jitter)
}

impl From<TransferError> for Ended {
    fn from(error: TransferError) -> Self {
        Self::Failed(error)
    }
}

impl Ended {
    pub(crate) fn into_error(self) -> TransferError {
        match self {
            Self::Conflict { error, .. } | Self::Failed(error) => error,
        }
    }
}

/// Sends `request` until the object is there or it is clear that it will not be. Says, too, whether the multipart
/// upload may be left: the object that is there may be another writer's, of the same bytes.
///
/// # Errors
///
/// [`Ended`].
pub(crate) async fn finish<'a>(
    ending: &'a Ending<'a>,
    request: &'a (dyn Fn() -> BoxFuture<'a, Result<Written, RequestFailure>> + Send + Sync),
) -> Result<(Written, bool), Ended> {
    let mut finishing = Finishing { ending, request, unsure: ending.unsure, conflicts: 0 };
    let (written, is_left) = ending.session.persist(&mut finishing).await?;
    // Ceph's gateway completes an upload with an empty one.
    let told = written.e_tag.filter(|e_tag| !e_tag.is_empty());
    Ok((Written { e_tag: told.or_else(|| ending.e_tag.clone()), ..written }, is_left))
}

struct Finishing<'a> {
    ending: &'a Ending<'a>,
    request: &'a (dyn Fn() -> BoxFuture<'a, Result<Written, RequestFailure>> + Send + Sync),
    /// An attempt that failed may have been carried out.
    unsure: bool,
    conflicts: u32,
}

impl Ask for Finishing<'_> {
    /// With whether the multipart upload may be left.
    type Answer = (Written, bool);
    type Error = Ended;

    async fn attempt(&mut self, _: &mut Attempts) -> Result<Attempted<Self::Answer>, Ended> {
        let Ending { session, target, .. } = self.ending;
        let failure = match (self.request)().await {
            Ok(written) => return Ok(Attempted::Answered((written, false))),
            Err(RequestFailure::Transient(error)) => {
                self.unsure |= may_be_done(&error);
                return Ok(Attempted::Failed(error));
            }
            // Parts have their own checksums; that of the whole object is wrong for good.
            Err(failure) if self.ending.request == Request::Whole && is_harmed(&failure) => {
                return Ok(Attempted::Failed(harmed()));
            }
            Err(failure) => failure,
        };
        let refusal = match &failure {
            RequestFailure::Changed => Refusal::ConditionFailed,
            RequestFailure::Refused { status, code, .. } => Refusal::of(*status, code),
            _ => Refusal::Other,
        };
        let is_conditional = target.condition != Condition::None;
        match next(self.ending.request, refusal, is_conditional, self.unsure) {
            Next::Look => match self.ending.look().await? {
                Some(written) => Ok(Attempted::Answered((written, refusal != Refusal::NoSuchUpload))),
                None if refusal == Refusal::Conflict => Err(self.conflict(failure)),
                None if is_conditional && refusal == Refusal::ConditionFailed => Err(condition_failed(target).into()),
                None => Err(failure.into_error(target.address(), None).into()),
            },
            Next::Again => {
                self.conflicts += 1;
                if self.conflicts >= session.config.num_download_attempts() {
                    return Err(failure.into_error(target.address(), None).into());
                }
                // Paced as a server error is.
                let code = "ConditionalRequestConflict".to_owned();
                Ok(Attempted::Failed(RequestError::Unavailable { status: 409, code, throttled: false }))
            }
            Next::FromTheStart => Err(self.conflict(failure)),
            Next::ConditionFailed => Err(condition_failed(target).into()),
            Next::Fail => Err(failure.into_error(target.address(), None).into()),
        }
    }

    fn at(&self) -> At<'_> {
        At { object: self.ending.target.address(), part: 0, offset: 0 }
    }
}

impl Finishing<'_> {
    fn conflict(&self, failure: RequestFailure) -> Ended {
        Ended::Conflict { error: failure.into_error(self.ending.target.address(), None), unsure: self.unsure }
    }
}

pub(crate) fn condition_failed(target: &Target) -> TransferError {
    TransferError::ConditionFailed { object: target.address().to_string(), condition: target.condition.to_string() }
}

impl Ending<'_> {
    /// The object, if it is there and the one that was to appear.
    ///
    /// # Errors
    ///
    /// [`TransferError`] where the server does not say.
    pub(crate) async fn look(&self) -> Result<Option<Written>, TransferError> {
        let Self { session, target, .. } = self;
        let described = session.persist(&mut Looking { session, target }).await?;
        Ok(described.and_then(|described| self.ours(described)))
    }

    /// The object that is there, if it is the one that was to appear.
    fn ours(&self, there: Described) -> Option<Written> {
        let told = match &there.checksum {
            StoredChecksum::Whole(algorithm, bytes) if *algorithm == self.target.checksum => {
                checksum::value(*algorithm, bytes)
            }
            _ => None,
        };
        let same = match (told, self.checksum) {
            (Some(told), Some(ours)) => told == ours,
            // Without a checksum the ETag decides, where its right value is known.
            _ => self.e_tag.is_some() && self.e_tag == there.e_tag,
        };
        let written = Written { e_tag: there.e_tag, version_id: there.version_id, checksum: told };
        (same && there.bytes == self.bytes).then_some(written)
    }
}

/// The ETag of an object of these parts, in order: the MD5 of their MD5s and their number. `None` where a part's ETag
/// is no MD5, as with keys of AWS's Key Management Service.
pub(crate) fn multipart_e_tag(parts: &[SentPart]) -> Option<String> {
    let mut sum = md5::Md5::new();
    for part in parts {
        sum.update(md5_in(&part.e_tag)?);
    }
    let hex: String = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("\"{hex}-{}\"", parts.len()))
}

/// The request for the present object.
struct Looking<'a> {
    session: &'a Session,
    target: &'a Target,
}

impl Ask for Looking<'_> {
    /// `None`: nothing is there.
    type Answer = Option<Described>;
    type Error = TransferError;

    async fn attempt(&mut self, _: &mut Attempts) -> Result<Attempted<Option<Described>>, TransferError> {
        let Session { store, config, .. } = self.session;
        match store.describe(&self.target.object, config.first_byte_timeout()).await {
            Ok(described) => Ok(Attempted::Answered(Some(described))),
            Err(RequestFailure::Refused { status: 404, .. }) => Ok(Attempted::Answered(None)),
            Err(RequestFailure::Transient(error)) => Ok(Attempted::Failed(error)),
            Err(failure) => Err(failure.into_error(self.target.address(), None)),
        }
    }

    fn at(&self) -> At<'_> {
        At { object: self.target.address(), part: 0, offset: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_etag_of_parts_is_the_md5_of_their_md5s() {
        let part = |number, e_tag: &str| SentPart { number, e_tag: e_tag.to_owned(), checksum: None };
        // md5 of "" and of "a"; the sum by `printf ... | xxd -r -p | md5sum`.
        let parts = [part(1, "\"d41d8cd98f00b204e9800998ecf8427e\""), part(2, "\"0cc175b9c0f1b6a831c399e269772661\"")];
        assert_eq!(multipart_e_tag(&parts), Some("\"68083ea43d0307eecfa2b4749f19df15-2\"".to_owned()));
        for other in
            ["\"of-another-kind\"", "\"+41d8cd98f00b204e9800998ecf8427e\"", "\"0cc175b9c0f1b6a831c399e269772661-1\""]
        {
            assert_eq!(multipart_e_tag(&[part(1, other)]), None, "{other}");
        }
    }
}
