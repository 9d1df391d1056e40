//! Vectors of f32 or f64 in the widest registers at hand, with the operators of arithmetic.

#![allow(
    clippy::needless_range_loop,
    reason = "loops over the nodes of a tile are unrolled into registers; iterators over arrays need not be"
)]

use std::ops::{Add, Div, Mul, Sub};

use pulp::{Simd, bytemuck};

/// f32 or f64: the precision of a fused stack.
pub trait Real: nalgebra::Scalar + Copy + Send + Sync + bytemuck::Pod {
    /// Centres a task advances together: 64 bytes, a whole number of registers everywhere.
    const BLOCK: usize = 64 / size_of::<Self>();
    /// The distance from 1 to the next number.
    const EPSILON: f64;
    /// |t| from which tanh t rounds to 1.
    const SATURATION: f64;
    /// Degree of the Taylor polynomial of expm1 on |r| <= ln(2)/2 that rounding hides.
    const EXPM1_DEGREE: usize;
    /// Terms of the Taylor series of tanh, after the first, that rounding does not hide up to
    /// [`GENTLE`](super::unit::GENTLE).
    const TANH_TERMS: usize;
    /// Adding it rounds to an integer, which then stands in the low bits.
    const ROUND: f64;

    /// One register.
    type Lanes<S: Simd>: Copy + Send + Sync + bytemuck::Pod;

    /// The nearest number.
    fn from_f64(x: f64) -> Self;
    /// 2^n of a number `n + ROUND`.
    fn power_of_two(shifted: Self) -> Self;
    /// erf, lane by lane.
    fn erf<S: Simd>(x: Vector<Self, S>) -> Vector<Self, S>;

    /// `x` in every lane.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Lanes<S>;
    /// a + b.
    fn add<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// a - b.
    fn sub<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// a b.
    fn mul<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// a / b.
    fn div<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// The smaller one.
    fn min<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// The larger one.
    fn max<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// a b + c, rounded once.
    fn mul_add<S: Simd>(
        simd: S,
        a: Self::Lanes<S>,
        b: Self::Lanes<S>,
        c: Self::Lanes<S>,
    ) -> Self::Lanes<S>;
}

/// The methods of a [`Real`] that only pass on to pulp.
macro_rules! lanes {
    ($lanes:ident, $splat:ident, $mul_add:ident, $($name:ident => $simd_name:ident),*) => {
        type Lanes<S: Simd> = S::$lanes;

        #[inline(always)]
        fn splat<S: Simd>(simd: S, x: Self) -> S::$lanes {
            simd.$splat(x)
        }

        #[inline(always)]
        fn mul_add<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes, c: S::$lanes) -> S::$lanes {
            simd.$mul_add(a, b, c)
        }

        $(
            #[inline(always)]
            fn $name<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                simd.$simd_name(a, b)
            }
        )*
    };
}

impl Real for f32 {
    const EPSILON: f64 = f32::EPSILON as f64;
    const SATURATION: f64 = 9.0;
    const EXPM1_DEGREE: usize = 7;
    const TANH_TERMS: usize = 4;
    const ROUND: f64 = 12_582_912.0;

    #[inline(always)]
    fn from_f64(x: f64) -> f32 {
        x as f32
    }

    #[inline(always)]
    fn power_of_two(shifted: f32) -> f32 {
        f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000))
    }

    #[inline(always)]
    fn erf<S: Simd>(x: Vector<f32, S>) -> Vector<f32, S> {
        super::erf::erf(x)
    }

    lanes!(f32s, splat_f32s, mul_add_f32s, add => add_f32s, sub => sub_f32s, mul => mul_f32s,
        div => div_f32s, min => min_f32s, max => max_f32s);
}

impl Real for f64 {
    const EPSILON: f64 = f64::EPSILON;
    const SATURATION: f64 = 20.0;
    const EXPM1_DEGREE: usize = 14;
    const TANH_TERMS: usize = 10;
    const ROUND: f64 = 6_755_399_441_055_744.0;

    #[inline(always)]
    fn from_f64(x: f64) -> f64 {
        x
    }

    #[inline(always)]
    fn power_of_two(shifted: f64) -> f64 {
        f64::from_bits((shifted.to_bits() << 52).wrapping_add(0x3ff0_0000_0000_0000))
    }

    #[inline(always)]
    fn erf<S: Simd>(x: Vector<f64, S>) -> Vector<f64, S> {
        x.map(libm::erf)
    }

    lanes!(f64s, splat_f64s, mul_add_f64s, add => add_f64s, sub => sub_f64s, mul => mul_f64s,
        div => div_f64s, min => min_f64s, max => max_f64s);
}

/// A few registers in memory, from the start of a cache line on: a load across two lines costs two.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Aligned<V>(pub V);

/// One register of numbers. The token of the instruction set takes no space.
#[derive(Clone, Copy)]
pub struct Vector<T: Real, S: Simd> {
    lanes: T::Lanes<S>,
    simd: S,
}

