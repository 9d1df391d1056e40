//! A run: what all pipelines share, and how all of them end.

use nalgebra::DMatrix;
use rand::Rng;

use super::context::{Context, Coordinates};
use super::evidence::{DomainUsed, Evidence, FitEnded};
use super::failure::{Failure, Halt};
use super::fit::grow::Budget;
use super::fit::sample::{self, Sample};
use super::fit::tolerances::{FIT_FLOOR, UNEXPLAINED_SHARE};
use super::fit::{active, refine};
use super::settings::Settings;
use super::survey::landscape::Landscape;
use super::survey::probe::{self, Mixed};
use super::survey::tolerances::SURE_CHANGE;
use super::tolerances::{OPPOSITE_FAR, OPPOSITE_NOISE, OPPOSITE_PAIRS};
use super::verdict::certify::{self, Certificate, HeldOut, Support};
use super::verdict::outcome::{Outcome, first_identified};
use super::verdict::outputs::{self, Answers};
use super::verdict::solution::Solution;
use super::verdict::tolerances::{INSIDE, MIXED_EXPONENTS, MIXED_POINTS};
use crate::algebra::linalg::median;
use crate::draws;
use crate::network::model::Model;
use crate::network::{Link, Network};
use crate::oracle::design::Design;
use crate::oracle::{Domain, Kept, Meter, Mixture, Observer, Oracle, OracleError};
use crate::stage::Stage;

/// A run of one pipeline.
pub(crate) struct Run<'a> {
    pub meter: Meter<'a>,
    pub settings: Settings,
    pub evidence: Evidence,
    /// Measured accuracy of values near the origin, once it is known.
    pub accuracy: Option<f64>,
    /// As far as they were found.
    pub widths: Option<Vec<usize>>,
    /// What growing networks may still cost.
    growth: Budget,
    /// Hidden layers that are looked for.
    pub depth: usize,
    /// What was undone before values are had.
    pub link: Link,
    /// Attempts before it were made by another run.
    pub first_attempt: u64,
    /// Accuracy and scale of f over the inputs, once they are known.
    land: Option<Landscape>,
    /// The points of the certificate: the same for all attempts and rounds.
    held_out: Option<HeldOut>,
    /// All outputs at points of many scales, once they are known.
    pub seen: Option<DMatrix<f64>>,
    /// Noise of every output near the origin, where that was measured.
    noise_of_outputs: Vec<f64>,
}

/// Where a stage works.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// How it sees the black box.
    pub coordinates: Coordinates<'a>,
    /// What is known of it there.
    pub land: &'a Landscape,
    /// Varies the draws.
    pub attempt: u64,
}

/// A network fitted in a pipeline's coordinates, and written in all inputs and the activations asked for.
pub(crate) struct Fit<N> {
    pub network: N,
    /// What it was fitted to, in all inputs.
    pub sample: Sample,
    /// Its root mean square residual.
    pub rms: f64,
}

/// What the end of a run must know of the pipeline that comes to it.
pub(crate) struct Ground<'g, N> {
    /// Scale and noise of f over the inputs.
    pub land: &'g Landscape,
    /// The same in the coordinates of the fit.
    pub land_of_fit: &'g Landscape,
    /// `None`: the fit is in all inputs, and no more values are worth while.
    pub fresh: Option<Fresh<'g, N>>,
}

/// Fresh values for a fit.
pub(crate) struct Fresh<'g, N> {
    /// Are the coordinates of the first fit fewer than the inputs? Then it is repeated in all of these.
    pub reduced: bool,
    /// How often a fit may be given more values where only their accuracy keeps the bound above the tolerance.
    pub rounds: usize,
    /// So many values at points where a network, nearly the black box, shows all its parameters.
    pub draw: &'g Draw<'g, N>,
}

type Draw<'g, N> = dyn Fn(&mut dyn Oracle, &N, usize, Purpose) -> Result<Sample, Halt> + 'g;

/// What fresh values are for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// The fit in all inputs.
    AllInputs,
    /// More of them, for the so-many-th time.
    More(usize),
}

