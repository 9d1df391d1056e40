//! The pipeline of one hidden layer, stage by stage.

use nalgebra::{DMatrix, DVector};

use super::stack::{Plan, Stack, local_stack};
use super::tolerances::{NOISE_LINES_ROOM, SHALLOW_FIT_SCALES};
use super::{directions, profile};
use crate::algebra::linalg::{dual, least_squares};
use crate::algebra::svec::svec_outer;
use crate::algebra::tolerances::WEIGHTS_CUTOFF;
use crate::draws;
use crate::identify::context::Coordinates;
use crate::identify::error::IdentifyError;
use crate::identify::evidence::Profiled;
use crate::identify::failure::{Failure, Halt};
use crate::identify::fit::sample::{self, Sample};
use crate::identify::fit::tolerances::FIT_FLOOR;
use crate::identify::run::{Fit, Ground, Place, Run, in_domain};
use crate::identify::scalars::family::families;
use crate::identify::settings::Settings;
use crate::identify::survey::landscape::Landscape;
use crate::identify::survey::probe;
use crate::identify::verdict::outcome::{Outcome, first_identified};
use crate::identify::verdict::solution::Solution;
use crate::identify::verdict::tolerances::{HELD_OUT_POINTS, HELD_OUT_SCALES};
use crate::network::Activation;
use crate::network::OneLayer;
use crate::network::model::Model;
use crate::oracle::views::centred::Region;
use crate::oracle::{Observer, Oracle};
use crate::stage::Stage;

/// Identifies the network with one hidden layer behind `oracle` from values alone. Of the settings,
/// `width` is the width that is known, if any.
///
/// # Errors
/// Only if the oracle fails (an answer that is not finite, a dead process) or the settings are not
/// [valid](Settings::validate) for one hidden layer.
pub fn identify(
    oracle: &mut dyn Oracle,
    settings: &Settings,
    observer: &mut dyn Observer,
) -> Result<Solution, IdentifyError> {
    let d = oracle.input_dim();
    settings.validate(d, 1)?;
    let solution = in_domain(oracle, settings, |oracle| {
        let region = Region {
            centre: settings.local.centre(d),
            radius: settings.domain_radius.unwrap_or(f64::INFINITY),
        };
        let mut run = Run::new(oracle, observer, settings, Stage::SHALLOW);
        let result = run.mix().and_then(|()| Route { run: &mut run, region }.attempts());
        let outcome = run.settle(result)?;
        run.solution(outcome)
    })?;
    Ok(solution)
}

/// The pipeline on a run.
struct Route<'r, 'a> {
    run: &'r mut Run<'a>,
    region: Region,
}

impl Route<'_, '_> {
    fn attempts(&mut self) -> Result<Outcome<OneLayer>, Halt> {
        let Settings { seed, attempts, .. } = self.run.settings;
        self.run.meter.enter(Stage::Probe);
        let Region { centre, radius } = &self.region;
        let land = Coordinates::about(centre).of(&mut self.run.meter, |f| {
            if self.region.is_bounded() {
                probe::probe_within(f, *radius, seed)
            } else {
                probe::probe(f, seed)
            }
        })?;
        self.run.accuracy = Some(land.noise_near);
        self.run.evidence.probe.push(land.clone());
        let rng = &mut draws::stream(seed, "shallow certify", 0);
        let scales = HELD_OUT_SCALES.map(|s| s * land.scale);
        // Room for the short lines on which the noise is measured anew.
        let inner = self.region.within(NOISE_LINES_ROOM * land.scale);
        self.run.hold_out(inner.gaussian(rng, &scales, HELD_OUT_POINTS));
        let region = &self.region;
        self.run.attempts(0..attempts, |run, attempt| {
            Route { run, region: region.clone() }.attempt(&land, attempt)
        })
    }

    /// Stack and directions, then the rest by activation.
    fn attempt(&mut self, land: &Landscape, attempt: u64) -> Result<Outcome<OneLayer>, Halt> {
        let Settings { width, activation, .. } = self.run.settings;
        let ascent = self.run.settings.ascent();
        let local = self.run.settings.local.clone();
        let region = &self.region;
        let place = Place { coordinates: Coordinates::about(&region.centre), land, attempt };
        let (radius, design) = (local.radius, local.design.unwrap_or_default());
        let plan = Plan { region, radius, design, width };
        let stack = self.run.stage(Stage::Stack, place, |cx| local_stack(cx, &plan))?;
        self.run.widths = Some(vec![stack.basis.ncols()]);
        let directions = self
            .run
            .stage(Stage::Directions, place, |cx| directions::directions(cx, &stack, ascent))?;

        self.run.meter.enter(Stage::Profiles);
        let coefficients = coefficients(&stack, &directions)?;
        let count = sample::size_for(&self.blank(&directions));
        let sample = self.sample(land, count, attempt)?;
        first_identified(families(activation), |&phi| {
            let start = self.start(&stack, &directions, &coefficients, &sample, phi)?;
            self.finish(land, start, &sample)
        })
    }

