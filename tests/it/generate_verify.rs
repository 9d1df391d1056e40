//! `generate` and `verify` through the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use disentangle::network::{Link, Network};
use tempfile::TempDir;

fn program() -> Command {
    Command::cargo_bin("disentangle").unwrap()
}

/// A folder with a generated network in it.
fn generated(arguments: &[&str]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("truth.safetensors");
    program().arg("generate").args(arguments).arg("--out").arg(&path).assert().success().stderr("");
    (folder, path)
}

fn general() -> (TempDir, PathBuf) {
    generated(&["--dims", "8,9,4", "--class", "general", "--activation", "sigmoid", "--seed", "7"])
}

fn verify(truth: &Path, recovered: &Path, arguments: &[&str]) -> Assert {
    program().arg("verify").args([truth, recovered]).args(arguments).assert()
}

fn json(assert: Assert) -> serde_json::Value {
    serde_json::from_slice(&assert.get_output().stdout).unwrap()
}

/// The network changed by `change`, in a file beside it.
fn variant(path: &Path, change: impl FnOnce(&mut Network)) -> PathBuf {
    let mut network = Network::load(path, None).unwrap();
    change(&mut network);
    let path = path.with_file_name("recovered.safetensors");
    network.save(&path).unwrap();
    path
}

#[test]
fn a_seed_gives_identical_bytes() {
    for class in ["paper", "general"] {
        let arguments = ["--dims", "20,20,4", "--class", class, "--seed", "7"];
        let (one, other) = (generated(&arguments), generated(&arguments));
        assert_eq!(fs::read(&one.1).unwrap(), fs::read(&other.1).unwrap());
        assert_eq!(Network::load(&one.1, None).unwrap().dims(), [20, 20, 4, 1]);
    }
}

#[test]
fn a_network_is_itself() {
    let (_folder, path) = general();
    let output = verify(&path, &path, &[]).code(0).stderr("").get_output().stdout.clone();
    assert!(String::from_utf8(output).unwrap().contains("parameter error   0.00e0"));
}

#[test]
fn order_and_signs_do_not_matter() {
    let (_folder, path) = general();
    let disguised = variant(&path, |network| {
        network.permute(0, &[3, 1, 4, 0, 5, 8, 2, 6, 7]);
        network.permute(1, &[2, 3, 1, 0]);
        network.flip(0, 2);
        network.flip(1, 1);
    });
    let report = json(verify(&path, &disguised, &["--tol", "1e-12", "--json"]).code(0));
    assert_eq!(report["within_tolerance"], true);
    assert_eq!(report["widths_match"], true);
    assert!(report["schema"].is_string());

    let tanh = variant(&path, |network| *network = network.centred());
    verify(&path, &tanh, &["--tol", "1e-12"]).code(0);
}

#[test]
fn a_perturbed_network_is_within_some_tolerances() {
    let (_folder, path) = general();
    let perturbed = variant(&path, |network| network.layers[0].shifts[4] += 1e-4);
    verify(&path, &perturbed, &["--tol", "1e-2"]).code(0);
    let report = json(verify(&path, &perturbed, &["--json"]).code(1));
    assert_eq!(report["within_tolerance"], false);
    let error = |name: &str| report["tensor_errors"][name].as_f64().unwrap();
    assert!(error("theta") > 1e-5 && error("A") < 1e-12);
    assert_eq!(report["parameter_error"], report["tensor_errors"]["theta"]);
    assert!(report["output_error"].as_f64().unwrap() > 1e-6);
}

#[test]
fn units_that_no_values_tell_do_not_count() {
    let (_folder, path) = general();
    let larger = variant(&path, |network| {
        // A tenth first-layer unit that nothing listens to, and the ninth split in two.
        let [first, second] = network.layers.as_mut_slice() else { panic!("two layers") };
        first.weights = first.weights.select_columns(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 0]);
        first.shifts = first.shifts.select_rows(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 1]);
        second.weights = second.weights.select_rows(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 2]);
        second.weights.row_mut(8).scale_mut(0.25);
        second.weights.row_mut(9).scale_mut(0.75);
        second.weights.row_mut(10).fill(0.0);
        network.flip(0, 9);
    });
    for (truth, recovered) in [(&path, &larger), (&larger, &path), (&larger, &larger)] {
        let report = json(verify(truth, recovered, &["--tol", "1e-12", "--json"]).code(0));
        assert_eq!(report["within_tolerance"], true);
    }
    let output = verify(&larger, &path, &[]).code(0).get_output().stdout.clone();
    assert!(String::from_utf8(output).unwrap().contains("8-11-4 sigmoid, which is 8-9-4"));
}

