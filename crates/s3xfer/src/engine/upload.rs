//! Uploads: the public builder, and the ways it can go.
//!
//! Dropped before its end, an upload leaves no object, or the whole one where the server had it already; the multipart
//! upload that it had begun is aborted by a task of its own.

pub(crate) mod order;
pub(crate) mod source;

use std::future::IntoFuture;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::words::checksum::ChecksumAlgorithm;
use crate::words::config::TransferOptions;
use crate::words::failure::TransferError;
use crate::words::object::SseCustomerKey;
use crate::words::progress::Progress;
use crate::words::report::TransferReport;
use crate::words::target::{Condition, ServerSideEncryption};
use order::Order;

/// An upload; [`Client::upload`](crate::Client::upload) makes it, and awaiting it runs it.
///
/// A source below [`multipart_threshold`](crate::TransferConfig::multipart_threshold) is one PutObject; a larger one, or
/// one of unknown length, is a multipart upload whose parts go in parallel (S3 User Guide, "Uploading and copying
/// objects using multipart upload"). The object appears when all its bytes are there and their checksum agrees, or not
/// at all. An error aborts the multipart upload before it is told; dropping the future does so in the background.
///
/// Memory: a request that sends a file, or bytes in memory, holds a few buffers of it; a part of a stream is in memory
/// until the server has it. Both stay within [`memory_limit`](crate::TransferConfig::memory_limit).
///
/// # Errors
///
/// [`TransferError`]. An object that was there before is as it was then.
#[derive(Debug)]
#[must_use = "an upload does nothing until it is awaited"]
pub struct Upload {
    order: Order,
}

impl Upload {
    pub(crate) fn new(order: Order) -> Self {
        Self { order }
    }

    /// Other options for this transfer alone. The client's limits hold for it as for the others, together with them.
    pub fn options(mut self, options: TransferOptions) -> Self {
        self.order.shared = self.order.shared.with_options(options);
        self
    }

    /// Counts into `progress`, together with the other transfers that do. Bytes count when they have been handed to the
    /// network for the first time; sent again, they do not count again.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.order.progress = progress.into();
        self
    }

    /// The source's size, where a stream's is known: parts are then as large as that needs. A stream that brings more
    /// or less is uploaded all the same.
    pub fn object_bytes(mut self, bytes: u64) -> Self {
        self.order.object_bytes = Some(bytes);
        self
    }

    /// Writes the object only if there is none of that name (`If-None-Match: *`; S3 User Guide, "How to prevent object
    /// overwrites with conditional writes"). Otherwise the error is [`TransferError::ConditionFailed`].
    ///
    /// An object with the same bytes that appeared while a request of this upload went unanswered is taken for this
    /// upload's own. A program that uses objects as locks has to write something into them that no other one writes.
    pub fn if_absent(mut self) -> Self {
        self.order.target.condition = Condition::Absent;
        self
    }

    /// Writes the object only if the one that is there has this ETag (`If-Match`), as S3 writes it, in quotes. Otherwise
    /// the error is [`TransferError::ConditionFailed`].
    pub fn if_match(mut self, e_tag: impl Into<String>) -> Self {
        self.order.target.condition = Condition::IsVersion(e_tag.into());
        self
    }

    /// The checksum that is computed of the bytes as they are read, sent along, and kept by S3 with the object, of the
    /// FULL_OBJECT type; CRC64NVME by default.
    pub fn checksum(mut self, algorithm: ChecksumAlgorithm) -> Self {
        self.order.target.checksum = algorithm;
        self
    }

    /// `Content-Type`. Without it, the type is guessed from the key's extension, and left to the server (S3:
    /// `binary/octet-stream`) where that says nothing.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.order.target.attributes.content_type = Some(content_type.into());
        self
    }

    /// Leaves the content type to the server where none is given.
    pub fn no_guessed_content_type(mut self) -> Self {
        self.order.guess_content_type = false;
        self
    }

    /// `Cache-Control`, given back with the object.
    pub fn cache_control(mut self, cache_control: impl Into<String>) -> Self {
        self.order.target.attributes.cache_control = Some(cache_control.into());
        self
    }

    /// `Content-Disposition`, given back with the object.
    pub fn content_disposition(mut self, content_disposition: impl Into<String>) -> Self {
        self.order.target.attributes.content_disposition = Some(content_disposition.into());
        self
    }

    /// `Content-Encoding`, given back with the object. The bytes are not encoded, they are as the source has them.
    pub fn content_encoding(mut self, content_encoding: impl Into<String>) -> Self {
        self.order.target.attributes.content_encoding = Some(content_encoding.into());
        self
    }

    /// `Content-Language`, given back with the object.
    pub fn content_language(mut self, content_language: impl Into<String>) -> Self {
        self.order.target.attributes.content_language = Some(content_language.into());
        self
    }

    /// One more entry of the object's own metadata (`x-amz-meta-NAME`), ASCII both; at most 2 KiB in all.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.order.target.attributes.metadata.push((name.into(), value.into()));
        self
    }

    /// One more tag of the object, at most ten (S3 User Guide, "Categorizing your objects using tags").
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.order.target.attributes.tags.push((key.into(), value.into()));
        self
    }

    /// Storage class as S3 names it: `STANDARD_IA`, `INTELLIGENT_TIERING`, `GLACIER_IR`, ...
    pub fn storage_class(mut self, storage_class: impl Into<String>) -> Self {
        self.order.target.attributes.storage_class = Some(storage_class.into());
        self
    }

    /// Canned ACL as S3 names it: `private`, `bucket-owner-full-control`, ...
    pub fn acl(mut self, acl: impl Into<String>) -> Self {
        self.order.target.attributes.acl = Some(acl.into());
        self
    }

    /// Encryption with keys that the server keeps, where it is to be other than the bucket's default.
    pub fn encryption(mut self, encryption: ServerSideEncryption) -> Self {
        self.order.target.attributes.encryption = Some(encryption);
        self
    }

    /// The key that the object is encrypted with, of its owner's own (SSE-C).
    pub fn sse_customer_key(mut self, key: SseCustomerKey) -> Self {
        self.order.target.object.sse_customer_key = Some(key);
        self
    }

    /// Says that the requester pays for the requests and the data.
    pub fn request_payer(mut self) -> Self {
        self.order.target.object.request_payer = true;
        self
    }

    /// Has the server refuse the requests if the bucket belongs to another account than this one.
    pub fn expected_bucket_owner(mut self, account_id: impl Into<String>) -> Self {
        self.order.target.object.expected_bucket_owner = Some(account_id.into());
        self
    }

    /// Least bytes of a part but the last, where the server is not S3 and takes less than 5 MiB.
    #[doc(hidden)]
    pub fn least_part_bytes(mut self, bytes: u64) -> Self {
        self.order.least_part_bytes = bytes.max(1);
        self
    }
}

impl IntoFuture for Upload {
    type Output = Result<TransferReport, TransferError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.order.run(run).boxed()
    }
}

async fn run(_order: Order) -> Result<TransferReport, TransferError> {
    unimplemented!("the next commit")
}
