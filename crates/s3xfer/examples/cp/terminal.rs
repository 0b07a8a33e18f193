//! The lines that a terminal shows of a copy. The crate s3tune has a link to this file.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use s3xfer::{Integrity, NotValidated, Progress, TransferReport};

/// A line on a terminal, until the returned value is dropped.
pub(crate) fn show(progress: Progress) -> impl Drop {
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

/// A line with the copied bytes, their rate, and whether they were checked.
pub(crate) fn summary(report: &TransferReport) -> String {
    let mib = f64::from(1 << 20);
    let checked = match report.integrity {
        Integrity::Validated(algorithm) => format!("{algorithm} validated"),
        Integrity::ValidatedAsReceived(algorithm) => format!("{algorithm} validated, of kept parts as they once came"),
        Integrity::NotValidated(NotValidated::NoChecksum) => "the object has no checksum".to_owned(),
        other => format!("{other:?}"),
    };
    format!(
        "{:.1} MiB in {:.2} s, {:.1} MiB/s; {checked}; {}",
        report.bytes as f64 / mib,
        report.elapsed.as_secs_f64(),
        report.bytes_per_second() / mib,
        report.verdict
    )
}
