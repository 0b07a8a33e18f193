//! [`Gauge`]: the progress of a download, and the clock of its measured part.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use s3xfer::Progress;
use tokio::time::Instant;

use super::Metric;

/// The longest time before the first byte of a program that reports its own time: the start of Python is not in its
/// figure.
const MOST_FOR_THE_START: Duration = Duration::from_secs(10);
/// The longest time from the last byte of such a program to the end of its process.
const MOST_FOR_THE_END: Duration = Duration::from_secs(1);

/// The progress of one download. Clones are of the same download.
///
/// For s3xfer it counts the bytes that were written. For another program it measures the disk space of the files in the
/// target's folder, whatever their names are. A program that reserves the disk space beforehand seems to be done at
/// once, and a program that buffers bytes in memory seems to be late.
///
/// Its clock runs while the download is measured: the start of a client, the writing of a program's files and the check
/// of the bytes are not in a download's time. For a program that tells its own time it begins with the first byte.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    source: Source,
    clock: Clock,
}

#[derive(Debug, Clone, Default)]
enum Source {
    /// No download has begun.
    #[default]
    Nothing,
    /// s3xfer counts its own bytes.
    Progress(Progress),
    /// The folder that another program writes to.
    Folder { path: PathBuf, object_bytes: u64, metric: Metric },
}

#[derive(Debug, Clone, Copy, Default)]
enum Clock {
    /// Nothing is measured yet.
    #[default]
    Stands,
    /// A program that reports its own time has started, and has written nothing yet.
    Starts(Instant),
    /// The measured part runs.
    Runs(Instant),
    /// The measured part is over.
    Ended,
}

/// A download in the middle of its measured part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Underway {
    /// A lower bound of the measured time so far.
    pub(crate) elapsed: Duration,
    /// As [`Gauge::fraction`].
    pub(crate) fraction: Option<f64>,
}

