//! Stage 7: Levenberg-Marquardt in f64 on all parameters, with queries at several scales at once.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::sample::Sample;
use super::tolerances::{
    ACCELERATION_STEP, FAINT_ROW, FAST_CONVERGENCE, GRAM_ROUNDING, MOST_ACCELERATION, MOST_CHORDS,
    MOST_FAINT, NEAR_FLOOR, NEAR_SOLUTION, REFINE_DAMPING_FALL, REFINE_DAMPING_RISE,
    REFINE_FIRST_DAMPING, REFINE_IDLE, REFINE_LEAST_DAMPING, REFINE_MOST_DAMPING, REFINE_STEPS,
    SLOW_IN_VALLEY, SLOW_NEAR_FLOOR,
};
use crate::algebra::linalg::{Cholesky, InverseFactor, lower_gram_of, rms, row_squares};
use crate::identify::evidence::FitEnded;
use crate::identify::failure::Halt;
use crate::network::model::Model;
use crate::oracle::Clock;
use crate::ranks::Team;

/// So many more steps a fit takes, whatever it has taken: only the time left is told by it.
const STEPS_TO_COME: f64 = 4.0;

/// Fits all parameters of `start` by Levenberg-Marquardt with geodesic acceleration (Transtrum and Sethna,
/// arXiv 1201.5885): the valleys of this problem are narrow and bent, because a unit near its inflection hardly shows
/// its scale. Stops when the residual no longer falls, or is under `floor` (root mean square) after an undamped
/// step. Returns the network and what was seen of the fit.
///
/// # Errors
/// [`OracleError::TimeLimit`](crate::oracle::OracleError::TimeLimit) where the run must end.
pub fn refine<M: Model>(
    sample: &Sample,
    start: M,
    floor: f64,
    clock: &Clock,
) -> Result<(M, FitEnded), Halt> {
    let mut network = start;
    let mut residual = sample.residual(&network);
    let first = rms(&residual);
    let size = sample.values.amax();
    let mut damping = REFINE_FIRST_DAMPING;
    let mut steps = 0;
    let mut idle = 0;
    let mut quadratic = true;
    while steps < REFINE_STEPS && idle < REFINE_IDLE && residual.norm().is_finite() {
        clock.check()?;
        clock.done(steps as f64 / (steps as f64 + STEPS_TO_COME));
        steps += 1;
        let jt = network.jacobian_transposed(&sample.points);
        let Some(equilibrated) = Equilibrated::new(jt, clock.team()) else { break };
        let gradient = &equilibrated.jt * &residual;
        let before = rms(&residual);
        let (mut improved, mut settled) = (false, false);
        // Near the solution the undamped step converges quadratically; damping would leave the
        // directions of small singular values behind.
        let near = before < floor || (quadratic && before < NEAR_SOLUTION * size);
        // The slow factorisation pays once that is seen.
        let converges = before < floor || steps > 1;
        let mut lambda: f64 = if near { 0.0 } else { damping };
        let tried = lambda.max(damping);
        while lambda <= REFINE_MOST_DAMPING {
            let undamped = match lambda {
                0.0 => equilibrated.undamped(converges),
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
                    damping = if lambda > tried {
                        lambda
                    } else {
                        (lambda * REFINE_DAMPING_FALL).max(REFINE_LEAST_DAMPING)
                    };
                    if let Some(factor) = undamped.filter(|_| rms(&residual) < floor) {
                        (network, residual) =
                            settle(sample, network, residual, &equilibrated, &factor);
                        settled = true;
                    }
                    break;
                }
            }
            lambda = if lambda == 0.0 { damping } else { lambda * REFINE_DAMPING_RISE };
        }
        if settled || !improved {
            break;
        }
        let after = rms(&residual);
        quadratic = lambda == 0.0 || after < FAST_CONVERGENCE * before;
        // Near the floor little is left to gain; far from it a slow valley is worth following.
        let slow = if after < NEAR_FLOOR * floor { SLOW_NEAR_FLOOR } else { SLOW_IN_VALLEY };
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
    let (v, acceleration) = bent(sample, (network, residual), jacobian, gradient, &cholesky);
    trusted(&v, &acceleration).then(|| v + acceleration)
}

