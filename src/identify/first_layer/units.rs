//! Stages 3 and 4: first-layer units, found as rank-one elements, proved and polished by gradients.
//!
//! A unit is real if, wherever all others are saturated, the gradient at its transition is parallel to
//! one and the same direction. That test needs neither its slope nor its shift, nor the activation.

use nalgebra::{DMatrix, DVector};
use rand_chacha::ChaCha8Rng;

use super::place::Placer;
use super::tolerances::{
    ANGLE_ROUNDING, ANGLE_SAFETY, ANGLE_SLACK, ASCENT_STARTS, AWAY_COSINE, AWAY_DRAWS,
    AWAY_REMAINDER, CANDIDATE_SCORE, COMPLETION_CLEAN_LINES, COMPLETION_LENGTH,
    COMPLETION_MOST_LINES, CONSENSUS_SPREAD, EXPLAINED_ANGLES, EXPLAINED_WIDTHS, FIRST_ANGLE,
    FIRST_LEAST_ANGLE, FIRST_REACH, KNOWN_COSINE, LEAST_ANGLE, LEAST_SPREAD, LINE_OFFSET,
    POLISH_ANGLES, POLISH_REACH, POLISH_TOLERANCE, POLISH_TRIALS, POLISH_WORSE, SAME_START,
    SATURATED, STRIDE, STRIDES, SURE_GRADIENT, WALK_AGREEMENT, WALK_GAIN, WALK_REACH, WALK_TURN,
    WALKS, WALKS_WANTED,
};
use super::wide_stack::Stack;
use crate::algebra::linalg::median;
use crate::algebra::rank_one::{self, Ascent, Candidate};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::{Dropped, Polished, UnitsFound};
use crate::identify::failure::Halt;
use crate::identify::first_layer::unit::Unit;
use crate::identify::survey::landscape::Landscape;
use crate::identify::survey::line::{Transition, locate};
use crate::identify::survey::tolerances::{GRADIENT_STEPS, SURE_CHANGE};
use crate::oracle::{Oracle, OracleError};
use crate::stencil::GradientScheme;

/// Length of the first step of a walk; from the distance `far` on f is constant between hyperplanes.
fn stride(land: &Landscape, far: f64) -> f64 {
    (STRIDE.0 * land.scale).max(STRIDE.1 * far)
}

/// Everything the search needs.
struct Search<'a> {
    f: &'a mut dyn Oracle,
    land: &'a Landscape,
    /// Length of the first step of a walk.
    stride: f64,
    rng: ChaCha8Rng,
}

/// Finds the first-layer units of the stack's subspace, then what it missed on random lines.
pub fn find_units(
    cx: &mut Context<'_>,
    far: f64,
    stack: &mut Stack,
    ascent: Ascent,
) -> Result<Vec<Unit>, Halt> {
    let candidates = candidates(stack, ascent, cx.seed)?;
    let anchors = anchors(stack, &candidates)?;
    let rng = draws::stream(cx.seed, "units", cx.attempt);
    let mut search = Search { f: cx.f, land: cx.land, stride: stride(cx.land, far), rng };
    let mut units: Vec<Unit> = Vec::new();
    let (mut found, mut dropped) = (Vec::new(), Vec::new());
    let others: Vec<DVector<f64>> = candidates.iter().map(|c| c.direction.clone()).collect();
    for (candidate, anchor) in candidates.iter().zip(&anchors) {
        let outcome = match search.settle(anchor, &candidate.direction, &others)? {
            None => "no transition of its own",
            Some(unit) if known(&units, &unit) => "found before",
            Some(unit) => {
                units.push(unit);
                found.push(candidate.score);
                continue;
            }
        };
        let Candidate { score, hits, .. } = *candidate;
        dropped.push(Dropped { score, hits, reason: outcome });
    }
    let from_ascent = units.len();
    let lines = search.complete(&mut units)?;
    cx.evidence.units.push(UnitsFound {
        candidates: candidates.len(),
        dropped,
        from_ascent,
        from_lines: units.len() - from_ascent,
        lines,
        lowest_score: candidates.iter().take(from_ascent).map(|c| c.score).fold(1.0, f64::min),
        scores: found,
    });
    Ok(units)
}

