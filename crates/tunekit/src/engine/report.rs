//! The page of a study: its result, the course of the search, and the metric as a function of the parameters.
//!
//! The page is one HTML text that needs no other file and no network, for light and dark screens. `charts` and
//! `contour` make its pictures, and `explore` adds the interactive ones with one script; without scripts the page has
//! everything else. Of very many trials it shows a part, so that it stays below a megabyte.

mod charts;
mod contour;
mod explore;

use std::time::Duration;

use self::charts::Size;
use crate::doors::picture::{PictureError, both, page_with};
use crate::rules::importance::Importances;
use crate::rules::study::Study;
use crate::words::drawing::{escape, format, section};
use crate::words::trial::{Best, Status, Trial};

const WIDE: [Size; 2] = [(1040, 360), (400, 300)];
const DISTRIBUTION: [Size; 2] = [(1040, 260), (400, 260)];
const SLICE: Size = (500, 260);
const HEAT: [Size; 2] = [(760, 460), (400, 340)];
/// Rows of the table of trials, and its cells.
const MOST_ROWS: usize = 400;
const MOST_CELLS: usize = 2000;
/// Dots of all pictures of one parameter together, and the bounds for each.
const MOST_DOTS: usize = 2400;
const DOTS_EACH: [usize; 2] = [100, charts::MOST_SHOWN];
/// Parameters that get a picture of their own.
const MOST_SLICES: usize = 16;

/// A study and its best configuration, which every part of the page marks.
struct View<'a> {
    study: &'a Study,
    best: Option<Best>,
}

impl<'a> View<'a> {
    fn of(study: &'a Study) -> Self {
        Self { study, best: study.best() }
    }

    /// The first trial of the best configuration.
    fn chosen(&self) -> Option<&'a Trial> {
        self.best.as_ref().and_then(|best| self.study.trial(best.trial))
    }
}

/// The page of a study.
///
/// # Errors
/// The drawing library refuses a picture.
///
/// ```
/// use tunekit::{Domain, Metric, Setup, Space, Study, drawing};
/// let space = Space::new().with("x", Domain::float(0.0, 1.0)?)?;
/// let mut study = Study::new(Setup::new(space, Metric::minimize("loss")))?;
/// for value in [0.7, 0.5, 0.6] {
///     let job = study.ask()?.assignment().ok_or("no trial")?;
///     study.tell(job.trial, value)?;
/// }
/// assert!(drawing::report_html(&study, "my study")?.contains("<svg"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn report_html(study: &Study, title: &str) -> Result<String, PictureError> {
    let view = View::of(study);
    let mut body = headline(&view, title);
    if study.trials().is_empty() {
        body += &section("The search", "<p>No trial was started yet.</p>\n");
    } else {
        body += &figure("The search", &both(WIDE.map(|size| charts::progress(&view, size)))?, PROGRESS_LEGEND);
    }
    let has_value = |trial: &&Trial| trial.value(study.header().metric.value).is_some_and(f64::is_finite);
    if study.trials().iter().filter(has_value).nth(1).is_some() {
        let picture = both(DISTRIBUTION.map(|size| charts::distribution(&view, size)))?;
        body += &figure("Distribution of the values", &picture, DISTRIBUTION_CAPTION);
    }
    let has_curves = study.trials().iter().any(|trial| trial.measurements.len() > 1);
    if has_curves {
        let picture = both(WIDE.map(|size| charts::curves(&view, size)))?;
        body += &figure(
            "Learning curves",
            &picture,
            "<p class=\"caption\">One line per trial; the best trial is blue.</p>\n",
        );
    }
    if !study.header().objectives.is_empty() {
        let picture = both(WIDE.map(|size| charts::front(&view, size)))?;
        let caption = "<p class=\"caption\">Trials that ended well; those that no other beats in everything are blue.\
                       </p>\n";
        body += &figure("Pareto front", &picture, caption);
    }
    if let Ok(importances) = study.importances() {
        let picture = both(WIDE.map(|(width, _)| charts::shares(&importances, width)))?;
        let known = format::percent(importances.known);
        let caption = format!(
            "<p class=\"caption\">The share of the metric's variation over the space that each parameter explains, \
             with its standard error. Computed from {}, which explains {known} of the variation.</p>\n",
            escape(importances.surface.as_str())
        );
        body += &figure("Which parameters matter", &picture, &caption);
        body += &heat_map(&view, &importances)?;
    }
    body += &slices(&view)?;
    if study.trials().iter().any(|trial| trial.started_s.is_some()) {
        let picture = both(WIDE.map(|(width, _)| charts::timeline(&view, width)))?;
        body += &figure(
            "Workers",
            &picture,
            "<p class=\"caption\">A bar a trial, on the first worker that was free.</p>\n",
        );
    }
    body += &trials(&view);
    let footer = "Written by tunekit. Beside this page are <code>results.csv</code> (a row a trial), \
                  <code>measurements.csv</code> (a row a measurement) and <code>journal.jsonl</code>, of which all of \
                  it is made.";
    Ok(page_with(&format!("tunekit: {title}"), &body, footer, explore::SCRIPT))
}

