//! The contents of the pictures: the final comparison, the course of the search, and a slice for each parameter.
//!
//! Pure functions from inputs to marks on axes. Each picture is drawn in the requested size, so that the page can hold
//! one for a large screen and one for a phone, with letters of the same size on both.

use tunekit::drawing::{Axis, Colour, Mark, Picture, Place, Side, format};

use super::{Arm, ArmKind, Comparison, Outcome, Parameter, ParameterUnit, ParameterValue, ReportInput, TrialRow};

/// A spread beyond this factor reads better on a logarithmic axis.
const LOG_FROM: f64 = 3.0;

/// The share of the metric's axis that is kept for trials that failed.
const FAILED_SHARE: f64 = 0.08;

/// Width and height in pixels.
pub(super) type Size = (u32, u32);

pub(super) fn metric_title(input: &ReportInput) -> String {
    format!("{} ({})", input.metric, input.unit)
}

/// The axis of the metric over every trial, the same in all pictures of the search.
fn metric_axis(input: &ReportInput, most: usize) -> Axis {
    let values = || {
        let trials = input.trials.iter().filter_map(|trial| trial.outcome.value());
        trials.chain(input.reference.iter().map(|(_, mean)| *mean)).filter(|value| value.is_finite())
    };
    let (low, high) = values().fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    let log = low > 0.0 && high / low > LOG_FROM;
    let title = if log { format!("{} ({}, log)", input.metric, input.unit) } else { metric_title(input) };
    let mut axis = Axis::over(title, values(), log, format::plain, most);
    if input.trials.iter().any(|trial| trial.outcome.value().is_none()) {
        // Failed trials have no value, and are drawn above all others.
        axis.high += (axis.high - axis.low) * FAILED_SHARE;
    }
    axis
}

pub(super) fn ticks_for(width: u32) -> usize {
    (width / 85) as usize
}

/// Every measurement of every arm as a dot, the mean as a line, its interval as a band.
pub(super) fn comparison(input: &ReportInput, comparison: &Comparison, (width, height): Size) -> Picture {
    let arms = &comparison.arms;
    let values = arms
        .iter()
        .flat_map(|arm| arm.measurements.iter().copied().chain([arm.mean]).chain(arm.ci95.into_iter().flatten()));
    let across = Axis::over(metric_title(input), values, false, format::plain, ticks_for(width));
    let mut marks = Vec::new();
    for (place, arm) in arms.iter().enumerate() {
        let row = (arms.len() - 1 - place) as f64;
        marks.extend(arm_marks(arm, arm_colour(arm), row, &across, &input.unit));
    }
    let names: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
    let subject = format!("{} of each measurement: {}", input.metric, names.join(", "));
    Picture { subject, width, height, across, up: Axis::bare(-0.4, arms.len() as f64 - 0.25), marks }
}

fn arm_colour(arm: &Arm) -> Colour {
    match arm.kind {
        ArmKind::Baseline => Colour::Trial,
        ArmKind::Default => Colour::Before,
        ArmKind::Found => Colour::Found,
    }
}

fn arm_marks(arm: &Arm, colour: Colour, row: f64, across: &Axis, unit: &str) -> Vec<Mark> {
    let mut marks = Vec::new();
    if let Some([low, high]) = arm.ci95
        && let (Some(low), Some(high)) = (across.place(low), across.place(high))
    {
        marks.push(Mark::Band { corners: [(low, row - 0.24), (high, row + 0.24)], colour, opacity: 0.2 });
    }
    if let Some(mean) = across.place(arm.mean) {
        marks.push(Mark::Line {
            through: vec![(mean, row - 0.24), (mean, row + 0.24)],
            colour,
            width: 3,
            dashed: false,
        });
    }
    for (index, value) in arm.measurements.iter().enumerate() {
        if let Some(place) = across.place(*value) {
            let lift = spread(index) * 0.3;
            marks.push(Mark::Dot { at: (place, row + lift), colour, opacity: 0.75, radius: 4 });
        }
    }
    // The words begin over their data, and end there in the right half, so that they stay inside.
    let mean = across.place(arm.mean).unwrap_or(across.low);
    let side = if mean > f64::midpoint(across.low, across.high) { Side::Left } else { Side::Right };
    let edge = match side {
        Side::Left => across.high,
        Side::Right => across.low,
    };
    let text =
        format!("{}: mean {} {unit}, n = {}", arm.name, format::significant(arm.mean, 3), arm.measurements.len());
    marks.push(Mark::Words { at: (edge, row + 0.34), text, colour, side });
    marks
}

/// A number in [-0.5, 0.5) that is far from those of its neighbours, and the same every time: multiples of the golden
/// ratio.
fn spread(index: usize) -> f64 {
    (index as f64 * 0.618_034).fract() - 0.5
}

/// Every trial when it finished, and the best until then.
pub(super) fn progress(input: &ReportInput, (width, height): Size) -> Picture {
    let up = metric_axis(input, (height / 55) as usize);
    let ends = input.trials.iter().map(|trial| trial.finished_at_seconds);
    let across = Axis::over("search time (s)".to_owned(), ends.chain([0.0]), false, format::plain, ticks_for(width));
    let mut marks = before_line(input, &up, across.low, across.high);

    let mut best = f64::INFINITY;
    let mut line: Vec<Place> = Vec::new();
    for trial in in_order_of_time(&input.trials) {
        let (Some(at), Outcome::Measured(value)) = (across.place(trial.finished_at_seconds), &trial.outcome) else {
            continue;
        };
        if let Some(place) = up.place(*value).filter(|_| *value < best) {
            best = *value;
            line.extend(line.last().map(|(_, above)| (at, *above)));
            line.push((at, place));
        }
    }
    line.extend(line.last().map(|(_, place)| (across.high, *place)));
    marks.push(Mark::Line { through: line, colour: Colour::Found, width: 2, dashed: false });

    for trial in &input.trials {
        if let Some(at) = across.place(trial.finished_at_seconds) {
            marks.extend(trial_mark(input, trial, at, &up, 0.85));
        }
    }
    let subject = format!("{} of every trial over the search time, and the best until then", input.metric);
    Picture { subject, width, height, across, up, marks }
}

