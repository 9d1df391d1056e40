//! The numbers that decide in the search for first-layer units, and why they are what they are.
//!
//! *Derived*: the formula is beside it. *Statistical*: the rate of false alarms is. *Search effort*: any value
//! works, and the comment says what a larger one costs. *Tuned*: none of these, found by trial.

// Derived.

/// Half widths (98 % of a transition) after which a unit counts as saturated: tanh rounds to 1 from ln(2 / 2^-54) / 2
/// = 19.1 on, which is 8.3 half widths of 2.298; sigmoid from 8.1 and erf from 3.6 half widths on.
pub(crate) const SATURATED: f64 = 9.0;
/// Noise of a second difference of the polarised scheme in noises of a value over h^2: the root sums of squares of
/// its weights are sqrt(6) = 2.4 on the diagonal and sqrt(10) / 2 = 1.6 off it.
pub(crate) const HESSIAN_NOISE: f64 = 3.0;
/// Angle errors are bounded by this many times their estimates: what a direction turned by is its error before, but
/// for the error after, which is no larger.
pub(crate) const ANGLE_SAFETY: f64 = 2.0;
/// Share of a half width by which the lever of a round may carry a line away from its crossing: half of one is well
/// within the reach of [`TURN_REACH`] half widths, whatever the normal's error.
pub(crate) const LEVER_WIDTHS: f64 = 0.5;
/// Two units of one direction are the same if their hyperplanes are no farther apart than this many times the sum of
/// their half widths: each is placed within its own, and the second layer shifts it by no more than that again.
pub(crate) const SAME_WIDTHS: f64 = 2.0;
/// Directions are equal to rounding at an angle of 1e-13: some hundred eps.
pub(crate) const ANGLE_ROUNDING: f64 = 1e-13;
/// No direction is taken to be known better, by the agreement of its sightings: 4.5 eps.
pub(crate) const LEAST_SPREAD: f64 = 1e-15;
/// Streams of random numbers an attempt, no fewer than [`STACK_MOST_SCALES`]: no two stacks share one.
pub(crate) const STACK_STREAMS: u64 = 16;

/// Units that are not saturated are pushed to this many times the level of saturation: a step along one unit within its
/// transition, to other rows of the same place, moves them back by no more.
pub(crate) const PUSH_MARGIN: f64 = 1.1;

/// Relative truncation of a central difference along an axis by which a unit moves s half widths, in s^2: at its middle
/// a third of (2.3 s)^2 with 2.3 for the half width of tanh, and times sqrt(2) for the spread of the squares of the parts.
pub(crate) const TRUNCATION: f64 = 2.5;

/// Share of the level of saturation from which on a unit does not turn the gradient of another: 4.5 half widths, where
/// the slope of tanh is 4e-9.
pub(crate) const ALONE: f64 = 0.5;

// Statistical.

/// Differences above this many deviations of the noise are changes of f. The difference of two values has sqrt(2)
/// deviations: by chance 1.5e-8 of all differences exceed it, less than one in a thousand searches.
pub(crate) const SIGNIFICANT: f64 = 8.0;
/// A gradient above this many times noise / h is one. The norm of noise alone is 0.95 sqrt(d) times that, within
/// 0.7: no false alarm up to some 700 dimensions.
pub(crate) const SURE_GRADIENT: f64 = 30.0;
/// Crossings off the plane by more than this many times the median are not of this unit. The median is 0.67
/// deviations of normal errors, so that 5e-5 of the true crossings are lost.
pub(crate) const PLANE_OUTLIER: f64 = 6.0;
/// The error of a slope is taken to be so many standard errors: a normal one is larger in 5 % of all cases, and the
/// next round shows it.
pub(crate) const PLANE_SAFETY: f64 = 2.0;

// Search effort.

