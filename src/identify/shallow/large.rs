//! One hidden layer with many parameters: all of them, and those of all outputs, at once by least squares that need no
//! matrix.
//!
//! A Gauss-Newton step of conjugate gradients costs as many operations as there are parameters times points, each time that
//! it goes on; and a point of K outputs counts K times. Errors of the parameters are what the same equations make of random
//! errors of the values.

use nalgebra::DMatrix;
use rayon::prelude::*;

use super::tolerances::{
    CONJUGATE_DRAWS, CONJUGATE_DRAWS_GAIN, CONJUGATE_GAIN, CONJUGATE_IDLE, CONJUGATE_LAST_GAIN,
    CONJUGATE_ROUNDING, CONJUGATE_ROUNDS, CONJUGATE_STEPS, LARGE_OVERSAMPLING, LARGE_SPARE,
    LARGE_UNIT_POINTS,
};
use crate::algebra::linalg::{Alone, InverseFactor, dual, product, rms, tr_product};
use crate::draws;
use crate::identify::evidence::FitEnded;
use crate::identify::failure::{Failure, Halt};
use crate::identify::survey::landscape::Landscape;
use crate::identify::verdict::certify::Support;
use crate::identify::verdict::tolerances::{
    BOUND_EXCEEDED, CURVED_SAFETY, DRAWN_DEVIATION, MOST_CURVATURE, PARAMETER_ROUNDING,
    VISIBLE_CHANGE,
};
use crate::identify::verdict::uncertainty::{TensorErrors, Uncertainty, relative};
use crate::network::{Activation, OneLayer};
use crate::oracle::Clock;
use crate::stage::Stage;

/// Points for a fit of so many units with d inputs and K outputs.
pub fn points_for((d, m): (usize, usize), outputs: usize) -> usize {
    let parameters = m * (d + 1) + (m + 1) * outputs;
    let (over, under) = LARGE_OVERSAMPLING;
    (over * parameters).div_ceil(under * outputs).max(LARGE_UNIT_POINTS * (m + 1)) + LARGE_SPARE
}

/// One hidden layer of several outputs, as the mixture has them, or a change of it.
#[derive(Clone)]
pub struct Layered {
    /// Weights and, in the last row, shifts: (d + 1) x m.
    incoming: DMatrix<f64>,
    /// Output weights and, in the last row, offsets: (m + 1) x K.
    outgoing: DMatrix<f64>,
    phi: Activation,
}

/// Points and answers, a row a point.
pub struct Answered {
    /// N x (d + 1): the inputs, and -1, which shifts are multiplied with.
    points: DMatrix<f64>,
    /// N x K, as the mixture has them.
    answers: DMatrix<f64>,
}

impl Answered {
    /// Of points (d x N) and answers (K x N).
    pub fn new(points: &DMatrix<f64>, answers: &DMatrix<f64>) -> Self {
        let points = points.transpose();
        let d = points.ncols();
        Answered { points: points.insert_column(d, -1.0), answers: answers.transpose() }
    }

    fn norms(&self) -> impl ExactSizeIterator<Item = f64> {
        self.points.row_iter().map(|x| (x.norm_squared() - 1.0).max(0.0).sqrt())
    }
}

impl Layered {
    /// The hidden layer of `network` with the output weights that the answers tell.
    pub fn with_outputs(network: &OneLayer, data: &Answered) -> Option<Layered> {
        let (d, m) = network.dims();
        let mut incoming = network.a.clone().insert_row(d, 0.0);
        incoming.set_row(d, &network.theta.transpose());
        let bare = Layered { incoming, outgoing: DMatrix::zeros(m + 1, 0), phi: network.phi };
        let (dual, _) = dual(&bare.hidden(&data.points))?;
        Some(Layered { outgoing: tr_product(&dual, &data.answers), ..bare })
    }

    /// The mixture of the outputs.
    pub fn mixed(&self) -> OneLayer {
        let Layered { incoming, outgoing, phi } = self;
        let (d, m) = (incoming.nrows() - 1, incoming.ncols());
        let mixed = outgoing.column_sum();
        OneLayer {
            a: incoming.rows(0, d).into_owned(),
            theta: incoming.row(d).transpose(),
            c: mixed.rows(0, m).into_owned(),
            c0: mixed[m],
            phi: *phi,
        }
        .normalised(1.0)
    }

    /// What the units put out at points (N x (d + 1)), and 1: N x (m + 1).
    fn hidden(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let mut y = product(points, &self.incoming);
        self.phi.values(y.as_mut_slice());
        let m = y.ncols();
        y.insert_column(m, 1.0)
    }

    fn answers(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        product(&self.hidden(points), &self.outgoing)
    }

