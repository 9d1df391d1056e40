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
//! The rank of the p(k) is m1. With U their range and z orthogonal to it, z^T K(k) = z^T diag(kappa * p(k)) gives kappa
//! one unit at a time, and the corrected U^T K(k) U have the common rank-one factors beta_l of the second layer: all
//! that takes a few patterns. At the many others that the rows of T need, the directions v_l dual to the factors are
//! enough: along v_l the first derivative of f is c_l h'(u_l(k)), and the second one, corrected, c_l h''(u_l(k)).

use nalgebra::{DMatrix, DVector};
use rand_chacha::ChaCha8Rng;

use super::factors::{Factors, common_factors};
use super::split::{Patterns, Split};
use super::tolerances::{
    PEEL_ACCURATE, PEEL_GAP, PEEL_GROWTH, PEEL_LARGEST_STEP, PEEL_NEAR, PEEL_THOROUGH,
    PEEL_THRIFTY, PeelEffort,
};
use crate::algebra::linalg::thin_svd;
use crate::algebra::rank_one::Ascent;
use crate::algebra::subspace::largest_gap;
use crate::algebra::svec::smat;
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::{PeelFailed, PeelSplit, Peeled, reported};
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::place::Placer;
use crate::identify::first_layer::unit::Unit;
use crate::identify::survey::step::{self, Step, Steps};
use crate::oracle::{Oracle, OracleError};
use crate::stage::Stage;
use crate::stencil::{self, GradientScheme, HessianScheme, Lines};

/// Why there are no points for the peel.
const DEPENDENT: &str = "the units of T cannot be saturated with those of S held: their directions are too \
                         dependent, or too many for the number of inputs";

