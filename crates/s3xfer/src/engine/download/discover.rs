//! The first request. Its answer gives the object's size and version, and its body is the beginning of the wanted
//! bytes, so no HEAD is needed.
//!
//! Dropping the future leaves nothing.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use super::expected::{self, Expected, Question};
use super::fetch::{Begun, Fetcher, Version, bad_response};
use super::order::Order;
use super::pinned::Pinned;
use crate::doors::s3::{Answer, StoredChecksum};
use crate::engine::limits::RequestPermit;
use crate::engine::session::{Ask, At, Attempted, Session};
use crate::rules::content_range::check_partial;
use crate::rules::plan::{Plan, first_request};
use crate::rules::retry::Attempts;
use crate::words::checksum::NotValidated;
use crate::words::failure::{RequestFailure, TransferError};
use crate::words::mtime;
use crate::words::object::ObjectRequest;

/// The answer that described the object, and its permit to be in flight.
pub(crate) struct First {
    pub(crate) begun: Begun,
    pub(crate) permit: RequestPermit,
}

/// Like [`begin`], but many small downloads take turns. Not for downloads that the caller may pause for any time,
/// because they would hold the places of the others.
pub(crate) async fn begin_in_turn(order: Order) -> Result<(Pinned, First), TransferError> {
    let turn = match order.shared.config.adaptive_concurrency() {
        true => order.shared.limits.turn().await,
        false => None,
    };
    let (mut pinned, first) = begin(order).await?;
    // A download with several requests in flight reduces their number by itself.
    pinned.turn = turn.filter(|_| pinned.plan.in_turn() || pinned.plan.len() <= 1);
    Ok((pinned, first))
}

/// Asks for the beginning of the object.
pub(crate) async fn begin(order: Order) -> Result<(Pinned, First), TransferError> {
    let Order { shared, object, object_bytes, progress } = order;
    let fetcher = Fetcher { session: Session::new(shared), object };
    let permit = fetcher.session.limits.permit().await;
    let question = expected::question(&fetcher.session, &fetcher.object, object_bytes).await;
    let (begun, asked) = first_answer(&fetcher, object_bytes).await?;
    let (version, plan) = understand(&fetcher, &begun.answer, asked.as_ref())?;
    let expected = expected(&fetcher, &version, &plan, &begun.answer, question);
    let pinned = Pinned::new(Arc::new(fetcher), Arc::new(version), plan, expected, progress);
    Ok((pinned, First { begun, permit }))
}

/// An answer, and the range that it is an answer to, if to one.
///
/// `object_bytes` is the size as the caller knows it: an object that one request brings is then asked for without a
/// range, and its checksum comes with it.
async fn first_answer(
    fetcher: &Fetcher,
    object_bytes: Option<u64>,
) -> Result<(Begun, Option<Range<u64>>), TransferError> {
    let range = first_request(fetcher.object.range, &fetcher.session.config);
    if range.is_empty() {
        return Err(no_such_range(fetcher, None));
    }
    let whole = range.start == 0 && object_bytes.is_some_and(|bytes| bytes <= range.end);
    let mut asking = FirstAnswer { fetcher, asked: (!whole).then(|| range.clone()), range, whole };
    let answer = fetcher.session.persist(&mut asking).await?;
    Ok((answer, asking.asked))
}

/// The question for the first bytes.
struct FirstAnswer<'a> {
    fetcher: &'a Fetcher,
    range: Range<u64>,
    /// `None`: the object, without a range.
    asked: Option<Range<u64>>,
    /// Whether the whole object is believed to fit into one request.
    whole: bool,
}

impl Ask for FirstAnswer<'_> {
    type Answer = Begun;
    type Error = TransferError;

    async fn attempt(&mut self, _: &mut Attempts) -> Result<Attempted<Begun>, TransferError> {
        let Self { fetcher, range, asked, whole } = self;
        match fetcher.get(asked.as_ref(), None).await {
            // The caller was wrong about the size.
            Ok(begun) if asked.is_none() && *whole && begun.answer.content_length.is_some_and(|n| n > range.end) => {
                (*asked, *whole) = (Some(range.clone()), false);
                Ok(Attempted::Again)
            }
            Ok(begun) => Ok(Attempted::Answered(begun)),
            // An empty object has no byte 0. Without a range it answers like any other.
            Err(RequestFailure::BehindTheEnd) if asked.is_some() && range.start == 0 => {
                *asked = None;
                Ok(Attempted::Again)
            }
            Err(RequestFailure::BehindTheEnd) => Err(no_such_range(fetcher, None)),
            Err(RequestFailure::Transient(error)) => Ok(Attempted::Failed(error)),
            Err(failure) => Err(fetcher.error(failure, None)),
        }
    }

    fn at(&self) -> At<'_> {
        At { object: &self.fetcher.object.address, part: 0, offset: self.range.start }
    }
}

