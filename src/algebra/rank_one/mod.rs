//! Stage 3: the rank-one matrices u u^T in a subspace W of symmetric matrices.
//!
//! Both ascents climb from many starts at once; the objective |P_W(u u^T)|_F^2 has the known maximum
//! 1, reached exactly by the rank-one elements of W, so its distance from 1 tests a candidate.

mod conditions;
mod distinct;
mod off_diagonal;
mod power;
mod spectral;
mod tolerances;
mod whitening;

use nalgebra::{DMatrix, DVector, DVectorView};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use conditions::Conditions;
pub use distinct::{entries_of, most_distinct, polish, search_distinct, triples};
pub use off_diagonal::{most_off_diagonal, pairs, search_off_diagonal};
pub use spectral::{Climb, Limit, StepSize, ascend, random_starts};
pub use whitening::Whitening;

use crate::algebra::linalg::tr_product;
use crate::algebra::svec::svec_outer;
use tolerances::{
    ASCENT_ARRIVED, ASCENT_STEPS, BATCH, GAMMA, LIMIT_ARRIVED, LIMIT_STEPS, POWER_ARRIVED,
    POWER_NEAR, SAME_DIRECTION,
};

/// Which ascent is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Ascent {
    /// Projected spectral-norm ascent M <- P_W(M + gamma u u^T), of the paper.
    #[default]
    Spectral,
    /// The same with gamma = |lambda_1|, as in the group's code for one hidden layer.
    Doubling,
    /// Subspace power method u <- P_W(u u^T) u (Kileel and Pereira; Kileel, Klock and Pereira,
    /// NeurIPS 2021).
    Power,
}

impl Ascent {
    /// Every ascent known to the program.
    pub const ALL: [Ascent; 3] = [Ascent::Spectral, Ascent::Doubling, Ascent::Power];

    /// The name used on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Ascent::Spectral => "spectral",
            Ascent::Doubling => "doubling",
            Ascent::Power => "power",
        }
    }

    /// The climb on matrices that precedes the power method, if there is one.
    fn climb(self) -> Option<Climb> {
        let step = match self {
            Ascent::Spectral => StepSize::Fixed(GAMMA),
            Ascent::Doubling => StepSize::Doubling,
            Ascent::Power => return None,
        };
        Some(Climb { step, most_steps: ASCENT_STEPS, arrived: ASCENT_ARRIVED })
    }
}

/// A direction found, with |P_W(u u^T)|_F^2.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Unit vector.
    pub direction: DVector<f64>,
    /// |P_W(u u^T)|_F^2, at most 1.
    pub score: f64,
    /// How many starts ended here.
    pub hits: usize,
}

/// Climbs from the columns of `starts` (n x k, any length) in the subspace with the orthonormal
/// basis `basis` (n(n+1)/2 x r) and merges the ends; best scores first.
pub fn search(basis: &DMatrix<f64>, starts: &DMatrix<f64>, ascent: Ascent) -> Vec<Candidate> {
    if basis.ncols() == 0 {
        return Vec::new();
    }
    let unit = |start: DVectorView<'_, f64>| start.try_normalize(0.0).unwrap_or(start.into());
    fixed_points(basis, starts.column_iter().map(unit).collect(), ascent.climb())
}

/// Where the ascent ends from the matrices with the coordinates `starts` (r x k, none of them zero) in the subspace
/// with the orthonormal basis `basis` (n(n+1)/2 x r): one limit for each direction, largest spectral norm first. The
/// power method starts from the top eigenvectors.
pub fn limits(basis: &DMatrix<f64>, starts: &DMatrix<f64>, ascent: Ascent) -> Vec<Limit> {
    let mut ends = match ascent.climb() {
        Some(climb) => {
            let climb = Climb { most_steps: LIMIT_STEPS, arrived: LIMIT_ARRIVED, ..climb };
            ascend(basis, starts, climb)
        }
        None => {
            let nowhere = Climb { step: StepSize::Doubling, most_steps: 0, arrived: 0.0 };
            let tops = ascend(basis, starts, nowhere).into_iter().map(|top| top.direction);
            let ends: Vec<_> = fixed_points(basis, tops.collect(), None)
                .into_iter()
                .map(|end| end.direction)
                .collect();
            ascend(basis, &projections(basis, &DMatrix::from_columns(&ends)), nowhere)
        }
    };
    // The sort is stable, so that of equal ends the first stays first.
    ends.sort_by(|a, b| b.spectral_norm.total_cmp(&a.spectral_norm));
    let mut distinct: Vec<Limit> = Vec::new();
    for end in ends {
        if !distinct.iter().any(|l| l.direction.dot(&end.direction).abs() > SAME_DIRECTION) {
            distinct.push(end);
        }
    }
    distinct
}

/// Where the power method ends from unit vectors, or from where the `climb` ends from them. Its fixed points are those of
/// the climb, and its steps are cheaper. Most starts share their end with others: they are moved until they can be
/// told apart, and one for each end goes all the way.
fn fixed_points(
    basis: &DMatrix<f64>,
    starts: Vec<DVector<f64>>,
    climb: Option<Climb>,
) -> Vec<Candidate> {
    let starts = starts.into_iter().map(|direction| Candidate { direction, score: 0.0, hits: 1 });
    let near = moved(starts.collect(), |ends| {
        if let Some(climb) = climb {
            spectral::climb(basis, ends, climb);
        }
        power::climb(basis, ends, POWER_NEAR)
    });
    moved(near, |ends| power::climb(basis, ends, POWER_ARRIVED))
}

