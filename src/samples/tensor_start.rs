//! The start of Zhong et al.: span, directions, signs and magnitudes of the units from moments.
//!
//! The matrices of [`moments`](super::moments) are W D W^T with D diagonal in the span of the units. Those of all orders and all
//! outputs, each in units of its noise, are brought to the k that hold the most; their common factors come from
//! [joint diagonalisation](crate::algebra::joint_diagonalisation), then from alternating least squares. With several outputs the
//! second moments alone tell the directions, with one of relu the fourth are needed. Signs and magnitudes come from
//! linear least squares of y on phi of every direction.

use std::ops::Range;

use nalgebra::{DMatrix, DMatrixView, DVector};

use super::file::{SampleError, Samples};
use super::hermite::present;
use super::moments::{Frame, Narrow, Wide, narrow, wide};
use super::units::Units;
use crate::algebra::joint_diagonalisation::diagonalise_jointly;
use crate::algebra::linalg::{least_squares, thin_svd};
use crate::algebra::svec::smat;
use crate::draws;
use crate::network::{Activation, Symmetry};

// Statistical.
/// A singular value of P_2 above this many times the largest one of the noise belongs to a unit.
const ABOVE_NOISE: f64 = 1.5;
// Search effort.
/// Directions that third moments are contracted with where the second vanish. More cost more, and hide no unit as easily.
const CONTRACTED: usize = 8;
/// Rounds of alternating least squares.
const ROUNDS: usize = 200;
/// Samples of the linear systems for signs and magnitudes, for each unknown. More are less noisy.
const SAMPLES_AN_UNKNOWN: usize = 40;
/// Norms of weights that are tried where phi does not leave them open.
const NORMS: [f64; 6] = [0.25, 0.5, 1.0, 1.5, 2.5, 5.0];

/// The span of the units, and what the moments say of their number.
#[derive(Clone, Debug)]
pub struct Span {
    frame: Frame,
    wide: Wide,
    orders: [bool; 5],
    /// Orthonormal directions, d x d, those with the most signal first.
    directions: DMatrix<f64>,
    /// Singular values of P_2, descending, in units of the largest one of the noise.
    pub singular_values: Vec<f64>,
}

impl Span {
    /// One pass over the samples of the range. `None` if they lie in a subspace or are fewer than twice the inputs.
    ///
    /// # Errors
    /// Those of reading the samples.
    pub fn of(
        samples: &Samples,
        range: Range<usize>,
        phi: Activation,
        seed: u64,
    ) -> Result<Option<Span>, SampleError> {
        let Some(frame) = Frame::of(samples, range.clone())? else { return Ok(None) };
        let d = samples.inputs();
        let orders = present(phi, 1.0);
        let contracted = (!orders[2]).then(|| {
            draws::gaussian(&mut draws::stream(seed, "contracted", 0), d, CONTRACTED.min(d))
                .qr()
                .q()
        });
        let wide = wide(samples, range, &frame, contracted.as_ref())?;
        let (signal, noise) = (thin_svd(&wide.stack), thin_svd(&wide.noise));
        let Some((signal, noise)) = signal.zip(noise) else { return Ok(None) };
        let unit = largest(&noise.s);
        let singular_values = signal.s.iter().map(|value| value / unit).collect();
        Ok(Some(Span { frame, wide, orders, directions: signal.u, singular_values }))
    }

    /// The number of units: the singular values of P_2 that stand above its noise.
    pub fn count(&self) -> usize {
        self.singular_values.iter().filter(|&&value| value > ABOVE_NOISE).count()
    }

    /// How fourth moments of the inputs depart from those of a Gaussian, in standard deviations.
    pub fn kurtosis(&self) -> f64 {
        self.wide.kurtosis
    }

    /// Are the inputs standard Gaussian, as far as mean and covariance go?
    pub fn is_standard(&self) -> bool {
        self.frame.is_standard()
    }
}

