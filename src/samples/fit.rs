//! From samples to a verdict: the stages in their order.

use std::ops::Range;
use std::time::Instant;

use indexmap::IndexMap;
use serde::Serialize;

use super::descent::{Optimiser, Training, merged, train};
use super::exact::{Exact, is_exact, solve};
use super::file::{SampleError, Samples};
use super::hermite::rho;
use super::moments::SIGMAS;
use super::refine::{self, Fitted};
use super::tensor_start::{Span, Start, completed};
use super::units::Units;
use super::verdict::{Terms, Verdict, judge};
use crate::identify::Status;
use crate::network::{Activation, Network, UnknownActivation};

// Statistical.
/// One in so many samples is held out.
const HELD_OUT: usize = 10;
// Derived.
/// A rho that the quadrature tells from 0.
const CONVEX: f64 = 1e-9;
// Search effort.
/// Samples that a search starts with, for each row of its normal equations. More make each step slower and each start surer.
const SAMPLES_A_ROW: usize = 20;
/// And more, so that few units are not fitted to a handful.
const SAMPLES_MORE: usize = 2000;
/// Starts whose directions come from moments; those after them are random ones in the span.
const FROM_MOMENTS: u64 = 4;
/// Units that are tried, where their number is not told, beyond those that the moments show.
const MORE_UNITS: usize = 3;
/// Steps of training.
const TRAINING_STEPS: usize = 20_000;

/// How the units are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Moments, then Levenberg-Marquardt.
    Tensor,
    /// Moments, then exact rounds: relu and leaky relu, samples without noise.
    Exact,
    /// Training from random starts by Adam, for comparison.
    Descent,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 3] = [Method::Tensor, Method::Exact, Method::Descent];

    /// The name of it in options and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Method::Tensor => "tensor",
            Method::Exact => "exact",
            Method::Descent => "descent",
        }
    }
}

/// What a fit is told.
#[derive(Clone, Debug, PartialEq)]
pub struct FitSettings {
    /// phi.
    pub activation: Activation,
    /// k; `None`: by the gap of P_2.
    pub units: Option<usize>,
    /// How.
    pub method: Method,
    /// Standard deviation of the noise of the outputs.
    pub noise: f64,
    /// Largest bound on the parameter error of an identified network.
    pub tolerance: f64,
    /// Starts at most.
    pub attempts: u64,
    /// Of every random draw.
    pub seed: u64,
}

impl FitSettings {
    /// The usual ones: no noise, a tolerance of 1e-6, 20 starts, seed 0.
    pub fn new(activation: Activation) -> FitSettings {
        FitSettings {
            activation,
            units: None,
            method: Method::Tensor,
            noise: 0.0,
            tolerance: 1e-6,
            attempts: 20,
            seed: 0,
        }
    }
}

/// What was seen on the way.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FitEvidence {
    /// Singular values of P_2 in units of the largest one of its noise.
    pub span: Vec<f64>,
    /// The same of the matrices that directions come from.
    pub moments: Vec<f64>,
    /// How fourth moments of the inputs depart from those of a Gaussian, in standard deviations.
    pub kurtosis: Option<f64>,
    /// Were the inputs whitened?
    pub whitened: Option<bool>,
    /// Which of the properties 1 to 3 of Zhong et al. the activation has.
    pub properties: [bool; 3],
    /// rho(1), which property 2 wants positive.
    pub rho: f64,
    /// Starts tried.
    pub starts: u64,
    /// Steps of Levenberg-Marquardt of the best start.
    pub steps: usize,
    /// Rounds of the exact system.
    pub rounds: Option<usize>,
    /// Departure of its solution from rank one.
    pub defect: Option<f64>,
    /// Largest correlation of what is left with functions of the inputs, in standard deviations.
    pub correlation: Option<f64>,
}

/// The result of a fit. A network that cannot be identified is a result, not an error.
#[derive(Clone, Debug)]
pub struct Fit {
    /// How it ended.
    pub status: Status,
    /// Why, in a sentence.
    pub reason: String,
    /// What may help, unless it is identified.
    pub remedy: Option<&'static str>,
    /// The network, if there is one.
    pub network: Option<Network>,
    /// What the first start began with, before anything was refined.
    pub start: Option<Units>,
    /// What held-out samples say, if there is a network.
    pub verdict: Option<Verdict>,
    /// Held-out samples.
    pub held_out: usize,
    /// Seconds by stage.
    pub seconds: IndexMap<&'static str, f64>,
    /// What was seen.
    pub evidence: FitEvidence,
}

