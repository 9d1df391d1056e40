//! The activations: value, first and second derivative.
//!
//! tanh and sigmoid are written out so that the compiler can vectorise them: branch-free, from one
//! `expm1` kernel accurate to about one unit in the last place. erf comes from `libm`. The others are made
//! of these.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An activation phi, applied componentwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Activation {
    /// Hyperbolic tangent, range (-1, 1), odd.
    Tanh,
    /// Logistic sigmoid 1 / (1 + exp(-t)), range (0, 1), phi(-t) = 1 - phi(t).
    Sigmoid,
    /// Error function, range (-1, 1), odd.
    Erf,
    /// max(t, 0).
    Relu,
    /// t for t > 0, else 0.01 t.
    LeakyRelu,
    /// log(1 + exp(t)).
    Softplus,
    /// t sigma(t), with the logistic sigmoid sigma; also called swish.
    Silu,
    /// t Phi(t), with the normal distribution function Phi.
    Gelu,
    /// The approximation of gelu by a tanh: t sigma(2 sqrt(2/pi) (t + 0.044715 t^3)).
    GeluTanh,
    /// max(t, 0)^2.
    SquaredRelu,
}

/// What can be done to a unit, but for its place, that leaves the network's values as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symmetry {
    /// Its weights and its shift may change their sign; phi(-t) = s - phi(t) for some s.
    Sign,
    /// They may be multiplied by a positive number; a power of it, the [`Activation::degree`], comes out.
    Scale,
    /// Nothing.
    None,
}

/// The slope of leaky relu where it is not 1.
const LEAK: f64 = 0.01;
/// Twice the factor and the cubic term of gelu by tanh.
const GELU_TANH: (f64, f64) = (1.595_769_121_605_730_8, 0.044_715);

impl Activation {
    /// Every activation known to the program.
    pub const ALL: [Activation; 10] = [
        Activation::Tanh,
        Activation::Sigmoid,
        Activation::Erf,
        Activation::Relu,
        Activation::LeakyRelu,
        Activation::Softplus,
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::SquaredRelu,
    ];
    /// Those that grow in proportion to their argument: what one hidden layer is identified with, beside those that
    /// saturate.
    pub const GROWING: [Activation; 6] = [
        Activation::Relu,
        Activation::LeakyRelu,
        Activation::Softplus,
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
    ];
    /// Those that go from one level to another: what two hidden layers are identified with.
    pub const SATURATING: [Activation; 3] =
        [Activation::Tanh, Activation::Sigmoid, Activation::Erf];

    /// Is it one of [`SATURATING`](Self::SATURATING), bounded and constant far out?
    pub fn saturates(self) -> bool {
        Activation::SATURATING.contains(&self)
    }

    /// phi(t), accurate to a few units in the last place for every finite t.
    #[inline(always)]
    pub fn value(self, t: f64) -> f64 {
        match self {
            Activation::Tanh => tanh(t),
            Activation::Sigmoid => sigmoid(t),
            Activation::Erf => libm::erf(t),
            // Not `max`, which would swallow a NaN.
            Activation::Relu => {
                if t < 0.0 {
                    0.0
                } else {
                    t
                }
            }
            Activation::LeakyRelu => {
                if t < 0.0 {
                    LEAK * t
                } else {
                    t
                }
            }
            Activation::Softplus => {
                let positive = if t < 0.0 { 0.0 } else { t };
                positive + libm::log1p(exp_minus_abs(t))
            }
            Activation::Silu => t * sigmoid(t),
            Activation::Gelu => t * normal_distribution(t),
            Activation::GeluTanh => t * sigmoid(gelu_tanh_argument(t)),
            Activation::SquaredRelu => {
                let positive = Activation::Relu.value(t);
                positive * positive
            }
        }
    }

    /// phi'(t), with small *relative* error even deep in saturation; at the kink of relu the slope before
    /// it.
    #[inline(always)]
    pub fn slope(self, t: f64) -> f64 {
        match self {
            Activation::Tanh => sech_squared(t),
            Activation::Sigmoid => sigmoid_slope(t),
            Activation::Erf => std::f64::consts::FRAC_2_SQRT_PI * (-t * t).exp(),
            Activation::Relu => {
                if t > 0.0 {
                    1.0
                } else {
                    0.0
                }
            }
            Activation::LeakyRelu => {
                if t > 0.0 {
                    1.0
                } else {
                    LEAK
                }
            }
            Activation::Softplus => sigmoid(t),
            Activation::Silu => sigmoid(t) + t * sigmoid_slope(t),
            Activation::Gelu => normal_distribution(t) + t * normal_density(t),
            Activation::GeluTanh => {
                let (z, dz) = (gelu_tanh_argument(t), gelu_tanh_argument_slope(t));
                sigmoid(z) + t * sigmoid_slope(z) * dz
            }
            Activation::SquaredRelu => 2.0 * Activation::Relu.value(t),
        }
    }

