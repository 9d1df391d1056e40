//! Several outputs. A random mixture of them is one function with all their hidden units, and is identified as such; the
//! weights of every output then are a linear least squares on what the last hidden layer puts out, and every output is
//! tested on the held-out points by itself.

use nalgebra::{DMatrix, DVector};

use super::certify::{Certificate, HeldOut, by_distance, means, standing_out};
use super::outcome::Outcome;
use super::tolerances::{
    ACCURATE_OUTPUT, BOUND_EXCEEDED, CUT_POINTS, DEVIATES, DRAWN_DEVIATION, GROUP_NOISE_LINES,
    LEAST_PART, LOST_OUTPUT, MERE_ROUNDING, MIXED_SHARE, MOST_GROUP_MEAN, OUTPUT_NOISE_LINES,
    OUTPUT_POINTS, OUTPUT_POINTS_PARTLY, OUTPUT_SPARE_POINTS, PARAMETER_ROUNDING, SIGMA_DEVIATIONS,
    TOLD_OUTPUT,
};
use super::uncertainty::relative;
use crate::algebra::linalg::{dual, product};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::OutputsFitted;
use crate::identify::failure::{Failure, Halt};
use crate::identify::survey::landscape::Landscape;
use crate::identify::survey::probe::noise_of_outputs;
use crate::identify::verdict::solution::Status;
use crate::network::{Link, Network};
use crate::stage::Stage;

/// Weights of a mixture in which all outputs have about the same part, from their answers (K x n) without the `link`. An
/// output that rounding of what is behind the link makes inaccurate at some of the points has less, and none where
/// rounding loses it, if others are left.
pub fn mixture(answers: &DMatrix<f64>, link: Link, seed: u64) -> DVector<f64> {
    let parts = parts(answers, link);
    let rng = &mut draws::stream(seed, "mixture", 0);
    let drawn = draws::gaussian(rng, answers.nrows(), 1);
    let weight = |(k, drawn): (usize, &f64)| {
        let row = answers.row(k);
        let spread = row.variance().sqrt();
        // A constant has a spread of rounding.
        let varies = spread > MERE_ROUNDING * f64::EPSILON * row.amax();
        // Away from 0, or an output would hardly be seen.
        let size = MIXED_SHARE + (1.0 - MIXED_SHARE) * drawn.abs().min(1.0);
        if varies { parts[k] * size.copysign(*drawn) / spread } else { 0.0 }
    };
    let weights = DVector::from_iterator(drawn.len(), drawn.iter().enumerate().map(weight));
    // All constant: whoever asks for the mixture is to see it.
    if weights.amax() > 0.0 { weights } else { DVector::repeat(answers.nrows(), 1.0) }
}

/// The parts of the outputs by their accuracy, 1 for the best.
fn parts(answers: &DMatrix<f64>, link: Link) -> Vec<f64> {
    let worst: Vec<f64> = answers
        .row_iter()
        .map(|row| row.iter().map(|&z| link.rounding(z)).fold(0.0, f64::max))
        .collect();
    let best = worst.iter().copied().fold(f64::INFINITY, f64::min);
    if link == Link::None || best > LOST_OUTPUT {
        return vec![1.0; worst.len()];
    }
    let part = |(k, &worst): (usize, &f64)| {
        let part = (ACCURATE_OUTPUT * best / worst).min(1.0);
        let cut = ends(answers, k).iter().any(|end| end.is_some());
        if worst > LOST_OUTPUT || part < LEAST_PART || cut { 0.0 } else { part }
    };
    let parts: Vec<f64> = worst.iter().enumerate().map(part).collect();
    if parts.iter().any(|&part| part > 0.0) { parts } else { vec![1.0; worst.len()] }
}

/// The least and the largest of an output, if it is that at several points to the last digit: it may be cut off there, as
/// programs do that are afraid of large exponents.
fn ends(answers: &DMatrix<f64>, output: usize) -> [Option<f64>; 2] {
    let row = answers.row(output);
    [row.min(), row.max()]
        .map(|end| Some(end).filter(|end| row.iter().filter(|z| *z == end).count() >= CUT_POINTS))
}

/// How many points the weights of the outputs are fitted to; some outputs may be told `partly`, at some of them.
pub fn points_for(network: &Network, partly: bool) -> usize {
    let each = if partly { OUTPUT_POINTS_PARTLY * OUTPUT_POINTS } else { OUTPUT_POINTS };
    each * (network.c.nrows() + 1) + OUTPUT_SPARE_POINTS
}

