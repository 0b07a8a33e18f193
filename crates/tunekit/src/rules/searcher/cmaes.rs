//! CMA-ES by asking and telling (Hansen 2016, "The CMA Evolution Strategy: A Tutorial", arXiv 1604.00772), for mixed
//! spaces, with restarts of doubled population (Auger and Hansen 2005).
//!
//! The distribution is a fold over the trials that ended, in the order they were asked for, with lambda trials to a
//! generation. Points that another distribution or a user suggested are included as in Hansen 2011 ("Injecting external
//! solutions into CMA-ES"). So workers need not wait for a generation's end, results from elsewhere count, and a
//! replayed study makes the same suggestions.
//! - `distribution`: the normal distribution of the numbers, and its update.
//! - `categories`: the tables of the categories beside it.

mod categories;
mod distribution;

use self::categories::Categories;
use self::distribution::Distribution;
use super::evidence::{Axis, Tried, first_unused, settled, spread, tried};
use super::{History, Searcher, Stream, SuggestError};
use crate::words::trial::TrialId;
use crate::words::value::Config;

/// The number of points that are drawn before a random one is taken, if all were used before.
const DRAWS: usize = 48;
/// The number of times that restarts double the population.
const DOUBLINGS: u32 = 6;

/// CMA-ES. Good for numeric parameters that depend on each other, from some hundred trials on, with any number of
/// workers; indifferent to rotations of the space and to the scale of the metric. Each categorical parameter has its
/// own table of probabilities, which is learned, too. A number on a grid always keeps a chance to change (the margin of
/// Hamano, Saito, Nomura and Shirakawa 2022). Cost: an eigendecomposition a generation, D^3; below a millisecond for 10
/// parameters, 2 ms for 60.
#[derive(Debug, Default)]
pub struct CmaEs {
    /// The fold over the history so far: a cache.
    fold: Option<Fold>,
}

impl CmaEs {
    /// A new searcher.
    pub fn new() -> Self {
        Self::default()
    }

    /// The fold over the whole history. It continues from the cached state if the trials in that state are unchanged.
    fn fold(&mut self, history: &History<'_>, axes: &[Axis], tried: &[Tried]) -> &Fold {
        let fold = match self.fold.take() {
            Some(fold) if fold.is_of(history.seed(), axes, tried) => fold,
            _ => Fold::new(history.seed(), axes),
        };
        self.fold.insert(fold.on(tried))
    }
}

impl Searcher for CmaEs {
    fn name(&self) -> &str {
        "cmaes"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        let tried = tried(history);
        let axes = Axis::of(history.space());
        let fold = self.fold(history, &axes, &tried);
        if fold.taken.is_empty() {
            return spread(history, stream, "cmaes");
        }
        let points: Vec<Vec<f64>> = (0..DRAWS).map(|_| settled(history.space(), fold.draw(&axes, stream))).collect();
        first_unused(history, stream, points)
    }
}

/// The state after the generations so far.
#[derive(Debug)]
struct Fold {
    seed: u64,
    axes: Vec<Axis>,
    /// Coordinates of the normal distribution.
    numeric: Vec<usize>,
    /// lambda of the current run.
    population: usize,
    restarts: u32,
    distribution: Distribution,
    categories: Categories,
    /// The trials taken in, best first in each generation, and whether all were equal. The state is a function of them.
    taken: Vec<(Vec<TrialId>, bool)>,
}

impl Fold {
    fn new(seed: u64, axes: &[Axis]) -> Self {
        let numeric: Vec<usize> = (0..axes.len()).filter(|j| matches!(axes[*j], Axis::Numeric { .. })).collect();
        let dimension = axes.iter().filter(|a| **a != Axis::Fixed).count();
        let population = 4 + (3.0 * (dimension.max(1) as f64).ln()) as usize;
        Self {
            seed,
            axes: axes.to_vec(),
            population,
            restarts: 0,
            distribution: Distribution::new(vec![0.5; numeric.len()], population),
            categories: Categories::new(axes),
            numeric,
            taken: Vec::new(),
        }
    }

    /// Whether this is a state on the way to that of these trials.
    fn is_of(&self, seed: u64, axes: &[Axis], tried: &[Tried]) -> bool {
        let mut rest = tried;
        let same = |(generation, flat): &(Vec<TrialId>, bool)| {
            let Some((these, others)) = rest.split_at_checked(generation.len()) else { return false };
            rest = others;
            let these = sorted(these);
            // Measured again, equals may turn out different and still come in the order they had.
            is_flat(&these) == *flat && these.iter().map(|t| t.trial).eq(generation.iter().copied())
        };
        self.seed == seed && self.axes == axes && self.taken.iter().all(same)
    }

    /// With every further generation that is complete.
    fn on(mut self, tried: &[Tried]) -> Self {
        let mut rest = &tried[self.taken.iter().map(|(trials, _)| trials.len()).sum()..];
        while let Some((generation, others)) = rest.split_at_checked(self.population) {
            rest = others;
            let generation = sorted(generation);
            // Equal ranks say nothing: a generation of equals must not pull anywhere, and shows that a run is over.
            let flat = is_flat(&generation);
            self.taken.push((generation.iter().map(|t| t.trial).collect(), flat));
            let numbers: Vec<Vec<f64>> =
                generation.iter().map(|t| self.numeric.iter().map(|j| t.point[*j]).collect()).collect();
            self.distribution.update(&numbers, flat);
            if !flat {
                self.categories.update(&generation);
            }
            if self.distribution.is_spent() {
                self.restart();
            }
        }
        self
    }

    fn restart(&mut self) {
        self.restarts += 1;
        if self.restarts <= DOUBLINGS {
            self.population *= 2;
        }
        let mut stream = Stream::of_study(self.seed, &format!("cmaes restart {}", self.restarts));
        let mean = self.numeric.iter().map(|_| stream.uniform()).collect();
        self.distribution = Distribution::new(mean, self.population);
        self.categories = Categories::new(&self.axes);
    }

    fn draw(&self, axes: &[Axis], stream: &mut Stream) -> Vec<f64> {
        let mut point = vec![0.5; axes.len()];
        self.categories.draw(&mut point, stream);
        let cells: Vec<f64> =
            self.numeric.iter().map(|j| if let Axis::Numeric { cell } = axes[*j] { cell } else { 0.0 }).collect();
        let numbers = self.distribution.draw(&cells, stream);
        self.numeric.iter().zip(numbers).for_each(|(j, u)| point[*j] = u);
        point
    }
}

/// Whether none is better than another.
fn is_flat(generation: &[&Tried]) -> bool {
    generation.iter().all(|t| t.rank == generation[0].rank)
}

/// Best first.
fn sorted(generation: &[Tried]) -> Vec<&Tried> {
    let mut sorted: Vec<&Tried> = generation.iter().collect();
    sorted.sort_by_key(|t| t.order());
    sorted
}
