//! The numbers that decide in the search for the second layer, and why they are what they are.
//!
//! *Derived*: the formula is beside it. *Statistical*: the rate of false alarms is. *Search effort*: any value
//! works, and the comment says what a larger one costs. *Tuned*: none of these, found by trial.

/// How much the peel asks.
pub(crate) struct PeelEffort {
    /// Units held first; `None`: half of all.
    pub first_held: Option<usize>,
    /// Units held more than m1, at least.
    pub spare_held: usize,
    /// Points at which the steps of differences are chosen, at most.
    pub step_points: usize,
    /// Patterns for each unit T, and more: of its row one is an unknown, and so is the offset.
    pub patterns: (f64, usize),
    /// The same where sides cannot be chosen: until every unit has changed its own often enough.
    pub unchosen: (f64, usize),
    /// Patterns for the rank, more than units held; `None`: all.
    pub rank: Option<usize>,
    kappa: (usize, usize),
    factors: (usize, usize),
}

impl PeelEffort {
    /// Patterns at which the constants kappa are measured.
    pub fn kappa(&self, m1: usize) -> usize {
        self.kappa.0 * m1 + self.kappa.1
    }

    /// Patterns at which Hessians are taken for the common factors.
    pub fn factors(&self, m1: usize) -> usize {
        self.factors.0 * m1 + self.factors.1
    }
}

// Derived.

/// Readings of second-layer inputs are not off the common rule by less than this: rounding of numbers of order 1,
/// through the regressions of some thousand readings.
pub(crate) const ROWS_ROUNDING: f64 = 1e-12;
/// Singular values under this share of the largest are left out where outputs are fitted: their weights would be
/// rounding alone.
pub(crate) const OUTPUTS_SINGULAR: f64 = 1e-12;
/// Singular values under this share of the largest are left out where entries of Hessians are fitted, 45 eps.
pub(crate) const WHOLE_SINGULAR: f64 = 1e-14;
/// Readings of an input count as no larger than this: tanh is 1 to rounding from 19 on, and infinity has no square.
pub(crate) const MOST_READING: f64 = 1e9;
/// Noise, relative to the spread, up to which a thrifty peel is tried. Second differences with the best step of order 4
/// keep the power 2/3 of it, 1e-8, which the dual directions of some ten units magnify a hundredfold: enough for a fit
/// to begin with.
pub(crate) const PEEL_ACCURATE: f64 = 1e-12;
/// Normal equations are solved once more with what is left. A second solution no larger than this share of the first is
/// rounding of the first; what remains is that share of that share, 1e-12.
pub(crate) const ROWS_REFINED: f64 = 1e-6;

// Statistical.

/// A reading off the common rule by more than this many times the median is broken: 20 deviations of normal errors,
/// no false alarm.
pub(crate) const ROWS_OUTLIER: f64 = 30.0;
/// A fit has reached the values if the standard deviation of its residuals is no more than this many times their
/// accuracy. Of true fits the smallest, with 30 degrees of freedom, miss it by chance in 1e-4 of all cases, those
/// with 100 in 1e-11.
pub(crate) const SATURATED_REACHED: f64 = 1.5;

// Search effort.

