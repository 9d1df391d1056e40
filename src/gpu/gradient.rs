//! Central gradient stencils: `shaders/gradient.wgsl`.

use std::convert::Infallible;

use nalgebra::DMatrix;

use super::Real;
use super::device::{Access, Gpu, GpuError};
use super::increments::Increments;
use super::pace::{Pace, first_piece, pipelined};
use super::shader::Source;
use super::stencil::{self, Scheme, Share, Stencil};
use crate::network::TwoLayer;
use crate::stencil::{self as differences, GradientScheme};

/// Bindings of the kernel.
pub const BINDINGS: [Access; 7] = stencil::bindings(&[Access::Write]);

/// The kernel's source for a network.
pub fn source(increments: &Increments, real: Real) -> Source {
    let text = include_str!("../../shaders/gradient.wgsl");
    Source::new("gradient", text, real, &increments.constants(real))
}

/// f(x+hv) - f(x-hv) is twice the odd part.
fn scheme(scheme: GradientScheme, h: f64) -> Scheme {
    let (levels, weights) = match scheme {
        GradientScheme::Central2 => (vec![h], vec![1.0 / h, 0.0]),
        GradientScheme::Central4 => (vec![h, 2.0 * h], vec![4.0 / (3.0 * h), -1.0 / (6.0 * h)]),
    };
    Scheme {
        displacements: levels.len(),
        far: levels.len() == 2,
        one_sided: false,
        minus: false,
        levels,
        weights,
    }
}

/// Directional derivatives along the columns of `directions` at the columns of `centres`: k x n.
pub fn gradients(
    gpu: &Gpu,
    network: &TwoLayer,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    by: GradientScheme,
    h: f64,
    real: Real,
) -> Result<DMatrix<f64>, GpuError> {
    let (k, n) = (directions.ncols(), centres.ncols());
    gpu.require(real)?;
    if k == 0 || n == 0 {
        return Ok(DMatrix::zeros(k, n));
    }
    let stencil = Stencil::new(gpu, network, directions, &scheme(by, h), real)?;
    let kernel = gpu.kernel(&source(stencil.increments(), real), "gradient", &BINDINGS)?;
    let most = stencil.most_centres(gpu, k).min(n);
    let units = stencil.room(gpu, most)?;
    let out = gpu.buffer(k * most * real.bytes())?;
    let mut values = Vec::with_capacity(k * n);
    pipelined(
        Pace::new(first_piece(stencil.operations() * k as f64), most),
        n,
        |piece| {
            stencil.fill(gpu, &units, 0, &centres.columns_range(piece.clone()).into_owned());
            stencil.dispatch(gpu, &kernel, &units, 0..piece.len(), Share::each(k), &[&out]);
            gpu.download(&out, k * piece.len() * real.bytes())
        },
        |_, download| gpu.finish(download, |bytes| real.decode(bytes, &mut values)),
    )?;
    Ok(DMatrix::from_vec(k, n, values))
}

/// The twin: the stencil from values of f in f64.
pub fn twin(
    network: &TwoLayer,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    scheme: GradientScheme,
    h: f64,
) -> DMatrix<f64> {
    let mut values = |x: &DMatrix<f64>| Ok::<_, Infallible>(network.values(x));
    let Ok(gradients) = differences::gradients(&mut values, centres, directions, scheme, h);
    gradients
}