/// First sampling scale of the wide stack, in natural scales; it is doubled until the gap is clear. A smaller one
/// costs more stacks, a larger one keeps fewer Hessians.
pub(crate) const STACK_FIRST_SCALE: f64 = 16.0;
/// Attempts double the first scale, these many in turn: farther out only noise is left.
pub(crate) const STACK_SCALES: u64 = 4;
/// Scales tried for the wide stack, one stack of Hessians each.
pub(crate) const STACK_MOST_SCALES: usize = 5;
/// Hessians a dimension in the first stack.
pub(crate) const STACK_HESSIANS: usize = 6;
/// Hessians in the first stack at least: for few dimensions.
pub(crate) const STACK_LEAST_HESSIANS: usize = 48;
/// Points at which the step of the stack is chosen, at most.
pub(crate) const STACK_STEP_POINTS: usize = 48;
/// Where fewer than one in so many Hessians stand above the noise, the stack is sampled nearer.
pub(crate) const STACK_KEPT: usize = 4;
/// Ranks looked at are at most this share, numerator and denominator, of the Hessians.
pub(crate) const STACK_MOST_RANK: (usize, usize) = (2, 3);
/// Hessians for each dimension of the subspace; fewer, and their number is doubled.
pub(crate) const STACK_ENOUGH: usize = 3;
/// A gap at which no further scale is tried; without one the largest of all gaps is taken. The gap proves nothing:
/// units are proved by walks, and what the subspace lacks is found on lines. A larger value costs more stacks.
pub(crate) const STACK_GAP: f64 = 1.7;
/// Length of the first step of a walk away from the other units' hyperplanes: in natural scales and in
/// distances at which the units are saturated, the longer of the two. Short steps fail: within a few
/// hundred scales some other unit is nearly always in its active range.
pub(crate) const STRIDE: (f64, f64) = (1000.0, 4.0);
/// The steps of a walk, in lengths of the first.
pub(crate) const STRIDES: [f64; 2] = [1.0, 4.0];
/// Walks tried for each candidate.
pub(crate) const WALKS: usize = 12;
/// Walks wanted for each candidate: two that agree prove a unit, and a third may end elsewhere.
pub(crate) const WALKS_WANTED: usize = 3;
/// Random directions of which the best is taken for a walk.
pub(crate) const AWAY_DRAWS: usize = 32;
/// Placements a unit in the polish, of accurate and of coarse values.
pub(crate) const POLISH_TRIALS: (usize, usize) = (4, 16);
/// Random starts of the ascent for each dimension of the subspace, beside those of the Hessians.
pub(crate) const ASCENT_STARTS: usize = 2;
/// Top eigenvectors of Hessians whose cosine is larger are one start of the ascent.
pub(crate) const SAME_START: f64 = 0.99;
/// Candidates under this score are not worth a query: a lower one costs walks that end nowhere.
pub(crate) const CANDIDATE_SCORE: f64 = 0.5;
/// Lines on which all transitions must be explained before the completion ends: more miss a unit more rarely.
pub(crate) const COMPLETION_CLEAN_LINES: usize = 4;
/// Lines scanned at most in the completion.
pub(crate) const COMPLETION_MOST_LINES: usize = 96;
/// Length of those lines, in first steps of a walk: long against the widths, short against 1 / angle error.
pub(crate) const COMPLETION_LENGTH: f64 = 64.0;
/// Distance from the origin of the middle of a random line, as a share of its half length: such lines cross most
/// hyperplanes within their length, at places that differ.
pub(crate) const LINE_OFFSET: f64 = 0.25;
/// Known units explain a line over this many times their saturation: a larger zone hides more of other units,
/// a smaller one takes the ends of a transition for another.
pub(crate) const EXPLAINED_WIDTHS: f64 = 1.5;
/// Known units explain a line over this many times their angle errors times its length, too: how far their
/// crossings may be from where they are expected.
pub(crate) const EXPLAINED_ANGLES: f64 = 4.0;
/// Half length of the lines scanned for values with noise, in natural scales: longer ones hold the zones of known
/// units more easily and give longer levers; a zoom more is needed for each factor of 16.
pub(crate) const SCAN_LENGTH: f64 = 16384.0;
/// Lines scanned at most for values with noise.
pub(crate) const SCAN_MOST_LINES: usize = 200;
/// Lines in a row without anything new that end that scan: more miss a unit more rarely.
pub(crate) const SCAN_CLEAN_LINES: usize = 6;
/// Length of a stretch that holds a single change, in natural scales: 32 cells of 6 scales, a transition wide. A
/// line of full length is cut to 2,048 and then to 128 of them: any value between does the same.
pub(crate) const SINGLE_STRETCH: f64 = 192.0;
/// Gradients averaged for a first normal, at least.
pub(crate) const NORMAL_GRADIENTS: usize = 8;
/// Gradients averaged for a first normal where they are inaccurate, at most.
pub(crate) const NORMAL_MOST_GRADIENTS: f64 = 64.0;
/// The centres of the gradients averaged differ by this share of a half width, so that rounded values differ.
pub(crate) const NORMAL_JITTER: f64 = 0.02;
/// Crossings a dimension in a round of turning a normal.
pub(crate) const TURN_CROSSINGS: usize = 3;
/// Lines tried for each crossing: how much a faint unit changes f differs from place to place.
pub(crate) const TURN_TRIES: usize = 4;
/// Rounds of turning a normal.
pub(crate) const TURN_ROUNDS: usize = 5;
/// Crossings are looked for over this many half widths on either side: a longer stretch may hold other units.
pub(crate) const TURN_REACH: f64 = 3.0;
/// Random directions tried for a placement, one of these numbers: the best of many is near, but would be
/// the same few again and again.
pub(crate) const PLACE_DRAWS: [usize; 4] = [3, 6, 12, 24];
/// Up to so many units the sides on which they are saturated are chosen, however far out that is: fewer have too few
/// patterns by chance.
pub(crate) const MOST_CHOSEN: usize = 48;
/// Saturated units differ in their levels by up to this many times the saturation: points then differ in all
/// directions.
pub(crate) const SATURATION_JITTER: f64 = 0.3;

