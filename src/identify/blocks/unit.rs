//! One unit of the first layer, from values at points where it alone is in its transition.
//!
//! All others are saturated there, so that f = c0 + c . h(u + b_i g(a_i . x - theta_i)), where u is known from the
//! second layer and the sides of the others: a least squares of d + 1 unknowns, whatever the width.

use nalgebra::{DMatrix, DVector};

use super::tolerances::{UNIT_CHORD, UNIT_HALVINGS, UNIT_SLOW, UNIT_STEPS};
use crate::algebra::linalg::{Alone, InverseFactor, product};
use crate::identify::fit::refine::Equilibrated;
use crate::network::Activation;
use crate::network::OneLayer;
use crate::ranks::Team;

/// The second layer, and the activation of the first.
#[derive(Clone, Copy)]
pub struct Outer<'n> {
    /// Its weights are `a`, m0 x m1, and its inputs the outputs of the first layer.
    pub second: &'n OneLayer,
    /// The activation of the first layer.
    pub g: Activation,
}

/// Rows of one unit.
pub struct Rows {
    /// Which unit.
    pub unit: usize,
    /// d x n.
    pub points: DMatrix<f64>,
    /// Outputs of all units at their sides, m0 x n; 0 for the unit itself.
    pub outputs: DMatrix<f64>,
    /// f there, length n.
    pub values: DVector<f64>,
    /// Standard deviation of a value near the origin over that here.
    pub weights: DVector<f64>,
}

/// A fitted unit.
pub struct Fitted {
    /// a_i, length d.
    pub a: DVector<f64>,
    /// theta_i.
    pub theta: f64,
    /// What its rows say at the end.
    pub lens: Lens,
    /// Weighted residuals there: network minus values.
    pub residual: DVector<f64>,
}

/// The Jacobian of a unit's rows, factorised, in coordinates about the foot of the perpendicular from the origin and
/// turned so that the first is along a_i: there its columns are nearly orthogonal.
pub struct Lens {
    /// The foot.
    foot: DVector<f64>,
    /// Normal of the reflection that takes a_i to the first axis.
    normal: DVector<f64>,
    jacobian: Equilibrated,
    factor: InverseFactor,
}

impl Rows {
    /// Inputs of the second layer without the unit, m1 x n.
    pub fn inputs(&self, second: &OneLayer) -> DMatrix<f64> {
        let mut u = product(&second.a.transpose(), &self.outputs);
        u.column_iter_mut().for_each(|mut u| u -= &second.theta);
        u
    }

    /// a . x - theta at all rows.
    fn arguments(&self, a: &DVector<f64>, theta: f64) -> DVector<f64> {
        (a.transpose() * &self.points).transpose().add_scalar(-theta)
    }

    /// Weighted values of the network with (a, theta) for the unit, minus those of f.
    pub fn residual(
        &self,
        outer: Outer<'_>,
        inputs: &DMatrix<f64>,
        a: &DVector<f64>,
        theta: f64,
    ) -> DVector<f64> {
        let z = self.arguments(a, theta);
        let OneLayer { c, c0, phi, .. } = outer.second;
        let mut outputs = self.with_unit(outer, inputs, z);
        phi.values(outputs.as_mut_slice());
        DVector::from_fn(self.values.len(), |k, _| {
            let units = outputs.column(k).into_iter().zip(c.iter());
            let f = c0 + units.map(|(output, c)| c * output).sum::<f64>();
            self.weights[k] * (f - self.values[k])
        })
    }

    /// Inputs of the second layer, m1 x n, where those without the unit are `inputs` and its arguments `z`.
    fn with_unit(
        &self,
        outer: Outer<'_>,
        inputs: &DMatrix<f64>,
        mut z: DVector<f64>,
    ) -> DMatrix<f64> {
        outer.g.values(z.as_mut_slice());
        let row = outer.second.a.row(self.unit).transpose();
        let mut all = inputs.clone();
        for (mut u, &y) in all.column_iter_mut().zip(z.iter()) {
            u.axpy(y, &row, 1.0);
        }
        all
    }

    /// Weighted derivatives of the values with respect to z.
    fn slopes(&self, outer: Outer<'_>, inputs: &DMatrix<f64>, mut z: DVector<f64>) -> DVector<f64> {
        let mut of_units = self.with_unit(outer, inputs, z.clone());
        outer.second.phi.slopes(of_units.as_mut_slice());
        outer.g.slopes(z.as_mut_slice());
        DVector::from_fn(z.len(), |k, _| {
            let p = outer.second.slope_along(self.unit, of_units.column(k));
            self.weights[k] * z[k] * p
        })
    }

    /// Gauss-Newton from (a, theta), with one Jacobian as long as it serves; `None` where the rows do not determine
    /// the unit.
    pub fn fit(&self, outer: Outer<'_>, start: (DVector<f64>, f64)) -> Option<Fitted> {
        let inputs = self.inputs(outer.second);
        let (mut a, mut theta) = start;
        let mut residual = self.residual(outer, &inputs, &a, theta);
        let mut lens = Lens::new(self, outer, &inputs, &a, theta)?;
        let mut fresh = true;
        for _ in 0..UNIT_STEPS {
            let (da, dtheta) = lens.solve(&residual);
            let before = residual.norm();
            // Far from the solution a whole step may lead too far.
            let shortened = (0..=UNIT_HALVINGS).map(|k| 0.5f64.powi(k)).find_map(|share| {
                let (next_a, next_theta) = (&a - &da * share, theta - dtheta * share);
                let next = self.residual(outer, &inputs, &next_a, next_theta);
                (next.norm() < before).then_some((next_a, next_theta, next))
            });
            let Some(next) = shortened else {
                if fresh {
                    break;
                }
                // The Jacobian serves no longer.
                (lens, fresh) = (Lens::new(self, outer, &inputs, &a, theta)?, true);
                continue;
            };
            (a, theta, residual) = next;
            let gain = residual.norm() / before;
            if fresh && gain > UNIT_SLOW {
                break;
            }
            fresh = gain > UNIT_CHORD;
            if fresh {
                lens = Lens::new(self, outer, &inputs, &a, theta)?;
            }
        }
        Some(Fitted { a, theta, lens, residual })
    }
}

