//! Central gradient stencils: `shaders/gradient.wgsl`.

use nalgebra::DMatrix;

use super::device::{Access, Gpu, GpuError, WORKGROUP};
use super::increments::{Increments, Params};
use super::shader::Source;
use super::{Real, hessian_stack};
use crate::network::Network;
use crate::stencil::{self, GradientScheme};

/// Bindings of the kernel.
pub const BINDINGS: [Access; 7] = [
    Access::Uniform,
    Access::Read,
    Access::Read,
    Access::Read,
    Access::Read,
    Access::Read,
    Access::Write,
];

/// The kernel's source for a network.
pub fn source(increments: &Increments, real: Real) -> Source {
    let text = include_str!("../../shaders/gradient.wgsl");
    Source::new("gradient", text, real, &increments.constants())
}

/// Directional derivatives along the columns of `directions` at the columns of `centres`: k x n.
pub fn gradients(
    gpu: &Gpu,
    network: &Network,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    scheme: GradientScheme,
    h: f64,
    real: Real,
) -> Result<DMatrix<f64>, GpuError> {
    gpu.require(real)?;
    let (k, n) = (directions.ncols(), centres.ncols());
    if k == 0 || n == 0 {
        return Ok(DMatrix::zeros(k, n));
    }
    // f(x+hv) - f(x-hv) is twice the odd part.
    let (levels, rule) = match scheme {
        GradientScheme::Central2 => (vec![h], [1.0 / h, 0.0]),
        GradientScheme::Central4 => (vec![h, 2.0 * h], [4.0 / (3.0 * h), -1.0 / (6.0 * h)]),
    };
    let increments = Increments::new(network);
    increments.check(levels.len(), k)?;
    let kernel = gpu.kernel(&source(&increments, real), "gradient", &BINDINGS)?;
    let params = gpu.uniform(&Params {
        directions: k as u32,
        units: network.a.ncols() as u32,
        blocks: increments.blocks() as u32,
        entries: k as u32,
        levels: levels.len() as u32,
        far: (levels.len() - 1) as u32,
        ..Params::default()
    });
    let weights = gpu.upload(&increments.network(real))?;
    let moves = gpu.upload(&increments.moves(directions, &levels, real))?;
    let rule = gpu.upload(&real.encode(rule))?;
    let mut values = Vec::with_capacity(k * n);
    let chunk = hessian_stack::most_centres(gpu, &increments, k, real);
    for first in (0..n).step_by(chunk) {
        let count = chunk.min(n - first);
        let (bottoms, tops) = increments.centres(&centres.columns(first, count).into_owned(), real);
        let (bottoms, tops) = (gpu.upload(&bottoms)?, gpu.upload(&tops)?);
        let out = gpu.buffer(k * count * real.bytes())?;
        gpu.dispatch(
            &kernel,
            &[&params, &weights, &bottoms, &tops, &moves, &rule, &out],
            ((k as u32).div_ceil(WORKGROUP), count as u32),
        );
        values.extend(gpu.read(&out, real, k * count)?);
    }
    Ok(DMatrix::from_vec(k, n, values))
}

/// The twin: the stencil from values of f in f64.
pub fn twin(
    network: &Network,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    scheme: GradientScheme,
    h: f64,
) -> DMatrix<f64> {
    let mut values = |x: &DMatrix<f64>| Ok(network.values(x));
    match stencil::gradients(&mut values, centres, directions, scheme, h) {
        Ok(gradients) => gradients,
        Err(_) => unreachable!("a network always answers"),
    }
}
