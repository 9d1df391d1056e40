//! The numbers that decide in the survey, and why they are what they are.
//!
//! *Derived*: the formula is beside it. *Statistical*: the rate of false alarms is. *Search effort*: any value
//! works, and the comment says what a larger one costs. *Tuned*: none of these, found by trial.

// Derived.

/// Shares of the variation of a transition between which its width is measured: `half_width` has the same two
/// in it, as the argument at which phi has passed through 99 % of its range.
pub(crate) const WIDTH_QUANTILES: (f64, f64) = (0.01, 0.99);
/// A cell no longer than this share of its distance from the line's zero is not cut further: positions there are
/// rounded to eps = 2.2e-16 of it, and this is 45 eps.
pub(crate) const FINEST_CELL: f64 = 1e-14;
/// Zooms on a line before giving up. A zoom keeps fewer than RESOLVED_CELLS + 2 of LINE_CELLS cells, so that 60
/// come to (11 / 32)^60 = 1e-28 of the first range: [`FINEST_CELL`] ends the search before.
pub(crate) const MOST_ZOOMS: usize = 60;
/// Noise of one entry of a gradient of order 4 in noises of a value over h: the weights (8, 8, 1, 1) / 12 have the
/// sum 1.5, which no error of the values exceeds, and the root sum of squares 0.95.
pub(crate) const GRADIENT_NOISE: f64 = 1.5;
/// Orders of the differences whose levels must agree: with the 9 values of a line there are 5, 4 and 3 differences
/// of these orders, and lower orders still see f itself.
pub(crate) const NOISE_ORDERS: [usize; 3] = [4, 5, 6];
/// Where the noise far out is measured, in natural scales: the geometric middle of the scales 16, 32, ..., 256 at
/// which the wide stack is sampled.
pub(crate) const NOISE_FAR: f64 = 64.0;
/// The same for coarse values: a point there is rounded by f32 to 3e-5 of a scale, which shows beside values of 7 digits.
pub(crate) const NOISE_FAR_COARSE: f64 = 1024.0;
/// Noise near the origin, relative to the spread, from which on it is measured how it grows: values of f64 have 1e-16 to
/// 1e-15 of that, and then points are rounded as those of f64 are.
pub(crate) const NOISE_SHOWN: f64 = 1e-12;
/// By this share of its radius a ball is shrunk to be asked in: points on its rim are rounded by some d eps / 2 of
/// it, 1e-12 up to thousands of dimensions.
pub(crate) const BALL_ROUNDING: f64 = 1e-12;
/// Singular values of unit gradients under this share of the largest are rounding: 4.5 eps.
pub(crate) const RANGE_ROUNDING: f64 = 1e-15;
/// Noise, relative to the spread, up to which gradients for the range are differences of order 2: with the best step
/// they keep the power 2/3 of it, [`RANGE_TRUNCATION`].
pub(crate) const RANGE_ACCURATE: f64 = 1e-12;
/// Divisors that may be 0 are no smaller, so that 0 / 0 is 0: far under any value that counts, and normal.
pub(crate) const NONZERO: f64 = 1e-300;

// Statistical.

/// A difference of two values above this many times their noise is a change of f. For normal errors that is 70
/// deviations: no false alarm even if the noise is underestimated ten times over (7 deviations, 1e-12).
pub(crate) const SURE_CHANGE: f64 = 100.0;
/// Influences of inputs under this many times noise / h show nothing. Noise alone has an influence of 0.95 with
/// differences of order 4 and 0.71 with those of order 2, over 8 gradients within a quarter of it: no false alarm even
/// if the noise is underestimated five times over.
pub(crate) const LEAST_INFLUENCE: f64 = 10.0;
/// A bounded function's standard deviation settles; over the last two octaves it may not grow by more than this
/// factor. A linear function grows by 4, a square root by 2. For normal values 64 points exceed it by chance in
/// 6e-4 of all cases, the 1,024 that are then asked in 1e-38.
pub(crate) const MOST_GROWTH: f64 = 1.5;
/// Values whose standard deviation grows as the power 1 of the distance, give or take this, grow in proportion to it. By
/// 1,024 points at both scales the power is known to 0.02.
pub(crate) const PROPORTIONAL: f64 = 0.2;
/// Levels of noise by differences of three orders agree if the largest is less than this many times the smallest.
/// Of normal errors on 16 lines it never was 1.5 times in 200,000 draws: no noise is missed. For a smooth function
/// the levels differ by orders of magnitude. (More and Wild's program takes 4.)
pub(crate) const NOISE_AGREEMENT: f64 = 3.0;
/// Noise far out less this many times the noise near the origin is growth: each is known to 13 % from 16 lines, so
/// that one exceeds the other by a factor of 2 in 5e-5 of all cases (200,000 draws).
pub(crate) const NOISE_EXCESS: f64 = 2.0;
/// Noise of coarse values far out is growth above this many times the noise near the origin: what is rounded by its own size is rounded
/// by up to four times as much where f is larger. Computed in f32 it was 20 to 100 times.
pub(crate) const NOISE_EXCESS_COARSE: f64 = 5.0;
/// A step in noise is one of tanh if what remains is less than this share of the floor. With a floor of 8 deviations
/// of the noise that is 2 of them: of true steps, 33 values and 4 unknowns each, 1e-14 are refused by chance.
pub(crate) const FAINT_NOISE: f64 = 0.25;
/// A fall of the singular values of the gradients by this factor is a rank. Those of noise alone, 2 d columns for d
/// rows, lie within a factor of (1 + 0.71) / (1 - 0.71) = 5.8 of each other; the least of a few columns more than rows
/// may fall farther, but not under what is allowed to be none.
pub(crate) const RANGE_GAP: f64 = 30.0;
/// Singular values of the gradients under this many times what noise makes in all of them together are noise. The
/// largest of noise alone is under 0.7 of that: no true zero is missed, even if the noise is underestimated 40
/// times over.
pub(crate) const RANGE_NOISE: f64 = 30.0;

