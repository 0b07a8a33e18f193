//! The interactive part of a study's page: parallel coordinates, a scatter plot for each pair of columns, and the table
//! of trials. One filter applies to all of them.
//!
//! The script is a constant, and the page's policy allows no other script, so a study's texts are always data.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::{View, ranked};
use crate::words::domain::Domain;
use crate::words::trial::{Trial, TrialId};

/// The script, which reads the data and fills the elements that [`section_html`] makes.
pub(super) const SCRIPT: &str = include_str!("explore.js");
/// Cells of all trials together.
const MOST_CELLS: usize = 70_000;
/// Bytes of the data: a page stays below a megabyte.
const MOST_BYTES: usize = 250_000;
/// Most times that the data is made smaller.
const MOST_TRIES: usize = 4;
/// Number of the best trials, which stay when the data is made smaller.
const MOST_PINNED: usize = 400;
/// Reasons of failures.
const MOST_REASONS: usize = 300;

/// The places for the pictures, with the data that they and the table are made of.
pub(super) fn section_html(view: &View<'_>) -> String {
    let mut cells = MOST_CELLS;
    let mut text = data(view, cells).to_string();
    // Numbers take a few bytes or many.
    for _ in 0..MOST_TRIES {
        if text.len() <= MOST_BYTES {
            break;
        }
        cells = cells * MOST_BYTES / text.len() * 9 / 10;
        text = data(view, cells).to_string();
    }
    // No text can end the element, or begin a comment in it.
    let data = text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    format!(
        "<div id=\"explore\"></div>\n<noscript><p class=\"caption\">With scripts this page has more pictures, and its \
         table can be sorted and filtered.</p></noscript>\n\
         <script type=\"application/json\" id=\"trials-data\">{data}</script>\n"
    )
}

/// The trials that the page can hold, in the order of their numbers: one in so many, and the best.
fn kept<'a>(view: &View<'a>, room: usize) -> Vec<&'a Trial> {
    let all = view.study.trials();
    if all.len() <= room {
        return all.iter().collect();
    }
    let pinned = MOST_PINNED.min(room / 2);
    let every = all.len().div_ceil(room - pinned);
    let best = ranked(view.study).into_iter().take(pinned).map(|trial| trial.id);
    let best: BTreeSet<TrialId> = best.chain(view.chosen().map(|trial| trial.id)).collect();
    let kept = all.iter().enumerate().filter(|(i, trial)| i % every == 0 || best.contains(&trial.id));
    kept.map(|(_, trial)| trial).collect()
}

fn data(view: &View<'_>, cells: usize) -> Json {
    let header = view.study.header();
    let columns = 4 + header.objectives.len() + header.space.iter().count();
    let trials = kept(view, (cells / columns).max(2));
    let rule = header.metric.value;
    let of = |get: &dyn Fn(&Trial) -> Option<f64>| -> Json {
        trials
            .iter()
            .map(|trial| get(trial).filter(|v| v.is_finite()).map_or(Json::Null, |v| json!(rounded(v))))
            .collect()
    };
    let mut statuses: Vec<&str> = trials.iter().map(|trial| trial.status.as_str()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let status = |trial: &&Trial| statuses.iter().position(|name| *name == trial.status.as_str());
    let n = |trial: &Trial| Some(trial.measurements.len().max(usize::from(trial.told.is_some())) as f64);
    let values: Vec<f64> = trials.iter().filter_map(|trial| trial.value(rule)).collect();
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let mut columns = vec![
        json!({ "name": "trial", "v": trials.iter().map(|trial| trial.id.0).collect::<Vec<_>>() }),
        json!({ "name": "status", "choices": &statuses, "v": trials.iter().map(status).collect::<Vec<_>>() }),
        json!({
            "name": header.metric.name, "metric": true, "axis": true, "log": low > 0.0 && high / low > super::charts::LOG_FROM,
            "v": of(&|trial| trial.value(rule)),
        }),
        json!({ "name": "measurements", "v": of(&n) }),
    ];
    for (i, objective) in header.objectives.iter().enumerate() {
        let value = |trial: &Trial| trial.more(rule).get(i).copied();
        columns.push(json!({ "name": objective.name, "axis": true, "v": of(&value) }));
    }
    for (name, domain) in header.space.iter() {
        let (log, choices) = match domain {
            Domain::Float(d) => (d.is_log(), None),
            Domain::Int(d) => (d.is_log(), None),
            Domain::Bool => (false, Some(vec!["false".to_owned(), "true".to_owned()])),
            Domain::Categorical(c) | Domain::Ordinal(c) => {
                (false, Some(c.values().iter().map(ToString::to_string).collect::<Vec<_>>()))
            }
        };
        let value = |trial: &Trial| {
            let value = trial.config.value(name)?;
            match &choices {
                Some(choices) => choices.iter().position(|choice| *choice == value.to_string()).map(|at| at as f64),
                None => value.as_f64(),
            }
        };
        let mut column = json!({ "name": name, "axis": true, "log": log, "v": of(&value) });
        if let Some(choices) = &choices {
            column["choices"] = json!(choices);
        }
        columns.push(column);
    }
    let reasons = trials.iter().enumerate().filter_map(|(i, trial)| {
        let why: String = trial.failure.as_ref()?.chars().take(120).collect();
        Some((i.to_string(), json!(why)))
    });
    let reasons: serde_json::Map<String, Json> = reasons.take(MOST_REASONS).collect();
    let place = view.chosen().and_then(|best| trials.iter().position(|trial| trial.id == best.id));
    let all = view.study.trials().len();
    json!({ "goal": header.metric.goal, "best": place, "all": all, "columns": columns, "why": reasons })
}

/// A number with six digits that mean something, and whole where it is.
fn rounded(value: f64) -> Json {
    let short: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    if short.fract() == 0.0 && short.abs() < 1e15 { json!(short as i64) } else { json!(short) }
}
