//! Stage 5 for wide second layers, m1 up to m0: no unit is saturated, so that the whole of B is seen.
//!
//! The peel holds m1 units or more and needs as many others for its patterns. Here all units are in their
//! active range: those of S at one place, those of T at one of a few levels. With G(k) = diag(phi'(z(k)))
//!
//! ```text
//! p(k) = G(k) B (c * h'(u(k)))                                          gradient, m0
//! K(k) = G(k) B diag(c * h''(u(k))) B^T G(k) + diag(kappa(k) * p(k))    Hessian, m0 x m0
//! ```
//!
//! and G(k), kappa(k) are constant for S and depend on the level alone for T. Off the diagonal K has no
//! kappa: those entries of S, for all k, have rank m1, and their row space is that of h''(u_l(k)). The
//! entries (i, t), i in S, are the same combinations of it at every level of t, times phi'(z_t): so the levels'
//! slopes come out, and what of the diagonal is not in the row space is kappa * p.

use nalgebra::{DMatrix, DVector};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::factors::common_factors;
use super::peel::{Peel, Resolved};
use super::split::{Patterns, candidates, choose};
use super::tolerances::{
    PEEL_LARGEST_STEP, ROWS_PER_UNKNOWN, WHOLE_ERROR, WHOLE_GAP, WHOLE_LEVEL_SPAN, WHOLE_LISTED,
    WHOLE_PATTERNS, WHOLE_SINGULAR, WHOLE_STEP_POINTS,
};
use crate::algebra::linalg::thin_svd;
use crate::algebra::rank_one::Ascent;
use crate::algebra::subspace::largest_gap;
use crate::algebra::svec::smat;
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::{WholeSeen, reported};
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::place::{Placement, Placer};
use crate::identify::first_layer::unit::Unit;
use crate::identify::survey::step::{self, Step, Steps};
use crate::oracle::Oracle;
use crate::stage::Stage;
use crate::stencil::{GradientScheme, HessianScheme};

/// All units' rows of the second layer; `attempt` varies S and T.
pub fn whole(cx: &mut Context<'_>, units: &[Unit], ascent: Ascent) -> Result<Peel, Halt> {
    let placer = Placer::new(units, cx.land);
    let result = all_rows(cx, units, &placer, ascent);
    let seen = match &result {
        Ok((_, seen)) => seen.clone(),
        Err(Halt::Failed(failure)) => WholeSeen::Failed { failed: failure.reason.clone() },
        Err(Halt::Oracle(_)) => return result.map(|(peel, _)| peel),
    };
    cx.evidence.whole.push(seen);
    result.map(|(peel, _)| peel)
}

