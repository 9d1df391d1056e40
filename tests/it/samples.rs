//! From samples: the program and the library, and what must not be identified.

use std::io::{BufRead, BufReader};
use std::path::Path;

use assert_cmd::Command;
use disentangle::nalgebra::DMatrix;
use disentangle::samples::{FitSettings, Method, Samples, draw_samples, fit};
use disentangle::{Activation, Class, Network, Status};

fn teacher(d: usize, k: usize, outputs: usize, phi: Activation, seed: u64) -> Network {
    Network::random(&[d, k], outputs, Class::Centred, phi, seed).unwrap()
}

/// Runs the program in the folder, which must end with this code and say this.
fn run(folder: &Path, arguments: &str, code: i32, says: &str) {
    let mut command = Command::cargo_bin("disentangle").unwrap();
    let output = command.current_dir(folder).args(arguments.split_whitespace()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(output.status.code(), Some(code), "{arguments}: {said}");
    assert!(said.contains(says), "{arguments}: {said}");
}

#[test]
fn a_network_is_identified_from_a_file_of_its_samples() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let drawn = "generate --dims 8,3 --class centred --activation relu --outputs 2 --seed 3";
    run(at, &format!("{drawn} --out g.safetensors"), 0, "class centred");
    run(at, "sample --network g.safetensors --n 8000 --seed 1 --out s.npz", 0, "8000 samples");
    let fit = "fit --samples s.npz --activation relu --out f.safetensors --report r.json";
    for method in ["tensor", "exact"] {
        let identified = "identified (held-out samples agree to rounding)";
        run(at, &format!("{fit} --method {method}"), 0, identified);
        run(at, "verify g.safetensors f.safetensors --tol 1e-12", 0, "yes");
    }
    let report = std::fs::read(at.join("r.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["schema"], "disentangle-fit-1");
    assert_eq!((&report["status"], &report["units"]), (&"identified".into(), &3.into()));
    assert_eq!((&report["samples"], &report["held_out"]), (&8000.into(), &800.into()));
    // Of another activation it is not, and says what may help.
    run(at, "fit --samples s.npz --activation tanh --units 3 --attempts 2", 1, "what may help");
}

/// Ctrl-C and SIGTERM in the middle of a long fit, whose stages are told on stderr.
#[cfg(unix)]
#[test]
fn a_fit_that_is_interrupted_ends_at_once_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (x, y) = draw_samples(&teacher(10, 4, 1, Activation::Tanh, 0), 3000, 1.0, 1);
    let line = |j: usize| {
        let (x, y) = (x.column(j), y.column(j));
        x.iter().chain(y.iter()).map(f64::to_string).collect::<Vec<_>>().join(",")
    };
    let head: Vec<String> = (0..10).map(|i| format!("x{i}")).chain(["y".to_owned()]).collect();
    let lines: Vec<String> = [head.join(",")].into_iter().chain((0..3000).map(line)).collect();
    std::fs::write(at.join("s.csv"), lines.join("\n")).unwrap();
    let long =
        "fit --samples s.csv --activation tanh --units 4 --attempts 100000 --out g --report r";
    for signal in ["-INT", "-TERM"] {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("disentangle"))
            .current_dir(at)
            .args(long.split_whitespace())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(said.any(|line| line.contains("refinement, 4 units, start 1 of at most 100000")));
        let id = child.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
        assert!(said.any(|line| line.contains("interrupted; nothing was written")), "{signal}");
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal}");
        assert_eq!(std::fs::read_dir(at).unwrap().count(), 1, "{signal}");
    }
}

#[test]
fn what_cannot_be_fitted_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("s.csv"), "x0,y\n1,2\n").unwrap();
    for (arguments, code, says) in [
        ("s.csv --activation quadratic", 2, "rho = 0"),
        ("s.csv --activation relu --depth 2", 2, "two hidden layers"),
        ("none.csv --activation relu", 2, "cannot read"),
        ("s.csv --activation relu --out no/g", 2, "cannot write"),
        ("s.csv --activation relu", 1, "1 samples for 2 parameters"),
        ("s.csv --activation tanh --method exact", 1, "not of tanh"),
        ("s.csv --activation relu --units 2", 1, "2 units of 1 inputs"),
    ] {
        run(at, &format!("fit --samples {arguments}"), code, says);
    }
}

