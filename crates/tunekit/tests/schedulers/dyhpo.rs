//! DyHPO: a model of curves chooses whom to let go on.

use serde_json::{Value as Json, json};
use tunekit::scheduler::SchedulerSpec;
use tunekit::searcher::Stream;
use tunekit::tuner::Simulator;
use tunekit::{
    Assignment, Config, Decision, Domain, Metric, Outcome, SchedulerKind, SearcherKind, Setup, Space, Study,
};

/// The resource of a full run, and of one level.
const FULL: u64 = 9;
const LEVEL: u64 = 3;

fn spec(options: &Json) -> SchedulerSpec {
    SchedulerSpec::from_json("dyhpo", options.as_object().unwrap()).unwrap()
}

fn setup(seed: u64) -> Setup {
    let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
    let setup = Setup::new(space, Metric::minimize("loss").deterministic()).max_resource(FULL).seed(seed);
    setup.searcher(SearcherKind::Random).scheduler(spec(&json!({"interval": LEVEL})))
}

/// Curves that cross: the larger x, the more slowly a trial learns; the best at the end are near 0.6.
fn loss(x: f64, step: u64) -> f64 {
    let end = 0.1 + (x - 0.6).powi(2);
    end + (1.0 - end) / (1.0 + step as f64 / (0.3 + 2.0 * x))
}

/// The distance of a full run of the recommended configuration from the best possible one, by its logarithm, after so
/// much of the resource.
fn regret(setup: Setup, resource: u64) -> f64 {
    let mut study = Study::new(setup).unwrap();
    let measure = |job: &Assignment, step| Ok((loss(job.config.float("x").unwrap(), step), 1.0));
    Simulator::new(1).run(&mut study, resource as f64, measure).unwrap();
    let least = (0..=1000).map(|i| loss(f64::from(i) / 1000.0, FULL)).fold(f64::INFINITY, f64::min);
    let own = study.best().map_or(1.0, |best| loss(best.config.float("x").unwrap(), FULL));
    (own - least).max(1e-9).log10()
}

#[test]
fn it_comes_as_far_as_full_runs_with_a_share_of_the_resource() {
    let full = 20 * FULL;
    let seeds = 0..20;
    let mean = |regret: &dyn Fn(u64) -> f64| seeds.clone().map(regret).sum::<f64>() / 20.0;
    let plain = mean(&|seed| regret(setup(seed).scheduler(SchedulerKind::Fifo), full));
    let own = mean(&|seed| regret(setup(seed), full * 3 / 10));
    println!("misses 10^{own:.2} with 0.3 of the resource, full runs 10^{plain:.2}");
    // Measured: 10^-3.78 and 10^-3.85.
    assert!(own < plain + 0.4, "10^{own} against 10^{plain}");
}

#[test]
fn a_replay_asks_and_answers_the_same_and_nobody_runs_past_the_end() {
    for seed in 0..2 {
        let mut study = Study::new(setup(seed)).unwrap();
        let mut events = study.take_events();
        let mut lot = Stream::of_study(seed, "lot");
        let mut running: Vec<Assignment> = Vec::new();
        for _ in 0..40 {
            if running.len() < 3 {
                let mut cold = Study::replay(events.clone()).unwrap();
                let next = study.ask().unwrap().assignment().expect("a trial");
                assert_eq!(cold.ask().unwrap().assignment(), Some(next.clone()), "seed {seed}");
                assert!(next.resource <= Some(FULL));
                // It goes on from the state that it had when it paused, which is kept.
                assert_eq!(next.from.is_some(), next.resumed);
                assert!(next.from.is_none_or(|from| study.checkpoints().contains(&from)));
                running.push(next);
            } else {
                let job = running.remove(lot.below(3));
                match lot.below(8) {
                    0 => study.interrupt(job.trial).unwrap(),
                    1 => study.tell(job.trial, Outcome::Failed("no".to_owned())).unwrap(),
                    _ => {
                        let at = job.resource.unwrap();
                        let decision = study.report(job.trial, at, loss(job.config.float("x").unwrap(), at)).unwrap();
                        assert_eq!(decision, if at == FULL { Decision::Stop } else { Decision::Pause });
                        if decision == Decision::Stop {
                            study.tell(job.trial, Outcome::Done).unwrap();
                        }
                    }
                }
            }
            events.extend(study.take_events());
        }
        assert!(study.trials().iter().all(|trial| trial.last_step().unwrap_or(0) <= FULL));
    }
}

