//! A run: it searches, compares the best configuration with the defaults, and writes a folder with the result.
//!
//! The journal is written before its effects, so a run keeps its measurements if it is interrupted or killed, or if the
//! disk is full. A run that is started again on the same folder continues. Summary, tables and report are computed from
//! the folder alone.

mod arms;
mod budget;
mod compare;
mod comparison;
mod cutoff;
mod folder;
mod identity;
mod influence;
mod method;
mod page;
mod record;
mod rounds;
mod search;
mod tables;
mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;
use tunekit::tuner::StopHandle;
use tunekit::{Config, Metric, Setup, Space};

pub use self::budget::{Budget, Spent};
pub use self::method::Method;
pub use self::tables::Names;

use self::arms::{References, in_space};
use self::budget::Reserve;
use self::compare::compare;
use self::comparison::{ComparisonFile, Contents, SearchEnd};
use self::folder::Folder;
use self::identity::Identity;
use self::influence::explain;
use self::record::Record;
use self::search::{Searched, search};
use crate::cli::Init;
use crate::engines::{nearest, one_wave};
use crate::failure::Failure;
use crate::measure::Bench;
use crate::results::Summary;
use crate::show::Show;
use crate::size::ByteSize;

/// The metric's name in files.
const METRIC: &str = "download_time";
/// The number of consecutive failures after which the run gives up: on a full disk, for example, every trial fails.
const MAX_FAILURES: u32 = 4;

/// The plan of a run.
#[derive(Debug)]
pub struct Plan {
    /// The folder of the results.
    pub out: PathBuf,
    /// The search space.
    pub space: Space,
    /// The configuration that the search begins with.
    pub init: Init,
    /// The method of the search.
    pub method: Method,
    /// Downloads per configuration, at least 1.
    pub n_downloads: u32,
    /// The limit on time, without the final comparison.
    pub max_tuning_time: Duration,
    /// The limit on configurations.
    pub max_trials: Option<u64>,
    /// Whether downloads are cut off that can no longer be the best.
    pub cut_off: bool,
    /// The limits on bytes, requests and money, the final comparison included.
    pub budget: Budget,
    /// The seed of all randomness of the search.
    pub seed: u64,
    /// The network, in words.
    pub network: String,
    /// The names of the tables' columns.
    pub names: Names,
}

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The content of `summary.json`.
    pub summary: Summary,
    /// The same in words, for a terminal.
    pub words: String,
}

