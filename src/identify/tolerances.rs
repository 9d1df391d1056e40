//! Numbers that decide in the wide pipeline itself.

// Derived.

/// Noise, relative to the spread, from which on values alone are tried too: second differences of it over steps of
/// its fourth root keep a relative error of its square root, 1e-6 here.
/// How far out opposite points are compared, in natural scales: of 160 units of a transition of 20 scales one in 300 is
/// in it there.
pub(crate) const OPPOSITE_FAR: f64 = 1e6;
/// They are compared no farther out than where the noise is this share of the spread.
pub(crate) const OPPOSITE_NOISE: f64 = 1e-3;
/// Pairs of opposite points; of one hidden layer most of them agree.
pub(crate) const OPPOSITE_PAIRS: usize = 16;
/// Limits of outputs are equal, and weights 0, within so many times their bound: each is the sum of two of them, and of two
/// outputs they differ by as much again.
pub(crate) const LIMITS_ERRORS: f64 = 4.0;
/// Answers sum up to 1 within this, those of a softmax in f32 too.
pub(crate) const SUM_OF_SHARES: f64 = 1e-5;
pub(crate) const INACCURATE: f64 = 1e-12;
/// Noise, relative to the spread, from which on values alone are tried first: the power 3/4 of it, 3e-5, is what mixed differences of
/// order 8 have left to show, over steps of half a transition, and the faintest units of the second layer are no larger.
/// Values of f32 are below it.
pub(crate) const COARSE: f64 = 1e-6;
/// Lines of coarse values that a second layer misses by more than this share of the spread are those of another one: from there fits go
/// nowhere, and take long. True ones were missed by 1e-4 to 2e-2, false ones by 0.4 and more.
pub(crate) const HOPELESS: f64 = 0.25;
/// The share of a box of inputs that is asked in: its edges are located to less than a hundredth.
pub(crate) const WITHIN_BOX: f64 = 0.99;
/// How far apart the points of a mean are, in natural scales: f changes by about a thousandth of its spread there.
pub(crate) const APART: f64 = 1e-3;

// Search effort.

/// How often a fit may be given more values: more rounds cost more queries.
pub(crate) const MOST_ROUNDS: usize = 2;
/// Splits of the first layer tried in an attempt: more cost more queries before fresh Hessians are taken.
pub(crate) const SPLITS: u64 = 3;
/// Noise, relative to the spread, that means of coarse values are to have: less costs its inverse square in queries.
pub(crate) const NOISE_OF_MEANS: f64 = 3e-4;
/// Values in a mean at most.
pub(crate) const MOST_REPEATS: usize = 64;
/// Single values are taken so many times as often as means, where means are of no use.
pub(crate) const SINGLE: usize = 4;
/// Parameters up to which all are fitted at once: up to here that takes a second, and p^3 beyond.
pub(crate) const MOST_DENSE: usize = 2500;
/// Before lines are scanned, the inputs are reduced to their range only where it has less than this part of their
/// dimensions: gradients that tell a larger one cost as many queries as they save.
pub(crate) const REDUCED_FOR_LINES: usize = 4;
/// Parameters up to which all are fitted at once where the fit by blocks stops: half a minute, and a gigabyte.
pub(crate) const AFFORDABLE_DENSE: usize = 5000;
/// Times as many rows for a fit by blocks that is a little worse than they claim: other errors, and less of them.
pub(crate) const NEARLY_GROWTH: usize = 2;
/// Times the least number of rows that a fit by blocks may be given, for values with noise.
pub(crate) const MOST_GROWTH: usize = 32;
/// Units up to which all of them are taken at their transitions at once: Hessians of so many dimensions, as many as
/// they are, cost their cube in queries, a million here.
pub(crate) const MOST_WHOLE: usize = 48;
/// Turns of lines in an attempt: each has draws of its own.
pub(crate) const LINE_TURNS: u64 = 2;
