//! Stage 6: slope and shift of every first-layer unit, two parameters along one line each, everything
//! else known; then all parameters together make a first network.

use nalgebra::{DMatrix, DVector, Matrix2, Vector2};
use rayon::prelude::*;

use super::line::values_along;
use super::peel::Peel;
use super::place::Placer;
use super::probe::Landscape;
use super::second_layer::SecondLayer;
use super::units::Unit;
use super::{Failure, Halt};
use crate::draws;
use crate::network::{Activation, Network};
use crate::oracle::Oracle;

/// Lines a unit, with the others saturated differently.
const LINES: usize = 4;
/// Points a line, over +-3 half widths.
const POINTS: usize = 21;
/// First guesses of the slope times the half width; 2.3 for a linear response of a tanh unit.
const SLOPES: [f64; 7] = [1.0, 1.4, 1.8, 2.3, 2.9, 3.8, 5.0];

/// f along lines on which only one first-layer unit changes, with the second layer known as `second`.
pub fn read(
    f: &mut dyn Oracle,
    land: &Landscape,
    units: &[Unit],
    peel: &Peel,
    second: &SecondLayer,
    seed: u64,
) -> Result<Vec<Reading>, Halt> {
    let placer = Placer::new(units, land);
    let mut rng = draws::stream(seed, "scales", 0);
    let ts = positions();
    let mut readings = Vec::new();

    // Units of S: the lines run through the places of the peel, where the row of B is known times
    // phi'(z) and the second layer's inputs include the unit at its middle.
    let moves = placer.moves(&peel.held).ok_or_else(dependent)?;
    for (index, &unit) in peel.held.iter().enumerate() {
        let direction = moves.column(index).into_owned();
        let mut lines = Vec::new();
        let level = |k: usize| peel.places[k].signs[unit];
        let alike: Vec<usize> = (0..peel.places.len()).filter(|&k| level(k) == level(0)).collect();
        for k in spread_out(alike.len(), LINES).into_iter().map(|n| alike[n]) {
            let values = values_along(f, &peel.places[k].point, &direction, &ts)?;
            lines.push(Line { inputs: second.u.column(k).into_owned(), values });
        }
        let row = Row::TimesSlope(second.beta.row(index).transpose());
        readings.push(Reading { unit, at: peel.targets[index], row, lines });
    }

    // Units of T: hold S and the unit, saturate the rest.
    for (row, &unit) in second.free.iter().enumerate() {
        let held: Vec<usize> = peel.held.iter().copied().chain([unit]).collect();
        let targets: Vec<f64> = peel.targets.iter().copied().chain([units[unit].centre]).collect();
        let moves = placer.moves(&held).ok_or_else(dependent)?;
        let direction = moves.column(held.len() - 1).into_owned();
        let mut lines = Vec::new();
        for _ in 0..LINES {
            let Some(place) = placer.saturate(&held, &targets, None, &mut rng) else { continue };
            // The inputs of the second layer without the unit.
            let mut inputs = second.offset.clone();
            for (other, &j) in second.free.iter().enumerate() {
                inputs += second.b_free.row(other).transpose() * place.signs[j];
            }
            lines.push(Line { inputs, values: values_along(f, &place.point, &direction, &ts)? });
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
    pub network: Network,
    /// Root mean square misfits of the units' lines: their geometric mean over the units, so that those
    /// that show their activation decide.
    pub misfit: f64,
    /// The largest of them.
    pub worst: f64,
}

/// Fits slopes and shifts to the `readings` for the activations (g, h), and assembles the network.
pub fn assemble(
    readings: &[Reading],
    units: &[Unit],
    peel: &Peel,
    second: &SecondLayer,
    (g, h): (Activation, Activation),
) -> Result<Assembled, Halt> {
    let (m0, m1) = (units.len(), second.c.len());
    let ts = positions();
    let mut b = DMatrix::zeros(m0, m1);
    for (row, &j) in second.free.iter().enumerate() {
        b.set_row(j, &second.b_free.row(row));
    }
    let fits: Vec<Option<(f64, f64, f64)>> = readings
        .par_iter()
        .map(|reading| fit_two(|q, z, out| reading.residuals((q, z), (g, h), second, &ts, out)))
        .collect();
    // Per unit: slope times half width, z in the middle of its lines, and where that is.
    let mut slope = vec![0.0; m0];
    let mut middle = vec![0.0; m0];
    let mut at = vec![0.0; m0];
    let (mut worst, mut logs) = (0.0f64, 0.0);
    for (reading, fit) in readings.iter().zip(fits) {
        let i = reading.unit;
        let Some((q, z, misfit)) = fit else { return Err(open(i)) };
        (slope[i], middle[i], at[i]) = (q, z, reading.at);
        worst = worst.max(misfit);
        logs += misfit.max(f64::MIN_POSITIVE).ln();
        b.set_row(i, &reading.row.at(q * g.slope(z)).transpose());
    }

    let mut a = DMatrix::zeros(units[0].direction.len(), m0);
    let mut theta = DVector::zeros(m0);
    for (i, unit) in units.iter().enumerate() {
        let norm = slope[i] / unit.half_width;
        a.set_column(i, &(&unit.direction * norm));
        theta[i] = norm * at[i] - middle[i];
    }
    // At the first of the peel's places u = offset + b_T . y_T.
    let mut tau = -&second.offset;
    for &i in &peel.held {
        tau += b.row(i).transpose() * g.value(middle[i]);
    }
    let network = Network { a, theta, b, tau, c: second.c.clone(), c0: second.c0, g, h };
    Ok(Assembled { network, misfit: (logs / readings.len() as f64).exp(), worst })
}

/// Positions on a line, in half widths.
fn positions() -> Vec<f64> {
    (0..POINTS).map(|k| 6.0 * k as f64 / (POINTS - 1) as f64 - 3.0).collect()
}

/// What is known of a unit's row of B.
enum Row {
    /// The row itself.
    Known(DVector<f64>),
    /// The row times the slope of the activation, per half width.
    TimesSlope(DVector<f64>),
}

impl Row {
    /// The row, if the activation's slope per half width is `slope`.
    fn at(&self, slope: f64) -> DVector<f64> {
        match self {
            Row::Known(b) => b.clone(),
            Row::TimesSlope(beta) => beta / slope,
        }
    }
}

/// f along a line on which only one first-layer unit changes.
struct Line {
    /// The second layer's inputs without the unit ([`Row::Known`]) or with it at its middle.
    inputs: DVector<f64>,
    values: DVector<f64>,
}

/// All that was read of one unit.
pub struct Reading {
    unit: usize,
    /// direction . x in the middle of the lines.
    at: f64,
    row: Row,
    lines: Vec<Line>,
}

impl Reading {
    /// Model minus values, for a unit of slope q per half width that is at z in its middle.
    fn residuals(
        &self,
        (q, z): (f64, f64),
        (g, h): (Activation, Activation),
        second: &SecondLayer,
        ts: &[f64],
        out: &mut Vec<f64>,
    ) {
        let b = self.row.at(q * g.slope(z));
        let included = match self.row {
            Row::Known(_) => 0.0,
            Row::TimesSlope(_) => g.value(z),
        };
        for line in &self.lines {
            for (&t, &value) in ts.iter().zip(line.values.iter()) {
                let y = g.value(z + q * t) - included;
                let units = second.c.iter().zip(line.inputs.iter()).zip(b.iter());
                let output: f64 = units.map(|((&c, &u), &b)| c * h.value(u + b * y)).sum();
                out.push(second.c0 + output - value);
            }
        }
    }
}

/// `count` indices spread over 0..n.
fn spread_out(n: usize, count: usize) -> Vec<usize> {
    (0..count.min(n)).map(|k| k * n / count.min(n)).collect()
}

fn dependent() -> Halt {
    Failure::new("scales", "a unit depends on those held: its line cannot be drawn").into()
}

fn open(unit: usize) -> Halt {
    Failure::new(
        "scales",
        format!("slope and shift of first-layer unit {unit} could not be fitted"),
    )
    .into()
}

/// Least squares in two unknowns (q > 0, z) from a grid of starts by damped Gauss-Newton; returns the
/// root mean square misfit too.
fn fit_two(residuals: impl Fn(f64, f64, &mut Vec<f64>)) -> Option<(f64, f64, f64)> {
    let evaluate = |q: f64, z: f64| {
        let mut out = Vec::new();
        residuals(q, z, &mut out);
        out
    };
    let cost = |r: &[f64]| {
        let sum: f64 = r.iter().map(|v| v * v).sum();
        if sum.is_finite() { sum } else { f64::INFINITY }
    };
    let mut starts: Vec<(f64, f64, f64)> = SLOPES
        .iter()
        .flat_map(|&q| (-6..=6).map(move |k| (q, 0.3 * f64::from(k))))
        .map(|(q, z)| (q, z, cost(&evaluate(q, z))))
        .collect();
    starts.sort_by(|a, b| a.2.total_cmp(&b.2));
    let mut best: Option<(f64, f64, f64)> = None;
    for &(q, z, _) in starts.iter().take(4) {
        let (mut q, mut z) = (q, z);
        let mut r = evaluate(q, z);
        let mut now = cost(&r);
        let mut damping = 1e-3;
        for _ in 0..60 {
            let step = 1e-6;
            let (rq, rz) = (evaluate(q + step, z), evaluate(q, z + step));
            let (mut normal, mut right) = (Matrix2::zeros(), Vector2::zeros());
            for k in 0..r.len() {
                let j = Vector2::new((rq[k] - r[k]) / step, (rz[k] - r[k]) / step);
                normal += j * j.transpose();
                right -= j * r[k];
            }
            let damped = normal + Matrix2::from_diagonal(&normal.diagonal()) * damping;
            let Some(change) = damped.try_inverse().map(|inverse| inverse * right) else { break };
            let (next_q, next_z) = (q + change[0], z + change[1]);
            let next = evaluate(next_q, next_z);
            let next_cost = if next_q > 0.05 { cost(&next) } else { f64::INFINITY };
            if next_cost < now {
                let done = now - next_cost < 1e-9 * now;
                (q, z, r, now) = (next_q, next_z, next, next_cost);
                damping = (0.2 * damping).max(1e-12);
                if done {
                    break;
                }
            } else {
                damping *= 10.0;
                if damping > 1e8 {
                    break;
                }
            }
        }
        let misfit = (now / r.len().max(1) as f64).sqrt();
        if now.is_finite() && best.is_none_or(|b| misfit < b.2) {
            best = Some((q, z, misfit));
        }
    }
    best
}
