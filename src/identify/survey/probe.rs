//! Before stage 1: what the black box looks like from afar. Its natural scale, its spread, and the
//! accuracy of its values, all measured.

use nalgebra::{DMatrix, DVector};

use super::line::locate;
use super::tolerances::{
    BALL_ROUNDING, BEND_LINES, BEND_OCTAVES, BEND_SCALES, BEND_SHARE, MERE_NOISE, MOST_GROWTH,
    MOST_NOISE, NOISE_AGREEMENT, NOISE_EXCESS, NOISE_EXCESS_COARSE, NOISE_FAR, NOISE_FAR_COARSE,
    NOISE_LINES, NOISE_ORDERS, NOISE_RESOLVED, NOISE_STEPS, NOISE_TABLE, PROBE_EXPONENTS,
    PROBE_MORE_POINTS, PROBE_OCTAVES, PROBE_POINTS, PROPORTIONAL, SAME_SPREAD, SURE_CHANGE,
};
use crate::algebra::linalg::{median, rms};
use crate::draws;
use crate::identify::failure::{Failure, Halt};
use crate::identify::survey::landscape::Landscape;
use crate::identify::verdict::tolerances::{MIXED_EXPONENTS, MIXED_POINTS};
use crate::oracle::design::Design;
use crate::oracle::{Mixture, Oracle, OracleError};
use crate::stage::Stage;

/// What is known of several outputs before their mixture is probed.
pub struct Mixed<'m> {
    /// What values are.
    pub mixture: &'m Mixture,
    /// All outputs at the [`first_points`], K x n.
    pub answers: &'m DMatrix<f64>,
}

/// The points by which outputs are weighed in their mixture: the first of those of [`probe`] at some of its scales.
pub fn first_points(d: usize, seed: u64) -> DMatrix<f64> {
    let by_scale = points_by_scale(&mut draws::stream(seed, "probe", 0), d);
    let of = |exponent: i32| {
        let there = &by_scale[(exponent - PROBE_EXPONENTS.start()) as usize];
        there.column_iter().take(MIXED_POINTS)
    };
    DMatrix::from_columns(&MIXED_EXPONENTS.into_iter().flat_map(of).collect::<Vec<_>>())
}

/// Gaussian points of every scale.
fn points_by_scale(rng: &mut impl rand::Rng, d: usize) -> Vec<DMatrix<f64>> {
    PROBE_EXPONENTS.map(|e| draws::gaussian(rng, d, PROBE_POINTS) * 2f64.powi(e)).collect()
}

/// Measures the [`Landscape`]; fails on a black box that is constant, linear or mere noise, or grows otherwise than in
/// proportion to |x|.
pub fn probe(f: &mut dyn Oracle, seed: u64) -> Result<Landscape, Halt> {
    Ok(probe_mixed(f, seed, None)?.0)
}

/// The same of a mixture of several outputs, if it is one: what is known of them is not asked again, and the accuracy of each
/// comes of the same questions.
pub fn probe_mixed(
    f: &mut dyn Oracle,
    seed: u64,
    mixed: Option<&Mixed<'_>>,
) -> Result<(Landscape, Vec<f64>), Halt> {
    let d = f.input_dim();
    let mut rng = draws::stream(seed, "probe", 0);
    let mut spreads = Vec::new();
    for (exponent, points) in PROBE_EXPONENTS.zip(points_by_scale(&mut rng, d)) {
        spreads.push(spread_at(f, exponent, points, mixed)?);
    }
    let spread = spreads.iter().copied().fold(0.0, f64::max);
    if spread == 0.0 {
        return Err(constant().into());
    }
    let end = spreads.len() - 1;
    let (mut before, mut last) = (spreads[end - 2], spreads[end]);
    if last > MOST_GROWTH * before {
        let steady = |from: f64, to: f64| in_proportion(from, to).is_ok();
        if !(steady(spreads[end - 4], before) && steady(before, last)) {
            // Perhaps by chance: few points show little of a function that is large in few places.
            let mut again = |exponent: i32| -> Result<f64, Halt> {
                let points = draws::gaussian(&mut rng, d, PROBE_MORE_POINTS) * 2f64.powi(exponent);
                Ok(f.values(&points)?.variance().sqrt())
            };
            (before, last) = (again(PROBE_EXPONENTS.end() - 2)?, again(*PROBE_EXPONENTS.end())?);
        }
        if last > MOST_GROWTH * before {
            in_proportion(before, last)?;
            let scale = scale_of_bends(f, &mut draws::stream(seed, "probe bends", 0))?;
            let first = (scale.log2() as i32 - PROBE_EXPONENTS.start()) as usize;
            // It may be constant up to there.
            let first = (first..end).find(|&k| spreads[k] > 0.0).unwrap_or(end);
            let land = Landscape {
                scale: 2f64.powi(PROBE_EXPONENTS.start() + first as i32),
                spread: spreads[first],
                noise_near: 0.0,
                noise_growth: 0.0,
                grows: true,
            };
            return with_noise(f, &mut rng, land, (&spreads, mixed));
        }
    }
    let first = spreads.iter().position(|&s| s >= 0.5 * spread).unwrap_or(0);
    let scale = 2f64.powi(PROBE_EXPONENTS.start() + first as i32);
    let land = Landscape { scale, spread, noise_near: 0.0, noise_growth: 0.0, grows: false };
    with_noise(f, &mut rng, land, (&spreads, mixed))
}

