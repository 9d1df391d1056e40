//! A network as an ONNX graph in f64.

use super::super::{Activation, Link, Network};
use super::message::{
    AttributeProto, DOUBLE, DimensionProto, GraphProto, IS_FLOAT, IS_INT, IS_STRING, ModelProto,
    NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto,
};

/// Operator set and version of the file format: what every runtime of the last years reads, and what `Gelu` needs.
const VERSIONS: (i64, i64) = (13, 7);
const VERSIONS_WITH_GELU: (i64, i64) = (20, 9);

/// The model of a network.
pub fn model(network: &Network) -> ModelProto {
    let mut graph = Graph { value: "x".to_owned(), ..Graph::default() };
    for layer in &network.layers {
        graph.affine(layer.weights.as_slice(), (-&layer.shifts).as_slice());
        graph.activation(layer.activation);
    }
    graph.affine(network.c.as_slice(), network.c0.as_slice());
    graph.link(network.link);
    let gelu = |phi: &Activation| matches!(phi, Activation::Gelu | Activation::GeluTanh);
    let (version, ir_version) =
        if network.activations().iter().any(gelu) { VERSIONS_WITH_GELU } else { VERSIONS };
    let output = batch(&graph.value, network.output_dim());
    ModelProto {
        ir_version,
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(GraphProto {
            node: graph.nodes,
            name: "network".to_owned(),
            initializer: graph.constants,
            input: vec![batch("x", network.input_dim())],
            output: vec![output],
        }),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version }],
    }
}

/// A graph that is being written.
#[derive(Default)]
struct Graph {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    layers: usize,
    /// The name of what was computed last.
    value: String,
}

impl Graph {
    /// The linear layer at the next place, with PyTorch's names.
    fn affine(&mut self, weights: &[f64], biases: &[f64]) {
        let place = 2 * self.layers;
        self.layers += 1;
        let units = biases.len();
        // Column-major inputs x units is row-major units x inputs, which `transB` takes.
        let weight =
            self.constant(format!("{place}.weight"), &[units, weights.len() / units], weights);
        let bias = self.constant(format!("{place}.bias"), &[units], biases);
        let value = self.value.clone();
        self.push("Gemm", vec![value, weight, bias], vec![whole("transB", 1)]);
    }

    fn activation(&mut self, activation: Activation) {
        let value = self.value.clone();
        let (operator, attributes) = match activation {
            Activation::Tanh => ("Tanh", vec![]),
            Activation::Sigmoid => ("Sigmoid", vec![]),
            Activation::Erf => ("Erf", vec![]),
            Activation::Relu => ("Relu", vec![]),
            Activation::Softplus => ("Softplus", vec![]),
            Activation::LeakyRelu => ("LeakyRelu", vec![number("alpha", 0.01)]),
            Activation::Gelu => ("Gelu", vec![text("approximate", "none")]),
            Activation::GeluTanh => ("Gelu", vec![text("approximate", "tanh")]),
            Activation::Silu => {
                self.push("Sigmoid", vec![value.clone()], vec![]);
                let sigmoid = self.value.clone();
                return self.push("Mul", vec![value, sigmoid], vec![]);
            }
            Activation::SquaredRelu => {
                self.push("Relu", vec![value], vec![]);
                let relu = self.value.clone();
                return self.push("Mul", vec![relu.clone(), relu], vec![]);
            }
        };
        self.push(operator, vec![value], attributes);
    }

    /// The link, and its range where that is not its own.
    fn link(&mut self, link: Link) {
        let value = self.value.clone();
        let (operator, attributes) = match link {
            Link::None => return,
            Link::Sigmoid { .. } => ("Sigmoid", vec![]),
            Link::Tanh { .. } => ("Tanh", vec![]),
            Link::Softmax => ("Softmax", vec![whole("axis", -1)]),
        };
        self.push(operator, vec![value], attributes);
        let Some((lo, hi)) = link.range() else { return };
        let (factor, offset) = match link {
            Link::Tanh { .. } => (0.5 * (hi - lo), 0.5 * (lo + hi)),
            _ => (hi - lo, lo),
        };
        for (operator, name, number) in [("Mul", "factor", factor), ("Add", "offset", offset)] {
            let constant = self.constant(name.to_owned(), &[], &[number]);
            let value = self.value.clone();
            self.push(operator, vec![value, constant], vec![]);
        }
    }

    fn constant(&mut self, name: String, dims: &[usize], numbers: &[f64]) -> String {
        self.constants.push(TensorProto {
            dims: dims.iter().map(|&n| n as i64).collect(),
            data_type: DOUBLE,
            name: name.clone(),
            raw_data: numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
        name
    }

    fn push(&mut self, operator: &str, input: Vec<String>, attribute: Vec<AttributeProto>) {
        let name = format!("{operator}_{}", self.nodes.len());
        self.value = format!("{name}_y");
        let (output, op_type) = (vec![self.value.clone()], operator.to_owned());
        self.nodes.push(NodeProto {
            input,
            output,
            name,
            op_type,
            attribute,
            domain: String::new(),
        });
    }
}

fn whole(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i, r#type: IS_INT, ..AttributeProto::default() }
}

fn number(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), f, r#type: IS_FLOAT, ..AttributeProto::default() }
}

fn text(name: &str, s: &str) -> AttributeProto {
    let s = s.as_bytes().to_vec();
    AttributeProto { name: name.to_owned(), s, r#type: IS_STRING, ..AttributeProto::default() }
}

/// Rows of so many numbers, as many as there are points.
fn batch(name: &str, numbers: usize) -> ValueInfoProto {
    let points = DimensionProto { dim_value: None, dim_param: Some("batch".to_owned()) };
    let width = DimensionProto { dim_value: Some(numbers as i64), dim_param: None };
    let shape = Some(TensorShapeProto { dim: vec![points, width] });
    let tensor_type = Some(TensorTypeProto { elem_type: DOUBLE, shape });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
}
