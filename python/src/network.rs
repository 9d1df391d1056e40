//! Networks in Python.

use std::path::{Path, PathBuf};

use disentangle::nalgebra::DMatrix;
use disentangle::network::{Class, Link};
use disentangle::{Activation, Network as Inner};
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};

use crate::errors::{file, load, value};
use crate::settings::Keywords;

/// A network: hidden layers, their activations, outputs and a link behind them. It does not change.
#[pyclass(frozen, module = "disentangle")]
pub struct Network(pub Inner);

#[pymethods]
impl Network {
    /// Made of arrays by PyTorch's names; the last of them are the outputs.
    #[staticmethod]
    #[pyo3(name = "_from_arrays")]
    fn from_arrays(weights: &Bound<'_, PyDict>, options: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut tensors = Vec::new();
        for (name, array) in weights {
            let array: PyReadonlyArray2<'_, f64> = array.extract()?;
            let (rows, columns) = array.as_array().dim();
            let bytes: Vec<u8> =
                array.as_array().iter().flat_map(|number| number.to_le_bytes()).collect();
            let name: String = name.extract()?;
            // A bias came as one row.
            let shape = if name.ends_with(".bias") { vec![columns] } else { vec![rows, columns] };
            tensors.push((name, shape, bytes));
        }
        let views: Result<Vec<_>, _> = tensors
            .iter()
            .map(|(name, shape, bytes)| {
                Ok((name, TensorView::new(Dtype::F64, shape.clone(), bytes)?))
            })
            .collect();
        let views = views.map_err(|error: safetensors::SafeTensorError| value(error))?;
        let bytes = serialize(views, None).map_err(value)?;
        let keywords = Keywords(options);
        let activations = keywords.activations("activation")?;
        let first = activations.first().copied().ok_or_else(|| value("give the activation"))?;
        let mut network = Inner::from_bytes(&bytes, Some(first)).map_err(value)?;
        set_activations(&mut network, &activations)?;
        network.link = keywords.link()?.unwrap_or(Link::None);
        network.validate().map_err(value)?;
        Ok(Network(network))
    }

    /// What `bytes(network)` gave.
    #[staticmethod]
    #[pyo3(name = "_from_bytes")]
    fn from_bytes(bytes: &[u8]) -> PyResult<Self> {
        Inner::from_bytes(bytes, None).map(Network).map_err(value)
    }

    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        let again = py.get_type::<Network>().getattr("_from_bytes")?;
        Ok((again, (self.__bytes__(py)?,)))
    }

    /// The bytes of its safetensors file.
    fn __bytes__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.0.to_bytes().map_err(value)?))
    }

    /// d, the number of inputs.
    #[getter]
    fn input_dim(&self) -> usize {
        self.0.input_dim()
    }

    /// K, the number of outputs.
    #[getter]
    fn output_dim(&self) -> usize {
        self.0.output_dim()
    }

    /// Units of each hidden layer, from the first on.
    #[getter]
    fn widths(&self) -> Vec<usize> {
        self.0.widths()
    }

    /// The name of the activation of each hidden layer.
    #[getter]
    fn activations(&self) -> Vec<&'static str> {
        self.0.activations().into_iter().map(Activation::name).collect()
    }

    /// What the outputs go through: "none", "sigmoid", "tanh" or "softmax".
    #[getter]
    fn link(&self) -> &'static str {
        self.0.link.name()
    }

    /// The limits of a sigmoid or tanh behind the outputs, where they are not its own.
    #[getter]
    fn link_range(&self) -> Option<(f64, f64)> {
        self.0.link.range()
    }

    /// Number of parameters.
    #[getter]
    fn parameter_count(&self) -> usize {
        self.0.parameter_count()
    }

    /// The weights, float64, by PyTorch's names: `"0.weight"` of shape (m0, d), `"0.bias"` of shape (m0,), `"2.weight"`
    /// and so on; the outputs are the last. New arrays each time.
    #[getter]
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let weights = PyDict::new(py);
        let hidden = self.0.layers.iter().map(|layer| (&layer.weights, -&layer.shifts));
        let outputs = (&self.0.c, self.0.c0.clone());
        for (place, (matrix, biases)) in hidden.chain([outputs]).enumerate() {
            // A column-major matrix is its own transpose in row-major order.
            let (inputs, units) = matrix.shape();
            let array = PyArray1::from_slice(py, matrix.as_slice()).reshape([units, inputs])?;
            weights.set_item(format!("{}.weight", 2 * place), array)?;
            weights.set_item(
                format!("{}.bias", 2 * place),
                PyArray1::from_slice(py, biases.as_slice()),
            )?;
        }
        Ok(weights)
    }

    /// The outputs, float64, of points of shape (n, d): of shape (n,) where there is one output, else (n, K). At one point
    /// of shape (d,): a float, or an array of shape (K,).
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        points: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let d = self.0.input_dim();
        let options = PyDict::new(py);
        options.set_item("dtype", "float64")?;
        let numpy = py.import("numpy")?;
        let array = numpy.call_method("asarray", (points,), Some(&options))?;
        let shape: Vec<usize> = array.getattr("shape")?.extract()?;
        if !matches!(shape.len(), 1 | 2) || shape.last() != Some(&d) {
            return Err(PyValueError::new_err(format!(
                "points must have shape (n, {d}) or ({d},), not {shape:?}"
            )));
        }
        let rows = numpy.call_method1(
            "ascontiguousarray",
            (array.call_method1("reshape", ((-1isize, d),))?,),
        )?;
        let rows: PyReadonlyArray2<'py, f64> = rows.extract()?;
        let points = DMatrix::from_column_slice(d, rows.as_array().nrows(), rows.as_slice()?);
        let outputs = py.detach(|| self.0.outputs(&points));
        let (k, n) = outputs.shape();
        let flat = PyArray1::from_slice(py, outputs.as_slice());
        Ok(match (shape.len(), k) {
            (1, 1) => flat.get_item(0)?,
            (_, 1) | (1, _) => flat.into_any(),
            _ => flat.reshape([n, k])?.into_any(),
        })
    }

    /// Writes the network: as ONNX where the name ends in `.onnx`, else as safetensors with PyTorch's names. The file
    /// appears whole or not at all.
    fn save(&self, path: PathBuf) -> PyResult<()> {
        self.0.save(path).map_err(|error| file(&error))
    }

    /// The network as a `torch.nn.Sequential` in float64; with `dtype` and `device` as `Module.to` takes them.
    #[pyo3(signature = (dtype=None, device=None))]
    fn to_torch<'py>(
        slf: &Bound<'py, Self>,
        dtype: Option<Bound<'py, PyAny>>,
        device: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("disentangle._torch")?.call_method1("to_torch", (slf, dtype, device))
    }

    fn __repr__(&self) -> String {
        format!("<disentangle.Network {}>", self.0)
    }
}

