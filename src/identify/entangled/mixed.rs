//! What the layers share in the third derivatives, once a network is at hand that is nearly right.
//!
//! The mixed terms 3 sym sum_l c_l h''(u_l) v_l (x) (A diag(phi''(z) b_l) A^T) are no cubes: they limit what the
//! decomposition finds wherever neither layer is at an inflection. Taken from the network fitted so far and
//! subtracted, they leave an error of second order, and small units appear that drowned in them.

use nalgebra::{DMatrix, DVector};

use crate::cubic::Cubic;
use crate::network::Network;

/// The mixed terms of `network` at `point` (length d).
pub fn mixed_terms(network: &Network, point: &DVector<f64>) -> Cubic {
    let z = network.a.transpose() * point - &network.theta;
    let u = network.b.transpose() * z.map(|z| network.g.value(z)) - &network.tau;
    let slopes = z.map(|z| network.g.slope(z));
    let curvatures = z.map(|z| network.g.curvature(z));
    let d = point.len();
    let mut slices = vec![DMatrix::zeros(d, d); d];
    for (l, b) in network.b.column_iter().enumerate() {
        let weight = network.c[l] * network.h.curvature(u[l]);
        let v = &network.a * slopes.component_mul(&b) * weight;
        let inner = &network.a
            * DMatrix::from_diagonal(&curvatures.component_mul(&b))
            * network.a.transpose();
        for (k, slice) in slices.iter_mut().enumerate() {
            let column = inner.column(k);
            *slice += &inner * v[k] + &v * column.transpose() + column * v.transpose();
        }
    }
    Cubic::from_slices(&slices).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;
    use crate::network::{Activation, Class};

    #[test]
    fn without_the_mixed_terms_only_cubes_are_left() {
        let network = Network::random((5, 5, 2), Class::General, Activation::Tanh, 3).unwrap();
        let x = draws::unit_vector(&mut draws::stream(1, "mixed", 0), 5) * 0.3;
        let h = 1e-5;
        let slices: Vec<DMatrix<f64>> = (0..5)
            .map(|k| {
                let e = DVector::from_fn(5, |j, _| if j == k { h } else { 0.0 });
                (network.hessian(&(&x + &e)) - network.hessian(&(&x - &e))) / (2.0 * h)
            })
            .collect();
        let left = Cubic::from_slices(&slices).0.minus(&mixed_terms(&network, &x));
        let z = network.a.transpose() * &x - &network.theta;
        let v = &network.a * DMatrix::from_diagonal(&z.map(|z| network.g.slope(z))) * &network.b;
        // Least squares on the cubes of a_i and v_l.
        let mut directions = network.a.clone().resize_horizontally(7, 0.0);
        directions.columns_mut(5, 2).copy_from(&v);
        let inner = (directions.transpose() * &directions).map(|g| g * g * g);
        let contracted = left.contract(&directions);
        let moments = DVector::from_fn(7, |j, _| contracted.column(j).dot(&directions.column(j)));
        let weights = inner.lu().solve(&moments).unwrap();
        let cubes = &directions * DMatrix::from_diagonal(&weights.map(f64::cbrt));
        let rest = left.minus(&Cubic::from_components(&cubes)).norm();
        assert!(rest < 1e-6 * left.norm(), "{rest}");
    }
}
