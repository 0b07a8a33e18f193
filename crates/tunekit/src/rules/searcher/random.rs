//! Random search: uniform draws in the unit cube (Bergstra and Bengio 2012), without repetition while others are left.

use super::{History, Searcher, Stream, SuggestError, unused};
use crate::words::space::Space;
use crate::words::value::Config;

/// Draws every configuration uniformly in the unit cube: uniformly between the bounds, or in the logarithm on a
/// logarithmic scale.
///
/// A configuration that was used is not drawn again while unused ones are found, so draws from a finite space are not
/// independent: they are draws without replacement.
#[derive(Debug, Clone, Copy, Default)]
pub struct Random;

impl Searcher for Random {
    fn name(&self) -> &str {
        "random"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        unused(history, stream, |stream| draw(history, stream))
    }
}

/// A uniform draw.
pub(crate) fn draw(history: &History<'_>, stream: &mut Stream) -> Config {
    uniform(history.space(), stream)
}

/// A uniform draw from a space, which its predicates may forbid.
pub(super) fn uniform(space: &Space, stream: &mut Stream) -> Config {
    let point: Vec<f64> = (0..space.len()).map(|_| stream.uniform()).collect();
    space.decode(&point).expect("uniform draws are in the unit cube")
}
