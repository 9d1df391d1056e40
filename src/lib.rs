//! Recover a neural network with two smooth hidden layers from queries alone.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod draws;
pub mod files;
pub mod hessian;
pub mod identify;
pub mod linalg;
pub mod network;
pub mod oracle;
pub mod rank_one;
pub mod report;
pub mod stencil;
pub mod subspace;
