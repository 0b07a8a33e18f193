//! Axes: a range with some air around the data, and ticks at numbers that people would choose.
//!
//! Pure numbers; nothing is drawn here. A place on an axis is the value itself, or its logarithm, so that drawing code
//! needs to know linear axes only.

use super::format;

/// An axis whose range is finite and not empty, for any data.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The quantity, with its unit; empty for none.
    pub title: String,
    /// The lowest place.
    pub low: f64,
    /// The highest place; greater than `low`.
    pub high: f64,
    /// Places and their labels.
    pub ticks: Vec<(f64, String)>,
    log: bool,
}

/// Values of at least this size have no place: sums of them would overflow.
const LARGEST: f64 = 1e300;

/// The format of ticks.
pub type Label = fn(f64) -> String;

impl Axis {
    /// A linear axis over `values`; over their logarithms if `log` is set and all of them are positive.
    pub fn over(title: String, values: impl Iterator<Item = f64>, log: bool, label: Label, most: usize) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.abs() < LARGEST) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let log = log && low > 0.0;
        let place = |value: f64| if log { value.log10() } else { value };
        let (from, to) = (place(low), place(high));
        let air = match to - from {
            0.0 => {
                if log {
                    0.1
                } else {
                    (from.abs() * 0.05).max(0.5)
                }
            }
            span => span * 0.06,
        };
        // Air does not extend a range without negative values below zero.
        let padded = if !log && low >= 0.0 { (from - air).max(0.0) } else { from - air };
        let mut axis = Self { title, low: padded.min(from), high: to + air, ticks: Vec::new(), log };
        axis.ticks = axis.choose_ticks(label, most);
        axis
    }

    /// An axis with a place for each of `choices`: 0, 1, 2, ...
    pub fn of_choices(title: String, choices: &[String]) -> Self {
        let ticks = choices.iter().enumerate().map(|(place, choice)| (place as f64, choice.clone())).collect();
        Self { title, low: -0.6, high: choices.len().max(1) as f64 - 0.4, ticks, log: false }
    }

    /// An axis from `low` to `high` without ticks.
    pub fn bare(low: f64, high: f64) -> Self {
        Self { title: String::new(), low, high, ticks: Vec::new(), log: false }
    }

    /// The place of a value; `None` for a value without a place on this axis.
    pub fn place(&self, value: f64) -> Option<f64> {
        let place = if self.log { value.log10() } else { value };
        (value.abs() < LARGEST && place.is_finite()).then_some(place)
    }

    fn choose_ticks(&self, label: Label, most: usize) -> Vec<(f64, String)> {
        let most = most.max(2);
        let bytes = label(1024.0) == format::bytes(1024.0);
        let values = if self.log {
            // The air around extreme data would overflow.
            let (low, high) = (10f64.powf(self.low).max(f64::MIN_POSITIVE), 10f64.powf(self.high).min(f64::MAX));
            let found = if bytes { powers_of_two(low, high, most) } else { log_ticks(low, high, most) };
            // Less than a factor of two or so: linear ticks tell more.
            if found.len() < 2 { linear_ticks(low, high, most, bytes) } else { found }
        } else {
            linear_ticks(self.low, self.high, most, bytes)
        };
        let placed = values.into_iter().filter_map(|value| Some((self.place(value)?, label(value))));
        placed.filter(|(place, _)| (self.low..=self.high).contains(place)).collect()
    }
}

/// Multiples of 1, 2 or 5 times a power of ten; of a power of two for bytes.
fn linear_ticks(low: f64, high: f64, most: usize, bytes: bool) -> Vec<f64> {
    // A third more ticks than asked for look better than half as many.
    let rough = (high - low) / most as f64 * 0.7;
    let step = if bytes {
        rough.log2().ceil().exp2()
    } else {
        let power = 10f64.powf(rough.log10().floor());
        let nice = [1.0, 2.0, 5.0, 10.0].into_iter().find(|nice| nice * power >= rough * 0.999_999);
        nice.unwrap_or(10.0) * power
    };
    if !(step.is_finite() && step > 0.0) {
        return Vec::new();
    }
    let first = (low / step).ceil();
    (0..=2 * most).map(|tick| (first + tick as f64) * step).take_while(|value| *value <= high).collect()
}

