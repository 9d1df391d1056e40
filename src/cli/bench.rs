//! `disentangle bench`: how fast this machine is at what identification needs.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use crate::algebra::rank_one::{self, Ascent};
use crate::algebra::svec::svec_outer;
use crate::draws;
use crate::fused::{hessian_stack_f32, hessian_stack_f64};
use crate::gpu::increments::Increments;
use crate::gpu::oracle::Backend;
use crate::gpu::self_test::double_f32_test;
use crate::gpu::subspace::Subspace;
use crate::gpu::{
    Gpu, GpuError, GpuOracle, Precision, Real, Stack, adapters, forward, forward_double,
};
use crate::identify;
use crate::network::{Activation, Class, TwoLayer};
use crate::oracle::{NetworkOracle, Oracle, Silent};
use crate::stencil::HessianScheme;
use clap::{Args, ValueEnum};
use nalgebra::DMatrix;
use serde::Serialize;
use serde_json::json;

use super::scale::Scale;
use super::{Outcome, SUCCESS};

/// The scheme measured, that of the pipeline.
const SCHEME: HessianScheme = HessianScheme::Polarised;
const STEP: f64 = 0.1;
/// The step at which the fused f32 stack is most accurate.
const FUSED_STEP: f64 = 0.01;
/// Single values a sample on a GPU.
const VALUES: usize = 16_384;
/// Columns of the Gram matrix: a tile of the kernel's at least.
const GRAM: (usize, usize) = (64, 512);
/// Shape of the whole identification.
const WHOLE: (usize, usize, usize) = (12, 12, 3);
/// Where the help has the options of the suite that is the default.
const KERNELS: &str = "Suite kernels";

/// What is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Stencils, Gram matrices, rank-one search and one identification
    #[default]
    Kernels,
    /// Identification of larger and larger networks, on the CPU
    Scale,
}

/// (d, m0, m1) without a word on it.
const USUAL_SHAPES: [(usize, usize, usize); 2] = [(32, 32, 6), (64, 64, 8)];

/// Measure how fast this machine is at what identification needs, or what larger networks cost
#[derive(Args, Debug)]
pub struct Bench {
    /// What to measure
    #[arg(long, value_enum, default_value_t)]
    suite: Suite,
    /// Print JSON, with the raw samples, instead of a table
    #[arg(long)]
    json: bool,
    /// What to measure on: the CPU, a GPU, or all that there is
    #[arg(long, help_heading = KERNELS, default_value = "auto", value_parser = super::backends())]
    backend: Backend,
    /// Part of the name of the adapter to measure
    #[arg(long, help_heading = KERNELS, value_name = "NAME")]
    adapter: Option<String>,
    /// Networks to measure the stencils on [default: 32,32,6 64,64,8]
    #[arg(
        long, help_heading = KERNELS, value_name = "D,M0,M1", num_args = 1.., value_parser = super::generate::parse_dims,
    )]
    shapes: Option<Vec<super::generate::Dims>>,
    /// Seconds for each measurement [default: 1]
    #[arg(long, help_heading = KERNELS, value_parser = seconds)]
    seconds: Option<f64>,
    /// Peak of the card in f32, in 10^12 operations a second: each rate in f32 is then given as a share of it
    #[arg(long, help_heading = KERNELS, value_name = "X", value_parser = peak)]
    peak_tflops: Option<f64>,
    // Last: its heading holds for all that follow.
    #[command(flatten)]
    scale: Scale,
}

fn peak(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(peak) if peak > 0.0 && f64::is_finite(peak) => Ok(peak),
        _ => Err("expected a number above 0".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && seconds <= 600.0 => Ok(seconds),
        _ => Err("expected a number of seconds above 0, at most 600".to_owned()),
    }
}

/// One thing measured on one back end.
#[derive(Serialize)]
struct Measurement {
    /// What was measured.
    what: &'static str,
    /// `cpu` or the adapter's name.
    backend: String,
    /// Arithmetic of the device.
    precision: &'static str,
    /// (d, m0, m1).
    shape: (usize, usize, usize),
    /// What one sample did, in `unit`s.
    work: f64,
    /// The unit.
    unit: &'static str,
    /// Multiply-adds that one sample needs at least, where they can be counted (docs/performance.md has the
    /// formulas).
    multiply_adds: Option<f64>,
    /// Wall-clock seconds of every sample.
    samples: Vec<f64>,
    /// `work` over the median of the samples.
    rate: f64,
    /// Floating-point operations a second on a GPU, by the median of the samples: two a multiply-add.
    operations_per_second: Option<f64>,
    /// Those over the card's peak.
    peak_share: Option<f64>,
    /// Seconds of the last sample's last dispatch by the GPU's clock.
    gpu_seconds: Option<f64>,
}

