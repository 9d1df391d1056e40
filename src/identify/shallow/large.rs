//! One hidden layer with many parameters: all of them, and those of all outputs, at once by least squares that need no
//! matrix.
//!
//! A Gauss-Newton step of conjugate gradients costs as many operations as there are parameters times points, each time that
//! it goes on; and a point of K outputs counts K times. Errors of the parameters are what the same equations make of random
//! errors of the values.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::tolerances::{
    CONJUGATE_DRAWS, CONJUGATE_DRAWS_GAIN, CONJUGATE_GAIN, CONJUGATE_ROUNDS, CONJUGATE_STEPS,
    LARGE_OVERSAMPLING, LARGE_SPARE, LARGE_UNIT_POINTS,
};
use crate::algebra::linalg::{dual, product, rms, tr_product};
use crate::draws;
use crate::identify::evidence::FitEnded;
use crate::identify::failure::Halt;
use crate::identify::survey::landscape::Landscape;
use crate::identify::verdict::certify::Support;
use crate::identify::verdict::tolerances::{
    BOUND_EXCEEDED, CURVED_SAFETY, DRAWN_DEVIATION, PARAMETER_ROUNDING, VISIBLE_CHANGE,
};
use crate::identify::verdict::uncertainty::{Uncertainty, relative};
use crate::network::{Activation, OneLayer};
use crate::oracle::Deadline;

/// Points for a fit of so many units with d inputs and K outputs.
pub fn points_for((d, m): (usize, usize), outputs: usize) -> usize {
    let parameters = m * (d + 1) + (m + 1) * outputs;
    let (over, under) = LARGE_OVERSAMPLING;
    (over * parameters).div_ceil(under * outputs).max(LARGE_UNIT_POINTS * (m + 1)) + LARGE_SPARE
}

/// One hidden layer of several outputs, as the mixture has them.
#[derive(Clone)]
pub struct Layered {
    /// d x m.
    pub a: DMatrix<f64>,
    pub theta: DVector<f64>,
    /// m x K.
    pub c: DMatrix<f64>,
    pub c0: DVector<f64>,
    pub phi: Activation,
}

/// Points and answers, a row a point.
pub struct Answered {
    /// N x d.
    pub points: DMatrix<f64>,
    /// N x K, as the mixture has them.
    pub answers: DMatrix<f64>,
}

/// A change of all parameters.
type Step = Layered;

impl Layered {
    /// The hidden layer of `network` with the output weights that the answers tell.
    pub fn with_outputs(network: &OneLayer, data: &Answered) -> Option<Layered> {
        let OneLayer { a, theta, phi, .. } = network.clone();
        let m = theta.len();
        let bare = Layered { a, theta, c: DMatrix::zeros(m, 0), c0: DVector::zeros(0), phi };
        let mut hidden = bare.arguments(&data.points);
        phi.apply(hidden.as_mut_slice());
        let (dual, _) = dual(&hidden.insert_column(m, 1.0))?;
        let weights = tr_product(&dual, &data.answers);
        Some(Layered {
            c: weights.rows(0, m).into_owned(),
            c0: weights.row(m).transpose(),
            ..bare
        })
    }

    /// The mixture of the outputs.
    pub fn mixed(&self) -> OneLayer {
        let Layered { a, theta, c, c0, phi } = self;
        OneLayer {
            a: a.clone(),
            theta: theta.clone(),
            c: c.column_sum(),
            c0: c0.sum(),
            phi: *phi,
        }
        .normalised(1.0)
    }

    /// Arguments of the units at points (N x d), N x m.
    fn arguments(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let mut z = product(points, &self.a);
        z.row_iter_mut().for_each(|mut row| row -= self.theta.transpose());
        z
    }

    fn answers(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let mut y = self.arguments(points);
        self.phi.apply(y.as_mut_slice());
        let mut outputs = product(&y, &self.c);
        outputs.row_iter_mut().for_each(|mut row| row += self.c0.transpose());
        outputs
    }

    fn parameter_count(&self) -> usize {
        self.a.len() + self.theta.len() + self.c.len() + self.c0.len()
    }

    /// self + factor step.
    fn moved(&self, step: &Step, factor: f64) -> Layered {
        Layered {
            a: &self.a + &step.a * factor,
            theta: &self.theta + &step.theta * factor,
            c: &self.c + &step.c * factor,
            c0: &self.c0 + &step.c0 * factor,
            phi: self.phi,
        }
    }

