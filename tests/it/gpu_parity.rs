//! Every kernel against its CPU twin, on the adapter named by DISENTANGLE_ADAPTER or the best one.
//!
//! Without an adapter the tests are skipped, loudly, except where the environment variable CI is set:
//! there they fail. A harness that cannot fail proves nothing, so each kernel is also broken on
//! purpose and must be found out.

use disentangle::algebra::rank_one::{self, Ascent};
use disentangle::draws;
use disentangle::gpu::device::{Access, WORKGROUP};
use disentangle::gpu::forward_double::{decode, encode};
use disentangle::gpu::increments::Increments;
use disentangle::gpu::oracle::{Backend, ChosenOracle};
use disentangle::gpu::self_test::double_f32_test;
use disentangle::gpu::shader::Source;
use disentangle::gpu::subspace::Subspace;
use disentangle::gpu::{
    Gpu, GpuError, GpuOracle, Precision, Real, Stack, ascent, forward, forward_double, gradient,
    gram, hessian_stack, normalise,
};
use disentangle::identify;
use disentangle::network::{Activation, Class, Network, TwoLayer};
use disentangle::oracle::hessian_stack::{HessianStack, HostStack};
use disentangle::oracle::{Oracle, Silent};
use disentangle::stage::Stage;
use disentangle::stencil::{GradientScheme, HessianScheme};
use nalgebra::DMatrix;

use crate::common::skip;

/// Roundings allowed for each term of a sum.
const ROUNDINGS: f64 = 32.0;
/// Step of the stencils: wide enough for the twin, which differences values in f64, to be exact.
const STEP: f64 = 0.1;
/// Unit roundoff of the twins.
const TWIN: f64 = 1.1102230246251565e-16;

fn wanted() -> Option<String> {
    std::env::var("DISENTANGLE_ADAPTER").ok().filter(|name| !name.is_empty())
}

/// The device under test, or `None` where there is none and none is needed.
fn device() -> Option<Gpu> {
    match Gpu::open(wanted().as_deref()) {
        Ok(gpu) => Some(gpu),
        Err(error) if wanted().is_some() => panic!("{error}"),
        Err(error) => {
            skip(&error.to_string());
            None
        }
    }
}

fn reals(gpu: &Gpu) -> Vec<Real> {
    [Real::F32, Real::F64].into_iter().filter(|&real| gpu.require(real).is_ok()).collect()
}

/// One kernel run once, compared with its twin.
struct Comparison {
    kernel: &'static str,
    case: String,
    real: Real,
    /// Back end asked for, and the adapter that did the work.
    requested: &'static str,
    executed: String,
    /// Largest error over its tolerance, infinite for a NaN.
    ratio: f64,
    /// Largest error over the largest number expected.
    relative: f64,
}

struct Harness<'a> {
    gpu: &'a Gpu,
    /// Whether double-f32 passes its self-test.
    double: bool,
    comparisons: Vec<Comparison>,
}

