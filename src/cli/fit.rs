//! `disentangle fit`: a network from samples alone.

use std::fmt::{Display, Write};
use std::path::PathBuf;
use std::str::FromStr;

use crate::files::{check_writable, write_json};
use crate::identify::Status;
use crate::network::Activation;
use crate::report::ByStage;
use crate::samples::{Fit as Found, FitEvidence, FitSettings, Method, Samples, fit};
use clap::Args;
use clap::builder::TypedValueParser;
use serde::Serialize;

use super::identify::parse_tolerance;
use super::sample::deviation;
use super::{DIFFERENT, Outcome, SUCCESS};

/// The value of `schema` in a report of this version.
const SCHEMA: &str = "disentangle-fit-1";

/// Identify a network of one hidden layer from samples alone
///
/// The network is y = U phi(W x) without shifts and offset, with at most as many units as inputs; the inputs are Gaussian. One
/// sample in ten is held out and never fitted. A network is identified if all held-out outputs agree to rounding, or, where --noise
/// tells of noise, to that noise and without a trace of the inputs, and its parameters have a small error bound. Files need not fit
/// into memory.
#[derive(Args, Debug)]
pub struct Fit {
    /// Samples: safetensors with x (n x d) and y (n x m), .npz with the same, .npy whose last columns are y, or .csv with
    /// columns y, y0, y1, ...
    #[arg(long, value_name = "FILE")]
    samples: PathBuf,
    /// Columns of a .npy file that are outputs, the last ones [default: 1]
    #[arg(long, value_name = "M")]
    outputs: Option<usize>,
    /// Hidden layers: samples tell of one
    #[arg(long, value_name = "N", default_value = "1", value_parser = depth())]
    depth: u8,
    /// Activation
    #[arg(long, value_name = "PHI", value_parser = activation)]
    activation: Activation,
    /// Units [default: by the gap in the singular values of the second moments]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    units: Option<u32>,
    /// `tensor`: moments, then least squares; `exact`: moments, then the exact system of relu and leaky_relu; `descent`: training by
    /// Adam from a random start, for comparison
    #[arg(long, default_value = "tensor", value_parser = methods())]
    method: Method,
    /// Standard deviation of the noise of each output
    #[arg(long, value_name = "S", default_value = "0", value_parser = deviation)]
    noise: f64,
    /// Largest parameter error bound of an identified network
    #[arg(long, value_name = "T", default_value = "1e-6", value_parser = parse_tolerance)]
    tolerance: f64,
    /// Starts at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    attempts: u64,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// File for the network: safetensors, or ONNX where the name ends in .onnx; written if there is one
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// File for the report, JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What a program reads of a fit.
#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    version: &'static str,
    arguments: Vec<String>,
    seed: u64,
    status: Status,
    reason: &'a str,
    remedy: Option<&'a str>,
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
    evidence: &'a FitEvidence,
}

/// What was told of the samples and the result.
#[derive(Serialize)]
struct Tolerances {
    parameter_error_bound: f64,
    noise: f64,
    units: Option<u32>,
}

impl Fit {
    /// Fits, writes what there is, and prints a table; exit code 0 if it is identified.
    pub fn run(self, arguments: Vec<String>) -> Outcome {
        for path in [&self.out, &self.report].into_iter().flatten() {
            check_writable(path)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        let samples = Samples::open(&self.samples, self.outputs)?;
        let settings = FitSettings {
            units: self.units.map(|units| units as usize),
            method: self.method,
            noise: self.noise,
            tolerance: self.tolerance,
            attempts: self.attempts,
            seed: self.seed,
            ..FitSettings::new(self.activation)
        };
        let found = fit(&samples, &settings)?;
        if let (Some(path), Some(network)) = (&self.out, &found.network) {
            network.save(path)?;
        }
        if let Some(path) = &self.report {
            write_json(path, &self.report_of(&samples, &found, arguments))
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        super::print(&table(&samples, &found))?;
        Ok(if found.status == Status::Identified { SUCCESS } else { DIFFERENT })
    }

    fn report_of<'a>(
        &self,
        samples: &Samples,
        found: &'a Found,
        arguments: Vec<String>,
    ) -> Report<'a> {
        let verdict = found.verdict.as_ref();
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        Report {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            arguments,
            seed: self.seed,
            status: found.status,
            reason: &found.reason,
            remedy: found.remedy,
            depth: self.depth,
            method: self.method,
            activation: self.activation,
            units: found.network.as_ref().map(|network| network.widths()[0]),
            samples: samples.len(),
            held_out: found.held_out,
            inputs: samples.inputs(),
            outputs: samples.outputs(),
            queries: 0,
            seconds: ByStage {
                total: found.seconds.values().sum(),
                by_stage: found
                    .seconds
                    .iter()
                    .map(|(stage, seconds)| ((*stage).to_owned(), *seconds))
                    .collect(),
            },
            residual: finite(verdict.map(|verdict| verdict.residual)),
            deviation: finite(verdict.map(|verdict| verdict.deviation)),
            accuracy: finite(verdict.map(|verdict| verdict.accuracy)),
            parameter_error_bound: finite(verdict.map(|verdict| verdict.bound)),
            tolerances: Tolerances {
                parameter_error_bound: self.tolerance,
                noise: self.noise,
                units: self.units,
            },
            evidence: &found.evidence,
        }
    }
}

fn table(samples: &Samples, found: &Found) -> String {
    let mut table = String::new();
    let mut row = |name: &str, value: &dyn Display| {
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{name:<18}{value}");
    };
    row("verdict", &format!("{} ({})", found.status.name(), found.reason));
    if let Some(remedy) = found.remedy {
        row("what may help", &remedy);
    }
    let (n, d, m) = (samples.len(), samples.inputs(), samples.outputs());
    row("samples", &format!("{n} of {d} inputs and {m} outputs, {} held out", found.held_out));
    if let Some(network) = &found.network {
        row("units", &network.widths()[0]);
    }
    if let Some(verdict) = &found.verdict {
        row("error bound", &format!("{:.2e}", verdict.bound));
        row("residual", &format!("{:.2e}", verdict.residual));
        row("rounding", &format!("{:.2e}", verdict.accuracy));
    }
    row("stage", &"   seconds");
    for (stage, seconds) in &found.seconds {
        row(stage, &format!("{seconds:>10.2}"));
    }
    row("total", &format!("{:>10.2}", found.seconds.values().sum::<f64>()));
    table
}

/// An activation that moments can tell, by name.
fn activation(text: &str) -> Result<Activation, String> {
    let name = text.to_ascii_lowercase();
    if ["linear", "identity", "quadratic", "square"].contains(&name.as_str()) {
        return Err(format!(
            "{name} has rho = 0, without property 2 of Zhong et al.: many networks of it have the same values, and no samples \
             tell which"
        ));
    }
    Activation::from_str(text).map_err(|error| error.to_string())
}

fn depth() -> impl TypedValueParser<Value = u8> {
    clap::builder::NonEmptyStringValueParser::new().try_map(|text| match text.as_str() {
        "1" => Ok(1),
        "2" => Err("no system is known that identifies two hidden layers from samples: they are identified from queries"),
        _ => Err("expected 1"),
    })
}

fn methods() -> impl TypedValueParser<Value = Method> {
    super::one_of([Method::Tensor, Method::Exact, Method::Descent], |method| match method {
        Method::Tensor => "tensor",
        Method::Exact => "exact",
        Method::Descent => "descent",
    })
}
