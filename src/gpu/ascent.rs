//! What the subspace power method needs beside products of matrices: `shaders/ascent.wgsl`.

use std::ops::Range;

use nalgebra::DMatrix;

use super::Real;
use super::device::{Access, Gpu, GpuError, WORKGROUP};
use super::gram::Matrix;
use super::shader::Source;
use crate::algebra::svec::{smat, svec_outer};

/// Bindings of both entry points.
pub const BINDINGS: [Access; 4] = [Access::Uniform, Access::Read, Access::Write, Access::Write];

/// Workgroups side by side: each takes every so many entries.
const MOST_GROUPS: usize = 1 << 15;

/// The uniform block.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[allow(missing_docs)] // as in shaders/ascent.wgsl
pub struct Params {
    pub first_entry: u32,
    pub entries: u32,
    pub order: u32,
    pub columns: u32,
    pub row: u32,
    pub column_stride: u32,
    pub pad0: u32,
    pub pad1: u32,
}

/// The kernel's source.
pub fn source(real: Real) -> Source {
    Source::new("ascent", include_str!("../../shaders/ascent.wgsl"), real, &[])
}

/// Directions on the device, and vectors of the same shape that are summed there.
#[derive(Debug)]
pub struct Directions {
    /// Components of each.
    order: usize,
    /// How many.
    count: usize,
    directions: wgpu::Buffer,
    products: wgpu::Buffer,
    real: Real,
}

impl Directions {
    /// The columns of `directions`; the sums are zero.
    pub fn new(gpu: &Gpu, directions: &DMatrix<f64>, real: Real) -> Result<Self, GpuError> {
        let (order, count) = directions.shape();
        let by_rows = directions.transpose();
        Ok(Directions {
            order,
            count,
            directions: gpu.upload(&real.encode(by_rows.iter().copied()))?,
            products: gpu.buffer(order * count * real.bytes())?,
            real,
        })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn dispatch(
        &self,
        gpu: &Gpu,
        entry: &'static str,
        first_entry: usize,
        slice: Matrix<'_>,
        groups: usize,
    ) -> Result<(), GpuError> {
        let kernel = gpu.kernel(&source(self.real), entry, &BINDINGS)?;
        let (row, column) = slice.strides();
        let params = gpu.uniform(&Params {
            first_entry: first_entry as u32,
            entries: slice.rows as u32,
            order: self.order as u32,
            columns: self.count as u32,
            row: row as u32,
            column_stride: column as u32,
            ..Params::default()
        });
        let groups = ((self.count as u32).div_ceil(WORKGROUP), groups as u32);
        gpu.dispatch(&kernel, &[&params, &self.directions, slice.buffer, &self.products], groups);
        Ok(())
    }

    /// Writes the entries of svec(u u^T) from `first_entry` on for every direction u.
    pub fn outers(&self, gpu: &Gpu, first_entry: usize, slice: Matrix<'_>) -> Result<(), GpuError> {
        let groups = slice.rows.min(MOST_GROUPS);
        self.dispatch(gpu, "outers", first_entry, slice, groups)
    }

    /// Adds to the sums what `slice`, entries from `first_entry` on of one symmetric matrix for each direction
    /// and whole columns of its upper triangle, contributes to the products of the matrices with the directions.
    pub fn add_images(
        &self,
        gpu: &Gpu,
        first_entry: usize,
        slice: Matrix<'_>,
    ) -> Result<(), GpuError> {
        self.dispatch(gpu, "images", first_entry, slice, self.order)
    }

    /// The sums, as columns.
    pub fn sums(&self, gpu: &Gpu) -> Result<DMatrix<f64>, GpuError> {
        let sums = gpu.read(&self.products, self.real, self.order * self.count)?;
        Ok(DMatrix::from_row_slice(self.order, self.count, &sums))
    }
}

/// The twin of [`Directions::outers`]: rows of the svec's.
pub fn outers_twin(directions: &DMatrix<f64>, rows: Range<usize>) -> DMatrix<f64> {
    let n = directions.nrows();
    let mut outers = DMatrix::zeros(n * (n + 1) / 2, directions.ncols());
    for (u, mut outer) in directions.column_iter().zip(outers.column_iter_mut()) {
        svec_outer(u.as_slice(), outer.as_mut_slice());
    }
    outers.rows_range(rows).into_owned()
}

/// The twin of [`Directions::add_images`]: the products of the matrices whose svec's are `slice` in the rows
/// from `first_entry` on, and zero elsewhere.
pub fn images_twin(
    directions: &DMatrix<f64>,
    first_entry: usize,
    slice: &DMatrix<f64>,
) -> DMatrix<f64> {
    let n = directions.nrows();
    let mut images = directions.clone();
    for (part, mut image) in slice.column_iter().zip(images.column_iter_mut()) {
        let mut svec = vec![0.0; n * (n + 1) / 2];
        svec[first_entry..first_entry + part.len()].copy_from_slice(part.as_slice());
        let product = smat(&svec) * &image;
        image.copy_from(&product);
    }
    images
}
