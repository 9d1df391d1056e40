//! Networks of our own, of either depth, queried as black boxes on the CPU in f64.

use nalgebra::{DMatrix, DVector};

use super::black_box::Oracle;
use super::error::OracleError;
use crate::network::Network;
use crate::network::model::Model;
use crate::network::shallow::Shallow;

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

/// Answers values of a [`Shallow`] network and lets nothing else out.
#[derive(Clone, Debug)]
pub struct ShallowOracle(Shallow);

impl ShallowOracle {
    /// Wraps a network.
    pub fn new(network: Shallow) -> Self {
        ShallowOracle(network)
    }
}

impl Oracle for ShallowOracle {
    fn input_dim(&self) -> usize {
        self.0.inputs()
    }

    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        Ok(self.0.values(points))
    }
}
