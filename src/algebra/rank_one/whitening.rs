//! Whitening: coordinates in which the rank-one elements of a subspace W are nearly orthogonal, however far from
//! it they are.
//!
//! Let W hold a positive definite M = L L^T. If M = sum lambda_i a_i a_i^T with d positive lambda_i, the vectors
//! sqrt(lambda_i) L^-1 a_i are orthonormal, and u u^T is in W exactly if (L^-1 u)(L^-1 u)^T is in L^-1 W L^-T. Of
//! all M the one of the largest determinant at norm 1 is taken, the minimum of the convex function
//!
//! ```text
//! |M|_F^2 / 2 - log det(M + sigma I) / d
//! ```
//!
//! for sigma = 0, by damped Newton steps from the projection of the identity; if that is not definite, along the
//! minima for falling sigma > 0.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use super::tolerances::{
    WHITENING_ARRIVED, WHITENING_DECREASE, WHITENING_FALL, WHITENING_FIRST_SHIFT,
    WHITENING_HALVINGS, WHITENING_LEAST, WHITENING_STEPS,
};
use crate::algebra::linalg::{symmetric_eigen, thin_svd};
use crate::algebra::svec::{order, smat, svec};

/// A positive definite M = L L^T of a subspace, as a change of coordinates.
#[derive(Clone, Debug)]
pub struct Whitening {
    l: DMatrix<f64>,
    /// Condition number of M: what errors may grow by, squared norms, on the way there and back.
    pub condition: f64,
}

impl Whitening {
    /// By an element of the subspace with the orthonormal basis `basis` (n(n+1)/2 x r). `None` if no positive
    /// definite one is found. Cost of a step: O(r n^3 + r^2 n^2).
    pub fn of(basis: &DMatrix<f64>) -> Option<Whitening> {
        let n = order(basis.nrows());
        let identity = DVector::from_vec(svec(&DMatrix::identity(n, n)));
        let mut m = basis.tr_mul(&identity);
        if m.normalize_mut() == 0.0 {
            return None;
        }
        let least = |m: &DVector<f64>| Some(symmetric_eigen(&element(basis, m))?.values[0]);
        let mut sigma = (-WHITENING_FIRST_SHIFT * least(&m)?).max(0.0);
        while sigma > 0.0 {
            m = minimum(basis, m, sigma)?.0;
            let least = least(&m)?;
            let slack = WHITENING_FALL * (sigma + least);
            if slack < WHITENING_LEAST {
                return None;
            }
            sigma = if least > 0.0 { 0.0 } else { slack - least };
        }
        let (m, cholesky) = minimum(basis, m, 0.0)?;
        let values = symmetric_eigen(&element(basis, &m))?.values;
        let condition = values.max() / values.min();
        (condition.is_finite() && condition > 0.0).then(|| Whitening { l: cholesky.l(), condition })
    }

    /// An orthonormal basis of L^-1 W L^-T, W with the orthonormal basis `basis`.
    pub fn basis(&self, basis: &DMatrix<f64>) -> Option<DMatrix<f64>> {
        let mut whitened = basis.clone();
        for mut column in whitened.column_iter_mut() {
            let left = self.l.solve_lower_triangular(&smat(column.as_slice()))?;
            let both = self.l.solve_lower_triangular(&left.transpose())?;
            // Symmetric but for rounding; svec reads one half.
            column.copy_from_slice(&svec(&both));
        }
        Some(thin_svd(&whitened)?.u)
    }

    /// The unit vector along L v.
    pub fn back(&self, v: &DVector<f64>) -> DVector<f64> {
        (&self.l * v).normalize()
    }
}

/// The matrix with the coordinates `m`.
fn element(basis: &DMatrix<f64>, m: &DVector<f64>) -> DMatrix<f64> {
    smat((basis * m).as_slice())
}

/// The minimum of the function, from a start where M + sigma I is definite, and L of that matrix.
fn minimum(
    basis: &DMatrix<f64>,
    mut m: DVector<f64>,
    sigma: f64,
) -> Option<(DVector<f64>, Cholesky<f64, Dyn>)> {
    let mut now = Objective::at(basis, &m, sigma)?;
    for _ in 0..WHITENING_STEPS {
        let (gradient, second) = derivatives(basis, &now.cholesky, &m);
        let step = second.cholesky()?.solve(&gradient);
        let decrease = gradient.dot(&step);
        if decrease < WHITENING_ARRIVED {
            break;
        }
        // Halved until the matrix stays definite and the function falls.
        let shorter = (0..WHITENING_HALVINGS).map(|k| 0.5f64.powi(k)).find_map(|t| {
            let moved = &m - &step * t;
            let there = Objective::at(basis, &moved, sigma)?;
            (there.value < now.value - WHITENING_DECREASE * t * decrease).then_some((moved, there))
        });
        let Some((moved, there)) = shorter else { break };
        (m, now) = (moved, there);
    }
    Some((m, now.cholesky))
}

