//! The progress lines of a copy on standard error. The crate s3tune has a link to this file.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use s3xfer::{BatchProgress, Integrity, NotValidated, Progress, TransferReport};

const MIB: f64 = (1 << 20) as f64;
/// The time between two progress lines without a terminal.
pub(crate) const LINES: Duration = Duration::from_secs(10);
/// The time between two updates of a terminal's line.
const LIVE: Duration = Duration::from_millis(200);
/// The time over which the rate is averaged.
const WINDOW: Duration = Duration::from_secs(5);

/// Shows the words for the time since the beginning, until the returned value is dropped: in one line of a terminal or,
/// without a terminal, as a line every 10 s.
pub(crate) fn show(mut words: impl FnMut(Duration) -> String + Send + 'static) -> impl Drop {
    struct Shown(tokio::task::JoinHandle<()>);
    impl Drop for Shown {
        fn drop(&mut self) {
            self.0.abort();
            clear();
        }
    }
    let is_terminal = stderr().is_terminal();
    Shown(tokio::spawn(async move {
        let (began, mut lines) = (Instant::now(), 0);
        loop {
            tokio::time::sleep(LIVE).await;
            let at = began.elapsed();
            let text = words(at);
            let due = at.as_secs() / LINES.as_secs();
            // If standard error cannot be written, the copy continues.
            if is_terminal {
                let _ = write!(stderr(), "\r\x1b[K{text}");
            } else if due > lines {
                let _ = writeln!(stderr(), "cp: {text}");
            }
            lines = due;
        }
    }))
}

/// Clears the live line, to make room for a permanent line.
pub(crate) fn clear() {
    if stderr().is_terminal() {
        let _ = write!(stderr(), "\r\x1b[K");
    }
}

/// Share and size, rate and time left of one copy; bytes and rate where its size is not known.
pub(crate) fn of_one(progress: Progress) -> impl FnMut(Duration) -> String + Send {
    let mut rate = Rate::default();
    move |at| {
        let now = progress.snapshot();
        let rate = rate.at(at, now.written_bytes);
        let bytes = now.written_bytes as f64;
        match now.total_bytes {
            None => format!("{:.1} MiB, {:.1} MiB/s", bytes / MIB, rate / MIB),
            Some(total) => {
                let percent = bytes / total.max(1) as f64 * 100.0;
                let left = left(total.saturating_sub(now.written_bytes), rate);
                format!("{percent:5.1} % of {:.1} MiB, {:.1} MiB/s{left}", total as f64 / MIB, rate / MIB)
            }
        }
    }
}

/// Files or objects, bytes, rate and time left of a copy of many.
pub(crate) fn of_many(progress: BatchProgress) -> impl FnMut(Duration) -> String + Send {
    let mut rate = Rate::default();
    move |at| {
        let now = progress.snapshot();
        let rate = rate.at(at, now.bytes);
        // The listing is not finished, so there will be more.
        let (more, left) = match now.listed_all {
            true => ("", left(now.left_bytes, rate)),
            false => ("+", String::new()),
        };
        let failed = if now.failed > 0 { format!(", {} failed", now.failed) } else { String::new() };
        let (ended, found) = (now.ended, now.found);
        let (bytes, of) = (now.bytes as f64 / MIB, now.found_bytes as f64 / MIB);
        format!("{ended} of {found}{more}, {bytes:.1} of {of:.1}{more} MiB, {:.1} MiB/s{left}{failed}", rate / MIB)
    }
}

/// The rate over the last seconds.
#[derive(Default)]
struct Rate {
    /// Times since the beginning, and the bytes that were there.
    seen: Vec<(Duration, u64)>,
}

impl Rate {
    /// Bytes per second, now that there are so many `bytes`. Those of the first call may be an earlier copy's.
    fn at(&mut self, at: Duration, bytes: u64) -> f64 {
        self.seen.push((at, bytes));
        let old = self.seen.iter().take_while(|(then, _)| at.saturating_sub(*then) > WINDOW).count();
        self.seen.drain(..old.saturating_sub(1));
        let (then, before) = self.seen[0];
        bytes.saturating_sub(before) as f64 / at.saturating_sub(then).as_secs_f64().max(1e-3)
    }
}

/// The time left for a number of bytes at a rate, after a comma; empty if it is unknown.
fn left(bytes: u64, rate: f64) -> String {
    if bytes == 0 || rate <= 0.0 {
        return String::new();
    }
    let seconds = (bytes as f64 / rate).ceil() as u64;
    format!(", {}:{:02} left", seconds / 60, seconds % 60)
}

/// A line with the copied bytes, their rate, and whether they were checked.
pub(crate) fn summary(report: &TransferReport) -> String {
    let checked = match report.integrity {
        Integrity::Validated(algorithm) => format!("{algorithm} validated"),
        Integrity::ValidatedAsReceived(algorithm) => format!("{algorithm} validated, of kept parts as they once came"),
        Integrity::NotValidated(NotValidated::NoChecksum) => "the object has no checksum".to_owned(),
        other => format!("{other:?}"),
    };
    format!(
        "{:.1} MiB in {:.2} s, {:.1} MiB/s; {checked}; {}",
        report.bytes as f64 / MIB,
        report.elapsed.as_secs_f64(),
        report.bytes_per_second() / MIB,
        report.verdict
    )
}
