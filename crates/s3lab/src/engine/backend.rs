//! The operations of S3 over the store: the changes and the answer of each request.
//!
//! Each group of operations has a file. The rules decide; this room moves bytes and translates. Not here: signatures
//! and XML (`doors::s3`), delays, bandwidth and logs (`engine::gate`).

mod buckets;
mod convert;
mod list;
mod multipart;
mod objects;
mod receive;

use std::sync::Arc;

use super::counters::Counters;
use super::store::Store;
use crate::doors::s3::dto::*;
use crate::doors::s3::{S3, S3Request, S3Response, S3Result};
use crate::rules::faults::BodyFaults;
use crate::words::FaultPlan;

/// The backend of one lab.
#[derive(Debug, Clone)]
pub(crate) struct Backend {
    pub(crate) store: Arc<Store>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) faults: Arc<FaultPlan>,
    pub(crate) region: Arc<str>,
    pub(crate) min_part_bytes: u64,
}

/// Orders for the gate beyond sending the answer; they travel as an extension of the response.
#[derive(Debug, Clone, Default)]
pub(crate) struct Afterwards {
    /// 206 where the protocol layer would say 200.
    pub(crate) partial: bool,
    /// Another `Content-Range`; the inner `None` takes it out.
    pub(crate) content_range: Option<Option<String>>,
    pub(crate) body: BodyFaults,
}

fn answer<T>(output: T) -> S3Result<S3Response<T>> {
    Ok(S3Response::new(output))
}

#[async_trait::async_trait]
impl S3 for Backend {
    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        answer(self.do_create_bucket(&req.input)?)
    }

    async fn delete_bucket(&self, req: S3Request<DeleteBucketInput>) -> S3Result<S3Response<DeleteBucketOutput>> {
        answer(self.do_delete_bucket(&req.input)?)
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        answer(self.do_head_bucket(&req.input)?)
    }

    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        answer(self.do_list_buckets())
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        answer(self.do_get_bucket_location(&req.input)?)
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.do_get_object(req.input).await
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.do_head_object(req.input).await
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        answer(Box::pin(self.do_put_object(req)).await?)
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        answer(self.do_delete_object(&req.input)?)
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        answer(self.do_delete_objects(req.input)?)
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        answer(Box::pin(self.do_copy_object(req)).await?)
    }

    async fn get_object_tagging(
        &self,
        req: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        answer(self.do_get_object_tagging(&req.input)?)
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        answer(self.do_create_multipart_upload(req.input)?)
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        answer(Box::pin(self.do_upload_part(req)).await?)
    }

    async fn upload_part_copy(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        answer(self.do_upload_part_copy(req.input).await?)
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        answer(self.do_complete_multipart_upload(req.input)?)
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        answer(self.do_abort_multipart_upload(&req.input)?)
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        answer(self.do_list_parts(req.input)?)
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        answer(self.do_list_multipart_uploads(req.input)?)
    }

    async fn list_objects(&self, req: S3Request<ListObjectsInput>) -> S3Result<S3Response<ListObjectsOutput>> {
        answer(self.do_list_objects(req.input)?)
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        answer(self.do_list_objects_v2(req.input)?)
    }
}
