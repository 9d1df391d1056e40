//! Inner products of columns: `shaders/gram.wgsl`.

use std::time::Instant;

use nalgebra::DMatrix;

use super::Real;
use super::device::{Access, DISPATCH, Gpu, GpuError};
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
    pub entries: u32,
    pub first_row: u32,
    pub last_row: u32,
    pub left_columns: u32,
    pub right_columns: u32,
    pub pad0: u32,
    pub pad1: u32,
    pub pad2: u32,
}

/// The kernel's source.
pub fn source(real: Real) -> Source {
    Source::new("gram", include_str!("../../shaders/gram.wgsl"), real, &[])
}

/// L^T R for two matrices on the device of `entries` rows, given as (buffer, columns).
pub fn gram(
    gpu: &Gpu,
    left: (&wgpu::Buffer, usize),
    right: (&wgpu::Buffer, usize),
    entries: usize,
    real: Real,
) -> Result<DMatrix<f64>, GpuError> {
    let mut out = DMatrix::zeros(left.1, right.1);
    if out.is_empty() {
        return Ok(out);
    }
    let kernel = gpu.kernel(&source(real), "gram", &BINDINGS)?;
    let groups = (right.1.div_ceil(TILE) as u32, left.1.div_ceil(TILE) as u32);
    let products = gpu.buffer(out.len() * real.bytes())?;
    let mut rows = (FIRST_OPERATIONS / out.len()).clamp(FEWEST_ROWS, MOST_ROWS);
    let mut first = 0;
    while first < entries {
        let last = (first + rows).min(entries);
        let params = gpu.uniform(&Params {
            entries: entries as u32,
            first_row: first as u32,
            last_row: last as u32,
            left_columns: left.1 as u32,
            right_columns: right.1 as u32,
            ..Params::default()
        });
        let began = Instant::now();
        gpu.dispatch(&kernel, &[&params, left.0, right.0, &products], groups);
        let part = gpu.read(&products, real, out.len())?;
        let pace = DISPATCH.as_secs_f64() / began.elapsed().as_secs_f64().max(1e-6);
        out += DMatrix::from_row_slice(left.1, right.1, &part);
        rows = ((rows as f64 * pace) as usize).clamp(FEWEST_ROWS, (2 * rows).min(MOST_ROWS));
        first = last;
    }
    Ok(out)
}

/// The twin.
pub fn twin(left: &DMatrix<f64>, right: &DMatrix<f64>) -> DMatrix<f64> {
    left.transpose() * right
}
