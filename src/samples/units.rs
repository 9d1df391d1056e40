//! The estimate that the stages work on.

use nalgebra::{DMatrix, DMatrixView, DVector, DVectorView};

use crate::network::{Activation, Layer, Link, Network, NetworkError, Symmetry};

/// y = U phi(W^T x).
#[derive(Clone, Debug, PartialEq)]
pub struct Units {
    /// d x k, a column a unit.
    pub w: DMatrix<f64>,
    /// m x k.
    pub u: DMatrix<f64>,
    /// phi.
    pub phi: Activation,
}

impl From<&Units> for Network {
    fn from(units: &Units) -> Network {
        let (k, m) = (units.w.ncols(), units.u.nrows());
        Network {
            layers: vec![Layer {
                weights: units.w.clone(),
                shifts: DVector::zeros(k),
                activation: units.phi,
            }],
            c: units.u.transpose(),
            c0: DVector::zeros(m),
            link: Link::None,
        }
    }
}

impl TryFrom<&Network> for Units {
    type Error = NetworkError;

    /// [`NetworkError::Kind`] unless it has one hidden layer without shifts, no offsets and no link.
    fn try_from(network: &Network) -> Result<Units, NetworkError> {
        match network.layers.as_slice() {
            [layer]
                if layer.shifts.amax() == 0.0
                    && network.c0.amax() == 0.0
                    && network.link == Link::None =>
            {
                Ok(Units {
                    w: layer.weights.clone(),
                    u: network.c.transpose(),
                    phi: layer.activation,
                })
            }
            _ => Err(NetworkError::Kind { hidden: 1, found: network.to_string() }),
        }
    }
}

impl Units {
    /// (d, k, m).
    pub fn dims(&self) -> (usize, usize, usize) {
        (self.w.nrows(), self.w.ncols(), self.u.nrows())
    }

    /// W^T x at the columns of `x`, k x b.
    pub(super) fn arguments(&self, x: DMatrixView<'_, f64>) -> DMatrix<f64> {
        let mut z = DMatrix::zeros(self.w.ncols(), x.ncols());
        z.gemm_tr(1.0, &self.w, &x, 0.0);
        z
    }

    /// Outputs at the columns of `x`, m x b.
    pub fn values(&self, x: DMatrixView<'_, f64>) -> DMatrix<f64> {
        let mut z = self.arguments(x);
        self.phi.apply(z.as_mut_slice());
        &self.u * z
    }

    /// The same function with weights of norm 1, where the activation leaves that open.
    #[must_use]
    pub fn normalised(mut self) -> Units {
        if self.phi.symmetry() == Symmetry::Scale {
            for (mut w, mut u) in self.w.column_iter_mut().zip(self.u.column_iter_mut()) {
                let norm = w.norm();
                if norm.is_normal() {
                    w.unscale_mut(norm);
                    u.scale_mut(norm.powi(self.phi.degree()));
                }
            }
        }
        self
    }

    /// The largest value of which an output is made, as a sum of absolute values at an x of standard Gaussian entries: its
    /// rounding is a few eps of it.
    pub(super) fn magnitude(&self) -> f64 {
        let spread = |w: DVectorView<'_, f64>| {
            self.phi.value(w.norm()).abs().max(self.phi.value(-w.norm()).abs())
        };
        let spreads: Vec<f64> = self.w.column_iter().map(spread).collect();
        self.u
            .row_iter()
            .map(|row| row.iter().zip(&spreads).map(|(u, spread)| u.abs() * spread).sum::<f64>())
            .fold(0.0, f64::max)
    }
}
