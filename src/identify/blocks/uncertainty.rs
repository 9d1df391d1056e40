//! What errors of the values leave open in a first layer fitted unit by unit, the errors of the second layer included.
//!
//! With the rows of unit i alone, J_i d + J_i2 d2 = e: its parameters are off by J_i^+ (e - J_i2 d2), where d2, the
//! error of the second layer, is that of other values. Its part is taken from networks drawn from the covariance of
//! the second layer, so that no matrix of units by second-layer parameters is needed.

use nalgebra::{DMatrix, DVector};

use super::core::Core;
use super::unit::{Fitted, Outer, Rows};
use crate::draws;
use crate::identify::verdict::tolerances::{
    BOUND_EXCEEDED, CURVED_DRAWS, CURVED_SAFETY, DRAWN_DEVIATION, EVEN_ROUNDING, MOST_CURVATURE,
    MOST_KURTOSIS, PARAMETER_ROUNDING, SIGMA_DEVIATIONS, VISIBLE_CHANGE,
};
use crate::identify::verdict::uncertainty::{TensorErrors, Uncertainty, paired, relative};
use crate::network::OneLayer;
use crate::network::TwoLayer;
use crate::ranks::{Parcel, Unpacked};

/// (a_i, theta_i), or a change of them.
pub type Change = (DVector<f64>, f64);

/// What the errors of a unit depend on.
pub struct UnitErrors<'s> {
    /// Of the second layer.
    pub second: &'s Uncertainty<Core>,
    /// Standard deviation of a value near the origin.
    pub sigma: f64,
    /// The largest value.
    pub largest: f64,
}

/// Errors of one unit, for values of the standard deviation of [`UnitErrors`]; vectors are of a_i, then theta_i.
pub struct Errors {
    unit: usize,
    /// Variances by the unit's own rows.
    own: DVector<f64>,
    /// The same with the unit's own residuals, where values are too inaccurate to be rounded evenly.
    uneven: Option<DVector<f64>>,
    /// Variances by the errors of the second layer.
    coupled: DVector<f64>,
    /// Second-order part of the fit.
    second: DVector<f64>,
    /// The step that least squares would still take.
    unfinished: DVector<f64>,
    /// One change for every network drawn for the second layer: by the unit's own rows, and by that layer.
    drawn: Vec<(Change, Change)>,
    curvature: f64,
    condition: f64,
    /// Squares of the weighted residuals.
    squares: DVector<f64>,
    /// Of each row, the share of its own error that the fit takes over.
    leverages: DVector<f64>,
    /// The largest distance of a row from the origin.
    farthest: f64,
}

impl Parcel for Errors {
    fn pack(&self, numbers: &mut Vec<f64>) {
        numbers.extend([self.unit as f64, self.curvature, self.condition, self.farthest]);
        for vector in [&self.own, &self.coupled, &self.second, &self.unfinished] {
            vector.pack(numbers);
        }
        self.squares.pack(numbers);
        self.leverages.pack(numbers);
        self.uneven.pack(numbers);
        self.drawn.pack(numbers);
    }

    fn unpack(numbers: &mut Unpacked<'_>) -> Self {
        let [unit, curvature, condition, farthest] = [(); 4].map(|()| numbers.number());
        let [own, coupled, second, unfinished, squares, leverages] =
            [(); 6].map(|()| DVector::unpack(numbers));
        Errors {
            unit: unit as usize,
            own,
            uneven: Parcel::unpack(numbers),
            coupled,
            second,
            unfinished,
            drawn: Parcel::unpack(numbers),
            curvature,
            condition,
            squares,
            leverages,
            farthest,
        }
    }
}

fn stacked((a, theta): &Change) -> DVector<f64> {
    a.clone().insert_row(a.len(), *theta)
}

