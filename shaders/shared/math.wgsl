// Exponentials for either precision, accurate to a few units in the last place. Drivers' own are not:
// f32 tanh is off by 2e-2 near 0 on one and NaN for large arguments on another.

// exp(x) = scale (1 + rest), with rest = expm1 of the reduced argument. For x <= 0.
struct Exponential {
    scale: real,
    rest: real,
}

fn exponential(x: real) -> Exponential {
    let k = i32(x * real(1.4426950408889634) - real(0.5));
    let r = (x - real(k) * LN2_HIGH) - real(k) * LN2_LOW;
    return Exponential(power_of_two(k), expm1_small(r));
}

// exp(x) for x <= 0, zero where it underflows.
fn exp_negative(x: real) -> real {
    let e = exponential(max(x, real(-2.0) * SATURATION));
    return e.scale + e.scale * e.rest;
}

// exp(x) - 1 for x <= 0.
fn expm1_negative(x: real) -> real {
    let e = exponential(max(x, real(-2.0) * SATURATION));
    return e.scale * e.rest + (e.scale - real(1.0));
}

// (tanh x, sech^2 x), both with small relative error.
fn tanh_sech(x: real) -> real2 {
    let twice = real(-2.0) * min(abs(x), SATURATION);
    let e = exponential(twice);
    let m = e.scale * e.rest + (e.scale - real(1.0));
    let n = e.scale + e.scale * e.rest;
    let t = -m / (real(2.0) + m);
    let half = real(1.0) / (real(1.0) + n);
    return real2(select(t, -t, x < real(0.0)), real(4.0) * n * half * half);
}
