//! Studies that measure more than one number: objectives, constraints, costs; conditional spaces and predicates; and
//! what their journals hold.

use proptest::prelude::*;
use tunekit::journal::{Event, JournalFile};
use tunekit::searcher::{History, SuggestError};
use tunekit::study::{SetupError, TellError};
use tunekit::{
    Ask, Assignment, Config, Domain, Experiment, Goal, Measured, Metric, Outcome, SearcherKind, Setup, Space, Status,
    Study, TrialId,
};

fn space() -> Space {
    Space::new()
        .with("engine", Domain::categorical(["plain", "pooled"]).unwrap())
        .unwrap()
        .with_when("pool", Domain::int(1, 64).unwrap().log().unwrap(), "engine", ["pooled"])
        .unwrap()
        .with_when("grow", Domain::Bool, "pool", (2..65).collect::<Vec<i64>>())
        .unwrap()
        .with("chunk", Domain::int(1, 64).unwrap())
        .unwrap()
        .require("pool * chunk <= 256")
        .unwrap()
        .require("engine == 'pooled' or chunk >= 8")
        .unwrap()
}

fn setup() -> Setup {
    Setup::new(space(), Metric::minimize("loss"))
        .searcher(SearcherKind::Random)
        .objective(Metric::maximize("rate"))
        .constraint("memory")
        .seed(3)
}

fn job(study: &mut Study) -> Assignment {
    study.ask().unwrap().assignment().expect("a trial")
}

fn chunk(value: i64) -> Config {
    Config::new().with("engine", "plain").with("chunk", value)
}

/// Loss, rate and memory of a trial told at once.
fn all(loss: f64, rate: f64, memory: f64) -> Measured {
    Measured::new(loss).more([rate]).constraints([memory])
}

#[test]
fn a_trial_is_told_with_all_that_the_study_measures() {
    let mut study = Study::new(setup().cost_aware()).unwrap();
    let trial = job(&mut study).trial;
    let wrong = [
        Outcome::Value(1.0),
        Measured::new(1.0).more([2.0]).into(),
        Measured::new(1.0).constraints([2.0]).into(),
        Measured::new(1.0).more([2.0, 3.0]).constraints([0.0]).into(),
    ];
    for outcome in wrong {
        assert!(matches!(study.tell(trial, outcome), Err(TellError::Incomplete { .. })));
    }
    for cost in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(study.tell(trial, all(1.0, 2.0, 0.0).cost(cost)), Err(TellError::Cost { .. })), "{cost}");
    }
    assert!(matches!(study.add(&chunk(9), 1.0), Err(TellError::Incomplete { .. })));
    assert!(matches!(study.add(&chunk(9), all(1.0, f64::NAN, 0.0)), Err(TellError::NotFinite { .. })));
    assert_eq!(study.trial(trial).unwrap().status, Status::Running);
    study.tell(trial, all(1.0, 2.0, -0.5).cost(90.0)).unwrap();
    // A number that is none makes the trial failed, in whichever place; a failure needs no numbers.
    for (outcome, reason) in [
        (all(1.0, f64::NAN, 0.0).into(), "NaN"),
        (all(1.0, 0.0, f64::INFINITY).into(), "inf"),
        (all(f64::NAN, 0.0, 0.0).into(), "NaN"),
        (Outcome::Failed("no disk".to_owned()), "no disk"),
    ] {
        let trial = job(&mut study).trial;
        study.tell(trial, outcome).unwrap();
        let failure = study.trial(trial).unwrap().failure.clone().unwrap();
        assert!(failure.contains(reason), "{failure}");
    }
    let history = study.history();
    assert!(history.cost_aware());
    assert_eq!(history.objectives()[0].goal, Goal::Max);
    assert_eq!(history.constraints(), ["memory"]);
    let observed = history.observed();
    assert_eq!(observed.len(), 1);
    let seen = (&observed[0].more, &observed[0].constraints, &observed[0].costs);
    assert_eq!(seen, (&vec![vec![2.0]], &vec![vec![-0.5]], &vec![90.0]));
    // A view made by hand sees the same.
    assert_eq!(History::of(study.header(), study.trials()).observed(), observed);
}

