//! One run: a network, samples of it, what a method makes of them, and the truth beside it.

use std::time::Instant;

use nalgebra::DMatrix;

use super::plan::{Cell, Count, Method, Spoilt};
use super::records::Record;
use crate::identify::{Settings, Solution, Status, identify};
use crate::network::{Activation, Class, Network, Symmetry};
use crate::oracle::{NetworkOracle, Silent};
use crate::samples::descent::{Optimiser, Training, merged, train};
use crate::samples::tensor_start::{Span, Start, completed};
use crate::samples::{FitSettings, SampleError, Samples, Units, draw_samples, fit};

/// An error that is rounding, whatever the bound says.
const ROUNDING: f64 = 1e-9;
/// Steps of training.
const TRAINING_STEPS: usize = 20_000;

/// What a method came to.
struct Ended {
    status: Status,
    network: Option<Network>,
    start: Option<Units>,
    bound: Option<f64>,
    queries: u64,
}

impl Ended {
    fn approximate(network: Option<Network>, start: Option<Units>) -> Ended {
        Ended { status: Status::Approximate, network, start, bound: None, queries: 0 }
    }
}

/// One run of a cell.
///
/// # Errors
/// A network or samples that cannot be drawn, in a line.
pub fn run(cell: &Cell, seed: u64) -> Result<Record, String> {
    let truth =
        Network::random(&[cell.d, cell.k], cell.outputs, Class::Centred, cell.activation, seed)
            .map_err(|error| error.to_string())?;
    let count = match cell.n {
        Count::Number(n) => n,
        Count::Queries(_) => usize::try_from(queried(cell, &truth, seed)?.queries)
            .map_err(|error| error.to_string())?,
    };
    let (x, y) = instance(cell, &truth, count, seed);
    let begun = Instant::now();
    let ended = match cell.method {
        Method::Identify => queried(cell, &truth, seed)?.into(),
        Method::Start => started(cell, x, y, seed).map_err(|error| error.to_string())?,
        Method::Tensor | Method::Exact => {
            fitted(cell, x, y, seed).map_err(|error| error.to_string())?
        }
        _ => trained(cell, &x, &y, seed),
    };
    let seconds = begun.elapsed().as_secs_f64();
    let error = ended.network.as_ref().and_then(|network| truth.matching(network).parameter_error);
    let allowed = ended.bound.unwrap_or(0.0).max(ROUNDING);
    let right = cell.spoilt == Spoilt::No && error.is_some_and(|error| error <= allowed);
    Ok(Record {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        cell: cell.clone(),
        seed,
        status: ended.status,
        samples: if cell.method == Method::Identify { 0 } else { count },
        queries: ended.queries,
        start_error: ended.start.map(|start| start_error(&truth, &start)),
        error,
        bound: ended.bound.filter(|bound| bound.is_finite()),
        seconds,
        wrong: ended.status == Status::Identified && !right,
    })
}

/// Samples, spoilt as the cell says.
fn instance(cell: &Cell, truth: &Network, count: usize, seed: u64) -> (DMatrix<f64>, DMatrix<f64>) {
    let (x, y) = draw_samples(truth, count, cell.noise, seed);
    match cell.spoilt {
        Spoilt::Inputs => {
            // Uniform of variance 1, by the distribution function.
            let x = x.map(|x| 12f64.sqrt() * (0.5 * libm::erfc(-x / 2f64.sqrt()) - 0.5));
            let y = truth.outputs(&x);
            (x, y)
        }
        Spoilt::Shuffled => {
            let moved: Vec<usize> = (0..count).map(|j| (j + count / 2) % count).collect();
            (x, y.select_columns(&moved))
        }
        _ => (x, y),
    }
}

