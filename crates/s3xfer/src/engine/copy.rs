//! Copies from S3 to S3, whose bytes never come here: the public builder; how it goes is in `copy/run.rs`.
//!
//! Dropped before its end, a copy leaves no object, or the whole one where the server had it already; the multipart
//! upload that it had begun is aborted by a task of its own.

pub(crate) mod run;

use std::future::{Future, IntoFuture};

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::engine::deadline::in_time;
use crate::engine::shared::Shared;
use crate::engine::target::target_settings;
use crate::rules::parts::{LEAST_PART_BYTES, MOST_PART_BYTES};
use crate::words::failure::TransferError;
use crate::words::object::{ObjectAddress, ObjectRequest, SseCustomerKey};
use crate::words::progress::{Progress, Share};
use crate::words::report::TransferReport;
use crate::words::target::Target;

/// A copy of an object that nobody has begun.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) shared: Shared,
    pub(crate) source: ObjectRequest,
    pub(crate) target: Target,
    pub(crate) in_parts_from: u64,
    pub(crate) least_part_bytes: u64,
    pub(crate) progress: Share,
}

/// A copy of an object by the server; [`Client::copy`](crate::Client::copy) makes it, and awaiting it runs it.
///
/// The object is copied by one CopyObject, or, from [`in_parts_from`](Self::in_parts_from) bytes on, in parts by
/// UploadPartCopy (S3 User Guide, "Copying an object using multipart upload"). Its bytes do not come here. Every
/// request carries the ETag of the source that the first answer told: a source that is replaced meanwhile is an error.
/// The object's headers, metadata and tags are kept, its ACL and encryption are the target's own.
///
/// # Errors
///
/// [`TransferError`]. An object that was there before is as it was then.
#[derive(Debug)]
#[must_use = "a copy does nothing until it is awaited"]
pub struct Copy {
    order: Order,
}

target_settings!(Copy);

impl Copy {
    pub(crate) fn new(shared: Shared, source: ObjectAddress, target: ObjectAddress) -> Self {
        let (source, target) = (ObjectRequest::new(source), Target::new(target));
        let progress = Progress::new().into();
        let (in_parts_from, least_part_bytes) = (MOST_PART_BYTES, LEAST_PART_BYTES);
        Self { order: Order { shared, source, target, in_parts_from, least_part_bytes, progress } }
    }

    /// Counts into `progress`, together with the other transfers that do. Bytes count when the server says that a part
    /// is copied.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.order.progress = progress.into();
        self
    }

    /// This version of the source, not the newest one.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.order.source.version_id = Some(version_id.into());
        self
    }

    /// Objects of at least so many bytes are copied in parts; 5 GiB by default, which is the most that S3 copies by one
    /// request. Lower values copy large objects faster, and cost more requests. There are 16 parts at a time, or
    /// [`max_concurrency`](crate::TransferConfig::max_concurrency) if that is not the default.
    pub fn in_parts_from(mut self, bytes: u64) -> Self {
        self.order.in_parts_from = bytes;
        self
    }

    /// The key that the source is encrypted with, of its owner's own (SSE-C).
    pub fn source_sse_customer_key(mut self, key: SseCustomerKey) -> Self {
        self.order.source.sse_customer_key = Some(key);
        self
    }

    /// Says that the requester pays for the requests and the data.
    pub fn request_payer(mut self) -> Self {
        self.order.source.request_payer = true;
        self.order.target.object.request_payer = true;
        self
    }

    /// Has the server refuse the requests if the source's bucket belongs to another account than this one.
    pub fn expected_source_bucket_owner(mut self, account_id: impl Into<String>) -> Self {
        self.order.source.expected_bucket_owner = Some(account_id.into());
        self
    }
}

impl IntoFuture for Copy {
    type Output = Result<TransferReport, TransferError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.order.run(run::run).boxed()
    }
}

impl Order {
    /// Runs `copy` with this order, in no more than `transfer_timeout`. Its share of the progress is taken back unless
    /// it succeeds.
    async fn run<T, F>(self, copy: impl FnOnce(Self) -> F) -> Result<T, TransferError>
    where
        F: Future<Output = Result<T, TransferError>>,
    {
        let (limit, object) = (self.shared.config.transfer_timeout(), self.target.address().clone());
        in_time("copy", limit, object, self.progress.clone(), copy(self)).await
    }
}