/// Takes every unit's direction and transition once more with all others surely saturated.
pub fn polish(cx: &mut Context<'_>, far: f64, units: &mut [Unit]) -> Result<(), Halt> {
    let placer = Placer::new(units, cx.land);
    let rng = draws::stream(cx.seed, "polish", 0);
    let mut search = Search { f: cx.f, land: cx.land, stride: stride(cx.land, far), rng };
    let trials = if cx.land.is_coarse() { POLISH_TRIALS.1 } else { POLISH_TRIALS.0 };
    let mut polished = Vec::new();
    for (i, unit) in units.iter().enumerate() {
        let mut sightings = Vec::new();
        for _ in 0..trials {
            let Some(place) = placer.saturate(&[i], &[unit.centre], None, &mut search.rng) else {
                continue;
            };
            let reach =
                POLISH_REACH * unit.half_width + POLISH_ANGLES * place.point.norm() * unit.error;
            if let Some(s) = search.sight(&place.point, (&unit.direction, unit.error), reach)? {
                sightings.push(s);
            }
        }
        let tolerance = POLISH_TOLERANCE * unit.error + ANGLE_SLACK;
        polished.push(consensus(&sightings, &unit.direction, tolerance, tolerance));
    }
    let mut worst = 0.0f64;
    for (unit, polished) in units.iter_mut().zip(polished) {
        if let Some(polished) =
            polished.filter(|p| p.error <= POLISH_WORSE * unit.error + LEAST_ANGLE)
        {
            *unit = polished;
        }
        worst = worst.max(unit.error);
    }
    cx.evidence.polish.push(Polished { worst_angle_error: worst });
    Ok(())
}

/// Rank-one candidates of the stack's subspace, by score.
fn candidates(stack: &mut Stack, ascent: Ascent, seed: u64) -> Result<Vec<Candidate>, OracleError> {
    let rank = stack.gap.rank;
    // Wide Hessians are often nearly rank one themselves: their top eigenvectors are good starts.
    let mut starts: Vec<DVector<f64>> = Vec::new();
    for top in stack.hessians.starts(rank)?.column_iter() {
        if starts.iter().all(|s| s.dot(&top).abs() < SAME_START) {
            starts.push(top.into_owned());
        }
    }
    let random = draws::gaussian(
        &mut draws::stream(seed, "ascent", 0),
        stack.points.nrows(),
        ASCENT_STARTS * rank,
    );
    starts.extend(random.column_iter().map(|c| c.into_owned()));
    let starts = DMatrix::from_columns(&starts);
    let mut found = match &stack.basis {
        Some(basis) => rank_one::search(basis, &starts, ascent),
        None => stack.hessians.climb(rank, &starts)?,
    };
    found.retain(|c| c.score >= CANDIDATE_SCORE);
    Ok(found)
}

/// For every candidate u the point of the stack whose Hessian is most nearly u u^T.
fn anchors(stack: &mut Stack, candidates: &[Candidate]) -> Result<Vec<DVector<f64>>, OracleError> {
    let directions: Vec<_> = candidates.iter().map(|c| c.direction.clone()).collect();
    if directions.is_empty() {
        return Ok(Vec::new());
    }
    let along = stack.hessians.along(&DMatrix::from_columns(&directions))?;
    let nearest =
        along.column_iter().map(|column| stack.points.column(column.iamax()).into_owned());
    Ok(nearest.collect())
}

/// The same hyperplane as one found before?
fn known(units: &[Unit], unit: &Unit) -> bool {
    units.iter().any(|other| {
        let cos = other.direction.dot(&unit.direction);
        let centre = unit.centre * cos.signum();
        1.0 - cos.abs() < KNOWN_COSINE
            && (centre - other.centre).abs() < other.half_width + unit.half_width
    })
}