    fn parameter_count(&self) -> usize {
        self.incoming.len() + self.outgoing.len()
    }

    /// self + factor step.
    fn moved(&self, step: &Layered, factor: f64) -> Layered {
        Layered {
            incoming: &self.incoming + &step.incoming * factor,
            outgoing: &self.outgoing + &step.outgoing * factor,
            phi: self.phi,
        }
    }
}

/// The derivatives of all outputs with respect to all parameters at the points of a fit, in coordinates in which those of a unit,
/// and those of an output, are orthogonal to each other. Those with respect to the output weights are the same for all outputs,
/// so that these weights are what is left once the units are known.
struct Jacobian<'a> {
    points: &'a DMatrix<f64>,
    /// phi' of the units, N x m.
    slopes: DMatrix<f64>,
    /// What the units put out, and 1, in those coordinates: orthonormal columns, N x (m + 1).
    hidden: DMatrix<f64>,
    /// Output weights, m x K, and K x m.
    c: DMatrix<f64>,
    ct: DMatrix<f64>,
    phi: Activation,
    /// From such coordinates to the parameters: of each unit, and of each output.
    of_units: Vec<DMatrix<f64>>,
    of_outputs: DMatrix<f64>,
}

impl<'a> Jacobian<'a> {
    /// `None` if a unit shows nowhere.
    fn of(network: &'a Layered, points: &'a DMatrix<f64>) -> Option<Self> {
        let phi = network.phi;
        let m = network.incoming.ncols();
        let mut slopes = product(points, &network.incoming);
        phi.slopes(slopes.as_mut_slice());
        let hidden = network.hidden(points);
        let c = network.outgoing.rows(0, m).into_owned();
        let triangle = |rows: &DMatrix<f64>| {
            let mut gram = tr_product(rows, rows);
            let least = CONJUGATE_ROUNDING * gram.trace();
            (0..gram.nrows()).for_each(|k| gram[(k, k)] += least);
            Some(InverseFactor::of_gram(gram, &Alone)?.triangle().clone())
        };
        let of_unit = |i: usize| {
            let mut rows = points.clone();
            for (mut row, slope) in rows.row_iter_mut().zip(slopes.column(i).iter()) {
                row *= *slope;
            }
            let heard = c.row(i).norm();
            Some(triangle(&rows)? / heard)
        };
        let of_units: Option<Vec<DMatrix<f64>>> = (0..m).into_par_iter().map(of_unit).collect();
        let of_outputs = triangle(&hidden)?;
        let hidden = product(&hidden, &of_outputs);
        let ct = c.transpose();
        Some(Jacobian { points, slopes, hidden, c, ct, phi, of_units: of_units?, of_outputs })
    }

    /// The parameters with these coordinates.
    fn parameters(&self, step: &Layered) -> Layered {
        let mut incoming = step.incoming.clone();
        for (i, of_unit) in self.of_units.iter().enumerate() {
            incoming.set_column(i, &(of_unit * step.incoming.column(i)));
        }
        Layered { incoming, outgoing: product(&self.of_outputs, &step.outgoing), phi: self.phi }
    }

    /// The change of all answers, N x K, by a step in coordinates.
    fn times(&self, step: &Layered) -> DMatrix<f64> {
        self.by_units(&step.incoming) + product(&self.hidden, &step.outgoing)
    }

    /// The same by a step of the units alone.
    fn by_units(&self, incoming: &DMatrix<f64>) -> DMatrix<f64> {
        let mut parameters = incoming.clone();
        for (i, of_unit) in self.of_units.iter().enumerate() {
            parameters.set_column(i, &(of_unit * incoming.column(i)));
        }
        let inner = product(self.points, &parameters).component_mul(&self.slopes);
        product(&inner, &self.c)
    }

    /// Its transpose.
    fn to_units(&self, answers: &DMatrix<f64>) -> DMatrix<f64> {
        let inner = product(answers, &self.ct).component_mul(&self.slopes);
        let mut incoming = tr_product(self.points, &inner);
        for (i, of_unit) in self.of_units.iter().enumerate() {
            let column = of_unit.tr_mul(&incoming.column(i));
            incoming.set_column(i, &column);
        }
        incoming
    }

    /// What is left of answers once the output weights took what they can, and what they took.
    fn without_outputs(&self, answers: DMatrix<f64>) -> (DMatrix<f64>, DMatrix<f64>) {
        let taken = tr_product(&self.hidden, &answers);
        (answers - product(&self.hidden, &taken), taken)
    }

