//! Smooth functions whose optimum lies beside failures: the function falls towards an edge, beyond which every trial
//! fails.

use tunekit::searcher::Stream;
use tunekit::{Config, Domain, Metric, Space};

use crate::problem::{Noise, Problem};

/// One function of the unit cube.
#[derive(Debug, Clone)]
struct Cliff {
    /// The lowest point were there no edge, and how much each coordinate counts.
    best: Vec<f64>,
    weights: Vec<f64>,
    /// The edge: a point with a larger product with this direction fails.
    direction: Vec<f64>,
    edge: f64,
}

fn name(j: usize) -> String {
    format!("x{j}")
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Cliff {
    fn of(number: u64) -> Self {
        let mut draw = Stream::of_study(number, "cliff");
        let d = 2 + draw.below(3);
        let best: Vec<f64> = (0..d).map(|_| 0.2 + 0.6 * draw.uniform()).collect();
        let weights = (0..d).map(|_| 0.5 + 2.0 * draw.uniform()).collect();
        let direction: Vec<f64> = (0..d).map(|_| draw.normal()).collect();
        let length = dot(&direction, &direction).sqrt();
        let direction: Vec<f64> = direction.iter().map(|v| v / length).collect();
        // From cutting the bowl's middle off to leaving it a little room.
        let edge = dot(&direction, &best) + 0.25 * draw.uniform() - 0.2;
        Self { best, weights, direction, edge }
    }

    fn value(&self, x: &[f64]) -> f64 {
        x.iter().zip(&self.best).zip(&self.weights).map(|((x, best), weight)| weight * (x - best).powi(2)).sum()
    }

    fn at(&self, x: &[f64]) -> Option<f64> {
        (dot(x, &self.direction) <= self.edge).then(|| self.value(x))
    }

    /// The lowest value that can be had, inside the cube.
    fn least(&self) -> f64 {
        // By Lagrange's multiplier, then, where that leaves the cube, by many small steps.
        let over = dot(&self.best, &self.direction) - self.edge;
        if over <= 0.0 {
            return 0.0;
        }
        let scale: f64 = self.direction.iter().zip(&self.weights).map(|(u, w)| u * u / w).sum();
        let at: Vec<f64> = self
            .best
            .iter()
            .zip(&self.direction)
            .zip(&self.weights)
            .map(|((x, u), w)| x - over / scale * u / w)
            .collect();
        if at.iter().all(|x| (0.0..=1.0).contains(x)) {
            return self.value(&at);
        }
        let mut draw = Stream::of_study(0, "least");
        let mut found = (f64::INFINITY, vec![0.5; at.len()]);
        for step in 0..200_000 {
            let size = if step < 20_000 { 1.0 } else { 0.9997_f64.powi((step - 20_000) / 5) };
            let x: Vec<f64> = found.1.iter().map(|x| (x + size * draw.normal()).clamp(0.0, 1.0)).collect();
            if let Some(value) = self.at(&x).filter(|value| *value < found.0) {
                found = (value, x);
            }
        }
        found.0
    }
}

pub(crate) fn problem(number: u64) -> Problem {
    let cliff = Cliff::of(number);
    let least = cliff.least();
    let d = cliff.best.len();
    let domain = Domain::float(0.0, 1.0).expect("the range is not empty");
    Problem {
        number,
        space: (0..d).fold(Space::new(), |space, j| space.with(name(j), domain.clone()).expect("the names differ")),
        metrics: vec![Metric::minimize("loss")],
        trials: 60,
        noise: Noise::Same(0.0),
        truth: Box::new(move |config: &Config| {
            let x: Vec<f64> = (0..d).filter_map(|j| config.float(&name(j))).collect();
            cliff.at(&x).map(|value| vec![value])
        }),
        loss: Box::new(move |points| points.first().map_or(1.0, |point| point[0] - least)),
        measure: "above the optimum",
    }
}
