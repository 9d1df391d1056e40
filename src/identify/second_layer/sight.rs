//! Looking at a split: patterns of T as they are needed, and derivatives along S there.

use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::ridge::Ridge;
use super::split::{Patterns, accurate, astray, choose, place};
use super::tolerances::{
    PEEL_LEVEL_SPAN, PEEL_REDRAWS, SIGHT_CANDIDATES, SIGHT_HALVINGS, SIGHT_LARGEST_STEP,
    SIGHT_LEVELS, SIGHT_MOST_LEVELS, SIGHT_NEAR, SIGHT_REDRAWN, SIGHT_STEP_POINTS,
};
use crate::algebra::linalg::{median, rms};
use crate::algebra::rank_one::{entries_of, pairs};
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::place::{Placement, Placer};
use crate::identify::first_layer::saturator::Saturator;
use crate::identify::first_layer::unit::Unit;
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
    /// Where sides cannot be chosen.
    saturator: Option<Saturator>,
    /// g''/g' of the units held where they are, once it is known: it is taken off second differences along one unit.
    pub bends: Option<DVector<f64>>,
    /// Where draws come from.
    pub rng: &'s mut ChaCha8Rng,
}

/// How mixed differences are taken.
#[derive(Clone, Copy)]
pub struct Differences {
    /// Their step, in half widths.
    pub step: f64,
    /// Their error at the usual distance.
    pub error: f64,
    /// That distance.
    distance: f64,
}

impl Differences {
    /// Their error at a `place`: rounding grows with the distance.
    pub fn error_at(&self, place: &Placement) -> f64 {
        self.error * (place.point.norm() / self.distance).max(1.0)
    }
}

/// The units held along which differences are taken.
#[derive(Clone)]
pub enum Entries {
    /// Second ones, along two units, or along one twice.
    Second(Vec<[usize; 2]>),
    /// Third ones, along three.
    Third(Vec<[usize; 3]>),
}

impl Entries {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Entries::Second(pairs) => pairs.len(),
            Entries::Third(triples) => triples.len(),
        }
    }

    /// Some of them.
    fn only(&self, chosen: &[usize]) -> Self {
        match self {
            Entries::Second(pairs) => Entries::Second(chosen.iter().map(|&n| pairs[n]).collect()),
            Entries::Third(triples) => Entries::Third(chosen.iter().map(|&n| triples[n]).collect()),
        }
    }

    /// What the rank-one tensors of the `directions` (|S| x m1) have there, entries x m1.
    pub fn of(&self, directions: &DMatrix<f64>) -> DMatrix<f64> {
        let columns: Vec<DVector<f64>> = directions
            .column_iter()
            .map(|u| match self {
                Entries::Second(pairs) => entries_of(&u.into_owned(), pairs),
                Entries::Third(triples) => entries_of(&u.into_owned(), triples),
            })
            .collect();
        DMatrix::from_columns(&columns)
    }
}

/// What was seen at some patterns.
pub struct Looks {
    /// Along what mixed differences are taken.
    pub entries: Entries,
    /// How they are taken.
    pub differences: Differences,
    /// The patterns.
    pub places: Vec<Placement>,
    /// f there; with second differences only.
    pub values: Vec<f64>,
    /// Gradients along the units held; with second differences only.
    pub first: Vec<DVector<f64>>,
    /// The mixed differences.
    pub mixed: Vec<DVector<f64>>,
}

/// A unit of the second layer whose row the patterns do not tell.
pub struct Untold {
    /// The ridge that is nearest, if there is one.
    pub near: Option<Ridge>,
    /// Its curvature at the patterns.
    pub w: DVector<f64>,
}

impl Looks {
    /// None yet.
    pub fn new(entries: Entries, differences: Differences) -> Self {
        let (places, values, first, mixed) = Default::default();
        Looks { entries, differences, places, values, first, mixed }
    }

    /// The same at some of the entries.
    pub fn only(&self, chosen: &[usize]) -> Self {
        Looks {
            entries: self.entries.only(chosen),
            differences: self.differences,
            places: self.places.clone(),
            values: self.values.clone(),
            first: self.first.clone(),
            mixed: self.mixed.iter().map(|k| k.select_rows(chosen)).collect(),
        }
    }

