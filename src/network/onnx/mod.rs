//! Networks in ONNX files, as PyTorch, tf2onnx and skl2onnx write them.
//!
//! A graph is read as what it computes: affine maps of a batch of points, activations, and a link at the end.
//! Nothing of it is run. Its constants, in f32 or f64, become the weights of a [`Network`], which this crate evaluates
//! in f64. What is no such network is refused, an operator by its name.
//!
//! What is written is in f64, a `Gemm` a layer.

mod computed;
mod graph;
mod message;
mod tensor;
mod write;

use std::io;
use std::path::Path;

use prost::Message;

use super::{Activation, LinkError, Network, NetworkError};
use message::ModelProto;

/// The operators that are read.
const KNOWN: &str = "Gemm, MatMul, Add, Sub, Mul and Div with constants, Tanh, Sigmoid, Erf, Relu, LeakyRelu, Softplus, \
    Gelu, Softmax, Identity, Flatten, Reshape, Squeeze, Dropout, Cast, Transpose, Constant and the Scaler of ai.onnx.ml";

/// An ONNX file that holds no network of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The bytes are damaged, or something else altogether.
    #[error("not an ONNX file: {0}")]
    Container(String),
    /// An operator that is not read.
    #[error("operator {operator} is not read: a network is of {KNOWN}")]
    Operator {
        /// Its name, with its domain where that is not ONNX's own.
        operator: String,
    },
    /// An operator that is read, but not as it is used here.
    #[error("operator {operator} of node {node:?}: {what}")]
    Use {
        /// Its name.
        operator: String,
        /// The node.
        node: String,
        /// What is not read.
        what: String,
    },
    /// A constant that cannot be read.
    #[error("tensor {name:?}: {what}")]
    Tensor {
        /// Which.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// A graph that does not go from one input to one output.
    #[error("{0}")]
    Graph(String),
    /// The numbers make up no network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The link fits no outputs.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Reads the part of a file beside the model in which a constant is kept: its name, where it begins, its bytes (`None`:
/// all that follow).
type Beside<'a> = dyn Fn(&str, u64, Option<u64>) -> io::Result<Vec<u8>> + 'a;

/// Is a file of this name an ONNX model?
pub(super) fn is_named(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("onnx"))
}

impl Network {
    /// Reads a network from the bytes of an ONNX model whose constants are all within. `activation`, if given, stands for
    /// all hidden layers whatever the model says.
    ///
    /// # Errors
    /// [`OnnxError`].
    pub fn from_onnx(bytes: &[u8], activation: Option<Activation>) -> Result<Self, OnnxError> {
        let nowhere = |_: &str, _: u64, _: Option<u64>| {
            Err(io::Error::other("there are no files beside these bytes"))
        };
        from_bytes(bytes, activation, &nowhere)
    }

    /// The network as an ONNX model in f64 that maps a batch of points, n x d, to their outputs, n x K, behind the
    /// link. Equal networks give equal bytes.
    ///
    /// # Errors
    /// If the network is not [valid](Network::validate).
    pub fn to_onnx(&self) -> Result<Vec<u8>, NetworkError> {
        self.validate()?;
        Ok(write::model(self).encode_to_vec())
    }
}

/// Reads a network whose constants may be in files beside it.
pub(super) fn from_bytes(
    bytes: &[u8],
    activation: Option<Activation>,
    beside: &Beside<'_>,
) -> Result<Network, OnnxError> {
    let model =
        ModelProto::decode(bytes).map_err(|error| OnnxError::Container(error.to_string()))?;
    // A model that is cut off in front of it would pass for a whole one.
    if !model.opset_import.iter().any(|set| matches!(set.domain.as_str(), "" | "ai.onnx")) {
        return Err(OnnxError::Container("it names no operator set".to_owned()));
    }
    let graph = model.graph.ok_or_else(|| OnnxError::Container("it has no graph".to_owned()))?;
    let mut network = graph::network(&graph, beside)?;
    if let Some(activation) = activation {
        network.layers.iter_mut().for_each(|layer| layer.activation = activation);
    }
    network.validate()?;
    Ok(network)
}
