//! A run: what all pipelines share, and how all of them end.

use nalgebra::DMatrix;

use super::context::{Context, Coordinates};
use super::evidence::{DomainUsed, Evidence, FitEnded};
use super::failure::{Failure, Halt};
use super::fit::refine;
use super::fit::sample::{self, Sample};
use super::fit::tolerances::{FIT_FLOOR, UNEXPLAINED_SHARE};
use super::settings::Settings;
use super::survey::landscape::Landscape;
use super::verdict::certify::{self, Certificate, HeldOut, Support};
use super::verdict::outcome::{Outcome, first_identified};
use super::verdict::solution::Solution;
use crate::network::model::Model;
use crate::oracle::{Domain, Meter, Observer, Oracle, OracleError};
use crate::stage::Stage;

/// A run of one pipeline; W are its widths.
pub(crate) struct Run<'a, W> {
    pub meter: Meter<'a>,
    pub settings: Settings,
    pub evidence: Evidence,
    /// Measured accuracy of values near the origin, once it is known.
    pub accuracy: Option<f64>,
    /// As far as they were found.
    pub widths: Option<W>,
    /// The points of the certificate: the same for all attempts and rounds.
    held_out: Option<HeldOut>,
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

impl<'a, W> Run<'a, W> {
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
            held_out: None,
        }
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
        let Settings { seed, deadline, .. } = self.settings;
        let Place { coordinates, land, attempt } = place;
        let evidence = &mut self.evidence;
        coordinates.of(&mut self.meter, |f| {
            work(&mut Context { f, land, seed, attempt, deadline, evidence })
        })
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
        let (network, ended) = refine::refine(sample, start, floor, self.settings.deadline)?;
        seen(&mut self.evidence).push(ended);
        Ok((network, ended.to))
    }

    /// The points (d x n) at which all networks of this run are tested.
    pub fn hold_out(&mut self, points: DMatrix<f64>) {
        self.held_out = Some(HeldOut::new(points));
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
            sample = draw(&mut self.meter, &network, count, Purpose::AllInputs)?;
            network = self.refined(&sample, network, floor, |seen| &mut seen.refine_all_inputs)?.0;
        }
        let mut certificate = self.certified(land, &network, &sample)?;
        for round in 0..fresh.as_ref().map_or(0, |fresh| fresh.rounds) {
            let (Some(Fresh { draw, .. }), Some(count)) =
                (&fresh, self.more_points(&certificate, &sample, &network))
            else {
                break;
            };
            self.meter.enter(Stage::Refine);
            sample = sample.with(draw(&mut self.meter, &network, count, Purpose::More(round))?);
            network = self.refined(&sample, network, floor, |seen| &mut seen.refine_more)?.0;
            certificate = self.certified(land, &network, &sample)?;
        }
        Ok(Outcome::judge(network, certificate, self.settings.tolerance, accepted))
    }

    /// The certificate of `network`, fitted to `sample`.
    fn certified<N: Model>(
        &mut self,
        land: &Landscape,
        network: &N,
        sample: &Sample,
    ) -> Result<Certificate, Halt> {
        self.meter.enter(Stage::Certify);
        let support = Support::of_sample(network, sample, land, self.settings.seed);
        self.supported(land, network, &support)
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

    /// What the caller of `identify` is given; `widths_of` tells those of a network.
    pub fn solution<N>(
        mut self,
        outcome: Outcome<N>,
        widths_of: impl FnOnce(&N) -> W,
    ) -> Solution<N, W> {
        let widths = outcome.network.as_ref().map(widths_of).or(self.widths);
        let (queries, stages) = (self.meter.total(), self.meter.stages());
        outcome.into_solution(widths, self.accuracy, queries, stages, self.evidence)
    }

    /// Failures and the limits of a run are results; what is left is a broken oracle.
    pub fn settle<N>(&self, result: Result<Outcome<N>, Halt>) -> Result<Outcome<N>, OracleError> {
        Outcome::settle(result, self.meter.stage())
    }
}

/// Runs `pipeline` on the part of `oracle` that may be asked.
pub(crate) fn in_domain<N, W>(
    oracle: &mut dyn Oracle,
    settings: &Settings,
    pipeline: impl FnOnce(&mut dyn Oracle) -> Result<Solution<N, W>, OracleError>,
) -> Result<Solution<N, W>, OracleError> {
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
    use crate::network::{Activation, Class, Network};
    use crate::oracle::{NetworkOracle, Silent};

    #[test]
    fn nothing_is_certified_without_held_out_points() {
        let network = Network::random((3, 3, 1), Class::Paper, Activation::Tanh, 1).unwrap();
        let points = draws::gaussian(&mut draws::stream(1, "sample", 0), 3, 100);
        let sample = Sample { values: network.values(&points), points };
        let land = Landscape { scale: 1.0, spread: 1.0, noise_near: 1e-16, noise_growth: 1e-16 };
        let (mut f, mut silent) = (NetworkOracle::new(network.clone()), Silent);
        let mut run: Run<'_, (usize, usize)> =
            Run::new(&mut f, &mut silent, &Settings::default(), Stage::WIDE);
        let fit = Fit { network, sample, rms: 0.0 };
        let ground = Ground { land: &land, land_of_fit: &land, fresh: None };
        match run.conclude(fit, ground, true) {
            Err(Halt::Failed(failure)) => assert_eq!(failure.stage, Stage::Certify),
            _ => panic!("must fail"),
        }
    }
}