/// The candidates with their directions, columns of a matrix, moved in batches by `climb`, which returns the scores; equal
/// ones merged.
fn moved(
    mut candidates: Vec<Candidate>,
    climb: impl Fn(&mut DMatrix<f64>) -> Vec<f64> + Sync,
) -> Vec<Candidate> {
    candidates.par_chunks_mut(BATCH).for_each(|batch| {
        let directions: Vec<_> = batch.iter().map(|c| c.direction.column(0)).collect();
        let mut ends = DMatrix::from_columns(&directions);
        let scores = climb(&mut ends);
        for ((candidate, end), score) in batch.iter_mut().zip(ends.column_iter()).zip(scores) {
            candidate.direction.copy_from(&end);
            candidate.score = score;
        }
    });
    candidates.retain(|candidate| candidate.score.is_finite());
    merged(candidates)
}

/// |P_W(u u^T)|_F^2 for one unit vector.
pub fn score(basis: &DMatrix<f64>, direction: &DVector<f64>) -> f64 {
    let mut outer = DVector::zeros(basis.nrows());
    svec_outer(direction.as_slice(), outer.as_mut_slice());
    basis.tr_mul(&outer).norm_squared()
}

/// Coordinates (r x k) of P_W(u u^T) for the columns u.
pub fn projections(basis: &DMatrix<f64>, directions: &DMatrix<f64>) -> DMatrix<f64> {
    let mut outer = DMatrix::zeros(basis.nrows(), directions.ncols());
    for (u, mut outer) in directions.column_iter().zip(outer.column_iter_mut()) {
        svec_outer(u.as_slice(), outer.as_mut_slice());
    }
    tr_product(basis, &outer)
}

/// Equal directions made one candidate, best scores first.
pub fn merged(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    // The sort is stable, so that of equal scores the first stays first.
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut found: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        match found
            .iter_mut()
            .find(|c| c.direction.dot(&candidate.direction).abs() > SAME_DIRECTION)
        {
            Some(same) => same.hits += candidate.hits,
            None => found.push(candidate),
        }
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::algebra::linalg::thin_svd;
    use crate::draws;

    /// Orthonormal basis of span{a_i a_i^T}.
    pub(super) fn planted(n: usize, m: usize, seed: u64) -> (DMatrix<f64>, DMatrix<f64>) {
        let mut rng = draws::stream(seed, "planted", 0);
        let mut a = draws::gaussian(&mut rng, n, m);
        a.column_iter_mut().for_each(|mut u| {
            u.normalize_mut();
        });
        let basis = span_of(&a);
        (a, basis)
    }

    /// The same for the columns of `a`.
    pub(super) fn span_of(a: &DMatrix<f64>) -> DMatrix<f64> {
        let n = a.nrows();
        let mut stack = DMatrix::zeros(n * (n + 1) / 2, a.ncols());
        for (u, mut outer) in a.column_iter().zip(stack.column_iter_mut()) {
            svec_outer(u.into_owned().as_slice(), outer.as_mut_slice());
        }
        thin_svd(&stack).unwrap().u
    }

    #[test]
    fn every_ascent_finds_every_planted_direction() {
        for (n, m) in [(8, 5), (8, 8), (8, 11)] {
            let (a, basis) = planted(n, m, 3);
            let starts = draws::gaussian(&mut draws::stream(3, "starts", 0), n, 12 * m);
            for ascent in Ascent::ALL {
                let found = search(&basis, &starts, ascent);
                for i in 0..m {
                    let best = found
                        .iter()
                        .map(|c| c.direction.dot(&a.column(i)).abs())
                        .fold(0.0, f64::max);
                    assert!(best > 1.0 - 1e-10, "{ascent:?} {n} {m} unit {i}: {best}");
                }
                let good = found.iter().filter(|c| c.score > 1.0 - 1e-9).count();
                assert_eq!(good, m, "{ascent:?} {n} {m}");
            }
        }
    }

    #[test]
    fn every_start_is_a_hit_whatever_the_number_of_threads() {
        let (_, basis) = planted(6, 5, 9);
        let starts = draws::gaussian(&mut draws::stream(9, "starts", 0), 6, 2 * BATCH + 1);
        let seen = [1, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| search(&basis, &starts, Ascent::Spectral));
            assert_eq!(found.iter().map(|c| c.hits).sum::<usize>(), starts.ncols());
            found.into_iter().map(|c| (c.direction, c.score, c.hits)).collect::<Vec<_>>()
        });
        assert_eq!(seen[0], seen[1]);
    }

    #[test]
    fn every_ascent_from_random_matrices_ends_at_every_planted_element() {
        let (a, basis) = planted(8, 8, 7);
        let starts = random_starts(&mut draws::stream(7, "matrices", 0), 8, 100);
        for ascent in Ascent::ALL {
            let held: Vec<Limit> = limits(&basis, &starts, ascent)
                .into_iter()
                .filter(|limit| Conditions::at(&basis, limit).hold(1e-9))
                .collect();
            assert_eq!(held.len(), 8, "{ascent:?}");
            for limit in held {
                assert!(a.tr_mul(&limit.direction).amax() > 1.0 - 1e-8, "{ascent:?}");
            }
        }
    }

    #[test]
    fn the_score_is_one_inside_and_less_outside() {
        let (a, basis) = planted(6, 4, 5);
        assert!((score(&basis, &a.column(0).into_owned()) - 1.0).abs() < 1e-12);
        let outside = draws::unit_vector(&mut draws::stream(1, "outside", 0), 6);
        assert!(score(&basis, &outside) < 0.9);
    }
}
