//! Multipart uploads that were begun and not ended: which there are, and the parts that the server has of one.
//!
//! Amazon S3 API reference: ListMultipartUploads, ListParts.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::types::{EncodingType, RequestPayer};

use super::list::decoded;
use super::writing::{bad, send, with_key};
use super::*;
use crate::words::object::ObjectAddress;
use crate::words::target::Target;
use crate::words::unfinished::ListedPart;

/// A multipart upload that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) key: String,
    pub(crate) upload_id: String,
    pub(crate) initiated: Option<SystemTime>,
}

impl Store {
    /// The multipart uploads below `prefix` that were begun and not ended, a page of them from `after` on: key and id
    /// of the last one before it. Gives the next page's, too.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub(crate) async fn uploads(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&(String, String)>,
        within: Duration,
    ) -> Result<(Vec<Begun>, Option<(String, String)>), RequestFailure> {
        // Only the bucket of it is looked at.
        let key = if prefix.is_empty() { "/" } else { prefix };
        let object = ObjectRequest::new(ObjectAddress { bucket: bucket.to_owned(), key: key.to_owned() });
        let attempt = |region: Option<Region>| {
            let request = self
                .writer
                .list_multipart_uploads()
                .bucket(bucket)
                .encoding_type(EncodingType::Url)
                .set_prefix((!prefix.is_empty()).then(|| prefix.to_owned()))
                .set_key_marker(after.map(|(key, _)| key.clone()))
                .set_upload_id_marker(after.map(|(_, id)| id.clone()));
            send!(request, &object, region, |output| output)
        };
        let page = self.see_through(&object, within, None, attempt).await?;
        // XML has no words for some keys.
        let encoded = page.encoding_type() == Some(&EncodingType::Url);
        let plain = |key: &str| match encoded {
            true => decoded(key).ok_or_else(|| bad("a listing of uploads with a key that is not percent-encoded")),
            false => Ok(key.to_owned()),
        };
        let begun = |upload: &aws_sdk_s3::types::MultipartUpload| {
            let initiated = upload.initiated().and_then(|at| SystemTime::try_from(*at).ok());
            let (key, upload_id) = (upload.key()?, upload.upload_id()?.to_owned());
            Some(plain(key).map(|key| Begun { key, upload_id, initiated }))
        };
        let next = match (page.is_truncated(), page.next_key_marker(), page.next_upload_id_marker()) {
            (Some(true), Some(key), Some(id)) => Some((plain(key)?, id.to_owned())).filter(|next| after != Some(next)),
            (Some(true), ..) => None,
            _ => return Ok((page.uploads().iter().filter_map(begun).collect::<Result<_, _>>()?, None)),
        };
        let next = next.ok_or_else(|| bad("a listing of uploads is truncated but has no new marker"))?;
        Ok((page.uploads().iter().filter_map(begun).collect::<Result<_, _>>()?, Some(next)))
    }

    /// The parts that the server has of an upload, a page of them behind the part `after`. Gives where the next page
    /// begins, too.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put); [`RequestFailure::Refused`] with `NoSuchUpload` where there is none of that id.
    pub(crate) async fn listed_parts(
        &self,
        target: &Target,
        upload_id: &str,
        after: i32,
        within: Duration,
    ) -> Result<(Vec<ListedPart>, Option<i32>), RequestFailure> {
        let object = &target.object;
        let attempt = |region: Option<Region>| {
            let request = self
                .writer
                .list_parts()
                .bucket(&object.address.bucket)
                .key(&object.address.key)
                .set_request_payer(object.request_payer.then_some(RequestPayer::Requester))
                .set_expected_bucket_owner(object.expected_bucket_owner.clone())
                .set_part_number_marker((after > 0).then(|| after.to_string()))
                .upload_id(upload_id);
            let request = with_key!(request, target);
            send!(request, object, region, |output| output)
        };
        let page = self.see_through(object, within, None, attempt).await?;
        let listed = |part: &aws_sdk_s3::types::Part| {
            let bytes = u64::try_from(part.size()?).ok()?;
            Some(ListedPart { number: part.part_number()?, e_tag: part.e_tag()?.to_owned(), bytes })
        };
        let next = match (page.is_truncated(), page.next_part_number_marker()) {
            (Some(true), Some(next)) => {
                let next: i32 = next.parse().map_err(|_| bad("a listing of parts has a marker that is no number"))?;
                Some(next).filter(|next| *next > after)
            }
            (Some(true), None) => None,
            _ => return Ok((page.parts().iter().filter_map(listed).collect(), None)),
        };
        let next = next.ok_or_else(|| bad("a listing of parts is truncated but has no new marker"))?;
        Ok((page.parts().iter().filter_map(listed).collect(), Some(next)))
    }
}
