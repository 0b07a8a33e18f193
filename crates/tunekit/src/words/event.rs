//! `Event`: one entry of a study's journal, as a JSON line; the first is the header.
//!
//! A reader ignores fields it does not know and refuses a header of a later schema and events it does not know.
//! - Schema 1: spaces without conditions, one metric.
//! - Schema 2: `when` in a space's parameters; `predicates`, `objectives`, `constraints`, `cost_aware` and
//!   `scheduler_options` in the header, all of which default to none; the outcome `measured`, and its parts in `add`;
//!   `from` in `ask`, `cost` in `report`. A schema 1 journal reads as it did.
//! - Schema 3: `at_least` in place of `value` in the outcome `measured` and in `add`, which a reader of schema 2
//!   refuses for the missing `value`. `interrupt` keeps the reports of a trial where they are replicates; in an earlier
//!   journal it makes all reports since the trial was last asked for void, as before.
//! - Schema 4: every line ends with a `check` of it and the lines before it. In an earlier journal lines that this
//!   version appends have one.
//! - Schema 5: the outcomes `timed_out` and `infeasible`, which earlier readers refuse.
//! - Schema 6: `more` and `constraints` in `report`, with which the outcome `done` is enough in a study that measures
//!   more than its metric. An earlier reader refuses the schema. In an earlier journal that this version continues its
//!   reports have both, too, which an earlier reader ignores; it refuses such a `done`.
//! - Schema 7: `racing` goes by constraints and by costs. In an earlier journal it heeds the metric alone, as before.
//! - Schema 8: the event `limit`, the most trials that are started in all. An interrupted trial that had been told to
//!   stop ends with its reports; in an earlier journal it is asked for again unless its reports are replicates.
//! - Schema 9: the event `floor`, a judgement of the noise floor. An earlier reader refuses it, also in an earlier
//!   journal that this version continues with a stop rule that asks for it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::metric::{Metric, ValueRule};
use super::schedule::{OptionsMap, SchedulerSpec, SpecError};
use super::space::{Space, SpaceError};
use super::trial::{Checkpoint, Decision, Measured, Origin, Outcome, TrialId};
use super::value::Config;

/// The first schema in which replicates of an interrupted trial are kept.
const KEEPS_REPLICATES: u32 = 3;
/// The version of the journal this crate writes, and the latest it reads.
pub const SCHEMA: u32 = 9;
/// The first schema in which `racing` goes by constraints and costs.
const RACES_BY_ALL: u32 = 7;
/// The first schema in which limits of trials are journalled, and trials that were told to stop are over.
const LIMITS: u32 = 8;
/// The first schema in which every line has a check.
pub(crate) const SEALED: u32 = 4;

/// A study's first event: everything on which its answers depend, except the results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
#[non_exhaustive]
pub struct Header {
    /// The version of the journal: [`SCHEMA`], or the earlier one it was begun with.
    pub schema: u32,
    /// The parameters, with their predicates.
    pub space: Space,
    /// The metric.
    pub metric: Metric,
    /// The further objectives. With any of them, a study has a front instead of a single best configuration.
    pub objectives: Vec<Metric>,
    /// Names of the values that must be at most 0, measured with each trial.
    pub constraints: Vec<String>,
    /// Whether searchers prefer configurations that cost less to measure.
    pub cost_aware: bool,
    /// The source of all randomness.
    pub seed: u64,
    /// The searcher's name.
    pub searcher: String,
    /// The scheduler, with its options.
    pub scheduler: SchedulerSpec,
    /// The resource of a full run, if the scheduler needs one.
    pub max_resource: Option<u64>,
    /// Number of trials that were planned when the study was made. Searchers may rely on it, but it is not a limit.
    pub budget: Option<u64>,
    /// Configurations to evaluate first, complete.
    pub points_to_evaluate: Vec<Config>,
}

/// The JSON form: predicates stand beside the space.
#[derive(Serialize, Deserialize)]
struct Raw {
    schema: u32,
    space: Space,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    predicates: Vec<String>,
    #[serde(default)]
    metric: Metric,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    objectives: Vec<Metric>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    constraints: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    cost_aware: bool,
    seed: u64,
    searcher: String,
    scheduler: String,
    #[serde(default, skip_serializing_if = "OptionsMap::is_empty")]
    scheduler_options: OptionsMap,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_resource: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    budget: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    points_to_evaluate: Vec<Config>,
}

