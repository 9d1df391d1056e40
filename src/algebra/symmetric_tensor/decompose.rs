//! T = sum_j x_j (x) x_j (x) x_j with somewhat more components than dimensions: a symmetric CP (Waring) decomposition
//! (Kolda and Bader, SIAM Review 51, 2009; Comon, Golub, Lim and Mourrain, SIAM J. Matrix Anal. Appl. 30, 2008).
//!
//! Levenberg-Marquardt from random starts, as Phan, Tichavsky and Cichocki have it for CP without symmetry (SIAM J. Matrix
//! Anal. Appl. 34, 2013). With G = X^T X and half the squared residual as
//! objective, the gradient and the Gauss-Newton matrix need no tensor but T(x_j, x_j, .):
//!
//! ```text
//! gradient  3 (X (G o G) - T(X, X, .))
//! J^T J S   3 S (G o G) + 6 X (G o (S^T X))
//! ```
//!
//! so that a step costs conjugate gradients of O(d r^2) each. Two things make random starts succeed: T is
//! brought to a frame in which it is equally large along all axes, and starts that stop at a local
//! minimum are recognised (the residual of the right one vanishes) and replaced. Often such a minimum has
//! all but one or two components right: a small one missing, another one doubled. Components that several
//! starts agree on take the place of those that only the best one has; then components are drawn again.

use std::cmp::Reverse;

use nalgebra::{DMatrix, DVectorView};
use rand::Rng;
use rand::seq::index::sample;
use rayon::prelude::*;

use super::Cubic;
use super::tolerances::{
    ALIKE_COMPONENTS, CUBES_BATCH, CUBES_DAMPING_FALL, CUBES_DAMPING_RISE, CUBES_DAMPINGS,
    CUBES_FIRST_DAMPING, CUBES_FITTED, CUBES_GAIN, CUBES_GRADIENTS, CUBES_LEAST_DAMPING,
    CUBES_PATIENCE, CUBES_PATIENCE_GAIN, CUBES_STEPS, GRADIENTS_TOLERANCE, GRADIENTS_TOLERANCES,
    MOST_SWAPS, REDRAWN_LENGTH, SMALLEST_AXIS, WORTH_MENDING,
};
use crate::algebra::linalg::symmetric_eigen;
use crate::draws;

/// Components found.
#[derive(Clone, Debug)]
pub struct Decomposition {
    /// d x r; the length of a column is the cube root of its weight.
    pub components: DMatrix<f64>,
    /// |T - sum| / |T| in the frame of equal axes.
    pub residual: f64,
    /// Starts climbed.
    pub starts: usize,
}

/// How long to search.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Random starts at most.
    pub starts: usize,
    /// Trials, after them, with a few components drawn again; so many without a gain end the search.
    pub mendings: usize,
    /// A residual with which the search is content.
    pub enough: f64,
}

impl Effort {
    /// So many times as long.
    pub fn times(self, factor: usize) -> Effort {
        Effort { starts: self.starts * factor, mendings: self.mendings * factor, ..self }
    }
}

