//! Cubes u (x) u (x) u of which only entries with three different indices are in a subspace.
//!
//! Let L be a subspace of such entries of symmetric n x n x n tensors, spanned by those of the cubes of u_l, l = 1..m. There are
//! n(n-1)(n-2)/6 of them, so that m may be far above n(n-1)/2, which is where [`super::most_off_diagonal`] ends. The map
//! from u to these entries is an n-dimensional cone; the search goes to and fro between it and L.

use nalgebra::{DMatrix, DVector};
use rayon::prelude::*;

use super::tolerances::{AXIS, CUBES_ARRIVED, CUBES_FILLED, CUBES_STEPS, POLISH_STEPS};
use super::{Candidate, merged};
use crate::algebra::linalg::Cholesky;

/// The largest dimension of a subspace of `count` entries of cubes of order `n` in which the search finds what spans it, and
/// nothing else: by counting dimensions there are others from count - n on, and before that the way is hard to find.
pub fn most_distinct(n: usize, count: usize) -> usize {
    let nearly = (CUBES_FILLED * count as f64) as usize;
    nearly.min(count.saturating_sub(n + 1))
}

/// Triples i < j < k.
pub fn triples(n: usize) -> impl Iterator<Item = [usize; 3]> {
    (0..n).flat_map(move |k| (0..k).flat_map(move |j| (0..j).map(move |i| [i, j, k])))
}

/// The products of the entries of u at each of the `indices`.
pub fn entries_of<const R: usize>(u: &DVector<f64>, indices: &[[usize; R]]) -> DVector<f64> {
    let product = |at: &[usize; R]| at.iter().map(|&i| u[i]).product();
    DVector::from_iterator(indices.len(), indices.iter().map(product))
}

/// Unit vectors u with the entries of their cubes at `triples` in the subspace with the orthonormal `basis` (triples x m): where
/// alternating projections end from the columns of `starts` (n x any), best scores first.
pub fn search_distinct(
    basis: &DMatrix<f64>,
    triples: &[[usize; 3]],
    starts: &DMatrix<f64>,
) -> Vec<Candidate> {
    let columns: Vec<DVector<f64>> = starts.column_iter().map(|u| u.normalize()).collect();
    let mut ends: Vec<Candidate> =
        columns.into_par_iter().map(|u| climb(basis, triples, u)).collect();
    ends.retain(|end| !is_flat::<3>(&end.direction));
    merged(ends)
}

/// Projects the entries on the subspace, and takes for each u_i what is nearest to that with all others as they are.
fn climb(basis: &DMatrix<f64>, triples: &[[usize; 3]], mut u: DVector<f64>) -> Candidate {
    let mut score = 0.0;
    for _ in 0..CUBES_STEPS {
        let entries = entries_of(&u, triples);
        let coordinates = basis.tr_mul(&entries);
        score = coordinates.norm_squared() / entries.norm_squared();
        let projected = basis * coordinates;
        let (mut pull, mut weight) =
            (DVector::<f64>::zeros(u.len()), DVector::<f64>::zeros(u.len()));
        for (&[i, j, k], entry) in triples.iter().zip(projected.iter()) {
            for (at, others) in [(i, u[j] * u[k]), (j, u[i] * u[k]), (k, u[i] * u[j])] {
                pull[at] += entry * others;
                weight[at] += others * others;
            }
        }
        let largest = weight.amax();
        let next =
            pull.zip_map(&weight, |p, w| if w > f64::EPSILON * largest { p / w } else { 0.0 });
        let Some(next) =
            next.try_normalize(0.0).filter(|next| next.iter().all(|x: &f64| x.is_finite()))
        else {
            score = 0.0;
            break;
        };
        let moved = (&next - &u).amax();
        u = next;
        if moved < CUBES_ARRIVED {
            break;
        }
    }
    Candidate { direction: u, score, hits: 1 }
}

/// Has u fewer than R entries but for small ones, so that no product of R different ones tells anything?
fn is_flat<const R: usize>(u: &DVector<f64>) -> bool {
    let mut squares: Vec<f64> = u.iter().map(|x| x * x).collect();
    squares.sort_by(|a, b| b.total_cmp(a));
    squares.iter().skip(R - 1).sum::<f64>() < 1.0 - AXIS * AXIS
}

