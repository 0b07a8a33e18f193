//! `cargo xtask bench regret`: searchers on families of functions that the published boards leave out.
//!
//! `crates/tunekit/benches/regret` measures everything and reads the arguments; this file calls it and writes its
//! tables into the document. No test runs it.

use std::path::{Path, PathBuf};

use super::{answer, document, machine};

pub(crate) const USAGE: &str = "\
cargo xtask bench regret [--families NAME;..] [--functions FROM..TO] [--seeds FROM..TO] [--only SEARCHER;..]
                         [--out FILE.md]
       fronts, kernels, cliffs and surfaces, 21 functions of each and 5 seeds [gp;tpe;random]; hours";

/// The name its section bears.
const BENCH: &str = "regret";

const HEAD: &str = "\
## Several objectives, small choices, failures, much noise

Each function is drawn from its number. For two objectives, the tables give the share of the true front's hypervolume
that is missed; for the other families, the distance between the answer's true mean and the lowest possible mean. The
first column is the mean over studies; *less than gp* compares study by study.

- *fronts*: two objectives, 40 trials.
- *kernels*: six to eight ordinal parameters with effects that multiply; a hidden half of the combinations fails; 50
  trials.
- *cliffs*: the optimum lies at the edge of a region that fails, 60 trials.
- *surfaces*: transfers with 30 to 50 % of noise, 40 trials.";

/// The arguments for the benchmark, and the document for its tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    words: Vec<String>,
    out: PathBuf,
}

impl Options {
    /// Reads the words after `bench regret`.
    ///
    /// # Errors
    /// The first word that is not understood, with the words that are.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self { words: Vec::new(), out: "docs/BENCHMARKS.md".into() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if !["--families", "--functions", "--seeds", "--only", "--out"].contains(word) {
                return Err(format!("{word} is no flag of bench regret\nusage: {USAGE}"));
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
/// It could not be built, failed, or could not be written.
pub(crate) fn run(root: &Path, options: &Options) -> Result<(), String> {
    let words: Vec<&str> = options.words.iter().map(String::as_str).collect();
    let tables = answer::table_of(root, ("tunekit", "regret"), &words, None)?;
    let commit = machine::commit(root).map_or_else(String::new, |commit| format!(", tunekit at {commit}"));
    let rows = if words.is_empty() { "all functions and seeds".to_owned() } else { words.join(" ") };
    let text = format!("{HEAD}\n\n{}\n\n{}: {rows}{commit}", tables.trim_end(), machine::today()?);
    println!("{text}");
    let out = root.join(&options.out);
    let document = document::with_section(&document::read(&out)?, BENCH, "families", &text)?;
    std::fs::write(&out, document).map_err(|error| format!("failed to write {}: {error}", out.display()))?;
    eprintln!("tables in {}", out.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_passed_on_and_wrong_ones_are_named() {
        let options = Options::parse(&["--families", "fronts", "--out", "x.md", "--seeds", "0..3"]).unwrap();
        assert_eq!(
            (options.words.join(" "), options.out),
            ("--families fronts --seeds 0..3".to_owned(), "x.md".into())
        );
        for (words, says) in [(vec!["--rounds", "3"], "no flag"), (vec!["--seeds"], "takes a value")] {
            assert!(Options::parse(&words).unwrap_err().contains(says), "{words:?}");
        }
    }
}
