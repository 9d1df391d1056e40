// The activations themselves, by the numbers that the host gives them.
const TANH: u32 = 0u;
const SIGMOID: u32 = 1u;
const ERF: u32 = 2u;

fn sigmoid(x: real) -> real {
    let e = exp_negative(-abs(x));
    return select(e, real(1.0), x >= real(0.0)) / (real(1.0) + e);
}

// 2/sqrt(pi) times the integral of exp(-r^2) from 0 to x, in four panels; at 6 it is 1.
fn erf(x: real) -> real {
    var rule = GAUSS;
    let end = min(abs(x), real(6.0));
    var sum = real(0.0);
    for (var panel = 0u; panel < 4u; panel++) {
        for (var n = 0u; n < NODES; n++) {
            let r = real(0.25) * end * (real(panel) + rule[n].x);
            sum += rule[n].y * exp_negative(-r * r);
        }
    }
    let value = min(real(0.28209479177387814) * end * sum, real(1.0));
    return select(value, -value, x < real(0.0));
}

fn activate(kind: u32, x: real) -> real {
    switch kind {
        case SIGMOID: { return sigmoid(x); }
        case ERF: { return erf(x); }
        default: { return tanh_sech(x).x; }
    }
}

fn activate4(kind: u32, x: real4) -> real4 {
    return real4(activate(kind, x.x), activate(kind, x.y), activate(kind, x.z), activate(kind, x.w));
}
