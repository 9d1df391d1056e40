//! The numbers that decide in this folder, each with its unit and the reason for its value.
//!
//! *Derived*: the formula is in the comment. *Statistical*: the rate of false alarms is. *Search effort*: any value works, and the comment says what a larger one
//! trades. *Tuned*: no derivation; such a number is a matter for a sensitivity study.

// ---- Derived.

/// Values that a bend needs: its five unknowns, and one that judges.
pub(crate) const BEND_LEAST_VALUES: usize = 6;
/// Readings on a bend go this far to both sides of its middle, in its argument: a part of silu or gelu up to there is no other
/// activation.
pub(crate) const BEND_WHOLE: f64 = 2.5;
/// Halvings of a line: 2^-60 of it is under the rounding of positions.
pub(crate) const BEND_ZOOMS: usize = 60;
/// Arguments from which on a unit is straight are looked for up to here: z exp(-z) is 1e-24 of a unit.
pub(crate) const TAIL_MOST: f64 = 60.0;
/// Such an argument is rounded up to a multiple of this.
pub(crate) const TAIL_STEP: f64 = 0.5;
/// A kink is looked for at so many noises over the change of slope from its corner.
pub(crate) const KINK_NOISES: f64 = 1000.0;
/// f is off both lines there by no more than this share of what they differ by. The lines are carried to the corner with a few
/// noises, 1e-2 of it; of a smooth unit it is 0.05 at the argument 3 and more within.
pub(crate) const KINK_SHARE: f64 = 0.05;

// ---- Statistical.

/// Distant points at which f must be straight but for the units found. A missing unit is on either side of its hyperplane with
/// equal chance: all of these are on one side with probability 2^-31.
pub(crate) const STAR_CHECKS: usize = 32;

// ---- Search effort.

/// Distance of the star, in natural scales for every unit and the root of the number of inputs. Hyperplanes are crossed at places
/// spread over about the distance, a bend is up to 35 widths long before it is straight to all digits, and a line runs at a
/// cosine of about 1 / sqrt(d) to a hyperplane: with 2000, one bend in sixty overlaps another. More cost accuracy.
pub(crate) const STAR_SPACING: f64 = 2000.0;
/// Units are taken to be as many as inputs, and at least this many.
pub(crate) const STAR_ALONG: f64 = 8.0;
/// The first step aside is this part of the room for it, for every input: others may lie nearer than those along the line. More
/// cost accuracy, less cost steps that are taken again.
pub(crate) const STAR_ROOM: f64 = 2.0;
/// By this factor the distance grows where bends overlap. A larger one costs accuracy, a smaller one lines.
pub(crate) const STAR_FARTHER: f64 = 4.0;
/// That is where more than one in so many does.
pub(crate) const STAR_FEWEST: usize = 2;
/// Cells of a line before it is halved. More cost queries where there are few units.
pub(crate) const STAR_FIRST_CELLS: usize = 16;
/// Lines in a row without a unit that end the search.
pub(crate) const STAR_MOST_FRUITLESS: usize = 4;
/// Lines in all, at most. Of units that each line has a half of, 2^-20 are left after as many.
pub(crate) const STAR_MOST_TURNS: usize = 40;

/// A step aside that does not stay where f is straight becomes this many times as long.
pub(crate) const ASIDE_ROOM: f64 = 0.25;
/// How often.
pub(crate) const ASIDE_ROUNDS: usize = 10;
/// Units that K outputs tell apart at a time: K over this. As many as outputs are told apart badly.
pub(crate) const GROUP_SHARE: usize = 2;
/// Condition number up to which the outputs tell units apart. Errors grow with it.
pub(crate) const GROUP_CONDITION: f64 = 1e3;

/// Gauss-Newton steps of a bend, at most; they converge in five or six.
pub(crate) const BEND_STEPS: usize = 60;
/// Halvings of such a step.
pub(crate) const BEND_HALVINGS: i32 = 6;
/// A step that leaves more than this share of the misfit is the last.
pub(crate) const BEND_GAIN: f64 = 0.9;
/// Cells that a bend must show over: its five unknowns and as many values that judge it. More cost queries.
pub(crate) const BEND_CELLS: usize = 8;
/// Cells after which what is no bend of one unit is given up. More cost queries where bends overlap.
pub(crate) const BEND_MOST_CELLS: usize = 40;
/// Cells halved at a time, at most. A function that bends all along a line has more, twice as many every time.
pub(crate) const BEND_MOST_OPEN: usize = 1 << 13;
/// Second differences under this share of the largest beside them are left alone: silu has 0.999 of its bend within 9 of
/// the middle. Smaller bends beside larger ones are seen once those are known.
pub(crate) const BEND_QUIET: f64 = 1e-3;
/// Kinks are looked for every so many halvings: more often costs queries where there are none, more rarely where there
/// are.
pub(crate) const KINK_ROUNDS: usize = 3;

// ---- Tuned.

/// Largest relative error of the normal of a kink by which it is known elsewhere.
pub(crate) const KINK_ACCURATE: f64 = 1e-6;
/// A unit is turned or not if it takes 0 or 1 times its part in the gradient, but for this.
pub(crate) const TURN_SURE: f64 = 0.1;
/// The turned units make up the gradient but for this share of the largest part: profiles are known to 1e-8 or better.
pub(crate) const TURN_EXACT: f64 = 1e-5;

/// A bend is one of a single unit if it misses the readings by no more than this share of the unit.
pub(crate) const BEND_CLEAN: f64 = 1e-4;