impl Harness<'_> {
    fn compare(
        &mut self,
        kernel: &'static str,
        case: String,
        real: Real,
        found: &DMatrix<f64>,
        expected: &DMatrix<f64>,
        tolerance: impl Fn(usize, usize) -> f64,
    ) {
        assert_eq!(found.shape(), expected.shape(), "{kernel} {case}");
        let (mut ratio, mut most) = (0.0f64, 0.0f64);
        for n in 0..expected.ncols() {
            for e in 0..expected.nrows() {
                let error = (found[(e, n)] - expected[(e, n)]).abs();
                let r = error / tolerance(e, n);
                ratio = if r.is_nan() { f64::INFINITY } else { ratio.max(r) };
                most = most.max(error);
            }
        }
        let size = if expected.is_empty() { 0.0 } else { expected.amax() };
        self.comparisons.push(Comparison {
            kernel,
            case,
            real,
            requested: "gpu",
            executed: self.gpu.record().name.clone(),
            ratio,
            relative: if size > 0.0 { most / size } else { most },
        });
    }

    /// Sums of absolute values that bound a value of f: what its rounding is relative to.
    fn value_size(network: &TwoLayer, x: &DMatrix<f64>, n: usize) -> f64 {
        let z = network.a.abs().transpose() * x.column(n).abs() + network.theta.abs();
        let y = z.map(|z| 1.0 + z);
        let u = network.b.abs().transpose() * y + network.tau.abs();
        network.c0.abs() + network.c.abs().dot(&u.map(|u| 1.0 + u))
    }

    fn forward(&mut self, network: &TwoLayer, name: &str, points: usize, real: Real) {
        let mut rng = draws::stream(1, name, points as u64);
        let x = draws::gaussian(&mut rng, network.a.nrows(), points) * 3.0;
        let found = forward::values(self.gpu, network, &x, real).unwrap();
        let expected = forward::twin(network, &x);
        let (found, expected) = (
            DMatrix::from_row_slice(1, points, found.as_slice()),
            DMatrix::from_row_slice(1, points, expected.as_slice()),
        );
        let case = format!("{name} at {points} points");
        let sizes: Vec<f64> = (0..points).map(|n| Self::value_size(network, &x, n)).collect();
        self.compare("forward", case.clone(), real, &found, &expected, |_, n| {
            0.1 * ROUNDINGS * (real.epsilon() + TWIN) * sizes[n]
        });
        if real == Real::F32 && self.double {
            let found = forward_double::values(self.gpu, network, &x).unwrap();
            let found = DMatrix::from_row_slice(1, points, found.as_slice());
            self.compare("forward_double", case, real, &found, &expected, |_, n| {
                0.1 * ROUNDINGS * (forward_double::EPSILON + TWIN) * sizes[n]
            });
        }
    }

    fn stencils(&mut self, network: &TwoLayer, name: &str, k: usize, n: usize, real: Real) {
        let d = network.a.nrows();
        let mut rng = draws::stream(2, name, (1000 * k + n) as u64);
        let centres = draws::gaussian(&mut rng, d, n) * 2.0;
        let mut directions = draws::gaussian(&mut rng, d, k);
        directions.column_iter_mut().for_each(|mut v| {
            v.normalize_mut();
        });
        if k == d {
            directions = DMatrix::identity(d, d);
        }
        let sizes: Vec<Sizes> =
            (0..n).map(|n| Sizes::at(network, &centres, n, &directions)).collect();
        let twin = |n: usize| 8.0 * TWIN * Self::value_size(network, &centres, n);
        let u = ROUNDINGS * real.epsilon();
        for scheme in [GradientScheme::Central2, GradientScheme::Central4] {
            let found =
                gradient::gradients(self.gpu, network, &centres, &directions, scheme, STEP, real)
                    .unwrap();
            let expected = gradient::twin(network, &centres, &directions, scheme, STEP);
            let case = format!("{name}, {k} directions, {n} centres, {scheme:?}");
            self.compare("gradient", case, real, &found, &expected, |e, n| {
                u * sizes[n].first[e] + twin(n) / STEP
            });
        }
        let pairs: Vec<(usize, usize)> =
            (0..k).flat_map(|j| (0..=j).map(move |i| (i, j))).collect();
        for scheme in [
            HessianScheme::Forward,
            HessianScheme::Central,
            HessianScheme::Polarised,
            HessianScheme::Richardson,
        ] {
            let found = hessian_stack::hessians(
                self.gpu,
                network,
                &centres,
                &directions,
                scheme,
                STEP,
                real,
            )
            .unwrap();
            let expected = hessian_stack::twin(network, &centres, &directions, scheme, STEP);
            let case = format!("{name}, {k} directions, {n} centres, {scheme:?}");
            let one_sided = if scheme == HessianScheme::Forward { 1.0 / STEP } else { 0.0 };
            self.compare("hessian_stack", case, real, &found, &expected, |e, n| {
                let (i, j) = pairs[e];
                let Sizes { first, second } = &sizes[n];
                // A pair is the difference of what lies on its diagonal.
                let second = second[(i, j)] + second[(i, i)] + second[(j, j)];
                u * (second + one_sided * (first[i] + first[j])) + 4.0 * twin(n) / (STEP * STEP)
            });
        }
    }

    fn normalise(&mut self, entries: usize, columns: usize, real: Real) {
        let mut rng = draws::stream(3, "normalise", (1000 * entries + columns) as u64);
        let mut stack = draws::gaussian(&mut rng, entries, columns);
        // A column of zeros, one whose squares underflow, one under its floor.
        let mut floors = vec![0.0; columns];
        for (k, mut column) in stack.column_iter_mut().enumerate() {
            match k % 4 {
                1 => column.fill(0.0),
                2 => column *= 1e-30,
                3 => floors[k] = 1e6,
                _ => {}
            }
        }
        let device = self.gpu.upload(&real.encode(stack.iter().copied())).unwrap();
        let norms = normalise::lengths(self.gpu, &device, (entries, columns), real).unwrap();
        let factors = normalise::factors(&norms, &floors);
        normalise::scale(self.gpu, &device, entries, &factors, real).unwrap();
        let expected_norms = normalise::twin(&mut stack, &floors);
        let case = format!("{entries} x {columns}");
        let tolerance = ROUNDINGS * (real.epsilon() + TWIN);
        if !stack.is_empty() {
            let found = self.gpu.read(&device, real, entries * columns).unwrap();
            let found = DMatrix::from_vec(entries, columns, found);
            self.compare("normalise", case.clone(), real, &found, &stack, |_, _| tolerance);
        }
        let row = |values: &[f64]| DMatrix::from_row_slice(1, values.len(), values);
        self.compare("normalise", case, real, &row(&norms), &row(&expected_norms), |_, n| {
            tolerance * expected_norms[n].max(1e-30)
        });
    }

    fn gram(&mut self, entries: usize, left: usize, right: usize, real: Real) {
        let mut rng = draws::stream(4, "gram", (entries + 7 * left + 1000 * right) as u64);
        let a = draws::gaussian(&mut rng, entries, left);
        let b = draws::gaussian(&mut rng, entries, right);
        let upload = |m: &DMatrix<f64>| self.gpu.upload(&real.encode(m.iter().copied())).unwrap();
        let (on_a, on_b) = (upload(&a), upload(&b));
        let right_matrix = gram::Matrix::new(&on_b, entries, right);
        let expected = gram::twin(&a, &b);
        let sizes = a.abs().transpose() * b.abs();
        let tolerance = |l: usize, r: usize| ROUNDINGS * (real.epsilon() + TWIN) * sizes[(l, r)];
        let by_columns = gram::Matrix::new(&on_a, entries, left);
        let found = gram::gram(self.gpu, by_columns, right_matrix, real).unwrap();
        let case = format!("{entries} rows, {left} x {right}");
        self.compare("gram", case.clone(), real, &found, &expected, tolerance);
        // The same matrix stored by rows.
        let rows_of_a = upload(&a.transpose());
        let by_rows = gram::Matrix::new(&rows_of_a, left, entries).transposed();
        let found = gram::gram(self.gpu, by_rows, right_matrix, real).unwrap();
        self.compare("gram", case.clone() + ", by rows", real, &found, &expected, tolerance);
        // Left on the device, and added to itself.
        let (right_rows, out) = (upload(&b.transpose()), upload(&DMatrix::zeros(left, right)));
        let right_matrix = gram::Matrix::by_rows(&right_rows, entries, right);
        for add in [false, true] {
            gram::multiply(self.gpu, by_rows, right_matrix, (&out, add), real).unwrap();
        }
        let found = self.gpu.read(&out, real, left * right).unwrap();
        let found = DMatrix::from_row_slice(left, right, &found) * 0.5;
        self.compare("gram", case.clone() + ", added", real, &found, &expected, tolerance);
        // With itself: one triangle is computed.
        let found = gram::gram(self.gpu, by_columns, by_columns, real).unwrap();
        let (expected, sizes) = (gram::twin(&a, &a), a.abs().transpose() * a.abs());
        // Sums of squares only grow, and their rounding errors with them: a random walk.
        let roundings = ROUNDINGS + (entries as f64).sqrt();
        self.compare("gram", case + ", with itself", real, &found, &expected, |l, r| {
            roundings * (real.epsilon() + TWIN) * sizes[(l, r)]
        });
    }

    /// The columns [`first`, `end`) of the upper triangles, at `count` directions of `order` components.
    fn ascent(&mut self, order: usize, (first, end): (usize, usize), count: usize, real: Real) {
        let mut rng = draws::stream(5, "ascent", (1000 * order + count) as u64);
        let u = draws::gaussian(&mut rng, order, count);
        let rows = first * (first + 1) / 2..end * (end + 1) / 2;
        let case = format!("columns {first} to {end} of {order}, {count} directions");
        let on_device = ascent::Directions::new(self.gpu, &u, real).unwrap();
        let out = self.gpu.buffer(rows.len() * count * real.bytes()).unwrap();
        let matrix = gram::Matrix::by_rows(&out, rows.len(), count);
        on_device.outers(self.gpu, rows.start, matrix).unwrap();
        let found = self.gpu.read(&out, real, rows.len() * count).unwrap();
        let found = DMatrix::from_row_slice(rows.len(), count, &found);
        let expected = ascent::outers_twin(&u, rows.clone());
        let allowed = ROUNDINGS * (real.epsilon() + TWIN);
        self.compare("ascent", case.clone(), real, &found, &expected, |e, k| {
            allowed * expected[(e, k)].abs().max(1e-6)
        });
        let slice = draws::gaussian(&mut rng, rows.len(), count);
        let expected = ascent::images_twin(&u, rows.start, &slice);
        let sizes = ascent::images_twin(&u.abs(), rows.start, &slice.abs());
        // Stored either way; the second is added to the first.
        let by_columns = self.gpu.upload(&real.encode(slice.iter().copied())).unwrap();
        let by_rows = self.gpu.upload(&real.encode(slice.transpose().iter().copied())).unwrap();
        for matrix in [
            gram::Matrix::new(&by_columns, rows.len(), count),
            gram::Matrix::by_rows(&by_rows, rows.len(), count),
        ] {
            on_device.add_images(self.gpu, rows.start, matrix).unwrap();
        }
        let found = on_device.sums(self.gpu).unwrap() * 0.5;
        self.compare("ascent", case + ", images", real, &found, &expected, |i, k| {
            allowed * sizes[(i, k)] + 1e-30
        });
    }

    fn report(&self) {
        for kernel in KERNELS {
            for real in reals(self.gpu) {
                let of =
                    || self.comparisons.iter().filter(|c| c.kernel == kernel && c.real == real);
                let ratio = of().map(|c| c.ratio).fold(0.0, f64::max);
                if of().count() == 0 {
                    continue;
                }
                let relative = of().map(|c| c.relative).fold(0.0, f64::max);
                println!(
                    "{kernel:>14} {real:?}: {:3} comparisons, worst error {relative:.1e} of the \
                     largest entry, {ratio:.2} of the tolerance, requested gpu, executed {}",
                    of().count(),
                    self.gpu.record().name,
                );
            }
        }
    }
}

