//! Stage 6: slope and shift of every first-layer unit, two parameters along one line each, everything
//! else known; then all parameters together make a first network.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::bundle::{self, Part};
use super::descend::{cost, descend};
use super::reading::{Line, Reading, Row, positions};
use super::tolerances::{
    BUNDLE_EXPLAINS, BUNDLE_GOAL, BUNDLE_SUSPECTED, GUESSES_FOLLOWED, LEAST_UNIT_SLOPE, LINE_REACH,
    LINES_PER_UNIT, MIDDLE_GUESSES, MIDDLE_STEP, SLOPE_GUESSES,
};
use crate::algebra::linalg::median;
use crate::draws;
use crate::identify::context::Context;
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::place::Placer;
use crate::identify::first_layer::unit::Unit;
use crate::identify::second_layer::rows::SecondLayer;
use crate::identify::second_layer::split::Patterns;
use crate::identify::survey::line::values_along;
use crate::network::{Activation, TwoLayer};
use crate::ranks::Team;
use crate::stage::Stage;

/// f along lines on which only one first-layer unit changes, with the second layer known as `second`.
pub fn read(
    cx: &mut Context<'_>,
    units: &[Unit],
    patterns: &Patterns,
    second: &SecondLayer,
) -> Result<Vec<Reading>, Halt> {
    let placer = Placer::new(units, cx.land);
    let mut rng = draws::stream(cx.seed, "scales", 0);
    let ts = positions();
    let mut readings = Vec::new();

    // Units of S: the lines run through the places of the peel, where the row of B is known times
    // phi'(z) and the second layer's inputs include the unit at its middle.
    let moves = placer.moves(&patterns.held).ok_or_else(dependent)?;
    for (index, &unit) in patterns.held.iter().enumerate() {
        cx.clock.done(index as f64 / units.len() as f64);
        let direction = moves.column(index).into_owned();
        let mut lines = Vec::new();
        let level = |k: usize| patterns.places[k].signs[unit];
        let mut alike: Vec<usize> =
            (0..patterns.places.len()).filter(|&k| level(k) == level(0)).collect();
        if !placer.any_signs() {
            // Other units move too: places where they stay saturated, if there are any.
            let (all, line) = (alike.clone(), (&direction, LINE_REACH));
            let places = &patterns.places;
            alike.retain(|&k| placer.is_saturated_along(&patterns.held, &places[k].point, line));
            alike = if alike.is_empty() { all } else { alike };
        }
        for k in spread_out(alike.len(), LINES_PER_UNIT).into_iter().map(|n| alike[n]) {
            let values = values_along(cx.f, &patterns.places[k].point, &direction, &ts)?;
            lines.push(Line { inputs: second.u.column(k).into_owned(), values });
        }
        let row = Row::TimesSlope(second.beta.row(index).transpose());
        readings.push(Reading { unit, at: patterns.targets[index], row, lines });
    }

    // Units of T: hold S and the unit, saturate the rest.
    for (row, &unit) in second.free.iter().enumerate() {
        cx.clock.done((patterns.held.len() + row) as f64 / units.len() as f64);
        let held: Vec<usize> = patterns.held.iter().copied().chain([unit]).collect();
        let targets: Vec<f64> =
            patterns.targets.iter().copied().chain([units[unit].centre]).collect();
        let moves = placer.moves(&held).ok_or_else(dependent)?;
        let direction = moves.column(held.len() - 1).into_owned();
        let mut lines = Vec::new();
        for _ in 0..LINES_PER_UNIT {
            let line = (&direction, LINE_REACH);
            let Some(place) = placer.saturate_along(&held, &targets, line, &mut rng) else {
                continue;
            };
            // The inputs of the second layer without the unit.
            let mut inputs = second.offset.clone();
            for (other, &j) in second.free.iter().enumerate() {
                inputs += second.b_free.row(other).transpose() * place.signs[j];
            }
            lines.push(Line { inputs, values: values_along(cx.f, &place.point, &direction, &ts)? });
        }
        if lines.is_empty() {
            return Err(dependent());
        }
        let (at, row) = (units[unit].centre, Row::Known(second.b_free.row(row).transpose()));
        readings.push(Reading { unit, at, row, lines });
    }
    Ok(readings)
}