    fn map(&self, other: &Step, of: impl Fn(f64, f64) -> f64) -> Step {
        Layered {
            a: self.a.zip_map(&other.a, &of),
            theta: self.theta.zip_map(&other.theta, &of),
            c: self.c.zip_map(&other.c, &of),
            c0: self.c0.zip_map(&other.c0, &of),
            phi: self.phi,
        }
    }

    fn norm_squared(&self) -> f64 {
        self.a.norm_squared()
            + self.theta.norm_squared()
            + self.c.norm_squared()
            + self.c0.norm_squared()
    }
}

/// The derivatives of all outputs with respect to all parameters at the points of a fit.
struct Jacobian<'a> {
    points: &'a DMatrix<f64>,
    /// phi and phi' of the units, N x m.
    values: DMatrix<f64>,
    slopes: DMatrix<f64>,
    /// m x K and K x m.
    c: &'a DMatrix<f64>,
    ct: DMatrix<f64>,
    /// One over the length of each column.
    scale: Step,
}

impl<'a> Jacobian<'a> {
    fn of(network: &'a Layered, points: &'a DMatrix<f64>) -> Self {
        let phi = network.phi;
        let z = network.arguments(points);
        let (values, slopes) = (z.map(|z| phi.value(z)), z.map(|z| phi.slope(z)));
        let squares = slopes.map(|slope| slope * slope);
        let heard: Vec<f64> = network.c.row_iter().map(|row| row.norm_squared()).collect();
        let mut a = tr_product(&points.map(|x| x * x), &squares);
        a.column_iter_mut().zip(&heard).for_each(|(mut column, heard)| column *= *heard);
        let sums = squares.row_sum();
        let theta = DVector::from_fn(heard.len(), |i, _| heard[i] * sums[i]);
        let outputs = network.c.ncols();
        let of_values = values.map(|y| y * y).row_sum();
        let squares = Layered {
            a,
            theta,
            c: DMatrix::from_fn(heard.len(), outputs, |i, _| of_values[i]),
            c0: DVector::repeat(outputs, points.nrows() as f64),
            phi,
        };
        let scale =
            squares.map(&squares, |square, _| if square > 0.0 { square.sqrt().recip() } else { 0.0 });
        let ct = network.c.transpose();
        Jacobian { points, values, slopes, c: &network.c, ct, scale }
    }

    /// The change of all answers, N x K, by a step in scaled parameters.
    fn times(&self, step: &Step) -> DMatrix<f64> {
        let step = step.map(&self.scale, |s, scale| s * scale);
        let mut inner = product(self.points, &step.a);
        inner.row_iter_mut().for_each(|mut row| row -= step.theta.transpose());
        inner.component_mul_assign(&self.slopes);
        let mut change = product(&inner, self.c) + product(&self.values, &step.c);
        change.row_iter_mut().for_each(|mut row| row += step.c0.transpose());
        change
    }

    /// Its transpose.
    fn transposed_times(&self, answers: &DMatrix<f64>) -> Step {
        let inner = product(answers, &self.ct).component_mul(&self.slopes);
        let step = Layered {
            a: tr_product(self.points, &inner),
            theta: -inner.row_sum().transpose(),
            c: tr_product(&self.values, answers),
            c0: answers.row_sum().transpose(),
            phi: self.scale.phi,
        };
        step.map(&self.scale, |s, scale| s * scale)
    }

    /// The step that makes these answers, by least squares: conjugate gradients until the gradient is this share of the
    /// first.
    fn solve(
        &self,
        answers: &DMatrix<f64>,
        gain: f64,
        deadline: Option<Deadline>,
    ) -> Result<Step, Halt> {
        let mut rest = answers.clone();
        let mut gradient = self.transposed_times(&rest);
        let mut direction = gradient.clone();
        let mut step = gradient.map(&gradient, |_, _| 0.0);
        let first = gradient.norm_squared();
        let mut square = first;
        for _ in 0..CONJUGATE_STEPS {
            if let Some(deadline) = deadline.filter(Deadline::passed) {
                return Err(deadline.error().into());
            }
            if square <= gain * gain * first || square == 0.0 {
                break;
            }
            let change = self.times(&direction);
            let along = square / change.norm_squared();
            step = step.moved(&direction, along);
            rest -= change * along;
            gradient = self.transposed_times(&rest);
            let next = gradient.norm_squared();
            direction = gradient.moved(&direction, next / square);
            square = next;
        }
        Ok(step.map(&self.scale, |s, scale| s * scale))
    }
}

