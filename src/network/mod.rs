//! Networks: what they are, their files, their symmetries, and two of them side by side.
//!
//! * [`Network`], [`Layer`], [`Link`], [`Activation`]: any number of hidden layers and of outputs.
//! * [`TwoLayer`], [`OneLayer`]: the estimates that the identification works on, of one output.
//! * [`Matching`]: two networks after their symmetries are undone.
//!
//! Notation as in the crate's front page. Nothing of a black box's network is known to the
//! identification: it sees an [`Oracle`](crate::oracle::Oracle) only.

mod activation;
mod assignment;
mod convert;
mod evaluate;
mod file;
mod format;
mod link;
mod matching;
mod minimal;
pub mod model;
mod one_layer;
mod onnx;
mod random;
mod symmetry;
mod two_layer;

use std::fmt;

use nalgebra::{DMatrix, DVector};

pub use activation::{Activation, Symmetry, UnknownActivation};
pub(crate) use evaluate::arguments;
pub use file::FileError;
pub use format::FormatError;
#[cfg(feature = "study")]
pub(crate) use link::centred;
pub use link::{Link, LinkError, OffRange};
pub use matching::Matching;
pub use one_layer::OneLayer;
pub use onnx::OnnxError;
pub use random::{Class, Ensemble, UnknownClass};
pub use two_layer::TwoLayer;

/// One hidden layer: y = phi(W^T x - shifts).
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// W, inputs x units: a column a unit.
    pub weights: DMatrix<f64>,
    /// Subtracted, one a unit.
    pub shifts: DVector<f64>,
    /// phi, applied to each component.
    pub activation: Activation,
}

/// A network of one hidden layer or more and K >= 1 outputs, link(c^T y + c0), where y is what the
/// last hidden layer puts out.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// The hidden layers from the inputs on, at least one.
    pub layers: Vec<Layer>,
    /// Output weights, units of the last hidden layer x K.
    pub c: DMatrix<f64>,
    /// Output offsets, K.
    pub c0: DVector<f64>,
    /// What the outputs go through.
    pub link: Link,
}

/// Parameters that do not make up a network.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkError {
    /// No hidden layer, or a dimension is zero: inputs, units by layer, outputs.
    #[error(
        "a network needs an input, a hidden layer of one unit and an output, got {}",
        dashed(.0)
    )]
    Empty(Vec<usize>),
    /// More parameters than a random network may have: inputs, units by layer, outputs.
    #[error("a random {} network is too large", dashed(.0))]
    TooLarge(Vec<usize>),
    /// An ensemble that holds no network.
    #[error("an ensemble needs a spread of at least 0 and a condition number of at least 1")]
    Ensemble,
    /// Tensors whose shapes do not fit together.
    #[error("{tensor} has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Which tensor.
        tensor: String,
        /// The shape it has.
        found: Vec<usize>,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// A NaN or an infinity.
    #[error("{0} holds a value that is not finite")]
    NotFinite(String),
    /// A link that does not fit the outputs.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A network of another kind than the one wanted.
    #[error(
        "a network of {hidden} hidden layers is wanted, with one output and no link: this is {found}"
    )]
    Kind {
        /// Hidden layers wanted.
        hidden: usize,
        /// What there is.
        found: String,
    },
}

/// `20-20-4-1`.
fn dashed(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join("-")
}