/// Executes the plan. `stop` ends the run early; the measurements are kept.
///
/// # Errors
///
/// [`Failure::Usage`] if the folder holds another run, or the budget does not suffice for one configuration and the
/// comparison. [`Failure::Work`] if something cannot be measured or written, or the run was stopped.
pub async fn run(plan: &Plan, bench: &Bench, stop: &StopHandle, show: &Show) -> Result<Outcome, Failure> {
    let references = References::of(&bench.engine);
    let setup = setup(plan, bench, &references, show)?;
    let cost = |config: &Config| Spent::download(bench.engine.knobs(), config, bench.object.bytes);
    let reserve = Reserve::of(&references, cost);
    let first = cost(&bench.engine.complete(&nearest(&plan.space, &references.engine_default)));
    let least = reserve.with(first).least().plus(first.times(u64::from(plan.n_downloads)));
    if let Some(limit) = plan.budget.exceeded_by(least) {
        return Err(Failure::usage(format!(
            "--{}: the first configuration and the comparison alone take {}; give it more",
            limit.replace('_', "-"),
            plan.budget.in_words(least)
        )));
    }
    let folder = Folder::open(&plan.out, &Identity::of(plan, bench), plan.names)?;
    // Another run is refused before anything is measured.
    folder.check_journal(&setup)?;
    show.downloads_per_trial(plan.n_downloads);
    show.line(in_advance(plan, bench, reserve.round(), cost(&references.engine_default)));

    let began = Instant::now();
    let (spent, reserve) = earlier(&folder, bench, reserve)?;
    let Searched { tuning, stopped_by, failure } =
        search(plan, bench, setup, &folder, (spent, reserve), stop, show).await;
    let Some(tuning) = tuning else { return Err(failure.unwrap_or_else(|| nothing_measured(plan, &stopped_by))) };
    let contents = Contents::read(folder.path())?;
    let saved = folder.save_tables(&tuning.experiment, &contents);
    // A failure of the search comes before a failure to write about it.
    match failure {
        Some(failure) => return Err(failure),
        None => saved?,
    }
    let best = tuning.best.as_ref().ok_or_else(|| nothing_measured(plan, &stopped_by))?;
    let began = began.checked_sub(tuning.elapsed.saturating_sub(began.elapsed())).unwrap_or(began);
    let (now, _) = earlier(&folder, bench, reserve)?;
    let end = match contents.search {
        // A session in which nothing was left to search does not make the search longer.
        Some(end) if now == spent && end.stopped_by == stopped_by => end,
        _ => SearchEnd { stopped_by, seconds: tuning.elapsed.as_secs_f64() },
    };
    let settled = tokio::task::spawn_blocking({
        let (folder, best) = (folder.clone(), best.config.clone());
        move || Record::load(folder.path()).map(|record| record.settled(&best))
    });
    let settled = settled.await.map_err(|error| Failure::work("look for parameters without effect", &error))??;
    let arms = references.arms(settled, best.trial.0);
    let round = arms.iter().fold(Spent::default(), |sum, arm| sum.plus(cost(&arm.config)));
    let mut file = ComparisonFile::open(folder.path(), &arms, &end)?;
    let most = file.comparison().rounds() + plan.budget.rounds_left(now, round, rounds::MOST * 3);
    tokio::select! {
        compared = compare(bench, &mut file, most, best.value, began, show) => compared?,
        () = stop.stopped() => return Err(interrupted(plan)),
    }
    drop(file);
    show.now("the report");
    let (record, summary) = tokio::task::spawn_blocking({
        let folder = folder.clone();
        move || finish(&folder)
    })
    .await
    .map_err(|error| Failure::work("write the report", &error))??;
    Ok(Outcome { summary, words: words::result(&record) })
}

/// Writes everything that follows from a finished comparison.
fn finish(folder: &Folder) -> Result<(Record, Summary), Failure> {
    let mut record = Record::load(folder.path())?;
    let summary = record.summary()?;
    folder.save_best(&record, &summary)?;
    folder.save_summary(&summary)?;
    folder.save_tables(&record.experiment, &record.comparisons)?;
    record.written = Some(summary.clone());
    save_report(folder, &record)?;
    Ok((record, summary))
}

fn save_report(folder: &Folder, record: &Record) -> Result<(), Failure> {
    let explained = explain(&record.study);
    if let Ok(explained) = &explained {
        folder.save_influence(explained)?;
    }
    let influence = explained.map(|explained| explained.influence()).map_err(|error| error.to_string());
    folder.save_report(&page::page(record, influence))
}

/// Writes the tables and the report of a run's folder again, for the measurements so far, and returns their contents in
/// words. Nothing is measured. The columns keep the names that they had in the run, unless `names` asks for Syne
/// Tune's.
///
/// # Errors
///
/// [`Failure::Usage`] for a folder without a run, [`Failure::Work`] for a folder that is damaged or cannot be written.
pub fn report(folder: &Path, names: Names) -> Result<String, Failure> {
    let record = Record::load(folder)?;
    let names = if record.identity.syne_tune_names { Names::SyneTune } else { names };
    let folder = Folder::existing(folder, names);
    folder.save_tables(&record.experiment, &record.comparisons)?;
    save_report(&folder, &record)?;
    Ok(words::report(&record))
}

