//! [`Client`]: where transfers begin.

use std::time::Duration;

use futures::FutureExt;

#[cfg(feature = "config")]
use crate::doors::s3::Access;
use crate::doors::s3::Store;
use crate::engine::copy::Copy;
use crate::engine::download::Download;
use crate::engine::download::order::Order;
use crate::engine::memory::TransferMemory;
use crate::engine::shared::Shared;
use crate::engine::stale::{self, StaleUpload};
use crate::engine::upload::source::UploadSource;
use crate::engine::upload::{self, Upload};
use crate::words::config::{TransferConfig, TransferOptions};
use crate::words::download_url::DownloadUrl;
use crate::words::failure::TransferError;
use crate::words::object::ObjectAddress;
use crate::words::target::Target;

mod batches;
mod builder;

pub use builder::ClientBuilder;

/// Moves objects out of S3, into it, and within it. Cheap to clone; clones share connections, `max_concurrency`,
/// `max_bandwidth` and `memory_limit`.
///
/// It needs a tokio runtime with time and I/O enabled.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) shared: Shared,
}

impl Client {
    /// Uses the endpoint, region, credentials and, where one was set, the HTTP client of `sdk`, with
    /// [`TransferConfig::default`].
    ///
    /// Retries, checksum validation and stall protection of `sdk` are replaced by the engine's own, for the data it
    /// moves; `sdk` itself is not changed. Where no HTTP client was set on its configuration, the engine brings one of
    /// its own, made for large objects; to have the SDK's, set one (`aws_sdk_s3::config::Builder::http_client`). The
    /// engine's trusts the system's certificates (or those that `SSL_CERT_FILE` names) and those in the file that
    /// `AWS_CA_BUNDLE` names, keeps connections for the next request, and spreads those of downloads over all addresses
    /// of the endpoint. Requests with a body, such as an upload's parts, go by the SDK's own connections.
    ///
    /// It goes through an HTTP proxy where the environment names one for the endpoint: `https_proxy` or `http_proxy`,
    /// by the endpoint's scheme, else `all_proxy`, each also in upper case, as `http://user:password@host:port`.
    /// `no_proxy` lists hosts that are reached directly: `*`, names with all that is below them, addresses, networks
    /// such as `10.0.0.0/8`, each but the last with or without a port. Downloads from this machine itself (`localhost`,
    /// `127.0.0.0/8`, `::1`) never go through a proxy. These variables are read here, once. A proxy of another kind
    /// (SOCKS, or one that is itself reached over TLS) is an error of the transfers that would go through it.
    #[must_use]
    pub fn new(sdk: aws_sdk_s3::Client) -> Self {
        let config = TransferConfig::default();
        Self { shared: Shared::new(Store::new(sdk, config.connect_timeout()), config) }
    }

    /// Begins a client of an endpoint, a region and keys that are said, in part or in whole.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Takes region, credentials and endpoint from where AWS's tools take them: environment variables, the files in
    /// `~/.aws`, the machine's role.
    ///
    /// A missing setting (say, a region) shows in the first transfer's error, not here. Addresses objects by path where
    /// an endpoint is set (`AWS_ENDPOINT_URL`), because the servers behind such endpoints rarely have a DNS name per
    /// bucket.
    #[cfg(feature = "config")]
    pub async fn from_env() -> Self {
        Self::new(Access::client_from_env().await)
    }

    /// A client with the same connections, another configuration, and limits of its own: its memory and requests count
    /// beside those of this one. For other options under the same limits see [`with_options`](Self::with_options).
    #[must_use]
    pub fn with_config(self, config: TransferConfig) -> Self {
        Self { shared: self.shared.with_config(config) }
    }

    /// The same client with other options for its transfers. They share the limits with those of the clients that this
    /// one is a clone of.
    #[must_use]
    pub fn with_options(self, options: TransferOptions) -> Self {
        Self { shared: self.shared.with_options(options) }
    }

    /// The same client with another memory of earlier transfers; see [`TransferMemory`].
    #[must_use]
    pub fn with_memory(self, memory: TransferMemory) -> Self {
        Self { shared: Shared { memory, ..self.shared } }
    }

    /// The numbers that its transfers have found.
    #[must_use]
    pub fn memory(&self) -> &TransferMemory {
        &self.shared.memory
    }

