//! [`Client`]: where transfers begin.

use crate::doors::s3::{self, Store};
use crate::engine::download::Download;
use crate::engine::download::order::Order;
use crate::engine::memory::TransferMemory;
use crate::engine::shared::Shared;
use crate::words::config::{TransferConfig, TransferOptions};
use crate::words::object::ObjectAddress;

/// Moves objects out of S3. Cheap to clone; clones share connections, `max_concurrency`, `max_bandwidth` and
/// `memory_limit`.
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
    /// `AWS_CA_BUNDLE` names, keeps connections for the next request, and spreads them over all addresses of the
    /// endpoint.
    ///
    /// It goes through an HTTP proxy where the environment names one for the endpoint: `https_proxy` or `http_proxy`,
    /// by the endpoint's scheme, else `all_proxy`, each also in upper case, as `http://user:password@host:port`.
    /// `no_proxy` lists hosts that are reached directly: `*`, names with all that is below them, addresses, networks
    /// such as `10.0.0.0/8`, each but the last with or without a port. These variables are read here, once. A proxy of
    /// another kind (SOCKS, or one that is itself reached over TLS) is an error of the transfers that would go through
    /// it.
    #[must_use]
    pub fn new(sdk: aws_sdk_s3::Client) -> Self {
        let config = TransferConfig::default();
        Self { shared: Shared::new(Store::new(sdk, config.connect_timeout()), config) }
    }

    /// Takes region, credentials and endpoint from where AWS's tools take them: environment variables, the files in
    /// `~/.aws`, the machine's role.
    ///
    /// What is missing (say, a region) shows in the first transfer's error, not here. Addresses objects by path where
    /// an endpoint is set (`AWS_ENDPOINT_URL`), for the servers behind such endpoints rarely have a DNS name per
    /// bucket.
    pub async fn from_env() -> Self {
        Self::new(s3::client_from_env().await)
    }

    /// A client with the same connections, another configuration, and limits of its own: what it holds in memory and
    /// in flight counts beside what this one does. For other options under the same limits see
    /// [`with_options`](Self::with_options).
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
}
