//! The function behind the black box of a study: a network, and its departure from one.

use nalgebra::{DMatrix, DVector, DVectorView};
use rand::RngExt;
use rand_distr::StandardNormal;

use super::black_box::fingerprint;
use super::cell::Cell;
use super::deviation::{Deviating, Deviation};
use super::precision::Precision;
use super::single;
use crate::draws;
use crate::network::Network;

/// A function of d inputs and K outputs.
#[derive(Clone, Debug)]
pub struct Deviant {
    network: Network,
    departure: Departure,
    /// By how much each output takes part in the departure; of norm 1.
    shares: DVector<f64>,
    /// Are networks computed in f32?
    single: bool,
}

#[derive(Clone, Debug)]
enum Departure {
    Nothing,
    Clip(f64),
    Far { radius: f64, other: Box<Network> },
    Rare { share: f64, seed: u64 },
    ThirdLayer { size: f64, weights: DMatrix<f64>, shifts: DVector<f64>, outputs: DVector<f64> },
    Sine { size: f64, frequency: DVector<f64> },
    Bent(f64),
    ClippedOutputs { most: f64, middle: DVector<f64> },
}

impl Deviant {
    /// A network and nothing else.
    pub fn exact(network: Network) -> Deviant {
        let shares = DVector::zeros(network.output_dim());
        Deviant { network, departure: Departure::Nothing, shares, single: false }
    }

    /// The function whose network, if it has one, is `network` with a hidden unit where the deviation of the
    /// cell says so. `other` answers far out.
    pub fn new(mut network: Network, cell: &Cell, other: Network, seed: u64) -> Deviant {
        let rng = &mut draws::stream(seed, "deviation", 0);
        let shares = shares(cell, seed);
        let (d, widths) = (network.input_dim(), network.widths());
        let last = widths.len() - 1;
        let departure = match cell.deviation {
            Deviation::None => Departure::Nothing,
            Deviation::FirstUnit(size) => {
                let a = draws::unit_vector(rng, d);
                let heard = match widths.get(1) {
                    Some(&m1) => draws::unit_vector(rng, m1),
                    None => shares.clone(),
                };
                let shift = cell.std * rng.sample::<f64, _>(StandardNormal);
                add_unit(&mut network, 0, (&a, shift), &(heard * size));
                Departure::Nothing
            }
            Deviation::SecondUnit(size) => {
                let b = draws::unit_vector(rng, widths[0]);
                let shift = cell.std * rng.sample::<f64, _>(StandardNormal);
                add_unit(&mut network, last, (&b, shift), &(&shares * size));
                Departure::Nothing
            }
            Deviation::Clip(most) => Departure::Clip(most),
            Deviation::Far(radius) => Departure::Far { radius, other: Box::new(other) },
            Deviation::Rare(share) => Departure::Rare { share, seed },
            Deviation::ThirdLayer(size) => {
                let m = widths[last];
                let columns: Vec<_> = (0..m).map(|_| draws::unit_vector(rng, m)).collect();
                Departure::ThirdLayer {
                    size,
                    weights: DMatrix::from_columns(&columns),
                    shifts: draws::gaussian(rng, m, 1).column(0) * cell.std,
                    outputs: draws::unit_vector(rng, m),
                }
            }
            Deviation::Sine(size) => {
                Departure::Sine { size, frequency: draws::unit_vector(rng, d) }
            }
            Deviation::Bent(share) => Departure::Bent(share),
            Deviation::ClippedOutputs(most) => {
                let middle = network.logits(&DMatrix::zeros(d, 1)).column(0).into_owned();
                Departure::ClippedOutputs { most, middle }
            }
        };
        let single = cell.precision == Precision::F32Arithmetic;
        let network = if single { single::rounded(network) } else { network };
        Deviant { network, departure, shares, single }
    }

    /// Outputs of a network before the link.
    fn logits(&self, network: &Network, points: &DMatrix<f64>) -> DMatrix<f64> {
        if self.single { single::logits(network, points) } else { network.logits(points) }
    }

