//! The contract of [`Searcher`] as functions for the tests of your own searcher.
//!
//! [`assert_searcher`] checks the whole contract; each property also has its own function. They panic with the property
//! and the trial that breaks it. `make` gives a new searcher each time; everything random comes from `seed`.
//!
//! ```
//! use tunekit::searcher::{History, Searcher, SearcherKind, Stream, SuggestError, conformance};
//! use tunekit::Config;
//!
//! /// Evenly spread points, under another name.
//! struct Spread(Box<dyn Searcher>);
//!
//! impl Searcher for Spread {
//!     fn name(&self) -> &str {
//!         "spread"
//!     }
//!
//!     fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
//!         self.0.suggest(history, stream)
//!     }
//! }
//!
//! conformance::assert_searcher(7, || Box::new(Spread(SearcherKind::Sobol.build())));
//! ```

mod bench;
mod survival;

use std::collections::BTreeSet;

use self::bench::{
    Bench, choice, conditional, cube, cube_point, deterministic, in_words, int, mixed, score, setup, unit,
};
pub use self::survival::{
    a_hundred_results_are_survived, bounds_are_survived, failures_are_survived, further_numbers_are_survived,
    levels_of_a_resource_are_survived, spaces_of_any_size_are_survived, values_of_any_size_are_survived,
};
use super::{Breach, Property, at};
use crate::rules::history::History;
use crate::rules::searcher::{Searcher, SuggestError};
use crate::rules::stream::Stream;
use crate::rules::study::Setup;
use crate::words::metric::Metric;
use crate::words::space::Space;
use crate::words::trial::{Ask, Assignment, Outcome};
use crate::words::value::Config;

/// Makes a new searcher.
type Make<'a> = &'a dyn Fn() -> Box<dyn Searcher>;

/// Checks every property in this module.
///
/// # Panics
/// At the first property that does not hold.
#[track_caller]
pub fn assert_searcher(seed: u64, make: impl Fn() -> Box<dyn Searcher>) {
    suggestions_are_in_the_space(seed, &make);
    the_same_history_gives_the_same_suggestion(seed, &make);
    pending_configurations_are_not_repeated(seed, &make);
    a_deterministic_metric_is_measured_once(seed, &make);
    a_finite_space_is_used_up(seed, &make);
    a_space_without_configurations_is_an_error(seed, &make);
    failures_are_survived(seed, &make);
    bounds_are_survived(seed, &make);
    values_of_any_size_are_survived(seed, &make);
    spaces_of_any_size_are_survived(seed, &make);
    further_numbers_are_survived(seed, &make);
    levels_of_a_resource_are_survived(seed, &make);
    a_hundred_results_are_survived(seed, &make);
    the_largest_is_searched_as_the_least_of_its_negative(seed, &make);
    predictions_are_one_for_each_configuration(seed, &make);
}

/// Every suggestion has a valid value for each parameter that exists, none for the others, and meets every predicate.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn suggestions_are_in_the_space(seed: u64, make: impl Fn() -> Box<dyn Searcher>) {
    property(&make, seed, "every suggestion is in the space").assert(|| {
        for space in [mixed(), conditional()] {
            let mut bench = Bench::new(&make, setup(space, seed))?;
            bench.run(24, |job, _| Outcome::Value(score(&job.config)))?;
        }
        Ok(())
    });
}

