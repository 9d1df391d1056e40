//! Batched evaluation: points in lanes, weights broadcast, one pass through both layers.
//!
//! Every point is computed by the same sequence of operations whatever its place in a batch, and
//! every multiply-add is a fused one, so a value is the same to the last bit on any number of
//! threads and any instruction set. Identification through a process oracle relies on that.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::Network;

/// Points a block: eight 512-bit or sixteen 256-bit registers hold four units' pre-activations.
const LANES: usize = 16;
/// Units advanced together, so that each loaded coordinate is used this often.
const UNITS: usize = 4;
/// Blocks a rayon task, enough work to outweigh the scheduling.
const BLOCKS_PER_TASK: usize = 32;

type Lanes = [f64; LANES];

/// The forward pass as something that pulp compiles once per instruction set. A closure would do,
/// but nothing forces it to be inlined, and then its multiply-adds become calls of `fma`.
struct Forward<'a> {
    network: &'a Network,
    points: &'a [f64],
    values: &'a mut [f64],
}

impl pulp::WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        self.network.forward(self.points, self.values);
    }
}

impl Network {
    /// Values of f at the columns of `points` (d x n). Cost: n (d m0 + m0 m1) multiply-adds.
    ///
    /// # Panics
    /// If `points` does not have d rows.
    #[must_use]
    pub fn values(&self, points: &DMatrix<f64>) -> DVector<f64> {
        let (d, _, _) = self.dims();
        assert_eq!(points.nrows(), d, "points need {d} coordinates");
        let mut out = DVector::zeros(points.ncols());
        let chunk = LANES * BLOCKS_PER_TASK;
        let arch = pulp::Arch::new();
        out.as_mut_slice()
            .par_chunks_mut(chunk)
            .zip(points.as_slice().par_chunks(chunk * d))
            .for_each(|(values, points)| arch.dispatch(Forward { network: self, points, values }));
        out
    }

    /// f at one point.
    #[must_use]
    pub fn value(&self, x: &[f64]) -> f64 {
        self.values(&DMatrix::from_column_slice(x.len(), 1, x))[0]
    }

    #[inline(always)]
    fn forward(&self, points: &[f64], values: &mut [f64]) {
        let (d, m0, m1) = self.dims();
        let mut x = vec![[0.0; LANES]; d];
        let mut y = vec![[0.0; LANES]; m0];
        let mut u = vec![[0.0; LANES]; m1];
        for (points, values) in points.chunks(LANES * d).zip(values.chunks_mut(LANES)) {
            for (lane, point) in points.chunks_exact(d).enumerate() {
                for (x, &coordinate) in x.iter_mut().zip(point) {
                    x[lane] = coordinate;
                }
            }
            affine(self.a.as_slice(), self.theta.as_slice(), &x, &mut y);
            self.g.apply(y.as_flattened_mut());
            affine(self.b.as_slice(), self.tau.as_slice(), &y, &mut u);
            self.h.apply(u.as_flattened_mut());
            let mut f = [self.c0; LANES];
            for (&c, u) in self.c.iter().zip(&u) {
                for (f, &u) in f.iter_mut().zip(u) {
                    *f = c.mul_add(u, *f);
                }
            }
            values.copy_from_slice(&f[..values.len()]);
        }
    }
}

/// out_j = sum_i w_ij x_i - shift_j, `weights` column-major with `x.len()` rows.
#[inline(always)]
fn affine(weights: &[f64], shifts: &[f64], x: &[Lanes], out: &mut [Lanes]) {
    let rows = x.len();
    let tasks = weights.chunks(UNITS * rows).zip(shifts.chunks(UNITS)).zip(out.chunks_mut(UNITS));
    for ((columns, shifts), out) in tasks {
        if let [s0, s1, s2, s3] = *shifts {
            let (c0, rest) = columns.split_at(rows);
            let (c1, rest) = rest.split_at(rows);
            let (c2, c3) = rest.split_at(rows);
            let [mut a0, mut a1, mut a2, mut a3] = [s0, s1, s2, s3].map(|s| [-s; LANES]);
            for ((((x, &w0), &w1), &w2), &w3) in x.iter().zip(c0).zip(c1).zip(c2).zip(c3) {
                a0 = multiply_add(w0, x, a0);
                a1 = multiply_add(w1, x, a1);
                a2 = multiply_add(w2, x, a2);
                a3 = multiply_add(w3, x, a3);
            }
            out.copy_from_slice(&[a0, a1, a2, a3]);
        } else {
            for ((column, &shift), out) in columns.chunks_exact(rows).zip(shifts).zip(out) {
                let mut acc = [-shift; LANES];
                for (x, &w) in x.iter().zip(column) {
                    acc = multiply_add(w, x, acc);
                }
                *out = acc;
            }
        }
    }
}

/// w x + acc, lane by lane.
#[inline(always)]
fn multiply_add(w: f64, x: &Lanes, mut acc: Lanes) -> Lanes {
    for (acc, &x) in acc.iter_mut().zip(x) {
        *acc = w.mul_add(x, *acc);
    }
    acc
}
