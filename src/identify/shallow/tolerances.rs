//! The numbers that decide in this folder, each with its unit and the reason for its value.
//!
//! *Derived*: the formula is in the comment. *Statistical*: the rate of false alarms is. *Search effort*: any value works, and the comment says what a larger one
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

/// Values on a step that its first guess takes: two make a straight line.
pub(crate) const RISE_LEAST_VALUES: f64 = 2.0;
/// Newton's steps to an argument of phi: from 0 the first ones gain a constant each, up to z = 3 some 20 of them.
pub(crate) const ARGUMENT_STEPS: usize = 60;
/// A cell no longer than this share of its position is not halved: positions are rounded to eps of it, and this is 45 eps.
pub(crate) const STEP_FINEST: f64 = 1e-14;
/// Halvings of a line: 2^-60 of it is under the rounding of positions.
pub(crate) const STEP_ZOOMS: usize = 60;
/// The misfit of a step, carried over the distance, is at most this many widths: the step elsewhere is then known well
/// enough to be taken from f, all but this share.
pub(crate) const SIGHTED_ACCURATE: f64 = 0.1;
/// The same for what the noise does to it: the distance is such that it is no more.
pub(crate) const PLACED: f64 = 0.01;

// ---- Statistical.

/// Errors of a unit are estimates; it is taken to be off by no more than this many times them.
pub(crate) const SAME_ERRORS: f64 = 10.0;
/// Distant points at which f must be the same but for the units found. A missing unit is on either side of its hyperplane with
/// equal chance: all of these are on one side with probability 2^-31.
pub(crate) const CHECK_POINTS: usize = 32;

// ---- Search effort.

/// Arguments of phi are read off values within this share of a step: 2.0 for tanh, where an error of the value is 14
/// times that at the middle. More reach farther, less accurately.
pub(crate) const RISE_WITHIN: f64 = 0.964;
/// Gauss-Newton steps of a step of f, at most; they converge in five or six.
pub(crate) const RISE_STEPS: usize = 40;
/// Halvings of such a step.
pub(crate) const RISE_HALVINGS: i32 = 6;
/// A step that leaves more than this share of the misfit is the last.
pub(crate) const RISE_GAIN: f64 = 0.5;
/// Cells that a step must show over: its four unknowns and as many values that judge it. More cost queries.
pub(crate) const STEP_CELLS: usize = 7;
/// Cells after which what changes smoothly and is no step is given up. More cost queries where steps overlap.
pub(crate) const STEP_MOST_CELLS: usize = 24;
/// Cells halved at a time, at most: those of 2,000 steps. A function that changes all along a line has more, twice as many
/// every time. A larger number costs queries there.
pub(crate) const STEP_MOST_OPEN: usize = 1 << 14;
/// Cells that change less than this share of the largest change beside them are left alone: tanh has 0.999 of its step
/// within 3.8 of the middle. Smaller steps beside larger ones are seen once those are known.
pub(crate) const STEP_QUIET: f64 = 1e-3;
/// Changes of f are smooth where they differ by no more than this share of the largest from one cell to the next.
pub(crate) const STEP_SMOOTH: f64 = 0.5;
/// Cells of a line before it is halved. More tell steps apart that sum to nothing, and cost queries.
pub(crate) const FIRST_CELLS: usize = 16;
/// Distance of the lines, in natural scales for every unit and the root of the number of inputs. Crossings are spread over about the
/// distance, a step is up to 40 widths of exp(-2 z) long before it is under all digits, and a line runs at a
/// cosine of about 1 / sqrt(d) to a hyperplane: with 300, one step in ten overlaps another. More cost accuracy.
pub(crate) const SPACING: f64 = 300.0;
/// By this factor the distance grows where steps overlap. A larger one costs accuracy, a smaller one lines.
pub(crate) const FARTHER: f64 = 4.0;
/// Lines in a row without a unit that end the search.
pub(crate) const MOST_FRUITLESS: usize = 6;
/// The same before there is any unit: of two hidden layers no step is one. More cost queries there; with four, the last
/// is 64 times as far away as the first.
pub(crate) const MOST_BARREN: usize = 4;
/// Numbers of a large fit for each parameter, as a fraction: half as many again leave a third of them to judge by.
pub(crate) const LARGE_OVERSAMPLING: (usize, usize) = (3, 2);
/// Points of a large fit for each unit, at least: each is to show in its transition.
pub(crate) const LARGE_UNIT_POINTS: usize = 6;
/// Points of a large fit beside these.
pub(crate) const LARGE_SPARE: usize = 100;
/// Steps of conjugate gradients, at most. They converge in some ten times the condition number.
pub(crate) const CONJUGATE_STEPS: usize = 20_000;
/// Those of the first Gauss-Newton step end where the gradient is this share of the first one.
pub(crate) const CONJUGATE_GAIN: f64 = 1e-8;
/// Those of the others, which have little left to do.
pub(crate) const CONJUGATE_LAST_GAIN: f64 = 1e-3;
/// The same for errors of the parameters, which need no more than two digits.
pub(crate) const CONJUGATE_DRAWS_GAIN: f64 = 1e-3;
/// Gauss-Newton steps, at most. From the steps of f far out two or three are needed.
pub(crate) const CONJUGATE_ROUNDS: usize = 8;
/// A Gauss-Newton step that leaves more than this share of the residual is the last.
pub(crate) const CONJUGATE_IDLE: f64 = 0.5;
/// Share of the trace of a Gram matrix that is added to its diagonal, so that rounding makes no factor of it fail: it only
/// chooses coordinates.
pub(crate) const CONJUGATE_ROUNDING: f64 = 1e-14;
/// Networks drawn from what a large fit leaves open. More are slower.
pub(crate) const CONJUGATE_DRAWS: u64 = 8;
/// Step along an input, in 1 / slope along the line, at which a weight is looked for first.
pub(crate) const SIGHT_STEP: f64 = 0.5;
/// The step becomes this many times as long where it leads out of the unit's transition.
pub(crate) const SIGHT_NEARER: f64 = 0.125;
/// How often: a line at a cosine of 2^-30 to the hyperplane is met once in 10^9 lines.
pub(crate) const SIGHT_ROUNDS: usize = 10;
/// Points whose tolerance is more than this many times the least are too near a known hyperplane to tell anything.
pub(crate) const REFERENCE_SHARE: f64 = 1e3;
/// Units that are looked for in what others leave, before the search is given up: so many for each of those, and so many more. Among
/// them are units taken in vain: 8 for 24 under two inputs. More cost time where f is no such network.
pub(crate) const MISSING_MOST: (usize, usize) = (2, 24);
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
