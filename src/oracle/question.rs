//! What a black box can be asked, as one type: whoever handles a question forgets no kind of it.

use nalgebra::{DMatrix, DVector};

use super::black_box::Oracle;
use super::error::OracleError;
use super::hessian_stack::{HessianStack, HostStack};
use crate::stencil::{self, GradientScheme, HessianScheme};

/// Something wanted of f at points.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    /// The points, or the centres of stencils, as the columns of a d x n matrix.
    pub points: &'q DMatrix<f64>,
    /// What is wanted at each of them.
    pub wanted: Wanted<'q>,
}

/// What may be wanted at a point: a value, or derivatives along the columns of a matrix of directions
/// (d x k), by a scheme, with a step.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'q> {
    /// The value.
    Values,
    /// All of so many outputs, see [`Oracle::outputs`].
    Outputs(usize),
    /// The same as parts of values, see [`Oracle::parts`].
    Parts(usize),
    /// Directional derivatives, see [`Oracle::gradients`].
    Gradients(&'q DMatrix<f64>, GradientScheme, f64),
    /// A Hessian in the coordinates of the directions, see [`Oracle::hessians`].
    Hessians(&'q DMatrix<f64>, HessianScheme, f64),
    /// Hessians as a stack, wherever it is, see [`Oracle::hessian_stack`].
    Stack(&'q DMatrix<f64>, HessianScheme, f64),
}

/// What comes back.
pub enum Answer {
    /// [`rows`](Question::rows) numbers for each point, as the columns of a matrix. They answer the
    /// question for a stack as well: it is then one in memory.
    Numbers(DMatrix<f64>),
    /// A stack.
    Stack(Box<dyn HessianStack>),
}

impl<'q> Question<'q> {
    /// The question for values at the columns of `points`.
    pub fn values(points: &'q DMatrix<f64>) -> Self {
        Question { points, wanted: Wanted::Values }
    }

    /// The directions of derivatives.
    pub fn directions(self) -> Option<&'q DMatrix<f64>> {
        match self.wanted {
            Wanted::Values | Wanted::Outputs(_) | Wanted::Parts(_) => None,
            Wanted::Gradients(directions, ..)
            | Wanted::Hessians(directions, ..)
            | Wanted::Stack(directions, ..) => Some(directions),
        }
    }

    /// The same thing wanted at other points.
    pub fn at<'a>(self, points: &'a DMatrix<f64>) -> Question<'a>
    where
        'q: 'a,
    {
        Question { points, wanted: self.wanted }
    }

    /// The question at other points and along other directions, as many as here; there are none where
    /// values or outputs are wanted.
    pub fn along<'a>(self, points: &'a DMatrix<f64>, directions: &'a DMatrix<f64>) -> Question<'a> {
        let wanted = match self.wanted {
            Wanted::Values => Wanted::Values,
            Wanted::Outputs(count) => Wanted::Outputs(count),
            Wanted::Parts(count) => Wanted::Parts(count),
            Wanted::Gradients(_, scheme, h) => Wanted::Gradients(directions, scheme, h),
            Wanted::Hessians(_, scheme, h) => Wanted::Hessians(directions, scheme, h),
            Wanted::Stack(_, scheme, h) => Wanted::Stack(directions, scheme, h),
        };
        Question { points, wanted }
    }

    /// The question for the Hessians themselves where a stack of them is wanted; any other as it is.
    pub fn in_numbers(self) -> Self {
        let wanted = match self.wanted {
            Wanted::Stack(directions, scheme, h) => Wanted::Hessians(directions, scheme, h),
            other => other,
        };
        Question { points: self.points, wanted }
    }

    /// Numbers that answer it at one point: entries of a stack's Hessian.
    pub fn rows(self) -> usize {
        let k = self.directions().map_or(1, DMatrix::ncols);
        match self.wanted {
            Wanted::Outputs(count) | Wanted::Parts(count) => count,
            Wanted::Values | Wanted::Gradients(..) => k,
            Wanted::Hessians(..) | Wanted::Stack(..) => k * (k + 1) / 2,
        }
    }

    /// Queries that it takes, one a node.
    pub fn queries(self) -> u64 {
        let each = match self.wanted {
            Wanted::Values | Wanted::Outputs(_) | Wanted::Parts(_) => 1,
            Wanted::Gradients(directions, scheme, _) => scheme.queries(directions.ncols()),
            Wanted::Hessians(directions, scheme, _) | Wanted::Stack(directions, scheme, _) => {
                scheme.queries(directions.ncols())
            }
        };
        each * self.points.ncols() as u64
    }

    /// Are all outputs wanted?
    pub fn is_of_outputs(self) -> bool {
        matches!(self.wanted, Wanted::Outputs(_) | Wanted::Parts(_))
    }

    /// Asks an oracle, in the way that it has for this kind of question.
    ///
    /// # Errors
    /// The oracle's.
    pub fn ask(self, oracle: &mut dyn Oracle) -> Result<Answer, OracleError> {
        let x = self.points;
        Ok(match self.wanted {
            Wanted::Values => Answer::of_values(oracle.values(x)?),
            Wanted::Outputs(_) => Answer::Numbers(oracle.outputs(x)?),
            Wanted::Parts(_) => Answer::Numbers(oracle.parts(x)?),
            Wanted::Gradients(v, scheme, h) => Answer::Numbers(oracle.gradients(x, v, scheme, h)?),
            Wanted::Hessians(v, scheme, h) => Answer::Numbers(oracle.hessians(x, v, scheme, h)?),
            Wanted::Stack(v, scheme, h) => Answer::Stack(oracle.hessian_stack(x, v, scheme, h)?),
        })
    }

    /// Answers it by differences of `values`, whatever is wanted. Several outputs are no differences of one
    /// value: a view answers that question itself.
    ///
    /// # Errors
    /// Those of `values`.
    pub fn by_values(
        self,
        values: &mut stencil::Values<'_, OracleError>,
    ) -> Result<Answer, OracleError> {
        let x = self.points;
        Ok(match self.wanted {
            Wanted::Values | Wanted::Outputs(_) | Wanted::Parts(_) => Answer::of_values(values(x)?),
            Wanted::Gradients(v, scheme, h) => {
                Answer::Numbers(stencil::gradients(values, x, v, scheme, h)?)
            }
            Wanted::Hessians(v, scheme, h) | Wanted::Stack(v, scheme, h) => {
                Answer::Numbers(stencil::hessians(values, x, v, scheme, h)?)
            }
        })
    }
}

impl Answer {
    /// Values, as the one row of a matrix.
    pub fn of_values(values: DVector<f64>) -> Self {
        Answer::Numbers(DMatrix::from_vec(1, values.len(), values.data.into()))
    }

    /// The numbers that answer a question at `asked` points for anything but a stack.
    ///
    /// # Errors
    /// [`OracleError::Count`] where a stack was answered instead.
    pub fn into_numbers(self, asked: usize) -> Result<DMatrix<f64>, OracleError> {
        match self {
            Answer::Numbers(numbers) => Ok(numbers),
            Answer::Stack(_) => Err(OracleError::Count { asked, found: 0 }),
        }
    }

    /// The answer as a stack; numbers become one in memory.
    pub fn into_stack(self) -> Box<dyn HessianStack> {
        match self {
            Answer::Numbers(hessians) => Box::new(HostStack::new(hessians)),
            Answer::Stack(stack) => stack,
        }
    }
}