/// Draws of a placement whose pattern of signs is new.
pub(crate) const PEEL_REDRAWS: usize = 8;
/// Units are held whose angle errors are up to this many times the median: what they stray is an error of all that is
/// measured along them.
pub(crate) const HELD_ERROR: f64 = 10.0;
/// Most independent units among which the next one held is drawn, so that attempts differ.
pub(crate) const PEEL_CHOICES: usize = 3;
/// Levels of a single unit T between its ends, more than there are units held.
pub(crate) const PEEL_SPARE_LEVELS: usize = 4;
/// Levels of each of two units T between their ends.
pub(crate) const PEEL_LEVELS_OF_TWO: usize = 9;
/// Up to so many units T have one level between their ends, more of them none.
pub(crate) const PEEL_FEW_FREE: usize = 5;
/// Levels of units T between their ends lie within so many half widths of the middle: farther out slopes are small,
/// and nearer together levels differ little.
pub(crate) const PEEL_LEVEL_SPAN: f64 = 0.8;
/// The next number of units held is this share of the last, numerator and denominator: of m1 a smaller one overshoots
/// less, and costs more tries.
pub(crate) const PEEL_GROWTH: (usize, usize) = (3, 2);
/// What accurate values need. Queries, at d inputs: 4 |S| a pattern for the rank, 8 |S| for kappa, 2 m1^2 for the
/// factors and 4 m1 for the rows.
pub(crate) const PEEL_THRIFTY: PeelEffort = PeelEffort {
    first_held: Some(8),
    spare_held: 2,
    step_points: 8,
    patterns: (1.5, 10),
    unchosen: (3.0, 20),
    rank: Some(10),
    kappa: (0, 6),
    factors: (0, 8),
};
/// More of everything, where that has not led to a network or errors are to be averaged.
pub(crate) const PEEL_THOROUGH: PeelEffort = PeelEffort {
    first_held: None,
    spare_held: 1,
    step_points: 24,
    patterns: (2.0, 10),
    unchosen: (6.0, 20),
    rank: None,
    kappa: (3, 10),
    factors: (3, 10),
};
/// Patterns for each unit that the second layer may have.
pub(crate) const PEEL_PATTERNS_HELD: usize = 3;
/// Patterns of saturation at least, however few the units.
pub(crate) const PEEL_LEAST_PATTERNS: usize = 32;
/// With up to so many units T their patterns are drawn from the list of all, and none is drawn twice.
pub(crate) const PEEL_LISTED: usize = 6;
/// Points at which the steps of differences are chosen where every unit is active, at most.
pub(crate) const WHOLE_STEP_POINTS: usize = 24;
/// The largest step tried, in half widths: a unit leaves the middle of its transition with a larger one.
pub(crate) const PEEL_LARGEST_STEP: f64 = 0.5;
/// Searches for the common factors before those found are taken as all.
pub(crate) const FACTOR_SEARCHES: usize = 4;
/// Random starts of a search for the common factors, for each of them.
pub(crate) const FACTOR_STARTS: usize = 24;
/// The product of the factors and their inverse is off the identity by no more: a condition number of some 1e12.
pub(crate) const INVERSE_ERROR: f64 = 1e-4;
/// Rounds of fitting the common rule and leaving out the broken readings.
pub(crate) const ROWS_ROUNDS: usize = 3;
/// Starts for each width of the second layer.
pub(crate) const SATURATED_STARTS: usize = 24;
/// Largest width tried: wider ones cost values and time, and have more local minima.
pub(crate) const SATURATED_MOST_UNITS: usize = 8;
/// Values for each parameter of the largest width: more average the noise, and exclude wrong fits more surely.
pub(crate) const SATURATED_VALUES: usize = 6;
/// Norms of the rows with which fits start.
pub(crate) const SATURATED_NORMS: std::ops::Range<f64> = 0.3..3.0;
/// Standard deviation of the shifts with which fits start.
pub(crate) const SATURATED_SHIFTS: f64 = 0.5;
/// Rounds of completing the diagonal of the second-order terms.
pub(crate) const SATURATED_COMPLETIONS: usize = 100;
/// Values, patterns or readings for each unknown of a linear fit, at least.
pub(crate) const ROWS_PER_UNKNOWN: usize = 2;
/// Levels of units in their active range lie within so many half widths of the middle: every unit's
/// second differences count, also at its level.
pub(crate) const WHOLE_LEVEL_SPAN: f64 = 0.6;
/// Patterns of levels for each unit, and at least: more average the errors of second differences.
pub(crate) const WHOLE_PATTERNS: (usize, usize) = (8, 64);
/// All patterns of levels are taken where they are up to so many times those wanted.
pub(crate) const WHOLE_LISTED: usize = 4;

// Tuned.

