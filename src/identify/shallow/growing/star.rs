//! The units of one hidden layer that grows, by lines from one distant point to others.
//!
//! The point and the gradient there are known; what f has elsewhere beside that, and beside the units found, is the rest. It is 0
//! all over once all units are found, and where it is not, there is a bend on the way.

use nalgebra::{DMatrix, DVector};
use rand_chacha::ChaCha8Rng;

use super::aside::{self, Between, Group, Landing, Obstacle, Slopes};
use super::bend::{Bend, gain, is_kink, lift, tail};
use super::line::{Candidate, Known, Reading, Seen, scan};
use super::tolerances::{
    KINK_ACCURATE, KINK_NOISES, STAR_ALONG, STAR_CHECKS, STAR_FARTHER, STAR_FEWEST,
    STAR_FIRST_CELLS, STAR_MOST_FRUITLESS, STAR_MOST_TURNS, STAR_ROOM, STAR_SPACING,
};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::StepsSeen;
use crate::identify::failure::{Failure, Halt};
use crate::identify::shallow::tolerances::{PLACED, SAME_ERRORS, SIGHTED_ACCURATE};
use crate::identify::survey::landscape::Landscape;
use crate::identify::survey::tolerances::SURE_CHANGE;
use crate::network::Activation;
use crate::oracle::{Clock, Mixture, Oracle};
use crate::stage::Stage;

/// A unit c lift(a . (x - place)), turned so that it is 0 at the centre of the star; a has norm 1 where there is a kink.
#[derive(Clone, Debug)]
pub struct Unit {
    pub a: DVector<f64>,
    /// A point of its hyperplane, where it was seen.
    pub place: DVector<f64>,
    /// Weights of the outputs, as the mixture has them.
    pub c: DVector<f64>,
    /// Error of a . x at `place`.
    argument_error: f64,
    /// Error of a.
    error: f64,
}

/// All units that f has far out.
pub struct Star {
    pub units: Vec<Unit>,
    /// The distant point.
    pub centre: DVector<f64>,
    /// What the outputs are there, and their gradients, as the mixture has them.
    pub slopes: Slopes,
    pub phi: Activation,
    /// How many times worse the best of the other activations fitted, at the bend where that is least.
    pub margin: Option<f64>,
    /// What says that there may be more of them.
    pub left: Option<Failure>,
}

/// A point far out, and the outputs there.
struct Distant {
    x: DVector<f64>,
    outputs: DVector<f64>,
}

struct Search<'a> {
    f: &'a mut dyn Oracle,
    land: &'a Landscape,
    /// What values are.
    mixture: Mixture,
    rng: ChaCha8Rng,
    /// The activations that it may be, the likeliest first.
    families: Vec<Activation>,
    margin: Option<f64>,
    centre: DVector<f64>,
    slopes: Slopes,
    units: Vec<Unit>,
    seen: StepsSeen,
}

/// Finds all units of f, a mixture of outputs that grows, with one of the activations `families`.
pub fn star(
    cx: &mut Context<'_>,
    mixture: &Mixture,
    families: &[Activation],
) -> Result<Star, Halt> {
    let Context { f, land, seed, attempt, clock, evidence } = cx;
    let d = f.input_dim();
    let nowhere = Slopes {
        outputs: DVector::zeros(mixture.outputs()),
        gradient: DMatrix::zeros(mixture.outputs(), d),
        error: 0.0,
    };
    let mut search = Search {
        f: *f,
        land,
        mixture: mixture.clone(),
        rng: draws::stream(*seed, "star", *attempt),
        families: families.to_vec(),
        margin: None,
        centre: DVector::zeros(d),
        slopes: nowhere,
        units: Vec::new(),
        seen: StepsSeen::default(),
    };
    let result = search.run(clock);
    let Search { families, margin, units, mut seen, centre, slopes, .. } = search;
    seen.units = units.len();
    seen.complete = matches!(result, Ok(None));
    seen.largest_error = units.iter().map(|u| u.error / u.a.norm()).fold(0.0, f64::max);
    evidence.steps.push(seen);
    Ok(Star { units, centre, slopes, phi: families[0], margin, left: result? })
}

