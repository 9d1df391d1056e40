//! Hessian stacks: `shaders/hessian_stack.wgsl`.
//!
//! With D(s) = f(x+s) + f(x-s) - 2 f(x), or f(x+s) - f(x) for the forward scheme, every scheme is
//!
//! ```text
//! H_ij sqrt2 = r0 (D(h(v_i + v_j)) - r1 (D(h v_i) + D(h v_j)))  [- r0 D(h(v_i - v_j))]
//!            [+ r2 (D(2h(v_i + v_j)) - (D(2h v_i) + D(2h v_j)))]
//! H_ii       = r3 D(h v_i) [+ r4 D(2h v_i)]
//! ```

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

use nalgebra::DMatrix;

use super::Real;
use super::device::{Access, Gpu, GpuError, Kernel};
use super::increments::Increments;
use super::pace::{Pace, first_piece, pipelined};
use super::shader::Source;
use super::stencil::{self, Scheme, Share, Stencil, Units};
use crate::network::TwoLayer;
use crate::stencil::{self as differences, HessianScheme};

/// Bindings of both entry points.
pub const BINDINGS: [Access; 9] = stencil::bindings(&[Access::Read, Access::Write, Access::Write]);

/// The kernel's source for a network.
pub fn source(increments: &Increments, real: Real) -> Source {
    let text = include_str!("../../shaders/hessian_stack.wgsl");
    Source::new("hessian_stack", text, real, &increments.constants(real))
}

fn scheme(scheme: HessianScheme, h: f64) -> Scheme {
    let w = 1.0 / (h * h);
    let root = std::f64::consts::SQRT_2;
    let plain = Scheme {
        levels: vec![h],
        one_sided: false,
        minus: false,
        far: false,
        displacements: 1,
        weights: vec![root * 0.5 * w, 1.0, 0.0, w, 0.0],
    };
    match scheme {
        HessianScheme::Polarised => plain,
        HessianScheme::Forward => Scheme {
            levels: vec![h, 2.0 * h],
            one_sided: true,
            weights: vec![root * w, 1.0, 0.0, -2.0 * w, w],
            ..plain
        },
        HessianScheme::Central => Scheme {
            levels: vec![h, 2.0 * h],
            minus: true,
            displacements: 2,
            weights: vec![root * 0.25 * w, 0.0, 0.0, 0.0, 0.25 * w],
            ..plain
        },
        HessianScheme::Richardson => Scheme {
            levels: vec![h, 2.0 * h],
            far: true,
            displacements: 2,
            weights: vec![root * 2.0 / 3.0 * w, 1.0, -root / 24.0 * w, 4.0 / 3.0 * w, -w / 12.0],
            ..plain
        },
    }
}

/// Entries of the upper triangle of n columns.
fn triangle(n: usize) -> usize {
    n * (n + 1) / 2
}

/// Everything about a stack but its centres, on the device.
#[derive(Debug)]
pub(super) struct Job {
    /// What it has in common with gradients.
    pub stencil: Stencil,
    /// D, the entries of one svec.
    pub entries: usize,
    directions: usize,
    axes: Arc<Kernel>,
    pairs: Arc<Kernel>,
    /// Columns of a tile.
    width: usize,
    /// Tiles before each column of tiles, and all of them.
    tiles: Vec<usize>,
    tile_table: wgpu::Buffer,
}

/// Centres as the kernels take them: their units, and the differences along the directions alone.
#[derive(Debug)]
pub(super) struct Centres {
    units: Units,
    axis_table: wgpu::Buffer,
    /// Stands for the stack where nothing is written to it.
    unused: wgpu::Buffer,
}

impl Job {
    pub fn new(
        gpu: &Gpu,
        network: &TwoLayer,
        directions: &DMatrix<f64>,
        by: HessianScheme,
        h: f64,
        real: Real,
    ) -> Result<Self, GpuError> {
        let k = directions.ncols();
        let stencil = Stencil::new(gpu, network, directions, &scheme(by, h), real)?;
        let source = source(stencil.increments(), real);
        let (rows, width) = stencil.increments().tile(real);
        let (mut tiles, mut tile_table) = (vec![0], Vec::new());
        for j in (0..k).step_by(width) {
            // Down to the last row that meets the diagonal.
            let last = (j + width).min(k);
            tile_table.extend((0..last).step_by(rows).map(|i| (i | j << 16) as u32));
            tiles.push(tile_table.len());
        }
        Ok(Job {
            entries: triangle(k),
            axes: gpu.kernel(&source, "axes", &BINDINGS)?,
            pairs: gpu.kernel(&source, "pairs", &BINDINGS)?,
            tile_table: gpu.upload(bytemuck::cast_slice(&tile_table))?,
            directions: k,
            width,
            tiles,
            stencil,
        })
    }

