//! Inputs that a searcher must accept without a panic or an error: results, spaces and further numbers of all kinds.

use super::bench::{Bench, choice, cube, in_words, int, mixed, score, setup, unit};
use super::{at, property};
use crate::rules::history::History;
use crate::rules::searcher::Searcher;
use crate::rules::stream::Stream;
use crate::rules::study::Setup;
use crate::words::domain::Domain;
use crate::words::metric::Metric;
use crate::words::schedule::{RungOptions, SchedulerSpec};
use crate::words::space::Space;
use crate::words::trial::{Ask, Assignment, Decision, Measured, Outcome};

/// Failed, late and impossible trials, and values that are not finite, at first, in between and only.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn failures_are_survived(seed: u64, make: impl Fn() -> Box<dyn Searcher>) {
    property(&make, seed, "failures are survived").assert(|| {
        for every in [1, 2, 3] {
            let outcome = |job: &Assignment, i: usize| match (i % every, i % 4) {
                (0, 0) => Outcome::Failed("no".to_owned()),
                (0, 1) => Outcome::Value(f64::NAN),
                (0, 2) => Outcome::TimedOut("late".to_owned()),
                (0, _) => Outcome::Infeasible("too large".to_owned()),
                _ => Outcome::Value(score(&job.config)),
            };
            Bench::new(&make, setup(mixed(), seed))?.run(12, outcome)?;
        }
        Ok(())
    });
}

/// Trials that were cut off and have a bound in place of a value ([`Measured::at_least`]), among others and only.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn bounds_are_survived(seed: u64, make: impl Fn() -> Box<dyn Searcher>) {
    property(&make, seed, "bounds in place of values are survived").assert(|| {
        for every in [1, 2, 3] {
            let outcome = |job: &Assignment, i: usize| match i % every {
                0 => Measured::at_least(score(&job.config)).cost(1.0).into(),
                _ => Outcome::Value(score(&job.config)),
            };
            Bench::new(&make, setup(mixed(), seed))?.run(12, outcome)?;
        }
        Ok(())
    });
}

/// Equal values, and values of any finite magnitude and sign, for each goal and kind of metric.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn values_of_any_size_are_survived(seed: u64, make: impl Fn() -> Box<dyn Searcher>) {
    const VALUES: [fn(usize) -> f64; 7] = [
        |_| 1.0,
        |_| 0.0,
        |i| if i % 2 == 0 { 1e300 } else { 1e-300 },
        |i| if i % 2 == 0 { 1.7e308 } else { -1.7e308 },
        |i| 1e-300 * (1.0 + i as f64),
        |i| 5e-324 * (i % 3) as f64,
        |i| -(i as f64),
    ];
    property(&make, seed, "values of any finite size are survived").assert(|| {
        for metric in
            [Metric::minimize("m"), Metric::maximize("m"), Metric::time("m"), Metric::time("m").deterministic()]
        {
            for value in VALUES {
                let mut bench = Bench::new(&make, Setup { metric: metric.clone(), ..setup(cube(2), seed) })?;
                bench.run(9, |_, i| Outcome::Value(value(i)))?;
            }
        }
        Ok(())
    });
}

/// Spaces of no parameter, of one configuration, of one dimension and of sixty.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn spaces_of_any_size_are_survived(seed: u64, make: impl Fn() -> Box<dyn Searcher>) {
    property(&make, seed, "spaces of any size are survived").assert(|| {
        // No study has such a space; a searcher may be asked by others.
        let (space, metric) = (Space::new(), Metric::minimize("loss"));
        let empty = make().suggest(&History::new(&space, &metric, seed, &[]), &mut Stream::of_study(seed, "suggest"));
        if let Ok(config) = empty.as_ref()
            && let Err(error) = space.validate(config)
        {
            return Err(at(format!("{config} in the empty space"))(&error));
        }
        let one = Space::new()
            .with("a", int(3, 3))
            .and_then(|s| s.with("b", Domain::float(1.0, 1.0).and_then(Domain::log).expect("a range")))
            .and_then(|s| s.with("c", choice(["only"])))
            .expect("the names are new");
        let x = |job: &Assignment, _| Outcome::Value(job.config.float("x0").unwrap_or(0.0));
        Bench::new(&make, setup(one.clone(), seed))?.run(12, |_, i| Outcome::Value(i as f64))?;
        Bench::new(&make, setup(cube(1), seed))?.run(12, x)?;
        Bench::new(&make, setup(cube(60), seed))?.run(12, x)?;
        let part = one.with("x0", unit()).expect("a new name");
        Bench::new(&make, setup(part, seed))?.run(12, x)
    });
}

/// Further objectives, constraints and costs, told with each trial.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn further_numbers_are_survived(seed: u64, make: impl Fn() -> Box<dyn Searcher>) {
    property(&make, seed, "further objectives, constraints and costs are survived").assert(|| {
        let setup = setup(mixed(), seed).constraint("memory").objective(Metric::maximize("rate")).cost_aware();
        let outcome = |job: &Assignment, i: usize| {
            let n = job.config.float("n").unwrap_or(0.0);
            Measured::new(score(&job.config)).more([n]).constraints([n - 100.0]).cost(1.0 + i as f64).into()
        };
        Bench::new(&make, setup)?.run(20, outcome)
    });
}

/// A scheduler that compares trials at several levels of a resource: suggestions are in the space, and the same after a
/// replay.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn levels_of_a_resource_are_survived(seed: u64, make: impl Fn() -> Box<dyn Searcher>) {
    property(&make, seed, "trials that are compared on their way are survived").assert(|| {
        let rungs = || SchedulerSpec::AshaPromotion(RungOptions::default()).build(Some(9)).expect("valid options");
        let mut bench = Bench::under(&make, setup(mixed(), seed).max_resource(9), &rungs)?;
        for i in 0..30 {
            let mut cold = (i % 5 == 4).then(|| bench.again()).transpose()?;
            let job = bench.ask()?;
            if let Some(cold) = &mut cold {
                let replayed = cold.ask().map_err(|e| at("ask of a replay")(&e))?;
                if replayed != Ask::Trial(job.clone()) {
                    return Err(format!("ask {i} is {}, and after a replay {}", job.config, in_words(&replayed)));
                }
            }
            let step = job.resource.unwrap_or(9);
            let value = score(&job.config) + 1.0 / step as f64;
            let report = bench.study.report(job.trial, step, value).map_err(|e| at("a report")(&e))?;
            if report == Decision::Stop {
                bench.tell(&job, Outcome::Done)?;
            }
        }
        Ok(())
    });
}

/// A hundred trials, one after the other, and a suggestion after them.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn a_hundred_results_are_survived(seed: u64, make: impl Fn() -> Box<dyn Searcher>) {
    property(&make, seed, "a hundred results are survived").assert(|| {
        let mut bench = Bench::new(&make, setup(cube(2), seed))?;
        bench.run(101, |job, _| {
            let x = |name: &str| job.config.float(name).unwrap_or(0.0);
            Outcome::Value((x("x0") - 0.3).powi(2) + x("x1"))
        })
    });
}
