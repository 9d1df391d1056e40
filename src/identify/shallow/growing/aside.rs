//! Gradients where f is straight, and what they tell of the units between them.
//!
//! Between two cells that a line leads through, the gradients of all outputs differ by sum_i j_i v_i^T: of every unit that is
//! crossed the line itself tells j_i, by how much the slope of each output changes on it, and v_i = a_i / (a_i . w) follows, by
//! least squares where there are fewer units between the two than outputs.

use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::tolerances::{ASIDE_ROOM, ASIDE_ROUNDS, GROUP_CONDITION, GROUP_SHARE};
use crate::algebra::linalg::dual;
use crate::identify::failure::Halt;
use crate::identify::survey::tolerances::SURE_CHANGE;

/// Where f may be straight.
#[derive(Clone, Debug)]
pub struct Landing {
    pub x: DVector<f64>,
    /// The first step aside that is tried.
    pub step: f64,
}

/// All outputs and their gradients at a point around which they are straight.
#[derive(Clone, Debug)]
pub struct Slopes {
    /// K.
    pub outputs: DVector<f64>,
    /// K x d.
    pub gradient: DMatrix<f64>,
    /// Standard error of an entry, in noises of an output.
    pub error: f64,
}

/// What `ask` answers at points (d x n): all outputs, K x n, and the noise of each point.
pub type Ask<'a> = dyn FnMut(&DMatrix<f64>) -> Result<(DMatrix<f64>, Vec<f64>), Halt> + 'a;

/// Gradients at the `landings`; `None` where f is straight nowhere near. A step along each input and one along all of them, which
/// must agree.
pub fn slopes(
    landings: &[Landing],
    rng: &mut ChaCha8Rng,
    ask: &mut Ask<'_>,
) -> Result<Vec<Option<Slopes>>, Halt> {
    let mut found: Vec<Option<Slopes>> = vec![None; landings.len()];
    let mut open: Vec<(usize, f64)> =
        landings.iter().map(|landing| landing.step).enumerate().collect();
    for _ in 0..ASIDE_ROUNDS {
        if open.is_empty() {
            break;
        }
        let mut points = Vec::new();
        let mut along = Vec::new();
        for &(k, step) in &open {
            let x = &landings[k].x;
            let d = x.len();
            points.push(x.clone());
            for j in 0..d {
                let mut aside = x.clone();
                aside[j] += step;
                points.push(aside);
            }
            let size = step / (d as f64).sqrt();
            let signs = DVector::from_fn(d, |_, _| if rng.random() { size } else { -size });
            points.push(x + &signs);
            along.push(signs);
        }
        let (answers, noise) = ask(&DMatrix::from_columns(&points))?;
        let mut next = Vec::new();
        let mut first = 0;
        for (&(k, step), signs) in open.iter().zip(&along) {
            let d = signs.len();
            let here = answers.column(first).into_owned();
            let rate = |i: usize, j: usize| {
                // As the input was rounded.
                let step = points[first + 1 + j][j] - points[first][j];
                (answers[(i, first + 1 + j)] - here[i]) / step
            };
            let gradient = DMatrix::from_fn(answers.nrows(), d, rate);
            let last = first + d + 1;
            let noise = noise[first..=last].iter().copied().fold(0.0, f64::max);
            let signs = &points[last] - &points[first];
            let off = (answers.column(last) - &here - &gradient * signs).amax();
            if off <= SURE_CHANGE * noise {
                let error = std::f64::consts::SQRT_2 * noise / step;
                found[k] = Some(Slopes { outputs: here, gradient, error });
            } else {
                next.push((k, step * ASIDE_ROOM));
            }
            first = last + 1;
        }
        open = next;
    }
    Ok(found)
}

/// What f has between two gradients.
#[derive(Clone, Copy, Debug)]
pub enum Between {
    /// The bend of a unit, by its number.
    Unit(usize),
    /// Something else.
    Other,
}

/// A stretch of a line on which f bends.
#[derive(Clone, Copy, Debug)]
pub struct Obstacle {
    pub what: Between,
    pub from: f64,
    pub to: f64,
}

/// The units between two places of a line where gradients are taken.
#[derive(Clone, Debug)]
pub struct Group {
    /// Their numbers; `None` where they cannot be told apart.
    pub units: Option<Vec<usize>>,
    /// The middle of the stretch behind them.
    pub at: f64,
    /// Half of its length.
    pub room: f64,
}

