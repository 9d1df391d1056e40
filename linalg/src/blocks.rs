//! Gram matrices, Cholesky factors and triangular inverses in blocks of fixed sizes, which several can share.
//!
//! Every block is one product or one solution of a triangular system, of the same shape and from the same numbers whoever
//! does it, so that no digit shows how many there were.

use std::ops::Range;

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::linalg::triangular_inverse::invert_upper_triangular;
use faer::linalg::triangular_solve::{
    solve_lower_triangular_in_place, solve_upper_triangular_in_place,
};
use faer::{MatMut, MatRef, Par};
use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use crate::{view, zeros};

// Search effort.
/// Columns of a block of a Gram matrix. Larger blocks are harder to share evenly, smaller ones repeat reads.
const GRAM_BLOCK: usize = 128;
/// Columns of a block of a Cholesky factor. Its diagonal block is everyone's own work, a share of 3 blocks / n of the whole;
/// products of narrower blocks are slower.
const FACTOR_COLUMNS: usize = 64;
/// Rows of a block below the diagonal one.
const FACTOR_ROWS: usize = 128;
/// Columns of a block of an inverse.
const INVERSE_COLUMNS: usize = 128;
/// Rows whose squares are summed together: what is read at once of a column is a few cache lines.
const SQUARED_ROWS: usize = 128;
/// Rows and columns of a tile that is mirrored: two of them stay in the first-level cache.
const TILE: usize = 32;
/// Matrices of fewer rows are factorised and inverted as one block.
const LEAST_BLOCKED: usize = 512;

/// Those who share work that is cut into items.
pub trait Workers: Sync {
    /// What `work` makes of all items, in their order. Each does a range of them, that all have the like to do by the
    /// `weights` of the items; what it makes of an item must not depend on the range.
    fn shared(&self, weights: &[usize], work: &dyn Fn(Range<usize>) -> Vec<f64>) -> Vec<f64>;
}

/// One who does all.
pub struct Alone;

impl Workers for Alone {
    fn shared(&self, weights: &[usize], work: &dyn Fn(Range<usize>) -> Vec<f64>) -> Vec<f64> {
        work(0..weights.len())
    }
}

/// What `each` makes of these items, in parallel and in order.
fn each(items: Range<usize>, work: impl Fn(usize) -> Vec<f64> + Sync + Send) -> Vec<f64> {
    items.into_par_iter().map(work).collect::<Vec<_>>().concat()
}

/// The `block`-th of the blocks of so many indices.
fn block(block: usize, size: usize, all: usize) -> Range<usize> {
    block * size..((block + 1) * size).min(all)
}

/// A matrix of so many rows, at least one.
fn out(numbers: &mut [f64], rows: usize) -> MatMut<'_, f64> {
    let columns = numbers.len() / rows;
    MatMut::from_column_major_slice_mut(numbers, rows, columns)
}

/// The squared length of each row.
pub fn row_squares(matrix: &DMatrix<f64>, workers: &dyn Workers) -> DVector<f64> {
    let n = matrix.nrows();
    let rows = |at: usize| {
        let own = block(at, SQUARED_ROWS, n);
        let mut squares = vec![0.0; own.len()];
        for column in matrix.column_iter() {
            let entries = &column.as_slice()[own.clone()];
            squares.iter_mut().zip(entries).for_each(|(sum, v)| *sum += v * v);
        }
        squares
    };
    let weights = vec![1; n.div_ceil(SQUARED_ROWS)];
    DVector::from_vec(workers.shared(&weights, &|items| each(items, rows)))
}

/// M M^T of a wide matrix.
pub(crate) fn gram_of(matrix: &DMatrix<f64>, workers: &dyn Workers) -> DMatrix<f64> {
    let mut gram = lower_gram_of(matrix, workers);
    mirror(&mut gram);
    gram
}

/// The lower triangle of M M^T of a wide matrix; what is above it is none.
pub fn lower_gram_of(matrix: &DMatrix<f64>, workers: &dyn Workers) -> DMatrix<f64> {
    let n = matrix.nrows();
    let all = view(matrix);
    // Rows from the block on: the lower triangle, and a little of the upper one in the block.
    let columns = |at: usize| {
        let own = block(at, GRAM_BLOCK, n);
        let rows = n - own.start;
        let mut numbers = vec![0.0; rows * own.len()];
        faer::linalg::matmul::matmul(
            out(&mut numbers, rows),
            faer::Accum::Replace,
            all.subrows(own.start, rows),
            all.subrows(own.start, own.len()).transpose(),
            1.0,
            Par::Seq,
        );
        numbers
    };
    let weights: Vec<usize> = (0..n.div_ceil(GRAM_BLOCK)).map(|at| n - at * GRAM_BLOCK).collect();
    let numbers = workers.shared(&weights, &|items| each(items, columns));
    let mut gram = zeros(n, n);
    let mut left = numbers.as_slice();
    for j in 0..n {
        let first = j / GRAM_BLOCK * GRAM_BLOCK;
        let (column, rest) = left.split_at(n - first);
        gram.as_mut_slice()[j * n + first..(j + 1) * n].copy_from_slice(column);
        left = rest;
    }
    gram
}

