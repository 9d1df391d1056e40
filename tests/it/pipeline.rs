//! The whole pipeline through the library: shapes, classes and scales that a program's user would not
//! think of one by one. What is called identified must be right, and within its bound.

use disentangle::algebra::rank_one::Ascent;
use disentangle::gpu::oracle::BackendRecord;
use disentangle::identify::{Pipeline, shallow};
use disentangle::network::model::Model;
use disentangle::network::{Link, Network, OneLayer};
use disentangle::oracle::{Found, Observer, Oracle, OracleError, Progress};
use disentangle::stage::Stage;
use disentangle::{
    Activation, Class, NetworkOracle, Report, Settings, Silent, Solution, Status, TwoLayer,
    identify,
};
use nalgebra::{DMatrix, DVector};

fn run(truth: &TwoLayer, settings: &Settings) -> Solution {
    identify(&mut NetworkOracle::new(truth.clone()), settings, &mut Silent).expect("never fails")
}

/// Identified, at the true widths, within 1e-9 and within its own bound.
fn assert_right(truth: &TwoLayer, solution: &Solution, name: &str) {
    assert_eq!(solution.status, Status::Identified, "{name}: {}", solution.reason);
    let found = solution.network.as_ref().expect("an identified network");
    assert_eq!(found.dims(), Network::from(truth).dims(), "{name}");
    let matching = truth.matching(found);
    let error = matching.parameter_error.expect("equal widths");
    let bound = solution.parameter_error_bound.expect("an identified network has a bound");
    assert!(error <= 1e-9, "{name}: parameter error {error:e}");
    assert!(error <= bound, "{name}: parameter error {error:e} beyond its bound {bound:e}");
    assert!(matching.output_error.expect("equal inputs") <= 1e-9, "{name}");
}

#[test]
fn every_shape_of_the_class() {
    // Narrow, square, overcomplete first layers; few and many second-layer units.
    let shapes = [(12, 6, 2), (8, 8, 3), (8, 12, 3), (10, 16, 4), (8, 8, 4), (8, 5, 3), (3, 3, 1)];
    for dims in shapes {
        for class in [Class::Paper, Class::General] {
            for activation in Activation::SATURATING {
                let truth = TwoLayer::random(dims, class, activation, 11).expect("valid sizes");
                let settings =
                    Settings { seed: 5, activation: Some(activation), ..Settings::default() };
                let name = format!("{dims:?} {class:?} {activation}");
                assert_right(&truth, &run(&truth, &settings), &name);
            }
        }
    }
}

#[test]
fn the_power_method_climbs_as_well() {
    let truth = TwoLayer::random((10, 10, 3), Class::General, Activation::Tanh, 2).expect("valid");
    let settings = Settings { ascent: Some(Ascent::Power), ..Settings::default() };
    assert_right(&truth, &run(&truth, &settings), "power");
}

#[test]
fn each_layers_activation_shows_without_being_told() {
    for (g, h) in [
        (Activation::Tanh, Activation::Erf),
        (Activation::Erf, Activation::Sigmoid),
        (Activation::Sigmoid, Activation::Tanh),
        (Activation::Erf, Activation::Erf),
    ] {
        let random = TwoLayer::random((8, 9, 3), Class::General, g, 4).expect("valid");
        let truth = TwoLayer { h, ..random };
        let name = format!("{g}, {h}");
        let solution = run(&truth, &Settings::default());
        assert_right(&truth, &solution, &name);
        let found = solution.network.expect("an identified network");
        let family = |phi: Activation| phi == Activation::Erf;
        let families: Vec<bool> = found.activations().into_iter().map(family).collect();
        assert_eq!(families, [family(g), family(h)], "{name}");
        // Another activation would have fitted either layer far worse.
        let evidence = solution.evidence.as_json();
        let seen = evidence["activation"].as_array().and_then(|tried| tried.last()).expect("seen");
        for layer in 0..2 {
            let margin = seen["margins"][layer].as_f64().unwrap_or(f64::INFINITY);
            assert!(margin > 100.0, "{name}: margin {margin} of layer {layer}");
        }
        // What is known of the layers is what the network is written in.
        let told =
            Settings { activation: Some(g), second_activation: Some(h), ..Settings::default() };
        let solution = run(&truth, &told);
        assert_right(&truth, &solution, &name);
        let found = solution.network.expect("an identified network");
        assert_eq!(found.activations(), [g, h]);
    }
}

