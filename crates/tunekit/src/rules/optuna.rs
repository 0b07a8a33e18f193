//! A study as a journal file of Optuna's (`optuna.storages.journal`): one JSON object a line, with an `op_code`.
//!
//! Read from Optuna 5.0's `JournalStorage` and from journals that it wrote. Each line has the code of an operation and
//! the id of the worker that did it; trials are numbered from 0 in the order of their lines. Only those operations are
//! written that a study of ours needs.

use serde_json::{Value as Json, json};

use super::experiment::Experiment;
use crate::words::domain::Domain;
use crate::words::event::Header;
use crate::words::metric::Goal;
use crate::words::trial::{Status, Trial};
use crate::words::value::Value;

const CREATE_STUDY: u8 = 0;
const CREATE_TRIAL: u8 = 4;
const SET_STATE_VALUES: u8 = 6;
const SET_INTERMEDIATE_VALUE: u8 = 7;
const SET_USER_ATTR: u8 = 8;
const SET_SYSTEM_ATTR: u8 = 9;
const WORKER: &str = "tunekit";

/// Optuna's states of a trial.
#[derive(Clone, Copy)]
enum State {
    Running = 0,
    Complete = 1,
    Pruned = 2,
    Fail = 3,
}

/// The study as the text of a journal file that Optuna's `JournalStorage` reads.
///
/// A trial that the scheduler stopped is pruned, as is one that is paused or was cut off; an interrupted one is
/// running. Further objectives are values of a trial that ended well; constraints are in its system attribute
/// `constraints`.
pub fn optuna_journal(experiment: &Experiment, study_name: &str) -> String {
    let header = experiment.header();
    let trials = experiment.trials().iter().map(|trial| created(header, trial, 0.0));
    std::iter::once(study(header, study_name)).chain(trials).map(|line| format!("{line}\n")).collect()
}

/// A journal file of Optuna's that grows with a study: what it has, and the lines that it lacks.
///
/// Optuna lets nobody change a trial that ended, so that a paused trial stays one that runs.
#[derive(Debug, Default)]
pub(crate) struct OptunaLive {
    has_study: bool,
    trials: Vec<Known>,
}

/// What the file has of a trial.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// The last step that was written.
    step: u64,
    is_ended: bool,
}

impl OptunaLive {
    /// What is in the text of such a file.
    pub(crate) fn read(text: &str) -> Self {
        let mut live = Self::default();
        for line in text.lines() {
            let Ok(line) = serde_json::from_str::<Json>(line) else { continue };
            let op = line["op_code"].as_u64().and_then(|op| u8::try_from(op).ok());
            let place = line["trial_id"].as_u64().and_then(|trial| usize::try_from(trial).ok());
            let is_ended = line["state"] != json!(State::Running as u8);
            match op {
                Some(CREATE_STUDY) => live.has_study = true,
                Some(CREATE_TRIAL) => live.trials.push(Known { step: 0, is_ended }),
                Some(SET_STATE_VALUES | SET_INTERMEDIATE_VALUE) => {
                    if let Some(known) = place.and_then(|place| live.trials.get_mut(place)) {
                        known.is_ended = known.is_ended || (op == Some(SET_STATE_VALUES) && is_ended);
                        known.step = line["step"].as_u64().unwrap_or(known.step);
                    }
                }
                _ => {}
            }
        }
        live
    }