    /// phi''(t), with small relative error where the activation [saturates](Self::saturates); of the kink
    /// of relu there is nothing in it.
    #[inline(always)]
    pub fn curvature(self, t: f64) -> f64 {
        match self {
            Activation::Tanh | Activation::Sigmoid | Activation::Erf => {
                self.slope(t) * self.curvature_ratio(t)
            }
            Activation::Relu | Activation::LeakyRelu => 0.0,
            Activation::SquaredRelu => 2.0 * Activation::Relu.slope(t),
            Activation::Softplus => sigmoid_slope(t),
            Activation::Silu => sigmoid_slope(t) * (2.0 - t * tanh(0.5 * t)),
            Activation::Gelu => normal_density(t) * (2.0 - t * t),
            Activation::GeluTanh => {
                let (z, dz) = (gelu_tanh_argument(t), gelu_tanh_argument_slope(t));
                let (factor, cubic) = GELU_TANH;
                let bend = 6.0 * factor * cubic * t - tanh(0.5 * z) * dz * dz;
                sigmoid_slope(z) * (2.0 * dz + t * bend)
            }
        }
    }

    /// phi''(t) / phi'(t): -2 tanh t, -tanh(t/2), -2 t for those that [saturate](Self::saturates).
    #[inline(always)]
    pub fn curvature_ratio(self, t: f64) -> f64 {
        match self {
            Activation::Tanh => -2.0 * tanh(t),
            Activation::Sigmoid => -tanh(0.5 * t),
            Activation::Erf => -2.0 * t,
            _ => self.curvature(t) / self.slope(t),
        }
    }

    /// phi'''(t) of one of those that saturate.
    pub(crate) fn third_derivative(self, t: f64) -> f64 {
        let (slope, ratio) = (self.slope(t), self.curvature_ratio(t));
        // phi'' = phi' r, so that phi''' = phi' (r^2 + r').
        let turn = match self {
            Activation::Tanh | Activation::Sigmoid => -2.0 * slope,
            _ => -2.0,
        };
        slope * (ratio * ratio + turn)
    }

    /// Applies phi to a whole slice in place.
    #[inline(always)]
    pub fn apply(self, values: &mut [f64]) {
        // The match stands outside the loop so that each loop vectorises.
        match self {
            Activation::Tanh => values.iter_mut().for_each(|v| *v = tanh(*v)),
            Activation::Sigmoid => values.iter_mut().for_each(|v| *v = sigmoid(*v)),
            Activation::Erf => values.iter_mut().for_each(|v| *v = libm::erf(*v)),
            Activation::Relu => {
                values.iter_mut().for_each(|v| *v = if *v < 0.0 { 0.0 } else { *v })
            }
            other => values.iter_mut().for_each(|v| *v = other.value(*v)),
        }
    }

    /// phi of all `arguments` in place, in the widest registers at hand: the digits of [`value`](Self::value), for which each
    /// multiply-add is a call where not every processor has it.
    pub(crate) fn values(self, arguments: &mut [f64]) {
        pulp::Arch::new().dispatch(Elementwise { phi: self, slopes: false, numbers: arguments });
    }

    /// phi' of all `arguments` in the same way, with the digits of [`slope`](Self::slope).
    pub(crate) fn slopes(self, arguments: &mut [f64]) {
        pulp::Arch::new().dispatch(Elementwise { phi: self, slopes: true, numbers: arguments });
    }

    /// phi(t) at t -> -infinity and t -> +infinity.
    pub fn limits(self) -> (f64, f64) {
        match self {
            Activation::Tanh | Activation::Erf => (-1.0, 1.0),
            Activation::Sigmoid => (0.0, 1.0),
            Activation::LeakyRelu => (f64::NEG_INFINITY, f64::INFINITY),
            Activation::Relu
            | Activation::Softplus
            | Activation::Silu
            | Activation::Gelu
            | Activation::GeluTanh
            | Activation::SquaredRelu => (0.0, f64::INFINITY),
        }
    }

