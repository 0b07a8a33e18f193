//! The search: trials are downloads, and the tables are current after each download.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tunekit::journal::OpenError;
use tunekit::tuner::{Observer, StopHandle, TunerError};
use tunekit::{
    Assignment, Config, Decision, Experiment, Measured, Outcome, Setup, Status, Study, Trial, TrialId, Tuner, Tuning,
};

use super::budget::{Budget, Reserve, Spent};
use super::comparison::Contents;
use super::cutoff::hopeless;
use super::folder::Folder;
use super::{MAX_FAILURES, Plan, another_run, interrupted};
use crate::engines::Gauge;
use crate::failure::{Failure, chain};
use crate::measure::{Bench, MeasureError};
use crate::show::Show;

/// A search that ended by itself, by a limit, or with a failure; with its measurements until then.
pub(super) struct Searched {
    pub(super) tuning: Option<Box<Tuning>>,
    /// The limit that ended it, by the name of its flag.
    pub(super) stopped_by: String,
    pub(super) failure: Option<Failure>,
}

/// The reason why a search ends before its tuner ends it.
#[derive(Debug, Clone)]
enum Cut {
    /// A limit of the budget.
    Budget(&'static str),
    /// Wrong bytes are not the fault of a configuration: the run must not continue as if the configuration were merely
    /// slow.
    WrongBytes(String),
}

/// The state that the downloads of a search share.
struct Downloads<'a> {
    plan: &'a Plan,
    bench: &'a Bench,
    stop: StopHandle,
    cut: Mutex<Option<Cut>>,
    /// The cost so far, and that of the comparison.
    spent: Mutex<(Spent, Reserve)>,
    /// The mean of the best configuration so far, in seconds.
    best: Arc<Mutex<Option<f64>>>,
}

/// The end of a download of the search.
enum Ended {
    /// It finished in this time.
    Done(Duration),
    /// It was cut off after this time, because it could no longer be as fast as the best.
    CutOff(Duration),
}

impl Downloads<'_> {
    fn cut(&self, why: Cut) {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.stop.stop();
    }

    /// Counts a download with this configuration if it is within the budget.
    fn admit(&self, config: &Config) -> Result<(), &'static str> {
        let one =
            Spent::download(self.bench.engine.knobs(), &self.bench.engine.complete(config), self.bench.object.bytes);
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let budget: &Budget = &self.plan.budget;
        let with = (spent.0.plus(one), spent.1.with(one));
        match budget.exceeded_by(with.0.plus(with.1.least())) {
            Some(limit) => Err(limit),
            None => {
                *spent = with;
                Ok(())
            }
        }
    }

    async fn one(&self, config: &Config) -> Result<Ended, String> {
        if let Err(limit) = self.admit(config) {
            self.cut(Cut::Budget(limit));
            // The tuner drops the trial; its measurements are kept.
            std::future::pending::<()>().await;
        }
        let best = self.best.lock().unwrap_or_else(PoisonError::into_inner).filter(|_| self.plan.cut_off);
        let gauge = Gauge::new();
        let downloaded = tokio::select! {
            downloaded = self.bench.download_watched(config, &gauge) => downloaded,
            elapsed = hopeless(&gauge, best) => return Ok(Ended::CutOff(elapsed)),
        };
        downloaded.map(Ended::Done).map_err(|error| {
            let says = chain(&error);
            if matches!(error, MeasureError::WrongBytes { .. } | MeasureError::WrongLength { .. }) {
                self.cut(Cut::WrongBytes(says.clone()));
            }
            says
        })
    }
}

