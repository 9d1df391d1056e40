//! The pipelines that stay near a point, stage by stage.

use nalgebra::{DMatrix, DVector};

use super::attribution::{self, Attribution, Saturation, Survival};
use super::fitted::{Fitted, Floor};
use super::jet::{self, Jet, JetStep};
use super::partition::{split, unit_columns};
use super::scales::Layers;
use super::tolerances::{
    CERTIFY_FILLED, ENTANGLED_BEYOND_HALF, ENTANGLED_SHELLS, FAR_GRADIENT_NOISE, FAR_RADII,
    HELD_STILL_ROUNDS, MOST_ENTANGLED, NATURAL_RADIUS, POOR_FIT, RANGE_FILLED, RANGE_LENGTH,
    RANGE_SPARE, REPAIR_ABOVE, RIM, SAMPLING_SHARE,
};
use super::{directions, hessians, inflection, repair};
use crate::algebra::linalg::rms;
use crate::draws;
use crate::identify::context::Coordinates;
use crate::identify::evidence::{Attributed, FarOut, LayerCounts, Opinion, Scaled, StepChosen};
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::wide_stack::wide_stack;
use crate::identify::fit::sample::{self, Sample};
use crate::identify::fit::tolerances::FIT_FLOOR;
use crate::identify::run::{Fit, Fresh, Ground, Place, Run};
use crate::identify::scalars::family::families;
use crate::identify::settings::{Pipeline, Settings};
use crate::identify::survey::landscape::Landscape;
use crate::identify::survey::probe;
use crate::identify::survey::reduce::{Sampling, range};
use crate::identify::verdict::outcome::{Outcome, first_identified};
use crate::identify::verdict::solution::Status;
use crate::identify::verdict::tolerances::HELD_OUT_POINTS;
use crate::network::{Activation, TwoLayer};
use crate::oracle::views::centred::shift;
use crate::oracle::{Found, Oracle, OracleError};
use crate::stage::Stage;

/// Where the stages work: coordinates y with x = centre + Q y, in the ball |y| <= radius.
struct Ball {
    centre: DVector<f64>,
    q: DMatrix<f64>,
    radius: f64,
    land: Landscape,
    step: JetStep,
    /// Where third derivatives are decomposed first.
    jets: Vec<Jet>,
    /// Orthonormal basis of the span of the Hessians far out, where that may be asked.
    survivors: Option<DMatrix<f64>>,
}

impl Ball {
    /// Residuals that a fit can end at.
    fn floor(&self) -> Floor {
        let noise = self.land.noise_near;
        Floor { least: FIT_FLOOR * noise, enough: REPAIR_ABOVE * noise }
    }

    /// The radius of the ball in which jets can be measured.
    fn inner(&self) -> f64 {
        self.radius - self.step.reach()
    }

    /// The coordinates y, with the oracle's own derivatives.
    fn place(&self, attempt: u64) -> Place<'_> {
        let (centre, basis) = (Some(&self.centre), Some(&self.q));
        let coordinates = Coordinates { centre, basis, by_values: false };
        Place { coordinates, land: &self.land, attempt }
    }

    /// Points x of points y.
    fn inputs(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        shift(&self.q * points, &self.centre)
    }

    /// The network of x from that of y.
    fn network(&self, network: TwoLayer) -> TwoLayer {
        let a = &self.q * &network.a;
        let theta = &network.theta + a.transpose() * &self.centre;
        TwoLayer { a, theta, ..network }
    }
}

/// The radius that is asked where nothing bounds it, for a black box of natural scale `scale` with `d` inputs.
pub(crate) fn natural_radius(scale: f64, d: usize) -> f64 {
    NATURAL_RADIUS * scale * (d as f64).sqrt()
}

/// Runs the pipeline that the settings name.
pub(crate) fn identify(run: &mut Run<'_>) -> Result<Outcome, OracleError> {
    let settings = run.settings.clone();
    let result = Entangled::new(run, settings).identify();
    run.settle(result)
}

/// A pipeline near a point, on a run.
pub(crate) struct Entangled<'r, 'a> {
    run: &'r mut Run<'a>,
    settings: Settings,
}

impl<'r, 'a> Entangled<'r, 'a> {
    /// `settings` need not be the run's: the wide pipeline comes here within a box.
    pub fn new(run: &'r mut Run<'a>, settings: Settings) -> Self {
        Entangled { run, settings }
    }

