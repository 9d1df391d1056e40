//! The minimal network with the values of a degenerate one.

use nalgebra::{DMatrix, DVector};

use crate::network::Network;

/// The network without units that f does not show: those without an effect are dropped, constant ones
/// go into what follows them, units that are equal up to sign become one. `None` if f is constant.
///
/// Only what holds exactly counts: weights that are zero, units that are equal bit by bit. The order of
/// what is left stays.
pub fn minimal(network: &Network) -> Option<Network> {
    let mut network = network.clone();
    // A step of one layer may make room for one of the other.
    while reduce_second(&mut network) || reduce_first(&mut network) {}
    let (_, m0, m1) = network.dims();
    (m0 > 0 && m1 > 0).then_some(network)
}

/// Takes one unit from the second layer, if one can be spared.
fn reduce_second(network: &mut Network) -> bool {
    let m1 = network.c.len();
    for l in 0..m1 {
        if network.c[l] == 0.0 {
            drop_second(network, l);
            return true;
        }
        if is_zero(&network.b, l) {
            network.c0 += network.c[l] * network.h.value(-network.tau[l]);
            drop_second(network, l);
            return true;
        }
        for k in 0..l {
            if let Some(sign) = same(&network.b, &network.tau, k, l) {
                if sign < 0.0 {
                    network.flip_second(l);
                }
                network.c[k] += network.c[l];
                drop_second(network, l);
                return true;
            }
        }
    }
    false
}

/// Takes one unit from the first layer, if one can be spared.
fn reduce_first(network: &mut Network) -> bool {
    let m0 = network.theta.len();
    for i in 0..m0 {
        let row = network.b.row(i).transpose();
        if row.iter().all(|&b| b == 0.0) {
            drop_first(network, i);
            return true;
        }
        if is_zero(&network.a, i) {
            network.tau -= row * network.g.value(-network.theta[i]);
            drop_first(network, i);
            return true;
        }
        for k in 0..i {
            if let Some(sign) = same(&network.a, &network.theta, k, i) {
                if sign < 0.0 {
                    network.flip_first(i);
                }
                let sum = network.b.row(k) + network.b.row(i);
                network.b.set_row(k, &sum);
                drop_first(network, i);
                return true;
            }
        }
    }
    false
}

fn is_zero(weights: &DMatrix<f64>, unit: usize) -> bool {
    weights.column(unit).iter().all(|&weight| weight == 0.0)
}

/// The sign that takes unit `k` to unit `i`, if one does.
fn same(weights: &DMatrix<f64>, shifts: &DVector<f64>, k: usize, i: usize) -> Option<f64> {
    [1.0, -1.0].into_iter().find(|sign| {
        let mut pairs = weights.column(k).into_iter().zip(weights.column(i));
        pairs.all(|(p, q)| p * sign == *q) && shifts[k] * sign == shifts[i]
    })
}

fn drop_first(network: &mut Network, i: usize) {
    network.a = network.a.clone().remove_column(i);
    network.theta = network.theta.clone().remove_row(i);
    network.b = network.b.clone().remove_row(i);
}

fn drop_second(network: &mut Network, l: usize) {
    network.b = network.b.clone().remove_column(l);
    network.tau = network.tau.clone().remove_row(l);
    network.c = network.c.clone().remove_row(l);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;
    use crate::network::{Activation, Class};
    use crate::study::Hardness;

    #[test]
    fn every_degenerate_network_shrinks_and_keeps_its_values() {
        let points = draws::gaussian(&mut draws::stream(1, "test", 0), 6, 200) * 3.0;
        for activation in Activation::ALL {
            let plain = Network::random((6, 5, 3), Class::General, activation, 3).unwrap();
            for hardness in Hardness::ALL {
                let network = hardness.applied(plain.clone());
                let least = minimal(&network).unwrap();
                least.validate().unwrap();
                let widths = match hardness {
                    Hardness::DeadUnit | Hardness::TwinFirst | Hardness::MirroredFirst => (4, 3),
                    Hardness::ZeroOutput | Hardness::TwinSecond | Hardness::MirroredSecond => {
                        (5, 2)
                    }
                    _ => (5, 3),
                };
                assert_eq!((least.a.ncols(), least.b.ncols()), widths, "{hardness:?}");
                let difference = least.values(&points) - network.values(&points);
                assert!(difference.amax() < 1e-13, "{activation} {hardness:?}");
            }
        }
    }

    #[test]
    fn a_unit_that_only_another_layer_frees_goes_too() {
        let points = draws::gaussian(&mut draws::stream(1, "test", 0), 6, 50);
        let mut network = Network::random((6, 5, 3), Class::General, Activation::Tanh, 3).unwrap();
        // The only unit that hears of unit 2 has no effect; unit 4 is constant.
        network.b.row_mut(2).fill(0.0);
        network.b[(2, 1)] = 1.0;
        network.c[1] = 0.0;
        network.a.column_mut(4).fill(0.0);
        let least = minimal(&network).unwrap();
        assert_eq!(least.dims(), (6, 3, 2));
        assert!((least.values(&points) - network.values(&points)).amax() < 1e-14);
        network.c.fill(0.0);
        assert_eq!(minimal(&network), None);
    }
}
