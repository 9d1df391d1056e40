//! The second layer's directions: the common factors of matrices F diag(..) F^T.

use nalgebra::{DMatrix, DVector};
use rand_chacha::ChaCha8Rng;

use super::tolerances::{FACTOR_SCORE, FACTOR_SEARCHES, FACTOR_STARTS, INVERSE_ERROR};
use crate::algebra::joint_diagonalisation::{self, diagonalise_jointly};
use crate::algebra::linalg::product;
use crate::algebra::rank_one::{self, Ascent};
use crate::algebra::subspace;
use crate::algebra::svec::svec;
use crate::draws;
use crate::identify::failure::{Failure, Halt};
use crate::stage::Stage;

/// The factors F of matrices F diag(..) F^T.
pub struct Factors {
    /// F, unit columns, m1 x m1.
    pub columns: DMatrix<f64>,
    /// F^-1.
    pub inverse: DMatrix<f64>,
    /// The diagonals, a column a matrix.
    pub diagonals: DMatrix<f64>,
    /// The largest share (Frobenius norm) of a matrix that they do not make diagonal.
    pub off_diagonal: f64,
}

/// The common factors of symmetric m1 x m1 matrices.
pub fn common_factors(
    matrices: &[DMatrix<f64>],
    m1: usize,
    ascent: Ascent,
    rng: &mut ChaCha8Rng,
) -> Result<Factors, Halt> {
    let columns = directions(matrices, m1, ascent, rng)?;
    let inverse = inverse(&columns)
        .ok_or_else(|| failure("the second-layer directions found are dependent"))?;
    let mut diagonals = DMatrix::zeros(m1, matrices.len());
    let mut off_diagonal = 0.0f64;
    for (k, matrix) in matrices.iter().enumerate() {
        let core = &inverse * matrix * inverse.transpose();
        diagonals.set_column(k, &core.diagonal());
        off_diagonal = off_diagonal
            .max((&core - DMatrix::from_diagonal(&core.diagonal())).norm() / core.norm());
    }
    Ok(Factors { columns, inverse, diagonals, off_diagonal })
}

/// The m1 common rank-one factors of symmetric m1 x m1 matrices, unit columns: stages 2 and 3 once more, in small.
/// Where two of them are nearly parallel, or the matrices are fewer than the factors, the search does not tell them
/// apart, but diagonalising two of the matrices together does; what makes all of them most nearly diagonal is taken.
fn directions(
    matrices: &[DMatrix<f64>],
    m1: usize,
    ascent: Ascent,
    rng: &mut ChaCha8Rng,
) -> Result<DMatrix<f64>, Halt> {
    if m1 == 1 {
        return Ok(DMatrix::identity(1, 1));
    }
    let columns: Vec<DVector<f64>> = matrices.iter().map(|m| DVector::from_vec(svec(m))).collect();
    let stack = DMatrix::from_columns(&columns);
    let space =
        subspace::leading(&stack).ok_or_else(|| failure("second differences are not finite"))?;
    let basis = space.truncated(m1).basis;
    let mut found = Vec::new();
    let searches = if matrices.len() < m1 { 0 } else { FACTOR_SEARCHES };
    for _ in 0..searches {
        let starts = draws::gaussian(rng, m1, FACTOR_STARTS * m1);
        found = rank_one::search(&basis, &starts, ascent);
        found.retain(|c| c.score > FACTOR_SCORE);
        if found.len() >= m1 {
            break;
        }
    }
    let count = found.len();
    let searched = (count >= m1).then(|| {
        let columns: Vec<DVector<f64>> =
            found.into_iter().take(m1).map(|candidate| candidate.direction).collect();
        DMatrix::from_columns(&columns)
    });
    let together = diagonalise_jointly(&stack, m1, rng).map(|joint| joint.directions);
    let choices = searched.into_iter().chain(together);
    let best = choices
        .filter_map(|factors| Some((off_diagonal(matrices, &factors)?, factors)))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, factors)| factors).ok_or_else(|| {
        failure(format!(
            "only {count} of {m1} second-layer directions were found (singular values of their span: \
             {:.2e} to {:.2e}): two of them may be parallel, or the values too inaccurate",
            space.singular_values[0],
            space.singular_values[basis.ncols() - 1]
        ))
    })
}

/// Of a matrix that is dependent but for rounding an inverse comes out too, and is none.
fn inverse(columns: &DMatrix<f64>) -> Option<DMatrix<f64>> {
    let inverse = columns.clone().try_inverse()?;
    let off = product(columns, &inverse) - DMatrix::identity(columns.nrows(), columns.ncols());
    (off.norm() <= INVERSE_ERROR).then_some(inverse)
}

/// The share that F^-1 M_k F^-T, F of unit columns, leave off the diagonals.
fn off_diagonal(matrices: &[DMatrix<f64>], factors: &DMatrix<f64>) -> Option<f64> {
    let share = joint_diagonalisation::off_diagonal(matrices, &inverse(factors)?);
    share.is_finite().then_some(share)
}

fn failure(reason: impl Into<String>) -> Halt {
    Failure::new(Stage::Peel, reason).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_parallel_factors_are_told_apart() {
        let rng = &mut draws::stream(1, "factors", 0);
        let angle = 2f64.to_radians();
        let truth = DMatrix::from_columns(&[
            DVector::from_vec(vec![1.0, 0.0, 0.0]),
            DVector::from_vec(vec![angle.cos(), angle.sin(), 0.0]),
            DVector::from_vec(vec![0.6, 0.0, 0.8]),
        ]);
        let matrices: Vec<DMatrix<f64>> = (0..12)
            .map(|_| {
                let core = DMatrix::from_diagonal(&draws::gaussian(rng, 3, 1).column(0));
                &truth * core * truth.transpose()
            })
            .collect();
        let found = directions(&matrices, 3, Ascent::Spectral, rng).unwrap();
        assert!(off_diagonal(&matrices, &found).unwrap() < 1e-8);
        let cosines = truth.tr_mul(&found).abs();
        for (k, cosines) in cosines.row_iter().enumerate() {
            assert!(cosines.max() > 1.0 - 1e-12, "{k}: {cosines}");
        }
    }

    #[test]
    fn two_directions_that_are_one_are_dependent() {
        let one = DVector::from_vec(vec![0.6, 0.0, 0.8]);
        let other = DVector::from_vec(vec![0.0, 1.0, 0.0]);
        assert!(
            inverse(&DMatrix::from_columns(&[one.clone(), other.clone(), one.clone()])).is_none()
        );
        let nearly = &one * (1.0 + f64::EPSILON) + &other * 1e-16;
        assert!(inverse(&DMatrix::from_columns(&[one, other, nearly])).is_none());
    }
}
