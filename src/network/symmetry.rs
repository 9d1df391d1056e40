//! The transformations of the parameters that leave the outputs as they are.
//!
//! They are the permutations of the units of each layer, and for every unit what the [`Symmetry`] of its
//! activation allows. For an odd activation a sign turns the unit's weights and its outgoing weights
//! over. The sigmoid has phi(-t) = 1 - phi(t), and the 1 moves into the shifts (or the offsets) of what
//! follows. A unit of relu may be longer, and its outgoing weights shorter.

use nalgebra::{DMatrix, DVector, DVectorView};

use super::{Activation, Network, Symmetry};

impl Network {
    /// The weights of what listens to hidden layer `l`, a row a unit: the next layer, or the outputs.
    pub(super) fn outgoing(&self, l: usize) -> &DMatrix<f64> {
        self.layers.get(l + 1).map_or(&self.c, |next| &next.weights)
    }

    pub(crate) fn outgoing_mut(&mut self, l: usize) -> &mut DMatrix<f64> {
        self.layers.get_mut(l + 1).map_or(&mut self.c, |next| &mut next.weights)
    }

    /// Adds a constant to what follows hidden layer `l`, before its activation.
    pub(super) fn add_after(&mut self, l: usize, constant: &DVector<f64>) {
        match self.layers.get_mut(l + 1) {
            Some(next) => next.shifts -= constant,
            None => self.c0 += constant,
        }
    }

    /// Turns the sign of unit `i` of hidden layer `l`: its weights, its shift, its outgoing weights, and for
    /// the sigmoid what follows by the constant that this leaves.
    ///
    /// # Panics
    /// If there is no such unit, or its activation has no such [`Symmetry`].
    pub fn flip(&mut self, l: usize, i: usize) {
        let activation = self.layers[l].activation;
        assert_eq!(activation.symmetry(), Symmetry::Sign, "{activation} has no sign to turn");
        if activation == Activation::Sigmoid {
            let row = self.outgoing(l).row(i).transpose();
            self.add_after(l, &row);
        }
        let layer = &mut self.layers[l];
        layer.weights.column_mut(i).neg_mut();
        layer.shifts[i] = -layer.shifts[i];
        self.outgoing_mut(l).row_mut(i).neg_mut();
    }

    /// Multiplies weights and shift of unit `i` of hidden layer `l`, and divides its outgoing weights by that factor to the power of
    /// the activation's [degree](Activation::degree).
    ///
    /// # Panics
    /// If there is no such unit, its activation has no such [`Symmetry`], or the factor is not positive.
    pub fn stretch(&mut self, l: usize, i: usize, factor: f64) {
        let activation = self.layers[l].activation;
        assert!(
            activation.symmetry() == Symmetry::Scale && factor > 0.0,
            "{activation} by {factor}"
        );
        let layer = &mut self.layers[l];
        layer.weights.column_mut(i).scale_mut(factor);
        layer.shifts[i] *= factor;
        self.outgoing_mut(l).row_mut(i).unscale_mut(factor.powi(activation.degree()));
    }

    /// Reorders hidden layer `l`: the new unit k is the old unit `order[k]`.
    ///
    /// # Panics
    /// If `order` is not a permutation of its units.
    pub fn permute(&mut self, l: usize, order: &[usize]) {
        assert_permutation(order, self.layers[l].shifts.len());
        self.keep(l, order);
    }

    /// Only these units of hidden layer `l`, in this order.
    pub(super) fn keep(&mut self, l: usize, kept: &[usize]) {
        let layer = &mut self.layers[l];
        layer.weights = layer.weights.select_columns(kept);
        layer.shifts = layer.shifts.select_rows(kept);
        let outgoing = self.outgoing_mut(l);
        *outgoing = outgoing.select_rows(kept);
    }

    /// The same function in which every unit of relu, and of leaky relu, has weights of norm 1 (its shift
    /// is 1 or -1 where it has none).
    #[must_use]
    pub fn normalised(&self) -> Network {
        let mut network = self.clone();
        for (l, layer) in self.layers.iter().enumerate() {
            if layer.activation.symmetry() != Symmetry::Scale {
                continue;
            }
            for (i, (weights, shift)) in
                network.layers[l].weights.clone().column_iter().zip(layer.shifts.iter()).enumerate()
            {
                let norm = if is_zero(weights) { shift.abs() } else { weights.norm() };
                if norm.is_normal() {
                    network.stretch(l, i, norm.recip());
                }
            }
        }
        network
    }

