//! De-parametrisation: from directions of both layers to a network.
//!
//! At one point the jet gives three numbers for every unit of either layer, its weights in the gradient,
//! the Hessian and the third derivatives:
//!
//! ```text
//! first layer   alpha phi' p,   alpha^2 phi'' p,   alpha^3 phi''' p      at z_i, a_i = alpha a_i / |a_i|
//! second layer  nu c h',        nu^2 c h'',        nu^3 c h'''           at u_l, v_l = nu v_l / |v_l|
//! ```
//!
//! Two ratios fix scale and argument, the first number the rest, and B = G^-1 A^-1 V. Where third derivatives
//! are not measured all alpha start at 1. Either way the scalars (2 m0 + 3 m1 + 1 of them) are then fitted
//! to values with the directions held, by gradient descent as in the paper or by Gauss-Newton.

use nalgebra::{DMatrix, DVector};

use super::outputs::Outputs;
use super::tolerances::{
    RATE_FALL, RATE_RISE, SCALAR_DAMPING_FALL, SCALAR_DAMPING_RISE, SCALAR_FIRST_DAMPING,
    SCALAR_GRADIENT_STEPS, SCALAR_LEAST_DAMPING, SCALAR_LEAST_GAIN, SCALAR_NEWTON_STEPS,
    SCALAR_TRIALS,
};
use crate::algebra::linalg::{dual, gram, median, rms};
use crate::identify::failure::Failure;
use crate::identify::fit::sample::Sample;
use crate::identify::settings::Descent;
use crate::network::{Activation, TwoLayer};
use crate::stage::Stage;

/// Steps at most.
fn steps(descent: Descent) -> usize {
    match descent {
        Descent::GaussNewton => SCALAR_NEWTON_STEPS,
        Descent::Gradient => SCALAR_GRADIENT_STEPS,
    }
}

/// Weights of the units of one layer in the derivatives of f at a point.
#[derive(Clone, Debug)]
pub struct Weights {
    /// In the gradient.
    pub first: DVector<f64>,
    /// In the Hessian.
    pub second: DVector<f64>,
    /// In the third derivatives, if they were measured.
    pub third: Option<DVector<f64>>,
}

/// Directions of both layers at a point, with their weights.
#[derive(Clone, Debug)]
pub struct Layers {
    /// The point, length d.
    pub point: DVector<f64>,
    /// f there.
    pub value: f64,
    /// Unit columns a_i / |a_i|, d x d.
    pub first: DMatrix<f64>,
    /// Their weights.
    pub first_weights: Weights,
    /// Unit columns v_l / |v_l|, d x m1.
    pub entangled: DMatrix<f64>,
    /// Their weights.
    pub entangled_weights: Weights,
}

/// Scale and argument of a unit from the ratios of its weights, second / first and third / first.
fn unit(phi: Activation, second: f64, third: Option<f64>) -> Option<(f64, f64)> {
    let square = match (third, phi) {
        (None, _) => 1.0,
        // tanh''/tanh' = -2t, tanh'''/tanh' = 6t^2 - 2 with t = tanh.
        (Some(third), Activation::Tanh) => 0.5 * (1.5 * second * second - third),
        // sigma''/sigma' = -w, sigma'''/sigma' = (3w^2 - 1)/2 with w = tanh(z/2).
        (Some(third), Activation::Sigmoid) => 3.0 * second * second - 2.0 * third,
        // erf''/erf' = -2z, erf'''/erf' = 4z^2 - 2.
        (Some(third), Activation::Erf) => 0.5 * (second * second - third),
        // The others are not looked for.
        (Some(_), _) => return None,
    };
    if !(square > 0.0 && square.is_finite()) {
        return None;
    }
    let scale = square.sqrt();
    let argument = match phi {
        Activation::Tanh => (-0.5 * second / scale).atanh(),
        Activation::Sigmoid => 2.0 * (-second / scale).atanh(),
        Activation::Erf => -0.5 * second / scale,
        _ => return None,
    };
    argument.is_finite().then_some((scale, argument))
}

