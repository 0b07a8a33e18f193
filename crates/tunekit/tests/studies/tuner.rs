//! The tuner in paused time: limits, workers, failures, cancellation, and going on from a journal.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;
use tunekit::journal::{Event, JournalFile};
use tunekit::results::write_csv;
use tunekit::searcher::Stream;
use tunekit::study::TellError;
use tunekit::tuner::{Observer, StopAll, StopHandle, StopRule, StoppedBy, TunerError};
use tunekit::{
    Assignment, Decision, Domain, Experiment, Measured, Metric, Outcome, SchedulerKind, SearcherKind, Setup, Space,
    Status, Study, TrialId, Tuner,
};

fn setup() -> Setup {
    let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
    Setup::new(space, Metric::time("seconds")).seed(5).searcher(SearcherKind::Sobol)
}

#[tokio::test(start_paused = true)]
async fn max_trials_is_exact_and_workers_run_at_once() {
    let (now, most) = (Cell::new(0), Cell::new(0));
    let started = tokio::time::Instant::now();
    let tuning = Tuner::new(setup())
        .workers(4)
        .max_trials(10)
        .run(|trial| {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            let now = &now;
            async move {
                sleep(Duration::from_secs(1)).await;
                now.set(now.get() - 1);
                Ok::<_, Infallible>(trial.config().float("x").unwrap())
            }
        })
        .await
        .unwrap();
    assert_eq!(tuning.experiment.trials().len(), 10);
    assert!(tuning.experiment.trials().iter().all(|t| t.status == Status::Completed));
    assert_eq!((most.get(), tuning.stopped_by), (4, Some(StoppedBy::MaxTrials)));
    // 4 + 4 + 2 at a second each.
    assert_eq!(started.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_drops_what_runs_and_counts_it_as_interrupted() {
    let dropped = Rc::new(Cell::new(0));
    struct Bell(Rc<Cell<u32>>);
    impl Drop for Bell {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let tuning = Tuner::new(setup())
        .workers(2)
        .max_wall_time(Duration::from_secs(5))
        .run(|_| {
            let bell = Bell(dropped.clone());
            async move {
                let _bell = bell;
                sleep(Duration::from_secs(2)).await;
                Ok::<_, Infallible>(1.0)
            }
        })
        .await
        .unwrap();
    assert_eq!(tuning.stopped_by, Some(StoppedBy::MaxTuningTime));
    assert_eq!(tuning.elapsed.as_secs(), 5);
    let count = |status| tuning.experiment.trials().iter().filter(|t| t.status == status).count();
    assert_eq!((count(Status::Completed), count(Status::Interrupted), count(Status::Failed)), (4, 2, 0));
    assert_eq!(dropped.get(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_study_goes_on_from_its_journal_where_it_was_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let value = |x: f64| (x - 0.3).powi(2);
    let run = |path: std::path::PathBuf, stop_at: Option<u64>| async move {
        let seen = RefCell::new(Vec::new());
        let stop = StopHandle::new();
        let result = Tuner::new(setup())
            .max_trials(12)
            .stop_handle(stop.clone())
            .journal(&path)
            .run(|mut trial| {
                let (seen, stop) = (&seen, stop.clone());
                async move {
                    let x = trial.config().float("x").unwrap();
                    seen.borrow_mut().push((trial.id(), x));
                    trial.report(x).await;
                    if Some(trial.id().0) == stop_at {
                        stop.stop();
                        sleep(Duration::from_secs(60)).await;
                    }
                    Ok::<_, Infallible>(value(x))
                }
            })
            .await
            .unwrap();
        (seen.into_inner(), result)
    };
    let (whole, _) = run(folder.path().join("whole"), None).await;
    let (mut parts, first) = run(folder.path().join("parts"), Some(7)).await;
    assert_eq!(first.stopped_by, Some(StoppedBy::Cancelled));
    assert_eq!(first.experiment.trials()[7].status, Status::Interrupted);
    // The eighth trial was cut off: it runs again, with the same number and configuration.
    parts.pop();
    let (rest, last) = run(folder.path().join("parts"), None).await;
    parts.extend(rest);
    assert_eq!(parts, whole);
    assert_eq!(last.experiment.trials()[7].attempt, 2);
    assert_eq!(last.experiment.trials()[7].measurements.len(), 1);
    assert_eq!(Experiment::load(folder.path().join("parts")).unwrap(), last.experiment);

    // Another setup on the same journal is refused.
    let other = Tuner::new(setup().seed(6)).max_trials(1).journal(folder.path().join("parts"));
    let error = other.run(|_| async { Ok::<_, Infallible>(1.0) }).await.unwrap_err();
    assert!(error.to_string().contains("is of another study: its seed is "), "{error}");

    let csv = folder.path().join("results.csv");
    write_csv(&last.experiment.trials_table(), &csv).unwrap();
    assert_eq!(std::fs::read_to_string(csv).unwrap().lines().count(), 13);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_tuner_leaves_a_journal_to_go_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let tuner = || Tuner::new(setup()).max_trials(3).journal(&path);
    let hang = tuner().run(|trial| async move {
        if trial.id() == TrialId(1) {
            sleep(Duration::from_secs(1000)).await;
        }
        Ok::<_, Infallible>(1.0)
    });
    assert!(tokio::time::timeout(Duration::from_secs(10), hang).await.is_err());
    let half = Experiment::load(folder.path()).unwrap();
    assert_eq!((half.trials().len(), half.trials()[1].status), (2, Status::Running));
    let whole = tuner().run(|_| async { Ok::<_, Infallible>(1.0) }).await.unwrap();
    assert_eq!(whole.experiment.trials().len(), 3);
    assert_eq!(whole.experiment.trials()[1].config, half.trials()[1].config);
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_end_it_and_keep_what_was_measured() {
    let tuner = || Tuner::new(setup()).max_trials(20).max_failures(3);
    let error = tuner()
        .run(|trial| async move { if trial.id().0 < 4 { Ok(1.0) } else { Err("no route to host") } })
        .await
        .unwrap_err();
    let TunerError::TooManyFailures { consecutive: 3, last, tuning } = error else { panic!("{error}") };
    assert_eq!(last, "no route to host");
    assert_eq!((tuning.experiment.trials().len(), tuning.best.unwrap().value), (7, 1.0));
    // Failures that do not come in a row are only failures.
    let mixed = tuner().run(|trial| async move { if trial.id().0 % 3 == 0 { Ok(1.0) } else { Err("no") } }).await;
    assert_eq!(mixed.unwrap().experiment.trials().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn reports_are_replicates_and_observers_see_everything_in_order() {
    #[derive(Clone, Default)]
    struct Log(Rc<RefCell<Vec<String>>>);
    impl Observer for Log {
        fn on_ask(&mut self, _: &Study, job: &Assignment) {
            self.0.borrow_mut().push(format!("ask {}", job.trial));
        }
        fn on_report(&mut self, study: &Study, trial: TrialId, step: u64, value: f64, decision: Decision) {
            let finite = study.trial(trial).unwrap().measurements.len() as u64;
            assert_eq!(finite, if value.is_nan() { step - 1 } else { step });
            self.0.borrow_mut().push(format!("report {trial} {step} {value} {decision:?}"));
        }
        fn on_tell(&mut self, study: &Study, trial: TrialId) {
            self.0.borrow_mut().push(format!("tell {trial} {}", study.trial(trial).unwrap().status.as_str()));
        }
    }
    let log = Log::default();
    let tuning = Tuner::new(Setup { metric: Metric::time("seconds").replicated(), ..setup() })
        .max_trials(2)
        .observer(log.clone())
        .run(|mut trial| async move {
            trial.report(1.0).await;
            trial.report(if trial.id().0 == 0 { 3.0 } else { f64::NAN }).await;
            Ok::<_, Infallible>(Outcome::Done)
        })
        .await
        .unwrap();
    let best = tuning.best.unwrap();
    assert_eq!((best.value, best.n), (2.0, 2));
    let log = log.0.borrow();
    assert_eq!(log[..4], ["ask 0", "report 0 1 1 Continue", "report 0 2 3 Continue", "tell 0 completed"]);
    assert_eq!(log.last().map(String::as_str), Some("tell 1 failed"));
}

#[tokio::test(start_paused = true)]
async fn a_report_carries_what_the_trial_has_cost_so_far_into_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let setup = Setup { cost_aware: true, scheduler: SchedulerKind::AshaPromotion.into(), ..setup().max_resource(9) };
    let tuning = Tuner::new(setup)
        .max_trials(6)
        .journal(&path)
        .run(|mut trial| async move {
            let (step, cost) = (trial.resource().unwrap(), |step: u64| 10.0 * step as f64);
            let refused = trial.report_at(step, Measured::new(1.0).cost(-1.0)).await;
            assert!(matches!(refused, Err(TellError::Cost { .. })), "{refused:?}");
            if trial.resumed() {
                // A cost is of all runs together, so this one is less than what it was.
                let refused = trial.report_at(step, Measured::new(1.0).cost(5.0)).await;
                assert!(matches!(refused, Err(TellError::CostFalls { cost: 5.0, .. })), "{refused:?}");
            }
            let refused = trial.report_at(step, Measured::new(1.0).more([2.0])).await;
            assert!(matches!(refused, Err(TellError::Incomplete { got: 1, wanted: 0, .. })), "{refused:?}");
            trial.report_at(step, Measured::new(trial.id().0 as f64).cost(cost(step))).await.unwrap();
            Ok::<_, Infallible>(Outcome::Done)
        })
        .await
        .unwrap();
    assert_eq!(Experiment::load(&path).unwrap(), tuning.experiment);
    let measurements = || tuning.experiment.trials().iter().flat_map(|t| &t.measurements);
    assert!(measurements().all(|m| m.cost == Some(10.0 * m.step as f64)) && measurements().any(|m| m.step == 3));
    let table = tuning.experiment.trials_table();
    assert_eq!(table.column("cost").map(|c| c.text(0)), Some("30.0".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_tuner_without_an_end_or_workers_is_refused() {
    let value = |_| async { Ok::<_, Infallible>(1.0) };
    assert!(matches!(Tuner::new(setup()).run(value).await, Err(TunerError::Endless)));
    assert!(matches!(Tuner::new(setup()).workers(0).max_trials(1).run(value).await, Err(TunerError::NoWorkers)));
    let none = Tuner::new(setup()).max_trials(0).run(value).await.unwrap();
    assert_eq!((none.experiment.trials().len(), none.best), (0, None));
    let late = Tuner::new(setup()).max_wall_time(Duration::ZERO).run(value).await.unwrap();
    assert_eq!(late.stopped_by, Some(StoppedBy::MaxTuningTime));
}

#[tokio::test(start_paused = true)]
async fn a_second_tuner_on_the_same_journal_is_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let _held = JournalFile::open(&path).unwrap();
    let error = Tuner::new(setup()).max_trials(1).journal(&path).run(|_| async { Ok::<_, Infallible>(1.0) }).await;
    assert!(matches!(error, Err(TunerError::Open(_))));
}

#[tokio::test(start_paused = true)]
async fn time_alone_can_complete_limits_that_belong_together() {
    let together =
        StopAll { max_wall_time: Some(Duration::from_secs(30)), max_measurements: Some(2), ..StopAll::default() };
    let rule = StopRule { max_trials: Some(9), all: vec![together], ..StopRule::default() };
    // Two trials end at once, the third never does, and nobody watches.
    let tuning = Tuner::new(setup()).stop_rule(rule).run(|trial| async move {
        if trial.id().0 == 2 {
            std::future::pending::<()>().await;
        }
        Ok::<_, Infallible>(1.0)
    });
    let tuning = tokio::time::timeout(Duration::from_secs(3600), tuning).await.unwrap().unwrap();
    assert_eq!((tuning.stopped_by, tuning.elapsed), (Some(StoppedBy::All), Duration::from_secs(30)));
    assert_eq!(tuning.experiment.trials().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_study_ends_at_the_noise_floor_and_stays_there_when_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let run = |factor: f64| {
        let rule = StopRule { max_trials: Some(40), noise_floor: Some(factor), ..StopRule::default() };
        Tuner::new(setup()).workers(2).stop_rule(rule).journal(&path).run(|trial| async move {
            // Nothing is to be gained.
            Ok::<_, Infallible>(1.0 + 0.1 * Stream::of_study(trial.id().0, "noise").normal())
        })
    };
    let tuning = run(1.0).await.unwrap();
    assert_eq!(tuning.stopped_by, Some(StoppedBy::NoiseFloor));
    let ended = tuning.experiment.trials().iter().filter(|t| t.status == Status::Completed).count();
    assert!((20..40).contains(&ended), "{ended}");
    let events = JournalFile::read(&path).unwrap().events;
    let floor = events.iter().rev().find(|event| matches!(event, Event::Floor { .. }));
    let Some(Event::Floor { gain, noise, factor: Some(1.0), .. }) = floor else { panic!("{floor:?}") };
    assert!(gain <= noise);
    assert!(Study::verify(events.clone(), None).is_ok());

    // The journal knows that it is over; a smaller factor goes on.
    assert_eq!(run(1.0).await.unwrap().stopped_by, Some(StoppedBy::NoiseFloor));
    let again = JournalFile::read(&path).unwrap().events;
    assert!(!again[events.len()..].iter().any(|event| matches!(event, Event::Ask { .. } | Event::Floor { .. })));
    let more = run(0.1).await.unwrap();
    assert!(more.experiment.trials().len() > tuning.experiment.trials().len());
    assert!(Study::verify(JournalFile::read(&path).unwrap().events, None).is_ok());

    let refused = Tuner::new(Setup { metric: Metric::time("seconds").deterministic(), ..setup() });
    let rule = StopRule { max_trials: Some(40), noise_floor: Some(1.0), ..StopRule::default() };
    let path = folder.path().join("refused.jsonl");
    let refused = refused.stop_rule(rule).journal(&path);
    let error = refused.run(|_| async { Ok::<_, Infallible>(1.0) }).await.unwrap_err();
    assert!(matches!(error, TunerError::StopRule(_)), "{error}");
    assert!(error.to_string().contains("`seconds` is deterministic and has no noise"), "{error}");
    assert!(!path.exists());
}
