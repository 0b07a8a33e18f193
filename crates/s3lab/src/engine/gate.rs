//! The gate that every request passes, whichever face it came through. It counts, admits, delays, answers and paces
//! requests.
//!
//! Faults of GETs of objects are the backend's; those of other requests strike here, in the request's body and before
//! or after the request is carried out.
//!
//! Cancellation: a dropped exchange counts as ended. A PUT that was not answered has stored nothing or all.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::time::sleep;

use super::backend::Afterwards;
use super::body::{Breaking, InFlight, LabBody, Pacer, Upload};
use super::counters::Counters;
use super::line::{Connection, Direction, Line};
use super::store::Store;
use crate::doors::s3::{Body, S3Service, StdError};
use crate::doors::tcp::Broken;
use crate::rules::faults::{self, Aftermath, BodyFaults, Effects, Refusal, Step};
use crate::rules::network::Network;
use crate::rules::uri;
use crate::words::{FaultPlan, RequestKind, RequestRecord};

/// One lab's gate.
pub(crate) struct Gate {
    pub(super) line: Arc<Line>,
    service: S3Service,
    planned: Planned,
}

/// The faults of requests that are not GETs of objects, and the counter of these requests.
pub(super) struct Planned {
    pub(super) faults: Arc<FaultPlan>,
    pub(super) store: Arc<Store>,
}

impl Gate {
    pub(super) fn new(counters: Arc<Counters>, network: Network, service: S3Service, planned: Planned) -> Self {
        Self { line: Arc::new(Line::new(counters, network)), service, planned }
    }

    /// Answers one request.
    ///
    /// # Errors
    ///
    /// The place where a planned fault strikes before the answer begins.
    pub(super) async fn exchange<B>(
        self: Arc<Self>,
        connection: Arc<Connection>,
        request: Request<B>,
    ) -> Result<Response<LabBody>, Broken>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<StdError>,
    {
        connection.is_used();
        let line = &self.line;
        let record = record(connection.id(), &request);
        let (kind, bucket, key) = (record.kind, record.bucket.clone(), record.key.clone());
        let ordinal = line.counters.arrived(record);
        let in_flight = InFlight(line.clone());
        line.clock.wait_until(connection.ready()).await;
        let mut start = line.clock.now();
        let (admitted, first_byte) = {
            let mut network = line.network();
            (network.admit(start), network.first_byte(ordinal))
        };
        let headless = request.method() == Method::HEAD;
        let unusable = uri::query_parameters_error(request.uri().query().unwrap_or(""));
        let effects = match admitted {
            true => self.planned.effects(kind, &bucket, &key, &line.counters),
            false => Effects::default(),
        };
        let has_body = !request.body().is_end_stream();
        if !has_body && effects.refusal.is_none() {
            meet_without_body(effects.body.clone()).await.inspect_err(|_| connection.abort())?;
        }
        let mut response = if !admitted {
            plain(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Please reduce your request rate.")
        } else if let Some(message) = unusable {
            plain(StatusCode::BAD_REQUEST, "AuthorizationQueryParametersError", message)
        } else if let Some(refusal) = effects.refusal {
            refused(refusal)
        } else {
            let pacer = Pacer::new(line.clone(), Direction::Up, start, effects.body.bytes_per_s);
            let breaking = Arc::new(Breaking::default());
            let request = request.map(|body| match has_body {
                true => {
                    let upload = Upload::new(body, pacer, effects.body, effects.corrupt, breaking.clone());
                    Body::http_body_unsync(upload)
                }
                false => Body::empty(),
            });
            let called = tokio::select! {
                biased;
                () = breaking.struck() => None,
                called = self.service.call(request) => Some(called),
            };
            let Some(called) = called.filter(|_| effects.aftermath != Some(Aftermath::Lost)) else {
                connection.abort();
                return Err(Broken);
            };
            match called {
                Ok(_) if effects.aftermath.is_some() => refused(Refusal::InternalError),
                Ok(response) => response,
                Err(error) => {
                    tracing::warn!(error = %StdError::from(error), "a request could not be answered");
                    plain(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "We encountered an internal error.")
                }
            }
        };
        if has_body {
            // The delay before the answer begins when the service has the whole body.
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
        Ok(Response::from_parts(parts, body))
    }
}

impl Planned {
    /// The faults that meet a request other than a GET of an object, which is counted.
    fn effects(&self, kind: RequestKind, bucket: &str, key: &str, counters: &Counters) -> Effects {
        if kind == RequestKind::GetObject || self.faults.faults().iter().all(|fault| fault.on != kind) {
            return Effects::default();
        }
        let effects = faults::effects(&self.faults, kind, key, self.store.count(kind, bucket, key));
        counters.faults.fetch_add(effects.count, Ordering::Relaxed);
        if effects.replace {
            self.store.replace(bucket, key);
        }
        effects
    }
}

/// A request without a body meets the faults of one before it is carried out.
async fn meet_without_body(mut faults: BodyFaults) -> Result<(), Broken> {
    loop {
        match faults.at_the_end() {
            Step::Send(_) => return Ok(()),
            Step::Stall(Some(duration)) => sleep(duration).await,
            Step::Stall(None) => pending().await,
            Step::Reset | Step::End => return Err(Broken),
        }
    }
}

fn refused(refusal: Refusal) -> Response<Body> {
    match refusal {
        Refusal::SlowDown => plain(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Please reduce your request rate."),
        Refusal::InternalError => {
            let message = "We encountered an internal error. Please try again.";
            plain(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
        }
        Refusal::Conflict => {
            let message =
                "The conditional request cannot succeed due to a conflicting operation against this resource.";
            plain(StatusCode::CONFLICT, "ConditionalRequestConflict", message)
        }
        Refusal::InSuccess(code) => plain(StatusCode::OK, &code, "The work has failed after the answer began."),
    }
}

/// The request as the log keeps it: without any text that could hold a credential or a signature.
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
