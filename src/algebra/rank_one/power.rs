//! Subspace power method: u <- P_W(u u^T) u, normalised, for many starts together.

use nalgebra::DMatrix;

use super::projections;
use super::tolerances::POWER_STEPS;
use crate::algebra::linalg::product;
use crate::algebra::svec::svec_times;

/// Moves every column of `ends` (unit vectors, n x k) until no entry of it moves by more than `arrived` in a step; returns
/// the scores |P_W(u u^T)|_F^2. One step costs two matrix products D x r x k.
pub fn climb(basis: &DMatrix<f64>, ends: &mut DMatrix<f64>, arrived: f64) -> Vec<f64> {
    let mut scores = vec![0.0; ends.ncols()];
    let mut moving: Vec<usize> = (0..ends.ncols()).collect();
    for _ in 0..POWER_STEPS {
        let coordinates = projections(basis, &ends.select_columns(&moving));
        let projected = product(basis, &coordinates);
        let mut still = Vec::new();
        for (column, &k) in moving.iter().enumerate() {
            scores[k] = coordinates.column(column).norm_squared();
            if step(projected.column(column).as_slice(), ends.column_mut(k).as_mut_slice())
                > arrived
            {
                still.push(k);
            }
        }
        moving = still;
        if moving.is_empty() {
            break;
        }
    }
    scores
}

/// u <- smat(p) u / |.|, with the sign kept; returns how far u moved.
fn step(svec: &[f64], u: &mut [f64]) -> f64 {
    let mut image = vec![0.0; u.len()];
    svec_times(svec, u, &mut image);
    let norm = image.iter().map(|v| v * v).sum::<f64>().sqrt();
    if norm == 0.0 || !norm.is_finite() {
        return 0.0;
    }
    // u^T P_W(u u^T) u = |P_W(u u^T)|^2 >= 0, so the sign never flips.
    let mut moved = 0.0f64;
    for (u, image) in u.iter_mut().zip(image) {
        let next = image / norm;
        moved = moved.max((next - *u).abs());
        *u = next;
    }
    moved
}
