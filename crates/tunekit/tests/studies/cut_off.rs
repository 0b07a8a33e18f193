//! Trials that are cut off: what is told is a bound, and no bound is ever taken for a value.

use tunekit::journal::Event;
use tunekit::scheduler::SchedulerSpec;
use tunekit::study::TellError;
use tunekit::{
    Assignment, Config, Decision, Domain, Experiment, Measured, Metric, Outcome, SchedulerKind, SearcherKind, Setup,
    Space, Status, Study, TrialId,
};

fn space() -> Space {
    Space::new().with("n", Domain::int(0, 9).unwrap()).unwrap()
}

fn n(value: i64) -> Config {
    Config::new().with("n", value)
}

fn study(metric: Metric) -> Study {
    Study::new(Setup::new(space(), metric).searcher(SearcherKind::Random)).unwrap()
}

fn job(study: &mut Study) -> Assignment {
    study.ask().unwrap().assignment().expect("a trial")
}

/// The study that a journal of these events' lines gives.
fn through_a_journal(events: &[Event]) -> Study {
    let lines: Vec<String> = events.iter().map(Event::to_line).collect();
    Study::replay(lines.iter().map(|line| serde_json::from_str(line).unwrap())).unwrap()
}

#[test]
fn a_bound_is_no_value_and_comes_back_from_the_journal() {
    let mut study = study(Metric::time("seconds"));
    let mut events = study.take_events();
    let trial = job(&mut study).trial;
    study.tell(trial, Measured::at_least(3.2).cost(3.0)).unwrap();
    let added = study.add(&n(3), Measured::at_least(4.0)).unwrap();
    events.extend(study.take_events());

    let lines: Vec<String> = events.iter().map(Event::to_line).collect();
    assert!(lines[2].contains(r#""outcome":{"measured":{"at_least":3.2,"cost":3.0}}"#), "{}", lines[2]);
    assert!(lines[3].contains(r#""at_least":4.0"#) && !lines[3].contains("value"), "{}", lines[3]);
    let again = through_a_journal(&events);
    assert_eq!(again.trials(), study.trials());
    for (trial, bound, cost) in [(trial, 3.2, Some(3.0)), (added, 4.0, None)] {
        let t = study.trial(trial).unwrap();
        assert_eq!((t.status, t.told, t.at_least, t.cost()), (Status::CutOff, None, Some(bound), cost));
        assert!(t.is_finished() && t.samples(study.header().metric.value).is_empty());
    }
    // Nobody has been measured to the end, so nobody is recommended.
    assert_eq!((study.best(), again.best(), study.pareto()), (None, None, vec![]));
    assert_eq!((study.history().observed().len(), study.history().known().len()), (0, 2));
    study.add(&n(3), 9.0).unwrap();
    assert_eq!(study.best().map(|b| (b.trial, b.value, b.mean, b.ci95)), Some((added, 9.0, 9.0, None)));
    study.add(&n(4), 9.5).unwrap();
    // A configuration cut off at 4 once, and measured as 9 once, is not known to be better than 9.5.
    assert_eq!(study.best().map(|b| b.config), Some(n(4)));
}

#[test]
fn a_journal_of_the_schema_before_goes_on_with_bounds() {
    let header = r#"{"event":"header","schema":2,"space":{"n":{"type":"int","lo":0,"hi":9}},"seed":1,
        "searcher":"random","scheduler":"fifo"}"#;
    let add = r#"{"event":"add","trial":0,"config":{"n":1},"value":2.0}"#;
    let bound = r#"{"event":"add","trial":1,"config":{"n":2},"at_least":1.0}"#;
    let read = |lines: &[&str]| Study::replay(lines.iter().map(|line| serde_json::from_str(line).unwrap())).unwrap();
    assert_eq!(read(&[header, add]).best().map(|b| b.value), Some(2.0));
    let study = read(&[header, add, bound]);
    assert_eq!((study.header().schema, study.best().map(|b| b.value)), (2, Some(2.0)));
    assert_eq!(study.trials()[1].at_least, Some(1.0));
    for wrong in [r#""value":1.0,"at_least":1.0"#, r#""more":[]"#, r#""at_least":null"#, r#""at_least":"1""#] {
        let line = format!(r#"{{"event":"add","trial":0,"config":{{"n":1}},{wrong}}}"#);
        assert!(serde_json::from_str::<Event>(&line).is_err(), "{line}");
    }
}

#[test]
fn after_replicates_a_bound_is_one_more_measurement_and_after_a_curve_it_stands_alone() {
    for (metric, samples, value) in
        [(Metric::time("s").replicated(), vec![2.0, 4.0], Some(3.0)), (Metric::time("s"), vec![], None)]
    {
        let rule = metric.value;
        let mut study = study(metric);
        let trial = job(&mut study).trial;
        study.report(trial, 1, Measured::new(2.0).cost(2.0)).unwrap();
        study.report(trial, 2, Measured::new(4.0).cost(6.0)).unwrap();
        study.tell(trial, Measured::at_least(9.0).cost(15.0)).unwrap();
        let t = study.trial(trial).unwrap();
        assert_eq!(
            (t.samples(rule), t.value(rule), t.at_least, t.cost()),
            (samples.clone(), value, Some(9.0), Some(15.0))
        );
        let history = study.history();
        let known = history.known();
        assert_eq!((&known[0].samples, &known[0].bounds), (&samples, &vec![9.0]));
        // (2 + 4 + 9) / 3 by replicates.
        let loss = known[0].loss(history.goal());
        let counted: f64 = if samples.is_empty() { 9.0 } else { 5.0 };
        assert_eq!(loss, counted.next_up());
    }
}

#[test]
fn a_bound_never_makes_what_was_measured_look_better() {
    let mut study = study(Metric::maximize("rate").replicated());
    study.add(&n(1), 10.0).unwrap();
    // At most 50: that says nothing of what came to 10.
    study.add(&n(1), Measured::at_least(50.0)).unwrap();
    study.add(&n(2), Measured::at_least(7.0)).unwrap();
    study.add(&n(2), Measured::at_least(6.0)).unwrap();
    let history = study.history();
    let losses: Vec<f64> = history.known().iter().map(|o| o.loss(history.goal())).collect();
    assert_eq!(losses, [(-10.0_f64).next_up(), (-6.0_f64).next_up()]);
}

#[test]
fn tables_say_what_is_a_bound() {
    let mut study = study(Metric::time("s").replicated());
    study.add(&n(1), 2.0).unwrap();
    let plain = Experiment::of(&study);
    assert!(
        plain.trials_table().column("at_least").is_none() && plain.measurements_table().column("at_least").is_none()
    );
    let trial = job(&mut study).trial;
    study.report(trial, 1, 4.0).unwrap();
    study.tell(trial, Measured::at_least(9.0).cost(9.0)).unwrap();
    let experiment = Experiment::of(&study);
    let (trials, rows) = (experiment.trials_table(), experiment.measurements_table());
    let cell = |name: &str| trials.column(name).unwrap().text(1);
    let cells = ["status", "value", "n", "at_least", "cost"].map(cell);
    assert_eq!(cells, ["cut_off", "4.0", "1", "9.0", "9.0"]);
    assert_eq!(trials.column("at_least").unwrap().text(0), "");
    let last = |name: &str| rows.column(name).unwrap().text(2);
    assert_eq!(
        (rows.rows(), ["step", "value", "at_least", "status"].map(last)),
        (3, ["", "", "9.0", "cut_off"].map(str::to_owned))
    );
    assert_eq!(experiment.measurements(), 2);
}

#[test]
fn what_is_no_bound_is_refused_or_counts_as_failed() {
    let mut study = study(Metric::time("s"));
    let trial = job(&mut study).trial;
    let refused = study.report(trial, 1, Measured::at_least(1.0)).unwrap_err();
    assert_eq!(refused, TellError::BoundReported { trial });
    assert_eq!(study.tell(trial, Measured::at_least(1.0).cost(0.0)), Err(TellError::Cost { cost: 0.0 }));
    assert_eq!(
        study.add(&n(1), Measured::at_least(f64::NAN)).map_err(|e| e.to_string()).unwrap_err(),
        "the value added is NaN; it must be finite"
    );
    study.tell(trial, Measured::at_least(f64::NAN)).unwrap();
    let t = study.trial(trial).unwrap();
    assert_eq!((t.status, t.at_least), (Status::Failed, None));
    assert_eq!(t.failure.as_deref(), Some("the bound is NaN, not a finite number"));
    // One whose report was not finite has failed, whatever is told.
    let trial = job(&mut study).trial;
    study.report(trial, 1, f64::INFINITY).unwrap();
    study.tell(trial, Measured::at_least(3.0)).unwrap();
    assert_eq!(study.trial(trial).unwrap().status, Status::Failed);
    // A time below zero is taken as values below zero are: on a plain scale.
    let trial = job(&mut study).trial;
    study.tell(trial, Measured::at_least(-3.0)).unwrap();
    assert_eq!(study.trial(trial).unwrap().at_least, Some(-3.0));
}

#[test]
fn further_objectives_and_constraints_are_told_with_a_bound_too() {
    let setup = Setup::new(space(), Metric::time("s")).objective(Metric::minimize("memory")).constraint("disk");
    let mut study = Study::new(setup.searcher(SearcherKind::Random)).unwrap();
    let missing = study.add(&n(1), Measured::at_least(1.0)).unwrap_err();
    assert!(matches!(missing, TellError::Incomplete { .. }));
    study.add(&n(1), Measured::at_least(1.0).more([0.5]).constraints([-1.0])).unwrap();
    study.add(&n(2), Measured::new(2.0).more([1.0]).constraints([-1.0])).unwrap();
    let front: Vec<Config> = study.pareto().into_iter().map(|b| b.config).collect();
    assert_eq!(front, [n(2)], "a bound is on no front");
}

/// The trials that go on when eight of a rung of `kind` are there; trial 1 is cut off at what is the second best value.
fn promoted(kind: SchedulerKind, bound: f64) -> Vec<u64> {
    let mut options = serde_json::json!({"eta": 2, "brackets": 1});
    if kind == SchedulerKind::AshaPromotion {
        options = serde_json::json!({"eta": 2});
    }
    let scheduler = SchedulerSpec::from_json(kind.as_str(), options.as_object().unwrap()).unwrap();
    let setup = Setup::new(space(), Metric::minimize("loss")).searcher(SearcherKind::Random).scheduler(scheduler);
    let mut study = Study::new(setup.max_resource(8).seed(1)).unwrap();
    let mut resumed = Vec::new();
    for value in [0.5, f64::NAN, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9] {
        let next = job(&mut study);
        if next.resumed {
            resumed.push(next.trial.0);
            continue;
        }
        if value.is_nan() {
            study.tell(next.trial, Measured::at_least(bound)).unwrap();
        } else if study.report(next.trial, 1, value).unwrap() == Decision::Stop {
            study.tell(next.trial, Outcome::Done).unwrap();
        }
    }
    resumed.extend((0..4).filter_map(|_| study.ask().unwrap().assignment()).filter(|j| j.resumed).map(|j| j.trial.0));
    resumed
}

#[test]
fn a_scheduler_never_resumes_who_was_cut_off_and_counts_the_bound() {
    for kind in [SchedulerKind::AshaPromotion, SchedulerKind::Hyperband, SchedulerKind::HyperbandAsync] {
        let resumed = promoted(kind, 0.35);
        assert!(!resumed.contains(&1) && resumed.contains(&2), "{kind}: {resumed:?}");
    }
}

#[test]
fn a_race_drops_who_was_cut_off_even_from_the_lead() {
    let setup = Setup::new(space(), Metric::time("s")).searcher(SearcherKind::Random);
    let mut study = Study::new(setup.scheduler(SchedulerKind::Racing).max_resource(9).seed(2)).unwrap();
    let first = job(&mut study).trial;
    study.report(first, 1, 1.0).unwrap();
    assert_eq!(study.best().map(|b| b.trial), Some(first));
    let again = job(&mut study);
    assert_eq!((again.trial, again.resumed), (first, true));
    study.tell(first, Measured::at_least(3.0)).unwrap();
    let events = study.take_events();
    let second = job(&mut study);
    assert!(second.trial != first);
    study.report(second.trial, 1, 1.5).unwrap();
    assert_eq!(study.best().map(|b| b.trial), Some(second.trial), "one measurement of the first is known by a bound");
    assert_eq!(through_a_journal(&events).trials(), &study.trials()[..1]);
}

#[test]
fn every_searcher_works_with_trials_that_were_cut_off() {
    for kind in SearcherKind::ALL {
        let setup = Setup::new(space(), Metric::time("s")).searcher(kind).budget(30).seed(3);
        let mut study = Study::new(setup).unwrap();
        let mut events = study.take_events();
        for i in 0..24 {
            let Some(next) = study.ask().unwrap().assignment() else { break };
            let value = 1.0 + next.config.int("n").unwrap() as f64;
            let outcome = if i % 3 == 0 { Measured::new(value) } else { Measured::at_least(0.5 * value) };
            study.tell(next.trial, outcome).unwrap();
            if i % 3 == 0 {
                // The best is one that was measured.
                let best = study.best().unwrap();
                assert!(study.trials().iter().any(|t| t.config == best.config && t.told == Some(best.value)), "{kind}");
            }
            events.extend(study.take_events());
            let next = study.ask().ok().and_then(|ask| ask.assignment());
            let Some(next) = next else { break };
            assert_eq!(through_a_journal(&events).ask().unwrap().assignment(), Some(next.clone()), "{kind}");
            study.tell(next.trial, Measured::at_least(0.1)).unwrap();
            events.extend(study.take_events());
        }
        let cut: Vec<TrialId> = study.trials().iter().filter(|t| t.status == Status::CutOff).map(|t| t.id).collect();
        assert!(cut.len() > 1, "{kind}");
    }
}

/// A transfer of three knobs: about 1 at the best, 7 where they are far off.
fn transfer(config: &Config) -> f64 {
    let best = [20.0, 6.0, 12.0_f64];
    let square: f64 = ["a", "b", "c"]
        .iter()
        .zip(best)
        .map(|(name, best)| ((config.int(name).unwrap() as f64).ln() - best.ln()).powi(2))
        .sum();
    1.0 + 6.0 * (1.0 - (-square / 2.0).exp())
}

/// The true time of the recommendation of a study of so many trials, and the cost of all its trials.
fn searched(seed: u64, trials: u64, cuts: bool) -> (f64, f64) {
    let knob = || Domain::int(1, 64).unwrap().log().unwrap();
    let space = ["a", "b", "c"].into_iter().fold(Space::new(), |space, name| space.with(name, knob()).unwrap());
    // The starting point takes half as long again as the best.
    let start = Config::new().with("a", 16).with("b", 8).with("c", 10);
    let mut study = Study::new(Setup::new(space, Metric::time("s")).budget(trials).seed(seed).point(start)).unwrap();
    let mut noise = tunekit::searcher::Stream::of_study(seed, "noise of a test");
    let (mut least, mut cost) = (f64::INFINITY, 0.0);
    for _ in 0..trials {
        let next = job(&mut study);
        let took = transfer(&next.config) * (0.05 * noise.normal()).exp();
        let limit = if cuts { 1.5 * least } else { f64::INFINITY };
        if took > limit {
            study.tell(next.trial, Measured::at_least(limit).cost(limit)).unwrap();
        } else {
            study.tell(next.trial, Measured::new(took).cost(took)).unwrap();
            least = least.min(took);
        }
        cost += took.min(limit);
    }
    (transfer(&study.best().unwrap().config), cost)
}

/// The means over seeds of ln(regret + 1 %) and of the cost, in full and with cut-offs at 1.5 times the least so far.
fn compared(seeds: std::ops::Range<u64>, trials: u64) -> [(f64, f64); 2] {
    let n = (seeds.end - seeds.start) as f64;
    [false, true].map(|cuts| {
        let all: Vec<(f64, f64)> = seeds.clone().map(|seed| searched(seed, trials, cuts)).collect();
        let regret = all.iter().map(|(value, _)| (value - 1.0 + 0.01).ln()).sum::<f64>() / n;
        (regret, all.iter().map(|(_, cost)| cost).sum::<f64>() / n)
    })
}

#[test]
fn hopeless_trials_may_be_cut_off_at_no_loss() {
    let [(in_full, cost), (cut, less)] = compared(0..6, 20);
    assert!(less < 0.75 * cost, "{less} of {cost}");
    assert!(cut < in_full + 0.7, "{cut} after cut-offs, {in_full} in full");
}

/// The same over more seeds: `cargo test --release -p tunekit --test studies cut_off -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
fn hopeless_trials_may_be_cut_off_at_no_loss_over_many_seeds() {
    let all = [12, 20, 30, 40].map(|trials| (trials, compared(100..140, trials)));
    for (trials, [(in_full, cost), (cut, less)]) in all {
        println!("{trials} trials: ln regret {in_full:.3} at {cost:.1}, with cut-offs {cut:.3} at {less:.1}");
    }
    // A bound says less than a value, for a while: after the same trials hardly worse, at the same cost better.
    for (_, [(in_full, cost), (cut, less)]) in all {
        assert!(cut < in_full + 0.5 && less < 0.8 * cost);
    }
    let [(_, [(in_full, cost), _]), (_, [_, (cut, less)]), ..] = all;
    assert!(less < cost && cut < in_full, "20 trials with cut-offs cost less than 12 without, and find more");
}
