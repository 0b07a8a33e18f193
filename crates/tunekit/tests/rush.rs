//! RUSH: promotion above the best configurations of earlier studies, by hand and against promotion without them.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of tests fails its test, and figures are shown")]

use serde_json::json;
use tunekit::results::compare::mean_interval;
use tunekit::scheduler::SchedulerSpec;
use tunekit::searcher::Stream;
use tunekit::tuner::Simulator;
use tunekit::{
    Assignment, Config, Decision, Domain, Metric, Outcome, SchedulerKind, SearcherKind, Setup, Space, Study, Trial,
    TrialId,
};

fn space() -> Space {
    Space::new()
        .with("x", Domain::float(0.0, 1.0).unwrap())
        .unwrap()
        .with("y", Domain::float(0.0, 1.0).unwrap())
        .unwrap()
}

fn at(x: f64, y: f64) -> Config {
    Config::new().with("x", x).with("y", y)
}

/// A study with two configurations of earlier ones.
fn rush(options: &serde_json::Value) -> Study {
    let spec = SchedulerSpec::from_json("rush", options.as_object().unwrap()).unwrap();
    let setup = Setup::new(space(), Metric::minimize("loss")).searcher(SearcherKind::Random).seed(3);
    Study::new(setup.scheduler(spec).max_resource(9).point(at(0.1, 0.1)).point(at(0.2, 0.2))).unwrap()
}

fn job(study: &mut Study) -> Assignment {
    study.ask().unwrap().assignment().expect("a trial")
}

/// Starts a trial for each of these losses, and reports that at the first rung.
fn begun(study: &mut Study, losses: &[f64]) {
    for loss in losses {
        let next = job(study);
        assert!(!next.resumed, "{next:?}");
        assert_eq!(study.report(next.trial, 1, *loss), Ok(Decision::Pause));
    }
}

#[test]
fn who_is_worse_than_an_old_one_does_not_go_on() {
    let mut study = rush(&json!({}));
    begun(&mut study, &[1.0, 5.0, 2.0]);
    assert_eq!((job(&mut study).trial, study.trials().len()), (TrialId(0), 3), "the better old one");
    begun(&mut study, &[0.5, 3.0, 4.0]);
    assert_eq!(job(&mut study).trial, TrialId(3), "a new one that beats the old ones");
    // A third of nine may go on, and the third best is new and worse than the better old one.
    begun(&mut study, &[2.5, 2.6, 2.7]);
    let next = job(&mut study);
    assert_eq!((next.trial, next.resumed), (TrialId(9), false));
    // With promotion by rank alone it goes on, and where only the worse old one counts, too.
    for options in [json!({"candidates": 1}), json!({"candidates": 0})] {
        let mut study = rush(&options);
        begun(&mut study, &[5.0, 1.0, 2.0]);
        assert_eq!(job(&mut study).trial, TrialId(1));
        begun(&mut study, &[0.5, 3.0, 4.0]);
        assert_eq!(job(&mut study).trial, TrialId(3));
        begun(&mut study, &[2.5, 2.6, 2.7]);
        assert_eq!(job(&mut study).resumed, options == json!({"candidates": 1}), "{options}");
    }
}

#[test]
fn an_old_one_that_failed_holds_nobody_up() {
    let mut study = rush(&json!({"candidates": 1}));
    let first = job(&mut study);
    study.tell(first.trial, Outcome::Failed("no".to_owned())).unwrap();
    begun(&mut study, &[3.0, 2.0]);
    let next = job(&mut study);
    assert_eq!((next.trial, next.resumed), (TrialId(2), true));
    let events = study.take_events();
    assert!(Study::verify(events, None).is_ok());
}

/// Distance of a configuration from the best place of this seed's task, which is close to that of earlier ones.
fn regret(config: &Config, seed: u64) -> f64 {
    let angle = seed as f64;
    let best = [0.62 + 0.08 * angle.cos(), 0.29 + 0.08 * angle.sin()];
    (config.float("x").unwrap() - best[0]).powi(2) + (config.float("y").unwrap() - best[1]).powi(2)
}

/// The resource that 120 trials take, and the regret of the answer.
fn simulated(kind: SchedulerKind, seed: u64) -> (f64, f64) {
    let setup = Setup::new(space(), Metric::minimize("loss")).searcher(SearcherKind::Random).seed(seed);
    let setup = setup.scheduler(kind).max_resource(27).point(at(0.62, 0.29)).point(at(0.5, 0.45));
    let mut study = Study::new(setup).unwrap();
    study.limit_trials(Some(120));
    let simulation = Simulator::new(4).run(&mut study, f64::INFINITY, |job, step| {
        let mut noise = Stream::keyed(seed, TrialId(job.trial.0 << 8 | step), "noise");
        Ok((regret(&job.config, seed) + 0.002 * noise.normal() + 0.3 / step as f64, 1.0))
    });
    // The answer has the lowest value of the trials that came furthest, which need not be the end.
    let furthest = study.trials().iter().filter_map(Trial::last_step).max();
    let value = |trial: &&Trial| trial.measurements.last().map_or(f64::INFINITY, |m| m.value);
    let answers = study.trials().iter().filter(|trial| trial.last_step() == furthest);
    let answer = answers.min_by(|a, b| value(a).total_cmp(&value(b))).unwrap();
    let best = regret(&answer.config, seed);
    (simulation.unwrap().reports as f64, best)
}

#[test]
fn rush_finds_as_much_with_less_of_the_resource() {
    let (mut saved, mut lost) = (Vec::new(), Vec::new());
    for seed in 3000..3020 {
        let (own, found) = simulated(SchedulerKind::Rush, seed);
        let (plain, other) = simulated(SchedulerKind::AshaPromotion, seed);
        saved.push(own / plain);
        lost.push(found - other);
    }
    let [low, high] = mean_interval(&saved, 0.95).unwrap();
    println!(
        "rush takes [{low:.3}, {high:.3}] of the resource; the regret is larger by {:?}",
        mean_interval(&lost, 0.95)
    );
    assert!(high < 0.8, "at most {high} of the resource");
    let [_, worse] = mean_interval(&lost, 0.95).unwrap();
    assert!(worse < 2e-3, "the regret is larger by {worse} at most");
}
