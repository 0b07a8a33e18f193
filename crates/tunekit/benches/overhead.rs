//! The cost of a trial that costs nothing, on the clock and of the processor: in memory and with a journal, early in a
//! study and late, beside one bare fdatasync on the same disk; the cost of a report, early in a trial and late; and the
//! time to read a long journal back.
//!
//! `cargo bench -p tunekit --bench overhead -- [TRIALS [EVENTS]]`, by default 100,000 and 1,000,000. The journal is in
//! the folder for temporary files (`TMPDIR`).

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a benchmark")]

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use tunekit::journal::JournalFile;
use tunekit::{Domain, Metric, SearcherKind, Setup, Space, Study, Tuner};

/// Trials with a journal that are synced one by one.
const SYNCED: u64 = 300;
/// Trials in memory.
const IN_MEMORY: u64 = 3000;

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
    println!("bare append and fdatasync: {}", bare(folder.path()));
    println!("trial in memory, of {IN_MEMORY}: {}", tuned(None, IN_MEMORY, IN_MEMORY));
    println!("trial with a journal, of {SYNCED}: {}", tuned(Some(&path), SYNCED, SYNCED));
    println!("study and journal without the disk, trials {SYNCED} to {trials}: {}", fill(&path, SYNCED, trials));
    println!("trial with a journal, {SYNCED} after {trials}: {}", tuned(Some(&path), trials + SYNCED, SYNCED));
    for before in [0, 500_000] {
        println!("report in memory, 10,000 of one trial after {before}: {}", reported(before));
    }
    std::fs::remove_file(&path).unwrap();
    long(&path, events);
    let clock = Clock::start();
    let contents = JournalFile::read(&path).unwrap();
    let read = clock.each(1);
    let n = contents.events.len();
    let study = Study::replay(contents.events).unwrap();
    println!(
        "{n} events of {} trials: read and checked in {read}, a study after {}",
        study.trials().len(),
        clock.each(1)
    );
}

/// A moment on the clock and in processor time of all threads, which does not depend on the machine's other work.
#[derive(Debug, Clone, Copy)]
struct Clock {
    wall: Instant,
    processor_ms: f64,
}

impl Clock {
    fn start() -> Self {
        Self { wall: Instant::now(), processor_ms: processor_ms() }
    }

    /// The time since, for each of `n`.
    fn each(&self, n: u64) -> String {
        self.until(&Self::start(), n)
    }

    fn until(&self, end: &Self, n: u64) -> String {
        let wall = end.wall.duration_since(self.wall).as_secs_f64() * 1000.0 / n as f64;
        format!("{wall:.4} ms ({:.4} ms of a processor)", (end.processor_ms - self.processor_ms) / n as f64)
    }
}

/// The processor time so far, in steps of 10 ms.
fn processor_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // The 14th and the 15th of all, in hundredths of a second.
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10.0
}

fn bare(folder: &Path) -> String {
    let mut file = File::create(folder.join("bare")).unwrap();
    let clock = Clock::start();
    for _ in 0..SYNCED {
        file.write_all(&[b'x'; 200]).unwrap();
        file.sync_data().unwrap();
    }
    clock.each(SYNCED)
}

/// The time of the last `counted` trials up to `until`, each, from the start of the first to the start of the last: the
/// tuner reads the journal before them, and looks for the best configuration after them.
fn tuned(journal: Option<&Path>, until: u64, counted: u64) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut tuner = Tuner::new(setup()).max_trials(until);
    if let Some(path) = journal {
        tuner = tuner.journal(path);
    }
    let (runs, ends) = (Cell::new(0), RefCell::new(Vec::new()));
    runtime.block_on(async {
        let run = tuner.run(|_| {
            runs.set(runs.get() + 1);
            if runs.get() == 1 || runs.get() == counted {
                ends.borrow_mut().push(Clock::start());
            }
            async { Ok::<_, Infallible>(1.0) }
        });
        run.await.unwrap();
    });
    let ends = ends.into_inner();
    ends[0].until(&ends[1], counted - 1)
}

/// Lets a study in a journal grow without waiting for the disk at each trial.
fn fill(path: &Path, from: u64, to: u64) -> String {
    let (mut journal, contents) = JournalFile::open(path).unwrap();
    let mut study = Study::replay(contents.events).unwrap();
    let mut waiting = Vec::new();
    let clock = Clock::start();
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
    clock.each(to.saturating_sub(from).max(1))
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

/// The time of each of 10,000 reports of one trial that has reported so often before.
fn reported(before: u64) -> String {
    let mut study = Study::new(setup()).unwrap();
    let trial = study.ask().unwrap().assignment().unwrap().trial;
    let mut clock = Clock::start();
    for step in 1..=before + 10_000 {
        if step == before + 1 {
            clock = Clock::start();
        }
        study.report(trial, step, 1.0).unwrap();
        if step % 10_000 == 0 {
            drop(study.take_events());
        }
    }
    clock.each(10_000)
}
