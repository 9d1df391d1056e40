//! Directions of both layers from third derivatives, at base points that make them exact.
//!
//! The third derivatives at a point are a sum of m0 + m1 cubes plus mixed terms. What is found in spite of these
//! tells where they are smaller, and what they are; both are used until nothing is left but cubes.

use crate::identify::context::Context;
use crate::identify::evidence::Decomposed;
use crate::identify::evidence::DirectionsFound;
use crate::identify::evidence::Moved;
use crate::stage::Stage;
use nalgebra::DMatrix;
use rand::Rng;

use super::attribution::Attribution;
use super::inflection;
use super::jet::{self, Jet, JetStep};
use super::mixed::mixed_of;
use super::partition::split;
use super::scales::Layers;
use super::tolerances::{
    BASE_MOVES, CLEANING_GAIN, CLEANINGS, FIRST_CUBES, FOLLOW_CUBES, HOPELESS_RESIDUAL,
    LAST_MOVE_GAIN, LEAST_MOVE, MEND_CUBES, MOST_DOUBLINGS, MOVE_SHARES, RESIDUAL_AT_ERROR,
};
use crate::algebra::symmetric_tensor::decompose;
use crate::draws;
use crate::identify::failure::{Failure, Halt};
use crate::oracle::Oracle;

/// Where jets can be measured.
#[derive(Clone, Copy)]
pub struct Reach {
    /// Their step.
    pub step: JetStep,
    /// How far from the origin they may be.
    pub inner: f64,
}

/// Directions at a base point.
pub struct Directions {
    /// What was measured there.
    pub jet: Jet,
    /// d x (m0 + m1): the length of a column is the cube root of its weight.
    pub components: DMatrix<f64>,
    /// What they leave of the third derivatives.
    pub residual: f64,
    /// Between the layers; the likeliest partition first.
    pub partitions: Vec<(Layers, Attribution)>,
}

impl Directions {
    /// `components` at `jet`.
    fn plain(
        jet: Jet,
        components: DMatrix<f64>,
        residual: f64,
        m1: usize,
        rng: &mut impl Rng,
    ) -> Result<Directions, Halt> {
        let partitions = split(&jet, &components, m1, rng)?;
        Ok(Directions { jet, components, residual, partitions })
    }

    /// `components` at `jet`. Where the layers can be told apart, the mixed terms that follow from them are
    /// taken out and the rest is decomposed again, as long as that helps.
    fn settled(
        jet: Jet,
        components: DMatrix<f64>,
        residual: f64,
        m1: usize,
        rng: &mut impl Rng,
    ) -> Result<Directions, Halt> {
        let mut at = Directions::plain(jet, components, residual, m1, rng)?;
        for _ in 0..CLEANINGS {
            let (layers, attribution) = &at.partitions[0];
            if at.done() || !attribution.decided() {
                break;
            }
            let Some(mixed) = mixed_of(layers) else { break };
            let cleaned = Jet { cubic: at.jet.cubic.minus(&mixed), ..at.jet.clone() };
            let (rank, first) = (at.components.ncols(), Some(&at.components));
            let Some(found) = decompose(&cleaned.cubic, rank, first, FOLLOW_CUBES, rng) else {
                break;
            };
            if found.residual > CLEANING_GAIN * at.residual {
                break;
            }
            at.partitions = split(&cleaned, &found.components, m1, rng)?;
            (at.components, at.residual) = (found.components, found.residual);
        }
        Ok(at)
    }

    /// Nothing is left to gain, or nothing can be gained.
    fn done(&self) -> bool {
        self.residual > HOPELESS_RESIDUAL || self.residual < RESIDUAL_AT_ERROR * self.jet.asymmetry
    }