const DISTRIBUTION_CAPTION: &str = "<p class=\"caption\">The share of the trials with a value that is not larger than \
     the value below; the dashed line is the best configuration's mean.</p>\n";
const PROGRESS_LEGEND: &str = "<ul class=\"legend\"><li><i class=\"dot\" style=\"color:var(--trial)\"></i>ended</li>\
     <li><i class=\"ring\" style=\"color:var(--trial)\"></i>stopped or paused before its end</li>\
     <li><b class=\"bad\">×</b>failed</li><li><i class=\"found\"></i>the best value so far</li>\
     <li>band: the 95 % interval of the best configuration's mean</li></ul>\n";

fn figure(title: &str, picture: &str, caption: &str) -> String {
    section(title, &format!("<figure>\n{picture}{caption}</figure>\n"))
}

fn headline(view: &View<'_>, title: &str) -> String {
    let (study, best) = (view.study, &view.best);
    let header = study.header();
    let metric = escape(&header.metric.name);
    let mut html = format!("<header>\n<p>{}</p>\n", escape(title));
    match best {
        Some(best) => {
            let mean = format::significant(best.mean, 4);
            html += &format!("<h1>{metric}: <span class=\"good\">{mean}</span>");
            if let Some([low, high]) = best.ci95 {
                html += &format!(" <small>[{}, {}]</small>", format::significant(low, 4), format::significant(high, 4));
            }
            html += &format!("</h1>\n<p class=\"lead\">Trial {} is the best configuration known:</p>\n", best.trial);
            html += "<dl class=\"facts\">\n";
            for (name, value) in best.config.iter() {
                html += &fact(name, &value.as_f64().map_or_else(|| value.to_string(), format::plain));
            }
            html += "</dl>\n";
        }
        None => {
            let why = study.why_no_best().unwrap_or("nothing was measured yet");
            let (first, rest) = why.split_at(1);
            html += &format!("<h1>{}{}</h1>\n", escape(&first.to_uppercase()), escape(rest));
        }
    }
    let count = |of: &[Status]| study.trials().iter().filter(|t| of.contains(&t.status)).count();
    let took = study.elapsed().unwrap_or_default();
    html += "<dl class=\"facts\">\n";
    html += &fact("trials", &study.trials().len().to_string());
    html += &fact("ended", &count(&[Status::Completed, Status::Stopped, Status::CutOff]).to_string());
    html += &fact("failed", &study.trials().iter().filter(|t| t.status.is_failure()).count().to_string());
    html += &fact("time", &seconds(took));
    html += &fact("searcher", &header.searcher);
    html += &fact("scheduler", header.scheduler.name());
    html += &fact("seed", &header.seed.to_string());
    html += "</dl>\n<p class=\"caption\">In brackets the 95 % interval of the mean.</p>\n</header>\n";
    html
}

fn fact(name: &str, value: &str) -> String {
    format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value))
}

fn seconds(time: Duration) -> String {
    let all = time.as_secs();
    if all < 120 { format!("{:.1} s", time.as_secs_f64()) } else { format!("{} min {} s", all / 60, all % 60) }
}

/// The two parameters that matter most, together.
fn heat_map(view: &View<'_>, importances: &Importances) -> Result<String, PictureError> {
    let study = view.study;
    let mut names = importances.main.iter().filter(|one| one.share > 0.0).filter_map(|one| one.parameters.first());
    let (Some(one), Some(other)) = (names.next(), names.next()) else { return Ok(String::new()) };
    let Ok(pair) = study.pair_dependence([one, other], contour::VALUES) else { return Ok(String::new()) };
    let Some((pictures, caption)) = contour::pictures(study, &pair, view.chosen(), HEAT) else {
        return Ok(String::new());
    };
    Ok(figure(&escape(&format!("{one} and {other}")), &both(pictures)?, &caption))
}

