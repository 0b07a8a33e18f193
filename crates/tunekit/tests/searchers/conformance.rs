//! The suite of searchers passes a searcher of one's own, and finds those that break the contract.

use tunekit::searcher::conformance::{self, assert_searcher};
use tunekit::searcher::{History, Prediction, Searcher, Stream, SuggestError};
use tunekit::study::Noise;
use tunekit::{Config, Value};

/// Uniform draws without repetition, made of nothing but what any crate can use; and faults.
struct Draws {
    fault: Option<Fault>,
    calls: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// Ignores predicates.
    Forbidden,
    /// Makes up a parameter.
    Unknown,
    /// Draws from a stream of its own, which goes on from call to call.
    Remembers,
    /// Forgets all trials.
    Repeats,
    /// Takes it that results have values.
    NeedsValues,
    /// Goes for the least, whatever the goal.
    IgnoresGoal,
    /// Predicts for the first configuration only.
    PredictsOne,
    /// Has no end.
    NeverExhausted,
}

fn draws(fault: impl Into<Option<Fault>>) -> impl Fn() -> Box<dyn Searcher> {
    let fault = fault.into();
    move || Box::new(Draws { fault, calls: 0 })
}

impl Draws {
    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}

impl Searcher for Draws {
    fn name(&self) -> &str {
        "draws"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        self.calls += 1;
        let mut remembered = Stream::of_study(self.calls, "draws");
        let stream = if self.is(Fault::Remembers) { &mut remembered } else { stream };
        let space = history.space();
        if self.is(Fault::NeedsValues) {
            history.trials().iter().filter(|t| t.is_finished() && t.failure.is_none()).for_each(|t| {
                t.told.or(t.measurements.last().map(|m| m.value)).expect("a value");
            });
        }
        let deterministic = history.metric().noise == Noise::Deterministic;
        let drawn = |stream: &mut Stream| {
            let point: Vec<f64> = (0..space.len()).map(|_| stream.uniform()).collect();
            space.decode(&point).expect("a point of the unit cube")
        };
        let unused = |config: &Config| match self.fault {
            Some(Fault::Repeats) => true,
            _ => history.used(config) == 0,
        };
        let allowed = |config: &Config| self.is(Fault::Forbidden) || space.allows(config);
        if self.is(Fault::IgnoresGoal)
            && let Some(least) = history.observed().iter().min_by(|a, b| a.samples[0].total_cmp(&b.samples[0]))
            && let Some(value) = least.config.float("x0")
        {
            return Ok(least.config.clone().with("x0", (value + 0.01) % 1.0));
        }
        if let Some(config) = (0..2_000).map(|_| drawn(stream)).filter(allowed).find(unused) {
            let unknown = self.is(Fault::Unknown).then_some("made up");
            return Ok(unknown.into_iter().fold(config, |config, name| config.with(name, Value::from(true))));
        }
        // The rest of a small space; else a repetition.
        let count = space.count().filter(|count| *count < 10_000).unwrap_or(0);
        let mut all = (0..count).filter_map(|i| space.nth(i)).filter(allowed).peekable();
        let is_empty = all.peek().is_none();
        if let Some(config) = all.find(unused) {
            return Ok(config);
        }
        if deterministic && !is_empty && !self.is(Fault::NeverExhausted) {
            return Err(SuggestError::Exhausted { count });
        }
        (0..2_000).map(|_| drawn(stream)).find(allowed).ok_or(SuggestError::Forbidden { draws: 4_000 })
    }

    fn predict(&mut self, _: &History<'_>, configs: &[&Config]) -> Option<Vec<Prediction>> {
        let one = Prediction { mean: 1.0, lower: 0.0, upper: 2.0 };
        self.is(Fault::PredictsOne).then(|| vec![one; configs.len().min(1)])
    }
}

#[test]
fn a_searcher_of_ones_own_that_keeps_the_contract_passes_for_any_seed() {
    for seed in 0..2 {
        assert_searcher(seed, draws(None));
    }
}

#[test]
#[should_panic(expected = "searcher `draws` breaks the property \"every suggestion is in the space\" (seed 5)")]
fn one_that_ignores_predicates_is_caught() {
    assert_searcher(5, draws(Fault::Forbidden));
}

#[test]
#[should_panic(expected = "breaks the property \"every suggestion is in the space\" (seed 5): suggestion for trial 0")]
fn one_that_makes_up_a_parameter_is_caught() {
    assert_searcher(5, draws(Fault::Unknown));
}

#[test]
#[should_panic(
    expected = "breaks the property \"the same seed and history give the same suggestion\" (seed 5): trial 1"
)]
fn one_that_remembers_its_calls_is_caught() {
    assert_searcher(5, draws(Fault::Remembers));
}

#[test]
#[should_panic(expected = "breaks the property \"a pending configuration is not suggested again\"")]
fn one_that_forgets_running_trials_is_caught() {
    conformance::pending_configurations_are_not_repeated(5, draws(Fault::Repeats));
}

#[test]
#[should_panic(
    expected = "breaks the property \"where the metric is deterministic, no configuration is suggested twice\""
)]
fn one_that_measures_twice_for_nothing_is_caught() {
    conformance::a_deterministic_metric_is_measured_once(5, draws(Fault::Repeats));
}

#[test]
#[should_panic(expected = "all 12 configurations are used, and the next is")]
fn one_without_an_end_is_caught() {
    conformance::a_finite_space_is_used_up(5, draws(Fault::NeverExhausted));
}

#[test]
#[should_panic(expected = "it panicked: a value")]
fn one_that_needs_values_is_caught_where_there_are_bounds() {
    assert_searcher(5, draws(Fault::NeedsValues));
}

#[test]
#[should_panic(expected = "breaks the property \"the largest is searched as the least of its negative\"")]
fn one_that_ignores_the_goal_is_caught() {
    conformance::the_largest_is_searched_as_the_least_of_its_negative(5, draws(Fault::IgnoresGoal));
}

#[test]
#[should_panic(expected = "1 predictions for 5 configurations")]
fn one_that_predicts_too_little_is_caught() {
    assert_searcher(5, draws(Fault::PredictsOne));
}
