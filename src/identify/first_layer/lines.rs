//! Stage 3 without Hessians: first-layer units by where f steps from one level to another along lines far out.
//!
//! Far out every unit is saturated but near its own hyperplane, so that f along a line is a staircase with a step for
//! nearly every unit. Steps are isolated by bisection, all at a time; on a step the gradient is parallel to a_i. A
//! second gradient near the origin, with all other units found surely saturated, proves the direction and makes it
//! accurate; then a line shows what its units do not explain, and further lines are scanned there alone.

use nalgebra::{DMatrix, DVector};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::saturator::Saturator;
use super::tolerances::{
    FIRST_STEP_REACH, LEAST_SPREAD, LINE_CELLS_RESOLVED, LINES_CLEAN, LINES_DISTANCE, LINES_FAR,
    LINES_LEAST, LINES_MOST, LINES_SCANNED, LINES_SPAN, LINES_STRAY, MOST_REFINEMENTS, NEAR_TRIALS,
    SIGHT_GOAL, SIGHT_REPEATS, SIGHT_WORST, SIGHTED_ANGLES, SIGHTED_SLACK, SIGNIFICANT, STEP_SHARE,
    SURE_GRADIENT, TRUNCATION, TURNED_AGAIN, TWIN_FAR,
};
use super::unit::Unit;
use super::units::{angle, even_frame, unexplained};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::LinesFound;
use crate::identify::failure::{Failure, Halt};
use crate::identify::survey::landscape::Landscape;
use crate::identify::survey::line::{Transition, locate, steps, values_along};
use crate::identify::survey::tolerances::{FINEST_CELL, SURE_CHANGE};
use crate::oracle::{Clock, Oracle};
use crate::stage::Stage;
use crate::stencil::GradientScheme;

/// A line origin + t direction.
struct Line {
    origin: DVector<f64>,
    direction: DVector<f64>,
}

/// Positions on a line in cells of one length, and f there.
struct Stretch {
    ts: Vec<f64>,
    values: Vec<f64>,
}

/// What the search has at hand.
struct Search<'a> {
    f: &'a mut dyn Oracle,
    land: &'a Landscape,
    /// From here on f is constant between hyperplanes.
    far: f64,
    rng: ChaCha8Rng,
    clock: &'a Clock,
}

/// Scans lines until they show no more units; from the distance `far` on f is constant between hyperplanes.
pub fn find_units(cx: &mut Context<'_>, far: f64) -> Result<Vec<Unit>, Halt> {
    let Context { f, land, seed, attempt, clock, evidence } = cx;
    let d = f.input_dim();
    if d < 2 {
        return Err(Failure::new(Stage::Lines, "the gradients span one dimension only").into());
    }
    let rng = draws::stream(*seed, "lines", *attempt);
    let mut search = Search { f: *f, land, far, rng, clock };
    let mut seen = LinesFound::default();
    let mut found: Vec<Found> = Vec::new();
    loop {
        let known = found.len();
        let clean = search.scan(&mut found, &mut seen)?;
        // Coarse sightings hide long stretches of a line, which the proof of them lays open.
        let opened = land.is_coarse() && found.len() > known;
        let (sighted, withdrawn) = search.prove(&mut found)?;
        seen.withdrawn += withdrawn;
        seen.worst_angle_error = seen.worst_angle_error.max(sighted);
        // What was no unit has hidden others from the lines.
        if !clean || withdrawn == 0 && !opened {
            break;
        }
    }
    seen.units = found.len();
    evidence.lines.push(seen);
    Ok(found.into_iter().map(|found| found.unit).collect())
}

/// A unit, and where it was proved.
struct Found {
    unit: Unit,
    /// The place of its second gradient, if there was one.
    place: Option<DVector<f64>>,
}

