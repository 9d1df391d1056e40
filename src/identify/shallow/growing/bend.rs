//! One bend: f along a line where a single unit passes from 0 to its straight part.

use nalgebra::{DMatrix, DVector, SMatrix, SVector};

use super::tolerances::{
    BEND_GAIN, BEND_HALVINGS, BEND_LEAST_VALUES, BEND_STEPS, TAIL_MOST, TAIL_STEP,
};
use crate::algebra::linalg::dual;
use crate::network::Activation;

/// phi(z) less its straight part far below 0: there it is 0, and far above 0 straight.
pub fn lift(phi: Activation, z: f64) -> f64 {
    phi.value(z) - phi.end_slopes().0 * z
}

fn lift_slope(phi: Activation, z: f64) -> f64 {
    phi.slope(z) - phi.end_slopes().0
}

/// The slope of [`lift`] far above 0.
pub fn gain(phi: Activation) -> f64 {
    let (before, after) = phi.end_slopes();
    after - before
}

/// How far [`lift`] is from the two straight lines that it bends between.
fn off_lines(phi: Activation, z: f64) -> f64 {
    lift(phi, z) - gain(phi) * z.max(0.0)
}

/// Does phi pass from one straight line to the other at a point?
pub fn is_kink(phi: Activation) -> bool {
    matches!(phi, Activation::Relu | Activation::LeakyRelu)
}

/// From this argument on `size` times the unit is straight but for `noise`.
pub fn tail(phi: Activation, size: f64, noise: f64) -> f64 {
    let mut z = 0.0;
    let curved = |z: f64| off_lines(phi, z).abs().max(off_lines(phi, -z).abs()) * size > noise;
    // Silu and gelu are on the lines at 0 itself.
    while z < TAIL_MOST && (curved(z) || curved(z + 0.5 * TAIL_STEP)) {
        z += TAIL_STEP;
    }
    z
}

/// t -> level + tilt (t - centre) + weight lift(slope (t - centre)), slope > 0; 1 where there is a kink.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bend {
    pub level: f64,
    pub tilt: f64,
    pub weight: f64,
    pub slope: f64,
    pub centre: f64,
    /// Root mean square misfit.
    pub misfit: f64,
}

impl Bend {
    /// By how much the slope of f changes.
    pub fn jump(&self, phi: Activation) -> f64 {
        self.weight * self.slope * gain(phi)
    }

    /// The bend through `values` at `ts`, which begin on one straight line and end on another; `None` where there is none.
    pub fn fit(ts: &[f64], values: &[f64], phi: Activation) -> Option<Bend> {
        let chart = Chart::of(ts, values)?;
        let data = chart.data(ts, values);
        let first = Shape::guess(&data, phi)?;
        let slopes: &[f64] = if is_kink(phi) { &[1.0] } else { &[1.0, 0.5, 2.0] };
        let starts = slopes.iter().map(|factor| Shape { slope: first.slope * factor, ..first });
        let ends = starts.map(|start| start.descend(&data, phi));
        chart.bend(ends.min_by(|a, b| a.misfit.total_cmp(&b.misfit))?, phi)
    }

    /// The same from this bend on, which is nearly it.
    pub fn refit(&self, ts: &[f64], values: &[f64], phi: Activation) -> Option<Bend> {
        let chart = Chart::of(ts, values)?;
        let start = chart.shape(self, phi);
        chart.bend(start.descend(&chart.data(ts, values), phi), phi)
    }

    /// By how much the slopes of all outputs (K x n, at `ts`) change over this bend.
    pub fn jumps(
        &self,
        ts: &[f64],
        outputs: &DMatrix<f64>,
        phi: Activation,
    ) -> Option<DVector<f64>> {
        // In shares of the range the columns are of one size.
        let span = ts.iter().fold(0.0f64, |most, t| most.max((t - self.centre).abs()));
        let column = |t: f64, j: usize| match j {
            0 => 1.0,
            1 => (t - self.centre) / span,
            _ => lift(phi, self.slope * (t - self.centre)) / (self.slope * gain(phi) * span),
        };
        let matrix = DMatrix::from_fn(ts.len(), 3, |i, j| column(ts[i], j));
        let (dual, _) = dual(&matrix)?;
        Some(outputs * dual.column(2) / span)
    }
}

