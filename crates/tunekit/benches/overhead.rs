//! The cost of a trial that costs nothing: in memory and with a journal, early in a study and late, beside one bare
//! fdatasync on the same disk; and the time to read a long journal back.
//!
//! `cargo bench -p tunekit --bench overhead -- [TRIALS [EVENTS]]`, by default 100,000 and 1,000,000. The journal is in
//! the folder for temporary files (`TMPDIR`).

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a benchmark")]

use std::convert::Infallible;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use tunekit::journal::JournalFile;
use tunekit::{Domain, Metric, SearcherKind, Setup, Space, Study, Tuner};

/// Trials with a journal that are synced one by one.
const SYNCED: u64 = 300;

fn setup() -> Setup {
    let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
    let space = space.with("n", Domain::int(1, 1_000_000).unwrap()).unwrap();
    Setup::new(space, Metric::minimize("loss")).searcher(SearcherKind::Random).seed(1)
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u64>().ok());
    let trials = numbers.next().unwrap_or(100_000);
    let events = numbers.next().unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    println!("bare append and fdatasync: {:.2} ms", bare(folder.path()));
    println!("trial in memory, of {SYNCED}: {:.3} ms", tuned(None, SYNCED));
    println!("trial with a journal, of {SYNCED}: {:.3} ms", tuned(Some(&path), SYNCED));
    let written = fill(&path, SYNCED, trials);
    println!("study and journal without the disk, trials {SYNCED} to {trials}: {written:.4} ms each");
    println!("trial with a journal, {SYNCED} after {trials}: {:.3} ms", tuned(Some(&path), trials + SYNCED));
    std::fs::remove_file(&path).unwrap();
    long(&path, events);
    let began = Instant::now();
    let contents = JournalFile::read(&path).unwrap();
    let read = began.elapsed();
    let n = contents.events.len();
    let study = Study::replay(contents.events).unwrap();
    let all = began.elapsed();
    println!("{n} events of {} trials: read and checked in {read:.2?}, a study after {all:.2?}", study.trials().len());
}

fn bare(folder: &Path) -> f64 {
    let mut file = File::create(folder.join("bare")).unwrap();
    let began = Instant::now();
    for _ in 0..SYNCED {
        file.write_all(&[b'x'; 200]).unwrap();
        file.sync_data().unwrap();
    }
    ms(began.elapsed(), SYNCED)
}

/// The time of the last trials up to `until`, each.
fn tuned(journal: Option<&Path>, until: u64) -> f64 {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut tuner = Tuner::new(setup()).max_trials(until);
    if let Some(path) = journal {
        tuner = tuner.journal(path);
    }
    let first = std::cell::Cell::new(None);
    let took = runtime.block_on(async {
        let run = tuner.run(|_| {
            first.set(first.get().or(Some(Instant::now())));
            async { Ok::<_, Infallible>(1.0) }
        });
        run.await.unwrap();
        first.get().map_or(Duration::ZERO, |first| first.elapsed())
    });
    ms(took, SYNCED)
}

/// Lets a study in a journal grow without waiting for the disk at each trial.
fn fill(path: &Path, from: u64, to: u64) -> f64 {
    let (mut journal, contents) = JournalFile::open(path).unwrap();
    let mut study = Study::replay(contents.events).unwrap();
    let mut waiting = Vec::new();
    let began = Instant::now();
    for _ in from..to {
        let trial = study.ask().unwrap().assignment().unwrap().trial;
        study.tell(trial, 1.0).unwrap();
        waiting.extend(study.take_events());
        if waiting.len() >= 20_000 {
            journal.append(&waiting).unwrap();
            waiting.clear();
        }
    }
    journal.append(&waiting).unwrap();
    ms(began.elapsed(), to.saturating_sub(from).max(1))
}

/// A journal of so many events: an ask, eight reports and the end of each trial.
fn long(path: &Path, events: u64) {
    let (mut journal, _) = JournalFile::open(path).unwrap();
    let mut study = Study::new(setup()).unwrap();
    for i in 0..events / 10 {
        let trial = study.ask().unwrap().assignment().unwrap().trial;
        for step in 1..=8 {
            study.report(trial, step, 1.0).unwrap();
        }
        study.tell(trial, tunekit::Outcome::Done).unwrap();
        if i % 2000 == 0 {
            journal.append(&study.take_events()).unwrap();
        }
    }
    journal.append(&study.take_events()).unwrap();
}

fn ms(time: Duration, n: u64) -> f64 {
    time.as_secs_f64() * 1000.0 / n as f64
}
