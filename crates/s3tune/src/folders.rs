//! Whole folders to, from and within S3: the commands `s3tune cp --recursive` and `s3tune sync`.
//!
//! The engine is s3xfer. Each file or object appears whole or not at all, even if the command is interrupted.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Instant;

use s3xfer::{
    BatchAction, BatchItem, BatchOutcome, BatchProgress, BatchReport, Client, Compare, Globs, OnFailure, S3Uri,
    Symlinks,
};

use crate::failure::{Failure, chain};
use crate::show::Show;

mod pace;

use pace::{Pace, live, size, summary};

/// One side of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder on this machine.
    Folder(PathBuf),
    /// A bucket and the prefix in it.
    Prefix(S3Uri),
}

/// A copy of many objects: its two places and its settings.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The source.
    pub source: Place,
    /// The target.
    pub target: Place,
    /// The patterns that select names.
    pub globs: Globs,
    /// The rule by which a sync skips objects that the target already has.
    pub sync: Option<Compare>,
    /// Whether objects and files that the source lacks are deleted.
    pub delete: bool,
    /// Whether the copy is only planned.
    pub dry_run: bool,
    /// Whether the first failure ends the copy.
    pub fail_fast: bool,
    /// Whether modification times are kept.
    pub keep_times: bool,
    /// Whether symbolic links are followed.
    pub follow_symlinks: bool,
    /// Whether all names are checked before the first transfer.
    pub check_names_first: bool,
    /// Whether interrupted downloads and uploads are continued.
    pub resume: bool,
    /// Whether the requester pays.
    pub request_payer: bool,
    /// The limit on objects in transfer at once.
    pub objects_at_once: Option<usize>,
}

/// The number of failures that get a line each; the rest are only counted.
const MOST_LINES: u64 = 100;

/// The meaning of SRC and DST where whole folders are copied.
///
/// # Errors
///
/// [`Failure::Usage`] if neither is in S3, or if one does not have the form of a folder.
pub fn places(source: &OsStr, target: &OsStr) -> Result<(Place, Place), Failure> {
    let place = |place: &OsStr| {
        if !place.as_encoded_bytes().starts_with(b"s3://") {
            return match place.to_str() {
                Some("-" | "/dev/null" | "/dev/stdout") => {
                    Err(Failure::usage(format!("{place:?} is not a folder; copies of whole folders need one")))
                }
                _ => Ok(Place::Folder(place.into())),
            };
        }
        let text = place.to_str().ok_or_else(|| Failure::usage(format!("{place:?} is not UTF-8, as keys are")))?;
        let uri = text.parse::<S3Uri>().map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Place::Prefix(uri))
    };
    match (place(source)?, place(target)?) {
        (Place::Folder(_), Place::Folder(_)) => {
            Err(Failure::usage(format!("neither {source:?} nor {target:?} is of the form s3://BUCKET/PREFIX")))
        }
        places => Ok(places),
    }
}

/// Copies the objects. Standard error shows the progress, standard output the result, or the plan in a dry run.
///
/// Cancel by dropping: nothing half-made remains.
///
/// # Errors
///
/// [`Failure::Usage`] for a flag that has no meaning for this direction. [`Failure::Work`] with the cause, or with the
/// number of failed objects, each of which has written its own line.
pub async fn copy(client: &Client, what: &Folders, show: &Show) -> Result<BatchReport, Failure> {
    let progress = BatchProgress::new();
    let shown = live(show, progress.clone());
    let each = {
        let (show, what, mut failed) = (show.clone(), what.clone(), 0);
        move |item: &BatchItem| tell(&show, &what, item, &mut failed)
    };
    let began = Instant::now();
    let ended = run(client, what, progress, each).await?;
    drop(shown);
    show.finish();
    let report = ended.map_err(|error| {
        let done = Pace::new(&error.report, began.elapsed());
        Failure::Work(format!("{}{done}", chain(&error.error)))
    })?;
    pace::print(&summary(&report))?;
    match report.failed {
        0 => Ok(report),
        1 => Err(Failure::Work(format!(
            "1 has failed: {}",
            report.failures.first().map_or_else(String::new, |e| chain(e))
        ))),
        failed => Err(Failure::Work(format!(
            "{failed} have failed, the first: {}",
            report.failures.first().map_or_else(String::new, |error| chain(error))
        ))),
    }
}

type Ended = Result<BatchReport, s3xfer::BatchError>;

