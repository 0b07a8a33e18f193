//! `Show`: the display of a running study, as a table that is redrawn on a terminal, and as plain lines otherwise.

use std::io::Write;
use std::time::{Duration, Instant};

use super::tuner::Observer;
use crate::rules::stop::{StopRule, StoppedBy};
use crate::rules::study::Study;
use crate::words::trial::{Assignment, Best, Decision, Status, TrialId};
use crate::words::value::{Config, Value};

/// The least time between two plain lines that only say that the study is alive.
const QUIET: Duration = Duration::from_secs(30);
/// A terminal cuts longer lines off, or wraps them again (DECAWM).
const WRAP_OFF: &str = "\x1b[?7l";
const WRAP_ON: &str = "\x1b[?7h";
/// Computing the best configuration takes at most one part in this many of the time.
const BEST_SHARE: u32 = 20;

/// Shows a running study. Lines are written to `W`; a line that cannot be written is dropped.
#[derive(Debug)]
pub struct Show<W> {
    out: W,
    is_terminal: bool,
    rule: StopRule,
    /// Lines of the table that stands on the terminal.
    lines: usize,
    begun: Option<Instant>,
    /// Trials that had ended when this run began.
    before: u64,
    best: Option<Best>,
    best_due: Option<Instant>,
    said: Option<Instant>,
}

impl<W: Write> Show<W> {
    /// Shows a study that ends by `rule`.
    pub fn new(out: W, is_terminal: bool, rule: StopRule) -> Self {
        Self { out, is_terminal, rule, lines: 0, begun: None, before: 0, best: None, best_due: None, said: None }
    }

    fn table(&mut self, study: &Study, elapsed: Duration) {
        let now = Instant::now();
        if self.best_due.is_none_or(|due| now >= due) {
            self.best = study.best();
            self.best_due = Some(Instant::now() + Duration::from_secs(1).max(now.elapsed() * BEST_SHARE));
        }
        let counts = Counts::of(study);
        let mut text = format!("{counts}, {}", clock(elapsed));
        let run = self.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        let ended = counts.ended().saturating_sub(self.before);
        if ended > 0 && run > Duration::ZERO {
            let rate = ended as f64 / run.as_secs_f64();
            text += &format!(", {:.1} trials/min", rate * 60.0);
            if let Some(left) = self.left(&counts, rate, elapsed) {
                text += &format!(", about {} left", clock(left));
            }
        }
        let mut lines = vec![text];
        lines.push(self.best.as_ref().map_or_else(|| no_best(study), |best| best_line(study, best)));
        for trial in study.trials().iter().filter(|t| t.status == Status::Running).take(8) {
            let last = trial.measurements.last();
            let last = last.map_or_else(String::new, |m| format!("at {}: {}", m.step, short(m.value)));
            lines.push(format!("  trial {:>5}  {last:<24} {}", trial.id.0, config_text(&trial.config)));
        }
        // A line that is cut at the terminal's edge takes one row; a wrapped one would push the next frame down.
        let mut frame = WRAP_OFF.to_owned();
        if self.lines > 0 {
            frame += &format!("\x1b[{}A\x1b[J", self.lines);
        }
        for line in &lines {
            frame.extend(line.chars().take(150).map(printable));
            frame.push('\n');
        }
        frame += WRAP_ON;
        self.lines = lines.len();
        self.write(&frame);
    }

    fn left(&self, counts: &Counts, rate: f64, elapsed: Duration) -> Option<Duration> {
        let by_trials = self.rule.max_trials.map(|max| max.saturating_sub(counts.ended()) as f64 / rate);
        let by_time = self.rule.max_wall_time.map(|max| max.saturating_sub(elapsed).as_secs_f64());
        let least = by_trials.into_iter().chain(by_time).reduce(f64::min)?;
        Duration::try_from_secs_f64(least).ok()
    }

    fn line(&mut self, line: &str) {
        self.said = Some(Instant::now());
        let line: String = line.chars().map(printable).collect();
        self.write(&format!("{line}\n"));
    }

