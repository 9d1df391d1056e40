//! What a program reads of a fit.

use serde::Serialize;

use super::file::Samples;
use super::fit::{Fit, FitEvidence, FitSettings, Method};
use crate::identify::Status;
use crate::network::Activation;
use crate::report::ByStage;

/// The value of `schema` in a report of this version.
const SCHEMA: &str = "disentangle-fit-1";

/// The report of a fit, for JSON.
#[derive(Clone, Debug, Serialize)]
pub struct FitReport {
    schema: &'static str,
    version: &'static str,
    arguments: Vec<String>,
    seed: u64,
    status: Status,
    reason: String,
    remedy: Option<&'static str>,
    depth: u8,
    method: Method,
    activation: Activation,
    /// Units of the network found.
    units: Option<usize>,
    samples: usize,
    held_out: usize,
    inputs: usize,
    outputs: usize,
    /// Nothing is asked.
    queries: u64,
    seconds: ByStage<f64>,
    /// Largest |network - y| on held-out samples, and its root mean square.
    residual: Option<f64>,
    deviation: Option<f64>,
    /// What rounding leaves of an output at most.
    accuracy: Option<f64>,
    parameter_error_bound: Option<f64>,
    tolerances: Tolerances,
    evidence: FitEvidence,
}

/// What was told of the samples and the result.
#[derive(Clone, Debug, Serialize)]
struct Tolerances {
    parameter_error_bound: f64,
    noise: f64,
    units: Option<usize>,
}

impl FitReport {
    /// Of a fit to the samples with these settings, which these arguments of the program told.
    #[must_use]
    pub fn new(
        samples: &Samples,
        settings: &FitSettings,
        found: &Fit,
        arguments: Vec<String>,
    ) -> FitReport {
        let verdict = found.verdict.as_ref();
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        let by_stage = found.seconds.iter().map(|(stage, seconds)| ((*stage).to_owned(), *seconds));
        FitReport {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            arguments,
            seed: settings.seed,
            status: found.status,
            reason: found.reason.clone(),
            remedy: found.remedy,
            depth: 1,
            method: settings.method,
            activation: settings.activation,
            units: found.network.as_ref().map(|network| network.widths()[0]),
            samples: samples.len(),
            held_out: found.held_out,
            inputs: samples.inputs(),
            outputs: samples.outputs(),
            queries: 0,
            seconds: ByStage { total: found.seconds.values().sum(), by_stage: by_stage.collect() },
            residual: finite(verdict.map(|verdict| verdict.residual)),
            deviation: finite(verdict.map(|verdict| verdict.deviation)),
            accuracy: finite(verdict.map(|verdict| verdict.accuracy)),
            parameter_error_bound: finite(verdict.map(|verdict| verdict.bound)),
            tolerances: Tolerances {
                parameter_error_bound: settings.tolerance,
                noise: settings.noise,
                units: settings.units,
            },
            evidence: found.evidence.clone(),
        }
    }
}