/// The suggestion is a function of the seed, the trial and the history: a study replayed from any prefix of its journal
/// by a new searcher suggests the same, whatever the order of the results, and however they ended.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn the_same_history_gives_the_same_suggestion(seed: u64, make: impl Fn() -> Box<dyn Searcher>) {
    property(&make, seed, "the same seed and history give the same suggestion").assert(|| {
        let run = |space: Space, trials: usize| {
            let mut bench = Bench::new(&make, setup(space, seed))?;
            let mut open: Vec<Assignment> = Vec::new();
            for i in 0..trials {
                let mut cold = bench.again()?;
                let ask = bench.ask()?;
                let replayed = cold.ask().map_err(|e| at(format!("ask {i} of a replay"))(&e))?;
                if Ask::Trial(ask.clone()) != replayed {
                    return Err(format!(
                        "trial {} is {}, and after a replay {}; state between calls may only be a cache",
                        ask.trial,
                        ask.config,
                        in_words(&replayed)
                    ));
                }
                open.push(ask);
                if open.len() < 3 {
                    continue;
                }
                let ended = open.remove(i * 7 % 3);
                let outcome = match i % 6 {
                    5 => Outcome::Failed("no".to_owned()),
                    // Equal values, until the same configuration is measured again.
                    4 => Outcome::Value(1.0),
                    _ => Outcome::Value(score(&ended.config)),
                };
                bench.tell(&ended, outcome)?;
                if i % 4 == 3 {
                    // A prediction renews a cache between two suggestions.
                    let _ = bench.study.searcher().predict(&bench.study.dressed(), &[&ended.config]);
                    bench.study.add(&ended.config, 1.0 + i as f64).map_err(|e| at("a result added")(&e))?;
                }
            }
            Ok::<_, Breach>(bench.into_events())
        };
        for (space, trials) in [(mixed(), 22), (conditional(), 12)] {
            if run(space.clone(), trials)? != run(space, trials)? {
                return Err("two runs of one study differ; randomness may only come from the stream".to_owned());
            }
        }
        Ok(())
    });
}

/// A configuration whose result is awaited is not suggested again while there are others.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn pending_configurations_are_not_repeated(seed: u64, make: impl Fn() -> Box<dyn Searcher>) {
    property(&make, seed, "a pending configuration is not suggested again").assert(|| {
        let small = Space::new().with("n", int(1, 24)).expect("a new name");
        // With as many results as trials that await one, and without any result.
        for (space, workers) in [(mixed(), 4), (small.clone(), 4), (small, 12)] {
            let mut bench = Bench::new(&make, setup(space, seed))?;
            let mut open: Vec<Assignment> = Vec::new();
            for _ in 0..20.min(workers * 3) {
                let next = bench.ask()?;
                if let Some(same) = open.iter().find(|o| o.config == next.config) {
                    let (first, config) = (same.trial, &next.config);
                    return Err(format!("trial {} repeats {config} of trial {first}, which is running", next.trial));
                }
                open.push(next);
                if open.len() == workers {
                    let done = open.remove(1);
                    let value = (done.config.float("n").unwrap_or(0.0) - 7.0).powi(2);
                    bench.tell(&done, Outcome::Value(value))?;
                }
            }
        }
        Ok(())
    });
}

/// No configuration is suggested twice if the metric is deterministic, failed ones included.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn a_deterministic_metric_is_measured_once(seed: u64, make: impl Fn() -> Box<dyn Searcher>) {
    property(&make, seed, "where the metric is deterministic, no configuration is suggested twice").assert(|| {
        // Nothing else exists if `kind` is `a`: every point of that half stands for one configuration, which is the
        // best.
        let space = Space::new()
            .with("kind", choice(["a", "b"]))
            .and_then(|space| space.with_when("x", unit(), "kind", ["b"]))
            .expect("the names are new");
        for space in [space, mixed()] {
            let mut bench = Bench::new(&make, Setup { metric: deterministic(), ..setup(space, seed) })?;
            bench.run(24, |job, i| match i % 7 {
                6 => Outcome::Failed("no".to_owned()),
                _ => Outcome::Value(job.config.float("x").unwrap_or(-5.0)),
            })?;
            let mut seen = BTreeSet::new();
            if let Some(trial) = bench.study.trials().iter().find(|t| !seen.insert(t.config.key())) {
                return Err(format!("trial {} is {} again", trial.id, trial.config));
            }
        }
        Ok(())
    });
}

/// A finite space without noise is used to the last configuration; then the answer is [`SuggestError::Exhausted`]. With
/// noise the searcher continues with replicates.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn a_finite_space_is_used_up(seed: u64, make: impl Fn() -> Box<dyn Searcher>) {
    property(&make, seed, "a finite space is used to its last configuration").assert(|| {
        let space = Space::new().with("n", int(1, 6)).and_then(|s| s.with("kind", choice(["a", "b"])));
        let space = space.expect("the names are new");
        let value = |job: &Assignment, _| Outcome::Value(job.config.float("n").unwrap_or(0.0));
        let mut bench = Bench::new(&make, Setup { metric: deterministic(), ..setup(space.clone(), seed) })?;
        bench.run(12, value)?;
        let used: BTreeSet<String> = bench.study.trials().iter().map(|t| t.config.key()).collect();
        if used.len() != 12 {
            return Err(format!("12 trials used {} of 12 configurations", used.len()));
        }
        match bench.study.ask() {
            Ok(Ask::Done(_)) => {}
            Ok(other) => return Err(format!("all 12 configurations are used, and the next is {}", in_words(&other))),
            Err(error) => return Err(at("after 12 of 12 configurations, in place of `Exhausted`")(&error)),
        }
        Bench::new(&make, setup(space, seed))?.run(18, value)
    });
}

