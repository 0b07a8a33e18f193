//! Copies an object of S3 to a file, to standard output (`-`) or to nowhere (`/dev/null`); a file or standard input
//! (`-`) into an object; or an object into another one.
//!
//! ```text
//! cargo run --release -p s3xfer --example cp -- SOURCE TARGET          s3://BUCKET/KEY or PATH, one of them in S3
//!     [--version-id V] [--request-payer] [--no-resume] [--config FILE.toml]
//!     [--endpoint-url URL] [--region R] [--profile P] [--no-sign-request]
//! ```
//!
//! With `--recursive`, SOURCE and TARGET are a folder or `s3://BUCKET/PREFIX`, in any direction, and there are
//! `--include`, `--exclude` and `--dry-run`.
//!
//! A target `s3://BUCKET/` or `s3://BUCKET/FOLDER/` takes the file's name behind it. BUCKET may be the ARN of an access
//! point. Region and credentials come from where AWS's tools take them. `--config` is a file of [`TransferConfig`]'s
//! parameters, such as `s3tune` finds. A copy to or from a file that was interrupted goes on where it stopped when the
//! command is given again, unless `--no-resume` is given, with which nothing is kept. Exit codes: 0 done, 1 the copy
//! failed, 2 wrong usage; in both cases one line on standard error says why. Standard error shows the progress, in one
//! line of a terminal, or as a line every 10 s. The library's warnings are there too, such as that of a file system
//! without locks, on which a copy cannot go on where it stopped.

#[path = "cp/folders.rs"]
mod folders;
#[path = "cp/stdout.rs"]
mod stdout;
#[path = "cp/terminal.rs"]
mod terminal;

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, Write, stderr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use folders::Folders;
use rustix::process::Signal;
use s3xfer::{Client, ClientError, Progress, S3Uri, TransferConfig, TransferReport, UploadSource};
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

const USAGE: &str = "usage: cp SOURCE TARGET, of which one or both are s3://BUCKET/KEY [--version-id V] \
                     [--request-payer] [--no-resume] [--config FILE.toml] [--endpoint-url URL] [--region R] \
                     [--profile P] [--no-sign-request]";

/// Longest that Ctrl-C waits for the server to forget an upload.
const ABORT_WITHIN: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return say(&format!("no threads to work with: {error}"), 1),
    };
    let code = runtime.block_on(run());
    // A thread that is stuck in a write, to a pipe that nobody reads, is not waited for.
    runtime.shutdown_background();
    code
}

/// The library's warnings, a line each.
fn show_warnings() {
    let begun = || {
        // If standard error takes nothing, the warning is lost.
        let _ = write!(stderr(), "cp: ");
        stderr()
    };
    let layer = fmt::layer().with_writer(begun).without_time().with_target(false).with_ansi(false);
    tracing_subscriber::registry().with(layer.with_filter(Targets::new().with_target("s3xfer", Level::WARN))).init();
}

async fn run() -> ExitCode {
    show_warnings();
    if std::env::args_os().any(|word| word == "--recursive") {
        return run_folders().await;
    }
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(wrong) => return say(&wrong, 2),
    };
    // A file beyond `ulimit -f` is an error of the write once somebody listens for the signal; it ends the process
    // otherwise.
    if let Err(error) = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())) {
        return say(&format!("cannot listen for SIGXFSZ: {error}"), 1);
    }
    let client = match arguments.access.connect().await {
        Ok(client) => client,
        Err(wrong) => return say(&wrong.to_string(), 2),
    };
    // Dropping the copy ends it: the parts that it has fetched are kept, no file appears under the target's name, and
    // an upload is aborted.
    let ended = tokio::select! {
        copied = copy(&arguments, &client) => Some(copied),
        _ = tokio::signal::ctrl_c() => None,
    };
    match ended {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => say(&format!("failed to {} {}", arguments.places.verb(), chain(&*error)), 1),
        None => {
            let _ = tokio::time::timeout(ABORT_WITHIN, client.settled()).await;
            match arguments.places.goes_on() && !arguments.no_resume {
                true => say("interrupted; give the same command again to continue", 1),
                false => say("interrupted", 1),
            }
        }
    }
}

