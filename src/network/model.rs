//! What the common last stages (refinement, certificate, report) know of a network.

use nalgebra::{DMatrix, DVector};

use crate::network::{Activation, Network};

/// A parametrised function of d inputs.
pub trait Model: Clone {
    /// Number of hidden layers.
    const DEPTH: usize;

    /// d, the number of inputs.
    fn inputs(&self) -> usize;
    /// Units by layer.
    fn widths(&self) -> Vec<usize>;
    /// Activations by layer.
    fn activations(&self) -> Vec<Activation>;
    /// Number of parameters.
    fn parameter_count(&self) -> usize;
    /// The weights of the first layer, d x m0.
    fn first_layer(&self) -> &DMatrix<f64>;
    /// All parameters as one vector, tensor by tensor.
    fn to_vector(&self) -> DVector<f64>;
    /// The network of the same shape with these parameters.
    fn with_vector(&self, parameters: &DVector<f64>) -> Self;
    /// Values at the columns of `points` (d x n).
    fn values(&self, points: &DMatrix<f64>) -> DVector<f64>;
    /// Derivatives of the values with respect to the parameters, parameters x n.
    fn jacobian_transposed(&self, points: &DMatrix<f64>) -> DMatrix<f64>;
    /// The tensors that errors are measured by, in the order of the vector, with their names.
    fn tensors(&self) -> Vec<(&'static str, &[f64])>;
}

impl Model for Network {
    const DEPTH: usize = 2;

    fn inputs(&self) -> usize {
        self.a.nrows()
    }
    fn widths(&self) -> Vec<usize> {
        vec![self.a.ncols(), self.b.ncols()]
    }
    fn activations(&self) -> Vec<Activation> {
        vec![self.g, self.h]
    }
    fn parameter_count(&self) -> usize {
        Network::parameter_count(self)
    }
    fn first_layer(&self) -> &DMatrix<f64> {
        &self.a
    }
    fn to_vector(&self) -> DVector<f64> {
        Network::to_vector(self)
    }
    fn with_vector(&self, parameters: &DVector<f64>) -> Self {
        Network::with_vector(self, parameters)
    }
    fn values(&self, points: &DMatrix<f64>) -> DVector<f64> {
        Network::values(self, points)
    }
    fn jacobian_transposed(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        Network::jacobian_transposed(self, points)
    }
    fn tensors(&self) -> Vec<(&'static str, &[f64])> {
        vec![
            ("A", self.a.as_slice()),
            ("theta", self.theta.as_slice()),
            ("B", self.b.as_slice()),
            ("tau", self.tau.as_slice()),
            ("c", self.c.as_slice()),
            ("c0", std::slice::from_ref(&self.c0)),
        ]
    }
}