/// The moments in the span, from which every start comes.
#[derive(Clone, Debug)]
pub struct Start {
    frame: Frame,
    /// d x k.
    span: DMatrix<f64>,
    /// k leading combinations of the matrices, as svec's.
    slices: DMatrix<f64>,
    /// Singular values of those matrices, descending, in units of the largest one of their noise.
    pub singular_values: Vec<f64>,
}

impl Start {
    /// The second pass over the samples of the range, for k units.
    ///
    /// # Errors
    /// Those of reading the samples.
    pub fn of(
        samples: &Samples,
        range: Range<usize>,
        span: &Span,
        k: usize,
    ) -> Result<Option<Start>, SampleError> {
        let directions = span.directions.columns(0, k).into_owned();
        let second = span.orders[2].then(|| &span.wide.stack * span.wide.unit);
        let moments =
            narrow(samples, range, &span.frame, &directions, second.as_ref(), span.orders)?;
        let Narrow { slices, noise } = moments;
        let (signal, noise) = (thin_svd(&slices), thin_svd(&noise));
        let Some((signal, noise)) = signal.zip(noise) else { return Ok(None) };
        let count = k.max(2).min(signal.s.len());
        let scaled = signal.u.columns(0, count)
            * DMatrix::from_diagonal(&DVector::from_column_slice(&signal.s[..count]));
        let unit = largest(&noise.s);
        let singular_values = signal.s.iter().map(|value| value / unit).collect();
        Ok(Some(Start {
            frame: span.frame.clone(),
            span: directions,
            slices: scaled,
            singular_values,
        }))
    }

    /// Directions of the units, d x k, unit columns; each `attempt` takes other random pencils.
    pub fn directions(&self, seed: u64, attempt: u64) -> Option<DMatrix<f64>> {
        let k = self.span.ncols();
        let rng = &mut draws::stream(seed, "pencils", attempt);
        let found = if k == 1 {
            DMatrix::from_element(1, 1, 1.0)
        } else {
            let found = diagonalise_jointly(&self.slices, k, rng)?;
            alternating(&self.slices, found.directions)
        };
        let mut w = self.frame.back(&(&self.span * found));
        w.column_iter_mut().for_each(|mut column| {
            column.normalize_mut();
        });
        w.iter().all(|entry| entry.is_finite()).then_some(w)
    }

    /// Any directions in the span, unit columns.
    pub fn random_directions(&self, seed: u64, attempt: u64) -> DMatrix<f64> {
        let k = self.span.ncols();
        let rng = &mut draws::stream(seed, "directions", attempt);
        let mut w = self.frame.back(&(&self.span * draws::gaussian(rng, k, k)));
        w.column_iter_mut().for_each(|mut column| {
            column.normalize_mut();
        });
        w
    }
}

fn largest(singular_values: &[f64]) -> f64 {
    singular_values.first().copied().unwrap_or(0.0).max(f64::MIN_POSITIVE)
}

/// Alternating least squares for S_s = F diag(d_s) F^T, from unit columns F (k x k); as in CP, the two F are kept apart.
fn alternating(slices: &DMatrix<f64>, start: DMatrix<f64>) -> DMatrix<f64> {
    let matrices: Vec<DMatrix<f64>> =
        slices.column_iter().map(|slice| smat(slice.into_owned().as_slice())).collect();
    let (mut left, mut right) = (start.clone(), start.clone());
    for _ in 0..ROUNDS {
        let Some(next) = round(&matrices, &left, &right) else { return start };
        (left, right) = (right, next);
    }
    // Where they have drifted apart there was no common factor.
    for (mut l, r) in left.column_iter_mut().zip(right.column_iter()) {
        let sign = if l.dot(&r) < 0.0 { -1.0 } else { 1.0 };
        l += r * sign;
        l.normalize_mut();
    }
    if left.iter().all(|entry| entry.is_finite()) { left } else { start }
}