    /// The step, in coordinates, that makes these answers, by least squares: conjugate gradients until the gradient is this
    /// share of the first.
    fn solve(&self, answers: &DMatrix<f64>, gain: f64, clock: &Clock) -> Result<Layered, Halt> {
        let (mut rest, _) = self.without_outputs(answers.clone());
        let mut gradient = self.to_units(&rest);
        let mut direction = gradient.clone();
        let mut incoming = DMatrix::zeros(gradient.nrows(), gradient.ncols());
        let first = gradient.norm_squared();
        let mut square = first;
        for _ in 0..CONJUGATE_STEPS {
            clock.check()?;
            if square <= gain * gain * first || square == 0.0 {
                break;
            }
            let (change, _) = self.without_outputs(self.by_units(&direction));
            let along = square / change.norm_squared();
            incoming += &direction * along;
            rest -= change * along;
            gradient = self.to_units(&rest);
            let next = gradient.norm_squared();
            direction = &gradient + direction * (next / square);
            square = next;
        }
        let (_, outgoing) = self.without_outputs(answers - self.by_units(&incoming));
        Ok(Layered { incoming, outgoing, phi: self.phi })
    }
}

/// All parameters by Gauss-Newton steps from `start`, and the last step, which gained little.
pub fn fitted(
    start: Layered,
    data: &Answered,
    clock: &Clock,
) -> Result<(Layered, Layered, FitEnded), Halt> {
    let size = (data.answers.len() as f64).sqrt();
    let rest = |network: &Layered| &data.answers - network.answers(&data.points);
    let (mut network, mut left) = (start.clone(), rest(&start));
    let from = left.norm() / size;
    let mut steps = 0;
    loop {
        let jacobian = Jacobian::of(&network, &data.points).ok_or_else(unseen)?;
        // The first step is to come near, the others to get there.
        let gain = if steps == 0 { CONJUGATE_GAIN } else { CONJUGATE_LAST_GAIN };
        let step = jacobian.parameters(&jacobian.solve(&left, gain, clock)?);
        let next = network.moved(&step, 1.0);
        let still = rest(&next);
        let share = still.norm() / left.norm();
        steps += 1;
        if share < 1.0 {
            (network, left) = (next, still);
        }
        if steps == CONJUGATE_ROUNDS || share.is_nan() || share > CONJUGATE_IDLE {
            let to = left.norm() / size;
            let ended = FitEnded { steps, from, to, points: data.points.nrows() };
            return Ok((network, step, ended));
        }
    }
}

fn unseen() -> Failure {
    Failure::new(Stage::Refine, "a unit shows at none of the points of the fit")
}

