//! Which way round each unit is.
//!
//! A unit and the same turned round, c phi(z) and c phi(-z), bend alike; they differ by a straight part. The star has them all
//! turned so that they are 0 at its centre, and so the gradient there is what those that were turned have of it: of
//! sum_i b_i c_i a_i with b_i = 0 or 1 the b_i are told where these products are linearly independent, as up to d K of them
//! are.

use nalgebra::{DMatrix, DVector};

use super::bend::{gain, is_kink};
use super::star::{Star, Unit};
use super::tolerances::{TURN_EXACT, TURN_SURE};
use crate::algebra::linalg::dual;
use crate::identify::failure::Failure;
use crate::network::{Activation, OneLayer};
use crate::stage::Stage;

/// The network whose units a star has seen.
pub fn turned(star: &Star, asked: Option<Activation>) -> Result<OneLayer, Failure> {
    let kinks = [Activation::Relu, Activation::LeakyRelu];
    let candidates: Vec<Activation> = match asked {
        Some(asked) => vec![asked],
        None if is_kink(star.phi) => kinks.to_vec(),
        None => vec![star.phi],
    };
    let products = Products::of(star)?;
    let turns = candidates.iter().find_map(|&phi| Some((phi, products.turns(star, phi)?)));
    let Some((phi, turns)) = turns else {
        let reason = "far out f has a straight part that is not what its units leave, whichever way round they are: it is no \
                      network of one hidden layer";
        return Err(Failure::new(Stage::Lines, reason));
    };
    Ok(network(star, phi, &turns))
}

/// The products c_i a_i^T, each as a vector of length 1.
struct Products {
    /// K d x m.
    unit: DMatrix<f64>,
    norms: Vec<f64>,
    dual: DMatrix<f64>,
}

impl Products {
    fn of(star: &Star) -> Result<Products, Failure> {
        let product = |unit: &Unit| {
            let product = &unit.c * unit.a.transpose();
            DVector::from_column_slice(product.as_slice())
        };
        let columns: Vec<DVector<f64>> = star.units.iter().map(product).collect();
        let norms: Vec<f64> = columns.iter().map(|column| column.norm()).collect();
        let unit = DMatrix::from_columns(&columns)
            * DMatrix::from_diagonal(&DVector::from_vec(
                norms.iter().map(|norm| norm.recip()).collect(),
            ));
        let (units, numbers) = (unit.ncols(), unit.nrows());
        let Some((dual, _)) = dual(&unit) else {
            let reason = format!(
                "{units} units, whose straight parts have {numbers} numbers: which way round each of them is, values far \
                 out do not tell"
            );
            return Err(Failure::new(Stage::Lines, reason));
        };
        Ok(Products { unit, norms, dual })
    }

    /// Which units are turned, if they have this activation.
    fn turns(&self, star: &Star, phi: Activation) -> Option<Vec<bool>> {
        let (before, after) = phi.end_slopes();
        let norms = DVector::from_column_slice(&self.norms) * (gain(star.phi) / gain(phi));
        let gradient = DVector::from_column_slice(star.slopes.gradient.as_slice());
        let left = &self.unit * (&norms * before) - gradient;
        let shares = self.dual.tr_mul(&left).component_div(&norms) / (before + after);
        let turns: Vec<bool> = shares.iter().map(|&share| share > 0.5).collect();
        let whole =
            DVector::from_iterator(turns.len(), turns.iter().map(|&b| f64::from(u8::from(b))));
        let rest = left - &self.unit * norms.component_mul(&whole) * (before + after);
        let told = (shares - whole).amax() <= TURN_SURE && rest.amax() <= TURN_EXACT * norms.max();
        told.then_some(turns)
    }
}

/// The network with the units so turned.
fn network(star: &Star, phi: Activation, turns: &[bool]) -> OneLayer {
    let sign = |turned: bool| if turned { -1.0 } else { 1.0 };
    let columns: Vec<DVector<f64>> =
        star.units.iter().zip(turns).map(|(unit, &turned)| &unit.a * sign(turned)).collect();
    let pairs = star.units.iter().zip(&columns);
    let theta = DVector::from_iterator(turns.len(), pairs.map(|(unit, a)| a.dot(&unit.place)));
    // Of relu and of leaky relu the bends are the same for other weights.
    let weight = |unit: &Unit| unit.c.sum() * gain(star.phi) / gain(phi);
    let c = DVector::from_iterator(turns.len(), star.units.iter().map(weight));
    let value = |(unit, &turned): (&Unit, &bool)| {
        weight(unit) * phi.value(sign(turned) * unit.argument(&star.centre))
    };
    let units: f64 = star.units.iter().zip(turns).map(value).sum();
    let c0 = star.slopes.outputs.sum() - units;
    OneLayer { a: DMatrix::from_columns(&columns), theta, c, c0, phi }
}
