//! How a fit ends: on samples that it never saw.
//!
//! Without noise the verdict is strict: every held-out output must agree to rounding. Nothing but the network itself does
//! that on hundreds of points that were not looked at before. Noise has to be told, for what is not told cannot be told from
//! a wrong model; then what is left must be as small as it, and must have nothing to do with the inputs.

use std::ops::Range;

use nalgebra::{DMatrix, DVector};

use super::file::{Block, SampleError, Samples};
use super::moments::SIGMAS;
use super::normal::{Misfit, Normal};
use super::units::Units;
use crate::algebra::linalg::{Cholesky, thin_svd};
use crate::identify::Status;
use crate::network::Activation;

// Search effort.
/// Units whose subsets are all looked at, where they have to be; of more it is not ruled out that some may be turned.
const MOST_SUBSETS: usize = 16;
// Derived.
/// Rounding of an output in units of the sum of the absolute values of its terms: an inner product of d numbers and a sum of k,
/// each of them a rounding at most, both in the fit and in the labels, and x as far out as [`SIGMAS`].
const ROUNDINGS: f64 = 2.0 * SIGMAS;
/// Half an ulp of f32 at 1, the rounding of labels that are stored in it.
const SINGLE: f64 = 0.5 * f32::EPSILON as f64;
/// A system whose pivots fall below this share leaves parameters open: its inverse would be rounding.
const SINGULAR: f64 = 1e-11;

/// What held-out samples say of an estimate.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// How the fit ended.
    pub status: Status,
    /// Why, in a sentence.
    pub reason: String,
    /// What may help, unless it is identified.
    pub remedy: Option<&'static str>,
    /// Largest |y - f| on held-out samples.
    pub residual: f64,
    /// Root mean square of the same.
    pub deviation: f64,
    /// What rounding leaves of an output at most.
    pub accuracy: f64,
    /// Bound on the parameter error, relative to the largest entry of each tensor (at least 1); infinite where parameters
    /// are open. From the covariance of the fit, at six standard deviations.
    pub bound: f64,
    /// The largest correlation of what is left with functions of the inputs, in standard deviations; `None` without noise.
    pub correlation: Option<f64>,
}

/// What is told of the samples, and which were fitted.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Standard deviation of the noise of each output.
    pub noise: f64,
    /// Largest bound of an identified network.
    pub tolerance: f64,
    /// The samples that were fitted.
    pub fitted: Range<usize>,
    /// Those that were not.
    pub held_out: Range<usize>,
}

/// Judges `units`, fitted to some of the samples.
///
/// # Errors
/// Those of reading the samples.
pub fn judge(samples: &Samples, units: &Units, terms: &Terms) -> Result<Verdict, SampleError> {
    let (d, k, _) = units.dims();
    let unit = f64::EPSILON * (d + k) as f64 + if samples.is_single() { SINGLE } else { 0.0 };
    let accuracy = ROUNDINGS * unit * units.magnitude();
    let misfit = Misfit::of(samples, terms.held_out.clone(), units)?;
    let entries = (terms.held_out.len() * samples.outputs()) as f64;
    let deviation = (misfit.squares / entries).sqrt();
    let sigma = terms.noise.hypot(accuracy / SIGMAS);
    let bound = bound(samples, units, terms, sigma)?;
    let noisy = terms.noise > accuracy;
    let correlation = if noisy {
        // The errors of the fit are correlated with functions of x, too: on held-out samples as much as a mean over the fitted
        // ones is, on the fitted ones in the other direction, so that there nothing has to be allowed for.
        let share = 1.0 + terms.held_out.len() as f64 / terms.fitted.len() as f64;
        let fresh = correlation(samples, units, terms.held_out.clone(), sigma * share.sqrt())?;
        Some(fresh.max(correlation(samples, units, terms.fitted.clone(), sigma)?))
    } else {
        None
    };
    let within = if noisy {
        deviation <= sigma * (1.0 + SIGMAS / (2.0 * entries).sqrt())
    } else {
        misfit.largest <= accuracy
    };
    let size = size(samples, terms.held_out.clone())?;
    let (status, reason, remedy) = match correlation {
        _ if !within => unexplained(deviation, size, if noisy { sigma } else { accuracy }),
        Some(z) if z > SIGMAS => (
            Status::Approximate,
            format!(
                "what is left of held-out outputs is correlated with the inputs, by {z:.1} standard deviations"
            ),
            Some(OTHER_MODEL),
        ),
        _ if !bound.is_finite() => (
            Status::Approximate,
            "the samples do not determine the parameters: units coincide, or one has no weight"
                .to_owned(),
            Some("tell fewer units, or none"),
        ),
        _ if bound > terms.tolerance => (
            Status::Approximate,
            format!(
                "the samples allow a parameter error of {bound:.2e}, above the tolerance of {:.1e}",
                terms.tolerance
            ),
            Some("take more samples, or accept a larger error (tolerance)"),
        ),
        _ if may_be_turned(units, bound) => (
            Status::Approximate,
            "the function is found, but not its units: some of them, turned round together, compute the same"
                .to_owned(),
            Some("nothing that is asked or drawn can tell: other networks have exactly these values"),
        ),
        Some(_) => (
            Status::Identified,
            "what is left of held-out samples is the noise told, and no function of the inputs"
                .to_owned(),
            None,
        ),
        None => (Status::Identified, "held-out samples agree to rounding".to_owned(), None),
    };
    Ok(Verdict {
        status,
        reason,
        remedy,
        residual: misfit.largest,
        deviation,
        accuracy,
        bound,
        correlation,
    })
}