/// Points (d x n) and the answers of all outputs there (K x n).
pub struct Answers {
    pub points: DMatrix<f64>,
    pub answers: DMatrix<f64>,
}

/// The network of all outputs from that of their mixture, and the `noise` of each.
pub fn apart(
    cx: &mut Context<'_>,
    mixed: Outcome<Network>,
    (fitted, noise, held_out): (&Answers, &[f64], &mut HeldOut),
    (link, tolerance): (Link, f64),
) -> Result<Outcome<Network>, Halt> {
    let Some(mixture) = &mixed.network else { return Ok(mixed) };
    let parts: Vec<bool> = (0..fitted.answers.nrows()).map(|k| held_out.has(k)).collect();
    let held_out = held_out.asked(cx.f)?;
    let cut: Vec<_> = (0..parts.len()).map(|k| ends(held_out.1, k)).collect();
    let told = |answers: &DMatrix<f64>| {
        let told = |k: usize, z: f64| {
            parts[k] || link.rounding(z) <= TOLD_OUTPUT && !cut[k].contains(&Some(z))
        };
        let all = link == Link::None;
        DMatrix::from_fn(answers.nrows(), answers.ncols(), |k, j| all || told(k, answers[(k, j)]))
    };
    let hidden = with_ones(mixture.hidden(&fitted.points));
    let (fits, condition) = Fits::new(&hidden, &told(&fitted.answers)).ok_or_else(|| {
        Failure::new(Stage::Outputs, "the hidden units do not determine the weights of the outputs")
    })?;
    let weights = fits.weights(&fitted.answers);
    let network = with_outputs(mixture, &weights);
    let drawn: Vec<DMatrix<f64>> =
        mixed.plausible.iter().map(|drawn| shifted(drawn, fitted, &fits, &weights)).collect();
    let accuracy = accuracies(noise, fitted);
    let sigma = fits.sigmas(&(product(&weights, &hidden) - &fitted.answers));
    let (plausible, drawn) = (&mixed.plausible, &drawn);
    let all = All { network: &network, link, plausible, drawn, weights: &weights };
    let expected = all.expected(cx.land, fitted, (&fits, &accuracy));
    let seen = all.held_out(cx, held_out, told(held_out.1), (&sigma, &accuracy))?;
    let bound = bound(&weights, (&fits, &sigma), drawn);
    // Of the worst output in every respect.
    let worst = (0..sigma.len())
        .max_by(|&i, &j| (sigma[i] / expected[i]).total_cmp(&(sigma[j] / expected[j])))
        .unwrap_or(0);
    let of_mixture = mixed.certificate.clone();
    let certificate = of_mixture.map(|of_mixture| Certificate {
        residual: seen.residual,
        deviating: seen.deviating.max(of_mixture.deviating),
        excess: seen.excess.max(of_mixture.excess),
        mean_excess: seen.mean_excess.max(of_mixture.mean_excess),
        sigma: sigma[worst],
        accuracy: expected[worst],
        error_bound: of_mixture.error_bound.max(bound),
        held_out: of_mixture.held_out,
    });
    cx.evidence.outputs.push(OutputsFitted {
        outputs: sigma.len(),
        points: fitted.points.ncols(),
        condition,
        sigma: sigma.iter().copied().fold(0.0, f64::max),
        accuracy: expected.iter().copied().fold(0.0, f64::max),
        deviating: seen.deviating,
        excess: seen.excess,
        mean_excess: seen.mean_excess,
        error_bound: bound,
    });
    Ok(judged(mixed, network, certificate, tolerance))
}

/// What is said of all outputs, where `mixed` was said of their mixture.
fn judged(
    mixed: Outcome<Network>,
    network: Network,
    certificate: Option<Certificate>,
    tolerance: f64,
) -> Outcome<Network> {
    match certificate {
        Some(certificate) if mixed.status == Status::Identified => {
            Outcome::judge(network, certificate, tolerance, true)
        }
        certificate => Outcome { network: Some(network), certificate, ..mixed },
    }
}

/// With a row of ones: what the offsets are the weights of.
fn with_ones(hidden: DMatrix<f64>) -> DMatrix<f64> {
    let rows = hidden.nrows();
    hidden.insert_row(rows, 1.0)
}