impl UnitErrors<'_> {
    /// Of the fitted unit of `rows`.
    pub fn of(&self, rows: &Rows, outer: Outer<'_>, fitted: &Fitted, seed: u64) -> Errors {
        let lens = &fitted.lens;
        let leverages = lens.leverages();
        let coarse = self.sigma > EVEN_ROUNDING * f64::EPSILON * self.largest;
        let uneven = coarse.then(|| {
            // A residual is its error but for the leverage; with its square no error is taken to be too small.
            let squares = fitted
                .residual
                .zip_map(&leverages, |r, h| (r / (1.0 - h).max(f64::EPSILON)).powi(2));
            lens.variances(Some(&squares)) / (self.sigma * self.sigma)
        });
        let rng = &mut draws::stream(seed, "blocks errors", rows.unit as u64);
        let mut coupled = DVector::zeros(fitted.a.len() + 1);
        let mut second = DVector::zeros(fitted.a.len() + 1);
        let mut curvature = 0.0f64;
        let plausible = &self.second.plausible;
        let arguments = rows.arguments(&fitted.a, fitted.theta);
        let mut drawn = Vec::with_capacity(plausible.len());
        for (k, layer) in plausible.iter().enumerate() {
            let z = draws::gaussian(rng, fitted.a.len() + 1, 1).column(0) * self.sigma;
            let (own, own_values) = lens.spread(&z);
            let around = self.around(outer.second, &layer.second);
            let of_second = self.difference(rows, outer, &arguments, &around);
            let (a, theta) = lens.solve(&of_second);
            let by_second = (-a, -theta);
            coupled += stacked(&by_second).map(|c| c * c / plausible.len() as f64);
            if k < CURVED_DRAWS {
                let straight = own_values + &of_second - lens.projected(&of_second);
                let change = (&own.0 + &by_second.0, own.1 + by_second.1);
                let excess = self.excess(rows, outer, fitted, (&around.0, &change), &straight);
                curvature = curvature.max(excess.norm() / straight.norm());
                let moved = stacked(&lens.solve(&excess));
                second.zip_apply(&moved, |most: &mut f64, m| *most = most.max(m.abs()));
            }
            drawn.push((own, by_second));
        }
        Errors {
            unit: rows.unit,
            own: lens.variances(None),
            uneven,
            coupled,
            second,
            unfinished: stacked(&lens.solve(&fitted.residual)).abs(),
            drawn,
            curvature,
            condition: lens.condition(),
            squares: fitted.residual.map(|r| r * r),
            leverages,
            farthest: rows.points.column_iter().map(|x| x.norm()).fold(0.0, f64::max),
        }
    }

    /// How much longer than a draw a visible one is.
    fn longer(&self) -> f64 {
        (VISIBLE_CHANGE * self.largest / self.sigma).max(1.0)
    }

    /// The second layer a visible way to either side, along the draw `layer`.
    fn around(&self, fit: &OneLayer, layer: &OneLayer) -> (OneLayer, OneLayer) {
        let to = |by: f64| OneLayer {
            a: &fit.a + (&layer.a - &fit.a) * by,
            theta: &fit.theta + (&layer.theta - &fit.theta) * by,
            c: &fit.c + (&layer.c - &fit.c) * by,
            c0: fit.c0 + (layer.c0 - fit.c0) * by,
            phi: fit.phi,
        };
        (to(self.longer()), to(-self.longer()))
    }

    /// What the draw makes of the unit's values, to first order, where its arguments are `arguments`.
    fn difference(
        &self,
        rows: &Rows,
        outer: Outer<'_>,
        arguments: &DVector<f64>,
        (ahead, behind): &(OneLayer, OneLayer),
    ) -> DVector<f64> {
        let at = |second: &OneLayer| {
            let outer = Outer { second, ..outer };
            rows.residual_at(outer, &rows.inputs(second), arguments.clone())
        };
        (at(ahead) - at(behind)) / (2.0 * self.longer())
    }

    /// The second-order part of what a change of the unit and of the second layer makes of its values.
    fn excess(
        &self,
        rows: &Rows,
        outer: Outer<'_>,
        fitted: &Fitted,
        (ahead, change): (&OneLayer, &Change),
        straight: &DVector<f64>,
    ) -> DVector<f64> {
        let by = self.longer();
        let (a, theta) = (&fitted.a + &change.0 * by, fitted.theta + change.1 * by);
        let moved = Outer { second: ahead, ..outer };
        let there = rows.residual(moved, &rows.inputs(ahead), &a, theta);
        ((there - &fitted.residual) / by - straight) / by
    }
}

