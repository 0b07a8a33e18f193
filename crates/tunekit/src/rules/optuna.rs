//! A study as a journal file for Optuna (`optuna.storages.journal`): one JSON object per line, with an `op_code`.
//!
//! Read from Optuna 5.0's `JournalStorage` and from journals that it wrote. Each line has the code of an operation and
//! the id of the worker that did it; trials are numbered from 0 in the order of their lines. Only those operations are
//! written that a study of ours needs.

#[cfg(feature = "process")]
pub(crate) mod live;

use serde_json::{Value as Json, json};

use super::experiment::Experiment;
use crate::words::domain::Domain;
use crate::words::event::Header;
use crate::words::metric::Goal;
use crate::words::trial::{Status, Trial};
use crate::words::value::Value;

const CREATE_STUDY: u8 = 0;
const CREATE_TRIAL: u8 = 4;
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
/// Trials that the scheduler stopped, that are paused, or that were cut off are pruned; interrupted trials are running.
/// Further objectives are values of a trial that completed; constraints are in its system attribute `constraints`.
pub fn optuna_journal(experiment: &Experiment, study_name: &str) -> String {
    let header = experiment.header();
    let trials = experiment.trials().iter().map(|trial| created(header, trial, 0.0));
    std::iter::once(study(header, study_name)).chain(trials).map(|line| format!("{line}\n")).collect()
}

fn study(header: &Header, name: &str) -> Json {
    let metrics = std::iter::once(&header.metric).chain(&header.objectives);
    let direction = |goal: Goal| if goal == Goal::Min { 1 } else { 2 };
    let directions: Vec<u8> = metrics.map(|metric| direction(metric.goal)).collect();
    json!({ "op_code": CREATE_STUDY, "worker_id": WORKER, "study_name": name, "directions": directions })
}

fn created(header: &Header, trial: &Trial, epoch_s: f64) -> Json {
    let rule = header.metric.value;
    let told = trial.value(rule);
    let more = trial.more(rule);
    let state = match trial.status {
        Status::Running | Status::Interrupted => State::Running,
        Status::Completed if told.is_some() && more.len() == header.objectives.len() => State::Complete,
        // A trial that reached the maximal resource ran in full, although it was told to stop there.
        Status::Stopped if is_full(header, trial) && more.len() == header.objectives.len() => State::Complete,
        Status::Stopped | Status::Paused | Status::CutOff => State::Pruned,
        Status::Completed | Status::Failed | Status::TimedOut | Status::Infeasible => State::Fail,
    };
    // Optuna allows a value of a pruned trial if there is one objective.
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
    let constraints = trial.constraints(rule);
    if !constraints.is_empty() {
        system.insert("constraints".to_owned(), json!(constraints));
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

/// The date at this number of days after 1970-01-01.
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

    #[test]
    fn times_are_dates() {
        assert_eq!(datetime(0.0), "1970-01-01T00:00:00.000000");
        assert_eq!(datetime(951_782_400.25), "2000-02-29T00:00:00.250000");
        assert_eq!(datetime(f64::NAN), "1970-01-01T00:00:00.000000");
    }
}
