//! Network files: what is read is valid, is written, and is read again as the same.
#![no_main]

use disentangle::network::{Activation, Network};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for activation in [None, Some(Activation::Tanh)] {
        if let Ok(network) = Network::from_bytes(bytes, activation) {
            let written = network.to_bytes().expect("a valid network is written");
            let read = Network::from_bytes(&written, None).expect("our own file is read");
            assert_eq!(read, network);
        }
    }
});
