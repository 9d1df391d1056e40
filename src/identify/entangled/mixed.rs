//! What the layers share in the third derivatives.
//!
//! The mixed terms 3 sym sum_l c_l h''(u_l) v_l (x) (A diag(phi''(z) b_l) A^T) are no cubes: they limit what the
//! decomposition finds wherever neither layer is at an inflection. Told by the directions found so far and
//! subtracted, they leave an error of second order, and small units appear that drowned in them.

use nalgebra::{DMatrix, DVector};

use super::scales::Layers;
use super::tolerances::LARGEST_WEIGHT_RATIO;
use crate::algebra::linalg::median;
use crate::algebra::symmetric_tensor::Cubic;

/// The mixed terms at the point of `layers` from the directions and their weights alone, whatever the
/// activations: with unit columns a_i and v_l, w_l the weight of v_l in the Hessian, rho_i the weight of a_i in
/// the Hessian over that in the gradient (alpha phi''/phi') and v_l = sum_i beta_il a_i, they are
///
/// ```text
/// 3 sym sum_l w_l v_l (x) sum_i rho_i beta_il a_i a_i^T
/// ```
///
/// `None` if the a_i are linearly dependent.
pub fn mixed_of(layers: &Layers) -> Option<Cubic> {
    let a = &layers.first;
    let beta = a.clone().lu().solve(&layers.entangled)?;
    let ratios = layers.first_weights.second.component_div(&layers.first_weights.first);
    let usual = median(ratios.abs().as_slice()).filter(|m| m.is_finite()).unwrap_or(0.0);
    let rho = within(&ratios, LARGEST_WEIGHT_RATIO * usual);
    let terms = layers.entangled.column_iter().zip(layers.entangled_weights.second.iter());
    Some(sum(terms.enumerate().map(|(l, (v, weight))| {
        let inner = DMatrix::from_diagonal(&(rho.component_mul(&beta.column(l)) * *weight));
        (v.into_owned(), a * inner * a.transpose())
    })))
}

/// 3 sym sum v (x) M over pairs of a vector (length d) and a symmetric matrix.
fn sum(pairs: impl Iterator<Item = (DVector<f64>, DMatrix<f64>)>) -> Cubic {
    let mut slices: Vec<DMatrix<f64>> = Vec::new();
    for (v, inner) in pairs {
        let d = v.len();
        slices.resize(d, DMatrix::zeros(d, d));
        for (k, slice) in slices.iter_mut().enumerate() {
            let column = inner.column(k);
            *slice += &inner * v[k] + &v * column.transpose() + column * v.transpose();
        }
    }
    Cubic::from_slices(&slices).0
}

/// Entries beyond +-`most` cut to it; what is not finite is 0.
fn within(values: &DVector<f64>, most: f64) -> DVector<f64> {
    values.map(|v| if v.is_finite() { v.clamp(-most, most) } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;
    use crate::identify::entangled::scales::Weights;
    use crate::network::{Activation, Class, TwoLayer};

    /// The mixed terms of `network` at `point` (length d).
    fn mixed_terms(network: &TwoLayer, point: &DVector<f64>) -> Cubic {
        let z = network.a.transpose() * point - &network.theta;
        let u = network.b.transpose() * z.map(|z| network.g.value(z)) - &network.tau;
        let slopes = z.map(|z| network.g.slope(z));
        let curvatures = z.map(|z| network.g.curvature(z));
        sum(network.b.column_iter().enumerate().map(|(l, b)| {
            let weight = network.c[l] * network.h.curvature(u[l]);
            let v = &network.a * slopes.component_mul(&b) * weight;
            let inner = DMatrix::from_diagonal(&curvatures.component_mul(&b));
            (v, &network.a * inner * network.a.transpose())
        }))
    }

    #[test]
    fn without_the_mixed_terms_only_cubes_are_left() {
        let network = TwoLayer::random((5, 5, 2), Class::General, Activation::Tanh, 3).unwrap();
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

    #[test]
    fn directions_and_weights_tell_the_mixed_terms() {
        let network = TwoLayer::random((5, 5, 2), Class::General, Activation::Tanh, 4).unwrap();
        let x = draws::unit_vector(&mut draws::stream(1, "mixed", 1), 5) * 0.3;
        let z = network.a.transpose() * &x - &network.theta;
        let u = network.b.transpose() * z.map(f64::tanh) - &network.tau;
        let [slopes, curvatures] = [Activation::slope, Activation::curvature]
            .map(|of: fn(Activation, f64) -> f64| z.map(|z| of(Activation::Tanh, z)));
        let p = &network.b * network.c.component_mul(&u.map(|u| Activation::Tanh.slope(u)));
        let v = &network.a * DMatrix::from_diagonal(&slopes) * &network.b;
        let lengths = |m: &DMatrix<f64>| {
            DVector::from_iterator(m.ncols(), m.column_iter().map(|column| column.norm()))
        };
        let (alpha, nu) = (lengths(&network.a), lengths(&v));
        let weights = |first, second| Weights { first, second, third: None };
        let layers = Layers {
            point: x.clone(),
            value: 0.0,
            first: &network.a * DMatrix::from_diagonal(&alpha.map(f64::recip)),
            first_weights: weights(
                alpha.component_mul(&slopes).component_mul(&p),
                alpha.component_mul(&alpha).component_mul(&curvatures).component_mul(&p),
            ),
            entangled: &v * DMatrix::from_diagonal(&nu.map(f64::recip)),
            entangled_weights: weights(
                DVector::zeros(2),
                nu.component_mul(&nu)
                    .component_mul(&network.c)
                    .component_mul(&u.map(|u| Activation::Tanh.curvature(u))),
            ),
        };
        let truth = mixed_terms(&network, &x);
        let told = mixed_of(&layers).unwrap();
        assert!(told.minus(&truth).norm() < 1e-9 * truth.norm());
    }
}
