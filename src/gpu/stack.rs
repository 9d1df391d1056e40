//! A Hessian stack that stays on the device, of any size.
//!
//! The D x N stack is cut into slices of rows: some columns of all N Hessians, one after the other in svec.
//! As many slices as fit a quarter of the memory allowed stay; the others are computed again from the
//! same centres whenever they are needed, one at a time. What is asked of a stack is a sum over rows
//! (lengths, Gram matrix, second derivatives) or made row by row (products), so that each costs one pass
//! and neither memory ever has to hold the whole.

use std::ops::Range;

use nalgebra::DMatrix;

use super::ascent::Directions;
use super::device::{Gpu, GpuError, WORKGROUP};
use super::gram::{Matrix, gram};
use super::hessian_stack::{self, Centres, Job};
use super::pace::{Pace, first_piece, pipelined};
use super::stencil::{MOST_BYTES, MOST_CENTRES};
use super::{Real, normalise};
use crate::network::TwoLayer;
use crate::stencil::HessianScheme;

/// Hessians on the device.
#[derive(Debug)]
pub struct Stack {
    job: Job,
    centres: DMatrix<f64>,
    prepared: Centres,
    /// Columns of tiles by slice.
    slices: Vec<Range<usize>>,
    /// The first slices, which stay.
    resident: Vec<wgpu::Buffer>,
    /// Where the others are computed, one after the other.
    scratch: Option<wgpu::Buffer>,
    /// What every Hessian is multiplied by.
    factors: Option<Vec<f64>>,
}

/// The columns of `directions` on the device, at most `most` at a time.
pub(super) fn batches(
    gpu: &Gpu,
    directions: &DMatrix<f64>,
    most: usize,
    real: Real,
) -> Result<Vec<Directions>, GpuError> {
    let count = directions.ncols();
    (0..count)
        .step_by(most.max(1))
        .map(|first| {
            let some = directions.columns(first, most.min(count - first));
            Directions::new(gpu, &some.into_owned(), real)
        })
        .collect()
}

/// Cuts a Hessian's columns of tiles into slices of at most `height` entries, or one column.
fn slices(job: &Job, height: usize) -> Vec<Range<usize>> {
    let mut slices = Vec::new();
    let mut begin = 0;
    for band in 1..=job.bands() {
        if band == job.bands() || job.rows(&(begin..band + 1)).len() > height {
            slices.push(begin..band);
            begin = band;
        }
    }
    slices
}

impl Stack {
    /// Computes the Hessians along the columns of `directions` at the columns of `centres`, at least
    /// one of either, and keeps what fits the memory that `gpu` allows.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] where not even one column of tiles fits a buffer.
    pub fn new(
        gpu: &Gpu,
        network: &TwoLayer,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
        real: Real,
    ) -> Result<Stack, GpuError> {
        if centres.ncols() == 0 || directions.ncols() == 0 {
            return Err(GpuError::Refused("a stack of no Hessians".to_owned()));
        }
        let n = centres.ncols();
        let job = Job::new(gpu, network, directions, scheme, h, real)?;
        let prepared = job.room(gpu, n)?;
        let axes = job.operations(job.stencil.axes());
        pipelined(
            Pace::new(first_piece(axes), n.min(MOST_CENTRES)),
            n,
            |piece| {
                let some = centres.columns_range(piece.clone()).into_owned();
                Ok(job.fill(gpu, &prepared, piece.start, &some))
            },
            |_, submission| gpu.wait(submission),
        )?;
        let row = n * real.bytes();
        let limit = gpu.largest_buffer().min(MOST_BYTES).min(gpu.memory() / 8) as usize;
        let slices = slices(&job, (limit / row).max(WORKGROUP as usize));
        let mut stack = Stack {
            job,
            centres: centres.clone(),
            prepared,
            slices,
            resident: Vec::new(),
            scratch: None,
            factors: None,
        };
        let mut left = (gpu.memory() / 4) as usize;
        for slice in 0..stack.slices.len() {
            let bytes = stack.rows(slice).len() * row;
            if bytes > left {
                let largest =
                    (slice..stack.slices.len()).map(|slice| stack.rows(slice).len()).max();
                stack.scratch = Some(gpu.buffer(largest.unwrap_or(0) * row)?);
                break;
            }
            left -= bytes;
            let buffer = gpu.buffer(bytes)?;
            stack.compute(gpu, slice, &buffer)?;
            stack.resident.push(buffer);
        }
        Ok(stack)
    }

