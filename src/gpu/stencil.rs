//! What the gradient and the Hessian kernel have in common: a network, directions and a scheme on the
//! device, and the units at the centres. `shaders/shared/response.wgsl` is the other side of it.

use std::ops::Range;

use nalgebra::DMatrix;

use super::Real;
use super::device::{Access, Gpu, GpuError, Kernel, WORKGROUP};
use super::increments::{Increments, Params};
use crate::network::TwoLayer;

/// Centres a dispatch: below the limit of workgroups in one dimension.
pub const MOST_CENTRES: usize = 32_768;
/// Bytes of results in flight.
pub const MOST_BYTES: u64 = 64 << 20;
/// Bindings that all stencil kernels have: those of `response.wgsl`.
const COMMON: usize = 6;

/// The bindings of a stencil kernel: the common ones and `own`.
///
/// # Panics
/// If `N` is too small for them, when it is compiled.
pub const fn bindings<const N: usize>(own: &[Access]) -> [Access; N] {
    let mut all = [Access::Read; N];
    all[0] = Access::Uniform;
    let mut k = 0;
    while k < own.len() {
        all[COMMON + k] = own[k];
        k += 1;
    }
    all
}

/// A finite-difference scheme as the kernels take it.
#[derive(Clone, Debug)]
pub struct Scheme {
    /// Lengths of the steps along the directions.
    pub levels: Vec<f64>,
    /// Weights of the differences.
    pub weights: Vec<f64>,
    /// f(x+s) - f(x) stands for the second difference.
    pub one_sided: bool,
    /// Displacements evaluated for one output at most.
    pub displacements: usize,
    /// The Hessian scheme visits v_i - v_j too.
    pub minus: bool,
    /// The scheme visits the second level beyond the axes.
    pub far: bool,
}

/// Everything about a batch of stencils but its centres, on the device.
#[derive(Debug)]
pub struct Stencil {
    increments: Increments,
    real: Real,
    params: Params,
    operations: f64,
    weights: wgpu::Buffer,
    moves: wgpu::Buffer,
    rule: wgpu::Buffer,
}

/// The units of both layers at some centres, on the device.
#[derive(Debug)]
pub struct Units {
    bottoms: wgpu::Buffer,
    tops: wgpu::Buffer,
}

/// What a dispatch makes at every centre.
#[derive(Clone, Debug)]
pub struct Share {
    /// These outputs, where a centre has more.
    pub outputs: Range<usize>,
    /// One invocation for each: the outputs, or tiles of them.
    pub tiles: Range<usize>,
}

impl Share {
    /// The first `count` outputs, one an invocation.
    pub fn each(count: usize) -> Self {
        Share { outputs: 0..count, tiles: 0..count }
    }
}

impl Stencil {
    /// Puts a network, the columns of `directions` and a scheme on the device.
    pub fn new(
        gpu: &Gpu,
        network: &TwoLayer,
        directions: &DMatrix<f64>,
        scheme: &Scheme,
        real: Real,
    ) -> Result<Self, GpuError> {
        gpu.require(real)?;
        let increments = Increments::new(network);
        increments.check(gpu, scheme.displacements, directions.ncols(), real)?;
        let params = Params {
            directions: directions.ncols() as u32,
            units: network.a.ncols() as u32,
            blocks: increments.blocks() as u32,
            levels: scheme.levels.len() as u32,
            one_sided: u32::from(scheme.one_sided),
            minus: u32::from(scheme.minus),
            far: u32::from(scheme.far),
            ..Params::default()
        };
        Ok(Stencil {
            params,
            operations: (increments.operations().0 * scheme.displacements as u64) as f64,
            weights: gpu.upload(&increments.network(real))?,
            moves: gpu.upload(&increments.moves(directions, &scheme.levels, real))?,
            rule: gpu.upload(&real.encode(scheme.weights.iter().copied()))?,
            increments,
            real,
        })
    }

    /// The arithmetic.
    pub fn real(&self) -> Real {
        self.real
    }

    /// What was prepared of the network.
    pub fn increments(&self) -> &Increments {
        &self.increments
    }

    /// Multiply-adds of one output.
    pub fn operations(&self) -> f64 {
        self.operations
    }

    /// Directions times levels: displacements along the directions alone.
    pub fn axes(&self) -> usize {
        (self.params.directions * self.params.levels) as usize
    }

    /// Room for the units at `count` centres.
    pub fn room(&self, gpu: &Gpu, count: usize) -> Result<Units, GpuError> {
        let (bottoms, tops) = self.increments.centre_bytes(self.real);
        Ok(Units { bottoms: gpu.buffer(bottoms * count)?, tops: gpu.buffer(tops * count)? })
    }

    /// Computes the units at the columns of `centres`, on the host and in f64, and uploads them to the
    /// places from `first` on, after all work submitted before.
    pub fn fill(&self, gpu: &Gpu, units: &Units, first: usize, centres: &DMatrix<f64>) {
        let (bottom, top) = self.increments.centre_bytes(self.real);
        let (bottoms, tops) = self.increments.centres(centres, self.real);
        gpu.write(&units.bottoms, bottom * first, &bottoms);
        gpu.write(&units.tops, top * first, &tops);
    }

    /// Centres that one piece of work may have, `outputs` numbers for each: no buffer takes more than
    /// a sixteenth of the memory allowed.
    pub fn most_centres(&self, gpu: &Gpu, outputs: usize) -> usize {
        let (bottoms, tops) = self.increments.centre_bytes(self.real);
        let largest = bottoms.max(tops).max(outputs * self.real.bytes()) as u64;
        let fit = gpu.largest_buffer().min(MOST_BYTES).min(gpu.memory() / 16) / largest;
        (fit as usize).clamp(1, MOST_CENTRES)
    }

    /// Sets the device to compute `share` at each of `centres`, places in `units`; `own` are the kernel's
    /// own buffers.
    pub fn dispatch(
        &self,
        gpu: &Gpu,
        kernel: &Kernel,
        units: &Units,
        centres: Range<usize>,
        share: Share,
        own: &[&wgpu::Buffer],
    ) -> wgpu::SubmissionIndex {
        let params = gpu.uniform(&Params {
            entries: share.outputs.len() as u32,
            first_centre: centres.start as u32,
            first_entry: share.outputs.start as u32,
            first_tile: share.tiles.start as u32,
            tiles: share.tiles.len() as u32,
            ..self.params
        });
        let common = [&params, &self.weights, &units.bottoms, &units.tops, &self.moves, &self.rule];
        let buffers: Vec<&wgpu::Buffer> = common.iter().chain(own).copied().collect();
        let groups = ((share.tiles.len() as u32).div_ceil(WORKGROUP), centres.len() as u32);
        gpu.dispatch(kernel, &buffers, groups)
    }
}