    /// Takes from second differences along one unit what is that unit's own curvature: `bends` times the gradient.
    pub fn straighten(&mut self, bends: &DVector<f64>) {
        let Entries::Second(pairs) = &self.entries else { return };
        for (mixed, first) in self.mixed.iter_mut().zip(&self.first) {
            for (entry, &[i, j]) in mixed.iter_mut().zip(pairs) {
                *entry -= if i == j { bends[i] * first[i] } else { 0.0 };
            }
        }
    }
}

impl<'s> Sight<'s> {
    /// Holds `size` units at their middles, those `wanted` among them, with levels of the others for so many `patterns`; and how
    /// differences along pairs are best taken.
    pub fn new(
        f: &'s mut dyn Oracle,
        (units, placer): (&'s [Unit], &'s Placer),
        (size, wanted, patterns): (usize, &[usize], usize),
        rng: &'s mut ChaCha8Rng,
    ) -> Result<(Self, Differences), Halt> {
        let held = choose(units, accurate(units, size), size, wanted, rng);
        let free: Vec<usize> = (0..units.len()).filter(|j| !held.contains(j)).collect();
        let targets = held.iter().map(|&i| units[i].centre).collect();
        let moves = placer.moves(&held);
        let moves = moves.ok_or_else(|| failure("the units held have dependent directions"))?;
        let levels =
            if placer.any_signs() { levels(free.len(), patterns) } else { vec![-1.0, 1.0] };
        let saturator =
            (!placer.any_signs()).then(|| Saturator::of_units(units, 0.0, placer.saturated()));
        let mut sight = Sight {
            f,
            units,
            placer,
            held,
            free,
            targets,
            levels,
            moves,
            saturator,
            bends: None,
            rng,
        };
        let places = sight.draw(&[], SIGHT_STEP_POINTS);
        if places.is_empty() {
            return Err(failure(format!(
                "the other units cannot be saturated with {size} held: their directions are too dependent, or too \
                 many for the number of inputs"
            )));
        }
        let differences = sight.choose_step(&places, &Entries::Second(pairs(size)))?;
        Ok((sight, differences))
    }

    /// How differences along the `entries` are best taken.
    pub fn differences_along(&mut self, entries: &Entries) -> Result<Differences, Halt> {
        let places = self.draw(&[], SIGHT_STEP_POINTS);
        self.choose_step(&places, entries)
    }

    /// The step with which mixed differences change least when it is halved: truncation and noise balance there.
    fn choose_step(
        &mut self,
        places: &[Placement],
        entries: &Entries,
    ) -> Result<Differences, Halt> {
        let largest = SIGHT_LARGEST_STEP[usize::from(self.placer.coarse)];
        let steps = (0..=SIGHT_HALVINGS).map(|k| largest * 0.5f64.powi(k as i32));
        let mut rows: Vec<(f64, DVector<f64>)> = Vec::new();
        for h in steps {
            let mut row = DVector::zeros(places.len());
            for (k, place) in places.iter().enumerate() {
                row[k] = self.one(place, entries, k * entries.len() / places.len(), h)?;
            }
            rows.push((h, row));
        }
        let distances: Vec<f64> = places.iter().map(|place| place.point.norm()).collect();
        let distance = median(&distances).unwrap_or(0.0);
        // As if all were at the usual distance.
        let farther = |k: usize| (distances[k] / distance).max(1.0);
        let change = |a: &DVector<f64>, b: &DVector<f64>| {
            rms(&DVector::from_fn(a.len(), |k, _| (a[k] - b[k]) / farther(k)))
        };
        let changes = rows.windows(2).map(|pair| (change(&pair[0].1, &pair[1].1), pair[0].0));
        let best = changes.filter(|c| c.0.is_finite()).min_by(|a, b| a.0.total_cmp(&b.0));
        let (error, step) = best.ok_or_else(|| failure("mixed differences are not finite"))?;
        Ok(Differences { step, error, distance })
    }

