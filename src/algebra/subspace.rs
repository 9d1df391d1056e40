//! Stage 2: the subspace that a stack spans, and its dimension from the largest gap.

use nalgebra::DMatrix;

use super::tolerances::LEAST_DIVISOR;
use crate::algebra::linalg::thin_svd;

/// The left singular space of a stack of svec's, or its leading part.
#[derive(Clone, Debug)]
pub struct Subspace {
    /// Orthonormal columns, D x r.
    pub basis: DMatrix<f64>,
    /// All singular values of the stack, descending.
    pub singular_values: Vec<f64>,
}

/// The place where singular values fall most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gap {
    /// Number of singular values before the fall.
    pub rank: usize,
    /// sigma_rank / sigma_(rank+1), the latter no smaller than the noise floor.
    pub ratio: f64,
}

/// The largest gap among the given ranks (at least 1), values below `floor` counting as `floor`. `None`
/// if there is no such rank or nothing stands above the floor.
pub fn largest_gap(
    singular_values: &[f64],
    ranks: std::ops::RangeInclusive<usize>,
    floor: f64,
) -> Option<Gap> {
    let above = singular_values.iter().take_while(|&&s| s > floor).count();
    ranks
        .filter(|&rank| rank >= 1 && rank <= above && rank < singular_values.len())
        .map(|rank| Gap {
            rank,
            ratio: singular_values[rank - 1] / singular_values[rank].max(floor).max(LEAST_DIVISOR),
        })
        .max_by(|a, b| a.ratio.total_cmp(&b.ratio))
}

/// All left singular vectors of `stack` (D x N), leading ones first, and its singular values. `None` if
/// the stack is empty or not finite.
pub fn leading(stack: &DMatrix<f64>) -> Option<Subspace> {
    if stack.is_empty() {
        return None;
    }
    let svd = thin_svd(stack)?;
    Some(Subspace { basis: svd.u, singular_values: svd.s })
}

impl Subspace {
    /// The same with only the first `rank` basis vectors.
    pub fn truncated(&self, rank: usize) -> Subspace {
        let rank = rank.min(self.basis.ncols());
        Subspace {
            basis: self.basis.columns(0, rank).into_owned(),
            singular_values: self.singular_values.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_where_the_values_fall_most() {
        let gap = largest_gap(&[5.0, 4.0, 3.0, 0.1, 0.09], 1..=4, 0.0).unwrap();
        assert_eq!(gap.rank, 3);
        assert!((gap.ratio - 30.0).abs() < 1e-9);
        // A fall inside the noise does not count.
        let gap = largest_gap(&[5.0, 4.0, 1e-12, 1e-17], 1..=3, 1e-11).unwrap();
        assert_eq!(gap.rank, 2);
        assert!(largest_gap(&[1e-12, 1e-13], 1..=1, 1e-11).is_none());
    }

    #[test]
    fn a_low_rank_stack_is_spanned_by_its_leading_vectors() {
        let p = DMatrix::from_fn(12, 3, |i, j| ((i * 5 + j * 3) % 7) as f64 - 3.0);
        let q = DMatrix::from_fn(3, 8, |i, j| ((i * 2 + j * 5) % 11) as f64 - 5.0);
        let stack = &p * q;
        let space = leading(&stack).unwrap();
        assert_eq!(largest_gap(&space.singular_values, 1..=7, 1e-10).unwrap().rank, 3);
        let basis = space.truncated(3).basis;
        assert!((&basis * (basis.transpose() * &stack) - stack).amax() < 1e-10);
    }
}