/// The reason why a line is not a header.
#[derive(Debug, thiserror::Error)]
enum HeaderError {
    #[error(transparent)]
    Space(#[from] SpaceError),
    #[error(transparent)]
    Scheduler(#[from] SpecError),
}

impl TryFrom<Raw> for Header {
    type Error = HeaderError;

    fn try_from(raw: Raw) -> Result<Self, HeaderError> {
        let space = raw.predicates.iter().try_fold(raw.space, |space, predicate| space.require(predicate))?;
        Ok(Self {
            schema: raw.schema,
            space,
            metric: raw.metric,
            objectives: raw.objectives,
            constraints: raw.constraints,
            cost_aware: raw.cost_aware,
            seed: raw.seed,
            searcher: raw.searcher,
            scheduler: SchedulerSpec::from_journal(&raw.scheduler, raw.scheduler_options)?,
            max_resource: raw.max_resource,
            budget: raw.budget,
            points_to_evaluate: raw.points_to_evaluate,
        })
    }
}

impl From<Header> for Raw {
    fn from(header: Header) -> Self {
        Self {
            schema: header.schema,
            predicates: header.space.predicates().map(str::to_owned).collect(),
            space: header.space,
            metric: header.metric,
            objectives: header.objectives,
            constraints: header.constraints,
            cost_aware: header.cost_aware,
            seed: header.seed,
            searcher: header.searcher,
            scheduler: header.scheduler.name().to_owned(),
            scheduler_options: header.scheduler.journalled_options(),
            max_resource: header.max_resource,
            budget: header.budget,
            points_to_evaluate: header.points_to_evaluate,
        }
    }
}

impl Header {
    /// Whether a trial's reports before an interruption stay valid. Replicates do, because each is a whole measurement
    /// of its configuration; a training curve starts over. In journals begun by earlier versions no reports do.
    pub fn keeps_interrupted(&self) -> bool {
        self.schema >= KEEPS_REPLICATES && self.metric.value == ValueRule::Mean
    }

    /// Whether `racing` uses constraints and costs. In journals begun by earlier versions it uses the metric only.
    pub fn races_by_all(&self) -> bool {
        self.schema >= RACES_BY_ALL
    }

    /// Whether the journal has each limit of the number of trials: journals begun by earlier versions have none.
    pub fn has_limits(&self) -> bool {
        self.schema >= LIMITS
    }

    /// Whether a trial that was told to stop is over, even if it is interrupted before it is told: in journals begun by
    /// earlier versions only where its reports stand ([`Header::keeps_interrupted`]).
    pub fn ends_stopped(&self) -> bool {
        self.schema >= LIMITS || self.keeps_interrupted()
    }

    /// The first difference between this header, which is a journal's, and the requested one; `None` if both are of one
    /// study, of any schema. A study may continue with another budget than the planned one.
    pub fn difference(&self, asked: &Self) -> Option<Difference> {
        let what = [
            ("space", self.space == asked.space),
            ("metric", self.metric == asked.metric),
            ("objectives", self.objectives == asked.objectives),
            ("constraints", self.constraints == asked.constraints),
            ("cost_aware", self.cost_aware == asked.cost_aware),
            ("seed", self.seed == asked.seed),
            ("searcher", self.searcher == asked.searcher),
            ("scheduler", self.scheduler == asked.scheduler),
            ("max_resource", self.max_resource == asked.max_resource),
            ("points_to_evaluate", self.points_to_evaluate == asked.points_to_evaluate),
        ]
        .into_iter()
        .find_map(|(what, same)| (!same).then_some(what))?;
        let part = |header: &Self| match what {
            "scheduler" => header.scheduler.to_string(),
            _ => serde_json::to_value(Raw::from(header.clone()))
                .ok()
                .and_then(|header| header.get(what).map(ToString::to_string))
                .unwrap_or_else(|| "absent".to_owned()),
        };
        let (found, asked) = match what {
            "space" => self.space_difference(&asked.space),
            _ => (part(self), part(asked)),
        };
        Some(Difference { what, found, asked })
    }

    /// The first parameter in which two spaces differ, in both forms.
    fn space_difference(&self, asked: &Space) -> (String, String) {
        let mut names = self.space.iter().chain(asked.iter()).map(|(name, _)| name);
        let Some(name) = names.find(|name| self.space.domain(name) != asked.domain(name)) else {
            return ("one order, with these conditions and predicates".to_owned(), "another".to_owned());
        };
        let part = |space: &Space| match serde_json::to_value(space).ok().and_then(|s| s.get(name).cloned()) {
            Some(domain) => format!("with `{name}` as {domain}"),
            None => format!("without `{name}`"),
        };
        (part(&self.space), part(asked))
    }
}

/// The first difference between the study of a journal and the requested one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Its name, as in the header.
    pub what: &'static str,
    /// The journal's.
    pub found: String,
    /// The requested one.
    pub asked: String,
}

/// Longer parts are reported by their name alone.
const MOST_TOLD: usize = 120;

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, found, asked } = self;
        match found.len().max(asked.len()) <= MOST_TOLD {
            true => write!(f, "its {what} is {found}, not {asked}"),
            false => write!(f, "its {what} is another one"),
        }
    }
}