    /// A download of the object, to be given a target. A key that is empty or longer than S3's 1,024 bytes is told by
    /// the download's error ([`ArgumentError`](crate::ArgumentError)), before anything is sent.
    pub fn download(&self, bucket: impl Into<String>, key: impl Into<String>) -> Download {
        let object = ObjectAddress { bucket: bucket.into(), key: key.into() };
        Download::new(Order::new(self.shared.clone(), object))
    }

    /// A download from a URL: one that was presigned, or that of any server. Parts of it are fetched at once where the
    /// server knows ranges, and all of it by one request where it does not. It is pinned to one version by a strong
    /// ETag, where the server tells one. There is no checksum to compare it with; redirects are not followed.
    ///
    /// The URL's query goes to that server alone: neither errors nor the journal nor this crate's logs have it.
    /// (`aws_smithy_runtime` logs requests whole at level TRACE.) The client's credentials are not sent.
    ///
    /// ```no_run
    /// # async fn example(client: s3xfer::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let url = "https://example.com/a.bin?X-Amz-Signature=...".parse()?;
    /// client.download_url(&url).to_file("a.bin").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn download_url(&self, url: &DownloadUrl) -> Download {
        let store = self.shared.store.at_url(url.clone(), self.shared.config.connect_timeout());
        let object = ObjectAddress { bucket: url.origin().to_owned(), key: url.path().to_owned() };
        Download::new(Order::new(Shared { store, ..self.shared.clone() }, object))
    }

    /// An upload of a file, of bytes in memory or of a stream into the object; awaiting it runs it. Names that cannot
    /// be right are told by the upload's error ([`ArgumentError`](crate::ArgumentError)), before anything is sent.
    ///
    /// ```no_run
    /// # async fn example(client: s3xfer::Client) -> Result<(), s3xfer::TransferError> {
    /// use std::path::Path;
    ///
    /// let report = client.upload(Path::new("film.mp4"), "my-bucket", "films/film.mp4").if_absent().await?;
    /// println!("{} bytes in {} parts", report.bytes, report.parts);
    /// # Ok(())
    /// # }
    /// ```
    pub fn upload(&self, source: impl Into<UploadSource>, bucket: impl Into<String>, key: impl Into<String>) -> Upload {
        let object = ObjectAddress { bucket: bucket.into(), key: key.into() };
        Upload::new(upload::order::Order::new(self.shared.clone(), source.into(), Target::new(object)))
    }

    /// A copy of an object by the server, in the same bucket or into another one; awaiting it runs it. It needs to be
    /// allowed to read the one object and its tags, and to write the other.
    pub fn copy(
        &self,
        source_bucket: impl Into<String>,
        source_key: impl Into<String>,
        bucket: impl Into<String>,
        key: impl Into<String>,
    ) -> Copy {
        let source = ObjectAddress { bucket: source_bucket.into(), key: source_key.into() };
        Copy::new(self.shared.clone(), source, ObjectAddress { bucket: bucket.into(), key: key.into() })
    }

    /// Waits until no multipart upload of this client, and of those that share its limits, is open: the running ones
    /// have ended, and those whose transfer was dropped are aborted, or kept to be continued, which happens in the
    /// background. Await it before a program ends that drops transfers, on Ctrl-C for example; with a timeout, because
    /// a server that does not answer is given a minute.
    pub async fn settled(&self) {
        self.shared.limits.no_upload_open().await;
    }

    /// Aborts the multipart uploads below `prefix` (empty: of the whole bucket) that any client began longer than
    /// `older_than` ago, and returns those that it has aborted. Their parts are charged as objects are, and no listing
    /// of objects shows them. Uploads of this crate leave one only where the process was killed, or the server could
    /// not be reached to abort it.
    ///
    /// An upload that is still running is aborted like any other if it is old enough.
    ///
    /// # Errors
    ///
    /// [`TransferError`]: the uploads cannot be listed, or one not aborted. Those before it are aborted then.
    pub async fn abort_stale(
        &self,
        bucket: impl Into<String>,
        prefix: impl Into<String>,
        older_than: Duration,
    ) -> Result<Vec<StaleUpload>, TransferError> {
        stale::abort_stale(self.shared.clone(), bucket.into(), prefix.into(), older_than).boxed().await
    }
}
