//! The influence of the parameters: shares of the metric's variance as bars, and for each parameter the metric averaged
//! over all the others.
//!
//! This file writes the section's words and pictures from given numbers; the run computes the numbers.

use tunekit::drawing::{Axis, Colour, Mark, Picture, Side, both, escape, format, section};

use super::charts::{Size, metric_title, parameter_axis, place_of, ticks_for};
use super::{Curve, Influence, Parameter, ParameterValue, ReportError, ReportInput, Share};

const WIDE: u32 = 1040;
const NARROW: u32 = 400;
/// Height of a row of the bars, and of the text below them.
const ROW: u32 = 46;
const BELOW: u32 = 54;
const CURVE: Size = (500, 260);

/// The number of pairs that are shown; the table in the folder has the others.
const MOST_PAIRS: usize = 3;
const SMALLEST_PAIR: f64 = 0.02;
/// Least share of the variance that a surface explains before the page warns that it knows little.
const KNOWS_LITTLE: f64 = 0.5;

/// The section.
pub(super) fn influence(input: &ReportInput) -> Result<String, ReportError> {
    const TITLE: &str = "Which parameters matter";
    let influence = match &input.influence {
        Ok(influence) => influence,
        Err(reason) => {
            let content = format!("<p class=\"caption\">No shares are shown: {}.</p>\n", escape(reason));
            return Ok(section(TITLE, &(without_effect(input) + &content)));
        }
    };
    let shown = shown(influence);
    let metric = escape(&input.metric);
    if !shown.iter().any(|share| share.share > 0.0) {
        let all = influence.configurations;
        let content = format!("<p class=\"caption\">In {all} configurations no parameter changed the {metric}.</p>\n");
        return Ok(section(TITLE, &(without_effect(input) + &content)));
    }
    let bars = both([WIDE, NARROW].map(|width| bars(&shown, input, width)))?;
    let mut content = format!(
        "<p class=\"caption\">{}</p>\n<figure>\n{bars}<figcaption class=\"caption\">A bar is the share of the variation of \
         {metric} over the whole space that a parameter accounts for by itself, or (grey) a pair beyond what each does \
         alone. Whiskers tell how exactly that could be computed, not how well the surface is known.</figcaption>\n\
         </figure>\n",
        how_sure(influence, &metric)
    );
    content.push_str(&curves(input, influence)?);
    content.push_str(
        "<p class=\"caption\">The figures are in <code>importances.csv</code> and <code>partial_dependence.csv</code>.</p>\n",
    );
    Ok(section(TITLE, &(without_effect(input) + &content)))
}

/// The parameters without effect here; empty if there are none.
fn without_effect(input: &ReportInput) -> String {
    if input.without_effect.is_empty() {
        return String::new();
    }
    let names: Vec<String> = input.without_effect.iter().map(|name| format!("<code>{}</code>", escape(name))).collect();
    format!(
        "<p>No measurable effect here: {}. The configuration found has the engine's default for them.</p>\n",
        names.join(", ")
    )
}

/// The number of configurations, the model, and its trustworthiness.
fn how_sure(influence: &Influence, metric: &str) -> String {
    let Influence { configurations, surface, known, .. } = influence;
    let (surface, known_percent) = (escape(surface), format::percent(*known));
    let read = format!("Computed from {surface}, fitted to {configurations} configurations");
    if *known < KNOWS_LITTLE {
        format!(
            "{read}. The model explains only {known_percent} of how {metric} varies over the space, by its own \
             estimate: take all of this as a hint."
        )
    } else {
        format!(
            "{read}. The model explains {known_percent} of how {metric} varies over the space, by its own estimate."
        )
    }
}

/// Every parameter, and the pairs worth a bar.
fn shown(influence: &Influence) -> Vec<&Share> {
    let (alone, pairs): (Vec<&Share>, Vec<&Share>) = influence
        .shares
        .iter()
        .filter(|share| (0.0..=1.0).contains(&share.share))
        .partition(|share| share.parameters.len() < 2);
    let mut pairs: Vec<&Share> = pairs.into_iter().filter(|share| share.share >= SMALLEST_PAIR).collect();
    pairs.sort_by(|a, b| b.share.total_cmp(&a.share));
    alone.into_iter().chain(pairs.into_iter().take(MOST_PAIRS)).collect()
}

/// A row each: its words, and below them the bar with its whisker.
fn bars(shown: &[&Share], input: &ReportInput, width: u32) -> Picture {
    let percent = |value: f64| 100.0 * value;
    let ends = shown.iter().map(|share| percent(whisker(share)[1]));
    let label = |value: f64| format!("{} %", format::plain(value));
    let mut across = Axis::over(String::new(), ends.chain([0.0]), false, label, ticks_for(width));
    // Room for the words of the tick at 0.
    across.low -= 0.03 * (across.high - across.low);
    across.title = format!("share of the variation of {}", input.metric);
    let mut marks = Vec::new();
    for (row, share) in shown.iter().rev().enumerate() {
        let row = row as f64;
        let colour = if share.parameters.len() < 2 { Colour::Found } else { Colour::Trial };
        let [low, high] = whisker(share).map(percent);
        let corners = [(0.0, row), (percent(share.share), row + 0.4)];
        marks.push(Mark::Band { corners, colour, opacity: 0.55 });
        if high - low > percent(0.002) {
            let through = vec![(low, row + 0.2), (high, row + 0.2)];
            marks.push(Mark::Line { through, colour: Colour::Ink, width: 2, dashed: false });
        }
        let text = format!("{}: {}", share.parameters.join(" × "), format::percent(share.share));
        marks.push(Mark::Words { at: (0.0, row + 0.46), text, colour, side: Side::Right });
    }
    let rows = shown.len() as f64;
    let height = ROW * shown.len() as u32 + BELOW;
    let subject = format!("share of the variation of {} by parameter", input.metric);
    Picture { subject, width, height, across, up: Axis::bare(-0.15, rows - 0.05), marks }
}

