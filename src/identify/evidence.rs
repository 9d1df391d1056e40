//! What every stage saw: plain numbers, for reports and for whoever judges a run.
//!
//! The structs serialise under their names in the report (`evidence` there); numbers that are not finite are `null`.

use serde::Serialize;
use serde_json::Value;

use super::survey::landscape::Landscape;
use crate::algebra::rank_one::Conditions;
use crate::network::Activation;

/// Singular values in the report, wherever they come from.
const SINGULAR_VALUES_REPORTED: usize = 64;

/// What every stage saw, by what was looked at; one entry for every time that it was.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Evidence {
    /// Which activation each layer has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub activation: Vec<Contest>,
    /// The published search for directions near a point.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ascent: Vec<Ascended>,
    /// Which directions belong to which layer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attribution: Vec<Attributed>,
    /// The certificate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certify: Vec<Certified>,
    /// Inputs that are clipped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clipping: Vec<Clipped>,
    /// Directions of all layers at once, or of one hidden layer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub directions: Vec<DirectionsFound>,
    /// The region that was asked in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domain: Vec<DomainUsed>,
    /// The distance from which on f is constant between hyperplanes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub far: Vec<f64>,
    /// Units of the first layer by where f steps along lines far out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LinesFound>,
    /// Units of one hidden layer by the steps of f far out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepsSeen>,
    /// Units found one by one, each by what the others left of f.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grown: Vec<UnitsGrown>,
    /// The fit by blocks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<BlocksFitted>,
    /// Inputs stretched for an even influence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frame: Vec<Framed>,
    /// Units of the first layer by where f changes along lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hyperplanes: Vec<HyperplanesFound>,
    /// The step of third derivatives.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jet_step: Vec<StepChosen>,
    /// Several outputs, each by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputsFitted>,
    /// The second layer from saturated patterns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peel: Vec<Peeled>,
    /// The polish of the directions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub polish: Vec<Polished>,
    /// Accuracy and scale of f.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probe: Vec<Landscape>,
    /// Norms and shifts of one hidden layer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<Profiled>,
    /// The range of the first layer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reduce: Vec<RangeFound>,
    /// The fit of all parameters in the coordinates of the pipeline.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refine: Vec<FitEnded>,
    /// The fit in all inputs, where the coordinates are fewer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refine_all_inputs: Vec<FitEnded>,
    /// Fits with exchanged units.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refine_exchanged: Vec<FitEnded>,
    /// The fit to more values, where their accuracy keeps the bound above the tolerance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refine_more: Vec<FitEnded>,
    /// Units exchanged where a fit stopped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repair: Vec<Repaired>,
    /// The second layer from values where the first is saturated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub saturated: Vec<SaturatedFits>,
    /// Shifts, scales and output weights.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scales: Vec<Scaled>,
    /// How far the second layer's inputs are from affine in the patterns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub second_layer: Vec<RowsFound>,
    /// The second layer by what second differences span.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub span: Vec<Spanning>,
    /// Stacks of Hessians.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stack: Vec<StackSeen>,
    /// Units of the first layer, one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<UnitsFound>,
    /// The second layer with all units active.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub whole: Vec<WholeSeen>,
    /// The gap after every width of the second layer that was thought of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub widths_by_gap: Vec<Gaps>,
}

/// The `singular_values` that are reported.
pub fn reported(singular_values: &[f64]) -> Vec<f64> {
    singular_values.iter().take(SINGULAR_VALUES_REPORTED).copied().collect()
}

impl Evidence {
    /// As the report has it: what was looked at -> list of what was seen each time.
    pub fn as_json(&self) -> Value {
        // Structs of numbers and strings cannot fail to serialise.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The certificate of the run: the last one.
    pub fn certificate(&self) -> Option<&Certified> {
        self.certify.last()
    }
}

/// Which activation each layer has.
#[derive(Clone, Debug, Serialize)]
pub struct Contest {
    /// That of the first and of the second layer.
    pub layers: [Activation; 2],
    /// How many times worse the best of the others fitted each.
    pub margins: [Option<f64>; 2],
}

/// The published search in the span of Hessians near a point.
#[derive(Clone, Debug, Serialize)]
pub struct Ascended {
    /// Hessians in the stack.
    pub hessians: usize,
    /// Whether the motion of the entangled vectors was taken out by an estimate.
    pub held_still: bool,
    /// Dimension of the subspace.
    pub dimension: usize,
    /// The ratio of the singular values there.
    pub gap: f64,
    /// Radius of the design.
    pub radius: f64,
    /// The definite element that the subspace was whitened by, if it has one.
    pub whitening: Option<WhitenedBy>,
    /// Limits of the ascent.
    pub limits: usize,
    /// Limits that satisfy the conditions.
    pub kept: usize,
    /// Their conditions.
    pub conditions: Vec<Conditions>,
    /// Conditions of some others.
    pub conditions_of_others: Vec<Conditions>,
}

/// A definite element of a subspace of matrices.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct WhitenedBy {
    /// Its condition number.
    pub condition: f64,
}

