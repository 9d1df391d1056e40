//! Black boxes computed in f32: weights, inputs, sums and activations.

use nalgebra::{DMatrix, DVector};

use disentangle::identify::{Settings, Solution, Status, identify};
use disentangle::network::{Activation, Class, Network};
use disentangle::oracle::{Oracle, OracleError, Silent};

/// A network of one output in single precision, with the weights that f32 has.
struct Single(Network);

impl Single {
    fn new(mut network: Network) -> Self {
        let round = |x: &mut f64| *x = f64::from(*x as f32);
        for layer in &mut network.layers {
            layer.weights.apply(round);
            layer.shifts.apply(round);
        }
        network.c.apply(round);
        network.c0.apply(round);
        Single(network)
    }

    fn value(&self, x: &[f64]) -> f64 {
        let affine = |weights: &DMatrix<f64>, offsets: &DVector<f64>, y: &[f32]| -> Vec<f32> {
            let sum = |column: nalgebra::DVectorView<'_, f64>| {
                column.iter().zip(y).map(|(&w, &y)| w as f32 * y).sum::<f32>()
            };
            weights.column_iter().zip(offsets).map(|(w, &o)| sum(w) + o as f32).collect()
        };
        let mut y: Vec<f32> = x.iter().map(|&x| x as f32).collect();
        for layer in &self.0.layers {
            let phi = |t: &f32| match layer.activation {
                Activation::Tanh => t.tanh(),
                Activation::Sigmoid => 1.0 / (1.0 + (-t).exp()),
                other => panic!("no test of {other}"),
            };
            y = affine(&layer.weights, &-&layer.shifts, &y).iter().map(phi).collect();
        }
        f64::from(affine(&self.0.c, &self.0.c0, &y)[0])
    }
}

impl Oracle for Single {
    fn input_dim(&self) -> usize {
        self.0.input_dim()
    }

    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        let values = points.column_iter().map(|x| self.value(x.as_slice()));
        Ok(DVector::from_iterator(points.ncols(), values))
    }
}

/// Identified within 1e-5, and as well as the bound says.
fn assert_identified(dims: &[usize], phi: Activation, seed: u64) -> Solution {
    let truth = Network::random(dims, 1, Class::General, phi, seed).expect("sound dimensions");
    let mut oracle = Single::new(truth);
    let settings = Settings { seed, tolerance: 1e-5, ..Settings::default() };
    let solution = identify(&mut oracle, &settings, &mut Silent).expect("a sound black box");
    assert_eq!(solution.status, Status::Identified, "{dims:?} {phi}: {}", solution.reason);
    let found = solution.network.as_ref().expect("an identified network");
    let error = oracle.0.matching(found).parameter_error.expect("a network of the same shape");
    let bound = solution.parameter_error_bound.expect("an identified network has a bound");
    assert!(error <= bound, "{dims:?} {phi}: error {error:e}, bound {bound:e}");
    solution
}

#[test]
fn two_hidden_layers_computed_in_f32_are_identified() {
    for phi in [Activation::Tanh, Activation::Sigmoid] {
        let solution = assert_identified(&[15, 15, 4], phi, 1);
        let seen = solution.evidence.as_json()["probe"][0]["noise_growth"].as_f64();
        // Points are rounded by 6e-8 of themselves, a share of which f shows.
        assert!(seen.is_some_and(|growth| growth > 1e-10), "{seen:?}");
    }
}

#[test]
fn second_layers_as_wide_as_the_first_computed_in_f32_are_identified() {
    assert_identified(&[10, 10, 8], Activation::Tanh, 2);
}

#[test]
fn one_hidden_layer_computed_in_f32_is_identified() {
    for phi in [Activation::Tanh, Activation::Sigmoid] {
        assert_identified(&[10, 12], phi, 1);
    }
}

#[test]
fn small_units_and_more_units_than_inputs_computed_in_f32_are_found() {
    let tanh = Activation::Tanh;
    let mut truth = Network::random(&[6, 9], 1, Class::General, tanh, 3).expect("sound dimensions");
    // Far out their steps are lost in what is not known of the others.
    for unit in [2, 5] {
        truth.c[(unit, 0)] *= 0.01;
    }
    let mut oracle = Single::new(truth);
    let settings = Settings { seed: 1, tolerance: 1e-3, ..Settings::default() };
    let solution = identify(&mut oracle, &settings, &mut Silent).expect("a sound black box");
    assert_eq!(solution.status, Status::Identified, "{}", solution.reason);
    let found = solution.network.as_ref().expect("an identified network");
    let error = oracle.0.matching(found).parameter_error.expect("a network of the same shape");
    assert!(solution.parameter_error_bound.is_some_and(|bound| error <= bound), "{error:e}");
    let grown = &solution.evidence.as_json()["grown"][0];
    assert_eq!(grown["after"], 9, "{grown}");
}
