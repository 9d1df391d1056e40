//! Stage 7: Levenberg-Marquardt in f64 on all parameters, with queries at several scales at once.

use nalgebra::{DMatrix, DVector};

use super::sample::Sample;
use crate::algebra::linalg::{Cholesky, InverseFactor, gram, rms};
use crate::identify::evidence::FitEnded;
use crate::identify::failure::Halt;
use crate::network::model::Model;
use crate::oracle::Deadline;

/// Relative residual from which on steps are not damped; nor are they within the floor.
const NEAR: f64 = 1e-4;
/// Residuals within this many floors are near it.
const NEAR_FLOOR: f64 = 10.0;
/// Steps at most.
const MOST_STEPS: usize = 200;

/// The factor between dampings tried in a step, and the largest one (the normal equations have diagonal 1).
const RAISE: f64 = 3.0;
const MOST_DAMPING: f64 = 100.0;
/// A row of the Jacobian is faint that is shorter than this share of the longest; squares of the inverse share stay finite.
const FAINT: f64 = 1e-6;
const MOST_FAINT: f64 = 1e100;
/// The part of a step that its curvature is measured on.
const AHEAD: f64 = 0.1;
/// An acceleration longer than this, relative to the step, is no small correction of it.
const MOST_BENT: f64 = 0.375;
/// Convergence this fast is worth an undamped step, though the last one failed.
const FAST: f64 = 0.1;
/// Chord steps at most.
const MOST_CHORDS: usize = 4;

/// Fits all parameters of `start` by Levenberg-Marquardt with geodesic acceleration (Transtrum and Sethna,
/// arXiv 1201.5885): the valleys of this problem are narrow and bent, because a unit near its inflection hardly shows
/// its scale. Stops when the residual no longer falls, or is under `floor` (root mean square) after an undamped
/// step. Returns the network and what was seen of the fit.
///
/// # Errors
/// [`OracleError::TimeLimit`](crate::oracle::OracleError::TimeLimit) after `deadline`.
pub fn refine<M: Model>(
    sample: &Sample,
    start: M,
    floor: f64,
    deadline: Option<Deadline>,
) -> Result<(M, FitEnded), Halt> {
    let mut network = start;
    let mut residual = sample.residual(&network);
    let first = rms(&residual);
    let size = sample.values.amax();
    let mut damping = 1e-4;
    let mut steps = 0;
    let mut idle = 0;
    let mut quadratic = true;
    while steps < MOST_STEPS && idle < 2 && residual.norm().is_finite() {
        if let Some(deadline) = deadline.filter(Deadline::passed) {
            return Err(deadline.error().into());
        }
        steps += 1;
        let jt = network.jacobian_transposed(&sample.points);
        let Some(equilibrated) = Equilibrated::new(jt) else { break };
        let gradient = &equilibrated.jt * &residual;
        let before = rms(&residual);
        let (mut improved, mut settled) = (false, false);
        // Near the solution the undamped step converges quadratically; damping would leave the
        // directions of small singular values behind.
        let near = before < floor || (quadratic && before < NEAR * size);
        // The slow factorisation pays once that is seen.
        let converges = before < floor || steps > 1;
        let mut lambda: f64 = if near { 0.0 } else { damping };
        let tried = lambda.max(damping);
        while lambda <= MOST_DAMPING {
            let undamped = match lambda {
                0.0 if converges => equilibrated.inverse_factor(),
                0.0 => equilibrated.quick_factor(),
                _ => None,
            };
            let step = match &undamped {
                Some(factor) => Some(factor.solve(&gradient)),
                None if lambda == 0.0 => None,
                None => accelerated(sample, &network, &residual, &equilibrated, &gradient, lambda),
            };
            if let Some(step) = step {
                let step = step.component_mul(&equilibrated.scale);
                let trial = network.with_vector(&(network.to_vector() - step));
                let next = sample.residual(&trial);
                if rms(&next) < before {
                    network = trial;
                    residual = next;
                    improved = true;
                    // Lower only where the first one will do: each costs a factorisation.
                    damping = if lambda > tried { lambda } else { (lambda * 0.1).max(1e-12) };
                    if let Some(factor) = undamped.filter(|_| rms(&residual) < floor) {
                        (network, residual) =
                            settle(sample, network, residual, &equilibrated, &factor);
                        settled = true;
                    }
                    break;
                }
            }
            lambda = if lambda == 0.0 { damping } else { lambda * RAISE };
        }
        if settled || !improved {
            break;
        }
        let after = rms(&residual);
        quadratic = lambda == 0.0 || after < FAST * before;
        // Near the floor little is left to gain; far from it a slow valley is worth following.
        let slow = if after < NEAR_FLOOR * floor { 0.5 } else { 0.99 };
        idle = if after > slow * before { idle + 1 } else { 0 };
    }
    let to = rms(&residual);
    Ok((network, FitEnded { steps, from: first, to, points: sample.values.len() }))
}