/// Coordinates in which the readings of a line are of order one: nothing is large or small there.
struct Chart {
    middle: f64,
    span: f64,
    /// The straight line through the ends: at the first of them, and its slope.
    first: (f64, f64),
    rate: f64,
    size: f64,
}

impl Chart {
    fn of(ts: &[f64], values: &[f64]) -> Option<Chart> {
        let n = ts.len();
        if n < BEND_LEAST_VALUES {
            return None;
        }
        let rate = (values[n - 1] - values[0]) / (ts[n - 1] - ts[0]);
        let (middle, span) = (0.5 * (ts[0] + ts[n - 1]), 0.5 * (ts[n - 1] - ts[0]));
        let mut chart = Chart { middle, span, first: (ts[0], values[0]), rate, size: 1.0 };
        let off = |(t, v): (&f64, &f64)| (v - chart.straight(*t)).abs();
        chart.size = ts.iter().zip(values).map(off).fold(0.0, f64::max);
        (chart.size > 0.0).then_some(chart)
    }

    fn straight(&self, t: f64) -> f64 {
        self.first.1 + self.rate * (t - self.first.0)
    }

    fn data(&self, ts: &[f64], values: &[f64]) -> Vec<(f64, f64)> {
        let scaled = |(t, v): (&f64, &f64)| {
            ((t - self.middle) / self.span, (v - self.straight(*t)) / self.size)
        };
        ts.iter().zip(values).map(scaled).collect()
    }

    fn bend(&self, shape: Shape, phi: Activation) -> Option<Bend> {
        let Chart { middle, span, rate, size, .. } = *self;
        let centre = middle + span * shape.centre;
        let slope = if is_kink(phi) { 1.0 } else { shape.slope / span };
        let jump = shape.jump * size / span;
        let within = shape.misfit.is_finite() && shape.centre.abs() < 1.0;
        within.then(|| Bend {
            level: self.straight(centre) + size * (shape.ground + shape.tilt * shape.centre),
            tilt: rate + shape.tilt * size / span,
            weight: jump / (slope * gain(phi)),
            slope,
            centre,
            misfit: size * shape.misfit,
        })
    }

    fn shape(&self, bend: &Bend, phi: Activation) -> Shape {
        let Chart { middle, span, rate, size, .. } = *self;
        let centre = (bend.centre - middle) / span;
        let tilt = (bend.tilt - rate) * span / size;
        Shape {
            ground: (bend.level - self.straight(bend.centre)) / size - tilt * centre,
            tilt,
            jump: bend.jump(phi) * span / size,
            centre,
            slope: if is_kink(phi) { 1.0 } else { bend.slope * span },
            misfit: f64::INFINITY,
        }
    }
}

/// t -> ground + tilt t + jump lift(slope (t - centre)) / (slope gain): of these numbers the last alone is told by the middle of
/// the bend alone.
#[derive(Clone, Copy)]
struct Shape {
    ground: f64,
    tilt: f64,
    jump: f64,
    centre: f64,
    slope: f64,
    misfit: f64,
}

