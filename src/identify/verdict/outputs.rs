//! Several outputs. A random mixture of them is one function with all their hidden units, and is identified as such; the
//! weights of every output then are a linear least squares on what the last hidden layer puts out, and every output is
//! tested on the held-out points by itself.

use nalgebra::{DMatrix, DVector};

use super::certify::{Certificate, HeldOut, by_distance, means, standing_out};
use super::outcome::Outcome;
use super::tolerances::{
    BOUND_EXCEEDED, DEVIATES, DRAWN_DEVIATION, GROUP_NOISE_LINES, MERE_ROUNDING, MIXED_SHARE,
    MOST_GROUP_MEAN, OUTPUT_NOISE_LINES, OUTPUT_POINTS, OUTPUT_SPARE_POINTS, PARAMETER_ROUNDING,
    SIGMA_DEVIATIONS,
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
use crate::network::Network;
use crate::stage::Stage;

/// Weights of a mixture in which all outputs have about the same part, from their answers (K x n).
pub fn mixture(answers: &DMatrix<f64>, seed: u64) -> DVector<f64> {
    let rng = &mut draws::stream(seed, "mixture", 0);
    let drawn = draws::gaussian(rng, answers.nrows(), 1);
    let weight = |(k, drawn): (usize, &f64)| {
        let row = answers.row(k);
        let spread = row.variance().sqrt();
        // A constant has a spread of rounding.
        let varies = spread > MERE_ROUNDING * f64::EPSILON * row.amax();
        // Away from 0, or an output would hardly be seen.
        let size = MIXED_SHARE + (1.0 - MIXED_SHARE) * drawn.abs().min(1.0);
        if varies { size.copysign(*drawn) / spread } else { 0.0 }
    };
    let weights = DVector::from_iterator(drawn.len(), drawn.iter().enumerate().map(weight));
    // All constant: whoever asks for the mixture is to see it.
    if weights.amax() > 0.0 { weights } else { DVector::repeat(answers.nrows(), 1.0) }
}

/// How many points the weights of the outputs are fitted to.
pub fn points_for(network: &Network) -> usize {
    OUTPUT_POINTS * (network.c.nrows() + 1) + OUTPUT_SPARE_POINTS
}

/// Points (d x n) and the answers of all outputs there (K x n).
pub struct Answers {
    pub points: DMatrix<f64>,
    pub answers: DMatrix<f64>,
}

/// The network of all outputs from that of their mixture.
pub fn apart(
    cx: &mut Context<'_>,
    mixed: Outcome<Network>,
    (fitted, held_out): (&Answers, &mut HeldOut),
    tolerance: f64,
) -> Result<Outcome<Network>, Halt> {
    let Some(mixture) = &mixed.network else { return Ok(mixed) };
    let held_out = held_out.asked(cx.f)?;
    let hidden = with_ones(mixture.hidden(&fitted.points));
    // Columns are units: D^T M = 1.
    let (dual, condition) = dual(&hidden.transpose()).ok_or_else(|| {
        Failure::new(Stage::Outputs, "the hidden units do not determine the weights of the outputs")
    })?;
    let weights = product(&fitted.answers, &dual);
    let network = with_outputs(mixture, &weights);
    let drawn: Vec<DMatrix<f64>> =
        mixed.plausible.iter().map(|drawn| shifted(drawn, fitted, &dual, &weights)).collect();
    let accuracy = accuracies(cx, fitted)?;
    let sigma = sigmas(&(product(&weights, &hidden) - &fitted.answers), weights.ncols());
    let all =
        All { network: &network, plausible: &mixed.plausible, drawn: &drawn, weights: &weights };
    let expected = all.expected(cx.land, fitted, &accuracy);
    let seen = all.held_out(cx, held_out, (&sigma, &accuracy))?;
    let bound = bound(&weights, (&dual, &sigma), &drawn, fitted.points.ncols());
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

/// What the weights are off by where the hidden layers are those of a network `drawn` from what the values leave open:
/// to first order, with the dual basis of the fit.
fn shifted(
    drawn: &Network,
    fitted: &Answers,
    dual: &DMatrix<f64>,
    weights: &DMatrix<f64>,
) -> DMatrix<f64> {
    let there = with_ones(drawn.hidden(&fitted.points));
    let left = &fitted.answers - product(weights, &there);
    product(&left, dual)
}

/// Standard deviation of a value of every output near the origin, by differences of values.
fn accuracies(cx: &mut Context<'_>, fitted: &Answers) -> Result<Vec<f64>, Halt> {
    let rng = &mut draws::stream(cx.seed, "outputs accuracy", 0);
    let count = fitted.points.ncols().min(OUTPUT_NOISE_LINES);
    let some = fitted.points.columns(0, count).into_owned();
    let (noise, _) = noise_of_outputs(cx.f, &some, cx.land, rng)?;
    let rounded = fitted.answers.row_iter().map(|row| f64::EPSILON * row.amax());
    Ok(noise.into_iter().zip(rounded).map(|(noise, rounded)| noise.max(rounded)).collect())
}

/// The same by the residuals of the weights (K x N).
fn sigmas(residuals: &DMatrix<f64>, terms: usize) -> Vec<f64> {
    let freedom = residuals.ncols().saturating_sub(terms).max(1) as f64;
    residuals.row_iter().map(|row| row.norm() / freedom.sqrt()).collect()
}

/// Bound on the errors of weights and offsets, relative to the largest entry of each, at least 1.
fn bound(
    weights: &DMatrix<f64>,
    (dual, sigma): (&DMatrix<f64>, &[f64]),
    drawn: &[DMatrix<f64>],
    count: usize,
) -> f64 {
    let (outputs, terms) = weights.shape();
    let freedom = count.saturating_sub(terms).max(1) as f64;
    // P(|z| > q) <= exp(-q^2 / 2), for all weights at once; sigma itself is uncertain.
    let quantile = (2.0 * (weights.len() as f64 / BOUND_EXCEEDED).ln()).sqrt()
        * (1.0 + SIGMA_DEVIATIONS / (2.0 * freedom).sqrt());
    let errors = DMatrix::from_fn(outputs, terms, |k, j| {
        let own = sigma[k].powi(2) * dual.column(j).norm_squared();
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
    fn expected(&self, land: &Landscape, fitted: &Answers, accuracy: &[f64]) -> Vec<f64> {
        let open = self.open(&fitted.points);
        let of = |k: usize| {
            let growth = growth(land, fitted.answers.row(k).variance().sqrt());
            let square = |(j, x): (usize, nalgebra::DVectorView<'_, f64>)| {
                (accuracy[k] + growth * x.norm()).powi(2) + open[(k, j)]
            };
            let squares = fitted.points.column_iter().enumerate().map(square);
            (squares.sum::<f64>() / fitted.points.ncols() as f64).sqrt()
        };
        (0..accuracy.len()).map(of).collect()
    }

    /// The held-out points and their answers, output by output.
    fn held_out(
        &self,
        cx: &mut Context<'_>,
        (points, answers): (&DMatrix<f64>, &DMatrix<f64>),
        (sigma, accuracy): (&[f64], &[f64]),
    ) -> Result<Seen, Halt> {
        let residuals = self.network.logits(points) - answers;
        let open = self.open(points);
        let norms: Vec<f64> = points.column_iter().map(|x| x.norm()).collect();
        let mut ratios = Vec::with_capacity(residuals.nrows());
        for k in 0..residuals.nrows() {
            let growth = growth(cx.land, answers.row(k).variance().sqrt());
            let ratio = |j: usize| {
                let noise = sigma[k].max(accuracy[k]) + growth * norms[j];
                residuals[(k, j)].abs() / (noise * noise + open[(k, j)]).sqrt()
            };
            ratios.push((0..norms.len()).map(ratio).collect());
        }
        let (groups, _) = by_distance(points);
        let mut held_out = Ratios { points, groups, residuals, open, ratios };
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
    /// Output by output.
    ratios: Vec<Vec<f64>>,
}

impl Ratios<'_> {
    /// Takes the variance `square` of the noise of output `k` at point `j`, if it is more than was expected.
    fn explain(&mut self, k: usize, j: usize, square: f64) {
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