/// All parameters by Gauss-Newton steps from `start`, and the last step, which gained nothing.
pub fn fitted(
    start: Layered,
    data: &Answered,
    deadline: Option<Deadline>,
) -> Result<(Layered, Layered, FitEnded), Halt> {
    let size = (data.answers.len() as f64).sqrt();
    let rest = |network: &Layered| &data.answers - network.answers(&data.points);
    let (mut network, mut left) = (start.clone(), rest(&start));
    let from = left.norm() / size;
    let mut steps = 0;
    loop {
        let step =
            Jacobian::of(&network, &data.points).solve(&left, CONJUGATE_GAIN, deadline)?;
        let next = network.moved(&step, 1.0);
        let still = rest(&next);
        let gained = still.norm() < left.norm();
        steps += 1;
        let last = steps == CONJUGATE_ROUNDS || still.norm() > 0.5 * left.norm();
        if gained {
            (network, left) = (next, still);
        }
        if last {
            let to = left.norm() / size;
            let ended = FitEnded { steps, from, to, points: data.points.nrows() };
            return Ok((network, step, ended));
        }
    }
}

/// What the values that `network` was fitted to say of the mixture of its outputs; `unfinished` is the step that the fit would
/// still take.
pub fn support(
    (network, unfinished): (&Layered, &Layered),
    data: &Answered,
    land: &Landscape,
    (seed, deadline): (u64, Option<Deadline>),
) -> Result<Support<OneLayer>, Halt> {
    let left = &data.answers - network.answers(&data.points);
    let freedom = data.answers.len().saturating_sub(network.parameter_count()).max(1) as f64;
    let lost = (data.answers.len() as f64 / freedom).sqrt();
    let mixed = |answers: &DMatrix<f64>| answers.column_sum();
    let noise = data.points.row_iter().map(|x| land.noise_at(x.norm()).powi(2));
    let expected = (noise.sum::<f64>() / data.points.nrows() as f64).sqrt();
    // Of each output by itself: their errors may differ.
    let outputs = left.ncols();
    let sizes = DVector::from_fn(outputs, |k, _| {
        let by_rest = rms(&left.column(k).into_owned()) * lost;
        by_rest.max(land.noise_near / (outputs as f64).sqrt())
    });
    let jacobian = Jacobian::of(network, &data.points);
    let draw = |k: u64| -> Result<(Layered, f64), Halt> {
        let rng = &mut draws::stream(seed, "conjugate", k);
        let mut errors = draws::gaussian(rng, data.points.nrows(), outputs);
        errors.column_iter_mut().zip(&sizes).for_each(|(mut e, size)| e *= *size);
        let step = jacobian.solve(&errors, CONJUGATE_DRAWS_GAIN, deadline)?;
        let unscaled = step.map(&jacobian.scale, |s, scale| if scale > 0.0 { s / scale } else { 0.0 });
        let straight = jacobian.times(&unscaled);
        let fitted = network.answers(&data.points);
        let longer = (VISIBLE_CHANGE * fitted.norm() / straight.norm()).max(1.0);
        let there = network.moved(&step, longer).answers(&data.points);
        let excess = ((there - &fitted) / longer - &straight) / longer;
        Ok((step, excess.norm() / straight.norm()))
    };
    let drawn: Vec<(Layered, f64)> =
        (0..CONJUGATE_DRAWS).into_par_iter().map(draw).collect::<Result<_, Halt>>()?;
    let curvature = drawn.iter().map(|(_, curvature)| *curvature).fold(0.0, f64::max);
    let plausible: Vec<OneLayer> =
        drawn.iter().map(|(step, _)| network.moved(step, 1.0).mixed()).collect();
    let best = network.mixed();
    let (standard, bound) = bounds(&best, &plausible, (&network.moved(unfinished, 1.0).mixed(), curvature));
    let sigma = rms(&mixed(&left)) * lost;
    Ok(Support {
        count: data.points.nrows(),
        sigma,
        expected,
        largest: mixed(&data.answers).amax(),
        farthest: data.points.row_iter().map(|x| x.norm()).fold(0.0, f64::max),
        uncertainty: Some(Uncertainty {
            cramer_rao: standard,
            bound,
            // |row_j(J^+) e| <= |row_j(J^+)| |e|.
            dependent: standard * DRAWN_DEVIATION * (data.answers.len() as f64).sqrt(),
            condition: f64::NAN,
            curvature,
            plausible,
        }),
    })
}

