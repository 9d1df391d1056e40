//! One hidden layer: f(x) = c0 + sum_i c_i phi(a_i . x - theta_i), any norms.
//!
//! Two ways, of which the second is a second opinion, and the only one within a domain:
//!
//! * **Far out** every step of f is one unit: its height, place and profile, and a value aside for each input, are all that there
//!   is to know of it, whatever the width.
//! * **Near a point**: every Hessian lies in span{a_i a_i^T}, wherever it is taken.
//!
//! | stage | what it finds | how |
//! |---|---|---|
//! | probe | accuracy and natural scale of f | differences of values |
//! | reduce | coordinates of even influence | gradients |
//! | lines | the units | steps between distant points, until f is the same all over but for the units (`sightings`) |
//! | | units that steps do not show | what those found leave of f near the origin, one unit at a time (`missing`) |
//! | stack | m and span{a_i a_i^T} | Hessians around the centre; their singular values fall after m  |
//! | directions | a_i / norm | joint diagonalisation of the Hessians where m <= d ([`joint_diagonalisation`](crate::algebra::joint_diagonalisation)), rank-one search in the span |
//! | profiles | norms and shifts | the coefficient of a_i a_i^T is a function of a_i . x alone ([`profile`]) |
//! | refine | all parameters | Levenberg-Marquardt |
//! | certify | residual and error bound | fresh values; the covariance of the fit |

mod directions;
mod far;
mod growing;
mod large;
mod missing;
mod near;
mod pipeline;
pub mod profile;
mod rise;
mod sightings;
mod stack;
mod staircase;
mod tolerances;

pub use pipeline::identify;
pub(crate) use pipeline::identify_on;
