//! One unit of the second layer from its curvature at many patterns: w(k) = sigma h''(u(k)), with u(k) linear in what is
//! known of the pattern.
//!
//! h'' is odd and falls, so that the sign of w(k) is that of -u(k), up to one sign of everything: a linear
//! classification of the patterns gives u but for its scale, and one search along the scales a start for least squares.
//! Of a steep unit few patterns show a curvature, and of those most are beyond the largest |h''|, where it has an inverse:
//! for a sigma they tell u, and the few that are not beyond are left out by the least sum of distances.
//! Curvatures spread over many decades, as h'' falls exponentially: the distance at first is that of their
//! logarithms, with the sign, so that every pattern counts where the start is still far off.

use nalgebra::{DMatrix, DVector};

use super::tolerances::{
    RIDGE_ARRIVED, RIDGE_BISECTED, RIDGE_CLASSIFIED, RIDGE_COMPRESSED, RIDGE_DAMPING,
    RIDGE_DAMPING_FALL, RIDGE_DAMPING_RISE, RIDGE_DECAY, RIDGE_FAR, RIDGE_FARTHEST, RIDGE_FLOOR,
    RIDGE_FOLLOWED, RIDGE_FOUND, RIDGE_HEIGHTS, RIDGE_LEAST, RIDGE_LEAST_SEEN, RIDGE_MOST_DAMPING,
    RIDGE_NEAR_TOP, RIDGE_NEWTON_STEPS, RIDGE_PUSHED, RIDGE_REWEIGHTED, RIDGE_SCALES, RIDGE_SLACK,
    RIDGE_STEPS, RIDGE_TOP_WEIGHT,
};
use crate::algebra::linalg::{Cholesky, gram, median};
use crate::network::Activation;

/// What makes the curvatures of one unit.
#[derive(Clone, Debug)]
pub struct Ridge {
    /// u(k) = inputs . (row k of the design).
    pub inputs: DVector<f64>,
    /// w(k) = sigma h''(u(k)), sigma > 0.
    pub sigma: f64,
    /// Root mean square distance of w from that, relative to the largest w.
    pub misfit: f64,
    /// Standard deviation of the least certain of the inputs, by that misfit and the noise; infinite if one is open.
    pub error: f64,
}

/// The ridge through the curvatures `w` (K), by the `design` (K x n); `noise` is the error of each. It may be near a `hint`.
/// `None` where too few patterns show any curvature.
pub fn fit(
    design: &DMatrix<f64>,
    (w, noise): (&DVector<f64>, &DVector<f64>),
    h: Activation,
    hint: Option<&Ridge>,
) -> Option<Ridge> {
    let largest = w.amax();
    let v = w / largest;
    let noise = noise.map(|noise| (noise / largest).max(RIDGE_FLOOR));
    let usual = median(noise.as_slice())?;
    let measure = |span| Measure { design, v: &v, span, h };
    let (compressed, exact) = (measure(Some(RIDGE_COMPRESSED.max(usual))), measure(None));
    let mut best: Option<(f64, Point)> = None;
    // Which curvatures are to be believed is open: those above the noise, or only larger ones.
    'search: for least in RIDGE_LEAST {
        let above = |k: &usize| v[*k].abs() > (RIDGE_CLASSIFIED * noise[*k]).max(least);
        let seen: Vec<usize> = (0..v.len()).filter(above).collect();
        if !v.iter().all(|v| v.is_finite()) || seen.len() < RIDGE_LEAST_SEEN {
            continue;
        }
        let steep = RIDGE_HEIGHTS.iter().filter_map(|height| compressed.beyond(*height, &seen));
        let hint = hint.map(|ridge| Point {
            inputs: ridge.inputs.clone(),
            log_sigma: (ridge.sigma / largest).ln(),
        });
        let starts: Vec<Point> =
            hint.into_iter().chain(compressed.classified(&seen)).chain(steep).collect();
        let pushed = starts.first().map(|start| compressed.one_sided(&seen, start));
        for start in pushed.unwrap_or_default().into_iter().chain(starts) {
            let end = exact.descend(compressed.descend(start));
            let misfit = exact.residuals(&end).norm() / (v.len() as f64).sqrt();
            if best.as_ref().is_none_or(|best| misfit < best.0) {
                best = Some((misfit, end));
            }
            if misfit < RIDGE_FOUND * usual {
                break 'search;
            }
        }
    }
    let (misfit, end) = best?;
    let error = exact.error(&end, misfit.max(usual));
    Some(Ridge { inputs: end.inputs, sigma: end.log_sigma.exp() * largest, misfit, error })
}

