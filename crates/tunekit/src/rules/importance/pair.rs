//! The metric as a function of two parameters at once, for the heat map of a study.

use serde::Serialize;

use super::{Explainer, ImportanceError, Sample, Surface, grid};
use crate::rules::study::Study;
use crate::words::domain::Domain;
use crate::words::trial::mean;
use crate::words::value::{Config, Value};

/// The most values of each parameter.
const MOST_VALUES: usize = 50;
/// Points over which each pair of values is averaged, the same for all.
const BACKGROUND: usize = 32;

/// The metric as a function of two parameters, averaged over the others (Friedman 2001).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PairDependence {
    /// The parameters.
    pub parameters: [String; 2],
    /// The surface from which it was computed.
    pub surface: Surface,
    /// The values of each, from the domain's first value to its last, evenly on its scale.
    pub values: [Vec<Value>; 2],
    /// The metric's mean: for each value of the second parameter, at each value of the first. `None` if the space
    /// allows no such configuration.
    pub means: Vec<Vec<Option<f64>>>,
}

impl Study {
    /// The metric as a function of two parameters, averaged over the others, at `points` values of each (fewer where a
    /// domain has fewer).
    ///
    /// ```
    /// use tunekit::{Domain, Metric, Setup, Space, Study};
    /// let space = Space::new().with("x", Domain::float(0.0, 1.0)?)?.with("y", Domain::float(0.0, 1.0)?)?;
    /// let mut study = Study::new(Setup::new(space, Metric::minimize("loss")))?;
    /// for _ in 0..15 {
    ///     let Some(job) = study.ask()?.assignment() else { break };
    ///     let (x, y) = (job.config.float("x").unwrap_or(0.0), job.config.float("y").unwrap_or(0.0));
    ///     study.tell(job.trial, 3.0 * x + y)?;
    /// }
    /// let pair = study.pair_dependence(["x", "y"], 3)?;
    /// // At x = 1 and y = 0.
    /// assert!(pair.means[0][2].is_some_and(|mean| (mean - 3.0).abs() < 0.3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Study::importances`]; also a parameter is unknown or named twice, or `points` is 0 or more than 50.
    pub fn pair_dependence(&self, parameters: [&str; 2], points: usize) -> Result<PairDependence, ImportanceError> {
        Explainer::new(self.compared(), Some(self.searcher().as_mut()))?.pair_dependence(parameters, points)
    }
}

impl Explainer<'_> {
    fn pair_dependence(&mut self, names: [&str; 2], points: usize) -> Result<PairDependence, ImportanceError> {
        let space = self.history.space();
        let found = |name: &str| -> Result<(usize, &Domain), ImportanceError> {
            let place = space.iter().position(|(other, _)| other == name);
            place.zip(space.domain(name)).ok_or_else(|| ImportanceError::Unknown {
                name: name.to_owned(),
                known: space.iter().map(|(name, _)| name.to_owned()).collect(),
            })
        };
        let (one, other) = (found(names[0])?, found(names[1])?);
        if one.0 == other.0 {
            return Err(ImportanceError::Twice { name: names[0].to_owned() });
        }
        if !(1..=MOST_VALUES).contains(&points) {
            return Err(ImportanceError::Points { points, most: MOST_VALUES });
        }
        let background = Sample::of(&self.history, "pair dependence", 1, BACKGROUND);
        let grids = [one, other].map(|(_, domain)| grid(domain, points));
        let values = [(one.1, &grids[0]), (other.1, &grids[1])]
            .map(|(domain, grid)| grid.iter().map(|u| domain.decode(*u)).collect());
        // Only configurations with both parameters.
        let cell = |at: [f64; 2]| -> Vec<Config> {
            let moved = background.points.iter().filter_map(|point| {
                let mut point = point.clone();
                (point[one.0], point[other.0]) = (at[0], at[1]);
                let config = space.decode(&point).ok().filter(|config| space.validate(config).is_ok())?;
                names.iter().all(|name| config.value(name).is_some()).then_some(config)
            });
            moved.collect()
        };
        let forest = if self.predict(&background.configs).is_some() { None } else { Some(self.forest()) };
        let surface = if forest.is_some() { Surface::Forest } else { Surface::Model };
        let unit = self.unit();
        let mut means = Vec::with_capacity(grids[1].len());
        for v in &grids[1] {
            let cells: Vec<Vec<Config>> = grids[0].iter().map(|u| cell([*u, *v])).collect();
            let all: Vec<Config> = cells.iter().flatten().cloned().collect();
            let predicted: Vec<f64> = match &forest {
                None if all.is_empty() => Vec::new(),
                None => {
                    let predictions = self.predict(&all).ok_or(ImportanceError::Overflow)?;
                    predictions.iter().map(|p| p.mean).collect()
                }
                Some(forest) => {
                    let of = |x: Vec<f64>| {
                        let sum: f64 = forest.trees.iter().map(|tree| tree.value(&x)).sum();
                        sum / forest.trees.len() as f64 * unit
                    };
                    all.iter().filter_map(|config| space.encode(config).ok()).map(of).collect()
                }
            };
            let mut rest = predicted.as_slice();
            let row = cells.iter().map(|cell| {
                let (own, others) = rest.split_at(cell.len().min(rest.len()));
                rest = others;
                mean(own).filter(|mean| mean.is_finite())
            });
            means.push(row.collect());
        }
        if means.iter().flatten().all(|mean: &Option<f64>| mean.is_none()) {
            return Err(ImportanceError::Forbidden);
        }
        Ok(PairDependence { parameters: names.map(str::to_owned), surface, values, means })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_each_value_once() {
        for (domain, count) in [
            (Domain::int(1, 16).unwrap().log().unwrap(), 9),
            (Domain::int(1, 14).unwrap().log().unwrap(), 14),
            (Domain::int(0, 1000).unwrap(), 14),
            (Domain::float(1.0, 16.0).unwrap().log().unwrap(), 14),
        ] {
            let values: Vec<Value> = grid(&domain, 14).iter().map(|u| domain.decode(*u)).collect();
            let numbers: Vec<f64> = values.iter().filter_map(Value::as_f64).collect();
            assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
            assert_eq!(numbers.len(), count, "{numbers:?}");
        }
    }
}