const KERNELS: [&str; 7] =
    ["forward", "forward_double", "gradient", "hessian_stack", "normalise", "gram", "ascent"];

/// The derivatives of f with absolute values in every sum: what their rounding is relative to.
struct Sizes {
    first: Vec<f64>,
    second: DMatrix<f64>,
}

impl Sizes {
    fn at(network: &TwoLayer, centres: &DMatrix<f64>, n: usize, directions: &DMatrix<f64>) -> Self {
        let p = (directions.transpose() * &network.a).abs();
        let z = network.a.transpose() * centres.column(n) - &network.theta;
        let u = network.b.transpose() * z.map(|z| network.g.value(z)) - &network.tau;
        let (b, c) = (network.b.abs(), network.c.abs());
        // A finite step sees the largest slope within it.
        let slope = |phi: Activation, z: f64| {
            [-0.4, 0.0, 0.4].iter().map(|s| phi.slope(z + s)).fold(0.0, f64::max)
        };
        let curvature = |phi: Activation, z: f64| {
            [-0.4, 0.0, 0.4].iter().map(|s| phi.curvature(z + s).abs()).fold(0.0, f64::max)
        };
        let outer = u.map(|u| slope(network.h, u)).component_mul(&c);
        let weight = &b * outer;
        let slopes = z.map(|z| slope(network.g, z));
        let v = &p * DMatrix::from_diagonal(&slopes) * &b;
        let first = &p * slopes.component_mul(&weight);
        let inner = z.map(|z| curvature(network.g, z)).component_mul(&weight);
        let bend = u.map(|u| curvature(network.h, u)).component_mul(&c);
        Sizes {
            first: first.iter().copied().collect(),
            second: &p * DMatrix::from_diagonal(&inner) * p.transpose()
                + &v * DMatrix::from_diagonal(&bend) * v.transpose(),
        }
    }
}

fn network(d: usize, m0: usize, m1: usize, g: Activation, h: Activation) -> (TwoLayer, String) {
    let mut network =
        TwoLayer::random((d, m0, m1), Class::General, g, (d + m0 + m1) as u64).unwrap();
    network.h = h;
    (network, format!("{d}-{m0}-{m1} {g}/{h}"))
}

/// Every comparison.
fn parity(gpu: &Gpu) -> Vec<Comparison> {
    let double = double_f32_test(gpu).unwrap().is_ok();
    let mut harness = Harness { gpu, double, comparisons: Vec::new() };
    let wg = WORKGROUP as usize;
    for real in reals(gpu) {
        for g in Activation::SATURATING {
            for h in Activation::SATURATING {
                let (small, name) = network(3, 5, 2, g, h);
                harness.forward(&small, &name, wg + 1, real);
                harness.stencils(&small, &name, 3, 3, real);
            }
        }
        for g in Activation::SATURATING {
            // More units than a chunk, more second-layer units than a block, odd shapes.
            let (odd, name) = network(11, 37, 19, g, g);
            for points in [0, 1, wg - 1, wg, 1000] {
                harness.forward(&odd, &name, points, real);
            }
            harness.stencils(&odd, &name, 11, 5, real);
            harness.stencils(&odd, &name, 0, 2, real);
            harness.stencils(&odd, &name, 2, 0, real);
            let (one, name) = network(1, 1, 1, g, g);
            harness.stencils(&one, &name, 1, 1, real);
            harness.forward(&one, &name, 1, real);
        }
        let (tanh, name) = network(7, 32, 4, Activation::Tanh, Activation::Tanh);
        for k in [wg - 1, wg, wg + 1] {
            harness.stencils(&tanh, &name, k, 2, real);
        }
        harness.stencils(&tanh, &name, 7, 300, real);
        for entries in [1, wg - 1, wg, wg + 1, 1000] {
            for columns in [0, 1, 9] {
                harness.normalise(entries, columns, real);
            }
        }
        for (entries, left, right) in [
            (1, 1, 1),
            (15, 31, 32),
            (16, 32, 33),
            (17, 33, 31),
            (100, wg - 1, wg),
            (9000, wg + 1, 3),
            (40, 0, 5),
        ] {
            harness.gram(entries, left, right, real);
        }
        for (order, columns, count) in
            [(1, (0, 1), 1), (5, (0, 5), wg + 1), (33, (10, 23), 3), (70, (69, 70), wg - 1)]
        {
            harness.ascent(order, columns, count, real);
        }
    }
    harness.report();
    harness.comparisons
}

