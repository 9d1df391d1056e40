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

use nalgebra::DMatrix;
use rand_chacha::ChaCha8Rng;

use super::held::Held;
use super::sight::{Looks, Sight};
use super::space::{Stop, directions, space};
use super::spanned::Spanned;
use super::tolerances::{
    SPAN_FIRST_HELD, SPAN_HOPELESS, SPAN_LEAST_HELD, SPAN_MORE, SPAN_OPEN, SPAN_REDRAWN,
    SPAN_ROUNDS, SPAN_ROWS, SPAN_SPLITS,
};
use super::weights::{surprises, telling, weighing};
use crate::algebra::rank_one::most_off_diagonal;
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::{PeelFailed, SpanSplit, Spanning};
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::place::Placer;
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

/// One split.
fn split(
    f: &mut dyn Oracle,
    (units, placer): (&[Unit], &Placer),
    (held, wanted): (Held, &[usize]),
    rng: &mut ChaCha8Rng,
) -> Result<(Spanned, SpanSplit), Stop> {
    let (mut sight, along_pairs) =
        Sight::new(f, (units, placer), (held.size, wanted, held.most()), rng)?;
    let entries = held.entries(sight.rng);
    let differences =
        if held.order == 2 { along_pairs } else { sight.differences_along(&entries)? };
    let mut whole = Looks::new(entries, differences);
    let (mut rounds, mut redrawn) = (0, 0);
    let (space, directions, looks) = loop {
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
        let looks = match held.order {
            2 => whole.only(&telling(&directions, &whole.entries)),
            _ => weighing(&mut sight, (&whole.places, along_pairs), &directions)?,
        };
        let looks = rest(&mut sight, looks)?;
        // Patterns at which a unit shows that was not seen before.
        let surprises = surprises(&sight, &looks, &directions);
        if surprises.is_empty() || rounds == SPAN_ROUNDS {
            break (space, directions, looks);
        }
        rounds += 1;
        let places: Vec<_> = surprises.iter().map(|&k| looks.places[k].clone()).collect();
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
        error: differences.error,
        step: differences.step,
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

/// Looks at as many more patterns as rows need.
fn rest(sight: &mut Sight<'_>, mut looks: Looks) -> Result<Looks, Halt> {
    let wanted = SPAN_ROWS.0 * sight.unknowns() + SPAN_ROWS.1;
    let more = sight.draw(&looks.places, wanted.saturating_sub(looks.places.len()));
    sight.look(&mut looks, more)?;
    Ok(looks)
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
        // Square and wide, with part-way levels; more first-layer units than inputs; one beyond what second differences tell apart,
        // whose directions are those of third ones, which are less accurate; a narrow one.
        for (dims, least) in
            [((12, 12, 20), 1e-5), ((11, 24, 14), 1e-5), ((14, 14, 40), 1e-4), ((14, 14, 3), 1e-5)]
        {
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
                assert!(off < least, "{dims:?}: {output} and {value}");
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
}
