//! The numbers that decide in this folder, each with its unit and the reason for its value.
//!
//! *Derived*: the formula is in the comment. *Search effort*: any value works, and the comment says what a larger one
//! trades. *Tuned*: no derivation; such a number is a matter for a sensitivity study.

// ---- Derived.

/// Share of the decrease promised by a Newton step that a shorter one must keep: any share below the 1/2 of a quadratic
/// function lets full steps pass near the minimum (Armijo).
pub(crate) const WHITENING_DECREASE: f64 = 0.25;
/// Halvings of a Newton step, at most: 2^-50 of it moves nothing but the last digits.
pub(crate) const WHITENING_HALVINGS: i32 = 50;
/// Squared length of the Newton step, in the metric of the second derivative, that ends the steps: the next one would
/// be of length 1e-12 (quadratic convergence).
pub(crate) const WHITENING_ARRIVED: f64 = 1e-12;
/// Smallest eigenvalue of the shifted matrix, of norm 1, below which it does not become definite: its rounding.
pub(crate) const WHITENING_LEAST: f64 = 1e-14;
/// First shift, in units of the most negative eigenvalue: any factor above 1 makes the matrix definite, 2 by as much as it
/// was not.
pub(crate) const WHITENING_FIRST_SHIFT: f64 = 2.0;
/// Largest movement of an entry of a direction in a step of the power method at which it has arrived. Convergence is
/// linear, three times as near with every step or better for units far from parallel: what is left is as small.
pub(crate) const POWER_ARRIVED: f64 = 1e-12;
/// What a further vector of a Krylov space, less its part in that space, must measure for a matrix of norm 1: below, it is
/// rounding, and the space is invariant.
pub(crate) const KRYLOV_CLOSED: f64 = 1e-12;

// ---- Search effort.

/// Starts that climb together, on one thread: matrix products of so many columns are as fast as they get, and what they
/// need beside the basis, n^2 / 2 numbers a start, stays small against it. Fixed, so that rounding is.
pub(crate) const BATCH: usize = 32;
/// Dimension of the Krylov space in which a step of an ascent looks for the top eigenvector, from the one before. With 2
/// an ascent takes a quarter more steps than with exact eigenvectors, with 4 hardly more, and ends at the same elements.
pub(crate) const KRYLOV_DIMENSION: usize = 4;

/// Length gamma of the gradient step where none is given. Near a rank-one element the error shrinks by 1 / (1 + gamma) a
/// step, so that larger ones converge faster; the published analysis allows any.
pub(crate) const GAMMA: f64 = 2.0;
/// Steps of an ascent that the power method ends, at most.
pub(crate) const ASCENT_STEPS: usize = 40;
/// Growth of the largest |eigenvalue| that ends an ascent which the power method goes on with: it takes one or two steps
/// then to [`POWER_NEAR`]. Smaller values mean more of the dearer steps.
pub(crate) const ASCENT_ARRIVED: f64 = 1e-3;
/// Largest movement of an entry of a direction in a step of the power method at which starts are told apart: a fortieth of
/// the angle of [`SAME_DIRECTION`]. Larger values leave fewer steps to every start and more of them to the one that goes
/// all the way.
pub(crate) const POWER_NEAR: f64 = 1e-3;
/// Steps of an ascent to its limit, at most: three times as near with every step for gamma = 2.
pub(crate) const LIMIT_STEPS: usize = 200;
/// Growth of the largest |eigenvalue| that ends an ascent to its limit: near the rounding of that eigenvalue.
pub(crate) const LIMIT_ARRIVED: f64 = 1e-13;
/// Steps of the power method, at most. Units far from parallel take 20 to 40 of them.
pub(crate) const POWER_STEPS: usize = 200;
/// Newton steps to a whitening for one shift, at most.
pub(crate) const WHITENING_STEPS: usize = 60;
/// What is left, from one shift to the next, of the smallest eigenvalue of the shifted matrix. Smaller shares mean fewer
/// shifts and more steps for each.
pub(crate) const WHITENING_FALL: f64 = 0.1;

/// Alternating projections of a search among cubes, at most, and the movement of an entry that ends them: a polish goes on.
pub(crate) const CUBES_STEPS: usize = 120;
pub(crate) const CUBES_ARRIVED: f64 = 1e-4;
/// Gauss-Newton steps of a polish: it converges quadratically.
pub(crate) const POLISH_STEPS: usize = 12;

// ---- Tuned.

/// |cos| above which two directions are one candidate: an angle of 2.6 degrees. Units nearer than that are taken for one.
pub(crate) const SAME_DIRECTION: f64 = 0.999;
/// |u_i| above which u is the axis e_i: as [`SAME_DIRECTION`].
pub(crate) const AXIS: f64 = SAME_DIRECTION;
/// Share of the entries of cubes that a subspace may fill so that random starts find all that spans it: of 35 to 120 entries all
/// are found up to 0.6, half of them at 0.7.
pub(crate) const CUBES_FILLED: f64 = 0.6;
/// Share of the dimensions of Sym(n) from which on limits of the search are other matrices than those that span the
/// subspace: seen from 0.75 on.
pub(crate) const SPURIOUS_FROM: f64 = 0.75;