/// A few comparisons of one kernel, in f32.
fn some(gpu: &Gpu, kernel: &str) -> Vec<Comparison> {
    let mut harness = Harness { gpu, double: false, comparisons: Vec::new() };
    let real = Real::F32;
    let (small, name) = network(3, 5, 2, Activation::Tanh, Activation::Tanh);
    match kernel {
        "forward" => harness.forward(&small, &name, 65, real),
        "gradient" | "hessian_stack" => harness.stencils(&small, &name, 3, 3, real),
        "normalise" => harness.normalise(65, 5, real),
        "gram" => harness.gram(20, 70, 70, real),
        "ascent" => harness.ascent(12, (3, 12), 5, real),
        _ => panic!("no comparison of {kernel}"),
    }
    harness.comparisons
}

#[test]
fn kernels_agree_with_their_twins() {
    let Some(gpu) = device() else { return };
    let comparisons = parity(&gpu);
    let wrong: Vec<String> = comparisons
        .iter()
        .filter(|c| c.ratio > 1.0)
        .map(|c| format!("{} {:?}, {}: {:.2} tolerances", c.kernel, c.real, c.case, c.ratio))
        .collect();
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), comparisons.len());
    for comparison in &comparisons {
        assert_eq!(comparison.requested, "gpu");
        assert!(!comparison.executed.is_empty());
    }
    for kernel in KERNELS {
        let compared = comparisons.iter().any(|c| c.kernel == kernel);
        let refused = kernel == "forward_double" && double_f32_test(&gpu).unwrap().is_err();
        assert!(compared || refused, "{kernel} was never compared");
    }
}

#[test]
fn broken_kernels_are_found_out() {
    for (kernel, right, wrong) in [
        ("forward", "values[n1] = value1;", "values[n1] = value1 * real(1.0001);"),
        ("gradient", "var derivative = rule[0] *", "var derivative = real(1.0001) * rule[0] *"),
        ("hessian_stack", "let j = tile >> 16u;", "let j = tile & 0xffffu;"),
        ("hessian_stack", "put(centre, i + p / TILE_COLUMNS", "put(centre, i + p % TILE_COLUMNS"),
        ("hessian_stack", "-q * z.x * n", "q * z.x * n"),
        ("normalise", "*= factor", "*= factor * real(1.0001)"),
        ("normalise", "sqrt(shares[0])", "sqrt(shares[0]) * real(1.0001)"),
        ("gram", "a1[3u] * b0", "a1[2u] * b0"),
        ("gram", "right_tile[r * SPAN + x + 8u", "right_tile[r * SPAN + x + 7u"),
        ("ascent", "before(j) > entry", "before(j) > entry + 1u"),
        ("ascent", "ROOT_HALF * off", "off"),
    ] {
        let Some(mut gpu) = device() else { return };
        gpu.break_kernels(right, wrong);
        let comparisons = some(&gpu, kernel);
        let caught = comparisons.iter().any(|c| c.kernel == kernel && c.ratio > 1.0);
        assert!(caught, "{kernel} with {wrong:?} passed");
    }
}

#[test]
fn a_lost_device_is_replaced() {
    if device().is_none() {
        return;
    }
    let (network, _) = network(4, 6, 3, Activation::Tanh, Activation::Tanh);
    let mut oracle = GpuOracle::new(network.clone(), wanted().as_deref(), Precision::Auto).unwrap();
    let centres = draws::gaussian(&mut draws::stream(1, "lost", 0), 4, 5);
    let eye = DMatrix::identity(4, 4);
    let before = oracle.hessians(&centres, &eye, HessianScheme::Polarised, STEP).unwrap();
    oracle.gpu().lose();
    let after = oracle.hessians(&centres, &eye, HessianScheme::Polarised, STEP).unwrap();
    assert_eq!(before, after);
    assert_eq!(oracle.record().lost_devices, 1);
    assert_eq!(oracle.record().on_cpu, 0);
}

/// Norms, Gram matrix, products and inner products of a stack on the device against the matrix of the
/// same Hessians: with all slices kept, some of them, and none.
#[test]
fn a_stack_on_the_device_is_the_matrix_of_its_hessians_however_little_of_it_stays() {
    let Some(mut gpu) = device() else { return };
    let (network, _) = network(23, 12, 4, Activation::Sigmoid, Activation::Sigmoid);
    let mut rng = draws::stream(1, "stack", 0);
    let centres = draws::gaussian(&mut rng, 23, 70) * 2.0;
    let eye = DMatrix::identity(23, 23);
    let scheme = HessianScheme::Richardson;
    let mut kept = Vec::new();
    for memory in [1 << 30, 8 * 4 * 70 * 64, 1 << 10] {
        gpu.set_memory(memory);
        for real in reals(&gpu) {
            let mut stack = Stack::new(&gpu, &network, &centres, &eye, scheme, STEP, real).unwrap();
            kept.push(stack.slices());
            let mut host =
                hessian_stack::hessians(&gpu, &network, &centres, &eye, scheme, STEP, real)
                    .unwrap();
            let tolerance = 100.0 * real.epsilon();
            let norms = stack.norms(&gpu).unwrap();
            for (norm, column) in norms.iter().zip(host.column_iter()) {
                assert!((norm / column.norm() - 1.0).abs() < tolerance, "{memory} {real:?}");
            }
            let mut floors = vec![0.0; 70];
            floors[3] = f64::INFINITY;
            stack.scale(&gpu, normalise::factors(&norms, &floors)).unwrap();
            normalise::twin(&mut host, &floors);
            let others = draws::gaussian(&mut rng, 23, 5);
            let outers = ascent::outers_twin(&others, 0..276);
            let vectors = draws::gaussian(&mut rng, 23, 70);
            let images = ascent::images_twin(&vectors, 0, &host);
            let coefficients = draws::gaussian(&mut rng, 70, 9);
            let chosen = [0, 3, 69];
            for (found, expected) in [
                (stack.gram(&gpu).unwrap(), host.transpose() * &host),
                (stack.along(&gpu, &others).unwrap(), host.transpose() * outers),
                (stack.images(&gpu, &vectors).unwrap(), images),
                (stack.product(&gpu, &coefficients).unwrap(), &host * coefficients),
                (stack.columns(&gpu, &chosen).unwrap(), host.select_columns(&chosen)),
            ] {
                let error = (found - &expected).amax();
                assert!(error < tolerance * expected.amax(), "{memory} {real:?}: {error:e}");
            }
        }
    }
    println!("slices, and those that stay: {kept:?}");
    assert!(kept.iter().any(|(all, stay)| all == stay));
    assert!(kept.iter().any(|(all, stay)| 0 < *stay && stay < all));
    assert!(kept.iter().any(|(all, stay)| *all > 1 && *stay == 0));
}

