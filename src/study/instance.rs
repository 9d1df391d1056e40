//! What a cell and a seed stand for: the function behind the black box, and the truth about it.

use nalgebra::{DMatrix, DVector};
use rand::RngExt;

use super::cell::Cell;
use super::deviant::Deviant;
use crate::draws;
use crate::network::{Ensemble, Network};

/// A function, and the network to be found in it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// What the black box computes.
    pub f: Deviant,
    /// The minimal network of the same values, but for what no network explains.
    pub network: Network,
    /// The unit that the deviation hid in it, if it did.
    pub hidden: Option<Hidden>,
}

/// A unit of small weight.
#[derive(Clone, Debug)]
pub struct Hidden {
    /// Its output weight, or the norm of its row of B.
    pub weight: f64,
    /// The minimal network without it.
    pub without: Network,
}

impl Instance {
    /// Of a cell with a seed.
    ///
    /// # Errors
    /// If there is no such network, in a sentence.
    pub fn draw(cell: &Cell, seed: u64) -> Result<Instance, String> {
        let drawn = |seed| {
            let ensemble = Ensemble { shift_spread: cell.std, condition: cell.condition };
            let (widths, phi) = (cell.widths(), cell.activation);
            let drawn = Network::of_ensemble(&widths, cell.outputs, ensemble, phi, seed);
            let network = drawn.map(|network| Network { link: cell.link, ..network });
            network.and_then(|network| network.validate().map(|()| network))
        };
        let drawn = |seed| drawn(seed).map_err(|error| error.to_string());
        let network = cell.hardness.applied(drawn(seed)?);
        let other = drawn(draws::stream(seed, "another network", 0).random())?;
        let without = network.minimal();
        let hidden = cell.deviation.hidden_weight().zip(without);
        let hidden = hidden.map(|(weight, without)| Hidden { weight, without });
        let f = Deviant::new(network, cell, other, seed);
        let network = f.network().minimal().ok_or("the network is constant")?;
        Ok(Instance { f, network, hidden })
    }

    /// The error that a value has, one of `noise` and a relative one of `rounding` in the answers, where it is largest once the
    /// link is undone; infinite where rounding puts answers on the edge of the link.
    pub fn accuracy(&self, noise: f64, rounding: f64) -> f64 {
        let Network { layers, c, c0, link } = &self.network;
        let limit = layers.last().map_or(0.0, |layer| {
            let (low, high) = layer.activation.limits();
            // Of values that grow there is no largest: those of an argument of 1.
            if high.is_finite() { low.abs().max(high) } else { 1.0 }
        });
        let largest =
            DVector::from_fn(c0.len(), |k, _| c0[k].abs() + limit * c.column(k).lp_norm(1));
        // The first output against all others, either way.
        let mut extremes = DMatrix::from_columns(&[-&largest, largest]);
        extremes.row_mut(0).neg_mut();
        link.apply(&mut extremes);
        let amplified = link.amplification(&extremes).map_or(f64::INFINITY, |by| by.max());
        (noise + rounding * extremes.amax()) * amplified
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Link;
    use crate::study::cell::tests::cell;
    use crate::study::{Deviation, Hardness};

    #[test]
    fn the_truth_is_minimal_and_has_the_hidden_unit() {
        let cell = Cell {
            hardness: Hardness::TwinFirst,
            deviation: Deviation::SecondUnit(1e-4),
            ..cell()
        };
        let instance = Instance::draw(&cell, 3).unwrap();
        assert_eq!(instance.network.dims(), [8, 7, 4, 1]);
        let hidden = instance.hidden.unwrap();
        assert_eq!((hidden.weight, hidden.without.dims()), (1e-4, vec![8, 7, 3, 1]));
        let points = draws::gaussian(&mut draws::stream(1, "test", 0), 8, 100);
        let difference = instance.f.outputs(&points) - instance.network.outputs(&points);
        assert!(difference.amax() < 1e-14);
    }

    #[test]
    fn a_plain_cell_is_the_ensembles_network() {
        let cell = cell();
        let ensemble = Ensemble { shift_spread: cell.std, condition: None };
        let plain = Network::of_ensemble(&[8, 8, 3], 1, ensemble, cell.activation, 5).unwrap();
        assert_eq!(Instance::draw(&cell, 5).unwrap().network, plain);
    }

    #[test]
    fn depth_outputs_and_link_are_the_cells() {
        let one = Cell { depth: 1, m1: 0, outputs: 3, link: Link::Softmax, ..cell() };
        let network = Instance::draw(&one, 5).unwrap().network;
        assert_eq!((network.dims(), network.link), (vec![8, 8, 3], Link::Softmax));
        let alone = Cell { outputs: 1, ..one };
        assert!(Instance::draw(&alone, 5).unwrap_err().contains("softmax"));
    }

    #[test]
    fn a_link_amplifies_the_errors_of_values() {
        let accuracy = |link| {
            let instance = Instance::draw(&Cell { link, outputs: 2, ..cell() }, 5).unwrap();
            instance.accuracy(1e-9, 0.0)
        };
        assert_eq!(accuracy(Link::None), 1e-9);
        assert!((1e-8..1e-5).contains(&accuracy(Link::SIGMOID)));
        assert!((1e-8..1e-5).contains(&accuracy(Link::Softmax)));
    }
}
