//! The contract of [`Scheduler`] as functions for the tests of your own scheduler.
//!
//! [`assert_scheduler`] checks the whole contract. [`assert_schedule`] runs one schedule, from [`steps`] or from a
//! property test. They panic with the property that does not hold. `make` gives a new scheduler each time, with full
//! runs up to `max_resource`; everything random comes from `seed`.
//!
//! ```
//! use tunekit::scheduler::{Job, Scheduler, conformance};
//! use tunekit::searcher::{History, Stream};
//! use tunekit::{Decision, Trial};
//!
//! /// Stops trials whose first report is positive.
//! struct Signs;
//!
//! impl Scheduler for Signs {
//!     fn name(&self) -> &str {
//!         "signs"
//!     }
//!
//!     fn next(&mut self, _: &History<'_>, _: &mut Stream) -> Job {
//!         Job::Start { resource: None }
//!     }
//!
//!     fn on_report(&mut self, _: &History<'_>, trial: &Trial) -> Decision {
//!         let first = trial.measurements.first().map_or(0.0, |m| m.value);
//!         if first > 0.0 { Decision::Stop } else { Decision::Continue }
//!     }
//! }
//!
//! conformance::assert_scheduler(7, 9, || Box::new(Signs));
//! ```

mod run;

use self::run::Run;
use super::{Breach, Property, at};
use crate::rules::scheduler::Scheduler;
use crate::rules::searcher::{Searcher, SearcherKind};
use crate::rules::stream::Stream;
use crate::words::event::Event;
use crate::words::trial::{Decision, Outcome};

/// Makes a new searcher and a new scheduler.
type Make<'a> = &'a dyn Fn() -> (Box<dyn Searcher>, Box<dyn Scheduler>);

/// One event of a study. A trial is given by its place among the running trials, modulo their number.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// A free worker asks. Nothing happens if four trials run.
    Ask,
    /// A trial reports.
    Report {
        /// The trial.
        running: usize,
        /// The number of steps that it has run further, at most up to the next decision.
        steps: u64,
        /// The metric.
        value: f64,
    },
    /// A trial reports a number that is not finite, and ends.
    NotANumber(usize),
    /// A trial fails.
    Fail(usize),
    /// The worker of a trial is lost.
    Lose(usize),
    /// A trial ends with a value in place of its reports.
    Tell(usize),
    /// A trial is cut off, and ends with a bound.
    CutOff(usize),
}

/// Random steps for [`assert_schedule`].
pub fn steps(seed: u64, count: usize) -> Vec<Step> {
    let mut stream = Stream::of_study(seed, "schedule");
    let step = |_| {
        let running = stream.below(8);
        match stream.below(19) {
            0..4 => Step::Ask,
            4..14 => {
                let steps = 1 + stream.below(2) as u64;
                Step::Report { running, steps, value: stream.below(6) as f64 }
            }
            14 => Step::NotANumber(running),
            15 => Step::Fail(running),
            16 => Step::Lose(running),
            17 => Step::Tell(running),
            _ => Step::CutOff(running),
        }
    };
    (0..count).map(step).collect()
}

/// Checks the contract: [`assert_schedule`] on random schedules, and every other property in this module except
/// [`workers_are_never_idle`], which is not part of the contract.
///
/// # Panics
/// At the first property that does not hold.
#[track_caller]
pub fn assert_scheduler(seed: u64, max_resource: u64, make: impl Fn() -> Box<dyn Scheduler>) {
    for schedule in 0..6 {
        assert_schedule(max_resource, &make, &steps(seed.wrapping_add(schedule), 100));
    }
    every_trial_ends(seed, max_resource, &make);
    failures_keep_nothing_waiting(seed, max_resource, &make);
    a_full_run_ends(seed, max_resource, &make);
}

