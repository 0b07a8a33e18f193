//! The end of a study: when there is nothing more to do, trials that are over, and limits that change.

use std::collections::VecDeque;

use serde_json::{Value as Json, json};
use tunekit::journal::{Event, SCHEMA};
use tunekit::scheduler::SchedulerSpec;
use tunekit::study::{DoneBecause, VerifyError};
use tunekit::{
    Ask, Assignment, Decision, Domain, Measured, Metric, Outcome, SchedulerKind, SearcherKind, Setup, Space, Status,
    Study, TrialId,
};

fn spec(kind: SchedulerKind, options: &Json) -> SchedulerSpec {
    SchedulerSpec::from_json(kind.as_str(), options.as_object().unwrap()).unwrap()
}

fn setup(scheduler: SchedulerSpec, max: u64) -> Setup {
    let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
    let setup = Setup::new(space, Metric::minimize("loss")).searcher(SearcherKind::Random);
    setup.scheduler(scheduler).max_resource(max).seed(3)
}

fn job(study: &mut Study) -> Assignment {
    study.ask().unwrap().assignment().expect("a trial")
}

/// Reports where the job's next decision is due, and tells what is to end.
fn run(study: &mut Study, job: &Assignment) -> Decision {
    let step = job.resource.unwrap_or(9);
    let decision = study.report(job.trial, step, job.config.float("x").unwrap() + 1.0 / step as f64).unwrap();
    if decision != Decision::Pause {
        study.tell(job.trial, Outcome::Done).unwrap();
    }
    decision
}

/// Runs a study of six trials with three workers to its end. Gives how often a worker was to wait, and how often there
/// was nothing more to do while others worked.
fn workers(mut study: Study) -> (u64, u64) {
    study.limit_trials(Some(6));
    let mut open: VecDeque<Assignment> = VecDeque::new();
    let (mut waited, mut done) = (0, 0);
    loop {
        let mut is_free = false;
        match study.ask().unwrap() {
            Ask::Trial(job) => {
                open.push_back(job);
                is_free = open.len() < 3;
            }
            Ask::Wait => waited += 1,
            Ask::Done(DoneBecause::Budget) if open.is_empty() => return (waited, done),
            Ask::Done(DoneBecause::Budget) => done += 1,
            other => panic!("{other:?}"),
        }
        if !is_free {
            run(&mut study, &open.pop_front().expect("somebody works while others wait"));
        }
    }
}

#[test]
fn nothing_more_is_to_be_done_only_where_no_result_lets_a_paused_trial_go_on() {
    for kind in SchedulerKind::ALL {
        let (waited, done) = workers(Study::new(setup(kind.into(), 9)).unwrap());
        match kind {
            SchedulerKind::Fifo | SchedulerKind::Asha | SchedulerKind::Median => {
                assert!(waited == 0 && done > 0, "{kind}: {waited} {done}");
            }
            _ => assert!(waited > 0 && done == 0, "{kind}: {waited} {done}"),
        }
    }
    for (within, pauses) in [("asha", false), ("asha_promotion", true)] {
        let median = spec(SchedulerKind::Median, &json!({"within": within}));
        let (waited, done) = workers(Study::new(setup(median, 9)).unwrap());
        assert_eq!((waited > 0, done > 0), (pauses, !pauses), "{within}");
    }
}

#[test]
fn a_space_that_is_used_up_is_done_with_when_no_trial_runs() {
    let space = Space::new().with("n", Domain::int(1, 3).unwrap()).unwrap();
    let metric = Metric::minimize("loss").deterministic();
    let promotion = setup(SchedulerKind::AshaPromotion.into(), 9);
    let mut study = Study::new(Setup { space, metric, ..promotion }).unwrap();
    let open: Vec<Assignment> = (0..3).map(|_| job(&mut study)).collect();
    for job in &open {
        assert_eq!(study.ask().unwrap(), Ask::Wait);
        assert_eq!(study.report(job.trial, 1, job.trial.0 as f64).unwrap(), Decision::Pause);
    }
    let best = job(&mut study);
    assert_eq!((best.trial, best.resource), (TrialId(0), Some(3)));
    assert_eq!(study.ask().unwrap(), Ask::Wait);
    assert_eq!(study.report(best.trial, 3, 0.0).unwrap(), Decision::Pause);
    assert_eq!(study.ask().unwrap(), Ask::Done(DoneBecause::Exhausted));
}

/// A study whose journal was begun with this schema, and the journal.
fn of_schema(setup: &Setup, schema: u32) -> (Study, Vec<Event>) {
    let mut header = setup.header().unwrap();
    header.schema = schema;
    let events = vec![Event::Header(Box::new(header))];
    (Study::replay(events.clone()).unwrap(), events)
}

