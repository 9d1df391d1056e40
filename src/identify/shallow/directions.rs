//! The directions a_i / |a_i|: the rank-one elements of W.

use nalgebra::{DMatrix, DVector};

use super::stack::Stack;
use super::tolerances::{SHALLOW_LEAST_SCORE, SHALLOW_ROUNDS, SHALLOW_STARTS};
use crate::algebra::joint_diagonalisation::diagonalise_jointly;
use crate::algebra::rank_one::{self, Ascent, Candidate, Conditions};
use crate::algebra::svec::smat;
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::DirectionsFound;
use crate::identify::failure::{Failure, Halt};
use crate::stage::Stage;

/// All m directions (unit columns, d x m), m the dimension of the stack's subspace.
pub fn directions(
    cx: &mut Context<'_>,
    stack: &Stack,
    ascent: Ascent,
) -> Result<DMatrix<f64>, Halt> {
    let seed = cx.seed;
    let (d, m) = (stack.points.nrows(), stack.basis.ncols());
    let mut starts: Vec<DVector<f64>> = Vec::new();
    let mut off_diagonal = None;
    if m <= d {
        let rng = &mut draws::stream(seed, "pencil", 0);
        if let Some(joint) = diagonalise_jointly(&stack.hessians, m, rng) {
            off_diagonal = Some(joint.off_diagonal);
            starts.extend(joint.directions.column_iter().map(|v| v.into_owned()));
        }
    }
    for hessian in stack.hessians.column_iter() {
        let eigen = smat(hessian.into_owned().as_slice()).symmetric_eigen();
        starts.push(eigen.eigenvectors.column(eigen.eigenvalues.iamax()).into_owned());
    }
    let mut found: Vec<Candidate> = Vec::new();
    for round in 0..SHALLOW_ROUNDS {
        let rng = &mut draws::stream(seed, "shallow ascent", round);
        starts.extend(
            draws::gaussian(rng, d, SHALLOW_STARTS * m).column_iter().map(|v| v.into_owned()),
        );
        found.extend(
            rank_one::search(&stack.basis, &DMatrix::from_columns(&starts), ascent)
                .into_iter()
                .filter(|c| c.score >= SHALLOW_LEAST_SCORE),
        );
        found = rank_one::merged(found);
        if found.len() >= m {
            break;
        }
        starts.clear();
    }
    let conditions: Vec<Conditions> =
        found.iter().map(|c| Conditions::of(&stack.basis, &c.direction)).collect();
    let extreme = |value: fn(&Conditions) -> f64, of: fn(f64, f64) -> f64| {
        conditions.iter().map(value).reduce(of)
    };
    cx.evidence.directions.push(DirectionsFound::Common {
        found: found.len(),
        of: m,
        off_diagonal,
        lowest_score: found.iter().map(|c| c.score).reduce(f64::min),
        least_spectral_norm: extreme(|c| c.spectral_norm, f64::min),
        largest_second_order: extreme(|c| c.second_order, f64::max),
        largest_distance: extreme(|c| c.distance, f64::max),
        least_separation: extreme(|c| c.separation, f64::min),
    });
    if found.len() != m {
        let remark = if found.len() > m { ": too many units for so few inputs" } else { "" };
        return Err(Failure::new(
            Stage::Directions,
            format!("{} rank-one matrices in a subspace of dimension {m}{remark}", found.len()),
        )
        .into());
    }
    let columns: Vec<DVector<f64>> = found.into_iter().map(|c| c.direction).collect();
    Ok(DMatrix::from_columns(&columns))
}
