//! The pipelines that stay near a point: what they identify, that no query leaves the domain, and that
//! they call nothing identified which is not.

use disentangle::draws;
use disentangle::identify::{
    Descent, LocalSampling, Pipeline, Settings, Solution, Status, identify,
};
use disentangle::network::{Activation, Ensemble, TwoLayer};
use disentangle::oracle::design::Design;
use disentangle::oracle::{FnOracle, NetworkOracle, Silent};
use nalgebra::{DMatrix, DVector};

/// Values only, so that nothing escapes it; `farthest` is how far from `centre` it was ever asked.
fn watched<'f>(
    mut values: impl FnMut(&DMatrix<f64>) -> DVector<f64> + Send + 'f,
    centre: DVector<f64>,
    farthest: &'f mut f64,
) -> FnOracle<'f> {
    FnOracle::batch(centre.len(), move |points| {
        for x in points.column_iter() {
            *farthest = farthest.max((x - &centre).norm());
        }
        values(points)
    })
}

fn paper(dims: (usize, usize, usize), phi: Activation, std: f64, seed: u64) -> TwoLayer {
    let ensemble = Ensemble { shift_spread: std, condition: None };
    TwoLayer::of_ensemble(dims, ensemble, phi, seed).unwrap()
}

fn local(pipeline: Pipeline, phi: Activation, seed: u64) -> Settings {
    Settings {
        seed,
        pipeline,
        activation: Some(phi),
        domain_radius: Some(3.0),
        ..Settings::default()
    }
}

fn assert_right(truth: &TwoLayer, solution: &Solution) {
    assert_eq!(solution.status, Status::Identified, "{}", solution.reason);
    let error = truth.matching(solution.network.as_ref().unwrap()).parameter_error.unwrap();
    let bound = solution.parameter_error_bound.unwrap();
    assert!(error < bound && error < 1e-8, "error {error:.2e}, bound {bound:.2e}");
}

#[test]
fn networks_are_identified_within_the_domain() {
    for phi in [Activation::Tanh, Activation::Sigmoid, Activation::Erf] {
        for seed in 0..2 {
            let truth = paper((10, 10, 3), phi, 0.05, seed);
            let mut farthest = 0.0;
            let settings =
                Settings { widths: Some((10, 3)), ..local(Pipeline::Entangled, phi, seed) };
            let solution = {
                let mut f = watched(|x| truth.values(x), DVector::zeros(10), &mut farthest);
                identify(&mut f, &settings, &mut Silent).unwrap()
            };
            assert_right(&truth, &solution);
            assert!(farthest <= 3.0, "{farthest}");
            let said = solution.evidence.as_json()["domain"][0]["farthest_query"].as_f64().unwrap();
            assert!((farthest..=3.0).contains(&said), "{said} {farthest}");
        }
    }
}

#[test]
fn wrong_units_are_exchanged_until_the_network_is_right() {
    // With shifts this large third derivatives show some of the units only.
    let (mut identified, mut exchanged) = (Vec::new(), Vec::new());
    for seed in 0..4 {
        let truth = paper((10, 10, 3), Activation::Tanh, 0.5, seed);
        let settings = Settings {
            widths: Some((10, 3)),
            ..local(Pipeline::Entangled, Activation::Tanh, seed)
        };
        let solution =
            identify(&mut NetworkOracle::new(truth.clone()), &settings, &mut Silent).unwrap();
        if solution.status != Status::Identified {
            continue;
        }
        assert_right(&truth, &solution);
        identified.push(seed);
        exchanged.extend(solution.evidence.as_json()["repair"].is_array().then_some(seed));
    }
    assert_eq!((identified, exchanged), (vec![0, 1, 2, 3], vec![1, 2, 3]));
}

#[test]
fn widths_and_activation_need_not_be_told() {
    let truth = paper((9, 9, 2), Activation::Tanh, 0.05, 1);
    let settings = Settings { activation: None, ..local(Pipeline::Entangled, Activation::Tanh, 1) };
    let solution =
        identify(&mut NetworkOracle::new(truth.clone()), &settings, &mut Silent).unwrap();
    assert_right(&truth, &solution);
    assert_eq!(solution.widths, Some(vec![9, 2]));
}

