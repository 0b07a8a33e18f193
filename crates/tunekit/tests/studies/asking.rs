//! A study's promises: it is a fold over its journal, loses nothing that ended and counts nothing twice.

use std::time::Duration;

use proptest::prelude::*;
use tunekit::journal::Event;
use tunekit::scheduler::{Advice, Job, Scheduler};
use tunekit::searcher::{History, Searcher, Stream};
use tunekit::study::{DoneBecause, ReplayError, TellError, ValueRule};
use tunekit::{
    Ask, Assignment, Config, Decision, Domain, Experiment, Metric, Outcome, SearcherKind, Setup, Space, Status, Study,
    Trial, TrialId,
};

fn space() -> Space {
    Space::new()
        .with("x", Domain::float(-5.0, 10.0).unwrap())
        .unwrap()
        .with("n", Domain::int(1, 512).unwrap().log().unwrap())
        .unwrap()
        .with("kind", Domain::categorical(["a", "b"]).unwrap())
        .unwrap()
}

fn setup() -> Setup {
    Setup::new(space(), Metric::minimize("loss")).seed(7)
}

fn run(study: &mut Study) -> Assignment {
    study.ask().unwrap().assignment().expect("a trial")
}

#[test]
fn points_to_evaluate_come_first_and_are_completed() {
    let mut study =
        Study::new(setup().point(Config::new().with("x", 0)).point(Config::new().with("kind", "b"))).unwrap();
    assert_eq!(run(&mut study).config, Config::new().with("x", 0.0).with("n", 23).with("kind", "a"));
    assert_eq!(run(&mut study).config, Config::new().with("x", 2.5).with("n", 23).with("kind", "b"));
    let error = Study::new(setup().point(Config::new().with("x", 99))).unwrap_err().to_string();
    assert!(error.contains("point 0") && error.contains("`x` is 99"), "{error}");
}

#[test]
fn the_journal_is_the_study_at_every_prefix() {
    for kind in SearcherKind::ALL {
        let mut study = Study::new(setup().searcher(kind)).unwrap();
        let mut journal = study.take_events();
        for i in 0..14 {
            // Two in flight, one report, one failure now and then.
            let asked = run(&mut study);
            journal.extend(study.take_events());
            let again = Study::replay(journal.clone()).unwrap();
            assert_eq!(again.trials(), study.trials());
            if i % 2 == 1 {
                for t in [asked.trial.0 - 1, asked.trial.0] {
                    let value = study.trial(TrialId(t)).unwrap().config.float("x").unwrap().powi(2);
                    study.report(TrialId(t), 1, value).unwrap();
                    let outcome = if t % 5 == 3 { Outcome::Failed("no luck".to_owned()) } else { Outcome::Done };
                    study.tell(TrialId(t), outcome).unwrap();
                }
                journal.extend(study.take_events());
            }
            // The next suggestion of the live study and of the replayed one.
            let mut live = Study::replay(journal.clone()).unwrap();
            let lines: Vec<String> = journal.iter().map(Event::to_line).collect();
            let read: Vec<Event> = lines.iter().map(|l| serde_json::from_str(l).unwrap()).collect();
            assert_eq!(read, journal);
            let mut replayed = Study::replay(read).unwrap();
            assert_eq!(live.ask().unwrap(), replayed.ask().unwrap(), "{kind} after {i}");
        }
        // The live study goes on as any of its replays would have.
        let mut other = Study::replay(journal).unwrap();
        assert_eq!(study.ask().unwrap(), other.ask().unwrap());
    }
}

#[test]
fn an_interrupted_trial_is_asked_again_and_its_reports_are_void() {
    let mut study = Study::new(Setup { metric: Metric::time("t"), ..setup() }).unwrap();
    let first = run(&mut study);
    study.report(first.trial, 1, 3.0).unwrap();
    let mut resumed = Study::replay(study.take_events()).unwrap();
    resumed.interrupt_open();
    assert_eq!(resumed.trial(first.trial).unwrap().status, Status::Interrupted);
    let again = run(&mut resumed);
    assert_eq!((again.trial, &again.config, again.attempt), (first.trial, &first.config, 2));
    assert!(!again.resumed);
    resumed.report(first.trial, 1, 5.0).unwrap();
    resumed.tell(first.trial, Outcome::Done).unwrap();
    let best = resumed.best().unwrap();
    assert_eq!((best.value, best.n), (5.0, 1));
    assert_eq!(run(&mut resumed).trial, TrialId(1));
}

