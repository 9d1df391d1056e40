//! One hidden layer: f(x) = c0 + sum_i c_i phi(a_i . x - theta_i), any norms.
//!
//! Every Hessian lies in span{a_i a_i^T}, near the centre of sampling as well as far from it, so that
//! this pipeline is local and respects a domain.
//!
//! | stage | what it finds | how |
//! |---|---|---|
//! | probe | accuracy and natural scale of f | differences of values |
//! | stack | m and span{a_i a_i^T} | Hessians around the centre; their singular values fall after m  |
//! | directions | a_i / norm | common diagonalisation of the Hessians where m <= d ([`joint_diagonalisation`](crate::algebra::joint_diagonalisation)), rank-one search in the span |
//! | profiles | norms and shifts | the coefficient of a_i a_i^T is a function of a_i . x alone ([`profile`]) |
//! | refine | all parameters, c and c0 by linear least squares first | Levenberg-Marquardt |
//! | certify | residual and error bound | fresh values; the covariance of the fit |

mod directions;
pub mod profile;
mod stack;

use nalgebra::{DMatrix, DVector};
use serde_json::json;

use crate::algebra::linalg::least_squares;
use crate::draws;
use crate::identify::fit::refine::{self, Sample};
use crate::identify::survey::probe::{self, Landscape};
use crate::identify::verdict::certify;
use crate::identify::verdict::outcome::{Outcome, first_identified};
use crate::identify::{Evidence, Failure, Halt, Settings, Solution, Status, families};
use crate::network::Activation;
use crate::network::shallow::Shallow;
use crate::oracle::views::centred::{Centred, Region};
use crate::oracle::{Domain, Meter, Observer, Oracle, OracleError};
use stack::{Plan, Stack};

/// What a run on one hidden layer found; the width m stands for both widths.
pub type ShallowSolution = Solution<Shallow, usize>;

/// Scales of the fitted points where nothing bounds them, in natural scales.
const FITTED: [f64; 4] = [0.5, 1.0, 2.0, 8.0];

/// Identifies the network with one hidden layer behind `oracle` from values alone. Of the settings,
/// `width` is the width that is known, if any.
///
/// # Errors
/// As [`identify`](crate::identify::identify).
pub fn identify(
    oracle: &mut dyn Oracle,
    settings: &Settings,
    observer: &mut dyn Observer,
) -> Result<ShallowSolution, OracleError> {
    let d = oracle.input_dim();
    settings.validate(d)?;
    let region = Region {
        centre: settings.local.centre(d),
        radius: settings.domain_radius.unwrap_or(f64::INFINITY),
    };
    let mut domain = Domain::new(oracle, region.centre.clone(), region.radius);
    let mut run = Run {
        meter: Meter::new(&mut domain, observer, settings.max_queries).until(settings.deadline),
        settings,
        region,
        evidence: Evidence::default(),
        accuracy: None,
        width: None,
    };
    let result = run.attempts();
    let outcome = Outcome::settle(result, run.meter.stage())?;
    let width = outcome.network.as_ref().map(|n| n.dims().1).or(run.width);
    let (queries, stages) = (run.meter.total(), run.meter.stages());
    let Run { accuracy, mut evidence, .. } = run;
    if settings.domain_radius.is_some() {
        evidence.add("domain", json!({"farthest_query": domain.farthest()}));
    }
    Ok(outcome.into_solution(width, accuracy, queries, stages, evidence))
}

struct Run<'a> {
    meter: Meter<'a>,
    settings: &'a Settings,
    region: Region,
    evidence: Evidence,
    accuracy: Option<f64>,
    width: Option<usize>,
}

