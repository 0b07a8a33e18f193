//! The embedded S3 of a section: its objects, its network, and its contents in the end.

use std::net::SocketAddr;

use s3lab::{Lab, LabBuilder, NetworkProfile, Server, SyntheticObject};
use tokio::process::Command;

pub(crate) const BUCKET: &str = "lab";
pub(crate) const REGION: &str = "us-east-1";

/// A lab that is served on loopback.
pub(crate) struct Place {
    pub(crate) lab: Lab,
    server: Server,
}

impl Place {
    /// With `objects`, each of so many bytes.
    pub(crate) async fn new(
        network: NetworkProfile,
        objects: impl IntoIterator<Item = (String, u64)>,
    ) -> Result<Self, String> {
        let lab = Lab::builder().bucket(BUCKET).network(network).keep_requests(0);
        let lab = objects.into_iter().fold(lab, |lab: LabBuilder, (key, bytes)| lab.synthetic(BUCKET, key, bytes));
        let lab = lab.build().map_err(|error| error.to_string())?;
        let server = Server::start(&lab, SocketAddr::from(([127, 0, 0, 1], 0))).await;
        Ok(Self { lab, server: server.map_err(|error| format!("failed to serve: {error}"))? })
    }

    pub(crate) fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// Gives a program the variables that lead here. The settings of this machine's user are no part of the question;
    /// rclone as Debian builds it does not even start with `AWS_CA_BUNDLE`.
    pub(crate) fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for (name, _) in std::env::vars_os() {
            let lower = name.to_string_lossy().to_ascii_lowercase();
            if lower.starts_with("aws_") || lower.starts_with("rclone_") || lower.ends_with("_proxy") {
                command.env_remove(name);
            }
        }
        command.envs([
            ("AWS_ACCESS_KEY_ID", self.lab.access_key().to_owned()),
            ("AWS_SECRET_ACCESS_KEY", self.lab.secret_key().to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
            ("NO_PROXY", "127.0.0.1".to_owned()),
        ])
    }

    /// Whether the object there has the bytes of a synthetic one.
    pub(crate) fn check(&self, key: &str, wanted: &SyntheticObject) -> Result<(), String> {
        let stored = self.lab.object(BUCKET, key).ok_or_else(|| format!("there is no object {key}"))?;
        whole(key, &stored, wanted)
    }
}

/// Whether these are all bytes of a synthetic object.
pub(crate) fn whole(name: &str, bytes: &[u8], wanted: &SyntheticObject) -> Result<(), String> {
    if bytes.len() as u64 != wanted.size() {
        return Err(format!("{name} has {} bytes instead of {}", bytes.len(), wanted.size()));
    }
    wanted.verify(0, bytes).map_err(|error| format!("{name}: {error}"))
}
