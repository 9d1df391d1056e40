//! What the stencil kernels need to know of a network.
//!
//! For a unit phi at pre-activation z and a displacement s,
//!
//! ```text
//! odd  = (phi(z+s) - phi(z-s)) / 2,    even = (phi(z+s) + phi(z-s)) / 2 - phi(z).
//! ```
//!
//! With t = tanh z, S = sech^2 z, and the addition theorem, for tanh
//!
//! ```text
//! odd = S n m / w,   even = -S t n^2 / w,   tanh s = n / m,   w = m^2 - t^2 n^2 = c + S n^2,
//! ```
//!
//! where c = m^2 sech^2 s, and for s = a + b: n = tanh a + tanh b, m = 1 + tanh a tanh b, c = sech^2 a
//! sech^2 b. All terms of w are positive, so nothing cancels but n and m themselves: their relative
//! error grows like cosh^2 of the displacement, which is why [`REACH`] bounds it. t, S and the table
//! of (tanh a, sech^2 a) are computed here, in f64, once a centre and once a direction: saturated
//! units keep their relative accuracy in f32, however far out the centre lies.
//!
//! Through the second layer, odd and even parts of u are the sums of B times those of the units, and
//!
//! ```text
//! h(u + even +- odd) - h(u) = (h(u + even) - h(u)) + (even and odd part of h about u + even)
//! ```
//!
//! by the same formulas. The second difference of f is twice the even part of its change, the first
//! difference twice the odd part, the one-sided difference their sum.
//!
//! sigmoid(z) = 1/2 + tanh(z/2) / 2 is tanh with halved inputs and outputs. erf has no addition
//! theorem; its parts are integrals of exp(-(z+-r)^2), by Gauss-Legendre rules exact to rounding.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::{Gpu, GpuError, Real};
use crate::network::{Activation, TwoLayer};

/// Largest displacement of a pre-activation, in natural units (the argument of tanh or erf), that the
/// closed forms are used for. A stencil wider than a unit's whole active range is no derivative.
pub const REACH: f64 = 2.0;
/// Second-layer units in one block, in fours.
const MOST_L4: usize = 4;
/// Directions come in multiples of this, so that every tile of pairs is whole: the side of the largest one.
/// Larger ones gain nothing: a tile of 2 x 2 computes four times as long as it loads.
pub const PADDING: usize = 2;
/// 32-bit words that the sums of a tile of pairs may take. Half the registers that an invocation has on
/// NVIDIA (255) and AMD (256): the other half holds weights, units and what the formulas need.
const TILE_WORDS: usize = 128;
/// Entries of the erf units far out, where exp(-z^2) is zero in any precision.
const FARTHEST: f64 = 30.0;

/// A network in the form above.
#[derive(Clone, Debug)]
pub struct Increments {
    network: TwoLayer,
    /// B and c with the scales of sigmoid in them.
    b: DMatrix<f64>,
    c: DVector<f64>,
    /// Scales of the arguments: 1/2 for sigmoid.
    bottom_scale: f64,
    top_scale: f64,
}

/// The uniform block of the stencil kernels.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[allow(missing_docs)] // as in shaders/shared/response.wgsl
pub struct Params {
    pub directions: u32,
    pub units: u32,
    pub blocks: u32,
    pub entries: u32,
    pub levels: u32,
    pub one_sided: u32,
    pub minus: u32,
    pub far: u32,
    pub first_centre: u32,
    pub first_entry: u32,
    pub first_tile: u32,
    pub tiles: u32,
}

fn scale(activation: Activation) -> f64 {
    match activation {
        Activation::Sigmoid => 0.5,
        _ => 1.0,
    }
}

/// A unit at argument z: (tanh z, sech^2 z), or (z, 0) for erf.
fn unit(activation: Activation, z: f64) -> [f64; 2] {
    match activation {
        Activation::Erf => [z.clamp(-FARTHEST, FARTHEST), 0.0],
        _ => [Activation::Tanh.value(z), Activation::Tanh.slope(z)],
    }
}

impl Increments {
    /// Prepares a network.
    pub fn new(network: &TwoLayer) -> Self {
        let (bottom_scale, top_scale) = (scale(network.g), scale(network.h));
        Increments {
            b: &network.b * (bottom_scale * top_scale),
            c: &network.c * top_scale,
            network: network.clone(),
            bottom_scale,
            top_scale,
        }
    }

    /// Second-layer units a block, in fours.
    pub fn fours(&self) -> usize {
        self.b.ncols().div_ceil(4).min(MOST_L4)
    }

    /// Blocks of second-layer units.
    pub fn blocks(&self) -> usize {
        self.b.ncols().div_ceil(4 * self.fours())
    }

    /// Rows and columns of the tile of pairs that one invocation computes: the largest whose sums, an odd
    /// and an even one for every second-layer unit of a block, fit [`TILE_WORDS`]: 2 x 2, or 2 x 1 in
    /// f64 with more than 8 second-layer units.
    pub fn tile(&self, real: Real) -> (usize, usize) {
        let pair = 2 * 4 * self.fours() * real.bytes() / 4;
        if PADDING * PADDING * pair <= TILE_WORDS { (PADDING, PADDING) } else { (PADDING, 1) }
    }

