//! The proof: default and found configuration measured again, in turn, after the search.
//!
//! The search's own figure for what it found is too good, for it was chosen for being low. These measurements had no say
//! in the choice; taken in the order default, found, found, default, ... a drift of the network weighs on both alike.

use std::error::Error;
use std::time::Duration;

use tokio::time::timeout;
use tunekit::Config;
use tunekit::compare::{CompareError, Improvement, relative_improvement};

use crate::failure::{Failure, chain};
use crate::measure::{Bench, MeasureError};
use crate::show::Show;

/// Pairs of downloads: as many as fit in a while, at least enough for an interval and at most enough for a narrow one.
const SECONDS: f64 = 24.0;
const FEWEST: usize = 4;
const MOST: usize = 10;
/// How many times as many, where they spread too much for an interval.
const MOST_ROUNDS: usize = 3;

/// Both samples, pair by pair, in seconds, and what they say.
#[derive(Debug, Clone)]
pub(crate) struct Proof {
    pub(crate) default: Vec<f64>,
    pub(crate) found: Vec<f64>,
    pub(crate) improvement: Improvement,
}

/// Measures both. `found_seconds` is about how long a download of what was found takes.
pub(crate) async fn prove(
    bench: &Bench,
    default: &Config,
    found: &Config,
    found_seconds: f64,
    show: &Show,
) -> Result<Proof, Failure> {
    let failed = |error: &dyn Error| Failure::work("compare with boto3's defaults", error);
    // The engine watches its own progress; another program may hang.
    let limit = Duration::from_secs_f64((60.0 + 100.0 * found_seconds).min(86_400.0));
    let measure = async |config: &Config| {
        let mut tries = 2;
        loop {
            tries -= 1;
            match timeout(limit, bench.download(config)).await {
                Ok(Ok(took)) => return Ok(took.as_secs_f64()),
                // One hiccup of the network is not worth the search that came before.
                Ok(Err(MeasureError::Transfer(error))) if tries > 0 => {
                    show.line(format!("a download of the comparison failed, once more: {}", chain(&error)));
                }
                Ok(Err(error)) => return Err(failed(&error)),
                Err(error) => return Err(failed(&error)),
            }
        }
    };
    show.now("default against found");
    let (mut defaults, mut founds) = (vec![measure(default).await?], vec![measure(found).await?]);
    let planned = pairs(defaults[0] + found_seconds.max(founds[0]));
    let mut pairs = planned;
    loop {
        while defaults.len() < pairs {
            show.now(format!("default against found, pair {} of {pairs}", defaults.len() + 1));
            if defaults.len() % 2 == 1 {
                founds.push(measure(found).await?);
                defaults.push(measure(default).await?);
            } else {
                defaults.push(measure(default).await?);
                founds.push(measure(found).await?);
            }
        }
        match relative_improvement(&defaults, &founds, 0.95) {
            Ok(improvement) => return Ok(Proof { default: defaults, found: founds, improvement }),
            // A hiccup among few measurements leaves no interval; among more it does.
            Err(CompareError::Unbounded { .. }) if pairs < planned * MOST_ROUNDS => pairs += planned,
            Err(error) => return Err(failed(&error)),
        }
    }
}

fn pairs(seconds_per_pair: f64) -> usize {
    ((SECONDS / seconds_per_pair) as usize).clamp(FEWEST, MOST)
}

/// The arithmetic mean; NaN of nothing.
pub(crate) fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_pairs_is_bounded() {
        assert_eq!([0.0, 1e-9, 2.0, 2.4, 4.0, 60.0, f64::INFINITY].map(pairs), [MOST, MOST, 10, 10, 6, 4, 4]);
    }
}
