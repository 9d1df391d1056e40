//! `fit`: a network from samples, on a thread of its own, so that a signal does not wait for the linear algebra.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use disentangle::identify::Status;
use disentangle::nalgebra::DMatrix;
use disentangle::samples::{
    Doing, Fit, FitReport, FitSettings, Method, Passes, SampleError, Samples, activation_named,
    fit_watched,
};
use numpy::PyReadonlyArray2;
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::value;
use crate::network::Network;
use crate::settings::Keywords;

/// Signals are looked for this often.
const TICK: Duration = Duration::from_millis(50);
/// As much as the main thread of a program has.
const STACK: usize = 8 << 20;

/// What Python brings to a fit.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Given<'py> {
    /// Inputs (n, d) and outputs (n, m), float64 in row-major order.
    x: PyReadonlyArray2<'py, f64>,
    y: PyReadonlyArray2<'py, f64>,
    /// Were the outputs rounded to f32?
    single: bool,
    /// Is shown how far the fit is: `fit(stage, units, start, starts, share)`.
    progress: Option<Bound<'py, PyAny>>,
    /// For the report.
    arguments: Vec<String>,
}

enum Event {
    Doing(Doing),
    Ended(Box<thread::Result<Result<(Fit, FitReport), SampleError>>>),
}

/// Fits: the report in JSON, and the network if there is one.
#[pyfunction]
pub fn fit<'py>(
    py: Python<'py>,
    given: Given<'py>,
    options: &Bound<'py, PyDict>,
) -> PyResult<(String, Option<Network>)> {
    let settings = settings(&Keywords(options))?;
    let samples = Samples::new(columns(&given.x)?, columns(&given.y)?).map_err(value)?;
    let samples = if given.single { samples.rounded_to_single() } else { samples };
    let passes = samples.passes();
    let mut events = start(samples, settings, given.arguments)
        .map_err(|error| PyOSError::new_err(error.to_string()))?;
    let ended = attend(py, &mut events, &passes, given.progress.as_ref());
    if ended.is_err() {
        passes.stop();
    }
    let (found, report) = ended?;
    let network = found.network.filter(|_| found.status != Status::NotIdentified);
    let report = serde_json::to_string(&report).map_err(value)?;
    Ok((report, network.map(Network)))
}

/// A row a sample in row-major order is a column a sample.
fn columns(rows: &PyReadonlyArray2<'_, f64>) -> PyResult<DMatrix<f64>> {
    let array = rows.as_array();
    let (count, width) = array.dim();
    Ok(DMatrix::from_column_slice(width, count, rows.as_slice()?))
}

fn start(
    samples: Samples,
    settings: FitSettings,
    arguments: Vec<String>,
) -> std::io::Result<Receiver<Event>> {
    let (say, events) = channel();
    let work = move || {
        let run = || {
            // Nobody may listen any more.
            let watch = &mut |doing| drop(say.send(Event::Doing(doing)));
            let found = fit_watched(&samples, &settings, watch)?;
            let report = FitReport::new(&samples, &settings, &found, arguments);
            Ok((found, report))
        };
        let ended = catch_unwind(AssertUnwindSafe(run));
        drop(say.send(Event::Ended(Box::new(ended))));
    };
    thread::Builder::new().name("disentangle".to_owned()).stack_size(STACK).spawn(work)?;
    Ok(events)
}

/// Waits for its end, and shows how far it is.
fn attend(
    py: Python<'_>,
    events: &mut Receiver<Event>,
    passes: &Passes,
    display: Option<&Bound<'_, PyAny>>,
) -> PyResult<(Fit, FitReport)> {
    let mut doing = Doing { stage: "moments", units: 0, start: 0, starts: 0 };
    loop {
        let waited = &mut *events;
        let event = py.detach(move || waited.recv_timeout(TICK));
        py.check_signals()?;
        match event {
            Ok(Event::Ended(ended)) => match *ended {
                Ok(ended) => return ended.map_err(value),
                Err(panic) => resume_unwind(panic),
            },
            Ok(Event::Doing(next)) => doing = next,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("the fit has vanished"));
            }
        }
        if let Some(display) = display {
            let Doing { stage, units, start, starts } = doing;
            display.call_method1("fit", (stage, units, start, starts, passes.share()))?;
        }
    }
}

fn settings(keywords: &Keywords<'_, '_>) -> PyResult<FitSettings> {
    if keywords.get::<u32>("depth", "1")?.unwrap_or(1) != 1 {
        return Err(value(
            "depth must be 1: no system is known that identifies two hidden layers from samples; identify asks for values",
        ));
    }
    let name: String = keywords.get("activation", "a name")?.unwrap_or_default();
    let default = FitSettings::new(activation_named(&name).map_err(value)?);
    let settings = FitSettings {
        units: keywords.count::<u32>("units")?.and_then(|units| usize::try_from(units).ok()),
        method: keywords.choice("method", &Method::ALL, Method::name)?.unwrap_or(default.method),
        noise: keywords.get("noise", "a number of at least 0")?.unwrap_or(default.noise),
        tolerance: keywords.get("tolerance", "a number above 0")?.unwrap_or(default.tolerance),
        attempts: keywords.count("attempts")?.unwrap_or(default.attempts),
        seed: keywords.get("seed", "a whole number of at least 0")?.unwrap_or(default.seed),
        ..default
    };
    if !(settings.noise >= 0.0 && settings.noise.is_finite()) {
        return Err(value(format!("noise must be at least 0, not {}", settings.noise)));
    }
    if !(settings.tolerance > 0.0 && settings.tolerance.is_finite()) {
        return Err(value(format!("tolerance must be above 0, not {}", settings.tolerance)));
    }
    Ok(settings)
}
