//! Base points at which the layers come apart.
//!
//! phi'' vanishes where z_i = 0. Where all z_i = 0 (m0 <= d: there is such a point, perhaps outside the domain)
//! the mixed terms of the third derivatives vanish, the entangled vectors do not move to first order and
//! the Hessian is sum_l c_l h''(u_l) v_l v_l^T: everything is exact there.

use nalgebra::{DMatrix, DVector};

use super::super::Halt;
use super::jet::{self, Jet, JetStep};
use crate::hessian::svec;
use crate::linalg::thin_svd;
use crate::oracle::Oracle;

/// Newton steps towards a small Hessian.
const STEPS: usize = 8;
/// Bisections of the multiplier of the ball.
const BISECTIONS: usize = 60;

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
    let (mut low, mut high) = (1e-14 * top, 1e6 * top);
    let free = minimiser(low);
    if (x + &free).norm() <= radius {
        return Some(free);
    }
    for _ in 0..BISECTIONS {
        let middle = (low * high).sqrt();
        if (x + minimiser(middle)).norm() > radius {
            low = middle;
        } else {
            high = middle;
        }
    }
    let bound = minimiser(high);
    ((x + &bound).norm() <= radius * (1.0 + 1e-9)).then_some(bound)
}

/// The jet with the smallest Hessian (Frobenius norm) that Newton steps from `start` reach within
/// `radius`: where phi'' of both layers is small at once, so are the mixed terms, which contain both.
pub fn smallest_hessian(
    f: &mut dyn Oracle,
    start: &Jet,
    radius: f64,
    step: JetStep,
) -> Result<Jet, Halt> {
    let mut at = start.clone();
    for _ in 0..STEPS {
        let d = at.point.len();
        let columns: Vec<DVector<f64>> =
            (0..d).map(|k| DVector::from_vec(svec(&at.cubic.basis_slice(k)))).collect();
        let m = DMatrix::from_columns(&columns);
        let b = DVector::from_vec(svec(&at.hessian));
        let Some(y) = step_in_ball(&m, &b, &at.point, radius) else { break };
        let size = at.hessian.norm();
        let mut better = None;
        for share in [1.0, 0.5, 0.25] {
            let next = jet::measure(f, &(&at.point + &y * share), step)?;
            if next.hessian.norm() < size {
                better = Some(next);
                break;
            }
        }
        let Some(next) = better else { break };
        let settled = next.hessian.norm() > 0.9 * size;
        at = next;
        if settled {
            break;
        }
    }
    Ok(at)
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
