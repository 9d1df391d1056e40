//! A stack of the oracle's that stays on the device: the subspace from its Gram matrix.
//!
//! With the normalised stack M and the eigenvectors V of M^T M, M V S^-1 are the left singular vectors.
//! Squares halve the digits: singular values below the square root of the rounding are lost, which
//! [`resolution`](HessianStack::resolution) says. The wide stack's gap lies far above, and what follows
//! it polishes every direction with accurate values.

use std::sync::Arc;

use nalgebra::DMatrix;

use super::stack::Stack;
use super::worker::Worker;
use super::{Gpu, GpuError, normalise};
use crate::algebra::linalg::thin_svd;
use crate::oracle::OracleError;
use crate::oracle::hessian_stack::HessianStack;
use crate::stencil::HessianScheme;

/// Error of an entry of the Gram matrix of unit vectors, in roundings. *Measured* by the parity tests: at
/// most 3.5.
const GRAM_ROUNDINGS: f64 = 8.0;
/// Hessians to start from, for each direction wanted.
const REPRESENTATIVES: usize = 3;

/// What the stack was made of, enough to make it again on another device.
#[derive(Debug)]
pub(super) struct Recipe {
    pub centres: DMatrix<f64>,
    pub directions: DMatrix<f64>,
    pub scheme: HessianScheme,
    pub h: f64,
}

/// A stack on the worker's device.
#[derive(Debug)]
pub(super) struct OracleStack {
    worker: Arc<Worker>,
    recipe: Recipe,
    stack: Stack,
    /// Devices lost when `stack` was made.
    lost: u64,
    norms: Vec<f64>,
    kept: Vec<usize>,
    factors: Option<Vec<f64>>,
    /// Gram matrix of the kept, its eigenvectors in descending order, and the singular values.
    spectrum: Option<(DMatrix<f64>, DMatrix<f64>, Vec<f64>)>,
}

impl Recipe {
    fn make(&self, gpu: &Gpu, worker: &Worker) -> Result<Stack, GpuError> {
        let Recipe { centres, directions, scheme, h } = self;
        Stack::new(gpu, &worker.network, centres, directions, *scheme, *h, worker.real)
    }
}

impl OracleStack {
    /// Computes a stack and its norms.
    pub fn new(worker: Arc<Worker>, recipe: Recipe) -> Result<Self, GpuError> {
        let (stack, lost, norms) = worker.run(|gpu, lost| {
            let stack = recipe.make(gpu, &worker)?;
            let norms = stack.norms(gpu)?;
            Ok((stack, lost, norms))
        })?;
        let (slices, resident) = stack.slices();
        tracing::debug!("{} Hessians in {slices} slices, {resident} of them kept", stack.len());
        let kept = (0..norms.len()).collect();
        Ok(OracleStack { worker, recipe, stack, lost, norms, kept, factors: None, spectrum: None })
    }

    /// Runs `work` on the stack, made again where its device was lost.
    fn with<T>(
        &mut self,
        work: impl Fn(&Gpu, &Stack) -> Result<T, GpuError>,
    ) -> Result<T, GpuError> {
        let worker = self.worker.clone();
        worker.run(|gpu, lost| {
            if lost != self.lost {
                let mut stack = self.recipe.make(gpu, &worker)?;
                if let Some(factors) = &self.factors {
                    stack.scale(gpu, factors.clone())?;
                }
                (self.stack, self.lost) = (stack, lost);
            }
            work(gpu, &self.stack)
        })
    }
}

impl HessianStack for OracleStack {
    fn norms(&self) -> &[f64] {
        &self.norms
    }

    fn keep(&mut self, kept: &[usize]) -> Result<(), OracleError> {
        // Nothing is moved: what is not kept counts as zero.
        let mut floors = vec![f64::INFINITY; self.norms.len()];
        kept.iter().for_each(|&n| floors[n] = 0.0);
        let factors = normalise::factors(&self.norms, &floors);
        self.kept = kept.to_vec();
        self.factors = Some(factors.clone());
        let worker = self.worker.clone();
        worker.run(|gpu, lost| {
            if lost != self.lost {
                (self.stack, self.lost) = (self.recipe.make(gpu, &worker)?, lost);
            }
            self.stack.scale(gpu, factors.clone())
        })?;
        Ok(())
    }