/// Sweeps over all units in the search for the nearest point at which they are on their sides: some tens do unless two are nearly the
/// same hyperplane.
pub(crate) const NEAREST_SWEEPS: usize = 400;
/// Share of its distance by which a unit may be short of it there: a twentieth of the margin.
pub(crate) const NEAREST_SHORT: f64 = 0.01;
/// Units that a far place pushes to saturation, about: more make it nearer, and cost least squares.
pub(crate) const FAR_PUSHED: usize = 4;
/// Share of the dimensions, or of the units where these are fewer, that a near place may push: more make it nearer,
/// until the pushes no longer fit each other.
pub(crate) const NEAR_PUSHED: f64 = 0.33;
/// Rounds of pushing before a place is given up.
pub(crate) const PUSH_ROUNDS: usize = 8;
/// Draws of all places wanted before they are held to be out of reach.
pub(crate) const PLACE_ROUNDS: usize = 6;

/// Distance of a line from the origin, in natural scales for each unit: neighbouring crossings are some 10^4 scales apart,
/// and no two closer than 20 on most lines. A third of it finds fewer units at the first look and takes others for one;
/// a larger one costs accuracy.
pub(crate) const LINES_DISTANCE: f64 = 3000.0;
/// The same in distances at which f no longer changes on rays: flat units are crossed apart from each other too.
pub(crate) const LINES_FAR: f64 = 4.0;
/// Natural scales by which the middle of a unit, seen on a line, may be off near the origin. At a distance of D scales the
/// rounding of points is D times that at one of them, over the largest step that is the error of the direction, and D times
/// that how far it strays. Derived: a scale is about half a transition.
pub(crate) const LINES_STRAY: f64 = 1.0;
/// Distance of a line in natural scales for each unit and root of an input, at least: a step is 5 sqrt(d) scales long there, and of
/// lines so far out one unit in three is within two steps of another. Whatever that costs in accuracy is to be borne.
pub(crate) const LINES_LEAST: f64 = 20.0;
/// Half the angle of a line that is scanned, as it is seen from the foot of the perpendicular: 1.5 of pi / 2, 95 % of
/// all crossings.
pub(crate) const LINES_SPAN: f64 = 1.5;
/// Pieces in which a line is scanned first, for each unit expected: more separate more steps before they are bisected.
pub(crate) const LINES_SCANNED: usize = 2;
/// Lines in a row that must show nothing new, for accurate and for coarse values: of the latter a line hides more, as known units
/// explain longer stretches of it and small steps are noise.
pub(crate) const LINES_CLEAN: (usize, usize) = (COMPLETION_CLEAN_LINES, 8);
/// Lines scanned at most, for accurate and for coarse values: search effort. 512 units took 32 of accurate ones.
pub(crate) const LINES_MOST: (usize, usize) = (64, 128);
/// Halvings of the cells of a line at most: from a piece of some 10^6 scales to a cell of 10^-12.
pub(crate) const MOST_REFINEMENTS: usize = 60;
/// Cells over which a step must show to be resolved.
pub(crate) const LINE_CELLS_RESOLVED: usize = 10;
/// Places so many times farther out than the lines are no places near the origin: of one unit sighted twice they were 23 to 1,500
/// times as far, those of 512 units in 512 inputs lie beyond the lines, too.
pub(crate) const TWIN_FAR: f64 = 10.0;
/// Places near the origin at which a unit is looked for again, of accurate and of coarse values: where the second layer is steep f
/// changes at few places by more than the noise of coarse ones.
pub(crate) const NEAR_TRIALS: (usize, usize) = (4, 32);

