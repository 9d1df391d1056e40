//! One cell of the grid: everything that a run of the study depends on, but for its seed.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::identify::Pipeline;
use crate::network::Activation;

/// The form in which the black box gives its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As computed.
    #[default]
    F64,
    /// Rounded to the nearest f32.
    F32,
}

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 2] = [Precision::F64, Precision::F32];

    /// The name in plans and records.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F64 => "f64",
            Precision::F32 => "f32",
        }
    }
}

/// The coordinates of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// How the network is looked for.
    pub pipeline: Pipeline,
    /// Inputs.
    pub d: usize,
    /// Units of the first layer.
    pub m0: usize,
    /// Units of the second layer.
    pub m1: usize,
    /// Activation of both layers, known to the pipeline.
    pub activation: Activation,
    /// Standard deviation of the shifts.
    pub std: f64,
    /// Condition number of A; `None`: Gaussian columns, see [`crate::network::Ensemble`].
    pub condition: Option<f64>,
    /// Radius of the local sample; `None`: the pipeline's own choice, or none is taken.
    pub radius: Option<f64>,
    /// Distance from the centre beyond which no query is answered; `None`: there is no such limit.
    pub domain_radius: Option<f64>,
    /// Hessians of the local sample; `None`: as `radius`.
    pub hessians: Option<usize>,
    /// Standard deviation of the error of a value, absolute.
    pub noise: f64,
    /// The form of the values.
    pub precision: Precision,
    /// Queries allowed.
    pub max_queries: u64,
}

/// A coordinate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The fields of `Cell`.
pub enum Axis {
    Pipeline,
    D,
    M0,
    M1,
    Activation,
    Std,
    Condition,
    Radius,
    DomainRadius,
    Hessians,
    Noise,
    Precision,
    MaxQueries,
}

impl Axis {
    /// All of them, in the order of tables.
    pub const ALL: [Axis; 13] = [
        Axis::Pipeline,
        Axis::D,
        Axis::M0,
        Axis::M1,
        Axis::Activation,
        Axis::Std,
        Axis::Condition,
        Axis::Radius,
        Axis::DomainRadius,
        Axis::Hessians,
        Axis::Noise,
        Axis::Precision,
        Axis::MaxQueries,
    ];

    /// Its name in plans, records and tables.
    pub fn name(self) -> &'static str {
        match self {
            Axis::Pipeline => "pipeline",
            Axis::D => "d",
            Axis::M0 => "m0",
            Axis::M1 => "m1",
            Axis::Activation => "activation",
            Axis::Std => "std",
            Axis::Condition => "condition",
            Axis::Radius => "radius",
            Axis::DomainRadius => "domain_radius",
            Axis::Hessians => "hessians",
            Axis::Noise => "noise",
            Axis::Precision => "precision",
            Axis::MaxQueries => "max_queries",
        }
    }

    /// The cell's coordinate, as a plan would have it.
    pub fn label(self, cell: &Cell) -> String {
        let or = |value: Option<String>, otherwise: &str| value.unwrap_or(otherwise.to_owned());
        match self {
            Axis::Pipeline => cell.pipeline.name().to_owned(),
            Axis::D => cell.d.to_string(),
            Axis::M0 => cell.m0.to_string(),
            Axis::M1 => cell.m1.to_string(),
            Axis::Activation => cell.activation.name().to_owned(),
            Axis::Std => number(cell.std),
            Axis::Condition => or(cell.condition.map(number), GAUSSIAN),
            Axis::Radius => or(cell.radius.map(number), DEFAULT),
            Axis::DomainRadius => or(cell.domain_radius.map(number), NONE),
            Axis::Hessians => or(cell.hessians.map(|n| n.to_string()), DEFAULT),
            Axis::Noise => number(cell.noise),
            Axis::Precision => cell.precision.name().to_owned(),
            Axis::MaxQueries => cell.max_queries.to_string(),
        }
    }

    /// Numbers by size, then names.
    pub fn compare(left: &str, right: &str) -> Ordering {
        match (left.parse::<f64>(), right.parse::<f64>()) {
            (Ok(l), Ok(r)) => l.total_cmp(&r),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => left.cmp(right),
        }
    }

    /// The different labels of some cells, in order.
    pub fn labels<'a>(self, cells: impl IntoIterator<Item = &'a Cell>) -> Vec<String> {
        let mut labels: Vec<String> = cells.into_iter().map(|cell| self.label(cell)).collect();
        labels.sort_by(|left, right| Axis::compare(left, right));
        labels.dedup();
        labels
    }
}

/// A without a prescribed condition number.
pub(super) const GAUSSIAN: &str = "gaussian";
/// The pipeline's own choice.
pub(super) const DEFAULT: &str = "default";
/// No limit.
pub(super) const NONE: &str = "none";

/// The shorter of the two usual forms.
fn number(value: f64) -> String {
    let (plain, scientific) = (format!("{value}"), format!("{value:e}"));
    if scientific.len() < plain.len() { scientific } else { plain }
}

impl fmt::Display for Cell {
    /// All coordinates but those that are as usual.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cell { pipeline, d, m0, m1, activation, .. } = self;
        write!(f, "{} {d}-{m0}-{m1} {activation}", pipeline.name())?;
        let unusual = [
            (Axis::Std, true),
            (Axis::Condition, self.condition.is_some()),
            (Axis::Radius, self.radius.is_some()),
            (Axis::DomainRadius, self.domain_radius.is_some()),
            (Axis::Hessians, self.hessians.is_some()),
            (Axis::Noise, self.noise > 0.0),
            (Axis::Precision, self.precision != Precision::default()),
        ];
        for (axis, _) in unusual.into_iter().filter(|&(_, unusual)| unusual) {
            write!(f, ", {} {}", axis.name(), axis.label(self))?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn cell() -> Cell {
        Cell {
            pipeline: Pipeline::Wide,
            d: 8,
            m0: 8,
            m1: 3,
            activation: Activation::Tanh,
            std: 0.05,
            condition: None,
            radius: None,
            domain_radius: None,
            hessians: None,
            noise: 0.0,
            precision: Precision::F64,
            max_queries: 1000,
        }
    }

    #[test]
    fn labels_are_in_the_order_of_numbers() {
        let cells = [10.0, 9.0, 1e-9, 10.0].map(|noise| Cell { noise, ..cell() });
        assert_eq!(Axis::Noise.labels(&cells), ["1e-9", "9", "10"]);
        let cells = [None, Some(3.0)].map(|condition| Cell { condition, ..cell() });
        assert_eq!(Axis::Condition.labels(&cells), ["3", "gaussian"]);
    }

    #[test]
    fn a_cell_reads_back_as_it_was_written() {
        let cell = Cell { std: 0.1 + 0.2, condition: Some(1.0 / 3.0), ..cell() };
        let text = serde_json::to_string(&cell).unwrap();
        assert_eq!(serde_json::from_str::<Cell>(&text).unwrap(), cell);
    }
}
