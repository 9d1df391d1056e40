//! `disentangle sample`: samples of a network in a file.

use std::path::PathBuf;

use crate::network::{Activation, Network};
use crate::samples::write_samples;
use clap::Args;

use super::{Outcome, SUCCESS};

/// Write samples of a network: standard Gaussian inputs, and its outputs
///
/// FILE.npz holds the arrays x (n x d) and y (n x m), FILE.npy one array whose last m columns are the outputs, FILE.csv columns x0,
/// x1, ... and y0, y1, ...; any other name is a safetensors file of the tensors x and y. Numbers are f64. They are written as they
/// are drawn, so that they need not fit into memory.
#[derive(Args, Debug)]
pub struct Sample {
    /// The network, safetensors or ONNX
    #[arg(long, value_name = "FILE")]
    network: PathBuf,
    /// Activation of all hidden layers, whatever the file says
    #[arg(long, value_parser = super::activations())]
    activation: Option<Activation>,
    /// Samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    n: u64,
    /// Standard deviation of Gaussian noise on each output
    #[arg(long, value_name = "S", default_value = "0", value_parser = deviation)]
    noise: f64,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// File to write: safetensors, .npz, .npy or .csv
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Sample {
    /// Draws the samples, writes them and says so.
    pub fn run(self) -> Outcome {
        let network = Network::load(&self.network, self.activation)?;
        write_samples(&network, usize::try_from(self.n)?, self.noise, self.seed, &self.out)?;
        super::print(&format!(
            "{}: {} samples of {network}, noise {}, seed {}\n",
            self.out.display(),
            self.n,
            self.noise,
            self.seed
        ))?;
        Ok(SUCCESS)
    }
}

/// Reads a standard deviation.
pub(super) fn deviation(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(deviation) if deviation.is_finite() && deviation >= 0.0 => Ok(deviation),
        _ => Err("expected a number of at least 0, such as 1e-3".to_owned()),
    }
}
