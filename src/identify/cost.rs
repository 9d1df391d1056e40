//! What a run is to cost, by counts of its stages, before anything is asked.
//!
//! Queries are counted as the stages ask them: two gradients a unit for the first layer, the readings of its scales, half as many
//! values again as parameters for the fit. What no count tells, how many patterns show the second layer, is taken from
//! measured runs, as are seconds and bytes (`docs/performance.md`, section *What a run will cost*).

use serde::Serialize;

use super::tolerances::MOST_DENSE;

/// Values by which scale and accuracy are measured.
const PROBE: f64 = 3072.0;
/// Held-out points.
const CERTIFY: f64 = 4000.0;
/// Gradients that show the range of the first layer: at least, and how many units bring one more.
const RANGE: (f64, f64) = (20.0, 6.0);
/// Values that place the step of a unit, in two hidden layers and in one.
const STEP: (f64, f64) = (100.0, 25.0);
/// Values for the scales of a unit.
const SCALES: f64 = 84.0;
/// Values of the fit: a parameter, and beyond that.
const FIT: (f64, f64) = (1.5, 400.0);
/// Values that show the second layer: by the square of its units, by pairs of units of both layers, and beyond that.
const PEEL: (f64, f64, f64) = (85.0, 2.0, 1500.0);
/// A run asked so many times as many as estimated, where the first layer has no more units than inputs and three times as
/// many as the second, and else.
const PLAIN: (f64, f64) = (0.7, 2.0);
const HARD: (f64, f64) = (0.6, 15.0);
/// Units of the first layer to one of the second from which on the derivatives tell them at once.
const ENOUGH_UNITS: usize = 3;
/// Multiply-adds a second of the fit by blocks and of the dense one, on two cores.
const RATE: f64 = 1e10;
const DENSE_RATE: f64 = 1.25e10;
/// Seconds a parameter of all else by lines and blocks, and of any run.
const SECONDS: (f64, f64) = (3e-5, 0.1);
/// Rows of the second layer to its unknowns.
const ROWS: f64 = 1.3;
/// Multiply-adds of a unit of the first layer: times d^3, times d^2 m1.
const UNIT: (f64, f64) = (7.0, 75.0);
/// Passes of a dense fit and its bound over half the normal equations.
const PASSES: f64 = 3.0;
/// Bytes: of the program, and matrices of all unknowns that are fitted at once.
const MEMORY: (f64, f64) = (30.0 * 1024.0 * 1024.0, 5.2);
/// Bytes of an f64.
const F64: f64 = 8.0;

/// A network of one output that is to be identified by default settings, without a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// d.
    pub inputs: usize,
    /// m0, or the units of the only layer.
    pub first: usize,
    /// m1; `None`: one hidden layer.
    pub second: Option<usize>,
}

/// What its identification is to take.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// The network.
    pub size: Size,
    /// Its parameters.
    pub parameters: u64,
    /// Queries by stage.
    pub stages: Vec<(&'static str, u64)>,
    /// All of them.
    pub queries: u64,
    /// The fewest and the most that measured runs of networks of this kind would have asked.
    pub queries_range: (u64, u64),
    /// Seconds of the program itself, on two cores, without those of the black box.
    pub seconds: f64,
    /// Peak of memory.
    pub bytes: u64,
}

impl Size {
    /// Weights, shifts and the offset.
    pub fn parameters(self) -> f64 {
        let (d, m0) = (self.inputs as f64, self.first as f64);
        match self.second {
            Some(m1) => m0 * (d + 1.0) + m1 as f64 * (m0 + 2.0) + 1.0,
            None => m0 * (d + 2.0) + 1.0,
        }
    }

    /// Is the second layer told by the first look at its derivatives?
    pub fn is_plain(self) -> bool {
        self.second.is_none_or(|m1| self.first <= self.inputs && ENOUGH_UNITS * m1 <= self.first)
    }

    /// What it is to cost.
    pub fn cost(self) -> Cost {
        let stages = self.queries();
        let queries: f64 = stages.iter().map(|(_, count)| count).sum();
        let (fewest, most) = if self.is_plain() { PLAIN } else { HARD };
        let (seconds, bytes) = self.work();
        Cost {
            size: self,
            parameters: self.parameters() as u64,
            stages: stages.into_iter().map(|(stage, count)| (stage, count as u64)).collect(),
            queries: queries as u64,
            queries_range: ((fewest * queries) as u64, (most * queries) as u64),
            seconds,
            bytes: bytes as u64,
        }
    }