#[test]
fn fewer_units_than_inputs_and_another_centre() {
    let mut truth = paper((13, 8, 2), Activation::Tanh, 0.05, 2);
    let centre = draws::unit_vector(&mut draws::stream(1, "centre", 0), 13) * 40.0;
    // The same network about the centre.
    truth.theta += truth.a.transpose() * &centre;
    let mut farthest = 0.0;
    let settings = Settings {
        local: LocalSampling { centre: Some(centre.clone()), ..LocalSampling::default() },
        ..local(Pipeline::Entangled, Activation::Tanh, 2)
    };
    let solution = {
        let mut f = watched(|x| truth.values(x), centre, &mut farthest);
        identify(&mut f, &settings, &mut Silent).unwrap()
    };
    assert_right(&truth, &solution);
    assert!(farthest <= 3.0 * (1.0 + 1e-12));
}

#[test]
fn without_a_domain_the_saturation_rule_is_heard() {
    let truth = paper((9, 9, 2), Activation::Tanh, 0.05, 3);
    let settings =
        Settings { domain_radius: None, ..local(Pipeline::Entangled, Activation::Tanh, 3) };
    let solution =
        identify(&mut NetworkOracle::new(truth.clone()), &settings, &mut Silent).unwrap();
    assert_right(&truth, &solution);
    let evidence = solution.evidence.as_json();
    let said = evidence["attribution"].as_array().unwrap();
    assert!(
        said.iter().any(|a| {
            let saturation = &a["far_out"]["saturation"];
            saturation["layers"]["first"].as_u64() >= Some(7)
                && saturation["margin"].as_f64() > Some(0.3)
        }),
        "{said:?}"
    );
    assert!(
        said.iter().any(|a| a["far_out"]["survival"]["margin"].as_f64() > Some(3.0)),
        "{said:?}"
    );
}

#[test]
fn the_published_search_reports_its_conditions_and_is_never_wrong() {
    let mut identified = Vec::new();
    for seed in 0..6 {
        let truth = paper((10, 10, 1), Activation::Tanh, 0.05, seed);
        let settings = Settings {
            widths: Some((10, 1)),
            local: LocalSampling { radius: Some(0.3), ..LocalSampling::default() },
            attempts: 2,
            ..local(Pipeline::Published, Activation::Tanh, seed)
        };
        let solution =
            identify(&mut NetworkOracle::new(truth.clone()), &settings, &mut Silent).unwrap();
        let evidence = solution.evidence.as_json();
        let ascent = evidence["ascent"].as_array().unwrap().last().unwrap();
        assert_eq!(ascent["dimension"], 11);
        assert!(ascent["whitening"]["condition"].as_f64() >= Some(1.0), "{ascent}");
        if solution.status == Status::Identified {
            assert_right(&truth, &solution);
            identified.push(seed);
            let conditions = ascent["conditions"].as_array().unwrap();
            assert_eq!(conditions.len(), 11);
            for condition in conditions {
                let of = |name: &str| condition[name].as_f64().unwrap();
                assert!(of("distance") < 0.1 && of("second_order") < 0.0, "{condition}");
                assert!(of("separation") > 0.0 && of("spectral_norm") > 0.94, "{condition}");
            }
        }
    }
    assert_eq!(identified, [0, 2, 3, 4]);
}

#[test]
fn every_design_and_descent_serves_the_published_search() {
    let identified = [
        (Design::Sphere, Descent::GaussNewton),
        (Design::Ball, Descent::GaussNewton),
        (Design::Gaussian, Descent::GaussNewton),
        (Design::Sphere, Descent::Gradient),
    ]
    .map(|(design, descent)| {
        (1..3u64)
            .filter(|&seed| {
                let truth = paper((8, 8, 1), Activation::Tanh, 0.05, seed);
                let radius = Some(0.3);
                let settings = Settings {
                    widths: Some((8, 1)),
                    local: LocalSampling {
                        radius,
                        design: Some(design),
                        descent: Some(descent),
                        hessians: Some(60),
                        centre: None,
                    },
                    ..local(Pipeline::Published, Activation::Tanh, seed)
                };
                let solution =
                    identify(&mut NetworkOracle::new(truth.clone()), &settings, &mut Silent)
                        .unwrap();
                assert_eq!(solution.evidence.as_json()["ascent"][0]["hessians"], 60);
                let identified = solution.status == Status::Identified;
                if identified {
                    assert_right(&truth, &solution);
                }
                identified
            })
            .collect::<Vec<u64>>()
    });
    assert_eq!(identified, [vec![1, 2], vec![1, 2], vec![1], vec![1, 2]]);
}

/// Which of some networks of 8-8-1 are identified whose A has this condition number.
fn identified_of_condition(condition: f64, seeds: u64, settings: &Settings) -> Vec<u64> {
    let ensemble = Ensemble { shift_spread: 0.05, condition: Some(condition) };
    let mut identified = Vec::new();
    for seed in 0..seeds {
        let truth = TwoLayer::of_ensemble((8, 8, 1), ensemble, Activation::Tanh, seed).unwrap();
        let settings = Settings { seed, ..settings.clone() };
        let solution =
            identify(&mut NetworkOracle::new(truth.clone()), &settings, &mut Silent).unwrap();
        if solution.status == Status::Identified {
            assert_right(&truth, &solution);
            identified.push(seed);
        }
    }
    identified
}

