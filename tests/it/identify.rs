//! `identify` through the program, judged by `verify`: networks of the class are recovered, to the
//! same bytes at the same seed wherever the values come from.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use disentangle::identify::Status;
use disentangle::network::{Activation, Class, Link, Network, TwoLayer};
use disentangle::report::Report;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{python_can, skip, trained};

/// No run here may take longer, on a busy machine either.
const PATIENCE: Duration = Duration::from_secs(120);

fn program() -> Command {
    let mut program = Command::cargo_bin("disentangle").unwrap();
    program.timeout(PATIENCE);
    program
}

/// A folder for the results of runs.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Desk(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn random(&self, dims: (usize, usize, usize), class: Class, phi: Activation) -> PathBuf {
        let path = self.path("truth.safetensors");
        Network::from(TwoLayer::random(dims, class, phi, 7).unwrap()).save(&path).unwrap();
        path
    }

    /// A small network that the tests of determinism identify again and again.
    fn small(&self) -> PathBuf {
        self.random((6, 5, 2), Class::General, Activation::Tanh)
    }

    fn identify(&self, arguments: &[&str]) -> Assert {
        program()
            .args(["identify", "--quiet", "--out"])
            .arg(self.path("found.safetensors"))
            .arg("--report")
            .arg(self.path("report.json"))
            .args(arguments)
            .assert()
    }

    fn identify_file(&self, network: &Path, arguments: &[&str]) -> Assert {
        self.identify(&[&["--network", network.to_str().unwrap()], arguments].concat())
    }

    /// Identifies through `command`, which answers for `network`.
    fn identify_process(&self, command: &str, network: &Path, arguments: &[&str]) -> Assert {
        let d = Network::load(network, None).unwrap().input_dim().to_string();
        self.identify(&[&["--process", command, "--input-dim", &d], arguments].concat())
    }

    fn found(&self) -> Vec<u8> {
        fs::read(self.path("found.safetensors")).unwrap()
    }

    fn report(&self) -> Report {
        Report::load(self.path("report.json")).unwrap()
    }

    /// The network found is the true one to 1e-9, and the report says identified.
    fn verify(&self, truth: &Path) {
        assert_eq!(self.report().status, Status::Identified);
        let verify = program()
            .args(["verify", "--json", "--tol", "1e-9"])
            .args([truth, &self.path("found.safetensors")])
            .assert();
        let output = verify.get_output();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let error = |name: &str| json[name].as_f64().unwrap();
        assert_eq!(json["widths_match"], true, "{json}");
        assert!(error("parameter_error") <= 1e-9 && error("output_error") <= 1e-9, "{json}");
        assert_eq!(output.status.code(), Some(0));
        let bound = self.report().parameter_error_bound.unwrap();
        assert!(error("parameter_error") <= bound, "the bound {bound:e} is broken: {json}");
    }
}

#[test]
fn trained_networks_are_identified_with_the_queries_that_the_readme_tells() {
    let readme = include_str!("../../README.md");
    for (name, widths, queries, told) in [
        ("digits-tanh-64-24-8", [24, 8], 32_028, "32,028"),
        ("diabetes-tanh-10-10-5", [10, 5], 14_105, "14,105"),
        ("wine-sigmoid-13-10-4", [10, 4], 13_988, "13,988"),
    ] {
        let (desk, truth) = (Desk::new(), trained(&format!("{name}.safetensors")));
        desk.identify_file(&truth, &[]).code(0);
        desk.verify(&truth);
        let report = desk.report();
        assert_eq!(report.widths, Some(widths.to_vec()), "{name}");
        assert_eq!(report.queries.total, queries, "{name}");
        let mut rows = readme.lines().filter(|line| line.contains(name));
        assert!(rows.any(|row| row.contains(told)), "README.md: {name} takes {told} queries");
    }
}

#[test]
fn random_networks_of_every_class_and_activation_are_identified() {
    for class in Class::ALL {
        for phi in Activation::SATURATING {
            for dims in [(8, 8, 2), (10, 6, 3)] {
                let desk = Desk::new();
                let truth = desk.random(dims, class, phi);
                println!("{dims:?} {} {phi}", class.name());
                desk.identify_file(&truth, &[]).code(0);
                desk.verify(&truth);
                assert_eq!(desk.report().activation, Some(phi));
            }
        }
    }
}

