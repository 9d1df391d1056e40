//! The network with one hidden layer, f(x) = c0 + sum_i c_i phi(a_i . x - theta_i).

use nalgebra::{DMatrix, DVector};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::network::model::Model;
use crate::network::{Activation, Class, Network, NetworkError};

/// The parameters of a network with one hidden layer and one output.
#[derive(Clone, Debug, PartialEq)]
pub struct Shallow {
    /// d x m, columns a_i.
    pub a: DMatrix<f64>,
    /// Shifts, subtracted, length m.
    pub theta: DVector<f64>,
    /// Output weights, length m.
    pub c: DVector<f64>,
    /// Output offset.
    pub c0: f64,
    /// Activation.
    pub phi: Activation,
}

impl Shallow {
    /// A random network of dimensions (d, m): the first layer is drawn as that of
    /// [`Network::random`], output weights and offset as its `c` and `c0`, but |c_i| uniform in
    /// [0.5, 2] in either class: with c = 1 the signs would be told.
    ///
    /// # Errors
    /// As [`Network::random`].
    pub fn random(
        (d, m): (usize, usize),
        class: Class,
        phi: Activation,
        seed: u64,
    ) -> Result<Shallow, NetworkError> {
        let first = Network::random((d, m, 1), class, phi, seed)?;
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        // A stream of its own: the first layer came from stream 0.
        rng.set_stream(1);
        let c = DVector::from_fn(m, |_, _| {
            let magnitude = rng.random_range(0.5..=2.0);
            if rng.random() { magnitude } else { -magnitude }
        });
        let c0 = match class {
            Class::Paper => 0.0,
            Class::General => rng.sample(StandardNormal),
        };
        Ok(Shallow { a: first.a, theta: first.theta, c, c0, phi })
    }

    /// (d, m).
    pub fn dims(&self) -> (usize, usize) {
        self.a.shape()
    }

    /// Checks shapes and finiteness.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), NetworkError> {
        let (d, m) = self.dims();
        if d == 0 || m == 0 {
            return Err(NetworkError::Empty(d, m, 1));
        }
        for (tensor, vector) in [("theta", &self.theta), ("c", &self.c)] {
            if vector.len() != m {
                let (found, expected) = (vec![vector.len()], vec![m]);
                return Err(NetworkError::Shape { tensor, found, expected });
            }
        }
        for (name, values) in self.tensors() {
            if values.iter().any(|v| !v.is_finite()) {
                return Err(NetworkError::NotFinite(name));
            }
        }
        Ok(())
    }

    /// A^T x - theta at the columns of `points`: m x n. Sums run in a fixed order, so that a value
    /// does not depend on the batch that it is asked in.
    fn inner(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let mut z = DMatrix::zeros(self.theta.len(), points.ncols());
        for (x, mut z) in points.column_iter().zip(z.column_iter_mut()) {
            for ((z, a), theta) in z.iter_mut().zip(self.a.column_iter()).zip(self.theta.iter()) {
                *z = a.iter().zip(x.iter()).fold(-theta, |sum, (a, x)| sum + a * x);
            }
        }
        z
    }

    /// The derivative of the value with respect to input `i`, where the units' arguments a . x - theta are `arguments`.
    pub(crate) fn slope_along(&self, i: usize, arguments: impl Iterator<Item = f64>) -> f64 {
        let Shallow { a, c, phi, .. } = self;
        let units = a.row(i).into_iter().zip(c.iter()).zip(arguments);
        units.map(|((a, c), argument)| a * c * phi.slope(argument)).sum()
    }

    /// Turns the sign of unit `i`: (a_i, theta_i, c_i) -> -, and for the sigmoid c0 -> c0 + (old c_i).
    pub(crate) fn flip(&mut self, i: usize) {
        if self.phi == Activation::Sigmoid {
            self.c0 += self.c[i];
        }
        self.a.column_mut(i).neg_mut();
        self.theta[i] = -self.theta[i];
        self.c[i] = -self.c[i];
    }

    /// The same function with the activation `phi`; `None` if it cannot be rewritten so: only tanh and
    /// sigmoid are each other's rewriting, sigma(z) = (1 + tanh(z/2)) / 2.
    #[must_use]
    pub fn with_activation(&self, phi: Activation) -> Option<Shallow> {
        let Shallow { a, theta, c, c0, .. } = self;
        match (self.phi, phi) {
            (from, to) if from == to => Some(self.clone()),
            (Activation::Sigmoid, Activation::Tanh) => Some(Shallow {
                a: a * 0.5,
                theta: theta * 0.5,
                c: c * 0.5,
                c0: c0 + 0.5 * c.sum(),
                phi,
            }),
            (Activation::Tanh, Activation::Sigmoid) => {
                Some(Shallow { a: a * 2.0, theta: theta * 2.0, c: c * 2.0, c0: c0 - c.sum(), phi })
            }
            _ => None,
        }
    }
}