/// The standard deviation of the values at some points; those known by their outputs are not asked.
fn spread_at(
    f: &mut dyn Oracle,
    exponent: i32,
    points: DMatrix<f64>,
    mixed: Option<&Mixed<'_>>,
) -> Result<f64, Halt> {
    let place = MIXED_EXPONENTS.iter().position(|&known| known == exponent);
    let values = match (mixed, place) {
        (Some(Mixed { mixture, answers }), Some(place)) => {
            let known = answers.columns(place * MIXED_POINTS, MIXED_POINTS).into_owned();
            let asked = f.values(&points.remove_columns(0, MIXED_POINTS))?;
            DVector::from_iterator(
                PROBE_POINTS,
                mixture.of(&known).iter().chain(asked.iter()).copied(),
            )
        }
        _ => f.values(&points)?,
    };
    Ok(values.variance().sqrt())
}

/// The landscape with its noise measured, where the values spread so at all scales, and the noise near the origin of every
/// output that is mixed.
fn with_noise(
    f: &mut dyn Oracle,
    rng: &mut impl rand::Rng,
    land: Landscape,
    (spreads, mixed): (&[f64], Option<&Mixed<'_>>),
) -> Result<(Landscape, Vec<f64>), Halt> {
    let (d, &Landscape { scale, spread, grows, .. }) = (f.input_dim(), &land);
    let near = draws::gaussian(rng, d, NOISE_LINES) * scale;
    let (noise_near, of_outputs) = match mixed {
        None => (noise(f, rng, &near, &land)?, Vec::new()),
        Some(mixed) => noise_of_mixture(f, rng, &near, (&land, mixed.mixture))?,
    };
    if spread <= MERE_NOISE * noise_near {
        // The spread of mere noise is the same at every scale.
        let reason =
            if spreads[0] > SAME_SPREAD * spread { noisy(noise_near, spread) } else { constant() };
        return Err(reason.into());
    }
    if noise_near > MOST_NOISE * spread {
        return Err(noisy(noise_near, spread).into());
    }
    let land = Landscape { noise_near, ..land };
    if !grows && land.is_coarse() {
        let noise_growth = growth_on_steps(f, rng, &land)?;
        return Ok((Landscape { noise_growth, ..land }, of_outputs));
    }
    // The far lines come from where the wide stack will be sampled.
    let far = NOISE_FAR * scale;
    let distant = draws::gaussian(rng, d, NOISE_LINES) * far;
    let noise_far = noise(f, rng, &distant, &land)?;
    // A point of norm r is itself rounded, by r eps / 2; f sees that through its slope, at most about
    // spread / scale. Most far lines cross no transition and show nothing of it.
    let rounding = f64::EPSILON * spread / scale;
    // Both are estimates: what random errors differ by is no growth.
    let grown = (noise_far - NOISE_EXCESS * noise_near) / (far * (d as f64).sqrt());
    let noise_growth = grown.max(rounding);
    Ok((Landscape { noise_near, noise_growth, ..land }, of_outputs))
}

/// How the noise grows with the distance where f is coarse: points far out may be rounded more coarsely than an f64 is, and
/// so may what a program makes of them. That shows on the steps that f takes out there and nowhere else: lines
/// through distant points are searched for a step each.
fn growth_on_steps(
    f: &mut dyn Oracle,
    rng: &mut impl rand::Rng,
    land: &Landscape,
) -> Result<f64, Halt> {
    let d = f.input_dim();
    let far = NOISE_FAR_COARSE * land.scale * (d as f64).sqrt();
    let floor = SURE_CHANGE * land.noise_near;
    let (mut steps, mut directions, mut units) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..NOISE_LINES {
        let (origin, direction) = (draws::unit_vector(rng, d) * far, draws::unit_vector(rng, d));
        if let Some(step) = locate(f, &origin, &direction, (-far, far), None, floor)? {
            steps.push(origin + &direction * step.centre);
            directions.push(direction);
            units.push(step.half_width);
        }
    }
    let rounding = f64::EPSILON * land.spread / land.scale;
    if steps.is_empty() {
        return Ok(rounding);
    }
    let distance = steps.iter().map(|x| x.norm()).sum::<f64>() / steps.len() as f64;
    let (origins, directions) = (DMatrix::from_columns(&steps), DMatrix::from_columns(&directions));
    let lines = ShortLines { origins: &origins, directions, units };
    // Some lines run along a step, and across others within a few hundredths of it.
    let noise_far = table_of_values(f, &lines)?.noise_on_median_line();
    let grown = if noise_far > NOISE_EXCESS_COARSE * land.noise_near {
        (noise_far.powi(2) - land.noise_near.powi(2)).sqrt() / distance
    } else {
        0.0
    };
    Ok(grown.max(rounding))
}

/// Do values whose standard deviation is `before` at one scale and `last` at four times as large a one grow as the
/// distance does?
fn in_proportion(before: f64, last: f64) -> Result<(), Failure> {
    let power = 0.5 * (last / before).log2();
    if (power - 1.0).abs() <= PROPORTIONAL {
        return Ok(());
    }
    let (from, to) = (PROBE_EXPONENTS.end() - 2, PROBE_EXPONENTS.end());
    let reason = format!(
        "the values keep growing, as the power {power:.2} of the distance (standard deviation {before:.3e} at scale \
         2^{from}, {last:.3e} at 2^{to}): no network of one or two hidden layers with a known activation does; if this \
         one has weights below 1e-4, rescale the inputs"
    );
    Err(Failure::new(Stage::Probe, reason))
}

/// The scale at which a growing f bends: second differences over a length of s are s times a constant beyond it, and less
/// within.
fn scale_of_bends(f: &mut dyn Oracle, rng: &mut impl rand::Rng) -> Result<f64, Halt> {
    let d = f.input_dim();
    let mut rates = Vec::new();
    let mut rounding = 0.0f64;
    for exponent in PROBE_EXPONENTS {
        let scale = 2f64.powi(exponent);
        let middles = draws::gaussian(rng, d, BEND_LINES) * scale;
        let aside = draws::gaussian(rng, d, BEND_LINES) * scale;
        let ahead = f.values(&(&middles + &aside))?;
        let behind = f.values(&(&middles - &aside))?;
        let middle = f.values(&middles)?;
        rounding = f64::EPSILON * ahead.amax() / scale;
        rates.push(rms(&(ahead + behind - middle * 2.0)) / scale);
    }
    let beyond = DVector::from_column_slice(&rates[rates.len() - BEND_SCALES..]);
    let level = rms(&beyond);
    if level <= MERE_NOISE * rounding {
        let reason = "the black box is linear: it has no hidden unit that shows".to_owned();
        return Err(Failure::new(Stage::Probe, reason).into());
    }
    // A single kink may be near the origin.
    let of_most = |rates: &[f64]| rms(&DVector::from_column_slice(rates)) >= BEND_SHARE * level;
    let first = rates.windows(BEND_OCTAVES).position(of_most).unwrap_or(0);
    // Of kinks at the origin alone there is no scale.
    Ok(if first == 0 { 1.0 } else { 2f64.powi(PROBE_EXPONENTS.start() + first as i32) })
}

fn constant() -> Failure {
    Failure::new(Stage::Probe, "the black box is constant at every scale".to_owned())
}

fn noisy(noise: f64, spread: f64) -> Failure {
    Failure::new(
        Stage::Probe,
        format!("the values are mostly noise: accuracy {noise:.2e}, spread {spread:.2e}"),
    )
}

/// The same within the ball of radius `radius` around the origin. Nothing is asked outside, so that a
/// function unbounded farther out is not found out.
pub fn probe_within(f: &mut dyn Oracle, radius: f64, seed: u64) -> Result<Landscape, Halt> {
    let d = f.input_dim();
    let mut rng = draws::stream(seed, "probe within", 0);
    let centre = DVector::zeros(d);
    // Uniform in a ball of radius r, a coordinate has a standard deviation of about r / sqrt(d).
    let radii: Vec<f64> = (0..=PROBE_OCTAVES).map(|k| radius * 0.5f64.powi(k)).collect();
    let mut spreads = Vec::new();
    for &radius in &radii {
        let points = Design::Ball.points(&mut rng, &centre, radius, radius, PROBE_POINTS);
        // A ball is closed; its rounding is not.
        spreads.push(f.values(&(points * (1.0 - BALL_ROUNDING)))?.variance().sqrt());
    }
    let spread = spreads.iter().copied().fold(0.0, f64::max);
    if spread == 0.0 {
        return Err(constant().into());
    }
    let least = spreads.iter().rposition(|&s| s >= 0.5 * spread).unwrap_or(0);
    let scale = radii[least] / (d as f64).sqrt();
    let near = Design::Ball.points(&mut rng, &centre, 0.5 * radius, 0.5 * radius, NOISE_LINES);
    let land = Landscape { scale, spread, noise_near: 0.0, noise_growth: 0.0, grows: false };
    let noise_near = noise(f, &mut rng, &near, &land)?;
    if spread <= MERE_NOISE * noise_near {
        let smallest = spreads[spreads.len() - 1];
        let reason =
            if smallest > SAME_SPREAD * spread { noisy(noise_near, spread) } else { constant() };
        return Err(reason.into());
    }
    if noise_near > MOST_NOISE * spread {
        return Err(noisy(noise_near, spread).into());
    }
    let noise_growth = f64::EPSILON * spread / scale;
    Ok(Landscape { noise_near, noise_growth, ..land })
}

/// Noise of values around the columns of `origins`: the root mean square over lines. Never less than
/// half a unit in the last place of the largest value. A function that grows may have kinks.
fn noise(
    f: &mut dyn Oracle,
    rng: &mut impl rand::Rng,
    origins: &DMatrix<f64>,
    land: &Landscape,
) -> Result<f64, Halt> {
    Ok(table_of_values(f, &ShortLines::anywhere(rng, origins, land))?.noise(land.grows))
}

/// Noise of the values at each of the columns of `origins` by itself, less certain than that over many
/// lines: the least over the steps but one, so that a wrong value on one of the lines does not make noise where
/// there is none, nor equal values on one of them an accuracy.
pub fn noise_here(
    f: &mut dyn Oracle,
    origins: &DMatrix<f64>,
    land: &Landscape,
    rng: &mut impl rand::Rng,
) -> Result<Vec<f64>, Halt> {
    Ok(table_of_values(f, &ShortLines::anywhere(rng, origins, land))?.noise_by_line())
}

/// Noise of a mixture and of each of its outputs around the columns of `origins`, by the same questions, see [`noise`].
fn noise_of_mixture(
    f: &mut dyn Oracle,
    rng: &mut impl rand::Rng,
    origins: &DMatrix<f64>,
    (land, mixture): (&Landscape, &Mixture),
) -> Result<(f64, Vec<f64>), Halt> {
    let lines = ShortLines::anywhere(rng, origins, land);
    let mut with_mixture = |x: &DMatrix<f64>| {
        let outputs = f.parts(x)?;
        let values = mixture.of(&outputs).transpose();
        let rows: Vec<_> = outputs.row_iter().map(|row| row.into_owned()).chain([values]).collect();
        Ok(DMatrix::from_rows(&rows))
    };
    let tables = difference_tables(&mut with_mixture, &lines)?;
    let mut levels: Vec<f64> = tables.iter().map(|table| table.noise(land.grows)).collect();
    Ok((levels.pop().unwrap_or(0.0), levels))
}

/// The noise of every output around the columns of `origins` together, and at each of them by itself: K of both.
pub fn noise_of_outputs(
    f: &mut dyn Oracle,
    origins: &DMatrix<f64>,
    land: &Landscape,
    rng: &mut impl rand::Rng,
) -> Result<(Vec<f64>, Vec<Vec<f64>>), Halt> {
    let lines = ShortLines::anywhere(rng, origins, land);
    let tables = difference_tables(&mut |x| f.outputs(x), &lines)?;
    Ok(tables.iter().map(|table| (table.noise(land.grows), table.noise_by_line())).unzip())
}

fn extremes(levels: &[f64; 3]) -> (f64, f64) {
    let largest = levels.iter().copied().fold(0.0, f64::max);
    (largest, levels.iter().copied().fold(f64::INFINITY, f64::min))
}

/// Difference tables of one output on short lines.
struct Tables {
    /// By step, from the largest, and line: mean squares of the 4th, 5th and 6th differences.
    levels: Vec<Vec<[f64; 3]>>,
    /// Half a unit in the last place of the largest value.
    floor: f64,
}

impl Tables {
    /// See [`noise`].
    fn noise(&self, kinks: bool) -> f64 {
        let of_step = |levels: &Vec<[f64; 3]>| {
            let sum = |order: usize| levels.iter().map(|line| line[order]).sum::<f64>();
            let rms = |order: usize| (sum(order) / levels.len() as f64).sqrt();
            extremes(&[rms(0), rms(1), rms(2)])
        };
        let by_step: Vec<(f64, f64)> = self.levels.iter().map(of_step).collect();
        for (k, &(largest, smallest)) in by_step.iter().enumerate() {
            let agree = smallest > 0.0 && largest < NOISE_AGREEMENT * smallest;
            // The differences of a kink agree too, but shrink with the step.
            let next = by_step.get(k + 1).filter(|_| kinks);
            if agree && next.is_none_or(|next| largest < NOISE_AGREEMENT * next.0) {
                return largest.max(self.floor);
            }
        }
        self.floor
    }

    /// Noise on the median of the lines on which differences agree: on some there is more than noise.
    fn noise_on_median_line(&self) -> f64 {
        let of_line = |line: usize| {
            let levels = self.levels.iter().map(|step| extremes(&step[line]));
            // Mean squares.
            let agrees = |&(largest, smallest): &(f64, f64)| {
                smallest > 0.0 && largest < NOISE_AGREEMENT.powi(2) * smallest
            };
            levels.into_iter().find(agrees).map(|level| level.0.sqrt())
        };
        let lines = self.levels.first().map_or(0, Vec::len);
        let levels: Vec<f64> = (0..lines).filter_map(of_line).collect();
        median(&levels).unwrap_or(0.0).max(self.floor)
    }

    /// See [`noise_here`].
    fn noise_by_line(&self) -> Vec<f64> {
        let of_line = |line: usize| {
            let mut levels: Vec<f64> =
                self.levels.iter().map(|step| extremes(&step[line]).0.sqrt()).collect();
            levels.sort_by(f64::total_cmp);
            levels.get(1).copied()
        };
        (0..self.levels.first().map_or(0, Vec::len))
            .map(|line| of_line(line).filter(|n| n.is_finite()).unwrap_or(0.0).max(self.floor))
            .collect()
    }
}

/// Where short lines begin, and where they go.
struct ShortLines<'l> {
    /// d x n.
    origins: &'l DMatrix<f64>,
    /// Unit vectors, d x n.
    directions: DMatrix<f64>,
    /// What steps are shares of.
    units: Vec<f64>,
}

