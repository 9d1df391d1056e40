// Finite-difference Hessians as svec's: first `axes`, the second differences along every direction,
// then `pairs`, one invocation an entry of the upper triangle. All schemes are one formula with the
// weights in `rule`, see the host side.
#include math
#include gauss
#include parts
#include response

// i | j << 16 by svec entry, i <= j.
@group(0) @binding(6) var<storage, read> pair_table: array<u32>;
// [centre][level][direction].
@group(0) @binding(7) var<storage, read_write> axis_table: array<real>;
// [centre][entry], the entries from params.first_entry on.
@group(0) @binding(8) var<storage, read_write> stack: array<real>;

fn difference(parts: real2) -> real {
    return select(real(2.0) * parts.y, parts.x + parts.y, params.one_sided == 1u);
}

@compute @workgroup_size(WORKGROUP)
fn axes(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let centre = params.first_centre + group.y;
    let count = params.levels * params.directions;
    let entry = group.x * WORKGROUP + lane;
    let e = min(entry, count - 1u);
    let i = e % params.directions;
    let value = difference(response(lane, centre, e / params.directions, i, i, real(1.0)));
    if (entry < count) {
        axis_table[centre * count + entry] = value;
    }
}

@compute @workgroup_size(WORKGROUP)
fn pairs(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let entry = group.x * WORKGROUP + lane;
    let centre = params.first_centre + group.y;
    let packed = pair_table[params.first_entry + min(entry, params.entries - 1u)];
    let i = packed & 0xffffu;
    let j = packed >> 16u;
    let near = centre * params.levels * params.directions;
    let plus = difference(response(lane, centre, 0u, i, j, real(1.0)));
    var value = rule[0] * (plus - rule[1] * (axis_table[near + i] + axis_table[near + j]));
    if (params.minus == 1u) {
        value -= rule[0] * difference(response(lane, centre, 0u, i, j, real(-1.0)));
    }
    if (params.far == 1u) {
        let far = near + params.directions;
        let plus_far = difference(response(lane, centre, 1u, i, j, real(1.0)));
        value += rule[2] * (plus_far - (axis_table[far + i] + axis_table[far + j]));
    }
    if (i == j) {
        value = rule[3] * axis_table[near + i];
        if (params.levels == 2u) {
            value += rule[4] * axis_table[near + params.directions + i];
        }
    }
    if (entry < params.entries) {
        stack[centre * params.entries + entry] = value;
    }
}
