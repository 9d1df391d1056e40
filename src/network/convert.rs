//! Sigmoid networks as tanh networks, and back; a last hidden layer that is a link.
//!
//! sigma(z) = (1 + tanh(z/2)) / 2, so that a sigmoid layer is exactly a tanh layer with other
//! parameters. All factors are powers of two: only sums of weights are rounded.

use nalgebra::{DMatrix, DVector};

use super::{Activation, Link, Network};

impl Network {
    /// The same function with every sigmoid layer rewritten as a tanh layer; its signs are then the
    /// plain ones of an odd activation. Other layers are left alone.
    #[must_use]
    pub fn centred(&self) -> Network {
        let mut network = self.clone();
        for l in 0..self.layers.len() {
            network.rewrite(l, Activation::Tanh);
        }
        network
    }

    /// The same function with the activations `wanted`, a layer each. `None` if a layer cannot be rewritten
    /// so: only tanh and sigmoid are each other's rewriting.
    #[must_use]
    pub fn with_activations(&self, wanted: &[Activation]) -> Option<Network> {
        if wanted.len() != self.layers.len() {
            return None;
        }
        let mut network = self.clone();
        for (l, &activation) in wanted.iter().enumerate() {
            network.rewrite(l, activation);
        }
        (network.activations() == wanted).then_some(network)
    }

    /// Hidden layer `l` with another activation, if it can be rewritten so.
    fn rewrite(&mut self, l: usize, wanted: Activation) {
        match (self.layers[l].activation, wanted) {
            // b . sigma(z) - tau = (b/2) . tanh(z/2) - (tau - sum_i b_i/2).
            (Activation::Sigmoid, Activation::Tanh) => {
                self.scale(l, 0.5);
                *self.outgoing_mut(l) *= 0.5;
                let sums = self.outgoing(l).row_sum_tr();
                self.add_after(l, &sums);
            }
            // b . tanh(z) - tau = (2b) . sigma(2z) - (tau + sum_i b_i).
            (Activation::Tanh, Activation::Sigmoid) => {
                self.scale(l, 2.0);
                let sums = self.outgoing(l).row_sum_tr();
                self.add_after(l, &-sums);
                *self.outgoing_mut(l) *= 2.0;
            }
            _ => return,
        }
        self.layers[l].activation = wanted;
    }

    fn scale(&mut self, l: usize, factor: f64) {
        self.layers[l].weights *= factor;
        self.layers[l].shifts *= factor;
    }