/// Something that happened in a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Event {
    /// The study was made.
    Header(Box<Header>),
    /// A trial was given out: a new trial, an interrupted one again, or a paused one that continues.
    Ask {
        /// The trial.
        trial: TrialId,
        /// Its configuration.
        config: Config,
        /// The configuration's origin.
        origin: Origin,
        /// The step at which the next decision is due.
        resource: Option<u64>,
        /// Whether it continues after a pause.
        resumed: bool,
        /// The other trial's checkpoint it begins with, if it is a copy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Checkpoint>,
        /// The attempt that starts.
        attempt: u32,
        /// Seconds of the study, if the caller keeps time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_s: Option<f64>,
    },
    /// A trial reported and got an answer.
    Report {
        /// The trial.
        trial: TrialId,
        /// When in the trial.
        step: u64,
        /// The measured value; `None` if it was not finite.
        value: Option<f64>,
        /// The further objectives, if they were reported: all of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        more: Vec<f64>,
        /// The constraints, if they were reported: all of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        constraints: Vec<f64>,
        /// The trial's cost by then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost: Option<f64>,
        /// The answer.
        decision: Decision,
        /// Seconds of the study.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_s: Option<f64>,
    },
    /// A trial ended.
    Tell {
        /// The trial.
        trial: TrialId,
        /// Its outcome.
        outcome: Outcome,
        /// Seconds of the study.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_s: Option<f64>,
    },
    /// A trial was interrupted; its reports since it was last asked for are void, unless the header keeps them
    /// ([`Header::keeps_interrupted`]).
    Interrupt {
        /// The trial.
        trial: TrialId,
        /// Seconds of the study.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_s: Option<f64>,
    },
    /// A result from elsewhere.
    Add {
        /// The number it got.
        trial: TrialId,
        /// The configuration.
        config: Config,
        /// The measured values.
        #[serde(flatten)]
        measured: Box<Measured>,
        /// Seconds of the study.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_s: Option<f64>,
    },
    /// The limit of the number of trials changed; at first there is none.
    Limit {
        /// The most trials that are started in all; `None`: no limit.
        max_trials: Option<u64>,
        /// Seconds of the study.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_s: Option<f64>,
    },
    /// The noise floor was judged for a stop rule: see [`NoiseFloor`](crate::study::NoiseFloor).
    Floor {
        /// The first trial of the best configuration by then.
        trial: TrialId,
        /// The most that further trials can probably gain on it, in units of the metric.
        gain: f64,
        /// The noise of its measurements, in units of the metric.
        noise: f64,
        /// The smallest factor of the stop rule with which the noise is at least the gain: its limit is reached. `None`
        /// if there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        factor: Option<f64>,
        /// Seconds of the study.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_s: Option<f64>,
    },
}

impl Event {
    /// Whether it may be acted on once the operating system has it, before the disk does.
    ///
    /// A trial may start then. A power failure can take the end of a journal, but nothing from its middle: if a trial
    /// is forgotten, so is all that came after it, and the study, asked again, gives out the same trial. A limit is set
    /// anew whenever a study goes on. The next event that may not wait takes those before it along.
    pub(crate) fn may_wait(&self) -> bool {
        matches!(self, Self::Ask { .. } | Self::Limit { .. })
    }

    /// When it happened, in seconds of the study.
    pub fn at_s(&self) -> Option<f64> {
        match self {
            Self::Header(_) => None,
            Self::Ask { at_s, .. }
            | Self::Report { at_s, .. }
            | Self::Tell { at_s, .. }
            | Self::Interrupt { at_s, .. }
            | Self::Add { at_s, .. }
            | Self::Limit { at_s, .. }
            | Self::Floor { at_s, .. } => *at_s,
        }
    }

    /// The event as one JSON line, without its end.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("an event holds finite numbers and text keys only")
    }
}
