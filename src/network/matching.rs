//! Two networks side by side, after the symmetries between them are undone.

use nalgebra::DMatrix;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::assignment::assign;
use super::link::centred;
use super::{Link, Network, Symmetry};

/// Standard deviations of the points on which outputs are compared.
const SCALES: [f64; 4] = [0.5, 1.0, 4.0, 16.0];
const POINTS_PER_SCALE: usize = 1000;
/// Output weights and limits of a last hidden layer that is a link are those of the link within this.
const LAYER_AS_LINK: f64 = 1e-6;
const SEED: u64 = 0x6d61_7463_6869_6e67;
/// Passes over the layers at most; two or three are enough where the networks are alike.
const PASSES: usize = 20;
/// Parameter error of networks that differ by rounding alone: no other pairing can be better.
const ROUNDING: f64 = 1e-13;

/// How far a network is from the truth, see [`Network::matching`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Matching {
    /// Whether the numbers of inputs, of units in each layer and of outputs are the same.
    pub widths_match: bool,
    /// Whether the activations are the same, or can be rewritten to be so.
    pub activations_match: bool,
    /// Whether the links are the same.
    pub links_match: bool,
    /// The second network in the activations, the order and the signs of the first, both
    /// [normalised](Network::normalised); `None` unless widths, activations and links match.
    pub aligned: Option<Network>,
    /// The largest of the `tensor_errors`; `None` without an alignment.
    pub parameter_error: Option<f64>,
    /// For each tensor its name and max |difference| / max(1, max |entry of the truth|); empty
    /// without an alignment.
    pub tensor_errors: Vec<(String, f64)>,
    /// Largest |difference| of the outputs before the link on 4000 fixed Gaussian points, 1000 each of the
    /// standard deviations 0.5, 1, 4 and 16; infinite where a value is not a number. `None` if the
    /// numbers of inputs or of outputs differ.
    pub output_error: Option<f64>,
}

impl Matching {
    /// Whether the networks are the same up to `tolerance`, in parameters and in outputs.
    #[must_use]
    pub fn within(&self, tolerance: f64) -> bool {
        let small = |error: Option<f64>| error.is_some_and(|error| error <= tolerance);
        small(self.parameter_error) && small(self.output_error)
    }
}

impl Network {
    /// Compares `other` with this network, the truth. Units are paired layer by layer, each by its incoming
    /// weights, its shift and its outgoing weights, up to the [`Symmetry`] of its activation, so that
    /// their relative distances sum to the least possible; again and again until the neighbours of
    /// a layer change its pairs no more, from several beginnings, of which the one with the least
    /// parameter error counts.
    ///
    /// Where the link is softmax the outputs are known up to what they share: of c^T and c0, and of the
    /// outputs compared, the mean over the outputs is taken off first.
    ///
    /// Cost: O(m^3 + m^2 n) for m units with n inputs and listeners, each layer, pass and beginning.
    #[must_use]
    pub fn matching(&self, other: &Network) -> Matching {
        // A last hidden layer may be what the other network calls its link.
        let (as_link, other_as_link) = (self.written_as(other), other.written_as(self));
        if as_link.is_some() || other_as_link.is_some() {
            let (truth, other) =
                (as_link.as_ref().unwrap_or(self), other_as_link.as_ref().unwrap_or(other));
            return truth.matching(other);
        }
        let truth = self.comparable();
        let widths_match = self.dims() == other.dims();
        let converted = other.with_activations(&self.activations());
        let activations_match = converted.is_some();
        let links_match = self.link == other.link;
        let aligned = converted
            .filter(|_| widths_match && links_match)
            .map(|other| truth.align(&other.comparable()));
        let tensor_errors =
            aligned.as_ref().map_or(Vec::new(), |aligned| truth.tensor_errors(aligned));
        let parameter_error =
            aligned.as_ref().map(|_| largest(tensor_errors.iter().map(|error| error.1)));
        let comparable =
            self.input_dim() == other.input_dim() && self.output_dim() == other.output_dim();
        let output_error = comparable.then(|| output_error(&truth, &other.comparable()));
        Matching {
            widths_match,
            activations_match,
            links_match,
            aligned,
            parameter_error,
            tensor_errors,
            output_error,
        }
    }

