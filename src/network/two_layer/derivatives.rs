//! Analytic derivatives of the network, for refinement and for tests.
//!
//! grad f = A G p,  Hess f = A diag(phi''(z) p) A^T + sum_l c_l h''(u_l) v_l v_l^T with
//! G = diag(phi'(z)), p_i = sum_l b_il c_l h'(u_l), v_l = A G b_l.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::TwoLayer;
use crate::algebra::linalg::zeros;

/// Everything that the derivatives at one point share.
struct Forward {
    z: DVector<f64>,
    y: DVector<f64>,
    u: DVector<f64>,
    /// c_l h'(u_l).
    output_slope: DVector<f64>,
    /// p_i = sum_l b_il c_l h'(u_l).
    p: DVector<f64>,
}

impl TwoLayer {
    fn forward_at(&self, x: &DVector<f64>) -> Forward {
        let z = self.a.transpose() * x - &self.theta;
        let mut y = z.clone();
        self.g.values(y.as_mut_slice());
        let u = self.b.transpose() * &y - &self.tau;
        let mut output_slope = u.clone();
        self.h.slopes(output_slope.as_mut_slice());
        output_slope.component_mul_assign(&self.c);
        let p = &self.b * &output_slope;
        Forward { z, y, u, output_slope, p }
    }

    /// Gradient of f at x, length d.
    #[must_use]
    pub fn gradient(&self, x: &DVector<f64>) -> DVector<f64> {
        let at = self.forward_at(x);
        &self.a * at.z.map(|z| self.g.slope(z)).component_mul(&at.p)
    }

    /// Hessian of f at x, d x d.
    #[must_use]
    pub fn hessian(&self, x: &DVector<f64>) -> DMatrix<f64> {
        let at = self.forward_at(x);
        let inner = at.z.map(|z| self.g.curvature(z)).component_mul(&at.p);
        let outer = at.u.map(|u| self.h.curvature(u)).component_mul(&self.c);
        let slope = at.z.map(|z| self.g.slope(z));
        let v = &self.a * DMatrix::from_diagonal(&slope) * &self.b;
        &self.a * DMatrix::from_diagonal(&inner) * self.a.transpose()
            + &v * DMatrix::from_diagonal(&outer) * v.transpose()
    }

    /// Derivatives of f at the columns of `points` with respect to all parameters, transposed:
    /// parameters x points, in the order of [`to_vector`](Self::to_vector).
    pub fn jacobian_transposed(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let count = self.parameter_count();
        let mut out = zeros(count, points.ncols());
        out.as_mut_slice().par_chunks_mut(count).enumerate().for_each(|(k, row)| {
            self.jacobian_row(&points.column(k).into_owned(), row);
        });
        out
    }

    fn jacobian_row(&self, x: &DVector<f64>, row: &mut [f64]) {
        let (d, m0, m1) = self.dims();
        let at = self.forward_at(x);
        let (d_a, rest) = row.split_at_mut(d * m0);
        let (d_theta, rest) = rest.split_at_mut(m0);
        let (d_b, rest) = rest.split_at_mut(m0 * m1);
        let (d_tau, d_c) = rest.split_at_mut(m1);
        let mut slopes = at.z;
        self.g.slopes(slopes.as_mut_slice());
        for i in 0..m0 {
            let inner = slopes[i] * at.p[i];
            d_theta[i] = -inner;
            for (entry, &x) in d_a[i * d..(i + 1) * d].iter_mut().zip(x.iter()) {
                *entry = inner * x;
            }
        }
        for l in 0..m1 {
            let slope = at.output_slope[l];
            d_tau[l] = -slope;
            for (entry, &y) in d_b[l * m0..(l + 1) * m0].iter_mut().zip(at.y.iter()) {
                *entry = slope * y;
            }
        }
        d_c[..m1].copy_from_slice(at.u.as_slice());
        self.h.values(&mut d_c[..m1]);
        d_c[m1] = 1.0;
    }
}
