//! The few heavy factorisations, done by `faer`, in terms of nalgebra's matrices.
//!
//! Everything here is sequential inside and deterministic: the answer does not depend on the number
//! of threads.

use faer::linalg::solvers::{Llt, Solve};
use faer::linalg::triangular_solve::solve_upper_triangular_in_place;
use faer::{Mat, MatRef, Par, Side};
use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

fn view(matrix: &DMatrix<f64>) -> MatRef<'_, f64> {
    MatRef::from_column_major_slice(matrix.as_slice(), matrix.nrows(), matrix.ncols())
}

fn owned(matrix: MatRef<'_, f64>) -> DMatrix<f64> {
    DMatrix::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[(i, j)])
}

/// Sequential faer: its blocking, and with it the rounding, must not depend on the thread count.
fn sequential() {
    faer::set_global_parallelism(Par::Seq);
}

/// A thin singular value decomposition M = U diag(s) V^T, s descending.
pub struct Svd {
    /// rows x min(rows, columns).
    pub u: DMatrix<f64>,
    /// Descending.
    pub s: Vec<f64>,
    /// columns x min(rows, columns).
    pub v: DMatrix<f64>,
}

/// Thin SVD; `None` if the iteration fails, which it does only on entries that are not finite.
pub fn thin_svd(matrix: &DMatrix<f64>) -> Option<Svd> {
    sequential();
    let svd = view(matrix).thin_svd().ok()?;
    let s = svd.S().column_vector();
    Some(Svd { u: owned(svd.U()), s: (0..s.nrows()).map(|k| s[k]).collect(), v: owned(svd.V()) })
}

/// Eigenvalues (ascending) and orthonormal eigenvectors of a symmetric matrix.
pub struct SymmetricEigen {
    /// Ascending.
    pub values: DVector<f64>,
    /// One column a value.
    pub vectors: DMatrix<f64>,
}

/// Eigenvalues and eigenvectors of a symmetric matrix, of which the lower triangle is read; `None` if
/// the iteration fails, which it does only on entries that are not finite.
pub fn symmetric_eigen(matrix: &DMatrix<f64>) -> Option<SymmetricEigen> {
    sequential();
    let eigen = view(matrix).self_adjoint_eigen(Side::Lower).ok()?;
    let values = eigen.S().column_vector();
    let values = DVector::from_fn(values.nrows(), |k, _| values[k]);
    Some(SymmetricEigen { values, vectors: owned(eigen.U()) })
}

/// Orthonormal basis of the orthogonal complement of the columns of a (rows > columns) matrix.
pub fn complement(matrix: &DMatrix<f64>) -> DMatrix<f64> {
    let (n, k) = matrix.shape();
    if k == 0 {
        return DMatrix::identity(n, n);
    }
    sequential();
    let q = view(matrix).qr().compute_Q();
    owned(q.as_ref().subcols(k, n - k))
}

/// Pseudo-inverse transposed of a matrix of full column rank: D with M^T D = I, and its condition
/// number.
pub fn dual(matrix: &DMatrix<f64>) -> Option<(DMatrix<f64>, f64)> {
    let svd = thin_svd(matrix)?;
    let (largest, smallest) = (*svd.s.first()?, *svd.s.last()?);
    if matrix.nrows() < matrix.ncols() || smallest <= largest * 1e-13 {
        return None;
    }
    let inverse = DVector::from_iterator(svd.s.len(), svd.s.iter().map(|s| 1.0 / s));
    Some((&svd.u * DMatrix::from_diagonal(&inverse) * svd.v.transpose(), largest / smallest))
}

/// Least squares min |M x - y| through the SVD, singular values under `cutoff` times the largest
/// left out; also the condition number.
pub fn least_squares(
    m: &DMatrix<f64>,
    y: &DVector<f64>,
    cutoff: f64,
) -> Option<(DVector<f64>, f64)> {
    let svd = thin_svd(m)?;
    let (largest, smallest) = (*svd.s.first()?, *svd.s.last()?);
    let mut coefficients = svd.u.transpose() * y;
    for (coefficient, &s) in coefficients.iter_mut().zip(&svd.s) {
        *coefficient = if s > cutoff * largest { *coefficient / s } else { 0.0 };
    }
    Some((&svd.v * coefficients, largest / smallest))
}