/// The largest standard error of a parameter of the network, and the bound on all of them at once, by networks drawn from what is
/// open in it, and by what the fit would still change.
fn bounds(
    network: &OneLayer,
    plausible: &[OneLayer],
    (further, curvature): (&OneLayer, f64),
) -> (f64, f64) {
    let count = network.a.len() + 2 * network.theta.len() + 1;
    let quantile = (2.0 * (count as f64 / BOUND_EXCEEDED).ln()).sqrt();
    let tensors = |network: &OneLayer| {
        [
            network.a.as_slice().to_vec(),
            network.theta.as_slice().to_vec(),
            network.c.as_slice().to_vec(),
            vec![network.c0],
        ]
    };
    let (own, further) = (tensors(network), tensors(further));
    let drawn: Vec<_> = plausible.iter().map(tensors).collect();
    let (mut standard, mut bound) = (0.0f64, 0.0f64);
    for (t, values) in own.iter().enumerate() {
        let deviation = |j: usize| {
            let squares = drawn.iter().map(|drawn| (drawn[t][j] - values[j]).powi(2));
            (squares.sum::<f64>() / drawn.len() as f64).sqrt()
        };
        let deviations: Vec<f64> = (0..values.len()).map(deviation).collect();
        let error = |j: usize| {
            quantile * DRAWN_DEVIATION * deviations[j] * (1.0 + CURVED_SAFETY * curvature)
                + (further[t][j] - values[j]).abs()
                + PARAMETER_ROUNDING * f64::EPSILON * values[j].abs()
        };
        let errors: Vec<f64> = (0..values.len()).map(error).collect();
        standard = standard.max(relative(values, &deviations));
        bound = bound.max(relative(values, &errors));
    }
    (standard, bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Class, Network};

    fn layered(phi: Activation) -> Layered {
        let drawn = Network::random(&[6, 9], 4, Class::General, phi, 3).unwrap();
        let layer = &drawn.layers[0];
        let (a, theta) = (layer.weights.clone(), layer.shifts.clone());
        Layered { a, theta, c: drawn.c.clone(), c0: drawn.c0.clone(), phi }
    }

    fn answered(network: &Layered, noise: f64) -> Answered {
        let rng = &mut draws::stream(1, "test", 0);
        let points = draws::gaussian(rng, 200, 6) * 1.5;
        let answers = network.answers(&points) + draws::gaussian(rng, 200, 4) * noise;
        Answered { points, answers }
    }

    #[test]
    fn the_jacobian_is_that_of_the_answers_and_its_transpose_is_one() {
        let network = layered(Activation::Silu);
        let data = answered(&network, 0.0);
        let jacobian = Jacobian::of(&network, &data.points);
        let rng = &mut draws::stream(2, "test", 0);
        let noise = draws::gaussian(rng, 200, 4);
        let step = jacobian.transposed_times(&noise);
        let moved = step.map(&jacobian.scale, |s, scale| s * scale);
        let h = 1e-5;
        let ahead = network.moved(&moved, h).answers(&data.points);
        let behind = network.moved(&moved, -h).answers(&data.points);
        let change = jacobian.times(&step);
        let off = ((ahead - behind) / (2.0 * h) - &change).amax();
        assert!(off < 1e-6 * change.amax(), "{off:e}");
        assert!((change.dot(&noise) / step.norm_squared() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn parameters_are_found_and_off_by_what_is_said() {
        for phi in [Activation::Gelu, Activation::Relu] {
            let truth = layered(phi);
            let mut start = truth.clone();
            start.a.column_mut(2).scale_mut(1.0 + 1e-5);
            start.theta[1] += 1e-5;
            let data = answered(&truth, 1e-9);
            let (found, unfinished, ended) = fitted(start, &data, None).unwrap();
            assert!(ended.to < 1.2e-9 && ended.steps > 1, "{phi}: {ended:?}");
            let land = Landscape {
                scale: 1.0,
                spread: 1.0,
                noise_near: 1e-9,
                noise_growth: 0.0,
                grows: true,
            };
            let support = support((&found, &unfinished), &data, &land, (1, None)).unwrap();
            let error = truth.mixed().matching(&found.mixed()).parameter_error.unwrap();
            let Uncertainty { cramer_rao, bound, .. } = support.uncertainty.unwrap();
            assert!(error < bound && bound < 100.0 * error, "{phi}: {error:e} {bound:e}");
            assert!(cramer_rao < bound && error > 0.3 * cramer_rao, "{error:e} {cramer_rao:e}");
        }
    }
}
