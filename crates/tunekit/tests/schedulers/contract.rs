//! Every kind of `Scheduler` passes the suite of its contract on random schedules; and cases computed by hand.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tunekit::journal::Event;
use tunekit::scheduler::conformance::{self, Step, assert_scheduler};
use tunekit::scheduler::{MedianOptions, PbtOptions, RacingOptions, Scheduler, SchedulerSpec};
use tunekit::searcher::{Searcher, Stream};
use tunekit::study::ValueRule;
use tunekit::tuner::Simulator;
use tunekit::{
    Ask, Assignment, Config, Decision, Domain, Measured, Metric, Outcome, SchedulerKind, SearcherKind, Setup, Space,
    Status, Study, TrialId,
};

fn setup(kind: SchedulerKind, max: u64, eta: u64) -> Setup {
    let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
    let options = match kind {
        SchedulerKind::Fifo | SchedulerKind::Pbt | SchedulerKind::Racing => json!({}),
        SchedulerKind::Dyhpo => json!({"interval": max.div_ceil(3)}),
        SchedulerKind::Median => json!({"eta": eta, "within": "asha_promotion"}),
        _ => json!({"eta": eta}),
    };
    Setup::new(space, Metric::minimize("loss"))
        .searcher(SearcherKind::Random)
        .scheduler(spec(kind, &options))
        .max_resource(max)
}

fn spec(kind: SchedulerKind, options: &Json) -> SchedulerSpec {
    SchedulerSpec::from_json(kind.as_str(), options.as_object().unwrap()).unwrap()
}

fn job(study: &mut Study) -> Assignment {
    study.ask().unwrap().assignment().expect("a trial")
}

/// The searcher that a setup's scheduler brings, or draws; and the scheduler.
fn deciders(setup: &Setup) -> (Box<dyn Searcher>, Box<dyn Scheduler>) {
    let searcher = setup.scheduler.build_searcher().unwrap_or_else(|| SearcherKind::Random.build());
    (searcher, setup.scheduler.build(setup.max_resource).unwrap())
}

/// Checks the contract at each step, that nobody is idle, and that no more trials are promoted than planned.
fn drive(kind: SchedulerKind, max: u64, eta: u64, steps: &[Step]) {
    let setup = setup(kind, max, eta);
    let events = conformance::assert_schedule_with(max, || deciders(&setup), steps);
    if !MODELLED.contains(&kind) {
        conformance::workers_are_never_idle(max, || deciders(&setup).1, steps);
    }
    if !matches!(kind, SchedulerKind::Pbt | SchedulerKind::Racing | SchedulerKind::Dyhpo) {
        quotas(kind, eta, &events);
    }
}

/// The visible side of promotions: the bracket of each trial, which is the resource that it began with; and by bracket
/// and resource the trials that arrived and those that went on.
fn quotas(kind: SchedulerKind, eta: u64, events: &[Event]) {
    let mut due: BTreeMap<TrialId, (u64, Option<u64>)> = BTreeMap::new();
    let mut last: BTreeMap<TrialId, u64> = BTreeMap::new();
    let mut arrived: BTreeMap<(u64, u64), BTreeSet<TrialId>> = BTreeMap::new();
    let mut promoted: BTreeMap<(u64, u64), BTreeSet<TrialId>> = BTreeMap::new();
    for (i, event) in events.iter().enumerate() {
        match event {
            Event::Ask { trial, resource, resumed: true, attempt: 1, .. } => {
                let bracket = due[trial].0;
                due.insert(*trial, (bracket, *resource));
                let from = (bracket, last[trial]);
                let gone = promoted.entry(from).or_default();
                gone.insert(*trial);
                // As many of a planned round as planned, a failed trial's place included; else one in eta of those
                // there.
                let begun = due.values().filter(|(b, _)| *b == bracket).count() as u64;
                let plan = Study::replay(events[..=i].to_vec()).unwrap().plan().unwrap();
                let rungs = &plan.brackets.iter().find(|b| b.rungs[0].resource == bracket).unwrap().rungs;
                let next = rungs.iter().find(|r| r.resource == resource.unwrap()).unwrap();
                let quota = match (next.quota, rungs[0].quota) {
                    (Some(quota), Some(first)) => begun.div_ceil(first) * quota,
                    _ => arrived[&from].len() as u64 / eta,
                };
                assert!(gone.len() as u64 <= quota, "{kind} beyond its quota");
            }
            Event::Ask { trial, resource, .. } => {
                due.entry(*trial).or_insert((resource.unwrap_or(0), None)).1 = *resource;
            }
            Event::Report { trial, step, decision, .. } => {
                last.insert(*trial, *step);
                if *decision == Decision::Pause {
                    arrived.entry((due[trial].0, *step)).or_default().insert(*trial);
                }
            }
            Event::Tell { trial, .. } => {
                let (bracket, resource) = due[trial];
                arrived.entry((bracket, resource.unwrap_or(u64::MAX))).or_default().insert(*trial);
            }
            _ => {}
        }
    }
}

