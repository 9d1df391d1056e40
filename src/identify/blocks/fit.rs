//! The fit: the second layer, then the first unit by unit, a few of them in memory at a time.

use std::collections::HashSet;

use nalgebra::{DMatrix, DVector};
use rand::Rng;
use rayon::prelude::*;

use super::core::Core;
use super::tolerances::{
    BLOCK_ROUNDS, FAR_OFF, FREE_FIRST, FREE_SPAN, MOST_CORE, NEAR_CHOICE, ROUND_GAINS, ROW_CHOICE,
    ROW_SPAN, SAME_SIDES, SECOND_ROWS, SECOND_SPARE_ROWS, UNDETERMINED_FITS, UNIT_NEAR_ROWS,
    UNIT_ROWS, UNIT_SPARE_ROWS, UNITS_AT_ONCE,
};
use super::uncertainty::{Change, Errors, FirstLayer, UnitErrors};
use super::unit::{Outer, Rows};
use crate::algebra::linalg::{product, rms};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::BlocksFitted;
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::saturator::{Places, Saturator, Wanted, near_pushed};
use crate::identify::first_layer::tolerances::FAR_PUSHED;
use crate::identify::fit::refine::refine;
use crate::identify::fit::sample::Sample;
use crate::identify::fit::tolerances::FIT_FLOOR;
use crate::identify::survey::landscape::Landscape;
use crate::identify::survey::line::half_width;
use crate::identify::tolerances::MOST_DENSE;
use crate::identify::verdict::certify::Support;
use crate::identify::verdict::tolerances::MOST_MISFIT;
use crate::identify::verdict::uncertainty::Uncertainty;
use crate::network::OneLayer;
use crate::network::TwoLayer;
use crate::network::model::Model;
use crate::stage::Stage;

/// What a unit takes beside the second layer, by the cubes of their unknowns, measured at 256 inputs: only the time left is
/// told by it.
const UNIT_WORK: f64 = 13.0;

/// A network fitted by blocks, and what supports it.
pub struct Blocks {
    /// The network.
    pub network: TwoLayer,
    /// What its rows say of it.
    pub support: Support<TwoLayer>,
}

/// The second layer, and what is known of it.
struct Second {
    core: Core,
    uncertainty: Uncertainty<Core>,
    sample: Sample,
}

/// Fits all parameters of `start`, whose first layer is nearly that of the black box, with `growth` times as many rows
/// as are needed. Where a unit was not where it was thought to be, rows were not what they should be, and are placed
/// anew by what was found.
///
/// # Errors
/// A failure where the rows cannot be placed or do not determine the parameters.
pub fn fit(cx: &mut Context<'_>, start: &TwoLayer, growth: usize) -> Result<Blocks, Halt> {
    let mut best = pass(cx, start, (growth, 0))?;
    for round in 1..BLOCK_ROUNDS {
        if best.support.sigma <= MOST_MISFIT * best.support.expected {
            break;
        }
        let next = pass(cx, &best.network, (growth, round))?;
        let gained = next.support.sigma < ROUND_GAINS * best.support.sigma;
        if !gained {
            break;
        }
        best = next;
    }
    Ok(best)
}

/// The second layer, then all units once. `(growth, round)` vary the rows.
fn pass(
    cx: &mut Context<'_>,
    start: &TwoLayer,
    (growth, round): (usize, u64),
) -> Result<Blocks, Halt> {
    let second = second_layer(cx, start, (growth, round))?;
    let outer = Outer { second: &second.core.second, g: start.g };
    let second_sigma = second.sample.sigma(&second.core);
    let sigma = second_sigma.max(cx.land.noise_near);
    let largest = second.sample.values.amax();
    let scale = UnitErrors { second: &second.uncertainty, sigma, largest };
    let saturator = Saturator::of_network(start);
    let mut first = FirstLayer::new(start, &second.core);
    let alone = |unit: &usize| !second.core.free.contains(unit);
    let units: Vec<usize> = (0..start.a.ncols()).filter(alone).collect();
    let clock = cx.clock.part(share_of_core(&second.core, start), 1.0);
    for (k, some) in units.chunks(UNITS_AT_ONCE).enumerate() {
        clock.check()?;
        clock.done((k * UNITS_AT_ONCE) as f64 / units.len() as f64);
        for (fitted, errors) in
            batch(cx, (start, outer, &saturator), some, (growth, round), &scale)?
        {
            first.add(fitted, errors);
        }
    }
    let OneLayer { a: b, theta: tau, c, c0, phi: h } = second.core.second.clone();
    let network = TwoLayer { b, tau, c, c0, h, ..first.network() };
    let (second_rows, unit_rows) = (second.sample.values.len(), first.rows());
    let (unit_sigma, farthest) = (first.sigma(), first.farthest());
    let seen = BlocksFitted { second_rows, second_sigma, unit_rows, unit_sigma, farthest };
    cx.evidence.blocks.push(seen);
    let count = second_rows + unit_rows;
    let support = Support {
        count,
        sigma: unit_sigma.max(second_sigma),
        expected: cx.land.noise_near.max(f64::EPSILON * largest),
        largest,
        farthest,
        places: None,
        uncertainty: first.uncertainty(&network, &second.uncertainty, sigma, count),
    };
    Ok(Blocks { network, support })
}