/// The time that was kept with an object, for a download that has no first answer.
///
/// # Errors
///
/// [`TransferError`].
pub(crate) async fn modified(order: &Order) -> Result<Option<SystemTime>, TransferError> {
    let session = Session::new(order.shared.clone());
    session.persist(&mut Modified { session: &session, object: &order.object }).await
}

struct Modified<'a> {
    session: &'a Session,
    object: &'a ObjectRequest,
}

impl Ask for Modified<'_> {
    type Answer = Option<SystemTime>;
    type Error = TransferError;

    async fn attempt(&mut self, _: &mut Attempts) -> Result<Attempted<Option<SystemTime>>, TransferError> {
        let Session { store, config, .. } = self.session;
        match store.describe(self.object, config.first_byte_timeout()).await {
            Ok(described) => {
                let mut metadata = described.attributes.metadata.iter();
                let kept = metadata.find(|(name, _)| name == mtime::NAME);
                Ok(Attempted::Answered(kept.and_then(|(_, value)| mtime::read(value))))
            }
            Err(RequestFailure::Transient(error)) => Ok(Attempted::Failed(error)),
            Err(failure) => Err(failure.into_error(&self.object.address, None)),
        }
    }

    fn at(&self) -> At<'_> {
        At { object: &self.object.address, part: 0, offset: 0 }
    }
}

/// The version of `first`, and the parts of the wanted bytes.
fn understand(fetcher: &Fetcher, first: &Answer, asked: Option<&Range<u64>>) -> Result<(Version, Plan), TransferError> {
    let refuse = |what: String| fetcher.error(bad_response(what), None);
    let (object_bytes, ranged) = match (&first.content_range, asked) {
        (Some(content_range), Some(asked)) => {
            let got = check_partial(asked, content_range, first.content_length).map_err(refuse)?;
            (got.object_bytes, Some(true))
        }
        (Some(_), None) => return Err(refuse("a part of the object, though no range was asked for".to_owned())),
        (None, asked) => match first.content_length {
            Some(length) => (length, asked.map(|_| false)),
            None => {
                let what = "neither Content-Range nor Content-Length states the object's size";
                return Err(refuse(what.to_owned()));
            }
        },
    };
    let wanted = fetcher.object.range.within(object_bytes);
    let wanted = wanted.ok_or_else(|| no_such_range(fetcher, Some(object_bytes)))?;
    let plan = match first.content_range.is_some() {
        true => Plan::new(wanted, &fetcher.session.config),
        false => Plan::whole(wanted),
    };
    let e_tag = first.e_tag.clone();
    let modified = first.mtime.as_deref().and_then(mtime::read);
    Ok((Version { object_bytes, e_tag, last_modified: first.last_modified, modified, ranged }, plan))
}

fn expected(fetcher: &Fetcher, version: &Version, plan: &Plan, first: &Answer, question: Option<Question>) -> Expected {
    if !fetcher.session.config.validate_checksum() {
        return Expected::none(NotValidated::TurnedOff);
    }
    if plan.bytes() != (0..version.object_bytes) {
        return Expected::none(NotValidated::PartOfTheObject);
    }
    match question {
        // With the whole object comes the whole object's checksum.
        _ if plan.len() <= 1 && first.checksum != StoredChecksum::None => Expected::told(&first.checksum),
        Some(answer) => Expected::awaited(answer, version.e_tag.clone()),
        None => Expected::none(NotValidated::NoChecksum),
    }
}

fn no_such_range(fetcher: &Fetcher, object_bytes: Option<u64>) -> TransferError {
    TransferError::NoSuchRange {
        object: fetcher.object.address.to_string(),
        range: fetcher.object.range.to_string(),
        object_bytes,
    }
}
