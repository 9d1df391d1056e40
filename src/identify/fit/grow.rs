//! A network one unit at a time: each is fitted to what the others leave of f.
//!
//! All units at once from a random start end in a poor local minimum, the surer the more they are. One unit more, fitted to what
//! the others leave, from many starts, and then all of them together, do not: what is wrong with the units so far is mended by
//! later ones, and those that were taken in vain are dropped at the end, as the others do without them.

use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::growing::Growing;
use super::projected::{self, Patience, with_best_outputs};
use super::refine::refine;
use super::sample::Sample;
use super::tolerances::{
    FIT_FLOOR, GROWTH_FRUITLESS, GROWTH_GAIN, GROWTH_MOST_WORK, GROWTH_POINTS, GROWTH_SLOPES,
    GROWTH_STARTS, SPARE_INFLUENCE,
};
use crate::algebra::linalg::rms;
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::{FitEnded, GrowthEnd, UnitsGrown};
use crate::identify::failure::Halt;
use crate::identify::survey::landscape::Landscape;
use crate::network::model::Model;
use crate::network::{Activation, OneLayer};
use crate::oracle::Clock;
use crate::ranks::Team;

/// How a network grows.
pub struct Growth<'g> {
    /// Names its draws.
    pub stage: &'g str,
    /// Units that it may come to.
    pub most_units: usize,
    /// Parameters that it may come to.
    pub most_parameters: usize,
    /// The scale of what its units are given.
    pub scale: f64,
    /// How well that is known.
    pub inputs: Inputs,
}

/// What the units of the layer that grows are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// The inputs of the black box.
    Known,
    /// What a layer puts out that is fitted along with them. A unit that is fitted to the last of what the others leave makes good for
    /// what is wrong with that layer, and a patient fit of all makes that layer wrong for the sake of units that are missing.
    Nearly,
}

impl Inputs {
    /// How slow a valley a fit of all units follows.
    fn patience(self) -> Patience {
        match self {
            Inputs::Known => Patience::LONG,
            Inputs::Nearly => Patience::SHORT,
        }
    }

    /// Fruitless rounds in a row that end the growth.
    fn fruitless(self) -> usize {
        match self {
            Inputs::Known => GROWTH_FRUITLESS.0,
            Inputs::Nearly => GROWTH_FRUITLESS.1,
        }
    }

    /// A unit fitted to what the others leave, and how the fit ended.
    fn unit(self, rest: &Sample, start: OneLayer, clock: &Clock) -> Option<(OneLayer, FitEnded)> {
        let (unit, ended) = match self {
            Inputs::Known => projected::fit(rest, start, 0.0, Patience::LONG, clock),
            Inputs::Nearly => {
                let (start, _) = with_best_outputs(&start, rest, clock.team())?;
                refine(rest, start, 0.0, clock)
            }
        }
        .ok()?;
        ended.to.is_finite().then_some((unit, ended))
    }
}

/// Multiply-adds that all growth of a run may still take.
#[derive(Clone, Copy, Debug)]
pub struct Budget(f64);

impl Default for Budget {
    fn default() -> Self {
        Budget(GROWTH_MOST_WORK)
    }
}

impl Budget {
    /// After a fit of so many parameters, most of whose work are Gram matrices.
    fn spend(&mut self, ended: &FitEnded, parameters: usize) {
        self.0 -= (ended.steps * ended.points) as f64 * (parameters as f64).powi(2);
    }

    /// Is nothing of it left?
    pub fn is_spent(self) -> bool {
        self.0 <= 0.0
    }
}

impl Growth<'_> {
    /// Why `network` grows no further, if it does not, after so many fruitless rounds.
    fn end<M: Growing>(&self, network: &M, fruitless: usize, budget: Budget) -> Option<GrowthEnd> {
        if network.width() > self.most_units || network.parameter_count() > self.most_parameters {
            Some(GrowthEnd::Large)
        } else if fruitless >= self.inputs.fruitless() {
            Some(GrowthEnd::Fruitless)
        } else if budget.is_spent() {
            Some(GrowthEnd::Spent)
        } else {
            None
        }
    }
}

/// Values for a fit of so many parameters while a network grows.
pub fn points_for(parameters: usize) -> usize {
    GROWTH_POINTS.0 * parameters + GROWTH_POINTS.1
}

