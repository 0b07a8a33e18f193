//! The parameters without measurable effect. A caller may give these the values that it prefers.
//!
//! Each parameter is tested against a Gaussian process of all the others (`effects/score`). A small p-value means that
//! there is an effect. A large p-value means that there is no effect only if an effect three times as large as the
//! noise would probably have been found; otherwise there is no answer yet. The error rates of both answers are in
//! docs/DESIGN.md, and `tests/influence/effects.rs` simulates them anew. With several objectives the first is tested,
//! as in `importance`.

mod score;

use serde::Serialize;

use self::score::{DRAWS, Null};
use super::distribution::standard_deviation;
use super::gp::{Coordinate, Data, Hyper, Noise, Posterior, Start, fit};
use super::history::{History, Observed};
use super::importance::ImportanceError;
use super::qmc::Sobol;
use super::searcher::gp::output::{Kind, Output};
use super::study::Study;
use crate::words::domain::Domain;
use crate::words::metric::{MetricKind, Noise as MetricNoise};
use crate::words::space::Space;
use crate::words::trial::mean;
use crate::words::value::{Config, Value};

/// Fewer configurations than this make no model.
const FEWEST: usize = 5;
/// The largest number of configurations that are used; from more, an even selection is used.
const MOST: usize = 150;
/// The p-value up to which an effect counts as found.
const LEVEL: f64 = 0.05;
/// Size of the effect that would have been found, from one end of a parameter's range to the other: in standard
/// deviations of one measurement, ...
const CLEAR: f64 = 3.0;
/// ... or, where measurements are exact, in standard deviations of the configurations' outputs.
const CLEAR_EXACT: f64 = 0.1;
/// At least so probably.
const POWER: f64 = 0.5;
/// Effects that are asked about fall off by this factor of e over the range, as c / x does over a range of 1 to 55.
const STEEP: f64 = 4.0;
/// The price of each parameter of a scale in leave-one-out density, in nats.
const CHARGE: f64 = 3.0;
/// Settings of a process's fit.
const STARTS: usize = 2;
const EVALUATIONS: usize = 60;

/// The answer about a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It has an effect.
    Effect,
    /// It has no measurable effect: a clear one would probably have been found.
    NoEffect,
    /// There is no answer yet: too little was measured, or too small a part of its range, or only together with changes
    /// of the other parameters.
    Open,
}

impl Finding {
    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Effect => "has an effect",
            Self::NoEffect => "no measurable effect",
            Self::Open => "cannot be said yet",
        }
    }
}

/// The test of one parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Effect {
    /// The parameter.
    pub parameter: String,
    /// The answer.
    pub finding: Finding,
    /// The probability of such measurements without any effect.
    pub p_value: f64,
    /// The probability that an effect whose range is three standard deviations of one measurement would have been
    /// found (a tenth of the standard deviation of the configurations' outputs, where measurements are exact).
    pub power: f64,
}

/// The tests of all parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Effects {
    /// One for each parameter, in the space's order.
    pub parameters: Vec<Effect>,
    /// Number of measured configurations in the tests.
    pub configurations: usize,
    space: Space,
}

impl Effects {
    /// The answer about a parameter; `None` if the space has no such parameter.
    pub fn finding(&self, parameter: &str) -> Option<Finding> {
        self.parameters.iter().find(|effect| effect.parameter == parameter).map(|effect| effect.finding)
    }

    /// The parameters without a measurable effect, in the space's order.
    pub fn dead(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().filter(|e| e.finding == Finding::NoEffect).map(|e| e.parameter.as_str())
    }

    /// `config` with the values of `preferred` for the parameters without a measurable effect. If the space does not
    /// allow all of them together, they are applied one after the other, in the space's order, as far as it allows. A
    /// parameter that `preferred` does not name keeps its value. So does a parameter that other parameters depend on,
    /// if the preferred value would change which of them exist.
    pub fn settle(&self, config: &Config, preferred: &Config) -> Config {
        let values: Vec<_> = self.dead().filter_map(|name| Some((name, preferred.value(name)?))).collect();
        let moved = |from: Config, (name, value): &(&str, &Value)| match from.value(name) {
            Some(_) => from.with(*name, (*value).clone()),
            None => from,
        };
        let allowed = |config: Config| self.space.conform(&config).ok();
        if let Some(all) = allowed(values.iter().fold(config.clone(), moved)) {
            return all;
        }
        values.iter().fold(config.clone(), |from, value| allowed(moved(from.clone(), value)).unwrap_or(from))
    }
}

