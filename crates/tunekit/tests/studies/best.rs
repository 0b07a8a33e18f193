//! The recommendation of a study compares only trials that came equally far, and allows for luck.

use serde_json::{Value as Json, json};
use tunekit::scheduler::{PbtOptions, SchedulerSpec};
use tunekit::searcher::Stream;
use tunekit::{
    Assignment, Config, Decision, Domain, Measured, Metric, Outcome, SchedulerKind, SearcherKind, Setup, Space, Study,
    TrialId,
};

fn setup(scheduler: impl Into<SchedulerSpec>, max: u64) -> Setup {
    let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
    let setup = Setup::new(space, Metric::minimize("loss")).searcher(SearcherKind::Random).seed(4);
    setup.scheduler(scheduler).max_resource(max)
}

fn median(options: &Json) -> SchedulerSpec {
    SchedulerSpec::from_json("median", options.as_object().unwrap()).unwrap()
}

fn job(study: &mut Study) -> Assignment {
    study.ask().unwrap().assignment().expect("a trial")
}

/// Runs a trial whose values are `slope` times the step, until it is stopped. Gives the last step.
fn run(study: &mut Study, slope: f64) -> u64 {
    let trial = job(study).trial;
    for step in 1.. {
        let measured = Measured::new(slope * step as f64);
        let measured = if study.header().objectives.is_empty() { measured } else { measured.more([-slope]) };
        if study.report(trial, step, measured).unwrap() == Decision::Stop {
            study.tell(trial, Outcome::Done).unwrap();
            return step;
        }
    }
    unreachable!("a full run has an end")
}

#[test]
fn a_trial_that_was_stopped_early_is_not_compared_with_full_runs() {
    for within in [None, Some(9)] {
        let median = median(&json!({"population": 1}));
        let mut study = Study::new(Setup { max_resource: within, ..setup(median, 9) }).unwrap();
        let first = job(&mut study).trial;
        for step in 1..=9 {
            study.report(first, step, step as f64).unwrap();
        }
        study.tell(first, Outcome::Done).unwrap();
        // In full these would come to 18 and more.
        assert_eq!([2.0, 3.0, 4.0, 5.0].map(|slope| run(&mut study, slope)), [1; 4]);
        let best = study.best().unwrap();
        assert_eq!((best.trial, best.value, best.mean, best.n), (TrialId(0), 9.0, 9.0, 1));
    }
}

#[test]
fn the_model_that_judges_full_runs_has_seen_no_others() {
    for searcher in [SearcherKind::Random, SearcherKind::Gp] {
        let mut study = Study::new(setup(median(&json!({"population": 1})), 9).searcher(searcher)).unwrap();
        assert_eq!([1.0, 0.99, 0.98, 0.97].map(|slope| run(&mut study, slope)), [9; 4]);
        for k in 0..8 {
            assert_eq!(run(&mut study, 2.0 + 0.1 * f64::from(k)), 1);
        }
        let best = study.best().unwrap();
        assert!((8.7..9.1).contains(&best.value) && (8.5..9.2).contains(&best.mean), "{searcher}: {best:?}");
    }
}

#[test]
fn without_a_full_run_those_that_came_furthest_are_compared() {
    let mut study = Study::new(setup(median(&json!({"population": 1})), 9)).unwrap();
    let first = job(&mut study).trial;
    for step in 1..=5 {
        study.report(first, step, step as f64).unwrap();
    }
    assert_eq!(run(&mut study, 2.0), 1);
    assert_eq!(study.best().map(|best| (best.trial, best.value)), Some((TrialId(1), 2.0)));
    let third = job(&mut study).trial;
    assert_eq!(study.report(third, 1, 0.5), Ok(Decision::Continue));
    assert_eq!(study.report(third, 2, 10.0), Ok(Decision::Stop));
    study.tell(third, Outcome::Done).unwrap();
    assert_eq!(study.best().map(|best| (best.trial, best.value)), Some((third, 10.0)));
}

#[test]
fn a_population_recommends_who_came_furthest() {
    let options = PbtOptions { members: 2, interval: 2, ..PbtOptions::default() };
    let mut study = Study::new(setup(SchedulerSpec::Pbt(options), 6)).unwrap();
    // Both go on as they are.
    study.limit_trials(Some(2));
    let open = [0, 1].map(|_| job(&mut study));
    let mut best = Vec::new();
    for (job, loss) in open.iter().zip([1.0, 1.5]) {
        assert_eq!(study.report(job.trial, 2, loss), Ok(Decision::Pause));
    }
    best.push(study.best().unwrap());
    // Losses rise along the way.
    for (trial, step, loss) in [(0, 4, 3.0), (1, 4, 2.5), (0, 6, 6.0)] {
        let job = job(&mut study);
        assert_eq!((job.trial.0, job.resource), (trial, Some(step)));
        if study.report(job.trial, step, loss) == Ok(Decision::Stop) {
            study.tell(job.trial, Outcome::Done).unwrap();
        }
        best.push(study.best().unwrap());
    }
    let best: Vec<(u64, f64)> = best.iter().map(|best| (best.trial.0, best.value)).collect();
    assert_eq!(best, [(0, 1.0), (0, 3.0), (1, 2.5), (0, 6.0)]);
}