#[test]
fn every_activation_with_moments_is_identified_from_inputs_of_any_mean_and_covariance() {
    for (phi, n) in [
        (Activation::Relu, 12_000),
        (Activation::LeakyRelu, 12_000),
        (Activation::SquaredRelu, 12_000),
        (Activation::Tanh, 30_000),
        (Activation::Erf, 30_000),
    ] {
        let truth = teacher(8, 3, 1, phi, 5);
        let (mut x, mut y) = draw_samples(&truth, n, 0.0, 1);
        let settings = FitSettings { units: Some(3), ..FitSettings::new(phi) };
        for moved in [false, true] {
            if moved {
                x = DMatrix::from_fn(8, n, |i, j| {
                    0.2 + x[(i, j)] * (1.0 + 0.1 * i as f64) + 0.3 * x[((i + 1) % 8, j)]
                });
                y = truth.outputs(&x);
            }
            let found = fit(&Samples::new(x.clone(), y.clone()).unwrap(), &settings).unwrap();
            assert_eq!(found.status, Status::Identified, "{phi} {moved}: {}", found.reason);
            assert_eq!(found.evidence.whitened, Some(moved), "{phi}");
            let error = truth.matching(&found.network.unwrap()).parameter_error.unwrap();
            assert!(error < 1e-12 && error <= found.verdict.unwrap().bound, "{phi}: {error}");
        }
    }
}

#[test]
fn with_noise_the_error_is_within_the_bound() {
    for outputs in [1, 4] {
        let truth = teacher(8, 3, outputs, Activation::Relu, 2);
        let (x, y) = draw_samples(&truth, 20_000, 1e-2, 3);
        let samples = Samples::new(x, y).unwrap();
        let told =
            FitSettings { noise: 1e-2, tolerance: 0.1, ..FitSettings::new(Activation::Relu) };
        let found = fit(&samples, &told).unwrap();
        assert_eq!(found.status, Status::Identified, "{}", found.reason);
        let error = truth.matching(&found.network.unwrap()).parameter_error.unwrap();
        assert!(error > 1e-6 && error <= found.verdict.unwrap().bound, "{error}");
        // Noise that is not told, and an error that is not accepted.
        let untold = FitSettings { noise: 0.0, attempts: 2, ..told.clone() };
        assert_eq!(fit(&samples, &untold).unwrap().status, Status::Approximate);
        let strict = FitSettings { tolerance: 1e-6, ..told };
        assert_eq!(fit(&samples, &strict).unwrap().status, Status::Approximate);
    }
}

