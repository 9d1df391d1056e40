//! Stage 1 and 2: a wide stack of normalised Hessians and the subspace that it spans.

use nalgebra::DMatrix;
use serde_json::json;

use crate::algebra::subspace::{Gap, largest_gap};
use crate::draws;
use crate::identify::survey::probe::Landscape;
use crate::identify::survey::step;
use crate::identify::{Evidence, Failure, Halt};
use crate::oracle::Oracle;
use crate::oracle::hessian_stack::HessianStack;
use crate::oracle::stencil::HessianScheme;

/// First sampling scale, in natural scales; then doubled until the gap is clear.
const FIRST_SCALE: f64 = 16.0;
/// Scales tried.
const MOST_SCALES: usize = 5;
/// Hessians a dimension in the first stack.
const HESSIANS_PER_DIMENSION: usize = 6;
/// Signal over noise that a Hessian must have to be kept.
const SIGNAL: f64 = 100.0;
/// Hessians this much smaller than the largest are saturation to the last bit, or underflow.
const VANISHING: f64 = 1e-12;
/// A gap by which the width shows without doubt.
const CLEAR_GAP: f64 = 1.7;

/// Hessians of unit Frobenius norm, and where they were taken.
pub struct Stack {
    /// d x N.
    pub points: DMatrix<f64>,
    /// The Hessians, wherever they are.
    pub hessians: Box<dyn HessianStack>,
    /// Where the singular values fall most.
    pub gap: Gap,
    /// Orthonormal basis of the subspace of that rank.
    pub basis: DMatrix<f64>,
}