/// One activation for all hidden layers, or one each.
fn set_activations(network: &mut Inner, activations: &[Activation]) -> PyResult<()> {
    let hidden = network.layers.len();
    if ![1, hidden].contains(&activations.len()) {
        let count = activations.len();
        return Err(value(format!(
            "{hidden} hidden layers have {hidden} activations, or one for all, not {count}"
        )));
    }
    let each = activations.iter().cycle();
    network.layers.iter_mut().zip(each).for_each(|(layer, &phi)| layer.activation = phi);
    Ok(())
}

/// A random network.
#[pyfunction]
pub fn generate(dims: Vec<usize>, seed: u64, options: &Bound<'_, PyDict>) -> PyResult<Network> {
    let keywords = Keywords(options);
    let outputs = keywords.get::<usize>("outputs", "a whole number")?.unwrap_or(1);
    let class = keywords.get::<String>("kind", "a name")?.unwrap_or_else(|| "paper".to_owned());
    let class: Class = class.parse().map_err(value)?;
    let activations = keywords.activations("activation")?;
    let first = activations.first().copied().unwrap_or(Activation::Tanh);
    let mut network = Inner::random(&dims, outputs, class, first, seed).map_err(value)?;
    if !activations.is_empty() {
        set_activations(&mut network, &activations)?;
    }
    network.link = keywords.link()?.unwrap_or(Link::None);
    network.validate().map_err(value)?;
    Ok(Network(network))
}

/// Reads a network file.
#[pyfunction]
pub fn read(path: PathBuf) -> PyResult<Network> {
    load(&path).map(Network)
}

/// A network, or the file of one.
#[derive(FromPyObject)]
pub enum Given<'py> {
    Network(Bound<'py, Network>),
    Path(PathBuf),
}

impl Given<'_> {
    /// The smallest network with the same values.
    fn smallest(&self) -> PyResult<Inner> {
        let network = match self {
            Given::Network(network) => network.get().0.clone(),
            Given::Path(path) => load(Path::new(path))?,
        };
        Ok(network.minimal().unwrap_or(network))
    }
}

/// What two networks have in common, by name.
#[pyfunction]
pub fn compare<'py>(
    py: Python<'py>,
    truth: Given<'py>,
    recovered: Given<'py>,
    tolerance: f64,
) -> PyResult<Bound<'py, PyDict>> {
    if !(tolerance >= 0.0 && tolerance.is_finite()) {
        return Err(value(format!("tolerance must be a number of at least 0, not {tolerance}")));
    }
    let (truth, recovered) = (truth.smallest()?, recovered.smallest()?);
    let found = py.detach(|| truth.matching(&recovered));
    let errors = PyDict::new(py);
    for (name, error) in &found.tensor_errors {
        errors.set_item(name, error)?;
    }
    let compared = PyDict::new(py);
    compared.set_item("same", found.within(tolerance))?;
    compared.set_item("parameter_error", found.parameter_error)?;
    compared.set_item("output_error", found.output_error)?;
    compared.set_item("tensor_errors", errors)?;
    compared.set_item("widths_match", found.widths_match)?;
    compared.set_item("activations_match", found.activations_match)?;
    compared.set_item("links_match", found.links_match)?;
    Ok(compared)
}
