// The building blocks of double-f32 arithmetic on pairs of inputs, for the self-test: per pair the
// sum, its error, the product, its error.
#include gauss
#include double

struct Params {
    pairs: u32,
    // Zero, which the compiler must not know.
    zero: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> inputs: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> outputs: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn double_f32(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.pairs) {
        return;
    }
    let pair = inputs[id.x];
    outputs[id.x] = vec4(two_sum(pair.x, pair.y), two_product(pair.x, pair.y));
}
