//! Looking at a split: patterns of T as they are needed, and derivatives along S there.

use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::ridge::Ridge;
use super::split::{Patterns, astray, choose, place};
use super::tolerances::{
    PEEL_LARGEST_STEP, PEEL_LEVEL_SPAN, PEEL_REDRAWS, SIGHT_CANDIDATES, SIGHT_ERROR, SIGHT_LEVELS,
    SIGHT_STEP_POINTS,
};
use crate::algebra::rank_one::pairs;
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::place::{Placement, Placer};
use crate::identify::first_layer::unit::Unit;
use crate::identify::survey::step;
use crate::oracle::Oracle;
use crate::stage::Stage;
use crate::stencil;

/// Units held, and the others that are saturated.
pub struct Sight<'s> {
    f: &'s mut dyn Oracle,
    units: &'s [Unit],
    placer: &'s Placer,
    held: Vec<usize>,
    free: Vec<usize>,
    targets: Vec<f64>,
    levels: Vec<f64>,
    moves: DMatrix<f64>,
    /// The step of second differences, in half widths.
    pub step: f64,
    /// Error of a mixed second difference.
    pub error: f64,
    /// Where draws come from.
    pub rng: &'s mut ChaCha8Rng,
}

/// What was seen at some patterns.
pub struct Looks {
    /// The pairs of units held whose second differences are taken.
    pub pairs: Vec<(usize, usize)>,
    /// Their places in the list of all pairs.
    pub indices: Vec<usize>,
    /// The patterns.
    pub places: Vec<Placement>,
    /// f there.
    pub values: Vec<f64>,
    /// Gradients along the units held.
    pub first: Vec<DVector<f64>>,
    /// Second differences along the pairs.
    pub second: Vec<DVector<f64>>,
}

impl Looks {
    /// None yet, at all `pairs`.
    pub fn new(pairs: Vec<(usize, usize)>) -> Self {
        let indices = (0..pairs.len()).collect();
        let (places, values, first, second) = Default::default();
        Looks { pairs, indices, places, values, first, second }
    }

    /// The same at some of the pairs.
    pub fn only(&self, chosen: &[usize]) -> Self {
        Looks {
            pairs: chosen.iter().map(|&n| self.pairs[n]).collect(),
            indices: chosen.iter().map(|&n| self.indices[n]).collect(),
            places: self.places.clone(),
            values: self.values.clone(),
            first: self.first.clone(),
            second: self.second.iter().map(|k| k.select_rows(chosen)).collect(),
        }
    }
}

impl<'s> Sight<'s> {
    /// Holds `size` units at their middles, with levels of the others for `patterns` of them and many more.
    pub fn new(
        f: &'s mut dyn Oracle,
        (units, placer): (&'s [Unit], &'s Placer),
        size: usize,
        patterns: usize,
        rng: &'s mut ChaCha8Rng,
    ) -> Result<Self, Halt> {
        let held = choose(units, size, rng);
        let free: Vec<usize> = (0..units.len()).filter(|j| !held.contains(j)).collect();
        let targets = held.iter().map(|&i| units[i].centre).collect();
        let moves = placer.moves(&held);
        let moves = moves.ok_or_else(|| failure("the units held have dependent directions"))?;
        let levels = if placer.any_signs() { levels(free.len(), patterns) } else { vec![-1.0, 1.0] };
        let (step, error) = (0.0, 0.0);
        let mut sight =
            Sight { f, units, placer, held, free, targets, levels, moves, step, error, rng };
        let places = sight.draw(&[], SIGHT_STEP_POINTS);
        if places.is_empty() {
            return Err(failure(format!(
                "the other units cannot be saturated with {size} held: their directions are too dependent, or too \
                 many for the number of inputs"
            )));
        }
        let all = sight.all_pairs();
        let along: Vec<DVector<f64>> = (0..places.len())
            .map(|k| {
                let (i, j) = all[k * all.len() / places.len()];
                sight.moves.column(i) + sight.moves.column(j)
            })
            .collect();
        let (points, along) = (points(&places), DMatrix::from_columns(&along));
        let best = step::second_difference(sight.f, &points, &along, PEEL_LARGEST_STEP)?;
        sight.step = best.h;
        sight.error = SIGHT_ERROR * best.error;
        Ok(sight)
    }

