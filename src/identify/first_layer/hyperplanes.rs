//! First-layer units by where their transitions lie, for values too inaccurate for Hessians.
//!
//! Far out f changes only where a line crosses a hyperplane a_i . x = theta_i. A place on it and a rough normal
//! come from one crossing; crossings of parallel lines farther and farther away, regressed on where the
//! lines are, turn the normal to the hyperplane itself. Each round lengthens the lever as far as the
//! normal is known, so that its error falls by the share of a width to which a crossing can be placed.

use nalgebra::{DMatrix, DVector};

use super::tolerances::{
    ANGLE_GOAL, ANGLE_SAFETY, LEAST_ANGLE, LEAST_SINGULAR, LEVER_WIDTHS, LINE_OFFSET, MOST_LEVER,
    NEAR_LEVER, NORMAL_GRADIENTS, NORMAL_JITTER, NORMAL_MOST_GRADIENTS, NORMAL_STEP, PLANE_LEAST,
    PLANE_OUTLIER, PLANE_SAFETY, ROUGH_ANGLE, ROUGHEST_ANGLE, SAME_ANGLES, SAME_WIDTHS,
    SCAN_CLEAN_LINES, SCAN_LENGTH, SCAN_MOST_LINES, SIGNIFICANT, SINGLE_STRETCH, TURN_AGREEING,
    TURN_CROSSINGS, TURN_REACH, TURN_ROUNDS, TURN_TRIES,
};
use super::unit::Unit;
use super::units::unexplained;
use crate::algebra::linalg::{complement, least_squares, median};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::HyperplanesFound;
use crate::identify::failure::{Failure, Halt};
use crate::identify::survey::line::{locate_in_noise, values_along};
use crate::identify::survey::tolerances::LINE_CELLS;
use crate::oracle::{Oracle, OracleError};
use crate::stage::Stage;
use crate::stencil::GradientScheme;

/// Scans random lines far out until they show no more units.
pub fn find_units(cx: &mut Context<'_>) -> Result<Vec<Unit>, Halt> {
    let Context { f, land, seed, attempt, evidence, .. } = cx;
    let (f, land, seed, attempt): (&mut dyn Oracle, _, _, _) = (*f, *land, *seed, *attempt);
    let d = f.input_dim();
    if d < 2 {
        return Err(
            Failure::new(Stage::Hyperplanes, "the gradients span one dimension only").into()
        );
    }
    let rng = &mut draws::stream(seed, "hyperplanes", attempt);
    let length = SCAN_LENGTH * land.scale;
    let floor = SIGNIFICANT * land.noise_at(length);
    let mut units: Vec<Unit> = Vec::new();
    let (mut clean, mut lines) = (0, 0);
    while clean < SCAN_CLEAN_LINES && lines < SCAN_MOST_LINES {
        lines += 1;
        clean += 1;
        let origin = draws::unit_vector(rng, d) * (LINE_OFFSET * length);
        let direction = draws::unit_vector(rng, d);
        for (from, to) in unexplained(&units, &origin, &direction, length) {
            let ends = values_along(f, &origin, &direction, &[from, to])?;
            if (ends[1] - ends[0]).abs() <= floor {
                continue;
            }
            clean = 0;
            let Some(around) = isolate(f, &origin, &direction, (from, to), land.scale, floor)?
            else {
                continue;
            };
            let Some(crossing) = locate_in_noise(f, &origin, &direction, around, None, floor)?
            else {
                continue;
            };
            let point = &origin + &direction * crossing.centre;
            let noise =
                floor / SIGNIFICANT / (NORMAL_STEP * crossing.variation) * (d as f64).sqrt();
            let gradients =
                (noise / ROUGH_ANGLE).powi(2).ceil().min(NORMAL_MOST_GRADIENTS) as usize;
            let gradients = gradients.max(NORMAL_GRADIENTS);
            let mut normal = DVector::zeros(d);
            for _ in 0..gradients {
                // Fresh values, hardly elsewhere.
                let jitter = draws::unit_vector(rng, d) * (NORMAL_JITTER * crossing.half_width);
                let centre = DMatrix::from_columns(&[&point + jitter]);
                let (axes, scheme) = (DMatrix::identity(d, d), GradientScheme::Central2);
                normal += f
                    .gradients(&centre, &axes, scheme, NORMAL_STEP * crossing.half_width)?
                    .column(0);
            }
            if normal.norm() == 0.0 {
                // Rounded values that do not change over such a step.
                continue;
            }
            let half_width = crossing.half_width * normal.dot(&direction).abs() / normal.norm();
            normal.normalize_mut();
            let error = (noise / (gradients as f64).sqrt()).clamp(ROUGH_ANGLE, ROUGHEST_ANGLE);
            let guess = Unit { centre: normal.dot(&point), direction: normal, half_width, error };
            if let Some(unit) = turn(f, &point, guess, floor, length, rng)?
                && !units.iter().any(|other| same(other, &unit))
            {
                units.push(unit);
                break;
            }
        }
    }
    let worst = units.iter().map(|unit| unit.error).fold(0.0, f64::max);
    let found = HyperplanesFound { units: units.len(), lines, worst_angle_error: worst };
    evidence.hyperplanes.push(found);
    Ok(units)
}

