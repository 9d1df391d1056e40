//! The other end of the pipes: a network that answers as an oracle process.

use std::io::{self, ErrorKind, Read, Write};

use nalgebra::DMatrix;

use super::protocol::{
    ProcessFormat, encode_values, excerpt, parse_binary, parse_text, points_per_request,
};
use crate::network::Network;

/// Read at once.
const CHUNK: usize = 1 << 16;

/// Why a server stopped before its input ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A line that is not a point.
    #[error("line {line}: {reason}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A frame that is not made up as it should be.
    #[error("frame {frame}: {reason}")]
    Frame {
        /// Its number, from 1.
        frame: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The pipes broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Answers the points on `input` with the network's outputs, behind its link, on `output` until the input ends, by the
/// [`protocol`](super::protocol).
///
/// They are those of [`Network::outputs`] to the last bit. All that has come in is answered
/// together, and the output flushed, before more is waited for. That nobody reads the output any
/// more is no error.
///
/// # Errors
/// [`ServeError::Line`] or [`ServeError::Frame`] at input that is not points of the network's
/// dimension; what came before is answered first.
pub fn serve(
    network: &Network,
    input: impl Read,
    output: impl Write,
    format: ProcessFormat,
) -> Result<(), ServeError> {
    let served = match format {
        ProcessFormat::Text => serve_text(network, input, output),
        ProcessFormat::Binary => serve_binary(network, input, output),
    };
    match served {
        Err(ServeError::Io(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        served => served,
    }
}

fn serve_text(
    network: &Network,
    mut input: impl Read,
    mut output: impl Write,
) -> Result<(), ServeError> {
    let d = network.input_dim();
    let longest = (1 << 20) + 64 * d;
    let mut chunk = vec![0; CHUNK];
    let mut pending = Vec::new();
    let mut line = 0;
    loop {
        let read = read_some(&mut input, &mut chunk)?;
        pending.extend_from_slice(&chunk[..read]);
        if read == 0 {
            if pending.is_empty() {
                return Ok(());
            }
            // The last line may lack its end.
            pending.push(b'\n');
        }
        let Some(end) = pending.iter().rposition(|&b| b == b'\n') else {
            if pending.len() > longest {
                let reason = format!("more than {longest} bytes long");
                return Err(ServeError::Line { line: line + 1, reason });
            }
            continue;
        };
        let mut points = Vec::new();
        let mut lines = pending[..end].split(|&b| b == b'\n');
        let malformed = lines.find_map(|text| {
            line += 1;
            let reason = read_point(text, d, &mut points).err()?;
            Some(ServeError::Line { line, reason })
        });
        let values = values(network, points);
        output.write_all(&encode_values(ProcessFormat::Text, &values, network.output_dim()))?;
        output.flush()?;
        if let Some(error) = malformed {
            return Err(error);
        }
        pending.drain(..=end);
    }
}

/// Appends the numbers of one line, if it is a point.
fn read_point(text: &[u8], d: usize, points: &mut Vec<f64>) -> Result<(), String> {
    let before = points.len();
    for word in text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        match parse_text(word) {
            Some(number) => points.push(number),
            None => {
                points.truncate(before);
                return Err(format!("{} is not a number", excerpt(word)));
            }
        }
    }
    let found = points.len() - before;
    if found != d {
        points.truncate(before);
        return Err(format!("expected {d} numbers, found {found}"));
    }
    Ok(())
}

fn serve_binary(
    network: &Network,
    mut input: impl Read,
    mut output: impl Write,
) -> Result<(), ServeError> {
    let d = network.input_dim();
    for frame in 1.. {
        let malformed = |reason| ServeError::Frame { frame, reason };
        let mut header = Vec::new();
        match read_full(&mut input, 8, &mut header)? {
            8 => {}
            0 => break,
            found => return Err(malformed(format!("ends {found} bytes into its header"))),
        }
        let size = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|k| header[at + k])) as usize;
        let (n, found_d) = (size(0), size(4));
        if found_d != d {
            let reason = format!("points of dimension {found_d}, the network has {d} inputs");
            return Err(malformed(reason));
        }
        // In pieces, so that a header that promises too much takes no memory.
        let mut answers = Vec::new();
        let mut answered = 0;
        while answered < n {
            let points = points_per_request(d).min(n - answered);
            let mut bytes = Vec::new();
            let found = read_full(&mut input, 8 * d * points, &mut bytes)?;
            if found < 8 * d * points {
                let whole = answered + found / (8 * d);
                return Err(malformed(format!("ends after {whole} of {n} points")));
            }
            answers.extend(values(network, parse_binary(&bytes).collect()));
            answered += points;
        }
        output.write_all(&encode_values(ProcessFormat::Binary, &answers, network.output_dim()))?;
        output.flush()?;
    }
    Ok(())
}

