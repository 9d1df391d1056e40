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
    RIDGE_ARRIVED, RIDGE_BISECTED, RIDGE_CLASSIFIED, RIDGE_COMPRESSED, RIDGE_DAMPING, RIDGE_DECAY, RIDGE_FARTHEST, RIDGE_FLOOR,
    RIDGE_FOLLOWED, RIDGE_HEIGHTS, RIDGE_LEAST_SEEN, RIDGE_MOST_DAMPING, RIDGE_NEWTON_STEPS, RIDGE_REWEIGHTED, RIDGE_SCALES, RIDGE_SLACK,
    RIDGE_STEPS,
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

/// The ridge through the curvatures `w` (K), by the `design` (K x n); `noise` is the error of each. `None` where too few
/// patterns show any curvature.
pub fn fit(design: &DMatrix<f64>, w: &DVector<f64>, noise: f64, h: Activation) -> Option<Ridge> {
    let largest = w.amax();
    let v = w / largest;
    let noise = (noise / largest).max(RIDGE_FLOOR);
    let seen = v.iter().filter(|v| v.abs() > RIDGE_CLASSIFIED * noise).count();
    if !v.iter().all(|v| v.is_finite()) || seen < RIDGE_LEAST_SEEN {
        return None;
    }
    let margins = classified(design, &v, noise)?;
    let compressed = Measure { v: &v, span: Some(RIDGE_COMPRESSED.max(noise)), h };
    let mut starts: Vec<(f64, Point)> = RIDGE_SCALES
        .filter_map(|k| {
            let inputs = &margins * 2f64.powf(0.5 * f64::from(k));
            let sigma = compressed.sigma_for(&(design * &inputs), noise)?;
            let start = Point { inputs, log_sigma: sigma.ln() };
            Some((compressed.residuals(design, &start).norm_squared(), start))
        })
        .collect();
    starts.sort_by(|a, b| a.0.total_cmp(&b.0));
    starts.truncate(RIDGE_FOLLOWED);
    let starts = starts.into_iter().map(|(_, start)| start);
    let steep = RIDGE_HEIGHTS.iter().filter_map(|height| compressed.beyond(design, *height, noise));
    let exact = Measure { v: &v, span: None, h };
    let ends = starts.chain(steep).map(|start| {
        let near = compressed.descend(design, start);
        let end = exact.descend(design, near);
        (exact.residuals(design, &end).norm_squared(), end)
    });
    let (cost, end) = ends.min_by(|a, b| a.0.total_cmp(&b.0))?;
    let misfit = (cost / v.len() as f64).sqrt();
    let error = exact.error(design, &end, misfit.max(noise));
    Some(Ridge { inputs: end.inputs, sigma: end.log_sigma.exp() * largest, misfit, error })
}

/// Unknowns of the fit.
#[derive(Clone)]
struct Point {
    inputs: DVector<f64>,
    log_sigma: f64,
}

