//! The bytes of a network file: safetensors with PyTorch's names.
//!
//! The tensors are those of `torch.nn.Sequential(Linear, act, ..., Linear).state_dict()`, row-major:
//! `0.weight` (m0 x d), `0.bias` (m0), `2.weight` (m1 x m0), `2.bias` (m1), and so on to the outputs, which
//! are the last. PyTorch adds its biases where this crate subtracts its shifts, hence A = `0.weight`^T,
//! theta = -`0.bias`, but c0 is the last bias itself. The metadata name the activation under `activation`, that
//! of another layer under `activation_2`, `activation_3`, ... where it is a different one, and the
//! [`Link`] under `output_activation`, with its range under `output_range` (`1,5`) where it is not the
//! link's own.
//!
//! Format: <https://huggingface.co/docs/safetensors>.

use std::collections::HashMap;

use nalgebra::{DMatrix, DVector};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};

use super::{Activation, Layer, Link, LinkError, Network, NetworkError};

/// Names shown in a message at most; a file may hold thousands.
const NAMES_SHOWN: usize = 12;

/// Bytes that are not a network.
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
        name: String,
        /// The names found.
        present: String,
    },
    /// Tensors beyond those of the network.
    #[error("unexpected {names}: not a network of linear layers (tensors 0, 2, 4, ...)")]
    Unexpected {
        /// The names found.
        names: String,
    },
    /// A tensor of the wrong rank, or of a shape that does not fit the others.
    #[error("tensor {name:?} has shape {found:?}, expected {expected}")]
    Shape {
        /// Which tensor.
        name: String,
        /// The shape it has.
        found: Vec<usize>,
        /// The shape it should have.
        expected: String,
    },
    /// Numbers of a type that is not read.
    #[error("tensor {name:?} is of type {found}; only F32 and F64 are read")]
    Type {
        /// Which tensor.
        name: String,
        /// The type it has.
        found: Dtype,
    },
    /// A NaN or an infinity.
    #[error("tensor {0:?} holds a value that is not finite")]
    NotFinite(String),
    /// The metadata do not name the activation.
    #[error("the file does not name its activation; give it with --activation")]
    NoActivation,
    /// The metadata name an activation that is not known.
    #[error(
        "the file names the activation {0:?}, known are {known}; override it with --activation",
        known = Activation::names()
    )]
    UnknownActivation(String),
    /// The metadata name a link that is not known, or a range that is none.
    #[error("the file's output_activation: {0}")]
    Link(#[from] LinkError),
    /// A network that cannot be written, or an empty one.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl Network {
    /// Reads a network from the bytes of a safetensors file. `activation`, if given, stands for
    /// all hidden layers whatever the metadata say.
    ///
    /// # Errors
    /// Everything that [`FormatError`] lists but for unwritable networks.
    pub fn from_bytes(bytes: &[u8], activation: Option<Activation>) -> Result<Self, FormatError> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| container_error(&error))?;
        let hidden = hidden_layers(&file)?;
        let metadata = metadata(bytes)?;
        let mut inputs = None;
        let mut linear = |place: usize| -> Result<_, FormatError> {
            let [weight, bias] = names(place);
            let tensor_of_weights = tensor(&file, &weight)?;
            let [units, columns] = matrix_shape(&weight, &tensor_of_weights, "(units, inputs)")?;
            let inputs = inputs.replace(units).unwrap_or(columns);
            fit(&weight, &[units, columns], &[units, inputs])?;
            let tensor_of_biases = tensor(&file, &bias)?;
            fit(&bias, tensor_of_biases.shape(), &[units])?;
            // A row-major matrix is its own transpose in column-major order.
            let weights = DMatrix::from_vec(inputs, units, numbers(&weight, &tensor_of_weights)?);
            Ok((weights, DVector::from_vec(numbers(&bias, &tensor_of_biases)?)))
        };
        let layers: Result<Vec<Layer>, FormatError> = (0..hidden)
            .map(|place| {
                let (weights, biases) = linear(place)?;
                let activation = activation.map_or_else(|| activation_of(place, &metadata), Ok)?;
                Ok(Layer { weights, shifts: -biases, activation })
            })
            .collect();
        let layers = layers?;
        let (c, c0) = linear(hidden)?;
        let network = Network { layers, c, c0, link: link(&metadata)? };
        network.validate()?;
        Ok(network)
    }

    /// The bytes of the network's file, f64. Equal networks give equal bytes.
    ///
    /// # Errors
    /// If the network is not [valid](Network::validate).
    pub fn to_bytes(&self) -> Result<Vec<u8>, NetworkError> {
        self.validate()?;
        let biases: Vec<DVector<f64>> = self.layers.iter().map(|layer| -&layer.shifts).collect();
        let hidden = self.layers.iter().map(|layer| &layer.weights).zip(&biases);
        let mut tensors = Vec::new();
        for (place, (weights, biases)) in hidden.chain([(&self.c, &self.c0)]).enumerate() {
            let [weight, bias] = names(place);
            let (inputs, units) = weights.shape();
            tensors.push((bias, vec![units], biases.as_slice()));
            tensors.push((weight, vec![units, inputs], weights.as_slice()));
        }

        let activations = self.activations();
        let differs = |&(place, phi): &(usize, Activation)| place == 0 || phi != activations[0];
        let named = activations.iter().copied().enumerate().filter(differs);
        let mut metadata: Vec<(String, String)> =
            named.map(|(place, phi)| (activation_key(place), phi.name().to_owned())).collect();
        if self.link != Link::None {
            metadata.push(("output_activation".to_owned(), self.link.name().to_owned()));
        }
        if let Some((lo, hi)) = self.link.range() {
            metadata.push(("output_range".to_owned(), format!("{lo:?},{hi:?}")));
        }
        Ok(container(&tensors, &metadata))
    }
}