    /// The same function with the link of `other`, where the last of one more hidden layers is that.
    fn written_as(&self, other: &Network) -> Option<Network> {
        let deeper = self.layers.len() == other.layers.len() + 1 && other.link != Link::None;
        if deeper { self.last_layer_as_link(Some(other.link), LAYER_AS_LINK) } else { None }
    }

    /// The network without what its symmetries leave open, but for order and signs.
    fn comparable(&self) -> Network {
        let mut network = self.normalised();
        if self.link == Link::Softmax {
            network.c = centred(network.c.transpose()).transpose();
            let mean = network.c0.mean();
            network.c0.add_scalar_mut(-mean);
        }
        network
    }

    /// Brings `other`, of the same widths and activations, to this network's order and signs.
    fn align(&self, other: &Network) -> Network {
        let truth = self.centred();
        let mut best = (f64::INFINITY, other.clone());
        for beginning in Beginning::ALL {
            let mut moved = other.clone();
            let mut error = f64::INFINITY;
            beginning.apply(&truth, &mut moved);
            for _ in 0..PASSES {
                let changed = (0..truth.layers.len()).fold(false, |changed, l| {
                    let units = |network: &Network| network.units(l, Known::All);
                    truth.pair(&mut moved, l, units) || changed
                });
                error = largest(self.tensor_errors(&moved).iter().map(|error| error.1));
                if error < best.0 {
                    best = (error, moved.clone());
                }
                if !changed {
                    break;
                }
            }
            if error <= ROUNDING {
                break;
            }
        }
        best.1
    }

    /// Brings layer `l` of `other` to the order and the signs of this network's, where units are told by
    /// `units`; true if that changed it. This network is centred, so that a sign is a plain
    /// sign, and so is what `units` is given.
    fn pair(&self, other: &mut Network, l: usize, units: impl Fn(&Network) -> Units) -> bool {
        let signed = other.layers[l].activation.symmetry() == Symmetry::Sign;
        let pairing = Pairing::of(&units(self), &units(&other.centred()), signed);
        let changed = !pairing.flipped.is_empty() || !pairing.order.is_sorted();
        other.permute(l, &pairing.order);
        pairing.flipped.iter().for_each(|&i| other.flip(l, i));
        changed
    }

    /// What is known of the units of layer `l`.
    fn units(&self, l: usize, known: Known) -> Units {
        let layer = &self.layers[l];
        let shifts = DMatrix::from_row_slice(1, layer.shifts.len(), layer.shifts.as_slice());
        let (incoming, outgoing) = (&layer.weights, self.outgoing(l).transpose());
        let none = DMatrix::zeros(0, layer.shifts.len());
        match known {
            Known::All => Units { signed: stacked(&[incoming, &shifts, &outgoing]), sizes: none },
            Known::Incoming => {
                Units { signed: stacked(&[incoming, &shifts]), sizes: sizes(&outgoing) }
            }
            Known::Outgoing => {
                Units { signed: outgoing, sizes: stacked(&[&sizes(incoming), &shifts.abs()]) }
            }
        }
    }

    /// For each tensor its name and max |difference| / max(1, max |entry of the truth|).
    fn tensor_errors(&self, other: &Network) -> Vec<(String, f64)> {
        let error = |truth: &[f64], other: &[f64]| {
            let scale = largest(truth.iter().copied()).max(1.0);
            largest(truth.iter().zip(other).map(|(t, o)| t - o)) / scale
        };
        let pairs = self.tensors().into_iter().zip(other.tensors());
        pairs.map(|((name, truth), (_, other))| (name, error(truth, other))).collect()
    }
}

/// What is known of a unit's place among its neighbours.
#[derive(Clone, Copy)]
enum Known {
    /// The layers on both sides are in order.
    All,
    /// The layer before is; of the outgoing weights only their sizes are known.
    Incoming,
    /// The layer behind is; of the incoming weights only their sizes.
    Outgoing,
}