/// Pauses every trial at its first report and resumes it before anything new starts.
struct Pausing;

impl Scheduler for Pausing {
    fn name(&self) -> &str {
        "pausing"
    }

    fn next(&mut self, history: &History<'_>, _: &mut Stream) -> Job {
        match history.trials().iter().find(|t| t.status == Status::Paused) {
            Some(t) => Job::Resume { trial: t.id, resource: Some(3) },
            None => Job::Start { resource: Some(1) },
        }
    }

    fn on_report(&mut self, _: &History<'_>, trial: &Trial) -> Decision {
        if trial.measurements.len() == 1 { Decision::Pause } else { Decision::Continue }
    }
}

#[test]
fn a_resumed_trial_that_is_cut_off_keeps_what_it_had_before_the_pause() {
    let make =
        || -> (Box<dyn Searcher>, Box<dyn Scheduler>) { (Box::new(tunekit::searcher::Random), Box::new(Pausing)) };
    let (searcher, scheduler) = make();
    let metric = Metric::time("t");
    let mut study = Study::with(Setup { metric, ..setup() }, searcher, scheduler).unwrap();
    let first = run(&mut study);
    assert_eq!((first.resource, first.resumed), (Some(1), false));
    assert_eq!(study.report(first.trial, 1, 2.0).unwrap(), Decision::Pause);
    assert!(matches!(study.tell(first.trial, 1.0), Err(TellError::NotRunning { status: "paused", .. })));
    let second = run(&mut study);
    assert_eq!((second.trial, second.resource, second.resumed), (first.trial, Some(3), true));
    study.report(first.trial, 2, 100.0).unwrap();

    // The process dies: the report since the resumption is void, the one before the pause is not.
    let (searcher, scheduler) = make();
    let mut again = Study::replay_with(study.take_events(), searcher, scheduler).unwrap();
    again.interrupt_open();
    let third = run(&mut again);
    assert_eq!((third.trial, third.resource, third.resumed, third.attempt), (first.trial, Some(3), true, 2));
    again.report(first.trial, 2, 4.0).unwrap();
    again.tell(first.trial, ()).unwrap();
    assert_eq!(again.best().map(|b| (b.value, b.n)), Some((4.0, 1)));
}

#[test]
fn the_value_comes_from_reports_by_the_metrics_rule() {
    for (metric, value, n) in [(Metric::time("t").replicated(), 3.0, 2), (Metric::time("t"), 4.0, 1)] {
        let mut study = Study::new(Setup { metric, ..setup() }).unwrap();
        let job = run(&mut study);
        study.report(job.trial, 1, 2.0).unwrap();
        study.report(job.trial, 2, 4.0).unwrap();
        study.tell(job.trial, ()).unwrap();
        let best = study.best().unwrap();
        assert_eq!((best.value, best.n), (value, n));
    }
}

#[test]
fn what_is_not_finite_fails_the_trial_with_a_reason() {
    let mut study = Study::new(setup()).unwrap();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let told = run(&mut study).trial;
        study.tell(told, value).unwrap();
        let reported = run(&mut study).trial;
        assert_eq!(study.report(reported, 1, value).unwrap(), Decision::Stop);
        study.tell(reported, 1.0).unwrap();
        for trial in [told, reported] {
            let trial = study.trial(trial).unwrap();
            assert_eq!(trial.status, Status::Failed);
            assert!(trial.failure.as_ref().unwrap().contains("finite"));
        }
    }
    assert_eq!(study.best(), None);
    assert!(Study::replay(study.take_events()).is_ok());
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut study = Study::new(setup()).unwrap();
    let job = run(&mut study);
    let before = study.take_events();
    assert!(matches!(study.tell(TrialId(5), 1.0), Err(TellError::NotRunning { status: "unknown", .. })));
    assert!(matches!(study.tell(job.trial, ()), Err(TellError::NoValue { .. })));
    study.report(job.trial, 2, 1.0).unwrap();
    assert!(matches!(study.report(job.trial, 2, 1.0), Err(TellError::Step { last: 2, .. })));
    study.tell(job.trial, 1.0).unwrap();
    assert!(matches!(study.tell(job.trial, 1.0), Err(TellError::NotRunning { status: "completed", .. })));
    assert!(matches!(study.add(&job.config, f64::NAN), Err(TellError::NotFinite { .. })));
    assert!(matches!(study.add(&Config::new().with("x", 1.0), 1.0), Err(TellError::Outside(_))));
    assert_eq!((before.len(), study.take_events().len()), (2, 2));
    assert!(Study::new(Setup::new(Space::new(), Metric::default())).is_err());
}

