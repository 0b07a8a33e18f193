//! Several objectives: the searcher and the scheduler that are made for them, and the contents of a report.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of tests fails its test, and figures are shown")]

use serde_json::json;
use tunekit::journal::{Event, SCHEMA};
use tunekit::results::compare::mean_interval;
use tunekit::results::pareto::hypervolume;
use tunekit::scheduler::SchedulerSpec;
use tunekit::searcher::Stream;
use tunekit::study::{TellError, ValueRule};
use tunekit::tuner::Simulator;
use tunekit::{
    Ask, Assignment, Config, Decision, Domain, Measured, Metric, Outcome, SchedulerKind, SearcherKind, Setup, Space,
    Study, TrialId,
};

const SEEDS: std::ops::Range<u64> = 2000..2020;

/// A range, integers over some powers of two, and a choice.
fn space() -> Space {
    Space::new()
        .with("x", Domain::float(-5.0, 10.0).unwrap())
        .unwrap()
        .with("n", Domain::int(1, 512).unwrap().log().unwrap())
        .unwrap()
        .with("k", Domain::categorical(["a", "b", "c"]).unwrap())
        .unwrap()
}

/// The error of a result, and its cost: the best are at x = 2 with another choice than a, from n = 1 to 40.
fn truth(config: &Config) -> Vec<f64> {
    let (x, n) = (config.float("x").unwrap(), config.float("n").unwrap());
    let kind = if config.text("k") == Some("a") { 1.0 } else { 0.0 };
    vec![(x - 2.0).powi(2) + (n / 40.0 - 1.0).abs() + kind, n]
}

/// The share of the true front's volume that these leave out.
fn missed(points: &[Vec<f64>]) -> f64 {
    let reference = [1.1, 44.0];
    let front: Vec<Vec<f64>> = (1..=40).map(|n| vec![(f64::from(n) / 40.0 - 1.0).abs(), f64::from(n)]).collect();
    1.0 - hypervolume(points, &reference) / hypervolume(&front, &reference)
}

/// The volume missed by a study of so many trials, with noise on the first objective.
fn searched(kind: SearcherKind, trials: usize, seed: u64) -> f64 {
    let setup = Setup::new(space(), Metric::minimize("loss")).objective(Metric::minimize("cost"));
    let mut study = Study::new(setup.searcher(kind).seed(seed)).unwrap();
    let mut noise = Stream::of_study(seed, "noise");
    for _ in 0..trials {
        let job = study.ask().unwrap().assignment().unwrap();
        let [loss, cost] = truth(&job.config)[..] else { unreachable!() };
        study.tell(job.trial, Measured::new(loss + 0.05 * noise.normal()).more([cost])).unwrap();
    }
    missed(&study.trials().iter().map(|trial| truth(&trial.config)).collect::<Vec<_>>())
}

#[test]
fn nsga2_covers_more_of_the_front_than_luck_does() {
    let pairs: Vec<(f64, f64)> = SEEDS
        .map(|seed| (searched(SearcherKind::Random, 200, seed), searched(SearcherKind::Nsga2, 200, seed)))
        .collect();
    let gains: Vec<f64> = pairs.iter().map(|(luck, own)| luck - own).collect();
    let [low, _] = mean_interval(&gains, 0.95).unwrap();
    let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / pairs.len() as f64;
    let (luck, own) = (mean(|p| p.0), mean(|p| p.1));
    println!("random misses {luck:.3}, nsga2 {own:.3}; the difference is within {:.3?}", mean_interval(&gains, 0.95));
    assert!(low > 0.05 && own < 0.5 * luck, "luck misses {luck}, nsga2 {own}; the gain is {low} at least");
}

/// The full length of a training curve.
const FULL: u64 = 27;

/// A place to be found, and a width that costs time.
fn trained_space() -> Space {
    Space::new()
        .with("x", Domain::float(0.0, 1.0).unwrap())
        .unwrap()
        .with("width", Domain::int(1, 64).unwrap().log().unwrap())
        .unwrap()
}

/// The result of a configuration after so much training: an error that falls towards the configuration's own, and the
/// time of one answer, which does not depend on training. Wider is better and slower.
fn trained(config: &Config, step: u64) -> [f64; 2] {
    let (x, width) = (config.float("x").unwrap(), config.float("width").unwrap().ln() / 64_f64.ln());
    [2.0 * (x - 0.4).abs() + 1.0 - 0.8 * width + (-(step as f64) / 6.0).exp(), width]
}

