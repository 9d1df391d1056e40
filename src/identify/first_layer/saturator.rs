//! Points at which some units of the first layer are held in their transitions and all others are saturated.

use std::sync::Arc;

use nalgebra::{DMatrix, DVector};
use rand::{Rng, RngExt};

use super::tolerances::{
    ALONE, FAR_PUSHED, NEAR_PUSHED, PLACE_ROUNDS, PUSH_MARGIN, PUSH_ROUNDS, SATURATED,
};
use super::unit::Unit;
use crate::algebra::linalg::{Cholesky, product, tr_product};
use crate::draws;
use crate::identify::survey::line::half_width;
use crate::network::TwoLayer;

/// Places points by the hyperplanes of all units and how wide their transitions are.
#[derive(Clone)]
pub struct Saturator {
    /// Columns a_j, d x m0.
    normals: Arc<DMatrix<f64>>,
    /// The same transposed.
    rows: Arc<DMatrix<f64>>,
    /// theta_j: the argument of unit j is z_j = a_j . x - theta_j.
    shifts: DVector<f64>,
    /// |z_j| from which on unit j is saturated.
    levels: DVector<f64>,
}

/// Points, and the sides on which the units are saturated there.
pub struct Places {
    /// d x n.
    pub points: DMatrix<f64>,
    /// m0 x n: +1 or -1, and 0 for the units held.
    pub sides: DMatrix<f64>,
}

/// What a place must be.
#[derive(Clone, Copy)]
pub struct Wanted<'w> {
    /// Units held in their transitions, and their arguments z.
    pub held: &'w [(usize, f64)],
    /// These may be off by as much.
    pub span: f64,
    /// About so many units may have to be pushed to saturation: the more, the nearer the place.
    pub pushed: usize,
}

impl Saturator {
    /// For the first layer of `network`.
    pub fn of_network(network: &TwoLayer) -> Self {
        let TwoLayer { a, theta, g, .. } = network;
        let levels = DVector::repeat(theta.len(), SATURATED * half_width(*g));
        let rows = Arc::new(a.transpose());
        Saturator { normals: Arc::new(a.clone()), rows, shifts: theta.clone(), levels }
    }

    /// For `units`, at least one, whose arguments are distances from their hyperplanes. Their middles are uncertain by
    /// their angle errors times `lever`, the distance from which they were seen; they are saturated after so many half widths.
    pub fn of_units(units: &[Unit], lever: f64, saturated: f64) -> Self {
        let normals: Vec<DVector<f64>> = units.iter().map(|unit| unit.direction.clone()).collect();
        let normals = DMatrix::from_columns(&normals);
        let levels = units.iter().map(|unit| saturated * unit.half_width + lever * unit.error);
        let levels = DVector::from_iterator(units.len(), levels);
        let shifts = DVector::from_iterator(units.len(), units.iter().map(|unit| unit.centre));
        let rows = Arc::new(normals.transpose());
        Saturator { normals: Arc::new(normals), rows, shifts, levels }
    }

    /// The same where `units` need not be saturated.
    pub fn freeing(mut self, units: &[usize]) -> Self {
        units.iter().for_each(|&unit| self.levels[unit] = f64::NEG_INFINITY);
        self
    }

    /// The same where units are farther from their hyperplanes by `more` (length m0).
    pub fn beyond(mut self, more: &DVector<f64>) -> Self {
        self.levels += more;
        self
    }

    /// `count` random places; `None` where they are out of reach.
    pub fn places(&self, wanted: Wanted<'_>, count: usize, rng: &mut impl Rng) -> Option<Places> {
        let (d, m0) = self.normals.shape();
        let mut points = DMatrix::zeros(d, count);
        let mut sides = DMatrix::zeros(m0, count);
        let mut found = 0;
        for _ in 0..PLACE_ROUNDS {
            let (x, z) = self.drawn(wanted, count - found, rng)?;
            for (x, z) in x.column_iter().zip(z.column_iter()) {
                if self.saturated(&z, wanted.held) {
                    points.set_column(found, &x);
                    sides.set_column(found, &z.map(f64::signum));
                    found += 1;
                }
            }
            if found == count {
                wanted.held.iter().for_each(|&(i, _)| sides.row_mut(i).fill(0.0));
                return Some(Places { points, sides });
            }
        }
        None
    }

    /// `count` places with the units `held` at their arguments, as near to the origin as they are easily had.
    pub fn near(&self, held: &[(usize, f64)], count: usize, rng: &mut impl Rng) -> Option<Places> {
        let (d, m0) = self.normals.shape();
        let mut pushed = near_pushed(d, m0);
        loop {
            let wanted = Wanted { held, span: 0.0, pushed: pushed.max(FAR_PUSHED) };
            match self.places(wanted, count, rng) {
                None if pushed > FAR_PUSHED => pushed /= 2,
                places => return places,
            }
        }
    }

