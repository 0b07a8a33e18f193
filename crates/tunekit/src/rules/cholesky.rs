//! Cholesky factors of covariance matrices; with `eigen`, the only file that names faer.
//!
//! Matrices are row-major slices of n x n numbers. faer runs on the calling thread here (its `rayon` feature is off),
//! so the order of additions, and with it every bit of the result, is the same each time on one machine.

use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Mat, MatMut, MatRef, Par, Side};

/// Added to the diagonal, relative to its mean, until the matrix is numerically positive definite.
const JITTER: [f64; 7] = [0.0, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-4];

/// Ends the use of wide vectors. The assembly that faer multiplies with leaves the upper halves of their registers in
/// use, and processors that keep track of that (Intel's) then run everything else several times slower, the
/// exponentials of a kernel above all: a suggestion after 100 trials in six parameters took 29 ms on a Xeon, and takes
/// 10 ms with this.
pub(super) fn end_wide_vectors() {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") {
        #[expect(unsafe_code, reason = "nothing safe clears these registers, and it is worth a factor of 2.8")]
        // SAFETY: the processor has AVX, and the compiler keeps no value in the upper halves across this instruction.
        unsafe {
            std::arch::x86_64::_mm256_zeroupper();
        }
    }
}

/// The factor L of A = L L^T.
#[derive(Debug, Clone)]
pub(crate) struct Factor {
    l: Mat<f64>,
}

impl Factor {
    /// Factors a symmetric matrix, whose lower triangle is read, with as much jitter as needed. `None` if the largest
    /// jitter is not enough, or the matrix holds a number that is not finite.
    pub(crate) fn new(a: &[f64], n: usize) -> Option<Self> {
        let mean = (0..n).map(|i| a[i * n + i]).sum::<f64>() / n.max(1) as f64;
        if !mean.is_finite() {
            return None;
        }
        let a = MatRef::from_row_major_slice(a, n, n);
        JITTER.iter().find_map(|jitter| {
            let mut m = a.to_owned();
            for i in 0..n {
                m[(i, i)] += jitter * mean;
            }
            let factored = m.llt(Side::Lower);
            end_wide_vectors();
            let l = factored.ok()?.L().to_owned();
            (0..n).all(|i| l[(i, i)].is_finite() && l[(i, i)] > 0.0).then_some(Self { l })
        })
    }

    /// The factor of A with one more row and column: the covariances of the new row with the old ones, and its own
    /// variance. A variance that rounding has made too small gets the jitter that it needs. Costs n^2 operations; a new
    /// factorisation would cost n^3 / 3.
    pub(crate) fn extended(&self, row: &[f64], variance: f64) -> Option<Self> {
        let n = self.l.nrows();
        let mut half = row.to_vec();
        self.half_solve(&mut half);
        let rest = variance - half.iter().map(|h| h * h).sum::<f64>();
        let mean = (0..n).map(|i| self.l[(i, i)] * self.l[(i, i)]).sum::<f64>();
        let least = JITTER[1] * variance.max(mean / n.max(1) as f64);
        if !rest.is_finite() || half.iter().any(|h| !h.is_finite()) || rest < -1e6 * least {
            return None;
        }
        let mut l = Mat::<f64>::zeros(n + 1, n + 1);
        l.as_mut().submatrix_mut(0, 0, n, n).copy_from(self.l.as_ref());
        for (j, h) in half.iter().enumerate() {
            l[(n, j)] = *h;
        }
        l[(n, n)] = rest.max(least).sqrt();
        Some(Self { l })
    }

    /// The factor of A with k more rows and columns: their covariances with the old ones, an n-vector for each laid one
    /// after the other, and those among themselves, row-major. Costs k n^2 + k^2 n operations, and one copy.
    pub(crate) fn extended_by(&self, cross: &[f64], own: &[f64], k: usize) -> Option<Self> {
        let n = self.l.nrows();
        let mut half = cross.to_vec();
        self.half_solve(&mut half);
        let column = |i: usize| &half[i * n..(i + 1) * n];
        let mut rest = own.to_vec();
        for i in 0..k {
            for j in 0..=i {
                let explained: f64 = column(i).iter().zip(column(j)).map(|(a, b)| a * b).sum();
                rest[i * k + j] -= explained;
            }
        }
        let corner = Self::new(&rest, k)?;
        let mut l = Mat::<f64>::zeros(n + k, n + k);
        l.as_mut().submatrix_mut(0, 0, n, n).copy_from(self.l.as_ref());
        l.as_mut().submatrix_mut(n, n, k, k).copy_from(corner.l.as_ref());
        for i in 0..k {
            column(i).iter().enumerate().for_each(|(j, h)| l[(n + i, j)] = *h);
        }
        Some(Self { l })
    }

    /// Number of rows of A.
    pub(crate) fn len(&self) -> usize {
        self.l.nrows()
    }

    /// L b for a vector `b` of any length up to n: the sum over the first columns.
    pub(crate) fn multiply(&self, b: &[f64]) -> Vec<f64> {
        let n = self.l.nrows();
        (0..n).map(|i| b.iter().take(i + 1).enumerate().map(|(j, v)| self.l[(i, j)] * v).sum()).collect()
    }

