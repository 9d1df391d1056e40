//! The network of two hidden layers and one output, f(x) = c0 + sum_l c_l h(b_l . g(A^T x - theta) - tau_l),
//! as the identification works on it.

mod derivatives;

use nalgebra::{DMatrix, DVector};

use super::evaluate::{Step, forward};
use super::model::Model;
use super::{Activation, Class, Ensemble, Layer, Link, Matching, Network, NetworkError};

/// The parameters of a network with two hidden layers and one output.
#[derive(Clone, Debug, PartialEq)]
pub struct TwoLayer {
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

impl From<&TwoLayer> for Network {
    fn from(from: &TwoLayer) -> Network {
        let layer = |weights: &DMatrix<f64>, shifts: &DVector<f64>, activation| Layer {
            weights: weights.clone(),
            shifts: shifts.clone(),
            activation,
        };
        Network {
            layers: vec![layer(&from.a, &from.theta, from.g), layer(&from.b, &from.tau, from.h)],
            c: DMatrix::from_column_slice(from.c.len(), 1, from.c.as_slice()),
            c0: DVector::from_element(1, from.c0),
            link: Link::None,
        }
    }
}

impl From<TwoLayer> for Network {
    fn from(from: TwoLayer) -> Network {
        Network::from(&from)
    }
}

impl TryFrom<&Network> for TwoLayer {
    type Error = NetworkError;

    /// [`NetworkError::Kind`] unless it has two hidden layers, one output and no link.
    fn try_from(network: &Network) -> Result<TwoLayer, NetworkError> {
        match (network.layers.as_slice(), network.output_dim(), network.link) {
            ([first, second], 1, Link::None) => Ok(TwoLayer {
                a: first.weights.clone(),
                theta: first.shifts.clone(),
                b: second.weights.clone(),
                tau: second.shifts.clone(),
                c: network.c.column(0).into_owned(),
                c0: network.c0[0],
                g: first.activation,
                h: second.activation,
            }),
            _ => Err(NetworkError::Kind { hidden: 2, found: network.to_string() }),
        }
    }
}

impl TwoLayer {
    /// [`Network::random`] of dimensions (d, m0, m1) and one output.
    ///
    /// # Errors
    /// As there.
    pub fn random(
        (d, m0, m1): (usize, usize, usize),
        class: Class,
        activation: Activation,
        seed: u64,
    ) -> Result<TwoLayer, NetworkError> {
        (&Network::random(&[d, m0, m1], 1, class, activation, seed)?).try_into()
    }

    /// [`Network::of_ensemble`] of dimensions (d, m0, m1).
    ///
    /// # Errors
    /// As there.
    pub fn of_ensemble(
        (d, m0, m1): (usize, usize, usize),
        ensemble: Ensemble,
        activation: Activation,
        seed: u64,
    ) -> Result<TwoLayer, NetworkError> {
        (&Network::of_ensemble(&[d, m0, m1], 1, ensemble, activation, seed)?).try_into()
    }

    /// [`Network::matching`] with this network as the truth.
    #[must_use]
    pub fn matching(&self, other: &(impl Clone + Into<Network>)) -> Matching {
        Network::from(self).matching(&other.clone().into())
    }

    /// [`Network::with_activations`].
    #[must_use]
    pub fn with_activations(&self, g: Activation, h: Activation) -> Option<TwoLayer> {
        TwoLayer::try_from(&Network::from(self).with_activations(&[g, h])?).ok()
    }

    /// [`Network::centred`].
    #[must_use]
    pub fn centred(&self) -> TwoLayer {
        let centred = |phi| if phi == Activation::Sigmoid { Activation::Tanh } else { phi };
        self.with_activations(centred(self.g), centred(self.h)).unwrap_or_else(|| self.clone())
    }

    /// Values of f at the columns of `points` (d x n), those of [`Network::values`] to the last bit. Cost:
    /// n (d m0 + m0 m1) multiply-adds.
    ///
    /// # Panics
    /// If `points` does not have d rows.
    #[must_use]
    pub fn values(&self, points: &DMatrix<f64>) -> DVector<f64> {
        let steps = [
            Step {
                weights: self.a.as_slice(),
                shifts: self.theta.as_slice(),
                activation: Some(self.g),
            },
            Step {
                weights: self.b.as_slice(),
                shifts: self.tau.as_slice(),
                activation: Some(self.h),
            },
            Step { weights: self.c.as_slice(), shifts: &[-self.c0], activation: None },
        ];
        DVector::from_vec(forward(&steps, points).data.into())
    }

    /// f at one point.
    #[must_use]
    pub fn value(&self, x: &[f64]) -> f64 {
        self.values(&DMatrix::from_column_slice(x.len(), 1, x))[0]
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
    pub fn with_vector(&self, parameters: &DVector<f64>) -> TwoLayer {
        assert_eq!(parameters.len(), self.parameter_count());
        let (d, m0, m1) = self.dims();
        let mut rest = parameters.as_slice();
        let mut take = |n: usize| {
            let (head, tail) = rest.split_at(n);
            rest = tail;
            head
        };
        TwoLayer {
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

impl Model for TwoLayer {
    const DEPTH: usize = 2;

    fn inputs(&self) -> usize {
        self.a.nrows()
    }
    fn widths(&self) -> Vec<usize> {
        vec![self.a.ncols(), self.b.ncols()]
    }
    fn activations(&self) -> Vec<Activation> {
        vec![self.g, self.h]
    }
    fn parameter_count(&self) -> usize {
        TwoLayer::parameter_count(self)
    }
    fn first_layer(&self) -> &DMatrix<f64> {
        &self.a
    }
    fn to_vector(&self) -> DVector<f64> {
        TwoLayer::to_vector(self)
    }
    fn with_vector(&self, parameters: &DVector<f64>) -> Self {
        TwoLayer::with_vector(self, parameters)
    }
    fn values(&self, points: &DMatrix<f64>) -> DVector<f64> {
        TwoLayer::values(self, points)
    }
    fn jacobian_transposed(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        TwoLayer::jacobian_transposed(self, points)
    }
    fn tensors(&self) -> Vec<(&'static str, &[f64])> {
        vec![
            ("A", self.a.as_slice()),
            ("theta", self.theta.as_slice()),
            ("B", self.b.as_slice()),
            ("tau", self.tau.as_slice()),
            ("c", self.c.as_slice()),
            ("c0", std::slice::from_ref(&self.c0)),
        ]
    }
}