/// Eigenvectors of a square matrix, unit columns; of complex ones the real parts. `None` if the
/// iteration fails.
pub fn real_eigenvectors(matrix: &DMatrix<f64>) -> Option<DMatrix<f64>> {
    if matrix.iter().any(|entry| !entry.is_finite()) {
        return None;
    }
    sequential();
    let eigen = view(matrix).eigen().ok()?;
    let vectors = eigen.U();
    let mut real = DMatrix::from_fn(vectors.nrows(), vectors.ncols(), |i, j| vectors[(i, j)].re);
    real.column_iter_mut().for_each(|mut v| {
        v.normalize_mut();
    });
    Some(real)
}

/// The middle one of the sorted `values`, the upper one of two; `None` of none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// Root mean square of the entries.
pub fn rms(v: &DVector<f64>) -> f64 {
    v.norm() / (v.len() as f64).sqrt()
}

/// Blocks of columns in [`gram`], fixed so that rounding is.
const GRAM_BLOCK: usize = 256;

/// M M^T (both triangles) of a wide matrix, in parallel over blocks of columns of the result.
pub fn gram(matrix: &DMatrix<f64>) -> DMatrix<f64> {
    let n = matrix.nrows();
    let mut out = DMatrix::zeros(n, n);
    let all = view(matrix);
    out.as_mut_slice().par_chunks_mut((GRAM_BLOCK * n).max(1)).enumerate().for_each(
        |(block, columns)| {
            let first = block * GRAM_BLOCK;
            let count = columns.len() / n;
            let mut whole = faer::MatMut::from_column_major_slice_mut(columns, n, count);
            // Rows from `first` on: the lower triangle, and a little of the upper one in the block.
            faer::linalg::matmul::matmul(
                whole.as_mut().subrows_mut(first, n - first),
                faer::Accum::Replace,
                all.subrows(first, n - first),
                all.subrows(first, count).transpose(),
                1.0,
                Par::Seq,
            );
        },
    );
    for j in 0..n {
        for i in 0..j {
            out[(i, j)] = out[(j, i)];
        }
    }
    out
}

/// R^-1, where R is upper triangular and R^T R = M M^T for a wide matrix M of full row rank: all that
/// least squares with the design M^T need.
pub struct InverseFactor(DMatrix<f64>);

impl InverseFactor {
    /// From M M^T. `None` if it is not positive definite to working precision.
    pub fn of_gram(gram: &DMatrix<f64>) -> Option<Self> {
        sequential();
        let cholesky = view(gram).llt(Side::Lower).ok()?;
        Some(Self::of_triangle(cholesky.L().transpose()))
    }

    /// From M itself: right where M M^T is singular to working precision. `None` where M has not full row
    /// rank to working precision either.
    pub fn of_rows(m: &DMatrix<f64>) -> Option<Self> {
        let n = m.nrows();
        if n == 0 || m.ncols() < n {
            return None;
        }
        sequential();
        let qr = view(m).transpose().qr();
        let r = qr.thin_R();
        let sizes = (0..n).map(|k| r[(k, k)].abs());
        let (least, most) = sizes.fold((f64::INFINITY, 0.0f64), |(a, b), s| (a.min(s), b.max(s)));
        if least.is_nan() || least <= n as f64 * f64::EPSILON * most {
            return None;
        }
        Some(Self::of_triangle(r))
    }

    fn of_triangle(r: MatRef<'_, f64>) -> Self {
        let n = r.nrows();
        let mut inverse = Mat::<f64>::identity(n, n);
        solve_upper_triangular_in_place(r, inverse.as_mut(), Par::Seq);
        InverseFactor(owned(inverse.as_ref()))
    }

    /// The diagonal of (M M^T)^-1 = R^-1 R^-T.
    pub fn diagonal(&self) -> DVector<f64> {
        let n = self.0.nrows();
        DVector::from_fn(n, |i, _| (i..n).map(|j| self.0[(i, j)].powi(2)).sum())
    }

