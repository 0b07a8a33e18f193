//! `cargo xtask bench auto`: s3xfer's default settings on many simulated networks, compared with fixed numbers and with
//! the rules of other programs.
//!
//! `crates/s3xfer/benches/auto` simulates everything; this file calls it, and writes its table and picture into the
//! document. The bench needs only the standard library, so rustc builds it in seconds; cargo would build the SDK for
//! its package. No test runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{document, machine};

pub(crate) const USAGE: &str = "\
cargo xtask bench auto [--profiles N] [--seed N] [--out FILE.md]
       s3xfer's default settings on N drawn networks [100] and on known ones, in virtual time; docs/BENCHMARKS.md and a
       picture beside it; minutes";

/// The name in the markers of its section.
const BENCH: &str = "auto";

const HEAD: &str = "\
## Default settings against the best fixed settings

Default settings against the best fixed pair of requests and part size, found by exhaustive search (4 to 512 requests,
parts of 1 to 64 MiB). The figure is the best fixed pair's time divided by the rule's: at 1 both are equally fast.

Networks are simulated at full size in virtual time: a fluid link that all bodies share, log-normal times to the first
byte, new connections, tails, refused requests, and links that carry less as the number of requests grows. The rules of
other programs run on the same model, as they are published. Drawn networks have a first byte after 2 to 300 ms, 5 to
100 MB/s a connection, a link of 10 Mbit/s to 100 Gbit/s, and objects of 1 MiB to 50 GiB.

*Second transfer* begins with the findings of a first transfer (`TransferMemory`). *Told of another network* begins with
the true values of the next network in the list, which are wrong for this network.";

/// The number of networks, their seed, and the document to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    profiles: u64,
    seed: u64,
    out: PathBuf,
}

impl Options {
    /// Reads the words after `bench auto`.
    ///
    /// # Errors
    /// The first word that is not understood, with the words that are.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self { profiles: 100, seed: 1, out: "docs/BENCHMARKS.md".into() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if !["--profiles", "--seed", "--out"].contains(word) {
                return Err(format!("{word} is no flag of bench auto\nusage: {USAGE}"));
            }
            let value = words.next().ok_or_else(|| format!("{word} takes a value\nusage: {USAGE}"))?;
            let number = |most: u64| {
                let number = value.parse().ok().filter(|number| *number <= most);
                number.ok_or_else(|| format!("{word} takes a number up to {most}, not {value}"))
            };
            match *word {
                "--profiles" => options.profiles = number(10_000)?,
                "--seed" => options.seed = number(u64::from(u32::MAX))?,
                _ => options.out = value.into(),
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
    let (profiles, seed) = (options.profiles.to_string(), options.seed.to_string());
    let out = root.join(&options.out);
    let picture = out.with_file_name("auto.svg");
    let file = picture.to_str().ok_or_else(|| format!("{} is no text", picture.display()))?;
    let arguments = ["--profiles", &profiles, "--seed", &seed, "--picture", file];
    let program = root.join("target/auto-bench");
    std::fs::create_dir_all(root.join("target")).map_err(|error| format!("failed to make target: {error}"))?;
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut build = Command::new(rustc);
    build.args(["--edition", "2024", "-O", "-A", "dead_code", "-o"]).arg(&program);
    output(build.arg("crates/s3xfer/benches/auto/main.rs"), root)?;
    let table = output(Command::new(&program).args(arguments), root)?;
    let commit = machine::commit(root).map_or_else(String::new, |commit| format!(", s3xfer at {commit}"));
    let foot = format!(
        "![The share of networks on which each rule stays below a ratio](auto.svg)\n\n{}: {profiles} drawn networks of seed {seed}{commit}",
        machine::today()?
    );
    let text = format!("{HEAD}\n\n{}\n\n{foot}", table.trim_end());
    println!("{text}");
    let document = document::with_section(&document::read(&out)?, BENCH, "networks", &text)?;
    std::fs::write(&out, document).map_err(|error| format!("failed to write {}: {error}", out.display()))?;
    eprintln!("table in {}, picture in {}", out.display(), picture.display());
    Ok(())
}

/// The text that the command prints.
fn output(command: &mut Command, root: &Path) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.current_dir(root).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("failed to start {name}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("the output of {name} is no text: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_and_wrong_ones_are_named() {
        assert_eq!(Options::parse(&["--profiles", "20", "--seed", "7"]).unwrap().profiles, 20);
        for (words, says) in [(["--profiles", "x"], "up to 10000"), (["--rounds", "3"], "no flag")] {
            assert!(Options::parse(&words).unwrap_err().contains(says), "{words:?}");
        }
        assert!(Options::parse(&["--out"]).unwrap_err().contains("takes a value"));
    }
}
