//! One copy from S3 with a configuration that was found: what `s3tune cp` does.
//!
//! The engine is s3xfer, so the copy goes on where an earlier one of the same object stopped, appears under its name
//! whole or not at all, and is compared with the object's checksum. s3xfer's example `cp` does the same from its own
//! folder; what both show, and how both treat standard output, is one file each.

// Run before `main` on behalf of the whole program: it looks whether standard output is open.
#[path = "../../s3xfer/examples/cp/stdout.rs"]
mod stdout;
#[path = "../../s3xfer/examples/cp/terminal.rs"]
mod terminal;

use std::ffi::OsStr;
use std::fs;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};

use s3xfer::{Client, Progress, S3Uri, TransferConfig};

use crate::failure::{Failure, chain};
use crate::object::Connection;
use crate::show::say;

/// Source, target and settings of a copy.
#[derive(Debug, Clone)]
pub struct Copy {
    /// The object.
    pub source: S3Uri,
    /// A file, `-` for standard output, or `/dev/null`.
    pub target: PathBuf,
    /// Version of the object; the newest where none is said.
    pub version_id: Option<String>,
    /// How.
    pub config: TransferConfig,
    /// Whether what is fetched is kept for the next attempt, and gone on with.
    pub resume: bool,
}

/// The meaning of SRC and DST in `s3tune cp SRC DST`.
///
/// # Errors
///
/// [`Failure::Usage`] for what the engine cannot do yet, and for a source that is no object.
pub fn places(source: &OsStr, target: &OsStr) -> Result<(S3Uri, PathBuf), Failure> {
    let remote = |place: &OsStr| place.as_encoded_bytes().starts_with(b"s3://");
    let shown = source.to_string_lossy();
    match (remote(source), remote(target)) {
        (true, false) => {}
        (false, true) => return Err(Failure::usage(format!("{shown}: uploads are not there yet, only downloads"))),
        (true, true) => return Err(Failure::usage(format!("{shown}: copies from S3 to S3 are not there yet"))),
        (false, false) => return Err(not_an_object(source)),
    }
    let text = source.to_str().ok_or_else(|| Failure::usage(format!("{source:?} is not UTF-8, as keys are")))?;
    match text.parse::<S3Uri>() {
        Ok(source) if !source.key().is_empty() => Ok((source, target.into())),
        _ => Err(not_an_object(source)),
    }
}

fn not_an_object(source: &OsStr) -> Failure {
    Failure::usage(format!("{source:?} is not of the form s3://BUCKET/KEY"))
}

/// Reads a file of [`TransferConfig`]'s parameters, such as `best.toml`.
///
/// # Errors
///
/// [`Failure::Usage`] with the file, and the line and parameter where there is one.
pub fn read_config(path: &Path) -> Result<TransferConfig, Failure> {
    let wrong = |what: String| Failure::usage(format!("--config {}: {what}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(format!("it cannot be read: {error}")))?;
    toml::from_str(&text).map_err(|error| {
        // An error of the whole file, such as a value out of range, names its parameter itself.
        let place = error.span().filter(|span| span.start > 0).and_then(|span| place(&text, span.start));
        wrong(format!("{}{}", place.unwrap_or_default(), error.message()))
    })
}

/// The line that holds this byte, and the parameter that it sets.
fn place(text: &str, at: usize) -> Option<String> {
    let before = text.get(..at)?;
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1)?;
    let parameter = line.split_once('=').map_or(String::new(), |(name, _)| format!(", {}", name.trim()));
    Some(format!("line {number}{parameter}: "))
}

/// Copies the object. A terminal shows how far it is, and then how fast it went.
///
/// Cancel by dropping: what is fetched is kept, unless [`Copy::resume`] is off, and no file appears.
///
/// # Errors
///
/// [`Failure::Work`]: the download failed, or standard output is closed or does not keep the bytes.
pub async fn copy(connection: &Connection, what: &Copy) -> Result<(), Failure> {
    let source = &what.source;
    let failed = |error: &dyn std::error::Error| Failure::Work(format!("failed to download {}", chain(error)));
    let lost = |how: &str| Failure::Work(format!("failed to download {source}: standard output {how}"));
    if stdout::is_closed(&what.target) {
        return Err(lost("is closed"));
    }
    let client = Client::new(connection.client()).with_config(what.config.clone());
    let progress = Progress::new();
    let mut download = client.download(source.bucket(), source.key()).progress(progress.clone());
    if let Some(version_id) = &what.version_id {
        download = download.version_id(version_id);
    }
    let shown = terminal::show(progress);
    let report = if what.target == Path::new("-") {
        let mut stdout = stdout::duplicate().map_err(|error| lost(&format!("cannot be used: {error}")))?;
        let report = download.to_writer(&mut stdout).await.map_err(|error| failed(&error))?;
        stdout::close(stdout).await.map_err(|error| lost(&format!("did not keep the bytes: {error}")))?;
        report
    } else {
        download.to_file(&what.target).resume(what.resume).await.map_err(|error| failed(&error))?
    };
    drop(shown);
    if stderr().is_terminal() {
        say(&terminal::summary(&report));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage<T: std::fmt::Debug>(ended: Result<T, Failure>) -> String {
        match ended {
            Err(failure @ Failure::Usage(_)) => failure.line(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_download_is_an_object_and_a_place_outside_of_s3() {
        let arn = "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/mine/a/b";
        for (source, key) in [("s3://b/k", "k"), ("s3://b/a/ b", "a/ b"), (arn, "a/b")] {
            let (source, target) = places(OsStr::new(source), OsStr::new("-")).unwrap();
            assert_eq!((source.key(), target), (key, PathBuf::from("-")));
        }
        for (source, target, says) in [
            ("x", "s3://b/k", "uploads are not there yet"),
            ("-", "s3://b/k", "uploads are not there yet"),
            ("s3://b/k", "s3://b/l", "from S3 to S3 are not there yet"),
            ("b/k", "x", "s3://BUCKET/KEY"),
            ("s3://b", "x", "s3://BUCKET/KEY"),
            ("s3://b/", "x", "s3://BUCKET/KEY"),
            ("s3:///k", "x", "s3://BUCKET/KEY"),
        ] {
            let line = usage(places(OsStr::new(source), OsStr::new(target)));
            assert!(line.contains(says) && line.contains(source), "{line}");
        }
    }

    #[test]
    fn a_wrong_configuration_is_told_with_file_line_and_parameter() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wrong.toml");
        for (text, says) in [
            ("\nmax_concurrency = \"many\"\n", "line 2, max_concurrency: invalid type"),
            ("max_io_queue = 3\nmax_concurrency = -1\n", "line 2, max_concurrency: invalid value"),
            ("max_concurrency = 0\n", "max_concurrency is 0"),
            ("part_size = 5\n", "unknown field `part_size`"),
            ("max_io_queue = 3\npart_size = 5\n", "line 2, part_size: unknown field"),
            ("max_io_queue = 3\nmax_concurrency\n", "line 2"),
            ("max_io_queue = 3\nmax_io_queue = 3\n", "line 2, max_io_queue: duplicate key"),
        ] {
            fs::write(&file, text).unwrap();
            let line = usage(read_config(&file));
            assert!(line.contains(says) && line.contains("wrong.toml: "), "{text}: {line}");
        }
        fs::write(&file, b"max_io_queue = 3 # \xff\n").unwrap();
        assert!(usage(read_config(&file)).contains("cannot be read"));
        assert!(usage(read_config(&folder.path().join("gone.toml"))).contains("gone.toml: it cannot be read: No such"));
    }
}