const OTHER_MODEL: &str = "another activation, another number of units or more samples; networks with shifts or offsets are none \
                           of the class; if the outputs are noisy, tell the noise";

fn unexplained(deviation: f64, size: f64, allowed: f64) -> (Status, String, Option<&'static str>) {
    let reason = format!(
        "held-out outputs differ by {deviation:.2e} (root mean square), where {allowed:.1e} would be allowed"
    );
    // Half of the variance: what explains less is no description.
    let describes = deviation * deviation < 0.5 * size * size;
    (if describes { Status::Approximate } else { Status::NotIdentified }, reason, Some(OTHER_MODEL))
}

/// Standard deviation of the outputs.
fn size(samples: &Samples, range: Range<usize>) -> Result<f64, SampleError> {
    let entries = (range.len() * samples.outputs()) as f64;
    let sums = samples.sum(
        range,
        |block| (block.y.norm_squared(), block.y.sum()),
        |total, other| {
            total.0 += other.0;
            total.1 += other.1;
        },
    )?;
    let (squares, sum) = sums.unwrap_or((0.0, 0.0));
    Ok((squares / entries - (sum / entries).powi(2)).max(0.0).sqrt())
}

/// Six standard deviations of the parameters where outputs err by `sigma`, relative to the largest entry of each tensor.
fn bound(samples: &Samples, units: &Units, terms: &Terms, sigma: f64) -> Result<f64, SampleError> {
    let Some(normal) = Normal::of(samples, terms.fitted.clone(), units)? else {
        return Ok(f64::INFINITY);
    };
    let (matrix, _) = normal.system(units);
    let scales = matrix.diagonal().map(|entry| entry.sqrt().recip());
    if scales.iter().any(|scale| !scale.is_finite()) {
        return Ok(f64::INFINITY);
    }
    let scaled = DMatrix::from_fn(matrix.nrows(), matrix.ncols(), |i, j| {
        matrix[(i, j)] * scales[i] * scales[j]
    });
    let least = scaled.symmetric_eigenvalues().min();
    let Some(factor) = Cholesky::new(&scaled).filter(|_| least > SINGULAR) else {
        return Ok(f64::INFINITY);
    };
    let inverse = factor.solve_columns(&DMatrix::identity(matrix.nrows(), matrix.ncols()));
    let errors =
        DVector::from_fn(scales.len(), |i, _| SIGMAS * sigma * scales[i] * inverse[(i, i)].sqrt());
    let (d, k, m) = units.dims();
    let of = |from: usize, count: usize, tensor: &DMatrix<f64>| {
        errors.rows(from, count).max() / tensor.amax().max(1.0)
    };
    Ok(of(0, d * k, &units.w).max(of(d * k, k * m, &units.u)))
}

