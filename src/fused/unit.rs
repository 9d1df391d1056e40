//! How the value of a unit changes when its input moves.
//!
//! Changes, not values: they carry a rounding error relative to the change, and a stencil, which
//! subtracts neighbouring values, then loses one power of h less to noise.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over the nodes of a tile are unrolled into registers; iterators over arrays need not be"
)]

use pulp::Simd;

use super::vector::{Real, Vector, quotients};
use crate::network::Activation;

/// An activation phi at one input, by the two numbers that its changes are computed from.
pub type State<T, S> = [Vector<T, S>; 2];

/// An activation of the first layer: the moves are the same for all centres, so whatever depends on
/// the move alone is tabulated.
pub trait Inner {
    /// The states at z\[0\], z\[1\], ..., one a lane.
    fn state<T: Real, S: Simd>(simd: S, z: &[f64]) -> State<T, S>;

    /// What is tabulated of a move b.
    fn tabulate<T: Real>(b: f64) -> f64;

    /// phi(z + b) - phi(z) for `P` states and tabulated moves.
    fn changes<T: Real, S: Simd, const P: usize>(
        states: [State<T, S>; P],
        moves: [Vector<T, S>; P],
    ) -> [Vector<T, S>; P];

    /// The state at z + b.
    fn moved<T: Real, S: Simd>(state: State<T, S>, b: Vector<T, S>) -> State<T, S>;
}

/// An activation of the second layer, whose moves differ from node to node.
pub trait Outer {
    /// The states at u\[0\], u\[1\], ..., one a lane.
    fn state<T: Real, S: Simd>(simd: S, u: &[f64]) -> State<T, S>;

    /// phi(u + b) - phi(u) for `P` states and moves.
    fn changes<T: Real, S: Simd, const P: usize>(
        states: [State<T, S>; P],
        moves: [Vector<T, S>; P],
    ) -> [Vector<T, S>; P];

    /// The state at u + b.
    fn moved<T: Real, S: Simd>(state: State<T, S>, b: Vector<T, S>) -> State<T, S>;
}

/// tanh by its addition theorem. In the first layer, with t = tanh z, w = sech^2 z, s = tanh b,
///
/// ```text
/// tanh(z + b) - tanh(z) = w s / (1 + t s),
/// ```
///
/// so that no exponential is left. In the second, with g = 1 + tanh u, w = sech^2 u and
/// e = exp(2b) - 1, the same change is w e / (2 + g e). Neither cancels. t, s and g are kept a last
/// digit away from saturation, where the denominators vanish.
pub struct Tanh;

impl Inner for Tanh {
    #[inline(always)]
    fn state<T: Real, S: Simd>(simd: S, z: &[f64]) -> State<T, S> {
        let mut state = [Vector::splat(simd, T::zeroed()); 2];
        for (n, &z) in z.iter().enumerate() {
            state[0].set(n, Self::tabulate::<T>(z));
            state[1].set(n, Activation::Tanh.slope(z));
        }
        state
    }

    #[inline(always)]
    fn tabulate<T: Real>(b: f64) -> f64 {
        Activation::Tanh.value(b).clamp(T::EPSILON - 1.0, 1.0 - T::EPSILON)
    }

    #[inline(always)]
    fn changes<T: Real, S: Simd, const P: usize>(
        states: [State<T, S>; P],
        moves: [Vector<T, S>; P],
    ) -> [Vector<T, S>; P] {
        let (mut numerators, mut denominators) = (moves, moves);
        for n in 0..P {
            let [t, w] = states[n];
            numerators[n] = w * moves[n];
            denominators[n] = t.mul_add(moves[n], t.constant(1.0));
        }
        quotients(numerators, denominators)
    }

    /// sech^2(z + b) = sech^2(z) (1 - s^2) / (1 + t s)^2.
    #[inline(always)]
    fn moved<T: Real, S: Simd>([t, w]: State<T, S>, s: Vector<T, S>) -> State<T, S> {
        let one = t.constant(1.0);
        let reciprocal = one / t.mul_add(s, one);
        let moved = (w * s).mul_add(reciprocal, t).clamp(1.0 - T::EPSILON);
        [moved, w * (one - s) * (one + s) * reciprocal * reciprocal]
    }
}

impl Outer for Tanh {
    #[inline(always)]
    fn state<T: Real, S: Simd>(simd: S, u: &[f64]) -> State<T, S> {
        let mut state = [Vector::splat(simd, T::zeroed()); 2];
        for (n, &u) in u.iter().enumerate() {
            let g = 2.0 * Activation::Sigmoid.value(2.0 * u);
            state[0].set(n, g.min(2.0 - 2.0 * T::EPSILON));
            state[1].set(n, Activation::Tanh.slope(u));
        }
        state
    }

