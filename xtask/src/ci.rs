//! The checks that a change must pass, as a list of commands that can be repeated by hand.
//!
//! Cheap steps come first, so that a formatting mistake does not cost half an hour. Each step prints its command line
//! and its duration; the first failure stops the run. The steps need only Rust. `.ci/run` has the end-to-end run of the
//! program, and the checks with tools that not every machine has.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::{metadata, tidy};

/// Whether to run the tests too. `.ci/run` runs the README's test command itself, and once is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tests {
    Run,
    Skip,
}

/// One command line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    environment: Vec<(&'static str, &'static str)>,
    arguments: Vec<String>,
}

impl Step {
    fn cargo(line: &str) -> Self {
        Self { environment: Vec::new(), arguments: line.split_whitespace().map(str::to_owned).collect() }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// The command line that repeats this step.
    fn line(&self) -> String {
        let environment = self.environment.iter().map(|(name, value)| format!("{name}='{value}' "));
        environment.chain(["cargo ".to_owned(), self.arguments.join(" ")]).collect()
    }

    fn run(&self, root: &Path) -> Result<(), String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(&self.arguments)
            .envs(self.environment.iter().copied())
            .current_dir(root)
            .status()
            .map_err(|error| format!("failed to start `{}`: {error}", self.line()))?;
        if status.success() { Ok(()) } else { Err(format!("failed ({status}); repeat it with:\n    {}", self.line())) }
    }
}

/// Runs every step at `root`.
///
/// # Errors
/// The first step that failed, with the line that repeats it.
pub(crate) fn run(root: &Path, tests: Tests) -> Result<(), String> {
    let start = Instant::now();
    timed("cargo xtask tidy", || tidy::run(root))?;
    for step in steps(&metadata::crates(root)?, tests) {
        timed(&step.line(), || step.run(root))?;
    }
    println!("\n==> all passed in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn timed(line: &str, work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    println!("\n==> {line}");
    let start = Instant::now();
    let done = work();
    println!("    {:.1} s", start.elapsed().as_secs_f64());
    done
}

fn steps(crates: &[metadata::Crate], tests: Tests) -> Vec<Step> {
    let mut steps = vec![
        Step::cargo("fmt --all -- --check"),
        Step::cargo("clippy --workspace --all-targets --all-features -- -D warnings"),
        Step::cargo("doc --workspace --all-features --no-deps").with("RUSTDOCFLAGS", "-D warnings"),
        // Packs each crate as it would be uploaded: manifest, versions of our own crates, README, licences, lock file.
        // It cannot tell whether a packed crate compiles (that builds the SDK once more; `tidy` looks for files left
        // out), nor whether a registry has the names free, the owner's account and the versions unused: for those there
        // is `cargo publish --dry-run`, which asks the registry. Offline, because the steps above have fetched all it
        // needs.
        Step::cargo("package --workspace --exclude xtask --no-verify --allow-dirty --offline"),
    ];
    // In the workspace a feature that one crate forgot to ask for is switched on by another; alone it is missed.
    for crate_ in crates.iter().filter(|crate_| crate_.name != "xtask") {
        for flags in crate_.feature_flags() {
            steps.push(Step::cargo(&format!("clippy -p {} {} -- -D warnings", crate_.name, flags.join(" "))));
        }
    }
    if tests == Tests::Run {
        steps.push(Step::cargo("test --workspace"));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(tests: Tests) -> Vec<String> {
        let crates = ["tunekit", "xtask"].map(|name| metadata::Crate {
            name: name.to_owned(),
            dependencies: Vec::new(),
            features: Default::default(),
        });
        steps(&crates, tests).iter().map(Step::line).collect()
    }

    #[test]
    fn tests_run_last_and_only_when_asked_for() {
        assert_eq!(lines(Tests::Run).last().unwrap(), "cargo test --workspace");
        assert!(!lines(Tests::Skip).iter().any(|line| line.starts_with("cargo test")));
    }

    #[test]
    fn every_library_is_checked_alone_and_xtask_is_not() {
        let lines = lines(Tests::Skip);
        assert!(lines.contains(&"cargo clippy -p tunekit -- -D warnings".to_owned()));
        assert!(!lines.iter().any(|line| line.contains("-p xtask")));
    }

    #[test]
    fn the_documentation_is_built_with_every_feature() {
        let lines = lines(Tests::Skip);
        let doc = lines.iter().find(|line| line.contains("cargo doc")).unwrap();
        assert!(doc.contains("-D warnings") && doc.contains("--workspace --all-features"), "{doc}");
    }

    #[test]
    fn crates_are_packed_without_a_registry_and_without_a_build() {
        let lines = lines(Tests::Skip);
        let pack = lines.iter().find(|line| line.starts_with("cargo package")).unwrap();
        assert!(pack.contains("--workspace --exclude xtask --no-verify") && pack.ends_with("--offline"), "{pack}");
    }

    #[test]
    fn a_step_is_repeated_with_its_environment() {
        let step = Step::cargo("doc --no-deps").with("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(step.line(), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
    }

    #[test]
    fn a_failing_step_says_how_to_repeat_it() {
        let error = Step::cargo("no-such-command").run(Path::new(".")).unwrap_err();
        assert!(error.contains("cargo no-such-command"), "{error}");
    }
}
