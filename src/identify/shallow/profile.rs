//! One unit at a time: the coefficient of a_i a_i^T in the Hessian at x depends on t = v . x alone, v = a_i / |a_i|,
//! and is C phi''(s t - theta) with s = |a_i| and C = c_i s^2. Two numbers are searched, C is linear.

use nalgebra::{Matrix3, Vector3};

use super::tolerances::{
    PROFILE_DAMPING_FALL, PROFILE_DAMPING_RISE, PROFILE_DIFFERENCE, PROFILE_FIRST_DAMPING,
    PROFILE_GRID, PROFILE_LEAST_GAIN, PROFILE_MOST_DAMPING, PROFILE_SATURATED, PROFILE_SLOPES,
    PROFILE_STEPS, PROFILES_FOLLOWED,
};
use crate::network::Activation;

/// s, theta and how well they fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// s = |a_i| > 0.
    pub slope: f64,
    /// theta_i.
    pub shift: f64,
    /// Root mean square misfit relative to that of the coefficients.
    pub misfit: f64,
}

/// Fits C phi''(s t - theta) to the pairs (t, coefficient): a grid over s and theta, on which C is linear, then
/// Levenberg-Marquardt from its best places. `None` if there is nothing to fit.
pub fn fit(t: &[f64], coefficients: &[f64], phi: Activation) -> Option<Profile> {
    let spread = t.iter().fold(0.0f64, |most, t| most.max(t.abs()));
    let size = coefficients.iter().map(|a| a * a).sum::<f64>().sqrt();
    if !(spread > 0.0 && spread.is_finite() && size > 0.0 && size.is_finite()) {
        return None;
    }
    // In units of the spread and the size nothing is large or small.
    let data: Vec<(f64, f64)> =
        t.iter().zip(coefficients).map(|(t, a)| (t / spread, a / size)).collect();
    let (low, high) = (PROFILE_SLOPES.0.ln(), PROFILE_SLOPES.1.ln());
    let at = |k: usize| k as f64 / (PROFILE_GRID - 1) as f64;
    let mut places: Vec<(Curve, f64)> = (0..PROFILE_GRID * PROFILE_GRID)
        .map(|k| {
            let slope = (low + (high - low) * at(k / PROFILE_GRID)).exp();
            // Beyond these shifts the unit is saturated at every t.
            let shift = (2.0 * at(k % PROFILE_GRID) - 1.0) * (slope + PROFILE_SATURATED);
            let curve = Curve::scaled(slope, shift, &data, phi);
            (curve, curve.misfit(&data, phi))
        })
        .collect();
    places.sort_by(|a, b| a.1.total_cmp(&b.1));
    let ends =
        places.iter().take(PROFILES_FOLLOWED).map(|&(curve, _)| curve.climb_down(&data, phi));
    let (best, misfit) = ends.min_by(|a, b| a.1.total_cmp(&b.1))?;
    // phi'' is odd: (s, theta, C) and its negative are one curve.
    let sign = best.slope.signum();
    Some(Profile { slope: sign * best.slope / spread, shift: sign * best.shift, misfit })
}

/// t -> C phi''(s t - theta).
#[derive(Clone, Copy, Debug)]
struct Curve {
    slope: f64,
    shift: f64,
    weight: f64,
}

impl Curve {
    /// With the weight of least squares.
    fn scaled(slope: f64, shift: f64, data: &[(f64, f64)], phi: Activation) -> Self {
        let (mut inner, mut square) = (0.0, f64::MIN_POSITIVE);
        for (t, a) in data {
            let basis = phi.curvature(slope * t - shift);
            inner += a * basis;
            square += basis * basis;
        }
        Curve { slope, shift, weight: inner / square }
    }

    /// Norm of the misfit.
    fn misfit(&self, data: &[(f64, f64)], phi: Activation) -> f64 {
        let misfit = |(t, a): &(f64, f64)| {
            (a - self.weight * phi.curvature(self.slope * t - self.shift)).powi(2)
        };
        data.iter().map(misfit).sum::<f64>().sqrt()
    }

    /// To the nearest minimum, with the misfit there.
    fn climb_down(self, data: &[(f64, f64)], phi: Activation) -> (Self, f64) {
        let mut curve = self;
        let mut misfit = curve.misfit(data, phi);
        let mut damping = PROFILE_FIRST_DAMPING;
        for _ in 0..PROFILE_STEPS {
            let (mut normal, mut gradient) = (Matrix3::zeros(), Vector3::zeros());
            for (t, a) in data {
                let z = curve.slope * t - curve.shift;
                let value = phi.curvature(z);
                let h = PROFILE_DIFFERENCE;
                let third = (phi.curvature(z + h) - phi.curvature(z - h)) / (2.0 * h);
                let row = Vector3::new(curve.weight * third * t, -curve.weight * third, value);
                normal += row * row.transpose();
                gradient += row * (curve.weight * value - a);
            }
            let mut improved = false;
            while damping < PROFILE_MOST_DAMPING {
                let damped = normal + Matrix3::from_diagonal(&(normal.diagonal() * damping));
                let step = damped.lu().solve(&gradient).unwrap_or_else(Vector3::zeros);
                let next = Curve {
                    slope: curve.slope - step[0],
                    shift: curve.shift - step[1],
                    weight: curve.weight - step[2],
                };
                let value = next.misfit(data, phi);
                if value < misfit {
                    improved = value < (1.0 - PROFILE_LEAST_GAIN) * misfit;
                    (curve, misfit) = (next, value);
                    damping *= PROFILE_DAMPING_FALL;
                    break;
                }
                damping *= PROFILE_DAMPING_RISE;
            }
            if !improved {
                break;
            }
        }
        (curve, misfit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slope_and_shift_come_back() {
        let t: Vec<f64> = (0..50).map(|k| 2.7 * (f64::from(k) * 0.77).sin()).collect();
        for phi in Activation::SATURATING {
            for (slope, shift) in [(1.0, 0.0), (0.4, -0.3), (2.5, 1.2), (3.0, -4.0)] {
                let values: Vec<f64> =
                    t.iter().map(|t| -1.7 * phi.curvature(slope * t - shift)).collect();
                let found = fit(&t, &values, phi).unwrap();
                assert!(found.misfit < 1e-9, "{phi} {slope} {shift}: {found:?}");
                assert!((found.slope - slope).abs() < 1e-6 * slope, "{phi}: {found:?}");
                assert!((found.shift - shift).abs() < 1e-6, "{phi}: {found:?}");
            }
        }
        assert!(fit(&t, &vec![0.0; 50], Activation::Tanh).is_none());
    }
}
