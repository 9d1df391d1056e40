//! Points at which one unit of the first layer, or none, is in its transition and all others are saturated.

use nalgebra::{DMatrix, DVector};
use rand::{Rng, RngExt};

use super::tolerances::{
    ALONE, FAR_PUSHED, NEAR_PUSHED, PLACE_ROUNDS, PUSH_MARGIN, PUSH_ROUNDS, SATURATED,
};
use super::unit::Unit;
use crate::algebra::linalg::{Cholesky, product};
use crate::draws;
use crate::identify::survey::line::half_width;
use crate::network::TwoLayer;

/// Places points by the hyperplanes of all units and how wide their transitions are.
pub struct Saturator {
    /// Columns a_j, d x m0.
    normals: DMatrix<f64>,
    /// The same transposed.
    rows: DMatrix<f64>,
    /// theta_j: the argument of unit j is z_j = a_j . x - theta_j.
    shifts: DVector<f64>,
    /// |z_j| from which on unit j is saturated.
    levels: DVector<f64>,
}

/// Points, and the sides on which the units are saturated there.
pub struct Places {
    /// d x n.
    pub points: DMatrix<f64>,
    /// m0 x n: +1 or -1, and 0 for the unit held.
    pub sides: DMatrix<f64>,
}

/// What a place must be.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// The unit held in its transition, if any.
    pub held: Option<usize>,
    /// It is within this of z = 0.
    pub span: f64,
    /// About so many units may have to be pushed to saturation: the more, the nearer the place.
    pub pushed: usize,
}

impl Saturator {
    /// For the first layer of `network`.
    pub fn of_network(network: &TwoLayer) -> Self {
        let TwoLayer { a, theta, g, .. } = network;
        let levels = DVector::repeat(theta.len(), SATURATED * half_width(*g));
        Saturator { normals: a.clone(), rows: a.transpose(), shifts: theta.clone(), levels }
    }

    /// For `units`, at least one, whose arguments are distances from their hyperplanes. Their middles are uncertain by
    /// their angle errors times `lever`, the distance from which they were seen.
    pub fn of_units(units: &[Unit], lever: f64) -> Self {
        let normals: Vec<DVector<f64>> = units.iter().map(|unit| unit.direction.clone()).collect();
        let normals = DMatrix::from_columns(&normals);
        let levels = units.iter().map(|unit| SATURATED * unit.half_width + lever * unit.error);
        let levels = DVector::from_iterator(units.len(), levels);
        let shifts = DVector::from_iterator(units.len(), units.iter().map(|unit| unit.centre));
        Saturator { rows: normals.transpose(), normals, shifts, levels }
    }

    /// The same where `units` need not be saturated.
    pub fn freeing(mut self, units: &[usize]) -> Self {
        units.iter().for_each(|&unit| self.levels[unit] = f64::NEG_INFINITY);
        self
    }