fn all_rows(
    cx: &mut Context<'_>,
    units: &[Unit],
    placer: &Placer,
    ascent: Ascent,
) -> Result<(Peel, WholeSeen), Halt> {
    let m0 = units.len();
    let rng = &mut draws::stream(cx.seed, "whole", cx.attempt);
    let size = size(m0, placer, cx.attempt)?;
    let fixed = choose(units, candidates(units, size), size, &[], rng);
    let varied: Vec<usize> = (0..m0).filter(|j| !fixed.contains(j)).collect();
    let wanted = WHOLE_PATTERNS.1.max(WHOLE_PATTERNS.0 * m0);
    let places = places(units, placer, &varied, wanted, rng)?;
    let all: Vec<usize> = (0..m0).collect();
    let moves = placer.moves(&all).ok_or_else(|| failure("the directions are dependent"))?;
    let points: Vec<DVector<f64>> = places.iter().map(|p| p.point.clone()).collect();
    let points = DMatrix::from_columns(&points);
    let Derivatives { mut p, mut hessians, values, step } = derivatives(cx.f, &points, &moves)?;

    // The entries of S off the diagonal.
    let pairs: Vec<(usize, usize)> = fixed
        .iter()
        .flat_map(|&i| fixed.iter().map(move |&j| (i, j)))
        .filter(|(i, j)| i < j)
        .collect();
    let entries = DMatrix::from_fn(pairs.len(), hessians.len(), |row, k| hessians[k][pairs[row]]);
    let svd = thin_svd(&entries).ok_or_else(|| failure("second differences are not finite"))?;
    let error = WHOLE_ERROR * step.error * (entries.len() as f64).sqrt();
    let gap = largest_gap(&svd.s, 1..=m0.min(pairs.len() - 1), error);
    let Some(gap) = gap.filter(|gap| gap.ratio > WHOLE_GAP) else {
        return Err(failure(format!(
            "no width m1 up to {m0} shows in the second differences (singular values {:.2e} to {:.2e}, error \
             {error:.2e}): it is larger, or the values are too inaccurate",
            svd.s[0],
            svd.s[svd.s.len() - 1]
        )));
    };
    let (m1, singular_values) = (gap.rank, reported(&svd.s));
    let space = svd.v.columns(0, m1).into_owned();

    let slopes = slopes(&hessians, &places, &varied, &fixed, &space)?;
    // As if every unit were where it is at the first place.
    p.component_div_assign(&slopes);
    for (hessian, slopes) in hessians.iter_mut().zip(slopes.column_iter()) {
        hessian.component_div_assign(&(slopes * slopes.transpose()));
    }
    remove_kappa(&mut hessians, &p, &places, &space)?;

    let svd = thin_svd(&p).ok_or_else(|| failure("gradients are not finite"))?;
    let range = svd.u.columns(0, m1).into_owned();
    let inner: Vec<DMatrix<f64>> =
        hessians.iter().map(|hessian| range.transpose() * hessian * &range).collect();
    let factors = common_factors(&inner, m1, ascent, rng)?;
    let layer = Resolved {
        beta: &range * &factors.columns,
        w: &factors.inverse * range.transpose() * p,
        curvature: factors.diagonals,
        off_diagonal: factors.off_diagonal,
    };
    let row = WholeSeen::Found {
        fixed: size,
        varied: varied.len(),
        patterns: places.len(),
        m1,
        singular_values,
        gap: gap.ratio,
        error,
        step: step.h,
        off_diagonal: layer.off_diagonal,
    };
    let targets =
        all.iter().map(|&j| units[j].centre + places[0].signs[j] * units[j].half_width).collect();
    let patterns = Patterns { held: all, targets, places };
    Ok((Peel { patterns, values, layer }, row))
}

/// Derivatives of f along `moves`.
struct Derivatives {
    /// Gradients, |S| x K.
    p: DMatrix<f64>,
    /// Hessians, |S| x |S|.
    hessians: Vec<DMatrix<f64>>,
    /// f itself.
    values: DVector<f64>,
    /// The step, and what second differences with it are worth.
    step: Step,
}

/// Derivatives along the columns of `moves` at the columns of `points`.
fn derivatives(
    f: &mut dyn Oracle,
    points: &DMatrix<f64>,
    moves: &DMatrix<f64>,
) -> Result<Derivatives, Halt> {
    // The steps, in half widths, by what differences along the moves do.
    let some = points.columns(0, points.ncols().min(WHOLE_STEP_POINTS)).into_owned();
    let along = (0..some.ncols()).map(|k| k % moves.ncols()).collect::<Vec<_>>();
    let Steps { first, second: step } =
        step::differences(f, &some, &moves.select_columns(&along), PEEL_LARGEST_STEP)?;
    let k = f.hessians(points, moves, HessianScheme::Richardson, step.h)?;
    let hessians = k.column_iter().map(|k| smat(k.as_slice())).collect();
    let values = f.values(points)?;
    let p = f.gradients(points, moves, GradientScheme::Central4, first.h)?;
    Ok(Derivatives { p, hessians, values, step })
}

/// How many of `m0` units are fixed in this attempt.
fn size(m0: usize, placer: &Placer, attempt: u64) -> Result<usize, Halt> {
    // m1 shows in the entries off the diagonal of S if there are more of them: in any case if they are more
    // than m0; less often, but from more patterns, if S is smaller.
    let most = m0.saturating_sub(2);
    let mut sizes: Vec<usize> =
        (m0.div_ceil(2)..=most).filter(|&size| pairs_of(size) > 1).collect();
    sizes.sort_by_key(|&size| (pairs_of(size) <= m0, size));
    if sizes.is_empty() || !placer.any_signs() {
        return Err(failure(
            "to tell a second layer this wide, five first-layer units are needed, and no more of them than \
             dimensions",
        ));
    }
    Ok(sizes[attempt as usize % sizes.len()])
}

