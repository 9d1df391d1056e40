//! Pages of runs, estimates, and what a first run without arguments says.

use std::path::Path;

use assert_cmd::Command;

use crate::common::trained;

fn disentangle(folder: &Path, arguments: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = Command::cargo_bin("disentangle").expect("built");
    command.current_dir(folder).args(arguments).assert()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_run_and_its_report_make_the_same_page() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let network = trained("wine-sigmoid-13-10-4.safetensors");
    let network = network.to_str().unwrap();
    let run =
        "identify --quiet --out found.safetensors --report report.json --html run.html --network";
    let run: Vec<&str> = run.split(' ').chain([network]).collect();
    let seen = disentangle(at, &run).success();
    let later = "report report.json --network found.safetensors --html later.html";
    disentangle(at, &later.split(' ').collect::<Vec<_>>()).success();
    let page = std::fs::read_to_string(at.join("run.html")).unwrap();
    assert_eq!(page, std::fs::read_to_string(at.join("later.html")).unwrap());
    assert!(page.contains("identified") && page.contains("<code>4.bias</code>"));
    // The table is that of the run.
    let again = disentangle(at, &["report", "report.json"]).success();
    assert_eq!(text(&again.get_output().stdout), text(&seen.get_output().stdout));

    // Another run's network is refused, and what is no report.
    let other = trained("digits-tanh-64-24-8.safetensors");
    let wrong =
        ["report", "report.json", "--html", "no.html", "--network", other.to_str().unwrap()];
    let refused = text(&disentangle(at, &wrong).code(2).get_output().stderr);
    assert!(refused.contains("another run's"), "{refused}");
    disentangle(at, &["report", "run.html", "--html", "no.html"]).code(2);
    assert!(!at.join("no.html").exists());
    let same = ["identify", "--network", network, "--report", "a", "--html", "a"];
    let refused = text(&disentangle(at, &same).code(2).get_output().stderr);
    assert!(refused.contains("--report and --html are the same file"), "{refused}");
}

#[test]
fn reports_of_the_first_version_make_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let old = r#"{"schema": "disentangle-report-1", "version": "0.1.0", "arguments": ["identify"], "seed": 0,
        "status": "not_identified", "reason": "peel: no gap", "widths": null, "activation": null,
        "backend": {"requested": "cpu", "executed": "cpu", "adapter": null, "precision": "f64", "lost_devices": 0,
        "on_cpu": 0}, "queries": {"total": 3, "by_stage": {"probe": 3}}, "seconds": {"total": 1.0, "by_stage": {"probe": 1.0}},
        "residual": null, "parameter_error_bound": null, "oracle_accuracy": null, "tolerances":
        {"parameter_error_bound": 1e-6, "max_queries": 10, "widths": null}, "evidence": {"peel": [{"gap": 3.0}]}}"#;
    std::fs::write(folder.path().join("old.json"), old).unwrap();
    disentangle(folder.path(), &["report", "old.json", "--html", "old.html"]).success();
    let page = std::fs::read_to_string(folder.path().join("old.html")).unwrap();
    assert!(page.contains("not identified") && page.contains("no singular values"));
}

#[test]
fn a_first_run_tells_what_to_do_next() {
    let folder = tempfile::tempdir().unwrap();
    let first = text(&disentangle(folder.path(), &[]).code(2).get_output().stderr);
    let commands: Vec<Vec<&str>> = first
        .lines()
        .filter_map(|line| line.strip_prefix("  disentangle "))
        .map(|line| line.split(' ').collect())
        .collect();
    // The first three as they stand; the others need a model.
    for command in &commands[..3] {
        disentangle(folder.path(), command).success();
    }
    assert!(folder.path().join("report.html").exists());
    disentangle(folder.path(), commands.last().unwrap()).success();
}

#[test]
fn an_estimate_takes_a_measured_process_or_a_told_time() {
    let folder = tempfile::tempdir().unwrap();
    let network = trained("wine-sigmoid-13-10-4.safetensors");
    let program = assert_cmd::cargo::cargo_bin("disentangle");
    let served = format!("'{}' serve --network '{}'", program.display(), network.display());
    let sized = ["estimate", "--input-dim", "13", "--widths", "10,4", "--json"];
    let of = |more: &[&str]| -> serde_json::Value {
        let run = disentangle(folder.path(), &[&sized, more].concat()).success();
        serde_json::from_slice(&run.get_output().stdout).unwrap()
    };
    let told = of(&["--value-seconds", "0.5"]);
    let queries = told["runs"][0]["estimate"]["queries"].as_f64().unwrap();
    assert_eq!(told["runs"][0]["black_box_seconds"].as_f64(), Some(0.5 * queries));
    let measured = of(&["--process", &served]);
    assert!(measured["value_seconds"].as_f64().unwrap() > 0.0);
    assert!(of(&[])["value_seconds"].is_null());
    disentangle(folder.path(), &[&sized[..], &["--process", "exit 3"]].concat()).code(2);
    disentangle(folder.path(), &["estimate", "--input-dim", "0"]).code(2);
    disentangle(folder.path(), &["estimate", "--input-dim", "9", "--widths", "9999999,1"]).code(2);
}
