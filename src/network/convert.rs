//! Sigmoid networks as tanh networks, and back.
//!
//! sigma(z) = (1 + tanh(z/2)) / 2, so that a sigmoid layer is exactly a tanh layer with other
//! parameters. All factors are powers of two: only sums of weights are rounded.

use super::{Activation, Network};

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
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::symmetry::tests::{networks, output_difference, to_vector};

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
}
