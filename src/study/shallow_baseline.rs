//! The published experiment on one hidden layer, run again.
//!
//! tanh, d = m = 20, A = U diag(sigma) V^T with random orthogonal U and V and |sigma - 1| = eps (Euclidean norm,
//! a random direction, drawn again until every sigma is at least [`LEAST_SIGMA`], so that A stays
//! invertible), shifts N(0, 0.2^2), a random c with |c| = 1, N Hessians at random points of the unit sphere.
//! A run succeeds if every |<v, a_i / |a_i|>| is at least 1 - 0.05^2/2 for one of the m directions v found.
//!
//! [`PUBLISHED`] is the result stored with the code of the authors of the subspace method for one hidden
//! layer (Fornasier, Klock, Rauchensteiner and co-workers), as fractions of 20 runs.

use std::time::Instant;

use nalgebra::{DMatrix, DVector};
use serde::Serialize;

use crate::algebra::joint_diagonalisation::diagonalise_jointly;
use crate::algebra::linalg::thin_svd;
use crate::algebra::rank_one::{self, Ascent};
use crate::algebra::subspace::leading;
use crate::algebra::svec::smat;
use crate::draws;
use crate::identify::survey::step;
use crate::network::Activation;
use crate::network::OneLayer;
use crate::oracle::design::Design;
use crate::oracle::{NetworkOracle, Oracle, OracleError};
use crate::stencil::HessianScheme;

/// d = m.
pub const SIZE: usize = 20;
/// Numbers of Hessians: the columns of the table.
pub const HESSIANS: [usize; 7] = [16, 18, 20, 22, 24, 30, 38];
/// eps: its rows.
pub const SPREADS: [f64; 6] = [0.0, 0.25, 0.5, 1.0, 2.0, 3.0];
/// Their success rates, by row and column.
pub const PUBLISHED: [[f64; 7]; 6] = [
    [0.0, 0.35, 1.0, 1.0, 1.0, 1.0, 1.0],
    [0.0, 0.35, 1.0, 1.0, 1.0, 1.0, 1.0],
    [0.0, 0.35, 1.0, 1.0, 1.0, 1.0, 1.0],
    [0.0, 0.0, 0.95, 1.0, 1.0, 1.0, 1.0],
    [0.0, 0.0, 1.0, 0.95, 1.0, 0.95, 1.0],
    [0.0, 0.0, 0.95, 0.90, 0.85, 0.85, 0.90],
];
/// Least singular value of A.
pub const LEAST_SIGMA: f64 = 0.05;
/// Least |cos| of a direction found.
const LEAST_COSINE: f64 = 1.0 - 0.05 * 0.05 / 2.0;
/// Random starts of the rank-one search, a unit.
const STARTS: usize = 30;

/// One cell of the table.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cell {
    /// eps.
    pub spread: f64,
    /// N.
    pub hessians: usize,
    /// Runs.
    pub runs: usize,
    /// Their success rate.
    pub published: f64,
    /// Rate of the plain method: rank-one search in the span of the N Hessians.
    pub subspace: f64,
    /// Rate of the common diagonalisation of the N Hessians.
    pub pencil: f64,
    /// Queries a run.
    pub queries: u64,
    /// Mean wall-clock seconds of the Hessians of a run.
    pub hessian_seconds: f64,
    /// Mean wall-clock seconds of its rank-one search.
    pub subspace_seconds: f64,
    /// Mean wall-clock seconds of its diagonalisation.
    pub pencil_seconds: f64,
}

