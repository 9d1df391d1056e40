//! The units of one hidden layer, one by one, by the steps of f far out.
//!
//! Far out every unit is saturated but near its own hyperplane. Between two distant points f is a staircase, and a step of
//! it is one unit, whole: its height, its slope along the line and its place ([`Rise`]). A value a little aside for each input
//! then tells the weights. What is known so is subtracted from f; where that is the same at distant points all over, no unit
//! is missing, and where it is not, there is a step between two of them. So steps that overlap on one line do no
//! harm: all that is needed is that each unit shows alone somewhere.

use nalgebra::{DMatrix, DVector};
use rand_chacha::ChaCha8Rng;

use super::rise::Rise;
use super::staircase::{Reading, Staircase, climb};
use super::tolerances::{
    CHECK_POINTS, FARTHER, FIRST_CELLS, MOST_BARREN, MOST_FRUITLESS, PLACED, REFERENCE_SHARE,
    SAME_ERRORS, SIGHT_NEARER, SIGHT_ROUNDS, SIGHT_STEP, SIGHTED_ACCURATE, SPACING,
};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::StepsSeen;
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::tolerances::LINES_FAR;
use crate::identify::survey::landscape::Landscape;
use crate::identify::survey::tolerances::SURE_CHANGE;
use crate::network::Activation;
use crate::network::OneLayer;
use crate::oracle::{Clock, Oracle};
use crate::stage::Stage;

/// A unit c phi(a . x - theta), as it was seen at one place.
struct Sighted {
    a: DVector<f64>,
    theta: f64,
    c: f64,
    /// A point of its hyperplane, where it was seen.
    place: DVector<f64>,
    /// Error of a . x at `place`.
    argument_error: f64,
    /// Error of a.
    error: f64,
}

/// All units that f has far out.
pub struct Sightings {
    /// The network that they make.
    pub network: OneLayer,
    /// How many times worse the best of the other activations fitted, at the step where that is least.
    pub margin: Option<f64>,
    /// What says that there may be more of them.
    pub left: Option<Failure>,
}

/// A point far out, and f there.
struct Distant {
    x: DVector<f64>,
    value: f64,
}

struct Search<'a> {
    f: &'a mut dyn Oracle,
    land: &'a Landscape,
    far: f64,
    rng: ChaCha8Rng,
    clock: &'a Clock,
    /// The activations that it may be, the likeliest first.
    families: Vec<Activation>,
    margin: Option<f64>,
    units: Vec<Sighted>,
    seen: StepsSeen,
}

/// Finds all units of f, which has one of the activations `families`; from the distance `far` on it is constant between
/// hyperplanes.
pub fn sightings(
    cx: &mut Context<'_>,
    far: f64,
    families: &[Activation],
) -> Result<Sightings, Halt> {
    if families.is_empty() {
        let reason = "the values are bounded, those of the activation asked for are not";
        return Err(Failure::new(Stage::Lines, reason).into());
    }
    let Context { f, land, seed, attempt, clock, evidence } = cx;
    let mut search = Search {
        f: *f,
        land,
        far,
        rng: draws::stream(*seed, "sightings", *attempt),
        clock,
        families: families.to_vec(),
        margin: None,
        units: Vec::new(),
        seen: StepsSeen::default(),
    };
    let result = search.run();
    let Search { families, margin, units, mut seen, .. } = search;
    seen.units = units.len();
    seen.complete = matches!(result, Ok((_, None)));
    seen.largest_error = units.iter().map(|u| u.error / u.a.norm()).fold(0.0, f64::max);
    evidence.steps.push(seen);
    let (c0, left) = result?;
    let columns: Vec<DVector<f64>> = units.iter().map(|unit| unit.a.clone()).collect();
    let of =
        |value: fn(&Sighted) -> f64| DVector::from_iterator(units.len(), units.iter().map(value));
    let network = OneLayer {
        a: DMatrix::from_columns(&columns),
        theta: of(|unit| unit.theta),
        c: of(|unit| unit.c),
        c0,
        phi: families[0],
    };
    Ok(Sightings { network, margin, left })
}

