//! Sweeps of fits to samples: a plan of its own kind, `kind = "samples"`.
//!
//! A run draws a network without shifts and samples of it, fits them by one of the [`Method`]s, and compares with the truth; the
//! baselines and `identify` are run on the same instances. A line of `runs.jsonl` is a run, and none is done twice.

mod picture;
mod plan;
mod records;
mod run;
mod tables;

pub use picture::save;
pub use plan::{Cell, Count, Method, Plan, Shows, Spoilt};
pub use records::{Record, is_of, load};
pub use run::run;
pub use tables::tables;