/// The slope of every unit at every place, relative to that at the first place, m0 x K: only the units `varied` change
/// theirs, and their second differences with those `fixed` show it. `space` is that of the h'' over the places, K x m1.
fn slopes(
    hessians: &[DMatrix<f64>],
    places: &[Placement],
    varied: &[usize],
    fixed: &[usize],
    space: &DMatrix<f64>,
) -> Result<DMatrix<f64>, Halt> {
    let m0 = varied.len() + fixed.len();
    let mut slopes = DMatrix::from_element(m0, hessians.len(), 1.0);
    for &t in varied {
        let levels = by_level(places, t);
        let mut base: Option<DMatrix<f64>> = None;
        for at in &levels {
            let inputs = space.select_rows(at);
            let entries =
                DMatrix::from_fn(at.len(), fixed.len(), |k, i| hessians[at[k]][(fixed[i], t)]);
            let rows = fit(&inputs, &entries)?;
            let base = base.get_or_insert_with(|| rows.clone());
            let slope = base.dot(&rows) / base.norm_squared();
            if !(slope.is_finite() && slope > 0.0) {
                return Err(failure("the slopes of the first layer could not be told"));
            }
            at.iter().for_each(|&k| slopes[(t, k)] = slope);
        }
    }
    Ok(slopes)
}

/// Takes kappa p_j from the diagonals, one kappa for a unit that is fixed and one a level for one that is varied:
/// K_jj = a . h'' + kappa p_j. `p` are the gradients, m0 x K.
fn remove_kappa(
    hessians: &mut [DMatrix<f64>],
    p: &DMatrix<f64>,
    places: &[Placement],
    space: &DMatrix<f64>,
) -> Result<(), Halt> {
    let m1 = space.ncols();
    for j in 0..p.nrows() {
        let levels = by_level(places, j);
        let mut design = DMatrix::zeros(hessians.len(), m1 + levels.len());
        design.columns_mut(0, m1).copy_from(space);
        for (level, at) in levels.iter().enumerate() {
            at.iter().for_each(|&k| design[(k, m1 + level)] = p[(j, k)]);
        }
        let diagonal = DMatrix::from_fn(hessians.len(), 1, |k, _| hessians[k][(j, j)]);
        let solution = fit(&design, &diagonal)?;
        for (level, at) in levels.iter().enumerate() {
            at.iter().for_each(|&k| hessians[k][(j, j)] -= solution[m1 + level] * p[(j, k)]);
        }
    }
    Ok(())
}

/// Pairs of so many units.
fn pairs_of(units: usize) -> usize {
    units * (units - 1) / 2
}

