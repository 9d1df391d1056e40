//! A black box seen through another: one method for all that can be asked.

use nalgebra::{DMatrix, DVector};

use super::black_box::Oracle;
use super::error::OracleError;
use super::hessian_stack::HessianStack;
use super::question::{Answer, Question, Wanted};
use crate::ranks::Team;
use crate::stencil::{GradientScheme, HessianScheme};

/// An oracle that stands before another one and looks at, changes or refuses what passes.
///
/// It says once what it does with a [`Question`], and is an [`Oracle`] by that: derivatives and stacks
/// reach the oracle behind it whole, unless the view makes them of values itself.
pub trait View: Send {
    /// The oracle behind.
    fn inner(&self) -> &dyn Oracle;

    /// The same, to be changed.
    fn inner_mut(&mut self) -> &mut dyn Oracle;

    /// Answers a question, for a stack by a stack or by the numbers that it is made of.
    ///
    /// # Errors
    /// Those of the oracle behind, unchanged, and the view's own.
    fn ask(&mut self, question: Question<'_>) -> Result<Answer, OracleError>;

    /// Number of inputs, that of the oracle behind unless the view changes it.
    fn inputs(&self) -> usize {
        self.inner().input_dim()
    }

    /// Is told that another mixture of the outputs is wanted from now on, see [`Oracle::mix`]: the oracle
    /// behind mixes, unless the view does.
    fn mixed(&mut self, weights: &DVector<f64>) {
        self.inner_mut().mix(weights);
    }

    /// The ranks that share what is asked here, see [`Oracle::team`]: those of the oracle behind, unless the view shares.
    fn ranks(&self) -> Team {
        self.inner().team()
    }

    /// May stacks stay where the oracle behind keeps them?
    fn stacks_stay(&self) -> bool {
        !self.differences()
    }

    /// Are derivatives differences of values here, whatever the oracle behind can do? Stacks are then in
    /// memory, and the noise is that of the values.
    fn differences(&self) -> bool {
        false
    }
}

impl<V: View> Oracle for V {
    fn input_dim(&self) -> usize {
        self.inputs()
    }

    fn output_dim(&self) -> usize {
        self.inner().output_dim()
    }

    fn outputs(&mut self, points: &DMatrix<f64>) -> Result<DMatrix<f64>, OracleError> {
        let wanted = Wanted::Outputs(self.inner().output_dim());
        self.ask(Question { points, wanted })?.into_numbers(points.ncols())
    }

    fn parts(&mut self, points: &DMatrix<f64>) -> Result<DMatrix<f64>, OracleError> {
        let wanted = Wanted::Parts(self.inner().output_dim());
        self.ask(Question { points, wanted })?.into_numbers(points.ncols())
    }

    fn mix(&mut self, weights: &DVector<f64>) {
        self.mixed(weights);
    }

    fn team(&self) -> Team {
        self.ranks()
    }

    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        let values = self.ask(Question::values(points))?.into_numbers(points.ncols())?;
        Ok(DVector::from_vec(values.data.into()))
    }

    fn gradients(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: GradientScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        let wanted = Wanted::Gradients(directions, scheme, h);
        self.ask(Question { points: centres, wanted })?.into_numbers(centres.ncols())
    }

    fn hessians(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        let wanted = Wanted::Hessians(directions, scheme, h);
        self.ask(Question { points: centres, wanted })?.into_numbers(centres.ncols())
    }

    fn hessian_stack(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Result<Box<dyn HessianStack>, OracleError> {
        let wanted = Wanted::Stack(directions, scheme, h);
        Ok(self.ask(Question { points: centres, wanted })?.into_stack())
    }

    fn keeps_stacks(&self) -> bool {
        self.stacks_stay() && self.inner().keeps_stacks()
    }

    fn hessian_noise(&self, h: f64) -> Option<f64> {
        if self.differences() { None } else { self.inner().hessian_noise(h) }
    }
}

impl View for Box<dyn Oracle + '_> {
    fn inner(&self) -> &dyn Oracle {
        &**self
    }

    fn inner_mut(&mut self) -> &mut dyn Oracle {
        &mut **self
    }

    fn ask(&mut self, question: Question<'_>) -> Result<Answer, OracleError> {
        question.ask(&mut **self)
    }
}

impl View for &mut (dyn Oracle + '_) {
    fn inner(&self) -> &dyn Oracle {
        &**self
    }

    fn inner_mut(&mut self) -> &mut dyn Oracle {
        &mut **self
    }

    fn ask(&mut self, question: Question<'_>) -> Result<Answer, OracleError> {
        question.ask(&mut **self)
    }
}
