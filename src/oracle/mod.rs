//! The black box: something that answers values of f, and nothing else is known of it.
//!
//! * [`Oracle`], [`OracleError`]: what it is, and why it may give no answer.
//! * [`Question`], [`View`]: all that it can be asked, and how one oracle stands before another.
//! * [`NetworkOracle`], [`CpuOracle`], [`FnOracle`], [`ProcessOracle`]: who answers.
//! * [`Meter`], [`Recorded`], [`Domain`], [`Averaged`], [`Linked`], [`Shared`]: what stands before them.

mod backend;
mod black_box;
mod checkpoint;
mod clock;
mod cpu;
mod deadline;
pub mod design;
mod error;
mod function;
pub mod hessian_stack;
mod log;
mod meter;
mod mixture;
mod network;
pub mod process;
mod question;
mod recorded;
#[cfg(test)]
mod suite;
mod view;
pub mod views;

pub use backend::{Backend, BackendRecord, Precision};
pub use black_box::Oracle;
pub use checkpoint::{Checkpoint, CheckpointError, fingerprint};
pub use clock::Clock;
pub use cpu::{CpuOracle, PrecisionRefused};
pub use deadline::Deadline;
pub use error::OracleError;
pub use function::FnOracle;
pub(crate) use meter::Kept;
pub use meter::{Found, Meter, Observer, Progress, Silent, StageUse};
pub(crate) use mixture::Mixture;
pub use network::NetworkOracle;
pub use process::error::{ProcessError, StderrTail};
pub use process::protocol::ProcessFormat;
pub use process::{BatchTrouble, Leash, ProcessOracle, ProcessSettings};
pub use process::{ServeError, serve};
pub use question::{Answer, Question, Wanted};
pub use recorded::{Recorded, Stencils};
pub use view::View;
pub use views::averaged::Averaged;
pub use views::domain::Domain;
pub use views::linked::Linked;
pub use views::shared::Shared;
