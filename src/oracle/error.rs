//! Why a black box gave no answer.

use std::error::Error;
use std::time::Duration;

use nalgebra::{DMatrix, DVector};

use super::checkpoint::CheckpointError;
use super::process::error::ProcessError;
use crate::network::OffRange;
use crate::stage::Stage;

/// Why an oracle gave no answer. Fatal for the run, but for the [limits](OracleError::is_limit), which
/// end it with a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    #[error("the oracle answered {found} values where {asked} are due")]
    Count {
        /// Values asked for.
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
        stage: Stage,
    },
    /// The run has taken the time that it was given.
    #[error("the time limit of {} s is reached", .0.as_secs_f64())]
    TimeLimit(Duration),
    /// The run was told to end, by whoever watches it.
    #[error("the run was told to end")]
    Stopped,
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
    /// An answer that the [`Link`](crate::network::Link) supposed cannot have given.
    #[error(
        "the outputs cannot be undone: {off} at a point of norm {norm:.3e} (coordinates begin {head:?}); \
         another link or another range may be right, or the values are rounded"
    )]
    Link {
        /// The answer.
        off: OffRange,
        /// Euclidean norm of the point.
        norm: f64,
        /// Its first coordinates.
        head: Vec<f64>,
    },
    /// The process behind the oracle failed.
    #[error("the oracle process {0}")]
    Process(#[from] ProcessError),
    /// What computes the oracle's answers, a GPU for instance, failed beyond repair.
    #[error(transparent)]
    Backend(Box<dyn Error + Send + Sync>),
    /// A rank of a run on several failed; all of them end with it.
    #[error("rank {rank}: {reason}")]
    Rank {
        /// Which, from 0.
        rank: usize,
        /// Why.
        reason: String,
    },
    /// The record of earlier answers cannot be used or continued.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl OracleError {
    /// Is it a limit that the run was given, of queries, time or domain, or a link that rounding has lost the outputs in, rather
    /// than a broken oracle?
    pub fn is_limit(&self) -> bool {
        match self {
            OracleError::Budget { .. }
            | OracleError::TimeLimit(_)
            | OracleError::OutsideDomain { .. } => true,
            OracleError::Link { off, .. } => off.is_at_the_edge(),
            _ => false,
        }
    }
}

/// Refuses more or fewer values than `points` has columns.
pub(super) fn counted(
    values: DVector<f64>,
    points: &DMatrix<f64>,
) -> Result<DVector<f64>, OracleError> {
    let (asked, found) = (points.ncols(), values.len());
    if asked == found { Ok(values) } else { Err(OracleError::Count { asked, found }) }
}

/// Refuses outputs of other numbers than `count` for each of the columns of `points`.
pub(super) fn counted_outputs(
    outputs: DMatrix<f64>,
    count: usize,
    points: &DMatrix<f64>,
) -> Result<DMatrix<f64>, OracleError> {
    let (asked, found) = (count * points.ncols(), outputs.len());
    if asked == found && outputs.nrows() == count {
        return Ok(outputs);
    }
    Err(OracleError::Count { asked, found })
}

/// Refuses answers, equally many for each column of `points`, that are not finite. A stencil over a
/// value that is not finite is not finite itself.
pub(super) fn finite(answers: &[f64], points: &DMatrix<f64>) -> Result<(), OracleError> {
    let Some(k) = answers.iter().position(|v| !v.is_finite()) else { return Ok(()) };
    let point = points.column(k * points.ncols() / answers.len());
    Err(OracleError::NotFinite {
        value: answers[k],
        norm: point.norm(),
        head: point.iter().take(4).copied().collect(),
    })
}
