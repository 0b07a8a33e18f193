//! `Event`: what a study writes down. One event is one JSON line of a journal; the first is the header.
//!
//! Schema 1. A reader ignores fields it does not know and refuses a header of a later schema and events it does not know.

use serde::{Deserialize, Serialize};

use super::metric::Metric;
use super::space::Space;
use super::trial::{Decision, Origin, Outcome, TrialId};
use super::value::Config;

/// The version of the journal this crate writes, and the latest it reads.
pub const SCHEMA: u32 = 1;

/// A study's first event: everything its answers depend on but the results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The parameters.
    pub space: Space,
    /// What is measured.
    #[serde(default)]
    pub metric: Metric,
    /// Where all randomness comes from.
    pub seed: u64,
    /// The searcher's name.
    pub searcher: String,
    /// The scheduler's name.
    pub scheduler: String,
    /// The resource of a full run, where the scheduler needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_resource: Option<u64>,
    /// Configurations to evaluate first, complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points_to_evaluate: Vec<Config>,
}

impl Header {
    /// The first part in which two headers differ; `None` if they are of one study.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        [
            ("schema", self.schema == other.schema),
            ("space", self.space == other.space),
            ("metric", self.metric == other.metric),
            ("seed", self.seed == other.seed),
            ("searcher", self.searcher == other.searcher),
            ("scheduler", self.scheduler == other.scheduler),
            ("max_resource", self.max_resource == other.max_resource),
            ("points_to_evaluate", self.points_to_evaluate == other.points_to_evaluate),
        ]
        .into_iter()
        .find_map(|(what, same)| (!same).then_some(what))
    }
}

/// Something that happened in a study.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Event {
    /// The study was made.
    Header(Box<Header>),
    /// A trial was given out: a new one, an interrupted one again, or a paused one to go on.
    Ask {
        /// The trial.
        trial: TrialId,
        /// What it runs with.
        config: Config,
        /// Where that came from.
        origin: Origin,
        /// How far it may run before the next decision is due.
        resource: Option<u64>,
        /// Whether it goes on from a pause.
        resumed: bool,
        /// The attempt that starts.
        attempt: u32,
        /// Seconds of the study, if the caller keeps time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_s: Option<f64>,
    },
    /// A trial reported, and was answered.
    Report {
        /// The trial.
        trial: TrialId,
        /// When in the trial.
        step: u64,
        /// What it measured; `None` if it was not finite.
        value: Option<f64>,
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
        /// How.
        outcome: Outcome,
        /// Seconds of the study.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_s: Option<f64>,
    },
    /// A trial was cut off; what it reported since it was last asked for is void.
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
        /// What was measured.
        value: f64,
        /// Seconds of the study.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_s: Option<f64>,
    },
}

impl Event {
    /// When it happened, in seconds of the study.
    pub fn at_s(&self) -> Option<f64> {
        match self {
            Self::Header(_) => None,
            Self::Ask { at_s, .. }
            | Self::Report { at_s, .. }
            | Self::Tell { at_s, .. }
            | Self::Interrupt { at_s, .. }
            | Self::Add { at_s, .. } => *at_s,
        }
    }

    /// The event as one JSON line, without its end.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("an event holds finite numbers and text keys only")
    }
}
