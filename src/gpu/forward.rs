//! Batched values of f: `shaders/forward.wgsl`.

use nalgebra::{DMatrix, DVector};

use super::Real;
use super::device::{Access, Gpu, GpuError, MOST_ITERATIONS, WORKGROUP};
use super::pace::{Pace, first_piece, pipelined};
use super::shader::{self, Source};
use crate::network::Network;

/// Bindings of the kernel.
pub const BINDINGS: [Access; 5] =
    [Access::Uniform, Access::Read, Access::Read, Access::Read, Access::Write];

/// Points a dispatch.
const MOST_POINTS: usize = 1 << 16;
/// Loop iterations of one activation: erf's panels.
const ACTIVATION: usize = 4 * 12 * 4;

/// The uniform block.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[allow(missing_docs)] // as in shaders/forward.wgsl
pub struct Params {
    pub points: u32,
    pub inputs: u32,
    pub units4: u32,
    pub theta: u32,
    pub tau: u32,
    pub c: u32,
    pub pad0: u32,
    pub pad1: u32,
}

/// The kernel's source for a network.
pub fn source(network: &Network, real: Real) -> Source {
    let constants = [
        ("L4", network.b.ncols().div_ceil(4) as u32),
        ("BOTTOM", shader::activation(network.g)),
        ("TOP", shader::activation(network.h)),
    ];
    Source::new("forward", include_str!("../../shaders/forward.wgsl"), real, &constants)
}

/// Values of f at the columns of `points`.
pub fn values(
    gpu: &Gpu,
    network: &Network,
    points: &DMatrix<f64>,
    real: Real,
) -> Result<DVector<f64>, GpuError> {
    gpu.require(real)?;
    let (d, m0, m1) = network.dims();
    let (units4, fours) = (m0.div_ceil(4), m1.div_ceil(4));
    if units4 * (d + fours + ACTIVATION) + fours * ACTIVATION > MOST_ITERATIONS {
        return Err(GpuError::TooLarge(format!(
            "the forward kernel cannot hold a {d}-{m0}-{m1} network"
        )));
    }
    if points.ncols() == 0 {
        return Ok(DVector::zeros(0));
    }
    let or_zero = |value: Option<f64>| value.unwrap_or(0.0);
    let first = (0..units4)
        .flat_map(|four| {
            (0..d).flat_map(move |r| (0..4).map(move |i| network.a.get((r, 4 * four + i)).copied()))
        })
        .chain((0..4 * units4).map(|i| network.theta.get(i).copied()))
        .map(or_zero);
    let second = (0..4 * units4)
        .flat_map(|i| (0..4 * fours).map(move |l| network.b.get((i, l)).copied()))
        .chain((0..4 * fours).map(|l| network.tau.get(l).copied()))
        .chain((0..4 * fours).map(|l| network.c.get(l).copied()))
        .map(or_zero);
    let first = gpu.upload(&real.encode(first))?;
    let second = gpu.upload(&real.encode(second))?;
    let kernel = gpu.kernel(&source(network, real), "forward", &BINDINGS)?;
    let mut values = Vec::with_capacity(points.ncols());
    pipelined(
        Pace::new(first_piece((m0 * (d + m1)) as f64), points.ncols().min(MOST_POINTS)),
        points.ncols(),
        |piece| {
            let count = piece.len();
            let transposed = points.columns_range(piece).transpose();
            let coordinates = gpu.upload(&real.encode(transposed.iter().copied()))?;
            let out = gpu.buffer(count * real.bytes())?;
            let params = gpu.uniform(&Params {
                points: count as u32,
                inputs: d as u32,
                units4: units4 as u32,
                theta: (units4 * d) as u32,
                tau: (4 * units4 * fours) as u32,
                c: ((4 * units4 + 1) * fours) as u32,
                ..Params::default()
            });
            let groups = ((count as u32).div_ceil(WORKGROUP), 1);
            gpu.dispatch(&kernel, &[&params, &first, &second, &coordinates, &out], groups);
            gpu.download(&out, count * real.bytes())
        },
        |_, download| gpu.finish(download, |bytes| real.decode(bytes, &mut values)),
    )?;
    Ok(DVector::from_vec(values).add_scalar(network.c0))
}

/// The twin, one point after the other.
pub fn twin(network: &Network, points: &DMatrix<f64>) -> DVector<f64> {
    DVector::from_iterator(
        points.ncols(),
        points.column_iter().map(|x| {
            let y = (network.a.transpose() * x - &network.theta).map(|z| network.g.value(z));
            let u = network.b.transpose() * y - &network.tau;
            network.c0 + network.c.dot(&u.map(|u| network.h.value(u)))
        }),
    )
}