/// The network with the output weights and offsets of `weights`, K x (m + 1).
fn with_outputs(mixture: &Network, weights: &DMatrix<f64>) -> Network {
    let m = weights.ncols() - 1;
    let c = weights.columns(0, m).transpose();
    Network { c, c0: weights.column(m).into_owned(), ..mixture.clone() }
}

/// The least squares for the weights of the outputs: of each at the points where its answer tells it.
struct Fits {
    /// The points, and the columns dual to the units there: D^T M = 1.
    sets: Vec<(Vec<usize>, DMatrix<f64>)>,
    /// Which of them is that of an output.
    of: Vec<usize>,
}

impl Fits {
    /// Of what the units put out, and 1 ((m + 1) x N), and where outputs are `told` (K x N); with the worst condition
    /// number. `None` where an output is not determined.
    fn new(hidden: &DMatrix<f64>, told: &DMatrix<bool>) -> Option<(Fits, f64)> {
        let mut fits = Fits { sets: Vec::new(), of: Vec::new() };
        let mut worst: f64 = 0.0;
        for row in told.row_iter() {
            let points: Vec<usize> = (0..row.len()).filter(|&j| row[j]).collect();
            let known = fits.sets.iter().position(|(same, _)| *same == points);
            fits.of.push(known.unwrap_or(fits.sets.len()));
            if known.is_none() {
                let (dual, condition) = dual(&hidden.select_columns(&points).transpose())?;
                worst = worst.max(condition);
                fits.sets.push((points, dual));
            }
        }
        Some((fits, worst))
    }

    fn points(&self, output: usize) -> &[usize] {
        &self.sets[self.of[output]].0
    }

    fn dual(&self, output: usize) -> &DMatrix<f64> {
        &self.sets[self.of[output]].1
    }

    /// The weights (K x (m + 1)) that make the `answers` (K x N).
    fn weights(&self, answers: &DMatrix<f64>) -> DMatrix<f64> {
        let terms = self.sets[0].1.ncols();
        let mut weights = DMatrix::zeros(self.of.len(), terms);
        for (set, (points, dual)) in self.sets.iter().enumerate() {
            let outputs: Vec<usize> = (0..self.of.len()).filter(|&k| self.of[k] == set).collect();
            let some = answers.select_rows(&outputs).select_columns(points);
            for (&k, row) in outputs.iter().zip(product(&some, dual).row_iter()) {
                weights.set_row(k, &row);
            }
        }
        weights
    }

    /// Standard deviation of a value of every output by the residuals of the weights (K x N).
    fn sigmas(&self, residuals: &DMatrix<f64>) -> Vec<f64> {
        let of = |k: usize| {
            let squares = self.points(k).iter().map(|&j| residuals[(k, j)].powi(2));
            (squares.sum::<f64>() / self.freedom(k)).sqrt()
        };
        (0..self.of.len()).map(of).collect()
    }

    /// Points more than weights.
    fn freedom(&self, output: usize) -> f64 {
        let (points, terms) = self.dual(output).shape();
        points.saturating_sub(terms).max(1) as f64
    }
}

/// What the weights are off by where the hidden layers are those of a network `drawn` from what the values leave open:
/// to first order, with the dual basis of the fit.
fn shifted(drawn: &Network, fitted: &Answers, fits: &Fits, weights: &DMatrix<f64>) -> DMatrix<f64> {
    let there = with_ones(drawn.hidden(&fitted.points));
    fits.weights(&(&fitted.answers - product(weights, &there)))
}

/// Standard deviation of a value of every output beside some of these points, by differences of values.
pub fn noise(cx: &mut Context<'_>, points: &DMatrix<f64>) -> Result<Vec<f64>, Halt> {
    let rng = &mut draws::stream(cx.seed, "outputs accuracy", 0);
    let some = points.columns(0, points.ncols().min(OUTPUT_NOISE_LINES)).into_owned();
    Ok(noise_of_outputs(cx.f, &some, cx.land, rng)?.0)
}

/// The same with the rounding of the answers.
fn accuracies(noise: &[f64], fitted: &Answers) -> Vec<f64> {
    let rounded = fitted.answers.row_iter().map(|row| f64::EPSILON * row.amax());
    noise.iter().zip(rounded).map(|(&noise, rounded)| noise.max(rounded)).collect()
}