fn schedules() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Ask),
        10 => (0..8_usize, 1..3_u64, 0..6_u8)
            .prop_map(|(running, steps, v)| Step::Report { running, steps, value: f64::from(v) }),
        1 => (0..8_usize).prop_map(Step::NotANumber),
        1 => (0..8_usize).prop_map(Step::Fail),
        1 => (0..8_usize).prop_map(Step::Lose),
        1 => (0..8_usize).prop_map(Step::Tell),
        1 => (0..8_usize).prop_map(Step::CutOff),
    ];
    prop::collection::vec(step, 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_contract_holds_on_any_schedule(steps in schedules()) {
        for kind in without_models() {
            drive(kind, 9, 3, &steps);
            drive(kind, 5, 2, &steps);
        }
    }
}

proptest! {
    // A replay at each step fits its model anew.
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 3, ..ProptestConfig::default() })]

    #[test]
    fn the_contract_holds_where_models_decide(steps in schedules()) {
        for kind in MODELLED {
            drive(kind, 9, 3, &steps);
        }
    }
}

#[test]
fn every_kind_passes_the_suite() {
    for kind in SchedulerKind::ALL {
        for (max, eta) in [(9, 3), (1, 2)] {
            if kind == SchedulerKind::Racing && max < 3 {
                // It takes three replicates before it judges.
                continue;
            }
            let setup = setup(kind, max, eta);
            assert_scheduler(11, max, || deciders(&setup).1);
        }
    }
}

/// Those that bring a model along.
const MODELLED: [SchedulerKind; 3] = [SchedulerKind::Mobster, SchedulerKind::HyperTune, SchedulerKind::Dyhpo];

/// Those of them that promote in brackets; `dyhpo` has tests of its own.
const IN_BRACKETS: [SchedulerKind; 2] = [SchedulerKind::Mobster, SchedulerKind::HyperTune];