#[test]
fn results_from_elsewhere_count_as_measured_but_not_as_started() {
    let mut study = Study::new(setup()).unwrap();
    study.limit_trials(Some(1));
    let config = Config::new().with("x", 1).with("n", 5).with("kind", "b");
    study.add(&config, 1.5).unwrap();
    study.add(&config, 2.5).unwrap();
    let best = study.best().unwrap();
    assert_eq!((best.trial, best.value, best.n), (TrialId(0), 2.0, 2));
    // Student's interval of two samples: 2 +- 12.706 * 0.7071 / sqrt 2.
    let [low, high] = best.ci95.unwrap();
    assert!((low - (2.0 - 6.353)).abs() < 1e-3 && (high - (2.0 + 6.353)).abs() < 1e-3);
    assert_eq!(run(&mut study).trial, TrialId(2));
    assert_eq!(study.ask().unwrap(), Ask::Done(DoneBecause::Budget));
}

#[test]
fn a_finite_space_without_noise_is_exhausted_and_with_noise_is_repeated() {
    let small = Space::new().with("b", Domain::Bool).unwrap().with("n", Domain::int(1, 3).unwrap()).unwrap();
    for kind in SearcherKind::ALL {
        let metric = Metric::minimize("loss").deterministic();
        let mut study = Study::new(Setup::new(small.clone(), metric).searcher(kind)).unwrap();
        let mut keys = Vec::new();
        for _ in 0..6 {
            let job = run(&mut study);
            keys.push(job.config.key());
            study.tell(job.trial, 1.0).unwrap();
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 6, "{kind}");
        assert_eq!(study.ask().unwrap(), Ask::Done(DoneBecause::Exhausted), "{kind}");

        let mut noisy = Study::new(Setup::new(small.clone(), Metric::minimize("loss")).searcher(kind)).unwrap();
        for _ in 0..15 {
            let job = run(&mut noisy);
            noisy.tell(job.trial, 1.0).unwrap();
        }
    }
}

#[test]
fn larger_is_better_where_the_metric_says_so() {
    let mut study = Study::new(Setup { metric: Metric::maximize("rate"), ..setup() }).unwrap();
    let (a, b) = (run(&mut study), run(&mut study));
    study.tell(a.trial, 1.0).unwrap();
    study.tell(b.trial, 2.0).unwrap();
    assert_eq!(study.best().unwrap().trial, b.trial);
}

#[test]
fn events_that_contradict_each_other_are_refused() {
    let mut study = Study::new(setup()).unwrap();
    run(&mut study);
    let events = study.take_events();
    assert!(matches!(Study::replay(Vec::new()), Err(ReplayError::NoHeader)));
    assert!(matches!(Study::replay(events[1..].to_vec()), Err(ReplayError::NoHeader)));
    let told = Event::Tell { trial: TrialId(3), outcome: Outcome::Value(1.0), at_s: None };
    let wrong = Study::replay(events.iter().cloned().chain([told]));
    assert!(matches!(wrong, Err(ReplayError::Contradiction { event: 2, .. })));
    let mut newer = events.clone();
    if let Event::Header(header) = &mut newer[0] {
        header.schema = 99;
    }
    assert!(matches!(Study::replay(newer), Err(ReplayError::Schema { found: 99, .. })));
    let mut foreign = events;
    if let Event::Header(header) = &mut foreign[0] {
        header.searcher = "mine".to_owned();
    }
    let error = Study::replay(foreign.clone()).unwrap_err().to_string();
    assert!(error.contains("`mine`") && error.contains("random"), "{error}");
    // Tables need no searcher.
    assert_eq!(Experiment::from_events(foreign).unwrap().trials().len(), 1);
}

