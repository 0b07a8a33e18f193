//! Endpoint, region and keys of a client: those that the caller gives, and for the rest those that AWS's tools find.

#[cfg(feature = "config")]
use aws_config::{
    ecs::EcsCredentialsProvider,
    imds::credentials::ImdsCredentialsProvider,
    meta::credentials::CredentialsProviderChain,
    profile::{self, ProfileFileCredentialsProvider},
    provider_config::ProviderConfig,
};
use aws_sdk_s3::config::{self, BehaviorVersion, Region, SharedCredentialsProvider, SharedHttpClient};

use crate::words::client_error::{ClientError, check_endpoint};

/// The endpoint's region where no other is known: servers behind endpoints of their own take any.
const ANY_REGION: &str = "us-east-1";

/// The caller's settings. `None` is left to the environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    pub(crate) endpoint_url: Option<String>,
    pub(crate) region: Option<String>,
    #[cfg(feature = "config")]
    pub(crate) profile: Option<String>,
    pub(crate) credentials: Option<SharedCredentialsProvider>,
    pub(crate) unsigned: bool,
    pub(crate) path_style: Option<bool>,
    pub(crate) http_client: Option<SharedHttpClient>,
    pub(crate) alone: bool,
}

/// Endpoint, region and credentials as a client will use them: given to its builder, or found where AWS's tools find
/// them. [`ClientBuilder::resolve`](crate::ClientBuilder::resolve) makes it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ResolvedAccess {
    /// The SDK's configuration, to be changed further where need be.
    pub sdk: config::Builder,
    /// The endpoint, where it is not AWS's.
    pub endpoint_url: Option<String>,
    /// The region, where one is known.
    pub region: Option<String>,
    /// The source of credentials; `None` where requests go unsigned.
    pub credentials: Option<SharedCredentialsProvider>,
}

impl Access {
    /// The SDK's client as AWS's usual files and environment variables describe it. Mistakes in them show in the first
    /// request's error.
    #[cfg(feature = "config")]
    pub(crate) async fn client_from_env() -> aws_sdk_s3::Client {
        let shared = aws_config::defaults(BehaviorVersion::latest()).load().await;
        let by_path = shared.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some();
        aws_sdk_s3::Client::from_conf(config::Builder::from(&shared).force_path_style(by_path).build())
    }

    fn check(&self) -> Result<(), ClientError> {
        let empty = |value: &Option<String>| value.as_deref() == Some("");
        if empty(&self.region) {
            return Err(ClientError::Empty { setting: "region" });
        }
        #[cfg(feature = "config")]
        if empty(&self.profile) {
            return Err(ClientError::Empty { setting: "profile" });
        }
        if self.unsigned && self.credentials.is_some() {
            return Err(ClientError::KeysAndUnsigned);
        }
        self.endpoint_url.as_deref().map_or(Ok(()), check_endpoint)
    }

    /// Asks the environment for missing settings, unless this is to stand alone.
    ///
    /// # Errors
    ///
    /// [`ClientError`] for settings that cannot be right, those of the environment included.
    pub(crate) async fn resolve(self) -> Result<ResolvedAccess, ClientError> {
        self.check()?;
        let (mut sdk, endpoint_url, region, credentials) = match self.alone {
            true => {
                let sdk = config::Builder::new().behavior_version(BehaviorVersion::latest());
                let region = self.region.clone();
                (sdk, self.endpoint_url.clone(), region, self.credentials.clone())
            }
            false => self.with_env().await?,
        };
        let by_path = self.path_style.unwrap_or(endpoint_url.is_some());
        let region = region.or_else(|| endpoint_url.is_some().then(|| ANY_REGION.to_owned()));
        sdk.set_force_path_style(Some(by_path));
        sdk.set_region(region.clone().map(Region::new));
        if self.alone {
            sdk.set_endpoint_url(endpoint_url.clone());
            sdk.set_credentials_provider(credentials.clone());
            if self.unsigned {
                sdk = sdk.allow_no_auth();
            }
        }
        if let Some(http_client) = self.http_client {
            sdk.set_http_client(Some(http_client));
        }
        Ok(ResolvedAccess { sdk, endpoint_url, region, credentials })
    }

    #[cfg(not(feature = "config"))]
    async fn with_env(&self) -> Result<FromEnv, ClientError> {
        Err(ClientError::NoEnvironment)
    }

    #[cfg(feature = "config")]
    async fn with_env(&self) -> Result<FromEnv, ClientError> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(endpoint_url) = &self.endpoint_url {
            loader = loader.endpoint_url(endpoint_url);
        }
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(credentials) = &self.credentials {
            loader = loader.credentials_provider(credentials.clone());
        }
        if self.unsigned {
            loader = loader.no_credentials();
        }
        let mut shared = loader.load().await;
        if let Some(profile) = self.profile.as_deref().filter(|_| self.credentials.is_none() && !self.unsigned) {
            let keys = keys_of(profile, shared.region().cloned()).await?;
            shared = shared.into_builder().credentials_provider(SharedCredentialsProvider::new(keys)).build();
        }
        let of_s3 = std::env::var("AWS_ENDPOINT_URL_S3").ok();
        let of_s3 = of_s3.filter(|url| self.endpoint_url.is_none() && !url.is_empty());
        let endpoint_url = of_s3.or_else(|| shared.endpoint_url().map(str::to_owned));
        endpoint_url.as_deref().map_or(Ok(()), check_endpoint)?;
        let region = shared.region().map(ToString::to_string);
        let credentials = shared.credentials_provider().filter(|_| !self.unsigned);
        Ok((config::Builder::from(&shared), endpoint_url, region, credentials))
    }
}

/// The SDK's configuration, the endpoint, the region and the credentials.
type FromEnv = (config::Builder, Option<String>, Option<String>, Option<SharedCredentialsProvider>);

/// The keys of a profile that the caller names. Those of the environment have no say then, as in AWS's tools. A profile
/// without keys leaves those of the container's or the machine's role.
///
/// # Errors
///
/// [`ClientError::NoProfile`]: a name that was misspelt must not become another identity.
#[cfg(feature = "config")]
async fn keys_of(name: &str, region: Option<Region>) -> Result<CredentialsProviderChain, ClientError> {
    let (fs, variables, files) = Default::default();
    // Files that cannot be read are told with the first request.
    let profiles = profile::load(&fs, &variables, &files, None).await;
    if profiles.is_ok_and(|profiles| profiles.get_profile(name).is_none()) {
        return Err(ClientError::NoProfile { name: name.to_owned() });
    }
    let config = ProviderConfig::without_region().with_region(region);
    let own = ProfileFileCredentialsProvider::builder().configure(&config).profile_name(name).build();
    let keys = CredentialsProviderChain::first_try("Profile", own)
        .or_else("EcsContainer", EcsCredentialsProvider::builder().configure(&config).build())
        .or_else("Ec2InstanceMetadata", ImdsCredentialsProvider::builder().configure(&config).build());
    Ok(keys)
}
