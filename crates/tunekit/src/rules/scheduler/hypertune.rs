//! Hyper-Tune's bracket selection (Li et al. 2022, sec. 4.2): asynchronous Hyperband that begins trials where the first
//! rung is cheap and tells something.

use super::asha::Asha;
use super::{Advice, History, Job, ScheduleError, Scheduler, Stream};
use crate::rules::searcher::Gp;
use crate::words::event::Event;
use crate::words::schedule::{ResourceKernel, SchedulerSpec};
use crate::words::trial::{Decision, Trial};

/// Asynchronous Hyperband whose brackets are taken as often as they would be, times the probability that their first
/// rung ranks configurations best.
#[derive(Debug)]
pub struct HyperTune {
    within: Asha,
    /// A cache: its answers follow from the history.
    model: Gp,
}

impl HyperTune {
    pub(super) fn new(spec: &SchedulerSpec, max: u64) -> Result<Self, ScheduleError> {
        let within = Asha::new(spec, max)?;
        Ok(Self { within, model: Gp::new().along(ResourceKernel::Independent) })
    }
}

// A method with a default must be passed on as well.
#[deny(clippy::missing_trait_methods)]
impl Scheduler for HyperTune {
    fn name(&self) -> &str {
        self.within.name()
    }

    fn spec(&self) -> SchedulerSpec {
        self.within.spec()
    }

    fn next(&mut self, history: &History<'_>, stream: &mut Stream) -> Job {
        if let Some(job) = self.within.promotion_due(history) {
            return job;
        }
        let levels = history.clone().under(self.within.advice(history));
        let weights = self.model.precision(&levels, &mut history.stream("hypertune"));
        self.within.begin(stream, weights.as_deref())
    }

    fn on_report(&mut self, history: &History<'_>, trial: &Trial) -> Decision {
        self.within.on_report(history, trial)
    }

    fn observe(&mut self, history: &History<'_>, event: &Event) {
        self.within.observe(history, event);
    }

    fn advice(&self, history: &History<'_>) -> Advice {
        self.within.advice(history)
    }
}
