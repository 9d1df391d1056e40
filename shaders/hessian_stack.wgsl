// Finite-difference Hessians as svec's: first `axes`, the second differences along every direction,
// then `pairs`, one invocation a tile of TILE_ROWS x TILE_COLUMNS entries of the upper triangle. What a
// unit is, its weights and what a direction does to it are then read once for the whole tile, whose sums
// stay in registers. All schemes are one formula with the weights in `rule`, see the host side.
#include math
#include gauss
#include parts
#include response

// i | j << 16 by tile: its first row and its first column.
@group(0) @binding(6) var<storage, read> tile_table: array<u32>;
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
    let value = difference(response(lane, centre, e / params.directions, i));
    if (entry < count) {
        axis_table[centre * count + entry] = value;
    }
}

// Writes entry (i, j) where it is one of the upper triangle. `mixed` are the weighted differences along
// v_i and v_j together.
fn put(centre: u32, i: u32, j: u32, mixed: real) {
    if (i > j || j >= params.directions) {
        return;
    }
    let near = centre * params.levels * params.directions;
    let far = near + params.directions;
    var value = mixed - rule[0] * rule[1] * (axis_table[near + i] + axis_table[near + j]);
    if (params.far == 1u) {
        value -= rule[2] * (axis_table[far + i] + axis_table[far + j]);
    }
    if (i == j) {
        value = rule[3] * axis_table[near + i];
        if (params.levels == 2u) {
            value += rule[4] * axis_table[far + i];
        }
    }
    stack[centre * params.entries + j * (j + 1u) / 2u + i - params.first_entry] = value;
}

@compute @workgroup_size(WORKGROUP)
fn pairs(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = group.x * WORKGROUP + lane;
    let centre = params.first_centre + group.y;
    let tile = tile_table[params.first_tile + min(index, params.tiles - 1u)];
    let i = tile & 0xffffu;
    let j = tile >> 16u;
    // Of the tile, row by row.
    var mixed: array<real, TILE_ROWS * TILE_COLUMNS>;
    // First h (v_i + v_j), then h (v_i - v_j) or 2h (v_i + v_j) where the scheme has it.
    let visits = 1u + params.minus + params.far;
    for (var visit = 0u; visit < visits; visit++) {
        let back = visit * params.minus == 1u;
        let level = visit * params.far;
        let sign = select(real(1.0), real(-1.0), back);
        let weight = select(rule[2u * level], -rule[0], back);
        for (var block = 0u; block < params.blocks; block++) {
#for r in TILE_ROWS
#for c in TILE_COLUMNS
#for l in L4
            var odd$r_$c_$l = real4();
            var even$r_$c_$l = real4();
#end
#end
#end
            for (var first = 0u; first < params.units; first += CHUNK) {
                let count = min(CHUNK, params.units - first);
                stage(lane, centre, block, first, count);
                for (var u = 0u; u < count; u++) {
                    let z = chunk_units[u];
                    let begin = moves_of(level, first + u);
#for l in L4
                    let w$l = chunk_weights[u * L4 + $lu];
#end
#for r in TILE_ROWS
                    let a$r = moves[begin + i + $ru];
#end
#for c in TILE_COLUMNS
                    let b$c = real2(sign, real(1.0)) * moves[begin + j + $cu];
#for r in TILE_ROWS
                    let parts$r_$c = bottom_parts(z, a$r, b$c);
#for l in L4
                    odd$r_$c_$l += w$l * parts$r_$c.x;
                    even$r_$c_$l += w$l * parts$r_$c.y;
#end
#end
#end
                }
            }
#for r in TILE_ROWS
#for c in TILE_COLUMNS
#for l in L4
            odd_sums[($r * TILE_COLUMNS + $c) * L4 + $l] = odd$r_$c_$l;
            even_sums[($r * TILE_COLUMNS + $c) * L4 + $l] = even$r_$c_$l;
#end
#end
#end
            for (var p = 0u; p < TILE_ROWS * TILE_COLUMNS; p++) {
                mixed[p] += weight * difference(block_parts(centre, block, p));
            }
        }
    }
    if (index < params.tiles) {
        for (var p = 0u; p < TILE_ROWS * TILE_COLUMNS; p++) {
            put(centre, i + p / TILE_COLUMNS, j + p % TILE_COLUMNS, mixed[p]);
        }
    }
}