    /// The best of the base points where one of the layers should be at its inflection, and which layer that
    /// is; `None` if none is better than this one.
    fn moved(
        &self,
        f: &mut dyn Oracle,
        m1: usize,
        reach: Reach,
        rng: &mut impl Rng,
    ) -> Result<Option<(Directions, &'static str)>, Halt> {
        let layers = &self.partitions[0].0;
        let mut best: Option<(Directions, &'static str)> = None;
        for (goal, directions, weights) in [
            ("second layer", &layers.entangled, &layers.entangled_weights),
            ("first layer", &layers.first, &layers.first_weights),
        ] {
            // Its part of the Hessian, D_i + lambda_i a_i . y, shall vanish.
            let Some(slopes) = &weights.third else { continue };
            let rows = DMatrix::from_diagonal(slopes) * directions.transpose();
            let (b, x) = (&weights.second, &self.jet.point);
            let Some(y) = inflection::step_in_ball(&rows, b, x, reach.inner) else { continue };
            if y.norm() < LEAST_MOVE * reach.inner {
                continue;
            }
            for share in MOVE_SHARES {
                let jet = jet::measure(f, &(x + &y * share), reach.step)?;
                let (rank, first) = (self.components.ncols(), Some(&self.components));
                let Some(found) = decompose(&jet.cubic, rank, first, FOLLOW_CUBES, rng) else {
                    continue;
                };
                let next = Directions::settled(jet, found.components, found.residual, m1, rng)?;
                if next.residual < self.residual {
                    if best.as_ref().is_none_or(|(b, _)| next.residual < b.residual) {
                        best = Some((next, goal));
                    }
                    break;
                }
            }
        }
        Ok(best)
    }
}

/// Directions from the third derivatives at one of `jets` and at base points that follow from it: at first the
/// one that cubes explain best, in later attempts each in its turn. A small residual is no proof: what was found
/// on the way comes after the best, for the fit to decide.
///
/// # Errors
/// Stage `directions`, if no m0 + m1 cubes make up the third derivatives.
pub fn search(
    cx: &mut Context<'_>,
    jets: &[Jet],
    m1: usize,
    reach: Reach,
) -> Result<Vec<Directions>, Halt> {
    let attempt = cx.attempt;
    let rng = &mut draws::stream(cx.seed, "decompose", attempt);
    let rank = cx.f.input_dim() + m1;
    // What one search misses a longer one may find.
    let effort = 1 << attempt.min(MOST_DOUBLINGS);
    let alone = attempt as usize % jets.len().max(1);
    let places = if attempt == 0 { jets } else { jets.get(alone..=alone).unwrap_or_default() };
    let mut found: Vec<(&Jet, DMatrix<f64>, f64)> = Vec::new();
    let mut tried = Vec::new();
    for jet in places {
        let Some(one) = decompose(&jet.cubic, rank, None, FIRST_CUBES.times(effort), rng) else {
            continue;
        };
        let (distance, asymmetry) = (jet.point.norm(), jet.asymmetry);
        let (residual, starts) = (one.residual, one.starts);
        tried.push(Decomposed { distance, residual, starts, asymmetry });
        found.push((jet, one.components, one.residual));
    }
    found.sort_by(|a, b| a.2.total_cmp(&b.2));
    let Some((jet, components, residual)) = found.first_mut() else {
        return Err(Failure::new(Stage::Directions, "the third derivatives vanish").into());
    };
    let mend = MEND_CUBES.times(effort);
    if let Some(mended) = decompose(&jet.cubic, rank, Some(components), mend, rng)
        && mended.residual < *residual
    {
        (*components, *residual) = (mended.components, mended.residual);
    }
    let mut at = Directions::settled((*jet).clone(), components.clone(), *residual, m1, rng)?;
    let mut moves = Vec::new();
    for _ in 0..BASE_MOVES {
        if at.done() {
            break;
        }
        let Some((next, goal)) = at.moved(cx.f, m1, reach, rng)? else { break };
        let gain = next.residual / at.residual;
        at = next;
        let (distance, margin) = (at.jet.point.norm(), at.partitions[0].1.margin);
        moves.push(Moved { goal, distance, residual: at.residual, margin });
        if gain > LAST_MOVE_GAIN {
            break;
        }
    }
    let residual = at.residual;
    cx.evidence.directions.push(DirectionsFound::Cubes { m1, first: tried, moves, residual });
    if at.residual > HOPELESS_RESIDUAL {
        return Err(Failure::new(
            Stage::Directions,
            format!(
                "no {rank} cubes make up the third derivatives (relative residual {:.2e}); a smaller \
                 domain about another centre, or a larger one, may have a point where they do",
                at.residual
            ),
        )
        .into());
    }
    let mut all = vec![at];
    for (jet, components, residual) in found {
        if residual <= HOPELESS_RESIDUAL && residual != all[0].residual {
            all.push(Directions::plain(jet.clone(), components, residual, m1, rng)?);
        }
    }
    Ok(all)
}
