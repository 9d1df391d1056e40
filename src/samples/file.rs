//! Samples in memory or in a file, and passes over them.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use nalgebra::{DMatrix, DMatrixView};
use rayon::prelude::*;

use super::format::{Layout, Problem, Rows};
use super::passes::Passes;

// Search effort.
/// Samples that are worked on together: their numbers stay in a cache of a core.
const BLOCK: usize = 2048;
/// Blocks that are worked on in parallel, and then summed in their order: fixed, so that sums do not depend on the number of
/// threads.
const GROUP: usize = 16;
/// Numbers of a file that are kept in memory, 2 GiB; a larger one is read again for each pass.
const KEPT: usize = 1 << 28;

/// Samples that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// The operating system would not give the file.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds no samples.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A NaN or an infinity.
    #[error("sample {0} (counted from 0) holds a value that is not finite")]
    NotFinite(usize),
    /// [`Passes::stop`].
    #[error("the fit was told to end")]
    Stopped,
    /// Matrices that are no samples.
    #[error(
        "{inputs} columns of inputs and {outputs} of outputs: as many are needed, and one at least"
    )]
    Shape {
        /// Columns of x.
        inputs: usize,
        /// Columns of y.
        outputs: usize,
    },
    /// The operating system would not take the file.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// n samples of d inputs and m outputs.
#[derive(Clone, Debug)]
pub struct Samples {
    source: Source,
    dims: (usize, usize, usize),
    single: bool,
    passes: Passes,
}

#[derive(Clone, Debug)]
enum Source {
    Memory { x: DMatrix<f64>, y: DMatrix<f64> },
    File { path: PathBuf, layout: Layout },
}

/// Some samples: a column each.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// The number of the first.
    pub first: usize,
    /// d x b.
    pub x: DMatrixView<'a, f64>,
    /// m x b.
    pub y: DMatrixView<'a, f64>,
    /// The numbers of x and of y, which follow each other.
    pub(super) numbers: (&'a [f64], &'a [f64]),
}

impl<'a> Block<'a> {
    fn new(first: usize, (x, d): (&'a [f64], usize), (y, m): (&'a [f64], usize)) -> Block<'a> {
        let count = y.len() / m;
        Block {
            first,
            x: DMatrixView::from_slice(x, d, count),
            y: DMatrixView::from_slice(y, m, count),
            numbers: (x, y),
        }
    }
}

impl Samples {
    /// Samples in memory: x is d x n, y is m x n.
    ///
    /// # Errors
    /// [`SampleError::Shape`] and [`SampleError::NotFinite`].
    pub fn new(x: DMatrix<f64>, y: DMatrix<f64>) -> Result<Samples, SampleError> {
        let dims = (x.ncols(), x.nrows(), y.nrows());
        if x.ncols() != y.ncols() || x.is_empty() || y.is_empty() {
            return Err(SampleError::Shape { inputs: x.ncols(), outputs: y.ncols() });
        }
        finite(0, x.as_slice(), y.as_slice(), dims.0)?;
        Ok(Samples {
            source: Source::Memory { x, y },
            dims,
            single: false,
            passes: Passes::default(),
        })
    }

    /// The same samples, whose outputs are told to have been rounded to f32.
    #[must_use]
    pub fn rounded_to_single(self) -> Samples {
        Samples { single: true, ..self }
    }

    /// Samples in a file: safetensors with the tensors `x` (n x d) and `y` (n x m, or n), `.npz` with two such arrays, `.npy`
    /// with one whose last `outputs` columns (1 unless told) are y, `.csv` with a header that names the columns of y `y`, or `y0`,
    /// `y1` and so on. Numbers are f32 or f64. What fits into memory is read at once.
    ///
    /// # Errors
    /// [`SampleError::Read`], [`SampleError::Format`], and [`SampleError::NotFinite`] as far as it is read.
    pub fn open(path: impl AsRef<Path>, outputs: Option<usize>) -> Result<Samples, SampleError> {
        let path = path.as_ref();
        let samples = Samples::streamed(path, outputs)?;
        let ((n, d, m), single) = (samples.dims, samples.single);
        if n.checked_mul(d + m).is_none_or(|numbers| numbers > KEPT) {
            return Ok(samples);
        }
        let mut rows = samples.rows(0)?;
        let (mut x, mut y) = (DMatrix::zeros(d, n), DMatrix::zeros(m, n));
        rows.read(x.as_mut_slice(), y.as_mut_slice()).map_err(|problem| named(path, problem))?;
        Ok(Samples { single, ..Samples::new(x, y)? })
    }