#[test]
fn a_front_is_of_full_runs() {
    let with_objective = setup(median(&json!({"population": 1})), 9).objective(Metric::minimize("memory"));
    let mut study = Study::new(with_objective).unwrap();
    assert_eq!([1.0, 0.9, 2.0].map(|slope| run(&mut study, slope)), [9, 9, 1]);
    // The third one is better in both at its only step.
    let front: Vec<(u64, f64)> = study.pareto().iter().map(|best| (best.trial.0, best.value)).collect();
    assert_eq!(front, [(0, 9.0), (1, 8.1)]);
}

#[test]
fn an_early_stop_is_no_measurement_of_a_configuration_that_ran_in_full_another_time() {
    let space = Space::new().with("x", Domain::Bool).unwrap();
    let x = |x: bool| Config::new().with("x", x);
    let asha = Setup { space, ..setup(SchedulerKind::Asha, 9) };
    let mut study = Study::new(asha.point(x(false)).point(x(true)).point(x(true))).unwrap();
    for values in [&[5.0, 9.0, 15.0][..], &[6.0], &[4.0, 8.0, 18.0]] {
        let trial = job(&mut study).trial;
        let mut last = Decision::Continue;
        for (step, value) in [1, 3, 9].into_iter().zip(values) {
            assert_eq!(last, Decision::Continue);
            last = study.report(trial, step, *value).unwrap();
        }
        assert_eq!(last, Decision::Stop);
        study.tell(trial, Outcome::Done).unwrap();
    }
    // The mean of 6 and 18 would be less than 15.
    assert_eq!(study.best().map(|best| (best.trial, best.value, best.n)), Some((TrialId(0), 15.0, 1)));
}

#[test]
fn a_study_says_why_it_recommends_nothing() {
    let mut study = Study::new(setup(SchedulerKind::Fifo, 9).constraint("memory")).unwrap();
    assert_eq!(study.why_no_best(), Some("nothing was measured yet"));
    let mut tell = |measured: Measured, expected: Option<&str>| {
        let trial = job(&mut study).trial;
        study.tell(trial, measured).unwrap();
        assert_eq!(study.why_no_best(), expected);
        assert_eq!(study.best().is_none(), expected.is_some());
    };
    let bounds = "nothing was measured to its end yet, only bounds are known";
    tell(Measured::at_least(1.0).constraints([-1.0]), Some(bounds));
    tell(Measured::new(1.0).constraints([1.0]), Some("nothing that meets the constraints was measured yet"));
    tell(Measured::new(2.0).constraints([-1.0]), None);
}

/// A study over [0, 1] of results from elsewhere.
fn added(metric: Metric, searcher: SearcherKind, results: &[(f64, f64)]) -> Study {
    let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
    let mut study = Study::new(Setup::new(space, metric).searcher(searcher).seed(4)).unwrap();
    for (x, value) in results {
        study.add(&Config::new().with("x", *x), *value).unwrap();
    }
    study
}

#[test]
fn with_further_objectives_the_mean_is_of_the_level_that_is_compared() {
    use SchedulerKind::{AshaPromotion, MoAsha};
    for (kind, full) in [(AshaPromotion, 1), (AshaPromotion, 6), (MoAsha, 3)] {
        let mut study = Study::new(setup(kind, 9).objective(Metric::minimize("memory"))).unwrap();
        let mut ran = 0;
        while ran < full {
            let job = job(&mut study);
            let mut step = job.from.map_or(0, |from| from.resource);
            let mut decision = Decision::Continue;
            while decision == Decision::Continue {
                step += 1;
                let x = job.config.float("x").unwrap();
                let measured = Measured::new((10.0 + x) / step as f64).more([-x]);
                decision = study.report(job.trial, step, measured).unwrap();
            }
            if decision == Decision::Stop {
                study.tell(job.trial, Outcome::Done).unwrap();
            }
            ran += u64::from(step == 9);
        }
        // After one step values are about 10, after three 3.5.
        let best = study.best().unwrap();
        assert!((1.1..1.3).contains(&best.value) && (best.mean / best.value - 1.0).abs() < 0.1, "{kind}: {best:?}");
        assert!(best.ci95.is_none_or(|[low, high]| low <= best.value && best.value <= high), "{kind}: {best:?}");
    }
}