/// The tensors of the linear layer at `place`, from 0.
fn names(place: usize) -> [String; 2] {
    ["weight", "bias"].map(|kind| format!("{}.{kind}", 2 * place))
}

/// Where the metadata name the activation of the hidden layer at `place`, from 0.
fn activation_key(place: usize) -> String {
    if place == 0 { "activation".to_owned() } else { format!("activation_{}", place + 1) }
}

/// A safetensors file of f64 tensors: (name, shape, numbers in row-major order) each.
///
/// The header is written here and not by the crate, which keeps the metadata in a hash map: its entries
/// would come in a different order at every run.
fn container(tensors: &[(String, Vec<usize>, &[f64])], metadata: &[(String, String)]) -> Vec<u8> {
    let mut header = Map::new();
    let mut data = Vec::new();
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let entry = json!({"dtype": "F64", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name.clone(), entry);
    }
    let metadata: Map<String, Value> =
        metadata.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    header.insert("__metadata__".to_owned(), Value::Object(metadata));

    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = header.len() as u64;
    [length.to_le_bytes().as_slice(), &header, &data].concat()
}

/// The number of hidden layers, told by the names of the tensors. Refuses a file that lacks a tensor, then
/// one that holds more: a network of another kind must not be read as the one it begins with.
fn hidden_layers(file: &SafeTensors) -> Result<usize, FormatError> {
    let mut present = file.names();
    present.sort_unstable();
    let number = |name: &&str| match name.split_once('.') {
        Some((number, "weight" | "bias")) => number.parse::<usize>().ok(),
        _ => None,
    };
    let hidden = present.iter().filter_map(number).max().map_or(1, |last| (last / 2).max(1));
    // The first name that is missing comes before a file's worth of them.
    let expected: Vec<String> = (0..=hidden.min(present.len())).flat_map(names).collect();
    if let Some(name) = expected.iter().find(|name| !present.contains(&name.as_str())) {
        return Err(FormatError::Missing { name: name.clone(), present: listing(&present) });
    }
    present.retain(|name| !expected.iter().any(|known| known == name));
    if present.is_empty() {
        return Ok(hidden);
    }
    Err(FormatError::Unexpected { names: listing(&present) })
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
fn container_error(error: &safetensors::SafeTensorError) -> FormatError {
    FormatError::Container(error.to_string().replace(char::is_control, " "))
}

fn tensor<'a>(file: &SafeTensors<'a>, name: &str) -> Result<TensorView<'a>, FormatError> {
    file.tensor(name).map_err(|_| FormatError::Missing {
        name: name.to_owned(),
        present: listing(&file.names()),
    })
}

