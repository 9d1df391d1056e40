//! Hessian stacks: `shaders/hessian_stack.wgsl`.
//!
//! With D(s) = f(x+s) + f(x-s) - 2 f(x), or f(x+s) - f(x) for the forward scheme, every scheme is
//!
//! ```text
//! H_ij sqrt2 = r0 (D(h(v_i + v_j)) - r1 (D(h v_i) + D(h v_j)))  [- r0 D(h(v_i - v_j))]
//!            [+ r2 (D(2h(v_i + v_j)) - (D(2h v_i) + D(2h v_j)))]
//! H_ii       = r3 D(h v_i) [+ r4 D(2h v_i)]
//! ```

use std::sync::Arc;
use std::time::Instant;

use nalgebra::DMatrix;

use super::device::{Access, DISPATCH, Gpu, GpuError, Kernel, WORKGROUP};
use super::increments::{Increments, Params};
use super::shader::Source;
use super::{Real, gram, normalise};
use crate::network::Network;
use crate::stencil::{self, HessianScheme};

/// Multiply-adds in the first dispatch, before there is a measurement.
const FIRST_OPERATIONS: f64 = 5e7;
/// Centres a dispatch: below the limit of workgroups in one dimension.
const MOST_CENTRES: usize = 32_768;
/// Bytes of results in flight.
const MOST_BYTES: u64 = 64 << 20;

/// Bindings of both entry points.
pub const BINDINGS: [Access; 9] = [
    Access::Uniform,
    Access::Read,
    Access::Read,
    Access::Read,
    Access::Read,
    Access::Read,
    Access::Read,
    Access::Write,
    Access::Write,
];

/// The kernel's source for a network.
pub fn source(increments: &Increments, real: Real) -> Source {
    let text = include_str!("../../shaders/hessian_stack.wgsl");
    Source::new("hessian_stack", text, real, &increments.constants())
}

/// Centres that one dispatch may have, `outputs` numbers for each.
pub(super) fn most_centres(
    gpu: &Gpu,
    increments: &Increments,
    outputs: usize,
    real: Real,
) -> usize {
    let (bottoms, tops) = increments.centre_bytes(real);
    let largest = bottoms.max(tops).max(outputs * real.bytes()) as u64;
    let fit = gpu.largest_buffer().min(MOST_BYTES) / largest;
    (fit as usize).clamp(1, MOST_CENTRES)
}

/// A scheme as the kernel takes it.
struct Rule {
    levels: Vec<f64>,
    one_sided: bool,
    minus: bool,
    far: bool,
    weights: [f64; 5],
}

impl Rule {
    fn new(scheme: HessianScheme, h: f64) -> Rule {
        let w = 1.0 / (h * h);
        let root = std::f64::consts::SQRT_2;
        let plain = Rule {
            levels: vec![h],
            one_sided: false,
            minus: false,
            far: false,
            weights: [root * 0.5 * w, 1.0, 0.0, w, 0.0],
        };
        match scheme {
            HessianScheme::Polarised => plain,
            HessianScheme::Forward => Rule {
                levels: vec![h, 2.0 * h],
                one_sided: true,
                weights: [root * w, 1.0, 0.0, -2.0 * w, w],
                ..plain
            },
            HessianScheme::Central => Rule {
                levels: vec![h, 2.0 * h],
                minus: true,
                weights: [root * 0.25 * w, 0.0, 0.0, 0.0, 0.25 * w],
                ..plain
            },
            HessianScheme::Richardson => Rule {
                levels: vec![h, 2.0 * h],
                far: true,
                weights: [root * 2.0 / 3.0 * w, 1.0, -root / 24.0 * w, 4.0 / 3.0 * w, -w / 12.0],
                ..plain
            },
        }
    }

    /// Displacements evaluated for one pair.
    fn displacements(&self) -> usize {
        1 + usize::from(self.minus) + usize::from(self.far)
    }
}

/// Everything about a stack but its centres, on the device.
struct Job<'a> {
    gpu: &'a Gpu,
    increments: Increments,
    real: Real,
    axes: Arc<Kernel>,
    pairs: Arc<Kernel>,
    fixed: Fixed,
    centre_buffers: [wgpu::Buffer; 4],
    chunk: usize,
    first_chunk: usize,
    axis_count: usize,
    entries: usize,
}

/// Buffers that do not change from chunk to chunk.
struct Fixed {
    params: wgpu::Buffer,
    weights: wgpu::Buffer,
    moves: wgpu::Buffer,
    rule: wgpu::Buffer,
    pair_table: wgpu::Buffer,
}