// Search effort.

/// Axes along which an edge is looked for: more find clipping of more inputs, at [`CLIPPING_LINES`] lines each.
pub(crate) const CLIPPING_AXES: usize = 8;
/// Lines along each axis, all of which must end at the same coordinate: more cost queries and exclude a saturated
/// network more surely, whose ends depend on the line.
pub(crate) const CLIPPING_LINES: usize = 3;
/// Standard deviation of the lines' other coordinates, in natural scales: within the active range, and not all at 0.
pub(crate) const CLIPPING_OFFSET: f64 = 0.3;
/// Positions on such a line: 2^k natural scales, k in this range; an edge farther out is not found.
pub(crate) const CLIPPING_EXPONENTS: std::ops::RangeInclusive<i32> = -3..=14;
/// Halvings of the octave in which the values stop changing: 2^-40 = 1e-12 of it, far under [`EDGE_AGREEMENT`].
pub(crate) const EDGE_HALVINGS: usize = 40;
/// Rays from the origin on which the end of all changes is looked for: the median over more is steadier.
pub(crate) const FAR_RAYS: usize = 32;
/// Places on a ray: 1, 2, 4, ... natural scales, so many; units flatter than 2^-19 of the steepest are not waited
/// for.
pub(crate) const FAR_OCTAVES: usize = 20;
/// Influences that differ by a smaller factor are left as they are: the stages work with uneven inputs too, at a loss
/// of accuracy of about this factor. A smaller one stretches more often, and measures the scale twice.
pub(crate) const EVEN_INFLUENCE: f64 = 30.0;
/// An input is stretched by this factor at most: a larger one trusts smaller influences.
pub(crate) const MOST_STRETCH: f64 = 1e6;
/// Cells a line is cut into at every magnification: more cost queries a zoom and need fewer zooms.
pub(crate) const LINE_CELLS: usize = 32;
/// A segment this many cells long is resolved: more place the transition better, at one more zoom.
pub(crate) const RESOLVED_CELLS: usize = 10;
/// First guesses of where a faint step is, as shares of the range; more cost time, no queries.
pub(crate) const FAINT_CENTRES: [f64; 5] = [0.1, 0.3, 0.5, 0.7, 0.9];
/// First guesses of how wide a faint step is, as shares of the range; more cost time, no queries.
pub(crate) const FAINT_WIDTHS: [f64; 2] = [0.03, 0.15];
/// Scales at which the spread is measured, as powers of 2: a natural scale outside of them is not found.
pub(crate) const PROBE_EXPONENTS: std::ops::RangeInclusive<i32> = -10..=14;
/// Octaves down from the radius of a bounded region in which the spread is measured.
pub(crate) const PROBE_OCTAVES: i32 = 12;
/// Points at each scale: the standard deviation is known to 1 / sqrt(2 n) = 9 %, and the natural scale to an octave.
pub(crate) const PROBE_POINTS: usize = 64;
/// A growing f bends from where on its second differences are above this share of what they are farther out: most of its units
/// take part.
pub(crate) const BEND_SHARE: f64 = 0.8;
/// Scales, in octaves, whose second differences are taken together: 30 of them know their size to 13 %.
pub(crate) const BEND_OCTAVES: usize = 3;
/// Scales, the largest, whose second differences are those of far out.
pub(crate) const BEND_SCALES: usize = 5;
/// Second differences at each scale that tell where a growing f bends: the scale is known to an octave or two.
pub(crate) const BEND_LINES: usize = 10;
/// Points at the two scales that decide whether f grows, where fewer say so: 2 % each.
pub(crate) const PROBE_MORE_POINTS: usize = 1024;
/// Points on a line in the difference table of the noise estimate: three differences of the highest order at least.
pub(crate) const NOISE_TABLE: usize = 9;
/// Lines in the noise estimate: more know it better, 13 % with 16 of them.
pub(crate) const NOISE_LINES: usize = 16;
/// Steps of the difference tables, in natural scales, the largest first. The smooth part of a 6th difference is
/// some h^6: under 1e-16 from h = 2e-3 on; smaller steps are for units that much steeper.
pub(crate) const NOISE_STEPS: [f64; 5] = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6];
/// Of the steps of a table all but the smallest are to be more than the rounding of a point, of which the growth of the noise shows
/// the share of one input in sqrt(d): 1e-5 times this are a hundred times that, some four last digits of an input. Where points
/// are rounded as f64 are, no step is changed by it.
pub(crate) const NOISE_RESOLVED: f64 = 1e7;
/// Gradients that are asked at first, to tell the influence of the inputs and a low range: more tell the influence
/// better, within a quarter of it with 8.
pub(crate) const RANGE_FIRST: usize = 8;
/// The number of gradients grows by this factor, numerator and denominator, until they show the range: a smaller one
/// asks fewer of no use, and factors them more often.
pub(crate) const RANGE_GROWTH: (usize, usize) = (3, 2);
/// Gradients in a row that must bring nothing new: more find units that are rarely active more surely; what is missed is
/// added by the check.
pub(crate) const RANGE_SPARE: usize = 4;
/// Centres of the gradients that tell the range: so many a dimension, and so many more, at most. All are asked only
/// where few stand above the noise.
pub(crate) const RANGE_CENTRES: (usize, usize) = (2, 8);
/// Octaves of scales from the natural one outwards at which the centres of those gradients lie in turn; more see
/// flatter units, and fewer of each.
pub(crate) const RANGE_SCALES: i32 = 3;
/// Points at which the range is checked: more find units that are active more rarely.
pub(crate) const CHECKS: usize = 192;
/// Octaves of scales at which the points of the check lie in turn; more see flatter and steeper units.
pub(crate) const CHECK_SCALES: i32 = 6;
/// Octaves of the scales of the check that lie within the natural one.
pub(crate) const CHECK_INNER_SCALES: i32 = 2;
/// Unit gradients are taken from those above this many times their noise: a larger number keeps fewer, which are
/// better. Where fewer than d are kept the dimension is not reduced.
pub(crate) const CLEAR_GRADIENT: f64 = 1e3;
/// Steps of a second difference tried: the largest times 2^-k, k = 0 .. this. The largest is no smaller than where
/// truncation shows, the smallest 2^-12 of it.
pub(crate) const STEP_HALVINGS: usize = 12;

