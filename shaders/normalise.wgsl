// Lengths of columns, and columns times a number each: one over the length, or zero for a column that
// is to count no more. One workgroup a column.
struct Params {
    entries: u32,
    columns: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> stack: array<real>;
// By column: the lengths found, or the factors given.
@group(0) @binding(2) var<storage, read_write> numbers: array<real>;

var<workgroup> shares: array<real, WORKGROUP>;

// The largest entry is divided out first: squares of small entries would underflow.
@compute @workgroup_size(WORKGROUP)
fn lengths(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let begin = group.x * params.entries;
    var most = real(0.0);
    for (var e = lane; e < params.entries; e += WORKGROUP) {
        most = max(most, abs(stack[begin + e]));
    }
    shares[lane] = most;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if (lane < half) {
            shares[lane] = max(shares[lane], shares[lane + half]);
        }
        workgroupBarrier();
    }
    most = shares[0];
    workgroupBarrier();

    let unit = real(1.0) / select(real(1.0), most, most > real(0.0));
    var sum = real(0.0);
    for (var e = lane; e < params.entries; e += WORKGROUP) {
        let x = stack[begin + e] * unit;
        sum += x * x;
    }
    shares[lane] = sum;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if (lane < half) {
            shares[lane] += shares[lane + half];
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        numbers[group.x] = most * sqrt(shares[0]);
    }
}

@compute @workgroup_size(WORKGROUP)
fn scale(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let begin = group.x * params.entries;
    let factor = numbers[group.x];
    for (var e = lane; e < params.entries; e += WORKGROUP) {
        stack[begin + e] *= factor;
    }
}
