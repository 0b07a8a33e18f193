//! Eigenvalues and eigenvectors of symmetric matrices, by faer; on the calling thread, as in `cholesky`.

use faer::{MatRef, Side};

use super::cholesky::end_wide_vectors;

/// A = B diag(d) B^T, eigenvalues ascending.
#[derive(Debug, Clone)]
pub(crate) struct Eigen {
    /// d.
    pub(crate) values: Vec<f64>,
    /// The columns of B, one after the other.
    pub(crate) vectors: Vec<Vec<f64>>,
}

impl Eigen {
    /// The decomposition of a row-major symmetric n x n matrix; `None` if the matrix or its decomposition is not
    /// finite.
    pub(crate) fn new(a: &[f64], n: usize) -> Option<Self> {
        if a.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let eigen = MatRef::from_row_major_slice(a, n, n).self_adjoint_eigen(Side::Lower);
        end_wide_vectors();
        let eigen = eigen.ok()?;
        let values: Vec<f64> = (0..n).map(|i| eigen.S().column_vector()[i]).collect();
        let vectors: Vec<Vec<f64>> = (0..n).map(|j| (0..n).map(|i| eigen.U()[(i, j)]).collect()).collect();
        let finite = values.iter().chain(vectors.iter().flatten()).all(|v| v.is_finite());
        finite.then_some(Self { values, vectors })
    }

    /// B diag(f(d)) B^T x.
    pub(crate) fn apply(&self, f: impl Fn(f64) -> f64, x: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; x.len()];
        for (d, b) in self.values.iter().zip(&self.vectors) {
            let along = f(*d) * b.iter().zip(x).map(|(b, x)| b * x).sum::<f64>();
            out.iter_mut().zip(b).for_each(|(o, b)| *o += along * b);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_put_together_again() {
        let a = [4.0, 1.0, 0.5, 1.0, 3.0, -0.2, 0.5, -0.2, 1.0];
        let eigen = Eigen::new(&a, 3).unwrap();
        for i in 0..3 {
            let mut x = vec![0.0; 3];
            x[i] = 1.0;
            let column = eigen.apply(|d| d, &x);
            let round = eigen.apply(f64::sqrt, &eigen.apply(|d| 1.0 / d.sqrt(), &x));
            for j in 0..3 {
                assert!((column[j] - a[j * 3 + i]).abs() < 1e-12 && (round[j] - x[j]).abs() < 1e-12);
            }
        }
        assert!(Eigen::new(&[f64::NAN], 1).is_none());
    }
}