    /// Are all units but `held` so far from their hyperplanes at `x` that they do not turn a gradient there?
    pub fn is_alone(&self, held: usize, x: &DVector<f64>) -> bool {
        let z = &*self.rows * x - &self.shifts;
        let away = |(j, z): (usize, &f64)| j == held || z.abs() >= ALONE * self.levels[j];
        z.iter().enumerate().all(away)
    }

    fn saturated(&self, z: &nalgebra::DVectorView<'_, f64>, held: &[(usize, f64)]) -> bool {
        z.iter().enumerate().all(|(j, z)| z.abs() >= self.levels[j] || is_held(held, j))
    }

    /// Random points (d x n) with the units pushed, and their arguments z (m0 x n).
    fn drawn(
        &self,
        wanted: Wanted<'_>,
        count: usize,
        rng: &mut impl Rng,
    ) -> Option<(DMatrix<f64>, DMatrix<f64>)> {
        let mut x = draws::gaussian(rng, self.normals.nrows(), count);
        let base = self.held(wanted, &mut x, rng)?;
        let speeds = product(&self.rows, &x);
        let at_base = match wanted.held {
            [] => DMatrix::zeros(self.shifts.len(), count),
            _ => product(&self.rows, &base),
        };
        let mut z = DMatrix::zeros(self.shifts.len(), count);
        for (k, mut z) in z.column_iter_mut().enumerate() {
            let (speeds, at_base) = (speeds.column(k), at_base.column(k) - &self.shifts);
            // Now and then none: a flat unit is passed from far out only.
            let pushed = if wanted.held.is_empty() {
                rng.random_range(0..=wanted.pushed)
            } else {
                wanted.pushed
            };
            let wanted = Wanted { pushed, ..wanted };
            let distance = self.distance(&speeds.into_owned(), &at_base, wanted)?;
            let distance = distance * rng.random_range(1.0..2.0);
            z.copy_from(&(at_base + speeds * distance));
            let moved = base.column(k) + x.column(k) * distance;
            x.set_column(k, &moved);
        }
        self.push(&mut x, &mut z, wanted.held);
        Some((x, z))
    }

    /// Turns the `directions` (d x n) so that the units held do not move along them. Returns the points (d x n) nearest
    /// to the origin at which these have their arguments.
    fn held(
        &self,
        wanted: Wanted<'_>,
        directions: &mut DMatrix<f64>,
        rng: &mut impl Rng,
    ) -> Option<DMatrix<f64>> {
        let Wanted { held, span, .. } = wanted;
        let (d, count) = directions.shape();
        if held.is_empty() {
            return Some(DMatrix::zeros(d, count));
        }
        let units: Vec<usize> = held.iter().map(|&(i, _)| i).collect();
        let a = self.normals.select_columns(&units);
        let gram = Cholesky::new(&tr_product(&a, &a))?;
        // Twice, as the first time leaves the rounding of what it takes away.
        for _ in 0..2 {
            let along = gram.solve_columns(&tr_product(&a, directions));
            *directions -= product(&a, &along);
        }
        let levels = DMatrix::from_fn(held.len(), count, |i, _| {
            let off = if span > 0.0 { rng.random_range(-span..span) } else { 0.0 };
            self.shifts[held[i].0] + held[i].1 + off
        });
        Some(product(&a, &gram.solve_columns(&levels)))
    }

    /// How far to go so that all units but `wanted.pushed` are saturated.
    fn distance(
        &self,
        speeds: &DVector<f64>,
        at_base: &DVector<f64>,
        wanted: Wanted<'_>,
    ) -> Option<f64> {
        let needed = |j: usize| {
            let behind = self.levels[j] - at_base[j] * speeds[j].signum();
            (behind / speeds[j].abs()).max(0.0)
        };
        let others = (0..speeds.len()).filter(|&j| !is_held(wanted.held, j));
        let mut needed: Vec<f64> = others.map(needed).collect();
        if needed.is_empty() {
            // The only unit of its layer: any place will do.
            return Some(1.0);
        }
        let pushed = wanted.pushed.min(needed.len() - 1);
        let (_, distance, _) = needed.select_nth_unstable_by(pushed, |a, b| b.total_cmp(a));
        distance.is_finite().then_some(*distance)
    }