async fn run_folders() -> ExitCode {
    let folders = match Folders::parse(std::env::args_os().skip(1)) {
        Ok(folders) => folders,
        Err(wrong) => return say(&wrong, 2),
    };
    if let Err(error) = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())) {
        return say(&format!("cannot listen for SIGXFSZ: {error}"), 1);
    }
    let client = match folders.connect().await {
        Ok(client) => client,
        Err(wrong) => return say(&wrong.to_string(), 2),
    };
    let goes_on = folders.goes_on();
    let ended = tokio::select! {
        copied = folders.copy(&client) => copied,
        _ = tokio::signal::ctrl_c() => Err(match goes_on {
            true => "interrupted; every file and object that is there is whole; the same command goes on with those \
                     that were begun"
                .to_owned(),
            false => "interrupted; every file and object that is there is whole".to_owned(),
        }),
    };
    let _ = tokio::time::timeout(ABORT_WITHIN, client.settled()).await;
    match ended {
        Ok(done) => {
            say_line(&done);
            ExitCode::SUCCESS
        }
        Err(failed) => say(&failed, 1),
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(&format!(": {error}"));
        cause = error.source();
    }
    line
}

async fn copy(arguments: &Arguments, client: &Client) -> Result<(), Box<dyn Error>> {
    let progress = Progress::new();
    let shown = terminal::show(terminal::of_one(progress.clone()));
    let report = match &arguments.places {
        Places::Down { source, path } => download(arguments, client, (source, path), progress).await?,
        Places::Up { path, target } => {
            let from = match path == Path::new("-") {
                true => {
                    let stdin = stdout::input().map_err(|error| format!("{target}: standard input: {error}"))?;
                    UploadSource::reader(stdin)
                }
                false => UploadSource::file(path),
            };
            let mut upload = client.upload(from, target.bucket(), target.key()).progress(progress);
            if arguments.request_payer {
                upload = upload.request_payer();
            }
            upload.resume(!arguments.no_resume).await?
        }
        Places::Across { source, target } => {
            let mut copy = client.copy(source.bucket(), source.key(), target.bucket(), target.key()).progress(progress);
            if arguments.request_payer {
                copy = copy.request_payer();
            }
            match &arguments.version_id {
                Some(version_id) => copy.version_id(version_id).await?,
                None => copy.await?,
            }
        }
    };
    drop(shown);
    if stderr().is_terminal() || report.elapsed >= terminal::LINES {
        say_line(&terminal::summary(&report));
    }
    Ok(())
}

async fn download(
    arguments: &Arguments,
    client: &Client,
    (source, path): (&S3Uri, &Path),
    progress: Progress,
) -> Result<TransferReport, Box<dyn Error>> {
    if stdout::is_closed(path) {
        return Err(format!("{source}: standard output is closed").into());
    }
    let mut download = client.download(source.bucket(), source.key()).progress(progress);
    if let Some(version_id) = &arguments.version_id {
        download = download.version_id(version_id);
    }
    if arguments.request_payer {
        download = download.request_payer();
    }
    if path != Path::new("-") {
        return Ok(download.to_file(path).resume(!arguments.no_resume).await?);
    }
    let mut stdout = stdout::duplicate()?;
    let report = download.to_writer(&mut stdout).await?;
    let late = |error| format!("{source}: standard output did not keep the bytes: {error}");
    stdout::close(stdout).await.map_err(late)?;
    Ok(report)
}

/// The way to the server; settings left out are found as AWS's tools find them.
#[derive(Default)]
struct Access {
    config: TransferConfig,
    endpoint_url: Option<String>,
    region: Option<String>,
    profile: Option<String>,
    no_sign_request: bool,
}