#[test]
fn nothing_is_identified_that_is_not_there() {
    let n = 12_000;
    let truth = teacher(8, 3, 1, Activation::Relu, 4);
    for noise in [0.0, 1e-2] {
        let (x, y) = draw_samples(&truth, n, noise, 2);
        let told = FitSettings {
            units: Some(3),
            noise,
            attempts: 4,
            tolerance: 0.1,
            ..FitSettings::new(Activation::Relu)
        };
        let refused = |what: &str, x: &DMatrix<f64>, y: &DMatrix<f64>, told: FitSettings| {
            for method in [Method::Tensor, Method::Exact] {
                let told = FitSettings { method, ..told.clone() };
                let found = fit(&Samples::new(x.clone(), y.clone()).unwrap(), &told).unwrap();
                assert_ne!(found.status, Status::Identified, "{what}, noise {noise}, {method:?}");
                assert!(found.remedy.is_some(), "{what}");
            }
        };
        for units in [1, 2, 4, 5] {
            refused(
                "another number of units",
                &x,
                &y,
                FitSettings { units: Some(units), ..told.clone() },
            );
        }
        for activation in
            [Activation::LeakyRelu, Activation::Tanh, Activation::SquaredRelu, Activation::Gelu]
        {
            refused("another activation", &x, &y, FitSettings { activation, ..told.clone() });
        }
        let moved: Vec<usize> = (0..n).map(|j| (j + n / 3) % n).collect();
        refused("shuffled outputs", &x, &y.select_columns(&moved), told.clone());
        let (loud, shuffled) =
            (FitSettings { noise: 2.0, ..told.clone() }, y.select_columns(&moved));
        refused("shuffled outputs called noise", &x, &shuffled, loud);
        let signs = x.map(f64::signum);
        refused("inputs of signs", &signs, &truth.outputs(&signs), told.clone());
        let shifted = y.add_scalar(0.5);
        refused("an offset", &x, &shifted, told.clone());
    }
    let few =
        Samples::new(DMatrix::from_element(8, 50, 1.0), DMatrix::from_element(1, 50, 1.0)).unwrap();
    assert_eq!(
        fit(&few, &FitSettings::new(Activation::Relu)).unwrap().status,
        Status::NotIdentified
    );
    let flat = Samples::new(DMatrix::from_element(2, 500, 1.0), DMatrix::from_element(1, 500, 1.0))
        .unwrap();
    let found = fit(&flat, &FitSettings::new(Activation::Relu)).unwrap();
    assert!(
        found.status == Status::NotIdentified && found.reason.contains("subspace"),
        "{}",
        found.reason
    );
}

/// Weights that depend on each other and output weights of a low rank: what the moments do not show is searched for.
#[test]
fn units_that_the_moments_do_not_show_are_found_by_search() {
    let planar = |outputs: usize| {
        let mut truth = teacher(8, 4, outputs, Activation::Relu, 6);
        let weights = &mut truth.layers[0].weights;
        let third = (weights.column(0) - weights.column(1) * 0.5).normalize();
        weights.set_column(2, &third);
        truth
    };
    let mut low = teacher(8, 3, 3, Activation::Relu, 7);
    // Outputs that are multiples of one.
    let (mixture, row) = (low.c.column(0).clone_owned(), [1.0, -0.5, 2.0]);
    row.iter().enumerate().for_each(|(o, factor)| low.c.set_column(o, &(&mixture * *factor)));
    for truth in [planar(1), planar(4), low] {
        let (x, y) = draw_samples(&truth, 12_000, 0.0, 1);
        let found = fit(&Samples::new(x, y).unwrap(), &FitSettings::new(Activation::Relu)).unwrap();
        assert_eq!(found.status, Status::Identified, "{truth}: {}", found.reason);
        let error = truth.matching(&found.network.unwrap()).parameter_error.unwrap();
        assert!(error < 1e-12, "{truth}: {error}");
    }
}

/// Three units whose weights, times their output weights, sum to nothing compute the same when all are turned round.
#[test]
fn units_that_may_be_turned_together_are_not_identified() {
    for (phi, offset) in
        [(Activation::Relu, 0.0), (Activation::Softplus, 0.0), (Activation::Relu, 1e-3)]
    {
        let mut truth = teacher(6, 3, 1, phi, 1);
        truth.c.fill(1.0);
        let weights = &mut truth.layers[0].weights;
        let sum = -(weights.column(0) + weights.column(1));
        weights.set_column(2, &(sum * (1.0 + offset)));
        let mut turned = truth.clone();
        turned.layers[0].weights.neg_mut();
        let (x, y) = draw_samples(&truth, 12_000, 0.0, 1);
        let same = (turned.outputs(&x) - &y).amax() < 1e-12;
        assert_eq!(same, offset == 0.0, "{phi}");
        let settings = FitSettings { units: Some(3), ..FitSettings::new(phi) };
        let found = fit(&Samples::new(x, y).unwrap(), &settings).unwrap();
        if same {
            assert_ne!(found.status, Status::Identified, "{phi}");
            assert!(
                found.reason.contains("turned round") || phi != Activation::Relu,
                "{}",
                found.reason
            );
        } else {
            // As soon as the sum is not nothing they are told apart.
            assert_eq!(found.status, Status::Identified, "{phi}: {}", found.reason);
        }
    }
}