    /// One network for all that are equivalent to this one, up to rounding.
    ///
    /// Every unit has a key, the inner product of its weights and shift with the fixed vector
    /// (cos 1, cos 2, ...). Units of relu are [normalised](Self::normalised). The sign of a unit makes its
    /// key positive, in the last layer the first of its output weights that is not 0; then each layer is
    /// sorted by increasing key.
    ///
    /// No choice of sign can be continuous in the weights, and rounding could tip any that is on
    /// its edge. "The largest weight is positive" is on its edge for weights as plain as (1, -1).
    /// The numbers cos k are linearly independent over the algebraic numbers (Lindemann and
    /// Weierstrass), so that weights which are simple numbers never are on the edge of this one.
    #[must_use]
    pub fn canonical(&self) -> Network {
        let mut network = self.normalised();
        let last = self.layers.len().saturating_sub(1);
        for l in 0..self.layers.len() {
            let units = network.layers[l].shifts.len();
            let signed = network.layers[l].activation.symmetry() == Symmetry::Sign;
            for i in (0..units).filter(|_| signed) {
                let heard = network.c.row_iter().nth(i).filter(|_| l == last);
                let first = heard.and_then(|row| row.iter().copied().find(|&c| c != 0.0));
                if first.unwrap_or_else(|| network.key(l, i)) < 0.0 {
                    network.flip(l, i);
                }
            }
            network.permute(l, &sorted(units, |i| network.key(l, i)));
        }
        network
    }

    fn key(&self, l: usize, i: usize) -> f64 {
        let layer = &self.layers[l];
        let values = layer.weights.column(i);
        let values = values.iter().chain(std::iter::once(&layer.shifts[i]));
        values.enumerate().map(|(k, value)| value * libm::cos(k as f64 + 1.0)).sum()
    }
}

pub(super) fn is_zero(weights: DVectorView<f64>) -> bool {
    weights.iter().all(|&w| w == 0.0)
}

/// The indices 0..n by increasing key.
fn sorted(n: usize, key: impl Fn(usize) -> f64) -> Vec<usize> {
    let mut keyed: Vec<(f64, usize)> = (0..n).map(|k| (key(k), k)).collect();
    keyed.sort_by(|(left, _), (right, _)| left.total_cmp(right));
    keyed.into_iter().map(|(_, k)| k).collect()
}

fn assert_permutation(order: &[usize], n: usize) {
    let mut seen = vec![false; n];
    let fresh = |&k: &usize| k < n && !std::mem::replace(&mut seen[k], true);
    assert!(order.len() == n && order.iter().all(fresh), "not a permutation of 0..{n}: {order:?}");
}

#[cfg(test)]
pub(crate) mod tests {
    use nalgebra::{dmatrix, dvector};
    use proptest::prelude::*;
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::StandardNormal;

    use super::*;
    use crate::network::{Class, Layer, Link};

    /// Networks of up to 3 layers of 7 units, 6 inputs and 4 outputs, of every class, with any activations
    /// and any link.
    pub(crate) fn networks() -> impl Strategy<Value = Network> {
        let widths = prop::collection::vec(1usize..=7, 2..=4);
        let phi = prop::sample::select(&Activation::ALL[..]);
        let activations = prop::collection::vec(phi, 3);
        // Without shifts units of one input are one: nothing generic.
        let class = prop::sample::select(&[Class::Paper, Class::General][..]);
        let link = prop::sample::select(&Link::ALL[..]);
        (widths, 1usize..=4, class, activations, link, any::<u64>()).prop_map(
            |(widths, outputs, class, activations, link, seed)| {
                let drawn = Network::random(&widths, outputs, class, Activation::Tanh, seed);
                let mut network = drawn.unwrap();
                for (layer, phi) in network.layers.iter_mut().zip(activations) {
                    // Squares are so large far out that their rounding is no small difference: they have a test of their own.
                    let square = phi == Activation::SquaredRelu;
                    layer.activation = if square { Activation::Relu } else { phi };
                }
                if link.validate(outputs).is_ok() {
                    network.link = link;
                }
                network
            },
        )
    }

    /// All parameters, tensor by tensor.
    pub(crate) fn to_vector(network: &Network) -> DVector<f64> {
        let values: Vec<f64> = network.tensors().iter().flat_map(|t| t.1.to_vec()).collect();
        DVector::from_vec(values)
    }

    /// The network under a random element of the symmetry group.
    pub(crate) fn disguised(network: &Network, seed: u64) -> Network {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut other = network.clone();
        for l in 0..other.layers.len() {
            let units = other.layers[l].shifts.len();
            let symmetry = other.layers[l].activation.symmetry();
            for i in 0..units {
                match symmetry {
                    Symmetry::Sign if rng.random() => other.flip(l, i),
                    Symmetry::Scale => other.stretch(l, i, rng.random_range(0.25..=4.0)),
                    _ => (),
                }
            }
            let mut order: Vec<usize> = (0..units).collect();
            order.shuffle(rng);
            other.permute(l, &order);
        }
        if other.link == Link::Softmax {
            other.c0.add_scalar_mut(rng.random_range(-1.0..=1.0));
            for mut row in other.c.row_iter_mut() {
                row.add_scalar_mut(rng.random_range(-1.0..=1.0));
            }
        }
        other
    }