#[test]
fn tables_hold_one_row_a_trial_and_one_a_measurement() {
    let mut study = Study::new(Setup { metric: Metric::time("t").replicated(), ..setup() }).unwrap();
    let (a, b) = (run(study.at(Duration::from_secs(1))), run(&mut study));
    study.report(a.trial, 1, 2.0).unwrap();
    study.report(a.trial, 2, 4.0).unwrap();
    study.at(Duration::from_secs(5)).tell(a.trial, ()).unwrap();
    study.tell(b.trial, Outcome::Failed("full disk".to_owned())).unwrap();
    let experiment = Experiment::of(&study);
    assert_eq!(experiment.measurements(), 2);
    let trials = experiment.trials_table();
    let row = |row| trials.columns().map(|(_, cells)| cells.text(row)).collect::<Vec<_>>();
    let names: Vec<&str> = trials.columns().map(|(name, _)| name).collect();
    assert_eq!(names[..7], ["trial_id", "status", "origin", "value", "n", "sd", "attempt"]);
    assert_eq!(names[7..], ["started_s", "ended_s", "elapsed_s", "failure", "config_x", "config_n", "config_kind"]);
    assert_eq!(
        row(0)[..10],
        ["0", "completed", "searcher", "3.0", "2", "1.4142135623730951", "1", "1.0", "5.0", "4.0"]
    );
    assert_eq!(row(1)[1], "failed");
    assert_eq!(row(1)[10], "full disk");
    let measurements = experiment.measurements_table();
    assert_eq!((measurements.rows(), measurements.column("value").unwrap().text(1)), (2, "4.0".to_owned()));
    // Replaying the events gives the same tables.
    assert_eq!(Experiment::from_events(study.take_events()).unwrap(), experiment);
}

/// A caller's step.
#[derive(Debug, Clone)]
enum Step {
    Ask,
    Report(usize, f64),
    Tell(usize, f64),
    Fail(usize),
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Ask),
        3 => (0..8_usize, -10.0..10.0_f64).prop_map(|(t, v)| Step::Report(t, v)),
        2 => (0..8_usize, -10.0..10.0_f64).prop_map(|(t, v)| Step::Tell(t, v)),
        1 => (0..8_usize).prop_map(Step::Fail),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever callers do and whenever they crash, the journal replays to the same study, trials are numbered without
    /// gaps, and what ended stays as it ended.
    #[test]
    fn no_order_of_calls_breaks_the_fold(steps in steps()) {
        let mut study = Study::new(Setup { metric: Metric::minimize("loss").replicated(), ..setup() }).unwrap();
        let mut journal = Vec::new();
        let mut ended: Vec<Trial> = Vec::new();
        for step in steps {
            match step {
                Step::Ask if study.started() < 8 => drop(study.ask().unwrap()),
                Step::Ask => {}
                Step::Report(t, value) => {
                    let id = TrialId(t as u64);
                    let next = study.trial(id).and_then(|t| t.measurements.last()).map_or(1, |m| m.step + 1);
                    let _ = study.report(id, next, value);
                }
                Step::Tell(t, value) => drop(study.tell(TrialId(t as u64), value)),
                Step::Fail(t) => drop(study.tell(TrialId(t as u64), Outcome::Failed("so".to_owned()))),
                Step::Crash => {
                    journal.extend(study.take_events());
                    study = Study::replay(journal.clone()).unwrap();
                    study.interrupt_open();
                }
            }
            journal.extend(study.take_events());
            let replayed = Study::replay(journal.clone()).unwrap();
            prop_assert_eq!(replayed.trials(), study.trials());
            for (i, trial) in study.trials().iter().enumerate() {
                prop_assert_eq!(trial.id, TrialId(i as u64));
            }
            for old in &ended {
                prop_assert_eq!(Some(old), study.trial(old.id));
            }
            ended = study.trials().iter().filter(|t| t.is_finished()).cloned().collect();
        }
    }
}

