//! What errors of the values leave open in parameters found by least squares.
//!
//! If e are independent errors of standard deviation sigma at the fitted points, the parameters are off by
//! J^+ e to first order: normal with covariance C = sigma^2 (J^T J)^-1. No unbiased estimate from these
//! values does better (Cramer and Rao), so sqrt(C_jj) is both what the fit should reach and the unit
//! of its bound. sigma is estimated from the residuals, N - p degrees of freedom.
//!
//! Where the errors of some points are much larger than those of others, as rounding errors of large and small
//! values are, the covariance is J^+ diag(r^2) J^+T with the residuals r themselves, if that is larger (White,
//! Econometrica 48, 1980).
//!
//! To the bound come what first order leaves out: the second-order part of the same fit, by draws
//! from C; the step that least squares would still take; and the rounding of the parameters themselves.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::tolerances::{
    BOUND_EXCEEDED, CURVED_DRAWS, CURVED_SAFETY, LEAST_FREEDOM, MOST_CURVATURE, MOST_KURTOSIS,
    PARAMETER_ROUNDING, PLAUSIBLE_DRAWS, POINTS_AT_ONCE, SIGMA_DEVIATIONS, VISIBLE_CHANGE,
};
use crate::algebra::linalg::{InverseFactor, Workers, product, tr_product};
use crate::draws;
use crate::identify::evidence::TensorBound;
use crate::identify::fit::refine::Equilibrated;
use crate::identify::fit::sample::Sample;
use crate::network::model::Model;
use crate::ranks::Team;

/// Errors are relative to the largest entry of each tensor, at least 1, as everywhere.
pub struct Uncertainty<M> {
    /// Largest standard error of a parameter.
    pub cramer_rao: f64,
    /// Bound on the error of all parameters at once.
    pub bound: f64,
    /// The same for errors of the values of this size that depend on each other in the worst way.
    pub dependent: f64,
    /// `bound` and `dependent` by tensor: of each the largest is that of all.
    pub by_tensor: Vec<TensorErrors>,
    /// sqrt of the largest diagonal entry of (J^T J)^-1, columns of J at unit length.
    pub condition: f64,
    /// Second-order part of what the covariance makes of the fitted values, relative to the first.
    pub curvature: f64,
    /// Networks that the values cannot tell apart.
    pub plausible: Vec<M>,
}

/// What is left open in one tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorErrors {
    /// Its name in the model.
    pub tensor: &'static str,
    /// Bound on the error of its entries.
    pub bound: f64,
    /// The same for errors of the values that depend on each other.
    pub dependent: f64,
}