/// A short stretch of the line about its largest change.
fn isolate(
    f: &mut dyn Oracle,
    origin: &DVector<f64>,
    direction: &DVector<f64>,
    (mut from, mut to): (f64, f64),
    scale: f64,
    floor: f64,
) -> Result<Option<(f64, f64)>, OracleError> {
    while to - from > SINGLE_STRETCH * scale {
        let cell = (to - from) / LINE_CELLS as f64;
        let ts: Vec<f64> = (0..=LINE_CELLS).map(|k| from + cell * k as f64).collect();
        let values = values_along(f, origin, direction, &ts)?;
        let changes = values.as_slice().windows(2).map(|v| (v[1] - v[0]).abs());
        let (largest, change) = changes
            .enumerate()
            .fold((0, 0.0), |most, here| if here.1 > most.1 { here } else { most });
        if change <= floor {
            return Ok(None);
        }
        // Half a cell more, so that a change at its edge is not cut.
        (from, to) = (ts[largest] - 0.5 * cell, ts[largest + 1] + 0.5 * cell);
    }
    Ok(Some((from, to)))
}

/// The unit of which `guess` is a rough account near the point `at` of its hyperplane; `None` where
/// crossings do not lie on one.
fn turn(
    f: &mut dyn Oracle,
    at: &DVector<f64>,
    guess: Unit,
    floor: f64,
    length: f64,
    rng: &mut impl rand::Rng,
) -> Result<Option<Unit>, OracleError> {
    let most = MOST_LEVER * length;
    let mut unit = guess;
    for _ in 0..TURN_ROUNDS {
        let before = unit.error;
        let lever = (LEVER_WIDTHS * unit.half_width / unit.error).min(most);
        let Some(turned) = round(f, at, &unit, (lever, 0.0), floor, rng)? else { return Ok(None) };
        unit = turned;
        if unit.error >= before || unit.error < ANGLE_GOAL || lever >= most {
            break;
        }
    }
    // Once more about the foot of the perpendicular from the origin: from afar the error of the normal
    // would be one of the shift.
    let foot = &unit.direction * unit.centre;
    let astray = ANGLE_SAFETY * unit.error * at.norm();
    round(f, &foot, &unit, (NEAR_LEVER * length, astray), floor, rng)
}

/// The unit by crossings of lines parallel to its normal that pass `at` in a distance of `lever`, no farther than
/// `astray` from where it is expected at none.
fn round(
    f: &mut dyn Oracle,
    at: &DVector<f64>,
    unit: &Unit,
    (lever, astray): (f64, f64),
    floor: f64,
    rng: &mut impl rand::Rng,
) -> Result<Option<Unit>, OracleError> {
    let d = at.len();
    let frame = complement(&DMatrix::from_columns(std::slice::from_ref(&unit.direction)));
    let reach = TURN_REACH * unit.half_width + astray.max(ANGLE_SAFETY * lever * unit.error);
    let mut found: Vec<(DVector<f64>, f64, f64)> = Vec::new();
    for _ in 0..TURN_TRIES * TURN_CROSSINGS * d {
        if found.len() == TURN_CROSSINGS * d {
            break;
        }
        let sideways = draws::unit_vector(rng, d - 1);
        let origin = at + &frame * &sideways * lever;
        let range = (-reach, reach);
        let crossing = locate_in_noise(f, &origin, &unit.direction, range, Some(0.0), floor)?;
        found.extend(crossing.map(|c| (sideways, c.centre, c.half_width)));
    }
    // x = at + frame s lever + t n with t = offset + slope . s lies on the hyperplane.
    Ok(plane(&found, d).map(|fit| {
        let direction = (&unit.direction - &frame * (&fit.slope / lever)).normalize();
        let centre = direction.dot(&(at + &unit.direction * fit.offset));
        let error = (fit.spread / lever).max(LEAST_ANGLE);
        Unit { direction, centre, half_width: fit.half_width, error }
    }))
}

struct Plane {
    slope: DVector<f64>,
    offset: f64,
    half_width: f64,
    /// Error of the slope, by the scatter of the crossings about the plane.
    spread: f64,
}