    /// Moves every point by as little as saturates the units that are not, on their sides.
    fn push(&self, x: &mut DMatrix<f64>, z: &mut DMatrix<f64>, held: &[(usize, f64)]) {
        let units: Vec<usize> = held.iter().map(|&(i, _)| i).collect();
        let mut pushed: Vec<Vec<usize>> = vec![units; x.ncols()];
        for _ in 0..PUSH_ROUNDS {
            let mut moves: Vec<(usize, DVector<f64>)> = Vec::new();
            for (k, pushed) in pushed.iter_mut().enumerate() {
                let low = |&j: &usize| z[(j, k)].abs() < self.levels[j] && !is_held(held, j);
                let low: Vec<usize> = (0..z.nrows()).filter(low).collect();
                if low.is_empty() {
                    continue;
                }
                pushed.extend(low.into_iter().filter(|j| !pushed.contains(j)).collect::<Vec<_>>());
                let target = |&j: &usize| {
                    let z = z[(j, k)];
                    let missing = (PUSH_MARGIN * self.levels[j] - z.abs()).max(0.0);
                    if is_held(held, j) { 0.0 } else { z.signum() * missing }
                };
                if let Some(step) = self.step(pushed, pushed.iter().map(target).collect()) {
                    moves.push((k, step));
                }
            }
            if moves.is_empty() {
                return;
            }
            let steps: Vec<DVector<f64>> = moves.iter().map(|(_, step)| step.clone()).collect();
            let changes = product(&self.rows, &DMatrix::from_columns(&steps));
            for ((k, step), change) in moves.iter().zip(changes.column_iter()) {
                x.column_mut(*k).axpy(1.0, step, 1.0);
                z.column_mut(*k).axpy(1.0, &change, 1.0);
            }
        }
    }

    /// The shortest step that changes the arguments of `units` by `changes`.
    fn step(&self, units: &[usize], changes: Vec<f64>) -> Option<DVector<f64>> {
        let d = self.normals.nrows();
        if units.len() >= d {
            return None;
        }
        let a = self.normals.select_columns(units);
        let gram = tr_product(&a, &a);
        let coefficients = Cholesky::new(&gram)?.solve(&DVector::from_vec(changes));
        let step = a * coefficients;
        step.iter().all(|s| s.is_finite()).then_some(step)
    }
}

/// Units that a near place may push, of m0 in d dimensions.
pub fn near_pushed(d: usize, m0: usize) -> usize {
    (NEAR_PUSHED * d.min(m0) as f64) as usize
}

fn is_held(held: &[(usize, f64)], unit: usize) -> bool {
    held.iter().any(|&(i, _)| i == unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Activation, Class};

    #[test]
    fn one_unit_is_active_and_all_others_saturated() {
        for (dims, seed) in [((6, 4, 1), 1), ((6, 6, 1), 2), ((6, 15, 1), 3)] {
            let network = TwoLayer::random(dims, Class::General, Activation::Tanh, seed).unwrap();
            let saturator = Saturator::of_network(&network);
            let rng = &mut draws::stream(seed, "saturator", 0);
            let wanted = Wanted { held: &[(2, 0.0)], span: 0.9, pushed: FAR_PUSHED };
            let far = saturator.places(wanted, 40, rng).unwrap();
            let near = saturator.near(&[(2, 0.0)], 4, rng).unwrap();
            let none = Wanted { held: &[], span: 0.0, pushed: FAR_PUSHED };
            let none = saturator.places(none, 10, rng).unwrap();
            for (places, held) in [(&far, Some(2)), (&near, Some(2)), (&none, None)] {
                for (x, sides) in places.points.column_iter().zip(places.sides.column_iter()) {
                    let z = network.a.tr_mul(&x) - &network.theta;
                    for (j, (z, side)) in z.iter().zip(sides.iter()).enumerate() {
                        if Some(j) == held {
                            assert!(z.abs() < 0.901 && *side == 0.0, "{dims:?}: {z}");
                        } else {
                            assert!(z.abs() > 20.0 && z.signum() == *side, "{dims:?}: {z}");
                        }
                    }
                }
            }
            let mean = |p: &Places| {
                p.points.column_iter().map(|x| x.norm()).sum::<f64>() / p.points.ncols() as f64
            };
            assert!(mean(&near) <= 1.5 * mean(&far), "{dims:?}");
        }
    }

    #[test]
    fn parallel_units_too_near_each_other_cannot_be_told_apart() {
        let mut network = TwoLayer::random((4, 3, 1), Class::Paper, Activation::Tanh, 1).unwrap();
        let twin = network.a.column(0).into_owned();
        network.a.set_column(1, &twin);
        network.theta[1] = network.theta[0];
        let saturator = Saturator::of_network(&network);
        let rng = &mut draws::stream(1, "saturator", 0);
        assert!(saturator.near(&[(0, 0.0)], 1, rng).is_none());
    }
}
