//! One workload's results as a section of Markdown. Pure: text in, text out.

use std::fmt::Write;

use super::machine::Machine;
use super::results::{Results, Row};
use super::stats::{median, median_ratio};
use super::workloads::{Job, Network, Workload};

const GIB: f64 = (1_u64 << 30) as f64;

/// Heading, question, table and foot.
pub(super) fn section(workload: &Workload, results: &Results, machine: &Machine, rounds: u32) -> String {
    let mut text = format!("## {}\n\n{}\n\n", workload.title, workload.question);
    let base = if workload.is_sweep() { None } else { base(&results.rows) };
    text += &table(workload, results, base);
    let network = match workload.network {
        Network::Plain => "loopback, in the clear",
        Network::Tls => "loopback, TLS",
        Network::Shaped(_) => "an emulated network on loopback",
    };
    let (least, most) = results.load;
    write!(
        text,
        "\n{}: {network}; {rounds} {} in turn; load average {least:.1} to {most:.1}. {}\n",
        machine.date,
        if rounds == 1 { "round" } else { "rounds" },
        machine.hardware
    )
    .expect("a String takes every text");
    let engines: Vec<&str> = results.rows.iter().map(|row| row.entrant.engine).collect();
    let versions: Vec<String> = machine
        .versions
        .iter()
        .filter(|(engine, _)| engines.contains(engine))
        .map(|(engine, version)| format!("{engine} ({version})"))
        .collect();
    writeln!(text, "Engines: {}.", versions.join(", ")).expect("a String takes every text");
    for row in &results.rows {
        if let Some(why) = &row.unable {
            writeln!(text, "Without {}: {}.", row.entrant.label, one_line(why)).expect("a String takes every text");
        }
        if !row.bad.is_empty() {
            let (bad, all) = (row.bad.len(), row.bad.len() + row.fine.len());
            writeln!(
                text,
                "**{}: {bad} of {all} runs not counted**: {}.",
                row.entrant.label,
                one_line(&row.bad.join("; "))
            )
            .expect("a String takes every text");
        }
    }
    text
}

/// The row by which all others are divided.
fn base(rows: &[Row]) -> Option<&Row> {
    rows.iter().find(|row| row.entrant.engine == "ceiling" && !row.fine.is_empty())
}

fn table(workload: &Workload, results: &Results, base: Option<&Row>) -> String {
    let first = if workload.is_sweep() { "setting" } else { "engine" };
    let rate = rate_unit(results);
    let mut head = vec![first, "wall s", "min to max", rate, "CPU s/GiB", "peak MiB"];
    if base.is_some() {
        head.extend(["wall / ceiling", "CPU / ceiling"]);
    }
    let mut rows: Vec<&Row> = results.rows.iter().filter(|row| row.unable.is_none()).collect();
    if !workload.is_sweep() {
        rows.sort_by(|a, b| wall(a).total_cmp(&wall(b)));
    }
    let mut text = line(head.iter().map(|cell| (*cell).to_owned()));
    text += &line(head.iter().enumerate().map(|(i, _)| if i == 0 { "---".to_owned() } else { "---:".to_owned() }));
    for row in rows {
        text += &line(cells(row, base, head.len()));
    }
    text
}

/// The sort key of a row: rows without a good run come last.
fn wall(row: &Row) -> f64 {
    median(&values(&row.each(|measure| measure.wall_s))).unwrap_or(f64::INFINITY)
}

fn rate_unit(results: &Results) -> &'static str {
    let many = results.rows.iter().any(|row| matches!(row.entrant.job, Job::Many { .. }));
    if many { "objects/s" } else { "GiB/s" }
}

fn cells(row: &Row, base: Option<&Row>, width: usize) -> Vec<String> {
    let walls = row.each(|measure| measure.wall_s);
    let Some(wall) = median(&values(&walls)) else {
        let mut cells = vec![row.entrant.label.clone(), "not one good run".to_owned()];
        cells.resize(width, String::new());
        return cells;
    };
    let gib = row.entrant.job.total() as f64 / GIB;
    let rate = match row.entrant.job {
        Job::Many { count, .. } => format!("{:.0}", f64::from(count) / wall),
        _ => format!("{:.2}", gib / wall),
    };
    let middle = |figure: Vec<(u32, f64)>| median(&values(&figure)).unwrap_or(f64::NAN);
    let (least, most) =
        walls.iter().fold((f64::MAX, f64::MIN), |(least, most), (_, wall)| (least.min(*wall), most.max(*wall)));
    let mut cells = vec![
        row.entrant.label.clone(),
        format!("{wall:.2}"),
        format!("{least:.2} to {most:.2}"),
        rate,
        format!("{:.2}", middle(row.each(|measure| measure.cpu_s / gib))),
        format!("{:.0}", middle(row.each(|measure| measure.peak_mib))),
    ];
    if let Some(base) = base {
        let cpu = |row: &Row| row.each(|measure| measure.cpu_s);
        let ratio = |ratio: Option<f64>| ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        cells.push(ratio(median_ratio(&walls, &base.each(|measure| measure.wall_s))));
        cells.push(ratio(median_ratio(&cpu(row), &cpu(base))));
    }
    cells
}

