//! The wide pipeline, the default one: far out units are saturated, and show one by one.
//!
//! | stage | what it finds |
//! |---|---|
//! | probe, reduce | accuracy and scale of f, the range of its first layer, coordinates of even influence ([`survey`](super::survey)) |
//! | lines, or stack, units, polish | the directions of the first layer ([`first_layer`](super::first_layer)) |
//! | peel, scales | the second layer, then all shifts and scales ([`second_layer`](super::second_layer), [`scalars`](super::scalars)) |
//! | hyperplanes, saturated | the same by values alone, for values too inaccurate for differences |
//! | refine, certify | all parameters to rounding, and the verdict: at once ([`Run::conclude`]), or by [`blocks`] |
//! | clipping | where an attempt failed: are the inputs clipped to a box? Then the network within it |

use std::ops::Range;

use nalgebra::DMatrix;

use super::blocks::{self, Blocks};
use super::context::{Context, Coordinates};
use super::entangled::pipeline::{self as entangled, Entangled};
use super::evidence::{Contest, RowsFound, Scaled};
use super::failure::{Failure, Halt};
use super::first_layer::unit::Unit;
use super::first_layer::wide_stack::wide_stack;
use super::first_layer::{hyperplanes, lines, units};
use super::fit::active;
use super::fit::sample::{self, Sample};
use super::fit::tolerances::{FIT_FLOOR, SAMPLE_MARGIN};
use super::run::{Fit, Fresh, Ground, Place, Purpose, Run};
use super::scalars::family::{contest, families};
use super::scalars::scales;
use super::second_layer::peel::Peel;
use super::second_layer::rows::SecondLayer;
use super::second_layer::spanned::Spanned;
use super::second_layer::split::Patterns;
use super::second_layer::tolerances::SATURATED_VALUES;
use super::second_layer::{grown, peel, rows, saturated, span, whole};
use super::settings::{FirstLayer, FitBy, Pipeline, Settings};
use super::survey::frame::{self, Frame};
use super::survey::{clipping, far};
use super::tolerances::{
    AFFORDABLE_DENSE, APART, COARSE, HOPELESS, INACCURATE, LINE_TURNS, MOST_DENSE, MOST_GROWTH,
    MOST_REPEATS, MOST_ROUNDS, MOST_WHOLE, NEARLY_GROWTH, NOISE_OF_MEANS, REDUCED_FOR_LINES,
    SINGLE, SPLITS, WITHIN_BOX,
};
use super::verdict::certify::{self, Certificate};
use super::verdict::outcome::{Outcome, first_identified};
use super::verdict::remedy::Remedy;
use super::verdict::solution::Status;
use crate::draws;
use crate::network::model::Model;
use crate::network::{Activation, TwoLayer};
use crate::oracle::{Averaged, Found, Oracle, OracleError};
use crate::stage::Stage;

/// The wide pipeline on a run.
pub(crate) struct Wide<'r, 'a> {
    run: &'r mut Run<'a>,
    /// What is known of f over the inputs, once it was probed.
    frame: Frame,
    /// The distance from which on f is constant between hyperplanes.
    far: f64,
}

/// Inputs beyond it have no effect.
struct InputBox {
    /// The input whose edge is nearest to the origin, of those looked at.
    input: usize,
    /// Where that is.
    edge: f64,
    /// The natural scale of f.
    scale: f64,
}

/// What the first network is found by.
enum Means {
    /// By Hessians and gradients, the first layer in these ways.
    Differences(Vec<(FirstLayer, u64)>),
    /// By values alone.
    Values,
}

/// A way to the second layer.
#[derive(Clone, Copy)]
enum Way {
    /// The peel with this split of the first layer.
    Split(u64),
    /// All units in their active range.
    Whole,
    /// Rank-one search among the second differences of this split.
    Span(u64),
    /// One unit at a time, by values alone.
    Grown,
}

/// What a way to the second layer saw of it.
enum Seen {
    /// First and second derivatives of each unit.
    Peel(Peel),
    /// Its curvature alone.
    Span(Spanned),
}

impl Seen {
    fn width(&self) -> usize {
        match self {
            Seen::Peel(peel) => peel.layer.beta.ncols(),
            Seen::Span(spanned) => spanned.width(),
        }
    }

    /// The first layer, where it is known better than before.
    fn units(&self) -> Option<&[Unit]> {
        match self {
            Seen::Peel(_) => None,
            Seen::Span(spanned) => Some(&spanned.units),
        }
    }

