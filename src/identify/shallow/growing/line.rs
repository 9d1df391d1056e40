//! The bends of f along a line: cells in which it bends are halved until each bend shows by itself.

use std::ops::Range;

use nalgebra::DVector;

use super::bend::{Bend, is_kink};
use super::tolerances::{
    BEND_CELLS, BEND_CLEAN, BEND_MOST_CELLS, BEND_MOST_OPEN, BEND_QUIET, BEND_WHOLE, BEND_ZOOMS,
    KINK_NOISES, KINK_ROUNDS, KINK_SHARE,
};
use crate::identify::failure::{Failure, Halt};
use crate::identify::shallow::tolerances::STEP_FINEST;
use crate::identify::survey::tolerances::SURE_CHANGE;
use crate::network::Activation;
use crate::stage::Stage;

/// What is left of f on a line without the units known.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Where.
    pub t: f64,
    /// All outputs.
    pub outputs: DVector<f64>,
    /// Standard deviation of all of them together.
    pub noise: f64,
}

/// A place where f bends a little by the error of a unit that is known.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    pub from: f64,
    pub to: f64,
    /// Values may be off by this.
    pub off: f64,
}

/// A bend, by each of the activations that were tried.
pub struct Candidate {
    /// The combination of the outputs in which it shows most, of norm 1.
    pub heard: DVector<f64>,
    /// What each activation makes of that, in their order.
    pub fits: Vec<Option<Bend>>,
    /// The readings on it lie between these.
    pub span: (f64, f64),
}

/// What a line shows.
pub struct Seen {
    /// The readings, in order.
    pub readings: Vec<Reading>,
    /// The bends that are one of a single unit.
    pub bends: Vec<Candidate>,
    /// Where f bends otherwise.
    pub others: Vec<(f64, f64)>,
}

/// The bends of what `ask` reads between the `first` readings, at least three of them, as some of the activations `families`
/// make them.
pub fn scan(
    first: Vec<Reading>,
    (families, known): (&[Activation], &[Known]),
    mut ask: impl FnMut(&[f64]) -> Result<Vec<Reading>, Halt>,
) -> Result<Seen, Halt> {
    let mut seen = Seen { readings: first, bends: Vec::new(), others: Vec::new() };
    for round in 0..BEND_ZOOMS {
        let open: Vec<Range<usize>> =
            runs(&seen.readings, known).into_iter().filter(|run| !seen.is_settled(run)).collect();
        let mut tested = Vec::new();
        let mut halved = Vec::new();
        for run in open {
            let readings = &seen.readings[run.clone()];
            let cells = readings.len() - 1;
            let span = (readings[0].t, readings[cells].t);
            let heard = heard(readings);
            let smooth = if cells >= BEND_CELLS { fits(readings, &heard, families) } else { None };
            if let Some(fits) = smooth {
                seen.bends.push(Candidate { heard, fits, span });
            } else if cells > BEND_MOST_CELLS || is_finest(span, cells) {
                seen.others.push(span);
            } else {
                let kinks = round % KINK_ROUNDS == 0 && families.iter().any(|&phi| is_kink(phi));
                if let Some(kink) = Kink::at(readings, heard).filter(|_| kinks) {
                    tested.push((kink, run.clone()));
                }
                halved.push(run);
            }
        }
        // A kink that is one needs no halving.
        let corners: Vec<f64> = tested.iter().flat_map(|(kink, _)| kink.beside()).collect();
        let values = if corners.is_empty() { Vec::new() } else { ask(&corners)? };
        for ((kink, run), values) in tested.iter().zip(values.chunks_exact(2)) {
            if kink.is_one(values) {
                let readings = &seen.readings[run.clone()];
                let span = (readings[0].t, readings[readings.len() - 1].t);
                let fit = |&phi: &Activation| is_kink(phi).then_some(kink.bend);
                let fits = families.iter().map(fit).collect();
                seen.bends.push(Candidate { heard: kink.heard.clone(), fits, span });
                halved.retain(|other| other != run);
            }
        }
        let middles = |run: &Range<usize>| {
            let cells = seen.readings[run.clone()].windows(2);
            cells.map(|r| 0.5 * (r[0].t + r[1].t)).collect::<Vec<f64>>()
        };
        let mut ts: Vec<f64> = halved.iter().flat_map(middles).collect();
        // Neighbours share a cell.
        ts.dedup();
        if ts.is_empty() {
            return Ok(seen);
        }
        if ts.len() > BEND_MOST_OPEN {
            let reason = "far out f is not straight between hyperplanes: it bends all along a line";
            return Err(Failure::new(Stage::Lines, reason).into());
        }
        seen.readings.extend(ask(&ts)?);
        seen.readings.sort_by(|a, b| a.t.total_cmp(&b.t));
    }
    let left = runs(&seen.readings, known).into_iter().filter(|run| !seen.is_settled(run));
    let left: Vec<(f64, f64)> = left.map(|run| seen.span(&run)).collect();
    seen.others.extend(left);
    Ok(seen)
}

