//! The servers of the README, `examples/server*.py`, answer what the network answers.

use std::collections::HashMap;
use std::path::Path;

use disentangle::network::{Activation, TwoLayer};
use disentangle::oracle::{Oracle, ProcessFormat, ProcessOracle, ProcessSettings};
use nalgebra::{DMatrix, DVector};
use safetensors::tensor::{Dtype, TensorView};

fn network(activation: Activation) -> TwoLayer {
    let wave = |n: usize| (0..n).map(|k| (1.1 * k as f64 + 0.4).sin());
    TwoLayer {
        a: DMatrix::from_iterator(4, 6, wave(24)),
        theta: DVector::from_iterator(6, wave(6)),
        b: DMatrix::from_iterator(6, 3, wave(18)),
        tau: DVector::from_iterator(3, wave(3)),
        c: DVector::from_iterator(3, wave(3)),
        c0: 0.75,
        g: activation,
        h: activation,
    }
}

/// Torch's layout: a weight's rows are units, and a bias is a shift with the other sign.
fn write(network: &TwoLayer, path: &Path) {
    let (d, m0, m1) = network.dims();
    let bytes = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    // Column-major d x m0 is row-major m0 x d.
    let tensors = [
        ("0.weight", vec![m0, d], bytes(network.a.as_slice())),
        ("0.bias", vec![m0], bytes((-&network.theta).as_slice())),
        ("2.weight", vec![m1, m0], bytes(network.b.as_slice())),
        ("2.bias", vec![m1], bytes((-&network.tau).as_slice())),
        ("4.weight", vec![1, m1], bytes(network.c.as_slice())),
        ("4.bias", vec![1], bytes(&[network.c0])),
    ];
    let views = tensors.iter().map(|(name, shape, data)| {
        (*name, TensorView::new(Dtype::F64, shape.clone(), data).expect("a tensor"))
    });
    let metadata = HashMap::from([("activation".to_owned(), network.g.name().to_owned())]);
    safetensors::serialize_to_file(views, Some(metadata), path).expect("a file");
}

#[test]
fn the_examples_answer_what_the_network_answers() {
    if !crate::common::python_can("import numpy, safetensors") {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for activation in [Activation::Tanh, Activation::Sigmoid] {
        let network = network(activation);
        let file = dir.path().join(format!("{activation}.safetensors"));
        write(&network, &file);
        for (script, format) in
            [("server.py", ProcessFormat::Text), ("server_binary.py", ProcessFormat::Binary)]
        {
            let command =
                format!("exec python3 '{}' '{}'", examples.join(script).display(), file.display());
            let settings = ProcessSettings { format, ..ProcessSettings::new(command, 4) };
            let mut oracle = ProcessOracle::spawn(settings).expect("a shell");
            for n in [1, 40_000, 7] {
                let points = DMatrix::from_fn(4, n, |i, k| ((4 * k + i) as f64).sin());
                let values = oracle.values(&points).expect("values");
                let gap = (values - network.values(&points)).amax();
                assert!(gap < 1e-13, "{script} with {activation} is off by {gap:e}");
            }
        }
    }
}