    /// ln |A|.
    pub(crate) fn log_determinant(&self) -> f64 {
        (0..self.l.nrows()).map(|i| 2.0 * self.l[(i, i)].ln()).sum()
    }

    /// L^-1 b, for each of the n-vectors laid one after the other in `b`.
    pub(crate) fn half_solve(&self, b: &mut [f64]) {
        let n = self.l.nrows();
        if let Some(columns) = b.len().checked_div(n) {
            let b = MatMut::from_column_major_slice_mut(b, n, columns);
            solve_lower_triangular_in_place(self.l.as_ref(), b, Par::Seq);
            end_wide_vectors();
        }
    }

    /// L^-T b, for each of the n-vectors laid one after the other in `b`.
    pub(crate) fn half_solve_transposed(&self, b: &mut [f64]) {
        let n = self.l.nrows();
        if let Some(columns) = b.len().checked_div(n) {
            let b = MatMut::from_column_major_slice_mut(b, n, columns);
            solve_upper_triangular_in_place(self.l.transpose(), b, Par::Seq);
            end_wide_vectors();
        }
    }

    /// A^-1 b.
    pub(crate) fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x = b.to_vec();
        self.half_solve(&mut x);
        self.half_solve_transposed(&mut x);
        x
    }

    /// A^-1, symmetric, so row-major and column-major alike.
    pub(crate) fn inverse(&self) -> Vec<f64> {
        let n = self.l.nrows();
        // A^-1 = X^T X with X = L^-1.
        let mut x = Mat::<f64>::identity(n, n);
        solve_lower_triangular_in_place(self.l.as_ref(), x.as_mut(), Par::Seq);
        let inverse = x.transpose() * &x;
        end_wide_vectors();
        let mut out = Vec::with_capacity(n * n);
        for j in 0..n {
            out.extend((0..n).map(|i| inverse[(i, j)]));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_matrix_has_its_known_factor() {
        // Wikipedia, "Cholesky decomposition": L = [2 0 0; 6 1 0; -8 5 3].
        let a = [4.0, 12.0, -16.0, 12.0, 37.0, -43.0, -16.0, -43.0, 98.0];
        let factor = Factor::new(&a, 3).unwrap();
        assert!((factor.log_determinant() - 36_f64.ln()).abs() < 1e-12);
        let x = factor.solve(&[-20.0, -49.0, 153.0]);
        let inverse = factor.inverse();
        for i in 0..3 {
            let row: f64 = (0..3).map(|j| a[3 * i + j] * x[j]).sum();
            assert!((row - [-20.0, -49.0, 153.0][i]).abs() < 1e-9);
            for j in 0..3 {
                let unit: f64 = (0..3).map(|k| a[3 * i + k] * inverse[3 * k + j]).sum();
                assert!((unit - f64::from(u8::from(i == j))).abs() < 1e-8);
            }
        }
        let mut two = [2.0, 6.0, -8.0, 0.0, 1.0, 5.0];
        factor.half_solve(&mut two);
        assert!((two[0] - 1.0).abs() < 1e-12 && two[1].abs() < 1e-12 && (two[4] - 1.0).abs() < 1e-12, "{two:?}");
    }

    #[test]
    fn a_factor_grows_row_by_row_into_that_of_the_whole() {
        let a = [4.0, 12.0, -16.0, 12.0, 37.0, -43.0, -16.0, -43.0, 98.0];
        let one = Factor::new(&[4.0], 1).unwrap();
        let grown = one.extended(&[12.0], 37.0).unwrap().extended(&[-16.0, -43.0], 98.0).unwrap();
        let whole = Factor::new(&a, 3).unwrap();
        assert_eq!(grown.len(), 3);
        for b in [[1.0, 0.0, 0.0], [0.3, -2.0, 5.0]] {
            for (x, y) in grown.solve(&b).iter().zip(whole.solve(&b)) {
                assert!((x - y).abs() < 1e-9);
            }
        }
        assert_eq!(grown.multiply(&[1.0, 1.0, 1.0]), [2.0, 7.0, 0.0]);
        let at_once = one.extended_by(&[12.0, -16.0], &[37.0, -43.0, -43.0, 98.0], 2).unwrap();
        for (x, y) in at_once.multiply(&[1.0, 1.0, 1.0]).iter().zip([2.0, 7.0, 0.0]) {
            assert!((x - y).abs() < 1e-9);
        }
        // A row that was there before adds nothing but rounding, one that no covariance could have is refused.
        assert!(grown.extended(&[4.0, 12.0, -16.0], 4.0).is_some());
        assert!(grown.extended(&[4.0, 12.0, -16.0], 1.0).is_none());
    }

    #[test]
    fn a_singular_matrix_gets_jitter_and_a_hopeless_one_is_refused() {
        assert!(Factor::new(&[1.0; 9], 3).is_some());
        assert!(Factor::new(&[1.0, 3.0, 3.0, 1.0], 2).is_none());
        assert!(Factor::new(&[f64::NAN], 1).is_none());
        assert!(Factor::new(&[], 0).is_some());
    }
}
