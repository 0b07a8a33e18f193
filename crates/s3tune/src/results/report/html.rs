//! The page's text: headline, pictures, tables. Every text from outside goes through [`escape`].

use tunekit::drawing::{self, both, escape, format, section};

use super::{
    ArmKind, Comparison, Outcome, ParameterUnit, ParameterValue, ReportError, ReportInput, TrialRow, charts, influence,
};

/// Rows of the table of trials that are shown at once; the others unfold.
const ROWS_SHOWN: usize = 15;

/// Sizes for a desk and for a phone.
const COMPARISON_WIDTHS: [u32; 2] = [1040, 400];
/// Pixels of height, for the axis and for each arm.
const COMPARISON_HEIGHT: [u32; 2] = [70, 70];
const PROGRESS: [charts::Size; 2] = [(1040, 360), (400, 300)];
const SLICE: charts::Size = (500, 260);

pub(super) fn page(input: &ReportInput) -> Result<String, ReportError> {
    let body = [
        headline(input),
        comparison(input)?,
        progress(input)?,
        influence::influence(input)?,
        slices(input)?,
        configuration(input),
        trials(input),
        conditions(input),
    ]
    .concat();
    let title = format!("s3tune: {}", input.object);
    let best = match input.comparison {
        Ok(_) => ", and <code>best.toml</code>, the configuration to use",
        Err(_) => "",
    };
    let footer = format!(
        "Written by s3tune. Beside this page are <code>results</code> (a row a trial) and <code>measurements</code> (a \
         row a download), each as CSV and as Parquet{best}."
    );
    Ok(drawing::page(&title, &body, &footer))
}

fn headline(input: &ReportInput) -> String {
    let size = format::bytes(input.object_bytes as f64);
    let mut html = format!("<header>\n<p>{} ({size})</p>\n", escape(&input.object));
    match &input.comparison {
        Ok(comparison) => html.push_str(&verdict(input, comparison)),
        Err(why) => {
            let why = capitalised(&escape(why));
            html.push_str(&format!("<h1>The comparison is not finished</h1>\n<p class=\"lead\">{why}</p>\n"));
        }
    }
    html + "</header>\n"
}

fn verdict(input: &ReportInput, comparison: &Comparison) -> String {
    let metric = escape(&input.metric);
    let unit = escape(&input.unit);
    let Some(first) = comparison.against.first() else { return "<h1>Nothing was compared</h1>\n".to_owned() };
    let name = escape(&first.name);
    let [low, high] = first.ci95;
    let share = format::percent(first.improvement);
    let title = if low > 0.0 {
        format!("<span class=\"good\">{share} less</span> {metric} than {name}")
    } else if high < 0.0 {
        format!("<span class=\"bad\">{share} more</span> {metric} than {name}: keep that")
    } else {
        format!("No proven difference in {metric} from {name}")
    };
    let time = |mean: f64| format!("{} {unit}", format::significant(mean, 3));
    let mut facts: Vec<(String, String, &str)> =
        comparison.arms.iter().map(|arm| (escape(&arm.name), time(arm.mean), arm_class(arm.kind))).collect();
    for against in &comparison.against {
        let [low, high] = against.ci95;
        let class = match (low > 0.0, high < 0.0) {
            (true, _) => "good",
            (_, true) => "bad",
            _ => "",
        };
        facts.push((
            format!("saved against {}", escape(&against.name)),
            format!(
                "{} <small>[{}, {}]</small>",
                format::signed_percent(against.improvement),
                format::signed_percent(low),
                format::signed_percent(high)
            ),
            class,
        ));
    }
    if input.unit == "s" && input.object_bytes > 0 && comparison.arms.iter().all(|arm| arm.mean > 0.0) {
        let rates = comparison.arms.iter().map(|arm| format::throughput(input.object_bytes, arm.mean));
        facts.push(("throughput".to_owned(), rates.collect::<Vec<_>>().join(" → "), ""));
    }
    let facts: String = facts
        .into_iter()
        .map(|(name, value, class)| format!("<div><dt>{name}</dt><dd class=\"{class}\">{value}</dd></div>\n"))
        .collect();
    let conclusion = capitalised(&escape(&comparison.conclusion));
    format!(
        "<h1>{title}</h1>\n<p class=\"lead\">{conclusion}</p>\n<dl class=\"facts\">\n{facts}</dl>\n\
         <p class=\"caption\">In brackets the 95 % intervals. A difference is proven where the whole interval lies on \
         one side of zero.</p>\n"
    )
}

