//! What an activation shows of itself in Gaussian moments, by quadrature.

use crate::network::Activation;

// Derived.
/// Beyond it the normal density is below eps^2: nothing is left of any integral.
const FAR: f64 = 13.0;
/// Half of the width of a panel, in units of 1 and of the length 1/s over which phi(s z) turns: on it the integrand is a
/// polynomial of degree 15 to rounding.
const PANEL: f64 = 0.125;
/// Nodes (those above 0) and weights of the Gauss-Legendre rule of eight points.
const LEGENDRE: [(f64, f64); 4] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_3),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_48),
    (0.960_289_856_497_536_3, 0.101_228_536_290_376_26),
];
/// A moment below this share of the largest is none: quadrature leaves some eps.
const NOTHING: f64 = 1e-12;

/// E g(z), z ~ N(0, 1), of a function that is smooth on either side of 0 and turns over lengths of 1/s.
pub fn expectation(s: f64, g: impl Fn(f64) -> f64) -> f64 {
    let half = PANEL / s.max(1.0);
    let panels = (FAR / (2.0 * half)).ceil() as usize;
    let density = (0.5 * std::f64::consts::FRAC_1_PI).sqrt();
    let weighed = |z: f64| g(z) * density * (-0.5 * z * z).exp();
    let panel = |k: usize| {
        let middle = (2 * k + 1) as f64 * half;
        let pair = |at: f64| weighed(at) + weighed(-at);
        LEGENDRE
            .iter()
            .map(|&(x, w)| w * (pair(middle + half * x) + pair(middle - half * x)))
            .sum::<f64>()
    };
    half * (0..panels).map(panel).sum::<f64>()
}

/// E phi(s z) He_j(z) for the Hermite polynomials He_0 to He_4: what a unit of weights of norm s has in the moments of order
/// j.
pub fn hermite_moments(phi: Activation, s: f64) -> [f64; 5] {
    let moment = |polynomial: fn(f64) -> f64| expectation(s, |z| phi.value(s * z) * polynomial(z));
    [
        moment(|_| 1.0),
        moment(|z| z),
        moment(|z| z * z - 1.0),
        moment(|z| z * (z * z - 3.0)),
        moment(|z| z * z * (z * z - 6.0) + 3.0),
    ]
}

/// Which of the moments of order 0 to 4 do not vanish at weights of norm s.
pub fn present(phi: Activation, s: f64) -> [bool; 5] {
    let moments = hermite_moments(phi, s);
    let largest = moments.iter().fold(0.0f64, |most, moment| most.max(moment.abs()));
    moments.map(|moment| moment.abs() > NOTHING * largest)
}

/// rho(sigma) of Zhong et al. (arXiv 1706.03175, property 3.2), of the derivative `slope` of an activation: with
/// alpha_q = E phi'(sigma z) z^q and beta_q = E phi'(sigma z)^2 z^q the least of beta_0 - alpha_0^2 - alpha_1^2,
/// beta_2 - alpha_1^2 - alpha_2^2 and alpha_0 alpha_2 - alpha_1^2. Where it is positive the squared error is strongly convex
/// around the truth.
pub fn rho(sigma: f64, slope: impl Fn(f64) -> f64) -> f64 {
    let alpha = |q: i32| expectation(sigma, |z| slope(sigma * z) * z.powi(q));
    let beta = |q: i32| expectation(sigma, |z| slope(sigma * z).powi(2) * z.powi(q));
    let (a0, a1, a2) = (alpha(0), alpha(1), alpha(2));
    (beta(0) - a0 * a0 - a1 * a1).min(beta(2) - a1 * a1 - a2 * a2).min(a0 * a2 - a1 * a1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    #[test]
    fn moments_of_relu_are_those_in_closed_form() {
        let root = (2.0 * PI).sqrt();
        for s in [0.1, 1.0, 7.0] {
            let expected = [s / root, s / 2.0, s / root, 0.0, -s / root];
            for (moment, expected) in hermite_moments(Activation::Relu, s).into_iter().zip(expected)
            {
                assert!((moment - expected).abs() < 1e-14 * s.max(1.0), "{moment} {expected}");
            }
        }
        assert_eq!(present(Activation::Relu, 1.0), [true, true, true, false, true]);
        assert_eq!(present(Activation::Tanh, 1.0), [false, true, false, true, false]);
    }

    #[test]
    fn rho_is_what_can_be_had_in_closed_form() {
        // A slope of 1 above and of a below: (1 - a)^2 (1/4 - 1/(2 pi)) is the first and the third of the three.
        for leak in [0.0, 0.01, 0.1] {
            let rho = rho(3.0, |t| if t > 0.0 { 1.0 } else { leak });
            let first = (1.0 - leak) * (1.0 - leak) * (0.25 - 0.5 / PI);
            let (a0, a1) = (0.5 * (1.0 + leak), (1.0 - leak) / (2.0 * PI).sqrt());
            let expected = first.min(a0 * a0 - a1 * a1);
            assert!((rho - expected).abs() < 1e-13, "{leak}: {rho} {expected}");
        }
        // What is linear or quadratic has none.
        assert!(rho(1.0, |_| 1.0).abs() < 1e-13);
        assert!(rho(1.0, |t| 2.0 * t) < 1e-13);
        // E erf'(s z)^2 and E erf'(s z) are Gaussian integrals.
        let (a0, b0) = (2.0 / PI.sqrt() / 3.0f64.sqrt(), 4.0 / PI / 5.0f64.sqrt());
        let a2 = a0 / 3.0;
        let b2 = b0 / 5.0;
        let erf = rho(1.0, |t| Activation::Erf.slope(t));
        assert!((erf - (b0 - a0 * a0).min(b2 - a2 * a2).min(a0 * a2)).abs() < 1e-13, "{erf}");
    }
}
