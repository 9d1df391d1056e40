// What a step of the subspace power method needs beside matrix products, over a slice of svec entries that
// holds whole columns of the upper triangle: svec's of u u^T for many directions u, and the products of
// many symmetric matrices with one vector each. One invocation a direction, so that neighbours read and
// write side by side.
struct Params {
    // The slice: entries [first_entry, first_entry + entries) of an svec.
    first_entry: u32,
    entries: u32,
    // Components of a direction.
    order: u32,
    // Directions.
    columns: u32,
    // Where an entry of a column lies in the slice: at entry * row + column * column_stride.
    row: u32,
    column_stride: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [component][direction].
@group(0) @binding(1) var<storage, read> directions: array<real>;
// The slice, written by `outers` and read by `images`.
@group(0) @binding(2) var<storage, read_write> slice: array<real>;
// [component][direction], added to.
@group(0) @binding(3) var<storage, read_write> products: array<real>;

const ROOT_HALF: real = real(0.70710678118654752);

// Entries before column j of the upper triangle.
fn before(j: u32) -> u32 {
    return j * (j + 1u) / 2u;
}

// The column that holds an entry. The root is rounded, hence the steps.
fn column_of(entry: u32) -> u32 {
    var j = u32(sqrt(2.0 * f32(entry)));
    while (before(j) > entry) {
        j--;
    }
    while (before(j + 1u) <= entry) {
        j++;
    }
    return j;
}

fn direction(i: u32, k: u32) -> real {
    return directions[i * params.columns + k];
}

@compute @workgroup_size(WORKGROUP)
fn outers(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let k = group.x * WORKGROUP + lane;
    if (k >= params.columns) {
        return;
    }
    for (var e = group.y; e < params.entries; e += groups.y) {
        let j = column_of(params.first_entry + e);
        let i = params.first_entry + e - before(j);
        let value = direction(i, k) * direction(j, k);
        slice[e * params.row + k * params.column_stride] =
            select(real(2.0) * ROOT_HALF, real(1.0), i == j) * value;
    }
}

fn entry(i: u32, j: u32, k: u32) -> real {
    let e = before(j) + i - params.first_entry;
    return slice[e * params.row + k * params.column_stride];
}

// Adds to component i of every product what the slice holds of row i of its matrix.
@compute @workgroup_size(WORKGROUP)
fn images(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let k = group.x * WORKGROUP + lane;
    let i = group.y;
    if (k >= params.columns) {
        return;
    }
    let first = column_of(params.first_entry);
    let end = column_of(params.first_entry + params.entries - 1u) + 1u;
    var off = real(0.0);
    for (var j = max(first, i + 1u); j < end; j++) {
        off += entry(i, j, k) * direction(j, k);
    }
    var sum = real(0.0);
    if (first <= i && i < end) {
        for (var r = 0u; r < i; r++) {
            off += entry(r, i, k) * direction(r, k);
        }
        sum = entry(i, i, k) * direction(i, k);
    }
    products[i * params.columns + k] += sum + ROOT_HALF * off;
}