/// The memory decides where the stack is, not what comes out.
#[test]
fn networks_are_identified_though_no_part_of_the_stack_stays() {
    if device().is_none() {
        return;
    }
    let (network, name) = network(24, 24, 4, Activation::Tanh, Activation::Tanh);
    let mut verdicts = Vec::new();
    for memory in [1 << 30, 1 << 10] {
        let mut oracle =
            GpuOracle::new(network.clone(), wanted().as_deref(), Precision::F32).unwrap();
        oracle.set_memory(memory);
        let solution =
            identify::identify(&mut oracle, &identify::Settings::default(), &mut Silent).unwrap();
        assert_eq!(solution.status, identify::Status::Identified, "{name}: {}", solution.reason);
        assert_eq!(oracle.record().on_cpu, 0);
        let stack = solution.stages.iter().find(|stage| stage.stage == Stage::Stack);
        verdicts.push((solution.widths, stack.map(|stage| stage.queries)));
    }
    // What is computed again is not asked again.
    assert_eq!(verdicts[0], verdicts[1]);
}

/// The subspace from the Gram matrix on the device against that from the singular values on the host,
/// for a stack of low rank: what lies below the resolution is rounding.
#[test]
fn the_subspace_on_the_device_is_that_of_the_host() {
    let Some(gpu) = device() else { return };
    let (network, _) = network(23, 4, 2, Activation::Tanh, Activation::Tanh);
    let centres = draws::gaussian(&mut draws::stream(1, "subspace", 0), 23, 200) * 2.0;
    let eye = DMatrix::identity(23, 23);
    let kept: Vec<usize> = (0..200).filter(|n| n % 3 != 0).collect();
    // Symmetric matrices on the range of A: 4 * 5 / 2 dimensions.
    let rank = 10;
    for real in reals(&gpu) {
        let precision = if real == Real::F32 { Precision::F32 } else { Precision::F64 };
        let mut oracle = GpuOracle::on(gpu.clone(), network.clone(), precision).unwrap();
        let (scheme, h) = (HessianScheme::Polarised, 1e-3);
        let mut device = oracle.hessian_stack(&centres, &eye, scheme, h).unwrap();
        let hessians = oracle.hessians(&centres, &eye, scheme, h).unwrap();
        let mut host = HostStack::new(hessians);
        let both: [&mut dyn HessianStack; 2] = [device.as_mut(), &mut host];
        let [found, expected] = both.map(|stack| {
            stack.keep(&kept).unwrap();
            let values = stack.singular_values().unwrap().unwrap();
            let floor = stack.resolution() * values[0];
            (values, stack.basis(rank).unwrap().expect("a small one"), floor)
        });
        let floor = found.2;
        println!(
            "{real:?}: singular values {:.1e} to {:.1e}, then {:.1e} (on the host {:.1e}), resolution \
             {floor:.1e}",
            found.0[0],
            found.0[rank - 1],
            found.0[rank],
            expected.0[rank]
        );
        // The step itself leaves a part of h^2 outside.
        assert!(found.0[rank] < floor + 10.0 * h * h && expected.0[rank] < floor + 10.0 * h * h);
        for (found, expected) in found.0.iter().zip(&expected.0).filter(|(_, e)| **e > floor) {
            let squares = (found * found - expected * expected).abs();
            let rounding = 1e-13 * expected * expected;
            assert!(squares < floor * floor + rounding, "{real:?}: {found} and {expected}");
        }
        let orthonormal = found.1.transpose() * &found.1 - DMatrix::identity(rank, rank);
        assert!(orthonormal.amax() < 1e-12);
        // Directions that stand well above the rounding.
        let clear = expected.0.iter().take_while(|&&value| value > 10.0 * floor).count();
        let lost = &expected.1 - &found.1 * (found.1.transpose() * &expected.1);
        for k in 0..clear.min(rank) {
            assert!(lost.column(k).norm() < 0.1, "{real:?}: {k} of {clear}");
        }
        let directions = draws::gaussian(&mut draws::stream(1, "along", 0), 23, 3);
        let along = device.along(&directions).unwrap() - host.along(&directions).unwrap();
        assert!(along.amax() < 100.0 * real.epsilon() * directions.norm_squared());
        let starts = draws::gaussian(&mut draws::stream(1, "along", 1), 23, 8);
        let basis = device.basis(clear).unwrap().expect("a small one");
        for end in device.climb(clear, &starts).unwrap() {
            let exact = rank_one::score(&basis, &end.direction);
            assert!((end.score - exact).abs() < 1e-3, "{real:?}: {} {exact}", end.score);
        }
        let some = device.starts(2).unwrap();
        assert!((1..=6).contains(&some.ncols()));
        assert!(some.column_iter().all(|u| (u.norm() - 1.0).abs() < 1e-12));
    }
}