    fn patterns(&self) -> &Patterns {
        match self {
            Seen::Peel(peel) => &peel.patterns,
            Seen::Span(spanned) => &spanned.patterns,
        }
    }

    fn second_layer(&self, h: Activation) -> Result<SecondLayer, Halt> {
        match self {
            Seen::Peel(peel) => rows::second_layer(peel, h),
            Seen::Span(spanned) => spanned.second_layer(h),
        }
    }
}

/// Runs the pipeline: probe and reduce once, then attempts until one is certified; then within the box to which
/// the inputs are clipped, if they are.
pub(crate) fn identify(run: &mut Run<'_>) -> Result<Outcome, OracleError> {
    let mut inputs_box = None;
    let result = Wide::survey(run).and_then(|mut wide| wide.attempts(&mut inputs_box));
    let outcome = run.settle(result)?;
    match inputs_box {
        Some(inputs) => within(run, &inputs, outcome),
        None => Ok(outcome),
    }
}

/// The black box within the box to which it clips its inputs, by the pipeline that stays near a point;
/// `outside` is what came of the wide one.
fn within(run: &mut Run<'_>, inputs: &InputBox, outside: Outcome) -> Result<Outcome, OracleError> {
    let InputBox { input, edge, scale } = inputs;
    let natural = entangled::natural_radius(*scale, run.meter.input_dim());
    let radius = (WITHIN_BOX * edge).min(natural);
    let settings = Settings {
        pipeline: Pipeline::Entangled,
        domain_radius: Some(radius),
        attempts: 1,
        ..run.settings.clone()
    };
    let result = Entangled::new(run, settings).identify();
    let inside = run.settle(result)?;
    let clipped = format!("the inputs are clipped: input {input} has no effect beyond {edge:.4}");
    let (mut best, note) = if inside.better_than(&outside) {
        (inside, format!("; that is within {radius:.4} of the origin: {clipped}"))
    } else {
        (outside, format!("; {clipped}, and within {radius:.4}: {}", inside.reason))
    };
    if best.status == Status::Identified {
        // The network and its bound are right, but f is that network in the box only.
        best.status = Status::Approximate;
        best.remedy = Some(Remedy::WithinTheBox);
    }
    best.reason.push_str(&note);
    Ok(best)
}

impl<'r, 'a> Wide<'r, 'a> {
    /// Probe and reduce.
    fn survey(run: &'r mut Run<'a>) -> Result<Self, Halt> {
        let seed = run.settings.seed;
        let land = run.probed()?.bounded()?;
        let inputs = Place { coordinates: Coordinates::INPUTS, land: &land, attempt: 0 };
        let way = run.settings.first_layer;
        let frame = run.stage(Stage::Reduce, inputs, |cx| {
            let d = cx.f.input_dim();
            // Lines bring a gradient for every unit, the range with them: to know it before pays if it is small.
            let stack = way == FirstLayer::Stack || way == FirstLayer::Auto && cx.f.keeps_stacks();
            frame::frame(cx, if stack { d } else { d.div_ceil(REDUCED_FOR_LINES) })
        })?;
        let far = run.work(place(&frame, 0), far::far)?;
        run.evidence.far.push(far);
        run.hold_out(certify::points(&frame.outside, run.meter.input_dim(), seed));
        Ok(Wide { run, frame, far })
    }

    /// Attempts until one is final; `inputs_box` is filled where the first one shows that the inputs are clipped,
    /// which ends them.
    fn attempts(&mut self, inputs_box: &mut Option<InputBox>) -> Result<Outcome, Halt> {
        let Range { start, end } = self.run.tries();
        let first = self.some_attempts(start..start + 1)?;
        if start == 0 && !first.is_final() {
            *inputs_box = self.find_box()?;
        }
        if first.is_final() || inputs_box.is_some() || start + 1 >= end {
            return Ok(first);
        }
        match self.some_attempts(start + 1..end) {
            Ok(later) if later.better_than(&first) => Ok(later),
            Ok(_) => Ok(first),
            // Out of queries, time or the domain: what the first attempt brought still counts.
            Err(Halt::Oracle(error)) if error.is_limit() => Ok(first),
            Err(halt) => Err(halt),
        }
    }

    /// What a failure leaves is an outcome too: the first one names it.
    fn some_attempts(&mut self, attempts: Range<u64>) -> Result<Outcome, Halt> {
        let (frame, far) = (&self.frame, self.far);
        self.run.attempts(attempts, |run, attempt| {
            match (Attempt { run, frame, far, attempt }).outcome() {
                Err(Halt::Failed(failure)) => Ok(Outcome::none(&failure)),
                outcome => outcome,
            }
        })
    }

