//! The local part: Levenberg-Marquardt to the last digit, and gradient descent as Zhong et al. have it.

use std::ops::Range;

use nalgebra::{DMatrix, DVector};

use super::file::{Block, SampleError, Samples};
use super::normal::{Misfit, Normal};
use super::units::Units;
use crate::algebra::linalg::{Cholesky, product};

// Derived.
/// A step that changes no parameter by more than this share of the largest is rounding.
const STILL: f64 = 1e-15;
// Search effort.
/// Steps at most.
const STEPS: usize = 120;
/// First damping, in units of the diagonal of J^T J.
const FIRST_DAMPING: f64 = 1e-3;
/// The damping falls no lower, and a search whose damping is above the larger one has stopped.
const DAMPINGS: (f64, f64) = (1e-14, 1e8);
/// What the damping is divided by after a step that gained, and multiplied by after one that did not.
const DAMPING_STEPS: (f64, f64) = (10.0, 8.0);
/// Steps after which a fit that has gained less than a tenth has stopped.
const PATIENCE: usize = 12;

/// An estimate that was fitted to samples, and what is left.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// The estimate.
    pub units: Units,
    /// Root mean square of what is left of the outputs.
    pub residual: f64,
    /// Steps taken.
    pub steps: usize,
}

/// Least squares in W and U on the samples of the range, from `start`. It ends where no step gains, after little was gained for a
/// while, or below `enough`.
///
/// # Errors
/// Those of reading the samples.
pub fn fit(
    samples: &Samples,
    range: Range<usize>,
    start: Units,
    enough: f64,
) -> Result<Fitted, SampleError> {
    let entries = (range.len() * samples.outputs()) as f64;
    let mut units = start.normalised();
    let Some(mut normal) = Normal::of(samples, range.clone(), &units)? else {
        return Ok(Fitted { units, residual: f64::INFINITY, steps: 0 });
    };
    let mut damping = FIRST_DAMPING;
    let mut steps = 0;
    let mut milestone = normal.squares;
    'search: while steps < STEPS && (normal.squares / entries).sqrt() > enough {
        let (matrix, gradient) = normal.system(&units);
        loop {
            let step = damped(&matrix, &gradient, damping);
            if let Some(step) = step {
                let next = moved(&units, &step);
                let misfit = Misfit::of(samples, range.clone(), &next)?;
                if misfit.squares < normal.squares {
                    units = next.normalised();
                    damping = (damping / DAMPING_STEPS.0).max(DAMPINGS.0);
                    let small = step.amax() <= STILL * units.w.amax().max(units.u.amax());
                    steps += 1;
                    if small {
                        normal.squares = misfit.squares;
                        break 'search;
                    }
                    break;
                }
            }
            damping *= DAMPING_STEPS.1;
            if damping > DAMPINGS.1 {
                break 'search;
            }
        }
        let Some(next) = Normal::of(samples, range.clone(), &units)? else { break };
        normal = next;
        if steps % PATIENCE == 0 {
            if normal.squares > 0.81 * milestone {
                break;
            }
            milestone = normal.squares;
        }
    }
    Ok(Fitted { units, residual: (normal.squares / entries).sqrt(), steps })
}

/// Root mean square of what the estimate leaves of the outputs.
///
/// # Errors
/// Those of reading the samples.
pub fn residual(samples: &Samples, range: Range<usize>, units: &Units) -> Result<f64, SampleError> {
    let entries = (range.len() * samples.outputs()) as f64;
    Ok((Misfit::of(samples, range, units)?.squares / entries).sqrt())
}

/// (J^T J + damping D)^-1 J^T r with the diagonal D of J^T J.
fn damped(matrix: &DMatrix<f64>, gradient: &DVector<f64>, damping: f64) -> Option<DVector<f64>> {
    let mut damped = matrix.clone();
    let floor = f64::EPSILON * matrix.diagonal().max();
    for i in 0..gradient.len() {
        damped[(i, i)] += damping * matrix[(i, i)] + floor;
    }
    let step = Cholesky::new(&damped)?.solve(gradient);
    step.iter().all(|entry| entry.is_finite()).then_some(step)
}

fn moved(units: &Units, step: &DVector<f64>) -> Units {
    let (d, k, m) = units.dims();
    let mut next = units.clone();
    next.w += DMatrix::from_column_slice(d, k, &step.as_slice()[..d * k]);
    next.u += DMatrix::from_column_slice(m, k, &step.as_slice()[d * k..]);
    next
}

/// Gradient descent in W with fresh samples for each step, as published: U stays as it is, and step t takes the t-th of
/// `steps` equal parts of the range. Returns the estimate after each step, the start first.
///
/// The rate is one over the largest curvature at the start, which the published 1/m_0 is a bound of.
///
/// # Errors
/// Those of reading the samples.
pub fn descend(
    samples: &Samples,
    range: Range<usize>,
    start: Units,
    steps: usize,
) -> Result<Vec<Units>, SampleError> {
    let share = range.len() / steps.max(1);
    let (d, k, _) = start.dims();
    let part = |t: usize| range.start + t * share..range.start + (t + 1) * share;
    let mut path = vec![start];
    let mut rate = None;
    for t in 0..steps {
        let Some(units) = path.last() else { break };
        if rate.is_none() {
            let Some(normal) = Normal::of(samples, part(t), units)? else { break };
            let (matrix, _) = normal.system(units);
            let curvature = matrix.view((0, 0), (d * k, d * k)).symmetric_eigenvalues().max();
            rate = Some(1.0 / curvature);
        }
        let gradient = |block: Block<'_>| {
            let rows = super::normal::design(units, block);
            let residuals = block.y - units.values(block.x);
            product(&rows, &residuals.transpose())
        };
        let Some(cross) = samples.sum(part(t), gradient, |total, other| *total += other)? else {
            break;
        };
        let mut next = units.clone();
        for i in 0..k {
            let own = cross.rows(i * d, d) * units.u.column(i) * rate.unwrap_or(0.0);
            let mut w = next.w.column_mut(i);
            w += own;
        }
        path.push(next);
    }
    Ok(path)
}
