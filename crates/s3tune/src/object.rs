//! The object that is downloaded repeatedly: its place, and the connection to it.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, HttpClient, ProvideCredentials, Region, SharedCredentialsProvider,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use tokio::time::timeout;

use crate::failure::{Failure, chain};

/// The connection to S3, and the keys to sign with.
#[derive(Debug, Clone)]
pub struct Connection {
    config: Builder,
    endpoint: Option<String>,
    region: String,
    /// The chosen profile in AWS's files.
    profile: Option<String>,
    /// The source of keys; `None` where requests are not signed.
    keys: Option<SharedCredentialsProvider>,
    /// Whether the server is embedded, so that the process's environment does not apply to it.
    embedded: bool,
}

/// The settings of a connection on the command line; the rest comes from AWS's files and variables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Access<'a> {
    /// An endpoint that is not AWS's.
    pub endpoint: Option<&'a str>,
    /// Region of the bucket.
    pub region: Option<&'a str>,
    /// Profile in AWS's files.
    pub profile: Option<&'a str>,
    /// Whether requests go out without a signature.
    pub unsigned: bool,
}

/// The environment variables for another program, which reaches the same server as the same user; `None` for variables
/// that must be unset. No `Debug`, because it holds keys.
pub(crate) struct Environment {
    pub(crate) variables: Vec<(&'static str, Option<String>)>,
    /// Texts that must never be shown, even if another program repeats them.
    pub(crate) secrets: Vec<String>,
}

/// The reason why there are no keys for another program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The provider failed.
    #[error("find credentials")]
    Provider(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The provider did not answer in time.
    #[error("find credentials: none came within {} s", .0.as_secs())]
    Late(Duration),
}

/// The region for displays and other programs if none is known.
const ANY_REGION: &str = "us-east-1";

/// A process that asks for a password, or a server that does not answer, must not keep a run waiting.
const MOST_FOR_KEYS: Duration = Duration::from_secs(60);

/// The hosts of `listed` and this machine itself, as `NO_PROXY` lists hosts that are reached without a proxy.
fn directly(listed: Option<&str>) -> String {
    const LOOPBACK: &str = "localhost,127.0.0.1,::1";
    listed.map_or_else(|| LOOPBACK.to_owned(), |listed| format!("{listed},{LOOPBACK}"))
}

/// A server that accepts connections and does not answer must not keep a run waiting either.
const MOST_FOR_AN_ANSWER: Duration = Duration::from_secs(60);

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
    /// Its version, if the server states it.
    pub e_tag: Option<String>,
    /// CRC-64/NVME of all its bytes, if it is known beforehand.
    pub crc64nvme: Option<u64>,
}

