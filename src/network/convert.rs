//! Sigmoid networks as tanh networks, and back.
//!
//! sigma(z) = (1 + tanh(z/2)) / 2, so that a sigmoid layer is exactly a tanh layer with other
//! parameters. All factors are powers of two: only sums of weights are rounded.

use super::{Activation, Network};

impl Network {
    /// The same function with every sigmoid layer rewritten as a tanh layer; its signs are then the
    /// plain ones of an odd activation. Layers of tanh and erf are left alone.
    #[must_use]
    pub fn centred(&self) -> Network {
        let mut network = self.clone();
        if self.g == Activation::Sigmoid {
            network.first_to_tanh();
        }
        if self.h == Activation::Sigmoid {
            network.second_to_tanh();
        }
        network
    }

    /// The same function with the activations `g` and `h`. `None` if a layer cannot be rewritten so:
    /// only tanh and sigmoid are each other's rewriting.
    #[must_use]
    pub fn with_activations(&self, g: Activation, h: Activation) -> Option<Network> {
        let possible = |from, to| from == to || (from != Activation::Erf && to != Activation::Erf);
        if !possible(self.g, g) || !possible(self.h, h) {
            return None;
        }
        let mut network = self.clone();
        match (self.g, g) {
            (Activation::Sigmoid, Activation::Tanh) => network.first_to_tanh(),
            (Activation::Tanh, Activation::Sigmoid) => network.first_to_sigmoid(),
            _ => (),
        }
        match (self.h, h) {
            (Activation::Sigmoid, Activation::Tanh) => network.second_to_tanh(),
            (Activation::Tanh, Activation::Sigmoid) => network.second_to_sigmoid(),
            _ => (),
        }
        Some(network)
    }

    /// b . sigma(z) - tau = (b/2) . tanh(z/2) - (tau - sum_i b_i/2).
    fn first_to_tanh(&mut self) {
        self.g = Activation::Tanh;
        self.a *= 0.5;
        self.theta *= 0.5;
        self.b *= 0.5;
        self.tau -= self.b.row_sum_tr();
    }

    /// b . tanh(z) - tau = (2b) . sigma(2z) - (tau + sum_i b_i).
    fn first_to_sigmoid(&mut self) {
        self.g = Activation::Sigmoid;
        self.a *= 2.0;
        self.theta *= 2.0;
        self.tau += self.b.row_sum_tr();
        self.b *= 2.0;
    }

    /// c0 + c . sigma(u) = (c0 + sum_l c_l/2) + (c/2) . tanh(u/2).
    fn second_to_tanh(&mut self) {
        self.h = Activation::Tanh;
        self.b *= 0.5;
        self.tau *= 0.5;
        self.c *= 0.5;
        self.c0 += self.c.sum();
    }

    /// c0 + c . tanh(u) = (c0 - sum_l c_l) + (2c) . sigma(2u).
    fn second_to_sigmoid(&mut self) {
        self.h = Activation::Sigmoid;
        self.b *= 2.0;
        self.tau *= 2.0;
        self.c0 -= self.c.sum();
        self.c *= 2.0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::symmetry::tests::{networks, output_difference};

    proptest! {
        #[test]
        fn the_centred_network_is_the_same_function(network in networks()) {
            let centred = network.centred();
            prop_assert!(centred.g != Activation::Sigmoid && centred.h != Activation::Sigmoid);
            prop_assert!(output_difference(&network, &centred) < 1e-13);
            let back = centred.with_activations(network.g, network.h).unwrap();
            prop_assert!((back.to_vector() - network.to_vector()).amax() < 1e-13);
        }

        #[test]
        fn every_possible_change_keeps_the_outputs(network in networks()) {
            for g in Activation::ALL {
                for h in Activation::ALL {
                    let erf = |phi| phi == Activation::Erf;
                    let possible = erf(g) == erf(network.g) && erf(h) == erf(network.h);
                    let changed = network.with_activations(g, h);
                    prop_assert_eq!(changed.is_some(), possible);
                    if let Some(changed) = changed {
                        prop_assert_eq!((changed.g, changed.h), (g, h));
                        prop_assert!(output_difference(&network, &changed) < 1e-13);
                    }
                }
            }
        }
    }
}
