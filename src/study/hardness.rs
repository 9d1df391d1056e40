//! What makes a network of a study harder than those of the ensemble.

use std::f64::consts::PI;
use std::str::FromStr;

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use crate::network::{Activation, Layer, Network};

/// Norm of the b_l of an almost linear second layer.
const ALMOST_LINEAR: f64 = 0.1;
/// Norm of the b_l of a steep second layer; of trained ones it is up to 143.
const STEEP: f64 = 30.0;
/// The smallest |c_l|; the largest is 1.
const SMALL_OUTPUT: f64 = 1e-3;
/// The angle between nearly parallel weights.
const ANGLE: f64 = 2.0 * PI / 180.0;
/// The smallest and the largest norm of the columns of A.
const NORMS: (f64, f64) = (0.05, 20.0);
/// The quotient of the scales of the inputs.
const INPUT_SCALES: f64 = 1e3;

/// A change to a network drawn from the ensemble. Units and inputs are counted from 0; what is said of
/// one unit leaves the others as they were drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hardness {
    /// None.
    #[default]
    Plain,
    /// ||b_l|| = 0.1: the second layer's units stay where they are nearly linear.
    AlmostLinear,
    /// ||b_l|| = 30: far out a unit of the second layer is saturated at most places.
    SteepSecond,
    /// c_l log-spaced from 1 down to 1e-3.
    SmallOutputs,
    /// a_1 is turned to an angle of 2 degrees with a_0.
    NearParallelFirst,
    /// b_1 is turned to an angle of 2 degrees with b_0.
    NearParallelSecond,
    /// a_1 = a_0, with another shift.
    SameDirection,
    /// ||a_i|| log-spaced from 0.05 to 20.
    SpreadNorms,
    /// The rows of A times factors log-spaced from 1e1.5 down to 1e-1.5: inputs on scales up to 1e3 apart.
    SpreadInputs,
    /// Row 0 of B is zero.
    DeadUnit,
    /// c_0 = 0.
    ZeroOutput,
    /// Row 0 of A is zero.
    ConstantInput,
    /// (a_1, theta_1) = (a_0, theta_0).
    TwinFirst,
    /// (a_1, theta_1) = -(a_0, theta_0).
    MirroredFirst,
    /// (b_1, tau_1) = (b_0, tau_0).
    TwinSecond,
    /// (b_1, tau_1) = -(b_0, tau_0), c_1 = c_0 / 2: with equal c they would cancel.
    MirroredSecond,
    /// The second layer has erf, or tanh where the first has erf. Tanh and sigmoid are each other's
    /// rewriting: they would be no mixture.
    MixedActivations,
}

impl Hardness {
    /// All of them.
    pub const ALL: [Hardness; 17] = [
        Hardness::Plain,
        Hardness::AlmostLinear,
        Hardness::SteepSecond,
        Hardness::SmallOutputs,
        Hardness::NearParallelFirst,
        Hardness::NearParallelSecond,
        Hardness::SameDirection,
        Hardness::SpreadNorms,
        Hardness::SpreadInputs,
        Hardness::DeadUnit,
        Hardness::ZeroOutput,
        Hardness::ConstantInput,
        Hardness::TwinFirst,
        Hardness::MirroredFirst,
        Hardness::TwinSecond,
        Hardness::MirroredSecond,
        Hardness::MixedActivations,
    ];

