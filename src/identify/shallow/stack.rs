//! Hessians near the centre, the subspace that they span, and its dimension: the width.
//!
//! Hess f(x) = A diag(c phi''(A^T x - theta)) A^T lies in W = span{a_i a_i^T} for every x, near or far: the singular
//! values fall from the least of m directions to the error of the differences.

use nalgebra::DMatrix;

use super::tolerances::{
    FIRST_HESSIANS, SHALLOW_GAP, SHALLOW_NODES_REACH, SHALLOW_RADII, SHALLOW_STEP_POINTS,
    STACK_FILLED, STACK_LARGEST, STACK_OVERSAMPLING, STACK_SPARE,
};
use crate::algebra::subspace::{Subspace, largest_gap, leading};
use crate::draws;
use crate::identify::context::Context;
use crate::identify::evidence::{StackSeen, reported};
use crate::identify::failure::{Failure, Halt};
use crate::identify::survey::step;
use crate::oracle::Oracle;
use crate::oracle::design::Design;
use crate::oracle::views::centred::Region;
use crate::stage::Stage;
use crate::stencil::HessianScheme;

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
pub fn local_stack(cx: &mut Context<'_>, plan: &Plan<'_>) -> Result<Stack, Halt> {
    let Context { f, land, seed, attempt, evidence, .. } = cx;
    let (f, seed, attempt): (&mut dyn Oracle, _, _) = (*f, *seed, *attempt);
    let d = f.input_dim();
    if d < 2 {
        return Err(Failure::new(
            Stage::Stack,
            "one input: Hessians are numbers, and do not tell units apart",
        )
        .into());
    }
    let limit = plan.region.radius;
    let natural = land.scale * (d as f64).sqrt();
    let first = plan.radius.unwrap_or(natural);
    let radius =
        (first * SHALLOW_RADII[attempt as usize % SHALLOW_RADII.len()]).min(STACK_FILLED * limit);
    let inner = Region { centre: nalgebra::DVector::zeros(d), radius: STACK_FILLED * limit };
    // Richardson's nodes lie up to 2 sqrt(2) h from a point, those of the search for h up to 2 h.
    let largest = land.scale.min((limit - inner.radius) / SHALLOW_NODES_REACH);
    let mut rng = draws::stream(seed, "shallow stack", attempt);
    let mut draw = |count| plan.design.points(&mut rng, &inner.centre, radius, inner.radius, count);

    let some = draw(SHALLOW_STEP_POINTS);
    let lines = Design::Sphere.points(
        &mut draws::stream(seed, "shallow lines", attempt),
        &inner.centre,
        1.0,
        f64::INFINITY,
        SHALLOW_STEP_POINTS,
    );
    let step = step::second_difference(f, &some, &lines, largest)?;
    let order = d * (d + 1) / 2;
    let mut points = DMatrix::zeros(d, 0);
    let mut hessians = DMatrix::zeros(order, 0);
    let (over, under) = STACK_OVERSAMPLING;
    let mut more = (2 * plan.width.unwrap_or(d)).max(FIRST_HESSIANS);
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
        evidence.stack.push(StackSeen::Local {
            hessians: count,
            radius,
            step: step.h,
            error: step.error,
            width: found,
            singular_values: reported(&space.singular_values),
            floor,
        });
        match found {
            // Half as many again make sure that more Hessians would span no more.
            Some(m) if under * count >= over * m + STACK_SPARE => {
                let basis = space.truncated(m).basis;
                return Ok(Stack { points, hessians, basis });
            }
            _ if count > STACK_LARGEST * order => break,
            _ => more = count,
        }
    }
    Err(Failure::new(
        Stage::Stack,
        "the singular values of the Hessians do not fall anywhere: more units than a space of this \
         dimension tells apart, or no one hidden layer",
    )
    .into())
}

/// m: as given, else where the singular values fall most, if they do so clearly.
fn width(space: &Subspace, given: Option<usize>, count: usize, floor: f64) -> Option<usize> {
    let values = &space.singular_values;
    let (over, under) = STACK_OVERSAMPLING;
    match given {
        Some(m) => (1..values.len()).contains(&m).then_some(m),
        None => {
            let most = (under * count / over).min(values.len().saturating_sub(1));
            largest_gap(values, 1..=most, floor).filter(|g| g.ratio > SHALLOW_GAP).map(|g| g.rank)
        }
    }
}

fn join(left: &DMatrix<f64>, right: &DMatrix<f64>) -> DMatrix<f64> {
    let columns: Vec<_> = left.column_iter().chain(right.column_iter()).collect();
    DMatrix::from_columns(&columns)
}