/// Why there is no network: a reason and what may help.
type Refusal = (String, &'static str);

/// What a fit is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doing {
    /// The stage, as [`Fit::seconds`] has it.
    pub stage: &'static str,
    /// Units that are looked for; 0 before their number is known.
    pub units: usize,
    /// The start under way, from 1; 0 before the first.
    pub start: u64,
    /// Starts at most.
    pub starts: u64,
}

/// A run in progress.
struct Run<'a> {
    samples: &'a Samples,
    settings: &'a FitSettings,
    training: Range<usize>,
    held_out: Range<usize>,
    seconds: IndexMap<&'static str, f64>,
    evidence: FitEvidence,
    start: Option<Units>,
    /// Units that are looked for, and the number of the start.
    under_way: (usize, u64),
    watch: &'a mut dyn FnMut(Doing),
}

/// Fits a network of one hidden layer, without shifts and offset, to the samples, and judges it on those that it held out.
///
/// # Errors
/// Those of reading the samples, and [`SampleError::Stopped`] where [`Passes`](super::Passes) were.
pub fn fit(samples: &Samples, settings: &FitSettings) -> Result<Fit, SampleError> {
    fit_watched(samples, settings, &mut |_| {})
}

/// The same, and `watch` hears of every stage as it begins.
///
/// # Errors
/// As [`fit`].
pub fn fit_watched(
    samples: &Samples,
    settings: &FitSettings,
    watch: &mut dyn FnMut(Doing),
) -> Result<Fit, SampleError> {
    let n = samples.len();
    let held = n / HELD_OUT;
    let convexity = rho(1.0, |t| settings.activation.slope(t));
    let mut run = Run {
        samples,
        settings,
        training: 0..n - held,
        held_out: n - held..n,
        seconds: IndexMap::new(),
        evidence: FitEvidence {
            properties: of_activation(settings.activation, convexity),
            rho: convexity,
            ..FitEvidence::default()
        },
        start: None,
        under_way: (0, 0),
        watch,
    };
    let found = run.search()?;
    let mut fit = match found {
        Err((reason, remedy)) => run.ended(Status::NotIdentified, reason, Some(remedy)),
        Ok((units, fitted)) => {
            let terms = Terms {
                noise: settings.noise,
                tolerance: settings.tolerance,
                fitted,
                held_out: run.held_out.clone(),
            };
            let verdict = run.stage("verdict", |run| judge(run.samples, &units, &terms))?;
            run.evidence.correlation = verdict.correlation;
            let mut fit = run.ended(verdict.status, verdict.reason.clone(), verdict.remedy);
            fit.network = Some(Network::from(&units));
            fit.verdict = Some(verdict);
            fit
        }
    };
    fit.held_out = held;
    Ok(fit)
}

/// An activation that moments can tell, by name.
///
/// # Errors
/// Why it is none, in a sentence.
pub fn activation_named(name: &str) -> Result<Activation, String> {
    let name = name.to_ascii_lowercase();
    if ["linear", "identity", "quadratic", "square"].contains(&name.as_str()) {
        return Err(format!(
            "{name} has rho = 0, without property 2 of Zhong et al.: many networks of it have the same values, and no samples \
             tell which"
        ));
    }
    name.parse().map_err(|error: UnknownActivation| error.to_string())
}

/// Properties 1 (a slope that is nowhere negative and grows like a power at most), 2 (rho > 0) and 3 (a bounded curvature, or
/// finitely many pieces) of Zhong et al.
pub fn properties(phi: Activation) -> [bool; 3] {
    of_activation(phi, rho(1.0, |t| phi.slope(t)))
}

/// The same where rho is known.
fn of_activation(phi: Activation, rho: f64) -> [bool; 3] {
    let rising = !matches!(phi, Activation::Silu | Activation::Gelu | Activation::GeluTanh);
    [rising, rho > CONVEX, true]
}

