//! Stage 8: fresh held-out queries, judged against the accuracy of the values and what it leaves open in
//! the fit; and the bound on the parameter error.

use nalgebra::{DMatrix, DVector};

use super::tolerances::{
    COMMON_SHARE, DEVIATES, DISTANCE_GROUPS, HELD_OUT_POINTS, HELD_OUT_SCALES, MOST_GROUP_MEAN,
    MOST_MISFIT, MOST_SUSPECTS, NOISE_DISPROVED, POISSON_BISECTIONS, POISSON_BRACKET,
    SHARE_CONFIDENCE, SUSPECT_SHARE, TIMES_A_FEW,
};
use super::uncertainty::Uncertainty;
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::{Certified, ResidualsAt};
use crate::identify::failure::Halt;
use crate::identify::fit::sample::Sample;
use crate::identify::survey::landscape::Landscape;
use crate::identify::survey::probe::noise_here;
use crate::network::Link;
use crate::network::model::Model;
use crate::oracle::{Mixture, Oracle, OracleError};
use crate::ranks::Team;

/// What the certificate found.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Largest |network - f| on the held-out points.
    pub residual: f64,
    /// Held-out points.
    pub held_out: usize,
    /// Of these, how many deviate from the network.
    pub deviating: usize,
    /// The largest ratio of a held-out residual to the standard deviation expected of it.
    pub excess: f64,
    /// The largest root mean square of that ratio over points of similar distance.
    pub mean_excess: f64,
    /// Standard deviation of a value by the residuals of the fit.
    pub sigma: f64,
    /// The same by differences of values, whatever the network.
    pub accuracy: f64,
    /// Bound on the parameter error, relative to the largest entry of each tensor (at least 1).
    pub error_bound: f64,
}

impl Certificate {
    /// Does the network differ from f by the oracle's errors and those of the fit alone?
    pub fn at_accuracy(&self) -> bool {
        self.fits() && self.deviating == 0 && self.mean_excess <= MOST_GROUP_MEAN
    }

    /// Does it differ by a little more than that, everywhere? Errors of a few parameters show at all points near the
    /// origin at once, and other rows have others.
    pub fn nearly_at_accuracy(&self) -> bool {
        let near = MOST_GROUP_MEAN..DEVIATES;
        self.fits() && self.deviating == 0 && near.contains(&self.mean_excess)
    }

    /// Are the residuals of the fit no larger than the errors of the values?
    pub fn fits(&self) -> bool {
        self.sigma <= MOST_MISFIT * self.accuracy
    }

    /// Do all held-out points agree but for a few?
    pub fn all_but_a_few(&self) -> bool {
        self.deviating > 0 && TIMES_A_FEW * self.deviating <= self.held_out
    }

    /// The share of deviating points among all that might have been asked is below this, with a
    /// confidence of 95 %.
    pub fn deviating_share_below(&self) -> f64 {
        (poisson_upper(self.deviating) / self.held_out as f64).min(1.0)
    }
}

/// The mean of a Poisson variable that is at most `seen` with a probability of 5 %; 3.0 for 0.
fn poisson_upper(seen: usize) -> f64 {
    let at_most = |mean: f64| {
        let mut logarithm = -mean;
        let mut sum = logarithm.exp();
        for k in 1..=seen {
            logarithm += (mean / k as f64).ln();
            sum += logarithm.exp();
        }
        sum
    };
    let (mut low, mut high) =
        (seen as f64, seen as f64 + POISSON_BRACKET * (1.0 + seen as f64).sqrt());
    for _ in 0..POISSON_BISECTIONS {
        let middle = 0.5 * (low + high);
        if at_most(middle) > 1.0 - SHARE_CONFIDENCE { low = middle } else { high = middle }
    }
    high
}

