//! What can grow: a network whose last hidden layer may have a unit more or less.

use nalgebra::{DMatrix, DVector};

use crate::network::model::Model;
use crate::network::{Activation, OneLayer, TwoLayer, arguments};

/// A network whose last hidden layer may have a unit more or less.
pub trait Growing: Model + Send + Sync {
    /// What units of that layer are given at the columns of `points`.
    fn given(&self, points: &DMatrix<f64>) -> DMatrix<f64>;
    /// What they put out there, a row each, and a row of ones: what the output weights and the offset are the factors of.
    fn put_out(&self, points: &DMatrix<f64>) -> DMatrix<f64>;
    /// Their activation.
    fn activation(&self) -> Activation;
    /// With a unit more, and its offset.
    fn with_unit(&self, unit: &OneLayer) -> Self;
    /// With a unit less.
    fn without_unit(&self, unit: usize) -> Self;
    /// With these output weights and offset, which are the last of the parameters.
    fn with_outputs(&self, c: DVector<f64>, c0: f64) -> Self;
    /// Units of that layer.
    fn width(&self) -> usize {
        self.widths().last().copied().unwrap_or(0)
    }
}

/// A vector with a number more.
fn longer(v: &DVector<f64>, last: f64) -> DVector<f64> {
    v.clone().insert_row(v.len(), last)
}

/// A matrix with a column more.
fn wider(m: &DMatrix<f64>, last: &DMatrix<f64>) -> DMatrix<f64> {
    let mut wider = m.clone().insert_column(m.ncols(), 0.0);
    wider.set_column(m.ncols(), &last.column(0));
    wider
}

/// Values of units with these `parameters`, weights (columns) and shifts, and activation at the columns of `points`.
fn layer(
    points: &DMatrix<f64>,
    parameters: (&DMatrix<f64>, &DVector<f64>),
    phi: Activation,
) -> DMatrix<f64> {
    let mut y = arguments(points, parameters);
    phi.values(y.as_mut_slice());
    y
}

/// With a row of ones.
fn and_one(y: DMatrix<f64>) -> DMatrix<f64> {
    let m = y.nrows();
    y.insert_row(m, 1.0)
}

impl Growing for OneLayer {
    fn given(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        points.clone()
    }
    fn put_out(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        and_one(layer(points, (&self.a, &self.theta), self.phi))
    }
    fn activation(&self) -> Activation {
        self.phi
    }
    fn with_unit(&self, unit: &OneLayer) -> Self {
        OneLayer {
            a: wider(&self.a, &unit.a),
            theta: longer(&self.theta, unit.theta[0]),
            c: longer(&self.c, unit.c[0]),
            c0: self.c0 + unit.c0,
            phi: self.phi,
        }
    }
    fn without_unit(&self, unit: usize) -> Self {
        OneLayer {
            a: self.a.clone().remove_column(unit),
            theta: self.theta.clone().remove_row(unit),
            c: self.c.clone().remove_row(unit),
            ..*self
        }
    }
    fn with_outputs(&self, c: DVector<f64>, c0: f64) -> Self {
        OneLayer { c, c0, ..self.clone() }
    }
}

impl Growing for TwoLayer {
    fn given(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        layer(points, (&self.a, &self.theta), self.g)
    }
    fn put_out(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        and_one(layer(&self.given(points), (&self.b, &self.tau), self.h))
    }
    fn activation(&self) -> Activation {
        self.h
    }
    fn with_unit(&self, unit: &OneLayer) -> Self {
        TwoLayer {
            b: wider(&self.b, &unit.a),
            tau: longer(&self.tau, unit.theta[0]),
            c: longer(&self.c, unit.c[0]),
            c0: self.c0 + unit.c0,
            ..self.clone()
        }
    }
    fn without_unit(&self, unit: usize) -> Self {
        TwoLayer {
            b: self.b.clone().remove_column(unit),
            tau: self.tau.clone().remove_row(unit),
            c: self.c.clone().remove_row(unit),
            ..self.clone()
        }
    }
    fn with_outputs(&self, c: DVector<f64>, c0: f64) -> Self {
        TwoLayer { c, c0, ..self.clone() }
    }
}