/// One gradient seen at a transition.
#[derive(Clone)]
struct Sighting {
    direction: DVector<f64>,
    point: DVector<f64>,
    half_width: f64,
}

/// Angle between two lines through the origin, given by unit vectors.
pub fn angle(a: &DVector<f64>, b: &DVector<f64>) -> f64 {
    (a - b * a.dot(b).signum()).norm()
}

/// Mean of the directions that agree best; `None` unless two within `tolerance` of `before` agree to
/// `agreement`.
fn consensus(
    sightings: &[Sighting],
    before: &DVector<f64>,
    tolerance: f64,
    agreement: f64,
) -> Option<Unit> {
    let near: Vec<&Sighting> =
        sightings.iter().filter(|s| angle(&s.direction, before) <= tolerance).collect();
    let nearest = |s: &Sighting| {
        near.iter()
            .filter(|o| !std::ptr::eq(**o, s))
            .map(|o| angle(&s.direction, &o.direction))
            .fold(f64::INFINITY, f64::min)
    };
    let medoid = near.iter().min_by(|a, b| nearest(a).total_cmp(&nearest(b)))?;
    let spread = nearest(medoid);
    if spread > agreement {
        return None;
    }
    let agreeing: Vec<&&Sighting> = near
        .iter()
        .filter(|s| {
            angle(&s.direction, &medoid.direction) <= CONSENSUS_SPREAD * spread + ANGLE_ROUNDING
        })
        .collect();
    let mut mean = DVector::zeros(before.len());
    for s in &agreeing {
        mean += &s.direction * s.direction.dot(before).signum();
    }
    mean.normalize_mut();
    let error = agreeing.iter().map(|s| angle(&s.direction, &mean)).fold(0.0, f64::max);
    let centres: Vec<f64> = agreeing.iter().map(|s| mean.dot(&s.point)).collect();
    let widths: Vec<f64> = agreeing.iter().map(|s| s.half_width).collect();
    Some(Unit {
        direction: mean,
        centre: median(&centres)?,
        half_width: median(&widths)?,
        error: error.max(LEAST_SPREAD),
    })
}

/// The reflection (d x d) that takes the unit vector `direction`, up to sign, to (1, ..., 1) / sqrt(d).
pub fn even_frame(direction: &DVector<f64>) -> DMatrix<f64> {
    let d = direction.len();
    // Of the two signs the one that does not cancel.
    let even = (d as f64).powf(-0.5).copysign(-direction.sum());
    let normal = direction.map(|x| x - even).normalize();
    DMatrix::identity(d, d) - &normal * normal.transpose() * 2.0
}