// Tuned.

/// The lines agree on where the edge of a box is to this share of it: rounding is 1e-12, and the ends of a
/// saturated network's changes differ by 1e-2 or more.
pub(crate) const EDGE_AGREEMENT: f64 = 1e-6;
/// Just inside the edge f must differ from its value outside by this share of its spread: the edge is a kink.
pub(crate) const EDGE_KINK: f64 = 1e-6;
/// Where the values just inside an edge are asked: at this share of its coordinate.
pub(crate) const EDGE_INSIDE: f64 = 0.99;
/// Cells that vary less than this share of the most varying one are quiet.
pub(crate) const QUIET_SHARE: f64 = 0.005;
/// Quiet cells in a row that end a segment; fewer may be a stationary point of one transition.
pub(crate) const PAUSE_CELLS: usize = 3;
/// Segments of less than this share of the variation along a line are not taken for the transition expected there.
pub(crate) const LEAST_SEGMENT: f64 = 0.02;
/// The width of a faint step is no larger, as a share of the range: half of it must lie within.
pub(crate) const FAINT_MOST_WIDTH: f64 = 0.4;
/// A faint step, bent by the second layer, is one of tanh but for this share of it.
pub(crate) const FAINT_BEND: f64 = 0.05;
/// Noise above this share of the spread leaves nothing to identify.
pub(crate) const MOST_NOISE: f64 = 0.02;
/// A spread of no more than this many times the noise is mere noise, or none.
pub(crate) const MERE_NOISE: f64 = 10.0;
/// A spread at the smallest scale above this share of the largest is the same at every scale: that of noise.
pub(crate) const SAME_SPREAD: f64 = 0.2;
/// The step of a gradient at a transition, in half widths of it: truncation balanced with noise, but within these. A
/// smaller one is rounding, a larger one leaves the transition.
pub(crate) const GRADIENT_STEPS: (f64, f64) = (1e-3, 0.1);
/// Singular values of the gradients under this share of the largest are what the differences truncate. At the step
/// that balances them, (noise / spread)^0.2 scales, truncation is 1e-12 to 1e-8 for units of the natural slope.
pub(crate) const RANGE_TRUNCATION: f64 = 1e-8;
/// f changes by this share of the spread where a unit was missed, by less through the error of the range.
pub(crate) const NOTABLE_CHANGE: f64 = 1e-3;
/// A gradient of which a smaller share is outside of the range tells nothing new.
pub(crate) const LEAST_OUTSIDE: f64 = 1e-4;