impl Search<'_> {
    fn run(&mut self, clock: &Clock) -> Result<Option<Failure>, Halt> {
        let mut distance = self.first_distance();
        self.settle_at(distance)?;
        let mut checks: Vec<Distant> = Vec::new();
        let mut fruitless = 0;
        // What was seen from nearer centres.
        let mut since = (0, 0);
        for _ in 0..STAR_MOST_TURNS {
            clock.check()?;
            if checks.is_empty() {
                checks = self.distant(distance)?;
            }
            let Some(to) = self.unexplained(&checks) else {
                if self.units.is_empty() {
                    return Err(self.failure("f bends nowhere between distant points").into());
                }
                return Ok(None);
            };
            let known = self.units.len();
            self.look(&checks[to].x)?;
            if self.seen.conflicts > 0 {
                return Err(self.failure("the bend of a unit is another one elsewhere").into());
            }
            if self.units.len() > known {
                fruitless = 0;
            } else {
                fruitless += 1;
                // Other lines.
                checks.clear();
            }
            let overlapping = self.seen.overlapping - since.0;
            let overlap = STAR_FEWEST * overlapping > self.seen.steps - since.1;
            if overlap && distance < self.farthest() {
                distance = (STAR_FARTHER * distance).min(self.farthest());
                self.units.clear();
                checks.clear();
                self.settle_at(distance)?;
                since = (self.seen.overlapping, self.seen.steps);
            } else if fruitless == STAR_MOST_FRUITLESS {
                break;
            }
        }
        let left = self.failure("bends are left that are none of a single unit");
        if self.units.is_empty() { Err(left.into()) } else { Ok(Some(left)) }
    }

    fn failure(&self, what: &str) -> Failure {
        let StepsSeen { steps, overlapping, refused, .. } = self.seen;
        let found = self.units.len();
        Failure::new(
            Stage::Lines,
            format!(
                "the values grow, but {what}: {found} units of {steps} bends, {overlapping} that are none of one unit and \
                 {refused} whose weights are not told"
            ),
        )
    }

    /// The distance from the origin at which as many hyperplanes as inputs are mostly crossed apart from each other.
    fn first_distance(&self) -> f64 {
        let d = self.f.input_dim() as f64;
        let wanted = STAR_SPACING * d.sqrt() * d.max(STAR_ALONG) * self.land.scale;
        wanted.min(self.farthest())
    }

    /// From farther away values are not accurate enough to tell one activation from another.
    fn farthest(&self) -> f64 {
        PLACED * self.land.spread / self.land.noise_growth
    }

    /// Takes a fresh centre at this distance.
    fn settle_at(&mut self, distance: f64) -> Result<(), Halt> {
        let d = self.f.input_dim();
        self.seen.distance = distance;
        let x = draws::unit_vector(&mut self.rng, d) * distance;
        // So that hardly any of d steps aside crosses one of d hyperplanes.
        let step = distance / (d as f64 * (d as f64).max(STAR_ALONG));
        let landing = Landing { x: x.clone(), step };
        let mut rng = self.rng.clone();
        let mut ask = |points: &DMatrix<f64>| self.answers(points);
        let found = aside::slopes(&[landing], &mut rng, &mut ask)?.swap_remove(0);
        self.rng = rng;
        let Some(slopes) = found else {
            return Err(self.failure("far out f is straight nowhere").into());
        };
        (self.centre, self.slopes) = (x, slopes);
        Ok(())
    }

    /// All outputs at points (d x n), as the mixture has them, and their noise.
    fn answers(&mut self, points: &DMatrix<f64>) -> Result<(DMatrix<f64>, Vec<f64>), Halt> {
        let outputs = self.mixture.weighted(self.f.outputs(points)?);
        let noise = points.column_iter().map(|x| self.land.noise_at(x.norm())).collect();
        Ok((outputs, noise))
    }

    /// What is left of the outputs without the units found.
    fn rests(&mut self, points: &DMatrix<f64>) -> Result<(DMatrix<f64>, Vec<f64>), Halt> {
        let (mut outputs, noise) = self.answers(points)?;
        for (x, mut y) in points.column_iter().zip(outputs.column_iter_mut()) {
            let rest = self.rest(&x.into_owned(), &y.clone_owned());
            y.copy_from(&rest);
        }
        Ok((outputs, noise))
    }

    /// The same where the outputs at x are known.
    fn rest(&self, x: &DVector<f64>, outputs: &DVector<f64>) -> DVector<f64> {
        let phi = self.families[0];
        let mut rest = outputs - &self.slopes.outputs;
        rest.gemv(-1.0, &self.slopes.gradient, &(x - &self.centre), 1.0);
        for unit in &self.units {
            rest.axpy(-lift(phi, unit.argument(x)), &unit.c, 1.0);
        }
        rest
    }

    /// By how much the rest may be off at x through the errors of the units found.
    fn unsure(&self, x: &DVector<f64>) -> f64 {
        let of = |unit: &Unit| {
            let off = SAME_ERRORS * unit.error_at(x);
            let z = unit.argument(x) + off;
            let sure = -tail(self.families[0], unit.c.norm(), self.land.noise_near);
            if z < sure { 0.0 } else { off * unit.c.norm() }
        };
        self.units.iter().map(of).sum()
    }

    /// Fresh distant points, and the outputs there.
    fn distant(&mut self, distance: f64) -> Result<Vec<Distant>, Halt> {
        let d = self.f.input_dim();
        let xs: Vec<DVector<f64>> =
            (0..STAR_CHECKS).map(|_| draws::unit_vector(&mut self.rng, d) * distance).collect();
        let (outputs, _) = self.answers(&DMatrix::from_columns(&xs))?;
        let outputs = outputs.column_iter().map(|y| y.into_owned());
        Ok(xs.into_iter().zip(outputs).map(|(x, outputs)| Distant { x, outputs }).collect())
    }

    /// The point at which most is left that nothing explains, if there is one.
    fn unexplained(&self, checks: &[Distant]) -> Option<usize> {
        let Slopes { error, .. } = self.slopes;
        let outputs = self.mixture.outputs() as f64;
        let excess = |Distant { x, outputs: y }: &Distant| {
            let carried = SAME_ERRORS * error * (x - &self.centre).norm() * outputs.sqrt();
            let noise = SURE_CHANGE * self.land.noise_at(x.norm());
            self.rest(x, y).norm() - noise - carried - self.unsure(x)
        };
        let excess: Vec<f64> = checks.iter().map(excess).collect();
        let most = (0..checks.len()).max_by(|&i, &j| excess[i].total_cmp(&excess[j]))?;
        (excess[most] > 0.0).then_some(most)
    }

    /// The rest on a line from the centre.
    fn read(&mut self, w: &DVector<f64>, ts: &[f64]) -> Result<Vec<Reading>, Halt> {
        let points: Vec<DVector<f64>> = ts.iter().map(|&t| &self.centre + w * t).collect();
        let (outputs, noise) = self.rests(&DMatrix::from_columns(&points))?;
        let reading = |(k, &t): (usize, &f64)| {
            let outputs = outputs.column(k).into_owned();
            Reading { t, outputs, noise: noise[k] }
        };
        Ok(ts.iter().enumerate().map(reading).collect())
    }

    /// The units that show between the centre and a distant point.
    fn look(&mut self, to: &DVector<f64>) -> Result<(), Halt> {
        self.seen.lines += 1;
        let length = (to - &self.centre).norm();
        let w = (to - &self.centre) / length;
        let cells = STAR_FIRST_CELLS;
        let ts: Vec<f64> = (0..=cells).map(|k| length * k as f64 / cells as f64).collect();
        let first = self.read(&w, &ts)?;
        let families = self.families.clone();
        let known = self.known(&w, length);
        let mut seen = scan(first, (&families, &known), |ts| self.read(&w, ts))?;
        self.seen.steps += seen.bends.len() + seen.others.len();
        self.seen.overlapping += seen.others.len();
        self.settle(&mut seen.bends);
        let mut crossings = self.crossings(&seen, &known);
        let unclear = crossings.iter().filter(|crossing| crossing.jumps.is_none()).count();
        self.seen.overlapping += unclear;
        let obstacles = self.obstacles(&crossings, &seen);
        let most = aside::most_at_once(self.mixture.outputs());
        let groups = aside::groups(obstacles, length, most);
        self.weigh(&w, &mut crossings, &groups)?;
        for crossing in crossings {
            match self.unit(&w, &crossing) {
                Some(unit) => self.enter(unit),
                None => self.seen.refused += 1,
            }
        }
        Ok(())
    }

    /// Puts the activation first that fits most bends best.
    fn settle(&mut self, bends: &mut [Candidate]) {
        if self.families.len() < 2 || bends.is_empty() {
            return;
        }
        let misfit = |bend: &Candidate, k: usize| {
            bend.fits[k].map_or(f64::INFINITY, |fit| fit.misfit / fit.weight.abs())
        };
        let best = |bend: &Candidate| {
            (0..bend.fits.len())
                .min_by(|&i, &j| misfit(bend, i).total_cmp(&misfit(bend, j)))
                .unwrap_or(0)
        };
        let count = |k: usize| bends.iter().filter(|bend| best(bend) == k).count();
        let first = (0..self.families.len()).max_by_key(|&k| count(k)).unwrap_or(0);
        let margin = |bend: &Candidate| {
            let others = (0..bend.fits.len()).filter(|&k| k != first).map(|k| misfit(bend, k));
            others.fold(f64::INFINITY, f64::min) / misfit(bend, first)
        };
        self.margin = bends.iter().map(margin).filter(|m| m.is_finite()).reduce(f64::min);
        self.families = vec![self.families[first]];
        bends.iter_mut().for_each(|bend| bend.fits.swap(0, first));
    }

    /// Where a line in direction w from the centre crosses the hyperplanes of the units found.
    fn known(&self, w: &DVector<f64>, length: f64) -> Vec<Known> {
        let phi = self.families[0];
        let crossing = |unit: &Unit| {
            let slope = unit.a.dot(w);
            let at = -unit.argument(&self.centre) / slope;
            let x = &self.centre + w * at;
            let off = SAME_ERRORS * unit.error_at(&x);
            let half = (off + tail(phi, unit.c.norm(), self.land.noise_at(x.norm()))) / slope.abs();
            Known { from: at - half, to: at + half, off: off * unit.c.norm() }
        };
        let crossings = self.units.iter().map(crossing);
        crossings.filter(|known| known.to > 0.0 && known.from < length).collect()
    }

    /// The bends of the activation that it is, each by all readings around it at which the others are straight.
    fn crossings(&self, seen: &Seen, known: &[Known]) -> Vec<Crossing> {
        let phi = self.families[0];
        let rough: Vec<(Bend, &DVector<f64>)> =
            seen.bends.iter().filter_map(|seen| Some((seen.fits[0]?, &seen.heard))).collect();
        let noise = |bend: &Bend| {
            let after = seen.readings.partition_point(|r| r.t < bend.centre);
            seen.readings[after.min(seen.readings.len() - 1)].noise
        };
        let mut bent: Vec<(f64, f64)> =
            rough.iter().map(|(b, _)| extent(b, phi, noise(b))).collect();
        bent.extend(&seen.others);
        bent.extend(known.iter().map(|known| (known.from, known.to)));
        let of = |(k, (rough, heard)): (usize, &(Bend, &DVector<f64>))| {
            let others = || bent.iter().enumerate().filter(|(j, _)| *j != k).map(|(_, bent)| *bent);
            let overlaps = others().any(|(from, to)| from < rough.centre && rough.centre < to);
            let before = others().map(|bent| bent.1).filter(|&end| end <= rough.centre);
            let behind = others().map(|bent| bent.0).filter(|&start| start >= rough.centre);
            let (from, to) =
                (before.fold(f64::NEG_INFINITY, f64::max), behind.fold(f64::INFINITY, f64::min));
            let around: Vec<&Reading> =
                seen.readings.iter().filter(|r| from <= r.t && r.t <= to).collect();
            let ts: Vec<f64> = around.iter().map(|r| r.t).collect();
            let values: Vec<f64> = around.iter().map(|r| r.outputs.dot(heard)).collect();
            let outputs: Vec<DVector<f64>> = around.iter().map(|r| r.outputs.clone()).collect();
            let noise = noise(rough);
            let fine = rough.refit(&ts, &values, phi).filter(|_| !overlaps);
            let fine = fine.filter(|fine| fine.misfit <= SURE_CHANGE * noise);
            let jumps =
                fine.and_then(|fine| fine.jumps(&ts, &DMatrix::from_columns(&outputs), phi));
            Crossing { bend: fine.unwrap_or(*rough), jumps, noise, normal: None }
        };
        rough.iter().enumerate().map(of).collect()
    }

    /// Where f is not straight.
    fn obstacles(&self, crossings: &[Crossing], seen: &Seen) -> Vec<Obstacle> {
        let of = |(k, crossing): (usize, &Crossing)| {
            let (from, to) = extent(&crossing.bend, self.families[0], crossing.noise);
            let what = match crossing.jumps {
                Some(_) => Between::Unit(k),
                None => Between::Other,
            };
            Obstacle { what, from, to }
        };
        let others =
            seen.others.iter().map(|&(from, to)| Obstacle { what: Between::Other, from, to });
        crossings.iter().enumerate().map(of).chain(others).collect()
    }

    /// Finds the normals of what is crossed, by gradients of the rest behind each group.
    fn weigh(
        &mut self,
        w: &DVector<f64>,
        crossings: &mut [Crossing],
        groups: &[Group],
    ) -> Result<(), Halt> {
        let d = w.len();
        let landing = |group: &Group| {
            let step = group.room / (STAR_ROOM * (d as f64).max(STAR_ALONG));
            Landing { x: &self.centre + w * group.at, step }
        };
        let landings: Vec<Landing> = groups.iter().map(landing).collect();
        let mut rng = self.rng.clone();
        let mut ask = |points: &DMatrix<f64>| self.rests(points);
        let found = aside::slopes(&landings, &mut rng, &mut ask)?;
        self.rng = rng;
        let (outputs, error) = (self.mixture.outputs(), self.slopes.error);
        let mut before = Some((DMatrix::zeros(outputs, d), error));
        for (group, here) in groups.iter().zip(found) {
            let here = here.map(|slopes| (slopes.gradient, slopes.error));
            let jumps = group.units.as_ref().and_then(|units| {
                let of = |&k: &usize| crossings[k].jumps.clone();
                Some((units, units.iter().map(of).collect::<Option<Vec<_>>>()?))
            });
            if let (Some((units, jumps)), Some(before), Some(here)) = (jumps, &before, &here) {
                let change = &here.0 - &before.0;
                let noise = before.1.hypot(here.1);
                if let Some((normals, errors)) =
                    aside::normals(&DMatrix::from_columns(&jumps), &change)
                {
                    for ((&k, v), error) in units.iter().zip(normals.column_iter()).zip(errors) {
                        crossings[k].normal = Some((v.into_owned(), error * noise));
                    }
                }
            }
            before = here;
        }
        Ok(())
    }

    /// The unit that is crossed, if its weights are told accurately enough to know it elsewhere.
    fn unit(&self, w: &DVector<f64>, crossing: &Crossing) -> Option<Unit> {
        let phi = self.families[0];
        let Crossing { bend, jumps, noise, normal } = crossing;
        let (v, entry_error) = normal.as_ref()?;
        let jumps = jumps.as_ref()?;
        // What the jumps are off by shows along the line itself.
        let along = (v.dot(w) - 1.0).abs() * v.norm();
        let error = (entry_error * (v.len() as f64).sqrt()).max(along);
        let slope = if is_kink(phi) { v.norm().recip() } else { bend.slope };
        let a = v * slope;
        let c = jumps / (slope * gain(phi));
        let off = bend.misfit.max(*noise);
        let (argument_error, error) = (SAME_ERRORS * off / c.norm(), error * slope);
        // Known elsewhere to a part of its width, or of its length where it has none.
        let most = if is_kink(phi) {
            KINK_ACCURATE
        } else {
            SIGHTED_ACCURATE / (2.0 * self.seen.distance)
        };
        let place = &self.centre + w * bend.centre;
        (error <= most).then_some(Unit { a, place, c, argument_error, error })
    }

    /// Adds a unit, unless its hyperplane is known: then it has another bend there, which no unit of one hidden layer has.
    fn enter(&mut self, unit: Unit) {
        if self.units.iter().any(|known| known.has_hyperplane_of(&unit)) {
            self.seen.conflicts += 1;
        } else {
            self.units.push(unit);
        }
    }
}