impl Search<'_> {
    /// Distance from the origin at which the hyperplanes of `units` units are crossed far from each other.
    fn distance(&self, units: usize) -> f64 {
        let units = units.max(self.f.input_dim());
        let Landscape { scale, spread, noise_growth, .. } = *self.land;
        let wanted = (LINES_DISTANCE * units as f64 * scale).max(LINES_FAR * self.far);
        // A direction seen from farther out is off by more than can easily be made good nearer to the origin.
        let rounding = noise_growth * scale / spread;
        let stray = (LINES_STRAY * STEP_SHARE.1 / rounding).sqrt();
        let apart = LINES_LEAST * units as f64 * (self.f.input_dim() as f64).sqrt();
        wanted.min(stray.max(apart) * scale)
    }

    /// Scans lines for what `found` does not explain, until nothing more shows; `false` after too many.
    fn scan(&mut self, found: &mut Vec<Found>, seen: &mut LinesFound) -> Result<bool, Halt> {
        let mut clean = 0;
        let enough = self.tried(LINES_CLEAN);
        while clean < enough {
            if seen.lines == self.tried(LINES_MOST) {
                return Ok(false);
            }
            seen.lines += 1;
            seen.distance = self.distance(found.len());
            let line = self.line(seen.distance);
            let mut units: Vec<Unit> = found.iter().map(|found| found.unit.clone()).collect();
            let stretches = self.stretches(&line, &units, seen.distance)?;
            let transitions = self.isolate(&line, stretches)?;
            clean = if transitions.is_empty() { clean + 1 } else { 0 };
            for (k, transition) in transitions.iter().enumerate() {
                if seen.lines == 1 {
                    // It shows most units, and half the work is to prove them.
                    self.clock.part(0.0, 0.5).done(k as f64 / transitions.len() as f64);
                }
                let Some(unit) = self.sight(&line, transition)? else { continue };
                if self.land.is_coarse() && unit.error > SIGHT_WORST {
                    // Another line meets it less obliquely.
                    continue;
                }
                let same = units.iter().position(|other| same(other, &unit, seen.distance));
                match same {
                    // Where it was not expected: its direction was not known as well as it seemed, and is to be proved
                    // again.
                    Some(k) if found[k].unit.error > unit.error => {
                        found[k] = Found { unit, place: None };
                    }
                    Some(k) => {
                        found[k].unit.error *= SIGHTED_ANGLES;
                        found[k].place = None;
                    }
                    None => {
                        units.push(unit.clone());
                        found.push(Found { unit, place: None });
                    }
                }
            }
        }
        Ok(true)
    }

    fn line(&mut self, distance: f64) -> Line {
        let d = self.f.input_dim();
        let origin = draws::unit_vector(&mut self.rng, d) * distance;
        Line { origin, direction: draws::unit_vector(&mut self.rng, d) }
    }

    /// f may change by this much at a distance without a reason.
    fn floor(&self, distance: f64) -> f64 {
        if self.land.is_coarse() {
            // What grows shows on steps only, and there it may be taken for no step of its own.
            let Landscape { noise_near, noise_growth, .. } = self.land;
            return SURE_CHANGE * noise_near + SIGNIFICANT * noise_growth * distance;
        }
        SURE_CHANGE * self.land.noise_at(distance)
    }

    /// Lines, or places, that are tried: a number of them for accurate values, another for coarse ones, of which each shows less.
    fn tried(&self, numbers: (usize, usize)) -> usize {
        if self.land.is_coarse() { numbers.1 } else { numbers.0 }
    }

    /// The stretches of a line, in pieces, over which f changes though no known unit explains it.
    fn stretches(
        &mut self,
        line: &Line,
        units: &[Unit],
        distance: f64,
    ) -> Result<Vec<Stretch>, Halt> {
        // Evenly by the angle at which they are seen from the origin: crossings are even by it.
        let pieces = LINES_SCANNED * self.f.input_dim().max(units.len());
        let ends: Vec<f64> = (0..=pieces)
            .map(|k| distance * (LINES_SPAN * ((2 * k) as f64 / pieces as f64 - 1.0)).tan())
            .collect();
        let length = ends[pieces];
        let free: Vec<(f64, f64)> = if units.is_empty() {
            ends.windows(2).map(|e| (e[0], e[1])).collect()
        } else {
            unexplained(units, &line.origin, &line.direction, length)
        };
        let ts: Vec<f64> = free.iter().flat_map(|&(from, to)| [from, to]).collect();
        let values = values_along(self.f, &line.origin, &line.direction, &ts)?;
        let stretches = free.iter().enumerate().map(|(k, &(from, to))| Stretch {
            ts: vec![from, to],
            values: vec![values[2 * k], values[2 * k + 1]],
        });
        let floor = self.floor(distance);
        Ok(stretches.filter(|s| (s.values[1] - s.values[0]).abs() > floor).collect())
    }

    /// The steps within the stretches, each cut until it shows over many cells.
    fn isolate(&mut self, line: &Line, mut open: Vec<Stretch>) -> Result<Vec<Transition>, Halt> {
        let mut found = Vec::new();
        for _ in 0..MOST_REFINEMENTS {
            if open.is_empty() {
                break;
            }
            self.halve(line, &mut open)?;
            let mut next = Vec::new();
            for stretch in &open {
                let farthest = stretch.ts[0].abs().max(stretch.ts[stretch.ts.len() - 1].abs());
                let floor = self.floor(farthest.max(line.origin.norm()));
                let finest = stretch.ts[1] - stretch.ts[0] <= FINEST_CELL * farthest;
                for (first, last, transition) in steps(&stretch.ts, &stretch.values, floor) {
                    if last + 1 - first >= LINE_CELLS_RESOLVED || finest {
                        found.push(transition);
                        continue;
                    }
                    // A cell on either side, so that a step at the edge is not cut.
                    let (from, to) =
                        (first.saturating_sub(1), (last + 2).min(stretch.ts.len() - 1));
                    next.push(Stretch {
                        ts: stretch.ts[from..=to].to_vec(),
                        values: stretch.values[from..=to].to_vec(),
                    });
                }
            }
            open = next;
        }
        found.sort_by(|a: &Transition, b| a.centre.total_cmp(&b.centre));
        // Neighbouring stretches share a cell, and may both have seen what is in it.
        found.dedup_by(|b, a| (b.centre - a.centre).abs() < a.half_width.min(b.half_width));
        Ok(found)
    }

    /// Asks in the middle of every cell.
    fn halve(&mut self, line: &Line, open: &mut [Stretch]) -> Result<(), Halt> {
        let middles =
            |s: &Stretch| s.ts.windows(2).map(|t| 0.5 * (t[0] + t[1])).collect::<Vec<_>>();
        let ts: Vec<f64> = open.iter().flat_map(middles).collect();
        let values = values_along(self.f, &line.origin, &line.direction, &ts)?;
        let mut new = ts.into_iter().zip(values.iter().copied());
        for stretch in open {
            let cells = stretch.ts.len() - 1;
            let (mut ts, mut values) = (Vec::new(), Vec::new());
            for ((&t, &value), (middle, there)) in
                stretch.ts.iter().zip(&stretch.values).zip(new.by_ref().take(cells))
            {
                ts.extend([t, middle]);
                values.extend([value, there]);
            }
            ts.extend(stretch.ts.last());
            values.extend(stretch.values.last());
            *stretch = Stretch { ts, values };
        }
        Ok(())
    }

    /// The unit whose step this is, by the gradient on it.
    fn sight(&mut self, line: &Line, transition: &Transition) -> Result<Option<Unit>, Halt> {
        self.clock.check()?;
        let point = &line.origin + &line.direction * transition.centre;
        let d = point.len();
        // A line meets a hyperplane at a cosine of about 1 / sqrt(d), by which the unit is narrower than its step along
        // the line, and by which it moves less along an axis.
        let Some((direction, step)) = self.gradient(&point, transition)? else {
            return Ok(None);
        };
        let cosine = direction.dot(&line.direction).abs();
        let half_width = transition.half_width * cosine;
        let error = TRUNCATION * (step / cosine).powi(2) / d as f64
            + self.relative_noise(&point, transition) / step;
        let mut unit = Unit { centre: direction.dot(&point), half_width, error, direction };
        // Where the line runs along the hyperplane the step was large: once more, by what is known now.
        for _ in 0..SIGHT_REPEATS {
            if unit.error <= SIGHT_GOAL {
                break;
            }
            let narrow = Transition { half_width: unit.half_width, ..*transition };
            let Some((direction, error)) = self.sharper(&point, &narrow, &unit)? else { break };
            unit = Unit { centre: direction.dot(&point), direction, error, ..unit };
        }
        Ok(Some(unit))
    }

    /// The direction of `unit` by differences along a frame that it divides evenly, and its error. Truncation is the same in
    /// all of them, up to what is wrong with the direction, so that one-sided differences do: half the values.
    fn sharper(
        &mut self,
        x: &DVector<f64>,
        transition: &Transition,
        unit: &Unit,
    ) -> Result<Option<(DVector<f64>, f64)>, Halt> {
        let d = x.len();
        let frame = even_frame(&unit.direction);
        let relative = self.relative_noise(x, transition);
        // Along each of the frame the unit moves by a step of these half widths: truncation leaves a share of it in the error.
        let step = (relative / unit.error).sqrt().clamp(STEP_SHARE.0, STEP_SHARE.1);
        let h = step * transition.half_width * (d as f64).sqrt();
        let mut points = DMatrix::from_fn(d, d + 1, |i, _| x[i]);
        points.columns_mut(1, d).zip_apply(&frame, |p, q| *p += h * q);
        let values = self.f.values(&points)?;
        let g = frame * values.rows(1, d).map(|value| (value - values[0]) / h);
        let sure = self.is_sure(&g, relative * transition.variation / h);
        let error = (step * unit.error + relative / step).max(LEAST_SPREAD);
        Ok(sure.then(|| (g.normalize(), error)))
    }

    /// The unit vector along the gradient, by central differences along the axes, and their step in half widths of the
    /// transition.
    fn gradient(
        &mut self,
        x: &DVector<f64>,
        transition: &Transition,
    ) -> Result<Option<(DVector<f64>, f64)>, Halt> {
        let d = x.len();
        // The step in half widths that balances truncation, its square, with the noise over it.
        let relative = self.relative_noise(x, transition);
        let step = relative.cbrt().clamp(STEP_SHARE.0, STEP_SHARE.1);
        let h = step * transition.half_width;
        let centre = DMatrix::from_column_slice(d, 1, x.as_slice());
        let axes = DMatrix::identity(d, d);
        let g = self.f.gradients(&centre, &axes, GradientScheme::Central2, h)?;
        let g = g.column(0).into_owned();
        let sure = self.is_sure(&g, relative * transition.variation / h);
        Ok(sure.then(|| (g.normalize(), step)))
    }

    /// Is a gradient with this noise in each part not of noise alone?
    fn is_sure(&self, g: &DVector<f64>, noise: f64) -> bool {
        g.norm() > SURE_GRADIENT * noise * (g.len() as f64).sqrt()
    }

    /// Noise of a value on a step, relative to it: what grows with the distance is the rounding of x, which shows by the
    /// slope of f.
    fn relative_noise(&self, x: &DVector<f64>, transition: &Transition) -> f64 {
        let Landscape { spread, noise_near, noise_growth, .. } = self.land;
        noise_near / transition.variation + noise_growth * x.norm() / spread
    }

    /// Keeps of `found` what is a unit, with an accurate direction: by a second gradient near the origin, with all others
    /// saturated. Returns the largest angle error before, and how many were none.
    fn prove(&mut self, found: &mut Vec<Found>) -> Result<(f64, usize), Halt> {
        let units: Vec<Unit> = found.iter().map(|found| found.unit.clone()).collect();
        if units.is_empty() {
            return Ok((0.0, 0));
        }
        let distance = self.distance(units.len());
        let saturator = Saturator::of_units(&units, distance, self.land.saturation());
        let open: Vec<usize> = (0..units.len())
            .filter(|&k| {
                let place = found[k].place.as_ref();
                place.is_none_or(|place| !saturator.is_alone(k, place))
            })
            .collect();
        let seed: u64 = rand::RngExt::random(&mut self.rng);
        let trials = self.tried(NEAR_TRIALS);
        let places: Vec<_> = open
            .par_iter()
            .map(|&k| {
                let rng = &mut draws::stream(seed, "near", k as u64);
                saturator.near(&[(k, 0.0)], trials, rng)
            })
            .collect();
        let worst = open.iter().map(|&k| units[k].error).fold(0.0, f64::max);
        for (n, (&k, places)) in open.iter().zip(places).enumerate() {
            self.clock.part(0.5, 1.0).done(n as f64 / open.len() as f64);
            found[k].place = None;
            let Some(places) = places else { continue };
            // Where they are far beyond the lines, another is nearly the same: one unit, sighted twice.
            let near = |x: &DVector<f64>| x.norm() < TWIN_FAR * distance;
            let points = self.strongest(&units[k], &places.points)?.into_iter().filter(near);
            if let Some(proved) = self.proved(&units[k], points)? {
                found[k] = proved;
            }
        }
        let sighted = found.len();
        found.retain(|found| found.place.is_some());
        let withdrawn = sighted - found.len();
        // Now that directions are accurate, what was sighted twice shows.
        let mut distinct: Vec<Found> = Vec::with_capacity(found.len());
        for unit in found.drain(..) {
            if !distinct.iter().any(|other| same(&other.unit, &unit.unit, 0.0)) {
                distinct.push(unit);
            }
        }
        *found = distinct;
        Ok((worst, withdrawn))
    }

    /// The unit as it is seen at the first of the `points` where that is the same as before. On a line another unit may
    /// cross so near that it turns the gradient: then two of the points have to agree.
    fn proved(
        &mut self,
        unit: &Unit,
        points: impl Iterator<Item = DVector<f64>>,
    ) -> Result<Option<Found>, Halt> {
        // It was met within reach of where it was expected, so that it is not turned by more.
        let most = self.reach(unit) / self.distance(0);
        let mut expected = unit.clone();
        for point in points {
            let Some(seen) = self.again(&expected, &point)? else { continue };
            let turned = angle(&seen.direction, &expected.direction);
            if turned <= SIGHTED_ANGLES * expected.error + SIGHTED_SLACK {
                return Ok(Some(Found { unit: seen, place: Some(point) }));
            }
            if turned <= most {
                expected = Unit { error: TURNED_AGAIN * turned, ..seen };
            }
        }
        Ok(None)
    }

    /// The `places` of a unit, those first where its direction is told best: f changes much across its hyperplane, and they
    /// are not far out.
    fn strongest(&mut self, unit: &Unit, places: &DMatrix<f64>) -> Result<Vec<DVector<f64>>, Halt> {
        let across = &unit.direction * self.reach(unit);
        let mut points = DMatrix::zeros(places.nrows(), 2 * places.ncols());
        for (k, place) in places.column_iter().enumerate() {
            points.set_column(2 * k, &(place - &across));
            points.set_column(2 * k + 1, &(place + &across));
        }
        let values = self.f.values(&points)?;
        let Landscape { spread, noise_near, noise_growth, .. } = self.land;
        let noise = |k: usize| {
            let change = (values[2 * k + 1] - values[2 * k]).abs();
            noise_near / change + noise_growth * places.column(k).norm() / spread
        };
        let mut order: Vec<usize> = (0..places.ncols()).collect();
        order.sort_by(|&i, &j| noise(i).total_cmp(&noise(j)));
        Ok(order.into_iter().map(|k| places.column(k).into_owned()).collect())
    }

    /// How far from where it is expected a unit is looked for near the origin: from afar the error of the direction is one
    /// of the middle.
    fn reach(&self, unit: &Unit) -> f64 {
        FIRST_STEP_REACH * (unit.half_width + self.distance(0) * unit.error)
    }

    /// What is seen near `place` where `unit` is expected.
    fn again(&mut self, unit: &Unit, place: &DVector<f64>) -> Result<Option<Unit>, Halt> {
        let direction = &unit.direction;
        let reach = self.reach(unit);
        let floor = self.floor(place.norm());
        let found = locate(self.f, place, direction, (-reach, reach), Some(0.0), floor)?;
        let Some(transition) = found else { return Ok(None) };
        let point = place + direction * transition.centre;
        let Some((seen, error)) = self.sharper(&point, &transition, unit)? else { return Ok(None) };
        let half_width = transition.half_width * seen.dot(direction).abs();
        Ok(Some(Unit { centre: seen.dot(&point), half_width, error, direction: seen }))
    }
}

