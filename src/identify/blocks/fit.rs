//! The fit: the second layer, then the first unit by unit, a few of them in memory at a time.

use nalgebra::{DMatrix, DVector};
use rand::Rng;
use rayon::prelude::*;

use super::tolerances::{
    BLOCK_ROUNDS, NEAR_CHOICE, ROUND_GAINS, ROW_CHOICE, ROW_SPAN, SECOND_ROWS, SECOND_SPARE_ROWS,
    UNIT_NEAR_ROWS, UNIT_ROWS, UNIT_SPARE_ROWS, UNITS_AT_ONCE,
};
use super::uncertainty::{Errors, FirstLayer, UnitErrors};
use super::unit::{Fitted, Outer, Rows, second_of};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::BlocksFitted;
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::saturator::{Places, Saturator, Wanted};
use crate::identify::first_layer::tolerances::FAR_PUSHED;
use crate::identify::fit::refine::refine;
use crate::identify::fit::sample::Sample;
use crate::identify::fit::tolerances::FIT_FLOOR;
use crate::identify::survey::landscape::Landscape;
use crate::identify::survey::line::half_width;
use crate::identify::verdict::certify::Support;
use crate::identify::verdict::tolerances::MOST_MISFIT;
use crate::identify::verdict::uncertainty::Uncertainty;
use crate::network::Network;
use crate::network::model::Model;
use crate::network::shallow::Shallow;
use crate::stage::Stage;

/// A network fitted by blocks, and what supports it.
pub struct Blocks {
    /// The network.
    pub network: Network,
    /// What its rows say of it.
    pub support: Support<Network>,
}

/// The second layer, and what is known of it.
struct Second {
    layer: Shallow,
    uncertainty: Uncertainty<Shallow>,
    sample: Sample,
}

/// Fits all parameters of `start`, whose first layer is nearly that of the black box, with `growth` times as many rows
/// as are needed. Where a unit was not where it was thought to be, rows were not what they should be, and are placed
/// anew by what was found.
///
/// # Errors
/// A failure where the rows cannot be placed or do not determine the parameters.
pub fn fit(cx: &mut Context<'_>, start: &Network, growth: usize) -> Result<Blocks, Halt> {
    let mut best = pass(cx, start, (growth, 0))?;
    for round in 1..BLOCK_ROUNDS {
        if best.support.sigma <= MOST_MISFIT * best.support.expected {
            break;
        }
        let next = pass(cx, &best.network, (growth, round))?;
        if !(next.support.sigma < ROUND_GAINS * best.support.sigma) {
            break;
        }
        best = next;
    }
    Ok(best)
}

/// The second layer, then all units once. `(growth, round)` vary the rows.
fn pass(
    cx: &mut Context<'_>,
    start: &Network,
    (growth, round): (usize, u64),
) -> Result<Blocks, Halt> {
    let second = second_layer(cx, start, (growth, round))?;
    let outer = Outer { second: &second.layer, g: start.g };
    let sigma = second.sample.sigma(&second.layer).max(cx.land.noise_near);
    let largest = second.sample.values.amax();
    let scale = UnitErrors { second: &second.uncertainty, sigma, largest };
    let mut first = FirstLayer::new(start);
    let units: Vec<usize> = (0..start.a.ncols()).collect();
    for some in units.chunks(UNITS_AT_ONCE) {
        if let Some(deadline) = cx.deadline.filter(|deadline| deadline.passed()) {
            return Err(deadline.error().into());
        }
        for (fitted, errors) in batch(cx, (start, outer), some, (growth, round), &scale)? {
            first.add(fitted, errors);
        }
    }
    let Shallow { a: b, theta: tau, c, c0, phi: h } = second.layer.clone();
    let network = Network { b, tau, c, c0, h, ..first.network() };
    let (second_rows, unit_rows) = (second.sample.values.len(), first.rows());
    let (second_sigma, unit_sigma) = (second.sample.sigma(&second.layer), first.sigma());
    let farthest = first.farthest();
    let seen = BlocksFitted { second_rows, second_sigma, unit_rows, unit_sigma, farthest };
    cx.evidence.blocks.push(seen);
    let count = second_rows + unit_rows;
    let support = Support {
        count,
        sigma: unit_sigma.max(second_sigma),
        expected: cx.land.noise_near.max(f64::EPSILON * largest),
        largest,
        farthest,
        uncertainty: first.uncertainty(&network, &second.uncertainty, sigma, count),
    };
    Ok(Blocks { network, support })
}

fn failure(reason: impl Into<String>) -> Halt {
    Failure::new(Stage::Refine, reason).into()
}