/// Runs the cell in this row and column `runs` times, at least once.
///
/// # Errors
/// None but those of an oracle, which a network of our own does not have.
///
/// # Panics
/// If there is no such row or column.
pub fn cell(row: usize, column: usize, runs: usize, seed: u64) -> Result<Cell, OracleError> {
    let (spread, hessians) = (SPREADS[row], HESSIANS[column]);
    let mut cell = Cell {
        spread,
        hessians,
        runs,
        published: PUBLISHED[row][column],
        subspace: 0.0,
        pencil: 0.0,
        queries: 0,
        hessian_seconds: 0.0,
        subspace_seconds: 0.0,
        pencil_seconds: 0.0,
    };
    for run in 0..runs {
        // The same networks in every column.
        let network = instance(spread, seed, (row * 100_000 + run) as u64);
        let rng = &mut draws::stream(seed, "baseline run", (run * 1000 + row * 10 + column) as u64);
        let since = Instant::now();
        let origin = DVector::zeros(SIZE);
        let points = Design::Sphere.points(rng, &origin, 1.0, f64::INFINITY, hessians);
        let mut oracle = NetworkOracle::new(network.clone());
        let lines = Design::Sphere.points(rng, &origin, 1.0, f64::INFINITY, hessians);
        let h = step::second_difference(&mut oracle, &points, &lines, 0.25)?.h;
        let (scheme, axes) = (HessianScheme::Richardson, DMatrix::identity(SIZE, SIZE));
        let stack = oracle.hessians(&points, &axes, scheme, h)?;
        cell.queries = hessians as u64 * (scheme.queries(SIZE) + step::QUERIES);
        cell.hessian_seconds += since.elapsed().as_secs_f64();

        let since = Instant::now();
        let found = search(&stack, rng);
        cell.subspace_seconds += since.elapsed().as_secs_f64();
        cell.subspace += f64::from(found.is_some_and(|v| all_found(&network, &v)));

        let since = Instant::now();
        let found = diagonalise_jointly(&stack, SIZE, rng);
        cell.pencil_seconds += since.elapsed().as_secs_f64();
        cell.pencil += f64::from(found.is_some_and(|p| all_found(&network, &p.directions)));
    }
    for sum in [
        &mut cell.subspace,
        &mut cell.pencil,
        &mut cell.hessian_seconds,
        &mut cell.subspace_seconds,
        &mut cell.pencil_seconds,
    ] {
        *sum /= runs as f64;
    }
    Ok(cell)
}

/// The m best rank-one matrices in the span of the stack, as unit columns; `None` if there are fewer.
fn search(stack: &DMatrix<f64>, rng: &mut impl rand::Rng) -> Option<DMatrix<f64>> {
    let basis = leading(stack)?.truncated(SIZE).basis;
    let mut starts: Vec<DVector<f64>> = stack
        .column_iter()
        .map(|h| {
            let eigen = smat(h.into_owned().as_slice()).symmetric_eigen();
            eigen.eigenvectors.column(eigen.eigenvalues.iamax()).into_owned()
        })
        .collect();
    let random = draws::gaussian(rng, SIZE, STARTS * SIZE);
    starts.extend(random.column_iter().map(|v| v.into_owned()));
    let found = rank_one::search(&basis, &DMatrix::from_columns(&starts), Ascent::Spectral);
    let best: Vec<DVector<f64>> = found.into_iter().take(SIZE).map(|c| c.direction).collect();
    (best.len() == SIZE).then(|| DMatrix::from_columns(&best))
}

fn all_found(network: &OneLayer, directions: &DMatrix<f64>) -> bool {
    network.a.column_iter().all(|a| {
        let cosines = directions.tr_mul(&(a / a.norm())).abs();
        cosines.max() >= LEAST_COSINE
    })
}

/// A network of the experiment.
fn instance(spread: f64, seed: u64, item: u64) -> OneLayer {
    let rng = &mut draws::stream(seed, "baseline network", item);
    let mut orthogonal = || loop {
        // The left singular vectors of a Gaussian matrix are uniformly random.
        if let Some(svd) = thin_svd(&draws::gaussian(rng, SIZE, SIZE)) {
            break svd.u;
        }
    };
    let (u, v) = (orthogonal(), orthogonal());
    let sigma = loop {
        let sigma = draws::unit_vector(rng, SIZE) * spread + DVector::repeat(SIZE, 1.0);
        if sigma.min() >= LEAST_SIGMA {
            break sigma;
        }
    };
    OneLayer {
        a: u * DMatrix::from_diagonal(&sigma) * v.transpose(),
        theta: draws::gaussian(rng, SIZE, 1).column(0) * 0.2,
        c: draws::unit_vector(rng, SIZE),
        c0: 0.0,
        phi: Activation::Tanh,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_have_the_spread_asked_for() {
        for spread in SPREADS {
            let network = instance(spread, 1, 7);
            let sigma = network.a.singular_values();
            let off = sigma.map(|s| s - 1.0).norm();
            assert!((off - spread).abs() < 1e-9 && sigma.min() >= LEAST_SIGMA * 0.999);
            assert!((network.c.norm() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn as_many_hessians_as_units_are_enough_and_a_few_are_for_the_pencil() {
        let enough = cell(1, 2, 2, 5).unwrap();
        assert_eq!((enough.subspace, enough.pencil), (1.0, 1.0));
        let few = cell(1, 0, 2, 5).unwrap();
        assert_eq!(few.pencil, 1.0);
    }
}