impl Access {
    /// Takes a flag, if it is one of these.
    fn take(&mut self, flag: &str, mut value: impl FnMut() -> Result<OsString, String>) -> Result<bool, String> {
        match flag {
            "--config" => self.config = read_config(Path::new(&value()?))?,
            "--endpoint-url" => self.endpoint_url = Some(text(value()?)?),
            "--region" => self.region = Some(text(value()?)?),
            "--profile" => self.profile = Some(text(value()?)?),
            "--no-sign-request" => self.no_sign_request = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    async fn connect(&self) -> Result<Client, ClientError> {
        let mut builder = Client::builder().config(self.config.clone());
        if let Some(url) = &self.endpoint_url {
            builder = builder.endpoint_url(url);
        }
        if let Some(region) = &self.region {
            builder = builder.region(region);
        }
        if let Some(profile) = &self.profile {
            builder = builder.profile(profile);
        }
        if self.no_sign_request {
            builder = builder.unsigned();
        }
        builder.build().await
    }
}

fn say(line: &str, code: u8) -> ExitCode {
    say_line(line);
    ExitCode::from(code)
}

fn say_line(line: &str) {
    // One line, without control characters from keys and servers; if standard error takes nothing, the exit code still
    // tells.
    let line: String = line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    terminal::clear();
    let _ = writeln!(stderr(), "cp: {line}");
}

/// From where to where.
enum Places {
    Down { source: S3Uri, path: PathBuf },
    Up { path: PathBuf, target: S3Uri },
    Across { source: S3Uri, target: S3Uri },
}

impl Places {
    fn of(source: OsString, target: OsString) -> Result<Self, String> {
        let remote = |place: &OsString| place.as_bytes().starts_with(b"s3://");
        Ok(match (remote(&source), remote(&target)) {
            (true, false) => Self::Down { source: object(text(source)?)?, path: target.into() },
            (false, true) => {
                let target = named(text(target)?, Path::new(&source).file_name().filter(|name| *name != "-"))?;
                Self::Up { path: source.into(), target: object(target)? }
            }
            (true, true) => {
                let source = object(text(source)?)?;
                let target = named(text(target)?, Path::new(source.key()).file_name())?;
                Self::Across { target: object(target)?, source }
            }
            (false, false) => return Err(format!("neither {source:?} nor {target:?} is in S3; {USAGE}")),
        })
    }

    fn verb(&self) -> &'static str {
        match self {
            Self::Down { .. } => "download",
            Self::Up { .. } => "upload",
            Self::Across { .. } => "copy",
        }
    }

    /// Whether the same command goes on where this one stops.
    fn goes_on(&self) -> bool {
        let is_file = |path: &Path| !["-", "/dev/null"].iter().any(|place| path == Path::new(place));
        matches!(self, Self::Down { path, .. } | Self::Up { path, .. } if is_file(path))
    }
}

/// A target that ends with a slash, with the source's name behind it.
fn named(target: String, name: Option<&OsStr>) -> Result<String, String> {
    let is_bucket = !target["s3://".len()..].contains('/');
    match name.map(OsStr::to_owned) {
        _ if !is_bucket && !target.ends_with('/') => Ok(target),
        Some(name) => Ok(format!("{target}{}{}", if is_bucket { "/" } else { "" }, text(name)?)),
        None => Err(format!("{target:?} names no object, and the source has no name to give it; {USAGE}")),
    }
}

fn object(place: String) -> Result<S3Uri, String> {
    let wrong = || format!("{place:?} is not of the form s3://BUCKET/KEY; {USAGE}");
    let object: S3Uri = place.parse().map_err(|_| wrong())?;
    if object.key().is_empty() { Err(wrong()) } else { Ok(object) }
}

struct Arguments {
    places: Places,
    version_id: Option<String>,
    request_payer: bool,
    no_resume: bool,
    access: Access,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let (mut places, mut version_id, mut request_payer, mut no_resume) = (Vec::new(), None, false, false);
        let mut access = Access::default();
        while let Some(word) = words.next() {
            let (flag, mut inline) = split(word);
            let name = flag.to_string_lossy().into_owned();
            let mut value = || inline.take().or_else(|| words.next()).ok_or(format!("{name} needs a value; {USAGE}"));
            match name.as_str() {
                "--version-id" => version_id = Some(text(value()?)?),
                "--request-payer" => request_payer = true,
                "--no-resume" => no_resume = true,
                other if access.take(other, value)? => {}
                other if other.starts_with("--") => return Err(format!("{other} is not known; {USAGE}")),
                _ => places.push(flag),
            }
            if let Some(value) = inline {
                return Err(format!("{name} takes no value, but is given {value:?}; {USAGE}"));
            }
        }
        let Ok([source, target]) = <[OsString; 2]>::try_from(places) else {
            return Err(USAGE.to_owned());
        };
        let places = Places::of(source, target)?;
        if version_id.is_some() && matches!(places, Places::Up { .. }) {
            return Err(format!("--version-id is of an object that is read, and none is; {USAGE}"));
        }
        Ok(Self { places, version_id, request_payer, no_resume, access })
    }
}

/// `--flag=value` is two words in one.
fn split(word: OsString) -> (OsString, Option<OsString>) {
    let bytes = word.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=').filter(|_| bytes.starts_with(b"--")) {
        Some(at) => (OsStr::from_bytes(&bytes[..at]).to_owned(), Some(OsStr::from_bytes(&bytes[at + 1..]).to_owned())),
        None => (word, None),
    }
}

/// Names for S3 and AWS are text; only paths need not be.
fn text(word: OsString) -> Result<String, String> {
    String::from_utf8(word.into_vec())
        .map_err(|error| format!("{:?} is not UTF-8; {USAGE}", OsStr::from_bytes(error.as_bytes())))
}

fn read_config(path: &Path) -> Result<TransferConfig, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("--config {}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    toml::from_str(&text).map_err(|error| wrong(&error.message()))
}