impl Study {
    /// For each parameter: it has an effect on the metric, it has no measurable effect, or there is no answer yet. The
    /// result is a function of the history and the study's seed. If trials did not come equally far, those count that
    /// [`Study::best`] compares. It takes some hundredths of a second per parameter at 60 configurations, and some
    /// tenths at 150, the most that it uses.
    ///
    /// ```
    /// use tunekit::{Config, Domain, Metric, Setup, Space, Study};
    /// use tunekit::results::Finding;
    /// use tunekit::searcher::Stream;
    /// let space = Space::new().with("x", Domain::float(0.0, 1.0)?)?.with("idle", Domain::int(1, 8)?)?;
    /// let mut study = Study::new(Setup::new(space, Metric::minimize("loss")))?;
    /// let mut noise = Stream::of_study(0, "noise");
    /// for _ in 0..30 {
    ///     let config = Config::new().with("x", noise.uniform()).with("idle", 1 + noise.below(8) as i64);
    ///     study.add(&config, config.float("x").unwrap_or(0.0) + 0.1 * noise.normal())?;
    /// }
    /// let effects = study.effects()?;
    /// assert_eq!(effects.finding("x"), Some(Finding::Effect));
    /// assert_eq!(effects.dead().collect::<Vec<_>>(), ["idle"]);
    ///
    /// // A parameter without effect may have the value one likes.
    /// let found = Config::new().with("x", 0.1).with("idle", 7);
    /// let usual = Config::new().with("x", 0.5).with("idle", 1);
    /// assert_eq!(effects.settle(&found, &usual), Config::new().with("x", 0.1).with("idle", 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Fewer than five configurations were measured, or no process can be fitted to them.
    pub fn effects(&self) -> Result<Effects, ImportanceError> {
        Tested::of(&self.compared())?.effects()
    }
}

/// A history, and the process of all parameters that was fitted to it.
struct Tested<'a> {
    history: &'a History<'a>,
    coordinates: Vec<Coordinate>,
    noise: Noise,
    sobol: Sobol,
    data: Data,
    hyper: Hyper,
}

impl<'a> Tested<'a> {
    fn of(history: &'a History<'a>) -> Result<Self, ImportanceError> {
        let observed = history.observed();
        let every = observed.len().div_ceil(MOST).max(1);
        let observed: Vec<Observed<'_>> = observed.into_iter().step_by(every).collect();
        if observed.len() < FEWEST {
            return Err(ImportanceError::TooFew { got: observed.len(), needed: FEWEST });
        }
        let coordinates = history.space().iter().map(|(_, domain)| coordinate(domain)).collect::<Vec<_>>();
        let noise = match history.metric().noise {
            MetricNoise::Deterministic => Noise::None,
            _ => Noise::Learned,
        };
        let sobol = Sobol::new(&mut history.stream("effects fit"));
        let fitted = fitted(history, &observed, &coordinates, noise, &sobol);
        let (data, hyper) = fitted.ok_or(ImportanceError::Overflow)?;
        Ok(Self { history, coordinates, noise, sobol, data, hyper })
    }

    fn effects(&self) -> Result<Effects, ImportanceError> {
        let space = self.history.space();
        let mut stream = self.history.stream("effects");
        let rows = self.data.len();
        let draws: Vec<Vec<f64>> = (0..DRAWS).map(|_| (0..rows).map(|_| stream.normal()).collect()).collect();
        let test = |(index, (name, domain))| self.test(index, name, domain, &draws);
        let parameters = space.iter().enumerate().map(test).collect::<Result<_, _>>()?;
        Ok(Effects { parameters, configurations: rows, space: space.clone() })
    }

    fn test(&self, index: usize, name: &str, domain: &Domain, draws: &[Vec<f64>]) -> Result<Effect, ImportanceError> {
        let parameter = name.to_owned();
        if domain.count() == Some(1) {
            return Ok(Effect { parameter, finding: Finding::NoEffect, p_value: 1.0, power: 1.0 });
        }
        let hyper = self.without(index);
        let null = Null { data: &self.data, coordinates: &self.coordinates, index, hyper: &hyper };
        let score = null.test(&self.clear(index, domain), LEVEL, draws).ok_or(ImportanceError::Overflow)?;
        let finding = match (score.p_value <= LEVEL, score.power >= POWER) {
            (true, _) => Finding::Effect,
            (false, true) => Finding::NoEffect,
            (false, false) => Finding::Open,
        };
        Ok(Effect { parameter, finding, p_value: score.p_value, power: score.power })
    }