#[test]
fn the_best_of_exact_values_is_the_lowest() {
    let results = [(0.1, 0.0), (0.15, -0.1), (0.3, 3e5), (0.5, 1e6), (0.7, 5e5), (0.9, 2e6)];
    for searcher in [SearcherKind::Gp, SearcherKind::Auto, SearcherKind::Random] {
        let best = added(Metric::minimize("loss").deterministic(), searcher, &results).best().unwrap();
        assert_eq!((best.trial, best.value, best.mean, best.ci95), (TrialId(1), -0.1, -0.1, Some([-0.1, -0.1])));
    }
}

#[test]
fn a_known_noise_is_allowed_for_whoever_searches() {
    for searcher in [SearcherKind::Random, SearcherKind::Tpe, SearcherKind::Gp] {
        let (mut bias, mut covered) = (0.0, 0);
        for seed in 0..20 {
            let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
            let setup = Setup::new(space, Metric::minimize("loss").with_noise(0.1)).searcher(searcher).seed(seed);
            let mut study = Study::new(setup).unwrap();
            let mut noise = Stream::of_study(seed, "noise of the function");
            let truth = |x: f64| 1.0 + (x - 0.4).powi(2);
            for _ in 0..30 {
                let job = job(&mut study);
                let value = truth(job.config.float("x").unwrap()) + 0.1 * noise.normal();
                study.tell(job.trial, value).unwrap();
            }
            let best = study.best().unwrap();
            let [low, high] = best.ci95.unwrap();
            assert!(low <= best.mean && best.mean <= high, "{best:?}");
            let truth = truth(best.config.float("x").unwrap());
            bias += (best.mean - truth) / 20.0;
            covered += u64::from((low..=high).contains(&truth));
        }
        // The lowest of 30 measurements is 0.2 too low.
        assert!(bias.abs() < 0.05 && covered >= 16, "{searcher}: {bias:+.3}, {covered}");
    }
}

#[test]
fn a_known_noise_is_the_interval_where_little_was_measured() {
    let best = added(Metric::minimize("loss").with_noise(0.5), SearcherKind::Random, &[(0.1, 2.0), (0.1, 3.0)]);
    let best = best.best().unwrap();
    let [low, high] = best.ci95.unwrap();
    assert_eq!((best.mean, best.n), (2.5, 2));
    assert!((high - low - 2.0 * 1.96 * 0.5 / 2_f64.sqrt()).abs() < 1e-12, "{best:?}");
}

#[test]
fn few_that_may_be_recommended_are_judged_by_all_that_were_measured() {
    for searcher in [SearcherKind::Random, SearcherKind::Gp] {
        let (mut bias, mut lowest) = (0.0, 0.0);
        for seed in 0..20 {
            let setup = setup(SchedulerKind::Fifo, 9).searcher(searcher).seed(seed).constraint("memory");
            let mut study = Study::new(setup).unwrap();
            let mut noise = Stream::of_study(seed, "noise of the function");
            for k in 0..30 {
                let x = f64::from(k) / 30.0;
                let memory = if k == 10 || k == 11 { -1.0 } else { 1.0 };
                let measured = Measured::new(1.0 + 0.2 * noise.normal()).constraints([memory]);
                study.add(&Config::new().with("x", x), measured).unwrap();
            }
            let values = study.trials()[10..12].iter().filter_map(|trial| trial.told);
            lowest += (values.fold(f64::INFINITY, f64::min) - 1.0) / 20.0;
            let best = study.best().unwrap();
            assert!(best.ci95.is_some() && (10..12).contains(&best.trial.0), "{best:?}");
            bias += (best.mean - 1.0) / 20.0;
        }
        assert!(bias.abs() < 0.05 && lowest < -0.07, "{searcher}: {bias:+.3}, {lowest:+.3}");
    }
}

#[test]
fn an_interval_holds_its_mean_however_few_and_far_apart_the_values_are() {
    let mut stream = Stream::of_study(1, "values");
    for k in 0..60 {
        let results: Vec<(f64, f64)> =
            (0..3 + k % 4).map(|_| (stream.uniform(), 10_f64.powf(6.0 * stream.uniform() - 3.0))).collect();
        for searcher in [SearcherKind::Random, SearcherKind::Gp] {
            let best = added(Metric::time("seconds"), searcher, &results).best().unwrap();
            let [low, high] = best.ci95.unwrap();
            assert!(low <= best.mean && best.mean <= high, "{results:?}: {best:?}");
        }
    }
}