/// Is there another network of as many units with the same values, because a set of units may be turned round together?
///
/// phi(z) - phi(-z) is linear for relu and its smooth kin. So where sum_i u_i w_i^T over a set of units vanishes, w_i may be -w_i
/// for all of them; where z^2 is what is left (squared relu, with -u_i), the same holds of sum_i u_i w_i w_i^T. It takes dependent
/// rows of W. The sums are looked at as closely as the bound tells them. Odd functions and the sigmoid are equal to their turned
/// selves one by one, which nobody counts as another network.
fn may_be_turned(units: &Units, bound: f64) -> bool {
    let (d, k, m) = units.dims();
    let square = match units.phi {
        Activation::Tanh | Activation::Sigmoid | Activation::Erf => return false,
        phi => phi == Activation::SquaredRelu,
    };
    let (w, u) = (&units.w, &units.u);
    let terms: Vec<DVector<f64>> = (0..k)
        .map(|i| {
            let one = w.column(i) * u.column(i).transpose();
            let one = if square { w.column(i).kronecker(&one) } else { one };
            DVector::from_column_slice(one.as_slice())
        })
        .collect();
    // What errors of all parameters within the bound may move a sum by.
    let (of_w, of_u) = (bound * w.amax().max(1.0), bound * u.amax().max(1.0));
    let moved = |i: usize| {
        let (w, u) = (w.column(i).norm(), u.column(i).norm());
        let by_w = u * of_w * (d as f64).sqrt();
        let by_u = w * of_u * (m as f64).sqrt();
        if square { w * (2.0 * by_w + by_u) } else { by_w + by_u }
    };
    let reach = (0..k).map(moved).sum::<f64>();
    let independent = thin_svd(&DMatrix::from_columns(&terms))
        .is_some_and(|svd| svd.s.len() == k && svd.s[k - 1] > reach);
    !independent
        && (k > MOST_SUBSETS || vanishes(&terms, &DVector::zeros(terms[0].len()), false, reach))
}

/// Does the sum with some of the terms, at least one unless `any` is in it already, vanish?
fn vanishes(terms: &[DVector<f64>], sum: &DVector<f64>, any: bool, reach: f64) -> bool {
    let Some((first, rest)) = terms.split_first() else { return any && sum.norm() <= reach };
    vanishes(rest, sum, any, reach) || vanishes(rest, &(sum + first), true, reach)
}

/// The largest correlation of residuals with functions that the estimate does not have: 1, every input, |x|^2, phi of the
/// reversed units, and squares and cubes of their arguments; in standard deviations, where residuals have that of `sigma`.
fn correlation(
    samples: &Samples,
    units: &Units,
    range: Range<usize>,
    sigma: f64,
) -> Result<f64, SampleError> {
    let part = |block: Block<'_>| {
        let features = features(units, block);
        let residuals = block.y - units.values(block.x);
        let squares = features.row_iter().map(|row| row.norm_squared());
        (&features * residuals.transpose(), DVector::from_iterator(features.nrows(), squares))
    };
    let sums = samples.sum(range, part, |total, other| {
        total.0 += other.0;
        total.1 += other.1;
    })?;
    let Some((cross, squares)) = sums else { return Ok(f64::INFINITY) };
    let present = cross.row_iter().zip(squares.iter()).filter(|(_, square)| **square > 0.0);
    Ok(present.map(|(row, square)| row.amax() / (sigma * square.sqrt())).fold(0.0, f64::max))
}

fn features(units: &Units, block: Block<'_>) -> DMatrix<f64> {
    let (d, k, _) = units.dims();
    let z = units.arguments(block.x);
    let mut features = DMatrix::zeros(2 + d + 3 * k, z.ncols());
    for ((z, x), mut feature) in
        z.column_iter().zip(block.x.column_iter()).zip(features.column_iter_mut())
    {
        feature[0] = 1.0;
        feature[1] = x.norm_squared() - d as f64;
        feature.rows_mut(2, d).copy_from(&x);
        for (i, &z) in z.iter().enumerate() {
            let at = 2 + d + 3 * i;
            feature[at] = units.phi.value(-z);
            feature[at + 1] = z * z;
            feature[at + 2] = z * z * z;
        }
    }
    features
}