/// The first layer, put together from its units.
pub struct FirstLayer {
    network: TwoLayer,
    errors: Vec<Errors>,
}

impl FirstLayer {
    /// Of a network like `start`, with the free units of `core`.
    pub fn new(start: &TwoLayer, core: &Core) -> Self {
        let mut network = start.clone();
        for (k, &unit) in core.free.iter().enumerate() {
            network.a.set_column(unit, &core.a.column(k));
            network.theta[unit] = core.theta[k];
        }
        FirstLayer { network, errors: Vec::new() }
    }

    /// Puts a unit in its place.
    pub fn add(&mut self, (a, theta): Change, errors: Errors) {
        self.network.a.set_column(errors.unit, &a);
        self.network.theta[errors.unit] = theta;
        self.errors.push(errors);
    }

    /// With the second layer that it began with.
    pub fn network(&self) -> TwoLayer {
        self.network.clone()
    }

    /// Rows of all units.
    pub fn rows(&self) -> usize {
        self.errors.iter().map(|errors| errors.squares.len()).sum()
    }

    /// The largest distance of a row from the origin.
    pub fn farthest(&self) -> f64 {
        self.errors.iter().map(|errors| errors.farthest).fold(0.0, f64::max)
    }

    /// Standard deviation of a value near the origin by the residuals: of all rows, or of those whose own error the
    /// fit can hardly take over, if these are larger. The weights may take errors far out to be larger than they are.
    pub fn sigma(&self) -> f64 {
        let of = |most: f64| {
            let (mut squares, mut freedom) = (0.0, 0.0);
            for errors in &self.errors {
                for (square, h) in errors.squares.iter().zip(errors.leverages.iter()) {
                    if *h <= most {
                        squares += square;
                        freedom += 1.0 - h;
                    }
                }
            }
            if freedom > 0.0 { f64::sqrt(squares / freedom) } else { 0.0 }
        };
        of(1.0).max(of(0.5))
    }

    /// Mean fourth power over the square of the mean square of the residuals, as they would be without the fit.
    fn kurtosis(&self) -> f64 {
        let (mut squares, mut fourths, mut count) = (0.0, 0.0, 0.0);
        for errors in &self.errors {
            for (square, h) in errors.squares.iter().zip(errors.leverages.iter()) {
                let free = square / (1.0 - h).max(f64::EPSILON);
                squares += free;
                fourths += free * free;
                count += 1.0;
            }
        }
        count * fourths / (squares * squares)
    }

    /// Of the whole `network`, fitted to `count` values. `sigma` is what the errors were computed for.
    pub fn uncertainty(
        &self,
        network: &TwoLayer,
        second: &Uncertainty<Core>,
        sigma: f64,
        count: usize,
    ) -> Option<Uncertainty<TwoLayer>> {
        let grown = self.sigma() / sigma;
        let parameters = self.errors.len() * (network.a.nrows() + 1);
        if parameters == 0 {
            // All units are free.
            let plausible = self.plausible(network, second, grown);
            let &Uncertainty { cramer_rao, bound, dependent, condition, curvature, .. } = second;
            let by_tensor = second.by_tensor.clone();
            return Some(Uncertainty {
                cramer_rao,
                bound,
                dependent,
                by_tensor,
                condition,
                curvature,
                plausible,
            });
        }
        let p = parameters as f64;
        let freedom: f64 = self.rows() as f64 - p;
        if freedom <= 0.0 {
            return None;
        }
        let uneven = self.kurtosis() > MOST_KURTOSIS;
        let deviation = |errors: &Errors, j: usize| {
            let own = errors.own[j] * (grown * sigma).powi(2);
            let seen =
                errors.uneven.as_ref().filter(|_| uneven).map_or(0.0, |u| u[j] * sigma * sigma);
            (own.max(seen) + DRAWN_DEVIATION.powi(2) * errors.coupled[j]).sqrt()
        };
        // P(|z| > q) <= exp(-q^2 / 2), for p parameters at once; sigma itself is uncertain.
        let quantile = (2.0 * (p / BOUND_EXCEEDED).ln()).sqrt()
            * (1.0 + SIGMA_DEVIATIONS / (2.0 * freedom).sqrt());
        let curvature =
            self.errors.iter().map(|e| e.curvature).fold(0.0, f64::max) * grown.max(1.0);
        let bound = |quantile: f64| {
            let of = |errors: &Errors, j: usize, parameter: f64| {
                quantile * deviation(errors, j)
                    + CURVED_SAFETY * errors.second[j] * grown.max(1.0).powi(2)
                    + errors.unfinished[j]
                    + PARAMETER_ROUNDING * f64::EPSILON * parameter.abs()
            };
            let unless_curved = |(name, error)| {
                (name, if curvature <= MOST_CURVATURE { error } else { f64::INFINITY })
            };
            self.by_tensor(network, of).map(unless_curved)
        };
        // |row_j(J^+) e| <= |row_j(J^+)| |e|.
        let (own, dependent) = (bound(quantile), bound((count as f64).sqrt()));
        Some(Uncertainty {
            cramer_rao: largest(&self.by_tensor(network, |e, j, _| deviation(e, j)))
                .max(second.cramer_rao),
            bound: largest(&own).max(second.bound),
            dependent: largest(&dependent).max(second.dependent),
            by_tensor: joined(paired(&own, &dependent), &second.by_tensor),
            condition: self.errors.iter().map(|e| e.condition).fold(second.condition, f64::max),
            curvature: curvature.max(second.curvature),
            plausible: self.plausible(network, second, grown),
        })
    }