impl<M: Model> Uncertainty<M> {
    /// Of `network`, fitted to `sample`, whose values are known no better than to `accuracy`; found by all ranks of `team`
    /// together. `None` where the Jacobian is singular to working precision.
    pub fn new(
        network: &M,
        sample: &Sample,
        (accuracy, seed): (f64, u64),
        team: &Team,
    ) -> Option<Self> {
        let residual = sample.residual(network);
        let (n, p) = (residual.len(), network.parameter_count());
        let freedom = n.checked_sub(p).filter(|&f| f > 0)? as f64;
        let sigma = sample.sigma(network).max(accuracy);
        let jacobian = Equilibrated::new(network.jacobian_transposed(&sample.points), team)?;
        if jacobian.scale.iter().any(|&s| s == 0.0) {
            return None;
        }
        let factor = jacobian.inverse_factor()?;
        let variances = factor.diagonal();
        let scale = &jacobian.scale;
        let standard = variances.zip_map(scale, |v, s| v.sqrt() * s * sigma);
        let uneven = uneven_variances(&jacobian.jt, &factor, &residual, team);
        let deviation = |j: usize| {
            let uneven = uneven.as_ref().map_or(0.0, |variances| variances[j].sqrt() * scale[j]);
            standard[j].max(uneven)
        };

        let rng = &mut draws::stream(seed, "uncertainty", 0);
        let parameters = network.to_vector();
        // In the coordinates of the equilibrated Jacobian.
        let shifts = factor.spread_columns(&draws::gaussian(rng, p, PLAUSIBLE_DRAWS)) * sigma;
        let moved = |k: usize, by: f64| {
            network.with_vector(&(&parameters + shifts.column(k).component_mul(scale) * by))
        };
        let plausible: Vec<M> = (0..PLAUSIBLE_DRAWS).map(|k| moved(k, 1.0)).collect();

        let fitted = &residual + &sample.values;
        let straight = tr_product(&jacobian.jt, &shifts.columns(0, CURVED_DRAWS).into_owned());
        // The last column is for the step that is left.
        let mut left = DMatrix::zeros(n, CURVED_DRAWS + 1);
        left.set_column(CURVED_DRAWS, &residual);
        let mut curvature = 0.0f64;
        for (k, straight) in straight.column_iter().enumerate() {
            // f(p + s) - f(p) - J s is quadratic in s: of a small s it is taken from a longer one, so that the
            // rounding of the values does not matter.
            let longer = (VISIBLE_CHANGE * fitted.norm() / straight.norm()).max(1.0);
            let change = (moved(k, longer).values(&sample.points) - &fitted) / longer;
            let excess = (change - straight) / longer;
            curvature = curvature.max(excess.norm() / straight.norm());
            left.set_column(k, &excess);
        }
        let steps = factor.solve_columns(&product(&jacobian.jt, &left));
        let second = DVector::from_fn(p, |j, _| steps.row(j).columns(0, CURVED_DRAWS).amax());
        let unfinished = steps.column(CURVED_DRAWS);

        // P(|z| > q) <= exp(-q^2 / 2), for p parameters at once; sigma itself is uncertain.
        let quantile = (2.0 * (p as f64 / BOUND_EXCEEDED).ln()).sqrt()
            * (1.0 + SIGMA_DEVIATIONS / (2.0 * freedom).sqrt());
        let errors = |quantile: f64| {
            let of = |j: usize, _: usize| {
                quantile * deviation(j)
                    + (CURVED_SAFETY * second[j] + unfinished[j].abs()) * scale[j]
                    + PARAMETER_ROUNDING * f64::EPSILON * parameters[j].abs()
            };
            let finite = curvature <= MOST_CURVATURE;
            let errors = DVector::from_fn(p, of);
            let unless_curved = |(name, error)| (name, if finite { error } else { f64::INFINITY });
            by_tensor(network, &errors).map(unless_curved).collect::<Vec<_>>()
        };
        let cramer_rao = most(by_tensor(network, &standard).map(|(_, error)| error));
        // |row_j(J^+) e| <= |row_j(J^+)| |e|.
        let by_tensor = paired(&errors(quantile), &errors((n as f64).sqrt()));
        Some(Uncertainty {
            cramer_rao,
            bound: most(by_tensor.iter().map(|tensor| tensor.bound)),
            dependent: most(by_tensor.iter().map(|tensor| tensor.dependent)),
            by_tensor,
            condition: variances.max().sqrt(),
            curvature,
            plausible,
        })
    }

    /// The bound by tensor, where errors of the values share `common` of their size.
    pub fn tensor_bounds(&self, common: f64) -> Vec<TensorBound> {
        let bound = |errors: &TensorErrors| TensorBound {
            tensor: errors.tensor,
            bound: errors.bound.max(common * errors.dependent),
        };
        self.by_tensor.iter().map(bound).collect()
    }

    /// Variance of the value of `network` at each of the points, by what the parameters leave open.
    pub fn prediction(&self, network: &M, points: &DMatrix<f64>, team: &Team) -> DVector<f64> {
        let values = network.values(points);
        let drawn = team.shared(&vec![1; self.plausible.len()], &|some| {
            let values = self.plausible[some].iter().map(|drawn| drawn.values(points));
            values.flat_map(|values| values.data.as_vec().clone()).collect()
        });
        let mut variance = DVector::zeros(points.ncols());
        for drawn in drawn.chunks_exact(points.ncols().max(1)) {
            let drawn = DVector::from_column_slice(drawn);
            variance += (drawn - &values).map(|r| r * r / PLAUSIBLE_DRAWS as f64);
        }
        variance
    }
}