/// How the first pairs are found, before the layers on both sides are in order.
#[derive(Clone, Copy)]
enum Beginning {
    /// From the inputs on.
    Inputs,
    /// From the outputs back.
    Outputs,
    /// By nothing: what there is.
    AsItIs,
}

impl Beginning {
    const ALL: [Beginning; 3] = [Beginning::Inputs, Beginning::Outputs, Beginning::AsItIs];

    fn apply(self, truth: &Network, other: &mut Network) {
        let layers = 0..truth.layers.len();
        match self {
            Beginning::Inputs => layers.for_each(|l| {
                truth.pair(other, l, |network| network.units(l, Known::Incoming));
            }),
            Beginning::Outputs => layers.rev().for_each(|l| {
                truth.pair(other, l, |network| network.units(l, Known::Outgoing));
            }),
            Beginning::AsItIs => (),
        }
    }
}

/// What tells the units of a layer apart, a column a unit.
struct Units {
    /// What the sign of a unit turns over.
    signed: DMatrix<f64>,
    /// What it does not.
    sizes: DMatrix<f64>,
}

impl Units {
    /// The size of everything that is known of each.
    fn norms(&self) -> Vec<f64> {
        let columns = self.signed.column_iter().zip(self.sizes.column_iter());
        columns.map(|(signed, sizes)| signed.norm().hypot(sizes.norm())).collect()
    }
}

/// Matrices of as many columns, one below the other.
fn stacked(blocks: &[&DMatrix<f64>]) -> DMatrix<f64> {
    let rows = blocks.iter().map(|block| block.nrows()).sum();
    let mut stacked = DMatrix::zeros(rows, blocks.first().map_or(0, |block| block.ncols()));
    let mut start = 0;
    for block in blocks {
        stacked.rows_mut(start, block.nrows()).copy_from(block);
        start += block.nrows();
    }
    stacked
}

/// The sizes of each column's entries in increasing order, which neither order nor signs of the neighbours
/// change.
fn sizes(columns: &DMatrix<f64>) -> DMatrix<f64> {
    let mut sizes = columns.abs();
    for mut column in sizes.column_iter_mut() {
        let mut sorted = column.as_slice().to_vec();
        sorted.sort_by(f64::total_cmp);
        column.copy_from_slice(&sorted);
    }
    sizes
}

struct Pairing {
    /// The k-th column of the truth is column `order[k]` of the other.
    order: Vec<usize>,
    /// The places, after reordering, whose sign is to be turned.
    flipped: Vec<usize>,
}

impl Pairing {
    /// Pairs the units of two layers, up to sign if `signed`.
    fn of(truth: &Units, other: &Units, signed: bool) -> Pairing {
        let n = truth.signed.ncols();
        let (size, other_size) = (truth.norms(), other.norms());
        // Of the differences themselves and not by inner products, whose rounding would hide differences
        // below 1e-8; and not squared, so that small ones count among the prices of the assignment.
        let square = |one: &DMatrix<f64>, two: &DMatrix<f64>, i: usize, j: usize, sign: f64| {
            let (one, two) = (one.column(i), two.column(j));
            one.iter().zip(&two).map(|(t, o)| (t - sign * o).powi(2)).sum::<f64>()
        };
        let distances = DMatrix::from_fn(n, n, |i, j| {
            let by_sign = |sign| square(&truth.signed, &other.signed, i, j, sign);
            let (plain, turned) =
                (by_sign(1.0), if signed { by_sign(-1.0) } else { f64::INFINITY });
            let sizes = square(&truth.sizes, &other.sizes, i, j, 1.0);
            (plain.min(turned) + sizes, turned < plain)
        });
        let costs = DMatrix::from_fn(n, n, |i, j| {
            // Relative, so that no large unit drowns the small ones.
            let cost = distances[(i, j)].0.sqrt() / size[i].hypot(other_size[j]);
            // Weights of 0 or beyond 1e154 have no distance; any partner is as good.
            if cost.is_finite() { cost } else { 1.0 }
        });
        let order = assign(&costs);
        let flipped = (0..n).filter(|&k| distances[(k, order[k])].1).collect();
        Pairing { order, flipped }
    }
}