/// Which directions belong to which layer.
#[derive(Clone, Debug, Serialize)]
pub struct Attributed {
    /// The least coefficient of an entangled direction in the gradient over the largest of the others.
    pub margin: f64,
    /// What queries far out say, where they are allowed.
    pub far_out: Option<FarOut>,
    /// Whether the rules decide.
    pub decided: bool,
}

/// What queries far out say of directions.
#[derive(Clone, Debug, Serialize)]
pub struct FarOut {
    /// By the gradient where all but one unit are saturated.
    pub saturation: Opinion,
    /// By the projection on the span of the Hessians there.
    pub survival: Option<Opinion>,
    /// The place of the partition that agrees with both.
    pub agrees_with_partition: Option<usize>,
}

/// What one rule says of directions.
#[derive(Clone, Debug, Serialize)]
pub struct Opinion {
    /// How many it gives to each layer.
    pub layers: LayerCounts,
    /// How clearly, if that can be said.
    pub margin: Option<f64>,
}

/// Directions by layer.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LayerCounts {
    /// Of the first layer.
    pub first: usize,
    /// Entangled.
    pub entangled: usize,
    /// Neither for sure.
    pub undecided: usize,
}

/// The certificate in numbers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Certified {
    /// Held-out points.
    pub held_out: usize,
    /// How far the farthest of them is from the origin.
    pub farthest: Option<f64>,
    /// Largest |network - f| on them.
    pub residual: f64,
    /// The largest ratio of a residual to the standard deviation expected of it.
    pub excess: f64,
    /// What it may be.
    pub excess_allowed: f64,
    /// Root mean squares of that ratio over points of similar distance, nearest first.
    pub mean_excess: Vec<f64>,
    /// The residuals at the same points.
    pub by_distance: Vec<ResidualsAt>,
    /// What each may be.
    pub mean_excess_allowed: f64,
    /// Points that deviate.
    pub deviating: usize,
    /// The share of such points among all that might have been asked is below this (95 %).
    pub deviating_share_below: f64,
    /// Standard deviation of a value by the residuals of the fit.
    pub sigma: f64,
    /// The same by differences of values.
    pub accuracy: f64,
    /// Values fitted.
    pub fitted: usize,
    /// Condition number of the equilibrated Jacobian.
    pub condition: Option<f64>,
    /// What the second order adds to the bound, relative to it.
    pub curvature: Option<f64>,
    /// The largest standard error of a parameter, relative to the largest entry of its tensor (at least 1).
    pub cramer_rao: Option<f64>,
    /// Bound on the parameter error, in the same unit.
    pub error_bound: f64,
    /// The same for errors of the values that depend on each other.
    pub error_bound_dependent: Option<f64>,
    /// The bound tensor by tensor; the largest is `error_bound`.
    pub error_bound_by_tensor: Vec<TensorBound>,
}

/// Residuals at held-out points of similar distance from the origin.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ResidualsAt {
    /// The largest distance of these points.
    pub distance: f64,
    /// Largest |network - f| there.
    pub largest: f64,
    /// Root mean square of network - f there.
    pub mean: f64,
}

/// Bound on the error of one tensor, relative to its largest entry (at least 1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TensorBound {
    /// A, theta, B, tau, c or c0, as in the model at the front page of this library.
    pub tensor: &'static str,
    /// For errors of the values that do not depend on each other.
    pub bound: f64,
}

/// Inputs that are clipped.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Clipped {
    /// The input, from 0.
    pub input: usize,
    /// Its distance from the origin beyond which it has no effect.
    pub edge: f64,
}

