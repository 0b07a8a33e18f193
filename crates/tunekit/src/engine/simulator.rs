//! `Simulator`: runs a study on simulated workers, with a clock that jumps from event to event.
//!
//! Nothing is measured and nothing waits: reports and their durations come from the caller's function. So hours of many
//! workers pass in seconds, with the same result every time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::rules::searcher::SuggestError;
use crate::rules::study::{Study, TellError};
use crate::words::trial::{Ask, Assignment, Decision, Measured, Outcome, Trial};

/// Simulated workers.
///
/// ```
/// use tunekit::{Domain, Metric, SchedulerKind, SearcherKind, Setup, Space, Study};
/// use tunekit::tuner::Simulator;
/// let space = Space::new().with("rate", Domain::float(0.0, 1.0)?)?;
/// let setup = Setup::new(space, Metric::minimize("loss"))
///     .searcher(SearcherKind::Random)
///     .scheduler(SchedulerKind::AshaPromotion)
///     .max_resource(27);
/// let mut study = Study::new(setup)?;
/// // Every epoch takes a minute; six hours of 64 workers.
/// let simulation = Simulator::new(64).run(&mut study, 6.0 * 3600.0, |job, epoch| {
///     let rate = job.config.float("rate").ok_or("no rate")?;
///     Ok(((rate - 0.3).abs() + 1.0 / epoch as f64, 60.0))
/// })?;
/// assert_eq!((simulation.reports, simulation.idle_seconds), (64 * 360, 0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Simulator {
    workers: usize,
    start_seconds: f64,
    stop_seconds: f64,
}

/// The result of a simulation; its measurements are in the study.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Simulation {
    /// When it ended.
    pub seconds: f64,
    /// The busy time of all workers, summed.
    pub busy_seconds: f64,
    /// The idle time of all workers before the end of the study, summed.
    pub idle_seconds: f64,
    /// Number of reports.
    pub reports: u64,
}

/// Why a simulation ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// The searcher has no suggestion.
    #[error(transparent)]
    Suggest(#[from] SuggestError),
    /// The study refuses a report, because it was used before or because the steps do not increase.
    #[error(transparent)]
    Tell(#[from] TellError),
    /// A step's time is not positive.
    #[error("step {step} took {seconds} s; a step takes a positive, finite time")]
    Seconds {
        /// The step.
        step: u64,
        /// The time it took.
        seconds: f64,
    },
    /// Trials fail at their start, so no time passes.
    #[error("{count} trials in a row failed at their start ({reason}); mend the objective, or limit the trials")]
    Stuck {
        /// The number of trials.
        count: u64,
        /// The last one's failure.
        reason: String,
    },
}

/// Trials in a row that may fail at their start.
const MOST_STUCK: u64 = 10_000;

/// Something that will happen; `at` is the bits of a time that is not negative, which order as the times do.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: u64,
    number: u64,
    what: Happening,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// A trial in this slot reports this step.
    Report(usize, u64),
    /// A worker is free again.
    Free,
}

impl Simulator {
    /// A simulator with this number of workers, which start and stop without delay.
    pub fn new(workers: usize) -> Self {
        Self { workers, start_seconds: 0.0, stop_seconds: 0.0 }
    }

    /// With a delay before a worker starts or continues a trial.
    #[must_use]
    pub fn start_seconds(self, seconds: f64) -> Self {
        Self { start_seconds: seconds.max(0.0), ..self }
    }

    /// With a delay before a worker is free again after a trial was paused or stopped.
    #[must_use]
    pub fn stop_seconds(self, seconds: f64) -> Self {
        Self { stop_seconds: seconds.max(0.0), ..self }
    }

