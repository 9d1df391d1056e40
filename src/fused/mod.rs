//! The Hessian stack of a network that we evaluate ourselves: the stencils of
//! [`stencil`](crate::stencil), node by node, at O(m0 m1) a node instead of O(d m0 + m0 m1).
//!
//! With z = A^T x - theta taken once a centre and A^T v_i once a stack, a node's pre-activation is
//! z + h (p A^T v_j + q A^T v_i). Each base point x + h p v_j is visited once, and from there a node
//! is a move along v_i; tanh and sigmoid take that move by the addition theorem (`unit.rs`), so a
//! node costs m0 rational operations, m0 m1 multiply-adds and m1 exponentials, or short polynomials
//! where no step is long. All are exact rewritings of the stencil's own queries, and count as such.
//!
//! Lanes are centres: all lanes do the same whatever the number of directions, nothing is wasted
//! on the triangle i < j, and moves and weights are broadcast. A stack of fewer centres than lanes
//! (16 in f32, 8 in f64 with AVX-512) leaves the others idle.

mod erf;
mod kernel;
mod pattern;
mod unit;
mod vector;

use std::f64::consts::FRAC_2_SQRT_PI;
use std::marker::PhantomData;
use std::ops::Range;

use nalgebra::{DMatrix, DVector};
use pulp::Simd;
use rayon::prelude::*;

use crate::network::{Activation, TwoLayer};
use crate::stencil::HessianScheme;
use kernel::Kernel;
use pattern::Pattern;
use unit::{Erf, GENTLE, GentleTanh, Inner, Outer, Tanh};
use vector::{Real, Vector};

/// The network and the stencil as all tasks share them.
struct Model<T> {
    m0: usize,
    m1: usize,
    k: usize,
    scheme: HessianScheme,
    h: f64,
    g: Activation,
    output: Activation,
    /// No input of the second layer moves by more than [`GENTLE`].
    gentle: bool,
    /// First-layer inputs at the centres, m0 x n.
    z: DMatrix<f64>,
    /// Second-layer inputs at the centres, m1 x n.
    u: DMatrix<f64>,
    /// Tabulated moves h m A^T v_i: row (multiple k + direction) of m0 numbers.
    moves: Vec<T>,
    /// B in rows of m1.
    b: Vec<T>,
    c: Vec<T>,
}

impl<T: Real> Model<T> {
    fn new(
        network: &TwoLayer,
        centres: &DMatrix<f64>,
        directions: &DMatrix<f64>,
        scheme: HessianScheme,
        h: f64,
    ) -> Self {
        // Sigmoid layers become tanh layers.
        let network = network.centred();
        let (_, m0, m1) = network.dims();
        let transposed = network.a.transpose();
        let mut z = &transposed * centres;
        z.column_iter_mut().for_each(|mut z| z -= &network.theta);
        let mut y = z.clone();
        network.g.values(y.as_mut_slice());
        let mut u = network.b.transpose() * y;
        u.column_iter_mut().for_each(|mut u| u -= &network.tau);
        let steps = transposed * directions;
        let mut moves = Vec::with_capacity(4 * steps.len());
        for m in Pattern::of(scheme).multiples {
            moves.extend(steps.iter().map(|step| h * m * step));
        }
        let gentle = largest_move(&network, &moves) <= GENTLE;
        let tabulate = Tabulate::<T>(&mut moves, network.g, PhantomData);
        pulp::Arch::new().dispatch(tabulate);
        let moves = moves.into_iter().map(T::from_f64).collect();
        Model {
            m0,
            m1,
            k: directions.ncols(),
            scheme,
            h,
            g: network.g,
            output: network.h,
            gentle,
            z,
            u,
            moves,
            b: network.b.transpose().iter().map(|&b| T::from_f64(b)).collect(),
            c: network.c.iter().map(|&c| T::from_f64(c)).collect(),
        }
    }

    fn row(&self, row: usize) -> &[T] {
        &self.moves[row * self.m0..][..self.m0]
    }
}

/// The most that an input of the second layer can move when those of the first move by one of the rows `moves` (m0 numbers
/// each): no activation is steeper than tanh, but for erf, by this factor at most.
fn largest_move(network: &TwoLayer, moves: &[f64]) -> f64 {
    let sizes = network.b.abs();
    let moves = moves.chunks_exact(network.b.nrows()).map(|row| {
        let row = DVector::from_iterator(row.len(), row.iter().map(|b| b.abs()));
        sizes.tr_mul(&row).max()
    });
    moves.fold(0.0, f64::max) * FRAC_2_SQRT_PI
}

/// What the first activation tabulates of moves, in place: dispatched, because without an instruction set that has it every
/// multiply-add is a call.
struct Tabulate<'a, T>(&'a mut [f64], Activation, PhantomData<T>);

impl<T: Real> pulp::WithSimd for Tabulate<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Tabulate(moves, activation, _) = self;
        match activation {
            Activation::Erf => moves.iter_mut().for_each(|b| *b = Erf::tabulate::<T>(*b)),
            _ => moves.iter_mut().for_each(|b| *b = Tanh::tabulate::<T>(*b)),
        }
    }
}

