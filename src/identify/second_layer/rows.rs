//! Stage 5, second half: from what the peel measured to the second layer itself.
//!
//! r = c h'' rho^-2 / (c h' rho^-1) is (h''/h')(u) times the unknown factor rho_l, and w is c h'(u) over
//! it. For tanh h' = 1 - (h''/h')^2/4, for erf log h' = const - (h''/h')^2/4: either way one linear regression
//! of w (or log w) on r^2 gives rho_l^2, with no search. Then u_l(k) is known, and affine in the levels
//! of T: another regression gives the rows of B.

use nalgebra::{DMatrix, DVector, DVectorView};

use super::peel::{Peel, Resolved};
use super::split::{Patterns, part_way};
use super::tolerances::{
    MOST_READING, OUTPUTS_CONDITION, OUTPUTS_SINGULAR, ROWS_CONDITION, ROWS_LEAST_SLOPE,
    ROWS_OUTLIER, ROWS_PER_UNKNOWN, ROWS_REFINED, ROWS_ROUNDING, ROWS_ROUNDS, ROWS_STEEP,
};
use crate::algebra::linalg::{Cholesky, gram, least_squares, median, thin_svd};
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::tolerances::LEAST_SINGULAR;
use crate::identify::survey::tolerances::NONZERO;
use crate::network::Activation;
use crate::stage::Stage;

/// The second layer as seen from S.
pub struct SecondLayer {
    /// G_S b_S,l per half width of each unit of S, |S| x m1.
    pub beta: DMatrix<f64>,
    /// Rows b_j of the units T, |T| x m1, in the order of [`SecondLayer::free`].
    pub b_free: DMatrix<f64>,
    /// The units T.
    pub free: Vec<usize>,
    /// u_l(k) = offset_l + b_T . y_T(k), where the units held are as at the first place.
    pub offset: DVector<f64>,
    /// u_l(k) by that affine rule, m1 x K.
    pub u: DMatrix<f64>,
    /// Output weights.
    pub c: DVector<f64>,
    /// Output offset.
    pub c0: f64,
    /// Worst relative residual of the affine rule.
    pub affinity: f64,
    /// How far w is from what the activation makes of r, relative to its largest: the geometric mean over
    /// the units, so that those that show their activation decide.
    pub misfit: f64,
}

impl SecondLayer {
    /// f, from the inputs u of the second layer, of activation `h`.
    pub fn output(&self, u: &DVector<f64>, h: Activation) -> f64 {
        let mut outputs = u.clone();
        h.values(outputs.as_mut_slice());
        self.mixed(outputs.column(0))
    }

    /// f, from what the second layer puts out.
    pub fn mixed(&self, outputs: DVectorView<'_, f64>) -> f64 {
        self.c0 + self.c.iter().zip(outputs.iter()).map(|(c, output)| c * output).sum::<f64>()
    }

    /// f = c0 + sum c_l h(u_l): c again, and c0, by least squares of the `values` at the same points.
    pub fn fit_outputs(&mut self, values: &DVector<f64>, h: Activation) {
        let (m1, count) = self.u.shape();
        let outputs =
            DMatrix::from_fn(
                count,
                m1 + 1,
                |k, l| {
                    if l < m1 { h.value(self.u[(l, k)]) } else { 1.0 }
                },
            );
        if count > ROWS_PER_UNKNOWN * (m1 + 1)
            && let Some((x, condition)) = least_squares(&outputs, values, OUTPUTS_SINGULAR)
            && condition < OUTPUTS_CONDITION
        {
            self.c.copy_from(&x.rows(0, m1));
            self.c0 = x[m1];
        } else {
            let residual = values - outputs.columns(0, m1) * &self.c;
            self.c0 = residual.mean();
        }
    }
}

/// Scales, inputs and free rows of the second layer, for its activation h.
pub fn second_layer(peel: &Peel, h: Activation) -> Result<SecondLayer, Halt> {
    let Resolved { beta, w, curvature, .. } = &peel.layer;
    let (m1, count) = w.shape();
    let Design { matrix: design, free, .. } = design(&peel.patterns)?;
    let columns = design.ncols();
    let mut out = SecondLayer {
        beta: beta.clone(),
        b_free: DMatrix::zeros(free.len(), m1),
        free,
        offset: DVector::zeros(m1),
        u: DMatrix::zeros(m1, count),
        c: DVector::zeros(m1),
        c0: 0.0,
        affinity: 0.0,
        misfit: 0.0,
    };
    let mut logs = 0.0;
    for l in 0..m1 {
        let w: Vec<f64> = w.row(l).iter().copied().collect();
        let bend: Vec<f64> = curvature.row(l).iter().copied().collect();
        let Scale { rho, w0, misfit } = scale_of(&w, &bend, h).ok_or_else(|| {
            failure(format!("second-layer unit {l} shows no curvature: its scale is open"))
        })?;
        logs += misfit.max(f64::MIN_POSITIVE).ln();
        let u: Vec<f64> =
            (0..count).map(|k| input_of(w[k] / w0, bend[k] / w[k] / rho, h)).collect();
        // The slope of h weighs a reading: saturated units tell their input badly.
        let mut weights: Vec<f64> = (0..count)
            .map(|k| if u[k].is_finite() { (w[k] / w0).abs().min(1.0) } else { 0.0 })
            .collect();
        let solution = robust(&design, &u, &mut weights);
        let fit = &design * &solution;
        let off = (0..count)
            .map(|k| (weights[k] * (u[k].min(MOST_READING) - fit[k])).powi(2))
            .sum::<f64>();
        let size = (0..count).map(|k| (weights[k] * fit[k]).powi(2)).sum::<f64>();
        out.affinity = out.affinity.max((off / size.max(NONZERO)).sqrt());
        for (row, &b) in solution.iter().take(out.free.len()).enumerate() {
            out.b_free[(row, l)] = b;
        }
        out.offset[l] = solution[columns - 1];
        out.u.set_row(l, &fit.transpose());
        out.beta.column_mut(l).scale_mut(rho);
        out.c[l] = w0 / (rho * h.slope(0.0));
    }
    out.misfit = (logs / m1 as f64).exp();
    out.fit_outputs(&peel.values, h);
    Ok(out)
}

