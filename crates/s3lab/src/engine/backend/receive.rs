//! Takes in a request's body: hashes it in the same pass, and stores nothing unless every checksum agrees.

use bytes::Bytes;
use futures::StreamExt as _;

use super::convert::error;
use super::*;
use crate::doors::s3::{S3Error, S3ErrorCode, StdError};
use crate::doors::tcp::STOOD_STILL;
use crate::rules::checksum::{self, Hasher, Sums};
use crate::words::{Algorithm, Content};

/// S3's greatest object in one PUT, greatest part, and greatest copy by one request.
pub(super) const MAX_BODY_BYTES: u64 = 5 << 30;
/// Room made before the first byte: a wrong `Content-Length` must not cost gigabytes.
const MAX_RESERVED_BYTES: u64 = 64 << 20;

/// The request's own statements about its body.
pub(super) struct Declared {
    pub(super) body: Option<StreamingBlob>,
    pub(super) content_length: Option<i64>,
    pub(super) content_md5: Option<String>,
    /// Checksums in headers.
    pub(super) checksums: Vec<(Algorithm, String)>,
    /// Algorithms to compute although the request gives no value.
    pub(super) also: Vec<Algorithm>,
}

/// A body that arrived whole and right.
pub(super) struct Received {
    pub(super) content: Content,
    pub(super) sums: Sums,
    /// The algorithms the request gave values for, in headers or trailers.
    pub(super) given: Vec<Algorithm>,
}

fn trailer_names(headers: &http::HeaderMap) -> impl Iterator<Item = Algorithm> + '_ {
    let names = headers.get_all("x-amz-trailer").into_iter().filter_map(|value| value.to_str().ok());
    names
        .flat_map(|value| value.split(','))
        .filter_map(|name| Algorithm::from_name(name.trim().to_ascii_lowercase().strip_prefix("x-amz-checksum-")?))
}

/// The error of a body that broke off or does not match its signature.
fn broken(source: StdError) -> S3Error {
    // The protocol layer's stream errors are private types, so only their texts tell them apart.
    let text = source.to_string();
    if text.contains("Sha256Mismatch") {
        let code = S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
        let mut error = error(code, "The provided 'x-amz-content-sha256' header does not match the computed one.");
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        return error;
    }
    if text.contains("SignatureMismatch") {
        return error(S3ErrorCode::SignatureDoesNotMatch, "A chunk's signature does not match.");
    }
    if text.contains(STOOD_STILL) {
        let message = "Your socket connection to the server was not read from or written to within the timeout period. \
                       Idle connections will be closed.";
        return error(S3ErrorCode::RequestTimeout, message);
    }
    error(S3ErrorCode::IncompleteBody, format!("The request body could not be read: {text}."))
}

/// Reads the body to its end.
///
/// If it is cancelled because the connection closed, nothing remains.
pub(super) async fn receive<T>(request: &S3Request<T>, declared: Declared) -> S3Result<Received> {
    let length = declared.content_length.and_then(|length| u64::try_from(length).ok());
    if length.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(error(S3ErrorCode::EntityTooLarge, "Your proposed upload exceeds the maximum allowed size."));
    }
    let trailers: Vec<_> = trailer_names(&request.headers).collect();
    let mut given: Vec<_> = declared.checksums.iter().map(|(algorithm, _)| *algorithm).collect();
    given.extend(&trailers);
    let mut hasher = Hasher::new(given.iter().copied().chain(declared.also));
    let mut bytes = Vec::with_capacity(length.unwrap_or(0).min(MAX_RESERVED_BYTES) as usize);
    if let Some(mut body) = declared.body {
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(broken)?;
            if bytes.len() as u64 + piece.len() as u64 > MAX_BODY_BYTES {
                return Err(error(
                    S3ErrorCode::EntityTooLarge,
                    "Your proposed upload exceeds the maximum allowed size.",
                ));
            }
            hasher.update(&piece);
            bytes.extend_from_slice(&piece);
        }
    }
    if length.is_some_and(|length| length != bytes.len() as u64) {
        return Err(error(S3ErrorCode::IncompleteBody, "The body is shorter than Content-Length says."));
    }
    let sums = hasher.finish();
    let mut expected = declared.checksums;
    if !trailers.is_empty() {
        let values = request.trailing_headers.as_ref().and_then(|trailers| trailers.take()).unwrap_or_default();
        for algorithm in trailers {
            let name = format!("x-amz-checksum-{}", algorithm.name().to_ascii_lowercase());
            let value = values.get(name.as_str()).and_then(|value| value.to_str().ok()).ok_or_else(|| {
                error(S3ErrorCode::InvalidRequest, format!("The announced trailer {name} is missing."))
            })?;
            expected.push((algorithm, value.trim().to_owned()));
        }
    }
    for (algorithm, value) in expected {
        if sums.get(algorithm).map(checksum::base64).as_ref() != Some(&value) {
            let message = format!("The {} you specified did not match what we received.", algorithm.name());
            return Err(error(S3ErrorCode::BadDigest, message));
        }
    }
    if declared.content_md5.is_some_and(|md5| md5 != checksum::base64(&sums.md5)) {
        return Err(error(S3ErrorCode::BadDigest, "The Content-MD5 you specified did not match what we received."));
    }
    Ok(Received { content: Content::memory(Bytes::from(bytes)), sums, given })
}
