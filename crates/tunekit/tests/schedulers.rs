//! The contract of `Scheduler`, run over every kind there is on random schedules; and cases computed by hand.
#![allow(clippy::unwrap_used, reason = "a helper of tests fails its test")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tunekit::{
    Ask, Assignment, Decision, Domain, Event, Metric, Outcome, SchedulerKind, SchedulerOptions, SearcherKind, Setup,
    Simulator, Space, Status, Study, TrialId,
};

fn setup(kind: SchedulerKind, max: u64, eta: u64) -> Setup {
    let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
    let within = "asha_promotion".to_owned();
    let options = SchedulerOptions { eta, within, ..SchedulerOptions::default() };
    Setup::new(space, Metric::minimize("loss"))
        .searcher(SearcherKind::Random)
        .scheduler(kind)
        .scheduler_options(options)
        .max_resource(max)
}

fn job(study: &mut Study) -> Assignment {
    study.ask().unwrap().assignment().expect("a trial")
}

/// What may be seen of promotions: trials by the resource they began with.
#[derive(Default)]
struct Quotas {
    bracket: BTreeMap<TrialId, u64>,
    /// By (bracket, resource).
    arrived: BTreeMap<(u64, u64), BTreeSet<TrialId>>,
    promoted: BTreeMap<(u64, u64), BTreeSet<TrialId>>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Ask,
    /// Of which running trial, how far at once, and what.
    Report(usize, bool, u8),
    NotANumber(usize),
    Fail(usize),
    Lose(usize),
    Tell(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Ask),
        10 => (0..8_usize, any::<bool>(), 0..6_u8).prop_map(|(i, far, v)| Step::Report(i, far, v)),
        1 => (0..8_usize).prop_map(Step::NotANumber),
        1 => (0..8_usize).prop_map(Step::Fail),
        1 => (0..8_usize).prop_map(Step::Lose),
        1 => (0..8_usize).prop_map(Step::Tell),
    ];
    prop::collection::vec(step, 1..150)
}