/// The share of the work that the second layer takes: the cube of its unknowns, against those of all units.
fn share_of_core(core: &Core, network: &TwoLayer) -> f64 {
    let (d, m0, _) = network.dims();
    let cube = |unknown: usize| (unknown as f64).powi(3);
    let second = cube(core.parameter_count());
    second / (second + UNIT_WORK * m0 as f64 * cube(d + 1))
}

fn failure(reason: impl Into<String>) -> Halt {
    Failure::new(Stage::Refine, reason).into()
}

/// The second layer from values where the units of the first are saturated, but for those without which they do not
/// determine it.
fn second_layer(
    cx: &mut Context<'_>,
    start: &TwoLayer,
    (growth, round): (usize, u64),
) -> Result<Second, Halt> {
    let m0 = start.a.ncols();
    let rng = &mut draws::stream(cx.seed, "blocks second", stream(growth, round));
    let mut free: Vec<usize> = Vec::new();
    let mut more = FREE_FIRST;
    loop {
        let core = Core::new(start, free.clone());
        let unknown = core.parameter_count();
        let count = growth * (SECOND_ROWS.0 * unknown / SECOND_ROWS.1 + SECOND_SPARE_ROWS);
        let (points, inputs) = rows_of_core(start, &free, count, rng)
            .ok_or_else(|| failure("the first layer cannot be saturated as a whole"))?;
        let together = if free.is_empty() {
            together(&inputs.rows(start.a.nrows(), m0).into_owned())
        } else {
            Vec::new()
        };
        if !together.is_empty() {
            free = together;
            continue;
        }
        let sample = distinct(Sample { values: cx.f.values(&points)?, points: inputs }, m0);
        let far_off = rms(&sample.residual(&core)) > FAR_OFF * cx.land.spread;
        if far_off && unknown > MOST_DENSE {
            // Many steps of a large fit, to nowhere.
            return Err(failure(
                "the second layer found does not describe the saturated first one",
            ));
        }
        let floor = FIT_FLOOR * cx.land.noise_near;
        let clock = cx.clock.part(0.0, share_of_core(&core, start));
        let (core, _) = refine(&sample, core, floor, &clock)?;
        let sigma = sample.sigma(&core);
        let known = (cx.land.noise_near, cx.seed);
        if let Some(uncertainty) = Uncertainty::new(&core, &sample, known, clock.team()) {
            return Ok(Second { core, uncertainty, sample });
        }
        // What does not fit is not for want of rows.
        let fits = sigma
            <= UNDETERMINED_FITS * cx.land.noise_near.max(f64::EPSILON * sample.values.amax());
        if free.len() == m0 || unknown > MOST_CORE || !fits {
            return Err(failure(
                "where the first layer is saturated the values do not determine the second",
            ));
        }
        // Units half-way show more: those of which f depends most.
        let mut rest: Vec<usize> = (0..m0).filter(|unit| !free.contains(unit)).collect();
        let size = |&unit: &usize| start.b.row(unit).norm();
        rest.sort_by(|i, j| size(j).total_cmp(&size(i)));
        free.extend(rest.into_iter().take(more));
        free.sort_unstable();
        more *= 2;
    }
}

/// Without rows that repeat others to the last bit: where a few units have few patterns of sides, a value that is
/// rounded, and no less a value for its being asked again, would be taken for several with errors of their own. The
/// last `m0` coordinates of a point are its sides.
fn distinct(sample: Sample, m0: usize) -> Sample {
    let Sample { points, values } = sample;
    let mut seen = HashSet::new();
    let of = |k: usize| {
        let sides = points.rows(points.nrows() - m0, m0);
        let bits = sides.column(k).iter().map(|y| y.to_bits()).collect::<Vec<_>>();
        (bits, values[k].to_bits())
    };
    let kept: Vec<usize> = (0..values.len()).filter(|&k| seen.insert(of(k))).collect();
    Sample { points: points.select_columns(&kept), values: values.select_rows(&kept) }
}

