//! The trend that all measurements have in common at one time: a machine that gets slower, a link that others use.
//!
//! Times run from -1, where a study begins, to 0, now. A trend g is a process over time with g(0) = 0, beside the one
//! over configurations, so that a prediction is of a measurement taken now and needs no more than the trend's
//! covariance added to the measurements' (Rasmussen and Williams 2006, sec. 2.7, for the line; Harvey 1989, sec. 2.3.6,
//! for the walk):
//! - a line through now: s^2 t t';
//! - a random walk back from now: s^2 min(|t|, |t'|).
//!
//! The sum of both, with a walk a fifth as large, is a line that bends a little; a walk alone is a drift to and fro.
//!
//! A row that is the mean of several measurements has the mean of their covariances. The size of s, if there is a trend
//! at all, is drawn with the other hyperparameters (`chain.rs`), from a few.

/// The shape of a trend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Line,
    Walk,
}

/// The trends there are, after none at all: s of the line and of the walk in standard deviations of the outputs.
pub(super) const TRENDS: [[f64; 2]; 6] = [[0.5, 0.1], [1.0, 0.2], [2.0, 0.4], [4.0, 0.8], [0.0, 0.5], [0.0, 2.0]];
/// Prior probability of one of them: each is as likely as the others.
const LIKELY: f64 = 0.5;

/// The covariance of a trend among rows measured at these times, row-major.
pub(super) fn shared(index: usize, times: &[Vec<f64>]) -> Vec<f64> {
    let [line, walk] = TRENDS[index];
    let (lines, walks) = (covariance(Shape::Line, times), covariance(Shape::Walk, times));
    lines.into_iter().zip(walks).map(|(l, w)| line * line * l + walk * walk * w).collect()
}

/// The covariance of one shape, for s = 1.
fn covariance(shape: Shape, times: &[Vec<f64>]) -> Vec<f64> {
    let n = times.len();
    let mut all = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let pairs = times[i].iter().flat_map(|a| times[j].iter().map(move |b| shape.of(*a, *b)));
            let count = (times[i].len() * times[j].len()).max(1);
            let value = pairs.sum::<f64>() / count as f64;
            all[i * n + j] = value;
            all[j * n + i] = value;
        }
    }
    all
}

/// ln of the probability of each before anything is measured, none first.
pub(super) fn log_prior(index: usize) -> f64 {
    if index == 0 { (1.0 - LIKELY).ln() } else { (LIKELY / TRENDS.len() as f64).ln() }
}

impl Shape {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Line => a * b,
            Self::Walk => a.abs().min(b.abs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_of_measurements_has_the_mean_of_their_covariances_and_now_has_none() {
        let times = [vec![-1.0, -0.5], vec![0.0], vec![-0.5]];
        let line = covariance(Shape::Line, &times);
        assert_eq!(line, [0.5625, 0.0, 0.375, 0.0, 0.0, 0.0, 0.375, 0.0, 0.25]);
        let walk = covariance(Shape::Walk, &times);
        // The pairs of the first row with itself: 1, 1/2, 1/2, 1/2.
        assert_eq!(walk, [0.625, 0.0, 0.5, 0.0, 0.0, 0.0, 0.5, 0.0, 0.5]);
    }

    #[test]
    fn probabilities_add_up() {
        let all: f64 = (0..=TRENDS.len()).map(|index| log_prior(index).exp()).sum();
        assert!((all - 1.0).abs() < 1e-12);
    }
}
