//! The object that is downloaded over and over: where it is and how to reach it.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, HttpClient, ProvideCredentials, Region, SharedCredentialsProvider,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use tokio::time::timeout;

use crate::failure::{Failure, chain};

/// The way to reach S3, and the keys to sign with.
#[derive(Debug, Clone)]
pub struct Connection {
    config: Builder,
    endpoint: Option<String>,
    region: String,
    /// The source of keys; `None` where requests are not signed.
    keys: Option<SharedCredentialsProvider>,
    /// Whether this process's own environment says nothing about the server.
    embedded: bool,
}

/// The settings of a connection on the command line; AWS's files and variables have the rest.
#[derive(Debug, Clone, Copy, Default)]
pub struct Access<'a> {
    /// Another endpoint than AWS's.
    pub endpoint: Option<&'a str>,
    /// Region of the bucket.
    pub region: Option<&'a str>,
    /// Profile in AWS's files.
    pub profile: Option<&'a str>,
    /// Whether requests go out without a signature.
    pub unsigned: bool,
}

/// The variables of another program that is to reach the same server as the same user; `None` for variables that it
/// must not find. No `Debug`: it holds keys.
pub(crate) struct Environment {
    pub(crate) variables: Vec<(&'static str, Option<String>)>,
    /// The text that must never be shown, even where another program repeats it.
    pub(crate) secrets: Vec<String>,
}

/// Why there are no keys for another program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The provider says no.
    #[error("find credentials")]
    Provider(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The provider says nothing.
    #[error("find credentials: none came within {} s", .0.as_secs())]
    Late(Duration),
}

/// Shown, and given to other programs, where no region is known.
const ANY_REGION: &str = "us-east-1";

/// A process that asks for a password, or a server that does not answer, must not keep a run waiting.
const MOST_FOR_KEYS: Duration = Duration::from_secs(60);

/// The keys of an embedded S3.
#[derive(Clone)]
pub struct Keys {
    /// Access key.
    pub access: String,
    /// Secret key; never shown.
    pub secret: String,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("access", &self.access).finish_non_exhaustive()
    }
}

/// An object that exists.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Its size in bytes, greater than 0.
    pub bytes: u64,
    /// Its version, where the server tells one.
    pub e_tag: Option<String>,
    /// CRC-64/NVME of all its bytes, where it is known beforehand.
    pub crc64nvme: Option<u64>,
}

impl Connection {
    /// As AWS's tools find it: environment variables, the files in `~/.aws`, the machine's role. Behind an endpoint,
    /// objects are addressed by path, for few such servers have a DNS name per bucket, and no region is needed.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for an endpoint that is no URL, or has a password in it, which would end up in reports.
    pub async fn from_env(endpoint: Option<&str>, sign: bool) -> Result<Self, Failure> {
        Self::with(Access { endpoint, unsigned: !sign, ..Access::default() }).await
    }

