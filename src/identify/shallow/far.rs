//! The way far out, where every step of f is one unit.

use super::growing;
use super::large::{self, Answered, Layered};
use super::missing;
use super::sightings::{Sightings, sightings};
use crate::algebra::linalg::rms;
use crate::draws;
use crate::identify::context::Coordinates;
use crate::identify::evidence::Contest;
use crate::identify::failure::{Failure, Halt};
use crate::identify::fit::active;
use crate::identify::fit::sample::{self, Sample};
use crate::identify::fit::tolerances::{FIT_FLOOR, UNEXPLAINED_SHARE};
use crate::identify::run::{Fit, Fresh, Ground, Place, Purpose, Run};
use crate::identify::scalars::family::families;
use crate::identify::settings::Settings;
use crate::identify::survey::far;
use crate::identify::survey::frame::{self, Frame};
use crate::identify::survey::landscape::Landscape;
use crate::identify::tolerances::{MOST_DENSE, MOST_ROUNDS};
use crate::identify::verdict::outcome::Outcome;
use crate::network::OneLayer;
use crate::network::model::Model;
use crate::oracle::Oracle;
use crate::stage::Stage;

/// What is known of f before its units are looked for.
pub struct Far {
    frame: Frame,
    /// The distance from which on f is constant between hyperplanes; `None` where it grows.
    distance: Option<f64>,
}

impl Far {
    /// Coordinates of even influence, and how far out f is a staircase.
    pub fn survey(run: &mut Run<'_>, land: &Landscape) -> Result<Far, Halt> {
        let inputs = Place { coordinates: Coordinates::INPUTS, land, attempt: 0 };
        // Gradients that tell a range of more than a few dimensions cost more than they save.
        let frame = run.stage(Stage::Reduce, inputs, |cx| frame::frame(cx, 0))?;
        let distance = match land.grows {
            true => None,
            false => Some(run.work(place(&frame, 0), far::far)?),
        };
        run.evidence.far.extend(distance);
        Ok(Far { frame, distance })
    }

    /// The units one by one. Where nothing is left of f but them it has one hidden layer, as far as it goes far out; where
    /// there are two no step is one of a single unit, or a unit has different steps in different places: a failure.
    pub fn sighted(&self, run: &mut Run<'_>, attempt: u64) -> Result<Sightings, Halt> {
        let asked = run.settings.activation;
        let mixture = run.mixture();
        let place = place(&self.frame, attempt);
        let found = run.stage(Stage::Lines, place, |cx| match self.distance {
            Some(distance) => sightings(cx, distance, families(asked)),
            None => growing::sightings(cx, &mixture, asked),
        })?;
        run.widths = Some(vec![found.network.dims().1]);
        let contest = Contest { layers: [found.network.phi; 2], margins: [found.margin; 2] };
        run.evidence.activation.push(contest);
        Ok(found)
    }

    /// The units one by one, then all parameters together.
    pub fn attempt(&self, run: &mut Run<'_>, attempt: u64) -> Result<Outcome<OneLayer>, Halt> {
        let Sightings { network, left, .. } = self.sighted(run, attempt)?;
        let network = self.completed(run, network, attempt)?;
        let large = self.distance.is_none() && network.parameter_count() > MOST_DENSE;
        let outcome = if large {
            self.finish_large(run, network, attempt)
        } else {
            self.finish(run, network, attempt)
        };
        match (outcome, left) {
            (Err(Halt::Failed(_)), Some(left)) => Err(left.into()),
            (outcome, _) => outcome,
        }
    }

    /// The network with the units that steps did not show, where these are lost in the rounding of points far out; as it is
    /// where none are found.
    fn completed(
        &self,
        run: &mut Run<'_>,
        network: OneLayer,
        attempt: u64,
    ) -> Result<OneLayer, Halt> {
        if self.distance.is_none() || !self.frame.land.rounds_points() {
            return Ok(network);
        }
        let found = run.grow(place(&self.frame, attempt), |cx, budget| {
            missing::completed(cx, &network, budget)
        })?;
        let network = found.unwrap_or(network);
        run.widths = Some(vec![network.dims().1]);
        Ok(network)
    }

