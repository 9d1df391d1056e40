//! Stage 5: the second layer, exactly and without local minima.
//!
//! Hold the units S near the middle of their transitions, saturate the units T on sides y_T(k). Along
//! the dual directions of S, with the constant unknown diagonal G_S = diag(phi'(z_S)),
//!
//! ```text
//! p(k) = G_S B_S (c * h'(u(k)))                                    gradient, |S|
//! K(k) = G_S B_S diag(c * h''(u(k))) B_S^T G_S + diag(kappa * p(k))   Hessian, |S| x |S|
//! ```
//!
//! The rank of the p(k) is m1. With U their range, (I - U U^T) (K(k) - diag(kappa * p(k))) = 0 gives kappa
//! one unit at a time, and the corrected U^T K(k) U have the common rank-one factors of the second layer.

use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::tolerances::{
    FACTOR_SCORE, FACTOR_SEARCHES, FACTOR_STARTS, PEEL_CHOICES, PEEL_FEW_FREE, PEEL_GAP,
    PEEL_LARGEST_STEP, PEEL_LEAST_PATTERNS, PEEL_LEVEL_SPAN, PEEL_LEVELS_OF_TWO, PEEL_LISTED,
    PEEL_NEAR, PEEL_PATTERNS, PEEL_PATTERNS_HELD, PEEL_REDRAWS, PEEL_SPARE_LEVELS,
    PEEL_STEP_POINTS, PEEL_UNCHOSEN,
};
use crate::algebra::joint_diagonalisation::diagonalise_jointly;
use crate::algebra::linalg::thin_svd;
use crate::algebra::rank_one::{self, Ascent};
use crate::algebra::subspace::{self, largest_gap};
use crate::algebra::svec::{smat, svec};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::{PeelFailed, PeelSplit, Peeled};
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::place::{Placement, Placer};
use crate::identify::first_layer::unit::Unit;
use crate::identify::survey::step::{self, Step};
use crate::oracle::Oracle;
use crate::stage::Stage;
use crate::stencil::{GradientScheme, HessianScheme};

/// Why there are no points for the peel.
const DEPENDENT: &str = "the units of T cannot be saturated with those of S held: their directions are too \
                         dependent, or too many for the number of inputs";

/// What the peel measured along the units S.
pub struct Peel {
    /// Units held.
    pub held: Vec<usize>,
    /// Where they are at the first point: direction_i . x.
    pub targets: Vec<f64>,
    /// The points x(k) and the levels of the units that vary: +-1, or part-way.
    pub places: Vec<Placement>,
    /// f at the points.
    pub values: DVector<f64>,
    /// The second layer along the units held.
    pub layer: Resolved,
}

/// The second layer's units, each up to a factor.
pub struct Resolved {
    /// Columns beta_l = G_S b_S,l up to a factor, |S| x m1.
    pub beta: DMatrix<f64>,
    /// w_l(k) = c_l h'(u_l(k)) over that factor, m1 x K.
    pub w: DMatrix<f64>,
    /// c_l h''(u_l(k)) over its square, m1 x K.
    pub curvature: DMatrix<f64>,
    /// The largest share (Frobenius norm) of a Hessian that they do not make diagonal.
    pub off_diagonal: f64,
}

/// Derivatives of f along `moves`.
pub struct Derivatives {
    /// Gradients, |S| x K.
    pub p: DMatrix<f64>,
    /// Error of the gradients (spectral norm), seen by halving the step.
    pub error: f64,
    /// Hessians, |S| x |S|.
    pub hessians: Vec<DMatrix<f64>>,
    /// f itself.
    pub values: DVector<f64>,
    /// The step, and what second differences with it are worth.
    pub step: Step,
}