/// The study of a plan. Its first point is the engine's default, or the point of the space that is nearest to it; then
/// come boto3's defaults where they are asked for, and points from which a model learns most.
fn setup(plan: &Plan, bench: &Bench, references: &References, show: &Show) -> Result<Setup, Failure> {
    let setup = Setup::new(plan.space.clone(), Metric::time(METRIC).replicated()).seed(plan.seed);
    let setup = plan.method.applied(setup, plan.n_downloads);
    let default = in_space(&plan.space, &references.engine_default);
    let first = nearest(&plan.space, &references.engine_default);
    if first != default {
        show.line(format!(
            "the engine's default ({default}) is not in the space: the search begins with the nearest point, {first}; \
             the comparison has the default itself"
        ));
    }
    let mut points = vec![first];
    if plan.init == Init::Boto3Defaults && references.baseline_is_boto3 {
        let boto3 = in_space(&plan.space, &references.baseline);
        plan.space.validate(&boto3).map_err(|error| {
            Failure::usage(format!(
                "--init boto3_defaults: boto3's defaults are not in the space: {error}; widen it, \
                 or write --init random"
            ))
        })?;
        points.push(boto3);
    } else if plan.init == Init::Boto3Defaults {
        show.line("--init boto3_defaults: the engine has no parameters of boto3's; its own defaults come first");
    }
    if plan.method.has_model() {
        points.extend(one_wave(&plan.space, bench.object.bytes));
    }
    let mut setup = setup;
    for (at, point) in points.iter().enumerate() {
        if !points[..at].contains(point) {
            setup = setup.point(point.clone());
        }
    }
    Ok(setup)
}

/// The cost of the folder's run so far, and `reserve` with the configurations of its trials.
fn earlier(folder: &Folder, bench: &Bench, reserve: Reserve) -> Result<(Spent, Reserve), Failure> {
    let of =
        |config: &Config| Spent::download(bench.engine.knobs(), &bench.engine.complete(config), bench.object.bytes);
    let (mut spent, mut reserve) = (Spent::default(), reserve);
    if folder.journal().exists() {
        let record = Record::load_if_measured(folder.path())?;
        for trial in record.iter().flat_map(|record| record.experiment.trials()) {
            let downloads = trial.measurements.len() as u64 + u64::from(trial.at_least.is_some());
            spent = spent.plus(of(&trial.config).times(downloads));
            reserve = reserve.with(of(&trial.config));
        }
    }
    let contents = Contents::read(folder.path())?;
    for comparison in contents.earlier.iter().chain(&contents.last) {
        for one in &comparison.downloads {
            spent = spent.plus(of(&comparison.arms[one.arm].config));
        }
    }
    Ok((spent, reserve))
}

/// The cost of the run in words, before it begins. The speed of the network is not known yet, so the figure assumes a
/// speed by which people can scale it.
fn in_advance(plan: &Plan, bench: &Bench, round: Spent, one: Spent) -> String {
    const BYTES_PER_S: f64 = 100e6;
    let compared = [round.times(rounds::FEWEST as u64), round.times(rounds::MOST as u64)];
    let seconds = plan.max_tuning_time.as_secs_f64();
    let by_time = (seconds * BYTES_PER_S / bench.object.bytes as f64).ceil() as u64;
    let by_trials = plan.max_trials.map(|trials| trials.saturating_mul(u64::from(plan.n_downloads)));
    let search = match by_trials {
        Some(downloads) if downloads <= by_time => {
            format!("search up to {downloads} downloads, {}", plan.budget.in_words(one.times(downloads)))
        }
        _ => format!("search {seconds} s, at 100 MB/s {}", plan.budget.in_words(one.times(by_time))),
    };
    let limits = match plan.budget.limits() {
        limits if limits.is_empty() => "no limit on bytes, requests or cost is set".to_owned(),
        limits => format!("limited by {limits}"),
    };
    format!(
        "plan: {search}; then compare, at least {} to {}; {limits}",
        ByteSize(compared[0].bytes),
        ByteSize(compared[1].bytes)
    )
}

/// The error for a folder with another run: `what` names the difference and the way to mend it.
fn another_run(out: &Path, what: &str) -> Failure {
    Failure::usage(format!("--out {} holds another run: {what}", out.display()))
}

fn interrupted(plan: &Plan) -> Failure {
    Failure::Work(format!(
        "interrupted; the measurements are in {0}, and the same command with --out {0} continues from there",
        plan.out.display()
    ))
}

/// The failure of a search that measured nothing before this limit ended it.
fn nothing_measured(plan: &Plan, stopped_by: &str) -> Failure {
    if budget::LIMITS.contains(&stopped_by) {
        let flag = stopped_by.replace('_', "-");
        return Failure::Work(format!(
            "no configuration could be measured within --{flag} and compared with the defaults; give it more"
        ));
    }
    Failure::Work(format!(
        "no configuration could be measured within --max-tuning-time {}; give it more time",
        plan.max_tuning_time.as_secs_f64()
    ))
}
