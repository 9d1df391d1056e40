//! A stack of Hessians, wherever it is: what the identification needs of it, and no more.

use nalgebra::{DMatrix, DVector};

use super::error::OracleError;
use crate::algebra::linalg::thin_svd;
use crate::algebra::rank_one::{self, Ascent, Candidate};
use crate::algebra::svec::{smat, svec_outer};

/// N Hessians as svec's of D entries, the columns of a matrix that need not be in this memory.
///
/// What follows [`keep`](HessianStack::keep) is said of the columns kept, scaled to unit length.
/// An implementation may compute Hessians again instead of storing them: the stencils are those
/// already asked and counted, no new queries.
pub trait HessianStack: Send {
    /// Frobenius norms of the Hessians as they were taken, N.
    fn norms(&self) -> &[f64];

    /// Keeps the Hessians at these places, in increasing order, scaled to unit norm. Once, and norms
    /// must not be zero.
    fn keep(&mut self, kept: &[usize]) -> Result<(), OracleError>;

    /// Singular values in descending order, at least as many as [`basis`](HessianStack::basis) may be
    /// asked for; `None` if there are none or the factorisation fails.
    fn singular_values(&mut self) -> Result<Option<Vec<f64>>, OracleError>;

    /// The share of the largest singular value below which others are rounding errors of the
    /// factorisation itself.
    fn resolution(&self) -> f64;

    /// Orthonormal basis of the leading left singular space of dimension `rank`, D x rank; `None` where that
    /// is too much for this memory.
    fn basis(&mut self, rank: usize) -> Result<Option<DMatrix<f64>>, OracleError>;

    /// Second derivatives u^T H u of the Hessians along the columns u of `directions`: kept x k.
    fn along(&mut self, directions: &DMatrix<f64>) -> Result<DMatrix<f64>, OracleError>;

    /// Unit vectors to start from when looking for `rank` directions: top eigenvectors of Hessians, of all, or
    /// where that is too much of a few times `rank` of them that span the most.
    fn starts(&mut self, rank: usize) -> Result<DMatrix<f64>, OracleError>;

    /// Where the subspace power method leads from the columns of `starts` in the leading left singular space
    /// of dimension `rank`; to the accuracy of the stack.
    fn climb(&mut self, rank: usize, starts: &DMatrix<f64>) -> Result<Vec<Candidate>, OracleError> {
        let basis = self.basis(rank)?;
        Ok(basis.map_or(Vec::new(), |basis| rank_one::search(&basis, starts, Ascent::Power)))
    }
}

/// The eigenvectors of the largest eigenvalues, by size, of the symmetric matrices with these svec's.
pub(crate) fn top_eigenvectors(hessians: &DMatrix<f64>) -> DMatrix<f64> {
    let tops: Vec<DVector<f64>> = hessians
        .column_iter()
        .map(|hessian| {
            let eigen = smat(hessian.as_slice()).symmetric_eigen();
            eigen.eigenvectors.column(eigen.eigenvalues.iamax()).into_owned()
        })
        .collect();
    if tops.is_empty() { DMatrix::zeros(0, 0) } else { DMatrix::from_columns(&tops) }
}

/// A stack in memory, factorised by singular values.
#[derive(Debug)]
pub struct HostStack {
    hessians: DMatrix<f64>,
    norms: Vec<f64>,
    /// All left singular vectors, once they were asked for.
    vectors: DMatrix<f64>,
}

impl HostStack {
    /// Takes the Hessians, D x N.
    pub fn new(hessians: DMatrix<f64>) -> Self {
        let norms = hessians.column_iter().map(|h| h.norm()).collect();
        HostStack { hessians, norms, vectors: DMatrix::zeros(0, 0) }
    }
}

impl HessianStack for HostStack {
    fn norms(&self) -> &[f64] {
        &self.norms
    }

    fn keep(&mut self, kept: &[usize]) -> Result<(), OracleError> {
        self.hessians = self.hessians.select_columns(kept);
        self.hessians.column_iter_mut().for_each(|mut h| {
            h.normalize_mut();
        });
        Ok(())
    }

    fn singular_values(&mut self) -> Result<Option<Vec<f64>>, OracleError> {
        if self.hessians.is_empty() {
            return Ok(None);
        }
        Ok(thin_svd(&self.hessians).map(|svd| {
            self.vectors = svd.u;
            svd.s
        }))
    }

    fn resolution(&self) -> f64 {
        0.0
    }

    fn basis(&mut self, rank: usize) -> Result<Option<DMatrix<f64>>, OracleError> {
        Ok(Some(self.vectors.columns(0, rank.min(self.vectors.ncols())).into_owned()))
    }

    fn along(&mut self, directions: &DMatrix<f64>) -> Result<DMatrix<f64>, OracleError> {
        let mut outers = DMatrix::zeros(self.hessians.nrows(), directions.ncols());
        for (u, mut outer) in directions.column_iter().zip(outers.column_iter_mut()) {
            svec_outer(u.into_owned().as_slice(), outer.as_mut_slice());
        }
        Ok(self.hessians.tr_mul(&outers))
    }

    fn starts(&mut self, _: usize) -> Result<DMatrix<f64>, OracleError> {
        Ok(top_eigenvectors(&self.hessians))
    }
}
