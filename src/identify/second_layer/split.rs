//! A split of the first layer: units S that are held near the middle of their transitions, units T that are saturated,
//! and points with T in many patterns.

use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::tolerances::{
    HELD_ERROR, PEEL_CHOICES, PEEL_FEW_FREE, PEEL_LEAST_PATTERNS, PEEL_LEVEL_SPAN,
    PEEL_LEVELS_OF_TWO, PEEL_LISTED, PEEL_PATTERNS_HELD, PEEL_REDRAWS, PEEL_SPARE_LEVELS,
    PeelEffort,
};
use crate::algebra::linalg::median;
use crate::identify::first_layer::place::{Placement, Placer};
use crate::identify::first_layer::tolerances::MOST_CHOSEN;
use crate::identify::first_layer::unit::Unit;

/// Units that are held, and patterns of the others.
pub struct Patterns {
    /// Units held.
    pub held: Vec<usize>,
    /// Where they are at the first of the places: direction_i . x.
    pub targets: Vec<f64>,
    /// The points x(k) and the levels of the units that vary: +-1, or part-way.
    pub places: Vec<Placement>,
}

/// S, T, and where to ask.
pub struct Split {
    /// The units S, and patterns of the units T.
    pub patterns: Patterns,
    /// The units T.
    pub free: Vec<usize>,
    /// The points once more, d x K.
    pub points: DMatrix<f64>,
    /// Directions along which one of the units held moves by its half width and no other, d x |S|.
    pub moves: DMatrix<f64>,
}

impl Split {
    /// Holds `size` units, with as many patterns of T as the `effort` allows; `None` if the points cannot be placed.
    pub fn draw(
        units: &[Unit],
        placer: &Placer,
        size: usize,
        effort: &PeelEffort,
        rng: &mut ChaCha8Rng,
    ) -> Option<Self> {
        let held = choose(units, candidates(units, size), size, &[], rng);
        let free: Vec<usize> = (0..units.len()).filter(|j| !held.contains(j)).collect();
        let targets: Vec<f64> = held.iter().map(|&i| units[i].centre).collect();
        let places = places(units, placer, (&held, &targets), &free, effort, rng);
        let moves = placer.moves(&held).filter(|_| places.len() > free.len() + 1)?;
        let points: Vec<DVector<f64>> = places.iter().map(|p| p.point.clone()).collect();
        let points = DMatrix::from_columns(&points);
        Some(Split { patterns: Patterns { held, targets, places }, free, points, moves })
    }

    /// How far the units held stray from their places, in half widths: by the angle errors times the distance.
    pub fn strays(&self, units: &[Unit]) -> f64 {
        self.points.column_iter().map(|x| x.norm()).fold(0.0, f64::max)
            * astray(units, &self.patterns.held)
    }
}

/// The largest angle error of the units `held`, as what they stray, in half widths, by the distance.
pub fn astray(units: &[Unit], held: &[usize]) -> f64 {
    held.iter().map(|&i| units[i].error / units[i].half_width).fold(0.0, f64::max)
}

/// Units whose directions are best conditioned together, of these `candidates`, begun at random: each next one is the
/// most independent of those chosen. Those `wanted` are chosen first.
pub fn choose(
    units: &[Unit],
    candidates: Vec<usize>,
    size: usize,
    wanted: &[usize],
    rng: &mut ChaCha8Rng,
) -> Vec<usize> {
    let mut rest = candidates;
    let mut residual: Vec<DVector<f64>> = units.iter().map(|u| u.direction.clone()).collect();
    let mut chosen = Vec::new();
    while chosen.len() < size {
        // One of the three most independent, so that attempts differ.
        let norms: Vec<f64> = residual.iter().map(|r| r.norm()).collect();
        rest.sort_by(|&a, &b| norms[b].total_cmp(&norms[a]));
        let first = wanted.iter().find_map(|j| rest.iter().position(|other| other == j));
        let pick = first.unwrap_or_else(|| rng.random_range(0..rest.len().min(PEEL_CHOICES)));
        let pick = rest.remove(pick);
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

/// Of many units the [`accurate`] ones, of few all.
pub fn candidates(units: &[Unit], size: usize) -> Vec<usize> {
    if units.len() <= MOST_CHOSEN { (0..units.len()).collect() } else { accurate(units, size) }
}

/// Those units whose directions are known about as well as most, and `size` at least.
pub fn accurate(units: &[Unit], size: usize) -> Vec<usize> {
    let astray: Vec<f64> = units.iter().map(|unit| unit.error / unit.half_width).collect();
    let most = median(&astray).map_or(f64::INFINITY, |median| HELD_ERROR * median);
    let kept: Vec<usize> = (0..units.len()).filter(|&i| astray[i] <= most).collect();
    if kept.len() < size { (0..units.len()).collect() } else { kept }
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
    wanted: usize,
    levels: &[f64],
    rng: &mut ChaCha8Rng,
) -> Vec<Vec<f64>> {
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

/// A point with the units `held` at their `targets` and the others at the levels `sides`, if these can be had, or on
/// other sides.
pub fn place(
    units: &[Unit],
    placer: &Placer,
    (held, targets): (&[usize], &[f64]),
    sides: &[f64],
    rng: &mut ChaCha8Rng,
) -> Option<Placement> {
    let between = |j: &usize| part_way(sides[*j]) && !held.contains(j);
    let between: Vec<usize> = (0..units.len()).filter(between).collect();
    let mut all = held.to_vec();
    all.extend(&between);
    let mut at = targets.to_vec();
    at.extend(between.iter().map(|&j| units[j].centre + sides[j] * units[j].half_width));
    let mut place = placer.saturate(&all, &at, Some(sides), rng)?;
    between.iter().for_each(|&j| place.signs[j] = sides[j]);
    Some(place)
}

/// Points with the units `held` at their `targets` and those `free` in many patterns of saturation.
fn places(
    units: &[Unit],
    placer: &Placer,
    (held, targets): (&[usize], &[f64]),
    free: &[usize],
    effort: &PeelEffort,
    rng: &mut ChaCha8Rng,
) -> Vec<Placement> {
    let (m0, size) = (units.len(), held.len());
    let levels = if placer.any_signs() { levels(free.len(), size) } else { vec![-1.0, 1.0] };
    let mut places: Vec<Placement> = Vec::new();
    let of = |each: (f64, usize)| (each.0 * free.len() as f64) as usize + each.1;
    let wanted = of(effort.patterns);
    let wanted = wanted.max(PEEL_PATTERNS_HELD * size).max(PEEL_LEAST_PATTERNS);
    let mut wanted = patterns(free, m0, wanted, &levels, rng);
    if !placer.any_signs() {
        // Sides cannot be chosen: many are needed until every unit of T has changed its own.
        wanted.resize(of(effort.unchosen), vec![1.0; m0]);
    }
    for sides in wanted {
        // Where the sides asked for cannot be had, those found may repeat: draw again.
        for _ in 0..PEEL_REDRAWS {
            let Some(place) = place(units, placer, (held, targets), &sides, rng) else { continue };
            if places.iter().all(|q| q.signs != place.signs) {
                places.push(place);
                break;
            }
        }
    }
    places
}
