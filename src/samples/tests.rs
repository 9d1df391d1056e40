use nalgebra::DMatrix;

use super::*;
use crate::network::{Activation, Class, Network};

fn network(dims: &[usize], outputs: usize, seed: u64) -> Network {
    Network::random(dims, outputs, Class::Centred, Activation::Relu, seed).unwrap()
}

#[test]
fn files_hold_the_same_samples_whatever_their_format() {
    let folder = tempfile::tempdir().unwrap();
    let truth = network(&[3, 2], 2, 1);
    let n = 40_001;
    let (x, y) = draw_samples(&truth, n, 0.1, 7);
    for name in ["a.safetensors", "a.npz", "a.npy", "a.csv"] {
        let path = folder.path().join(name);
        write_samples(&truth, n, 0.1, 7, &path).unwrap();
        let told = name.ends_with("npy").then_some(2);
        let samples = Samples::open(&path, told).unwrap();
        assert_eq!((samples.len(), samples.inputs(), samples.outputs()), (n, 3, 2), "{name}");
        // Streamed as what does not fit into memory is, from the middle on.
        let streamed = Samples::streamed(&path, told).unwrap();
        for samples in [&samples, &streamed] {
            assert_eq!(
                samples.part(5..n).unwrap(),
                (x.columns(5, n - 5).into(), y.columns(5, n - 5).into()),
                "{name}"
            );
            let sum = samples
                .sum(9..n, |block| (block.x.sum(), block.first), |a, b| a.0 += b.0)
                .unwrap()
                .unwrap();
            assert!((sum.0 - x.columns(9, n - 9).sum()).abs() < 1e-8 && sum.1 == 9, "{name}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{name}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn what_is_no_file_of_samples_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let refused = |name: &str, bytes: &[u8], reason: &str| {
        std::fs::write(path(name), bytes).unwrap();
        let error = Samples::open(path(name), None).unwrap_err().to_string();
        assert!(error.contains(reason), "{name}: {error}");
    };
    refused("a.csv", b"x0,x1\n1,2\n", "no column is named y");
    refused("b.csv", b"x0,y\n1,2\n3\n", "line 3: 1 fields");
    refused("c.csv", b"x0,y\n1,two\n", "line 2: \"two\" is no number");
    refused("d.csv", b"x0,y\n1,2\nNaN,4\n", "sample 1");
    refused("e.csv", b"x0,y\n", "0 samples");
    refused("a.npy", b"no array", "is no array of NumPy");
    refused("a.npz", b"no archive", "not an archive of NumPy");
    refused("a.safetensors", b"short", "too short");
    write_samples(&network(&[3, 2], 1, 1), 10, 0.0, 0, path("whole")).unwrap();
    let bytes = std::fs::read(path("whole")).unwrap();
    refused("cut", &bytes[..bytes.len() - 8], "cut off");
    write_samples(&network(&[3, 2], 1, 1), 10, 0.0, 0, path("whole.npy")).unwrap();
    let bytes = std::fs::read(path("whole.npy")).unwrap();
    refused("cut.npy", &bytes[..bytes.len() - 8], "cut off");
    write_samples(&network(&[3, 2], 1, 1), 100, 0.0, 0, path("whole.npz")).unwrap();
    let mut bytes = std::fs::read(path("whole.npz")).unwrap();
    // A digit of a number in the middle, which nothing but the checksum tells.
    bytes[1000] ^= 1;
    refused("damaged.npz", &bytes, "it is damaged");
    std::fs::write(path("damaged.npz"), bytes).unwrap();
    let streamed = Samples::streamed(path("damaged.npz"), None).unwrap();
    assert!(streamed.sum(0..100, |_| (), |_, _| ()).is_err());
    assert!(
        Samples::open(folder.path(), None).is_err() && Samples::open(path("none"), None).is_err()
    );
    let (x, y) = (DMatrix::zeros(2, 3), DMatrix::zeros(1, 2));
    assert!(matches!(Samples::new(x, y), Err(SampleError::Shape { .. })));
}

#[test]
fn a_fit_that_is_told_to_end_ends_and_every_stage_is_told() {
    let truth = network(&[6, 2], 1, 1);
    let (x, y) = draw_samples(&truth, 2000, 0.0, 1);
    let samples = Samples::new(x, y).unwrap();
    let settings = FitSettings { units: Some(2), ..FitSettings::new(Activation::Relu) };
    let mut told = Vec::new();
    fit_watched(&samples, &settings, &mut |doing| told.push(doing)).unwrap();
    told.dedup_by_key(|doing| doing.stage);
    let stages: Vec<_> = told.iter().map(|doing| doing.stage).collect();
    assert_eq!(stages, ["moments", "decomposition", "refinement", "verdict"]);
    assert_eq!((told[0].start, told[2].start, told[2].starts), (0, 1, settings.attempts));
    let passes = samples.passes();
    let stopping = &mut |doing: Doing| {
        if doing.stage == "refinement" {
            passes.stop();
        }
    };
    let stopped = fit_watched(&samples, &settings, stopping);
    assert!(matches!(stopped, Err(SampleError::Stopped)), "{stopped:?}");
}
