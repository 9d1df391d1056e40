//! Options for runs that take long: a limit on time, and a checkpoint to go on from.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use disentangle::identify::{LocalSampling, Settings};
use disentangle::oracle::{Checkpoint, CheckpointError, Deadline};
use serde_json::{Map, Value, json};

/// How long a run may take, and where it is kept.
#[derive(Args, Debug)]
pub struct LongOptions {
    /// Keep all answers in this folder. The same run begun again, however it was cut off, goes on from
    /// there to the same result and asks nothing twice
    #[arg(long, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
    /// Go on from a checkpoint that must be there
    #[arg(long, requires = "checkpoint")]
    resume: bool,
    /// End after this time with what is known then
    #[arg(long, value_name = "SECONDS", value_parser = super::seconds)]
    time_limit: Option<Duration>,
}

impl LongOptions {
    /// The end of the time, counted from now.
    pub fn deadline(&self) -> Option<Deadline> {
        self.time_limit.map(Deadline::after)
    }

    /// Opens the checkpoint of the run that `run` describes, if one is wanted.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn open(&self, run: &Map<String, Value>) -> Result<Option<Checkpoint>, CheckpointError> {
        let folder = self.checkpoint.as_deref();
        folder.map(|folder| Checkpoint::open(folder, run, self.resume)).transpose()
    }
}

/// All that the questions of a run depend on. The limits on queries and time do not belong to it: a
/// run that has reached one may go on with another.
pub fn describe(settings: &Settings, oracle: &str, input_dim: usize) -> Map<String, Value> {
    let Settings {
        seed,
        depth,
        link,
        pipeline,
        first_layer,
        fit,
        activation,
        second_activation,
        ascent,
        max_queries: _,
        widths,
        width,
        attempts,
        tolerance,
        local: LocalSampling { centre, radius, design, hessians, descent },
        domain_radius,
        deadline: _,
    } = settings;
    let pairs = [
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("oracle", json!(oracle)),
        ("number of inputs", json!(input_dim)),
        ("depth", json!(depth)),
        ("link", json!(link.map(|link| link.to_string()))),
        ("seed", json!(seed)),
        ("pipeline", json!(pipeline)),
        ("first layer", json!(first_layer)),
        ("fit", json!(fit)),
        ("activation", json!([activation, second_activation])),
        ("ascent", json!(ascent.unwrap_or_default())),
        ("widths", json!((widths, width))),
        ("attempts", json!(attempts)),
        ("tolerance", json!(tolerance)),
        ("center", json!(centre.as_ref().map(|centre| centre.as_slice()))),
        ("radius", json!(radius)),
        ("design", json!(format!("{:?}", design.unwrap_or_default()))),
        ("hessians", json!(hessians)),
        ("descent", json!(format!("{:?}", descent.unwrap_or_default()))),
        ("domain radius", json!(domain_radius)),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