#[test]
fn the_power_method_and_given_widths_work_as_well() {
    let desk = Desk::new();
    let truth = desk.small();
    desk.identify_file(&truth, &["--ascent", "power", "--widths", "5,2"]).code(0);
    desk.verify(&truth);
    desk.identify_file(&truth, &["--widths", "6,2", "--attempts", "1"]).code(1);
    assert_eq!(desk.report().status, Status::NotIdentified);
}

#[test]
fn the_report_has_the_keys_that_programs_read() {
    let desk = Desk::new();
    let truth = desk.small();
    desk.identify_file(&truth, &["--seed", "3"]).code(0);
    let json: Value = serde_json::from_slice(&fs::read(desk.path("report.json")).unwrap()).unwrap();
    assert_eq!(json["schema"], "disentangle-report-1");
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["arguments"][0], "identify");
    assert_eq!(json["seed"], 3);
    assert_eq!(json["status"], "identified");
    assert_eq!(json["widths"], serde_json::json!([5, 2]));
    assert_eq!(json["activation"], "tanh");
    assert_eq!(json["backend"]["executed"], "cpu");
    assert!(json["reason"].is_string() && json["remedy"].is_null());
    assert!(json["tolerances"]["parameter_error_bound"].is_number());
    for number in ["residual", "parameter_error_bound", "oracle_accuracy"] {
        assert!(json[number].is_number(), "{number}");
    }
    let queries = json["queries"]["by_stage"].as_object().unwrap();
    let sum: u64 = queries.values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(json["queries"]["total"], sum);
    let seconds = json["seconds"]["by_stage"].as_object().unwrap();
    assert!(json["seconds"]["total"].is_number());
    assert!(queries.keys().eq(seconds.keys()) && queries.contains_key("certify"));
    assert!(json["evidence"].as_object().unwrap().contains_key("certify"));
}

#[test]
fn the_limit_on_queries_is_kept_and_named() {
    let desk = Desk::new();
    let truth = trained("digits-tanh-64-24-8.safetensors");
    let run = desk.identify_file(&truth, &["--max-queries", "1000"]).code(1);
    let warning = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
    assert!(warning.contains("no network to write"), "{warning}");
    let report = desk.report();
    assert_eq!(report.status, Status::NotIdentified);
    assert!(report.reason.contains("limit of 1000 queries"), "{}", report.reason);
    assert!(report.remedy.is_some_and(|remedy| remedy.contains("--max-queries")));
    assert!(report.queries.total <= 1000);
    assert!(!desk.path("found.safetensors").exists());
}

#[test]
fn equal_seeds_give_equal_bytes_on_any_number_of_threads() {
    let desk = Desk::new();
    // 345 parameters: normal equations in more than one block of 256, and matrix products so large that
    // threads share them.
    let truth = desk.random((16, 16, 4), Class::General, Activation::Tanh);
    let found = |rayon: &str, products: &str| {
        let run = program()
            .env("RAYON_NUM_THREADS", rayon)
            .env("MATMUL_NUM_THREADS", products)
            .args(["identify", "--seed", "5", "--network"])
            .arg(&truth)
            .arg("--out")
            .arg(desk.path("found.safetensors"))
            .assert()
            .code(0);
        let lines = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
        assert!(lines.contains("certify") && lines.contains("queries so far"), "{lines}");
        desk.found()
    };
    let two = found("2", "2");
    assert!(found("2", "2") == two, "two runs differ");
    for (rayon, products) in [("1", "1"), ("4", "1"), ("1", "4"), ("3", "3")] {
        assert!(found(rayon, products) == two, "{rayon} and {products} threads differ from two");
    }
}

