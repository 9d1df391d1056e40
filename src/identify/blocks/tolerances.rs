//! The numbers that decide in the fit by blocks, and why they are what they are.
//!
//! *Derived*: the formula is beside it. *Statistical*: the rate of false alarms is. *Search effort*: any value
//! works, and the comment says what a larger one costs. *Tuned*: none of these, found by trial.

// Search effort.

/// Rows of the second layer for each of its unknowns, numerator and denominator.
pub(crate) const SECOND_ROWS: (usize, usize) = (13, 10);
/// Rows of the second layer at least, beyond its unknowns.
pub(crate) const SECOND_SPARE_ROWS: usize = 60;
/// Rows of a unit far out for each of its unknowns, numerator and denominator.
pub(crate) const UNIT_ROWS: (usize, usize) = (115, 100);
/// Rows of a unit beside those.
pub(crate) const UNIT_SPARE_ROWS: usize = 16;
/// Of them, rows along the unit at a near place: they hold the shift, which is a lever away from all rows far out.
pub(crate) const UNIT_NEAR_ROWS: usize = 8;
/// Places tried for each row, numerator and denominator: those where f depends most on the unit are asked.
pub(crate) const ROW_CHOICE: (usize, usize) = (3, 2);
/// Near places tried.
pub(crate) const NEAR_CHOICE: usize = 4;
/// Steps of the fit of a unit, at most.
pub(crate) const UNIT_STEPS: usize = 30;
/// Halvings of a step of that fit that leads too far.
pub(crate) const UNIT_HALVINGS: i32 = 6;
/// Units placed, asked and fitted at a time: more share a batch of queries, and take memory.
pub(crate) const UNITS_AT_ONCE: usize = 16;

/// Passes over all blocks at most.
pub(crate) const BLOCK_ROUNDS: u64 = 3;
/// A pass that leaves more than this share of the residual before brings nothing.
pub(crate) const ROUND_GAINS: f64 = 0.3;

/// Units left free first where saturated patterns do not determine the second layer; then twice as many more.
pub(crate) const FREE_FIRST: usize = 4;
/// Unknowns of the second layer and the free units at most: beyond, their normal equations take gigabytes.
pub(crate) const MOST_CORE: usize = 17_000;
/// A free unit is held within so many half widths of its middle: what shows its curvature, which others beside it share.
pub(crate) const FREE_SPAN: f64 = 1.0;

/// A second layer of many unknowns is fitted only if it is off by less than this share of the spread of f at first.
pub(crate) const FAR_OFF: f64 = 0.1;
/// A second layer that the values do not determine is given more rows if it fits them to this many times their accuracy.
pub(crate) const UNDETERMINED_FITS: f64 = 1e3;

// Tuned.

/// Units on the same side at more than this share of all rows, more than at opposite ones, are left free together.
pub(crate) const SAME_SIDES: f64 = 0.97;

/// Rows of a unit have it within this many half widths of its middle: 0.9 of a tanh's argument.
pub(crate) const ROW_SPAN: f64 = 0.39;
/// A step that leaves more than this share of the residual does not converge: the fit of the unit ends.
pub(crate) const UNIT_SLOW: f64 = 0.9;
/// Where a step of the old Jacobian leaves more than this share of the residual, a new one is made.
pub(crate) const UNIT_CHORD: f64 = 0.05;