    /// Are the inputs clipped to a box? Where a limit leaves that open, they are not known to be.
    fn find_box(&mut self) -> Result<Option<InputBox>, Halt> {
        let land = &self.frame.outside;
        let inputs = Place { coordinates: Coordinates::INPUTS, land, attempt: 0 };
        match self.run.stage(Stage::Clipping, inputs, clipping::edge) {
            Ok(edge) => Ok(edge.map(|(input, edge)| InputBox { input, edge, scale: land.scale })),
            Err(Halt::Oracle(error)) if error.is_limit() => Ok(None),
            Err(halt) => Err(halt),
        }
    }
}

/// One attempt.
struct Attempt<'w, 'a> {
    run: &'w mut Run<'a>,
    frame: &'w Frame,
    far: f64,
    attempt: u64,
}

/// The frame's coordinates, with derivatives from values.
fn place(frame: &Frame, attempt: u64) -> Place<'_> {
    Place { coordinates: Coordinates::along(&frame.points), land: &frame.land, attempt }
}

impl Attempt<'_, '_> {
    /// By what suits the accuracy of the values, then by what else might.
    fn outcome(&mut self) -> Result<Outcome, Halt> {
        let noise = self.noise();
        let ways = self.ways();
        // Second differences of values far apart, as a stack has them, suffer most.
        let (lines, stacks): (Vec<_>, Vec<_>) =
            ways.iter().copied().partition(|way| way.0 == FirstLayer::Lines);
        let means = if noise > COARSE {
            vec![Means::Values, Means::Differences(ways)]
        } else if noise > INACCURATE {
            vec![Means::Differences(lines), Means::Values, Means::Differences(stacks)]
        } else {
            vec![Means::Differences(ways)]
        };
        first_identified(means, |by| match by {
            Means::Values => self.by_values(),
            Means::Differences(ways) => self.by_differences(&ways),
        })
    }

    /// Of values, relative to their spread.
    fn noise(&self) -> f64 {
        self.frame.land.noise_near / self.frame.land.spread
    }

    /// Ways to the first layer, in the order in which they are tried, and the turns of lines.
    fn ways(&self) -> Vec<(FirstLayer, u64)> {
        let keeps_stacks = self.run.meter.keeps_stacks();
        // Each is the other's second opinion; other lines are so much cheaper than a stack that they come before it.
        match self.run.settings.first_layer {
            FirstLayer::Auto if keeps_stacks => {
                vec![(FirstLayer::Stack, 0), (FirstLayer::Lines, 0)]
            }
            FirstLayer::Auto => {
                vec![(FirstLayer::Lines, 0), (FirstLayer::Lines, 1), (FirstLayer::Stack, 0)]
            }
            FirstLayer::Stack => vec![(FirstLayer::Stack, 0)],
            FirstLayer::Lines => vec![(FirstLayer::Lines, 0), (FirstLayer::Lines, 1)],
        }
    }

    /// All stages, by Hessians and gradients.
    fn by_differences(&mut self, ways: &[(FirstLayer, u64)]) -> Result<Outcome, Halt> {
        // First layers with the ways to a second one that were not tried yet.
        let mut left: Vec<(Vec<Unit>, Vec<Way>)> = Vec::new();
        first_identified(ways.iter().enumerate(), |(n, &(way, turn))| {
            let units = match way {
                FirstLayer::Lines => self.by_lines(turn),
                _ => self.by_stack(),
            }?;
            self.found_units(&units);
            // Several splits: the first that leads to a certified network is as good as any.
            let attempt = self.attempt;
            let mut rest: Vec<Way> =
                (SPLITS * attempt + 1..SPLITS * (attempt + 1)).map(Way::Split).collect();
            if units.len() <= MOST_WHOLE {
                rest.insert(1, Way::Whole);
            }
            rest.insert(0, Way::Span(attempt));
            if self.frame.land.rounds_points() && self.run.may_grow() {
                rest.insert(0, Way::Grown);
            }
            let first = self.second_layer(&units, Way::Split(SPLITS * attempt));
            // A second layer that is seen and does not fit tells of a first layer that is wrong: other lines cost less than other
            // looks at the second layer.
            let doubtful = self.run.widths.as_ref().is_some_and(|widths| widths[1] > 0);
            let other_lines = ways[n + 1..].iter().any(|way| way.0 == FirstLayer::Lines);
            left.push((units, rest));
            let now = if doubtful && other_lines { Vec::new() } else { std::mem::take(&mut left) };
            let rest =
                now.iter().flat_map(|(units, rest)| rest.iter().map(move |way| (units, way)));
            let mut first = Some(first);
            first_identified(std::iter::once(None).chain(rest.map(Some)), |choice| match choice {
                Some((units, &way)) => self.second_layer(units, way),
                None => first.take().unwrap_or_else(|| Err(no_units().into())),
            })
        })
    }