    /// (M M^T)^-1.
    pub fn inverse(&self) -> DMatrix<f64> {
        gram(&self.0)
    }

    /// R^-1 z, of covariance (M M^T)^-1 where z has covariance 1.
    pub fn spread(&self, z: &DVector<f64>) -> DVector<f64> {
        &self.0 * z
    }

    /// (M M^T)^-1 v.
    pub fn solve(&self, v: &DVector<f64>) -> DVector<f64> {
        &self.0 * self.0.tr_mul(v)
    }
}

/// Cholesky factor of a symmetric positive definite matrix.
pub struct Cholesky(Llt<f64>);

impl Cholesky {
    /// `None` if the matrix is not positive definite to working precision.
    pub fn new(matrix: &DMatrix<f64>) -> Option<Self> {
        sequential();
        view(matrix).llt(Side::Lower).ok().map(Cholesky)
    }

    /// Solves the linear system for all columns of `rhs`.
    pub fn solve_columns(&self, rhs: &DMatrix<f64>) -> DMatrix<f64> {
        owned(self.0.solve(view(rhs)).as_ref())
    }

    /// Solves the linear system.
    pub fn solve(&self, rhs: &DVector<f64>) -> DVector<f64> {
        let x: Mat<f64> =
            self.0.solve(MatRef::from_column_major_slice(rhs.as_slice(), rhs.len(), 1));
        DVector::from_fn(rhs.len(), |i, _| x[(i, 0)])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::draws;

    /// Matrices up to 12 x 12 of every rank, some of them tiny or huge.
    fn matrices() -> impl Strategy<Value = DMatrix<f64>> {
        (1usize..=12, 1usize..=12, 1usize..=12, -8i32..=8, any::<u64>()).prop_map(
            |(rows, columns, rank, exponent, seed)| {
                let rng = &mut draws::stream(seed, "matrices", 0);
                let left = draws::gaussian(rng, rows, rank);
                left * draws::gaussian(rng, rank, columns) * 10f64.powi(exponent)
            },
        )
    }

    fn is_orthonormal(q: &DMatrix<f64>) -> bool {
        (q.tr_mul(q) - DMatrix::identity(q.ncols(), q.ncols())).amax() < 1e-13
    }

    fn descends(s: &[f64]) -> bool {
        s.is_sorted_by(|a, b| a >= b) && s.iter().all(|&s| s >= 0.0)
    }

    proptest! {
        #[test]
        fn the_factors_of_an_svd_make_the_matrix(m in matrices()) {
            let Svd { u, s, v } = thin_svd(&m).unwrap();
            prop_assert!(is_orthonormal(&u) && is_orthonormal(&v) && descends(&s), "{s:?}");
            let product = &u * DMatrix::from_diagonal(&DVector::from_vec(s)) * v.transpose();
            prop_assert!((product - &m).amax() <= 1e-13 * m.norm());
        }

        #[test]
        fn eigenvectors_make_the_symmetric_matrix(m in matrices()) {
            let m = gram(&m);
            let SymmetricEigen { values, vectors } = symmetric_eigen(&m).unwrap();
            prop_assert!(is_orthonormal(&vectors) && values.as_slice().is_sorted());
            let product = &vectors * DMatrix::from_diagonal(&values) * vectors.transpose();
            prop_assert!((product - &m).amax() <= 1e-13 * m.norm());
        }

        #[test]
        fn a_complement_completes_the_basis(m in matrices()) {
            prop_assume!(m.nrows() > m.ncols());
            let q = complement(&m);
            prop_assert_eq!(q.shape(), (m.nrows(), m.nrows() - m.ncols()));
            prop_assert!(is_orthonormal(&q));
            prop_assert!(m.tr_mul(&q).amax() <= 1e-13 * m.norm());
        }

        #[test]
        fn what_least_squares_leave_is_orthogonal(m in matrices(), seed in any::<u64>()) {
            let y = draws::unit_vector(&mut draws::stream(seed, "least squares", 0), m.nrows());
            let (x, _) = least_squares(&m, &y, 1e-10).unwrap();
            let rest = &y - &m * &x;
            prop_assert!(m.tr_mul(&rest).amax() <= 1e-11 * m.norm(), "{rest}");
            // Of all solutions the shortest: none of it is in the null space.
            let Svd { s, v, .. } = thin_svd(&m).unwrap();
            for (k, s_k) in s.iter().enumerate() {
                let along = v.column(k).dot(&x).abs();
                prop_assert!(*s_k > 1e-10 * s[0] || along <= 1e-10 * x.norm());
            }
        }

        #[test]
        fn a_gram_matrix_is_the_product(m in matrices()) {
            let (found, product) = (gram(&m), &m * m.transpose());
            prop_assert_eq!(&found, &found.transpose());
            prop_assert!((found - &product).amax() <= 1e-14 * product.norm());
        }
    }

    #[test]
    fn of_nothing_there_is_an_empty_gram_matrix() {
        assert_eq!(gram(&DMatrix::zeros(0, 3)).shape(), (0, 0));
        assert_eq!(gram(&DMatrix::zeros(2, 0)), DMatrix::zeros(2, 2));
    }

    fn matrix(n: usize, m: usize) -> DMatrix<f64> {
        DMatrix::from_fn(n, m, |i, j| ((i * 37 + j * 101 + i * j * 7) % 53) as f64 / 10.0 - 2.6)
    }

    #[test]
    fn gram_is_the_product_across_blocks() {
        let m = matrix(2 * GRAM_BLOCK + 3, 40);
        assert!((gram(&m) - &m * m.transpose()).amax() < 1e-10);
    }

    #[test]
    fn both_ways_to_the_inverse_factor_agree_until_one_fails() {
        let mut m = matrix(6, 40);
        let (a, b) =
            (InverseFactor::of_gram(&gram(&m)).unwrap(), InverseFactor::of_rows(&m).unwrap());
        let inverse = gram(&m).try_inverse().unwrap();
        let v = DVector::from_fn(6, |i, _| i as f64 - 2.0);
        for factor in [&a, &b] {
            assert!((factor.diagonal() - inverse.diagonal()).amax() < 1e-9 * inverse.amax());
            assert!((factor.inverse() - &inverse).amax() < 1e-9 * inverse.amax());
            assert!((factor.solve(&v) - &inverse * &v).amax() < 1e-9 * inverse.amax());
            // |R^-1 e_1 ... e_n|^2 is the trace.
            let columns =
                (0..6).map(|k| factor.spread(&DVector::from_fn(6, |i, _| f64::from(i == k))));
            let trace: f64 = columns.map(|c| c.norm_squared()).sum();
            assert!((trace - inverse.trace()).abs() < 1e-9 * inverse.trace());
        }
        // Two rows that differ by 1e-9: 1e-18 is what the Gram matrix cannot hold.
        let w = DMatrix::from_fn(1, 40, |_, j| (3.7 * j as f64).sin());
        let close = m.row(0) + w * 1e-9;
        m.set_row(1, &close);
        let inverse = InverseFactor::of_rows(&m).unwrap().diagonal();
        assert!(inverse[0] > 1e13 && inverse[0].is_finite());
        let same = m.row(0).into_owned();
        m.set_row(1, &same);
        assert!(InverseFactor::of_rows(&m).is_none());
    }

    #[test]
    fn dual_inverts_and_complement_is_orthogonal() {
        let m = matrix(9, 5);
        let (d, condition) = dual(&m).unwrap();
        assert!((m.transpose() * d - DMatrix::identity(5, 5)).amax() < 1e-12);
        assert!(condition >= 1.0);
        let q = complement(&m);
        assert_eq!(q.shape(), (9, 4));
        assert!((m.transpose() * &q).amax() < 1e-12);
        assert!((q.transpose() * &q - DMatrix::identity(4, 4)).amax() < 1e-12);
    }

    #[test]
    fn cholesky_solves() {
        let m = matrix(6, 20);
        let g = gram(&m);
        let cholesky = Cholesky::new(&g).unwrap();
        let x = DVector::from_fn(6, |i, _| i as f64 - 2.0);
        assert!((cholesky.solve(&(&g * &x)) - &x).amax() < 1e-9);
        assert!(Cholesky::new(&-g).is_none());
    }
}
