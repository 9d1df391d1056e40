//! What the units of a network put out at the points of a sample.

use nalgebra::DMatrix;

use crate::network::{TwoLayer, arguments};

/// Outputs of the units at n points.
pub struct Outputs {
    /// z = A^T x - theta, m0 x n.
    pub arguments: DMatrix<f64>,
    /// y = g(z), m0 x n.
    pub first: DMatrix<f64>,
    /// h(B^T y - tau), m1 x n.
    pub second: DMatrix<f64>,
    /// c h'(B^T y - tau), m1 x n: the weights of the second layer's arguments in f.
    pub weights: DMatrix<f64>,
}

impl Outputs {
    /// At the columns of `points`.
    pub fn new(network: &TwoLayer, points: &DMatrix<f64>) -> Outputs {
        let TwoLayer { a, theta, b, tau, c, g, h, .. } = network;
        let z = arguments(points, (a, theta));
        let mut first = z.clone();
        g.values(first.as_mut_slice());
        let mut second = arguments(&first, (b, tau));
        let mut weights = second.clone();
        h.slopes(weights.as_mut_slice());
        h.values(second.as_mut_slice());
        weights.column_iter_mut().for_each(|mut w| w.component_mul_assign(c));
        Outputs { arguments: z, first, second, weights }
    }
}
