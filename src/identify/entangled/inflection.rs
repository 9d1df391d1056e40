//! Base points at which the layers come apart.
//!
//! The mixed terms of the third derivatives contain phi''(z_i) h''(u_l): they vanish where all z_i = 0 (m0
//! conditions: there is such a point for m0 <= d, often outside the domain) and where all u_l = 0 (m1 conditions
//! only). There the third derivatives are a sum of cubes, and the decomposition is exact.

use nalgebra::{DMatrix, DVector};

use super::jet::{self, Jet, JetStep};
use super::tolerances::{
    BALL_EXCEEDED, FLAT_GAIN, FLAT_STEPS, LEAST_MULTIPLIER, MOST_MULTIPLIER, MOVE_SHARES,
    MULTIPLIER_BISECTIONS, STEEP_LEAST_GAIN, STEEP_LENGTHS, STEEP_STEPS,
};
use crate::algebra::linalg::thin_svd;
use crate::algebra::svec::{smat, svec};
use crate::identify::failure::Halt;
use crate::oracle::Oracle;
use crate::stencil::{GradientScheme, HessianScheme};

/// argmin |M y + b| over |x + y| <= radius: `m` is n x d, `b` has length n, x and y length d.
pub fn step_in_ball(
    m: &DMatrix<f64>,
    b: &DVector<f64>,
    x: &DVector<f64>,
    radius: f64,
) -> Option<DVector<f64>> {
    let svd = thin_svd(m)?;
    let inner = svd.u.transpose() * b;
    let along = svd.v.transpose() * x;
    // Minimiser of |M y + b|^2 + lambda |x + y|^2; what M does not see is left where it is.
    let minimiser = |lambda: f64| {
        let coordinates = DVector::from_fn(svd.s.len(), |k, _| {
            (-svd.s[k] * inner[k] - lambda * along[k]) / (svd.s[k] * svd.s[k] + lambda)
        });
        &svd.v * coordinates
    };
    let top = svd.s.first()?.powi(2);
    if top == 0.0 {
        return None;
    }
    let (mut low, mut high) = (LEAST_MULTIPLIER * top, MOST_MULTIPLIER * top);
    let free = minimiser(low);
    if (x + &free).norm() <= radius {
        return Some(free);
    }
    for _ in 0..MULTIPLIER_BISECTIONS {
        let middle = (low * high).sqrt();
        if (x + minimiser(middle)).norm() > radius {
            low = middle;
        } else {
            high = middle;
        }
    }
    let bound = minimiser(high);
    ((x + &bound).norm() <= radius * (1.0 + BALL_EXCEEDED)).then_some(bound)
}

/// Places to begin, within `radius` of the origin: the origin, and where from there the Hessian is smallest
/// and the gradient steepest.
pub fn first_jets(f: &mut dyn Oracle, radius: f64, step: JetStep) -> Result<Vec<Jet>, Halt> {
    let d = f.input_dim();
    let origin = jet::measure(f, &DVector::zeros(d), step)?;
    let flat = smallest_hessian(f, &origin, radius, step)?;
    let steep = steepest(f, &origin.point, radius, step)?;
    let mut jets = vec![origin];
    for jet in [flat, steep] {
        if jets.iter().all(|other| (&jet.point - &other.point).norm() > step.h) {
            jets.push(jet);
        }
    }
    Ok(jets)
}

/// The jet with the smallest Hessian (Frobenius norm) that Newton steps from `start` reach within
/// `radius`: where phi'' of both layers is small at once, so are the mixed terms, which contain both.
fn smallest_hessian(
    f: &mut dyn Oracle,
    start: &Jet,
    radius: f64,
    step: JetStep,
) -> Result<Jet, Halt> {
    let mut at = start.clone();
    for _ in 0..FLAT_STEPS {
        let d = at.point.len();
        let columns: Vec<DVector<f64>> =
            (0..d).map(|k| DVector::from_vec(svec(&at.cubic.basis_slice(k)))).collect();
        let m = DMatrix::from_columns(&columns);
        let b = DVector::from_vec(svec(&at.hessian));
        let Some(y) = step_in_ball(&m, &b, &at.point, radius) else { break };
        let size = at.hessian.norm();
        let mut better = None;
        for share in MOVE_SHARES {
            let next = jet::measure(f, &(&at.point + &y * share), step)?;
            if next.hessian.norm() < size {
                better = Some(next);
                break;
            }
        }
        let Some(next) = better else { break };
        let settled = next.hessian.norm() > FLAT_GAIN * size;
        at = next;
        if settled {
            break;
        }
    }
    Ok(at)
}

/// The jet where ascent from `start` finds the steepest gradient within `radius`: h' is largest at the
/// second layer's inflection, phi' at the first layer's.
fn steepest(
    f: &mut dyn Oracle,
    start: &DVector<f64>,
    radius: f64,
    step: JetStep,
) -> Result<Jet, Halt> {
    let d = start.len();
    let identity = DMatrix::identity(d, d);
    let mut x = start.clone();
    for _ in 0..STEEP_STEPS {
        let centre = DMatrix::from_column_slice(d, 1, x.as_slice());
        let gradient = f.gradients(&centre, &identity, GradientScheme::Central4, step.h)?;
        let hessian = f.hessians(&centre, &identity, HessianScheme::Polarised, step.h)?;
        let gradient = gradient.column(0).into_owned();
        let uphill = smat(hessian.as_slice()) * &gradient;
        if uphill.norm() == 0.0 {
            break;
        }
        let uphill = uphill.normalize();
        let mut trials = DMatrix::zeros(d, STEEP_LENGTHS);
        for (k, mut trial) in trials.column_iter_mut().enumerate() {
            let mut y = &x + &uphill * (radius * 0.5f64.powi(k as i32));
            if y.norm() > radius {
                y *= radius / y.norm();
            }
            trial.copy_from(&y);
        }
        let slopes = f.gradients(&trials, &identity, GradientScheme::Central4, step.h)?;
        let norms: Vec<f64> = slopes.column_iter().map(|g| g.norm()).collect();
        let best = (0..STEEP_LENGTHS).max_by(|&i, &j| norms[i].total_cmp(&norms[j])).unwrap_or(0);
        if norms[best] <= gradient.norm() * (1.0 + STEEP_LEAST_GAIN) {
            break;
        }
        x = trials.column(best).into_owned();
    }
    jet::measure(f, &x, step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;

    #[test]
    fn steps_stay_in_the_ball_and_are_free_inside() {
        let mut rng = draws::stream(1, "ball", 0);
        let m = draws::gaussian(&mut rng, 9, 4);
        let x = draws::unit_vector(&mut rng, 4);
        let target = draws::unit_vector(&mut rng, 4) * 5.0;
        let b = -(&m * (&target - &x));
        let free = step_in_ball(&m, &b, &x, 10.0).unwrap();
        assert!((&x + free - &target).norm() < 1e-9);
        let bound = step_in_ball(&m, &b, &x, 2.0).unwrap();
        assert!((&x + &bound).norm() < 2.0 + 1e-6);
        // No other point of the ball is better.
        let value = (&m * &bound + &b).norm();
        for _ in 0..200 {
            let other = draws::unit_vector(&mut rng, 4) * 2.0 - &x;
            assert!((&m * other + &b).norm() > value - 1e-9);
        }
    }
}
