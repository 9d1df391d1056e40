//! What a run holds for parts of the network, measured against the truth.

use nalgebra::{DMatrix, DVector};

use crate::algebra::svec::svec_outer;
use crate::network::{Layer, Network};
use crate::oracle::{Found, Observer, Progress};

/// |cos| above which two directions count as the same.
const SAME: f64 = 0.99;

/// Watches a run with the truth at hand. The run learns nothing of it.
#[derive(Debug)]
pub struct Witness<'a> {
    truth: &'a Network,
    /// Queries answered so far.
    pub queries: u64,
    /// Gap of the singular values at the subspace's dimension.
    pub gap: Option<f64>,
    /// The smallest ||P_W(a_i a_i^T)||_F over the true a_i, scaled to norm 1: 1 if the subspace W
    /// holds them all.
    pub projection: Option<f64>,
    /// The directions taken for the first layer's.
    pub first_layer: Option<Directions>,
}

/// Directions taken for the first layer's, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directions {
    /// True a_i among them.
    pub units: usize,
    /// Those that are no a_i but an entangled weight v_l where they were found: attributed to the wrong layer.
    pub false_attributions: usize,
    /// Those that are neither.
    pub false_candidates: usize,
}

impl<'a> Witness<'a> {
    /// A witness who knows the network.
    pub fn new(truth: &'a Network) -> Self {
        Witness { truth, queries: 0, gap: None, projection: None, first_layer: None }
    }
}

impl Observer for Witness<'_> {
    fn stage(&mut self, _: Progress) {}

    fn queries(&mut self, progress: Progress) {
        self.queries = progress.total_queries;
    }

    fn note(&mut self, _: &str) {}

    fn found(&mut self, found: Found<'_>) {
        match found {
            Found::Subspace { frame, basis, gap } => {
                self.gap = Some(gap);
                self.projection = Some(projection(self.truth, frame, basis));
            }
            Found::FirstLayer { directions, about } => {
                self.first_layer = Some(Directions::of(self.truth, directions, about));
            }
        }
    }
}

fn projection(truth: &Network, frame: &DMatrix<f64>, basis: &DMatrix<f64>) -> f64 {
    let mut outer = DVector::zeros(basis.nrows());
    first(truth)
        .column_iter()
        .map(|a| {
            svec_outer((frame.transpose() * a).normalize().as_slice(), outer.as_mut_slice());
            (basis.transpose() * &outer).norm()
        })
        .fold(1.0, f64::min)
}

impl Directions {
    fn of(truth: &Network, found: &DMatrix<f64>, about: Option<&DVector<f64>>) -> Directions {
        let alike = |unit: &DVector<f64>, direction: &DVector<f64>| {
            unit.dot(direction).abs() > SAME * unit.norm() * direction.norm()
        };
        let columns = |matrix: &DMatrix<f64>| -> Vec<DVector<f64>> {
            matrix.column_iter().map(|column| column.into_owned()).collect()
        };
        let (units, entangled) = (columns(first(truth)), columns(&entangled(truth, about)));
        let directions = columns(found);
        let others = || directions.iter().filter(|v| !units.iter().any(|unit| alike(unit, v)));
        let false_attributions =
            others().filter(|v| entangled.iter().any(|unit| alike(unit, v))).count();
        Directions {
            units: units.iter().filter(|unit| directions.iter().any(|v| alike(unit, v))).count(),
            false_attributions,
            false_candidates: others().count() - false_attributions,
        }
    }
}

/// A.
fn first(truth: &Network) -> &DMatrix<f64> {
    &truth.layers[0].weights
}

/// v_l = A G b_l at a point, without one at the origin; none where there is no second layer.
fn entangled(truth: &Network, at: Option<&DVector<f64>>) -> DMatrix<f64> {
    let [Layer { weights: a, shifts, activation }, second, ..] = truth.layers.as_slice() else {
        return DMatrix::zeros(truth.input_dim(), 0);
    };
    let z = at.map_or_else(|| -shifts, |x| a.tr_mul(x) - shifts);
    a * DMatrix::from_diagonal(&z.map(|z| activation.slope(z))) * &second.weights
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algebra::linalg;
    use crate::draws;
    use crate::network::{Activation, Class};

    #[test]
    fn directions_are_told_apart_up_to_sign_and_length() {
        let truth = Network::random(&[9, 6, 2], 1, Class::Paper, Activation::Tanh, 4).unwrap();
        let a = first(&truth);
        let at = draws::unit_vector(&mut draws::stream(1, "about", 0), 9) * 2.0;
        let v = entangled(&truth, Some(&at));
        let stray = DVector::from_fn(9, |k, _| if k == 0 { 1.0 } else { 0.0 });
        let directions = DMatrix::from_columns(&[
            -a.column(0).into_owned(),
            a.column(3) * 2.0,
            a.column(3).into_owned(),
            v.column(1).into_owned(),
            stray,
        ]);
        let counted = Directions::of(&truth, &directions, Some(&at));
        let expected = Directions { units: 2, false_attributions: 1, false_candidates: 1 };
        assert_eq!(counted, expected);
        // v_1 moves with the point: at the origin it is no entangled weight.
        let counted = Directions::of(&truth, &directions, None);
        assert_eq!((counted.false_attributions, counted.false_candidates), (0, 2));
    }

    #[test]
    fn a_subspace_without_a_unit_shows_in_the_projection() {
        let truth = Network::random(&[7, 5, 2], 1, Class::Paper, Activation::Tanh, 4).unwrap();
        let mut span = DMatrix::zeros(28, 5);
        for (a, mut out) in first(&truth).column_iter().zip(span.column_iter_mut()) {
            let a: Vec<f64> = a.iter().copied().collect();
            svec_outer(&a, out.as_mut_slice());
        }
        let frame = DMatrix::identity(7, 7);
        let whole = linalg::thin_svd(&span).unwrap().u;
        assert!((projection(&truth, &frame, &whole) - 1.0).abs() < 1e-12);
        let less = linalg::thin_svd(&span.columns(0, 4).into_owned()).unwrap().u;
        assert!(projection(&truth, &frame, &less) < 0.9);
    }
}
