//! The flags of `cargo xtask bench transfer`.

use std::path::PathBuf;

use super::engines::{self, ENGINES, QUICK};
use super::workloads::{self, MOVES, Workload};

pub(crate) const USAGE: &str = "\
cargo xtask bench transfer [--quick] [--only WORKLOAD,..] [--engines ENGINE,..] [--rounds N] [--venv DIR] [--out FILE.md]
       downloads by our engine and by others in turn, uploads, folders, listings and syncs by s3tune and other programs,
       and the tables of docs/BENCHMARKS.md;
       --venv: where to look for s5cmd, rclone and python3 before PATH";

/// The order for a bench, and the document to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// All where empty.
    only: Vec<String>,
    engines: Vec<&'static str>,
    pub(super) quick: bool,
    pub(super) rounds: u32,
    pub(super) venv: Option<PathBuf>,
    pub(super) out: PathBuf,
}

impl Options {
    /// Reads the words after `bench transfer`.
    ///
    /// # Errors
    /// The first word that is not understood, with the words that are.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            only: Vec::new(),
            engines: ENGINES.iter().map(|engine| engine.name).collect(),
            quick: words.contains(&"--quick"),
            rounds: 5,
            venv: None,
            out: "docs/BENCHMARKS.md".into(),
        };
        if options.quick {
            options.rounds = 3;
            options.engines = QUICK.to_vec();
        }
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if *word == "--quick" {
                continue;
            }
            let known = ["--only", "--engines", "--rounds", "--venv", "--out"];
            if !known.contains(word) {
                return Err(format!("{word} is no flag of bench transfer\nusage: {USAGE}"));
            }
            let value = words.next().ok_or_else(|| format!("{word} takes a value\nusage: {USAGE}"))?;
            match *word {
                "--only" => options.only = workloads_of(value)?,
                "--engines" => options.engines = engines_of(value)?,
                "--rounds" => {
                    let rounds = value.parse().ok().filter(|rounds| (1..=1000).contains(rounds));
                    options.rounds = rounds.ok_or_else(|| format!("--rounds takes 1 to 1000, not {value}"))?;
                }
                "--venv" => options.venv = Some(value.into()),
                _ => options.out = value.into(),
            }
        }
        Ok(options)
    }

    pub(super) fn selected(&self) -> Vec<Workload> {
        let all = workloads::all().into_iter();
        all.filter(|workload| self.names(workload.name)).collect()
    }

    /// Whether a workload of that name is to be run.
    pub(super) fn names(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    pub(super) fn engine_names(&self) -> Vec<&'static str> {
        self.engines.clone()
    }
}

fn workloads_of(list: &str) -> Result<Vec<String>, String> {
    let known = [workloads::names(), MOVES.to_vec()].concat();
    list.split(',')
        .map(|name| {
            let found = known.contains(&name).then(|| name.to_owned());
            found.ok_or_else(|| format!("there is no workload {name}; there are {}", known.join(", ")))
        })
        .collect()
}

fn engines_of(list: &str) -> Result<Vec<&'static str>, String> {
    let known = || ENGINES.iter().map(|engine| engine.name).collect::<Vec<_>>().join(", ");
    list.split(',')
        .map(|name| {
            engines::engine_named(name).ok_or_else(|| format!("there is no engine {name}; there are {}", known()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_flags_everything_runs_five_times() {
        let options = Options::parse(&[]).unwrap();
        assert_eq!((options.rounds, options.selected().len()), (5, workloads::names().len()));
        assert_eq!(options.engine_names().len(), ENGINES.len());
        assert_eq!(options.out, PathBuf::from("docs/BENCHMARKS.md"));
    }

    #[test]
    fn quick_is_a_default_that_other_flags_change_wherever_they_stand() {
        for words in [["--rounds", "2", "--quick"], ["--quick", "--rounds", "2"]] {
            let options = Options::parse(&words).unwrap();
            assert_eq!((options.rounds, options.engine_names()), (2, QUICK.to_vec()));
        }
    }

    #[test]
    fn lists_keep_their_order_and_know_their_names() {
        let options = Options::parse(&["--engines", "tm,ceiling", "--only", "size"]).unwrap();
        assert_eq!(options.engine_names(), ["tm", "ceiling"]);
        assert_eq!(options.selected()[0].name, "size");
        let moves = Options::parse(&["--only", "upload,sync"]).unwrap();
        assert!(moves.selected().is_empty() && moves.names("sync") && !moves.names("listing"));
        assert!(Options::parse(&["--engines", "tm,none"]).unwrap_err().contains("no engine none; there are ceiling"));
        assert!(Options::parse(&["--only", "none"]).unwrap_err().contains("there are file-3g"));
    }

    #[test]
    fn a_wrong_flag_or_value_is_named() {
        assert!(Options::parse(&["--fast"]).unwrap_err().starts_with("--fast is no flag"));
        assert!(Options::parse(&["--rounds"]).unwrap_err().starts_with("--rounds takes a value"));
        assert!(Options::parse(&["--rounds", "0"]).unwrap_err().contains("1 to 1000"));
    }
}
