//! When the Gaussian process measures a configuration again: near the end of a budget, where noise decides and no
//! parameter is continuous; and never otherwise.

use std::collections::BTreeMap;

use tunekit::searcher::Stream;
use tunekit::{Config, Decision, Domain, Metric, Outcome, SchedulerKind, Setup, Space, Study};

const BUDGET: u64 = 40;

/// Parts and how many at once: integers over wide ranges.
fn grid() -> Space {
    let int = |hi| Domain::int(1, hi).unwrap().log().unwrap();
    Space::new().with("part", int(1 << 20)).unwrap().with("at_once", int(512)).unwrap()
}

/// A bowl in the logarithms with its floor at 8.
fn smooth(config: &Config) -> f64 {
    let (part, at_once) = (config.int("part").unwrap() as f64, config.int("at_once").unwrap() as f64);
    8.0 * (1.0 + (part.ln() - 9.0).powi(2) / 20.0 + (at_once.ln() - 3.5).powi(2) / 5.0)
}

/// The same, rugged by 3 % as parts do not come out even.
fn seconds(config: &Config) -> f64 {
    let (part, at_once) = (config.int("part").unwrap() as f64, config.int("at_once").unwrap() as f64);
    smooth(config) * (1.0 + 0.03 * (part * 0.37 + at_once * 1.7).sin())
}

/// Runs a study to the end of its budget, some trials at once; gives the configurations of all trials, in order.
fn run(setup: Setup, at_once: usize, measure: impl Fn(&Config, &mut Stream) -> f64) -> Vec<Config> {
    let mut stream = Stream::of_study(setup.seed, "noise of a test");
    let mut study = Study::new(setup).unwrap();
    let mut pending = Vec::new();
    while study.trials().len() < BUDGET as usize {
        pending.push(study.ask().unwrap().assignment().unwrap());
        if pending.len() == at_once {
            let job = pending.remove(0);
            study.tell(job.trial, measure(&job.config, &mut stream)).unwrap();
        }
    }
    study.trials().iter().map(|t| t.config.clone()).collect()
}

fn with_noise(config: &Config, stream: &mut Stream) -> f64 {
    seconds(config) * (0.05 * stream.normal()).exp()
}

fn without_noise(config: &Config, _: &mut Stream) -> f64 {
    seconds(config)
}

fn setup(space: Space, metric: Metric, seed: u64) -> Setup {
    Setup::new(space, metric).seed(seed).budget(BUDGET)
}

/// Which trials have the configuration of an earlier one.
fn repeats(configs: &[Config]) -> Vec<usize> {
    let mut seen = BTreeMap::new();
    (0..configs.len()).filter(|i| seen.insert(configs[*i].key(), *i).is_some()).collect()
}

#[test]
fn what_may_be_best_is_measured_again_near_the_end_of_a_budget() {
    for seed in 1000..1006 {
        let configs = run(setup(grid(), Metric::minimize("seconds"), seed), 1, with_noise);
        // Every other trial of the last fifth.
        assert_eq!(repeats(&configs), [33, 35, 37, 39], "seed {seed}");
        for i in repeats(&configs) {
            assert!(seconds(&configs[i]) < 1.25 * 8.0, "seed {seed}: {:?}", configs[i]);
        }
    }
}

#[test]
fn nothing_is_measured_again_where_that_tells_little() {
    let metric = || Metric::minimize("seconds");
    let float = Domain::float(1.0, 512.0).unwrap();
    let half_continuous = grid().with("more", float).unwrap();
    for seed in 1000..1003 {
        let endless = Setup { budget: None, ..setup(grid(), metric(), seed) };
        for (why, setup, measure) in [
            ("no end is known", endless, with_noise as fn(&Config, &mut Stream) -> f64),
            ("there is something right beside it", setup(half_continuous.clone(), metric(), seed), with_noise),
            ("there is said to be no noise", setup(grid(), metric().deterministic(), seed), without_noise),
            ("there is no noise to see", setup(grid(), metric(), seed), |config, _| smooth(config)),
            ("the noise is known", setup(grid(), metric().with_noise(0.4), seed), with_noise),
        ] {
            assert_eq!(repeats(&run(setup, 1, measure)), Vec::<usize>::new(), "seed {seed}: {why}");
        }
    }
}

#[test]
fn what_comes_out_the_same_again_is_measured_no_third_time() {
    // Nobody said that there is no noise, and what is rugged looks like it.
    for seed in 1000..1006 {
        let configs = run(setup(grid(), Metric::minimize("seconds"), seed), 1, without_noise);
        assert!(repeats(&configs).len() <= 1, "seed {seed}: {:?}", repeats(&configs));
    }
}

#[test]
fn workers_do_not_measure_the_same_again_at_once() {
    for seed in 1000..1004 {
        let at_once = 5;
        let configs = run(setup(grid(), Metric::minimize("seconds"), seed), at_once, with_noise);
        let repeats = repeats(&configs);
        assert!(!repeats.is_empty(), "seed {seed}");
        for i in repeats {
            let flying = &configs[i + 1 - at_once..i];
            assert!(!flying.contains(&configs[i]), "seed {seed}: trial {i}");
        }
    }
}

#[test]
fn where_a_scheduler_repeats_measurements_no_trial_does() {
    for seed in 1000..1003 {
        let racing = setup(grid(), Metric::time("seconds"), seed).scheduler(SchedulerKind::Racing).max_resource(3);
        let mut stream = Stream::of_study(seed, "noise of a test");
        let mut study = Study::new(racing).unwrap();
        while study.trials().len() < BUDGET as usize {
            let job = study.ask().unwrap().assignment().unwrap();
            let value = with_noise(&job.config, &mut stream);
            if study.report(job.trial, job.resource.unwrap(), value).unwrap() == Decision::Stop {
                study.tell(job.trial, Outcome::Done).unwrap();
            }
        }
        let configs: Vec<Config> = study.trials().iter().map(|t| t.config.clone()).collect();
        assert_eq!(repeats(&configs), Vec::<usize>::new(), "seed {seed}");
    }
}

#[test]
fn a_configuration_is_believed_more_where_nothing_is_close_enough() {
    // Noise of 0.5 around 10 in 60 configurations, one of which came out as 8.4, twice.
    let space = Space::new().with("n", Domain::int(1, 60).unwrap()).unwrap();
    let mut study = Study::new(Setup::new(space, Metric::minimize("m"))).unwrap();
    let mut stream = Stream::of_study(1, "noise of a test");
    for n in (1..=60).chain([30]) {
        let value = if n == 30 { 8.4 } else { 10.0 + 0.5 * stream.normal() };
        study.add(&Config::new().with("n", n), value).unwrap();
    }
    let best = study.best().unwrap();
    assert_eq!((best.config.int("n"), best.n), (Some(30), 2));
    assert!(best.mean < 9.4, "{best:?}");
}
