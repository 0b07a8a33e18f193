//! Minimising a smooth function with L-BFGS (Liu and Nocedal 1989); the only file that names argmin.
//!
//! Line searches give up near an optimum, where rounding hides the descent (argmin's issue 400). So the best point ever
//! evaluated is returned in every case. The line search is More and Thuente's (1994), which starts from a step of 1;
//! argmin's Hager-Zhang starts from its upper bound, 1e5, where a covariance overflows.

use std::cell::RefCell;

use argmin::core::{CostFunction, Error, Executor, Gradient};
use argmin::solver::brent::BrentOpt;
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;

/// Pairs kept for the approximation of the Hessian.
const MEMORY: usize = 10;

/// Fresh starts after a line search that failed.
const ROUNDS: usize = 4;

/// One run of the solver on a function with its gradient.
struct Round<'a, F> {
    f: &'a F,
    /// The function is divided by the length of its first gradient where that is above 1: a solver's first step is as
    /// long as the gradient, and a step of a thousand in logarithms ends nowhere.
    scale: f64,
    seen: RefCell<Seen>,
}

/// The points that a run has seen.
struct Seen {
    last: Option<(Vec<f64>, f64, Vec<f64>)>,
    best: Option<(Vec<f64>, f64)>,
    left: usize,
    proper: bool,
}

impl<'a, F: Fn(&[f64]) -> (f64, Vec<f64>)> Round<'a, F> {
    fn new(f: &'a F, start: &[f64], evaluations: usize) -> Option<Self> {
        let (value, gradient) = f(start);
        let length = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let seen = Seen { last: None, best: None, left: evaluations, proper: false };
        let scale = 1.0 / length.max(1.0);
        (value.is_finite() && length.is_finite()).then_some(Self { f, scale, seen: RefCell::new(seen) })
    }

    fn at(&self, x: &[f64]) -> Result<(f64, Vec<f64>), Error> {
        let mut seen = self.seen.borrow_mut();
        if let Some((at, value, gradient)) = &seen.last
            && at == x
        {
            return Ok((*value, gradient.clone()));
        }
        if seen.left == 0 {
            return Err(Error::msg("evaluations spent"));
        }
        seen.left -= 1;
        let (value, mut gradient) = (self.f)(x);
        if !value.is_finite() || gradient.iter().any(|g| !g.is_finite()) {
            return Err(Error::msg("not finite"));
        }
        let value = value * self.scale;
        gradient.iter_mut().for_each(|g| *g *= self.scale);
        if seen.best.as_ref().is_none_or(|(_, best)| value < *best) {
            seen.best = Some((x.to_vec(), value));
        }
        seen.last = Some((x.to_vec(), value, gradient.clone()));
        Ok((value, gradient))
    }

    fn run(self, start: &[f64]) -> Seen {
        let solver = LBFGS::new(MoreThuenteLineSearch::new(), MEMORY)
            .with_tolerance_grad(1e-5)
            .and_then(|solver| solver.with_tolerance_cost(1e-9));
        let ended = solver.and_then(|solver| {
            // argmin takes the problem and does not give it back after an error: it gets a view of it.
            Executor::new(View(&self), solver)
                .configure(|state| state.param(start.to_vec()).max_iters(500))
                .ctrlc(false)
                .timer(false)
                .run()
                .map(|_| ())
        });
        let mut seen = self.seen.into_inner();
        seen.proper = ended.is_ok();
        seen
    }
}

struct View<'a, 'b, F>(&'a Round<'b, F>);

impl<F: Fn(&[f64]) -> (f64, Vec<f64>)> CostFunction for View<'_, '_, F> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, x: &Vec<f64>) -> Result<f64, Error> {
        Ok(self.0.at(x)?.0)
    }
}

impl<F: Fn(&[f64]) -> (f64, Vec<f64>)> Gradient for View<'_, '_, F> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, x: &Vec<f64>) -> Result<Vec<f64>, Error> {
        Ok(self.0.at(x)?.1)
    }
}

/// The best point found from `start`, and its value, in at most `evaluations` calls of `f`, which returns value and
/// gradient. `None` if value or gradient at `start` is not finite.
pub(crate) fn minimize<F>(f: F, start: &[f64], evaluations: usize) -> Option<(Vec<f64>, f64)>
where
    F: Fn(&[f64]) -> (f64, Vec<f64>),
{
    let (mut best, mut value) = (start.to_vec(), f64::INFINITY);
    let mut left = evaluations;
    for _ in 0..ROUNDS {
        let round = Round::new(&f, &best, left)?;
        let scale = round.scale;
        let seen = round.run(&best);
        left = seen.left;
        let (x, found) = seen.best?;
        let (found, gained) = (found / scale, value - found / scale);
        if found < value {
            (best, value) = (x, found);
        }
        // An early end is often a line search that lost its way, and a fresh start gets on; a proper one is the end.
        if seen.proper || left == 0 || gained <= 1e-7 * value.abs().max(1.0) {
            break;
        }
    }
    Some((best, value))
}

/// The least value of a function of one number in [lo, hi], by Brent's method (1973); `None` if it is not finite there.
pub(crate) fn minimize_scalar<F: Fn(f64) -> f64>(f: F, lo: f64, hi: f64) -> Option<f64> {
    struct Scalar<F>(F);
    impl<F: Fn(f64) -> f64> CostFunction for Scalar<F> {
        type Param = f64;
        type Output = f64;

        fn cost(&self, x: &f64) -> Result<f64, Error> {
            Ok((self.0)(*x))
        }
    }
    let found = Executor::new(Scalar(&f), BrentOpt::new(lo, hi).set_tolerance(1e-6, 1e-6))
        .configure(|state| state.max_iters(100))
        .ctrlc(false)
        .timer(false)
        .run();
    let x = found.ok()?.state.best_param?;
    f(x).is_finite().then_some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rosenbrocks_valley_is_walked_to_its_end() {
        let f = |x: &[f64]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            (a * a + 100.0 * b * b, vec![-2.0 * a - 400.0 * x[0] * b, 200.0 * b])
        };
        let (x, value) = minimize(f, &[-1.2, 1.0], 300).unwrap();
        assert!(value < 1e-6 && (x[0] - 1.0).abs() < 1e-3, "{x:?} {value}");
    }

    #[test]
    fn a_function_of_one_number_has_its_least_value_found() {
        let x = minimize_scalar(|x| (x - 1.3).powi(2) + 0.1 * x, -2.0, 4.0).unwrap();
        assert!((x - 1.25).abs() < 1e-4, "{x}");
        assert_eq!(minimize_scalar(|_| f64::NAN, 0.0, 1.0), None);
    }

    #[test]
    fn the_best_point_survives_a_function_that_breaks() {
        let f = |x: &[f64]| (if x[0] < 0.5 { f64::NAN } else { x[0] }, vec![1.0]);
        let (x, _) = minimize(f, &[2.0], 50).unwrap();
        assert!((0.5..=2.0).contains(&x[0]));
        assert!(minimize(|_: &[f64]| (f64::NAN, vec![0.0]), &[0.0], 50).is_none());
    }
}