impl Search<'_> {
    /// Gradient at a transition, unit length, where it is expected along the unit vector `direction` up
    /// to an angle of about `error`, with a step that balances truncation and noise.
    ///
    /// Differences are taken along a frame that the gradient divides evenly: their truncation is then the
    /// same in all of them and leaves the direction as it is, but for a share `error` of it.
    fn gradient(
        &mut self,
        x: &DVector<f64>,
        transition: &Transition,
        direction: &DVector<f64>,
        error: f64,
    ) -> Result<Option<DVector<f64>>, OracleError> {
        let d = x.len();
        let noise = self.land.noise_at(x.norm());
        let balance = (noise / (transition.variation * error.clamp(ANGLE_SLACK, 1.0))).powf(0.2);
        // Along the frame the unit moves by 1 / sqrt(d) of the step.
        let h = transition.half_width
            * balance.clamp(GRADIENT_STEPS.0, GRADIENT_STEPS.1)
            * (d as f64).sqrt();
        let centre = DMatrix::from_column_slice(d, 1, x.as_slice());
        let frame = even_frame(direction);
        let g = &frame * self.f.gradients(&centre, &frame, GradientScheme::Central4, h)?;
        let norm = g.norm();
        Ok((norm > SURE_GRADIENT * noise / h).then(|| g.column(0) / norm))
    }

    /// Looks for the transition nearest to `origin` along `direction`, known up to an angle of about
    /// `error`, and takes the gradient there.
    fn sight(
        &mut self,
        origin: &DVector<f64>,
        (direction, error): (&DVector<f64>, f64),
        reach: f64,
    ) -> Result<Option<Sighting>, OracleError> {
        let floor = SURE_CHANGE * self.land.noise_at(origin.norm());
        let found = locate(self.f, origin, direction, (-reach, reach), Some(0.0), floor)?;
        let Some(transition) = found else { return Ok(None) };
        let point = origin + direction * transition.centre;
        let gradient = self.gradient(&point, &transition, direction, error)?;
        Ok(gradient.map(|g| {
            // Widths are measured along `direction`; the unit's own is that times the cosine.
            let half_width = transition.half_width * g.dot(direction).abs();
            Sighting { direction: g, point, half_width }
        }))
    }

    /// Turns a guessed direction, active near the point `anchor`, into a unit, or finds it false.
    ///
    /// Walks along the unit's hyperplane, away from those of `others` (unit vectors), to where they are
    /// saturated and the gradient is parallel to a_i. A walk may end at another unit; it shows by the
    /// turn of the gradient.
    fn settle(
        &mut self,
        anchor: &DVector<f64>,
        guess: &DVector<f64>,
        others: &[DVector<f64>],
    ) -> Result<Option<Unit>, OracleError> {
        let first = self.sight(anchor, (guess, 1.0), FIRST_REACH * self.land.scale)?;
        let Some(first) = first.filter(|s| angle(&s.direction, guess) < FIRST_ANGLE) else {
            return Ok(None);
        };
        let error = angle(&first.direction, guess).max(FIRST_LEAST_ANGLE);
        let mut ends = Vec::new();
        for _ in 0..WALKS {
            ends.extend(self.walk(&first, error, others)?);
            if ends.len() == WALKS_WANTED {
                break;
            }
        }
        Ok(consensus(&ends, guess, FIRST_ANGLE, WALK_AGREEMENT))
    }

    /// One walk from a sighting of known angle error; `None` if the unit is lost on the way.
    fn walk(
        &mut self,
        first: &Sighting,
        mut error: f64,
        others: &[DVector<f64>],
    ) -> Result<Option<Sighting>, OracleError> {
        let mut at = first.clone();
        let mut w = self.away(&at.direction, others);
        for stride in STRIDES {
            let stride = stride * self.stride;
            let origin = &at.point + &w * stride;
            let reach = WALK_REACH * at.half_width + ANGLE_SAFETY * stride * error;
            let Some(next) = self.sight(&origin, (&at.direction, error), reach)? else {
                return Ok(None);
            };
            let turned = angle(&next.direction, &at.direction);
            if turned > WALK_TURN * error + ANGLE_SLACK {
                return Ok(None);
            }
            // What the direction turned by was the error before; the new one is smaller.
            error = (ANGLE_SAFETY * turned).clamp(WALK_GAIN * error, error).max(LEAST_ANGLE);
            at = next;
            w -= &at.direction * w.dot(&at.direction);
            w.normalize_mut();
        }
        Ok(Some(at))
    }

    /// A unit vector orthogonal to `direction`, along which the other units change fast.
    fn away(&mut self, direction: &DVector<f64>, others: &[DVector<f64>]) -> DVector<f64> {
        let mut best = (f64::NEG_INFINITY, direction.clone());
        for _ in 0..AWAY_DRAWS {
            let mut w = draws::unit_vector(&mut self.rng, direction.len());
            w -= direction * w.dot(direction);
            if w.normalize_mut() < AWAY_REMAINDER {
                continue;
            }
            let least = others
                .iter()
                .filter(|o| o.dot(direction).abs() < AWAY_COSINE)
                .map(|o| o.dot(&w).abs())
                .fold(f64::INFINITY, f64::min);
            if least > best.0 {
                best = (least, w);
            }
            if others.is_empty() {
                break;
            }
        }
        best.1
    }

    /// Scans random lines far out: between the transitions that known units explain, f must not
    /// change. Whatever else is found is followed up. Returns the number of lines scanned.
    fn complete(&mut self, units: &mut Vec<Unit>) -> Result<usize, OracleError> {
        let d = self.f.input_dim();
        let length = COMPLETION_LENGTH * self.stride;
        let mut clean = 0;
        for line in 0..COMPLETION_MOST_LINES {
            if clean == COMPLETION_CLEAN_LINES {
                return Ok(line);
            }
            let origin = draws::unit_vector(&mut self.rng, d) * (LINE_OFFSET * length);
            let direction = draws::unit_vector(&mut self.rng, d);
            clean += 1;
            for (from, to) in unexplained(units, &origin, &direction, length) {
                let noise = self.land.noise_at(length);
                let ends = crate::identify::survey::line::values_along(
                    self.f,
                    &origin,
                    &direction,
                    &[from, to],
                )?;
                if (ends[1] - ends[0]).abs() <= SURE_CHANGE * noise {
                    continue;
                }
                clean = 0;
                let found =
                    locate(self.f, &origin, &direction, (from, to), None, SURE_CHANGE * noise)?;
                let Some(transition) = found else { continue };
                let point = &origin + &direction * transition.centre;
                let Some(gradient) = self.gradient(&point, &transition, &direction, 1.0)? else {
                    continue;
                };
                let others: Vec<_> = units.iter().map(|u| u.direction.clone()).collect();
                if let Some(unit) = self.settle(&point, &gradient, &others)?
                    && !known(units, &unit)
                {
                    units.push(unit);
                    break;
                }
            }
        }
        Ok(COMPLETION_MOST_LINES)
    }
}