/// The function and what its derivatives need.
struct Objective {
    value: f64,
    cholesky: Cholesky<f64, Dyn>,
}

impl Objective {
    /// `None` unless M + sigma I is definite.
    fn at(basis: &DMatrix<f64>, m: &DVector<f64>, sigma: f64) -> Option<Objective> {
        let mut shifted = element(basis, m);
        let n = shifted.nrows();
        (0..n).for_each(|i| shifted[(i, i)] += sigma);
        let cholesky = shifted.cholesky()?;
        let log_det = 2.0 * cholesky.l_dirty().diagonal().map(f64::ln).sum();
        let value = m.norm_squared() / 2.0 - log_det / n as f64;
        value.is_finite().then_some(Objective { value, cholesky })
    }
}

/// m - <E_k, S^-1> / d and I + <S^-1 E_j S^-1, E_k> / d for S = M + sigma I.
fn derivatives(
    basis: &DMatrix<f64>,
    cholesky: &Cholesky<f64, Dyn>,
    m: &DVector<f64>,
) -> (DVector<f64>, DMatrix<f64>) {
    let inverse = cholesky.inverse();
    let n = inverse.nrows() as f64;
    let mut moved = basis.clone();
    for mut column in moved.column_iter_mut() {
        let e = smat(column.as_slice());
        column.copy_from_slice(&svec(&(&inverse * e * &inverse)));
    }
    let gradient = m - basis.tr_mul(&DVector::from_vec(svec(&inverse))) / n;
    let second = DMatrix::identity(m.len(), m.len()) + basis.tr_mul(&moved) / n;
    (gradient, second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::rank_one::tests::span_of;
    use crate::draws;

    /// Unit columns whose matrix has about this condition number.
    fn skewed(n: usize, condition: f64, seed: u64) -> DMatrix<f64> {
        let mut rng = draws::stream(seed, "skewed", 0);
        let mut a = draws::gaussian(&mut rng, n, n);
        for (k, mut row) in a.row_iter_mut().enumerate() {
            row *= condition.powf(-(k as f64) / (n - 1) as f64);
        }
        a.column_iter_mut().for_each(|mut u| {
            u.normalize_mut();
        });
        a
    }

    #[test]
    fn whitened_vectors_are_orthonormal_however_skewed_they_were() {
        for condition in [1.0, 30.0, 1e3] {
            let a = skewed(7, condition, 3);
            let basis = span_of(&a);
            let whitening = Whitening::of(&basis).unwrap();
            let mut white = whitening.l.solve_lower_triangular(&a).unwrap();
            white.column_iter_mut().for_each(|mut u| {
                u.normalize_mut();
            });
            let off = white.tr_mul(&white) - DMatrix::identity(7, 7);
            assert!(off.amax() < 1e-6, "{condition}: {}", off.amax());
            // And back: each is where it was, and its matrix is in the whitened subspace.
            let there = whitening.basis(&basis).unwrap();
            for (a, white) in a.column_iter().zip(white.column_iter()) {
                let white = white.into_owned();
                assert!(whitening.back(&white).dot(&a).abs() > 1.0 - 1e-12);
                assert!(crate::algebra::rank_one::score(&there, &white) > 1.0 - 1e-9);
            }
        }
    }

    #[test]
    fn an_identity_that_projects_to_no_definite_matrix_is_no_obstacle() {
        // The third lies nearly between the others: its weight in the projection of the identity is negative.
        let mut a =
            DMatrix::from_column_slice(3, 3, &[1.0, 0.3, 0.0, 1.0, -0.3, 0.0, 1.0, 0.0, 0.05]);
        a.column_iter_mut().for_each(|mut u| {
            u.normalize_mut();
        });
        let basis = span_of(&a);
        let identity = DVector::from_vec(svec(&DMatrix::identity(3, 3)));
        let projected = smat((&basis * basis.tr_mul(&identity)).as_slice());
        assert!(projected.symmetric_eigenvalues().min() < 0.0);
        assert!(Whitening::of(&basis).is_some());
    }

    #[test]
    fn a_subspace_without_definite_elements_has_none() {
        // All matrices of it vanish on the last coordinate.
        let mut a = DMatrix::<f64>::identity(4, 3);
        a[(0, 1)] = 0.5;
        assert!(Whitening::of(&span_of(&a)).is_none());
    }
}
