//! [`Sample`]: the density of keys around some that were listed, and from it the probable start of a later page.
//!
//! A key is read as a number with its letters as digits. The digits of a place are the letters that were seen there,
//! completed to the usual sets: 0 to 9, a to f together with digits, a to z. Places with few different letters take the
//! set of the next place, because a number's first digit has the same values as its last one. Keys are assumed to be as
//! dense as between the first and the last key of the sample. A wrong guess costs requests, never a key.

/// The number of places of a key that are used; a digit has fewer than 256 values, so their number has fewer than 96
/// bits.
const PLACES: usize = 12;
/// The number of places before the first difference of the sample's keys: a sum may carry into them.
const CARRIED: usize = 4;
/// Keys that tell nothing if they are fewer.
const FEW: usize = 50;
/// A place with so many letters has shown all sets that it takes.
const VARIED: u32 = 10;

/// The keys of a page, as numbers.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// The common beginning of all keys, up to the places into which a sum may carry.
    before: Vec<u8>,
    /// The letters of each place behind it, in order.
    places: Vec<Vec<u8>>,
    /// From one key to the next, on average.
    keys: u128,
    distance: u128,
}

impl Sample {
    /// The sample of `keys`, in order. All share a prefix of `prefix_bytes` bytes, into which no sum may carry. `None`
    /// if the keys give no information.
    pub(crate) fn new<'a>(keys: impl Iterator<Item = &'a str> + Clone, prefix_bytes: usize) -> Option<Self> {
        let (first, last) = (keys.clone().next()?.as_bytes(), keys.clone().last()?.as_bytes());
        let same = first.iter().zip(last).take_while(|(one, other)| one == other).count();
        let start = same.saturating_sub(CARRIED).max(prefix_bytes).min(first.len());
        let (mut seen, mut count) = (vec![Letters::default(); PLACES], 0);
        for key in keys {
            count += 1;
            for (letters, byte) in seen.iter_mut().zip(key.as_bytes().get(start..).unwrap_or_default()) {
                letters.add(*byte);
            }
        }
        if count < FEW {
            return None;
        }
        let mut behind = Letters::default();
        for letters in seen.iter_mut().rev() {
            *letters = letters.completed(behind);
            behind = *letters;
        }
        let before = first.get(..start)?.to_vec();
        let places = seen.into_iter().map(Letters::all).take_while(|letters| !letters.is_empty()).collect();
        let mut sample = Self { before, places, keys: count as u128, distance: 0 };
        sample.distance = sample.number(last)?.checked_sub(sample.number(first)?)?;
        (sample.distance > 0).then_some(sample)
    }

    /// A text behind `after` with about `keys` keys between them. `None` where the sample says nothing of that.
    pub(crate) fn ahead(&self, after: &str, keys: usize) -> Option<String> {
        let step = (self.distance * keys as u128 / self.keys).max(1);
        let mut rest = self.number(after.as_bytes())?.checked_add(step)?;
        let mut digits = Vec::with_capacity(self.places.len());
        for letters in self.places.iter().rev() {
            digits.push(letters[(rest % letters.len() as u128) as usize]);
            rest /= letters.len() as u128;
        }
        if rest > 0 {
            return None;
        }
        let mut text = self.before.clone();
        text.extend(digits.into_iter().rev());
        let text = match String::from_utf8(text) {
            Ok(text) => text,
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                String::from_utf8(error.into_bytes().get(..valid)?.to_vec()).ok()?
            }
        };
        (text.as_str() > after).then_some(text)
    }

    /// The number of a key that begins as the sample's do.
    fn number(&self, key: &[u8]) -> Option<u128> {
        let rest = key.strip_prefix(self.before.as_slice())?;
        let digit = |(place, letters): (usize, &Vec<u8>)| {
            let byte = rest.get(place)?;
            Some(letters.partition_point(|letter| letter < byte).min(letters.len() - 1) as u128)
        };
        let digits = self.places.iter().enumerate().map(|place| (place.1.len() as u128, digit(place).unwrap_or(0)));
        Some(digits.fold(0, |number, (radix, digit)| number * radix + digit))
    }
}

