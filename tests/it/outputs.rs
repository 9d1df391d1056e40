//! Several outputs: one question serves all, and what one hides another shows.

use disentangle::identify::{Settings, Solution, Status, identify, shallow};
use disentangle::network::{Activation, Class, Link, Network};
use disentangle::oracle::{FnOracle, NetworkOracle, Silent};
use disentangle::stage::Stage;
use nalgebra::DMatrix;

use crate::common::trained;

fn random(dims: &[usize], outputs: usize, phi: Activation, seed: u64) -> Network {
    Network::random(dims, outputs, Class::General, phi, seed).expect("valid")
}

fn run(truth: &Network, settings: &Settings) -> Solution {
    let mut oracle = NetworkOracle::new(truth.clone());
    let solution = match truth.layers.len() {
        1 => shallow::identify(&mut oracle, settings, &mut Silent),
        _ => identify(&mut oracle, settings, &mut Silent),
    };
    solution.expect("never fails")
}

/// Identified, within 1e-9 and within the bound.
fn assert_right(truth: &Network, solution: &Solution) {
    let dims = truth.dims();
    assert_eq!(solution.status, Status::Identified, "{dims:?}: {}", solution.reason);
    let found = solution.network.as_ref().expect("an identified network");
    assert_eq!(found.dims(), dims);
    let error = truth.matching(found).parameter_error.expect("the same widths");
    let bound = solution.parameter_error_bound.expect("an identified network");
    assert!(error <= bound && error < 1e-9, "{dims:?}: {error:e}, bound {bound:e}");
}

#[test]
fn all_outputs_at_the_price_of_one() {
    for (phi, outputs) in [(Activation::Tanh, 2), (Activation::Sigmoid, 5), (Activation::Erf, 20)] {
        // Either may have bad luck with a random choice, and make another: the least of a few seeds has none.
        let ratios = (3..6).map(|seed| {
            let truth = random(&[12, 10, 4], outputs, phi, seed);
            let solution = run(&truth, &Settings::default());
            assert_right(&truth, &solution);
            let mut first = truth.clone();
            first.c = truth.c.columns(0, 1).into_owned();
            first.c0 = truth.c0.rows(0, 1).into_owned();
            let alone = run(&first, &Settings::default());
            assert_right(&first, &alone);
            // What does not hang on chance is not more.
            assert!(fixed(&solution) <= fixed(&alone), "{outputs} outputs, seed {seed}");
            solution.queries as f64 / alone.queries as f64
        });
        let least = ratios.fold(f64::INFINITY, f64::min);
        assert!(least <= 1.0, "{outputs} outputs: {least}");
    }
}

/// Queries of the stages that ask as much whatever is drawn.
fn fixed(solution: &Solution) -> u64 {
    let stages = [Stage::Outputs, Stage::Probe, Stage::Reduce, Stage::Refine, Stage::Certify];
    let of = solution.stages.iter().filter(|used| stages.contains(&used.stage));
    of.map(|used| used.queries).sum()
}

#[test]
fn what_one_output_hides_another_shows() {
    let mut truth = random(&[10, 9, 4], 3, Activation::Tanh, 1);
    // Every unit of the second layer is seen by one output alone, and one output is constant.
    for (l, k) in [(0, 0), (0, 2), (1, 1), (1, 2), (2, 0), (2, 2), (3, 1), (3, 2)] {
        truth.c[(l, k)] = 0.0;
    }
    assert_right(&truth, &run(&truth, &Settings::default()));
}

#[test]
fn one_hidden_layer_of_several_outputs() {
    let truth = random(&[8, 6], 4, Activation::Tanh, 2);
    assert_right(&truth, &run(&truth, &Settings::default()));
}

#[test]
fn within_a_domain() {
    let truth = random(&[6, 4], 3, Activation::Tanh, 2);
    let settings = Settings { domain_radius: Some(2.0), ..Settings::default() };
    assert_right(&truth, &run(&truth, &settings));
}

#[test]
fn one_output_that_deviates_is_never_identified() {
    let truth = random(&[8, 6, 3], 4, Activation::Tanh, 5);
    for size in [1e-9, 1e-4] {
        let inner = truth.clone();
        let mut deviant = FnOracle::outputs(8, 4, move |points: &DMatrix<f64>| {
            let mut answers = inner.outputs(points);
            for (x, mut y) in points.column_iter().zip(answers.column_iter_mut()) {
                y[2] += size * (3.0 * x[0]).sin();
            }
            answers
        });
        let solution = identify(&mut deviant, &Settings::default(), &mut Silent).expect("runs");
        assert_ne!(solution.status, Status::Identified, "{size:e}: {}", solution.reason);
    }
}

#[test]
fn a_trained_classifier_behind_a_softmax() {
    let truth = Network::load(trained("digits-classifier-64-32-16-10.safetensors"), None).unwrap();
    assert_eq!((truth.c.ncols(), truth.link), (10, Link::Softmax));
    assert_right(&truth, &run(&truth, &Settings::default()));
}

/// Behind a sigmoid; the answers for the first output are 1 to the last digit at many points.
fn partly_lost() -> Network {
    let mut truth = Network { link: Link::SIGMOID, ..random(&[8, 6], 3, Activation::Tanh, 2) };
    truth.c.column_mut(0).scale_mut(60.0);
    truth
}

#[test]
fn an_output_that_rounding_loses_at_some_points_is_known_by_the_others() {
    let truth = partly_lost();
    let lost = |p: f64| p == 1.0;
    let far = DMatrix::from_fn(8, 50, |i, j| 10.0 * (((i + 2) * (j + 1)) as f64).sin());
    assert!(truth.outputs(&far).row(0).iter().copied().any(lost));
    let settings = Settings { link: Some(Link::SIGMOID), depth: Some(1), ..Settings::default() };
    assert_right(&truth, &run(&truth, &settings));

    // Where it is lost it is still what the network has there.
    let inner = truth.clone();
    let mut bent = FnOracle::outputs(8, 3, move |x| {
        let mut answers = inner.outputs(x);
        answers.row_mut(0).apply(|p| *p = if lost(*p) { 1.0 - 1e-12 } else { *p });
        answers
    });
    let solution = identify(&mut bent, &settings, &mut Silent).unwrap();
    assert_ne!(solution.status, Status::Identified, "{}", solution.reason);
}

#[test]
fn an_output_that_is_cut_off_before_its_link_is_known_where_it_is_not() {
    // As `1 / (1 + exp(-clip(z, -40, 40)))` has it.
    let truth = partly_lost();
    let inner = Network { link: Link::None, ..truth.clone() };
    let mut cut = FnOracle::outputs(8, 3, move |x| {
        let mut outputs = inner.logits(x).map(|z| z.clamp(-40.0, 40.0));
        Link::SIGMOID.apply(&mut outputs);
        outputs
    });
    let settings = Settings { link: Some(Link::SIGMOID), depth: Some(1), ..Settings::default() };
    assert_right(&truth, &identify(&mut cut, &settings, &mut Silent).unwrap());
}