/// What the peel measured along the units S.
pub struct Peel {
    /// The units held, and where the others were.
    pub patterns: Patterns,
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

/// Peels with growing S until the gap shows m1. `attempt` varies the split. A `thrifty` one begins with few units and
/// asks as little as accurate values need.
pub fn peel(
    cx: &mut Context<'_>,
    units: &[Unit],
    ascent: Ascent,
    thrifty: bool,
) -> Result<Peel, Halt> {
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
    let thrifty = thrifty && land.noise_near <= PEEL_ACCURATE * land.spread;
    let effort = if thrifty { &PEEL_THRIFTY } else { &PEEL_THOROUGH };
    for size in sizes(effort.first_held, half, most) {
        match peel_split(f, (units, &placer), (size, effort), ascent, &mut rng) {
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

/// Sizes of S in the order tried: from the `first` on, growing, then `half`, then more.
fn sizes(first: Option<usize>, half: usize, most: usize) -> Vec<usize> {
    let small = std::iter::successors(first, |size| Some(size * PEEL_GROWTH.0 / PEEL_GROWTH.1));
    let large = [half, (half + most) / 2, most.saturating_sub(2), most.saturating_sub(1), most];
    let mut sizes: Vec<usize> = small
        .take_while(|&size| size < half)
        .chain(large)
        .filter(|&size| size >= 2 && size <= most)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// One split; `None` if its points cannot be placed.
fn peel_split(
    f: &mut dyn Oracle,
    (units, placer): (&[Unit], &Placer),
    (size, effort): (usize, &PeelEffort),
    ascent: Ascent,
    rng: &mut ChaCha8Rng,
) -> Result<Option<(Peel, PeelSplit)>, Halt> {
    let Some(split) = Split::draw(units, placer, size, effort, rng) else {
        return Ok(None);
    };
    let seen = width(f, &split, split.strays(units), effort)?;
    let m1 = seen.range.ncols();
    if size < m1 + effort.spare_held {
        return Err(failure(format!(
            "m1 is at least {m1}: {size} held units are too few to tell so many of the second layer well"
        )));
    }
    let kappa = kappa(f, &split, &seen, effort.kappa(m1), rng)?;
    let factors = factors(f, &split, &seen, (&kappa, effort.factors(m1)), ascent, rng)?;
    let (layer, values, step) = along_duals(f, &split, (&seen.range, &kappa), &factors, effort)?;
    let row = PeelSplit {
        held: size,
        free: split.free.len(),
        patterns: split.patterns.places.len(),
        m1,
        singular_values: seen.singular_values,
        gap: seen.gap,
        error: seen.error,
        step: step.h,
        off_diagonal: factors.off_diagonal,
    };
    Ok(Some((Peel { patterns: split.patterns, values, layer }, row)))
}

/// What shows m1.
struct Width {
    /// Range of the gradients, orthonormal columns, |S| x m1.
    range: DMatrix<f64>,
    /// Gradients at the first of the points, |S| x some.
    p: DMatrix<f64>,
    /// Their leading singular values.
    singular_values: Vec<f64>,
    /// The ratio of these at m1.
    gap: f64,
    /// Their error (spectral norm).
    error: f64,
    /// The step of second differences, in half widths.
    step: f64,
}

/// m1 by the rank of gradients along S, whose units `stray` by so many half widths.
fn width(
    f: &mut dyn Oracle,
    split: &Split,
    strays: f64,
    effort: &PeelEffort,
) -> Result<Width, Halt> {
    let Split { points, moves, .. } = split;
    let size = moves.ncols();
    let steps = steps(f, points, moves, effort)?;
    let count = effort.rank.map_or(points.ncols(), |more| points.ncols().min(size + more));
    let some = points.columns(0, count).into_owned();
    let p = f.gradients(&some, moves, GradientScheme::Central4, steps.first.h)?;
    let svd = thin_svd(&p).ok_or_else(|| failure("gradients are not finite"))?;
    // Root mean square times root of the number of entries.
    let error = steps.first.error * (p.len() as f64).sqrt();
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
    let range = svd.u.columns(0, gap.rank).into_owned();
    let singular_values = reported(&svd.s);
    Ok(Width { range, p, singular_values, gap: gap.ratio, error: noise, step: steps.second.h })
}

/// The best steps along `directions` (d x k), in turn, at some of the points.
fn steps(
    f: &mut dyn Oracle,
    points: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    effort: &PeelEffort,
) -> Result<Steps, OracleError> {
    let count = points.ncols().min(effort.step_points);
    let some = points.columns(0, count).into_owned();
    let along: Vec<usize> = (0..count).map(|k| k % directions.ncols()).collect();
    step::differences(f, &some, &directions.select_columns(&along), PEEL_LARGEST_STEP)
}

/// The unknown constants kappa on the diagonals, one a held unit: z^T K(k) e_j = kappa_j p_j(k) z_j for every z
/// orthogonal to the range of the gradients, a random one at each of `count` patterns.
fn kappa(
    f: &mut dyn Oracle,
    split: &Split,
    seen: &Width,
    count: usize,
    rng: &mut ChaCha8Rng,
) -> Result<DVector<f64>, Halt> {
    let Width { range, p, step, .. } = seen;
    let size = range.nrows();
    let mut top = DVector::<f64>::zeros(size);
    let mut bottom = top.clone();
    for k in 0..count.min(p.ncols()) {
        let z = draws::unit_vector(rng, size);
        let z = (&z - range * range.tr_mul(&z)).normalize();
        // z^T K e_j is a quarter of the difference of the second derivatives along z + e_j and z - e_j.
        let mut pairs = DMatrix::from_fn(size, 2 * size, |i, _| z[i]);
        for j in 0..size {
            pairs[(j, 2 * j)] += 1.0;
            pairs[(j, 2 * j + 1)] -= 1.0;
        }
        let point = split.points.columns(k, 1).into_owned();
        let along = &split.moves * pairs;
        let second = stencil::lines(&mut |x| f.values(x), &point, &along, *step)?.second;
        for j in 0..size {
            let weight = p[(j, k)] * z[j];
            top[j] += weight * (second[2 * j] - second[2 * j + 1]) / 4.0;
            bottom[j] += weight * weight;
        }
    }
    Ok(DVector::from_fn(size, |j, _| if bottom[j] > 0.0 { top[j] / bottom[j] } else { 0.0 }))
}

/// The common factors of the Hessians in the range of the gradients, at `count` patterns.
fn factors(
    f: &mut dyn Oracle,
    split: &Split,
    seen: &Width,
    (kappa, count): (&DVector<f64>, usize),
    ascent: Ascent,
    rng: &mut ChaCha8Rng,
) -> Result<Factors, Halt> {
    let Width { range, p, step, .. } = seen;
    let count = count.min(p.ncols());
    let points = split.points.columns(0, count).into_owned();
    let along = &split.moves * range;
    let hessians = f.hessians(&points, &along, HessianScheme::Richardson, *step)?;
    let inner: Vec<DMatrix<f64>> = hessians
        .column_iter()
        .zip(p.column_iter())
        .map(|(hessian, p)| {
            let diagonal = DMatrix::from_diagonal(&kappa.component_mul(&p));
            smat(hessian.as_slice()) - range.transpose() * diagonal * range
        })
        .collect();
    common_factors(&inner, range.ncols(), ascent, rng)
}

/// The second layer at all patterns, and f there, from lines along the directions dual to the factors.
fn along_duals(
    f: &mut dyn Oracle,
    split: &Split,
    (range, kappa): (&DMatrix<f64>, &DVector<f64>),
    factors: &Factors,
    effort: &PeelEffort,
) -> Result<(Resolved, DVector<f64>, Step), Halt> {
    // Scaled so that the dual directions have length 1.
    let mut duals = range * factors.inverse.transpose();
    let mut beta = range * &factors.columns;
    for (mut dual, mut beta) in duals.column_iter_mut().zip(beta.column_iter_mut()) {
        beta *= dual.normalize_mut();
    }
    let along = &split.moves * &duals;
    let step = steps(f, &split.points, &along, effort)?.second;
    let Lines { values, first: w, second } =
        stencil::lines(&mut |x| f.values(x), &split.points, &along, step.h)?;
    let from_kappa = duals.component_mul(&duals).tr_mul(&(DMatrix::from_diagonal(kappa) * &beta));
    let curvature = second - from_kappa * &w;
    let off_diagonal = factors.off_diagonal;
    Ok((Resolved { beta, w, curvature, off_diagonal }, values, step))
}

fn failure(reason: impl Into<String>) -> Halt {
    Failure::new(Stage::Peel, reason).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::context::in_context;
    use crate::identify::first_layer::units::tests::units_of;
    use crate::identify::second_layer::rows::second_layer;
    use crate::identify::survey::landscape::Landscape;
    use crate::network::{Activation, Class, TwoLayer};
    use crate::oracle::{Meter, NetworkOracle, Silent};

    /// What a peel of the true units finds, and the queries that it asks.
    fn peeled(truth: &TwoLayer, land: &Landscape, thrifty: bool) -> (Peel, serde_json::Value, u64) {
        let (units, mut f) = (units_of(truth), NetworkOracle::new(truth.clone()));
        let mut silent = Silent;
        let mut meter = Meter::new(&mut f, &mut silent, u64::MAX);
        let (found, evidence) =
            in_context(&mut meter, land, (1, 0), |cx| peel(cx, &units, Ascent::Spectral, thrifty));
        (found.unwrap(), evidence.as_json()["peel"][0].clone(), meter.total())
    }

    fn land(noise_near: f64) -> Landscape {
        Landscape::unit(noise_near, 0.0)
    }

    #[test]
    fn accurate_values_need_few_queries() {
        for (dims, most) in [((64, 64, 16), 17_000), ((64, 24, 8), 7_000), ((10, 24, 4), 5_000)] {
            let truth = TwoLayer::random(dims, Class::General, Activation::Tanh, 1).unwrap();
            let (peel, seen, asked) = peeled(&truth, &land(1e-16), true);
            assert_eq!(seen["m1"], dims.2, "{seen}");
            assert!(asked < most, "{dims:?}: {asked} queries");
            // They make the second layer: f follows from its inputs.
            let second = second_layer(&peel, truth.h).map_err(|_| "no second layer").unwrap();
            for (u, value) in second.u.column_iter().zip(peel.values.iter()) {
                let output = second.output(&u.into_owned(), truth.h);
                assert!((output - value).abs() < 1e-4, "{dims:?}: {output} and {value}");
            }
        }
    }

    #[test]
    fn inaccurate_values_are_asked_more_often() {
        let truth = TwoLayer::random((24, 24, 4), Class::Paper, Activation::Tanh, 1).unwrap();
        let held = |noise| peeled(&truth, &land(noise), true).1["held"].as_u64().unwrap();
        assert_eq!((held(1e-16), held(1e-9)), (8, 12));
    }

    #[test]
    fn sizes_grow_to_all_but_one() {
        assert_eq!(sizes(Some(8), 32, 63), [8, 12, 18, 27, 32, 47, 61, 62, 63]);
        assert_eq!(sizes(None, 32, 63), [32, 47, 61, 62, 63]);
        assert_eq!(sizes(Some(8), 5, 9), [5, 7, 8, 9]);
    }
}
