//! `disentangle generate`: a random network in a file.

use std::path::PathBuf;

use crate::network::{Activation, Class, Link, Network, UnknownActivation};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::link::LinkOptions;
use super::{Outcome, SUCCESS};

/// Write a random network, reproducible from its seed
#[derive(Args, Debug)]
pub struct Generate {
    /// Inputs, then the units of each hidden layer from the first on
    #[arg(long, value_name = "D,M0,...", value_parser = parse_widths)]
    dims: Widths,
    /// Hidden layers, to be sure that --dims has as many
    #[arg(long, value_name = "N")]
    depth: Option<usize>,
    /// Outputs
    #[arg(long, value_name = "K", default_value_t = 1)]
    outputs: usize,
    #[command(flatten)]
    link: LinkOptions,
    /// `paper`: unit columns, small shifts, c = 1, c0 = 0; `general`: as trained networks are; `centred`: as `paper`, without shifts,
    /// which is what `fit` identifies
    #[arg(long, default_value = "paper", value_parser = classes())]
    class: Class,
    /// Activation of all hidden layers, or one a layer (tanh,erf)
    #[arg(long, value_name = "PHI|PHI1,PHI2,...", default_value = "tanh", value_parser = parse_activations)]
    activation: Activations,
    /// Seed of the random numbers
    #[arg(long)]
    seed: u64,
    /// File to write: safetensors, or ONNX where the name ends in .onnx
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Generate {
    /// Draws the network, writes it and says so.
    pub fn run(self) -> Outcome {
        let Widths(widths) = self.dims;
        let Activations(activations) = self.activation;
        let hidden = widths.len() - 1;
        if self.depth.is_some_and(|depth| depth != hidden) {
            return Err(format!(
                "--dims: one number for the inputs and one a hidden layer, not {}",
                widths.len()
            )
            .into());
        }
        if ![1, hidden].contains(&activations.len()) {
            return Err(format!(
                "{hidden} hidden layers have {hidden} activations, or one for all: --activation names {}",
                activations.len()
            )
            .into());
        }
        let drawn = Network::random(&widths, self.outputs, self.class, activations[0], self.seed)?;
        let mut network = Network { link: self.link.named()?.unwrap_or(Link::None), ..drawn };
        for (layer, &phi) in network.layers.iter_mut().zip(activations.iter().cycle()) {
            layer.activation = phi;
        }
        network.save(&self.out)?;
        super::print(&format!(
            "{}: {network}, class {}, seed {}, {} parameters\n",
            self.out.display(),
            self.class.name(),
            self.seed,
            network.parameter_count(),
        ))?;
        Ok(SUCCESS)
    }
}

/// Inputs and units of each hidden layer, at least one.
#[derive(Clone, Debug)]
struct Widths(Vec<usize>);

fn parse_widths(text: &str) -> Result<Widths, String> {
    let numbers: Result<Vec<usize>, _> = text.split(',').map(|n| n.trim().parse()).collect();
    match numbers {
        Ok(widths) if widths.len() > 1 && !widths.contains(&0) => Ok(Widths(widths)),
        _ => Err("expected two or more positive whole numbers such as 20,20,4".to_owned()),
    }
}

/// One for all hidden layers, or one each.
#[derive(Clone, Debug)]
struct Activations(Vec<Activation>);

fn parse_activations(text: &str) -> Result<Activations, UnknownActivation> {
    Ok(Activations(text.split(',').map(str::parse).collect::<Result<_, _>>()?))
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

fn classes() -> impl TypedValueParser<Value = Class> {
    PossibleValuesParser::new(Class::ALL.map(Class::name)).try_map(|name| name.parse::<Class>())
}
