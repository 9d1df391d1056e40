//! The numbers that decide in this folder, each with its unit and the reason for its value.
//!
//! *Derived*: the formula is in the comment. *Search effort*: any value works, and the comment says what a larger one
//! trades. *Tuned*: no derivation; such a number is a matter for a sensitivity study.

// ---- Derived.

/// Squared residual, relative to that of no components, at which nothing is left to gain: below the rounding eps of the
/// terms whose difference it is.
pub(crate) const CUBES_FITTED: f64 = 1e-28;
/// Squared residual over that of [`CUBES_PATIENCE`] steps before, above which a start is given up: a gain of a tenth, 0.9^2.
pub(crate) const CUBES_PATIENCE_GAIN: f64 = 0.81;
/// Tolerance of the conjugate gradients, in units of the residual: steps whose error falls with the residual converge
/// faster than linearly (inexact Newton).
pub(crate) const GRADIENTS_TOLERANCE: f64 = 0.1;
/// The relative tolerance of the conjugate gradients is no smaller, which would cost more than a step gains, and no
/// larger, which would spoil steps.
pub(crate) const GRADIENTS_TOLERANCES: (f64, f64) = (1e-6, 1e-2);

// ---- Search effort.

/// Starts climbed together. More use more threads, and climb on after the first success.
pub(crate) const CUBES_BATCH: usize = 4;
/// Levenberg-Marquardt steps a start, at most.
pub(crate) const CUBES_STEPS: usize = 150;
/// Conjugate gradients a step, at most.
pub(crate) const CUBES_GRADIENTS: usize = 150;
/// Steps after which a start that has gained less than a tenth is given up. Fewer give up starts in narrow valleys.
pub(crate) const CUBES_PATIENCE: usize = 12;
/// First damping of a climb, for |T| = 1.
pub(crate) const CUBES_FIRST_DAMPING: f64 = 1e-2;
/// Divisor of the damping after a step that gained.
pub(crate) const CUBES_DAMPING_FALL: f64 = 5.0;
/// Factor of the damping after a step that did not gain.
pub(crate) const CUBES_DAMPING_RISE: f64 = 4.0;
/// The damping of a climb falls no lower.
pub(crate) const CUBES_LEAST_DAMPING: f64 = 1e-15;
/// Dampings tried in a step, at most: a factor of 4^8 = 65,536 between the first and the last.
pub(crate) const CUBES_DAMPINGS: usize = 8;
/// Components exchanged at once, at most. More are slower.
pub(crate) const MOST_SWAPS: usize = 4;
/// A trial that leaves more than this share of the residual is no gain, and is followed by another kind of trial.
pub(crate) const CUBES_GAIN: f64 = 0.9;
/// Length of components that are drawn again, in units of the median length. Only starts depend on it.
pub(crate) const REDRAWN_LENGTH: f64 = 0.5;

// ---- Tuned.

/// A residual beyond this is not the fault of a few components, and they are not drawn again. Larger ones are slower.
pub(crate) const WORTH_MENDING: f64 = 0.05;
/// Distance, relative to the longer one, within which two components are the same.
pub(crate) const ALIKE_COMPONENTS: f64 = 0.1;
/// Axes along which T is this much smaller (squared) than along the largest are not blown up further: noise would be.
pub(crate) const SMALLEST_AXIS: f64 = 1e-6;