/// Points (d x n) at which all units but those that are `free` are saturated, and the same as a [`Core`] takes them. One in
/// two has a free unit in its transition, far out or near the origin, by turns.
fn rows_of_core(
    network: &TwoLayer,
    free: &[usize],
    count: usize,
    rng: &mut impl Rng,
) -> Option<(DMatrix<f64>, DMatrix<f64>)> {
    let (d, m0, _) = network.dims();
    let whole = Saturator::of_network(network);
    let partly = Saturator::of_network(network).freeing(free);
    let mut points = DMatrix::zeros(d, 0);
    let mut sides = DMatrix::zeros(m0, 0);
    let mut add = |places: Places| {
        let at = points.ncols();
        let n = places.points.ncols();
        points = std::mem::take(&mut points).insert_columns(at, n, 0.0);
        points.columns_mut(at, n).copy_from(&places.points);
        sides = std::mem::take(&mut sides).insert_columns(at, n, 0.0);
        sides.columns_mut(at, n).copy_from(&places.sides);
    };
    let between = if free.is_empty() { 0 } else { count / 2 };
    let none = Wanted { held: &[], span: 0.0, pushed: FAR_PUSHED };
    add(whole
        .places(none, count - between, rng)
        .or_else(|| partly.places(none, count - between, rng))?);
    let span = FREE_SPAN * half_width(network.g);
    for (k, &unit) in free.iter().enumerate() {
        let share = between * (k + 1) / free.len() - between * k / free.len();
        for (pushed, share) in [(FAR_PUSHED, share / 2), (near_pushed(d, m0), share - share / 2)] {
            let held = &[(unit, 0.0)];
            let wanted = Wanted { held, span, pushed: pushed.max(FAR_PUSHED) };
            let far = Wanted { pushed: FAR_PUSHED, ..wanted };
            add(partly.places(wanted, share, rng).or_else(|| partly.places(far, share, rng))?);
        }
    }
    for &unit in free {
        sides.row_mut(unit).fill(0.0);
    }
    let inputs = outputs(network, &sides);
    let mut stacked = points.clone().insert_rows(d, m0, 0.0);
    stacked.rows_mut(d, m0).copy_from(&inputs);
    Some((points, stacked))
}

/// Units that are nearly always on the same side as another, or on one side: their rows of B do not show by sides.
fn together(outputs: &DMatrix<f64>) -> Vec<usize> {
    let count = outputs.ncols() as f64;
    // Outputs of a sigmoid are 0 and 1, those of the others -1 and 1.
    let signs = outputs.map(|y| if y > 0.0 { 1.0 } else { -1.0 });
    let m0 = signs.nrows();
    let common = product(&signs, &signs.transpose());
    let always = SAME_SIDES * count;
    let of = |i: usize| {
        signs.row(i).sum().abs() > always
            || (0..m0).any(|j| j != i && common[(i, j)].abs() > always)
    };
    (0..m0).filter(|&i| of(i)).collect()
}

/// Outputs of the first layer at the `sides` of its units, 0 for those between.
fn outputs(network: &TwoLayer, sides: &DMatrix<f64>) -> DMatrix<f64> {
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
    (start, outer, saturator): (&TwoLayer, Outer<'_>, &Saturator),
    units: &[usize],
    (growth, round): (usize, u64),
    scale: &UnitErrors<'_>,
) -> Result<Vec<(Change, Errors)>, Halt> {
    let (land, seed, team) = (cx.land, cx.seed, cx.f.team());
    // Of several ranks each has its own units.
    let placed: Option<Vec<Rows>> = units[team.share(units.len())]
        .par_iter()
        .map(|&unit| {
            let item = stream(growth, round) * start.a.ncols() as u64 + unit as u64;
            let rng = &mut draws::stream(seed, "blocks unit", item);
            place(saturator, (start, outer), unit, (growth, land), rng)
        })
        .collect();
    let own = placed.as_ref().map(|placed| {
        placed.iter().flat_map(|rows| rows.points.iter().copied()).collect::<Vec<f64>>()
    });
    let (Some(mut placed), Some(all)) = (placed, team.numbers(own)) else {
        return Err(failure("a unit of the first layer is nowhere active alone"));
    };
    let d = start.a.nrows();
    let mut at = all[..team.rank()].iter().map(Vec::len).sum::<usize>() / d;
    let points = all.concat();
    let values = cx.f.values(&DMatrix::from_vec(d, points.len() / d, points))?;
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
            Some(((fitted.a, fitted.theta), errors))
        })
        .collect();
    team.all(fits).ok_or_else(|| failure("its rows do not determine a unit of the first layer"))
}