#[test]
fn first_layers_far_from_orthonormal() {
    let entangled =
        Settings { widths: Some((8, 1)), ..local(Pipeline::Entangled, Activation::Tanh, 0) };
    assert_eq!(identified_of_condition(100.0, 3, &entangled), [0, 1, 2]);
    // Whitened; without that none of ten is.
    let published = Settings {
        local: LocalSampling { radius: Some(0.3), ..LocalSampling::default() },
        pipeline: Pipeline::Published,
        ..entangled
    };
    assert_eq!(identified_of_condition(100.0, 10, &published), [0, 5, 8, 9]);
}

#[test]
fn the_published_search_takes_its_dimension_from_the_gap() {
    let mut identified = Vec::new();
    for seed in 0..4 {
        let truth = paper((10, 10, 1), Activation::Tanh, 0.05, seed);
        let settings = Settings {
            local: LocalSampling { radius: Some(0.3), ..LocalSampling::default() },
            attempts: 1,
            ..local(Pipeline::Published, Activation::Tanh, seed)
        };
        let solution =
            identify(&mut NetworkOracle::new(truth.clone()), &settings, &mut Silent).unwrap();
        let gaps = solution.evidence.as_json()["widths_by_gap"][0]["gaps"].clone();
        assert_eq!(gaps.as_array().map(Vec::len), Some(7));
        if solution.status == Status::Identified {
            assert_right(&truth, &solution);
            identified.push(seed);
        }
    }
    assert_eq!(identified, [0, 2, 3]);
}

#[test]
fn a_second_layer_wider_than_the_first_is_refused_at_once() {
    let truth = paper((6, 6, 1), Activation::Tanh, 0.05, 0);
    for pipeline in [Pipeline::Entangled, Pipeline::Published] {
        let settings =
            Settings { widths: Some((6, 1_000_000)), ..local(pipeline, Activation::Tanh, 0) };
        let solution =
            identify(&mut NetworkOracle::new(truth.clone()), &settings, &mut Silent).unwrap();
        assert_eq!(solution.status, Status::NotIdentified);
        assert!(solution.reason.contains("at most m0 = 6"), "{}", solution.reason);
    }
}

#[test]
fn functions_of_no_such_kind_are_not_identified() {
    type Function = fn(&[f64]) -> f64;
    let functions: [(&str, Function); 4] = [
        ("quadratic", |x| x.iter().map(|v| v * v).sum::<f64>() + x[0] * x[1]),
        ("sines", |x| (1.3 * x[0] + x[1]).sin() + (x[2] - 0.4 * x[3]).sin() + (x[0] + x[4]).cos()),
        ("ReLU", |x| (x[0] + x[1]).max(0.0) + (x[2] - x[3] + 0.1).max(0.0) + x[4].max(0.0)),
        ("three layers", |x| {
            let first: Vec<f64> =
                (0..5).map(|i| (x[i] + 0.5 * x[(i + 1) % 5] - 0.1).tanh()).collect();
            let second: Vec<f64> =
                (0..5).map(|i| (first[i] - 0.7 * first[(i + 2) % 5]).tanh()).collect();
            (second[0] + 0.8 * second[1]).tanh() + (second[2] - second[3] + 0.5 * second[4]).tanh()
        }),
    ];
    // By the entangled pipeline and as published.
    let reasons = [
        ["directions: the third derivatives vanish", "directions: "],
        ["scales: no partition fits well", "scales: no partition fits well"],
        ["attribution: the directions do not span the space", "scales: no partition fits well"],
        ["scales: no partition fits well", "directions: "],
    ];
    for ((name, function), reasons) in functions.into_iter().zip(reasons) {
        for (pipeline, reason) in
            [Pipeline::Entangled, Pipeline::Published].into_iter().zip(reasons)
        {
            let mut f = FnOracle::new(5, function);
            let settings = Settings { attempts: 1, ..local(pipeline, Activation::Tanh, 1) };
            let solution = identify(&mut f, &settings, &mut Silent).unwrap();
            let said = format!("{name} by {}: {}", pipeline.name(), solution.reason);
            assert_eq!(solution.status, Status::NotIdentified, "{said}");
            assert!(solution.reason.starts_with(reason), "{said}");
        }
    }
}