    fn write(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

impl<W: Write> Observer for Show<W> {
    fn on_start(&mut self, study: &Study) {
        self.begun = Some(Instant::now());
        self.before = Counts::of(study).ended();
        if self.before > 0 {
            self.line(&format!("continuing after {}", Counts::of(study)));
        }
    }

    fn on_ask(&mut self, _: &Study, job: &Assignment) {
        if !self.is_terminal && job.attempt > 1 {
            self.line(&format!("trial {} starts again (attempt {})", job.trial, job.attempt));
        }
    }

    fn on_report(&mut self, _: &Study, _: TrialId, _: u64, _: f64, _: Decision) {}

    fn on_tell(&mut self, study: &Study, trial: TrialId) {
        if self.is_terminal {
            return;
        }
        let Some(trial) = study.trial(trial) else { return };
        let value = trial.value(study.header().metric.value).map_or_else(String::new, short);
        let end = trial.failure.as_deref().unwrap_or(&value);
        self.line(&format!("trial {} {}: {end}  {}", trial.id, trial.status.as_str(), config_text(&trial.config)));
    }

    fn on_tick(&mut self, study: &Study, elapsed: Duration) {
        if self.is_terminal {
            self.table(study, elapsed);
        } else if self.said.is_none_or(|said| said.elapsed() >= QUIET) {
            self.line(&format!("{}, {}", Counts::of(study), clock(elapsed)));
        }
    }

    fn on_end(&mut self, study: &Study, stopped_by: Option<StoppedBy>) {
        if self.is_terminal {
            self.best_due = None;
            self.table(study, study.elapsed().unwrap_or_default());
        }
        let why = stopped_by.map_or("an error", StoppedBy::as_str);
        self.line(&format!("ended by {why}: {}", Counts::of(study)));
    }
}

/// The character, unless it would move the cursor: a failure's text is a program's own.
fn printable(character: char) -> char {
    if character.is_control() { char::REPLACEMENT_CHARACTER } else { character }
}

/// The number of trials in each state.
struct Counts(Vec<(Status, u64)>);

impl Counts {
    fn of(study: &Study) -> Self {
        let mut counts: Vec<(Status, u64)> = Vec::new();
        for trial in study.trials() {
            match counts.iter_mut().find(|(status, _)| *status == trial.status) {
                Some((_, n)) => *n += 1,
                None => counts.push((trial.status, 1)),
            }
        }
        Self(counts)
    }

    fn ended(&self) -> u64 {
        let is_open = |status: Status| matches!(status, Status::Running | Status::Interrupted);
        self.0.iter().filter(|(status, _)| !is_open(*status)).map(|(_, n)| n).sum()
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: u64 = self.0.iter().map(|(_, n)| n).sum();
        write!(f, "{all} trial{}", if all == 1 { "" } else { "s" })?;
        for (i, (status, n)) in self.0.iter().enumerate() {
            write!(f, "{}{n} {}", if i == 0 { " (" } else { ", " }, status.as_str())?;
        }
        f.write_str(if self.0.is_empty() { "" } else { ")" })
    }
}

/// The state of a study, in lines for people: its trials, its time and its best configuration.
pub fn status_lines(study: &Study) -> Vec<String> {
    let header = study.header();
    let mut lines = vec![
        format!("{}, {}", Counts::of(study), clock(study.elapsed().unwrap_or_default())),
        format!("searcher {}, scheduler {}, seed {}", header.searcher, header.scheduler.name(), header.seed),
    ];
    let measured: usize = study.trials().iter().map(|t| t.measurements.len().max(usize::from(t.told.is_some()))).sum();
    lines.push(format!("{measured} measurements"));
    lines.push(study.best().map_or_else(|| no_best(study), |best| best_line(study, &best)));
    let failed = study.trials().iter().rev().find_map(|t| Some((t.id, t.failure.as_ref()?)));
    lines.extend(failed.map(|(trial, why)| format!("the last failure, of trial {trial}: {why}")));
    lines
}

fn no_best(study: &Study) -> String {
    study.why_no_best().unwrap_or("no result yet").to_owned()
}

fn best_line(study: &Study, best: &Best) -> String {
    let interval = best.ci95.map_or_else(String::new, |[lo, hi]| format!(" [{}, {}]", short(lo), short(hi)));
    let name = &study.header().metric.name;
    format!("best {name} {}{interval}  trial {}: {}", short(best.mean), best.trial, config_text(&best.config))
}

fn config_text(config: &Config) -> String {
    let value = |(name, value): (&str, &Value)| match value {
        Value::Float(v) => format!("{name}={}", short(*v)),
        value => format!("{name}={value}"),
    };
    config.iter().map(value).collect::<Vec<_>>().join(" ")
}

/// A number with four digits that mean something.
fn short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e7).contains(&size) {
        return format!("{value:.3e}");
    }
    let decimals = if size == 0.0 { 0 } else { (3 - size.log10().floor() as i32).clamp(0, 8) as usize };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn clock(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ ..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::study::Setup;
    use crate::words::domain::Domain;
    use crate::words::metric::Metric;
    use crate::words::space::Space;

    #[test]
    fn numbers_and_times_read_well() {
        let texts = [0.0, 0.5, 1234.56, 0.00012345, 1e-9, -2.5].map(short);
        assert_eq!(texts, ["0", "0.5", "1235", "0.0001234", "1.000e-9", "-2.5"]);
        assert_eq!([9, 61, 3661].map(|s| clock(Duration::from_secs(s))), ["9 s", "1 min 1 s", "1 h 1 min"]);
    }

    #[test]
    fn plain_lines_have_no_escapes_and_a_terminal_renews_its_table() {
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        let mut study = Study::new(Setup::new(space, Metric::minimize("loss"))).unwrap();
        let (mut plain, mut live) = (Vec::new(), Vec::new());
        for (out, is_terminal) in [(&mut plain, false), (&mut live, true)] {
            let mut show = Show::new(out, is_terminal, StopRule { max_trials: Some(9), ..StopRule::default() });
            show.on_start(&study);
            let job = study.ask().unwrap().assignment().unwrap();
            show.on_ask(&study, &job);
            show.on_tick(&study, Duration::from_secs(1));
            study.tell(job.trial, 0.25).unwrap();
            show.on_tell(&study, job.trial);
            show.on_tick(&study, Duration::from_secs(2));
            show.on_end(&study, Some(StoppedBy::Cancelled));
        }
        let (plain, live) = (String::from_utf8(plain).unwrap(), String::from_utf8(live).unwrap());
        assert!(!plain.contains('\x1b') && plain.contains("trial 0 completed: 0.25"), "{plain}");
        assert!(live.contains("\x1b[3A\x1b[J") && live.contains("best loss 0.25"), "{live:?}");
        // No frame wraps, and the lines after it do.
        let (off, on) = (live.matches(WRAP_OFF).count(), live.matches(WRAP_ON).count());
        assert!(off == 3 && on == 3 && live.find(WRAP_OFF) < live.find(WRAP_ON), "{live:?}");
        assert!(live.rfind(WRAP_ON) > live.rfind(WRAP_OFF) && live.ends_with("2 completed)\n"), "{live:?}");
    }

    #[test]
    fn no_text_of_a_program_moves_the_cursor() {
        let domain = Domain::categorical(["\x1b[2Ja\r\nb"]).unwrap();
        let space = Space::new().with("x", domain).unwrap();
        let mut study = Study::new(Setup::new(space, Metric::minimize("loss"))).unwrap();
        let job = study.ask().unwrap().assignment().unwrap();
        for is_terminal in [false, true] {
            let mut out = Vec::new();
            let mut show = Show::new(&mut out, is_terminal, StopRule::default());
            show.line("trial 0 failed: \x1b[2J\r\nx");
            show.on_tick(&study, Duration::from_secs(1));
            show.on_tell(&study, job.trial);
            let text = String::from_utf8(out).unwrap().replace(WRAP_OFF, "").replace(WRAP_ON, "");
            assert!(!text.contains(['\x1b', '\r']), "{text:?}");
        }
    }
}
