//! The entangled pipeline: for black boxes that may be asked near a point only.
//!
//! Near a point, first-layer vectors a_i and entangled vectors v_l = A G b_l come together as rank-one
//! directions; the directions are found, attributed to their layers, and the network follows.
//!
//! | stage | what it finds | how |
//! |---|---|---|
//! | probe, reduce | accuracy of f in the domain; its m0 dimensions | differences of values; gradients |
//! | directions | a_i and v_l | by jets: the third derivatives at a point are a sum of m0 + m1 cubes (`jet`); or as published, in the whitened span of Hessians (`hessians`) |
//! | attribution | which is which | the gradient is made of the v_l alone; far out, where that may be asked, only an a_i is parallel to it and survives in the Hessians (`attribution`) |
//! | base point | exactness | a steep gradient, then towards the inflection of either layer (`inflection`); mixed terms of the directions so far are taken out (`directions`, `mixed`) |
//! | scales | all scalars | ratios of the weights in the jet, then a fit (`scales`) |
//! | refine | all parameters | as in the wide pipeline, within the domain |
//! | repair | units that leave no trace in the jet | one more is fitted, then a superfluous one taken away (`repair`) |
//! | certify | | as in the wide pipeline, within the domain |

mod attribution;
mod directions;
mod hessians;
mod inflection;
mod jet;
mod mixed;
mod outputs;
mod repair;
mod scales;
mod spare;

use nalgebra::{DMatrix, DVector};
use serde_json::{Value, json};

use super::first_layer::wide_stack as stack;
use super::fit::refine::{self, Sample};
use super::survey::probe::{self, Landscape};
use super::survey::reduce::{self, Restricted};
use super::verdict::certify;
use super::verdict::outcome::{Outcome, first_identified};
use super::{Failure, Halt, Pipeline, Run, Settings, Status, families};
use crate::algebra::linalg::{least_squares, rms};
use crate::algebra::svec::{svec, svec_outer};
use crate::draws;
use crate::network::{Activation, Network};
use crate::oracle::views::centred::{Centred, shift};
use crate::oracle::{Found, Oracle};
use attribution::{Attribution, Saturation};
use jet::{Jet, JetStep};
use repair::Floor;
pub use scales::Descent;
use scales::{Layers, Weights};

/// Without a domain, this many natural scales (times sqrt d) are asked.
const NATURAL_RADIUS: f64 = 2.0;
/// Share of the domain left free for the short lines on which noise is measured.
const RIM: f64 = 0.02;
/// The sampling radius of the published search, as a share of the domain's, where none is given.
const SAMPLING: f64 = 1.0 / 3.0;
/// Where every unit but those of interest is saturated, in radii.
const FAR: f64 = 300.0;
/// A fit within this many times the noise needs no repair.
const AT_FLOOR: f64 = 100.0;
/// Searches with entangled vectors held still, at most.
const ROUNDS: u64 = 6;
/// A fit that leaves more than this share of the spread is mended after all others.
const POOR: f64 = 1e-3;
/// Shares of the radius at which points for the fit and the certificate lie.
const SHELLS: [f64; 4] = [1.0, 0.5, 1.0, 0.8];

/// What the stages share: coordinates y with x = centre + Q y, in the ball |y| <= radius.
struct Place<'a> {
    centre: &'a DVector<f64>,
    q: &'a DMatrix<f64>,
    radius: f64,
    land: &'a Landscape,
    step: JetStep,
    /// Where third derivatives are decomposed first.
    jets: Vec<Jet>,
    /// Orthonormal basis of the span of the Hessians far out, where that may be asked.
    survivors: Option<DMatrix<f64>>,
}

impl Place<'_> {
    /// Residuals that a fit can end at.
    fn floor(&self) -> Floor {
        let noise = self.land.noise_near;
        Floor { least: 4.0 * noise, enough: AT_FLOOR * noise }
    }

    /// The ball in which jets can be measured.
    fn inner(&self) -> f64 {
        self.radius - self.step.reach()
    }
}

/// A network in the coordinates y, and its root mean square residual.
struct Fitted {
    network: Network,
    rms: f64,
}

