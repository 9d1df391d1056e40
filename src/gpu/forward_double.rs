//! Batched values of f in numbers of two f32 each: `shaders/forward_double.wgsl`. For adapters without
//! 64-bit floats; the twin is that of [`forward`](super::forward).

use nalgebra::{DMatrix, DVector};

use super::Real;
use super::device::{Access, Gpu, GpuError, WORKGROUP};
use super::pace::{Pace, first_piece, pipelined};
use super::shader::{self, Source};
use crate::network::{Activation, TwoLayer};

/// Bindings of the kernel.
pub const BINDINGS: [Access; 5] =
    [Access::Uniform, Access::Read, Access::Read, Access::Read, Access::Write];

/// Points a dispatch.
const MOST_POINTS: usize = 1 << 16;
/// Multiply-adds in f32 of one in pairs, about: for the size of the first dispatch.
const OPERATIONS: usize = 40;
/// Relative error of a sum, a product or an activation. *Measured*: 3e-14 at most.
pub const EPSILON: f64 = 7.2e-15; // 2^-47

/// The uniform block.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[allow(missing_docs)] // as in shaders/forward_double.wgsl
pub struct Params {
    pub points: u32,
    pub inputs: u32,
    pub units: u32,
    pub zero: u32,
}

/// The kernel's source for a network.
pub fn source(network: &TwoLayer) -> Source {
    let constants = [
        ("M1", network.b.ncols() as u32),
        ("BOTTOM", shader::activation(network.g)),
        ("TOP", shader::activation(network.h)),
    ];
    Source::double("forward_double", include_str!("../../shaders/forward_double.wgsl"), &constants)
}

/// Numbers as pairs, high part first.
pub fn encode(numbers: impl IntoIterator<Item = f64>) -> Vec<u8> {
    Real::F32.encode(numbers.into_iter().flat_map(|x| {
        let high = f64::from(x as f32);
        [high, x - high]
    }))
}

/// The inverse of [`encode`], appended to `out`.
pub fn decode(bytes: &[u8], out: &mut Vec<f64>) {
    let mut parts = Vec::with_capacity(bytes.len() / 4);
    Real::F32.decode(bytes, &mut parts);
    out.extend(parts.as_chunks::<2>().0.iter().map(|[high, low]| high + low));
}

/// Refuses a network for which one invocation would loop too long.
pub fn check(gpu: &Gpu, network: &TwoLayer) -> Result<(), GpuError> {
    let (d, m0, m1) = network.dims();
    let panels = |activation| if activation == Activation::Erf { 4 * 13 } else { 0 };
    if m0 * (d + m1 + panels(network.g)) + m1 * (2 + panels(network.h)) > gpu.most_iterations() {
        return Err(GpuError::TooLarge(format!(
            "the double-f32 kernel cannot hold a {d}-{m0}-{m1} network"
        )));
    }
    Ok(())
}

/// Values of f at the columns of `points`.
pub fn values(
    gpu: &Gpu,
    network: &TwoLayer,
    points: &DMatrix<f64>,
) -> Result<DVector<f64>, GpuError> {
    check(gpu, network)?;
    let ((d, m0, m1), n) = (network.dims(), points.ncols());
    if n == 0 {
        return Ok(DVector::zeros(0));
    }
    let first = gpu.upload(&encode(network.a.iter().chain(&network.theta).copied()))?;
    let rows = network.b.transpose();
    let second = rows.iter().chain(&network.tau).chain(&network.c);
    let second = gpu.upload(&encode(second.copied()))?;
    let kernel = gpu.kernel(&source(network), "forward_double", &BINDINGS)?;
    let mut values = Vec::with_capacity(n);
    pipelined(
        Pace::new(first_piece((OPERATIONS * m0 * (d + m1)) as f64), n.min(MOST_POINTS)),
        n,
        |piece| {
            let count = piece.len();
            let transposed = points.columns_range(piece).transpose();
            let coordinates = gpu.upload(&encode(transposed.iter().copied()))?;
            let out = gpu.buffer(8 * count)?;
            let params = gpu.uniform(&Params {
                points: count as u32,
                inputs: d as u32,
                units: m0 as u32,
                zero: 0,
            });
            let groups = ((count as u32).div_ceil(WORKGROUP), 1);
            gpu.dispatch(&kernel, &[&params, &first, &second, &coordinates, &out], groups);
            gpu.download(&out, 8 * count)
        },
        |_, download| gpu.finish(download, |bytes| decode(bytes, &mut values)),
    )?;
    Ok(DVector::from_vec(values).add_scalar(network.c0))
}
