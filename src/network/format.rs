//! The bytes of a network file: safetensors with PyTorch's names.
//!
//! The tensors are those of `torch.nn.Sequential(Linear, act, Linear, act, Linear).state_dict()`,
//! row-major: `0.weight` (m0 x d), `0.bias` (m0), `2.weight` (m1 x m0), `2.bias` (m1), `4.weight`
//! (1 x m1) and `4.bias` (1). PyTorch adds its biases where this crate subtracts its shifts, hence
//! A = `0.weight`^T, theta = -`0.bias`, B = `2.weight`^T, tau = -`2.bias`, c = `4.weight`,
//! c0 = `4.bias`. The metadata name the activation under `activation`, and under `activation_2`
//! that of the second layer where it is a different one.
//!
//! Format: <https://huggingface.co/docs/safetensors>.

use nalgebra::{DMatrix, DVector};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};

use super::{Activation, Network, NetworkError};

const TENSORS: [&str; 6] = ["0.bias", "0.weight", "2.bias", "2.weight", "4.bias", "4.weight"];

/// Names shown in a message at most; a file may hold thousands.
const NAMES_SHOWN: usize = 12;

/// Bytes that are not a network of two hidden layers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The container itself is damaged, or something else altogether.
    #[error("not a safetensors file: {0}")]
    Container(String),
    /// A tensor is not there.
    #[error("tensor {name:?} is missing; the file holds {present}")]
    Missing {
        /// The tensor looked for.
        name: &'static str,
        /// The names found.
        present: String,
    },
    /// Tensors beyond those of the network.
    #[error("unexpected {names}: not a network with {layers}")]
    Unexpected {
        /// The names found.
        names: String,
        /// The kind of network looked for.
        layers: &'static str,
    },
    /// A tensor of the wrong rank, or of a shape that does not fit the others.
    #[error("tensor {name:?} has shape {found:?}, expected {expected}")]
    Shape {
        /// Which tensor.
        name: &'static str,
        /// The shape it has.
        found: Vec<usize>,
        /// The shape it should have.
        expected: String,
    },
    /// More than one output.
    #[error("the network has {0} outputs (rows of {1:?}); only one output is supported")]
    Outputs(usize, &'static str),
    /// Numbers of a type that is not read.
    #[error("tensor {name:?} is of type {found}; only F32 and F64 are read")]
    Type {
        /// Which tensor.
        name: &'static str,
        /// The type it has.
        found: Dtype,
    },
    /// A NaN or an infinity.
    #[error("tensor {0:?} holds a value that is not finite")]
    NotFinite(&'static str),
    /// The metadata do not name the activation.
    #[error("the file does not name its activation; give it with --activation")]
    NoActivation,
    /// The metadata name an activation that is not known.
    #[error(
        "the file names the activation {0:?}, known are tanh, sigmoid and erf; override it with \
         --activation"
    )]
    UnknownActivation(String),
    /// A network that cannot be written, or an empty one.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl Network {
    /// Reads a network from the bytes of a safetensors file. `activation`, if given, stands for
    /// both layers whatever the metadata say.
    ///
    /// # Errors
    /// Everything that [`FormatError`] lists but for unwritable networks.
    pub fn from_bytes(bytes: &[u8], activation: Option<Activation>) -> Result<Self, FormatError> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| container_error(&error))?;
        check_names(&file, &TENSORS)?;

        let first = tensor(&file, "0.weight")?;
        let [m0, d] = matrix_shape("0.weight", &first, "(m0, d)")?;
        let second = tensor(&file, "2.weight")?;
        let [m1, inputs] = matrix_shape("2.weight", &second, "(m1, m0)")?;
        let last = tensor(&file, "4.weight")?;
        let [outputs, width] = matrix_shape("4.weight", &last, "(1, m1)")?;
        if outputs != 1 {
            return Err(FormatError::Outputs(outputs, "4.weight"));
        }
        if d == 0 || m0 == 0 || m1 == 0 {
            return Err(NetworkError::Empty(d, m0, m1).into());
        }
        fit("2.weight", &[m1, inputs], &[m1, m0])?;
        fit("4.weight", &[outputs, width], &[1, m1])?;
        let vector = |name, length| {
            let tensor = tensor(&file, name)?;
            fit(name, tensor.shape(), &[length])?;
            numbers(name, &tensor)
        };

        let (g, h) = match activation {
            Some(activation) => (activation, activation),
            None => activations(bytes)?,
        };
        Ok(Network {
            // A row-major m0 x d matrix is its own transpose in column-major order.
            a: DMatrix::from_vec(d, m0, numbers("0.weight", &first)?),
            theta: -DVector::from_vec(vector("0.bias", m0)?),
            b: DMatrix::from_vec(m0, m1, numbers("2.weight", &second)?),
            tau: -DVector::from_vec(vector("2.bias", m1)?),
            c: DVector::from_vec(numbers("4.weight", &last)?),
            c0: vector("4.bias", 1)?[0],
            g,
            h,
        })
    }

    /// The bytes of the network's file, f64. Equal networks give equal bytes.
    ///
    /// # Errors
    /// If the network is not [valid](Network::validate).
    pub fn to_bytes(&self) -> Result<Vec<u8>, NetworkError> {
        self.validate()?;
        let (d, m0, m1) = self.dims();
        let (bias_0, bias_2) = (-&self.theta, -&self.tau);
        let tensors: [(&str, Vec<usize>, &[f64]); 6] = [
            ("0.bias", vec![m0], bias_0.as_slice()),
            ("0.weight", vec![m0, d], self.a.as_slice()),
            ("2.bias", vec![m1], bias_2.as_slice()),
            ("2.weight", vec![m1, m0], self.b.as_slice()),
            ("4.bias", vec![1], std::slice::from_ref(&self.c0)),
            ("4.weight", vec![1, m1], self.c.as_slice()),
        ];

        let mut metadata = vec![("activation", self.g.name())];
        if self.h != self.g {
            metadata.push(("activation_2", self.h.name()));
        }
        Ok(container(&tensors, &metadata))
    }
}

