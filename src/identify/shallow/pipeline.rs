//! The pipeline of one hidden layer: the survey, and the choice between its two ways.

use super::far::Far;
use super::near::Near;
use super::tolerances::NOISE_LINES_ROOM;
use crate::draws;
use crate::identify::context::Coordinates;
use crate::identify::error::IdentifyError;
use crate::identify::failure::Halt;
use crate::identify::run::Run;
use crate::identify::settings::{FirstLayer, LocalSampling, Settings};
use crate::identify::survey::landscape::Landscape;
use crate::identify::survey::probe;
use crate::identify::verdict::outcome::{Outcome, first_identified};
use crate::identify::verdict::solution::Solution;
use crate::identify::verdict::tolerances::{HELD_OUT_POINTS, HELD_OUT_SCALES};
use crate::network::OneLayer;
use crate::oracle::views::centred::Region;
use crate::oracle::{Observer, Oracle, OracleError};
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
    let settings = Settings { depth: Some(1), ..settings.clone() };
    crate::identify::kind::identify(oracle, &settings, observer)
}

/// The same on a run.
pub(crate) fn identify_on(run: &mut Run<'_>) -> Result<Outcome<OneLayer>, OracleError> {
    let region = Region {
        centre: run.settings.local.centre(run.meter.input_dim()),
        radius: run.settings.domain_radius.unwrap_or(f64::INFINITY),
    };
    let result = Route { run, region }.identify();
    run.settle(result)
}

/// The pipeline on a run.
struct Route<'r, 'a> {
    run: &'r mut Run<'a>,
    region: Region,
}

impl Route<'_, '_> {
    fn identify(&mut self) -> Result<Outcome<OneLayer>, Halt> {
        let land = self.survey()?;
        let tries = self.run.tries();
        first_identified(self.ways(&land), |way| match way {
            FirstLayer::Lines => {
                let far = Far::survey(self.run, &land)?;
                self.run.attempts(tries.clone(), |run, attempt| far.attempt(run, attempt))
            }
            _ => {
                let region = &self.region;
                self.run.attempts(tries.clone(), |run, attempt| {
                    Near { run, region }.attempt(&land, attempt)
                })
            }
        })
    }

    /// Far out, unless that is not allowed or what is asked for is near a point; there as a second opinion.
    fn ways(&self, land: &Landscape) -> &'static [FirstLayer] {
        let Settings { first_layer, ascent, ref local, .. } = self.run.settings;
        let near = ascent.is_some() || *local != LocalSampling::default();
        match first_layer {
            FirstLayer::Lines => &[FirstLayer::Lines],
            // Near a point those that grow are not told.
            FirstLayer::Auto if land.grows => &[FirstLayer::Lines],
            FirstLayer::Auto if !near && !self.region.is_bounded() => {
                &[FirstLayer::Lines, FirstLayer::Stack]
            }
            _ => &[FirstLayer::Stack],
        }
    }

    /// What f looks like, and the points that are held out.
    fn survey(&mut self) -> Result<Landscape, Halt> {
        let seed = self.run.settings.seed;
        let Region { centre, radius } = &self.region;
        let land = if self.region.is_bounded() || centre.amax() > 0.0 {
            self.run.meter.enter(Stage::Probe);
            let land = Coordinates::about(centre).of(&mut self.run.meter, |f| {
                if self.region.is_bounded() {
                    probe::probe_within(f, *radius, seed)
                } else {
                    probe::probe(f, seed)
                }
            })?;
            self.run.measured(&land);
            land
        } else {
            self.run.probed()?
        };
        let rng = &mut draws::stream(seed, "shallow certify", 0);
        let scales = HELD_OUT_SCALES.map(|s| s * land.scale);
        // Room for the short lines on which the noise is measured anew.
        let inner = self.region.within(NOISE_LINES_ROOM * land.scale);
        self.run.hold_out(inner.gaussian(rng, &scales, HELD_OUT_POINTS));
        Ok(land)
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::DVector;

    use super::*;
    use crate::algebra::rank_one::Ascent;
    use crate::identify::verdict::remedy::Remedy;
    use crate::identify::verdict::solution::Status;
    use crate::network::{Activation, Class};
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
        use Stage::{Certify, Directions, Lines, Probe, Profiles, Reduce, Refine, Stack};
        let truth = truth((5, 4), Activation::Tanh, 1);
        let far = (FirstLayer::Lines, vec![Probe, Reduce, Lines, Refine, Certify], "steps");
        let near = vec![Probe, Stack, Directions, Profiles, Refine, Certify];
        for (first_layer, expected, seen) in [far, (FirstLayer::Stack, near, "profiles")] {
            let solution = run(&truth, &Settings { first_layer, ..Settings::default() });
            let stages: Vec<Stage> = solution.stages.iter().map(|stage| stage.stage).collect();
            assert_eq!(stages, expected);
            assert_eq!(
                solution.stages.iter().map(|stage| stage.queries).sum::<u64>(),
                solution.queries
            );
            // The search for directions near a point asks nothing, nor does the fit there.
            for stage in &solution.stages {
                let silent: &[Stage] =
                    if stages.contains(&Stack) { &[Directions, Refine] } else { &[] };
                assert_eq!(stage.queries > 0, !silent.contains(&stage.stage), "{}", stage.stage);
            }
            let evidence = solution.evidence.as_json();
            for stage in ["probe", "refine", "certify", seen] {
                assert_eq!(
                    evidence[stage].as_array().map(|e| e.is_empty()),
                    Some(false),
                    "{stage}"
                );
            }
            assert!(evidence.get("domain").is_none());
        }
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
}