/// Unknowns of the fit.
#[derive(Clone)]
struct Point {
    inputs: DVector<f64>,
    log_sigma: f64,
}

/// How curvatures v, of which the largest is 1, are compared with a ridge.
struct Measure<'a> {
    design: &'a DMatrix<f64>,
    v: &'a DVector<f64>,
    /// By asinh(v / span), which is the logarithm with a sign beyond the span; else as they are.
    span: Option<f64>,
    h: Activation,
}

impl Measure<'_> {
    /// Starts along the unit vector x with -x . (row k of the design) of the sign of v(k) where it is `seen`, by logistic
    /// regression in which patterns count by the root of |v|: the best of all scales.
    fn classified(&self, seen: &[usize]) -> Vec<Point> {
        let rows = self.design.select_rows(seen);
        let v = DVector::from_fn(seen.len(), |k, _| self.v[seen[k]]);
        let Some(margins) = sides(&rows, &v) else { return Vec::new() };
        let along = &rows * &margins;
        let mut starts: Vec<(f64, Point)> = RIDGE_SCALES
            .filter_map(|k| {
                let scale = 2f64.powf(0.5 * f64::from(k));
                let sigma = self.sigma_for(&(&along * scale), &v)?;
                let start = Point { inputs: &margins * scale, log_sigma: sigma.ln() };
                Some((self.residuals(&start).norm_squared(), start))
            })
            .collect();
        starts.sort_by(|a, b| a.0.total_cmp(&b.0));
        starts.into_iter().take(RIDGE_FOLLOWED).map(|start| start.1).collect()
    }

    /// Where a unit shows on one side of an input only, the other side is far out, either way: the start with that input and
    /// the last one, which is 1, pushed against each other.
    fn one_sided(&self, seen: &[usize], start: &Point) -> Vec<Point> {
        let last = self.design.ncols() - 1;
        let columns = (0..last).filter_map(|j| {
            let side = self.design[(seen[0], j)];
            let alone = side != 0.0 && seen.iter().all(|&k| self.design[(k, j)] == side);
            alone.then_some((j, side))
        });
        let pushed = |(j, side): (usize, f64), far: f64| {
            let mut point = start.clone();
            point.inputs[j] += far * side;
            point.inputs[last] -= far;
            point
        };
        let columns: Vec<_> = columns.take(RIDGE_PUSHED).collect();
        columns
            .into_iter()
            .flat_map(|at| [RIDGE_FAR, -RIDGE_FAR].map(|far| pushed(at, far)))
            .collect()
    }

    /// What makes the curvatures `v` most alike those of the inputs u, in the mean of the logarithms.
    fn sigma_for(&self, u: &DVector<f64>, v: &DVector<f64>) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0.0);
        for (&v, &u) in v.iter().zip(u.iter()) {
            let bend = self.h.curvature(u);
            if v * bend > 0.0 {
                let weight = v.abs().sqrt();
                sum += weight * (v / bend).ln();
                count += weight;
            }
        }
        let sigma = (sum / count).exp();
        (sigma.is_finite() && sigma > 0.0).then_some(sigma)
    }

    /// As if every pattern `seen` were beyond the largest |h''|, which is `height` times as high as the largest curvature
    /// seen: least sum of distances, by least squares with weights. Near the largest, u is about there, on its side.
    fn beyond(&self, height: f64, seen: &[usize]) -> Option<Point> {
        let (top, peak) = steepest(self.h);
        let sigma = height / peak;
        let near = |k: usize| self.v[seen[k]].abs() > RIDGE_NEAR_TOP * height;
        let u: Vec<f64> = (0..seen.len())
            .map(|k| {
                let v = self.v[seen[k]];
                let size = if near(k) { top } else { outer(self.h, v.abs() / sigma, top) };
                -v.signum() * size
            })
            .collect();
        let rows = self.design.select_rows(seen);
        let n = rows.ncols();
        let weight = |k: usize| if near(k) { RIDGE_TOP_WEIGHT } else { 1.0 };
        let mut weights: Vec<f64> = (0..seen.len()).map(weight).collect();
        let mut inputs = DVector::zeros(n);
        for _ in 0..RIDGE_REWEIGHTED {
            let scaled = DMatrix::from_fn(n, seen.len(), |j, k| weights[k] * rows[(k, j)]);
            let target = DVector::from_fn(seen.len(), |k, _| weights[k] * u[k]);
            let mut square = gram(&scaled);
            let usual = square.trace() / n as f64;
            (0..n).for_each(|j| square[(j, j)] += RIDGE_SLACK * usual);
            inputs = Cholesky::new(&square)?.solve(&(scaled * target));
            let fitted = &rows * &inputs;
            let off: Vec<f64> = (0..seen.len()).map(|k| (fitted[k] - u[k]).abs()).collect();
            let floor = RIDGE_DECAY * median(&off)? + RIDGE_FLOOR;
            for k in (0..seen.len()).filter(|&k| !near(k)) {
                weights[k] = (off[k] + floor).powf(-0.5);
            }
        }
        Some(Point { inputs, log_sigma: sigma.ln() })
    }

    fn of(&self, v: f64) -> f64 {
        self.span.map_or(v, |span| (v / span).asinh())
    }

    /// Its derivative.
    fn slope(&self, v: f64) -> f64 {
        self.span.map_or(1.0, |span| (v * v + span * span).sqrt().recip())
    }

    fn residuals(&self, at: &Point) -> DVector<f64> {
        let sigma = at.log_sigma.exp();
        (self.design * &at.inputs)
            .zip_map(self.v, |u, v| self.of(sigma * self.h.curvature(u)) - self.of(v))
    }

    /// Derivatives of the residuals, n + 1 of them.
    fn jacobian(&self, at: &Point) -> DMatrix<f64> {
        let design = self.design;
        let (count, n) = design.shape();
        let (sigma, u) = (at.log_sigma.exp(), design * &at.inputs);
        let bends = u.map(|u| sigma * self.h.curvature(u));
        let slopes = DVector::from_fn(count, |k, _| {
            self.slope(bends[k]) * sigma * self.h.third_derivative(u[k])
        });
        DMatrix::from_fn(count, n + 1, |k, j| {
            if j < n { slopes[k] * design[(k, j)] } else { self.slope(bends[k]) * bends[k] }
        })
    }

    /// Levenberg-Marquardt.
    fn descend(&self, start: Point) -> Point {
        let n = self.design.ncols();
        let mut at = start;
        let mut residuals = self.residuals(&at);
        let mut cost = residuals.norm_squared();
        let mut damping = RIDGE_DAMPING;
        let mut normal: Option<(DMatrix<f64>, DVector<f64>)> = None;
        for _ in 0..RIDGE_STEPS {
            let (square, pull) = normal.get_or_insert_with(|| {
                let jacobian = self.jacobian(&at);
                (gram(&jacobian.transpose()), jacobian.tr_mul(&residuals))
            });
            let mut damped = square.clone();
            let usual = square.trace() / (n + 1) as f64;
            (0..=n)
                .for_each(|j| damped[(j, j)] += damping * (square[(j, j)] + RIDGE_DECAY * usual));
            let Some(step) = Cholesky::new(&damped).map(|factor| factor.solve(pull)) else { break };
            let next =
                Point { inputs: &at.inputs - step.rows(0, n), log_sigma: at.log_sigma - step[n] };
            let there = self.residuals(&next);
            let next_cost = there.norm_squared();
            if next_cost < cost {
                let done = cost - next_cost < RIDGE_ARRIVED * cost;
                (at, residuals, cost, normal) = (next, there, next_cost, None);
                damping *= RIDGE_DAMPING_FALL;
                if done {
                    break;
                }
            } else {
                damping *= RIDGE_DAMPING_RISE;
                if damping > RIDGE_MOST_DAMPING {
                    break;
                }
            }
        }
        at
    }

    /// The largest standard deviation of an input for residuals of `deviation`.
    fn error(&self, at: &Point, deviation: f64) -> f64 {
        let jacobian = self.jacobian(at);
        let n = self.design.ncols();
        // Scaled to unit columns, so that it is the patterns that decide and not the sizes.
        let sizes: Vec<f64> = jacobian.column_iter().map(|c| c.norm()).collect();
        if sizes.contains(&0.0) {
            return f64::INFINITY;
        }
        let scaled = DMatrix::from_fn(jacobian.nrows(), n + 1, |k, j| jacobian[(k, j)] / sizes[j]);
        let identity = DMatrix::identity(n + 1, n + 1);
        let Some(factor) = Cholesky::new(&gram(&scaled.transpose())) else { return f64::INFINITY };
        let inverse = factor.solve_columns(&identity);
        let variances = (0..n).map(|j| inverse[(j, j)].max(0.0).sqrt() / sizes[j]);
        deviation * variances.fold(0.0, f64::max)
    }
}