fn matrix_shape(
    name: &str,
    tensor: &TensorView,
    expected: &str,
) -> Result<[usize; 2], FormatError> {
    <[usize; 2]>::try_from(tensor.shape()).map_err(|_| FormatError::Shape {
        name: name.to_owned(),
        found: tensor.shape().to_vec(),
        expected: expected.to_owned(),
    })
}

fn fit(name: &str, found: &[usize], expected: &[usize]) -> Result<(), FormatError> {
    if found == expected {
        return Ok(());
    }
    Err(FormatError::Shape {
        name: name.to_owned(),
        found: found.to_vec(),
        expected: format!("{expected:?}"),
    })
}

/// All numbers of a tensor in f64, in the file's order.
fn numbers(name: &str, tensor: &TensorView) -> Result<Vec<f64>, FormatError> {
    let values: Vec<f64> = match tensor.dtype() {
        Dtype::F64 => {
            tensor.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
        }
        Dtype::F32 => {
            let (numbers, _) = tensor.data().as_chunks();
            numbers.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
        }
        found => return Err(FormatError::Type { name: name.to_owned(), found }),
    };
    if values.iter().all(|value| value.is_finite()) {
        Ok(values)
    } else {
        Err(FormatError::NotFinite(name.to_owned()))
    }
}

fn metadata(bytes: &[u8]) -> Result<HashMap<String, String>, FormatError> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| container_error(&error))?;
    Ok(header.metadata().clone().unwrap_or_default())
}

/// The activation of the hidden layer at `place`: the first one's, unless it is said to be another.
fn activation_of(
    place: usize,
    metadata: &HashMap<String, String>,
) -> Result<Activation, FormatError> {
    let own = metadata.get(&activation_key(place));
    let name = own.or_else(|| metadata.get("activation")).ok_or(FormatError::NoActivation)?;
    name.parse().map_err(|_| FormatError::UnknownActivation(name.clone()))
}