impl<'l> ShortLines<'l> {
    /// In random directions, with steps that are more than the rounding of points.
    fn anywhere(rng: &mut impl rand::Rng, origins: &'l DMatrix<f64>, land: &Landscape) -> Self {
        let mut directions = DMatrix::zeros(origins.nrows(), origins.ncols());
        for mut direction in directions.column_iter_mut() {
            direction.copy_from(&draws::unit_vector(rng, origins.nrows()));
        }
        let Landscape { scale, spread, noise_growth, .. } = land;
        let rounding = NOISE_RESOLVED * (origins.nrows() as f64).sqrt() * noise_growth / spread;
        let unit = |x: nalgebra::DVectorView<'_, f64>| scale * (rounding * x.norm()).max(1.0);
        ShortLines { origins, directions, units: origins.column_iter().map(unit).collect() }
    }
}

/// The difference tables of values.
fn table_of_values(f: &mut dyn Oracle, lines: &ShortLines<'_>) -> Result<Tables, Halt> {
    let mut values = |x: &DMatrix<f64>| Ok(DMatrix::from_rows(&[f.values(x)?.transpose()]));
    Ok(difference_tables(&mut values, lines)?.swap_remove(0))
}

/// Numbers at the columns of a matrix, a row an output.
type Outputs<'f> = dyn FnMut(&DMatrix<f64>) -> Result<DMatrix<f64>, OracleError> + 'f;