#[test]
fn local_pipelines_refuse_layers_of_two_families() {
    let random = TwoLayer::random((4, 4, 1), Class::Paper, Activation::Tanh, 4).expect("valid");
    let truth = TwoLayer { h: Activation::Erf, ..random };
    let settings = Settings {
        pipeline: Pipeline::Entangled,
        activation: Some(Activation::Tanh),
        second_activation: Some(Activation::Erf),
        ..Settings::default()
    };
    let solution = run(&truth, &settings);
    assert_eq!((solution.status, solution.queries), (Status::NotIdentified, 0));
    assert!(solution.reason.contains("one family"), "{}", solution.reason);
}

fn smallest(network: &TwoLayer) -> TwoLayer {
    let minimal = Network::from(network).minimal().expect("not constant");
    TwoLayer::try_from(&minimal).expect("two layers")
}

#[test]
fn of_degenerate_networks_the_smallest_with_the_same_values_is_found() {
    let plain = |phi| TwoLayer::random((9, 9, 3), Class::General, phi, 6).expect("valid");
    // Units 0 and 1 of the first layer and 0 and 1 of the second move together, unit 2 of the first is
    // dead, unit 3 constant, and two inputs are idle.
    for phi in Activation::SATURATING {
        for mirrored in [false, true] {
            let mut truth = plain(phi);
            for input in [2, 5] {
                truth.a.row_mut(input).fill(0.0);
            }
            let (unit, theta) = (truth.a.column(0).into_owned(), truth.theta[0]);
            truth.a.set_column(1, &unit);
            truth.theta[1] = theta;
            let (unit, tau) = (truth.b.column(0).into_owned(), truth.tau[0]);
            truth.b.set_column(1, &unit);
            truth.tau[1] = tau;
            truth.b.row_mut(2).fill(0.0);
            truth.a.column_mut(3).fill(0.0);
            if mirrored {
                let mut whole = Network::from(truth);
                whole.flip(0, 1);
                whole.flip(1, 0);
                truth = TwoLayer::try_from(&whole).expect("as before");
            }
            let name = format!("{phi}, mirrored {mirrored}");
            let minimal = smallest(&truth);
            assert_eq!(minimal.dims(), (9, 6, 2), "{name}");
            let settings = Settings { activation: Some(phi), ..Settings::default() };
            let solution = run(&truth, &settings);
            assert_right(&minimal, &solution, &name);
            let report = Report::new(&solution, &settings, BackendRecord::cpu(), Vec::new());
            assert_eq!(report.widths, Some(vec![6, 2]), "{name}");
            assert_eq!(report.idle_inputs, Some(vec![2, 5]), "{name}");
        }
    }
    // A second-layer unit without a weight or without an input.
    for (c, b) in [(0.0, 1.0), (1.0, 0.0)] {
        let mut truth = plain(Activation::Tanh);
        truth.c[1] *= c;
        truth.b.column_mut(1).scale_mut(b);
        let minimal = smallest(&truth);
        assert_eq!(minimal.dims(), (9, 9, 2));
        assert_right(&minimal, &run(&truth, &Settings::default()), "second layer");
    }
}

#[test]
fn the_unit_of_the_inputs_does_not_matter() {
    for scale in [1e-3, 1e3] {
        let mut truth =
            TwoLayer::random((8, 8, 3), Class::General, Activation::Tanh, 3).expect("valid");
        truth.a *= scale;
        assert_right(&truth, &run(&truth, &Settings::default()), &format!("scale {scale}"));
    }
}