/// Drives a study through the steps, checking the contract at each.
fn drive(kind: SchedulerKind, max: u64, eta: u64, steps: &[Step]) -> Result<(), TestCaseError> {
    const WORKERS: usize = 4;
    let mut study = Study::new(setup(kind, max, eta)).unwrap();
    let mut events: Vec<Event> = Vec::new();
    let mut running: Vec<Assignment> = Vec::new();
    let mut ended: Option<TrialId> = None;
    let mut quotas = Quotas::default();
    for step in steps {
        events.extend(study.take_events());
        match *step {
            Step::Ask if running.len() < WORKERS => {
                let mut cold = Study::replay(events.clone()).unwrap();
                let ask = study.ask().unwrap();
                prop_assert_eq!(cold.ask().unwrap(), ask.clone(), "a replay asks for something else");
                // There are always configurations left, so that there is always something to do.
                let Ask::Trial(job) = ask else {
                    return Err(TestCaseError::fail(format!("{kind} leaves workers idle")));
                };
                // A race's yardsticks are measured on.
                let yardstick = kind.races() && job.resumed;
                prop_assert!(job.resource.is_none_or(|r| r >= 1 && (r <= max || yardstick)), "{:?}", job);
                let trial = study.trial(job.trial).unwrap();
                if job.resumed && trial.attempt == 1 && !kind.races() {
                    let from = trial.measurements.last().unwrap().step;
                    let bracket = quotas.bracket[&job.trial];
                    let promoted = quotas.promoted.entry((bracket, from)).or_default();
                    promoted.insert(job.trial);
                    let arrived = &quotas.arrived[&(bracket, from)];
                    // Of a planned round as many as planned, a failed trial's place included; else one in eta of those there.
                    let begun = quotas.bracket.values().filter(|b| **b == bracket).count() as u64;
                    let plan = study.plan().unwrap();
                    let rungs = &plan.brackets.iter().find(|b| b.rungs[0].resource == bracket).unwrap().rungs;
                    let next = rungs.iter().find(|r| r.resource == job.resource.unwrap()).unwrap();
                    let quota = match (next.quota, rungs[0].quota) {
                        (Some(quota), Some(first)) => begun.div_ceil(first) * quota,
                        _ => arrived.len() as u64 / eta,
                    };
                    prop_assert!(promoted.len() as u64 <= quota, "{} beyond its quota", kind);
                } else {
                    quotas.bracket.entry(job.trial).or_insert(job.resource.unwrap_or(0));
                }
                running.push(job);
            }
            Step::Ask => {}
            _ if running.is_empty() => {}
            Step::Report(i, far, value) => {
                let i = i % running.len();
                let job = &running[i];
                let last = study.trial(job.trial).unwrap().measurements.last().map_or(0, |m| m.step);
                let pauses = !matches!(kind, SchedulerKind::Fifo | SchedulerKind::Asha);
                let end = if pauses { job.resource.unwrap_or(max) } else { max };
                let at = if far { (last + 2).min(end).max(last + 1) } else { last + 1 };
                let mut cold = Study::replay(events.clone()).unwrap();
                let decision = study.report(job.trial, at, f64::from(value)).unwrap();
                prop_assert_eq!(cold.report(job.trial, at, f64::from(value)).unwrap(), decision);
                prop_assert!(at < max || decision != Decision::Pause || kind.races(), "{} pauses at the end", kind);
                if at >= max && kind != SchedulerKind::Fifo && !kind.races() {
                    prop_assert_eq!(decision, Decision::Stop);
                }
                let job = job.clone();
                if decision == Decision::Pause {
                    let key = (quotas.bracket[&job.trial], at);
                    quotas.arrived.entry(key).or_default().insert(job.trial);
                }
                if decision == Decision::Stop || (decision == Decision::Continue && at >= max) {
                    study.tell(job.trial, Outcome::Done).unwrap();
                    ended = Some(job.trial);
                }
                if decision != Decision::Continue || at >= max {
                    running.remove(i);
                }
            }
            Step::NotANumber(i) | Step::Fail(i) | Step::Tell(i) => {
                let job = running.remove(i % running.len());
                let end = job.resource.unwrap_or(max);
                quotas.arrived.entry((quotas.bracket[&job.trial], end)).or_default().insert(job.trial);
                let outcome = match step {
                    Step::NotANumber(_) => {
                        let last = study.trial(job.trial).unwrap().measurements.last().map_or(0, |m| m.step);
                        prop_assert_eq!(study.report(job.trial, last + 1, f64::NAN).unwrap(), Decision::Stop);
                        Outcome::Done
                    }
                    Step::Tell(_) => Outcome::Value(2.5),
                    _ => Outcome::Failed("no".to_owned()),
                };
                study.tell(job.trial, outcome).unwrap();
                ended = Some(job.trial);
            }
            Step::Lose(i) => {
                let job = running.remove(i % running.len());
                study.interrupt(job.trial).unwrap();
                prop_assert!(study.report(job.trial, max, 0.0).is_err(), "a late report of a lost worker is taken");
            }
        }
        if let Some(trial) = ended {
            prop_assert!(study.report(trial, max + 1, 0.0).is_err(), "a late report is taken");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_contract_holds_on_any_schedule(steps in steps()) {
        for kind in SchedulerKind::ALL {
            drive(kind, 9, 3, &steps)?;
            drive(kind, 5, 2, &steps)?;
        }
    }
}

#[test]
fn promotion_goes_as_in_the_papers_example() {
    // Nine configurations, R = 9, eta = 3, one worker: Li et al. 2020, figure 1 and 2.
    let losses = [3.0, 9.0, 8.0, 7.0, 6.0, 2.0, 5.0, 1.0, 4.0];
    let mut study = Study::new(setup(SchedulerKind::AshaPromotion, 9, 3)).unwrap();
    let mut order = Vec::new();
    for _ in 0..13 {
        let job = job(&mut study);
        let resource = job.resource.unwrap();
        order.push((job.trial.0, resource));
        let decision = study.report(job.trial, resource, losses[job.trial.0 as usize]).unwrap();
        if decision == Decision::Stop {
            study.tell(job.trial, Outcome::Done).unwrap();
        }
    }
    let expected =
        [(0, 1), (1, 1), (2, 1), (0, 3), (3, 1), (4, 1), (5, 1), (5, 3), (6, 1), (7, 1), (8, 1), (7, 3), (7, 9)];
    assert_eq!(order, expected);
    assert_eq!(study.trial(TrialId(7)).unwrap().status, Status::Stopped);
}

#[test]
fn stopping_lets_the_best_third_go_on() {
    let mut study = Study::new(setup(SchedulerKind::Asha, 9, 3)).unwrap();
    use Decision::{Continue, Stop};
    // Of one, of three and of four the best one goes on, of six the best two; a tie loses.
    for (loss, decision) in
        [(5.0, Continue), (6.0, Stop), (4.0, Continue), (4.0, Stop), (3.0, Continue), (3.5, Continue), (3.5, Stop)]
    {
        let job = job(&mut study);
        assert_eq!(study.report(job.trial, 1, loss).unwrap(), decision, "{loss}");
    }
    // A rung that a trial skipped counts when it is past it, and the end is the end.
    assert_eq!(study.report(TrialId(0), 4, 1.0).unwrap(), Continue);
    assert_eq!(study.report(TrialId(0), 9, 1.0).unwrap(), Stop);
}

#[test]
fn hyperband_fills_its_rungs_in_the_papers_order() {
    let mut study = Study::new(setup(SchedulerKind::Hyperband, 9, 3)).unwrap();
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for _ in 0..22 {
        let job = job(&mut study);
        let resource = job.resource.unwrap();
        runs.push((job.trial.0, resource));
        // The later trial is the better one.
        if study.report(job.trial, resource, -(job.trial.0 as f64)).unwrap() == Decision::Stop {
            study.tell(job.trial, Outcome::Done).unwrap();
        }
    }
    let first: Vec<(u64, u64)> = (0..9).map(|i| (i, 1)).chain([(8, 3), (7, 3), (6, 3), (8, 9)]).collect();
    assert_eq!(runs[..13], first);
    // The second bracket: three at 3, one at 9; the third: three at 9; then from the start.
    assert_eq!(runs[13..], [(9, 3), (10, 3), (11, 3), (11, 9), (12, 9), (13, 9), (14, 9), (15, 1), (16, 1)]);
}

#[test]
fn nobody_waits_for_a_rung_that_is_not_full() {
    let mut study = Study::new(setup(SchedulerKind::Hyperband, 9, 3)).unwrap();
    let open: Vec<Assignment> = (0..9).map(|_| job(&mut study)).collect();
    // The tenth worker opens the next bracket.
    assert_eq!(job(&mut study).resource, Some(3));
    for job in &open[..8] {
        study.tell(job.trial, Outcome::Failed("no".to_owned())).unwrap();
    }
    assert_eq!(study.report(open[8].trial, 1, 1.0).unwrap(), Decision::Pause);
    // Eight failed, so one is promoted where there was room for three.
    let next = job(&mut study);
    assert_eq!((next.trial, next.resource, next.resumed), (open[8].trial, Some(3), true));
    assert!(!job(&mut study).resumed);
}

#[test]
fn the_median_rule_stops_what_is_worse_than_half_of_the_others() {
    let options = SchedulerOptions { population: 3, ..SchedulerOptions::default() };
    let setup = setup(SchedulerKind::Median, 9, 3).scheduler_options(options);
    let mut study = Study::new(setup).unwrap();
    for losses in [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]] {
        let job = job(&mut study);
        for (step, loss) in (1..).zip(losses) {
            assert_eq!(study.report(job.trial, step, loss).unwrap(), Decision::Continue, "too few to compare with");
        }
    }
    let mut report = |losses: &[f64]| {
        let job = job(&mut study);
        (1..).zip(losses).map(|(step, loss)| study.report(job.trial, step, *loss).unwrap()).last()
    };
    // Of others at 1, 2 and 3: one may be better, two not.
    assert_eq!(report(&[2.0]), Some(Decision::Continue));
    assert_eq!(report(&[3.5]), Some(Decision::Stop));
    // Means count: the second report makes up for the first.
    assert_eq!(report(&[2.0, 4.0]), Some(Decision::Stop));
}

#[test]
fn pasha_runs_no_further_than_the_ranking_needs() {
    let furthest = |flips: bool| {
        let mut study = Study::new(setup(SchedulerKind::Pasha, 81, 3)).unwrap();
        let mut furthest = 0;
        for _ in 0..600 {
            let job = job(&mut study);
            let resource = job.resource.unwrap();
            furthest = furthest.max(resource);
            let x = job.config.float("x").unwrap();
            let loss = if flips && resource.ilog(3) % 2 == 1 { 1.0 - x } else { x };
            if study.report(job.trial, resource, loss).unwrap() == Decision::Stop {
                study.tell(job.trial, Outcome::Done).unwrap();
            }
        }
        furthest
    };
    assert_eq!(furthest(false), 3);
    assert_eq!(furthest(true), 81);
}

fn race(options: SchedulerOptions) -> Setup {
    Setup { metric: Metric::time("s"), ..setup(SchedulerKind::Racing, 5, 3).scheduler_options(options) }
}

#[test]
fn a_race_drops_replicates_and_accepts_by_probability() {
    use Decision::{Pause, Stop};
    let mut study = Study::new(race(SchedulerOptions::default())).unwrap();
    let mut leader = TrialId(0);
    // What the next challenger measures; checks of the leader in between say what it said before.
    let mut step = |value: f64| {
        loop {
            let job = job(&mut study);
            let check = job.trial == leader && job.resource > Some(3);
            let value = if check { study.trial(leader).unwrap().measurements[0].value } else { value };
            let decision = study.report(job.trial, job.resource.unwrap(), value).unwrap();
            if decision == Stop {
                study.tell(job.trial, Outcome::Done).unwrap();
            }
            if !check {
                leader = study.best().unwrap().trial;
                return (job.trial.0, job.resource.unwrap(), decision);
            }
        }
    };
    // The first leads, and is measured three times, which tells of the noise.
    assert_eq!([1.00, 1.02, 0.98].map(&mut step), [(0, 1, Pause), (0, 2, Pause), (0, 3, Pause)]);
    // Half as slow again: t = ln 1.5 / (0.02 sqrt(4 / 3)) = 17 with 2 degrees of freedom.
    assert_eq!(step(1.5), (1, 1, Stop));
    // About as good: until the maximum, at which it is the worse one.
    let close = [1.01, 1.00, 1.01, 1.00, 1.01].map(&mut step);
    assert_eq!(close, [(2, 1, Pause), (2, 2, Pause), (2, 3, Pause), (2, 4, Pause), (2, 5, Stop)]);
    // Far better: it leads, but not before three measurements.
    assert_eq!([0.5, 0.51, 0.49].map(&mut step), [(3, 1, Pause), (3, 2, Pause), (3, 3, Pause)]);
    assert_eq!(step(0.99), (4, 1, Stop));
    assert_eq!(study.best().unwrap().trial, TrialId(3));
}

#[test]
fn a_race_measures_the_first_point_and_the_incumbent_again_in_turn() {
    let point = tunekit::Config::new().with("x", 0.5);
    let mut study = Study::new(race(SchedulerOptions { recheck: 4, ..Default::default() }).point(point)).unwrap();
    let mut order = Vec::new();
    for k in 0..60 {
        let job = job(&mut study);
        // The second one leads from its third measurement on; every other one is clearly worse.
        let mean = [1.0, 0.5].get(job.trial.0 as usize).copied().unwrap_or(2.0);
        let decision = study.report(job.trial, job.resource.unwrap(), mean * (1.0 + 0.01 * f64::from(k % 3))).unwrap();
        if decision == Decision::Stop {
            study.tell(job.trial, Outcome::Done).unwrap();
        }
        order.push(job.trial.0);
    }
    let yardsticks: Vec<u64> = order[6..].iter().copied().filter(|t| *t < 2).collect();
    assert!(yardsticks.len() >= 8, "{order:?}");
    assert!(yardsticks.chunks_exact(4).all(|c| c == [0, 1, 1, 0] || c == [1, 0, 0, 1]), "{order:?}");
    // Measured on past the maximum, as the yardsticks that they are.
    assert!(study.trial(TrialId(0)).unwrap().measurements.len() > 5);
    assert_eq!(study.trial(TrialId(0)).unwrap().status, Status::Paused);
}

#[test]
fn a_race_goes_on_when_its_leader_fails() {
    let mut study = Study::new(race(SchedulerOptions { recheck: 1, ..Default::default() })).unwrap();
    let mut last = None;
    for k in 0..40 {
        let next = job(&mut study);
        let step = next.resource.unwrap();
        // Whoever leads fails when it is measured again as a yardstick.
        if step > 3 {
            study.tell(next.trial, Outcome::Failed("no".to_owned())).unwrap();
            last = Some(next.trial);
            continue;
        }
        let value = 1.0 + 0.01 * f64::from(k % 5);
        if study.report(next.trial, step, value).unwrap() == Decision::Stop {
            study.tell(next.trial, Outcome::Done).unwrap();
        }
    }
    assert!(last.is_some());
    assert_ne!(study.best().unwrap().trial, last.unwrap());
}

#[test]
fn a_race_takes_the_drift_out_of_every_comparison() {
    // Everything gets faster by 0.4 % with each measurement: by the time, what is 20 % slower than the first one looks faster.
    let (mut right, mut all) = (0, 0);
    for seed in 1000..1010 {
        let mut study = Study::new(race(SchedulerOptions::default()).seed(seed)).unwrap();
        let mut stream = tunekit::Stream::of_study(seed, "noise");
        for k in 0..120 {
            let job = job(&mut study);
            let mean: f64 = if job.trial.0 > 0 { 1.2 } else { 1.0 };
            let value = mean * (0.02 * stream.normal() - 0.004 * f64::from(k)).exp();
            if study.report(job.trial, job.resource.unwrap(), value).unwrap() == Decision::Stop {
                study.tell(job.trial, Outcome::Done).unwrap();
            }
        }
        all += 1;
        right += u32::from(study.best().unwrap().trial == TrialId(0));
        let tried = study.trials().len();
        assert!(tried > 12, "{tried} were tried");
    }
    assert!(right >= all - 1, "{right} of {all}");
}

#[test]
fn a_race_is_over_replicates_and_refuses_a_metric_without_noise() {
    let study = Study::new(race(SchedulerOptions::default())).unwrap();
    assert_eq!(study.header().metric.value, tunekit::ValueRule::Mean);
    let setup = Setup { metric: Metric::minimize("m").deterministic(), ..race(SchedulerOptions::default()) };
    assert!(Study::new(setup).unwrap_err().to_string().contains("measures again"));
}

#[test]
fn options_out_of_their_bounds_are_refused() {
    let refused = |kind, options: SchedulerOptions| {
        Study::new(Setup { max_resource: Some(9), ..setup(kind, 9, 3).scheduler_options(options) })
            .unwrap_err()
            .to_string()
    };
    let default = SchedulerOptions::default;
    assert!(refused(SchedulerKind::Asha, SchedulerOptions { eta: 1, ..default() }).contains("at least 2"));
    assert!(refused(SchedulerKind::Median, SchedulerOptions { share: 1.0, ..default() }).contains("below 1"));
    assert!(
        refused(SchedulerKind::HyperbandAsync, SchedulerOptions { brackets: 4, ..default() }).contains("3 brackets")
    );
    let within = SchedulerOptions { within: "median".to_owned(), ..default() };
    assert!(refused(SchedulerKind::Median, within).contains("wraps no scheduler"));
    let within = SchedulerOptions { within: "racing".to_owned(), ..default() };
    assert!(refused(SchedulerKind::Median, within).contains("wraps no scheduler"));
    for (drop, accept) in [(0.0, 0.9), (0.5, 0.5), (0.1, 1.0), (f64::NAN, 0.9)] {
        assert!(refused(SchedulerKind::Racing, SchedulerOptions { drop, accept, ..default() }).contains("smaller"));
    }
    for replicates in [0, 10] {
        let options = SchedulerOptions { replicates, ..default() };
        assert!(refused(SchedulerKind::Racing, options).contains("between 1 and max_resource, which is 9"));
    }
    let setup = Setup { max_resource: None, ..setup(SchedulerKind::Bohb, 9, 3) };
    assert!(Study::new(setup).unwrap_err().to_string().contains("needs max_resource"));
}

/// A loss that falls with the epochs towards x; epochs take longer the larger x is.
fn curve(job: &Assignment, step: u64) -> Result<(f64, f64), String> {
    let x = job.config.float("x").unwrap();
    Ok((x + 1.0 / step as f64, 1.0 + x))
}

#[test]
fn sixty_four_simulated_workers_are_never_idle_and_every_run_is_the_same() {
    for kind in SchedulerKind::ALL {
        let run = || {
            let mut study = Study::new(setup(kind, 27, 3).seed(5)).unwrap();
            let simulator = Simulator::new(64).start_seconds(0.5).stop_seconds(0.25);
            let simulation = simulator.run(&mut study, 300.0, curve).unwrap();
            (simulation, study.take_events())
        };
        let (simulation, events) = run();
        assert_eq!((simulation.clone(), events.len()), (run().0, run().1.len()), "{kind}");
        assert_eq!(simulation.idle_seconds, 0.0, "{kind}");
        assert!(simulation.reports > 5000, "{kind}: {}", simulation.reports);
    }
}

#[test]
fn a_simulation_takes_the_time_that_was_asked_for_and_no_more() {
    let mut study = Study::new(setup(SchedulerKind::Fifo, 3, 3)).unwrap();
    study.limit_trials(Some(2));
    let simulation = Simulator::new(1).start_seconds(2.0).run(&mut study, 100.0, |_, _| Ok((1.0, 5.0))).unwrap();
    // Twice: 2 to start, 3 epochs of 5.
    assert_eq!((simulation.seconds, simulation.busy_seconds, simulation.reports), (34.0, 34.0, 6));
    assert_eq!(study.trials()[1].measurements[0].at_s, Some(24.0));
    let mut study = Study::new(setup(SchedulerKind::Fifo, 3, 3)).unwrap();
    study.limit_trials(Some(1));
    let simulation = Simulator::new(2).run(&mut study, 100.0, |_, _| Err("no".to_owned())).unwrap();
    assert_eq!((simulation.seconds, study.trials()[0].status), (0.0, Status::Failed));
}
