//! The published search: Hessians near a point, the subspace W of dimension m0 + m1 that they nearly span,
//! whitened by a positive definite element, and spectral-norm ascent in it from random matrices.
//!
//! The entangled vectors v_l(x) = A G(x) b_l move with x, so that the span is only approximate, and units with a
//! small weight drown: `docs/experiments.md` has the figures. An estimate of the network takes that motion out: of the
//! Hessian at x, v_l(x) is replaced by v_l(0) where the estimate sees it. The directions that follow are better than the
//! estimate's if those are off by a tenth or less.

use nalgebra::{DMatrix, DVector};

use super::jet::JetStep;
use super::tolerances::{
    ENTANGLED_STARTS, HESSIANS_PER_SUBSPACE_DIMENSION, KEPT_DISTANCE, OTHER_LIMITS_REPORTED,
};
use crate::algebra::rank_one::{
    Ascent, Conditions, Limit, Whitening, limits, projections, random_starts,
};
use crate::algebra::subspace::{Subspace, largest_gap, leading};
use crate::algebra::svec::svec;
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::{Ascended, Gaps, WhitenedBy};
use crate::identify::failure::{Failure, Halt};
use crate::network::TwoLayer;
use crate::oracle::Oracle;
use crate::oracle::design::Design;
use crate::stage::Stage;
use crate::stencil::HessianScheme;

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

/// The span of Hessians at random points, as many as `most` dimensions need; the entangled vectors of an
/// `estimate` of the network held still in them.
fn span(
    f: &mut dyn Oracle,
    plan: Plan,
    most: usize,
    step: JetStep,
    estimate: Option<&TwoLayer>,
    rng: &mut impl rand::Rng,
) -> Result<(usize, Subspace), Halt> {
    let d = f.input_dim();
    let count = plan.count.unwrap_or(HESSIANS_PER_SUBSPACE_DIMENSION * most);
    let origin = DVector::zeros(d);
    let points = plan.design.points(rng, &origin, plan.radius, plan.limit, count);
    let identity = DMatrix::identity(d, d);
    let mut stack = f.hessians(&points, &identity, HessianScheme::Richardson, step.h)?;
    if let Some(network) = estimate {
        let (still, _) = entangled(network, &origin);
        for (mut hessian, x) in stack.column_iter_mut().zip(points.column_iter()) {
            let (v, weights) = entangled(network, &x.into_owned());
            let weights = DMatrix::from_diagonal(&weights);
            let motion = &v * &weights * v.transpose() - &still * &weights * still.transpose();
            hessian -= DVector::from_vec(svec(&motion));
        }
    }
    let space = leading(&stack);
    space
        .map(|space| (count, space))
        .ok_or_else(|| Failure::new(Stage::Directions, "no Hessians").into())
}

/// The entangled vectors v_l(x) = A G(x) b_l of a network and their weights c_l h''(u_l) in the Hessian.
fn entangled(network: &TwoLayer, x: &DVector<f64>) -> (DMatrix<f64>, DVector<f64>) {
    let z = network.a.tr_mul(x) - &network.theta;
    let u = network.b.tr_mul(&z.map(|z| network.g.value(z))) - &network.tau;
    let slopes = DMatrix::from_diagonal(&z.map(|z| network.g.slope(z)));
    let weights = u.map(|u| network.h.curvature(u)).component_mul(&network.c);
    (&network.a * slopes * &network.b, weights)
}

/// The numbers 1, ..., `most` of entangled units, the one after which the singular values fall most first.
pub fn widths_by_gap(
    cx: &mut Context<'_>,
    plan: Plan,
    most: usize,
    step: JetStep,
) -> Result<Vec<usize>, Halt> {
    let d = cx.f.input_dim();
    let mut rng = draws::stream(cx.seed, "entangled widths", 0);
    let (_, space) = span(cx.f, plan, d + most, step, None, &mut rng)?;
    let gap = |m1: usize| {
        let rank = d + m1;
        largest_gap(&space.singular_values, rank..=rank, 0.0).map_or(1.0, |gap| gap.ratio)
    };
    let gaps: Vec<f64> = (1..=most).map(gap).collect();
    cx.evidence.widths_by_gap.push(Gaps { first: d + 1, gaps: gaps.clone() });
    let mut order: Vec<usize> = (1..=most).collect();
    order.sort_by(|&a, &b| gaps[b - 1].total_cmp(&gaps[a - 1]));
    Ok(order)
}

/// Where the ascent ends in the subspace with the orthonormal basis `basis` from matrices with the coordinates `starts`:
/// first in the whitened subspace, if it has a definite element, whose condition number is the second result; then in
/// itself, so that errors of the subspace are not weighed by the whitening.
fn climb(basis: &DMatrix<f64>, starts: &DMatrix<f64>, ascent: Ascent) -> (Vec<Limit>, Option<f64>) {
    let white =
        Whitening::of(basis).and_then(|whitening| Some((whitening.basis(basis)?, whitening)));
    let Some((white, whitening)) = white else { return (limits(basis, starts, ascent), None) };
    let ends: Vec<DVector<f64>> =
        limits(&white, starts, ascent).iter().map(|end| whitening.back(&end.direction)).collect();
    let ends = projections(basis, &DMatrix::from_columns(&ends));
    (limits(basis, &ends, ascent), Some(whitening.condition))
}

