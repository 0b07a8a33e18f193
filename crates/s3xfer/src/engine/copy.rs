//! Copies from S3 to S3, by the server: the public builder. `copy/run.rs` runs it.
//!
//! A copy that is dropped leaves no object, or the whole object if the server had finished it. A separate task aborts
//! its multipart upload.

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

/// A copy of an object that has not begun.
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
/// UploadPartCopy (S3 User Guide, "Copying an object using multipart upload"). The bytes do not pass through this
/// process. Every request carries the source's ETag from the first answer: if the source is replaced meanwhile, the
/// copy fails. The object's headers, metadata and tags are kept. ACL and encryption are not: the settings of the target
/// apply.
///
/// # Errors
///
/// [`TransferError`]. An existing object is unchanged then.
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

    /// Counts into `progress`, which several transfers may share. Bytes count when the server has copied a part.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.order.progress = progress.into();
        self
    }

    /// This version of the source, not the newest one.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.order.source.version_id = Some(version_id.into());
        self
    }

    /// Objects of at least this many bytes are copied in parts; 5 GiB by default, which is S3's limit for one request.
    /// Lower values copy large objects faster, but need more requests. There are 16 parts at a time, or
    /// [`max_concurrency`](crate::TransferConfig::max_concurrency) if that is not the default.
    pub fn in_parts_from(mut self, bytes: u64) -> Self {
        self.order.in_parts_from = bytes;
        self
    }

    /// The customer's key with which the source is encrypted (SSE-C).
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

    /// The server refuses the requests if the source's bucket does not belong to this account.
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