fn without_models() -> impl Iterator<Item = SchedulerKind> {
    SchedulerKind::ALL.into_iter().filter(|kind| !MODELLED.contains(kind))
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
    // The best of one, of three and of four goes on, the best two of six; a tie loses.
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
fn replicates_are_compared_by_their_means_so_far() {
    let decision = |metric: Metric| {
        let mut study = Study::new(Setup { metric, ..setup(SchedulerKind::Asha, 9, 3) }).unwrap();
        let mut last = Decision::Stop;
        // The second one's third report is the worse, and its mean the better.
        for reports in [[1.0, 9.0, 2.0], [0.5, 0.5, 3.0]] {
            let job = job(&mut study);
            last = (1..).zip(reports).map(|(step, v)| study.report(job.trial, step, v).unwrap()).last().unwrap();
        }
        last
    };
    assert_eq!(decision(Metric::minimize("loss").replicated()), Decision::Continue);
    assert_eq!(decision(Metric::minimize("loss")), Decision::Stop);
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
fn who_is_not_promoted_from_a_full_rung_needs_no_checkpoint() {
    let mut study = Study::new(setup(SchedulerKind::Hyperband, 9, 3)).unwrap();
    for i in 1..=9 {
        let job = job(&mut study);
        assert_eq!(study.report(job.trial, 1, -(i as f64)).unwrap(), Decision::Pause);
        // As long as the rung is not full everybody may be among the best three.
        let kept: Vec<u64> = study.checkpoints().iter().map(|c| c.trial.0).collect();
        assert_eq!(kept, if i < 9 { (0..i).collect::<Vec<_>>() } else { vec![6, 7, 8] });
    }
}

#[test]
fn the_median_rule_stops_what_is_worse_than_half_of_the_others() {
    let median = spec(SchedulerKind::Median, &json!({"population": 3}));
    let setup = setup(SchedulerKind::Median, 9, 3).scheduler(median);
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
    // Others are at 1, 2 and 3: one may be better, two not.
    assert_eq!(report(&[2.0]), Some(Decision::Continue));
    assert_eq!(report(&[3.5]), Some(Decision::Stop));
    // Means count: the second report makes up for the first.
    assert_eq!(report(&[2.0, 4.0]), Some(Decision::Stop));
}

#[test]
fn a_percentile_stops_what_is_worse_than_that_share_of_the_others() {
    use Decision::{Continue, Stop};
    let last = |share: f64, losses: [f64; 2]| {
        let median = spec(SchedulerKind::Median, &json!({"population": 5, "share": share}));
        let mut study = Study::new(setup(SchedulerKind::Median, 9, 3).scheduler(median)).unwrap();
        let mut report = |loss: f64| {
            let job = job(&mut study);
            study.report(job.trial, 1, loss).unwrap()
        };
        // Best last, so that none of the five is stopped, and each is among those compared with.
        for loss in [5.0, 4.0, 3.0, 2.0, 1.0] {
            assert_eq!(report(loss), Continue);
        }
        // The first is the sixth that the second one is compared with.
        losses.map(&mut report)
    };
    // A fifth of five others is one: one may be better, two not.
    assert_eq!(last(0.2, [1.5, 2.5]), [Continue, Stop]);
    // Four fifths of five are four, and of six too, of which five are better than the last.
    assert_eq!(last(0.8, [4.5, 4.7]), [Continue, Stop]);
}

#[test]
fn a_percentile_around_a_scheduler_with_a_searcher_has_that_searcher() {
    let median = spec(SchedulerKind::Median, &json!({"within": "bohb", "population": 2}));
    assert!(median.has_searcher());
    let mut study = Study::new(setup(SchedulerKind::Median, 9, 3).scheduler(median)).unwrap();
    assert_eq!((study.header().searcher.as_str(), study.header().scheduler.name()), ("bohb", "median"));
    let mut bohb = Study::new(setup(SchedulerKind::Bohb, 9, 3)).unwrap();
    let mut decisions = BTreeSet::new();
    for i in 0..40 {
        // As long as nothing is stopped between rungs the two are one.
        let (wrapped, alone) = (job(&mut study), job(&mut bohb));
        assert_eq!(wrapped, alone, "{i}");
        let (end, loss) = (wrapped.resource.unwrap(), wrapped.config.float("x").unwrap());
        let decision = study.report(wrapped.trial, end, loss).unwrap();
        assert_eq!(decision, bohb.report(alone.trial, end, loss).unwrap());
        if decision == Decision::Stop {
            study.tell(wrapped.trial, Outcome::Done).unwrap();
            bohb.tell(alone.trial, Outcome::Done).unwrap();
        }
        decisions.insert(format!("{decision:?}"));
    }
    assert_eq!(decisions.len(), 2);
    // Between rungs the rule stops trials that are behind; a replay finds both.
    let slow = (0..20).map(|_| job(&mut study)).find(|job| job.resource.unwrap() > 1).unwrap();
    let step = study.trial(slow.trial).unwrap().last_step().unwrap_or(0) + 1;
    let mut again = Study::replay(study.take_events()).unwrap();
    assert_eq!(study.report(slow.trial, step, 1e9).unwrap(), Decision::Stop);
    assert_eq!(again.report(slow.trial, step, 1e9).unwrap(), Decision::Stop);
    assert_eq!(again.ask().unwrap(), study.ask().unwrap());
}

/// Costs of four trials and how many go on, with eta = 2: hand-computed in `Costs`, seen through a study.
#[test]
fn promotion_by_cost_lets_a_dear_trial_take_the_place_of_cheap_ones() {
    for kind in [SchedulerKind::AshaPromotion, SchedulerKind::HyperbandAsync] {
        let options =
            if kind == SchedulerKind::AshaPromotion { json!({"eta": 2}) } else { json!({"eta": 2, "brackets": 1}) };
        let promoted = |costs: [Option<f64>; 4], cost_aware: bool| {
            let setup = setup(kind, 4, 2).scheduler(spec(kind, &options));
            let mut study = Study::new(Setup { cost_aware, ..setup }).unwrap();
            let open: Vec<Assignment> = (0..4).map(|_| job(&mut study)).collect();
            for (job, cost) in open.iter().zip(costs) {
                let measured = Measured { cost, ..Measured::new(job.trial.0 as f64) };
                assert_eq!(study.report(job.trial, 1, measured).unwrap(), Decision::Pause);
            }
            let mut cold = Study::replay(study.take_events()).unwrap();
            let next: Vec<Assignment> = (0..3).map(|_| job(&mut study)).collect();
            assert_eq!(next, (0..3).map(|_| job(&mut cold)).collect::<Vec<_>>());
            next.into_iter().filter(|job| job.resumed).map(|job| job.trial.0).collect::<Vec<_>>()
        };
        let some = |costs: [f64; 4]| costs.map(Some);
        // At most 6 of 12: 1 + 2 + 3; 5, and not 5 + 4; none.
        assert_eq!(promoted(some([1.0, 2.0, 3.0, 6.0]), true), [0, 1, 2]);
        assert_eq!(promoted(some([5.0, 4.0, 2.0, 1.0]), true), [0]);
        assert_eq!(promoted(some([8.0, 2.0, 1.0, 1.0]), true), Vec::<u64>::new());
        // The ordinary rule: costs that are the same, or not known, or not heeded.
        assert_eq!(promoted(some([0.1; 4]), true), [0, 1]);
        assert_eq!(promoted([None; 4], true), [0, 1]);
        assert_eq!(promoted(some([1.0, 2.0, 3.0, 6.0]), false), [0, 1]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// For any costs, the trials that go on from a rung cost at most one in eta of all trials there, and are among the
    /// best that cost so little.
    #[test]
    fn promotion_by_cost_keeps_within_its_share(runs in prop::collection::vec((0..9_u8, 1..50_u16), 1..80), eta in 2..4_u64) {
        let mut study = Study::new(setup(SchedulerKind::AshaPromotion, 9, eta).cost_aware()).unwrap();
        // By resource: losses and costs of the trials that reached it, and those that went on.
        let mut arrived: BTreeMap<u64, BTreeMap<TrialId, (u8, f64)>> = BTreeMap::new();
        let mut promoted: BTreeMap<u64, BTreeSet<TrialId>> = BTreeMap::new();
        for (loss, cost) in runs {
            let job = job(&mut study);
            if let Some(from) = job.from {
                let rung = &arrived[&from.resource];
                let total: f64 = rung.values().map(|(_, cost)| cost).sum();
                let gone = promoted.entry(from.resource).or_default();
                gone.insert(job.trial);
                let spent: f64 = gone.iter().map(|t| rung[t].1).sum();
                prop_assert!(spent * eta as f64 <= total * (1.0 + 1e-9));
                let own = rung[&job.trial];
                let ahead = rung.iter().filter(|(t, r)| (r.0, **t) <= (own.0, job.trial)).map(|(_, r)| r.1).sum::<f64>();
                prop_assert!(ahead * eta as f64 <= total * (1.0 + 1e-9));
            }
            let before = study.trial(job.trial).unwrap().cost().unwrap_or(0.0);
            let (cost, end) = (before + f64::from(cost), job.resource.unwrap());
            let decision = study.report(job.trial, end, Measured::new(f64::from(loss)).cost(cost)).unwrap();
            arrived.entry(end).or_default().insert(job.trial, (loss, cost));
            if decision == Decision::Stop {
                study.tell(job.trial, Outcome::Done).unwrap();
            }
        }
    }
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

#[test]
fn median_around_racing_stops_who_is_behind_and_spares_who_leads() {
    // With so much noise a race that hardly ever drops anybody measures nearly every challenger to the end.
    let run = |kind: SchedulerKind, seed: u64| {
        let options = match kind {
            SchedulerKind::Racing => json!({"drop": 1e-9}),
            _ => json!({"drop": 1e-9, "within": "racing", "population": 4}),
        };
        let setup = setup(kind, 6, 3).scheduler(spec(kind, &options)).seed(seed);
        let mut study = Study::new(Setup { metric: Metric::minimize("m"), ..setup }).unwrap();
        let mut events = study.take_events();
        let mut noise = Stream::of_study(seed, "noise");
        for _ in 0..90 {
            let mut cold = Study::replay(events.clone()).unwrap();
            let job = study.ask().unwrap().assignment().unwrap();
            assert_eq!(cold.ask().unwrap().assignment().unwrap(), job);
            let value = job.config.float("x").unwrap() + 0.5 * noise.normal();
            if study.report(job.trial, job.resource.unwrap(), value).unwrap() == Decision::Stop {
                study.tell(job.trial, Outcome::Done).unwrap();
            }
            events.extend(study.take_events());
        }
        study
    };
    let mut tried = [0, 0];
    for seed in 0..10 {
        let (alone, wrapped) = (run(SchedulerKind::Racing, seed), run(SchedulerKind::Median, seed));
        // All of the race's advice goes through: replicates, their number, the leader and the plan.
        assert_eq!(wrapped.header().metric.value, ValueRule::Mean);
        assert!(wrapped.plan().is_some());
        assert_eq!(wrapped.plan(), alone.plan());
        let best = wrapped.best().unwrap();
        assert!(best.n >= 3, "{best:?}");
        assert_eq!(wrapped.trial(best.trial).unwrap().status, Status::Paused, "the leader is measured on");
        tried[0] += alone.trials().len();
        tried[1] += wrapped.trials().len();
    }
    // Less is spent on each, so more are tried.
    assert!(tried[1] > tried[0], "{tried:?}");
}

#[test]
fn best_compares_what_came_equally_far() {
    for kind in [SchedulerKind::AshaPromotion, SchedulerKind::Dehb] {
        let mut study = Study::new(setup(kind, 3, 3)).unwrap();
        for value in [0.5, 0.6, 0.7] {
            let job = job(&mut study);
            assert_eq!(study.report(job.trial, 1, value).unwrap(), Decision::Pause);
        }
        assert_eq!(study.best().unwrap().trial, TrialId(0));
        // The best of the first rung gets worse, as an overfitted model does; the others are not known there.
        let job = job(&mut study);
        assert_eq!((job.trial, job.resource), (TrialId(0), Some(3)));
        study.report(job.trial, 3, 1.2).unwrap();
        study.tell(job.trial, Outcome::Done).unwrap();
        let best = study.best().unwrap();
        assert_eq!((best.trial, best.value), (TrialId(0), 1.2), "{kind}");
    }
}

#[test]
fn nobody_is_told_to_continue_at_the_maximal_resource() {
    for within in ["fifo", "asha_promotion"] {
        for kind in SchedulerKind::ALL {
            let options = if kind == SchedulerKind::Median { json!({"within": within}) } else { json!({}) };
            let mut study = Study::new(setup(kind, 9, 3).scheduler(spec(kind, &options))).unwrap();
            let job = job(&mut study);
            let decision = study.report(job.trial, 9, 1.0).unwrap();
            assert_ne!(decision, Decision::Continue, "{kind} within {within}");
        }
    }
}

#[test]
fn options_out_of_their_bounds_are_refused() {
    let refused = |scheduler: SchedulerSpec| {
        Study::new(setup(SchedulerKind::Fifo, 9, 3).scheduler(scheduler)).unwrap_err().to_string()
    };
    for (kind, options, bound) in [
        (SchedulerKind::Asha, json!({"eta": 1}), "at least 2"),
        (SchedulerKind::Median, json!({"share": 1.0}), "below 1"),
        (SchedulerKind::HyperbandAsync, json!({"brackets": 4}), "3 brackets"),
        (SchedulerKind::Pbt, json!({"members": 1}), "at least 2"),
        (SchedulerKind::Pbt, json!({"interval": 10}), "at most max_resource, which is 9"),
        (SchedulerKind::Pbt, json!({"quantile": 0.6}), "at most 0.5"),
        (SchedulerKind::Dyhpo, json!({"interval": 10}), "at most max_resource, which is 9"),
        (SchedulerKind::Racing, json!({"replicates": 0}), "between 1 and max_resource, which is 9"),
        (SchedulerKind::Racing, json!({"replicates": 10}), "between 1 and max_resource, which is 9"),
    ] {
        let says = refused(spec(kind, &options));
        assert!(says.contains(bound), "{says}");
    }
    let quantile = PbtOptions { quantile: f64::NAN, ..PbtOptions::default() };
    assert!(refused(SchedulerSpec::Pbt(quantile)).contains("at most 0.5"));
    for (drop, accept) in [(0.0, 0.9), (0.5, 0.5), (0.1, 1.0), (f64::NAN, 0.9)] {
        let options = RacingOptions { drop, accept, ..RacingOptions::default() };
        assert!(refused(SchedulerSpec::Racing(options)).contains("smaller"));
    }
    let around = |within: SchedulerSpec| {
        SchedulerSpec::Median(MedianOptions { within: Box::new(within), ..MedianOptions::default() })
    };
    assert!(refused(around(SchedulerKind::Median.into())).contains("cannot wrap `median`"));
    let late = spec(SchedulerKind::Asha, &json!({"grace": 2}));
    assert!(refused(around(late)).contains("make them equal"));
    assert!(refused(SchedulerSpec::Own { name: "mine".to_owned() }).contains("Study::with"));
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
        let end = if MODELLED.contains(&kind) { 4.0 } else { 300.0 };
        let run = || {
            let mut study = Study::new(setup(kind, 27, 3).seed(5)).unwrap();
            let simulator = Simulator::new(64).start_seconds(0.5).stop_seconds(0.25);
            let simulation = simulator.run(&mut study, end, curve).unwrap();
            (simulation, study.take_events())
        };
        let ((simulation, events), again) = (run(), run());
        assert_eq!((&simulation, &events), (&again.0, &again.1), "{kind}");
        assert_eq!(simulation.idle_seconds, 0.0, "{kind}");
        assert!(simulation.reports as f64 > 16.0 * end, "{kind}: {}", simulation.reports);
    }
}

/// Where curves cross: a slow learner ends lower, so that the ranks of early reports mislead.
fn crossing(x: f64, y: f64, step: u64) -> f64 {
    let end = 0.1 + (x - 0.7).powi(2) + (y - 0.4).powi(2);
    end + (1.0 - end) / (1.0 + step as f64 / (0.3 + 4.0 * x))
}

/// Distance of a full run of the recommended configuration above the best possible one, by its logarithm.
fn crossing_regret(kind: SchedulerKind, seed: u64) -> f64 {
    let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
    let space = space.with("y", Domain::float(0.0, 1.0).unwrap()).unwrap();
    let mut study = Study::new(Setup { space, ..setup(kind, 27, 3) }.seed(seed)).unwrap();
    let at = |config: &Config| (config.float("x").unwrap(), config.float("y").unwrap());
    let objective = |job: &Assignment, step| {
        let (x, y) = at(&job.config);
        Ok((crossing(x, y, step), 1.0))
    };
    Simulator::new(4).run(&mut study, 90.0, objective).unwrap();
    let (x, y) = at(&study.best().unwrap().config);
    let least = (0..1000).map(|i| crossing(f64::from(i) / 1000.0, 0.4, 27)).fold(f64::INFINITY, f64::min);
    (crossing(x, y, 27) - least).max(1e-9).log10()
}

#[test]
fn a_model_of_curves_needs_fewer_of_them_than_luck() {
    let mean = |kind| (7000..7004).map(|seed| crossing_regret(kind, seed)).sum::<f64>() / 4.0;
    let luck = mean(SchedulerKind::AshaPromotion);
    for kind in IN_BRACKETS {
        let model = mean(kind);
        assert!(model < luck - 0.5, "{kind}: 10^{model} against 10^{luck}");
    }
}

#[test]
fn every_kernel_along_the_resource_makes_a_study_that_replays() {
    for kernel in ["exp-decay", "independent", "cross-validation"] {
        for kind in IN_BRACKETS {
            let setup = setup(kind, 9, 3).scheduler(spec(kind, &json!({"kernel": kernel})));
            let mut study = Study::new(setup).unwrap();
            Simulator::new(3).run(&mut study, 30.0, curve).unwrap();
            let mut again = Study::replay(study.take_events()).unwrap();
            assert_eq!(again.ask().unwrap(), study.ask().unwrap(), "{kind} {kernel}");
            assert!(study.best().unwrap().config.float("x").unwrap() < 0.3, "{kind} {kernel}");
        }
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
    let simulation = Simulator::new(2).run(&mut study, 100.0, |_, _| Err::<(f64, f64), _>("no".to_owned())).unwrap();
    assert_eq!((simulation.seconds, study.trials()[0].status), (0.0, Status::Failed));
}

#[test]
fn a_budget_that_ends_before_a_rung_is_full_still_promotes() {
    for kind in [SchedulerKind::Hyperband, SchedulerKind::Bohb, SchedulerKind::Dehb] {
        let mut study = Study::new(setup(kind, 81, 3)).unwrap();
        let mut events = study.take_events();
        study.limit_trials(Some(30));
        loop {
            let mut cold = Study::replay(events.clone()).unwrap();
            cold.limit_trials(Some(30));
            let next = study.ask().unwrap();
            assert_eq!(cold.ask().unwrap(), next, "{kind}");
            let Some(job) = next.assignment() else { break };
            if study.report(job.trial, job.resource.unwrap(), job.trial.0 as f64).unwrap() == Decision::Stop {
                study.tell(job.trial, Outcome::Done).unwrap();
            }
            events.extend(study.take_events());
        }
        // A third of 30 at the first rung goes on, a third of these, and at least one to the end.
        let at = |resource| study.trials().iter().filter(|t| t.last_step() >= Some(resource)).count();
        assert_eq!([1, 3, 9, 27, 81].map(at), [30, 10, 3, 1, 1], "{kind}");
        assert_eq!(study.trials()[0].last_step(), Some(81), "{kind}: the best goes on");
        assert_eq!(study.best().unwrap().trial, TrialId(0), "{kind}");
    }
}

#[test]
fn a_rung_that_is_not_going_to_be_full_waits_for_those_under_way() {
    let mut study = Study::new(setup(SchedulerKind::Hyperband, 9, 3)).unwrap();
    study.limit_trials(Some(4));
    let open: Vec<Assignment> = (0..4).map(|_| job(&mut study)).collect();
    assert_eq!(study.ask().unwrap(), Ask::Wait);
    for job in &open[..3] {
        assert_eq!(study.report(job.trial, 1, job.trial.0 as f64).unwrap(), Decision::Pause);
        assert_eq!(study.ask().unwrap(), Ask::Wait);
    }
    // The last one is the best.
    assert_eq!(study.report(open[3].trial, 1, -1.0).unwrap(), Decision::Pause);
    let mut cold = Study::replay(study.take_events()).unwrap();
    cold.limit_trials(Some(4));
    let next = job(&mut study);
    assert_eq!((next.trial, next.resource), (TrialId(3), Some(3)));
    assert_eq!(job(&mut cold), next);
    assert_eq!(study.ask().unwrap(), Ask::Wait);
    // A larger budget begins with the next bracket, not with the rest of the closed rung.
    study.limit_trials(None);
    assert_eq!(job(&mut study).resource, Some(3));
}

#[test]
fn a_journal_with_the_options_of_all_schedulers_goes_on_as_the_one_it_names() {
    // As versions wrote it that had one list of options for all schedulers; `asha` never looked at `quantile` and
    // `drop`.
    let header = r#"{"event":"header","schema":3,"space":{"x":{"type":"float","lo":0.0,"hi":1.0}},
        "metric":{"name":"loss","goal":"min","kind":"generic","noise":"learned","value":"last"},"seed":7,
        "searcher":"random","scheduler":"asha","scheduler_options":{"eta":4,"grace":1,"brackets":0,"share":0.5,
        "population":5,"members":8,"interval":0,"quantile":7.0,"within":"fifo","drop":9.0,"accept":0.95,"replicates":3,
        "recheck":20},"max_resource":16}"#;
    let header: Event = serde_json::from_str(header).unwrap();
    let study = Study::replay([header]).unwrap();
    assert_eq!(study.header().scheduler, spec(SchedulerKind::Asha, &json!({"eta": 4})));
    let asked = setup(SchedulerKind::Asha, 16, 4).seed(7).header().unwrap();
    assert_eq!(study.header().difference(&asked), None);
    let other = setup(SchedulerKind::Asha, 16, 3).seed(7).header().unwrap();
    let says = study.header().difference(&other).unwrap().to_string();
    assert_eq!(says, r#"its scheduler is asha {"eta":4,"grace":1,"rungs":[]}, not asha"#);
}

#[test]
fn a_journal_has_the_options_of_the_scheduler_that_works() {
    let twos = spec(SchedulerKind::Asha, &json!({"eta": 2}));
    let given =
        Study::with(setup(SchedulerKind::Fifo, 8, 3), SearcherKind::Random.build(), twos.build(Some(8)).unwrap());
    let mut given = given.unwrap();
    assert_eq!(given.header().scheduler, twos);
    let line = given.take_events()[0].to_line();
    assert!(line.contains(r#""scheduler":"asha","scheduler_options":{"eta":2,"grace":1,"rungs":[]}"#), "{line}");
    let again = Study::replay([serde_json::from_str(&line).unwrap()]).unwrap();
    assert_eq!(again.plan(), given.plan());
    let fours = spec(SchedulerKind::Asha, &json!({"eta": 4})).build(Some(8)).unwrap();
    let other = Study::replay_with([serde_json::from_str(&line).unwrap()], SearcherKind::Random.build(), fours);
    let says = other.unwrap_err().to_string();
    assert!(says.contains(r#"scheduler `asha {"eta":2"#) && says.contains(r#"not `asha {"eta":4"#), "{says}");
}
