//! One copy from, to or within S3, with a configuration that a run found: the command `s3tune cp`.
//!
//! The engine is s3xfer. A transfer therefore continues an interrupted transfer of the same object or file. A target
//! appears under its name whole or not at all, and its bytes are compared with the object's checksum. s3xfer's example
//! `cp` does the same from its own folder; `cp/stdout.rs` and `cp/terminal.rs` are links to that example's files, so
//! that a package of this crate holds them.

mod pace;
// Runs before `main` for the whole program: it checks whether standard output is open.
mod stdout;
#[expect(dead_code, reason = "the live line is the example's: this program has its own")]
mod terminal;

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use s3xfer::{
    Client, Download, DownloadUrl, DownloadUrlError, Progress, S3Uri, TransferConfig, TransferError, TransferMemory,
    TransferReport, UploadSource,
};

use crate::failure::{Failure, chain};
use crate::object::Connection;
use crate::show::{Show, plain};
use crate::size::ByteSize;

/// Source and target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Places {
    /// An object into a file, standard output (`-`) or nowhere (`/dev/null`).
    Down {
        /// The object.
        source: S3Uri,
        /// The file.
        path: PathBuf,
    },
    /// The object behind a URL, presigned or plain, into a file, standard output (`-`) or nowhere (`/dev/null`).
    Fetch {
        /// The URL.
        source: DownloadUrl,
        /// The file.
        path: PathBuf,
    },
    /// A file or standard input (`-`) into an object.
    Up {
        /// The file.
        path: PathBuf,
        /// The object.
        target: S3Uri,
    },
    /// An object into another one.
    Across {
        /// The source object.
        source: S3Uri,
        /// The target object.
        target: S3Uri,
    },
}

impl Places {
    /// Whether the same command can continue this copy after an interruption.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        let is_file = |path: &Path| !["-", "/dev/null"].iter().any(|place| path == Path::new(place));
        matches!(self, Self::Down { path, .. } | Self::Fetch { path, .. } | Self::Up { path, .. } if is_file(path))
    }

    fn verb(&self) -> &'static str {
        match self {
            Self::Down { .. } | Self::Fetch { .. } => "download",
            Self::Up { .. } => "upload",
            Self::Across { .. } => "copy",
        }
    }
}

/// Source, target and settings of a copy.
#[derive(Debug, Clone)]
pub struct Copy {
    /// Source and target.
    pub places: Places,
    /// Version of the object; the newest if `None`.
    pub version_id: Option<String>,
    /// Its configuration.
    pub config: TransferConfig,
    /// Whether transferred bytes are kept for the next attempt, which continues from them.
    pub resume: bool,
    /// Whether the requester pays.
    pub request_payer: bool,
    /// Whether an upload stores the file's modification time with the object, and a download sets it on the file.
    pub keep_times: bool,
}

/// The meaning of SRC and DST in `s3tune cp SRC DST`.
///
/// # Errors
///
/// [`Failure::Usage`] if neither is in S3, or if an S3 address names no object. A target that ends with a slash, or is
/// a folder, takes the source's name.
pub fn places(source: &OsStr, target: &OsStr) -> Result<Places, Failure> {
    let remote = |place: &OsStr| place.as_encoded_bytes().starts_with(b"s3://");
    let bytes = source.as_encoded_bytes();
    if [&b"http://"[..], b"https://"].iter().any(|scheme| bytes.starts_with(scheme)) {
        if remote(target) {
            return Err(Failure::usage("a URL can only be downloaded into a file; upload the file in a second step"));
        }
        // Neither the error nor anything else repeats the text: its query may be a secret.
        let source = source.to_str().ok_or_else(|| Failure::usage("SRC is not UTF-8, as URLs are"))?;
        let source: DownloadUrl =
            source.parse().map_err(|error: DownloadUrlError| Failure::usage(format!("SRC: {error}")))?;
        let shown = source.to_string();
        let path = shown.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
        return Ok(Places::Fetch { path: file(target, path)?, source });
    }
    Ok(match (remote(source), remote(target)) {
        (true, false) => {
            let source = object(text(source)?)?;
            Places::Down { path: file(target, source.key())?, source }
        }
        (false, true) => {
            let name = Path::new(source).file_name().filter(|name| *name != "-");
            Places::Up { path: source.into(), target: object(&named(text(target)?, name)?)? }
        }
        (true, true) => {
            let source = object(text(source)?)?;
            let target = object(&named(text(target)?, Path::new(source.key()).file_name())?)?;
            Places::Across { source, target }
        }
        (false, false) => return Err(not_an_object(source)),
    })
}