    /// |S|.
    pub fn size(&self) -> usize {
        self.held.len()
    }

    /// |T|.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Unknowns of a ridge over the patterns.
    pub fn unknowns(&self) -> usize {
        self.free.len() * (self.levels.len() - 1) + 2
    }

    /// Pairs of units held, by their places among them.
    pub fn all_pairs(&self) -> Vec<(usize, usize)> {
        pairs(self.held.len()).collect()
    }

    /// The same with `places`.
    pub fn patterns(&self, places: &[Placement]) -> Patterns {
        let (held, targets) = (self.held.clone(), self.targets.clone());
        Patterns { held, targets, places: places.to_vec() }
    }

    /// How far the units held stray at the `places`, in half widths.
    pub fn astray(&self, places: &[Placement]) -> f64 {
        let farthest = places.iter().map(|p| p.point.norm()).fold(0.0, f64::max);
        farthest * astray(self.units, &self.held)
    }

    /// Up to `count` places whose patterns are not among the `known`, nor twice.
    pub fn draw(&mut self, known: &[Placement], count: usize) -> Vec<Placement> {
        let mut found: Vec<Placement> = Vec::new();
        'wanted: for _ in 0..count {
            for _ in 0..PEEL_REDRAWS {
                let mut sides = vec![0.0; self.units.len()];
                for &j in &self.free {
                    sides[j] = self.levels[self.rng.random_range(0..self.levels.len())];
                }
                let at = (self.held.as_slice(), self.targets.as_slice());
                let Some(place) = place(self.units, self.placer, at, &sides, self.rng) else {
                    continue;
                };
                if known.iter().chain(&found).all(|other| other.signs != place.signs) {
                    found.push(place);
                    continue 'wanted;
                }
            }
        }
        found
    }

    /// The same, `count` of them, half of them where units that are not told yet should show their curvature by what
    /// is known of their `ridges`.
    pub fn towards(
        &mut self,
        known: &[Placement],
        ridges: &[Option<Ridge>],
        count: usize,
    ) -> Vec<Placement> {
        let _ = (ridges, SIGHT_CANDIDATES);
        self.draw(known, count)
    }

    /// Looks at more `places`.
    pub fn look(&mut self, looks: &mut Looks, places: Vec<Placement>) -> Result<(), Halt> {
        if places.is_empty() {
            return Ok(());
        }
        let f = &mut *self.f;
        let seen = stencil::mixed(
            &mut |x| f.values(x),
            &points(&places),
            &self.moves,
            &looks.pairs,
            self.step,
        )?;
        looks.values.extend(seen.values.iter());
        looks.first.extend(seen.first.column_iter().map(|p| p.into_owned()));
        looks.second.extend(seen.second.column_iter().map(|k| k.into_owned()));
        looks.places.extend(places);
        Ok(())
    }
}

/// Levels of `free` units: +-1, and as many part-way as make many times the `patterns`.
fn levels(free: usize, patterns: usize) -> Vec<f64> {
    let enough = |levels: &usize| {
        let unknowns = free * (levels - 1) + 2;
        levels.saturating_pow(free as u32) >= SIGHT_LEVELS * (patterns + unknowns)
    };
    let count = (2..).find(enough).unwrap_or(2);
    let between = count - 2;
    let spread = |k: usize| PEEL_LEVEL_SPAN * ((2 * k + 1) as f64 / between as f64 - 1.0);
    [-1.0, 1.0].into_iter().chain((0..between).map(spread)).collect()
}

fn points(places: &[Placement]) -> DMatrix<f64> {
    let columns: Vec<DVector<f64>> = places.iter().map(|place| place.point.clone()).collect();
    DMatrix::from_columns(&columns)
}

fn failure(reason: impl Into<String>) -> Halt {
    Failure::new(Stage::Peel, reason).into()
}
