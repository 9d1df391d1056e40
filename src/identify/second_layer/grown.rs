//! The second layer one unit at a time, where the first one's hyperplanes are known.
//!
//! For values that are computed in f32: differences of the second order keep few digits of them, and where the second layer is
//! steep, or has as many units as the first, they tell nothing of it. But the directions of the first layer come from gradients, to
//! 1e-4 or better. Held at these, the slopes and shifts of the first layer and a second layer of a few units are fitted to values,
//! one unit more each time ([`grow`]); free, the directions would turn to make good for the units that are not there yet. Where
//! little is left of f all parameters are free.

use nalgebra::{DMatrix, DVector};

use super::tolerances::{GROWN_LEAN, GROWN_MORE, GROWN_NEAR};
use crate::identify::context::Context;
use crate::identify::evidence::{GrowthEnd, UnitsGrown};
use crate::identify::failure::{Failure, Halt};
use crate::identify::first_layer::unit::Unit;
use crate::identify::fit::active;
use crate::identify::fit::grow::{self, Budget, Growth, Inputs};
use crate::identify::fit::growing::Growing;
use crate::identify::fit::refine::refine;
use crate::identify::fit::sample::{self, Sample};
use crate::identify::fit::tolerances::GROWTH_MOST_PARAMETERS;
use crate::identify::survey::line::half_width;
use crate::network::model::Model;
use crate::network::{Activation, OneLayer, TwoLayer};
use crate::stage::Stage;

/// A network of two hidden layers over coordinates of which each is the argument of one unit of the first, but for its slope and shift: its
/// weights are diagonal.
#[derive(Clone)]
struct Steered(TwoLayer);

/// The network with activations `g` and `h` and the hyperplanes of `units` that is f to the accuracy of its values.
pub fn second_layer(
    cx: &mut Context<'_>,
    units: &[Unit],
    (g, h): (Activation, Activation),
    budget: &mut Budget,
) -> Result<TwoLayer, Halt> {
    let columns: Vec<DVector<f64>> = units.iter().map(|unit| unit.direction.clone()).collect();
    let directions = DMatrix::from_columns(&columns);
    let stage = format!("grown {}", cx.attempt);
    let growth = Growth {
        stage: &stage,
        most_units: units.len() + GROWN_MORE,
        most_parameters: GROWTH_MOST_PARAMETERS,
        // The cube of the first layer's values.
        scale: 1.0,
        inputs: Inputs::Nearly,
    };
    let draw = |cx: &mut Context<'_>, network: &Steered, round: usize| {
        let whole = network.along(&directions);
        let count = grow::points_for(network.parameter_count());
        let layer = (&whole.a, &whole.theta);
        let stage = format!("{stage} {round}");
        let sample = active::sample(cx.f, cx.land, layer, count, cx.seed, &stage)?;
        Ok(Sample { points: directions.tr_mul(&sample.points), ..sample })
    };
    let mut near = GROWN_NEAR * cx.land.spread;
    let done = |cx: &mut Context<'_>, network: &Steered, sample: &Sample, left: f64| {
        if left > near {
            return Ok(None);
        }
        near = 0.5 * left;
        // With units taken in vain a fit of all parameters has valleys without end.
        let lean = GROWN_LEAN * left;
        let lean = grow::without_spare(sample, network.clone(), (cx.land, lean), cx.clock)?;
        let whole = lean.along(&directions);
        let count = sample::size_for(&whole);
        let layer = (&whole.a, &whole.theta);
        let stage = format!("{stage} whole {}", network.width());
        let sample = active::sample(cx.f, cx.land, layer, count, cx.seed, &stage)?;
        let floor = grow::floor(cx.land, &sample);
        let (fitted, ended) = refine(&sample, whole, floor, cx.clock)?;
        if ended.to > floor {
            return Ok(None);
        }
        grow::without_spare(&sample, fitted, (cx.land, floor), cx.clock).map(Some)
    };
    let start = Steered::of(units, (g, h));
    let (found, mut seen) = grow::grow(cx, start, (&growth, budget), draw, done)?;
    seen.after = found.as_ref().map(TwoLayer::width);
    let UnitsGrown { rounds, left, ended, .. } = seen;
    cx.evidence.grown.push(seen);
    found.ok_or_else(|| {
        let reason = format!(
            "a second layer grown by one unit at a time leaves {left:.1e} of f after {rounds} rounds (spread {:.1e}): {}",
            cx.land.spread,
            ended.map_or("nothing explains f", GrowthEnd::in_words)
        );
        Failure::new(Stage::Grow, reason).into()
    })
}

impl Steered {
    /// By the hyperplanes and widths of `units`, with an empty second layer.
    fn of(units: &[Unit], (g, h): (Activation, Activation)) -> Self {
        let m0 = units.len();
        let slopes = units.iter().map(|unit| half_width(g) / unit.half_width);
        let slopes = DVector::from_iterator(m0, slopes);
        let shifts = units.iter().zip(slopes.iter()).map(|(unit, slope)| slope * unit.centre);
        Steered(TwoLayer {
            theta: DVector::from_iterator(m0, shifts),
            a: DMatrix::from_diagonal(&slopes),
            b: DMatrix::zeros(m0, 0),
            tau: DVector::zeros(0),
            c: DVector::zeros(0),
            c0: 0.0,
            g,
            h,
        })
    }

