//! `disentangle verify`: how far a recovered network is from the true one.

use std::fmt::Write;
use std::path::PathBuf;

use crate::network::{Activation, Matching, Network};
use clap::Args;
use serde::Serialize;

use super::{DIFFERENT, Outcome, SUCCESS};

/// Compare two networks up to the order and the signs of their units
///
/// The smallest networks with the same values are compared: without units that do nothing and with units
/// that always move together made one. No values can tell more. Units of relu count at weights of norm 1,
/// and where the link is softmax the mean over the outputs is taken off output weights, offsets and
/// outputs.
///
/// The parameter error of a tensor is max |difference| / max(1, max |true entry|), after the units
/// are paired. The output error is the largest |difference| of the outputs before the link on 4000 fixed
/// Gaussian points of four scales. Both must be within the tolerance.
#[derive(Args, Debug)]
pub struct Verify {
    /// The true network, safetensors or ONNX
    truth: PathBuf,
    /// The network to compare with it, safetensors or ONNX
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
        let (truth, name) = reduced(Network::load(&self.truth, self.activation)?);
        let (recovered, other) = reduced(Network::load(&self.recovered, self.activation)?);
        let matching = truth.matching(&recovered);
        let report = Report { networks: [name, other], matching, tolerance: self.tol };
        super::print(&if self.json { report.json()? } else { report.table() })?;
        let same = report.matching.within(self.tol);
        Ok(if same { SUCCESS } else { DIFFERENT })
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
    match network.minimal() {
        Some(minimal) if minimal.dims() != network.dims() => {
            let name = format!("{network}, which is {minimal}");
            (minimal, name)
        }
        _ => {
            let name = network.to_string();
            (network, name)
        }
    }
}

struct Report {
    /// What is compared, in a few words.
    networks: [String; 2],
    matching: Matching,
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
    links_match: bool,
    parameter_error: Option<f64>,
    tensor_errors: serde_json::Map<String, serde_json::Value>,
    output_error: Option<f64>,
    tolerance: f64,
    within_tolerance: bool,
}

impl Report {
    fn json(&self) -> serde_json::Result<String> {
        let found = &self.matching;
        let tensors = found.tensor_errors.iter();
        let json = Json {
            schema: "disentangle-verify-1",
            truth: &self.networks[0],
            recovered: &self.networks[1],
            widths_match: found.widths_match,
            activations_match: found.activations_match,
            links_match: found.links_match,
            parameter_error: found.parameter_error,
            tensor_errors: tensors.map(|(name, e)| (name.clone(), (*e).into())).collect(),
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
        for (name, value) in &found.tensor_errors {
            row(&format!("  {name}"), &error(Some(*value)));
        }
        row("output error", &error(found.output_error));
        let verdict = self.verdict();
        row(&format!("within {:e}", self.tolerance), verdict);
        table
    }

    /// Yes, or no and what is to blame.
    fn verdict(&self) -> &'static str {
        let found = &self.matching;
        let over = |error: Option<f64>| error.is_none_or(|error| error > self.tolerance);
        match (over(found.parameter_error), over(found.output_error)) {
            _ if !found.widths_match => "no, the widths differ",
            _ if !found.activations_match => "no, the activations differ",
            _ if !found.links_match => "no, the links differ",
            (true, true) => "no, the parameter error and the output error are above it",
            (true, false) => "no, the parameter error is above it",
            (false, true) => "no, the output error is above it",
            (false, false) => "yes",
        }
    }
}