/// What the inputs of the second layer depend on at every place.
pub struct Design {
    /// K x columns: the side of each free unit, an indicator of every part-way level that occurs (of a unit held: of every
    /// other than that of the first place), and 1.
    pub matrix: DMatrix<f64>,
    /// The free units.
    pub free: Vec<usize>,
    /// The part-way levels: a unit and where it is.
    pub between: Vec<(usize, f64)>,
}

/// The design of the places of `patterns`.
pub fn design(patterns: &Patterns) -> Result<Design, Halt> {
    let Patterns { held, places, .. } = patterns;
    let (m0, count) = (places[0].signs.len(), places.len());
    let free: Vec<usize> = (0..m0).filter(|j| !held.contains(j)).collect();
    let mut between: Vec<(usize, f64)> = Vec::new();
    for place in places {
        for j in (0..m0).filter(|&j| part_way(place.signs[j])) {
            let at_first = held.contains(&j) && place.signs[j] == places[0].signs[j];
            if !at_first && !between.contains(&(j, place.signs[j])) {
                between.push((j, place.signs[j]));
            }
        }
    }
    let columns = free.len() + between.len() + 1;
    if count < columns {
        return Err(failure(format!("{count} patterns are too few for {columns} unknowns")));
    }
    let matrix = DMatrix::from_fn(count, columns, |k, column| {
        let signs = &places[k].signs;
        if column < free.len() {
            let side = signs[free[column]];
            if part_way(side) { 0.0 } else { side }
        } else if column < free.len() + between.len() {
            let (j, level) = between[column - free.len()];
            f64::from(u8::from(signs[j] == level))
        } else {
            1.0
        }
    });
    if thin_svd(&matrix).is_none_or(|svd| svd.s[0] > ROWS_CONDITION * svd.s[columns - 1]) {
        return Err(failure("the patterns of saturation do not tell the rows of B apart"));
    }
    Ok(Design { matrix, free, between })
}

/// Least squares of the readings `u`, by their `weights`, which become 0 where a reading is far off the common rule.
fn robust(design: &DMatrix<f64>, u: &[f64], weights: &mut [f64]) -> DVector<f64> {
    let (count, columns) = design.shape();
    let mut solution = DVector::zeros(columns);
    for _ in 0..ROWS_ROUNDS {
        let scaled = DMatrix::from_fn(count, columns, |k, j| weights[k] * design[(k, j)]);
        let target =
            DVector::from_fn(count, |k, _| if weights[k] > 0.0 { weights[k] * u[k] } else { 0.0 });
        let fast = by_normal_equations(&scaled, &target);
        let Some(x) = fast.or_else(|| Some(least_squares(&scaled, &target, LEAST_SINGULAR)?.0))
        else {
            break;
        };
        solution = x;
        // Readings far off the common rule are broken ones.
        let fit = design * &solution;
        let off: Vec<f64> = (0..count)
            .filter(|&k| weights[k] > 0.0)
            .map(|k| weights[k] * (u[k] - fit[k]).abs())
            .collect();
        let typical = median(&off).unwrap_or(0.0);
        let broken: Vec<usize> = (0..count)
            .filter(|&k| weights[k] > 0.0)
            .filter(|&k| {
                weights[k] * (u[k] - fit[k]).abs() > ROWS_OUTLIER * typical + ROWS_ROUNDING
            })
            .collect();
        if broken.is_empty() {
            break;
        }
        broken.into_iter().for_each(|k| weights[k] = 0.0);
    }
    solution
}

/// Least squares by the normal equations, a twentieth of the work of a singular value decomposition; once more with
/// what is left, which shows what their rounding is. `None` where that is much.
fn by_normal_equations(design: &DMatrix<f64>, target: &DVector<f64>) -> Option<DVector<f64>> {
    let factor = Cholesky::new(&gram(&design.transpose()))?;
    let solution = factor.solve(&design.tr_mul(target));
    let more = factor.solve(&design.tr_mul(&(target - design * &solution)));
    (more.norm() <= ROWS_REFINED * solution.norm()).then(|| solution + more)
}

