//! Parameter search for anything that can be measured, from few and noisy measurements.
//!
//! Give the parameters ([`Space`]), the metric ([`Metric`]) and a closure ([`Tuner`]), or drive the search yourself by
//! asking and telling ([`Study`]). Every answer is a function of the study's journal: a study that was killed continues
//! from its journal, and the same seed with the same results gives the same study. Noise is expected: repeated
//! measurements of a configuration are replicates, and the best configuration is the one with the best mean, given with
//! an interval.
//!
//! ```
//! use tunekit::{Domain, Metric, Setup, Space, Tuner};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let space = Space::new()
//!     .with("threads", Domain::int(1, 64)?.log()?)?
//!     .with("cache", Domain::Bool)?;
//! let tuning = Tuner::new(Setup::new(space, Metric::time("seconds")).seed(1))
//!     .max_trials(30)
//!     .run(|trial| async move {
//!         let threads = trial.config().float("threads").ok_or("no threads")?;
//!         let cached = trial.config().bool("cache").ok_or("no cache")?;
//!         // What would be measured.
//!         let seconds = 10.0 / threads + threads / 10.0 + if cached { 0.0 } else { 2.0 };
//!         Ok::<f64, &str>(seconds)
//!     })
//!     .await?;
//!
//! let best = tuning.best.ok_or("nothing was measured")?;
//! assert_eq!(best.config.bool("cache"), Some(true));
//! assert!((4..=25).contains(&best.config.int("threads").ok_or("no threads")?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where things are
//!
//! The root has the names that most programs need; each module below has all names of its topic.
//!
//! | to | see |
//! |---|---|
//! | describe the parameters | [`Space`], [`Domain`], [`Config`], [`Value`]; [`space`] |
//! | describe the study | [`Metric`], [`Goal`], [`Setup`], [`SearcherKind`], [`SchedulerKind`]; [`study`] |
//! | search with a closure | [`Tuner`], [`TrialRun`], [`Tuning`]; [`tuner`] |
//! | search by asking and telling | [`Study`], [`Ask`], [`Assignment`], [`Trial`], [`Outcome`], [`Measured`], [`Decision`]; [`study`] |
//! | read the results | [`Best`], [`Experiment`], [`compare`]; [`results`] |
//! | keep a study on the disk | [`journal`] |
//! | write a searcher or a scheduler | [`searcher`], [`scheduler`] |
//! | test your searcher or scheduler | [`searcher::conformance`], [`scheduler::conformance`] |
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `parquet` | tables as Parquet files |
//! | `report` | the module `drawing`: pictures, and the page of a study |
//! | `process` | the module `program`: trials that are runs of another program |
//! | `cli` | the program `tunekit`, and the module `serve`: a study as JSON lines for any language |

#![cfg_attr(docsrs, feature(doc_cfg))]
// A library's words are for its callers; the programs print.
#![warn(clippy::print_stdout)]

mod doors;
mod engine;
mod rules;
mod words;

/// The search space: parameters, their domains, predicates, configurations.
pub mod space {
    pub use crate::rules::DecodeError;
    pub use crate::words::domain::{
        Choices, Domain, DomainError, FloatDomain, IntDomain, MAX_COUNT, MAX_INT, MAX_LOG_INT,
    };
    pub use crate::words::predicate::PredicateError;
    pub use crate::words::space::{ConfigError, Space, SpaceError};
    pub use crate::words::value::{Config, Value};
}

/// Asking and telling: the settings of a study, its answers, and the results that it is told.
pub mod study {
    pub use crate::rules::study::{ReplayError, Setup, SetupError, Study, TellError, VerifyError};
    pub use crate::rules::transfer::{Transfer, TransferError, TransferMethod};
    pub use crate::words::metric::{Goal, Metric, MetricKind, Noise, ValueRule};
    pub use crate::words::trial::{
        Ask, Assignment, Beside, Best, Checkpoint, Decision, DoneBecause, Measured, Measurement, NoiseFloor, Origin,
        Outcome, Status, Trial, TrialId,
    };
}

/// The choice of configurations: the contract of a searcher, its kinds, and the history they see.
pub mod searcher {
    pub use crate::rules::conformance::searcher as conformance;
    pub use crate::rules::history::{History, Observed, Reached};
    pub use crate::rules::searcher::{
        Auto, Bohb, Bore, CmaEs, Cqr, De, Dehb, Dyhpo, Evolution, Gp, Grid, HyperTune, Mobster, Nsga2, Prediction,
        Random, Searcher, SearcherKind, Sobol, SuggestError, Tpe,
    };
    pub use crate::rules::stream::Stream;
    pub use crate::words::name::UnknownName;
}

