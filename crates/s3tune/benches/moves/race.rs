//! Runs programs in turn, and shows their costs as a table.

use std::fmt::Write;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::place::Place;
use crate::stopwatch::Costs;

/// One program's runs.
pub(crate) struct Row {
    pub(crate) program: String,
    command: Result<Vec<String>, String>,
    pub(crate) runs: Vec<Costs>,
    /// The failures, a sentence a run.
    bad: Vec<String>,
    /// Seconds to something that the section looks at.
    pub(crate) seen: Vec<f64>,
}

/// Wrong or failed runs after which a program is not called again.
const PATIENCE: usize = 2;

impl Row {
    pub(crate) fn new(program: &str, command: Result<Vec<String>, String>) -> Self {
        Self { program: program.to_owned(), command, runs: Vec::new(), bad: Vec::new(), seen: Vec::new() }
    }

    /// The command, unless it is not worth another run.
    pub(crate) fn command(&self) -> Option<&[String]> {
        self.command.as_deref().ok().filter(|_| self.bad.len() < PATIENCE)
    }

    pub(crate) fn failed(&mut self, why: String) {
        eprintln!("{}: {why}", self.program);
        self.bad.push(why);
    }
}

/// Runs every row `rounds` times, in turn, each round beginning with another one. `before` prepares the place, and
/// `check` examines the result of a run.
pub(crate) async fn run(
    place: &Place,
    rows: &mut [Row],
    (rounds, seconds): (u32, u64),
    log: &Path,
    before: impl Fn() -> Result<(), String>,
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<(), String> {
    let stopwatch = std::env::current_exe().map_err(|error| error.to_string())?;
    for round in 0..rounds as usize {
        let order: Vec<usize> = (0..rows.len()).map(|turn| (turn + round) % rows.len()).collect();
        for at in order {
            let row = &mut rows[at];
            let Some(command) = row.command() else { continue };
            before()?;
            let mut measured = Command::new(&stopwatch);
            measured.arg("stopwatch").arg(seconds.to_string()).arg(log).arg("--").args(command);
            let output = place.prepare(&mut measured).stdin(Stdio::null()).kill_on_drop(true).output().await;
            let output = output.map_err(|error| format!("failed to start the stopwatch: {error}"))?;
            if !output.status.success() {
                row.failed(String::from_utf8_lossy(&output.stderr).trim().to_owned());
                continue;
            }
            let costs: Costs = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
            let said = std::fs::read_to_string(log).unwrap_or_default();
            match check(&said) {
                Ok(()) => {
                    let Costs { wall_s, cpu_s, peak_mib } = costs;
                    eprintln!(
                        "{}/{rounds} {:8} {wall_s:7.2} s {cpu_s:7.2} CPU s {peak_mib:5.0} MiB",
                        round + 1,
                        row.program
                    );
                    row.runs.push(costs);
                }
                Err(why) => row.failed(format!("wrong: {why}")),
            }
        }
    }
    Ok(())
}

/// A column: its heading, and the cell of a program's median run.
pub(crate) type Column<'a> = (&'a str, &'a dyn Fn(&Costs) -> String);

/// The table of the rows, and below it the rows that were left out.
pub(crate) fn table(rows: &[Row], columns: &[Column<'_>]) -> String {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by(|one, other| wall(one).total_cmp(&wall(other)));
    let mut text = String::from("| program | wall s | min to max |");
    let mut rule = String::from("| --- | ---: | ---: |");
    for (heading, _) in columns {
        let _ = write!(text, " {heading} |");
        rule += " ---: |";
    }
    let _ = writeln!(text, "\n{rule}");
    for row in &rows {
        if row.runs.is_empty() {
            continue;
        }
        let walls = || row.runs.iter().map(|costs| costs.wall_s);
        let middle = Costs {
            wall_s: median(walls()),
            cpu_s: median(row.runs.iter().map(|costs| costs.cpu_s)),
            peak_mib: median(row.runs.iter().map(|costs| costs.peak_mib)),
        };
        let (least, most) = (walls().fold(f64::INFINITY, f64::min), walls().fold(0.0, f64::max));
        let _ = write!(text, "| {} | {:.2} | {least:.2} to {most:.2} |", row.program, middle.wall_s);
        for (_, cell) in columns {
            let _ = write!(text, " {} |", cell(&middle));
        }
        text.push('\n');
    }
    text + &below(&rows)
}

/// The programs that are not in the table, and the runs that are not counted.
pub(crate) fn below(rows: &[&Row]) -> String {
    let mut text = String::new();
    for row in rows {
        if let Err(why) = &row.command {
            let _ = write!(text, "\nWithout {}: {why}.", row.program);
        }
        if !row.bad.is_empty() {
            let all = row.bad.len() + row.runs.len() + row.seen.len();
            let why = row.bad.join("; ").split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "/");
            let why: String = why.chars().take(200).collect();
            let _ = write!(text, "\n**{}: {} of {all} runs not counted**: {why}.", row.program, row.bad.len());
        }
    }
    text
}

fn wall(row: &Row) -> f64 {
    if row.runs.is_empty() { f64::INFINITY } else { median(row.runs.iter().map(|costs| costs.wall_s)) }
}

/// The middle one of `values`, not empty.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
