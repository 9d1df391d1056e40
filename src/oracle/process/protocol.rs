//! What is said on the pipes between this program and an oracle process.
//!
//! The client writes points on the server's stdin, the server writes values on its stdout, in the
//! order of the points. There is no handshake and no end mark: the server answers until its stdin
//! ends, then exits. The client sends further points before it has read the answers to earlier
//! ones; a server must therefore answer whatever it holds before it waits for more, and **flush**.
//!
//! # Text
//!
//! A point is one line: its d coordinates, separated by single spaces, ended by `\n`. So is an answer: a
//! value, or the K outputs separated by spaces. Numbers are decimal, with as many digits as it takes to read back the same f64
//! (`-1.5`, `6.02e23`, `1e-7`); `nan`, `inf` and `infinity` with or without a sign and in either
//! case are numbers, too. White space around a number is ignored, `\r\n` ends a line as well. No
//! line of the server may be longer than 1 MiB.
//!
//! ```text
//! -> 0.5 -1.25 3.0\n
//! -> 0.5 -1.5 3.0\n
//! <- 0.8414709848078965\n
//! <- 0.8509035245341184\n
//! ```
//!
//! # Binary
//!
//! All numbers are little-endian. Each request frame is answered by one response frame with the same
//! n, after the whole request was read:
//!
//! ```text
//! request   u32 n (points)   u32 d (coordinates a point)   n * d * f64, point after point
//! response  u32 n                                          n * K * f64, point after point
//! ```
//!
//! The client sends at most 1 MiB of coordinates a frame, or one point if that alone is longer. Told the most points in a
//! batch, it sends no more than these before they are answered, in either form.

use std::collections::VecDeque;

/// Most bytes of coordinates in one request frame, and in one go of text.
const FRAME: usize = 1 << 20;
/// A line of the server that is longer than this is not a number.
const LONGEST_LINE: usize = 1 << 20;

/// How numbers are written on the pipes, see the [module](self).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum ProcessFormat {
    /// A point a line, a value a line.
    #[default]
    Text,
    /// Counted frames of little-endian f64.
    Binary,
}

/// Points of dimension `d` that go into one request.
pub(super) fn points_per_request(d: usize) -> usize {
    (FRAME / 8 / d.max(1)).max(1)
}

/// A request for the values at `points`, `d` coordinates each.
pub(super) fn encode_points(format: ProcessFormat, points: &[f64], d: usize) -> Vec<u8> {
    match format {
        ProcessFormat::Text => encode_lines(points, d),
        ProcessFormat::Binary => {
            let mut out = Vec::with_capacity(8 + 8 * points.len());
            // Both fit: a request holds at most `FRAME` bytes, or one point.
            out.extend(((points.len() / d) as u32).to_le_bytes());
            out.extend((d as u32).to_le_bytes());
            push_binary(points, &mut out);
            out
        }
    }
}

/// Lines of so many numbers each.
fn encode_lines(numbers: &[f64], each: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(20 * numbers.len());
    for line in numbers.chunks(each) {
        for &number in line {
            push_text(number, &mut out);
            out.push(b' ');
        }
        if let Some(last) = out.last_mut() {
            *last = b'\n';
        }
    }
    out
}

/// The answer to one request, `outputs` values a point.
pub(super) fn encode_values(format: ProcessFormat, values: &[f64], outputs: usize) -> Vec<u8> {
    match format {
        ProcessFormat::Text => encode_lines(values, outputs),
        ProcessFormat::Binary => {
            let mut out = Vec::with_capacity(4 + 8 * values.len());
            out.extend(((values.len() / outputs) as u32).to_le_bytes());
            push_binary(values, &mut out);
            out
        }
    }
}

fn push_text(number: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(zmij::Buffer::new().format(number).as_bytes());
}

fn push_binary(numbers: &[f64], out: &mut Vec<u8>) {
    out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

/// One number in text, white space around it allowed.
pub(super) fn parse_text(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.trim_ascii().parse().ok()
}

/// Numbers from their bytes, eight each.
pub(super) fn parse_binary(bytes: &[u8]) -> impl Iterator<Item = f64> + '_ {
    bytes.as_chunks().0.iter().map(|&eight| f64::from_le_bytes(eight))
}

/// The beginning of `bytes` up to a line's end, fit to be shown in a message.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 60;
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let shown = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]);
    let dots = if line.len() > SHOWN { "..." } else { "" };
    format!("`{}{dots}`", shown.trim_ascii().escape_debug())
}

/// Answers that break the protocol.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// This is not a number.
    Number(String),
    /// An answer of so many numbers.
    Outputs(usize),
    /// No end of line for a mebibyte.
    Endless,
    /// A response of the wrong length.
    Frame {
        /// Points that it answers.
        asked: usize,
        /// Points that it says it answers.
        found: usize,
    },
    /// More than was asked for; it begins so.
    Excess(String),
}