impl Measurement {
    fn new(
        (what, backend, precision): (&'static str, &str, &'static str),
        shape: (usize, usize, usize),
        (work, unit): (f64, &'static str),
        multiply_adds: Option<f64>,
        mut samples: Vec<f64>,
    ) -> Self {
        let raw = samples.clone();
        samples.sort_by(f64::total_cmp);
        let median = samples[samples.len() / 2];
        Measurement {
            what,
            backend: backend.to_owned(),
            precision,
            shape,
            work,
            unit,
            multiply_adds,
            samples: raw,
            rate: work / median,
            operations_per_second: None,
            peak_share: None,
            gpu_seconds: None,
        }
    }

    /// Adds what can be said of a measurement on `gpu`, whose f32 peak may be known.
    fn on(mut self, gpu: &Gpu, peak_tflops: Option<f64>) -> Result<Self, GpuError> {
        let operations = self.multiply_adds.map(|count| 2.0 * count / self.work * self.rate);
        self.operations_per_second = operations;
        if self.precision == "f32" {
            self.peak_share =
                operations.zip(peak_tflops).map(|(operations, peak)| operations / (peak * 1e12));
        }
        self.gpu_seconds = gpu.seconds()?;
        Ok(self)
    }

    fn line(&self) -> String {
        let (d, m0, m1) = self.shape;
        let counted = self.multiply_adds.map_or(String::new(), |operations| {
            format!("  {:.2e} multiply-adds/s", operations / self.work * self.rate)
        });
        let share = self
            .peak_share
            .map_or(String::new(), |share| format!(", {:.2} % of the peak", 100.0 * share));
        format!(
            "{:<18} {:>10}  {:<28} {}  {:.3e} {}/s{counted}{share}\n",
            self.what,
            format!("{d}-{m0}-{m1}"),
            self.backend.chars().take(28).collect::<String>(),
            self.precision,
            self.rate,
            self.unit,
        )
    }
}

/// Repeats `work` for about `seconds`, once to warm up and at least three times.
fn sample<E>(seconds: f64, mut work: impl FnMut() -> Result<(), E>) -> Result<Vec<f64>, E> {
    work()?;
    let began = Instant::now();
    let mut samples = Vec::new();
    while samples.len() < 3 || (began.elapsed().as_secs_f64() < seconds && samples.len() < 1000) {
        let start = Instant::now();
        work()?;
        samples.push(start.elapsed().as_secs_f64());
    }
    Ok(samples)
}

impl Bench {
    /// For each measurement.
    fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(1.0)
    }

    /// Runs the suite.
    pub fn run(self) -> Outcome {
        match self.suite {
            Suite::Kernels if self.scale.is_given() => {
                return Err("--sizes, --dense-most and --svg are for --suite scale".into());
            }
            Suite::Kernels => self.kernels()?,
            Suite::Scale if self.backend == Backend::Gpu || self.adapter.is_some() => {
                return Err(
                    "--suite scale runs on the CPU: leave --backend gpu and --adapter out".into()
                );
            }
            Suite::Scale
                if self.shapes.is_some()
                    || self.seconds.is_some()
                    || self.peak_tflops.is_some() =>
            {
                return Err("--shapes, --seconds and --peak-tflops are for --suite kernels".into());
            }
            Suite::Scale => self.scale.run(self.json)?,
        }
        Ok(SUCCESS)
    }

    /// Measures everything on every back end asked for.
    fn kernels(&self) -> Result<(), Box<dyn Error>> {
        let names: Vec<String> = match (self.backend, &self.adapter) {
            (Backend::Cpu, _) => Vec::new(),
            (_, Some(name)) => vec![name.clone()],
            (_, None) => adapters().into_iter().map(|adapter| adapter.name).collect(),
        };
        if self.backend == Backend::Gpu && names.is_empty() {
            return Err(GpuError::NoAdapter { wanted: None, present: Vec::new() }.into());
        }
        let gpus: Vec<Gpu> =
            names.iter().map(|name| Gpu::open(Some(name.as_str()))).collect::<Result<_, _>>()?;
        let mut found = Vec::new();
        let shapes = match &self.shapes {
            Some(shapes) => shapes.iter().map(|shape| shape.parts()).collect(),
            None => USUAL_SHAPES.to_vec(),
        };
        for shape in shapes {
            let network = TwoLayer::random(shape, Class::Paper, Activation::Tanh, 1)?;
            if self.backend != Backend::Gpu {
                found.push(self.stencils_on_cpu(&network)?);
                found.extend(self.fused_on_cpu(&network));
                found.extend(self.rank_one(&network)?);
            }
            for gpu in &gpus {
                found.extend(self.values_on_gpu(gpu, &network)?);
                found.extend(self.on_gpu(gpu, &network)?);
            }
        }
        let whole = TwoLayer::random(WHOLE, Class::Paper, Activation::Tanh, 1)?;
        if self.backend != Backend::Gpu {
            found.push(self.identification(NetworkOracle::new(whole.clone()), ("cpu", "f64"))?);
        }
        for gpu in &gpus {
            let name = gpu.record().name.as_str();
            let oracle = GpuOracle::new(whole.clone(), Some(name), Precision::F32)?;
            found.push(self.identification(oracle, (name, "f32"))?);
        }
        let text = if self.json {
            format!("{:#}\n", json!({ "scheme": "polarised", "measurements": found }))
        } else {
            found.iter().map(Measurement::line).collect()
        };
        super::print(&text)?;
        Ok(())
    }

