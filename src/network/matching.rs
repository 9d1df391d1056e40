//! Two networks side by side, after the symmetries between them are undone.

use nalgebra::{DMatrix, DVector};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::Network;
use super::assignment::assign;
use crate::network::model::Model;

/// Standard deviations of the points on which outputs are compared.
const SCALES: [f64; 4] = [0.5, 1.0, 4.0, 16.0];
const POINTS_PER_SCALE: usize = 1000;
const SEED: u64 = 0x6d61_7463_6869_6e67;

/// How far a network is from the truth, see [`Network::matching`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Matching<N = Network> {
    /// Whether (d, m0, m1) are the same.
    pub widths_match: bool,
    /// Whether the activations are the same, or can be rewritten to be so.
    pub activations_match: bool,
    /// The second network in the activations, the order and the signs of the first; `None` unless
    /// widths and activations match.
    pub aligned: Option<N>,
    /// The largest of the `tensor_errors`; `None` without an alignment.
    pub parameter_error: Option<f64>,
    /// For each tensor its name and max |difference| / max(1, max |entry of the truth|); empty
    /// without an alignment.
    pub tensor_errors: Vec<(&'static str, f64)>,
    /// Largest |f - f'| on 4000 fixed Gaussian points, 1000 each of the standard deviations 0.5, 1,
    /// 4 and 16; infinite where a value is not a number. `None` if the input dimensions differ.
    pub output_error: Option<f64>,
}

impl<N> Matching<N> {
    /// From (widths match, activations match), the network aligned and the errors.
    pub(crate) fn new(
        (widths_match, activations_match): (bool, bool),
        aligned: Option<N>,
        tensor_errors: Vec<(&'static str, f64)>,
        output_error: Option<f64>,
    ) -> Self {
        let parameter_error = aligned.as_ref().map(|_| largest(tensor_errors.iter().map(|e| e.1)));
        Matching {
            widths_match,
            activations_match,
            aligned,
            parameter_error,
            tensor_errors,
            output_error,
        }
    }

    /// Whether the networks are the same up to `tolerance`, in parameters and in outputs.
    #[must_use]
    pub fn within(&self, tolerance: f64) -> bool {
        let small = |error: Option<f64>| error.is_some_and(|error| error <= tolerance);
        small(self.parameter_error) && small(self.output_error)
    }
}

impl Network {
    /// Compares `other` with this network, the truth: units are paired up to sign so that their
    /// relative distances sum to the least possible, the first layer by (a_i, theta_i), then the
    /// second by (b_l, tau_l, c_l).
    ///
    /// Cost: O(n^3 + n^2 d) for n units with d inputs, each layer.
    #[must_use]
    pub fn matching(&self, other: &Network) -> Matching {
        let widths_match = self.dims() == other.dims();
        let converted = other.with_activations(self.g, self.h);
        let activations_match = converted.is_some();
        let aligned = converted.filter(|_| widths_match).map(|other| self.align(other));
        let tensor_errors = aligned.as_ref().map_or(Vec::new(), |other| tensor_errors(self, other));
        let output_error = (self.dims().0 == other.dims().0).then(|| output_error(self, other));
        Matching::new((widths_match, activations_match), aligned, tensor_errors, output_error)
    }