/// A safetensors file of f64 tensors: (name, shape, numbers in row-major order) each.
///
/// The header is written here and not by the crate, which keeps the metadata in a hash map: its entries
/// would come in a different order at every run.
pub(crate) fn container(
    tensors: &[(&str, Vec<usize>, &[f64])],
    metadata: &[(&str, &str)],
) -> Vec<u8> {
    let mut header = Map::new();
    let mut data = Vec::new();
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let entry = json!({"dtype": "F64", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert((*name).to_owned(), entry);
    }
    let metadata: Map<String, Value> =
        metadata.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect();
    header.insert("__metadata__".to_owned(), Value::Object(metadata));

    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = header.len() as u64;
    [length.to_le_bytes().as_slice(), &header, &data].concat()
}

/// Refuses a file that lacks a tensor, then one that holds more: a deeper network must not be read
/// as the shallow one it begins with.
pub(crate) fn check_names(
    file: &SafeTensors,
    expected: &[&'static str],
) -> Result<(), FormatError> {
    let mut names = file.names();
    names.sort_unstable();
    if let Some(&name) = expected.iter().find(|name| !names.contains(name)) {
        return Err(FormatError::Missing { name, present: listing(&names) });
    }
    names.retain(|name| !expected.contains(name));
    if names.is_empty() {
        return Ok(());
    }
    let layers = if expected.len() == TENSORS.len() {
        "two hidden layers (tensors 0, 2 and 4)"
    } else {
        "one hidden layer (tensors 0 and 2)"
    };
    Err(FormatError::Unexpected { names: listing(&names), layers })
}

/// `"a", "b" and 3 more`; quoted, so that no name can break the line.
fn listing(names: &[&str]) -> String {
    if names.is_empty() {
        return "no tensors".to_owned();
    }
    let shown: Vec<_> = names.iter().take(NAMES_SHOWN).map(|name| format!("{name:?}")).collect();
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown.join(", "),
        rest => format!("{} and {rest} more", shown.join(", ")),
    }
}

/// The message of a damaged container, in one line.
pub(crate) fn container_error(error: &safetensors::SafeTensorError) -> FormatError {
    FormatError::Container(error.to_string().replace(char::is_control, " "))
}

pub(crate) fn tensor<'a>(
    file: &SafeTensors<'a>,
    name: &'static str,
) -> Result<TensorView<'a>, FormatError> {
    file.tensor(name).map_err(|_| FormatError::Missing { name, present: listing(&file.names()) })
}

