//! What people use instead: training a student from a random start, by Adam or by plain gradient descent on minibatches.
//!
//! It is kept as strong as it is in practice: mean squared error, Kaiming's spread of the start, a rate that falls to
//! nothing along half a cosine. A student of more units than the teacher finds it more often (Safran and Shamir, ICML 2018); its
//! units are then [merged].

use nalgebra::{DMatrix, DVector};
use rand::RngExt;

use super::units::Units;
use crate::draws;
use crate::network::{Activation, Symmetry};

// Tuned, as Adam's authors have them.
/// Decay of the means of gradients and of their squares, and the least deviation.
const ADAM: (f64, f64, f64) = (0.9, 0.999, 1e-8);
// Tuned.
/// Units whose directions have this cosine are one.
const ALIKE: f64 = 0.95;
/// Units of this share of the largest output weight are none.
const SMALL: f64 = 0.03;

/// How the parameters follow the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimiser {
    /// Adam (Kingma and Ba, ICLR 2015).
    Adam,
    /// Plain stochastic gradient descent.
    Gradient,
}

/// A training run.
#[derive(Clone, Debug)]
pub struct Training {
    /// Units of the student.
    pub width: usize,
    /// How it learns.
    pub optimiser: Optimiser,
    /// First rate.
    pub rate: f64,
    /// Samples a step.
    pub batch: usize,
    /// Steps.
    pub steps: usize,
    /// Of the start and of the batches.
    pub seed: u64,
}

impl Training {
    /// What works well for samples of `d` inputs: the rates are the largest of 1, 3, 10, ... that do not diverge.
    pub fn usual(width: usize, optimiser: Optimiser, steps: usize, seed: u64) -> Training {
        let rate = match optimiser {
            Optimiser::Adam => 1e-2,
            Optimiser::Gradient => 3e-2,
        };
        Training { width, optimiser, rate, batch: 256, steps, seed }
    }
}

/// Trains a student on samples x (d x n), y (m x n).
pub fn train(x: &DMatrix<f64>, y: &DMatrix<f64>, phi: Activation, training: &Training) -> Units {
    let (d, m, k) = (x.nrows(), y.nrows(), training.width);
    let rng = &mut draws::stream(training.seed, "student", 0);
    let mut units = Units {
        w: draws::gaussian(rng, d, k) * (2.0 / d as f64).sqrt(),
        u: draws::gaussian(rng, m, k) * (1.0 / k as f64).sqrt(),
        phi,
    };
    let count = training.batch.min(x.ncols());
    let mut means = (DVector::zeros(k * (d + m)), DVector::zeros(k * (d + m)));
    let rng = &mut draws::stream(training.seed, "batches", 0);
    for step in 0..training.steps {
        let chosen: Vec<usize> = (0..count).map(|_| rng.random_range(0..x.ncols())).collect();
        let gradient = gradient(&units, &x.select_columns(&chosen), &y.select_columns(&chosen));
        let progress = step as f64 / training.steps as f64;
        let rate = training.rate * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * progress));
        let change = match training.optimiser {
            Optimiser::Gradient => gradient * rate,
            Optimiser::Adam => adam(&mut means, &gradient, step) * rate,
        };
        units.w -= DMatrix::from_column_slice(d, k, &change.as_slice()[..d * k]);
        units.u -= DMatrix::from_column_slice(m, k, &change.as_slice()[d * k..]);
    }
    units
}

/// Of the mean squared error of a batch, in W and then in U.
fn gradient(units: &Units, x: &DMatrix<f64>, y: &DMatrix<f64>) -> DVector<f64> {
    let z = units.w.tr_mul(x);
    let phi = z.map(|z| units.phi.value(z));
    let errors = (&units.u * &phi - y) * (2.0 / y.len() as f64);
    let of_u = &errors * phi.transpose();
    let inner = units.u.tr_mul(&errors).zip_map(&z, |e, z| e * units.phi.slope(z));
    let of_w = x * inner.transpose();
    DVector::from_iterator(of_w.len() + of_u.len(), of_w.iter().chain(of_u.iter()).copied())
}

fn adam(
    means: &mut (DVector<f64>, DVector<f64>),
    gradient: &DVector<f64>,
    step: usize,
) -> DVector<f64> {
    let (first, second, least) = ADAM;
    means.0 = &means.0 * first + gradient * (1.0 - first);
    means.1 = &means.1 * second + gradient.component_mul(gradient) * (1.0 - second);
    let power = i32::try_from(step + 1).unwrap_or(i32::MAX);
    let (a, b) = (1.0 - first.powi(power), 1.0 - second.powi(power));
    means.0.zip_map(&means.1, |g, s| g / a / ((s / b).sqrt() + least))
}

/// The student with units of one direction made one, and without those that hardly count. Of a homogeneous activation the output
/// weights are added, of others those of weights that are nearly equal, up to their sign where phi is odd.
#[must_use]
pub fn merged(units: &Units) -> Units {
    let units = units.clone().normalised();
    let scaled = units.phi.symmetry() == Symmetry::Scale;
    let mut order: Vec<usize> = (0..units.w.ncols()).collect();
    order.sort_by(|&i, &j| units.u.column(j).norm().total_cmp(&units.u.column(i).norm()));
    let mut groups: Vec<(DVector<f64>, DVector<f64>)> = Vec::new();
    for i in order {
        let (w, u) = (units.w.column(i), units.u.column(i));
        let alike = groups.iter_mut().find(|(v, _)| {
            let cosine = w.dot(v) / (w.norm() * v.norm()).max(f64::MIN_POSITIVE);
            cosine > ALIKE && (scaled || (v.norm() / w.norm() - 1.0).abs() < 1.0 - ALIKE)
        });
        match alike {
            Some((v, sum)) => {
                let (own, other) = (sum.norm(), u.norm());
                *v = (&*v * own + w * other) / (own + other).max(f64::MIN_POSITIVE);
                *sum += u;
            }
            None => groups.push((w.into_owned(), u.into_owned())),
        }
    }
    let most = groups.iter().map(|(_, u)| u.norm()).fold(0.0, f64::max);
    groups.retain(|(_, u)| u.norm() > SMALL * most);
    if groups.is_empty() {
        return units;
    }
    let (w, u): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
    Units { w: DMatrix::from_columns(&w), u: DMatrix::from_columns(&u), phi: units.phi }
        .normalised()
}
