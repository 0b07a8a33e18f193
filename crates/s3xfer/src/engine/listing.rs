//! [`ObjectListing`]: the objects of a prefix as a stream. The next page is requested while the receiver takes the page
//! before; if the receiver is faster, several pages are requested at once ([`Ranges`]).
//!
//! Memory: two pages, or up to 33 if several are requested at once, and at most 8 MiB of long keys. Dropping the stream
//! abandons its requests.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::Stream;
use futures::future::{BoxFuture, FutureExt};
use tokio::task::{JoinError, JoinSet};

use crate::engine::crew::propagate;
use crate::engine::session::{Ask, At, Attempted, Session};
use crate::engine::shared::Shared;
use crate::rules::ranges::{Disorder, MOST_REQUESTS, Ranges, Taken};
use crate::rules::retry::Attempts;
use crate::words::failure::{RequestError, RequestFailure, TransferError};
use crate::words::listing::{ListRequest, ListedObject, NotDeleted, Page, PageAt};
use crate::words::object::{ObjectAddress, is_directory_bucket};

/// The objects of a prefix, in the order in which the server lists them: by the bytes of their keys, except in S3's
/// directory buckets (API reference, "ListObjectsV2"). [`Client::list`](crate::Client::list) makes it.
///
/// If the receiver takes objects faster than they are listed, up to 16 requests are sent at once, for the probable
/// starts of later pages. Some keys then come twice and are dropped, so there may be up to twice as many requests.
///
/// These requests rely on the order of the keys. If a server's keys are in order at first and not later, the listing
/// fails. With [`max_concurrency`](crate::TransferConfig::max_concurrency) 1, pages are requested one by one, and any
/// order works.
///
/// After an error the listing ends: later keys are not known.
#[must_use = "a listing does nothing until it is polled"]
pub struct ObjectListing {
    lister: Arc<Lister>,
    ranges: Ranges,
    tasks: JoinSet<(u64, Result<Page, TransferError>)>,
    /// Errors of requests that failed, kept until their turn comes.
    errors: HashMap<u64, TransferError>,
    is_over: bool,
}

impl std::fmt::Debug for ObjectListing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectListing").field("asked", &self.lister.asked).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Lister {
    session: Arc<Session>,
    asked: ListRequest,
    address: ObjectAddress,
}

impl ObjectListing {
    pub(crate) fn new(shared: Shared, asked: ListRequest) -> Self {
        let address = ObjectAddress { bucket: asked.bucket.clone(), key: asked.prefix.clone() };
        let session = Session::new(shared);
        let most = match is_directory_bucket(&asked.bucket) {
            true => 1,
            false => MOST_REQUESTS.min(session.most_requests() as usize),
        };
        let ranges = Ranges::new(most, asked.prefix.len());
        let lister = Arc::new(Lister { session, asked, address });
        Self { lister, ranges, tasks: JoinSet::new(), errors: HashMap::new(), is_over: false }
    }

    /// Says that the requester pays for the requests.
    pub fn request_payer(self) -> Self {
        self.change(|asked| asked.request_payer = true)
    }

    /// Has the server refuse the requests if the bucket belongs to another account than this one.
    pub fn expected_bucket_owner(self, account_id: impl Into<String>) -> Self {
        self.change(|asked| asked.expected_bucket_owner = Some(account_id.into()))
    }

    fn change(mut self, change: impl FnOnce(&mut ListRequest)) -> Self {
        let mut asked = self.lister.asked.clone();
        change(&mut asked);
        let (session, address) = (self.lister.session.clone(), self.lister.address.clone());
        self.lister = Arc::new(Lister { session, asked, address });
        self
    }
}

impl Stream for ObjectListing {
    type Item = Result<ListedObject, TransferError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(None);
        }
        let turns = !this.ranges.is_ready();
        if turns && let Err(error) = this.collect() {
            return this.end(Some(error));
        }
        loop {
            match this.ranges.take() {
                Taken::Object(object) => {
                    // Only now there is room for another page, which comes while this one is gone through.
                    if turns {
                        this.ask();
                    }
                    return Poll::Ready(Some(Ok(object)));
                }
                Taken::End => return this.end(None),
                Taken::Failed(number) => {
                    let error = this.errors.remove(&number).unwrap_or_else(|| this.lost());
                    return this.end(Some(error));
                }
                Taken::Wait => this.ask(),
            }
            match ready!(this.tasks.poll_join_next(cx)).map(|ended| this.ended(ended)) {
                Some(Ok(())) => {}
                Some(Err(error)) => return this.end(Some(error)),
                None => {
                    let error = this.lost();
                    return this.end(Some(error));
                }
            }
        }
    }
}

impl ObjectListing {
    /// Takes the pages that have come.
    fn collect(&mut self) -> Result<(), TransferError> {
        while let Some(ended) = self.tasks.try_join_next() {
            self.ended(ended)?;
        }
        Ok(())
    }

    fn ask(&mut self) {
        while let Some(asked) = self.ranges.ask() {
            let lister = self.lister.clone();
            self.tasks.spawn(async move { (asked.number, lister.page(&asked.from).await) });
        }
    }