/// 1, 2, 5, 10, 20, ...; powers of ten alone where those are too many, and not all of them where those are, too.
fn log_ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let within = |value: &f64| (low..=high).contains(value);
    let fine: Vec<f64> = decades
        .clone()
        .flat_map(|decade| [1.0, 2.0, 5.0].map(|nice| nice * 10f64.powi(decade)))
        .filter(within)
        .collect();
    if fine.len() <= most {
        return fine;
    }
    let tens: Vec<f64> = decades.map(|decade| 10f64.powi(decade)).filter(within).collect();
    thin(tens, most)
}

fn powers_of_two(low: f64, high: f64, most: usize) -> Vec<f64> {
    let powers = low.log2().ceil() as i32..=high.log2().floor() as i32;
    thin(powers.map(|power| f64::from(power).exp2()).collect(), most)
}

/// Every n-th value, so that at most `most` are left.
fn thin(values: Vec<f64>, most: usize) -> Vec<f64> {
    let every = values.len().div_ceil(most).max(1);
    values.into_iter().step_by(every).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64], log: bool, label: Label, most: usize) -> Vec<String> {
        let axis = Axis::over(String::new(), values.iter().copied(), log, label, most);
        assert!(axis.low < axis.high && axis.low.is_finite() && axis.high.is_finite(), "{axis:?}");
        axis.ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_numbers_that_people_would_choose() {
        assert_eq!(labels(&[4.1, 8.9], false, format::plain, 5), ["4", "5", "6", "7", "8", "9"]);
        assert_eq!(labels(&[0.0, 118.0], false, format::plain, 6), ["0", "20", "40", "60", "80", "100", "120"]);
        assert_eq!(labels(&[1.0, 100.0], true, format::plain, 8), ["1", "2", "5", "10", "20", "50", "100"]);
        assert_eq!(
            labels(&[1.0, 1e6], true, format::plain, 8),
            ["1", "10", "100", "1000", "10000", "100000", "1000000"]
        );
        let mib = 1024.0 * 1024.0;
        assert_eq!(labels(&[mib, 8.0 * mib], true, format::bytes, 5), ["1 MiB", "2 MiB", "4 MiB", "8 MiB"]);
        assert_eq!(labels(&[0.0, 8.0 * mib], false, format::bytes, 5), ["0 B", "2 MiB", "4 MiB", "6 MiB", "8 MiB"]);
    }

    #[test]
    fn a_narrow_logarithmic_axis_still_has_ticks() {
        assert!(labels(&[6.0, 7.0], true, format::plain, 5).len() >= 2);
    }

    #[test]
    fn any_data_makes_an_axis() {
        for values in [
            &[][..],
            &[5.0],
            &[0.0],
            &[f64::NAN],
            &[-3.0, 2.0],
            &[f64::MAX, f64::MIN],
            &[1e299, -1e299],
            &[1e299, 1e-300],
            &[f64::MIN_POSITIVE, 1.0],
        ] {
            for log in [false, true] {
                labels(values, log, format::plain, 5);
                labels(values, log, format::bytes, 5);
            }
        }
    }

    #[test]
    fn places_follow_the_scale() {
        let axis = Axis::over(String::new(), [1.0, 100.0].into_iter(), true, format::plain, 5);
        assert_eq!(axis.place(10.0), Some(1.0));
        assert_eq!(axis.place(0.0), None);
        // Not all of the values are positive: linear after all.
        let axis = Axis::over(String::new(), [0.0, 100.0].into_iter(), true, format::plain, 5);
        assert_eq!(axis.place(10.0), Some(10.0));
    }
}
