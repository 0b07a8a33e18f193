//! The in-process face: an HTTP client for aws-sdk-s3 that needs no socket and keeps tokio's time, so that a test with
//! a paused clock sees the network's delays without waiting for them.
//!
//! It emulates the connection pool of the SDK's own client: an idle connection is reused, otherwise a new one is opened
//! and waits `connect_ms`. A connection is closed if its answer was not read to the end.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};

use super::body::LabBody;
use super::gate::Gate;
use super::lab::Lab;
use super::line::Connection;
use crate::doors::sdk::{self, Exchange, Exchanged, Limits, SdkBody, SharedHttpClient, Unanswered};

impl Lab {
    /// A client with a connection pool of its own, for `aws_sdk_s3::config::Builder::http_client`.
    ///
    /// All its waits are in tokio's time. Signing uses the SDK's time source, the system clock. The lab checks dates
    /// against the same clock, also while tokio's clock is paused.
    ///
    /// ```
    /// use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
    /// use s3lab::{Lab, NetworkProfile};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?.block_on(async {
    /// let network = NetworkProfile::named("far")?;
    /// let lab = Lab::builder().bucket("lab").object("lab", "key", "hello").network(network).build()?;
    /// let config = aws_sdk_s3::Config::builder()
    ///     .behavior_version(BehaviorVersion::latest())
    ///     .endpoint_url(Lab::ENDPOINT)
    ///     .force_path_style(true)
    ///     .region(Region::new(lab.region().to_owned()))
    ///     .credentials_provider(Credentials::new(lab.access_key(), lab.secret_key(), None, None, "s3lab"))
    ///     .http_client(lab.http_client())
    ///     .build();
    /// let started = tokio::time::Instant::now();
    /// let answer = aws_sdk_s3::Client::from_conf(config).get_object().bucket("lab").key("key").send().await?;
    /// assert_eq!(answer.body.collect().await?.into_bytes(), "hello");
    /// // 300 ms to connect and about 150 ms to the first byte, in no time at all.
    /// assert!(started.elapsed().as_millis() > 350);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        sdk::client(Face { pool: Arc::new(Pool { gate: self.gate.clone(), idle: Mutex::default() }) })
    }

    /// The endpoint URL to give a client that uses [`http_client`](Self::http_client). Its name never resolves (RFC
    /// 6761), so a client without this HTTP client fails instead of reaching the network.
    pub const ENDPOINT: &'static str = "http://s3lab.invalid";
}

struct Face {
    pool: Arc<Pool>,
}

struct Pool {
    gate: Arc<Gate>,
    /// The most recently used last.
    idle: Mutex<Vec<Arc<Connection>>>,
}

impl Pool {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Connection>>> {
        self.idle.lock().expect("pushing and popping do not panic")
    }
}

/// A connection in use; dropped, it goes back to the pool if it may carry another request, and is closed if not.
struct Lease {
    pool: Arc<Pool>,
    connection: Arc<Connection>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.connection.is_reusable() {
            self.pool.idle().push(self.connection.clone());
        }
    }
}

impl Exchange for Face {
    type Body = PooledBody;

    fn exchange(&self, request: Request<SdkBody>, limits: Limits) -> Exchanged<PooledBody> {
        let pool = self.pool.clone();
        Box::pin(async move {
            let idle = pool.idle().pop();
            let connection = idle.unwrap_or_else(|| Arc::new(pool.gate.line.connect(Arc::default())));
            let clock = &pool.gate.line.clock;
            if let Some(limit) = limits.connect
                && connection.ready() > clock.now() + limit
            {
                clock.wait_until(clock.now() + limit).await;
                return Err(Unanswered::Connect(limit));
            }
            clock.wait_until(connection.ready()).await;
            let exchanged = pool.gate.clone().exchange(connection.clone(), request);
            let response = match limits.read {
                Some(limit) => tokio::time::timeout(limit, exchanged).await.map_err(|_| Unanswered::Read(limit))?,
                None => exchanged.await,
            };
            let response = response.map_err(|_| Unanswered::Reset)?;
            let lease = Lease { pool: pool.clone(), connection };
            Ok(response.map(|body| PooledBody { body, lease: Some(lease) }))
        })
    }
}

/// An answer's body that gives its connection back at its end. Further polls report the end again.
struct PooledBody {
    body: LabBody,
    lease: Option<Lease>,
}

impl http_body::Body for PooledBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(&polled, Poll::Ready(None | Some(Err(_)))) || self.body.is_end_stream() {
            self.lease = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
