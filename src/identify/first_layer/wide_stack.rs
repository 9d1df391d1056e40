//! Stage 1 and 2: a wide stack of normalised Hessians and the subspace that it spans.

use nalgebra::DMatrix;
use rand_chacha::ChaCha8Rng;

use super::tolerances::{
    HESSIAN_NOISE, STACK_ENOUGH, STACK_FIRST_SCALE, STACK_GAP, STACK_HESSIANS, STACK_KEPT,
    STACK_LEAST_HESSIANS, STACK_MOST_RANK, STACK_MOST_SCALES, STACK_MOST_STEP, STACK_NOISE,
    STACK_SCALES, STACK_SIGNAL, STACK_STEP, STACK_STEP_POINTS, STACK_STREAMS, STACK_UNKNOWN_NOISE,
    STACK_VANISHING,
};
use crate::algebra::subspace::{Gap, largest_gap};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::{ScaleTried, StackSeen, reported};
use crate::identify::failure::{Failure, Halt};
use crate::identify::survey::landscape::Landscape;
use crate::identify::survey::step;
use crate::oracle::hessian_stack::HessianStack;
use crate::oracle::{Oracle, OracleError};
use crate::stage::Stage;
use crate::stencil::HessianScheme;

/// Hessians of unit Frobenius norm, and where they were taken.
pub struct Stack {
    /// d x N.
    pub points: DMatrix<f64>,
    /// The Hessians, wherever they are.
    pub hessians: Box<dyn HessianStack>,
    /// Where the singular values fall most.
    pub gap: Gap,
    /// Orthonormal basis of the subspace of that rank, where this memory holds it.
    pub basis: Option<DMatrix<f64>>,
}

/// Samples stacks at growing scales until the singular values fall clearly somewhere, and returns the
/// clearest. `attempt` varies the points.
pub fn wide_stack(cx: &mut Context<'_>) -> Result<Stack, Halt> {
    let Context { f, land, seed, attempt, evidence, .. } = cx;
    let (land, seed, attempt) = (*land, *seed, *attempt);
    let d = f.input_dim();
    if d < 2 {
        return Err(Failure::new(
            Stage::Stack,
            "the gradients span one dimension only: Hessians there span nothing that could be told apart",
        )
        .into());
    }
    let mut count = (STACK_HESSIANS * d).max(STACK_LEAST_HESSIANS);
    let doubled = (attempt % STACK_SCALES) as i32;
    let mut s = STACK_FIRST_SCALE * land.scale * 2f64.powi(doubled);
    let mut tried = Vec::new();
    let mut best: Option<(DMatrix<f64>, Box<dyn HessianStack>, Gap)> = None;
    for item in 0..STACK_MOST_SCALES as u64 {
        let mut rng = draws::stream(seed, "stack", STACK_STREAMS * attempt + item);
        let Taken { centres, mut hessians, kept, mut row } = take(*f, land, &mut rng, (count, s))?;
        if kept.len() < count / STACK_KEPT {
            // Nearly everything is saturated: too far out.
            tried.push(row);
            s *= 0.5;
            continue;
        }
        hessians.keep(&kept)?;
        let (singular_values, gap) = gap(hessians.as_mut(), kept.len(), d, row.relative_noise)?;
        row.singular_values = singular_values;
        let Some(gap) = gap else {
            tried.push(row);
            s *= 2.0;
            continue;
        };
        (row.gap, row.rank) = (Some(gap.ratio), Some(gap.rank));
        tried.push(row);
        let enough = kept.len() >= STACK_ENOUGH * gap.rank;
        if best.as_ref().is_none_or(|b| gap.ratio > b.2.ratio) {
            best = Some((centres.select_columns(&kept), hessians, gap));
        }
        if gap.ratio > STACK_GAP && enough {
            break;
        }
        if enough {
            s *= 2.0;
        } else {
            count *= 2;
        }
    }
    evidence.stack.push(StackSeen::Wide { tried });
    let (points, mut hessians, gap) = best.ok_or_else(|| {
        Failure::new(
            Stage::Stack,
            "no Hessian stands above the noise at any scale: the black box is not smooth, or its values \
             are too inaccurate for second differences",
        )
    })?;
    let basis = hessians.basis(gap.rank)?;
    Ok(Stack { points, hessians, gap, basis })
}