#[test]
fn the_activation_is_found_if_it_is_not_told() {
    let untold = Settings::default();
    let erf = TwoLayer::random((8, 6, 2), Class::General, Activation::Erf, 4).expect("valid");
    let solution = run(&erf, &untold);
    assert_right(&erf, &solution, "erf");
    let found = solution.network.expect("an identified network");
    assert_eq!(found.activations(), [Activation::Erf; 2]);
    // A sigmoid network is a tanh network in other parameters, and is reported as one.
    let sigmoid =
        TwoLayer::random((8, 6, 2), Class::General, Activation::Sigmoid, 4).expect("valid");
    assert_right(&sigmoid.centred(), &run(&sigmoid, &untold), "sigmoid");
    // Told wrongly, it is not identified.
    let wrong = Settings { activation: Some(Activation::Tanh), attempts: 1, ..Settings::default() };
    assert_ne!(run(&erf, &wrong).status, Status::Identified);
}

#[test]
fn a_limit_on_queries_is_a_result() {
    let truth = TwoLayer::random((8, 8, 3), Class::Paper, Activation::Tanh, 5).expect("valid");
    for max_queries in [1, 2_000, 4_000, 8_000] {
        let solution = run(&truth, &Settings { max_queries, ..Settings::default() });
        assert!(solution.queries <= max_queries);
        assert_ne!(solution.status, Status::Identified);
        assert!(solution.reason.contains("limit"), "{}", solution.reason);
    }
}

#[test]
fn widths_that_are_given_are_checked() {
    let truth = TwoLayer::random((8, 6, 2), Class::Paper, Activation::Tanh, 6).expect("valid");
    let given = |m0, m1| Settings { widths: Some((m0, m1)), attempts: 1, ..Settings::default() };
    assert_right(&truth, &run(&truth, &given(6, 2)), "right widths");
    assert_eq!(run(&truth, &given(6, 3)).status, Status::NotIdentified);
}

/// What an observer is told.
#[derive(Default)]
struct Told {
    /// The stages entered, in order.
    stages: Vec<Stage>,
    notes: Vec<String>,
    /// Queries by the last word on them.
    total: u64,
    batches: usize,
    subspaces: usize,
    first_layers: usize,
}

impl Told {
    fn check(&mut self, progress: Progress) {
        assert!(progress.total_queries >= self.total, "queries are taken back");
        assert!(progress.stage_queries <= progress.total_queries);
        self.total = progress.total_queries;
    }
}

impl Observer for Told {
    fn stage(&mut self, progress: Progress) {
        self.check(progress);
        self.stages.push(progress.stage);
    }