impl Seen {
    fn span(&self, run: &Range<usize>) -> (f64, f64) {
        (self.readings[run.start].t, self.readings[run.end - 1].t)
    }

    /// Is this the place of a bend that needs no more readings?
    fn is_settled(&self, run: &Range<usize>) -> bool {
        let (from, to) = self.span(run);
        let settled = self.bends.iter().map(|bend| bend.span).chain(self.others.iter().copied());
        let middle = 0.5 * (from + to);
        settled.into_iter().any(|(start, end)| start <= middle && middle <= end)
    }
}

/// The places where f bends: stretches of readings, of which all but the first and the last are on a bend.
fn runs(readings: &[Reading], known: &[Known]) -> Vec<Range<usize>> {
    let slopes: Vec<DVector<f64>> = readings.windows(2).map(rate).collect();
    let bends: Vec<f64> = slopes.windows(2).map(|s| (&s[1] - &s[0]).norm()).collect();
    let bend = |k: usize| bends[k - 1];
    let surely = |k: usize| {
        let (before, here, behind) = (&readings[k - 1], &readings[k], &readings[k + 1]);
        let noise = before.noise.max(here.noise).max(behind.noise);
        let near = known.iter().filter(|known| known.from <= behind.t && before.t <= known.to);
        let off = 2.0 * SURE_CHANGE * noise + near.map(|known| known.off).sum::<f64>();
        bend(k) > off * ((here.t - before.t).recip() + (behind.t - here.t).recip())
    };
    let mut found = Vec::new();
    for stretch in stretches(1..readings.len() - 1, surely) {
        // Of a smooth bend the middle alone.
        let most = stretch.clone().map(bend).fold(0.0, f64::max);
        let shows = |k: usize| bend(k) > BEND_QUIET * most;
        found.extend(stretches(stretch, shows).into_iter().map(|run| run.start - 1..run.end + 1));
    }
    found
}

/// The stretches of a range of numbers that have a property, all but single ones: where the curvature of silu and of gelu changes
/// its sign they do not bend.
fn stretches(range: Range<usize>, has: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for k in range.filter(|&k| has(k)) {
        match found.last_mut() {
            Some(last) if k <= last.end + 1 => last.end = k + 1,
            _ => found.push(k..k + 1),
        }
    }
    found
}

/// The slopes of the outputs between two readings.
fn rate(pair: &[Reading]) -> DVector<f64> {
    (&pair[1].outputs - &pair[0].outputs) / (pair[1].t - pair[0].t)
}

/// The combination of the outputs, of norm 1, whose slope changes most over a stretch of readings.
fn heard(readings: &[Reading]) -> DVector<f64> {
    let change = rate(&readings[readings.len() - 2..]) - rate(&readings[..2]);
    let norm = change.norm();
    if norm > 0.0 { change / norm } else { DVector::zeros(change.len()) }
}

/// What the smooth ones of the `families` make of a stretch of readings, if one of them fits.
fn fits(
    readings: &[Reading],
    heard: &DVector<f64>,
    families: &[Activation],
) -> Option<Vec<Option<Bend>>> {
    let ts: Vec<f64> = readings.iter().map(|r| r.t).collect();
    let values: Vec<f64> = readings.iter().map(|r| r.outputs.dot(heard)).collect();
    let fit = |&phi: &Activation| if is_kink(phi) { None } else { Bend::fit(&ts, &values, phi) };
    let fits: Vec<Option<Bend>> = families.iter().map(fit).collect();
    let clean = |bend: &Bend| {
        let aside = (bend.centre - ts[0]).min(ts[ts.len() - 1] - bend.centre);
        bend.misfit <= BEND_CLEAN * bend.weight.abs() && bend.slope * aside >= BEND_WHOLE
    };
    fits.iter().flatten().any(clean).then_some(fits)
}

/// Are the cells as short as positions are rounded?
fn is_finest((from, to): (f64, f64), cells: usize) -> bool {
    to - from <= STEP_FINEST * from.abs().max(to.abs()) * cells as f64
}

