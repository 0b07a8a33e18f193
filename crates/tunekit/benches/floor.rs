//! The stop rule `noise_floor`: how early it ends studies, and how much worse their answers are than those of full
//! studies. `cargo bench -p tunekit --bench floor -- [SEEDS] [SEARCHER] [FUNCTION]...`: SEEDS such as 50, SEARCHER such
//! as gp, FUNCTION bowl, transfer or choices. One table row for each function, noise and factor, as Markdown on
//! standard output; progress goes to standard error.
//!
//! Each study has 100 trials. The noise floor is judged along the way, as a tuner does, and its judgements change
//! nothing, so that one study shows the end by every factor. Answers are compared by their true means.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "tables and progress are what this program is for")]

#[path = "honesty/functions.rs"]
mod functions;

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use functions::Function;
use tunekit::searcher::Stream;
use tunekit::study::NoiseFloor;
use tunekit::{Config, Metric, SearcherKind, Setup, Study};

const NOISES: [f64; 3] = [0.05, 0.15, 0.30];
const FACTORS: [f64; 3] = [0.5, 0.75, 1.0];
const TRIALS: u64 = 100;

/// A judgement of a study, and the true mean of its answer then.
struct Judged {
    trials: u64,
    floor: NoiseFloor,
    truth: f64,
}

/// A study: its judgements, and the true mean of its last answer.
struct Ran {
    judged: Vec<Judged>,
    truth: f64,
    seconds: f64,
}

fn study(function: Function, noise: f64, searcher: SearcherKind, seed: u64) -> Result<Ran, Box<dyn Error>> {
    let setup = Setup::new(function.space(), Metric::time("seconds")).seed(seed).searcher(searcher).budget(TRIALS);
    let mut study = Study::new(setup)?;
    let mut stream = Stream::of_study(seed, "noise of the function");
    let truth = |config: &Config| function.mean(config, 1.0);
    let answer = |study: &Study| study.best().map(|best| truth(&best.config)).ok_or("nothing was measured");
    // The schedule of a tuner.
    let mut next = 20.max(5 * function.space().len() as u64);
    let (mut judged, mut seconds) = (Vec::new(), 0.0);
    for trials in 1..=TRIALS {
        let job = study.ask()?.assignment().ok_or("a study without an end gives trials")?;
        let value = truth(&job.config) * noise.mul_add(stream.normal(), -0.5 * noise * noise).exp();
        study.at(Duration::from_secs(trials)).tell(job.trial, value)?;
        // A study that has met the smallest factor has met all.
        let is_over = judged.last().is_some_and(|last: &Judged| last.floor.is_reached(FACTORS[0]));
        if trials == next && !is_over {
            next += trials / 5;
            let begun = Instant::now();
            let floor = study.noise_floor();
            seconds += begun.elapsed().as_secs_f64();
            if let Some(floor) = floor {
                let best = study.trial(floor.trial).ok_or("the best configuration has a trial")?;
                judged.push(Judged { trials, floor, truth: truth(&best.config) });
            }
        }
    }
    Ok(Ran { judged, truth: answer(&study)?, seconds })
}

fn studies(function: Function, noise: f64, searcher: SearcherKind, seeds: u64) -> Result<Vec<Ran>, String> {
    let next = AtomicU64::new(0);
    let hand = || {
        let seeds = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds));
        let one = |seed| study(function, noise, searcher, seed).map_err(|error| format!("seed {seed}: {error}"));
        seeds.map(one).collect::<Result<Vec<Ran>, String>>()
    };
    std::thread::scope(|scope| {
        let hands = [scope.spawn(hand), scope.spawn(hand)];
        let all = hands.into_iter().map(|hand| hand.join().map_err(|_| "a study panicked".to_owned())?);
        Ok(all.collect::<Result<Vec<_>, String>>()?.into_iter().flatten().collect())
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo adds a flag of its own.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let seeds: u64 = words.next().map_or(Ok(50), |word| word.parse())?;
    let searcher: SearcherKind = words.next().map_or(Ok(SearcherKind::Gp), |word| word.parse())?;
    println!("| function | noise | factor | ended | trials | worse, in noises | worse, in % |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let names: Vec<String> = words.collect();
    let is_named = |function: &Function| match names.as_slice() {
        [] => !matches!(function, Function::Flat | Function::Drifting),
        names => names.iter().any(|name| name == function.name()),
    };
    for function in Function::ALL.into_iter().filter(is_named) {
        for noise in NOISES {
            let begun = Instant::now();
            let ran = studies(function, noise, searcher, seeds)?;
            let judgements: usize = ran.iter().map(|one| one.judged.len()).sum();
            let each = ran.iter().map(|one| one.seconds).sum::<f64>() / judgements.max(1) as f64;
            eprintln!("{}: {:.0} s, {:.0} ms a judgement", function.name(), begun.elapsed().as_secs_f64(), each * 1e3);
            for factor in FACTORS {
                let n = ran.len() as f64;
                let ends = |one: &Ran| one.judged.iter().position(|judged| judged.floor.is_reached(factor));
                let ended: Vec<(u64, f64, f64)> = ran
                    .iter()
                    .map(|one| match ends(one).map(|place| &one.judged[place]) {
                        Some(judged) => (judged.trials, judged.truth - one.truth, one.truth),
                        None => (TRIALS, 0.0, one.truth),
                    })
                    .collect();
                let mean = |of: fn(&(u64, f64, f64)) -> f64| ended.iter().map(of).sum::<f64>() / n;
                println!(
                    "| {} | {:.0} % | {factor} | {:.0} % | {:.0} | {:+.2} | {:+.1} % |",
                    function.name(),
                    noise * 100.0,
                    100.0 * ran.iter().filter(|one| ends(one).is_some()).count() as f64 / n,
                    mean(|one| one.0 as f64),
                    mean(|one| one.1 / one.2) / noise,
                    100.0 * mean(|one| one.1 / one.2),
                );
            }
        }
    }
    Ok(())
}