/// Coefficients of b^3, b^5, ... in the Taylor series of tanh.
const TANH: [f64; 10] = [
    -1.0 / 3.0,
    2.0 / 15.0,
    -17.0 / 315.0,
    62.0 / 2_835.0,
    -1_382.0 / 155_925.0,
    21_844.0 / 6_081_075.0,
    -929_569.0 / 638_512_875.0,
    6_404_582.0 / 10_854_718_875.0,
    -443_861_162.0 / 1_856_156_927_625.0,
    18_888_466_084.0 / 194_896_477_400_625.0,
];

impl<T: Real, S: Simd> Vector<T, S> {
    /// Numbers a register.
    pub const LEN: usize = size_of::<T::Lanes<S>>() / size_of::<T>();

    #[inline(always)]
    pub fn splat(simd: S, x: T) -> Self {
        Vector { lanes: T::splat(simd, x), simd }
    }

    /// The number nearest to `x` in every lane.
    #[inline(always)]
    pub fn constant(self, x: f64) -> Self {
        Self::splat(self.simd, T::from_f64(x))
    }

    /// Puts the number nearest to `x` into one lane.
    #[inline(always)]
    pub fn set(&mut self, lane: usize, x: f64) {
        self.as_mut_slice()[lane] = T::from_f64(x);
    }

    #[inline(always)]
    pub fn as_slice(&self) -> &[T] {
        bytemuck::cast_slice(std::slice::from_ref(&self.lanes))
    }

    #[inline(always)]
    fn as_mut_slice(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(std::slice::from_mut(&mut self.lanes))
    }

    #[inline(always)]
    pub fn map(mut self, f: impl Fn(T) -> T) -> Self {
        for lane in self.as_mut_slice() {
            *lane = f(*lane);
        }
        self
    }

    /// self a + b, rounded once.
    #[inline(always)]
    pub fn mul_add(self, a: Self, b: Self) -> Self {
        Vector { lanes: T::mul_add(self.simd, self.lanes, a.lanes, b.lanes), ..self }
    }

    /// `self` within [-limit, limit].
    #[inline(always)]
    pub fn clamp(self, limit: f64) -> Self {
        let (low, high) = (self.constant(-limit), self.constant(limit));
        let lanes = T::max(self.simd, T::min(self.simd, self.lanes, high.lanes), low.lanes);
        Vector { lanes, ..self }
    }

    /// tanh(self) for |self| up to [`GENTLE`](super::unit::GENTLE), to a relative error of half an epsilon in f32 and of one
    /// and a half in f64.
    #[inline(always)]
    pub fn gentle_tanh(self) -> Self {
        let square = self * self;
        let mut p = self.constant(TANH[T::TANH_TERMS - 1]);
        for term in (0..T::TANH_TERMS - 1).rev() {
            p = p.mul_add(square, self.constant(TANH[term]));
        }
        (p * square).mul_add(self, self)
    }

    /// exp(self) - 1 for |self| up to twice [`Real::SATURATION`], to a relative error of one epsilon in
    /// f32 and of seven in f64.
    #[inline(always)]
    pub fn expm1(self) -> Self {
        let shifted =
            self.mul_add(self.constant(std::f64::consts::LOG2_E), self.constant(T::ROUND));
        let n = shifted - self.constant(T::ROUND);
        let r = n.mul_add(self.constant(-std::f64::consts::LN_2), self);
        let mut factorial: f64 = (1..=T::EXPM1_DEGREE).map(|n| n as f64).product();
        let mut p = self.constant(1.0 / factorial);
        for degree in (2..T::EXPM1_DEGREE).rev() {
            factorial /= (degree + 1) as f64;
            p = p.mul_add(r, self.constant(1.0 / factorial));
        }
        let p = (r * r).mul_add(p, r);
        // 2^n (1 + p) - 1 = 2^n p + (2^n - 1) cancels nowhere.
        let scale = shifted.map(T::power_of_two);
        scale.mul_add(p, scale - self.constant(1.0))
    }
}

impl<T: Real, S: Simd> Add for Vector<T, S> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Vector { lanes: T::add(self.simd, self.lanes, other.lanes), ..self }
    }
}

impl<T: Real, S: Simd> Sub for Vector<T, S> {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Vector { lanes: T::sub(self.simd, self.lanes, other.lanes), ..self }
    }
}

impl<T: Real, S: Simd> Mul for Vector<T, S> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Vector { lanes: T::mul(self.simd, self.lanes, other.lanes), ..self }
    }
}

impl<T: Real, S: Simd> Div for Vector<T, S> {
    type Output = Self;

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Vector { lanes: T::div(self.simd, self.lanes, other.lanes), ..self }
    }
}

/// numerators / denominators with one division for all: a division keeps its port busy five times
/// as long as the multiplications that replace it.
#[inline(always)]
pub fn quotients<T: Real, S: Simd, const P: usize>(
    numerators: [Vector<T, S>; P],
    denominators: [Vector<T, S>; P],
) -> [Vector<T, S>; P] {
    let mut products = denominators;
    for n in 1..P {
        products[n] = products[n - 1] * denominators[n];
    }
    let mut reciprocal = numerators[0].constant(1.0) / products[P - 1];
    let mut out = numerators;
    for n in (1..P).rev() {
        out[n] = numerators[n] * products[n - 1] * reciprocal;
        reciprocal = reciprocal * denominators[n];
    }
    out[0] = numerators[0] * reciprocal;
    out
}
