//! `disentangle fit`: a network from samples alone.

use std::fmt::{Display, Write};
use std::path::PathBuf;

use crate::files::{check_writable, write_json};
use crate::identify::Status;
use crate::network::Activation;
use crate::samples::{
    Fit as Found, FitReport, FitSettings, Method, SampleError, Samples, activation_named,
    fit_watched,
};
use clap::Args;
use clap::builder::TypedValueParser;

use super::attend::{Ending, attend};
use super::fit_progress::FitProgress;
use super::identify::parse_tolerance;
use super::sample::deviation;
use super::{DIFFERENT, INTERRUPTED, Outcome, SUCCESS};

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
    #[arg(long, value_name = "PHI", value_parser = activation_named)]
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
    /// File for the network: safetensors, or ONNX where the name ends in .onnx; written if one is found (identified or
    /// approximate)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// File for the report, JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

impl Fit {
    /// Fits, writes what there is, and prints a table; exit code 0 if it is identified.
    pub fn run(self, arguments: Vec<String>) -> Outcome {
        for path in [&self.out, &self.report].into_iter().flatten() {
            check_writable(path)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        if self.out.is_some() && self.out == self.report {
            return Err("--out and --report are the same file".into());
        }
        let (path, outputs, settings) = (self.samples.clone(), self.outputs, self.settings());
        let mut progress = FitProgress::new(self.quiet);
        let bar = progress.bar();
        let work = move || {
            let samples = Samples::open(&path, outputs)?;
            progress.follow(samples.passes());
            let found = fit_watched(&samples, &settings, &mut |doing| progress.show(doing))?;
            Ok::<_, SampleError>((samples, found))
        };
        let ending = attend(None, work)?;
        // The display ends before anything is printed.
        bar.finish_and_clear();
        match ending {
            Ending::Done(ended) => {
                let (samples, found) = ended?;
                self.publish(&samples, &found, arguments)
            }
            Ending::Late | Ending::Interrupted => {
                super::warn("interrupted; nothing was written");
                Ok(INTERRUPTED)
            }
        }
    }

    fn settings(&self) -> FitSettings {
        FitSettings {
            units: self.units.map(|units| units as usize),
            method: self.method,
            noise: self.noise,
            tolerance: self.tolerance,
            attempts: self.attempts,
            seed: self.seed,
            ..FitSettings::new(self.activation)
        }
    }

    /// Writes the files and prints the table.
    fn publish(&self, samples: &Samples, found: &Found, arguments: Vec<String>) -> Outcome {
        let network = found.network.as_ref().filter(|_| found.status != Status::NotIdentified);
        match (&self.out, network) {
            (Some(path), Some(network)) => network.save(path)?,
            (Some(path), None) => super::warn(&format!(
                "there is no network to write: {} is left as it was",
                path.display()
            )),
            (None, _) => {}
        }
        if let Some(path) = &self.report {
            let report = FitReport::new(samples, &self.settings(), found, arguments);
            write_json(path, &report)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        super::print(&table(samples, found))?;
        Ok(if found.status == Status::Identified { SUCCESS } else { DIFFERENT })
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

fn depth() -> impl TypedValueParser<Value = u8> {
    clap::builder::NonEmptyStringValueParser::new().try_map(|text| match text.as_str() {
        "1" => Ok(1),
        "2" => Err("no system is known that identifies two hidden layers from samples: they are identified from queries"),
        _ => Err("expected 1"),
    })
}

fn methods() -> impl TypedValueParser<Value = Method> {
    super::one_of(Method::ALL, Method::name)
}