/// Directions found near a point.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum DirectionsFound {
    /// Of two layers, as cubes in third derivatives.
    Cubes {
        /// Units of the second layer looked for.
        m1: usize,
        /// The decompositions at the first points.
        first: Vec<Decomposed>,
        /// The moves to better points.
        moves: Vec<Moved>,
        /// Relative residual of the last one.
        residual: f64,
    },
    /// Of one hidden layer, in the span of its Hessians.
    Common {
        /// Directions found.
        found: usize,
        /// Of so many.
        of: usize,
        /// Share of the Hessians that they leave off the diagonal, if diagonalised together.
        off_diagonal: Option<f64>,
        /// Least squared norm of the projection of u u^T.
        lowest_score: Option<f64>,
        /// Least spectral norm of a limit.
        least_spectral_norm: Option<f64>,
        /// Largest eigenvalue of the second derivative at a limit.
        largest_second_order: Option<f64>,
        /// Largest squared distance of u u^T from the span.
        largest_distance: Option<f64>,
        /// Least difference of the first two eigenvalues.
        least_separation: Option<f64>,
    },
}

/// A decomposition of third derivatives.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Decomposed {
    /// Distance of the point from the centre.
    pub distance: f64,
    /// Relative residual.
    pub residual: f64,
    /// Starts that it took.
    pub starts: usize,
    /// How far the third derivatives are from symmetric: their error.
    pub asymmetry: f64,
}

/// A move to a point that shows more.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Moved {
    /// What was moved towards.
    pub goal: &'static str,
    /// Distance of the point from the centre.
    pub distance: f64,
    /// Relative residual there.
    pub residual: f64,
    /// Margin of the likeliest attribution there.
    pub margin: f64,
}

/// The region that was asked in.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DomainUsed {
    /// The largest distance from the centre of any query.
    pub farthest_query: f64,
}

/// Inputs stretched for an even influence.
#[derive(Clone, Debug, Serialize)]
pub struct Framed {
    /// By how much each, powers of 2.
    pub stretches: Vec<f64>,
}

/// Units by where f changes along lines.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HyperplanesFound {
    /// Units.
    pub units: usize,
    /// Lines looked at.
    pub lines: usize,
    /// Largest angle error of a direction.
    pub worst_angle_error: f64,
}

/// The step of differences.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StepChosen {
    /// h.
    pub h: f64,
    /// Relative change of the derivatives when it is halved.
    pub error: f64,
}

/// The second layer from saturated patterns.
#[derive(Clone, Debug, Serialize)]
pub struct Peeled {
    /// The split tried.
    pub attempt: u64,
    /// What other sizes of it ended with.
    pub failed: Vec<PeelFailed>,
    /// What the first that did not fail showed.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub split: Option<PeelSplit>,
}

/// A size of the split that showed nothing.
#[derive(Clone, Debug, Serialize)]
pub struct PeelFailed {
    /// Units held.
    pub held: usize,
    /// Why.
    pub reason: String,
}

/// What a split of the first layer showed of the second.
#[derive(Clone, Debug, Serialize)]
pub struct PeelSplit {
    /// Units held.
    pub held: usize,
    /// Units saturated.
    pub free: usize,
    /// Patterns of these.
    pub patterns: usize,
    /// Rank of the gradients.
    pub m1: usize,
    /// The leading singular values of the gradients.
    pub singular_values: Vec<f64>,
    /// The ratio of the singular values there.
    pub gap: f64,
    /// Error of the gradients.
    pub error: f64,
    /// Step of the differences, half widths.
    pub step: f64,
    /// The largest share of a Hessian that is not diagonal in the second layer.
    pub off_diagonal: f64,
}

/// The second layer by what second differences span.
#[derive(Clone, Debug, Serialize)]
pub struct Spanning {
    /// The split tried.
    pub attempt: u64,
    /// What other sizes of it ended with.
    pub failed: Vec<PeelFailed>,
    /// What the first that did not fail showed.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub split: Option<SpanSplit>,
}

/// What mixed differences along a split showed of the second layer.
#[derive(Clone, Debug, Serialize)]
pub struct SpanSplit {
    /// Units held.
    pub held: usize,
    /// The order of the differences: 2 or 3.
    pub order: usize,
    /// Units saturated.
    pub free: usize,
    /// Patterns of these.
    pub patterns: usize,
    /// Those of them at which all differences were taken.
    pub whole: usize,
    /// The dimension that these span.
    pub m1: usize,
    /// Their leading singular values, each of unit norm.
    pub singular_values: Vec<f64>,
    /// The ratio of the singular values there.
    pub gap: f64,
    /// Error of a difference.
    pub error: f64,
    /// Step of the differences, half widths.
    pub step: f64,
    /// Units whose rows the patterns tell.
    pub told: usize,
}

