//! The third-order jet of f at a point: value, gradient, Hessian and third derivatives.
//!
//! With z, p, v_l and u_l of the model,
//!
//! ```text
//! D^3 f = sum_i phi'''(z_i) p_i a_i^(x3) + sum_l c_l h'''(u_l) v_l^(x3)
//!       + 3 sym sum_l c_l h''(u_l) v_l (x) (A diag(phi''(z) b_l) A^T)
//! ```
//!
//! Third derivatives are differences of Hessians, at two steps, extrapolated: truncation h^4, noise eta / h^3.

use nalgebra::{DMatrix, DVector};
use serde::Serialize;

use super::tolerances::{JET_HALVINGS, JET_LINES, JET_LINES_AT, JET_REACH, RADIUS_IN_JET_STEPS};
use crate::algebra::svec::smat;
use crate::algebra::symmetric_tensor::Cubic;
use crate::draws;
use crate::identify::failure::Halt;
use crate::oracle::Oracle;
use crate::stencil::{GradientScheme, HessianScheme};

/// Derivatives of f at a point, in d dimensions.
#[derive(Clone, Debug)]
pub struct Jet {
    /// The point, length d.
    pub point: DVector<f64>,
    /// f there.
    pub value: f64,
    /// Length d.
    pub gradient: DVector<f64>,
    /// d x d.
    pub hessian: DMatrix<f64>,
    /// Third derivatives.
    pub cubic: Cubic,
    /// How far the measured third derivatives depart from symmetry, relative to their norm: a measure
    /// of their error that needs no truth.
    pub asymmetry: f64,
}

/// The step of the differences, and what it is worth.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct JetStep {
    /// h.
    pub h: f64,
    /// Relative change of third derivatives along lines when h is halved.
    pub error: f64,
}

impl JetStep {
    /// How far from its point a jet asks.
    pub fn reach(self) -> f64 {
        JET_REACH * self.h
    }
}

/// The step at which third derivatives along random lines through the origin change least when it is
/// halved; all queries within `radius` of the origin.
pub fn choose_step(f: &mut dyn Oracle, radius: f64, seed: u64) -> Result<JetStep, Halt> {
    let d = f.input_dim();
    let mut rng = draws::stream(seed, "jet step", 0);
    // Lines through points a little off the origin, which may be a point of symmetry.
    let lines: Vec<(DVector<f64>, DVector<f64>)> = (0..JET_LINES)
        .map(|_| {
            (
                draws::unit_vector(&mut rng, d) * (JET_LINES_AT * radius),
                draws::unit_vector(&mut rng, d),
            )
        })
        .collect();
    let largest = radius / RADIUS_IN_JET_STEPS;
    const MULTIPLES: [f64; 6] = [1.0, -1.0, 2.0, -2.0, 4.0, -4.0];
    let mut rows = Vec::new();
    for k in 0..=JET_HALVINGS {
        let h = largest * 0.5f64.powi(k as i32);
        let mut points = DMatrix::zeros(d, JET_LINES * MULTIPLES.len());
        for (at, mut point) in points.column_iter_mut().enumerate() {
            let (origin, direction) = &lines[at / MULTIPLES.len()];
            point.copy_from(origin);
            point.axpy(h * MULTIPLES[at % MULTIPLES.len()], direction, 1.0);
        }
        let values = f.values(&points)?;
        rows.push(DVector::from_iterator(
            JET_LINES,
            values.as_slice().chunks_exact(MULTIPLES.len()).map(|v| {
                let third = |near: f64, far: f64, h: f64| (far - 2.0 * near) / (2.0 * h * h * h);
                let fine = third(v[0] - v[1], v[2] - v[3], h);
                let coarse = third(v[2] - v[3], v[4] - v[5], 2.0 * h);
                fine + (fine - coarse) / 3.0
            }),
        ));
    }
    let mut best = JetStep { h: largest, error: f64::INFINITY };
    for (k, pair) in rows.windows(2).enumerate() {
        let error = (&pair[0] - &pair[1]).norm() / pair[1].norm();
        if error < best.error {
            best = JetStep { h: largest * 0.5f64.powi(k as i32), error };
        }
    }
    Ok(best)
}

/// Measures the jet at `point` (length d).
pub fn measure(f: &mut dyn Oracle, point: &DVector<f64>, step: JetStep) -> Result<Jet, Halt> {
    let d = point.len();
    let h = step.h;
    let identity = DMatrix::identity(d, d);
    let centre = DMatrix::from_column_slice(d, 1, point.as_slice());
    let value = f.values(&centre)?[0];
    let gradient = f.gradients(&centre, &identity, GradientScheme::Central4, h)?;
    let hessian = f.hessians(&centre, &identity, HessianScheme::Richardson, h)?;
    let mut differences = |h: f64| -> Result<Vec<DMatrix<f64>>, Halt> {
        let mut centres = DMatrix::zeros(d, 2 * d);
        for (at, mut x) in centres.column_iter_mut().enumerate() {
            x.copy_from(point);
            x[at / 2] += if at % 2 == 0 { h } else { -h };
        }
        let hessians = f.hessians(&centres, &identity, HessianScheme::Polarised, h)?;
        Ok((0..d)
            .map(|k| {
                let difference = hessians.column(2 * k) - hessians.column(2 * k + 1);
                smat((difference / (2.0 * h)).as_slice())
            })
            .collect())
    };
    let fine = differences(h)?;
    let coarse = differences(2.0 * h)?;
    let slices: Vec<DMatrix<f64>> =
        fine.iter().zip(&coarse).map(|(fine, coarse)| (fine * 4.0 - coarse) / 3.0).collect();
    let (cubic, asymmetry) = Cubic::from_slices(&slices);
    Ok(Jet {
        point: point.clone(),
        value,
        gradient: gradient.column(0).into_owned(),
        hessian: smat(hessian.as_slice()),
        cubic,
        asymmetry,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Activation, Class, TwoLayer};
    use crate::oracle::NetworkOracle;

    #[test]
    fn the_jet_is_that_of_the_network() {
        let network = TwoLayer::random((6, 6, 2), Class::Paper, Activation::Tanh, 3).unwrap();
        let mut f = NetworkOracle::new(network.clone());
        let step = choose_step(&mut f, 3.0, 1).unwrap();
        assert!(step.error < 1e-5, "{step:?}");
        let point = draws::unit_vector(&mut draws::stream(1, "test", 0), 6);
        let jet = measure(&mut f, &point, step).unwrap();
        assert!((network.gradient(&point) - &jet.gradient).amax() < 1e-8);
        assert!((network.hessian(&point) - &jet.hessian).amax() < 1e-7);
        let h = 1e-4;
        let w = draws::unit_vector(&mut draws::stream(1, "test", 1), 6);
        let slice =
            (network.hessian(&(&point + &w * h)) - network.hessian(&(&point - &w * h))) / (2.0 * h);
        assert!((jet.cubic.slice(&w) - slice).amax() < 1e-5);
        assert!(jet.asymmetry < 1e-5, "{}", jet.asymmetry);
    }
}