    /// The hyperparameters of a process that does not know of a coordinate.
    fn without(&self, index: usize) -> Hyper {
        let (mut coordinates, mut data, mut hyper) = (self.coordinates.clone(), self.data.clone(), self.hyper.clone());
        coordinates.remove(index);
        hyper.lengths.remove(index);
        for x in &mut data.x {
            x.remove(index);
        }
        let start = Start { from: Some(&hyper), starts: STARTS, evaluations: EVALUATIONS };
        fit(&coordinates, &data, self.noise, start, &self.sobol)
    }

    /// Clear effects, as outputs of each row: one category unlike the others, or along a number a straight line and a
    /// steep curve at either end.
    fn clear(&self, index: usize, domain: &Domain) -> Vec<Vec<f64>> {
        let size = match self.noise {
            Noise::None => CLEAR_EXACT * standard_deviation(&self.data.y).unwrap_or(0.0),
            _ => CLEAR * self.hyper.noise.sqrt(),
        };
        let at = |of: &dyn Fn(f64) -> f64| self.data.x.iter().map(|x| size * of(x[index])).collect::<Vec<f64>>();
        match coordinate(domain) {
            Coordinate::Categorical => {
                let is = |k: u64| at(&|u| f64::from(u8::from(domain.index_of(u) == k)));
                (0..domain.count().unwrap_or(0)).map(is).collect()
            }
            _ => vec![at(&|u| u), at(&|u| (-STEEP * u).exp()), at(&|u| (-STEEP * (1.0 - u)).exp())],
        }
    }
}

/// The distance measure of a parameter.
fn coordinate(domain: &Domain) -> Coordinate {
    match domain {
        Domain::Categorical(_) | Domain::Bool => Coordinate::Categorical,
        _ => Coordinate::Numeric,
    }
}

/// The outputs on the scale that foretells them best, and the hyperparameters there; `None` if no process fits.
fn fitted(
    history: &History<'_>,
    observed: &[Observed<'_>],
    coordinates: &[Coordinate],
    noise: Noise,
    sobol: &Sobol,
) -> Option<(Data, Hyper)> {
    let metric = history.metric();
    let means: Vec<f64> = observed.iter().filter_map(|o| mean(&o.samples)).collect();
    let positive = observed.iter().flat_map(|o| &o.samples).all(|v| *v > 0.0);
    let mut best: Option<(f64, Data, Hyper)> = None;
    for kind in Kind::allowed(&means, positive, metric.kind == MetricKind::Time) {
        let Some(output) = Output::new(kind, metric.goal, &means) else { continue };
        let Some(data) = outputs(history.space(), observed, &output) else { continue };
        let start = Start { from: None, starts: STARTS, evaluations: EVALUATIONS };
        let hyper = fit(coordinates, &data, noise, start, sobol);
        let Some(posterior) = Posterior::new(coordinates, &hyper, &data, data.len(), None) else { continue };
        let density = posterior.leave_one_out() + output.log_slopes(&means) - CHARGE * output.parameters() as f64;
        if density.is_finite() && best.as_ref().is_none_or(|(other, ..)| density > *other) {
            best = Some((density, data, hyper));
        }
    }
    best.map(|(_, data, hyper)| (data, hyper))
}

/// The data of a process; `None` if an output is not finite.
fn outputs(space: &Space, observed: &[Observed<'_>], output: &Output) -> Option<Data> {
    let mut data = Data::default();
    for o in observed {
        let outputs: Vec<f64> = o.samples.iter().map(|v| output.output(*v)).collect();
        let y = mean(&outputs)?;
        let ss = outputs.iter().map(|v| (v - y).powi(2)).sum::<f64>();
        if !(y.is_finite() && ss.is_finite()) {
            return None;
        }
        data.push(space.encode(o.config).ok()?, y, outputs.len() as f64, ss);
    }
    Some(data)
}
