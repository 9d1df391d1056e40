//! ONNX files of three exporters: read, and compared with what onnxruntime said they answer.
//!
//! `tests/networks/onnx/make.py` wrote them.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use disentangle::nalgebra::DMatrix;
use disentangle::network::{Activation, Class, Link, Network};
use serde_json::Value;

use crate::common::trained;

fn folder() -> PathBuf {
    trained("onnx")
}

/// The names of all files of the exporters.
fn exported() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "onnx"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// A matrix with a column for each row of the list.
fn columns(rows: &Value) -> DMatrix<f64> {
    let rows: Vec<Vec<f64>> = serde_json::from_value(rows.clone()).unwrap();
    DMatrix::from_vec(rows[0].len(), rows.len(), rows.concat())
}

fn load(name: &str) -> Network {
    Network::load(folder().join(format!("{name}.onnx")), None)
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn files_of_exporters_answer_as_onnxruntime_does() {
    let names = exported();
    for exporter in ["torch-script", "torch-dynamo", "keras", "sklearn"] {
        assert!(names.iter().any(|name| name.starts_with(exporter)), "{exporter}");
    }
    for name in names {
        let told: Value =
            serde_json::from_slice(&fs::read(folder().join(format!("{name}.json"))).unwrap())
                .unwrap();
        let network = load(&name);
        let (answers, values) =
            (network.outputs(&columns(&told["points"])), columns(&told["values"]));
        let off = (answers - &values).amax() / values.amax().max(1.0);
        let most = if told["precision"] == "f64" { 1e-12 } else { 1e-6 };
        assert!(off < most, "{name}: {network} is {off:e} off");
    }
}

#[test]
fn they_are_what_they_were_exported_from() {
    let kinds = [
        ("torch-script-tanh", "6-5-3 tanh"),
        ("torch-dynamo-flatten-softmax", "6-5-2 sigmoid, 3 outputs, link softmax"),
        ("torch-dynamo-erf", "6-4 erf, 2 outputs"),
        ("torch-dynamo-relu-flatten", "6-4 relu"),
        ("torch-script-silu", "6-4 silu, 3 outputs"),
        ("torch-dynamo-sigmoid", "6-5 tanh, 2 outputs, link sigmoid"),
        ("torch-script-gelu", "6-4 gelu"),
        ("torch-dynamo-beside", "6-60 tanh"),
        ("keras-sigmoid-softmax", "6-5-2 sigmoid, 3 outputs, link softmax"),
        ("sklearn-logistic-2", "6-5-3 sigmoid, 2 outputs"),
        ("sklearn-scaled-f64", "6-5-3 tanh"),
        ("sklearn-softmax", "6-5-3 tanh, 3 outputs, link softmax"),
    ];
    for (name, kind) in kinds {
        assert_eq!(load(name).to_string(), kind, "{name}");
    }
}

#[test]
fn a_network_written_as_onnx_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.ONNX");
    let points = DMatrix::from_fn(5, 20, |i, k| ((i * 7 + k * 3) as f64).sin());
    let ranged = Link::TANH.with_range(-2.0, 5.0).unwrap();
    let links = [
        Link::None,
        Link::SIGMOID,
        Link::Softmax,
        ranged,
        Link::SIGMOID.with_range(1.0, 5.0).unwrap(),
    ];
    for activation in Activation::ALL {
        for link in links {
            let drawn = Network::random(&[5, 4, 3], 3, Class::General, activation, 1).unwrap();
            let network = Network { link, ..drawn };
            network.save(&path).unwrap();
            let read = Network::load(&path, None).unwrap();
            assert_eq!(read.to_string(), network.to_string());
            assert_eq!(read.layers, network.layers, "{network}");
            assert!((read.outputs(&points) - network.outputs(&points)).amax() < 1e-14, "{network}");
        }
    }
}

#[test]
fn the_program_reads_and_writes_onnx() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = |arguments: &[&str]| {
        Command::cargo_bin("disentangle").unwrap().args(arguments).assert().success();
    };
    let given = folder_file("sklearn-tanh-f64");
    run(&["identify", "--network", &given, "--quiet", "--out", &path("found.onnx")]);
    run(&["verify", &given, &path("found.onnx"), "--tol", "1e-9"]);
    run(&[
        "identify",
        "--network",
        &path("found.onnx"),
        "--quiet",
        "--out",
        &path("again.safetensors"),
    ]);
    run(&["verify", &path("found.onnx"), &path("again.safetensors"), "--tol", "1e-9"]);
    run(&["generate", "--dims", "3,4", "--seed", "1", "--out", &path("drawn.onnx")]);
    let served = Command::cargo_bin("disentangle")
        .unwrap()
        .args(["serve", "--network", &path("drawn.onnx")])
        .write_stdin("0 0 0\n")
        .assert()
        .success();
    let served: f64 = String::from_utf8_lossy(&served.get_output().stdout).trim().parse().unwrap();
    let drawn = Network::load(Path::new(&path("drawn.onnx")), None).unwrap();
    assert_eq!(served, drawn.value(&[0.0; 3]));
}

fn folder_file(name: &str) -> String {
    folder().join(format!("{name}.onnx")).to_str().unwrap().to_owned()
}

#[test]
fn what_is_no_network_is_refused_with_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.onnx");
    let complaint = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Network::load(&path, None).unwrap_err().to_string()
    };
    let good = fs::read(folder_file("sklearn-tanh")).unwrap();
    // An operator with a name of the same length, in its node's own name, too.
    let mut sine = good.clone();
    for place in 0..sine.len() - 4 {
        if &sine[place..place + 4] == b"Tanh" {
            sine[place..place + 4].copy_from_slice(b"Sinh");
        }
    }
    assert!(complaint(&sine).contains("operator Sinh is not read"), "{}", complaint(&sine));
    for bytes in [&b""[..], b"{}", b"not a model at all", &good[..good.len() / 2]] {
        assert!(complaint(bytes).contains("bad.onnx"));
    }
    // A cut is refused, or takes off no more than what nobody reads.
    let whole = Network::from_onnx(&good, None).unwrap();
    for end in 0..good.len() {
        if let Ok(read) = Network::from_onnx(&good[..end], None) {
            assert_eq!(read, whole, "{end} of {} bytes", good.len());
        }
    }
    let safetensors = fs::read(trained("wine-sigmoid-13-10-4.safetensors")).unwrap();
    assert!(complaint(&safetensors).contains("not an ONNX file"));
}

#[test]
fn numbers_beside_a_model_are_needed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("torch-dynamo-beside.onnx");
    fs::copy(folder_file("torch-dynamo-beside"), &path).unwrap();
    let missing = Network::load(&path, None).unwrap_err().to_string();
    assert!(missing.contains("\"torch-dynamo-beside.onnx.data\" beside the model"), "{missing}");
}

#[test]
fn damaged_models_end_in_an_answer() {
    for name in ["keras-tanh", "torch-dynamo-flatten-softmax", "sklearn-scaled-f64"] {
        let good = fs::read(folder_file(name)).unwrap();
        assert!(Network::from_onnx(&good, None).is_ok(), "{name}");
        for place in 0..good.len() {
            for flip in [0x01, 0x08, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[place] ^= flip;
                // What it says is of no interest here: that it says something is.
                let _ = Network::from_onnx(&bytes, Some(Activation::Tanh));
            }
        }
    }
}
