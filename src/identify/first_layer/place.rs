//! Where to ask: points that hold some units at chosen places and saturate all others.

use nalgebra::{DMatrix, DVector};
use rand::{Rng, RngExt};

use super::nearest::{Beyond, nearest};
use super::saturator::Saturator;
use super::tolerances::{
    DUAL_CONDITION, FARTHEST_PLACE, MOST_CHOSEN, PLACE_DRAWS, PLACE_STRAYS, SATURATION_JITTER,
    SATURATION_MARGIN,
};
use super::unit::Unit;
use crate::algebra::linalg::dual;
use crate::draws;
use crate::identify::survey::landscape::Landscape;

/// A point, and on which side each unit is saturated there (0 for the units held).
#[derive(Clone, Debug)]
pub struct Placement {
    /// Where.
    pub point: DVector<f64>,
    /// +1 or -1 for a saturated unit, 0 for a held one, in the sign of its direction.
    pub signs: Vec<f64>,
}

/// Places points by the directions, centres and widths of all units.
pub struct Placer {
    /// d x m0.
    directions: DMatrix<f64>,
    centres: Vec<f64>,
    half_widths: Vec<f64>,
    /// Dual basis of all directions, where m0 <= d and they are independent.
    all_dual: Option<DMatrix<f64>>,
    /// Where they are so many, and so dependent, that points placed by that basis are too far out.
    nearby: Option<Saturator>,
    farthest: f64,
    /// Half widths after which units are saturated.
    saturated: f64,
    /// Is more open in values than f64 rounds away?
    pub coarse: bool,
}

impl Placer {
    /// Prepares placements for `units`.
    pub fn new(units: &[Unit], land: &Landscape) -> Self {
        let columns: Vec<DVector<f64>> = units.iter().map(|u| u.direction.clone()).collect();
        let directions = DMatrix::from_columns(&columns);
        let all_dual =
            dual(&directions).filter(|(_, condition)| *condition < DUAL_CONDITION).map(|(d, _)| d);
        let astray = |dual: &DMatrix<f64>| {
            units.len() > MOST_CHOSEN && strays(units, dual, land.saturation()) > PLACE_STRAYS
        };
        let (all_dual, nearby) = match all_dual {
            Some(dual) if astray(&dual) => {
                (None, Some(Saturator::of_units(units, land.scale, land.saturation())))
            }
            dual => (dual, None),
        };
        Placer {
            directions,
            centres: units.iter().map(|u| u.centre).collect(),
            half_widths: units.iter().map(|u| u.half_width).collect(),
            all_dual,
            nearby,
            farthest: FARTHEST_PLACE * land.scale,
            saturated: land.saturation(),
            coarse: land.is_coarse(),
        }
    }

    /// Half widths after which units are saturated.
    pub fn saturated(&self) -> f64 {
        self.saturated
    }

    /// Can every pattern of saturated signs be had?
    pub fn any_signs(&self) -> bool {
        self.all_dual.is_some()
    }

    /// Directions (d x |held|) along which unit held_i moves by its half width and no other held unit
    /// moves; where all units have a dual basis, no other unit at all.
    pub fn moves(&self, held: &[usize]) -> Option<DMatrix<f64>> {
        let mut moves = match &self.all_dual {
            Some(dual) => dual.select_columns(held),
            None => dual(&self.directions.select_columns(held))?.0,
        };
        for (mut column, &i) in moves.column_iter_mut().zip(held) {
            column *= self.half_widths[i];
        }
        Some(moves)
    }

    /// A point with direction_i . x = targets_i for the units `held` and all others saturated, on the
    /// sides `signs` (length m0) where given and attainable, else on random ones.
    pub fn saturate(
        &self,
        held: &[usize],
        targets: &[f64],
        signs: Option<&[f64]>,
        rng: &mut impl Rng,
    ) -> Option<Placement> {
        match &self.all_dual {
            Some(dual) => Some(self.by_dual(dual, held, targets, signs, rng)),
            None => self.elsewhere(held, targets, None, rng),
        }
    }

    /// The same, on random sides, for a line through the point: within `reach` lengths of the direction `along` no
    /// other unit leaves its saturation.
    pub fn saturate_along(
        &self,
        held: &[usize],
        targets: &[f64],
        line: (&DVector<f64>, f64),
        rng: &mut impl Rng,
    ) -> Option<Placement> {
        match &self.all_dual {
            // No other unit moves.
            Some(dual) => Some(self.by_dual(dual, held, targets, None, rng)),
            None => self.elsewhere(held, targets, Some(line), rng),
        }
    }

