//! The heat map of a study: the metric over the two parameters that matter most, as a picture and as a table.

use super::charts::{LOG_FROM, Size, ticks_for};
use crate::doors::picture::{Colour, Mark, Picture};
use crate::rules::importance::PairDependence;
use crate::rules::study::Study;
use crate::words::domain::Domain;
use crate::words::drawing::{Axis, escape, format};
use crate::words::trial::Trial;
use crate::words::value::Value;

/// Values of each parameter.
pub(super) const VALUES: usize = 14;
/// Trials that are shown in it.
const MOST_DOTS: usize = 150;
/// The opacities of the worst and of the best mean.
const OPACITIES: [f64; 2] = [0.04, 0.9];

/// A parameter's axis, with the places of its values.
struct Scale {
    axis: Axis,
    /// The names of its choices, if it is not a number.
    choices: Option<Vec<String>>,
}

impl Scale {
    fn of(name: &str, domain: &Domain, values: &[Value], most: usize) -> Self {
        let is_log = match domain {
            Domain::Float(d) => d.is_log(),
            Domain::Int(d) => d.is_log(),
            _ => {
                let choices: Vec<String> = values.iter().map(ToString::to_string).collect();
                return Self { axis: Axis::of_choices(name.to_owned(), &choices), choices: Some(choices) };
            }
        };
        let title = if is_log { format!("{name} (log)") } else { name.to_owned() };
        let numbers = values.iter().filter_map(Value::as_f64);
        Self { axis: Axis::over(title, numbers, is_log, format::plain, most), choices: None }
    }

    fn place(&self, value: &Value) -> Option<f64> {
        match &self.choices {
            Some(choices) => choices.iter().position(|choice| *choice == value.to_string()).map(|at| at as f64),
            None => self.axis.place(value.as_f64()?),
        }
    }

    /// The ends of each value's cell: halfway to its neighbours.
    fn cells(&self, values: &[Value]) -> Vec<Option<(f64, f64)>> {
        let places: Vec<Option<f64>> = values.iter().map(|value| self.place(value)).collect();
        let between = |a: usize, b: usize| Some((places.get(a).copied()?? + places.get(b).copied()??) / 2.0);
        let inside = |place: f64| place.clamp(self.axis.low, self.axis.high);
        let cell = |i: usize| {
            let own = places[i]?;
            let (below, above) = (i.checked_sub(1).and_then(|before| between(before, i)), between(i, i + 1));
            let half = above.map(|above| above - own).or(below.map(|below| own - below)).unwrap_or(0.5);
            Some((inside(below.unwrap_or(own - half)), inside(above.unwrap_or(own + half))))
        };
        (0..values.len()).map(cell).collect()
    }
}

/// A mean and the values of the two parameters that it is at.
struct End<'a> {
    mean: f64,
    at: [&'a Value; 2],
}

/// The best and the worst mean.
fn ends<'a>(study: &Study, pair: &'a PairDependence) -> Option<[End<'a>; 2]> {
    let goal = study.header().metric.goal;
    let all = pair.means.iter().zip(&pair.values[1]).flat_map(|(row, up)| {
        row.iter().zip(&pair.values[0]).filter_map(move |(mean, across)| Some(End { mean: (*mean)?, at: [across, up] }))
    });
    let loss = |end: &End<'_>| goal.loss(end.mean);
    let all: Vec<End<'_>> = all.collect();
    let end = |of: fn(&f64, &f64) -> bool| {
        let mut found: Option<&End<'_>> = None;
        for end in &all {
            if found.is_none_or(|found| of(&loss(end), &loss(found))) {
                found = Some(end);
            }
        }
        found.map(|end| End { mean: end.mean, at: end.at })
    };
    Some([end(|a, b| a < b)?, end(|a, b| a > b)?])
}

/// The pictures of these sizes and their caption; `None` where there is nothing to show. `best` is the trial that the
/// page begins with.
pub(super) fn pictures(
    study: &Study,
    pair: &PairDependence,
    best: Option<&Trial>,
    sizes: [Size; 2],
) -> Option<([Picture; 2], String)> {
    let [wide, narrow] = sizes.map(|size| picture(study, pair, best, size));
    Some(([wide?, narrow?], caption(study, pair, best.is_some())))
}