#[test]
fn activations_of_the_layers_are_told_apart() {
    let desk = Desk::new();
    let truth = desk.path("truth.safetensors");
    program()
        .args(["generate", "--dims", "7,7,2", "--activation", "tanh,erf", "--seed", "3", "--out"])
        .arg(&truth)
        .assert()
        .code(0);
    for arguments in [&["--activation", "auto"][..], &["--activation", "tanh,erf"], &[]] {
        desk.identify_file(&truth, arguments).code(0);
        desk.verify(&truth);
        let (layers, told) = (desk.report().activations.unwrap(), arguments.last());
        assert_eq!(layers, [Activation::Tanh, Activation::Erf]);
        let margins = desk.report().evidence["activation"][0]["margins"].clone();
        // Where it is known there is nothing to tell apart.
        let decided = margins.as_array().unwrap().iter().all(|m| m.as_f64() > Some(100.0));
        assert_eq!(decided, told == Some(&"auto"), "{margins}");
    }
    // A sigmoid layer that nobody speaks of is found as the tanh layer that it is.
    let truth = desk.random((6, 5, 2), Class::General, Activation::Sigmoid);
    desk.identify_file(&truth, &["--activation", "auto"]).code(0);
    desk.verify(&truth);
    assert_eq!(desk.report().activation, Some(Activation::Tanh));
}

#[test]
fn a_process_leads_to_the_same_bytes_as_the_network_itself() {
    let desk = Desk::new();
    let truth = desk.small();
    // The process says nothing of its activation: tanh is found by trying.
    desk.identify_file(&truth, &["--seed", "2"]).code(0);
    let expected = desk.found();
    let program = assert_cmd::cargo::cargo_bin!("disentangle");
    let serve = format!("exec '{}' serve --network '{}'", program.display(), truth.display());
    for format in ["text", "binary"] {
        let command = format!("{serve} --format {format}");
        let arguments = ["--process-format", format, "--seed", "2"];
        desk.identify_process(&command, &truth, &arguments).code(0);
        assert!(desk.found() == expected, "{format} differs");
        desk.verify(&truth);
    }
}

#[test]
fn a_python_server_leads_to_the_same_network() {
    if !python_can("import numpy, safetensors") {
        return;
    }
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/server.py");
    for phi in [Activation::Tanh, Activation::Sigmoid] {
        let desk = Desk::new();
        let truth = desk.random((6, 5, 2), Class::General, phi);
        let command = format!("exec python3 '{}' '{}'", server.display(), truth.display());
        desk.identify_process(&command, &truth, &["--activation", phi.name()]).code(0);
        desk.verify(&truth);
    }
}

#[test]
fn what_cannot_work_ends_with_2_and_leaves_nothing() {
    let desk = Desk::new();
    let truth = desk.small();
    let network = truth.to_str().unwrap();
    let lost = desk.path("no-such-folder/x");
    let lost = lost.to_str().unwrap();
    for arguments in [
        &[][..],
        &["--network", lost],
        &["--network", network, "--process", "cat", "--input-dim", "3"],
        &["--process", "cat"],
        &["--process", "cat", "--input-dim", "0"],
        &["--network", network, "--input-dim", "3"],
        &["--network", network, "--out", lost],
        &["--network", network, "--report", lost],
        &["--network", network, "--report", "same", "--out", "same"],
        &["--network", network, "--max-queries", "0"],
        &["--network", network, "--attempts", "0"],
        &["--network", network, "--tolerance", "0"],
        &["--network", network, "--depth", "2", "--widths", "3"],
        &["--network", network, "--widths", "0,3"],
        &["--network", network, "--depth", "2", "--activation", "relu"],
        &["--network", network, "--activation", "tanh,auto"],
        &["--process", "cat", "--input-dim", "3", "--timeout", "nan"],
        &["--process", "exit 3", "--input-dim", "3"],
        &["--process", "while read x; do echo nan; done", "--input-dim", "3"],
        &["--process", "while read x; do echo one; done", "--input-dim", "3"],
        &["--process", "sleep 100", "--input-dim", "3", "--timeout", "0.2"],
    ] {
        let mut run = program();
        run.current_dir(desk.0.path()).args(["identify", "--quiet"]).args(arguments);
        let run = run.assert().code(2).stdout("");
        assert!(!run.get_output().stderr.is_empty(), "{arguments:?} says nothing");
    }
    assert_eq!(fs::read_dir(desk.0.path()).unwrap().count(), 1);
}