/// A damped step (to be subtracted, in the coordinates of `jacobian`), bent by half the acceleration along it. `None` if
/// it is bent too much to be trusted, or the damping is too small to factorise.
fn accelerated<M: Model>(
    sample: &Sample,
    network: &M,
    residual: &DVector<f64>,
    jacobian: &Equilibrated,
    gradient: &DVector<f64>,
    lambda: f64,
) -> Option<DVector<f64>> {
    let cholesky = jacobian.damped(lambda)?;
    let v = cholesky.solve(gradient);
    let moved = network.to_vector() - v.component_mul(&jacobian.scale) * AHEAD;
    let ahead = sample.residual(&network.with_vector(&moved));
    // r(p - h v) = r - h J v + h^2 / 2 r_vv.
    let bend = ((ahead - residual) / AHEAD + jacobian.jt.tr_mul(&v)) * (2.0 / AHEAD);
    let acceleration = cholesky.solve(&(&jacobian.jt * bend)) * 0.5;
    (acceleration.norm() <= MOST_BENT * v.norm()).then(|| v + acceleration)
}

/// Chord steps, which keep the factor of the last Jacobian, as long as they gain anything: the end of the
/// way to the least squares for the price of residuals.
fn settle<M: Model>(
    sample: &Sample,
    mut network: M,
    mut residual: DVector<f64>,
    jacobian: &Equilibrated,
    factor: &InverseFactor,
) -> (M, DVector<f64>) {
    for _ in 0..MOST_CHORDS {
        let step = factor.solve(&(&jacobian.jt * &residual)).component_mul(&jacobian.scale);
        let trial = network.with_vector(&(network.to_vector() - step));
        let next = sample.residual(&trial);
        if next.norm() >= residual.norm() {
            break;
        }
        (network, residual) = (trial, next);
    }
    (network, residual)
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

    /// R^-1 with R^T R = jt jt^T. Rounding of the Gram matrix hides singular values below sqrt(n eps): there
    /// the slower factorisation of the Jacobian itself decides, which sees down to n eps. `None` if it is
    /// singular to working precision.
    pub fn inverse_factor(&self) -> Option<InverseFactor> {
        self.quick_factor().or_else(|| InverseFactor::of_rows(&self.jt))
    }

    /// The same by the Gram matrix alone.
    fn quick_factor(&self) -> Option<InverseFactor> {
        let rounding = 4.0 * self.gram.nrows() as f64 * f64::EPSILON;
        let mut gram = self.gram.clone();
        (0..gram.nrows()).for_each(|k| gram[(k, k)] -= rounding);
        InverseFactor::of_gram(&gram)
    }

    /// Cholesky factor of gram + lambda D with D = I, but for rows that were shorter than [`FAINT`] of the longest: they
    /// are damped as if they were that long. A step would move their parameters, those of a saturated unit, by more
    /// than all digits.
    pub fn damped(&self, lambda: f64) -> Option<Cholesky> {
        let least = self.scale.iter().copied().filter(|&s| s > 0.0).fold(f64::INFINITY, f64::min);
        let mut damped = self.gram.clone();
        for k in 0..damped.nrows() {
            let faint = (FAINT * self.scale[k] / least).clamp(1.0, MOST_FAINT);
            damped[(k, k)] += lambda * faint * faint;
        }
        Cholesky::new(&damped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;
    use crate::network::{Activation, Class, Network};

    #[test]
    fn a_saturated_unit_does_not_stop_the_fit() {
        let truth = Network::random((6, 6, 2), Class::General, Activation::Tanh, 5).unwrap();
        let points = draws::gaussian(&mut draws::stream(2, "refine", 0), 6, 300);
        let sample = Sample { values: truth.values(&points), points };
        // All other units are right but for their scales; this one's slope is 1e-30 and less everywhere.
        let mut start = truth.clone();
        start.a *= 1.1;
        start.theta[2] = 40.0;
        let from = rms(&sample.residual(&start));
        let (_, ended) = refine(&sample, start, 1e-15, None).unwrap();
        assert!(ended.to < 0.2 * from, "{from} {ended:?}");
    }
}