async fn run(
    client: &Client,
    what: &Folders,
    progress: BatchProgress,
    each: impl FnMut(&BatchItem) + Send + 'static,
) -> Result<Ended, Failure> {
    let on_failure = if what.fail_fast { OnFailure::Stop } else { OnFailure::GoOn };
    /// The settings that all three have.
    macro_rules! set {
        ($batch:expr) => {{
            let mut batch = $batch
                .globs(what.globs.clone())
                .delete(what.delete)
                .dry_run(what.dry_run)
                .on_failure(on_failure)
                .progress(progress)
                .on_each(each);
            if let Some(rule) = what.sync {
                batch = batch.sync(rule);
            }
            if what.request_payer {
                batch = batch.request_payer();
            }
            if let Some(objects) = what.objects_at_once {
                batch = batch.objects_at_once(objects);
            }
            batch
        }};
    }
    let only = |given: bool, flag: &str, direction: &str| match given {
        true => Err(Failure::usage(format!("{flag} is for {direction} only; leave it out"))),
        false => Ok(()),
    };
    if !matches!((&what.source, &what.target), (Place::Prefix(_), Place::Folder(_))) {
        only(what.check_names_first, "--check-names-first", "downloads")?;
    }
    if !matches!(&what.source, Place::Folder(_)) {
        only(what.follow_symlinks, "--follow-symlinks", "uploads")?;
    }
    Ok(match (&what.source, &what.target) {
        (Place::Prefix(source), Place::Folder(target)) => {
            set!(client.download_prefix(source.bucket(), source.key(), target))
                .keep_times(what.keep_times)
                .resume(what.resume)
                .check_names_first(what.check_names_first)
                .await
        }
        (Place::Folder(source), Place::Prefix(target)) => {
            let links = if what.follow_symlinks { Symlinks::Follow } else { Symlinks::Skip };
            set!(client.upload_folder(source, target.bucket(), target.key()))
                .keep_times(what.keep_times)
                .resume(what.resume)
                .symlinks(links)
                .await
        }
        (Place::Prefix(source), Place::Prefix(target)) => {
            only(what.keep_times, "--keep-times", "downloads and uploads")?;
            set!(client.copy_prefix(source.bucket(), source.key(), target.bucket(), target.key())).await
        }
        (Place::Folder(_), Place::Folder(_)) => return Err(Failure::usage("neither side is in S3")),
    })
}

/// A line for each failure and, in a dry run, for each step that would be taken.
fn tell(show: &Show, what: &Folders, item: &BatchItem, failed: &mut u64) {
    match &item.outcome {
        BatchOutcome::Failed(error) => {
            *failed += 1;
            match *failed {
                ..=MOST_LINES => show.line(one_line(&format!("s3tune: failed: {}", chain(error)))),
                count if count == MOST_LINES + 1 => show.line("s3tune: failed: more objects, which are only counted"),
                _ => {}
            }
        }
        BatchOutcome::WouldBeDone => {
            let (verb, place) = match (item.action, &what.source, &what.target) {
                (BatchAction::Delete, _, target) => ("delete", target),
                (BatchAction::MakeFolder, source, _) => ("make the folder of", source),
                (_, source @ Place::Folder(_), _) => ("upload", source),
                (_, source, Place::Folder(_)) => ("download", source),
                (_, source, _) => ("copy", source),
            };
            let line = format!("would {verb} {}, {}", at(place, &item.name), size(item.bytes));
            // A closed standard output does not stop the copy; the summary reports it.
            let _ = pace::print(&one_line(&line));
        }
        _ => {}
    }
}

/// A name below a place.
fn at(place: &Place, name: &str) -> String {
    match place {
        Place::Folder(folder) => folder.join(name).display().to_string(),
        Place::Prefix(uri) if uri.key().is_empty() || uri.key().ends_with('/') => format!("{uri}{name}"),
        Place::Prefix(uri) => format!("{uri}/{name}"),
    }
}

/// A path or a key for display, with control characters replaced.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(source: &str, target: &str) -> String {
        match places(OsStr::new(source), OsStr::new(target)) {
            Err(Failure::Usage(line)) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_side_at_least_is_in_s3() {
        let prefix = |text: &str| Place::Prefix(text.parse().unwrap());
        let of = |source, target| places(OsStr::new(source), OsStr::new(target)).unwrap();
        assert_eq!(of("s3://b/p", "x"), (prefix("s3://b/p"), Place::Folder("x".into())));
        assert_eq!(of("x", "s3://b"), (Place::Folder("x".into()), prefix("s3://b")));
        assert_eq!(of("s3://b/p/", "s3://c/"), (prefix("s3://b/p/"), prefix("s3://c/")));
        assert!(usage("x", "y").contains("s3://BUCKET/PREFIX"));
        assert!(usage("s3://b/p", "-").contains("not a folder"));
        assert!(usage("s3:///p", "x").contains("names no bucket"));
    }

    #[test]
    fn names_are_shown_where_they_are() {
        assert_eq!(at(&Place::Prefix("s3://b/p".parse().unwrap()), "a/b"), "s3://b/p/a/b");
        assert_eq!(at(&Place::Prefix("s3://b/p/".parse().unwrap()), "a"), "s3://b/p/a");
        assert_eq!(at(&Place::Prefix("s3://b".parse().unwrap()), "a"), "s3://b/a");
        assert_eq!(at(&Place::Folder("x".into()), "a"), "x/a");
        assert_eq!(one_line("a\nb\u{1b}c"), "a b c");
    }
}
