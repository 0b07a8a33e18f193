//! The only file that names `s3s`: it makes a service of a backend, and re-exports the protocol's types.
//!
//! Signatures are checked here, in headers and in presigned URLs; the work of an operation is the backend's business
//! (`engine::backend`). Where the protocol layer is stricter than S3, the request is rewritten for it here, after its
//! original signature was checked.

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, RANGE};
use http::{Extensions, HeaderMap, HeaderValue, Method, Uri};
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::route::S3Route;
pub(crate) use s3s::service::S3Service;
use s3s::service::S3ServiceBuilder;
pub(crate) use s3s::stream::{ByteStream, RemainingLength};
pub(crate) use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, StdError, dto};

/// Bytes of XML that are read before they are parsed. 10,000 parts with all their checksums take 4 MB, 1,000 of the
/// longest keys with every character escaped 6 MB.
const LARGEST_XML: usize = 8 << 20;
/// Bytes of an object that a form brings (POST Object), and of the form's other fields. The form is in memory before
/// its signature is checked, so this is far less than S3's 5 GiB.
const LARGEST_FORM: u64 = 16 << 20;
const LARGEST_FIELDS: usize = 1 << 20;

/// The one pair of keys.
struct OnePair {
    access_key: String,
    secret_key: SecretKey,
}

#[async_trait::async_trait]
impl S3Auth for OnePair {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.access_key {
            return Ok(self.secret_key.clone());
        }
        let message = "The AWS Access Key Id you provided does not exist in our records.";
        Err(S3Error::with_message(S3ErrorCode::InvalidAccessKeyId, message))
    }
}

fn let_in(signed: bool, allow_anonymous: bool) -> S3Result<()> {
    if signed || allow_anonymous {
        return Ok(());
    }
    Err(S3Error::with_message(S3ErrorCode::AccessDenied, "The request is not signed."))
}

/// Admits requests with a valid signature, and unsigned requests if these are allowed.
struct Access {
    allow_anonymous: bool,
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let_in(context.credentials().is_some(), self.allow_anonymous)?;
        // The protocol layer has the limit too, but calls a longer body an internal error.
        let streamed = ["PutObject", "UploadPart", "PostObject"].contains(&context.s3_op().name());
        let length = context.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if !streamed && length.is_some_and(|length| length > LARGEST_XML as u64) {
            return Err(S3Error::with_message(S3ErrorCode::MaxMessageLengthExceeded, "Your request was too large."));
        }
        Ok(())
    }
}

/// The query without the signature of a presigned URL (Signature Version 4, and 2).
fn unsigned_query(uri: &Uri) -> Option<Uri> {
    let signs = |pair: &str| {
        let name = pair.split('=').next().unwrap_or(pair);
        name.starts_with("X-Amz-") || ["AWSAccessKeyId", "Signature", "Expires"].contains(&name)
    };
    let kept: Vec<_> = uri.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty() && !signs(pair)).collect();
    let path = uri.path();
    let text = if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) };
    text.parse().ok()
}

/// Serves the requests with a `Range` header that S3 reads differently from the protocol layer. The signature is of the
/// original header, so the header is rewritten after the check and passed to `checked`, which checks nothing.
struct LenientRange {
    checked: S3Service,
    /// The header in the protocol layer's words; `None` where S3 ignores it.
    read: fn(&str) -> Option<String>,
    allow_anonymous: bool,
}

impl LenientRange {
    fn reads(&self, value: &HeaderValue) -> Option<String> {
        value.to_str().ok().and_then(self.read)
    }
}

#[async_trait::async_trait]
impl S3Route for LenientRange {
    fn is_match(&self, method: &Method, _: &Uri, headers: &HeaderMap, _: &mut Extensions) -> bool {
        let reads_otherwise = |value: &HeaderValue| self.reads(value).is_none_or(|text| text.as_bytes() != value);
        (*method == Method::GET || *method == Method::HEAD) && headers.get(RANGE).is_some_and(reads_otherwise)
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        let_in(request.credentials.is_some(), self.allow_anonymous)
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let asked = request.headers.get(RANGE).and_then(|value| self.reads(value));
        let mut inner = http::Request::new(request.input);
        *inner.uri_mut() = unsigned_query(&request.uri)
            .ok_or_else(|| S3Error::with_message(S3ErrorCode::InvalidURI, "Couldn't parse the specified URI."))?;
        *inner.method_mut() = request.method;
        *inner.headers_mut() = request.headers;
        inner.headers_mut().remove(AUTHORIZATION);
        inner.headers_mut().remove(RANGE);
        if let Some(text) = asked {
            let value = HeaderValue::try_from(text).expect("digits are a header value");
            inner.headers_mut().insert(RANGE, value);
        }
        let internal = |error| S3Error::with_source(S3ErrorCode::InternalError, StdError::from(error));
        let (parts, body) = self.checked.call(inner).await.map_err(internal)?.into_parts();
        let mut response = S3Response::with_status(body, parts.status);
        (response.headers, response.extensions) = (parts.headers, parts.extensions);
        Ok(response)
    }
}

/// A service over `backend` that knows one pair of keys and reads a `Range` as `read_range` does. Path style only.
pub(crate) fn service(
    backend: impl S3 + Clone,
    access_key: &str,
    secret_key: &str,
    allow_anonymous: bool,
    read_range: fn(&str) -> Option<String>,
) -> S3Service {
    let checked = S3ServiceBuilder::new(backend.clone()).build();
    let mut builder = S3ServiceBuilder::new(backend);
    let mut limits = S3Config::default();
    limits.xml_max_body_size = LARGEST_XML;
    limits.post_object_max_file_size = LARGEST_FORM;
    limits.form_max_fields_size = LARGEST_FIELDS;
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(limits))));
    builder.set_auth(OnePair { access_key: access_key.to_owned(), secret_key: secret_key.into() });
    builder.set_access(Access { allow_anonymous });
    builder.set_route(LenientRange { checked, read: read_range, allow_anonymous });
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presigned_query_keeps_what_it_asks_for() -> Result<(), Box<dyn std::error::Error>> {
        let signed = "/lab/a%20b?partNumber=2&X-Amz-Signature=0f&X-Amz-Date=d&response-content-type=x%2Fy".parse()?;
        let unsigned = unsigned_query(&signed).ok_or("a URI")?;
        assert_eq!(unsigned, "/lab/a%20b?partNumber=2&response-content-type=x%2Fy");
        let signed = "/lab/k?AWSAccessKeyId=A&Signature=b%3D&Expires=1".parse()?;
        assert_eq!(unsigned_query(&signed).ok_or("a URI")?, "/lab/k");
        Ok(())
    }
}
