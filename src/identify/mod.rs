//! The pipeline, stage by stage: from a black box to a certified network.

mod certify;
mod line;
mod peel;
mod place;
mod probe;
mod reduce;
mod refine;
mod scales;
mod second_layer;
mod stack;
mod step;
mod units;

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::network::{Activation, Network};
use crate::oracle::{Meter, Observer, Oracle, OracleError, StageUse};
use crate::rank_one::Ascent;
use certify::Certificate;
use probe::Landscape;
use reduce::Restricted;

/// What a run may do and must respect.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Fixes every random draw.
    pub seed: u64,
    /// The activation of both layers, if known; otherwise tanh (which sigmoid is a case of) and erf are
    /// tried.
    pub activation: Option<Activation>,
    /// The ascent of stage 3.
    pub ascent: Ascent,
    /// Queries allowed.
    pub max_queries: u64,
    /// Widths (m0, m1) that the result must have to be accepted; never needed.
    pub widths: Option<(usize, usize)>,
    /// Fresh starts allowed when a stage fails, at least 1.
    pub attempts: u64,
    /// Largest parameter error bound that still counts as identified.
    pub tolerance: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            seed: 0,
            activation: None,
            ascent: Ascent::default(),
            max_queries: 20_000_000,
            widths: None,
            attempts: 4,
            tolerance: 1e-6,
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Residuals at the oracle's accuracy, and a bound on the parameter error.
    Identified,
    /// A network that describes the black box, but not to its accuracy or not with a small bound.
    Approximate,
    /// No network; the reason names the stage.
    NotIdentified,
}

/// A stage that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Which stage.
    pub stage: &'static str,
    /// Why.
    pub reason: String,
}

impl Failure {
    pub(crate) fn new(stage: &'static str, reason: impl Into<String>) -> Self {
        Failure { stage, reason: reason.into() }
    }
}

/// Why a stage stopped: the oracle broke, or the stage failed.
#[derive(Debug)]
pub(crate) enum Halt {
    Oracle(OracleError),
    Failed(Failure),
}

impl From<OracleError> for Halt {
    fn from(error: OracleError) -> Self {
        Halt::Oracle(error)
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Halt::Failed(failure)
    }
}

/// Evidence by stage; a stage entered again is listed again.
#[derive(Clone, Debug, Default)]
pub struct Evidence(Map<String, Value>);

impl Evidence {
    pub(crate) fn add(&mut self, stage: &str, what: Value) {
        match self.0.entry(stage).or_insert_with(|| Value::Array(Vec::new())) {
            Value::Array(list) => list.push(what),
            other => *other = what,
        }
    }

