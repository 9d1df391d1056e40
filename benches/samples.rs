//! The moments of samples: both passes, in memory. `n` and the shape are those of the figures in docs/samples.md, a tenth of
//! the samples.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use disentangle::network::{Activation, Class, Network};
use disentangle::samples::tensor_start::{Span, Start};
use disentangle::samples::{Samples, draw_samples};

const N: usize = 100_000;
const D: usize = 50;
const K: usize = 10;

fn moments(criterion: &mut Criterion) {
    let network = Network::random(&[D, K], 1, Class::Centred, Activation::Relu, 0).unwrap();
    let (x, y) = draw_samples(&network, N, 0.0, 0);
    let samples = Samples::new(x, y).unwrap();
    let span = || Span::of(&samples, 0..N, Activation::Relu, 0).unwrap().unwrap();
    let known = span();
    let mut group = criterion.benchmark_group("moments of samples");
    group.throughput(Throughput::Elements(N as u64)).sample_size(10);
    group.bench_function("first pass, d = 50", |bencher| bencher.iter(|| black_box(span())));
    group.bench_function("second pass, k = 10", |bencher| {
        bencher.iter(|| black_box(Start::of(&samples, 0..N, &known, K).unwrap()));
    });
    group.finish();
}

criterion_group!(benches, moments);
criterion_main!(benches);