/// m1 shows where the singular values of the gradients fall to this many times their error.
pub(crate) const PEEL_NEAR: f64 = 100.0;
/// Singular values of the gradients that fall by this factor, near their error, show m1: the faintest unit of the
/// second layer must stand above the error by it.
pub(crate) const PEEL_GAP: f64 = 30.0;
/// Errors of second differences count so many times. Root mean square times root of the number of entries bounds what
/// they make in the singular values; the factor is the margin for points less accurate than those of the step.
pub(crate) const WHOLE_ERROR: f64 = 10.0;
/// Singular values of the second differences that fall by this factor show m1.
pub(crate) const WHOLE_GAP: f64 = 10.0;
/// Score of a rank-one element of a subspace that is exact but for the errors of second differences.
pub(crate) const FACTOR_SCORE: f64 = 1.0 - 1e-3;
/// Condition number up to which the patterns tell the rows of B apart.
pub(crate) const ROWS_CONDITION: f64 = 1e4;
/// Condition number up to which the output weights are taken from a fit of the values.
pub(crate) const OUTPUTS_CONDITION: f64 = 1e6;
/// Slopes under this share of the largest tell no scale: the unit is saturated there, and its curvature noise.
pub(crate) const ROWS_LEAST_SLOPE: f64 = 1e-3;
/// Inputs u with |tanh u| below this are read from the curvature, others from the slope. The errors of these
/// readings are dy / (1 - y^2) and ds / (2 y (1 - y^2)), equal at y = ds / (2 dy): this is right for ds = 1.4 dy.
pub(crate) const ROWS_STEEP: f64 = 0.7;
/// Two more units must bring the residual below this share, or the search for the width ends.
pub(crate) const SATURATED_FALL: f64 = 0.5;

// Of one unit by its curvatures. Derived.

/// Curvatures of which the largest is 1 are no better than this: rounding, through what they are read from.
pub(crate) const RIDGE_FLOOR: f64 = 1e-14;

// Search effort.

/// Patterns that show curvature, at least, for a fit to be tried.
pub(crate) const RIDGE_LEAST_SEEN: usize = 3;
/// Newton steps of the classification, at most.
pub(crate) const RIDGE_NEWTON_STEPS: usize = 30;
/// What keeps the unknowns finite where the patterns can be told apart without an error.
pub(crate) const RIDGE_DECAY: f64 = 1e-3;
/// Scales of the inputs with which fits may start, in half powers of two.
pub(crate) const RIDGE_SCALES: std::ops::RangeInclusive<i32> = -6..=16;
/// Those of them that are followed.
pub(crate) const RIDGE_FOLLOWED: usize = 2;
/// Curvatures, relative to the largest, from which on patterns have a side, in the order tried: noise is known roughly.
pub(crate) const RIDGE_LEAST: [f64; 4] = [1e-5, 1e-7, 0.0, 1e-3];
/// How many times as high as the largest curvature seen the largest of a steep unit may be.
pub(crate) const RIDGE_HEIGHTS: [f64; 3] = [1.0, 2.0, 8.0];
/// Rounds of weighing patterns by their distance.
pub(crate) const RIDGE_REWEIGHTED: usize = 25;
/// What keeps them solvable where too few patterns show a curvature.
pub(crate) const RIDGE_SLACK: f64 = 1e-12;
/// Inputs farther out show no curvature above rounding, and those nearer together than this no difference at first.
pub(crate) const RIDGE_FARTHEST: f64 = 40.0;
pub(crate) const RIDGE_BISECTED: f64 = 1e-6;
/// Inputs on one side of which alone a unit shows that are pushed, and how far: twice as far no curvature is left.
pub(crate) const RIDGE_PUSHED: usize = 4;
pub(crate) const RIDGE_FAR: f64 = 15.0;
/// Steps of a fit, at most.
pub(crate) const RIDGE_STEPS: usize = 60;
/// Damping with which it begins, and with which it ends.
pub(crate) const RIDGE_DAMPING: f64 = 1e-2;
pub(crate) const RIDGE_MOST_DAMPING: f64 = 1e8;
/// Its factors after a step that gains, and after one that does not.
pub(crate) const RIDGE_DAMPING_FALL: f64 = 0.2;
pub(crate) const RIDGE_DAMPING_RISE: f64 = 4.0;
/// A fit ends where the sum of squares falls by less than this share of it.
pub(crate) const RIDGE_ARRIVED: f64 = 1e-6;