    /// Stage name -> list of what each pass through it saw.
    pub fn as_json(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

/// The result of a run. A network that cannot be identified is a result, not an error.
#[derive(Clone, Debug)]
pub struct Solution {
    /// How it ended.
    pub status: Status,
    /// Why, in a sentence.
    pub reason: String,
    /// The network, if there is one.
    pub network: Option<Network>,
    /// (m0, m1), as far as they were found.
    pub widths: Option<(usize, usize)>,
    /// Largest residual on held-out points.
    pub residual: Option<f64>,
    /// Bound on the parameter error, relative to each tensor's largest entry (at least 1).
    pub parameter_error_bound: Option<f64>,
    /// Measured accuracy of the oracle's values near the origin.
    pub oracle_accuracy: Option<f64>,
    /// Queries asked.
    pub queries: u64,
    /// Queries and seconds by stage.
    pub stages: Vec<StageUse>,
    /// What every stage saw.
    pub evidence: Evidence,
}

/// Identifies the network behind `oracle` from values alone.
///
/// # Errors
/// Only if the oracle fails: an answer that is not finite, a dead process. The limit on queries and
/// every failure to identify are results.
pub fn identify(
    oracle: &mut dyn Oracle,
    settings: &Settings,
    observer: &mut dyn Observer,
) -> Result<Solution, OracleError> {
    let mut run = Run {
        meter: Meter::new(oracle, observer, settings.max_queries),
        settings,
        evidence: Evidence::default(),
        accuracy: None,
        widths: None,
    };
    let outcome = match run.wide() {
        Ok(found) => found,
        Err(Halt::Failed(failure)) => Outcome::none(&failure),
        Err(Halt::Oracle(error @ OracleError::Budget { .. })) => {
            Outcome::none(&Failure::new("budget", error.to_string()))
        }
        Err(Halt::Oracle(error)) => return Err(error),
    };
    let certificate = outcome.certificate.as_ref();
    Ok(Solution {
        status: outcome.status,
        reason: outcome.reason,
        residual: certificate.map(|c| c.residual),
        parameter_error_bound: certificate.map(|c| c.error_bound).filter(|b| b.is_finite()),
        widths: outcome.network.as_ref().map(|n| (n.a.ncols(), n.b.ncols())).or(run.widths),
        network: outcome.network,
        oracle_accuracy: run.accuracy,
        queries: run.meter.total(),
        stages: run.meter.stages(),
        evidence: run.evidence,
    })
}

struct Outcome {
    status: Status,
    reason: String,
    network: Option<Network>,
    certificate: Option<Certificate>,
}

impl Outcome {
    fn none(failure: &Failure) -> Self {
        Outcome {
            status: Status::NotIdentified,
            reason: format!("{}: {}", failure.stage, failure.reason),
            network: None,
            certificate: None,
        }
    }

    /// Better evidence first.
    fn better_than(&self, other: &Outcome) -> bool {
        let rank = |o: &Outcome| match (o.status, &o.certificate) {
            (Status::Identified, _) => f64::NEG_INFINITY,
            (_, Some(c)) => c.residual,
            (_, None) => f64::INFINITY,
        };
        rank(self) < rank(other)
    }
}

/// Tries `choices` in turn until one is identified; else the best outcome, else the last failure.
fn first_identified<T>(
    choices: impl IntoIterator<Item = T>,
    mut outcome_of: impl FnMut(T) -> Result<Outcome, Halt>,
) -> Result<Outcome, Halt> {
    let mut best: Option<Outcome> = None;
    let mut last = Failure::new("peel", "nothing was tried");
    for choice in choices {
        match outcome_of(choice) {
            Ok(outcome) if outcome.status == Status::Identified => return Ok(outcome),
            Ok(outcome) if best.as_ref().is_none_or(|b| outcome.better_than(b)) => {
                best = Some(outcome);
            }
            Ok(_) => {}
            Err(Halt::Failed(failure)) => last = failure,
            Err(halt) => return Err(halt),
        }
    }
    best.ok_or_else(|| last.into())
}

struct Run<'a> {
    meter: Meter<'a>,
    settings: &'a Settings,
    evidence: Evidence,
    accuracy: Option<f64>,
    widths: Option<(usize, usize)>,
}

impl Run<'_> {
    /// The wide pipeline: probe and reduce once, then attempts until one is certified.
    fn wide(&mut self) -> Result<Outcome, Halt> {
        let seed = self.settings.seed;
        self.meter.enter("probe");
        let land = probe::probe(&mut self.meter, seed)?;
        self.accuracy = Some(land.noise_near);
        self.evidence.add("probe", json!(land));
        self.meter.enter("reduce");
        let basis = reduce::reduce(&mut self.meter, &land, seed, &mut self.evidence)?;

        let mut best: Option<Outcome> = None;
        for attempt in 0..self.settings.attempts.max(1) {
            let outcome = match self.attempt(&land, &basis, attempt) {
                Ok(outcome) => outcome,
                Err(Halt::Failed(failure)) => Outcome::none(&failure),
                // Out of queries: what earlier attempts brought still counts.
                Err(Halt::Oracle(error @ OracleError::Budget { .. })) if best.is_some() => {
                    self.meter.note(&error.to_string());
                    break;
                }
                Err(halt) => return Err(halt),
            };
            let done = outcome.status == Status::Identified;
            if !done {
                self.meter.note(&format!("attempt {}: {}", attempt + 1, outcome.reason));
            }
            if best.as_ref().is_none_or(|b| outcome.better_than(b)) {
                best = Some(outcome);
            }
            if done {
                break;
            }
        }
        best.ok_or_else(|| Failure::new("start", "no attempt was made").into())
    }

    /// Stages 1 to 8 once.
    fn attempt(
        &mut self,
        land: &Landscape,
        q: &DMatrix<f64>,
        attempt: u64,
    ) -> Result<Outcome, Halt> {
        let Settings { seed, ascent, .. } = *self.settings;
        self.meter.enter("stack");
        let mut f = Restricted::new(&mut self.meter, q);
        let mut stack = stack::wide_stack(&mut f, land, seed, attempt, &mut self.evidence)?;

        self.meter.enter("units");
        let mut f = Restricted::by_values(&mut self.meter, q);
        let mut units =
            units::find_units(&mut f, land, &mut stack, ascent, seed, attempt, &mut self.evidence)?;
        self.widths = Some((units.len(), 0));
        if units.is_empty() {
            return Err(Failure::new(
                "units",
                "no direction has a transition of its own: far out the black box is not constant \
                 between hyperplanes",
            )
            .into());
        }
        self.meter.enter("polish");
        let mut f = Restricted::by_values(&mut self.meter, q);
        units::polish(&mut f, land, &mut units, seed, &mut self.evidence)?;

        // Several splits: the first that leads to a certified network is as good as any.
        let splits = SPLITS * attempt..SPLITS * (attempt + 1);
        first_identified(splits, |split| self.split(land, q, &units, split))
    }