#[test]
fn a_trial_that_was_told_to_stop_is_over_whatever_becomes_of_its_worker() {
    for kind in [SchedulerKind::Asha, SchedulerKind::Fifo] {
        for schema in [7, SCHEMA] {
            let (mut study, mut events) = of_schema(&setup(kind.into(), 9), schema);
            // The first one goes on, the second one is behind; at the end of a full run there is nothing left.
            let [first, second] = [0, 1].map(|_| job(&mut study).trial);
            assert_eq!(study.report(first, 1, 1.0), Ok(Decision::Continue));
            let step = if kind == SchedulerKind::Asha { 1 } else { 9 };
            assert_eq!(study.report(second, step, 2.0), Ok(Decision::Stop), "{kind}");
            events.extend(study.take_events());
            let mut study = Study::replay(events.clone()).unwrap();
            study.interrupt_open();
            let second_is = study.trial(second).unwrap().status;
            let statuses = (study.trial(first).unwrap().status, second_is);
            let next = job(&mut study);
            assert_eq!((next.trial, next.attempt), (first, 2));
            if schema == SCHEMA {
                assert_eq!(statuses, (Status::Interrupted, Status::Stopped), "{kind}");
                assert_eq!(study.best().map(|best| (best.trial, best.value)), Some((second, 2.0)));
                assert_eq!(job(&mut study).trial, TrialId(2), "{kind}");
            } else {
                assert_eq!(statuses, (Status::Interrupted, Status::Interrupted), "{kind}");
                assert_eq!(job(&mut study).trial, second, "{kind}");
            }
            events.extend(study.take_events());
            assert_eq!(Study::verify(events, None), Ok(6), "{kind} {schema}");
        }
    }
}

#[test]
fn a_trial_that_has_more_to_tell_is_asked_for_again() {
    let with_objective = setup(SchedulerKind::Fifo.into(), 9).objective(Metric::minimize("memory"));
    let mut study = Study::new(with_objective).unwrap();
    let [failed, partial, whole] = [0, 1, 2].map(|_| job(&mut study).trial);
    assert_eq!(study.report(failed, 1, f64::NAN), Ok(Decision::Stop));
    assert_eq!(study.report(partial, 9, 1.0), Ok(Decision::Stop));
    assert_eq!(study.report(whole, 9, Measured::new(1.0).more([2.0])), Ok(Decision::Stop));
    study.interrupt_open();
    let statuses = [failed, partial, whole].map(|trial| study.trial(trial).unwrap().status);
    assert_eq!(statuses, [Status::Interrupted, Status::Interrupted, Status::Stopped]);
}

#[test]
fn a_study_whose_limit_changed_is_derived_again_from_its_journal() {
    for schema in [7, SCHEMA] {
        let (mut study, mut events) = of_schema(&setup(SchedulerKind::Hyperband.into(), 81), schema);
        for limit in [30, 60] {
            study.limit_trials(Some(limit));
            // The same one is no event.
            study.limit_trials(Some(limit));
            while let Some(job) = study.ask().unwrap().assignment() {
                run(&mut study, &job);
            }
            assert_eq!(study.started(), limit);
            events.extend(study.take_events());
        }
        let limits: Vec<Option<u64>> = events
            .iter()
            .filter_map(|event| if let Event::Limit { max_trials, .. } = event { Some(*max_trials) } else { None })
            .collect();
        assert_eq!(limits, if schema == SCHEMA { vec![Some(30), Some(60)] } else { Vec::new() });
        let decisions = events.iter().filter(|e| matches!(e, Event::Ask { .. } | Event::Report { .. })).count();
        assert_eq!(Study::verify(events.clone(), Some(60)), Ok(decisions), "schema {schema}");
        // A later journal tells its limits itself.
        assert_eq!(Study::verify(events.clone(), None), Ok(decisions), "schema {schema}");
        let mut again = Study::replay(events.clone()).unwrap();
        let is_done = again.ask().unwrap() == Ask::Done(DoneBecause::Budget);
        assert_eq!(is_done, schema == SCHEMA, "schema {schema}");

        // A decision that follows from neither limit is noticed.
        let last = events.iter().rposition(|event| matches!(event, Event::Ask { .. })).unwrap();
        if let Event::Ask { resource: Some(resource), .. } = &mut events[last] {
            *resource += 1;
        }
        let error = Study::verify(events, Some(60)).unwrap_err();
        assert!(matches!(error, VerifyError::Differs { event, .. } if event == last), "schema {schema}: {error}");
    }
    let limit = Event::Limit { max_trials: Some(60), at_s: None };
    assert_eq!(limit.to_line(), r#"{"event":"limit","max_trials":60}"#);
    assert_eq!(serde_json::from_str::<Event>(&limit.to_line()).unwrap(), limit);
}