/// Difference tables (Hamming; More and Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33,
/// 2011), one an output: on a fine enough line the k-th differences of a smooth function vanish and those of the
/// noise do not. The step is right where differences of orders 4, 5 and 6 give the same level.
fn difference_tables(f: &mut Outputs<'_>, lines: &ShortLines<'_>) -> Result<Vec<Tables>, Halt> {
    let ShortLines { origins, directions, units } = lines;
    let (d, count) = origins.shape();
    let mut tables: Vec<Tables> = Vec::new();
    for step in NOISE_STEPS {
        let mut points = DMatrix::zeros(d, count * NOISE_TABLE);
        for (k, mut point) in points.column_iter_mut().enumerate() {
            let line = k / NOISE_TABLE;
            point.copy_from(&origins.column(line));
            let along = (k % NOISE_TABLE + 1) as f64 * (step * units[line]);
            point.axpy(along, &directions.column(line), 1.0);
        }
        let outputs = f(&points)?;
        tables.resize_with(outputs.nrows(), || Tables { levels: Vec::new(), floor: 0.0 });
        for (table, values) in tables.iter_mut().zip(outputs.row_iter()) {
            let values: Vec<f64> = values.iter().copied().collect();
            let largest = values.iter().fold(0.0f64, |most, v| most.max(v.abs()));
            table.floor = table.floor.max(0.5 * f64::EPSILON * largest);
            let of_line = |line: &[f64]| NOISE_ORDERS.map(|order| difference_level(line, order));
            table.levels.push(values.chunks_exact(NOISE_TABLE).map(of_line).collect());
        }
    }
    Ok(tables)
}

