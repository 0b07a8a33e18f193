//! Several studies as one number with an interval: the interquartile mean, and its percentile bootstrap (Agarwal et al.
//! 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice").

use super::stream::Stream;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 2000;

/// The interquartile mean of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Aggregate {
    /// Number of values.
    pub n: usize,
    /// The mean of their middle half.
    pub interquartile_mean: f64,
    /// Its 95 % interval by the percentile bootstrap; `None` for fewer than three numbers.
    pub ci95: Option<[f64; 2]>,
}

impl Aggregate {
    /// The aggregate of finite numbers; the same ones give the same interval. `None` for no number or one that is not
    /// finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let interquartile_mean = interquartile_mean(values.to_vec());
        let ci95 = (values.len() >= 3).then(|| {
            let mut stream = Stream::of_study(0, "bootstrap");
            let mut resample = || {
                let draw = || values[stream.below(values.len())];
                interquartile_mean_of(std::iter::repeat_with(draw).take(values.len()))
            };
            let mut means: Vec<f64> = (0..RESAMPLES).map(|_| resample()).collect();
            means.sort_by(f64::total_cmp);
            [means[RESAMPLES / 40], means[RESAMPLES - 1 - RESAMPLES / 40]]
        });
        Some(Self { n: values.len(), interquartile_mean, ci95 })
    }
}

fn interquartile_mean_of(values: impl Iterator<Item = f64>) -> f64 {
    interquartile_mean(values.collect())
}

/// The mean of the middle half; numbers at its ends count in part.
fn interquartile_mean(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let (from, to) = (n / 4.0, n * 3.0 / 4.0);
    let weighted = values.iter().enumerate().map(|(i, value)| {
        let (low, high) = (i as f64, i as f64 + 1.0);
        let weight = (high.min(to) - low.max(from)).max(0.0);
        (weight, weight * value)
    });
    let (weights, sum) = weighted.fold((0.0, 0.0), |(w, s), (weight, value)| (w + weight, s + value));
    sum / weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_half_counts() {
        assert_eq!(interquartile_mean(vec![1.0]), 1.0);
        assert_eq!(interquartile_mean(vec![4.0, 1.0, 2.0, 1000.0]), 3.0);
        // Half of 1, all of 2, half of 3, of six numbers from 0 on.
        assert_eq!(interquartile_mean((0..6).map(f64::from).collect()), 2.5);
    }

    #[test]
    fn an_interval_holds_its_mean_and_is_the_same_every_time() {
        let values: Vec<f64> = (0..20).map(|i| f64::from(i * i % 17)).collect();
        let one = Aggregate::of(&values).unwrap();
        let [low, high] = one.ci95.unwrap();
        assert!(low < one.interquartile_mean && one.interquartile_mean < high);
        assert_eq!(Aggregate::of(&values), Some(one));
        assert_eq!(Aggregate::of(&[]), None);
        assert_eq!(Aggregate::of(&[f64::NAN]), None);
        assert_eq!(Aggregate::of(&[1.0, 2.0]).unwrap().ci95, None);
    }
}
