// What a displacement s changes in one unit: the odd part (phi(z+s) - phi(z-s)) / 2 and the even
// part (phi(z+s) + phi(z-s)) / 2 - phi(z), as real2(odd, even), without subtracting activations.
//
// A tanh unit is known by t = tanh z and S = sech^2 z, a displacement by (tanh s, sech^2 s). With
// tanh s = n / m, sech^2 s = c / m^2 and the addition theorem
//     tanh(z + s) - t = S n / (m + t n),
// the two parts are S n m / w and -S t n^2 / w with w = m^2 - t^2 n^2 = c + S n^2: only positive terms.
//
// An erf unit is known by z and a displacement by s; the parts are Gauss-Legendre integrals of
// exp(-(z+-r)^2) over 0 <= r <= s. Sigmoid is tanh on other scales, which the host takes care of.

// Displacement a then b.
fn tanh_parts_sum(z: real2, a: real2, b: real2) -> real2 {
    let n = a.x + b.x;
    let m = real(1.0) + a.x * b.x;
    let q = z.y * n / max(a.y * b.y + z.y * n * n, TINY);
    return real2(q * m, -q * z.x * n);
}

fn erf_parts(z: real, s: real) -> real2 {
    var rule = GAUSS;
    let centre = abs(z);
    let width = abs(s);
    var sum = real2(real(0.0), real(0.0));
    for (var i = 0u; i < NODES; i++) {
        let r = width * rule[i].x;
        let big = rule[i].y * exp_negative(-(centre - r) * (centre - r));
        // exp(-(z+r)^2) / exp(-(z-r)^2) - 1
        let ratio = expm1_negative(real(-4.0) * centre * r);
        sum += real2(big * (real(2.0) + ratio), big * ratio);
    }
    // 1/sqrt(pi), the half of the two halves of 2/sqrt(pi)
    let parts = real(0.5641895835477563) * width * sum;
    return real2(select(parts.x, -parts.x, s < real(0.0)), select(parts.y, -parts.y, z < real(0.0)));
}

// Odd and even part of h(u + even +- odd) - h(u) for a second-layer unit known by `u`.
fn top_parts(u: real2, odd: real, even: real) -> real2 {
    if (TOP_ERF == 1u) {
        let centre = erf_parts(u.x, even);
        let spread = erf_parts(u.x + even, odd);
        return real2(spread.x, centre.x + centre.y + spread.y);
    }
    let e = tanh_sech(even);
    let o = tanh_sech(odd);
    let moved = real(1.0) / max(real(1.0) + u.x * e.x, TINY);
    let t = (u.x + e.x) * moved;
    let slope = u.y * e.y * moved * moved;
    let q = slope * o.x / max(o.y + slope * o.x * o.x, TINY);
    return real2(q, u.y * e.x * moved - q * t * o.x);
}