impl Run<'_> {
    fn attempts(&mut self) -> Result<Outcome<Shallow>, Halt> {
        let seed = self.settings.seed;
        self.meter.enter("probe");
        let centre = self.region.centre.clone();
        let mut f = Centred::new(&mut self.meter, &centre);
        let land = if self.region.is_bounded() {
            probe::probe_within(&mut f, self.region.radius, seed)?
        } else {
            probe::probe(&mut f, seed)?
        };
        self.accuracy = Some(land.noise_near);
        self.evidence.add("probe", json!(land));
        first_identified(0..self.settings.attempts.max(1), |attempt| {
            let outcome = self.attempt(&land, attempt);
            let reason = match &outcome {
                Ok(outcome) if outcome.status == Status::Identified => None,
                Ok(outcome) => Some(outcome.reason.clone()),
                Err(Halt::Failed(failure)) => Some(failure.to_string()),
                Err(Halt::Oracle(_)) => None,
            };
            if let Some(reason) = reason {
                self.meter.note(&format!("attempt {}: {reason}", attempt + 1));
            }
            outcome
        })
    }

    /// Stack and directions, then the rest by activation.
    fn attempt(&mut self, land: &Landscape, attempt: u64) -> Result<Outcome<Shallow>, Halt> {
        let Settings { seed, ascent, width, activation, .. } = *self.settings;
        let centre = self.region.centre.clone();
        self.meter.enter("stack");
        let mut f = Centred::new(&mut self.meter, &centre);
        let local = &self.settings.local;
        let plan =
            Plan { land, region: &self.region, radius: local.radius, design: local.design, width };
        let stack = stack::local_stack(&mut f, &plan, seed, attempt, &mut self.evidence)?;
        self.width = Some(stack.basis.ncols());
        self.meter.enter("directions");
        let directions = directions::directions(&stack, ascent, seed, &mut self.evidence)?;

        self.meter.enter("profiles");
        let coefficients = coefficients(&stack, &directions)?;
        let count = refine::sample_size(&self.blank(&directions));
        let sample = self.sample(land, count, attempt)?;
        first_identified(families(activation), |&phi| {
            let start = self.start(&stack, &directions, &coefficients, &sample, phi)?;
            self.finish(land, start, &sample, attempt)
        })
    }

    /// A network of the right shape, for counting.
    fn blank(&self, directions: &DMatrix<f64>) -> Shallow {
        let m = directions.ncols();
        let zeros = DVector::zeros(m);
        let (theta, c) = (zeros.clone(), zeros);
        Shallow { a: directions.clone(), theta, c, c0: 0.0, phi: Activation::Tanh }
    }

    /// Fresh points all over the region, and their values.
    fn sample(&mut self, land: &Landscape, count: usize, attempt: u64) -> Result<Sample, Halt> {
        let rng = &mut draws::stream(self.settings.seed, "shallow sample", attempt);
        let scales = FITTED.map(|s| s * land.scale);
        let points = self.region.within(0.1 * land.scale).gaussian(rng, &scales, count);
        let values = self.meter.values(&points)?;
        Ok(Sample { points, values })
    }

    /// Norms and shifts from the profiles, then c and c0 by linear least squares on the sample.
    fn start(
        &mut self,
        stack: &Stack,
        directions: &DMatrix<f64>,
        coefficients: &DMatrix<f64>,
        sample: &Sample,
        phi: Activation,
    ) -> Result<Shallow, Halt> {
        let m = directions.ncols();
        let places = directions.transpose() * &stack.points;
        let mut start = Shallow { phi, ..self.blank(directions) };
        let mut worst = 0.0f64;
        for i in 0..m {
            let t: Vec<f64> = places.row(i).iter().copied().collect();
            let values: Vec<f64> = coefficients.row(i).iter().copied().collect();
            let fit = profile::fit(&t, &values, phi)
                .ok_or_else(|| Failure::new("profiles", "a unit has no curvature at any point"))?;
            worst = worst.max(fit.misfit);
            start.a.column_mut(i).scale_mut(fit.slope);
            // Back from the centre to the origin.
            start.theta[i] = fit.shift + start.a.column(i).dot(&self.region.centre);
        }
        self.evidence.add("profiles", json!({"activation": phi, "largest_misfit": worst}));
        // The derivatives with respect to c and c0 are the last m + 1 rows of the Jacobian.
        let jt = crate::network::model::Model::jacobian_transposed(&start, &sample.points);
        let linear = jt.rows(jt.nrows() - m - 1, m + 1).transpose();
        let (weights, _) = least_squares(&linear, &sample.values, 1e-12)
            .ok_or_else(|| Failure::new("profiles", "the output weights have no least squares"))?;
        start.c.copy_from(&weights.rows(0, m));
        start.c0 = weights[m];
        Ok(start)
    }

    /// Refinement and certificate.
    fn finish(
        &mut self,
        land: &Landscape,
        start: Shallow,
        sample: &Sample,
        attempt: u64,
    ) -> Result<Outcome<Shallow>, Halt> {
        self.meter.enter("refine");
        let Settings { seed, deadline, .. } = *self.settings;
        let floor = 4.0 * land.noise_near;
        let (mut network, rms) =
            refine::refine(sample, start, floor, deadline, "refine", &mut self.evidence)?;
        if rms > 0.05 * land.spread {
            return Err(Failure::new(
                "refine",
                format!("the fit stops at a residual of {rms:.2e} (spread {:.2e})", land.spread),
            )
            .into());
        }
        if let Some(asked) = self.settings.activation {
            network = network.with_activation(asked).unwrap_or(network);
        }
        self.meter.enter("certify");
        let rng = &mut draws::stream(seed, "shallow certify", attempt);
        let scales = certify::SCALES.map(|s| s * land.scale);
        // Room for the short lines on which the noise is measured anew.
        let inner = self.region.within(0.1 * land.scale);
        let points = inner.gaussian(rng, &scales, certify::POINTS);
        let certificate = certify::certify_at(
            &mut self.meter,
            land,
            &network,
            sample,
            points,
            seed,
            &mut self.evidence,
        )?;
        let accepted = self.settings.width.is_none_or(|width| width == network.dims().1);
        Ok(Outcome::judge(network, certificate, self.settings.tolerance, accepted))
    }
}

/// Coefficients of the v_i v_i^T in every Hessian, m x N, by least squares.
fn coefficients(stack: &Stack, directions: &DMatrix<f64>) -> Result<DMatrix<f64>, Failure> {
    let mut outer = DMatrix::zeros(stack.hessians.nrows(), directions.ncols());
    for (v, mut outer) in directions.column_iter().zip(outer.column_iter_mut()) {
        crate::algebra::svec::svec_outer(v.into_owned().as_slice(), outer.as_mut_slice());
    }
    let (dual, _) = crate::algebra::linalg::dual(&outer).ok_or_else(|| {
        Failure::new("directions", "the matrices a_i a_i^T are linearly dependent")
    })?;
    Ok(dual.transpose() * &stack.hessians)
}
