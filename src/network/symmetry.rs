//! The transformations of the parameters that leave f as it is.
//!
//! They are the permutations of the units of each layer, and a sign for every unit. For an odd
//! activation a sign turns the unit's weights and its outgoing weights over. The sigmoid has
//! phi(-t) = 1 - phi(t), and the 1 moves into the shifts (or the offset) of what follows.

use nalgebra::DVectorView;

use super::{Activation, Network};

impl Network {
    /// Turns the sign of unit `i` of the first layer: (a_i, theta_i) -> -, row i of B -> -, and for
    /// the sigmoid tau -> tau - (old row i of B).
    ///
    /// # Panics
    /// If there is no unit `i`.
    pub fn flip_first(&mut self, i: usize) {
        if self.g == Activation::Sigmoid {
            self.tau -= self.b.row(i).transpose();
        }
        self.a.column_mut(i).neg_mut();
        self.theta[i] = -self.theta[i];
        self.b.row_mut(i).neg_mut();
    }

    /// Turns the sign of unit `l` of the second layer: (b_l, tau_l, c_l) -> -, and for the sigmoid
    /// c0 -> c0 + (old c_l).
    ///
    /// # Panics
    /// If there is no unit `l`.
    pub fn flip_second(&mut self, l: usize) {
        if self.h == Activation::Sigmoid {
            self.c0 += self.c[l];
        }
        self.b.column_mut(l).neg_mut();
        self.tau[l] = -self.tau[l];
        self.c[l] = -self.c[l];
    }

    /// Reorders the first layer: the new unit k is the old unit `order[k]`.
    ///
    /// # Panics
    /// If `order` is not a permutation of 0..m0.
    pub fn permute_first(&mut self, order: &[usize]) {
        assert_permutation(order, self.theta.len());
        self.a = self.a.select_columns(order);
        self.theta = self.theta.select_rows(order);
        self.b = self.b.select_rows(order);
    }

    /// Reorders the second layer: the new unit k is the old unit `order[k]`.
    ///
    /// # Panics
    /// If `order` is not a permutation of 0..m1.
    pub fn permute_second(&mut self, order: &[usize]) {
        assert_permutation(order, self.tau.len());
        self.b = self.b.select_columns(order);
        self.tau = self.tau.select_rows(order);
        self.c = self.c.select_rows(order);
    }

    /// One network for all that are equivalent to this one, up to rounding.
    ///
    /// Every unit has a key, the inner product of its weights and shift with the fixed vector
    /// (cos 1, cos 2, ...). The sign of a first-layer unit makes its key positive, that of a
    /// second-layer unit makes c_l positive (its key, if c_l = 0); then each layer is sorted by
    /// increasing key.
    ///
    /// No choice of sign can be continuous in the weights, and rounding could tip any that is on
    /// its edge. "The largest weight is positive" is on its edge for weights as plain as (1, -1).
    /// The numbers cos k are linearly independent over the algebraic numbers (Lindemann and
    /// Weierstrass), so that weights which are simple numbers never are on the edge of this one.
    #[must_use]
    pub fn canonical(&self) -> Network {
        let mut network = self.clone();
        let (_, m0, m1) = self.dims();
        for i in 0..m0 {
            if network.first_key(i) < 0.0 {
                network.flip_first(i);
            }
        }
        network.permute_first(&sorted(m0, |i| network.first_key(i)));
        for l in 0..m1 {
            let c = network.c[l];
            if c < 0.0 || (c == 0.0 && network.second_key(l) < 0.0) {
                network.flip_second(l);
            }
        }
        network.permute_second(&sorted(m1, |l| network.second_key(l)));
        network
    }

    fn first_key(&self, i: usize) -> f64 {
        key(self.a.column(i), self.theta[i])
    }

    fn second_key(&self, l: usize) -> f64 {
        key(self.b.column(l), self.tau[l])
    }
}

