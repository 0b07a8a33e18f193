//! The progress display of a run: a live line on a terminal, plain lines elsewhere. The display uses standard error;
//! standard output is for the result.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;
use tunekit::tuner::Observer;
use tunekit::{Assignment, Decision, Status, Study, Trial, TrialId};

/// The time between two updates of the live line of a copy.
const LIVE: Duration = Duration::from_millis(200);
/// The time between two progress lines of a copy without a terminal.
pub(crate) const LINES: Duration = Duration::from_secs(10);
/// The time over which the rate is averaged.
const WINDOW: Duration = Duration::from_secs(5);

/// Clones show on the same screen.
#[derive(Debug, Clone)]
pub struct Show {
    bar: ProgressBar,
    output: Output,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Terminal,
    Lines,
    Nothing,
}

#[derive(Debug, Default)]
struct State {
    downloads: u32,
}

impl Show {
    /// On the terminal if standard error is one.
    #[must_use]
    pub fn new() -> Self {
        let live = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if live {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner:.cyan} {elapsed:>4}  {wide_msg}");
            bar.set_style(style.expect("the template above is well-formed"));
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        let output = if live { Output::Terminal } else { Output::Lines };
        Self { bar, output, state: Arc::default() }
    }

    /// Nowhere, for programs that make many runs.
    #[must_use]
    pub fn nothing() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Self { bar, output: Output::Nothing, state: Arc::default() }
    }

    /// Writes a permanent line. Control characters become blanks.
    pub fn line(&self, text: impl AsRef<str>) {
        let text = plain(text.as_ref());
        match self.output {
            Output::Terminal => self.bar.println(text),
            Output::Lines => say(&text),
            Output::Nothing => {}
        }
    }

    /// Sets the live line. Does nothing without a terminal.
    pub fn now(&self, text: impl Into<String>) {
        if self.output == Output::Terminal {
            self.bar.set_message(plain(&text.into()));
        }
    }

    /// Whether standard error is a terminal, which has a live line.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.output == Output::Terminal
    }

    /// Sets the number of downloads of a trial, for the live line.
    pub fn downloads_per_trial(&self, downloads: u32) {
        self.state().downloads = downloads;
    }

    /// Ends the live line.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self, study: &Study, trial: TrialId, done: usize) {
        let best = match (lowest(study), default(study)) {
            (Some(lowest), Some(default)) => format!("best so far {} ({})", seconds(lowest), against(lowest, default)),
            (Some(lowest), None) => format!("best so far {}", seconds(lowest)),
            _ => "nothing measured yet".to_owned(),
        };
        let of = self.state().downloads;
        self.now(format!("trial {}, download {} of {of}; {best}", trial.0, done + 1));
    }
}

/// The mean of the engine's default in seconds, which a search begins with.
fn default(study: &Study) -> Option<f64> {
    let first = study.trials().first()?;
    let given = study.header().points_to_evaluate.first()?;
    first.value(study.header().metric.value).filter(|_| first.config == *given)
}

/// The lowest mean in seconds. A trial with one of several downloads does not count, because that download may be luck.
fn lowest(study: &Study) -> Option<f64> {
    let rule = study.header().metric.value;
    let counts = |trial: &&Trial| trial.status == Status::Completed || trial.samples(rule).len() > 1;
    study.trials().iter().filter(counts).filter_map(|trial| trial.value(rule)).min_by(f64::total_cmp)
}

impl Default for Show {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Show {
    fn on_ask(&mut self, study: &Study, job: &Assignment) {
        self.running(study, job.trial, 0);
    }

    fn on_report(&mut self, study: &Study, trial: TrialId, _: u64, _: f64, decision: Decision) {
        let Some(trial) = study.trial(trial) else { return };
        if decision == Decision::Pause {
            self.measured(study, trial, "may go on");
        } else if trial.measurements.len() < self.state().downloads as usize {
            self.running(study, trial.id, trial.measurements.len());
        }
    }

