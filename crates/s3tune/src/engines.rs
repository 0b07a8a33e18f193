//! [`Engine`]: the client that downloads the bytes. It is s3xfer in this process, or another program that takes its
//! knobs as arguments, environment variables or files.

mod file;
mod gauge;
mod knob;
mod metric;
mod parameters;
mod process;
mod program;
mod s3xfer;
mod shipped;
mod space;
mod template;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;
use std::{fs, io};

use ::s3xfer::TransferConfig;
use tunekit::{Config, Space};

use crate::failure::Failure;
use crate::object::{Connection, KeysError, Object};
use file::EngineFile;
use parameters::Parameters;

pub use gauge::Gauge;
pub(crate) use gauge::Underway;
pub(crate) use knob::COLUMNS;
pub use knob::Knob;
pub use metric::{Metric, MetricError};
pub(crate) use process::kill_all as kill_programs;
pub use program::Program;
pub(crate) use s3xfer::{ADAPTIVE, BOUNDS, keep_meaning};
pub use s3xfer::{as_config, transfer_config};
pub(crate) use space::{nearest, one_wave};

/// An engine that downloads.
#[derive(Debug, Clone, PartialEq)]
pub struct Engine {
    name: String,
    knobs: Vec<Knob>,
    kind: Kind,
    version: Option<String>,
}

/// An engine file is a page of text; a larger file cannot be one.
const MOST_OF_A_FILE: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// The library of this workspace.
    S3xfer,
    /// A command line, which does not describe its knobs.
    Template(Box<Program>),
    /// A program whose knobs are known from a file.
    File(Box<Program>, Box<Parameters>),
}