impl Search<'_> {
    /// Line after line, until f is the same all over but for the units found; what it is then, and what speaks against that
    /// if it never is: a unit that is known less well than it seems leaves steps too, and the fit mends it.
    fn run(&mut self) -> Result<(f64, Option<Failure>), Halt> {
        let mut distance = self.distance(self.f.input_dim());
        let mut points: Vec<Distant> = Vec::new();
        let mut fruitless = 0;
        loop {
            self.clock.check()?;
            let Some((from, to)) = self.apart(&points) else {
                if points.len() < CHECK_POINTS {
                    points.extend(self.distant(distance, CHECK_POINTS - points.len())?);
                    continue;
                }
                if self.units.is_empty() {
                    return Err(self.failure("f is the same far out in all directions").into());
                }
                return Ok((self.level(&points), None));
            };
            let before = (self.units.len(), self.seen.steps);
            self.scan(&points[from], &points[to], distance)?;
            if self.seen.conflicts > 0 {
                return Err(self.failure("the step of a unit is another one elsewhere").into());
            }
            // About half of all units lie between two points.
            let wanted = self.distance(2 * (self.seen.steps - before.1).max(self.units.len() / 2));
            fruitless = if self.units.len() > before.0 { 0 } else { fruitless + 1 };
            let most = if self.units.is_empty() { MOST_BARREN } else { MOST_FRUITLESS };
            if fruitless == most {
                let left = self.failure("steps are left that are none of a single unit");
                if self.units.is_empty() {
                    return Err(left.into());
                }
                return Ok((self.level(&points), Some(left)));
            }
            let farther = if fruitless > 0 { FARTHER * distance } else { wanted };
            let farther = farther.min(self.farthest());
            if fruitless > 0 || farther > FARTHER * distance {
                distance = distance.max(farther);
                points.clear();
            }
        }
    }

    fn failure(&self, what: &str) -> Failure {
        let StepsSeen { steps, overlapping, refused, .. } = self.seen;
        let found = self.units.len();
        Failure::new(
            Stage::Lines,
            format!(
                "{what}: {found} units of {steps} steps, {overlapping} that are no step and {refused} whose weights do \
                 not agree with it"
            ),
        )
    }

    /// f without the units found, where that is known best.
    fn level(&self, points: &[Distant]) -> f64 {
        let best = self.rests(points).into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
        best.map_or(0.0, |(level, _)| level)
    }

    /// The distance from the origin at which the hyperplanes of so many units are mostly crossed apart from each other.
    fn distance(&self, units: usize) -> f64 {
        let sideways = (self.f.input_dim() as f64).sqrt();
        let wanted = SPACING * sideways * units as f64 * self.land.scale;
        wanted.max(LINES_FAR * self.far).min(self.farthest())
    }

    /// From farther away weights are not accurate enough to say where else a unit has its step: arguments are accurate to
    /// noise / spread over lengths of a scale, and are carried over the distance.
    fn farthest(&self) -> f64 {
        let Landscape { scale, spread, noise_near, noise_growth, .. } = *self.land;
        let near = PLACED * scale * spread / noise_near;
        let far = (PLACED * scale * spread / noise_growth).sqrt();
        near.min(far)
    }

    /// Two of the `points` between which f changes by what the units found do not explain.
    fn apart(&self, points: &[Distant]) -> Option<(usize, usize)> {
        let readings = self.rests(points);
        let by_value = |&i: &usize, &j: &usize| readings[i].0.total_cmp(&readings[j].0);
        // Near a known hyperplane nothing is told.
        let least = readings.iter().map(|r| r.1).fold(f64::INFINITY, f64::min);
        let clear = |k: &usize| readings[*k].1 <= REFERENCE_SHARE * least;
        let clear: Vec<usize> = (0..points.len()).filter(clear).collect();
        let low = *clear.iter().min_by(|i, j| by_value(i, j))?;
        let high = *clear.iter().max_by(|i, j| by_value(i, j))?;
        let differ = readings[high].0 - readings[low].0 > readings[high].1 + readings[low].1;
        differ.then_some((low, high))
    }

    /// Fresh points at this distance.
    fn distant(&mut self, distance: f64, count: usize) -> Result<Vec<Distant>, Halt> {
        let d = self.f.input_dim();
        let xs: Vec<DVector<f64>> =
            (0..count).map(|_| draws::unit_vector(&mut self.rng, d) * distance).collect();
        let values = self.f.values(&DMatrix::from_columns(&xs))?;
        Ok(xs.into_iter().zip(values.iter()).map(|(x, &value)| Distant { x, value }).collect())
    }

    /// What is left of the `value` of f at x without the units found, and by how much that may be off.
    fn rest(&self, x: &DVector<f64>, value: f64) -> (f64, f64) {
        let phi = self.families[0];
        let (mut rest, mut tolerance) = (value, SURE_CHANGE * self.land.noise_at(x.norm()));
        for unit in &self.units {
            let z = unit.a.dot(x) - unit.theta;
            rest -= unit.c * phi.value(z);
            let off = SAME_ERRORS * unit.error_at(x);
            let nearest = (z.abs() - off).max(0.0);
            tolerance += (unit.c * phi.slope(nearest)).abs() * off;
        }
        (rest, tolerance)
    }

    fn rests(&self, points: &[Distant]) -> Vec<(f64, f64)> {
        points.iter().map(|p| self.rest(&p.x, p.value)).collect()
    }

    /// The units that show between two points.
    fn scan(&mut self, from: &Distant, to: &Distant, distance: f64) -> Result<(), Halt> {
        self.seen.lines += 1;
        self.seen.distance = distance;
        let origin = from.x.clone();
        let length = (&to.x - &origin).norm();
        let direction = (&to.x - &origin) / length;
        let ts: Vec<f64> =
            (0..=FIRST_CELLS).map(|k| length * k as f64 / FIRST_CELLS as f64).collect();
        let first = self.read(&origin, &direction, &ts)?;
        let families = self.families.clone();
        // Its errors, carried over the distance to where else it is met, are to be small against a width.
        let lever = (self.f.input_dim() as f64).sqrt() * distance;
        let clean = |r: &Rise| r.misfit * r.slope * lever <= SIGHTED_ACCURATE * r.height.abs();
        let Staircase { steps: mut seen, others } = climb(
            first,
            |ts| self.read(&origin, &direction, ts),
            |run| {
                let ts: Vec<f64> = run.iter().map(|r| r.t).collect();
                let values: Vec<f64> = run.iter().map(|r| r.value).collect();
                let fits: Vec<Option<Rise>> =
                    families.iter().map(|&phi| Rise::fit(&ts, &values, phi)).collect();
                fits.iter().flatten().any(clean).then_some(fits)
            },
        )?;
        self.seen.steps += seen.len() + others;
        self.seen.overlapping += others;
        self.settle(&mut seen);
        // All of them by what was known when the line was read: their levels are of that.
        let rises = seen.iter().filter_map(|fits| fits[0].filter(clean));
        let sighted: Result<Vec<_>, Halt> =
            rises.map(|rise| self.sight(&origin, &direction, &rise)).collect();
        for unit in sighted? {
            match unit {
                Some(unit) => self.enter(unit),
                None => self.seen.refused += 1,
            }
        }
        Ok(())
    }

    /// Puts the activation first that fits most steps best.
    fn settle(&mut self, seen: &mut [Vec<Option<Rise>>]) {
        let misfit = |fits: &[Option<Rise>], k: usize| {
            fits[k].map_or(f64::INFINITY, |r| r.misfit / r.height.abs())
        };
        if self.families.len() < 2 || seen.is_empty() {
            return;
        }
        let best = |fits: &Vec<Option<Rise>>| {
            (0..fits.len())
                .min_by(|&i, &j| misfit(fits, i).total_cmp(&misfit(fits, j)))
                .unwrap_or(0)
        };
        let count = |k: usize| seen.iter().filter(|fits| best(fits) == k).count();
        let first = (0..self.families.len()).max_by_key(|&k| count(k)).unwrap_or(0);
        let margin = |fits: &Vec<Option<Rise>>| {
            let others = (0..fits.len()).filter(|&k| k != first).map(|k| misfit(fits, k));
            others.fold(f64::INFINITY, f64::min) / misfit(fits, first)
        };
        self.margin = seen.iter().map(margin).filter(|m| m.is_finite()).reduce(f64::min);
        self.families = vec![self.families[first]];
        seen.iter_mut().for_each(|fits| fits.swap(0, first));
    }

    /// f without the units found, on a line.
    fn read(
        &mut self,
        origin: &DVector<f64>,
        direction: &DVector<f64>,
        ts: &[f64],
    ) -> Result<Vec<Reading>, Halt> {
        let points: Vec<DVector<f64>> = ts.iter().map(|&t| origin + direction * t).collect();
        let values = self.f.values(&DMatrix::from_columns(&points))?;
        let reading = |((&t, x), &value): ((&f64, &DVector<f64>), &f64)| {
            let (value, tolerance) = self.rest(x, value);
            Reading { t, value, tolerance }
        };
        Ok(ts.iter().zip(&points).zip(values.iter()).map(reading).collect())
    }

    /// The unit of which `rise` is the step: every value beside it tells the argument there, and so one of the weights.
    fn sight(
        &mut self,
        origin: &DVector<f64>,
        direction: &DVector<f64>,
        rise: &Rise,
    ) -> Result<Option<Sighted>, Halt> {
        let phi = self.families[0];
        let place = origin + direction * rise.centre;
        let d = place.len();
        let argument_error =
            rise.misfit.max(self.land.noise_at(place.norm())) / rise.height.abs() / phi.slope(0.0);
        let mut steps = vec![SIGHT_STEP / rise.slope; d];
        let mut open: Vec<usize> = (0..d).collect();
        let (mut a, mut square) = (DVector::zeros(d), 0.0);
        for _ in 0..SIGHT_ROUNDS {
            let points: Vec<DVector<f64>> = open
                .iter()
                .map(|&j| {
                    let mut x = place.clone();
                    x[j] += steps[j];
                    x
                })
                .collect();
            let values = self.f.values(&DMatrix::from_columns(&points))?;
            let mut saturated = Vec::new();
            for ((&j, x), &value) in open.iter().zip(&points).zip(values.iter()) {
                match rise.argument(self.rest(x, value).0, phi) {
                    Some(z) => {
                        // As the input was rounded.
                        let step = x[j] - place[j];
                        a[j] = z / step;
                        square += (argument_error / phi.slope(z) * phi.slope(0.0) / step).powi(2);
                    }
                    None => {
                        steps[j] *= SIGHT_NEARER;
                        saturated.push(j);
                    }
                }
            }
            open = saturated;
            if open.is_empty() {
                let error = square.sqrt();
                let along = a.dot(direction) - rise.slope;
                let agrees = along.abs() <= SURE_CHANGE * (error + argument_error * rise.slope);
                let theta = a.dot(&place);
                let unit = Sighted { a, theta, c: rise.height, place, argument_error, error };
                return Ok(agrees.then_some(unit));
            }
        }
        Ok(None)
    }

    /// Adds a unit, unless its hyperplane is known: then it has another step there, which no unit of one hidden layer has.
    fn enter(&mut self, unit: Sighted) {
        if self.units.iter().any(|known| known.has_hyperplane_of(&unit)) {
            self.seen.conflicts += 1;
        } else {
            self.units.push(unit);
        }
    }
}