/// Hessians at points of one scale.
struct Taken {
    /// d x N.
    centres: DMatrix<f64>,
    hessians: Box<dyn HessianStack>,
    /// Those that stand above the noise.
    kept: Vec<usize>,
    row: ScaleTried,
}

/// Takes `count` Hessians at points N(0, s^2 I).
fn take(
    f: &mut dyn Oracle,
    land: &Landscape,
    rng: &mut ChaCha8Rng,
    (count, s): (usize, f64),
) -> Result<Taken, OracleError> {
    let d = f.input_dim();
    let centres = draws::gaussian(rng, d, count) * s;
    let mut lines = draws::gaussian(rng, d, STACK_STEP_POINTS.min(count));
    lines.column_iter_mut().for_each(|mut v| {
        v.normalize_mut();
    });
    let some = centres.columns(0, lines.ncols()).into_owned();
    let step = step::second_difference(f, &some, &lines, land.scale)?;
    // The plain polarised scheme costs half of Richardson's and is exact enough to start from;
    // a smaller step makes up for its order.
    let mut h = STACK_STEP * step.h;
    // Noise that falls with the step: up to where the truncation, (h / scale)^2, is as large.
    while h < STACK_MOST_STEP * land.scale
        && f.hessian_noise(h).is_some_and(|noise| noise > (h / land.scale).powi(2))
    {
        h *= 2.0;
    }
    let identity = DMatrix::identity(d, d);
    let hessians = f.hessian_stack(&centres, &identity, HessianScheme::Polarised, h)?;
    // Noise of a Hessian's norm: that of the values over h^2, or a share of the Hessian itself
    // where the oracle does not difference values.
    let relative_noise = f.hessian_noise(h);
    let of_values = HESSIAN_NOISE * land.noise_at(s * (d as f64).sqrt()) / (h * h) * d as f64;
    let largest = hessians.norms().iter().copied().fold(0.0, f64::max);
    let stands_out = |size: f64| match relative_noise {
        Some(share) => STACK_SIGNAL * share < 1.0 && size > STACK_VANISHING * largest,
        None => size > STACK_SIGNAL * of_values,
    };
    let kept: Vec<usize> = (0..count).filter(|&k| stands_out(hessians.norms()[k])).collect();
    let row = ScaleTried {
        scale: s,
        hessians: count,
        kept: kept.len(),
        step: h,
        relative_noise,
        gap: None,
        rank: None,
        singular_values: Vec::new(),
    };
    Ok(Taken { centres, hessians, kept, row })
}