    /// Attempts by width m1 and by fresh starts until one is certified.
    pub fn identify(&mut self) -> Result<Outcome, Halt> {
        let Settings { widths, attempts, pipeline, .. } = self.settings;
        let (first, second) = self.settings.activations();
        if families(first) != families(second) {
            return Err(Failure::new(
                Stage::Start,
                "this pipeline takes both layers to be of one family, tanh (or sigmoid) or erf; the wide \
                 pipeline does not",
            )
            .into());
        }
        let ball = &self.ball()?;
        let k = ball.q.ncols();
        let most = (k / 2 + ENTANGLED_BEYOND_HALF).min(MOST_ENTANGLED);
        let candidates: Vec<usize> = match widths {
            Some((_, m1)) => vec![m1],
            None if pipeline == Pipeline::Published => {
                let plan = self.hessians_plan(ball);
                self.run.stage(Stage::Directions, ball.place(0), |cx| {
                    hessians::widths_by_gap(cx, plan, most, ball.step)
                })?
            }
            None => (1..=most).collect(),
        };
        let tries = (self.run.first_attempt..attempts)
            .flat_map(|a| candidates.iter().map(move |&m1| (a, m1)));
        first_identified(tries, |(attempt, m1)| {
            let outcome = self.try_width(ball, m1, attempt);
            match &outcome {
                Ok(outcome) if outcome.status != Status::Identified => {
                    self.run.meter.note(&format!("m1 = {m1}: {}", outcome.reason));
                }
                Err(Halt::Failed(failure)) => {
                    self.run.meter.note(&format!("m1 = {m1}: {failure}"));
                }
                _ => {}
            }
            outcome
        })
    }

    /// The ball in which all happens, what f looks like there, and where to begin.
    fn ball(&mut self) -> Result<Ball, Halt> {
        let Settings { seed, domain_radius, pipeline, .. } = self.settings;
        let d = self.run.meter.input_dim();
        let centre = self.settings.local.centre(d);
        self.run.meter.enter(Stage::Probe);
        let about = Coordinates::about(&centre);
        let (land, radius) = about.of(&mut self.run.meter, |f| match domain_radius {
            Some(radius) => Ok((probe::probe_within(f, radius, seed)?, radius)),
            None => {
                let land = probe::probe(f, seed)?.bounded()?;
                let radius = natural_radius(land.scale, d);
                Ok::<_, Halt>((land, radius))
            }
        })?;
        let radius = radius * (1.0 - RIM);
        let wide = land.clone();
        let land = Landscape { scale: land.scale.min(RIM * radius), ..land };
        self.run.measured(&land);
        let rng = &mut draws::stream(seed, "entangled certify", 0);
        self.run.hold_out(shift(shells(rng, d, CERTIFY_FILLED * radius, HELD_OUT_POINTS), &centre));

        let place = Place { coordinates: about, land: &land, attempt: 0 };
        let q = self.run.stage(Stage::Reduce, place, |cx| {
            let mut rng = draws::stream(seed, "reduce within", 0);
            let points = shells(&mut rng, d, RANGE_FILLED * radius, 2 * d + RANGE_SPARE);
            let sampling = Sampling::all(points, cx.land, RANGE_LENGTH * radius);
            let gradients = sampling.gradients(cx.f)?;
            range(cx, &sampling, gradients, d)
        })?;
        let coordinates = Coordinates { basis: Some(&q), ..about };
        let place = Place { coordinates, ..place };
        let step = self.run.work(place, |cx| jet::choose_step(cx.f, radius, seed))?;
        self.run.evidence.jet_step.push(StepChosen { h: step.h, error: step.error });
        self.check_widths(q.ncols())?;
        let (jets, survivors) = (Vec::new(), None);
        let mut ball = Ball { centre: centre.clone(), q, radius, land, step, jets, survivors };
        if pipeline != Pipeline::Published {
            let inner = ball.inner();
            ball.jets = self.run.stage(Stage::Directions, ball.place(0), |cx| {
                inflection::first_jets(cx.f, inner, step)
            })?;
        }
        if domain_radius.is_none() {
            let place = Place { land: &wide, ..ball.place(0) };
            ball.survivors = match self.run.stage(Stage::Attribution, place, wide_stack) {
                // A smaller subspace lacks some of the first layer.
                Ok(stack) if stack.gap.rank >= ball.q.ncols() => stack.basis,
                Ok(_) | Err(Halt::Failed(_)) => None,
                Err(halt) => return Err(halt),
            };
        }
        Ok(ball)
    }