/// Adds units to `start` until `done` makes something of the network, fitted to the values that `draw` brings for it and the
/// number of a round, and of the root mean square that these leave; also what was seen.
pub fn grow<M: Growing, T>(
    cx: &mut Context<'_>,
    start: M,
    (growth, budget): (&Growth<'_>, &mut Budget),
    mut draw: impl FnMut(&mut Context<'_>, &M, usize) -> Result<Sample, Halt>,
    mut done: impl FnMut(&mut Context<'_>, &M, &Sample, f64) -> Result<Option<T>, Halt>,
) -> Result<(Option<T>, UnitsGrown), Halt> {
    let mut network = start;
    // Nothing is explained so far.
    let left = cx.land.spread;
    let mut seen = UnitsGrown { before: network.width(), left, ..UnitsGrown::default() };
    let (mut best, mut fruitless) = (f64::INFINITY, 0);
    loop {
        seen.ended = growth.end(&network, fruitless, *budget);
        if seen.ended.is_some() {
            return Ok((None, seen));
        }
        let clock = cx.clock;
        clock.check()?;
        let sample = draw(cx, &network, seen.rounds)?;
        let rest = if network.width() == 0 {
            // A constant so far.
            let mean = sample.values.mean();
            network = network.with_outputs(DVector::zeros(0), mean);
            sample.values.add_scalar(-mean)
        } else {
            let floor = floor(cx.land, &sample);
            let (fitted, ended) =
                projected::fit(&sample, network, floor, growth.inputs.patience(), clock)?;
            budget.spend(&ended, fitted.parameter_count());
            network = fitted;
            -sample.residual(&network)
        };
        let left = rms(&rest);
        (seen.rounds, seen.left) = (seen.rounds + 1, left);
        if let Some(made) = done(cx, &network, &sample, left)? {
            return Ok((Some(made), seen));
        }
        clock.done(network.width() as f64 / growth.most_units as f64);
        (best, fruitless) =
            if left < GROWTH_GAIN * best { (left, 0) } else { (best, fruitless + 1) };
        let rest = Sample { points: network.given(&sample.points), values: rest };
        let rng = &mut draws::stream(cx.seed, growth.stage, seen.rounds as u64);
        let Some(unit) = unit_of(&rest, network.activation(), (growth, budget), rng) else {
            seen.ended = Some(GrowthEnd::Fruitless);
            return Ok((None, seen));
        };
        network = network.with_unit(&unit);
    }
}

/// Root mean square residual that the fit of the right network ends under.
pub fn floor(land: &Landscape, sample: &Sample) -> f64 {
    FIT_FLOOR * land.noise_over(sample.points.column_iter().map(|x| x.norm()))
}

/// The one unit, with an offset, that explains most of `rest`: the best of fits from many starts.
fn unit_of(
    rest: &Sample,
    phi: Activation,
    (growth, budget): (&Growth<'_>, &mut Budget),
    rng: &mut ChaCha8Rng,
) -> Option<OneLayer> {
    let d = rest.points.nrows();
    let mut behind = 0.0;
    let squares = rest.values.iter().map(|value| {
        behind += value * value;
        behind
    });
    let squares: Vec<f64> = squares.collect();
    // In its transition at a point where much is left.
    let mut start = || {
        let at = rng.random_range(0.0..1.0) * behind;
        let at = squares.partition_point(|&sum| sum < at).min(squares.len() - 1);
        let slope = rng.random_range(GROWTH_SLOPES.0..GROWTH_SLOPES.1).exp2() / growth.scale;
        let a = draws::unit_vector(rng, d) * slope;
        let theta = DVector::from_element(1, a.dot(&rest.points.column(at)));
        let a = DMatrix::from_column_slice(d, 1, a.as_slice());
        OneLayer { a, theta, c: DVector::zeros(1), c0: 0.0, phi }
    };
    let starts: Vec<OneLayer> = (0..GROWTH_STARTS).map(|_| start()).collect();
    // Threads of their own: what ranks do together they do in order.
    let alone = Clock::new(None);
    let fit = |start: OneLayer| growth.inputs.unit(rest, start, &alone);
    let fits: Vec<(OneLayer, FitEnded)> = starts.into_par_iter().filter_map(fit).collect();
    fits.iter().for_each(|(unit, ended)| budget.spend(ended, unit.parameter_count()));
    fits.into_iter().min_by(|a, b| a.1.to.total_cmp(&b.1.to)).map(|(unit, _)| unit)
}

/// The same fit with as few units as come under the `floor`, one less at a time, at least one; values spread as those of `land`.
pub fn without_spare<M: Growing>(
    sample: &Sample,
    mut network: M,
    (land, floor): (&Landscape, f64),
    clock: &Clock,
) -> Result<M, Halt> {
    // Of two units that differ by e only the sum and its first order in e are told, so that e is a root of the noise, and so is
    // what the fit misses at first without one of them.
    let spare = SPARE_INFLUENCE * (floor * land.spread).sqrt();
    while network.width() > 1 {
        let without = |i: usize| {
            let (fewer, residual) =
                with_best_outputs(&network.without_unit(i), sample, &Team::alone())?;
            let left = rms(&residual);
            (left <= spare).then_some((fewer, left))
        };
        let mut fewer: Vec<(M, f64)> =
            (0..network.width()).into_par_iter().filter_map(without).collect();
        fewer.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut found = None;
        for (start, _) in fewer {
            clock.check()?;
            let (fitted, ended) = refine(sample, start, floor, clock)?;
            if ended.to <= floor {
                found = Some(fitted);
                break;
            }
        }
        match found {
            Some(fewer) => network = fewer,
            None => break,
        }
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::context::in_context;
    use crate::network::{Class, TwoLayer};
    use crate::oracle::NetworkOracle;

    fn network() -> OneLayer {
        OneLayer::random((4, 3), Class::General, Activation::Tanh, 1).unwrap()
    }

    fn sample(network: &OneLayer) -> Sample {
        let points = draws::gaussian(&mut draws::stream(1, "test", 0), 4, 400) * 2.0;
        Sample { values: network.values(&points), points }
    }

    #[test]
    fn the_unit_that_is_missing_is_what_the_others_leave() {
        let truth = network();
        for missing in 0..3 {
            let sample = sample(&truth);
            let rest = -sample.residual(&truth.without_unit(missing));
            let rest = Sample { values: rest, ..sample };
            let rng = &mut draws::stream(2, "test", missing as u64);
            let whole = |inputs: Inputs| {
                let growth =
                    Growth { stage: "", most_units: 3, most_parameters: 99, scale: 1.0, inputs };
                let unit = unit_of(&rest, Activation::Tanh, (&growth, &mut Budget::default()), rng)
                    .unwrap();
                truth.without_unit(missing).with_unit(&unit)
            };
            for found in [Inputs::Known, Inputs::Nearly].map(whole) {
                let error = truth.matching(&found).parameter_error.unwrap();
                assert!(error < 1e-8, "{missing}: {error:e}");
            }
        }
    }

    #[test]
    fn growth_ends_with_all_units_or_with_its_budget_and_says_which() {
        let truth = network();
        let land = Landscape::unit(1e-9, 1e-9);
        let grown = |most_units: usize, budget: &mut Budget| {
            let growth = Growth {
                stage: "test",
                most_units,
                most_parameters: 99,
                scale: 1.0,
                inputs: Inputs::Known,
            };
            let f = &mut NetworkOracle::new(truth.clone());
            let draw = |_: &mut Context<'_>, _: &OneLayer, _: usize| Ok(sample(&truth));
            let done = |_: &mut Context<'_>, found: &OneLayer, _: &Sample, left: f64| {
                Ok((left < 1e-8).then(|| found.clone()))
            };
            let start = truth.without_unit(2);
            in_context(f, &land, (1, 0), |cx| grow(cx, start, (&growth, budget), draw, done))
                .0
                .unwrap()
        };
        let mut budget = Budget::default();
        let (found, seen) = grown(6, &mut budget);
        assert!(truth.matching(&found.unwrap()).parameter_error.unwrap() < 1e-6);
        assert_eq!((seen.before, seen.rounds, seen.ended), (2, 2, None));
        assert!(budget.0 < Budget::default().0);

        let (found, seen) = grown(2, &mut budget);
        assert!(found.is_none());
        assert_eq!((seen.rounds, seen.ended), (1, Some(GrowthEnd::Large)));
        // A part of the first fit is more than that.
        let (found, seen) = grown(6, &mut Budget(1.0));
        assert!(found.is_none());
        assert_eq!((seen.rounds, seen.ended), (1, Some(GrowthEnd::Spent)));
    }

    #[test]
    fn the_last_unit_is_kept_whatever_is_left_without_it() {
        let layer = OneLayer::random((3, 2), Class::General, Activation::Tanh, 1).unwrap();
        let truth = TwoLayer {
            a: layer.a.clone(),
            theta: layer.theta.clone(),
            b: DMatrix::from_element(2, 1, 1e-9),
            tau: DVector::zeros(1),
            c: DVector::from_element(1, 1.0),
            c0: 1.0,
            g: Activation::Tanh,
            h: Activation::Tanh,
        };
        let points = draws::gaussian(&mut draws::stream(1, "test", 0), 3, 50);
        // Without it there is a constant.
        let constant = truth.without_unit(0).values(&points);
        assert!(constant.iter().all(|&value| value == 1.0));
        let sample = Sample { values: truth.values(&points), points };
        let land = Landscape::unit(1e-8, 0.0);
        let found = without_spare(&sample, truth, (&land, 1e-6), &Clock::new(None)).unwrap();
        assert_eq!(found.width(), 1);
    }

    #[test]
    fn a_unit_of_no_weight_and_a_twin_are_dropped_and_no_other() {
        let truth = network();
        let sample = sample(&truth);
        let unit = |i: usize, c: f64| OneLayer {
            a: truth.a.columns(i, 1) * 1.001,
            theta: truth.theta.rows(i, 1).into_owned(),
            c: DVector::from_element(1, c),
            c0: 0.0,
            phi: truth.phi,
        };
        let mut idle = unit(1, 1e-12);
        idle.a *= 2.0;
        let spare = truth.with_unit(&idle).with_unit(&unit(2, 1e-4));
        let land = Landscape::unit(1e-8, 0.0);
        let clock = &Clock::new(None);
        let found = without_spare(&sample, spare, (&land, 1e-7), clock).unwrap();
        assert_eq!(found.width(), 3);
        assert!(truth.matching(&found).parameter_error.unwrap() < 1e-6);
    }
}