/// Decomposes `cubic` into `rank` components, from `first` (d x rank), if given, and from random starts.
/// `None` if T vanishes.
pub fn decompose(
    cubic: &Cubic,
    rank: usize,
    first: Option<&DMatrix<f64>>,
    effort: Effort,
    rng: &mut impl Rng,
) -> Option<Decomposition> {
    let Effort { starts, mendings, enough } = effort;
    let d = cubic.dim();
    let eigen = symmetric_eigen(&cubic.energy())?;
    let largest = eigen.values.max();
    if !(largest > 0.0 && largest.is_finite()) {
        return None;
    }
    // T(W ., W ., W .) has components W^T x.
    let axes = eigen.values.map(|e| e.max(SMALLEST_AXIS * largest).powf(-0.25));
    let frame = &eigen.vectors * DMatrix::from_diagonal(&axes);
    let back = &eigen.vectors * DMatrix::from_diagonal(&axes.map(|a| 1.0 / a));
    let mut even = cubic.congruence(&frame);
    let size = even.norm();
    even.scale_mut(1.0 / size);
    let unit = size.cbrt();

    let mut pool: Vec<Climbed> = Vec::new();
    if let Some(first) = first {
        pool.push(climb(&even, frame.transpose() * first / unit));
    }
    let least = |pool: &[Climbed]| pool.iter().map(|c| c.1).fold(f64::INFINITY, f64::min);
    let mut used = 0;
    while least(&pool) > enough && used < starts {
        let count = CUBES_BATCH.min(starts - used);
        let length = 1.0 / ((d as f64).sqrt() * (rank as f64).powf(1.0 / 6.0));
        let drawn: Vec<_> = (0..count).map(|_| draws::gaussian(rng, d, rank) * length).collect();
        pool.par_extend(drawn.into_par_iter().map(|x| climb(&even, x)));
        used += count;
    }
    pool.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (mut x, mut residual) = pool.first()?.clone();
    let mut swaps = 1;
    while swaps <= MOST_SWAPS && residual > enough {
        let Some(start) = agreed(&x, &pool, swaps) else { break };
        let better = climb(&even, start);
        swaps = if better.1 < CUBES_GAIN * residual { 1 } else { swaps + 1 };
        if better.1 < residual {
            (x, residual) = better;
        }
    }
    let (mut idle, mut trial) = (0, 0);
    while idle < mendings && residual > enough && residual <= WORTH_MENDING {
        let mended = climb(&even, redrawn(&x, trial, rng));
        (idle, trial) = (idle + 1, trial + 1);
        if mended.1 < residual {
            if mended.1 < CUBES_GAIN * residual {
                idle = 0;
            }
            (x, residual) = mended;
        }
    }
    Some(Decomposition { components: back * x * unit, residual, starts: used })
}

/// Components and residual.
type Climbed = (DMatrix<f64>, f64);