    /// phi'(t) at t -> -infinity and t -> +infinity.
    pub fn end_slopes(self) -> (f64, f64) {
        match self {
            Activation::Tanh | Activation::Erf | Activation::Sigmoid => (0.0, 0.0),
            Activation::LeakyRelu => (LEAK, 1.0),
            Activation::Relu
            | Activation::Softplus
            | Activation::Silu
            | Activation::Gelu
            | Activation::GeluTanh => (0.0, 1.0),
            Activation::SquaredRelu => (0.0, f64::INFINITY),
        }
    }

    /// What can be done to a unit with it.
    pub fn symmetry(self) -> Symmetry {
        match self {
            Activation::Tanh | Activation::Sigmoid | Activation::Erf => Symmetry::Sign,
            Activation::Relu | Activation::LeakyRelu | Activation::SquaredRelu => Symmetry::Scale,
            Activation::Softplus | Activation::Silu | Activation::Gelu | Activation::GeluTanh => {
                Symmetry::None
            }
        }
    }

    /// r where phi(s t) = s^r phi(t) for all s > 0; 0 without such a [`Symmetry::Scale`].
    pub fn degree(self) -> i32 {
        match (self.symmetry(), self) {
            (Symmetry::Scale, Activation::SquaredRelu) => 2,
            (Symmetry::Scale, _) => 1,
            _ => 0,
        }
    }

    /// The name used in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Tanh => "tanh",
            Activation::Sigmoid => "sigmoid",
            Activation::Erf => "erf",
            Activation::Relu => "relu",
            Activation::LeakyRelu => "leaky_relu",
            Activation::Softplus => "softplus",
            Activation::Silu => "silu",
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_tanh",
            Activation::SquaredRelu => "squared_relu",
        }
    }

    /// All names, for a message.
    pub(crate) fn names() -> String {
        Activation::ALL.map(Activation::name).join(", ")
    }
}

/// Numbers that an activation is to be applied to, or its slope.
struct Elementwise<'a> {
    phi: Activation,
    slopes: bool,
    numbers: &'a mut [f64],
}

