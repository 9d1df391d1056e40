//! Joint diagonalisation of Hessians: of up to d units any two generic ones determine all directions.
//!
//! H_k = A D_k A^T with D_k diagonal, so that H_1 x = mu H_2 x is solved by the columns x_i of A^-T, and H_2 x_i is
//! a multiple of a_i. With more than two Hessians random combinations take their place, and the best of
//! several is the one whose directions make all Hessians most nearly diagonal. This is Jennrich's algorithm (Harshman,
//! UCLA Working Papers in Phonetics 16, 1970; Leurgans, Ross and Abel, SIAM J. Matrix Anal. Appl. 14, 1993), applied to
//! the slices of the stack; H_1 - mu H_2 is called a matrix pencil.

use nalgebra::DMatrix;
use rand::Rng;

use super::tolerances::DIAGONALISATION_PAIRS;
use crate::algebra::linalg::real_eigenvectors;
use crate::algebra::svec::smat;
use crate::draws;

/// Directions that diagonalise a stack, and how well.
#[derive(Clone, Debug)]
pub struct JointDiagonalisation {
    /// Unit columns, d x m.
    pub directions: DMatrix<f64>,
    /// Share (Frobenius norm) of the stack that they leave off the diagonals; 0 is exact.
    pub off_diagonal: f64,
}

/// The `m` directions, 1 <= m <= d, that diagonalise all Hessians (svec's as columns, at least two).
/// `None` if the Hessians do not span m dimensions.
pub fn diagonalise_jointly(
    hessians: &DMatrix<f64>,
    m: usize,
    rng: &mut impl Rng,
) -> Option<JointDiagonalisation> {
    if hessians.ncols() < 2 {
        return None;
    }
    let all: Vec<DMatrix<f64>> =
        hessians.column_iter().map(|h| smat(h.into_owned().as_slice())).collect();
    // The range of A: the leading eigenvectors of sum H_k^2.
    let eigen = all.iter().map(|h| h * h).sum::<DMatrix<f64>>().symmetric_eigen();
    let mut order: Vec<usize> = (0..eigen.eigenvalues.len()).collect();
    order.sort_by(|&i, &j| eigen.eigenvalues[j].total_cmp(&eigen.eigenvalues[i]));
    let range = eigen.eigenvectors.select_columns(&order[..m.min(order.len())]);
    let small: Vec<DMatrix<f64>> = all.iter().map(|h| range.transpose() * h * &range).collect();

    let mut best: Option<JointDiagonalisation> = None;
    for _ in 0..DIAGONALISATION_PAIRS {
        let weights = draws::gaussian(rng, small.len(), 2);
        let combine = |column: usize| {
            small.iter().enumerate().map(|(k, h)| h * weights[(k, column)]).sum::<DMatrix<f64>>()
        };
        let (first, second) = (combine(0), combine(1));
        let found = second.clone().lu().solve(&first).and_then(|q| real_eigenvectors(&q));
        let Some(dual) = found else { continue };
        let mut directions = &second * dual;
        directions.column_iter_mut().for_each(|mut v| {
            v.normalize_mut();
        });
        let Some(inverse) = directions.clone().try_inverse() else { continue };
        let off_diagonal = off_diagonal(&small, &inverse);
        // A comparison that is false for NaN.
        if off_diagonal <= best.as_ref().map_or(f64::MAX, |b| b.off_diagonal) {
            best = Some(JointDiagonalisation { directions: &range * directions, off_diagonal });
        }
    }
    best
}

/// The share (Frobenius norm) of symmetric `matrices` H that F^-1 H F^-T leaves off the diagonals, for the `inverse` of F; NaN
/// where there is none.
pub fn off_diagonal(matrices: &[DMatrix<f64>], inverse: &DMatrix<f64>) -> f64 {
    let (mut off, mut total) = (0.0, 0.0);
    for matrix in matrices {
        let core = inverse * matrix * inverse.transpose();
        total += core.norm_squared();
        off += core.norm_squared() - core.diagonal().norm_squared();
    }
    // Of NaN `max` makes 0, `clamp` does not.
    (off / total).clamp(0.0, f64::MAX).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::svec::svec;
    use nalgebra::DVector;

    #[test]
    fn two_hessians_give_all_directions() {
        for (d, m) in [(6, 6), (9, 4), (3, 1)] {
            let rng = &mut draws::stream(4, "pencil", m as u64);
            let a = draws::gaussian(rng, d, m);
            let columns: Vec<DVector<f64>> = (0..2)
                .map(|_| {
                    let core = DMatrix::from_diagonal(&draws::unit_vector(rng, m));
                    DVector::from_vec(svec(&(&a * core * a.transpose())))
                })
                .collect();
            let found = diagonalise_jointly(&DMatrix::from_columns(&columns), m, rng).unwrap();
            assert!(found.off_diagonal < 1e-6);
            for v in a.column_iter() {
                let cosines = found.directions.tr_mul(&(v / v.norm())).abs();
                assert!(cosines.max() > 1.0 - 1e-10, "{d} {m}: {cosines}");
            }
        }
    }

    #[test]
    fn hessians_with_nothing_in_common_stay_off_diagonal() {
        let rng = &mut draws::stream(5, "pencil", 0);
        let found = diagonalise_jointly(&draws::gaussian(rng, 21, 30), 6, rng);
        assert!(found.is_none_or(|found| found.off_diagonal > 0.3));
    }

    #[test]
    fn matrices_without_a_common_range_give_no_directions_that_are_none() {
        // A matrix of zeros beside one of rank one: the pencil is singular.
        let one = svec(&DMatrix::from_diagonal(&DVector::from_vec(vec![1.0, 0.0, 0.0])));
        let nothing = vec![0.0; one.len()];
        let stack = DMatrix::from_columns(&[DVector::from_vec(one), DVector::from_vec(nothing)]);
        let found = diagonalise_jointly(&stack, 2, &mut draws::stream(1, "pencil", 0));
        assert!(found.is_none_or(|found| found.directions.iter().all(|x| x.is_finite())));
    }
}
