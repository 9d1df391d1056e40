//! A stack of the largest size that we plan for: time, memory and correctness.
//!
//! `cargo test --release --test it large_stack -- --ignored --nocapture`

use std::convert::Infallible;
use std::fs;
use std::time::Instant;

use disentangle::fused::hessian_stack_f32;
use disentangle::network::{Activation, Class, TwoLayer};
use disentangle::stencil::{self, HessianScheme};
use nalgebra::DMatrix;

const HESSIANS: usize = 1024;
const DIMS: (usize, usize, usize) = (256, 256, 16);
const STEP: f64 = 0.1;

/// The most memory that this process has held, in bytes; `None` where /proc does not tell.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(1024 * line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?)
}

/// CPU seconds of this process, to 10 ms; `None` where there is no /proc.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    Some((fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?) / 100.0)
}

#[test]
#[ignore = "takes many seconds, a release build and all cores"]
fn a_thousand_hessians_of_a_large_network_stay_below_a_gibibyte() {
    let network = TwoLayer::random(DIMS, Class::Paper, Activation::Tanh, 0).unwrap();
    let centres = DMatrix::from_fn(DIMS.0, HESSIANS, |i, j| ((i * 31 + j * 17) as f64).sin());
    let identity = DMatrix::identity(DIMS.0, DIMS.0);
    let schemes = [HessianScheme::Central, HessianScheme::Polarised];
    let mut last_hessians = Vec::new();
    for scheme in schemes {
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let stack = hessian_stack_f32(&network, &centres, &identity, scheme, STEP);
        let seconds = start.elapsed().as_secs_f64();
        let cpu = cpu_seconds().zip(cpu).map_or(f64::NAN, |(end, start)| end - start);
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        println!("{scheme:?}: {seconds:.2} s, {cpu:.2} CPU seconds, load {}", load.trim());
        last_hessians.push(stack.columns(HESSIANS - 1, 1).map(f64::from));
    }
    if let Some(bytes) = peak_memory() {
        println!("peak memory {} MiB", bytes >> 20);
        assert!(bytes < 1 << 30, "{bytes} bytes");
    }

    // The last Hessian by plain queries in f64 at the same step: only rounding is between them.
    let last = centres.columns(HESSIANS - 1, 1).into_owned();
    let mut values = |x: &DMatrix<f64>| Ok::<_, Infallible>(network.values(x));
    for (scheme, fused) in schemes.into_iter().zip(last_hessians) {
        let Ok(plain) = stencil::hessians(&mut values, &last, &identity, scheme, STEP);
        let error = (fused - &plain).norm() / plain.norm();
        println!("{scheme:?}: relative rounding error {error:.1e}");
        // Measured: 3.0e-5 and 5.0e-5 with AVX-512.
        assert!(error < 1e-4, "{scheme:?}: {error:e}");
    }
}