/// Moments alone.
fn started(cell: &Cell, x: DMatrix<f64>, y: DMatrix<f64>, seed: u64) -> Result<Ended, SampleError> {
    let (samples, phi) = (Samples::new(x, y)?, cell.activation);
    let all = 0..samples.len();
    let Some(span) = Span::of(&samples, all.clone(), phi, seed)? else {
        return Ok(Ended::approximate(None, None));
    };
    let start = Start::of(&samples, all.clone(), &span, cell.k)?;
    let directions = start.and_then(|start| start.directions(seed, 0));
    let Some(directions) = directions else { return Ok(Ended::approximate(None, None)) };
    let (x, y) = samples.part(all)?;
    Ok(Ended::approximate(None, completed(&directions, phi, &x, &y)))
}

fn fitted(cell: &Cell, x: DMatrix<f64>, y: DMatrix<f64>, seed: u64) -> Result<Ended, SampleError> {
    let told = match (cell.spoilt, cell.activation) {
        (Spoilt::Activation, Activation::Relu) => Activation::LeakyRelu,
        (Spoilt::Activation, Activation::Tanh) => Activation::Erf,
        (Spoilt::Activation, _) => Activation::Relu,
        (_, phi) => phi,
    };
    let fewer = usize::from(cell.spoilt == Spoilt::FewerUnits);
    let settings = FitSettings {
        units: Some((cell.k - fewer).max(1)),
        method: match cell.method {
            Method::Exact => crate::samples::Method::Exact,
            _ => crate::samples::Method::Tensor,
        },
        noise: cell.noise,
        // With noise the bound is what is looked at.
        tolerance: if cell.noise > 0.0 { 1.0 } else { 1e-6 },
        seed,
        ..FitSettings::new(told)
    };
    let found = fit(&Samples::new(x, y)?, &settings)?;
    let bound = found.verdict.map(|verdict| verdict.bound);
    Ok(Ended {
        status: found.status,
        network: found.network,
        start: found.start,
        bound,
        queries: 0,
    })
}

fn queried(cell: &Cell, truth: &Network, seed: u64) -> Result<Solution, String> {
    let settings =
        Settings { depth: Some(1), activation: Some(cell.activation), seed, ..Settings::default() };
    let mut oracle = NetworkOracle::new(truth.clone());
    identify(&mut oracle, &settings, &mut Silent).map_err(|error| error.to_string())
}

impl From<Solution> for Ended {
    fn from(found: Solution) -> Ended {
        Ended {
            status: found.status,
            network: found.network,
            start: None,
            bound: found.parameter_error_bound,
            queries: found.queries,
        }
    }
}

fn trained(cell: &Cell, x: &DMatrix<f64>, y: &DMatrix<f64>, seed: u64) -> Ended {
    let (optimiser, factor) = match cell.method {
        Method::Adam => (Optimiser::Adam, 1),
        Method::AdamWide => (Optimiser::Adam, 4),
        Method::Gradient => (Optimiser::Gradient, 1),
        _ => (Optimiser::Gradient, 4),
    };
    let training = Training::usual(factor * cell.k, optimiser, TRAINING_STEPS, seed);
    let units = train(x, y, cell.activation, &training);
    let finite = units.w.iter().chain(units.u.iter()).all(|entry| entry.is_finite());
    Ended::approximate(finite.then(|| Network::from(&merged(&units))), None)
}

/// The largest distance of a unit from the nearest one of the start, both of norm 1; up to the sign where the function leaves
/// that open.
fn start_error(truth: &Network, start: &Units) -> f64 {
    let unit = |w: nalgebra::DVectorView<'_, f64>| w / w.norm();
    let signed = start.phi.symmetry() != Symmetry::Sign;
    let nearest = |w: nalgebra::DVectorView<'_, f64>| {
        let w = unit(w);
        let distance = |v| {
            let (near, far) = ((&w - unit(v)).norm(), (&w + unit(v)).norm());
            if signed { near } else { near.min(far) }
        };
        start.w.column_iter().map(distance).fold(f64::INFINITY, f64::min)
    };
    truth.layers[0].weights.column_iter().map(nearest).fold(0.0, f64::max)
}
