//! Recover a neural network with two smooth hidden layers from queries alone.
//!
//! # The model
//!
//! ```text
//! f(x) = c0 + sum_l c_l h(b_l . g(A^T x - theta) - tau_l),   x in R^d
//! ```
//!
//! | symbol | shape | what |
//! |---|---|---|
//! | A, columns a_i | d x m0 | weights of the first layer |
//! | theta | m0 | its shifts, subtracted |
//! | B, columns b_l | m0 x m1 | weights of the second layer |
//! | tau | m1 | its shifts, subtracted |
//! | c, c0 | m1, 1 | output weights and offset |
//! | g, h | | [`Activation`]: tanh, sigmoid or erf, applied to each component |
//!
//! These parameters are a [`TwoLayer`], those of one hidden layer a [`OneLayer`]. A [`Network`] is either of them,
//! or one with more layers, other activations, several outputs or a [`Link`] behind them: it has the files, the
//! generator and the comparison.
//!
//! f may be asked for values at points of our choice, and for nothing else. Every value is a
//! *query*, and is counted. f determines the parameters up to the order of the units in each layer
//! and a sign for each unit; [`Network::canonical`] picks one network of every such class and
//! [`Network::matching`] compares two.
//!
//! # The stages
//!
//! [`fn@identify`] runs them in this order and books queries and seconds under these names.
//!
//! | stage | what it finds | how |
//! |---|---|---|
//! | probe | accuracy and natural scale of f | differences of values ([`stencil`]) |
//! | reduce | the range of A, where d > m0 | singular values of gradients |
//! | lines | m0 and the directions a_i | steps of f along lines far from the origin, where units are saturated one by one, and a gradient on each |
//! | stack | where lines fall short, and first where a device keeps it: the span of the a_i a_i^T | finite-difference Hessians ([`stencil`]) far from the origin; their singular values fall after m0 of them ([`algebra::subspace`]) |
//! | units | m0 and the directions a_i | rank-one matrices in that span ([`algebra::rank_one`]), and steps of f along lines |
//! | polish | the directions to rounding | gradients where one unit alone is active |
//! | peel | m1 and B up to scales | saturated patterns of some units make gradients and Hessians in the others an exact low-rank problem; wide second layers are rank-one elements of what second differences span |
//! | scales | theta, tau, c, c0 and all scales; units that share a direction | least squares |
//! | refine | all parameters to rounding | Levenberg-Marquardt, all at once or by blocks where few parameters show |
//! | certify | residual and error bound | fresh values; the covariance of the fit |
//!
//! Where the values are too inaccurate for Hessians, `hyperplanes` (m0 and A, by where f changes along lines) and
//! `saturated` (m1 and B, by values where all units are saturated) stand for stack to scales; a run that fails asks
//! `clipping` whether the inputs are clipped.
//!
//! The [`Status`] is `Identified` only if the fresh values agree to the accuracy of the black box
//! *and* the parameter error has a small bound. That a network cannot be identified is a result with
//! a reason, never an `Err`: errors are broken black boxes.
//!
//! # Example
//!
//! ```
//! use disentangle::{Activation, Class, Network, NetworkOracle, Settings, Silent, Status, identify};
//!
//! // Any type that implements `Oracle` will do; here a random network answers.
//! let truth = Network::random(&[6, 5, 2], 1, Class::Paper, Activation::Tanh, 1)?;
//! let mut oracle = NetworkOracle::new(truth.clone());
//!
//! let solution = identify(&mut oracle, &Settings::default(), &mut Silent)?;
//! assert_eq!(solution.status, Status::Identified);
//! assert_eq!(solution.widths, Some(vec![5, 2]));
//!
//! let found = solution.network.expect("an identified network");
//! assert!(truth.matching(&found).within(1e-9));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A black box of your own
//!
//! ```
//! use disentangle::{FnOracle, Settings, Silent, Status, identify};
//!
//! let mut mine = FnOracle::new(3, |x| {
//!     let u = (x[0] - 0.3 * x[1] + 0.1).tanh();
//!     let v = (0.5 * x[0] + x[1] - 0.2).tanh();
//!     let w = (x[2] - 0.4 * x[1]).tanh();
//!     (0.8 * u - 0.6 * v + 0.7 * w - 0.2).tanh()
//! });
//! let solution = identify(&mut mine, &Settings::default(), &mut Silent)?;
//! assert_eq!(solution.status, Status::Identified);
//! assert_eq!(solution.widths, Some(vec![3, 1]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`FnOracle::batch`] takes a closure that answers many points at a time. A type of your own may implement
//! [`Oracle`] instead: the number of inputs and the values are enough, and it may fail with an error.
//!
//! A black box in another language is a [`ProcessOracle`]; what goes over the pipes is told in
//! [`oracle::process::protocol`].
//!
//! # Features
//!
//! | feature | what |
//! |---|---|
//! | `cli`, on by default | the program `disentangle`, and with it the two others |
//! | `gpu` | the GPU back end, [`gpu`] |
//! | `study` | sweeps over random networks, [`study`] |
//!
//! The library needs none of them: `disentangle = { version = "0.1", default-features = false }` leaves out half of the
//! dependencies.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod algebra;
// Of the program: it is here so that the Python package can run it.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
// What the program, the benchmarks and the tests share with the library; nothing to build on.
#[doc(hidden)]
pub mod draws;
#[doc(hidden)]
pub mod files;
pub mod fused;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod identify;
pub mod network;
pub mod oracle;
pub mod ranks;
pub mod report;
pub mod samples;
pub mod stage;
pub mod stencil;
#[cfg(feature = "study")]
pub mod study;

pub use algebra::rank_one::Ascent;
pub use identify::{IdentifyError, Settings, Solution, Status, identify};
/// Matrices and vectors in the signatures are its.
pub use nalgebra;
pub use network::{Activation, Class, Link, Matching, Network, OneLayer, TwoLayer};
pub use oracle::{
    FnOracle, NetworkOracle, Observer, Oracle, OracleError, ProcessOracle, ProcessSettings, Silent,
};
pub use report::Report;

/// The README's example is compiled and run with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
