//! A line of a program's output as a report: Syne Tune's `[tune-metric]: {...}`, or a JSON object alone.
//!
//! Python's `json` writes `NaN` and `Infinity` for numbers that JSON lacks; they are read as `null`, the value of a
//! number that is not finite.

use serde_json::{Map, Value as Json};

use crate::words::program::{MetricSource, Program};

/// The mark before a report in Syne Tune's form.
const MARK: &str = "[tune-metric]:";
/// The field that says that nothing can be measured with the configuration, and why.
const INFEASIBLE: &str = "infeasible";

/// The report in a line.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ReportLine {
    /// The metric; NaN for a value that is not finite, `None` for a report without the metric.
    pub(crate) value: Option<f64>,
    /// The step that the program has reached.
    pub(crate) resource: Option<u64>,
    /// The run's cost so far.
    pub(crate) cost: Option<f64>,
    /// The further objectives and constraints in the report, in the program's order.
    pub(crate) more: Vec<Option<f64>>,
    pub(crate) constraints: Vec<Option<f64>>,
}

/// The kinds of lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Line {
    /// Output of the program's own.
    Other,
    /// A report that can be used.
    Report(ReportLine),
    /// A number and nothing else, where the metric is such a line.
    Number(f64),
    /// A report that cannot be used, and why.
    Wrong(String),
    /// The program says that nothing can be measured with its configuration, and why.
    Infeasible(String),
}

/// Reads a line.
pub(crate) fn read(program: &Program, line: &str) -> Line {
    let line = line.trim();
    if program.metric == MetricSource::Stdout
        && let Ok(value) = line.parse::<f64>()
    {
        return Line::Number(value);
    }
    // Loggers write their own prefix before the mark.
    let (text, marked) = match line.find(MARK) {
        Some(at) => (line[at + MARK.len()..].trim(), true),
        None => (line, false),
    };
    if !text.starts_with('{') && !marked {
        return Line::Other;
    }
    let fields: Map<String, Json> = match serde_json::from_str(&finite(text)) {
        Ok(fields) => fields,
        Err(error) if marked => return Line::Wrong(format!("it does not read as JSON: {error}")),
        Err(_) => return Line::Other,
    };
    // Beside the metric the word is a field of the program's own.
    let is_metric = |name: &str| matches!(&program.metric, MetricSource::Reported(metric) if metric == name);
    if let Some(reason) = fields.get(INFEASIBLE).and_then(Json::as_str)
        && !is_metric(INFEASIBLE)
        && (marked || fields.len() == 1)
    {
        return Line::Infeasible(if reason.is_empty() { INFEASIBLE.to_owned() } else { reason.to_owned() });
    }
    let reported = match &program.metric {
        MetricSource::Reported(name) => Some(name.as_str()),
        MetricSource::Wall | MetricSource::Stdout => None,
    };
    if let Some(name) = reported
        && !fields.contains_key(name)
    {
        return if marked { Line::Wrong(format!("it has no `{name}`")) } else { Line::Other };
    }
    // Without a metric of its own an object is a report by any other field that the study asks for.
    if reported.is_none() && !marked && !names(program).any(|name| fields.contains_key(name)) {
        return Line::Other;
    }
    match from_fields(program, reported, &fields) {
        Ok(report) => Line::Report(report),
        Err(why) => Line::Wrong(why),
    }
}

/// The fields that the study asks for beside its metric.
fn names(program: &Program) -> impl Iterator<Item = &String> {
    let cost = program.cost.iter().filter(|cost| *cost != "wall");
    program.resource.iter().chain(cost).chain(&program.objectives).chain(&program.constraints)
}

fn from_fields(program: &Program, metric: Option<&str>, fields: &Map<String, Json>) -> Result<ReportLine, String> {
    let number = |name: &str| match fields.get(name) {
        None => Ok(None),
        Some(Json::Null) => Ok(Some(f64::NAN)),
        Some(Json::Number(number)) => Ok(number.as_f64()),
        Some(other) => Err(format!("`{name}` is {other}, not a number")),
    };
    let each = |names: &[String]| names.iter().map(|name| number(name)).collect::<Result<Vec<_>, _>>();
    let resource = match &program.resource {
        None => None,
        Some(name) => match number(name)? {
            None => return Err(format!("it has no `{name}`, which states the program's progress")),
            // A study's steps begin at 1. Without a metric of their own reports have none.
            Some(0.0) if metric.is_some() => {
                return Err(format!("`{name}` is 0, and steps count from 1; report `{name}` + 1"));
            }
            Some(at) if at >= 0.0 && at.fract() == 0.0 && at <= 9e15 => Some(at as u64),
            Some(at) => return Err(format!("`{name}` is {at}, not a whole number that counts up")),
        },
    };
    let cost = match program.cost.as_deref() {
        None | Some("wall") => None,
        Some(name) => number(name)?,
    };
    Ok(ReportLine {
        value: metric.map(number).transpose()?.flatten(),
        resource,
        cost,
        more: each(&program.objectives)?,
        constraints: each(&program.constraints)?,
    })
}