/// The leading singular values of the `kept` Hessians of order `d`, and where they fall most.
fn gap(
    hessians: &mut dyn HessianStack,
    kept: usize,
    d: usize,
    relative_noise: Option<f64>,
) -> Result<(Vec<f64>, Option<Gap>), OracleError> {
    // After the reduction the gradients span all d dimensions, so there are at least d units.
    let most = (STACK_MOST_RANK.0 * kept / STACK_MOST_RANK.1).min(d * (d + 1) / 2 - 1);
    let Some(values) = hessians.singular_values()?.filter(|values| !values.is_empty()) else {
        return Ok((Vec::new(), None));
    };
    let noise = STACK_NOISE * relative_noise.unwrap_or(STACK_UNKNOWN_NOISE);
    let floor = noise.max(hessians.resolution());
    Ok((reported(&values), largest_gap(&values, d..=most, floor * values[0])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::svec::svec_outer;
    use crate::identify::context::in_context;
    use crate::identify::survey::probe::probe;
    use crate::network::{Activation, Class, TwoLayer};
    use crate::oracle::NetworkOracle;

    fn network(dims: (usize, usize, usize), phi: Activation) -> TwoLayer {
        TwoLayer::random(dims, Class::General, phi, 2).unwrap()
    }

    fn failure(result: Result<Stack, Halt>) -> String {
        match result {
            Err(Halt::Failed(failure)) => failure.to_string(),
            _ => panic!("must fail"),
        }
    }

    #[test]
    fn the_subspace_holds_the_first_layer_and_little_else() {
        for dims in [(6, 6, 2), (6, 10, 3)] {
            for phi in Activation::SATURATING {
                let truth = network(dims, phi);
                let mut f = NetworkOracle::new(truth.clone());
                let land = probe(&mut f, 1).unwrap();
                let (stack, evidence) = in_context(&mut f, &land, (1, 0), wide_stack);
                let mut stack = stack.unwrap();
                let rank = stack.gap.rank;
                let basis = stack.basis.expect("a small one");
                assert_eq!(basis.ncols(), rank);
                assert!((dims.1 - 1..=dims.1 + 1).contains(&rank), "{dims:?} {phi}: {rank}");
                let inside = |a: nalgebra::DVectorView<f64>| {
                    let mut outer = vec![0.0; basis.nrows()];
                    svec_outer(a.normalize().as_slice(), &mut outer);
                    basis.tr_mul(&nalgebra::DVector::from_vec(outer)).norm()
                };
                let mut inside: Vec<f64> = truth.a.column_iter().map(inside).collect();
                inside.sort_by(f64::total_cmp);
                // One may be too faint to be seen; what looks for units sees to it.
                assert!(inside[1] > 0.98, "{dims:?} {phi}: {inside:?}");
                let tried = evidence.as_json()["stack"][0]["tried"].clone();
                let best =
                    tried.as_array().unwrap().iter().find(|one| one["gap"] == stack.gap.ratio);
                let best = best.expect("the clearest is one of those tried");
                let kept = best["kept"].as_u64().unwrap() as usize;
                assert_eq!(best["rank"], rank);
                let along = stack.hessians.along(&truth.a).unwrap();
                assert_eq!((stack.points.ncols(), along.shape()), (kept, (kept, dims.1)));
            }
        }
    }

    #[test]
    fn attempts_ask_elsewhere() {
        let mut f = NetworkOracle::new(network((6, 6, 2), Activation::Tanh));
        let land = probe(&mut f, 1).unwrap();
        let mut points =
            |attempt| in_context(&mut f, &land, (1, attempt), wide_stack).0.unwrap().points;
        assert_eq!(points(0), points(0));
        assert_ne!(points(0), points(1));
        // However many there are, they do not go farther and farther out.
        assert!(points(60).amax() < 1e3 * points(0).amax());
        assert_ne!(points(60), points(0));
    }

    #[test]
    fn one_input_and_no_curvature_are_refused() {
        let land = Landscape::unit(1e-16, 0.0);
        let mut line = NetworkOracle::new(network((1, 3, 1), Activation::Tanh));
        let said = failure(in_context(&mut line, &land, (1, 0), wide_stack).0);
        assert!(said.starts_with("stack: the gradients span one dimension only"), "{said}");
        let (land, mut f) = (
            Landscape { noise_near: 1.0, ..land },
            NetworkOracle::new(network((4, 4, 1), Activation::Tanh)),
        );
        let (result, evidence) = in_context(&mut f, &land, (1, 0), wide_stack);
        let said = failure(result);
        assert!(said.starts_with("stack: no Hessian stands above the noise"), "{said}");
        assert_eq!(
            evidence.as_json()["stack"][0]["tried"].as_array().map(Vec::len),
            Some(STACK_MOST_SCALES)
        );
    }
}
