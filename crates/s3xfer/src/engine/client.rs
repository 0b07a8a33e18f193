//! [`Client`]: the start of all transfers.

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
    /// Uses the endpoint, region, credentials and (if set) HTTP client of `sdk`, with [`TransferConfig::default`].
    ///
    /// Retries, checksum validation and stall protection of `sdk` are replaced by the engine's own, for the data it
    /// moves; `sdk` itself is not changed. If its configuration has no HTTP client, the engine uses its own, which is
    /// made for large objects. To use the SDK's, set it (`aws_sdk_s3::config::Builder::http_client`). The engine's
    /// client trusts the system's certificates (or those that `SSL_CERT_FILE` names) and those in the file that
    /// `AWS_CA_BUNDLE` names. It keeps connections for the next request, and spreads those of downloads over all
    /// addresses of the endpoint. Requests with a body, such as an upload's parts, use the SDK's own connections.
    ///
    /// It uses an HTTP proxy if the environment names one for the endpoint: `https_proxy` or `http_proxy`, by the
    /// endpoint's scheme, else `all_proxy`, each also in upper case, as `http://user:password@host:port`. `no_proxy`
    /// lists hosts that are reached directly: `*`, names with all that is below them, addresses, networks such as
    /// `10.0.0.0/8`, each but the last with or without a port. Downloads from this machine itself (`localhost`,
    /// `127.0.0.0/8`, `::1`) never go through a proxy. These variables are read here, once. A proxy of another kind
    /// (SOCKS, or one that is itself reached over TLS) is an error of the transfers that would go through it.
    #[must_use]
    pub fn new(sdk: aws_sdk_s3::Client) -> Self {
        let config = TransferConfig::default();
        Self { shared: Shared::new(Store::new(sdk, config.connect_timeout()), config) }
    }

    /// Begins a client with an explicit endpoint, region or keys.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Takes region, credentials and endpoint from the same places as AWS's tools: environment variables, the files in
    /// `~/.aws`, the machine's role.
    ///
    /// A missing setting (say, a region) shows in the first transfer's error, not here. Addresses objects by path where
    /// an endpoint is set (`AWS_ENDPOINT_URL`), because the servers behind such endpoints rarely have a DNS name per
    /// bucket.
    #[cfg(feature = "config")]
    pub async fn from_env() -> Self {
        Self::new(Access::client_from_env().await)
    }

    /// A client with the same connections, another configuration, and its own limits: its memory and requests are
    /// counted separately from those of this client. For other options under the same limits see
    /// [`with_options`](Self::with_options).
    #[must_use]
    pub fn with_config(self, config: TransferConfig) -> Self {
        Self { shared: self.shared.with_config(config) }
    }

    /// The same client with other options for its transfers. It shares its limits with all clones of this client.
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

    /// A download of the object; its next call names the target. A key that is empty or longer than S3's 1,024 bytes
    /// makes the download fail ([`ArgumentError`](crate::ArgumentError)) before anything is sent.
    pub fn download(&self, bucket: impl Into<String>, key: impl Into<String>) -> Download {
        let object = ObjectAddress { bucket: bucket.into(), key: key.into() };
        Download::new(Order::new(self.shared.clone(), object))
    }

    /// A download from a presigned URL or any other. If the server supports ranges, parts are fetched in parallel,
    /// otherwise the whole object by one request. If the server gives a strong ETag, the download is pinned to that
    /// version. There is no checksum to compare with. Redirects are not followed.
    ///
    /// The URL's query is sent to that server only. It is not in errors, the journal or this crate's logs.
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

    /// An upload of a file, of bytes in memory or of a stream into the object; awaiting it runs it. Invalid names make
    /// the upload fail ([`ArgumentError`](crate::ArgumentError)) before anything is sent.
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

    /// A copy of an object by the server, in the same bucket or into another one; awaiting it runs it. It needs
    /// permission to read the source object and its tags, and to write the target.
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

    /// Waits until this client, and the clients that share its limits, have no open multipart upload: running uploads
    /// have ended, and those of dropped transfers were aborted, or kept to be continued. Both happen in the background.
    /// Await this before a program exits that drops transfers, for example on Ctrl-C. Use a timeout, because a server
    /// may take up to a minute to answer.
    pub async fn settled(&self) {
        self.shared.limits.no_upload_open().await;
    }

    /// Aborts the multipart uploads below `prefix` (empty: of the whole bucket) that any client began longer than
    /// `older_than` ago, and returns those that it has aborted. Their parts are charged as objects are, and no listing
    /// of objects shows them. Uploads of this crate leave one only if the process was killed, or if the server could
    /// not be reached for the abort.
    ///
    /// An upload that is still running is aborted like any other if it is old enough.
    ///
    /// # Errors
    ///
    /// [`TransferError`]: the uploads cannot be listed, or one cannot be aborted. Those before it are aborted by then.
    pub async fn abort_stale(
        &self,
        bucket: impl Into<String>,
        prefix: impl Into<String>,
        older_than: Duration,
    ) -> Result<Vec<StaleUpload>, TransferError> {
        stale::abort_stale(self.shared.clone(), bucket.into(), prefix.into(), older_than).boxed().await
    }
}