    /// The name in plans and records.
    pub fn name(self) -> &'static str {
        match self {
            Hardness::Plain => "plain",
            Hardness::AlmostLinear => "almost-linear",
            Hardness::SteepSecond => "steep-second",
            Hardness::SmallOutputs => "small-outputs",
            Hardness::NearParallelFirst => "near-parallel-first",
            Hardness::NearParallelSecond => "near-parallel-second",
            Hardness::SameDirection => "same-direction",
            Hardness::SpreadNorms => "spread-norms",
            Hardness::SpreadInputs => "spread-inputs",
            Hardness::DeadUnit => "dead-unit",
            Hardness::ZeroOutput => "zero-output",
            Hardness::ConstantInput => "constant-input",
            Hardness::TwinFirst => "twin-first",
            Hardness::MirroredFirst => "mirrored-first",
            Hardness::TwinSecond => "twin-second",
            Hardness::MirroredSecond => "mirrored-second",
            Hardness::MixedActivations => "mixed-activations",
        }
    }

    /// The smallest (d, m0, m1) on which it is more than nothing and leaves a network; an m1 of 0 is no second layer.
    pub fn least_dims(self) -> (usize, usize, usize) {
        match self {
            Hardness::Plain => (1, 1, 0),
            Hardness::AlmostLinear | Hardness::SteepSecond | Hardness::MixedActivations => {
                (1, 1, 1)
            }
            Hardness::SmallOutputs
            | Hardness::NearParallelSecond
            | Hardness::ZeroOutput
            | Hardness::TwinSecond
            | Hardness::MirroredSecond => (1, 2, 2),
            Hardness::NearParallelFirst => (2, 2, 0),
            Hardness::ConstantInput | Hardness::SpreadInputs => (2, 1, 0),
            Hardness::SameDirection
            | Hardness::SpreadNorms
            | Hardness::TwinFirst
            | Hardness::MirroredFirst => (1, 2, 0),
            Hardness::DeadUnit => (1, 2, 1),
        }
    }

    /// The network so changed, of at least the [least dimensions](Self::least_dims).
    pub fn applied(self, mut network: Network) -> Network {
        let Network { layers, c, .. } = &mut network;
        match (self, layers.as_mut_slice()) {
            (Hardness::AlmostLinear, [_, second]) => norms(second, ALMOST_LINEAR),
            (Hardness::SteepSecond, [_, second]) => norms(second, STEEP),
            (Hardness::SmallOutputs, _) => {
                let m1 = c.nrows();
                for (l, mut row) in c.row_iter_mut().enumerate() {
                    row *= log_spaced(1.0, SMALL_OUTPUT, l, m1);
                }
            }
            (Hardness::NearParallelFirst, [first, ..]) => turn(&mut first.weights),
            (Hardness::NearParallelSecond, [_, second]) => turn(&mut second.weights),
            (Hardness::SameDirection, [first, ..]) => {
                let a = first.weights.column(0).into_owned();
                first.weights.set_column(1, &a);
            }
            (Hardness::SpreadNorms, [first, ..]) => {
                let m0 = first.weights.ncols();
                for (i, mut a) in first.weights.column_iter_mut().enumerate() {
                    a *= log_spaced(NORMS.0, NORMS.1, i, m0) / a.norm();
                }
            }
            (Hardness::SpreadInputs, [first, ..]) => {
                let (d, root) = (first.weights.nrows(), INPUT_SCALES.sqrt());
                for (k, mut row) in first.weights.row_iter_mut().enumerate() {
                    row *= log_spaced(root, 1.0 / root, k, d);
                }
            }
            (Hardness::DeadUnit, [_, second]) => second.weights.row_mut(0).fill(0.0),
            (Hardness::ZeroOutput, _) => c.row_mut(0).fill(0.0),
            (Hardness::ConstantInput, [first, ..]) => first.weights.row_mut(0).fill(0.0),
            (Hardness::TwinFirst, [first, ..]) => copy_unit(first, 1.0),
            (Hardness::MirroredFirst, [first, ..]) => copy_unit(first, -1.0),
            (Hardness::TwinSecond, [_, second]) => copy_unit(second, 1.0),
            (Hardness::MirroredSecond, [_, second]) => {
                copy_unit(second, -1.0);
                let half = 0.5 * c.row(0);
                c.set_row(1, &half);
            }
            (Hardness::MixedActivations, [first, second]) => {
                second.activation = self.second_activation(first.activation);
            }
            // Plain, or a second layer that is not there.
            _ => {}
        }
        network
    }

    /// The activation of the second layer, where the first has `first`.
    pub fn second_activation(self, first: Activation) -> Activation {
        match (self, first) {
            (Hardness::MixedActivations, Activation::Tanh | Activation::Sigmoid) => Activation::Erf,
            (Hardness::MixedActivations, Activation::Erf) => Activation::Tanh,
            _ => first,
        }
    }
}

