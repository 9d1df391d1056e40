//! The numbers that decide in the files of this folder, each with its unit and the reason for its value; its
//! subfolders have their own.
//!
//! *Derived*: the formula is in the comment. *Search effort*: any value works, and the comment says what a larger one
//! trades.

// ---- Derived.

/// Singular values below this share of the largest are left out where weights are found by least squares: the matrix
/// itself is computed, with errors of up to that size.
pub(crate) const WEIGHTS_CUTOFF: f64 = 1e-12;
/// A divisor no smaller than this keeps the ratio of singular values finite where the next one is zero; no measured value
/// is so small.
pub(crate) const LEAST_DIVISOR: f64 = 1e-300;

// ---- Search effort.

/// Pairs of random combinations of the matrices to be diagonalised jointly, of which the best counts. More are slower.
pub(crate) const DIAGONALISATION_PAIRS: usize = 8;
