//! The numbers that decide in this folder, each with its unit and the reason for its value.
//!
//! *Derived*: the formula is in the comment. *Search effort*: any value works, and the comment says what a larger one
//! trades. *Tuned*: no derivation; such a number is a matter for a sensitivity study.

// ---- Derived.

/// Steps h that fit between the outermost points and the end of the region: Richardson's nodes lie up to 2 sqrt(2) = 2.83
/// of them from a point.
pub(crate) const SHALLOW_NODES_REACH: f64 = 3.0;
/// Step of the central difference of phi'' in z: near eps^(1/3) = 6e-6, where truncation h^2 and rounding eps / h are
/// alike.
pub(crate) const PROFILE_DIFFERENCE: f64 = 1e-5;
/// Shifts tried go this far beyond the slope times the largest t: farther out tanh'' < 3e-3 at every t, and the unit
/// would not show.
pub(crate) const PROFILE_SATURATED: f64 = 4.0;
/// Hessians of a stack for each dimension that it may show, as a fraction: half as many again, so that singular values
/// after the last of the span are seen.
pub(crate) const STACK_OVERSAMPLING: (usize, usize) = (3, 2);
/// Hessians of a stack, in numbers of entries of one, at which the search for a width ends: with three times as many as
/// any span has dimensions, more show no more.
pub(crate) const STACK_LARGEST: usize = 3;
/// Room, in natural scales, that fitted and held-out points leave at the end of the region for the short lines on which
/// the noise is measured; these are no longer.
pub(crate) const NOISE_LINES_ROOM: f64 = 0.1;

// ---- Search effort.

/// Scales of the fitted points where nothing bounds them, in natural scales.
pub(crate) const SHALLOW_FIT_SCALES: [f64; 4] = [0.5, 1.0, 2.0, 8.0];
/// Sampling radii of the attempts, relative to the first one's. Nearer, Hessians differ less; farther, units are saturated.
pub(crate) const SHALLOW_RADII: [f64; 4] = [1.0, 2.0, 0.5, 4.0];
/// Share of the region's radius that points of the stack may fill; the rest is for the stencils, whose step it bounds.
pub(crate) const STACK_FILLED: f64 = 0.8;
/// Points at which the step of the stencils is chosen. More cost queries.
pub(crate) const SHALLOW_STEP_POINTS: usize = 24;
/// Hessians sampled first, at least. More cost queries where the width is small.
pub(crate) const FIRST_HESSIANS: usize = 24;
/// Twice the Hessians beyond the oversampling that a width must leave. More make sure of small widths, and cost queries.
pub(crate) const STACK_SPARE: usize = 16;
/// Singular values in the report.
pub(crate) const SINGULAR_VALUES_REPORTED: usize = 64;
/// Rounds of random starts of the rank-one search, at most. More are slower.
pub(crate) const SHALLOW_ROUNDS: u64 = 4;
/// Random starts of a round for each unit. More are slower.
pub(crate) const SHALLOW_STARTS: usize = 8;
/// Slopes of the grid of profiles, from..to, in units of 1 / (largest |t|): flatter units are linear over the stack,
/// steeper ones change at one point of it.
pub(crate) const PROFILE_SLOPES: (f64, f64) = (0.03, 30.0);
/// Points a side of the grid of slopes and shifts: a factor of 1.19 between slopes. More are slower.
pub(crate) const PROFILE_GRID: usize = 41;
/// Places of the grid that are followed up. More are slower.
pub(crate) const PROFILES_FOLLOWED: usize = 6;
/// Steps from each place, at most.
pub(crate) const PROFILE_STEPS: usize = 100;
/// Relative change of the misfit that ends the steps.
pub(crate) const PROFILE_LEAST_GAIN: f64 = 1e-6;
/// First damping of the steps, relative to the diagonal of the normal equations.
pub(crate) const PROFILE_FIRST_DAMPING: f64 = 1e-3;
/// Factor of the damping after a step that gained.
pub(crate) const PROFILE_DAMPING_FALL: f64 = 0.1;
/// Factor of the damping after a step that did not gain.
pub(crate) const PROFILE_DAMPING_RISE: f64 = 10.0;
/// From this damping on steps are too short to gain anything.
pub(crate) const PROFILE_MOST_DAMPING: f64 = 1e12;

// ---- Tuned.

/// Least fall of the singular values, values below the floor of the noise counting as it, that shows a width. Smaller ones
/// take a fall within the span for its end, larger ones miss the fall to a high floor.
pub(crate) const SHALLOW_GAP: f64 = 5.0;
/// Least |P_W(u u^T)|^2 of a direction: u u^T is within sqrt(1e-3) = 3 % of W. Errors of W, relative to its gap, lower
/// that of a right direction by their square.
pub(crate) const SHALLOW_LEAST_SCORE: f64 = 0.999;