/// The second layer from values where all units of the first are saturated.
fn second_layer(
    cx: &mut Context<'_>,
    start: &Network,
    (growth, round): (usize, u64),
) -> Result<Second, Halt> {
    let Context { f, land, seed, deadline, .. } = cx;
    let shallow = second_of(start);
    let unknown = shallow.parameter_count();
    let count = growth * (SECOND_ROWS.0 * unknown / SECOND_ROWS.1 + SECOND_SPARE_ROWS);
    let wanted = Wanted { held: None, span: 0.0, pushed: FAR_PUSHED };
    let rng = &mut draws::stream(*seed, "blocks second", stream(growth, round));
    let places = Saturator::of_network(start).places(wanted, count, rng);
    let Places { points, sides } =
        places.ok_or_else(|| failure("the first layer cannot be saturated as a whole"))?;
    let sample = Sample { values: f.values(&points)?, points: outputs(start, &sides) };
    let floor = FIT_FLOOR * land.noise_near;
    let (layer, _) = refine(&sample, shallow, floor, *deadline)?;
    let uncertainty =
        Uncertainty::new(&layer, &sample, land.noise_near, *seed).ok_or_else(|| {
            failure("where the first layer is saturated the values do not determine the second")
        })?;
    Ok(Second { layer, uncertainty, sample })
}

/// Outputs of the first layer at the `sides` of its units, 0 for those between.
fn outputs(network: &Network, sides: &DMatrix<f64>) -> DMatrix<f64> {
    let (low, high) = network.g.limits();
    sides.map(|side| match side {
        0.0 => 0.0,
        side if side < 0.0 => low,
        _ => high,
    })
}

/// One of the streams of random numbers of a stage.
fn stream(growth: usize, round: u64) -> u64 {
    growth as u64 * BLOCK_ROUNDS + round
}