/// Makes the upper triangle what the lower one is, tile by tile: along whole rows every entry is in another cache line.
fn mirror(matrix: &mut DMatrix<f64>) {
    let n = matrix.nrows();
    for first in (0..n).step_by(TILE) {
        let columns = first..(first + TILE).min(n);
        for top in (first..n).step_by(TILE) {
            for j in columns.clone() {
                for i in top.max(j + 1)..(top + TILE).min(n) {
                    matrix[(j, i)] = matrix[(i, j)];
                }
            }
        }
    }
}

/// L, lower triangular, where L L^T is the matrix, of which the lower triangle is read. `None` if it is not
/// positive definite to working precision.
pub(crate) fn lower_factor(
    mut matrix: DMatrix<f64>,
    workers: &dyn Workers,
) -> Option<DMatrix<f64>> {
    let n = matrix.nrows();
    if n == 0 {
        return Some(matrix);
    }
    // Nothing but zeros is left of the upper triangle.
    for (j, column) in matrix.as_mut_slice().chunks_exact_mut(n).enumerate() {
        column[..j].fill(0.0);
    }
    if n < LEAST_BLOCKED {
        return factorised(out(matrix.as_mut_slice(), n)).then_some(matrix);
    }
    for first in (0..n).step_by(FACTOR_COLUMNS) {
        let columns = first..(first + FACTOR_COLUMNS).min(n);
        let width = columns.len();
        let mut diagonal = updated(view(&matrix), columns.clone(), columns.clone());
        if !factorised(out(&mut diagonal, width)) {
            return None;
        }
        let below = n - columns.end;
        let blocks = below.div_ceil(FACTOR_ROWS);
        let (known, top) =
            (view(&matrix), MatRef::from_column_major_slice(&diagonal, width, width));
        let solved = |at: usize| {
            let own = block(at, FACTOR_ROWS, below);
            let rows = columns.end + own.start..columns.end + own.end;
            let count = rows.len();
            let mut numbers = updated(known, rows, columns.clone());
            solve_lower_triangular_in_place(
                top,
                out(&mut numbers, count).transpose_mut(),
                Par::Seq,
            );
            numbers
        };
        let numbers = workers.shared(&vec![1; blocks], &|items| each(items, solved));
        let mut factor = out(matrix.as_mut_slice(), n);
        factor.as_mut().submatrix_mut(first, first, width, width).copy_from(top);
        for at in 0..blocks {
            let own = block(at, FACTOR_ROWS, below);
            let part = &numbers[own.start * width..own.end * width];
            factor
                .as_mut()
                .submatrix_mut(columns.end + own.start, first, own.len(), width)
                .copy_from(MatRef::from_column_major_slice(part, own.len(), width));
        }
    }
    Some(matrix)
}

/// A block of the matrix that is left to factorise, by what is known of the factor in the columns before.
fn updated(factor: MatRef<'_, f64>, rows: Range<usize>, columns: Range<usize>) -> Vec<f64> {
    let known = columns.start;
    let mut numbers = vec![0.0; rows.len() * columns.len()];
    let mut left = out(&mut numbers, rows.len());
    left.copy_from(factor.submatrix(rows.start, known, rows.len(), columns.len()));
    faer::linalg::matmul::matmul(
        left,
        faer::Accum::Add,
        factor.submatrix(rows.start, 0, rows.len(), known),
        factor.submatrix(known, 0, columns.len(), known).transpose(),
        -1.0,
        Par::Seq,
    );
    numbers
}

/// Puts the factor into the lower triangle, zeros above; false if there is none.
fn factorised(mut matrix: MatMut<'_, f64>) -> bool {
    let n = matrix.nrows();
    let size = llt::factor::cholesky_in_place_scratch::<f64>(n, Par::Seq, Default::default());
    let done = llt::factor::cholesky_in_place(
        matrix.as_mut(),
        Default::default(),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(size)),
        Default::default(),
    );
    // Blocks of the upper triangle have served as scratch.
    for j in 1..n {
        for i in 0..j {
            matrix[(i, j)] = 0.0;
        }
    }
    done.is_ok()
}

/// R^-1 of an upper triangle R.
pub(crate) fn upper_inverse(r: MatRef<'_, f64>, workers: &dyn Workers) -> DMatrix<f64> {
    let (n, width) = (r.nrows(), INVERSE_COLUMNS);
    if n < LEAST_BLOCKED {
        let mut inverse = zeros(n, n);
        invert_upper_triangular(out(inverse.as_mut_slice(), n), r, Par::Seq);
        return inverse;
    }
    // Below the block the columns are zero.
    let columns = |at: usize| {
        let own = block(at, width, n);
        let mut numbers = vec![0.0; own.end * own.len()];
        let mut solved = out(&mut numbers, own.end);
        (0..own.len()).for_each(|j| solved[(own.start + j, j)] = 1.0);
        solve_upper_triangular_in_place(r.submatrix(0, 0, own.end, own.end), solved, Par::Seq);
        numbers
    };
    let blocks = n.div_ceil(width);
    let weights: Vec<usize> = (0..blocks).map(|at| block(at, width, n).end.pow(2)).collect();
    let numbers = workers.shared(&weights, &|items| each(items, columns));
    let mut inverse = zeros(n, n);
    let mut from = 0;
    for at in 0..blocks {
        for j in block(at, width, n) {
            let end = block(at, width, n).end;
            inverse.column_mut(j).rows_mut(0, end).copy_from_slice(&numbers[from..from + end]);
            from += end;
        }
    }
    inverse
}
