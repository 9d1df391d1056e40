//! The numbers that decide in this folder, each with its unit and the reason for its value.
//!
//! *Derived*: the formula is in the comment. *Statistical*: the rate of false alarms is; it holds for independent normal
//! errors of known size, and what a threshold is larger than they need is room for errors of the values that are neither.
//! *Search effort*: any value works, and the comment says what a larger one trades. *Tuned*: no derivation; such a
//! number is a matter for a sensitivity study.

// ---- Derived.

/// Bound on the parameter error, relative to the largest entry of each tensor, above which it says nothing: an error as
/// large as the parameters themselves.
pub(crate) const MOST_BOUND: f64 = 1.0;
/// Share of the values by which they change where the second-order part of the fit is measured: near eps^(1/3) = 6e-6,
/// where its rounding, eps / h^2, and the third order, h, are alike.
pub(crate) const VISIBLE_CHANGE: f64 = 1e-5;
/// Rounding of the parameters of a network, in units of eps: the last correction rounds each by eps / 2, the rest is room
/// for bringing the network to the form in which it is compared.
pub(crate) const PARAMETER_ROUNDING: f64 = 2.0;
/// A spread up to this many units in the last place of the largest value is that of a constant and of its rounding.
pub(crate) const MERE_ROUNDING: f64 = 16.0;
/// Width, in units of sqrt(1 + n), of the bracket above a count n that holds its Poisson limit at 95 %: that is below
/// n + 3 sqrt(1 + n) for every n.
pub(crate) const POISSON_BRACKET: f64 = 5.0;
/// Share of the radius of a domain within which points all over it lie: the rest is for short lines from there.
pub(crate) const INSIDE: f64 = 0.9;
/// Bisections of the bracket of a Poisson limit: 2^-60 of it is below the rounding of its ends.
pub(crate) const POISSON_BISECTIONS: usize = 60;

// ---- Statistical.

/// Held-out points of a certificate. A black box that differs from the network on a share s of them passes with
/// probability (1 - s)^4000: 5 % for s = 7.5e-4.
pub(crate) const HELD_OUT_POINTS: usize = 4000;
/// Standard deviations from which on a point deviates. Normal errors exceed 8 of them once in 10^15 points, 4,000 points
/// once in 10^11 runs; the largest of these is usually 3.5. Rounding errors, whose size is known less well and differs
/// from point to point, need the rest.
pub(crate) const DEVIATES: f64 = 8.0;
/// Standard deviations that are still noise as a root mean square over one group of points. Of 571 normal errors it is 1
/// with a deviation of 0.03, and exceeds 1.5 once in 10^54 runs (Chernoff); the rest is room for a noise that was
/// measured 1.5 times too small.
pub(crate) const MOST_GROUP_MEAN: f64 = 1.5;
/// Standard deviation of the values by the residuals of the fit over that by differences of values, beyond which the fit
/// is wrong. Chance alone exceeds 3 with 400 degrees of freedom once in 10^500 runs (Chernoff); the rest is room for a
/// noise that was measured three times too small.
pub(crate) const MOST_MISFIT: f64 = 3.0;
/// Noise is believed up to this many times the standard deviation that the residuals of the fit show. With 400 degrees of
/// freedom they show less than a tenth of the true one once in 10^300 runs (Chernoff).
pub(crate) const NOISE_DISPROVED: f64 = 10.0;
/// Confidence of the statement on the share of deviating points: it is too small once in 20 runs.
pub(crate) const SHARE_CONFIDENCE: f64 = 0.95;
/// Share of the runs in which errors of the values may exceed the bound on the parameter error by chance.
pub(crate) const BOUND_EXCEEDED: f64 = 1e-6;
/// Standard deviations of sigma that the bound allows for. Normal ones exceed 3 once in 740 runs; the bound is missed then
/// only if the error of a parameter is near its own quantile too.
pub(crate) const SIGMA_DEVIATIONS: f64 = 3.0;
/// Networks drawn from the covariance of the fit. The variances of predictions by 32 of them have a standard deviation
/// of sqrt(2 / 32) = 25 %. More are slower.
pub(crate) const PLAUSIBLE_DRAWS: usize = 32;
/// Factor on a standard deviation that is estimated by 32 draws: the sum of 32 squares of normal variables falls under a
/// quarter of its mean once in 10^6 times.
pub(crate) const DRAWN_DEVIATION: f64 = 2.0;
/// Draws of which the second-order part of the fit is computed. More are slower.
pub(crate) const CURVED_DRAWS: usize = 8;
/// Factor on the largest second-order part of the draws. Where that of a parameter is the square of one normal variable,
/// 4 times the largest of 8 draws is exceeded by another draw once in 120 times.
pub(crate) const CURVED_SAFETY: f64 = 4.0;
/// Kurtosis from which on residuals count as uneven; that of normal errors is 3 with a deviation of sqrt(24 / N). It
/// exceeds 4 once in 700 runs for N = 400, once in 10,000 for N = 700 (simulated). A false alarm only takes the larger
/// of two right estimates of the bound.
pub(crate) const MOST_KURTOSIS: f64 = 4.0;