impl Model for Shallow {
    const DEPTH: usize = 1;

    fn inputs(&self) -> usize {
        self.a.nrows()
    }

    fn widths(&self) -> Vec<usize> {
        vec![self.a.ncols()]
    }

    fn first_layer(&self) -> &DMatrix<f64> {
        &self.a
    }
    fn activations(&self) -> Vec<Activation> {
        vec![self.phi]
    }

    fn parameter_count(&self) -> usize {
        self.a.len() + 2 * self.theta.len() + 1
    }

    fn to_vector(&self) -> DVector<f64> {
        let tensors = self.tensors();
        let entries = tensors.iter().flat_map(|(_, values)| values.iter().copied());
        DVector::from_iterator(self.parameter_count(), entries)
    }

    fn with_vector(&self, parameters: &DVector<f64>) -> Self {
        let (d, m) = self.dims();
        let (a, rest) = parameters.as_slice().split_at(d * m);
        let (theta, rest) = rest.split_at(m);
        let (c, c0) = rest.split_at(m);
        Shallow {
            a: DMatrix::from_column_slice(d, m, a),
            theta: DVector::from_column_slice(theta),
            c: DVector::from_column_slice(c),
            c0: c0[0],
            phi: self.phi,
        }
    }

    fn values(&self, points: &DMatrix<f64>) -> DVector<f64> {
        let mut y = self.inner(points);
        self.phi.apply(y.as_mut_slice());
        let of_point = |y: nalgebra::DVectorView<f64>| {
            y.iter().zip(self.c.iter()).fold(self.c0, |sum, (y, c)| sum + c * y)
        };
        DVector::from_iterator(points.ncols(), y.column_iter().map(of_point))
    }

    fn jacobian_transposed(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let (d, m) = self.dims();
        let z = self.inner(points);
        let mut out = DMatrix::zeros(self.parameter_count(), points.ncols());
        for (k, mut row) in out.column_iter_mut().enumerate() {
            for i in 0..m {
                let slope = self.c[i] * self.phi.slope(z[(i, k)]);
                row.rows_mut(i * d, d).axpy(slope, &points.column(k), 0.0);
                row[d * m + i] = -slope;
                row[d * m + m + i] = self.phi.value(z[(i, k)]);
            }
            row[d * m + 2 * m] = 1.0;
        }
        out
    }

    fn tensors(&self) -> Vec<(&'static str, &[f64])> {
        vec![
            ("A", self.a.as_slice()),
            ("theta", self.theta.as_slice()),
            ("c", self.c.as_slice()),
            ("c0", std::slice::from_ref(&self.c0)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;

    #[test]
    fn the_jacobian_is_that_of_the_values() {
        for phi in Activation::ALL {
            let network = Shallow::random((4, 3), Class::General, phi, 2).unwrap();
            let points = draws::gaussian(&mut draws::stream(1, "test", 0), 4, 5);
            let jt = network.jacobian_transposed(&points);
            let parameters = network.to_vector();
            for j in 0..parameters.len() {
                let moved = |h: f64| {
                    let mut parameters = parameters.clone();
                    parameters[j] += h;
                    network.with_vector(&parameters).values(&points)
                };
                let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((jt.row(j).transpose() - difference).amax() < 1e-8, "{phi} {j}");
            }
        }
    }

    #[test]
    fn rewritings_leave_the_function_as_it_is() {
        let points = draws::gaussian(&mut draws::stream(1, "test", 1), 4, 50);
        for phi in Activation::ALL {
            let network = Shallow::random((4, 3), Class::General, phi, 3).unwrap();
            let mut flipped = network.clone();
            flipped.flip(1);
            assert!((flipped.values(&points) - network.values(&points)).amax() < 1e-14);
            for to in Activation::ALL {
                match network.with_activation(to) {
                    Some(other) => {
                        assert!((other.values(&points) - network.values(&points)).amax() < 1e-13);
                    }
                    None => assert!((phi == Activation::Erf) != (to == Activation::Erf)),
                }
            }
        }
    }
}
