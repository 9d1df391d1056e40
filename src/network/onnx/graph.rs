//! From the nodes of a graph to the network that it computes.

use std::collections::{HashMap, HashSet};

use super::super::{Activation, Network};
use super::computed::{Computed, Shape, With};
use super::message::{AttributeProto, DOUBLE, FLOAT, GraphProto, NodeProto, ValueInfoProto};
use super::tensor::Tensor;
use super::{Beside, OnnxError};

/// leaky relu as this crate has it: `LeakyRelu` without an attribute.
const LEAK: f32 = 0.01;

/// What a name stands for.
#[derive(Clone, Debug)]
enum Value {
    Constant(Tensor),
    Computed(Computed),
}

/// The network from the input of a graph to its output.
pub fn network(graph: &GraphProto, beside: &Beside<'_>) -> Result<Network, OnnxError> {
    let output = output(graph)?;
    let needed = needed(graph, output);
    let mut values = HashMap::new();
    for proto in graph.initializer.iter().filter(|proto| needed.contains(proto.name.as_str())) {
        values.insert(proto.name.as_str(), Value::Constant(Tensor::read(proto, beside)?));
    }
    // Old models list their constants among the inputs.
    let inputs = graph.input.iter().filter(|input| !values.contains_key(input.name.as_str()));
    let inputs: Vec<&ValueInfoProto> =
        inputs.filter(|input| needed.contains(input.name.as_str())).collect();
    let [input] = inputs.as_slice() else {
        return Err(OnnxError::Graph(format!(
            "a network has one input, this graph {}",
            inputs.len()
        )));
    };
    values.insert(&input.name, Value::Computed(of_input(input)));
    for node in graph.node.iter().filter(|node| is_needed(node, &needed)) {
        let value = Node { node, values: &values, beside }.value()?;
        // Of what has more outputs than one only the first is used by what is read.
        let Some(name) = node.output.first() else { continue };
        values.insert(name, value);
    }
    match values.remove(output) {
        Some(Value::Computed(computed)) => computed.network().map_err(OnnxError::Graph),
        Some(Value::Constant(_)) => Err(OnnxError::Graph("the output is a constant".to_owned())),
        None => Err(OnnxError::Graph(format!("nothing computes the output {output:?}"))),
    }
}

/// The only output of numbers: a classifier has its labels beside it.
fn output(graph: &GraphProto) -> Result<&str, OnnxError> {
    let of_numbers = |info: &&ValueInfoProto| {
        let of_type = info.r#type.as_ref().and_then(|of| of.tensor_type.as_ref());
        of_type.is_none_or(|tensor| [0, FLOAT, DOUBLE].contains(&tensor.elem_type))
    };
    let outputs: Vec<&ValueInfoProto> = graph.output.iter().filter(of_numbers).collect();
    match outputs.as_slice() {
        [output] => Ok(&output.name),
        _ => Err(OnnxError::Graph(format!(
            "a network has one output in f32 or f64, this graph {}",
            outputs.len()
        ))),
    }
}

/// All names that the output depends on. A graph lists its nodes in the order in which they are computed.
fn needed<'a>(graph: &'a GraphProto, output: &'a str) -> HashSet<&'a str> {
    let mut needed = HashSet::from([output]);
    for node in graph.node.iter().rev() {
        if is_needed(node, &needed) {
            needed.extend(node.input.iter().map(String::as_str));
        }
    }
    needed
}

fn is_needed(node: &NodeProto, needed: &HashSet<&str>) -> bool {
    node.output.iter().any(|name| needed.contains(name.as_str()))
}

/// The input, with what its type says of its numbers a point.
fn of_input(input: &ValueInfoProto) -> Computed {
    let tensor = input.r#type.as_ref().and_then(|of| of.tensor_type.as_ref());
    let Some(shape) = tensor.and_then(|tensor| tensor.shape.as_ref()) else {
        return Computed::input(None, Shape::Rows);
    };
    let of_point = shape.dim.iter().skip(1).map(|dim| dim.dim_value);
    let numbers = of_point.map(|n| n.and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0));
    let width = numbers.reduce(|one, other| one?.checked_mul(other?)).flatten();
    let lies = if shape.dim.len() == 2 { Shape::Rows } else { Shape::Tensor };
    Computed::input(width, lies)
}

