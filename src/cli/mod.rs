//! The command line: one file a subcommand, and what they share.

mod bench;
mod devices;
mod generate;
mod verify;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use disentangle::network::Activation;

/// Exit code: the networks differ.
pub const DIFFERENT: u8 = 1;
/// Exit code: bad usage, bad input, or an environment that does not work. clap's own code too.
pub const UNUSABLE: u8 = 2;

/// What a subcommand comes to: an exit code, or an error for stderr and exit code 2.
pub type Outcome = Result<ExitCode, Box<dyn Error>>;

/// Recover the weights of a two-hidden-layer neural network from queries alone.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes:\n  0  success\n  1  the networks differ\n  2  bad usage, bad input \
                  or a broken environment; one line on stderr says what"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Bench),
    Devices(devices::Devices),
    Generate(generate::Generate),
    Verify(verify::Verify),
}

impl Cli {
    /// Runs the subcommand.
    pub fn run(self) -> Outcome {
        match self.command {
            Command::Bench(command) => command.run(),
            Command::Devices(command) => command.run(),
            Command::Generate(command) => command.run(),
            Command::Verify(command) => command.run(),
        }
    }
}

/// One line on stderr, whatever a file name or a library put into the message.
pub fn report(error: &dyn Error) {
    let line = error.to_string().replace(char::is_control, " ");
    // With stderr gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "error: {line}");
}

/// Writes a result to stdout. A reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Reads an activation's name; the help lists all of them.
fn activations() -> impl TypedValueParser<Value = Activation> {
    PossibleValuesParser::new(Activation::ALL.map(Activation::name))
        .try_map(|name| name.parse::<Activation>())
}
