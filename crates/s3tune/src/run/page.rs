//! The report of a run's record.

use tunekit::{Config, Domain, Status, Trial};

use super::arms::{Role, in_space};
use super::compare::{Improvements, mean};
use super::comparison::Comparison as Compared;
use super::influence::parameter_value;
use super::record::{Record, as_map};
use super::words::{BY_RATIOS, conclusion, search_method};
use crate::engines::Knob;
use crate::results::{
    Against, Arm, ArmKind, Comparison, Configurations, Influence, Outcome, Parameter, ParameterUnit, ReportInput,
    TrialRow,
};
use crate::show::seconds;
use crate::size::ByteSize;

/// The report of a record. `influence` holds the findings about the parameters, or the reason why there are none.
pub(crate) fn page(record: &Record, influence: Result<Influence, String>) -> ReportInput {
    let identity = &record.identity;
    let default = in_space(record.space(), &identity.references.engine_default);
    let mut trials: Vec<TrialRow> =
        record.experiment.trials().iter().filter_map(|trial| trial_row(record, trial)).collect();
    trials.sort_by(|a, b| a.finished_at_seconds.total_cmp(&b.finished_at_seconds));
    let compared = record.compared();
    let reference = match &compared {
        Ok((comparison, _)) => Some(mean(&comparison.samples(Role::EngineDefault))),
        Err(_) => record.default_value(),
    };
    let by_ratios = compared.as_ref().is_ok_and(|(_, improvements)| improvements.by_ratios);
    ReportInput {
        object: identity.object.clone(),
        object_bytes: identity.object_bytes,
        metric: "download time".to_owned(),
        unit: "s".to_owned(),
        comparison: compared.map(|(comparison, improvements)| shown(record, comparison, improvements)),
        reference: reference.map(|mean| (identity.default_name(), mean)),
        trials,
        best_trial: record.found_by(),
        parameters: record
            .space()
            .iter()
            .map(|(name, domain)| parameter(knob(&identity.knobs, name), name, domain, &default))
            .collect(),
        influence,
        without_effect: record.without_effect(),
        configuration: configurations(record),
        conditions: conditions(record),
        caveats: caveats(by_ratios),
    }
}

fn caveats(by_ratios: bool) -> Vec<String> {
    let caveats = [
        "Every download was read back and its bytes were checked; the checking is not in the times.",
        "The comparison was measured after the search, in turn, so that it does not inherit the search's luck; the \
         times in the table of trials do.",
        "A configuration suits the object's size, the network and the machine it was found on. Measure again where one \
         of them changes.",
    ];
    by_ratios.then_some(BY_RATIOS).into_iter().chain(caveats).map(str::to_owned).collect()
}

fn shown(record: &Record, comparison: &Compared, improvements: Improvements) -> Comparison {
    let identity = &record.identity;
    let kind = |roles: &[Role]| match roles {
        roles if roles.contains(&Role::EngineDefault) => (ArmKind::Default, identity.default_name()),
        roles if roles.contains(&Role::Best) => (ArmKind::Found, "found".to_owned()),
        _ => (ArmKind::Baseline, identity.baseline_name()),
    };
    let arms = comparison.arms.iter().map(|arm| {
        let (kind, name) = kind(&arm.roles);
        let role = arm.roles[0];
        let measurements = comparison.samples(role);
        let ci95 = tunekit::compare::mean_interval(&measurements, 0.95);
        Arm { name, kind, mean: mean(&measurements), ci95, measurements }
    });
    let against = |name: String, improvement: tunekit::compare::Improvement| Against {
        name,
        improvement: improvement.estimate,
        ci95: [improvement.lower, improvement.upper],
    };
    let mut found = vec![against(identity.default_name(), improvements.over_default)];
    if identity.has_own_baseline() {
        found.push(against(identity.baseline_name(), improvements.over_baseline));
    }
    Comparison { arms: arms.collect(), against: found, conclusion: conclusion(identity, &improvements) }
}