    /// As [`from_env`](Self::from_env), but with the settings of `access`.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn with(access: Access<'_>) -> Result<Self, Failure> {
        let mut builder = s3xfer::Client::builder();
        if let Some(endpoint) = access.endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        if let Some(region) = access.region {
            builder = builder.region(region);
        }
        if let Some(profile) = access.profile {
            builder = builder.profile(profile);
        }
        if access.unsigned {
            builder = builder.unsigned();
        }
        let resolved = builder.resolve().await.map_err(|error| Failure::usage(error.to_string()))?;
        let region = resolved.region.unwrap_or_else(|| ANY_REGION.to_owned());
        let (endpoint, keys) = (resolved.endpoint_url, resolved.credentials);
        Ok(Self { config: resolved.sdk, endpoint, region, keys, embedded: false })
    }

    /// An embedded S3. Nothing of the environment has a say.
    #[must_use]
    pub fn to_lab(endpoint: &str, keys: Keys) -> Self {
        let credentials = Credentials::new(&keys.access, &keys.secret, None, None, "embedded S3");
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(ANY_REGION))
            .endpoint_url(endpoint)
            .force_path_style(true)
            .credentials_provider(credentials.clone());
        let (endpoint, region) = (Some(endpoint.to_owned()), ANY_REGION.to_owned());
        Self { config, endpoint, region, keys: Some(SharedCredentialsProvider::new(credentials)), embedded: true }
    }

    /// The same, through another HTTP client than the engine's own: one that needs no sockets, say. Only s3xfer uses
    /// it.
    #[must_use]
    pub fn over(mut self, http_client: impl HttpClient + 'static) -> Self {
        self.config = self.config.http_client(http_client);
        self
    }

    /// A client with connections of its own; none is open yet.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::from_conf(self.config.clone().build())
    }

    /// The endpoint, if it is not AWS's.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// The endpoint as a URL, also where it is AWS's.
    #[must_use]
    pub fn endpoint_url(&self) -> String {
        let region = &self.region;
        match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None if region.starts_with("cn-") => format!("https://s3.{region}.amazonaws.com.cn"),
            None => format!("https://s3.{region}.amazonaws.com"),
        }
    }

    /// The region, `us-east-1` where none is known.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whether requests are signed.
    #[must_use]
    pub fn signs(&self) -> bool {
        self.keys.is_some()
    }

    /// The environment that another program needs. The keys are asked for again each time, for some last an hour
    /// only.
    pub(crate) async fn environment(&self) -> Result<Environment, KeysError> {
        let mut variables = Vec::new();
        let mut secrets = Vec::new();
        if let Some(endpoint) = self.endpoint() {
            variables.extend(["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"].map(|name| (name, Some(endpoint.to_owned()))));
        }
        variables.extend(["AWS_REGION", "AWS_DEFAULT_REGION"].map(|name| (name, Some(self.region.clone()))));
        if self.embedded {
            variables.push(("AWS_PROFILE", None));
        }
        let [mut access, mut secret, mut token] = [None, None, None];
        if let Some(provider) = &self.keys {
            let keys = timeout(MOST_FOR_KEYS, provider.provide_credentials());
            let keys = keys.await.map_err(|_| KeysError::Late(MOST_FOR_KEYS))?;
            let keys = keys.map_err(|error| KeysError::Provider(error.into()))?;
            (access, secret) = (Some(keys.access_key_id().to_owned()), Some(keys.secret_access_key().to_owned()));
            token = keys.session_token().map(str::to_owned);
            secrets.extend(secret.iter().chain(&token).filter(|text| !text.is_empty()).cloned());
        }
        variables.push(("AWS_ACCESS_KEY_ID", access));
        variables.push(("AWS_SECRET_ACCESS_KEY", secret));
        variables.push(("AWS_SESSION_TOKEN", token));
        // Its older name, which botocore reads, too.
        variables.push(("AWS_SECURITY_TOKEN", None));
        variables.push(("S3TUNE_NO_SIGN_REQUEST", (!self.signs()).then(|| "1".to_owned())));
        Ok(Environment { variables, secrets })
    }
}

impl Object {
    /// Asks the server for the object's first byte, and learns its size from the answer. A wrong bucket, a wrong key
    /// and an endpoint that cannot be reached show here, before anything is measured.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] with the server's words; also for an empty object, whose download cannot be tuned.
    pub async fn find(connection: &Connection, bucket: &str, key: &str) -> Result<Self, Failure> {
        let address = format!("s3://{bucket}/{key}");
        let answer = connection.client().get_object().bucket(bucket).key(key).range("bytes=0-0").send().await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(SdkError::ServiceError(error)) if error.raw().status().as_u16() == 416 => {
                return Err(Failure::Work(format!("{address} is empty: there is no download to tune")));
            }
            Err(SdkError::ServiceError(error)) => {
                let (status, error) = (error.raw().status().as_u16(), error.err());
                return Err(Failure::Work(format!(
                    "failed to read {address}: the server says {status} {}: {}",
                    error.code().unwrap_or("without an error code"),
                    error.message().filter(|message| !message.is_empty()).unwrap_or("no message given"),
                )));
            }
            Err(error) => {
                let at = connection.endpoint().map_or_else(String::new, |endpoint| format!(" at {endpoint}"));
                let says = chain(&error);
                if says.contains("no providers in chain") {
                    return Err(Failure::Work(format!(
                        "failed to read {address}{at}: no credentials were found; set AWS_ACCESS_KEY_ID and \
                         AWS_SECRET_ACCESS_KEY or a profile, or give --no-sign-request"
                    )));
                }
                return Err(Failure::Work(format!("failed to read {address}{at}: {says}")));
            }
        };
        let size = match answer.content_range() {
            Some(range) => range.rsplit_once('/').and_then(|(_, size)| size.parse().ok()),
            // The server ignores ranges: this is the whole object.
            None => answer.content_length().and_then(|length| u64::try_from(length).ok()),
        };
        match size {
            Some(0) => Err(Failure::Work(format!("{address} is empty: there is no download to tune"))),
            Some(bytes) => {
                let e_tag = answer.e_tag().map(str::to_owned);
                let crc64nvme = stored_checksum(connection, bucket, key).await;
                Ok(Self { bucket: bucket.to_owned(), key: key.to_owned(), bytes, e_tag, crc64nvme })
            }
            None => Err(Failure::Work(format!("failed to read {address}: the server does not tell the object's size"))),
        }
    }

    /// The last part of the key that can name a file.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.key.rsplit('/').find(|part| !part.is_empty() && *part != "." && *part != "..").unwrap_or("object")
    }
}