/// The resource of a trial: the contract of a scheduler, its kinds, their options and their plans.
pub mod scheduler {
    pub use crate::rules::advice::{Advice, Corrected, Parents};
    pub use crate::rules::conformance::scheduler as conformance;
    pub use crate::rules::scheduler::{
        Asha, Dehb, Dyhpo, Fifo, HyperTune, Hyperband, Job, Median, Pbt, Racing, ScheduleError, Scheduler,
    };
    pub use crate::words::plan::{Plan, PlannedBracket, PlannedRung};
    pub use crate::words::schedule::{
        BracketOptions, DyhpoOptions, FrontOptions, FrontOrder, MedianOptions, ModelOptions, PbtOptions, RacingOptions,
        ResourceKernel, RungOptions, RushOptions, SchedulerKind, SchedulerSpec, SpecError,
    };
}

/// Running a study: with workers and a closure, or as a simulation with its own clock.
pub mod tuner {
    pub use crate::doors::checkpoints::CheckpointError;
    pub use crate::engine::simulator::{Simulation, SimulationError, Simulator};
    pub use crate::engine::stop::StopHandle;
    pub use crate::engine::trial_run::TrialRun;
    pub use crate::engine::tuner::{Observer, Tuner, TunerError, Tuning};
    pub use crate::rules::stop::{StopAll, StopRule, StopRuleError, StoppedBy};
    pub use crate::rules::tabulated::{Tabulated, TabulatedError, TabulatedRow};
}

/// The journal of a study: its events, and the file that keeps them.
pub mod journal {
    pub use crate::doors::journal::{Contents, JournalError, JournalFile};
    pub use crate::engine::load::{JOURNAL_NAME, LoadError};
    pub use crate::engine::open::{OpenError, StudyJournal};
    pub use crate::words::event::{Difference, Event, Header, SCHEMA};
}

/// The findings: comparisons, importances, effects, fronts, tables.
pub mod results {
    #[cfg(feature = "parquet")]
    pub use crate::doors::parquet::{ParquetError, parquet_bytes, write_parquet};
    pub use crate::doors::results::{WriteError, csv_text, json_text, write_csv, write_text};
    pub use crate::rules::aggregate::Aggregate;
    pub use crate::rules::compare;
    pub use crate::rules::effects::{Effect, Effects, Finding};
    pub use crate::rules::experiment::Experiment;
    pub use crate::rules::importance::{
        Importance, ImportanceError, Importances, PairDependence, PartialDependence, PartialPoint, Surface,
    };
    pub use crate::rules::optuna::optuna_journal;
    pub use crate::rules::pareto;
    pub use crate::words::table::{Cells, Table, UnevenTable};
}

/// Pictures as SVG, and pages of them that need no other file.
#[cfg(feature = "report")]
pub mod drawing {
    pub use crate::doors::picture::{Colour, Mark, Picture, PictureError, Place, Side, both, page, page_with};
    pub use crate::engine::report::report_html;
    pub use crate::words::drawing::{Axis, Label, STYLE, escape, format, section};
}

/// Trials that are runs of another program, of any language.
#[cfg(feature = "process")]
pub mod program {
    pub use crate::doors::slurm::SlurmCommandError;
    pub use crate::engine::program::{ProgramBackend, ProgramError};
    pub use crate::engine::show::{Show, status_lines};
    pub use crate::engine::slurm::SlurmError;
    pub use crate::engine::study_file::{StudyFile, StudyFileError};
    pub use crate::engine::study_folder::{FolderError, FolderLock, StudyFolder, write_tables};
    pub use crate::rules::command::CommandError;
    pub use crate::words::backend::{Backend, SlurmMode, SlurmOptions, SlurmOptionsError};
    pub use crate::words::program::{MetricSource, Pass, Program, Retries};
}

/// A study over JSON lines, for any language (feature `cli`), and the token that its server and its workers share.
#[cfg(feature = "process")]
pub mod serve {
    #[cfg(feature = "cli")]
    pub use crate::doors::shared::SharedFolderError;
    #[cfg(feature = "cli")]
    pub use crate::engine::listen::{Listener, ServeError};
    #[cfg(feature = "cli")]
    pub use crate::engine::serve::Server;
    pub use crate::engine::token::{Token, TokenError};
    #[cfg(feature = "cli")]
    pub use crate::engine::worker::{ServerAddress, WorkerError, WorkerOptions, work};
}

pub use results::{Experiment, compare};
pub use scheduler::SchedulerKind;
pub use searcher::SearcherKind;
pub use space::{Config, Domain, Space, Value};
pub use study::{
    Ask, Assignment, Best, Decision, Goal, Measured, Metric, Outcome, Setup, Status, Study, Trial, TrialId,
};
pub use tuner::{TrialRun, Tuner, Tuning};

/// The README's example is compiled, and run where it can be.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