/// An interval of 95 % of a share; shares lie between 0 and 1.
fn whisker(share: &Share) -> [f64; 2] {
    let half = if share.sd.is_finite() { 1.96 * share.sd } else { 0.0 };
    [share.share - half, share.share + half].map(|end| end.clamp(0.0, 1.0))
}

fn curves(input: &ReportInput, influence: &Influence) -> Result<String, ReportError> {
    let mut figures = String::new();
    for curve in &influence.curves {
        if let Some(picture) = curve_picture(input, influence, curve) {
            figures.push_str(&format!("<figure>{}</figure>\n", picture.svg()?));
        }
    }
    if figures.is_empty() {
        return Ok(String::new());
    }
    let mut legend = "<li><i style=\"color:var(--ink)\"></i>mean</li>".to_owned();
    if let Some((name, _)) = &input.reference {
        let name = escape(name);
        legend.push_str(&format!("<li><i class=\"dash\" style=\"color:var(--before)\"></i>{name}</li>"));
    }
    if input.best_trial.is_some() {
        legend.push_str("<li><i class=\"dash\" style=\"color:var(--found)\"></i>chosen</li>");
    }
    Ok(format!(
        "<p class=\"caption\">How the {} depends on one parameter, averaged over all values of the others; bands are 95 % \
         intervals. The averages are over the whole space, so they lie above what a good configuration reaches: look at \
         slopes, not at heights.</p>\n<ul class=\"legend\">{legend}</ul>\n<div class=\"slices\">\n{figures}</div>\n",
        escape(&input.metric)
    ))
}

/// A curve with its band; none of fewer than two points. All curves stand on the same vertical axis.
fn curve_picture(input: &ReportInput, influence: &Influence, curve: &Curve) -> Option<Picture> {
    let index = input.parameters.iter().position(|parameter| parameter.name == curve.parameter)?;
    let parameter = &input.parameters[index];
    if curve.points.len() < 2 {
        return None;
    }
    let (width, height) = CURVE;
    let values: Vec<ParameterValue> = curve.points.iter().map(|point| point.value.clone()).collect();
    // The default may lie outside the space: it does not stretch the axis.
    let (across, choices) = parameter_axis(&Parameter { before: None, ..parameter.clone() }, &values, ticks_for(width));
    let place = |value: &ParameterValue| place_of(value, &across, &choices);
    let all = influence.curves.iter().flat_map(|curve| &curve.points);
    let ends = all.flat_map(|point| point.ci95.into_iter().chain([point.mean]));
    let up = Axis::over(metric_title(input), ends, false, format::plain, (height / 50) as usize);

    let mut marks = Vec::new();
    let chosen = input.trials.iter().find(|trial| Some(trial.number) == input.best_trial);
    let chosen = chosen.and_then(|trial| trial.config.get(index)?.as_ref());
    for (value, colour) in [(parameter.before.as_ref(), Colour::Before), (chosen, Colour::Found)] {
        if let Some(at) = value.and_then(place).filter(|at| (across.low..=across.high).contains(at)) {
            marks.push(Mark::Line { through: vec![(at, up.low), (at, up.high)], colour, width: 2, dashed: true });
        }
    }
    let points: Vec<(f64, f64, [f64; 2])> = curve
        .points
        .iter()
        .filter_map(|point| {
            let [low, high] = point.ci95;
            Some((place(&point.value)?, up.place(point.mean)?, [up.place(low)?, up.place(high)?]))
        })
        .collect();
    if choices.is_empty() {
        let outline = points.iter().map(|(at, _, [low, _])| (*at, *low));
        let back = points.iter().rev().map(|(at, _, [_, high])| (*at, *high));
        marks.push(Mark::Area { outline: outline.chain(back).collect(), colour: Colour::Trial, opacity: 0.3 });
        let through = points.iter().map(|(at, mean, _)| (*at, *mean)).collect();
        marks.push(Mark::Line { through, colour: Colour::Ink, width: 2, dashed: false });
    } else {
        for (at, mean, [low, high]) in points {
            let corners = [(at - 0.12, low), (at + 0.12, high)];
            marks.push(Mark::Band { corners, colour: Colour::Trial, opacity: 0.3 });
            let through = vec![(at - 0.12, mean), (at + 0.12, mean)];
            marks.push(Mark::Line { through, colour: Colour::Ink, width: 2, dashed: false });
        }
    }
    let subject = format!("mean {} over {}", input.metric, parameter.name);
    Some(Picture { subject, width, height, across, up, marks })
}