#[test]
fn a_history_tells_what_every_configuration_came_to_at_every_level() {
    let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
    let setup = Setup::new(space, Metric::minimize("loss")).searcher(SearcherKind::Random).max_resource(9);
    let mut study = Study::new(setup).unwrap();
    let ask = |study: &mut Study| study.ask().unwrap().assignment().unwrap();
    let jobs: Vec<_> = (0..5).map(|_| ask(&mut study)).collect();
    let id = |i: usize| jobs[i].trial;
    for (trial, step, value) in
        [(1, 1, 0.1), (0, 1, 0.2), (1, 2, 0.3), (1, 4, 0.4), (0, 3, 0.5), (2, 9, 0.6), (3, 1, 0.7), (4, 1, 0.8)]
    {
        study.report(id(trial), step, value).unwrap();
    }
    study.tell(id(3), Outcome::Failed("no".to_owned())).unwrap();
    study.interrupt(id(4)).unwrap();
    study.add(&jobs[1].config, 0.9).unwrap();
    let reached = |study: &Study| -> Vec<(u64, usize, Vec<f64>)> {
        let history = study.history().under(Advice { levels: vec![1, 3, 9], ..Advice::default() });
        history.reached().into_iter().map(|r| (r.trial.0, r.level, r.samples)).collect()
    };
    // In the order of the reports; 4 is past 3, a first report at 9 says nothing of 1 and 3; what was added was run in
    // full.
    let mut expected = vec![
        (1, 0, vec![0.1]),
        (0, 0, vec![0.2]),
        (1, 1, vec![0.4]),
        (0, 1, vec![0.5]),
        (2, 2, vec![0.6]),
        (1, 2, vec![0.9]),
    ];
    assert_eq!(reached(&study), expected);
    // A trial that an interruption made void comes back in its new place.
    assert_eq!(ask(&mut study).trial, id(4));
    study.report(id(4), 1, 0.8).unwrap();
    expected.push((4, 0, vec![0.8]));
    assert_eq!(reached(&study), expected);
    let history = study.history().under(Advice { levels: vec![1, 3, 9], ..Advice::default() });
    let awaited: Vec<usize> = history.awaited().into_iter().map(|(_, level)| level).collect();
    assert_eq!(awaited, [2, 2, 1]);
    assert!(Study::replay(study.take_events()).is_ok_and(|again| reached(&again) == expected));
}

#[test]
fn replicates_of_an_interrupted_trial_stand_and_it_measures_what_is_left() {
    let setup = Setup::new(space(), Metric::time("s").replicated()).searcher(SearcherKind::Random).seed(5);
    let mut study = Study::new(setup).unwrap();
    let mut events = study.take_events();
    let job = run(&mut study);
    assert_eq!(job.after, None);
    study.report(job.trial, 1, 2.0).unwrap();
    study.report(job.trial, 2, 4.0).unwrap();
    study.interrupt(job.trial).unwrap();
    assert_eq!(study.trial(job.trial).unwrap().samples(ValueRule::Mean), [2.0, 4.0]);
    // They count although the trial is awaited.
    assert_eq!(study.history().observed()[0].samples, [2.0, 4.0]);
    assert_eq!(study.best().map(|b| (b.trial, b.value, b.n)), Some((job.trial, 3.0, 2)));
    let again = run(&mut study);
    assert_eq!(
        (again.trial, again.attempt, again.after, again.resumed, again.from),
        (job.trial, 2, Some(2), false, None)
    );
    assert!(matches!(study.report(job.trial, 2, 9.0), Err(TellError::Step { .. })));
    study.report(job.trial, 3, 6.0).unwrap();
    study.interrupt(job.trial).unwrap();
    assert_eq!(run(&mut study).after, Some(3));
    study.tell(job.trial, Outcome::Done).unwrap();
    assert_eq!(study.trial(job.trial).unwrap().value(ValueRule::Mean), Some(4.0));
    events.extend(study.take_events());
    assert_eq!(Study::replay(events.clone()).unwrap().trials(), study.trials());

    // A journal of the schema before makes them void, as it did when it was written.
    let Event::Header(header) = &mut events[0] else { panic!("a header comes first") };
    header.schema = 2;
    let mut old = Study::replay(events[..5].to_vec()).unwrap();
    assert!(old.trials()[0].measurements.is_empty());
    assert_eq!((run(&mut old).after, old.report(job.trial, 1, 2.0)), (None, Ok(Decision::Continue)));
}

#[test]
fn an_interrupted_trial_that_was_told_to_stop_is_over() {
    let setup = Setup::new(space(), Metric::time("s")).searcher(SearcherKind::Random);
    let setup = setup.scheduler(tunekit::SchedulerKind::Racing).max_resource(9).seed(2);
    let mut study = Study::new(setup).unwrap();
    let mut stopped = None;
    for value in [1.0, 1.01, 0.99, 1.0, 50.0, 51.0, 52.0, 53.0, 49.0] {
        let job = run(&mut study);
        let step = job.resource.unwrap();
        if study.report(job.trial, step, value).unwrap() == Decision::Stop {
            stopped = Some(job.trial);
            break;
        }
    }
    let trial = stopped.expect("fifty times as long is dropped");
    let before = study.trial(trial).unwrap().measurements.clone();
    study.interrupt_open();
    let t = study.trial(trial).unwrap();
    assert_eq!((t.status, &t.measurements), (Status::Stopped, &before));
    assert_ne!(run(&mut study).trial, trial, "there is nothing left to measure");
}
