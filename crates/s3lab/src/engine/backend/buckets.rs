//! Create, head, delete, list and locate buckets.

use super::convert::{error, no_such_bucket, timestamp};
use super::*;
use crate::doors::s3::S3ErrorCode;

impl Backend {
    pub(super) fn do_create_bucket(&self, input: &CreateBucketInput) -> S3Result<CreateBucketOutput> {
        if !self.store.lock().create_bucket(&input.bucket) {
            let message = "Your previous request to create the named bucket succeeded and you already own it.";
            return Err(error(S3ErrorCode::BucketAlreadyOwnedByYou, message));
        }
        Ok(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) })
    }

    pub(super) fn do_delete_bucket(&self, input: &DeleteBucketInput) -> S3Result<DeleteBucketOutput> {
        let mut state = self.store.lock();
        let bucket = state.buckets.get(&input.bucket).ok_or_else(no_such_bucket)?;
        if !bucket.objects.is_empty() || !bucket.uploads.is_empty() {
            return Err(error(S3ErrorCode::BucketNotEmpty, "The bucket you tried to delete is not empty."));
        }
        state.buckets.remove(&input.bucket);
        Ok(DeleteBucketOutput::default())
    }

    pub(super) fn do_head_bucket(&self, input: &HeadBucketInput) -> S3Result<HeadBucketOutput> {
        self.bucket_exists(&input.bucket)?;
        Ok(HeadBucketOutput { bucket_region: Some(self.region.to_string()), ..Default::default() })
    }

    pub(super) fn do_list_buckets(&self) -> ListBucketsOutput {
        let state = self.store.lock();
        let buckets = state.buckets.iter().map(|(name, bucket)| Bucket {
            bucket_region: Some(self.region.to_string()),
            creation_date: timestamp(bucket.created),
            name: Some(name.clone()),
        });
        ListBucketsOutput { buckets: Some(buckets.collect()), ..Default::default() }
    }

    pub(super) fn do_get_bucket_location(&self, input: &GetBucketLocationInput) -> S3Result<GetBucketLocationOutput> {
        self.bucket_exists(&input.bucket)?;
        // S3 leaves the location of its first region empty.
        let region = Some(&*self.region).filter(|region| *region != "us-east-1");
        let location_constraint = region.map(|region| BucketLocationConstraint::from(region.to_owned()));
        Ok(GetBucketLocationOutput { location_constraint })
    }

    pub(super) fn bucket_exists(&self, name: &str) -> S3Result<()> {
        self.store.lock().buckets.contains_key(name).then_some(()).ok_or_else(no_such_bucket)
    }
}