/// Where a bend is not straight, values being so accurate.
fn extent(bend: &Bend, phi: Activation, noise: f64) -> (f64, f64) {
    let half = if is_kink(phi) {
        KINK_NOISES * noise / bend.jump(phi).abs()
    } else {
        tail(phi, bend.weight.abs(), noise) / bend.slope
    };
    (bend.centre - half, bend.centre + half)
}

/// A bend of the line.
struct Crossing {
    bend: Bend,
    /// By how much the slope of each output changes; `None` where other bends are too near to tell.
    jumps: Option<DVector<f64>>,
    noise: f64,
    /// a / (a . w), and the error of an entry.
    normal: Option<(DVector<f64>, f64)>,
}

impl Unit {
    /// a . (x - place).
    pub fn argument(&self, x: &DVector<f64>) -> f64 {
        let both = self.a.iter().zip(x.iter().zip(self.place.iter()));
        both.map(|(a, (x, place))| a * (x - place)).sum()
    }

    /// How far the argument may be off at x.
    fn error_at(&self, x: &DVector<f64>) -> f64 {
        let rounding = f64::EPSILON * self.a.norm() * x.norm();
        self.argument_error + self.error * (x - &self.place).norm() + rounding
    }

    /// Do both have one hyperplane, as far as they are known?
    fn has_hyperplane_of(&self, other: &Unit) -> bool {
        let scale = self.a.norm() / other.a.norm();
        let sign = self.a.dot(&other.a).signum();
        let turned = (&self.a - &other.a * (sign * scale)).norm();
        turned <= SAME_ERRORS * (self.error + other.error * scale)
            && self.argument(&other.place).abs()
                <= SAME_ERRORS * (self.error_at(&other.place) + other.argument_error * scale)
    }
}
