//! Stage 8: fresh held-out queries, and what the Jacobian makes of the accuracy of the values.
//!
//! If e are the errors of the values at the fitted points, the least-squares parameters are off by
//! J^+ e to first order, so parameter j is off by at most |row_j(J^+)| |e| = sqrt([(J^T J)^-1]_jj) |e|.

use nalgebra::{DMatrix, DVector};
use serde_json::json;

use super::probe::{Landscape, noise_here};
use super::refine::{Equilibrated, Sample};
use super::{Evidence, Halt};
use crate::draws;
use crate::linalg::inverse_gram_diagonal;
use crate::model::Model;
use crate::oracle::Oracle;

/// Held-out points.
pub const POINTS: usize = 4000;
/// Their scales, in natural scales: also where nothing was fitted.
pub const SCALES: [f64; 6] = [0.25, 1.0, 2.0, 8.0, 32.0, 256.0];
/// Points of the largest residuals at which the noise is measured anew.
const SUSPECTS: usize = 64;
/// Residuals up to this many times the accuracy of a value are the oracle's own: of 4,000 normal
/// errors the largest is 3.5 deviations, and the model's own rounding adds as much again.
const AT_ACCURACY: f64 = 20.0;
/// Errors at the fitted points are taken this much larger than measured.
const SAFETY: f64 = 3.0;

/// What the certificate found.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Largest |network - f| on the held-out points.
    pub residual: f64,
    /// The largest ratio of a held-out residual to the accuracy of the value.
    pub excess: f64,
    /// Bound on the parameter error, relative to the largest entry of each tensor (at least 1).
    pub error_bound: f64,
}

impl Certificate {
    /// Is every held-out residual at the oracle's accuracy?
    pub fn at_accuracy(&self) -> bool {
        self.excess <= AT_ACCURACY
    }
}

/// Tests `network` on fresh points and bounds the error of its parameters from the fitted `sample`.
pub fn certify<M: Model>(
    f: &mut dyn Oracle,
    land: &Landscape,
    network: &M,
    sample: &Sample,
    seed: u64,
    evidence: &mut Evidence,
) -> Result<Certificate, Halt> {
    let d = f.input_dim();
    let mut points = draws::gaussian(&mut draws::stream(seed, "certify", 0), d, POINTS);
    for (k, mut x) in points.column_iter_mut().enumerate() {
        x *= land.scale * SCALES[k % SCALES.len()];
    }
    certify_at(f, land, network, sample, points, seed, evidence)
}

/// The same on given fresh points (d x n); around those that stand out, f is asked within a tenth of the
/// natural scale.
pub fn certify_at<M: Model>(
    f: &mut dyn Oracle,
    land: &Landscape,
    network: &M,
    sample: &Sample,
    points: DMatrix<f64>,
    seed: u64,
    evidence: &mut Evidence,
) -> Result<Certificate, Halt> {
    let values = f.values(&points)?;
    let residuals = network.values(&points) - &values;
    let mut ratios: Vec<(usize, f64)> = points
        .column_iter()
        .zip(residuals.iter())
        .map(|(x, r)| r.abs() / land.noise_at(x.norm()))
        .enumerate()
        .collect();
    ratios.sort_by(|a, b| b.1.total_cmp(&a.1));
    // The general rule for the noise is crude far out, where a steep unit amplifies the rounding of x:
    // measure it at the very points that stand out.
    let suspects: Vec<usize> = ratios.iter().take(SUSPECTS).map(|&(k, _)| k).collect();
    let mut rng = draws::stream(seed, "suspects", 0);
    let noise = noise_here(f, &points.select_columns(&suspects), land.scale, &mut rng)?;
    let rest = ratios.get(SUSPECTS).map_or(0.0, |&(_, ratio)| ratio);
    let excess = suspects
        .iter()
        .zip(noise)
        .map(|(&k, here)| residuals[k].abs() / here.max(land.noise_at(points.column(k).norm())))
        .fold(rest, f64::max);
    let fitted = sample.residual(network);
    let rms = fitted.norm() / (fitted.len() as f64).sqrt();
    let noise =
        sample.points.column_iter().map(|x| land.noise_at(x.norm()).powi(2)).sum::<f64>().sqrt();
    let spare = (fitted.len() as f64
        / fitted.len().saturating_sub(network.parameter_count()).max(1) as f64)
        .sqrt();
    let error = SAFETY * noise.max(fitted.norm() * spare);
    let (error_bound, condition) = bound(network, &sample.points, error);
    let certificate = Certificate { residual: residuals.amax(), excess, error_bound };
    evidence.add(
        "certify",
        json!({
            "held_out": points.ncols(), "residual": certificate.residual, "excess": excess, "excess_allowed": AT_ACCURACY,
            "fitted_rms": rms, "condition": condition, "error_bound": error_bound,
        }),
    );
    Ok(certificate)
}

/// sup over parameters of sqrt([(J^T J)^-1]_jj) * error, relative to each tensor's largest entry.
fn bound<M: Model>(network: &M, points: &DMatrix<f64>, error: f64) -> (f64, f64) {
    let Some(equilibrated) = Equilibrated::new(network.jacobian_transposed(points)) else {
        return (f64::INFINITY, f64::INFINITY);
    };
    if equilibrated.scale.iter().any(|&s| s == 0.0) {
        return (f64::INFINITY, f64::INFINITY);
    }
    // Rounding of the Gram matrix hides singular values below sqrt(n eps): there the slower factorisation
    // of the Jacobian itself decides, which sees down to n eps.
    let inverse = equilibrated
        .damped(-equilibrated.rounding())
        .map(|cholesky| cholesky.inverse_diagonal())
        .or_else(|| inverse_gram_diagonal(&equilibrated.jt));
    let Some(inverse) = inverse else {
        return (f64::INFINITY, f64::INFINITY);
    };
    let condition = inverse.max().sqrt();
    let absolute = DVector::from_fn(inverse.len(), |j, _| {
        inverse[j].max(0.0).sqrt() * equilibrated.scale[j] * error
    });
    let mut relative = 0.0f64;
    let errors = network.with_vector(&absolute);
    let largest = |values: &[f64]| values.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    for ((_, values), (_, errors)) in network.tensors().iter().zip(errors.tensors()) {
        relative = relative.max(largest(errors) / largest(values).max(1.0));
    }
    (relative, condition)
}
