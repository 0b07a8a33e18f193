//! A run: measure the default, search, prove what was found, and leave a folder that shows it.
//!
//! The journal is written before anything is acted on, so a run that is interrupted, killed or out of disk has kept what
//! it measured; started again on the same folder, it goes on.

mod folder;
mod influence;
mod method;
mod proof;

pub(crate) use crate::run::folder::in_words;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use s3xfer::TransferConfig;
use serde_json::{Map, Value};
use tunekit::{Best, Config, Decision, Metric, Setup, Space, StopHandle, Tuner, TunerError, Tuning};

use crate::cli::Init;
use crate::failure::{Failure, chain};
use crate::measure::{Bench, MeasureError};
use crate::results::{Measured, Schema, Summary};
use crate::run::folder::{Folder, Identity, report_input};
use crate::run::influence::explain;
pub use crate::run::method::Method;
use crate::run::proof::{Proof, prove};
use crate::show::{Show, seconds};
use crate::space::{as_object, boto3_defaults, transfer_config};

/// The metric's name in files.
const METRIC: &str = "download_time";
/// Trials that fail in a row before the run gives up: a folder that is full fails every one.
const MAX_FAILURES: u32 = 4;

/// What to do.
#[derive(Debug)]
pub struct Plan {
    /// The folder of the results.
    pub out: PathBuf,
    /// What is searched.
    pub space: Space,
    /// Where the search begins.
    pub init: Init,
    /// How it goes on.
    pub method: Method,
    /// Downloads per configuration, at least 1.
    pub n_downloads: u32,
    /// The limit on time: measuring the default and searching, without the final comparison.
    pub max_tuning_time: Duration,
    /// The limit on configurations.
    pub max_trials: Option<u64>,
    /// Where all randomness of the search comes from.
    pub seed: u64,
    /// The network, in words.
    pub network: String,
}

/// Runs it. `stop` ends it early; what was measured is kept.
///
/// # Errors
///
/// [`Failure::Usage`] when the folder holds another run, [`Failure::Work`] when something cannot be measured or written,
/// or the run was stopped.
pub async fn run(plan: &Plan, bench: &Bench, stop: &StopHandle, show: &Show) -> Result<Summary, Failure> {
    let started = Instant::now();
    let defaults = boto3_defaults(&plan.space);
    if plan.init == Init::Boto3Defaults
        && let Err(error) = plan.space.validate(&defaults)
    {
        return Err(Failure::usage(format!(
            "--init boto3_defaults: boto3's defaults are not in the space: {error}; widen it, or write --init random"
        )));
    }
    let folder = Folder::open(&plan.out, &Identity::of(plan, bench))?;
    show.downloads_per_trial(plan.n_downloads);

    let setup = setup(plan, &defaults);
    let scene = Scene { plan, bench, defaults: &defaults, stop, show };
    if plan.init == Init::Random {
        // Held meanwhile, so that no other run measures into the same folder, or beside this one.
        let _journal = folder.check_journal(&setup)?;
        let limit = plan.max_tuning_time;
        let measured = tokio::time::timeout(limit, scene.measure_default()).await;
        measured.unwrap_or_else(|_| Err(out_of_time(plan)))?;
    }
    let spent = started.elapsed();
    let tuned = scene.search(setup, &folder, spent).await;
    let (tuning, failure) = match tuned {
        Ok(tuning) => (tuning, None),
        Err(Ended { tuning: Some(tuning), failure }) => (*tuning, Some(failure)),
        Err(Ended { tuning: None, failure }) => return Err(failure),
    };
    let best = tuning.best.clone();
    let saved = folder.save_tables(&tuning.experiment).and_then(|()| match &best {
        Some(best) => folder.save_best(plan, bench, best),
        None => Ok(()),
    });
    // Why the search ended comes before what could not be written about it.
    match failure {
        Some(failure) => return Err(failure),
        None => saved?,
    }
    let best = best.ok_or_else(|| out_of_time(plan))?;
    let pair = (transfer(&defaults)?, transfer(&best.config)?);
    let proof = tokio::select! {
        proof = prove(bench, &pair.0, &pair.1, best.value, show) => proof?,
        () = stop.stopped() => return Err(interrupted(plan)),
    };
    let summary = summary(plan, bench, &tuning, &best, &proof, spent + tuning.elapsed);
    folder.save_summary(&summary)?;
    show.now("which parameters matter");
    let journal = folder.journal();
    let explained = tokio::task::spawn_blocking(move || explain(&journal)).await;
    let explained = explained.map_err(|error| Failure::work("explain the parameters", &error))??;
    if let Ok(explained) = &explained {
        folder.save_influence(explained)?;
    }
    let influence = explained.map(|explained| explained.influence()).map_err(|error| error.to_string());
    folder.save_report(&report_input(plan, bench, &tuning.experiment, &best, &proof, &summary, influence))?;
    Ok(summary)
}