#[test]
fn other_widths_are_other_networks() {
    let (_folder, path) = general();
    let (_other, wider) = generated(&["--dims", "8,10,4", "--seed", "7"]);
    let report = json(verify(&path, &wider, &["--json"]).code(1));
    assert_eq!(report["widths_match"], false);
    assert!(report["parameter_error"].is_null() && report["output_error"].is_number());
    let (_other, inputs) = generated(&["--dims", "7,9,4", "--seed", "7"]);
    let output = verify(&path, &inputs, &[]).code(1).get_output().stdout.clone();
    assert!(String::from_utf8(output).unwrap().contains("the widths differ"));
}

#[test]
fn deep_networks_of_several_outputs_are_generated_and_told_apart() {
    let arguments = [
        "--dims",
        "6,5,4,3",
        "--outputs",
        "3",
        "--link",
        "softmax",
        "--activation",
        "tanh,relu,silu",
        "--seed",
        "7",
        "--class",
        "general",
    ];
    let (_folder, path) = generated(&arguments);
    let other = variant(&path, |network| {
        network.permute(1, &[3, 1, 0, 2]);
        network.stretch(1, 2, 3.0);
        network.flip(0, 1);
        network.c0.add_scalar_mut(0.5);
    });
    let output = verify(&path, &other, &["--tol", "1e-12"]).code(0).get_output().stdout.clone();
    let output = String::from_utf8(output).unwrap();
    assert!(output.contains("6-5-4-3 tanh, relu, silu, 3 outputs, link softmax"), "{output}");
    assert!(output.contains("  shift3") && output.contains("  W3"), "{output}");
    let unlinked = variant(&path, |network| network.link = Link::None);
    assert_eq!(json(verify(&path, &unlinked, &["--json"]).code(1))["links_match"], false);

    let (_folder, path) =
        generated(&["--dims", "3,2", "--link", "sigmoid", "--link-range", "1,5", "--seed", "1"]);
    let link = Network::load(&path, None).unwrap().link;
    assert_eq!(link, Link::Sigmoid { lo: 1.0, hi: 5.0 });
}

#[test]
fn a_no_says_which_error_is_too_large() {
    let (_folder, path) = general();
    let said = |recovered: &Path, tolerance: &str| {
        let output =
            verify(&path, recovered, &["--tol", tolerance]).code(1).get_output().stdout.clone();
        String::from_utf8(output).unwrap()
    };
    let unseen = variant(&path, |network| network.layers[0].shifts[4] += 1e-4);
    assert!(
        said(&unseen, "1e-6").contains("no, the parameter error and the output error are above it")
    );
    let found = json(verify(&path, &unseen, &["--json"]).code(1));
    let (parameter, output) =
        (found["parameter_error"].as_f64().unwrap(), found["output_error"].as_f64().unwrap());
    let between = format!("{:e}", (parameter * output).sqrt());
    let expected = if parameter > output { "the parameter error" } else { "the output error" };
    assert!(said(&unseen, &between).contains(&format!("no, {expected} is above it")));
}

#[test]
fn bad_usage_and_bad_files_exit_with_2() {
    let (folder, path) = general();
    let lost = folder.path().join("no-such-folder/net.safetensors");
    let generate = |dims: &str, out: &Path| {
        let arguments = ["generate", "--seed", "1", "--dims", dims, "--out"];
        program().args(arguments).arg(out).assert().code(2).stdout("");
    };
    for dims in ["", "3", "3,0,5", "-1,2,3", "a,b,c", "99999999999,99999999999,9"] {
        generate(dims, &path);
    }
    for more in [
        &["--depth", "1"][..],
        &["--activation", "tanh,erf,tanh"],
        &["--outputs", "0"],
        &["--link", "softmax"],
        &["--link", "softmax", "--outputs", "2", "--link-range", "0,1"],
        &["--link", "tanh", "--link-range", "2,1"],
        &["--link-range", "0,1"],
    ] {
        let arguments = ["generate", "--seed", "1", "--dims", "3,4,5", "--out"];
        program().args(arguments).arg(&path).args(more).assert().code(2).stdout("");
    }
    generate("3,4,5", &lost);
    generate("3,4,5", folder.path());
    verify(&path, &lost, &[]).code(2).stdout("");
    for tolerance in ["nan", "-1e-3", "inf", "x"] {
        verify(&path, &path, &[&format!("--tol={tolerance}")]).code(2);
    }
    program().assert().code(2);
    // Nothing of all that touched the file, or left another one behind.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    verify(&path, &path, &[]).code(0);
}

#[test]
fn help_names_the_exit_codes() {
    for arguments in [&["--help"][..], &["--version"], &["verify", "--help"]] {
        program().args(arguments).assert().code(0);
    }
    let help = program().arg("--help").assert().get_output().stdout.clone();
    assert!(String::from_utf8(help).unwrap().contains("Exit codes"));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let (_folder, path) = general();
    let mut child = Process::new(assert_cmd::cargo::cargo_bin!("disentangle"))
        .arg("verify")
        .args([&path, &path])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