    /// One difference.
    fn one(
        &mut self,
        place: &Placement,
        entries: &Entries,
        entry: usize,
        h: f64,
    ) -> Result<f64, Halt> {
        let (f, centre) = (&mut *self.f, points(std::slice::from_ref(place)));
        let f = &mut |x: &DMatrix<f64>| f.values(x);
        let one = match entries {
            Entries::Second(pairs) => {
                let moves = self.moves.select_columns(&pairs[entry]);
                stencil::mixed(f, &centre, &moves, &[[0, 1]], h)?.second
            }
            Entries::Third(triples) => {
                let moves = self.moves.select_columns(&triples[entry]);
                stencil::mixed_third(f, &centre, &moves, &[[0, 1, 2]], h)?
            }
        };
        Ok(one[(0, 0)])
    }

    /// The first layer.
    pub fn units(&self) -> &[Unit] {
        self.units
    }

    /// Is more open in values than f64 rounds away?
    pub fn is_coarse(&self) -> bool {
        self.placer.coarse
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

    /// The same with `places`.
    pub fn patterns(&self, places: &[Placement]) -> Patterns {
        let (held, targets) = (self.held.clone(), self.targets.clone());
        Patterns { held, targets, places: places.to_vec() }
    }

    /// How far the units held stray at a `place`, in half widths.
    pub fn astray(&self, place: &Placement) -> f64 {
        place.point.norm() * astray(self.units, &self.held)
    }

    /// Up to `count` places whose patterns are not among the `known`, nor twice.
    pub fn draw(&mut self, known: &[Placement], count: usize) -> Vec<Placement> {
        let mut found: Vec<Placement> = Vec::new();
        for _ in 0..count {
            let mut fresh = (0..PEEL_REDRAWS).filter_map(|trial| {
                let sides = self.sides(None);
                // Near places are not had in all patterns.
                let place = self.place(&sides, 2 * trial < PEEL_REDRAWS)?;
                is_new(&place, known.iter().chain(&found)).then_some(place)
            });
            if let Some(place) = fresh.next() {
                found.push(place);
            }
        }
        found
    }

    /// The same, where units that are not told yet may show their curvature: near patterns at which they do, if sides can be
    /// chosen, else where the nearest ridges say so.
    pub fn towards(
        &mut self,
        known: &[Placement],
        untold: &[Untold],
        count: usize,
    ) -> Vec<Placement> {
        if self.placer.any_signs() {
            return self.near_shown(known, untold, count);
        }
        let found = self.draw(known, SIGHT_CANDIDATES * count);
        let input = |place: &Placement, inputs: &DVector<f64>| {
            let free = self.free.iter().zip(inputs.iter());
            let sum: f64 = free.map(|(&j, b)| b * place.signs[j]).sum();
            (sum + inputs[inputs.len() - 1]).abs()
        };
        let least = |place: &Placement| {
            let near = untold.iter().filter_map(|unit| unit.near.as_ref());
            near.map(|ridge| input(place, &ridge.inputs)).fold(f64::INFINITY, f64::min)
        };
        let mut sized: Vec<(f64, Placement)> =
            found.into_iter().map(|place| (least(&place), place)).collect();
        sized.sort_by(|a, b| a.0.total_cmp(&b.0));
        sized.truncate(count);
        sized.into_iter().map(|sized| sized.1).collect()
    }

    /// Places near patterns of the `known` ones at which the units show most, with a few sides drawn anew.
    fn near_shown(
        &mut self,
        known: &[Placement],
        untold: &[Untold],
        count: usize,
    ) -> Vec<Placement> {
        let orders: Vec<Vec<usize>> = untold
            .iter()
            .map(|Untold { w, .. }| {
                let mut order: Vec<usize> = (0..known.len()).collect();
                order.sort_by(|&a, &b| w[b].abs().total_cmp(&w[a].abs()));
                order.truncate(SIGHT_NEAR);
                order
            })
            .collect();
        let mut found: Vec<Placement> = Vec::new();
        for k in 0..count {
            let order = &orders[k % orders.len()];
            let near = order[self.rng.random_range(0..order.len())];
            let sides = self.sides(Some(&known[near].signs));
            if let Some(place) = self.place(&sides, true)
                && is_new(&place, known.iter().chain(&found))
            {
                found.push(place);
            }
        }
        found
    }

    /// Random levels of the free units; or those of a pattern with a few of them drawn anew.
    fn sides(&mut self, near: Option<&[f64]>) -> Vec<f64> {
        let level = |rng: &mut ChaCha8Rng| self.levels[rng.random_range(0..self.levels.len())];
        let Some(near) = near else {
            let mut sides = vec![0.0; self.units.len()];
            self.free.iter().for_each(|&j| sides[j] = level(self.rng));
            return sides;
        };
        let mut sides = near.to_vec();
        for _ in 0..self.rng.random_range(1..=SIGHT_REDRAWN) {
            sides[self.free[self.rng.random_range(0..self.free.len())]] = level(self.rng);
        }
        sides
    }

    /// A place with these sides; where they cannot be chosen, one that is `near` if it is had.
    fn place(&mut self, sides: &[f64], near: bool) -> Option<Placement> {
        let (held, targets) = (self.held.as_slice(), self.targets.as_slice());
        if let Some(saturator) = self.saturator.as_ref().filter(|_| near) {
            let at: Vec<(usize, f64)> = held.iter().map(|&i| (i, 0.0)).collect();
            if let Some(places) = saturator.near(&at, 1, self.rng) {
                let point = places.points.column(0).into_owned();
                let signs = places.sides.column(0).iter().copied().collect();
                return Some(Placement { point, signs });
            }
        }
        place(self.units, self.placer, (held, targets), sides, self.rng)
    }

    /// Looks at more `places`.
    pub fn look(&mut self, looks: &mut Looks, places: Vec<Placement>) -> Result<(), Halt> {
        if places.is_empty() {
            return Ok(());
        }
        let mut more = Looks::new(looks.entries.clone(), looks.differences);
        let (f, centres, h) = (&mut *self.f, points(&places), looks.differences.step);
        let f = &mut |x: &DMatrix<f64>| f.values(x);
        match &looks.entries {
            Entries::Third(triples) => {
                more.mixed = columns(&stencil::mixed_third(f, &centres, &self.moves, triples, h)?);
            }
            Entries::Second(pairs) => {
                let different: Vec<[usize; 2]> =
                    pairs.iter().filter(|pair| pair[0] != pair[1]).copied().collect();
                let seen = stencil::mixed(f, &centres, &self.moves, &different, h)?;
                let mut next = seen.second.row_iter();
                let rows = pairs.iter().filter_map(|&[i, j]| {
                    if i == j { Some(seen.along.row(i)) } else { next.next() }
                });
                more.mixed = columns(&DMatrix::from_rows(&rows.collect::<Vec<_>>()));
                more.values = seen.values.iter().copied().collect();
                more.first = columns(&seen.first);
            }
        }
        if let Some(bends) = &self.bends {
            more.straighten(bends);
        }
        looks.values.extend(more.values);
        looks.first.extend(more.first);
        looks.mixed.extend(more.mixed);
        looks.places.extend(places);
        Ok(())
    }
}

fn columns(matrix: &DMatrix<f64>) -> Vec<DVector<f64>> {
    matrix.column_iter().map(|column| column.into_owned()).collect()
}

/// Levels of `free` units: +-1, and as many part-way as make many times the `patterns`.
fn levels(free: usize, patterns: usize) -> Vec<f64> {
    let enough = |levels: &usize| {
        let unknowns = free * (levels - 1) + 2;
        levels.saturating_pow(free as u32) >= SIGHT_LEVELS * (patterns + unknowns)
    };
    let count = (2..SIGHT_MOST_LEVELS).find(enough).unwrap_or(SIGHT_MOST_LEVELS);
    let between = count - 2;
    let spread = |k: usize| PEEL_LEVEL_SPAN * ((2 * k + 1) as f64 / between as f64 - 1.0);
    [-1.0, 1.0].into_iter().chain((0..between).map(spread)).collect()
}

fn is_new<'p>(place: &Placement, known: impl IntoIterator<Item = &'p Placement>) -> bool {
    known.into_iter().all(|other| other.signs != place.signs)
}

fn points(places: &[Placement]) -> DMatrix<f64> {
    let columns: Vec<DVector<f64>> = places.iter().map(|place| place.point.clone()).collect();
    DMatrix::from_columns(&columns)
}

fn failure(reason: impl Into<String>) -> Halt {
    Failure::new(Stage::Peel, reason).into()
}
