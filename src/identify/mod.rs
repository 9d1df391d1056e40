//! The pipeline, stage by stage: from a black box to a certified network.

pub mod entangled;
pub(crate) mod first_layer;
pub(crate) mod fit;
pub(crate) mod scalars;
pub(crate) mod second_layer;
pub mod shallow;
pub(crate) mod survey;
pub mod verdict;

use std::str::FromStr;

use first_layer::wide_stack as stack;
use first_layer::{hyperplanes, units};
use fit::{active, refine};
use nalgebra::{DMatrix, DVector};
use scalars::{family, scales};
use second_layer::{peel, rows, saturated, whole};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use survey::{clipping, far, frame, probe};
use verdict::{certify, remedy};

use crate::algebra::rank_one::Ascent;
use crate::draws;
use crate::network::{Activation, Network};
use crate::oracle::design::Design;
use crate::oracle::views::restricted::Restricted;
use crate::oracle::{
    Averaged, Deadline, Domain, Found, Meter, Observer, Oracle, OracleError, StageUse,
};
use fit::refine::Sample;
pub(crate) use scalars::family::families;
use survey::frame::Frame;
use verdict::certify::Certificate;
use verdict::outcome::{Outcome, first_identified};

/// A way from values to a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pipeline {
    /// Hessians far from the origin, where units are saturated one by one.
    #[default]
    Wide,
    /// Derivatives near one point, where the layers come entangled: for black boxes that may be asked
    /// in a small region only. Directions come from third derivatives.
    Entangled,
    /// The same with directions from the subspace that Hessians span, as published.
    Published,
}

impl Pipeline {
    /// All of them, in the order of the help.
    pub const ALL: [Pipeline; 3] = [Pipeline::Wide, Pipeline::Entangled, Pipeline::Published];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Pipeline::Wide => "wide",
            Pipeline::Entangled => "entangled",
            Pipeline::Published => "published",
        }
    }
}

impl FromStr for Pipeline {
    type Err = UnknownPipeline;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Pipeline::ALL.into_iter().find(|pipeline| pipeline.name() == name);
        known.ok_or_else(|| UnknownPipeline(name.to_owned()))
    }
}

/// The name of no pipeline.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown pipeline {0:?}; known are {known}", known = Pipeline::ALL.map(Pipeline::name).join(", "))]
pub struct UnknownPipeline(pub String);

/// What a run may do and must respect.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Fixes every random draw.
    pub seed: u64,
    /// The way from values to a network.
    pub pipeline: Pipeline,
    /// The activation of the first layer, if known; otherwise what is seen of it decides between tanh
    /// (which sigmoid is a case of) and erf.
    pub activation: Option<Activation>,
    /// The activation of the second layer, if known. `None`: that of the first, if that is known.
    /// Pipelines but the wide one take both layers to be of one family.
    pub second_activation: Option<Activation>,
    /// The ascent of stage 3.
    pub ascent: Ascent,
    /// Queries allowed.
    pub max_queries: u64,
    /// Widths (m0, m1) that the result must have to be accepted; never needed.
    pub widths: Option<(usize, usize)>,
    /// Width of a network with one hidden layer, if it is known: the dimension that its subspace is
    /// given, instead of where the singular values fall.
    pub width: Option<usize>,
    /// Fresh starts allowed when a stage fails, at least 1.
    pub attempts: u64,
    /// Largest parameter error bound that still counts as identified.
    pub tolerance: f64,
    /// Where the pipelines that sample near one point do so; the wide pipeline does not.
    pub local: LocalSampling,
    /// Radius, above 0, of the ball around the centre of `local` that may be asked. A query outside is
    /// refused before it reaches the black box, and ends the run without a network. `None`: everywhere.
    pub domain_radius: Option<f64>,
    /// When the run must end: the refinement takes no further step and no query passes. `None`: never.
    pub deadline: Option<Deadline>,
}

/// Sampling near one point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LocalSampling {
    /// The point, length d; `None`: the origin.
    pub centre: Option<DVector<f64>>,
    /// Radius of the design, above 0; cut to what the domain leaves. `None`: by the measured natural
    /// scale.
    pub radius: Option<f64>,
    /// How the points are spread.
    pub design: Design,
    /// Hessians taken, if the number is given.
    pub hessians: Option<usize>,
    /// How the entangled pipelines fit scales and shifts.
    pub descent: entangled::Descent,
}