/// Places, asks and fits some units.
fn batch(
    cx: &mut Context<'_>,
    (start, outer): (&Network, Outer<'_>),
    units: &[usize],
    (growth, round): (usize, u64),
    scale: &UnitErrors<'_>,
) -> Result<Vec<(Fitted, Errors)>, Halt> {
    let (land, seed) = (cx.land, cx.seed);
    let saturator = Saturator::of_network(start);
    let placed: Option<Vec<Rows>> = units
        .par_iter()
        .map(|&unit| {
            let item = stream(growth, round) * start.a.ncols() as u64 + unit as u64;
            let rng = &mut draws::stream(seed, "blocks unit", item);
            place(&saturator, (start, outer), unit, (growth, land), rng)
        })
        .collect();
    let mut placed =
        placed.ok_or_else(|| failure("a unit of the first layer is nowhere active alone"))?;
    let d = start.a.nrows();
    let all: usize = placed.iter().map(|rows| rows.points.ncols()).sum();
    let mut points = DMatrix::zeros(d, all);
    let mut at = 0;
    for rows in &placed {
        points.columns_mut(at, rows.points.ncols()).copy_from(&rows.points);
        at += rows.points.ncols();
    }
    let values = cx.f.values(&points)?;
    at = 0;
    for rows in &mut placed {
        let n = rows.points.ncols();
        rows.values = values.rows(at, n).into_owned();
        at += n;
    }
    let fits: Option<Vec<_>> = placed
        .par_iter()
        .map(|rows| {
            let (a, theta) = (start.a.column(rows.unit).into_owned(), start.theta[rows.unit]);
            let fitted = rows.fit(outer, (a, theta))?;
            let errors = scale.of(rows, outer, &fitted, seed);
            Some((fitted, errors))
        })
        .collect();
    fits.ok_or_else(|| failure("its rows do not determine a unit of the first layer"))
}

/// Rows of one unit: many spread far over its hyperplane, which hold its direction, and some along it at a near place,
/// which hold its shift. Of more places those are kept at which f depends most on the unit.
fn place(
    saturator: &Saturator,
    (network, outer): (&Network, Outer<'_>),
    unit: usize,
    (growth, land): (usize, &Landscape),
    rng: &mut impl Rng,
) -> Option<Rows> {
    let d = network.a.nrows();
    let span = ROW_SPAN * half_width(network.g);
    let near = growth * UNIT_NEAR_ROWS;
    let far = growth * (UNIT_ROWS.0 * (d + 1) / UNIT_ROWS.1 + UNIT_SPARE_ROWS - UNIT_NEAR_ROWS);
    let held = Some(unit);
    let wanted = Wanted { held, span, pushed: FAR_PUSHED };
    let spread = saturator.places(wanted, far * ROW_CHOICE.0 / ROW_CHOICE.1, rng)?;
    let mut chosen = strongest(&spread, network, outer, unit, far);

    let about = saturator.near(held, NEAR_CHOICE, rng)?;
    let about = strongest(&about, network, outer, unit, 1);
    let a = network.a.column(unit);
    chosen.points = chosen.points.insert_columns(far, near, 0.0);
    chosen.sides = chosen.sides.insert_columns(far, near, 0.0);
    for k in 0..near {
        let z = span * ((2 * k + 1) as f64 / near as f64 - 1.0);
        chosen.points.set_column(far + k, &(about.points.column(0) + a * (z / a.norm_squared())));
        chosen.sides.set_column(far + k, &about.sides.column(0));
    }
    let weight = |x: nalgebra::DVectorView<'_, f64>| land.noise_near / land.noise_at(x.norm());
    let weights = DVector::from_iterator(far + near, chosen.points.column_iter().map(weight));
    let outputs = outputs(network, &chosen.sides);
    Some(Rows { unit, points: chosen.points, outputs, values: DVector::zeros(0), weights })
}

/// The `count` places at which f changes most with the argument of `unit`.
fn strongest(
    places: &Places,
    network: &Network,
    outer: Outer<'_>,
    unit: usize,
    count: usize,
) -> Places {
    let Shallow { a: b, theta: tau, c, phi, .. } = outer.second;
    let u = b.transpose() * outputs(network, &places.sides);
    let row = b.row(unit);
    let slope = |k: usize| {
        let units = (0..c.len()).map(|l| row[l] * c[l] * phi.slope(u[(l, k)] - tau[l]));
        units.sum::<f64>().abs()
    };
    let slopes: Vec<f64> = (0..u.ncols()).map(slope).collect();
    let mut order: Vec<usize> = (0..u.ncols()).collect();
    order.sort_by(|&i, &j| slopes[j].total_cmp(&slopes[i]));
    order.truncate(count);
    Places {
        points: places.points.select_columns(&order),
        sides: places.sides.select_columns(&order),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::context::in_context;
    use crate::identify::survey::probe::probe;
    use crate::network::{Activation, Class};
    use crate::oracle::NetworkOracle;

    /// `truth` with errors of 1e-9 in the directions and of 1e-3 in all else.
    fn nearly(truth: &Network, seed: u64) -> Network {
        let rng = &mut draws::stream(seed, "nearly", 0);
        let mut off = |rows, columns, by: f64| draws::gaussian(rng, rows, columns) * by;
        let (d, m0, m1) = truth.dims();
        let mut start = truth.clone();
        let turned = off(d, m0, 1e-9 / (d as f64).sqrt());
        let scales = off(m0, 1, 1e-3);
        for (i, mut a) in start.a.column_iter_mut().enumerate() {
            let norm = a.norm();
            a += turned.column(i) * norm;
            a *= 1.0 + scales[i];
            start.theta[i] *= 1.0 + scales[i];
        }
        start.theta += off(m0, 1, 1e-3).column(0);
        start.b += off(m0, m1, 1e-3 / (m0 as f64).sqrt());
        start.tau += off(m1, 1, 1e-3).column(0);
        start.c += off(m1, 1, 1e-3).column(0);
        start
    }

    /// The error of the fit of a random network, and its support.
    fn fitted(dims: (usize, usize, usize), phi: Activation, seed: u64) -> (f64, Support<Network>) {
        let truth = Network::random(dims, Class::General, phi, seed).unwrap();
        let truth = truth.with_activations(Activation::Tanh, Activation::Tanh).unwrap_or(truth);
        let mut f = NetworkOracle::new(truth.clone());
        let land = probe(&mut f, seed).unwrap();
        let start = nearly(&truth, seed);
        let (blocks, evidence) = in_context(&mut f, &land, (seed, 0), |cx| fit(cx, &start, 1));
        let Blocks { network, support } = blocks.unwrap();
        assert_eq!(evidence.blocks.len(), 1, "{:?}", evidence.blocks);
        (truth.matching(&network).parameter_error.unwrap(), support)
    }

    #[test]
    fn all_parameters_to_rounding_and_within_the_bound() {
        // Fewer units than inputs, as many, and more; a sigmoid is fitted as tanh.
        let cases = [
            ((16, 8, 3), Activation::Tanh),
            ((16, 16, 4), Activation::Sigmoid),
            ((12, 28, 4), Activation::Erf),
        ];
        for (seed, (dims, phi)) in (1..).zip(cases) {
            let (error, support) = fitted(dims, phi, seed);
            let uncertainty = support.uncertainty.unwrap();
            assert!(error < 1e-11 && error < uncertainty.bound, "{dims:?}: {error:e}");
            assert!(uncertainty.bound < 1e-8, "{dims:?}: {:e}", uncertainty.bound);
            assert!(support.sigma < 3.0 * support.expected, "{dims:?}: {:e}", support.sigma);
        }
    }

    #[test]
    fn a_second_layer_that_saturated_patterns_do_not_determine_is_refused() {
        // Two units have four patterns, for five unknowns and more.
        let truth = Network::random((5, 2, 2), Class::General, Activation::Tanh, 1).unwrap();
        let mut f = NetworkOracle::new(truth.clone());
        let land = probe(&mut f, 1).unwrap();
        match in_context(&mut f, &land, (1, 0), |cx| fit(cx, &nearly(&truth, 1), 1)).0 {
            Err(Halt::Failed(failure)) => assert_eq!(failure.stage, Stage::Refine),
            _ => panic!("must fail"),
        }
    }
}