/// The text with `null` in place of the names that Python writes for numbers that JSON lacks.
fn finite(text: &str) -> String {
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    if !WORDS.iter().any(|word| text.contains(word)) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let (mut quoted, mut escaped) = (false, false);
    while let Some(c) = rest.chars().next() {
        if !quoted && let Some(word) = WORDS.iter().find(|word| rest.starts_with(**word)) {
            out.push_str("null");
            rest = &rest[word.len()..];
            continue;
        }
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && c == '\\' && !escaped;
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn program() -> Program {
        Program { resource: Some("epoch".to_owned()), ..Program::new(["p"], "mean_loss") }
    }

    fn report(value: f64, epoch: u64) -> Line {
        Line::Report(ReportLine { value: Some(value), resource: Some(epoch), ..ReportLine::default() })
    }

    #[test]
    fn syne_tunes_lines_and_plain_objects_are_reports() {
        let syne = r#"[tune-metric]: {"epoch": 1, "mean_loss": 0.7, "st_worker_timestamp": 1.5, "st_worker_iter": 0}"#;
        assert_eq!(read(&program(), syne), report(0.7, 1));
        assert_eq!(read(&program(), &format!("INFO:root:{syne}\r")), report(0.7, 1));
        assert_eq!(read(&program(), r#"{"mean_loss": 1e-3, "epoch": 2}"#), report(1e-3, 2));
        for other in ["", "epoch 1", r#"{"lr": 1}"#, "{", "[1]", "{'mean_loss': 1}", "\u{0}"] {
            assert_eq!(read(&program(), other), Line::Other, "{other}");
        }
    }

    #[test]
    fn what_is_marked_and_cannot_be_used_is_said() {
        for (line, says) in [
            ("[tune-metric]: nonsense", "does not read as JSON"),
            (r#"[tune-metric]: {"epoch": 1}"#, "no `mean_loss`"),
            (r#"{"mean_loss": 1}"#, "no `epoch`"),
            (r#"{"mean_loss": "low", "epoch": 1}"#, "not a number"),
            (r#"{"mean_loss": 1, "epoch": 1.5}"#, "not a whole number"),
            (r#"{"mean_loss": 1, "epoch": NaN}"#, "not a whole number"),
            (r#"{"mean_loss": 1, "epoch": 0}"#, "count from 1"),
        ] {
            let Line::Wrong(why) = read(&program(), line) else { panic!("{line}") };
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn pythons_numbers_that_are_not_finite_are_read() {
        for word in ["NaN", "Infinity", "-Infinity"] {
            let line = format!(r#"{{"note": "a \" {word}", "mean_loss": {word}, "epoch": 3}}"#);
            let Line::Report(report) = read(&program(), &line) else { panic!("{line}") };
            assert!(report.value.is_some_and(f64::is_nan) && report.resource == Some(3));
        }
        assert_eq!(finite(r#"{"a \" NaN": NaN}"#), r#"{"a \" NaN": null}"#);
    }

    #[test]
    fn a_number_alone_counts_where_that_is_the_metric() {
        let program = Program::new(["p"], "stdout");
        for (line, wanted) in [(" 1.5 ", Line::Number(1.5)), ("took 1.5", Line::Other), ("-3e2", Line::Number(-300.0))]
        {
            assert_eq!(read(&program, line), wanted, "{line}");
        }
        assert_eq!(read(&Program::new(["p"], "loss"), "1.5"), Line::Other);
    }

    #[test]
    fn without_a_metric_of_its_own_an_object_reports_by_the_fields_that_are_asked_for() {
        for metric in ["stdout", "wall"] {
            let cost = Some("wall".to_owned());
            let program = Program { objectives: vec!["size".to_owned()], cost, ..Program::new(["p"], metric) };
            for other in [r#"{"note": 1}"#, r#"{"wall": 1}"#, "{}"] {
                assert_eq!(read(&program, other), Line::Other, "{metric}: {other}");
            }
            let found = Line::Report(ReportLine { more: vec![Some(3.0)], ..ReportLine::default() });
            assert_eq!(read(&program, r#"{"note": 1, "size": 3}"#), found, "{metric}");
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in ".{0,80}", mark in any::<bool>()) {
            read(&program(), &if mark { format!("{MARK}{line}") } else { line });
        }
    }
}