impl<'a> Job<'a> {
    fn new(
        gpu: &'a Gpu,
        network: &Network,
        count: usize,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
        real: Real,
    ) -> Result<Self, GpuError> {
        gpu.require(real)?;
        let k = directions.ncols();
        let entries = k * (k + 1) / 2;
        let rule = Rule::new(scheme, h);
        let increments = Increments::new(network);
        increments.check(rule.displacements(), k)?;
        let source = source(&increments, real);
        let axes = gpu.kernel(&source, "axes", &BINDINGS)?;
        let pairs = gpu.kernel(&source, "pairs", &BINDINGS)?;
        let pair_table: Vec<u8> = (0..k as u32)
            .flat_map(|j| (0..=j).map(move |i| i | j << 16))
            .flat_map(u32::to_le_bytes)
            .collect();
        let fixed = Fixed {
            params: gpu.uniform(&Params {
                directions: k as u32,
                units: network.a.ncols() as u32,
                blocks: increments.blocks() as u32,
                entries: entries as u32,
                levels: rule.levels.len() as u32,
                one_sided: u32::from(rule.one_sided),
                minus: u32::from(rule.minus),
                far: u32::from(rule.far),
            }),
            weights: gpu.upload(&increments.network(real))?,
            moves: gpu.upload(&increments.moves(directions, &rule.levels, real))?,
            rule: gpu.upload(&real.encode(rule.weights))?,
            pair_table: gpu.upload(&pair_table)?,
        };
        let chunk = most_centres(gpu, &increments, entries.max(k * rule.levels.len()), real);
        // New buffers are cleared before use, so none should be larger than needed.
        let chunk = chunk.min(count);
        let operations = increments.operations().0 as f64 * (entries * rule.displacements()) as f64;
        let first_chunk = ((FIRST_OPERATIONS / operations) as usize).clamp(1, chunk);
        let (bottoms, tops) = increments.centre_bytes(real);
        let axis_count = k * rule.levels.len();
        let centre_buffers = [
            gpu.buffer(bottoms * chunk)?,
            gpu.buffer(tops * chunk)?,
            gpu.buffer(axis_count * chunk * real.bytes())?,
            gpu.buffer(entries * chunk * real.bytes())?,
        ];
        Ok(Job {
            gpu,
            increments,
            real,
            axes,
            pairs,
            fixed,
            centre_buffers,
            chunk,
            first_chunk,
            axis_count,
            entries,
        })
    }

    /// The buffer that the results of a chunk are in.
    fn out(&self) -> &wgpu::Buffer {
        &self.centre_buffers[3]
    }

    /// Submits the Hessians at at most `chunk` centres.
    fn submit(&self, centres: &DMatrix<f64>) {
        let (bottoms, tops) = self.increments.centres(centres, self.real);
        self.gpu.write(&self.centre_buffers[0], &bottoms);
        self.gpu.write(&self.centre_buffers[1], &tops);
        let [bottoms, tops, axis_table, out] = &self.centre_buffers;
        let Fixed { params, weights, moves, rule, pair_table } = &self.fixed;
        let buffers = [params, weights, bottoms, tops, moves, rule, pair_table, axis_table, out];
        let n = centres.ncols() as u32;
        self.gpu.dispatch_all(&[
            (&self.axes, &buffers, ((self.axis_count as u32).div_ceil(WORKGROUP), n)),
            (&self.pairs, &buffers, ((self.entries as u32).div_ceil(WORKGROUP), n)),
        ]);
    }
}

/// svec's of the Hessians along the columns of `directions` at the columns of `centres`, brought back
/// to the host: k(k+1)/2 x n. The host prepares a chunk while the device computes the one before.
pub fn hessians(
    gpu: &Gpu,
    network: &Network,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    scheme: HessianScheme,
    h: f64,
    real: Real,
) -> Result<DMatrix<f64>, GpuError> {
    let (k, n) = (directions.ncols(), centres.ncols());
    let entries = k * (k + 1) / 2;
    if k == 0 || n == 0 {
        return Ok(DMatrix::zeros(entries, n));
    }
    let job = Job::new(gpu, network, n, directions, scheme, h, real)?;
    let mut values = Vec::with_capacity(entries * n);
    let mut pace = Pace::new(&job);
    let mut pending = None;
    let mut first = 0;
    while first < n || pending.is_some() {
        let mut next = None;
        if first < n {
            let count = pace.chunk.min(n - first);
            job.submit(&centres.columns(first, count).into_owned());
            let download = gpu.download(job.out(), entries * count * real.bytes())?;
            next = Some((download, count, Instant::now()));
            first += count;
        }
        if let Some((download, count, submitted)) = std::mem::replace(&mut pending, next) {
            gpu.finish(download, |bytes| {
                real.decode(&bytes[..entries * count * real.bytes()], &mut values);
            })?;
            pace.finished(count, submitted);
        }
    }
    Ok(DMatrix::from_vec(entries, n, values))
}

/// Chunk sizes from measured times.
struct Pace {
    chunk: usize,
    most: usize,
    last: Option<Instant>,
}

impl Pace {
    fn new(job: &Job<'_>) -> Self {
        Pace { chunk: job.first_chunk, most: job.chunk, last: None }
    }

    /// `count` centres, submitted then, are done now.
    fn finished(&mut self, count: usize, submitted: Instant) {
        let now = Instant::now();
        // The device began when the chunk was submitted or when it had done the one before.
        let began = self.last.map_or(submitted, |last| last.max(submitted));
        let seconds = now.duration_since(began).as_secs_f64().max(1e-6);
        let wanted = count as f64 * DISPATCH.as_secs_f64() / seconds;
        self.chunk = (wanted as usize).clamp(1, (2 * self.chunk).min(self.most));
        self.last = Some(now);
    }
}

