//! Rank-one matrices of which only the entries off the diagonal are in a subspace.
//!
//! Let L be a subspace of symmetric n x n matrices with a diagonal of 0, spanned by what is off the diagonals of u_l u_l^T,
//! l = 1..m. The u_l u_l^T are in L + {all diagonal matrices}, of m + n dimensions, and so are the e_i e_i^T, which
//! are rank one too and known. Generically there is no other as long as [`most_off_diagonal`] is not less than m.

use nalgebra::DMatrix;

use super::tolerances::{AXIS, SPURIOUS_FROM};
use super::{Ascent, Candidate, search};
use crate::algebra::svec::order;

/// The largest dimension of a subspace off the diagonals of order `n` in which the search finds what spans it, and little
/// else. What is off the diagonals of rank-one matrices is an n-dimensional cone: with its dimension and that of the
/// subspace n(n-1)/2 together, there are others by chance; and somewhat before, nearly.
pub fn most_off_diagonal(n: usize) -> usize {
    let by_chance = (n * n.saturating_sub(1) / 2).saturating_sub(n + 1);
    let nearly = (SPURIOUS_FROM * (n * (n + 1) / 2) as f64) as usize;
    by_chance.min(nearly.saturating_sub(n))
}

/// Pairs i < j in the order of svec.
pub fn pairs(n: usize) -> Vec<[usize; 2]> {
    (1..n).flat_map(|j| (0..j).map(move |i| [i, j])).collect()
}

/// Unit vectors u, none of them an axis, with u u^T off the diagonal in the subspace with the orthonormal `basis` (n(n-1)/2 x
/// m, in the order of [`pairs`]): those that the power method finds from the columns of `starts` (n x any), best
/// scores first.
pub fn search_off_diagonal(basis: &DMatrix<f64>, starts: &DMatrix<f64>) -> Vec<Candidate> {
    let (n, m) = (starts.nrows(), basis.ncols());
    let length = n * (n + 1) / 2;
    debug_assert_eq!(order(length), n);
    let mut whole = DMatrix::zeros(length, m + n);
    let (mut at, mut pair) = (0, 0);
    for j in 0..n {
        for _ in 0..j {
            whole.view_mut((at, 0), (1, m)).copy_from(&basis.row(pair));
            at += 1;
            pair += 1;
        }
        whole[(at, m + j)] = 1.0;
        at += 1;
    }
    let mut found = search(&whole, starts, Ascent::Power);
    found.retain(|candidate| candidate.direction.amax() < AXIS);
    found
}

#[cfg(test)]
mod tests {
    use nalgebra::DVector;

    use super::super::distinct::tests::all_are_found;
    use super::super::{entries_of, polish};
    use super::*;
    use crate::algebra::linalg::thin_svd;
    use crate::draws;

    #[test]
    fn so_many_units_are_told_apart() {
        assert_eq!([3, 4, 5, 6, 8, 10, 16].map(most_off_diagonal), [0, 1, 4, 8, 19, 31, 86]);
    }

    #[test]
    fn the_polish_tells_nearly_parallel_directions_apart() {
        let rng = &mut draws::stream(1, "nearly parallel", 0);
        let mut truth: Vec<DVector<f64>> = (0..6).map(|_| draws::unit_vector(rng, 8)).collect();
        truth[1] = (&truth[0] + draws::unit_vector(rng, 8) * 0.05).normalize();
        let pairs = pairs(8);
        let columns: Vec<_> = truth.iter().map(|u| entries_of(u, &pairs)).collect();
        let basis = thin_svd(&DMatrix::from_columns(&columns)).unwrap().u;
        for u in &truth {
            let start = (u + draws::unit_vector(rng, 8) * 0.01).normalize();
            let (found, distance) = polish(&basis, &pairs, &start).unwrap();
            assert!(found.dot(u).abs() > 1.0 - 1e-12 && distance < 1e-20, "{distance:e}");
        }
        // An axis has nothing off the diagonal, which is in every subspace.
        let axis = DVector::from_fn(8, |i, _| if i == 2 { 1.0 } else { 1e-4 });
        assert!(polish(&basis, &pairs, &axis).is_none());
    }

    #[test]
    fn more_directions_than_dimensions_are_found_by_what_is_off_the_diagonal() {
        for (n, m) in [(6, 8), (8, 16), (12, 40)] {
            assert!(m <= most_off_diagonal(n));
            let entries = ("off the diagonal", pairs(n));
            all_are_found((n, m, 60 * m), (entries.0, &entries.1), search_off_diagonal);
        }
    }
}
