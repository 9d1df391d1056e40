//! Two networks of one hidden layer side by side, as [`Network::matching`](crate::Network::matching).

use super::Shallow;
use crate::network::Activation;
use crate::network::matching::{Matching, output_error, pair, stack, tensor_errors};
use crate::network::model::Model;

impl Shallow {
    /// Compares `other` with this network, the truth: units are paired up to sign by (a_i, theta_i, c_i),
    /// so that their relative distances sum to the least possible.
    #[must_use]
    pub fn matching(&self, other: &Shallow) -> Matching<Shallow> {
        let widths_match = self.dims() == other.dims();
        let converted = other.with_activation(self.phi);
        let activations_match = converted.is_some();
        let aligned = converted.filter(|_| widths_match).map(|other| self.align(other));
        let errors = aligned.as_ref().map_or(Vec::new(), |other| tensor_errors(self, other));
        Matching::new(
            (widths_match, activations_match),
            aligned,
            errors,
            (self.inputs() == other.inputs()).then(|| output_error(self, other)),
        )
    }

    fn align(&self, mut other: Shallow) -> Shallow {
        let units = |network: &Shallow| {
            // In tanh form a sign is a plain sign.
            let network = network.with_activation(Activation::Tanh).unwrap_or(network.clone());
            stack(&network.a, &[&network.theta, &network.c])
        };
        let pairing = pair(&units(self), &units(&other));
        other.a = other.a.select_columns(&pairing.order);
        other.theta = other.theta.select_rows(&pairing.order);
        other.c = other.c.select_rows(&pairing.order);
        pairing.flipped.iter().for_each(|&i| other.flip(i));
        other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Class;

    #[test]
    fn order_signs_and_activation_are_undone_and_errors_are_not() {
        for phi in Activation::ALL {
            let truth = Shallow::random((5, 7), Class::General, phi, 1).unwrap();
            let mut other = truth.clone();
            let order = [3, 1, 6, 0, 2, 5, 4];
            other.a = other.a.select_columns(&order);
            other.theta = other.theta.select_rows(&order);
            other.c = other.c.select_rows(&order);
            [0, 3, 4].iter().for_each(|&i| other.flip(i));
            if phi == Activation::Sigmoid {
                other = other.with_activation(Activation::Tanh).unwrap();
            }
            assert!(truth.matching(&other).within(1e-12), "{phi}");
            other.theta[2] += 1e-3;
            assert!(!truth.matching(&other).within(1e-5), "{phi}");
        }
    }

    #[test]
    fn other_widths_do_not_match() {
        let draw = |dims| Shallow::random(dims, Class::Paper, Activation::Tanh, 1).unwrap();
        let found = draw((5, 7)).matching(&draw((5, 6)));
        assert!(!found.widths_match && found.output_error.is_some() && !found.within(1e9));
        assert!(draw((5, 7)).matching(&draw((4, 7))).output_error.is_none());
    }
}
