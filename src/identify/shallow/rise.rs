//! One step of the staircase: f along a line where a single unit passes from one side to the other.
//!
//! With all other units saturated f is `level + height phi(slope (t - centre))`, exactly. Once these four numbers are known
//! every value on the step tells the argument of phi, without any truncation.

use nalgebra::{Matrix4, Vector4};

use super::tolerances::{
    ARGUMENT_STEPS, RISE_GAIN, RISE_HALVINGS, RISE_LEAST_VALUES, RISE_STEPS, RISE_WITHIN,
};
use crate::network::Activation;

/// t -> level + height phi(slope (t - centre)), slope > 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rise {
    pub level: f64,
    pub height: f64,
    pub slope: f64,
    pub centre: f64,
    /// Root mean square misfit.
    pub misfit: f64,
}

impl Rise {
    /// The step through the `values` at `ts`, which go from one level to another; `None` where too few of them are on the way.
    pub fn fit(ts: &[f64], values: &[f64], phi: Activation) -> Option<Rise> {
        let (&first, &last) = (ts.first()?, ts.last()?);
        // In shares of the range nothing is large or small.
        let span = last - first;
        let data: Vec<(f64, f64)> =
            ts.iter().zip(values).map(|(t, &v)| ((t - first) / span, v)).collect();
        let mut rise = Rise::guess(&data, phi)?;
        rise.misfit = rise.distance(&data, phi);
        for _ in 0..RISE_STEPS {
            let step = rise.step(&data, phi)?;
            let shorter = (0..RISE_HALVINGS).map(|k| rise.moved(step * 0.5f64.powi(k), &data, phi));
            let Some(next) =
                shorter.filter(|next| next.slope > 0.0).find(|n| n.misfit < rise.misfit)
            else {
                break;
            };
            let gain = next.misfit / rise.misfit;
            rise = next;
            if gain > RISE_GAIN {
                break;
            }
        }
        Some(Rise { slope: rise.slope / span, centre: first + rise.centre * span, ..rise })
    }

    /// By the levels at both ends, and a straight line through the arguments in between.
    fn guess(data: &[(f64, f64)], phi: Activation) -> Option<Rise> {
        let (first, last) = (data.first()?.1, data.last()?.1);
        let (level, height) = (0.5 * (first + last), 0.5 * (last - first));
        let (mut n, mut t, mut z, mut tt, mut tz) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for &(at, value) in data {
            let y = (value - level) / height;
            if y.abs() < RISE_WITHIN {
                let argument = argument(phi, y);
                (n, t, z) = (n + 1.0, t + at, z + argument);
                (tt, tz) = (tt + at * at, tz + at * argument);
            }
        }
        let slope = (n * tz - t * z) / (n * tt - t * t);
        let fits = n >= RISE_LEAST_VALUES && slope > 0.0 && slope.is_finite();
        fits.then(|| Rise { level, height, slope, centre: (t - z / slope) / n, misfit: 0.0 })
    }

    /// Root mean square of the misfit.
    fn distance(&self, data: &[(f64, f64)], phi: Activation) -> f64 {
        let off = |&(t, v): &(f64, f64)| (self.value(t, phi) - v).powi(2);
        (data.iter().map(off).sum::<f64>() / data.len() as f64).sqrt()
    }

    fn value(&self, t: f64, phi: Activation) -> f64 {
        self.level + self.height * phi.value(self.slope * (t - self.centre))
    }

    /// The Gauss-Newton step of (level, height, slope, centre).
    fn step(&self, data: &[(f64, f64)], phi: Activation) -> Option<Vector4<f64>> {
        let (mut normal, mut gradient) = (Matrix4::zeros(), Vector4::zeros());
        for &(t, v) in data {
            let z = self.slope * (t - self.centre);
            let rate = self.height * phi.slope(z);
            let row = Vector4::new(1.0, phi.value(z), rate * (t - self.centre), -rate * self.slope);
            normal += row * row.transpose();
            gradient += row * (v - self.value(t, phi));
        }
        normal.lu().solve(&gradient)
    }

    fn moved(&self, step: Vector4<f64>, data: &[(f64, f64)], phi: Activation) -> Rise {
        let mut moved = Rise {
            level: self.level + step[0],
            height: self.height + step[1],
            slope: self.slope + step[2],
            centre: self.centre + step[3],
            misfit: 0.0,
        };
        moved.misfit = moved.distance(data, phi);
        moved
    }

    /// The argument of phi where f is `value`, if that is well within the step.
    pub fn argument(&self, value: f64, phi: Activation) -> Option<f64> {
        let y = (value - self.level) / self.height;
        (y.abs() < RISE_WITHIN).then(|| argument(phi, y))
    }
}

/// z with phi(z) = y, |y| < 1, for an odd phi.
fn argument(phi: Activation, y: f64) -> f64 {
    let target = y.abs();
    let mut z = 0.0;
    // Concave for z > 0: Newton's steps from 0 never go too far.
    for _ in 0..ARGUMENT_STEPS {
        let step = (target - phi.value(z)) / phi.slope(z);
        z += step;
        if step.abs() <= f64::EPSILON * z {
            break;
        }
    }
    z.copysign(y)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(rise: &Rise, phi: Activation) -> (Vec<f64>, Vec<f64>) {
        let ts: Vec<f64> = (0..14).map(|k| 100.0 + f64::from(k)).collect();
        let values = ts.iter().map(|&t| rise.value(t, phi)).collect();
        (ts, values)
    }

    #[test]
    fn a_step_is_known_from_a_few_values_and_only_by_its_own_activation() {
        let rise = Rise { level: 0.3, height: -1.7, slope: 0.9, centre: 106.3, misfit: 0.0 };
        for (phi, other) in
            [(Activation::Tanh, Activation::Erf), (Activation::Erf, Activation::Tanh)]
        {
            let (ts, values) = sampled(&rise, phi);
            let found = Rise::fit(&ts, &values, phi).unwrap();
            assert!(found.misfit < 1e-14, "{found:?}");
            assert!((found.slope - 0.9).abs() < 1e-12 && (found.centre - 106.3).abs() < 1e-11);
            assert!((found.height + 1.7).abs() < 1e-13);
            let z = found.argument(0.3 - 1.7 * phi.value(0.7), phi).unwrap();
            assert!((z - 0.7).abs() < 1e-12, "{z}");
            assert!(found.argument(2.0, phi).is_none());
            assert!(Rise::fit(&ts, &values, other).is_none_or(|found| found.misfit > 1e-3));
        }
    }

    #[test]
    fn two_steps_are_none() {
        let rise = Rise { level: 0.3, height: -1.7, slope: 0.9, centre: 104.0, misfit: 0.0 };
        let (ts, mut values) = sampled(&rise, Activation::Tanh);
        values.iter_mut().zip(&ts).for_each(|(v, t)| *v += (t - 109.0).tanh());
        let found = Rise::fit(&ts, &values, Activation::Tanh);
        assert!(found.is_none_or(|found| found.misfit > 1e-3));
        assert!(Rise::fit(&[0.0, 1.0], &[0.0, 1.0], Activation::Tanh).is_none());
    }
}
