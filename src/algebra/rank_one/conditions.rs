//! What can be verified afterwards of the limit M of an ascent, without knowing any truth.
//!
//! F(M) = lambda_1(M) on the unit sphere of W, lambda_1 > 0 the largest |eigenvalue|, u_1, u_2, ... the
//! eigenvectors, u = u_1. Along the great circle M cos t + X sin t with a unit X of W orthogonal to M,
//! perturbation theory of a simple eigenvalue gives
//!
//! ```text
//! F'  = u^T X u
//! F'' = 2 sum_{j>1} (u^T X u_j)^2 / (lambda_1 - lambda_j) - lambda_1
//! ```
//!
//! At a stationary M, u^T X u = <X, P_W(u u^T)> vanishes for all such X: P_W(u u^T) = lambda_1 M, so
//! 1 - |P_W(u u^T)|_F^2 = 1 - lambda_1^2: a spectral norm near 1 and u u^T near W are one statement there. M is
//! a strict local maximum if the largest eigenvalue of the quadratic form F'' is negative. At a rank-one
//! M = u u^T the form is 2 |X u|^2 - |X|_F^2 <= 0, and is 0 only for X = u v^T + v u^T: a rank-one element is a
//! strict maximum unless W is tangent there to the rank-one matrices.

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use super::score;
use super::spectral::Limit;
use crate::algebra::svec::{smat, svec_outer};

/// A posteriori conditions at a limit M.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    /// lambda_1 = |M| of the unit matrix M, at most 1; 1 for a rank-one M.
    pub spectral_norm: f64,
    /// Largest eigenvalue of F''; negative at a strict local maximum. -lambda_1 where W is a line.
    pub second_order: f64,
    /// 1 - |P_W(u u^T)|_F^2, the squared distance of u u^T from W; 0 for a rank-one element of W.
    pub distance: f64,
    /// lambda_1 - max_{j>1} |lambda_j|; F is differentiable where it is positive.
    pub separation: f64,
}

impl Conditions {
    /// Evaluates them at `limit` in the subspace with the orthonormal basis `basis` (n(n+1)/2 x r).
    /// Cost: O(r n^2 + n r^2).
    pub fn at(basis: &DMatrix<f64>, limit: &Limit) -> Conditions {
        Self::at_coordinates(basis, &limit.coordinates)
    }

    /// The same at P_W(u u^T) / |.|_F for a direction u: at the matrix of which a fixed point u of either
    /// search is the eigenvector.
    pub fn of(basis: &DMatrix<f64>, direction: &DVector<f64>) -> Conditions {
        let mut outer = DVector::zeros(basis.nrows());
        svec_outer(direction.as_slice(), outer.as_mut_slice());
        let mut coordinates = basis.tr_mul(&outer);
        coordinates.normalize_mut();
        Self::at_coordinates(basis, &coordinates)
    }

    fn at_coordinates(basis: &DMatrix<f64>, m: &DVector<f64>) -> Conditions {
        let eigen = smat((basis * m).as_slice()).symmetric_eigen();
        let top = eigen.eigenvalues.imax();
        let lambda = eigen.eigenvalues[top];
        let u = eigen.eigenvectors.column(top).into_owned();
        let others = || (0..eigen.eigenvalues.len()).filter(|&j| j != top);
        let next = others().map(|j| eigen.eigenvalues[j].abs()).fold(0.0, f64::max);
        // Column k: E_k u for the basis matrix E_k.
        let images: Vec<DVector<f64>> =
            basis.column_iter().map(|e| smat(e.into_owned().as_slice()) * &u).collect();
        let mut weighted = eigen.eigenvectors.transpose() * DMatrix::from_columns(&images);
        weighted.row_mut(top).fill(0.0);
        for j in others() {
            let gap = (lambda - eigen.eigenvalues[j]).max(f64::MIN_POSITIVE);
            weighted.row_mut(j).scale_mut((2.0 / gap).sqrt());
        }
        // Only X orthogonal to M count.
        let along = &weighted * m;
        weighted -= along * m.transpose();
        let stretch = weighted.singular_values().max();
        Conditions {
            spectral_norm: lambda,
            second_order: stretch * stretch - lambda,
            distance: (1.0 - score(basis, &u)).clamp(0.0, f64::MAX),
            separation: lambda - next,
        }
    }