/// Mean square of the `order`-th differences, scaled so that independent noise of variance v gives v.
fn difference_level(values: &[f64], order: usize) -> f64 {
    let mut table = values.to_vec();
    for level in 0..order {
        for k in 0..table.len() - 1 - level {
            table[k] = table[k + 1] - table[k];
        }
    }
    let count = table.len() - order;
    // Binomial(2k, k) is the variance of a k-th difference of unit noise.
    let binomial = (1..=order).fold(1.0, |b, k| b * (order + k) as f64 / k as f64);
    table[..count].iter().map(|t| t * t).sum::<f64>() / (count as f64 * binomial)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::FnOracle;
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn noise_of_known_size_is_measured() {
        let mut rng = draws::stream(7, "test", 0);
        let mut normal = move || -> f64 { StandardNormal.sample(&mut rng) };
        for sigma in [1e-12, 1e-8, 1e-4] {
            let mut noisy =
                FnOracle::new(3, |x| (x[0] + 0.5 * x[1]).tanh() + x[2].tanh() + sigma * normal());
            let land = probe(&mut noisy, 1).unwrap();
            let ratio = land.noise_near / sigma;
            assert!((0.5..2.0).contains(&ratio), "{sigma}: {ratio}");
        }
    }

    #[test]
    fn rounding_is_found_where_values_are_exact() {
        let mut exact = FnOracle::new(3, |x| 3.0 + (x[0] + 0.5 * x[1]).tanh() + x[2].tanh());
        let land = probe(&mut exact, 1).unwrap();
        assert!((1e-16..3e-15).contains(&land.noise_near), "{:e}", land.noise_near);
        assert!((0.2..4.0).contains(&land.scale));
    }

    #[test]
    fn coarse_points_far_out_are_told_from_coarse_values() {
        // Points rounded to f32, and values rounded to f32 alone.
        let f = |x: &[f64]| (x[0] + 0.5 * x[1]).tanh() + (x[2] - 0.3 * x[0]).tanh();
        let single = |x: f64| f64::from(x as f32);
        let rounds = move |x: &[f64]| single(f(&[single(x[0]), single(x[1]), single(x[2])]));
        let land = probe(&mut FnOracle::new(3, rounds), 1).unwrap();
        assert!(land.is_coarse() && land.rounds_points());
        // A third of 2^-24 a unit of |x|, give or take: errors of several inputs add up.
        assert!((3e-9..1e-7).contains(&land.noise_growth), "{:e}", land.noise_growth);
        let land = probe(&mut FnOracle::new(3, move |x: &[f64]| single(f(x))), 1).unwrap();
        assert!(land.is_coarse() && !land.rounds_points(), "{:e}", land.noise_growth);
        assert!(land.saturation() < 5.0);
    }

    #[test]
    fn growth_by_chance_is_measured_again() {
        let mut seen = 0;
        let mut bounded = FnOracle::new(2, move |x| {
            // Larger at the first points that far out alone.
            let far = x[0].hypot(x[1]) > 8192.0;
            seen += usize::from(far);
            let size = if far && seen < 100 { 5.0 } else { 1.0 };
            size * (x[0].tanh() + x[1].tanh())
        });
        assert!(probe(&mut bounded, 1).is_ok());
    }

    #[test]
    fn one_wrong_value_makes_no_noise() {
        // Constant there, but for one value of the first line.
        let mut count = 0;
        let mut saturated = FnOracle::new(3, move |_| {
            count += 1;
            if count == 3 { 1.5 } else { 0.5 }
        });
        let origins = DMatrix::from_element(3, 2, 100.0);
        let rng = &mut draws::stream(1, "test", 0);
        let noise = noise_here(&mut saturated, &origins, &Landscape::unit(0.0, 0.0), rng).unwrap();
        assert!(noise.iter().all(|&n| n < 1e-15), "{noise:?}");
    }

    #[test]
    fn of_what_grows_the_scale_is_that_of_its_bends() {
        let bent = |x: f64, y: f64| (x - 0.3).abs() - 0.7 * (y + 0.1).abs() + 20.0 * x;
        // The nearest bend is at a tenth of it, and 2^-10 the least scale that is looked for.
        for scale in [0.1, 1.0, 100.0] {
            let f = move |x: &[f64]| bent(x[0] / scale, x[1] / scale);
            let land = probe(&mut FnOracle::new(2, f), 1).unwrap();
            assert!(land.grows && land.clone().bounded().is_err());
            let ratio = land.scale / scale;
            assert!((0.03..2.0).contains(&ratio), "{ratio}");
            assert!(land.noise_near < 1e-14, "{}", land.noise_near);
        }
    }

    #[test]
    fn hopeless_boxes_are_told_apart() {
        let reason = |f: &mut dyn Oracle| match probe(f, 1) {
            Err(Halt::Failed(failure)) => failure.reason,
            _ => panic!("must fail"),
        };
        assert!(reason(&mut FnOracle::new(2, |_| 4.0)).contains("constant"));
        assert!(reason(&mut FnOracle::new(2, |x| x[0] - 3.0 * x[1])).contains("linear"));
        assert!(reason(&mut FnOracle::new(2, |x| x[0] * x[1])).contains("power 2.0"));
        let mut rng = draws::stream(7, "test", 0);
        let mut normal = move || -> f64 { StandardNormal.sample(&mut rng) };
        assert!(reason(&mut FnOracle::new(2, move |_| normal())).contains("noise"));
    }
}
