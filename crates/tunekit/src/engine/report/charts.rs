//! The contents of a study's pictures. Pure: trials to marks on axes.

use super::View;
use crate::doors::picture::{Colour, Mark, Picture, Place, Side};
use crate::rules::importance::Importances;
use crate::rules::study::Study;
use crate::words::domain::Domain;
use crate::words::drawing::{Axis, format};
use crate::words::trial::{Status, Trial};

/// Width and height in pixels.
pub(super) type Size = (u32, u32);

/// Trials that one picture shows at most.
pub(super) const MOST_SHOWN: usize = 1200;
/// Curves that one picture shows at most, and places on each.
const MOST_CURVES: usize = 150;
const MOST_PLACES: usize = 60;
/// Steps of the distribution.
const MOST_STEPS: usize = 300;
/// Bars of the timeline.
const MOST_BARS: usize = 600;
/// A spread beyond this factor reads better on a logarithmic axis.
pub(super) const LOG_FROM: f64 = 30.0;
/// The share of the metric's axis that is kept for trials that failed.
const FAILED_SHARE: f64 = 0.08;

pub(super) fn ticks_for(width: u32) -> usize {
    (width / 85) as usize
}

fn value(study: &Study, trial: &Trial) -> Option<f64> {
    trial.value(study.header().metric.value).filter(|value| value.is_finite())
}

fn loss(study: &Study, trial: &Trial) -> Option<f64> {
    value(study, trial).map(|value| study.header().metric.goal.loss(value))
}

/// Whether a trial is not known to break a constraint.
pub(super) fn is_feasible(study: &Study, trial: &Trial) -> bool {
    trial.constraints(study.header().metric.value).iter().all(|value| *value <= 0.0)
}

/// Trials in the order of their ends, thinned to the number that a picture can show; the best is always among them.
fn shown<'a>(view: &View<'a>, most: usize) -> Vec<&'a Trial> {
    let mut order: Vec<&Trial> = view.study.trials().iter().collect();
    order.sort_by(|a, b| at(a).total_cmp(&at(b)));
    let every = order.len().div_ceil(most).max(1);
    let best = view.chosen().map(|trial| trial.id);
    let kept = order.into_iter().enumerate().filter(|(i, t)| i % every == 0 || Some(t.id) == best);
    kept.map(|(_, trial)| trial).collect()
}

/// The trials that a picture of this width can show apart.
fn most_at(width: u32) -> usize {
    MOST_SHOWN.min(width as usize)
}

/// The time of a trial's value: seconds of the study, or the trial's number without a clock.
fn at(trial: &Trial) -> f64 {
    let last = trial.measurements.last().and_then(|m| m.at_s);
    trial.ended_s.or(last).or(trial.started_s).unwrap_or(trial.id.0 as f64)
}

/// The metric's axis over these values.
fn scale(study: &Study, values: impl Iterator<Item = f64> + Clone, most: usize) -> Axis {
    let (low, high) = values.clone().fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
    let log = low > 0.0 && high / low > LOG_FROM;
    let name = &study.header().metric.name;
    let title = if log { format!("{name} (log)") } else { name.clone() };
    Axis::over(title, values, log, format::plain, most)
}

/// The same with a place for trials that failed.
fn metric_axis(study: &Study, values: impl Iterator<Item = f64> + Clone, most: usize) -> Axis {
    let mut axis = scale(study, values, most);
    if study.trials().iter().any(|trial| trial.status.is_failure()) {
        // Failed trials have no value, and are drawn above all others.
        axis.high += (axis.high - axis.low) * FAILED_SHARE;
    }
    axis
}

fn values(study: &Study) -> impl Iterator<Item = f64> + Clone + '_ {
    study.trials().iter().filter_map(|trial| value(study, trial))
}

fn mark(study: &Study, trial: &Trial, across: f64, up: &Axis, opacity: f64, best: Option<&Trial>) -> Vec<Mark> {
    if trial.status.is_failure() {
        let top = up.high - (up.high - up.low) * FAILED_SHARE / 2.0;
        return vec![Mark::Cross { at: (across, top), colour: Colour::Failed }];
    }
    let Some(place) = value(study, trial).and_then(|value| up.place(value)) else { return Vec::new() };
    let at = (across, place);
    if best.is_some_and(|best| best.id == trial.id) {
        return vec![
            Mark::Dot { at, colour: Colour::Found, opacity: 1.0, radius: 5 },
            Mark::Ring { at, colour: Colour::Found, radius: 9, width: 2 },
        ];
    }
    let max = study.header().max_resource;
    let is_whole =
        trial.status == Status::Completed || max.is_some_and(|max| trial.last_step().is_some_and(|step| step >= max));
    vec![if is_whole {
        Mark::Dot { at, colour: Colour::Trial, opacity, radius: 4 }
    } else {
        Mark::Ring { at, colour: Colour::Trial, radius: 4, width: 1 }
    }]
}

