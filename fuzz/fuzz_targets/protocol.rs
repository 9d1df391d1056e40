//! Both ends of the pipes, in both formats. The first two bytes say how the rest comes.
#![no_main]

use std::sync::LazyLock;

use disentangle::network::{Activation, Class, Network};
use disentangle::oracle::process::protocol::Decoder;
use disentangle::oracle::ProcessFormat;
use disentangle::oracle::process::serve;
use libfuzzer_sys::fuzz_target;

static NETWORK: LazyLock<Network> = LazyLock::new(|| {
    Network::random(&[2, 3, 1], 1, Class::General, Activation::Tanh, 1).expect("a network")
});

fuzz_target!(|bytes: &[u8]| {
    let [shape, piece, rest @ ..] = bytes else { return };
    let format = if shape & 1 == 0 { ProcessFormat::Text } else { ProcessFormat::Binary };
    let piece = 1 + usize::from(*piece);

    // An oracle's answers to as many requests of one to four points as `shape` says.
    let mut decoder = Decoder::new(format, 1);
    let mut due = 0;
    for request in 0..usize::from(shape >> 1) {
        decoder.expect(1 + request % 4);
        due += 1 + request % 4;
    }
    let mut values = Vec::new();
    let decoded = rest.chunks(piece).try_for_each(|piece| decoder.decode(piece, &mut values));
    assert!(values.len() <= due);
    if format == ProcessFormat::Binary {
        assert!(8 * values.len() <= rest.len());
    }
    drop(decoded);

    // Questions to our own server.
    let mut answers = Vec::new();
    if serve(&*NETWORK, rest, &mut answers, format).is_ok() && format == ProcessFormat::Text {
        let lines = rest.split(|&byte| byte == b'\n').count();
        assert!(answers.iter().filter(|&&byte| byte == b'\n').count() <= lines);
    }
});
