//! The sigmoidal activations: value, first and second derivative.
//!
//! tanh and sigmoid are written out so that the compiler can vectorise them: branch-free, from one
//! `expm1` kernel accurate to about one unit in the last place. erf comes from `libm`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A smooth sigmoidal activation phi, applied componentwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Activation {
    /// Hyperbolic tangent, range (-1, 1), odd.
    Tanh,
    /// Logistic sigmoid 1 / (1 + exp(-t)), range (0, 1), phi(-t) = 1 - phi(t).
    Sigmoid,
    /// Error function, range (-1, 1), odd.
    Erf,
}

impl Activation {
    /// Every activation known to the program.
    pub const ALL: [Activation; 3] = [Activation::Tanh, Activation::Sigmoid, Activation::Erf];

    /// phi(t), accurate to a few units in the last place for every finite t.
    #[inline(always)]
    pub fn value(self, t: f64) -> f64 {
        match self {
            Activation::Tanh => tanh(t),
            Activation::Sigmoid => sigmoid(t),
            Activation::Erf => libm::erf(t),
        }
    }

    /// phi'(t), with small *relative* error even deep in saturation.
    #[inline(always)]
    pub fn slope(self, t: f64) -> f64 {
        match self {
            Activation::Tanh => sech_squared(t),
            Activation::Sigmoid => 0.25 * sech_squared(0.5 * t),
            Activation::Erf => std::f64::consts::FRAC_2_SQRT_PI * (-t * t).exp(),
        }
    }

    /// phi''(t), with small relative error.
    #[inline(always)]
    pub fn curvature(self, t: f64) -> f64 {
        self.slope(t) * self.curvature_ratio(t)
    }

    /// phi''(t) / phi'(t): -2 tanh t, -tanh(t/2), -2 t.
    #[inline(always)]
    pub fn curvature_ratio(self, t: f64) -> f64 {
        match self {
            Activation::Tanh => -2.0 * tanh(t),
            Activation::Sigmoid => -tanh(0.5 * t),
            Activation::Erf => -2.0 * t,
        }
    }

    /// Applies phi to a whole slice in place.
    #[inline(always)]
    pub fn apply(self, values: &mut [f64]) {
        // The match stands outside the loop so that each loop vectorises.
        match self {
            Activation::Tanh => values.iter_mut().for_each(|v| *v = tanh(*v)),
            Activation::Sigmoid => values.iter_mut().for_each(|v| *v = sigmoid(*v)),
            Activation::Erf => values.iter_mut().for_each(|v| *v = libm::erf(*v)),
        }
    }

    /// phi(t) at t -> -infinity and t -> +infinity.
    pub fn limits(self) -> (f64, f64) {
        match self {
            Activation::Tanh | Activation::Erf => (-1.0, 1.0),
            Activation::Sigmoid => (0.0, 1.0),
        }
    }

    /// The name used in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Tanh => "tanh",
            Activation::Sigmoid => "sigmoid",
            Activation::Erf => "erf",
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An activation name that is not known.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown activation `{0}`; known are tanh, sigmoid and erf")]
pub struct UnknownActivation(pub String);

impl FromStr for Activation {
    type Err = UnknownActivation;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name.trim().to_ascii_lowercase().as_str() {
            "tanh" => Ok(Activation::Tanh),
            "sigmoid" | "logistic" => Ok(Activation::Sigmoid),
            "erf" => Ok(Activation::Erf),
            _ => Err(UnknownActivation(name.to_owned())),
        }
    }
}

/// 2^k and expm1(r) with x = k ln 2 + r, |r| <= ln(2)/2. Needs |x| < 700.
#[inline(always)]
fn exp_parts(x: f64) -> (f64, f64) {
    // Adding 1.5 * 2^52 rounds to the nearest integer, which then stands in the low mantissa bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let shifted = x.mul_add(std::f64::consts::LOG2_E, ROUND);
    let k = shifted - ROUND;
    let r = k.mul_add(-LN2_LOW, k.mul_add(-LN2_HIGH, x));
    let two_to_k = f64::from_bits((shifted.to_bits() << 52).wrapping_add(0x3ff0_0000_0000_0000));
    // Taylor series of expm1 to degree 14; the remainder is under 2^-56 of r.
    let mut p: f64 = 1.0 / 87_178_291_200.0;
    p = p.mul_add(r, 1.0 / 6_227_020_800.0);
    p = p.mul_add(r, 1.0 / 479_001_600.0);
    p = p.mul_add(r, 1.0 / 39_916_800.0);
    p = p.mul_add(r, 1.0 / 3_628_800.0);
    p = p.mul_add(r, 1.0 / 362_880.0);
    p = p.mul_add(r, 1.0 / 40_320.0);
    p = p.mul_add(r, 1.0 / 5_040.0);
    p = p.mul_add(r, 1.0 / 720.0);
    p = p.mul_add(r, 1.0 / 120.0);
    p = p.mul_add(r, 1.0 / 24.0);
    p = p.mul_add(r, 1.0 / 6.0);
    p = p.mul_add(r, 0.5);
    (two_to_k, (r * r).mul_add(p, r))
}

