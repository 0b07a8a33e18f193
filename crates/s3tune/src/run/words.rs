//! A run's result in words: the text for a terminal, and the sentence with the conclusion.

use tunekit::Status;
use tunekit::compare::Improvement;

use super::arms::{Role, shown_in_space};
use super::compare::{Improvements, mean};
use super::identity::Identity;
use super::record::Record;
use crate::results::Verdict;
use crate::show::{against, percent, plain, seconds};
use crate::size::ByteSize;

/// The note for an improvement that was computed by [`log_ratio_improvement`](tunekit::compare::log_ratio_improvement).
pub(crate) const BY_RATIOS: &str = "Single downloads took so much longer than the others that the means leave no \
                                    interval; the interval is that of the mean logarithm of the ratios, round by \
                                    round.";
/// Trials that the terminal shows.
const TRIALS_SHOWN: usize = 10;

/// The conclusion of a comparison, for a reader.
pub(crate) fn conclusion(identity: &Identity, improvements: &Improvements) -> String {
    let engine = identity.engine_name();
    let default = identity.default_name();
    let over = |improvement: &Improvement| {
        format!(
            "{} less time [{}, {}]",
            percent(improvement.estimate),
            percent(improvement.lower),
            percent(improvement.upper)
        )
    };
    let verdict = |improvement: &Improvement| Verdict::of([improvement.lower, improvement.upper]);
    let has_boto3 = identity.has_own_baseline();
    match verdict(&improvements.over_default) {
        Verdict::Faster => {
            let found = over(&improvements.over_default);
            let boto3 = if has_boto3 {
                format!(", and {} than boto3's defaults", over(&improvements.over_baseline))
            } else {
                String::new()
            };
            format!("use best.toml: it takes {found} than {default}{boto3}")
        }
        _ if has_boto3 && verdict(&improvements.default_over_baseline) == Verdict::Faster => format!(
            "use {engine} as it is, without any configuration: that takes {} than boto3's defaults, and nothing better was proven here",
            over(&improvements.default_over_baseline)
        ),
        _ => format!(
            "use {engine} as it is: nothing better than its default was proven here; a longer search may find more"
        ),
    }
}

/// The method of the search: searcher, scheduler, seed.
pub(crate) fn search_method(record: &Record) -> String {
    let header = record.experiment.header();
    let method = match header.scheduler.name() {
        "fifo" => header.searcher.clone(),
        scheduler if scheduler == header.searcher => scheduler.to_owned(),
        scheduler => format!("{} under {scheduler}", header.searcher),
    };
    format!("{method}, seed {}", header.seed)
}

/// The comparison and its conclusion, for standard output.
pub(crate) fn result(record: &Record) -> String {
    let identity = &record.identity;
    let mut text = String::new();
    let (comparison, improvements) = match record.compared() {
        Ok(compared) => compared,
        Err(why) => {
            push(&mut text, why);
            return text;
        }
    };
    let names = [
        (Role::Baseline, identity.baseline_name()),
        (Role::EngineDefault, identity.default_name()),
        (Role::Best, "found".to_owned()),
    ];
    let width = names.iter().map(|(_, name)| name.chars().count()).max().unwrap_or(0);
    for (role, name) in names {
        // Without boto3's parameters the baseline is the default, and is shown once.
        let Some(arm) = comparison.arm(role).filter(|_| role != Role::Baseline || identity.has_own_baseline()) else {
            continue;
        };
        let config = shown_in_space(record.space(), &arm.config);
        push(&mut text, format!("{name:width$}  {:>8}  {config}", seconds(mean(&comparison.samples(role)))));
    }
    if comparison.arm(Role::Best) == comparison.arm(Role::EngineDefault) {
        push(&mut text, format!("{} is the best that the search found", identity.default_name()));
    } else {
        push(&mut text, versus(&format!("against {}", identity.default_name()), &improvements.over_default));
    }
    if identity.has_own_baseline() {
        push(&mut text, versus(&format!("against {}", identity.baseline_name()), &improvements.over_baseline));
    }
    if improvements.by_ratios {
        push(&mut text, BY_RATIOS);
    }
    let without = record.without_effect();
    if !without.is_empty() {
        push(&mut text, format!("no measurable effect here: {}", without.join(", ")));
    }
    push(&mut text, format!("conclusion: {}", conclusion(identity, &improvements)));
    text
}

/// Adds a line. Keys of objects, engines and their values come from outside.
fn push(text: &mut String, line: impl AsRef<str>) {
    text.push_str(&plain(line.as_ref()));
    text.push('\n');
}

fn versus(name: &str, improvement: &Improvement) -> String {
    let verdict = match Verdict::of([improvement.lower, improvement.upper]) {
        Verdict::Faster => "the found configuration is faster",
        Verdict::Slower => "the found configuration is slower",
        Verdict::NoDifference => "no difference is proven",
    };
    format!(
        "{name}: {:+.1} % of the time, 95 % interval {:+.1} % to {:+.1} %: {verdict}",
        -improvement.estimate * 100.0,
        -improvement.upper * 100.0,
        -improvement.lower * 100.0,
    )
}

/// The whole run for a terminal: the object, the best trials, the comparison.
pub(crate) fn report(record: &Record) -> String {
    let identity = &record.identity;
    let mut text = String::new();
    push(&mut text, format!("{}, {}, {}", identity.object, ByteSize(identity.object_bytes), identity.network));
    let engine = format!(
        "engine {}, {}; {} configurations, {} downloads, {}",
        identity.engine_in_words(),
        search_method(record),
        record.experiment.trials().len(),
        record.measurements(),
        ByteSize(record.bytes()),
    );
    push(&mut text, engine);
    text.push('\n');
    text.push_str(&trials(record));
    text.push('\n');
    text + &result(record)
}

fn trials(record: &Record) -> String {
    let rule = record.rule();
    let mut measured: Vec<_> =
        record.experiment.trials().iter().filter_map(|trial| Some((trial.value(rule)?, trial))).collect();
    measured.sort_by(|a, b| a.0.total_cmp(&b.0));
    let default = record.default_value();
    let mut text = format!("{:>5}  {:>8}  {:>9}  {:>2}  {:<11}  configuration\n", "trial", "mean", "", "n", "");
    for (value, trial) in measured.iter().take(TRIALS_SHOWN) {
        let against = default.map_or_else(String::new, |default| against(*value, default));
        let status = match trial.status {
            Status::Completed => "",
            other => other.as_str(),
        };
        let row = format!(
            "{:>5}  {:>8}  {against:>9}  {:>2}  {status:<11}  {}",
            trial.id.0,
            seconds(*value),
            trial.samples(rule).len(),
            trial.config,
        );
        push(&mut text, row);
    }
    if measured.len() > TRIALS_SHOWN {
        text.push_str(&format!("{:>5}  and {} more\n", "", measured.len() - TRIALS_SHOWN));
    }
    text
}