/// The unit vector near `u` whose products at the `indices`, R different ones each, are nearest to the subspace with the
/// orthonormal `basis`, by Gauss-Newton steps, and the squared distance relative to them; `None` where it has fewer than
/// R entries. It tells nearly parallel units apart, for which a search takes thousands of steps.
pub fn polish<const R: usize>(
    basis: &DMatrix<f64>,
    indices: &[[usize; R]],
    u: &DVector<f64>,
) -> Option<(DVector<f64>, f64)> {
    let n = u.len();
    let beside = |v: DVector<f64>| {
        let inside = basis * basis.tr_mul(&v);
        v - inside
    };
    let mut at = u.normalize();
    let mut left = beside(entries_of(&at, indices));
    for _ in 0..POLISH_STEPS {
        let mut slopes = DMatrix::zeros(indices.len(), n);
        for (row, index) in indices.iter().enumerate() {
            for (position, &i) in index.iter().enumerate() {
                let others =
                    (0..R).filter(|&other| other != position).map(|other| at[index[other]]);
                slopes[(row, i)] = others.product();
            }
        }
        let jacobian = &slopes - basis * basis.tr_mul(&slopes);
        // The length is open: what of a step is along u is held back.
        let square = jacobian.tr_mul(&jacobian) + &at * at.transpose();
        let Some(factor) = Cholesky::new(&square) else { break };
        let next = (&at - factor.solve(&jacobian.tr_mul(&left))).normalize();
        let there = beside(entries_of(&next, indices));
        if there.norm_squared() < left.norm_squared() {
            (at, left) = (next, there);
        } else {
            break;
        }
    }
    let distance = left.norm_squared() / entries_of(&at, indices).norm_squared();
    (!is_flat::<R>(&at)).then_some((at, distance))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::algebra::linalg::thin_svd;
    use crate::draws;

    /// Plants `m` random directions of R^n in the span of their products at `indices`, searches it from `starts` random ones, and
    /// sees that the limits of the search, polished, are these directions and no others.
    pub(in super::super) fn all_are_found<const R: usize>(
        (n, m, starts): (usize, usize, usize),
        (label, indices): (&str, &[[usize; R]]),
        search: impl Fn(&DMatrix<f64>, &DMatrix<f64>) -> Vec<Candidate>,
    ) {
        let rng = &mut draws::stream(1, label, n as u64);
        let truth: Vec<DVector<f64>> = (0..m).map(|_| draws::unit_vector(rng, n)).collect();
        let columns: Vec<_> = truth.iter().map(|u| entries_of(u, indices)).collect();
        let basis = thin_svd(&DMatrix::from_columns(&columns)).unwrap().u;
        let starts = draws::gaussian(rng, n, starts);
        let mut found: Vec<DVector<f64>> = Vec::new();
        for candidate in search(&basis, &starts) {
            let polished = polish(&basis, indices, &candidate.direction);
            let Some((u, _)) = polished.filter(|polished| polished.1 < 1e-12) else { continue };
            if found.iter().all(|other| other.dot(&u).abs() < 1.0 - 1e-6) {
                found.push(u);
            }
        }
        assert_eq!(found.len(), m, "{n}");
        for u in &truth {
            assert!(found.iter().any(|found| found.dot(u).abs() > 1.0 - 1e-10), "{n} {m}");
        }
    }

    #[test]
    fn so_many_units_are_told_apart() {
        let most = |n: usize| most_distinct(n, triples(n).count());
        assert_eq!([3, 4, 5, 6, 8, 10, 12].map(most), [0, 0, 4, 12, 33, 72, 132]);
    }

    #[test]
    fn far_more_directions_than_pairs_of_entries_are_found() {
        for (n, m) in [(6, 8), (8, 30), (10, 48)] {
            let all: Vec<[usize; 3]> = triples(n).collect();
            assert!(m <= most_distinct(n, all.len()));
            all_are_found((n, m, 40 * m), ("cubes", &all), |basis, starts| {
                search_distinct(basis, &all, starts)
            });
        }
    }

    #[test]
    fn two_entries_tell_nothing() {
        let all: Vec<[usize; 3]> = triples(5).collect();
        let u = DVector::from_vec(vec![0.6, 0.8, 1e-4, 1e-4, 0.0]);
        assert!(polish(&DMatrix::zeros(10, 0), &all, &u).is_none());
    }
}
