//! Parameter search for anything: from few, noisy measurements to a configuration one can trust.
//!
//! Say which parameters there are ([`Space`]), what is measured ([`Metric`]), and hand over a closure ([`Tuner`]), or drive
//! the search yourself by asking and telling ([`Study`]). Every answer is a function of the study's journal: a study that
//! was killed goes on from it, and the same seed with the same results is the same study. Noise is first class:
//! repeated measurements of a configuration are replicates, and the best configuration is the one with the best mean,
//! given with an interval.
//!
//! ```
//! use std::convert::Infallible;
//! use tunekit::{Domain, Metric, Setup, Space, Tuner};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let space = Space::new()
//!     .with("threads", Domain::int(1, 64)?.log()?)?
//!     .with("cache", Domain::Bool)?;
//! let tuning = Tuner::new(Setup::new(space, Metric::time("seconds")).seed(1))
//!     .max_trials(30)
//!     .run(|trial| async move {
//!         let threads = trial.config().float("threads").unwrap_or(1.0);
//!         let cached = trial.config().bool("cache").unwrap_or(false);
//!         // What would be measured.
//!         let seconds = 10.0 / threads + threads / 10.0 + if cached { 0.0 } else { 2.0 };
//!         Ok::<_, Infallible>(seconds)
//!     })
//!     .await?;
//!
//! let best = tuning.best.ok_or("nothing was measured")?;
//! assert_eq!(best.config.bool("cache"), Some(true));
//! assert!((4..=25).contains(&best.config.int("threads").unwrap_or(0)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where things are
//!
//! | room | what |
//! |---|---|
//! | words | [`Space`], [`Domain`], [`Config`], [`Metric`], [`SchedulerOptions`], [`Trial`], [`Event`], [`Table`] |
//! | rules | [`Study`], [`Searcher`] and its kinds, [`Scheduler`] and its kinds, [`Experiment`], [`Importances`], [`Transfer`], [`compare`], [`pareto`] |
//! | doors | [`JournalFile`], [`write_csv`] |
//! | engine | [`Tuner`], [`Simulator`], [`StopHandle`], [`Experiment::load`] |
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `cli` | the program `tunekit`, whose `serve` speaks JSON lines with any language, and the `Server` behind it |

mod doors;
mod engine;
mod rules;
mod words;

pub use doors::checkpoints::CheckpointError;
pub use doors::journal::{Contents, JournalError, JournalFile};
pub use doors::results::{WriteError, write_csv};
pub use engine::load::{JOURNAL_NAME, LoadError};
#[cfg(feature = "cli")]
pub use engine::serve::{ServeError, Server};
pub use engine::simulator::{Simulation, SimulationError, Simulator};
pub use engine::stop::StopHandle;
pub use engine::trial_run::TrialRun;
pub use engine::tuner::{Observer, StoppedBy, Tuner, TunerError, Tuning};
pub use rules::DecodeError;
pub use rules::advice::{Advice, Corrected, Parents};
pub use rules::compare;
pub use rules::effects::{Effect, Effects, Finding};
pub use rules::experiment::Experiment;
pub use rules::history::{History, Observed, Reached};
pub use rules::importance::{Importance, ImportanceError, Importances, PartialDependence, PartialPoint, Surface};
pub use rules::pareto;
pub use rules::scheduler::{
    Asha, Dehb, Fifo, HyperTune, Hyperband, Job, Median, Pbt, Racing, ScheduleError, Scheduler, SchedulerKind,
};
pub use rules::searcher::{
    Auto, Bohb, Bore, CmaEs, Cqr, De, DehbSearch, Evolution, Gp, Grid, HyperTuneSearch, Mobster, Prediction, Random,
    Searcher, SearcherKind, SobolSearch, SuggestError, Tpe, UnknownName,
};
pub use rules::stream::Stream;
pub use rules::study::{ReplayError, Setup, SetupError, Study, TellError};
pub use rules::transfer::{Transfer, TransferError, TransferMethod};
pub use words::domain::{Choices, Domain, DomainError, FloatDomain, IntDomain, MAX_COUNT, MAX_INT, MAX_LOG_INT};
pub use words::event::{Event, Header, SCHEMA};
pub use words::metric::{Goal, Metric, MetricKind, Noise, ValueRule};
pub use words::plan::{Plan, PlannedBracket, PlannedRung};
pub use words::predicate::PredicateError;
pub use words::schedule::{ResourceKernel, SchedulerOptions};
pub use words::space::{ConfigError, Space, SpaceError};
pub use words::table::{Cells, Table, UnevenTable};
pub use words::trial::{
    Ask, Assignment, Best, Checkpoint, Decision, DoneBecause, Measured, Measurement, Origin, Outcome, Status, Trial,
    TrialId,
};
pub use words::value::{Config, Value};
