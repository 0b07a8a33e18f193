//! `cargo xtask bench answer`: s3tune's recommendation, against a grid, against the default, and in other programs.
//!
//! `crates/s3tune/benches/answer` measures everything; this file calls it and writes its tables into the document. No
//! test runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{document, machine};

pub(crate) const USAGE: &str = "\
cargo xtask bench answer [--quick] [--only SECTION,..] [--venv DIR] [--out FILE.md]
       recommendations of s3tune: profiles, simulated, flat, compat, clients; about an hour and a half;
       --venv: where to look for python3, aws, s5cmd and rclone before PATH";

/// The name in the markers of its sections.
const BENCH: &str = "answer";

/// A section of the document.
struct Section {
    name: &'static str,
    /// Heading, question, and how to read the table.
    head: &'static str,
    arguments: &'static [&'static str],
    quick: &'static [&'static str],
}

const SECTIONS: [Section; 5] = [
    Section {
        name: "profiles",
        head: "## Recommendations of s3tune against an exhaustive grid\n\n\
               The time of s3tune's recommendation for s3xfer, against the best of 30 configurations (8 to 256\n\
               requests, parts of 1 to 16 MiB). On sockets, 36 s of search and about 24 s of comparison; then the\n\
               engine's default, the four best cells and the recommendation, 10 to 40 rounds in turn. Figures are\n\
               mean times divided by that of the best cell: 1.00 is equal to the best cell, and less is faster than\n\
               every cell.",
        arguments: &["profiles", "--seconds", "36"],
        quick: &["profiles", "--only", "same region,thin link", "--seconds", "15"],
    },
    Section {
        name: "simulated",
        head: "## Search methods of s3tune\n\n\
               The same in virtual time, four studies for each network and method: the median and the worst of them.",
        arguments: &[
            "profiles",
            "--simulated",
            "--seeds",
            "5",
            "--methods",
            "bayes_fifo,racing,bayes_hyperband,random",
        ],
        quick: &["profiles", "--simulated", "--seeds", "1", "--methods", "bayes_fifo,random", "--only", "thin link"],
    },
    Section {
        name: "flat",
        head: "## Recommendations where nothing is to be gained\n\n\
               Studies in which s3tune recommends a configuration that is slower than the engine's default. A thin\n\
               link with an uneven first byte, in virtual time. Every recommendation but the default is measured\n\
               against it over 40 rounds on another seed of the network.",
        arguments: &["flat"],
        quick: &["flat", "--seeds", "5"],
    },
    Section {
        name: "compat",
        head: "## Configurations a minute in the AWS sample's space\n\n\
               As today, and as s3tune was before: three downloads of every configuration, each waited for\n\
               (`bayes_fifo`, `--no-cut-off`). On sockets, three studies each, medians.",
        arguments: &["compat", "--seeds", "3"],
        quick: &["compat", "--seeds", "1"],
    },
    Section {
        name: "clients",
        head: "## Other programs, tuned and then run without s3tune\n\n\
               Each program is tuned by `s3tune tune --engine NAME` on the network `same-region` with an object of\n\
               256 MiB. The recommendation is exported, and a plain script of the program downloads with its\n\
               defaults and with the export in turn. *Claimed* is the figure of s3tune's own comparison, *plain*\n\
               the medians of seven pairs without s3tune. boto3's time is that of `download_file`, the others' that\n\
               of the process.",
        arguments: &["clients"],
        quick: &["clients", "--seconds", "20", "--pairs", "3"],
    },
];

/// The sections to run, and the file for their tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    only: Vec<String>,
    quick: bool,
    venv: Option<PathBuf>,
    out: PathBuf,
}

impl Options {
    /// Reads the words after `bench answer`.
    ///
    /// # Errors
    /// The first word that is not understood, with the words that are.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self { only: Vec::new(), quick: false, venv: None, out: "docs/BENCHMARKS.md".into() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if *word == "--quick" {
                options.quick = true;
                continue;
            }
            if !["--only", "--venv", "--out"].contains(word) {
                return Err(format!("{word} is no flag of bench answer\nusage: {USAGE}"));
            }
            let value = words.next().ok_or_else(|| format!("{word} takes a value\nusage: {USAGE}"))?;
            match *word {
                "--only" => options.only = value.split(',').map(known).collect::<Result<_, _>>()?,
                "--venv" => options.venv = Some(value.into()),
                _ => options.out = value.into(),
            }
        }
        Ok(options)
    }
}

fn known(name: &str) -> Result<String, String> {
    let names = SECTIONS.each_ref().map(|section| section.name);
    let found = names.contains(&name).then(|| name.to_owned());
    found.ok_or_else(|| format!("there is no section {name}; there are {}", names.join(", ")))
}

/// Runs the parts that `options` name, from the workspace at `root`.
///
/// # Errors
/// A part could not be built, failed, or could not be written.
pub(crate) fn run(root: &Path, options: &Options) -> Result<(), String> {
    let out = root.join(&options.out);
    let commit = machine::commit(root).map_or_else(String::new, |commit| format!("s3tune at {commit}; "));
    let foot = format!("{}: {commit}{}", machine::today()?, machine::hardware(root));
    for section in SECTIONS {
        if !options.only.is_empty() && !options.only.iter().any(|name| name == section.name) {
            continue;
        }
        let arguments = if options.quick { section.quick } else { section.arguments };
        let table = table_of(root, ("s3tune", "answer"), arguments, options.venv.as_deref())?;
        let text = format!("{}\n\n{}\n\n{foot}", section.head, table.trim_end());
        println!("{text}\n");
        let document = document::with_section(&document::read(&out)?, BENCH, section.name, &text)?;
        std::fs::write(&out, document).map_err(|error| format!("failed to write {}: {error}", out.display()))?;
    }
    eprintln!("tables in {}", out.display());
    Ok(())
}

/// Builds and runs a bench of a crate; gives the table that it prints.
pub(super) fn table_of(
    root: &Path,
    (package, bench): (&str, &str),
    arguments: &[&str],
    venv: Option<&Path>,
) -> Result<String, String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["bench", "--quiet", "-p", package, "--bench", bench, "--"]).args(arguments);
    if let Some(venv) = venv {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(venv.join("bin")).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders).map_err(|error| format!("--venv: {error}"))?);
    }
    command.current_dir(root).env("AWS_EC2_METADATA_DISABLED", "true").stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| format!("failed to start cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("{}: {}", arguments.join(" "), output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("the table is no text: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_and_wrong_ones_are_named() {
        let options = Options::parse(&["--quick", "--only", "flat,compat", "--venv", "/v"]).unwrap();
        assert_eq!((options.quick, options.only.len(), options.venv), (true, 2, Some("/v".into())));
        for (words, says) in [(["--only", "nothing"], "there are profiles"), (["--rounds", "3"], "no flag")] {
            assert!(Options::parse(&words).unwrap_err().contains(says), "{words:?}");
        }
        assert!(Options::parse(&["--out"]).unwrap_err().contains("takes a value"));
    }
}