impl Shape {
    /// By the lines through the first two and the last two values, and how far the others are from these.
    fn guess(data: &[(f64, f64)], phi: Activation) -> Option<Shape> {
        let rate = |(t, v): (f64, f64), (t1, v1): (f64, f64)| (v1 - v) / (t1 - t);
        let n = data.len();
        let (tilt, after) = (rate(data[0], data[1]), rate(data[n - 2], data[n - 1]));
        let jump = after - tilt;
        let ground = data[0].1 - tilt * data[0].0;
        let centre = (ground - data[n - 1].1 + after * data[n - 1].0) / jump;
        let corner = |t: f64| ground + tilt * t + jump * (t - centre).max(0.0);
        let off = data.iter().fold(0.0f64, |most, &(t, v)| most.max((v - corner(t)).abs()));
        let slope = if is_kink(phi) { 1.0 } else { jump.abs() * most_off(phi) / (gain(phi) * off) };
        let found = Shape { ground, tilt, jump, centre, slope, misfit: f64::INFINITY };
        (centre.abs() < 1.0 && slope.is_finite()).then_some(found)
    }

    /// Gauss-Newton steps.
    fn descend(mut self, data: &[(f64, f64)], phi: Activation) -> Shape {
        self.misfit = self.distance(data, phi);
        for _ in 0..BEND_STEPS {
            let Some(step) = self.step(data, phi) else { break };
            let shorter = (0..BEND_HALVINGS).map(|k| self.moved(step * 0.5f64.powi(k), data, phi));
            let Some(next) =
                shorter.filter(|next| next.slope > 0.0).find(|n| n.misfit < self.misfit)
            else {
                break;
            };
            let left = next.misfit / self.misfit;
            self = next;
            if left > BEND_GAIN {
                break;
            }
        }
        self
    }

    fn value(&self, t: f64, phi: Activation) -> f64 {
        let lifted = lift(phi, self.slope * (t - self.centre)) / (self.slope * gain(phi));
        self.ground + self.tilt * t + self.jump * lifted
    }

    fn distance(&self, data: &[(f64, f64)], phi: Activation) -> f64 {
        let off = |&(t, v): &(f64, f64)| (self.value(t, phi) - v).powi(2);
        (data.iter().map(off).sum::<f64>() / data.len() as f64).sqrt()
    }

    /// Of (ground, tilt, jump, centre, slope); a kink has no slope.
    fn step(&self, data: &[(f64, f64)], phi: Activation) -> Option<SVector<f64, 5>> {
        let (gain, slope) = (gain(phi), self.slope);
        let row = |t: f64| {
            let z = slope * (t - self.centre);
            let (lifted, rate) = (lift(phi, z) / gain, lift_slope(phi, z) / gain);
            let by_slope = if is_kink(phi) { 0.0 } else { (rate * z - lifted) / (slope * slope) };
            SVector::from([1.0, t, lifted / slope, -self.jump * rate, self.jump * by_slope])
        };
        let mut squares = SVector::<f64, 5>::zeros();
        data.iter().for_each(|&(t, _)| squares += row(t).map(|entry| entry * entry));
        let scale = squares.map(|square| if square > 0.0 { square.sqrt().recip() } else { 0.0 });
        let mut normal = SMatrix::<f64, 5, 5>::zeros();
        let mut gradient = SVector::<f64, 5>::zeros();
        for &(t, v) in data {
            let row = row(t).component_mul(&scale);
            normal += row * row.transpose();
            gradient += row * (v - self.value(t, phi));
        }
        if is_kink(phi) {
            normal[(4, 4)] = 1.0;
        }
        normal.lu().solve(&gradient).map(|step| step.component_mul(&scale))
    }

    fn moved(&self, step: SVector<f64, 5>, data: &[(f64, f64)], phi: Activation) -> Shape {
        let mut moved = Shape {
            ground: self.ground + step[0],
            tilt: self.tilt + step[1],
            jump: self.jump + step[2],
            centre: self.centre + step[3],
            slope: self.slope + step[4],
            misfit: 0.0,
        };
        moved.misfit = moved.distance(data, phi);
        moved
    }
}