/// Every trial when it ended, the best value until then, and the interval of the best configuration.
pub(super) fn progress(view: &View<'_>, (width, height): Size) -> Picture {
    let (study, best) = (view.study, &view.best);
    let ends = best.iter().flat_map(|best| best.ci95.into_iter().flatten().chain([best.mean]));
    let ends: Vec<f64> = ends.collect();
    let up = metric_axis(study, values(study).chain(ends.iter().copied()), (height / 55) as usize);
    let trials = shown(view, most_at(width));
    let timed = study.trials().iter().any(|trial| trial.started_s.is_some());
    let title = if timed { "time of the study (s)" } else { "trial" };
    let times = trials.iter().map(|trial| at(trial)).chain([0.0]);
    let across = Axis::over(title.to_owned(), times, false, format::plain, ticks_for(width));
    let mut marks = Vec::new();
    if let Some([low, high]) = best.as_ref().and_then(|best| best.ci95)
        && let (Some(low), Some(high)) = (up.place(low), up.place(high))
    {
        let corners = [(across.low, low), (across.high, high)];
        marks.push(Mark::Band { corners, colour: Colour::Found, opacity: 0.15 });
    }
    let mut least = f64::INFINITY;
    let mut line: Vec<Place> = Vec::new();
    let counts = |trial: &&Trial| !trial.is_pending() && is_feasible(study, trial);
    let mut order: Vec<&Trial> = study.trials().iter().filter(counts).collect();
    order.sort_by(|a, b| at(a).total_cmp(&at(b)));
    for trial in order {
        let (Some(own), Some(value)) = (loss(study, trial), value(study, trial)) else { continue };
        if own < least
            && let (Some(time), Some(place)) = (across.place(at(trial)), up.place(value))
        {
            least = own;
            line.extend(line.last().map(|(_, before)| (time, *before)));
            line.push((time, place));
        }
    }
    line.extend(line.last().map(|(_, place)| (across.high, *place)));
    marks.push(Mark::Line { through: line, colour: Colour::Found, width: 2, dashed: false });
    let best = view.chosen();
    for trial in trials {
        marks.extend(across.place(at(trial)).into_iter().flat_map(|place| mark(study, trial, place, &up, 0.8, best)));
    }
    let subject = format!("{} of every trial over time, and the best until then", study.header().metric.name);
    Picture { subject, width, height, across, up, marks }
}

/// The share of the trials with a value that is not larger than each value, and the best configuration's mean.
pub(super) fn distribution(view: &View<'_>, (width, height): Size) -> Picture {
    let study = view.study;
    let mut sorted: Vec<f64> = values(study).collect();
    sorted.sort_by(f64::total_cmp);
    let mean = view.best.as_ref().map(|best| best.mean);
    let across = scale(study, sorted.iter().copied().chain(mean), ticks_for(width));
    let title = "share of the trials".to_owned();
    let up = Axis::over(title, [0.0, 1.0].into_iter(), false, format::percent, (height / 55) as usize);
    let count = sorted.len();
    let every = count.div_ceil(MOST_STEPS).max(1);
    let mut through = vec![(across.low, 0.0)];
    let mut share = 0.0;
    for (i, value) in sorted.iter().enumerate() {
        let upto = i + 1;
        if upto % every != 0 && upto != count {
            continue;
        }
        let Some(place) = across.place(*value) else { continue };
        through.push((place, share));
        share = upto as f64 / count as f64;
        through.push((place, share));
    }
    through.push((across.high, share));
    let mut marks = vec![Mark::Line { through, colour: Colour::Trial, width: 2, dashed: false }];
    if let Some(place) = mean.and_then(|mean| across.place(mean)) {
        let through = vec![(place, 0.0), (place, 1.0)];
        marks.push(Mark::Line { through, colour: Colour::Found, width: 2, dashed: true });
    }
    let subject =
        format!("share of the trials by their {}, from the smallest to the largest", study.header().metric.name);
    Picture { subject, width, height, across, up, marks }
}

