//! The progress of one copy, in words.

use std::time::Duration;

use s3xfer::{Progress, ProgressSnapshot};

use crate::show::{LINES, Rate, Show, follow, left};
use crate::size::ByteSize;

/// Shows the progress until the returned value is dropped.
pub(super) fn live(show: &Show, progress: Progress) -> impl Drop {
    let mut rate = Rate::default();
    follow(show, move |at| words(progress.snapshot(), at, &mut rate))
}

/// Share, size, rate and time left; `None` before the size is known.
fn words(now: ProgressSnapshot, at: Duration, rate: &mut Rate) -> Option<String> {
    let total = now.total_bytes?;
    let rate = rate.at(at, now.written_bytes);
    let percent = now.written_bytes as f64 / total.max(1) as f64 * 100.0;
    let left = left(total.saturating_sub(now.written_bytes), rate);
    Some(format!("{percent:.1} % of {}, {}/s{left}", ByteSize(total), ByteSize(rate as u64)))
}

/// Whether a copy of this duration ends with a summary: without a terminal, a short copy prints nothing.
pub(super) fn has_summary(show: &Show, took: Duration) -> bool {
    show.is_live() || took >= LINES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_before_the_size_is_known() {
        assert_eq!(words(Progress::new().snapshot(), Duration::from_secs(1), &mut Rate::default()), None);
    }

    #[test]
    fn a_copy_of_ten_seconds_has_a_summary_also_without_a_terminal() {
        let show = Show::nothing();
        assert!(!has_summary(&show, Duration::from_millis(9_999)) && has_summary(&show, Duration::from_secs(10)));
    }
}
