//! Columns to unit length, those under a floor to zero: `shaders/normalise.wgsl`.

use nalgebra::DMatrix;

use super::Real;
use super::device::{Access, Gpu, GpuError};
use super::shader::Source;

/// Bindings of the kernel.
pub const BINDINGS: [Access; 4] = [Access::Uniform, Access::Read, Access::Write, Access::Write];

/// The uniform block.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[allow(missing_docs)] // as in shaders/normalise.wgsl
pub struct Params {
    pub entries: u32,
    pub columns: u32,
    pub pad0: u32,
    pub pad1: u32,
}

/// The kernel's source.
pub fn source(real: Real) -> Source {
    Source::new("normalise", include_str!("../../shaders/normalise.wgsl"), real, &[])
}

/// Normalises the `floors.len()` columns of `entries` numbers in `stack` and returns the lengths that
/// they had. A column whose length is not above its floor becomes zero.
pub fn normalise(
    gpu: &Gpu,
    stack: &wgpu::Buffer,
    entries: usize,
    floors: &[f64],
    real: Real,
) -> Result<Vec<f64>, GpuError> {
    let columns = floors.len();
    if columns == 0 || entries == 0 {
        return Ok(vec![0.0; columns]);
    }
    let kernel = gpu.kernel(&source(real), "normalise", &BINDINGS)?;
    let params = gpu.uniform(&Params {
        entries: entries as u32,
        columns: columns as u32,
        ..Params::default()
    });
    let floors = gpu.upload(&real.encode(floors.iter().copied()))?;
    let norms = gpu.buffer(columns * real.bytes())?;
    gpu.dispatch(&kernel, &[&params, &floors, stack, &norms], (columns as u32, 1));
    gpu.read(&norms, real, columns)
}

/// The twin.
pub fn twin(stack: &mut DMatrix<f64>, floors: &[f64]) -> Vec<f64> {
    let norms: Vec<f64> = stack.column_iter().map(|column| column.norm()).collect();
    for ((mut column, &norm), &floor) in stack.column_iter_mut().zip(&norms).zip(floors) {
        column *= if norm > floor { 1.0 / norm } else { 0.0 };
    }
    norms
}
