//! The two-layer network f(x) = c0 + sum_l c_l h(b_l . g(A^T x - theta) - tau_l).
//!
//! Notation as in the crate's front page. Nothing in this module is known to the identification:
//! it sees an [`Oracle`](crate::oracle::Oracle) only.

mod activation;
mod assignment;
mod convert;
mod derivatives;
mod evaluate;
mod file;
pub(crate) mod format;
pub(crate) mod matching;
mod minimal;
pub mod model;
mod random;
pub mod shallow;
mod symmetry;

use nalgebra::{DMatrix, DVector};

pub use activation::{Activation, UnknownActivation};
pub use file::FileError;
pub use format::FormatError;
pub use matching::Matching;
pub use random::{Class, Ensemble, UnknownClass};

/// The parameters of a network with two hidden layers and one output.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// d x m0, columns a_i: the weights of the first layer.
    pub a: DMatrix<f64>,
    /// Shifts of the first layer, length m0.
    pub theta: DVector<f64>,
    /// m0 x m1, columns b_l: the weights of the second layer.
    pub b: DMatrix<f64>,
    /// Shifts of the second layer, length m1.
    pub tau: DVector<f64>,
    /// Output weights, length m1.
    pub c: DVector<f64>,
    /// Output offset.
    pub c0: f64,
    /// Activation of the first layer.
    pub g: Activation,
    /// Activation of the second layer.
    pub h: Activation,
}

/// Parameters that do not make up a network.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkError {
    /// A dimension is zero.
    #[error("a network needs d, m0, m1 >= 1, got {0}-{1}-{2}")]
    Empty(usize, usize, usize),
    /// More parameters than a random network may have.
    #[error("a random {0}-{1}-{2} network is too large")]
    TooLarge(usize, usize, usize),
    /// An ensemble that holds no network.
    #[error("an ensemble needs a spread of at least 0 and a condition number of at least 1")]
    Ensemble,
    /// Tensors whose shapes do not fit together.
    #[error("{tensor} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Which tensor.
        tensor: &'static str,
        /// The shape it has.
        found: Vec<usize>,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// A NaN or an infinity.
    #[error("{0} holds a value that is not finite")]
    NotFinite(&'static str),
}

impl Network {
    /// Checks shapes and finiteness.
    pub fn validate(&self) -> Result<(), NetworkError> {
        let (d, m0) = self.a.shape();
        let m1 = self.b.ncols();
        if d == 0 || m0 == 0 || m1 == 0 {
            return Err(NetworkError::Empty(d, m0, m1));
        }
        let shapes = [
            ("theta", vec![self.theta.len()], vec![m0]),
            ("B", vec![self.b.nrows(), m1], vec![m0, m1]),
            ("tau", vec![self.tau.len()], vec![m1]),
            ("c", vec![self.c.len()], vec![m1]),
        ];
        for (tensor, found, expected) in shapes {
            if found != expected {
                return Err(NetworkError::Shape { tensor, found, expected });
            }
        }
        let tensors = [
            ("A", self.a.as_slice()),
            ("theta", self.theta.as_slice()),
            ("B", self.b.as_slice()),
            ("tau", self.tau.as_slice()),
            ("c", self.c.as_slice()),
            ("c0", std::slice::from_ref(&self.c0)),
        ];
        for (name, values) in tensors {
            if values.iter().any(|v| !v.is_finite()) {
                return Err(NetworkError::NotFinite(name));
            }
        }
        Ok(())
    }

    /// (d, m0, m1).
    pub fn dims(&self) -> (usize, usize, usize) {
        (self.a.nrows(), self.a.ncols(), self.b.ncols())
    }

    /// Number of parameters: d m0 + m0 + m0 m1 + 2 m1 + 1.
    pub fn parameter_count(&self) -> usize {
        let (d, m0, m1) = self.dims();
        d * m0 + m0 + m0 * m1 + 2 * m1 + 1
    }

    /// All parameters as one vector: A, theta, B, tau, c (column-major), c0.
    #[must_use]
    pub fn to_vector(&self) -> DVector<f64> {
        let entries = self
            .a
            .iter()
            .chain(self.theta.iter())
            .chain(self.b.iter())
            .chain(self.tau.iter())
            .chain(self.c.iter())
            .chain(std::iter::once(&self.c0));
        DVector::from_iterator(self.parameter_count(), entries.copied())
    }

    /// The network of the same dimensions and activations with the parameters of
    /// [`to_vector`](Self::to_vector)'s order.
    ///
    /// # Panics
    /// If the length is not [`parameter_count`](Self::parameter_count).
    #[must_use]
    pub fn with_vector(&self, parameters: &DVector<f64>) -> Network {
        assert_eq!(parameters.len(), self.parameter_count());
        let (d, m0, m1) = self.dims();
        let mut rest = parameters.as_slice();
        let mut take = |n: usize| {
            let (head, tail) = rest.split_at(n);
            rest = tail;
            head
        };
        Network {
            a: DMatrix::from_column_slice(d, m0, take(d * m0)),
            theta: DVector::from_column_slice(take(m0)),
            b: DMatrix::from_column_slice(m0, m1, take(m0 * m1)),
            tau: DVector::from_column_slice(take(m1)),
            c: DVector::from_column_slice(take(m1)),
            c0: take(1)[0],
            g: self.g,
            h: self.h,
        }
    }
}