    fn singular_values(&mut self) -> Result<Option<Vec<f64>>, OracleError> {
        let gram = self.with(|gpu, stack| stack.gram(gpu))?;
        let gram = gram.select_columns(&self.kept).select_rows(&self.kept);
        // A positive semidefinite matrix: its singular vectors are its eigenvectors.
        let Some(svd) = thin_svd(&gram) else { return Ok(None) };
        let values: Vec<f64> = svd.s.iter().map(|square| square.sqrt()).collect();
        self.spectrum = Some((gram, svd.u, values.clone()));
        Ok(Some(values))
    }

    fn resolution(&self) -> f64 {
        // An N x N matrix of independent errors e has a norm of about 2 sqrt(N) e.
        let n = self.kept.len() as f64;
        let error = 2.0 * n.sqrt() * GRAM_ROUNDINGS * self.worker.real.epsilon();
        let largest = self.spectrum.as_ref().and_then(|(.., values)| values.first());
        // And the eigenvalues carry a few roundings of the largest.
        largest.map_or(0.0, |largest| (error / (largest * largest) + 4.0 * f64::EPSILON).sqrt())
    }

    fn basis(&mut self, rank: usize) -> Result<DMatrix<f64>, OracleError> {
        let Some((_, vectors, values)) = &self.spectrum else {
            return Ok(DMatrix::zeros(self.stack.entries(), 0));
        };
        let rank = rank.min(values.len());
        let mut coefficients = DMatrix::zeros(self.norms.len(), rank);
        for (row, &n) in self.kept.iter().enumerate() {
            for k in 0..rank {
                coefficients[(n, k)] = vectors[(row, k)] / values[k];
            }
        }
        let leading = self.with(|gpu, stack| stack.product(gpu, &coefficients))?;
        // Orthonormal to the rounding of the device so far.
        Ok(thin_svd(&leading).map_or(leading, |svd| svd.u * svd.v.transpose()))
    }

    fn inner(&mut self, others: &DMatrix<f64>) -> Result<DMatrix<f64>, OracleError> {
        let inner = self.with(|gpu, stack| stack.inner(gpu, others))?;
        Ok(inner.select_rows(&self.kept))
    }

    fn representatives(&mut self, rank: usize) -> Result<DMatrix<f64>, OracleError> {
        let Some((gram, ..)) = &self.spectrum else {
            return Ok(DMatrix::zeros(self.stack.entries(), 0));
        };
        let chosen: Vec<usize> =
            pivots(gram, REPRESENTATIVES * rank).into_iter().map(|row| self.kept[row]).collect();
        Ok(self.with(|gpu, stack| stack.columns(gpu, &chosen))?)
    }
}

/// The first pivots, at most `most`, of a pivoted Cholesky factorisation: columns of the stack, each the
/// farthest from the span of those before.
fn pivots(gram: &DMatrix<f64>, most: usize) -> Vec<usize> {
    let n = gram.nrows();
    let mut rest: Vec<f64> = gram.diagonal().iter().copied().collect();
    let mut factor: Vec<Vec<f64>> = Vec::new();
    let mut chosen = Vec::new();
    while chosen.len() < most.min(n) {
        let left = (0..n).filter(|row| !chosen.contains(row));
        let Some(pivot) = left.max_by(|&a, &b| rest[a].total_cmp(&rest[b])) else { break };
        // What is left is rounding.
        if rest[pivot] < 1e-4 {
            break;
        }
        let root = rest[pivot].sqrt();
        let column: Vec<f64> = (0..n)
            .map(|row| {
                let known: f64 = factor.iter().map(|c| c[row] * c[pivot]).sum();
                (gram[(row, pivot)] - known) / root
            })
            .collect();
        rest.iter_mut().zip(&column).for_each(|(rest, c)| *rest -= c * c);
        factor.push(column);
        chosen.push(pivot);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pivots_span_a_low_rank_stack() {
        // Columns 0, 1 and 4 are independent, the others combinations of them.
        let stack = DMatrix::from_column_slice(
            3,
            6,
            &[
                1.0, 0.0, 0.0, 0.6, 0.8, 0.0, 1.0, 0.0, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0, 0.0,
                1.0, 0.0,
            ],
        );
        let chosen = pivots(&(stack.transpose() * &stack), 6);
        assert_eq!(chosen.len(), 3);
        assert!(stack.select_columns(&chosen).determinant().abs() > 0.5);
    }
}