    /// Brings `other`, of the same widths and activations, to this network's order and signs.
    fn align(&self, mut other: Network) -> Network {
        // In centred form a sign is a plain sign, whatever the activation.
        let truth = self.centred();
        // The second pass sees aligned outgoing weights too, which tell apart units whose own
        // weights do not.
        for pass in 0..2 {
            let units = |network: &Network| {
                let mut units = stack(&network.a, &[&network.theta]);
                if pass > 0 {
                    units = stack_rows(&units, &network.b.transpose());
                }
                units
            };
            let pairing = pair(&units(&truth), &units(&other.centred()));
            other.permute_first(&pairing.order);
            pairing.flipped.iter().for_each(|&i| other.flip_first(i));

            let units = |network: &Network| stack(&network.b, &[&network.tau, &network.c]);
            let pairing = pair(&units(&truth), &units(&other.centred()));
            other.permute_second(&pairing.order);
            pairing.flipped.iter().for_each(|&l| other.flip_second(l));
        }
        other
    }
}

/// `columns` with further rows below.
pub(crate) fn stack(columns: &DMatrix<f64>, rows: &[&DVector<f64>]) -> DMatrix<f64> {
    let rows: Vec<_> = rows.iter().map(|row| row.transpose()).collect();
    stack_rows(columns, &DMatrix::from_rows(&rows))
}

fn stack_rows(above: &DMatrix<f64>, below: &DMatrix<f64>) -> DMatrix<f64> {
    let mut stacked = above.clone().resize_vertically(above.nrows() + below.nrows(), 0.0);
    stacked.rows_mut(above.nrows(), below.nrows()).copy_from(below);
    stacked
}

pub(crate) struct Pairing {
    /// The k-th column of the truth is column `order[k]` of the other.
    pub order: Vec<usize>,
    /// The places, after reordering, whose sign is to be turned.
    pub flipped: Vec<usize>,
}

/// Pairs the columns of two matrices of one shape up to sign.
pub(crate) fn pair(truth: &DMatrix<f64>, other: &DMatrix<f64>) -> Pairing {
    let n = truth.ncols();
    let squared = |matrix: &DMatrix<f64>| -> Vec<f64> {
        matrix.column_iter().map(|column| column.norm_squared()).collect()
    };
    let (size, other_size) = (squared(truth), squared(other));
    let products = truth.transpose() * other;
    // |p -+ q|^2 / (|p|^2 + |q|^2), relative so that no large unit drowns the small ones.
    let costs = DMatrix::from_fn(n, n, |i, j| {
        let cost = 1.0 - 2.0 * products[(i, j)].abs() / (size[i] + other_size[j]);
        // Weights of 0 or beyond 1e154 have no angle; any partner is as good.
        if cost.is_finite() { cost } else { 1.0 }
    });
    let order = assign(&costs);
    let flipped = (0..n).filter(|&k| products[(k, order[k])] < 0.0).collect();
    Pairing { order, flipped }
}

/// For each tensor its name and max |difference| / max(1, max |entry of the truth|).
pub(crate) fn tensor_errors<M: Model>(truth: &M, other: &M) -> Vec<(&'static str, f64)> {
    let error = |truth: &[f64], other: &[f64]| {
        let scale = largest(truth.iter().copied()).max(1.0);
        largest(truth.iter().zip(other).map(|(t, o)| t - o)) / scale
    };
    let pairs = truth.tensors().into_iter().zip(other.tensors());
    pairs.map(|((name, truth), (_, other))| (name, error(truth, other))).collect()
}

/// Largest |f - f'| on fixed points, see [`Matching::output_error`].
pub(crate) fn output_error<M: Model>(truth: &M, other: &M) -> f64 {
    let rng = &mut ChaCha8Rng::seed_from_u64(SEED);
    let d = truth.inputs();
    let errors = SCALES.map(|scale| {
        let draw = |_, _| scale * rng.sample::<f64, _>(StandardNormal);
        let points = DMatrix::from_fn(d, POINTS_PER_SCALE, draw);
        largest((truth.values(&points) - other.values(&points)).iter().copied())
    });
    largest(errors.into_iter())
}

/// The largest magnitude; `f64::max` would pass over a NaN in silence, here it counts as infinite.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values
        .fold(0.0, |most, value| if value.is_nan() { f64::INFINITY } else { value.abs().max(most) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::symmetry::tests::{disguised, networks};
    use crate::network::{Activation, Class};

    fn random(dims: (usize, usize, usize), g: Activation, seed: u64) -> Network {
        Network::random(dims, Class::General, g, seed).unwrap()
    }

    #[test]
    fn a_disguise_and_an_error_are_told_apart() {
        for size in [1e-9, 1e-6, 1e-2] {
            let truth = random((20, 30, 8), Activation::Sigmoid, 5);
            let mut other = disguised(&truth, 6);
            other.b[(3, 2)] += size;
            let found = truth.matching(&other);
            let error = found.parameter_error.unwrap();
            assert!(error > 0.2 * size && error < 1.001 * size, "{error} for {size}");
            assert!(found.output_error.unwrap() > 0.01 * size);
            assert!(found.within(2.0 * size) && !found.within(0.1 * size));
        }
    }

    #[test]
    fn a_sigmoid_network_matches_its_tanh_form() {
        let truth = random((6, 9, 4), Activation::Sigmoid, 1);
        let found = truth.matching(&disguised(&truth.centred(), 2));
        assert!(found.within(1e-12), "{found:?}");
        assert_eq!(found.aligned.unwrap().g, Activation::Sigmoid);
    }

    #[test]
    fn units_alike_but_for_their_outgoing_weights_are_paired() {
        let mut truth = random((5, 6, 3), Activation::Tanh, 1);
        for twin in [3, 4] {
            let column = truth.a.column(0).into_owned();
            truth.a.set_column(twin, &column);
            truth.theta[twin] = truth.theta[0];
        }
        for seed in 0..20 {
            let found = truth.matching(&disguised(&truth, seed));
            assert!(found.within(1e-12), "{found:?}");
        }
    }

    #[test]
    fn other_widths_still_have_outputs() {
        let truth = random((5, 6, 3), Activation::Tanh, 1);
        let found = truth.matching(&random((5, 7, 3), Activation::Tanh, 1));
        assert!(!found.widths_match && found.parameter_error.is_none());
        assert!(found.output_error.unwrap() > 0.1 && !found.within(1e9));
        let found = truth.matching(&random((4, 6, 3), Activation::Tanh, 1));
        assert!(!found.widths_match && found.output_error.is_none());
    }

    #[test]
    fn erf_is_not_tanh() {
        let truth = random((5, 6, 3), Activation::Tanh, 1);
        let other = Network { h: Activation::Erf, ..truth.clone() };
        let found = truth.matching(&other);
        assert!(found.widths_match && !found.activations_match && !found.within(1e9));
    }

    #[test]
    fn dead_units_and_absurd_weights_are_paired_all_the_same() {
        let mut truth = random((5, 6, 3), Activation::Tanh, 1);
        truth.a.column_mut(2).fill(0.0);
        truth.theta[2] = 0.0;
        truth.a[(0, 1)] = 1e200;
        truth.c[1] = 0.0;
        truth.b.column_mut(1).fill(0.0);
        truth.tau[1] = 0.0;
        assert_eq!(truth.matching(&truth).parameter_error, Some(0.0));
        let mut broken = truth.clone();
        broken.c0 = f64::NAN;
        assert!(!truth.matching(&broken).within(f64::MAX));
    }

    proptest! {
        #[test]
        fn a_disguised_network_is_recognised(network in networks(), seed in any::<u64>()) {
            let found = network.matching(&disguised(&network, seed));
            prop_assert!(found.within(1e-12), "{found:?}");
            let aligned = found.aligned.unwrap();
            prop_assert!((aligned.to_vector() - network.to_vector()).amax() < 1e-11);
        }

        #[test]
        fn a_comparison_is_the_same_from_both_sides(
            network in networks(),
            size in -12i32..=0,
            seed in any::<u64>(),
        ) {
            let mut other = disguised(&network, seed);
            other.a[(0, 0)] += 10f64.powi(size);
            let (to, fro) = (network.matching(&other), other.matching(&network));
            prop_assert_eq!(to.output_error, fro.output_error);
            prop_assert_eq!((to.widths_match, to.activations_match), (true, true));
            prop_assert_eq!((fro.widths_match, fro.activations_match), (true, true));
            // Relative to the largest entry of the truth, which is another's on each side.
            let (to, fro) = (to.parameter_error.unwrap(), fro.parameter_error.unwrap());
            prop_assert!((to - fro).abs() <= 2.0 * 10f64.powi(size) * to + 1e-13, "{to:e} {fro:e}");
        }

        #[test]
        fn any_two_networks_can_be_compared(left in networks(), right in networks()) {
            let found = left.matching(&right);
            prop_assert_eq!(found.aligned.is_some(), found.widths_match && found.activations_match);
            prop_assert_eq!(found.parameter_error.is_some(), found.aligned.is_some());
            let back = right.matching(&left);
            prop_assert_eq!(found.output_error, back.output_error);
            let said = |of: &Matching| (of.widths_match, of.activations_match);
            prop_assert_eq!(said(&found), said(&back));
        }
    }
}
