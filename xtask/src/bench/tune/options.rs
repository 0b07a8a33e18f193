//! The flags of `cargo xtask bench tune`.

use std::path::PathBuf;

use super::board::{self, Function};

pub(crate) const USAGE: &str = "\
cargo xtask bench tune [--quick] [--searchers NAME,..] [--functions NAME,..] [--seeds N] [--first-seed N] [--batch 1|4]
                       [--tunekit PROGRAM] [--out FILE.md]
       regret and CPU time of our searchers on published functions, and the tables of docs/BENCHMARKS.md;
       --batch 4: four trials at a time as well, and how many measurements that costs; --tunekit: instead of building one";

/// The searchers of the contract of `tunekit serve`; one that a version does not have is named under the tables.
const SEARCHERS: &[&str] = &["random", "sobol", "grid", "gp", "tpe", "bore", "cqr", "evolution", "de", "cmaes", "auto"];

/// The order for a bench, and the document to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(super) searchers: Vec<String>,
    /// All where empty.
    functions: Vec<String>,
    quick: bool,
    pub(super) seeds: u64,
    pub(super) first_seed: u64,
    /// Four trials at a time as well.
    pub(super) batch: bool,
    pub(super) tunekit: Option<PathBuf>,
    pub(super) out: PathBuf,
}

impl Options {
    /// Reads the words after `bench tune`.
    ///
    /// # Errors
    /// The first word that is not understood, with the words that are.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let quick = words.contains(&"--quick");
        let searchers = if quick { &["random", "sobol", "gp"] } else { SEARCHERS };
        let mut options = Self {
            searchers: searchers.iter().map(|name| (*name).to_owned()).collect(),
            functions: Vec::new(),
            quick,
            seeds: if quick { 5 } else { 20 },
            first_seed: 0,
            batch: false,
            tunekit: None,
            out: "docs/BENCHMARKS.md".into(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if *word == "--quick" {
                continue;
            }
            let known = ["--searchers", "--functions", "--seeds", "--first-seed", "--batch", "--tunekit", "--out"];
            if !known.contains(word) {
                return Err(format!("{word} is no flag of bench tune\nusage: {USAGE}"));
            }
            let value = words.next().ok_or_else(|| format!("{word} takes a value\nusage: {USAGE}"))?;
            match *word {
                // The engine knows its searchers: a new one needs no change here.
                "--searchers" => options.searchers = value.split(',').map(str::to_owned).collect(),
                "--functions" => options.functions = functions_of(value)?,
                "--seeds" => {
                    let seeds = value.parse().ok().filter(|seeds| (1..=1000).contains(seeds));
                    options.seeds = seeds.ok_or_else(|| format!("--seeds takes 1 to 1000, not {value}"))?;
                }
                "--first-seed" => {
                    let first =
                        value.parse::<u32>().map_err(|_| format!("--first-seed takes a number, not {value}"))?;
                    options.first_seed = first.into();
                }
                "--batch" => {
                    options.batch = match *value {
                        "1" => false,
                        "4" => true,
                        _ => return Err(format!("--batch takes 1 or 4, not {value}")),
                    }
                }
                "--tunekit" => options.tunekit = Some(value.into()),
                _ => options.out = value.into(),
            }
        }
        Ok(options)
    }

    pub(super) fn selected(&self) -> Vec<Function> {
        let named = |f: &Function| self.functions.iter().any(|name| name == f.name);
        let wanted = |f: &Function| if self.functions.is_empty() { f.quick || !self.quick } else { named(f) };
        board::all().into_iter().filter(wanted).collect()
    }
}

fn functions_of(list: &str) -> Result<Vec<String>, String> {
    let known: Vec<&str> = board::all().iter().map(|f| f.name).collect();
    list.split(',')
        .map(|name| {
            let found = known.contains(&name).then(|| name.to_owned());
            found.ok_or_else(|| format!("there is no function {name}; there are {}", known.join(", ")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_flags_every_searcher_meets_every_function_twenty_times() {
        let options = Options::parse(&[]).unwrap();
        assert_eq!((options.seeds, options.searchers.len()), (20, SEARCHERS.len()));
        assert_eq!(options.selected().len(), board::all().len());
    }

    #[test]
    fn quick_is_a_default_that_other_flags_change_wherever_they_stand() {
        for words in [["--functions", "camel2", "--quick"], ["--quick", "--functions", "camel2"]] {
            let options = Options::parse(&words).unwrap();
            assert_eq!((options.seeds, options.selected()[0].name, options.selected().len()), (5, "camel2", 1));
        }
        assert!(Options::parse(&["--quick"]).unwrap().selected().iter().all(|f| f.quick));
    }

    #[test]
    fn a_wrong_flag_or_value_is_named() {
        assert!(Options::parse(&["--fast"]).unwrap_err().starts_with("--fast is no flag"));
        assert!(Options::parse(&["--functions", "none"]).unwrap_err().contains("there are branin2"));
        assert!(Options::parse(&["--batch", "3"]).unwrap_err().contains("1 or 4"));
        assert!(Options::parse(&["--seeds", "0"]).unwrap_err().contains("1 to 1000"));
    }
}
