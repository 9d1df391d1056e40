//! `disentangle generate`: a random network in a file.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use disentangle::network::model::Model;
use disentangle::network::shallow::Shallow;
use disentangle::network::{Class, Network};

use super::{Layers, Outcome};

/// Write a random network, reproducible from its seed
#[derive(Args, Debug)]
pub struct Generate {
    /// Inputs, first-layer units and second-layer units; with --depth 1 inputs and units
    #[arg(long, value_name = "D,M0,M1")]
    dims: String,
    /// Hidden layers
    #[arg(long, value_name = "1|2", default_value_t = 2, value_parser = super::depth)]
    depth: u8,
    /// `paper`: unit columns, small shifts, c = 1, c0 = 0; `general`: as trained networks are
    #[arg(long, default_value = "paper", value_parser = classes())]
    class: Class,
    /// Activation of all hidden layers (tanh, sigmoid, erf), or of the first and the second (tanh,erf)
    #[arg(long, value_name = "PHI|PHI1,PHI2", default_value = "tanh")]
    activation: Layers,
    /// Seed of the random numbers
    #[arg(long)]
    seed: u64,
    /// File to write, in the safetensors format
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Generate {
    /// Draws the network, writes it and says so.
    pub fn run(self) -> Outcome {
        let Layers(g, h) = self.activation;
        let (shape, parameters) = if self.depth == 1 {
            if g != h {
                return Err(
                    "one hidden layer has one activation: --activation needs one name".into()
                );
            }
            let (d, m) = parse_pair(&self.dims).map_err(|e| format!("--dims: {e}"))?;
            let network = Shallow::random((d, m), self.class, g, self.seed)?;
            network.save(&self.out)?;
            (format!("{d}-{m}"), network.parameter_count())
        } else {
            let Dims(d, m0, m1) = parse_dims(&self.dims).map_err(|e| format!("--dims: {e}"))?;
            let network = Network::random((d, m0, m1), self.class, g, self.seed)?;
            let network = Network { h, ..network };
            network.save(&self.out)?;
            (format!("{d}-{m0}-{m1}"), network.parameter_count())
        };
        super::print(&format!(
            "{}: {shape}, {}, class {}, seed {}, {parameters} parameters\n",
            self.out.display(),
            if g == h { g.to_string() } else { format!("{g} and {h}") },
            self.class.name(),
            self.seed,
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// (d, m0, m1), each at least 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dims(usize, usize, usize);

impl Dims {
    pub(super) fn parts(self) -> (usize, usize, usize) {
        (self.0, self.1, self.2)
    }
}

pub(super) fn parse_dims(text: &str) -> Result<Dims, String> {
    let numbers: Result<Vec<usize>, _> = text.split(',').map(|n| n.trim().parse()).collect();
    match numbers.as_deref() {
        Ok([d, m0, m1]) if *d > 0 && *m0 > 0 && *m1 > 0 => Ok(Dims(*d, *m0, *m1)),
        _ => Err("expected three positive whole numbers such as 20,20,4".to_owned()),
    }
}

/// (d, m), each at least 1.
fn parse_pair(text: &str) -> Result<(usize, usize), String> {
    let numbers: Result<Vec<usize>, _> = text.split(',').map(|n| n.trim().parse()).collect();
    match numbers.as_deref() {
        Ok([d, m]) if *d > 0 && *m > 0 => Ok((*d, *m)),
        _ => Err("expected two positive whole numbers such as 20,20".to_owned()),
    }
}

fn classes() -> impl TypedValueParser<Value = Class> {
    PossibleValuesParser::new(Class::ALL.map(Class::name)).try_map(|name| name.parse::<Class>())
}