/// The power method on the device against that on the host: in the space that the Hessians of a network with
/// one active layer span, with all of the basis kept, a part of it, and none.
#[test]
fn the_power_method_on_the_device_ends_where_that_on_the_host_does() {
    let Some(mut gpu) = device() else { return };
    let (network, _) = network(9, 9, 3, Activation::Tanh, Activation::Tanh);
    let centres = draws::gaussian(&mut draws::stream(1, "climb", 0), 9, 60) * 30.0;
    let eye = DMatrix::identity(9, 9);
    let (scheme, rank) = (HessianScheme::Polarised, 9);
    let starts = draws::gaussian(&mut draws::stream(1, "climb", 1), 9, 40);
    let mut kept = Vec::new();
    for memory in [1 << 30, 1 << 13, 1 << 10] {
        gpu.set_memory(memory);
        for real in reals(&gpu) {
            let stack = Stack::new(&gpu, &network, &centres, &eye, scheme, 1e-2, real).unwrap();
            let host = stack.columns(&gpu, &(0..60).collect::<Vec<_>>()).unwrap();
            let svd = host.clone().svd(false, true);
            let right = svd.v_t.unwrap().rows(0, rank).transpose();
            let scales = svd.singular_values.rows(0, rank).map(|s| 1.0 / s);
            let coefficients = right * DMatrix::from_diagonal(&scales);
            let space = Subspace::new(&gpu, &stack, &coefficients, memory / 2).unwrap();
            kept.push((stack.slices().0, space.resident()));
            let tolerance = 1e4 * real.epsilon();
            let off = (space.gram(&gpu).unwrap() - DMatrix::identity(rank, rank)).amax();
            assert!(off < tolerance, "{memory} {real:?}: {off:e}");
            let basis = host * &coefficients;
            let expected = ascent::images_twin(
                &starts,
                0,
                &(&basis * basis.tr_mul(&ascent::outers_twin(&starts, 0..45))),
            );
            let error = (space.project(&gpu, &starts).unwrap() - &expected).amax();
            assert!(error < tolerance * expected.amax(), "{memory} {real:?}: {error:e}");
            let mut unit = starts.clone();
            unit.column_iter_mut().for_each(|mut u| {
                u.normalize_mut();
            });
            let (ends, scores) = space.climb(&gpu, &unit).unwrap();
            for (end, score) in ends.column_iter().zip(&scores) {
                // Its score is that of the step before, which for a start between two ends is smaller.
                let exact = rank_one::score(&basis, &end.into_owned());
                let risen = exact - score;
                assert!(-tolerance < risen && risen < 1e-3, "{memory} {real:?}: {score} {exact}");
            }
            // Starts between two ends may go either way; an end of several is one of both.
            let found = rank_one::search(&basis, &unit, Ascent::Power);
            for clear in found.iter().filter(|c| c.hits > 2) {
                let nearest = ends.tr_mul(&clear.direction).amax();
                assert!(nearest > 0.999, "{memory} {real:?}: {} {nearest}", clear.score);
            }
            assert!(found.iter().filter(|c| c.hits > 2).count() > 3);
        }
    }
    println!("slices, and those of the basis that stay: {kept:?}");
    assert!(kept.iter().any(|(all, stay)| all == stay));
    assert!(kept.iter().any(|(all, stay)| *stay < *all));
}

#[test]
fn a_stack_is_made_again_on_a_fresh_device() {
    if device().is_none() {
        return;
    }
    let (network, _) = network(6, 7, 3, Activation::Tanh, Activation::Tanh);
    let mut oracle = GpuOracle::new(network, wanted().as_deref(), Precision::Auto).unwrap();
    let centres = draws::gaussian(&mut draws::stream(1, "lost stack", 0), 6, 50) * 2.0;
    let eye = DMatrix::identity(6, 6);
    let mut stack = oracle.hessian_stack(&centres, &eye, HessianScheme::Polarised, STEP).unwrap();
    let kept: Vec<usize> = (0..50).filter(|n| n % 7 != 0).collect();
    stack.keep(&kept).unwrap();
    let before = stack.singular_values().unwrap();
    oracle.gpu().lose();
    assert_eq!(stack.singular_values().unwrap(), before);
    assert_eq!(oracle.record().lost_devices, 1);
    // The oracle itself goes on with the fresh device.
    oracle.hessians(&centres, &eye, HessianScheme::Polarised, STEP).unwrap();
    assert_eq!(oracle.record().lost_devices, 1);
}

#[test]
fn the_relative_error_of_a_hessian_does_not_depend_on_the_step() {
    let Some(gpu) = device() else { return };
    for activation in Activation::SATURATING {
        let (network, name) = network(16, 16, 4, activation, activation);
        let eye = DMatrix::identity(16, 16);
        for scale in [1.0, 16.0] {
            let centres = draws::gaussian(&mut draws::stream(1, "step", 0), 16, 40) * scale;
            for h in [1e-3, 1e-2, 1e-1] {
                let scheme = HessianScheme::Polarised;
                let single =
                    hessian_stack::hessians(&gpu, &network, &centres, &eye, scheme, h, Real::F32)
                        .unwrap();
                let exact = if gpu.require(Real::F64).is_ok() {
                    hessian_stack::hessians(&gpu, &network, &centres, &eye, scheme, h, Real::F64)
                        .unwrap()
                } else {
                    hessian_stack::twin(&network, &centres, &eye, scheme, h)
                };
                let mut errors: Vec<f64> = (0..40)
                    .filter(|&n| exact.column(n).norm() > 1e-9)
                    .map(|n| (single.column(n) - exact.column(n)).norm() / exact.column(n).norm())
                    .collect();
                errors.sort_by(f64::total_cmp);
                let median = errors[errors.len() / 2];
                let worst = errors[errors.len() - 1];
                println!("{name}, scale {scale}, h {h}: median {median:.1e}, worst {worst:.1e}");
                if gpu.require(Real::F64).is_ok() || h >= 1e-2 {
                    assert!(median < 2e-6, "{name} {scale} {h}: {median:e}");
                }
            }
        }
    }
}

#[test]
fn steps_beyond_the_closed_forms_go_to_the_cpu() {
    if device().is_none() {
        return;
    }
    let (network, _) = network(4, 6, 3, Activation::Tanh, Activation::Tanh);
    let mut oracle =
        ChosenOracle::new(network.clone(), Backend::Gpu, wanted().as_deref(), Precision::F32)
            .unwrap();
    let centres = draws::gaussian(&mut draws::stream(1, "wide", 0), 4, 2);
    let eye = DMatrix::identity(4, 4);
    assert!(Increments::new(&network).reach(&eye, 10.0) > 1.0);
    let found = oracle.hessians(&centres, &eye, HessianScheme::Central, 5.0).unwrap();
    assert_eq!(found, hessian_stack::twin(&network, &centres, &eye, HessianScheme::Central, 5.0));
    assert_eq!(oracle.record().on_cpu, 2);
    assert_eq!(oracle.record().executed, Backend::Gpu);
}