fn in_order_of_time(trials: &[TrialRow]) -> Vec<&TrialRow> {
    let mut ordered: Vec<&TrialRow> = trials.iter().collect();
    ordered.sort_by(|a, b| a.finished_at_seconds.total_cmp(&b.finished_at_seconds));
    ordered
}

/// The mean without tuning, as a line.
fn before_line(input: &ReportInput, up: &Axis, low: f64, high: f64) -> Vec<Mark> {
    let place = input.reference.as_ref().and_then(|(_, mean)| up.place(*mean));
    place
        .map(|place| Mark::Line {
            through: vec![(low, place), (high, place)],
            colour: Colour::Before,
            width: 2,
            dashed: true,
        })
        .into_iter()
        .collect()
}

/// A dot for a measured trial, a small ring for a trial that was not measured in full, a cross at the top for a failed
/// trial; the chosen trial has a second mark.
fn trial_mark(input: &ReportInput, trial: &TrialRow, at: f64, up: &Axis, opacity: f64) -> Vec<Mark> {
    let mut marks = Vec::new();
    let Some(value) = trial.outcome.value() else {
        let top = up.high - (up.high - up.low) * FAILED_SHARE / 2.0;
        return vec![Mark::Cross { at: (at, top), colour: Colour::Failed }];
    };
    let Some(place) = up.place(value) else { return marks };
    let at = (at, place);
    if input.best_trial == Some(trial.number) {
        marks.push(Mark::Dot { at, colour: Colour::Found, opacity: 1.0, radius: 5 });
        marks.push(Mark::Ring { at, colour: Colour::Found, radius: 9, width: 2 });
    } else if !matches!(trial.outcome, Outcome::Measured(_)) {
        marks.push(Mark::Ring { at, colour: Colour::Trial, radius: 4, width: 1 });
    } else {
        marks.push(Mark::Dot { at, colour: Colour::Trial, opacity, radius: 4 });
    }
    marks
}

/// The metric over one parameter, all others varying too; none when the parameter did not vary.
pub(super) fn slice(input: &ReportInput, index: usize, (width, height): Size) -> Option<Picture> {
    let parameter = input.parameters.get(index)?;
    let value = |trial: &TrialRow| trial.config.get(index).cloned().flatten();
    let values: Vec<ParameterValue> = input.trials.iter().filter_map(value).collect();
    if values.iter().all(|other| *other == values[0]) {
        return None;
    }
    let (across, choices) = parameter_axis(parameter, &values, ticks_for(width));
    let place = |value: &ParameterValue| place_of(value, &across, &choices);
    let up = metric_axis(input, (height / 50) as usize);

    let mut marks = Vec::new();
    if let Some(before) = parameter.before.as_ref().and_then(place)
        && (across.low..=across.high).contains(&before)
    {
        let through = vec![(before, up.low), (before, up.high)];
        marks.push(Mark::Line { through, colour: Colour::Before, width: 2, dashed: true });
    }
    let ordered = in_order_of_time(&input.trials);
    for (order, trial) in ordered.iter().enumerate() {
        if let Some(at) = value(trial).as_ref().and_then(place) {
            // Side by side where a choice would put all on one line.
            let at = if choices.is_empty() { at } else { at + spread(order) * 0.5 };
            // Later trials are darker: where the search went.
            let opacity = 0.3 + 0.7 * (order + 1) as f64 / ordered.len() as f64;
            marks.extend(trial_mark(input, trial, at, &up, opacity));
        }
    }
    let subject = format!("{} over {}", input.metric, parameter.name);
    Some(Picture { subject, width, height, across, up, marks })
}

/// The axis, and the choices on it where it is not one of numbers.
pub(super) fn parameter_axis(parameter: &Parameter, values: &[ParameterValue], most: usize) -> (Axis, Vec<String>) {
    let title = if parameter.log { format!("{} (log)", parameter.name) } else { parameter.name.clone() };
    let numbers = || values.iter().chain(&parameter.before).filter_map(number);
    if numbers().count() == values.len() + parameter.before.iter().count() {
        let label = match parameter.unit {
            ParameterUnit::Number => format::plain,
            ParameterUnit::Bytes => format::bytes,
        };
        return (Axis::over(title, numbers(), parameter.log, label, most), Vec::new());
    }
    let mut choices: Vec<String> = values.iter().chain(&parameter.before).map(choice_text).collect();
    choices.sort();
    choices.dedup();
    (Axis::of_choices(parameter.name.clone(), &choices), choices)
}

/// The place of a value on the axis made of it.
pub(super) fn place_of(value: &ParameterValue, across: &Axis, choices: &[String]) -> Option<f64> {
    match value {
        ParameterValue::Number(number) if choices.is_empty() => across.place(*number),
        value => choices.iter().position(|choice| *choice == choice_text(value)).map(|place| place as f64),
    }
}

fn number(value: &ParameterValue) -> Option<f64> {
    match value {
        ParameterValue::Number(number) => Some(*number),
        ParameterValue::Choice(_) => None,
    }
}

fn choice_text(value: &ParameterValue) -> String {
    match value {
        ParameterValue::Number(number) => format::plain(*number),
        ParameterValue::Choice(choice) => choice.clone(),
    }
}