/// A set of bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Letters([u64; 4]);

impl Letters {
    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }

    fn any(&self, mut bytes: std::ops::RangeInclusive<u8>) -> bool {
        bytes.any(|byte| self.has(byte))
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|bits| bits.count_ones()).sum()
    }

    fn all(self) -> Vec<u8> {
        (0..=u8::MAX).filter(|byte| self.has(*byte)).collect()
    }

    /// With the sets that it has letters of, and those of the place `behind`.
    fn completed(self, behind: Self) -> Self {
        let is_word = |letters: &Self| letters.any(b'0'..=b'9') || letters.any(b'a'..=b'z') || letters.any(b'A'..=b'Z');
        let mut of = self;
        if self.count() < VARIED && is_word(&self) && is_word(&behind) {
            of.0.iter_mut().zip(behind.0).for_each(|(bits, more)| *bits |= more);
        }
        let mut all = self;
        let digits = of.any(b'0'..=b'9');
        if digits {
            (b'0'..=b'9').for_each(|byte| all.add(byte));
        }
        for (low, mid, high) in [(b'a', b'f', b'z'), (b'A', b'F', b'Z')] {
            if of.any(low..=high) {
                let last = if digits && !of.any(mid + 1..=high) { mid } else { high };
                (low..=last).for_each(|byte| all.add(byte));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The keys of `keys` between the guess for so many behind the first thousand, and the last one of these.
    fn between(keys: &[String], wanted: usize) -> Option<usize> {
        let page = &keys[..1000];
        let sample = Sample::new(page.iter().map(String::as_str), 0)?;
        let guess = sample.ahead(&page[999], wanted)?;
        Some(keys[1000..].iter().filter(|key| **key <= guess).count())
    }

    fn hash(n: u64) -> u64 {
        // SplitMix64's mixing function.
        let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    #[test]
    fn numbers_and_hashes_are_guessed_within_a_tenth_and_their_spread() {
        let mut shapes: Vec<(&str, Vec<String>)> = vec![
            ("numbers", (0..40_000).map(|n| format!("p/img-{n:08}.jpg")).collect()),
            ("hashes", (1..40_000).map(|n| format!("{:016x}", hash(n))).collect()),
            ("hashes below a folder", (1..40_000).map(|n| format!("data/set-a/{:016x}.bin", hash(n))).collect()),
            ("upper case", (1..40_000).map(|n| format!("{:016X}/0", hash(n))).collect()),
        ];
        for (name, keys) in &mut shapes {
            keys.sort();
            for wanted in [500, 1000, 4000] {
                let found = between(keys, wanted).unwrap_or_default();
                // Hashes are spread as by dice.
                let most = wanted / 10 + 3 * wanted.isqrt();
                assert!(found.abs_diff(wanted) <= most, "{name}: {found} for {wanted}");
            }
        }
    }

    #[test]
    fn few_keys_and_keys_elsewhere_tell_nothing() {
        let keys: Vec<String> = (0..1000).map(|n| format!("p/{n:06}")).collect();
        let sample = |keys: &[String]| Sample::new(keys.iter().map(String::as_str), 2);
        assert!(sample(&keys[..FEW - 1]).is_none());
        let all = sample(&keys).expect("enough");
        assert_eq!(all.ahead("p/000999", 1000).as_deref(), Some("p/001998"));
        assert_eq!(all.ahead("q/000999", 1000), None, "of another beginning");
        assert_eq!(all.ahead("p/999999", 1000), None, "there is nothing behind");
    }

    proptest! {
        #[test]
        fn a_guess_lies_behind_and_begins_with_the_prefix(
            keys in proptest::collection::btree_set("p/\\PC{0,6}", 0..80),
            after in "p/\\PC{0,6}",
            wanted in 1_usize..5000,
        ) {
            if let Some(sample) = Sample::new(keys.iter().map(String::as_str), 2)
                && let Some(guess) = sample.ahead(&after, wanted)
            {
                prop_assert!(guess > after && guess.starts_with("p/"), "{guess:?}");
            }
        }
    }
}