fn values(by_round: &[(u32, f64)]) -> Vec<f64> {
    by_round.iter().map(|(_, value)| *value).collect()
}

fn line(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().collect();
    format!("| {} |\n", cells.join(" | "))
}

/// A message of another program, made fit for a paragraph: without line breaks and table bars, and shortened.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ").replace('|', "/");
    let short: String = line.chars().take(300).collect();
    short.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::{Measure, Outcome};
    use crate::bench::workloads;

    fn machine() -> Machine {
        Machine {
            date: "2026-01-02".into(),
            hardware: "A processor, 2 cores.".into(),
            versions: vec![("ceiling", "x 1".into()), ("tm", "y 2".into()), ("rclone", "z 3".into())],
        }
    }

    fn results(workload: &Workload, runs: &[(&'static str, &[(f64, f64)])]) -> Results {
        let engines: Vec<&'static str> = runs.iter().map(|(engine, _)| *engine).collect();
        let rows = workload.entrants(&engines).into_iter().zip(runs).map(|(entrant, (_, runs))| {
            let mut row = Row::new(entrant);
            for (round, (wall_s, cpu_s)) in (0..).zip(*runs) {
                row.record(round, Outcome::Fine(Measure { wall_s: *wall_s, cpu_s: *cpu_s, peak_mib: 64.2 }));
            }
            row
        });
        Results { rows: rows.collect(), load: (0.2, 3.0) }
    }

    fn workload(name: &str) -> Workload {
        workloads::all().into_iter().find(|workload| workload.name == name).unwrap()
    }

    #[test]
    fn the_fastest_stands_first_with_medians_and_ratios() {
        let file = workload("file-3g");
        let runs: [(&'static str, &[(f64, f64)]); 2] =
            [("tm", &[(3.0, 6.0), (9.0, 6.0), (3.0, 6.0)]), ("ceiling", &[(1.5, 3.0), (3.0, 3.0), (1.0, 3.0)])];
        let text = section(&file, &results(&file, &runs), &machine(), 3);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "## 3 GiB into a file");
        assert_eq!(
            lines[4..8],
            [
                "| engine | wall s | min to max | GiB/s | CPU s/GiB | peak MiB | wall / ceiling | CPU / ceiling |",
                "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
                "| ceiling | 1.50 | 1.00 to 3.00 | 2.00 | 1.00 | 64 | 1.00 | 1.00 |",
                "| tm | 3.00 | 3.00 to 9.00 | 1.00 | 2.00 | 64 | 3.00 | 2.00 |",
            ]
        );
        assert!(
            text.contains("2026-01-02: loopback, in the clear; 3 rounds in turn; load average 0.2 to 3.0."),
            "{text}"
        );
        assert!(text.contains("Engines: ceiling (x 1), tm (y 2).\n"), "{text}");
    }

    #[test]
    fn a_wrong_run_is_named_and_not_averaged() {
        let file = workload("file-3g");
        let mut results = results(&file, &[("tm", &[(3.0, 6.0)]), ("rclone", &[])]);
        results.rows[0].record(1, Outcome::Wrong("byte 7\nis | wrong.".into()));
        results.rows[1].record(0, Outcome::Unable("rclone is not on PATH".into()));
        let text = section(&file, &results, &machine(), 2);
        assert!(text.contains("| tm | 3.00 | 3.00 to 3.00 | 1.00 |"), "{text}");
        assert!(text.contains("**tm: 1 of 2 runs not counted**: wrong bytes: byte 7 is / wrong.\n"), "{text}");
        assert!(text.contains("Without rclone: rclone is not on PATH.\n") && !text.contains("| rclone"), "{text}");
        // Without the ceiling there is nothing to divide by.
        assert!(!text.contains("/ ceiling"), "{text}");
    }

    #[test]
    fn an_engine_without_a_good_run_keeps_a_row_as_wide_as_the_others() {
        let many = workload("many-64k");
        let mut results = results(&many, &[("tm", &[]), ("ceiling", &[(2.0, 1.0)])]);
        results.rows[0].record(0, Outcome::Failed("no end".into()));
        let text = section(&many, &results, &machine(), 1);
        let bars: Vec<usize> =
            text.lines().filter(|line| line.starts_with('|')).map(|line| line.matches('|').count()).collect();
        assert!(bars.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
        assert!(text.contains("| objects/s |") && text.contains("| 5000 |"), "{text}");
    }

    #[test]
    fn a_sweep_keeps_its_order_and_has_no_base() {
        let sweep = workload("concurrency");
        let rows = sweep.entrants(&[]).into_iter().enumerate().map(|(i, entrant)| {
            let mut row = Row::new(entrant);
            let wall_s = 10.0 - i as f64;
            row.record(0, Outcome::Fine(Measure { wall_s, cpu_s: 3.0, peak_mib: 10.0 }));
            row
        });
        let results = Results { rows: rows.collect(), load: (0.0, 0.0) };
        let text = section(&sweep, &results, &machine(), 1);
        let first = text.find("max_concurrency 16").unwrap();
        assert!(first < text.find("max_concurrency 512").unwrap());
        assert!(text.contains("| setting |") && !text.contains("ceiling"), "{text}");
    }
}