/// svec's of the Hessians of `network` along the columns of `directions` (d x k) at the columns of
/// `centres` (d x n), differenced by `scheme` with step `h`: a k(k+1)/2 x n matrix, as
/// [`stencil::hessians`](crate::stencil::hessians) makes from
/// [`TwoLayer::values`](crate::network::TwoLayer::values), up to rounding.
///
/// Rounding enters relative to the *changes* of f over a step, O(h), not to f itself: an entry's
/// noise is about 1e-7 |f'| / h instead of 1e-7 |f| / h^2. (A layer of erf has no addition theorem
/// and keeps the larger noise.)
///
/// # Panics
/// If `centres` or `directions` do not have d rows.
pub fn hessian_stack_f32(
    network: &TwoLayer,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    scheme: HessianScheme,
    h: f64,
) -> DMatrix<f32> {
    stack(network, centres, directions, scheme, h)
}

/// [`hessian_stack_f32`] in f64: at half the rate, with noise of about 1e-16 |f'| / h.
///
/// # Panics
/// If `centres` or `directions` do not have d rows.
pub fn hessian_stack_f64(
    network: &TwoLayer,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    scheme: HessianScheme,
    h: f64,
) -> DMatrix<f64> {
    stack(network, centres, directions, scheme, h)
}

/// Generic code is compiled wherever it is used, and this takes long: only the two functions above
/// are public.
fn stack<T: Real>(
    network: &TwoLayer,
    centres: &DMatrix<f64>,
    directions: &DMatrix<f64>,
    scheme: HessianScheme,
    h: f64,
) -> DMatrix<T> {
    let (d, ..) = network.dims();
    assert_eq!(centres.nrows(), d, "centres need {d} coordinates");
    assert_eq!(directions.nrows(), d, "directions need {d} coordinates");
    let (k, n) = (directions.ncols(), centres.ncols());
    let rows = k * (k + 1) / 2;
    let mut stack = DMatrix::from_element(rows, n, T::zeroed());
    if rows == 0 || n == 0 {
        return stack;
    }
    let model = Model::new(network, centres, directions, scheme, h);
    let ranges = ranges(k, n.div_ceil(T::BLOCK));
    let arch = pulp::Arch::new();
    let blocks: Vec<_> = stack.as_mut_slice().chunks_mut(rows * T::BLOCK).collect();
    let tasks: Vec<_> = blocks
        .into_iter()
        .enumerate()
        .flat_map(|(block, columns)| {
            let outputs = split(columns, rows, &ranges);
            ranges.iter().cloned().zip(outputs).map(move |(range, out)| (block, range, out))
        })
        .collect();
    tasks.into_par_iter().for_each(|(block, range, mut out)| {
        let task = Task { model: &model, first: block * T::BLOCK, range, out: &mut out };
        arch.dispatch(task);
    });
    stack
}

/// Cuts 0..k into ranges of svec columns j, of about equal numbers of entries: one if the blocks of
/// centres alone keep all threads busy.
fn ranges(k: usize, blocks: usize) -> Vec<Range<usize>> {
    let wanted = (4 * rayon::current_num_threads()).div_ceil(blocks).min(k);
    let mut cuts: Vec<usize> = (0..=wanted)
        .map(|n| (k as f64 * (n as f64 / wanted as f64).sqrt()).round() as usize)
        .collect();
    cuts.dedup();
    cuts.windows(2).map(|cut| cut[0]..cut[1]).collect()
}

/// For each range of svec columns j, its part of each of the stack's columns.
fn split<'a, T>(
    columns: &'a mut [T],
    rows: usize,
    ranges: &[Range<usize>],
) -> Vec<Vec<&'a mut [T]>> {
    let mut parts: Vec<Vec<&mut [T]>> = ranges.iter().map(|_| Vec::new()).collect();
    for mut rest in columns.chunks_exact_mut(rows) {
        for (range, part) in ranges.iter().zip(&mut parts) {
            let entries = range.clone().map(|j| j + 1).sum();
            let (head, tail) = rest.split_at_mut(entries);
            part.push(head);
            rest = tail;
        }
    }
    parts
}

/// A block of centres and a range of svec columns, compiled once an instruction set.
struct Task<'a, 'b, T: Real> {
    model: &'a Model<T>,
    first: usize,
    range: Range<usize>,
    out: &'a mut [&'b mut [T]],
}

impl<T: Real> pulp::WithSimd for Task<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (self.model.g, self.model.output) {
            (Activation::Erf, Activation::Erf) => self.activated::<S, Erf, Erf>(simd),
            (Activation::Erf, _) => self.activated::<S, Erf, Tanh>(simd),
            (_, Activation::Erf) => self.activated::<S, Tanh, Erf>(simd),
            _ if self.model.gentle => self.activated::<S, Tanh, GentleTanh>(simd),
            _ => self.activated::<S, Tanh, Tanh>(simd),
        }
    }
}

impl<T: Real> Task<'_, '_, T> {
    #[inline(always)]
    fn activated<S: Simd, G: Inner, H: Outer>(self, simd: S) {
        // Sums, changes and a weight have to fit the registers.
        if S::REGISTER_COUNT >= 32 {
            let kernel = Kernel::<T, S, G, H, 4, 6>::new(simd, self.model);
            self.tiled(kernel);
        } else {
            let kernel = Kernel::<T, S, G, H, 2, 6>::new(simd, self.model);
            self.tiled(kernel);
        }
    }

    #[inline(always)]
    fn tiled<S: Simd, G: Inner, H: Outer, const P: usize, const U: usize>(
        self,
        mut kernel: Kernel<'_, T, S, G, H, P, U>,
    ) {
        let lanes = Vector::<T, S>::LEN;
        for (n, out) in self.out.chunks_mut(lanes).enumerate() {
            kernel.run(self.first + n * lanes, self.range.clone(), out);
        }
    }
}

#[cfg(test)]
mod tests;
