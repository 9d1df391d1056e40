//! What values are where there are several outputs.

use nalgebra::{DMatrix, DVector};

use crate::network::{Link, Network};

/// The combination sum_k w_k f_k of the outputs that an oracle's values are, see [`Oracle::mix`](super::Oracle::mix).
#[derive(Clone, Debug)]
pub(crate) struct Mixture(DVector<f64>);

impl Mixture {
    /// The first of so many outputs alone.
    pub fn first(outputs: usize) -> Self {
        Mixture(DVector::from_fn(outputs, |k, _| if k == 0 { 1.0 } else { 0.0 }))
    }

    /// K, the number of outputs.
    pub fn outputs(&self) -> usize {
        self.0.len()
    }

    /// Is output `k` a part of it?
    pub fn has(&self, k: usize) -> bool {
        self.0[k] != 0.0
    }

    /// The `outputs` (K x n) as they count in it.
    pub fn weighted(&self, mut outputs: DMatrix<f64>) -> DMatrix<f64> {
        outputs.row_iter_mut().zip(&self.0).for_each(|(mut row, weight)| row *= *weight);
        outputs
    }

    /// Takes these weights, but for an only output, which is never mixed.
    ///
    /// # Panics
    /// Unless there is a weight for each output.
    pub fn set(&mut self, weights: &DVector<f64>) {
        assert_eq!(weights.len(), self.outputs(), "a weight for each output");
        if self.outputs() > 1 {
            self.0.copy_from(weights);
        }
    }

    /// Standard deviation of a value whose outputs have these ones, unrelated.
    pub fn deviation(&self, of_outputs: impl Iterator<Item = f64>) -> f64 {
        of_outputs
            .zip(self.0.iter())
            .map(|(own, weight)| (own * weight).powi(2))
            .sum::<f64>()
            .sqrt()
    }

    /// The network of one output that it is of `network`, where that has several and no link.
    pub fn network(&self, network: &Network) -> Option<Network> {
        let mixes = self.outputs() > 1 && network.link == Link::None;
        mixes.then(|| network.mixture(&self.0))
    }

    /// The values that these `outputs` (K x n) make.
    pub fn of(&self, outputs: &DMatrix<f64>) -> DVector<f64> {
        match self.outputs() {
            1 => outputs.row(0).transpose(),
            _ => outputs.tr_mul(&self.0),
        }
    }
}