/// Where the patterns change sides: a unit vector x with -x . (row k of the design) of the sign of v(k), by logistic
/// regression, in which patterns count by the root of |v|.
fn classified(design: &DMatrix<f64>, v: &DVector<f64>, noise: f64) -> Option<DVector<f64>> {
    let n = design.ncols();
    let weights = v.map(|v| if v.abs() > RIDGE_CLASSIFIED * noise { v.abs().sqrt() } else { 0.0 });
    let mut x = DVector::zeros(n);
    for _ in 0..RIDGE_NEWTON_STEPS {
        let margins = design * &x;
        // p: the probability that a pattern is on the side where v < 0.
        let p = margins.map(|m| 0.5 * (1.0 + (0.5 * m).tanh()));
        let pull = DVector::from_fn(v.len(), |k, _| {
            weights[k] * (p[k] - f64::from(u8::from(v[k] < 0.0)))
        });
        let gradient = design.tr_mul(&pull) + &x * RIDGE_DECAY;
        let roots = DVector::from_fn(v.len(), |k, _| (weights[k] * p[k] * (1.0 - p[k])).sqrt());
        let scaled = DMatrix::from_fn(design.nrows(), n, |k, j| roots[k] * design[(k, j)]);
        let mut second = gram(&scaled.transpose());
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

/// How curvatures v, of which the largest is 1, are compared with a ridge.
struct Measure<'a> {
    v: &'a DVector<f64>,
    /// By asinh(v / span), which is the logarithm with a sign beyond the span; else as they are.
    span: Option<f64>,
    h: Activation,
}

impl Measure<'_> {
    /// What makes the curvatures most alike those of the inputs u, in the mean of the logarithms.
    fn sigma_for(&self, u: &DVector<f64>, noise: f64) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0.0);
        for (&v, &u) in self.v.iter().zip(u.iter()) {
            let bend = self.h.curvature(u);
            if v * bend > 0.0 && v.abs() > RIDGE_CLASSIFIED * noise {
                let weight = v.abs().sqrt();
                sum += weight * (v / bend).ln();
                count += weight;
            }
        }
        let sigma = (sum / count).exp();
        (sigma.is_finite() && sigma > 0.0).then_some(sigma)
    }

    /// As if every pattern that shows a curvature were beyond the largest |h''|, which is `height` times as high as the
    /// largest curvature seen: least sum of distances, by least squares with weights.
    fn beyond(&self, design: &DMatrix<f64>, height: f64, noise: f64) -> Option<Point> {
        let (top, peak) = steepest(self.h);
        let sigma = height / peak;
        let seen: Vec<usize> =
            (0..self.v.len()).filter(|&k| self.v[k].abs() > RIDGE_CLASSIFIED * noise).collect();
        let u: Vec<f64> = seen
            .iter()
            .map(|&k| -self.v[k].signum() * outer(self.h, self.v[k].abs() / sigma, top))
            .collect();
        let rows = design.select_rows(&seen);
        let n = design.ncols();
        let mut weights = vec![1.0; seen.len()];
        let mut inputs = DVector::zeros(n);
        for _ in 0..RIDGE_REWEIGHTED {
            let scaled = DMatrix::from_fn(n, seen.len(), |j, k| weights[k] * rows[(k, j)]);
            let target = DVector::from_fn(seen.len(), |k, _| weights[k] * u[k]);
            let mut square = gram(&scaled);
            let usual = square.trace() / n as f64;
            (0..n).for_each(|j| square[(j, j)] += RIDGE_SLACK * usual);
            inputs = Cholesky::new(&square)?.solve(&(scaled * target));
            let off: Vec<f64> =
                (&rows * &inputs).iter().zip(&u).map(|(fit, u)| (fit - u).abs()).collect();
            let floor = RIDGE_DECAY * median(&off)? + RIDGE_FLOOR;
            weights.iter_mut().zip(&off).for_each(|(w, off)| *w = (off + floor).powf(-0.5));
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

    fn residuals(&self, design: &DMatrix<f64>, at: &Point) -> DVector<f64> {
        let sigma = at.log_sigma.exp();
        (design * &at.inputs)
            .zip_map(self.v, |u, v| self.of(sigma * self.h.curvature(u)) - self.of(v))
    }

    /// Derivatives of the residuals, n + 1 of them.
    fn jacobian(&self, design: &DMatrix<f64>, at: &Point) -> DMatrix<f64> {
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
    fn descend(&self, design: &DMatrix<f64>, start: Point) -> Point {
        let n = design.ncols();
        let mut at = start;
        let mut residuals = self.residuals(design, &at);
        let mut cost = residuals.norm_squared();
        let mut damping = RIDGE_DAMPING;
        let mut normal: Option<(DMatrix<f64>, DVector<f64>)> = None;
        for _ in 0..RIDGE_STEPS {
            let (square, pull) = normal.get_or_insert_with(|| {
                let jacobian = self.jacobian(design, &at);
                (gram(&jacobian.transpose()), jacobian.tr_mul(&residuals))
            });
            let mut damped = square.clone();
            let usual = square.trace() / (n + 1) as f64;
            (0..=n).for_each(|j| damped[(j, j)] += damping * (square[(j, j)] + RIDGE_DECAY * usual));
            let Some(step) = Cholesky::new(&damped).map(|factor| factor.solve(pull)) else { break };
            let next = Point {
                inputs: &at.inputs - step.rows(0, n),
                log_sigma: at.log_sigma - step[n],
            };
            let there = self.residuals(design, &next);
            let next_cost = there.norm_squared();
            if next_cost < cost {
                let done = cost - next_cost < RIDGE_ARRIVED * cost;
                (at, residuals, cost, normal) = (next, there, next_cost, None);
                damping *= 0.2;
                if done {
                    break;
                }
            } else {
                damping *= 4.0;
                if damping > RIDGE_MOST_DAMPING {
                    break;
                }
            }
        }
        at
    }

    /// The largest standard deviation of an input for residuals of `deviation`.
    fn error(&self, design: &DMatrix<f64>, at: &Point, deviation: f64) -> f64 {
        let jacobian = self.jacobian(design, at);
        let n = design.ncols();
        // Scaled to unit columns, so that it is the patterns that decide and not the sizes.
        let sizes: Vec<f64> = jacobian.column_iter().map(|c| c.norm()).collect();
        if sizes.iter().any(|&size| size == 0.0) {
            return f64::INFINITY;
        }
        let scaled =
            DMatrix::from_fn(jacobian.nrows(), n + 1, |k, j| jacobian[(k, j)] / sizes[j]);
        let identity = DMatrix::identity(n + 1, n + 1);
        let Some(factor) = Cholesky::new(&gram(&scaled.transpose())) else { return f64::INFINITY };
        let inverse = factor.solve_columns(&identity);
        let variances = (0..n).map(|j| inverse[(j, j)].max(0.0).sqrt() / sizes[j]);
        deviation * variances.fold(0.0, f64::max)
    }
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
        for (norm, offset) in [(0.3, 0.1), (1.0, -0.5), (3.0, 1.0), (8.0, -3.0), (25.0, 8.0), (60.0, 5.0)] {
            for h in [Activation::Tanh, Activation::Erf] {
                // Of an erf so steep too few patterns show a curvature.
                let seeds = if norm > 30.0 && h == Activation::Erf { 0..0 } else { 0..4 };
                for seed in seeds {
                    let count = if norm > 10.0 { 480 } else { 160 };
                    let (design, x, w) = ridge((20, count), (norm, offset), h, seed);
                    let found = fit(&design, &w, 1e-9, h).unwrap();
                    // Up to the sign of everything, and sigma is positive: the truth has -3.
                    let off = (&found.inputs + &x).amax();
                    assert!(off < 1e-4 * norm.max(1.0), "{h} {norm} {seed}: {off:e} {found:?}");
                    assert!((found.sigma - 3.0).abs() < 1e-2, "{h} {norm} {seed}: {found:?}");
                    assert!(found.misfit < 1e-8 && found.error < 1e-3);
                }
            }
        }
    }
}
