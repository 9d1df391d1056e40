//! Projected spectral-norm ascent: maximise the largest |eigenvalue| over the unit sphere of W.
//!
//! The gradient of that eigenvalue at M is u u^T, u its eigenvector, hence the step
//! M <- P_W(M + gamma u u^T) / |.|_F of Fornasier, Klock and Rauchensteiner (Constr. Approx. 55, 2022).
//! The code that their group published for one hidden layer doubles the eigenvalue instead: the same
//! step with gamma = |lambda_1|.

use nalgebra::{DMatrix, DVector, SMatrix};
use rayon::prelude::*;

use super::projections;
use super::tolerances::{BATCH, KRYLOV_CLOSED, KRYLOV_DIMENSION};
use crate::algebra::linalg::product;
use crate::algebra::svec::{smat, svec_times};
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
    let starts: Vec<DVector<f64>> = starts.column_iter().map(|m| m.normalize()).collect();
    let batches = starts.par_chunks(BATCH).map(|batch| {
        let mut m = DMatrix::from_columns(batch);
        let matrices = product(basis, &m);
        let longest: Vec<_> = matrices.column_iter().map(|m| longest(smat(m.as_slice()))).collect();
        let steps = run(basis, &mut m, &mut DMatrix::from_columns(&longest), climb);
        let ends = product(basis, &m);
        let ends = ends.column_iter().zip(m.column_iter()).zip(steps);
        ends.map(|((end, m), steps)| Limit::at(m.into(), smat(end.as_slice()), steps))
            .collect::<Vec<_>>()
    });
    batches.flatten().collect()
}

impl Limit {
    fn at(coordinates: DVector<f64>, matrix: DMatrix<f64>, steps: usize) -> Limit {
        let eigen = matrix.symmetric_eigen();
        let top = eigen.eigenvalues.iamax();
        Limit {
            coordinates: coordinates * eigen.eigenvalues[top].signum(),
            direction: eigen.eigenvectors.column(top).into(),
            spectral_norm: eigen.eigenvalues[top].abs(),
            steps,
        }
    }
}

/// The longest column, normalised: not far from the eigenvectors of the largest |eigenvalues|.
fn longest(matrix: DMatrix<f64>) -> DVector<f64> {
    let norms = matrix.column_iter().map(|column| column.norm_squared());
    matrix.column(DVector::from_iterator(matrix.ncols(), norms).imax()).normalize()
}

/// Moves the columns u of `directions` (unit vectors, n x k) to the top eigenvectors of where the ascents from
/// P_W(u u^T) end.
pub fn climb(basis: &DMatrix<f64>, directions: &mut DMatrix<f64>, climb: Climb) {
    let mut m = projections(basis, directions);
    m.column_iter_mut().for_each(|mut m| {
        m.normalize_mut();
    });
    run(basis, &mut m, directions, climb);
}

/// Climbs from the unit coordinates `m` (r x k), all at once; `u` (n x k) has what the iterations for their top
/// eigenvectors start from, and in the end those. Returns the steps made. One costs two matrix products D x r x k.
fn run(
    basis: &DMatrix<f64>,
    m: &mut DMatrix<f64>,
    u: &mut DMatrix<f64>,
    climb: Climb,
) -> Vec<usize> {
    let mut norms = vec![0.0; m.ncols()];
    let mut steps = vec![climb.most_steps; m.ncols()];
    let mut moving: Vec<usize> = (0..m.ncols()).collect();
    for step in 0..=climb.most_steps {
        let matrices = product(basis, &m.select_columns(&moving));
        let (mut still, mut pushes) = (Vec::new(), Vec::new());
        for (matrix, &k) in matrices.column_iter().zip(&moving) {
            let (lambda, top) = top_of(matrix.as_slice(), u.column(k).into_owned());
            u.set_column(k, &top);
            if step == climb.most_steps || lambda.abs() - norms[k] < climb.arrived {
                steps[k] = step;
                continue;
            }
            norms[k] = lambda.abs();
            let gamma = match climb.step {
                StepSize::Fixed(gamma) => gamma,
                StepSize::Doubling => lambda.abs(),
            };
            still.push(k);
            pushes.push(lambda.signum() * gamma);
        }
        moving = still;
        if moving.is_empty() {
            break;
        }
        let gradients = projections(basis, &u.select_columns(&moving));
        for ((gradient, push), &k) in gradients.column_iter().zip(pushes).zip(&moving) {
            let mut m = m.column_mut(k);
            m.axpy(push, &gradient, 1.0);
            m.normalize_mut();
        }
    }
    steps
}

/// Eigenvalue of largest modulus and its unit eigenvector, of the matrix with this svec restricted to the Krylov space of `start`
/// (Lanczos). From one step of an ascent to the next the eigenvector hardly turns, and what is missing here the next step
/// makes up for.
fn top_of(svec: &[f64], start: DVector<f64>) -> (f64, DVector<f64>) {
    let n = start.len();
    let mut space = vec![start];
    // Zero beyond the space, which adds no eigenvalue of larger modulus.
    let mut restricted = SMatrix::<f64, KRYLOV_DIMENSION, KRYLOV_DIMENSION>::zeros();
    for j in 0..KRYLOV_DIMENSION {
        let mut next = DVector::zeros(n);
        svec_times(svec, space[j].as_slice(), next.as_mut_slice());
        for (i, q) in space.iter().enumerate() {
            let along = q.dot(&next);
            next.axpy(-along, q, 1.0);
            restricted[(j, i)] = along;
        }
        let norm = next.norm();
        if norm < KRYLOV_CLOSED || space.len() == KRYLOV_DIMENSION.min(n) {
            break;
        }
        space.push(next / norm);
    }
    let eigen = restricted.symmetric_eigen();
    let top = eigen.eigenvalues.iamax();
    let mut vector = DVector::zeros(n);
    for (q, &weight) in space.iter().zip(&eigen.eigenvectors.column(top)) {
        vector.axpy(weight, q, 1.0);
    }
    (eigen.eigenvalues[top], vector.normalize())
}