    fn queries(&mut self, progress: Progress) {
        self.check(progress);
        assert_eq!(self.stages.last(), Some(&progress.stage));
        self.batches += 1;
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    fn found(&mut self, found: Found<'_>) {
        match found {
            Found::Subspace { frame, basis, gap } => {
                let k = frame.ncols();
                assert!(basis.nrows() == k * (k + 1) / 2 && basis.ncols() >= k && gap > 1.0);
                self.subspaces += 1;
            }
            Found::FirstLayer { directions, .. } => {
                assert!(directions.column_iter().all(|a| (a.norm() - 1.0).abs() < 1e-9));
                self.first_layers += 1;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_observer_sees_the_stages_in_order_and_queries_that_grow() {
    let truth = TwoLayer::random((6, 5, 2), Class::General, Activation::Tanh, 7).expect("valid");
    let mut told = Told::default();
    let mut oracle = NetworkOracle::new(truth.clone());
    let solution = identify(&mut oracle, &Settings::default(), &mut told).expect("never fails");
    assert_right(&truth, &solution, "observed");
    // The stack is the second opinion of the lines.
    let second = [Stage::Stack, Stage::Units, Stage::Polish];
    let stages: Vec<Stage> =
        Stage::WIDE.iter().copied().filter(|stage| !second.contains(stage)).collect();
    assert_eq!(told.stages, stages);
    let booked: Vec<Stage> = solution.stages.iter().map(|stage| stage.stage).collect();
    assert_eq!(booked, stages);
    // The last batch was a certificate's: nothing is left untold.
    assert_eq!(told.total, solution.queries);
    assert!(told.batches > 20, "{}", told.batches);
    assert_eq!((told.subspaces, told.first_layers, told.notes.len()), (0, 1, 0));
    // An attempt that fails is remarked.
    let mut told = Told::default();
    let settings = Settings { widths: Some((6, 2)), attempts: 2, ..Settings::default() };
    let solution = identify(&mut oracle, &settings, &mut told).expect("never fails");
    assert_eq!(solution.status, Status::NotIdentified);
    assert_eq!(told.stages.iter().filter(|&&stage| stage == Stage::Stack).count(), 2);
    assert!(told.notes.iter().any(|note| note.starts_with("attempt 1: ")), "{:?}", told.notes);
}

/// A black box that keeps what it is asked in batches of the size of a certificate's, and is off at one point.
struct OffAtOne<F> {
    inputs: usize,
    values: F,
    held_out: Vec<DMatrix<f64>>,
    off_at: Option<DVector<f64>>,
}

impl<F: FnMut(&DMatrix<f64>) -> DVector<f64> + Send> Oracle for OffAtOne<F> {
    fn input_dim(&self) -> usize {
        self.inputs
    }

    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        if points.ncols() == 4000 {
            self.held_out.push(points.clone());
        }
        let off = points.column_iter().map(|x| match &self.off_at {
            Some(point) if x == *point => 1e-3,
            _ => 0.0,
        });
        Ok((self.values)(points) + DVector::from_iterator(points.ncols(), off))
    }
}

/// All attempts face the same held-out points, and their values are asked once: a deviation at one of them is seen by
/// every attempt, however many there are.
fn assert_seen_by_every_attempt(
    name: &str,
    inputs: usize,
    values: impl FnMut(&DMatrix<f64>) -> DVector<f64> + Send,
    mut status: impl FnMut(&mut dyn Oracle, u64) -> Status,
) {
    let mut f = OffAtOne { inputs, values, held_out: Vec::new(), off_at: None };
    assert_eq!(status(&mut f, 1), Status::Identified, "{name}");
    assert_eq!(f.held_out.len(), 1, "{name}");
    let held_out = f.held_out.remove(0);
    for k in [0, 1234, 3999] {
        f.off_at = Some(held_out.column(k).into_owned());
        f.held_out.clear();
        assert_ne!(status(&mut f, 5), Status::Identified, "{name}, point {k}");
        assert_eq!(f.held_out, std::slice::from_ref(&held_out), "{name}, point {k}");
    }
}

#[test]
fn a_deviation_at_one_held_out_point_is_seen_by_every_attempt() {
    let deep = TwoLayer::random((6, 6, 1), Class::Paper, Activation::Tanh, 1).expect("valid");
    for pipeline in [Pipeline::Wide, Pipeline::Entangled] {
        let settings = |attempts| Settings {
            pipeline,
            activation: Some(Activation::Tanh),
            widths: Some((6, 1)),
            attempts,
            domain_radius: (pipeline != Pipeline::Wide).then_some(3.0),
            link: Some(Link::None),
            ..Settings::default()
        };
        let values = |points: &DMatrix<f64>| deep.values(points);
        assert_seen_by_every_attempt(pipeline.name(), 6, values, |f, attempts| {
            identify(f, &settings(attempts), &mut Silent).expect("never fails").status
        });
    }
    let flat = OneLayer::random((5, 4), Class::General, Activation::Tanh, 1).expect("valid");
    let values = |points: &DMatrix<f64>| Model::values(&flat, points);
    assert_seen_by_every_attempt("one hidden layer", 5, values, |f, attempts| {
        let link = Some(Link::None);
        let settings = Settings { attempts, link, domain_radius: Some(3.0), ..Settings::default() };
        shallow::identify(f, &settings, &mut Silent).expect("never fails").status
    });
}
