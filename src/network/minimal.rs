//! The smallest network with the same values.
//!
//! No values can tell a unit that nothing listens to, one that is constant, or two that always move
//! together. A network without any of these is determined by its values up to the
//! [symmetries](Network::canonical) (Fefferman, Rev. Mat. Iberoamericana 10, 1994, for generic tanh
//! networks), so it is the one that can be identified.

use nalgebra::{DVector, DVectorView};

use super::Network;

/// Units whose weights and shifts differ by this share, or less, are the same unit.
const SAME: f64 = 1e-14;

impl Network {
    /// The smallest network with the same values, up to rounding, and the same inputs and activations:
    /// without units of weight zero, constant units (their value goes to the shifts or the offset that
    /// follow), and units that are another one's copy or mirror image (their outgoing weights are
    /// added). `None` where f is constant and no unit is left.
    ///
    /// Cost: O(m0^2 d + m1^2 m0), as often as a reduction makes another one possible.
    #[must_use]
    pub fn minimal(&self) -> Option<Network> {
        let mut network = self.clone();
        loop {
            let before = network.dims();
            network.drop_first();
            network.merge_first();
            network.drop_second();
            network.merge_second();
            let (_, m0, m1) = network.dims();
            if m0 == 0 || m1 == 0 {
                return None;
            }
            if network.dims() == before {
                return Some(network);
            }
        }
    }

    /// First-layer units without outgoing weights, and constant ones.
    fn drop_first(&mut self) {
        let (_, m0, _) = self.dims();
        for i in 0..m0 {
            if is_zero(self.a.column(i)) {
                let y = self.g.value(-self.theta[i]);
                self.tau -= self.b.row(i).transpose() * y;
                self.b.row_mut(i).fill(0.0);
            }
        }
        let kept: Vec<usize> =
            (0..m0).filter(|&i| self.b.row(i).iter().any(|&b| b != 0.0)).collect();
        self.keep_first(&kept);
    }

    /// Second-layer units without an outgoing weight, and constant ones.
    fn drop_second(&mut self) {
        let (_, _, m1) = self.dims();
        for l in 0..m1 {
            if is_zero(self.b.column(l)) {
                self.c0 += self.c[l] * self.h.value(-self.tau[l]);
                self.c[l] = 0.0;
            }
        }
        let kept: Vec<usize> = (0..m1).filter(|&l| self.c[l] != 0.0).collect();
        self.keep_second(&kept);
    }

    /// First-layer units that move together.
    fn merge_first(&mut self) {
        let mut kept: Vec<usize> = Vec::new();
        for j in 0..self.dims().1 {
            let of = |i: usize| (self.a.column(i), self.theta[i]);
            let twin = kept.iter().find_map(|&i| likeness(of(i), of(j)).map(|sign| (i, sign)));
            let Some((i, sign)) = twin else {
                kept.push(j);
                continue;
            };
            if sign < 0.0 {
                self.flip_first(j);
            }
            for l in 0..self.dims().2 {
                self.b[(i, l)] = sum(self.b[(i, l)], self.b[(j, l)]);
            }
        }
        self.keep_first(&kept);
    }

    /// Second-layer units that move together.
    fn merge_second(&mut self) {
        let mut kept: Vec<usize> = Vec::new();
        for j in 0..self.dims().2 {
            let of = |l: usize| (self.b.column(l), self.tau[l]);
            let twin = kept.iter().find_map(|&l| likeness(of(l), of(j)).map(|sign| (l, sign)));
            let Some((l, sign)) = twin else {
                kept.push(j);
                continue;
            };
            if sign < 0.0 {
                self.flip_second(j);
            }
            self.c[l] = sum(self.c[l], self.c[j]);
        }
        self.keep_second(&kept);
    }

    fn keep_first(&mut self, kept: &[usize]) {
        self.a = self.a.select_columns(kept);
        self.theta = self.theta.select_rows(kept);
        self.b = self.b.select_rows(kept);
    }

    fn keep_second(&mut self, kept: &[usize]) {
        self.b = self.b.select_columns(kept);
        self.tau = self.tau.select_rows(kept);
        self.c = self.c.select_rows(kept);
    }
}

fn is_zero(weights: DVectorView<f64>) -> bool {
    weights.iter().all(|&w| w == 0.0)
}

/// 1 or -1 where one unit (weights, shift) is the copy or the mirror image of the other.
fn likeness(one: (DVectorView<f64>, f64), other: (DVectorView<f64>, f64)) -> Option<f64> {
    let stacked = |(weights, shift): (DVectorView<f64>, f64)| -> DVector<f64> {
        weights.into_owned().push(shift)
    };
    let (one, other) = (stacked(one), stacked(other));
    let size = one.amax();
    [1.0, -1.0].into_iter().find(|&sign| (&one - &other * sign).amax() <= SAME * size)
}