/// Mean fourth power over the square of the mean square: 3 for normal errors.
fn kurtosis(errors: &DVector<f64>) -> f64 {
    let n = errors.len() as f64;
    n * errors.iter().map(|e| e.powi(4)).sum::<f64>() / errors.norm_squared().powi(2)
}

/// The diagonal of J^+ diag(e^2) J^+T for the rows `jt` of J^T, J^T J = R^T R, with the errors e = r / (1 - h) of values whose
/// `residual` is r and leverage is h; `None` where errors are even: then those of r / sqrt(1 - h) are alike.
fn uneven_variances(
    jt: &DMatrix<f64>,
    factor: &InverseFactor,
    residual: &DVector<f64>,
    team: &Team,
) -> Option<DVector<f64>> {
    // Leverages differ, so that this is larger than that of the errors.
    if kurtosis(residual) <= MOST_KURTOSIS {
        return None;
    }
    let inverse = factor.inverse(team);
    // The variances by some of the points, then the errors that should be alike.
    let (p, n) = jt.shape();
    let of_some = |first: usize| {
        let some = jt.columns(first, POINTS_AT_ONCE.min(n - first)).into_owned();
        let pseudo = product(&inverse, &some);
        let mut numbers = vec![0.0; p];
        for (k, (row, j)) in some.column_iter().zip(pseudo.column_iter()).enumerate() {
            let freedom = (1.0 - row.dot(&j)).max(LEAST_FREEDOM);
            let error = residual[first + k] / freedom;
            numbers.push(residual[first + k] / freedom.sqrt());
            numbers.iter_mut().zip(j.iter()).for_each(|(v, j)| *v += (j * error).powi(2));
        }
        numbers
    };
    let weights = vec![1; n.div_ceil(POINTS_AT_ONCE)];
    let numbers = team.shared(&weights, &|some| {
        let each = some.into_par_iter().map(|k| of_some(k * POINTS_AT_ONCE));
        each.collect::<Vec<_>>().concat()
    });
    let mut variances = DVector::zeros(p);
    let mut alike = Vec::with_capacity(n);
    for numbers in numbers.chunks(p + POINTS_AT_ONCE) {
        variances += DVector::from_column_slice(&numbers[..p]);
        alike.extend_from_slice(&numbers[p..]);
    }
    let alike = DVector::from_vec(alike);
    (kurtosis(&alike) > MOST_KURTOSIS).then_some(variances)
}

/// The largest of `errors` (one a parameter) in each tensor, relative to its largest entry, at least 1.
fn by_tensor<M: Model>(
    network: &M,
    errors: &DVector<f64>,
) -> impl Iterator<Item = (&'static str, f64)> {
    let errors = network.with_vector(errors);
    let tensors = network.tensors().into_iter().zip(errors.tensors());
    let largest: Vec<_> =
        tensors.map(|((name, v), (_, e))| (name, network.stretch() * relative(v, e))).collect();
    largest.into_iter()
}