/// A node, and the values before it.
struct Node<'a> {
    node: &'a NodeProto,
    values: &'a HashMap<&'a str, Value>,
    beside: &'a Beside<'a>,
}

impl Node<'_> {
    fn value(&self) -> Result<Value, OnnxError> {
        if (self.node.domain.as_str(), self.node.op_type.as_str()) == ("ai.onnx.ml", "Scaler") {
            return self.scaler().map(Value::Computed);
        }
        if !matches!(self.node.domain.as_str(), "" | "ai.onnx") {
            let operator = format!("{}:{}", self.node.domain, self.node.op_type);
            return Err(OnnxError::Operator { operator });
        }
        let computed = match self.node.op_type.as_str() {
            "Constant" => return Ok(Value::Constant(self.constant()?)),
            "Identity" => return Ok(self.input(0)?.clone()),
            "Cast" => return self.cast(),
            "Transpose" => return self.transpose(),
            "Dropout" => self.dropout(),
            "Gemm" => self.gemm(),
            "MatMul" => self.matmul(),
            "Add" | "Sub" | "Mul" | "Div" => self.by_units(),
            "Softmax" => self.softmax(),
            "Flatten" => self.flatten(),
            "Reshape" => self.reshape(),
            "Squeeze" => self.squeeze(),
            _ => self.activation(),
        };
        computed.map(Value::Computed)
    }

    fn activation(&self) -> Result<Computed, OnnxError> {
        let operator = self.node.op_type.as_str();
        let activation = match operator {
            "Tanh" => Activation::Tanh,
            "Sigmoid" => Activation::Sigmoid,
            "Erf" => Activation::Erf,
            "Relu" => Activation::Relu,
            "Softplus" => Activation::Softplus,
            "LeakyRelu" => match self.attribute("alpha").map_or(LEAK, |alpha| alpha.f) {
                LEAK => Activation::LeakyRelu,
                alpha => return Err(self.refuse(format!("a slope of {alpha}; {LEAK} is read"))),
            },
            "Gelu" => match self.attribute("approximate").map_or(&b"none"[..], |form| &form.s) {
                b"tanh" => Activation::GeluTanh,
                _ => Activation::Gelu,
            },
            _ => return Err(OnnxError::Operator { operator: operator.to_owned() }),
        };
        self.of(self.computed(0)?.clone().through(activation))
    }

    /// alpha x W + beta b, W transposed or not.
    fn gemm(&self) -> Result<Computed, OnnxError> {
        let number = |name| self.attribute(name).map_or(1.0, |attribute| f64::from(attribute.f));
        if self.whole("transA").unwrap_or(0) != 0 {
            return Err(self.refuse("transA turns the batch over".to_owned()));
        }
        let weights = self.matrix(1)?;
        let weights =
            if self.whole("transB").unwrap_or(0) == 0 { weights } else { weights.transpose() };
        let biases = match self.node.input.get(2).filter(|name| !name.is_empty()) {
            None => None,
            Some(_) => {
                let tensor = self.tensor(2)?;
                let row = tensor
                    .row()
                    .map(<[f64]>::to_vec)
                    .or(tensor.scalar().map(|number| vec![number]));
                let row =
                    row.ok_or_else(|| self.refuse(format!("biases of shape {:?}", tensor.dims)))?;
                Some(row.into_iter().map(|bias| bias * number("beta")).collect::<Vec<_>>())
            }
        };
        let product =
            self.computed(0)?.clone().times(&(weights * number("alpha")), biases.as_deref());
        self.of(product)
    }

    fn matmul(&self) -> Result<Computed, OnnxError> {
        self.of(self.computed(0)?.clone().times(&self.matrix(1)?, None))
    }

    /// A sum, difference, product or quotient with a constant; silu or squared relu.
    fn by_units(&self) -> Result<Computed, OnnxError> {
        let operator = self.node.op_type.as_str();
        let both = (self.input(0)?, self.input(1)?);
        let (computed, constant, first) = match both {
            (Value::Computed(computed), Value::Constant(constant)) => (computed, constant, true),
            (Value::Constant(constant), Value::Computed(computed)) => (computed, constant, false),
            (Value::Computed(one), Value::Computed(other)) => {
                let silu = || {
                    let silu =
                        one.times_own_sigmoid(other).or_else(|| other.times_own_sigmoid(one));
                    silu.or_else(|| one.times_itself(other))
                };
                let found = if operator == "Mul" { silu() } else { None };
                return found.ok_or_else(|| {
                    self.refuse("of two values that both depend on the input".to_owned())
                });
            }
            (Value::Constant(_), Value::Constant(_)) => {
                return Err(self.refuse("of two constants".to_owned()));
            }
        };
        let mapped = |map: fn(f64) -> f64| Tensor {
            numbers: constant.numbers.iter().map(|&number| map(number)).collect(),
            ..constant.clone()
        };
        let one = |number| Tensor { dims: Vec::new(), numbers: vec![number] };
        let computed = computed.clone();
        self.of(match (operator, first) {
            ("Add", _) => computed.by(constant, With::Offset),
            ("Mul", _) => computed.by(constant, With::Factor),
            ("Sub", true) => computed.by(&mapped(|x| -x), With::Offset),
            ("Sub", false) => computed
                .by(&one(-1.0), With::Factor)
                .and_then(|turned| turned.by(constant, With::Offset)),
            ("Div", true) => computed.by(&mapped(f64::recip), With::Factor),
            _ => Err("a constant is divided by what depends on the input".to_owned()),
        })
    }

    /// (x - offset) scale, either one number or one a unit, as skl2onnx writes what a pipeline does to its inputs.
    fn scaler(&self) -> Result<Computed, OnnxError> {
        let numbers = |name, default: f32, sign: f64| {
            let own = self.attribute(name).map_or(&[][..], |attribute| &attribute.floats);
            let own = if own.is_empty() { &[default][..] } else { own };
            let dims = if own.len() == 1 { Vec::new() } else { vec![own.len()] };
            Tensor { dims, numbers: own.iter().map(|&x| sign * f64::from(x)).collect() }
        };
        let moved = self.computed(0)?.clone().by(&numbers("offset", 0.0, -1.0), With::Offset);
        self.of(moved.and_then(|moved| moved.by(&numbers("scale", 1.0, 1.0), With::Factor)))
    }

    fn softmax(&self) -> Result<Computed, OnnxError> {
        match self.whole("axis").unwrap_or(-1) {
            1 | -1 => self.of(self.computed(0)?.clone().shares()),
            axis => Err(self.refuse(format!("it is over axis {axis}"))),
        }
    }

    fn flatten(&self) -> Result<Computed, OnnxError> {
        let before = self.computed(0)?.clone();
        match self.whole("axis").unwrap_or(1) {
            1 if matches!(before.shape, Shape::Tensor | Shape::Rows) => {
                Ok(before.lying(Shape::Rows))
            }
            axis => Err(self.refuse(format!("axis {axis} is not read"))),
        }
    }

    /// To a row a point, or to a number a point where there is one.
    fn reshape(&self) -> Result<Computed, OnnxError> {
        let before = self.computed(0)?.clone();
        let shape = self.tensor(1)?.whole();
        let width = before.width();
        let as_wide = |&n: &i64| match (usize::try_from(n).ok(), width) {
            (Some(n), Some(width)) => n == width || n == 0 && before.shape == Shape::Rows,
            (Some(_), None) => false,
            (None, _) => n == -1,
        };
        // As many points as before, however that is said: a row of another width would be made of parts of points.
        let rows = match shape.as_slice() {
            [-1, n] => *n > 0 && as_wide(n),
            [0 | 1, n] => as_wide(n),
            _ => false,
        };
        let shape = match shape.as_slice() {
            _ if rows && before.shape != Shape::Together => Shape::Rows,
            [-1, 1] if before.shape == Shape::Rows && width.is_some() => Shape::Together,
            [-1] if width == Some(1) => Shape::Numbers,
            shape => return Err(self.refuse(format!("to shape {shape:?} is not read"))),
        };
        Ok(before.lying(shape))
    }

    /// Of one number a point.
    fn squeeze(&self) -> Result<Computed, OnnxError> {
        let before = self.computed(0)?.clone();
        let axes = match self.attribute("axes") {
            Some(attribute) => attribute.ints.clone(),
            None => self.tensor(1)?.whole(),
        };
        if before.shape == Shape::Rows
            && before.width() == Some(1)
            && matches!(axes.as_slice(), [1 | -1])
        {
            return Ok(before.lying(Shape::Numbers));
        }
        Err(self.refuse(format!("of axes {axes:?} is not read here")))
    }

    /// What it does where nothing is trained: nothing.
    fn dropout(&self) -> Result<Computed, OnnxError> {
        if self.node.input.get(2).is_some_and(|name| !name.is_empty()) {
            return Err(self.refuse("as in training".to_owned()));
        }
        Ok(self.computed(0)?.clone())
    }

    /// Between f32 and f64; all is computed in f64.
    fn cast(&self) -> Result<Value, OnnxError> {
        let to = self.whole("to").and_then(|to| i32::try_from(to).ok());
        if to.is_some_and(|to| [FLOAT, DOUBLE].contains(&to)) {
            return Ok(self.input(0)?.clone());
        }
        Err(self.refuse("to another type than f32 and f64".to_owned()))
    }

    fn transpose(&self) -> Result<Value, OnnxError> {
        let permutation = self.attribute("perm").map_or(&[1, 0][..], |attribute| &attribute.ints);
        let transposed = self.tensor(0)?.transposed().filter(|_| permutation == [1, 0]);
        transposed
            .map(Value::Constant)
            .ok_or_else(|| self.refuse("of what is no matrix".to_owned()))
    }

    fn constant(&self) -> Result<Tensor, OnnxError> {
        if let Some(tensor) = self.attribute("value").and_then(|value| value.t.as_ref()) {
            return Tensor::read(tensor, self.beside);
        }
        let number = |number| Tensor { dims: Vec::new(), numbers: vec![number] };
        let list = |numbers: Vec<f64>| Tensor { dims: vec![numbers.len()], numbers };
        let found = self.node.attribute.first().and_then(|value| match value.name.as_str() {
            "value_float" => Some(number(f64::from(value.f))),
            "value_int" => Some(number(value.i as f64)),
            "value_floats" => Some(list(value.floats.iter().map(|&x| f64::from(x)).collect())),
            "value_ints" => Some(list(value.ints.iter().map(|&x| x as f64).collect())),
            _ => None,
        });
        found.ok_or_else(|| self.refuse("it holds no numbers".to_owned()))
    }

    fn input(&self, place: usize) -> Result<&Value, OnnxError> {
        let name = self.node.input.get(place).map_or("", String::as_str);
        self.values.get(name).ok_or_else(|| self.refuse(format!("its input {name:?} is not there")))
    }

    fn computed(&self, place: usize) -> Result<&Computed, OnnxError> {
        match self.input(place)? {
            Value::Computed(computed) => Ok(computed),
            Value::Constant(_) => {
                Err(self.refuse(format!("its input {} is a constant", place + 1)))
            }
        }
    }

    fn tensor(&self, place: usize) -> Result<&Tensor, OnnxError> {
        match self.input(place)? {
            Value::Constant(tensor) => Ok(tensor),
            Value::Computed(_) => {
                Err(self.refuse(format!("its input {} is no constant", place + 1)))
            }
        }
    }

    fn matrix(&self, place: usize) -> Result<nalgebra::DMatrix<f64>, OnnxError> {
        let tensor = self.tensor(place)?;
        tensor.matrix().ok_or_else(|| self.refuse(format!("weights of shape {:?}", tensor.dims)))
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.node.attribute.iter().find(|attribute| attribute.name == name)
    }

    fn whole(&self, name: &str) -> Option<i64> {
        self.attribute(name).map(|attribute| attribute.i)
    }

    fn of(&self, computed: Result<Computed, String>) -> Result<Computed, OnnxError> {
        computed.map_err(|what| self.refuse(what))
    }

    fn refuse(&self, what: String) -> OnnxError {
        let (operator, node) = (self.node.op_type.clone(), self.node.name.clone());
        OnnxError::Use { operator, node, what }
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{
        DimensionProto, INT64, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    };
    use super::*;

    /// An input of two numbers a point, constants by name, and nodes: operator, inputs, output; attributes of a node are
    /// numbers by name.
    struct Made(GraphProto);

    type Attributes<'a> = &'a [(&'a str, i64)];

    impl Made {
        fn new(dims: &[Option<i64>]) -> Self {
            let dim = dims
                .iter()
                .map(|&dim_value| DimensionProto { dim_value, dim_param: None })
                .collect();
            let tensor_type =
                Some(TensorTypeProto { elem_type: DOUBLE, shape: Some(TensorShapeProto { dim }) });
            let info = |name: &str, r#type| ValueInfoProto { name: name.to_owned(), r#type };
            Made(GraphProto {
                input: vec![info("x", Some(TypeProto { tensor_type }))],
                output: vec![info("y", None)],
                ..GraphProto::default()
            })
        }

        fn constant(mut self, name: &str, dims: &[i64], numbers: &[f64]) -> Self {
            let (name, dims) = (name.to_owned(), dims.to_vec());
            let double_data = numbers.to_vec();
            self.0.initializer.push(TensorProto {
                name,
                dims,
                data_type: DOUBLE,
                double_data,
                ..TensorProto::default()
            });
            self
        }

        fn whole(mut self, name: &str, numbers: &[i64]) -> Self {
            let (name, dims, int64_data) =
                (name.to_owned(), vec![numbers.len() as i64], numbers.to_vec());
            let tensor =
                TensorProto { name, dims, data_type: INT64, int64_data, ..TensorProto::default() };
            self.0.initializer.push(tensor);
            self
        }

        fn node(
            mut self,
            operator: &str,
            input: &[&str],
            output: &str,
            attributes: Attributes<'_>,
        ) -> Self {
            let attribute = attributes.iter().map(|&(name, i)| AttributeProto {
                name: name.to_owned(),
                i,
                ..AttributeProto::default()
            });
            self.0.node.push(NodeProto {
                op_type: operator.to_owned(),
                input: input.iter().map(|&name| name.to_owned()).collect(),
                output: vec![output.to_owned()],
                attribute: attribute.collect(),
                ..NodeProto::default()
            });
            self
        }

        fn read(&self) -> Result<Network, OnnxError> {
            network(&self.0, &|_, _, _| Err(std::io::Error::other("nowhere")))
        }
    }

    fn two_inputs() -> Made {
        Made::new(&[None, Some(2)])
    }

    /// A layer of three units from the inputs.
    fn one_layer() -> Made {
        let weights = [0.3, -0.5, 0.7, 1.1, 0.2, -0.4];
        two_inputs().constant("w", &[2, 3], &weights).node("MatMul", &["x", "w"], "a", &[]).node(
            "Tanh",
            &["a"],
            "h",
            &[],
        )
    }

    #[test]
    fn constants_before_and_behind_a_layer_become_its_own() {
        let network = two_inputs()
            .constant("mean", &[2], &[0.5, -1.0])
            .constant("scale", &[1, 2], &[2.0, 4.0])
            .constant("w", &[3, 2], &[0.3, -0.5, 0.7, 1.1, 0.2, -0.4])
            .constant("b", &[3], &[0.1, 0.2, 0.3])
            .constant("v", &[3, 1], &[1.0, -2.0, 3.0])
            .constant("one", &[], &[1.0])
            .node("Sub", &["x", "mean"], "s", &[])
            .node("Div", &["s", "scale"], "t", &[])
            .node("Transpose", &["w"], "wt", &[])
            .node("Gemm", &["t", "wt", "b"], "a", &[])
            .node("Tanh", &["a"], "h", &[])
            .node("Sub", &["one", "h"], "g", &[])
            .node("MatMul", &["g", "v"], "y", &[])
            .read()
            .unwrap();
        let f = |x: [f64; 2]| {
            let t = [(x[0] - 0.5) / 2.0, (x[1] + 1.0) / 4.0];
            let unit = |w: [f64; 2], b: f64| 1.0 - (w[0] * t[0] + w[1] * t[1] + b).tanh();
            unit([0.3, -0.5], 0.1) - 2.0 * unit([0.7, 1.1], 0.2) + 3.0 * unit([0.2, -0.4], 0.3)
        };
        for x in [[0.0, 0.0], [1.0, -2.0], [-0.3, 5.0]] {
            assert!((network.value(&x) - f(x)).abs() < 1e-14);
        }
    }

    #[test]
    fn what_would_be_read_as_something_else_is_refused() {
        let cube = || Made::new(&[None, Some(2), Some(3)]);
        let six = [1.0; 6];
        let bad = [
            (one_layer().node("Sin", &["h"], "y", &[]), "operator Sin is not read"),
            (one_layer().node("Add", &["h", "a"], "y", &[]), "both depend on the input"),
            (one_layer().node("Mul", &["h", "h"], "y", &[]), "both depend on the input"),
            (
                one_layer().constant("c", &[2], &[1.0; 2]).node("Add", &["h", "c"], "y", &[]),
                "shape [2]",
            ),
            (
                one_layer().constant("c", &[3, 1], &[1.0; 3]).node("Add", &["h", "c"], "y", &[]),
                "shape [3, 1]",
            ),
            (
                one_layer().constant("c", &[2, 2], &[1.0; 4]).node("MatMul", &["h", "c"], "y", &[]),
                "2 x 2",
            ),
            (
                one_layer().node("Softmax", &["h"], "p", &[]).node("Tanh", &["p"], "y", &[]),
                "must be the last",
            ),
            (one_layer().node("Softmax", &["h"], "y", &[("axis", 0)]), "axis 0"),
            (one_layer().node("Cast", &["h"], "y", &[("to", 10)]), "another type"),
            (
                one_layer().whole("s", &[-1, 1]).node("Reshape", &["h", "s"], "t", &[]).node(
                    "Softmax",
                    &["t"],
                    "y",
                    &[],
                ),
                "row a point",
            ),
            (one_layer().whole("s", &[3, -1]).node("Reshape", &["h", "s"], "y", &[]), "[3, -1]"),
            (one_layer().whole("s", &[1]).node("Squeeze", &["h", "s"], "y", &[]), "Squeeze"),
            (one_layer().node("Transpose", &["h"], "y", &[]), "no constant"),
            (one_layer().node("Gemm", &["h", "w"], "y", &[("transA", 1)]), "transA"),
            (one_layer().node("Flatten", &["h"], "y", &[("axis", 0)]), "axis 0"),
            (one_layer(), "has one input, this graph 0"),
            (
                cube().constant("w", &[3, 2], &six).node("MatMul", &["x", "w"], "y", &[]),
                "no row a point",
            ),
            (cube().whole("s", &[-1, 3]).node("Reshape", &["x", "s"], "y", &[]), "[-1, 3]"),
            (Made::new(&[None, None]).node("Tanh", &["x"], "y", &[]), "is not said"),
            (Made::new(&[None, Some(1 << 40)]).node("Tanh", &["x"], "y", &[]), "too large"),
        ];
        for (made, words) in bad {
            let error = made.read().unwrap_err().to_string();
            assert!(error.contains(words), "{error} does not say {words:?}");
        }
    }

    #[test]
    fn an_input_of_several_axes_is_flattened_in_its_order() {
        let made = Made::new(&[None, Some(2), Some(3)]).constant(
            "w",
            &[6, 1],
            &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        );
        let flat = made.node("Tanh", &["x"], "h", &[]).node("Flatten", &["h"], "f", &[]);
        let network = flat.node("MatMul", &["f", "w"], "y", &[]).read().unwrap();
        let expected = 0.1f64.tanh() + 6.0 * 0.2f64.tanh();
        assert!((network.value(&[0.1, 0.0, 0.0, 0.0, 0.0, 0.2]) - expected).abs() < 1e-14);
    }

    #[test]
    fn a_domain_of_its_own_is_named() {
        let mut made = one_layer().node("Relu", &["h"], "y", &[]);
        made.0.node[2].domain = "com.example".to_owned();
        assert!(
            made.read().unwrap_err().to_string().contains("operator com.example:Relu is not read")
        );
    }
}
