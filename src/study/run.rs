//! One run: draw the network, identify it from values, and only then compare.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::black_box::BlackBox;
use super::cell::Cell;
use super::instance::Instance;
use super::judge::{WRONG, judge};
use super::record::{Ending, Record};
use super::witness::Witness;
use crate::identify::{IdentifyError, LocalSampling, Pipeline, Settings, Solution, identify};
use crate::oracle::Deadline;

/// Whether a pipeline has several ways to the first layer and to the fit: the coordinates `first_layer` and `fit`
/// are for such pipelines.
pub(super) fn is_wide(pipeline: Pipeline) -> bool {
    match pipeline {
        Pipeline::Wide => true,
        Pipeline::Entangled | Pipeline::Published => false,
    }
}

/// Whether a pipeline stays near a point: the coordinate `domain_radius` is for such pipelines.
pub(super) fn is_local(pipeline: Pipeline) -> bool {
    match pipeline {
        Pipeline::Wide => false,
        Pipeline::Entangled | Pipeline::Published => true,
    }
}

/// Whether a pipeline takes Hessians near a point: the coordinates `radius` and `hessians` are for such
/// pipelines.
pub(super) fn takes_hessians(pipeline: Pipeline) -> bool {
    match pipeline {
        Pipeline::Wide | Pipeline::Entangled => false,
        Pipeline::Published => true,
    }
}

/// What the pipeline is told of the cell and its network of these widths, by layer.
fn settings(cell: &Cell, widths: &[usize], seed: u64) -> Settings {
    let local = is_local(cell.pipeline);
    Settings {
        seed,
        depth: cell.depth_told.then_some(cell.depth),
        link: cell.told_link(),
        pipeline: cell.pipeline,
        first_layer: cell.first_layer,
        fit: cell.fit,
        activation: cell.activation_told.then_some(cell.activation),
        second_activation: cell
            .activation_told
            .then_some(cell.hardness.second_activation(cell.activation)),
        max_queries: cell.max_queries,
        attempts: cell.attempts,
        deadline: cell.time_limit.map(Duration::from_secs_f64).map(Deadline::after),
        tolerance: WRONG,
        // The local pipelines are given the widths, as the published one is.
        widths: <[usize; 2]>::try_from(widths).ok().filter(|_| local).map(Into::into),
        domain_radius: cell.domain_radius.filter(|_| local),
        local: LocalSampling {
            radius: cell.radius,
            hessians: cell.hessians,
            ..LocalSampling::default()
        },
        ..Settings::default()
    }
}

/// Runs a cell with a seed. Whatever goes wrong is in the record.
pub fn run(cell: &Cell, seed: u64) -> Record {
    watched(cell, seed, |black_box, instance, witness| {
        identify(black_box, &settings(cell, &instance.network.widths(), seed), witness)
    })
}

