//! Experiments: sweeps over random networks, and what they show.
//!
//! A [`Plan`] spans a grid of [`Cell`]s; every cell is run with every seed ([`sweep()`]), every run is a
//! line of `runs.jsonl` ([`Record`]) as soon as it ends, and what is there is not run again. A
//! [`Summary`] counts the runs by cell; [`plot`] draws it.
//!
//! The truth is used here, beside the run and never by it: a study verifies.

mod black_box;
mod cell;
mod deviant;
mod deviation;
mod grid;
mod hardness;
mod insert;
mod instance;
mod judge;
mod kinds;
mod plan;
pub mod plot;
mod precision;
mod record;
mod run;
pub mod samples;
pub mod scale;
pub mod shallow_baseline;
mod shard;
mod single;
mod spread;
mod summary;
mod sweep;
mod witness;

pub use black_box::BlackBox;
pub use cell::{Axis, Cell, LinkTold};
pub use deviant::Deviant;
pub use deviation::{Deviating, Deviation};
pub use grid::Grid;
pub use hardness::Hardness;
pub use insert::{InsertError, check_insert, insert};
pub use instance::{Hidden, Instance};
pub use judge::{Judgement, WRONG, judge};
pub use plan::{Plan, PlanError, axes};
pub use precision::Precision;
pub use record::{Ending, Key, Record, RecordError, Store, Stored, load};
pub use run::run;
pub use shard::{Shard, ShardError, UnknownShard, merge};
pub use spread::Spread;
pub use summary::{CellSummary, Interval, SCHEMA, Summary, SummaryError};
pub use sweep::{SweepError, sweep};
