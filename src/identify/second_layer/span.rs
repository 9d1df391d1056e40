//! Stage 5 for any second layer: rank-one search among the second differences of a split.
//!
//! Hold the units S, saturate the units T on sides y_T(k), as the peel does. Off the diagonal, where kappa is not,
//!
//! ```text
//! K(k) = G_S B_S diag(c * h''(u(k))) B_S^T G_S = sum_l w_l(k) beta_l beta_l^T,   u_l(k) = b_T,l . y_T(k) + o_l
//! ```
//!
//! so that what is off the diagonals, for all k, spans m1 dimensions and no more, however many that is beside |S|: m1
//! shows as a gap. With all diagonal matrices added the beta_l beta_l^T are in that space, and they are what a rank-one
//! search finds there, beside the axes. The weights w_l(k) then need no more than m1 entries of K at a pattern, and
//! each is a ridge (`ridge.rs`): its signs classify the patterns, which gives the row b_T,l. Gradients
//! p(k) = sum_l beta_l c_l h'(u_l(k)) tell the sizes and signs of beta_l and c_l.
//!
//! Where m1 is beyond what pairs of units tell apart, third differences along three units are looked at: they span the cubes
//! of the beta_l, m1 dimensions of |S|(|S|-1)(|S|-2)/6, and need no slopes and no shifts either. With the directions known, second
//! differences tell the weights: along pairs, and along one unit less what is that unit's own curvature.

use nalgebra::{DMatrix, DVector};
use rand_chacha::ChaCha8Rng;

use super::held::Held;
use super::sight::{Entries, Looks, Sight, all_pairs};
use super::spanned::Spanned;
use super::tolerances::{
    CUBES_STARTS, SPAN_ADDED, SPAN_DISTANCE, SPAN_ENTRIES, SPAN_FIRST_HELD, SPAN_GAP,
    SPAN_HOPELESS, SPAN_LEAST_HELD, SPAN_MORE, SPAN_MOST_PATTERNS, SPAN_OPEN, SPAN_PARALLEL,
    SPAN_PATTERNS, SPAN_REDRAWN, SPAN_ROUNDS, SPAN_ROWS, SPAN_SCORE, SPAN_SEARCHES, SPAN_SEEN,
    SPAN_SPARE, SPAN_SPLITS, SPAN_STARTS, SPAN_SURPRISE,
};
use crate::algebra::linalg::{Cholesky, complement, median, symmetric_eigen, thin_svd};
use crate::algebra::rank_one::{
    most_off_diagonal, off_diagonal, pairs, polish, search_distinct, search_off_diagonal,
};
use crate::algebra::subspace::{Gap, largest_gap};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::{PeelFailed, SpanSplit, Spanning, reported};
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::place::{Placement, Placer};
use crate::identify::first_layer::unit::Unit;
use crate::identify::first_layer::widths::widened;
use crate::oracle::Oracle;
use crate::stage::Stage;

/// The second layer along growing S, until the gap shows m1. `attempt` varies the split.
pub fn span(cx: &mut Context<'_>, units: &[Unit]) -> Result<Spanned, Halt> {
    let Context { f, land, seed, attempt, evidence, .. } = cx;
    let (f, attempt): (&mut dyn Oracle, _) = (*f, *attempt);
    let mut rng = draws::stream(*seed, "span", attempt);
    let units = &widened(f, land, units, &mut rng)?;
    let placer = Placer::new(units, land);
    // Directions must stay free for patterns of T, or two units to vary.
    let beside =
        if placer.any_signs() { units.len() } else { f.input_dim().min(units.len() + 1) - 1 };
    let most = beside.saturating_sub(2);
    let first = SPAN_FIRST_HELD.min(beside / 2).max(SPAN_LEAST_HELD).min(most);
    let mut next = (1..=first).rev().find(|&n| most_off_diagonal(n) > 0).map(Held::by_pairs);
    let mut last = failure(
        "no split into S and T: three first-layer units must be held, and two units and dimensions left",
    );
    let (mut tried, mut splits) = (Vec::new(), 0);
    let mut wanted: Vec<usize> = Vec::new();
    let mut seen: Vec<(Spanned, SpanSplit)> = Vec::new();
    while let Some(held) = next {
        let why = match split(f, (units, &placer), (held, &wanted), &mut rng) {
            Ok((spanned, split)) => {
                // Units that decide whether others show at all are held next.
                wanted.splice(0..0, spanned.deciding());
                wanted.truncate(held.size / 2);
                let told = add(&mut seen, (spanned, split));
                next = (told < seen[0].1.m1).then_some(held);
                if next.is_none() {
                    break;
                }
                seen[0].0.open()
            }
            Err(Stop::Wider { least }) => {
                tried.push(PeelFailed { held: held.size, reason: wider_than(least, most) });
                last = Failure::new(Stage::Peel, wider_than(least, most)).into();
                next = held.wider(least, most, units.len());
                continue;
            }
            Err(Stop::Halt(Halt::Failed(failure))) => {
                next = Some(held.again(first, most));
                failure
            }
            Err(Stop::Halt(halt)) => return Err(halt),
        };
        tried.push(PeelFailed { held: held.size, reason: why.reason.clone() });
        last = why.into();
        splits += 1;
        next = next.filter(|_| splits < SPAN_SPLITS);
    }
    let best = seen.into_iter().next();
    // What is open of a few rows the fit may find.
    let best = best.filter(|(_, best)| SPAN_OPEN * (best.m1 - best.told) <= best.m1);
    let split = best.as_ref().map(|best| best.1.clone());
    evidence.span.push(Spanning { attempt, failed: tried, split });
    best.map(|best| best.0).ok_or(last)
}

