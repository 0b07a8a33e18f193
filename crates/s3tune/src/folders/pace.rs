//! The progress and the result of a copy of a folder, in words.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use s3xfer::{BatchProgress, BatchReport, BatchSnapshot};

use crate::failure::Failure;
use crate::show::{Rate, Show, follow, left};

/// Shows the progress until the returned value is dropped.
pub(super) fn live(show: &Show, progress: BatchProgress) -> impl Drop {
    let mut rate = Rate::default();
    rate.at(Duration::ZERO, 0);
    follow(show, move |at| {
        let now = progress.snapshot();
        Some(words(now, rate.at(at, now.bytes)))
    })
}

/// Objects, bytes, rate, time left.
fn words(now: BatchSnapshot, rate: f64) -> String {
    let more = if now.listed_all { "" } else { "+" };
    let mut text = format!(
        "{} of {}{more} objects, {} of {}{more}, {}/s",
        now.ended,
        now.found,
        size(now.bytes),
        size(now.found_bytes),
        size(rate as u64)
    );
    if now.listed_all {
        text.push_str(&left(now.left_bytes, rate));
    }
    if now.failed > 0 {
        text.push_str(&format!(", {} failed", now.failed));
    }
    text
}

/// The work done before a copy ended early; empty if there was none.
pub(super) struct Pace {
    transferred: u64,
    bytes: u64,
    elapsed: Duration,
}

impl Pace {
    pub(super) fn new(report: &BatchReport, elapsed: Duration) -> Self {
        Self { transferred: report.transferred, bytes: report.bytes, elapsed }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transferred {
            0 => Ok(()),
            objects => {
                let seconds = self.elapsed.as_secs_f64();
                let objects = counted(objects);
                write!(f, "; {objects}, {}, were transferred before, in {seconds:.1} s", size(self.bytes))
            }
        }
    }
}

fn counted(objects: u64) -> String {
    match objects {
        1 => "1 object".to_owned(),
        objects => format!("{objects} objects"),
    }
}

/// A line on the result.
pub(super) fn summary(report: &BatchReport) -> String {
    let seconds = report.elapsed.as_secs_f64();
    let mut line = match report.dry_run {
        true => format!("{}, {} would be transferred", counted(report.transferred), size(report.bytes)),
        false => {
            let rate = size((report.bytes as f64 / seconds.max(1e-3)) as u64);
            format!("{}, {} in {seconds:.2} s, {rate}/s", counted(report.transferred), size(report.bytes))
        }
    };
    for (count, what) in [
        (report.folders, "empty folders"),
        (report.unchanged, "unchanged"),
        (report.deleted, if report.dry_run { "would be deleted" } else { "deleted" }),
        (report.left_out, "left out because they are not files"),
        (report.failed, "failed"),
    ] {
        if count > 0 {
            line.push_str(&format!("; {count} {what}"));
        }
    }
    line
}

/// Bytes as people read them.
pub(super) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let power = (bytes.max(1).ilog2() / 10).min(4);
    match power {
        0 => format!("{bytes} B"),
        power => format!("{:.1} {}", bytes as f64 / 1024_f64.powi(power as i32), units[power as usize - 1]),
    }
}

/// A line on standard output.
pub(super) fn print(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::work("write to standard output", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_binary_units() {
        let shown: Vec<String> = [0, 1023, 1024, 1 << 20, 3 << 30, u64::MAX].into_iter().map(size).collect();
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "3.0 GiB", "16777216.0 TiB"]);
    }

    #[test]
    fn a_report_is_a_line() {
        let mut report = BatchReport::default();
        (report.transferred, report.bytes, report.elapsed) = (2, 2048, Duration::from_secs(1));
        assert_eq!(summary(&report), "2 objects, 2.0 KiB in 1.00 s, 2.0 KiB/s");
        (report.unchanged, report.failed) = (3, 1);
        assert!(summary(&report).ends_with("; 3 unchanged; 1 failed"));
    }

    #[test]
    fn what_is_left_is_told_once_it_is_known() {
        let progress = BatchProgress::new();
        assert_eq!(words(progress.snapshot(), 0.0), "0 of 0+ objects, 0 B of 0 B+, 0 B/s");
    }
}