    /// The same, read again for each pass.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn streamed(
        path: impl AsRef<Path>,
        outputs: Option<usize>,
    ) -> Result<Samples, SampleError> {
        let path = path.as_ref();
        let layout = Layout::of(path, outputs).map_err(|problem| named(path, problem))?;
        let (dims, single) = (layout.dims(), layout.is_single());
        let source = Source::File { path: path.to_owned(), layout };
        Ok(Samples { source, dims, single, passes: Passes::default() })
    }

    /// n.
    #[allow(clippy::len_without_is_empty, reason = "there is always a sample")]
    pub fn len(&self) -> usize {
        self.dims.0
    }

    /// d.
    pub fn inputs(&self) -> usize {
        self.dims.1
    }

    /// m.
    pub fn outputs(&self) -> usize {
        self.dims.2
    }

    /// The passes over them, to be watched and ended from another thread.
    pub fn passes(&self) -> Passes {
        self.passes.clone()
    }

    /// Are the outputs rounded to f32?
    pub fn is_single(&self) -> bool {
        self.single
    }

    /// Sums what `part` makes of each block of the samples in `range`, in parallel; the sum does not depend on the number of
    /// threads. `None` for no sample.
    ///
    /// # Errors
    /// Those of reading the file, and [`SampleError::Stopped`].
    pub fn sum<T: Send>(
        &self,
        range: Range<usize>,
        part: impl Fn(Block<'_>) -> T + Sync,
        add: impl Fn(&mut T, T),
    ) -> Result<Option<T>, SampleError> {
        let mut total: Option<T> = None;
        let mut take = |parts: Vec<T>| {
            for part in parts {
                match &mut total {
                    None => total = Some(part),
                    Some(total) => add(total, part),
                }
            }
        };
        let (_, d, m) = self.dims;
        match &self.source {
            Source::Memory { x, y } => {
                let starts: Vec<usize> = range.clone().step_by(BLOCK).collect();
                for (i, group) in starts.chunks(GROUP).enumerate() {
                    self.passes.check(i * GROUP * BLOCK, range.len())?;
                    let block = |&first: &usize| {
                        let count = BLOCK.min(range.end - first);
                        let x = &x.as_slice()[first * d..(first + count) * d];
                        let y = &y.as_slice()[first * m..(first + count) * m];
                        part(Block::new(first, (x, d), (y, m)))
                    };
                    take(group.par_iter().map(block).collect());
                }
            }
            Source::File { .. } => self.stream(range, |first, x, y| {
                let blocks = x.par_chunks(BLOCK * d).zip(y.par_chunks(BLOCK * m)).enumerate();
                let block = |(i, (x, y)): (usize, (&[f64], &[f64]))| {
                    part(Block::new(first + i * BLOCK, (x, d), (y, m)))
                };
                take(blocks.map(block).collect());
            })?,
        }
        Ok(total)
    }

    /// Copies of the samples in `range`, d x b and m x b.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn part(&self, range: Range<usize>) -> Result<(DMatrix<f64>, DMatrix<f64>), SampleError> {
        match &self.source {
            Source::Memory { x, y } => {
                let (first, count) = (range.start, range.len());
                Ok((x.columns(first, count).into_owned(), y.columns(first, count).into_owned()))
            }
            Source::File { .. } => {
                let (mut xs, mut ys) = (Vec::new(), Vec::new());
                let count = range.len();
                self.stream(range, |_, x, y| {
                    xs.extend_from_slice(x);
                    ys.extend_from_slice(y);
                })?;
                let (_, d, m) = self.dims;
                Ok((DMatrix::from_vec(d, count, xs), DMatrix::from_vec(m, count, ys)))
            }
        }
    }

    fn rows(&self, from: usize) -> Result<Box<dyn Rows>, SampleError> {
        match &self.source {
            Source::File { path, layout } => {
                layout.rows(path, from).map_err(|problem| named(path, problem))
            }
            Source::Memory { .. } => Err(SampleError::Shape { inputs: 0, outputs: 0 }),
        }
    }

    /// Reads on one thread while `visit` works on what was read before: number of the first sample, x and y.
    fn stream(
        &self,
        range: Range<usize>,
        mut visit: impl FnMut(usize, &[f64], &[f64]),
    ) -> Result<(), SampleError> {
        let Source::File { path, .. } = &self.source else { return Ok(()) };
        let (_, d, m) = self.dims;
        let (begin, length) = (range.start, range.len());
        let mut rows = self.rows(begin)?;
        let (send, receive) = mpsc::sync_channel(1);
        thread::scope(|scope| {
            scope.spawn(move || {
                for first in range.clone().step_by(BLOCK * GROUP) {
                    let count = (BLOCK * GROUP).min(range.end - first);
                    let (mut x, mut y) = (vec![0.0; count * d], vec![0.0; count * m]);
                    let read = rows.read(&mut x, &mut y).map_err(|problem| named(path, problem));
                    let read = read.and_then(|()| finite(first, &x, &y, count));
                    let failed = read.is_err();
                    // Nobody listens any more after an error.
                    if send.send(read.map(|()| (first, x, y))).is_err() || failed {
                        return;
                    }
                }
            });
            receive.iter().try_for_each(|read| {
                let (first, x, y) = read?;
                self.passes.check(first - begin, length)?;
                visit(first, &x, &y);
                Ok(())
            })
        })
    }
}

fn named(path: &Path, problem: Problem) -> SampleError {
    match problem {
        Problem::Io(source) => SampleError::Read { path: path.into(), source },
        Problem::Format(reason) => SampleError::Format { path: path.into(), reason },
    }
}

/// Are all numbers of `count` samples from number `first` on finite?
fn finite(first: usize, x: &[f64], y: &[f64], count: usize) -> Result<(), SampleError> {
    let wrong = |values: &[f64]| {
        let width = values.len() / count.max(1);
        values.iter().position(|value| !value.is_finite()).map(|at| first + at / width.max(1))
    };
    match [wrong(x), wrong(y)].into_iter().flatten().min() {
        Some(sample) => Err(SampleError::NotFinite(sample)),
        None => Ok(()),
    }
}