    /// The first layer by lines, some of them or others by `turn`.
    fn by_lines(&mut self, turn: u64) -> Result<Vec<Unit>, Halt> {
        let far = self.far;
        let place = Place { attempt: LINE_TURNS * self.attempt + turn, ..place(self.frame, 0) };
        let mut units = self.run.stage(Stage::Lines, place, |cx| lines::find_units(cx, far))?;
        self.run.widths = Some(vec![units.len(), 0]);
        if units.is_empty() {
            return Err(no_units().into());
        }
        if self.noise() > INACCURATE {
            // One gradient leaves a larger error than what is measured along the units can bear.
            self.run.stage(Stage::Polish, place, |cx| units::polish(cx, far, &mut units))?;
        }
        Ok(units)
    }

    /// The first layer by the stack of Hessians.
    fn by_stack(&mut self) -> Result<Vec<Unit>, Halt> {
        let (frame, far, attempt) = (self.frame, self.far, self.attempt);
        let ascent = self.run.settings.ascent();
        let place = place(frame, attempt);
        // Massive: by whatever the oracle has for Hessians.
        let coordinates = place.coordinates.with_own_derivatives();
        let mut stack = self.run.stage(Stage::Stack, Place { coordinates, ..place }, wide_stack)?;
        if let Some(basis) = &stack.basis {
            let gap = stack.gap.ratio;
            self.run.meter.found(Found::Subspace { frame: &frame.points, basis, gap });
        }

        let mut units = self
            .run
            .stage(Stage::Units, place, |cx| units::find_units(cx, far, &mut stack, ascent))?;
        self.run.widths = Some(vec![units.len(), 0]);
        if units.is_empty() {
            return Err(no_units().into());
        }
        self.run.stage(Stage::Polish, place, |cx| units::polish(cx, far, &mut units))?;
        Ok(units)
    }

    /// All stages by values alone, for values too inaccurate for differences.
    fn by_values(&mut self) -> Result<Outcome, Halt> {
        let land = &self.frame.land;
        let repeats = (land.noise_near / (NOISE_OF_MEANS * land.spread)).powi(2);
        let repeats = (repeats.ceil() as usize).clamp(1, MOST_REPEATS);
        let units = self.averaged(Stage::Hyperplanes, repeats, hyperplanes::find_units)?;
        self.run.widths = Some(vec![units.len(), 0]);
        if units.is_empty() {
            return Err(no_units().into());
        }
        self.found_units(&units);
        let (first, second) = self.run.settings.activations();
        // Rounded values have one error each wherever f is constant, which no mean lowers: different places do.
        let means = [(repeats, SATURATED_VALUES), (1, SINGLE * SATURATED_VALUES)];
        let means = &means[..if repeats > 1 { 2 } else { 1 }];
        let ways = families(first).iter().flat_map(|&g| {
            families(second).iter().flat_map(move |&h| means.iter().map(move |&mean| (g, h, mean)))
        });
        first_identified(ways, |(g, h, (repeats, values_each))| {
            let start = self.averaged(Stage::Saturated, repeats, |cx| {
                saturated::assemble(cx, &units, (g, h), values_each)
            })?;
            self.conclude(start)
        })
    }