/// Is a step v of this half `acceleration` short enough for both to be added?
pub fn trusted(v: &DVector<f64>, acceleration: &DVector<f64>) -> bool {
    acceleration.norm() <= MOST_ACCELERATION * v.norm()
}

/// The step (to be subtracted, in the coordinates of `jacobian`) by the `factor` of the damped normal equations, and half
/// the acceleration along it.
pub fn bent<M: Model>(
    sample: &Sample,
    (network, residual): (&M, &DVector<f64>),
    jacobian: &Equilibrated,
    gradient: &DVector<f64>,
    factor: &Cholesky,
) -> (DVector<f64>, DVector<f64>) {
    let v = factor.solve(gradient);
    let moved = network.to_vector() - v.component_mul(&jacobian.scale) * ACCELERATION_STEP;
    let ahead = sample.residual(&network.with_vector(&moved));
    // r(p - h v) = r - h J v + h^2 / 2 r_vv.
    let bend = ((ahead - residual) / ACCELERATION_STEP + jacobian.jt.tr_mul(&v))
        * (2.0 / ACCELERATION_STEP);
    let acceleration = factor.solve(&(&jacobian.jt * bend)) * 0.5;
    (v, acceleration)
}

/// Chord steps, which keep the factor of the last Jacobian, as long as they gain anything: the end of the
/// way to the least squares for the price of residuals.
fn settle<M: Model>(
    sample: &Sample,
    mut network: M,
    mut residual: DVector<f64>,
    jacobian: &Equilibrated,
    factor: &Undamped,
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

/// A factor of the normal equations without damping.
enum Undamped {
    /// Of the Gram matrix.
    Quick(Cholesky),
    /// Of the Jacobian, where rounding of the Gram matrix hides singular values.
    Slow(InverseFactor),
}

impl Undamped {
    fn solve(&self, v: &DVector<f64>) -> DVector<f64> {
        match self {
            Undamped::Quick(factor) => factor.solve(v),
            Undamped::Slow(factor) => factor.solve(v),
        }
    }
}

/// A Jacobian with rows of unit length, and its Gram matrix, which the ranks of a run compute and factorise together.
pub struct Equilibrated {
    /// parameters x points, rows of unit length.
    pub jt: DMatrix<f64>,
    /// What the rows were multiplied with.
    pub scale: DVector<f64>,
    /// The lower triangle of jt jt^T, diagonal 1.
    gram: DMatrix<f64>,
    team: Team,
}

impl Equilibrated {
    /// `None` if an entry is not finite.
    pub fn new(mut jt: DMatrix<f64>, team: &Team) -> Option<Self> {
        let squares = row_squares(&jt, team);
        if squares.iter().any(|s| !s.is_finite()) {
            return None;
        }
        let scale = squares.map(|s| if s > 0.0 { 1.0 / s.sqrt() } else { 0.0 });
        jt.as_mut_slice().par_chunks_mut(scale.len().max(1)).for_each(|column| {
            column.iter_mut().zip(scale.iter()).for_each(|(entry, scale)| *entry *= scale);
        });
        let gram = lower_gram_of(&jt, team);
        Some(Equilibrated { jt, scale, gram, team: team.clone() })
    }

    /// R^-1 with R^T R = jt jt^T. Rounding of the Gram matrix hides singular values below sqrt(n eps): there
    /// the slower factorisation of the Jacobian itself decides, which sees down to n eps. `None` if it is
    /// singular to working precision.
    pub fn inverse_factor(&self) -> Option<InverseFactor> {
        self.quick_factor().or_else(|| InverseFactor::of_rows(&self.jt))
    }

    /// The same by the Gram matrix alone.
    fn quick_factor(&self) -> Option<InverseFactor> {
        InverseFactor::of_gram(self.less_rounding(), &self.team)
    }

    /// The Gram matrix less what rounding may have added.
    fn less_rounding(&self) -> DMatrix<f64> {
        let rounding = GRAM_ROUNDING * self.gram.nrows() as f64 * f64::EPSILON;
        let mut gram = self.gram.clone();
        (0..gram.nrows()).for_each(|k| gram[(k, k)] -= rounding);
        gram
    }

    /// What an undamped step takes; `thorough`: also where only the Jacobian itself decides.
    fn undamped(&self, thorough: bool) -> Option<Undamped> {
        let quick = Cholesky::by(self.less_rounding(), &self.team).map(Undamped::Quick);
        let slow = || InverseFactor::of_rows(&self.jt).map(Undamped::Slow);
        if thorough { quick.or_else(slow) } else { quick }
    }

    /// Cholesky factor of gram + lambda D with D = I, but for rows that were shorter than [`FAINT_ROW`] of the longest: they
    /// are damped as if they were that long. A step would move their parameters, those of a saturated unit, by more
    /// than all digits.
    pub fn damped(&self, lambda: f64) -> Option<Cholesky> {
        self.damped_but(lambda, 0)
    }

    /// The same, with the last `free` rows damped as little as can be.
    pub fn damped_but(&self, lambda: f64, free: usize) -> Option<Cholesky> {
        let least = self.scale.iter().copied().filter(|&s| s > 0.0).fold(f64::INFINITY, f64::min);
        let mut damped = self.gram.clone();
        let n = damped.nrows();
        for k in 0..n {
            let faint = (FAINT_ROW * self.scale[k] / least).clamp(1.0, MOST_FAINT);
            let lambda = if k + free < n { lambda } else { lambda.min(REFINE_LEAST_DAMPING) };
            damped[(k, k)] += lambda * faint * faint;
        }
        Cholesky::by(damped, &self.team)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;
    use crate::network::{Activation, Class, TwoLayer};
    use crate::ranks::threads::together;

    #[test]
    fn ranks_that_share_the_normal_equations_come_to_the_same_network() {
        // More parameters than are factorised as one block.
        let truth = TwoLayer::random((20, 22, 3), Class::General, Activation::Tanh, 1).unwrap();
        let rng = &mut draws::stream(3, "refine", 0);
        let points = draws::gaussian(rng, 20, 800) * 2.0;
        let sample = Sample { values: truth.values(&points), points };
        let parameters = truth.to_vector();
        assert!(parameters.len() > 512);
        let off = draws::gaussian(rng, parameters.len(), 1).column(0) * 1e-3;
        let start = truth.with_vector(&(parameters + off));
        let refined = |clock: &Clock| {
            let (network, ended) = refine(&sample, start.clone(), 1e-15, clock).unwrap();
            assert!(ended.steps > 1 && ended.to < 1e-3 * ended.from, "{ended:?}");
            network.to_vector()
        };
        let alone = refined(&Clock::new(None));
        for ranks in [2, 3] {
            let found = together(ranks, |team| refined(&Clock::new(None).of(team)));
            assert!(found.iter().all(|found| *found == alone));
        }
    }

    #[test]
    fn a_saturated_unit_does_not_stop_the_fit() {
        let truth = TwoLayer::random((6, 6, 2), Class::General, Activation::Tanh, 5).unwrap();
        let points = draws::gaussian(&mut draws::stream(2, "refine", 0), 6, 300);
        let sample = Sample { values: truth.values(&points), points };
        // All other units are right but for their scales; this one's slope is 1e-30 and less everywhere.
        let mut start = truth.clone();
        start.a *= 1.1;
        start.theta[2] = 40.0;
        let from = rms(&sample.residual(&start));
        let (_, ended) = refine(&sample, start, 1e-15, &Clock::new(None)).unwrap();
        assert!(ended.to < 0.2 * from, "{from} {ended:?}");
    }
}