fn slices(view: &View<'_>) -> Result<String, PictureError> {
    let mut html = String::new();
    let names: Vec<&str> = view.study.header().space.iter().map(|(name, _)| name).take(MOST_SLICES).collect();
    let [fewest, most] = DOTS_EACH;
    let dots = (MOST_DOTS / names.len().max(1)).clamp(fewest, most);
    for picture in names.into_iter().filter_map(|name| charts::slice(view, name, SLICE, dots)) {
        html += &format!("<figure>{}</figure>\n", picture.svg()?);
    }
    if html.is_empty() {
        return Ok(html);
    }
    let dot = match view.study.trials().len().div_ceil(dots) {
        0 | 1 => "A dot a trial".to_owned(),
        every => format!("A dot for one trial in {every}"),
    };
    let note = format!("<p class=\"caption\">{dot}; later trials are darker. All other parameters vary, too.</p>\n");
    Ok(section("By parameter", &format!("<div class=\"slices\">\n{html}</div>\n{note}")))
}

/// The trials, the best first. Trials that break a constraint come after the others, and trials without a value are
/// last.
fn ranked(study: &Study) -> Vec<&Trial> {
    let metric = &study.header().metric;
    let loss = |trial: &Trial| trial.value(metric.value).map_or(f64::INFINITY, |value| metric.goal.loss(value));
    let key = |trial: &Trial| (trial.value(metric.value).is_none(), !charts::is_feasible(study, trial));
    let mut order: Vec<&Trial> = study.trials().iter().collect();
    order.sort_by(|a, b| key(a).cmp(&key(b)).then(loss(a).total_cmp(&loss(b))));
    order
}