/// x + y, where what rounding leaves of a cancellation is 0.
fn sum(x: f64, y: f64) -> f64 {
    let sum = x + y;
    if sum.abs() <= SAME * x.abs().max(y.abs()) { 0.0 } else { sum }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::symmetry::tests::{disguised, networks, output_difference};
    use crate::network::{Activation, Class};

    /// The network with a unit of the first layer twice, the second time mirrored if `mirrored`, and the
    /// outgoing weights shared out between them.
    fn doubled_first(network: &Network, i: usize, mirrored: bool, share: f64) -> Network {
        let (_, m0, _) = network.dims();
        let order: Vec<usize> = (0..m0).chain([i]).collect();
        let mut other = network.clone();
        other.keep_first(&order);
        other.b.row_mut(i).scale_mut(share);
        other.b.row_mut(m0).scale_mut(1.0 - share);
        if mirrored {
            other.flip_first(m0);
        }
        other
    }

    /// The same for the second layer.
    fn doubled_second(network: &Network, l: usize, mirrored: bool, share: f64) -> Network {
        let (_, _, m1) = network.dims();
        let order: Vec<usize> = (0..m1).chain([l]).collect();
        let mut other = network.clone();
        other.keep_second(&order);
        other.c[l] *= share;
        other.c[m1] *= 1.0 - share;
        if mirrored {
            other.flip_second(m1);
        }
        other
    }

    /// With a further unit in the first layer that nothing listens to or that is constant, and one in
    /// the second.
    fn with_idlers(network: &Network, constant: bool) -> Network {
        let (_, m0, m1) = network.dims();
        let mut other = doubled_second(&doubled_first(network, 0, false, 1.0), 0, false, 1.0);
        if constant {
            other.a.column_mut(m0).fill(0.0);
            other.b.row_mut(m0).fill(0.7);
            let y = other.g.value(-other.theta[m0]);
            other.tau += DVector::repeat(m1 + 1, 0.7 * y);
            other.b.column_mut(m1).fill(0.0);
            other.c[m1] = -1.5;
            other.c0 += 1.5 * other.h.value(-other.tau[m1]);
        } else {
            other.theta[m0] += 1.0;
            other.tau[m1] -= 1.0;
        }
        other
    }

    proptest! {
        #[test]
        fn what_was_added_goes_and_the_values_stay(
            network in networks(), mirrored in any::<(bool, bool)>(), constant in any::<bool>(),
            share in 0.2f64..0.8, seed in any::<u64>(),
        ) {
            let larger = doubled_first(&network, 0, mirrored.0, share);
            let larger = doubled_second(&larger, 0, mirrored.1, share);
            let larger = disguised(&with_idlers(&larger, constant), seed);
            prop_assert!(output_difference(&network, &larger) < 1e-12);
            let minimal = larger.minimal().unwrap();
            prop_assert_eq!(minimal.dims(), network.dims());
            prop_assert!(output_difference(&larger, &minimal) < 1e-12);
            prop_assert!(network.matching(&minimal).within(1e-12));
            prop_assert_eq!(minimal.minimal().unwrap(), minimal);
        }

        #[test]
        fn a_minimal_network_is_left_alone(network in networks()) {
            // With two units or more in a layer of one input, or one unit below, draws are generic too.
            prop_assert_eq!(network.minimal().unwrap(), network);
        }
    }

    #[test]
    fn one_reduction_leads_to_another() {
        let mut network = Network::random((4, 5, 3), Class::General, Activation::Tanh, 1).unwrap();
        // Only a dead unit of the second layer listens to unit 0 of the first; units 1 and 2 cancel.
        network.c[2] = 0.0;
        network.b.row_mut(0).fill(0.0);
        network.b[(0, 2)] = 1.0;
        let twin = -network.a.column(1);
        network.a.set_column(2, &twin);
        network.theta[2] = -network.theta[1];
        let row = network.b.row(1).into_owned();
        network.b.set_row(2, &row);
        let minimal = network.minimal().unwrap();
        assert_eq!(minimal.dims(), (4, 2, 2));
        assert!(output_difference(&network, &minimal) < 1e-14);
    }

    #[test]
    fn a_constant_has_no_minimal_network() {
        let mut network = Network::random((3, 2, 2), Class::Paper, Activation::Erf, 1).unwrap();
        network.a.fill(0.0);
        assert_eq!(network.minimal(), None);
    }
}