/// The values that trials reported on their way.
pub(super) fn curves(view: &View<'_>, (width, height): Size) -> Picture {
    let (study, best) = (view.study, view.chosen());
    let mut trials: Vec<&Trial> = study.trials().iter().filter(|trial| trial.measurements.len() > 1).collect();
    // The best trials are drawn on top, and are kept if not all can be drawn.
    let key = |trial: &Trial| loss(study, trial).unwrap_or(f64::INFINITY);
    trials.sort_by(|a, b| key(a).total_cmp(&key(b)));
    trials.truncate(MOST_CURVES);
    let all = || trials.iter().flat_map(|trial| &trial.measurements);
    let up = metric_axis(study, all().map(|m| m.value), (height / 55) as usize);
    let steps = all().map(|m| m.step as f64);
    let across = Axis::over("resource".to_owned(), steps, false, format::plain, ticks_for(width));
    let mut marks = Vec::new();
    for trial in trials.iter().rev() {
        let every = trial.measurements.len().div_ceil(MOST_PLACES).max(1);
        let last = trial.measurements.len() - 1;
        let kept = trial.measurements.iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last);
        let through = kept.filter_map(|(_, m)| Some((across.place(m.step as f64)?, up.place(m.value)?))).collect();
        let is_best = best.is_some_and(|best| best.id == trial.id);
        let (colour, line) = if is_best { (Colour::Found, 3) } else { (Colour::Trial, 1) };
        marks.push(Mark::Line { through, colour, width: line, dashed: false });
    }
    let subject = format!("{} of trials over the resource they were given", study.header().metric.name);
    Picture { subject, width, height, across, up, marks }
}

/// The metric and the first further objective, with the front.
pub(super) fn front(view: &View<'_>, (width, height): Size) -> Picture {
    let study = view.study;
    let other = study.header().objectives.first().map_or(String::new(), |metric| metric.name.clone());
    let rule = study.header().metric.value;
    let point = |trial: &Trial| Some((value(study, trial)?, *trial.more(rule).first()?));
    let points: Vec<(f64, f64)> = shown(view, most_at(width)).into_iter().filter_map(point).collect();
    let across = Axis::over(
        study.header().metric.name.clone(),
        points.iter().map(|p| p.0),
        false,
        format::plain,
        ticks_for(width),
    );
    let up = Axis::over(other, points.iter().map(|p| p.1), false, format::plain, (height / 55) as usize);
    let dot = |(a, b): (f64, f64), colour, radius| {
        Some(Mark::Dot { at: (across.place(a)?, up.place(b)?), colour, opacity: 0.8, radius })
    };
    let mut marks: Vec<Mark> = points.iter().filter_map(|point| dot(*point, Colour::Trial, 4)).collect();
    let best = study.pareto();
    marks.extend(best.iter().filter_map(|best| dot((best.value, *best.more.first()?), Colour::Found, 6)));
    let subject = format!("trade-off between {} and the first further objective", study.header().metric.name);
    Picture { subject, width, height, across, up, marks }
}

/// The metric over one parameter, with about `most` trials; `None` where the parameter did not vary.
pub(super) fn slice(view: &View<'_>, name: &str, (width, height): Size, most: usize) -> Option<Picture> {
    let study = view.study;
    let domain = study.header().space.domain(name)?;
    let trials = shown(view, most);
    let (is_log, choices) = match domain {
        Domain::Float(d) => (d.is_log(), None),
        Domain::Int(d) => (d.is_log(), None),
        Domain::Bool => (false, Some(vec!["false".to_owned(), "true".to_owned()])),
        Domain::Categorical(c) | Domain::Ordinal(c) => {
            (false, Some(c.values().iter().map(ToString::to_string).collect::<Vec<_>>()))
        }
    };
    let seat = |trial: &Trial| {
        let value = trial.config.value(name)?;
        match &choices {
            Some(choices) => choices.iter().position(|choice| *choice == value.to_string()).map(|at| at as f64),
            None => value.as_f64(),
        }
    };
    let seats: Vec<f64> = trials.iter().filter_map(|trial| seat(trial)).collect();
    if seats.windows(2).all(|pair| pair[0] == pair[1]) {
        return None;
    }
    let across = match &choices {
        Some(choices) => Axis::of_choices(name.to_owned(), choices),
        None => {
            let title = if is_log { format!("{name} (log)") } else { name.to_owned() };
            Axis::over(title, seats.into_iter(), is_log, format::plain, ticks_for(width))
        }
    };
    let up = metric_axis(study, values(study), (height / 50) as usize);
    let best = view.chosen();
    let mut marks = Vec::new();
    for (order, trial) in trials.iter().enumerate() {
        let Some(place) = seat(trial).and_then(|value| across.place(value)) else { continue };
        // Side by side where a choice would put all on one line: multiples of the golden ratio.
        let spread = if choices.is_some() { ((order as f64 * 0.618_034).fract() - 0.5) * 0.5 } else { 0.0 };
        let opacity = 0.3 + 0.7 * (order + 1) as f64 / trials.len() as f64;
        marks.extend(mark(study, trial, place + spread, &up, opacity, best));
    }
    let subject = format!("{} over {name}", study.header().metric.name);
    Some(Picture { subject, width, height, across, up, marks })
}

