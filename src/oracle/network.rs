//! A network of our own, queried as a black box on the CPU in f64.

use nalgebra::{DMatrix, DVector};

use super::black_box::Oracle;
use super::error::OracleError;
use super::mixture::Mixture;
use crate::network::{Link, Network};

/// Answers what a [`Network`] puts out, behind its link, and lets nothing else out.
#[derive(Clone, Debug)]
pub struct NetworkOracle {
    network: Network,
    mixture: Mixture,
    /// The network of one output that the mixture is, where there are several and no link bends them first.
    mixed: Option<Network>,
}

impl NetworkOracle {
    /// Wraps a network.
    pub fn new(network: impl Into<Network>) -> Self {
        let network = network.into();
        let mixture = Mixture::first(network.output_dim());
        let mixed = mixture.network(&network);
        NetworkOracle { network, mixture, mixed }
    }

    /// The network with all its outputs.
    #[cfg(feature = "gpu")]
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// The network of one output whose values these are; `None` where a link bends the outputs first.
    pub(crate) fn mixture(&self) -> Option<&Network> {
        let plain = self.network.link == Link::None;
        plain.then(|| self.mixed.as_ref().unwrap_or(&self.network))
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
        self.mixture.set(weights);
        self.mixed = self.mixture.network(&self.network);
    }

    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        // Rounded as a mixture of the outputs is, of which some are asked for by themselves.
        Ok(match self.output_dim() {
            1 => self.network.values(points),
            _ => self.mixture.of(&self.network.outputs(points)),
        })
    }
}