/// Fresh points, and what f is there once it was asked: all attempts and rounds of a run face the same ones, so that
/// a rare deviation has one chance to pass and not one an attempt.
#[derive(Clone, Debug)]
pub struct HeldOut {
    /// d x n.
    points: DMatrix<f64>,
    /// What values are.
    mixture: Mixture,
    /// What was undone before they were had.
    link: Link,
    answers: Option<DMatrix<f64>>,
}

impl HeldOut {
    /// Nothing is asked yet. Values are those of this mixture of the outputs, of which the `link` was undone.
    pub fn new(points: DMatrix<f64>, mixture: Mixture, link: Link) -> Self {
        HeldOut { points, mixture, link, answers: None }
    }

    /// The points (d x n), and what all outputs are there (K x n).
    pub fn asked(
        &mut self,
        f: &mut dyn Oracle,
    ) -> Result<(&DMatrix<f64>, &DMatrix<f64>), OracleError> {
        let answers = match self.answers.take() {
            Some(answers) => answers,
            None => f.outputs(&self.points)?,
        };
        Ok((&self.points, self.answers.insert(answers)))
    }

    /// Is this output a part of the values?
    pub fn has(&self, output: usize) -> bool {
        self.mixture.has(output)
    }

    /// Values at the points, and what the rounding of answers behind the link leaves open in each.
    fn values(&mut self, f: &mut dyn Oracle) -> Result<(DVector<f64>, Vec<f64>), OracleError> {
        let (mixture, link) = (self.mixture.clone(), self.link);
        let answers = self.asked(f)?.1;
        let rounding = |outputs: nalgebra::DVectorView<'_, f64>| match link {
            Link::None => 0.0,
            _ => mixture.deviation(outputs.iter().map(|&z| link.rounding(z))),
        };
        Ok((mixture.of(answers), answers.column_iter().map(rounding).collect()))
    }
}

/// The points of a pipeline that may ask anywhere, d x [`HELD_OUT_POINTS`].
pub fn points(land: &Landscape, d: usize, seed: u64) -> DMatrix<f64> {
    let mut points = draws::gaussian(&mut draws::stream(seed, "certify", 0), d, HELD_OUT_POINTS);
    for (k, mut x) in points.column_iter_mut().enumerate() {
        x *= land.scale * HELD_OUT_SCALES[k % HELD_OUT_SCALES.len()];
    }
    points
}

/// What the fitted values say of the network fitted to them.
pub struct Support<M> {
    /// How many there are.
    pub count: usize,
    /// Standard deviation of a value by the residuals.
    pub sigma: f64,
    /// The same as it is expected to be, by differences of values.
    pub expected: f64,
    /// The largest of them.
    pub largest: f64,
    /// How far from the origin they go.
    pub farthest: f64,
    /// Where some of them are, all over; `None` where they count by their distance, so that `sigma` is that of values near
    /// the origin.
    pub places: Option<DMatrix<f64>>,
    /// What they leave open; `None` where the Jacobian is singular to working precision.
    pub uncertainty: Option<Uncertainty<M>>,
}

impl<M: Model> Support<M> {
    /// Networks that the values cannot tell from the one fitted to them.
    pub fn plausible(self) -> Vec<M> {
        self.uncertainty.map_or(Vec::new(), |uncertainty| uncertainty.plausible)
    }

    /// Of `network`, fitted to `sample` all at once.
    pub fn of_sample(
        network: &M,
        sample: &Sample,
        land: &Landscape,
        (seed, team): (u64, &Team),
    ) -> Self {
        let count = sample.values.len();
        let some: Vec<usize> = (0..count).step_by(count.div_ceil(MOST_SUSPECTS)).collect();
        Support {
            count,
            sigma: sample.sigma(network),
            expected: land.noise_over(sample.points.column_iter().map(|x| x.norm())),
            largest: sample.values.amax(),
            farthest: sample.points.column_iter().map(|x| x.norm()).fold(0.0, f64::max),
            places: Some(sample.points.select_columns(&some)),
            uncertainty: Uncertainty::new(network, sample, (land.noise_near, seed), team),
        }
    }
}

