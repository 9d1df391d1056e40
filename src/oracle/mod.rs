//! The black box: something that answers values of f, and nothing else is known of it.

mod checkpoint;
mod deadline;
pub mod design;
pub mod hessian_stack;
mod meter;
mod network;
pub mod process;
mod recorded;
pub mod views;

use std::time::Duration;

use nalgebra::{DMatrix, DVector};

pub use checkpoint::{Checkpoint, CheckpointError, fingerprint};
pub use deadline::Deadline;
pub use meter::{Found, Meter, Observer, Progress, Silent, StageUse};
pub use network::NetworkOracle;
pub use process::Leash;
pub use process::protocol::ProcessFormat;
pub use process::{ProcessError, ProcessOracle, ProcessSettings, StderrTail};
pub use process::{ServeError, serve};
pub use recorded::{Recorded, Stencils};
pub use views::averaged::Averaged;
pub use views::domain::Domain;

use crate::oracle::hessian_stack::{HessianStack, HostStack};
use crate::stencil::{self, GradientScheme, HessianScheme};

/// Why an oracle gave no answer. Fatal for the run, but for the [limits](OracleError::is_limit), which
/// end it with a result.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// The answer at a finite point was NaN or infinite.
    #[error(
        "the oracle answered {value} at a point of norm {norm:.3e} (coordinates begin {head:?})"
    )]
    NotFinite {
        /// The answer.
        value: f64,
        /// Euclidean norm of the point.
        norm: f64,
        /// Its first coordinates.
        head: Vec<f64>,
    },
    /// The wrong number of answers.
    #[error("the oracle answered {found} values for {asked} points")]
    Count {
        /// Points asked.
        asked: usize,
        /// Values received.
        found: usize,
    },
    /// The next batch would exceed the limit on queries.
    #[error(
        "the limit of {limit} queries is reached: {used} used, {wanted} more wanted by stage `{stage}`"
    )]
    Budget {
        /// The limit.
        limit: u64,
        /// Queries answered so far.
        used: u64,
        /// Size of the batch refused.
        wanted: u64,
        /// The stage that asked.
        stage: String,
    },
    /// The run has taken the time that it was given.
    #[error("the time limit of {} s is reached", .0.as_secs_f64())]
    TimeLimit(Duration),
    /// A query outside the region that may be asked; it was not passed on.
    #[error(
        "a query at distance {norm:.4e} from the centre was refused: only {limit:.4e} may be asked"
    )]
    OutsideDomain {
        /// Distance of the point from the centre of the domain.
        norm: f64,
        /// Radius of the domain.
        limit: f64,
    },
    /// Settings that do not fit the black box, or each other.
    #[error(transparent)]
    Settings(#[from] crate::identify::SettingsError),
    /// The process behind the oracle failed.
    #[error("the oracle process {0}")]
    Process(#[from] ProcessError),
    /// The GPU behind the oracle failed, on a fresh device too.
    #[error(transparent)]
    Gpu(#[from] crate::gpu::GpuError),
    /// The record of earlier answers cannot be used or continued.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl OracleError {
    /// Is it a limit that the run was given, of queries, time or domain, rather than a broken oracle?
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            OracleError::Budget { .. }
                | OracleError::TimeLimit(_)
                | OracleError::OutsideDomain { .. }
        )
    }
}

/// Refuses answers, equally many for each column of `points`, that are not finite. A stencil over a
/// value that is not finite is not finite itself.
fn finite(answers: &[f64], points: &DMatrix<f64>) -> Result<(), OracleError> {
    let Some(k) = answers.iter().position(|v| !v.is_finite()) else { return Ok(()) };
    let point = points.column(k * points.ncols() / answers.len());
    Err(OracleError::NotFinite {
        value: answers[k],
        norm: point.norm(),
        head: point.iter().take(4).copied().collect(),
    })
}

/// A black box f: R^d -> R.
///
/// Only [`values`](Oracle::values) must be given. An oracle that can do better than a stencil of
/// values (a network evaluated on a GPU, say) may override the others; it must answer with the same
/// stencils, and they count as the same number of queries.
pub trait Oracle: Send {
    /// d, the number of inputs.
    fn input_dim(&self) -> usize;

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
        stencil::gradients(&mut |x| self.values(x), centres, directions, scheme, h)
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
        stencil::hessians(&mut |x| self.values(x), centres, directions, scheme, h)
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

    /// Relative error (Frobenius norm) that the arithmetic of [`hessians`](Oracle::hessians) with step
    /// `h` along unit vectors leaves in a Hessian, if it does not difference
    /// [`values`](Oracle::values). `None`: it does, and the noise is that of the values over h^2.
    fn hessian_noise(&self, h: f64) -> Option<f64> {
        let _ = h;
        None
    }
}
