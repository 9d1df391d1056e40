// Numbers of two f32 each, high + low, the low one at most half a unit of the high one's last place:
// about 48 bits. Needs `params.zero`, which the host sets to 0.
//
// WGSL lets a compiler reassociate, and some do, after which a pair is no better than one f32. What
// comes out of `guard` is opaque to them.
alias double = vec2<f32>;

fn guard(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ params.zero);
}

// a + b and its error. Knuth.
fn two_sum(a: f32, b: f32) -> double {
    let s = guard(a + b);
    let t = guard(s - a);
    return double(s, guard(a - guard(s - t)) + guard(b - t));
}

// The same for |a| >= |b|. Dekker.
fn quick_two_sum(a: f32, b: f32) -> double {
    let s = guard(a + b);
    return double(s, b - guard(s - a));
}

// a b and its error. The factors are cut into 12 bits and 12 bits, whose products are exact and whose
// partial sums are too: a fused multiply-add changes nothing. Dekker, with a cut by a mask instead of
// Veltkamp's multiplication, which a compiler may undo.
fn two_product(a: f32, b: f32) -> double {
    let p = guard(a * b);
    let a1 = bitcast<f32>(bitcast<u32>(a) & 0xfffff000u);
    let b1 = bitcast<f32>(bitcast<u32>(b) & 0xfffff000u);
    let a2 = guard(a - a1);
    let b2 = guard(b - b1);
    return double(p, guard(guard(guard(a1 * b1 - p) + a1 * b2) + a2 * b1) + a2 * b2);
}

fn add(a: double, b: double) -> double {
    let high = two_sum(a.x, b.x);
    let low = two_sum(a.y, b.y);
    let sum = quick_two_sum(high.x, high.y + low.x);
    return quick_two_sum(sum.x, sum.y + low.y);
}

fn mul(a: double, b: double) -> double {
    let p = two_product(a.x, b.x);
    return quick_two_sum(p.x, p.y + (a.x * b.y + a.y * b.x));
}

// Times a power of two.
fn times(a: double, power: f32) -> double {
    return double(a.x * power, a.y * power);
}

// Long division: three digits of 24 bits.
fn div(a: double, b: double) -> double {
    let q1 = guard(a.x / b.x);
    let r1 = add(a, mul(double(-q1, 0.0), b));
    let q2 = guard(r1.x / b.x);
    let r2 = add(r1, mul(double(-q2, 0.0), b));
    return add(quick_two_sum(q1, q2), double(r2.x / b.x, 0.0));
}

const ONE: double = double(1.0, 0.0);

// exp(x) = scale (1 + rest), with rest = expm1 of the reduced argument. For -87 < x <= 0.
struct DoubleExponential {
    scale: f32,
    rest: double,
}

fn double_exponential(x: double) -> DoubleExponential {
    let k = i32(x.x * 1.4426950408889634 - 0.5);
    // k LN2_HIGH is exact, and so is the difference.
    let r = add(
        add(x, double(-f32(k) * LN2_HIGH, 0.0)),
        mul(double(1.428606765330187e-06, 5.497923148104107e-14), double(-f32(k), 0.0)),
    );
    // Taylor. From the eighth power on, f32 is enough.
    var p: f32 = 1.147074536050896e-11;
    p = p * r.x + 1.6059044372074283e-10;
    p = p * r.x + 2.0876755879584152e-09;
    p = p * r.x + 2.5052107943679403e-08;
    p = p * r.x + 2.755731998149713e-07;
    p = p * r.x + 2.7557318844628753e-06;
    p = p * r.x + 2.4801587642286904e-05;
    var q = double(p, 0.0);
    q = add(mul(q, r), double(0.00019841270113829523, -2.725596874933456e-12));
    q = add(mul(q, r), double(0.0013888889225199819, -3.3631094437103215e-11));
    q = add(mul(q, r), double(0.008333333767950535, -4.34617203337595e-10));
    q = add(mul(q, r), double(0.0416666679084301, -1.2417634698280722e-09));
    q = add(mul(q, r), double(0.1666666716337204, -4.967053879312289e-09));
    q = add(mul(q, r), double(0.5, 0.0));
    return DoubleExponential(power_of_two(k), add(r, mul(mul(r, r), q)));
}

// exp(x) for x <= 0, zero where it is below 1e-34.
fn double_exp(x: double) -> double {
    let e = double_exponential(select(x, double(-80.0, 0.0), x.x < -80.0));
    let value = times(add(ONE, e.rest), e.scale);
    return select(value, double(0.0, 0.0), x.x < -80.0);
}

fn absolute(x: double) -> double {
    return select(x, -x, x.x < 0.0);
}

fn double_tanh(x: double) -> double {
    // From 20 on it is 1 in 48 bits.
    let size = absolute(x);
    let e = double_exponential(times(select(size, double(20.0, 0.0), size.x > 20.0), -2.0));
    let m = add(times(e.rest, e.scale), two_sum(e.scale, -1.0));
    let t = div(-m, add(double(2.0, 0.0), m));
    return select(t, -t, x.x < 0.0);
}

fn double_sigmoid(x: double) -> double {
    let e = double_exp(-absolute(x));
    return div(select(e, ONE, x.x >= 0.0), add(ONE, e));
}

// 2/sqrt(pi) times the integral of exp(-r^2) from 0 to x, in four panels; at 6 it is 1.
fn double_erf(x: double) -> double {
    var rule = GAUSS;
    let size = absolute(x);
    let end = select(size, double(6.0, 0.0), size.x > 6.0);
    var sum = double(0.0, 0.0);
    for (var panel = 0u; panel < 4u; panel++) {
        for (var n = 0u; n < NODES; n++) {
            let r = times(mul(end, add(double(f32(panel), 0.0), rule[n].xy)), 0.25);
            sum = add(sum, mul(rule[n].zw, double_exp(-mul(r, r))));
        }
    }
    let value = mul(double(0.282094806432724, -1.4658845692849809e-08), mul(end, sum));
    return select(value, -value, x.x < 0.0);
}

const TANH: u32 = 0u;
const SIGMOID: u32 = 1u;
const ERF: u32 = 2u;

fn double_activate(kind: u32, x: double) -> double {
    switch kind {
        case SIGMOID: { return double_sigmoid(x); }
        case ERF: { return double_erf(x); }
        default: { return double_tanh(x); }
    }
}
