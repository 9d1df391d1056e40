//! Units that lines do not show, by what those that they show leave of f.
//!
//! Where points are rounded coarsely, as where f is computed in f32, a small step far out is lost among the errors of the others,
//! and two that lie close overlap at every distance at which f is still accurate. Nearer by, where all units show at once, values are
//! accurate: what the units known leave of f there is the sum of the others. One unit is fitted to it, from many starts, then all of
//! them together to f, until nothing is left but noise. A unit taken in vain is dropped at the end: the others do without it.

use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::tolerances::{
    MISSING_FRUITLESS, MISSING_GAIN, MISSING_MOST, MISSING_POINTS, MISSING_SLOPES, MISSING_STARTS,
    SPARE_INFLUENCE,
};
use crate::algebra::linalg::{least_squares, rms};
use crate::algebra::tolerances::WEIGHTS_CUTOFF;
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::UnitsMissing;
use crate::identify::failure::Halt;
use crate::identify::fit::active;
use crate::identify::fit::refine::refine;
use crate::identify::fit::sample::Sample;
use crate::identify::fit::tolerances::FIT_FLOOR;
use crate::identify::survey::landscape::Landscape;
use crate::network::Activation;
use crate::network::OneLayer;
use crate::network::model::Model;
use crate::oracle::Clock;

/// The network of `start`, with the units that it lacks, fitted to values near the origin; `None` where no more units than
/// [`MISSING_MOST`] explain these.
pub fn completed(cx: &mut Context<'_>, start: &OneLayer) -> Result<Option<OneLayer>, Halt> {
    let Context { f, land, seed, attempt, clock, evidence } = cx;
    let most = MISSING_MOST.0 * start.theta.len() + MISSING_MOST.1;
    let mut seen = UnitsMissing { before: start.theta.len(), ..UnitsMissing::default() };
    let mut network = start.clone();
    let (mut best, mut fruitless) = (f64::INFINITY, 0);
    let mut found = None;
    while network.theta.len() <= most && fruitless < MISSING_FRUITLESS {
        clock.check()?;
        clock.done(network.theta.len() as f64 / most as f64);
        let layer = (&network.a, &network.theta);
        let count = MISSING_POINTS.0 * network.parameter_count() + MISSING_POINTS.1;
        let stage = format!("missing {attempt} {}", seen.rounds);
        let sample = active::sample(*f, land, layer, count, *seed, &stage)?;
        let floor = floor(land, &sample);
        let ended;
        (network, ended) = refine(&sample, network, floor, clock)?;
        (seen.rounds, seen.left, seen.floor) = (seen.rounds + 1, ended.to, floor);
        if ended.to <= floor {
            found = Some(without_spare(&sample, network, land, clock)?);
            break;
        }
        (best, fruitless) =
            if ended.to < MISSING_GAIN * best { (ended.to, 0) } else { (best, fruitless + 1) };
        let rest = Sample { values: -sample.residual(&network), points: sample.points };
        let rng = &mut draws::stream(*seed, &stage, 1);
        let Some(unit) = unit_of(&rest, (network.phi, land.scale), rng) else { break };
        network = with_unit(&network, &unit);
    }
    seen.after = found.as_ref().map(|network| network.theta.len());
    evidence.missing.push(seen);
    Ok(found)
}

/// Root mean square residual that a fit of all units ends under.
fn floor(land: &Landscape, sample: &Sample) -> f64 {
    let noise = sample.points.column_iter().map(|x| land.noise_at(x.norm()).powi(2));
    FIT_FLOOR * (noise.sum::<f64>() / sample.values.len() as f64).sqrt()
}

/// The one unit, with an offset, that explains most of `rest`: the best of fits from many starts.
fn unit_of(
    rest: &Sample,
    (phi, scale): (Activation, f64),
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
        let slope = rng.random_range(MISSING_SLOPES.0..MISSING_SLOPES.1).exp2() / scale;
        let a = draws::unit_vector(rng, d) * slope;
        let theta = DVector::from_element(1, a.dot(&rest.points.column(at)));
        let a = DMatrix::from_column_slice(d, 1, a.as_slice());
        OneLayer { a, theta, c: DVector::zeros(1), c0: 0.0, phi }
    };
    let starts: Vec<OneLayer> = (0..MISSING_STARTS).map(|_| start()).collect();
    // Threads of their own: what ranks do together they do in order.
    let alone = Clock::new(None);
    let fit = |start: OneLayer| {
        let start = with_outputs(&start, rest)?;
        let (unit, ended) = refine(rest, start, 0.0, &alone).ok()?;
        ended.to.is_finite().then_some((unit, ended.to))
    };
    let fits: Vec<(OneLayer, f64)> = starts.into_par_iter().filter_map(fit).collect();
    fits.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(unit, _)| unit)
}

/// `network` with the output weights and the offset that fit best.
fn with_outputs(network: &OneLayer, sample: &Sample) -> Option<OneLayer> {
    let m = network.theta.len();
    // Of the derivatives those by c and c0 are the last.
    let jt = Model::jacobian_transposed(network, &sample.points);
    let linear = jt.rows(jt.nrows() - m - 1, m + 1).transpose();
    let (weights, _) = least_squares(&linear, &sample.values, WEIGHTS_CUTOFF)?;
    Some(OneLayer { c: weights.rows(0, m).into_owned(), c0: weights[m], ..network.clone() })
}

/// The sum of a network and a `unit` with its offset.
fn with_unit(network: &OneLayer, unit: &OneLayer) -> OneLayer {
    let m = network.theta.len();
    let longer = |v: &DVector<f64>, last: f64| v.clone().insert_row(m, last);
    let mut a = network.a.clone().insert_column(m, 0.0);
    a.set_column(m, &unit.a.column(0));
    OneLayer {
        a,
        theta: longer(&network.theta, unit.theta[0]),
        c: longer(&network.c, unit.c[0]),
        c0: network.c0 + unit.c0,
        phi: network.phi,
    }
}

/// The same fit with as few units as come to it, one less at a time.
fn without_spare(
    sample: &Sample,
    mut network: OneLayer,
    land: &Landscape,
    clock: &Clock,
) -> Result<OneLayer, Halt> {
    let floor = floor(land, sample);
    // Of two units that differ by e only the sum and its first order in e are told, so that e is a root of the noise, and so is what
    // the fit misses at first without one of them.
    let spare = SPARE_INFLUENCE * (floor * land.spread).sqrt();
    loop {
        let without = |i: usize| {
            let fewer = OneLayer {
                a: network.a.clone().remove_column(i),
                theta: network.theta.clone().remove_row(i),
                c: network.c.clone().remove_row(i),
                ..network
            };
            let fewer = with_outputs(&fewer, sample)?;
            let left = rms(&sample.residual(&fewer));
            (left <= spare).then_some((fewer, left))
        };
        let mut fewer: Vec<(OneLayer, f64)> =
            (0..network.theta.len()).into_par_iter().filter_map(without).collect();
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
            None => return Ok(network),
        }
    }
}