    /// Stages 5 to 8 for one split of the first layer.
    fn split(
        &mut self,
        land: &Landscape,
        q: &DMatrix<f64>,
        units: &[units::Unit],
        split: u64,
    ) -> Result<Outcome, Halt> {
        let Settings { seed, ascent, .. } = *self.settings;
        self.meter.enter("peel");
        let mut f = Restricted::by_values(&mut self.meter, q);
        let peel = peel::peel(&mut f, land, units, ascent, seed, split, &mut self.evidence)?;
        self.widths = Some((units.len(), peel.beta.ncols()));
        // Sigmoid is tanh in other parameters: sigma(z) = (1 + tanh(z/2)) / 2.
        let families: &[Activation] = match self.settings.activation {
            Some(Activation::Tanh | Activation::Sigmoid) => &[Activation::Tanh],
            Some(Activation::Erf) => &[Activation::Erf],
            None => &[Activation::Tanh, Activation::Erf],
        };
        first_identified(families, |&family| self.family(land, q, units, &peel, family))
    }

    /// Stages 6 to 8 with one activation.
    fn family(
        &mut self,
        land: &Landscape,
        q: &DMatrix<f64>,
        units: &[units::Unit],
        peel: &peel::Peel,
        phi: Activation,
    ) -> Result<Outcome, Halt> {
        let seed = self.settings.seed;
        let second = second_layer::second_layer(peel, phi)?;
        self.evidence.add("second_layer", json!({"affinity": second.affinity}));
        self.meter.enter("scales");
        let mut f = Restricted::by_values(&mut self.meter, q);
        let start = scales::assemble(
            &mut f,
            land,
            units,
            peel,
            &second,
            (phi, phi),
            seed,
            &mut self.evidence,
        )?;

        self.meter.enter("refine");
        let mut f = Restricted::by_values(&mut self.meter, q);
        let count = refine::sample_size(&start);
        let sample = refine::sample(&mut f, land, count, seed, "refine")?;
        let floor = 4.0 * land.noise_at(0.0);
        let (network, rms) = refine::refine(&sample, start, floor, "refine", &mut self.evidence);
        if rms > 0.05 * land.spread {
            return Err(Failure::new(
                "refine",
                format!("the fit stops at a residual of {rms:.2e} (spread {:.2e})", land.spread),
            )
            .into());
        }
        let mut network = Network { a: q * &network.a, ..network };
        if let Some(asked) = self.settings.activation {
            network = network.with_activations(asked, asked).unwrap_or(network);
        }
        let sample = if q.ncols() == q.nrows() {
            sample
        } else {
            // Back to all d inputs, where the range itself is refined too.
            let count = refine::sample_size(&network);
            let sample = refine::sample(&mut self.meter, land, count, seed, "refine all inputs")?;
            let stage = "refine_all_inputs";
            network = refine::refine(&sample, network, floor, stage, &mut self.evidence).0;
            sample
        };

        self.meter.enter("certify");
        let certificate =
            certify::certify(&mut self.meter, land, &network, &sample, seed, &mut self.evidence)?;
        Ok(self.verdict(network, certificate))
    }

    fn verdict(&self, network: Network, certificate: Certificate) -> Outcome {
        let widths = (network.a.ncols(), network.b.ncols());
        let bound = certificate.error_bound;
        let (status, reason) = if !certificate.at_accuracy() {
            (
                Status::Approximate,
                format!(
                    "held-out residual {:.2e} is {:.1e} times the accuracy of the values",
                    certificate.residual, certificate.excess
                ),
            )
        } else if !bound.is_finite() {
            (Status::Approximate, "the Jacobian is singular to working precision".to_owned())
        } else if bound > self.settings.tolerance {
            (Status::Approximate, format!("the values allow a parameter error of {bound:.2e} only"))
        } else if self.settings.widths.is_some_and(|expected| expected != widths) {
            (
                Status::NotIdentified,
                format!("widths {} {} were found, not those given", widths.0, widths.1),
            )
        } else {
            (Status::Identified, "held-out residual at the oracle's accuracy".to_owned())
        };
        Outcome { status, reason, network: Some(network), certificate: Some(certificate) }
    }
}

/// Splits of the first layer tried in an attempt.
const SPLITS: u64 = 3;