    fn stencils_on_cpu(&self, network: &TwoLayer) -> Result<Measurement, Box<dyn Error>> {
        let (d, m0, m1) = network.dims();
        let queries = SCHEME.queries(d);
        let centres = centres(d, (200_000 / queries as usize).clamp(1, 64));
        let mut oracle = NetworkOracle::new(network.clone());
        let eye = DMatrix::identity(d, d);
        let samples =
            sample(self.seconds(), || oracle.hessians(&centres, &eye, SCHEME, STEP).map(drop))?;
        let work = (queries * centres.ncols() as u64) as f64;
        Ok(Measurement::new(
            ("stencils", "cpu", "f64"),
            (d, m0, m1),
            (work, "points"),
            Some(work * (d * m0 + m0 * m1) as f64),
            samples,
        ))
    }

    /// The same stencils of a network that we see, by what a displacement changes in each unit.
    fn fused_on_cpu(&self, network: &TwoLayer) -> [Measurement; 2] {
        let (d, m0, m1) = network.dims();
        let queries = SCHEME.queries(d);
        // Whole blocks of centres, which stand in the lanes.
        let count = (2_000_000 / queries as usize).clamp(32, 1024).next_multiple_of(32);
        let (centres, eye) = (centres(d, count), DMatrix::identity(d, d));
        let points = (queries * count as u64) as f64;
        let measure = |precision, work: &dyn Fn()| {
            let run = || {
                work();
                Ok::<(), std::convert::Infallible>(())
            };
            let Ok(samples) = sample(self.seconds(), run);
            Measurement::new(
                ("stencils, fused", "cpu", precision),
                (d, m0, m1),
                (points, "points"),
                Some(points * (m0 * m1) as f64),
                samples,
            )
        };
        [
            measure("f32", &|| {
                black_box(hessian_stack_f32(network, &centres, &eye, SCHEME, FUSED_STEP));
            }),
            measure("f64", &|| {
                black_box(hessian_stack_f64(network, &centres, &eye, SCHEME, FUSED_STEP));
            }),
        ]
    }

    /// Single values, in every precision that the adapter has.
    fn values_on_gpu(&self, gpu: &Gpu, network: &TwoLayer) -> Result<Vec<Measurement>, GpuError> {
        let (d, m0, m1) = network.dims();
        let points = centres(d, VALUES);
        let mut found = Vec::new();
        let mut measure = |precision, work: &dyn Fn() -> Result<(), GpuError>| {
            let samples = sample(self.seconds(), work)?;
            let values = Measurement::new(
                ("values", gpu.record().name.as_str(), precision),
                (d, m0, m1),
                (VALUES as f64, "points"),
                Some((VALUES * (d * m0 + m0 * m1)) as f64),
                samples,
            );
            found.push(values.on(gpu, self.peak_tflops)?);
            Ok::<(), GpuError>(())
        };
        for (real, precision) in [(Real::F32, "f32"), (Real::F64, "f64")] {
            if gpu.require(real).is_ok() && forward::check(gpu, network).is_ok() {
                measure(precision, &|| forward::values(gpu, network, &points, real).map(drop))?;
            }
        }
        if double_f32_test(gpu)?.is_ok() && forward_double::check(gpu, network).is_ok() {
            measure("double-f32", &|| forward_double::values(gpu, network, &points).map(drop))?;
        }
        Ok(found)
    }