/// Adds a split to those `seen`, which learn from each other; the one that tells most comes first. Returns
/// how many rows it tells.
fn add(seen: &mut Vec<(Spanned, SpanSplit)>, (mut new, split): (Spanned, SpanSplit)) -> usize {
    for (other, row) in seen.iter_mut() {
        new.learn(other);
        other.learn(&new);
        row.told = other.told();
    }
    let told = new.told();
    seen.push((new, SpanSplit { told, ..split }));
    seen.sort_by_key(|(_, row)| std::cmp::Reverse((row.told, row.m1)));
    seen[0].1.told
}

/// That the second layer has `least` units or more, with `most` held at a time at best.
fn wider_than(least: usize, most: usize) -> String {
    let can = Held::most_of(most, least);
    if least <= can {
        return format!("differences span {least} dimensions or more");
    }
    format!(
        "the second layer has {least} units or more, or those of the first that are left to vary tell too little of them: with \
         the {most} first-layer units that can be held at a time second and third differences tell {can} apart"
    )
}

/// Why a split did not do.
enum Stop {
    /// What it spans has so many dimensions at least, more than it can tell apart.
    Wider {
        least: usize,
    },
    Halt(Halt),
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Stop::Halt(halt)
    }
}

/// One split.
fn split(
    f: &mut dyn Oracle,
    (units, placer): (&[Unit], &Placer),
    (held, wanted): (Held, &[usize]),
    rng: &mut ChaCha8Rng,
) -> Result<(Spanned, SpanSplit), Stop> {
    let mut sight = Sight::new(f, (units, placer), (held.size, wanted, held.most()), rng)?;
    let entries = held.entries(sight.rng);
    let seconds = sight.differences;
    let firsts = if held.order == 2 { seconds } else { sight.differences_along(&entries)? };
    let mut whole = Looks::new(entries);
    let (mut rounds, mut redrawn) = (0, 0);
    let (space, directions, looks) = loop {
        sight.differences = firsts;
        let space = space(&mut sight, &mut whole, held.most())?;
        let directions = match directions(&space, &whole.entries, &mut sight) {
            // Of a unit that shows at one of the patterns, or two, the space has a part, and no direction.
            Err(Halt::Failed(failed)) if redrawn < SPAN_REDRAWN => {
                redrawn += 1;
                let more = sight.draw(&whole.places, whole.places.len());
                if more.is_empty() {
                    return Err(Halt::Failed(failed).into());
                }
                sight.look(&mut whole, more)?;
                continue;
            }
            directions => directions?,
        };
        sight.differences = seconds;
        let looks = match held.order {
            2 => whole.only(&telling(&directions, &whole.entries)),
            _ => weighing(&mut sight, &whole.places, &directions)?,
        };
        let looks = rest(&mut sight, looks)?;
        // Patterns at which a unit shows that was not seen before.
        let surprises = surprises(&sight, &looks, &directions);
        if surprises.is_empty() || rounds == SPAN_ROUNDS {
            break (space, directions, looks);
        }
        rounds += 1;
        let places: Vec<_> = surprises.iter().map(|&k| looks.places[k].clone()).collect();
        sight.differences = firsts;
        sight.look(&mut whole, places)?;
    };
    let spanned = tell_rows(&mut sight, looks, &directions)?;
    let row = SpanSplit {
        held: held.size,
        order: held.order,
        free: sight.free(),
        patterns: spanned.patterns.places.len(),
        whole: whole.places.len(),
        m1: directions.ncols(),
        singular_values: space.singular_values,
        gap: space.gap.ratio,
        error: firsts.error,
        step: firsts.step,
        told: spanned.told(),
    };
    Ok((spanned, row))
}

