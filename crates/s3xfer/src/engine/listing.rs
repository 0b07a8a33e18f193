//! [`ObjectListing`]: the objects of a prefix as a stream. The next page is asked for while this one is gone through.
//!
//! Memory: two pages. Dropped at any time, the request for the next page is given up.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::Stream;
use futures::future::{BoxFuture, FutureExt};
use tokio::task::JoinSet;

use crate::engine::session::{Ask, At, Attempted, Session};
use crate::engine::shared::Shared;
use crate::rules::retry::Attempts;
use crate::words::failure::{RequestFailure, TransferError};
use crate::words::listing::{ListRequest, ListedObject, Page};
use crate::words::object::ObjectAddress;

/// The objects of a prefix, in the order in which the server lists them: by the bytes of their keys, but for S3's
/// directory buckets (API reference, "ListObjectsV2"). [`Client::list`](crate::Client::list) makes it.
///
/// After an error the listing ends: later keys are not known.
#[must_use = "a listing does nothing until it is polled"]
pub struct ObjectListing {
    lister: Arc<Lister>,
    page: VecDeque<ListedObject>,
    next: Next,
}

enum Next {
    /// Not asked for yet.
    Page(Option<String>),
    /// Being asked for, by a task: it goes on while the page before is gone through.
    Asked(JoinSet<Result<Page, TransferError>>),
    None,
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
        let lister = Arc::new(Lister { session: Session::new(shared), asked, address });
        Self { lister, page: VecDeque::new(), next: Next::Page(None) }
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
        loop {
            if let Next::Page(token) = &mut this.next {
                let (lister, token) = (this.lister.clone(), token.take());
                let mut task = JoinSet::new();
                task.spawn(async move { lister.page(token.as_deref()).await });
                this.next = Next::Asked(task);
            }
            if let Some(object) = this.page.pop_front() {
                return Poll::Ready(Some(Ok(object)));
            }
            let Next::Asked(task) = &mut this.next else { return Poll::Ready(None) };
            let ended = ready!(task.poll_join_next(cx));
            this.next = Next::None;
            match ended {
                Some(Ok(Ok(page))) => {
                    this.page = page.objects.into();
                    this.next = page.next.map_or(Next::None, |token| Next::Page(Some(token)));
                }
                Some(Ok(Err(error))) => return Poll::Ready(Some(Err(error))),
                Some(Err(join)) => std::panic::resume_unwind(join.into_panic()),
                None => {}
            }
        }
    }
}

impl Lister {
    /// The page behind `token`, asked for until it is there.
    fn page<'a>(&'a self, token: Option<&'a str>) -> BoxFuture<'a, Result<Page, TransferError>> {
        async move {
            let _permit = self.session.limits.permit().await;
            let page = self.session.persist(&mut AskPage { lister: self, token }).await;
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
    token: Option<&'a str>,
}

impl Ask for AskPage<'_> {
    type Answer = Page;
    type Error = TransferError;

    async fn attempt(&mut self, _: &mut Attempts) -> Result<Attempted<Page>, TransferError> {
        let Lister { session, asked, address } = self.lister;
        match session.store.list(asked, self.token, session.config.first_byte_timeout()).await {
            Ok(page) => Ok(Attempted::Answered(page)),
            Err(RequestFailure::Transient(error)) => Ok(Attempted::Failed(error)),
            Err(failure) => Err(failure.into_error(address, None)),
        }
    }

    fn at(&self) -> At<'_> {
        At { object: &self.lister.address, part: 0, offset: 0 }
    }
}

/// Deletes up to [`MOST_KEYS`](crate::doors::s3::MOST_KEYS) objects, and returns the server's errors about those that
/// are still there.
///
/// # Errors
///
/// [`TransferError`]: no answer, so some of them may be deleted.
pub(crate) async fn delete(
    session: &Session,
    asked: &ListRequest,
    keys: &[String],
) -> Result<Vec<crate::words::listing::NotDeleted>, TransferError> {
    struct AskDelete<'a> {
        session: &'a Session,
        asked: &'a ListRequest,
        address: ObjectAddress,
        keys: &'a [String],
    }

    impl Ask for AskDelete<'_> {
        type Answer = Vec<crate::words::listing::NotDeleted>;
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