impl<'a> Run<'a> {
    pub fn new(
        oracle: &'a mut dyn Oracle,
        observer: &'a mut dyn Observer,
        settings: &Settings,
        stages: &'static [Stage],
    ) -> Self {
        let meter = Meter::new(oracle, observer, settings.max_queries);
        Run {
            meter: meter.until(settings.deadline).through(stages),
            settings: settings.clone(),
            evidence: Evidence::default(),
            accuracy: None,
            widths: None,
            growth: Budget::default(),
            depth: 1,
            link: Link::None,
            first_attempt: 0,
            land: None,
            held_out: None,
            seen: None,
            noise_of_outputs: Vec::new(),
        }
    }

    /// The same where so many queries were answered before.
    pub fn after(mut self, asked: u64) -> Self {
        self.meter = self.meter.after(asked);
        self
    }

    /// Books what follows under `stage` and does its work.
    pub fn stage<T>(
        &mut self,
        stage: Stage,
        place: Place<'_>,
        work: impl FnOnce(&mut Context<'_>) -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        self.meter.enter(stage);
        let result = self.work(place, work);
        self.meter.seen(self.evidence.as_json());
        result
    }

    /// Work within the stage under way.
    pub fn work<T>(
        &mut self,
        place: Place<'_>,
        work: impl FnOnce(&mut Context<'_>) -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        let (seed, clock) = (self.settings.seed, &self.meter.clock());
        let Place { coordinates, land, attempt } = place;
        let evidence = &mut self.evidence;
        coordinates
            .of(&mut self.meter, |f| work(&mut Context { f, land, seed, attempt, clock, evidence }))
    }

    /// The work of a network that grows, at the cost of what all of them may take.
    pub fn grow<T>(
        &mut self,
        place: Place<'_>,
        work: impl FnOnce(&mut Context<'_>, &mut Budget) -> Result<T, Halt>,
    ) -> Result<T, Halt> {
        let mut budget = self.growth;
        let result = self.stage(Stage::Grow, place, |cx| work(cx, &mut budget));
        self.growth = budget;
        result
    }

    /// May networks still grow?
    pub fn may_grow(&self) -> bool {
        !self.growth.is_spent()
    }

    /// The attempts of this run.
    pub fn tries(&self) -> std::ops::Range<u64> {
        self.first_attempt..self.settings.attempts
    }

    /// Attempts until one is final; what the others ended with is noted.
    pub fn attempts<N>(
        &mut self,
        attempts: std::ops::Range<u64>,
        mut of: impl FnMut(&mut Self, u64) -> Result<Outcome<N>, Halt>,
    ) -> Result<Outcome<N>, Halt> {
        first_identified(attempts, |attempt| {
            let outcome = of(self, attempt);
            let reason = match &outcome {
                Ok(outcome) if outcome.is_final() => None,
                Ok(outcome) => Some(outcome.reason.clone()),
                Err(Halt::Failed(failure)) => Some(failure.to_string()),
                Err(Halt::Oracle(error)) => error.is_limit().then(|| error.to_string()),
            };
            if let Some(reason) = reason {
                self.meter.note(&format!("attempt {}: {reason}", attempt + 1));
            }
            outcome
        })
    }

    /// Fits all parameters of `start`; `seen` is where that is written down.
    pub fn refined<N: Model>(
        &mut self,
        sample: &Sample,
        start: N,
        floor: f64,
        seen: fn(&mut Evidence) -> &mut Vec<FitEnded>,
    ) -> Result<(N, f64), Halt> {
        let (network, ended) = refine::refine(sample, start, floor, &self.meter.clock())?;
        seen(&mut self.evidence).push(ended);
        Ok((network, ended.to))
    }

    /// The points (d x n) at which all networks of this run are tested.
    pub fn hold_out(&mut self, points: DMatrix<f64>) {
        self.held_out = Some(HeldOut::new(points, self.mixture(), self.link));
    }

    /// The end of every run: all inputs, the certificate, more values where they would bring the bound to the
    /// tolerance, the verdict. `accepted` says whether the widths are those that were given, if any.
    pub fn conclude<N: Model>(
        &mut self,
        fit: Fit<N>,
        ground: Ground<'_, N>,
        accepted: bool,
    ) -> Result<Outcome<N>, Halt> {
        let Fit { mut network, mut sample, rms } = fit;
        let Ground { land, land_of_fit, fresh } = ground;
        let Landscape { spread, noise_near, .. } = *land_of_fit;
        let floor = FIT_FLOOR * noise_near;
        if rms > UNEXPLAINED_SHARE * spread {
            let reason = format!("the fit stops at a residual of {rms:.2e} (spread {spread:.2e})");
            return Err(Failure::new(Stage::Refine, reason).into());
        }
        if let Some(Fresh { draw, .. }) = fresh.as_ref().filter(|fresh| fresh.reduced) {
            // Back to all d inputs, where the range itself is refined too.
            let count = sample::size_for(&network);
            self.meter.keep_next();
            sample = draw(&mut self.meter, &network, count, Purpose::AllInputs)?;
            network = self.refined(&sample, network, floor, |seen| &mut seen.refine_all_inputs)?.0;
        }
        let (mut certificate, mut plausible) = self.certified(land, &network, &sample)?;
        for round in 0..fresh.as_ref().map_or(0, |fresh| fresh.rounds) {
            let (Some(Fresh { draw, .. }), Some(count)) =
                (&fresh, self.more_points(&certificate, &sample, &network))
            else {
                break;
            };
            self.meter.enter(Stage::Refine);
            self.meter.keep_next();
            sample = sample.with(draw(&mut self.meter, &network, count, Purpose::More(round))?);
            network = self.refined(&sample, network, floor, |seen| &mut seen.refine_more)?.0;
            (certificate, plausible) = self.certified(land, &network, &sample)?;
        }
        let outcome = Outcome::judge(network, certificate, self.settings.tolerance, accepted);
        Ok(Outcome { plausible, ..outcome })
    }

    /// The certificate of `network`, fitted to `sample`, and networks that this cannot tell from it.
    fn certified<N: Model>(
        &mut self,
        land: &Landscape,
        network: &N,
        sample: &Sample,
    ) -> Result<(Certificate, Vec<N>), Halt> {
        self.meter.enter(Stage::Certify);
        let team = self.meter.team();
        let support = Support::of_sample(network, sample, land, (self.settings.seed, &team));
        let certificate = self.supported(land, network, &support)?;
        Ok((certificate, support.plausible()))
    }

    /// The certificate of `network` by what supports it.
    pub fn supported<N: Model>(
        &mut self,
        land: &Landscape,
        network: &N,
        support: &Support<N>,
    ) -> Result<Certificate, Halt> {
        if self.meter.stage() != Stage::Certify {
            self.meter.enter(Stage::Certify);
        }
        // A pipeline that forgets to hold points out must not pass for want of them.
        let Some(mut held_out) = self.held_out.take() else {
            return Err(Failure::new(Stage::Certify, "no points were held out").into());
        };
        let place = Place { coordinates: Coordinates::INPUTS, land, attempt: 0 };
        let certificate =
            self.work(place, |cx| certify::certify(cx, network, support, &mut held_out));
        self.held_out = Some(held_out);
        certificate
    }

    /// How many more values would bring the bound to the tolerance, where only their accuracy keeps it
    /// above; as many as are worth it where the tolerance is out of reach.
    fn more_points<N: Model>(
        &self,
        certificate: &Certificate,
        sample: &Sample,
        network: &N,
    ) -> Option<usize> {
        let lacks = certificate.error_bound / self.settings.tolerance;
        if !certificate.at_accuracy() || lacks <= 1.0 {
            return None;
        }
        let most = sample::affordable(network).min((self.meter.remaining() / 2) as usize);
        // An error that has no bound may never have one.
        let spent = if lacks.is_finite() { self.meter.total() as usize } else { 0 };
        sample::more_points(sample.values.len(), lacks, spent, most)
    }

    /// What the caller of `identify` is given.
    ///
    /// # Errors
    /// Of the oracle, where it has several outputs and is asked for each of them.
    pub fn solution(mut self, outcome: Outcome<Network>) -> Result<Solution, OracleError> {
        let outcome = match self.meter.output_dim() {
            1 => outcome,
            _ => {
                let apart = self.apart(outcome);
                self.settle(apart)?
            }
        };
        let widths = outcome.network.as_ref().map(Network::widths).or(self.widths);
        let (queries, stages) = (self.meter.total(), self.meter.stages());
        Ok(outcome.into_solution(
            (self.depth, widths),
            self.accuracy,
            queries,
            stages,
            self.evidence,
        ))
    }

    /// Accuracy and scale of f over all inputs, which are measured once.
    pub fn probed(&mut self) -> Result<Landscape, Halt> {
        if let Some(land) = &self.land {
            return Ok(land.clone());
        }
        self.meter.enter(Stage::Probe);
        let mixture = self.mixture();
        let answers = self.seen.as_ref().filter(|_| self.settings.domain_radius.is_none());
        let mixed = answers.map(|answers| Mixed { mixture: &mixture, answers });
        let (land, noise) =
            probe::probe_mixed(&mut self.meter, self.settings.seed, mixed.as_ref())?;
        self.noise_of_outputs = noise;
        self.measured(&land);
        self.land = Some(land.clone());
        Ok(land)
    }

    /// Notes what was measured of f where it is asked.
    pub fn measured(&mut self, land: &Landscape) {
        self.accuracy = Some(land.noise_near);
        self.evidence.probe.push(land.clone());
    }

    /// May f have one hidden layer? Far out, where all units are saturated and shifts do not count, f(x) + f(-x) is then
    /// the same in all directions, as a step is c_i in one of them and -c_i in the other; of two layers it hardly is.
    pub fn may_be_one_layer(&mut self) -> Result<bool, Halt> {
        let land = self.probed()?;
        let Landscape { scale, spread, noise_growth, .. } = land;
        let distance = (OPPOSITE_FAR * scale).min(OPPOSITE_NOISE * spread / noise_growth);
        let rng = &mut draws::stream(self.settings.seed, "opposite", 0);
        let d = self.meter.input_dim();
        let mut points = DMatrix::zeros(d, 2 * OPPOSITE_PAIRS);
        for k in 0..OPPOSITE_PAIRS {
            let x = draws::unit_vector(rng, d) * distance;
            points.set_column(2 * k, &x);
            points.set_column(2 * k + 1, &-x);
        }
        let values = self.meter.values(&points)?;
        let sums: Vec<f64> =
            values.as_slice().chunks_exact(2).map(|pair| pair[0] + pair[1]).collect();
        let middle = median(&sums).unwrap_or(0.0);
        let floor = SURE_CHANGE * land.noise_at(distance);
        let equal = sums.iter().filter(|sum| (*sum - middle).abs() <= floor).count();
        Ok(2 * equal > OPPOSITE_PAIRS)
    }

    /// What values are.
    pub fn mixture(&self) -> Mixture {
        self.meter.mixture().clone()
    }

    /// Of several outputs, from now on values are those of a mixture of all.
    pub fn mix(&mut self) -> Result<(), Halt> {
        if self.meter.output_dim() > 1 {
            let answers = match self.seen.take() {
                Some(answers) => answers,
                None => self.answers_at_many_scales()?,
            };
            let weights = outputs::mixture(&answers, self.link, self.settings.seed);
            self.meter.mix(&weights);
            self.seen = Some(answers);
        }
        Ok(())
    }

    /// All outputs (K x n) at points near and far, or all over the domain.
    pub fn answers_at_many_scales(&mut self) -> Result<DMatrix<f64>, Halt> {
        self.meter.enter(Stage::Outputs);
        let seed = self.settings.seed;
        let points = match self.settings.domain_radius {
            Some(_) => {
                let rng = &mut draws::stream(seed, "mixture points", 0);
                self.inside(MIXED_EXPONENTS.len() * MIXED_POINTS, rng)
            }
            None => probe::first_points(self.meter.input_dim(), seed),
        };
        Ok(self.meter.outputs(&points)?)
    }

    /// Points all over the domain, or over a ball about its centre of radius 1 if there is none.
    fn inside(&self, count: usize, rng: &mut impl Rng) -> DMatrix<f64> {
        let centre = self.settings.local.centre(self.meter.input_dim());
        let radius = self.settings.domain_radius.unwrap_or(1.0) * INSIDE;
        Design::Ball.points(rng, &centre, radius, radius, count)
    }

    /// The outcome for every output from that for their mixture.
    fn apart(&mut self, mixed: Outcome<Network>) -> Result<Outcome<Network>, Halt> {
        let Some(land) = self.evidence.probe.last().cloned() else { return Ok(mixed) };
        let Some(network) = &mixed.network else { return Ok(mixed) };
        self.meter.enter(Stage::Outputs);
        let fitted = self.answers_for(network, &land)?;
        let Some(mut held_out) = self.held_out.take() else { return Ok(mixed) };
        let tolerance = self.settings.tolerance;
        let place = Place { coordinates: Coordinates::INPUTS, land: &land, attempt: 0 };
        let link = self.link;
        let noise = std::mem::take(&mut self.noise_of_outputs);
        self.work(place, |cx| {
            let noise = if noise.is_empty() { outputs::noise(cx, &fitted.points)? } else { noise };
            outputs::apart(cx, mixed, (&fitted, &noise, &mut held_out), (link, tolerance))
        })
    }

    /// All outputs where the weights of each show: those of the last fit where they were kept, and enough.
    fn answers_for(&mut self, network: &Network, land: &Landscape) -> Result<Answers, Halt> {
        let mixture = self.meter.mixture();
        let partly = (0..mixture.outputs()).any(|k| !mixture.has(k));
        let count = outputs::points_for(network, partly && self.link != Link::None);
        if let Some(Kept { points, outputs }) = self.meter.take_kept()
            && points.ncols() >= count
        {
            return Ok(Answers { points, answers: outputs });
        }
        let rng = &mut draws::stream(self.settings.seed, "outputs", 0);
        let points = match self.settings.domain_radius {
            Some(_) => self.inside(count, rng),
            None => {
                let first = &network.layers[0];
                let layer = (&first.weights, &first.shifts);
                let around = active::around(land, layer, first.activation);
                active::points(layer, around.scale, count, rng)
            }
        };
        Ok(Answers { answers: self.meter.outputs(&points)?, points })
    }

    /// Failures and the limits of a run are results; what is left is a broken oracle.
    pub fn settle<N>(&self, result: Result<Outcome<N>, Halt>) -> Result<Outcome<N>, OracleError> {
        Outcome::settle(result, self.meter.stage())
    }
}

/// Runs `pipeline` on the part of `oracle` that may be asked.
pub(crate) fn in_domain(
    oracle: &mut dyn Oracle,
    settings: &Settings,
    pipeline: impl FnOnce(&mut dyn Oracle) -> Result<Solution, OracleError>,
) -> Result<Solution, OracleError> {
    let Some(radius) = settings.domain_radius else { return pipeline(oracle) };
    let centre = settings.local.centre(oracle.input_dim());
    let mut domain = Domain::new(oracle, centre, radius);
    let mut solution = pipeline(&mut domain)?;
    solution.evidence.domain.push(DomainUsed { farthest_query: domain.farthest() });
    Ok(solution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;
    use crate::network::{Activation, Class, TwoLayer};
    use crate::oracle::{NetworkOracle, Silent};

    #[test]
    fn nothing_is_certified_without_held_out_points() {
        let network = TwoLayer::random((3, 3, 1), Class::Paper, Activation::Tanh, 1).unwrap();
        let points = draws::gaussian(&mut draws::stream(1, "sample", 0), 3, 100);
        let sample = Sample { values: network.values(&points), points };
        let land = Landscape::unit(1e-16, 1e-16);
        let (mut f, mut silent) = (NetworkOracle::new(network.clone()), Silent);
        let mut run: Run<'_> = Run::new(&mut f, &mut silent, &Settings::default(), Stage::WIDE);
        let fit = Fit { network, sample, rms: 0.0 };
        let ground = Ground { land: &land, land_of_fit: &land, fresh: None };
        match run.conclude(fit, ground, true) {
            Err(Halt::Failed(failure)) => assert_eq!(failure.stage, Stage::Certify),
            _ => panic!("must fail"),
        }
    }
}