/// The same hyperplane, as far as two sightings at about this `distance` can tell?
fn same(a: &Unit, b: &Unit, distance: f64) -> bool {
    let error = SIGHTED_ANGLES * (a.error + b.error) + SIGHTED_SLACK;
    let centre = b.centre * a.direction.dot(&b.direction).signum();
    angle(&a.direction, &b.direction) < error
        && (a.centre - centre).abs() < a.half_width + b.half_width + error * distance
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::context::in_context;
    use crate::identify::survey::far;
    use crate::identify::survey::probe::probe;
    use crate::network::{Activation, Class, TwoLayer};
    use crate::oracle::NetworkOracle;

    #[test]
    fn lines_show_every_unit() {
        for (dims, phi) in [
            ((8, 5, 2), Activation::Tanh),
            ((12, 12, 3), Activation::Erf),
            ((8, 20, 3), Activation::Sigmoid),
        ] {
            let truth = TwoLayer::random(dims, Class::General, phi, 2).unwrap();
            let mut f = NetworkOracle::new(truth.clone());
            let land = probe(&mut f, 2).unwrap();
            let (units, evidence) =
                in_context(&mut f, &land, (2, 0), |cx| find_units(cx, 8.0 * cx.land.scale));
            let units = units.unwrap();
            assert_eq!((units.len(), evidence.lines[0].units), (dims.1, dims.1), "{dims:?}");
            for (a, &theta) in truth.a.column_iter().zip(truth.theta.iter()) {
                let a = a.into_owned();
                let unit = units.iter().min_by(|x, y| {
                    let off = |u: &Unit| angle(&u.direction, &a.normalize());
                    off(x).total_cmp(&off(y))
                });
                let unit = unit.unwrap();
                let off = angle(&unit.direction, &a.normalize());
                assert!(off < 1e-7, "{dims:?}: {off:e}");
                let z = unit.centre * a.norm() * unit.direction.dot(&a).signum() - theta;
                assert!(z.abs() < 3.0, "{dims:?}: {z}");
            }
        }
    }

    #[test]
    fn a_unit_sighted_twice_is_one() {
        // Two sightings that do not agree make each other's places near the origin lie far out.
        let truth = TwoLayer::random((64, 64, 16), Class::General, Activation::Tanh, 3).unwrap();
        let mut f = NetworkOracle::new(truth.clone());
        let land = probe(&mut f, 1).unwrap();
        for attempt in 0..2 {
            let (units, evidence) = in_context(&mut f, &land, (1, attempt), |cx| {
                let far = far::far(cx)?;
                find_units(cx, far)
            });
            let units = units.unwrap();
            assert_eq!(units.len(), 64);
            assert!(evidence.lines[0].withdrawn > 0, "no longer a test of it");
            for a in truth.a.column_iter() {
                let a = a.normalize();
                let off = units.iter().map(|u| angle(&u.direction, &a)).fold(1.0, f64::min);
                assert!(off < 1e-7, "{attempt}: {off:e}");
            }
        }
    }

    #[test]
    fn one_input_has_no_lines_across() {
        let truth = TwoLayer::random((1, 3, 1), Class::Paper, Activation::Tanh, 1).unwrap();
        let land = Landscape::unit(1e-16, 1e-16);
        let mut f = NetworkOracle::new(truth);
        assert!(in_context(&mut f, &land, (1, 0), |cx| find_units(cx, 8.0)).0.is_err());
    }
}
