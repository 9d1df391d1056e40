//! Recover a neural network with two smooth hidden layers from queries alone.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod hessian;
pub mod network;
pub mod oracle;
pub mod stencil;
