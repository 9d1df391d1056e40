//! The smallest network with the same values.
//!
//! No values can tell a unit that nothing listens to, one that is constant, or two that always move
//! together. A network without any of these is determined by its values up to the
//! [symmetries](Network::canonical) (Fefferman, Rev. Mat. Iberoamericana 10, 1994, for generic tanh
//! networks), so it is the one that can be identified.

use nalgebra::{DVector, DVectorView, RowDVector};

use super::symmetry::is_zero;
use super::{Link, Network, Symmetry};

/// Units whose weights and shifts differ by this share, or less, are the same unit.
const SAME: f64 = 1e-14;

impl Network {
    /// The smallest network with the same values, up to rounding, and the same inputs, activations and
    /// outputs: without units of weight zero, constant units (their value goes to the shifts or the offsets
    /// that follow), and units that are another one's copy, mirror image or multiple (their outgoing weights
    /// are added). `None` where all outputs are constant and a layer has no unit left.
    ///
    /// Cost: O(m^2 n) for a layer of m units with n inputs, as often as a reduction makes another one
    /// possible.
    #[must_use]
    pub fn minimal(&self) -> Option<Network> {
        let mut network = self.clone();
        loop {
            let before = network.widths();
            for l in 0..network.layers.len() {
                network.drop_idle(l);
                network.merge(l);
            }
            let after = network.widths();
            if after.contains(&0) {
                return None;
            }
            if after == before {
                return Some(network);
            }
        }
    }

    /// Drops units of layer `l` that nothing listens to, and constant ones.
    fn drop_idle(&mut self, l: usize) {
        let units = self.layers[l].shifts.len();
        for i in 0..units {
            let layer = &self.layers[l];
            if is_zero(layer.weights.column(i)) {
                let y = layer.activation.value(-layer.shifts[i]);
                let constant = self.outgoing(l).row(i).transpose() * y;
                self.add_after(l, &constant);
                self.outgoing_mut(l).row_mut(i).fill(0.0);
            }
        }
        // A softmax does not tell what all of its outputs share.
        let shared = self.link == Link::Softmax && l + 1 == self.layers.len();
        let heard = |i: &usize| {
            let row = self.outgoing(l).row(*i);
            let common = if shared { row[0] } else { 0.0 };
            row.iter().any(|&weight| weight != common)
        };
        let kept: Vec<usize> = (0..units).filter(heard).collect();
        self.keep(l, &kept);
    }

    /// Makes units of layer `l` one that move together.
    fn merge(&mut self, l: usize) {
        let (symmetry, degree) =
            (self.layers[l].activation.symmetry(), self.layers[l].activation.degree());
        let mut kept: Vec<usize> = Vec::new();
        for j in 0..self.layers[l].shifts.len() {
            let layer = &self.layers[l];
            let of = |i: usize| (layer.weights.column(i), layer.shifts[i]);
            let twin = kept
                .iter()
                .find_map(|&i| likeness(symmetry, of(i), of(j)).map(|factor| (i, factor)));
            let Some((i, factor)) = twin else {
                kept.push(j);
                continue;
            };
            if factor < 0.0 {
                self.flip(l, j);
            }
            let outgoing = self.outgoing_mut(l);
            let added = outgoing.row(j) * factor.abs().powi(degree);
            let total = sum(outgoing.row(i).into_owned(), &added);
            outgoing.set_row(i, &total);
        }
        self.keep(l, &kept);
    }
}

/// The number by which unit `one` (weights, shift) is to be multiplied to become the `other`, if the symmetry
/// has it.
fn likeness(
    symmetry: Symmetry,
    one: (DVectorView<f64>, f64),
    other: (DVectorView<f64>, f64),
) -> Option<f64> {
    let stacked = |(weights, shift): (DVectorView<f64>, f64)| -> DVector<f64> {
        weights.into_owned().push(shift)
    };
    let (one, other) = (stacked(one), stacked(other));
    let scale = [other.norm() / one.norm()];
    let factors: &[f64] = match symmetry {
        Symmetry::Sign => &[1.0, -1.0],
        Symmetry::Scale => &scale,
        Symmetry::None => &[1.0],
    };
    let size = one.amax();
    let fits = |factor: &f64| factor.is_normal() && (&one - &other / *factor).amax() <= SAME * size;
    factors.iter().copied().find(fits)
}

