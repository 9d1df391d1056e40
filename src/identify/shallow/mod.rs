//! One hidden layer: f(x) = c0 + sum_i c_i phi(a_i . x - theta_i), any norms.
//!
//! Every Hessian lies in span{a_i a_i^T}, near the centre of sampling as well as far from it, so that
//! this pipeline is local and respects a domain.
//!
//! | stage | what it finds | how |
//! |---|---|---|
//! | probe | accuracy and natural scale of f | differences of values |
//! | stack | m and span{a_i a_i^T} | Hessians around the centre; their singular values fall after m  |
//! | directions | a_i / norm | joint diagonalisation of the Hessians where m <= d ([`joint_diagonalisation`](crate::algebra::joint_diagonalisation)), rank-one search in the span |
//! | profiles | norms and shifts | the coefficient of a_i a_i^T is a function of a_i . x alone ([`profile`]) |
//! | refine | all parameters, c and c0 by linear least squares first | Levenberg-Marquardt |
//! | certify | residual and error bound | fresh values; the covariance of the fit |

mod directions;
mod far;
mod near;
mod pipeline;
pub mod profile;
mod rise;
mod sightings;
mod stack;
mod staircase;
mod tolerances;

pub use pipeline::{ShallowSolution, identify};
