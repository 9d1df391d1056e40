// Values of f, less c0, at a batch of points, in numbers of two f32 each: one invocation a point.
#include gauss
#include double

struct Params {
    points: u32,
    inputs: u32,
    units: u32,
    // Zero, which the compiler must not know.
    zero: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// A by [unit][input], then theta.
@group(0) @binding(1) var<storage, read> first: array<double>;
// B by [unit][M1], then tau, then c.
@group(0) @binding(2) var<storage, read> second: array<double>;
// [input][point].
@group(0) @binding(3) var<storage, read> points: array<double>;
@group(0) @binding(4) var<storage, read_write> values: array<double>;

@compute @workgroup_size(WORKGROUP)
fn forward_double(@builtin(global_invocation_id) id: vec3<u32>) {
    let n = id.x;
    if (n >= params.points) {
        return;
    }
    let tau = params.units * M1;
    var u: array<double, M1>;
    for (var l = 0u; l < M1; l++) {
        u[l] = -second[tau + l];
    }
    for (var i = 0u; i < params.units; i++) {
        var z = -first[params.units * params.inputs + i];
        for (var r = 0u; r < params.inputs; r++) {
            z = add(z, mul(first[i * params.inputs + r], points[r * params.points + n]));
        }
        let y = double_activate(BOTTOM, z);
        for (var l = 0u; l < M1; l++) {
            u[l] = add(u[l], mul(second[i * M1 + l], y));
        }
    }
    var value = double(0.0, 0.0);
    for (var l = 0u; l < M1; l++) {
        value = add(value, mul(second[tau + M1 + l], double_activate(TOP, u[l])));
    }
    values[n] = value;
}