/// Looks at more patterns until the rows of all units are told, or no more are had.
fn tell_rows(
    sight: &mut Sight<'_>,
    mut looks: Looks,
    directions: &DMatrix<f64>,
) -> Result<Spanned, Halt> {
    let m1 = directions.ncols();
    let mut spanned = Spanned::of(sight, &looks, directions)?;
    let mut round = 0;
    loop {
        // Activations differ too little to choose patterns otherwise.
        let untold = spanned.untold();
        let told = m1 - untold.len();
        // Where hardly any is told it is not for want of patterns: the directions are not those of units.
        let hopeless = m1 >= SPAN_HOPELESS && told < m1 / SPAN_HOPELESS;
        if untold.is_empty() || hopeless || round == SPAN_MORE {
            return Ok(spanned);
        }
        let more = sight.towards(&looks.places, &untold, looks.places.len());
        if more.is_empty() {
            return Ok(spanned);
        }
        sight.look(&mut looks, more)?;
        spanned = Spanned::of(sight, &looks, directions)?;
        round += 1;
    }
}

/// What the differences span.
struct Space {
    /// Orthonormal columns, entries x m1.
    basis: DMatrix<f64>,
    gap: Gap,
    /// The leading ones.
    singular_values: Vec<f64>,
}

/// Looks at more patterns until m1 shows, `most` at most.
fn space(sight: &mut Sight<'_>, whole: &mut Looks, most: usize) -> Result<Space, Stop> {
    let (size, entries) = (sight.size(), whole.entries.len());
    loop {
        let (stack, noise) = normalised(sight, whole);
        let count = stack.ncols();
        let spare = SPAN_SPARE.0.max(count / SPAN_SPARE.1);
        if count > spare {
            let svd =
                thin_svd(&stack).ok_or_else(|| failure("mixed differences are not finite"))?;
            let ranks = 1..=(entries - 1).min(count - spare);
            let least = SPAN_GAP[usize::from(sight.is_coarse())];
            let gap = largest_gap(&svd.s, ranks, noise).filter(|gap| gap.ratio > least);
            match gap {
                Some(gap) if gap.rank <= most => {
                    let basis = svd.u.columns(0, gap.rank).into_owned();
                    return Ok(Space { basis, gap, singular_values: reported(&svd.s) });
                }
                Some(gap) => return Err(Stop::Wider { least: gap.rank }),
                None if count - spare >= entries => return Err(Stop::Wider { least: entries }),
                None => {}
            }
        }
        if whole.places.len() > SPAN_MOST_PATTERNS * (entries + SPAN_PATTERNS) {
            return Err(Stop::Halt(failure(format!(
                "of {} patterns of saturation only {count} show mixed differences along {size} held units well above \
                 their error: the second layer is saturated nearly everywhere, or the values are too inaccurate",
                whole.places.len()
            ))));
        }
        let wanted = SPAN_PATTERNS.max(whole.places.len() / 2);
        let more = sight.draw(&whole.places, wanted);
        if more.len() < wanted.div_ceil(2) {
            return Err(Stop::Halt(failure(format!(
                "{} patterns of saturation, all that were found with {size} units held, do not show m1",
                whole.places.len()
            ))));
        }
        sight.look(whole, more)?;
    }
}

