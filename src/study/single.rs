//! A network as programs in single precision compute it: weights, inputs, sums and activations are f32.

use nalgebra::DMatrix;
use rayon::prelude::*;

use crate::network::Network;

/// The network with the weights that f32 has.
pub fn rounded(mut network: Network) -> Network {
    let round = |x: &mut f64| *x = f64::from(*x as f32);
    for layer in &mut network.layers {
        layer.weights.apply(round);
        layer.shifts.apply(round);
    }
    network.c.apply(round);
    network.c0.apply(round);
    network
}

/// Outputs before the link at the columns of `points` (d x n), K x n, of a network whose weights are f32: term by term, each
/// product and each sum rounded. Activations are rounded to the nearest, as good libraries nearly have them.
pub fn logits(network: &Network, points: &DMatrix<f64>) -> DMatrix<f64> {
    let columns: Vec<Vec<f32>> = (0..points.ncols())
        .into_par_iter()
        .map(|k| {
            let mut y: Vec<f32> = points.column(k).iter().map(|&x| x as f32).collect();
            for layer in &network.layers {
                let phi = layer.activation;
                let shifts = layer.shifts.iter().map(|&shift| -shift);
                y = affine(&layer.weights, shifts, &y)
                    .map(|t| phi.value(f64::from(t)) as f32)
                    .collect();
            }
            affine(&network.c, network.c0.iter().copied(), &y).collect()
        })
        .collect();
    DMatrix::from_fn(network.output_dim(), points.ncols(), |i, k| f64::from(columns[k][i]))
}

/// offset + column . y for all columns.
fn affine<'a>(
    weights: &'a DMatrix<f64>,
    offsets: impl Iterator<Item = f64> + 'a,
    y: &'a [f32],
) -> impl Iterator<Item = f32> + 'a {
    weights.column_iter().zip(offsets).map(move |(column, offset)| {
        let products = column.iter().zip(y).map(|(&w, &y)| w as f32 * y);
        products.sum::<f32>() + offset as f32
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;
    use crate::network::{Activation, Class};

    #[test]
    fn sums_and_inputs_are_single_and_errors_grow_with_the_distance() {
        let dims = [10, 8, 3];
        let network = Network::random(&dims, 2, Class::General, Activation::Tanh, 1).unwrap();
        let network = rounded(network);
        // Where units are in their transitions, however far out.
        let error = |size: f64| {
            let mut points = draws::gaussian(&mut draws::stream(1, "single", 0), 10, 2000) * size;
            let first = &network.layers[0];
            for (k, mut x) in points.column_iter_mut().enumerate() {
                let (a, shift) = (first.weights.column(k % 8), first.shifts[k % 8]);
                let off = (a.dot(&x) - shift) / a.norm_squared();
                x.axpy(-off, &a, 1.0);
            }
            let single = logits(&network, &points);
            assert!(single.iter().all(|&v| f64::from(v as f32) == v));
            let errors = single - network.logits(&points);
            errors.norm() / (errors.len() as f64).sqrt()
        };
        let (near, far) = (error(1.0), error(1000.0));
        assert!((2e-8..5e-7).contains(&near), "{near:e}");
        assert!((1e-6..1e-3).contains(&far), "{far:e}");
    }

    #[test]
    fn weights_of_f32_stay() {
        let network = Network::random(&[4, 3], 1, Class::General, Activation::Erf, 1).unwrap();
        let once = rounded(network.clone());
        assert_ne!(once, network);
        assert_eq!(rounded(once.clone()), once);
    }
}
