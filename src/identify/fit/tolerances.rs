//! The numbers that decide in this folder, each with its unit and the reason for its value.
//!
//! *Derived*: the formula is in the comment. *Statistical*: the rate of false alarms is. *Search effort*: any value works,
//! and the comment says what a larger one trades. *Tuned*: no derivation; such a number is a matter for a sensitivity
//! study.

// ---- Derived.

/// Largest length of the half acceleration that is added to a step v, relative to |v|: the step v + a/2 is trusted for
/// |a| / |v| <= 0.75 (Transtrum and Sethna's alpha, arXiv 1201.5885; `avmax` of the GNU Scientific Library).
pub(crate) const MOST_ACCELERATION: f64 = 0.375;
/// The part h of a step v on which its curvature is measured: (r(p - h v) - r + h J v) 2 / h^2. Its truncation is of
/// relative order h, its rounding eps / h^2; the value that Transtrum and Sethna recommend.
pub(crate) const ACCELERATION_STEP: f64 = 0.1;
/// Rounding errors of the Gram matrix of rows of unit length, in units of n eps, n its order: an entry, an inner product
/// of unit vectors, is off by few eps in practice, and a matrix of such errors has a norm below n times as much.
pub(crate) const GRAM_ROUNDING: f64 = 4.0;
/// Most that a faint row of the Jacobian counts for: 1e100 squared, times the largest damping, stays finite in f64.
pub(crate) const MOST_FAINT: f64 = 1e100;
/// Entries of the Jacobian of the largest sample: 160 MB at 8 bytes each.
pub(crate) const MOST_JACOBIAN_ENTRIES: usize = 20_000_000;
/// Values fitted beside those for the parameters: with N - p >= 400 the standard deviation of a value is known to 1 / sqrt(800) = 3.5 %
/// even of the smallest network.
pub(crate) const POINTS_BESIDE: usize = 400;

// ---- Statistical.

/// Residuals (root mean square) that a fit can end at, in units of the noise near the origin. That of the right network
/// is one; with 400 degrees of freedom chance alone does not reach 4 in 10^2000 runs, the rest is room for noise that was
/// measured too small or is larger elsewhere. It only says when steps need no damping: the certificate judges.
pub(crate) const FIT_FLOOR: f64 = 4.0;
/// Factor on the accuracy that more values are to bring. An error falls with the square root of their number; sigma, by
/// which the need is estimated, has a standard deviation of at most 3.5 %, so that 20 % are too few once in 10^8 times.
pub(crate) const SAMPLE_MARGIN: f64 = 1.2;

// ---- Search effort.

