//! Stage 7: Levenberg-Marquardt in f64 on all parameters, with queries at several scales at once.

use nalgebra::{DMatrix, DVector};
use serde_json::json;

use super::{Evidence, Halt};
use crate::linalg::{Cholesky, gram, solve_rows};
use crate::model::Model;
use crate::oracle::Deadline;

/// Scales of the queries, in natural scales.
pub const SCALES: [f64; 4] = [0.5, 1.0, 4.0, 16.0];
/// Relative residual from which on steps are not damped.
const NEAR: f64 = 1e-4;
/// Residuals within this many floors are near it.
const NEAR_FLOOR: f64 = 1e3;
/// Steps at most.
const MOST_STEPS: usize = 60;

/// Points and values to fit.
pub struct Sample {
    /// d x N.
    pub points: DMatrix<f64>,
    /// Length N.
    pub values: DVector<f64>,
}

/// Points for a fit of `network`: half as many again as parameters, and some for the smallest.
pub fn sample_size<M: Model>(network: &M) -> usize {
    points_for(network.parameter_count())
}

/// The same from the number of parameters.
pub fn points_for(parameters: usize) -> usize {
    3 * parameters / 2 + 400
}

impl Sample {
    /// network(x) - f(x) at every point.
    pub fn residual<M: Model>(&self, network: &M) -> DVector<f64> {
        network.values(&self.points) - &self.values
    }
}

/// Fits all parameters of `start`; stops when the residual no longer falls, or is under `floor` (root mean
/// square) after an undamped step. Returns the network and its root mean square residual.
///
/// # Errors
/// [`OracleError::TimeLimit`](crate::oracle::OracleError::TimeLimit) after `deadline`.
pub fn refine<M: Model>(
    sample: &Sample,
    start: M,
    floor: f64,
    deadline: Option<Deadline>,
    stage: &'static str,
    evidence: &mut Evidence,
) -> Result<(M, f64), Halt> {
    let rms = |r: &DVector<f64>| r.norm() / (r.len() as f64).sqrt();
    let mut network = start;
    let mut residual = sample.residual(&network);
    let first = rms(&residual);
    let size = sample.values.amax();
    let mut damping = 1e-4;
    let mut steps = 0;
    let mut idle = 0;
    while steps < MOST_STEPS && idle < 2 && residual.norm().is_finite() {
        if let Some(deadline) = deadline.filter(Deadline::passed) {
            return Err(deadline.error().into());
        }
        steps += 1;
        let jt = network.jacobian_transposed(&sample.points);
        let Some(equilibrated) = Equilibrated::new(jt) else { break };
        let gradient = &equilibrated.jt * &residual;
        let before = rms(&residual);
        let mut improved = false;
        // Near the solution the undamped step converges quadratically; damping would leave the
        // directions of small singular values behind.
        let mut lambda: f64 = if before < NEAR * size { 0.0 } else { damping };
        for _ in 0..20 {
            let step = if lambda == 0.0 {
                equilibrated.undamped(&gradient, &residual)
            } else {
                equilibrated.damped(lambda).map(|cholesky| cholesky.solve(&gradient))
            };
            let Some(step) = step else {
                lambda = (lambda * 10.0).max(1e-14);
                continue;
            };
            let step = step.component_mul(&equilibrated.scale);
            let trial = network.with_vector(&(network.to_vector() - step));
            let next = sample.residual(&trial);
            if rms(&next) < before {
                network = trial;
                residual = next;
                improved = true;
                damping = (lambda * 0.1).max(1e-12);
                break;
            }
            lambda = (lambda * 10.0).max(1e-13);
        }
        if !improved {
            break;
        }
        let after = rms(&residual);
        if lambda == 0.0 && after < floor {
            break;
        }
        // Near the floor little is left to gain; far from it a slow valley is worth following.
        let slow = if after < NEAR_FLOOR * floor { 0.5 } else { 0.99 };
        idle = if after > slow * before { idle + 1 } else { 0 };
    }
    let last = rms(&residual);
    evidence.add(
        stage,
        json!({"steps": steps, "from": first, "to": last, "points": sample.values.len()}),
    );
    Ok((network, last))
}

/// A Jacobian with rows of unit length, and its Gram matrix.
pub struct Equilibrated {
    /// parameters x points, rows of unit length.
    pub jt: DMatrix<f64>,
    /// What the rows were multiplied with.
    pub scale: DVector<f64>,
    /// jt jt^T, diagonal 1.
    pub gram: DMatrix<f64>,
}

impl Equilibrated {
    /// `None` if an entry is not finite.
    pub fn new(mut jt: DMatrix<f64>) -> Option<Self> {
        let mut squares = DVector::<f64>::zeros(jt.nrows());
        for column in jt.column_iter() {
            squares.zip_apply(&column, |s, v| *s += v * v);
        }
        if squares.iter().any(|s| !s.is_finite()) {
            return None;
        }
        let scale = squares.map(|s| if s > 0.0 { 1.0 / s.sqrt() } else { 0.0 });
        for mut column in jt.column_iter_mut() {
            column.component_mul_assign(&scale);
        }
        let gram = gram(&jt);
        Some(Equilibrated { jt, scale, gram })
    }

    /// What the rounding of the Gram matrix may add to or take from its eigenvalues.
    pub fn rounding(&self) -> f64 {
        4.0 * self.gram.nrows() as f64 * f64::EPSILON
    }

    /// The least-squares step jt^T x = residual with `gradient` = jt residual. Where rounding hides small
    /// singular values from the Gram matrix, by orthogonal factors of the Jacobian itself. `None` if it is
    /// singular to working precision.
    fn undamped(&self, gradient: &DVector<f64>, residual: &DVector<f64>) -> Option<DVector<f64>> {
        match self.damped(-self.rounding()) {
            Some(_) => self.damped(0.0).map(|cholesky| cholesky.solve(gradient)),
            None => solve_rows(&self.jt, residual),
        }
    }

    /// Cholesky factor of gram + lambda I.
    pub fn damped(&self, lambda: f64) -> Option<Cholesky> {
        let mut damped = self.gram.clone();
        for k in 0..damped.nrows() {
            damped[(k, k)] += lambda;
        }
        Cholesky::new(&damped)
    }
}