/// Splits a line of some `length` at its widest straight stretches, so that there are `most` units between two, at most.
pub fn groups(mut obstacles: Vec<Obstacle>, length: f64, most: usize) -> Vec<Group> {
    obstacles.sort_by(|a, b| a.from.total_cmp(&b.from));
    // Stretches between obstacles: where, how long, and how many obstacles lie before.
    let mut gaps: Vec<(f64, f64, usize)> = Vec::new();
    let mut end = 0.0f64;
    for (k, obstacle) in obstacles.iter().enumerate() {
        end = end.max(obstacle.to);
        let next = obstacles.get(k + 1).map_or(length, |next| next.from);
        if next > end {
            gaps.push((0.5 * (end + next), 0.5 * (next - end), k + 1));
        }
    }
    let mut found = Vec::new();
    let mut passed = 0;
    while let Some(first) = gaps.iter().position(|gap| gap.2 > passed) {
        let members = |gap: &(f64, f64, usize)| -> Option<Vec<usize>> {
            let between = &obstacles[passed..gap.2];
            let units = between.iter().map(|obstacle| match obstacle.what {
                Between::Unit(k) => Some(k),
                Between::Other => None,
            });
            (between.len() <= most).then(|| units.collect()).flatten()
        };
        let reachable = gaps[first..].iter().filter(|gap| members(gap).is_some());
        // Of those in the farther half, so that they are few.
        let farthest = reachable.clone().map(|gap| gap.2).max().unwrap_or(0);
        let far = reachable.filter(|gap| 2 * (gap.2 - passed) > farthest - passed);
        let next = far.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(&gaps[first]);
        found.push(Group { units: members(next), at: next.0, room: next.1 });
        passed = next.2;
    }
    found
}

/// The normals v_i of units (d x n) by what they change the gradient by (K x d), and the error of an entry of each in those of the
/// gradient. The `jumps` (K x n) are those of the slopes of the outputs. `None` where they do not tell the units apart.
pub fn normals(jumps: &DMatrix<f64>, change: &DMatrix<f64>) -> Option<(DMatrix<f64>, Vec<f64>)> {
    let norms: Vec<f64> = jumps.column_iter().map(|j| j.norm()).collect();
    let mut unit = jumps.clone();
    unit.column_iter_mut().zip(&norms).for_each(|(mut column, norm)| column /= *norm);
    let (dual, condition) = dual(&unit)?;
    if condition > GROUP_CONDITION {
        return None;
    }
    let mut normals = change.tr_mul(&dual);
    normals.column_iter_mut().zip(&norms).for_each(|(mut column, norm)| column /= *norm);
    let errors = dual.column_iter().zip(&norms).map(|(d, norm)| d.norm() / norm).collect();
    Some((normals, errors))
}

/// How many units so many outputs tell apart at a time.
pub fn most_at_once(outputs: usize) -> usize {
    (outputs / GROUP_SHARE).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;

    fn obstacle(what: Between, from: f64, to: f64) -> Obstacle {
        Obstacle { what, from, to }
    }

    #[test]
    fn a_line_is_split_where_it_is_straight_longest() {
        let unit = |k: usize, at: f64| obstacle(Between::Unit(k), at - 0.1, at + 0.1);
        let line = || {
            vec![
                unit(0, 1.0),
                unit(1, 2.0),
                unit(2, 6.0),
                obstacle(Between::Other, 7.0, 8.0),
                unit(3, 9.0),
                unit(4, 9.1),
            ]
        };
        let of = |most| groups(line(), 10.0, most);
        let units: Vec<Option<Vec<usize>>> = of(1).into_iter().map(|g| g.units).collect();
        assert_eq!(units, [Some(vec![0]), Some(vec![1]), Some(vec![2]), None, None]);
        let two = of(2);
        let units: Vec<Option<Vec<usize>>> = two.iter().map(|g| g.units.clone()).collect();
        assert_eq!(units, [Some(vec![0, 1]), Some(vec![2]), None, Some(vec![3, 4])]);
        assert!((two[0].at - 4.0).abs() < 1e-12 && (two[0].room - 1.9).abs() < 1e-12);
    }

    #[test]
    fn gradients_tell_as_many_units_as_there_are_outputs() {
        let rng = &mut draws::stream(1, "test", 0);
        let (jumps, v) = (draws::gaussian(rng, 6, 3), draws::gaussian(rng, 4, 3));
        let (found, errors) = normals(&jumps, &(&jumps * v.transpose())).unwrap();
        assert!((found - v).amax() < 1e-12);
        assert!(errors.iter().all(|e| (0.1..10.0).contains(e)), "{errors:?}");
        assert!(normals(&DMatrix::from_element(6, 2, 1.0), &DMatrix::zeros(6, 4)).is_none());
    }

    #[test]
    fn a_step_over_a_kink_is_shortened() {
        let mut ask = |points: &DMatrix<f64>| {
            let value = |x: &nalgebra::DVectorView<'_, f64>| x[0] + 2.0 * (x[1] - 0.3).max(0.0);
            let values: Vec<f64> = points.column_iter().map(|x| value(&x)).collect();
            Ok((DMatrix::from_row_slice(1, values.len(), &values), vec![1e-15; values.len()]))
        };
        let landing = Landing { x: DVector::zeros(2), step: 1.0 };
        let rng = &mut draws::stream(1, "test", 0);
        let found = slopes(&[landing], rng, &mut ask).unwrap()[0].clone().unwrap();
        // The step is a quarter.
        assert!((found.error / 1e-15 - 4.0 * std::f64::consts::SQRT_2).abs() < 1e-9);
        assert!((found.gradient[0] - 1.0).abs() < 1e-14 && found.gradient[1].abs() < 1e-14);
    }
}
