//! Objects whose bytes are a function of (seed, offset): any size, no memory, no disk.
//!
//! The bytes come from one shared block of pseudo-random bytes (SplitMix64, Steele, Lea and Flood 2014). An object is
//! cut into stripes of [`STRIPE`] bytes; stripe `k` shows the block from position `(start + k * step) mod PERIOD` on,
//! where `start` and `step` follow from the object's seed. `PERIOD` and `STRIPE` are primes near 1 MiB, so no part size
//! is a multiple of either, and as `PERIOD` is prime and `step` is neither 0 nor `STRIPE`, the first `PERIOD` stripes
//! (824 GB) all start elsewhere: a range delivered at a wrong place, or two swapped ranges, show in the first few
//! bytes.

use std::sync::LazyLock;

use bytes::Bytes;

/// Positions in the shared block a stripe may start at; the largest prime below 2^20.
const PERIOD: u64 = 1_048_573;
/// Bytes of an object that are one contiguous slice of the shared block; the prime 3 * 2^18 + 1.
const STRIPE: u64 = 786_433;

/// The shared block: long enough that a whole stripe is contiguous wherever it starts.
static BLOCK: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x5333_6c61_6200_0001;
    let mut block = Vec::with_capacity((PERIOD + STRIPE + 8) as usize);
    while (block.len() as u64) < PERIOD + STRIPE {
        block.extend_from_slice(&split_mix_64(&mut state).to_le_bytes());
    }
    block.truncate((PERIOD + STRIPE) as usize);
    Bytes::from(block)
});

/// Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", fig. 16 with Vigna's constants.
fn split_mix_64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// An object of any size whose bytes are a function of its seed and the offset.
///
/// Servers hand out slices of one shared 1.8 MB block, so serving costs no copy and no memory per object; clients
/// check the bytes they received with [`verify`](Self::verify), at the cost of one `memcmp` per 768 KiB.
///
/// ```
/// use s3lab::SyntheticObject;
///
/// let object = SyntheticObject::new(7, 3 << 30);
/// let mut part = vec![0; 1000];
/// assert_eq!(object.fill(2_000_000_000, &mut part), 1000);
/// assert_eq!(object.verify(2_000_000_000, &part), Ok(()));
/// part[12] ^= 1;
/// assert_eq!(object.verify(2_000_000_000, &part).unwrap_err().offset, 2_000_000_012);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntheticObject {
    seed: u64,
    size: u64,
    start: u64,
    step: u64,
}

/// The first byte that is not the synthetic object's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte at offset {offset} is {found:#04x}, not {}", match expected { Some(b) => format!("{b:#04x}"), None => "absent: the object ends before it".to_owned() })]
#[non_exhaustive]
pub struct WrongByte {
    /// Offset in the object, in bytes.
    pub offset: u64,
    /// The object's byte there; `None` past its end.
    pub expected: Option<u8>,
    /// The byte that was found.
    pub found: u8,
}

impl SyntheticObject {
    /// An object of `size` bytes; different seeds give different bytes.
    #[must_use]
    pub fn new(seed: u64, size: u64) -> Self {
        let mut state = seed;
        let start = split_mix_64(&mut state) % PERIOD;
        let mut step = 1 + split_mix_64(&mut state) % (PERIOD - 1);
        if step == STRIPE {
            // Stripes that follow each other in the block would make the whole object periodic.
            step += 1;
        }
        Self { seed, size, start, step }
    }

    /// The object [`LabBuilder::synthetic`](crate::LabBuilder::synthetic) makes for this bucket and key.
    #[must_use]
    pub fn named(bucket: &str, key: &str, size: u64) -> Self {
        // FNV-1a, 64 bit; 0xff occurs in no UTF-8 text, so the pair is separated without ambiguity.
        let bytes = bucket.bytes().chain([0xff]).chain(key.bytes());
        let seed =
            bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        Self::new(seed, size)
    }

