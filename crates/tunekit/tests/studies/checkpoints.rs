//! Trials that pause and go on, with real files: each from the state that it had, in one run at a time, and nothing is
//! kept that nobody needs.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;
use tunekit::journal::JournalFile;
use tunekit::scheduler::{PbtOptions, SchedulerSpec};
use tunekit::tuner::{StopHandle, StoppedBy, TunerError};
use tunekit::{
    Decision, Domain, Experiment, Metric, Outcome, SchedulerKind, SearcherKind, Setup, Space, Status, Study, TrialId,
    TrialRun, Tuner,
};

fn setup(kind: SchedulerKind) -> Setup {
    let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
    let scheduler = match kind {
        SchedulerKind::Pbt => SchedulerSpec::Pbt(PbtOptions { members: 4, interval: 2, ..PbtOptions::default() }),
        other => other.into(),
    };
    Setup::new(space, Metric::minimize("loss"))
        .seed(2)
        .searcher(SearcherKind::Random)
        .scheduler(scheduler)
        .max_resource(9)
}

/// The folders of trials, by name.
fn folders(path: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|n| n.contains("trial-")).collect()
}

/// Trains to the end, an epoch a minute, towards a loss. What a trial is, is the list of its epochs: which trial ran
/// them.
async fn train(mut trial: TrialRun, loss: f64) -> Result<Outcome, String> {
    let state = trial.checkpoint().expect("there is a folder").join("epochs");
    let mut epochs: Vec<u64> = match fs::read_to_string(&state) {
        Ok(text) => text.split_whitespace().map(|epoch| epoch.parse().unwrap()).collect(),
        Err(_) => Vec::new(),
    };
    let began = trial.from().map_or(0, |from| from.resource);
    assert_eq!(epochs.len() as u64, began, "trial {} begins with another state than it should", trial.id());
    let parent = trial.from().map_or(trial.id(), |from| from.trial);
    assert!(epochs.last().is_none_or(|last| *last == parent.0));
    loop {
        sleep(Duration::from_secs(60)).await;
        epochs.push(trial.id().0);
        let text: Vec<String> = epochs.iter().map(u64::to_string).collect();
        fs::write(&state, text.join(" ")).unwrap();
        if trial.id().0 % 7 == 5 && epochs.len() == 2 {
            return Err("out of memory".to_owned());
        }
        match trial.report(loss + 1.0 / epochs.len() as f64).await {
            Decision::Continue if epochs.len() < 9 => {}
            _ => return Ok(Outcome::Done),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn trials_go_on_from_the_state_they_had_and_nothing_useless_is_kept() {
    for kind in [SchedulerKind::AshaPromotion, SchedulerKind::Hyperband, SchedulerKind::Pbt] {
        let place = tempfile::tempdir().unwrap();
        let (journal, states) = (place.path().join("journal.jsonl"), place.path().join("states"));
        let tuner = |minutes: u64| {
            let limit = Duration::from_secs(60 * minutes + 30);
            Tuner::new(setup(kind)).workers(3).max_wall_time(limit).journal(&journal).checkpoints(&states)
        };
        // Cut off in the middle of things, over and over; dropped, too, which leaves as much as a kill would.
        for (minutes, dropped) in [(4, None), (15, Some(5)), (16, Some(3)), (17, None), (45, Some(17)), (46, None)] {
            let run = tuner(minutes).run(|trial| {
                let x = trial.config().float("x").unwrap();
                train(trial, x)
            });
            let limit = dropped.map_or(Duration::MAX, |minutes| Duration::from_secs(60 * minutes + 10));
            let Ok(tuning) = tokio::time::timeout(limit, run).await else { continue };
            let tuning = tuning.unwrap();
            assert_eq!(tuning.stopped_by, Some(StoppedBy::MaxTuningTime));
            let study = Study::replay(JournalFile::read(&journal).unwrap().events).unwrap();
            let needed = study.checkpoints();
            let names: BTreeSet<String> =
                needed.iter().map(|c| format!("trial-{}-at-{}", c.trial, c.resource)).collect();
            assert_eq!(folders(&states), names, "{kind} after {minutes} minutes");
            for c in needed {
                let text = fs::read_to_string(states.join(format!("trial-{}-at-{}/epochs", c.trial, c.resource)));
                assert_eq!(text.unwrap().split_whitespace().count() as u64, c.resource);
            }
        }
        let experiment = Experiment::load(&journal).unwrap();
        let count = |wanted: &dyn Fn(&tunekit::Trial) -> bool| experiment.trials().iter().filter(|t| wanted(t)).count();
        assert!(count(&|t| t.resumed) > 3 && count(&|t| t.status == Status::Failed) > 0, "{kind} shows little");
        if kind == SchedulerKind::Pbt {
            assert!(count(&|t| t.from.is_some()) > 2, "few copies");
        }
    }
}

#[test]
fn a_trial_that_the_first_round_of_dehb_dropped_needs_no_checkpoint() {
    let mut study = Study::new(setup(SchedulerKind::Dehb)).unwrap();
    let mut resumed = 0;
    for _ in 0..60 {
        let job = study.ask().unwrap().assignment().unwrap();
        if let Some(from) = job.from {
            resumed += 1;
            assert!(study.checkpoints().contains(&from));
        }
        let loss = job.config.float("x").unwrap();
        if study.report(job.trial, job.resource.unwrap(), loss).unwrap() == Decision::Stop {
            study.tell(job.trial, Outcome::Done).unwrap();
        }
    }
    let paused = study.trials().iter().filter(|trial| trial.status == Status::Paused).count();
    assert!(paused > 3 && resumed > 3, "{paused} {resumed}");
    assert!(study.checkpoints().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_paused_run_that_winds_up_is_waited_for() {
    let running: RefCell<BTreeMap<TrialId, u32>> = RefCell::default();
    let (resumed, late) = (Cell::new(0), Cell::new(0));
    let tuning = Tuner::new(setup(SchedulerKind::AshaPromotion))
        .workers(3)
        .max_trials(12)
        .run(|mut trial| {
            let (running, resumed, late) = (&running, &resumed, &late);
            async move {
                let count = *running.borrow_mut().entry(trial.id()).and_modify(|n| *n += 1).or_insert(1);
                assert_eq!(count, 1, "trial {} runs twice at once", trial.id());
                resumed.set(resumed.get() + u32::from(trial.resumed()));
                let end = trial.resource().unwrap();
                // The earlier a trial the better it is, and the longer it takes to wind up: the first is to go on long
                // before its run has ended.
                let decision = trial.report_at(end, trial.id().0 as f64).await.unwrap();
                sleep(Duration::from_secs(100 / (1 + trial.id().0))).await;
                // Its reports after that count for nothing.
                if decision == Decision::Pause {
                    late.set(late.get() + 1);
                    assert!(trial.report_at(end + 1, -1.0).await.is_err());
                }
                running.borrow_mut().insert(trial.id(), 0);
                // Nor does how it ends.
                if decision == Decision::Pause { Err("no") } else { Ok(Outcome::Done) }
            }
        })
        .await
        .unwrap();
    assert!(resumed.get() >= 3 && late.get() > 8, "{} {}", resumed.get(), late.get());
    for trial in tuning.experiment.trials() {
        assert_eq!(trial.failure, None);
        assert!(trial.measurements.iter().all(|m| m.value >= 0.0));
        assert!(trial.id > TrialId(0) || trial.measurements.len() == 3, "the best goes to the end all the same");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_never_ends_holds_its_trial_up_and_nothing_else() {
    let stop = StopHandle::new();
    let asked = Cell::new(0);
    let tuning = Tuner::new(setup(SchedulerKind::AshaPromotion))
        .workers(2)
        .stop_handle(stop.clone())
        .run(|mut trial| {
            let (stop, asked) = (stop.clone(), &asked);
            async move {
                asked.set(asked.get() + 1);
                if asked.get() > 20 {
                    stop.stop();
                }
                let value = trial.id().0 as f64;
                while trial.report(value).await == Decision::Continue {}
                if trial.id() == TrialId(0) {
                    std::future::pending::<()>().await;
                }
                Ok::<_, String>(Outcome::Done)
            }
        })
        .await
        .unwrap();
    // It is the best, and was to be resumed: that waits for it, and the other worker goes on with others.
    assert_eq!((tuning.stopped_by, tuning.experiment.trials()[0].measurements.len()), (Some(StoppedBy::Cancelled), 1));
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_is_gone_fails_its_trial_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let (journal, states) = (place.path().join("journal.jsonl"), place.path().join("states"));
    let tuner = |trials| {
        Tuner::new(setup(SchedulerKind::AshaPromotion)).max_trials(trials).journal(&journal).checkpoints(&states)
    };
    // The first are the best, and will be the first to go on.
    let run = |trial: TrialRun| {
        let loss = trial.id().0 as f64;
        train(trial, loss)
    };
    tuner(2).run(run).await.unwrap();
    assert_eq!(folders(&states).len(), 2);
    for name in folders(&states) {
        fs::remove_dir_all(states.join(name)).unwrap();
    }
    let tuning = tuner(9).run(run).await.unwrap();
    let trials = tuning.experiment.trials();
    for trial in &trials[..2] {
        let why = trial.failure.as_deref().unwrap();
        assert!(why.contains("is gone") && why.contains("keep the folder"), "{why}");
    }
    assert_eq!(trials[2].status, Status::Stopped, "it went on to the end");

    // The folder of another study is not touched.
    let other = Tuner::new(setup(SchedulerKind::Pbt)).max_trials(1).checkpoints(&states);
    let error = other.run(run).await.unwrap_err();
    assert!(matches!(error, TunerError::Checkpoint(_)) && error.to_string().contains("another study"), "{error}");
}
