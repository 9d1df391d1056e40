//! Projected spectral-norm ascent: maximise the largest |eigenvalue| over the unit sphere of W.
//!
//! The gradient of that eigenvalue at M is u u^T, u its eigenvector, hence the step
//! M <- P_W(M + gamma u u^T) / |.|_F of Fornasier, Klock and Rauchensteiner (Constr. Approx. 55, 2022).
//! The code that their group published for one hidden layer doubles the eigenvalue instead: the same
//! step with gamma = |lambda_1|.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use crate::algebra::svec::{smat, svec_outer};
use crate::draws;

/// Length gamma of the gradient step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StepSize {
    /// gamma, above 0; the published analysis allows any. Near a rank-one element the error shrinks by
    /// 1 / (1 + gamma) a step.
    Fixed(f64),
    /// gamma = |lambda_1|, so that the largest |eigenvalue| is doubled before the projection.
    Doubling,
}

/// How to climb, and when to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Climb {
    /// Length of the step.
    pub step: StepSize,
    /// Steps at most.
    pub most_steps: usize,
    /// The ascent has arrived where the largest |eigenvalue| of the unit matrix M grows by less.
    pub arrived: f64,
}

/// Where an ascent ended.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Coordinates of M, |M|_F = 1, in the orthonormal basis of W; the sign makes lambda_1 positive.
    pub coordinates: DVector<f64>,
    /// u, unit eigenvector of lambda_1.
    pub direction: DVector<f64>,
    /// lambda_1 = |M|, the spectral norm.
    pub spectral_norm: f64,
    /// Steps made.
    pub steps: usize,
}

/// Coordinates (r x count) of uniformly random unit matrices in a subspace of dimension r.
pub fn random_starts(rng: &mut impl rand::Rng, r: usize, count: usize) -> DMatrix<f64> {
    let mut starts = DMatrix::zeros(r, count);
    for mut start in starts.column_iter_mut() {
        start.copy_from(&draws::unit_vector(rng, r));
    }
    starts
}

/// Climbs in the subspace with the orthonormal basis `basis` (n(n+1)/2 x r) from the matrices with the
/// coordinates `starts` (r x k), none of them zero.
pub fn ascend(basis: &DMatrix<f64>, starts: &DMatrix<f64>, climb: Climb) -> Vec<Limit> {
    (0..starts.ncols())
        .into_par_iter()
        .map(|k| ascend_one(basis, starts.column(k).into_owned(), climb))
        .collect()
}

fn ascend_one(basis: &DMatrix<f64>, start: DVector<f64>, climb: Climb) -> Limit {
    let mut outer = DVector::zeros(basis.nrows());
    let mut m = start;
    m.normalize_mut();
    let mut norm_before = 0.0;
    let mut steps = 0;
    loop {
        let eigen = smat((basis * &m).as_slice()).symmetric_eigen();
        let top = eigen.eigenvalues.iamax();
        let sign = eigen.eigenvalues[top].signum();
        let spectral_norm = eigen.eigenvalues[top].abs();
        let u = eigen.eigenvectors.column(top).into_owned();
        if steps == climb.most_steps || spectral_norm - norm_before < climb.arrived {
            return Limit { coordinates: m * sign, direction: u, spectral_norm, steps };
        }
        norm_before = spectral_norm;
        svec_outer(u.as_slice(), outer.as_mut_slice());
        let gamma = match climb.step {
            StepSize::Fixed(gamma) => gamma,
            StepSize::Doubling => spectral_norm,
        };
        m += basis.tr_mul(&outer) * (sign * gamma);
        m.normalize_mut();
        steps += 1;
    }
}