impl pulp::WithSimd for Elementwise<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Elementwise { phi, slopes, numbers } = self;
        match (slopes, phi) {
            (false, phi) => phi.apply(numbers),
            (true, Activation::Tanh) => numbers.iter_mut().for_each(|t| *t = sech_squared(*t)),
            (true, Activation::Sigmoid) => numbers.iter_mut().for_each(|t| *t = sigmoid_slope(*t)),
            (true, phi) => numbers.iter_mut().for_each(|t| *t = phi.slope(*t)),
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
#[error("unknown activation `{0}`; known are {known}", known = Activation::names())]
pub struct UnknownActivation(pub String);

impl FromStr for Activation {
    type Err = UnknownActivation;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let plain = name.trim().to_ascii_lowercase().replace('-', "_");
        match plain.as_str() {
            "logistic" => Ok(Activation::Sigmoid),
            "leakyrelu" => Ok(Activation::LeakyRelu),
            "swish" => Ok(Activation::Silu),
            _ => {
                let known = Activation::ALL.into_iter().find(|phi| phi.name() == plain);
                known.ok_or_else(|| UnknownActivation(name.to_owned()))
            }
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

/// The slope of the sigmoid.
#[inline(always)]
fn sigmoid_slope(t: f64) -> f64 {
    0.25 * sech_squared(0.5 * t)
}

/// The distribution function of the normal law, with small relative error on both sides.
#[inline(always)]
fn normal_distribution(t: f64) -> f64 {
    0.5 * libm::erfc(-std::f64::consts::FRAC_1_SQRT_2 * t)
}

/// Its density.
#[inline(always)]
fn normal_density(t: f64) -> f64 {
    0.5 * std::f64::consts::FRAC_1_SQRT_2 * std::f64::consts::FRAC_2_SQRT_PI * (-0.5 * t * t).exp()
}

/// What the sigmoid in gelu by tanh is of.
#[inline(always)]
fn gelu_tanh_argument(t: f64) -> f64 {
    let (factor, cubic) = GELU_TANH;
    factor * t * (1.0 + cubic * t * t)
}

#[inline(always)]
fn gelu_tanh_argument_slope(t: f64) -> f64 {
    let (factor, cubic) = GELU_TANH;
    factor * (1.0 + 3.0 * cubic * t * t)
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
            // Not on the kink of relu.
            for t in (-60..=60).map(|k| 0.1 * f64::from(k) + 0.03) {
                let h = 1e-5;
                let slope = (phi.value(t + h) - phi.value(t - h)) / (2.0 * h);
                let curvature = (phi.slope(t + h) - phi.slope(t - h)) / (2.0 * h);
                assert!((phi.slope(t) - slope).abs() < 1e-9, "{phi} at {t}");
                assert!((phi.curvature(t) - curvature).abs() < 1e-9, "{phi} at {t}");
            }
        }
    }

    #[test]
    fn all_at_once_have_the_digits_of_one_by_one() {
        let arguments: Vec<f64> = grid().step_by(7).chain([f64::NAN]).collect();
        // The sign of what is not a number means nothing.
        let number = |v: &f64| if v.is_nan() { f64::NAN } else { *v };
        let bits =
            |numbers: &[f64]| -> Vec<u64> { numbers.iter().map(|v| number(v).to_bits()).collect() };
        for phi in Activation::ALL {
            let (mut values, mut slopes) = (arguments.clone(), arguments.clone());
            phi.values(&mut values);
            phi.slopes(&mut slopes);
            let one_by_one: Vec<f64> = arguments.iter().map(|&t| phi.value(t)).collect();
            assert_eq!(bits(&values), bits(&one_by_one), "{phi}");
            let one_by_one: Vec<f64> = arguments.iter().map(|&t| phi.slope(t)).collect();
            assert_eq!(bits(&slopes), bits(&one_by_one), "{phi}");
        }
    }

    #[test]
    fn values_are_those_that_others_print() {
        // torch.nn.functional at 1.5 and -1.5, in f64.
        for (phi, above, below) in [
            (Activation::Relu, 1.5, 0.0),
            (Activation::LeakyRelu, 1.5, -0.015),
            (Activation::Softplus, 1.7014132779827524, 0.2014132779827524),
            (Activation::Silu, 1.2263617142904655, -0.2736382857095345),
            (Activation::Gelu, 1.399789198096713, -0.10021080190328713),
            (Activation::GeluTanh, 1.3995715769802328, -0.10042842301976707),
        ] {
            assert!((phi.value(1.5) - above).abs() < 1e-14, "{phi}: {}", phi.value(1.5));
            assert!((phi.value(-1.5) - below).abs() < 1e-14, "{phi}: {}", phi.value(-1.5));
        }
    }

    #[test]
    fn limits_and_symmetries_are_as_stated() {
        for phi in Activation::ALL {
            let (low, high) = phi.limits();
            assert_eq!(phi.saturates(), low.is_finite() && high.is_finite(), "{phi}");
            assert!(phi.value(f64::NAN).is_nan(), "{phi}");
            let (before, after) = phi.end_slopes();
            assert!((phi.slope(-60.0) - before).abs() < 1e-15, "{phi}");
            assert!(after == f64::INFINITY || (phi.slope(60.0) - after).abs() < 1e-15, "{phi}");
            for t in [0.3, 2.0, 40.0] {
                match phi.symmetry() {
                    Symmetry::Sign => {
                        let sum = phi.value(-t) + phi.value(t);
                        assert!((sum - low - high).abs() < 1e-15, "{phi}");
                    }
                    Symmetry::Scale => {
                        let factor = 3.0f64.powi(phi.degree());
                        assert!(
                            (phi.value(-3.0 * t) - factor * phi.value(-t)).abs() < 1e-14,
                            "{phi}"
                        );
                        let ratio = phi.value(3.0 * t) / phi.value(t);
                        assert!((ratio / factor - 1.0).abs() < 1e-14, "{phi}");
                    }
                    Symmetry::None => assert!(phi.value(-t).abs() < phi.value(t), "{phi}"),
                }
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
    fn third_derivatives_are_those_of_the_curvature() {
        for phi in [Activation::Tanh, Activation::Sigmoid, Activation::Erf] {
            for t in [-2.1, -0.4, 0.0, 0.7, 1.6] {
                let h = 1e-4;
                let difference = (phi.curvature(t + h) - phi.curvature(t - h)) / (2.0 * h);
                assert!((phi.third_derivative(t) - difference).abs() < 1e-7, "{phi} {t}");
            }
        }
    }

    #[test]
    fn names_round_trip() {
        for phi in Activation::ALL {
            assert_eq!(phi.name().parse::<Activation>(), Ok(phi));
        }
        assert_eq!("GELU-tanh".parse(), Ok(Activation::GeluTanh));
        assert!("cosine".parse::<Activation>().is_err());
    }
}
