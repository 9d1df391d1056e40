//! `disentangle serve`: a network file as an oracle process, a reference for authors of servers.

use std::io;
use std::path::PathBuf;

use crate::network::{Activation, Network};
use crate::oracle::process::serve;
use crate::oracle::{ProcessFormat, ServeError};
use clap::Args;

use super::{Outcome, SUCCESS};

/// Answer points on stdin with a network's values on stdout
///
/// Text: one point a line, its coordinates separated by spaces; a line back with its value, or its
/// outputs. Binary: counted frames of little-endian f64. They are what the network's user has, behind its
/// link. Ends with its input; a malformed line ends it with code 2.
#[derive(Args, Debug)]
pub struct Serve {
    /// The network to answer for, safetensors or ONNX
    #[arg(long, value_name = "FILE")]
    network: PathBuf,
    /// How numbers are written on the pipes
    #[arg(long, value_enum, default_value_t)]
    format: ProcessFormat,
    /// Activation of all hidden layers, whatever the file says
    #[arg(long, value_parser = super::activations())]
    activation: Option<Activation>,
}

impl Serve {
    /// Serves until stdin ends.
    pub fn run(self) -> Outcome {
        let network = Network::load(&self.network, self.activation)?;
        let served = serve(&network, io::stdin().lock(), io::stdout().lock(), self.format);
        match served {
            Ok(()) => Ok(SUCCESS),
            Err(error @ (ServeError::Line { .. } | ServeError::Frame { .. })) => {
                Err(format!("stdin, {error}").into())
            }
            Err(error) => Err(error.into()),
        }
    }
}