/// The shares of the parameters, the largest on top.
pub(super) fn shares(importances: &Importances, width: u32) -> Picture {
    let shown: Vec<_> = importances.main.iter().take(12).collect();
    let across = Axis::over("share".to_owned(), [0.0, 1.0].into_iter(), false, format::percent, ticks_for(width));
    let mut marks = Vec::new();
    for (i, share) in shown.iter().enumerate() {
        let row = (shown.len() - 1 - i) as f64;
        let corners = [(0.0, row), (share.share.clamp(0.0, 1.0), row + 0.4)];
        marks.push(Mark::Band { corners, colour: Colour::Found, opacity: 0.8 });
        let ends = [share.share - share.sd, share.share + share.sd].map(|end| (end.clamp(0.0, 1.0), row + 0.2));
        marks.push(Mark::Line { through: ends.to_vec(), colour: Colour::Ink, width: 2, dashed: false });
        let text = format!("{}: {}", share.parameters.concat(), format::percent(share.share));
        marks.push(Mark::Words { at: (across.low, row + 0.45), text, colour: Colour::Ink, side: Side::Right });
    }
    let height = 70 + 44 * shown.len() as u32;
    let up = Axis::bare(-0.2, shown.len() as f64);
    Picture {
        subject: "share of each parameter in the metric's variation".to_owned(),
        width,
        height,
        across,
        up,
        marks,
    }
}

/// The trials of each worker over time, derived from the beginnings and ends of the trials.
pub(super) fn timeline(view: &View<'_>, width: u32) -> Picture {
    let mut bars: Vec<(f64, f64, &Trial)> =
        view.study.trials().iter().filter_map(|trial| Some((trial.started_s?, at(trial), trial))).collect();
    bars.sort_by(|a, b| a.0.total_cmp(&b.0));
    let every = bars.len().div_ceil(MOST_BARS.min(width as usize / 2)).max(1);
    let across = Axis::over(
        "time of the study (s)".to_owned(),
        bars.iter().flat_map(|(from, to, _)| [*from, *to]),
        false,
        format::plain,
        ticks_for(width),
    );
    let mut free_from: Vec<f64> = Vec::new();
    let mut marks = Vec::new();
    let best = view.chosen().map(|trial| trial.id);
    for (i, (from, to, trial)) in bars.into_iter().enumerate() {
        let row = free_from.iter().position(|free| *free <= from).unwrap_or(free_from.len());
        match free_from.get_mut(row) {
            Some(free) => *free = to,
            None => free_from.push(to),
        }
        if i % every != 0 && Some(trial.id) != best {
            continue;
        }
        let colour = match trial.status {
            status if status.is_failure() => Colour::Failed,
            _ if Some(trial.id) == best => Colour::Found,
            _ => Colour::Trial,
        };
        let row = row as f64;
        let (Some(from), Some(to)) = (across.place(from), across.place(to)) else { continue };
        let gap = (across.high - across.low) * 0.0006;
        let corners = [(from, row + 0.1), ((to - gap).max(from), row + 0.9)];
        marks.push(Mark::Band { corners, colour, opacity: 0.75 });
    }
    let rows = free_from.len().clamp(1, 40) as u32;
    let up = Axis::bare(-0.1, free_from.len().max(1) as f64 + 0.1);
    let subject = "trials over time, a row for each that ran at the same time".to_owned();
    Picture { subject, width, height: 60 + 22 * rows, across, up, marks }
}