    fn queries(self) -> Vec<(&'static str, f64)> {
        let (d, m0) = (self.inputs as f64, self.first as f64);
        let reduce = 2.0 * d * (RANGE.0 + d.min(m0) / RANGE.1);
        let refine = FIT.0 * self.parameters() + FIT.1;
        let mut stages = vec![("probe", PROBE), ("reduce", reduce)];
        match self.second {
            Some(m1) => {
                let m1 = m1 as f64;
                stages.push(("lines", m0 * (3.0 * d.min(m0) + STEP.0)));
                stages.push(("peel", PEEL.0 * m1 * m1 + PEEL.1 * m0 * m1 + PEEL.2));
                stages.push(("scales", SCALES * m0));
            }
            None => stages.push(("lines", m0 * (d + STEP.1))),
        }
        stages.extend([("refine", refine), ("certify", CERTIFY)]);
        stages
    }

    /// Seconds and bytes.
    fn work(self) -> (f64, f64) {
        let (d, m0) = (self.inputs as f64, self.first as f64);
        let parameters = self.parameters();
        let dense = self.second.is_none() || parameters <= MOST_DENSE as f64;
        let Some(m1) = self.second.filter(|_| !dense).map(|m1| m1 as f64) else {
            let rows = FIT.0 * parameters + FIT.1;
            let work = PASSES * rows * parameters * parameters / 2.0;
            return (
                SECONDS.1 + work / DENSE_RATE,
                MEMORY.0 + MEMORY.1 * F64 * parameters * parameters,
            );
        };
        let unknowns = m1 * (m0 + 2.0) + 1.0;
        let second = (ROWS / 2.0 + 1.0 / 3.0) * unknowns.powi(3);
        let first = m0 * (UNIT.0 * d.powi(3) + UNIT.1 * d * d * m1);
        let seconds = SECONDS.1 + SECONDS.0 * parameters + (second + first) / RATE;
        (seconds, MEMORY.0 + MEMORY.1 * F64 * unknowns * unknowns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::{Settings, identify};
    use crate::network::{Activation, Class, Network};
    use crate::oracle::{NetworkOracle, Silent};

    #[test]
    fn runs_ask_as_many_as_is_said_before() {
        for dims in [&[10, 8, 2][..], &[16, 12, 4], &[24, 12, 3], &[9, 12], &[20, 10]] {
            let size = Size { inputs: dims[0], first: dims[1], second: dims.get(2).copied() };
            let cost = size.cost();
            let truth = Network::random(dims, 1, Class::General, Activation::Tanh, 2).unwrap();
            assert_eq!(cost.parameters, truth.parameter_count() as u64);
            let mut f = NetworkOracle::new(truth);
            let solution = identify(&mut f, &Settings::default(), &mut Silent).unwrap();
            let (fewest, most) = cost.queries_range;
            assert!(size.is_plain());
            assert!(
                (fewest..=most).contains(&solution.queries),
                "{dims:?}: {}, {cost:?}",
                solution.queries
            );
        }
    }

    #[test]
    fn measured_runs_are_as_long_and_as_large_as_is_said_before() {
        // Of docs/performance.md: d, m0, m1, queries a parameter, seconds, MiB.
        let runs = [
            ((64, 64, 16), 10.8, 0.43, 76.0),
            ((128, 128, 16), 7.5, 1.85, 211.0),
            ((256, 256, 16), 6.1, 12.9, 748.0),
            ((512, 512, 16), 6.6, 118.0, 2447.0),
            ((64, 256, 16), 9.6, 8.8, 650.0),
        ];
        for ((inputs, first, second), queries, seconds, mebibytes) in runs {
            let cost = Size { inputs, first, second: Some(second) }.cost();
            let near = |said: f64, measured: f64, factor: f64| {
                (1.0 / factor..factor).contains(&(said / measured))
            };
            let queries = queries * cost.parameters as f64;
            assert!(near(cost.queries as f64, queries, 2.0), "{cost:?} {queries}");
            assert!(near(cost.seconds, seconds, 1.5), "{cost:?} {seconds}");
            let bytes = cost.bytes as f64 / 1024.0 / 1024.0;
            assert!(near(bytes, mebibytes, 1.3), "{cost:?} {mebibytes}");
        }
    }
}
