//! Normal equations, summed over the samples.
//!
//! With a_i = phi'(w_i . x) x, phi_i = phi(w_i . x) and the residuals r_o, all that least squares in W and U need is the Gram
//! matrix of (a_1, ..., a_k, phi_1, ..., phi_k), which has k (d + 1) rows whatever the number of outputs, and the products of
//! these with the r_o:
//!
//! ```text
//! d y_o / d w_i = u_oi a_i,    d y_o / d u_oi = phi_i
//! ```
//!
//! For relu the a_i are the design of the [lifted](super::exact) system, too.

use std::ops::Range;

use nalgebra::{DMatrix, DVector};

use super::file::{Block, SampleError, Samples};
use super::units::Units;
use crate::algebra::linalg::product;
use crate::network::Symmetry;

/// Sums over samples for one estimate.
#[derive(Clone, Debug)]
pub(super) struct Normal {
    /// k (d + 1) x k (d + 1), the a_i before the phi_i.
    pub gram: DMatrix<f64>,
    /// Products with the residuals y - f, k (d + 1) x m.
    pub cross: DMatrix<f64>,
    /// Sum of the squares of the residuals.
    pub squares: f64,
}

/// The residuals alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Misfit {
    /// Sum of the squares.
    pub squares: f64,
    /// The largest in absolute value.
    pub largest: f64,
}

/// a_i above phi_i at the columns of x: k (d + 1) x b.
pub(super) fn design(units: &Units, block: Block<'_>) -> DMatrix<f64> {
    let (d, k, _) = units.dims();
    let z = units.arguments(block.x);
    let mut rows = DMatrix::zeros(k * (d + 1), z.ncols());
    for ((z, x), mut row) in z.column_iter().zip(block.x.column_iter()).zip(rows.column_iter_mut())
    {
        for (i, &z) in z.iter().enumerate() {
            let slope = units.phi.slope(z);
            row.rows_mut(i * d, d).iter_mut().zip(x.iter()).for_each(|(a, x)| *a = slope * x);
            row[k * d + i] = units.phi.value(z);
        }
    }
    rows
}

impl Normal {
    /// Of the samples in `range`; `None` without one.
    ///
    /// # Errors
    /// Those of reading the samples.
    pub fn of(
        samples: &Samples,
        range: Range<usize>,
        units: &Units,
    ) -> Result<Option<Normal>, SampleError> {
        let part = |block: Block<'_>| {
            let rows = design(units, block);
            let residuals = block.y - units.values(block.x);
            Normal {
                gram: product(&rows, &rows.transpose()),
                cross: product(&rows, &residuals.transpose()),
                squares: residuals.norm_squared(),
            }
        };
        samples.sum(range, part, |total, other| {
            total.gram += other.gram;
            total.cross += other.cross;
            total.squares += other.squares;
        })
    }

    /// J^T J and J^T r in the parameters (w_1, ..., w_k, u_1, ..., u_k); where the norm of each w_i is left open a term is added
    /// to J^T J that keeps it.
    pub fn system(&self, units: &Units) -> (DMatrix<f64>, DVector<f64>) {
        let (d, k, m) = units.dims();
        let weights = units.u.tr_mul(&units.u);
        let mut matrix = DMatrix::zeros(k * (d + m), k * (d + m));
        let mut gradient = DVector::zeros(k * (d + m));
        for i in 0..k {
            for l in 0..k {
                let block = self.gram.view((i * d, l * d), (d, d)) * weights[(i, l)];
                matrix.view_mut((i * d, l * d), (d, d)).copy_from(&block);
                let beside = self.gram.view((i * d, k * d + l), (d, 1));
                let both = self.gram[(k * d + i, k * d + l)];
                for o in 0..m {
                    let at = k * d + l * m + o;
                    let column = beside * units.u[(o, i)];
                    matrix.view_mut((i * d, at), (d, 1)).copy_from(&column);
                    matrix.view_mut((at, i * d), (1, d)).copy_from(&column.transpose());
                    matrix[(k * d + i * m + o, at)] = both;
                }
            }
            let own = self.cross.rows(i * d, d) * units.u.column(i);
            gradient.rows_mut(i * d, d).copy_from(&own);
            gradient.rows_mut(k * d + i * m, m).copy_from(&self.cross.row(k * d + i).transpose());
            if units.phi.symmetry() == Symmetry::Scale {
                let w = units.w.column(i);
                let mut own = matrix.view_mut((i * d, i * d), (d, d));
                let size = own.trace() / w.norm_squared();
                own += w * w.transpose() * size;
            }
        }
        (matrix, gradient)
    }
}

impl Misfit {
    /// Of the samples in `range`.
    ///
    /// # Errors
    /// Those of reading the samples.
    pub fn of(
        samples: &Samples,
        range: Range<usize>,
        units: &Units,
    ) -> Result<Misfit, SampleError> {
        let part = |block: Block<'_>| {
            let residuals = block.y - units.values(block.x);
            Misfit { squares: residuals.norm_squared(), largest: residuals.amax() }
        };
        let sum = samples.sum(range, part, |total, other| {
            total.squares += other.squares;
            total.largest = total.largest.max(other.largest);
        })?;
        Ok(sum.unwrap_or(Misfit { squares: 0.0, largest: 0.0 }))
    }
}
