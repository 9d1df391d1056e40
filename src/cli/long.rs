//! Options for runs that take long: a limit on time, and a checkpoint to go on from.

use std::path::PathBuf;
use std::time::Duration;

use crate::oracle::{Checkpoint, CheckpointError, Deadline};
use clap::Args;
use serde_json::{Map, Value};

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

    /// Seconds that the run may take.
    pub fn time_limit(&self) -> Option<f64> {
        self.time_limit.map(|limit| limit.as_secs_f64())
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
