//! Samples of a network, written to a file as they are drawn.

use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;

use nalgebra::DMatrix;
use serde_json::json;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::SampleError;
use crate::draws;
use crate::files::write_streamed;
use crate::network::Network;

/// Samples drawn at a time.
const BATCH: usize = 1 << 14;

/// n samples of `network` with standard Gaussian inputs, and Gaussian `noise` (its standard deviation) added to each output,
/// written in f64 to a file that appears whole or not at all: `.npy`, `.npz` or `.csv` by the end of its name, else
/// safetensors, each as [`Samples::open`](super::Samples::open) reads it. The same arguments give the same samples; the inputs
/// do not depend on the network.
///
/// Memory: the outputs alone are kept until all inputs are written.
///
/// # Errors
/// [`SampleError::Write`].
pub fn write_samples(
    network: &Network,
    n: usize,
    noise: f64,
    seed: u64,
    path: impl AsRef<Path>,
) -> Result<(), SampleError> {
    let path = path.as_ref();
    let drawn = Drawn { network, n, noise, seed };
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    write_streamed(path, |file| {
        let mut file = BufWriter::new(file);
        match ending.as_str() {
            "npy" => drawn.npy(&mut file)?,
            "npz" => drawn.npz(&mut file)?,
            "csv" => drawn.csv(&mut file)?,
            _ => drawn.safetensors(&mut file)?,
        }
        file.flush()
    })
    .map_err(|source| SampleError::Write { path: path.into(), source })
}

/// Samples (x, y), d x n and m x n, as [`write_samples`] draws them.
pub fn draw_samples(
    network: &Network,
    n: usize,
    noise: f64,
    seed: u64,
) -> (DMatrix<f64>, DMatrix<f64>) {
    let (mut xs, mut ys) = (Vec::new(), Vec::new());
    for (x, y) in (Drawn { network, n, noise, seed }).batches() {
        xs.extend_from_slice(x.as_slice());
        ys.extend_from_slice(y.as_slice());
    }
    (DMatrix::from_vec(network.input_dim(), n, xs), DMatrix::from_vec(network.output_dim(), n, ys))
}

struct Drawn<'a> {
    network: &'a Network,
    n: usize,
    noise: f64,
    seed: u64,
}

impl Drawn<'_> {
    /// Batches in their order: inputs, and outputs with noise.
    fn batches(&self) -> impl Iterator<Item = (DMatrix<f64>, DMatrix<f64>)> {
        (0..self.n).step_by(BATCH).enumerate().map(|(i, first)| {
            let count = BATCH.min(self.n - first);
            let mut rng = draws::stream(self.seed, "sample inputs", i as u64);
            let x = draws::gaussian(&mut rng, self.network.input_dim(), count);
            let mut y = self.network.outputs(&x);
            if self.noise > 0.0 {
                let mut rng = draws::stream(self.seed, "sample noise", i as u64);
                y += draws::gaussian(&mut rng, y.nrows(), count) * self.noise;
            }
            (x, y)
        })
    }

    /// All inputs, then all outputs, each by `begin` and row by row.
    fn inputs_then_outputs<W: Write>(
        &self,
        out: &mut W,
        mut begin: impl FnMut(&mut W, &str, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut outputs = Vec::new();
        begin(out, "x", self.network.input_dim())?;
        for (x, y) in self.batches() {
            write_numbers(out, x.as_slice())?;
            outputs.extend_from_slice(y.as_slice());
        }
        begin(out, "y", self.network.output_dim())?;
        write_numbers(out, &outputs)
    }

    fn safetensors(&self, out: &mut impl Write) -> io::Result<()> {
        let (d, m) = (self.network.input_dim(), self.network.output_dim());
        let (x, y) = (8 * self.n * d, 8 * self.n * m);
        let entry = |width: usize, from: usize, to: usize| json!({"dtype": "F64", "shape": [self.n, width], "data_offsets": [from, to]});
        let mut header = json!({"x": entry(d, 0, x), "y": entry(m, x, x + y)}).to_string();
        // The numbers begin at a multiple of eight.
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        self.inputs_then_outputs(out, |_, _, _| Ok(()))
    }

    fn npy(&self, out: &mut impl Write) -> io::Result<()> {
        write_npy_header(out, self.n, self.network.input_dim() + self.network.output_dim())?;
        for (x, y) in self.batches() {
            for (x, y) in x.column_iter().zip(y.column_iter()) {
                write_numbers(out, x.as_slice())?;
                write_numbers(out, y.as_slice())?;
            }
        }
        Ok(())
    }

    fn npz(&self, out: &mut (impl Write + Seek)) -> io::Result<()> {
        let mut archive = ZipWriter::new(out);
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(true);
        self.inputs_then_outputs(&mut archive, |archive, name, width| {
            archive.start_file(format!("{name}.npy"), options)?;
            write_npy_header(archive, self.n, width)
        })?;
        archive.finish()?;
        Ok(())
    }

    fn csv(&self, out: &mut impl Write) -> io::Result<()> {
        let (d, m) = (self.network.input_dim(), self.network.output_dim());
        let names: Vec<String> =
            (0..d).map(|i| format!("x{i}")).chain((0..m).map(|o| format!("y{o}"))).collect();
        writeln!(out, "{}", names.join(","))?;
        for (x, y) in self.batches() {
            for (x, y) in x.column_iter().zip(y.column_iter()) {
                let row: Vec<String> = x.iter().chain(y.iter()).map(f64::to_string).collect();
                writeln!(out, "{}", row.join(","))?;
            }
        }
        Ok(())
    }
}

fn write_numbers(out: &mut impl Write, numbers: &[f64]) -> io::Result<()> {
    numbers.iter().try_for_each(|number| out.write_all(&number.to_le_bytes()))
}

/// Version 1.0 of the format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.
fn write_npy_header(out: &mut impl Write, rows: usize, width: usize) -> io::Result<()> {
    const ALIGNED: usize = 64;
    const BEFORE: usize = 10;
    let mut text =
        format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    let length = (BEFORE + text.len() + 1).next_multiple_of(ALIGNED) - BEFORE;
    text.extend(std::iter::repeat_n(' ', length - 1 - text.len()));
    text.push('\n');
    out.write_all(b"\x93NUMPY\x01\x00")?;
    out.write_all(&(length as u16).to_le_bytes())?;
    out.write_all(text.as_bytes())
}