fn configurations(record: &Record) -> Configurations {
    let identity = &record.identity;
    let mut columns = vec![(identity.default_name(), as_map(&identity.references.engine_default))];
    if identity.has_own_baseline() {
        columns.insert(0, (identity.baseline_name(), as_map(&identity.references.baseline)));
    }
    if let Some(found) = record.found() {
        columns.push(("found".to_owned(), as_map(&found)));
    }
    let mut names: Vec<&String> = Vec::new();
    for name in columns.iter().flat_map(|(_, config)| config.keys()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let value = |config: &serde_json::Map<String, serde_json::Value>, name: &str| match config.get(name) {
        Some(value) => in_words(knob(&identity.knobs, name), value),
        None => "default".to_owned(),
    };
    let rows = names
        .into_iter()
        .map(|name| (name.clone(), columns.iter().map(|(_, config)| value(config, name)).collect()))
        .collect();
    Configurations { rows, names: columns.into_iter().map(|(name, _)| name).collect() }
}

fn conditions(record: &Record) -> Vec<(String, String)> {
    let identity = &record.identity;
    let ended = match &record.comparisons.search {
        Some(end) => format!("{}, ended by {}", seconds(end.seconds), end.stopped_by),
        None => "not ended yet, or interrupted".to_owned(),
    };
    let bytes = ByteSize(record.bytes());
    [
        ("Object", format!("{}, {}", identity.object, ByteSize(identity.object_bytes))),
        ("Network", identity.network.clone()),
        ("Engine", identity.engine_in_words()),
        ("Search", search_method(record)),
        ("Downloads per configuration", identity.n_downloads.to_string()),
        ("Search time", ended),
        ("Downloads in all", format!("{}, {bytes}", record.measurements())),
        ("Machine", identity.cores_in_words()),
        ("Download folder", identity.folder_in_words()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn trial_row(record: &Record, trial: &Trial) -> Option<TrialRow> {
    let measurements = trial.samples(record.rule()).len() as u64;
    // A trial that was told to stop, or was left paused, after its last download has all its measurements.
    let whole = measurements >= u64::from(record.identity.n_downloads);
    let outcome = match (&trial.failure, trial.value(record.rule()), trial.status) {
        (Some(reason), ..) => Outcome::Failed(reason.clone()),
        (None, _, Status::CutOff) => Outcome::AtLeast(trial.at_least?),
        (None, Some(value), Status::Completed) => Outcome::Measured(value),
        (None, Some(value), _) if whole => Outcome::Measured(value),
        (None, Some(value), Status::Stopped) => Outcome::Stopped(value),
        (None, Some(value), Status::Paused) => Outcome::Paused(value),
        (None, Some(value), Status::Interrupted | Status::Running) => Outcome::Interrupted(value),
        _ => return None,
    };
    let last = trial.measurements.last().and_then(|measurement| measurement.at_s);
    Some(TrialRow {
        number: trial.id.0,
        finished_at_seconds: trial.ended_s.or(last).or(trial.started_s)?,
        outcome,
        measurements,
        config: record.space().iter().map(|(name, _)| trial.config.value(name).map(parameter_value)).collect(),
    })
}

fn knob<'a>(knobs: &'a [Knob], name: &str) -> Option<&'a Knob> {
    knobs.iter().find(|knob| knob.name == name)
}

fn parameter(knob: Option<&Knob>, name: &str, domain: &Domain, default: &Config) -> Parameter {
    let log = match domain {
        Domain::Float(float) => float.is_log(),
        Domain::Int(int) => int.is_log(),
        _ => false,
    };
    let is_bytes = knob.and_then(|knob| knob.unit_bytes) == Some(1);
    let unit = if is_bytes { ParameterUnit::Bytes } else { ParameterUnit::Number };
    Parameter { name: name.to_owned(), unit, log, before: default.value(name).map(parameter_value) }
}

/// A value with its size in a unit that people read, where it is an amount of data.
fn in_words(knob: Option<&Knob>, value: &serde_json::Value) -> String {
    let bytes = knob.and_then(|knob| knob.unit_bytes).zip(value.as_u64());
    match (bytes.and_then(|(unit, count)| count.checked_mul(unit)), value) {
        (Some(bytes), _) => format!("{value} ({})", ByteSize(bytes)),
        (None, serde_json::Value::String(text)) => text.clone(),
        (None, value) => value.to_string(),
    }
}
