//! The Hessians of a few centres, one centre a lane.
//!
//! Loops instead of closures in all that is hot: nothing forces `array::map` and its like to be
//! inlined, and a call, compiled for the wrong instruction set besides, costs more than the work.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over the nodes of a tile are unrolled into registers; iterators over arrays need not be"
)]

use std::marker::PhantomData;
use std::ops::Range;

use pulp::Simd;

use super::Model;
use super::pattern::{Pattern, diagonal, off_diagonal};
use super::unit::{Inner, Outer, State};
use super::vector::{Aligned, Real, Vector};

/// First-layer units whose changes are kept before the second layer takes them: a tile's changes
/// stay in the first-level cache.
const DEPTH: usize = 64;

/// Changes of first-layer units that share a division. More might leave the range of f32: the product of so many
/// denominators, each down to its epsilon.
const GROUP: usize = 4;

/// One node: the place in the list of bases that it starts from, and the move from there.
#[derive(Clone, Copy)]
struct Node {
    base: usize,
    /// Row of [`Model::moves`].
    row: usize,
}

/// The states of all units at one point: a centre, or a centre displaced along one direction.
#[derive(Clone)]
struct Point<T: Real, S: Simd> {
    inner: Vec<Aligned<State<T, S>>>,
    outer: Vec<Aligned<State<T, S>>>,
}

/// States of first-layer units, and the moves from there.
type Source<'a, T, S> = (&'a [Aligned<State<T, S>>], &'a [T]);

/// Evaluates tiles of `P` nodes, a divisor of [`GROUP`]; the second layer takes at most `U` units at a time, so that P U
/// sums stay in registers.
pub struct Kernel<'a, T: Real, S: Simd, G, H, const P: usize, const U: usize> {
    model: &'a Model<T>,
    simd: S,
    /// Changes of the first layer's values, a unit a row.
    changes: Vec<Aligned<[Vector<T, S>; P]>>,
    /// Moves of the second layer's inputs.
    moves: Vec<Aligned<[Vector<T, S>; P]>>,
    activations: PhantomData<(G, H)>,
}

