//! From a black box to a certified network.
//!
//! * **The words**: [`settings`], [`evidence`], [`failure`], `context` (what a stage is given), [`error`].
//! * **The stages**, in the order in which they run: `survey` (what f looks like), `first_layer`, `second_layer`,
//!   `scalars`, `fit`, [`verdict`], `blocks` (fit and bound at a cost linear in the parameters).
//! * **The pipelines** over them: `wide` (the default one), `entangled` (near a point), [`shallow`] (one hidden layer);
//!   `run` is what they share, and how each of them ends.

pub(crate) mod blocks;
mod context;
pub mod entangled;
pub mod error;
pub mod evidence;
pub mod failure;
pub(crate) mod first_layer;
pub(crate) mod fit;
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
pub use settings::{
    Descent, FirstLayer, FitBy, LocalSampling, Pipeline, Settings, SettingsError, UnknownPipeline,
};
pub use shallow::identify as identify_shallow;
pub use verdict::remedy::Remedy;
pub use verdict::solution::{Solution, Status};

use crate::oracle::{Observer, Oracle};
use crate::stage::Stage;

/// Identifies the network of two hidden layers behind `oracle` from values alone.
///
/// # Errors
/// Only if the oracle fails (an answer that is not finite, a dead process) or the settings are not
/// [valid](Settings::validate) for two hidden layers. The limit on queries, the end of the domain and every failure to
/// identify are results.
pub fn identify(
    oracle: &mut dyn Oracle,
    settings: &Settings,
    observer: &mut dyn Observer,
) -> Result<Solution, IdentifyError> {
    settings.validate(oracle.input_dim(), 2)?;
    let solution = run::in_domain(oracle, settings, |oracle| {
        let stages = match settings.pipeline {
            Pipeline::Wide => Stage::WIDE,
            Pipeline::Entangled | Pipeline::Published => Stage::ENTANGLED,
        };
        let mut run = run::Run::new(oracle, observer, settings, stages);
        let outcome = match (run.mix(), settings.pipeline) {
            (Err(halt), _) => run.settle(Err(halt)),
            (Ok(()), Pipeline::Wide) => wide::identify(&mut run),
            (Ok(()), _) => entangled::identify(&mut run),
        }?;
        run.solution(outcome)
    })?;
    Ok(solution)
}
