//! `cargo xtask bench tune`: our searchers on published functions, and tables of their regrets and costs.
//!
//! This file has the order of work: build, play two runs at a time, write the results. Functions are in `board` and
//! `formulae`, figures and their tables in `figures` and `show` (all pure); `session` and `play` start the processes,
//! one per run. No test runs the benchmark, and no code judges the figures.

mod board;
mod chance;
mod figures;
mod formulae;
mod options;
mod play;
mod session;
mod show;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use options::{Options, USAGE};

use serde_json::{Value, json};

use super::{document, machine};
use board::{Function, Group};
use play::Curve;
use show::{Cell, Cost, Report};

/// The name in the markers of its sections.
const BENCH: &str = "tune";
/// Runs at a time.
const HANDS: usize = 2;
/// Trials at a time of the parallel runs.
const BATCH: usize = 4;
/// The function whose suggestions are timed, and the numbers of results before them.
const TIMED: (&str, [usize; 4]) = ("hartmann6", [20, 100, 300, 1000]);

/// Plays the runs that `options` name, from the workspace at `root`.
///
/// # Errors
/// Something could not be built, started or written. Failed runs are not errors: the tables name them.
pub(crate) fn run(root: &Path, options: &Options) -> Result<(), String> {
    let tunekit = match &options.tunekit {
        Some(program) => program.clone(),
        None => build(root)?,
    };
    let date = machine::today()?;
    let raw = root.join("target/bench");
    fs::create_dir_all(&raw).map_err(|error| format!("failed to make {}: {error}", raw.display()))?;
    let raw = raw.join(format!("tune-{date}.jsonl"));
    let all = board::all();
    let timed = all.iter().find(|f| f.name == TIMED.0).expect("the board has the function that is timed");
    let (mut searchers, mut without) = (Vec::new(), Vec::new());
    for searcher in &options.searchers {
        match play::knows(&tunekit, searcher, timed) {
            Ok(()) => searchers.push(searcher.clone()),
            Err(why) => without.push((searcher.clone(), why)),
        }
    }
    let functions = options.selected();
    let mut report =
        Report { cells: cells(options, &searchers, &functions), functions, searchers, without, foot: String::new() };
    play_all(&tunekit, options, &mut report, &raw)?;
    let engine = match (&options.tunekit, machine::commit(root)) {
        // Its path would say more of the machine than of the engine.
        (Some(_), _) => "a tunekit built elsewhere; ".to_owned(),
        (None, commit) => commit.map_or_else(String::new, |commit| format!("tunekit at {commit}; ")),
    };
    let seeds = if options.seeds == 1 { "seed" } else { "seeds" };
    report.foot =
        format!("{date}: {} {seeds} from {}; {}{}", options.seeds, options.first_seed, engine, machine::hardware(root));
    let costs = costs(&tunekit, &report.searchers, timed);
    let mut sections: Vec<(String, String)> = vec![("ranks".to_owned(), report.rank())];
    for group in Group::ALL {
        sections.extend(report.regret(group).map(|text| (format!("regret-{}", group.name()), text)));
    }
    if options.batch {
        sections.push(("batch".to_owned(), report.batch(BATCH)));
    }
    sections.push(("cpu".to_owned(), report.cost(TIMED.0, &costs)));
    let out = root.join(&options.out);
    let mut text = document::read(&out)?;
    for (name, section) in &sections {
        text = document::with_section(&text, BENCH, name, section)?;
        println!("{section}");
    }
    fs::write(&out, text).map_err(|error| format!("failed to write {}: {error}", out.display()))?;
    eprintln!("tables in {}, every run in {}", out.display(), raw.display());
    Ok(())
}

fn build(root: &Path) -> Result<PathBuf, String> {
    super::cargo(root, &["build", "--release", "-p", "tunekit", "--features", "cli"], "tunekit")?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release/tunekit"))
}

/// One for each searcher, function and batch size, empty.
fn cells(options: &Options, searchers: &[String], functions: &[Function]) -> Vec<Cell> {
    let batches: &[usize] = if options.batch { &[1, BATCH] } else { &[1] };
    let mut cells = Vec::new();
    for searcher in searchers {
        for function in functions {
            cells.extend(batches.iter().map(|batch| Cell {
                searcher: searcher.clone(),
                function: function.name,
                batch: *batch,
                curves: Vec::new(),
                failures: Vec::new(),
            }));
        }
    }
    cells
}

/// Plays every cell with every seed; each cell gets its results in the order of seeds, not in the order of their ends.
fn play_all(tunekit: &Path, options: &Options, report: &mut Report, raw: &Path) -> Result<(), String> {
    let seeds = options.first_seed..options.first_seed + options.seeds;
    // Seeds are the outermost loop: after half of the time, half of the seeds of every cell are done.
    let jobs: Vec<(usize, u64)> =
        seeds.flat_map(|seed| (0..report.cells.len()).map(move |cell| (cell, seed))).collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let hand = || -> Result<(), String> {
        while let Some((cell, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Cell { searcher, function, batch, .. } = &report.cells[*cell];
            let played = report.functions.iter().find(|f| f.name == *function).expect("cells are of these functions");
            let outcome = play::regret(tunekit, searcher, played, *seed, *batch);
            let mut done = done.lock().map_err(|_| "another run broke off".to_owned())?;
            note(raw, &line(&report.cells[*cell], *seed, &outcome))?;
            done.push((*cell, *seed, outcome));
            if done.len() % 100 == 0 {
                eprintln!("{} of {} runs", done.len(), jobs.len());
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..HANDS).map(|_| scope.spawn(hand)).collect();
        hands.into_iter().try_for_each(|hand| hand.join().map_err(|_| "a run panicked".to_owned())?)
    })?;
    let mut done = done.into_inner().map_err(|_| "a run broke off".to_owned())?;
    done.sort_by_key(|(cell, seed, _)| (*cell, *seed));
    for (cell, seed, outcome) in done {
        match outcome {
            Ok(curve) => report.cells[cell].curves.push(curve),
            Err(why) => report.cells[cell].failures.push(format!("seed {seed}: {why}")),
        }
    }
    Ok(())
}

/// One at a time, after the runs, so that no other run of the benchmark uses the processors.
fn costs(tunekit: &Path, searchers: &[String], function: &Function) -> Vec<Cost> {
    let cost = |searcher: &String| Cost {
        searcher: searcher.clone(),
        at: TIMED.1.map(|n| (n, play::overhead(tunekit, searcher, function, n))).to_vec(),
    };
    searchers.iter().map(cost).collect()
}

fn line(cell: &Cell, seed: u64, outcome: &Result<Curve, String>) -> Value {
    let (searcher, function, batch) = (&cell.searcher, cell.function, cell.batch);
    let mut line = json!({"searcher": searcher, "function": function, "seed": seed, "batch": batch});
    match outcome {
        Ok(curve) => {
            line["regret"] = json!(curve.lowest);
            line["recommended"] = json!(curve.recommended);
            line["cpu_s"] = json!(curve.cpu_s);
        }
        Err(why) => line["error"] = json!(why),
    }
    line
}

/// Adds a line to the raw results.
fn note(raw: &Path, line: &Value) -> Result<(), String> {
    let failed = |error| format!("failed to write {}: {error}", raw.display());
    let mut file = OpenOptions::new().create(true).append(true).open(raw).map_err(failed)?;
    writeln!(file, "{line}").map_err(failed)
}
