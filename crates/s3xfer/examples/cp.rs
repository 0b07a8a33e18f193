//! Copies an object of S3 to a file, to standard output (`-`) or to nowhere (`/dev/null`).
//!
//! ```text
//! cargo run --release -p s3xfer --example cp -- s3://BUCKET/KEY PATH
//!     [--endpoint-url URL] [--config FILE.toml] [--no-sign-request]
//! ```
//!
//! Region and credentials come from where AWS's tools take them. `--config` is a file of [`TransferConfig`]'s parameters,
//! such as `s3tune` finds. A copy to a file that was interrupted goes on where it stopped when the command is given
//! again. Exit codes: 0 done, 1 the copy failed, 2 wrong usage; either way one line on standard error says why.

use std::error::Error;
use std::io::{IsTerminal, Write, stderr};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use s3xfer::{Client, Integrity, NotValidated, Progress, TransferConfig, TransferReport};

const USAGE: &str = "usage: cp s3://BUCKET/KEY PATH [--endpoint-url URL] [--config FILE.toml] [--no-sign-request]";

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

async fn run() -> ExitCode {
    let words = std::env::args_os().skip(1).map(|word| word.into_string());
    let arguments = match words.collect::<Result<Vec<_>, _>>().map_err(|word| format!("{word:?} is not UTF-8; {USAGE}"))
    {
        Ok(words) => Arguments::parse(words.into_iter()),
        Err(wrong) => Err(wrong),
    };
    let arguments = match arguments {
        Ok(arguments) => arguments,
        Err(wrong) => return say(&wrong, 2),
    };
    // Dropping the copy ends it: the parts that it has fetched are kept, no file appears under the target's name.
    tokio::select! {
        copied = copy(&arguments) => match copied {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => say(&format!("failed to download {}", chain(&*error)), 1),
        },
        _ = tokio::signal::ctrl_c() => match arguments.path.to_str() {
            Some("-" | "/dev/null") => say("interrupted", 1),
            _ => say("interrupted; give the same command again to go on", 1),
        },
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

async fn copy(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let client = Client::new(connect(arguments).await).with_config(arguments.config.clone());
    let progress = Progress::new();
    let download = client.download(&arguments.bucket, &arguments.key).progress(progress.clone());
    let shown = show(progress);
    let report = match arguments.path.to_str() {
        Some("-") => {
            let stdout = std::fs::File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
            download.to_writer(tokio::fs::File::from_std(stdout)).await
        }
        _ => download.to_file(&arguments.path).resume(true).await,
    };
    drop(shown);
    if stderr().is_terminal() {
        eprintln!("{}", summary(&report?));
    } else {
        report?;
    }
    Ok(())
}

/// As AWS's tools find it. Behind an endpoint, objects are addressed by path, and no region is needed.
async fn connect(arguments: &Arguments) -> aws_sdk_s3::Client {
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(url) = &arguments.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if arguments.no_sign_request {
        loader = loader.no_credentials();
    }
    let shared = loader.load().await;
    let endpoint = shared.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some();
    let mut config = aws_sdk_s3::config::Builder::from(&shared).force_path_style(endpoint);
    if endpoint && shared.region().is_none() {
        config = config.region(Region::from_static("us-east-1"));
    }
    aws_sdk_s3::Client::from_conf(config.build())
}

/// A line on a terminal, until what it gives is dropped.
fn show(progress: Progress) -> impl Drop {
    struct Shown(Option<tokio::task::JoinHandle<()>>);
    impl Drop for Shown {
        fn drop(&mut self) {
            if let Some(task) = self.0.take() {
                task.abort();
                eprint!("\r\x1b[K");
            }
        }
    }
    Shown(stderr().is_terminal().then(|| {
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let now = progress.snapshot();
                if let Some(total) = now.total_bytes {
                    let percent = now.written_bytes as f64 / total.max(1) as f64 * 100.0;
                    eprint!("\r\x1b[K{percent:5.1} % of {:.1} MiB", total as f64 / f64::from(1 << 20));
                    // A terminal that takes nothing is not the copy's trouble.
                    let _ = stderr().flush();
                }
            }
        })
    }))
}

fn summary(report: &TransferReport) -> String {
    let mib = f64::from(1 << 20);
    let checked = match report.integrity {
        Integrity::Validated(algorithm) => format!("{algorithm} validated"),
        Integrity::NotValidated(NotValidated::NoChecksum) => "the object has no checksum".to_owned(),
        other => format!("{other:?}"),
    };
    format!(
        "{:.1} MiB in {:.2} s, {:.1} MiB/s; {checked}",
        report.bytes as f64 / mib,
        report.elapsed.as_secs_f64(),
        report.bytes_per_second() / mib
    )
}

fn say(line: &str, code: u8) -> ExitCode {
    // One line, whatever keys and servers put into it; and where nobody takes it, the exit code still tells.
    let line: String = line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let _ = writeln!(stderr(), "cp: {line}");
    ExitCode::from(code)
}

struct Arguments {
    bucket: String,
    key: String,
    path: PathBuf,
    endpoint_url: Option<String>,
    config: TransferConfig,
    no_sign_request: bool,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut places, mut endpoint_url, mut config, mut no_sign_request) = (Vec::new(), None, None, false);
        while let Some(word) = words.next() {
            let (flag, mut inline) = match word.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag.to_owned(), Some(value.to_owned())),
                _ => (word, None),
            };
            let mut value = || inline.take().or_else(|| words.next()).ok_or(format!("{flag} needs a value; {USAGE}"));
            match flag.as_str() {
                "--endpoint-url" => endpoint_url = Some(value()?),
                "--config" => config = Some(read_config(&value()?)?),
                "--no-sign-request" => no_sign_request = true,
                other if other.starts_with("--") => return Err(format!("{other} is not known; {USAGE}")),
                _ => places.push(flag),
            }
            if let Some(value) = inline {
                return Err(format!("--no-sign-request takes no value, but is given {value:?}; {USAGE}"));
            }
        }
        let Ok([source, path]) = <[String; 2]>::try_from(places) else {
            return Err(USAGE.to_owned());
        };
        let address = source.strip_prefix("s3://").and_then(|address| address.split_once('/'));
        let Some((bucket, key)) = address.filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty()) else {
            return Err(format!("{source:?} is not of the form s3://BUCKET/KEY; {USAGE}"));
        };
        let (bucket, key, path) = (bucket.to_owned(), key.to_owned(), path.into());
        Ok(Self { bucket, key, path, endpoint_url, config: config.unwrap_or_default(), no_sign_request })
    }
}

fn read_config(path: &str) -> Result<TransferConfig, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("--config {path}: {error}"))?;
    toml::from_str(&text).map_err(|error| format!("--config {path}: {}", error.message()))
}