#[test]
fn exponential_and_tanh_are_accurate() {
    let Some(gpu) = device() else { return };
    // x in, (tanh x, sech^2 x, exp(-|x|), expm1(-|x|)) out.
    let text = "#include math
@group(0) @binding(0) var<storage, read> inputs: array<real>;
@group(0) @binding(1) var<storage, read_write> outputs: array<real4>;
@compute @workgroup_size(WORKGROUP)
fn functions(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < arrayLength(&inputs)) {
        let x = inputs[id.x];
        outputs[id.x] = real4(tanh_sech(x), exp_negative(-abs(x)), expm1_negative(-abs(x)));
    }
}";
    for real in reals(&gpu) {
        let inputs: Vec<f64> = (-20_000..=20_000)
            .map(|k| f64::from(k) * 1e-3)
            .chain((-60..0).map(|k| 0.7 * 2f64.powi(k / 3)))
            .map(|x| if real == Real::F32 { f64::from(x as f32) } else { x })
            .collect();
        let source = Source::new("functions", text, real, &[]);
        let kernel = gpu.kernel(&source, "functions", &[Access::Read, Access::Write]).unwrap();
        let given = gpu.upload(&real.encode(inputs.iter().copied())).unwrap();
        let out = gpu.buffer(4 * inputs.len() * real.bytes()).unwrap();
        let groups = (inputs.len() as u32).div_ceil(WORKGROUP);
        gpu.dispatch(&kernel, &[&given, &out], (groups, 1));
        let found = gpu.read(&out, real, 4 * inputs.len()).unwrap();
        // In units of the last place, 2 epsilon.
        let ulps = |at: usize, truth: fn(f64) -> f64| {
            inputs
                .iter()
                .zip(found.as_chunks::<4>().0)
                .map(|(&x, found)| (found[at], truth(x)))
                .map(|(found, truth)| match truth == 0.0 {
                    true => found.abs() / real.epsilon(),
                    false => ((found - truth) / truth).abs() / (2.0 * real.epsilon()),
                })
                .fold(0.0, f64::max)
        };
        let errors = [
            ulps(0, |x| Activation::Tanh.value(x)),
            ulps(1, |x| Activation::Tanh.slope(x)),
            ulps(2, |x| (-x.abs()).exp()),
            ulps(3, |x| (-x.abs()).exp_m1()),
        ];
        println!("{real:?}: ulps of tanh, sech^2, exp, expm1: {errors:.1?}");
        // The twin of sech^2 has an error of its own.
        assert!(errors[0] <= 4.0 && errors[1] <= 10.0 && errors[2] <= 4.0 && errors[3] <= 4.0);
    }
}

/// Relative errors of double-f32 arithmetic and functions, against f64.
#[test]
fn double_f32_functions_are_accurate() {
    let Some(gpu) = device() else { return };
    if let Err(reason) = double_f32_test(&gpu).unwrap() {
        println!("refused: {reason}");
        return;
    }
    // (a, b) in, (a + b, a b, a / b, tanh a), (sigmoid a, erf a, exp(-|a|)) out.
    let text = "#include gauss
#include double
struct Params { count: u32, zero: u32, pad0: u32, pad1: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> inputs: array<double>;
@group(0) @binding(2) var<storage, read_write> outputs: array<double>;
@compute @workgroup_size(WORKGROUP)
fn functions(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x < params.count) {
        let a = inputs[2u * id.x];
        let b = inputs[2u * id.x + 1u];
        let at = 7u * id.x;
        outputs[at] = add(a, b);
        outputs[at + 1u] = mul(a, b);
        outputs[at + 2u] = div(a, b);
        outputs[at + 3u] = double_tanh(a);
        outputs[at + 4u] = double_sigmoid(a);
        outputs[at + 5u] = double_erf(a);
        outputs[at + 6u] = double_exp(-absolute(a));
    }
}";
    let mut rng = draws::stream(1, "double", 0);
    // What a pair holds of an f64.
    let mut inputs = Vec::new();
    let numbers = draws::gaussian(&mut rng, 2, 6000);
    let spread: Vec<f64> = numbers
        .iter()
        .enumerate()
        .map(|(k, x)| x * 10f64.powf((k / 2 % 13) as f64 / 2.0 - 5.0))
        .collect();
    decode(&encode(spread), &mut inputs);
    let count = inputs.len() / 2;
    let source = Source::double("functions", text, &[]);
    let bindings = [Access::Uniform, Access::Read, Access::Write];
    let kernel = gpu.kernel(&source, "functions", &bindings).unwrap();
    let params = gpu.uniform(&[count as u32, 0, 0, 0]);
    let given = gpu.upload(&encode(inputs.iter().copied())).unwrap();
    let out = gpu.buffer(7 * 8 * count).unwrap();
    gpu.dispatch(&kernel, &[&params, &given, &out], ((count as u32).div_ceil(WORKGROUP), 1));
    let mut found = Vec::new();
    let download = gpu.download(&out, 7 * 8 * count).unwrap();
    gpu.finish(download, |bytes| decode(bytes, &mut found)).unwrap();
    type Exact = fn(f64, f64) -> f64;
    let exact: [(&str, Exact); 7] = [
        ("+", |a, b| a + b),
        ("*", |a, b| a * b),
        ("/", |a, b| a / b),
        ("tanh", |a, _| Activation::Tanh.value(a)),
        ("sigmoid", |a, _| Activation::Sigmoid.value(a)),
        ("erf", |a, _| Activation::Erf.value(a)),
        ("exp", |a, _| (-a.abs()).exp()),
    ];
    for (at, (name, exact)) in exact.into_iter().enumerate() {
        let mut worst = 0.0f64;
        for (pair, found) in inputs.as_chunks::<2>().0.iter().zip(found.as_chunks::<7>().0) {
            let expected = exact(pair[0], pair[1]);
            // A sum is relative to its terms.
            let size = if at == 0 { pair[0].abs().max(pair[1].abs()) } else { expected.abs() };
            let error = (found[at] - expected).abs() / size.max(1e-25);
            worst = if error.is_nan() { f64::INFINITY } else { worst.max(error) };
        }
        println!("double-f32 {name}: relative error {worst:.1e}");
        assert!(worst < 1e-13, "{name}: {worst:e}");
    }
}

/// The self-test can fail, and then the mode is refused with its reason.
#[test]
fn double_f32_is_refused_where_the_compiler_breaks_it() {
    let Some(gpu) = device() else { return };
    println!("as it is: {:?}", double_f32_test(&gpu).unwrap());
    let mut unguarded = Gpu::open(wanted().as_deref()).unwrap();
    unguarded.break_kernels(" ^ params.zero", "");
    println!("without guards: {:?}", double_f32_test(&unguarded).unwrap());
    for (right, wrong, what) in [
        ("let t = guard(s - a);", "let t = b;", "sums"),
        ("bitcast<u32>(b) & 0xfffff000u", "bitcast<u32>(b)", "products"),
        ("double_activate(TOP, u[l])", "double(double_activate(TOP, u[l]).x, 0.0)", "values"),
    ] {
        let mut broken = Gpu::open(wanted().as_deref()).unwrap();
        broken.break_kernels(right, wrong);
        let (network, _) = network(4, 6, 3, Activation::Tanh, Activation::Tanh);
        match GpuOracle::on(broken, network, Precision::DoubleF32) {
            Err(GpuError::Precision { reason, .. }) => assert!(reason.contains(what), "{reason}"),
            other => panic!("{wrong}: {other:?}"),
        }
    }
}