impl Network {
    /// d, the number of inputs.
    pub fn input_dim(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.weights.nrows())
    }

    /// K, the number of outputs.
    pub fn output_dim(&self) -> usize {
        self.c.ncols()
    }

    /// Units by layer.
    pub fn widths(&self) -> Vec<usize> {
        self.layers.iter().map(|layer| layer.weights.ncols()).collect()
    }

    /// Inputs, units by layer, outputs.
    pub fn dims(&self) -> Vec<usize> {
        [vec![self.input_dim()], self.widths(), vec![self.output_dim()]].concat()
    }

    /// Activations by layer.
    pub fn activations(&self) -> Vec<Activation> {
        self.layers.iter().map(|layer| layer.activation).collect()
    }

    /// Number of parameters.
    pub fn parameter_count(&self) -> usize {
        self.tensors().iter().map(|(_, values)| values.len()).sum()
    }

    /// The tensors from the inputs on, column-major, with their names: those of the crate's front page
    /// for the first two layers, `W3` and `shift3` for the third, and so on.
    pub fn tensors(&self) -> Vec<(String, &[f64])> {
        let hidden = self.layers.iter().enumerate().flat_map(|(l, layer)| {
            let (weights, shifts) = layer_names(l);
            [(weights, layer.weights.as_slice()), (shifts, layer.shifts.as_slice())]
        });
        let output = [("c".to_owned(), self.c.as_slice()), ("c0".to_owned(), self.c0.as_slice())];
        hidden.chain(output).collect()
    }

    /// Checks shapes and finiteness, and that the link fits the outputs.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), NetworkError> {
        let dims = self.dims();
        if self.layers.is_empty() || dims.contains(&0) {
            return Err(NetworkError::Empty(dims));
        }
        let fits = |tensor: String, found: Vec<usize>, expected: Vec<usize>| {
            if found == expected {
                return Ok(());
            }
            Err(NetworkError::Shape { tensor, found, expected })
        };
        for (l, (layer, size)) in self.layers.iter().zip(dims.windows(2)).enumerate() {
            let (weights, shifts) = layer_names(l);
            let (rows, units) = layer.weights.shape();
            fits(weights, vec![rows, units], size.to_vec())?;
            fits(shifts, vec![layer.shifts.len()], vec![units])?;
        }
        let (units, outputs) = (dims[self.layers.len()], self.output_dim());
        fits("c".to_owned(), vec![self.c.nrows(), outputs], vec![units, outputs])?;
        fits("c0".to_owned(), vec![self.c0.len()], vec![outputs])?;
        for (name, values) in self.tensors() {
            if values.iter().any(|v| !v.is_finite()) {
                return Err(NetworkError::NotFinite(name));
            }
        }
        Ok(self.link.validate(outputs)?)
    }

    /// The network of one output that is the combination sum_k w_k z_k of the outputs before the link.
    ///
    /// # Panics
    /// Unless there is a weight for each output.
    #[must_use]
    pub fn mixture(&self, weights: &DVector<f64>) -> Network {
        assert_eq!(weights.len(), self.output_dim(), "a weight for each output");
        let c = &self.c * weights;
        Network {
            layers: self.layers.clone(),
            c: DMatrix::from_column_slice(c.len(), 1, c.as_slice()),
            c0: DVector::from_element(1, self.c0.dot(weights)),
            link: Link::None,
        }
    }
}

/// `20-20-4 tanh`: inputs, units by layer, the activations where they are different ones, and outputs and
/// link where there is more to say than one output.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims = self.dims();
        let activations = self.activations();
        let same = activations.windows(2).all(|pair| pair[0] == pair[1]);
        let shown = if same { activations.len().min(1) } else { activations.len() };
        let names: Vec<_> = activations[..shown].iter().map(|phi| phi.name()).collect();
        write!(f, "{} {}", dashed(&dims[..dims.len() - 1]), names.join(", "))?;
        if self.output_dim() != 1 {
            write!(f, ", {} outputs", self.output_dim())?;
        }
        if self.link != Link::None {
            write!(f, ", link {}", self.link)?;
        }
        Ok(())
    }
}

/// The names of the weights and the shifts of hidden layer `l`, from 0.
fn layer_names(l: usize) -> (String, String) {
    match l {
        0 => ("A".to_owned(), "theta".to_owned()),
        1 => ("B".to_owned(), "tau".to_owned()),
        _ => (format!("W{}", l + 1), format!("shift{}", l + 1)),
    }
}