/// The reason why a download failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// s3xfer refuses the configuration.
    #[error("read the configuration")]
    Config(#[from] serde_json::Error),
    /// s3xfer's download failed.
    #[error(transparent)]
    Engine(#[from] ::s3xfer::TransferError),
    /// There are no keys for the program.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The files that the program needs could not be written.
    #[error("write {}", path.display())]
    Files {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's word.
        source: io::Error,
    },
    /// The program could not be started.
    #[error("cannot start {program}")]
    Start {
        /// Its name.
        program: String,
        /// The operating system's word.
        source: io::Error,
    },
    /// The program reported a failure.
    #[error("{program} ended with {status}: {says}")]
    Status {
        /// Its name.
        program: String,
        /// Exit code or signal.
        status: ExitStatus,
        /// The last lines that it wrote to standard error, or to standard output if standard error is empty.
        says: String,
    },
    /// The program did not report the time of its download.
    #[error("{program} did not report its time on standard output: {source}")]
    Metric {
        /// Its name.
        program: String,
        /// The fault of its output.
        source: MetricError,
    },
}

impl Engine {
    /// The library of this workspace.
    #[must_use]
    pub fn s3xfer() -> Self {
        let version = Some(format!("s3xfer {}", env!("CARGO_PKG_VERSION")));
        let knobs = s3xfer::knobs(&TransferConfig::default());
        Self { name: "s3xfer".to_owned(), knobs, kind: Kind::S3xfer, version }
    }

    /// The engine of a name (`s3xfer`, `boto3`, `aws-cli`, `s5cmd`, `rclone`), of an engine file, or of a command
    /// template.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for an unknown engine, a file that cannot be read or is wrong, and a template without
    /// `{out}`, with an unknown placeholder, with `{max_bandwidth}` or an open quote.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if text == "s3xfer" {
            return Ok(Self::s3xfer());
        }
        let wrong = |why: String| Failure::usage(format!("--engine {text}: {why}"));
        if let Some(shipped) = shipped::text(text) {
            return file::parse(shipped, &shipped::beside).map(Self::of_file).map_err(wrong);
        }
        let is_command = text.contains(['{', ' ']);
        if Path::new(text).is_file() || (text.ends_with(".toml") && !is_command) {
            let content = read(Path::new(text)).map_err(|error| wrong(format!("the file cannot be read: {error}")))?;
            let folder = Path::new(text).parent().unwrap_or(Path::new("."));
            return file::parse(&content, &|name| read(&folder.join(name))).map(Self::of_file).map_err(wrong);
        }
        if !is_command && let Some(name) = shipped::meant(text) {
            return Err(wrong(format!(
                "there is no such engine; did you mean {name}? Write s3xfer, {}, the name of an engine file, or a command \
                 with {{out}}",
                shipped::NAMES.join(", ")
            )));
        }
        let program = Program::from_template(text)?;
        // The program's own defaults are unknown, so boto3's defaults take their place. It has only the parameters that
        // the command names.
        let mut knobs = s3xfer::knobs(&TransferConfig::boto3());
        knobs.retain(|knob| program.names(&knob.name));
        Ok(Self { name: text.to_owned(), knobs, kind: Kind::Template(Box::new(program)), version: None })
    }

    fn of_file(file: EngineFile) -> Self {
        let EngineFile { name, program, parameters } = file;
        let knobs = parameters.all.iter().map(|parameter| parameter.knob.clone()).collect();
        Self { name, knobs, kind: Kind::File(Box::new(program), Box::new(parameters)), version: None }
    }

    /// Asks whether the engine can be used on this machine, and learns its version.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] for a program, or a part of it, that is missing, with the way to install it if that is known.
    pub async fn check(&mut self) -> Result<(), Failure> {
        if let Kind::Template(program) | Kind::File(program, _) = &self.kind {
            self.version = program.check(&self.name).await?;
        }
        Ok(())
    }

    /// The version that the program prints; `None` before [`Engine::check`], and for a program that is not asked.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The space of a name or a file for an object of `object_bytes`, or the engine's own.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for a space that cannot be read, that holds a parameter that the engine lacks, or that
    /// would vary a value without effect: a parameter that the command does not name, or that the engine ignores.
    pub fn space(&self, name: Option<&str>, object_bytes: u64) -> Result<Space, Failure> {
        let named = name.unwrap_or("default");
        match &self.kind {
            Kind::S3xfer if named == "default" => Ok(space::of_s3xfer(object_bytes)),
            Kind::S3xfer => space::named(named, object_bytes),
            Kind::Template(program) => {
                let space = space::named(named, object_bytes)?;
                let dead: Vec<&str> = space.iter().map(|(name, _)| name).filter(|name| !program.names(name)).collect();
                if dead.is_empty() {
                    return Ok(space);
                }
                Err(Failure::usage(format!(
                    "--engine {:?}: the search would vary {}, which the command does not name; write {} in it, or give a \
                     --space without",
                    self.name,
                    dead.join(", "),
                    template::in_braces(dead.iter().copied()),
                )))
            }
            Kind::File(_, parameters) => {
                let space = match name {
                    None | Some("default") => parameters.space(object_bytes),
                    Some("compat") if self.has_boto3s_parameters() => space::named("compat", object_bytes)?,
                    Some("compat") => {
                        return Err(Failure::usage(format!(
                            "--space compat: it varies boto3's parameters, and {} has others; leave --space out, or give \
                             a file",
                            self.name
                        )));
                    }
                    Some(file) => space::of_file(file)?,
                };
                match parameters.fault(&space) {
                    None => Ok(space),
                    Some(fault) => Err(Failure::usage(format!("--space {named} of the engine {}: {fault}", self.name))),
                }
            }
        }
    }

    /// As it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A checksum of the way in which another program is started: its words, variables, files and metric. `None` for
    /// s3xfer.
    pub(crate) fn program_crc64nvme(&self) -> Option<String> {
        match &self.kind {
            Kind::S3xfer => None,
            Kind::Template(program) | Kind::File(program, _) => Some(format!("{:016x}", program.crc64nvme())),
        }
    }

    /// Its parameters.
    #[must_use]
    pub fn knobs(&self) -> &[Knob] {
        &self.knobs
    }

    /// The engine's own defaults for the parameters of `space`, as far as they are known.
    #[must_use]
    pub fn defaults(&self, space: &Space) -> Config {
        space.iter().fold(Config::new(), |config, (name, _)| {
            match self.knobs.iter().find(|knob| knob.name == name).and_then(|knob| knob.default.clone()) {
                Some(value) => config.with(name, value),
                None => config,
            }
        })
    }

    /// boto3's defaults, if the engine has boto3's parameters: all of them, also those that `space` does not vary.
    #[must_use]
    pub fn boto3_defaults(&self) -> Option<Config> {
        match &self.kind {
            Kind::S3xfer => Some(as_config(&TransferConfig::boto3())),
            Kind::File(..) if self.has_boto3s_parameters() => {
                let boto3 = as_config(&TransferConfig::boto3());
                let values = self.knobs.iter().filter_map(|knob| Some((&knob.name, boto3.value(&knob.name)?.clone())));
                Some(values.fold(Config::new(), |config, (name, value)| config.with(name, value)))
            }
            Kind::Template(_) | Kind::File(..) => None,
        }
    }

    /// Whether its parameters are boto3's, by boto3's names.
    fn has_boto3s_parameters(&self) -> bool {
        !self.knobs.is_empty() && self.knobs.iter().all(|knob| knob.boto3.as_ref() == Some(&knob.name))
    }

    /// Downloads the object to `target` over new connections, and returns the time of the download. A knob that
    /// `config` leaves out has the engine's default. `gauge` shows the progress; it counts everything in the target's
    /// folder as part of the download.
    ///
    /// The caller must set a time limit, because a program may never end. Cancel by dropping: a started program is
    /// killed together with its child processes, and the files that were written for it are removed.
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
        gauge: &Gauge,
    ) -> Result<Duration, TransferError> {
        match &self.kind {
            Kind::S3xfer => s3xfer::download(connection, object, config, target, gauge).await,
            Kind::Template(program) | Kind::File(program, _) => {
                program.run(connection, object, &self.complete(config), target, gauge).await
            }
        }
    }

    /// `config` with the defaults of the knobs that it leaves out.
    #[must_use]
    pub fn complete(&self, config: &Config) -> Config {
        let config = match &self.kind {
            Kind::S3xfer => s3xfer::as_it_says(config),
            Kind::Template(_) | Kind::File(..) => config.clone(),
        };
        self.knobs.iter().fold(config, |config, knob| match (config.value(&knob.name), &knob.default) {
            (None, Some(default)) => config.with(&knob.name, default.clone()),
            _ => config,
        })
    }
}

/// A text of a reasonable size.
fn read(path: &Path) -> io::Result<String> {
    let size = fs::metadata(path)?.len();
    if size > MOST_OF_A_FILE {
        return Err(io::Error::other(format!("{size} bytes are too many for an engine file")));
    }
    fs::read_to_string(path)
}
