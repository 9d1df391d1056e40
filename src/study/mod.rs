//! Experiments: sweeps over random networks, and what they show.
//!
//! A [`Plan`] spans a grid of [`Cell`]s; every cell is run with every seed ([`sweep()`]), every run is a
//! line of `runs.jsonl` ([`Record`]) as soon as it ends, and what is there is not run again. A
//! [`Summary`] counts the runs by cell; [`plot`] draws it.
//!
//! The truth is used here, beside the run and never by it: a study verifies.

mod black_box;
mod cell;
mod plan;
pub mod plot;
mod record;
mod run;
mod summary;
mod sweep;
mod witness;

pub use black_box::BlackBox;
pub use cell::{Axis, Cell, Precision};
pub use plan::{Grid, Plan, PlanError, axes};
pub use record::{Ending, Key, Record, RecordError, Store, Stored, load};
pub use run::{WRONG, run};
pub use summary::{CellSummary, Interval, SCHEMA, Summary, SummaryError};
pub use sweep::{SweepError, sweep};
