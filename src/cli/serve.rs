//! `disentangle serve`: a network file as an oracle process, a reference for authors of servers.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use disentangle::network::Network;
use disentangle::oracle::{ProcessFormat, ServeError, serve};

/// Answer points on stdin with a network's values on stdout
///
/// Text: one point a line, its coordinates separated by spaces; one value a line back. Binary:
/// counted frames of little-endian f64. Ends with its input; a malformed line ends it with status 2.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// The network to answer for
    #[arg(long, value_name = "FILE")]
    network: PathBuf,
    /// How numbers are written on the pipes
    #[arg(long, value_enum, default_value_t)]
    format: ProcessFormat,
}

/// Serves until stdin ends.
pub fn run(args: &ServeArgs) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let network = Network::load(&args.network, None)?;
    match serve(&network, io::stdin().lock(), io::stdout().lock(), args.format) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error @ (ServeError::Line { .. } | ServeError::Frame { .. })) => {
            eprintln!("error: stdin, {error}");
            Ok(ExitCode::from(2))
        }
        Err(ServeError::Io(error)) => Err(error.into()),
    }
}
