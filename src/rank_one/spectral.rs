//! Projected spectral-norm ascent of Fornasier, Klock and Rauchensteiner:
//! M <- P_W(M + gamma u u^T) / |.|_F, u the eigenvector of M's largest |eigenvalue|.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::matrix_order;
use crate::hessian::{smat, svec_outer};

/// Length of the gradient step. Large steps converge faster; the published analysis allows any.
const GAMMA: f64 = 2.0;
/// Steps, after which the power method takes over.
const STEPS: usize = 40;
/// The ascent has arrived where the largest |eigenvalue| of the unit matrix M stops growing.
const ARRIVED: f64 = 1e-7;

/// Starts every ascent at P_W(u u^T) for the columns u of `ends` and puts the final eigenvectors there.
pub fn climb(basis: &DMatrix<f64>, ends: &mut DMatrix<f64>) {
    let n = matrix_order(basis);
    ends.as_mut_slice().par_chunks_mut(n).for_each(|u| ascend(basis, u));
}

fn ascend(basis: &DMatrix<f64>, u: &mut [f64]) {
    let mut outer = DVector::zeros(basis.nrows());
    // Coordinates of M in the orthonormal basis of W: |M|_F is their length.
    let mut m = DVector::zeros(basis.ncols());
    let mut norm_before = 0.0;
    for step in 0..STEPS {
        let sign = if step == 0 {
            1.0
        } else {
            let eigen = smat((basis * &m).as_slice()).symmetric_eigen();
            let top = eigen.eigenvalues.iamax();
            u.copy_from_slice(eigen.eigenvectors.column(top).as_slice());
            let spectral_norm = eigen.eigenvalues[top].abs();
            if spectral_norm - norm_before < ARRIVED {
                return;
            }
            norm_before = spectral_norm;
            eigen.eigenvalues[top].signum()
        };
        svec_outer(u, outer.as_mut_slice());
        m += basis.tr_mul(&outer) * (sign * GAMMA);
        let length = m.norm();
        if length == 0.0 {
            return;
        }
        m /= length;
    }
}