#[test]
fn trained_networks_are_identified_with_values_in_double_f32() {
    let Some(gpu) = device() else { return };
    if let Err(reason) = double_f32_test(&gpu).unwrap() {
        println!("refused: {reason}");
        return;
    }
    let path =
        format!("{}/tests/networks/diabetes-tanh-10-10-5.safetensors", env!("CARGO_MANIFEST_DIR"));
    let network = Network::load(&path, None).unwrap();
    let mut oracle = GpuOracle::on(gpu, network, Precision::DoubleF32).unwrap();
    let solution =
        identify::identify(&mut oracle, &identify::Settings::default(), &mut Silent).unwrap();
    println!("{:?}, accuracy {:?}", solution.status, solution.oracle_accuracy);
    assert_eq!(solution.status, identify::Status::Identified, "{}", solution.reason);
    assert_eq!(solution.widths, Some(vec![10, 5]));
    assert_eq!(oracle.record().precision, Precision::DoubleF32);
}

#[test]
fn trained_networks_are_identified_on_the_gpu() {
    if device().is_none() {
        return;
    }
    for name in ["diabetes-tanh-10-10-5", "wine-sigmoid-13-10-4", "digits-tanh-64-24-8"] {
        let path = format!("{}/tests/networks/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let network = Network::load(&path, None).unwrap();
        let dims = network.dims();
        let mut oracle =
            ChosenOracle::new(network, Backend::Gpu, wanted().as_deref(), Precision::Auto).unwrap();
        let settings = identify::Settings::default();
        let solution = identify::identify(&mut oracle, &settings, &mut Silent).unwrap();
        println!("{name}: {:?}, {}, {:?}", solution.status, solution.reason, oracle.record());
        assert_eq!(solution.status, identify::Status::Identified, "{name}: {}", solution.reason);
        assert_eq!(solution.widths, Some(vec![dims[1], dims[2]]), "{name}");
        assert!(oracle.record().adapter.is_some());
        assert_eq!(oracle.record().executed, Backend::Gpu);
    }
}

/// Layouts, checked by machine: no adapter needed.
mod layout {
    use super::*;
    use std::mem::{offset_of, size_of};
    use wgpu::naga::{AddressSpace, StorageAccess, TypeInner, front::wgsl};

    /// Name, offset in bytes.
    type Fields = Vec<(&'static str, usize)>;

    macro_rules! fields {
        ($module:ident: $($field:ident),*) => {
            (
                vec![$((stringify!($field), offset_of!($module::Params, $field))),*] as Fields,
                size_of::<$module::Params>(),
            )
        };
    }

    fn check(source: &Source, bindings: &[Access], (fields, size): (Fields, usize)) {
        let module = wgsl::parse_str(&source.text)
            .unwrap_or_else(|error| panic!("{}: {error:?}", source.name));
        let params = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some("Params"));
        let Some(TypeInner::Struct { members, span }) = params.map(|(_, ty)| &ty.inner) else {
            panic!("{} has no Params", source.name);
        };
        assert_eq!(*span as usize, size, "{}", source.name);
        let found: Vec<(&str, usize)> = members
            .iter()
            .map(|member| (member.name.as_deref().unwrap_or(""), member.offset as usize))
            .collect();
        assert_eq!(found, fields, "{}", source.name);

        let mut found: Vec<(u32, Access)> = module
            .global_variables
            .iter()
            .filter_map(|(_, variable)| {
                let access = match variable.space {
                    AddressSpace::Uniform => Access::Uniform,
                    AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => {
                        Access::Write
                    }
                    AddressSpace::Storage { .. } => Access::Read,
                    _ => return None,
                };
                let binding = variable.binding.as_ref().unwrap();
                assert_eq!(binding.group, 0);
                Some((binding.binding, access))
            })
            .collect();
        found.sort_by_key(|(binding, _)| *binding);
        let expected: Vec<(u32, Access)> = (0..).zip(bindings.iter().copied()).collect();
        assert_eq!(found, expected, "{}", source.name);

        // Three-component vectors are padded to four; nothing shared may hold one.
        for (_, variable) in module.global_variables.iter() {
            let ty = &module.types[variable.ty].inner;
            if let TypeInner::Array { base, .. } = ty {
                let base = &module.types[*base].inner;
                let is_vec3 =
                    matches!(base, TypeInner::Vector { size: wgpu::naga::VectorSize::Tri, .. });
                assert!(!is_vec3, "{}", source.name);
            }
        }
        for entry in &module.entry_points {
            assert!(entry.workgroup_size_overrides.is_some(), "{}: {}", source.name, entry.name);
        }
    }

    #[test]
    fn of_every_kernel_agrees_with_the_host() {
        use disentangle::gpu::increments;
        for activation in Activation::SATURATING {
            let (network, _) = network(3, 5, 9, activation, activation);
            let prepared = Increments::new(&network);
            for real in [Real::F32, Real::F64] {
                let stencil = || fields!(increments: directions, units, blocks, entries, levels, one_sided, minus, far, first_centre, first_entry, first_tile, tiles);
                check(&gradient::source(&prepared, real), &gradient::BINDINGS, stencil());
                check(&hessian_stack::source(&prepared, real), &hessian_stack::BINDINGS, stencil());
                check(
                    &forward::source(&network, real),
                    &forward::BINDINGS,
                    fields!(forward: points, inputs, units4, theta, tau, c, pad0, pad1),
                );
                check(
                    &forward_double::source(&network),
                    &forward_double::BINDINGS,
                    fields!(forward_double: points, inputs, units, zero),
                );
                check(
                    &normalise::source(real),
                    &normalise::BINDINGS,
                    fields!(normalise: entries, columns, pad0, pad1),
                );
                check(
                    &gram::source(real),
                    &gram::BINDINGS,
                    fields!(gram: first_row, last_row, left_columns, right_columns, left_row, left_column, right_row, right_column, add, symmetric, pad0, pad1),
                );
                check(
                    &ascent::source(real),
                    &ascent::BINDINGS,
                    fields!(ascent: first_entry, entries, order, columns, row, column_stride, pad0, pad1),
                );
            }
        }
    }
}