#[test]
fn a_name_that_is_empty_or_taken_is_refused() {
    for setup in [setup().constraint("rate"), setup().objective(Metric::minimize("loss")), setup().constraint("")] {
        assert!(matches!(Study::new(setup), Err(SetupError::MeasuredName { .. })));
    }
}

#[test]
fn best_and_front_are_of_what_meets_the_constraints() {
    let mut study = Study::new(setup()).unwrap();
    study.add(&chunk(10), all(0.0, 9.0, 1.0)).unwrap();
    assert_eq!((study.best(), study.pareto()), (None, Vec::new()));
    study.add(&chunk(11), all(2.0, 1.0, 0.0)).unwrap();
    study.add(&chunk(12), all(3.0, 5.0, -1.0)).unwrap();
    // Worse than the one before in both.
    study.add(&chunk(13), all(4.0, 4.0, -1.0)).unwrap();
    // Equal to the first that is allowed: both are on the front.
    study.add(&chunk(14), all(2.0, 1.0, -1.0)).unwrap();
    // Replicates count by their means: (1, 0), and memory 0.
    study.add(&chunk(15), all(0.0, 0.0, 2.0)).unwrap();
    study.add(&chunk(15), all(2.0, 0.0, -2.0)).unwrap();
    let best = study.best().unwrap();
    assert_eq!((best.trial, best.value, best.n, best.more), (TrialId(5), 1.0, 2, vec![0.0]));
    let front: Vec<(u64, f64, f64)> = study.pareto().iter().map(|b| (b.trial.0, b.value, b.more[0])).collect();
    assert_eq!(front, [(1, 2.0, 1.0), (2, 3.0, 5.0), (4, 2.0, 1.0), (5, 1.0, 0.0)]);
    let mut one = Study::new(Setup { objectives: Vec::new(), constraints: Vec::new(), ..setup() }).unwrap();
    one.add(&chunk(9), 2.0).unwrap();
    one.add(&chunk(10), 1.0).unwrap();
    assert_eq!(one.pareto(), one.best().into_iter().collect::<Vec<_>>());
}

#[test]
fn tables_have_a_column_for_each_thing_measured() {
    let mut study = Study::new(setup()).unwrap();
    study.add(&chunk(10), all(0.5, 9.0, -1.0).cost(2.0)).unwrap();
    let names = |study: &Study| -> Vec<String> {
        Experiment::of(study).trials_table().columns().map(|(name, _)| name.to_owned()).collect()
    };
    let table = Experiment::of(&study).trials_table();
    let cell = |name: &str| table.column(name).unwrap().text(0);
    assert_eq!(["objective_rate", "constraint_memory", "cost"].map(cell), ["9.0", "-1.0", "2.0"]);
    assert_eq!(["config_engine", "config_pool", "config_chunk"].map(cell), ["plain", "", "10"]);
    let plain = Study::new(Setup { objectives: Vec::new(), constraints: Vec::new(), ..setup() }).unwrap();
    assert!(
        names(&plain)
            .iter()
            .all(|n| !n.starts_with("objective") && !n.starts_with("con") && n != "cost" || n.starts_with("config_"))
    );
}

#[test]
fn drawn_configurations_exist_and_are_allowed() {
    for kind in [SearcherKind::Random, SearcherKind::Sobol] {
        let setup = Setup { objectives: Vec::new(), constraints: Vec::new(), ..setup() }.searcher(kind);
        let mut study = Study::new(setup).unwrap();
        for _ in 0..200 {
            let job = job(&mut study);
            assert_eq!(space().validate(&job.config), Ok(()), "{kind}");
            study.tell(job.trial, 1.0).unwrap();
        }
    }
}

#[test]
fn a_space_is_used_up_to_the_last_allowed_configuration() {
    let small = Space::new()
        .with("on", Domain::Bool)
        .unwrap()
        .with_when("n", Domain::int(1, 5).unwrap(), "on", [true])
        .unwrap()
        .require("n != 3")
        .unwrap();
    for kind in [SearcherKind::Random, SearcherKind::Sobol] {
        let setup = Setup::new(small.clone(), Metric::minimize("loss").deterministic()).searcher(kind);
        let mut study = Study::new(setup).unwrap();
        let mut seen = Vec::new();
        while let Ask::Trial(job) = study.ask().unwrap() {
            study.tell(job.trial, 1.0).unwrap();
            assert!(!seen.contains(&job.config), "{}", job.config);
            seen.push(job.config);
        }
        // Off, and four of the five values.
        assert_eq!(seen.len(), 5, "{kind}");
    }
}

