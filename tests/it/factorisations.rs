//! Each factorisation against what defines it, on random matrices of every rank and size.

use disentangle::algebra::linalg::{
    Svd, SymmetricEigen, complement, gram, least_squares, symmetric_eigen, thin_svd,
};
use disentangle::draws;
use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;

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
        let rows = m.nrows().max(m.ncols() + 1);
        let m = m.resize_vertically(rows, 1.0);
        let q = complement(&m);
        prop_assert_eq!(q.shape(), (m.nrows(), m.nrows() - m.ncols()));
        prop_assert!(is_orthonormal(&q));
        prop_assert!(m.tr_mul(&q).amax() <= 1e-13 * m.norm());
    }

    #[test]
    fn what_least_squares_leave_is_orthogonal(m in matrices(), seed in any::<u64>()) {
        let y = draws::unit_vector(&mut draws::stream(seed, "least squares", 0), m.nrows());
        let (x, _) = least_squares(&m, &y, 1e-10).unwrap();
        let Svd { s, v, .. } = thin_svd(&m).unwrap();
        let kept = s.iter().filter(|s_k| **s_k > 1e-10 * s[0]).copied();
        let condition = s[0] / kept.fold(f64::INFINITY, f64::min);
        // Along what is left out, and by rounding.
        let allowed = (2e-10 + 1e-14 * condition) * m.norm();
        let rest = &y - &m * &x;
        prop_assert!(m.tr_mul(&rest).amax() <= allowed, "{rest}");
        // Of all solutions the shortest: none of it is in the null space.
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