/// The share of the volume of all possible full runs that these leave out.
fn trained_missed(points: &[Vec<f64>]) -> f64 {
    let reference = [1.5, 1.1];
    let best = (1..=64).map(|width| trained(&Config::new().with("x", 0.4).with("width", width), FULL).to_vec());
    1.0 - hypervolume(points, &reference) / hypervolume(&best.collect::<Vec<_>>(), &reference)
}

/// The resource that a study took until it missed no more than `share`, which it may never do, and the share that it
/// missed after `most`. One worker; each step is one of the resource, and a paused trial goes on from its last step.
fn spent(setup: Setup, share: f64, most: u64) -> (Option<u64>, f64) {
    let seed = setup.seed;
    let mut study = Study::new(setup).unwrap();
    let mut full: Vec<Vec<f64>> = Vec::new();
    let (mut spent, mut reached) = (0, None);
    while spent < most {
        let job = study.ask().unwrap().assignment().unwrap();
        let mut step = study.trial(job.trial).unwrap().last_step().unwrap_or(0);
        loop {
            (step, spent) = (step + 1, spent + 1);
            let mut noise = Stream::keyed(seed, TrialId(job.trial.0 << 8 | step), "noise");
            let [loss, cost] = trained(&job.config, step);
            match study.report(job.trial, step, Measured::new(loss + 0.02 * noise.normal()).more([cost])).unwrap() {
                Decision::Continue => continue,
                Decision::Pause => break,
                Decision::Stop => study.tell(job.trial, Outcome::Done).unwrap(),
            }
            if step == FULL {
                full.push(trained(&job.config, FULL).to_vec());
                if reached.is_none() && trained_missed(&full) <= share {
                    reached = Some(spent);
                }
            }
            break;
        }
    }
    (reached, trained_missed(&full))
}

fn curves(scheduler: SchedulerKind, seed: u64) -> Setup {
    Setup::new(trained_space(), Metric::minimize("error"))
        .objective(Metric::minimize("latency"))
        .searcher(SearcherKind::Random)
        .scheduler(scheduler)
        .max_resource(FULL)
        .seed(seed)
}