fn text(place: &OsStr) -> Result<&str, Failure> {
    place.to_str().ok_or_else(|| Failure::usage(format!("{place:?} is not UTF-8, as keys are")))
}

fn object(place: &str) -> Result<S3Uri, Failure> {
    match place.parse::<S3Uri>() {
        Ok(object) if !object.key().is_empty() => Ok(object),
        _ => Err(not_an_object(OsStr::new(place))),
    }
}

/// The file that a local target means: the target itself or, for a folder, the file in it with the last part of the
/// source's `name`.
fn file(target: &OsStr, name: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(target);
    let is_folder = target.as_encoded_bytes().ends_with(b"/") || (target != "-" && path.is_dir());
    if !is_folder {
        return Ok(path.to_owned());
    }
    match name.rsplit('/').next() {
        None | Some("" | "." | "..") => {
            Err(Failure::usage(format!("{target:?} is a folder, and the source has no name to give a file in it")))
        }
        Some(name) => Ok(path.join(name)),
    }
}

/// A target that ends with a slash, with the source's name behind it.
fn named(target: &str, name: Option<&OsStr>) -> Result<String, Failure> {
    let is_bucket = !target["s3://".len()..].contains('/');
    match name {
        _ if !is_bucket && !target.ends_with('/') => Ok(target.to_owned()),
        Some(name) => Ok(format!("{target}{}{}", if is_bucket { "/" } else { "" }, text(name)?)),
        None => Err(Failure::usage(format!("{target:?} names no object, and the source has no name to give it"))),
    }
}

fn not_an_object(source: &OsStr) -> Failure {
    Failure::usage(format!("{source:?} is not of the form s3://BUCKET/KEY"))
}

/// Reads a file of [`TransferConfig`]'s parameters, such as `best.toml`.
///
/// # Errors
///
/// [`Failure::Usage`] with the file and, if known, the line and the parameter.
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

/// A client of `connection` for the copy.
#[must_use]
pub fn client(connection: &Connection, what: &Copy) -> Client {
    Client::new(connection.client()).with_config(what.config.clone())
}

/// The same client with the findings of earlier copies, which the file holds.
///
/// # Errors
///
/// [`Failure::Usage`]: the file is not a memory of transfers, or cannot be read.
pub fn remembering(client: Client, file: Option<&Path>) -> Result<Client, Failure> {
    let memory = file.map(TransferMemory::load).transpose();
    let memory = memory.map_err(|error| Failure::usage(format!("--memory {error}")))?;
    Ok(match memory {
        Some(memory) => client.with_memory(memory),
        None => client,
    })
}

/// Keeps the findings of the client's copies in the file.
///
/// # Errors
///
/// [`Failure::Work`]: the file cannot be written. The copies are complete nevertheless.
pub fn remember(client: &Client, file: Option<&Path>) -> Result<(), Failure> {
    let saved = file.map_or(Ok(()), |file| client.memory().save(file));
    saved.map_err(|error| Failure::Work(format!("copied, but failed to keep the findings: {error}")))
}

