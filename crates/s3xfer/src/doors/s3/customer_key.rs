//! A customer's key (SSE-C) goes over TLS only.
//!
//! The scheme is looked at where a request's way is decided for good: not in the configuration, which may have an
//! endpoint from the environment, a profile or a resolver of the caller's, but on the request itself. Once before it is
//! signed, for the signer writes all headers into its trace log, and once more before it is sent, for an interceptor of
//! the caller's may have changed it.

use std::{error, fmt};

use aws_sdk_s3::config::interceptors::{BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextRef};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_types::base64;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use md5::Digest;

use super::origin::origin;
use crate::words::failure::RequestError;
use crate::words::object::SseCustomerKey;

const KEY_HEADER: &str = "x-amz-server-side-encryption-customer-key";

/// A customer's key and its MD5 as the headers carry them (S3 User Guide, "Using server-side encryption with
/// customer-provided keys").
pub(super) fn headers(key: &SseCustomerKey) -> (String, String) {
    (base64::encode(key.bytes()), base64::encode(md5::Md5::digest(key.bytes())))
}

/// Fails every request that has a customer's key and no TLS, but those of [`AllowedInClear`].
#[derive(Debug)]
pub(super) struct KeysNeedTls;

/// Put on one request, it lets this one pass.
#[derive(Debug)]
pub(super) struct AllowedInClear;

impl Storable for AllowedInClear {
    type Storer = StoreReplace<Self>;
}

impl Intercept for AllowedInClear {
    fn name(&self) -> &'static str {
        "AllowedInClear"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        cfg.interceptor_state().store_put(Self);
        Ok(())
    }
}

impl Intercept for KeysNeedTls {
    fn name(&self) -> &'static str {
        "KeysNeedTls"
    }

    fn read_before_signing(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        check(context, cfg)
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        check(context, cfg)
    }
}

fn check(context: &BeforeTransmitInterceptorContextRef<'_>, cfg: &ConfigBag) -> Result<(), BoxError> {
    let request = context.request();
    if !request.headers().contains_key(KEY_HEADER) || cfg.load::<AllowedInClear>().is_some() {
        return Ok(());
    }
    let endpoint = origin(request.uri());
    match endpoint.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
        true => Ok(()),
        false => Err(Box::new(InClear { endpoint: endpoint.to_owned() })),
    }
}

/// On its way through the SDK's errors.
#[derive(Debug)]
struct InClear {
    endpoint: String,
}

impl fmt::Display for InClear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a customer's key in clear to {}", self.endpoint)
    }
}

impl error::Error for InClear {}

/// The refusal of [`KeysNeedTls`], if `error` or a cause of it is one.
pub(super) fn refusal(error: &(dyn error::Error + 'static)) -> Option<RequestError> {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let InClear { endpoint } = causes.find_map(|cause| cause.downcast_ref())?;
    Some(RequestError::KeyInClear { endpoint: endpoint.clone() })
}
