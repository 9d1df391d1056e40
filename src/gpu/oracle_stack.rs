//! A stack of the oracle's that stays on the device: the subspace from its Gram matrix.
//!
//! With the normalised stack M and the eigenvectors V of M^T M, M V S^-1 are the left singular vectors. Where
//! these are too large for the host it sees no more of them than the coefficients V S^-1.
//! Squares halve the digits: singular values below the square root of the rounding are lost, which
//! [`resolution`](HessianStack::resolution) says. The wide stack's gap lies far above, and what follows
//! it polishes every direction with accurate values.

use std::sync::Arc;

use nalgebra::DMatrix;

use super::stack::Stack;
use super::subspace::Subspace;
use super::worker::Worker;
use super::{Gpu, GpuError, normalise};
use crate::algebra::linalg::{symmetric_eigen, thin_svd};
use crate::algebra::rank_one::{Candidate, merged};
use crate::draws;
use crate::oracle::OracleError;
use crate::oracle::hessian_stack::{HessianStack, top_eigenvectors};
use crate::stencil::HessianScheme;

/// Error of an entry of the Gram matrix of unit vectors, in roundings. *Measured* by the parity tests: at
/// most 3.5 off the diagonal. On it, sums of squares, up to 40; as a diagonal matrix that is within the
/// bound from six Hessians on.
const GRAM_ROUNDINGS: f64 = 8.0;
/// Hessians to start from, for each direction wanted.
const REPRESENTATIVES: usize = 3;
/// Bytes of a basis in f64 from which on it stays on the device: 64 MB, reached at 256 inputs and units.
/// On the host ascents are more accurate and of all kinds, and the factorisation of one of 64 MB takes about as
/// long as the rest of a run.
const HOST_BASIS: usize = 64_000_000;

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

    /// Is a basis of that many columns too large for the host?
    fn is_large(&self, rank: usize) -> bool {
        8 * self.stack.entries() * rank > HOST_BASIS
    }

    /// V S^-1 of the leading `rank` singular vectors, N x rank; zero for Hessians that are not kept.
    fn coefficients(&self, rank: usize) -> DMatrix<f64> {
        let Some((_, vectors, values)) = &self.spectrum else {
            return DMatrix::zeros(self.norms.len(), 0);
        };
        let rank = rank.min(values.iter().take_while(|value| **value > 0.0).count());
        let mut coefficients = DMatrix::zeros(self.norms.len(), rank);
        for (row, &n) in self.kept.iter().enumerate() {
            for k in 0..rank {
                coefficients[(n, k)] = vectors[(row, k)] / values[k];
            }
        }
        coefficients
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
        let Some(eigen) = symmetric_eigen(&gram) else { return Ok(None) };
        let descending: Vec<usize> = (0..gram.ncols()).rev().collect();
        let vectors = eigen.vectors.select_columns(&descending);
        // Rounding makes some of those that are zero negative.
        let values: Vec<f64> =
            descending.iter().map(|&k| eigen.values[k].max(0.0).sqrt()).collect();
        self.spectrum = Some((gram, vectors, values.clone()));
        Ok(Some(values).filter(|values| !values.is_empty()))
    }

    fn resolution(&self) -> f64 {
        // An N x N matrix of independent errors e has a norm of about 2 sqrt(N) e.
        let n = self.kept.len() as f64;
        let error = 2.0 * n.sqrt() * GRAM_ROUNDINGS * self.worker.real.epsilon();
        let largest = self.spectrum.as_ref().and_then(|(.., values)| values.first());
        // And the eigenvalues carry a few roundings of the largest.
        largest.map_or(0.0, |largest| (error / (largest * largest) + 4.0 * f64::EPSILON).sqrt())
    }

    fn basis(&mut self, rank: usize) -> Result<Option<DMatrix<f64>>, OracleError> {
        if self.is_large(rank) {
            return Ok(None);
        }
        let coefficients = self.coefficients(rank);
        if coefficients.is_empty() {
            return Ok(Some(DMatrix::zeros(self.stack.entries(), 0)));
        }
        let leading = self.with(|gpu, stack| stack.product(gpu, &coefficients))?;
        // Orthonormal to the rounding of the device so far.
        Ok(Some(thin_svd(&leading).map_or(leading, |svd| svd.u * svd.v.transpose())))
    }

    fn along(&mut self, directions: &DMatrix<f64>) -> Result<DMatrix<f64>, OracleError> {
        if directions.is_empty() {
            return Ok(DMatrix::zeros(self.kept.len(), directions.ncols()));
        }
        let along = self.with(|gpu, stack| stack.along(gpu, directions))?;
        Ok(along.select_rows(&self.kept))
    }

    fn starts(&mut self, rank: usize) -> Result<DMatrix<f64>, OracleError> {
        let Some((gram, ..)) = &self.spectrum else { return Ok(DMatrix::zeros(0, 0)) };
        if !self.is_large(rank) {
            let chosen = pivots(gram, REPRESENTATIVES * rank);
            let chosen: Vec<usize> = chosen.into_iter().map(|row| self.kept[row]).collect();
            return Ok(top_eigenvectors(&self.with(|gpu, stack| stack.columns(gpu, &chosen))?));
        }
        // A Hessian that is nearly u u^T takes any vector nearly to u, and the ascent does the rest.
        let mut rng = draws::stream(0, "stack starts", 0);
        let vectors = draws::gaussian(&mut rng, self.recipe.directions.ncols(), self.norms.len());
        let images = self.with(|gpu, stack| stack.images(gpu, &vectors))?;
        Ok(normalised(&images.select_columns(&self.kept)))
    }

    fn climb(&mut self, rank: usize, starts: &DMatrix<f64>) -> Result<Vec<Candidate>, OracleError> {
        let (coefficients, starts) = (self.coefficients(rank), normalised(starts));
        if coefficients.is_empty() || starts.is_empty() {
            return Ok(Vec::new());
        }
        let (ends, scores) = self.with(|gpu, stack| {
            let gram = Subspace::new(gpu, stack, &coefficients, 0)?.gram(gpu)?;
            let coefficients = orthonormal(&coefficients, gram);
            // The stack itself may take a quarter.
            let space = Subspace::new(gpu, stack, &coefficients, gpu.memory() / 2)?;
            tracing::debug!("{} slices of the basis kept", space.resident());
            space.climb(gpu, &starts)
        })?;
        let ends = ends.column_iter().zip(scores).filter(|(_, score)| score.is_finite());
        let candidates =
            ends.map(|(end, score)| Candidate { direction: end.into(), score, hits: 1 });
        Ok(merged(candidates.collect()))
    }
}

/// Unit vectors along the columns, but for those that are zero.
fn normalised(vectors: &DMatrix<f64>) -> DMatrix<f64> {
    let mut vectors = vectors.clone();
    for mut column in vectors.column_iter_mut() {
        column.try_normalize_mut(0.0);
    }
    vectors
}

/// Coefficients of an orthonormal basis of the same space, from those of a basis with the Gram matrix `gram`.
fn orthonormal(coefficients: &DMatrix<f64>, gram: DMatrix<f64>) -> DMatrix<f64> {
    let exact = gram.cholesky().and_then(|factor| {
        factor.l_dirty().solve_lower_triangular(&coefficients.transpose()).map(|c| c.transpose())
    });
    // Without a factor they are orthonormal to the rounding of the device or not at all.
    exact.unwrap_or_else(|| coefficients.clone())
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