impl Connection {
    /// Uses the same sources as AWS's tools: environment variables, the files in `~/.aws`, the machine's role. With an
    /// endpoint, objects are addressed by path, because few such servers have a DNS name per bucket, and no region is
    /// needed.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for an endpoint that is not a URL, or that contains a password, which would appear in
    /// reports.
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
        let profile = access.profile.map(str::to_owned);
        Ok(Self { config: resolved.sdk, endpoint, region, profile, keys, embedded: false })
    }

    /// The connection to an embedded S3. The environment is ignored.
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
        let keys = Some(SharedCredentialsProvider::new(credentials));
        Self { config, endpoint, region, profile: None, keys, embedded: true }
    }

    /// The same connection through another HTTP client, for example one without sockets. Only s3xfer uses it.
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

    /// Switches to another region. Without an endpoint, the server is then that region's server.
    fn move_to(&mut self, region: String) {
        self.config = self.config.clone().region(Region::new(region.clone()));
        self.region = region;
    }

    /// Whether requests are signed.
    #[must_use]
    pub fn signs(&self) -> bool {
        self.keys.is_some()
    }

    /// The environment for another program. The keys are requested again each time, because some are valid for an hour
    /// only.
    pub(crate) async fn environment(&self) -> Result<Environment, KeysError> {
        let mut variables = Vec::new();
        let mut secrets = Vec::new();
        if let Some(endpoint) = self.endpoint() {
            variables.extend(["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"].map(|name| (name, Some(endpoint.to_owned()))));
            if endpoint.starts_with("http://") {
                // The bundle is of no use without TLS, and Debian's rclone fails if it is set.
                variables.push(("AWS_CA_BUNDLE", None));
            }
        }
        if let Some(profile) = &self.profile {
            // botocore takes the other one first.
            variables.extend([("AWS_PROFILE", Some(profile.clone())), ("AWS_DEFAULT_PROFILE", None)]);
        }
        variables.extend(["AWS_REGION", "AWS_DEFAULT_REGION"].map(|name| (name, Some(self.region.clone()))));
        if self.embedded {
            variables.extend(["AWS_PROFILE", "AWS_DEFAULT_PROFILE"].map(|name| (name, None)));
            let set = |name: &str| std::env::var(name).ok().filter(|list| !list.is_empty());
            // Some programs read one spelling, some the other.
            let list = directly(set("no_proxy").or_else(|| set("NO_PROXY")).as_deref());
            variables.extend(["no_proxy", "NO_PROXY"].map(|name| (name, Some(list.clone()))));
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
    /// Requests the object's first byte, and reads the object's size from the answer. A wrong bucket, a wrong key or an
    /// unreachable endpoint fails here, before anything is measured. If the bucket is in another region than
    /// `connection`, the request is repeated there, and `connection` uses that region from then on.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] with the server's error, after a minute without an answer, and for an empty object, because
    /// its download cannot be tuned.
    pub async fn find(connection: &mut Connection, bucket: &str, key: &str) -> Result<Self, Failure> {
        Self::find_within(connection, bucket, key, MOST_FOR_AN_ANSWER).await
    }

    /// Like [`find`](Self::find), with another time limit for each answer.
    async fn find_within(
        connection: &mut Connection,
        bucket: &str,
        key: &str,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let address = format!("s3://{bucket}/{key}");
        let mut answer = first_byte(connection, bucket, key, limit).await?;
        if let Some(region) = answer.as_ref().err().and_then(|error| elsewhere(error, connection.region())) {
            connection.move_to(region);
            answer = first_byte(connection, bucket, key, limit).await?;
        }
        let at = connection.endpoint().map_or_else(String::new, |endpoint| format!(" at {endpoint}"));
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
                let says = chain(&error);
                if says.contains("no credentials found in chain") {
                    let (of_profile, mend) = match &connection.profile {
                        Some(profile) => (
                            format!(" for --profile {profile}"),
                            "add them to its section in AWS's files, or give another profile or --no-sign-request",
                        ),
                        None => (
                            String::new(),
                            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a profile, or give --no-sign-request",
                        ),
                    };
                    return Err(Failure::Work(format!(
                        "failed to read {address}{at}: no credentials were found{of_profile}; {mend}"
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
                let crc64nvme = timeout(limit, stored_checksum(connection, bucket, key)).await.unwrap_or(None);
                Ok(Self { bucket: bucket.to_owned(), key: key.to_owned(), bytes, e_tag, crc64nvme })
            }
            None => {
                Err(Failure::Work(format!("failed to read {address}: the server does not state the object's size")))
            }
        }
    }

    /// The last part of the key that is a valid file name.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.key.rsplit('/').find(|part| !part.is_empty() && *part != "." && *part != "..").unwrap_or("object")
    }
}

type FirstByte = Result<GetObjectOutput, SdkError<GetObjectError, HttpResponse>>;

/// The answer to a request for the object's first byte.
///
/// # Errors
///
/// [`Failure::Work`] if there is none within `limit`.
async fn first_byte(connection: &Connection, bucket: &str, key: &str, limit: Duration) -> Result<FirstByte, Failure> {
    let sent = connection.client().get_object().bucket(bucket).key(key).range("bytes=0-0").send();
    timeout(limit, sent).await.map_err(|_| {
        Failure::Work(format!(
            "failed to read s3://{bucket}/{key} at {}: no answer came within {} s; check the endpoint and the network",
            connection.endpoint_url(),
            limit.as_secs_f64()
        ))
    })
}

/// The region of the bucket, if an error reports another region than `used`.
fn elsewhere(error: &SdkError<GetObjectError, HttpResponse>, used: &str) -> Option<String> {
    let answer = error.raw_response()?;
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let region = answer.headers().get("x-amz-bucket-region").filter(|region| region.bytes().all(letter))?;
    // S3 names it with other refusals, too, which another region would not mend.
    let says_so = matches!(answer.status().as_u16(), 301 | 302 | 307 | 308 | 400);
    (says_so && !region.is_empty() && region != used).then(|| region.to_owned())
}

/// The checksum of the whole object, which S3 stores since 2024, if it is of this kind. A server without it is not an
/// error: the first download is then the reference.
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
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread;

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
            profile: None,
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
            ("AWS_CA_BUNDLE", None),
            ("AWS_EC2_METADATA_DISABLED", None),
        ] {
            assert_eq!(get(&signed, name), value, "{name}");
        }
        assert_eq!(signed.secrets, ["secret", "token"]);

        // The profile has more than keys: an endpoint, certificates, the form of addresses.
        connection.profile = Some("work".to_owned());
        assert_eq!(get(&connection.environment().await.unwrap(), "AWS_PROFILE"), is("work"));
        for (endpoint, bundle) in [("http://127.0.0.1:9", Some(None)), ("https://s3.example", None)] {
            connection.endpoint = Some(endpoint.to_owned());
            assert_eq!(get(&connection.environment().await.unwrap(), "AWS_CA_BUNDLE"), bundle, "{endpoint}");
        }

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
            let config = Builder::new();
            Connection { config, endpoint, region, profile: None, keys: None, embedded: false }.endpoint_url()
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

    #[tokio::test]
    async fn programs_reach_an_embedded_server_without_a_proxy() {
        assert_eq!(directly(None), "localhost,127.0.0.1,::1");
        assert_eq!(directly(Some("10.0.0.0/8, x.example")), "10.0.0.0/8, x.example,localhost,127.0.0.1,::1");
        let keys = Keys { access: "open".to_owned(), secret: "sesame".to_owned() };
        let embedded = Connection::to_lab("http://127.0.0.1:1", keys);
        let lists = async |connection: &Connection| {
            let variables = connection.environment().await.unwrap().variables;
            let lists = variables.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("no_proxy"));
            lists.filter_map(|(_, list)| list).collect::<Vec<String>>()
        };
        let told = lists(&embedded).await;
        assert!(told.len() == 2 && told.iter().all(|list| list.ends_with("localhost,127.0.0.1,::1")), "{told:?}");
        // The user's own stays.
        assert!(lists(&Connection { embedded: false, ..embedded }).await.is_empty());
    }

    /// A connection to a server that reads each request's head and answers it.
    fn answered(answer: impl Fn(&str) -> &'static str + Send + 'static) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let _ = stream.write_all(answer(&head.join("\n")).as_bytes());
            }
        });
        Connection::to_lab(&endpoint, Keys { access: "open".to_owned(), secret: "sesame".to_owned() })
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_not_waited_for() {
        // The system accepts the connection; nobody reads from it.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let keys = Keys { access: "open".to_owned(), secret: "sesame".to_owned() };
        let mut silent = Connection::to_lab(&endpoint, keys);
        let found = Object::find_within(&mut silent, "b", "k", Duration::from_millis(50)).await;
        let Err(Failure::Work(line)) = found else { panic!("{found:?}") };
        assert!(
            line.starts_with(&format!("failed to read s3://b/k at {endpoint}: no answer came within 0.05 s")),
            "{line}"
        );
    }

    #[tokio::test]
    async fn a_bucket_in_another_region_is_read_there() {
        const OBJECT: &str = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-0/7\r\ncontent-length: 1\r\n\
                              connection: close\r\n\r\nx";
        for elsewhere in [
            "HTTP/1.1 301 Moved Permanently\r\nx-amz-bucket-region: eu-west-3\r\ncontent-length: 0\r\n\
             connection: close\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\nx-amz-bucket-region: eu-west-3\r\ncontent-length: 0\r\n\
             connection: close\r\n\r\n",
        ] {
            let mut connection = answered(move |head| if head.contains("/eu-west-3/s3/") { OBJECT } else { elsewhere });
            let object = Object::find(&mut connection, "b", "k").await.unwrap();
            assert_eq!((object.bytes, connection.region()), (7, "eu-west-3"));
            let environment = connection.environment().await.unwrap();
            assert!(environment.variables.contains(&("AWS_REGION", Some("eu-west-3".to_owned()))));
        }
        // Followed once, and not where another region would change nothing.
        let lost = "HTTP/1.1 301 Moved Permanently\r\nx-amz-bucket-region: eu-west-3\r\ncontent-length: 0\r\n\
                    connection: close\r\n\r\n";
        assert!(Object::find(&mut answered(move |_| lost), "b", "k").await.is_err());
        let denied = "HTTP/1.1 403 Forbidden\r\nx-amz-bucket-region: eu-west-3\r\ncontent-length: 0\r\n\
                      connection: close\r\n\r\n";
        let mut connection = answered(move |_| denied);
        assert!(Object::find(&mut connection, "b", "k").await.unwrap_err().line().contains("403"));
        assert_eq!(connection.region(), "us-east-1");
    }
}
