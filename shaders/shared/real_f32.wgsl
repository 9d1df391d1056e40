// Numbers of 32 bits, and what depends on their size.
alias real = f32;
alias real2 = vec2<f32>;
alias real4 = vec4<f32>;

// Beyond this sech^2 underflows and tanh is 1 to the last bit.
const SATURATION: real = 40.0;
// Keeps a quotient of two vanishing numbers finite.
const TINY: real = 1e-37;
// ln 2 in two pieces, the first short enough for k * LN2_HIGH to be exact.
const LN2_HIGH: real = 0.693145751953125;
const LN2_LOW: real = 1.42860677e-6;

// 2^k for -126 <= k <= 127.
fn power_of_two(k: i32) -> real {
    return bitcast<f32>((clamp(k, -126, 127) + 127) << 23u);
}

// expm1(r) for |r| <= ln(2)/2.
fn expm1_small(r: real) -> real {
    var p: real = 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    return r + r * r * p;
}
