//! `TellError`: a result that a study refuses. The study stays unchanged.

use crate::words::space::ConfigError;
use crate::words::trial::TrialId;

/// Why a report, an outcome or a result from elsewhere is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TellError {
    /// The trial is not running.
    #[error("trial {trial} is {status}, not running")]
    NotRunning {
        /// The trial.
        trial: TrialId,
        /// Its status, or `unknown`.
        status: &'static str,
    },
    /// Steps of a trial increase.
    #[error("trial {trial} reported step {step} after step {last}; steps increase")]
    Step {
        /// The trial.
        trial: TrialId,
        /// The step reported.
        step: u64,
        /// The step before it.
        last: u64,
    },
    /// A trial was told as done without any report.
    #[error("trial {trial} was told without a value and has no reports; tell a value or a failure")]
    NoValue {
        /// The trial.
        trial: TrialId,
    },
    /// A further objective or constraint is missing, or too many were told.
    #[error("{got} {what} were told, but the study has {wanted}; tell all of them with every value")]
    Incomplete {
        /// `further objective(s)` or `constraint(s)`.
        what: &'static str,
        /// The number of told values.
        got: usize,
        /// Number of values that there are.
        wanted: usize,
    },
    /// A cost is not a positive finite number.
    #[error("the cost is {cost}; it must be a positive finite number")]
    Cost {
        /// The cost given.
        cost: f64,
    },
    /// A trial's cost so far is lower than before.
    #[error("trial {trial} reported a cost of {cost} after {last}; report its cost so far, of all its runs together")]
    CostFalls {
        /// The trial.
        trial: TrialId,
        /// The cost reported.
        cost: f64,
        /// The cost before it.
        last: f64,
    },
    /// A report lacks the objectives by which the scheduler compares trials.
    #[error(
        "a report of trial {trial} has no further objectives, and scheduler `{scheduler}` compares trials by them; report all of them each time"
    )]
    WithoutObjectives {
        /// The trial.
        trial: TrialId,
        /// The scheduler.
        scheduler: String,
    },
    /// A report carries a bound, which only the end of a trial may.
    #[error("a report of trial {trial} has a bound instead of a value; tell the bound, which ends the trial")]
    BoundReported {
        /// The trial.
        trial: TrialId,
    },
    /// A result from elsewhere is not finite.
    #[error("the value added is {value}; it must be finite")]
    NotFinite {
        /// The value given.
        value: f64,
    },
    /// A result from elsewhere is not in the space.
    #[error("the configuration added is not in the space: {0}")]
    Outside(#[from] ConfigError),
}