/// A search that ended early, with what it measured.
struct Ended {
    tuning: Option<Box<Tuning>>,
    failure: Failure,
}

fn setup(plan: &Plan, defaults: &Config) -> Setup {
    let setup = Setup::new(plan.space.clone(), Metric::time(METRIC).replicated()).seed(plan.seed);
    let setup = plan.method.applied(setup, plan.n_downloads);
    match plan.init {
        Init::Boto3Defaults => setup.point(defaults.clone()),
        Init::Random => setup,
    }
}

/// What every phase before the comparison needs.
#[derive(Clone, Copy)]
struct Scene<'a> {
    plan: &'a Plan,
    bench: &'a Bench,
    defaults: &'a Config,
    stop: &'a StopHandle,
    show: &'a Show,
}

impl Scene<'_> {
    async fn search(self, setup: Setup, folder: &Folder, spent: Duration) -> Result<Tuning, Ended> {
        let Scene { plan, bench, defaults, stop, show } = self;
        let mut tuner = Tuner::new(setup)
            .journal(folder.journal())
            .max_wall_time(plan.max_tuning_time.saturating_sub(spent))
            .max_failures(MAX_FAILURES)
            .stop_handle(stop.clone())
            .observer(show.clone());
        if let Some(max_trials) = plan.max_trials {
            tuner = tuner.max_trials(max_trials);
        }
        // Wrong bytes are no matter of configuration: the run must not go on as if this one were merely slow.
        let wrong: Arc<Mutex<Option<String>>> = Arc::default();
        let tuned = tuner
            .run(|mut trial| {
                let (wrong, stop) = (wrong.clone(), stop.clone());
                async move {
                    let config = transfer_config(trial.config()).map_err(|error| error.to_string())?;
                    // Downloads from before an interruption count; who goes on after a pause is told when it is enough.
                    let already = &trial.kept()[..trial.already()];
                    let (mut sum, mut n) = (already.iter().sum::<f64>(), already.len() as u32);
                    for _ in n..plan.n_downloads {
                        let took = bench.download(&config).await.map_err(|error| {
                            let says = chain(&error);
                            if matches!(error, MeasureError::WrongBytes { .. } | MeasureError::WrongLength { .. }) {
                                wrong.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(says.clone());
                                stop.stop();
                            }
                            says
                        })?;
                        (sum, n) = (sum + took.as_secs_f64(), n + 1);
                        if trial.report(took.as_secs_f64()).await != Decision::Continue {
                            break;
                        }
                    }
                    if *trial.config() == *defaults {
                        show.default_mean(sum / f64::from(n));
                    }
                    Ok::<(), String>(())
                }
            })
            .await;

        let wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner).take();
        match tuned {
            Ok(tuning) if let Some(wrong) = wrong => {
                Err(Ended { tuning: Some(Box::new(tuning)), failure: Failure::Work(wrong) })
            }
            Ok(tuning) if stop.is_stopped() => {
                Err(Ended { tuning: Some(Box::new(tuning)), failure: interrupted(plan) })
            }
            Ok(tuning) => Ok(tuning),
            Err(error) => Err(ended(plan, error)),
        }
    }

    /// The default configuration's downloads, outside the study.
    async fn measure_default(self) -> Result<(), Failure> {
        let Scene { plan, bench, defaults, stop, show } = self;
        let config = transfer(defaults)?;
        let mut sum = 0.0;
        for done in 0..plan.n_downloads {
            show.now(format!("boto3's defaults, download {} of {}", done + 1, plan.n_downloads));
            let took = tokio::select! {
                took = bench.download(&config) => took.map_err(|error| Failure::work("measure boto3's defaults", &error))?,
                () = stop.stopped() => {
                    return Err(Failure::Work("interrupted before the search began; nothing was measured yet".to_owned()));
                }
            };
            sum += took.as_secs_f64();
        }
        let mean = sum / f64::from(plan.n_downloads);
        show.default_mean(mean);
        show.line(format!("default    {:>8}             {}", seconds(mean), defaults));
        Ok(())
    }
}