    /// Does no unit but those `held` leave its saturation within `reach` lengths of the direction `along` from a
    /// `point`?
    pub fn is_saturated_along(
        &self,
        held: &[usize],
        point: &DVector<f64>,
        (along, reach): (&DVector<f64>, f64),
    ) -> bool {
        let (levels, speeds) = (self.directions.tr_mul(point), self.directions.tr_mul(along));
        (0..self.centres.len()).filter(|j| !held.contains(j)).all(|j| {
            let left = (levels[j] - self.centres[j]).abs() - reach * speeds[j].abs();
            left >= self.saturated * self.half_widths[j]
        })
    }

    fn by_dual(
        &self,
        dual: &DMatrix<f64>,
        held: &[usize],
        targets: &[f64],
        signs: Option<&[f64]>,
        rng: &mut impl Rng,
    ) -> Placement {
        let mut sides: Vec<f64> = (0..self.centres.len())
            .map(|j| match signs {
                Some(signs) => signs[j],
                None if rng.random::<bool>() => 1.0,
                None => -1.0,
            })
            .collect();
        // A margin over bare saturation, different for every unit and point.
        let mut levels = DVector::from_fn(sides.len(), |j, _| {
            self.centres[j]
                + sides[j]
                    * (SATURATION_MARGIN + SATURATION_JITTER * rng.random::<f64>())
                    * self.saturated
                    * self.half_widths[j]
        });
        for (&i, &target) in held.iter().zip(targets) {
            levels[i] = target;
            sides[i] = 0.0;
        }
        let nearer = if self.coarse { self.nearest(held, targets, &levels, &sides) } else { None };
        Placement { point: nearer.unwrap_or_else(|| dual * levels), signs: sides }
    }

    /// The nearest point with the units `held` at their `targets` and the others at their `levels` or beyond.
    fn nearest(
        &self,
        held: &[usize],
        targets: &[f64],
        levels: &DVector<f64>,
        sides: &[f64],
    ) -> Option<DVector<f64>> {
        if held.len() >= self.directions.nrows() {
            return None;
        }
        let fixed = self.directions.select_columns(held);
        let base = if held.is_empty() {
            DVector::zeros(fixed.nrows())
        } else {
            dual(&fixed)?.0 * DVector::from_column_slice(targets)
        };
        let others = (0..sides.len()).filter(|&j| sides[j] != 0.0);
        let beyond = |unit| Beyond { unit, side: sides[unit], least: sides[unit] * levels[unit] };
        nearest(&self.directions, (&fixed, &base), &others.map(beyond).collect::<Vec<_>>())
    }

    /// On sides as they come.
    fn elsewhere(
        &self,
        held: &[usize],
        targets: &[f64],
        line: Option<(&DVector<f64>, f64)>,
        rng: &mut impl Rng,
    ) -> Option<Placement> {
        // What the line takes of the margin.
        let moved = line.map(|(along, reach)| self.directions.tr_mul(along).abs() * reach);
        let moved = moved.unwrap_or_else(|| DVector::zeros(self.centres.len()));
        match &self.nearby {
            Some(saturator) => self.by_pushes(saturator, held, targets, &moved, rng),
            None => self.by_search(held, targets, &moved, rng),
        }
    }

    /// Many units, about as many as dimensions: a random place where most are saturated, and the shortest way from
    /// there to one where all are.
    fn by_pushes(
        &self,
        saturator: &Saturator,
        held: &[usize],
        targets: &[f64],
        moved: &DVector<f64>,
        rng: &mut impl Rng,
    ) -> Option<Placement> {
        let at = |(&i, target): (&usize, &f64)| (i, target - self.centres[i]);
        let at: Vec<(usize, f64)> = held.iter().zip(targets).map(at).collect();
        let places = saturator.clone().beyond(moved).near(&at, 1, rng)?;
        let point = places.points.column(0).into_owned();
        Some(Placement { point, signs: places.sides.column(0).iter().copied().collect() })
    }