    /// `count` random places; `None` where they are out of reach.
    pub fn places(&self, wanted: Wanted, count: usize, rng: &mut impl Rng) -> Option<Places> {
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
                if let Some(i) = wanted.held {
                    sides.row_mut(i).fill(0.0);
                }
                return Some(Places { points, sides });
            }
        }
        None
    }

    /// `count` places with the unit `held` in its middle, as near to the origin as they are easily had.
    pub fn near(&self, held: Option<usize>, count: usize, rng: &mut impl Rng) -> Option<Places> {
        let (d, m0) = self.normals.shape();
        let mut pushed = (NEAR_PUSHED * d.min(m0) as f64) as usize;
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
        let z = &self.rows * x - &self.shifts;
        let away = |(j, z): (usize, &f64)| j == held || z.abs() >= ALONE * self.levels[j];
        z.iter().enumerate().all(away)
    }

    fn saturated(&self, z: &nalgebra::DVectorView<'_, f64>, held: Option<usize>) -> bool {
        z.iter().enumerate().all(|(j, z)| Some(j) == held || z.abs() >= self.levels[j])
    }

    /// Random points (d x n) with the units pushed, and their arguments z (m0 x n).
    fn drawn(
        &self,
        wanted: Wanted,
        count: usize,
        rng: &mut impl Rng,
    ) -> Option<(DMatrix<f64>, DMatrix<f64>)> {
        let (a, theta) = (&self.normals, &self.shifts);
        let mut x = draws::gaussian(rng, a.nrows(), count);
        let mut base = DMatrix::zeros(a.nrows(), count);
        if let Some(i) = wanted.held {
            let a = a.column(i);
            let square = a.norm_squared();
            for (mut w, mut base) in x.column_iter_mut().zip(base.column_iter_mut()) {
                let along = a.dot(&w) / square;
                w.axpy(-along, &a, 1.0);
                let z = if wanted.span > 0.0 {
                    rng.random_range(-wanted.span..wanted.span)
                } else {
                    0.0
                };
                base.axpy((theta[i] + z) / square, &a, 0.0);
            }
        }
        let speeds = product(&self.rows, &x);
        let at_base = match wanted.held {
            Some(_) => product(&self.rows, &base),
            None => DMatrix::zeros(theta.len(), count),
        };
        let mut z = DMatrix::zeros(theta.len(), count);
        for (k, mut z) in z.column_iter_mut().enumerate() {
            let (speeds, at_base) = (speeds.column(k), at_base.column(k) - theta);
            // Now and then none: a flat unit is passed from far out only.
            let pushed = if wanted.held.is_none() {
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

    /// How far to go so that all units but `wanted.pushed` are saturated.
    fn distance(
        &self,
        speeds: &DVector<f64>,
        at_base: &DVector<f64>,
        wanted: Wanted,
    ) -> Option<f64> {
        let needed = |j: usize| {
            let behind = self.levels[j] - at_base[j] * speeds[j].signum();
            (behind / speeds[j].abs()).max(0.0)
        };
        let others = (0..speeds.len()).filter(|&j| Some(j) != wanted.held);
        let mut needed: Vec<f64> = others.map(needed).collect();
        needed.sort_by(|a, b| b.total_cmp(a));
        match needed.get(wanted.pushed.min(needed.len().saturating_sub(1))) {
            Some(&distance) => distance.is_finite().then_some(distance),
            // The only unit of its layer: any place will do.
            None => Some(1.0),
        }
    }

    /// Moves every point by as little as saturates the units that are not, on their sides.
    fn push(&self, x: &mut DMatrix<f64>, z: &mut DMatrix<f64>, held: Option<usize>) {
        let mut pushed: Vec<Vec<usize>> = vec![held.into_iter().collect(); x.ncols()];
        for _ in 0..PUSH_ROUNDS {
            let mut moves: Vec<(usize, DVector<f64>)> = Vec::new();
            for (k, pushed) in pushed.iter_mut().enumerate() {
                let low = |&j: &usize| Some(j) != held && z[(j, k)].abs() < self.levels[j];
                let low: Vec<usize> = (0..z.nrows()).filter(low).collect();
                if low.is_empty() {
                    continue;
                }
                pushed.extend(low.into_iter().filter(|j| !pushed.contains(j)).collect::<Vec<_>>());
                let target = |&j: &usize| match held {
                    Some(i) if i == j => 0.0,
                    _ => {
                        let z = z[(j, k)];
                        z.signum() * (PUSH_MARGIN * self.levels[j] - z.abs()).max(0.0)
                    }
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
        let gram = product(&a.transpose(), &a);
        let coefficients = Cholesky::new(&gram)?.solve(&DVector::from_vec(changes));
        let step = a * coefficients;
        step.iter().all(|s| s.is_finite()).then_some(step)
    }
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
            let wanted = Wanted { held: Some(2), span: 0.9, pushed: FAR_PUSHED };
            let far = saturator.places(wanted, 40, rng).unwrap();
            let near = saturator.near(Some(2), 4, rng).unwrap();
            let none = Wanted { held: None, span: 0.0, pushed: FAR_PUSHED };
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
        assert!(saturator.near(Some(0), 1, rng).is_none());
    }
}
