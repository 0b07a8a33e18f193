//! [`Progress`]: the progress of running transfers, readable from anywhere.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A handle to the counters of one transfer, or of several together. Give clones to
/// [`Download::progress`](crate::Download::progress) and read another clone at any time.
///
/// It counts bytes that have been *written*, so it is never ahead of the disk. It does not go back while a download
/// runs, because a retry resumes at the byte where the attempt before it stopped. Downloads that share a `Progress` add
/// up.
///
/// A successful download stays in both figures. A download that fails or is dropped takes its share of both back,
/// because its bytes are not there. So the figures of the others remain, and a download that is retried or continued
/// ([`resume`](crate::FileDownload::resume)) counts once.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    counters: Arc<Mutex<Counters>>,
}

#[derive(Debug, Default)]
struct Counters {
    /// Downloads whose sizes are known.
    told: u64,
    total: u64,
    written: u64,
}

/// [`Progress`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProgressSnapshot {
    /// Bytes of all downloads with a known size; `None` until a first answer has given one. It grows when another
    /// download learns its size.
    pub total_bytes: Option<u64>,
    /// Bytes written so far, including those kept from an earlier download; at most the total.
    pub written_bytes: u64,
}

/// One download's share of a [`Progress`]. Clones are of the same download.
#[derive(Debug, Clone)]
pub(crate) struct Share {
    progress: Progress,
    /// Locked after the progress's counters, never before.
    mine: Arc<Mutex<Mine>>,
}

#[derive(Debug, Default)]
struct Mine {
    total: Option<u64>,
    written: u64,
    /// Taken back: further work of the download's tasks is not counted.
    gone: bool,
}

/// A download that is not done. Its share is taken back when this is dropped, unless it was [done](Self::done).
#[derive(Debug)]
pub(crate) struct Undone {
    share: Share,
    done: bool,
}

impl Progress {
    /// Counters at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> ProgressSnapshot {
        let Counters { told, total, written } = *lock(&self.counters);
        ProgressSnapshot { total_bytes: (told > 0).then_some(total), written_bytes: written }
    }
}

impl From<Progress> for Share {
    /// The share of a new download.
    fn from(progress: Progress) -> Self {
        Self { progress, mine: Arc::default() }
    }
}

impl Share {
    pub(crate) fn set_total(&self, bytes: u64) {
        let (mut all, mut mine) = (lock(&self.progress.counters), lock(&self.mine));
        if !mine.gone {
            match mine.total.replace(bytes) {
                Some(before) => all.total = all.total.saturating_sub(before),
                None => all.told += 1,
            }
            all.total = all.total.saturating_add(bytes);
        }
    }

    pub(crate) fn add_written(&self, bytes: u64) {
        let (mut all, mut mine) = (lock(&self.progress.counters), lock(&self.mine));
        if !mine.gone {
            mine.written = mine.written.saturating_add(bytes);
            all.written = all.written.saturating_add(bytes);
        }
    }

    /// Counts until the download is done.
    pub(crate) fn undone(&self) -> Undone {
        Undone { share: self.clone(), done: false }
    }

    /// Runs `download`; an error, or a drop before its end, takes the share back.
    pub(crate) async fn until_done<T, E>(self, download: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let undone = self.undone();
        let done = download.await?;
        undone.done();
        Ok(done)
    }

    fn take_back(&self) {
        let (mut all, mut mine) = (lock(&self.progress.counters), lock(&self.mine));
        if let Some(total) = mine.total.take() {
            all.told -= 1;
            all.total = all.total.saturating_sub(total);
        }
        all.written = all.written.saturating_sub(std::mem::take(&mut mine.written));
        mine.gone = true;
    }
}

impl Undone {
    pub(crate) fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Undone {
    fn drop(&mut self) {
        if !self.done {
            self.share.take_back();
        }
    }
}

fn lock<T>(counters: &Mutex<T>) -> MutexGuard<'_, T> {
    counters.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(total_bytes: Option<u64>, written_bytes: u64) -> ProgressSnapshot {
        ProgressSnapshot { total_bytes, written_bytes }
    }

    #[test]
    fn an_empty_object_is_told_from_an_unknown_one() {
        let progress = Progress::new();
        assert_eq!(progress.snapshot().total_bytes, None);
        Share::from(progress.clone()).set_total(0);
        assert_eq!(progress.snapshot(), snapshot(Some(0), 0));
    }

    #[test]
    fn shares_add_up_and_one_that_is_not_done_is_taken_back_once_and_for_all() {
        let progress = Progress::new();
        let (one, other) = (Share::from(progress.clone()), Share::from(progress.clone()));
        let (one_undone, other_undone) = (one.undone(), other.undone());
        one.set_total(10);
        one.add_written(4);
        other.set_total(20);
        other.set_total(30);
        other.add_written(5);
        assert_eq!(progress.snapshot(), snapshot(Some(40), 9));
        one_undone.done();
        drop(other_undone);
        assert_eq!(progress.snapshot(), snapshot(Some(10), 4));
        other.add_written(25);
        other.set_total(7);
        other.take_back();
        assert_eq!(progress.snapshot(), snapshot(Some(10), 4));
        one.take_back();
        assert_eq!(progress.snapshot(), snapshot(None, 0));
    }
}