    /// A stack that stays on the device and what is done with it, in every precision that the adapter has.
    fn on_gpu(&self, gpu: &Gpu, network: &TwoLayer) -> Result<Vec<Measurement>, GpuError> {
        let d = network.dims().0;
        let eye = DMatrix::identity(d, d);
        let mut found = Vec::new();
        for (real, precision) in [(Real::F32, "f32"), (Real::F64, "f64")] {
            if gpu.require(real).is_err() {
                continue;
            }
            let build = |count: usize| {
                Stack::new(gpu, network, &centres(d, count), &eye, SCHEME, STEP, real)
            };
            // As many as take about a third of the time, by a first small stack.
            build(8)?;
            let began = Instant::now();
            build(8)?;
            let each = began.elapsed().as_secs_f64() / 8.0;
            let count = ((self.seconds() / 3.0 / each) as usize).clamp(8, 16_384);
            let samples = sample(self.seconds(), || build(count).map(drop))?;
            let stencils = stencils(gpu, network, precision, count, samples);
            found.push(stencils.on(gpu, self.peak_tflops)?);
            let stack = build(count.clamp(GRAM.0, GRAM.1))?;
            for measurement in self.with_stack(gpu, network, precision, &stack)? {
                found.push(measurement);
            }
        }
        Ok(found)
    }

    /// The Gram matrix of a stack, and one step of the power method for as many directions as the space has
    /// dimensions.
    fn with_stack(
        &self,
        gpu: &Gpu,
        network: &TwoLayer,
        precision: &'static str,
        stack: &Stack,
    ) -> Result<[Measurement; 2], GpuError> {
        let (shape, name) = (network.dims(), gpu.record().name.as_str());
        let entries = stack.entries() as f64;
        let samples = sample(self.seconds(), || stack.gram(gpu).map(drop))?;
        // One triangle.
        let products = (stack.len() * (stack.len() + 1) / 2) as f64;
        let gram = Measurement::new(
            ("gram", name, precision),
            shape,
            (products, "products"),
            Some(products * entries),
            samples,
        )
        .on(gpu, self.peak_tflops)?;
        let rank = shape.1.min(stack.len());
        // Any coefficients cost the same.
        let space =
            Subspace::new(gpu, stack, &DMatrix::identity(stack.len(), rank), gpu.memory() / 2)?;
        let directions = centres(shape.0, rank);
        let samples = sample(self.seconds(), || space.project(gpu, &directions).map(drop))?;
        let ascent = Measurement::new(
            ("ascent", name, precision),
            shape,
            (rank as f64, "steps"),
            Some(2.0 * entries * (rank * rank) as f64),
            samples,
        )
        .on(gpu, self.peak_tflops)?;
        Ok([gram, ascent])
    }

    /// Rank-one search from random starts in the span of the a_i a_i^T and of the entangled A b_l b_l^T A^T.
    fn rank_one(&self, network: &TwoLayer) -> Result<Vec<Measurement>, Box<dyn Error>> {
        let (d, m0, m1) = network.dims();
        let entangled = &network.a * &network.b;
        let mut span = DMatrix::zeros(d * (d + 1) / 2, m0 + m1);
        let vectors = network.a.column_iter().chain(entangled.column_iter());
        for (v, mut out) in vectors.zip(span.column_iter_mut()) {
            svec_outer(v.normalize().as_slice(), out.as_mut_slice());
        }
        let basis = span.qr().q();
        let starts = draws::gaussian(&mut draws::stream(0, "bench", 1), d, 64);
        let measure = |(what, ascent)| {
            let samples = sample(self.seconds(), || {
                black_box(rank_one::search(&basis, &starts, ascent));
                Ok::<(), std::convert::Infallible>(())
            })?;
            let (shape, work) = ((d, m0, m1), (64.0, "starts"));
            Ok(Measurement::new((what, "cpu", "f64"), shape, work, None, samples))
        };
        [("rank-one, spectral", Ascent::Spectral), ("rank-one, power", Ascent::Power)]
            .map(measure)
            .into_iter()
            .collect()
    }

    fn identification(
        &self,
        mut oracle: impl Oracle,
        (backend, precision): (&str, &'static str),
    ) -> Result<Measurement, Box<dyn Error>> {
        let settings = identify::Settings::default();
        let samples = sample(self.seconds(), || {
            identify::identify(&mut oracle, &settings, &mut Silent).map(drop)
        })?;
        Ok(Measurement::new(
            ("identification", backend, precision),
            WHOLE,
            (1.0, "networks"),
            None,
            samples,
        ))
    }
}

/// A stack of `count` Hessians.
fn stencils(
    gpu: &Gpu,
    network: &TwoLayer,
    precision: &'static str,
    count: usize,
    samples: Vec<f64>,
) -> Measurement {
    let d = network.dims().0;
    // A pair of opposite points shares one evaluation.
    let evaluations = (d * (d + 1) / 2 * count) as f64;
    Measurement::new(
        ("stencils", gpu.record().name.as_str(), precision),
        network.dims(),
        ((SCHEME.queries(d) * count as u64) as f64, "points"),
        Some(evaluations * Increments::new(network).operations().0 as f64),
        samples,
    )
}

fn centres(d: usize, count: usize) -> DMatrix<f64> {
    draws::gaussian(&mut draws::stream(0, "bench", 0), d, count) * 4.0
}