    /// The same over inputs along which the units have these `directions` (columns).
    fn along(&self, directions: &DMatrix<f64>) -> TwoLayer {
        TwoLayer { a: directions * &self.0.a, ..self.0.clone() }
    }
}

impl Model for Steered {
    const DEPTH: usize = 2;

    fn inputs(&self) -> usize {
        self.0.inputs()
    }
    fn widths(&self) -> Vec<usize> {
        self.0.widths()
    }
    fn activations(&self) -> Vec<Activation> {
        self.0.activations()
    }
    fn parameter_count(&self) -> usize {
        let (_, m0, _) = self.0.dims();
        self.0.parameter_count() - m0 * m0 + m0
    }
    fn first_layer(&self) -> &DMatrix<f64> {
        &self.0.a
    }
    fn to_vector(&self) -> DVector<f64> {
        let m0 = self.0.theta.len();
        let all = self.0.to_vector();
        let mut own = self.0.a.diagonal().insert_rows(m0, all.len() - m0 * m0, 0.0);
        own.rows_mut(m0, all.len() - m0 * m0).copy_from(&all.rows(m0 * m0, all.len() - m0 * m0));
        own
    }
    fn with_vector(&self, parameters: &DVector<f64>) -> Self {
        let m0 = self.0.theta.len();
        let a = DMatrix::from_diagonal(&parameters.rows(0, m0).into_owned());
        let rest = parameters.rows(m0, parameters.len() - m0);
        let all = a.iter().chain(rest.iter()).copied();
        let all = DVector::from_iterator(self.0.parameter_count(), all);
        Steered(self.0.with_vector(&all))
    }
    fn values(&self, points: &DMatrix<f64>) -> DVector<f64> {
        self.0.values(points)
    }
    fn jacobian_transposed(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let m0 = self.0.theta.len();
        let all = self.0.jacobian_transposed(points);
        let diagonal = (0..m0).map(|i| i * m0 + i);
        let rows: Vec<usize> = diagonal.chain(m0 * m0..all.nrows()).collect();
        all.select_rows(&rows)
    }
    fn tensors(&self) -> Vec<(&'static str, &[f64])> {
        self.0.tensors()
    }
}

impl Growing for Steered {
    fn given(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        self.0.given(points)
    }
    fn put_out(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        self.0.put_out(points)
    }
    fn activation(&self) -> Activation {
        self.0.h
    }
    fn with_unit(&self, unit: &OneLayer) -> Self {
        Steered(self.0.with_unit(unit))
    }
    fn without_unit(&self, unit: usize) -> Self {
        Steered(self.0.without_unit(unit))
    }
    fn with_outputs(&self, c: DVector<f64>, c0: f64) -> Self {
        Steered(self.0.with_outputs(c, c0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;
    use crate::identify::context::in_context;
    use crate::identify::survey::landscape::Landscape;
    use crate::network::Class;
    use crate::oracle::NetworkOracle;

    /// What is known of the first layer: widths and centres are off by a tenth.
    fn units(truth: &TwoLayer) -> Vec<Unit> {
        let unit = |(a, theta): (nalgebra::DVectorView<'_, f64>, &f64)| Unit {
            direction: a.normalize(),
            centre: (theta + 0.1) / a.norm(),
            half_width: 0.9 * half_width(truth.g) / a.norm(),
            error: 1e-8,
        };
        truth.a.column_iter().zip(truth.theta.iter()).map(unit).collect()
    }

    #[test]
    fn as_many_units_as_the_first_layer_has_are_found_though_they_are_steep() {
        let tanh = Activation::Tanh;
        let mut truth = TwoLayer::random((5, 4, 4), Class::General, tanh, 1).unwrap();
        truth.b *= 3.0;
        let land = Landscape::unit(1e-9, 1e-9);
        let f = &mut NetworkOracle::new(truth.clone());
        let (found, evidence) = in_context(f, &land, (1, 0), |cx| {
            second_layer(cx, &units(&truth), (tanh, tanh), &mut Budget::default()).unwrap()
        });
        let error = truth.matching(&found).parameter_error.unwrap();
        assert!(error < 1e-5, "{error:e}");
        assert_eq!(evidence.grown[0].after, Some(4));
    }

    #[test]
    fn parameters_are_those_of_the_network_but_for_the_directions() {
        let truth = TwoLayer::random((3, 3, 2), Class::General, Activation::Tanh, 2).unwrap();
        let slopes = truth.a.column(0).into_owned();
        let steered = Steered(TwoLayer { a: DMatrix::from_diagonal(&slopes), ..truth });
        let parameters = steered.to_vector();
        assert_eq!(parameters.len(), steered.parameter_count());
        let points = draws::gaussian(&mut draws::stream(1, "test", 0), 3, 7);
        let jt = steered.jacobian_transposed(&points);
        for j in 0..parameters.len() {
            let moved = |h: f64| {
                let mut moved = parameters.clone();
                moved[j] += h;
                steered.with_vector(&moved).values(&points)
            };
            let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((jt.row(j).transpose() - difference).amax() < 1e-8, "{j}");
        }
    }
}