/// The checksum that S3 keeps of a whole object since 2024, where there is one of this kind. A server that cannot tell
/// is no error: the first download is the reference then.
async fn stored_checksum(connection: &Connection, bucket: &str, key: &str) -> Option<u64> {
    let head = connection.client().head_object().bucket(bucket).key(key).checksum_mode(ChecksumMode::Enabled);
    let head = head.send().await.ok()?;
    let whole = *head.checksum_type()? == ChecksumType::FullObject;
    let bytes = aws_smithy_types::base64::decode(head.checksum_crc64_nvme().filter(|_| whole)?).ok()?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

impl std::fmt::Display for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_no_file_name_still_gives_one() {
        for (key, name) in [("a/b.bin", "b.bin"), ("dir/", "dir"), ("/", "object"), ("a/..", "a"), ("plain", "plain")] {
            assert_eq!(
                Object { bucket: String::new(), key: key.to_owned(), bytes: 1, e_tag: None, crc64nvme: None }
                    .file_name(),
                name
            );
        }
    }

    #[tokio::test]
    async fn an_endpoint_must_be_a_url_without_a_password() {
        for (url, fine) in [
            ("http://127.0.0.1:9000", true),
            ("https://s3.example.org/a@b", true),
            ("127.0.0.1:9000", false),
            ("ftp://x", false),
            ("http://me:hunter2@host/", false),
        ] {
            match Connection::from_env(Some(url), false).await {
                Ok(_) => assert!(fine, "{url}"),
                Err(failure) => assert!(!fine && !failure.line().contains("hunter2"), "{}", failure.line()),
            }
        }
    }

    #[tokio::test]
    async fn a_program_gets_the_keys_that_ours_come_from() {
        let keys = Credentials::new("access", "secret", Some("token".to_owned()), None, "test");
        let mut connection = Connection {
            config: Builder::new(),
            endpoint: None,
            region: "eu-central-1".to_owned(),
            keys: Some(SharedCredentialsProvider::new(keys)),
            embedded: false,
        };
        let get = |environment: &Environment, name: &str| {
            environment.variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone())
        };
        let is = |value: &str| Some(Some(value.to_owned()));
        let signed = connection.environment().await.unwrap();
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", is("access")),
            ("AWS_SECRET_ACCESS_KEY", is("secret")),
            ("AWS_SESSION_TOKEN", is("token")),
            ("AWS_SECURITY_TOKEN", Some(None)),
            ("AWS_REGION", is("eu-central-1")),
            ("AWS_DEFAULT_REGION", is("eu-central-1")),
            ("S3TUNE_NO_SIGN_REQUEST", Some(None)),
            // The user's own stays.
            ("AWS_PROFILE", None),
            ("AWS_ENDPOINT_URL", None),
            ("AWS_EC2_METADATA_DISABLED", None),
        ] {
            assert_eq!(get(&signed, name), value, "{name}");
        }
        assert_eq!(signed.secrets, ["secret", "token"]);

        connection.keys = None;
        let unsigned = connection.environment().await.unwrap();
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
            assert_eq!(get(&unsigned, name), Some(None), "{name}");
        }
        assert_eq!(get(&unsigned, "S3TUNE_NO_SIGN_REQUEST"), is("1"));
    }

    #[test]
    fn the_endpoint_is_a_url_also_where_it_is_awss() {
        let url = |endpoint: Option<&str>, region: &str| {
            let (endpoint, region) = (endpoint.map(str::to_owned), region.to_owned());
            Connection { config: Builder::new(), endpoint, region, keys: None, embedded: false }.endpoint_url()
        };
        assert_eq!(url(Some("http://127.0.0.1:9000"), "us-east-1"), "http://127.0.0.1:9000");
        assert_eq!(url(None, "us-gov-west-1"), "https://s3.us-gov-west-1.amazonaws.com");
        assert_eq!(url(None, "cn-north-1"), "https://s3.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn a_secret_key_is_not_shown() {
        let keys = Keys { access: "open".to_owned(), secret: "sesame".to_owned() };
        let shown = format!("{keys:?} {:?}", Connection::to_lab("http://127.0.0.1:1", keys.clone()));
        assert!(shown.contains("open") && !shown.contains("sesame"), "{shown}");
    }
}
