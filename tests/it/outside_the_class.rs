//! Black boxes that are no smooth two-layer network: an honest status or an error, never
//! `identified`, never a panic, never without end.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use disentangle::draws;
use disentangle::identify::{IdentifyError, Settings, Solution, Status, identify};
use disentangle::network::{Activation, Class, TwoLayer};
use disentangle::oracle::{FnOracle, OracleError, Silent};
use nalgebra::{DMatrix, DVectorView};

/// More than any of these takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(100);

/// Runs in a thread of its own, so that a run without end is a failure.
fn outcome(
    f: impl FnMut(DVectorView<f64>) -> f64 + Send + 'static,
) -> Result<Solution, IdentifyError> {
    outcome_of(None, f)
}

/// The same, where so many hidden layers are looked for.
fn outcome_of(
    depth: Option<usize>,
    mut f: impl FnMut(DVectorView<f64>) -> f64 + Send + 'static,
) -> Result<Solution, IdentifyError> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let settings = Settings { max_queries: 2_000_000, depth, ..Settings::default() };
        let mut f = FnOracle::new(5, |x| f(DVectorView::from_slice(x, 5)));
        let _ = send.send(identify(&mut f, &settings, &mut Silent));
    });
    receive.recv_timeout(PATIENCE).expect("a result in time, and no panic")
}

/// No network, for a reason that begins so: the stage that failed, and why.
fn assert_refused(reason: &str, f: impl FnMut(DVectorView<f64>) -> f64 + Send + 'static) {
    let solution = outcome(f).expect("a result");
    assert_eq!(solution.status, Status::NotIdentified, "{}", solution.reason);
    assert!(solution.reason.starts_with(reason), "{}", solution.reason);
    assert!(solution.network.is_none() && solution.parameter_error_bound.is_none());
    assert!(solution.remedy.is_some(), "{}", solution.reason);
}

fn weights(rows: usize, columns: usize) -> DMatrix<f64> {
    draws::gaussian(&mut draws::stream(4, "outside", 0), rows, columns)
}

#[test]
fn a_constant() {
    assert_refused("probe: the black box is constant at every scale", |_| 3.25);
    assert_refused("probe: the black box is constant at every scale", |_| 0.0);
}

#[test]
fn a_linear_function() {
    let w = weights(5, 1);
    assert_refused("probe: the black box is linear", move |x| w.column(0).dot(&x) - 0.5);
}

#[test]
fn a_quadratic_function() {
    assert_refused("probe: the values keep growing", |x| x.norm_squared());
}

#[test]
fn no_number_beyond_ten() {
    let w = weights(5, 1);
    let error =
        outcome(move |x| if x.norm() > 10.0 { f64::NAN } else { w.column(0).dot(&x).tanh() });
    assert!(
        matches!(error, Err(IdentifyError::Oracle(OracleError::NotFinite { .. }))),
        "{error:?}"
    );
}

#[test]
fn pure_noise() {
    let mut rng = draws::stream(1, "noise", 0);
    assert_refused("probe: the values are mostly noise", move |_| {
        draws::gaussian(&mut rng, 1, 1)[0]
    });
}

#[test]
fn a_relu_network() {
    let (a, b) = (weights(5, 6), weights(6, 2));
    assert_refused("lines: ", move |x| {
        let y = a.tr_mul(&x).map(|z| (z - 0.3).max(0.0));
        b.tr_mul(&y).map(|u| (u - 0.2).max(0.0)).sum()
    });
}

#[test]
fn a_step_function() {
    let a = weights(5, 6);
    // A step within the shortest of lines is noise.
    assert_refused("probe: the values are mostly noise", move |x| {
        a.tr_mul(&x).iter().map(|z| z.signum()).sum()
    });
}

#[test]
fn a_network_of_one_hidden_layer_as_two() {
    let a = weights(5, 4);
    // Found as units, but a second layer only comes near to what none is.
    let f = move |x: DVectorView<f64>| a.tr_mul(&x).iter().map(|z| (z - 0.3).tanh()).sum();
    let found = outcome(f.clone()).expect("a result");
    assert_eq!((found.status, found.widths), (Status::Identified, Some(vec![4])));
    let solution = outcome_of(Some(2), f).expect("a result");
    assert_ne!(solution.status, Status::Identified);
    assert!(solution.reason.contains("the fit"), "{}", solution.reason);
    assert!(solution.parameter_error_bound.is_none() && solution.remedy.is_some());
}

#[test]
fn a_network_of_three_hidden_layers() {
    let (a, b, c) = (weights(5, 5), weights(5, 4), weights(4, 3));
    let reason = "peel: the gradients along 4 held units show no rank below 4";
    assert_refused(reason, move |x| {
        let y = a.tr_mul(&x).map(|z| (z - 0.1).tanh());
        let y = b.tr_mul(&y).map(|z| (z + 0.2).tanh());
        c.tr_mul(&y).map(|z| (z - 0.3).tanh()).sum()
    });
}

#[test]
fn sine_units() {
    let a = weights(5, 4);
    assert_refused("units: no direction has a transition of its own", move |x| {
        a.tr_mul(&x).map(f64::sin).sum()
    });
}

/// Within the box of its inputs such a black box is a network, which is found; it is none beyond.
#[test]
fn inputs_clipped_to_a_box() {
    let truth = TwoLayer::random((5, 5, 2), Class::Paper, Activation::Tanh, 1).unwrap();
    let network = truth.clone();
    let clipped = move |x: DVectorView<f64>| {
        let inside: Vec<f64> = x.iter().map(|x| x.clamp(-30.0, 30.0)).collect();
        network.value(&inside)
    };
    let solution = outcome(clipped).unwrap();
    assert_eq!(solution.status, Status::Approximate, "{}", solution.reason);
    assert!(solution.reason.contains("clipped: input"), "{}", solution.reason);
    let bound = solution.parameter_error_bound.expect("a bound within the box");
    let matching = truth.matching(&solution.network.expect("the network within the box"));
    assert!(matching.parameter_error.is_some_and(|error| error <= bound && bound < 1e-10));
}