/// Bound on the errors of weights and offsets, relative to the largest entry of each, at least 1.
fn bound(weights: &DMatrix<f64>, (fits, sigma): (&Fits, &[f64]), drawn: &[DMatrix<f64>]) -> f64 {
    let (outputs, terms) = weights.shape();
    let freedom = (0..outputs).map(|k| fits.freedom(k)).fold(f64::INFINITY, f64::min);
    // P(|z| > q) <= exp(-q^2 / 2), for all weights at once; sigma itself is uncertain.
    let quantile = (2.0 * (weights.len() as f64 / BOUND_EXCEEDED).ln()).sqrt()
        * (1.0 + SIGMA_DEVIATIONS / (2.0 * freedom).sqrt());
    let errors = DMatrix::from_fn(outputs, terms, |k, j| {
        let own = sigma[k].powi(2) * fits.dual(k).column(j).norm_squared();
        let by_hidden: f64 = drawn.iter().map(|shift| shift[(k, j)].powi(2)).sum();
        let by_hidden = by_hidden / drawn.len().max(1) as f64;
        quantile * (own + DRAWN_DEVIATION.powi(2) * by_hidden).sqrt()
            + PARAMETER_ROUNDING * f64::EPSILON * weights[(k, j)].abs()
    });
    let m = terms - 1;
    let of = |matrix: &DMatrix<f64>, from: usize, n: usize| matrix.columns(from, n).into_owned();
    let c = relative(of(weights, 0, m).as_slice(), of(&errors, 0, m).as_slice());
    c.max(relative(of(weights, m, 1).as_slice(), of(&errors, m, 1).as_slice()))
}

/// The network of all outputs, and what is open in it.
struct All<'a> {
    network: &'a Network,
    /// What was undone before the answers were had.
    link: Link,
    plausible: &'a [Network],
    drawn: &'a [DMatrix<f64>],
    weights: &'a DMatrix<f64>,
}

/// Of all outputs the worst.
struct Seen {
    residual: f64,
    deviating: usize,
    excess: f64,
    mean_excess: f64,
}

impl All<'_> {
    /// Standard deviations of the values that the weights were fitted to, by what is known of their accuracy and of the
    /// hidden layers.
    fn expected(
        &self,
        land: &Landscape,
        fitted: &Answers,
        (fits, accuracy): (&Fits, &[f64]),
    ) -> Vec<f64> {
        let open = self.open(&fitted.points);
        let of = |k: usize| {
            let growth = growth(land, fitted.answers.row(k).variance().sqrt());
            let square = |&j: &usize| {
                let noise = accuracy[k] + growth * fitted.points.column(j).norm();
                noise.hypot(self.link.rounding(fitted.answers[(k, j)])).powi(2) + open[(k, j)]
            };
            let points = fits.points(k);
            (points.iter().map(square).sum::<f64>() / points.len() as f64).sqrt()
        };
        (0..accuracy.len()).map(of).collect()
    }

    /// The held-out points and their answers, output by output.
    fn held_out(
        &self,
        cx: &mut Context<'_>,
        (points, answers): (&DMatrix<f64>, &DMatrix<f64>),
        told: DMatrix<bool>,
        (sigma, accuracy): (&[f64], &[f64]),
    ) -> Result<Seen, Halt> {
        let outputs = self.network.logits(points);
        let mut residuals = &outputs - answers;
        let open = self.open(points);
        let norms: Vec<f64> = points.column_iter().map(|x| x.norm()).collect();
        let mut ratios = Vec::with_capacity(residuals.nrows());
        for k in 0..residuals.nrows() {
            let growth = growth(cx.land, answers.row(k).variance().sqrt());
            let mut ratio = |j: usize| {
                let noise = sigma[k].max(accuracy[k]) + growth * norms[j];
                if told[(k, j)] {
                    let noise = noise.hypot(self.link.rounding(answers[(k, j)]));
                    return residuals[(k, j)].abs() / (noise * noise + open[(k, j)]).sqrt();
                }
                // The output is lost, but not what it is behind the link.
                let (there, expected) = (answers[(k, j)], outputs[(k, j)]);
                let behind = self.link.between(there, expected);
                residuals[(k, j)] = behind;
                let noise = (noise * noise + open[(k, j)]).sqrt();
                let slope = self.link.slope(expected).max(self.link.slope(there));
                behind.abs() / (slope * noise + f64::EPSILON * self.link.largest())
            };
            ratios.push((0..norms.len()).map(&mut ratio).collect());
        }
        let (groups, _) = by_distance(points);
        let mut held_out = Ratios { points, groups, residuals, open, told, ratios };
        held_out.beside_suspects(cx)?;
        held_out.by_distance(cx)?;
        Ok(held_out.worst())
    }

    /// Variances of the outputs by what the values leave open in the network, K x n.
    fn open(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let outputs = self.network.logits(points);
        let mut variance = DMatrix::zeros(outputs.nrows(), outputs.ncols());
        for (plausible, shift) in self.plausible.iter().zip(self.drawn) {
            let there = with_ones(plausible.hidden(points));
            let change = product(&(self.weights + shift), &there) - &outputs;
            variance += change.map(|c| c * c / self.plausible.len() as f64);
        }
        variance
    }
}

