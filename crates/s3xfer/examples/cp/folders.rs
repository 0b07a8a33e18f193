//! `--recursive`: all that is below a folder or a prefix.

use std::ffi::OsString;
use std::path::Path;

use s3xfer::{BatchItem, BatchOutcome, BatchProgress, BatchReport, Client, ClientError, Globs, OnFailure, S3Uri};

use super::{Access, chain, say_line, split, terminal, text};

const USAGE: &str = "usage: cp --recursive SRC DST, of which one at least is s3://BUCKET/PREFIX, \
                     [--include GLOB] [--exclude GLOB] [--dry-run] [--request-payer] [--no-resume] \
                     [--config FILE.toml] [--endpoint-url URL] [--region R] [--profile P] [--no-sign-request]";

/// A copy of many objects: its two places, and how it goes.
pub(crate) struct Folders {
    access: Access,
    places: [OsString; 2],
    globs: Globs,
    dry_run: bool,
    request_payer: bool,
    resume: bool,
}

impl Folders {
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut words = words.into_iter();
        let (mut places, mut globs, mut access) = (Vec::new(), Globs::new(), Access::default());
        let (mut dry_run, mut request_payer, mut resume) = (false, false, true);
        while let Some(word) = words.next() {
            let (flag, mut inline) = split(word);
            let name = flag.to_string_lossy().into_owned();
            let mut value = || inline.take().or_else(|| words.next()).ok_or(format!("{name} needs a value; {USAGE}"));
            match name.as_str() {
                "--recursive" => {}
                "--include" => globs = globs.include(&text(value()?)?),
                "--exclude" => globs = globs.exclude(&text(value()?)?),
                "--dry-run" => dry_run = true,
                "--request-payer" => request_payer = true,
                "--no-resume" => resume = false,
                other if access.take(other, value)? => {}
                other if other.starts_with("--") => return Err(format!("{other} is not known; {USAGE}")),
                _ => places.push(flag),
            }
            if let Some(value) = inline {
                return Err(format!("{name} takes no value, but is given {value:?}; {USAGE}"));
            }
        }
        let places = <[OsString; 2]>::try_from(places).map_err(|_| USAGE.to_owned())?;
        if !places.iter().any(is_remote) {
            return Err(USAGE.to_owned());
        }
        Ok(Self { access, places, globs, dry_run, request_payer, resume })
    }

    pub(crate) async fn connect(&self) -> Result<Client, ClientError> {
        self.access.connect().await
    }

    /// Whether the same command goes on with the files that were begun.
    pub(crate) fn goes_on(&self) -> bool {
        self.resume && !self.places.iter().all(is_remote)
    }

    /// Copies, and returns a line about the result.
    pub(crate) async fn copy(self, client: &Client) -> Result<String, String> {
        let progress = BatchProgress::new();
        let shown = terminal::show(terminal::of_many(progress.clone()));
        let ended = self.run(client, progress).await;
        drop(shown);
        let report = ended?;
        match report.failures.first() {
            None => Ok(format!("{} objects, {} bytes", report.transferred, report.bytes)),
            Some(first) => Err(format!("{} have failed, the first: {}", report.failed, chain(first))),
        }
    }

    async fn run(self, client: &Client, progress: BatchProgress) -> Result<BatchReport, String> {
        let each = |item: &BatchItem| match &item.outcome {
            BatchOutcome::Failed(error) => say_line(&format!("failed: {}", chain(error))),
            BatchOutcome::WouldBeDone => say_line(&format!("would copy {}", item.name)),
            _ => {}
        };
        macro_rules! copied {
            ($batch:expr) => {{
                let batch = $batch.globs(self.globs).dry_run(self.dry_run).on_failure(OnFailure::GoOn);
                let batch = batch.progress(progress).on_each(each);
                let batch = if self.request_payer { batch.request_payer() } else { batch };
                batch.await.map_err(|error| chain(&error.error))
            }};
        }
        let [source, target] = &self.places;
        let uri = |place: &OsString| -> Result<S3Uri, String> {
            text(place.clone())?.parse().map_err(|error: s3xfer::S3UriError| error.to_string())
        };
        match (is_remote(source), is_remote(target)) {
            (true, false) => {
                let source = uri(source)?;
                copied!(client.download_prefix(source.bucket(), source.key(), Path::new(target)).resume(self.resume))
            }
            (false, _) => {
                let target = uri(target)?;
                copied!(client.upload_folder(Path::new(source), target.bucket(), target.key()).resume(self.resume))
            }
            (true, true) => {
                let (source, target) = (uri(source)?, uri(target)?);
                copied!(client.copy_prefix(source.bucket(), source.key(), target.bucket(), target.key()))
            }
        }
    }
}

fn is_remote(place: &OsString) -> bool {
    place.as_encoded_bytes().starts_with(b"s3://")
}
