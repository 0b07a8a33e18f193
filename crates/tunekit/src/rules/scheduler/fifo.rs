//! First in, first out: every trial runs to its end.

use super::{History, Job, Scheduler, Stream};
use crate::words::schedule::SchedulerSpec;
use crate::words::trial::{Decision, Trial};

/// Runs every trial to its end, as many at once as there are workers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fifo;

impl Scheduler for Fifo {
    fn name(&self) -> &str {
        "fifo"
    }

    fn spec(&self) -> SchedulerSpec {
        SchedulerSpec::Fifo
    }

    fn next(&mut self, _: &History<'_>, _: &mut Stream) -> Job {
        Job::Start { resource: None }
    }

    fn on_report(&mut self, _: &History<'_>, _: &Trial) -> Decision {
        Decision::Continue
    }
}
