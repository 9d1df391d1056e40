// Numbers of 64 bits, and what depends on their size. The built-in exp and tanh compile for them and
// return garbage on some drivers, so nothing but + - * / and comparisons is used.
alias real = f64;
alias real2 = vec2<f64>;
alias real4 = vec4<f64>;

const SATURATION: real = 300.0lf;
const TINY: real = 1e-300lf;
const LN2_HIGH: real = 0.69314718036912381649017333984375lf;
const LN2_LOW: real = 1.9082149292705877e-10lf;

// 2^k for |k| < 1023, by the bits of |k|: every product is exact.
fn power_of_two(k: i32) -> real {
    let n = u32(min(abs(k), 1022));
    var p: real = 1.0lf;
    p *= select(1.0lf, 2.0lf, (n & 1u) != 0u);
    p *= select(1.0lf, 4.0lf, (n & 2u) != 0u);
    p *= select(1.0lf, 16.0lf, (n & 4u) != 0u);
    p *= select(1.0lf, 256.0lf, (n & 8u) != 0u);
    p *= select(1.0lf, 65536.0lf, (n & 16u) != 0u);
    p *= select(1.0lf, 4294967296.0lf, (n & 32u) != 0u);
    p *= select(1.0lf, 18446744073709551616.0lf, (n & 64u) != 0u);
    p *= select(1.0lf, 3.402823669209384634633746e38lf, (n & 128u) != 0u);
    p *= select(1.0lf, 1.157920892373161954235709850086879e77lf, (n & 256u) != 0u);
    p *= select(1.0lf, 1.340780792994259709957402499820585e154lf, (n & 512u) != 0u);
    return select(p, 1.0lf / p, k < 0);
}

// expm1(r) for |r| <= ln(2)/2: Taylor to degree 14, the remainder under 2^-56 of r.
fn expm1_small(r: real) -> real {
    var p: real = 1.0lf / 87178291200.0lf;
    p = p * r + 1.0lf / 6227020800.0lf;
    p = p * r + 1.0lf / 479001600.0lf;
    p = p * r + 1.0lf / 39916800.0lf;
    p = p * r + 1.0lf / 3628800.0lf;
    p = p * r + 1.0lf / 362880.0lf;
    p = p * r + 1.0lf / 40320.0lf;
    p = p * r + 1.0lf / 5040.0lf;
    p = p * r + 1.0lf / 720.0lf;
    p = p * r + 1.0lf / 120.0lf;
    p = p * r + 1.0lf / 24.0lf;
    p = p * r + 1.0lf / 6.0lf;
    p = p * r + 0.5lf;
    return r + r * r * p;
}