fn ended(plan: &Plan, error: TunerError) -> Ended {
    let out = plan.out.display();
    match error {
        TunerError::OtherStudy { what, .. } => Ended { tuning: None, failure: another_run(&plan.out, what) },
        TunerError::TooManyFailures { consecutive, last, tuning } => Ended {
            tuning: Some(tuning),
            failure: Failure::Work(format!(
                "{consecutive} configurations failed in a row, the last one because: {last}; what was measured is in {out}"
            )),
        },
        TunerError::Suggest { source, tuning } => {
            Ended { tuning: Some(tuning), failure: Failure::work("choose the next configuration", &source) }
        }
        other => Ended { tuning: None, failure: Failure::work("search", &other) },
    }
}

fn transfer(config: &Config) -> Result<TransferConfig, Failure> {
    transfer_config(config).map_err(|error| Failure::work("read a configuration", &error))
}

fn another_run(out: &Path, what: &str) -> Failure {
    Failure::usage(format!(
        "--out {} holds another run (its {what} differs); give the same flags, or another folder",
        out.display()
    ))
}

fn interrupted(plan: &Plan) -> Failure {
    Failure::Work(format!(
        "interrupted; what was measured is in {0}, and the same command with --out {0} goes on from there",
        plan.out.display()
    ))
}

fn out_of_time(plan: &Plan) -> Failure {
    Failure::Work(format!(
        "no configuration could be measured within --max-tuning-time {}; give it more time",
        plan.max_tuning_time.as_secs_f64()
    ))
}

fn summary(plan: &Plan, bench: &Bench, tuning: &Tuning, best: &Best, proof: &Proof, search: Duration) -> Summary {
    let before = if plan.init == Init::Random { u64::from(plan.n_downloads) } else { 0 };
    let compared = (proof.default.len() + proof.found.len()) as u64;
    let measurements = before + tuning.experiment.measurements() as u64 + compared;
    Summary {
        schema: Schema,
        metric: METRIC.to_owned(),
        unit: "s".to_owned(),
        baseline: measured(&boto3_defaults(&plan.space), &proof.default),
        best: measured(&best.config, &proof.found),
        improvement: proof.improvement.estimate,
        improvement_ci95: [proof.improvement.lower, proof.improvement.upper],
        trials: tuning.experiment.trials().len() as u64,
        measurements,
        search_seconds: search.as_secs_f64(),
        bytes_moved: measurements.saturating_mul(bench.object.bytes),
        object_bytes: bench.object.bytes,
        seed: plan.seed,
        engine: bench.engine.name().to_owned(),
        stopped_by: tuning.stopped_by.map_or("", |stopped| stopped.as_str()).to_owned(),
    }
}

fn measured(config: &Config, samples: &[f64]) -> Measured {
    let config: Map<String, Value> = match serde_json::to_value(config) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    };
    Measured { config, mean: proof::mean(samples), n: samples.len() as u64 }
}

/// All eight parameters of a point of the space, by name.
fn in_full(config: &Config) -> Map<String, Value> {
    transfer_config(config).map_or_else(|_| Map::new(), |config| as_object(&config))
}
