//! The coordinates in which the wide pipeline works: inputs of even influence, and of them as many
//! dimensions as f depends on.
//!
//! A sphere in inputs of which one counts a thousand times as much as another shows little of the other.

use nalgebra::{DMatrix, DVector};

use super::landscape::Landscape;
use super::probe;
use super::reduce::{Sampling, reduce};
use super::tolerances::{EVEN_INFLUENCE, LEAST_INFLUENCE, MOST_STRETCH};
use crate::identify::context::Context;
use crate::identify::evidence::Framed;
use crate::identify::failure::Halt;
use crate::oracle::views::restricted::Restricted;

/// Coordinates y of length k, and what is known of f in them.
pub struct Frame {
    /// d x k: x = points y.
    pub points: DMatrix<f64>,
    /// d x k: b . y = (weights b) . x.
    pub weights: DMatrix<f64>,
    /// Scale and noise in the coordinates y.
    pub land: Landscape,
    /// The same in the inputs themselves.
    pub outside: Landscape,
}

impl Frame {
    /// Are the coordinates all inputs, at most stretched?
    pub fn is_whole(&self) -> bool {
        self.points.is_square()
    }
}

/// The frame of a black box that looks like `land`, of all inputs where f depends on more than `most` combinations of
/// them.
pub fn frame(cx: &mut Context<'_>, most: usize) -> Result<Frame, Halt> {
    let (land, seed) = (cx.land.clone(), cx.seed);
    let d = cx.f.input_dim();
    let sampling = Sampling::wide(d, &land, seed);
    let gradients = sampling.gradients(cx.f)?;
    let stretches = stretches(&gradients, land.noise_near / sampling.h);
    // Gradients of a function of kinks are few different ones: they tell no range.
    let whole = |d: usize| land.grows.then(|| DMatrix::identity(d, d));
    if stretches.max() < EVEN_INFLUENCE * stretches.min() {
        if let Some(points) = whole(d) {
            let weights = points.clone();
            return Ok(Frame { points, weights, land: land.clone(), outside: land });
        }
        let points = reduce(cx, &sampling, gradients, most)?;
        let (weights, outside) = (points.clone(), land.clone());
        return Ok(Frame { points, weights, land, outside });
    }
    cx.evidence.frame.push(Framed { stretches: stretches.as_slice().to_vec() });
    let stretch = DMatrix::from_diagonal(&stretches);
    let Context { f, attempt, clock, evidence, .. } = cx;
    let attempt = *attempt;
    let f = &mut Restricted::by_values(*f, &stretch);
    let within = probe::probe(f, seed)?;
    evidence.probe.push(within.clone());
    let basis = match whole(d) {
        Some(basis) => basis,
        None => {
            let sampling = Sampling::wide(d, &within, seed);
            let gradients = sampling.gradients(f)?;
            let cx = &mut Context { f, land: &within, seed, attempt, clock, evidence };
            reduce(cx, &sampling, gradients, most)?
        }
    };
    let weights = DMatrix::from_diagonal(&stretches.map(f64::recip)) * &basis;
    Ok(Frame { points: stretch * basis, weights, land: within, outside: land })
}

/// By how much each input is to be stretched for all to have the same root mean square share of some `gradients`,
/// whose entries have errors of order `noise`: powers of 2, so that nothing is rounded, and 1 for inputs that show none.
fn stretches(gradients: &DMatrix<f64>, noise: f64) -> DVector<f64> {
    let d = gradients.nrows();
    // Unit gradients: a few steep ones show too few of the directions in which f varies.
    let sure = LEAST_INFLUENCE * noise * (d as f64).sqrt();
    let (mut squares, mut of_noise) = (DVector::<f64>::zeros(d), 0.0);
    for gradient in gradients.column_iter() {
        let norm = gradient.norm();
        if norm > sure {
            squares += gradient.map(|entry| (entry / norm).powi(2));
            of_noise += (noise / norm).powi(2);
        }
    }
    let (most, shown) = (squares.max().sqrt(), LEAST_INFLUENCE * of_noise.sqrt());
    squares.map(|square| {
        let influence = square.sqrt();
        let stretch = if influence > shown { (most / influence).min(MOST_STRETCH) } else { 1.0 };
        stretch.log2().round().exp2()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::context::in_context;
    use crate::network::{Activation, Class, TwoLayer};
    use crate::oracle::NetworkOracle;

    #[test]
    fn inputs_of_uneven_influence_are_stretched() {
        let mut network = TwoLayer::random((6, 5, 2), Class::Paper, Activation::Tanh, 1).unwrap();
        let see = |network: &TwoLayer| {
            let mut f = NetworkOracle::new(network.clone());
            let land = probe::probe(&mut f, 1).unwrap();
            in_context(&mut f, &land, (1, 0), |cx| frame(cx, 6)).0.unwrap()
        };
        let even = see(&network);
        assert!((even.points.tr_mul(&even.points) - DMatrix::identity(5, 5)).amax() < 1e-12);
        network.a.row_mut(0).scale_mut(1e-3);
        network.a.row_mut(3).scale_mut(1e3);
        let uneven = see(&network);
        assert_eq!(uneven.points.shape(), (6, 5));
        // Weights and points belong together, and the range holds the first layer.
        assert!((uneven.weights.tr_mul(&uneven.points) - DMatrix::identity(5, 5)).amax() < 1e-12);
        let back = &uneven.weights * uneven.points.tr_mul(&network.a);
        for (back, a) in back.column_iter().zip(network.a.column_iter()) {
            assert!((back - a).norm() < 1e-6 * a.norm());
        }
        let inner = uneven.points.tr_mul(&network.a);
        let norms: Vec<f64> = inner.row_iter().map(|row| row.norm()).collect();
        let most = norms.iter().copied().fold(0.0, f64::max);
        assert!(norms.iter().all(|norm| *norm > 1e-2 * most), "{norms:?}");
    }
}