/// The record of what `pipeline` makes of the black box.
fn watched(
    cell: &Cell,
    seed: u64,
    pipeline: impl FnOnce(&mut BlackBox, &Instance, &mut Witness<'_>) -> Result<Solution, IdentifyError>,
) -> Record {
    let instance = match Instance::draw(cell, seed) {
        Ok(instance) => instance,
        Err(reason) => return blank(cell, seed, reason),
    };
    let mut black_box = BlackBox::new(instance.f.clone(), cell.noise, cell.precision, seed);
    let mut witness = Witness::new(&instance.network);
    let began = Instant::now();
    // A defect in one run must not lose the others; nothing of a broken run is used again.
    let outcome =
        catch_unwind(AssertUnwindSafe(|| pipeline(&mut black_box, &instance, &mut witness)));
    let seconds = began.elapsed().as_secs_f64();

    let record = match outcome {
        Ok(Ok(solution)) => judged(cell, seed, &instance, &solution),
        Ok(Err(error)) => blank(cell, seed, error.to_string()),
        Err(panic) => blank(cell, seed, format!("panic: {}", message(panic.as_ref()))),
    };
    let directions = witness.first_layer;
    Record {
        // Of a run that broke, what was seen of it.
        queries: if record.status == Ending::Error { witness.queries } else { record.queries },
        seconds,
        gap: finite(witness.gap),
        projection: finite(witness.projection),
        units_found: directions.map(|d| d.units),
        false_candidates: directions.map(|d| d.false_candidates),
        false_attributions: directions.map(|d| d.false_attributions),
        ..record
    }
}

/// The solution beside the truth.
fn judged(cell: &Cell, seed: u64, instance: &Instance, solution: &Solution) -> Record {
    let judgement = judge(cell, seed, instance, solution);
    let parameter_error = judgement.parameter_error;
    let bound = solution.parameter_error_bound;
    let width = |layer: usize| solution.widths.as_ref().and_then(|w| w.get(layer)).copied();
    Record {
        status: solution.status.into(),
        reason: solution.reason.clone(),
        wrong: judgement.wrong,
        parameter_error: finite(parameter_error),
        bound: finite(bound),
        bound_violated: parameter_error.zip(bound).map(|(error, bound)| error > bound),
        residual: finite(solution.residual),
        unexplained: judgement.unexplained,
        queries: solution.queries,
        m0_found: width(0),
        // A second layer of width zero is one that was not found.
        m1_found: width(1).filter(|&m1| m1 > 0),
        ..blank(cell, seed, String::new())
    }
}

/// A run that came to nothing.
fn blank(cell: &Cell, seed: u64, reason: String) -> Record {
    Record {
        cell: cell.clone(),
        seed,
        status: Ending::Error,
        reason,
        wrong: false,
        parameter_error: None,
        bound: None,
        bound_violated: None,
        residual: None,
        unexplained: None,
        queries: 0,
        seconds: 0.0,
        m0_found: None,
        m1_found: None,
        units_found: None,
        false_candidates: None,
        false_attributions: None,
        gap: None,
        projection: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

/// JSON has no infinities: what is not finite is absent.
fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::evidence::Certified;
    use crate::identify::survey::landscape::Landscape;
    use crate::identify::{Evidence, FirstLayer, FitBy, Status};
    use crate::network::{Activation, Ensemble, Network};
    use crate::oracle::OracleError;
    use crate::study::cell::tests::cell;
    use crate::study::{Deviant, Deviation};

    fn solved(network: Option<Network>, status: Status) -> Solution {
        Solution {
            status,
            reason: String::new(),
            remedy: None,
            network,
            depth: 2,
            widths: None,
            residual: Some(1e-13),
            parameter_error_bound: Some(1e-9),
            oracle_accuracy: None,
            queries: 0,
            stages: Vec::new(),
            evidence: Default::default(),
        }
    }

    #[test]
    fn a_run_is_recorded_with_its_measurements() {
        // The stack has a gap and a projection, lines have not.
        let first_layer = FirstLayer::Stack;
        let cell = Cell { first_layer, max_queries: 20_000_000, ..cell() };
        let record = run(&cell, 1);
        assert_eq!(record.status, Ending::Identified, "{}", record.reason);
        assert!(!record.wrong && record.parameter_error.unwrap() < 1e-9);
        assert_eq!(
            (record.m0_found, record.m1_found, record.units_found),
            (Some(8), Some(3), Some(8))
        );
        assert_eq!((record.false_candidates, record.false_attributions), (Some(0), Some(0)));
        assert!(record.queries > 1000 && record.gap.unwrap() > 1.0);
        assert!(record.projection.unwrap() > 0.9);
        let again = run(&cell, 1);
        assert_eq!(Record { seconds: 0.0, ..again }, Record { seconds: 0.0, ..record });
    }

    #[test]
    fn the_run_goes_the_way_of_its_cell() {
        let cell = Cell { first_layer: FirstLayer::Lines, fit: FitBy::Blocks, ..cell() };
        let settings = settings(&cell, &[8, 3], 1);
        assert_eq!((settings.first_layer, settings.fit), (FirstLayer::Lines, FitBy::Blocks));
    }

    #[test]
    fn out_of_queries_is_no_error() {
        let record = run(&cell(), 1);
        assert_eq!(record.status, Ending::NotIdentified);
        assert!(record.reason.contains("limit of 1000 queries"), "{}", record.reason);
        assert!(record.queries <= 1000);
    }

    #[test]
    fn out_of_time_is_no_error() {
        let cell = Cell { max_queries: 20_000_000, time_limit: Some(1e-9), ..cell() };
        let record = run(&cell, 1);
        assert_eq!(record.status, Ending::NotIdentified);
        assert!(record.reason.contains("time"), "{}", record.reason);
    }

    #[test]
    fn a_run_that_breaks_is_recorded_with_its_message() {
        let panicked = watched(&cell(), 7, |_, _, _| panic!("row {}", 3));
        assert_eq!((panicked.status, panicked.seed), (Ending::Error, 7));
        assert_eq!(panicked.reason, "panic: row 3");
        let failed =
            watched(&cell(), 7, |_, _, _| Err(OracleError::Count { asked: 2, found: 1 }.into()));
        assert_eq!(failed.status, Ending::Error);
        assert_eq!(failed.reason, "the oracle answered 1 values where 2 are due");
        assert!(!failed.wrong && failed.m0_found.is_none());
    }

    #[test]
    fn another_network_called_identified_is_wrong() {
        let ensemble = Ensemble { shift_spread: 0.1, condition: None };
        let draw = |widths: [usize; 3], seed| {
            Network::of_ensemble(&widths, 1, ensemble, Activation::Tanh, seed).unwrap()
        };
        let truth = draw([8, 8, 3], 1);
        let mut near = truth.clone();
        near.layers[1].shifts[1] += 1e-7;
        let instance = Instance { f: Deviant::exact(truth.clone()), network: truth, hidden: None };
        let verdict = |found: &Network, status| {
            judged(&cell(), 1, &instance, &solved(Some(found.clone()), status))
        };
        let right = verdict(&near, Status::Identified);
        // The bound of 1e-9 does not hold, and the network is the true one all the same.
        assert!(!right.wrong && right.bound_violated == Some(true));
        assert!(verdict(&draw([8, 8, 3], 2), Status::Identified).wrong);
        assert!(verdict(&draw([8, 7, 3], 1), Status::Identified).wrong);
        assert!(!verdict(&draw([8, 8, 3], 2), Status::Approximate).wrong);
        let rough =
            Solution { residual: Some(0.1), ..solved(Some(near.clone()), Status::Identified) };
        assert!(judged(&cell(), 1, &instance, &rough).wrong);
        near.layers[1].shifts[1] += 1e-5;
        assert!(verdict(&near, Status::Identified).wrong);
    }

    /// The record of one who takes the network within for the whole and has a residual of 1e-13.
    fn blind(deviation: Deviation) -> Record {
        let cell = Cell { deviation, ..cell() };
        let mut evidence = Evidence::default();
        evidence.probe.push(Landscape {
            scale: 2.0,
            spread: 1.0,
            noise_near: 1e-15,
            noise_growth: 1e-15,
            grows: false,
        });
        evidence
            .certify
            .push(Certified { error_bound_dependent: Some(1e-9), ..Certified::default() });
        watched(&cell, 1, |_, _, _| {
            let network = Instance::draw(&self::cell(), 1).map(|instance| instance.network).ok();
            let solution = solved(network, Status::Identified);
            Ok(Solution { evidence: evidence.clone(), ..solution })
        })
    }

    #[test]
    fn a_departure_that_was_missed_is_wrong_where_the_certificate_speaks_of_it() {
        for deviation in [
            Deviation::FirstUnit(1e-6),
            Deviation::SecondUnit(1e-6),
            Deviation::ThirdLayer(1e-9),
            Deviation::Sine(1e-9),
            Deviation::Far(300.0),
            Deviation::Clip(100.0),
            Deviation::Rare(1e-2),
            Deviation::Bent(1e-9),
            Deviation::ClippedOutputs(1.0),
        ] {
            let record = blind(deviation);
            assert!(record.wrong, "{deviation}: {record:?}");
        }
        for deviation in [
            Deviation::None,
            // Within the bound of 1e-9 for dependent errors it is no unit.
            Deviation::SecondUnit(1e-10),
            // Too small, too far out, too rare to be seen by so many points.
            Deviation::Sine(1e-14),
            Deviation::Far(1e5),
            Deviation::Clip(1e5),
            Deviation::Rare(1e-4),
            Deviation::ClippedOutputs(7.0),
        ] {
            let record = blind(deviation);
            assert!(!record.wrong, "{deviation}: {record:?}");
        }
    }
}
