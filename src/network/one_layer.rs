//! The network of one hidden layer and one output, f(x) = c0 + sum_i c_i phi(a_i . x - theta_i), as the
//! identification works on it.

use nalgebra::{DMatrix, DVector, DVectorView};
use rayon::prelude::*;

use super::evaluate::{Step, forward};
use super::model::Model;
use super::{Activation, Class, Layer, Link, Matching, Network, NetworkError, Symmetry};
use crate::algebra::linalg::zeros;

/// The parameters of a network with one hidden layer and one output.
#[derive(Clone, Debug, PartialEq)]
pub struct OneLayer {
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

impl From<&OneLayer> for Network {
    fn from(from: &OneLayer) -> Network {
        let layer =
            Layer { weights: from.a.clone(), shifts: from.theta.clone(), activation: from.phi };
        Network {
            layers: vec![layer],
            c: DMatrix::from_column_slice(from.c.len(), 1, from.c.as_slice()),
            c0: DVector::from_element(1, from.c0),
            link: Link::None,
        }
    }
}

impl From<OneLayer> for Network {
    fn from(from: OneLayer) -> Network {
        Network::from(&from)
    }
}

impl TryFrom<&Network> for OneLayer {
    type Error = NetworkError;

    /// [`NetworkError::Kind`] unless it has one hidden layer, one output and no link.
    fn try_from(network: &Network) -> Result<OneLayer, NetworkError> {
        match (network.layers.as_slice(), network.output_dim(), network.link) {
            ([layer], 1, Link::None) => Ok(OneLayer {
                a: layer.weights.clone(),
                theta: layer.shifts.clone(),
                c: network.c.column(0).into_owned(),
                c0: network.c0[0],
                phi: layer.activation,
            }),
            _ => Err(NetworkError::Kind { hidden: 1, found: network.to_string() }),
        }
    }
}

impl OneLayer {
    /// [`Network::random`] of dimensions (d, m) and one output.
    ///
    /// # Errors
    /// As there.
    pub fn random(
        (d, m): (usize, usize),
        class: Class,
        phi: Activation,
        seed: u64,
    ) -> Result<OneLayer, NetworkError> {
        (&Network::random(&[d, m], 1, class, phi, seed)?).try_into()
    }

    /// [`Network::matching`] with this network as the truth.
    #[must_use]
    pub fn matching(&self, other: &(impl Clone + Into<Network>)) -> Matching {
        Network::from(self).matching(&other.clone().into())
    }

    /// (d, m).
    pub fn dims(&self) -> (usize, usize) {
        self.a.shape()
    }

    /// Are output weights parameters of their own? Where a unit may be longer and its output weight smaller they are not: they
    /// stay as they are, and what is fitted is how long the units are.
    fn fits_c(&self) -> bool {
        self.phi.symmetry() != Symmetry::Scale
    }

    /// The same function with weights of a norm of 1 over `length`, where the activation leaves that open.
    #[must_use]
    pub(crate) fn normalised(&self, length: f64) -> OneLayer {
        let mut normalised = self.clone();
        for i in (0..self.theta.len()).filter(|_| !self.fits_c()) {
            let factor = 1.0 / (self.a.column(i).norm() * length);
            normalised.a.column_mut(i).scale_mut(factor);
            normalised.theta[i] *= factor;
            normalised.c[i] /= factor.powi(self.phi.degree());
        }
        normalised
    }

    /// The hidden layer: A^T x - theta, through `activation` if there is one.
    fn hidden(&self, activation: Option<Activation>) -> Step<'_> {
        Step { weights: self.a.as_slice(), shifts: self.theta.as_slice(), activation }
    }

    /// The derivative of the value with respect to input `i`, where the `slopes` of the units are phi'(a . x - theta).
    pub(crate) fn slope_along(&self, i: usize, slopes: DVectorView<'_, f64>) -> f64 {
        let units = self.a.row(i).into_iter().zip(self.c.iter()).zip(slopes.iter());
        units.map(|((a, c), slope)| a * c * slope).sum()
    }

    /// phi'(a . x - theta) of all units where a . x is one of `products` (m x n).
    pub(crate) fn slopes_at(&self, mut products: DMatrix<f64>) -> DMatrix<f64> {
        products.column_iter_mut().for_each(|mut u| u -= &self.theta);
        self.phi.slopes(products.as_mut_slice());
        products
    }

    /// [`Network::with_activations`].
    #[must_use]
    pub fn with_activation(&self, phi: Activation) -> Option<OneLayer> {
        OneLayer::try_from(&Network::from(self).with_activations(&[phi])?).ok()
    }
}

impl Model for OneLayer {
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
        let c = if self.fits_c() { self.c.len() } else { 0 };
        self.a.len() + self.theta.len() + c + 1
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
        let (c, c0) = rest.split_at(rest.len() - 1);
        OneLayer {
            a: DMatrix::from_column_slice(d, m, a),
            theta: DVector::from_column_slice(theta),
            c: if self.fits_c() { DVector::from_column_slice(c) } else { self.c.clone() },
            c0: c0[0],
            phi: self.phi,
        }
    }

    fn values(&self, points: &DMatrix<f64>) -> DVector<f64> {
        let outputs = Step { weights: self.c.as_slice(), shifts: &[-self.c0], activation: None };
        DVector::from_vec(forward(&[self.hidden(Some(self.phi)), outputs], points).data.into())
    }

    fn jacobian_transposed(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let (d, m) = self.dims();
        let mut values = forward(&[self.hidden(None)], points);
        let mut slopes = values.clone();
        self.phi.slopes(slopes.as_mut_slice());
        self.phi.values(values.as_mut_slice());
        let count = self.parameter_count();
        let mut out = zeros(count, points.ncols());
        out.as_mut_slice().par_chunks_mut(count).enumerate().for_each(|(k, row)| {
            for i in 0..m {
                let slope = self.c[i] * slopes[(i, k)];
                for (entry, x) in row[i * d..(i + 1) * d].iter_mut().zip(points.column(k).iter()) {
                    *entry = slope * x;
                }
                row[d * m + i] = -slope;
                if self.fits_c() {
                    row[d * m + m + i] = values[(i, k)];
                }
            }
            row[count - 1] = 1.0;
        });
        out
    }

    /// A unit of norm 1 that is off by e in every weight is longer by sqrt(d) e at most, by which its other parameters are then
    /// divided.
    fn stretch(&self) -> f64 {
        if self.fits_c() { 1.0 } else { 1.0 + (self.a.nrows() as f64).sqrt() }
    }

    fn tensors(&self) -> Vec<(&'static str, &[f64])> {
        let mut tensors = vec![("A", self.a.as_slice()), ("theta", self.theta.as_slice())];
        if self.fits_c() {
            tensors.push(("c", self.c.as_slice()));
        }
        tensors.push(("c0", std::slice::from_ref(&self.c0)));
        tensors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;

    #[test]
    fn the_jacobian_is_that_of_the_values() {
        for phi in Activation::ALL {
            let network = OneLayer::random((4, 3), Class::General, phi, 2).unwrap();
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
}
