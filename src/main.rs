//! The `disentangle` program.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // Warnings of the library, such as a process oracle that had to be restarted.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::WARN)
        .without_time()
        .with_target(false)
        .init();
    cli::Cli::parse().run().unwrap_or_else(|error| {
        cli::report(error.as_ref());
        ExitCode::from(cli::UNUSABLE)
    })
}
