//! The fused Hessian stack against the plain one, and its rate in stencil evaluations a core-second.
//!
//! `cargo bench -p disentangle-benches --bench stack -- rates` prints the rates alone, by the CPU time of this process:
//! other load hardly matters to them.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use disentangle::fused::{hessian_stack_f32, hessian_stack_f64};
use disentangle::network::{Activation, Class, TwoLayer};
use disentangle::stencil::{self, HessianScheme};
use disentangle_benches::SHAPES;
use nalgebra::DMatrix;

const STEP: f64 = 0.1;

/// A network, `n` centres and the coordinate directions.
struct Setting {
    network: TwoLayer,
    centres: DMatrix<f64>,
    directions: DMatrix<f64>,
}

impl Setting {
    fn new(dims: (usize, usize, usize), n: usize) -> Setting {
        let network = TwoLayer::random(dims, Class::Paper, Activation::Tanh, 0).unwrap();
        let centres = DMatrix::from_fn(dims.0, n, |i, j| ((i * 31 + j * 17) as f64).sin());
        Setting { network, centres, directions: DMatrix::identity(dims.0, dims.0) }
    }

    fn evaluations(&self, scheme: HessianScheme) -> u64 {
        scheme.queries(self.directions.ncols()) * self.centres.ncols() as u64
    }

    fn fused_f32(&self, scheme: HessianScheme) -> DMatrix<f32> {
        hessian_stack_f32(&self.network, &self.centres, &self.directions, scheme, STEP)
    }

    fn fused_f64(&self, scheme: HessianScheme) -> DMatrix<f64> {
        hessian_stack_f64(&self.network, &self.centres, &self.directions, scheme, STEP)
    }

    fn plain(&self, scheme: HessianScheme) -> DMatrix<f64> {
        let mut values = |x: &DMatrix<f64>| Ok::<_, Infallible>(self.network.values(x));
        let (centres, directions) = (&self.centres, &self.directions);
        let Ok(plain) = stencil::hessians(&mut values, centres, directions, scheme, STEP);
        plain
    }
}

/// All figures are for one core. The pool can be set up once only; later calls change nothing.
fn single_thread() {
    let _ = rayon::ThreadPoolBuilder::new().num_threads(1).build_global();
}

fn stacks(criterion: &mut Criterion) {
    single_thread();
    for dims in SHAPES {
        let setting = Setting::new(dims, 32);
        let scheme = HessianScheme::Central;
        let mut group = criterion.benchmark_group("stack");
        group.throughput(Throughput::Elements(setting.evaluations(scheme)));
        group.sample_size(10).measurement_time(Duration::from_secs(2));
        let id = |name| BenchmarkId::new(name, format!("{dims:?}"));
        group.bench_function(id("fused f32"), |b| b.iter(|| setting.fused_f32(scheme)));
        group.bench_function(id("fused f64"), |b| b.iter(|| setting.fused_f64(scheme)));
        group.bench_function(id("plain f64"), |b| b.iter(|| setting.plain(scheme)));
    }
}

/// CPU seconds of this process, to 10 ms; `None` where there is no /proc.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    Some((fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?) / 100.0)
}

/// Best of three windows of 0.4 CPU seconds, evaluations a CPU second.
fn rate(evaluations: u64, mut stack: impl FnMut()) -> Option<f64> {
    stack();
    let mut best: f64 = 0.0;
    for _ in 0..3 {
        let start = cpu_seconds()?;
        let mut done = 0;
        let elapsed = loop {
            stack();
            done += evaluations;
            let elapsed = cpu_seconds()? - start;
            if elapsed > 0.4 {
                break elapsed;
            }
        };
        best = best.max(done as f64 / elapsed);
    }
    Some(best)
}

fn rates(_: &mut Criterion) {
    single_thread();
    for dims in SHAPES.into_iter().chain([(256, 256, 16)]) {
        let setting = Setting::new(dims, 32);
        // Its rate does not depend on the number of centres, but its time does.
        let few = Setting::new(dims, 2);
        for scheme in [HessianScheme::Central, HessianScheme::Polarised] {
            let evaluations = setting.evaluations(scheme);
            let figures = [
                rate(evaluations, || drop(black_box(setting.fused_f32(scheme)))),
                rate(evaluations, || drop(black_box(setting.fused_f64(scheme)))),
                rate(few.evaluations(scheme), || drop(black_box(few.plain(scheme)))),
            ];
            let [f32, f64, plain] = figures.map(|rate| rate.unwrap_or(f64::NAN) / 1e6);
            println!(
                "{dims:?} {scheme:?}, million evaluations a core-second: \
                 fused f32 {f32:.1}, fused f64 {f64:.1}, plain f64 {plain:.2}"
            );
        }
    }
}

criterion_group!(benches, stacks, rates);
criterion_main!(benches);