impl Gauge {
    /// For one download.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The share of the object's bytes that has arrived, from 0 to 1; `None` if it is unknown. For another program it
    /// reads the folder again.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        // Not under the lock: a folder takes a while to read.
        let source = self.state().source.clone();
        match source {
            Source::Nothing => None,
            Source::Progress(progress) => {
                let now = progress.snapshot();
                Some(share(now.written_bytes, now.total_bytes?))
            }
            Source::Folder { path, object_bytes, .. } => Some(share(allocated(&path)?, object_bytes)),
        }
    }

    /// The start of the measured part; `None` before it, after it, and where only [`underway`](Self::underway) knows
    /// it.
    pub(crate) fn began(&self) -> Option<Instant> {
        match self.state().clock {
            Clock::Runs(began) => Some(began),
            Clock::Stands | Clock::Starts(_) | Clock::Ended => None,
        }
    }

    /// Whether the measured part is over.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state().clock, Clock::Ended)
    }

    /// The present state of the download; `None` before its measured part and after it. For another program it reads
    /// the folder.
    pub(crate) fn underway(&self) -> Option<Underway> {
        let fraction = self.fraction();
        let mut state = self.state();
        let tells_its_time = matches!(state.source, Source::Folder { metric: Metric::Stdout, .. });
        if matches!(state.clock, Clock::Starts(_)) && fraction.is_some_and(|fraction| fraction > 0.0) {
            state.clock = Clock::Runs(Instant::now());
        }
        let (began, not_measured) = match state.clock {
            Clock::Stands | Clock::Ended => return None,
            Clock::Starts(began) => (began, MOST_FOR_THE_START),
            Clock::Runs(began) if tells_its_time && fraction == Some(1.0) => (began, MOST_FOR_THE_END),
            Clock::Runs(began) => (began, Duration::ZERO),
        };
        Some(Underway { elapsed: began.elapsed().saturating_sub(not_measured), fraction })
    }

    /// Counts the bytes of s3xfer, and starts the clock.
    pub(crate) fn watch_progress(&self) -> Progress {
        let progress = Progress::new();
        self.set(Source::Progress(progress.clone()), Clock::Runs(Instant::now()));
        progress
    }

    /// Watches the folder of `target`. The clock starts now or, if the program reports its own time, with the first
    /// byte.
    pub(crate) fn watch_folder(&self, target: &Path, object_bytes: u64, metric: Metric) {
        let path = target.parent().unwrap_or(Path::new("/")).to_owned();
        let now = Instant::now();
        let clock = match metric {
            Metric::Wall => Clock::Runs(now),
            Metric::Stdout => Clock::Starts(now),
        };
        self.set(Source::Folder { path, object_bytes, metric }, clock);
    }

    /// Stops the clock: the rest is not measured.
    pub(crate) fn end(&self) {
        self.state().clock = Clock::Ended;
    }

    fn set(&self, source: Source, clock: Clock) {
        *self.state() = State { source, clock };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn share(bytes: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { (bytes as f64 / of as f64).min(1.0) }
}

/// The disk space of the files in a folder and below it, in bytes. `None` if the folder cannot be read; a file that
/// vanishes meanwhile counts as 0.
fn allocated(folder: &Path) -> Option<u64> {
    let below = |entry: fs::DirEntry| match entry.metadata() {
        // Links are not followed: they may lead anywhere.
        Ok(data) if data.is_dir() => allocated(&entry.path()).unwrap_or(0),
        // POSIX leaves the unit open; Linux and macOS count in 512 bytes, whatever the file system's block is.
        Ok(data) => data.blocks() * 512,
        Err(_) => 0,
    };
    Some(fs::read_dir(folder).ok()?.flatten().map(below).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_as_full_as_its_files_whatever_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let gauge = Gauge::new();
        assert_eq!(gauge.fraction(), None);
        gauge.watch_folder(&folder.path().join("out"), 4 << 20, Metric::Wall);
        assert_eq!(gauge.fraction(), Some(0.0));
        fs::create_dir(folder.path().join("parts")).unwrap();
        // A hole takes no disk: parts are often written out of turn.
        let sparse = fs::File::create(folder.path().join("parts/out.part")).unwrap();
        sparse.set_len(4 << 20).unwrap();
        let before = gauge.fraction().unwrap();
        assert!(before < 0.1, "{before}");
        fs::write(folder.path().join("out.a1b2"), vec![1; 1 << 20]).unwrap();
        let quarter = gauge.fraction().unwrap();
        assert!((0.24..0.35).contains(&quarter), "{quarter}");
        fs::write(folder.path().join("more"), vec![1; 8 << 20]).unwrap();
        assert_eq!(gauge.fraction(), Some(1.0));
        drop(folder);
        assert_eq!(gauge.fraction(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_of_a_program_that_tells_its_time_runs_from_the_first_byte_to_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let (target, gauge) = (folder.path().join("out"), Gauge::new());
        let elapsed = || gauge.underway().map(|underway| underway.elapsed.as_secs());
        assert_eq!(elapsed(), None);
        gauge.watch_folder(&target, 1 << 20, Metric::Stdout);
        tokio::time::advance(Duration::from_secs(13)).await;
        assert_eq!((elapsed(), gauge.began()), (Some(3), None), "all but ten seconds of a silent program count");
        fs::write(&target, vec![1; 1 << 19]).unwrap();
        assert_eq!(elapsed(), Some(0));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!((elapsed(), gauge.began().is_some()), (Some(5), true));
        fs::write(&target, vec![1; 1 << 20]).unwrap();
        assert_eq!(elapsed(), Some(4), "the end of its process takes a while");
        gauge.end();
        assert_eq!((elapsed(), gauge.began(), gauge.has_ended()), (None, None, true));
        // Another program is measured as a whole.
        gauge.watch_folder(&target, 1 << 20, Metric::Wall);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(elapsed(), Some(2));
    }
}
