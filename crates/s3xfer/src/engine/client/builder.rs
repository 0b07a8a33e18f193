//! [`ClientBuilder`]: a client from endpoint, region and keys, without the SDK's types.

use aws_sdk_s3::config::{Credentials, HttpClient, ProvideCredentials, SharedCredentialsProvider, SharedHttpClient};

use super::Client;
use crate::doors::s3::{Access, ResolvedAccess};
use crate::words::client_error::ClientError;
use crate::words::config::TransferConfig;

/// Makes a [`Client`]; [`Client::builder`] begins. Settings that are left out come from the same places as for AWS's
/// tools: environment variables, the files in `~/.aws`, the machine's role. This needs the crate's feature `config`.
/// Without the feature, [`without_environment`](Self::without_environment) must be called.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), s3xfer::ClientError> {
/// let client = s3xfer::Client::builder()
///     .endpoint_url("http://127.0.0.1:9000")
///     .keys("access", "secret")
///     .without_environment()
///     .build()
///     .await?;
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder makes nothing until it is built"]
pub struct ClientBuilder {
    access: Access,
    config: TransferConfig,
}

impl ClientBuilder {
    /// The server, such as `http://127.0.0.1:9000`; by default AWS's. With an endpoint, set here or by
    /// `AWS_ENDPOINT_URL`, buckets are addressed by path, and no region is needed.
    pub fn endpoint_url(mut self, url: impl Into<String>) -> Self {
        self.access.endpoint_url = Some(url.into());
        self
    }

    /// The region for which requests are signed. If a bucket is in another region, the server's answer names it.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.access.region = Some(region.into());
        self
    }

    /// The profile in AWS's files with the other settings. Its keys take precedence over those of the environment. If
    /// keys are needed, a profile that does not exist is an error.
    #[cfg(feature = "config")]
    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.access.profile = Some(profile.into());
        self
    }

    /// An access key and its secret, which is never shown.
    pub fn keys(self, access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        self.credentials(Credentials::new(access_key, secret_key, None, None, "s3xfer"))
    }

    /// Keys of a session, with its token.
    pub fn session_keys(
        self,
        access_key: impl Into<String>,
        secret_key: impl Into<String>,
        token: impl Into<String>,
    ) -> Self {
        self.credentials(Credentials::new(access_key, secret_key, Some(token.into()), None, "s3xfer"))
    }

    /// Another source of keys, asked again when they expire.
    pub fn credentials(mut self, provider: impl ProvideCredentials + 'static) -> Self {
        self.access.credentials = Some(SharedCredentialsProvider::new(provider));
        self
    }

    /// Sends requests without a signature: for public buckets.
    pub fn unsigned(mut self) -> Self {
        self.access.unsigned = true;
        self
    }

    /// Whether the bucket is in the URL's path or in the host's name. With an endpoint the default is the path, because
    /// servers behind such endpoints rarely have a DNS name per bucket.
    pub fn path_style(mut self, by_path: bool) -> Self {
        self.access.path_style = Some(by_path);
        self
    }

    /// Another HTTP client than the engine's own, which is made for large objects ([`Client::new`]).
    pub fn http_client(mut self, http_client: impl HttpClient + 'static) -> Self {
        self.access.http_client = Some(SharedHttpClient::new(http_client));
        self
    }

    /// Configuration of the transfers.
    pub fn config(mut self, config: TransferConfig) -> Self {
        self.config = config;
        self
    }

    /// Takes no settings from AWS's variables and files or from the machine's role. A missing setting shows in the
    /// first transfer's error.
    pub fn without_environment(mut self) -> Self {
        self.access.alone = true;
        self
    }

    /// The client. No connection is made yet.
    ///
    /// # Errors
    ///
    /// [`ClientError`]: a setting is invalid, or the environment is needed and the feature `config` is off. A server
    /// that is missing, or refuses the keys, shows in the first transfer's error.
    pub async fn build(self) -> Result<Client, ClientError> {
        let config = self.config.clone();
        let sdk = self.resolve().await?.sdk.build();
        Ok(Client::new(aws_sdk_s3::Client::from_conf(sdk)).with_config(config))
    }

    /// The settings from which [`build`](Self::build) makes the client, for other clients that should reach the same
    /// server in the same way.
    ///
    /// # Errors
    ///
    /// As for [`build`](Self::build).
    pub async fn resolve(self) -> Result<ResolvedAccess, ClientError> {
        self.access.resolve().await
    }
}