    /// Can widths that are given be had in `k` dimensions?
    fn check_widths(&self, k: usize) -> Result<(), Failure> {
        match self.settings.widths {
            Some((m0, _)) if m0 != k => Err(Failure::new(
                Stage::Reduce,
                format!(
                    "the gradients span {k} dimensions: this pipeline needs m0 = {k} units there"
                ),
            )),
            Some((_, m1)) if m1 > k => {
                let reason = format!("{m1} second-layer units: at most m0 = {k} are found");
                Err(Failure::new(Stage::Start, reason))
            }
            _ => Ok(()),
        }
    }

    /// All stages with a given m1.
    fn try_width(&mut self, ball: &Ball, m1: usize, attempt: u64) -> Result<Outcome, Halt> {
        self.run.widths = Some(vec![ball.q.ncols(), m1]);
        let found = match self.settings.pipeline {
            Pipeline::Published => vec![vec![self.by_hessians(ball, m1, None, attempt)?]],
            Pipeline::Entangled | Pipeline::Wide => self.by_jets(ball, m1, attempt)?,
        };
        let k = ball.q.ncols();
        let parameters = k * k + k + k * m1 + 2 * m1 + 1;
        self.run.meter.enter(Stage::Scales);
        let sample = self.sample(ball, attempt, sample::size(parameters))?;
        let activations = families(self.settings.activation);
        let ways = found.iter().flat_map(|split| activations.iter().map(move |&phi| (split, phi)));
        // The better the fit, the fewer units are wrong: poor ones wait; where m1 is a guess, for the next attempt.
        let mut poor = Vec::new();
        let good = first_identified(ways, |(partitions, phi)| {
            let fitted = self.fit(ball, partitions, phi, &sample)?;
            if fitted.rms > POOR_FIT * ball.land.spread {
                poor.push(fitted);
                return Err(Failure::new(Stage::Scales, "no partition fits well").into());
            }
            self.complete(ball, fitted, &sample, attempt)
        });
        let settled =
            good.as_ref().map_or_else(|halt| !matches!(halt, Halt::Failed(_)), Outcome::is_final);
        let guessed = self.settings.widths.is_none() && attempt == 0;
        if settled || guessed || poor.is_empty() {
            return good;
        }
        poor.sort_by(|a, b| a.rms.total_cmp(&b.rms));
        let mended = first_identified(poor, |fitted| self.complete(ball, fitted, &sample, attempt));
        first_identified(good.into_iter().map(Ok).chain([mended]), |outcome| outcome)
    }

    /// From a fit to the verdict.
    fn complete(
        &mut self,
        ball: &Ball,
        fitted: Fitted,
        sample: &Sample,
        attempt: u64,
    ) -> Result<Outcome, Halt> {
        let Fitted { network, rms } = match self.settings.pipeline {
            Pipeline::Published => self.hold_still(ball, fitted, sample, attempt)?,
            Pipeline::Entangled | Pipeline::Wide => self.repair(ball, fitted, sample, attempt)?,
        };
        let network = self.settings.as_asked(ball.network(network));
        let (points, values) = (ball.inputs(&sample.points), sample.values.clone());
        let fit = Fit { network, sample: Sample { points, values }, rms };
        let seed = self.settings.seed;
        let draw = |f: &mut dyn Oracle, _: &TwoLayer, count, _| {
            let rng = &mut draws::stream(seed, "entangled all inputs", attempt);
            let points = shift(shells(rng, ball.centre.len(), ball.radius, count), &ball.centre);
            let values = f.values(&points)?;
            Ok(Sample { points, values })
        };
        let reduced = ball.q.ncols() < ball.q.nrows();
        let fresh = Some(Fresh { reduced, rounds: 0, draw: &draw });
        let ground = Ground { land: &ball.land, land_of_fit: &ball.land, fresh };
        self.run.conclude(fit, ground, true)
    }

    /// The published search again, with the motion of the entangled vectors taken out of the Hessians by the network
    /// fitted so far, as long as the fit improves.
    fn hold_still(
        &mut self,
        ball: &Ball,
        mut fitted: Fitted,
        sample: &Sample,
        attempt: u64,
    ) -> Result<Fitted, Halt> {
        let m1 = fitted.network.b.ncols();
        for round in 1..=HELD_STILL_ROUNDS {
            if fitted.rms < ball.floor().enough {
                break;
            }
            let draw = attempt + (round << 32);
            let next = self
                .by_hessians(ball, m1, Some(&fitted.network), draw)
                .and_then(|layers| self.fit(ball, &[layers], fitted.network.g, sample));
            match next {
                Ok(next) if next.rms < fitted.rms => fitted = next,
                Ok(_) | Err(Halt::Failed(_)) => break,
                Err(halt) => return Err(halt),
            }
        }
        Ok(fitted)
    }