/// The polish of the directions.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Polished {
    /// Largest angle error left.
    pub worst_angle_error: f64,
}

/// Norms and shifts of one hidden layer.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Profiled {
    /// The activation fitted.
    pub activation: Activation,
    /// The largest relative misfit of a unit.
    pub largest_misfit: f64,
}

/// Units of the first layer, by where f steps from one level to another along lines far out.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LinesFound {
    /// Units found.
    pub units: usize,
    /// Lines scanned.
    pub lines: usize,
    /// Steps that turned out to be no unit's.
    pub withdrawn: usize,
    /// Distance of the lines from the origin.
    pub distance: f64,
    /// The largest error of a direction before the polish.
    pub worst_angle_error: f64,
}

/// Units of one hidden layer, by the steps of f far out.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct StepsSeen {
    /// Units found.
    pub units: usize,
    /// Lines looked at.
    pub lines: usize,
    /// Distance of the last from the origin.
    pub distance: f64,
    /// Changes along them.
    pub steps: usize,
    /// Those that are no step of one unit.
    pub overlapping: usize,
    /// Steps whose weights do not agree with their slope along the line.
    pub refused: usize,
    /// Steps on the hyperplane of a known unit that are not its own: there is more than one hidden layer.
    pub conflicts: usize,
    /// Is f the same at distant points all over, but for the units found?
    pub complete: bool,
    /// The largest error of a weight vector, relative to its length.
    pub largest_error: f64,
}

/// Units of the last hidden layer, each by what the others left of f.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct UnitsGrown {
    /// Units known before.
    pub before: usize,
    /// Units that explain f, if any do.
    pub after: Option<usize>,
    /// Fits of all units, one more each time.
    pub rounds: usize,
    /// Root mean square of what the last one left.
    pub left: f64,
    /// Why there are no more rounds, where nothing explains f.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<GrowthEnd>,
}

/// Why a network grows no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GrowthEnd {
    /// It has as many units or parameters as are looked for.
    Large,
    /// More units gain nothing.
    Fruitless,
    /// What growth may cost in a run is spent.
    Spent,
}

impl GrowthEnd {
    /// In words, for the reason of a failure.
    pub fn in_words(self) -> &'static str {
        match self {
            GrowthEnd::Large => "there are as many units as are looked for",
            GrowthEnd::Fruitless => "more units gain nothing",
            GrowthEnd::Spent => "the work that growth is worth is spent",
        }
    }
}

/// The fit by blocks.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BlocksFitted {
    /// Values with the whole first layer saturated.
    pub second_rows: usize,
    /// Standard deviation of a value by their residuals.
    pub second_sigma: f64,
    /// Values with one unit of the first layer in its transition.
    pub unit_rows: usize,
    /// Standard deviation of a value near the origin by their residuals.
    pub unit_sigma: f64,
    /// How far from the origin they go.
    pub farthest: f64,
}

/// The range of the first layer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RangeFound {
    /// Its dimension.
    pub dimension: usize,
    /// The ratio of the singular values there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<f64>,
    /// Step of the gradients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// The leading singular values of the gradients, each of unit norm.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub singular_values: Vec<f64>,
    /// The least singular value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smallest: Option<f64>,
    /// What counts as none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<f64>,
    /// Why nothing was reduced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Dimensions that the gradients had missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added: Option<usize>,
}

/// A fit and where it ended.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct FitEnded {
    /// Steps taken.
    pub steps: usize,
    /// Root mean square residual at the start.
    pub from: f64,
    /// And at the end.
    pub to: f64,
    /// Values fitted.
    pub points: usize,
}

/// The weights of several outputs; of all of them the worst.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OutputsFitted {
    /// How many there are.
    pub outputs: usize,
    /// Points that the weights were fitted to.
    pub points: usize,
    /// Condition number of what the hidden units put out there.
    pub condition: f64,
    /// Standard deviation of a value by the residuals.
    pub sigma: f64,
    /// The same by differences of values.
    pub accuracy: f64,
    /// Held-out points at which an output deviates.
    pub deviating: usize,
    /// The largest ratio of a held-out residual to the standard deviation expected of it.
    pub excess: f64,
    /// The largest root mean square of that ratio over points of similar distance.
    pub mean_excess: f64,
    /// Bound on the error of weights and offsets, relative to the largest of each, at least 1.
    pub error_bound: f64,
}