    fn ended(&mut self, ended: Result<(u64, Result<Page, TransferError>), JoinError>) -> Result<(), TransferError> {
        match ended.unwrap_or_else(propagate) {
            (number, Ok(page)) => self.ranges.answered(number, page).map_err(|Disorder { key }| {
                let what = format!(
                    "the listing is not in the order of its keys, in which it began: {key:?} comes late; \
                     with max_concurrency(1) it may come in any order"
                );
                let object = self.lister.address.to_string();
                TransferError::Request { object, source: RequestError::BadResponse { what } }
            }),
            (number, Err(error)) => {
                self.errors.insert(number, error);
                self.ranges.failed(number);
                Ok(())
            }
        }
    }

    /// The error of a page whose request has ended without an answer, because its task panicked.
    fn lost(&self) -> TransferError {
        let source = "the task for the next page of the listing is gone; list again".into();
        TransferError::Request { object: self.lister.address.to_string(), source: RequestError::NotSent { source } }
    }

    fn end(&mut self, error: Option<TransferError>) -> Poll<Option<Result<ListedObject, TransferError>>> {
        self.is_over = true;
        self.tasks.abort_all();
        Poll::Ready(error.map(Err))
    }
}

impl Lister {
    /// The page that begins at `from`, requested until it arrives.
    fn page<'a>(&'a self, from: &'a PageAt) -> BoxFuture<'a, Result<Page, TransferError>> {
        async move {
            let _permit = self.session.limits.permit().await;
            let page = self.session.persist(&mut AskPage { lister: self, from }).await;
            // The retry loop speaks of parts.
            page.map_err(|error| match error {
                TransferError::PartFailed { object, source, .. } => TransferError::Request { object, source },
                error => error,
            })
        }
        .boxed()
    }
}

struct AskPage<'a> {
    lister: &'a Lister,
    from: &'a PageAt,
}

impl Ask for AskPage<'_> {
    type Answer = Page;
    type Error = TransferError;

    async fn attempt(&mut self, _: &mut Attempts) -> Result<Attempted<Page>, TransferError> {
        let Lister { session, asked, address } = self.lister;
        match session.store.list(asked, self.from, session.config.first_byte_timeout()).await {
            Ok(page) => Ok(Attempted::Answered(page)),
            Err(RequestFailure::Transient(error)) => Ok(Attempted::Failed(error)),
            Err(failure) => Err(failure.into_error(address, None)),
        }
    }

    fn at(&self) -> At<'_> {
        At { object: &self.lister.address, part: 0, offset: 0 }
    }
}

/// Deletes up to [`MOST_KEYS`](crate::doors::s3::MOST_KEYS) objects with keys that XML can represent, and returns the
/// server's errors for the objects that still exist. `None`: the server can only delete them one by one.
///
/// # Errors
///
/// [`TransferError`]: there was no answer, so some of them may be deleted.
pub(crate) async fn delete(
    session: &Session,
    asked: &ListRequest,
    keys: &[&String],
) -> Result<Option<Vec<NotDeleted>>, TransferError> {
    struct AskDelete<'a> {
        session: &'a Session,
        asked: &'a ListRequest,
        address: ObjectAddress,
        keys: &'a [&'a String],
    }

    impl Ask for AskDelete<'_> {
        type Answer = Option<Vec<NotDeleted>>;
        type Error = TransferError;

        async fn attempt(&mut self, _: &mut Attempts) -> Result<Attempted<Self::Answer>, TransferError> {
            let patience = self.session.config.first_byte_timeout();
            match self.session.store.delete(self.asked, self.keys, patience).await {
                Ok(failed) => Ok(Attempted::Answered(failed)),
                Err(RequestFailure::Transient(error)) => Ok(Attempted::Failed(error)),
                Err(failure) => Err(failure.into_error(&self.address, None)),
            }
        }

        fn at(&self) -> At<'_> {
            At { object: &self.address, part: 0, offset: 0 }
        }
    }

    let address = ObjectAddress { bucket: asked.bucket.clone(), key: asked.prefix.clone() };
    let _permit = session.limits.permit().await;
    session.persist(&mut AskDelete { session, asked, address, keys }).await
}

/// Deletes one object.
///
/// # Errors
///
/// [`TransferError`]; without an answer, the object may be deleted nevertheless.
pub(crate) async fn delete_one(session: &Session, asked: &ListRequest, key: &str) -> Result<(), TransferError> {
    struct AskDelete<'a> {
        session: &'a Session,
        asked: &'a ListRequest,
        address: ObjectAddress,
    }

    impl Ask for AskDelete<'_> {
        type Answer = ();
        type Error = TransferError;

        async fn attempt(&mut self, _: &mut Attempts) -> Result<Attempted<()>, TransferError> {
            let patience = self.session.config.first_byte_timeout();
            match self.session.store.delete_one(self.asked, &self.address.key, patience).await {
                Ok(()) => Ok(Attempted::Answered(())),
                Err(RequestFailure::Transient(error)) => Ok(Attempted::Failed(error)),
                Err(failure) => Err(failure.into_error(&self.address, None)),
            }
        }

        fn at(&self) -> At<'_> {
            At { object: &self.address, part: 0, offset: 0 }
        }
    }

    let address = ObjectAddress { bucket: asked.bucket.clone(), key: key.to_owned() };
    let _permit = session.limits.permit().await;
    session.persist(&mut AskDelete { session, asked, address }).await
}
