//! Owen-scrambled Sobol points; the only file that names sobol_burley (Burley 2020, "Practical hash-based Owen
//! scrambling").
//!
//! The library has 2^16 points in 256 dimensions in single precision. Further points continue in another scramble of
//! the same sequence, further dimensions likewise (independent of the first 256, so stratified among themselves), and
//! the bits below single precision come from a hash: each point stays in its cell.

use super::stream::Stream;

/// Points of one scramble.
const LENGTH: u64 = 1 << 16;
/// Dimensions of one scramble.
const DIMENSIONS: u32 = 256;

/// A scrambled Sobol sequence in the unit cube.
#[derive(Debug, Clone)]
pub(crate) struct Sobol {
    key: u64,
}

impl Sobol {
    /// The sequence that belongs to the next bits of `stream`.
    pub(crate) fn new(stream: &mut Stream) -> Self {
        Self { key: stream.bits() }
    }

    /// Point `index`, in [0, 1)^dimension.
    pub(crate) fn point(&self, index: u64, dimension: usize) -> Vec<f64> {
        (0..dimension as u32).map(|d| self.coordinate(index, d)).collect()
    }

    fn coordinate(&self, index: u64, dimension: u32) -> f64 {
        let (round, block) = (index / LENGTH, dimension / DIMENSIONS);
        let seed = mix(self.key ^ mix(round ^ (u64::from(block) << 48))) as u32;
        let coarse = sobol_burley::sample((index % LENGTH) as u32, dimension % DIMENSIONS, seed);
        let fine = mix(self.key ^ mix(index) ^ mix(u64::from(dimension) << 32 | 1)) >> 35;
        f64::from(coarse) + fine as f64 * (-53_f64).exp2()
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_of_a_power_of_two_holds_one_point() {
        let sobol = Sobol::new(&mut Stream::of_study(3, "test"));
        for start in [0, LENGTH] {
            for dimension in [0, 1, 255, 256, 300] {
                let mut cells = [0; 64];
                for index in start..start + 64 {
                    let u = sobol.coordinate(index, dimension);
                    assert!((0.0..1.0).contains(&u));
                    cells[(u * 64.0) as usize] += 1;
                }
                assert_eq!(cells, [1; 64], "dimension {dimension} from {start}");
            }
        }
    }

    #[test]
    fn another_key_another_sequence() {
        let point = |seed| Sobol::new(&mut Stream::of_study(seed, "test")).point(5, 3);
        assert_eq!(point(1), point(1));
        assert_ne!(point(1), point(2));
    }
}
