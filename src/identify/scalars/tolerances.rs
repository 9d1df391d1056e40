//! The numbers that decide in this folder, each with its unit and the reason for its value.
//!
//! *Derived*: the formula is in the comment. *Search effort*: any value works, and the comment says what a larger one
//! trades. *Tuned*: no derivation; such a number is a matter for a sensitivity study.

use std::ops::Range;

// ---- Derived.

/// Half the length of a unit's line, in half widths. A half width of a unit with a linear response is z = 2.3 (99 % of
/// the transition), so that the ends are at z = 6.9, where tanh is saturated to 2e-6.
pub(crate) const LINE_REACH: f64 = 3.0;
/// First guesses of a slope times the half width. artanh(0.98) = 2.3 is that of a tanh unit with a linear response; the
/// others cover a factor of two either way, for responses that the second layer bends.
pub(crate) const SLOPE_GUESSES: [f64; 7] = [1.0, 1.4, 1.8, 2.3, 2.9, 3.8, 5.0];

// ---- Search effort.

/// Lines a unit, with the others saturated differently. More average the errors of the second layer, and cost queries.
pub(crate) const LINES_PER_UNIT: usize = 4;
/// Points a line: 21 over six half widths leave 0.7 in z between two. More average the noise, and cost queries.
pub(crate) const POINTS_PER_LINE: usize = 21;
/// Guesses of z in the middle of the lines, on either side of 0. More are slower; the best few are followed.
pub(crate) const MIDDLE_GUESSES: i32 = 6;
/// Distance in z between two guesses of the middle, much less than the width of a transition.
pub(crate) const MIDDLE_STEP: f64 = 0.3;
/// Guesses of slope and middle that a descent follows, the best of the grid. More are slower.
pub(crate) const GUESSES_FOLLOWED: usize = 4;
/// A slope times the half width at or below this is out of bounds. It keeps a descent away from slope 0, where the unit
/// is a constant; a twentieth of the least guess, so that no unit seen is excluded.
pub(crate) const LEAST_UNIT_SLOPE: f64 = 0.05;
/// Units of one direction, at most. Four or more are not told apart; each number takes as many starts again.
pub(crate) const MOST_PER_DIRECTION: usize = 3;
/// Random starts for each number of units of one direction. More find rarer minima, and are slower.
pub(crate) const BUNDLE_STARTS: usize = 80;
/// The middles of units of one direction are drawn within this of that of the line, in z. Only starts depend on it.
pub(crate) const BUNDLE_MIDDLES: f64 = 2.0;
/// The slopes of units of one direction times the half width are drawn from here: from 2/3 to twice the 2.3 of a single
/// unit, since transitions that lie beside each other make the one that is seen wider. Only starts depend on it.
pub(crate) const BUNDLE_SLOPES: Range<f64> = 1.5..4.5;
/// Steps of a descent in a few unknowns, at most. It usually stops before.
pub(crate) const DESCENT_STEPS: usize = 60;
/// Step of the forward differences of a descent, for unknowns of order 1. Their error, 1e-6 by truncation and 2e-10 by
/// rounding, slows the last steps by as much and moves no minimum of vanishing residuals.
pub(crate) const DESCENT_DIFFERENCE: f64 = 1e-6;
/// A descent ends with a step that lowers the sum of squares by less than this share.
pub(crate) const DESCENT_LEAST_GAIN: f64 = 1e-9;
/// First damping of a descent, relative to the diagonal of the normal equations.
pub(crate) const DESCENT_FIRST_DAMPING: f64 = 1e-3;
/// Factor of the damping after a step of a descent that gained.
pub(crate) const DESCENT_DAMPING_FALL: f64 = 0.2;
/// Factor of the damping after a step of a descent that did not gain.
pub(crate) const DESCENT_DAMPING_RISE: f64 = 10.0;
/// The damping of a descent falls no lower: small beside 1, large beside the rounding of the normal equations.
pub(crate) const DESCENT_LEAST_DAMPING: f64 = 1e-12;
/// With more damping a step of a descent is too short to gain anything: it has arrived.
pub(crate) const DESCENT_MOST_DAMPING: f64 = 1e8;

// ---- Tuned.

/// A unit's misfit that is this many times the median over all units suggests several units of one direction: these are
/// searched then. Smaller values cost time for nothing, larger ones overlook such units.
pub(crate) const BUNDLE_SUSPECTED: f64 = 100.0;
/// Several units of one direction are taken for one if they lower its misfit by this factor. They have 2 + m1 unknowns
/// more each, which explain noise of n values only to a factor sqrt(n / (n - 2 - m1)); a unit that is really several
/// lowers it by orders of magnitude.
pub(crate) const BUNDLE_EXPLAINS: f64 = 30.0;
/// The search for units of one direction ends with a misfit of this many medians: as good as the other units' is.
pub(crate) const BUNDLE_GOAL: f64 = 5.0;
/// An activation that fits a layer this many times worse than another is not the layer's. Smaller values may drop the
/// right one where rows of the second layer are inaccurate, larger ones cost fits that the certificate rejects.
pub(crate) const ACTIVATION_EXCLUDED: f64 = 100.0;
