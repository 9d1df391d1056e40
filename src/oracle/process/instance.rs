//! One copy of the command: a child that is asked, and started again when it has ended too early.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::ProcessSettings;
use super::child::{Event, Leash, Running};
use super::error::{ProcessError, StderrTail};
use super::protocol::{Decoder, Malformed, encode_points, points_per_request};
use crate::oracle::deadline::Deadline;
use crate::oracle::error::OracleError;

/// Requests under way to the child: one that it reads, one that is ready. Bounds the memory of
/// points in flight to a few MiB.
const IN_FLIGHT: usize = 2;
/// How often a copy that waits looks whether another one has failed.
const GLANCE: Duration = Duration::from_millis(50);

/// One copy of the command.
pub(super) struct Instance {
    /// Its place among the copies, from 1.
    copy: usize,
    running: Option<Session>,
    starts: usize,
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
    /// Nobody wants the answers any more.
    Unwanted,
}

impl Instance {
    /// Starts the command, on the leash.
    pub(super) fn start(
        copy: usize,
        settings: &ProcessSettings,
        leash: &Leash,
    ) -> Result<Self, ProcessError> {
        let mut instance = Instance { copy, running: None, starts: 0 };
        instance.running = Some(instance.session(settings, leash)?);
        Ok(instance)
    }

    fn session(
        &mut self,
        settings: &ProcessSettings,
        leash: &Leash,
    ) -> Result<Session, ProcessError> {
        let command = &settings.command;
        let child = Running::start(command, leash)
            .map_err(|source| ProcessError::Start { command: command.clone(), source })?;
        self.starts += 1;
        let decoder = Decoder::new(settings.format, settings.output_dim);
        Ok(Session { child, decoder, in_flight: 0 })
    }

    /// The child, to be ended by whoever takes it.
    pub(super) fn take(&mut self) -> Option<Running> {
        self.running.take().map(|session| session.child)
    }

    /// K numbers a point; `None` where `unwanted` came true before all had been answered.
    pub(super) fn answer(
        &mut self,
        points: &[f64],
        settings: &ProcessSettings,
        leash: &Leash,
        unwanted: &AtomicBool,
    ) -> Result<Option<Vec<f64>>, OracleError> {
        let outputs = settings.output_dim;
        let asked = points.len() / settings.input_dim;
        let mut values = Vec::with_capacity(asked * outputs);
        loop {
            let mut session = match self.running.take() {
                Some(session) => session,
                None => self.session(settings, leash)?,
            };
            let Err(over) = session.ask(points, settings, unwanted, &mut values) else {
                self.running = Some(session);
                return Ok(Some(values));
            };
            let answered = values.len() / outputs;
            // A point that was answered in part is asked again.
            values.truncate(answered * outputs);
            let error = match over {
                Over::Ended => self.ended(session, answered, asked),
                Over::Silent => ProcessError::TimeOut {
                    timeout: settings.timeout,
                    answered,
                    asked,
                    stderr: StderrTail(session.child.abort()),
                },
                Over::Late(deadline) => {
                    session.child.abort();
                    return Err(deadline.error());
                }
                // What it still says would be taken for answers to the next batch.
                Over::Unwanted => {
                    session.child.abort();
                    return Ok(None);
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
            let error = self.named(error, settings);
            if !again || self.starts > settings.restarts || leash.is_cut() {
                return Err(error.into());
            }
            tracing::warn!("the oracle process {error}; it is started again");
        }
    }

    /// The error, with the copy's place where there are several.
    fn named(&self, error: ProcessError, settings: &ProcessSettings) -> ProcessError {
        let (copy, copies) = (self.copy, settings.copies.get());
        if copies == 1 {
            error
        } else {
            ProcessError::Copy { copy, copies, source: Box::new(error) }
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
        unwanted: &AtomicBool,
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
            if unwanted.load(Ordering::Relaxed) {
                return Err(Over::Unwanted);
            }
            let event = match (self.child.event(until.min(Instant::now() + GLANCE)), late) {
                (_, Some(end)) if end.passed() => return Err(Over::Late(end)),
                (None, _) if Instant::now() < until => continue,
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