/// Describes the copy in words, without copying. The size of an object comes from a request for its first byte.
///
/// # Errors
///
/// [`Failure::Work`]: there is no such object or file, or it cannot be read.
pub async fn plan(client: &Client, what: &Copy) -> Result<String, Failure> {
    let failed = |error: TransferError| Failure::Work(format!("failed to {} {}", what.places.verb(), chain(&error)));
    let asked = |download: Download| async move {
        match with_settings(download, what).range(..1).discard().await {
            Ok(report) => Ok(report.object_bytes),
            Err(TransferError::NoSuchRange { object_bytes: Some(0), .. }) => Ok(0),
            Err(error) => Err(failed(error)),
        }
    };
    let shown = |path: &Path| path.display().to_string();
    let (source, bytes, target) = match &what.places {
        Places::Down { source, path } => {
            let bytes = asked(client.download(source.bucket(), source.key())).await?;
            (source.to_string(), Some(bytes), shown(path))
        }
        Places::Fetch { source, path } => {
            let bytes = asked(client.download_url(source)).await?;
            (source.to_string(), Some(bytes), shown(path))
        }
        Places::Up { path, target } if path == Path::new("-") => {
            ("standard input".to_owned(), None, target.to_string())
        }
        Places::Up { path, target } => {
            let found = fs::metadata(path)
                .map_err(|error| Failure::Work(format!("failed to upload {}: {error}", path.display())))?;
            (shown(path), found.is_file().then_some(found.len()), target.to_string())
        }
        Places::Across { source, target } => {
            let bytes = asked(client.download(source.bucket(), source.key())).await?;
            (source.to_string(), Some(bytes), target.to_string())
        }
    };
    let size = bytes.map_or_else(String::new, |bytes| format!(", {}", ByteSize(bytes)));
    Ok(plain(&format!("would {} {source} to {target}{size}", what.places.verb())))
}

/// Copies the object. A terminal shows the progress, and the throughput at the end; without a terminal, a copy of ten
/// seconds or more writes both as plain lines.
///
/// Cancel by dropping: transferred bytes are kept, unless [`Copy::resume`] is off, and nothing appears under the
/// target's name. An upload that is not kept is aborted in the background; [`Client::settled`] waits for the abort.
///
/// # Errors
///
/// [`Failure::Work`]: the transfer failed, or standard output is closed or does not keep the bytes.
pub async fn copy(client: &Client, what: &Copy, show: &Show) -> Result<(), Failure> {
    let failed = |error: TransferError| Failure::Work(format!("failed to {} {}", what.places.verb(), chain(&error)));
    let (progress, began) = (Progress::new(), Instant::now());
    let shown = pace::live(show, progress.clone());
    let report = match &what.places {
        Places::Down { source, path } => {
            let download = client.download(source.bucket(), source.key());
            self::download(download.progress(progress), what, (source, path)).await?
        }
        Places::Fetch { source, path } => {
            let download = client.download_url(source);
            self::download(download.progress(progress), what, (source, path)).await?
        }
        Places::Up { path, target } => {
            let from = match path == Path::new("-") {
                true => {
                    let unreadable =
                        |error| Failure::Work(format!("failed to upload {target}: standard input: {error}"));
                    UploadSource::reader(stdout::input().map_err(unreadable)?)
                }
                false => UploadSource::file(path),
            };
            let upload = client.upload(from, target.bucket(), target.key()).resume(what.resume).progress(progress);
            let upload = upload.keep_time(what.keep_times);
            let upload = if what.request_payer { upload.request_payer() } else { upload };
            upload.await.map_err(failed)?
        }
        Places::Across { source, target } => {
            let copy = client.copy(source.bucket(), source.key(), target.bucket(), target.key()).progress(progress);
            let copy = if what.request_payer { copy.request_payer() } else { copy };
            match &what.version_id {
                Some(version_id) => copy.version_id(version_id).await.map_err(failed)?,
                None => copy.await.map_err(failed)?,
            }
        }
    };
    drop(shown);
    if pace::has_summary(show, began.elapsed()) {
        let mark = if show.is_live() { "" } else { "s3tune: " };
        show.line(format!("{mark}{}", terminal::summary(&report)));
    }
    Ok(())
}