/// The stretches of a line, |t| <= length, on which no known unit is between its saturated ends.
pub fn unexplained(
    units: &[Unit],
    origin: &DVector<f64>,
    direction: &DVector<f64>,
    length: f64,
) -> Vec<(f64, f64)> {
    let mut zones: Vec<(f64, f64)> = units
        .iter()
        .map(|unit| {
            let speed = unit.direction.dot(direction);
            let t = (unit.centre - unit.direction.dot(origin)) / speed;
            // The crossing is uncertain by the angle error times the distance.
            let reach = (EXPLAINED_WIDTHS * SATURATED * unit.half_width
                + EXPLAINED_ANGLES * unit.error * length)
                / speed.abs();
            (t - reach, t + reach)
        })
        .filter(|zone| zone.0.is_finite() && zone.1.is_finite())
        .collect();
    zones.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut stretches = Vec::new();
    let mut at = -length;
    for (from, to) in zones {
        if from > at && at < length {
            stretches.push((at, from.min(length)));
        }
        at = at.max(to);
    }
    if at < length {
        stretches.push((at, length));
    }
    stretches
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::network::{Activation, TwoLayer};

    /// The units of a network's first layer as they are.
    pub(crate) fn units_of(network: &TwoLayer) -> Vec<Unit> {
        let transition = match network.g {
            Activation::Tanh => 2.3,
            Activation::Sigmoid => 4.6,
            Activation::Erf => 1.65,
            other => panic!("{other} has no transition"),
        };
        let unit = |(a, &theta): (nalgebra::DVectorView<f64>, &f64)| Unit {
            direction: a.normalize(),
            centre: theta / a.norm(),
            half_width: transition / a.norm(),
            error: 0.0,
        };
        network.a.column_iter().zip(network.theta.iter()).map(unit).collect()
    }

    #[test]
    fn a_direction_is_divided_evenly() {
        let mut rng = draws::stream(1, "frame", 0);
        for direction in [draws::unit_vector(&mut rng, 7), DVector::repeat(4, 0.5)] {
            let d = direction.len();
            let frame = even_frame(&direction);
            assert!((&frame * &frame - DMatrix::identity(d, d)).amax() < 1e-14);
            let parts = &frame * &direction;
            assert!((parts.amax() - parts.amin()).abs() < 1e-14, "{parts}");
        }
    }
}
