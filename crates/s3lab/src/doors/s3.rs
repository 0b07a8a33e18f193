//! The one file that names `s3s`: makes a service of a backend, and passes on the protocol's own words.
//!
//! Signature Version 4 is checked here, in headers and in presigned URLs; what an operation does is the backend's
//! business (`engine::backend`).

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
pub(crate) use s3s::service::S3Service;
use s3s::service::S3ServiceBuilder;
pub(crate) use s3s::stream::{ByteStream, RemainingLength};
pub(crate) use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, StdError, dto};

/// Lets everybody in whose signature is right, and those without one where that is allowed.
struct Access {
    allow_anonymous: bool,
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        match context.credentials() {
            None if !self.allow_anonymous => {
                Err(S3Error::with_message(S3ErrorCode::AccessDenied, "The request is not signed."))
            }
            _ => Ok(()),
        }
    }
}

/// A service over `backend` that knows one pair of keys. Path style only.
pub(crate) fn service(backend: impl S3, access_key: &str, secret_key: &str, allow_anonymous: bool) -> S3Service {
    let mut builder = S3ServiceBuilder::new(backend);
    builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
    builder.set_access(Access { allow_anonymous });
    builder.build()
}