/// Values fitted for every two parameters: half as many again as parameters leave N - p >= p / 2 degrees of freedom. More
/// lower the bound with the square root of their number, and cost queries.
pub(crate) const POINTS_PER_TWO_PARAMETERS: usize = 3;
/// Share of the distance of the farthest kink that is the scale of the fitted points: of their scales, up to 16 times that, half
/// reach it.
pub(crate) const KINK_REACH: f64 = 0.25;
/// Scales of the fitted points, in natural scales: below the first layer's transitions, within them, and out to where
/// steep units alone are active. Other scales condition the Jacobian otherwise.
pub(crate) const FIT_SCALES: [f64; 4] = [0.5, 1.0, 4.0, 16.0];
/// Every second fitted point has the argument z of one unit within this of 0: tanh' is 0.03 at 2.5. Farther points show
/// less of the unit, nearer ones less of the shape of its transition.
pub(crate) const ACTIVE_ARGUMENT: f64 = 2.5;
/// Steps of a fit, at most.
pub(crate) const REFINE_STEPS: usize = 200;
/// Steps in a row that gain little, after which a fit ends.
pub(crate) const REFINE_IDLE: usize = 2;
/// A step that leaves more than this share of the residual gains little, where the residual is near the floor.
pub(crate) const SLOW_NEAR_FLOOR: f64 = 0.5;
/// A step that leaves more than this share of the residual gains little, far from the floor: a slow valley is worth
/// following.
pub(crate) const SLOW_IN_VALLEY: f64 = 0.99;
/// Residuals within this many floors are near it.
pub(crate) const NEAR_FLOOR: f64 = 10.0;
/// Residual, relative to the largest value, from which on undamped steps are tried first; they converge quadratically
/// near the solution. Larger values waste a factorisation where they fail.
pub(crate) const NEAR_SOLUTION: f64 = 1e-4;
/// Share of the residual left by a step: where it is less, the next step is tried undamped though the last one was not.
pub(crate) const FAST_CONVERGENCE: f64 = 0.1;
/// Steps with the factor of the last Jacobian, at most. They cost residuals only and end when they gain nothing.
pub(crate) const MOST_CHORDS: usize = 4;
/// First damping of a fit; the normal equations have diagonal 1.
pub(crate) const REFINE_FIRST_DAMPING: f64 = 1e-4;
/// Factor of the damping after a step that its first value allowed.
pub(crate) const REFINE_DAMPING_FALL: f64 = 0.1;
/// Factor between dampings tried in a step. Each trial costs a factorisation; coarser ones make shorter steps.
pub(crate) const REFINE_DAMPING_RISE: f64 = 3.0;
/// The damping of a fit falls no lower: small beside 1, large beside the rounding of the normal equations.
pub(crate) const REFINE_LEAST_DAMPING: f64 = 1e-12;
/// With more damping than this a step is under a hundredth of a gradient step, and the fit ends.
pub(crate) const REFINE_MOST_DAMPING: f64 = 100.0;
/// A row of the Jacobian shorter than this share of the longest is damped as if it were that long. The parameters of a
/// saturated unit, whose rows nearly vanish, would move by more than all digits otherwise.
pub(crate) const FAINT_ROW: f64 = 1e-6;
/// Where the tolerance is out of reach the sample grows by this factor, or to as many values as all that came before
/// took. A larger one lowers the bound with its square root, and costs queries.
pub(crate) const SAMPLE_GROWTH: usize = 10;

/// Values of a fit while a network grows, for each parameter, and so many more: several for every transition, of which steep units
/// have few among random points. More cost queries and time.
pub(crate) const GROWTH_POINTS: (usize, usize) = (6, 2000);
/// Starts of a unit in what the others leave. More cost time.
pub(crate) const GROWTH_STARTS: usize = 48;
/// Their slopes in units of the scale, as powers of 2: flatter units are nearly linear, steeper ones meet few points.
pub(crate) const GROWTH_SLOPES: (f64, f64) = (-2.0, 5.0);
/// Steps of a fit while a network grows, at most: its valleys are long. More cost time.
pub(crate) const GROWTH_STEPS: usize = 200;
/// A step of a patient fit that leaves more than this share of the residual gains little.
pub(crate) const PATIENT_SLOW: f64 = 0.999;
/// Steps in a row that gain little, after which a patient fit ends. More cost time.
pub(crate) const PATIENT_IDLE: usize = 4;
/// A round that leaves more than this share of the best before is fruitless.
pub(crate) const GROWTH_GAIN: f64 = 0.9;
/// Fruitless rounds in a row that end the growth, with known inputs and with inputs that are fitted too. Of 24 units under two inputs
/// there were 9 before what is left came down; of a second layer that came down at all there was one.
pub(crate) const GROWTH_FRUITLESS: (usize, usize) = (12, 6);
/// Parameters up to which a network grows: a fit of so many takes a minute. More cost time where f is no such network.
pub(crate) const GROWTH_MOST_PARAMETERS: usize = 1000;
/// Multiply-adds of the fits of all growth in a run, at most: with a second layer that does not grow they took two minutes on two cores
/// with five times their load. More cost time where f is no such network.
pub(crate) const GROWTH_MOST_WORK: f64 = 3e11;
/// A unit is tried to be left out where the others leave no more than this many roots of noise times spread without it. More cost
/// time.
pub(crate) const SPARE_INFLUENCE: f64 = 10.0;

// ---- Tuned.

/// A fit that leaves a larger share of the spread of the values explains nothing: the attempt has failed. No verdict
/// `identified` depends on it, since the certificate would refuse such a fit; only whether it is asked.
pub(crate) const UNEXPLAINED_SHARE: f64 = 0.05;