    /// The largest error of the weights and of the shifts of the first layer, relative to the largest entry of its tensor, at
    /// least 1.
    fn by_tensor(
        &self,
        network: &TwoLayer,
        of: impl Fn(&Errors, usize, f64) -> f64,
    ) -> [(&'static str, f64); 2] {
        let (d, m0, _) = network.dims();
        let mut a = DMatrix::zeros(d, m0);
        let mut theta = DVector::zeros(m0);
        for errors in &self.errors {
            let i = errors.unit;
            for j in 0..d {
                a[(j, i)] = of(errors, j, network.a[(j, i)]);
            }
            theta[i] = of(errors, d, network.theta[i]);
        }
        [
            ("A", relative(network.a.as_slice(), a.as_slice())),
            ("theta", relative(network.theta.as_slice(), theta.as_slice())),
        ]
    }

    /// Networks that the values cannot tell apart.
    fn plausible(
        &self,
        network: &TwoLayer,
        second: &Uncertainty<Core>,
        grown: f64,
    ) -> Vec<TwoLayer> {
        let of = |(k, core): (usize, &Core)| {
            let OneLayer { a: b, theta: tau, c, c0, phi: h } = core.second.clone();
            let mut drawn = TwoLayer { b, tau, c, c0, h, ..network.clone() };
            for (k, &unit) in core.free.iter().enumerate() {
                drawn.a.set_column(unit, &core.a.column(k));
                drawn.theta[unit] = core.theta[k];
            }
            for errors in &self.errors {
                let (own, by_second) = &errors.drawn[k];
                let mut a = drawn.a.column_mut(errors.unit);
                a.axpy(grown, &own.0, 1.0);
                a.axpy(1.0, &by_second.0, 1.0);
                drawn.theta[errors.unit] += grown * own.1 + by_second.1;
            }
            drawn
        };
        second.plausible.iter().enumerate().map(of).collect()
    }
}

/// The larger of the errors of the weights and of the shifts.
fn largest(errors: &[(&'static str, f64); 2]) -> f64 {
    errors[0].1.max(errors[1].1)
}

/// The errors of all units, some of which were fitted with the second layer.
fn joined(first: Vec<TensorErrors>, second: &[TensorErrors]) -> Vec<TensorErrors> {
    let mut all = first;
    for errors in second {
        match all.iter_mut().find(|known| known.tensor == errors.tensor) {
            Some(known) => {
                known.bound = known.bound.max(errors.bound);
                known.dependent = known.dependent.max(errors.dependent);
            }
            None => all.push(*errors),
        }
    }
    all
}