fn step(study: &mut Study, value: impl Fn(&Assignment) -> f64) -> Assignment {
    let job = study.ask().unwrap().assignment().unwrap();
    let decision = study.report(job.trial, job.resource.unwrap(), value(&job)).unwrap();
    let ends = job.resource == Some(FULL);
    assert_eq!(decision, if ends { Decision::Stop } else { Decision::Pause }, "{job:?}");
    if ends {
        study.tell(job.trial, Outcome::Done).unwrap();
    }
    job
}

#[test]
fn the_trials_that_promise_most_go_on_to_their_end_and_most_others_stay_paused() {
    let mut study = Study::new(setup(1)).unwrap();
    let x = |config: &Config| config.float("x").unwrap();
    let order: Vec<u64> = (0..24)
        .map(|_| step(&mut study, |job| loss(x(&job.config), job.resource.unwrap())).resource.unwrap())
        .collect();
    let at = |resource| -> Vec<f64> {
        let ends = study.trials().iter().filter(|trial| trial.last_step() == Some(resource));
        ends.map(|trial| loss(x(&trial.config), FULL)).collect()
    };
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (left, ended) = (at(LEVEL), at(FULL));
    println!("{order:?}");
    assert!(!ended.is_empty() && left.len() > ended.len(), "{} left, {} ended", left.len(), ended.len());
    assert!(mean(&ended) < mean(&left), "{ended:?} against {left:?}");
}

#[test]
fn an_interval_makes_the_levels() {
    let mut study = Study::new(setup(1).scheduler(spec(&json!({"interval": 4})))).unwrap();
    study.limit_trials(Some(1));
    let mut reached = Vec::new();
    for _ in 0..3 {
        reached.push(step(&mut study, |job| -(job.resource.unwrap() as f64)).resource.unwrap());
    }
    assert_eq!(reached, [4, 8, FULL]);
    let line = study.take_events()[0].to_line();
    assert!(line.contains(r#""searcher":"dyhpo","scheduler":"dyhpo","scheduler_options":{"interval":4,"#), "{line}");
    let long = |options: Json| Study::new(setup(1).max_resource(2000).scheduler(spec(&options)));
    assert!(long(json!({"interval": 1})).unwrap_err().to_string().contains("more than 1000 levels"));
    assert_eq!(long(json!({})).unwrap().plan().unwrap().brackets[0].rungs[0].resource, 200);
}

#[test]
fn paused_trials_go_on_where_no_new_one_may_start() {
    let mut study = Study::new(setup(1)).unwrap();
    study.limit_trials(Some(3));
    // Too few for a model at first.
    let mut reports = 0;
    while let Some(job) = study.ask().unwrap().assignment() {
        let at = job.resource.unwrap();
        if study.report(job.trial, at, loss(job.config.float("x").unwrap(), at)).unwrap() == Decision::Stop {
            study.tell(job.trial, Outcome::Done).unwrap();
        }
        reports += 1;
    }
    assert_eq!((study.trials().len(), reports), (3, 9), "all are run to their end before nothing is left");
}

#[test]
fn replicates_are_measured_where_an_improvement_is_likely() {
    let setup = Setup { metric: Metric::minimize("loss").replicated(), ..setup(3) };
    let mut study = Study::new(setup).unwrap();
    let mut noise = Stream::of_study(3, "noise");
    for _ in 0..20 {
        let job = study.ask().unwrap().assignment().unwrap();
        let at = job.resource.unwrap();
        let value = loss(job.config.float("x").unwrap(), FULL) + 0.05 * noise.normal();
        if study.report(job.trial, at, value).unwrap() == Decision::Stop {
            study.tell(job.trial, Outcome::Done).unwrap();
        }
    }
    let (tried, again) = (study.trials().len(), study.trials().iter().filter(|t| t.measurements.len() > 1).count());
    println!("{again} of {tried} were measured again");
    assert!(tried > 4, "{again} of {tried} were measured again");
}
