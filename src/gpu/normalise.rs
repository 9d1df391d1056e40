//! Lengths of columns, and columns times a number each: `shaders/normalise.wgsl`. Between the two the
//! host decides which columns are to count.

use nalgebra::DMatrix;

use super::Real;
use super::device::{Access, Gpu, GpuError};
use super::shader::Source;

/// Bindings of both entry points.
pub const BINDINGS: [Access; 3] = [Access::Uniform, Access::Write, Access::Write];

/// Columns a dispatch.
const MOST_COLUMNS: usize = 65_535;

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

fn dispatch(
    gpu: &Gpu,
    entry: &'static str,
    stack: &wgpu::Buffer,
    numbers: &wgpu::Buffer,
    (entries, columns): (usize, usize),
    real: Real,
) -> Result<(), GpuError> {
    if columns > MOST_COLUMNS {
        return Err(GpuError::TooLarge(format!("{columns} columns to normalise")));
    }
    let kernel = gpu.kernel(&source(real), entry, &BINDINGS)?;
    let params = gpu.uniform(&Params {
        entries: entries as u32,
        columns: columns as u32,
        ..Params::default()
    });
    gpu.dispatch(&kernel, &[&params, stack, numbers], (columns as u32, 1));
    Ok(())
}

/// Euclidean lengths of the `columns` columns of `entries` numbers each in `stack`.
pub fn lengths(
    gpu: &Gpu,
    stack: &wgpu::Buffer,
    (entries, columns): (usize, usize),
    real: Real,
) -> Result<Vec<f64>, GpuError> {
    if columns == 0 || entries == 0 {
        return Ok(vec![0.0; columns]);
    }
    let numbers = gpu.buffer(columns * real.bytes())?;
    dispatch(gpu, "lengths", stack, &numbers, (entries, columns), real)?;
    gpu.read(&numbers, real, columns)
}

/// Multiplies every column of `entries` numbers by its factor, in place.
pub fn scale(
    gpu: &Gpu,
    stack: &wgpu::Buffer,
    entries: usize,
    factors: &[f64],
    real: Real,
) -> Result<(), GpuError> {
    if factors.is_empty() || entries == 0 {
        return Ok(());
    }
    let numbers = gpu.upload(&real.encode(factors.iter().copied()))?;
    dispatch(gpu, "scale", stack, &numbers, (entries, factors.len()), real)
}

/// One over each length, zero for columns no longer than their floors.
///
/// # Panics
/// If there is not one floor for every length.
pub fn factors(lengths: &[f64], floors: &[f64]) -> Vec<f64> {
    assert_eq!(lengths.len(), floors.len(), "one floor a column");
    let pairs = lengths.iter().zip(floors);
    pairs.map(|(&length, &floor)| if length > floor { 1.0 / length } else { 0.0 }).collect()
}

/// The twin of [`lengths`] and, with the [`factors`] between them, of [`scale`].
pub fn twin(stack: &mut DMatrix<f64>, floors: &[f64]) -> Vec<f64> {
    let lengths: Vec<f64> = stack.column_iter().map(|column| column.norm()).collect();
    for (mut column, factor) in stack.column_iter_mut().zip(factors(&lengths, floors)) {
        column *= factor;
    }
    lengths
}