    /// Room for `count` centres.
    pub fn room(&self, gpu: &Gpu, count: usize) -> Result<Centres, GpuError> {
        let bytes = self.stencil.axes() * count * self.stencil.real().bytes();
        Ok(Centres {
            units: self.stencil.room(gpu, count)?,
            axis_table: gpu.buffer(bytes)?,
            unused: gpu.buffer(0)?,
        })
    }

    /// Prepares the columns of `centres` at the places from `first` on.
    pub fn fill(
        &self,
        gpu: &Gpu,
        room: &Centres,
        first: usize,
        centres: &DMatrix<f64>,
    ) -> wgpu::SubmissionIndex {
        self.stencil.fill(gpu, &room.units, first, centres);
        let own = [&self.tile_table, &room.axis_table, &room.unused];
        let places = first..first + centres.ncols();
        self.stencil.dispatch(
            gpu,
            &self.axes,
            &room.units,
            places,
            Share::each(self.stencil.axes()),
            &own,
        )
    }

    /// Columns of tiles: the units in which a Hessian is cut.
    pub fn bands(&self) -> usize {
        self.tiles.len() - 1
    }

    /// The svec entries of some columns of tiles.
    pub fn rows(&self, bands: &Range<usize>) -> Range<usize> {
        let before = |band: usize| triangle((self.width * band).min(self.directions));
        before(bands.start)..before(bands.end)
    }

    /// Sets the device to write the svec entries of `bands` at each of `places` in `centres` to `out`,
    /// one centre's after the other's; those of the first of `centres` begin at 0.
    pub fn submit(
        &self,
        gpu: &Gpu,
        centres: &Centres,
        places: Range<usize>,
        bands: Range<usize>,
        out: &wgpu::Buffer,
    ) -> wgpu::SubmissionIndex {
        let own = [&self.tile_table, &centres.axis_table, out];
        let tiles = self.tiles[bands.start]..self.tiles[bands.end];
        let share = Share { outputs: self.rows(&bands), tiles };
        self.stencil.dispatch(gpu, &self.pairs, &centres.units, places, share, &own)
    }

    /// Multiply-adds of `entries` entries at one centre.
    pub fn operations(&self, entries: usize) -> f64 {
        self.stencil.operations() * entries as f64
    }
}

/// svec's of the Hessians along the columns of `directions` at the columns of `centres`, brought back
/// to the host: k(k+1)/2 x n.
pub fn hessians(
    gpu: &Gpu,
    network: &TwoLayer,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    by: HessianScheme,
    h: f64,
    real: Real,
) -> Result<DMatrix<f64>, GpuError> {
    let (k, n) = (directions.ncols(), centres.ncols());
    gpu.require(real)?;
    if k == 0 || n == 0 {
        return Ok(DMatrix::zeros(k * (k + 1) / 2, n));
    }
    download(gpu, &Job::new(gpu, network, directions, by, h, real)?, centres)
}

/// The Hessians of a job on the host, D x n.
pub(super) fn download(
    gpu: &Gpu,
    job: &Job,
    centres: &DMatrix<f64>,
) -> Result<DMatrix<f64>, GpuError> {
    let (n, entries, real) = (centres.ncols(), job.entries, job.stencil.real());
    // New buffers are cleared before use, so none should be larger than needed.
    let most = job.stencil.most_centres(gpu, entries.max(job.stencil.axes())).min(n);
    let room = job.room(gpu, most)?;
    let out = gpu.buffer(entries * most * real.bytes())?;
    let mut values = Vec::with_capacity(entries * n);
    pipelined(
        Pace::new(first_piece(job.operations(entries)), most),
        n,
        |piece| {
            let count = piece.len();
            job.fill(gpu, &room, 0, &centres.columns_range(piece).into_owned());
            job.submit(gpu, &room, 0..count, 0..job.bands(), &out);
            gpu.download(&out, entries * count * real.bytes())
        },
        |_, download| gpu.finish(download, |bytes| real.decode(bytes, &mut values)),
    )?;
    Ok(DMatrix::from_vec(entries, n, values))
}

/// The twin: the stencil from values of f in f64.
pub fn twin(
    network: &TwoLayer,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    scheme: HessianScheme,
    h: f64,
) -> DMatrix<f64> {
    let mut values = |x: &DMatrix<f64>| Ok::<_, Infallible>(network.values(x));
    let Ok(hessians) = differences::hessians(&mut values, centres, directions, scheme, h);
    hessians
}