    fn on_tell(&mut self, study: &Study, trial: TrialId) {
        let Some(trial) = study.trial(trial) else { return };
        match (&trial.failure, trial.status) {
            (Some(reason), _) => self.line(format!("trial {:>3}   failed: {reason}", trial.id.0)),
            (None, Status::CutOff) => {
                let bound = trial.at_least.map_or_else(String::new, |bound| format!(">{}", seconds(bound)));
                let config = &trial.config;
                self.line(format!("trial {:>3}  {bound:>8}             {config}  (cut off)", trial.id.0));
            }
            (None, Status::Completed) => self.measured(study, trial, ""),
            // At its last download there was nothing left to stop.
            (None, _) if trial.measurements.len() >= self.state().downloads as usize => self.measured(study, trial, ""),
            (None, _) => self.measured(study, trial, "dropped"),
        }
    }
}

impl Show {
    /// A line on a trial's result so far, and on its end if it has not run in full.
    fn measured(&self, study: &Study, trial: &Trial, then: &str) {
        let Some(value) = trial.value(study.header().metric.value) else { return };
        let n = trial.measurements.len();
        let against = default(study).map_or_else(String::new, |default| against(value, default));
        let so_far = if then.is_empty() {
            String::new()
        } else {
            format!("  ({n} download{}, {then})", if n == 1 { "" } else { "s" })
        };
        self.line(format!("trial {:>3}  {:>8}  {against:>9}  {}{so_far}", trial.id.0, seconds(value), trial.config));
    }
}

/// A text from outside, safe for a line: control characters, which would control a terminal, become blanks.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// Shows the `words` for the time since the beginning, until the returned value is dropped: as a live line or, without
/// a terminal, as a line every 10 s.
pub(crate) fn follow(show: &Show, mut words: impl FnMut(Duration) -> Option<String> + Send + 'static) -> impl Drop {
    struct Shown(JoinHandle<()>);
    impl Drop for Shown {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let show = show.clone();
    Shown(tokio::spawn(async move {
        let (began, mut lines) = (Instant::now(), 0);
        loop {
            tokio::time::sleep(LIVE).await;
            let at = began.elapsed();
            let Some(text) = words(at) else { continue };
            show.now(text.clone());
            if !show.is_live() && at.as_secs() / LINES.as_secs() > lines {
                lines = at.as_secs() / LINES.as_secs();
                show.line(format!("s3tune: {text}"));
            }
        }
    }))
}

/// The rate of a copy, over its last seconds.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// Times since the copy began, and the bytes that were there.
    seen: Vec<(Duration, u64)>,
}

impl Rate {
    /// Bytes per second, after `bytes` bytes at the time `at` since the start. The first call defines the start, so
    /// bytes of an earlier copy do not count.
    pub(crate) fn at(&mut self, at: Duration, bytes: u64) -> f64 {
        self.seen.push((at, bytes));
        let old = self.seen.iter().take_while(|(then, _)| at.saturating_sub(*then) > WINDOW).count();
        self.seen.drain(..old.saturating_sub(1));
        let (then, before) = self.seen[0];
        bytes.saturating_sub(before) as f64 / at.saturating_sub(then).as_secs_f64().max(1e-3)
    }
}

/// The time left for a number of bytes at a rate, after a comma; empty if it is unknown.
pub(crate) fn left(bytes: u64, rate: f64) -> String {
    if bytes == 0 || rate <= 0.0 {
        return String::new();
    }
    let seconds = (bytes as f64 / rate).ceil() as u64;
    format!(", {}:{:02} left", seconds / 60, seconds % 60)
}

/// Writes a line to standard error. A failure to write is ignored, because no such line is worth a failed command.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Seconds with three significant digits: `2.41 ms`, `0.803 s`, `12.4 s`, `125 s`.
#[must_use]
pub fn seconds(value: f64) -> String {
    if value < 0.1 {
        let digits = if value < 0.01 { 2 } else { 1 };
        return format!("{:.digits$} ms", value * 1e3);
    }
    let digits = if value < 1.0 { 3 } else { 2_usize.saturating_sub(value.log10() as usize) };
    format!("{value:.digits$} s")
}

/// The difference in time: `-38.8 %` is less time.
#[must_use]
pub fn against(value: f64, default: f64) -> String {
    format!("{:+.1} %", (value / default - 1.0) * 100.0)
}

/// A share: `38.8 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        let shown: Vec<String> =
            [0.00241, 0.0123, 0.8034, 1.5, 12.43, 125.4, 8000.0].into_iter().map(seconds).collect();
        assert_eq!(shown, ["2.41 ms", "12.3 ms", "0.803 s", "1.50 s", "12.4 s", "125 s", "8000 s"]);
        assert_eq!(against(0.6, 1.0), "-40.0 %");
    }

    #[test]
    fn a_rate_is_of_the_last_seconds_and_not_of_earlier_bytes() {
        let mut rate = Rate::default();
        let mut at = |seconds, bytes| rate.at(Duration::from_secs(seconds), bytes);
        assert_eq!(at(0, 1_000_000), 0.0);
        assert_eq!((at(1, 1_000_100), at(2, 1_000_200)), (100.0, 100.0));
        // Six seconds later the first ones are forgotten.
        assert_eq!((at(8, 1_000_200), at(14, 1_000_200)), (0.0, 0.0));
        assert_eq!((left(600, 100.0), left(6_100, 100.0)), (", 0:06 left".to_owned(), ", 1:01 left".to_owned()));
        assert_eq!((left(0, 100.0), left(5, 0.0)), (String::new(), String::new()));
    }

    #[test]
    fn nothing_from_outside_steers_a_terminal() {
        assert_eq!(plain("trial   1  a\x1b[2Jb\nc\u{9b}d"), "trial   1  a [2Jb c d");
    }
}
