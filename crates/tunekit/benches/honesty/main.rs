//! Do studies' answers hold? `cargo xtask bench honesty` runs this and files the table, which is printed as Markdown on
//! standard output; progress goes to standard error.
//!
//! Many studies of functions whose means are known. An interval of 95 % should cover the true mean of the recommended
//! configuration in 95 of 100 studies, the mean should be neither too high nor too low, and where nothing is to be
//! gained nothing should be claimed.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "tables and progress are what this program is for")]

mod functions;
mod studies;

use std::process::ExitCode;

use functions::Function;
use studies::{Plan, Row, Said};
use tunekit::SearcherKind;

/// Searchers, and the plan of their measurements.
const METHODS: [(&str, SearcherKind, Plan); 7] = [
    ("gp", SearcherKind::Gp, Plan::Once),
    ("gp, racing", SearcherKind::Gp, Plan::Races),
    ("random", SearcherKind::Random, Plan::Once),
    ("random, racing", SearcherKind::Random, Plan::Races),
    ("tpe", SearcherKind::Tpe, Plan::Once),
    ("cmaes", SearcherKind::CmaEs, Plan::Once),
    ("random, asha", SearcherKind::Random, Plan::Rungs),
];
const NOISES: [f64; 4] = [0.02, 0.05, 0.15, 0.30];

const USAGE: &str =
    "honesty [--seeds FROM..TO] [--threads N] [--only METHOD,..] [--functions NAME,..] [--noise SHARE,..]";

/// The rows to judge, and over how many studies.
struct Options {
    seeds: std::ops::Range<u64>,
    threads: usize,
    methods: Vec<String>,
    functions: Vec<String>,
    noises: Vec<f64>,
}

impl Options {
    fn parse(words: &[String]) -> Result<Self, String> {
        let mut options =
            Self { seeds: 0..500, threads: 2, methods: Vec::new(), functions: Vec::new(), noises: NOISES.to_vec() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            // Cargo says so.
            if word == "--bench" {
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{word} takes a value; usage: {USAGE}"))?;
            let wrong = || format!("{word} {value} is not understood; usage: {USAGE}");
            // Names of methods hold commas of their own.
            let list = || value.split(';').map(str::to_owned).collect();
            match word.as_str() {
                "--seeds" => {
                    let (from, to) = value.split_once("..").ok_or_else(wrong)?;
                    options.seeds = from.parse().map_err(|_| wrong())?..to.parse().map_err(|_| wrong())?;
                }
                "--threads" => options.threads = value.parse().map_err(|_| wrong())?,
                "--only" => options.methods = list(),
                "--functions" => options.functions = list(),
                "--noise" => {
                    options.noises = value.split(';').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
                }
                _ => return Err(wrong()),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match Options::parse(&words).and_then(|options| table(&options)) {
        Ok(table) => {
            println!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn table(options: &Options) -> Result<String, String> {
    let mut text = String::from(
        "| function | method | noise | interval covers | no interval | bias of the mean | claims a gain | true mean |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let wanted = |names: &[String], name: &str| names.is_empty() || names.iter().any(|one| one == name);
    for function in Function::ALL.into_iter().filter(|function| wanted(&options.functions, function.name())) {
        for (method, searcher, plan) in METHODS.into_iter().filter(|(name, ..)| wanted(&options.methods, name)) {
            // The part of such a study that is over is not known before.
            if function == Function::Drifting && plan == Plan::Rungs {
                continue;
            }
            for noise in &options.noises {
                let said =
                    Row { function, searcher, plan, noise: *noise }.studies(options.seeds.clone(), options.threads)?;
                let line = line(function.name(), method, *noise, &said);
                eprint!("{line}");
                text += &line;
            }
        }
    }
    Ok(text)
}

fn line(function: &str, method: &str, noise: f64, said: &[Said]) -> String {
    let n = said.len() as f64;
    let share = |count: usize| 100.0 * count as f64 / n;
    let with: Vec<bool> = said.iter().filter_map(|one| one.covers).collect();
    let covers = 100.0 * with.iter().filter(|covers| **covers).count() as f64 / with.len() as f64;
    let mean = |of: fn(&Said) -> f64| said.iter().map(of).sum::<f64>() / n;
    format!(
        "| {function} | {method} | {:.0} % | {covers:.1} % | {:.1} % | {:+.1} % | {:.1} % | {:.3} |\n",
        noise * 100.0,
        share(said.len() - with.len()),
        mean(|one| one.bias) * 100.0,
        share(said.iter().filter(|one| one.claims_a_gain).count()),
        mean(|one| one.mean),
    )
}