    #[inline(always)]
    fn changes<T: Real, S: Simd, const P: usize>(
        states: [State<T, S>; P],
        moves: [Vector<T, S>; P],
    ) -> [Vector<T, S>; P] {
        let (mut numerators, mut denominators) = (moves, moves);
        for n in 0..P {
            let [g, w] = states[n];
            let e = expm1_of_twice(moves[n]);
            numerators[n] = w * e;
            denominators[n] = g.mul_add(e, g.constant(2.0));
        }
        quotients(numerators, denominators)
    }

    /// 1 + tanh(u + b) = 2 g (1 + e) / (2 + g e), sech^2(u + b) = 4 w (1 + e) / (2 + g e)^2.
    #[inline(always)]
    fn moved<T: Real, S: Simd>([g, w]: State<T, S>, b: Vector<T, S>) -> State<T, S> {
        let e = expm1_of_twice(b);
        let two = g.constant(2.0);
        let twice = two / g.mul_add(e, two);
        let grown = (e + g.constant(1.0)) * twice;
        [(g * grown).clamp(2.0 - 2.0 * T::EPSILON), w * grown * twice]
    }
}

#[inline(always)]
fn expm1_of_twice<T: Real, S: Simd>(b: Vector<T, S>) -> Vector<T, S> {
    (b + b).clamp(2.0 * T::SATURATION).expm1()
}

/// tanh in the second layer where every move is at most [`GENTLE`]: tanh of the move is a short polynomial, and the rest is
/// as in the first.
pub struct GentleTanh;

/// The largest move for which the polynomials of [`Vector::gentle_tanh`] are exact to rounding.
pub const GENTLE: f64 = 0.25;

impl Outer for GentleTanh {
    #[inline(always)]
    fn state<T: Real, S: Simd>(simd: S, u: &[f64]) -> State<T, S> {
        <Tanh as Inner>::state(simd, u)
    }

    #[inline(always)]
    fn changes<T: Real, S: Simd, const P: usize>(
        states: [State<T, S>; P],
        mut moves: [Vector<T, S>; P],
    ) -> [Vector<T, S>; P] {
        for n in 0..P {
            moves[n] = moves[n].gentle_tanh();
        }
        <Tanh as Inner>::changes(states, moves)
    }

    #[inline(always)]
    fn moved<T: Real, S: Simd>(state: State<T, S>, b: Vector<T, S>) -> State<T, S> {
        <Tanh as Inner>::moved(state, b.gentle_tanh())
    }
}

/// erf has no addition theorem: evaluated at both ends.
pub struct Erf;

impl Erf {
    #[inline(always)]
    fn state<T: Real, S: Simd>(simd: S, z: &[f64]) -> State<T, S> {
        let mut inputs = Vector::splat(simd, T::zeroed());
        for (n, &z) in z.iter().enumerate() {
            inputs.set(n, z);
        }
        [inputs, T::erf(inputs)]
    }

    #[inline(always)]
    fn changes<T: Real, S: Simd, const P: usize>(
        states: [State<T, S>; P],
        moves: [Vector<T, S>; P],
    ) -> [Vector<T, S>; P] {
        let mut changes = moves;
        for n in 0..P {
            let [z, y] = states[n];
            changes[n] = T::erf(z + moves[n]) - y;
        }
        changes
    }

    #[inline(always)]
    fn moved<T: Real, S: Simd>([z, _]: State<T, S>, b: Vector<T, S>) -> State<T, S> {
        [z + b, T::erf(z + b)]
    }
}

impl Inner for Erf {
    #[inline(always)]
    fn state<T: Real, S: Simd>(simd: S, z: &[f64]) -> State<T, S> {
        Erf::state(simd, z)
    }

    #[inline(always)]
    fn tabulate<T: Real>(b: f64) -> f64 {
        b
    }

    #[inline(always)]
    fn changes<T: Real, S: Simd, const P: usize>(
        states: [State<T, S>; P],
        moves: [Vector<T, S>; P],
    ) -> [Vector<T, S>; P] {
        Erf::changes(states, moves)
    }

    #[inline(always)]
    fn moved<T: Real, S: Simd>(state: State<T, S>, b: Vector<T, S>) -> State<T, S> {
        Erf::moved(state, b)
    }
}

impl Outer for Erf {
    #[inline(always)]
    fn state<T: Real, S: Simd>(simd: S, u: &[f64]) -> State<T, S> {
        Erf::state(simd, u)
    }

    #[inline(always)]
    fn changes<T: Real, S: Simd, const P: usize>(
        states: [State<T, S>; P],
        moves: [Vector<T, S>; P],
    ) -> [Vector<T, S>; P] {
        Erf::changes(states, moves)
    }

    #[inline(always)]
    fn moved<T: Real, S: Simd>(state: State<T, S>, b: Vector<T, S>) -> State<T, S> {
        Erf::moved(state, b)
    }
}