/// The table of trials, with the interactive pictures that its filter thins out, too.
fn trials(view: &View<'_>) -> String {
    let study = view.study;
    let header = study.header();
    let rule = header.metric.value;
    let order = ranked(study);
    let best = view.chosen().map(|trial| trial.id);
    let names: Vec<&str> = header.space.iter().map(|(name, _)| name).collect();
    let mut html = if order.is_empty() { String::new() } else { explore::section_html(view) };
    html += "<div class=\"scroll\"><table class=\"trials\">\n<thead><tr>";
    let objectives: Vec<&str> = header.objectives.iter().map(|metric| metric.name.as_str()).collect();
    let own = ["trial", "status", header.metric.name.as_str(), "measurements"];
    for name in own.iter().chain(&objectives).chain(&names) {
        html += &format!("<th scope=\"col\">{}</th>", escape(name));
    }
    html += "</tr></thead>\n<tbody>\n";
    let rows = (MOST_CELLS / (4 + objectives.len() + names.len())).min(MOST_ROWS);
    for trial in order.iter().take(rows) {
        let class = if Some(trial.id) == best { " class=\"chosen\"" } else { "" };
        let value = trial.value(rule).map(format::plain);
        let value = value.or(trial.failure.as_ref().map(|why| why.chars().take(120).collect())).unwrap_or_default();
        html += &format!(
            "<tr{class}><td class=\"number\">{}</td><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>",
            trial.id,
            trial.status.as_str(),
            escape(&value),
            trial.measurements.len().max(usize::from(trial.told.is_some()))
        );
        let more = trial.more(rule);
        for i in 0..objectives.len() {
            let value = more.get(i).map(|v| format::plain(*v));
            html += &format!("<td class=\"number\">{}</td>", value.unwrap_or_default());
        }
        for name in &names {
            let cell = trial.config.value(name).map(|v| v.as_f64().map_or_else(|| v.to_string(), format::plain));
            html += &format!("<td class=\"number\">{}</td>", escape(&cell.unwrap_or_default()));
        }
        html += "</tr>\n";
    }
    html += "</tbody></table></div>\n";
    if order.len() > rows {
        html += &format!(
            "<p class=\"caption\" id=\"table-note\">The best {rows} of {}; all are in results.csv.</p>\n",
            order.len()
        );
    }
    section("Trials", &html)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doors::picture::{Mark, Picture, Place};
    use crate::rules::study::Setup;
    use crate::words::domain::Domain;
    use crate::words::metric::{Metric, Noise};
    use crate::words::space::Space;
    use crate::words::trial::{Measured, Outcome};

    fn study(trials: u64) -> Study {
        let space = Space::new()
            .with("lr", Domain::float(1e-5, 1.0).unwrap().log().unwrap())
            .unwrap()
            .with("<b>kind</b>", Domain::categorical(["a", "b<i>"]).unwrap())
            .unwrap();
        let setup = Setup::new(space, Metric::minimize("<loss>")).objective(Metric::minimize("size"));
        let setup = setup.searcher(crate::rules::searcher::SearcherKind::Random);
        let mut study = Study::new(setup).unwrap();
        for i in 0..trials {
            study.at(Duration::from_secs(i));
            let job = study.ask().unwrap().assignment().unwrap();
            let lr = job.config.float("lr").unwrap();
            let kind = if job.config.text("<b>kind</b>") == Some("a") { 0.0 } else { 0.3 };
            study.at(Duration::from_secs(i + 2));
            if i % 7 == 3 {
                study.tell(job.trial, Outcome::Failed("<script>".to_owned())).unwrap();
                continue;
            }
            study.report(job.trial, 1, 2.0 + lr + kind).unwrap();
            study.report(job.trial, 2, 1.0 + lr + kind).unwrap();
            study.tell(job.trial, Measured::new(1.0 + lr + kind).more([1.0 / lr])).unwrap();
        }
        study
    }

    #[test]
    fn a_page_is_self_contained_whatever_the_texts() {
        for trials in [0, 1, 2, 40] {
            let page = report_html(&study(trials), "a <title> & more").unwrap();
            for forbidden in ["<script", "<b>kind", "<i>\"", "http://", "src=", "<loss>", "<title> &"] {
                let page = page.replace("http://www.w3.org/2000/svg", "");
                // Its own script, and the data, in which every bracket is written as a number.
                let page = page.replace(explore::SCRIPT, "").replace("<script>\n</script>", "");
                let page = page.replace("<script type=\"application/json\"", "");
                assert!(!page.contains(forbidden), "{trials}: {forbidden}");
            }
        }
    }

    #[test]
    fn the_two_parameters_that_matter_most_are_shown_together_and_in_words() {
        let page = report_html(&study(80), "study").unwrap();
        // An end of each, in the picture's name and in the table.
        let label = page.split("aria-label=\"mean of ").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        assert!(label.contains("lr") && label.contains("the best is 1") && label.contains("the worst "), "{label}");
        let table = page.split("<details><summary>The numbers").nth(1).and_then(|t| t.split("</details>").next());
        let table = table.unwrap();
        assert_eq!((table.matches("<tr>").count(), table.matches("<td class").count()), (3, 28), "{table}");
        assert!(table.contains("scope=\"row\">b&lt;i&gt;"), "{table}");
        // There is no pair where one parameter alone varies.
        assert!(!report_html(&study(4), "study").unwrap().contains("The numbers"));
    }

    /// A study of many trials and parameters, whose trials report on their way.
    fn large(trials: u64, parameters: usize) -> Study {
        let names = (0..parameters).map(|i| format!("parameter_{i}"));
        let space =
            names.fold(Space::new(), |space, name| space.with(&name, Domain::float(0.0, 1.0).unwrap()).unwrap());
        let metric = Metric { noise: Noise::Deterministic, ..Metric::minimize("loss") };
        let setup = Setup::new(space, metric).searcher(crate::rules::searcher::SearcherKind::Random);
        let mut study = Study::new(setup).unwrap();
        for i in 0..trials {
            study.at(Duration::from_secs(i));
            let job = study.ask().unwrap().assignment().unwrap();
            let loss: f64 = job.config.iter().filter_map(|(_, value)| value.as_f64()).sum();
            for step in 1..=20 {
                study.report(job.trial, step, loss + 1.0 / step as f64).unwrap();
            }
            study.at(Duration::from_secs(i + 2));
            study.tell(job.trial, Outcome::Done).unwrap();
        }
        study
    }

    fn lines(picture: &Picture) -> Vec<&Vec<Place>> {
        let mut lines = Vec::new();
        for mark in &picture.marks {
            if let Mark::Line { through, .. } = mark {
                lines.push(through);
            }
        }
        lines
    }

    fn data(study: &Study) -> serde_json::Value {
        let section = explore::section_html(&View { study, best: study.best() });
        let data = section.split_once("id=\"trials-data\">").and_then(|(_, rest)| rest.split_once("</script>"));
        serde_json::from_str(data.unwrap().0).unwrap()
    }

    #[test]
    fn a_page_of_any_study_stays_below_a_megabyte() {
        for (trials, parameters) in [(1_200, 6), (10_000, 16)] {
            let study = large(trials, parameters);
            let page = report_html(&study, "large").unwrap();
            // A front of several objectives adds 90,000.
            assert!(page.len() < 900_000, "{trials} x {parameters}: {}", page.len());
            // Not for want of pictures.
            assert!(page.len() > 300_000, "{trials} x {parameters}: {}", page.len());
        }
    }

    #[test]
    fn a_page_that_cannot_hold_all_trials_says_so_and_has_the_best() {
        let study = large(10_000, 6);
        let data = data(&study);
        let rows = data["columns"][0]["v"].as_array().unwrap();
        assert!(data["all"] == 10_000 && (1_000..10_000).contains(&rows.len()), "{}", rows.len());
        let shown: std::collections::BTreeSet<u64> = rows.iter().filter_map(serde_json::Value::as_u64).collect();
        let best = ranked(&study);
        assert!(best.iter().take(400).all(|trial| shown.contains(&trial.id.0)));
        assert!(best.windows(2).all(|pair| pair[0].measurements[0].value <= pair[1].measurements[0].value));
    }

    #[test]
    fn a_trial_that_breaks_a_constraint_is_never_the_best() {
        let space = Space::new().with("n", Domain::int(0, 100).unwrap()).unwrap();
        let metric = Metric { noise: Noise::Deterministic, ..Metric::minimize("loss") };
        let setup =
            Setup::new(space, metric).constraint("memory").searcher(crate::rules::searcher::SearcherKind::Random);
        let mut study = Study::new(setup).unwrap();
        for (loss, memory) in [(5.0, -1.0), (1.0, 2.0), (3.0, 0.0), (2.0, 1.0)] {
            let job = study.ask().unwrap().assignment().unwrap();
            study.tell(job.trial, Measured::new(loss).constraints([memory])).unwrap();
        }
        let view = View::of(&study);
        assert_eq!(ranked(&study).iter().map(|trial| trial.id.0).collect::<Vec<_>>(), [2, 0, 1, 3]);
        let html = trials(&view);
        let row = html.split("<tr class=\"chosen\">").nth(1).unwrap();
        assert!(row.starts_with("<td class=\"number\">2</td>") && html.matches("\"chosen\"").count() == 1, "{html}");
        let picture = charts::progress(&view, WIDE[0]);
        let steps = lines(&picture)[0];
        assert!(steps.iter().all(|(_, value)| *value >= 3.0), "{steps:?}");
        assert_eq!(data(&study)["best"], 2);
        // A parameter of the same name as a column would be taken for it.
        assert!(html.contains("<th scope=\"col\">measurements</th><th scope=\"col\">n</th>"), "{html}");
    }

    #[test]
    fn the_distribution_climbs_to_one_over_all_values() {
        let (one, study) = (study(1), study(50));
        let view = View::of(&study);
        assert!(report_html(&study, "study").unwrap().contains("<h2>Distribution of the values</h2>"));
        let picture = charts::distribution(&view, DISTRIBUTION[0]);
        let lines = lines(&picture);
        // A step for each of the trials that did not fail.
        let steps = lines[0];
        assert_eq!((steps.len(), steps[0].1, steps[steps.len() - 1].1), (2 * 43 + 2, 0.0, 1.0));
        assert!(steps.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1), "{steps:?}");
        assert_eq!(lines[1].iter().map(|place| place.1).collect::<Vec<_>>(), [0.0, 1.0]);
        assert!(!report_html(&one, "study").unwrap().contains("Distribution"));
    }

    #[test]
    fn no_script_but_the_pages_own_may_run() {
        let page = report_html(&study(3), "study").unwrap();
        let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-";
        assert!(page.contains(policy) && !page.contains("script-src 'unsafe"));
        assert_eq!(page.matches("<script").count(), 2);
        let data = page.split_once("id=\"trials-data\">").and_then(|(_, rest)| rest.split_once("</script>")).unwrap().0;
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["columns"][5]["name"], "lr");
        assert_eq!(data["columns"][6]["choices"][1], "b<i>");
    }
}
