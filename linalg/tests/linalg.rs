//! Each factorisation against what defines it.

use std::ops::Range;

use disentangle_linalg::{
    Alone, Cholesky, InverseFactor, Workers, complement, dual, gram, lower_gram_of, row_squares,
};
use nalgebra::{DMatrix, DVector};

fn matrix(n: usize, m: usize) -> DMatrix<f64> {
    DMatrix::from_fn(n, m, |i, j| ((i * 37 + j * 101 + i * j * 7) % 53) as f64 / 10.0 - 2.6)
}

#[test]
fn gram_is_the_product_across_blocks() {
    let m = matrix(515, 40);
    assert!((gram(&m) - &m * m.transpose()).amax() < 1e-10);
}

#[test]
fn a_matrix_without_rows_has_a_gram_matrix_without_entries() {
    assert_eq!(gram(&DMatrix::zeros(0, 5)).shape(), (0, 0));
    assert_eq!(gram(&DMatrix::zeros(3, 0)), DMatrix::zeros(3, 3));
}

#[test]
fn both_ways_to_the_inverse_factor_agree_until_one_fails() {
    let mut m = matrix(6, 40);
    let (a, b) =
        (InverseFactor::of_gram(gram(&m), &Alone).unwrap(), InverseFactor::of_rows(&m).unwrap());
    let inverse = gram(&m).try_inverse().unwrap();
    let v = DVector::from_fn(6, |i, _| i as f64 - 2.0);
    for factor in [&a, &b] {
        assert!((factor.diagonal() - inverse.diagonal()).amax() < 1e-9 * inverse.amax());
        assert!((factor.inverse(&Alone) - &inverse).amax() < 1e-9 * inverse.amax());
        assert!((factor.solve(&v) - &inverse * &v).amax() < 1e-9 * inverse.amax());
        // |R^-1 e_1 ... e_n|^2 is the trace.
        let columns = (0..6).map(|k| factor.spread(&DVector::from_fn(6, |i, _| f64::from(i == k))));
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

/// So many who share work, one after the other.
struct Several(usize);

impl Workers for Several {
    fn shared(&self, weights: &[usize], work: &dyn Fn(Range<usize>) -> Vec<f64>) -> Vec<f64> {
        let (items, count) = (weights.len(), self.0);
        let share = |k: usize| items * k / count..items * (k + 1) / count;
        (0..count).flat_map(|k| work(share(k))).collect()
    }
}

#[test]
fn factors_in_blocks_are_factors_and_the_same_whoever_computes_them() {
    // More than one block of each kind, and the last ones are not full.
    let n = 777;
    let m = matrix(n, 60).insert_columns(60, n, 0.0) + DMatrix::identity(n, 60 + n) * 3.0;
    let m = m + DMatrix::from_fn(n, 60 + n, |i, j| f64::from(j == i + 60) * 2.0);
    let g = gram(&m);
    let alone = InverseFactor::of_gram(g.clone(), &Alone).unwrap();
    assert!((&g * alone.inverse(&Alone) - DMatrix::identity(n, n)).amax() < 1e-8);
    assert!(
        alone.triangle().lower_triangle() == DMatrix::from_diagonal(&alone.triangle().diagonal())
    );
    let x = DVector::from_fn(n, |i, _| (i % 7) as f64 - 3.0);
    let solved = Cholesky::new(&g).unwrap().solve(&(&g * &x));
    assert!((&solved - &x).amax() < 1e-8);
    for count in [2, 3, 20] {
        let workers = Several(count);
        assert_eq!(lower_gram_of(&m, &workers).lower_triangle(), g.lower_triangle());
        let squares = row_squares(&m, &workers);
        assert_eq!(squares, row_squares(&m, &Alone));
        assert!((squares - g.diagonal()).amax() < 1e-9);
        let factor = InverseFactor::of_gram(g.clone(), &workers).unwrap();
        assert_eq!(factor.triangle(), alone.triangle());
        assert_eq!(factor.inverse(&workers), alone.inverse(&Alone));
        assert_eq!(Cholesky::by(g.clone(), &workers).unwrap().solve(&(&g * &x)), solved);
    }
    // What is not positive definite is so for all.
    let mut indefinite = g;
    indefinite[(700, 700)] = -1.0;
    assert!(Cholesky::by(indefinite, &Several(3)).is_none());
}