/// Hessians that stay on the device: their Gram matrix may be asked for without the stack ever
/// passing through the host's memory.
#[derive(Debug)]
pub struct Stack {
    real: Real,
    entries: usize,
    /// Buffers with the number of columns in each.
    blocks: Vec<(wgpu::Buffer, usize)>,
}

impl Stack {
    /// Computes the Hessians of [`hessians`] and keeps them, refused beyond `budget` bytes.
    #[allow(clippy::too_many_arguments)] // as `hessians`, and the budget
    pub fn new(
        gpu: &Gpu,
        network: &Network,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
        real: Real,
        budget: u64,
    ) -> Result<Stack, GpuError> {
        let (k, n) = (directions.ncols(), centres.ncols());
        let entries = k * (k + 1) / 2;
        let column = entries * real.bytes();
        let bytes = (column * n) as u64;
        if bytes > budget {
            return Err(GpuError::TooLarge(format!(
                "a stack of {bytes} bytes where {budget} are allowed"
            )));
        }
        let mut stack = Stack { real, entries, blocks: Vec::new() };
        if k == 0 || n == 0 {
            return Ok(stack);
        }
        let job = Job::new(gpu, network, n, directions, scheme, h, real)?;
        let per_block = (gpu.largest_buffer() / column as u64).clamp(1, MOST_CENTRES as u64);
        let mut pace = Pace::new(&job);
        for begin in (0..n).step_by(per_block as usize) {
            let columns = (per_block as usize).min(n - begin);
            let block = gpu.buffer(columns * column)?;
            let mut done = 0;
            while done < columns {
                let count = pace.chunk.min(columns - done);
                let submitted = Instant::now();
                job.submit(&centres.columns(begin + done, count).into_owned());
                gpu.copy(job.out(), &block, done * column, count * column);
                gpu.settle()?;
                pace.finished(count, submitted);
                done += count;
            }
            stack.blocks.push((block, columns));
        }
        Ok(stack)
    }

    /// A matrix of the host's as a stack.
    pub fn from_host(gpu: &Gpu, columns: &DMatrix<f64>, real: Real) -> Result<Stack, GpuError> {
        gpu.require(real)?;
        let mut stack = Stack { real, entries: columns.nrows(), blocks: Vec::new() };
        if !columns.is_empty() {
            let buffer = gpu.upload(&real.encode(columns.iter().copied()))?;
            stack.blocks.push((buffer, columns.ncols()));
        }
        Ok(stack)
    }

    /// Number of Hessians.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(|(_, columns)| columns).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Scales every Hessian to unit Frobenius norm, those with a norm of at most `floors[n]` to zero;
    /// returns the norms that they had.
    ///
    /// # Panics
    /// If there is not one floor for every Hessian.
    pub fn normalise(&mut self, gpu: &Gpu, floors: &[f64]) -> Result<Vec<f64>, GpuError> {
        assert_eq!(floors.len(), self.len(), "one floor a Hessian");
        let mut norms = Vec::with_capacity(floors.len());
        let mut rest = floors;
        for (buffer, columns) in &self.blocks {
            let (floors, after) = rest.split_at(*columns);
            rest = after;
            norms.extend(normalise::normalise(gpu, buffer, self.entries, floors, self.real)?);
        }
        Ok(norms)
    }

    /// The Gram matrix, n x n.
    pub fn gram(&self, gpu: &Gpu) -> Result<DMatrix<f64>, GpuError> {
        let mut out = DMatrix::zeros(self.len(), self.len());
        let mut row = 0;
        for (l, (left, rows)) in self.blocks.iter().enumerate() {
            let mut column = row;
            for (right, columns) in &self.blocks[l..] {
                let part =
                    gram::gram(gpu, (left, *rows), (right, *columns), self.entries, self.real)?;
                out.view_mut((row, column), (*rows, *columns)).copy_from(&part);
                out.view_mut((column, row), (*columns, *rows)).copy_from(&part.transpose());
                column += columns;
            }
            row += rows;
        }
        Ok(out)
    }

    /// Brings the stack to the host: k(k+1)/2 x n.
    pub fn download(&self, gpu: &Gpu) -> Result<DMatrix<f64>, GpuError> {
        let mut values = Vec::with_capacity(self.entries * self.len());
        for (buffer, columns) in &self.blocks {
            values.extend(gpu.read(buffer, self.real, self.entries * columns)?);
        }
        Ok(DMatrix::from_vec(self.entries, self.len(), values))
    }
}

/// The twin: the stencil from values of f in f64.
pub fn twin(
    network: &Network,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    scheme: HessianScheme,
    h: f64,
) -> DMatrix<f64> {
    let mut values = |x: &DMatrix<f64>| Ok(network.values(x));
    match stencil::hessians(&mut values, centres, directions, scheme, h) {
        Ok(hessians) => hessians,
        Err(_) => unreachable!("a network always answers"),
    }
}
