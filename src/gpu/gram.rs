//! Products of matrices on the device, L^T R: `shaders/gram.wgsl`.

use nalgebra::DMatrix;

use super::Real;
use super::device::{Access, Gpu, GpuError};
use super::pace::{Pace, pipelined};
use super::shader::Source;

/// Bindings of the kernel.
pub const BINDINGS: [Access; 4] = [Access::Uniform, Access::Read, Access::Read, Access::Write];

/// Columns a tile.
const TILE: usize = 32;
/// Rows summed on the device; the host adds up the rest in f64. Bounds the rounding and the loops.
const MOST_ROWS: usize = 8192;
/// Rows in one pass of the kernel's loop.
const FEWEST_ROWS: usize = 16;
/// Multiply-adds in the first dispatch, before there is a measurement.
const FIRST_OPERATIONS: usize = 1 << 27;

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
    pub right_column: u32,
    pub pad0: u32,
}

/// The kernel's source.
pub fn source(real: Real) -> Source {
    Source::new("gram", include_str!("../../shaders/gram.wgsl"), real, &[])
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

    /// Its transpose, without moving anything.
    pub fn transposed(self) -> Self {
        Matrix { rows: self.columns, columns: self.rows, by_rows: !self.by_rows, ..self }
    }
}

/// L^T R, `left` stored either way, `right` by columns.
///
/// # Panics
/// If `left` and `right` have different numbers of rows, or `right` is stored by rows.
pub fn gram(
    gpu: &Gpu,
    left: Matrix<'_>,
    right: Matrix<'_>,
    real: Real,
) -> Result<DMatrix<f64>, GpuError> {
    assert_eq!(left.rows, right.rows, "as many rows in either matrix");
    assert!(!right.by_rows, "the right matrix by columns");
    let mut sums = DMatrix::zeros(right.columns, left.columns);
    if sums.is_empty() {
        return Ok(sums.transpose());
    }
    let kernel = gpu.kernel(&source(real), "gram", &BINDINGS)?;
    let groups = (right.columns.div_ceil(TILE) as u32, left.columns.div_ceil(TILE) as u32);
    let products = gpu.buffer(sums.len() * real.bytes())?;
    let (left_row, left_column) = if left.by_rows { (left.columns, 1) } else { (1, left.rows) };
    let most = MOST_ROWS / FEWEST_ROWS;
    let mut part = Vec::with_capacity(sums.len());
    pipelined(
        Pace::new(FIRST_OPERATIONS / FEWEST_ROWS / sums.len(), most),
        left.rows.div_ceil(FEWEST_ROWS),
        |passes| {
            let params = gpu.uniform(&Params {
                first_row: (FEWEST_ROWS * passes.start) as u32,
                last_row: (FEWEST_ROWS * passes.end).min(left.rows) as u32,
                left_columns: left.columns as u32,
                right_columns: right.columns as u32,
                left_row: left_row as u32,
                left_column: left_column as u32,
                right_column: right.rows as u32,
                ..Params::default()
            });
            gpu.dispatch(&kernel, &[&params, left.buffer, right.buffer, &products], groups);
            gpu.download(&products, right.columns * left.columns * real.bytes())
        },
        |_, download| {
            part.clear();
            gpu.finish(download, |bytes| real.decode(bytes, &mut part))?;
            sums.iter_mut().zip(&part).for_each(|(sum, part)| *sum += part);
            Ok(())
        },
    )?;
    Ok(sums.transpose())
}

/// The twin.
pub fn twin(left: &DMatrix<f64>, right: &DMatrix<f64>) -> DMatrix<f64> {
    left.transpose() * right
}
