//! Subspace power method: u <- P_W(u u^T) u, normalised, for all starts together.

use nalgebra::DMatrix;

use super::tolerances::{POWER_ARRIVED, POWER_STEPS};
use crate::algebra::svec::svec_outer;

/// Moves every column of `ends` (unit vectors, n x k) to a fixed point; returns the scores
/// |P_W(u u^T)|_F^2. One step costs two matrix products D x r x k.
pub fn climb(basis: &DMatrix<f64>, ends: &mut DMatrix<f64>) -> Vec<f64> {
    let basis_transposed = basis.transpose();
    let mut scores = vec![0.0; ends.ncols()];
    let mut moving: Vec<usize> = (0..ends.ncols()).collect();
    for _ in 0..POWER_STEPS {
        let mut outer = DMatrix::zeros(basis.nrows(), moving.len());
        for (&k, mut outer) in moving.iter().zip(outer.column_iter_mut()) {
            svec_outer(ends.column(k).as_slice(), outer.as_mut_slice());
        }
        let coordinates = &basis_transposed * outer;
        let projected = basis * &coordinates;
        let mut still = Vec::new();
        for (column, &k) in moving.iter().enumerate() {
            scores[k] = coordinates.column(column).norm_squared();
            if step(projected.column(column).as_slice(), ends.column_mut(k).as_mut_slice())
                > POWER_ARRIVED
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
    let mut at = 0;
    for j in 0..u.len() {
        for i in 0..j {
            let entry = svec[at + i] * std::f64::consts::FRAC_1_SQRT_2;
            image[i] += entry * u[j];
            image[j] += entry * u[i];
        }
        image[j] += svec[at + j] * u[j];
        at += j + 1;
    }
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
