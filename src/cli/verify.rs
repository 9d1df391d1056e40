//! `disentangle verify`: how far a recovered network is from the true one.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use disentangle::network::shallow::{Shallow, is_shallow};
use disentangle::network::{Activation, Matching, Network};
use serde::Serialize;

use super::{DIFFERENT, Outcome};

/// Compare two networks of equal depth up to the order and the signs of their units
///
/// With two hidden layers the smallest networks with the same values are compared: without units that
/// do nothing and with units that always move together made one. No values can tell more.
///
/// The parameter error of a tensor is max |difference| / max(1, max |true entry|), after the units
/// are paired. The output error is the largest |difference| on 4000 fixed Gaussian points of four
/// scales. Both must be within the tolerance.
#[derive(Args, Debug)]
pub struct Verify {
    /// The true network, safetensors
    truth: PathBuf,
    /// The network to compare with it, safetensors
    recovered: PathBuf,
    /// Largest error allowed, in the parameters and in the outputs
    #[arg(long, default_value = "1e-6", value_parser = parse_tolerance)]
    tol: f64,
    /// Activation of all hidden layers of both networks, whatever the files say
    #[arg(long, value_parser = super::activations())]
    activation: Option<Activation>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// Compares the files; exit code 0 within the tolerance, 1 beyond it.
    pub fn run(self) -> Outcome {
        if is_shallow(&self.truth)? {
            let truth = Shallow::load(&self.truth, self.activation)?;
            let recovered = Shallow::load(&self.recovered, self.activation)?;
            let names = [truth.describe(), recovered.describe()];
            self.report(names, truth.matching(&recovered))
        } else {
            let (truth, name) = reduced(Network::load(&self.truth, self.activation)?);
            let (recovered, other) = reduced(Network::load(&self.recovered, self.activation)?);
            self.report([name, other], truth.matching(&recovered))
        }
    }

    fn report<N>(&self, networks: [String; 2], matching: Matching<N>) -> Outcome {
        let report = Report { networks, matching, tolerance: self.tol };
        super::print(&if self.json { report.json()? } else { report.table() })?;
        let same = report.matching.within(self.tol);
        Ok(if same { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
    }
}

fn parse_tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(tolerance) if tolerance.is_finite() && tolerance >= 0.0 => Ok(tolerance),
        _ => Err("expected a number of at least 0, such as 1e-6".to_owned()),
    }
}

/// The smallest network with the values of `network` (itself, if they are constant), and both in a few
/// words.
fn reduced(network: Network) -> (Network, String) {
    let name = network.describe();
    match network.minimal() {
        Some(minimal) if minimal.dims() != network.dims() => {
            let (d, m0, m1) = minimal.dims();
            (minimal, format!("{name}, which is {d}-{m0}-{m1}"))
        }
        _ => (network, name),
    }
}

struct Report<N> {
    /// What is compared, in a few words.
    networks: [String; 2],
    matching: Matching<N>,
    tolerance: f64,
}

/// The `--json` output. Errors are null where there is nothing to compare.
#[derive(Serialize)]
struct Json<'a> {
    schema: &'static str,
    truth: &'a str,
    recovered: &'a str,
    widths_match: bool,
    activations_match: bool,
    parameter_error: Option<f64>,
    tensor_errors: serde_json::Map<String, serde_json::Value>,
    output_error: Option<f64>,
    tolerance: f64,
    within_tolerance: bool,
}

impl<N> Report<N> {
    fn json(&self) -> serde_json::Result<String> {
        let found = &self.matching;
        let tensors = found.tensor_errors.iter();
        let json = Json {
            schema: "disentangle-verify-1",
            truth: &self.networks[0],
            recovered: &self.networks[1],
            widths_match: found.widths_match,
            activations_match: found.activations_match,
            parameter_error: found.parameter_error,
            tensor_errors: tensors.map(|&(name, e)| (name.to_owned(), e.into())).collect(),
            output_error: found.output_error,
            tolerance: self.tolerance,
            within_tolerance: found.within(self.tolerance),
        };
        Ok(serde_json::to_string_pretty(&json)? + "\n")
    }

    fn table(&self) -> String {
        let found = &self.matching;
        let mut table = String::new();
        let mut row = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(table, "{name:<18}{value}");
        };
        let error =
            |error: Option<f64>| error.map_or("-".to_owned(), |error| format!("{error:.2e}"));
        row("truth", &self.networks[0]);
        row("recovered", &self.networks[1]);
        row("parameter error", &error(found.parameter_error));
        for &(name, value) in &found.tensor_errors {
            row(&format!("  {name}"), &error(Some(value)));
        }
        row("output error", &error(found.output_error));
        let verdict = if !found.widths_match {
            "no, the widths differ"
        } else if !found.activations_match {
            "no, the activations differ"
        } else if found.within(self.tolerance) {
            "yes"
        } else {
            "no"
        };
        row(&format!("within {:e}", self.tolerance), verdict);
        table
    }
}

/// In a few words.
trait Described {
    /// `20-20-4 tanh`, with both activations where they differ.
    fn describe(&self) -> String;
}

impl Described for Network {
    fn describe(&self) -> String {
        let (d, m0, m1) = self.dims();
        let activations =
            if self.g == self.h { self.g.to_string() } else { format!("{}, {}", self.g, self.h) };
        format!("{d}-{m0}-{m1} {activations}")
    }
}

impl Described for Shallow {
    fn describe(&self) -> String {
        let (d, m) = self.dims();
        format!("{d}-{m} {}", self.phi)
    }
}