    /// The network: all of f, or what f departs from.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Answers at the columns of `points` (d x n), K x n.
    pub fn outputs(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let mut outputs = self.departed(points);
        self.network.link.apply(&mut outputs);
        outputs
    }

    /// The same before the link.
    fn departed(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let own = self.logits(&self.network, points);
        match &self.departure {
            Departure::Nothing => own,
            Departure::Clip(most) => {
                let clipped = self.logits(&self.network, &points.map(|x| x.clamp(-most, *most)));
                self.partly(own, |k, j, _| clipped[(k, j)])
            }
            Departure::Far { radius, other } => {
                let others = self.logits(other, points);
                let is_far: Vec<bool> = points.column_iter().map(|x| x.norm() > *radius).collect();
                self.partly(own, |k, j, z| if is_far[j] { others[(k, j)] } else { z })
            }
            Departure::Rare { share, seed } => {
                let error = |x: DVectorView<'_, f64>| {
                    let rng = &mut draws::stream(*seed, "rare errors", fingerprint(x));
                    let erring = rng.random::<f64>() < *share;
                    if erring { rng.sample(StandardNormal) } else { 0.0 }
                };
                let errors = points.column_iter().map(|x| error(x.as_view()));
                self.plus(own, &DVector::from_iterator(points.ncols(), errors))
            }
            Departure::ThirdLayer { size, weights, shifts, outputs } => {
                let mut third = weights.tr_mul(&self.network.hidden(points));
                let activation = self.network.layers.last().map(|layer| layer.activation);
                for mut u in third.column_iter_mut() {
                    u -= shifts;
                }
                third.apply(|u| *u = activation.map_or(*u, |phi| phi.value(*u)));
                self.plus(own, &(third.tr_mul(outputs) * *size))
            }
            Departure::Sine { size, frequency } => {
                self.plus(own, &(points.tr_mul(frequency).map(f64::sin) * *size))
            }
            Departure::Bent(share) => self.partly(own, |_, _, z| z + share * (z.atan() - z)),
            Departure::ClippedOutputs { most, middle } => {
                self.partly(own, |k, _, z| z.clamp(middle[k] - most, middle[k] + most))
            }
        }
    }

    /// `outputs` (K x n) and, by their shares, a number a point.
    fn plus(&self, mut outputs: DMatrix<f64>, added: &DVector<f64>) -> DMatrix<f64> {
        outputs.ger(1.0, &self.shares, added, 1.0);
        outputs
    }

    /// `outputs` with those that take part, at their places, as `changed` says.
    fn partly(
        &self,
        mut outputs: DMatrix<f64>,
        changed: impl Fn(usize, usize, f64) -> f64,
    ) -> DMatrix<f64> {
        for (k, mut row) in outputs.row_iter_mut().enumerate() {
            if self.shares[k] != 0.0 {
                row.iter_mut().enumerate().for_each(|(j, z)| *z = changed(k, j, *z));
            }
        }
        outputs
    }
}

/// A direction in the outputs: the first alone, or any.
fn shares(cell: &Cell, seed: u64) -> DVector<f64> {
    let first = |k, _| if k == 0 { 1.0 } else { 0.0 };
    if cell.outputs == 1 || cell.deviating == Deviating::One {
        return DVector::from_fn(cell.outputs, first);
    }
    draws::unit_vector(&mut draws::stream(seed, "deviating outputs", 0), cell.outputs)
}

