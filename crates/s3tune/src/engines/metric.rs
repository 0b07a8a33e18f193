//! [`Metric`]: the source of a download's time, and the errors for values that are not a time.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The beginning of a line of Syne Tune's Reporter.
const REPORTER: &str = "[tune-metric]:";
/// The name of the metric in the AWS sample.
const NAME: &str = "download_time";
/// A program may round its time to hundredths of a second.
const ROUNDING_SECONDS: f64 = 0.01;

/// The source of a download's time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// From the process's start to its end.
    #[default]
    Wall,
    /// The process's own figure on standard output in seconds: in the last line of the form of Syne Tune's Reporter
    /// (`[tune-metric]: {"download_time": 1.23}`) or, without such a line, as a plain number on the last line.
    Stdout,
}

/// The error for an output without a valid time.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// Nothing was written.
    #[error("it wrote nothing")]
    Silent,
    /// A Reporter's line without the metric.
    #[error("the last {REPORTER} line has no {NAME}: {line}")]
    NoName {
        /// The line.
        line: String,
    },
    /// The value is not a number.
    #[error("{text:?} is not a number of seconds")]
    NotANumber {
        /// The text that is there instead.
        text: String,
    },
    /// A number that no download takes.
    #[error("{seconds} s is not a time: it must be greater than 0 and finite")]
    NotATime {
        /// The number.
        seconds: f64,
    },
    /// More than passed.
    #[error("{seconds} s is more than the {wall_seconds:.3} s that the whole process took; are these milliseconds?")]
    Longer {
        /// The time that the program reports.
        seconds: f64,
        /// The time that passed.
        wall_seconds: f64,
    },
}

/// The seconds in a program's standard output, which must not exceed `wall`.
pub(super) fn from_stdout(text: &str, wall: Duration) -> Result<Duration, MetricError> {
    let mut lines = text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let seconds = match lines.clone().find_map(|line| Some((line, line.strip_prefix(REPORTER)?))) {
        Some((line, json)) => reported(line, json)?,
        None => number(lines.next().ok_or(MetricError::Silent)?)?,
    };
    if !(seconds > 0.0 && seconds.is_finite()) {
        return Err(MetricError::NotATime { seconds });
    }
    if seconds > wall.as_secs_f64() + ROUNDING_SECONDS {
        return Err(MetricError::Longer { seconds, wall_seconds: wall.as_secs_f64() });
    }
    // Below a nanosecond nothing would be left.
    let took = Duration::from_secs_f64(seconds);
    if took.is_zero() { Err(MetricError::NotATime { seconds }) } else { Ok(took) }
}

fn reported(line: &str, json: &str) -> Result<f64, MetricError> {
    // Python writes NaN and Infinity, which JSON does not know: such a line is shown as it is.
    let metrics: Value =
        serde_json::from_str(json.trim()).map_err(|_| MetricError::NotANumber { text: shortened(line) })?;
    let value = metrics.get(NAME).ok_or_else(|| MetricError::NoName { line: shortened(line) })?;
    value.as_f64().ok_or_else(|| MetricError::NotANumber { text: shortened(&value.to_string()) })
}

fn number(line: &str) -> Result<f64, MetricError> {
    line.parse().map_err(|_| MetricError::NotANumber { text: shortened(line) })
}

/// The beginning of a line that may be long.
pub(super) fn shortened(line: &str) -> String {
    const MOST: usize = 200;
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_the_reporters_last_or_a_plain_number_on_the_last_line() {
        let wall = Duration::from_secs(2);
        for (text, seconds) in [
            ("1.5\n", 1.5),
            ("hello\n 0.25 \n\n", 0.25),
            ("[tune-metric]: {\"download_time\": 1.0}\n", 1.0),
            (
                "[tune-metric]: {\"download_time\": 1}\n[tune-metric]: {\"st_x\": \"a\", \"download_time\": 0.5}\nbye\n",
                0.5,
            ),
            // Rounded up.
            ("2.005", 2.005),
        ] {
            assert_eq!(from_stdout(text, wall), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_and_shown() {
        let wall = Duration::from_secs(2);
        for (text, says) in [
            ("", "nothing"),
            ("\n\n", "nothing"),
            ("1.5\ndone", "\"done\""),
            ("[tune-metric]: {\"loss\": 1}\n1.0", "no download_time"),
            ("[tune-metric]: {\"download_time\": \"fast\"}", "fast"),
            ("[tune-metric]: {\"download_time\": NaN}", "NaN"),
            ("[tune-metric]: ", "tune-metric"),
            ("nan", "NaN"),
            ("inf", "inf"),
            ("-1", "-1"),
            ("0", "0 s"),
            ("1e-12", "0.000000000001 s"),
            ("1500", "milliseconds"),
        ] {
            let error = from_stdout(text, wall).unwrap_err().to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
        assert!(from_stdout(&"x".repeat(100_000), wall).unwrap_err().to_string().len() < 300);
    }
}
