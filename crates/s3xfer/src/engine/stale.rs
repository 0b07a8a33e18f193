//! Unfinished multipart uploads: finding and aborting them.
//!
//! Dropped at any await, those that were aborted stay so.

use std::time::{Duration, SystemTime};

use crate::doors::s3::unfinished::Begun;
use crate::engine::session::{Ask, At, Attempted, Session};
use crate::engine::shared::Shared;
use crate::rules::retry::Attempts;
use crate::words::failure::{RequestFailure, TransferError};
use crate::words::object::{ObjectAddress, ObjectRequest};

/// A multipart upload that was neither completed nor aborted. Its parts are charged like objects.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StaleUpload {
    /// The key of the object that it was to become.
    pub key: String,
    /// Its id.
    pub upload_id: String,
    /// When it was begun, by the server's clock.
    pub initiated: SystemTime,
}

pub(crate) async fn abort_stale(
    shared: Shared,
    bucket: String,
    prefix: String,
    older_than: Duration,
) -> Result<Vec<StaleUpload>, TransferError> {
    let session = Session::new(shared);
    // A date before all dates: nothing is that old.
    let Some(before) = SystemTime::now().checked_sub(older_than) else { return Ok(Vec::new()) };
    let mut listing = Listing {
        session: &session,
        place: ObjectAddress { bucket: bucket.clone(), key: prefix.clone() },
        after: None,
    };
    let mut aborted = Vec::new();
    loop {
        let (page, next) = session.persist(&mut listing).await?;
        for Begun { key, upload_id, initiated } in page {
            // One without a date may have begun just now.
            let Some(initiated) = initiated.filter(|initiated| *initiated <= before) else { continue };
            let object = ObjectRequest::new(ObjectAddress { bucket: bucket.clone(), key: key.clone() });
            abort(&session, &object, &upload_id).await?;
            aborted.push(StaleUpload { key, upload_id, initiated });
        }
        match next {
            Some(next) => listing.after = Some(next),
            None => return Ok(aborted),
        }
    }
}

/// Aborts an upload; an upload that has already ended is not an error.
///
/// # Errors
///
/// [`TransferError`].
pub(crate) async fn abort(session: &Session, object: &ObjectRequest, upload_id: &str) -> Result<(), TransferError> {
    session.persist(&mut Aborting { session, object, upload_id }).await
}

/// The question which uploads were begun and not ended, a page at a time.
pub(crate) struct Listing<'a> {
    pub(crate) session: &'a Session,
    /// The prefix of the keys, as a key.
    pub(crate) place: ObjectAddress,
    /// The place at which the page begins.
    pub(crate) after: Option<(String, String)>,
}

impl Ask for Listing<'_> {
    type Answer = (Vec<Begun>, Option<(String, String)>);
    type Error = TransferError;

    async fn attempt(&mut self, _: &mut Attempts) -> Result<Attempted<Self::Answer>, TransferError> {
        let Session { store, config, .. } = self.session;
        let ObjectAddress { bucket, key } = &self.place;
        match store.uploads(bucket, key, self.after.as_ref(), config.first_byte_timeout()).await {
            Ok(page) => Ok(Attempted::Answered(page)),
            Err(RequestFailure::Transient(error)) => Ok(Attempted::Failed(error)),
            Err(failure) => Err(failure.into_error(&self.place, None)),
        }
    }

    fn at(&self) -> At<'_> {
        At { object: &self.place, part: 0, offset: 0 }
    }
}

struct Aborting<'a> {
    session: &'a Session,
    object: &'a ObjectRequest,
    upload_id: &'a str,
}

impl Ask for Aborting<'_> {
    type Answer = ();
    type Error = TransferError;

    async fn attempt(&mut self, _: &mut Attempts) -> Result<Attempted<()>, TransferError> {
        let Session { store, config, .. } = self.session;
        match store.abort_upload(self.object, self.upload_id, config.first_byte_timeout()).await {
            Ok(()) => Ok(Attempted::Answered(())),
            // Another client has ended it.
            Err(RequestFailure::Refused { code, .. }) if code == "NoSuchUpload" => Ok(Attempted::Answered(())),
            Err(RequestFailure::Transient(error)) => Ok(Attempted::Failed(error)),
            Err(failure) => Err(failure.into_error(&self.object.address, None)),
        }
    }

    fn at(&self) -> At<'_> {
        At { object: &self.object.address, part: 0, offset: 0 }
    }
}
