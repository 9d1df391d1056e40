//! Records of a checkpoint behind a good first line: whatever they are, it opens, a run over it ends, and
//! it can be opened again.
#![no_main]

use disentangle::network::{Activation, Class, Network};
use disentangle::oracle::{Checkpoint, NetworkOracle, Oracle, Recorded, Stencils};
use disentangle_fuzz::Scratch;
use libfuzzer_sys::fuzz_target;
use nalgebra::DMatrix;
use serde_json::Map;

struct Place {
    scratch: Scratch,
    header: Vec<u8>,
    oracle: NetworkOracle,
}

thread_local!(static PLACE: Place = {
    let scratch = Scratch::new("queries.log");
    drop(open(&scratch));
    let header = std::fs::read(scratch.folder().join("queries.log")).expect("a header");
    let network = Network::random(&[2, 3, 1], 1, Class::General, Activation::Tanh, 1).expect("a network");
    Place { scratch, header, oracle: NetworkOracle::new(network) }
});

fn open(scratch: &Scratch) -> Checkpoint {
    Checkpoint::open(scratch.folder(), &Map::new(), false).expect("a checkpoint")
}

fuzz_target!(|bytes: &[u8]| {
    PLACE.with(|Place { scratch, header, oracle }| {
        scratch.file(&[header, bytes].concat());
        for _ in 0..2 {
            let mut oracle = oracle.clone();
            let checkpoint = open(scratch);
            assert!(checkpoint.left() <= bytes.len() as u64 + 1024);
            let mut recorded = Recorded::new(&mut oracle, checkpoint, Stencils::Values);
            let answered = recorded.values(&DMatrix::identity(2, 2));
            drop(answered);
        }
    });
});