/// A first network in the coordinates of the units' directions.
pub struct Assembled {
    /// The network.
    pub network: TwoLayer,
    /// Root mean square misfits of the units' lines: their geometric mean over the units, so that those
    /// that show their activation decide.
    pub misfit: f64,
    /// The largest of them.
    pub worst: f64,
    /// Units that turned out to be several of one direction.
    pub bundles: usize,
}

/// Fits slopes and shifts to the `readings` for the activations (g, h), and assembles the network. Units that
/// are several of one direction add columns at its end.
pub fn assemble(
    readings: &[Reading],
    units: &[Unit],
    patterns: &Patterns,
    second: &SecondLayer,
    (g, h): (Activation, Activation),
    (seed, team): (u64, &Team),
) -> Result<Assembled, Halt> {
    let (m0, m1) = (units.len(), second.c.len());
    let ts = positions();
    let own = readings[team.share(readings.len())].par_iter();
    let own = own.map(|reading| fit_two(reading, (g, h), second, &ts)).collect();
    let fits: Vec<Option<(f64, f64, f64)>> = team.all(Some(own)).unwrap_or_default();
    let mut misfits = Vec::new();
    let mut columns = Vec::new();
    for (reading, fit) in readings.iter().zip(fits) {
        let Some((q, z, misfit)) = fit else { return Err(open(reading.unit)) };
        misfits.push(misfit);
        let row = reading.row.at(q * g.slope(z));
        columns.push((reading, vec![Part { q, z, row }]));
    }
    let usual = median(&misfits).unwrap_or(f64::INFINITY);
    let mut bundles = 0;
    for ((reading, parts), misfit) in columns.iter_mut().zip(&mut misfits) {
        let Row::Known(row) = &reading.row else { continue };
        if *misfit < BUNDLE_SUSPECTED * usual {
            continue;
        }
        let (goal, lines) = (BUNDLE_GOAL * usual, &reading.lines);
        let rng = &mut draws::stream(seed, "bundle", reading.unit as u64);
        let several = bundle::fit(lines, &ts, row, g, |u| second.output(u, h), goal, rng);
        if let Some(several) = several.filter(|several| several.1 * BUNDLE_EXPLAINS < *misfit) {
            (*parts, *misfit) = several;
            bundles += 1;
        }
    }

    let count = columns.iter().map(|(_, parts)| parts.len()).sum();
    let mut a = DMatrix::zeros(units[0].direction.len(), count);
    let mut theta = DVector::zeros(count);
    let mut b = DMatrix::zeros(count, m1);
    // At the first of the peel's places u = offset + b_T . y_T.
    let mut tau = -&second.offset;
    let mut next = m0;
    for (reading, parts) in columns {
        let unit = &units[reading.unit];
        let held = patterns.held.contains(&reading.unit);
        for (k, part) in parts.iter().enumerate() {
            let column = if k == 0 { reading.unit } else { next };
            next += usize::from(k > 0);
            let norm = part.q / unit.half_width;
            a.set_column(column, &(&unit.direction * norm));
            theta[column] = norm * reading.at - part.z;
            b.set_row(column, &part.row.transpose());
            if held {
                tau += &part.row * g.value(part.z);
            }
        }
    }
    let network = TwoLayer { a, theta, b, tau, c: second.c.clone(), c0: second.c0, g, h };
    let worst = misfits.iter().copied().fold(0.0, f64::max);
    let logs: f64 = misfits.iter().map(|misfit| misfit.max(f64::MIN_POSITIVE).ln()).sum();
    Ok(Assembled { network, misfit: (logs / misfits.len() as f64).exp(), worst, bundles })
}

/// `count` indices spread over 0..n.
fn spread_out(n: usize, count: usize) -> Vec<usize> {
    (0..count.min(n)).map(|k| k * n / count.min(n)).collect()
}