/// A unit vector x with -x . (row) of the sign of v, as far as there is one.
fn sides(rows: &DMatrix<f64>, v: &DVector<f64>) -> Option<DVector<f64>> {
    let n = rows.ncols();
    let weights = v.map(|v| v.abs().sqrt());
    let mut x = DVector::zeros(n);
    for _ in 0..RIDGE_NEWTON_STEPS {
        let margins = rows * &x;
        // p: the probability that a pattern is on the side where v < 0.
        let p = margins.map(|m| 0.5 * (1.0 + (0.5 * m).tanh()));
        let pull =
            DVector::from_fn(v.len(), |k, _| weights[k] * (p[k] - f64::from(u8::from(v[k] < 0.0))));
        let gradient = rows.tr_mul(&pull) + &x * RIDGE_DECAY;
        let roots = DVector::from_fn(v.len(), |k, _| (weights[k] * p[k] * (1.0 - p[k])).sqrt());
        let scaled = DMatrix::from_fn(n, rows.nrows(), |j, k| roots[k] * rows[(k, j)]);
        let mut second = gram(&scaled);
        (0..n).for_each(|j| second[(j, j)] += RIDGE_DECAY);
        let step = Cholesky::new(&second)?.solve(&gradient);
        let size = step.norm();
        x -= step;
        if size < RIDGE_ARRIVED * x.norm() {
            break;
        }
    }
    x.try_normalize(0.0)
}