impl FromStr for Hardness {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Hardness::ALL.into_iter().find(|hardness| hardness.name() == name).ok_or_else(|| {
            let known = Hardness::ALL.map(Hardness::name).join(", ");
            format!("unknown hardness {name:?}; known are {known}")
        })
    }
}

/// Number `k` of `n` >= 2 numbers from `first` to `last` with a constant quotient.
fn log_spaced(first: f64, last: f64, k: usize, n: usize) -> f64 {
    first * (last / first).powf(k as f64 / (n - 1) as f64)
}

/// Gives every unit of the layer this norm of its weights.
fn norms(layer: &mut Layer, norm: f64) {
    for mut column in layer.weights.column_iter_mut() {
        column *= norm / column.norm();
    }
}

/// Turns column 1, in the plane of columns 0 and 1, to the small angle with column 0; it keeps its norm.
fn turn(columns: &mut DMatrix<f64>) {
    let (first, second) = (columns.column(0).normalize(), columns.column(1).into_owned());
    let across = (&second - &first * first.dot(&second)).normalize();
    columns.set_column(1, &((first * ANGLE.cos() + across * ANGLE.sin()) * second.norm()));
}

/// Makes unit 1 of a layer its unit 0, or the mirror image of that.
fn copy_unit(layer: &mut Layer, sign: f64) {
    let weights = layer.weights.column(0) * sign;
    layer.weights.set_column(1, &weights);
    layer.shifts[1] = sign * layer.shifts[0];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Class;

    fn plain((d, m0, m1): (usize, usize, usize)) -> Network {
        let widths = if m1 == 0 { vec![d, m0] } else { vec![d, m0, m1] };
        Network::random(&widths, 1, Class::Paper, Activation::Tanh, 2).unwrap()
    }

    fn hard(hardness: Hardness) -> Network {
        let hard = hardness.applied(plain((7, 6, 4)));
        hard.validate().unwrap();
        hard
    }

    #[test]
    fn nearly_parallel_is_two_degrees() {
        let angle = |m: &DMatrix<f64>| m.column(0).angle(&m.column(1)).to_degrees();
        assert!((angle(&hard(Hardness::NearParallelFirst).layers[0].weights) - 2.0).abs() < 1e-9);
        assert!((angle(&hard(Hardness::NearParallelSecond).layers[1].weights) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn spreads_reach_from_end_to_end() {
        let first = |hardness: Hardness| hard(hardness).layers[0].weights.clone();
        let norms: Vec<f64> =
            first(Hardness::SpreadNorms).column_iter().map(|a| a.norm()).collect();
        assert!((norms[0] - 0.05).abs() < 1e-12 && (norms[5] - 20.0).abs() < 1e-12);
        let (plain, spread) = (first(Hardness::Plain), first(Hardness::SpreadInputs));
        let scale = |k: usize| spread[(k, 3)] / plain[(k, 3)];
        assert!((scale(0) / scale(6) - 1e3).abs() < 1e-8);
        let c = hard(Hardness::SmallOutputs).c;
        assert!((c[0] - 1.0).abs() < 1e-12 && (c[3] - 1e-3).abs() < 1e-12);
    }

    #[test]
    fn what_is_degenerate_shrinks() {
        for hardness in Hardness::ALL {
            let widths = match hardness {
                Hardness::DeadUnit | Hardness::TwinFirst | Hardness::MirroredFirst => (5, 4),
                Hardness::ZeroOutput | Hardness::TwinSecond | Hardness::MirroredSecond => (6, 3),
                _ => (6, 4),
            };
            let minimal = hard(hardness).minimal().unwrap();
            assert_eq!(minimal.widths(), [widths.0, widths.1], "{hardness:?}");
        }
    }

    #[test]
    fn every_kind_changes_the_network_where_its_dimensions_allow_it() {
        for hardness in Hardness::ALL {
            assert_eq!(hardness.name().parse(), Ok(hardness));
            let least = plain(hardness.least_dims());
            let hard = hardness.applied(least.clone());
            hard.validate().unwrap();
            assert_eq!(hard == least, hardness == Hardness::Plain, "{hardness:?}");
        }
        assert!("soft".parse::<Hardness>().unwrap_err().contains("plain, almost-linear"));
    }
}