// Tuned.

/// Curvatures above so many times their error have a sign.
pub(crate) const RIDGE_CLASSIFIED: f64 = 10.0;
/// A misfit of so many times the noise is that of the true ridge: others miss by a thousandth of the largest and more.
pub(crate) const RIDGE_FOUND: f64 = 30.0;
/// Curvatures of more than this share of the largest are taken to be at it, and count so much.
pub(crate) const RIDGE_NEAR_TOP: f64 = 0.3;
pub(crate) const RIDGE_TOP_WEIGHT: f64 = 0.3;
/// Curvatures, relative to the largest, down to which their logarithms are compared at first.
pub(crate) const RIDGE_COMPRESSED: f64 = 1e-4;

// Of the span of second differences. Search effort.

/// Units held at first, if these are no more than half of what could be, or a few at least; and more where their directions are not
/// found though their number is.
pub(crate) const SPAN_FIRST_HELD: usize = 8;
pub(crate) const SPAN_LEAST_HELD: usize = 5;
pub(crate) const SPAN_MORE_HELD: usize = 1;
/// Patterns at which second differences are taken at first.
pub(crate) const SPAN_PATTERNS: usize = 12;
/// Patterns for each pair of units held at most: where so few of them show anything, more would not.
pub(crate) const SPAN_MOST_PATTERNS: usize = 6;
/// Patterns beyond m1 that show that there is no more: so many, or the share of all.
pub(crate) const SPAN_SPARE: (usize, usize) = (4, 8);
/// Searches for the directions before those found are taken as all, and random starts of each, for every limit that there
/// is: of some only one start in hundreds finds the way.
pub(crate) const SPAN_SEARCHES: usize = 10;
pub(crate) const SPAN_STARTS: usize = 12;
/// Random starts for each cube, and entries of cubes looked at for each unit that the second layer has at least.
pub(crate) const CUBES_STARTS: usize = 24;
pub(crate) const CUBES_ENTRIES: usize = 3;
/// Entries of K measured for each direction, and more: more of them average errors and show units not seen yet.
pub(crate) const SPAN_ENTRIES: (f64, usize) = (1.25, 6);
/// Patterns for each unknown of a row, and more.
pub(crate) const SPAN_ROWS: (usize, usize) = (4, 20);
/// Splits that come to something at most; each holds the units that kept rows from being told before.
pub(crate) const SPAN_SPLITS: usize = 6;
/// One row in so many may be left to the fit.
pub(crate) const SPAN_OPEN: usize = 4;
/// Of so many units at least one is told by the first patterns.
pub(crate) const SPAN_HOPELESS: usize = 4;
/// How often these are doubled for rows that they do not tell.
pub(crate) const SPAN_MORE: usize = 3;
/// How often the patterns are doubled where directions are not found in their span.
pub(crate) const SPAN_REDRAWN: usize = 2;
/// How often patterns that the span does not make up are added to it, and how many.
pub(crate) const SPAN_ROUNDS: usize = 4;
pub(crate) const SPAN_ADDED: usize = 16;
/// Points at which the step of mixed differences is chosen.
pub(crate) const SIGHT_STEP_POINTS: usize = 16;
/// The largest step of mixed differences tried, in half widths, of which they reach four times as far, for values as accurate
/// as f64 and for coarse ones, which need a larger one; and how often it is halved.
pub(crate) const SIGHT_LARGEST_STEP: [f64; 2] = [0.125, 0.25];
pub(crate) const SIGHT_HALVINGS: u32 = 9;
/// Patterns of levels for each that is needed, at least.
pub(crate) const SIGHT_LEVELS: usize = 4;
/// Levels of a unit at most.
pub(crate) const SIGHT_MOST_LEVELS: usize = 32;
/// Patterns at which a unit shows most, near which others are drawn, and units drawn anew there at most.
pub(crate) const SIGHT_NEAR: usize = 16;
pub(crate) const SIGHT_REDRAWN: usize = 3;
/// Patterns from which those that show most are chosen, for each of them.
pub(crate) const SIGHT_CANDIDATES: usize = 8;