/// Peels with growing S until the gap shows m1. `attempt` varies the split.
pub fn peel(cx: &mut Context<'_>, units: &[Unit], ascent: Ascent) -> Result<Peel, Halt> {
    let Context { f, land, seed, attempt, evidence, .. } = cx;
    let (f, seed, attempt): (&mut dyn Oracle, _, _) = (*f, *seed, *attempt);
    let (m0, d) = (units.len(), f.input_dim());
    let placer = Placer::new(units, land);
    // Enough of the space must stay free to saturate T in.
    let most = if placer.any_signs() { m0 - 1 } else { (m0 - 1).min(d.saturating_sub(2)) };
    let mut rng = draws::stream(seed, "peel", attempt);
    let mut tried = Vec::new();
    let mut last: Option<Failure> = None;
    // Where signs cannot be chosen, T needs many free dimensions for many patterns of saturation.
    let half = if placer.any_signs() { m0.div_ceil(2) } else { d.div_ceil(2) };
    for size in sizes(half, most) {
        match peel_split(f, units, &placer, size, ascent, &mut rng) {
            Ok(Some((peel, split))) => {
                evidence.peel.push(Peeled { attempt, failed: tried, split: Some(split) });
                return Ok(peel);
            }
            // What was seen with other sizes says more.
            Ok(None) => tried.push(PeelFailed { held: size, reason: DEPENDENT.to_owned() }),
            Err(Halt::Failed(failure)) => {
                tried.push(PeelFailed { held: size, reason: failure.reason.clone() });
                last = Some(failure);
            }
            Err(halt) => return Err(halt),
        }
    }
    let reason = if tried.is_empty() {
        "no split into S and T: it needs three first-layer units, and four dimensions where there are more \
         units than dimensions"
    } else {
        DEPENDENT
    };
    evidence.peel.push(Peeled { attempt, failed: tried, split: None });
    Err(last.unwrap_or_else(|| Failure::new(Stage::Peel, reason)).into())
}