/// The answer is an error if predicates allow nothing.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn a_space_without_configurations_is_an_error(seed: u64, make: impl Fn() -> Box<dyn Searcher>) {
    property(&make, seed, "without a configuration that is allowed, the answer is an error").assert(|| {
        let finite = Space::new().with("n", int(1, 6)).and_then(|s| s.require("n > 6"));
        let continuous = Space::new().with("x", unit()).and_then(|s| s.require("x > 2"));
        for space in [finite, continuous] {
            let space = space.expect("a predicate of the space's own parameters");
            let history_metric = Metric::minimize("loss");
            let history = History::new(&space, &history_metric, seed, &[]);
            let mut stream = Stream::of_study(seed, "suggest");
            match make().suggest(&history, &mut stream) {
                Err(SuggestError::Outside { .. }) | Ok(_) => {
                    return Err("there is a suggestion where the predicates allow none".to_owned());
                }
                Err(_) => {}
            }
        }
        Ok(())
    });
}

/// If larger is better, the suggestions are those for the negated values when smaller is better.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn the_largest_is_searched_as_the_least_of_its_negative(seed: u64, make: impl Fn() -> Box<dyn Searcher>) {
    property(&make, seed, "the largest is searched as the least of its negative").assert(|| {
        let configs = |metric: Metric, sign: f64| {
            let mut bench = Bench::new(&make, Setup { metric, ..setup(cube(2), seed) })?;
            bench.run(16, |job, _| Outcome::Value(sign * (job.config.float("x0").unwrap_or(0.0) - 0.3)))?;
            Ok::<_, Breach>(bench.study.trials().iter().map(|t| t.config.clone()).collect::<Vec<_>>())
        };
        let (least, largest) = (configs(Metric::minimize("m"), 1.0)?, configs(Metric::maximize("m"), -1.0)?);
        match least.iter().zip(&largest).enumerate().find(|(_, (a, b))| a != b) {
            Some((i, (a, b))) => Err(format!("trial {i} is {a} where smaller is better, and {b} where larger is")),
            None => Ok(()),
        }
    });
}

/// [`Searcher::predict`] answers for each configuration, with an interval around its mean, or for none. It changes no
/// suggestion.
///
/// # Panics
/// The property does not hold.
#[track_caller]
pub fn predictions_are_one_for_each_configuration(seed: u64, make: impl Fn() -> Box<dyn Searcher>) {
    property(&make, seed, "predictions are one for each configuration, or none").assert(|| {
        for trials in [0, 1, 16] {
            let mut bench = Bench::new(&make, setup(cube(2), seed))?;
            bench.run(trials, |job, _| Outcome::Value(job.config.float("x0").unwrap_or(0.0)))?;
            let configs: Vec<Config> = (0..5).map(|i| cube_point(f64::from(i) / 4.0)).collect();
            let configs: Vec<&Config> = configs.iter().collect();
            let (history, stream) = (bench.study.history(), Stream::of_study(seed, "suggest"));
            let (mut asked, mut not_asked) = (make(), make());
            let predictions = asked.predict(&history, &configs);
            if asked.suggest(&history, &mut stream.clone()) != not_asked.suggest(&history, &mut stream.clone()) {
                return Err(format!("after {trials} trials a prediction changes the next suggestion"));
            }
            let Some(predictions) = predictions else { continue };
            if predictions.len() != configs.len() {
                return Err(format!("{} predictions for {} configurations", predictions.len(), configs.len()));
            }
            if let Some(p) = predictions.iter().find(|p| !(p.lower <= p.mean && p.mean <= p.upper)) {
                return Err(format!("the mean {} is not between {} and {}", p.mean, p.lower, p.upper));
            }
        }
        Ok(())
    });
}

fn property(make: Make<'_>, seed: u64, says: &'static str) -> Property {
    Property { kind: "searcher", name: make().name().to_owned(), says, seed }
}
