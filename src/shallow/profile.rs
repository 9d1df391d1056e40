//! One unit at a time: the coefficient of a_i a_i^T in the Hessian at x depends on t = v . x alone, v = a_i / |a_i|,
//! and is C phi''(s t - theta) with s = |a_i| and C = c_i s^2. Two numbers are searched, C is linear.

use crate::network::Activation;

/// Slopes tried first, in units of 1 / (spread of t), from..to.
const SLOPES: (f64, f64) = (0.03, 30.0);
/// Points a side of the first grid, and of each finer one.
const COARSE: usize = 41;
const FINE: usize = 7;
/// Places of the first grid that are followed up.
const FOLLOWED: usize = 6;
/// Finer grids, each over a third of the one before.
const ZOOMS: usize = 16;

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

/// Fits C phi''(s t - theta) to the pairs (t, coefficient), by a grid and ever finer ones around its best
/// places: no start is needed, and there is no local minimum to be caught in but one finer than the
/// grid. `None` if there is nothing to fit.
pub fn fit(t: &[f64], coefficients: &[f64], phi: Activation) -> Option<Profile> {
    let spread = t.iter().fold(0.0f64, |most, t| most.max(t.abs()));
    let size = coefficients.iter().map(|a| a * a).sum::<f64>().sqrt();
    if !(spread > 0.0 && spread.is_finite() && size > 0.0 && size.is_finite()) {
        return None;
    }
    // (log s, q), with theta = q (s spread + 4): beyond |q| = 1 the unit is saturated at every t.
    let profile = |log_slope: f64, q: f64| {
        let slope = log_slope.exp() / spread;
        let shift = q * (slope * spread + 4.0);
        let (mut inner, mut square) = (0.0, 0.0);
        for (t, a) in t.iter().zip(coefficients) {
            let basis = phi.curvature(slope * t - shift);
            inner += a * basis;
            square += basis * basis;
        }
        if square < f64::MIN_POSITIVE {
            return Profile { slope, shift, misfit: 1.0 };
        }
        let c = inner / square;
        // Summed as it is: the difference of two sums of squares would lose the small misfits.
        let misfit = t
            .iter()
            .zip(coefficients)
            .map(|(t, a)| (a - c * phi.curvature(slope * t - shift)).powi(2));
        Profile { slope, shift, misfit: misfit.sum::<f64>().sqrt() / size }
    };
    let grid = |centre: (f64, f64), reach: (f64, f64), side: usize| {
        let at = move |k: usize| 2.0 * k as f64 / (side - 1) as f64 - 1.0;
        (0..side * side)
            .map(move |k| (centre.0 + reach.0 * at(k / side), centre.1 + reach.1 * at(k % side)))
    };
    let misfit = |place: &(f64, f64)| profile(place.0, place.1).misfit;
    let (low, high) = (SLOPES.0.ln(), SLOPES.1.ln());
    let reach = (0.5 * (high - low), 1.0);
    let mut places: Vec<((f64, f64), f64)> =
        grid((0.5 * (low + high), 0.0), reach, COARSE).map(|p| (p, misfit(&p))).collect();
    places.sort_by(|a, b| a.1.total_cmp(&b.1));
    places.truncate(FOLLOWED);
    let cell = 3.0 / COARSE as f64;
    for (place, value) in &mut places {
        let mut reach = (cell * reach.0, cell * reach.1);
        for _ in 0..ZOOMS {
            for near in grid(*place, reach, FINE) {
                let misfit = misfit(&near);
                if misfit < *value {
                    (*place, *value) = (near, misfit);
                }
            }
            reach = (0.4 * reach.0, 0.4 * reach.1);
        }
    }
    let best = places.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(profile(best.0.0, best.0.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slope_and_shift_come_back() {
        let t: Vec<f64> = (0..50).map(|k| 2.7 * (f64::from(k) * 0.77).sin()).collect();
        for phi in Activation::ALL {
            for (slope, shift) in [(1.0, 0.0), (0.4, -0.3), (2.5, 1.2), (3.0, -4.0)] {
                let values: Vec<f64> =
                    t.iter().map(|t| -1.7 * phi.curvature(slope * t - shift)).collect();
                let found = fit(&t, &values, phi).unwrap();
                assert!(found.misfit < 1e-3, "{phi} {slope} {shift}: {found:?}");
                assert!((found.slope - slope).abs() < 1e-2 * slope, "{phi}: {found:?}");
                assert!((found.shift - shift).abs() < 2e-2, "{phi}: {found:?}");
            }
        }
        assert!(fit(&t, &vec![0.0; 50], Activation::Tanh).is_none());
    }
}
