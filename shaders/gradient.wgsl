// Directional derivatives by central differences: entry e of centre n is
// rule[0] * odd(h v_e) + rule[1] * odd(2h v_e).
#include math
#include gauss
#include parts
#include response

@group(0) @binding(6) var<storage, read_write> gradients: array<real>;

@compute @workgroup_size(WORKGROUP)
fn gradient(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let entry = group.x * WORKGROUP + lane;
    let centre = params.first_centre + group.y;
    let i = min(entry, params.directions - 1u);
    var derivative = rule[0] * response(lane, centre, 0u, i).x;
    if (params.far == 1u) {
        derivative += rule[1] * response(lane, centre, 1u, i).x;
    }
    if (entry < params.directions) {
        gradients[centre * params.directions + entry] = derivative;
    }
}
