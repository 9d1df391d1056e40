//! What the common last stages (refinement, certificate, report) know of a network.

use nalgebra::{DMatrix, DVector};

use crate::network::Activation;

/// A parametrised function of d inputs: an estimate that the identification works on.
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
    /// Errors of the parameters of the vector become at most so many times as large in the form in which networks are
    /// compared.
    fn stretch(&self) -> f64 {
        1.0
    }
    /// The tensors that errors are measured by, in the order of the vector, with their names.
    fn tensors(&self) -> Vec<(&'static str, &[f64])>;
}
