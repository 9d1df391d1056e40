//! A Hessian stack that stays on the device, of any size.
//!
//! The D x N stack is cut into slices of rows, all N Hessians' entries from one svec index to another.
//! As many slices as fit a quarter of the memory allowed stay; the others are computed again from the
//! same centres whenever they are needed, one at a time. What is asked of a stack is a sum over rows
//! (lengths, Gram matrix, inner products) or made row by row (products), so that each costs one pass
//! and neither memory ever has to hold the whole.

use std::ops::Range;

use nalgebra::DMatrix;

use super::device::{Gpu, GpuError, WORKGROUP};
use super::gram::{Matrix, gram};
use super::hessian_stack::{self, Centres, Job};
use super::pace::{Pace, first_piece, pipelined};
use super::stencil::{MOST_BYTES, MOST_CENTRES};
use super::{Real, normalise};
use crate::network::Network;
use crate::stencil::HessianScheme;

/// Hessians on the device.
#[derive(Debug)]
pub struct Stack {
    job: Job,
    centres: DMatrix<f64>,
    prepared: Centres,
    /// Rows a slice; the last may have fewer.
    height: usize,
    /// The first slices, which stay.
    resident: Vec<wgpu::Buffer>,
    /// Where the others are computed, one after the other.
    scratch: Option<wgpu::Buffer>,
    /// What every Hessian is multiplied by.
    factors: Option<Vec<f64>>,
}

impl Stack {
    /// Computes the Hessians along the columns of `directions` at the columns of `centres`, at least
    /// one of either, and keeps what fits the memory that `gpu` allows.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`] where not even a slice of 64 rows fits a buffer.
    pub fn new(
        gpu: &Gpu,
        network: &Network,
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
        let row = (n * real.bytes()) as u64;
        let limit = gpu.largest_buffer().min(MOST_BYTES).min(gpu.memory() / 8);
        let workgroup = WORKGROUP as usize;
        let height = ((limit / row) as usize / workgroup * workgroup).max(workgroup);
        let height = height.min(job.entries);
        let kept = (gpu.memory() / 4 / (height as u64 * row)) as usize;
        let slices = job.entries.div_ceil(height);
        let mut stack = Stack {
            job,
            centres: centres.clone(),
            prepared,
            height,
            resident: Vec::new(),
            scratch: None,
            factors: None,
        };
        let bytes = height * n * real.bytes();
        if kept < slices {
            stack.scratch = Some(gpu.buffer(bytes)?);
        }
        for slice in 0..kept.min(slices) {
            let buffer = gpu.buffer(bytes)?;
            stack.compute(gpu, stack.rows(slice), &buffer)?;
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
        (self.entries().div_ceil(self.height), self.resident.len())
    }

    fn rows(&self, slice: usize) -> Range<usize> {
        slice * self.height..((slice + 1) * self.height).min(self.entries())
    }

    /// Computes some rows, two dispatches under way at a time.
    fn compute(&self, gpu: &Gpu, rows: Range<usize>, out: &wgpu::Buffer) -> Result<(), GpuError> {
        let first = first_piece(self.job.operations(rows.len()));
        pipelined(
            Pace::new(first, self.len().min(MOST_CENTRES)),
            self.len(),
            |piece| Ok(self.job.submit(gpu, &self.prepared, piece, rows.clone(), out)),
            |_, submission| gpu.wait(submission),
        )
    }

    /// Shows every slice to `work`, with its rows.
    fn visit(
        &self,
        gpu: &Gpu,
        mut work: impl FnMut(Range<usize>, Matrix<'_>) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        for (slice, buffer) in self.resident.iter().enumerate() {
            let rows = self.rows(slice);
            work(rows.clone(), Matrix::new(buffer, rows.len(), self.len()))?;
        }
        let Some(scratch) = &self.scratch else { return Ok(()) };
        for slice in self.resident.len()..self.slices().0 {
            let rows = self.rows(slice);
            self.compute(gpu, rows.clone(), scratch)?;
            if let Some(factors) = &self.factors {
                normalise::scale(gpu, scratch, rows.len(), factors, self.real())?;
            }
            work(rows.clone(), Matrix::new(scratch, rows.len(), self.len()))?;
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

    /// Inner products of all Hessians with the columns of `others` (D x k): N x k.
    pub fn inner(&self, gpu: &Gpu, others: &DMatrix<f64>) -> Result<DMatrix<f64>, GpuError> {
        let mut sum = DMatrix::zeros(self.len(), others.ncols());
        self.visit(gpu, |rows, slice| {
            let part = others.rows_range(rows).into_owned();
            let buffer = gpu.upload(&self.real().encode(part.iter().copied()))?;
            let right = Matrix::new(&buffer, part.nrows(), part.ncols());
            sum += gram(gpu, slice, right, self.real())?;
            Ok(())
        })?;
        Ok(sum)
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
