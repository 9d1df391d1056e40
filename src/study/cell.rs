//! One cell of the grid: everything that a run of the study depends on, but for its seed.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::deviation::Deviation;
use super::hardness::Hardness;
use super::precision::Precision;
use crate::identify::{FirstLayer, FitBy, Pipeline, Settings};
use crate::network::Activation;

/// The coordinates of a cell. Those that older records do not have stand for what was then the only
/// choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// How the network is looked for.
    pub pipeline: Pipeline,
    /// How the wide pipeline finds the first layer.
    #[serde(default)]
    pub first_layer: FirstLayer,
    /// How the wide pipeline fits all parameters.
    #[serde(default)]
    pub fit: FitBy,
    /// Inputs.
    pub d: usize,
    /// Units of the first layer.
    pub m0: usize,
    /// Units of the second layer.
    pub m1: usize,
    /// Activation of the first layer, and of the second unless `hardness` says otherwise.
    pub activation: Activation,
    /// Whether the pipeline is told the activation.
    #[serde(default = "yes")]
    pub activation_told: bool,
    /// Standard deviation of the shifts.
    pub std: f64,
    /// Condition number of A; `None`: Gaussian columns, see [`crate::network::Ensemble`].
    pub condition: Option<f64>,
    /// What else makes the network hard.
    #[serde(default)]
    pub hardness: Hardness,
    /// How the black box departs from that network.
    #[serde(default)]
    pub deviation: Deviation,
    /// Radius of the sample of Hessians; `None`: the pipeline's own choice, or none is taken.
    pub radius: Option<f64>,
    /// Distance from the centre beyond which no query is answered; `None`: there is no such limit.
    pub domain_radius: Option<f64>,
    /// Hessians of that sample; `None`: as `radius`.
    pub hessians: Option<usize>,
    /// Standard deviation of the error of a value, absolute.
    pub noise: f64,
    /// The form of the values.
    pub precision: Precision,
    /// Queries allowed.
    pub max_queries: u64,
    /// Fresh starts allowed.
    #[serde(default = "usual_attempts")]
    pub attempts: u64,
    /// Seconds allowed; `None`: there is no such limit. What a run that reaches it comes to depends on the machine.
    #[serde(default)]
    pub time_limit: Option<f64>,
}

fn usual_attempts() -> u64 {
    Settings::default().attempts
}

fn yes() -> bool {
    true
}

/// A coordinate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // The fields of `Cell`.
pub enum Axis {
    Pipeline,
    FirstLayer,
    Fit,
    D,
    M0,
    M1,
    Activation,
    ActivationTold,
    Std,
    Condition,
    Hardness,
    Deviation,
    Radius,
    DomainRadius,
    Hessians,
    Noise,
    Precision,
    MaxQueries,
    Attempts,
    TimeLimit,
}

impl Axis {
    /// All of them, in the order of tables.
    pub const ALL: [Axis; 20] = [
        Axis::Pipeline,
        Axis::FirstLayer,
        Axis::Fit,
        Axis::D,
        Axis::M0,
        Axis::M1,
        Axis::Activation,
        Axis::ActivationTold,
        Axis::Std,
        Axis::Condition,
        Axis::Hardness,
        Axis::Deviation,
        Axis::Radius,
        Axis::DomainRadius,
        Axis::Hessians,
        Axis::Noise,
        Axis::Precision,
        Axis::MaxQueries,
        Axis::Attempts,
        Axis::TimeLimit,
    ];

