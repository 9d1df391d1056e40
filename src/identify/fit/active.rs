//! Points for the fit, half of them where the first layer's units are active one by one.
//!
//! Of random points few are in the transition of a steep unit, and few are far enough out for that of a
//! flat one; such units would hardly show.

use nalgebra::{DMatrix, DVector};
use rand::{Rng, RngExt};

use super::sample::Sample;
use super::tolerances::{ACTIVE_ARGUMENT, FIT_SCALES, KINK_REACH};
use crate::draws;
use crate::identify::failure::Halt;
use crate::identify::survey::landscape::Landscape;
use crate::network::{Activation, Symmetry};
use crate::oracle::Oracle;

/// The first layer of a network: its weights, d x m0, and its shifts.
pub type Layer<'n> = (&'n DMatrix<f64>, &'n DVector<f64>);

/// `count` fresh points and their values: N(0, s^2 I) with s through [`FIT_SCALES`], every second of them moved
/// along a_i, i by turns, into the transition of that unit of `layer`, which is nearly that of the black box.
pub fn sample(
    f: &mut dyn Oracle,
    land: &Landscape,
    layer: Layer<'_>,
    count: usize,
    seed: u64,
    stage: &str,
) -> Result<Sample, Halt> {
    let points = points(layer, land.scale, count, &mut draws::stream(seed, stage, 0));
    let values = f.values(&points)?;
    Ok(Sample { points, values })
}

/// The landscape of points that show all of a layer with this activation: a unit with a kink shows on one side of it alone, and
/// to random points only where some of them are as far out.
pub fn around(land: &Landscape, (weights, shifts): Layer<'_>, phi: Activation) -> Landscape {
    let distances = weights.column_iter().zip(shifts).map(|(a, shift)| shift.abs() / a.norm());
    let farthest = match phi.symmetry() {
        Symmetry::Scale => distances.filter(|distance| distance.is_finite()).fold(0.0, f64::max),
        Symmetry::Sign | Symmetry::None => 0.0,
    };
    Landscape { scale: land.scale.max(KINK_REACH * farthest), ..land.clone() }
}

/// Such points.
pub fn points(
    (weights, shifts): Layer<'_>,
    scale: f64,
    count: usize,
    rng: &mut impl Rng,
) -> DMatrix<f64> {
    let (d, m0) = weights.shape();
    let mut points = draws::gaussian(rng, d, count);
    for (k, mut x) in points.column_iter_mut().enumerate() {
        // The scale changes after every pair of points, so that both kinds have all scales.
        x *= scale * FIT_SCALES[k / 2 % FIT_SCALES.len()];
        if k % 2 == 0 {
            continue;
        }
        let i = k / 2 / FIT_SCALES.len() % m0;
        let a = weights.column(i);
        let z = a.dot(&x) - shifts[i];
        let change = (rng.random_range(-ACTIVE_ARGUMENT..ACTIVE_ARGUMENT) - z) / a.norm_squared();
        if change.is_finite() {
            x.axpy(change, &a, 1.0);
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Activation, Class, TwoLayer};

    #[test]
    fn every_unit_is_active_somewhere() {
        let mut network = TwoLayer::random((5, 6, 2), Class::Paper, Activation::Tanh, 3).unwrap();
        network.a.column_mut(1).scale_mut(1e4);
        network.a.column_mut(4).scale_mut(1e-4);
        let points =
            points((&network.a, &network.theta), 1.0, 400, &mut draws::stream(1, "active", 0));
        for i in 0..6 {
            let z = points.tr_mul(&network.a.column(i)).add_scalar(-network.theta[i]);
            let active =
                z.iter().filter(|z| z.abs() <= ACTIVE_ARGUMENT + 1e-6 && z.abs() > 1e-2).count();
            assert!(active >= 30, "unit {i}: {active}");
        }
    }
}
