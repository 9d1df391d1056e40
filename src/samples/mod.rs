//! Networks of one hidden layer from samples alone: pairs (x_j, y_j), no oracle.
//!
//! ```text
//! y = U phi(W^T x) + noise,   x in R^d Gaussian,   W d x k, U m x k, k <= d
//! ```
//!
//! without shifts and without an offset: the model of two published systems.
//!
//! * Zhong, Song, Jain, Bartlett and Dhillon, Recovery guarantees for one-hidden-layer neural networks (ICML 2017,
//!   arXiv 1706.03175): moments of the samples start a local search ([`moments`], [`tensor_start`], [`refine`]).
//! * Bakshi, Jayaram and Woodruff, Learning two layer rectified neural networks in polynomial time (COLT 2019,
//!   arXiv 1811.01885): once it is known on which side of each kink each sample lies, the network solves a linear system
//!   ([`exact`]).
//!
//! Beside them stands what people would use instead, training from random starts ([`descent`]).
//!
//! Samples come from a [`Samples`]: matrices, or a file that is streamed where it does not fit into memory. [`fit()`] runs the
//! stages and ends with a verdict ([`verdict`]) on samples that were held out.

pub mod descent;
pub mod exact;
mod file;
mod fit;
mod format;
pub mod hermite;
pub mod moments;
mod normal;
mod passes;
pub mod refine;
mod report;
pub mod tensor_start;
#[cfg(test)]
mod tests;
mod units;
pub mod verdict;
mod write;

pub use file::{Block, SampleError, Samples};
pub use fit::{
    Doing, Fit, FitEvidence, FitSettings, Method, activation_named, fit, fit_watched, properties,
};
pub use passes::Passes;
pub use report::FitReport;
pub use units::Units;
pub use write::{draw_samples, write_samples};