/// Units exchanged where a fit stopped.
#[derive(Clone, Debug, Serialize)]
pub struct Repaired {
    /// The layer of each: `first` or `second`.
    pub layers: Vec<&'static str>,
    /// Root mean square residual before.
    pub from: f64,
    /// And after.
    pub to: f64,
}

/// Fits of the second layer to values where the first is saturated.
#[derive(Clone, Debug, Serialize)]
pub struct SaturatedFits {
    /// Values.
    pub values: usize,
    /// Their accuracy.
    pub accuracy: f64,
    /// Widths tried.
    pub tried: Vec<WidthTried>,
}

/// A width of the second layer and how it fits.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct WidthTried {
    /// The width.
    pub m1: usize,
    /// Standard deviation of the residuals.
    pub residual: f64,
}

/// Shifts, scales and output weights.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Scaled {
    /// By readings along one line for each unit.
    Read {
        /// The worst relative misfit of a unit.
        worst_misfit: f64,
        /// Lines that several units share.
        bundles: usize,
    },
    /// By a fit from the weights in the derivatives at a point.
    Fitted {
        /// The activation fitted.
        activation: Activation,
        /// Units that do not show in the derivatives.
        silent_units: usize,
        /// Root mean square residual at the start.
        from: f64,
        /// And at the end.
        to: f64,
    },
}

/// The second layer's rows.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RowsFound {
    /// How far the second layer's inputs are from affine in the patterns, relative to their spread.
    pub affinity: f64,
}

/// A stack of Hessians.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum StackSeen {
    /// Far out, at growing scales.
    Wide {
        /// The scales tried.
        tried: Vec<ScaleTried>,
    },
    /// Around a point.
    Local {
        /// Hessians.
        hessians: usize,
        /// Radius of the design.
        radius: f64,
        /// Step of the differences.
        step: f64,
        /// Relative error of a Hessian.
        error: f64,
        /// The width seen.
        width: Option<usize>,
        /// The leading singular values.
        singular_values: Vec<f64>,
        /// What counts as none.
        floor: f64,
    },
}

/// A scale at which Hessians were taken.
#[derive(Clone, Debug, Serialize)]
pub struct ScaleTried {
    /// Standard deviation of the points.
    pub scale: f64,
    /// Hessians.
    pub hessians: usize,
    /// Of these, how many stand above the noise.
    pub kept: usize,
    /// Step of the differences.
    pub step: f64,
    /// Relative noise of a Hessian that is not a difference of values.
    pub relative_noise: Option<f64>,
    /// The largest ratio of neighbouring singular values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<f64>,
    /// Its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// The leading singular values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub singular_values: Vec<f64>,
}

/// Units of the first layer, one by one.
#[derive(Clone, Debug, Serialize)]
pub struct UnitsFound {
    /// Limits of the rank-one search.
    pub candidates: usize,
    /// Those that are no units, or known ones.
    pub dropped: Vec<Dropped>,
    /// Units among them.
    pub from_ascent: usize,
    /// Units found on lines.
    pub from_lines: usize,
    /// Lines looked at.
    pub lines: usize,
    /// The lowest score of a unit found by the search.
    pub lowest_score: f64,
    /// The scores of all of them.
    pub scores: Vec<f64>,
}

/// A candidate that was dropped.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Dropped {
    /// Squared norm of the projection of u u^T on the subspace.
    pub score: f64,
    /// Starts that ended there.
    pub hits: usize,
    /// Why.
    pub reason: &'static str,
}

/// The second layer with all units active.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum WholeSeen {
    /// It was found.
    Found {
        /// Units held at their middles.
        fixed: usize,
        /// Units at several levels.
        varied: usize,
        /// Patterns of these.
        patterns: usize,
        /// Rank of the second differences.
        m1: usize,
        /// Their leading singular values.
        singular_values: Vec<f64>,
        /// The ratio of the singular values there.
        gap: f64,
        /// Error of the second differences.
        error: f64,
        /// Step of the differences, half widths.
        step: f64,
        /// The largest share of a Hessian that is not diagonal in the second layer.
        off_diagonal: f64,
    },
    /// It was not.
    Failed {
        /// Why.
        failed: String,
    },
}

/// Ratios of neighbouring singular values.
#[derive(Clone, Debug, Serialize)]
pub struct Gaps {
    /// The place of the first.
    pub first: usize,
    /// The ratios, one place after another.
    pub gaps: Vec<f64>,
}
