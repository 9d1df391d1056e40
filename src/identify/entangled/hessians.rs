//! The published search: Hessians near a point, the subspace W of dimension m0 + m1 that they nearly span,
//! whitened by a positive definite element, and spectral-norm ascent in it from random matrices.
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
use crate::rank_one::{self, Ascent, Conditions, Limit, Whitening, limits, random_starts};
use crate::stencil::HessianScheme;
use crate::subspace::{Subspace, largest_gap, leading};

/// Hessians for each dimension of the subspace, where their number is not given.
const PER_DIMENSION: usize = 6;
/// Starts of the ascent for each.
const STARTS: usize = 12;
/// Largest squared distance of u u^T from W at which a direction u is kept.
const KEPT: f64 = 0.1;

/// What to sample and to look for.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How points are spread about the origin.
    pub design: Design,
    /// Their distance.
    pub radius: f64,
    /// No point is farther.
    pub limit: f64,
    /// Hessians, if given.
    pub count: Option<usize>,
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

/// The span of Hessians at random points, as many as `most` dimensions need.
fn span(
    f: &mut dyn Oracle,
    plan: Plan,
    most: usize,
    step: JetStep,
    rng: &mut impl rand::Rng,
) -> Result<(usize, Subspace), Halt> {
    let d = f.input_dim();
    let count = plan.count.unwrap_or(PER_DIMENSION * most);
    let origin = DVector::zeros(d);
    let points = plan.design.points(rng, &origin, plan.radius, plan.limit, count);
    let identity = DMatrix::identity(d, d);
    let stack = f.hessians(&points, &identity, HessianScheme::Richardson, step.h)?;
    let space = leading(&stack);
    space.map(|space| (count, space)).ok_or_else(|| Failure::new("ascent", "no Hessians").into())
}

/// The numbers 1, ..., `most` of entangled units, the one after which the singular values fall most first.
pub fn widths_by_gap(
    f: &mut dyn Oracle,
    plan: Plan,
    most: usize,
    step: JetStep,
    seed: u64,
    evidence: &mut Evidence,
) -> Result<Vec<usize>, Halt> {
    let d = f.input_dim();
    let mut rng = draws::stream(seed, "entangled widths", 0);
    let (_, space) = span(f, plan, d + most, step, &mut rng)?;
    let gap = |m1: usize| {
        let rank = d + m1;
        largest_gap(&space.singular_values, rank..=rank, 0.0).map_or(1.0, |gap| gap.ratio)
    };
    let gaps: Vec<f64> = (1..=most).map(gap).collect();
    evidence.add("widths_by_gap", json!({"first": d + 1, "gaps": gaps}));
    let mut order: Vec<usize> = (1..=most).collect();
    order.sort_by(|&a, &b| gaps[b - 1].total_cmp(&gaps[a - 1]));
    Ok(order)
}

/// Samples, finds the subspace and climbs in it. Fails unless d + `m1` directions are found.
pub fn search_directions(
    f: &mut dyn Oracle,
    plan: Plan,
    m1: usize,
    step: JetStep,
    (seed, attempt): (u64, u64),
    evidence: &mut Evidence,
) -> Result<Search, Halt> {
    let d = f.input_dim();
    let rank = d + m1;
    if rank >= d * (d + 1) / 2 {
        return Err(Failure::new("ascent", format!("{rank} matrices span all of order {d}")).into());
    }
    let mut rng = draws::stream(seed, "entangled stack", attempt);
    let (count, space) = span(f, plan, rank, step, &mut rng)?;
    if space.basis.ncols() < rank {
        let reason = format!("{count} Hessians do not span {rank} dimensions");
        return Err(Failure::new("ascent", reason).into());
    }
    let gap = largest_gap(&space.singular_values, rank..=rank, 0.0).map_or(1.0, |gap| gap.ratio);
    let basis = space.truncated(rank).basis;

    let mut rng = draws::stream(seed, "entangled starts", attempt);
    let starts = random_starts(&mut rng, rank, STARTS * rank);
    // Without a definite element the search goes on in the coordinates at hand.
    let whitening = Whitening::of(&basis);
    let whitened = whitening.as_ref().and_then(|w| w.basis(&basis));
    let there = whitened.as_ref().unwrap_or(&basis);
    let limits: Vec<(Limit, Conditions)> = limits(there, &starts, plan.ascent)
        .into_iter()
        .map(|limit| {
            let conditions = Conditions::at(there, &limit);
            (limit, conditions)
        })
        .collect();
    let back = |limit: &Limit| match (&whitening, &whitened) {
        (Some(whitening), Some(_)) => whitening.back(&limit.direction),
        _ => limit.direction.clone(),
    };
    let (held, others): (Vec<_>, Vec<_>) = limits.iter().partition(|(_, c)| c.hold(KEPT));
    let kept: Vec<DVector<f64>> = held.iter().take(rank).map(|(limit, _)| back(limit)).collect();
    let scores: Vec<f64> = kept.iter().map(|u| rank_one::score(&basis, u)).collect();
    let conditions = |of: &[&(Limit, Conditions)], most: usize| {
        json!(of.iter().take(most).map(|(_, conditions)| conditions).collect::<Vec<_>>())
    };
    evidence.add(
        "ascent",
        json!({
            "hessians": count, "dimension": rank, "gap": gap, "radius": plan.radius,
            "whitening": whitened.as_ref().and(whitening.as_ref()).map(|w| json!({"condition": w.condition})),
            "limits": limits.len(), "kept": kept.len(),
            "conditions": conditions(&held, rank), "scores": scores,
            "conditions_of_others": conditions(&others, 20),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::OracleError;

    /// Remembers how far from the origin it was asked.
    struct Farthest(f64);

    impl Oracle for Farthest {
        fn input_dim(&self) -> usize {
            4
        }

        fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
            let norms = points.column_iter().map(|x| x.norm());
            self.0 = norms.fold(self.0, f64::max);
            Ok(points.map(f64::tanh).row_sum_tr())
        }
    }

    #[test]
    fn gaussian_points_go_beyond_the_radius_and_none_beyond_the_limit() {
        let step = JetStep { h: 1e-2, error: 0.0 };
        for (design, farthest) in
            [(Design::Sphere, 0.5), (Design::Ball, 0.5), (Design::Gaussian, 0.8)]
        {
            let plan = Plan {
                design,
                radius: 0.5,
                limit: 0.8,
                count: Some(200),
                ascent: Ascent::Spectral,
            };
            let mut f = Farthest(0.0);
            let rng = &mut draws::stream(1, "designs", 0);
            span(&mut f, plan, 5, step, rng).unwrap();
            // Stencils reach beyond the points.
            let stencil = 4.0 * step.h;
            assert!((farthest - 0.05..farthest + stencil).contains(&f.0), "{design:?} {}", f.0);
        }
    }
}