/// A gradient on a step is taken again until its direction is known to this: a few widths at the distance of the lines.
pub(crate) const SIGHT_GOAL: f64 = 3e-5;
/// A sighting of coarse values that is worse is none: it hides all of the line from others.
pub(crate) const SIGHT_WORST: f64 = 0.02;
/// But no more often: each costs d values.
pub(crate) const SIGHT_REPEATS: usize = 2;

// Tuned.

/// Smallest and largest step of a gradient on a step of f, in half widths.
pub(crate) const STEP_SHARE: (f64, f64) = (1e-4, 0.1);
/// A unit is looked for again over this many half widths, and errors of its middle, on either side.
pub(crate) const FIRST_STEP_REACH: f64 = 3.0;
/// A unit seen again may have turned by this many times its angle error.
pub(crate) const SIGHTED_ANGLES: f64 = 10.0;
/// And by this much.
pub(crate) const SIGHTED_SLACK: f64 = 1e-7;
/// Share of what a unit has turned by near the origin that is taken as its error there: of 512 units a hundredth of it was seen at
/// another place. What turns as much again is no unit.
pub(crate) const TURNED_AGAIN: f64 = 0.01;

/// Units are placed at this many times the saturation: with 9 half widths for 8.3, a half width measured 23 % too
/// short still saturates.
pub(crate) const SATURATION_MARGIN: f64 = 1.2;
/// Units held may stray from their places by this many half widths before their sides are left to chance, nearer by:
/// the rank of gradients shows down to a hundred times it.
pub(crate) const PLACE_STRAYS: f64 = 1e-3;
/// Condition number of the directions up to which their dual basis is used.
pub(crate) const DUAL_CONDITION: f64 = 1e6;
/// Farthest placement, in natural scales: a point there is rounded by 1e-9 of one.
pub(crate) const FARTHEST_PLACE: f64 = 1e7;
/// Signal over noise that a Hessian must have to be kept.
pub(crate) const STACK_SIGNAL: f64 = 100.0;
/// Hessians this much smaller than the largest are saturation to the last bit, or underflow.
pub(crate) const STACK_VANISHING: f64 = 1e-12;
/// The step of the stack in the best ones of Richardson's scheme, whose order is higher.
pub(crate) const STACK_STEP: f64 = 0.25;
/// The largest step of the stack to which noise may raise it, in natural scales.
pub(crate) const STACK_MOST_STEP: f64 = 0.1;
/// Singular values of the stack under this many times the relative noise of a Hessian, times the largest, are noise.
pub(crate) const STACK_NOISE: f64 = 4.0;
/// Relative noise of a Hessian where the oracle differences values and does not say.
pub(crate) const STACK_UNKNOWN_NOISE: f64 = 2e-10;
/// A candidate's direction and the first gradient may differ by this angle.
pub(crate) const FIRST_ANGLE: f64 = 0.6;
/// The first gradient of a candidate is not taken to be known better than to this angle.
pub(crate) const FIRST_LEAST_ANGLE: f64 = 1e-3;
/// A candidate's transition is looked for over this many natural scales on either side of its anchor.
pub(crate) const FIRST_REACH: f64 = 4.0;
/// The ends of the walks must agree to this angle.
pub(crate) const WALK_AGREEMENT: f64 = 1e-4;
/// A walk looks for its unit's transition over this many half widths on either side.
pub(crate) const WALK_REACH: f64 = 4.0;
/// A gradient that turned by more than this many times the angle error before is that of another unit.
pub(crate) const WALK_TURN: f64 = 3.0;
/// A step of a walk lowers the angle error to no less than this share.
pub(crate) const WALK_GAIN: f64 = 0.02;
/// Random vectors are not made orthogonal to a direction where less than this would remain of them.
pub(crate) const AWAY_REMAINDER: f64 = 1e-6;
/// Candidates whose cosine with the unit's direction is larger are that unit itself, and need not be walked away
/// from.
pub(crate) const AWAY_COSINE: f64 = 0.98;
/// The polish looks for a transition over this many half widths on either side.
pub(crate) const POLISH_REACH: f64 = 2.0;
/// The polish looks for a transition this many angle errors times the distance of the placement farther, too.
pub(crate) const POLISH_ANGLES: f64 = 3.0;
/// A direction seen in the polish may differ from that before by this many times its error.
pub(crate) const POLISH_TOLERANCE: f64 = 10.0;
/// A polished direction replaces that before if its error is no larger than this many times that before.
pub(crate) const POLISH_WORSE: f64 = 3.0;
/// Sightings agree within this many times the angle between the two that agree best.
pub(crate) const CONSENSUS_SPREAD: f64 = 4.0;
/// Angles of gradients are compared to this accuracy at best.
pub(crate) const ANGLE_SLACK: f64 = 1e-9;
/// No direction is taken to be known better after a step of a walk or a round of turning, nor is a polished one
/// refused.
pub(crate) const LEAST_ANGLE: f64 = 1e-12;
/// Directions whose cosine is within this of 1 are equal: 1.4e-4 rad.
pub(crate) const KNOWN_COSINE: f64 = 1e-8;
/// Two hyperplanes found in noise are equal if their normals differ by less than this many times their errors.
pub(crate) const SAME_ANGLES: f64 = 10.0;
/// Step of the gradients of a first normal, in half widths along the line: those across are shorter.
pub(crate) const NORMAL_STEP: f64 = 0.1;
/// The least angle error that a first normal is taken to have.
pub(crate) const ROUGH_ANGLE: f64 = 0.05;
/// The largest angle error that a first normal is taken to have.
pub(crate) const ROUGHEST_ANGLE: f64 = 0.3;
/// The lever of a round is at most this share of the lines' half length.
pub(crate) const MOST_LEVER: f64 = 0.25;
/// The last lever, about the origin, as a share of the lines' half length: other units are seldom in their active
/// range there.
pub(crate) const NEAR_LEVER: f64 = 0.0625;
/// The share of crossings that must lie on one hyperplane.
pub(crate) const TURN_AGREEING: f64 = 0.5;
/// Angles are known well enough at this error.
pub(crate) const ANGLE_GOAL: f64 = 1e-5;
/// Crossings are not taken to be placed better than to this share of a half width.
pub(crate) const PLANE_LEAST: f64 = 1e-3;
/// Singular values under this share of the largest are left out of a least squares fit whose unknowns data alone
/// decide.
pub(crate) const LEAST_SINGULAR: f64 = 1e-9;

// Of widths where the second layer is steep.

/// f changes by less than this share of its spread beyond a transition: what 1 - tanh is at 3 half widths. Derived.
pub(crate) const WIDTH_SHARE: f64 = 1e-6;
/// Half widths from the middle at which that is so, for the transition itself. Derived.
pub(crate) const WIDTH_TAIL: f64 = 3.0;
/// The others are saturated as if they were so many times as wide. Search effort: wider means farther out.
pub(crate) const WIDTH_SAFE: f64 = 4.0;
/// Half widths from the middle at which f is looked at, either side. Search effort.
pub(crate) const WIDTH_LEVELS: [f64; 9] = [3.0, 3.6, 4.3, 5.2, 6.3, 9.0, 13.0, 20.0, 30.0];
/// Patterns of the others at which it is. Search effort.
pub(crate) const WIDTH_PLACES: usize = 6;
