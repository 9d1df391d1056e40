//! The numbers that decide in this folder, each with its unit and the reason for its value.
//!
//! *Derived*: the formula is in the comment. *Statistical*: the rate of false alarms is. *Search effort*: any value works,
//! and the comment says what a larger one trades. *Tuned*: no derivation; such a number is a matter for a sensitivity
//! study.

use crate::algebra::symmetric_tensor::Effort;

// ---- Derived.

/// How far the stencils of a jet reach from its point, in steps: two of a difference of Hessians whose own nodes reach
/// two along each of two axes, 2 + 2 sqrt(2) = 4.83.
pub(crate) const JET_REACH: f64 = 5.0;
/// The largest step tried for jets is the radius over this: from points at a quarter of the radius, four steps along a
/// line end at three quarters of it.
pub(crate) const RADIUS_IN_JET_STEPS: f64 = 8.0;
/// Distance from the origin of the points on whose lines the step is chosen, in radii: off the origin, which may be a
/// point of symmetry with vanishing third derivatives.
pub(crate) const JET_LINES_AT: f64 = 0.25;
/// Error of a gradient by differences of fourth order, along one axis, in units of noise / h: their weights 8/12 and
/// 1/12, taken twice, give sqrt(130) / 12 = 0.95; with about half as much again, since the noise itself is measured.
pub(crate) const FAR_GRADIENT_NOISE: f64 = 1.5;
/// Relative size, to the square of the largest singular value, of the multiplier with which a step that the ball does not
/// bound is taken: above the rounding of that square, so that directions which are not seen stay where they are.
pub(crate) const LEAST_MULTIPLIER: f64 = 1e-14;
/// Relative size of the multiplier at which the step leads to the origin, to a millionth.
pub(crate) const MOST_MULTIPLIER: f64 = 1e6;
/// Bisections of the multiplier, on a scale of logarithms: 2^-60 of 20 decades is below the rounding of its ends.
pub(crate) const MULTIPLIER_BISECTIONS: usize = 60;
/// What the bisected step may lie beyond the ball, relative to its radius: rounding, far below the room for stencils.
pub(crate) const BALL_EXCEEDED: f64 = 1e-9;
/// A move shorter than this share of the ball is none: its third derivatives would be those already measured.
pub(crate) const LEAST_MOVE: f64 = 1e-9;
/// Directions whose smallest singular value is below this share of the largest do not span the space: a representation by
/// them magnifies the errors of the gradient by its inverse, and nothing else would be left.
pub(crate) const DIRECTIONS_DEPENDENT: f64 = 1e-10;
/// Singular values below this share of the largest are left out of the least squares for outgoing weights: features that
/// are alike to ten digits but for rounding.
pub(crate) const OUTGOING_CUTOFF: f64 = 1e-10;
/// Damping of the normal equations of the tangent space, whose matrix has diagonal 1: small beside 1, large beside its
/// rounding.
pub(crate) const TANGENT_DAMPING: f64 = 1e-12;

// ---- Statistical.

/// Smallest coefficient of an entangled direction over the largest of a first-layer one, above which a partition is better
/// than a guess. Generic gradients, which no partition explains, exceed 3 one to three times in a hundred, 10 never
/// (simulated, 10 to 20 dimensions, 2 to 9 entangled; 150 draws each).
pub(crate) const PARTITION_MARGIN: f64 = 3.0;
/// Trials of the attribution. One succeeds if its m1 of the d + m1 rows are all of the first layer: C(d, m1) / C(d + m1, m1),
/// 1 in 261 for d = 15, m1 = 9, where all 4,000 miss with a probability of 2e-7; 1 in 38,000 for m1 = 12, where they miss
/// nine times in ten.
pub(crate) const ATTRIBUTION_TRIALS: usize = 4000;
/// Points of the saturation rule for each direction. More cost queries.
pub(crate) const FAR_POINTS: usize = 12;
/// Share of the far points that call a direction first-layer, and the share up to which it is called entangled. If a point
/// errs with a probability of 1/5, 8 of 12 do so for an entangled direction once in 1,700 times; if one of a first-layer
/// direction speaks with 9/10, no more than 2 of 12 do so once in 10^8 times.
pub(crate) const FAR_SHARES: (f64, f64) = (0.6, 0.2);
/// Noises above which a gradient far out is seen: its direction is then known to a hundredth.
pub(crate) const GRADIENT_SEEN: f64 = 100.0;