    /// More units than dimensions: go far in a direction orthogonal to the held units, the best of
    /// many random ones.
    fn by_search(
        &self,
        held: &[usize],
        targets: &[f64],
        moved: &DVector<f64>,
        rng: &mut impl Rng,
    ) -> Option<Placement> {
        let d = self.directions.nrows();
        if held.len() >= d {
            return None;
        }
        let fixed = self.directions.select_columns(held);
        let base = if held.is_empty() {
            DVector::zeros(d)
        } else {
            dual(&fixed)?.0 * DVector::from_column_slice(targets)
        };
        let basis = fixed.qr().q();
        let at_base = self.directions.tr_mul(&base);
        let mut best: Option<(f64, DVector<f64>)> = None;
        for _ in 0..PLACE_DRAWS[rng.random_range(0..PLACE_DRAWS.len())] {
            let w = orthogonal(draws::unit_vector(rng, d), &basis);
            let speeds = self.directions.tr_mul(&w);
            let radius = (0..self.centres.len())
                .filter(|j| !held.contains(j))
                .map(|j| {
                    let needed =
                        SATURATION_MARGIN * self.saturated * self.half_widths[j] + moved[j];
                    let behind = (self.centres[j] - at_base[j]) * speeds[j].signum();
                    (needed + behind).max(0.0) / speeds[j].abs()
                })
                .fold(0.0, f64::max);
            if best.as_ref().is_none_or(|(r, _)| radius < *r) {
                best = Some((radius, w));
            }
        }
        let (radius, w) = best.filter(|(radius, _)| *radius <= self.farthest)?;
        let point = base + w * radius;
        let levels = self.directions.tr_mul(&point);
        let signs = (0..self.centres.len())
            .map(|j| if held.contains(&j) { 0.0 } else { (levels[j] - self.centres[j]).signum() })
            .collect();
        Some(Placement { point, signs })
    }
}

/// How far a unit held strays from its place where all others are saturated by the `dual` basis, in half widths, at
/// most: by the errors of the angles times the distance.
fn strays(units: &[Unit], dual: &DMatrix<f64>, saturated: f64) -> f64 {
    let levels = units.iter().map(|unit| SATURATION_MARGIN * saturated * unit.half_width);
    let square: f64 = dual.column_iter().zip(levels).map(|(v, l)| v.norm_squared() * l * l).sum();
    square.sqrt() * units.iter().map(|unit| unit.error / unit.half_width).fold(0.0, f64::max)
}