/// Samples stacks at growing scales until the singular values fall clearly somewhere, and returns the
/// clearest. `attempt` varies the points.
pub fn wide_stack(
    f: &mut dyn Oracle,
    land: &Landscape,
    seed: u64,
    attempt: u64,
    evidence: &mut Evidence,
) -> Result<Stack, Halt> {
    let d = f.input_dim();
    if d < 2 {
        return Err(Failure::new(
            "stack",
            "the gradients span one dimension only: Hessians there span nothing that could be told apart",
        )
        .into());
    }
    let mut count = (HESSIANS_PER_DIMENSION * d).max(48);
    let mut s = FIRST_SCALE * land.scale * 2f64.powi(attempt as i32);
    let mut tried = Vec::new();
    let mut best: Option<(DMatrix<f64>, Box<dyn HessianStack>, Gap)> = None;
    for item in 0..MOST_SCALES as u64 {
        let mut rng = draws::stream(seed, "stack", 16 * attempt + item);
        let centres = draws::gaussian(&mut rng, d, count) * s;
        let mut lines = draws::gaussian(&mut rng, d, 48.min(count));
        lines.column_iter_mut().for_each(|mut v| {
            v.normalize_mut();
        });
        let some = centres.columns(0, lines.ncols()).into_owned();
        let step = step::second_difference(f, &some, &lines, land.scale)?;
        // The plain polarised scheme costs half of Richardson's and is exact enough to start from;
        // a smaller step makes up for its order.
        let mut h = 0.25 * step.h;
        // Noise that falls with the step: up to where the truncation, (h / scale)^2, is as large.
        while h < 0.1 * land.scale
            && f.hessian_noise(h).is_some_and(|noise| noise > (h / land.scale).powi(2))
        {
            h *= 2.0;
        }
        let mut hessians =
            f.hessian_stack(&centres, &DMatrix::identity(d, d), HessianScheme::Polarised, h)?;
        // Noise of a Hessian's norm: that of the values over h^2, or a share of the Hessian itself
        // where the oracle does not difference values.
        let relative = f.hessian_noise(h);
        let of_values = 3.0 * land.noise_at(s * (d as f64).sqrt()) / (h * h) * d as f64;
        let largest = hessians.norms().iter().copied().fold(0.0, f64::max);
        let kept: Vec<usize> = (0..count)
            .filter(|&k| {
                let size = hessians.norms()[k];
                match relative {
                    Some(share) => SIGNAL * share < 1.0 && size > VANISHING * largest,
                    None => size > SIGNAL * of_values,
                }
            })
            .collect();
        let mut row = json!({"scale": s, "hessians": count, "kept": kept.len(), "step": h,
            "relative_noise": relative});
        if kept.len() < count / 4 {
            // Nearly everything is saturated: too far out.
            tried.push(row);
            s *= 0.5;
            continue;
        }
        hessians.keep(&kept)?;
        // After the reduction the gradients span all d dimensions, so there are at least d units.
        let most = (2 * kept.len() / 3).min(d * (d + 1) / 2 - 1);
        let gap = hessians.singular_values()?.and_then(|values| {
            let floor = (4.0 * relative.unwrap_or(2e-10)).max(hessians.resolution());
            largest_gap(&values, d..=most, floor * values[0])
        });
        if let Some(gap) = gap {
            row["gap"] = json!(gap.ratio);
            row["rank"] = json!(gap.rank);
            tried.push(row);
            let enough = kept.len() >= 3 * gap.rank;
            if best.as_ref().is_none_or(|b| gap.ratio > b.2.ratio) {
                best = Some((centres.select_columns(&kept), hessians, gap));
            }
            if gap.ratio > CLEAR_GAP && enough {
                break;
            }
            if !enough {
                count *= 2;
                continue;
            }
        } else {
            tried.push(row);
        }
        s *= 2.0;
    }
    evidence.add("stack", json!({"tried": tried}));
    let (points, mut hessians, gap) = best.ok_or_else(|| {
        Failure::new(
            "stack",
            "no Hessian stands above the noise at any scale: the black box is not smooth, or its values \
             are too inaccurate for second differences",
        )
    })?;
    let basis = hessians.basis(gap.rank)?;
    Ok(Stack { points, hessians, gap, basis })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::svec::svec_outer;
    use crate::identify::survey::probe::probe;
    use crate::network::{Activation, Class, Network};
    use crate::oracle::NetworkOracle;

    fn network(dims: (usize, usize, usize), phi: Activation) -> Network {
        Network::random(dims, Class::General, phi, 2).unwrap()
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
            for phi in Activation::ALL {
                let truth = network(dims, phi);
                let mut f = NetworkOracle::new(truth.clone());
                let land = probe(&mut f, 1).unwrap();
                let mut evidence = Evidence::default();
                let stack = wide_stack(&mut f, &land, 1, 0, &mut evidence).unwrap();
                let rank = stack.gap.rank;
                assert_eq!(stack.basis.ncols(), rank);
                assert!((dims.1..=dims.1 + 1).contains(&rank), "{dims:?} {phi}: {rank}");
                for a in truth.a.column_iter() {
                    let mut outer = vec![0.0; stack.basis.nrows()];
                    svec_outer(a.normalize().as_slice(), &mut outer);
                    let inside = stack.basis.tr_mul(&nalgebra::DVector::from_vec(outer)).norm();
                    assert!(inside > 0.99, "{dims:?} {phi}: {inside}");
                }
                let tried = evidence.as_json()["stack"][0]["tried"].clone();
                let best =
                    tried.as_array().unwrap().iter().find(|one| one["gap"] == stack.gap.ratio);
                let best = best.expect("the clearest is one of those tried");
                let kept = best["kept"].as_u64().unwrap() as usize;
                assert_eq!(best["rank"], rank);
                assert_eq!((stack.points.ncols(), stack.hessians.norms().len()), (kept, kept));
            }
        }
    }

    #[test]
    fn attempts_ask_elsewhere() {
        let mut f = NetworkOracle::new(network((6, 6, 2), Activation::Tanh));
        let land = probe(&mut f, 1).unwrap();
        let mut points = |attempt| {
            wide_stack(&mut f, &land, 1, attempt, &mut Evidence::default()).unwrap().points
        };
        assert_eq!(points(0), points(0));
        assert_ne!(points(0), points(1));
    }

    #[test]
    fn one_input_and_no_curvature_are_refused() {
        let land = Landscape { scale: 1.0, spread: 1.0, noise_near: 1e-16, noise_growth: 0.0 };
        let evidence = &mut Evidence::default();
        let mut line = NetworkOracle::new(network((1, 3, 1), Activation::Tanh));
        let said = failure(wide_stack(&mut line, &land, 1, 0, evidence));
        assert!(said.starts_with("stack: the gradients span one dimension only"), "{said}");
        let (land, mut f) = (
            Landscape { noise_near: 1.0, ..land },
            NetworkOracle::new(network((4, 4, 1), Activation::Tanh)),
        );
        let said = failure(wide_stack(&mut f, &land, 1, 0, evidence));
        assert!(said.starts_with("stack: no Hessian stands above the noise"), "{said}");
        assert_eq!(
            evidence.as_json()["stack"][0]["tried"].as_array().map(Vec::len),
            Some(MOST_SCALES)
        );
    }
}