/// Runs one schedule with random configurations, checks the contract at each step, and returns the journal.
///
/// - The next job and each decision are the same for a new scheduler that has observed the same events.
/// - [`Job::Wait`](crate::scheduler::Job::Wait) is not answered while nothing runs.
/// - Only paused trials continue, from checkpoints that the advice has kept.
/// - A job's resource is above its beginning, and at most that of a full run. If reports are replicates, a paused trial
///   may run longer. No trial pauses at the end of a full run, with the same exception.
/// - A report at a step that is not above the last one, or of a trial that does not run, is refused and changes
///   nothing.
/// - The advice's levels increase up to the resource of a full run.
///
/// # Panics
/// The contract does not hold.
#[track_caller]
pub fn assert_schedule(max_resource: u64, make: impl Fn() -> Box<dyn Scheduler>, steps: &[Step]) -> Vec<Event> {
    assert_schedule_with(max_resource, || (SearcherKind::Random.build(), make()), steps)
}

/// [`assert_schedule`] for a scheduler that brings its searcher.
///
/// # Panics
/// The contract does not hold.
#[track_caller]
pub fn assert_schedule_with(
    max_resource: u64,
    make: impl Fn() -> (Box<dyn Searcher>, Box<dyn Scheduler>),
    steps: &[Step],
) -> Vec<Event> {
    property(&make, 0, "the contract holds on any schedule").assert(|| {
        let mut run = Run::new(&make, max_resource, 0)?;
        for (i, step) in steps.iter().enumerate() {
            run.step(step).map_err(|breach| format!("step {i}, {step:?}: {breach}"))?;
        }
        Ok(run.into_events())
    })
}

/// A study with a limit of trials ends, with one worker and with three. Its trials are then paused or have ended.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn every_trial_ends(seed: u64, max_resource: u64, make: impl Fn() -> Box<dyn Scheduler>) {
    let make = || (SearcherKind::Random.build(), make());
    property(&make, seed, "every trial ends, or is paused when the study is over").assert(|| {
        for workers in [1, 3] {
            let mut run = Run::new(&make, max_resource, seed)?;
            let mut values = Stream::of_study(seed, "values");
            run.finish(12, workers, |run, i| {
                run.report(i, 1, values.uniform())?;
                Ok(())
            })?;
        }
        Ok(())
    });
}

/// Failed trials block nothing: a study in which all trials fail, or every second one, ends.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn failures_keep_nothing_waiting(seed: u64, max_resource: u64, make: impl Fn() -> Box<dyn Scheduler>) {
    let make = || (SearcherKind::Random.build(), make());
    property(&make, seed, "failed trials make nothing wait").assert(|| {
        for every in [1, 2] {
            let mut run = Run::new(&make, max_resource, seed)?;
            let mut values = Stream::of_study(seed, "values");
            run.finish(12, 3, |run, i| match run.trial(i).0 % every {
                0 => run.end(i, Outcome::Failed("no".to_owned())),
                _ => run.report(i, 1, values.uniform()),
            })?;
        }
        Ok(())
    });
}

/// A trial that reports at the maximal resource, at once or later, is not told to continue.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn a_full_run_ends(seed: u64, max_resource: u64, make: impl Fn() -> Box<dyn Scheduler>) {
    let make = || (SearcherKind::Random.build(), make());
    property(&make, seed, "a full run ends").assert(|| {
        for before in [None, Some(max_resource.saturating_sub(1)).filter(|step| *step > 0)] {
            let mut run = Run::new(&make, max_resource, seed)?;
            run.ask()?;
            let mut last = Decision::Continue;
            for step in before.into_iter().chain([max_resource]) {
                if last == Decision::Continue {
                    last = run.decide(0, step, 1.0)?;
                }
            }
            if last == Decision::Continue {
                return Err(format!("a trial that reported at {max_resource} is to go on"));
            }
        }
        Ok(())
    });
}

/// Beyond the contract: as long as there are configurations, four workers always have something to do.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn workers_are_never_idle(max_resource: u64, make: impl Fn() -> Box<dyn Scheduler>, steps: &[Step]) {
    let make = || (SearcherKind::Random.build(), make());
    property(&make, 0, "workers are never idle").assert(|| {
        let mut run = Run::new(&make, max_resource, 0)?;
        for (i, step) in steps.iter().enumerate() {
            run.step(step)?;
            if run.waited() {
                return Err(format!("a worker is to wait at step {i}"));
            }
        }
        Ok(())
    });
}

fn property(make: Make<'_>, seed: u64, says: &'static str) -> Property {
    Property { kind: "scheduler", name: make().1.name().to_owned(), says, seed }
}