/// Adds a unit with these weights and this shift to hidden layer `l`, which what follows hears as told.
fn add_unit(
    network: &mut Network,
    l: usize,
    (weights, shift): (&DVector<f64>, f64),
    heard: &DVector<f64>,
) {
    let layer = &mut network.layers[l];
    let units = layer.shifts.len();
    layer.weights = std::mem::take(&mut layer.weights).insert_column(units, 0.0);
    layer.weights.set_column(units, weights);
    layer.shifts = layer.shifts.push(shift);
    let outgoing = network.outgoing_mut(l);
    *outgoing = std::mem::take(outgoing).insert_row(units, 0.0);
    outgoing.set_row(units, &heard.transpose());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Activation, Class, Link};
    use crate::study::cell::tests::cell;

    fn network(outputs: usize, seed: u64) -> Network {
        Network::random(&[6, 5, 3], outputs, Class::Paper, Activation::Sigmoid, seed).unwrap()
    }

    fn deviant(deviation: Deviation) -> Deviant {
        let cell = Cell { deviation, std: 0.1, ..cell() };
        Deviant::new(network(1, 1), &cell, network(1, 2), 7)
    }

    fn points() -> DMatrix<f64> {
        draws::gaussian(&mut draws::stream(1, "test", 0), 6, 20_000) * 2.0
    }

    fn departure(deviation: Deviation) -> DMatrix<f64> {
        let points = points();
        deviant(deviation).outputs(&points) - network(1, 1).outputs(&points)
    }

    #[test]
    fn small_departures_have_their_size_and_are_not_constant() {
        for of in [
            Deviation::FirstUnit,
            Deviation::SecondUnit,
            Deviation::ThirdLayer,
            Deviation::Sine,
            Deviation::Bent,
        ] {
            let departure = departure(of(1e-4));
            let most = departure.amax();
            assert!((1e-6..=3e-4).contains(&most), "{:?}: {most}", of(1e-4));
            assert!(departure.variance().sqrt() > 1e-7, "{:?}", of(1e-4));
        }
        assert_eq!(departure(Deviation::None).amax(), 0.0);
    }

    #[test]
    fn a_hidden_unit_is_one_of_the_network() {
        let points = points();
        for (deviation, widths) in
            [(Deviation::FirstUnit(1e-4), [6, 3]), (Deviation::SecondUnit(1e-4), [5, 4])]
        {
            let deviant = deviant(deviation);
            assert_eq!(deviant.network().widths(), widths);
            assert_eq!(deviant.outputs(&points), deviant.network().outputs(&points));
        }
    }

    #[test]
    fn some_departures_are_on_a_part_of_the_points_only() {
        let points = points();
        let far = departure(Deviation::Far(5.0));
        let clipped = departure(Deviation::Clip(3.0));
        for (k, x) in points.column_iter().enumerate() {
            assert_eq!(far[k] != 0.0, x.norm() > 5.0);
            assert!(clipped[k] == 0.0 || x.amax() > 3.0);
        }
        assert!(clipped.amax() > 0.01);
        let wrong = departure(Deviation::Rare(1e-2)).iter().filter(|&&e| e != 0.0).count();
        assert!((140..=260).contains(&wrong), "{wrong} of 20000");
        let range = network(1, 1).outputs(&points);
        let clipped = departure(Deviation::ClippedOutputs(0.25 * (range.max() - range.min())));
        let touched = clipped.iter().filter(|&&e| e != 0.0).count();
        assert!(touched > 0 && touched < points.ncols());
    }

    #[test]
    fn one_output_departs_alone_and_before_the_link() {
        let points = points();
        for link in [Link::None, Link::SIGMOID, Link::Softmax] {
            let with_link = |seed| Network { link, ..network(3, seed) };
            for (deviating, departing) in [(Deviating::One, 1), (Deviating::All, 3)] {
                let deviation = Deviation::Sine(1e-2);
                let cell = Cell { deviation, deviating, outputs: 3, link, ..cell() };
                let deviant = Deviant::new(with_link(1), &cell, with_link(2), 7);
                let departure = deviant.outputs(&points) - with_link(1).outputs(&points);
                let touched = departure.row_iter().filter(|row| row.amax() > 1e-6).count();
                // A softmax passes it on to all.
                let expected = if link == Link::Softmax { 3 } else { departing };
                assert_eq!(touched, expected, "{link}, {deviating:?}");
            }
        }
    }
}
