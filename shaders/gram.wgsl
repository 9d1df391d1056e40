// Inner products of the columns of two matrices over a range of rows, L^T R; with the strides of L
// exchanged it is the product of a matrix and R. A workgroup of 8 x 8 invocations
// makes a tile of 32 x 32, each invocation 4 x 4 of it, with 16 rows at a time in workgroup memory.
struct Params {
    // Rows [first_row, last_row) are summed.
    first_row: u32,
    last_row: u32,
    left_columns: u32,
    right_columns: u32,
    // Where entry (row, column) of the left matrix lies: at row * left_row + column * left_column.
    left_row: u32,
    left_column: u32,
    // Between columns of the right matrix, whose rows lie side by side.
    right_column: u32,
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> left: array<real>;
@group(0) @binding(2) var<storage, read> right: array<real>;
// [left column][right column].
@group(0) @binding(3) var<storage, read_write> products: array<real>;

const TILE: u32 = 32u;
const ROWS: u32 = 16u;
// [row][column of four]
var<workgroup> left_tile: array<real, ROWS * TILE>;
var<workgroup> right_tile: array<real, ROWS * TILE>;

@compute @workgroup_size(WORKGROUP)
fn gram(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let x = 4u * (lane % 8u);
    let y = 4u * (lane / 8u);
    var sums: array<real4, 4>;
    for (var row = params.first_row; row < params.last_row; row += ROWS) {
        workgroupBarrier();
        for (var e = lane; e < ROWS * TILE; e += WORKGROUP) {
            let r = row + e % ROWS;
            let column = e / ROWS;
            let l = group.y * TILE + column;
            let m = group.x * TILE + column;
            let inside = r < params.last_row;
            var a = real(0.0);
            var b = real(0.0);
            if (inside && l < params.left_columns) {
                a = left[l * params.left_column + r * params.left_row];
            }
            if (inside && m < params.right_columns) {
                b = right[m * params.right_column + r];
            }
            left_tile[(e % ROWS) * TILE + column] = a;
            right_tile[(e % ROWS) * TILE + column] = b;
        }
        workgroupBarrier();
        for (var r = 0u; r < ROWS; r++) {
            let at = r * TILE;
            let b = real4(
                right_tile[at + x],
                right_tile[at + x + 1u],
                right_tile[at + x + 2u],
                right_tile[at + x + 3u],
            );
            sums[0] += left_tile[at + y] * b;
            sums[1] += left_tile[at + y + 1u] * b;
            sums[2] += left_tile[at + y + 2u] * b;
            sums[3] += left_tile[at + y + 3u] * b;
        }
    }
    for (var i = 0u; i < 4u; i++) {
        let l = group.y * TILE + y + i;
        if (l < params.left_columns) {
            for (var j = 0u; j < 4u; j++) {
                let m = group.x * TILE + x + j;
                if (m < params.right_columns) {
                    products[l * params.right_columns + m] = sums[i][j];
                }
            }
        }
    }
}
