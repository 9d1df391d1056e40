//! The exact system of Bakshi, Jayaram and Woodruff, in a lifted form.
//!
//! Where it is known on which side of the kink of each unit each sample lies, y = sum_i Z_i s_i(x) x with Z_i = u_i w_i^T and the
//! slope s_i(x) of phi there: linear in the m d k entries of the Z_i, with one design for all outputs. Without noise k d
//! samples and some more give them to rounding. Each Z_i must have rank one; how far from it they are tells whether the sides were
//! right. The factors are new units, and so on until no sample changes its side.

use std::ops::Range;

use nalgebra::{DMatrix, DVector};

use super::file::{Block, SampleError, Samples};
use super::normal::design;
use super::units::Units;
use crate::algebra::linalg::{Cholesky, product, thin_svd};
use crate::network::Activation;

// Search effort.
/// Rounds at most; near the truth two or three are enough.
const ROUNDS: usize = 60;

/// What the rounds came to.
#[derive(Clone, Debug)]
pub struct Exact {
    /// The estimate.
    pub units: Units,
    /// Rounds done.
    pub rounds: usize,
    /// Whether no sample changes its side any more.
    pub settled: bool,
    /// The largest second singular value of a Z_i over the first: 0 for the right sides. With one output there is no second one.
    pub defect: f64,
}

/// Does the lifted system hold for it?
pub fn is_exact(phi: Activation) -> bool {
    matches!(phi, Activation::Relu | Activation::LeakyRelu)
}

/// Rounds on the samples of the range, from `start`. `None` where the samples do not determine the system: too few of them, or a
/// unit that is never active.
///
/// # Errors
/// Those of reading the samples.
pub fn solve(
    samples: &Samples,
    range: Range<usize>,
    start: Units,
) -> Result<Option<Exact>, SampleError> {
    let mut units = start;
    let mut defect = f64::INFINITY;
    for rounds in 1..=ROUNDS {
        let Some((next, departure)) = round(samples, range.clone(), &units)? else {
            return Ok(None);
        };
        let changed = changes(samples, range.clone(), &units, &next)?;
        (units, defect) = (next, departure);
        if changed == 0 {
            return Ok(Some(Exact { units, rounds, settled: true, defect }));
        }
    }
    Ok(Some(Exact { units, rounds: ROUNDS, settled: false, defect }))
}

/// The solution for the sides that `units` has, as units again, and the departure from rank one.
fn round(
    samples: &Samples,
    range: Range<usize>,
    units: &Units,
) -> Result<Option<(Units, f64)>, SampleError> {
    let (d, k, m) = units.dims();
    let rows = |block: Block<'_>| design(units, block).rows(0, k * d).into_owned();
    let part = |block: Block<'_>| {
        let rows = rows(block);
        (product(&rows, &rows.transpose()), product(&rows, &block.y.transpose()))
    };
    let sums =
        samples.sum(range.clone(), part, |total: &mut (DMatrix<f64>, DMatrix<f64>), other| {
            total.0 += other.0;
            total.1 += other.1;
        })?;
    let Some((gram, cross)) = sums else { return Ok(None) };
    let Some(factor) = Cholesky::new(&gram) else { return Ok(None) };
    let mut lifted = factor.solve_columns(&cross);
    // Once more for the residual: normal equations square the condition number, this takes it back.
    let rest = |block: Block<'_>| {
        let rows = rows(block);
        let residuals = block.y - lifted.tr_mul(&rows);
        product(&rows, &residuals.transpose())
    };
    if let Some(rest) = samples.sum(range, rest, |total, other| *total += other)? {
        lifted += factor.solve_columns(&rest);
    }
    let mut next = Units { w: DMatrix::zeros(d, k), u: DMatrix::zeros(m, k), phi: units.phi };
    let mut defect: f64 = 0.0;
    for i in 0..k {
        let Some(svd) = thin_svd(&lifted.rows(i * d, d).into_owned()) else { return Ok(None) };
        let mut w: DVector<f64> = svd.u.column(0).into_owned();
        let mut u: DVector<f64> = svd.v.column(0) * svd.s[0];
        // Both signs fit; the side on which the unit was active is the right one.
        if w.dot(&units.w.column(i)) < 0.0 {
            w.neg_mut();
            u.neg_mut();
        }
        next.w.set_column(i, &w);
        next.u.set_column(i, &u);
        defect = defect.max(svd.s.get(1).map_or(0.0, |second| second / svd.s[0]));
    }
    Ok((next.w.iter().chain(next.u.iter()).all(|entry| entry.is_finite()))
        .then_some((next, defect)))
}

/// How many samples lie on another side of a kink.
fn changes(
    samples: &Samples,
    range: Range<usize>,
    before: &Units,
    after: &Units,
) -> Result<usize, SampleError> {
    let part = |block: Block<'_>| {
        let (one, other) = (before.arguments(block.x), after.arguments(block.x));
        one.iter().zip(other.iter()).filter(|(one, other)| (**one > 0.0) != (**other > 0.0)).count()
    };
    Ok(samples.sum(range, part, |total, other| *total += other)?.unwrap_or(0))
}
