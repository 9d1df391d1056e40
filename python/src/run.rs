//! `identify`: a run, and Python that answers it.

use std::panic::resume_unwind;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use disentangle::Report;
use disentangle::identify::{Settings, Solution, Status};
use disentangle::nalgebra::DMatrix;
use disentangle::oracle::{BackendRecord, Checkpoint, Progress};
use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray2};
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors;
use crate::network::Network;
use crate::remedy::in_keywords;
use crate::settings::Keywords;
use crate::worker::{Event, Worker};

/// Signals are looked for this often.
const TICK: Duration = Duration::from_millis(50);
/// What a run that notices the end of its time may take to stop.
const LATE: Duration = Duration::from_millis(400);

/// What Python brings to a run.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Black<'py> {
    /// Float64 points (n, d) to float64 outputs (n, K), checked.
    ask: Bound<'py, PyAny>,
    /// d and K.
    dims: (usize, usize),
    /// Values at a few points, always the same.
    probe: Vec<f64>,
    /// Is shown how far the run is: `show(stage, number, stages, queries, total, left)` and `note(text)`.
    progress: Option<Bound<'py, PyAny>>,
    /// For the report.
    arguments: Vec<String>,
}

/// Refuses settings that no run on so many inputs can have, before f is asked for anything.
#[pyfunction]
pub fn check(input_dim: usize, options: &Bound<'_, PyDict>) -> PyResult<()> {
    let keywords = Keywords(options);
    keywords.checkpoint()?;
    keywords.settings()?.depths(input_dim).map(drop).map_err(errors::value)
}

/// Identifies: the report in JSON, the network if there is one, and the seconds that Python took to answer.
#[pyfunction]
pub fn identify<'py>(
    py: Python<'py>,
    black_box: Black<'py>,
    options: &Bound<'py, PyDict>,
) -> PyResult<(String, Option<Network>, f64)> {
    let keywords = Keywords(options);
    let settings = keywords.settings()?;
    let checkpoint = checkpoint(&keywords, &settings, &black_box)?;
    let worker = Worker::start(settings.clone(), black_box.dims, checkpoint);
    let worker = worker.map_err(|error| PyOSError::new_err(error.to_string()))?;
    let mut run = Run { py, black_box, worker, answering: Duration::ZERO, shown: None };
    let ended = run.attend(&settings);
    if !matches!(ended, Ok(Some(_))) {
        let worker = &mut run.worker;
        py.detach(|| worker.stop());
    }
    let (solution, report) = match ended? {
        Some(solution) => {
            let report = run.report(&solution, &settings);
            (solution, report)
        }
        None => {
            let limit = settings.deadline.map(|deadline| deadline.error().to_string());
            let reason = format!("{}: {}", run.worker.tally.stage(), limit.unwrap_or_default());
            let solution = Solution::unfinished(reason, &settings);
            let mut report = run.report(&solution, &settings);
            run.worker.tally.fill(&mut report);
            (solution, report)
        }
    };
    let network = solution.network.filter(|_| solution.status != Status::NotIdentified);
    let report = serde_json::to_string(&report).map_err(errors::value)?;
    Ok((report, network.map(Network), run.answering.as_secs_f64()))
}

/// Opens the checkpoint that is wanted, if it is of this run and this function.
fn checkpoint(
    keywords: &Keywords<'_, '_>,
    settings: &Settings,
    black_box: &Black<'_>,
) -> PyResult<Option<Checkpoint>> {
    let Some((folder, must_exist)) = keywords.checkpoint()? else { return Ok(None) };
    let (inputs, outputs) = black_box.dims;
    let run = settings.describe(&format!("a Python function of {outputs} outputs"), inputs);
    let checkpoint =
        Checkpoint::open(&folder, &run, must_exist).map_err(|error| errors::checkpoint(&error))?;
    crate::probe::check(&folder, &black_box.probe, checkpoint.left() > 0)?;
    Ok(Some(checkpoint))
}

/// A run, seen from the thread that called it.
struct Run<'py> {
    py: Python<'py>,
    black_box: Black<'py>,
    worker: Worker,
    /// How long Python took to answer.
    answering: Duration,
    shown: Option<Progress>,
}

impl Run<'_> {
    /// Answers the run until it has ended; `None` where it did not end in time.
    fn attend(&mut self, settings: &Settings) -> PyResult<Option<Solution>> {
        loop {
            let worker = &mut self.worker;
            let event = self.py.detach(|| worker.next(TICK));
            self.py.check_signals()?;
            match event {
                Ok(Event::Question(points)) => {
                    let begun = Instant::now();
                    let outputs = self.outputs(&points)?;
                    self.answering += begun.elapsed();
                    self.worker.answer(outputs);
                }
                Ok(Event::Progress(progress)) => {
                    self.shown = Some(progress);
                    self.show()?;
                }
                Ok(Event::Note(text)) => self.note(&text)?,
                Ok(Event::Ended(ended)) => match *ended {
                    Ok(ended) => return ended.map(Some).map_err(|error| errors::identify(&error)),
                    Err(panic) => resume_unwind(panic),
                },
                Err(RecvTimeoutError::Timeout) => self.show()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(PyRuntimeError::new_err("the run has vanished"));
                }
            }
            if settings.deadline.is_some_and(|deadline| Instant::now() > deadline.at() + LATE) {
                return Ok(None);
            }
        }
    }

    /// Asks Python.
    fn outputs(&self, points: &DMatrix<f64>) -> PyResult<DMatrix<f64>> {
        let (d, n) = points.shape();
        let (_, outputs) = self.black_box.dims;
        // A column a point is a row a point in row-major order.
        let rows = PyArray1::from_slice(self.py, points.as_slice()).reshape([n, d])?;
        let answer: PyReadonlyArray2<'_, f64> = self.black_box.ask.call1((rows,))?.extract()?;
        Ok(DMatrix::from_column_slice(outputs, n, answer.as_slice()?))
    }

    fn show(&self) -> PyResult<()> {
        let (Some(display), Some(shown)) = (&self.black_box.progress, self.shown) else {
            return Ok(());
        };
        let left = self.worker.left().map(|left| left.as_secs_f64());
        let (stage, queries) = (shown.stage.to_string(), shown.stage_queries);
        display.call_method1(
            "show",
            (stage, shown.stage_number, shown.stages, queries, shown.total_queries, left),
        )?;
        Ok(())
    }

    fn note(&self, text: &str) -> PyResult<()> {
        if let Some(display) = &self.black_box.progress {
            display.call_method1("note", (text,))?;
        }
        Ok(())
    }

    /// The report, whose remedy names keyword arguments.
    fn report(&self, solution: &Solution, settings: &Settings) -> Report {
        let remedy = solution.remedy.map(|remedy| in_keywords(remedy).to_owned());
        let arguments = self.black_box.arguments.clone();
        Report { remedy, ..Report::new(solution, settings, BackendRecord::cpu(), arguments) }
    }
}
