//! Two objectives: the error of a result, with noise, and its cost, which one parameter sets. Number 0 is a function on
//! which a first front of one point made a searcher stay there; the others are drawn like it.

use tunekit::results::pareto::hypervolume;
use tunekit::searcher::Stream;
use tunekit::{Config, Domain, Metric, Space, Value};

use crate::problem::{Noise, Problem};

/// One function.
#[derive(Debug, Clone)]
struct Front {
    /// Range and best place of each number, and the cost of a distance from it.
    xs: Vec<(f64, f64, f64, f64)>,
    /// The largest n, the n from which on nothing is gained, and the cost of fewer.
    most: i64,
    enough: f64,
    slope: f64,
    /// The cost of each kind; the best costs nothing.
    kinds: Vec<f64>,
    /// The power of n that is paid, and the surcharge of a kind.
    power: f64,
    prices: Vec<f64>,
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

impl Front {
    fn of(number: u64) -> Self {
        if number == 0 {
            return Self {
                xs: vec![(-5.0, 10.0, 2.0, 1.0)],
                most: 512,
                enough: 40.0,
                slope: 1.0,
                kinds: vec![1.0, 0.0, 0.0],
                power: 1.0,
                prices: vec![1.0; 3],
            };
        }
        let mut draw = Stream::of_study(number, "front");
        let mut between = |low: f64, high: f64| low + (high - low) * draw.uniform();
        let count = between(1.0, 4.0) as usize;
        let xs = (0..count)
            .map(|_| {
                let (low, width) = (between(-10.0, 0.0), between(5.0, 20.0));
                let worst = between(5.0, 60.0);
                let best = low + width * between(0.1, 0.9);
                (low, low + width, best, worst / (0.5 * width).powi(2))
            })
            .collect();
        let most = 2_f64.powf(between(6.0, 12.0)) as i64;
        let enough = (most as f64).powf(between(0.35, 0.9));
        let kinds = between(2.0, 4.99) as usize;
        let best = between(0.0, kinds as f64) as usize;
        let penalties = (0..kinds).map(|k| if k == best { 0.0 } else { between(0.0, 1.5) }).collect();
        let priced = between(0.0, 1.0) < 0.3;
        Self {
            xs,
            most,
            enough,
            slope: between(0.5, 3.0),
            kinds: penalties,
            power: if between(0.0, 1.0) < 0.7 { 1.0 } else { 0.5 },
            prices: (0..kinds).map(|_| if priced { between(0.7, 1.5) } else { 1.0 }).collect(),
        }
    }

    fn space(&self) -> Space {
        let mut space = Space::new();
        let add = |space: Space, name: &str, domain| space.with(name, domain).expect("the names differ");
        for (name, (low, high, ..)) in NAMES.iter().zip(&self.xs) {
            space = add(space, &format!("x_{name}"), Domain::float(*low, *high).expect("the range is not empty"));
        }
        let n = Domain::int(1, self.most).and_then(Domain::log).expect("the range is positive");
        let kinds = NAMES[..self.kinds.len()].iter().map(|name| Value::from(*name));
        add(add(space, "n", n), "kind", Domain::categorical(kinds.collect::<Vec<_>>()).expect("the values differ"))
    }

    fn values(&self, x: &[f64], n: f64, kind: usize) -> Vec<f64> {
        let off: f64 = self.xs.iter().zip(x).map(|((_, _, best, cost), x)| cost * (x - best).powi(2)).sum();
        let loss = off + self.slope * (n / self.enough - 1.0).abs() + self.kinds[kind];
        vec![loss, n.powf(self.power) * self.prices[kind]]
    }

    fn at(&self, config: &Config) -> Vec<f64> {
        let x: Vec<f64> = NAMES.iter().filter_map(|name| config.float(&format!("x_{name}"))).collect();
        let kind = NAMES.iter().position(|name| config.text("kind") == Some(name)).unwrap_or(0);
        self.values(&x, config.float("n").unwrap_or(1.0), kind)
    }

    /// The best that can be had.
    fn front(&self) -> Vec<Vec<f64>> {
        let best: Vec<f64> = self.xs.iter().map(|(_, _, best, _)| *best).collect();
        let kinds = 0..self.kinds.len();
        let all: Vec<Vec<f64>> = (1..=self.most)
            .flat_map(|n| kinds.clone().map(move |k| (n, k)))
            .map(|(n, k)| self.values(&best, n as f64, k))
            .collect();
        tunekit::results::pareto::non_dominated(&all).into_iter().map(|i| all[i].clone()).collect()
    }
}

pub(crate) fn problem(number: u64) -> Problem {
    let front = Front::of(number);
    let space = front.space();
    let best = front.front();
    // A tenth of the front's range behind its worst.
    let reference: Vec<f64> = (0..2)
        .map(|j| {
            let ends = best.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), p| (a.min(p[j]), b.max(p[j])));
            ends.1 + 0.1 * (ends.1 - ends.0)
        })
        .collect();
    let all = hypervolume(&best, &reference);
    Problem {
        number,
        space,
        metrics: vec![Metric::minimize("loss"), Metric::minimize("cost")],
        trials: 40,
        noise: Noise::Same(0.05),
        truth: Box::new(move |config| Some(front.at(config))),
        loss: Box::new(move |points| 1.0 - hypervolume(points, &reference) / all),
        measure: "volume missed",
    }
}