    /// N, the number of Hessians.
    pub fn len(&self) -> usize {
        self.centres.ncols()
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.centres.is_empty()
    }

    /// D, the entries of a Hessian.
    pub fn entries(&self) -> usize {
        self.job.entries
    }

    /// The arithmetic.
    pub fn real(&self) -> Real {
        self.job.stencil.real()
    }

    /// Slices, and how many of them stay on the device.
    pub fn slices(&self) -> (usize, usize) {
        (self.slices.len(), self.resident.len())
    }

    pub(super) fn rows(&self, slice: usize) -> Range<usize> {
        self.job.rows(&self.slices[slice])
    }

    /// Computes a slice, two dispatches under way at a time.
    fn compute(&self, gpu: &Gpu, slice: usize, out: &wgpu::Buffer) -> Result<(), GpuError> {
        let first = first_piece(self.job.operations(self.rows(slice).len()));
        let bands = &self.slices[slice];
        pipelined(
            Pace::new(first, self.len().min(MOST_CENTRES)),
            self.len(),
            |piece| Ok(self.job.submit(gpu, &self.prepared, piece, bands.clone(), out)),
            |_, submission| gpu.wait(submission),
        )
    }

    /// A slice: its rows, and the matrix of what all Hessians have there. Computed anew where it does not
    /// stay; it is overwritten by the next one then.
    pub(super) fn slice(
        &self,
        gpu: &Gpu,
        slice: usize,
    ) -> Result<(Range<usize>, Matrix<'_>), GpuError> {
        let rows = self.rows(slice);
        let buffer = match (self.resident.get(slice), &self.scratch) {
            (Some(buffer), _) => buffer,
            (None, Some(scratch)) => {
                self.compute(gpu, slice, scratch)?;
                if let Some(factors) = &self.factors {
                    normalise::scale(gpu, scratch, rows.len(), factors, self.real())?;
                }
                scratch
            }
            (None, None) => return Err(GpuError::Refused(format!("there is no slice {slice}"))),
        };
        Ok((rows.clone(), Matrix::new(buffer, rows.len(), self.len())))
    }

    /// Shows every slice to `work`, with its rows.
    fn visit(
        &self,
        gpu: &Gpu,
        mut work: impl FnMut(Range<usize>, Matrix<'_>) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        for slice in 0..self.slices.len() {
            let (rows, matrix) = self.slice(gpu, slice)?;
            work(rows, matrix)?;
        }
        Ok(())
    }

    /// Frobenius norms, N.
    pub fn norms(&self, gpu: &Gpu) -> Result<Vec<f64>, GpuError> {
        let mut norms = vec![0.0f64; self.len()];
        self.visit(gpu, |_, slice| {
            let shape = (slice.rows, slice.columns);
            let parts = normalise::lengths(gpu, slice.buffer, shape, self.real())?;
            norms.iter_mut().zip(&parts).for_each(|(norm, part)| *norm = norm.hypot(*part));
            Ok(())
        })?;
        Ok(norms)
    }

    /// Multiplies every Hessian by its factor, once.
    ///
    /// # Panics
    /// If there is not one factor for every Hessian.
    pub fn scale(&mut self, gpu: &Gpu, factors: Vec<f64>) -> Result<(), GpuError> {
        assert_eq!(factors.len(), self.len(), "one factor a Hessian");
        for (slice, buffer) in self.resident.iter().enumerate() {
            normalise::scale(gpu, buffer, self.rows(slice).len(), &factors, self.real())?;
        }
        self.factors = Some(factors);
        Ok(())
    }