/// x + y, where what rounding leaves of a cancellation is 0.
fn sum(x: RowDVector<f64>, y: &RowDVector<f64>) -> RowDVector<f64> {
    x.zip_map(y, |x, y| {
        let sum = x + y;
        if sum.abs() <= SAME * x.abs().max(y.abs()) { 0.0 } else { sum }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::symmetry::tests::{disguised, networks, output_difference};
    use crate::network::{Activation, Class};

    /// The network with a unit of layer `l` twice, the second time turned, and the outgoing weights shared out
    /// between them.
    fn doubled(network: &Network, l: usize, turned: bool, share: f64) -> Network {
        let units = network.layers[l].shifts.len();
        let order: Vec<usize> = (0..units).chain([0]).collect();
        let mut other = network.clone();
        other.keep(l, &order);
        other.outgoing_mut(l).row_mut(0).scale_mut(share);
        other.outgoing_mut(l).row_mut(units).scale_mut(1.0 - share);
        match other.layers[l].activation.symmetry() {
            Symmetry::Sign if turned => other.flip(l, units),
            Symmetry::Scale if turned => other.stretch(l, units, 3.0),
            _ => (),
        }
        other
    }

    /// With a further unit in layer `l` that nothing listens to or that is constant.
    fn with_idler(network: &Network, l: usize, constant: bool) -> Network {
        let units = network.layers[l].shifts.len();
        let mut other = doubled(network, l, false, 1.0);
        if constant {
            let layer = &mut other.layers[l];
            layer.weights.column_mut(units).fill(0.0);
            let y = layer.activation.value(-layer.shifts[units]);
            other.outgoing_mut(l).row_mut(units).fill(0.7);
            let listeners = other.outgoing(l).ncols();
            other.add_after(l, &DVector::repeat(listeners, -0.7 * y));
        } else {
            other.layers[l].shifts[units] += 1.0;
        }
        other
    }

    proptest! {
        #[test]
        fn what_was_added_goes_and_the_values_stay(
            network in networks(), turned in any::<bool>(), constant in any::<bool>(),
            share in 0.2f64..0.8, seed in any::<u64>(),
        ) {
            let mut larger = network.clone();
            for l in 0..network.layers.len() {
                larger = with_idler(&doubled(&larger, l, turned, share), l, constant);
            }
            let larger = disguised(&larger, seed);
            prop_assert!(output_difference(&network, &larger) < 1e-12);
            let minimal = larger.minimal().unwrap();
            prop_assert_eq!(minimal.dims(), network.dims());
            prop_assert!(output_difference(&larger, &minimal) < 1e-12);
            let found = network.matching(&minimal);
            prop_assert!(found.within(1e-11), "{:?}", found);
            prop_assert_eq!(minimal.minimal().unwrap(), minimal);
        }

        #[test]
        fn a_minimal_network_is_left_alone(network in networks()) {
            // Draws are generic, but for units of relu with one input, which may share a direction, and
            // with one input of 0 shift.
            prop_assert_eq!(network.minimal().unwrap(), network);
        }
    }

    #[test]
    fn one_reduction_leads_to_another() {
        let mut network =
            Network::random(&[4, 5, 3], 1, Class::General, Activation::Tanh, 1).unwrap();
        // Only a dead unit of the second layer listens to unit 0 of the first; units 1 and 2 cancel.
        network.c[2] = 0.0;
        let [first, second] = network.layers.as_mut_slice() else { unreachable!() };
        second.weights.row_mut(0).fill(0.0);
        second.weights[(0, 2)] = 1.0;
        let twin = -first.weights.column(1);
        first.weights.set_column(2, &twin);
        first.shifts[2] = -first.shifts[1];
        let row = second.weights.row(1).into_owned();
        second.weights.set_row(2, &row);
        let minimal = network.minimal().unwrap();
        assert_eq!(minimal.widths(), [2, 2]);
        assert!(output_difference(&network, &minimal) < 1e-14);
    }

    #[test]
    fn a_softmax_does_not_hear_what_its_outputs_share() {
        let mut network =
            Network::random(&[4, 5, 3], 2, Class::General, Activation::Tanh, 1).unwrap();
        network.c.row_mut(1).fill(0.7);
        assert_eq!(network.minimal().unwrap().widths(), [5, 3]);
        network.link = Link::Softmax;
        let minimal = network.minimal().unwrap();
        assert_eq!(minimal.widths(), [5, 2]);
        assert!(output_difference(&network, &minimal) < 1e-14);
    }

    #[test]
    fn a_constant_has_no_minimal_network() {
        let mut network = Network::random(&[3, 2, 2], 1, Class::Paper, Activation::Erf, 1).unwrap();
        network.layers[0].weights.fill(0.0);
        assert_eq!(network.minimal(), None);
    }
}