/// As the beginning and the end of a sentence.
fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}{}", letters.as_str(), if text.ends_with('.') { "" } else { "." })
}

fn arm_class(kind: ArmKind) -> &'static str {
    match kind {
        ArmKind::Baseline => "baseline",
        ArmKind::Default => "before",
        ArmKind::Found => "found",
    }
}

fn comparison(input: &ReportInput) -> Result<String, ReportError> {
    let Ok(comparison) = &input.comparison else { return Ok(String::new()) };
    let height = COMPARISON_HEIGHT[0] + COMPARISON_HEIGHT[1] * comparison.arms.len() as u32;
    let picture = both(COMPARISON_WIDTHS.map(|width| charts::comparison(input, comparison, (width, height))))?;
    let bands =
        if comparison.arms.iter().any(|arm| arm.ci95.is_some()) { ", bands the means' 95 % intervals" } else { "" };
    let content = format!(
        "<figure>\n{picture}<figcaption class=\"caption\">All were measured again after the search, in turn. Dots are \
         single measurements, lines their means{bands}. Left is better.</figcaption>\n</figure>\n"
    );
    Ok(section("Final comparison", &content))
}

fn progress(input: &ReportInput) -> Result<String, ReportError> {
    if input.trials.is_empty() {
        return Ok(section("The search", "<p>No trial finished.</p>\n"));
    }
    let picture = both(PROGRESS.map(|size| charts::progress(input, size)))?;
    let content = format!("<figure>\n{picture}{}</figure>\n", legend(input, true));
    Ok(section("The search", &content))
}

/// The legend of the marks, as far as they occur.
fn legend(input: &ReportInput, with_best_line: bool) -> String {
    let any = |found: fn(&Outcome) -> bool| input.trials.iter().any(|trial| found(&trial.outcome));
    let mut entries = Vec::new();
    if any(|outcome| matches!(outcome, Outcome::Measured(_))) {
        entries.push("<li><i class=\"dot\" style=\"color:var(--trial)\"></i>trial</li>".to_owned());
    }
    if any(|outcome| !matches!(outcome, Outcome::Measured(_) | Outcome::Failed(_))) {
        entries.push("<li><i class=\"ring\" style=\"color:var(--trial)\"></i>not measured in full</li>".to_owned());
    }
    if any(|outcome| matches!(outcome, Outcome::Failed(_))) {
        entries.push("<li><i class=\"cross\" style=\"color:var(--failed)\">×</i>failed</li>".to_owned());
    }
    if input.best_trial.is_some() {
        entries.push("<li><i class=\"chosen\" style=\"color:var(--found)\"></i>chosen</li>".to_owned());
    }
    if with_best_line {
        entries.push("<li><i style=\"color:var(--found)\"></i>best until then</li>".to_owned());
    }
    if let Some((name, _)) = &input.reference {
        let name = escape(name);
        entries.push(format!("<li><i class=\"dash\" style=\"color:var(--before)\"></i>{name}</li>"));
    }
    format!("<ul class=\"legend\">{}</ul>\n", entries.concat())
}

fn slices(input: &ReportInput) -> Result<String, ReportError> {
    let mut figures = String::new();
    let mut fixed = Vec::new();
    for (index, parameter) in input.parameters.iter().enumerate() {
        match charts::slice(input, index, SLICE) {
            Some(picture) => figures.push_str(&format!("<figure>{}</figure>\n", picture.svg()?)),
            None => fixed.push(format!("<code>{}</code>", escape(&parameter.name))),
        }
    }
    if figures.is_empty() {
        return Ok(String::new());
    }
    let mut content = format!(
        "<p class=\"caption\">Each trial once in every picture, later ones darker. All parameters vary at the same time, \
         so a trend is a hint and not a proof.</p>\n{}<div class=\"slices\">\n{figures}</div>\n",
        legend(input, false)
    );
    if !fixed.is_empty() {
        content.push_str(&format!("<p class=\"caption\">Not varied: {}.</p>\n", fixed.join(", ")));
    }
    Ok(section("Parameter by parameter", &content))
}

fn configuration(input: &ReportInput) -> String {
    let configurations = &input.configuration;
    if configurations.rows.is_empty() {
        return String::new();
    }
    let names: String = configurations.names.iter().map(|name| format!("<th>{}</th>", escape(name))).collect();
    let mut table =
        format!("<div class=\"scroll\"><table>\n<thead><tr><th>parameter</th>{names}</tr></thead>\n<tbody>\n");
    for (parameter, values) in &configurations.rows {
        table.push_str(&format!("<tr><td><code>{}</code></td>", escape(parameter)));
        for (place, value) in values.iter().enumerate() {
            // A found value that differs from all others stands out.
            let is_found = place + 1 == values.len() && values[..place].iter().all(|other| other != value);
            let class = if is_found && place > 0 { " class=\"found\"" } else { "" };
            table.push_str(&format!("<td{class}>{}</td>", escape(value)));
        }
        table.push_str("</tr>\n");
    }
    section("The configurations", &(table + "</tbody></table></div>\n"))
}