/// Differences of unit norm, those at their error left out, and what errors make of their singular values at most.
fn normalised(sight: &Sight<'_>, looks: &Looks) -> (DMatrix<f64>, f64) {
    let root = (looks.entries.len() as f64).sqrt();
    let share = |k: usize| {
        let place = &looks.places[k];
        sight.error_at(place) * root / looks.mixed[k].norm() + sight.astray(place)
    };
    let shares: Vec<f64> = (0..looks.places.len()).map(share).collect();
    let usual = median(&shares).unwrap_or(0.0);
    let most = SPAN_SEEN.0.min(SPAN_SEEN.1 * usual);
    let kept: Vec<usize> = (0..shares.len()).filter(|&k| shares[k] <= most).collect();
    if kept.is_empty() {
        return (DMatrix::zeros(looks.entries.len(), 0), 0.0);
    }
    let units: Vec<DVector<f64>> = kept.iter().map(|&k| looks.mixed[k].normalize()).collect();
    let errors: f64 = kept.iter().map(|&k| shares[k].powi(2)).sum::<f64>().sqrt();
    let largest = if sight.is_coarse() {
        // Of errors that are unrelated the largest singular value is less than all of them together: where these are near
        // what is to be seen that counts.
        let (rows, columns) = (looks.entries.len() as f64, kept.len() as f64);
        errors * (rows.sqrt() + columns.sqrt()) / (rows * columns).sqrt()
    } else {
        errors
    };
    (DMatrix::from_columns(&units), largest)
}