/// Residuals of all outputs at the held-out points over what is expected of them.
struct Ratios<'a> {
    points: &'a DMatrix<f64>,
    /// Points of similar distance, nearest first.
    groups: Vec<Vec<usize>>,
    /// K x n.
    residuals: DMatrix<f64>,
    /// Variances by what the values leave open in the network, K x n.
    open: DMatrix<f64>,
    /// Where the answers tell the outputs, K x n; elsewhere residuals are those behind the link.
    told: DMatrix<bool>,
    /// Output by output.
    ratios: Vec<Vec<f64>>,
}

impl Ratios<'_> {
    /// Takes the variance `square` of the noise of output `k` at point `j`, if it is more than was expected.
    fn explain(&mut self, k: usize, j: usize, square: f64) {
        if !self.told[(k, j)] {
            return;
        }
        let there = self.residuals[(k, j)].abs() / (square + self.open[(k, j)]).sqrt();
        self.ratios[k][j] = self.ratios[k][j].min(there);
    }

    /// Far out a steep unit amplifies the rounding of x: the noise is measured anew beside points that stand out.
    fn beside_suspects(&mut self, cx: &mut Context<'_>) -> Result<(), Halt> {
        let worst = |j: usize| self.ratios.iter().map(|of| of[j]).fold(0.0, f64::max);
        let suspects = standing_out(&(0..self.points.ncols()).map(worst).collect::<Vec<_>>());
        if suspects.is_empty() {
            return Ok(());
        }
        let rng = &mut draws::stream(cx.seed, "outputs suspects", 0);
        let beside = self.points.select_columns(&suspects);
        let (_, noise) = noise_of_outputs(cx.f, &beside, cx.land, rng)?;
        for (k, noise) in noise.iter().enumerate() {
            for (&j, &here) in suspects.iter().zip(noise) {
                self.explain(k, j, here * here);
            }
        }
        Ok(())
    }

    /// The general rule for the noise is crude: where it explains less than the mean over points of some distance, the noise
    /// is measured at some of them.
    fn by_distance(&mut self, cx: &mut Context<'_>) -> Result<(), Halt> {
        let rng = &mut draws::stream(cx.seed, "outputs distances", 0);
        for group in self.groups.clone() {
            let group_alone = std::slice::from_ref(&group);
            if !self.ratios.iter().any(|of| means(group_alone, of)[0] > MOST_GROUP_MEAN) {
                continue;
            }
            let some: Vec<usize> =
                group.iter().copied().step_by(group.len().div_ceil(GROUP_NOISE_LINES)).collect();
            let beside = self.points.select_columns(&some);
            let (_, noise) = noise_of_outputs(cx.f, &beside, cx.land, rng)?;
            for (k, noise) in noise.iter().enumerate() {
                let square = noise.iter().map(|n| n * n).sum::<f64>() / noise.len() as f64;
                group.iter().for_each(|&j| self.explain(k, j, square));
            }
        }
        Ok(())
    }

    /// Of all outputs the worst.
    fn worst(&self) -> Seen {
        let residual = self.residuals.amax();
        let mut seen = Seen { residual, deviating: 0, excess: 0.0, mean_excess: 0.0 };
        for ratios in &self.ratios {
            let beyond = ratios.iter().filter(|&&ratio| ratio.is_nan() || ratio > DEVIATES).count();
            seen.deviating = seen.deviating.max(beyond);
            seen.excess = ratios.iter().copied().fold(seen.excess, f64::max);
            seen.mean_excess =
                means(&self.groups, ratios).into_iter().fold(seen.mean_excess, f64::max);
        }
        seen
    }
}

/// What the accuracy of an output of this spread loses per unit of |x|, by what that of the mixture does.
fn growth(land: &Landscape, spread: f64) -> f64 {
    land.noise_growth * spread / land.spread
}