impl<'a, T: Real, S: Simd, G: Inner, H: Outer, const P: usize, const U: usize>
    Kernel<'a, T, S, G, H, P, U>
{
    #[inline(always)]
    pub fn new(simd: S, model: &'a Model<T>) -> Self {
        let zeros = Aligned([Vector::splat(simd, T::zeroed()); P]);
        Kernel {
            model,
            simd,
            changes: vec![zeros; DEPTH.min(model.m0)],
            moves: vec![zeros; model.m1],
            activations: PhantomData,
        }
    }

    /// Writes, for every centre from the `first` on, the svec columns j in `range` of its Hessian
    /// into its slice of `out`, at most one centre a lane.
    #[inline(always)]
    pub fn run(&mut self, first: usize, range: Range<usize>, out: &mut [&mut [T]]) {
        let model = self.model;
        let Pattern { multiples, bases, pairs } = Pattern::of(model.scheme);
        let zero = Vector::splat(self.simd, T::zeroed());
        let mut points = vec![self.centre(first, out.len()); 1 + bases];
        let mut axes = vec![zero; range.end * multiples.len()];
        let mut changes = vec![zero; range.end * pairs.len() + P];
        let mut row = vec![zero; range.end];
        let mut at = 0;
        for j in 0..range.end {
            self.axis(j, &mut points, &mut axes[j * multiples.len()..][..multiples.len()]);
            if j < range.start {
                continue;
            }
            let count = j * pairs.len();
            for tile in (0..count).step_by(P) {
                // The last tile repeats its last node.
                let mut nodes = [Node { base: 0, row: 0 }; P];
                for n in 0..P {
                    let at = (tile + n).min(count - 1);
                    let (p, q) = pairs[at % pairs.len()];
                    nodes[n] = Node { base: 1 + p, row: q * model.k + at / pairs.len() };
                }
                self.advance(&points, nodes);
                changes[tile..tile + P].copy_from_slice(&self.outputs(&points, nodes));
            }
            for (i, (pair, axis)) in changes
                .chunks_exact(pairs.len())
                .zip(axes.chunks_exact(multiples.len()))
                .take(j)
                .enumerate()
            {
                row[i] = off_diagonal(model.scheme, pair, axis, model.h);
            }
            let axis = &axes[j * multiples.len()..][..multiples.len()];
            row[j] = diagonal(model.scheme, axis, model.h);
            for (lane, out) in out.iter_mut().enumerate() {
                for (out, entry) in out[at..=at + j].iter_mut().zip(&row) {
                    *out = entry.as_slice()[lane];
                }
            }
            at += j + 1;
        }
    }

    /// The `count` centres from the `first` on; the lanes left over repeat the last of them.
    #[inline(always)]
    fn centre(&self, first: usize, count: usize) -> Point<T, S> {
        let Model { z, u, m0, m1, .. } = self.model;
        let zero = Vector::splat(self.simd, T::zeroed());
        let nowhere = Aligned([zero; 2]);
        let mut point = Point { inner: vec![nowhere; *m0], outer: vec![nowhere; *m1] };
        let mut inputs = [0.0; 16];
        let inputs = &mut inputs[..Vector::<T, S>::LEN];
        for (r, state) in point.inner.iter_mut().enumerate() {
            for (lane, input) in inputs.iter_mut().enumerate() {
                *input = z[(r, first + lane.min(count - 1))];
            }
            state.0 = G::state(self.simd, inputs);
        }
        for (l, state) in point.outer.iter_mut().enumerate() {
            for (lane, input) in inputs.iter_mut().enumerate() {
                *input = u[(l, first + lane.min(count - 1))];
            }
            state.0 = H::state(self.simd, inputs);
        }
        point
    }

    /// The axis changes of direction j, and the base points displaced along it.
    #[inline(always)]
    fn axis(&mut self, j: usize, points: &mut [Point<T, S>], axis: &mut [Vector<T, S>]) {
        let model = self.model;
        for first in (0..axis.len()).step_by(P) {
            let mut nodes = [Node { base: 0, row: 0 }; P];
            for n in 0..P {
                nodes[n].row = (first + n).min(axis.len() - 1) * model.k + j;
            }
            self.advance(points, nodes);
            let changes = self.outputs(points, nodes);
            let (centre, bases) = points.split_at_mut(1);
            for n in 0..P.min(axis.len() - first) {
                axis[first + n] = changes[n];
                let Some(base) = bases.get_mut(first + n) else { continue };
                let moves = self.model.row(nodes[n].row);
                for ((base, &centre), &b) in base.inner.iter_mut().zip(&centre[0].inner).zip(moves)
                {
                    base.0 = G::moved(centre.0, Vector::splat(self.simd, b));
                }
                for ((base, &centre), b) in
                    base.outer.iter_mut().zip(&centre[0].outer).zip(&self.moves)
                {
                    base.0 = H::moved(centre.0, b.0[n]);
                }
            }
        }
    }

    /// The moves of the second layer's inputs at the nodes: B^T times the changes of the first.
    #[inline(always)]
    fn advance(&mut self, points: &[Point<T, S>], nodes: [Node; P]) {
        let Model { m0, m1, b, .. } = self.model;
        self.moves.fill(Aligned([Vector::splat(self.simd, T::zeroed()); P]));
        for first in (0..*m0).step_by(DEPTH) {
            let depth = DEPTH.min(m0 - first);
            let mut sources = [(&points[0].inner[..0], &b[..0]); P];
            for n in 0..P {
                let Node { base, row } = nodes[n];
                let range = first..first + depth;
                sources[n] = (&points[base].inner[range.clone()], &self.model.row(row)[range]);
            }
            let groups = depth - depth % (GROUP / P);
            for r in (0..groups).step_by(GROUP / P) {
                self.change::<GROUP>(r, sources);
            }
            for r in groups..depth {
                self.change::<P>(r, sources);
            }
            let changes = &self.changes[..depth];
            let weights = &b[first * m1..(first + depth) * m1];
            // Equal shares of the second layer's units, at most U at a time.
            let share = m1.div_ceil(m1.div_ceil(U));
            for unit in (0..*m1).step_by(share) {
                let moves = &mut self.moves[unit..(unit + share).min(*m1)];
                match moves.len() {
                    1 => multiply::<T, S, P, 1>(self.simd, changes, weights, *m1, unit, moves),
                    2 => multiply::<T, S, P, 2>(self.simd, changes, weights, *m1, unit, moves),
                    3 => multiply::<T, S, P, 3>(self.simd, changes, weights, *m1, unit, moves),
                    4 => multiply::<T, S, P, 4>(self.simd, changes, weights, *m1, unit, moves),
                    5 => multiply::<T, S, P, 5>(self.simd, changes, weights, *m1, unit, moves),
                    _ => multiply::<T, S, P, 6>(self.simd, changes, weights, *m1, unit, moves),
                }
            }
        }
    }

    /// The changes of the `Q / P` first-layer units from `r` on, from their states and moves.
    #[inline(always)]
    fn change<const Q: usize>(&mut self, r: usize, sources: [Source<'_, T, S>; P]) {
        let zero = Vector::splat(self.simd, T::zeroed());
        let (mut states, mut moves) = ([[zero; 2]; Q], [zero; Q]);
        for n in 0..P {
            let (from, by) = (&sources[n].0[r..r + Q / P], &sources[n].1[r..r + Q / P]);
            for unit in 0..Q / P {
                states[unit * P + n] = from[unit].0;
                moves[unit * P + n] = Vector::splat(self.simd, by[unit]);
            }
        }
        let found = G::changes(states, moves);
        for (unit, changes) in self.changes[r..r + Q / P].iter_mut().enumerate() {
            for n in 0..P {
                changes.0[n] = found[unit * P + n];
            }
        }
    }

    /// f at the nodes less f at the points that they start from.
    #[inline(always)]
    fn outputs(&self, points: &[Point<T, S>], nodes: [Node; P]) -> [Vector<T, S>; P] {
        let zero = Vector::splat(self.simd, T::zeroed());
        let mut sums = [zero; P];
        for (l, (&c, moves)) in self.model.c.iter().zip(&self.moves).enumerate() {
            let c = Vector::splat(self.simd, c);
            let mut states = [[zero; 2]; P];
            for n in 0..P {
                states[n] = points[nodes[n].base].outer[l].0;
            }
            let changes = H::changes(states, moves.0);
            for n in 0..P {
                sums[n] = c.mul_add(changes[n], sums[n]);
            }
        }
        sums
    }
}

/// moves[l] += sum_r weights[r][unit + l] changes[r] for `L` units, `weights` in rows of `m1`.
#[inline(always)]
fn multiply<T: Real, S: Simd, const P: usize, const L: usize>(
    simd: S,
    changes: &[Aligned<[Vector<T, S>; P]>],
    weights: &[T],
    m1: usize,
    unit: usize,
    moves: &mut [Aligned<[Vector<T, S>; P]>],
) {
    let Some(moves) = moves.first_chunk_mut::<L>() else { return };
    let mut sums = *moves;
    for (changes, weights) in changes.iter().zip(weights.chunks_exact(m1)) {
        let Some(weights) = weights[unit..].first_chunk::<L>() else { return };
        for l in 0..L {
            let weight = Vector::splat(simd, weights[l]);
            for n in 0..P {
                sums[l].0[n] = weight.mul_add(changes.0[n], sums[l].0[n]);
            }
        }
    }
    *moves = sums;
}
