//! A network of our own, queried as a black box on the CPU in f64.

use nalgebra::{DMatrix, DVector};

use super::{Oracle, OracleError};
use crate::network::Network;

/// Answers values of a [`Network`] and lets nothing else out.
#[derive(Clone, Debug)]
pub struct NetworkOracle {
    network: Network,
}

impl NetworkOracle {
    /// Wraps a network.
    pub fn new(network: Network) -> Self {
        NetworkOracle { network }
    }
}

impl Oracle for NetworkOracle {
    fn input_dim(&self) -> usize {
        self.network.a.nrows()
    }

    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        Ok(self.network.values(points))
    }
}
