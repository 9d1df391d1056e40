//! The routes for large widths, at sizes that take a moment: lines, and the fit by blocks.

use disentangle::identify::{FirstLayer, FitBy, Settings, Status, identify};
use disentangle::network::{Activation, Class, TwoLayer};
use disentangle::oracle::{NetworkOracle, Silent};

/// Identified within 1e-9 and within its bound, by lines and blocks alone.
fn assert_identified(truth: &TwoLayer, activation: Option<Activation>) {
    let settings = Settings {
        first_layer: FirstLayer::Lines,
        fit: FitBy::Blocks,
        activation,
        seed: 3,
        ..Settings::default()
    };
    let mut oracle = NetworkOracle::new(truth.clone());
    let solution = identify(&mut oracle, &settings, &mut Silent).expect("never fails");
    let dims = truth.dims();
    assert_eq!(solution.status, Status::Identified, "{dims:?}: {}", solution.reason);
    let found = solution.network.expect("an identified network");
    let error = truth.matching(&found).parameter_error.expect("the same widths");
    let bound = solution.parameter_error_bound.expect("an identified network");
    assert!(error <= bound && error < 1e-9, "{dims:?}: {error:e}, bound {bound:e}");
    let evidence = solution.evidence;
    assert!(!evidence.blocks.is_empty() && evidence.stack.is_empty() && evidence.refine.is_empty());
}

#[test]
fn fewer_units_than_inputs_as_many_and_more() {
    let cases = [
        ((16, 9, 3), Activation::Tanh),
        ((12, 12, 4), Activation::Sigmoid),
        ((10, 24, 3), Activation::Erf),
    ];
    for (dims, phi) in cases {
        let truth = TwoLayer::random(dims, Class::General, phi, 5).expect("valid");
        assert_identified(&truth, Some(phi));
    }
}

#[test]
fn activations_need_not_be_told() {
    let mut truth =
        TwoLayer::random((12, 12, 3), Class::General, Activation::Tanh, 6).expect("valid");
    truth.h = Activation::Erf;
    assert_identified(&truth, None);
}