    /// From a first network to the verdict.
    fn finish(
        &self,
        run: &mut Run<'_>,
        start: OneLayer,
        attempt: u64,
    ) -> Result<Outcome<OneLayer>, Halt> {
        let Frame { points, weights, land, outside } = &self.frame;
        let Settings { seed, activation, width, .. } = run.settings;
        let around = &active::around(land, (&start.a, &start.theta), start.phi);
        let start = start.normalised(around.scale);
        let count = sample::size_for(&start);
        run.meter.keep_next();
        let sample = run.stage(Stage::Refine, place(&self.frame, attempt), |cx| {
            active::sample(
                cx.f,
                around,
                (&start.a, &start.theta),
                count,
                seed,
                &format!("sighted {attempt}"),
            )
        })?;
        // Of a network that lacks a unit a fit makes nothing, at length.
        let from = rms(&sample.residual(&start));
        if from > UNEXPLAINED_SHARE * land.spread {
            let reason =
                format!("the units found leave {from:.2e} of f (spread {:.2e})", land.spread);
            return Err(Failure::new(Stage::Lines, reason).into());
        }
        let floor = FIT_FLOOR * land.noise_near;
        let (network, rms) = run.refined(&sample, start, floor, |seen| &mut seen.refine)?;
        let mut network = OneLayer { a: weights * &network.a, ..network };
        if let Some(asked) = activation {
            network = network.with_activation(asked).unwrap_or(network);
        }
        network = network.normalised(1.0);
        let sample = Sample { points: points * &sample.points, ..sample };
        let accepted = width.is_none_or(|width| width == network.dims().1);
        let draw = |f: &mut dyn Oracle, network: &OneLayer, count, purpose: Purpose| {
            let around = &active::around(outside, (&network.a, &network.theta), network.phi);
            let network = network.normalised(around.scale);
            let layer = (&network.a, &network.theta);
            active::sample(f, around, layer, count, seed, &format!("sighted {attempt} {purpose:?}"))
        };
        let reduced = !self.frame.is_whole();
        let fresh = Some(Fresh { reduced, rounds: MOST_ROUNDS, draw: &draw });
        let ground = Ground { land: outside, land_of_fit: land, fresh };
        run.conclude(Fit { network, sample, rms }, ground, accepted)
    }

    /// The same where parameters are many: without a matrix, by all outputs at once.
    fn finish_large(
        &self,
        run: &mut Run<'_>,
        start: OneLayer,
        attempt: u64,
    ) -> Result<Outcome<OneLayer>, Halt> {
        let Frame { points, weights, land, outside } = &self.frame;
        let Settings { seed, tolerance, width, .. } = run.settings;
        let clock = run.meter.clock();
        let mixture = run.mixture();
        let around = active::around(land, (&start.a, &start.theta), start.phi);
        let start = start.normalised(around.scale);
        let count = large::points_for((points.nrows(), start.dims().1), mixture.outputs());
        let rng = &mut draws::stream(seed, "large", attempt);
        let inner = active::points((&start.a, &start.theta), around.scale, count, rng);
        let x = points * inner;
        let inputs = Place { coordinates: Coordinates::INPUTS, land: outside, attempt };
        let answers = run.stage(Stage::Refine, inputs, |cx| Ok(cx.f.outputs(&x)?))?;
        let data = Answered::new(&x, &mixture.weighted(answers));
        let start = OneLayer { a: weights * &start.a, ..start }.normalised(1.0);
        let start = Layered::with_outputs(&start, &data).ok_or_else(|| {
            Failure::new(Stage::Refine, "the units do not determine the weights of the outputs")
        })?;
        let (found, unfinished, ended) = large::fitted(start, &data, &clock)?;
        run.evidence.refine.push(ended);
        let support = large::support((&found, &unfinished), &data, outside, (seed, &clock))?;
        let network = found.mixed();
        let certificate = run.supported(outside, &network, &support)?;
        let accepted = width.is_none_or(|width| width == network.dims().1);
        let outcome = Outcome::judge(network, certificate, tolerance, accepted);
        Ok(Outcome { plausible: support.plausible(), ..outcome })
    }
}

/// The frame's coordinates.
fn place(frame: &Frame, attempt: u64) -> Place<'_> {
    Place { coordinates: Coordinates::along(&frame.points), land: &frame.land, attempt }
}
