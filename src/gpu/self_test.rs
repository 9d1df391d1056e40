//! Whether an adapter computes what it should: every kernel on a small network against its twin.

use std::time::Instant;

use nalgebra::DMatrix;

use super::device::{Access, Gpu, GpuError, WORKGROUP};
use super::shader::Source;
use super::{Real, Stack, forward, forward_double, hessian_stack};
use crate::draws;
use crate::network::{Activation, Class, TwoLayer};
use crate::stencil::HessianScheme;

/// Relative error allowed, in roundings.
const ROUNDINGS: f64 = 500.0;

/// Compares the kernels with their twins; `Ok(Err(reason))` if the adapter computes wrongly.
pub fn self_test(gpu: &Gpu, real: Real) -> Result<Result<(), String>, GpuError> {
    let mut rng = draws::stream(0, "self-test", 0);
    for activation in Activation::SATURATING {
        let Ok(network) = TwoLayer::random((5, 6, 3), Class::General, activation, 7) else {
            return Ok(Err("no network".to_owned()));
        };
        let points = draws::gaussian(&mut rng, 5, 70);
        let found = forward::values(gpu, &network, &points, real)?;
        let error = (found - forward::twin(&network, &points)).amax();
        if error.is_nan() || error > ROUNDINGS * real.epsilon() {
            return Ok(Err(format!("values of a {activation} network are off by {error:.1e}")));
        }
        let (h, directions) = (0.05, DMatrix::identity(5, 5));
        let scheme = HessianScheme::Polarised;
        let found = hessian_stack::hessians(gpu, &network, &points, &directions, scheme, h, real)?;
        let expected = hessian_stack::twin(&network, &points, &directions, scheme, h);
        let error = (found - &expected).amax() / expected.amax();
        // The twin itself is rounded: values to 2^-53, divided by h^2.
        let allowed = ROUNDINGS * (real.epsilon() + 2f64.powi(-53) / (h * h));
        if error.is_nan() || error > allowed {
            return Ok(Err(format!("Hessians of a {activation} network are off by {error:.1e}")));
        }
    }
    Ok(Ok(()))
}

/// Whether double-f32 arithmetic survives the adapter's compiler: error-free sums and products, then
/// values of small networks against the twin. WGSL allows a compiler to reassociate, and then pairs of
/// f32 are no better than one.
pub fn double_f32_test(gpu: &Gpu) -> Result<Result<(), String>, GpuError> {
    if let Err(reason) = error_free_test(gpu)? {
        return Ok(Err(reason));
    }
    let mut rng = draws::stream(0, "self-test", 1);
    for activation in Activation::SATURATING {
        let Ok(network) = TwoLayer::random((5, 6, 3), Class::General, activation, 7) else {
            return Ok(Err("no network".to_owned()));
        };
        let points = draws::gaussian(&mut rng, 5, 70);
        let found = forward_double::values(gpu, &network, &points)?;
        let error = (found - forward::twin(&network, &points)).amax();
        if error.is_nan() || error > ROUNDINGS * forward_double::EPSILON {
            return Ok(Err(format!("values of a {activation} network are off by {error:.1e}")));
        }
    }
    Ok(Ok(()))
}

fn error_free_test(gpu: &Gpu) -> Result<Result<(), String>, GpuError> {
    const COUNT: usize = 4096;
    let mut rng = draws::stream(0, "double-f32", 0);
    let inputs: Vec<f64> = draws::gaussian(&mut rng, 2 * COUNT, 1)
        .iter()
        .enumerate()
        // Pairs whose sizes differ, so that sums lose digits.
        .map(|(k, x)| f64::from((x * if k % 2 == 0 { 1.0 } else { 1e-3 }) as f32))
        .collect();
    let text = include_str!("../../shaders/double_f32.wgsl");
    let source = Source::double("double_f32", text, &[]);
    let bindings = [Access::Uniform, Access::Read, Access::Write];
    let kernel = gpu.kernel(&source, "double_f32", &bindings)?;
    let params = gpu.uniform(&[COUNT as u32, 0, 0, 0]);
    let given = gpu.upload(&Real::F32.encode(inputs.iter().copied()))?;
    let out = gpu.buffer(16 * COUNT)?;
    gpu.dispatch(&kernel, &[&params, &given, &out], ((COUNT as u32).div_ceil(WORKGROUP), 1));
    let found = gpu.read(&out, Real::F32, 4 * COUNT)?;
    // Sums and products of two f32 numbers of similar size are exact in f64.
    let exact = |rule: fn(f64, f64) -> f64, at: usize| {
        let right = inputs
            .as_chunks::<2>()
            .0
            .iter()
            .zip(found.as_chunks::<4>().0)
            .filter(|([a, b], out)| out[at] + out[at + 1] == rule(*a, *b))
            .count();
        100.0 * right as f64 / COUNT as f64
    };
    let (sums, products) = (exact(|a, b| a + b, 0), exact(|a, b| a * b, 2));
    Ok(if sums == 100.0 && products == 100.0 {
        Ok(())
    } else {
        Err(format!(
            "its compiler breaks error-free arithmetic: {sums:.0} % of the sums and {products:.0} % \
             of the products are exact"
        ))
    })
}

/// Stencil points a second, polarised Hessians of a random (32, 32, 6) tanh network in f32, measured
/// for about `seconds`; the stack stays on the device.
pub fn stencil_rate(gpu: &Gpu, seconds: f64) -> Result<f64, GpuError> {
    let Ok(network) = TwoLayer::random((32, 32, 6), Class::Paper, Activation::Tanh, 1) else {
        return Ok(0.0);
    };
    let mut rng = draws::stream(0, "rate", 0);
    let directions = DMatrix::identity(32, 32);
    // The first run compiles the kernels.
    let warm = draws::gaussian(&mut rng, 32, 1);
    let scheme = HessianScheme::Polarised;
    Stack::new(gpu, &network, &warm, &directions, scheme, 0.1, Real::F32)?;
    let mut count = 64;
    loop {
        let centres = draws::gaussian(&mut rng, 32, count);
        let began = Instant::now();
        Stack::new(gpu, &network, &centres, &directions, scheme, 0.1, Real::F32)?;
        let took = began.elapsed().as_secs_f64();
        if took >= 0.5 * seconds || count >= 1 << 18 {
            return Ok((scheme.queries(32) * count as u64) as f64 / took);
        }
        count = (count as f64 * (seconds / took).clamp(2.0, 16.0)) as usize;
    }
}
