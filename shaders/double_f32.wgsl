// The building blocks of double-f32 arithmetic on pairs of inputs, for the self-test: per pair the
// sum, its error, the product, its error.
@group(0) @binding(0) var<storage, read> inputs: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read_write> outputs: array<vec4<f32>>;

// Knuth
fn two_sum(a: f32, b: f32) -> vec2<f32> {
    let s = a + b;
    let t = s - a;
    return vec2(s, (a - (s - t)) + (b - t));
}

// Veltkamp
fn split(a: f32) -> vec2<f32> {
    let c = 4097.0 * a;
    let high = c - (c - a);
    return vec2(high, a - high);
}

// Dekker
fn two_product(a: f32, b: f32) -> vec2<f32> {
    let p = a * b;
    let x = split(a);
    let y = split(b);
    return vec2(p, ((x.x * y.x - p) + x.x * y.y + x.y * y.x) + x.y * y.y);
}

@compute @workgroup_size(WORKGROUP)
fn double_f32(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= arrayLength(&inputs)) {
        return;
    }
    let pair = inputs[id.x];
    outputs[id.x] = vec4(two_sum(pair.x, pair.y), two_product(pair.x, pair.y));
}
