//! The speed of the parts that cost most, and of one whole run: `cargo bench --workspace`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use disentangle::algebra::linalg::thin_svd;
use disentangle::algebra::rank_one::{self, Ascent};
use disentangle::algebra::svec::svec_outer;
use disentangle::draws;
use disentangle::identify::{Settings, Status, identify};
use disentangle::network::{Activation, Class, TwoLayer};
use disentangle::oracle::{NetworkOracle, Oracle, Silent};
use disentangle::stencil::HessianScheme;
use disentangle_benches::SHAPES;
use nalgebra::DMatrix;

fn network(dims: (usize, usize, usize)) -> TwoLayer {
    TwoLayer::random(dims, Class::Paper, Activation::Tanh, 1).expect("a network")
}

fn points(d: usize, n: usize) -> DMatrix<f64> {
    draws::gaussian(&mut draws::stream(1, "bench", 0), d, n)
}

/// Values of f: queries a second.
fn evaluation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("evaluation");
    const POINTS: usize = 20_000;
    group.throughput(Throughput::Elements(POINTS as u64));
    for dims in SHAPES {
        let (network, points) = (network(dims), points(dims.0, POINTS));
        group.bench_function(BenchmarkId::from_parameter(format!("{dims:?}")), |bencher| {
            bencher.iter(|| network.values(black_box(&points)));
        });
    }
    group.finish();
}

/// Finite-difference Hessians of a black box: Hessians a second.
fn hessian_stack(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hessian stack");
    const HESSIANS: usize = 16;
    group.throughput(Throughput::Elements(HESSIANS as u64));
    for dims in SHAPES {
        let mut oracle = NetworkOracle::new(network(dims));
        let (centres, axes) = (points(dims.0, HESSIANS), DMatrix::identity(dims.0, dims.0));
        group.bench_function(BenchmarkId::from_parameter(format!("{dims:?}")), |bencher| {
            bencher.iter(|| {
                oracle.hessians(black_box(&centres), &axes, HessianScheme::Polarised, 1e-3)
            });
        });
    }
    group.finish();
}

/// Rank-one matrices in the span of m random ones: starts a second.
fn rank_one_search(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rank-one search");
    const STARTS: usize = 64;
    group.throughput(Throughput::Elements(STARTS as u64));
    for (d, m) in [(16, 16), (32, 32)] {
        let units = points(d, m);
        let mut stack = DMatrix::zeros(d * (d + 1) / 2, m);
        for (unit, mut column) in units.column_iter().zip(stack.column_iter_mut()) {
            svec_outer(unit.normalize().as_slice(), column.as_mut_slice());
        }
        let basis = thin_svd(&stack).expect("finite").u;
        let starts = draws::gaussian(&mut draws::stream(2, "bench", 0), d, STARTS);
        for ascent in [Ascent::Spectral, Ascent::Power] {
            let id = BenchmarkId::new(format!("{ascent:?}"), format!("d = {d}, m = {m}"));
            group.bench_function(id, |bencher| {
                bencher.iter(|| rank_one::search(black_box(&basis), &starts, ascent));
            });
        }
    }
    group.finish();
}

/// From the first query to the certificate.
fn whole_run(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("identify");
    group.sample_size(10);
    let truth = TwoLayer::random((10, 8, 3), Class::General, Activation::Tanh, 1);
    let mut oracle = NetworkOracle::new(truth.expect("a network"));
    let settings = Settings { activation: Some(Activation::Tanh), ..Settings::default() };
    group.bench_function("10-8-3", |bencher| {
        bencher.iter(|| {
            let solution = identify(&mut oracle, &settings, &mut Silent).expect("finite values");
            assert_eq!(solution.status, Status::Identified, "{}", solution.reason);
        });
    });
    group.finish();
}

/// Short measurements: the whole takes about a minute.
fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
}

criterion_group! {
    name = pipeline;
    config = short();
    targets = evaluation, hessian_stack, rank_one_search, whole_run
}
criterion_main!(pipeline);