#[test]
fn predicates_that_leave_nothing_are_said_to() {
    let narrow = |x: &str| {
        Space::new()
            .with("x", Domain::float(0.0, 1.0).unwrap())
            .unwrap()
            .with("b", Domain::Bool)
            .unwrap()
            .require(x)
            .unwrap()
    };
    for kind in [SearcherKind::Random, SearcherKind::Sobol] {
        for space in [narrow("x > 2"), Space::new().with("b", Domain::Bool).unwrap().require("b and not b").unwrap()] {
            let mut study = Study::new(Setup::new(space, Metric::minimize("loss")).searcher(kind)).unwrap();
            let error = study.ask().unwrap_err();
            assert!(matches!(error, SuggestError::Forbidden { .. }), "{error}");
        }
        // One in two hundred is found.
        let mut study = Study::new(Setup::new(narrow("x > 0.995"), Metric::minimize("loss")).searcher(kind)).unwrap();
        assert!(job(&mut study).config.float("x").unwrap() > 0.995);
    }
    let error = Study::new(setup().point(chunk(2))).unwrap_err().to_string();
    assert!(error.contains("point 0") && error.contains("chunk >= 8"), "{error}");
}

#[test]
fn an_integer_range_of_any_width_costs_no_memory() {
    let wide = Space::new()
        .with("bytes", Domain::int(1 << 20, 1 << 50).unwrap())
        .unwrap()
        .with("log", Domain::int(1, 1 << 44).unwrap().log().unwrap())
        .unwrap()
        .with_when("more", Domain::int(0, 1 << 49).unwrap(), "bytes", [1_i64 << 21])
        .unwrap()
        .require("bytes > log")
        .unwrap();
    // Were any of them listed, this would not end.
    assert!(wide.count().unwrap() > 1 << 90);
    assert!(wide.nth(1 << 80).is_some());
    let metric = Metric::minimize("loss").deterministic();
    for kind in [SearcherKind::Random, SearcherKind::Sobol] {
        let mut study = Study::new(Setup::new(wide.clone(), metric.clone()).searcher(kind)).unwrap();
        for _ in 0..20 {
            let job = job(&mut study);
            study.tell(job.trial, 1.0).unwrap();
        }
    }
}

#[test]
fn a_journal_of_schema_1_reads_as_it_did() {
    let lines = include_str!("../journals/schema-1.jsonl").lines();
    let mut events: Vec<Event> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    // The last line is what the version that wrote it asked for next.
    let Some(Event::Ask { trial, config, .. }) = events.pop() else { panic!("the last event is no ask") };
    let mut study = Study::replay(events).unwrap();
    assert_eq!(study.header().schema, 1);
    assert!(study.header().objectives.is_empty() && study.header().space.predicates().next().is_none());
    let values: Vec<Option<f64>> = study.trials().iter().map(|t| t.value(study.header().metric.value)).collect();
    assert_eq!(values, [Some(0.7), Some(0.5), None, Some(1.3)]);
    assert_eq!(study.best().unwrap().trial, TrialId(3));
    let next = job(&mut study);
    assert_eq!((next.trial, next.config), (trial, config));
    // The same setup goes on with it.
    let header = Setup::new(study.header().space.clone(), study.header().metric.clone())
        .seed(5)
        .searcher(SearcherKind::Sobol)
        .point(Config::new().with("x", 0.0));
    assert_eq!(study.header().difference(&header.header().unwrap()), None);
}