fn values(network: &Network, points: Vec<f64>) -> Vec<f64> {
    let d = network.input_dim();
    let points = DMatrix::from_vec(d, points.len() / d, points);
    network.outputs(&points).data.into()
}

/// At least one byte, unless the input has ended.
fn read_some(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// `wanted` bytes, or what there is until the end.
fn read_full(input: &mut impl Read, wanted: usize, bytes: &mut Vec<u8>) -> io::Result<usize> {
    input.by_ref().take(wanted as u64).read_to_end(bytes)
}

#[cfg(test)]
mod tests {
    use nalgebra::DVector;

    use super::*;
    use crate::network::{Activation, TwoLayer};
    use crate::oracle::process::protocol::encode_points;

    fn network() -> Network {
        let wave = |n: usize| (0..n).map(|k| (1.7 * k as f64 + 0.3).sin());
        let two = TwoLayer {
            a: DMatrix::from_iterator(3, 5, wave(15)),
            theta: DVector::from_iterator(5, wave(5)),
            b: DMatrix::from_iterator(5, 2, wave(10)),
            tau: DVector::from_iterator(2, wave(2)),
            c: DVector::from_iterator(2, wave(2)),
            c0: 0.25,
            g: Activation::Tanh,
            h: Activation::Sigmoid,
        };
        two.into()
    }

    fn points(n: usize) -> Vec<f64> {
        (0..3 * n).map(|k| 3.0 * (0.7 * k as f64).cos()).collect()
    }

    fn truth(points: &[f64]) -> Vec<f64> {
        values(&network(), points.to_vec())
    }

    /// Hands out a few bytes a read, as a slow client does.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let (now, later) = self.0.split_at(self.1.min(self.0.len()).min(buffer.len()));
            buffer[..now.len()].copy_from_slice(now);
            self.0 = later;
            Ok(now.len())
        }
    }

    fn answer(format: ProcessFormat, input: &[u8]) -> (Vec<u8>, Result<(), ServeError>) {
        let mut output = Vec::new();
        let served = serve(&network(), input, &mut output, format);
        (output, served)
    }

    #[test]
    fn answers_are_the_networks_to_the_last_bit_however_the_points_come() {
        let points = points(2000);
        for format in [ProcessFormat::Text, ProcessFormat::Binary] {
            let input = encode_points(format, &points, 3);
            let expected = encode_values(format, &truth(&points), 1);
            for step in [1, 7, 1000, 1 << 20] {
                let mut output = Vec::new();
                serve(&network(), Drip(&input, step), &mut output, format).expect("served");
                assert!(output == expected, "{format:?}, {step} bytes at a time");
            }
        }
    }

    #[test]
    fn the_last_line_may_lack_its_end() {
        let (output, served) = answer(ProcessFormat::Text, b"1 2 3\r\n 4\t5  6");
        served.expect("served");
        let expected = truth(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(output, encode_values(ProcessFormat::Text, &expected, 1));
    }

    #[test]
    fn a_malformed_line_is_named_after_the_answers_before_it() {
        for (line, reason) in [
            ("1 2 x", "line 2: `x` is not a number"),
            ("1 2", "line 2: expected 3 numbers, found 2"),
            ("1 2 3 4", "line 2: expected 3 numbers, found 4"),
            ("", "line 2: expected 3 numbers, found 0"),
        ] {
            let input = format!("1 2 3\n{line}\n1 2 3\n");
            let (output, served) = answer(ProcessFormat::Text, input.as_bytes());
            assert_eq!(served.expect_err("malformed").to_string(), reason);
            assert_eq!(output, encode_values(ProcessFormat::Text, &truth(&[1.0, 2.0, 3.0]), 1));
        }
    }

    #[test]
    fn a_malformed_frame_is_named() {
        let whole = encode_points(ProcessFormat::Binary, &points(2), 3);
        let message = |input: &[u8]| {
            let (_, served) = answer(ProcessFormat::Binary, input);
            served.expect_err("malformed").to_string()
        };
        assert_eq!(message(&whole[..5]), "frame 1: ends 5 bytes into its header");
        assert_eq!(message(&whole[..40]), "frame 1: ends after 1 of 2 points");
        let other = encode_points(ProcessFormat::Binary, &points(2), 2);
        let reason = "frame 1: points of dimension 2, the network has 3 inputs";
        assert_eq!(message(&other), reason);
        // A header that promises 96 GiB must not make us ask for them.
        assert!(message(&[255, 255, 255, 255, 3, 0, 0, 0]).contains("ends after 0 of 4294967295"));
    }

    #[test]
    fn a_closed_output_is_no_error() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        serve(&network(), &b"1 2 3\n"[..], Closed, ProcessFormat::Text).expect("quiet");
    }
}
