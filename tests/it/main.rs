//! Whole behaviours, through the public API and the program: one binary, so that everything is linked once.

mod common;
mod entangled;
mod equivariance;
mod factorisations;
mod files;
mod generate_verify;
mod gpu_parity;
mod hard;
#[cfg(unix)]
mod identify;
mod large;
mod large_stack;
mod library;
#[cfg(unix)]
mod malformed;
mod onnx;
mod outputs;
mod outside_the_class;
mod pipeline;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod python_servers;
mod ranks;
mod real;
#[cfg(unix)]
mod report;
mod resume;
mod samples;
#[cfg(unix)]
mod shallow;
mod single;
mod study;
