//! The trait: what is known of a black box.

use nalgebra::{DMatrix, DVector};

use super::error::{OracleError, counted};
use super::hessian_stack::{HessianStack, HostStack};
use crate::ranks::Team;
use crate::stencil::{self, GradientScheme, HessianScheme};

/// A black box f: R^d -> R^K, most often with K = 1.
///
/// Values and derivatives are numbers: those of the one output, or of a [mixture](Oracle::mix) of several. Only
/// [`values`](Oracle::values) must be given, and where K > 1 [`output_dim`](Oracle::output_dim),
/// [`outputs`](Oracle::outputs) and [`mix`](Oracle::mix). An oracle that can do better than a stencil of
/// values (a network evaluated on a GPU, say) may override the others; it must answer with the same
/// stencils, and they count as the same number of queries. One that stands before another oracle is a
/// [`View`](super::View), one that is a closure an [`FnOracle`](super::FnOracle).
pub trait Oracle: Send {
    /// d, the number of inputs.
    fn input_dim(&self) -> usize;

    /// K, the number of outputs.
    fn output_dim(&self) -> usize {
        1
    }

    /// All outputs at the columns of `points` (d x n), in order: K x n. A point is one query, as many
    /// outputs as it may have.
    fn outputs(&mut self, points: &DMatrix<f64>) -> Result<DMatrix<f64>, OracleError> {
        let values = counted(self.values(points)?, points)?;
        Ok(DMatrix::from_vec(1, values.len(), values.data.into()))
    }

    /// The same where their mixture is wanted: an answer that would be refused as part of a value is refused.
    fn parts(&mut self, points: &DMatrix<f64>) -> Result<DMatrix<f64>, OracleError> {
        self.outputs(points)
    }

    /// From now on values and derivatives are those of sum_k w_k f_k, with the K `weights` w; until it is
    /// said they are those of the first output. An only output is never mixed: the weight of a
    /// black box with K = 1 has no effect.
    ///
    /// # Panics
    /// May do so unless there is a weight for each output.
    fn mix(&mut self, weights: &DVector<f64>) {
        let _ = weights;
    }

    /// The ranks that ask this black box together, all the same: what they compute from its answers they may share as well.
    fn team(&self) -> Team {
        Team::alone()
    }

    /// Values at the columns of `points` (d x n), in order.
    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError>;

    /// Gradients along the columns of `directions` (d x k) at the columns of `centres` (d x n):
    /// a k x n matrix of directional derivatives with step `h`.
    fn gradients(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: GradientScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        stencil::gradients(&mut |x| counted(self.values(x)?, x), centres, directions, scheme, h)
    }

    /// Hessians in the coordinates of `directions` (d x k) at the columns of `centres` (d x n), step
    /// `h`: svec's as the columns of a k(k+1)/2 x n matrix, see [`crate::algebra::svec::svec`].
    fn hessians(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Result<DMatrix<f64>, OracleError> {
        stencil::hessians(&mut |x| counted(self.values(x)?, x), centres, directions, scheme, h)
    }

    /// The Hessians of [`hessians`](Oracle::hessians) as a stack, in memory or wherever the oracle has
    /// room for it.
    fn hessian_stack(
        &mut self,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Result<Box<dyn HessianStack>, OracleError> {
        Ok(Box::new(HostStack::new(self.hessians(centres, directions, scheme, h)?)))
    }

    /// Does [`hessian_stack`](Oracle::hessian_stack) keep the Hessians elsewhere than in this memory, on a
    /// device for instance, so that they should not be brought here without need?
    fn keeps_stacks(&self) -> bool {
        false
    }

    /// Relative error (Frobenius norm) that the arithmetic of [`hessians`](Oracle::hessians) with step
    /// `h` along unit vectors leaves in a Hessian, if it does not difference
    /// [`values`](Oracle::values). `None`: it does, and the noise is that of the values over h^2.
    fn hessian_noise(&self, h: f64) -> Option<f64> {
        let _ = h;
        None
    }
}