/// The download of the copy's version, at the cost of its payer.
fn with_settings(mut download: Download, what: &Copy) -> Download {
    if let Some(version_id) = &what.version_id {
        download = download.version_id(version_id);
    }
    if what.request_payer { download.request_payer() } else { download }
}

async fn download(
    download: Download,
    what: &Copy,
    (source, path): (&dyn Display, &Path),
) -> Result<TransferReport, Failure> {
    let failed = |error: TransferError| Failure::Work(format!("failed to download {}", chain(&error)));
    let lost = |how: &str| Failure::Work(format!("failed to download {source}: standard output {how}"));
    if stdout::is_closed(path) {
        return Err(lost("is closed"));
    }
    let download = with_settings(download, what);
    if path != Path::new("-") {
        return download.to_file(path).resume(what.resume).keep_time(what.keep_times).await.map_err(failed);
    }
    let mut stdout = stdout::duplicate().map_err(|error| lost(&format!("cannot be used: {error}")))?;
    let report = download.to_writer(&mut stdout).await.map_err(failed)?;
    stdout::close(stdout).await.map_err(|error| lost(&format!("did not keep the bytes: {error}")))?;
    Ok(report)
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
    fn one_place_at_least_is_an_object() {
        let arn = "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/mine/a/b";
        for (source, key) in [("s3://b/k", "k"), ("s3://b/a/ b", "a/ b"), (arn, "a/b")] {
            match places(OsStr::new(source), OsStr::new("-")).unwrap() {
                Places::Down { source, path } => assert_eq!((source.key(), path), (key, PathBuf::from("-"))),
                other => panic!("{other:?}"),
            }
        }
        for (source, target, key) in [
            ("a/x", "s3://b/k", "k"),
            ("-", "s3://b/k", "k"),
            ("a/x", "s3://b", "x"),
            ("a/x", "s3://b/", "x"),
            ("a/x", "s3://b/c/", "c/x"),
            ("s3://b/k", "s3://b/l", "l"),
            ("s3://b/a/k", "s3://c/d/", "d/k"),
        ] {
            match places(OsStr::new(source), OsStr::new(target)).unwrap() {
                Places::Up { target, .. } | Places::Across { target, .. } => assert_eq!(target.key(), key),
                other => panic!("{other:?}"),
            }
        }
        assert!(usage(places(OsStr::new("-"), OsStr::new("s3://b/"))).contains("no name to give it"));
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().to_str().unwrap();
        for (source, target, file) in [
            ("s3://b/a/k", "new/", "new/k"),
            ("s3://b/a/k", inside, &*format!("{inside}/k")),
            ("https://h/a/k?secret", "new/", "new/k"),
            ("s3://b/a/k", "new", "new"),
            ("s3://b/a/..", "new", "new"),
        ] {
            match places(OsStr::new(source), OsStr::new(target)).unwrap() {
                Places::Down { path, .. } | Places::Fetch { path, .. } => assert_eq!(path, Path::new(file)),
                other => panic!("{other:?}"),
            }
        }
        for source in ["s3://b/a/", "s3://b/a/..", "https://h/a/"] {
            let line = usage(places(OsStr::new(source), OsStr::new("new/")));
            assert!(line.contains("no name to give a file"), "{line}");
        }
        match places(OsStr::new("https://h/a?secret"), OsStr::new("x")).unwrap() {
            Places::Fetch { source, path } => {
                assert_eq!((source.to_string().as_str(), path), ("https://h/a", "x".into()))
            }
            other => panic!("{other:?}"),
        }
        for (source, target) in
            [("https://h/a b?secret", "x"), ("https://h/a?secret", "s3://b/k"), ("http://?secret", "x")]
        {
            let line = usage(places(OsStr::new(source), OsStr::new(target)));
            assert!(!line.contains("secret"), "{line}");
        }
        for (source, target, says) in [
            ("s3://b", "s3://b/l", "s3://BUCKET/KEY"),
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
