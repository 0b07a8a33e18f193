//! Population-based training: the checkpoints from which trials go on, by cases computed by hand.

use std::collections::BTreeMap;

use tunekit::scheduler::{PbtOptions, SchedulerSpec};
use tunekit::study::{Checkpoint, Origin};
use tunekit::{Assignment, Decision, Domain, Metric, Outcome, SearcherKind, Setup, Space, Study, TrialId};

fn job(study: &mut Study) -> Assignment {
    study.ask().unwrap().assignment().expect("a trial")
}

fn population(members: u64, interval: u64, max: u64) -> Setup {
    let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
    let options = PbtOptions { members, interval, ..PbtOptions::default() };
    Setup::new(space, Metric::minimize("loss"))
        .searcher(SearcherKind::Random)
        .scheduler(SchedulerSpec::Pbt(options))
        .max_resource(max)
}

/// Two of eight are a quarter.
#[test]
fn who_is_behind_goes_on_as_a_copy_of_who_is_ahead() {
    let mut study = Study::new(population(8, 2, 6)).unwrap();
    let open: Vec<Assignment> = (0..8).map(|_| job(&mut study)).collect();
    assert!(open.iter().all(|job| (job.resource, job.from) == (Some(2), None)));
    let losses = [3.0, 9.0, 1.0, 4.0, 2.0, 5.0, 6.0];
    for (job, loss) in open.iter().zip(losses) {
        assert_eq!(study.report(job.trial, 1, 0.0).unwrap(), Decision::Continue);
        // While one of the population is missing, none is known to be behind.
        assert_eq!(study.report(job.trial, 2, loss).unwrap(), Decision::Pause);
    }
    // The seventh of eight goes, and the first three stay; of 9, 6 and 5.5 the first two are behind.
    assert_eq!(study.report(TrialId(7), 2, 5.5).unwrap(), Decision::Pause);
    // Those furthest back go on first, in their order: from where each was.
    for trial in 0..2 {
        let job = job(&mut study);
        assert_eq!((job.trial.0, job.resource, job.resumed), (trial, Some(4), true));
        assert_eq!(job.from, Some(Checkpoint { trial: TrialId(trial), resource: 2 }));
    }
    assert_eq!(study.report(TrialId(1), 4, 5.7).unwrap(), Decision::Stop);
    study.tell(TrialId(1), Outcome::Done).unwrap();
    let copy = job(&mut study);
    let from = copy.from.unwrap();
    assert_eq!((copy.trial.0, copy.resumed, copy.resource, from.resource), (8, false, Some(4), 2));
    assert!([2, 4].contains(&from.trial.0), "{from:?} is not among the best two");
    assert_eq!(study.trial(copy.trial).unwrap().origin, Origin::Scheduler);
    assert!(study.report(copy.trial, 2, 0.0).is_err(), "its steps go on from the checkpoint's");
    // Lost and asked for again it begins there, too.
    study.interrupt(copy.trial).unwrap();
    let again = job(&mut study);
    assert_eq!((again.from, again.resource, again.config), (copy.from, copy.resource, copy.config));
    assert_eq!(study.report(copy.trial, 4, 0.5).unwrap(), Decision::Pause);
    assert!(study.checkpoints().contains(&Checkpoint { trial: copy.trial, resource: 4 }));
    assert!(!study.checkpoints().iter().any(|c| c.trial == TrialId(1)));
}