/// Scales and arguments of a layer; units whose weights say nothing (they are too small) get the median
/// scale and their inflection. Also how many of those there are.
fn units(phi: Activation, weights: &Weights) -> (DVector<f64>, DVector<f64>, usize) {
    let n = weights.first.len();
    let found: Vec<Option<(f64, f64)>> = (0..n)
        .map(|k| {
            let third = weights.third.as_ref().map(|third| third[k] / weights.first[k]);
            unit(phi, weights.second[k] / weights.first[k], third)
        })
        .collect();
    let scales: Vec<f64> = found.iter().flatten().map(|f| f.0).collect();
    let usual = median(&scales).unwrap_or(1.0);
    let silent = found.iter().filter(|f| f.is_none()).count();
    let of = |k: usize| found[k].unwrap_or((usual, 0.0));
    (DVector::from_fn(n, |k, _| of(k).0), DVector::from_fn(n, |k, _| of(k).1), silent)
}

impl Layers {
    /// The network that the weights give, and how many units they left open.
    pub fn network(&self, phi: Activation) -> Result<(TwoLayer, usize), Failure> {
        let (alpha, z, silent_first) = units(phi, &self.first_weights);
        let (nu, u, silent_second) = units(phi, &self.entangled_weights);
        let mut c = self.entangled_weights.first.component_div(&nu);
        c.zip_apply(&u, |c, u| *c /= phi.slope(u));
        let y = z.map(|z| phi.value(z));
        // B = G^-1 A^-1 V.
        let b = sloped(&self.unscaled()?, &alpha, &z, phi) * DMatrix::from_diagonal(&nu);
        let theta = alpha.component_mul(&(self.first.transpose() * &self.point)) - &z;
        let tau = b.transpose() * &y - &u;
        let c0 = self.value - c.dot(&u.map(|u| phi.value(u)));
        let a = &self.first * DMatrix::from_diagonal(&alpha);
        Ok((TwoLayer { a, theta, b, tau, c, c0, g: phi, h: phi }, silent_first + silent_second))
    }

    /// B but for the scales: the entangled directions in terms of the first layer's.
    fn unscaled(&self) -> Result<DMatrix<f64>, Failure> {
        let (dual, _) = dual(&self.first).ok_or_else(|| {
            Failure::new(Stage::Scales, "the first layer's directions are dependent")
        })?;
        Ok(dual.transpose() * &self.entangled)
    }

    /// Fits the scalars of `start` to `sample`, the directions held. Returns the network and its root
    /// mean square residual.
    pub fn fit(
        &self,
        start: &TwoLayer,
        sample: &Sample,
        descent: Descent,
    ) -> Result<(TwoLayer, f64), Failure> {
        let held = Held {
            directions: &self.first,
            rows: self.unscaled()?,
            places: self.first.transpose() * &self.point,
            phi: start.g,
        };
        let along = self.first.tr_mul(&sample.points);
        let mut s = held.scalars(start);
        let mut residual = sample.residual(&held.network(&s));
        let mut damping: f64 = SCALAR_FIRST_DAMPING;
        let mut rate: f64 = 1.0;
        for _ in 0..steps(descent) {
            let jt = held.jacobian_transposed(&s, sample, &along);
            let gradient = &jt * &residual;
            let normal = gram(&jt);
            let before = residual.norm();
            for _ in 0..SCALAR_TRIALS {
                let step = match descent {
                    Descent::GaussNewton => {
                        let mut damped = normal.clone();
                        for k in 0..s.len() {
                            damped[(k, k)] *= 1.0 + damping;
                        }
                        damped.cholesky().map(|factor| factor.solve(&gradient))
                    }
                    Descent::Gradient => Some(&gradient * rate),
                };
                let trial = step.map(|step| &s - step);
                let next = trial.as_ref().map(|trial| sample.residual(&held.network(trial)));
                if let (Some(trial), Some(next)) = (trial, next)
                    && next.norm() < before
                {
                    (s, residual) = (trial, next);
                    damping = (SCALAR_DAMPING_FALL * damping).max(SCALAR_LEAST_DAMPING);
                    rate *= RATE_RISE;
                    break;
                }
                damping *= SCALAR_DAMPING_RISE;
                rate *= RATE_FALL;
            }
            if residual.norm() > (1.0 - SCALAR_LEAST_GAIN) * before {
                break;
            }
        }
        Ok((held.network(&s), rms(&residual)))
    }
}

/// `rows` by the scales alpha and the slopes at z of the first layer: B but for nu, d x m1.
fn sloped(
    rows: &DMatrix<f64>,
    alpha: &DVector<f64>,
    z: &DVector<f64>,
    phi: Activation,
) -> DMatrix<f64> {
    DMatrix::from_fn(rows.nrows(), rows.ncols(), |i, l| rows[(i, l)] / (alpha[i] * phi.slope(z[i])))
}