    /// A network of the right shape, for counting.
    fn blank(&self, directions: &DMatrix<f64>) -> OneLayer {
        let m = directions.ncols();
        let zeros = DVector::zeros(m);
        let (theta, c) = (zeros.clone(), zeros);
        OneLayer { a: directions.clone(), theta, c, c0: 0.0, phi: Activation::Tanh }
    }

    /// Fresh points all over the region, and their values.
    fn sample(&mut self, land: &Landscape, count: usize, attempt: u64) -> Result<Sample, Halt> {
        let rng = &mut draws::stream(self.run.settings.seed, "shallow sample", attempt);
        let scales = SHALLOW_FIT_SCALES.map(|s| s * land.scale);
        let points =
            self.region.within(NOISE_LINES_ROOM * land.scale).gaussian(rng, &scales, count);
        let values = self.run.meter.values(&points)?;
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
    ) -> Result<OneLayer, Halt> {
        let m = directions.ncols();
        let places = directions.transpose() * &stack.points;
        let mut start = OneLayer { phi, ..self.blank(directions) };
        let mut worst = 0.0f64;
        for i in 0..m {
            let t: Vec<f64> = places.row(i).iter().copied().collect();
            let values: Vec<f64> = coefficients.row(i).iter().copied().collect();
            let fit = profile::fit(&t, &values, phi).ok_or_else(|| {
                Failure::new(Stage::Profiles, "a unit has no curvature at any point")
            })?;
            worst = worst.max(fit.misfit);
            start.a.column_mut(i).scale_mut(fit.slope);
            // Back from the centre to the origin.
            start.theta[i] = fit.shift + start.a.column(i).dot(&self.region.centre);
        }
        self.run.evidence.profiles.push(Profiled { activation: phi, largest_misfit: worst });
        // The derivatives with respect to c and c0 are the last m + 1 rows of the Jacobian.
        let jt = Model::jacobian_transposed(&start, &sample.points);
        let linear = jt.rows(jt.nrows() - m - 1, m + 1).transpose();
        let (weights, _) =
            least_squares(&linear, &sample.values, WEIGHTS_CUTOFF).ok_or_else(|| {
                Failure::new(Stage::Profiles, "the output weights have no least squares")
            })?;
        start.c.copy_from(&weights.rows(0, m));
        start.c0 = weights[m];
        Ok(start)
    }

    /// From a first network to the verdict.
    fn finish(
        &mut self,
        land: &Landscape,
        start: OneLayer,
        sample: &Sample,
    ) -> Result<Outcome<OneLayer>, Halt> {
        self.run.meter.enter(Stage::Refine);
        let floor = FIT_FLOOR * land.noise_near;
        let (mut network, rms) = self.run.refined(sample, start, floor, |seen| &mut seen.refine)?;
        let Settings { activation, width, .. } = self.run.settings;
        if let Some(asked) = activation {
            network = network.with_activation(asked).unwrap_or(network);
        }
        let accepted = width.is_none_or(|width| width == network.dims().1);
        let fit = Fit { network, sample: sample.clone(), rms };
        self.run.conclude(fit, Ground { land, land_of_fit: land, fresh: None }, accepted)
    }
}