/// beta_l / |beta_l| as columns, up to sign.
fn directions(
    space: &Space,
    entries: &Entries,
    sight: &mut Sight<'_>,
) -> Result<DMatrix<f64>, Halt> {
    let (m1, size) = (space.basis.ncols(), sight.size());
    // Errors turn the span by about their share of its least singular value.
    let turned = if sight.is_coarse() { space.gap.ratio.powi(-2) } else { 0.0 };
    let (distance_allowed, rng) = (SPAN_DISTANCE.max(turned), &mut *sight.rng);
    let mut found: Vec<(f64, DVector<f64>)> = Vec::new();
    for _ in 0..SPAN_SEARCHES {
        let limits = match entries {
            Entries::Second(_) => {
                let mut starts = beside(&space.basis, &found, rng);
                let count = SPAN_STARTS * (m1 + size);
                starts.extend((0..count).map(|_| draws::unit_vector(rng, size)));
                search_off_diagonal(&space.basis, &DMatrix::from_columns(&starts))
            }
            Entries::Third(triples) => {
                let starts = draws::gaussian(rng, size, CUBES_STARTS * m1);
                search_distinct(&space.basis, triples, &starts)
            }
        };
        for candidate in limits.iter().filter(|limit| limit.score >= SPAN_SCORE - turned) {
            let polished = match entries {
                Entries::Second(pairs) => polish(&space.basis, pairs, &candidate.direction),
                Entries::Third(triples) => polish(&space.basis, triples, &candidate.direction),
            };
            if let Some((u, distance)) = polished
                && distance < distance_allowed
                && found.iter().all(|(_, other)| other.dot(&u).abs() < SPAN_PARALLEL)
            {
                found.push((distance, u));
            }
        }
        if found.len() >= m1 {
            break;
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    if found.len() < m1 {
        return Err(failure(format!(
            "the differences along {size} held units show m1 = {m1}, but only {} directions were found in \
             their span: two units of the second layer may be parallel there",
            found.len()
        )));
    }
    let columns: Vec<_> = found.into_iter().take(m1).map(|found| found.1).collect();
    Ok(DMatrix::from_columns(&columns))
}

/// Eigenvectors of matrices of the span, with a diagonal of 0, that are orthogonal to those of the directions `found`: what is not
/// found yet is large there.
fn beside(
    basis: &DMatrix<f64>,
    found: &[(f64, DVector<f64>)],
    rng: &mut ChaCha8Rng,
) -> Vec<DVector<f64>> {
    let Some(size) = found.first().map(|found| found.1.len()) else { return Vec::new() };
    let known: Vec<DVector<f64>> =
        found.iter().map(|(_, u)| basis.tr_mul(&off_diagonal(u))).collect();
    let rest = complement(&DMatrix::from_columns(&known));
    let matrices = (0..SPAN_STARTS).filter(|_| rest.ncols() > 0).map(|_| {
        let v = basis * (&rest * draws::unit_vector(rng, rest.ncols()));
        let mut matrix = DMatrix::zeros(size, size);
        for ((i, j), v) in pairs(size).zip(v.iter()) {
            (matrix[(i, j)], matrix[(j, i)]) = (*v, *v);
        }
        matrix
    });
    matrices
        .filter_map(|matrix| Some(symmetric_eigen(&matrix)?.vectors))
        .flat_map(|vectors| vectors.column_iter().map(|v| v.into_owned()).collect::<Vec<_>>())
        .collect()
}

/// Those of the entries that tell the weights of the `directions`: as many as these, the most independent ones, and as many
/// more as show errors.
fn telling(directions: &DMatrix<f64>, entries: &Entries) -> Vec<usize> {
    let rows = entries.of(directions).transpose();
    let most = rows.ncols();
    let m1 = directions.ncols();
    let wanted = ((SPAN_ENTRIES.0 * m1 as f64) as usize + SPAN_ENTRIES.1).min(most);
    let mut chosen = Vec::new();
    let mut residual = rows.clone();
    let mut rest: Vec<usize> = (0..most).collect();
    while chosen.len() < wanted {
        if chosen.len() % m1 == 0 {
            residual = rows.clone();
        }
        let norm = |&k: &usize| residual.column(k).norm_squared();
        let Some(at) = (0..rest.len()).max_by(|&a, &b| norm(&rest[a]).total_cmp(&norm(&rest[b])))
        else {
            break;
        };
        let pick = rest.swap_remove(at);
        chosen.push(pick);
        if let Some(q) = residual.column(pick).try_normalize(0.0) {
            let along = residual.tr_mul(&q);
            residual.ger(-1.0, &q, &along, 1.0);
        }
    }
    chosen.sort_unstable();
    chosen
}

/// Second differences at `places` of which the `directions` tell the weights, where they are too many for those along pairs alone:
/// those along one unit have more, of that unit's own curvature, one number for each unit at all places, which
/// shows in what the directions do not make up.
fn weighing(
    sight: &mut Sight<'_>,
    places: &[Placement],
    directions: &DMatrix<f64>,
) -> Result<Looks, Halt> {
    let size = sight.size();
    sight.bends = Some(DVector::zeros(size));
    let twice = (0..size).map(|i| [i, i]);
    let entries: Vec<[usize; 2]> = all_pairs(size).into_iter().chain(twice).collect();
    let pairs = entries.len() - size;
    let mut looks = Looks::new(Entries::Second(entries));
    sight.look(&mut looks, places.to_vec())?;
    // Entries x (entries - m1).
    let beside = complement(&looks.entries.of(directions));
    let own = beside.rows(pairs, size);
    let (mut square, mut pull) = (DMatrix::zeros(size, size), DVector::zeros(size));
    for (k, place) in looks.places.iter().enumerate() {
        let weight = sight.error_at(place).recip();
        let design = DMatrix::from_diagonal(&looks.first[k]) * own * weight;
        let left = beside.tr_mul(&looks.mixed[k]) * weight;
        square += &design * design.transpose();
        pull += &design * left;
    }
    let factor = Cholesky::new(&square);
    let bends = factor.map(|factor| factor.solve(&pull)).ok_or_else(|| {
        failure("second differences do not tell the curvatures of the units held")
    })?;
    looks.straighten(&bends);
    sight.bends = Some(bends);
    Ok(looks.only(&telling(directions, &looks.entries)))
}

/// Looks at as many more patterns as rows need.
fn rest(sight: &mut Sight<'_>, mut looks: Looks) -> Result<Looks, Halt> {
    let wanted = SPAN_ROWS.0 * sight.unknowns() + SPAN_ROWS.1;
    let more = sight.draw(&looks.places, wanted.saturating_sub(looks.places.len()));
    sight.look(&mut looks, more)?;
    Ok(looks)
}

/// Patterns whose second differences the directions do not make up.
fn surprises(sight: &Sight<'_>, looks: &Looks, directions: &DMatrix<f64>) -> Vec<usize> {
    let design = looks.entries.of(directions);
    let Some(svd) = thin_svd(&design) else { return Vec::new() };
    let left = |k: usize| {
        let mixed = &looks.mixed[k];
        let left = mixed - &svd.u * svd.u.tr_mul(mixed);
        let (place, root) = (&looks.places[k], (mixed.len() as f64).sqrt());
        let share = SPAN_SURPRISE.1 + sight.astray(place);
        left.norm() / (sight.error_at(place) * root + mixed.norm() * share)
    };
    let mut seen: Vec<(f64, usize)> = (0..looks.mixed.len()).map(|k| (left(k), k)).collect();
    seen.retain(|seen| seen.0 > SPAN_SURPRISE.0);
    seen.sort_by(|a, b| b.0.total_cmp(&a.0));
    seen.into_iter().take(SPAN_ADDED).map(|seen| seen.1).collect()
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
    use crate::identify::survey::landscape::Landscape;
    use crate::network::{Activation, Class, TwoLayer};
    use crate::oracle::NetworkOracle;

    fn land() -> Landscape {
        Landscape::unit(1e-16, 1e-16)
    }

    fn spanned(truth: &TwoLayer) -> (Result<Spanned, Halt>, Evidence) {
        let (units, mut f) = (units_of(truth), NetworkOracle::new(truth.clone()));
        in_context(&mut f, &land(), (1, 0), |cx| span(cx, &units))
    }

    #[test]
    fn second_layers_wider_than_the_first_or_than_the_inputs_are_seen() {
        // Square and wide, with part-way levels; more first-layer units than inputs; a narrow one.
        // The last but one is beyond what second differences tell apart.
        for dims in [(12, 12, 20), (11, 24, 14), (14, 14, 40), (14, 14, 3)] {
            let truth = TwoLayer::random(dims, Class::General, Activation::Tanh, 2).unwrap();
            let (found, evidence) = spanned(&truth);
            let found = found.unwrap();
            let seen = &evidence.as_json()["span"][0];
            assert_eq!((&seen["m1"], &seen["told"]), (&dims.2.into(), &dims.2.into()), "{seen}");
            // f follows from the inputs of the second layer, at places with other signs too.
            let second = found.second_layer(truth.h).map_err(|_| "no second layer").unwrap();
            for (place, u) in found.patterns.places.iter().zip(second.u.column_iter()) {
                let output = second.output(&u.into_owned(), truth.h);
                let value = truth.value(place.point.as_slice());
                let off = (output - value).abs();
                assert!(off < 1e-4, "{dims:?}: {output} and {value}");
            }
            let mut c: Vec<f64> = second.c.iter().map(|c| c.abs()).collect();
            let mut exact: Vec<f64> = truth.c.iter().map(|c| c.abs()).collect();
            c.sort_by(f64::total_cmp);
            exact.sort_by(f64::total_cmp);
            assert!(c.iter().zip(&exact).all(|(c, exact)| (c - exact).abs() < 1e-4 * exact));
        }
    }

    #[test]
    fn what_is_beyond_it_says_why() {
        let reason = |dims| {
            let truth = TwoLayer::random(dims, Class::General, Activation::Tanh, 1).unwrap();
            match spanned(&truth).0 {
                Err(Halt::Failed(failure)) => failure.reason,
                _ => panic!("{dims:?} must fail"),
            }
        };
        let said = reason((8, 8, 20));
        assert!(said.contains("6 first-layer units") && said.contains("tell 12 apart"), "{said}");
        assert!(reason((5, 5, 1)).contains("no split into S and T"));
    }

    #[test]
    fn the_gap_is_the_width_and_no_pattern_at_its_error_counts() {
        let truth = TwoLayer::random((12, 12, 7), Class::General, Activation::Tanh, 3).unwrap();
        let (units, mut f) = (units_of(&truth), NetworkOracle::new(truth));
        let placer = Placer::new(&units, &land());
        let rng = &mut draws::stream(1, "gap", 0);
        let most = most_off_diagonal(7);
        let mut sight = Sight::new(&mut f, (&units, &placer), (7, &[3, 5], most), rng).unwrap();
        let mut whole = Looks::new(Entries::Second(all_pairs(7)));
        let Ok(found) = space(&mut sight, &mut whole, most) else { panic!("no gap") };
        assert_eq!((found.gap.rank, found.basis.shape()), (7, (21, 7)));
        assert!(found.gap.ratio > 1e3, "{}", found.gap.ratio);
        assert!([3, 5].iter().all(|j| sight.patterns(&whole.places).held.contains(j)));
        // A pattern that shows nothing but errors is left out.
        let count = normalised(&sight, &whole).0.ncols();
        whole.mixed[0].fill(sight.differences.error);
        assert_eq!(normalised(&sight, &whole).0.ncols(), count - 1);
        // Each direction makes up its share, and the entries chosen tell all of them.
        let found = directions(&found, &whole.entries, &mut sight).unwrap();
        let chosen = telling(&found, &whole.entries);
        let some = whole.entries.of(&found).select_rows(&chosen);
        assert!(some.nrows() < 21 && some.rank(1e-6) == 7);
    }
}