fn picture(study: &Study, pair: &PairDependence, best_known: Option<&Trial>, (width, height): Size) -> Option<Picture> {
    let header = study.header();
    let [best, worst] = ends(study, pair)?;
    let scale = |i: usize, most: usize| {
        let name = &pair.parameters[i];
        Some(Scale::of(name, header.space.domain(name)?, &pair.values[i], most))
    };
    let (across, up) = (scale(0, ticks_for(width))?, scale(1, (height / 50) as usize)?);
    // Means of very different magnitudes are drawn by their logarithms.
    let (low, high) = (best.mean.min(worst.mean), best.mean.max(worst.mean));
    let shade = |mean: f64| if low > 0.0 && high / low > LOG_FROM { mean.ln() } else { mean };
    let (from, to) = (shade(worst.mean), shade(best.mean));
    let mut marks = Vec::new();
    let columns = across.cells(&pair.values[0]);
    for (row, rows) in pair.means.iter().zip(up.cells(&pair.values[1])) {
        for (mean, column) in row.iter().zip(&columns) {
            let (Some(mean), Some(column), Some(rows)) = (mean, column, rows) else { continue };
            let share = if from == to { 0.5 } else { (shade(*mean) - from) / (to - from) };
            let opacity = OPACITIES[0] + (OPACITIES[1] - OPACITIES[0]) * share.clamp(0.0, 1.0);
            marks.push(Mark::Band {
                corners: [(column.0, rows.0), (column.1, rows.1)],
                colour: Colour::Found,
                opacity,
            });
        }
    }
    let place = |trial: &Trial| {
        let value = |name: &String| trial.config.value(name);
        Some((across.place(value(&pair.parameters[0])?)?, up.place(value(&pair.parameters[1])?)?))
    };
    let dots = study.trials().iter().step_by(every(study)).filter_map(place);
    marks.extend(dots.map(|at| Mark::Dot { at, colour: Colour::Ink, opacity: 0.55, radius: 2 }));
    if let Some(at) = best_known.and_then(place) {
        marks.push(Mark::Ring { at, colour: Colour::Before, radius: 7, width: 3 });
    }
    let [one, other] = &pair.parameters;
    let words = |end: &End<'_>| {
        let [a, b] = end.at.map(shown);
        format!("{} at {one} {a} and {other} {b}", format::significant(end.mean, 3))
    };
    let subject = format!(
        "mean of {} over {one} and {other}: the best is {}, the worst {}",
        header.metric.name,
        words(&best),
        words(&worst)
    );
    Some(Picture { subject, width, height, across: across.axis, up: up.axis, marks })
}

/// One trial in so many has a dot.
fn every(study: &Study) -> usize {
    study.trials().len().div_ceil(MOST_DOTS).max(1)
}

/// The meaning of the colours, and the numbers for readers who do not see them.
fn caption(study: &Study, pair: &PairDependence, has_ring: bool) -> String {
    let Some([best, worst]) = ends(study, pair) else { return String::new() };
    let [one, other] = [&pair.parameters[0], &pair.parameters[1]].map(|name| escape(name));
    let [worst, best] = [worst.mean, best.mean].map(|mean| format::significant(mean, 3));
    let ring = if has_ring { "; the ring is the best configuration known" } else { "" };
    let dots = match every(study) {
        1 => "A dot a trial".to_owned(),
        every => format!("A dot for one trial in {every}"),
    };
    let mut html = format!(
        "<p class=\"caption\">The mean of {} over all other parameters, read off {}: from {worst} where it is pale to \
         {best} where it is blue. {dots}{ring}.</p>\n<details><summary>The numbers: {other} \
         downwards, {one} across</summary><div class=\"scroll\"><table>\n<thead><tr><td></td>",
        escape(&study.header().metric.name),
        escape(pair.surface.as_str()),
    );
    for value in &pair.values[0] {
        html += &format!("<th scope=\"col\">{}</th>", escape(&shown(value)));
    }
    html += "</tr></thead>\n<tbody>\n";
    for (row, value) in pair.means.iter().zip(&pair.values[1]).rev() {
        html += &format!("<tr><th scope=\"row\">{}</th>", escape(&shown(value)));
        for mean in row {
            let mean = mean.map(|mean| format::significant(mean, 3)).unwrap_or_default();
            html += &format!("<td class=\"number\">{mean}</td>");
        }
        html += "</tr>\n";
    }
    html + "</tbody></table></div></details>\n"
}

fn shown(value: &Value) -> String {
    value.as_f64().map_or_else(|| value.to_string(), |number| format::significant(number, 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::searcher::SearcherKind;
    use crate::rules::study::Setup;
    use crate::words::metric::Metric;
    use crate::words::space::Space;
    use crate::words::trial::Measured;

    /// The luckiest values break the constraint.
    fn study(trials: usize) -> Study {
        let float = || Domain::float(0.0, 1.0).unwrap();
        let space = Space::new().with("x", float()).unwrap().with("y", float()).unwrap();
        let setup = Setup::new(space, Metric::minimize("loss")).constraint("memory").searcher(SearcherKind::Random);
        let mut study = Study::new(setup).unwrap();
        for _ in 0..trials {
            let job = study.ask().unwrap().assignment().unwrap();
            let [x, y] = ["x", "y"].map(|name| job.config.float(name).unwrap());
            study.tell(job.trial, Measured::new(3.0 * x + y).constraints([0.5 - x])).unwrap();
        }
        study
    }

    #[test]
    fn the_ring_is_where_the_page_says_that_the_best_is() {
        let study = study(15);
        let pair = study.pair_dependence(["x", "y"], 5).unwrap();
        let best = study.best().unwrap().trial;
        let ([wide, _], caption) = pictures(&study, &pair, study.trial(best), [(760, 460), (400, 340)]).unwrap();
        let dots: Vec<_> = wide
            .marks
            .iter()
            .filter_map(|mark| if let Mark::Dot { at, .. } = mark { Some(*at) } else { None })
            .collect();
        let ring = wide.marks.iter().find_map(|mark| if let Mark::Ring { at, .. } = mark { Some(*at) } else { None });
        assert_eq!((dots.len(), ring), (15, Some(dots[best.0 as usize])));
        assert!(study.trial(best).unwrap().config.float("x") >= Some(0.5));
        assert!(caption.contains("A dot a trial; the ring is the best configuration known."), "{caption}");
    }

    #[test]
    fn the_caption_says_where_not_every_trial_has_a_dot() {
        let study = study(301);
        let pair = study.pair_dependence(["x", "y"], 5).unwrap();
        let caption = caption(&study, &pair, false);
        assert!(caption.contains("A dot for one trial in 3.</p>"), "{caption}");
    }
}
