//! `cargo xtask bench honesty`: checks whether tunekit's statements about its answers are true.
//!
//! `crates/tunekit/benches/honesty` measures everything; this file calls it and writes its table into the document. No
//! test runs it.

use std::path::{Path, PathBuf};

use super::{answer, document, machine};

pub(crate) const USAGE: &str = "\
cargo xtask bench honesty [--seeds FROM..TO] [--threads N] [--only METHOD;..] [--functions NAME;..] [--noise SHARE;..]
                          [--out FILE.md]
       intervals of tunekit's answers, 500 studies a row [0..500], and the table of docs/BENCHMARKS.md; hours";

/// The name its section bears.
const BENCH: &str = "honesty";

const HEAD: &str = "\
## Intervals and claims of studies

Honesty of `best`: the share of studies whose 95 % interval covers the true mean of the recommended configuration, the
bias of its mean, and the share of studies that claim a gain over the first configuration (on *flat* there is none). 40
trials, 80 measurements where replicates race, 60 trials of up to 9 steps under asha; log-normal noise.";

/// The words for the benchmark, and the document to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    words: Vec<String>,
    out: PathBuf,
}

impl Options {
    /// Reads the words after `bench honesty`.
    ///
    /// # Errors
    /// The first unknown word, with the known ones.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self { words: Vec::new(), out: "docs/BENCHMARKS.md".into() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if !["--seeds", "--threads", "--only", "--functions", "--noise", "--out"].contains(word) {
                return Err(format!("{word} is no flag of bench honesty\nusage: {USAGE}"));
            }
            let value = words.next().ok_or_else(|| format!("{word} takes a value\nusage: {USAGE}"))?;
            match *word {
                "--out" => options.out = value.into(),
                _ => options.words.extend([(*word).to_owned(), (*value).to_owned()]),
            }
        }
        Ok(options)
    }
}

/// Runs it, from the workspace at `root`.
///
/// # Errors
/// It could not be built, did not end well, or could not be written down.
pub(crate) fn run(root: &Path, options: &Options) -> Result<(), String> {
    let words: Vec<&str> = options.words.iter().map(String::as_str).collect();
    let table = answer::table_of(root, ("tunekit", "honesty"), &words, None)?;
    let commit = machine::commit(root).map_or_else(String::new, |commit| format!(", tunekit at {commit}"));
    let rows = if words.is_empty() { "500 studies a row".to_owned() } else { words.join(" ") };
    let foot = format!("{}: {rows}{commit}", machine::today()?);
    let text = format!("{HEAD}\n\n{}\n\n{foot}", table.trim_end());
    println!("{text}");
    let out = root.join(&options.out);
    let document = document::with_section(&document::read(&out)?, BENCH, "coverage", &text)?;
    std::fs::write(&out, document).map_err(|error| format!("failed to write {}: {error}", out.display()))?;
    eprintln!("table in {}", out.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_passed_on_and_wrong_ones_are_named() {
        let options = Options::parse(&["--seeds", "500..520", "--out", "x.md", "--noise", "0.15"]).unwrap();
        assert_eq!((options.words.join(" "), options.out), ("--seeds 500..520 --noise 0.15".to_owned(), "x.md".into()));
        for (words, says) in [(vec!["--rounds", "3"], "no flag"), (vec!["--seeds"], "takes a value")] {
            assert!(Options::parse(&words).unwrap_err().contains(says), "{words:?}");
        }
    }
}
