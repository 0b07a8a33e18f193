//! Every scheduler on synthetic learning curves, on paper: how good is a full run of its recommendation after so many
//! hours of four workers? And with 64 workers: how long were they idle, how long did a decision take, how large did the
//! study grow?
//!
//! The curves cross: a wide model learns slowly and ends low, so that early ranks mislead; epochs of it take longer.
//! `cargo bench -p tunekit --bench schedulers -- 20` (20 seeds; some minutes, most of them for the models),
//! or with the name of one scheduler after the number, which also tells how large a study of it grows.

use std::error::Error;
use std::time::Instant;

use tunekit::searcher::Stream;
use tunekit::tuner::Simulator;
use tunekit::{Assignment, Config, Domain, Metric, SchedulerKind, SearcherKind, Setup, Space, Study};

/// The resource of a full run, in epochs.
const EPOCHS: u64 = 81;
/// The noise of an epoch's report.
const NOISE: f64 = 0.004;
/// The hours after which it is looked at.
const HOURS: [f64; 3] = [1.0, 2.0, 4.0];

fn space() -> Result<Space, Box<dyn Error>> {
    Ok(Space::new()
        .with("rate", Domain::float(1e-5, 1.0)?.log()?)?
        .with("width", Domain::int(16, 1024)?.log()?)?
        .with("dropout", Domain::float(0.0, 0.8)?)?)
}

/// The three parameters in [0, 1].
fn units(config: &Config) -> Option<(f64, f64, f64)> {
    let rate = config.float("rate")?.log10() / 5.0 + 1.0;
    let width = (config.int("width")? as f64 / 16.0).log2() / 6.0;
    Some((rate, width, config.float("dropout")? / 0.8))
}

/// The error after so many epochs, without noise: a power law from 0.9 down to an end.
fn error((rate, width, dropout): (f64, f64, f64), epoch: u64) -> f64 {
    let ideal = 0.6 - 0.2 * width;
    if rate > ideal + 0.25 {
        return 0.9;
    }
    let end = 0.05 + (rate - ideal).powi(2) + 0.15 * (1.0 - width).powi(2) + 0.1 * (dropout - 0.5 * width).powi(2);
    let slowness = 0.6 * (2.5 * width - 3.0 * (rate - ideal)).exp();
    end + (0.9 - end) * (1.0 + epoch as f64 / slowness).powf(-1.3)
}

fn epoch_seconds((_, width, _): (f64, f64, f64)) -> f64 {
    4.0 + 26.0 * width * width
}

fn objective(seed: u64) -> impl FnMut(&Assignment, u64) -> Result<(f64, f64), String> {
    move |job, epoch| {
        let at = units(&job.config).ok_or("a parameter is missing")?;
        let purpose = format!("noise {epoch}");
        let noise = NOISE * Stream::keyed(seed, job.trial, &purpose).normal();
        Ok((error(at, epoch) + noise, epoch_seconds(at)))
    }
}

fn setup(kind: SchedulerKind, seed: u64) -> Result<Setup, Box<dyn Error>> {
    let setup = Setup::new(space()?, Metric::minimize("error")).searcher(SearcherKind::Random).scheduler(kind);
    Ok(setup.max_resource(EPOCHS).seed(seed))
}

/// The least error there is, by a grid.
fn least() -> f64 {
    let grid = || (0..=60).map(|i| f64::from(i) / 60.0);
    let points = grid().flat_map(|a| grid().flat_map(move |b| grid().map(move |c| (a, b, c))));
    points.map(|at| error(at, EPOCHS)).fold(f64::INFINITY, f64::min)
}

fn main() -> Result<(), Box<dyn Error>> {
    // The last word is cargo's.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let given = words.next().unwrap_or_else(|| "5".to_owned());
    let seeds: u64 =
        given.parse().ok().filter(|n| *n > 0).ok_or(format!("how many seeds? `{given}` is no such number"))?;
    let kinds: Vec<SchedulerKind> = match words.next() {
        Some(name) => vec![name.parse()?],
        None => SchedulerKind::ALL.to_vec(),
    };
    let least = least();
    println!(
        "log10 regret of the recommended configuration, median of {seeds} seeds, random search where there is no model"
    );
    println!("{:16}{}", "", HOURS.map(|h| format!("{h:5} h ")).concat());
    for kind in &kinds {
        let mut row = String::new();
        for hours in HOURS {
            let mut regrets = Vec::new();
            for seed in 1000..1000 + seeds {
                let mut study = Study::new(setup(*kind, seed)?)?;
                Simulator::new(4).run(&mut study, 3600.0 * hours, objective(seed))?;
                let best = study.best().ok_or("nothing was reported")?;
                let at = units(&best.config).ok_or("a parameter is missing")?;
                regrets.push((error(at, EPOCHS) - least).max(1e-6).log10());
            }
            regrets.sort_by(f64::total_cmp);
            row += &format!("{:7.2} ", regrets[regrets.len() / 2]);
        }
        println!("{:16}{row}", kind.to_string());
    }

    println!("\n64 workers for 6 hours");
    let modelled = |kind: &&SchedulerKind| {
        matches!(kind, SchedulerKind::Mobster | SchedulerKind::HyperTune | SchedulerKind::Dyhpo)
    };
    for kind in kinds.iter().filter(|kind| !modelled(kind)) {
        let mut study = Study::new(setup(*kind, 1000)?)?;
        let (before, started) = (resident_kb(), Instant::now());
        let simulation = Simulator::new(64).run(&mut study, 6.0 * 3600.0, objective(1000))?;
        let seconds = started.elapsed().as_secs_f64();
        let idle = simulation.idle_seconds / (simulation.idle_seconds + simulation.busy_seconds);
        // After another study there is room to be used again.
        let bytes = 1024.0 * resident_kb().saturating_sub(before) as f64 / simulation.reports as f64;
        let size = if kinds.len() == 1 { format!(", {bytes:.0} B a report") } else { String::new() };
        println!(
            "{:16}{:6} trials, {:6} reports, idle {:.3} %, {:5.1} us a report and what it decides{size}",
            kind.to_string(),
            study.trials().len(),
            simulation.reports,
            100.0 * idle,
            1e6 * seconds / simulation.reports as f64,
        );
    }
    Ok(())
}

/// Memory of this process, where /proc tells it; 0 elsewhere.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