/// A bend within a cell or two, as if it were a kink.
struct Kink {
    heard: DVector<f64>,
    bend: Bend,
    /// So far beside the corner f is asked.
    aside: f64,
    jump: f64,
    noise: f64,
}

impl Kink {
    /// By the straight lines on both sides; `None` where more than a cell is bent.
    fn at(readings: &[Reading], heard: DVector<f64>) -> Option<Kink> {
        let n = readings.len();
        if !(3..=4).contains(&n) {
            return None;
        }
        let value = |k: usize| readings[k].outputs.dot(&heard);
        let rate = |k: usize| (value(k + 1) - value(k)) / (readings[k + 1].t - readings[k].t);
        let (before, after) = (rate(0), rate(n - 2));
        let (from, to) = (readings[1].t, readings[n - 2].t);
        let jump = after - before;
        let centre = if n == 3 {
            from
        } else {
            (value(1) - before * from - value(n - 2) + after * to) / jump
        };
        let noise = readings.iter().map(|r| r.noise).fold(0.0, f64::max);
        let level = value(1) + before * (centre - from);
        let bend = Bend { level, tilt: before, weight: jump, slope: 1.0, centre, misfit: noise };
        let aside = KINK_NOISES * noise / jump.abs();
        // No number, too, is not within.
        let within = readings[0].t < centre - aside && centre + aside < readings[n - 1].t;
        within.then_some(Kink { heard, bend, aside, jump, noise })
    }

    /// Where f tells whether it is one.
    fn beside(&self) -> [f64; 2] {
        [self.bend.centre - self.aside, self.bend.centre + self.aside]
    }

    /// Is f on both lines right beside the corner? A smooth one is half way between them there.
    fn is_one(&self, values: &[Reading]) -> bool {
        let off = |r: &Reading| {
            let aside = r.t - self.bend.centre;
            let straight = self.bend.level + self.bend.tilt * aside;
            r.outputs.dot(&self.heard) - (straight + self.jump * aside.max(0.0))
        };
        let most = KINK_SHARE * KINK_NOISES * self.noise;
        values.iter().all(|r| off(r).abs() <= most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(f: fn(f64) -> f64) -> impl FnMut(&[f64]) -> Result<Vec<Reading>, Halt> {
        move |ts| {
            let read =
                |&t: &f64| Reading { t, outputs: DVector::from_element(1, f(t)), noise: 1e-12 };
            Ok(ts.iter().map(read).collect())
        }
    }

    fn seen(families: &[Activation], f: fn(f64) -> f64) -> Seen {
        let mut ask = line(f);
        let first: Vec<f64> = (0..=8).map(|k| -1e4 + 2.5e3 * f64::from(k)).collect();
        let first = ask(&first).unwrap();
        scan(first, (families, &[]), ask).unwrap()
    }

    #[test]
    fn bends_are_told_apart_and_what_is_none_is_counted() {
        let f = |t: f64| {
            Activation::Silu.value(0.5 * (t - 310.0)) - Activation::Silu.value(2.0 * (t - 433.0))
                + 3.0 * t
        };
        let mut found = seen(&[Activation::Gelu, Activation::Silu], f);
        found.bends.sort_by(|a, b| a.span.0.total_cmp(&b.span.0));
        assert_eq!((found.bends.len(), found.others.len()), (2, 0));
        for (bend, (slope, centre)) in found.bends.iter().zip([(0.5, 310.0), (2.0, 433.0)]) {
            let fit = bend.fits[1].unwrap();
            assert!((fit.slope - slope).abs() < 1e-3 && (fit.centre - centre).abs() < 1e-3);
        }
        assert!(found.readings.len() < 140, "{}", found.readings.len());
        let found = seen(&[Activation::Softplus], f);
        assert_eq!((found.bends.len(), found.others.len()), (0, 2));
    }

    #[test]
    fn kinks_are_seen_at_once_and_two_of_them_are_two() {
        let f = |t: f64| (t - 310.0).max(0.0) - 2.0 * (t - 310.7).max(0.0) - (t + 4e3).max(0.0);
        let mut found = seen(&[Activation::Silu, Activation::Relu], f);
        found.bends.sort_by(|a, b| a.span.0.total_cmp(&b.span.0));
        let kinks: Vec<f64> = found.bends.iter().map(|b| b.fits[1].unwrap().centre).collect();
        assert_eq!((kinks.len(), found.others.len()), (3, 0));
        for (kink, centre) in kinks.iter().zip([-4e3, 310.0, 310.7]) {
            assert!((kink - centre).abs() < 1e-9, "{kinks:?}");
        }
        assert!(found.readings.len() < 80, "{}", found.readings.len());
    }
}