impl Sighted {
    /// How far a . x - theta may be off at x.
    fn error_at(&self, x: &DVector<f64>) -> f64 {
        let rounding = f64::EPSILON * self.a.norm() * x.norm();
        self.argument_error + self.error * (x - &self.place).norm() + rounding
    }

    /// Do both have one hyperplane, as far as they are known?
    fn has_hyperplane_of(&self, other: &Sighted) -> bool {
        let at_place = self.a.dot(&other.place) - self.theta;
        let scale = self.a.norm() / other.a.norm();
        let sign = self.a.dot(&other.a).signum();
        let turned = (&self.a - &other.a * (sign * scale)).norm();
        turned <= SAME_ERRORS * (self.error + other.error * scale)
            && at_place.abs()
                <= SAME_ERRORS * (self.error_at(&other.place) + other.argument_error * scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::context::in_context;
    use crate::identify::evidence::Evidence;
    use crate::identify::scalars::family::families;
    use crate::identify::survey::{far, probe};
    use crate::network::{Class, TwoLayer};
    use crate::oracle::NetworkOracle;

    fn found(f: &mut dyn Oracle) -> (Result<Sightings, Halt>, Evidence) {
        let land = probe::probe(f, 1).unwrap();
        in_context(f, &land, (1, 0), |cx| {
            let far = far::far(cx)?;
            sightings(cx, far, families(None))
        })
    }

    #[test]
    fn every_unit_is_sighted_whatever_the_width() {
        for (dims, phi) in
            [((7, 3), Activation::Erf), ((5, 40), Activation::Tanh), ((2, 16), Activation::Tanh)]
        {
            let truth = OneLayer::random(dims, Class::General, phi, 3).unwrap();
            let (result, evidence) = found(&mut NetworkOracle::new(truth.clone()));
            let Sightings { network, margin, .. } = result.unwrap();
            assert_eq!((network.dims(), network.phi), (dims, phi), "{evidence:?}");
            assert!(margin.unwrap() > 1e3, "{margin:?}");
            assert!(truth.matching(&network).parameter_error.unwrap() < 1e-2, "{dims:?}");
            assert_eq!(evidence.steps[0].conflicts, 0);
        }
    }

    #[test]
    fn units_by_which_weights_and_scales_differ_much_are_sighted() {
        let mut truth = OneLayer::random((6, 8), Class::General, Activation::Tanh, 4).unwrap();
        truth.a.column_mut(1).scale_mut(1e3);
        truth.theta[1] *= 1e3;
        truth.a.column_mut(4).scale_mut(1e-2);
        truth.c[2] = 1e-6;
        let network = found(&mut NetworkOracle::new(truth.clone())).0.unwrap().network;
        assert_eq!(network.dims(), (6, 8));
    }

    #[test]
    fn a_second_hidden_layer_is_told() {
        for (dims, seed) in [((5, 4, 2), 1), ((6, 12, 3), 2), ((4, 4, 1), 3)] {
            let deep = TwoLayer::random(dims, Class::General, Activation::Tanh, seed).unwrap();
            let (result, evidence) = found(&mut NetworkOracle::new(deep));
            assert!(matches!(result, Err(Halt::Failed(_))), "{dims:?}: {evidence:?}");
        }
    }
}
