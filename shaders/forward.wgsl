// Values of f, less c0, at a batch of points: one invocation a point, four first-layer units at once.
#include math
#include gauss
#include activation

struct Params {
    points: u32,
    inputs: u32,
    // First-layer units, in fours.
    units4: u32,
    // Where theta begins in `first`, where tau and c begin in `second`: in real4's.
    theta: u32,
    tau: u32,
    c: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// A by [four units][input], then theta.
@group(0) @binding(1) var<storage, read> first: array<real4>;
// B by [unit][L4], then tau, then c.
@group(0) @binding(2) var<storage, read> second: array<real4>;
// [input][point].
@group(0) @binding(3) var<storage, read> points: array<real>;
@group(0) @binding(4) var<storage, read_write> values: array<real>;

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(global_invocation_id) id: vec3<u32>) {
    let n = id.x;
    if (n >= params.points) {
        return;
    }
#for l in L4
    var u$l = -second[params.tau + $lu];
#end
    for (var four = 0u; four < params.units4; four++) {
        var z = -first[params.theta + four];
        for (var r = 0u; r < params.inputs; r++) {
            z += first[four * params.inputs + r] * points[r * params.points + n];
        }
        let y = activate4(BOTTOM, z);
        let row = 4u * four * L4;
#for l in L4
        u$l += second[row + $lu] * y.x + second[row + L4 + $lu] * y.y;
        u$l += second[row + 2u * L4 + $lu] * y.z + second[row + 3u * L4 + $lu] * y.w;
#end
    }
    var value = real(0.0);
#for l in L4
    value += dot(second[params.c + $lu], activate4(TOP, u$l));
#end
    values[n] = value;
}
