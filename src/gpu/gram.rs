//! Products of matrices on the device, L^T R: `shaders/gram.wgsl`.

use std::ops::Range;
use std::sync::Arc;

use nalgebra::DMatrix;

use super::Real;
use super::device::{Access, Gpu, GpuError, Kernel};
use super::pace::{Pace, pipelined};
use super::shader::Source;

/// Bindings of the kernel.
pub const BINDINGS: [Access; 4] = [Access::Uniform, Access::Read, Access::Read, Access::Write];

/// Columns a tile.
const TILE: usize = 64;
/// Rows summed on the device; the host adds up the rest in f64. Bounds the rounding and the loops.
const MOST_ROWS: usize = 8192;
/// Rows in one pass of the kernel's loop.
const FEWEST_ROWS: usize = 8;
/// Multiply-adds in the first dispatch, before there is a measurement: on a software renderer, and on hardware, of
/// which the slowest makes some 1e11 a second. A smaller one there would cost more in partial sums written than
/// it takes.
const FIRST_OPERATIONS: (usize, usize) = (1 << 27, 1 << 33);

/// The uniform block.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[allow(missing_docs)] // as in shaders/gram.wgsl
pub struct Params {
    pub first_row: u32,
    pub last_row: u32,
    pub left_columns: u32,
    pub right_columns: u32,
    pub left_row: u32,
    pub left_column: u32,
    pub right_row: u32,
    pub right_column: u32,
    pub add: u32,
    pub symmetric: u32,
    pub pad0: u32,
    pub pad1: u32,
}

/// The kernel's source.
pub fn source(real: Real) -> Source {
    let constants = [("HALVES", 2), ("FOUR", 4)];
    Source::new("gram", include_str!("../../shaders/gram.wgsl"), real, &constants)
}

/// A matrix in a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// Where it is.
    pub buffer: &'a wgpu::Buffer,
    /// Its number of rows.
    pub rows: usize,
    /// Its number of columns.
    pub columns: usize,
    /// Whether rows, not columns, are stored one after the other.
    pub by_rows: bool,
}

impl<'a> Matrix<'a> {
    /// A matrix stored column after column.
    pub fn new(buffer: &'a wgpu::Buffer, rows: usize, columns: usize) -> Self {
        Matrix { buffer, rows, columns, by_rows: false }
    }

    /// A matrix stored row after row.
    pub fn by_rows(buffer: &'a wgpu::Buffer, rows: usize, columns: usize) -> Self {
        Matrix { buffer, rows, columns, by_rows: true }
    }

    /// Its transpose, without moving anything.
    pub fn transposed(self) -> Self {
        Matrix { rows: self.columns, columns: self.rows, by_rows: !self.by_rows, ..self }
    }

    /// From one row to the next, and from one column to the next.
    pub fn strides(self) -> (usize, usize) {
        if self.by_rows { (self.columns, 1) } else { (1, self.rows) }
    }
}

/// L^T R, about to be computed.
struct Product<'a> {
    kernel: Arc<Kernel>,
    left: Matrix<'a>,
    right: Matrix<'a>,
    /// The product of a matrix with itself.
    symmetric: bool,
}

impl<'a> Product<'a> {
    /// # Panics
    /// If `left` and `right` have different numbers of rows.
    fn new(gpu: &Gpu, left: Matrix<'a>, right: Matrix<'a>, real: Real) -> Result<Self, GpuError> {
        assert_eq!(left.rows, right.rows, "as many rows in either matrix");
        let symmetric = std::ptr::eq(left.buffer, right.buffer) && left.columns == right.columns;
        Ok(Product {
            kernel: gpu.kernel(&source(real), "gram", &BINDINGS)?,
            left,
            right,
            symmetric,
        })
    }

    /// Numbers of the product.
    fn len(&self) -> usize {
        self.left.columns * self.right.columns
    }

    /// Passes of the kernel's loop, and how many of them a dispatch may have.
    fn passes(&self, gpu: &Gpu) -> (usize, Pace) {
        let (software, hardware) = FIRST_OPERATIONS;
        let first = if gpu.record().is_software() { software } else { hardware };
        let first = first / FEWEST_ROWS / self.len();
        (self.left.rows.div_ceil(FEWEST_ROWS), Pace::new(first, MOST_ROWS / FEWEST_ROWS))
    }

    /// Sets the device to sum over the rows of some passes.
    fn submit(
        &self,
        gpu: &Gpu,
        passes: &Range<usize>,
        add: bool,
        out: &wgpu::Buffer,
    ) -> wgpu::SubmissionIndex {
        let Product { left, right, .. } = *self;
        let (left_row, left_column) = left.strides();
        let (right_row, right_column) = right.strides();
        let params = gpu.uniform(&Params {
            first_row: (FEWEST_ROWS * passes.start) as u32,
            last_row: (FEWEST_ROWS * passes.end).min(left.rows) as u32,
            left_columns: left.columns as u32,
            right_columns: right.columns as u32,
            left_row: left_row as u32,
            left_column: left_column as u32,
            right_row: right_row as u32,
            right_column: right_column as u32,
            add: u32::from(add),
            symmetric: u32::from(self.symmetric),
            ..Params::default()
        });
        let groups = (right.columns.div_ceil(TILE) as u32, left.columns.div_ceil(TILE) as u32);
        gpu.dispatch(&self.kernel, &[&params, left.buffer, right.buffer, out], groups)
    }
}

/// L^T R on the host, summed there in f64 from a few thousand rows at a time; either matrix stored either way.
///
/// # Panics
/// If `left` and `right` have different numbers of rows.
pub fn gram(
    gpu: &Gpu,
    left: Matrix<'_>,
    right: Matrix<'_>,
    real: Real,
) -> Result<DMatrix<f64>, GpuError> {
    let mut sums = DMatrix::zeros(right.columns, left.columns);
    let product = Product::new(gpu, left, right, real)?;
    if sums.is_empty() {
        return Ok(sums.transpose());
    }
    let products = gpu.buffer(sums.len() * real.bytes())?;
    let mut part = Vec::with_capacity(sums.len());
    let (count, pace) = product.passes(gpu);
    pipelined(
        pace,
        count,
        |passes| {
            product.submit(gpu, &passes, false, &products);
            gpu.download(&products, product.len() * real.bytes())
        },
        |_, download| {
            part.clear();
            gpu.finish(download, |bytes| real.decode(bytes, &mut part))?;
            sums.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
            Ok(())
        },
    )?;
    if product.symmetric {
        // The lower triangle of its transpose was computed.
        sums.fill_upper_triangle_with_lower_triangle();
    }
    Ok(sums.transpose())
}

/// L^T R by rows in `out`, which stays on the device; added to what is there if `add` is set.
///
/// # Panics
/// If `left` and `right` have different numbers of rows.
pub fn multiply(
    gpu: &Gpu,
    left: Matrix<'_>,
    right: Matrix<'_>,
    (out, add): (&wgpu::Buffer, bool),
    real: Real,
) -> Result<(), GpuError> {
    let product = Product { symmetric: false, ..Product::new(gpu, left, right, real)? };
    if product.len() == 0 {
        return Ok(());
    }
    let (count, pace) = product.passes(gpu);
    pipelined(
        pace,
        count,
        |passes| Ok(product.submit(gpu, &passes, add || passes.start > 0, out)),
        |_, submission| gpu.wait(submission),
    )
}

/// The twin.
pub fn twin(left: &DMatrix<f64>, right: &DMatrix<f64>) -> DMatrix<f64> {
    left.transpose() * right
}