/// The same with `swaps` components replaced: those that the fewest of the `pool` have, by those absent here
/// that the most of it have. `None` if there are none.
fn agreed(x: &DMatrix<f64>, pool: &[Climbed], swaps: usize) -> Option<DMatrix<f64>> {
    let alike = |a: DVectorView<'_, f64>, b: DVectorView<'_, f64>| {
        (a - b).norm() < ALIKE_COMPONENTS * a.norm().max(b.norm())
    };
    let has = |y: &DMatrix<f64>, a: DVectorView<'_, f64>| y.column_iter().any(|b| alike(a, b));
    let votes = |a: DVectorView<'_, f64>| pool.iter().filter(|(y, _)| has(y, a)).count();
    let mut absent: Vec<(usize, DVectorView<'_, f64>)> = Vec::new();
    for a in pool.iter().flat_map(|(y, _)| y.column_iter()) {
        if !has(x, a) && !absent.iter().any(|(_, b)| alike(a, *b)) {
            absent.push((votes(a), a));
        }
    }
    absent.sort_by_key(|(votes, _)| Reverse(*votes));
    let mut present: Vec<(usize, usize)> =
        x.column_iter().enumerate().map(|(k, a)| (votes(a), k)).collect();
    present.sort_unstable();
    let mut next = x.clone();
    for swap in 0..swaps {
        let ((many, a), (few, k)) = (absent.get(swap)?, present.get(swap)?);
        if many < few {
            return None;
        }
        next.column_mut(*k).copy_from(a);
    }
    Some(next)
}

/// The same with one or two components drawn again: by turns the smallest ones, the two most alike, and
/// any two.
fn redrawn(x: &DMatrix<f64>, trial: usize, rng: &mut impl Rng) -> DMatrix<f64> {
    let (d, r) = x.shape();
    let norms: Vec<f64> = x.column_iter().map(|c| c.norm()).collect();
    let mut order: Vec<usize> = (0..r).collect();
    order.sort_by(|&i, &j| norms[i].total_cmp(&norms[j]));
    let chosen = match trial % 3 {
        0 => vec![order[(trial / 3) % r]],
        1 => {
            let cosine = |i: usize, j: usize| {
                (x.column(i).dot(&x.column(j)) / (norms[i] * norms[j]).max(f64::MIN_POSITIVE)).abs()
            };
            let mut pairs: Vec<(usize, usize)> =
                (0..r).flat_map(|i| (0..i).map(move |j| (i, j))).collect();
            pairs.sort_by(|a, b| cosine(b.0, b.1).total_cmp(&cosine(a.0, a.1)));
            pairs.get(trial / 3).map_or(vec![0], |&(i, j)| vec![i, j])
        }
        _ => sample(rng, r, 2.min(r)).into_vec(),
    };
    let length = REDRAWN_LENGTH * norms[order[r / 2]];
    let mut x = x.clone();
    for k in chosen {
        x.column_mut(k).copy_from(&(draws::unit_vector(rng, d) * length));
    }
    x
}

/// Where Levenberg-Marquardt is.
struct State {
    x: DMatrix<f64>,
    /// X^T X.
    gram: DMatrix<f64>,
    /// G o G.
    squared: DMatrix<f64>,
    gradient: DMatrix<f64>,
    /// |T - sum|^2 for |T| = 1.
    objective: f64,
}

impl State {
    fn new(cubic: &Cubic, x: DMatrix<f64>) -> State {
        let contracted = cubic.contract(&x);
        let gram = x.transpose() * &x;
        let squared = gram.component_mul(&gram);
        let gradient = (&x * &squared - &contracted) * 3.0;
        let objective = (1.0 - 2.0 * contracted.dot(&x) + squared.dot(&gram)).clamp(0.0, f64::MAX);
        State { x, gram, squared, gradient, objective }
    }

    /// J^T J S.
    fn normal(&self, s: &DMatrix<f64>) -> DMatrix<f64> {
        let inner = (s.transpose() * &self.x).component_mul(&self.gram);
        (s * &self.squared) * 3.0 + (&self.x * inner) * 6.0
    }

    /// (J^T J + lambda)^-1 gradient by conjugate gradients, preconditioned by the first term of J^T J.
    fn step(&self, lambda: f64, tolerance: f64) -> DMatrix<f64> {
        let r = self.x.ncols();
        let inverse = (&self.squared * 3.0 + DMatrix::identity(r, r) * lambda)
            .cholesky()
            .map(|c| c.inverse());
        let precondition = |v: &DMatrix<f64>| match &inverse {
            Some(inverse) => v * inverse,
            None => v.clone(),
        };
        let mut step = DMatrix::zeros(self.x.nrows(), r);
        let mut rest = self.gradient.clone();
        let mut z = precondition(&rest);
        let mut direction = z.clone();
        let mut product = rest.dot(&z);
        let target = tolerance * rest.norm();
        for _ in 0..CUBES_GRADIENTS {
            let image = self.normal(&direction) + &direction * lambda;
            let curvature = direction.dot(&image);
            if curvature <= 0.0 || !curvature.is_finite() {
                break;
            }
            let length = product / curvature;
            step += &direction * length;
            rest -= image * length;
            if rest.norm() <= target {
                break;
            }
            z = precondition(&rest);
            let next = rest.dot(&z);
            direction = &z + direction * (next / product);
            product = next;
        }
        step
    }
}

/// Levenberg-Marquardt from one start; components and residual.
fn climb(cubic: &Cubic, start: DMatrix<f64>) -> Climbed {
    let mut at = State::new(cubic, start);
    let mut lambda = CUBES_FIRST_DAMPING;
    let mut milestone = (0, at.objective);
    for k in 0..CUBES_STEPS {
        let residual = at.objective.sqrt();
        let mut moved = false;
        for _ in 0..CUBES_DAMPINGS {
            let (finest, coarsest) = GRADIENTS_TOLERANCES;
            let step = at.step(lambda, (GRADIENTS_TOLERANCE * residual).clamp(finest, coarsest));
            let next = State::new(cubic, &at.x - step);
            if next.objective < at.objective {
                at = next;
                lambda = (lambda / CUBES_DAMPING_FALL).max(CUBES_LEAST_DAMPING);
                moved = true;
                break;
            }
            lambda *= CUBES_DAMPING_RISE;
        }
        if !moved || at.objective < CUBES_FITTED {
            break;
        }
        if k >= milestone.0 + CUBES_PATIENCE {
            if at.objective > CUBES_PATIENCE_GAIN * milestone.1 {
                break;
            }
            milestone = (k, at.objective);
        }
    }
    let residual = at.objective.sqrt();
    (at.x, residual)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    const EFFORT: Effort = Effort { starts: 32, mendings: 6, enough: 1e-7 };

    #[test]
    fn more_components_than_dimensions_are_found() {
        for (d, rank) in [(6, 6), (8, 11), (12, 17)] {
            let rng = &mut draws::stream(3, "decompose", 0);
            let x = draws::gaussian(rng, d, rank);
            let found = decompose(&Cubic::from_components(&x), rank, None, EFFORT, rng).unwrap();
            assert!(found.residual < 1e-7, "{d} {rank}: {}", found.residual);
            for j in 0..rank {
                let nearest = found
                    .components
                    .column_iter()
                    .map(|y| (y - x.column(j)).norm())
                    .fold(f64::INFINITY, f64::min);
                assert!(nearest < 1e-5 * x.column(j).norm(), "{d} {rank} {j}: {nearest}");
            }
        }
    }

    #[test]
    fn what_starts_agree_on_replaces_what_one_alone_has() {
        let rng = &mut draws::stream(6, "decompose", 0);
        let x = draws::gaussian(rng, 8, 11);
        let odd = draws::gaussian(rng, 8, 3);
        let pool: Vec<Climbed> = (0..3)
            .map(|k| {
                let mut wrong = x.clone();
                wrong.column_mut(k).copy_from(&odd.column(k));
                (wrong, 0.1)
            })
            .collect();
        let mended = agreed(&pool[0].0, &pool, 1).unwrap();
        assert_eq!(mended, x);
        // Nothing that more of them have is missing.
        assert!(agreed(&x, &pool, 1).is_none());
    }

    #[test]
    fn too_few_components_leave_a_residual() {
        let rng = &mut draws::stream(4, "decompose", 0);
        let t = Cubic::from_components(&draws::gaussian(rng, 6, 8));
        let found = decompose(&t, 6, None, EFFORT, rng).unwrap();
        assert!(found.residual > 1e-2);
    }

    proptest! {
        // Fixed, for a search may fail.
        #![proptest_config(ProptestConfig {
            cases: 64,
            rng_seed: RngSeed::Fixed(1),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_tensor_is_the_sum_of_the_cubes_found(
            d in 3usize..=7,
            more in 0usize..=2,
            exponent in -6i32..=6,
            seed in any::<u64>(),
        ) {
            let rng = &mut draws::stream(seed, "decompose", 1);
            let rank = d + more.min(d / 3);
            let x = draws::gaussian(rng, d, rank) * 10f64.powi(exponent);
            let t = Cubic::from_components(&x);
            let found = decompose(&t, rank, None, EFFORT, rng).unwrap();
            let rest = t.minus(&Cubic::from_components(&found.components)).norm() / t.norm();
            prop_assert!(found.residual < 1e-7 && rest < 1e-6, "{:e} {rest:e}", found.residual);
        }
    }

    #[test]
    fn nothing_has_no_components() {
        let t = Cubic::from_components(&DMatrix::zeros(3, 1));
        assert!(decompose(&t, 2, None, EFFORT, &mut draws::stream(5, "decompose", 0)).is_none());
    }
}