    /// The lines that make the file know of a trial as it is, and of those before it that it has never heard of.
    /// `epoch_s` is when the study began, in seconds since 1970.
    pub(crate) fn lines(&mut self, header: &Header, name: &str, trials: &[Trial], at: usize, epoch_s: f64) -> String {
        let mut lines = Vec::new();
        if !self.has_study {
            self.has_study = true;
            lines.push(study(header, name));
        }
        for trial in trials.get(self.trials.len()..=at).unwrap_or_default() {
            let is_ended = trial.is_finished();
            // Its reports follow one by one unless it ended.
            let line = if is_ended { created(header, trial, epoch_s) } else { begun(header, trial, epoch_s) };
            lines.push(line);
            self.trials.push(Known { step: 0, is_ended });
        }
        if let (Some(trial), Some(known)) = (trials.get(at), self.trials.get_mut(at)) {
            changed(header, trial, known, epoch_s, &mut lines);
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// What has changed of a trial.
fn changed(header: &Header, trial: &Trial, known: &mut Known, epoch_s: f64, lines: &mut Vec<Json>) {
    if known.is_ended {
        return;
    }
    let line = |op: u8, more: Json| {
        let mut line = json!({ "op_code": op, "worker_id": WORKER, "trial_id": trial.id });
        if let (Some(line), Json::Object(more)) = (line.as_object_mut(), more) {
            line.extend(more);
        }
        line
    };
    let last = trial.measurements.last().map_or(0, |m| m.step);
    if last < known.step {
        // It was interrupted and starts over; what is reported again takes the place of what was there.
        known.step = 0;
    }
    if header.objectives.is_empty() {
        let from = trial.measurements.partition_point(|m| m.step <= known.step);
        for m in &trial.measurements[from..] {
            lines.push(line(SET_INTERMEDIATE_VALUE, json!({ "step": m.step, "intermediate_value": m.value })));
        }
    }
    known.step = last;
    if !trial.is_finished() {
        return;
    }
    known.is_ended = true;
    let whole = created(header, trial, epoch_s);
    for (op, name, many) in
        [(SET_USER_ATTR, "user_attr", "user_attrs"), (SET_SYSTEM_ATTR, "system_attr", "system_attrs")]
    {
        for (key, value) in whole[many].as_object().into_iter().flatten() {
            lines.push(line(op, json!({ name: { key: value } })));
        }
    }
    let values = match (&whole["value"], &whole["values"]) {
        (Json::Null, values) => values.clone(),
        (value, _) => json!([value]),
    };
    let ended = json!({
        "state": whole["state"], "values": values, "datetime_complete": whole["datetime_complete"],
    });
    lines.push(line(SET_STATE_VALUES, ended));
}

fn study(header: &Header, name: &str) -> Json {
    let metrics = std::iter::once(&header.metric).chain(&header.objectives);
    let direction = |goal: Goal| if goal == Goal::Min { 1 } else { 2 };
    let directions: Vec<u8> = metrics.map(|metric| direction(metric.goal)).collect();
    json!({ "op_code": CREATE_STUDY, "worker_id": WORKER, "study_name": name, "directions": directions })
}

/// A trial that has just begun.
fn begun(header: &Header, trial: &Trial, epoch_s: f64) -> Json {
    let mut line = created(header, trial, epoch_s);
    line["state"] = json!(State::Running as u8);
    line["intermediate_values"] = json!({});
    line["user_attrs"] = json!({});
    if let Some(line) = line.as_object_mut() {
        for name in ["value", "values", "datetime_complete"] {
            line.remove(name);
        }
    }
    line
}

fn created(header: &Header, trial: &Trial, epoch_s: f64) -> Json {
    let rule = header.metric.value;
    let told = trial.value(rule);
    let more = trial.measured.as_ref().map(|m| m.more.clone()).unwrap_or_default();
    let state = match trial.status {
        Status::Running | Status::Interrupted => State::Running,
        Status::Completed if told.is_some() && more.len() == header.objectives.len() => State::Complete,
        // A trial that came to the maximal resource ran in full, although it was told to stop there.
        Status::Stopped if is_full(header, trial) && more.len() == header.objectives.len() => State::Complete,
        Status::Stopped | Status::Paused | Status::CutOff => State::Pruned,
        Status::Completed | Status::Failed | Status::TimedOut | Status::Infeasible => State::Fail,
    };
    // Optuna lets a pruned trial have a value where there is one objective.
    let values: Option<Vec<f64>> = match state {
        State::Complete => told.map(|value| std::iter::once(value).chain(more.iter().copied()).collect()),
        State::Pruned if header.objectives.is_empty() => told.map(|value| vec![value]),
        _ => None,
    };
    let mut distributions = serde_json::Map::new();
    let mut params = serde_json::Map::new();
    for (name, domain) in header.space.iter() {
        let Some(value) = trial.config.value(name) else { continue };
        let (distribution, internal) = distribution(domain, value);
        distributions.insert(name.to_owned(), Json::String(distribution.to_string()));
        params.insert(name.to_owned(), internal);
    }
    let reports = if header.objectives.is_empty() { trial.measurements.as_slice() } else { &[] };
    let intermediate: serde_json::Map<String, Json> =
        reports.iter().map(|m| (m.step.to_string(), json!(m.value))).collect();
    let mut user = serde_json::Map::new();
    user.insert("status".to_owned(), json!(trial.status.as_str()));
    if let Some(failure) = &trial.failure {
        user.insert("failure".to_owned(), json!(failure));
    }
    let mut system = serde_json::Map::new();
    if let Some(measured) = trial.measured.as_ref().filter(|m| !m.constraints.is_empty()) {
        system.insert("constraints".to_owned(), json!(measured.constraints));
    }
    let mut line = json!({
        "op_code": CREATE_TRIAL,
        "worker_id": WORKER,
        "study_id": 0,
        "datetime_start": datetime(epoch_s + trial.started_s.unwrap_or(0.0)),
        "state": state as u8,
        "distributions": distributions,
        "params": params,
        "user_attrs": user,
        "system_attrs": system,
        "intermediate_values": intermediate,
    });
    if !matches!(state, State::Running) {
        line["datetime_complete"] = json!(datetime(epoch_s + trial.ended_s.or(trial.started_s).unwrap_or(0.0)));
    }
    match values.as_deref() {
        Some([value]) => line["value"] = json!(value),
        Some(values) => line["values"] = json!(values),
        None => {}
    }
    line
}

fn is_full(header: &Header, trial: &Trial) -> bool {
    header.max_resource.is_some_and(|max| trial.last_step().is_some_and(|step| step >= max)) && trial.failure.is_none()
}

/// A distribution in Optuna's JSON, and the value as Optuna keeps it.
fn distribution(domain: &Domain, value: &Value) -> (Json, Json) {
    match domain {
        Domain::Float(d) => {
            // Optuna has no steps on a logarithmic axis.
            let step = d.step_size().filter(|_| !d.is_log());
            let attributes = json!({ "low": d.lo(), "high": d.hi(), "log": d.is_log(), "step": step });
            (json!({ "name": "FloatDistribution", "attributes": attributes }), json!(value.as_f64()))
        }
        Domain::Int(d) => {
            let step = if d.is_log() { 1 } else { d.step_size() };
            let attributes = json!({ "low": d.lo(), "high": d.hi(), "log": d.is_log(), "step": step });
            (json!({ "name": "IntDistribution", "attributes": attributes }), json!(value.as_f64()))
        }
        Domain::Bool => {
            let place = u8::from(value.as_bool() == Some(true));
            (categorical(json!([false, true])), json!(place))
        }
        Domain::Categorical(c) | Domain::Ordinal(c) => {
            (categorical(json!(c.values())), json!(c.position(value).unwrap_or(0)))
        }
    }
}

fn categorical(choices: Json) -> Json {
    json!({ "name": "CategoricalDistribution", "attributes": { "choices": choices } })
}

/// A time in seconds since 1970, as Optuna writes times. A study knows how long it took, not when it was: an export
/// begins in 1970.
fn datetime(seconds: f64) -> String {
    let micros = (seconds.clamp(0.0, 1e11) * 1e6) as u64;
    let (days, rest) = (micros / 86_400_000_000, micros % 86_400_000_000);
    let (year, month, day) = date(days);
    let (s, us) = (rest / 1_000_000, rest % 1_000_000);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{us:06}", s / 3600, s / 60 % 60, s % 60)
}

/// The date so many days after 1970-01-01.
fn date(mut days: u64) -> (u64, usize, u64) {
    let mut year = 1970;
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, length) in months.into_iter().enumerate() {
        if days < length {
            return (year, month + 1, days + 1);
        }
        days -= length;
    }
    (year, 12, 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::study::{Setup, Study};
    use crate::words::metric::Metric;
    use crate::words::space::Space;
    use crate::words::trial::Outcome;

    #[test]
    fn a_file_that_grows_has_each_trial_and_each_report_once_wherever_it_was_left() {
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        let mut study = Study::new(Setup::new(space, Metric::minimize("loss"))).unwrap();
        let (mut live, mut text) = (OptunaLive::default(), String::new());
        let sync = |study: &Study, at: u64, live: &mut OptunaLive, text: &mut String| {
            *text += &live.lines(study.header(), "s", study.trials(), at as usize, 1e9);
            // A later process finds in the file what this one knows.
            let again = OptunaLive::read(text).lines(study.header(), "s", study.trials(), at as usize, 1e9);
            assert_eq!(again, "", "after {text}");
        };
        for i in 0..4 {
            let trial = study.ask().unwrap().assignment().unwrap().trial;
            if i != 2 {
                // The file may hear of a trial late.
                sync(&study, i, &mut live, &mut text);
            }
            study.report(trial, 1, 0.5).unwrap();
            study.report(trial, 2, 0.25).unwrap();
            sync(&study, i, &mut live, &mut text);
            match i {
                0 => study.tell(trial, Outcome::Done).unwrap(),
                1 => study.tell(trial, Outcome::Infeasible("too large".to_owned())).unwrap(),
                2 => {
                    study.interrupt(trial).unwrap();
                    sync(&study, i, &mut live, &mut text);
                    study.ask().unwrap();
                    study.report(trial, 1, 0.75).unwrap();
                    sync(&study, i, &mut live, &mut text);
                    study.tell(trial, Outcome::Done).unwrap();
                }
                _ => study.tell(trial, 0.125).unwrap(),
            }
            sync(&study, i, &mut live, &mut text);
        }
        let lines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let count = |op: u8| lines.iter().filter(|line| line["op_code"] == op).count();
        assert_eq!((count(CREATE_STUDY), count(CREATE_TRIAL), count(SET_STATE_VALUES)), (1, 4, 4));
        // Two reports of each trial, and one more of the trial that started over.
        assert_eq!(count(SET_INTERMEDIATE_VALUE), 9);
        let states: Vec<&Json> =
            lines.iter().filter(|l| l["op_code"] == SET_STATE_VALUES).map(|l| &l["state"]).collect();
        assert_eq!(states, [&json!(1), &json!(3), &json!(1), &json!(1)]);
        assert!(text.contains("2001-09-09T01:46:40"), "{text}");
    }

    #[test]
    fn times_are_dates() {
        assert_eq!(datetime(0.0), "1970-01-01T00:00:00.000000");
        assert_eq!(datetime(951_782_400.25), "2000-02-29T00:00:00.250000");
        assert_eq!(datetime(f64::NAN), "1970-01-01T00:00:00.000000");
    }
}