#[test]
fn a_journal_of_schema_5_reads_as_it_did_and_goes_on_with_reports_of_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    // Written with `serve` by the last version of that schema.
    std::fs::write(&path, include_str!("../journals/schema-5.jsonl")).unwrap();
    let mut events = JournalFile::read(&path).unwrap().events;
    let Some(Event::Ask { trial, config, .. }) = events.pop() else { panic!("the last event is no ask") };
    let mut study = Study::replay(events).unwrap();
    assert_eq!(study.header().schema, 5);
    let statuses: Vec<Status> = study.trials().iter().map(|t| t.status).collect();
    assert_eq!(statuses, [Status::Stopped, Status::Stopped, Status::Infeasible, Status::TimedOut, Status::Completed]);
    let front: Vec<(u64, f64, Vec<f64>)> =
        study.pareto().into_iter().map(|best| (best.trial.0, best.value, best.more)).collect();
    // Trial 1 did not come as far.
    assert_eq!(front, [(0, 0.9, vec![12.0])]);
    let next = job(&mut study);
    assert_eq!((next.trial, next.config), (trial, config));
    study.report(trial, 3, Measured::new(0.95).more([2.0]).constraints([-1.0])).unwrap();
    study.tell(trial, Outcome::Done).unwrap();
    assert_eq!(study.pareto().iter().map(|best| best.trial).collect::<Vec<_>>(), [trial]);
    // Its lines are read as they are written.
    let lines: Vec<String> = study.take_events().iter().map(Event::to_line).collect();
    let earlier = JournalFile::read(&path)
        .unwrap()
        .events
        .into_iter()
        .filter(|e| !matches!(e, Event::Ask { trial: t, .. } if *t == trial));
    let read = lines.iter().map(|line| serde_json::from_str::<Event>(line).unwrap());
    assert_eq!(Study::replay(earlier.chain(read)).unwrap().trials(), study.trials());
}

/// A caller's step.
#[derive(Debug, Clone)]
enum Step {
    Ask,
    Tell(usize, [f64; 3], Option<f64>),
    Fail(usize),
    Add(i64, [f64; 3]),
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let three = || [-9.0..9.0_f64, -9.0..9.0_f64, -9.0..9.0_f64];
    let step = prop_oneof![
        4 => Just(Step::Ask),
        4 => (0..8_usize, three(), prop::option::of(-1.0..9.0_f64)).prop_map(|(t, v, c)| Step::Tell(t, v, c)),
        1 => (0..8_usize).prop_map(Step::Fail),
        2 => (1..20_i64, three()).prop_map(|(n, v)| Step::Add(n, v)),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever callers do and whenever they crash, the journal, through its lines, replays to the same study: the same
    /// trials, front and next suggestion.
    #[test]
    fn a_study_of_everything_is_its_journal(steps in steps()) {
        let mut study = Study::new(setup()).unwrap();
        let mut journal: Vec<String> = Vec::new();
        let read = |journal: &[String]| {
            Study::replay(journal.iter().map(|line| serde_json::from_str::<Event>(line).unwrap())).unwrap()
        };
        for step in steps {
            match step {
                Step::Ask => drop(study.ask().unwrap()),
                Step::Tell(t, [loss, rate, memory], cost) => {
                    let measured = Measured { cost, ..all(loss, rate, memory) };
                    drop(study.tell(TrialId(t as u64), measured));
                }
                Step::Fail(t) => drop(study.tell(TrialId(t as u64), Outcome::Failed("so".to_owned()))),
                Step::Add(n, [loss, rate, memory]) => drop(study.add(&chunk(n), all(loss, rate, memory))),
                Step::Crash => {
                    journal.extend(study.take_events().iter().map(Event::to_line));
                    study = read(&journal);
                    study.interrupt_open();
                }
            }
        }
        journal.extend(study.take_events().iter().map(Event::to_line));
        let mut replayed = read(&journal);
        prop_assert_eq!(replayed.header(), study.header());
        prop_assert_eq!(replayed.trials(), study.trials());
        prop_assert_eq!(replayed.history().observed(), study.history().observed());
        prop_assert_eq!(replayed.history().pending(), study.history().pending());
        prop_assert_eq!(replayed.history().failed(), study.history().failed());
        prop_assert_eq!(replayed.pareto(), study.pareto());
        prop_assert_eq!(replayed.ask().unwrap(), study.ask().unwrap());
    }
}