/// Coefficients of the v_i v_i^T in every Hessian, m x N, by least squares.
fn coefficients(stack: &Stack, directions: &DMatrix<f64>) -> Result<DMatrix<f64>, Failure> {
    let mut outer = DMatrix::zeros(stack.hessians.nrows(), directions.ncols());
    for (v, mut outer) in directions.column_iter().zip(outer.column_iter_mut()) {
        svec_outer(v.into_owned().as_slice(), outer.as_mut_slice());
    }
    let (dual, _) = dual(&outer).ok_or_else(|| {
        Failure::new(Stage::Directions, "the matrices a_i a_i^T are linearly dependent")
    })?;
    Ok(dual.transpose() * &stack.hessians)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::rank_one::Ascent;
    use crate::identify::verdict::remedy::Remedy;
    use crate::identify::verdict::solution::Status;
    use crate::network::Class;
    use crate::oracle::NetworkOracle;
    use crate::oracle::Silent;

    fn truth((d, m): (usize, usize), phi: Activation, seed: u64) -> OneLayer {
        OneLayer::random((d, m), Class::General, phi, seed).unwrap()
    }

    fn run(truth: &OneLayer, settings: &Settings) -> Solution {
        identify(&mut NetworkOracle::new(truth.clone()), settings, &mut Silent).unwrap()
    }

    fn assert_right(truth: &OneLayer, solution: &Solution) {
        assert_eq!(solution.status, Status::Identified, "{}", solution.reason);
        assert_eq!(solution.widths, Some(vec![truth.dims().1]));
        let error = truth.matching(solution.network.as_ref().unwrap()).parameter_error.unwrap();
        let bound = solution.parameter_error_bound.unwrap();
        assert!(error <= bound && error < 1e-9, "error {error:e}, bound {bound:e}");
    }

    #[test]
    fn fewer_and_more_units_than_inputs_are_identified_by_either_ascent() {
        for (dims, phi) in [
            ((5, 1), Activation::Tanh),
            ((6, 4), Activation::Sigmoid),
            ((5, 5), Activation::Erf),
            ((6, 9), Activation::Tanh),
        ] {
            let truth = truth(dims, phi, 3);
            for ascent in [Ascent::Spectral, Ascent::Power].map(Some) {
                let settings = Settings { activation: Some(phi), ascent, ..Settings::default() };
                assert_right(&truth, &run(&truth, &settings));
            }
        }
    }

    #[test]
    fn stages_come_in_their_order_and_their_queries_are_the_total() {
        let truth = truth((5, 4), Activation::Tanh, 1);
        let solution = run(&truth, &Settings::default());
        let stages: Vec<Stage> = solution.stages.iter().map(|stage| stage.stage).collect();
        assert_eq!(stages, Stage::SHALLOW);
        assert_eq!(
            solution.stages.iter().map(|stage| stage.queries).sum::<u64>(),
            solution.queries
        );
        // The search for directions and the fit ask nothing.
        for stage in &solution.stages {
            let asks = ![Stage::Directions, Stage::Refine].contains(&stage.stage);
            assert_eq!(stage.queries > 0, asks, "{}", stage.stage);
        }
        let evidence = solution.evidence.as_json();
        for stage in ["probe", "stack", "directions", "profiles", "refine", "certify"] {
            assert_eq!(evidence[stage].as_array().map(|e| e.is_empty()), Some(false), "{stage}");
        }
        assert!(evidence.get("domain").is_none());
    }

    #[test]
    fn another_width_than_the_true_one_is_never_identified() {
        let truth = truth((5, 4), Activation::Tanh, 2);
        let given = |m| Settings { width: Some(m), attempts: 1, ..Settings::default() };
        assert_right(&truth, &run(&truth, &given(4)));
        for m in [1, 3, 5, 15, 1_000] {
            let solution = run(&truth, &given(m));
            assert_ne!(solution.status, Status::Identified, "{m}: {}", solution.reason);
            assert!(solution.remedy.is_some(), "{m}");
        }
    }

    #[test]
    fn limits_are_results_and_a_domain_is_kept() {
        let truth = truth((4, 3), Activation::Tanh, 2);
        for max_queries in [1, 1_000, 3_000] {
            let solution = run(&truth, &Settings { max_queries, ..Settings::default() });
            assert_eq!(solution.status, Status::NotIdentified);
            assert!(solution.reason.contains(": the limit of"), "{}", solution.reason);
            assert_eq!(solution.remedy, Some(Remedy::MoreQueries));
            assert!(solution.queries <= max_queries);
        }
        let centre = DVector::from_vec(vec![0.3, -0.2, 0.1, 0.5]);
        let local = crate::identify::LocalSampling { centre: Some(centre), ..Default::default() };
        let settings = Settings { domain_radius: Some(1.5), local, ..Settings::default() };
        let solution = run(&truth, &settings);
        assert_right(&truth, &solution);
        let farthest = solution.evidence.as_json()["domain"][0]["farthest_query"].as_f64().unwrap();
        assert!(farthest > 0.5 && farthest <= 1.5, "{farthest}");
    }

    #[test]
    fn settings_that_fit_no_black_box_are_errors() {
        let centre = Some(DVector::zeros(3));
        let local = crate::identify::LocalSampling { centre, ..Default::default() };
        let settings = Settings { local, ..Settings::default() };
        let mut network = NetworkOracle::new(truth((4, 3), Activation::Tanh, 2));
        let result = identify(&mut network, &settings, &mut Silent);
        assert!(matches!(result, Err(IdentifyError::Settings(_))));
    }

    #[test]
    fn coefficients_are_those_of_the_outer_products() {
        let rng = &mut draws::stream(1, "coefficients", 0);
        let directions: Vec<DVector<f64>> = (0..4).map(|_| draws::unit_vector(rng, 3)).collect();
        let directions = DMatrix::from_columns(&directions);
        let mut outer = DMatrix::zeros(6, 4);
        for (v, mut outer) in directions.column_iter().zip(outer.column_iter_mut()) {
            svec_outer(v.as_slice(), outer.as_mut_slice());
        }
        let expected = draws::gaussian(rng, 4, 7);
        let points = DMatrix::zeros(3, 7);
        let stack = Stack { points, hessians: &outer * &expected, basis: DMatrix::zeros(6, 4) };
        assert!((coefficients(&stack, &directions).unwrap() - expected).amax() < 1e-12);
        // Two units of one direction, up to sign.
        let mut twice = directions;
        let first = -twice.column(0);
        twice.set_column(3, &first);
        let failure = coefficients(&stack, &twice).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "directions: the matrices a_i a_i^T are linearly dependent"
        );
    }
}