fn dependent() -> Halt {
    Failure::new(Stage::Scales, "a unit depends on those held: its line cannot be drawn").into()
}

fn open(unit: usize) -> Halt {
    Failure::new(
        Stage::Scales,
        format!("slope and shift of first-layer unit {unit} could not be fitted"),
    )
    .into()
}

/// Slope times half width, z in the middle of the lines, and the root mean square misfit: the best from a grid of
/// starts.
fn fit_two(
    reading: &Reading,
    activations: (Activation, Activation),
    second: &SecondLayer,
    ts: &[f64],
) -> Option<(f64, f64, f64)> {
    let residuals = |x: &DVector<f64>| {
        let mut out = Vec::with_capacity(reading.lines.len() * ts.len());
        reading.residuals((x[0], x[1]), activations, second, ts, &mut out);
        if x[0] <= LEAST_UNIT_SLOPE {
            out.fill(f64::NAN);
        }
        DVector::from_vec(out)
    };
    let mut starts: Vec<(f64, DVector<f64>)> = SLOPE_GUESSES
        .iter()
        .flat_map(|&q| {
            (-MIDDLE_GUESSES..=MIDDLE_GUESSES)
                .map(move |k| DVector::from_vec(vec![q, MIDDLE_STEP * f64::from(k)]))
        })
        .map(|start| (cost(&residuals(&start)), start))
        .collect();
    starts.sort_by(|a, b| a.0.total_cmp(&b.0));
    let count = (reading.lines.len() * ts.len()).max(1) as f64;
    let ends =
        starts.into_iter().take(GUESSES_FOLLOWED).map(|(_, start)| descend(&residuals, start));
    let best = ends.filter(|end| end.1.is_finite()).min_by(|a, b| a.1.total_cmp(&b.1));
    best.map(|(x, cost)| (x[0], x[1], (cost / count).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::context::in_context;
    use crate::identify::first_layer::units::tests::units_of;
    use crate::identify::scalars::tolerances::POINTS_PER_LINE;
    use crate::identify::survey::landscape::Landscape;
    use crate::network::Class;
    use crate::oracle::NetworkOracle;

    const HELD: [usize; 3] = [0, 2, 3];
    /// Half widths from the middle at which the units held are.
    const AT: f64 = 0.2;

    fn land() -> Landscape {
        Landscape::unit(0.0, 0.0)
    }

    fn network(dims: (usize, usize, usize), seed: u64) -> TwoLayer {
        TwoLayer::random(dims, Class::General, Activation::Tanh, seed).unwrap()
    }

    /// What the peel and the second layer would be without an error, for `units` of which unit i is unit i of
    /// the `truth` and those of the truth beyond their number have the direction of the last one.
    fn exact(truth: &TwoLayer, units: &[Unit]) -> (Patterns, SecondLayer) {
        let m0 = units.len();
        let rng = &mut draws::stream(1, "exact", 0);
        let placer = Placer::new(units, &land());
        let at = |i: usize| units[i].centre + AT * units[i].half_width;
        let targets: Vec<f64> = HELD.map(at).to_vec();
        let places: Vec<_> =
            (0..12).map(|_| placer.saturate(&HELD, &targets, None, rng).unwrap()).collect();
        let free: Vec<usize> = (0..m0).filter(|j| !HELD.contains(j)).collect();
        // Whatever shares the last direction saturates with it.
        let row = |j: usize| match j + 1 == m0 {
            true => truth.b.rows(j, truth.b.nrows() - j).row_sum(),
            false => truth.b.row(j).into_owned(),
        };
        let mut offset = -&truth.tau;
        let mut beta = DMatrix::zeros(HELD.len(), truth.c.len());
        for (index, &i) in HELD.iter().enumerate() {
            let norm = truth.a.column(i).norm();
            let z = norm * at(i) - truth.theta[i];
            offset += row(i).transpose() * truth.g.value(z);
            beta.set_row(index, &(row(i) * (truth.g.slope(z) * norm * units[i].half_width)));
        }
        let mut u = DMatrix::zeros(truth.c.len(), places.len());
        for (place, mut u) in places.iter().zip(u.column_iter_mut()) {
            u.copy_from(&offset);
            free.iter().for_each(|&j| u += row(j).transpose() * place.signs[j]);
        }
        let b_free = DMatrix::from_rows(&free.iter().map(|&j| row(j)).collect::<Vec<_>>());
        let patterns = Patterns { held: HELD.to_vec(), targets, places };
        let (c, c0) = (truth.c.clone(), truth.c0);
        (patterns, SecondLayer { beta, b_free, free, offset, u, c, c0, affinity: 0.0, misfit: 0.0 })
    }

    fn assembled(truth: &TwoLayer, units: &[Unit], g: Activation) -> Assembled {
        let (patterns, second) = exact(truth, units);
        let mut f = NetworkOracle::new(truth.clone());
        let readings =
            in_context(&mut f, &land(), (1, 0), |cx| read(cx, units, &patterns, &second))
                .0
                .unwrap();
        // One line a place for the units held, and a few for the others.
        assert_eq!(readings.len(), units.len());
        assert!(readings.iter().all(|reading| reading.lines.len() == LINES_PER_UNIT));
        assemble(&readings, units, &patterns, &second, (g, truth.h), (1, &Team::alone())).unwrap()
    }

    #[test]
    fn slopes_and_shifts_complete_the_network() {
        for seed in 0..4 {
            let truth = network((6, 6, 2), seed);
            let found = assembled(&truth, &units_of(&truth), truth.g);
            let matching = truth.matching(&found.network);
            assert!(matching.within(1e-8), "{seed}: {:?}", matching.tensor_errors);
            assert!(found.misfit <= found.worst && found.worst < 1e-9, "{}", found.worst);
            assert_eq!(found.bundles, 0);
        }
    }

    #[test]
    fn another_activation_fits_worse() {
        let truth = network((6, 6, 2), 1);
        let units = units_of(&truth);
        let (right, wrong) = (
            assembled(&truth, &units, Activation::Tanh),
            assembled(&truth, &units, Activation::Erf),
        );
        assert!(wrong.misfit > 1e6 * right.misfit && wrong.misfit > 1e-4, "{}", wrong.misfit);
    }

    #[test]
    fn several_units_of_one_direction_are_told_apart() {
        // The last two units of the truth are one to the stages before.
        let mut truth = network((6, 6, 2), 3);
        let twin = truth.a.column(4) * 0.6;
        truth.a.set_column(5, &twin);
        truth.theta[5] = 0.6 * truth.theta[4] + 0.5;
        let mut units = units_of(&truth);
        let last = units.pop().unwrap();
        units[4].half_width = last.half_width;
        let found = assembled(&truth, &units, truth.g);
        assert_eq!((found.bundles, found.network.dims()), (1, (6, 6, 2)));
        let matching = truth.matching(&found.network);
        assert!(matching.within(1e-6), "{:?}", matching.tensor_errors);
    }

    #[test]
    fn a_unit_that_depends_on_those_held_has_no_line() {
        let truth = network((6, 6, 2), 1);
        let mut units = units_of(&truth);
        let (patterns, second) = exact(&truth, &units);
        units[1].direction = units[0].direction.clone();
        let mut f = NetworkOracle::new(truth);
        match in_context(&mut f, &land(), (1, 0), |cx| read(cx, &units, &patterns, &second)).0 {
            Err(Halt::Failed(failure)) => {
                assert_eq!(failure.stage, Stage::Scales);
                assert!(failure.reason.contains("depends on those held"), "{failure}");
            }
            _ => panic!("must fail"),
        }
    }

    #[test]
    fn indices_are_spread_over_the_range() {
        assert_eq!(spread_out(8, 4), [0, 2, 4, 6]);
        assert_eq!(spread_out(3, 4), [0, 1, 2]);
        assert!(spread_out(0, 4).is_empty());
        let ts = positions();
        assert_eq!((ts.len(), ts[0], ts[10], ts[20]), (POINTS_PER_LINE, -3.0, 0.0, 3.0));
    }
}
