//! The `disentangle` program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(disentangle::cli::main(std::env::args_os().collect()))
}