    /// Is M verifiably a strict local maximum, and u u^T within `distance` (squared) of W?
    pub fn hold(&self, distance: f64) -> bool {
        self.second_order < 0.0 && self.separation > 0.0 && self.distance <= distance
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::rank_one::spectral::{Climb, StepSize, ascend, random_starts};
    use crate::algebra::rank_one::tests::planted;
    use crate::draws;

    const TO_THE_END: Climb = Climb { step: StepSize::Fixed(2.0), most_steps: 400, arrived: 1e-15 };

    /// The matrix with these coordinates, as if an ascent had ended there.
    fn stopped_at(basis: &DMatrix<f64>, coordinates: DVector<f64>) -> Limit {
        let nowhere = Climb { most_steps: 0, ..TO_THE_END };
        let start = DMatrix::from_column_slice(basis.ncols(), 1, coordinates.as_slice());
        ascend(basis, &start, nowhere).remove(0)
    }

    #[test]
    fn they_hold_at_planted_elements_for_either_step() {
        let (a, basis) = planted(8, 8, 2);
        let starts = random_starts(&mut draws::stream(2, "starts", 0), 8, 60);
        for step in [StepSize::Fixed(2.0), StepSize::Doubling] {
            let mut seen = vec![false; 8];
            for limit in ascend(&basis, &starts, Climb { step, ..TO_THE_END }) {
                let conditions = Conditions::at(&basis, &limit);
                if !conditions.hold(1e-9) {
                    continue;
                }
                assert!(conditions.spectral_norm > 1.0 - 1e-9 && conditions.separation > 0.999);
                let cosines = a.tr_mul(&limit.direction).abs();
                assert!(cosines.max() > 1.0 - 1e-8, "{step:?} {conditions:?}");
                seen[cosines.imax()] = true;
            }
            assert!(seen.iter().all(|&s| s), "{step:?} {seen:?}");
        }
    }

    #[test]
    fn they_fail_at_random_elements_and_between_two_planted_ones() {
        let (a, basis) = planted(8, 8, 4);
        let mut rng = draws::stream(4, "spurious", 0);
        for start in random_starts(&mut rng, 8, 20).column_iter() {
            let conditions = Conditions::at(&basis, &stopped_at(&basis, start.into_owned()));
            assert!(conditions.distance > 1e-3 && !conditions.hold(1e-6), "{conditions:?}");
        }
        // a_1 a_1^T + a_2 a_2^T is in W, but is no maximum: moving weight to either one grows F.
        let coordinates = |i: usize| {
            let mut outer = DVector::zeros(basis.nrows());
            svec_outer(a.column(i).as_slice(), outer.as_mut_slice());
            basis.tr_mul(&outer)
        };
        let between = stopped_at(&basis, coordinates(0) + coordinates(1));
        let conditions = Conditions::at(&basis, &between);
        assert!(conditions.second_order > 0.0 && !conditions.hold(1.0), "{conditions:?}");
    }

    #[test]
    fn the_second_order_term_is_the_second_derivative() {
        let (_, basis) = planted(5, 3, 6);
        let limit = stopped_at(&basis, DVector::from_vec(vec![0.6, -0.3, 0.7]));
        let m = &limit.coordinates;
        let tangent =
            crate::algebra::linalg::complement(&DMatrix::from_columns(std::slice::from_ref(m)));
        let f = |v: &DVector<f64>, t: f64| {
            let x = &tangent * v;
            let size = x.norm();
            let moved = m * (t * size).cos() + x / size * (t * size).sin();
            smat((&basis * moved).as_slice()).symmetric_eigenvalues().max()
        };
        let second = |v: DVector<f64>| {
            let h = 1e-3;
            (f(&v, h) + f(&v, -h) - 2.0 * f(&v, 0.0)) / (h * h)
        };
        let (e, g) = (DVector::from_vec(vec![1.0, 0.0]), DVector::from_vec(vec![0.0, 1.0]));
        let (p, q) = (second(e.clone()), second(g.clone()));
        let mixed = (second(&e + &g) - p - q) / 2.0;
        let form = DMatrix::from_vec(2, 2, vec![p, mixed, mixed, q]);
        let found = Conditions::at(&basis, &limit).second_order;
        let expected = form.symmetric_eigenvalues().max();
        assert!((found - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{found} {expected}");
    }
}
