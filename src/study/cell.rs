//! One cell of the grid: everything that a run of the study depends on, but for its seed.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::deviation::{Deviating, Deviation};
use super::hardness::Hardness;
use super::precision::Precision;
use crate::identify::{FirstLayer, FitBy, Pipeline, Settings};
use crate::network::{Activation, Link};

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
    /// Units of the second layer; 0 where there is none.
    pub m1: usize,
    /// Outputs.
    #[serde(default = "one")]
    pub outputs: usize,
    /// What the outputs go through, on its own range.
    #[serde(default, serialize_with = "link_name", deserialize_with = "link_named")]
    pub link: Link,
    /// What the pipeline is told of the link.
    #[serde(default)]
    pub link_told: LinkTold,
    /// Hidden layers, 1 or 2.
    #[serde(default = "two")]
    pub depth: usize,
    /// Whether the pipeline is told their number.
    #[serde(default = "yes")]
    pub depth_told: bool,
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
    /// Which outputs it departs in.
    #[serde(default)]
    pub deviating: Deviating,
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

fn one() -> usize {
    1
}

fn two() -> usize {
    2
}

fn link_name<S: Serializer>(link: &Link, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(link.name())
}

fn link_named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Link, D::Error> {
    let name = String::deserialize(deserializer)?;
    Link::named(&name).map_err(serde::de::Error::custom)
}

/// What a pipeline is told of the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkTold {
    /// What it is.
    #[default]
    Yes,
    /// Nothing.
    No,
    /// Another one, see [`Cell::told_link`].
    Wrong,
}

impl LinkTold {
    /// All of them.
    pub const ALL: [LinkTold; 3] = [LinkTold::Yes, LinkTold::No, LinkTold::Wrong];

    /// The name in plans and records.
    pub fn name(self) -> &'static str {
        match self {
            LinkTold::Yes => YES,
            LinkTold::No => NO,
            LinkTold::Wrong => "wrong",
        }
    }
}

/// How far the limits of a wrong link are beyond those of the right one, in lengths of its range: near enough
/// that every answer can be undone, and what is undone looks much as the outputs do.
const WRONG_LIMITS: f64 = 0.01;

impl Cell {
    /// Inputs, then the units of each hidden layer.
    pub fn widths(&self) -> Vec<usize> {
        let hidden = [self.m0, self.m1];
        [self.d].into_iter().chain(hidden.into_iter().take(self.depth)).collect()
    }

    /// The link that the pipeline is told. The wrong one is a sigmoid each for a softmax, and a tanh on a slightly wider range
    /// for a sigmoid or a tanh.
    pub fn told_link(&self) -> Option<Link> {
        match (self.link_told, self.link) {
            (LinkTold::No, _) => None,
            (LinkTold::Yes, link) => Some(link),
            (LinkTold::Wrong, Link::Sigmoid { lo, hi } | Link::Tanh { lo, hi }) => {
                let more = WRONG_LIMITS * (hi - lo);
                Some(Link::Tanh { lo: lo - more, hi: hi + more })
            }
            (LinkTold::Wrong, Link::None | Link::Softmax) => Some(Link::SIGMOID),
        }
    }
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
    Outputs,
    Link,
    LinkTold,
    Depth,
    DepthTold,
    Activation,
    ActivationTold,
    Std,
    Condition,
    Hardness,
    Deviation,
    Deviating,
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
    pub const ALL: [Axis; 26] = [
        Axis::Pipeline,
        Axis::FirstLayer,
        Axis::Fit,
        Axis::D,
        Axis::M0,
        Axis::M1,
        Axis::Outputs,
        Axis::Link,
        Axis::LinkTold,
        Axis::Depth,
        Axis::DepthTold,
        Axis::Activation,
        Axis::ActivationTold,
        Axis::Std,
        Axis::Condition,
        Axis::Hardness,
        Axis::Deviation,
        Axis::Deviating,
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
            Axis::Outputs => "outputs",
            Axis::Link => "link",
            Axis::LinkTold => "link_told",
            Axis::Depth => "depth",
            Axis::DepthTold => "depth_told",
            Axis::Activation => "activation",
            Axis::ActivationTold => "activation_told",
            Axis::Std => "std",
            Axis::Condition => "condition",
            Axis::Hardness => "hardness",
            Axis::Deviation => "deviation",
            Axis::Deviating => "deviating",
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
            Axis::Outputs => cell.outputs.to_string(),
            Axis::Link => cell.link.name().to_owned(),
            Axis::LinkTold => cell.link_told.name().to_owned(),
            Axis::Depth => cell.depth.to_string(),
            Axis::DepthTold => yes_or_no(cell.depth_told),
            Axis::Activation => cell.activation.name().to_owned(),
            Axis::ActivationTold => yes_or_no(cell.activation_told),
            Axis::Std => number(cell.std),
            Axis::Condition => or(cell.condition.map(number), GAUSSIAN),
            Axis::Hardness => cell.hardness.name().to_owned(),
            Axis::Deviation => cell.deviation.to_string(),
            Axis::Deviating => cell.deviating.name().to_owned(),
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

fn yes_or_no(told: bool) -> String {
    if told { YES } else { NO }.to_owned()
}

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
        let widths: Vec<String> = self.widths().iter().map(usize::to_string).collect();
        write!(f, "{} {} {}", self.pipeline.name(), widths.join("-"), self.activation)?;
        let unusual = [
            (Axis::FirstLayer, self.first_layer != FirstLayer::default()),
            (Axis::Fit, self.fit != FitBy::default()),
            (Axis::Outputs, self.outputs != 1),
            (Axis::Link, self.link != Link::None),
            (Axis::LinkTold, self.link_told != LinkTold::Yes),
            (Axis::DepthTold, !self.depth_told),
            (Axis::Std, true),
            (Axis::ActivationTold, !self.activation_told),
            (Axis::Condition, self.condition.is_some()),
            (Axis::Hardness, self.hardness != Hardness::default()),
            (Axis::Deviation, self.deviation != Deviation::default()),
            (Axis::Deviating, self.deviating != Deviating::default()),
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
            outputs: 1,
            link: Link::None,
            link_told: LinkTold::Yes,
            depth: 2,
            depth_told: true,
            activation: Activation::Tanh,
            activation_told: true,
            std: 0.05,
            condition: None,
            hardness: Hardness::Plain,
            deviation: Deviation::None,
            deviating: Deviating::All,
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
            outputs: 3,
            deviating: Deviating::One,
            link: Link::Softmax,
            link_told: LinkTold::Wrong,
            depth: 1,
            depth_told: false,
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