pub(crate) fn matrix_shape(
    name: &'static str,
    tensor: &TensorView,
    expected: &str,
) -> Result<[usize; 2], FormatError> {
    <[usize; 2]>::try_from(tensor.shape()).map_err(|_| FormatError::Shape {
        name,
        found: tensor.shape().to_vec(),
        expected: expected.to_owned(),
    })
}

pub(crate) fn fit(
    name: &'static str,
    found: &[usize],
    expected: &[usize],
) -> Result<(), FormatError> {
    if found == expected {
        return Ok(());
    }
    Err(FormatError::Shape { name, found: found.to_vec(), expected: format!("{expected:?}") })
}

/// All numbers of a tensor in f64, in the file's order.
pub(crate) fn numbers(name: &'static str, tensor: &TensorView) -> Result<Vec<f64>, FormatError> {
    let values: Vec<f64> = match tensor.dtype() {
        Dtype::F64 => {
            tensor.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
        }
        Dtype::F32 => {
            let (numbers, _) = tensor.data().as_chunks();
            numbers.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
        }
        found => return Err(FormatError::Type { name, found }),
    };
    if values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err(FormatError::NotFinite(name))
    }
}

/// Both layers' activations from the metadata.
pub(crate) fn activations(bytes: &[u8]) -> Result<(Activation, Activation), FormatError> {
    let (_, header) = SafeTensors::read_metadata(bytes)
        .map_err(|error| FormatError::Container(error.to_string()))?;
    let named = |key: &str| {
        let name = header.metadata().as_ref().and_then(|metadata| metadata.get(key));
        let parse =
            |name: &String| name.parse().map_err(|_| FormatError::UnknownActivation(name.clone()));
        name.map(parse).transpose()
    };
    let first = named("activation")?.ok_or(FormatError::NoActivation)?;
    Ok((first, named("activation_2")?.unwrap_or(first)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::Class;

    fn network() -> Network {
        Network::random((5, 4, 3), Class::General, Activation::Tanh, 1).unwrap()
    }

    /// A container with f32 zeros of the given shapes.
    fn container(tensors: &[(&str, &[usize])], metadata: Value) -> Vec<u8> {
        let mut header = Map::new();
        let mut end = 0;
        for (name, shape) in tensors {
            let start = end;
            end += 4 * shape.iter().product::<usize>();
            let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
            header.insert((*name).to_owned(), entry);
        }
        header.insert("__metadata__".to_owned(), metadata);
        let header = Value::Object(header).to_string().into_bytes();
        [(header.len() as u64).to_le_bytes().as_slice(), &header, &vec![0; end]].concat()
    }

    const SHAPES: [(&str, &[usize]); 6] = [
        ("0.bias", &[4]),
        ("0.weight", &[4, 5]),
        ("2.bias", &[3]),
        ("2.weight", &[3, 4]),
        ("4.bias", &[1]),
        ("4.weight", &[1, 3]),
    ];

    fn message(tensors: &[(&str, &[usize])], metadata: Value) -> String {
        Network::from_bytes(&container(tensors, metadata), None).unwrap_err().to_string()
    }

    /// The good shapes with one of them changed.
    fn with_shape(index: usize, shape: &'static [usize]) -> String {
        let mut shapes = SHAPES;
        shapes[index].1 = shape;
        message(&shapes, json!({"activation": "tanh"}))
    }

    #[test]
    fn two_activations_survive_and_bytes_are_reproducible() {
        for g in Activation::ALL {
            for h in Activation::ALL {
                let network = Network { g, h, ..network() };
                let bytes = network.to_bytes().unwrap();
                assert_eq!(bytes, network.to_bytes().unwrap());
                assert_eq!(Network::from_bytes(&bytes, None).unwrap(), network);
            }
        }
    }

    #[test]
    fn single_precision_is_read_and_the_activation_overridden() {
        let bytes = container(&SHAPES, json!({"activation": "tanh", "activation_2": "erf"}));
        let read = Network::from_bytes(&bytes, None).unwrap();
        assert_eq!((read.dims(), read.g, read.h), ((5, 4, 3), Activation::Tanh, Activation::Erf));
        let read = Network::from_bytes(&bytes, Some(Activation::Sigmoid)).unwrap();
        assert_eq!((read.g, read.h), (Activation::Sigmoid, Activation::Sigmoid));
    }

    #[test]
    fn weights_stand_where_pytorch_puts_them() {
        let network = network();
        let bytes = network.to_bytes().unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let entry = |name, k| numbers(name, &file.tensor(name).unwrap()).unwrap()[k];
        assert_eq!(entry("0.weight", 2 * 5 + 3), network.a[(3, 2)]);
        assert_eq!(entry("2.weight", 2 * 4 + 1), network.b[(1, 2)]);
        assert_eq!(entry("0.bias", 1), -network.theta[1]);
        assert_eq!(entry("4.bias", 0), network.c0);
    }

    #[test]
    fn every_defect_has_its_own_message() {
        let tanh = || json!({"activation": "tanh"});
        assert!(message(&SHAPES[..5], tanh()).contains("\"4.weight\" is missing"));
        assert!(message(&[], tanh()).contains("no tensors"));
        let deeper = [&SHAPES[..], &[("6.weight", &[1, 1])]].concat();
        assert!(message(&deeper, tanh()).contains("unexpected \"6.weight\""));
        assert!(with_shape(1, &[20]).contains("(m0, d)"));
        assert!(with_shape(3, &[3, 5]).contains("expected [3, 4]"));
        assert!(with_shape(0, &[1]).contains("expected [4]"));
        assert!(with_shape(5, &[2, 3]).contains("2 outputs"));
        assert!(with_shape(1, &[4, 0]).contains("d, m0, m1 >= 1"));
        assert!(message(&SHAPES, json!({})).contains("--activation"));
        let unknown = message(&SHAPES, json!({"activation": "re\nlu"}));
        assert!(unknown.contains("--activation") && !unknown.contains('\n'));

        let mut infinite = network();
        infinite.tau[0] = f64::INFINITY;
        assert_eq!(infinite.to_bytes(), Err(NetworkError::NotFinite("tau")));
        let mut bytes = network().to_bytes().unwrap();
        let end = bytes.len();
        bytes[end - 8..].copy_from_slice(&f64::NAN.to_le_bytes());
        let error = Network::from_bytes(&bytes, None).unwrap_err();
        assert!(matches!(error, FormatError::NotFinite("4.weight")));
    }

    #[test]
    fn other_number_types_are_refused_by_name() {
        let mut bytes = network().to_bytes().unwrap();
        let place = bytes.windows(3).position(|window| window == b"F64").unwrap();
        // 64-bit integers have the same size, so that only the type is wrong.
        bytes[place..place + 3].copy_from_slice(b"I64");
        let error = Network::from_bytes(&bytes, None).unwrap_err();
        assert!(matches!(error, FormatError::Type { found: Dtype::I64, .. }), "{error}");
    }

    proptest! {
        #[test]
        fn damaged_files_are_errors_or_networks_but_never_panics(
            cut in 0usize..1000, place in 0usize..1000, byte in any::<u8>(), length in any::<u64>(),
        ) {
            let good = network().to_bytes().unwrap();
            prop_assert!(Network::from_bytes(&good[..cut % good.len()], None).is_err());
            let mut bytes = good.clone();
            bytes[place % good.len()] = byte;
            if let Ok(network) = Network::from_bytes(&bytes, None) {
                prop_assert!(network.validate().is_ok());
            }
            bytes[..8].copy_from_slice(&length.to_le_bytes());
            prop_assert!(Network::from_bytes(&bytes, None).is_err());
        }

        #[test]
        fn noise_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Network::from_bytes(&bytes, None).is_err());
        }
    }
}
