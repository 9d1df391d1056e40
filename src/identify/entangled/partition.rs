//! Directions at a point, attributed to their layers and weighed in its derivatives.

use nalgebra::{DMatrix, DVector};

use super::attribution::{self, Attribution};
use super::jet::Jet;
use super::scales::{Layers, Weights};
use crate::algebra::linalg::least_squares;
use crate::algebra::svec::{svec, svec_outer};
use crate::algebra::tolerances::WEIGHTS_CUTOFF;
use crate::identify::failure::{Failure, Halt};
use crate::stage::Stage;

/// The columns at unit length.
pub fn unit_columns(components: &DMatrix<f64>) -> DMatrix<f64> {
    let mut directions = components.clone();
    directions.column_iter_mut().for_each(|mut u| {
        u.normalize_mut();
    });
    directions
}

/// Attributes `components` (any lengths) at `jet`, the likeliest partition first, and weighs them in its
/// derivatives.
pub fn split(
    jet: &Jet,
    components: &DMatrix<f64>,
    m1: usize,
    rng: &mut impl rand::Rng,
) -> Result<Vec<(Layers, Attribution)>, Halt> {
    let failed = |what: &str| -> Halt { Failure::new(Stage::Attribution, what).into() };
    let directions = unit_columns(components);
    let attributions = attribution::by_gradient(&directions, &jet.gradient, m1, rng)
        .ok_or_else(|| failed("the directions do not span the space"))?;
    let mut outer = DMatrix::zeros(svec(&jet.hessian).len(), directions.ncols());
    for (u, mut outer) in directions.column_iter().zip(outer.column_iter_mut()) {
        svec_outer(u.into_owned().as_slice(), outer.as_mut_slice());
    }
    let hessian = DVector::from_vec(svec(&jet.hessian));
    let solve = |m: &DMatrix<f64>, y: &DVector<f64>| {
        least_squares(m, y, WEIGHTS_CUTOFF)
            .map(|(weights, _)| weights)
            .ok_or_else(|| failed("the weights have no least squares"))
    };
    let second = solve(&outer, &hessian)?;
    // <u_j^(x3), u_k^(x3)> = (u_j . u_k)^3.
    let inner = (directions.transpose() * &directions).map(|g| g * g * g);
    let contracted = jet.cubic.contract(&directions);
    let moments = DVector::from_iterator(
        directions.ncols(),
        contracted.column_iter().zip(directions.column_iter()).map(|(t, u)| t.dot(&u)),
    );
    let third = solve(&inner, &moments)?;
    let layer = |rows: &[usize]| -> Result<(DMatrix<f64>, Weights), Halt> {
        let directions = directions.select_columns(rows);
        let first = solve(&directions, &jet.gradient)?;
        let pick = |all: &DVector<f64>| DVector::from_fn(rows.len(), |k, _| all[rows[k]]);
        let weights = Weights { first, second: pick(&second), third: Some(pick(&third)) };
        Ok((directions, weights))
    };
    let both = |attribution: Attribution| -> Result<(Layers, Attribution), Halt> {
        let (first, first_weights) = layer(&attribution.first)?;
        let (entangled, entangled_weights) = layer(&attribution.entangled)?;
        let (point, value) = (jet.point.clone(), jet.value);
        let layers = Layers { point, value, first, first_weights, entangled, entangled_weights };
        Ok((layers, attribution))
    };
    attributions.into_iter().map(both).collect()
}
