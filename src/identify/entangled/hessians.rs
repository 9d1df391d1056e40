//! The published search: Hessians near a point, the subspace of dimension m0 + m1 that they nearly span, and
//! spectral-norm ascent in it from random matrices.
//!
//! The entangled vectors v_l(x) = A G(x) b_l move with x, so that the span is only approximate, and units with a
//! small weight drown: `docs/experiments.md` has the figures.

use nalgebra::{DMatrix, DVector};
use serde_json::json;

use super::super::{Evidence, Failure, Halt};
use super::jet::JetStep;
use crate::draws;
use crate::hessian::design::Design;
use crate::oracle::Oracle;
use crate::rank_one::{Ascent, Conditions, search};
use crate::stencil::HessianScheme;
use crate::subspace::{largest_gap, leading};

/// Hessians for each dimension of the subspace, where their number is not given.
const PER_DIMENSION: usize = 6;
/// Starts of the ascent for each.
const STARTS: usize = 12;
/// Least |P_W(u u^T)|_F^2 of a direction that is kept.
const KEPT: f64 = 0.9;

/// What to sample and to look for.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How points are spread about the origin.
    pub design: Design,
    /// Their distance.
    pub radius: f64,
    /// Hessians, if given.
    pub count: Option<usize>,
    /// m1.
    pub m1: usize,
    /// The ascent.
    pub ascent: Ascent,
}

/// The subspace and the directions found in it.
pub struct Search {
    /// Orthonormal svec's, d(d+1)/2 x (d + m1).
    pub basis: DMatrix<f64>,
    /// Fall of the singular values at d + m1.
    pub gap: f64,
    /// Unit columns, best first; d + m1 of them.
    pub directions: DMatrix<f64>,
}

/// Samples, finds the subspace and climbs in it. Fails unless d + m1 directions are found.
pub fn search_directions(
    f: &mut dyn Oracle,
    plan: Plan,
    step: JetStep,
    seed: u64,
    attempt: u64,
    evidence: &mut Evidence,
) -> Result<Search, Halt> {
    let d = f.input_dim();
    let rank = d + plan.m1;
    if rank >= d * (d + 1) / 2 {
        return Err(Failure::new("ascent", format!("{rank} matrices span all of order {d}")).into());
    }
    let count = plan.count.unwrap_or(PER_DIMENSION * rank);
    let mut rng = draws::stream(seed, "entangled stack", attempt);
    let origin = DVector::zeros(d);
    let points = plan.design.points(&mut rng, &origin, plan.radius, plan.radius, count);
    let identity = DMatrix::identity(d, d);
    let stack = f.hessians(&points, &identity, HessianScheme::Richardson, step.h)?;
    let Some(space) = leading(&stack).filter(|s| s.basis.ncols() >= rank) else {
        let reason = format!("{count} Hessians do not span {rank} dimensions");
        return Err(Failure::new("ascent", reason).into());
    };
    let gap = largest_gap(&space.singular_values, rank..=rank, 0.0).map_or(1.0, |gap| gap.ratio);
    let basis = space.truncated(rank).basis;

    let mut rng = draws::stream(seed, "entangled starts", attempt);
    let starts = draws::gaussian(&mut rng, d, STARTS * rank);
    let candidates = search(&basis, &starts, plan.ascent);
    let conditions: Vec<Conditions> =
        candidates.iter().take(rank).map(|c| Conditions::of(&basis, &c.direction)).collect();
    let kept: Vec<DVector<f64>> = candidates
        .iter()
        .filter(|c| c.score > KEPT)
        .take(rank)
        .map(|c| c.direction.clone())
        .collect();
    evidence.add(
        "ascent",
        json!({
            "hessians": count, "dimension": rank, "gap": gap, "radius": plan.radius,
            "candidates": candidates.len(), "kept": kept.len(),
            "dropped_scores": candidates.iter().map(|c| c.score).filter(|&s| s <= KEPT).take(20).collect::<Vec<_>>(),
            "conditions": conditions,
        }),
    );
    if kept.len() < rank {
        return Err(Failure::new(
            "ascent",
            format!(
                "{} of {rank} directions were found in the span of {count} Hessians (gap {gap:.3})",
                kept.len()
            ),
        )
        .into());
    }
    Ok(Search { basis, gap, directions: DMatrix::from_columns(&kept) })
}