    /// Units that are not right are exchanged, as long as the fit improves.
    fn repair(
        &mut self,
        ball: &Ball,
        fitted: Fitted,
        sample: &Sample,
        attempt: u64,
    ) -> Result<Fitted, Halt> {
        let floor = ball.floor();
        if fitted.rms < floor.enough {
            return Ok(fitted);
        }
        self.run.stage(Stage::Repair, ball.place(attempt), |cx| {
            repair::repair(cx, sample, fitted, floor)
        })
    }

    /// Directions from third derivatives, each set with its likeliest partitions between the layers.
    fn by_jets(&mut self, ball: &Ball, m1: usize, attempt: u64) -> Result<Vec<Vec<Layers>>, Halt> {
        let reach = directions::Reach { step: ball.step, inner: ball.inner() };
        let found = self.run.stage(Stage::Directions, ball.place(attempt), |cx| {
            directions::search(cx, &ball.jets, m1, reach)
        })?;
        let mut all = Vec::new();
        for directions::Directions { components, mut partitions, .. } in found {
            // Where neither rule decides, the fit does.
            if self.attribute(ball, &components, &mut partitions, attempt)? {
                partitions.truncate(1);
            }
            all.push(partitions.into_iter().map(|(layers, _)| layers).collect());
        }
        Ok(all)
    }

    /// Is the first of the `partitions` of `components` decided? The gradient's margin says so; where far
    /// queries are allowed, saturation and survival have a say too, and may put another one first.
    fn attribute(
        &mut self,
        ball: &Ball,
        components: &DMatrix<f64>,
        partitions: &mut [(Layers, Attribution)],
        attempt: u64,
    ) -> Result<bool, Halt> {
        let mut decided = partitions[0].1.decided();
        let mut far_out = None;
        if self.settings.domain_radius.is_none() {
            let (saturation, survival) = self.far_out(ball, components, attempt)?;
            let layers = match &survival {
                Some(survival) => attribution::together(&saturation.layers, &survival.layers),
                None => saturation.layers.clone(),
            };
            let count = |of: Option<bool>| layers.iter().filter(|&&layer| layer == of).count();
            let agrees = |a: &Attribution| {
                a.first.iter().all(|&j| layers[j] != Some(false))
                    && a.entangled.iter().all(|&j| layers[j] != Some(true))
            };
            let agreeing = partitions.iter().position(|(_, attribution)| agrees(attribution));
            far_out = Some(FarOut {
                saturation: opinion(&saturation.layers, saturation.margin),
                survival: survival.map(|survival| opinion(&survival.layers, Some(survival.margin))),
                agrees_with_partition: agreeing,
            });
            if let Some(k) = agreeing {
                partitions.swap(0, k);
                let (first, entangled) = (&partitions[0].1.first, &partitions[0].1.entangled);
                decided |=
                    count(Some(true)) == first.len() || count(Some(false)) == entangled.len();
            }
        }
        let margin = partitions[0].1.margin;
        self.run.evidence.attribution.push(Attributed { margin, far_out, decided });
        Ok(decided)
    }

    /// What saturation far out and survival in the Hessians there say of `components`.
    fn far_out(
        &mut self,
        ball: &Ball,
        components: &DMatrix<f64>,
        attempt: u64,
    ) -> Result<(Saturation, Option<Survival>), Halt> {
        let rng = &mut draws::stream(self.settings.seed, "saturation", attempt);
        let far = FAR_RADII * ball.radius;
        let h = ball.step.h;
        let noise =
            FAR_GRADIENT_NOISE * ball.land.noise_at(far) / h * (components.nrows() as f64).sqrt();
        let directions = unit_columns(components);
        let place = ball.place(attempt);
        let coordinates = Coordinates { by_values: true, ..place.coordinates };
        let saturation = self.run.work(Place { coordinates, ..place }, |cx| {
            attribution::by_saturation(cx.f, &directions, far, h, noise, rng)
        })?;
        let survival =
            ball.survivors.as_ref().map(|basis| attribution::by_survival(&directions, basis));
        Ok((saturation, survival))
    }

