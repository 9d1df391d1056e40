//! From a black box to a certified network.
//!
//! * **The words**: [`settings`], [`evidence`], [`failure`], `context` (what a stage is given), [`error`].
//! * **The stages**, in the order in which they run: `survey` (what f looks like), `first_layer`, `second_layer`,
//!   `scalars`, `fit`, [`verdict`], `blocks` (fit and bound at a cost linear in the parameters).
//! * **The pipelines** over them: `wide` (the default one), `entangled` (near a point), [`shallow`] (one hidden layer);
//!   `run` is what they share, and how each of them ends.

pub(crate) mod blocks;
mod context;
pub mod cost;
pub mod entangled;
pub mod error;
pub mod evidence;
pub mod failure;
pub(crate) mod first_layer;
pub(crate) mod fit;
mod kind;
mod run;
pub(crate) mod scalars;
pub(crate) mod second_layer;
pub mod settings;
pub mod shallow;
pub(crate) mod survey;
mod tolerances;
pub mod verdict;
mod wide;

pub use error::IdentifyError;
pub use evidence::Evidence;
pub use failure::Failure;
pub use kind::identify;
pub use settings::{
    Descent, FirstLayer, FitBy, LocalSampling, Pipeline, Settings, SettingsError, UnknownPipeline,
};
pub use verdict::remedy::Remedy;
pub use verdict::solution::{Solution, Status};