impl LocalSampling {
    /// The centre among `d` inputs.
    pub fn centre(&self, d: usize) -> DVector<f64> {
        self.centre.clone().unwrap_or_else(|| DVector::zeros(d))
    }
}

/// Settings that no run can have.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
pub enum SettingsError {
    /// A number that must be finite and above 0.
    #[error("the {name} must be a number above 0, not {value}")]
    NotPositive {
        /// Which.
        name: &'static str,
        /// What it is.
        value: f64,
    },
    /// A coordinate of the centre that is not finite.
    #[error("the centre has a coordinate that is not finite")]
    Centre,
    /// A centre of another dimension than the inputs.
    #[error("the centre has {found} coordinates, the black box {expected} inputs")]
    Dimension {
        /// Coordinates given.
        found: usize,
        /// Inputs of the black box.
        expected: usize,
    },
}

impl Settings {
    /// The activations of the first and of the second layer, as far as they are known.
    pub fn activations(&self) -> (Option<Activation>, Option<Activation>) {
        (self.activation, self.second_activation.or(self.activation))
    }

    /// `network` in the activations that are known, where it can be written so.
    pub(crate) fn as_asked(&self, network: Network) -> Network {
        let (first, second) = self.activations();
        let asked = (first.unwrap_or(network.g), second.unwrap_or(network.h));
        network.with_activations(asked.0, asked.1).unwrap_or(network)
    }

    /// Do they fit each other and a black box with `d` inputs?
    ///
    /// # Errors
    /// The first that does not.
    pub fn validate(&self, d: usize) -> Result<(), SettingsError> {
        let positive = [
            ("tolerance", Some(self.tolerance)),
            ("sampling radius", self.local.radius),
            ("domain radius", self.domain_radius),
        ];
        for (name, value) in positive {
            if let Some(value) = value.filter(|v| !(v.is_finite() && *v > 0.0)) {
                return Err(SettingsError::NotPositive { name, value });
            }
        }
        match &self.local.centre {
            Some(centre) if centre.len() != d => {
                Err(SettingsError::Dimension { found: centre.len(), expected: d })
            }
            Some(centre) if centre.iter().any(|c| !c.is_finite()) => Err(SettingsError::Centre),
            _ => Ok(()),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            seed: 0,
            pipeline: Pipeline::default(),
            activation: None,
            second_activation: None,
            ascent: Ascent::default(),
            max_queries: 20_000_000,
            widths: None,
            width: None,
            attempts: 4,
            tolerance: 1e-6,
            local: LocalSampling::default(),
            domain_radius: None,
            deadline: None,
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

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.stage, self.reason)
    }
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
pub struct Solution<N = Network, W = (usize, usize)> {
    /// How it ended.
    pub status: Status,
    /// Why, in a sentence.
    pub reason: String,
    /// What may help, in a sentence, unless it is identified.
    pub remedy: Option<String>,
    /// The network, if there is one.
    pub network: Option<N>,
    /// (m0, m1), as far as they were found; for one hidden layer m.
    pub widths: Option<W>,
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
/// Only if the oracle fails (an answer that is not finite, a dead process) or the settings are not
/// [valid](Settings::validate). The limit on queries, the end of the domain and every failure to
/// identify are results.
pub fn identify(
    oracle: &mut dyn Oracle,
    settings: &Settings,
    observer: &mut dyn Observer,
) -> Result<Solution, OracleError> {
    let d = oracle.input_dim();
    settings.validate(d)?;
    let Some(radius) = settings.domain_radius else {
        return identify_anywhere(oracle, settings, observer);
    };
    let mut domain = Domain::new(oracle, settings.local.centre(d), radius);
    let mut solution = identify_anywhere(&mut domain, settings, observer)?;
    solution.evidence.add("domain", json!({"farthest_query": domain.farthest()}));
    Ok(solution)
}

/// [`identify`] where every point may be asked for that the `oracle` answers.
fn identify_anywhere(
    oracle: &mut dyn Oracle,
    settings: &Settings,
    observer: &mut dyn Observer,
) -> Result<Solution, OracleError> {
    let mut run = Run {
        meter: Meter::new(oracle, observer, settings.max_queries).until(settings.deadline),
        settings: settings.clone(),
        evidence: Evidence::default(),
        accuracy: None,
        widths: None,
        inputs_box: None,
    };
    let result = match settings.pipeline {
        Pipeline::Wide => run.wide(),
        Pipeline::Entangled | Pipeline::Published => run.local(),
    };
    let mut outcome = Outcome::settle(result, run.meter.stage())?;
    if let Some(inputs) = run.inputs_box.take() {
        outcome = run.within(&inputs, outcome)?;
    }
    let widths = outcome.network.as_ref().map(|n| (n.a.ncols(), n.b.ncols())).or(run.widths);
    let (queries, stages) = (run.meter.total(), run.meter.stages());
    Ok(outcome.into_solution(widths, run.accuracy, queries, stages, run.evidence))
}

struct Run<'a> {
    meter: Meter<'a>,
    settings: Settings,
    evidence: Evidence,
    accuracy: Option<f64>,
    widths: Option<(usize, usize)>,
    /// The box to which inputs are clipped, if they are seen to be.
    inputs_box: Option<InputBox>,
}

/// Inputs beyond it have no effect.
struct InputBox {
    /// The input whose edge is nearest to the origin, of those looked at.
    input: usize,
    /// Where that is.
    edge: f64,
    /// The natural scale of f.
    scale: f64,
}

impl Run<'_> {
    /// The pipelines that stay near a point.
    fn local(&mut self) -> Result<Outcome, Halt> {
        let (first, second) = self.settings.activations();
        if families(first) != families(second) {
            return Err(Failure::new(
                "start",
                "this pipeline takes both layers to be of one family, tanh (or sigmoid) or erf; the wide \
                 pipeline does not",
            )
            .into());
        }
        self.entangled()
    }