// Tuned.

/// Second differences count for the span where their error is no more than this share of them, and no more than so many times
/// the usual share.
pub(crate) const SPAN_SEEN: (f64, f64) = (0.03, 100.0);
/// Singular values of the second differences that fall by this factor show m1; of coarse values, whose errors are near what is to be
/// seen, by the second one.
pub(crate) const SPAN_GAP: [f64; 2] = [10.0, 3.0];
/// Of the second differences along pairs and along single units, the share that the weights of cubes may take up: the rest tells the
/// units' own curvatures, and errors.
pub(crate) const CUBES_WEIGHTS: f64 = 0.9;
/// Degree of the polynomials in what is left to vary up to which as many units of the second layer are told apart: with 6, two
/// units left tell 28, whose singular values fall to some 1e-6; with 8 they are at the errors.
pub(crate) const SPAN_DEGREE: usize = 6;
/// Score from which on a limit of the search is polished: near the capacity the search is slow to end.
pub(crate) const SPAN_SCORE: f64 = 1.0 - 1e-2;
/// Squared distance of a polished direction from the span, up to which it is in it but for the errors of second differences.
pub(crate) const SPAN_DISTANCE: f64 = 1e-6;
/// A unit at a level between its ends is at about tanh of so many times that: half widths are where 98 % are passed.
pub(crate) const SPAN_SHAPE: f64 = 2.3;
/// A unit shows where its curvature is more than this share of its largest, and a free unit decides whether it does if its
/// mean side there is farther from 0 than this: nine in ten patterns on one side.
pub(crate) const SPAN_SHOWN: f64 = 1e-4;
pub(crate) const SPAN_ONE_SIDED: f64 = 0.8;
/// |cos| from which on two polished directions are one.
pub(crate) const SPAN_PARALLEL: f64 = 1.0 - 1e-6;
/// Second differences that leave more than so many times their error beside the span, and this share of themselves,
/// show a unit that is not in it.
pub(crate) const SPAN_SURPRISE: (f64, f64) = (30.0, 1e-6);
/// Misfit of a ridge, relative to the largest curvature, up to which it is one.
pub(crate) const SPAN_MISFIT: f64 = 1e-3;
/// Of a ridge whose curvatures have larger errors the misfit may be so many times these. Statistical: of normal errors it is one time,
/// give or take 1 / sqrt(2 n) for n patterns.
pub(crate) const SPAN_NOISY: f64 = 3.0;
/// Error of a row, relative to its largest entry and one, up to which it is told.
pub(crate) const SPAN_ROW_ERROR: f64 = 1e-2;
/// Of a row that another split tells, the entries in common come out times this far from 1 at most, where it is the same unit; and
/// so many of them there must be.
pub(crate) const LESSON_FACTOR: f64 = 1e-2;
pub(crate) const LESSON_SHARED: usize = 2;

// The second layer one unit at a time.

/// Search effort: units beside as many as the first layer has, some of them taken in vain. More cost time where f is no such network.
pub(crate) const GROWN_MORE: usize = 24;
/// Search effort: share of the spread that is left where the directions of the first layer are worth refining too. They are known to
/// 1e-4, and a steep second layer makes more of that.
pub(crate) const GROWN_NEAR: f64 = 1e-2;
/// Search effort: a unit is dropped before all parameters are fitted where the others leave no more than this many times what all leave.
pub(crate) const GROWN_LEAN: f64 = 2.0;