// ---- Search effort.

/// Without a domain, this many natural scales (times sqrt d) are asked. A larger radius has more base points at which the
/// layers come apart, and units that saturate.
pub(crate) const NATURAL_RADIUS: f64 = 2.0;
/// Share of the domain left free for the short lines on which noise is measured, which are no longer.
pub(crate) const RIM: f64 = 0.02;
/// Share of the radius that the gradients fill by which the dimension is found; the rest is for their stencils.
pub(crate) const RANGE_FILLED: f64 = 0.9;
/// Gradients beyond two for each input by which the dimension is found. More cost queries.
pub(crate) const RANGE_SPARE: usize = 8;
/// Length, in radii, over which f is taken to vary where the step of the gradients by which the dimension is found is
/// chosen. Smaller ones raise their noise,
/// larger ones their truncation.
pub(crate) const RANGE_LENGTH: f64 = 0.02;
/// Share of the radius that held-out points fill; the rest is for the short lines on which noise is measured.
pub(crate) const CERTIFY_FILLED: f64 = 0.97;
/// Shares of the radius at which points for the fit and the certificate lie, in turn: half of them at the end, where f
/// varies most and a missing unit shows first.
pub(crate) const ENTANGLED_SHELLS: [f64; 4] = [1.0, 0.5, 1.0, 0.8];
/// Largest m1 tried where it is not given. Every number tried costs an attempt.
pub(crate) const MOST_ENTANGLED: usize = 16;
/// Where m1 is not given, numbers up to half of m0 and this many more are tried.
pub(crate) const ENTANGLED_BEYOND_HALF: usize = 2;
/// Searches with entangled vectors held still, at most; they end when the fit no longer improves.
pub(crate) const HELD_STILL_ROUNDS: u64 = 6;
/// Fits within this many times the noise need no repair. Smaller ones repair what refinement would do, larger ones leave
/// units wrong that the certificate then finds.
pub(crate) const REPAIR_ABOVE: f64 = 100.0;
/// A fit that leaves more than this share of the spread is mended after all others.
pub(crate) const POOR_FIT: f64 = 1e-3;
/// Exchanges of units, at most.
pub(crate) const MOST_EXCHANGES: usize = 16;
/// An exchange that leaves more than this share of the residual is no gain, and the next kind is tried. Larger ones stay
/// longer with one kind.
pub(crate) const EXCHANGE_GAIN: f64 = 0.7;
/// Units whose removal is tried in an exchange, those that leave the least residual first. More are slower.
pub(crate) const REMOVALS: usize = 3;
/// Random units tried where one is added. More are slower.
pub(crate) const SPARE_CANDIDATES: usize = 100;
/// Partitions of the directions that are remembered. More cost a fit of the scalars each.
pub(crate) const MOST_PARTITIONS: usize = 4;
/// Relative residual with which a decomposition is content: below the error of measured third derivatives.
pub(crate) const CUBES_EXACT: f64 = 1e-6;
/// A first decomposition; mixed terms leave a residual.
pub(crate) const FIRST_CUBES: Effort = Effort { starts: 16, mendings: 0, enough: CUBES_EXACT };
/// The best of the first decompositions once more.
pub(crate) const MEND_CUBES: Effort = Effort { starts: 0, mendings: 18, enough: CUBES_EXACT };
/// A decomposition at the next base point, or without mixed terms, from the last one.
pub(crate) const FOLLOW_CUBES: Effort = Effort { starts: 0, mendings: 0, enough: CUBES_EXACT };
/// Every attempt searches for directions twice as long as the one before it, up to so many times.
pub(crate) const MOST_DOUBLINGS: u64 = 3;
/// Times that mixed terms are taken out at a base point, at most.
pub(crate) const CLEANINGS: usize = 12;
/// Taking out mixed terms ends where more than this share of the residual is left.
pub(crate) const CLEANING_GAIN: f64 = 0.9;
/// Base points visited, at most.
pub(crate) const BASE_MOVES: usize = 8;
/// A move to another base point that leaves more than this share of the residual is the last.
pub(crate) const LAST_MOVE_GAIN: f64 = 0.8;
/// Shares of a move that are tried, until one gains.
pub(crate) const MOVE_SHARES: [f64; 3] = [1.0, 0.5, 0.25];
/// Newton steps towards a small Hessian, at most.
pub(crate) const FLAT_STEPS: usize = 8;
/// A Newton step that leaves more than this share of the Hessian is the last.
pub(crate) const FLAT_GAIN: f64 = 0.9;
/// Steps towards a steep gradient, at most.
pub(crate) const STEEP_STEPS: usize = 12;
/// Step lengths tried in each step towards a steep gradient: the radius, and halvings.
pub(crate) const STEEP_LENGTHS: usize = 7;
/// Relative gain of the gradient below which it is steepest.
pub(crate) const STEEP_LEAST_GAIN: f64 = 1e-3;
/// Halvings of the largest step among which that of jets is chosen.
pub(crate) const JET_HALVINGS: usize = 9;
/// Lines on which the step of jets is chosen. More cost queries.
pub(crate) const JET_LINES: usize = 24;
/// Damped Gauss-Newton steps to the scalars, at most.
pub(crate) const SCALAR_NEWTON_STEPS: usize = 15;
/// Gradient steps to the scalars, at most.
pub(crate) const SCALAR_GRADIENT_STEPS: usize = 300;
/// Trial steps of a descent to the scalars before it counts as arrived.
pub(crate) const SCALAR_TRIALS: usize = 12;
/// Relative gain below which a descent to the scalars has arrived. A refinement follows.
pub(crate) const SCALAR_LEAST_GAIN: f64 = 1e-4;
/// First damping of Gauss-Newton steps to the scalars, relative to the diagonal of the normal equations.
pub(crate) const SCALAR_FIRST_DAMPING: f64 = 1e-3;
/// Factor of the damping of Gauss-Newton steps to the scalars after one that gained.
pub(crate) const SCALAR_DAMPING_FALL: f64 = 0.1;
/// Factor of the damping of Gauss-Newton steps to the scalars after one that did not gain.
pub(crate) const SCALAR_DAMPING_RISE: f64 = 10.0;
/// The damping of Gauss-Newton steps to the scalars falls no lower.
pub(crate) const SCALAR_LEAST_DAMPING: f64 = 1e-12;
/// Factor of the length of gradient steps after one that gained.
pub(crate) const RATE_RISE: f64 = 2.0;
/// Factor of the length of gradient steps after one that did not gain.
pub(crate) const RATE_FALL: f64 = 0.3;
/// Hessians of the published search for each dimension of the subspace, where their number is not given.
pub(crate) const HESSIANS_PER_SUBSPACE_DIMENSION: usize = 6;
/// Starts of the ascent for each dimension of the subspace. More are slower.
pub(crate) const ENTANGLED_STARTS: usize = 12;
/// Limits of the ascent in the report beside those that are kept.
pub(crate) const OTHER_LIMITS_REPORTED: usize = 20;

