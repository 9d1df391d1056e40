//! Any command that reads points and writes values, as an oracle.

mod batch;
mod child;
pub mod error;
pub mod protocol;
mod serve;

pub use batch::BatchTrouble;
pub use child::Leash;
pub use serve::{ServeError, serve};

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use nalgebra::{DMatrix, DVector};

use self::child::{Event, Running};
use self::error::{ProcessError, StderrTail};
use self::protocol::{Decoder, Malformed, ProcessFormat, encode_points, points_per_request};
use super::black_box::Oracle;
use super::deadline::Deadline;
use super::error::OracleError;
use super::mixture::Mixture;

/// Requests under way to the child: one that it reads, one that is ready. Bounds the memory of
/// points in flight to a few MiB.
const IN_FLIGHT: usize = 2;

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
    /// How often in its life the oracle may start the command again after it has ended with answers
    /// due. [`new`](Self::new): 2.
    pub restarts: usize,
    /// When answers are no longer waited for, whoever is to blame. [`new`](Self::new): never.
    pub deadline: Option<Deadline>,
    /// Points in a batch at most: the command is sent no others before it has answered these. [`new`](Self::new): as many
    /// as there are, one batch after the other.
    pub batch: Option<NonZeroUsize>,
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
        }
    }
}

/// A process that answers values; see [`protocol`] for what it reads and writes.
///
/// Points are sent on while answers come in, so that neither side waits for the other however it
/// buffers. The command runs in a process group of its own, which is killed when the oracle is
/// dropped, after its stdin was closed and it had half a second to end by itself.
///
/// # Errors
/// Every error names the cause, see [`ProcessError`]. A process that ends too early is restarted and
/// asked what it has not answered yet; anything else ends it for good. After an error the next batch
/// starts the command anew. Values that are not finite are passed on.
pub struct ProcessOracle {
    settings: ProcessSettings,
    running: Option<Session>,
    starts: usize,
    leash: Leash,
    mixture: Mixture,
}

/// A running child and what is under way to and from it.
struct Session {
    child: Running,
    decoder: Decoder,
    in_flight: usize,
}

/// Why a session is over.
enum Over {
    /// It may be tried again: the child has ended.
    Ended,
    Silent,
    Late(Deadline),
    Malformed(Malformed),
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
        let mut oracle = ProcessOracle { settings, running: None, starts: 0, leash, mixture };
        oracle.running = Some(oracle.start()?);
        Ok(oracle)
    }

    /// Lets another thread kill the process.
    pub fn leash(&self) -> Leash {
        self.leash.clone()
    }

    fn start(&mut self) -> Result<Session, ProcessError> {
        let command = &self.settings.command;
        let child = Running::start(command, &self.leash)
            .map_err(|source| ProcessError::Start { command: command.clone(), source })?;
        self.starts += 1;
        let decoder = Decoder::new(self.settings.format, self.settings.output_dim);
        Ok(Session { child, decoder, in_flight: 0 })
    }

    /// K numbers a point.
    fn answer(&mut self, points: &[f64]) -> Result<Vec<f64>, OracleError> {
        let outputs = self.settings.output_dim;
        let asked = points.len() / self.settings.input_dim;
        let mut values = Vec::with_capacity(asked * outputs);
        loop {
            let mut session = match self.running.take() {
                Some(session) => session,
                None => self.start()?,
            };
            let Err(over) = session.ask(points, &self.settings, &mut values) else {
                self.running = Some(session);
                return Ok(values);
            };
            let answered = values.len() / outputs;
            // A point that was answered in part is asked again.
            values.truncate(answered * outputs);
            let error = match over {
                Over::Ended => self.ended(session, answered, asked),
                Over::Silent => ProcessError::TimeOut {
                    timeout: self.settings.timeout,
                    answered,
                    asked,
                    stderr: StderrTail(session.child.abort()),
                },
                Over::Late(deadline) => {
                    session.child.abort();
                    return Err(deadline.error());
                }
                Over::Malformed(Malformed::Number(found)) => ProcessError::NotANumber {
                    found,
                    point: answered + 1,
                    outputs,
                    stderr: StderrTail(session.child.abort()),
                },
                Over::Malformed(Malformed::Outputs(found)) => ProcessError::Outputs {
                    found,
                    due: outputs,
                    point: answered + 1,
                    stderr: StderrTail(session.child.abort()),
                },
                Over::Malformed(Malformed::Endless) => ProcessError::Endless,
                Over::Malformed(Malformed::Frame { asked, found }) => {
                    ProcessError::Frame { asked, found, outputs }
                }
                Over::Malformed(Malformed::Excess(found)) => ProcessError::Excess(found),
            };
            let again = matches!(error, ProcessError::Ended { .. });
            if !again || self.starts > self.settings.restarts || self.leash.is_cut() {
                return Err(error.into());
            }
            tracing::warn!("the oracle process {error}; it is started again");
        }
    }

    fn ended(&self, session: Session, answered: usize, asked: usize) -> ProcessError {
        let (status, stderr) = session.child.finish();
        let status = match status {
            Some(status) => format!("ended ({status})"),
            None => "closed its output".to_owned(),
        };
        let starts = self.starts;
        ProcessError::Ended { status, answered, asked, starts, stderr: StderrTail(stderr) }
    }
}

impl Session {
    /// Asks for the values not yet in `values` and appends them in order.
    fn ask(
        &mut self,
        points: &[f64],
        settings: &ProcessSettings,
        values: &mut Vec<f64>,
    ) -> Result<(), Over> {
        let (d, outputs) = (settings.input_dim, settings.output_dim);
        let due = points.len() / d * outputs;
        // Events from before the batch first: output would be taken for an answer afterwards.
        while let Some(event) = self.child.event(Instant::now()) {
            self.receive(event, values)?;
        }
        let most = settings.batch.map_or(usize::MAX, NonZeroUsize::get).min(points_per_request(d));
        let mut requests = points[d * (values.len() / outputs)..].chunks(d * most);
        let mut deadline = Instant::now() + settings.timeout;
        while values.len() < due {
            while self.in_flight < IN_FLIGHT
                && (settings.batch.is_none() || self.decoder.is_idle())
                && let Some(request) = requests.next()
            {
                self.decoder.expect(request.len() / d);
                self.child.send(encode_points(settings.format, request, d));
                self.in_flight += 1;
            }
            let late = settings.deadline.filter(|end| end.at() < deadline);
            let until = late.map_or(deadline, |end| end.at());
            let event = match (self.child.event(until), late) {
                (_, Some(end)) if end.passed() => return Err(Over::Late(end)),
                (None, _) => return Err(Over::Silent),
                (Some(event), _) => event,
            };
            if matches!(event, Event::Output(_)) {
                deadline = Instant::now() + settings.timeout;
            }
            self.receive(event, values)?;
        }
        Ok(())
    }

    fn receive(&mut self, event: Event, values: &mut Vec<f64>) -> Result<(), Over> {
        match event {
            Event::Written => self.in_flight -= 1,
            Event::Output(bytes) => {
                self.decoder.decode(&bytes, values).map_err(Over::Malformed)?;
            }
            Event::End => return Err(Over::Ended),
        }
        Ok(())
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
