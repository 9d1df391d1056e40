//! Any command that reads points and writes values, as an oracle.

mod batch;
mod child;
pub mod error;
mod instance;
pub mod protocol;
mod serve;

pub use batch::BatchTrouble;
pub use child::Leash;
pub use serve::{ServeError, serve};

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nalgebra::{DMatrix, DVector};

use self::child::Running;
use self::error::ProcessError;
use self::instance::Instance;
use self::protocol::ProcessFormat;
use super::black_box::Oracle;
use super::deadline::Deadline;
use super::error::OracleError;
use super::mixture::Mixture;

/// How to start and treat an oracle process.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// The command, run through `sh -c` (`cmd /C` on Windows), so that it may have arguments,
    /// quotes, pipes and variables.
    pub command: String,
    /// d, the number of inputs, at least 1.
    pub input_dim: usize,
    /// K, the number of outputs, at least 1. [`new`](Self::new): 1.
    pub output_dim: usize,
    /// How numbers are written on the pipes. [`new`](Self::new): text.
    pub format: ProcessFormat,
    /// Longest silence while answers are due. [`new`](Self::new): 60 s.
    pub timeout: Duration,
    /// How often in its life the oracle may start the command, or each of its copies, again after it has ended
    /// with answers due. [`new`](Self::new): 2.
    pub restarts: usize,
    /// When answers are no longer waited for, whoever is to blame. [`new`](Self::new): never.
    pub deadline: Option<Deadline>,
    /// Points in a batch at most: the command is sent no others before it has answered these. [`new`](Self::new): as many
    /// as there are, one batch after the other.
    pub batch: Option<NonZeroUsize>,
    /// Copies of the command, which share every batch. [`new`](Self::new): 1.
    pub copies: NonZeroUsize,
}

impl ProcessSettings {
    /// `command` for points of dimension `input_dim`, all else as given by default.
    pub fn new(command: impl Into<String>, input_dim: usize) -> Self {
        ProcessSettings {
            command: command.into(),
            input_dim,
            output_dim: 1,
            format: ProcessFormat::default(),
            timeout: Duration::from_secs(60),
            restarts: 2,
            deadline: None,
            batch: None,
            copies: NonZeroUsize::MIN,
        }
    }
}

/// A process that answers values; see [`protocol`] for what it reads and writes.
///
/// Points are sent on while answers come in, so that neither side waits for the other however it
/// buffers. The command runs in a process group of its own, which is killed when the oracle is
/// dropped, after its stdin was closed and it had half a second to end by itself.
///
/// Several [copies](ProcessSettings::copies) of the command share each batch: the first copy answers the first points, the
/// second the next, and so on, in shares that differ by a point at most. The values are in the order of the points, and those of
/// one copy alone, if the command answers a point the same whatever it was asked before.
///
/// # Errors
/// Every error names the cause, see [`ProcessError`], and the copy where there are several. A process that ends too early is
/// restarted, alone, and asked what it has not answered yet; anything else ends it for good, and with it the batch: the other
/// copies are not waited for. After an error the next batch starts the command anew. Values that are not finite are passed on.
pub struct ProcessOracle {
    settings: ProcessSettings,
    copies: Vec<Instance>,
    leash: Leash,
    mixture: Mixture,
}

impl ProcessOracle {
    /// Starts the command. That it can answer shows with the first batch only.
    pub fn spawn(settings: ProcessSettings) -> Result<Self, OracleError> {
        if settings.input_dim == 0 {
            return Err(ProcessError::NoInputs.into());
        }
        if settings.output_dim == 0 {
            return Err(ProcessError::NoOutputs.into());
        }
        let mixture = Mixture::first(settings.output_dim);
        let leash = Leash::default();
        let mut oracle = ProcessOracle { settings, copies: Vec::new(), leash, mixture };
        for copy in 1..=oracle.settings.copies.get() {
            // Those that run already end with the oracle.
            oracle.copies.push(Instance::start(copy, &oracle.settings, &oracle.leash)?);
        }
        Ok(oracle)
    }

    /// Lets another thread kill the process, with all its copies.
    pub fn leash(&self) -> Leash {
        self.leash.clone()
    }

    /// K numbers a point, from as many of the copies as there are points.
    fn answer(&mut self, points: &[f64]) -> Result<Vec<f64>, OracleError> {
        let ProcessOracle { settings, copies, leash, .. } = self;
        let d = settings.input_dim;
        let asked = points.len() / d;
        let busy = copies.len().min(asked);
        if busy < 2 {
            return self.answer_alone(points);
        }
        let failed = AtomicBool::new(false);
        let ask = |copy: &mut Instance, share: &[f64]| {
            let answer = copy.answer(share, settings, leash, &failed);
            if answer.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            answer
        };
        let shares =
            (0..busy).map(|k| &points[d * (asked * k / busy)..d * (asked * (k + 1) / busy)]);
        let answers: Vec<_> = thread::scope(|scope| {
            let started: Vec<_> = copies
                .iter_mut()
                .zip(shares)
                .map(|(copy, share)| scope.spawn(|| ask(copy, share)))
                .collect();
            started
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        });
        // Whoever was stopped was so for an error of another one.
        let answers: Result<Vec<_>, _> = answers.into_iter().collect();
        Ok(answers?.into_iter().flatten().flatten().collect())
    }

    /// K numbers a point, from the first copy.
    fn answer_alone(&mut self, points: &[f64]) -> Result<Vec<f64>, OracleError> {
        let never = AtomicBool::new(false);
        let answer = self.copies[0].answer(points, &self.settings, &self.leash, &never)?;
        Ok(answer.unwrap_or_default())
    }
}

impl Drop for ProcessOracle {
    fn drop(&mut self) {
        Running::end(self.copies.iter_mut().filter_map(Instance::take).collect());
    }
}

impl Oracle for ProcessOracle {
    fn input_dim(&self) -> usize {
        self.settings.input_dim
    }

    fn output_dim(&self) -> usize {
        self.settings.output_dim
    }

    /// # Panics
    /// If `points` does not have d rows.
    fn outputs(&mut self, points: &DMatrix<f64>) -> Result<DMatrix<f64>, OracleError> {
        let (d, outputs) = (self.settings.input_dim, self.settings.output_dim);
        assert_eq!(points.nrows(), d, "points need {d} coordinates");
        Ok(DMatrix::from_vec(outputs, points.ncols(), self.answer(points.as_slice())?))
    }

    fn mix(&mut self, weights: &DVector<f64>) {
        self.mixture.set(weights);
    }

    /// # Panics
    /// If `points` does not have d rows.
    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        let outputs = self.outputs(points)?;
        Ok(self.mixture.of(&outputs))
    }
}
