// Values of f, less c0, at a batch of points. One invocation takes a tile of POINTS points and FOURS times
// four first-layer units: for UNROLL inputs of both it makes 4 POINTS FOURS UNROLL multiply-adds.
#include math
#include gauss
#include activation

struct Params {
    points: u32,
    // Inputs, in multiples of UNROLL; the others are zero.
    inputs: u32,
    // First-layer units, in fours, and those in multiples of FOURS; the others have no weights.
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

// Activations are loops over these, not written out: compilers would take seconds for all of them. The
// sums themselves are variables of their own: an array indexed by a loop is memory.
var<private> outputs: array<real4, FOURS * POINTS>;
var<private> inputs: array<real4, L4>;

// The output layer on the second layer's inputs.
fn top_values() -> real {
    var value = real(0.0);
    for (var l = 0u; l < L4; l++) {
        value += dot(second[params.c + l], activate4(TOP, inputs[l]));
    }
    return value;
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let begin = group.x * POINTS * WORKGROUP + lane;
#for p in POINTS
    let n$p = min(begin + $pu * WORKGROUP, params.points - 1u);
#for l in L4
    var u$p_$l = -second[params.tau + $lu];
#end
#end
    for (var four = 0u; four < params.units4; four += FOURS) {
#for f in FOURS
#for p in POINTS
        var z$f_$p = -first[params.theta + four + $fu];
#end
#end
        for (var r = 0u; r < params.inputs; r += UNROLL) {
#for s in UNROLL
#for p in POINTS
            let x$s_$p = points[(r + $su) * params.points + n$p];
#end
#for f in FOURS
            let a$s_$f = first[(four + $fu) * params.inputs + r + $su];
#for p in POINTS
            z$f_$p += a$s_$f * x$s_$p;
#end
#end
#end
        }
#for f in FOURS
#for p in POINTS
        outputs[$f * POINTS + $p] = z$f_$p;
#end
#end
        for (var t = 0u; t < FOURS * POINTS; t++) {
            outputs[t] = activate4(BOTTOM, outputs[t]);
        }
#for f in FOURS
        let row$f = 4u * (four + $fu) * L4;
#for p in POINTS
        let y$f_$p = outputs[$f * POINTS + $p];
#for l in L4
        u$p_$l += second[row$f + $lu] * y$f_$p.x + second[row$f + L4 + $lu] * y$f_$p.y;
        u$p_$l += second[row$f + 2u * L4 + $lu] * y$f_$p.z + second[row$f + 3u * L4 + $lu] * y$f_$p.w;
#end
#end
#end
    }
#for p in POINTS
#for l in L4
    inputs[$l] = u$p_$l;
#end
    let value$p = top_values();
    if (begin + $pu * WORKGROUP < params.points) {
        values[n$p] = value$p;
    }
#end
}
