//! [`Engine`]: what moves the bytes. Ours in this process, or another program that takes its knobs as arguments,
//! variables or files.

mod knob;
mod program;
mod s3xfer;

use std::path::Path;
use std::time::Duration;

use ::s3xfer::TransferConfig;
use tunekit::{Config, Space};

use crate::failure::Failure;
use crate::object::{Connection, Object};

pub use knob::Knob;
pub use program::Program;
pub use s3xfer::{as_config, transfer_config};

/// Who downloads.
#[derive(Debug, Clone, PartialEq)]
pub struct Engine {
    name: String,
    knobs: Vec<Knob>,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// The library of this workspace.
    S3xfer,
    /// Another program.
    Program(Box<Program>),
}

/// Why a download did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// A configuration that ours does not take.
    #[error("read the configuration")]
    Config(#[from] serde_json::Error),
    /// Ours failed.
    #[error(transparent)]
    Engine(#[from] ::s3xfer::DownloadError),
    /// The program could not be started.
    #[error("cannot start {program}")]
    Start {
        /// Its name.
        program: String,
        /// The operating system's word.
        source: std::io::Error,
    },
    /// The program says that it failed.
    #[error("{program} ended with {status}: {says}")]
    Status {
        /// Its name.
        program: String,
        /// Exit code or signal.
        status: std::process::ExitStatus,
        /// The last lines it wrote to standard error.
        says: String,
    },
}

impl Engine {
    /// The library of this workspace.
    #[must_use]
    pub fn s3xfer() -> Self {
        Self { name: "s3xfer".to_owned(), knobs: s3xfer::knobs(&TransferConfig::default()), kind: Kind::S3xfer }
    }

    /// `s3xfer`, or a command template.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for a template without `{out}`, with an unknown placeholder or an open quote.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if text == "s3xfer" {
            return Ok(Self::s3xfer());
        }
        let program = Program::from_template(text)?;
        // Nothing is known of the program's own defaults: boto3's stand in for them.
        let knobs = s3xfer::knobs(&TransferConfig::boto3());
        Ok(Self { name: text.to_owned(), knobs, kind: Kind::Program(Box::new(program)) })
    }

    /// As it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its parameters.
    #[must_use]
    pub fn knobs(&self) -> &[Knob] {
        &self.knobs
    }

    /// The values that the engine itself takes for the parameters of `space`, as far as it has any.
    #[must_use]
    pub fn defaults(&self, space: &Space) -> Config {
        space.iter().fold(Config::new(), |config, (name, _)| {
            match self.knobs.iter().find(|knob| knob.name == name).and_then(|knob| knob.default.clone()) {
                Some(value) => config.with(name, value),
                None => config,
            }
        })
    }

    /// boto3's defaults, where the engine has boto3's parameters: in full, also where `space` does not vary one.
    #[must_use]
    pub fn boto3_defaults(&self) -> Option<Config> {
        match &self.kind {
            Kind::S3xfer => Some(as_config(&TransferConfig::boto3())),
            Kind::Program(_) => None,
        }
    }

    /// Downloads the object to `target` with connections that are opened for it, and says how long that took. A knob
    /// that `config` leaves out has the engine's default.
    ///
    /// Cancel by dropping: a started program is killed, with all that it started.
    ///
    /// # Errors
    ///
    /// [`TransferError`].
    pub async fn download(
        &self,
        connection: &Connection,
        object: &Object,
        config: &Config,
        target: &Path,
    ) -> Result<Duration, TransferError> {
        match &self.kind {
            Kind::S3xfer => s3xfer::download(connection, object, config, target).await,
            Kind::Program(program) => program.run(connection, object, &self.complete(config), target).await,
        }
    }

    /// `config` with the defaults of the knobs that it leaves out.
    #[must_use]
    pub fn complete(&self, config: &Config) -> Config {
        self.knobs.iter().fold(config.clone(), |config, knob| match (config.value(&knob.name), &knob.default) {
            (None, Some(default)) => config.with(&knob.name, default.clone()),
            _ => config,
        })
    }
}