/// Does this machine have an adapter, software or not?
fn has_adapter() -> bool {
    let found = !disentangle::gpu::adapters().is_empty();
    if !found {
        skip("no adapter, software or not");
    }
    found
}

#[test]
fn the_gpu_in_f32_identifies_to_the_same_accuracy() {
    if !has_adapter() {
        return;
    }
    for (network, widths) in [("diabetes-tanh-10-10-5", [10, 5]), ("wine-sigmoid-13-10-4", [10, 4])]
    {
        let folder = tempfile::tempdir().unwrap();
        let truth = format!("tests/networks/{network}.safetensors");
        let (out, report) = (folder.path().join("out.safetensors"), folder.path().join("r.json"));
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_disentangle"))
            .args(["identify", "--network", &truth, "--backend", "gpu", "--precision", "f32"])
            .args(["--quiet", "--gpu-memory", "64"])
            .arg("--out")
            .arg(&out)
            .arg("--report")
            .arg(&report)
            .output()
            .unwrap();
        assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
        let report = disentangle::report::Report::load(&report).unwrap();
        assert_eq!(report.widths, Some(widths.to_vec()));
        assert_eq!(report.backend.executed, disentangle::gpu::oracle::Backend::Gpu);
        assert!(report.backend.adapter.is_some());
        let load = |path: &std::path::Path| Network::load(path, None).unwrap();
        let matching = load(truth.as_ref()).matching(&load(&out));
        assert!(matching.within(1e-9), "{network}: {:?}", matching.parameter_error);
    }
}

#[test]
fn a_back_end_that_cannot_serve_is_an_error() {
    let refused = |arguments: &[&str]| {
        let network = "tests/networks/diabetes-tanh-10-10-5.safetensors";
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_disentangle"))
            .args(["identify", "--quiet", "--network", network])
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(run.status.code(), Some(2), "{arguments:?}");
        let error = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(error.contains("error:"), "{error}");
    };
    refused(&["--backend", "gpu", "--adapter", "no such adapter"]);
    refused(&["--backend", "cpu", "--precision", "double-f32"]);
    refused(&["--gpu-memory", "0"]);
}

#[test]
fn a_link_is_taken_off_the_values() {
    let desk = Desk::new();
    let truth = desk.path("truth.safetensors");
    let drawn = Network::random(&[5, 4, 2], 1, Class::Paper, Activation::Tanh, 3).unwrap();
    let link = Link::SIGMOID.with_range(1.0, 5.0).unwrap();
    Network { link, ..drawn }.save(&truth).unwrap();
    // The file says it; without it another function is seen.
    desk.identify_file(&truth, &[]).code(0);
    let load = |path: &Path| Network::load(path, None).unwrap();
    let found = load(&desk.path("found.safetensors"));
    assert_eq!(found.link, link);
    let matching = load(&truth).matching(&found);
    assert!(matching.within(1e-6), "{:?}", matching.parameter_error);
    desk.identify_file(&truth, &["--link", "none", "--attempts", "1"]).code(1);
    // The wrong range: some values are outside of it.
    let refused = desk.identify_file(&truth, &["--link", "sigmoid"]).code(2);
    let stderr = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(stderr.contains("the outputs cannot be undone"), "{stderr}");
}

#[test]
fn what_is_not_identified_is_refused_by_name() {
    let desk = Desk::new();
    let truth = desk.path("truth.safetensors");
    let refused = |widths: &[usize], phi, options: &[&str]| {
        let drawn = Network::random(widths, 1, Class::General, phi, 1);
        drawn.unwrap().save(&truth).unwrap();
        let run = desk.identify_file(&truth, options).code(2);
        String::from_utf8(run.get_output().stderr.clone()).unwrap()
    };
    for (widths, options) in [
        (&[4, 3, 2][..], &["--depth", "2"][..]),
        (&[4, 3], &["--depth", "1", "--domain-radius", "3"]),
    ] {
        let relu = refused(widths, Activation::Relu, options);
        assert!(relu.contains("tanh, sigmoid, erf are identified, not of relu"), "{relu}");
    }
}
