//! Batched values of f: `shaders/forward.wgsl`.

use nalgebra::{DMatrix, DVector};

use super::Real;
use super::device::{Access, Gpu, GpuError, WORKGROUP};
use super::pace::{Pace, first_piece, pipelined};
use super::shader::{self, Source};
use super::stencil::MOST_BYTES;
use crate::network::{Activation, TwoLayer};

/// Bindings of the kernel.
pub const BINDINGS: [Access; 5] =
    [Access::Uniform, Access::Read, Access::Read, Access::Read, Access::Write];

/// Points a dispatch.
const MOST_POINTS: usize = 1 << 16;
/// The tile of an invocation: points, and first-layer units in fours. 8 sums of four for it and 8 for 16
/// second-layer units are half the registers that there are; 6 loads serve 32 multiply-adds.
const POINTS: usize = 2;
const FOURS: usize = 4;
/// Inputs that the loop over them takes at once.
const UNROLL: usize = 2;
/// Loop iterations of one erf: its panels.
const PANELS: usize = 4 * 12;

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
pub fn source(network: &TwoLayer, real: Real) -> Source {
    let constants = [
        ("L4", network.b.ncols().div_ceil(4) as u32),
        ("BOTTOM", shader::activation(network.g)),
        ("TOP", shader::activation(network.h)),
        ("POINTS", POINTS as u32),
        ("FOURS", FOURS as u32),
        ("UNROLL", UNROLL as u32),
    ];
    Source::new("forward", include_str!("../../shaders/forward.wgsl"), real, &constants)
}

/// Refuses a network for which one invocation would loop too long.
pub fn check(gpu: &Gpu, network: &TwoLayer) -> Result<(), GpuError> {
    let (d, m0, m1) = network.dims();
    let panels = |phi| if phi == Activation::Erf { POINTS * PANELS } else { 0 };
    let tiles = m0.div_ceil(4 * FOURS) * d.div_ceil(UNROLL);
    if tiles + m0 * panels(network.g) + m1 * panels(network.h) > gpu.most_iterations() {
        return Err(GpuError::TooLarge(format!(
            "the forward kernel cannot hold a {d}-{m0}-{m1} network"
        )));
    }
    Ok(())
}

/// The two layers as the kernel takes them, padded with zeros: A and theta; B, tau and c.
fn layers(network: &TwoLayer, real: Real) -> [Vec<u8>; 2] {
    let (d, m0, m1) = network.dims();
    let (units, inputs) = (m0.next_multiple_of(4 * FOURS), d.next_multiple_of(UNROLL));
    let lanes = m1.next_multiple_of(4);
    let or_zero = |value: Option<&f64>| value.copied().unwrap_or(0.0);
    let first = (0..units / 4)
        .flat_map(|four| {
            (0..inputs).flat_map(move |r| (0..4).map(move |i| network.a.get((r, 4 * four + i))))
        })
        .chain((0..units).map(|i| network.theta.get(i)));
    let second = (0..units)
        .flat_map(|i| (0..lanes).map(move |l| network.b.get((i, l))))
        .chain((0..lanes).map(|l| network.tau.get(l)))
        .chain((0..lanes).map(|l| network.c.get(l)));
    [real.encode(first.map(or_zero)), real.encode(second.map(or_zero))]
}

/// Values of f at the columns of `points`.
pub fn values(
    gpu: &Gpu,
    network: &TwoLayer,
    points: &DMatrix<f64>,
    real: Real,
) -> Result<DVector<f64>, GpuError> {
    gpu.require(real)?;
    check(gpu, network)?;
    if points.ncols() == 0 {
        return Ok(DVector::zeros(0));
    }
    let (d, m0, m1) = network.dims();
    let (units, inputs) = (m0.next_multiple_of(4 * FOURS), d.next_multiple_of(UNROLL));
    let fours = m1.div_ceil(4);
    let [first, second] = layers(network, real);
    let (first, second) = (gpu.upload(&first)?, gpu.upload(&second)?);
    let kernel = gpu.kernel(&source(network, real), "forward", &BINDINGS)?;
    let fit = gpu.largest_buffer().min(MOST_BYTES) as usize / (inputs * real.bytes());
    let most = points.ncols().min(MOST_POINTS).min(fit.max(1));
    let mut values = Vec::with_capacity(points.ncols());
    pipelined(
        Pace::new(first_piece((m0 * (d + m1)) as f64), most),
        points.ncols(),
        |piece| {
            let count = piece.len();
            let padded = points.columns_range(piece).into_owned().resize_vertically(inputs, 0.0);
            let transposed = padded.transpose();
            let coordinates = gpu.upload(&real.encode(transposed.iter().copied()))?;
            let out = gpu.buffer(count * real.bytes())?;
            let params = gpu.uniform(&Params {
                points: count as u32,
                inputs: inputs as u32,
                units4: (units / 4) as u32,
                theta: (units / 4 * inputs) as u32,
                tau: (units * fours) as u32,
                c: ((units + 1) * fours) as u32,
                ..Params::default()
            });
            let groups = (count.div_ceil(POINTS * WORKGROUP as usize) as u32, 1);
            gpu.dispatch(&kernel, &[&params, &first, &second, &coordinates, &out], groups);
            gpu.download(&out, count * real.bytes())
        },
        |_, download| gpu.finish(download, |bytes| real.decode(bytes, &mut values)),
    )?;
    Ok(DVector::from_vec(values).add_scalar(network.c0))
}

/// The twin, one point after the other.
pub fn twin(network: &TwoLayer, points: &DMatrix<f64>) -> DVector<f64> {
    DVector::from_iterator(
        points.ncols(),
        points.column_iter().map(|x| {
            let y = (network.a.transpose() * x - &network.theta).map(|z| network.g.value(z));
            let u = network.b.transpose() * y - &network.tau;
            network.c0 + network.c.dot(&u.map(|u| network.h.value(u)))
        }),
    )
}
