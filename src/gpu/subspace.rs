//! A space of symmetric matrices spanned by combinations of a stack's Hessians, on the device, and the
//! subspace power method in it.
//!
//! With the stack M and coefficients C the basis is W = M C, cut into slices as M is. Those that fit stay,
//! the others are computed from M's whenever they are needed. P_W(u u^T) u is two passes over W for all
//! directions together: the coordinates W^T svec(u u^T), then W times them, slice by slice, times u. Nothing
//! as large as W is ever on the host.

use std::ops::Range;

use nalgebra::DMatrix;

use super::ascent::Directions;
use super::device::{Gpu, GpuError};
use super::gram::{Matrix, gram, multiply};
use super::stack::{Stack, batches};

/// Steps of the power method, at most: a start that has not arrived by then is as far from a rank-one matrix
/// as one that never will.
const MOST_STEPS: usize = 100;
/// Largest movement of a component at which a direction has arrived, in roundings: images are sums of some
/// hundred terms, and what is wanted are starts for what follows.
const ARRIVED: f64 = 64.0;

/// The space. It belongs to the stack that it was made of.
#[derive(Debug)]
pub struct Subspace<'a> {
    stack: &'a Stack,
    /// C, N x r by columns.
    coefficients: wgpu::Buffer,
    rank: usize,
    /// The first slices, which stay.
    resident: Vec<wgpu::Buffer>,
    /// Where the others are computed, one after the other.
    scratch: Option<wgpu::Buffer>,
}

impl<'a> Subspace<'a> {
    /// The span of the combinations of the stack's Hessians that the columns of `coefficients` give, at least
    /// one, of which `memory` bytes may stay on the device. The power method needs them orthonormal.
    pub fn new(
        gpu: &Gpu,
        stack: &'a Stack,
        coefficients: &DMatrix<f64>,
        memory: u64,
    ) -> Result<Self, GpuError> {
        let real = stack.real();
        let rank = coefficients.ncols();
        let mut space = Subspace {
            stack,
            coefficients: gpu.upload(&real.encode(coefficients.iter().copied()))?,
            rank,
            resident: Vec::new(),
            scratch: None,
        };
        let mut left = memory as usize;
        for slice in 0..stack.slices().0 {
            let bytes = stack.rows(slice).len() * rank * real.bytes();
            if bytes > left {
                space.scratch = Some(gpu.buffer(stack.height() * rank * real.bytes())?);
                break;
            }
            left -= bytes;
            let buffer = gpu.buffer(bytes)?;
            space.combine(gpu, stack.slice(gpu, slice)?.1, &buffer)?;
            space.resident.push(buffer);
        }
        Ok(space)
    }

    /// Slices that stay on the device.
    pub fn resident(&self) -> usize {
        self.resident.len()
    }

    /// A slice of M times C.
    fn combine(&self, gpu: &Gpu, hessians: Matrix<'_>, out: &wgpu::Buffer) -> Result<(), GpuError> {
        let coefficients = Matrix::new(&self.coefficients, self.stack.len(), self.rank);
        multiply(gpu, hessians.transposed(), coefficients, (out, false), self.stack.real())
    }

    /// Shows every slice of W to `work`, with its rows.
    fn visit(
        &self,
        gpu: &Gpu,
        mut work: impl FnMut(Range<usize>, Matrix<'_>) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        let Subspace { stack, rank, .. } = *self;
        for (slice, buffer) in self.resident.iter().enumerate() {
            let rows = stack.rows(slice);
            work(rows.clone(), Matrix::by_rows(buffer, rows.len(), rank))?;
        }
        let Some(scratch) = &self.scratch else { return Ok(()) };
        for slice in self.resident.len()..stack.slices().0 {
            let (rows, hessians) = stack.slice(gpu, slice)?;
            self.combine(gpu, hessians, scratch)?;
            work(rows.clone(), Matrix::by_rows(scratch, rows.len(), rank))?;
        }
        Ok(())
    }

    /// W^T W.
    pub fn gram(&self, gpu: &Gpu) -> Result<DMatrix<f64>, GpuError> {
        let mut sum = DMatrix::zeros(self.rank, self.rank);
        self.visit(gpu, |_, slice| {
            sum += gram(gpu, slice, slice, self.stack.real())?;
            Ok(())
        })?;
        Ok(sum)
    }

    /// P_W(u u^T) u for the columns u of `directions`.
    pub fn project(&self, gpu: &Gpu, directions: &DMatrix<f64>) -> Result<DMatrix<f64>, GpuError> {
        let real = self.stack.real();
        let most = self.stack.batch(gpu).min(directions.ncols());
        let batches = batches(gpu, directions, most, real)?;
        // Of one slice and one batch: svec(u u^T), then P_W of it.
        let matrices = gpu.buffer(self.stack.height() * most * real.bytes())?;
        let coordinates: Vec<wgpu::Buffer> = batches
            .iter()
            .map(|some| gpu.buffer(self.rank * some.len() * real.bytes()))
            .collect::<Result<_, _>>()?;
        let pairs = || batches.iter().zip(&coordinates);
        self.visit(gpu, |rows, slice| {
            for (some, coordinates) in pairs() {
                let outers = Matrix::by_rows(&matrices, rows.len(), some.len());
                some.outers(gpu, rows.start, outers)?;
                multiply(gpu, slice, outers, (coordinates, true), real)?;
            }
            Ok(())
        })?;
        self.visit(gpu, |rows, slice| {
            for (some, coordinates) in pairs() {
                let coordinates = Matrix::by_rows(coordinates, self.rank, some.len());
                multiply(gpu, slice.transposed(), coordinates, (&matrices, false), real)?;
                let projected = Matrix::by_rows(&matrices, rows.len(), some.len());
                some.add_images(gpu, rows.start, projected)?;
            }
            Ok(())
        })?;
        let sums: Vec<DMatrix<f64>> =
            batches.iter().map(|some: &Directions| some.sums(gpu)).collect::<Result<_, _>>()?;
        let columns: Vec<_> = sums.iter().flat_map(|sum| sum.column_iter()).collect();
        Ok(DMatrix::from_columns(&columns))
    }

    /// The subspace power method u <- P_W(u u^T) u, normalised, for all columns of `starts` (unit vectors, at
    /// least one) together: where each ends, and |P_W(u u^T)|^2 there.
    pub fn climb(
        &self,
        gpu: &Gpu,
        starts: &DMatrix<f64>,
    ) -> Result<(DMatrix<f64>, Vec<f64>), GpuError> {
        let arrived = ARRIVED * self.stack.real().epsilon();
        let mut ends = starts.clone();
        let mut scores = vec![0.0; ends.ncols()];
        let mut moving: Vec<usize> = (0..ends.ncols()).collect();
        for _ in 0..MOST_STEPS {
            let images = self.project(gpu, &ends.select_columns(&moving))?;
            let mut still = Vec::new();
            for (image, &k) in images.column_iter().zip(&moving) {
                let mut end = ends.column_mut(k);
                // u^T P_W(u u^T) u = |P_W(u u^T)|^2 >= 0: the sign never flips.
                scores[k] = image.dot(&end);
                let norm = image.norm();
                if norm == 0.0 || !norm.is_finite() {
                    continue;
                }
                let moved = (image / norm - &end).amax();
                end.copy_from(&(image / norm));
                if moved > arrived {
                    still.push(k);
                }
            }
            moving = still;
            if moving.is_empty() {
                break;
            }
        }
        Ok((ends, scores))
    }
}
