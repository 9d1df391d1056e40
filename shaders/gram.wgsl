// Inner products of the columns of two matrices over a range of rows, L^T R; with the strides of L
// exchanged it is the product of a matrix and R. A workgroup of 8 x 8 invocations makes a tile of 64 x 64,
// each invocation 8 x 8 of it, with 8 rows at a time in workgroup memory: 16 numbers read for 64
// multiply-adds.
struct Params {
    // Rows [first_row, last_row) are summed.
    first_row: u32,
    last_row: u32,
    left_columns: u32,
    right_columns: u32,
    // Where entry (row, column) of a matrix lies: at row * left_row + column * left_column.
    left_row: u32,
    left_column: u32,
    right_row: u32,
    right_column: u32,
    // 1: added to what is there.
    add: u32,
    // 1: the product is symmetric, and only tiles on or above its diagonal are wanted.
    symmetric: u32,
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> left: array<real>;
@group(0) @binding(2) var<storage, read> right: array<real>;
// [left column][right column].
@group(0) @binding(3) var<storage, read_write> products: array<real>;

const TILE: u32 = 64u;
const ROWS: u32 = 8u;
// Fours from one row of a tile to the next: one more than there are, so that the rows of a column lie in
// different banks of the memory.
const SPAN: u32 = TILE / 4u + 1u;
// [row][four columns]
var<workgroup> left_tile: array<real4, ROWS * SPAN>;
var<workgroup> right_tile: array<real4, ROWS * SPAN>;

fn left_at(row: u32, column: u32) -> real {
    if (row >= params.last_row || column >= params.left_columns) {
        return real(0.0);
    }
    return left[row * params.left_row + column * params.left_column];
}

fn right_at(row: u32, column: u32) -> real {
    if (row >= params.last_row || column >= params.right_columns) {
        return real(0.0);
    }
    return right[row * params.right_row + column * params.right_column];
}

// Row and four of a tile that invocation `e` loads: neighbours load what lies side by side.
fn place(e: u32, row_stride: u32) -> vec2<u32> {
    let fours = TILE / 4u;
    return select(vec2(e / fours, e % fours), vec2(e % ROWS, e / ROWS), row_stride == 1u);
}

fn put(l: u32, m: u32, value: real) {
    if (l < params.left_columns && m < params.right_columns) {
        let at = l * params.right_columns + m;
        products[at] = value + select(real(0.0), products[at], params.add == 1u);
    }
}

fn put4(l: u32, m: u32, values: real4) {
    put(l, m, values.x);
    put(l, m + 1u, values.y);
    put(l, m + 2u, values.z);
    put(l, m + 3u, values.w);
}

@compute @workgroup_size(WORKGROUP)
fn gram(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if (params.symmetric == 1u && group.x < group.y) {
        return;
    }
    let l = group.y * TILE;
    let m = group.x * TILE;
    // An invocation has the fours x and x + 8 of the right columns, y and y + 8 of the left.
    let x = lane % 8u;
    let y = lane / 8u;
#for h in HALVES
#for i in FOUR
#for g in HALVES
    var sum$h_$i_$g = real4();
#end
#end
#end
    for (var row = params.first_row; row < params.last_row; row += ROWS) {
        workgroupBarrier();
        for (var e = lane; e < ROWS * TILE / 4u; e += WORKGROUP) {
            let p = place(e, params.left_row);
            let r = row + p.x;
            let c = l + 4u * p.y;
            left_tile[p.x * SPAN + p.y] =
                real4(left_at(r, c), left_at(r, c + 1u), left_at(r, c + 2u), left_at(r, c + 3u));
        }
        for (var e = lane; e < ROWS * TILE / 4u; e += WORKGROUP) {
            let p = place(e, params.right_row);
            let r = row + p.x;
            let c = m + 4u * p.y;
            right_tile[p.x * SPAN + p.y] =
                real4(right_at(r, c), right_at(r, c + 1u), right_at(r, c + 2u), right_at(r, c + 3u));
        }
        workgroupBarrier();
        for (var r = 0u; r < ROWS; r++) {
#for h in HALVES
            let a$h = left_tile[r * SPAN + y + 8u * $hu];
            let b$h = right_tile[r * SPAN + x + 8u * $hu];
#end
#for h in HALVES
#for i in FOUR
#for g in HALVES
            sum$h_$i_$g += a$h[$iu] * b$g;
#end
#end
#end
        }
    }
#for h in HALVES
#for i in FOUR
#for g in HALVES
    put4(l + 4u * (y + 8u * $hu) + $iu, m + 4u * (x + 8u * $gu), sum$h_$i_$g);
#end
#end
#end
}
