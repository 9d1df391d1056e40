//! Batched evaluation: points in lanes, weights broadcast, one pass through all layers.
//!
//! Every point is computed by the same sequence of operations whatever its place in a batch, and
//! every multiply-add is a fused one, so a value is the same to the last bit on any number of
//! threads and any instruction set. Identification through a process oracle relies on that.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::{Activation, Network};

/// Points a block: eight 512-bit or sixteen 256-bit registers hold four units' pre-activations.
const LANES: usize = 16;
/// Units advanced together, so that each loaded coordinate is used this often.
const UNITS: usize = 4;
/// Blocks a rayon task, enough work to outweigh the scheduling.
const BLOCKS_PER_TASK: usize = 32;

type Lanes = [f64; LANES];

/// One affine map and what follows it: a hidden layer, or the outputs.
pub(super) struct Step<'a> {
    /// Column-major, a column a unit.
    pub weights: &'a [f64],
    /// Subtracted, one a unit.
    pub shifts: &'a [f64],
    /// `None`: the outputs.
    pub activation: Option<Activation>,
}

/// What the last of `steps` puts out at the columns of `points`, a column a point.
///
/// # Panics
/// If `points` does not have as many rows as the first step's weights.
pub(super) fn forward(steps: &[Step<'_>], points: &DMatrix<f64>) -> DMatrix<f64> {
    let d = match steps.first() {
        Some(first) => first.weights.len() / first.shifts.len().max(1),
        None => 0,
    };
    assert_eq!(points.nrows(), d, "points need {d} coordinates");
    let outputs = steps.last().map_or(0, |last| last.shifts.len());
    let mut out = DMatrix::zeros(outputs, points.ncols());
    let chunk = LANES * BLOCKS_PER_TASK;
    let arch = pulp::Arch::new();
    out.as_mut_slice()
        .par_chunks_mut((chunk * outputs).max(1))
        .zip(points.as_slice().par_chunks((chunk * d).max(1)))
        .for_each(|(values, points)| arch.dispatch(Forward { steps, points, values }));
    out
}

/// a . x - shift of units with these `weights` (columns) at the columns of `points`, as one product of matrices: whose last digits,
/// unlike those of [`forward`], depend on what else is asked.
pub(crate) fn arguments(
    points: &DMatrix<f64>,
    (weights, shifts): (&DMatrix<f64>, &DVector<f64>),
) -> DMatrix<f64> {
    let mut arguments = weights.tr_mul(points);
    arguments.column_iter_mut().for_each(|mut z| z -= shifts);
    arguments
}

/// The forward pass as something that pulp compiles once per instruction set. A closure would do,
/// but nothing forces it to be inlined, and then its multiply-adds become calls of `fma`.
struct Forward<'a> {
    steps: &'a [Step<'a>],
    points: &'a [f64],
    values: &'a mut [f64],
}

impl pulp::WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Forward { steps, points, values } = self;
        let Some(first) = steps.first() else { return };
        let d = first.weights.len() / first.shifts.len();
        let outputs = steps[steps.len() - 1].shifts.len();
        let mut x = vec![[0.0; LANES]; d];
        let mut y: Vec<Vec<Lanes>> =
            steps.iter().map(|step| vec![[0.0; LANES]; step.shifts.len()]).collect();
        for (points, values) in points.chunks(LANES * d).zip(values.chunks_mut(LANES * outputs)) {
            for (lane, point) in points.chunks_exact(d).enumerate() {
                for (x, &coordinate) in x.iter_mut().zip(point) {
                    x[lane] = coordinate;
                }
            }
            let mut before = x.as_slice();
            for (step, y) in steps.iter().zip(&mut y) {
                affine(step.weights, step.shifts, before, y);
                if let Some(phi) = step.activation {
                    phi.apply(y.as_flattened_mut());
                }
                before = y;
            }
            for (lane, values) in values.chunks_exact_mut(outputs).enumerate() {
                for (value, output) in values.iter_mut().zip(before) {
                    *value = output[lane];
                }
            }
        }
    }
}

impl Network {
    /// The outputs as they are seen, behind the link, at the columns of `points` (d x n): K x n. Cost: a
    /// multiply-add a weight and point.
    ///
    /// # Panics
    /// If `points` does not have d rows.
    #[must_use]
    pub fn outputs(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let mut outputs = self.logits(points);
        self.link.apply(&mut outputs);
        outputs
    }

    /// The outputs before the link at the columns of `points` (d x n): K x n.
    ///
    /// # Panics
    /// If `points` does not have d rows.
    #[must_use]
    pub fn logits(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let offsets = -&self.c0;
        let mut steps = self.hidden_steps();
        steps.push(Step {
            weights: self.c.as_slice(),
            shifts: offsets.as_slice(),
            activation: None,
        });
        forward(&steps, points)
    }

    /// What the last hidden layer puts out at the columns of `points` (d x n): its units x n.
    ///
    /// # Panics
    /// If `points` does not have d rows.
    #[must_use]
    pub fn hidden(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        forward(&self.hidden_steps(), points)
    }

    fn hidden_steps(&self) -> Vec<Step<'_>> {
        let steps = self.layers.iter().map(|layer| Step {
            weights: layer.weights.as_slice(),
            shifts: layer.shifts.as_slice(),
            activation: Some(layer.activation),
        });
        steps.collect()
    }

    /// The first output at the columns of `points` (d x n), the only one of a network that has one.
    ///
    /// # Panics
    /// If `points` does not have d rows.
    #[must_use]
    pub fn values(&self, points: &DMatrix<f64>) -> DVector<f64> {
        self.outputs(points).row(0).transpose()
    }

    /// The first output at one point.
    #[must_use]
    pub fn value(&self, x: &[f64]) -> f64 {
        self.values(&DMatrix::from_column_slice(x.len(), 1, x))[0]
    }
}

/// out_j = sum_i w_ij x_i - shift_j, `weights` column-major with `x.len()` rows.
#[inline(always)]
fn affine(weights: &[f64], shifts: &[f64], x: &[Lanes], out: &mut [Lanes]) {
    let rows = x.len();
    if rows == 0 {
        // A layer without units before it: a constant.
        out.iter_mut().zip(shifts).for_each(|(out, shift)| *out = [-shift; LANES]);
        return;
    }
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
