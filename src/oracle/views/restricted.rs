//! A black box on a subspace of its inputs, and which derivatives are taken there.

use nalgebra::DMatrix;

use crate::oracle::black_box::Oracle;
use crate::oracle::error::OracleError;
use crate::oracle::question::{Answer, Question};
use crate::oracle::view::View;

/// A black box seen on a subspace: y -> f(Q y).
pub struct Restricted<'a> {
    inner: &'a mut dyn Oracle,
    basis: &'a DMatrix<f64>,
    /// Is it the identity? Most often it is, and points are as they are.
    is_whole: bool,
    by_values: bool,
}

impl<'a> Restricted<'a> {
    /// `basis` is Q, d x k with orthonormal columns. Derivatives are the oracle's own, at the accuracy
    /// that it has for them.
    pub fn new(inner: &'a mut dyn Oracle, basis: &'a DMatrix<f64>) -> Self {
        Restricted {
            inner,
            basis,
            is_whole: basis.is_square() && basis.is_identity(0.0),
            by_values: false,
        }
    }

    /// `basis` is Q, d x k with orthonormal columns. Derivatives are differences of values: for the stages
    /// where accuracy decides.
    pub fn by_values(inner: &'a mut dyn Oracle, basis: &'a DMatrix<f64>) -> Self {
        Restricted { by_values: true, ..Self::new(inner, basis) }
    }

    fn ask_all(&mut self, question: Question<'_>) -> Result<Answer, OracleError> {
        if self.by_values && !question.is_of_outputs() {
            return question.by_values(&mut |x| self.inner.values(x));
        }
        question.ask(self.inner)
    }
}

impl View for Restricted<'_> {
    fn inner(&self) -> &dyn Oracle {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Oracle {
        self.inner
    }

    fn ask(&mut self, question: Question<'_>) -> Result<Answer, OracleError> {
        if self.is_whole {
            return self.ask_all(question);
        }
        let points = self.basis * question.points;
        let directions = question.directions().map(|directions| self.basis * directions);
        let directions = directions.unwrap_or_else(|| DMatrix::zeros(points.nrows(), 0));
        self.ask_all(question.along(&points, &directions))
    }

    fn inputs(&self) -> usize {
        self.basis.ncols()
    }

    fn differences(&self) -> bool {
        self.by_values
    }
}
