//! A network of our own, queried as a black box on the CPU in f64.

use nalgebra::{DMatrix, DVector};

use super::black_box::Oracle;
use super::error::OracleError;
use crate::network::{Link, Network};

/// Answers what a [`Network`] puts out, behind its link, and lets nothing else out.
#[derive(Clone, Debug)]
pub struct NetworkOracle {
    network: Network,
    /// Weights of the outputs in the values.
    weights: DVector<f64>,
    /// The network whose values they are, where outputs are mixed before a link could bend them.
    mixture: Option<Network>,
}

impl NetworkOracle {
    /// Wraps a network.
    pub fn new(network: impl Into<Network>) -> Self {
        let network = network.into();
        let outputs = network.output_dim();
        let first = DVector::from_fn(outputs, |k, _| if k == 0 { 1.0 } else { 0.0 });
        let mut oracle = NetworkOracle { network, weights: first.clone(), mixture: None };
        oracle.mix(&first);
        oracle
    }

    /// The network with all its outputs.
    #[cfg(feature = "gpu")]
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// The network of one output whose values these are; `None` where a link bends the outputs first.
    pub(crate) fn mixture(&self) -> Option<&Network> {
        let plain = self.network.link == Link::None;
        plain.then(|| self.mixture.as_ref().unwrap_or(&self.network))
    }
}

impl Oracle for NetworkOracle {
    fn input_dim(&self) -> usize {
        self.network.input_dim()
    }

    fn output_dim(&self) -> usize {
        self.network.output_dim()
    }

    fn outputs(&mut self, points: &DMatrix<f64>) -> Result<DMatrix<f64>, OracleError> {
        Ok(self.network.outputs(points))
    }

    fn mix(&mut self, weights: &DVector<f64>) {
        if self.output_dim() > 1 {
            assert_eq!(weights.len(), self.output_dim(), "a weight for each output");
            self.weights.copy_from(weights);
            let plain = self.network.link == Link::None;
            self.mixture = plain.then(|| self.network.mixture(weights));
        }
    }

    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        // Rounded as a mixture of the outputs is, of which some are asked for by themselves.
        Ok(match self.output_dim() {
            1 => self.network.values(points),
            _ => self.network.outputs(points).tr_mul(&self.weights),
        })
    }
}
