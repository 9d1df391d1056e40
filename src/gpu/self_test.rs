//! Whether an adapter computes what it should: every kernel on a small network against its twin.

use std::time::Instant;

use super::device::{Gpu, GpuError};
use super::{Real, Stack, forward, hessian_stack};
use crate::draws;
use crate::network::{Activation, Class, Network};
use crate::stencil::HessianScheme;
use nalgebra::DMatrix;

/// Relative error allowed, in roundings.
const ROUNDINGS: f64 = 500.0;

/// Compares the kernels with their twins; `Ok(Err(reason))` if the adapter computes wrongly.
pub fn self_test(gpu: &Gpu, real: Real) -> Result<Result<(), String>, GpuError> {
    let mut rng = draws::stream(0, "self-test", 0);
    for activation in Activation::ALL {
        let Ok(network) = Network::random((5, 6, 3), Class::General, activation, 7) else {
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
        let stack = Stack::new(gpu, &network, &points, &directions, scheme, h, real, u64::MAX)?;
        let expected = hessian_stack::twin(&network, &points, &directions, scheme, h);
        let error = (stack.download(gpu)? - &expected).amax() / expected.amax();
        // The twin itself is rounded: values to 2^-53, divided by h^2.
        let allowed = ROUNDINGS * (real.epsilon() + 2f64.powi(-53) / (h * h));
        if error.is_nan() || error > allowed {
            return Ok(Err(format!("Hessians of a {activation} network are off by {error:.1e}")));
        }
    }
    Ok(Ok(()))
}

/// Stencil points a second, polarised Hessians of a random (32, 32, 6) tanh network in f32, measured
/// for about `seconds`; the stack stays on the device.
pub fn stencil_rate(gpu: &Gpu, seconds: f64) -> Result<f64, GpuError> {
    let Ok(network) = Network::random((32, 32, 6), Class::Paper, Activation::Tanh, 1) else {
        return Ok(0.0);
    };
    let mut rng = draws::stream(0, "rate", 0);
    let directions = DMatrix::identity(32, 32);
    let mut count = 64;
    loop {
        let centres = draws::gaussian(&mut rng, 32, count);
        let began = Instant::now();
        let scheme = HessianScheme::Polarised;
        Stack::new(gpu, &network, &centres, &directions, scheme, 0.1, Real::F32, u64::MAX)?;
        let took = began.elapsed().as_secs_f64();
        if took >= 0.5 * seconds || count >= 1 << 18 {
            return Ok((scheme.queries(32) * count as u64) as f64 / took);
        }
        count = (count as f64 * (seconds / took).clamp(2.0, 16.0)) as usize;
    }
}