/// What of a vector is orthogonal to the orthonormal columns of `basis`, of length 1; twice, as the first time leaves
/// the rounding of what it takes away.
fn orthogonal(mut w: DVector<f64>, basis: &DMatrix<f64>) -> DVector<f64> {
    for _ in 0..2 {
        w -= basis * basis.tr_mul(&w);
        w.normalize_mut();
    }
    w
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identify::first_layer::tolerances::SATURATED;

    fn setting(d: usize, m0: usize) -> (Vec<Unit>, Landscape) {
        let mut rng = draws::stream(5, "place", 0);
        let units = (0..m0)
            .map(|i| Unit {
                direction: draws::unit_vector(&mut rng, d),
                centre: 0.1 * i as f64,
                half_width: 1.0 + 0.2 * i as f64,
                error: 0.0,
            })
            .collect();
        (units, Landscape::unit(0.0, 0.0))
    }

    /// Random units whose half widths spread over two decades, and what is around them.
    fn random_units(d: usize, m0: usize, seed: u64) -> (Vec<Unit>, Landscape) {
        let rng = &mut draws::stream(seed, "random units", 0);
        let units = (0..m0)
            .map(|_| Unit {
                direction: draws::unit_vector(rng, d),
                centre: rng.random_range(-5.0..5.0),
                half_width: 10f64.powf(rng.random_range(-1.0..1.0)),
                error: 0.0,
            })
            .collect();
        (units, Landscape::unit(0.0, 0.0))
    }

    proptest! {
        #[test]
        fn what_is_not_held_is_saturated(
            d in 2usize..=8,
            m0 in 1usize..=16,
            hold in 0usize..=8,
            given in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let (units, land) = random_units(d, m0, seed);
            let placer = Placer::new(&units, &land);
            let rng = &mut draws::stream(seed, "draw", 0);
            let hold = hold.min(m0).min(d - 1);
            let held: Vec<usize> = rand::seq::index::sample(rng, m0, hold).into_vec();
            let targets: Vec<f64> = held.iter().map(|&i| units[i].centre + 0.3).collect();
            let signs: Vec<f64> =
                (0..m0).map(|_| if rng.random() { 1.0 } else { -1.0 }).collect();
            let asked = given.then_some(signs.as_slice());
            let place = placer.saturate(&held, &targets, asked, rng);
            // Only where signs cannot be chosen may there be no place: too far out.
            let Some(place) = place else { return Err(TestCaseError::reject("no place")) };
            let size = place.point.norm() + 1.0;
            for (j, unit) in units.iter().enumerate() {
                let off = unit.direction.dot(&place.point) - unit.centre;
                if held.contains(&j) {
                    prop_assert_eq!(place.signs[j], 0.0);
                    prop_assert!((off - 0.3).abs() < 1e-9 * size, "unit {}: {}", j, off);
                } else {
                    prop_assert_eq!(place.signs[j].abs(), 1.0);
                    prop_assert!(off * place.signs[j] >= 9.0 * unit.half_width, "unit {}: {}", j, off);
                    if given && placer.any_signs() {
                        prop_assert_eq!(place.signs[j], signs[j]);
                    }
                }
            }
        }
    }

    #[test]
    fn lines_leave_other_units_saturated() {
        for (d, m0) in [(8, 6), (8, 30)] {
            let (mut units, land) = setting(d, m0);
            // A wide one beside a narrow one.
            units[0].half_width = 30.0;
            units[1].direction = (&units[0].direction * 3.0 + &units[1].direction).normalize();
            let placer = Placer::new(&units, &land);
            let along = placer.moves(&[0, 2]).unwrap().column(0).into_owned();
            let mut rng = draws::stream(5, "line", 0);
            for _ in 0..8 {
                let line = (&along, 3.0);
                let place = placer.saturate_along(&[0, 2], &[0.0, 0.1], line, &mut rng).unwrap();
                assert!(placer.is_saturated_along(&[0, 2], &place.point, line));
                if m0 > d {
                    assert!(!placer.is_saturated_along(&[0, 2], &place.point, (&along, 3000.0)));
                }
            }
        }
    }

    #[test]
    fn of_coarse_values_places_are_nearer() {
        let (units, exact) = setting(12, 12);
        let coarse = Landscape::unit(1e-7, 1e-7);
        let far = |land: &Landscape| {
            let placer = Placer::new(&units, land);
            let mut rng = draws::stream(5, "draw", 0);
            let places: Vec<_> = (0..20)
                .map(|_| placer.saturate(&[1, 4], &[0.7, -0.3], None, &mut rng).unwrap())
                .collect();
            for place in &places {
                assert!((units[1].direction.dot(&place.point) - 0.7).abs() < 1e-9);
                for (unit, side) in units.iter().zip(&place.signs).filter(|(_, side)| **side != 0.0)
                {
                    let level = (unit.direction.dot(&place.point) - unit.centre) * side;
                    assert!(level >= land.saturation() * unit.half_width);
                }
            }
            places.iter().map(|place| place.point.norm()).sum::<f64>()
        };
        // Saturated to 7 digits nearer by, and none of them farther out than it must be.
        let (coarse, exact) =
            (far(&coarse) / coarse.saturation(), far(&exact) / exact.saturation());
        assert!(coarse < 0.95 * exact, "{coarse} {exact}");
    }

    #[test]
    fn held_units_are_held_and_others_saturated() {
        for (d, m0) in [(8, 6), (8, 8), (8, 14)] {
            let (units, land) = setting(d, m0);
            let placer = Placer::new(&units, &land);
            assert_eq!(placer.any_signs(), m0 <= d);
            let mut rng = draws::stream(5, "draw", 0);
            let place = placer.saturate(&[1, 4], &[0.7, -0.3], None, &mut rng).unwrap();
            for (j, unit) in units.iter().enumerate() {
                let level = unit.direction.dot(&place.point);
                match j {
                    1 => assert!((level - 0.7).abs() < 1e-9),
                    4 => assert!((level + 0.3).abs() < 1e-9),
                    _ => assert!(
                        (level - unit.centre) * place.signs[j] >= SATURATED * unit.half_width
                    ),
                }
            }
            let moves = placer.moves(&[1, 4]).unwrap();
            let change = placer.directions.select_columns(&[1, 4]).tr_mul(&moves);
            assert!((change[(0, 0)] - units[1].half_width).abs() < 1e-12);
            assert!(change[(0, 1)].abs() < 1e-12);
        }
    }
}