/// What the values that `network` was fitted to say of the mixture of its outputs; `unfinished` is the step that the fit would
/// still take.
pub fn support(
    (network, unfinished): (&Layered, &Layered),
    data: &Answered,
    land: &Landscape,
    (seed, clock): (u64, &Clock),
) -> Result<Support<OneLayer>, Halt> {
    let fitted = network.answers(&data.points);
    let left = &data.answers - &fitted;
    let freedom = data.answers.len().saturating_sub(network.parameter_count()).max(1) as f64;
    let lost = (data.answers.len() as f64 / freedom).sqrt();
    let expected = land.noise_over(data.norms());
    // Of each output by itself: their errors may differ.
    let outputs = left.ncols();
    let least = land.noise_near / (outputs as f64).sqrt();
    let sizes: Vec<f64> =
        left.column_iter().map(|rest| (rms(&rest.into_owned()) * lost).max(least)).collect();
    let jacobian = Jacobian::of(network, &data.points).ok_or_else(unseen)?;
    let draw = |k: u64| -> Result<(Layered, f64), Halt> {
        let rng = &mut draws::stream(seed, "conjugate", k);
        let mut errors = draws::gaussian(rng, data.points.nrows(), outputs);
        errors.column_iter_mut().zip(&sizes).for_each(|(mut e, size)| e *= *size);
        let step = jacobian.solve(&errors, CONJUGATE_DRAWS_GAIN, clock)?;
        let straight = jacobian.times(&step);
        let step = jacobian.parameters(&step);
        // As for fewer parameters: of a small step the second order is taken from a longer one.
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
    let further = network.moved(unfinished, 1.0).mixed();
    let errors = bounds(&network.mixed(), &plausible, (&further, curvature));
    let standard = errors.iter().map(|(_, standard, _)| *standard).fold(0.0, f64::max);
    let by_tensor: Vec<TensorErrors> = errors
        .into_iter()
        .map(|(tensor, standard, bound)| TensorErrors {
            tensor,
            bound: if curvature <= MOST_CURVATURE { bound } else { f64::INFINITY },
            // |row_j(J^+) e| <= |row_j(J^+)| |e|.
            dependent: standard * DRAWN_DEVIATION * (data.answers.len() as f64).sqrt(),
        })
        .collect();
    let bound = by_tensor.iter().map(|errors| errors.bound).fold(0.0, f64::max);
    let dependent = by_tensor.iter().map(|errors| errors.dependent).fold(0.0, f64::max);
    Ok(Support {
        count: data.points.nrows(),
        sigma: rms(&left.column_sum()) * lost,
        expected,
        largest: data.answers.column_sum().amax(),
        farthest: data.norms().fold(0.0, f64::max),
        places: None,
        uncertainty: Some(Uncertainty {
            cramer_rao: standard,
            bound,
            dependent,
            by_tensor,
            condition: f64::NAN,
            curvature,
            plausible,
        }),
    })
}

/// Of each tensor of the network the largest standard error of a parameter, and the bound on all of them at once, by networks
/// drawn from what is open in it, and by what the fit would still change.
fn bounds(
    network: &OneLayer,
    plausible: &[OneLayer],
    (further, curvature): (&OneLayer, f64),
) -> Vec<(&'static str, f64, f64)> {
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
    let of_tensor = |(t, (name, values)): (usize, (&'static str, &Vec<f64>))| {
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
        (name, relative(values, &deviations), relative(values, &errors))
    };
    ["A", "theta", "c", "c0"].into_iter().zip(&own).enumerate().map(of_tensor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Class, Network};

    fn layered(phi: Activation) -> Layered {
        let drawn = Network::random(&[6, 9], 4, Class::General, phi, 3).unwrap();
        let layer = &drawn.layers[0];
        let mut incoming = layer.weights.clone().insert_row(6, 0.0);
        incoming.set_row(6, &layer.shifts.transpose());
        let mut outgoing = drawn.c.clone().insert_row(9, 0.0);
        outgoing.set_row(9, &drawn.c0.transpose());
        Layered { incoming, outgoing, phi }
    }

    fn answered(network: &Layered, noise: f64) -> Answered {
        let rng = &mut draws::stream(1, "test", 0);
        let points = draws::gaussian(rng, 6, 200) * 1.5;
        let mut data = Answered::new(&points, &DMatrix::zeros(4, 200));
        data.answers = network.answers(&data.points) + draws::gaussian(rng, 200, 4) * noise;
        data
    }

    #[test]
    fn the_jacobian_is_that_of_the_answers_and_its_transpose_is_one() {
        let network = layered(Activation::Silu);
        let data = answered(&network, 0.0);
        let jacobian = Jacobian::of(&network, &data.points).unwrap();
        let noise = draws::gaussian(&mut draws::stream(2, "test", 0), 200, 4);
        let outgoing = tr_product(&jacobian.hidden, &noise);
        let step = Layered { incoming: jacobian.to_units(&noise), outgoing, phi: network.phi };
        let moved = jacobian.parameters(&step);
        let h = 1e-5;
        let ahead = network.moved(&moved, h).answers(&data.points);
        let behind = network.moved(&moved, -h).answers(&data.points);
        let change = jacobian.times(&step);
        let off = ((ahead - behind) / (2.0 * h) - &change).amax();
        assert!(off < 1e-6 * change.amax(), "{off:e}");
        let square = step.incoming.norm_squared() + step.outgoing.norm_squared();
        assert!((change.dot(&noise) / square - 1.0).abs() < 1e-12);
    }

    #[test]
    fn parameters_are_found_and_off_by_what_is_said() {
        for phi in [Activation::Gelu, Activation::Relu] {
            let truth = layered(phi);
            let mut start = truth.clone();
            start.incoming.column_mut(2).scale_mut(1.0 + 1e-5);
            start.incoming[(6, 1)] += 1e-5;
            let data = answered(&truth, 1e-9);
            let (found, unfinished, ended) = fitted(start, &data, &Clock::new(None)).unwrap();
            assert!(ended.to < 1.2e-9 && ended.steps > 1, "{phi}: {ended:?}");
            let land = Landscape {
                scale: 1.0,
                spread: 1.0,
                noise_near: 1e-9,
                noise_growth: 0.0,
                grows: true,
            };
            let support =
                support((&found, &unfinished), &data, &land, (1, &Clock::new(None))).unwrap();
            let error = truth.mixed().matching(&found.mixed()).parameter_error.unwrap();
            let Uncertainty { cramer_rao, bound, .. } = support.uncertainty.unwrap();
            assert!(error < bound && bound < 100.0 * error, "{phi}: {error:e} {bound:e}");
            assert!(cramer_rao < bound && error > 0.3 * cramer_rao, "{error:e} {cramer_rao:e}");
        }
    }
}
