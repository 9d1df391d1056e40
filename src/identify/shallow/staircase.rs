//! The steps of f along a line: cells over which it changes are halved until each step shows over several of them.

use super::tolerances::{
    STEP_CELLS, STEP_FINEST, STEP_MOST_CELLS, STEP_MOST_OPEN, STEP_QUIET, STEP_SMOOTH, STEP_ZOOMS,
};
use crate::identify::failure::{Failure, Halt};
use crate::stage::Stage;

/// A value on a line.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Where.
    pub t: f64,
    /// What.
    pub value: f64,
    /// It may be off by this.
    pub tolerance: f64,
}

/// What a line shows.
pub struct Staircase<T> {
    /// The steps that were accepted.
    pub steps: Vec<T>,
    /// Changes that show over many cells and are no step that is accepted.
    pub others: usize,
}

/// The steps of what `ask` reads between the `first` readings, at least two of them; `accept` makes a step of the readings
/// on it, if they are one.
pub fn climb<T>(
    first: Vec<Reading>,
    mut ask: impl FnMut(&[f64]) -> Result<Vec<Reading>, Halt>,
    mut accept: impl FnMut(&[Reading]) -> Option<T>,
) -> Result<Staircase<T>, Halt> {
    let mut found = Staircase { steps: Vec::new(), others: 0 };
    let mut open = changes(&first);
    for _ in 0..STEP_ZOOMS {
        if open.is_empty() {
            break;
        }
        let middles = |run: &Vec<Reading>| {
            run.windows(2).map(|r| 0.5 * (r[0].t + r[1].t)).collect::<Vec<f64>>()
        };
        let ts: Vec<f64> = open.iter().flat_map(middles).collect();
        if ts.len() > STEP_MOST_OPEN {
            let reason =
                "far out f is not constant between hyperplanes: it changes all along a line";
            return Err(Failure::new(Stage::Lines, reason).into());
        }
        let mut new = ask(&ts)?.into_iter();
        let mut next = Vec::new();
        for run in open {
            let middles = new.by_ref().take(run.len() - 1);
            let halved = run.iter().zip(middles).flat_map(|(&from, middle)| [from, middle]);
            let halved: Vec<Reading> = halved.chain(run.last().copied()).collect();
            for run in changes(&halved) {
                if run.len() > STEP_CELLS
                    && let Some(step) = accept(&run)
                {
                    found.steps.push(step);
                } else if run.len() > STEP_MOST_CELLS && is_smooth(&run) || is_finest(&run) {
                    found.others += 1;
                } else {
                    next.push(run);
                }
            }
        }
        open = next;
    }
    found.others += open.len();
    Ok(found)
}

/// The stretches of cells in a row over each of which f surely changes, and by no small share of the largest change.
fn changes(readings: &[Reading]) -> Vec<Vec<Reading>> {
    let change = |r: &[Reading]| (r[1].value - r[0].value).abs();
    let most = readings.windows(2).map(change).fold(0.0, f64::max);
    let changes =
        |r: &[Reading]| change(r) > (r[0].tolerance + r[1].tolerance).max(STEP_QUIET * most);
    let mut found: Vec<Vec<Reading>> = Vec::new();
    let mut within = false;
    for cell in readings.windows(2) {
        match found.last_mut() {
            _ if !changes(cell) => within = false,
            Some(run) if within => run.push(cell[1]),
            _ => {
                found.push(cell.to_vec());
                within = true;
            }
        }
    }
    found
}

/// Does f change about as much from cell to cell?
fn is_smooth(run: &[Reading]) -> bool {
    let changes: Vec<f64> = run.windows(2).map(|r| r[1].value - r[0].value).collect();
    let most = changes.iter().fold(0.0, |most: f64, c| most.max(c.abs()));
    changes.windows(2).all(|c| (c[1] - c[0]).abs() <= STEP_SMOOTH * most)
}

/// Are the cells as short as positions are rounded?
fn is_finest(run: &[Reading]) -> bool {
    let (from, to) = (run[0].t, run[1].t);
    to - from <= STEP_FINEST * from.abs().max(to.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_apart_and_what_is_none_is_counted() {
        let f = |t: f64| (5.0 * (t - 3.0)).tanh() + 2.0 * (0.5 * (t - 400.0)).tanh();
        let asked = std::cell::Cell::new(0);
        let mut ask = |ts: &[f64]| {
            asked.set(asked.get() + ts.len());
            Ok(ts.iter().map(|&t| Reading { t, value: f(t), tolerance: 1e-13 }).collect())
        };
        let first: Vec<Reading> = ask(&[-1e4, 1e4]).unwrap();
        let middle = |run: &[Reading]| (run.len() < 20).then(|| run[run.len() / 2].t);
        let mut found = climb(first.clone(), &mut ask, middle).unwrap();
        found.steps.sort_by(f64::total_cmp);
        assert_eq!((found.steps.len(), found.others), (2, 0));
        assert!((found.steps[0] - 3.0).abs() < 0.5 && (found.steps[1] - 400.0).abs() < 4.0);
        assert!(asked.get() < 80, "{}", asked.get());
        let found = climb(first, &mut ask, |_| None::<f64>).unwrap();
        assert_eq!((found.steps.len(), found.others), (0, 2));
    }
}
