//! Network files of both depths: what is read and valid is written, and read again as the same.
#![no_main]

use disentangle::network::{Activation, Network};
use disentangle::network::shallow::Shallow;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for activation in [None, Some(Activation::Tanh)] {
        if let Ok(network) = Network::from_bytes(bytes, activation)
            && network.validate().is_ok()
        {
            let written = network.to_bytes().expect("a valid network is written");
            let read = Network::from_bytes(&written, None).expect("our own file is read");
            assert_eq!(read, network);
        }
        if let Ok(network) = Shallow::from_bytes(bytes, activation)
            && network.validate().is_ok()
        {
            let written = network.to_bytes().expect("a valid network is written");
            let read = Shallow::from_bytes(&written, None).expect("our own file is read");
            assert_eq!(read, network);
        }
    }
});