/// Largest difference of the outputs before the link on fixed points, see [`Matching::output_error`].
fn output_error(truth: &Network, other: &Network) -> f64 {
    let rng = &mut ChaCha8Rng::seed_from_u64(SEED);
    let d = truth.input_dim();
    let errors = SCALES.map(|scale| {
        let draw = |_, _| scale * rng.sample::<f64, _>(StandardNormal);
        let points = DMatrix::from_fn(d, POINTS_PER_SCALE, draw);
        largest((truth.logits(&points) - other.logits(&points)).iter().copied())
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
    use crate::network::symmetry::tests::{disguised, networks, to_vector};
    use crate::network::{Activation, Class};

    fn random(widths: &[usize], outputs: usize, g: Activation, seed: u64) -> Network {
        Network::random(widths, outputs, Class::General, g, seed).unwrap()
    }

    #[test]
    fn a_disguise_and_an_error_are_told_apart() {
        for size in [1e-9, 1e-6, 1e-2] {
            let truth = random(&[20, 30, 8], 1, Activation::Sigmoid, 5);
            let mut other = disguised(&truth, 6);
            other.layers[1].weights[(3, 2)] += size;
            let found = truth.matching(&other);
            let error = found.parameter_error.unwrap();
            assert!(error > 0.2 * size && error < 1.001 * size, "{error} for {size}");
            assert!(found.output_error.unwrap() > 0.01 * size);
            assert!(found.within(2.0 * size) && !found.within(0.1 * size));
        }
    }

    #[test]
    fn a_sigmoid_network_matches_its_tanh_form() {
        let truth = random(&[6, 9, 4], 3, Activation::Sigmoid, 1);
        let found = truth.matching(&disguised(&truth.centred(), 2));
        assert!(found.within(1e-12), "{found:?}");
        assert_eq!(found.aligned.unwrap().activations(), [Activation::Sigmoid; 2]);
    }

    /// Makes units of layer `l` nearly copies of unit `from`, apart by `apart` in one weight.
    fn make_twins(network: &mut Network, l: usize, from: usize, twins: &[usize], apart: f64) {
        let layer = &mut network.layers[l];
        for (k, &twin) in twins.iter().enumerate() {
            let mut column = layer.weights.column(from).into_owned();
            let place = k % column.len();
            column[place] += apart;
            layer.weights.set_column(twin, &column);
            layer.shifts[twin] = layer.shifts[from];
        }
    }

    #[test]
    fn units_that_are_nearly_equal_are_paired_in_every_layer() {
        for phi in [Activation::Tanh, Activation::Sigmoid, Activation::Softplus] {
            for (apart, tolerance) in [(0.0, 1e-12), (1e-10, 1e-12), (1e-6, 1e-12)] {
                for (widths, outputs) in [(&[8, 9, 6][..], 1), (&[5, 8, 7, 6], 3), (&[4, 9], 2)] {
                    let mut truth = random(widths, outputs, phi, 7);
                    for l in 0..truth.layers.len() {
                        make_twins(&mut truth, l, 0, &[3, 4, 5], apart);
                        make_twins(&mut truth, l, 1, &[2], apart);
                    }
                    for seed in 0..100 {
                        let found = truth.matching(&disguised(&truth, seed));
                        assert!(
                            found.within(tolerance),
                            "{phi} {apart:e} {widths:?} {seed}: {found:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn layers_of_nothing_but_twins_are_paired() {
        for apart in [0.0, 1e-10] {
            let mut truth = random(&[6, 8, 6], 1, Activation::Tanh, 3);
            make_twins(&mut truth, 0, 0, &[1, 2, 3, 4, 5, 6, 7], apart);
            make_twins(&mut truth, 1, 0, &[1, 2], apart);
            for seed in 0..100 {
                let found = truth.matching(&disguised(&truth, seed));
                assert!(found.within(1e-12), "{apart:e} {seed}: {found:?}");
            }
        }
    }

    #[test]
    fn other_widths_still_have_outputs() {
        let truth = random(&[5, 6, 3], 1, Activation::Tanh, 1);
        let found = truth.matching(&random(&[5, 7, 3], 1, Activation::Tanh, 1));
        assert!(!found.widths_match && found.parameter_error.is_none());
        assert!(found.output_error.unwrap() > 0.1 && !found.within(1e9));
        // Another depth, too.
        let found = truth.matching(&random(&[5, 7], 1, Activation::Tanh, 1));
        assert!(!found.widths_match && found.output_error.is_some());
        for (widths, outputs) in [([4, 6, 3], 1), ([5, 6, 3], 2)] {
            let found = truth.matching(&random(&widths, outputs, Activation::Tanh, 1));
            assert!(!found.widths_match && found.output_error.is_none());
        }
    }

    #[test]
    fn erf_is_not_tanh_and_a_sigmoid_on_top_is_not_nothing() {
        let truth = random(&[5, 6, 3], 1, Activation::Tanh, 1);
        let mut other = truth.clone();
        other.layers[1].activation = Activation::Erf;
        let found = truth.matching(&other);
        assert!(found.widths_match && !found.activations_match && !found.within(1e9));
        let found = truth.matching(&Network { link: Link::SIGMOID, ..truth.clone() });
        assert!(found.activations_match && !found.links_match && !found.within(1e9));
    }

    #[test]
    fn an_error_of_one_output_of_a_softmax_is_seen() {
        let truth = Network { link: Link::Softmax, ..random(&[5, 6], 3, Activation::Tanh, 1) };
        let mut other = disguised(&truth, 3);
        assert!(truth.matching(&other).within(1e-12));
        other.c[(2, 1)] += 1e-3;
        assert!(!truth.matching(&other).within(1e-4));
    }

    #[test]
    fn dead_units_and_absurd_weights_are_paired_all_the_same() {
        let mut truth = random(&[5, 6, 3], 1, Activation::Tanh, 1);
        truth.layers[0].weights.column_mut(2).fill(0.0);
        truth.layers[0].shifts[2] = 0.0;
        truth.layers[0].weights[(0, 1)] = 1e200;
        truth.c[1] = 0.0;
        truth.layers[1].weights.column_mut(1).fill(0.0);
        truth.layers[1].shifts[1] = 0.0;
        assert_eq!(truth.matching(&truth).parameter_error, Some(0.0));
        let mut broken = truth.clone();
        broken.c0[0] = f64::NAN;
        assert!(!truth.matching(&broken).within(f64::MAX));
    }

    proptest! {
        #[test]
        fn a_disguised_network_is_recognised(network in networks(), seed in any::<u64>()) {
            let found = network.matching(&disguised(&network, seed));
            prop_assert!(found.within(1e-11), "{found:?}");
            let aligned = found.aligned.unwrap();
            let difference = to_vector(&aligned) - to_vector(&network.comparable());
            prop_assert!(difference.amax() < 1e-10);
        }

        #[test]
        fn a_comparison_is_the_same_from_both_sides(
            network in networks(),
            size in -12i32..=0,
            seed in any::<u64>(),
        ) {
            let mut other = disguised(&network, seed);
            other.layers[0].weights[(0, 0)] += 10f64.powi(size);
            let (to, fro) = (network.matching(&other), other.matching(&network));
            prop_assert_eq!(to.output_error, fro.output_error);
            prop_assert_eq!((to.widths_match, to.activations_match), (true, true));
            prop_assert_eq!((fro.widths_match, fro.activations_match), (true, true));
        }

        #[test]
        fn any_two_networks_can_be_compared(left in networks(), right in networks()) {
            let found = left.matching(&right);
            let same = found.widths_match && found.activations_match && found.links_match;
            prop_assert_eq!(found.aligned.is_some(), same);
            prop_assert_eq!(found.parameter_error.is_some(), found.aligned.is_some());
            let back = right.matching(&left);
            prop_assert_eq!(found.output_error, back.output_error);
            let said =
                |of: &Matching| (of.widths_match, of.activations_match, of.links_match);
            prop_assert_eq!(said(&found), said(&back));
        }
    }
}