/// Puts values together from the bytes of the server, in whatever pieces these come.
#[derive(Debug)]
pub struct Decoder {
    format: ProcessFormat,
    /// Values of an answer.
    outputs: usize,
    /// Values due to the requests not fully answered, in order.
    requests: VecDeque<usize>,
    /// Whether the header of the first request's response was read (binary only).
    inside: bool,
    /// Bytes that are not yet a whole number.
    rest: Vec<u8>,
}

impl Decoder {
    /// Nothing is expected yet; a point has `outputs` values.
    pub fn new(format: ProcessFormat, outputs: usize) -> Self {
        Decoder { format, outputs, requests: VecDeque::new(), inside: false, rest: Vec::new() }
    }

    /// A request for `points` answers was sent.
    pub fn expect(&mut self, points: usize) {
        self.requests.push_back(points * self.outputs);
    }

    /// Is every request answered?
    pub fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }

    /// Reads on; whole values are appended to `values`. Memory for no more than `bytes` and an
    /// unfinished number is taken.
    ///
    /// # Errors
    /// [`Malformed`]. What comes after has no meaning.
    pub fn decode(&mut self, bytes: &[u8], values: &mut Vec<f64>) -> Result<(), Malformed> {
        let mut joined = std::mem::take(&mut self.rest);
        joined.extend_from_slice(bytes);
        let mut rest = joined.as_slice();
        while !rest.is_empty() {
            let Some(&wanted) = self.requests.front() else {
                return Err(Malformed::Excess(match self.format {
                    ProcessFormat::Text => excerpt(rest),
                    ProcessFormat::Binary => format!("{} bytes", rest.len()),
                }));
            };
            let before = values.len();
            let whole = match self.format {
                ProcessFormat::Text => decode_line(&mut rest, self.outputs, values)?,
                ProcessFormat::Binary => self.decode_frame(wanted, &mut rest, values)?,
            };
            self.answered(values.len() - before);
            if !whole {
                break;
            }
        }
        let used = joined.len() - rest.len();
        joined.drain(..used);
        self.rest = joined;
        Ok(())
    }

    fn answered(&mut self, values: usize) {
        if let Some(first) = self.requests.front_mut() {
            *first -= values;
            if *first == 0 {
                self.requests.pop_front();
                self.inside = false;
            }
        }
    }

    /// As many values of the frame as are there; false if that is not all.
    fn decode_frame(
        &mut self,
        wanted: usize,
        rest: &mut &[u8],
        values: &mut Vec<f64>,
    ) -> Result<bool, Malformed> {
        if !self.inside {
            let Some((&header, body)) = rest.split_first_chunk() else { return Ok(false) };
            let found = u32::from_le_bytes(header) as usize;
            let asked = wanted / self.outputs;
            if found != asked {
                return Err(Malformed::Frame { asked, found });
            }
            self.inside = true;
            *rest = body;
        }
        let count = wanted.min(rest.len() / 8);
        let (body, tail) = rest.split_at(8 * count);
        values.extend(parse_binary(body));
        *rest = tail;
        Ok(count == wanted)
    }
}

