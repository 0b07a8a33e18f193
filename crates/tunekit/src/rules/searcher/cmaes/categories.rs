//! A table of probabilities for each categorical parameter, moved towards the better half of each generation
//! (population-based incremental learning, Baluja 1994). No category ever becomes impossible.

use crate::rules::searcher::evidence::{Axis, Tried};
use crate::rules::stream::Stream;

/// The share of a table that one generation replaces.
const RATE: f64 = 0.3;
/// Probability that is shared evenly by all categories of a parameter.
const FLOOR: f64 = 0.2;

/// The tables.
#[derive(Debug)]
pub(super) struct Categories {
    /// The coordinate, and the probability of each of its categories.
    tables: Vec<(usize, Vec<f64>)>,
}

impl Categories {
    /// All equally likely.
    pub(super) fn new(axes: &[Axis]) -> Self {
        let table = |(j, axis): (usize, &Axis)| match axis {
            Axis::Category { count } => Some((j, vec![1.0 / *count as f64; *count as usize])),
            Axis::Numeric { .. } | Axis::Fixed => None,
        };
        Self { tables: axes.iter().enumerate().filter_map(table).collect() }
    }

    /// Takes in a generation, best first.
    pub(super) fn update(&mut self, generation: &[&Tried]) {
        let good = &generation[..generation.len().div_ceil(2)];
        for (j, table) in &mut self.tables {
            let count = table.len() as u64;
            let mut share = vec![0.0; table.len()];
            for t in good {
                share[Axis::category(t.point[*j], count) as usize] += 1.0 / good.len() as f64;
            }
            for (p, s) in table.iter_mut().zip(share) {
                *p = (1.0 - RATE) * *p + RATE * s;
            }
        }
    }

    /// Sets a drawn point's categorical coordinates.
    pub(super) fn draw(&self, point: &mut [f64], stream: &mut Stream) {
        for (j, table) in &self.tables {
            let count = table.len();
            let any = stream.below(count);
            let mut left = stream.uniform();
            let learned = table.iter().position(|p| {
                left -= p;
                left < 0.0
            });
            let category = if stream.uniform() < FLOOR { any } else { learned.unwrap_or(any) };
            point[*j] = Axis::of_category(category as u64, count as u64);
        }
    }
}