/// Bounds and dependent ones of the same tensors.
pub fn paired(
    bounds: &[(&'static str, f64)],
    dependent: &[(&'static str, f64)],
) -> Vec<TensorErrors> {
    let pair = |(&(tensor, bound), &(_, dependent)): (&(_, f64), &(_, f64))| TensorErrors {
        tensor,
        bound,
        dependent,
    };
    bounds.iter().zip(dependent).map(pair).collect()
}

/// The largest of errors.
fn most(errors: impl Iterator<Item = f64>) -> f64 {
    errors.fold(0.0, f64::max)
}

/// The largest of the `errors` of a tensor, relative to its largest entry, at least 1.
pub fn relative(tensor: &[f64], errors: &[f64]) -> f64 {
    let largest = |values: &[f64]| values.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    largest(errors) / largest(tensor).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Activation;
    use crate::ranks::threads::together;

    /// phi(p . x), phi the identity or tanh.
    #[derive(Clone)]
    struct OneLayer {
        /// A single column.
        p: DMatrix<f64>,
        linear: bool,
    }

    impl Model for OneLayer {
        const DEPTH: usize = 1;

        fn inputs(&self) -> usize {
            self.p.len()
        }
        fn widths(&self) -> Vec<usize> {
            vec![1]
        }
        fn activations(&self) -> Vec<Activation> {
            vec![Activation::Tanh]
        }
        fn first_layer(&self) -> &DMatrix<f64> {
            &self.p
        }
        fn parameter_count(&self) -> usize {
            self.p.len()
        }
        fn to_vector(&self) -> DVector<f64> {
            self.p.column(0).into_owned()
        }
        fn with_vector(&self, p: &DVector<f64>) -> Self {
            OneLayer { p: column(p), ..*self }
        }
        fn values(&self, points: &DMatrix<f64>) -> DVector<f64> {
            let z = points.tr_mul(&self.to_vector());
            if self.linear { z } else { z.map(f64::tanh) }
        }
        fn jacobian_transposed(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
            let mut jt = points.clone();
            for (mut column, y) in jt.column_iter_mut().zip(self.values(points).iter()) {
                column *= if self.linear { 1.0 } else { 1.0 - y * y };
            }
            jt
        }
        fn tensors(&self) -> Vec<(&'static str, &[f64])> {
            vec![("p", self.p.as_slice())]
        }
    }

    fn column(p: &DVector<f64>) -> DMatrix<f64> {
        DMatrix::from_column_slice(p.len(), 1, p.as_slice())
    }

    /// A linear model of `p` parameters, fitted to 40 values with normal errors of size 0.1, and the
    /// largest parameter error.
    fn fitted(p: usize, trial: u64) -> (OneLayer, Sample, f64) {
        let mut rng = draws::stream(trial, "test", p as u64);
        let points = draws::gaussian(&mut rng, p, 40);
        let truth = DVector::from_element(p, 0.5);
        let errors = draws::gaussian(&mut rng, 40, 1) * 0.1;
        let values = points.tr_mul(&truth) + errors.column(0);
        let fit = InverseFactor::of_rows(&points).unwrap().solve(&(&points * &values));
        let error = (&fit - &truth).amax();
        (OneLayer { p: column(&fit), linear: true }, Sample { points, values }, error)
    }

    #[test]
    fn a_standard_error_covers_two_thirds_and_the_bound_all() {
        let (mut within, mut ratios) = (0, Vec::new());
        for trial in 0..1000 {
            let (model, sample, error) = fitted(1, trial);
            let one = Uncertainty::new(&model, &sample, (0.0, trial), &Team::alone()).unwrap();
            within += usize::from(error <= one.cramer_rao);
            let (model, sample, error) = fitted(8, trial);
            let eight = Uncertainty::new(&model, &sample, (0.0, trial), &Team::alone()).unwrap();
            assert!(error < eight.bound && error < eight.dependent);
            let (all, errors) = (eight.tensor_bounds(0.0), eight.by_tensor[0]);
            assert_eq!(all, [TensorBound { tensor: "p", bound: eight.bound }]);
            assert_eq!((errors.bound, errors.dependent), (eight.bound, eight.dependent));
            assert!(eight.curvature < 1e-12);
            ratios.push(eight.bound / error);
        }
        // 683 of 1,000, give or take three deviations of 15.
        assert!((635..730).contains(&within), "{within}");
        ratios.sort_by(f64::total_cmp);
        assert!((3.0..8.0).contains(&ratios[500]), "{}", ratios[500]);
    }

    #[test]
    fn uneven_errors_have_the_variance_of_their_own_points() {
        let (mut squares, mut even, mut uneven) = (0.0, 0.0, 0.0);
        for trial in 0..400 {
            let mut rng = draws::stream(trial, "test", 0);
            // Every tenth point is far out, with a large error: it decides alone.
            let far = |k: usize| if k.is_multiple_of(10) { 8.0 } else { 1.0 };
            let mut points = draws::gaussian(&mut rng, 1, 300);
            let mut errors = draws::gaussian(&mut rng, 300, 1).column(0).into_owned();
            (0..300)
                .for_each(|k| (points[k], errors[k]) = (points[k] * far(k), errors[k] * far(k)));
            let factor = InverseFactor::of_rows(&points).unwrap();
            let shift = factor.solve(&(&points * &errors));
            let residual = &errors - points.tr_mul(&shift);
            squares += shift[0] * shift[0];
            even += factor.diagonal()[0] * residual.norm_squared() / 299.0;
            uneven += uneven_variances(&points, &factor, &residual, &Team::alone()).unwrap()[0];
        }
        assert!((0.6..1.5).contains(&(squares / uneven)), "{}", squares / uneven);
        assert!(squares > 4.0 * even, "{}", squares / even);
    }

    #[test]
    fn errors_that_only_leverage_makes_uneven_are_even() {
        let mut taken = 0;
        for trial in 0..200 {
            let mut rng = draws::stream(trial, "test", 0);
            // Each parameter has one point that tells most of it.
            let mut points = draws::gaussian(&mut rng, 40, 300);
            (0..40).for_each(|k| points[(k, k)] = 40.0);
            let errors = draws::gaussian(&mut rng, 300, 1).column(0).into_owned();
            let factor = InverseFactor::of_rows(&points).unwrap();
            let residual = &errors - points.tr_mul(&factor.solve(&(&points * &errors)));
            taken += usize::from(
                uneven_variances(&points, &factor, &residual, &Team::alone()).is_some(),
            );
        }
        assert!(taken <= 6, "{taken}");
    }

    #[test]
    fn predictions_are_as_uncertain_as_they_turn_out_wrong() {
        let mut ratio = 0.0;
        for trial in 0..200 {
            let (model, sample, _) = fitted(3, trial);
            let points = draws::gaussian(&mut draws::stream(trial, "fresh", 0), 3, 20) * 30.0;
            let wrong = model.values(&points) - points.tr_mul(&DVector::from_element(3, 0.5));
            let uncertainty =
                Uncertainty::new(&model, &sample, (0.0, trial), &Team::alone()).unwrap();
            let expected = uncertainty.prediction(&model, &points, &Team::alone()).sum();
            ratio += wrong.norm_squared() / expected / 200.0;
        }
        assert!((0.7..1.5).contains(&ratio), "{ratio}");
    }

    #[test]
    fn ranks_come_to_the_same() {
        let (model, sample, _) = fitted(8, 1);
        let rng = &mut draws::stream(1, "fresh", 0);
        let fresh = draws::gaussian(rng, 8, 20);
        // More points than are taken at once, one in ten far out with a large error.
        let far = |k: usize| if k.is_multiple_of(10) { 8.0 } else { 1.0 };
        let n = 3 * POINTS_AT_ONCE + 5;
        let mut points = draws::gaussian(rng, 2, n);
        points.column_iter_mut().enumerate().for_each(|(k, mut x)| x *= far(k));
        let errors = draws::gaussian(rng, n, 1);
        let errors = DVector::from_fn(n, |k, _| errors[k] * far(k));
        let factor = InverseFactor::of_rows(&points).unwrap();
        let seen = |team: Team| {
            let of = Uncertainty::new(&model, &sample, (0.0, 1), &team).unwrap();
            let variances = uneven_variances(&points, &factor, &errors, &team);
            (of.bound, of.prediction(&model, &fresh, &team), variances.unwrap())
        };
        let alone = seen(Team::alone());
        for ranks in [2, 3] {
            assert!(together(ranks, seen).into_iter().all(|seen| seen == alone));
        }
    }

    #[test]
    fn what_is_not_linear_or_not_determined_has_no_bound() {
        let points = draws::gaussian(&mut draws::stream(1, "test", 0), 1, 30);
        let model = OneLayer { p: DMatrix::from_element(1, 1, 1.0), linear: false };
        let with_errors = |size: f64| {
            let errors = draws::gaussian(&mut draws::stream(2, "test", 0), 30, 1) * size;
            Sample { values: model.values(&points) + errors.column(0), points: points.clone() }
        };
        let bound = |size| {
            Uncertainty::new(&model, &with_errors(size), (0.0, 1), &Team::alone()).unwrap().bound
        };
        assert!(bound(1e-3) < 0.1);
        assert!(bound(3.0).is_infinite());
        let two = OneLayer { p: DMatrix::from_element(2, 1, 0.5), linear: true };
        let same = DMatrix::from_fn(2, 30, |_, j| j as f64);
        let sample = Sample { values: two.values(&same), points: same };
        assert!(Uncertainty::new(&two, &sample, (1e-3, 1), &Team::alone()).is_none());
    }
}
