//! DEHB's searcher (Awad, Mallik and Hutter 2021): a child of the parents that the scheduler names, by rand/1/bin.

use super::de::{child, three};
use super::evidence::{Axis, first_unused};
use super::{History, Searcher, Stream, SuggestError, random, unused};
use crate::rules::advice::Parents;
use crate::words::trial::TrialId;
use crate::words::value::Config;

/// F.
const SCALE: f64 = 0.5;
/// CR.
const CROSSOVER: f64 = 0.5;
/// The number of children that are made before a random one is taken, if all were used before.
const CHILDREN: usize = 48;

/// The searcher of the scheduler `dehb`. Without parents, as at first, it draws uniformly.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dehb;

impl Searcher for Dehb {
    fn name(&self) -> &str {
        "dehb"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        let space = history.space();
        let point = |t: &TrialId| space.encode(&history.trial(*t)?.config).ok();
        let parents = history.parents().and_then(|Parents { target, others }| {
            let pool: Vec<Vec<f64>> = others.iter().filter_map(point).collect();
            Some((point(target)?, pool)).filter(|(_, pool)| pool.len() >= 3)
        });
        let Some((target, pool)) = parents else {
            return unused(history, stream, |stream| random::draw(history, stream));
        };
        let axes = Axis::of(space);
        let pool: Vec<&[f64]> = pool.iter().map(Vec::as_slice).collect();
        let make = |_| Some(child(Some(&target), three(&pool, stream)?, &axes, [SCALE, SCALE], CROSSOVER, stream));
        let children: Vec<Vec<f64>> = (0..CHILDREN).filter_map(make).collect();
        first_unused(history, stream, children)
    }
}
