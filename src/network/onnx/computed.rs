//! What a graph has computed of its input so far: hidden layers, and an affine map since.

use nalgebra::{DMatrix, DVector};

use super::super::{Activation, Layer, Link, Network};
use super::tensor::Tensor;

/// The most numbers of a matrix that a graph does not hold itself: that of a scale for each unit, or of a product.
const MOST_NUMBERS: usize = 1 << 27;

/// How the values of a batch lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A tensor a point.
    Tensor,
    /// A row a point.
    Rows,
    /// A number a point.
    Numbers,
    /// A row a number, the numbers of one point after those of another: so skl2onnx writes several outputs of a regression.
    Together,
}

/// Values that depend on the input.
#[derive(Clone, Debug, PartialEq)]
pub struct Computed {
    pub shape: Shape,
    inputs: Option<usize>,
    layers: Vec<Layer>,
    since: Affine,
    softmax: bool,
}

/// An affine map of what the last layer puts out, or of the input.
#[derive(Clone, Debug, PartialEq)]
enum Affine {
    /// The same for all units.
    Scaled { factor: f64, offset: f64 },
    /// W^T y + b.
    Full { weights: DMatrix<f64>, biases: DVector<f64> },
}

/// What to do with a constant, unit by unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    Factor,
    Offset,
}

impl Computed {
    /// The input itself; of so many numbers a point, if that is known.
    pub fn input(inputs: Option<usize>, shape: Shape) -> Self {
        let since = Affine::Scaled { factor: 1.0, offset: 0.0 };
        Computed { shape, inputs, layers: Vec::new(), since, softmax: false }
    }

    /// The same numbers, lying otherwise.
    pub fn lying(self, shape: Shape) -> Self {
        Computed { shape, ..self }
    }

    /// Numbers a point, where they are known.
    pub fn width(&self) -> Option<usize> {
        match (&self.since, self.layers.last()) {
            (Affine::Full { biases, .. }, _) => Some(biases.len()),
            (Affine::Scaled { .. }, Some(layer)) => Some(layer.shifts.len()),
            (Affine::Scaled { .. }, None) => self.inputs,
        }
    }

    /// Times a matrix, inputs x units, plus biases.
    pub fn times(mut self, matrix: &DMatrix<f64>, biases: Option<&[f64]>) -> Result<Self, String> {
        self.open()?;
        if self.shape != Shape::Rows {
            return Err("it multiplies what is no row a point".to_owned());
        }
        let (rows, units) = matrix.shape();
        if self.width().is_some_and(|width| width != rows) || rows == 0 {
            let width = self.width().unwrap_or_default();
            return Err(format!("a matrix of {rows} x {units} for {width} numbers a point"));
        }
        let added = match biases {
            None => DVector::zeros(units),
            Some([number]) => DVector::repeat(units, *number),
            Some(numbers) if numbers.len() == units => DVector::from_column_slice(numbers),
            Some(numbers) => return Err(format!("{} biases for {units} units", numbers.len())),
        };
        let (weights, biases) = match self.since {
            Affine::Scaled { factor, offset } => (matrix * factor, matrix.row_sum_tr() * offset),
            Affine::Full { weights, biases } => {
                bounded(weights.nrows(), units)?;
                (weights * matrix, matrix.tr_mul(&biases))
            }
        };
        self.since = Affine::Full { weights, biases: biases + added };
        Ok(self)
    }

    /// Each unit times its constant, or plus it.
    pub fn by(mut self, constant: &Tensor, with: With) -> Result<Self, String> {
        self.open()?;
        // A constant of more axes than the values would give them one more.
        let fits = self.shape != Shape::Numbers || constant.dims.len() < 2;
        if let Some(number) = constant.scalar().filter(|_| fits) {
            self.since = match (self.since, with) {
                (Affine::Scaled { factor, offset }, With::Factor) => {
                    Affine::Scaled { factor: factor * number, offset: offset * number }
                }
                (Affine::Scaled { factor, offset }, With::Offset) => {
                    Affine::Scaled { factor, offset: offset + number }
                }
                (Affine::Full { weights, biases }, With::Factor) => {
                    Affine::Full { weights: weights * number, biases: biases * number }
                }
                (Affine::Full { weights, biases }, With::Offset) => {
                    Affine::Full { weights, biases: biases.add_scalar(number) }
                }
            };
            return Ok(self);
        }
        let row = constant.row().filter(|row| self.width().is_none_or(|width| width == row.len()));
        let row = row.filter(|_| self.shape == Shape::Rows).ok_or_else(|| {
            let width = self.width().map_or("an unknown number".to_owned(), |n| n.to_string());
            format!("a constant of shape {:?} goes with {width} of units", constant.dims)
        })?;
        let row = DVector::from_column_slice(row);
        let (mut weights, mut biases) = self.full(row.len())?;
        match with {
            With::Offset => biases += row,
            With::Factor => {
                biases.component_mul_assign(&row);
                weights
                    .column_iter_mut()
                    .zip(&row)
                    .for_each(|(mut column, factor)| column *= *factor);
            }
        }
        self.since = Affine::Full { weights, biases };
        Ok(self)
    }

