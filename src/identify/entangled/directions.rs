//! Directions of both layers from third derivatives, at base points that make them exact.
//!
//! The third derivatives at a point are a sum of m0 + m1 cubes plus mixed terms. What is found in spite of these
//! tells where they are smaller, and what they are; both are used until nothing is left but cubes.

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
use crate::identify::context::Context;
use crate::identify::evidence::{Decomposed, DirectionsFound, Moved};
use crate::identify::failure::{Failure, Halt};
use crate::oracle::Oracle;
use crate::stage::Stage;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::context::in_context;
    use crate::identify::evidence::Evidence;
    use crate::identify::survey::landscape::Landscape;
    use crate::network::{Activation, Ensemble, TwoLayer};
    use crate::oracle::NetworkOracle;
    use nalgebra::DVector;

    const RADIUS: f64 = 3.0;

    fn network(dims: (usize, usize, usize), shift_spread: f64, seed: u64) -> TwoLayer {
        let ensemble = Ensemble { shift_spread, condition: None };
        TwoLayer::of_ensemble(dims, ensemble, Activation::Tanh, seed).unwrap()
    }

    fn run(truth: &TwoLayer, m1: usize, attempt: u64) -> (Result<Vec<Directions>, Halt>, Evidence) {
        let mut f = NetworkOracle::new(truth.clone());
        let land = Landscape::unit(0.0, 0.0);
        in_context(&mut f, &land, (1, attempt), |cx| {
            let step = jet::choose_step(cx.f, RADIUS, 1)?;
            let reach = Reach { step, inner: RADIUS - step.reach() };
            let jets = inflection::first_jets(cx.f, reach.inner, step)?;
            search(cx, &jets, m1, reach)
        })
    }

    /// The least over the columns of `truth` of the largest cosine that one of the columns of `found` has.
    fn agreement(truth: &DMatrix<f64>, found: &DMatrix<f64>) -> f64 {
        let cosines = |a: DVector<f64>| {
            found.column_iter().map(move |b| (a.dot(&b) / b.norm()).abs()).fold(0.0, f64::max)
        };
        truth.column_iter().map(|a| cosines(a.normalize())).fold(1.0, f64::min)
    }

    #[test]
    fn cubes_are_the_directions_of_both_layers_and_are_told_apart() {
        for (dims, seed) in [((6, 6, 1), 0), ((7, 7, 2), 1)] {
            let truth = network(dims, 0.05, seed);
            let (found, evidence) = run(&truth, dims.2, 0);
            let found = found.unwrap();
            let best = &found[0];
            assert_eq!(best.components.shape(), (dims.0, dims.1 + dims.2));
            assert!(best.residual < 1e-3, "{}", best.residual);
            let (layers, attribution) = &best.partitions[0];
            assert!(attribution.decided(), "{}", attribution.margin);
            let first = agreement(&truth.a, &layers.first);
            assert!(first > 1.0 - 1e-4, "{dims:?}: {first}");
            // v_l = A G b_l at the point where they were found.
            let z = truth.a.tr_mul(&best.jet.point) - &truth.theta;
            let entangled =
                &truth.a * DMatrix::from_diagonal(&z.map(|z| truth.g.slope(z))) * &truth.b;
            let second = agreement(&entangled, &layers.entangled);
            assert!(second > 1.0 - 1e-4, "{dims:?}: {second}");
            // What was found on the way comes after the best.
            assert!(found.iter().skip(1).all(|other| other.residual <= HOPELESS_RESIDUAL));
            let said = &evidence.as_json()["directions"][0];
            assert_eq!(said["residual"].as_f64(), Some(best.residual));
        }
    }

    #[test]
    fn a_move_to_a_better_point_lowers_the_residual() {
        // With larger shifts the mixed terms spoil the first points.
        let truth = network((8, 8, 2), 0.5, 3);
        let (found, evidence) = run(&truth, 2, 0);
        let found = found.unwrap();
        let said = &evidence.as_json()["directions"][0];
        let mut residual = said["first"]
            .as_array()
            .unwrap()
            .iter()
            .map(|first| first["residual"].as_f64().unwrap())
            .fold(f64::INFINITY, f64::min);
        let moves = said["moves"].as_array().unwrap();
        assert!(!moves.is_empty(), "{said}");
        for step in moves {
            let next = step["residual"].as_f64().unwrap();
            assert!(next < residual && step["distance"].as_f64() < Some(RADIUS), "{said}");
            residual = next;
        }
        assert_eq!(found[0].residual, residual);
    }

    #[test]
    fn too_few_cubes_and_none_say_why() {
        let failure = |truth: &TwoLayer, m1| match run(truth, m1, 0).0 {
            Err(Halt::Failed(failure)) => failure.to_string(),
            Err(Halt::Oracle(error)) => panic!("{error}"),
            Ok(found) => panic!("residual {:e}", found[0].residual),
        };
        let mut flat = network((5, 5, 1), 0.05, 1);
        flat.c.fill(0.0);
        flat.c0 = 0.25;
        assert_eq!(failure(&flat, 1), "directions: the third derivatives vanish");
        let said = failure(&network((8, 24, 6), 0.5, 1), 1);
        assert!(said.starts_with("directions: no 9 cubes make up the third derivatives"), "{said}");
    }

    #[test]
    fn later_attempts_take_each_place_in_its_turn() {
        let truth = network((6, 6, 1), 0.05, 0);
        let tried = |attempt| {
            let (_, evidence) = run(&truth, 1, attempt);
            let first = evidence.as_json()["directions"][0]["first"].clone();
            first.as_array().unwrap().iter().map(|one| one["distance"].as_f64().unwrap()).collect()
        };
        let all: Vec<f64> = tried(0);
        assert!(all.len() > 1);
        for attempt in 1..=3 {
            assert_eq!(tried(attempt), [all[attempt as usize % all.len()]]);
        }
    }
}
