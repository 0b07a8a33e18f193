//! Scheme, host and port that requests go to: the configuration does not tell, for the SDK resolves it for each
//! request.

use std::sync::{Arc, OnceLock};

use aws_sdk_s3::config::interceptors::{BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextRef};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::operation::get_object::GetObjectInput;
use aws_smithy_types::config_bag::{Storable, StoreReplace};

/// The endpoint of the first GET. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Endpoint(Arc<OnceLock<String>>);

impl Endpoint {
    /// `None` before the first GET.
    pub(super) fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

impl Intercept for Endpoint {
    fn name(&self) -> &'static str {
        "Endpoint"
    }

    fn read_before_execution(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.0.get().is_none()
            && let Some(bucket) = Bucket::of(context)
        {
            cfg.interceptor_state().store_put(bucket);
        }
        Ok(())
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(Bucket(bucket)) = cfg.load::<Bucket>() {
            self.0.get_or_init(|| without_bucket(origin(context.request().uri()), bucket));
        }
        Ok(())
    }
}

/// The bucket of a GET, while it is sent.
#[derive(Debug)]
pub(super) struct Bucket(pub(super) String);

impl Bucket {
    /// `None` for other requests.
    pub(super) fn of(context: &BeforeSerializationInterceptorContextRef<'_>) -> Option<Self> {
        let input = context.input().downcast_ref::<GetObjectInput>()?;
        Some(Self(input.bucket()?.to_owned()))
    }
}

impl Storable for Bucket {
    type Storer = StoreReplace<Self>;
}

/// `https://host:port` of `https://host:port/bucket/key?query`.
pub(super) fn origin(uri: &str) -> &str {
    let host = uri.find("://").map_or(0, |at| at + 3);
    let end = uri[host..].find(['/', '?', '#']).map_or(uri.len(), |at| host + at);
    &uri[..end]
}

/// The origin without the bucket's name in its host (virtual-hosted style).
fn without_bucket(origin: &str, bucket: &str) -> String {
    match origin.split_once("://") {
        Some((scheme, host)) => {
            let rest = host.strip_prefix(bucket).and_then(|rest| rest.strip_prefix('.'));
            format!("{scheme}://{}", rest.unwrap_or(host))
        }
        None => origin.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_ends_where_the_path_begins() {
        assert_eq!(origin("https://h:1/b/k?x=http://y"), "https://h:1");
        assert_eq!(origin("HTTP://h?x"), "HTTP://h");
        assert_eq!(origin("http://[::1]:9"), "http://[::1]:9");
        assert_eq!(origin("/b/k"), "");
    }

    #[test]
    fn an_endpoint_is_the_same_for_all_buckets() {
        assert_eq!(
            without_bucket("https://b.s3.eu-central-1.amazonaws.com", "b"),
            "https://s3.eu-central-1.amazonaws.com"
        );
        assert_eq!(without_bucket("http://127.0.0.1:9", "bucket"), "http://127.0.0.1:9");
        assert_eq!(without_bucket("https://bb.s3", "b"), "https://bb.s3");
    }
}
