//! Racing: replicates until the better one is clear, cases computed by hand and one of drift.

use tunekit::journal::Event;
use tunekit::scheduler::{RacingOptions, SchedulerSpec};
use tunekit::{
    Assignment, Config, Decision, Domain, Metric, Outcome, SchedulerKind, SearcherKind, Setup, Space, Status, Study,
    TrialId,
};

fn job(study: &mut Study) -> Assignment {
    study.ask().unwrap().assignment().expect("a trial")
}

fn race(options: RacingOptions) -> Setup {
    let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
    let setup = Setup::new(space, Metric::time("s")).searcher(SearcherKind::Random);
    setup.scheduler(SchedulerSpec::Racing(options)).max_resource(5)
}

#[test]
fn a_race_drops_replicates_and_accepts_by_probability() {
    use Decision::{Pause, Stop};
    let mut study = Study::new(race(RacingOptions::default())).unwrap();
    let mut leader = TrialId(0);
    // Values of the next challenger; checks of the leader in between give its earlier value.
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
    let point = Config::new().with("x", 0.5);
    let mut study = Study::new(race(RacingOptions { recheck: 4, ..Default::default() }).point(point)).unwrap();
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
    let mut study = Study::new(race(RacingOptions { recheck: 1, ..Default::default() })).unwrap();
    let mut last = None;
    for k in 0..40 {
        let next = job(&mut study);
        let step = next.resource.unwrap();
        // The leader fails when it is measured again as a yardstick.
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
    // Everything gets faster by 0.4 % with each measurement: in time, a configuration that is 20 % slower than the
    // first one looks faster.
    let (mut right, mut all) = (0, 0);
    for seed in 1000..1010 {
        let mut study = Study::new(race(RacingOptions::default()).seed(seed)).unwrap();
        let mut stream = tunekit::searcher::Stream::of_study(seed, "noise");
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
    let study = Study::new(race(RacingOptions::default())).unwrap();
    assert_eq!(study.header().metric.value, tunekit::study::ValueRule::Mean);
    let setup = Setup { metric: Metric::minimize("m").deterministic(), ..race(RacingOptions::default()) };
    assert!(Study::new(setup).unwrap_err().to_string().contains("measures again"));
}

/// A kill between the answer and the tell: journals before schema 3 make the report void, so it says nothing of the
/// noise either.
#[test]
fn a_measurement_that_an_interruption_made_void_is_out_of_the_race() {
    let mut header = race(RacingOptions::default()).header().unwrap();
    header.schema = 2;
    let mut study = Study::replay([Event::Header(Box::new(header))]).unwrap();
    let mut step = |value: f64| {
        let next = job(&mut study);
        (next.trial.0, next.attempt, study.report(next.trial, next.resource.unwrap(), value).unwrap())
    };
    for value in [1.00, 1.02, 0.98] {
        step(value);
    }
    assert_eq!(step(5.0), (1, 1, Decision::Stop));
    study.interrupt(TrialId(1)).unwrap();
    let again = job(&mut study);
    assert_eq!((again.trial, again.attempt), (TrialId(1), 2));
    assert_eq!(study.report(again.trial, 1, 1.5).unwrap(), Decision::Stop);
    study.tell(again.trial, Outcome::Done).unwrap();
    // A noise of 5.0 and 1.5 at one configuration would keep one that is a quarter slower in the race.
    let next = job(&mut study);
    assert_eq!((next.trial, study.report(next.trial, 1, 1.25).unwrap()), (TrialId(2), Decision::Stop));
}

/// Two configurations, each of which has many trials, and a noise by which a trial leads that was lucky.
#[test]
fn a_race_recommends_a_configuration_and_not_a_lucky_trial() {
    for seed in 0..20 {
        let space = Space::new().with("x", Domain::Bool).unwrap();
        let metric = Metric::minimize("loss").with_noise(0.5);
        let setup = Setup::new(space, metric).searcher(SearcherKind::Random).scheduler(SchedulerKind::Racing);
        let mut study = Study::new(setup.max_resource(5).seed(seed)).unwrap();
        let mut noise = tunekit::searcher::Stream::of_study(seed, "noise");
        for _ in 0..150 {
            let job = job(&mut study);
            let mean = if job.config.bool("x").unwrap() { 1.0 } else { 1.1 };
            let value = mean + 0.5 * noise.normal();
            if study.report(job.trial, job.resource.unwrap(), value).unwrap() == Decision::Stop {
                study.tell(job.trial, Outcome::Done).unwrap();
            }
        }
        let best = study.best().unwrap();
        let all = study.history().observed();
        let other = all.iter().find(|o| *o.config != best.config).unwrap();
        let mean = other.samples.iter().sum::<f64>() / other.samples.len() as f64;
        assert!(other.samples.len() < best.n || mean >= best.value, "seed {seed}: {best:?}, the other {mean}");
    }
}