    /// Through an activation.
    pub fn through(mut self, activation: Activation) -> Result<Self, String> {
        self.open()?;
        let width = self.width().ok_or("how many numbers a point it takes is not said")?;
        let (weights, biases) = self.full(width)?;
        self.layers.push(Layer { weights, shifts: -biases, activation });
        self.since = Affine::Scaled { factor: 1.0, offset: 0.0 };
        Ok(self)
    }

    /// Through a softmax over the units, after which nothing may follow.
    pub fn shares(mut self) -> Result<Self, String> {
        self.open()?;
        if self.shape != Shape::Rows {
            return Err("it is over what is no row a point".to_owned());
        }
        self.softmax = true;
        Ok(self)
    }

    /// silu as it is exported: this times its own sigmoid, which is `other`.
    pub fn times_own_sigmoid(&self, other: &Computed) -> Option<Self> {
        let silu = self.clone().through(Activation::Silu).ok()?;
        let mut sigmoid = silu.clone();
        sigmoid.layers.last_mut()?.activation = Activation::Sigmoid;
        (sigmoid == *other).then_some(silu)
    }

    /// The product with `other`, if both are the same relu.
    pub fn times_itself(&self, other: &Computed) -> Option<Self> {
        let mut squared = self.clone();
        let last = squared.layers.last_mut().filter(|last| last.activation == Activation::Relu)?;
        last.activation = Activation::SquaredRelu;
        (self == other).then_some(squared)
    }

    /// The network whose outputs these are.
    pub fn network(mut self) -> Result<Network, String> {
        if self.softmax {
            let width = self.width().unwrap_or_default();
            let (c, c0) = self.full(width)?;
            return Ok(Network { layers: self.layers, c, c0, link: Link::Softmax });
        }
        if let Some(link) = self.link() {
            // There is one: the link was read off it.
            let outputs = self.layers.pop().ok_or("it has no layer")?;
            return Ok(Network {
                layers: self.layers,
                c: outputs.weights,
                c0: -outputs.shifts,
                link,
            });
        }
        let width = self.width().unwrap_or_default();
        let (c, c0) = self.full(width)?;
        Ok(Network { layers: self.layers, c, c0, link: Link::None })
    }

    /// The last layer as a link: a sigmoid or tanh, on a range that all outputs share.
    fn link(&self) -> Option<Link> {
        let Affine::Scaled { factor, offset } = self.since else { return None };
        let last = self.layers.last().filter(|_| self.layers.len() > 1)?;
        let ranged = match last.activation {
            Activation::Sigmoid => Link::SIGMOID.with_range(offset, offset + factor),
            Activation::Tanh => Link::TANH.with_range(offset - factor, offset + factor),
            _ => return None,
        };
        ranged.ok()
    }

    /// The map since the last layer, of `width` units, as a matrix and biases.
    fn full(&self, width: usize) -> Result<(DMatrix<f64>, DVector<f64>), String> {
        match &self.since {
            Affine::Full { weights, biases } => Ok((weights.clone(), biases.clone())),
            Affine::Scaled { factor, offset } => {
                bounded(width, width)?;
                Ok((
                    DMatrix::from_diagonal_element(width, width, *factor),
                    DVector::repeat(width, *offset),
                ))
            }
        }
    }

    fn open(&self) -> Result<(), String> {
        if self.softmax {
            Err("it follows a Softmax, which must be the last".to_owned())
        } else {
            Ok(())
        }
    }
}

/// Refuses a matrix that a small file could ask for and no memory could hold.
fn bounded(rows: usize, columns: usize) -> Result<(), String> {
    match rows.checked_mul(columns) {
        Some(numbers) if numbers <= MOST_NUMBERS => Ok(()),
        _ => Err(format!("a matrix of {rows} x {columns} is too large")),
    }
}