fn trials(input: &ReportInput) -> String {
    if input.trials.is_empty() {
        return String::new();
    }
    let mut ordered: Vec<&TrialRow> = input.trials.iter().collect();
    // Failed trials last.
    ordered.sort_by(|a, b| {
        let value = |trial: &TrialRow| trial.outcome.value().unwrap_or(f64::INFINITY);
        value(a).total_cmp(&value(b)).then(a.number.cmp(&b.number))
    });
    let (shown, folded) = ordered.split_at(ordered.len().min(ROWS_SHOWN));
    let mut content = trial_table(input, shown);
    if !folded.is_empty() {
        let (count, table) = (folded.len(), trial_table(input, folded));
        content.push_str(&format!("<details><summary>{count} more</summary>\n{table}</details>\n"));
    }
    section("Trials, best first", &content)
}

fn trial_table(input: &ReportInput, trials: &[&TrialRow]) -> String {
    let mut table = format!(
        "<div class=\"scroll\"><table class=\"trials\">\n<thead><tr><th class=\"number\">trial</th>\
         <th class=\"number\">{} ({})</th><th>outcome</th><th class=\"number\">n</th><th class=\"number\">at (s)</th>",
        escape(&input.metric),
        escape(&input.unit)
    );
    for parameter in &input.parameters {
        // Long names may break at their joints, so that the last column is not cut off.
        let name = escape(&parameter.name).replace('_', "_<wbr>");
        table.push_str(&format!("<th class=\"number\">{name}</th>"));
    }
    table.push_str("</tr></thead>\n<tbody>\n");
    for trial in trials {
        let class = if input.best_trial == Some(trial.number) { " class=\"chosen\"" } else { "" };
        let bound = if matches!(trial.outcome, Outcome::AtLeast(_)) { "≥ " } else { "" };
        let value = trial.outcome.value();
        let value = value.map_or_else(String::new, |value| format!("{bound}{}", format::significant(value, 4)));
        let outcome = match &trial.outcome {
            _ if !class.is_empty() => "chosen".to_owned(),
            Outcome::Measured(_) => "measured".to_owned(),
            Outcome::Stopped(_) => "stopped early".to_owned(),
            Outcome::Paused(_) => "paused".to_owned(),
            Outcome::Interrupted(_) => "interrupted".to_owned(),
            Outcome::AtLeast(_) => "cut off".to_owned(),
            Outcome::Failed(reason) => format!("failed: {}", escape(reason)),
        };
        table.push_str(&format!(
            "<tr{class}><td class=\"number\">{}</td><td class=\"number\">{value}</td><td>{outcome}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{:.1}</td>",
            trial.number, trial.measurements, trial.finished_at_seconds
        ));
        for (index, parameter) in input.parameters.iter().enumerate() {
            let cell = trial.config.get(index).and_then(Option::as_ref);
            let text = cell.map_or_else(String::new, |value| match (value, parameter.unit) {
                (ParameterValue::Number(number), ParameterUnit::Bytes) => format::bytes(*number),
                (ParameterValue::Number(number), ParameterUnit::Number) => format::plain(*number),
                (ParameterValue::Choice(choice), _) => escape(choice),
            });
            table.push_str(&format!("<td class=\"number\">{text}</td>"));
        }
        table.push_str("</tr>\n");
    }
    table + "</tbody></table></div>\n"
}

fn conditions(input: &ReportInput) -> String {
    let rows: String = input
        .conditions
        .iter()
        .map(|(name, value)| format!("<tr><th>{}</th><td>{}</td></tr>\n", escape(name), escape(value)))
        .collect();
    let mut content = format!("<div class=\"scroll\"><table>\n<tbody>\n{rows}</tbody></table></div>\n");
    if !input.caveats.is_empty() {
        let items: String = input.caveats.iter().map(|caveat| format!("<li>{}</li>\n", escape(caveat))).collect();
        content.push_str(&format!(
            "<h3 style=\"margin-top:16px\">Keep in mind</h3>\n<ul class=\"caveats\">\n{items}</ul>\n"
        ));
    }
    section("How it was measured", &content)
}
