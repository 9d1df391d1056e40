//! The function behind the black box of a study: a network, and its departure from one.

use nalgebra::{DMatrix, DVector};
use rand::RngExt;
use rand_distr::StandardNormal;

use super::black_box::fingerprint;
use super::deviation::Deviation;
use crate::draws;
use crate::network::TwoLayer;

/// A function of d inputs.
#[derive(Clone, Debug)]
pub struct Deviant {
    network: TwoLayer,
    departure: Departure,
}

#[derive(Clone, Debug)]
enum Departure {
    Nothing,
    Clip(f64),
    Far { radius: f64, other: Box<TwoLayer> },
    Rare { share: f64, seed: u64 },
    ThirdLayer { size: f64, weights: DMatrix<f64>, shifts: DVector<f64>, outputs: DVector<f64> },
    Sine { size: f64, frequency: DVector<f64> },
}

impl Deviant {
    /// A network and nothing else.
    pub fn exact(network: TwoLayer) -> Deviant {
        Deviant { network, departure: Departure::Nothing }
    }

    /// The function whose network, if it has one, is `network` with a hidden unit where the deviation says
    /// so; shifts of what is new have standard deviation `shift_spread`. `other` answers far out.
    pub fn new(
        mut network: TwoLayer,
        deviation: Deviation,
        other: TwoLayer,
        shift_spread: f64,
        seed: u64,
    ) -> Deviant {
        let rng = &mut draws::stream(seed, "deviation", 0);
        let departure = match deviation {
            Deviation::None => Departure::Nothing,
            Deviation::FirstUnit(size) => {
                let (d, m0, m1) = network.dims();
                let (a, row) = (draws::unit_vector(rng, d), draws::unit_vector(rng, m1) * size);
                network.a = network.a.insert_column(m0, 0.0);
                network.a.set_column(m0, &a);
                let shift = shift_spread * rng.sample::<f64, _>(StandardNormal);
                network.theta = network.theta.push(shift);
                network.b = network.b.insert_row(m0, 0.0);
                network.b.set_row(m0, &row.transpose());
                Departure::Nothing
            }
            Deviation::SecondUnit(size) => {
                let (_, m0, m1) = network.dims();
                let b = draws::unit_vector(rng, m0);
                network.b = network.b.insert_column(m1, 0.0);
                network.b.set_column(m1, &b);
                let shift = shift_spread * rng.sample::<f64, _>(StandardNormal);
                network.tau = network.tau.push(shift);
                network.c = network.c.push(size);
                Departure::Nothing
            }
            Deviation::Clip(most) => Departure::Clip(most),
            Deviation::Far(radius) => Departure::Far { radius, other: Box::new(other) },
            Deviation::Rare(share) => Departure::Rare { share, seed },
            Deviation::ThirdLayer(size) => {
                let m1 = network.c.len();
                let columns: Vec<_> = (0..m1).map(|_| draws::unit_vector(rng, m1)).collect();
                Departure::ThirdLayer {
                    size,
                    weights: DMatrix::from_columns(&columns),
                    shifts: draws::gaussian(rng, m1, 1).column(0) * shift_spread,
                    outputs: draws::unit_vector(rng, m1),
                }
            }
            Deviation::Sine(size) => {
                Departure::Sine { size, frequency: draws::unit_vector(rng, network.a.nrows()) }
            }
        };
        Deviant { network, departure }
    }

    /// The network: all of f, or what f departs from.
    pub fn network(&self) -> &TwoLayer {
        &self.network
    }

    /// Values at the columns of `points` (d x n).
    pub fn values(&self, points: &DMatrix<f64>) -> DVector<f64> {
        match &self.departure {
            Departure::Nothing => self.network.values(points),
            Departure::Clip(most) => self.network.values(&points.map(|x| x.clamp(-most, *most))),
            Departure::Far { radius, other } => {
                let mut values = self.network.values(points);
                let others = other.values(points);
                for (k, x) in points.column_iter().enumerate() {
                    if x.norm() > *radius {
                        values[k] = others[k];
                    }
                }
                values
            }
            Departure::Rare { share, seed } => {
                let mut values = self.network.values(points);
                for (x, value) in points.column_iter().zip(&mut values) {
                    let rng = &mut draws::stream(*seed, "rare errors", fingerprint(x));
                    if rng.random::<f64>() < *share {
                        *value += rng.sample::<f64, _>(StandardNormal);
                    }
                }
                values
            }
            Departure::ThirdLayer { size, weights, shifts, outputs } => {
                let second = self.second_layer(points);
                let mut third = weights.tr_mul(&second);
                for mut u in third.column_iter_mut() {
                    u -= shifts;
                }
                third.apply(|u| *u = self.network.h.value(*u));
                self.network.values(points) + third.tr_mul(outputs) * *size
            }
            Departure::Sine { size, frequency } => {
                self.network.values(points) + points.tr_mul(frequency).map(f64::sin) * *size
            }
        }
    }

    /// The outputs of the second layer, m1 x n.
    fn second_layer(&self, points: &DMatrix<f64>) -> DMatrix<f64> {
        let TwoLayer { a, theta, b, tau, g, h, .. } = &self.network;
        let mut z = a.tr_mul(points);
        z.column_iter_mut().for_each(|mut z| z -= theta);
        z.apply(|z| *z = g.value(*z));
        let mut u = b.tr_mul(&z);
        u.column_iter_mut().for_each(|mut u| u -= tau);
        u.apply(|u| *u = h.value(*u));
        u
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Activation, Class};

    fn network(seed: u64) -> TwoLayer {
        TwoLayer::random((6, 5, 3), Class::Paper, Activation::Sigmoid, seed).unwrap()
    }

    fn deviant(deviation: Deviation) -> Deviant {
        Deviant::new(network(1), deviation, network(2), 0.1, 7)
    }

    fn points() -> DMatrix<f64> {
        draws::gaussian(&mut draws::stream(1, "test", 0), 6, 20_000) * 2.0
    }

    fn departure(deviation: Deviation) -> DVector<f64> {
        let points = points();
        deviant(deviation).values(&points) - network(1).values(&points)
    }

    #[test]
    fn small_departures_have_their_size_and_are_not_constant() {
        for of in
            [Deviation::FirstUnit, Deviation::SecondUnit, Deviation::ThirdLayer, Deviation::Sine]
        {
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
        for (deviation, dims) in
            [(Deviation::FirstUnit(1e-4), (6, 6, 3)), (Deviation::SecondUnit(1e-4), (6, 5, 4))]
        {
            let deviant = deviant(deviation);
            assert_eq!(deviant.network().dims(), dims);
            assert_eq!(deviant.values(&points), deviant.network().values(&points));
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
    }
}