    /// Runs `study` until `end`, in seconds, or until it is done. `objective` gives a trial's report at a step and the
    /// duration of that step; an error fails the trial. A report is a value or, with further objectives and
    /// constraints, a [`Measured`]. A trial reports at 1, 2, ... up to the study's maximal resource (1 without one),
    /// and continues from its last step after a pause. In a cost-aware study its cost is the time of its steps. Trials
    /// that run at `end` stay open.
    ///
    /// # Errors
    /// The searcher has no suggestion, the study was used before, a step's time is not positive, or 10,000 trials in a
    /// row fail at their start.
    pub fn run<M: Into<Measured>>(
        &self,
        study: &mut Study,
        end: f64,
        mut objective: impl FnMut(&Assignment, u64) -> Result<(M, f64), String>,
    ) -> Result<Simulation, SimulationError> {
        let last = study.header().max_resource.unwrap_or(1);
        let mut simulation = Simulation::default();
        let mut due: BinaryHeap<Reverse<Due>> = BinaryHeap::new();
        let mut slots: Vec<Option<(Assignment, Measured)>> = Vec::new();
        let (mut now, mut number, mut free) = (0.0_f64, 0, self.workers);
        let mut done = false;
        let mut stuck = 0;
        loop {
            while free > 0 {
                study.at(seconds(now));
                let job = match study.ask()? {
                    Ask::Trial(job) => job,
                    Ask::Wait => break,
                    Ask::Done(_) => {
                        done = true;
                        break;
                    }
                };
                done = false;
                let trial = study.trial(job.trial);
                let step = trial.and_then(Trial::last_step).map_or(1, |last| last + 1);
                let before = trial.and_then(Trial::cost).unwrap_or(0.0);
                match objective(&job, step) {
                    Ok((value, takes)) => {
                        let at = (now + self.start_seconds + checked(step, takes)?).to_bits();
                        let value = costing(value, before + takes, study);
                        let slot = slots.iter().position(Option::is_none).unwrap_or(slots.len());
                        slots.resize(slots.len().max(slot + 1), None);
                        slots[slot] = Some((job, value));
                        due.push(Reverse(Due { at, number, what: Happening::Report(slot, step) }));
                        free -= 1;
                        stuck = 0;
                    }
                    Err(reason) => {
                        stuck += 1;
                        study.tell(job.trial, Outcome::Failed(reason.clone()))?;
                        if stuck >= MOST_STUCK {
                            return Err(SimulationError::Stuck { count: stuck, reason });
                        }
                    }
                }
                number += 1;
            }
            let Some(Reverse(next)) = due.pop() else { break };
            let at = f64::from_bits(next.at);
            let until = at.min(end);
            simulation.busy_seconds += (self.workers - free) as f64 * (until - now);
            if !done {
                simulation.idle_seconds += free as f64 * (until - now);
            }
            now = until;
            if at > end {
                break;
            }
            let Happening::Report(slot, step) = next.what else {
                free += 1;
                continue;
            };
            let Some((job, value)) = slots[slot].take() else { continue };
            study.at(seconds(now));
            simulation.reports += 1;
            let before = value.cost.unwrap_or(0.0);
            let mut decision = study.report(job.trial, step, value)?;
            if decision == Decision::Continue && step < last {
                match objective(&job, step + 1) {
                    Ok((value, takes)) => {
                        let at = (now + checked(step + 1, takes)?).to_bits();
                        let value = costing(value, before + takes, study);
                        slots[slot] = Some((job, value));
                        due.push(Reverse(Due { at, number, what: Happening::Report(slot, step + 1) }));
                        number += 1;
                        continue;
                    }
                    Err(reason) => study.tell(job.trial, Outcome::Failed(reason))?,
                }
                decision = Decision::Stop;
            } else if decision != Decision::Pause {
                study.tell(job.trial, Outcome::Done)?;
            }
            if decision == Decision::Continue || self.stop_seconds == 0.0 {
                free += 1;
            } else {
                due.push(Reverse(Due { at: (now + self.stop_seconds).to_bits(), number, what: Happening::Free }));
                number += 1;
            }
        }
        simulation.seconds = now;
        Ok(simulation)
    }
}

/// In a cost-aware study, a trial's cost is the time of its steps.
fn costing(measured: impl Into<Measured>, seconds: f64, study: &Study) -> Measured {
    let measured = measured.into();
    let cost = if study.header().cost_aware { Some(seconds) } else { measured.cost };
    Measured { cost, ..measured }
}

fn checked(step: u64, seconds: f64) -> Result<f64, SimulationError> {
    if seconds > 0.0 && seconds.is_finite() { Ok(seconds) } else { Err(SimulationError::Seconds { step, seconds }) }
}

fn seconds(now: f64) -> Duration {
    Duration::try_from_secs_f64(now).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::searcher::SearcherKind;
    use crate::rules::study::Setup;
    use crate::words::domain::Domain;
    use crate::words::metric::Metric;
    use crate::words::space::Space;

    #[test]
    fn trials_that_all_fail_as_they_start_end_the_simulation() {
        for (limit, is_stuck) in [(Some(50), false), (None, true)] {
            let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
            let setup = Setup::new(space, Metric::minimize("m")).searcher(SearcherKind::Random);
            let mut study = Study::new(setup).unwrap();
            study.limit_trials(limit);
            let ran = Simulator::new(2).run(&mut study, 10.0, |_, _| Err::<(f64, f64), _>("no such row".to_owned()));
            let Err(error) = ran else {
                assert!(!is_stuck && study.trials().len() == 50);
                continue;
            };
            assert!(is_stuck, "{error}");
            assert!(
                error.to_string().starts_with("10000 trials in a row failed at their start (no such row);"),
                "{error}"
            );
        }
    }
}
