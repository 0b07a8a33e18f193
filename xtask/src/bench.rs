//! `cargo xtask bench transfer`: runs s3xfer and other engines in turn on the same objects, and writes tables of their
//! costs. `moves` has its sections that do not download a single object. The other benchmarks:
//! `cargo xtask bench tune`, in `tune`, for searchers; `cargo xtask bench answer`, in `answer`, for s3tune;
//! `cargo xtask bench auto`, in `auto`, for s3xfer's default settings on many networks; `cargo xtask bench honesty`, in
//! `honesty`, for the intervals of answers; and `cargo xtask bench regret`, in `regret`, for searchers on functions
//! that no published board has.
//!
//! This file has the order of work: build, serve, run, write the results. `workloads` and `engines` describe the runs,
//! `stats` and `table` evaluate the figures (all pure), and `race` starts the processes. The engines, the server and
//! the stopwatch are heavy, and are built separately in `xtask/peers`. No test runs the benchmarks, and no code judges
//! the figures.

pub(crate) mod answer;
pub(crate) mod auto;
mod document;
mod engines;
pub(crate) mod honesty;
mod machine;
mod moves;
mod options;
mod race;
pub(crate) mod regret;
mod results;
mod stats;
mod table;
pub(crate) mod tune;
mod workloads;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use options::{Options, USAGE};

use engines::Tools;
use race::{Place, Rig};

/// The name in the markers of its sections.
const BENCH: &str = "transfer";

/// Runs the workloads that `options` name, from the workspace at `root`.
///
/// # Errors
/// Something could not be built, started or written. Failed runs are not errors: the tables name them.
pub(crate) fn run(root: &Path, options: &Options) -> Result<(), String> {
    raise_our_share();
    if !options.selected().is_empty() {
        downloads(root, options)?;
    }
    moves::run(root, options)
}

/// The workloads that are downloads, for which all engines are built.
fn downloads(root: &Path, options: &Options) -> Result<(), String> {
    let peers = build(root)?;
    let tools = Tools::find(root, &peers, options.venv.as_deref());
    let machine = machine::describe(root, &tools)?;
    let raw = root.join("target/bench");
    fs::create_dir_all(&raw).map_err(|error| format!("failed to make {}: {error}", raw.display()))?;
    let raw = raw.join(format!("transfer-{}.jsonl", machine.date));
    let rig = Rig::new(&peers, &raw);
    let place = Place::keep(&rig)?;
    let out = root.join(&options.out);
    for workload in options.selected() {
        let entrants = workload.entrants(&options.engine_names());
        let results = race::run(&rig, &tools, &place, &workload, &entrants, options.rounds)?;
        let section = table::section(&workload, &results, &machine, options.rounds);
        let text = document::with_section(&document::read(&out)?, BENCH, workload.name, &section)?;
        fs::write(&out, text).map_err(|error| format!("failed to write {}: {error}", out.display()))?;
        println!("{section}");
    }
    eprintln!("tables in {}, every run in {}", out.display(), raw.display());
    Ok(())
}

/// Builds the engines and the rig, and returns their folder.
fn build(root: &Path) -> Result<PathBuf, String> {
    let target = root.join("target/peers");
    let (manifest, folder) = (root.join("xtask/peers/Cargo.toml"), target.display().to_string());
    // Not `--locked`: if s3xfer or s3lab has a new dependency, cargo adds it and leaves the rest unchanged.
    let manifest = manifest.display().to_string();
    cargo(root, &["build", "--release", "--manifest-path", &manifest, "--target-dir", &folder], "the engines")?;
    Ok(target.join("release"))
}

/// Runs cargo, which builds `what`.
fn cargo(root: &Path, arguments: &[&str], what: &str) -> Result<(), String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Cargo has set variables about this program. Build scripts that watch such variables would run again, and with
    // them half of the build.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    let status = command
        .args(arguments)
        .current_dir(root)
        .status()
        .map_err(|error| format!("failed to start cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("failed to build {what} ({status})")) }
}

/// On a machine with other work, Linux shares the processors by session; root may ask for more than a session's share.
fn raise_our_share() {
    if let Err(error) = fs::write("/proc/self/autogroup", "-10") {
        eprintln!("the share of the processors stays as it is ({error}); other work on this machine weighs more");
    }
}
