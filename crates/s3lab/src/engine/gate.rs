//! The gate every request passes, whichever face it came through: counted, admitted, delayed, answered, paced.
//!
//! Cancellation: a dropped exchange is counted as left; a PUT that was not answered has stored nothing or all.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use super::backend::Afterwards;
use super::body::{InFlight, LabBody, Pacer, Upload};
use super::counters::Counters;
use super::line::{Connection, Direction, Line};
use crate::doors::s3::{Body, S3Service, StdError};
use crate::rules::network::Network;
use crate::rules::uri;
use crate::words::{RequestKind, RequestRecord};

/// One lab's gate.
pub(crate) struct Gate {
    pub(super) line: Arc<Line>,
    service: S3Service,
}

impl Gate {
    pub(super) fn new(counters: Arc<Counters>, network: Network, service: S3Service) -> Self {
        Self { line: Arc::new(Line::new(counters, network)), service }
    }

    /// Answers one request.
    pub(super) async fn exchange<B>(
        self: Arc<Self>,
        connection: Arc<Connection>,
        request: Request<B>,
    ) -> Response<LabBody>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<StdError>,
    {
        connection.is_used();
        let line = &self.line;
        let ordinal = line.counters.arrived(record(connection.id(), &request));
        let in_flight = InFlight(line.clone());
        line.clock.wait_until(connection.ready()).await;
        let mut start = line.clock.now();
        let (admitted, first_byte) = {
            let mut network = line.network();
            (network.admit(start), network.first_byte(ordinal))
        };
        let headless = request.method() == Method::HEAD;
        let has_body = !request.body().is_end_stream();
        let unusable = uri::query_parameters_error(request.uri().query().unwrap_or(""));
        let mut response = if !admitted {
            plain(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Please reduce your request rate.")
        } else if let Some(message) = unusable {
            plain(StatusCode::BAD_REQUEST, "AuthorizationQueryParametersError", message)
        } else {
            let pacer = Pacer::new(line.clone(), Direction::Up, start, None);
            let request = request
                .map(|body| if has_body { Body::http_body_unsync(Upload::new(body, pacer)) } else { Body::empty() });
            match self.service.call(request).await {
                Ok(response) => response,
                Err(error) => {
                    tracing::warn!(error = %StdError::from(error), "a request could not be answered");
                    plain(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "We encountered an internal error.")
                }
            }
        };
        if has_body {
            // The service thinks once it has the whole body.
            start = line.clock.now();
        }
        let ready = start + if admitted { first_byte } else { Duration::ZERO };
        line.clock.wait_until(ready).await;
        let afterwards = response.extensions_mut().remove::<Afterwards>().unwrap_or_default();
        if afterwards.partial {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        match afterwards.content_range {
            Some(Some(value)) => {
                let value = HeaderValue::try_from(value).expect("a fault plan's Content-Range is printable");
                response.headers_mut().insert(header::CONTENT_RANGE, value);
            }
            Some(None) => {
                response.headers_mut().remove(header::CONTENT_RANGE);
            }
            None => {}
        }
        let status = response.status();
        line.counters.answered(ordinal, status.as_u16());
        let pacer = Pacer::new(line.clone(), Direction::Down, ready, afterwards.body.bytes_per_s);
        let (mut parts, source) = response.into_parts();
        let request_id = HeaderValue::try_from(format!("{ordinal:016X}")).expect("digits are a header value");
        parts.headers.insert("x-amz-request-id", request_id);
        let body = if headless || status == StatusCode::NOT_MODIFIED || status == StatusCode::NO_CONTENT {
            LabBody::empty(pacer, connection, in_flight)
        } else {
            let told = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
            let length = told.or_else(|| http_body::Body::size_hint(&source).exact());
            if let Some(length) = length {
                parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            }
            LabBody::new(source, length, afterwards.body, pacer, connection, in_flight)
        };
        Response::from_parts(parts, body)
    }
}

/// What the log keeps of a request: nothing a credential or a signature could be in.
fn record<B>(connection: u64, request: &Request<B>) -> RequestRecord {
    let path = request.uri().path().trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let (method, headers) = (request.method().as_str(), request.headers());
    let kind = if bucket.is_empty() {
        RequestKind::Other
    } else {
        let copies = headers.contains_key("x-amz-copy-source");
        RequestKind::classify(method, !key.is_empty(), request.uri().query().unwrap_or(""), copies)
    };
    RequestRecord {
        ordinal: 0,
        connection,
        kind,
        method: method.to_owned(),
        bucket: uri::decode(bucket),
        key: uri::decode(key),
        range: headers.get(header::RANGE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        status: None,
    }
}

/// An error's answer made without the protocol layer.
fn plain(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_the_log_are_decoded_and_queries_left_out() {
        let request = Request::builder().uri("/lab/a%20b%2Fc%zz?X-Amz-Signature=secret").body(()).expect("valid");
        let record = record(3, &request);
        assert_eq!((record.bucket.as_str(), record.key.as_str()), ("lab", "a b/c%zz"));
        assert!(!format!("{record:?}").contains("secret"));
    }
}