/// One answer if a whole line is there; false if not.
fn decode_line(rest: &mut &[u8], outputs: usize, values: &mut Vec<f64>) -> Result<bool, Malformed> {
    let Some(end) = rest.iter().position(|&b| b == b'\n') else {
        return if rest.len() > LONGEST_LINE { Err(Malformed::Endless) } else { Ok(false) };
    };
    let (line, tail) = rest.split_at(end);
    let before = values.len();
    for word in line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
        match parse_text(word) {
            Some(value) => values.push(value),
            None => {
                values.truncate(before);
                return Err(Malformed::Number(excerpt(line)));
            }
        }
    }
    let found = values.len() - before;
    if found != outputs {
        values.truncate(before);
        let nothing = found == 0;
        return Err(if nothing {
            Malformed::Number(excerpt(line))
        } else {
            Malformed::Outputs(found)
        });
    }
    *rest = &tail[1..];
    Ok(true)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(format: ProcessFormat, bytes: &[u8], points: usize, piece: usize) -> Vec<f64> {
        let mut decoder = Decoder::new(format, 1);
        let mut values = Vec::new();
        decoder.expect(points);
        for piece in bytes.chunks(piece) {
            decoder.decode(piece, &mut values).expect("well-formed");
        }
        assert!(decoder.requests.is_empty() && decoder.rest.is_empty());
        values
    }

    fn bits(values: &[f64]) -> Vec<u64> {
        values.iter().map(|v| v.to_bits()).collect()
    }

    fn any_finite() -> impl Strategy<Value = f64> {
        any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |v| v.is_finite())
    }

    proptest! {
        #[test]
        fn every_finite_value_round_trips(
            values in prop::collection::vec(any_finite(), 1..50),
            piece in 1usize..40,
        ) {
            for format in [ProcessFormat::Text, ProcessFormat::Binary] {
                let bytes = encode_values(format, &values, 1);
                let back = decoded(format, &bytes, values.len(), piece);
                prop_assert_eq!(bits(&back), bits(&values));
            }
        }

        #[test]
        fn every_finite_coordinate_round_trips(values in prop::collection::vec(any_finite(), 6)) {
            let text = encode_points(ProcessFormat::Text, &values, 3);
            let lines: Vec<&[u8]> = text.split_inclusive(|&b| b == b'\n').collect();
            prop_assert_eq!(lines.len(), 2);
            let back: Vec<f64> = lines
                .iter()
                .flat_map(|line| line.split(|&b| b == b' '))
                .map(|number| parse_text(number).expect("a number"))
                .collect();
            prop_assert_eq!(bits(&back), bits(&values));
            let binary = encode_points(ProcessFormat::Binary, &values, 3);
            prop_assert_eq!(&binary[..8], &[2, 0, 0, 0, 3, 0, 0, 0]);
            let back: Vec<f64> = parse_binary(&binary[8..]).collect();
            prop_assert_eq!(bits(&back), bits(&values));
        }
    }

    #[test]
    fn extreme_values_round_trip() {
        let values = [0.0, -0.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::MIN, 1e23, 0.1];
        for format in [ProcessFormat::Text, ProcessFormat::Binary] {
            let bytes = encode_values(format, &values, 1);
            assert_eq!(bits(&decoded(format, &bytes, values.len(), 3)), bits(&values));
        }
    }

    #[test]
    fn other_programs_spellings_are_understood() {
        let text = b"nan\n-nan\nNaN\ninf\n+Infinity\n-inf\r\n 1e-07 \n+3.\n.5\n12\n";
        let values = decoded(ProcessFormat::Text, text, 10, 7);
        assert!(values[..3].iter().all(|v| v.is_nan()));
        let inf = f64::INFINITY;
        assert_eq!(values[3..], [inf, inf, -inf, 1e-7, 3.0, 0.5, 12.0]);
    }

    #[test]
    fn broken_answers_are_named() {
        let decode = |format, bytes: &[u8]| {
            let mut decoder = Decoder::new(format, 1);
            decoder.expect(2);
            decoder.decode(bytes, &mut Vec::new())
        };
        let text = |bytes: &[u8]| decode(ProcessFormat::Text, bytes);
        assert_eq!(text(b"1\n2\n3\n"), Err(Malformed::Excess("`3`".into())));
        assert_eq!(text(b"np.float64(1.0)\n"), Err(Malformed::Number("`np.float64(1.0)`".into())));
        assert_eq!(text(b"\n"), Err(Malformed::Number("``".into())));
        assert_eq!(text(b"1 2 3\n"), Err(Malformed::Outputs(3)));
        assert_eq!(text(b"1 x\n"), Err(Malformed::Number("`1 x`".into())));
        assert_eq!(text(&vec![b'1'; LONGEST_LINE + 1]), Err(Malformed::Endless));
        let binary = |bytes: &[u8]| decode(ProcessFormat::Binary, bytes);
        assert_eq!(binary(&[3, 0, 0, 0]), Err(Malformed::Frame { asked: 2, found: 3 }));
        let mut frame = encode_values(ProcessFormat::Binary, &[1.0, 2.0], 1);
        frame.push(7);
        assert_eq!(binary(&frame), Err(Malformed::Excess("1 bytes".into())));
    }

    #[test]
    fn several_outputs_come_together() {
        let values = [1.5, -2.0, 1e-300, 4.0, f64::MAX, 0.1];
        for format in [ProcessFormat::Text, ProcessFormat::Binary] {
            let bytes = encode_values(format, &values, 3);
            for piece in 1..30 {
                let mut decoder = Decoder::new(format, 3);
                let mut found = Vec::new();
                decoder.expect(2);
                for piece in bytes.chunks(piece) {
                    decoder.decode(piece, &mut found).expect("well-formed");
                }
                assert_eq!(found, values, "{format:?}");
            }
        }
        assert_eq!(encode_values(ProcessFormat::Text, &[1.0, 2.0], 2), b"1.0 2.0\n");
        let mut decoder = Decoder::new(ProcessFormat::Text, 2);
        decoder.expect(2);
        let mut found = Vec::new();
        assert_eq!(decoder.decode(b"1 2\n3\n", &mut found), Err(Malformed::Outputs(1)));
        assert_eq!(found, [1.0, 2.0]);
    }

    #[test]
    fn requests_are_bounded_and_never_empty() {
        assert_eq!(points_per_request(1), FRAME / 8);
        assert_eq!(points_per_request(10_000_000), 1);
        assert_eq!(points_per_request(0), FRAME / 8);
    }
}