/// Where |h''| is largest, and how large.
fn steepest(h: Activation) -> (f64, f64) {
    let at = if h == Activation::Erf { 0.5f64.sqrt() } else { (1.0 / 3f64.sqrt()).atanh() };
    (at, h.curvature(at).abs())
}

/// Where beyond its largest |h''| is so much, by bisection; where it never is, at the largest.
fn outer(h: Activation, bend: f64, top: f64) -> f64 {
    let (mut low, mut high) = (top, RIDGE_FARTHEST);
    while high - low > RIDGE_BISECTED {
        let middle = 0.5 * (low + high);
        if h.curvature(middle).abs() > bend { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::draws;

    /// A ridge of so many units and its curvatures at `count` patterns of signs.
    fn ridge(
        (free, count): (usize, usize),
        (norm, offset): (f64, f64),
        h: Activation,
        seed: u64,
    ) -> (DMatrix<f64>, DVector<f64>, DVector<f64>) {
        let rng = &mut draws::stream(seed, "ridge", 0);
        let design = DMatrix::from_fn(count, free + 1, |_, j| {
            if j == free || rng.random::<bool>() { 1.0 } else { -1.0 }
        });
        let mut x = draws::unit_vector(rng, free) * norm;
        x = x.push(offset);
        let w = (&design * &x).map(|u| -3.0 * h.curvature(u));
        let noise = draws::gaussian(rng, count, 1).column(0) * 1e-9;
        (design, x, w + noise)
    }

    #[test]
    fn rows_come_from_the_sides_on_which_patterns_are() {
        for (norm, offset) in
            [(0.3, 0.1), (1.0, -0.5), (3.0, 1.0), (8.0, -3.0), (25.0, 8.0), (60.0, 5.0)]
        {
            for h in [Activation::Tanh, Activation::Erf] {
                // Of an erf so steep too few patterns show a curvature.
                let seeds = if norm > 30.0 && h == Activation::Erf { 0..0 } else { 0..4 };
                for seed in seeds {
                    let count = if norm > 10.0 { 480 } else { 160 };
                    let (design, x, w) = ridge((20, count), (norm, offset), h, seed);
                    let found = fit(&design, (&w, &DVector::repeat(count, 1e-9)), h, None).unwrap();
                    // Up to the sign of everything, and sigma is positive: the truth has -3.
                    let off = (&found.inputs + &x).amax();
                    assert!(off < 1e-4 * norm.max(1.0), "{h} {norm} {seed}: {off:e} {found:?}");
                    assert!((found.sigma - 3.0).abs() < 1e-2, "{h} {norm} {seed}: {found:?}");
                    assert!(found.misfit < 1e-8 && found.error < 1e-3);
                }
            }
        }
    }

    #[test]
    fn what_too_few_patterns_show_is_open() {
        // On one side of a free unit nothing shows: its row is open, and known to be.
        let (mut design, _, _) = ridge((10, 200), (1.0, 0.0), Activation::Tanh, 5);
        let mut x = DVector::from_fn(11, |j, _| [30.0, 0.4, -0.6, 0.3, 0.5][j.min(4)]);
        x[10] = -30.0;
        design.column_mut(0).iter_mut().enumerate().for_each(|(k, side)| {
            *side = if k % 5 == 0 { -1.0 } else { 1.0 };
        });
        let w = (&design * &x).map(|u| Activation::Tanh.curvature(u));
        let noise = DVector::repeat(200, 1e-9);
        let found = fit(&design, (&w, &noise), Activation::Tanh, None).unwrap();
        assert!(found.error > 1e3, "{found:?}");
        assert!(fit(&design, (&(w * 1e-12), &noise), Activation::Tanh, None).is_none());
    }

    #[test]
    fn curvatures_at_their_errors_have_no_side() {
        // Half of the patterns are so inaccurate that their signs are wrong.
        let h = Activation::Tanh;
        let (design, x, mut w) = ridge((12, 300), (9.0, 2.0), h, 7);
        let mut noise = DVector::repeat(300, 1e-9);
        for k in 0..150 {
            noise[k] = 1e-3;
            w[k] += if k % 2 == 0 { 1e-3 } else { -1e-3 };
        }
        let found = fit(&design, (&w, &noise), h, None).unwrap();
        assert!((&found.inputs + &x).amax() < 0.1, "{:?}", (&found.inputs + &x).amax());
    }
}
