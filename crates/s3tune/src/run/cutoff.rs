//! The test for a hopeless download of the search: a pure rule over the time and the progress of the download.
//!
//! The search looks for configurations that are faster than the best so far. A configuration that takes seven times as
//! long shows this within a fraction of its time, and waiting for its end gains nothing: in the AWS sample's own space
//! 39 of 60 seconds of search went into two such configurations. A download that is cut off is not a failure: its time
//! so far is a lower bound.

use std::time::Duration;

use tokio::time::Instant;

use crate::engines::{Gauge, Underway};

/// A download shorter than this multiple of the best time is never cut off, because noise alone can cause it.
const PATIENCE: f64 = 1.5;
/// A download that will end before this multiple of the best time is not cut off either: its value tells more than a
/// bound.
const NEARLY: f64 = 2.0;
/// The time between two tests.
const INTERVAL: Duration = Duration::from_millis(20);

/// Whether a download that has run for `elapsed` can no longer be as fast as the best, which takes `best_seconds` on
/// average. `fraction` is the share of its bytes that has arrived, if it is known.
pub(crate) fn is_hopeless(elapsed: Duration, fraction: Option<f64>, best_seconds: f64) -> bool {
    let elapsed = elapsed.as_secs_f64();
    if elapsed < PATIENCE * best_seconds {
        return false;
    }
    match fraction {
        // The estimate by the rate so far. If all bytes have arrived, or none, there is no estimate.
        Some(fraction) if fraction > 0.0 && fraction < 1.0 => {
            elapsed / fraction > NEARLY * best_seconds || elapsed >= NEARLY * best_seconds
        }
        _ => true,
    }
}

/// Waits until the download behind `gauge` is hopeless, and returns a lower bound of its time. The future never ends if
/// there is no best time to beat, or if the measured part of the download has ended.
pub(crate) async fn hopeless(gauge: &Gauge, best_seconds: Option<f64>) -> Duration {
    let Some(best_seconds) = best_seconds else { return std::future::pending().await };
    let patience = Duration::from_secs_f64((PATIENCE * best_seconds).min(1e6));
    while !gauge.has_ended() {
        let left = gauge.began().map(|began| (began + patience).saturating_duration_since(Instant::now()));
        tokio::time::sleep(left.unwrap_or_default().max(INTERVAL)).await;
        // The folder of another program is read: not on the runtime's thread.
        let asked = gauge.clone();
        let underway = tokio::task::spawn_blocking(move || asked.underway()).await.unwrap_or(None);
        if let Some(Underway { elapsed, fraction }) = underway
            && is_hopeless(elapsed, fraction, best_seconds)
            // It may have ended while its folder was read.
            && !gauge.has_ended()
        {
            return elapsed;
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engines::Metric;

    fn hopeless_after(seconds: f64, fraction: Option<f64>) -> bool {
        is_hopeless(Duration::from_secs_f64(seconds), fraction, 1.0)
    }

    #[test]
    fn what_may_still_be_good_or_is_nearly_done_is_waited_for() {
        for fraction in [None, Some(0.0), Some(0.1), Some(1.0)] {
            assert!(!hopeless_after(1.4, fraction), "{fraction:?}");
        }
        assert!(!hopeless_after(1.6, Some(0.9)));
        assert!(hopeless_after(1.6, Some(0.5)));
        assert!(hopeless_after(1.6, None) && hopeless_after(1.6, Some(1.0)) && hopeless_after(1.6, Some(0.0)));
    }

    proptest! {
        #[test]
        fn nothing_is_cut_off_that_ends_within_the_patience_and_everything_is_in_the_end(
            best in 1e-3..1e3_f64,
            share in 0.0..1.0_f64,
            fraction in proptest::option::of(0.0..=1.0_f64),
        ) {
            let seconds = |times: f64| Duration::from_secs_f64(times * best);
            prop_assert!(!is_hopeless(seconds(1.49 * share), fraction, best));
            prop_assert!(is_hopeless(seconds(2.01 + share), fraction, best));
        }
    }

    /// Whether the wait for a hopeless download ends within a minute.
    async fn ends(gauge: &Gauge, best_seconds: Option<f64>) -> Option<Duration> {
        tokio::time::timeout(Duration::from_secs(60), hopeless(gauge, best_seconds)).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends_when_the_rule_says_so_and_never_without_a_rival() {
        let gauge = Gauge::new();
        let _progress = gauge.watch_progress();
        let waited = ends(&gauge, Some(2.0)).await.unwrap();
        assert!(waited >= Duration::from_secs(3) && waited < Duration::from_secs(4), "{waited:?}");
        assert_eq!(ends(&gauge, None).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_measured_part_of_a_download_is_hopeless() {
        let gauge = Gauge::new();
        assert_eq!(ends(&gauge, Some(2.0)).await, None, "nothing has begun");
        let _progress = gauge.watch_progress();
        gauge.end();
        assert_eq!(ends(&gauge, Some(2.0)).await, None, "the bytes are being checked");
        // The end comes in the middle of the wait.
        let _progress = gauge.watch_progress();
        let ending = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            gauge.end();
        };
        assert_eq!(tokio::join!(ends(&gauge, Some(2.0)), ending).0, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_tells_its_time_and_writes_nothing_is_ended_too() {
        let folder = tempfile::tempdir().unwrap();
        let gauge = Gauge::new();
        gauge.watch_folder(&folder.path().join("out"), 1 << 20, Metric::Stdout);
        let began = Instant::now();
        let waited = ends(&gauge, Some(2.0)).await.unwrap();
        assert!(waited >= Duration::from_secs(3) && waited < Duration::from_secs(4), "{waited:?}");
        assert!(began.elapsed() >= Duration::from_secs(13) && began.elapsed() < Duration::from_secs(14));
    }
}