    /// Constants of the kernels for this network.
    pub fn constants(&self, real: Real) -> [(&'static str, u32); 6] {
        let is_erf = |activation| u32::from(activation == Activation::Erf);
        let (rows, columns) = self.tile(real);
        [
            ("L4", self.fours() as u32),
            ("BOTTOM_ERF", is_erf(self.network.g)),
            ("TOP_ERF", is_erf(self.network.h)),
            ("PADDING", PADDING as u32),
            ("TILE_ROWS", rows as u32),
            ("TILE_COLUMNS", columns as u32),
        ]
    }

    /// Loop iterations of one evaluation of a tile of displacements.
    pub fn iterations(&self, real: Real) -> usize {
        let (_, m0, _) = self.network.dims();
        let (rows, columns) = self.tile(real);
        let inner = if self.network.g == Activation::Erf { 13 * rows * columns } else { 0 };
        let outer = if self.network.h == Activation::Erf { 96 * rows * columns } else { 0 };
        self.blocks() * (m0 * (2 + inner) + self.fours() * (1 + outer))
    }

    /// Refuses a network of which one invocation would loop too long `times` over.
    pub fn check(
        &self,
        gpu: &Gpu,
        times: usize,
        directions: usize,
        real: Real,
    ) -> Result<(), GpuError> {
        if self.iterations(real) * times > gpu.most_iterations() || directions > 0xffff {
            let (d, m0, m1) = self.network.dims();
            return Err(GpuError::TooLarge(format!(
                "the stencil kernels cannot hold a {d}-{m0}-{m1} network"
            )));
        }
        Ok(())
    }

    /// How far, at most, steps of 2h along pairs of these directions move a unit of either layer, over
    /// [`REACH`]: above 1 the closed forms lose accuracy.
    pub fn reach(&self, directions: &DMatrix<f64>, far: f64) -> f64 {
        let moves = directions.transpose() * &self.network.a * (2.0 * far * self.bottom_scale);
        let bottom = moves.amax();
        // Only erf needs a bound in the second layer: tanh's odd part has no cancellation at all.
        let top = if self.network.h == Activation::Erf {
            let most = DVector::from_fn(moves.ncols(), |i, _| moves.column(i).amax().min(2.0));
            (self.b.abs().transpose() * most).amax()
        } else {
            0.0
        };
        bottom.max(top) / REACH
    }

    /// B by block, unit and four, then c by block and four, padded with zeros.
    pub fn network(&self, real: Real) -> Vec<u8> {
        let (m0, m1) = self.b.shape();
        let lanes = 4 * self.fours();
        let padded = |value: &dyn Fn(usize) -> f64, l: usize| if l < m1 { value(l) } else { 0.0 };
        let weights = (0..self.blocks()).flat_map(|block| {
            (0..m0).flat_map(move |i| {
                (0..lanes).map(move |l| padded(&|l| self.b[(i, l)], block * lanes + l))
            })
        });
        let outputs = (0..self.blocks() * lanes).map(|l| padded(&|l| self.c[l], l));
        real.encode(weights.chain(outputs))
    }

    /// The units of both layers at the columns of `centres`.
    pub fn centres(&self, centres: &DMatrix<f64>, real: Real) -> (Vec<u8>, Vec<u8>) {
        let (_, m0, m1) = self.network.dims();
        let n = centres.ncols();
        let lanes = 4 * self.fours();
        let blocks = self.blocks();
        let mut z = self.network.a.transpose() * centres;
        z.column_iter_mut().for_each(|mut z| z -= &self.network.theta);
        let y = z.map(|z| self.network.g.value(z));
        let mut u = self.network.b.transpose() * y;
        u.column_iter_mut().for_each(|mut u| u -= &self.network.tau);
        let columns: Vec<(Vec<u8>, Vec<u8>)> = (0..n)
            .into_par_iter()
            .map(|k| {
                let bottoms =
                    (0..m0).flat_map(|i| unit(self.network.g, self.bottom_scale * z[(i, k)]));
                // Padded units have weight c = 0; S = 1 keeps their quotients finite.
                let top = |l: usize| match l < m1 {
                    true => unit(self.network.h, self.top_scale * u[(l, k)]),
                    false => [0.0, 1.0],
                };
                let top = &top;
                let tops = (0..blocks).flat_map(move |block| {
                    (0..2)
                        .flat_map(move |half| (0..lanes).map(move |l| top(block * lanes + l)[half]))
                });
                (real.encode(bottoms), real.encode(tops))
            })
            .collect();
        let (mut bottoms, mut tops) = (Vec::new(), Vec::new());
        for (bottom, top) in columns {
            bottoms.extend(bottom);
            tops.extend(top);
        }
        (bottoms, tops)
    }

    /// Bytes of [`centres`](Self::centres) for one centre.
    pub fn centre_bytes(&self, real: Real) -> (usize, usize) {
        let (_, m0, _) = self.network.dims();
        (2 * m0 * real.bytes(), 8 * self.blocks() * self.fours() * real.bytes())
    }

    /// What steps of `levels` along the directions do to the units: by level, unit and direction, padded
    /// to [`PADDING`] by directions that do nothing.
    pub fn moves(&self, directions: &DMatrix<f64>, levels: &[f64], real: Real) -> Vec<u8> {
        let padded = directions.ncols().next_multiple_of(PADDING);
        let directions = directions.clone().resize_horizontally(padded, 0.0);
        let projections = directions.transpose() * &self.network.a;
        let entries = levels.iter().flat_map(|h| {
            projections.iter().flat_map(move |p| unit(self.network.g, p * h * self.bottom_scale))
        });
        real.encode(entries)
    }

    /// Multiply-adds and divisions of one evaluation of a displacement: (2 m0 m1 + 7 m0 + 60 m1,
    /// m0 + 4 m1) for tanh and sigmoid. It serves both signs of the displacement.
    pub fn operations(&self) -> (u64, u64) {
        let (_, m0, m1) = self.network.dims();
        let (m0, m1) = (m0 as u64, m1 as u64);
        (2 * m0 * m1 + 7 * m0 + 60 * m1, m0 + 4 * m1)
    }
}