fn failure(reason: impl Into<String>) -> Halt {
    Failure::new(Stage::Peel, reason).into()
}

/// What relates w and r for one unit.
struct Scale {
    /// The unknown factor.
    rho: f64,
    /// w where the unit is at its middle.
    w0: f64,
    /// Weighted root mean square distance of w from what r makes of it, relative to the largest w.
    misfit: f64,
}

/// By weighted regression of w (tanh) or log w (erf) on r^2.
fn scale_of(w: &[f64], bend: &[f64], h: Activation) -> Option<Scale> {
    let largest = w.iter().fold(0.0f64, |a, w| a.max(w.abs()));
    let sign = w.iter().sum::<f64>().signum();
    // (weight, r^2, w)
    let seen: Vec<(f64, f64, f64)> = w
        .iter()
        .zip(bend)
        .filter(|(w, _)| **w * sign >= ROWS_LEAST_SLOPE * largest)
        .map(|(&w, &bend)| ((w / largest).powi(4), (bend / w).powi(2), w * sign))
        .collect();
    let (mut s, mut sx, mut sy, mut sxx, mut sxy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for &(weight, x, w) in &seen {
        let y = if h == Activation::Erf { w.ln() } else { w };
        s += weight;
        sx += weight * x;
        sy += weight * y;
        sxx += weight * x * x;
        sxy += weight * x * y;
    }
    let determinant = s * sxx - sx * sx;
    let slope = (s * sxy - sx * sy) / determinant;
    let intercept = (sxx * sy - sx * sxy) / determinant;
    // tanh: w = w0 - w0 r^2 / (4 rho^2); erf: log w = log w0 - r^2 / (4 rho^2).
    let law = |x: f64| {
        let y = intercept + slope * x;
        if h == Activation::Erf { y.exp() } else { y }
    };
    let rho_squared = if h == Activation::Erf { -0.25 / slope } else { -0.25 * intercept / slope };
    let w0 = sign * law(0.0);
    let off: f64 = seen.iter().map(|&(weight, x, w)| weight * (w - law(x)).powi(2)).sum();
    let misfit = (off / s).sqrt() / largest;
    (rho_squared.is_finite() && rho_squared > 0.0 && w0.is_finite() && w0 != 0.0).then(|| Scale {
        rho: rho_squared.sqrt(),
        w0,
        misfit,
    })
}

/// u from h'(u) / h'(0) and (h''/h')(u): the latter is sharp near the middle, the former farther out.
fn input_of(slope: f64, ratio: f64, h: Activation) -> f64 {
    let y = -0.5 * ratio;
    if h == Activation::Erf {
        return y;
    }
    if y.abs() < ROWS_STEEP {
        y.atanh()
    } else if slope > 0.0 && slope <= 1.0 {
        (1.0 / slope.sqrt()).acosh() * y.signum()
    } else {
        f64::NAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_and_inputs_come_back_from_slopes_and_curvatures() {
        for h in [Activation::Tanh, Activation::Erf] {
            let (rho, c) = (1.7, -0.6);
            let inputs: Vec<f64> = (0..40).map(|k| -1.9 + 0.09 * f64::from(k)).collect();
            let w: Vec<f64> = inputs.iter().map(|&u| rho * c * h.slope(u)).collect();
            let bend: Vec<f64> = inputs.iter().map(|&u| rho * rho * c * h.curvature(u)).collect();
            let Scale { rho: found, w0, misfit } = scale_of(&w, &bend, h).unwrap();
            assert!((found - rho).abs() < 1e-9 && misfit < 1e-12, "{h}: {found}, {misfit}");
            // The other activation would not do.
            let other = if h == Activation::Erf { Activation::Tanh } else { Activation::Erf };
            assert!(scale_of(&w, &bend, other).unwrap().misfit > 1e-3);
            assert!((w0 - rho * c * h.slope(0.0)).abs() < 1e-9);
            for (k, &u) in inputs.iter().enumerate() {
                assert!((input_of(w[k] / w0, bend[k] / w[k] / found, h) - u).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn normal_equations_are_as_good_as_an_svd_or_are_not_used() {
        let rng = &mut crate::draws::stream(1, "normal equations", 0);
        let mut design = crate::draws::gaussian(rng, 40, 12);
        let x = crate::draws::unit_vector(rng, 12);
        design.row_mut(3).scale_mut(1e-5);
        design.column_mut(5).scale_mut(1e-4);
        let found = by_normal_equations(&design, &(&design * &x)).unwrap();
        assert!((found - &x).norm() < 1e-9);
        let twice = design.column(0) * (1.0 + 1e-9) + design.column(2) * 1e-9;
        design.set_column(1, &twice);
        assert!(by_normal_equations(&design, &DVector::repeat(40, 1.0)).is_none());
    }

    #[test]
    fn a_linear_unit_has_no_scale() {
        assert!(scale_of(&[1.0; 8], &[0.0; 8], Activation::Tanh).is_none());
    }
}