/// Tests `network` on fresh points and bounds the error of its parameters from its `support`; around the points
/// that stand out, f is asked within a tenth of the natural scale.
pub fn certify<M: Model>(
    cx: &mut Context<'_>,
    network: &M,
    support: &Support<M>,
    held_out: &mut HeldOut,
) -> Result<Certificate, Halt> {
    let Context { f, land, seed, evidence, .. } = cx;
    let (f, land, seed): (&mut dyn Oracle, _, _) = (*f, *land, *seed);
    let (values, rounding) = held_out.values(f)?;
    let points = &held_out.points;
    let residuals = network.values(points) - &values;
    let sigma = support.sigma;
    let accuracy = accuracy(f, land, support, (points, seed))?;
    // One wrong value while the noise was measured makes noise of everything; the fit shows better.
    let shown = (NOISE_DISPROVED * sigma / accuracy).min(1.0);
    // Rounding errors are larger where values are: what the fit shows of them holds elsewhere too.
    let usual = if sigma <= MOST_MISFIT * accuracy { sigma } else { 0.0 };
    let uncertainty = support.uncertainty.as_ref();
    let prediction = uncertainty.map(|u| u.prediction(network, points, &f.team()));
    let ratio = |k: usize, noise: f64| {
        let claimed = shown * land.noise_at(points.column(k).norm());
        let noise = noise.max(usual).max(claimed);
        let open = prediction.as_ref().map_or(0.0, |variance| variance[k]);
        residuals[k].abs() / (noise * noise + rounding[k] * rounding[k] + open).sqrt()
    };
    let mut ratios: Vec<f64> = (0..points.ncols()).map(|k| ratio(k, 0.0)).collect();
    let suspects = standing_out(&ratios);
    if !suspects.is_empty() {
        // The general rule for the noise is crude far out, where a steep unit amplifies the rounding of
        // x: measure it beside the very points that stand out.
        let mut rng = draws::stream(seed, "suspects", 0);
        let noise = noise_here(f, &points.select_columns(&suspects), land, &mut rng)?;
        for (&k, here) in suspects.iter().zip(noise) {
            ratios[k] = ratio(k, here);
        }
    }
    // Roundings of one arithmetic are alike at points where the same units are saturated: more values do not make less of
    // what they share.
    let common = if land.rounds_points() { COMMON_SHARE } else { 0.0 };
    let bound = |u: &Uncertainty<M>| u.bound.max(common * u.dependent);
    let (groups, farthest) = by_distance(points);
    let means = means(&groups, &ratios);
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let certificate = Certificate {
        residual: residuals.amax(),
        held_out: points.ncols(),
        deviating: ratios.iter().filter(|&&ratio| ratio > DEVIATES).count(),
        excess: most(&ratios),
        mean_excess: most(&means),
        sigma,
        accuracy,
        error_bound: uncertainty.map_or(f64::INFINITY, bound),
    };
    let u = uncertainty;
    evidence.certify.push(Certified {
        held_out: certificate.held_out,
        farthest,
        residual: certificate.residual,
        excess: certificate.excess,
        excess_allowed: DEVIATES,
        mean_excess: means,
        by_distance: groups.iter().map(|group| residuals_at(group, points, &residuals)).collect(),
        mean_excess_allowed: MOST_GROUP_MEAN,
        deviating: certificate.deviating,
        deviating_share_below: certificate.deviating_share_below(),
        sigma,
        accuracy,
        fitted: support.count,
        condition: u.map(|u| u.condition),
        curvature: u.map(|u| u.curvature),
        cramer_rao: u.map(|u| u.cramer_rao),
        error_bound: certificate.error_bound,
        error_bound_dependent: u.map(|u| u.dependent),
        error_bound_by_tensor: u.map_or(Vec::new(), |u| u.tensor_bounds(common)),
    });
    Ok(certificate)
}

