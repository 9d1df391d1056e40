//! The `disentangle` program.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::Cli::parse().run().unwrap_or_else(|error| {
        cli::report(error.as_ref());
        ExitCode::from(cli::UNUSABLE)
    })
}