/// tanh(t) through expm1(2|t|) = 2^k expm1(r) + (2^k - 1), which cancels nowhere.
#[inline(always)]
pub(crate) fn tanh(t: f64) -> f64 {
    // Beyond 20 tanh is 1 to the last bit; `min` would swallow a NaN, so it is put back at the end.
    let (two_to_k, p) = exp_parts((2.0 * t.abs()).min(40.0));
    let e = two_to_k.mul_add(p, two_to_k - 1.0);
    let y = (e / (e + 2.0)).copysign(t);
    if t.is_nan() { t } else { y }
}

/// exp(-|t|), flushed smoothly to zero beyond the normal range.
#[inline(always)]
fn exp_minus_abs(t: f64) -> f64 {
    let x = (-t.abs()).max(-760.0);
    // Half the exponent twice keeps 2^k normal down to the smallest subnormal results.
    let (two_to_k, p) = exp_parts(0.5 * x);
    let half = two_to_k.mul_add(p, two_to_k);
    half * half
}

/// 1 / (1 + exp(-t)), with small relative error on both sides.
#[inline(always)]
pub(crate) fn sigmoid(t: f64) -> f64 {
    let e = exp_minus_abs(t);
    let numerator = if t < 0.0 { e } else { 1.0 };
    let y = numerator / (1.0 + e);
    if t.is_nan() { t } else { y }
}

/// sech^2(t) = 4 e / (1 + e)^2 with e = exp(-2|t|): no cancellation in saturation.
#[inline(always)]
fn sech_squared(t: f64) -> f64 {
    let e = exp_minus_abs(2.0 * t);
    let y = 4.0 * e / ((1.0 + e) * (1.0 + e));
    if t.is_nan() { t } else { y }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> impl Iterator<Item = f64> {
        (0..200_001)
            .map(|k| (k as f64 - 100_000.0) * 4.1e-4)
            .chain([0.0, -0.0, 1e-300, -1e-17, 1e-9, 0.346_573, 700.0, -745.0, 1e300, -1e300])
    }

    fn ulps(a: f64, b: f64) -> f64 {
        if a == b { 0.0 } else { (a - b).abs() / (b.abs() * f64::EPSILON).max(5e-324) }
    }

    #[test]
    fn tanh_agrees_with_libm_to_four_ulps() {
        for t in grid() {
            assert!(ulps(tanh(t), libm::tanh(t)) <= 4.0, "t = {t}: {} {}", tanh(t), libm::tanh(t));
        }
        assert!(tanh(f64::NAN).is_nan());
        assert_eq!(tanh(-0.0).to_bits(), (-0.0f64).to_bits());
    }

    #[test]
    fn sigmoid_keeps_relative_accuracy_in_both_tails() {
        for t in grid().filter(|t| t.abs() < 700.0) {
            let truth = if t >= 0.0 { 1.0 / (1.0 + (-t).exp()) } else { t.exp() / (1.0 + t.exp()) };
            assert!(ulps(sigmoid(t), truth) <= 6.0, "t = {t}: {} {truth}", sigmoid(t));
        }
        assert_eq!(sigmoid(-1e300), 0.0);
        assert_eq!(sigmoid(1e300), 1.0);
        assert!(sigmoid(f64::NAN).is_nan());
    }

    #[test]
    fn derivatives_agree_with_central_differences() {
        for phi in Activation::ALL {
            for t in (-60..=60).map(|k| 0.1 * f64::from(k)) {
                let h = 1e-5;
                let slope = (phi.value(t + h) - phi.value(t - h)) / (2.0 * h);
                let curvature = (phi.slope(t + h) - phi.slope(t - h)) / (2.0 * h);
                assert!((phi.slope(t) - slope).abs() < 1e-9, "{phi} at {t}");
                assert!((phi.curvature(t) - curvature).abs() < 1e-9, "{phi} at {t}");
            }
        }
    }

    #[test]
    fn slopes_keep_relative_accuracy_in_saturation() {
        let exact = 4.0 * (-600.0f64).exp();
        assert!((Activation::Tanh.slope(300.0) / exact - 1.0).abs() < 1e-12);
        let exact = (-300.0f64).exp();
        assert!((Activation::Sigmoid.slope(-300.0) / exact - 1.0).abs() < 1e-12);
    }

    #[test]
    fn names_round_trip() {
        for phi in Activation::ALL {
            assert_eq!(phi.name().parse::<Activation>(), Ok(phi));
        }
        assert!("relu".parse::<Activation>().is_err());
    }
}