/// The radius that is asked where nothing bounds it.
pub(super) fn natural_radius(scale: f64, d: usize) -> f64 {
    NATURAL_RADIUS * scale * (d as f64).sqrt()
}

impl Run<'_> {
    /// The entangled pipeline: attempts by width m1 and by fresh starts until one is certified.
    pub(super) fn entangled(&mut self) -> Result<Outcome, Halt> {
        let Settings { seed, widths, domain_radius, attempts, .. } = self.settings;
        let d = self.meter.input_dim();
        let centre = self.settings.local.centre(d);
        self.meter.enter("probe");
        let mut f = Centred::new(&mut self.meter, &centre);
        let (land, radius) = match domain_radius {
            Some(radius) => (probe::probe_within(&mut f, radius, seed)?, radius),
            None => {
                let land = probe::probe(&mut f, seed)?;
                let radius = natural_radius(land.scale, d);
                (land, radius)
            }
        };
        let radius = radius * (1.0 - RIM);
        let wide = land.clone();
        let land = Landscape { scale: land.scale.min(RIM * radius), ..land };
        self.accuracy = Some(land.noise_near);
        self.evidence.add("probe", json!(land));

        self.meter.enter("reduce");
        let mut f = Centred::new(&mut self.meter, &centre);
        let mut rng = draws::stream(seed, "reduce within", 0);
        let points = shells(&mut rng, d, 0.9 * radius, 2 * d + 8);
        let q = reduce::range(&mut f, &land, points, 0.02 * radius, &mut self.evidence)?;
        let mut f = Restricted::new(&mut f, &q);
        let step = jet::choose_step(&mut f, radius, seed)?;
        self.evidence.add("jet_step", json!(step));
        let k = q.ncols();
        if widths.is_some_and(|(m0, _)| m0 != k) {
            return Err(Failure::new(
                "reduce",
                format!(
                    "the gradients span {k} dimensions: this pipeline needs m0 = {k} units there"
                ),
            )
            .into());
        }
        if let Some((_, m1)) = widths.filter(|&(_, m1)| m1 > k) {
            let reason = format!("{m1} second-layer units: at most m0 = {k} are found");
            return Err(Failure::new("start", reason).into());
        }
        let (jets, survivors) = (Vec::new(), None);
        let mut place =
            Place { centre: &centre, q: &q, radius, land: &land, step, jets, survivors };
        if self.settings.pipeline != Pipeline::Published {
            self.meter.enter("directions");
            let mut f = Centred::new(&mut self.meter, &centre);
            let mut f = Restricted::new(&mut f, &q);
            place.jets = inflection::first_jets(&mut f, place.inner(), step)?;
        }
        if domain_radius.is_none() {
            self.meter.enter("attribution");
            let mut f = Centred::new(&mut self.meter, &centre);
            let mut f = Restricted::new(&mut f, &q);
            place.survivors = match stack::wide_stack(&mut f, &wide, seed, 0, &mut self.evidence) {
                // A smaller subspace lacks some of the first layer.
                Ok(stack) if stack.gap.rank >= k => Some(stack.basis),
                Ok(_) | Err(Halt::Failed(_)) => None,
                Err(halt) => return Err(halt),
            };
        }
        let place = place;

        let most = (k / 2 + 2).min(MOST_ENTANGLED);
        let candidates: Vec<usize> = match widths {
            Some((_, m1)) => vec![m1],
            None if self.settings.pipeline == Pipeline::Published => {
                self.meter.enter("directions");
                let plan = self.hessians_plan(&place);
                let mut f = Centred::new(&mut self.meter, &centre);
                let mut f = Restricted::new(&mut f, &q);
                hessians::widths_by_gap(&mut f, plan, most, step, seed, &mut self.evidence)?
            }
            None => (1..=most).collect(),
        };
        let tries = (0..attempts.max(1)).flat_map(|a| candidates.iter().map(move |&m1| (a, m1)));
        first_identified(tries, |(attempt, m1)| {
            let outcome = self.try_width(&place, m1, attempt);
            match &outcome {
                Ok(outcome) if outcome.status != Status::Identified => {
                    self.meter.note(&format!("m1 = {m1}: {}", outcome.reason));
                }
                Err(Halt::Failed(failure)) => self.meter.note(&format!("m1 = {m1}: {failure}")),
                _ => {}
            }
            outcome
        })
    }

    /// All stages with a given m1.
    fn try_width(&mut self, place: &Place<'_>, m1: usize, attempt: u64) -> Result<Outcome, Halt> {
        self.widths = Some((place.q.ncols(), m1));
        let found = match self.settings.pipeline {
            Pipeline::Published => vec![vec![self.by_hessians(place, m1, None, attempt)?]],
            Pipeline::Entangled | Pipeline::Wide => self.by_jets(place, m1, attempt)?,
        };
        let k = place.q.ncols();
        let parameters = k * k + k + k * m1 + 2 * m1 + 1;
        self.meter.enter("scales");
        let count = refine::points_for(parameters);
        let sample = self.sample(place, "entangled sample", attempt, count)?;
        let activations = families(self.settings.activation);
        let ways = found.iter().flat_map(|split| activations.iter().map(move |&phi| (split, phi)));
        // The better the fit, the fewer units are wrong: poor ones wait; where m1 is a guess, for the next attempt.
        let mut poor = Vec::new();
        let good = first_identified(ways, |(partitions, phi)| {
            let fitted = self.fit(place, partitions, phi, &sample)?;
            if fitted.rms > POOR * place.land.spread {
                poor.push(fitted);
                return Err(Failure::new("scales", "no partition fits well").into());
            }
            self.complete(place, fitted, &sample, attempt)
        });
        let settled =
            good.as_ref().map_or_else(|halt| !matches!(halt, Halt::Failed(_)), Outcome::is_final);
        let guessed = self.settings.widths.is_none() && attempt == 0;
        if settled || guessed || poor.is_empty() {
            return good;
        }
        poor.sort_by(|a, b| a.rms.total_cmp(&b.rms));
        let mended =
            first_identified(poor, |fitted| self.complete(place, fitted, &sample, attempt));
        first_identified(good.into_iter().map(Ok).chain([mended]), |outcome| outcome)
    }

    /// From a fit to the certificate.
    fn complete(
        &mut self,
        place: &Place<'_>,
        fitted: Fitted,
        sample: &Sample,
        attempt: u64,
    ) -> Result<Outcome, Halt> {
        let fitted = match self.settings.pipeline {
            Pipeline::Published => self.hold_still(place, fitted, sample, attempt)?,
            Pipeline::Entangled | Pipeline::Wide => self.repair(place, fitted, sample, attempt)?,
        };
        self.finish(place, fitted, sample, attempt)
    }

    /// The published search again, with the motion of the entangled vectors taken out of the Hessians by the network
    /// fitted so far, as long as the fit improves.
    fn hold_still(
        &mut self,
        place: &Place<'_>,
        mut fitted: Fitted,
        sample: &Sample,
        attempt: u64,
    ) -> Result<Fitted, Halt> {
        let m1 = fitted.network.b.ncols();
        for round in 1..=ROUNDS {
            if fitted.rms < place.floor().enough {
                break;
            }
            let draw = attempt + (round << 32);
            let next = self
                .by_hessians(place, m1, Some(&fitted.network), draw)
                .and_then(|layers| self.fit(place, &[layers], fitted.network.g, sample));
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
        place: &Place<'_>,
        fitted: Fitted,
        sample: &Sample,
        attempt: u64,
    ) -> Result<Fitted, Halt> {
        let floor = place.floor();
        if fitted.rms < floor.enough {
            return Ok(fitted);
        }
        self.meter.enter("repair");
        let Settings { seed, deadline, .. } = self.settings;
        let rng = &mut draws::stream(seed, "repair", attempt);
        repair::repair(sample, fitted, floor, deadline, rng, &mut self.evidence)
    }

    /// Directions from third derivatives, each set with its likeliest partitions between the layers.
    fn by_jets(
        &mut self,
        place: &Place<'_>,
        m1: usize,
        attempt: u64,
    ) -> Result<Vec<Vec<Layers>>, Halt> {
        self.meter.enter("directions");
        let mut f = Centred::new(&mut self.meter, place.centre);
        let f = &mut Restricted::new(&mut f, place.q);
        let rng = &mut draws::stream(self.settings.seed, "decompose", attempt);
        let reach = directions::Reach { step: place.step, inner: place.inner() };
        let found =
            directions::search(f, &place.jets, m1, attempt, reach, rng, &mut self.evidence)?;
        let mut all = Vec::new();
        for directions::Directions { components, mut partitions, .. } in found {
            // Where neither rule decides, the fit does.
            if self.attribute(place, &components, &mut partitions, attempt)? {
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
        place: &Place<'_>,
        components: &DMatrix<f64>,
        partitions: &mut [(Layers, Attribution)],
        attempt: u64,
    ) -> Result<bool, Halt> {
        let mut decided = partitions[0].1.decided();
        let mut far_out = Value::Null;
        if self.settings.domain_radius.is_none() {
            let rng = &mut draws::stream(self.settings.seed, "saturation", attempt);
            let far = FAR * place.radius;
            let h = place.step.h;
            let noise = 1.5 * place.land.noise_at(far) / h * (components.nrows() as f64).sqrt();
            let mut f = Centred::new(&mut self.meter, place.centre);
            let f = &mut Restricted::by_values(&mut f, place.q);
            let directions = units(components);
            let Saturation { mut layers, margin } =
                attribution::by_saturation(f, &directions, far, h, noise, rng)?;
            let tally = |layers: &[Option<bool>]| {
                let count = |of| layers.iter().filter(|&&layer| layer == of).count();
                json!({"first": count(Some(true)), "entangled": count(Some(false)), "undecided": count(None)})
            };
            let saturated = json!({"layers": tally(&layers), "margin": margin});
            let survival = place.survivors.as_ref().map(|basis| {
                let survival = attribution::by_survival(&directions, basis);
                layers = attribution::together(&layers, &survival.layers);
                json!({"layers": tally(&survival.layers), "margin": survival.margin})
            });
            let count = |of: Option<bool>| layers.iter().filter(|&&layer| layer == of).count();
            let agrees = |a: &Attribution| {
                a.first.iter().all(|&j| layers[j] != Some(false))
                    && a.entangled.iter().all(|&j| layers[j] != Some(true))
            };
            let agreeing = partitions.iter().position(|(_, attribution)| agrees(attribution));
            far_out = json!({"saturation": saturated, "survival": survival,
                "agrees_with_partition": agreeing});
            if let Some(k) = agreeing {
                partitions.swap(0, k);
                let (first, entangled) = (&partitions[0].1.first, &partitions[0].1.entangled);
                decided |=
                    count(Some(true)) == first.len() || count(Some(false)) == entangled.len();
            }
        }
        self.evidence.add(
            "attribution",
            json!({"margin": partitions[0].1.margin, "far_out": far_out, "decided": decided}),
        );
        Ok(decided)
    }

    /// How Hessians are sampled for the published search.
    fn hessians_plan(&self, place: &Place<'_>) -> hessians::Plan {
        let local = &self.settings.local;
        let limit = place.inner();
        hessians::Plan {
            design: local.design,
            radius: local.radius.unwrap_or(SAMPLING * place.radius).min(limit),
            limit,
            count: local.hessians,
            ascent: self.settings.ascent,
        }
    }

    /// Directions and their partition as published.
    fn by_hessians(
        &mut self,
        place: &Place<'_>,
        m1: usize,
        estimate: Option<&Network>,
        attempt: u64,
    ) -> Result<Layers, Halt> {
        self.meter.enter("directions");
        let seed = self.settings.seed;
        let plan = self.hessians_plan(place);
        let mut f = Centred::new(&mut self.meter, place.centre);
        let f = &mut Restricted::new(&mut f, place.q);
        let draw = (seed, attempt);
        let evidence = &mut self.evidence;
        let found = hessians::search_directions(f, plan, m1, place.step, estimate, draw, evidence)?;
        let jet = jet::measure(f, &DVector::zeros(place.q.ncols()), place.step)?;
        self.meter.found(Found::Subspace { frame: place.q, basis: &found.basis, gap: found.gap });
        let rng = &mut draws::stream(seed, "attribution", attempt);
        let mut partitions = split(&jet, &found.directions, m1, rng)?;
        if !self.attribute(place, &found.directions, &mut partitions, attempt)? {
            let margin = partitions[0].1.margin;
            return Err(Failure::new(
                "attribution",
                format!("the layers cannot be told apart (margin {margin:.2})"),
            )
            .into());
        }
        let mut layers = partitions.swap_remove(0).0;
        layers.first_weights.third = None;
        layers.entangled_weights.third = None;
        Ok(layers)
    }

    /// Scales and refinement with one activation, from the partition that fits best.
    fn fit(
        &mut self,
        place: &Place<'_>,
        partitions: &[Layers],
        phi: Activation,
        sample: &Sample,
    ) -> Result<Fitted, Halt> {
        self.meter.enter("scales");
        let mut best: Option<(Network, f64, &Layers)> = None;
        for layers in partitions {
            let Ok((start, silent)) = layers.network(phi) else { continue };
            let (fitted, rms) = layers.fit(&start, sample, self.settings.local.descent)?;
            let from = rms_of(sample, &start);
            self.evidence.add(
                "scales",
                json!({"activation": phi, "silent_units": silent, "from": from, "to": rms}),
            );
            if best.as_ref().is_none_or(|b| rms < b.1) {
                best = Some((fitted, rms, layers));
            }
        }
        let (start, _, layers) = best.ok_or_else(|| {
            Failure::new("scales", "the first layer's directions are linearly dependent")
        })?;
        self.meter.found(Found::FirstLayer {
            directions: &(place.q * &layers.first),
            about: Some(&(place.q * &layers.point + place.centre)),
        });
        self.meter.enter("refine");
        let floor = place.floor().least;
        let (network, rms) = refine::refine(
            sample,
            start,
            floor,
            self.settings.deadline,
            "refine",
            &mut self.evidence,
        )?;
        Ok(Fitted { network, rms })
    }

    /// Back to the inputs, and the certificate.
    fn finish(
        &mut self,
        place: &Place<'_>,
        fitted: Fitted,
        sample: &Sample,
        attempt: u64,
    ) -> Result<Outcome, Halt> {
        let Settings { seed, tolerance, deadline, .. } = self.settings;
        let Fitted { network, rms } = fitted;
        if rms > 0.05 * place.land.spread {
            return Err(Failure::new(
                "refine",
                format!(
                    "the fit stops at a residual of {rms:.2e} (spread {:.2e})",
                    place.land.spread
                ),
            )
            .into());
        }
        let floor = place.floor().least;
        let mut network = self.settings.as_asked(back(network, place));
        let d = place.centre.len();
        let mut sample =
            Sample { points: in_place(place, &sample.points), values: sample.values.clone() };
        if place.q.ncols() < d {
            // Back to all d inputs, where the range itself is refined too.
            let rng = &mut draws::stream(seed, "entangled all inputs", attempt);
            let count = refine::sample_size(&network);
            let points = shift(shells(rng, d, place.radius, count), place.centre);
            let values = self.meter.values(&points)?;
            sample = Sample { points, values };
            let stage = "refine_all_inputs";
            let evidence = &mut self.evidence;
            network = refine::refine(&sample, network, floor, deadline, stage, evidence)?.0;
        }

        self.meter.enter("certify");
        // The same points for all attempts: a rare deviation is not to be missed by trying again.
        let rng = &mut draws::stream(seed, "entangled certify", 0);
        let points = shift(shells(rng, d, 0.97 * place.radius, certify::POINTS), place.centre);
        let certificate = certify::certify_at(
            &mut self.meter,
            place.land,
            &network,
            &sample,
            points,
            seed,
            &mut self.evidence,
        )?;
        Ok(Outcome::judge(network, certificate, tolerance, true))
    }

    /// Fresh points all over the ball and their values, in the coordinates y.
    fn sample(
        &mut self,
        place: &Place<'_>,
        stage: &str,
        attempt: u64,
        count: usize,
    ) -> Result<Sample, Halt> {
        let rng = &mut draws::stream(self.settings.seed, stage, attempt);
        let points = shells(rng, place.q.ncols(), place.radius, count);
        let values = self.meter.values(&in_place(place, &points))?;
        Ok(Sample { points, values })
    }
}

/// Largest m1 tried where it is not given.
const MOST_ENTANGLED: usize = 16;

fn rms_of(sample: &Sample, network: &Network) -> f64 {
    rms(&sample.residual(network))
}

/// `count` points on spheres about the origin, up to `radius`.
fn shells(rng: &mut impl rand::Rng, d: usize, radius: f64, count: usize) -> DMatrix<f64> {
    let mut points = DMatrix::zeros(d, count);
    for (k, mut x) in points.column_iter_mut().enumerate() {
        x.copy_from(&(draws::unit_vector(rng, d) * (radius * SHELLS[k % SHELLS.len()])));
    }
    points
}

/// centre + Q y.
fn in_place(place: &Place<'_>, points: &DMatrix<f64>) -> DMatrix<f64> {
    shift(place.q * points, place.centre)
}

/// The network of x from that of y.
fn back(network: Network, place: &Place<'_>) -> Network {
    let a = place.q * &network.a;
    let theta = &network.theta + a.transpose() * place.centre;
    Network { a, theta, ..network }
}

/// The columns at unit length.
fn units(components: &DMatrix<f64>) -> DMatrix<f64> {
    let mut directions = components.clone();
    directions.column_iter_mut().for_each(|mut u| {
        u.normalize_mut();
    });
    directions
}

/// Attributes `components` (any lengths) at `jet`, the likeliest partition first, and weighs them in its
/// derivatives.
fn split(
    jet: &Jet,
    components: &DMatrix<f64>,
    m1: usize,
    rng: &mut impl rand::Rng,
) -> Result<Vec<(Layers, Attribution)>, Halt> {
    let failed = |what: &str| -> Halt { Failure::new("attribution", what).into() };
    let directions = units(components);
    let attributions = attribution::by_gradient(&directions, &jet.gradient, m1, rng)
        .ok_or_else(|| failed("the directions do not span the space"))?;
    let mut outer = DMatrix::zeros(svec(&jet.hessian).len(), directions.ncols());
    for (u, mut outer) in directions.column_iter().zip(outer.column_iter_mut()) {
        svec_outer(u.into_owned().as_slice(), outer.as_mut_slice());
    }
    let hessian = DVector::from_vec(svec(&jet.hessian));
    let solve = |m: &DMatrix<f64>, y: &DVector<f64>| {
        least_squares(m, y, 1e-12)
            .map(|(weights, _)| weights)
            .ok_or_else(|| failed("the weights have no least squares"))
    };
    let second = solve(&outer, &hessian)?;
    // <u_j^(x3), u_k^(x3)> = (u_j . u_k)^3.
    let inner = (directions.transpose() * &directions).map(|g| g * g * g);
    let contracted = jet.cubic.contract(&directions);
    let moments = DVector::from_iterator(
        directions.ncols(),
        contracted.column_iter().zip(directions.column_iter()).map(|(t, u)| t.dot(&u)),
    );
    let third = solve(&inner, &moments)?;
    let layer = |rows: &[usize]| -> Result<(DMatrix<f64>, Weights), Halt> {
        let directions = directions.select_columns(rows);
        let first = solve(&directions, &jet.gradient)?;
        let pick = |all: &DVector<f64>| DVector::from_fn(rows.len(), |k, _| all[rows[k]]);
        let weights = Weights { first, second: pick(&second), third: Some(pick(&third)) };
        Ok((directions, weights))
    };
    let both = |attribution: Attribution| -> Result<(Layers, Attribution), Halt> {
        let (first, first_weights) = layer(&attribution.first)?;
        let (entangled, entangled_weights) = layer(&attribution.entangled)?;
        let (point, value) = (jet.point.clone(), jet.value);
        let layers = Layers { point, value, first, first_weights, entangled, entangled_weights };
        Ok((layers, attribution))
    };
    attributions.into_iter().map(both).collect()
}