// ---- Tuned.

/// The sampling radius of the published search, as a share of the domain's, where none is given. Nearer, noise hides the
/// smaller units; farther, entangled vectors move out of the span.
pub(crate) const SAMPLING_SHARE: f64 = 1.0 / 3.0;
/// Distance, in radii, at which every unit but those of interest is taken to be saturated. Of the others a share of about
/// sqrt(2 d / pi) times 20 / (300 radius |a|) is still active (|z| < 20) at a random point.
pub(crate) const FAR_RADII: f64 = 300.0;
/// |cos| between gradient and direction above which a far point speaks for the first layer: 1 if all other units are
/// saturated, and 1/sqrt(d) in the mean for a direction that has nothing to do with it.
pub(crate) const PARALLEL: f64 = 0.9;
/// Asymmetries of the measured third derivatives within which the residual of a decomposition is their error. Independent
/// errors put 1/3 of their square into the symmetric part and 2/3 into the asymmetry; truncation is more symmetric.
pub(crate) const RESIDUAL_AT_ERROR: f64 = 10.0;
/// Relative residual beyond which a decomposition into cubes means nothing.
pub(crate) const HOPELESS_RESIDUAL: f64 = 0.2;
/// Ratios of the weights of first-layer units beyond this many times their median are cut: those of small weights are noise.
pub(crate) const LARGEST_WEIGHT_RATIO: f64 = 4.0;
/// Largest squared distance of u u^T from W at which a direction u of the published search is kept.
pub(crate) const KEPT_DISTANCE: f64 = 0.1;
