//! Network files through the library and the program: trained networks, and damaged files.

use std::fs;

use assert_cmd::Command;
use disentangle::network::{Activation, Network};

use crate::common::trained;

/// Runs `verify` on a file of these bytes: it must exit with code 2 and one line, which is returned.
fn complaint(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    fs::write(&path, bytes).unwrap();
    let output = Command::cargo_bin("disentangle")
        .unwrap()
        .arg("verify")
        .args([&path, &path])
        .assert()
        .code(2)
        .stdout("")
        .get_output()
        .clone();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("error: ") && stderr.contains("net.safetensors"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

#[test]
fn trained_networks_load() {
    let files = [
        ("digits-tanh-64-24-8.safetensors", [64, 24, 8, 1], Activation::Tanh),
        ("diabetes-tanh-10-10-5.safetensors", [10, 10, 5, 1], Activation::Tanh),
        ("wine-sigmoid-13-10-4.safetensors", [13, 10, 4, 1], Activation::Sigmoid),
    ];
    for (name, dims, activation) in files {
        let network = Network::load(trained(name), None).unwrap();
        assert_eq!(network.dims(), dims);
        assert_eq!(network.activations(), [activation; 2]);
        assert_eq!(network.validate(), Ok(()));

        // Ours, written and read again, holds the same numbers.
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.safetensors");
        network.save(&copy).unwrap();
        assert_eq!(Network::load(&copy, None).unwrap(), network);
    }
}

#[test]
fn damaged_files_get_one_line() {
    let good = fs::read(trained("diabetes-tanh-10-10-5.safetensors")).unwrap();
    for length in [0, 7, 8, 100, 439, 440, good.len() - 1] {
        assert!(complaint(&good[..length]).contains("not a safetensors file"));
    }
    // Headers that claim more than the file holds, up to the largest number there is.
    for claim in [good.len() as u64, 99_999_999, 1 << 40, u64::MAX] {
        let mut bytes = good.clone();
        bytes[..8].copy_from_slice(&claim.to_le_bytes());
        assert!(complaint(&bytes).contains("not a safetensors file"));
    }
    complaint(b"PK\x03\x04 this is a zip archive, as torch.save writes");
    complaint(&[0xff; 64]);
    let nested = "[".repeat(100_000);
    complaint(&[&(nested.len() as u64).to_le_bytes(), nested.as_bytes()].concat());
}

#[test]
fn a_file_of_something_else_says_what_is_wrong() {
    // Edits of equal length keep the header's size and the offsets right.
    let edited = |from: &str, to: &str| {
        let mut bytes = fs::read(trained("diabetes-tanh-10-10-5.safetensors")).unwrap();
        assert_eq!(from.len(), to.len());
        let place = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
        complaint(&bytes)
    };
    assert!(edited("4.bias", "6.bias").contains("\"4.bias\" is missing"));
    assert!(edited("4.bias", "4.\\nas").contains("\"4.bias\" is missing"));
    assert!(edited("\"tanh\"", "\"cosh\"").contains("--activation"));
    assert!(edited("\"activation\"", "\"activatiom\"").contains("--activation"));
    assert!(edited("[10,10]", "[5, 20]").contains("\"0.bias\" has shape [10], expected [5]"));
    assert!(edited("F64", "I64").contains("only F32 and F64"));
}
