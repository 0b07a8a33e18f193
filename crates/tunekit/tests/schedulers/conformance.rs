//! The suite of schedulers passes a scheduler of one's own, and finds those that break the contract.

use tunekit::journal::Event;
use tunekit::scheduler::conformance::{self, Step, assert_scheduler};
use tunekit::scheduler::{Advice, Job, Scheduler};
use tunekit::searcher::{History, Stream};
use tunekit::{Decision, Trial, TrialId};

const MAX: u64 = 9;

/// Runs each trial to 3 and pauses it there; the best of the first two that arrive goes on to the end, and so on. And
/// faults.
#[derive(Default)]
struct Pairs {
    fault: Option<Fault>,
    /// The trials that arrived and await a rival, with their losses; the winners that await a worker.
    arrived: Vec<(TrialId, f64)>,
    winners: Vec<TrialId>,
    asked: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// Takes winners off its list when they are asked for, which a replay does not see.
    ChangesWhenAsked,
    /// Starts one trial in three only when nothing runs, and none even then.
    Waits,
    /// Sends winners beyond a full run.
    TooFar,
    /// Pauses what has run in full.
    PausesAtTheEnd,
    /// Sends losers on again, which have ended.
    ResumesTheEnded,
    /// Waits for a failed trial to arrive.
    WaitsForFailed,
    /// Gives up the checkpoints of those who wait.
    ForgetsCheckpoints,
    /// Names its levels from the top.
    LevelsFall,
    Panics,
}

fn pairs(fault: impl Into<Option<Fault>>) -> impl Fn() -> Box<dyn Scheduler> {
    let fault = fault.into();
    move || Box::new(Pairs { fault, ..Pairs::default() })
}

impl Pairs {
    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}

impl Scheduler for Pairs {
    fn name(&self) -> &str {
        "pairs"
    }

    fn next(&mut self, history: &History<'_>, _: &mut Stream) -> Job {
        self.asked += 1;
        if self.is(Fault::ResumesTheEnded)
            && let Some(ended) = history.trials().iter().find(|t| t.is_finished())
        {
            return Job::Resume { trial: ended.id, resource: Some(MAX) };
        }
        if self.is(Fault::Waits) && history.trials().len() > 2 {
            return Job::Wait;
        }
        if self.is(Fault::WaitsForFailed) && history.trials().iter().any(|t| t.failure.is_some()) {
            return Job::Wait;
        }
        let resource = Some(if self.is(Fault::TooFar) { MAX + 1 } else { MAX });
        let winner = self.winners.first().copied();
        if self.is(Fault::ChangesWhenAsked) && winner.is_some() {
            self.winners.remove(0);
        }
        match winner {
            Some(trial) => Job::Resume { trial, resource },
            None => Job::Start { resource: Some(3) },
        }
    }

    fn on_report(&mut self, _: &History<'_>, trial: &Trial) -> Decision {
        let last = trial.measurements.last().map_or(0, |m| m.step);
        let before = trial.measurements.iter().rev().nth(1).map_or(0, |m| m.step);
        assert!(!self.is(Fault::Panics) || last < MAX, "too far");
        match last {
            MAX.. if self.is(Fault::PausesAtTheEnd) => Decision::Pause,
            MAX.. => Decision::Stop,
            3.. if before < 3 => Decision::Pause,
            _ => Decision::Continue,
        }
    }

    fn observe(&mut self, history: &History<'_>, event: &Event) {
        match event {
            Event::Report { trial, value: Some(value), decision: Decision::Pause, .. } => match self.arrived.pop() {
                Some((rival, loss)) => {
                    self.winners.push(if history.goal().loss(*value) < loss { *trial } else { rival })
                }
                None => self.arrived.push((*trial, history.goal().loss(*value))),
            },
            Event::Ask { trial, .. } if !self.is(Fault::ChangesWhenAsked) => self.winners.retain(|w| w != trial),
            _ => {}
        }
    }

    fn advice(&self, _: &History<'_>) -> Advice {
        let levels = if self.is(Fault::LevelsFall) { vec![MAX, 3] } else { vec![3, MAX] };
        let checkpoints = self.is(Fault::ForgetsCheckpoints).then(Vec::new);
        Advice { levels, checkpoints, ..Advice::default() }
    }
}

#[test]
fn a_scheduler_of_ones_own_that_keeps_the_contract_passes_for_any_seed() {
    for seed in 0..5 {
        assert_scheduler(seed, MAX, pairs(None));
        conformance::workers_are_never_idle(MAX, pairs(None), &conformance::steps(seed, 200));
    }
}

#[test]
fn the_steps_of_a_seed_are_always_the_same_and_of_all_kinds() {
    let steps = conformance::steps(4, 300);
    assert_eq!(steps, conformance::steps(4, 300));
    assert_ne!(steps, conformance::steps(5, 300));
    for is in [
        |s: &Step| *s == Step::Ask,
        |s: &Step| matches!(s, Step::Report { steps: 2, .. }),
        |s: &Step| matches!(s, Step::NotANumber(_)),
        |s: &Step| matches!(s, Step::Fail(_)),
        |s: &Step| matches!(s, Step::Lose(_)),
        |s: &Step| matches!(s, Step::Tell(_)),
        |s: &Step| matches!(s, Step::CutOff(_)),
    ] {
        assert!(steps.iter().any(is));
    }
}

#[test]
#[should_panic(expected = "scheduler `pairs` breaks the property \"the contract holds on any schedule\"")]
fn one_that_changes_when_it_is_asked_is_caught() {
    assert_scheduler(5, MAX, pairs(Fault::ChangesWhenAsked));
}

#[test]
#[should_panic(expected = "a worker is to wait, and nothing runs")]
fn one_that_waits_for_nothing_is_caught() {
    assert_scheduler(5, MAX, pairs(Fault::Waits));
}

#[test]
#[should_panic(expected = "is to run to 10, and a full run goes to 9")]
fn one_that_sends_trials_too_far_is_caught() {
    assert_scheduler(5, MAX, pairs(Fault::TooFar));
}

#[test]
#[should_panic(expected = "is to pause at 9, where a full run ends")]
fn one_that_pauses_at_the_end_is_caught() {
    assert_scheduler(5, MAX, pairs(Fault::PausesAtTheEnd));
}

#[test]
#[should_panic(expected = "which is not paused")]
fn one_that_resumes_what_has_ended_is_caught() {
    assert_scheduler(5, MAX, pairs(Fault::ResumesTheEnded));
}

#[test]
#[should_panic(expected = "breaks the property \"failed trials make nothing wait\" (seed 5)")]
fn one_that_waits_for_failed_trials_is_caught() {
    conformance::failures_keep_nothing_waiting(5, MAX, pairs(Fault::WaitsForFailed));
}

#[test]
#[should_panic(expected = "a checkpoint that its advice had given up")]
fn one_that_forgets_checkpoints_is_caught() {
    assert_scheduler(5, MAX, pairs(Fault::ForgetsCheckpoints));
}

#[test]
#[should_panic(expected = "the levels [9, 3] of its advice do not increase up to 9")]
fn one_with_falling_levels_is_caught() {
    assert_scheduler(5, MAX, pairs(Fault::LevelsFall));
}

#[test]
#[should_panic(expected = "it panicked: too far")]
fn one_that_panics_is_caught_with_its_word() {
    assert_scheduler(5, MAX, pairs(Fault::Panics));
}