    /// Its name in plans, records and tables.
    pub fn name(self) -> &'static str {
        match self {
            Axis::Pipeline => "pipeline",
            Axis::FirstLayer => "first_layer",
            Axis::Fit => "fit",
            Axis::D => "d",
            Axis::M0 => "m0",
            Axis::M1 => "m1",
            Axis::Activation => "activation",
            Axis::ActivationTold => "activation_told",
            Axis::Std => "std",
            Axis::Condition => "condition",
            Axis::Hardness => "hardness",
            Axis::Deviation => "deviation",
            Axis::Radius => "radius",
            Axis::DomainRadius => "domain_radius",
            Axis::Hessians => "hessians",
            Axis::Noise => "noise",
            Axis::Precision => "precision",
            Axis::MaxQueries => "max_queries",
            Axis::Attempts => "attempts",
            Axis::TimeLimit => "time_limit",
        }
    }

    /// The cell's coordinate, as a plan would have it.
    pub fn label(self, cell: &Cell) -> String {
        let or = |value: Option<String>, otherwise: &str| value.unwrap_or(otherwise.to_owned());
        match self {
            Axis::Pipeline => cell.pipeline.name().to_owned(),
            Axis::FirstLayer => cell.first_layer.name().to_owned(),
            Axis::Fit => cell.fit.name().to_owned(),
            Axis::D => cell.d.to_string(),
            Axis::M0 => cell.m0.to_string(),
            Axis::M1 => cell.m1.to_string(),
            Axis::Activation => cell.activation.name().to_owned(),
            Axis::ActivationTold => if cell.activation_told { YES } else { NO }.to_owned(),
            Axis::Std => number(cell.std),
            Axis::Condition => or(cell.condition.map(number), GAUSSIAN),
            Axis::Hardness => cell.hardness.name().to_owned(),
            Axis::Deviation => cell.deviation.to_string(),
            Axis::Radius => or(cell.radius.map(number), DEFAULT),
            Axis::DomainRadius => or(cell.domain_radius.map(number), NONE),
            Axis::Hessians => or(cell.hessians.map(|n| n.to_string()), DEFAULT),
            Axis::Noise => number(cell.noise),
            Axis::Precision => cell.precision.to_string(),
            Axis::MaxQueries => cell.max_queries.to_string(),
            Axis::Attempts => cell.attempts.to_string(),
            Axis::TimeLimit => or(cell.time_limit.map(number), NONE),
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

/// The pipeline knows.
pub(super) const YES: &str = "yes";
/// The pipeline does not.
pub(super) const NO: &str = "no";
/// A without a prescribed condition number.
pub(super) const GAUSSIAN: &str = "gaussian";
/// The pipeline's own choice.
pub(super) const DEFAULT: &str = "default";
/// No limit.
pub(super) const NONE: &str = "none";

/// The shorter of the two usual forms.
pub(super) fn number(value: f64) -> String {
    let (plain, scientific) = (format!("{value}"), format!("{value:e}"));
    if scientific.len() < plain.len() { scientific } else { plain }
}

impl fmt::Display for Cell {
    /// All coordinates but those that are as usual.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cell { pipeline, d, m0, m1, activation, .. } = self;
        write!(f, "{} {d}-{m0}-{m1} {activation}", pipeline.name())?;
        let unusual = [
            (Axis::FirstLayer, self.first_layer != FirstLayer::default()),
            (Axis::Fit, self.fit != FitBy::default()),
            (Axis::Std, true),
            (Axis::ActivationTold, !self.activation_told),
            (Axis::Condition, self.condition.is_some()),
            (Axis::Hardness, self.hardness != Hardness::default()),
            (Axis::Deviation, self.deviation != Deviation::default()),
            (Axis::Radius, self.radius.is_some()),
            (Axis::DomainRadius, self.domain_radius.is_some()),
            (Axis::Hessians, self.hessians.is_some()),
            (Axis::Noise, self.noise > 0.0),
            (Axis::Precision, self.precision != Precision::default()),
            (Axis::Attempts, self.attempts != usual_attempts()),
            (Axis::TimeLimit, self.time_limit.is_some()),
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
            first_layer: FirstLayer::Auto,
            fit: FitBy::Auto,
            d: 8,
            m0: 8,
            m1: 3,
            activation: Activation::Tanh,
            activation_told: true,
            std: 0.05,
            condition: None,
            hardness: Hardness::Plain,
            deviation: Deviation::None,
            radius: None,
            domain_radius: None,
            hessians: None,
            noise: 0.0,
            precision: Precision::F64,
            max_queries: 1000,
            attempts: usual_attempts(),
            time_limit: None,
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
        let hard = Cell {
            first_layer: FirstLayer::Lines,
            fit: FitBy::Blocks,
            activation_told: false,
            hardness: Hardness::TwinFirst,
            deviation: Deviation::Sine(1e-3),
            precision: Precision::Digits(6),
            ..cell
        };
        let text = serde_json::to_string(&hard).unwrap();
        assert_eq!(serde_json::from_str::<Cell>(&text).unwrap(), hard);
    }

    #[test]
    fn cells_of_older_records_are_plain() {
        let text = r#"{"pipeline":"wide","d":8,"m0":8,"m1":3,"activation":"tanh","std":0.05,
            "condition":null,"radius":null,"domain_radius":null,"hessians":null,"noise":0.0,
            "precision":"f64","max_queries":1000}"#;
        assert_eq!(serde_json::from_str::<Cell>(text).unwrap(), cell());
    }
}