/// Rows of one unit: many spread far over its hyperplane, which hold its direction, and some along it at a near place,
/// which hold its shift. Of more places those are kept at which f depends most on the unit.
fn place(
    saturator: &Saturator,
    (network, outer): (&TwoLayer, Outer<'_>),
    unit: usize,
    (growth, land): (usize, &Landscape),
    rng: &mut impl Rng,
) -> Option<Rows> {
    let d = network.a.nrows();
    let span = ROW_SPAN * half_width(network.g);
    let near = growth * UNIT_NEAR_ROWS;
    let far = growth * (UNIT_ROWS.0 * (d + 1) / UNIT_ROWS.1 + UNIT_SPARE_ROWS - UNIT_NEAR_ROWS);
    let held = &[(unit, 0.0)];
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
    let across = chosen.points.transpose();
    Some(Rows { unit, points: chosen.points, across, outputs, values: DVector::zeros(0), weights })
}

/// The `count` places at which f changes most with the argument of `unit`.
fn strongest(
    places: &Places,
    network: &TwoLayer,
    outer: Outer<'_>,
    unit: usize,
    count: usize,
) -> Places {
    let inputs = outer.second.a.transpose() * outputs(network, &places.sides);
    let of_units = outer.second.slopes_at(inputs);
    let slope = |slopes| outer.second.slope_along(unit, slopes).abs();
    let slopes: Vec<f64> = of_units.column_iter().map(slope).collect();
    let mut order: Vec<usize> = (0..slopes.len()).collect();
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
    use crate::oracle::{FnOracle, NetworkOracle};

    /// `truth` with errors of 1e-9 in the directions and of 1e-3 in all else.
    fn nearly(truth: &TwoLayer, seed: u64) -> TwoLayer {
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
    fn fitted(dims: (usize, usize, usize), phi: Activation, seed: u64) -> (f64, Support<TwoLayer>) {
        let truth = TwoLayer::random(dims, Class::General, phi, seed).unwrap();
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
    fn units_of_nearly_one_direction_are_fitted_with_the_second_layer() {
        let mut truth = TwoLayer::random((10, 12, 3), Class::General, Activation::Tanh, 7).unwrap();
        let twin = truth.a.column(0) + truth.a.column(1) * 0.02;
        truth.a.set_column(4, &twin);
        truth.theta[4] = truth.theta[0] + 0.5;
        let mut f = NetworkOracle::new(truth.clone());
        let land = probe(&mut f, 1).unwrap();
        let start = nearly(&truth, 1);
        let Blocks { network, support } =
            in_context(&mut f, &land, (1, 0), |cx| fit(cx, &start, 1)).0.unwrap();
        let error = truth.matching(&network).parameter_error.unwrap();
        let bound = support.uncertainty.unwrap().bound;
        assert!(error < bound && bound < 1e-6, "{error:e} {bound:e}");
    }

    #[test]
    fn rounded_values_that_repeat_are_no_better_known() {
        // Nine times the rows are three times as many as there are patterns of sides.
        for seed in 0..4 {
            let dims = (8, 8, 2);
            let truth = TwoLayer::random(dims, Class::Paper, Activation::Tanh, seed).unwrap();
            let inner = truth.clone();
            let mut f = FnOracle::batch(8, move |x| inner.values(x).map(|v| f64::from(v as f32)));
            let land = probe(&mut f, seed).unwrap();
            let start = nearly(&truth, seed);
            let (blocks, evidence) = in_context(&mut f, &land, (seed, 0), |cx| fit(cx, &start, 9));
            let Blocks { network, support } = blocks.unwrap();
            assert!(evidence.blocks[0].second_rows <= 256);
            let error = truth.matching(&network).parameter_error.unwrap();
            let bound = support.uncertainty.unwrap().bound;
            assert!(error < bound && bound < 1e-3, "seed {seed}: {error:e} {bound:e}");
        }
    }

    #[test]
    fn a_second_layer_that_saturated_patterns_do_not_determine_is_refused() {
        // Two units have four patterns, for five unknowns and more.
        let truth = TwoLayer::random((5, 2, 2), Class::General, Activation::Tanh, 1).unwrap();
        let mut f = NetworkOracle::new(truth.clone());
        let land = probe(&mut f, 1).unwrap();
        match in_context(&mut f, &land, (1, 0), |cx| fit(cx, &nearly(&truth, 1), 1)).0 {
            Err(Halt::Failed(failure)) => assert_eq!(failure.stage, Stage::Refine),
            _ => panic!("must fail"),
        }
    }
}