/// Samples, finds the subspace and climbs in it. Fails unless d + `m1` directions are found.
pub fn search_directions(
    cx: &mut Context<'_>,
    plan: Plan,
    m1: usize,
    step: JetStep,
    estimate: Option<&TwoLayer>,
) -> Result<Search, Halt> {
    let d = cx.f.input_dim();
    let rank = d + m1;
    if rank >= d * (d + 1) / 2 {
        return Err(Failure::new(
            Stage::Directions,
            format!("{rank} matrices span all of order {d}"),
        )
        .into());
    }
    let mut rng = draws::stream(cx.seed, "entangled stack", cx.attempt);
    let (count, space) = span(cx.f, plan, rank, step, estimate, &mut rng)?;
    if space.basis.ncols() < rank {
        let reason = format!("{count} Hessians do not span {rank} dimensions");
        return Err(Failure::new(Stage::Directions, reason).into());
    }
    let gap = largest_gap(&space.singular_values, rank..=rank, 0.0).map_or(1.0, |gap| gap.ratio);
    let basis = space.truncated(rank).basis;

    let mut rng = draws::stream(cx.seed, "entangled starts", cx.attempt);
    let starts = random_starts(&mut rng, rank, ENTANGLED_STARTS * rank);
    let (ends, condition) = climb(&basis, &starts, plan.ascent);
    let ends: Vec<(Limit, Conditions)> = ends
        .into_iter()
        .map(|end| {
            let conditions = Conditions::at(&basis, &end);
            (end, conditions)
        })
        .collect();
    let (kept, others): (Vec<_>, Vec<_>) =
        ends.into_iter().partition(|(_, c)| c.hold(KEPT_DISTANCE));
    let conditions = |of: &[(Limit, Conditions)], most: usize| {
        of.iter().take(most).map(|(_, conditions)| *conditions).collect::<Vec<_>>()
    };
    cx.evidence.ascent.push(Ascended {
        hessians: count,
        held_still: estimate.is_some(),
        dimension: rank,
        gap,
        radius: plan.radius,
        whitening: condition.map(|condition| WhitenedBy { condition }),
        limits: kept.len() + others.len(),
        kept: kept.len(),
        conditions: conditions(&kept, rank),
        conditions_of_others: conditions(&others, OTHER_LIMITS_REPORTED),
    });
    if kept.len() < rank {
        return Err(Failure::new(
            Stage::Directions,
            format!(
                "{} of {rank} directions were found in the span of {count} Hessians (gap {gap:.3})",
                kept.len()
            ),
        )
        .into());
    }
    let kept: Vec<DVector<f64>> =
        kept.into_iter().take(rank).map(|(end, _)| end.direction).collect();
    Ok(Search { basis, gap, directions: DMatrix::from_columns(&kept) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::context::in_context;
    use crate::identify::survey::landscape::Landscape;
    use crate::network::{Activation, Ensemble};
    use crate::oracle::{NetworkOracle, OracleError};

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
    fn held_still_every_direction_comes_out() {
        let ensemble = Ensemble { shift_spread: 0.22, condition: None };
        let truth = TwoLayer::of_ensemble((10, 10, 2), ensemble, Activation::Tanh, 1).unwrap();
        let step = JetStep { h: 1e-2, error: 0.0 };
        let land = Landscape::unit(0.0, 0.0);
        let plan = Plan {
            design: Design::Sphere,
            radius: 1.0,
            limit: 3.0,
            count: None,
            ascent: Ascent::Spectral,
        };
        let search = |estimate: Option<&TwoLayer>| {
            let mut f = NetworkOracle::new(truth.clone());
            in_context(&mut f, &land, (1, 0), |cx| search_directions(cx, plan, 2, step, estimate)).0
        };
        // How far each a_i is from the directions, as 1 - |cos|, in order.
        let off = |found: &Search| {
            let cosines = found.directions.tr_mul(&truth.a).abs();
            let mut off: Vec<f64> = cosines.column_iter().map(|c| 1.0 - c.max()).collect();
            off.sort_by(f64::total_cmp);
            off
        };
        let still = search(Some(&truth)).unwrap();
        assert!(still.gap > 1e3 && off(&still)[9] < 1e-9, "{} {:?}", still.gap, off(&still));
        assert!(search(None).map_or(true, |moving| moving.gap < 3.0 && off(&moving)[5] > 1e-4));
        // From an estimate that is off by 1 % to directions that are off by less.
        let mut rng = draws::stream(2, "estimate", 0);
        let mut turned = |m: &DMatrix<f64>| {
            let mut m = m.clone();
            for mut u in m.column_iter_mut() {
                u += draws::unit_vector(&mut rng, 10) * 0.01;
                u.normalize_mut();
            }
            m
        };
        let estimate = TwoLayer { a: turned(&truth.a), b: turned(&truth.b), ..truth.clone() };
        let better = search(Some(&estimate)).unwrap();
        assert!(off(&better)[5] < 0.5 * 0.01f64.powi(2) / 2.0, "{:?}", off(&better));
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
            span(&mut f, plan, 5, step, None, rng).unwrap();
            // Stencils reach beyond the points.
            let stencil = 4.0 * step.h;
            assert!((farthest - 0.05..farthest + stencil).contains(&f.0), "{design:?} {}", f.0);
        }
    }
}