    /// The same function with a link in place of the last hidden layer, where each of its units is an output of its own and
    /// all have the same limits: the link `told`, or any sigmoid or tanh. Weights that should be 0 are, and limits agree,
    /// within the `slack`, relative to the largest output weight, at least 1. `None` where the layer is no link.
    #[must_use]
    pub fn last_layer_as_link(&self, told: Option<Link>, slack: f64) -> Option<Network> {
        let (second, before) = self.layers.split_last().filter(|(_, before)| !before.is_empty())?;
        let (units, outputs) = self.c.shape();
        if units != outputs || self.link != Link::None {
            return None;
        }
        let slack = slack * self.c.amax().max(1.0);
        let mut c = DMatrix::zeros(second.weights.nrows(), outputs);
        let mut c0 = DVector::zeros(outputs);
        let mut limits = Vec::new();
        let mut taken = vec![false; units];
        for k in 0..outputs {
            let weights = self.c.column(k);
            let l = weights.iamax();
            let alone = (0..units).all(|j| j == l || weights[j].abs() <= slack);
            if !alone || std::mem::replace(&mut taken[l], true) {
                return None;
            }
            let (low, high) = second.activation.limits();
            let ends = [self.c0[k] + weights[l] * low, self.c0[k] + weights[l] * high];
            limits.push((ends[0].min(ends[1]), ends[0].max(ends[1])));
            // The argument of a tanh; a unit of negative weight turns its sign.
            let scale = weights[l].signum()
                * match second.activation {
                    Activation::Tanh => 1.0,
                    Activation::Sigmoid => 0.5,
                    _ => return None,
                };
            c.set_column(k, &(second.weights.column(l) * scale));
            c0[k] = -scale * second.shifts[l];
        }
        let is = |link: Link| {
            let (lo, hi) = match link {
                Link::Sigmoid { lo, hi } | Link::Tanh { lo, hi } => (lo, hi),
                Link::None | Link::Softmax => return false,
            };
            limits.iter().all(|&(low, high)| (low - lo).abs().max((high - hi).abs()) <= slack)
        };
        let (lo, hi) = limits[0];
        let ranged = Link::TANH.with_range(lo, hi).ok();
        let link = match told {
            Some(link) => is(link).then_some(link)?,
            None => [Link::SIGMOID, Link::TANH].into_iter().chain(ranged).find(|&link| is(link))?,
        };
        let scale = if matches!(link, Link::Sigmoid { .. }) { 2.0 } else { 1.0 };
        Some(Network { layers: before.to_vec(), c: c * scale, c0: c0 * scale, link })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::draws;
    use crate::network::symmetry::tests::{networks, output_difference, to_vector};
    use crate::network::{Class, Layer};

    proptest! {
        #[test]
        fn the_centred_network_is_the_same_function(network in networks()) {
            let centred = network.centred();
            prop_assert!(!centred.activations().contains(&Activation::Sigmoid));
            prop_assert!(output_difference(&network, &centred) < 1e-13);
            let back = centred.with_activations(&network.activations()).unwrap();
            prop_assert!((to_vector(&back) - to_vector(&network)).amax() < 1e-13);
        }

        #[test]
        fn every_possible_change_keeps_the_outputs(network in networks(), layer in any::<usize>()) {
            let layer = layer % network.layers.len();
            let tanh = |phi| [Activation::Tanh, Activation::Sigmoid].contains(&phi);
            for phi in Activation::ALL {
                let mut wanted = network.activations();
                let possible = phi == wanted[layer] || (tanh(phi) && tanh(wanted[layer]));
                wanted[layer] = phi;
                let changed = network.with_activations(&wanted);
                prop_assert_eq!(changed.is_some(), possible);
                if let Some(changed) = changed {
                    prop_assert_eq!(changed.activations(), wanted);
                    prop_assert!(output_difference(&network, &changed) < 1e-13);
                }
            }
            prop_assert!(network.with_activations(&[]).is_none());
        }
    }

    #[test]
    fn a_second_layer_that_is_a_link_is_written_as_one() {
        let points = draws::gaussian(&mut draws::stream(1, "kind", 0), 4, 20);
        let ranged = Link::TANH.with_range(-2.0, 5.0).unwrap();
        for link in [Link::SIGMOID, Link::TANH, ranged] {
            let drawn = Network::random(&[4, 6], 3, Class::General, Activation::Tanh, 1).unwrap();
            let truth = Network { link, ..drawn };
            let (lo, hi) =
                link.range().unwrap_or(if link == Link::TANH { (-1.0, 1.0) } else { (0.0, 1.0) });
            // The outputs as units of a second layer, in another order, one with its sign turned.
            let half = if link == Link::SIGMOID { 0.5 } else { 1.0 };
            let order = [2, 0, 1];
            let sign = |l: usize| if l == 1 { -1.0 } else { 1.0 };
            let weights = DMatrix::from_fn(6, 3, |i, l| sign(l) * half * truth.c[(i, order[l])]);
            let shifts = DVector::from_fn(3, |l, _| -sign(l) * half * truth.c0[order[l]]);
            let second = Layer { weights, shifts, activation: Activation::Tanh };
            let c = DMatrix::from_fn(3, 3, |l, k| {
                if order[l] == k { 0.5 * (hi - lo) * sign(l) } else { 1e-14 }
            });
            let c0 = DVector::repeat(3, 0.5 * (lo + hi));
            let layers = vec![truth.layers[0].clone(), second];
            let two = Network { layers, c, c0, link: Link::None };
            let one = two.last_layer_as_link(None, 1e-13).unwrap();
            assert_eq!(one.layers.len(), 1);
            assert!((one.outputs(&points) - truth.outputs(&points)).amax() < 1e-12);
            assert!(truth.matching(&one).parameter_error.is_none_or(|error| error < 1e-12));
            assert!(
                two.last_layer_as_link(Some(Link::SIGMOID), 1e-13).is_some()
                    == (link == Link::SIGMOID)
            );
            let mut mixed = two;
            mixed.c[(0, 0)] = 0.1;
            assert!(mixed.last_layer_as_link(None, 1e-13).is_none());
        }
    }
}