/// What is held while the scalars s = (alpha, theta, nu, tau, c, c0) are fitted.
struct Held<'a> {
    /// Unit columns a_i / |a_i|, d x d.
    directions: &'a DMatrix<f64>,
    /// B but for the scales, d x m1.
    rows: DMatrix<f64>,
    /// The point along these directions, length d.
    places: DVector<f64>,
    phi: Activation,
}

impl Held<'_> {
    fn scalars(&self, network: &TwoLayer) -> DVector<f64> {
        let (d, m1) = self.rows.shape();
        let mut s = DVector::zeros(2 * d + 3 * m1 + 1);
        for i in 0..d {
            s[i] = network.a.column(i).norm();
            s[d + i] = network.theta[i];
        }
        for l in 0..m1 {
            // nu from any row of B; the largest is the safest.
            let i = network.b.column(l).iamax();
            let z = s[i] * self.places[i] - s[d + i];
            s[2 * d + l] = network.b[(i, l)] * s[i] * self.phi.slope(z) / self.rows[(i, l)];
            s[2 * d + m1 + l] = network.tau[l];
            s[2 * d + 2 * m1 + l] = network.c[l];
        }
        s[2 * d + 3 * m1] = network.c0;
        s
    }

    /// z at the point, length d.
    fn arguments(&self, s: &DVector<f64>) -> DVector<f64> {
        let d = self.places.len();
        s.rows(0, d).component_mul(&self.places) - s.rows(d, d)
    }

    /// B but for nu, d x m1.
    fn sloped(&self, s: &DVector<f64>) -> DMatrix<f64> {
        sloped(&self.rows, &s.rows(0, self.places.len()).into_owned(), &self.arguments(s), self.phi)
    }

    fn network(&self, s: &DVector<f64>) -> TwoLayer {
        let (d, m1) = self.rows.shape();
        let mut b = self.sloped(s);
        for (l, mut column) in b.column_iter_mut().enumerate() {
            column *= s[2 * d + l];
        }
        TwoLayer {
            a: DMatrix::from_fn(d, d, |i, j| self.directions[(i, j)] * s[j]),
            theta: s.rows(d, d).into_owned(),
            b,
            tau: s.rows(2 * d + m1, m1).into_owned(),
            c: s.rows(2 * d + 2 * m1, m1).into_owned(),
            c0: s[2 * d + 3 * m1],
            g: self.phi,
            h: self.phi,
        }
    }

    /// Derivatives of f at the points of `sample`, which lie at `along` along the directions, with respect to the
    /// scalars: scalars x points.
    fn jacobian_transposed(
        &self,
        s: &DVector<f64>,
        sample: &Sample,
        along: &DMatrix<f64>,
    ) -> DMatrix<f64> {
        let (d, m1) = self.rows.shape();
        let network = self.network(s);
        let at = Outputs::new(&network, &sample.points);
        let p = &network.b * &at.weights;
        let by_nu = self.sloped(s).tr_mul(&at.first);
        // b_il goes with sigma_i = 1 / (alpha_i phi'(z_i)), z_i at the point; relative derivatives of it.
        let ratio = self.arguments(s).map(|z| self.phi.curvature_ratio(z));
        let by_alpha = DVector::from_fn(d, |i, _| -1.0 / s[i] - ratio[i] * self.places[i]);
        let mut jt = DMatrix::zeros(s.len(), sample.points.ncols());
        for (k, mut column) in jt.column_iter_mut().enumerate() {
            for i in 0..d {
                let inner = self.phi.slope(at.arguments[(i, k)]) * p[(i, k)];
                let outer = at.first[(i, k)] * p[(i, k)];
                column[i] = inner * along[(i, k)] + outer * by_alpha[i];
                column[d + i] = -inner + outer * ratio[i];
            }
            for l in 0..m1 {
                column[2 * d + l] = at.weights[(l, k)] * by_nu[(l, k)];
                column[2 * d + m1 + l] = -at.weights[(l, k)];
                column[2 * d + 2 * m1 + l] = at.second[(l, k)];
            }
            column[2 * d + 3 * m1] = 1.0;
        }
        jt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;
    use crate::network::Class;

    /// The layers of a network at a point, from its weights.
    fn layers(network: &TwoLayer, point: &DVector<f64>) -> Layers {
        let z = network.a.transpose() * point - &network.theta;
        let y = z.map(|z| network.g.value(z));
        let u = network.b.transpose() * &y - &network.tau;
        let p = &network.b * u.map(|u| network.h.slope(u)).component_mul(&network.c);
        let v = &network.a * DMatrix::from_diagonal(&z.map(|z| network.g.slope(z))) * &network.b;
        let third =
            |phi: Activation, t: f64| (phi.curvature(t + 1e-5) - phi.curvature(t - 1e-5)) / 2e-5;
        let weights = |phi: Activation, at: &DVector<f64>, outer: &DVector<f64>, scale: &[f64]| {
            let of = |derivative: &dyn Fn(f64) -> f64, power: i32| {
                DVector::from_fn(at.len(), |k, _| {
                    outer[k] * derivative(at[k]) * scale[k].powi(power)
                })
            };
            Weights {
                first: of(&|t| phi.slope(t), 1),
                second: of(&|t| phi.curvature(t), 2),
                third: Some(of(&|t| third(phi, t), 3)),
            }
        };
        let norms = |m: &DMatrix<f64>| m.column_iter().map(|c| c.norm()).collect::<Vec<_>>();
        let units = |m: &DMatrix<f64>| {
            DMatrix::from_columns(&m.column_iter().map(|c| c.normalize()).collect::<Vec<_>>())
        };
        Layers {
            point: point.clone(),
            value: network.values(&DMatrix::from_columns(std::slice::from_ref(point)))[0],
            first: units(&network.a),
            first_weights: weights(network.g, &z, &p, &norms(&network.a)),
            entangled: units(&v),
            entangled_weights: weights(network.h, &u, &network.c, &norms(&v)),
        }
    }

    #[test]
    fn exact_weights_give_the_network() {
        for phi in [Activation::Tanh, Activation::Sigmoid, Activation::Erf] {
            let truth = TwoLayer::random((6, 6, 3), Class::General, phi, 2).unwrap();
            let point = draws::unit_vector(&mut draws::stream(1, "scales", 0), 6);
            let (found, silent) = layers(&truth, &point).network(phi).unwrap();
            assert_eq!(silent, 0);
            let error = truth.matching(&found).parameter_error.unwrap();
            assert!(error < 1e-3, "{phi:?}: {error}");
        }
    }

    #[test]
    fn derivatives_by_the_scalars_are_those_of_differences() {
        for phi in [Activation::Tanh, Activation::Sigmoid, Activation::Erf] {
            let truth = TwoLayer::random((6, 6, 2), Class::General, phi, 5).unwrap();
            let point = draws::unit_vector(&mut draws::stream(1, "scales", 0), 6);
            let layers = layers(&truth, &point);
            let held = Held {
                directions: &layers.first,
                rows: layers.unscaled().unwrap(),
                places: layers.first.transpose() * &point,
                phi,
            };
            let points = draws::gaussian(&mut draws::stream(2, "scales", 0), 6, 20);
            let sample = Sample { values: truth.values(&points), points };
            let s = held.scalars(&truth);
            assert!(sample.residual(&held.network(&s)).norm() < 1e-12);
            let along = layers.first.tr_mul(&sample.points);
            let jt = held.jacobian_transposed(&s, &sample, &along);
            for k in 0..s.len() {
                let at = |h: f64| {
                    let mut moved = s.clone();
                    moved[k] += h;
                    sample.residual(&held.network(&moved))
                };
                let differences = (at(1e-5) - at(-1e-5)) / 2e-5;
                let error = (jt.row(k).transpose() - &differences).norm();
                assert!(error < 1e-7 * (1.0 + differences.norm()), "{phi:?} {k}: {error}");
            }
        }
    }

    #[test]
    fn scalars_are_fitted_from_a_rough_start() {
        let truth = TwoLayer::random((6, 6, 2), Class::Paper, Activation::Tanh, 5).unwrap();
        let point = DVector::zeros(6);
        let mut layers = layers(&truth, &point);
        layers.first_weights.third = None;
        layers.entangled_weights.third = None;
        let (start, _) = layers.network(Activation::Tanh).unwrap();
        let points = draws::gaussian(&mut draws::stream(2, "scales", 0), 6, 300);
        let sample = Sample { values: truth.values(&points), points };
        let rms = |n: &TwoLayer| sample.residual(n).norm() / 300f64.sqrt();
        let (found, at) = layers.fit(&start, &sample, Descent::GaussNewton).unwrap();
        assert!(at < 1e-6 && truth.matching(&found).parameter_error.unwrap() < 1e-4, "{at}");
        let (_, slower) = layers.fit(&start, &sample, Descent::Gradient).unwrap();
        assert!(slower < rms(&start));
    }
}
