//! The fit of a network that grows: a few units do what many must do together.
//!
//! The output weights and the offset are those of least squares wherever the other parameters are (variable projection: Golub and Pereyra
//! 1973, with the Jacobian of Kaufman 1975, which is that of all parameters with no damping on these). The valleys of such a fit are those
//! of fewer unknowns, and wider. A step that bends too much for its acceleration to be trusted is taken without: to make it shorter, as
//! [`refine`] does, is right near the solution, and ends a fit far from it. Of 24 units under two inputs 15 were known; the others came to
//! the noise of f in 11 runs of 12 with both, in 2 of 4 with such steps alone, and in none of 9 without them.
//!
//! [`refine`]: super::refine::refine

use nalgebra::DVector;

use super::growing::Growing;
use super::refine::{Equilibrated, bent, trusted};
use super::sample::Sample;
use super::tolerances::{
    GROWTH_STEPS, PATIENT_IDLE, PATIENT_SLOW, REFINE_DAMPING_FALL, REFINE_DAMPING_RISE,
    REFINE_FIRST_DAMPING, REFINE_IDLE, REFINE_LEAST_DAMPING, REFINE_MOST_DAMPING, SLOW_IN_VALLEY,
};
use crate::algebra::linalg::rms;
use crate::identify::evidence::FitEnded;
use crate::identify::failure::Halt;
use crate::oracle::Clock;
use crate::ranks::Team;

/// How slow a valley a fit follows.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A step that leaves more than this share of the residual gains little.
    pub slow: f64,
    /// Steps in a row that gain little, after which the fit ends.
    pub idle: usize,
}

impl Patience {
    /// Of the fit of a network that is nearly right.
    pub const SHORT: Patience = Patience { slow: SLOW_IN_VALLEY, idle: REFINE_IDLE };
    /// Of one where the last units are still missing.
    pub const LONG: Patience = Patience { slow: PATIENT_SLOW, idle: PATIENT_IDLE };
}

/// A network, and network(x) - f(x) at the points of a sample.
type Left<M> = (M, DVector<f64>);

/// Fits all parameters of `start` by Levenberg-Marquardt until the residual no longer falls or is under `floor` (root mean square).
/// Returns the network and what was seen of the fit.
///
/// # Errors
/// [`OracleError::TimeLimit`](crate::oracle::OracleError::TimeLimit) where the run must end.
pub fn fit<M: Growing>(
    sample: &Sample,
    start: M,
    floor: f64,
    patience: Patience,
    clock: &Clock,
) -> Result<(M, FitEnded), Halt> {
    let residual = sample.residual(&start);
    let from = rms(&residual);
    let (mut network, mut residual) =
        with_best_outputs(&start, sample, clock.team()).unwrap_or((start, residual));
    let mut damping = REFINE_FIRST_DAMPING;
    let (mut steps, mut idle) = (0, 0);
    let mut left = rms(&residual);
    while steps < GROWTH_STEPS && idle < patience.idle && left > floor && left.is_finite() {
        clock.check()?;
        steps += 1;
        let jt = network.jacobian_transposed(&sample.points);
        let Some(jacobian) = Equilibrated::new(jt, clock.team()) else { break };
        let gradient = &jacobian.jt * &residual;
        let tried = damping;
        let mut better = None;
        while better.is_none() && damping <= REFINE_MOST_DAMPING {
            better =
                step(sample, (&network, &residual), (&jacobian, &gradient), damping, clock.team())
                    .filter(|(_, residual)| rms(residual) < left);
            if better.is_none() {
                damping *= REFINE_DAMPING_RISE;
            }
        }
        let Some(gained) = better else { break };
        (network, residual) = gained;
        // Lower only where the first one did: each costs a factorisation.
        if damping <= tried {
            damping = (damping * REFINE_DAMPING_FALL).max(REFINE_LEAST_DAMPING);
        }
        let after = rms(&residual);
        idle = if after > patience.slow * left { idle + 1 } else { 0 };
        left = after;
    }
    Ok((network, FitEnded { steps, from, to: left, points: sample.values.len() }))
}