    /// The seed it was made with.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes from `offset` on, without a copy: at most `max` of them, and possibly fewer, as a slice ends where a
    /// stripe ends. Empty only behind the object's end or when `max` is 0.
    #[must_use]
    pub fn slice(&self, offset: u64, max: usize) -> Bytes {
        if offset >= self.size {
            return Bytes::new();
        }
        let within = offset % STRIPE;
        let len = (max as u64).min(STRIPE - within).min(self.size - offset);
        // Stripe numbers are reduced first: `stripe * step` stays below PERIOD^2 and cannot overflow.
        let stripe = (offset / STRIPE) % PERIOD;
        let at = (self.start + stripe * self.step) % PERIOD + within;
        BLOCK.slice(at as usize..(at + len) as usize)
    }

    /// Copies the bytes from `offset` on into `buf`; gives how many there were, fewer than asked only at the end.
    pub fn fill(&self, offset: u64, buf: &mut [u8]) -> usize {
        let mut done = 0;
        while done < buf.len() {
            let piece = self.slice(offset.saturating_add(done as u64), buf.len() - done);
            if piece.is_empty() {
                break;
            }
            buf[done..done + piece.len()].copy_from_slice(&piece);
            done += piece.len();
        }
        done
    }

    /// Checks that `bytes` are the object's bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// The first byte that differs, or the first one behind the object's end.
    pub fn verify(&self, offset: u64, bytes: &[u8]) -> Result<(), WrongByte> {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset.saturating_add(done as u64);
            let piece = self.slice(at, bytes.len() - done);
            if piece.is_empty() {
                return Err(WrongByte { offset: at, expected: None, found: bytes[done] });
            }
            let found = &bytes[done..done + piece.len()];
            if found != piece {
                let wrong = piece.iter().zip(found).position(|(a, b)| a != b).expect("unequal slices differ somewhere");
                let (expected, found) = (Some(piece[wrong]), found[wrong]);
                return Err(WrongByte { offset: at + wrong as u64, expected, found });
            }
            done += piece.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stripes_of_an_object_all_start_elsewhere() {
        let object = SyntheticObject::new(1, u64::MAX);
        let mut starts: Vec<u64> = (0..PERIOD).map(|k| (object.start + k * object.step) % PERIOD).collect();
        starts.sort_unstable();
        starts.dedup();
        assert_eq!(starts.len() as u64, PERIOD);
    }

    #[test]
    fn seeds_and_names_give_different_bytes() {
        let mut seen = std::collections::HashSet::new();
        for seed in 0..100 {
            assert!(seen.insert(SyntheticObject::new(seed, 64).slice(0, 64)));
        }
        let a = SyntheticObject::named("ab", "c", 64).slice(0, 64);
        assert_ne!(a, SyntheticObject::named("a", "bc", 64).slice(0, 64));
    }

    #[test]
    fn bytes_behind_the_end_are_wrong_and_not_filled() {
        let object = SyntheticObject::new(3, 10);
        let mut buf = [0; 20];
        assert_eq!(object.fill(4, &mut buf), 6);
        assert_eq!(object.fill(u64::MAX, &mut buf), 0);
        assert_eq!(object.verify(4, &buf).unwrap_err().offset, 10);
        assert_eq!(object.verify(4, &buf[..6]), Ok(()));
    }

    proptest! {
        #[test]
        fn any_split_of_a_range_gives_the_same_bytes(seed: u64, offset in 0..u64::MAX / 2, len in 0..2_000_000_usize, cut in 0..2_000_000_usize) {
            let object = SyntheticObject::new(seed, u64::MAX);
            let cut = cut.min(len);
            let (mut whole, mut parts) = (vec![0; len], vec![0; len]);
            prop_assert_eq!(object.fill(offset, &mut whole), len);
            object.fill(offset, &mut parts[..cut]);
            object.fill(offset + cut as u64, &mut parts[cut..]);
            prop_assert!(whole == parts);
            prop_assert_eq!(object.verify(offset, &whole), Ok(()));
        }

        #[test]
        fn a_shifted_range_is_detected(seed: u64, offset in 0..1_u64 << 40, shift in 1..1_u64 << 33) {
            let object = SyntheticObject::new(seed, u64::MAX);
            // More than a stripe: the one position where a shift can look right within a stripe is then crossed.
            let mut buf = vec![0; 1 << 20];
            object.fill(offset, &mut buf);
            prop_assert!(object.verify(offset + shift, &buf).is_err());
        }
    }
}
