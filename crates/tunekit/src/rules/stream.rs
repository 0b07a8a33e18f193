//! `Stream`: random numbers that depend only on (seed, trial, purpose).
//!
//! It is a ChaCha8 stream with the SHA-256 of the three as its 256-bit key. So streams are independent, and the stream
//! of a trial does not change when another trial, or another use of randomness, is added before it. Both algorithms are
//! fixed by their specifications, so the numbers are the same on every platform and in every version.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use crate::words::trial::TrialId;

/// A stream of random numbers keyed by (seed, trial, purpose).
///
/// ```
/// use tunekit::TrialId;
/// use tunekit::searcher::Stream;
/// let mut a = Stream::keyed(42, TrialId(7), "suggest");
/// let mut b = Stream::keyed(42, TrialId(7), "suggest");
/// assert_eq!(a.uniform(), b.uniform());
/// ```
#[derive(Debug, Clone)]
pub struct Stream {
    source: Source,
}

/// The key is hashed and the generator set up at the first draw: most streams that are handed out are never drawn from.
#[derive(Debug, Clone)]
enum Source {
    Key(Sha256),
    Generator(ChaCha8Rng),
}

impl Stream {
    /// The stream of one purpose in one trial.
    pub fn keyed(seed: u64, trial: TrialId, purpose: &str) -> Self {
        Self::of(seed, &trial.0.to_le_bytes(), purpose)
    }

    /// The stream of one purpose in the whole study, the same for every trial.
    pub fn of_study(seed: u64, purpose: &str) -> Self {
        Self::of(seed, &[], purpose)
    }

    fn of(seed: u64, trial: &[u8], purpose: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"tunekit stream 1");
        hash.update(seed.to_le_bytes());
        // The length keeps (no trial, purpose) and (trial, purpose) apart.
        hash.update([trial.len() as u8]);
        hash.update(trial);
        hash.update(purpose.as_bytes());
        Self { source: Source::Key(hash) }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        if let Source::Key(hash) = &mut self.source {
            let seed = std::mem::take(hash).finalize().into();
            self.source = Source::Generator(ChaCha8Rng::from_seed(seed));
        }
        match &mut self.source {
            Source::Generator(rng) => rng.next_u64(),
            Source::Key(_) => unreachable!("the key became a generator above"),
        }
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (-53_f64).exp2()
    }

    /// Normal with mean 0 and standard deviation 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        // 1 - u is never 0, so the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Uniform among 0, 1, ..., `n - 1`; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        // The bias of the multiplication is below n / 2^64.
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_other_keys_differ() {
        let first = |seed, trial, purpose| Stream::keyed(seed, TrialId(trial), purpose).bits();
        let base = first(1, 2, "a");
        assert_eq!(base, first(1, 2, "a"));
        for other in [first(2, 2, "a"), first(1, 3, "a"), first(1, 2, "b"), Stream::of_study(1, "a").bits()] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn the_numbers_never_change() {
        // A journal of years ago replays only if these stay.
        let mut stream = Stream::keyed(42, TrialId(7), "suggest");
        assert_eq!((stream.bits(), stream.bits()), (0x4fa1_74b8_a06d_682e, 0xca1a_f101_dc37_f909));
        let mut copy = stream.clone();
        assert_eq!(copy.bits(), stream.bits());
    }

    #[test]
    fn normal_draws_have_mean_0_and_variance_1() {
        let mut stream = Stream::of_study(0, "test");
        let draws: Vec<f64> = (0..10_000).map(|_| stream.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 1e4;
        let variance = draws.iter().map(|z| z * z).sum::<f64>() / 1e4;
        // Four standard errors.
        assert!(mean.abs() < 0.04 && (variance - 1.0).abs() < 0.06, "{mean} {variance}");
    }

    #[test]
    fn below_reaches_every_number_and_no_other() {
        let mut stream = Stream::of_study(0, "test");
        let mut seen = [0; 5];
        (0..1000).for_each(|_| seen[stream.below(5)] += 1);
        assert!(seen.iter().all(|n| (150..250).contains(n)), "{seen:?}");
        assert_eq!(stream.below(0), 0);
    }
}