fn link(metadata: &HashMap<String, String>) -> Result<Link, LinkError> {
    let Some(name) = metadata.get("output_activation") else { return Ok(Link::None) };
    let link = Link::named(name)?;
    let Some(range) = metadata.get("output_range") else { return Ok(link) };
    let (lo, hi) = range.split_once(',').ok_or(LinkError::Range)?;
    let number = |text: &str| text.trim().parse().map_err(|_| LinkError::Range);
    link.with_range(number(lo)?, number(hi)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::network::Class;

    fn network() -> Network {
        Network::random(&[5, 4, 3], 1, Class::General, Activation::Tanh, 1).unwrap()
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
    fn every_network_survives_and_bytes_are_reproducible() {
        let ranged = [Link::SIGMOID, Link::TANH].map(|link| link.with_range(1.0, 5.5).unwrap());
        for link in Link::ALL.into_iter().chain(ranged) {
            for widths in [&[5, 4][..], &[5, 4, 3], &[2, 4, 3, 6, 2]] {
                let drawn = Network::random(widths, 2, Class::General, Activation::Erf, 1);
                let mut network = Network { link, ..drawn.unwrap() };
                for phi in Activation::ALL {
                    network.layers[widths.len() - 2].activation = phi;
                    let bytes = network.to_bytes().unwrap();
                    assert_eq!(bytes, network.to_bytes().unwrap());
                    assert_eq!(Network::from_bytes(&bytes, None).unwrap(), network);
                }
            }
        }
    }

    #[test]
    fn single_precision_is_read_and_the_activation_overridden() {
        let bytes = container(&SHAPES, json!({"activation": "tanh", "activation_2": "erf"}));
        let read = Network::from_bytes(&bytes, None).unwrap();
        let activations = [Activation::Tanh, Activation::Erf];
        assert_eq!((read.dims(), read.activations()), (vec![5, 4, 3, 1], activations.to_vec()));
        let read = Network::from_bytes(&bytes, Some(Activation::Sigmoid)).unwrap();
        assert_eq!(read.activations(), [Activation::Sigmoid; 2]);
    }

    #[test]
    fn weights_stand_where_pytorch_puts_them() {
        let network = network();
        let bytes = network.to_bytes().unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let entry = |name, k| numbers(name, &file.tensor(name).unwrap()).unwrap()[k];
        let [first, second] = network.layers.as_slice() else { panic!("two layers") };
        assert_eq!(entry("0.weight", 2 * 5 + 3), first.weights[(3, 2)]);
        assert_eq!(entry("2.weight", 2 * 4 + 1), second.weights[(1, 2)]);
        assert_eq!(entry("0.bias", 1), -first.shifts[1]);
        assert_eq!(entry("4.bias", 0), network.c0[0]);
    }

    #[test]
    fn every_defect_has_its_own_message() {
        let tanh = || json!({"activation": "tanh"});
        assert!(message(&SHAPES[..5], tanh()).contains("\"4.weight\" is missing"));
        assert!(message(&[], tanh()).contains("no tensors"));
        let deeper = [&SHAPES[..], &[("6.weight", &[1, 1])]].concat();
        assert!(message(&deeper, tanh()).contains("\"6.bias\" is missing"));
        let far = [&SHAPES[..], &[("18446744073709551614.weight", &[1, 1])]].concat();
        assert!(message(&far, tanh()).contains("\"6.weight\" is missing"));
        let other = [&SHAPES[..], &[("1.weight", &[1, 1])]].concat();
        assert!(message(&other, tanh()).contains("unexpected \"1.weight\""));
        assert!(with_shape(1, &[20]).contains("(units, inputs)"));
        assert!(with_shape(3, &[3, 5]).contains("expected [3, 4]"));
        assert!(with_shape(0, &[1]).contains("expected [4]"));
        assert!(with_shape(5, &[2, 3]).contains("\"4.bias\" has shape [1], expected [2]"));
        assert!(with_shape(1, &[4, 0]).contains("got 0-4-3-1"));
        assert!(message(&SHAPES, json!({})).contains("--activation"));
        let unknown = message(&SHAPES, json!({"activation": "re\nlu"}));
        assert!(unknown.contains("--activation") && !unknown.contains('\n'));

        let linked = |link: &str, range: &str| {
            let metadata =
                json!({"activation": "tanh", "output_activation": link, "output_range": range});
            message(&SHAPES, metadata)
        };
        assert!(linked("probit", "0,1").contains("unknown link \"probit\""));
        assert!(linked("softmax", "0,1").contains("no range to choose"));
        assert!(linked("sigmoid", "2,1").contains("the lower first"));
        let lone = json!({"activation": "tanh", "output_activation": "softmax"});
        assert!(message(&SHAPES, lone).contains("two outputs or more"));

        let mut infinite = network();
        infinite.layers[1].shifts[0] = f64::INFINITY;
        assert_eq!(infinite.to_bytes(), Err(NetworkError::NotFinite("tau".to_owned())));
        let mut bytes = network().to_bytes().unwrap();
        let end = bytes.len();
        bytes[end - 8..].copy_from_slice(&f64::NAN.to_le_bytes());
        let error = Network::from_bytes(&bytes, None).unwrap_err();
        assert!(matches!(error, FormatError::NotFinite(ref name) if name == "4.weight"));
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