/// t = offset + slope . s through most of the crossings (s, t, half width).
fn plane(found: &[(DVector<f64>, f64, f64)], d: usize) -> Option<Plane> {
    let least = ((TURN_AGREEING * found.len() as f64) as usize).max(d + 2);
    let mut kept: Vec<&(DVector<f64>, f64, f64)> = found.iter().collect();
    loop {
        if kept.len() < least {
            return None;
        }
        let design =
            DMatrix::from_fn(kept.len(), d, |k, j| if j < d - 1 { kept[k].0[j] } else { 1.0 });
        let target = DVector::from_iterator(kept.len(), kept.iter().map(|c| c.1));
        let (solution, _) = least_squares(&design, &target, LEAST_SINGULAR)?;
        let off: Vec<f64> = (&target - &design * &solution).iter().map(|r| r.abs()).collect();
        let widths: Vec<f64> = kept.iter().map(|c| c.2).collect();
        let half_width = median(&widths)?;
        let typical = median(&off)?.max(PLANE_LEAST * half_width);
        let agreeing: Vec<_> = kept
            .iter()
            .zip(&off)
            .filter(|(_, off)| **off <= PLANE_OUTLIER * typical)
            .map(|(c, _)| *c)
            .collect();
        if agreeing.len() == kept.len() {
            // Each coordinate of s has a variance of 1 / (d - 1).
            let freedom = (kept.len() - d) as f64;
            let scatter = (off.iter().map(|r| r * r).sum::<f64>() / freedom).sqrt();
            let spread = PLANE_SAFETY * scatter * (d - 1) as f64 / (kept.len() as f64).sqrt();
            let (slope, offset) = (solution.rows(0, d - 1).into_owned(), solution[d - 1]);
            return (typical < half_width).then_some(Plane { slope, offset, half_width, spread });
        }
        kept = agreeing;
    }
}

/// The same hyperplane?
fn same(a: &Unit, b: &Unit) -> bool {
    let cos = a.direction.dot(&b.direction);
    let angle = (&a.direction - &b.direction * cos.signum()).norm();
    angle < SAME_ANGLES * (a.error + b.error)
        && (a.centre - b.centre * cos.signum()).abs() < SAME_WIDTHS * (a.half_width + b.half_width)
}

#[cfg(test)]
pub(crate) mod tests {
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::identify::context::in_context;
    use crate::identify::survey::landscape::Landscape;
    use crate::network::{Activation, Class, TwoLayer};

    /// A network whose values have normal errors.
    pub struct Noisy {
        pub network: TwoLayer,
        pub sigma: f64,
        pub rng: ChaCha8Rng,
    }

    impl Oracle for Noisy {
        fn input_dim(&self) -> usize {
            self.network.a.nrows()
        }
        fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
            let errors = draws::gaussian(&mut self.rng, points.ncols(), 1) * self.sigma;
            Ok(self.network.values(points) + errors.column(0))
        }
    }

    pub fn noisy(seed: u64, sigma: f64) -> (Noisy, Landscape) {
        let network = TwoLayer::random((6, 6, 2), Class::Paper, Activation::Tanh, seed).unwrap();
        let land = Landscape::unit(sigma, 0.0);
        (Noisy { network, sigma, rng: draws::stream(seed, "errors", 0) }, land)
    }

    #[test]
    fn all_hyperplanes_are_found_in_noise() {
        for (seed, sigma) in [(1, 3e-4), (2, 1e-4), (3, 1e-6)] {
            let (mut f, land) = noisy(seed, sigma);
            let units = in_context(&mut f, &land, (seed, 0), find_units).0.unwrap();
            assert_eq!(units.len(), 6, "{sigma:e}");
            for (a, theta) in f.network.a.column_iter().zip(f.network.theta.iter()) {
                let near = units.iter().find(|u| 1.0 - u.direction.dot(&a).abs() < 1e-5);
                let unit = near.expect("a unit for every column of A");
                let centre = unit.centre * unit.direction.dot(&a).signum();
                // The second layer bends a transition: its middle is not quite that of its unit.
                assert!((centre - theta).abs() < 0.6 * unit.half_width, "{centre} {theta}");
                assert!((1.0..5.0).contains(&unit.half_width), "{}", unit.half_width);
            }
        }
    }

    /// Values rounded so coarsely that gradients vanish: whatever is found, no point is asked that is not finite.
    #[test]
    fn rounded_values_make_no_directions_of_nothing() {
        struct Rounded(TwoLayer);
        impl Oracle for Rounded {
            fn input_dim(&self) -> usize {
                self.0.a.nrows()
            }
            fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
                assert!(points.iter().all(|x| x.is_finite()));
                Ok(self.0.values(points).map(|v| (v / 0.3).round() * 0.3))
            }
        }
        for seed in 0..6 {
            let (f, land) = noisy(seed, 1e-3);
            let f = &mut Rounded(f.network);
            in_context(f, &land, (seed, 0), find_units).0.unwrap();
        }
    }

    #[test]
    fn one_dimension_is_a_failure() {
        let (mut f, land) = noisy(1, 1e-3);
        f.network.a = DMatrix::from_element(1, 6, 1.0);
        let found = in_context(&mut f, &land, (1, 0), find_units).0;
        assert!(matches!(found, Err(Halt::Failed(_))));
    }
}