    /// How Hessians are sampled for the published search.
    fn hessians_plan(&self, ball: &Ball) -> hessians::Plan {
        let local = &self.settings.local;
        let limit = ball.inner();
        hessians::Plan {
            design: local.design.unwrap_or_default(),
            radius: local.radius.unwrap_or(SAMPLING_SHARE * ball.radius).min(limit),
            limit,
            count: local.hessians,
            ascent: self.settings.ascent(),
        }
    }

    /// Directions and their partition as published.
    fn by_hessians(
        &mut self,
        ball: &Ball,
        m1: usize,
        estimate: Option<&TwoLayer>,
        attempt: u64,
    ) -> Result<Layers, Halt> {
        let plan = self.hessians_plan(ball);
        let (found, jet) = self.run.stage(Stage::Directions, ball.place(attempt), |cx| {
            let found = hessians::search_directions(cx, plan, m1, ball.step, estimate)?;
            let jet = jet::measure(cx.f, &DVector::zeros(ball.q.ncols()), ball.step)?;
            Ok((found, jet))
        })?;
        let (basis, gap) = (&found.basis, found.gap);
        self.run.meter.found(Found::Subspace { frame: &ball.q, basis, gap });
        let rng = &mut draws::stream(self.settings.seed, "attribution", attempt);
        let mut partitions = split(&jet, &found.directions, m1, rng)?;
        if !self.attribute(ball, &found.directions, &mut partitions, attempt)? {
            let margin = partitions[0].1.margin;
            let reason = format!("the layers cannot be told apart (margin {margin:.2})");
            return Err(Failure::new(Stage::Attribution, reason).into());
        }
        let mut layers = partitions.swap_remove(0).0;
        layers.first_weights.third = None;
        layers.entangled_weights.third = None;
        Ok(layers)
    }

    /// Scales and refinement with one activation, from the partition that fits best.
    fn fit(
        &mut self,
        ball: &Ball,
        partitions: &[Layers],
        phi: Activation,
        sample: &Sample,
    ) -> Result<Fitted, Halt> {
        self.run.meter.enter(Stage::Scales);
        let descent = self.settings.local.descent.unwrap_or_default();
        let mut best: Option<(TwoLayer, f64, &Layers)> = None;
        for layers in partitions {
            let Ok((start, silent_units)) = layers.network(phi) else { continue };
            let (fitted, to) = layers.fit(&start, sample, descent)?;
            let from = rms(&sample.residual(&start));
            let scaled = Scaled::Fitted { activation: phi, silent_units, from, to };
            self.run.evidence.scales.push(scaled);
            if best.as_ref().is_none_or(|b| to < b.1) {
                best = Some((fitted, to, layers));
            }
        }
        let (start, _, layers) = best.ok_or_else(|| {
            Failure::new(Stage::Scales, "the first layer's directions are linearly dependent")
        })?;
        self.run.meter.found(Found::FirstLayer {
            directions: &(&ball.q * &layers.first),
            about: Some(&(&ball.q * &layers.point + &ball.centre)),
        });
        self.run.meter.enter(Stage::Refine);
        let floor = ball.floor().least;
        let (network, rms) = self.run.refined(sample, start, floor, |seen| &mut seen.refine)?;
        Ok(Fitted { network, rms })
    }

    /// Fresh points all over the ball and their values, in the coordinates y.
    fn sample(&mut self, ball: &Ball, attempt: u64, count: usize) -> Result<Sample, Halt> {
        let rng = &mut draws::stream(self.settings.seed, "entangled sample", attempt);
        let points = shells(rng, ball.q.ncols(), ball.radius, count);
        let values = self.run.meter.values(&ball.inputs(&points))?;
        Ok(Sample { points, values })
    }
}

/// What a rule says, in numbers.
fn opinion(layers: &[Option<bool>], margin: Option<f64>) -> Opinion {
    let count = |of| layers.iter().filter(|&&layer| layer == of).count();
    let (first, entangled) = (count(Some(true)), count(Some(false)));
    Opinion { layers: LayerCounts { first, entangled, undecided: count(None) }, margin }
}

/// `count` points on spheres about the origin, up to `radius`.
fn shells(rng: &mut impl rand::Rng, d: usize, radius: f64, count: usize) -> DMatrix<f64> {
    let mut points = DMatrix::zeros(d, count);
    for (k, mut x) in points.column_iter_mut().enumerate() {
        x.copy_from(
            &(draws::unit_vector(rng, d) * (radius * ENTANGLED_SHELLS[k % ENTANGLED_SHELLS.len()])),
        );
    }
    points
}
