//! Linear and multilinear algebra: knows no black box and no network.

pub mod joint_diagonalisation;
pub mod rank_one;
pub mod subspace;
pub mod svec;
pub mod symmetric_tensor;
pub(crate) mod tolerances;

#[doc(hidden)]
pub use disentangle_linalg as linalg;