    /// The Gram matrix, N x N: summed in the stack's arithmetic over a few thousand rows at a time,
    /// then in f64.
    pub fn gram(&self, gpu: &Gpu) -> Result<DMatrix<f64>, GpuError> {
        let mut sum = DMatrix::zeros(self.len(), self.len());
        self.visit(gpu, |_, slice| {
            sum += gram(gpu, slice, slice, self.real())?;
            Ok(())
        })?;
        Ok(sum)
    }

    /// Rows of the largest slice.
    pub(super) fn height(&self) -> usize {
        (0..self.slices.len()).map(|slice| self.rows(slice).len()).max().unwrap_or(0)
    }

    /// How many columns of a slice's height fit a buffer of the size that slices have.
    pub(super) fn batch(&self, gpu: &Gpu) -> usize {
        let limit = gpu.largest_buffer().min(MOST_BYTES).min(gpu.memory() / 8) as usize;
        (limit / (self.height() * self.real().bytes())).max(WORKGROUP as usize)
    }

    /// Second derivatives u^T H u of all Hessians along the columns of `directions` (k of them): N x k.
    pub fn along(&self, gpu: &Gpu, directions: &DMatrix<f64>) -> Result<DMatrix<f64>, GpuError> {
        let real = self.real();
        let mut sum = DMatrix::zeros(self.len(), directions.ncols());
        let batch = self.batch(gpu).min(directions.ncols());
        let outers = gpu.buffer(self.height() * batch * real.bytes())?;
        let batches = batches(gpu, directions, batch, real)?;
        self.visit(gpu, |rows, slice| {
            let mut first = 0;
            for some in &batches {
                let outers = Matrix::by_rows(&outers, rows.len(), some.len());
                some.outers(gpu, rows.start, outers)?;
                let mut part = sum.columns_mut(first, some.len());
                part += gram(gpu, slice, outers, real)?;
                first += some.len();
            }
            Ok(())
        })?;
        Ok(sum)
    }

    /// Every Hessian times its column of `vectors`.
    ///
    /// # Panics
    /// If there is not one vector for every Hessian.
    pub fn images(&self, gpu: &Gpu, vectors: &DMatrix<f64>) -> Result<DMatrix<f64>, GpuError> {
        assert_eq!(vectors.ncols(), self.len(), "one vector a Hessian");
        let directions = Directions::new(gpu, vectors, self.real())?;
        self.visit(gpu, |rows, slice| directions.add_images(gpu, rows.start, slice))?;
        directions.sums(gpu)
    }

    /// The stack times `coefficients` (N x r): D x r.
    pub fn product(
        &self,
        gpu: &Gpu,
        coefficients: &DMatrix<f64>,
    ) -> Result<DMatrix<f64>, GpuError> {
        let (n, r) = coefficients.shape();
        let buffer = gpu.upload(&self.real().encode(coefficients.iter().copied()))?;
        let right = Matrix::new(&buffer, n, r);
        let mut out = DMatrix::zeros(self.entries(), r);
        self.visit(gpu, |rows, slice| {
            let part = gram(gpu, slice.transposed(), right, self.real())?;
            out.rows_range_mut(rows).copy_from(&part);
            Ok(())
        })?;
        Ok(out)
    }

    /// Some Hessians on the host, D x chosen, computed anew.
    pub fn columns(&self, gpu: &Gpu, chosen: &[usize]) -> Result<DMatrix<f64>, GpuError> {
        let centres = self.centres.select_columns(chosen);
        let mut columns = hessian_stack::download(gpu, &self.job, &centres)?;
        if let Some(factors) = &self.factors {
            for (mut column, &n) in columns.column_iter_mut().zip(chosen) {
                column *= factors[n];
            }
        }
        Ok(columns)
    }
}