/// The best `left` of unit columns for the weights that are best for both factors.
fn round(
    matrices: &[DMatrix<f64>],
    left: &DMatrix<f64>,
    right: &DMatrix<f64>,
) -> Option<DMatrix<f64>> {
    let k = left.nrows();
    let overlap = left.tr_mul(left).component_mul(&right.tr_mul(right)).cholesky()?;
    let (mut gram, mut cross) = (DMatrix::zeros(k, k), DMatrix::zeros(k, k));
    for matrix in matrices {
        let image = matrix * right;
        let weights =
            overlap.solve(&DVector::from_fn(k, |i, _| left.column(i).dot(&image.column(i))));
        let scaled = right * DMatrix::from_diagonal(&weights);
        gram += scaled.tr_mul(&scaled);
        cross += matrix * scaled;
    }
    let mut next = gram.cholesky()?.solve(&cross.transpose()).transpose();
    next.column_iter_mut().for_each(|mut column| {
        column.normalize_mut();
    });
    Some(next)
}

/// Signs, magnitudes and output weights for unit directions `w` (d x k), from samples x (d x b), y (m x b): by linear least
/// squares. `None` where its system has no solution.
pub fn completed(
    w: &DMatrix<f64>,
    phi: Activation,
    x: &DMatrix<f64>,
    y: &DMatrix<f64>,
) -> Option<Units> {
    let k = w.ncols();
    let count = x.ncols().min(SAMPLES_AN_UNKNOWN * 2 * k + x.nrows());
    let (x, y) = (x.columns(0, count), y.columns(0, count));
    match phi.symmetry() {
        Symmetry::Scale | Symmetry::None => {
            let both =
                DMatrix::from_fn(
                    w.nrows(),
                    2 * k,
                    |i, j| if j < k { w[(i, j)] } else { -w[(i, j - k)] },
                );
            let (u, _) = outputs(&both, phi, x, y)?;
            let chosen: Vec<usize> = (0..k)
                .map(|i| if u.column(i).norm() < u.column(i + k).norm() { i + k } else { i })
                .collect();
            let w = both.select_columns(&chosen);
            let (u, _) = outputs(&w, phi, x, y)?;
            Some(Units { w, u, phi })
        }
        Symmetry::Sign => with_norms(w, phi, x, y),
    }
}

/// The norms of the weights that fit best: all the same, then one after another.
fn with_norms(
    w: &DMatrix<f64>,
    phi: Activation,
    x: DMatrixView<'_, f64>,
    y: DMatrixView<'_, f64>,
) -> Option<Units> {
    let k = w.ncols();
    let scaled = |norms: &[f64]| w * DMatrix::from_diagonal(&DVector::from_column_slice(norms));
    let mut best: Option<(f64, Vec<f64>)> = None;
    let consider = |best: &mut Option<(f64, Vec<f64>)>, norms: Vec<f64>| {
        if let Some((_, residual)) = outputs(&scaled(&norms), phi, x, y)
            && best.as_ref().is_none_or(|best| residual < best.0)
        {
            *best = Some((residual, norms));
        }
    };
    NORMS.iter().for_each(|&norm| consider(&mut best, vec![norm; k]));
    for i in 0..k {
        let Some((_, norms)) = best.clone() else { break };
        for norm in NORMS {
            let mut norms = norms.clone();
            norms[i] = norm;
            consider(&mut best, norms);
        }
    }
    let w = scaled(&best?.1);
    let (u, _) = outputs(&w, phi, x, y)?;
    Some(Units { w, u, phi })
}

/// Output weights (m x k) by least squares, and the norm of the residual.
fn outputs(
    w: &DMatrix<f64>,
    phi: Activation,
    x: DMatrixView<'_, f64>,
    y: DMatrixView<'_, f64>,
) -> Option<(DMatrix<f64>, f64)> {
    let mut features = w.tr_mul(&x);
    phi.apply(features.as_mut_slice());
    let design = features.transpose();
    let columns: Option<Vec<DVector<f64>>> = y
        .row_iter()
        .map(|row| {
            least_squares(&design, &row.transpose(), f64::EPSILON * design.nrows() as f64)
                .map(|found| found.0)
        })
        .collect();
    let u = DMatrix::from_columns(&columns?).transpose();
    let residual = (y - &u * features).norm();
    residual.is_finite().then_some((u, residual))
}