fn key(weights: DVectorView<f64>, shift: f64) -> f64 {
    let values = weights.iter().chain(std::iter::once(&shift));
    values.enumerate().map(|(k, value)| value * libm::cos(k as f64 + 1.0)).sum()
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
    use nalgebra::{DMatrix, dmatrix, dvector};
    use proptest::prelude::*;
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::StandardNormal;

    use super::*;
    use crate::network::Class;

    /// Networks of every size up to 6-7-5, class and pair of activations.
    pub(crate) fn networks() -> impl Strategy<Value = Network> {
        let dims = (1usize..=6, 1usize..=7, 1usize..=5);
        let class = prop::sample::select(&Class::ALL[..]);
        let phi = || prop::sample::select(&Activation::ALL[..]);
        (dims, class, phi(), phi(), any::<u64>()).prop_map(|(dims, class, g, h, seed)| Network {
            h,
            ..Network::random(dims, class, g, seed).unwrap()
        })
    }

    /// The network under a random element of the symmetry group.
    pub(crate) fn disguised(network: &Network, seed: u64) -> Network {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut other = network.clone();
        let (_, m0, m1) = other.dims();
        (0..m0).filter(|_| rng.random()).for_each(|i| other.flip_first(i));
        (0..m1).filter(|_| rng.random()).for_each(|l| other.flip_second(l));
        let mut order: Vec<usize> = (0..m0).collect();
        order.shuffle(rng);
        other.permute_first(&order);
        let mut order: Vec<usize> = (0..m1).collect();
        order.shuffle(rng);
        other.permute_second(&order);
        other
    }

    /// Largest difference of the outputs on a few Gaussian points.
    pub(crate) fn output_difference(left: &Network, right: &Network) -> f64 {
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let mut draw = |_, _| 3.0 * rng.sample::<f64, _>(StandardNormal);
        let points = DMatrix::from_fn(left.dims().0, 50, &mut draw);
        (left.values(&points) - right.values(&points)).amax()
    }

    #[test]
    fn the_sign_of_a_plain_weight_vector_is_not_left_to_rounding() {
        let network = Network {
            a: dmatrix![1.0, 0.0, 1.0; -1.0, 1.0, 1.0],
            theta: dvector![0.0, 0.0, 0.0],
            b: dmatrix![1.0, 0.0; 0.0, 1.0; 0.0, 0.0],
            tau: dvector![0.0, 0.0],
            c: dvector![1.0, 1.0],
            c0: 0.0,
            g: Activation::Tanh,
            h: Activation::Tanh,
        };
        for seed in 0..64 {
            let mut other = disguised(&network, seed);
            let rng = &mut ChaCha8Rng::seed_from_u64(seed);
            other.a.iter_mut().chain(other.b.iter_mut()).for_each(|entry| {
                *entry += rng.random_range(-1e-12..1e-12);
            });
            let difference = other.canonical().to_vector() - network.canonical().to_vector();
            assert!(difference.amax() < 1e-11);
        }
    }

    #[test]
    #[should_panic(expected = "not a permutation")]
    fn a_repeated_unit_is_no_permutation() {
        let mut network = Network::random((2, 3, 1), Class::Paper, Activation::Tanh, 0).unwrap();
        network.permute_first(&[0, 1, 1]);
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
            let canonical = network.canonical();
            let other = disguised(&network, seed).canonical();
            prop_assert!((canonical.to_vector() - other.to_vector()).amax() < 1e-12);
            prop_assert!((canonical.canonical().to_vector() - canonical.to_vector()).amax() < 1e-12);
            prop_assert!(output_difference(&network, &canonical) < 1e-12);
        }

        #[test]
        fn a_sign_turned_twice_is_as_before(network in networks()) {
            let mut other = network.clone();
            other.flip_first(0);
            other.flip_first(0);
            other.flip_second(0);
            other.flip_second(0);
            prop_assert!((network.to_vector() - other.to_vector()).amax() < 1e-14);
        }
    }
}
