//! The second layer, with those units of the first whose part in it does not show where all are saturated: two units
//! of nearly one direction always lie on one side, and few units have few patterns of sides.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use crate::algebra::linalg::zeros;
use crate::network::OneLayer;
use crate::network::model::Model;
use crate::network::{Activation, TwoLayer};

/// f where the units that are not `free` are saturated. A point is x, then the outputs of all units of the first layer
/// by their sides, 0 for the free ones: (d + m0) coordinates.
#[derive(Clone, Debug)]
pub struct Core {
    /// The free units, ascending.
    pub free: Vec<usize>,
    /// Their weights, d x t.
    pub a: DMatrix<f64>,
    /// Their shifts, length t.
    pub theta: DVector<f64>,
    /// The activation of the first layer.
    pub g: Activation,
    /// The second layer, of all m0 units.
    pub second: OneLayer,
}

impl Core {
    /// Of `network`.
    pub fn new(network: &TwoLayer, free: Vec<usize>) -> Self {
        let TwoLayer { a, theta, b, tau, c, c0, g, h } = network;
        Core {
            a: a.select_columns(&free),
            theta: theta.select_rows(&free),
            g: *g,
            second: OneLayer { a: b.clone(), theta: tau.clone(), c: c.clone(), c0: *c0, phi: *h },
            free,
        }
    }

    /// Arguments of the free units (t x n), and the outputs of all units (m0 x n).
    fn first(&self, points: &DMatrix<f64>) -> (DMatrix<f64>, DMatrix<f64>) {
        let d = self.a.nrows();
        let mut outputs = points.rows(d, points.nrows() - d).into_owned();
        let mut z = self.a.transpose() * points.rows(0, d);
        z.column_iter_mut().for_each(|mut z| z -= &self.theta);
        let mut y = z.clone();
        self.g.values(y.as_mut_slice());
        for (s, &unit) in self.free.iter().enumerate() {
            outputs.row_mut(unit).copy_from(&y.row(s));
        }
        (z, outputs)
    }
}

impl Model for Core {
    const DEPTH: usize = 2;

    fn inputs(&self) -> usize {
        self.a.nrows() + self.second.a.nrows()
    }
    fn widths(&self) -> Vec<usize> {
        vec![self.free.len(), self.second.c.len()]
    }
    fn activations(&self) -> Vec<Activation> {
        vec![self.g, self.second.phi]
    }
    fn first_layer(&self) -> &DMatrix<f64> {
        &self.a
    }
    fn parameter_count(&self) -> usize {
        self.a.len() + self.theta.len() + self.second.parameter_count()
    }
    fn to_vector(&self) -> DVector<f64> {
        let second = self.second.to_vector();
        let all = self.a.iter().chain(self.theta.iter()).chain(second.iter()).copied();
        DVector::from_iterator(self.parameter_count(), all)
    }
    fn with_vector(&self, parameters: &DVector<f64>) -> Self {
        let (own, t) = (self.a.len(), self.theta.len());
        let rest = parameters.len() - own - t;
        Core {
            a: DMatrix::from_column_slice(self.a.nrows(), t, &parameters.as_slice()[..own]),
            theta: parameters.rows(own, t).into_owned(),
            second: self.second.with_vector(&parameters.rows(own + t, rest).into_owned()),
            ..self.clone()
        }
    }
    fn values(&self, points: &DMatrix<f64>) -> DVector<f64> {
        self.second.values(&self.first(points).1)
    }
    fn jacobian_transposed(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let (mut slopes, outputs) = self.first(points);
        let (d, t) = self.a.shape();
        let of_second = self.second.jacobian_transposed(&outputs);
        if t == 0 {
            return of_second;
        }
        self.g.slopes(slopes.as_mut_slice());
        let of_units = self.second.slopes_at(self.second.a.transpose() * &outputs);
        let count = self.parameter_count();
        let mut jt = zeros(count, points.ncols());
        jt.as_mut_slice().par_chunks_mut(count).enumerate().for_each(|(k, row)| {
            for (s, &unit) in self.free.iter().enumerate() {
                let slope = slopes[(s, k)] * self.second.slope_along(unit, of_units.column(k));
                for (j, entry) in row[s * d..(s + 1) * d].iter_mut().enumerate() {
                    *entry = slope * points[(j, k)];
                }
                row[t * d + s] = -slope;
            }
            row[t * (d + 1)..].copy_from_slice(of_second.column(k).as_slice());
        });
        jt
    }
    fn tensors(&self) -> Vec<(&'static str, &[f64])> {
        let first = [("A", self.a.as_slice()), ("theta", self.theta.as_slice())];
        let of_both = |(name, values)| match name {
            "A" => ("B", values),
            "theta" => ("tau", values),
            other => (other, values),
        };
        first.into_iter().chain(self.second.tensors().into_iter().map(of_both)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;
    use crate::network::Class;

    #[test]
    fn the_core_is_the_network_where_the_others_are_saturated() {
        let network = TwoLayer::random((4, 5, 2), Class::General, Activation::Tanh, 1).unwrap();
        let core = Core::new(&network, vec![1, 3]);
        let x = draws::gaussian(&mut draws::stream(1, "core", 0), 4, 6);
        let mut points = x.clone().insert_rows(4, 5, 0.0);
        let mut y = network.a.transpose() * &x;
        y.column_iter_mut().for_each(|mut y| y -= &network.theta);
        for (k, y) in y.column_iter().enumerate() {
            for j in [0, 2, 4] {
                points[(4 + j, k)] = y[j].tanh();
            }
        }
        assert!((core.values(&points) - network.values(&x)).amax() < 1e-14);
        // The Jacobian is that of differences.
        let jt = core.jacobian_transposed(&points);
        let p = core.to_vector();
        assert_eq!(core.with_vector(&p).to_vector(), p);
        for j in 0..p.len() {
            let at = |by: f64| {
                let mut moved = p.clone();
                moved[j] += by;
                core.with_vector(&moved).values(&points)
            };
            let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((jt.row(j).transpose() - slope).amax() < 1e-8, "{j}");
        }
    }
}
