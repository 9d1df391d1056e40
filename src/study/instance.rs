//! What a cell and a seed stand for: the function behind the black box, and the truth about it.

use rand::RngExt;

use super::cell::Cell;
use super::deviant::Deviant;
use crate::draws;
use crate::network::{Ensemble, Network, TwoLayer};

/// A function, and the network to be found in it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// What the black box computes.
    pub f: Deviant,
    /// The minimal network of the same values, but for what no network of two layers explains.
    pub network: TwoLayer,
    /// The unit that the deviation hid in it, if it did.
    pub hidden: Option<Hidden>,
}

/// A unit of small weight.
#[derive(Clone, Debug)]
pub struct Hidden {
    /// Its output weight, or the norm of its row of B.
    pub weight: f64,
    /// The minimal network without it.
    pub without: TwoLayer,
}

impl Instance {
    /// Of a cell with a seed.
    ///
    /// # Errors
    /// If there is no such network, in a sentence.
    pub fn draw(cell: &Cell, seed: u64) -> Result<Instance, String> {
        let drawn = |seed| {
            let ensemble = Ensemble { shift_spread: cell.std, condition: cell.condition };
            let dims = (cell.d, cell.m0, cell.m1);
            TwoLayer::of_ensemble(dims, ensemble, cell.activation, seed)
                .map_err(|error| error.to_string())
        };
        let network = cell.hardness.applied(drawn(seed)?);
        let other = drawn(draws::stream(seed, "another network", 0).random())?;
        let smallest = |network: &TwoLayer| {
            Network::from(network).minimal().and_then(|network| TwoLayer::try_from(&network).ok())
        };
        let without = smallest(&network);
        let hidden = cell.deviation.hidden_weight().zip(without);
        let hidden = hidden.map(|(weight, without)| Hidden { weight, without });
        let f = Deviant::new(network, cell.deviation, other, cell.std, seed);
        let network = smallest(f.network()).ok_or("the network is constant")?;
        Ok(Instance { f, network, hidden })
    }

    /// A bound on the magnitude of the network's values.
    pub fn largest_value(&self) -> f64 {
        let (low, high) = self.network.h.limits();
        self.network.c0.abs() + self.network.c.lp_norm(1) * low.abs().max(high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(instance.network.dims(), (8, 7, 4));
        let hidden = instance.hidden.unwrap();
        assert_eq!((hidden.weight, hidden.without.dims()), (1e-4, (8, 7, 3)));
        let points = draws::gaussian(&mut draws::stream(1, "test", 0), 8, 100);
        let difference = instance.f.values(&points) - instance.network.values(&points);
        assert!(difference.amax() < 1e-14);
    }

    #[test]
    fn a_plain_cell_is_the_ensembles_network() {
        let cell = cell();
        let ensemble = Ensemble { shift_spread: cell.std, condition: None };
        let plain = TwoLayer::of_ensemble((8, 8, 3), ensemble, cell.activation, 5).unwrap();
        assert_eq!(Instance::draw(&cell, 5).unwrap().network, plain);
    }
}