/// The most that [`lift`] is off its two lines.
fn most_off(phi: Activation) -> f64 {
    (0..400).map(|k| off_lines(phi, 0.01 * f64::from(k)).abs()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMOOTH: [Activation; 4] =
        [Activation::Softplus, Activation::Silu, Activation::Gelu, Activation::GeluTanh];

    fn values_at(bend: &Bend, ts: &[f64], phi: Activation) -> Vec<f64> {
        let aside = |t: f64| t - bend.centre;
        let value = |&t: &f64| {
            bend.level + bend.tilt * aside(t) + bend.weight * lift(phi, bend.slope * aside(t))
        };
        ts.iter().map(value).collect()
    }

    fn sampled(bend: &Bend, phi: Activation) -> (Vec<f64>, Vec<f64>) {
        let ts: Vec<f64> = (0..17).map(|k| 100.0 + f64::from(k)).collect();
        let values = values_at(bend, &ts, phi);
        (ts, values)
    }

    fn bend() -> Bend {
        Bend { level: 0.3, tilt: -40.0, weight: -1.7, slope: 0.9, centre: 107.3, misfit: 0.0 }
    }

    #[test]
    fn a_bend_is_known_from_a_few_values_and_only_by_its_own_activation() {
        for phi in SMOOTH {
            let (ts, values) = sampled(&bend(), phi);
            let found = Bend::fit(&ts, &values, phi).unwrap();
            assert!(found.misfit < 1e-11, "{phi}: {found:?}");
            assert!((found.slope - 0.9).abs() < 1e-9 && (found.centre - 107.3).abs() < 1e-9);
            assert!((found.jump(phi) + 1.7 * 0.9).abs() < 1e-9, "{phi}: {found:?}");
            // With readings far from it, too.
            let ends = [-1e4, -6e3, 7e3, 1.2e4];
            let wide: Vec<f64> = [&ends[..2], &ts, &ends[2..]].concat();
            let start = Bend { slope: 0.9005, centre: 107.31, ..found };
            let values_there = values_at(&bend(), &wide, phi);
            let again = start.refit(&wide, &values_there, phi).unwrap();
            assert!(again.misfit < 1e-9 && (again.slope - 0.9).abs() < 1e-8, "{phi}: {again:?}");
            for other in SMOOTH.into_iter().filter(|&other| other != phi) {
                let wrong = Bend::fit(&ts, &values, other);
                assert!(wrong.is_none_or(|wrong| wrong.misfit > 1e-5), "{phi}, {other}: {wrong:?}");
            }
        }
    }

    #[test]
    fn a_kink_is_one_and_nothing_else() {
        let kink = Bend { slope: 1.0, ..bend() };
        let (ts, values) = sampled(&kink, Activation::Relu);
        let found = Bend::fit(&ts, &values, Activation::Relu).unwrap();
        assert!(found.misfit < 1e-12 && (found.centre - 107.3).abs() < 1e-12, "{found:?}");
        let outputs = DMatrix::from_fn(2, ts.len(), |k, i| values[i] * (k as f64 + 1.0));
        let jumps = found.jumps(&ts, &outputs, Activation::Relu).unwrap();
        assert!((jumps[0] + 1.7).abs() < 1e-12 && (jumps[1] + 3.4).abs() < 1e-12, "{jumps}");
        let (ts, values) = sampled(&bend(), Activation::Silu);
        let wrong = Bend::fit(&ts, &values, Activation::Relu);
        assert!(wrong.is_none_or(|wrong| wrong.misfit > 1e-2), "{wrong:?}");
    }

    #[test]
    fn a_unit_is_straight_beyond_its_tail() {
        for phi in SMOOTH {
            let z = tail(phi, 2.0, 1e-12);
            assert!((5.0..40.0).contains(&z), "{phi}: {z}");
            assert!(
                2.0 * off_lines(phi, z).abs() < 1e-12 && 2.0 * off_lines(phi, -z).abs() < 1e-12
            );
        }
        assert_eq!(tail(Activation::Relu, 2.0, 1e-12), 0.0);
    }
}