#[test]
fn a_copy_begins_with_the_checkpoint_of_the_score_however_far_its_parent_is() {
    let mut study = Study::new(population(2, 2, 8)).unwrap();
    let _: Vec<Assignment> = (0..2).map(|_| job(&mut study)).collect();
    assert_eq!(study.report(TrialId(0), 2, 1.0).unwrap(), Decision::Pause);
    // The one ahead runs again, and has reported again, before the other is compared with its score.
    assert_eq!(job(&mut study).trial, TrialId(0));
    assert_eq!(study.report(TrialId(0), 3, 0.1).unwrap(), Decision::Continue);
    assert_eq!(study.report(TrialId(1), 2, 2.0).unwrap(), Decision::Stop);
    let score = Checkpoint { trial: TrialId(0), resource: 2 };
    assert_eq!(study.checkpoints().into_iter().collect::<Vec<_>>(), [score]);
    let copy = job(&mut study);
    assert_eq!((copy.from, copy.resource), (Some(score), Some(4)));
    // The parent has a newer one; the copy may still have to start over from the older.
    assert_eq!(study.report(TrialId(0), 4, 0.1).unwrap(), Decision::Pause);
    let newer = Checkpoint { resource: 4, ..score };
    assert_eq!(study.checkpoints().into_iter().collect::<Vec<_>>(), [score, newer]);
    assert_eq!(study.report(copy.trial, 4, 0.1).unwrap(), Decision::Pause);
    assert_eq!(study.checkpoints().first(), Some(&newer));
    // A copy of an equal would be no gain: both go on to the end, and then leave.
    for step in [6, 8] {
        for _ in 0..2 {
            let job = job(&mut study);
            assert_eq!((job.resumed, job.resource), (true, Some(step)));
            let decision = study.report(job.trial, step, 0.1).unwrap();
            assert_eq!(decision, if step == 8 { Decision::Stop } else { Decision::Pause });
            if step == 8 {
                study.tell(job.trial, Outcome::Done).unwrap();
            }
        }
    }
    assert_eq!((study.checkpoints().len(), job(&mut study).resource), (0, Some(2)));
}

/// The rest after an epoch is the rest before it times 1 - rate, and the rate itself disturbs: `left + rate` is the
/// loss. The best rate that stays the same over 40 epochs is ln(40) / 40, with a loss of 1/40 + ln(40) / 40 = 0.117;
/// one that falls does better.
#[test]
fn a_population_finds_a_schedule_that_is_better_than_any_one_configuration() {
    let mut finals: Vec<f64> = Vec::new();
    for seed in 1000..1021 {
        let space = Space::new().with("rate", Domain::float(1e-3, 0.9).unwrap().log().unwrap()).unwrap();
        let setup = Setup { space, ..population(8, 4, 40) };
        let mut study = Study::new(setup.seed(seed)).unwrap();
        // The states that the caller keeps of paused trials.
        let mut kept: BTreeMap<Checkpoint, f64> = BTreeMap::new();
        let mut ended = Vec::new();
        while ended.len() < 8 {
            let job = job(&mut study);
            let mut left = job.from.map_or(1.0, |from| kept[&from]);
            let rate = job.config.float("rate").unwrap();
            for _ in job.from.map_or(0, |from| from.resource)..job.resource.unwrap() {
                left *= 1.0 - rate;
            }
            match study.report(job.trial, job.resource.unwrap(), left + rate).unwrap() {
                Decision::Pause => {
                    kept.insert(Checkpoint { trial: job.trial, resource: job.resource.unwrap() }, left);
                }
                _ => {
                    study.tell(job.trial, Outcome::Done).unwrap();
                    if job.resource == Some(40) {
                        ended.push(left + rate);
                    }
                }
            }
        }
        finals.push(ended.into_iter().fold(f64::INFINITY, f64::min));
    }
    finals.sort_by(f64::total_cmp);
    assert!(finals[10] < 0.09 && finals[15] < 0.117, "{finals:?}");
}

#[test]
fn a_population_that_may_not_grow_goes_on_as_it_is() {
    let mut study = Study::new(population(4, 2, 6)).unwrap();
    study.limit_trials(Some(4));
    let mut reports = 0;
    while let Some(job) = study.ask().unwrap().assignment() {
        reports += 1;
        let step = job.resource.unwrap();
        if study.report(job.trial, step, job.trial.0 as f64).unwrap() == Decision::Stop {
            study.tell(job.trial, Outcome::Done).unwrap();
        }
    }
    assert_eq!(reports, 12);
    assert!(study.trials().iter().all(|t| t.measurements.last().unwrap().step == 6));
}