    /// The wide pipeline: probe and reduce once, then attempts until one is certified.
    fn wide(&mut self) -> Result<Outcome, Halt> {
        let seed = self.settings.seed;
        self.meter.enter("probe");
        let land = probe::probe(&mut self.meter, seed)?;
        self.accuracy = Some(land.noise_near);
        self.evidence.add("probe", json!(land));
        self.meter.enter("reduce");
        let frame = frame::frame(&mut self.meter, land.clone(), seed, &mut self.evidence)?;
        let mut f = Restricted::by_values(&mut self.meter, &frame.points);
        let far = far::far(&mut f, &frame.land, seed)?;
        self.evidence.add("far", json!(far));

        let mut best: Option<Outcome> = None;
        for attempt in 0..self.settings.attempts.max(1) {
            let outcome = match self.attempt(&frame, far, attempt) {
                Ok(outcome) => outcome,
                Err(Halt::Failed(failure)) => Outcome::none(&failure),
                // Out of queries, time or the domain: what earlier attempts brought still counts.
                Err(Halt::Oracle(error)) if error.is_limit() && best.is_some() => {
                    self.meter.note(&error.to_string());
                    break;
                }
                Err(halt) => return Err(halt),
            };
            let done = outcome.is_final();
            if !done {
                self.meter.note(&format!("attempt {}: {}", attempt + 1, outcome.reason));
            }
            if best.as_ref().is_none_or(|b| outcome.better_than(b)) {
                best = Some(outcome);
            }
            if !done && attempt == 0 {
                self.inputs_box = self.find_box(&land)?;
            }
            if done || self.inputs_box.is_some() {
                break;
            }
        }
        best.ok_or_else(|| Failure::new("start", "no attempt was made").into())
    }

