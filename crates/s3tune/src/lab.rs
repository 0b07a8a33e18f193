//! The embedded S3. It runs on its own threads, so that it shares no executor with the measured code.

use std::fs;
use std::net::SocketAddr;

use s3lab::{Lab, NetworkProfile, Server};
use tokio::runtime::{Builder, Runtime};

use crate::checksum::checksum_of;
use crate::failure::Failure;
use crate::object::{Connection, Keys, Object};

/// The default names in a lab.
pub(crate) const BUCKET: &str = "lab";
pub(crate) const KEY: &str = "object";

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct EmbeddedS3 {
    /// `None` once it is being dropped.
    runtime: Option<Runtime>,
    server: Option<Server>,
    lab: Lab,
}

impl EmbeddedS3 {
    /// Serves `lab` on `addr`.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] when the address cannot be listened on.
    pub async fn start(lab: Lab, addr: SocketAddr) -> Result<Self, Failure> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("s3lab")
            .enable_all()
            .build()
            .map_err(|error| Failure::work("start the embedded S3", &error))?;
        let serving = lab.clone();
        let starting = runtime.spawn(async move { Server::start(&serving, addr).await });
        // Kept in any case: a runtime must not be dropped on an asynchronous thread.
        let mut this = Self { runtime: Some(runtime), server: None, lab };
        let started = starting.await.map_err(|error| Failure::work("start the embedded S3", &error))?;
        this.server = Some(started.map_err(|error| Failure::work("start the embedded S3", &error))?);
        Ok(this)
    }

    /// Its endpoint, as `http://127.0.0.1:41234`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.server.as_ref().map(Server::endpoint).unwrap_or_default()
    }

    /// The lab, with its objects and counters.
    #[must_use]
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The connection to it.
    #[must_use]
    pub fn connection(&self) -> Connection {
        let (access, secret) = (self.lab.access_key().to_owned(), self.lab.secret_key().to_owned());
        Connection::to_lab(&self.endpoint(), Keys { access, secret })
    }
}

impl Drop for EmbeddedS3 {
    fn drop(&mut self) {
        drop(self.server.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A network profile by name, or from a TOML file.
///
/// # Errors
///
/// [`Failure::Usage`] with the names there are, or the mistake in the file.
pub fn profile(flag: &str, name: &str) -> Result<NetworkProfile, Failure> {
    let unknown = match NetworkProfile::named(name) {
        Ok(profile) => return Ok(profile),
        Err(error) => error,
    };
    match fs::read_to_string(name) {
        Ok(text) => NetworkProfile::from_toml(&text).map_err(|error| Failure::usage(format!("{flag} {name}: {error}"))),
        // A name that cannot be one of a file was meant as a profile's.
        Err(_) if !name.contains(['.', '/']) => Err(Failure::usage(format!("{flag}: {unknown}"))),
        Err(error) => Err(Failure::usage(format!("{flag} {name}: {error}"))),
    }
}

/// A profile in words for reports: with its figures, because a file's name alone says little.
#[must_use]
pub fn in_words(name: &str, profile: &NetworkProfile) -> String {
    let figures: Vec<String> = profile.to_toml().lines().map(|line| line.replace(" = ", " ")).collect();
    format!("embedded S3, network profile {name} ({})", figures.join(", "))
}

/// A lab behind `network` with one synthetic object, and the object. The lab is not served yet.
///
/// # Errors
///
/// [`Failure::Usage`] for an object that S3 would refuse.
pub fn holding_object(network: NetworkProfile, bytes: u64) -> Result<(Lab, Object), Failure> {
    if bytes == 0 {
        return Err(Failure::usage("--object-size 0: there is no download to tune; give it some bytes"));
    }
    let lab = Lab::builder()
        .bucket(BUCKET)
        .synthetic(BUCKET, KEY, bytes)
        .network(network)
        .build()
        .map_err(|error| Failure::usage(format!("--object-size: {error}")))?;
    let synthetic = lab.synthetic_object(BUCKET, KEY).expect("the object that was just given to the builder");
    let expected = checksum_of(bytes, |offset, buffer| {
        synthetic.fill(offset, buffer);
    });
    let e_tag = lab.etag(BUCKET, KEY);
    let object = Object { bucket: BUCKET.to_owned(), key: KEY.to_owned(), bytes, e_tag, crc64nvme: Some(expected) };
    Ok((lab, object))
}

/// As [`holding_object`], served on a free port of the loopback interface.
///
/// # Errors
///
/// As there, and [`Failure::Work`] when there is no port to listen on.
pub async fn with_object(network: NetworkProfile, bytes: u64) -> Result<(EmbeddedS3, Object), Failure> {
    let (lab, object) = holding_object(network, bytes)?;
    let embedded = EmbeddedS3::start(lab, SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    Ok((embedded, object))
}