/// Searches until a limit ends the search. `spent` is the cost of earlier sessions, and the reserve for the comparison.
pub(super) async fn search(
    plan: &Plan,
    bench: &Bench,
    setup: Setup,
    folder: &Folder,
    spent: (Spent, Reserve),
    stop: &StopHandle,
    show: &Show,
) -> Searched {
    let compared = match Contents::read(folder.path()) {
        Ok(compared) => compared,
        Err(failure) => return Searched { tuning: None, stopped_by: String::new(), failure: Some(failure) },
    };
    let inner = StopHandle::new();
    let forward = {
        let (stop, inner) = (stop.clone(), inner.clone());
        tokio::spawn(async move {
            stop.stopped().await;
            inner.stop();
        })
    };
    let best: Arc<Mutex<Option<f64>>> = Arc::default();
    let tables = Tables { folder: folder.clone(), compared, failure: Arc::default() };
    let unwritten = tables.failure.clone();
    let mut tuner = Tuner::new(setup)
        .journal(folder.journal())
        .max_wall_time(plan.max_tuning_time)
        .max_failures(MAX_FAILURES)
        .stop_handle(inner.clone())
        .observer(show.clone())
        .observer(tables)
        .observer(Best(best.clone()));
    if let Some(max_trials) = plan.max_trials {
        tuner = tuner.max_trials(max_trials);
    }
    let downloads = Downloads { plan, bench, stop: inner, cut: Mutex::default(), spent: Mutex::new(spent), best };
    let tuned = tuner
        .run(|mut trial| {
            let downloads = &downloads;
            async move {
                // A scheduler decides the number of downloads; without one every configuration is downloaded equally
                // often.
                let last = trial.resource().unwrap_or(u64::from(plan.n_downloads));
                while trial.next_step() <= last {
                    match downloads.one(trial.config()).await? {
                        Ended::Done(took) => {
                            if trial.report(took.as_secs_f64()).await != Decision::Continue {
                                break;
                            }
                        }
                        Ended::CutOff(after) => return Ok(Measured::at_least(after.as_secs_f64()).into()),
                    }
                }
                Ok::<Outcome, String>(Outcome::Done)
            }
        })
        .await;
    forward.abort();

    let cut = downloads.cut.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut searched = match tuned {
        Ok(tuning) => {
            let stopped_by = match (&cut, tuning.stopped_by) {
                (Some(Cut::Budget(limit)), _) => (*limit).to_owned(),
                (_, stopped) => stopped.map_or("", |stopped| stopped.as_str()).to_owned(),
            };
            Searched { tuning: Some(Box::new(tuning)), stopped_by, failure: None }
        }
        Err(error) => failed(plan, error),
    };
    if let Some(Cut::WrongBytes(says)) = cut {
        searched.failure = Some(Failure::Work(says));
    } else if stop.is_stopped() && searched.failure.is_none() {
        searched.failure = Some(interrupted(plan));
    }
    if searched.failure.is_none() {
        searched.failure = unwritten.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
    searched
}

fn failed(plan: &Plan, error: TunerError) -> Searched {
    let out = plan.out.display();
    let (tuning, failure) = match error {
        TunerError::Open(OpenError::OtherStudy { difference, .. }) => {
            let what = format!("{difference}; give the same flags, or another folder");
            (None, another_run(&plan.out, &what))
        }
        TunerError::TooManyFailures { consecutive, last, tuning } => {
            let failure = Failure::Work(format!(
                "{consecutive} configurations failed in a row, the last one because: {last}; measurements are in {out}"
            ));
            (Some(tuning), failure)
        }
        TunerError::Suggest { source, tuning } => {
            (Some(tuning), Failure::work("choose the next configuration", &source))
        }
        other => (None, Failure::work("search", &other)),
    };
    Searched { tuning, stopped_by: String::new(), failure: Some(failure) }
}

/// Writes the tables of a run after each measurement.
struct Tables {
    folder: Folder,
    /// The comparisons of earlier sessions: the search adds none.
    compared: Contents,
    /// The first table that could not be written.
    failure: Arc<Mutex<Option<Failure>>>,
}

impl Tables {
    fn save(&self, study: &Study) {
        let saved = self.folder.save_tables(&Experiment::of(study), &self.compared);
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        *failure = saved.err();
    }
}

impl Observer for Tables {
    fn on_report(&mut self, study: &Study, _: TrialId, _: u64, _: f64, _: Decision) {
        self.save(study);
    }

    fn on_tell(&mut self, study: &Study, _: TrialId) {
        self.save(study);
    }
}

/// Keeps the mean of the best configuration so far, in seconds, for the downloads that have to beat it.
struct Best(Arc<Mutex<Option<f64>>>);

impl Observer for Best {
    fn on_ask(&mut self, study: &Study, _: &Assignment) {
        let rule = study.header().metric.value;
        // A single download of several may be luck, so it does not cut off others.
        let counts = |trial: &&Trial| trial.status == Status::Completed || trial.samples(rule).len() > 1;
        let lowest = study.trials().iter().filter(counts).filter_map(|trial| trial.value(rule)).min_by(f64::total_cmp);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = lowest;
    }
}