#[test]
fn mo_asha_comes_as_far_as_full_runs_with_less_of_the_resource() {
    let most = 60 * FULL;
    let (mut saved, mut plain, mut own, mut one) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for seed in SEEDS {
        let (_, full) = spent(curves(SchedulerKind::Fifo, seed), 0.0, most);
        let (reached, missed) = spent(curves(SchedulerKind::MoAsha, seed), full, most);
        // A study that never came as far counts with twice the resource.
        saved.push((reached.unwrap_or(2 * most) as f64 / most as f64).ln());
        plain.push(full);
        own.push(missed);
        one.push(spent(curves(SchedulerKind::AshaPromotion, seed), 0.0, most).1);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let [low, high] = mean_interval(&saved, 0.95).unwrap().map(f64::exp);
    println!("fifo misses {:.3}, mo_asha {:.3}, asha_promotion {:.3}", mean(&plain), mean(&own), mean(&one));
    println!("of the resource {:.3}, within [{low:.3}, {high:.3}]", mean(&saved).exp());
    assert!(high < 0.5, "{} of the resource, {high} at most", mean(&saved).exp());
    assert!(mean(&plain) < 0.3, "full runs come to something: they miss {}", mean(&plain));
    // Promotion by the error alone ignores the quick ones.
    let gains: Vec<f64> = one.iter().zip(&own).map(|(one, own)| one - own).collect();
    let [low, _] = mean_interval(&gains, 0.95).unwrap();
    assert!(low > 0.1, "the volume missed is less by {low} at least");
}

fn mo_asha(options: &serde_json::Value) -> Setup {
    let spec = SchedulerSpec::from_json("mo_asha", options.as_object().unwrap()).unwrap();
    curves(SchedulerKind::Fifo, 1).scheduler(spec).max_resource(9)
}

fn job(study: &mut Study) -> Assignment {
    study.ask().unwrap().assignment().expect("a trial")
}

/// Starts a trial for each of these results, and reports that at the first rung.
fn begun(study: &mut Study, results: &[[f64; 2]]) {
    for [error, latency] in results {
        let next = job(study);
        assert!(!next.resumed, "{next:?}");
        let decision = study.report(next.trial, next.resource.unwrap(), Measured::new(*error).more([*latency]));
        assert_eq!(decision, Ok(Decision::Pause));
    }
}

#[test]
fn promotion_goes_by_fronts_and_in_a_front_by_the_order_that_was_asked_for() {
    // Five on the first front; all others are beaten. Three of nine go on: the best error, then the one farthest from
    // it, not the second best error, and then the farthest from both, or the one with the most room and less error.
    let results = [[6.0, 4.0], [0.0, 10.0], [1.0, 9.0], [7.0, 3.0], [10.0, 0.0]];
    let beaten = [[11.0, 11.0], [12.0, 12.0], [13.0, 13.0], [14.0, 14.0]];
    for (options, third) in [(json!({}), 0), (json!({"order": "crowding"}), 2)] {
        let mut study = Study::new(mo_asha(&options)).unwrap();
        let goes_on = |study: &mut Study, expected: u64| {
            let next = job(study);
            assert_eq!((next.trial, next.resumed, next.resource), (TrialId(expected), true, Some(3)), "{options}");
        };
        begun(&mut study, &results[..3]);
        goes_on(&mut study, 1);
        begun(&mut study, &results[3..]);
        begun(&mut study, &beaten[..1]);
        goes_on(&mut study, 4);
        begun(&mut study, &beaten[1..]);
        goes_on(&mut study, third);
        // Three of nine went on, and that is all.
        assert!(!job(&mut study).resumed);
    }
}

#[test]
fn what_breaks_a_constraint_or_failed_goes_on_last() {
    let mut study = Study::new(mo_asha(&json!({})).constraint("memory")).unwrap();
    let report = |study: &mut Study, error: f64, memory: f64| {
        let next = job(study);
        assert!(!next.resumed);
        let measured = Measured::new(error).more([1.0]).constraints([memory]);
        study.report(next.trial, 1, measured).unwrap();
    };
    report(&mut study, 1.0, 5.0);
    report(&mut study, 3.0, -1.0);
    let failed = job(&mut study);
    study.tell(failed.trial, Outcome::Failed("no".to_owned())).unwrap();
    assert_eq!((job(&mut study).trial, study.trials().len()), (TrialId(1), 3));
}

#[test]
fn a_report_carries_all_objectives_or_none_and_under_mo_asha_all() {
    let mut study = Study::new(curves(SchedulerKind::Fifo, 1).objective(Metric::minimize("memory"))).unwrap();
    let first = job(&mut study).trial;
    let refused = study.report(first, 1, Measured::new(1.0).more([2.0])).unwrap_err();
    assert!(matches!(refused, TellError::Incomplete { got: 1, wanted: 2, .. }), "{refused}");
    assert_eq!(study.report(first, 1, 1.0), Ok(Decision::Continue));
    assert!(study.tell(first, Outcome::Done).is_err(), "its last report has not all");
    study.report(first, 2, Measured::new(0.5).more([2.0, 3.0])).unwrap();
    study.tell(first, Outcome::Done).unwrap();
    let trial = &study.trials()[0];
    assert_eq!((trial.value(ValueRule::Last), trial.more(ValueRule::Last)), (Some(0.5), vec![2.0, 3.0]));
    assert_eq!(study.pareto()[0].more, [2.0, 3.0]);

    let mut study = Study::new(mo_asha(&json!({}))).unwrap();
    let first = job(&mut study).trial;
    let refused = study.report(first, 1, 1.0).unwrap_err().to_string();
    assert!(refused.contains("scheduler `mo_asha` compares trials by them; report all of them"), "{refused}");
    // A number that is none fails the trial, whichever it is.
    assert_eq!(study.report(first, 1, Measured::new(1.0).more([f64::NAN])), Ok(Decision::Stop));
    study.tell(first, Outcome::Done).unwrap();
    assert!(study.trials()[0].failure.is_some());
    let events = study.take_events();
    assert_eq!(Study::verify(events, None), Ok(2));
}

#[test]
fn the_journal_has_what_reports_carried() {
    let mut study = Study::new(mo_asha(&json!({"order": "crowding"}))).unwrap();
    begun(&mut study, &[[3.0, 4.0]]);
    let events = study.take_events();
    let lines: Vec<String> = events.iter().map(Event::to_line).collect();
    assert!(
        lines[0]
            .contains(r#""scheduler":"mo_asha","scheduler_options":{"eta":3,"grace":1,"rungs":[],"order":"crowding"}"#)
    );
    assert!(lines[0].contains(&format!(r#""schema":{SCHEMA}"#)));
    assert!(lines[2].contains(r#""value":3.0,"more":[4.0],"decision":"pause""#), "{}", lines[2]);
    let read = lines.iter().map(|line| serde_json::from_str::<Event>(line).unwrap());
    assert_eq!(Study::replay(read).unwrap().trials(), study.trials());
    for options in [json!({"order": "best"}), json!({"brackets": 2}), json!({"order": 3})] {
        assert!(SchedulerSpec::from_json("mo_asha", options.as_object().unwrap()).is_err(), "{options}");
    }
}

#[test]
fn a_study_of_many_workers_with_losses_is_derived_again_from_its_journal() {
    for (order, searcher) in [("epsilon-net", SearcherKind::Nsga2), ("crowding", SearcherKind::Random)] {
        let setup = mo_asha(&json!({"order": order})).searcher(searcher).constraint("memory");
        let mut study = Study::new(setup).unwrap();
        study.limit_trials(Some(90));
        let simulation = Simulator::new(5).run(&mut study, 1e9, |job, step| {
            if job.trial.0 % 11 == 3 && step == 2 {
                return Err("lost".to_owned());
            }
            let [loss, cost] = trained(&job.config, step);
            Ok((Measured::new(loss).more([cost]).constraints([cost - 0.8]), 1.0 + job.trial.0 as f64 % 3.0))
        });
        assert!(simulation.unwrap().reports > 90);
        let events = study.take_events();
        assert!(Study::verify(events.clone(), Some(90)).unwrap() > 180);
        // The front is of trials that were promoted to the end.
        let ends = study.pareto();
        assert!(!ends.is_empty());
        let is_full = |trial: TrialId| study.trial(trial).unwrap().last_step() == Some(9);
        assert!(ends.iter().all(|best| is_full(best.trial)));
        // At every place where a trial was asked for, a study from the events before asks for the same.
        for (place, event) in events.iter().enumerate().filter(|(i, _)| i % 7 == 0) {
            let Event::Ask { trial, resource, .. } = event else { continue };
            let mut cold = Study::replay(events[..place].to_vec()).unwrap();
            cold.limit_trials(Some(90));
            let Ask::Trial(next) = cold.ask().unwrap() else { panic!("nothing at {place}") };
            assert_eq!((next.trial, next.resource), (*trial, *resource));
        }
    }
}

#[test]
fn the_model_works_where_reports_carry_objectives() {
    let mut study = Study::new(mo_asha(&json!({})).searcher(SearcherKind::Gp)).unwrap();
    study.limit_trials(Some(16));
    let simulation = Simulator::new(2).run(&mut study, 1e9, |job, step| {
        let [loss, cost] = trained(&job.config, step);
        Ok((Measured::new(loss).more([cost]), 1.0))
    });
    assert!(simulation.unwrap().reports > 16);
    assert!(Study::verify(study.take_events(), Some(16)).is_ok());
}

#[test]
fn what_an_interruption_makes_void_is_no_evidence() {
    let mut study = Study::new(mo_asha(&json!({"rungs": [1, 2]}))).unwrap();
    begun(&mut study, &[[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]);
    let next = job(&mut study);
    assert_eq!((next.trial, next.resource), (TrialId(0), Some(2)));
    study.interrupt(next.trial).unwrap();
    let again = job(&mut study);
    assert_eq!((again.trial, again.resource, again.attempt), (TrialId(0), Some(2), 2));
    assert_eq!(study.report(again.trial, 2, Measured::new(1.0).more([1.0])), Ok(Decision::Pause));
    assert!(!job(&mut study).resumed, "one of three went on");
}

#[test]
fn a_trial_whose_objectives_are_not_all_known_is_on_no_front() {
    let mut study = Study::new(curves(SchedulerKind::AshaPromotion, 1)).unwrap();
    let [whole, partial] = [Measured::new(1.0).more([2.0]), Measured::new(0.5)].map(|measured| {
        let trial = job(&mut study).trial;
        assert_eq!(study.report(trial, 1, measured), Ok(Decision::Pause));
        trial
    });
    // The other one is better in the metric.
    let front: Vec<TrialId> = study.pareto().iter().map(|best| best.trial).collect();
    assert_eq!(front, [whole], "{partial}");
}
