//! Measures a searcher's results on spaces that the published boards leave out. `cargo bench -p tunekit --bench regret
//! -- --help` names the words. Tables are printed as Markdown on standard output.
//!
//! - `fronts`: two objectives, one of which is a cost; the share of the true front's hypervolume after 40 trials, or
//!   more with `--trials`, which holds for the others as well.
//! - `kernels`: six to eight ordinal parameters whose effects multiply, a hidden half of which fails; 50 trials.
//! - `cliffs`: a smooth function whose optimum lies at, or close to, the edge of where trials fail; 60 trials.
//! - `surfaces`: transfers over grids and ranges of three parameters, with noise of 30 to 50 %; 40 trials.
//!
//! Every function is drawn from its number, so that a table of other numbers is one of other functions.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "tables and progress are what this program is for")]

mod cliffs;
mod fronts;
mod kernels;
mod problem;
mod surfaces;

use std::process::ExitCode;

use problem::{Problem, Ran, run_all};
use tunekit::SearcherKind;

const USAGE: &str = "regret [--families NAME;..] [--functions FROM..TO] [--seeds FROM..TO] [--only SEARCHER;..] \
                     [--trials N] [--raw FILE]";
const FAMILIES: [&str; 4] = ["fronts", "kernels", "cliffs", "surfaces"];

/// The rows to run.
struct Options {
    families: Vec<String>,
    functions: std::ops::Range<u64>,
    seeds: std::ops::Range<u64>,
    searchers: Vec<SearcherKind>,
    trials: Option<u64>,
    raw: Option<String>,
}

impl Options {
    fn parse(words: &[String]) -> Result<Self, String> {
        let mut options = Self {
            families: FAMILIES.map(str::to_owned).to_vec(),
            functions: 0..21,
            seeds: 0..5,
            searchers: vec![SearcherKind::Gp, SearcherKind::Tpe, SearcherKind::Random],
            trials: None,
            raw: None,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            // Cargo says so.
            if word == "--bench" {
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{word} takes a value; usage: {USAGE}"))?;
            let wrong = || format!("{word} {value} is not understood; usage: {USAGE}");
            let range = || {
                let (from, to) = value.split_once("..").ok_or_else(wrong)?;
                Ok::<_, String>(from.parse().map_err(|_| wrong())?..to.parse().map_err(|_| wrong())?)
            };
            match word.as_str() {
                "--families" => options.families = value.split(';').map(str::to_owned).collect(),
                "--functions" => options.functions = range()?,
                "--seeds" => options.seeds = range()?,
                "--trials" => options.trials = Some(value.parse().map_err(|_| wrong())?),
                "--raw" => options.raw = Some(value.clone()),
                "--only" => {
                    options.searchers =
                        value.split(';').map(SearcherKind::from_name).collect::<Result<_, _>>().map_err(|_| wrong())?;
                }
                _ => return Err(wrong()),
            }
        }
        match options.families.iter().find(|name| !FAMILIES.contains(&name.as_str())) {
            Some(name) => Err(format!("there is no family {name}; there are {}", FAMILIES.join(", "))),
            None => Ok(options),
        }
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match Options::parse(&words).and_then(|options| tables(&options)) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The functions of a family.
fn problems(family: &str, numbers: std::ops::Range<u64>) -> Vec<Problem> {
    let of = match family {
        "fronts" => fronts::problem,
        "kernels" => kernels::problem,
        "cliffs" => cliffs::problem,
        _ => surfaces::problem,
    };
    numbers.map(of).collect()
}

fn tables(options: &Options) -> Result<String, String> {
    let mut text = String::new();
    let mut raw = String::new();
    for family in &options.families {
        let mut problems = problems(family, options.functions.clone());
        problems.iter_mut().for_each(|problem| problem.trials = options.trials.unwrap_or(problem.trials));
        text += &format!(
            "| {family} | {} | median | failed | less than {} (95 %) |\n| --- | ---: | ---: | ---: | ---: |\n",
            problems.first().map_or("", |p| p.measure),
            options.searchers[0]
        );
        let mut first: Option<Vec<Ran>> = None;
        for searcher in &options.searchers {
            let ran = run_all(&problems, *searcher, options.seeds.clone())?;
            let line = line(&searcher.to_string(), &ran, first.as_deref());
            eprint!("{family} {line}");
            text += &line;
            for one in &ran {
                raw += &format!(
                    "{family} {searcher} {} {} {} {} {}\n",
                    one.function, one.seed, one.loss, one.seen, one.failed
                );
            }
            first.get_or_insert(ran);
        }
        text += "\n";
    }
    if let Some(file) = &options.raw {
        std::fs::write(file, raw).map_err(|error| format!("{file}: {error}"))?;
    }
    Ok(text)
}

/// The row of a searcher, compared with the first one study by study.
fn line(name: &str, ran: &[Ran], first: Option<&[Ran]>) -> String {
    let n = ran.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let losses: Vec<f64> = ran.iter().map(|one| one.loss).collect();
    let mut sorted = losses.clone();
    sorted.sort_by(f64::total_cmp);
    let failed = ran.iter().map(|one| one.failed as f64).sum::<f64>() / n;
    let compared = first.map_or_else(String::new, |first| {
        let less: Vec<f64> = first.iter().zip(&losses).map(|(first, other)| other - first.loss).collect();
        let middle = mean(&less);
        let variance = less.iter().map(|l| (l - middle).powi(2)).sum::<f64>() / (n - 1.0);
        format!("{middle:+.4} ± {:.4}", 1.96 * (variance / n).sqrt())
    });
    format!("| {name} | {:.4} | {:.4} | {failed:.1} | {compared} |\n", mean(&losses), sorted[sorted.len() / 2])
}