/// Standard deviation of the fitted values by differences of values, whatever the network; where the residuals
/// of the fit are larger it is measured anew where some of the fitted values are, or at some of the held-out points.
fn accuracy<M>(
    f: &mut dyn Oracle,
    land: &Landscape,
    support: &Support<M>,
    (points, seed): (&DMatrix<f64>, u64),
) -> Result<f64, Halt> {
    // Sums of units are rounded at their largest, wherever the noise was measured.
    let mut accuracy = support.expected.max(f64::EPSILON * support.largest);
    if support.sigma > MOST_MISFIT * accuracy {
        // Perhaps the noise is larger where values are, as where steep units amplify the rounding of x: measure it there.
        let inside = (0..points.ncols()).filter(|&k| points.column(k).norm() <= support.farthest);
        let all_over =
            || points.select_columns(&inside.take(MOST_SUSPECTS).collect::<Vec<usize>>());
        let places = support.places.clone().unwrap_or_else(all_over);
        let mut rng = draws::stream(seed, "accuracy", 0);
        let noise = noise_here(f, &places, land, &mut rng)?;
        let square = noise.iter().map(|n| n * n).sum::<f64>() / noise.len().max(1) as f64;
        accuracy = accuracy.max(square.sqrt());
    }
    Ok(accuracy)
}

/// The points that stand out by their `ratios`, the worst first.
pub fn standing_out(ratios: &[f64]) -> Vec<usize> {
    let mut suspects: Vec<usize> =
        (0..ratios.len()).filter(|&k| ratios[k] > SUSPECT_SHARE * DEVIATES).collect();
    suspects.sort_by(|&a, &b| ratios[b].total_cmp(&ratios[a]));
    suspects.truncate(MOST_SUSPECTS);
    suspects
}

/// Groups of points of similar distance from the origin, nearest first, and the largest distance.
pub fn by_distance(points: &DMatrix<f64>) -> (Vec<Vec<usize>>, Option<f64>) {
    let norms: Vec<f64> = points.column_iter().map(|x| x.norm()).collect();
    let mut order: Vec<usize> = (0..norms.len()).collect();
    order.sort_by(|&i, &j| norms[i].total_cmp(&norms[j]));
    let groups = order.chunks(norms.len().div_ceil(DISTANCE_GROUPS)).map(<[usize]>::to_vec);
    (groups.collect(), order.last().map(|&k| norms[k]))
}

/// The `residuals` at the `group` of the `points`.
fn residuals_at(group: &[usize], points: &DMatrix<f64>, residuals: &DVector<f64>) -> ResidualsAt {
    let squares: f64 = group.iter().map(|&k| residuals[k] * residuals[k]).sum();
    ResidualsAt {
        distance: group.iter().map(|&k| points.column(k).norm()).fold(0.0, f64::max),
        largest: group.iter().map(|&k| residuals[k].abs()).fold(0.0, f64::max),
        mean: (squares / group.len() as f64).sqrt(),
    }
}

/// Root mean square of the `ratios` over each of the `groups`.
pub fn means(groups: &[Vec<usize>], ratios: &[f64]) -> Vec<f64> {
    let mean = |group: &Vec<usize>| {
        (group.iter().map(|&k| ratios[k] * ratios[k]).sum::<f64>() / group.len() as f64).sqrt()
    };
    groups.iter().map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_deviating_points_is_that_of_poisson() {
        // Table of Poisson upper limits at 95 %.
        for (seen, upper) in [(0, 2.996), (1, 4.744), (2, 6.296), (10, 16.962), (100, 118.08)] {
            assert!((poisson_upper(seen) - upper).abs() < 6e-3, "{seen}: {}", poisson_upper(seen));
        }
        assert!(poisson_upper(4000) > 4000.0 && poisson_upper(4000) < 4400.0);
    }
}