impl Lens {
    fn new(
        rows: &Rows,
        outer: Outer<'_>,
        inputs: &DMatrix<f64>,
        a: &DVector<f64>,
        theta: f64,
    ) -> Option<Self> {
        let norm = a.norm();
        let foot = a * (theta / (norm * norm));
        let mut normal = a / norm;
        // Of the two signs the one that does not cancel.
        normal[0] += 1f64.copysign(normal[0]);
        normal.normalize_mut();
        let d = a.len();
        let slopes = rows.slopes(outer, inputs, rows.arguments(a, theta));
        let mut jt = DMatrix::zeros(d + 1, slopes.len());
        for (k, mut column) in jt.column_iter_mut().enumerate() {
            let mut x = column.rows_mut(0, d);
            x.copy_from(&(rows.points.column(k) - &foot));
            let along = normal.dot(&x);
            x.axpy(-2.0 * along, &normal, 1.0);
            column[d] = -1.0;
            column *= slopes[k];
        }
        let jacobian = Equilibrated::new(jt, &Team::alone())?;
        if jacobian.scale.iter().any(|&s| s == 0.0) {
            return None;
        }
        let factor = jacobian.inverse_factor()?;
        Some(Lens { foot, normal, jacobian, factor })
    }

    /// What `along`, in the coordinates of the lens, is in those of (a, theta).
    fn back(&self, along: &DVector<f64>) -> (DVector<f64>, f64) {
        let d = self.foot.len();
        let along = along.component_mul(&self.jacobian.scale);
        let mut a = along.rows(0, d).into_owned();
        let reflected = self.normal.dot(&a);
        a.axpy(-2.0 * reflected, &self.normal, 1.0);
        let theta = along[d] + self.foot.dot(&a);
        (a, theta)
    }

    /// The change of (a, theta) that least squares make of weighted `errors` of the values.
    pub fn solve(&self, errors: &DVector<f64>) -> (DVector<f64>, f64) {
        self.back(&self.factor.solve(&(&self.jacobian.jt * errors)))
    }

    /// What of weighted `errors` of the values the fit takes over.
    pub fn projected(&self, errors: &DVector<f64>) -> DVector<f64> {
        let along = self.factor.solve(&(&self.jacobian.jt * errors));
        (along.transpose() * &self.jacobian.jt).transpose()
    }

    /// A change of (a, theta) of covariance (J^T J)^-1, where `z` has covariance 1, and what it makes of the values.
    pub fn spread(&self, z: &DVector<f64>) -> ((DVector<f64>, f64), DVector<f64>) {
        let along = self.factor.spread(z);
        let values = (along.transpose() * &self.jacobian.jt).transpose();
        (self.back(&along), values)
    }

    /// The diagonal of (J^T J)^-1, or with `squares` of J^+ diag(squares) J^+T: variances of a, then of theta, for
    /// values of variance 1.
    pub fn variances(&self, squares: Option<&DVector<f64>>) -> DVector<f64> {
        let root = match squares {
            None => self.factor.triangle().clone(),
            Some(squares) => {
                let mut weighted = self.jacobian.jt.clone();
                for (mut column, square) in weighted.column_iter_mut().zip(squares.iter()) {
                    column *= square.sqrt();
                }
                product(&self.factor.inverse(&Alone), &weighted)
            }
        };
        self.back_rows(root)
    }

    /// Squared lengths of the rows of T D M, where T D takes the coordinates of the lens back.
    fn back_rows(&self, mut root: DMatrix<f64>) -> DVector<f64> {
        let d = self.foot.len();
        for (mut row, &scale) in root.row_iter_mut().zip(self.jacobian.scale.iter()) {
            row *= scale;
        }
        let reflected = self.normal.transpose() * root.rows(0, d);
        root.rows_mut(0, d).ger(-2.0, &self.normal, &reflected.transpose(), 1.0);
        let lever = self.foot.transpose() * root.rows(0, d);
        let mut last = root.row_mut(d);
        last += lever;
        let mut squares = DVector::zeros(d + 1);
        for column in root.column_iter() {
            squares.zip_apply(&column, |sum, entry| *sum += entry * entry);
        }
        squares
    }

    /// Leverage of every row: the share of its own error that the fit takes over.
    pub fn leverages(&self) -> DVector<f64> {
        let through = product(&self.factor.triangle().transpose(), &self.jacobian.jt);
        DVector::from_fn(through.ncols(), |k, _| through.column(k).norm_squared())
    }

    /// sqrt of the largest diagonal entry of (J^T J)^-1, columns of J at unit length.
    pub fn condition(&self) -> f64 {
        self.factor.diagonal().max().sqrt()
    }
}