    /// A stage that is given means of `repeats` values in place of values.
    fn averaged<T>(
        &mut self,
        stage: Stage,
        repeats: usize,
        work: impl FnOnce(&mut Context<'_>) -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        let land = self.frame.land.averaged(repeats);
        let apart = APART * self.frame.land.scale;
        self.run.stage(stage, place(self.frame, self.attempt), |cx| {
            let Context { f, seed, attempt, clock, evidence, .. } = cx;
            let (seed, attempt) = (*seed, *attempt);
            let rng = draws::stream(seed, "averaged", attempt);
            let f = &mut Averaged::new(*f, repeats, apart, rng);
            work(&mut Context { f, land: &land, seed, attempt, clock, evidence })
        })
    }

    /// Shows the observer the directions of the first layer.
    fn found_units(&mut self, units: &[Unit]) {
        let weights = &self.frame.weights;
        let directions: Vec<_> =
            units.iter().map(|unit| (weights * &unit.direction).normalize()).collect();
        let directions = DMatrix::from_columns(&directions);
        self.run.meter.found(Found::FirstLayer { directions: &directions, about: None });
    }

    /// From the first layer to the verdict, one way.
    fn second_layer(&mut self, units: &[Unit], way: Way) -> Result<Outcome, Halt> {
        let ascent = self.run.settings.ascent();
        let place = place(self.frame, self.attempt);
        let seen = match way {
            Way::Split(split) => {
                // The first split of an attempt is to be a cheap one.
                let thrifty = split % SPLITS == 0;
                self.run.stage(Stage::Peel, Place { attempt: split, ..place }, |cx| {
                    peel::peel(cx, units, ascent, thrifty).map(Seen::Peel)
                })
            }
            Way::Whole => self
                .run
                .stage(Stage::Peel, place, |cx| whole::whole(cx, units, ascent).map(Seen::Peel)),
            Way::Grown => return self.grown(units),
            Way::Span(split) => {
                // Angles are compared with the errors of second differences here.
                let units = self.polished(units)?;
                self.run.stage(Stage::Peel, Place { attempt: split, ..place }, |cx| {
                    span::span(cx, &units).map(Seen::Span)
                })
            }
        }?;
        self.run.widths = Some(vec![units.len(), seen.width()]);

        // What is seen of each layer orders the activations, and drops those that surely are not.
        let (first, second) = self.run.settings.activations();
        let (patterns, units) = (seen.patterns(), seen.units().unwrap_or(units));
        let seconds =
            contest(families(second), |h| seen.second_layer(h).map(|layer| (layer.misfit, layer)))?;
        first_identified(&seconds, |h| {
            let readings = self
                .run
                .stage(Stage::Scales, place, |cx| scales::read(cx, units, patterns, &h.what))?;
            let (seed, team) = (self.run.settings.seed, self.run.meter.team());
            let starts = contest(families(first), |g| {
                let pair = (g, h.activation);
                let start =
                    scales::assemble(&readings, units, patterns, &h.what, pair, (seed, &team))?;
                Ok((start.misfit, start))
            })?;
            first_identified(starts, |g| {
                let evidence = &mut self.run.evidence;
                evidence.second_layer.push(RowsFound { affinity: h.what.affinity });
                evidence
                    .scales
                    .push(Scaled::Read { worst_misfit: g.what.worst, bundles: g.what.bundles });
                let (worst, spread) = (g.what.worst, self.frame.land.spread);
                if self.frame.land.is_coarse() && worst > HOPELESS * spread {
                    let reason = format!(
                        "the second layer leaves {worst:.1e} on the line of a first-layer unit, of a spread of {spread:.1e}"
                    );
                    return Err(Failure::new(Stage::Scales, reason).into());
                }
                let layers = [g.activation, h.activation];
                evidence.activation.push(Contest { layers, margins: [g.margin, h.margin] });
                self.conclude(g.what.network)
            })
        })
    }

    /// The units with the directions that they have far out, where angles are magnified.
    fn polished(&mut self, units: &[Unit]) -> Result<Vec<Unit>, Halt> {
        let (far, mut units) = (self.far, units.to_vec());
        let place = place(self.frame, self.attempt);
        self.run.stage(Stage::Polish, place, |cx| units::polish(cx, far, &mut units))?;
        Ok(units)
    }

    /// From the first layer to the verdict, with a second one that grows by one unit at a time.
    fn grown(&mut self, units: &[Unit]) -> Result<Outcome, Halt> {
        let units = self.polished(units)?;
        let place = place(self.frame, self.attempt);
        let (first, second) = self.run.settings.activations();
        let pairs =
            families(first).iter().flat_map(|&g| families(second).iter().map(move |&h| (g, h)));
        first_identified(pairs, |pair| {
            let start =
                self.run.grow(place, |cx, budget| grown::second_layer(cx, &units, pair, budget))?;
            self.run.widths = Some(start.widths());
            self.conclude(start)
        })
    }

    /// From a first network to the verdict.
    fn conclude(&mut self, start: TwoLayer) -> Result<Outcome, Halt> {
        let parameters = start.parameter_count();
        let ways: &[FitBy] = match self.run.settings.fit {
            FitBy::Auto if parameters <= MOST_DENSE => &[FitBy::Dense],
            FitBy::Auto if parameters <= AFFORDABLE_DENSE => &[FitBy::Blocks, FitBy::Dense],
            FitBy::Auto | FitBy::Blocks => &[FitBy::Blocks],
            FitBy::Dense => &[FitBy::Dense],
        };
        first_identified(ways, |way| match way {
            FitBy::Dense => self.conclude_dense(start.clone()),
            _ => self.conclude_blocks(&start),
        })
    }

    /// By blocks, in all inputs at once.
    fn conclude_blocks(&mut self, start: &TwoLayer) -> Result<Outcome, Halt> {
        let Frame { weights, outside, .. } = self.frame;
        let mut network = TwoLayer { a: weights * &start.a, ..start.clone() };
        let widths = (network.a.ncols(), network.b.ncols());
        let accepted = self.run.settings.accepts(widths);
        let place = Place { coordinates: Coordinates::INPUTS, land: outside, attempt: 0 };
        let mut growth = 1;
        let mut rounds = 0;
        loop {
            let fitted =
                self.run.stage(Stage::Refine, place, |cx| blocks::fit(cx, &network, growth))?;
            let Blocks { network: found, support } = fitted;
            let certificate = self.run.supported(outside, &found, &support)?;
            let more = self.more_rows(&certificate, growth, support.count);
            match more.filter(|_| rounds < MOST_ROUNDS) {
                Some(more) => (network, growth, rounds) = (found, more, rounds + 1),
                None => {
                    let settings = &self.run.settings;
                    let plausible = support.plausible();
                    let plausible = plausible.into_iter().map(|n| settings.as_asked(n)).collect();
                    let found = settings.as_asked(found);
                    let judged = Outcome::judge(found, certificate, settings.tolerance, accepted);
                    return Ok(Outcome { plausible, ..judged });
                }
            }
        }
    }

    /// How many times the least rows would bring the bound to the tolerance, where only the accuracy of values keeps
    /// it above, or how many to try where the fit is a little worse than its rows claim, and if that can be asked; `count`
    /// rows were asked with `growth` times the least.
    fn more_rows(&self, certificate: &Certificate, growth: usize, count: usize) -> Option<usize> {
        let lacks = certificate.error_bound / self.run.settings.tolerance;
        let needed = if certificate.nearly_at_accuracy() {
            (NEARLY_GROWTH * growth) as f64
        } else if certificate.at_accuracy() && lacks > 1.0 && lacks.is_finite() {
            growth as f64 * (SAMPLE_MARGIN * lacks).powi(2)
        } else {
            return None;
        };
        let most = self.run.meter.remaining() as f64 / 2.0 / (count as f64 / growth as f64);
        let more = needed.min(most).min(MOST_GROWTH as f64) as usize;
        (more > growth).then_some(more)
    }

    /// All parameters at once.
    fn conclude_dense(&mut self, start: TwoLayer) -> Result<Outcome, Halt> {
        let Frame { points: q, weights, land, .. } = self.frame;
        let seed = self.run.settings.seed;
        let count = sample::size_for(&start);
        self.run.meter.keep_next();
        let sample = self.run.stage(Stage::Refine, place(self.frame, 0), |cx| {
            active::sample(cx.f, land, (&start.a, &start.theta), count, seed, "refine")
        })?;
        let floor = FIT_FLOOR * land.noise_near;
        let (network, rms) = self.run.refined(&sample, start, floor, |seen| &mut seen.refine)?;
        let network = self.run.settings.as_asked(TwoLayer { a: weights * &network.a, ..network });
        let sample = Sample { points: q * &sample.points, ..sample };
        let widths = (network.a.ncols(), network.b.ncols());
        let accepted = self.run.settings.accepts(widths);
        let Frame { outside, .. } = self.frame;
        let draw = |f: &mut dyn Oracle, network: &TwoLayer, count, purpose| {
            let name = match purpose {
                Purpose::AllInputs => "refine all inputs".to_owned(),
                Purpose::More(round) => format!("refine more {round}"),
            };
            active::sample(f, outside, (&network.a, &network.theta), count, seed, &name)
        };
        let reduced = !self.frame.is_whole();
        let fresh = Some(Fresh { reduced, rounds: MOST_ROUNDS, draw: &draw });
        let ground = Ground { land: outside, land_of_fit: land, fresh };
        self.run.conclude(Fit { network, sample, rms }, ground, accepted)
    }
}

fn no_units() -> Failure {
    Failure::new(
        Stage::Units,
        "no direction has a transition of its own: far out the black box is not constant between \
         hyperplanes",
    )
}