/// A damped step, bent where that can be trusted, to the best output weights there.
fn step<M: Growing>(
    sample: &Sample,
    (network, residual): (&M, &DVector<f64>),
    (jacobian, gradient): (&Equilibrated, &DVector<f64>),
    lambda: f64,
    team: &Team,
) -> Option<Left<M>> {
    let factor = jacobian.damped_but(lambda, network.width() + 1)?;
    let (v, acceleration) = bent(sample, (network, residual), jacobian, gradient, &factor);
    let step = if trusted(&v, &acceleration) { v + acceleration } else { v };
    let moved = network.to_vector() - step.component_mul(&jacobian.scale);
    with_best_outputs(&network.with_vector(&moved), sample, team)
}

/// `network` with the output weights and the offset that fit best, and what it leaves then. `None` where a value is not finite.
pub fn with_best_outputs<M: Growing>(network: &M, sample: &Sample, team: &Team) -> Option<Left<M>> {
    let m = network.width();
    let layer = Equilibrated::new(network.put_out(&sample.points), team)?;
    // Of units that are the same to working precision any shares do.
    let right = &layer.jt * &sample.values;
    let weights = layer.damped(REFINE_LEAST_DAMPING)?.solve(&right);
    let residual = layer.jt.tr_mul(&weights) - &sample.values;
    let weights = weights.component_mul(&layer.scale);
    let network = network.with_outputs(weights.rows(0, m).into_owned(), weights[m]);
    Some((network, residual))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;
    use crate::network::model::Model;
    use crate::network::{Activation, Class, OneLayer};

    #[test]
    fn steep_units_that_are_off_come_back_though_their_output_weights_are_not_told() {
        let mut truth = OneLayer::random((2, 5), Class::General, Activation::Tanh, 3).unwrap();
        truth.a *= 6.0;
        truth.theta *= 6.0;
        let rng = &mut draws::stream(1, "projected", 0);
        let points = draws::gaussian(rng, 2, 600);
        let sample = Sample { values: truth.values(&points), points };
        let off = draws::gaussian(rng, 5, 3);
        let mut start = truth.with_outputs(DVector::zeros(5), 0.0);
        start.theta += off.column(0);
        start.a += off.columns(1, 2).transpose();
        let clock = Clock::new(None);
        let (found, ended) = fit(&sample, start, 1e-9, Patience::LONG, &clock).unwrap();
        assert!(ended.to <= 1e-9, "{ended:?}");
        assert!(truth.matching(&found).parameter_error.unwrap() < 1e-6);
    }

    #[test]
    fn output_weights_are_those_of_least_squares() {
        let truth = OneLayer::random((3, 4), Class::General, Activation::Erf, 2).unwrap();
        let points = draws::gaussian(&mut draws::stream(1, "projected", 1), 3, 100);
        let sample = Sample { values: truth.values(&points), points };
        let mut other = truth.with_outputs(DVector::zeros(4), 5.0);
        other.theta[0] += 1.0;
        let (found, left) = with_best_outputs(&other, &sample, &Team::alone()).unwrap();
        assert!((sample.residual(&found) - &left).amax() < 1e-10);
        let layer = found.put_out(&sample.points);
        assert!((layer * &left).amax() < 1e-8 * left.norm() * 10.0);
        assert!(left.norm() > 1e-3);
        // Units of one kind share: a twin changes nothing.
        let twin = other.with_unit(&OneLayer {
            a: other.a.columns(0, 1).into_owned(),
            theta: other.theta.rows(0, 1).into_owned(),
            c: DVector::zeros(1),
            c0: 0.0,
            phi: other.phi,
        });
        let (_, shared) = with_best_outputs(&twin, &sample, &Team::alone()).unwrap();
        assert!((shared - left).amax() < 1e-6);
    }
}