/// Of a point of which the fit takes over more than all but this share of its error, the residual is mostly rounding.
pub(crate) const LEAST_FREEDOM: f64 = 0.02;

// ---- Search effort.

/// Points of which leverages are computed at once: more need more memory.
pub(crate) const POINTS_AT_ONCE: usize = 1024;

/// Scales of the held-out points, in natural scales: also where nothing was fitted.
pub(crate) const HELD_OUT_SCALES: [f64; 7] = [0.25, 1.0, 2.0, 8.0, 32.0, 256.0, 2048.0];
/// The part of an output in the mixture is between this and 1, in its standard deviations: none is hardly seen.
pub(crate) const MIXED_SHARE: f64 = 0.3;
/// Points at each scale by which the outputs are weighed in their mixture.
pub(crate) const MIXED_POINTS: usize = 8;
/// Scales of these points, powers of two.
pub(crate) const MIXED_EXPONENTS: [i32; 8] = [-8, -5, -2, 0, 2, 4, 7, 10];
/// An output that rounding of its answer may move by this at some of these points is no part of the mixture.
pub(crate) const LOST_OUTPUT: f64 = 0.1;
/// One that is so many times less accurate than the best has its whole part.
pub(crate) const ACCURATE_OUTPUT: f64 = 100.0;
/// An output that is at its least or its largest at so many of these points, to the last digit, may be cut off there.
pub(crate) const CUT_POINTS: usize = 3;
/// Less than this is none.
pub(crate) const LEAST_PART: f64 = 1e-6;
/// An output that is no part of the mixture is taken from answers whose rounding moves it by no more than this.
pub(crate) const TOLD_OUTPUT: f64 = 1e4 * f64::EPSILON;
/// Points for each output weight where not all answers tell their outputs, in place of the usual ones.
pub(crate) const OUTPUT_POINTS_PARTLY: usize = 4;
/// Points for each output weight, beside the hidden layers: more average errors.
pub(crate) const OUTPUT_POINTS: usize = 3;
/// Lines on which the noise of each output is measured: 20 % with 4 of them.
pub(crate) const OUTPUT_NOISE_LINES: usize = 4;
/// Points of similar distance at which the noise of each output is measured, where the general rule is not enough.
pub(crate) const GROUP_NOISE_LINES: usize = 16;
/// Points for the output weights, beside those.
pub(crate) const OUTPUT_SPARE_POINTS: usize = 24;
/// Groups of held-out points by distance from the origin, as many as scales.
pub(crate) const DISTANCE_GROUPS: usize = 7;
/// Points that stand out, at which the noise is measured anew, at most. More cost queries; those left out are judged by
/// the general rule for the noise.
pub(crate) const MOST_SUSPECTS: usize = 64;
/// Share of the deviation allowed from which on a point stands out. Smaller ones cost queries.
pub(crate) const SUSPECT_SHARE: f64 = 0.5;
/// Deviating points are a few if so many times as many were held out. It only chooses the words of the verdict.
pub(crate) const TIMES_A_FEW: usize = 100;

// ---- Tuned.

/// Second-order part of the predictions, relative to the first, from which on nothing is bounded: orders that fall by
/// less than half from one to the next do not let the first two speak for all.
pub(crate) const MOST_CURVATURE: f64 = 0.5;
/// Standard deviation of a value, in units in the last place of the largest, below which its errors are taken to be even where
/// rows are weighted by their errors already. Above it, uneven errors are looked for, at the cost of one more Gram matrix.
pub(crate) const EVEN_ROUNDING: f64 = 1e3;
/// Share of the errors of an arithmetic in f32 that may be common to all values in the worst way. With 100,000 values, of which random
/// errors leave a hundredth of that, a fiftieth was seen.
pub(crate) const COMMON_SHARE: f64 = 0.05;