    /// Largest difference of the outputs, behind the link, on Gaussian points.
    pub(crate) fn output_difference(left: &Network, right: &Network) -> f64 {
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let mut draw = |_, _| 3.0 * rng.sample::<f64, _>(StandardNormal);
        let points = DMatrix::from_fn(left.input_dim(), 50, &mut draw);
        let (left, right) = (left.outputs(&points), right.outputs(&points));
        (&left - &right).amax() / left.amax().max(1.0)
    }

    #[test]
    fn the_sign_of_a_plain_weight_vector_is_not_left_to_rounding() {
        let layer = |weights, shifts| Layer { weights, shifts, activation: Activation::Tanh };
        let network = Network {
            layers: vec![
                layer(dmatrix![1.0, 0.0, 1.0; -1.0, 1.0, 1.0], dvector![0.0, 0.0, 0.0]),
                layer(dmatrix![1.0, 0.0; 0.0, 1.0; 0.0, 0.0], dvector![0.0, 0.0]),
            ],
            c: dmatrix![1.0; 1.0],
            c0: dvector![0.0],
            link: Link::None,
        };
        for seed in 0..64 {
            let mut other = disguised(&network, seed);
            let rng = &mut ChaCha8Rng::seed_from_u64(seed);
            for layer in &mut other.layers {
                layer.weights.apply(|entry| *entry += rng.random_range(-1e-12..1e-12));
            }
            let difference = to_vector(&other.canonical()) - to_vector(&network.canonical());
            assert!(difference.amax() < 1e-11);
        }
    }

    #[test]
    #[should_panic(expected = "not a permutation")]
    fn a_repeated_unit_is_no_permutation() {
        let mut network =
            Network::random(&[2, 3, 1], 1, Class::Paper, Activation::Tanh, 0).unwrap();
        network.permute(0, &[0, 1, 1]);
    }

    #[test]
    fn of_a_squared_relu_the_square_of_a_factor_comes_out() {
        let network =
            Network::random(&[3, 4], 2, Class::General, Activation::SquaredRelu, 1).unwrap();
        let mut other = disguised(&network, 2);
        assert!(output_difference(&network, &other) < 1e-13);
        let difference = to_vector(&other.canonical()) - to_vector(&network.canonical());
        assert!(difference.amax() < 1e-13 * to_vector(&network).amax());
        // A multiple of a unit is that unit.
        other.keep(0, &[0, 1, 2, 3, 0]);
        other.stretch(0, 4, 3.0);
        let minimal = other.minimal().unwrap();
        assert_eq!(minimal.widths(), [4]);
        assert!(output_difference(&other, &minimal) < 1e-13);
    }

    #[test]
    #[should_panic(expected = "no sign")]
    fn relu_has_no_sign() {
        let mut network = Network::random(&[2, 3], 1, Class::Paper, Activation::Relu, 0).unwrap();
        network.flip(0, 1);
    }

    proptest! {
        #[test]
        fn symmetries_leave_the_outputs_alone(network in networks(), seed in any::<u64>()) {
            let other = disguised(&network, seed);
            prop_assert!(output_difference(&network, &other) < 1e-12);
        }

        #[test]
        fn equivalent_networks_have_one_canonical_form(
            network in networks(), seed in any::<u64>(),
        ) {
            // What the outputs of a softmax share is left to the matching.
            let network = Network { link: Link::None, ..network };
            let canonical = network.canonical();
            let other = disguised(&network, seed).canonical();
            let size = to_vector(&canonical).amax();
            prop_assert!((to_vector(&canonical) - to_vector(&other)).amax() < 1e-12 * size);
            let again = to_vector(&canonical.canonical());
            prop_assert!((again - to_vector(&canonical)).amax() < 1e-12 * size);
            prop_assert!(output_difference(&network, &canonical) < 1e-12);
        }

        #[test]
        fn a_sign_turned_twice_is_as_before(network in networks()) {
            let mut other = network.clone();
            for l in 0..network.layers.len() {
                if network.layers[l].activation.symmetry() == Symmetry::Sign {
                    other.flip(l, 0);
                    other.flip(l, 0);
                }
            }
            prop_assert!((to_vector(&network) - to_vector(&other)).amax() < 1e-14);
        }
    }
}
