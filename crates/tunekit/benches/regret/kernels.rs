//! Spaces of many small choices, as of programs for graphics processors: ordinal parameters whose effects multiply, and
//! combinations that need more than there is, which fail and do not say so before.

use tunekit::searcher::Stream;
use tunekit::{Config, Domain, Metric, Space, Value};

use crate::problem::{Noise, Problem};

/// The most combinations, so that the best can be looked up.
const MOST: usize = 60_000;

/// One function.
#[derive(Debug, Clone)]
struct Kernel {
    /// The logarithm of each value's effect.
    effects: Vec<Vec<f64>>,
    /// Effects that two parameters have together, by place among the values from 0 to 1: both, strength, where it is
    /// best.
    pairs: Vec<(usize, usize, f64, f64)>,
    /// The need of each step of each parameter for two resources, and how much of each there is.
    needs: [Vec<f64>; 2],
    limits: [f64; 2],
    noise: f64,
}

fn name(j: usize) -> String {
    format!("p{j}")
}

impl Kernel {
    fn of(number: u64) -> Self {
        let mut draw = Stream::of_study(number, "kernel");
        let counts: Vec<usize> = loop {
            let counts: Vec<usize> = (0..6 + draw.below(3)).map(|_| 2 + draw.below(9)).collect();
            if (2_000..=MOST).contains(&counts.iter().product()) {
                break counts;
            }
        };
        let d = counts.len();
        // Every other one is smoother than the rest.
        let rugged = if number.is_multiple_of(2) { 1.0 } else { 3.0 };
        let effects = counts
            .iter()
            .map(|count| {
                // A bend, a slope and something that belongs to each value.
                let (strength, best, rough) =
                    (1.2 * draw.uniform().powi(2), draw.uniform(), 0.1 * rugged * draw.uniform());
                let place = |k: usize| k as f64 / (*count - 1) as f64;
                (0..*count)
                    .map(|k| strength * (place(k) - best).abs().powf(1.5) * 2.0 + rough * draw.normal())
                    .collect()
            })
            .collect();
        let pairs = (0..d)
            .map(|_| (draw.below(d), draw.below(d), 0.5 * rugged * draw.uniform(), 2.0 * draw.uniform()))
            .collect();
        // Resources are used by some of the parameters: threads by the first, memory by others.
        let mut need = || -> Vec<f64> {
            let used: Vec<f64> =
                counts.iter().map(|_| if draw.uniform() < 0.6 { 0.3 + draw.uniform() } else { 0.0 }).collect();
            if used.iter().sum::<f64>() == 0.0 { vec![1.0; d] } else { used }
        };
        let needs = [need(), need()];
        let noise = 0.01 + 0.02 * draw.uniform();
        let mut kernel = Self { effects, pairs, needs, limits: [f64::INFINITY; 2], noise };
        // Each resource is short for so many combinations that about half fail in all.
        let all: Vec<Vec<usize>> = kernel.all();
        let share = 0.25 + 0.15 * draw.uniform();
        kernel.limits = [0, 1].map(|r| {
            let mut used: Vec<f64> = all.iter().map(|at| kernel.used(at, r)).collect();
            used.sort_by(f64::total_cmp);
            used[((1.0 - share) * (used.len() - 1) as f64) as usize]
        });
        kernel
    }

    fn counts(&self) -> Vec<usize> {
        self.effects.iter().map(Vec::len).collect()
    }

    fn all(&self) -> Vec<Vec<usize>> {
        let counts = self.counts();
        let total: usize = counts.iter().product();
        (0..total)
            .map(|mut index| {
                let digit = |count: &usize| {
                    let digit = index % count;
                    index /= count;
                    digit
                };
                counts.iter().map(digit).collect()
            })
            .collect()
    }

    fn used(&self, at: &[usize], resource: usize) -> f64 {
        at.iter().zip(&self.needs[resource]).map(|(k, need)| *k as f64 * need).sum()
    }

    fn value(&self, at: &[usize]) -> Option<f64> {
        if (0..2).any(|r| self.used(at, r) > self.limits[r]) {
            return None;
        }
        let place = |j: usize| at[j] as f64 / (self.effects[j].len() - 1) as f64;
        let own: f64 = at.iter().zip(&self.effects).map(|(k, effects)| effects[*k]).sum();
        let pairs: f64 =
            self.pairs.iter().map(|(a, b, strength, best)| strength * (place(*a) + place(*b) - best).powi(2)).sum();
        Some((own + pairs).exp())
    }

    fn space(&self) -> Space {
        self.counts().iter().enumerate().fold(Space::new(), |space, (j, count)| {
            let values: Vec<Value> = (0..*count).map(|k| Value::Int(1 << k)).collect();
            let domain = Domain::ordinal(values).expect("the values differ");
            space.with(name(j), domain).expect("the names differ")
        })
    }

    fn at(&self, config: &Config) -> Option<f64> {
        let at: Option<Vec<usize>> =
            (0..self.effects.len()).map(|j| Some(config.int(&name(j))?.trailing_zeros() as usize)).collect();
        self.value(&at?)
    }
}

pub(crate) fn problem(number: u64) -> Problem {
    let kernel = Kernel::of(number);
    let best = kernel.all().iter().filter_map(|at| kernel.value(at)).fold(f64::INFINITY, f64::min);
    Problem {
        number,
        space: kernel.space(),
        metrics: vec![Metric::minimize("time")],
        trials: 50,
        noise: Noise::Share(kernel.noise),
        truth: Box::new(move |config| kernel.at(config).map(|value| vec![value])),
        // Nothing found is ten times too slow.
        loss: Box::new(move |points| points.first().map_or(9.0, |point| point[0] / best - 1.0)),
        measure: "above the optimum",
    }
}