impl Run<'_> {
    fn ended(&mut self, status: Status, reason: String, remedy: Option<&'static str>) -> Fit {
        Fit {
            status,
            reason,
            remedy,
            network: None,
            start: self.start.take(),
            verdict: None,
            held_out: 0,
            seconds: std::mem::take(&mut self.seconds),
            evidence: std::mem::take(&mut self.evidence),
        }
    }

    /// Books the seconds of a stage.
    fn stage<T>(&mut self, name: &'static str, work: impl FnOnce(&mut Self) -> T) -> T {
        let ((units, start), starts) = (self.under_way, self.settings.attempts);
        (self.watch)(Doing { stage: name, units, start, starts });
        let begun = Instant::now();
        let result = work(self);
        *self.seconds.entry(name).or_insert(0.0) += begun.elapsed().as_secs_f64();
        result
    }

    /// Units, and the samples that they were fitted to.
    fn search(&mut self) -> Result<Result<(Units, Range<usize>), Refusal>, SampleError> {
        if let Err(refusal) = self.possible() {
            return Ok(Err(refusal));
        }
        if self.settings.method == Method::Descent {
            return self.descend();
        }
        let (phi, seed) = (self.settings.activation, self.settings.seed);
        let span =
            self.stage("moments", |run| Span::of(run.samples, run.training.clone(), phi, seed))?;
        let Some(span) = span else {
            let reason = "the inputs lie in a subspace: their covariance has no inverse".to_owned();
            return Ok(Err((
                reason,
                "leave out inputs that others determine, or take more samples",
            )));
        };
        self.evidence.span = span.singular_values.clone();
        self.evidence.kurtosis = Some(span.kurtosis());
        self.evidence.whitened = Some(!span.is_standard());
        if span.kurtosis() > SIGMAS {
            let reason = format!(
                "the inputs are not Gaussian: their fourth moments depart by {:.1} standard deviations",
                span.kurtosis()
            );
            return Ok(Err((
                reason,
                "draw Gaussian inputs, of any mean and covariance; training (the method descent) needs none",
            )));
        }
        let k = self.settings.units.unwrap_or_else(|| span.count());
        if k == 0 {
            let reason = "no unit stands above the noise of the moments".to_owned();
            return Ok(Err((
                reason,
                "take more samples, or see whether the outputs belong to the inputs",
            )));
        }
        let mut found = self.of_so_many(&span, k)?;
        // Units whose weights depend on each other, or that are weak, leave fewer singular values than there are units.
        let most = self.settings.units.unwrap_or((k + MORE_UNITS).min(self.samples.inputs()));
        for k in k + 1..=most {
            if found.as_ref().is_ok_and(|found| found.residual <= self.content(&found.units)) {
                break;
            }
            let other = self.of_so_many(&span, k)?;
            if other.as_ref().is_ok_and(|other| other.residual <= self.content(&other.units)) {
                found = other;
            }
        }
        match found {
            Ok(best) => self.settle(best).map(Ok),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// The best of several starts with k units.
    fn of_so_many(
        &mut self,
        span: &Span,
        k: usize,
    ) -> Result<Result<Fitted, Refusal>, SampleError> {
        if let Err(refusal) = self.enough(k) {
            return Ok(Err(refusal));
        }
        let start =
            self.stage("moments", |run| Start::of(run.samples, run.training.clone(), span, k))?;
        let Some(start) = start else {
            return Ok(Err((
                "the moments are not finite".to_owned(),
                "see whether the inputs and outputs are of a sensible size",
            )));
        };
        self.evidence.moments = start.singular_values.clone();
        let best = self.climb(&start, k)?;
        Ok(best.ok_or_else(|| {
            ("the moments have no directions in common".to_owned(), "take more samples")
        }))
    }

    /// What can be said without a look at the samples.
    fn possible(&self) -> Result<(), Refusal> {
        let (settings, d) = (self.settings, self.samples.inputs());
        if settings.method == Method::Exact && !is_exact(settings.activation) {
            let reason = format!(
                "the exact system is one of relu and leaky_relu, not of {}",
                settings.activation
            );
            return Err((reason, "take the method tensor"));
        }
        if settings.units.is_some_and(|k| k > d && settings.method != Method::Descent) {
            let reason = format!(
                "{} units of {d} inputs: moments tell at most as many units as inputs",
                settings.units.unwrap_or(0)
            );
            return Err((reason, "identify it from queries, which tell any number of units"));
        }
        self.enough(settings.units.unwrap_or(1))
    }

    /// Are there more numbers than parameters?
    fn enough(&self, k: usize) -> Result<(), Refusal> {
        let (d, m) = (self.samples.inputs(), self.samples.outputs());
        let parameters = k * (d + m);
        let needed = (2 * parameters).max(2 * d).max(100);
        if self.held_out.len() * HELD_OUT < needed {
            let reason = format!(
                "{} samples for {parameters} parameters: {needed} are the least",
                self.samples.len()
            );
            return Err((reason, "take more samples"));
        }
        Ok(())
    }

    /// Samples that a search starts with.
    fn few(&self, k: usize) -> Range<usize> {
        let rows = k * (self.samples.inputs() + 1);
        0..self.training.end.min(SAMPLES_A_ROW * rows + SAMPLES_MORE)
    }

    /// The best of several starts, each refined on few samples; it ends with one that leaves no more than it may.
    fn climb(&mut self, start: &Start, k: usize) -> Result<Option<Fitted>, SampleError> {
        let (phi, seed) = (self.settings.activation, self.settings.seed);
        let few = self.few(k);
        let (x, y) = self.samples.part(few.clone())?;
        let mut best: Option<Fitted> = None;
        for attempt in 0..self.settings.attempts {
            self.evidence.starts += 1;
            self.under_way = (k, attempt + 1);
            let begun = self.stage("decomposition", |_| {
                let w = if attempt < FROM_MOMENTS {
                    start.directions(seed, attempt)
                } else {
                    Some(start.random_directions(seed, attempt))
                };
                completed(&w?, phi, &x, &y)
            });
            let Some(begun) = begun else { continue };
            self.start.get_or_insert_with(|| begun.clone());
            let fitted = self.stage("refinement", |run| run.refined(begun, few.clone()))?;
            let enough = self.content(&fitted.units);
            if best.as_ref().is_none_or(|best| fitted.residual < best.residual) {
                self.evidence.steps = fitted.steps;
                best = Some(fitted);
            }
            if best.as_ref().is_some_and(|best| best.residual <= enough) {
                break;
            }
        }
        Ok(best)
    }

    /// The estimate on all the samples that it needs, and those samples.
    fn settle(&mut self, best: Fitted) -> Result<(Units, Range<usize>), SampleError> {
        // Without noise a few samples hold every digit; with it all are needed.
        if self.settings.noise == 0.0 && best.residual <= self.content(&best.units) {
            let few = self.few(best.units.dims().1);
            return Ok((best.units, few));
        }
        let training = self.training.clone();
        let fitted = self.stage("refinement", |run| {
            refine::fit(run.samples, training.clone(), best.units, 0.0)
        })?;
        Ok((fitted.units, training))
    }

    fn refined(&mut self, begun: Units, few: Range<usize>) -> Result<Fitted, SampleError> {
        if self.settings.method == Method::Tensor {
            return refine::fit(self.samples, few, begun, 0.0);
        }
        let solved = match solve(self.samples, few.clone(), begun.clone())? {
            Some(exact) if exact.settled => Some(exact),
            // Too far off: nearer first.
            _ => {
                let nearer = refine::fit(self.samples, few.clone(), begun.clone(), 0.0)?;
                solve(self.samples, few.clone(), nearer.units)?
            }
        };
        let Some(Exact { units, rounds, defect, .. }) = solved else {
            return Ok(Fitted { units: begun, residual: f64::INFINITY, steps: 0 });
        };
        (self.evidence.rounds, self.evidence.defect) = (Some(rounds), Some(defect));
        let residual = refine::residual(self.samples, few, &units)?;
        Ok(Fitted { units, residual, steps: 0 })
    }

    /// A residual (root mean square) with which a search is content: it then has the right units.
    fn content(&self, units: &Units) -> f64 {
        let (d, k, _) = units.dims();
        let rounding = f64::EPSILON * (d + k) as f64 * units.magnitude();
        // A tenth above the noise is no local minimum of a network of order one.
        let single = if self.samples.is_single() {
            f64::from(f32::EPSILON) * units.magnitude()
        } else {
            0.0
        };
        rounding + single + 1.1 * self.settings.noise
    }

    fn descend(&mut self) -> Result<Result<(Units, Range<usize>), Refusal>, SampleError> {
        let Some(k) = self.settings.units else {
            return Ok(Err((
                "training needs the number of units".to_owned(),
                "tell the number of units",
            )));
        };
        let (phi, training) = (self.settings.activation, self.training.clone());
        let (x, y) = self.samples.part(training.clone())?;
        let seed = self.settings.seed;
        let units = self.stage("training", |_| {
            merged(&train(&x, &y, phi, &Training::usual(k, Optimiser::Adam, TRAINING_STEPS, seed)))
        });
        if units.w.iter().chain(units.u.iter()).any(|entry| !entry.is_finite()) {
            return Ok(Err((
                "the training diverged".to_owned(),
                "scale the outputs to a size of one",
            )));
        }
        Ok(Ok((units, training)))
    }
}