/// Points with the units `varied` at different levels, in all patterns of them or, where these are many, in
/// `wanted` of them, and the others at their middles.
fn places(
    units: &[Unit],
    placer: &Placer,
    varied: &[usize],
    wanted: usize,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Placement>, Halt> {
    let exponent = varied.len() as u32;
    // Enough patterns, and enough of them at each level of a unit to tell m1 <= m0 combinations apart.
    let enough = |levels: &usize| {
        levels.saturating_pow(exponent) >= wanted
            && levels.saturating_pow(exponent - 1) >= ROWS_PER_UNKNOWN * units.len()
    };
    let count = (2usize..).find(enough).unwrap_or(2);
    let level = |index: usize| WHOLE_LEVEL_SPAN * (2.0 * index as f64 / (count - 1) as f64 - 1.0);
    let total = count.saturating_pow(exponent);
    let patterns: Vec<Vec<usize>> = if total <= WHOLE_LISTED * wanted {
        (0..total).map(|k| (0..exponent).map(|t| k / count.pow(t) % count).collect()).collect()
    } else {
        // A level each by turns, in an order of its own for each unit: all levels come equally often.
        let mut orders = Vec::new();
        for _ in varied {
            let mut order: Vec<usize> = (0..wanted).map(|k| k % count).collect();
            order.shuffle(rng);
            orders.push(order);
        }
        (0..wanted).map(|k| orders.iter().map(|order| order[k]).collect()).collect()
    };
    let all: Vec<usize> = (0..units.len()).collect();
    let mut places: Vec<Placement> = Vec::new();
    for pattern in patterns {
        let mut signs = vec![0.0; units.len()];
        for (&j, &index) in varied.iter().zip(&pattern) {
            signs[j] = level(index);
        }
        let targets: Vec<f64> = units
            .iter()
            .zip(&signs)
            .map(|(unit, sign)| unit.centre + sign * unit.half_width)
            .collect();
        let place = placer.saturate(&all, &targets, None, rng);
        let place = place.ok_or_else(|| failure("the directions are dependent"))?;
        if places.iter().all(|known| known.signs != signs) {
            places.push(Placement { signs, ..place });
        }
    }
    Ok(places)
}

/// The places by the level that unit `j` has there, beginning with that of the first place.
fn by_level(places: &[Placement], j: usize) -> Vec<Vec<usize>> {
    let mut levels: Vec<(f64, Vec<usize>)> = Vec::new();
    for (k, place) in places.iter().enumerate() {
        match levels.iter_mut().find(|(level, _)| *level == place.signs[j]) {
            Some((_, at)) => at.push(k),
            None => levels.push((place.signs[j], vec![k])),
        }
    }
    levels.into_iter().map(|(_, at)| at).collect()
}

/// Least squares for each column of `targets`, with more rows than columns in the design.
fn fit(design: &DMatrix<f64>, targets: &DMatrix<f64>) -> Result<DMatrix<f64>, Halt> {
    let svd = (design.nrows() >= design.ncols()).then(|| thin_svd(design)).flatten();
    let svd =
        svd.ok_or_else(|| failure("too few patterns tell the units of the second layer apart"))?;
    let mut coefficients = svd.u.tr_mul(targets);
    for (mut row, &s) in coefficients.row_iter_mut().zip(&svd.s) {
        row *= if s > WHOLE_SINGULAR * svd.s[0] { s.recip() } else { 0.0 };
    }
    Ok(svd.v * coefficients)
}

fn failure(reason: impl Into<String>) -> Halt {
    Failure::new(Stage::Peel, reason).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::context::in_context;
    use crate::identify::evidence::Evidence;
    use crate::identify::first_layer::units::tests::units_of;
    use crate::identify::second_layer::rows::second_layer;
    use crate::identify::survey::landscape::Landscape;
    use crate::network::{Activation, Ensemble, TwoLayer};
    use crate::oracle::NetworkOracle;

    fn land() -> Landscape {
        Landscape::unit(0.0, 0.0)
    }

    fn network(dims: (usize, usize, usize), seed: u64) -> TwoLayer {
        let ensemble = Ensemble { shift_spread: 0.22, condition: None };
        TwoLayer::of_ensemble(dims, ensemble, Activation::Tanh, seed).unwrap()
    }

    fn run(truth: &TwoLayer, attempt: u64) -> (Result<Peel, Halt>, Evidence) {
        let (units, mut f) = (units_of(truth), NetworkOracle::new(truth.clone()));
        in_context(&mut f, &land(), (1, attempt), |cx| whole(cx, &units, Ascent::Spectral))
    }

    #[test]
    fn a_second_layer_as_wide_as_the_first_is_seen_whole() {
        for (dims, seed) in [((7, 7, 5), 1), ((8, 8, 8), 1), ((9, 7, 4), 2)] {
            let truth = network(dims, seed);
            let (peel, evidence) = run(&truth, 0);
            let peel = peel.unwrap();
            assert_eq!(peel.patterns.held, (0..dims.1).collect::<Vec<_>>());
            assert_eq!(evidence.as_json()["whole"][0]["m1"], dims.2);
            // Columns G B at the first place, in half widths, each up to a factor.
            let beta = &peel.layer.beta;
            assert_eq!(beta.shape(), (dims.1, dims.2));
            let slopes = DVector::from_fn(dims.1, |i, _| {
                let norm = truth.a.column(i).norm();
                2.3 * truth.g.slope(norm * peel.patterns.targets[i] - truth.theta[i])
            });
            let mut expected = DMatrix::from_diagonal(&slopes) * &truth.b;
            for (l, mut column) in expected.column_iter_mut().enumerate() {
                column.normalize_mut();
                let cosine = |b: nalgebra::DVectorView<f64>| (b.dot(&column) / b.norm()).abs();
                let best = beta.column_iter().map(cosine).fold(0.0, f64::max);
                assert!(best > 1.0 - 1e-6, "{dims:?}, unit {l}: {best}");
            }
            // What is measured is the values there, and makes a second layer.
            for (place, value) in peel.patterns.places.iter().zip(peel.values.iter()) {
                assert!((truth.value(place.point.as_slice()) - value).abs() < 1e-12);
            }
            let second = second_layer(&peel, truth.h).map_err(|_| "no second layer").unwrap();
            let mut c: Vec<f64> = second.c.iter().map(|c| c.abs()).collect();
            c.sort_by(f64::total_cmp);
            assert!(c.iter().all(|c| (c - 1.0).abs() < 1e-3), "{dims:?}: {c:?}");
        }
    }

    #[test]
    fn what_is_beyond_it_says_why() {
        let reason = |dims| {
            let (result, evidence) = run(&network(dims, 1), 0);
            match result {
                Err(Halt::Failed(failure)) => {
                    assert_eq!(failure.stage, Stage::Peel);
                    assert_eq!(evidence.as_json()["whole"][0]["failed"], failure.reason);
                    failure.reason
                }
                _ => panic!("{dims:?} must fail"),
            }
        };
        // Too few units, and more of them than inputs.
        for dims in [(4, 4, 2), (5, 8, 2)] {
            assert!(reason(dims).contains("five first-layer units are needed"), "{dims:?}");
        }
        // More second-layer units than first-layer ones.
        let said = reason((6, 6, 9));
        assert!(
            said.contains("no width m1 up to 6 shows") && said.contains("it is larger"),
            "{said}"
        );
    }

    #[test]
    fn attempts_hold_other_units() {
        let truth = network((8, 8, 3), 1);
        let fixed = |attempt| {
            let (_, evidence) = run(&truth, attempt);
            evidence.as_json()["whole"][0]["fixed"].as_u64().unwrap()
        };
        assert_ne!(fixed(0), fixed(1));
    }

    #[test]
    fn all_levels_come_equally_often_and_no_pattern_twice() {
        let truth = network((8, 8, 3), 1);
        let units = units_of(&truth);
        let placer = Placer::new(&units, &land());
        let rng = &mut draws::stream(1, "places", 0);
        for varied in [vec![1, 6], vec![0, 2, 3, 5, 7]] {
            let places = places(&units, &placer, &varied, 64, rng).map_err(|_| ()).unwrap();
            assert!(places.len() >= 60, "{}", places.len());
            for (k, place) in places.iter().enumerate() {
                assert!(places[..k].iter().all(|other| other.signs != place.signs));
                for (j, unit) in units.iter().enumerate() {
                    let level = (unit.direction.dot(&place.point) - unit.centre) / unit.half_width;
                    assert!((level - place.signs[j]).abs() < 1e-9);
                    assert!(level.abs() < WHOLE_LEVEL_SPAN + 1e-9);
                    assert!(varied.contains(&j) || place.signs[j] == 0.0);
                }
            }
            for &j in &varied {
                let sizes: Vec<usize> = by_level(&places, j).iter().map(Vec::len).collect();
                let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
                assert!(sizes.len() >= 2 && most - least <= places.len() / 8, "{sizes:?}");
                // The first place's level comes first.
                assert_eq!(by_level(&places, j)[0][0], 0);
            }
        }
    }
}
