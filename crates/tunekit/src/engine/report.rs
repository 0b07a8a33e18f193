//! The page of a study: its result, the course of the search, and the metric as a function of the parameters.
//!
//! One HTML text that needs nothing else: no network, light and dark. `charts` and `contour` make its pictures,
//! and `explore` adds the interactive ones with one script; without scripts the page has all the rest. It shows a part
//! of very many trials, so that it stays below a megabyte.

mod charts;
mod contour;
mod explore;

use std::time::Duration;

use self::charts::Size;
use crate::doors::picture::{PictureError, both, page_with};
use crate::rules::importance::Importances;
use crate::rules::study::Study;
use crate::words::drawing::{escape, format, section};
use crate::words::trial::{Status, Trial};

const WIDE: [Size; 2] = [(1040, 360), (400, 300)];
const SLICE: Size = (500, 260);
const HEAT: [Size; 2] = [(760, 460), (400, 340)];
/// Rows of the table of trials.
const MOST_ROWS: usize = 400;
/// Parameters that get a picture of their own.
const MOST_SLICES: usize = 16;

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
    let mut body = headline(study, title);
    if study.trials().is_empty() {
        body += &section("The search", "<p>No trial was started yet.</p>\n");
    } else {
        body += &figure("The search", &both(WIDE.map(|size| charts::progress(study, size)))?, PROGRESS_LEGEND);
    }
    let has_curves = study.trials().iter().any(|trial| trial.measurements.len() > 1);
    if has_curves {
        let picture = both(WIDE.map(|size| charts::curves(study, size)))?;
        body +=
            &figure("Learning curves", &picture, "<p class=\"caption\">A line a trial; the best one is blue.</p>\n");
    }
    if !study.header().objectives.is_empty() {
        let picture = both(WIDE.map(|size| charts::front(study, size)))?;
        let caption = "<p class=\"caption\">Trials that ended well; those that no other beats in everything are blue.\
                       </p>\n";
        body += &figure("Pareto front", &picture, caption);
    }
    if let Ok(importances) = study.importances() {
        let picture = both(WIDE.map(|(width, _)| charts::shares(&importances, width)))?;
        let known = format::percent(importances.known);
        let caption = format!(
            "<p class=\"caption\">How much of the metric's variation over the space each parameter accounts for, with \
             its standard error. Read off {}, which knows {known} of it.</p>\n",
            escape(importances.surface.as_str())
        );
        body += &figure("Which parameters matter", &picture, &caption);
        body += &heat_map(study, &importances)?;
    }
    body += &slices(study)?;
    if study.trials().iter().any(|trial| trial.started_s.is_some()) {
        let picture = both(WIDE.map(|(width, _)| charts::timeline(study, width)))?;
        body += &figure(
            "Workers",
            &picture,
            "<p class=\"caption\">A bar a trial, on the first worker that was free.</p>\n",
        );
    }
    body += &trials(study);
    let footer = "Written by tunekit. Beside this page are <code>results.csv</code> (a row a trial), \
                  <code>measurements.csv</code> (a row a measurement) and <code>journal.jsonl</code>, of which all of \
                  it is made.";
    Ok(page_with(&format!("tunekit: {title}"), &body, footer, explore::SCRIPT))
}

const PROGRESS_LEGEND: &str = "<ul class=\"legend\"><li><i class=\"dot\" style=\"color:var(--trial)\"></i>ended</li>\
     <li><i class=\"ring\" style=\"color:var(--trial)\"></i>stopped or paused before its end</li>\
     <li><b class=\"bad\">×</b>failed</li><li><i class=\"found\"></i>the best value so far</li>\
     <li>band: the 95 % interval of the best configuration's mean</li></ul>\n";

fn figure(title: &str, picture: &str, caption: &str) -> String {
    section(title, &format!("<figure>\n{picture}{caption}</figure>\n"))
}

fn headline(study: &Study, title: &str) -> String {
    let header = study.header();
    let metric = escape(&header.metric.name);
    let mut html = format!("<header>\n<p>{}</p>\n", escape(title));
    let best = study.best();
    match &best {
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
        None => html += "<h1>Nothing was measured yet</h1>\n",
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
fn heat_map(study: &Study, importances: &Importances) -> Result<String, PictureError> {
    let mut names = importances.main.iter().filter(|one| one.share > 0.0).filter_map(|one| one.parameters.first());
    let (Some(one), Some(other)) = (names.next(), names.next()) else { return Ok(String::new()) };
    let Ok(pair) = study.pair_dependence([one, other], contour::VALUES) else { return Ok(String::new()) };
    let Some((pictures, caption)) = contour::pictures(study, &pair, HEAT) else { return Ok(String::new()) };
    Ok(figure(&escape(&format!("{one} and {other}")), &both(pictures)?, &caption))
}

fn slices(study: &Study) -> Result<String, PictureError> {
    let mut html = String::new();
    let names = study.header().space.iter().map(|(name, _)| name).take(MOST_SLICES);
    for picture in names.filter_map(|name| charts::slice(study, name, SLICE)) {
        html += &format!("<figure>{}</figure>\n", picture.svg()?);
    }
    if html.is_empty() {
        return Ok(html);
    }
    let note = "<p class=\"caption\">A dot a trial; later ones are darker. All other parameters vary, too.</p>\n";
    Ok(section("By parameter", &format!("<div class=\"slices\">\n{html}</div>\n{note}")))
}

/// The trials, the best first.
fn trials(study: &Study) -> String {
    let header = study.header();
    let rule = header.metric.value;
    let loss = |trial: &Trial| trial.value(rule).map_or(f64::INFINITY, |value| header.metric.goal.loss(value));
    let mut order: Vec<&Trial> = study.trials().iter().collect();
    order.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
    let best = study.trials().iter().min_by(|a, b| loss(a).total_cmp(&loss(b))).map(|trial| trial.id);
    let names: Vec<&str> = header.space.iter().map(|(name, _)| name).collect();
    let mut html = if order.is_empty() { String::new() } else { explore::section_html(study, charts::chosen(study)) };
    html += "<div class=\"scroll\"><table class=\"trials\">\n<thead><tr>";
    let objectives: Vec<&str> = header.objectives.iter().map(|metric| metric.name.as_str()).collect();
    for name in ["trial", "status", header.metric.name.as_str(), "n"].iter().chain(&objectives).chain(&names) {
        html += &format!("<th scope=\"col\">{}</th>", escape(name));
    }
    html += "</tr></thead>\n<tbody>\n";
    for trial in order.iter().take(MOST_ROWS) {
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
    if order.len() > MOST_ROWS {
        html += &format!(
            "<p class=\"caption\" id=\"table-note\">The best {MOST_ROWS} of {}; all are in results.csv.</p>\n",
            order.len()
        );
    }
    section("Trials", &html)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::study::Setup;
    use crate::words::domain::Domain;
    use crate::words::metric::Metric;
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

    #[test]
    fn a_page_of_many_trials_stays_below_a_megabyte() {
        let page = report_html(&study(600), "many").unwrap();
        assert!(page.len() < 1_000_000, "{}", page.len());
        // The part that grows with the trials until it is full.
        let data = [3_000, 12_000].map(|trials| explore::section_html(&study(trials), None).len());
        assert!(data[0] > 60_000 && data[1] < 700_000, "{data:?}");
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