    /// Are the inputs clipped to a box? Where a limit leaves that open, they are not known to be.
    fn find_box(&mut self, land: &probe::Landscape) -> Result<Option<InputBox>, Halt> {
        self.meter.enter("clipping");
        match clipping::edge(&mut self.meter, land, self.settings.seed, &mut self.evidence) {
            Ok(edge) => Ok(edge.map(|(input, edge)| InputBox { input, edge, scale: land.scale })),
            Err(error) if error.is_limit() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The black box within the box to which it clips its inputs, by the pipeline that stays near a point;
    /// `outside` is what came of the wide one.
    fn within(&mut self, inputs: &InputBox, outside: Outcome) -> Result<Outcome, OracleError> {
        let InputBox { input, edge, scale } = inputs;
        let radius = (0.99 * edge).min(entangled::natural_radius(*scale, self.meter.input_dim()));
        let anywhere = self.settings.clone();
        self.settings.pipeline = Pipeline::Entangled;
        self.settings.domain_radius = Some(radius);
        self.settings.attempts = 1;
        let result = self.local();
        self.settings = anywhere;
        let inside = Outcome::settle(result, self.meter.stage())?;
        let clipped =
            format!("the inputs are clipped: input {input} has no effect beyond {edge:.4}");
        let (mut best, note) = if inside.better_than(&outside) {
            (inside, format!("; that is within {radius:.4} of the origin: {clipped}"))
        } else {
            (outside, format!("; {clipped}, and within {radius:.4}: {}", inside.reason))
        };
        if best.status == Status::Identified {
            // The network and its bound are right, but f is that network in the box only.
            best.status = Status::Approximate;
            best.remedy = Some(remedy::CLIPPED);
        }
        best.reason.push_str(&note);
        Ok(best)
    }

    /// Stages 1 to 8 once.
    fn attempt(&mut self, frame: &Frame, far: f64, attempt: u64) -> Result<Outcome, Halt> {
        let noise = frame.land.noise_near / frame.land.spread;
        let means: &[Means] = if noise > COARSE {
            &[Means::Values, Means::Differences]
        } else if noise > INACCURATE {
            &[Means::Differences, Means::Values]
        } else {
            &[Means::Differences]
        };
        first_identified(means, |by| match by {
            Means::Values => self.by_values(frame, attempt),
            Means::Differences => self.by_differences(frame, far, attempt),
        })
    }

    /// Stages 1 to 8 by Hessians and gradients.
    fn by_differences(&mut self, frame: &Frame, far: f64, attempt: u64) -> Result<Outcome, Halt> {
        let Settings { seed, ascent, .. } = self.settings;
        let Frame { points: q, land, .. } = frame;
        self.meter.enter("stack");
        let mut f = Restricted::new(&mut self.meter, q);
        let mut stack = stack::wide_stack(&mut f, land, seed, attempt, &mut self.evidence)?;
        let (basis, gap) = (&stack.basis, stack.gap.ratio);
        self.meter.found(Found::Subspace { frame: q, basis, gap });

        self.meter.enter("units");
        let mut f = Restricted::by_values(&mut self.meter, q);
        let around = units::Surroundings { land, far };
        let mut units = units::find_units(
            &mut f,
            around,
            &mut stack,
            ascent,
            seed,
            attempt,
            &mut self.evidence,
        )?;
        self.widths = Some((units.len(), 0));
        if units.is_empty() {
            return Err(no_units().into());
        }
        self.meter.enter("polish");
        let mut f = Restricted::by_values(&mut self.meter, q);
        units::polish(&mut f, around, &mut units, seed, &mut self.evidence)?;
        self.found_units(frame, &units);

        // Several splits: the first that leads to a certified network is as good as any.
        let mut ways: Vec<Way> =
            (SPLITS * attempt..SPLITS * (attempt + 1)).map(Way::Split).collect();
        ways.insert(1, Way::Whole);
        first_identified(ways, |way| self.second_layer(frame, &units, way, attempt))
    }

    /// Stages 1 to 8 by values alone, for values too inaccurate for differences.
    fn by_values(&mut self, frame: &Frame, attempt: u64) -> Result<Outcome, Halt> {
        let Settings { seed, deadline, .. } = self.settings;
        let Frame { points: q, land, .. } = frame;
        let repeats = (land.noise_near / (AVERAGED * land.spread)).powi(2);
        let repeats = (repeats.ceil() as usize).clamp(1, MOST_REPEATS);
        let rng = draws::stream(seed, "averaged", attempt);
        let land_of_means = &land.averaged(repeats);
        let apart = APART * land.scale;
        self.meter.enter("hyperplanes");
        let mut f = Restricted::by_values(&mut self.meter, q);
        let mut f = Averaged::new(&mut f, repeats, apart, rng.clone());
        let evidence = &mut self.evidence;
        let units = hyperplanes::find_units(&mut f, land_of_means, seed, attempt, evidence)?;
        self.widths = Some((units.len(), 0));
        if units.is_empty() {
            return Err(no_units().into());
        }
        self.found_units(frame, &units);
        let (first, second) = self.settings.activations();
        // Rounded values have one error each wherever f is constant, which no mean lowers: different places do.
        let means = [(repeats, saturated::VALUES), (1, SINGLE * saturated::VALUES)];
        let means = &means[..if repeats > 1 { 2 } else { 1 }];
        let ways = families(first).iter().flat_map(|&g| {
            families(second).iter().flat_map(move |&h| means.iter().map(move |&mean| (g, h, mean)))
        });
        first_identified(ways, |(g, h, (repeats, values_each))| {
            self.meter.enter("saturated");
            let mut f = Restricted::by_values(&mut self.meter, q);
            let mut f = Averaged::new(&mut f, repeats, apart, rng.clone());
            let evidence = &mut self.evidence;
            let start = saturated::assemble(
                &mut f,
                &land.averaged(repeats),
                &units,
                (g, h),
                values_each,
                seed,
                attempt,
                deadline,
                evidence,
            )?;
            self.conclude(frame, start)
        })
    }

    /// Shows the observer the directions of the first layer.
    fn found_units(&mut self, frame: &Frame, units: &[units::Unit]) {
        let directions: Vec<_> =
            units.iter().map(|unit| (&frame.weights * &unit.direction).normalize()).collect();
        let directions = DMatrix::from_columns(&directions);
        self.meter.found(Found::FirstLayer { directions: &directions, about: None });
    }

    /// Stages 5 to 8 one way.
    fn second_layer(
        &mut self,
        frame: &Frame,
        units: &[units::Unit],
        way: Way,
        attempt: u64,
    ) -> Result<Outcome, Halt> {
        let Settings { seed, ascent, .. } = self.settings;
        let Frame { points: q, land, .. } = frame;
        self.meter.enter("peel");
        let mut f = Restricted::by_values(&mut self.meter, q);
        let evidence = &mut self.evidence;
        let peel = match way {
            Way::Split(split) => peel::peel(&mut f, land, units, ascent, seed, split, evidence)?,
            Way::Whole => whole::whole(&mut f, land, units, ascent, seed, attempt, evidence)?,
        };
        self.widths = Some((units.len(), peel.layer.beta.ncols()));

        // What is seen of each layer orders the activations, and drops those that surely are not.
        let (first, second) = self.settings.activations();
        let seconds = family::contest(families(second), |h| {
            rows::second_layer(&peel, h).map(|layer| (layer.misfit, layer))
        })?;
        first_identified(&seconds, |h| {
            self.meter.enter("scales");
            let mut f = Restricted::by_values(&mut self.meter, q);
            let readings = scales::read(&mut f, land, units, &peel, &h.what, seed)?;
            let starts = family::contest(families(first), |g| {
                let pair = (g, h.activation);
                let start = scales::assemble(&readings, units, &peel, &h.what, pair, seed)?;
                Ok((start.misfit, start))
            })?;
            first_identified(starts, |g| {
                self.evidence.add("second_layer", json!({"affinity": h.what.affinity}));
                self.evidence.add(
                    "scales",
                    json!({"worst_misfit": g.what.worst, "bundles": g.what.bundles}),
                );
                self.evidence.add(
                    "activation",
                    json!({"layers": [g.activation, h.activation], "margins": [g.margin, h.margin]}),
                );
                self.conclude(frame, g.what.network)
            })
        })
    }

    /// Stages 7 and 8 from a first network.
    fn conclude(&mut self, frame: &Frame, start: Network) -> Result<Outcome, Halt> {
        let Settings { seed, deadline, .. } = self.settings;
        let Frame { points: q, weights, land, outside } = frame;
        self.meter.enter("refine");
        let mut f = Restricted::by_values(&mut self.meter, q);
        let count = refine::sample_size(&start);
        let sample = active::sample(&mut f, land, &start, count, seed, "refine")?;
        let floor = 4.0 * land.noise_at(0.0);
        let (network, rms) =
            refine::refine(&sample, start, floor, deadline, "refine", &mut self.evidence)?;
        if rms > 0.05 * land.spread {
            return Err(Failure::new(
                "refine",
                format!("the fit stops at a residual of {rms:.2e} (spread {:.2e})", land.spread),
            )
            .into());
        }
        let mut network = self.settings.as_asked(Network { a: weights * &network.a, ..network });
        let mut sample = if frame.is_whole() {
            Sample { points: q * &sample.points, ..sample }
        } else {
            // Back to all d inputs, where the range itself is refined too.
            let count = refine::sample_size(&network);
            let sample = active::sample(
                &mut self.meter,
                outside,
                &network,
                count,
                seed,
                "refine all inputs",
            )?;
            let stage = "refine_all_inputs";
            network =
                refine::refine(&sample, network, floor, deadline, stage, &mut self.evidence)?.0;
            sample
        };

        let mut certificate = self.certified(outside, &network, &sample)?;
        for round in 0..MOST_ROUNDS {
            let Some(count) = self.more_points(&certificate, &sample, &network) else { break };
            self.meter.enter("refine");
            let fresh = format!("refine more {round}");
            let more = active::sample(&mut self.meter, outside, &network, count, seed, &fresh)?;
            sample = sample.with(more);
            let stage = "refine_more";
            network =
                refine::refine(&sample, network, floor, deadline, stage, &mut self.evidence)?.0;
            certificate = self.certified(outside, &network, &sample)?;
        }
        Ok(self.verdict(network, certificate))
    }

    /// The certificate of `network`, fitted to `sample`.
    fn certified(
        &mut self,
        land: &probe::Landscape,
        network: &Network,
        sample: &refine::Sample,
    ) -> Result<Certificate, Halt> {
        self.meter.enter("certify");
        let (seed, evidence) = (self.settings.seed, &mut self.evidence);
        certify::certify(&mut self.meter, land, network, sample, seed, evidence)
    }

    /// How many more values would bring the bound to the tolerance, where only their accuracy keeps it
    /// above; as many as are worth it where the tolerance is out of reach.
    fn more_points(
        &self,
        certificate: &Certificate,
        sample: &Sample,
        network: &Network,
    ) -> Option<usize> {
        let lacks = certificate.error_bound / self.settings.tolerance;
        if !certificate.at_accuracy() || lacks <= 1.0 {
            return None;
        }
        let most = refine::affordable(network).min((self.meter.remaining() / 2) as usize);
        // An error that has no bound may never have one.
        let spent = if lacks.is_finite() { self.meter.total() as usize } else { 0 };
        refine::more_points(sample.values.len(), lacks, spent, most)
    }

    fn verdict(&self, network: Network, certificate: Certificate) -> Outcome {
        let widths = (network.a.ncols(), network.b.ncols());
        let accepted = self.settings.widths.is_none_or(|expected| expected == widths);
        Outcome::judge(network, certificate, self.settings.tolerance, accepted)
    }
}

/// Times that a fit may be given more values.
const MOST_ROUNDS: usize = 2;
/// Splits of the first layer tried in an attempt.
const SPLITS: u64 = 3;
/// Noise, relative to the spread, from which on values alone are tried too,
const INACCURATE: f64 = 1e-12;
/// and are tried first.
const COARSE: f64 = 1e-8;
/// Noise, relative to the spread, that means are to have then,
const AVERAGED: f64 = 3e-4;
/// of so many values at most,
const MOST_REPEATS: usize = 64;
/// or so many times as many single values as means,
const SINGLE: usize = 4;
/// at points so far apart, in natural scales.
const APART: f64 = 1e-3;

fn no_units() -> Failure {
    Failure::new(
        "units",
        "no direction has a transition of its own: far out the black box is not constant between \
         hyperplanes",
    )
}

/// What the first network is found by.
enum Means {
    /// By Hessians and gradients.
    Differences,
    /// By values alone.
    Values,
}

/// A way to the second layer.
#[derive(Clone, Copy)]
enum Way {
    /// The peel with this split of the first layer.
    Split(u64),
    /// All units in their active range.
    Whole,
}
