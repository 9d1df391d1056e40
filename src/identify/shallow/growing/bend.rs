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
        let n = ts.len();
        if n < BEND_LEAST_VALUES {
            return None;
        }
        // Of a part of order one, and straightened: then nothing is large or small.
        let (middle, span) = (0.5 * (ts[0] + ts[n - 1]), 0.5 * (ts[n - 1] - ts[0]));
        let (level, rate) = (values[0], (values[n - 1] - values[0]) / (ts[n - 1] - ts[0]));
        let straight = |t: f64| level + rate * (t - ts[0]);
        let size = ts.iter().zip(values).fold(0.0f64, |m, (t, v)| m.max((v - straight(*t)).abs()));
        let scaled = |(t, v): (&f64, &f64)| ((t - middle) / span, (v - straight(*t)) / size);
        let data: Vec<(f64, f64)> = ts.iter().zip(values).map(scaled).collect();
        let first = Bend::guess(&data, phi)?;
        let mut best: Option<Bend> = None;
        for factor in if is_kink(phi) { &[1.0][..] } else { &[1.0, 0.5, 2.0] } {
            let start = Bend {
                slope: first.slope * factor,
                weight: first.weight / factor,
                misfit: f64::INFINITY,
                ..first
            };
            let found = start.descend(&data, phi);
            if best.is_none_or(|best| found.misfit < best.misfit) {
                best = Some(found);
            }
        }
        let found = best.filter(|b| b.misfit.is_finite() && b.centre.abs() < 1.0)?;
        let centre = middle + span * found.centre;
        let kink = is_kink(phi);
        Some(Bend {
            level: straight(centre) + size * found.level,
            tilt: rate + size * found.tilt / span,
            weight: size * found.weight / if kink { span } else { 1.0 },
            slope: if kink { 1.0 } else { found.slope / span },
            centre,
            misfit: size * found.misfit,
        })
    }

    /// By the lines through the first two and the last two values, and how far the others are from these.
    fn guess(data: &[(f64, f64)], phi: Activation) -> Option<Bend> {
        let line = |(t, v): (f64, f64), (t1, v1): (f64, f64)| ((v1 - v) / (t1 - t), t, v);
        let n = data.len();
        let (before, t0, v0) = line(data[0], data[1]);
        let (after, t1, v1) = line(data[n - 2], data[n - 1]);
        let jump = after - before;
        // before (t - t0) + v0 = after (t - t1) + v1.
        let centre = (v0 - before * t0 - v1 + after * t1) / jump;
        if !(centre.is_finite() && centre.abs() < 1.0) {
            return None;
        }
        let level = v0 + before * (centre - t0);
        let corner = |t: f64| level + before * (t - centre) + jump * (t - centre).max(0.0);
        let off = data.iter().fold(0.0f64, |most, &(t, v)| most.max((v - corner(t)).abs()));
        let slope = if is_kink(phi) { 1.0 } else { jump.abs() * most_off(phi) / (gain(phi) * off) };
        let weight = jump / (gain(phi) * slope);
        let found = Bend { level, tilt: before, weight, slope, centre, misfit: f64::INFINITY };
        slope.is_finite().then_some(found)
    }

    /// Gauss-Newton steps.
    fn descend(mut self, data: &[(f64, f64)], phi: Activation) -> Bend {
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
        let aside = t - self.centre;
        self.level + self.tilt * aside + self.weight * lift(phi, self.slope * aside)
    }

    fn distance(&self, data: &[(f64, f64)], phi: Activation) -> f64 {
        let off = |&(t, v): &(f64, f64)| (self.value(t, phi) - v).powi(2);
        (data.iter().map(off).sum::<f64>() / data.len() as f64).sqrt()
    }

    /// Of (level, tilt, weight, centre, slope); a kink has no slope.
    fn step(&self, data: &[(f64, f64)], phi: Activation) -> Option<SVector<f64, 5>> {
        let mut normal = SMatrix::<f64, 5, 5>::zeros();
        let mut gradient = SVector::<f64, 5>::zeros();
        for &(t, v) in data {
            let aside = t - self.centre;
            let z = self.slope * aside;
            let rate = self.weight * lift_slope(phi, z);
            let by_slope = if is_kink(phi) { 0.0 } else { rate * aside };
            let row = SVector::from([
                1.0,
                aside,
                lift(phi, z),
                -self.tilt - rate * self.slope,
                by_slope,
            ]);
            normal += row * row.transpose();
            gradient += row * (v - self.value(t, phi));
        }
        if is_kink(phi) {
            normal[(4, 4)] = 1.0;
        }
        normal.lu().solve(&gradient)
    }

    fn moved(&self, step: SVector<f64, 5>, data: &[(f64, f64)], phi: Activation) -> Bend {
        let mut moved = Bend {
            level: self.level + step[0],
            tilt: self.tilt + step[1],
            weight: self.weight + step[2],
            centre: self.centre + step[3],
            slope: self.slope + step[4],
            misfit: 0.0,
        };
        moved.misfit = moved.distance(data, phi);
        moved
    }

    /// By how much the slopes of all outputs (K x n, at `ts`) change over this bend.
    pub fn jumps(&self, ts: &[f64], outputs: &DMatrix<f64>, phi: Activation) -> Option<DVector<f64>> {
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

/// The most that [`lift`] is off its two lines.
fn most_off(phi: Activation) -> f64 {
    (0..400).map(|k| off_lines(phi, 0.01 * f64::from(k)).abs()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMOOTH: [Activation; 4] =
        [Activation::Softplus, Activation::Silu, Activation::Gelu, Activation::GeluTanh];

    fn sampled(bend: &Bend, phi: Activation) -> (Vec<f64>, Vec<f64>) {
        let ts: Vec<f64> = (0..17).map(|k| 100.0 + f64::from(k)).collect();
        let values = ts.iter().map(|&t| bend.value(t, phi)).collect();
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
            assert!(2.0 * off_lines(phi, z).abs() < 1e-12 && 2.0 * off_lines(phi, -z).abs() < 1e-12);
        }
        assert_eq!(tail(Activation::Relu, 2.0, 1e-12), 0.0);
    }
}