/// Sizes of S in the order tried: first `half`, then more.
fn sizes(half: usize, most: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> =
        [half, (half + most) / 2, most.saturating_sub(2), most.saturating_sub(1), most]
            .into_iter()
            .filter(|&size| size >= 2 && size <= most)
            .collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Units whose directions are best conditioned together, begun at random: each next one is the most
/// independent of those chosen.
pub fn choose(units: &[Unit], size: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut rest: Vec<usize> = (0..units.len()).collect();
    let mut residual: Vec<DVector<f64>> = units.iter().map(|u| u.direction.clone()).collect();
    let mut chosen = Vec::new();
    while chosen.len() < size {
        // One of the three most independent, so that attempts differ.
        rest.sort_by(|&a, &b| residual[b].norm().total_cmp(&residual[a].norm()));
        let pick = rest.remove(rng.random_range(0..rest.len().min(PEEL_CHOICES)));
        chosen.push(pick);
        let q = residual[pick].normalize();
        for &j in &rest {
            let along = q.dot(&residual[j]);
            residual[j].axpy(-along, &q, 1.0);
        }
    }
    chosen.sort_unstable();
    chosen
}

/// Levels of `free` units T: saturated at +-1, or part-way, so many half widths from the middle. Few
/// units have too few patterns of +-1: the p(k) of `held` units need more patterns than m1.
fn levels(free: usize, held: usize) -> Vec<f64> {
    let between = match free {
        1 => held + PEEL_SPARE_LEVELS,
        2 => PEEL_LEVELS_OF_TWO,
        3..=PEEL_FEW_FREE => 1,
        _ => 0,
    };
    // Evenly, none at the ends of their span.
    let spread = |k: usize| PEEL_LEVEL_SPAN * ((2 * k + 1) as f64 / between as f64 - 1.0);
    [-1.0, 1.0].into_iter().chain((0..between).map(spread)).collect()
}

pub fn part_way(level: f64) -> bool {
    level.abs() < 1.0
}

/// Levels of T for each k: distinct random patterns.
fn patterns(
    free: &[usize],
    m0: usize,
    m1_most: usize,
    levels: &[f64],
    rng: &mut ChaCha8Rng,
) -> Vec<Vec<f64>> {
    let wanted = (PEEL_PATTERNS.0 * free.len() + PEEL_PATTERNS.1)
        .max(PEEL_PATTERNS_HELD * m1_most)
        .max(PEEL_LEAST_PATTERNS);
    if free.len() <= PEEL_LISTED {
        let total = levels.len().pow(free.len() as u32);
        let mut all: Vec<usize> = (0..total).collect();
        all.shuffle(rng);
        all.truncate(wanted);
        return all
            .into_iter()
            .map(|mut code| {
                let mut sides = vec![0.0; m0];
                for &j in free {
                    sides[j] = levels[code % levels.len()];
                    code /= levels.len();
                }
                sides
            })
            .collect();
    }
    (0..wanted)
        .map(|_| {
            let mut sides = vec![0.0; m0];
            for &j in free {
                sides[j] = levels[rng.random_range(0..levels.len())];
            }
            sides
        })
        .collect()
}

fn failure(reason: impl Into<String>) -> Halt {
    Failure::new(Stage::Peel, reason).into()
}

/// One split; `None` if its points cannot be placed.
fn peel_split(
    f: &mut dyn Oracle,
    units: &[Unit],
    placer: &Placer,
    size: usize,
    ascent: Ascent,
    rng: &mut ChaCha8Rng,
) -> Result<Option<(Peel, PeelSplit)>, Halt> {
    let m0 = units.len();
    let held = choose(units, size, rng);
    let free: Vec<usize> = (0..m0).filter(|j| !held.contains(j)).collect();
    let targets: Vec<f64> = held.iter().map(|&i| units[i].centre).collect();
    let places = split_places(units, placer, (&held, &targets), &free, rng);
    let Some(moves) = placer.moves(&held).filter(|_| places.len() > free.len() + 1) else {
        return Ok(None);
    };
    let points: Vec<DVector<f64>> = places.iter().map(|p| p.point.clone()).collect();
    let points = DMatrix::from_columns(&points);
    let count = points.ncols();
    let Derivatives { p, error, hessians, values, step } = derivatives(f, &points, &moves)?;
    let svd = thin_svd(&p).ok_or_else(not_finite)?;
    // The held units stray from their places by the angle errors times the distance.
    let strays = points.column_iter().map(|x| x.norm()).fold(0.0, f64::max)
        * held.iter().map(|&i| units[i].error / units[i].half_width).fold(0.0, f64::max);
    let noise = error + strays * svd.s[0];
    let first = svd.s.iter().position(|&s| s <= PEEL_NEAR * noise).unwrap_or(svd.s.len()).max(1);
    let gap =
        largest_gap(&svd.s, first..=size.min(count) - 1, error).filter(|g| g.ratio > PEEL_GAP);
    let Some(gap) = gap else {
        return Err(failure(format!(
            "the gradients along {size} held units show no rank below {size} (singular values {:.2e} to \
             {:.2e}, error {noise:.2e}): m1 is at least {size}, more than can be told from so many units, or more \
             accurate values are needed",
            svd.s[0],
            svd.s[svd.s.len() - 1]
        )));
    };
    let m1 = gap.rank;
    let range = svd.u.columns(0, m1).into_owned();
    let kappa = kappa(&hessians, &p, &range);
    let inner: Vec<DMatrix<f64>> = hessians
        .iter()
        .enumerate()
        .map(|(k, hessian)| {
            let corrected = hessian - DMatrix::from_diagonal(&kappa.component_mul(&p.column(k)));
            range.transpose() * corrected * &range
        })
        .collect();
    let layer = resolve(&range, &inner, &p, ascent, rng)?;
    let row = PeelSplit {
        held: size,
        free: free.len(),
        patterns: count,
        m1,
        gap: gap.ratio,
        error: noise,
        step: step.h,
        off_diagonal: layer.off_diagonal,
    };
    Ok(Some((Peel { held, targets, places, values, layer }, row)))
}

/// Points with the units `held` at their `targets` and those `free` in many patterns of saturation.
fn split_places(
    units: &[Unit],
    placer: &Placer,
    (held, targets): (&[usize], &[f64]),
    free: &[usize],
    rng: &mut ChaCha8Rng,
) -> Vec<Placement> {
    let (m0, size) = (units.len(), held.len());
    let levels = if placer.any_signs() { levels(free.len(), size) } else { vec![-1.0, 1.0] };
    let mut places: Vec<Placement> = Vec::new();
    let mut wanted = patterns(free, m0, size, &levels, rng);
    if !placer.any_signs() {
        // Sides cannot be chosen: many are needed until every unit of T has changed its own.
        wanted.resize(PEEL_UNCHOSEN.0 * free.len() + PEEL_UNCHOSEN.1, vec![1.0; m0]);
    }
    for sides in wanted {
        let between: Vec<usize> = free.iter().copied().filter(|&j| part_way(sides[j])).collect();
        let mut all = held.to_vec();
        all.extend(&between);
        let mut at = targets.to_vec();
        at.extend(between.iter().map(|&j| units[j].centre + sides[j] * units[j].half_width));
        // Where the sides asked for cannot be had, those found may repeat: draw again.
        for _ in 0..PEEL_REDRAWS {
            let Some(mut place) = placer.saturate(&all, &at, Some(&sides), rng) else { continue };
            for &j in &between {
                place.signs[j] = sides[j];
            }
            if places.iter().all(|q| q.signs != place.signs) {
                places.push(place);
                break;
            }
        }
    }
    places
}

/// The unknown constants kappa on the diagonals, one a held unit: (I - U U^T) (K(k) e_j - kappa_j p_j(k) e_j) = 0 for
/// every k, with the columns of `range` for U.
fn kappa(hessians: &[DMatrix<f64>], p: &DMatrix<f64>, range: &DMatrix<f64>) -> DVector<f64> {
    let size = p.nrows();
    let outside = DMatrix::identity(size, size) - range * range.transpose();
    DVector::from_fn(size, |j, _| {
        let e = outside.column(j);
        let (mut top, mut bottom) = (0.0, 0.0);
        for (k, hessian) in hessians.iter().enumerate() {
            top += p[(j, k)] * e.dot(&(&outside * hessian.column(j)));
            bottom += p[(j, k)].powi(2) * e.norm_squared();
        }
        if bottom > 0.0 { top / bottom } else { 0.0 }
    })
}

fn not_finite() -> Halt {
    failure("gradients are not finite")
}

/// Derivatives along the columns of `moves` at the columns of `points`.
pub fn derivatives(
    f: &mut dyn Oracle,
    points: &DMatrix<f64>,
    moves: &DMatrix<f64>,
) -> Result<Derivatives, Halt> {
    // The step, in half widths, by what second differences along the moves do.
    let some =
        points.select_columns(&(0..points.ncols().min(PEEL_STEP_POINTS)).collect::<Vec<_>>());
    let along = (0..some.ncols()).map(|k| k % moves.ncols()).collect::<Vec<_>>();
    let step = step::second_difference(f, &some, &moves.select_columns(&along), PEEL_LARGEST_STEP)?;
    let k = f.hessians(points, moves, HessianScheme::Richardson, step.h)?;
    let hessians = k.column_iter().map(|k| smat(k.as_slice())).collect();
    let values = f.values(points)?;

    // Differences of order 4, extrapolated to order 6. Half the step shows the error: what it changes.
    let mut p_at = |h: f64| f.gradients(points, moves, GradientScheme::Central4, h);
    let (wide, middle, narrow) = (p_at(2.0 * step.h)?, p_at(step.h)?, p_at(0.5 * step.h)?);
    let extrapolated = |wide: &DMatrix<f64>, narrow: &DMatrix<f64>| narrow + (narrow - wide) / 15.0;
    let p = extrapolated(&middle, &narrow);
    let change = &p - extrapolated(&wide, &middle);
    let error = thin_svd(&change).ok_or_else(not_finite)?.s[0];
    Ok(Derivatives { p, error, hessians, values, step })
}

/// The second layer from gradients `p` in the range of the orthonormal columns of `range` (|S| x m1) and
/// Hessians in its coordinates, without those of the first layer.
pub fn resolve(
    range: &DMatrix<f64>,
    inner: &[DMatrix<f64>],
    p: &DMatrix<f64>,
    ascent: Ascent,
    rng: &mut ChaCha8Rng,
) -> Result<Resolved, Halt> {
    let m1 = range.ncols();
    let factors = common_factors(inner, m1, ascent, rng)?;
    let inverse = factors
        .clone()
        .try_inverse()
        .ok_or_else(|| failure("the second-layer directions found are dependent"))?;
    let w = &inverse * range.transpose() * p;
    let mut curvature = DMatrix::zeros(m1, inner.len());
    let mut off_diagonal = 0.0f64;
    for (k, matrix) in inner.iter().enumerate() {
        let diagonal = &inverse * matrix * inverse.transpose();
        curvature.set_column(k, &diagonal.diagonal());
        off_diagonal = off_diagonal.max(
            (&diagonal - DMatrix::from_diagonal(&diagonal.diagonal())).norm() / diagonal.norm(),
        );
    }
    Ok(Resolved { beta: range * factors, w, curvature, off_diagonal })
}

/// The m1 common rank-one factors of symmetric m1 x m1 matrices: stages 2 and 3 once more, in small. Where
/// two of them are nearly parallel, the search does not tell them apart, but diagonalising two of the
/// matrices together does; what makes all of them most nearly diagonal is taken.
fn common_factors(
    matrices: &[DMatrix<f64>],
    m1: usize,
    ascent: Ascent,
    rng: &mut ChaCha8Rng,
) -> Result<DMatrix<f64>, Halt> {
    if m1 == 1 {
        return Ok(DMatrix::identity(1, 1));
    }
    let columns: Vec<DVector<f64>> = matrices.iter().map(|m| DVector::from_vec(svec(m))).collect();
    let stack = DMatrix::from_columns(&columns);
    let space =
        subspace::leading(&stack).ok_or_else(|| failure("second differences are not finite"))?;
    let basis = space.truncated(m1).basis;
    let mut found = Vec::new();
    for _ in 0..FACTOR_SEARCHES {
        let starts = draws::gaussian(rng, m1, FACTOR_STARTS * m1);
        found = rank_one::search(&basis, &starts, ascent);
        found.retain(|c| c.score > FACTOR_SCORE);
        if found.len() >= m1 {
            break;
        }
    }
    let count = found.len();
    let searched = (count >= m1).then(|| {
        let columns: Vec<DVector<f64>> =
            found.into_iter().take(m1).map(|candidate| candidate.direction).collect();
        DMatrix::from_columns(&columns)
    });
    let together = diagonalise_jointly(&stack, m1, rng).map(|joint| joint.directions);
    let choices = searched.into_iter().chain(together);
    let best = choices
        .filter_map(|factors| Some((off_diagonal(matrices, &factors)?, factors)))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, factors)| factors).ok_or_else(|| {
        failure(format!(
            "only {count} of {m1} second-layer directions were found (singular values of their span: \
             {:.2e} to {:.2e}): two of them may be parallel, or the values too inaccurate",
            space.singular_values[0],
            space.singular_values[m1 - 1]
        ))
    })
}

