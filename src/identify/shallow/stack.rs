//! Hessians near the centre, the subspace that they span, and its dimension: the width.
//!
//! Hess f(x) = A diag(c phi''(A^T x - theta)) A^T lies in W = span{a_i a_i^T} for every x, near or far: the singular
//! values fall from the least of m directions to the error of the differences.

use nalgebra::DMatrix;
use serde_json::json;

use crate::algebra::subspace::{Subspace, largest_gap, leading};
use crate::draws;
use crate::identify::survey::probe::Landscape;
use crate::identify::survey::step;
use crate::identify::{Evidence, Failure, Halt};
use crate::oracle::Oracle;
use crate::oracle::design::Design;
use crate::oracle::stencil::HessianScheme;
use crate::oracle::views::centred::Region;

/// Sampling radii of the attempts, relative to the first.
const RADII: [f64; 4] = [1.0, 2.0, 0.5, 4.0];
/// Share of the region's radius that the points may fill; the rest is for the stencils.
const FILLED: f64 = 0.8;
/// Points at which the step is chosen.
const STEP_POINTS: usize = 24;
/// Least fall of the singular values that shows a width.
const CLEAR_GAP: f64 = 5.0;

/// Hessians, and what they span.
pub struct Stack {
    /// d x N, from the centre.
    pub points: DMatrix<f64>,
    /// svec's, d(d+1)/2 x N.
    pub hessians: DMatrix<f64>,
    /// Orthonormal basis of W, d(d+1)/2 x m.
    pub basis: DMatrix<f64>,
}

/// How a stack is sampled.
pub struct Plan<'a> {
    /// Natural scale and accuracy of the black box.
    pub land: &'a Landscape,
    /// Where points may be.
    pub region: &'a Region,
    /// Radius of the design; `None`: the natural scale.
    pub radius: Option<f64>,
    /// How points are spread.
    pub design: Design,
    /// m, if it is known.
    pub width: Option<usize>,
}

/// Samples Hessians of `f`, whose origin is the centre of the region, twice as many until they are
/// clearly more than the dimension of their span.
pub fn local_stack(
    f: &mut dyn Oracle,
    plan: &Plan<'_>,
    seed: u64,
    attempt: u64,
    evidence: &mut Evidence,
) -> Result<Stack, Halt> {
    let d = f.input_dim();
    if d < 2 {
        return Err(Failure::new(
            "stack",
            "one input: Hessians are numbers, and do not tell units apart",
        )
        .into());
    }
    let limit = plan.region.radius;
    let natural = plan.land.scale * (d as f64).sqrt();
    let first = plan.radius.unwrap_or(natural);
    let radius = (first * RADII[attempt as usize % RADII.len()]).min(FILLED * limit);
    let inner = Region { centre: nalgebra::DVector::zeros(d), radius: FILLED * limit };
    // Richardson's nodes lie up to 2 sqrt(2) h from a point, those of the search for h up to 2 h.
    let largest = plan.land.scale.min((limit - inner.radius) / 3.0);
    let mut rng = draws::stream(seed, "shallow stack", attempt);
    let mut draw = |count| plan.design.points(&mut rng, &inner.centre, radius, inner.radius, count);

    let some = draw(STEP_POINTS);
    let lines = Design::Sphere.points(
        &mut draws::stream(seed, "shallow lines", attempt),
        &inner.centre,
        1.0,
        f64::INFINITY,
        STEP_POINTS,
    );
    let step = step::second_difference(f, &some, &lines, largest)?;
    let order = d * (d + 1) / 2;
    let mut points = DMatrix::zeros(d, 0);
    let mut hessians = DMatrix::zeros(order, 0);
    let mut more = (2 * plan.width.unwrap_or(d)).max(24);
    loop {
        let fresh = draw(more);
        let axes = DMatrix::identity(d, d);
        let new = f.hessians(&fresh, &axes, HessianScheme::Richardson, step.h)?;
        points = join(&points, &fresh);
        hessians = join(&hessians, &new);
        let count = hessians.ncols();
        // The norm of a matrix of independent errors.
        let floor = step.error * ((order as f64).sqrt() + (count as f64).sqrt());
        let Some(space) = leading(&hessians) else { break };
        let found = width(&space, plan.width, count, floor);
        let values: Vec<f64> = space.singular_values.iter().take(64).copied().collect();
        evidence.add(
            "stack",
            json!({"hessians": count, "radius": radius, "step": step.h, "error": step.error,
                "width": found, "singular_values": values, "floor": floor}),
        );
        match found {
            // Half as many again make sure that more Hessians would span no more.
            Some(m) if 2 * count >= 3 * m + 16 => {
                let basis = space.truncated(m).basis;
                return Ok(Stack { points, hessians, basis });
            }
            _ if count > 3 * order => break,
            _ => more = count,
        }
    }
    Err(Failure::new(
        "stack",
        "the singular values of the Hessians do not fall anywhere: more units than a space of this \
         dimension tells apart, or no one hidden layer",
    )
    .into())
}

/// m: as given, else where the singular values fall most, if they do so clearly.
fn width(space: &Subspace, given: Option<usize>, count: usize, floor: f64) -> Option<usize> {
    let values = &space.singular_values;
    match given {
        Some(m) => (1..values.len()).contains(&m).then_some(m),
        None => {
            let most = (2 * count / 3).min(values.len().saturating_sub(1));
            largest_gap(values, 1..=most, floor).filter(|g| g.ratio > CLEAR_GAP).map(|g| g.rank)
        }
    }
}

fn join(left: &DMatrix<f64>, right: &DMatrix<f64>) -> DMatrix<f64> {
    let columns: Vec<_> = left.column_iter().chain(right.column_iter()).collect();
    DMatrix::from_columns(&columns)
}
