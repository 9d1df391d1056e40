// The response of f to a displacement: what the gradient and the Hessian kernel have in common.
//
// One workgroup works on one centre, each invocation on one displacement, or on a tile of them in the
// Hessian kernel. The first layer passes through workgroup memory in chunks of units; the second is taken in blocks of 4 * L4 units, whose sums stay
// in registers.

struct Params {
    // k directions.
    directions: u32,
    // First-layer units.
    units: u32,
    // Blocks of second-layer units.
    blocks: u32,
    // Outputs a centre: all, or those of a slice.
    entries: u32,
    // Tables of displacements: at h, and at 2h if the scheme visits it.
    levels: u32,
    // 1: f(x+s) - f(x) stands for the second difference.
    one_sided: u32,
    // 1: the Hessian scheme visits v_i - v_j too.
    minus: u32,
    // 1: the Hessian scheme visits 2h (v_i + v_j) too.
    far: u32,
    // The dispatch begins at this centre.
    first_centre: u32,
    // The outputs begin at this entry of a centre's svec.
    first_entry: u32,
    // Tiles of the outputs: the first, and how many.
    first_tile: u32,
    tiles: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// B by [block][unit][L4], then c by [block][L4].
@group(0) @binding(1) var<storage, read> network: array<real4>;
// First-layer units at the centres: [centre][unit].
@group(0) @binding(2) var<storage, read> bottoms: array<real2>;
// Second-layer units at the centres, first halves and second halves: [centre][block][2][L4].
@group(0) @binding(3) var<storage, read> tops: array<real4>;
// What the directions do to the units: [level][unit][direction], the directions padded by some that do
// nothing to a multiple of PADDING.
@group(0) @binding(4) var<storage, read> moves: array<real2>;
// Weights of the scheme.
@group(0) @binding(5) var<storage, read> rule: array<real>;

const CHUNK: u32 = 32u;
var<workgroup> chunk_weights: array<real4, CHUNK * L4>;
var<workgroup> chunk_units: array<real2, CHUNK>;

// Brings `count` first-layer units from `first` on, with their weights into a block, into workgroup
// memory. All invocations of a workgroup must call it together, as all that follow here.
fn stage(lane: u32, centre: u32, block: u32, first: u32, count: u32) {
    workgroupBarrier();
    for (var e = lane; e < count * L4; e += WORKGROUP) {
        chunk_weights[e] = network[(block * params.units + first) * L4 + e];
    }
    for (var e = lane; e < count; e += WORKGROUP) {
        chunk_units[e] = bottoms[centre * params.units + first + e];
    }
    workgroupBarrier();
}

// Where the moves of a unit begin.
fn moves_of(level: u32, unit: u32) -> u32 {
    return (level * params.units + unit) * ((params.directions + PADDING - 1u) / PADDING * PADDING);
}

fn bottom_parts(z: real2, a: real2, b: real2) -> real2 {
    if (BOTTOM_ERF == 1u) {
        return erf_parts(z.x, a.x + b.x);
    }
    return tanh_parts_sum(z, a, b);
}

// No displacement, for either kind of unit: (tanh 0, sech^2 0).
const STAY: real2 = real2(0.0, 1.0);

// What four second-layer units, known by (x, y), with output weights c, add to the response.
fn four_parts(x: real4, y: real4, c: real4, odd: real4, even: real4) -> real2 {
    return c.x * top_parts(real2(x.x, y.x), odd.x, even.x)
        + c.y * top_parts(real2(x.y, y.y), odd.y, even.y)
        + c.z * top_parts(real2(x.z, y.z), odd.z, even.z)
        + c.w * top_parts(real2(x.w, y.w), odd.w, even.w);
}

// Sums of the second layer by [displacement of the tile][four], once a pass through the units is over.
// Within it they are variables of their own: an array indexed by a loop is memory.
var<private> odd_sums: array<real4, TILE_ROWS * TILE_COLUMNS * L4>;
var<private> even_sums: array<real4, TILE_ROWS * TILE_COLUMNS * L4>;

// What the second-layer units of a block add to the response to one displacement of the tile. A loop, not
// written out: compilers would take seconds for all of it.
fn block_parts(centre: u32, block: u32, displacement: u32) -> real2 {
    let top = (centre * params.blocks + block) * 2u * L4;
    let outer = (params.blocks * params.units + block) * L4;
    var total = real2(0.0, 0.0);
    for (var l = 0u; l < L4; l++) {
        let at = displacement * L4 + l;
        total += four_parts(
            tops[top + l],
            tops[top + L4 + l],
            network[outer + l],
            odd_sums[at],
            even_sums[at],
        );
    }
    return total;
}

// Odd and even part of the change of f when the centre moves along v_i.
fn response(lane: u32, centre: u32, level: u32, i: u32) -> real2 {
    var total = real2(0.0, 0.0);
    for (var block = 0u; block < params.blocks; block++) {
#for l in L4
        var odd$l = real4();
        var even$l = real4();
#end
        for (var first = 0u; first < params.units; first += CHUNK) {
            let count = min(CHUNK, params.units - first);
            stage(lane, centre, block, first, count);
            for (var u = 0u; u < count; u++) {
                let parts = bottom_parts(chunk_units[u], moves[moves_of(level, first + u) + i], STAY);
#for l in L4
                let w$l = chunk_weights[u * L4 + $lu];
                odd$l += w$l * parts.x;
                even$l += w$l * parts.y;
#end
            }
        }
#for l in L4
        odd_sums[$l] = odd$l;
        even_sums[$l] = even$l;
#end
        total += block_parts(centre, block, 0u);
    }
    return total;
}