/// Share (Frobenius norm) that F^-1 M_k F^-T, F of unit columns, leave off the diagonals.
fn off_diagonal(matrices: &[DMatrix<f64>], factors: &DMatrix<f64>) -> Option<f64> {
    let inverse = factors.clone().try_inverse()?;
    let (mut off, mut total) = (0.0, 0.0);
    for matrix in matrices {
        let core = &inverse * matrix * inverse.transpose();
        total += core.norm_squared();
        off += core.norm_squared() - core.diagonal().norm_squared();
    }
    let share = (off / total).max(0.0).sqrt();
    share.is_finite().then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_parallel_factors_are_told_apart() {
        let rng = &mut draws::stream(1, "factors", 0);
        let angle = 2f64.to_radians();
        let truth = DMatrix::from_columns(&[
            DVector::from_vec(vec![1.0, 0.0, 0.0]),
            DVector::from_vec(vec![angle.cos(), angle.sin(), 0.0]),
            DVector::from_vec(vec![0.6, 0.0, 0.8]),
        ]);
        let matrices: Vec<DMatrix<f64>> = (0..12)
            .map(|_| {
                let core = DMatrix::from_diagonal(&draws::gaussian(rng, 3, 1).column(0));
                &truth * core * truth.transpose()
            })
            .collect();
        let found = common_factors(&matrices, 3, Ascent::Spectral, rng).unwrap();
        assert!(off_diagonal(&matrices, &found).unwrap() < 1e-8);
        let cosines = truth.tr_mul(&found).abs();
        for (k, cosines) in cosines.row_iter().enumerate() {
            assert!(cosines.max() > 1.0 - 1e-12, "{k}: {cosines}");
        }
    }
}
