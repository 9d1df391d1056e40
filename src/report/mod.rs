//! What a program reads of a run: `report.json`.

pub mod html;
mod tally;

use std::io;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::files::{read_regular, write_json};
use crate::identify::{Settings, Solution, Status};
use crate::network::{Activation, Network};
use crate::oracle::BackendRecord;

pub use tally::Tally;

/// The value of [`Report::schema`] in this version. It changes when a field is taken away or changes
/// its meaning, not when one is added.
pub const SCHEMA: &str = "disentangle-report-1";

/// A run, its settings and its result, without the network itself.
///
/// A number that is absent or not finite is `null` in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of this crate.
    pub version: String,
    /// The arguments of the program, without its name.
    pub arguments: Vec<String>,
    /// Fixed every random draw.
    pub seed: u64,
    /// How the run ended.
    pub status: Status,
    /// Why, in a sentence.
    pub reason: String,
    /// What may help, unless it is identified; reports of older versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Hidden layers that were looked for: 2, or 1.
    #[serde(default = "two_layers")]
    pub depth: usize,
    /// Units by layer, if a network or at least all widths were found: those of the smallest network
    /// with the same values, without units that do nothing, and with such that always move together
    /// made one.
    pub widths: Option<Vec<usize>>,
    /// The inputs, counted from 0, on which the identified network does not depend: its weights for
    /// them are 0 within their error bound.
    #[serde(default)]
    pub idle_inputs: Option<Vec<usize>>,
    /// The activation of the first layer of the network found, else the one that was given.
    pub activation: Option<Activation>,
    /// Activations by layer, if a network was found.
    #[serde(default)]
    pub activations: Option<Vec<Activation>>,
    /// Where the queries were computed.
    pub backend: BackendRecord,
    /// Queries answered.
    pub queries: ByStage<u64>,
    /// Wall-clock seconds.
    pub seconds: ByStage<f64>,
    /// The ranks that did the run together; absent where one did it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranks: Option<RanksUsed>,
    /// Largest |network - f| on held-out points.
    pub residual: Option<f64>,
    /// Bound on the parameter error, relative to the largest entry of each tensor (at least 1).
    pub parameter_error_bound: Option<f64>,
    /// Measured accuracy of the values near the origin, absolute.
    pub oracle_accuracy: Option<f64>,
    /// The limits that decided on the status.
    pub tolerances: Tolerances,
    /// All settings that questions depend on, by name; reports of older versions have none.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Stage -> list of what each pass through it saw. Free in form: it is for people.
    pub evidence: Value,
}

/// Ranks that did a run together, and what passed between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RanksUsed {
    /// How many.
    pub count: usize,
    /// Bytes that the first rank was sent by the others.
    pub received_bytes: ByStage<u64>,
}

impl RanksUsed {
    /// Of a run of this many ranks.
    pub fn new(count: usize, solution: &Solution) -> Self {
        let stages = solution.stages.iter();
        let total = stages.clone().map(|stage| stage.received).sum();
        let by_stage = stages.map(|stage| (stage.stage.to_string(), stage.received)).collect();
        RanksUsed { count, received_bytes: ByStage { total, by_stage } }
    }
}

/// A sum and its parts, in the order in which the stages were first entered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ByStage<T> {
    /// The sum.
    pub total: T,
    /// Stage -> its part.
    pub by_stage: IndexMap<String, T>,
}

/// Limits on a run and its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tolerances {
    /// Largest [`Report::parameter_error_bound`] of an identified network.
    pub parameter_error_bound: f64,
    /// Queries allowed.
    pub max_queries: u64,
    /// Units by layer that the network had to have, if they were given.
    pub widths: Option<Vec<usize>>,
}

/// A report that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The operating system would not give the file.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a report.
    #[error("{}: not a report: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The file is a report of another version of this format.
    #[error("{}: the report's schema is {found:?}, {SCHEMA:?} is read", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema that it names.
        found: String,
    },
    /// The operating system would not take the file.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Report {
    /// The report of a run of [`identify`](crate::identify::identify), or of that on
    /// [one hidden layer](crate::identify::shallow::identify), with these settings on this back end.
    pub fn new(
        solution: &Solution,
        settings: &Settings,
        backend: BackendRecord,
        arguments: Vec<String>,
    ) -> Report {
        let activations = solution.network.as_ref().map(Network::activations);
        // A layer of width zero is one that was not found.
        let widths = solution.widths.clone().filter(|widths| !widths.contains(&0));
        let expected = match solution.depth {
            1 => settings.width.map(|m| vec![m]),
            _ => settings.widths.map(|(m0, m1)| vec![m0, m1]),
        };
        Report {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            arguments,
            seed: settings.seed,
            status: solution.status,
            reason: solution.reason.clone(),
            remedy: solution.remedy.map(|remedy| remedy.text().to_owned()),
            depth: solution.depth,
            widths,
            idle_inputs: idle_inputs(solution),
            activation: activations.as_ref().map(|layers| layers[0]).or(settings.activation),
            activations,
            backend,
            queries: ByStage {
                total: solution.queries,
                by_stage: solution
                    .stages
                    .iter()
                    .map(|s| (s.stage.to_string(), s.queries))
                    .collect(),
            },
            seconds: ByStage {
                total: solution.stages.iter().map(|s| s.seconds).sum(),
                by_stage: solution
                    .stages
                    .iter()
                    .map(|s| (s.stage.to_string(), s.seconds))
                    .collect(),
            },
            ranks: None,
            residual: finite(solution.residual),
            parameter_error_bound: finite(solution.parameter_error_bound),
            oracle_accuracy: finite(solution.oracle_accuracy),
            tolerances: Tolerances {
                parameter_error_bound: settings.tolerance,
                max_queries: settings.max_queries,
                widths: expected,
            },
            settings: settings.by_name(),
            evidence: solution.evidence.as_json(),
        }
    }

    /// Reads a report.
    ///
    /// # Errors
    /// [`ReportError::Read`], [`ReportError::Format`] or [`ReportError::Schema`], with the path.
    pub fn load(path: impl AsRef<Path>) -> Result<Report, ReportError> {
        let path = path.as_ref();
        let bytes =
            read_regular(path).map_err(|source| ReportError::Read { path: path.into(), source })?;
        let report: Report = serde_json::from_slice(&bytes)
            .map_err(|source| ReportError::Format { path: path.into(), source })?;
        if report.schema != SCHEMA {
            return Err(ReportError::Schema { path: path.into(), found: report.schema });
        }
        Ok(report)
    }

    /// Writes the report as indented JSON. The file appears whole or not at all.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), ReportError> {
        let path = path.as_ref();
        write_json(path, self).map_err(|source| ReportError::Write { path: path.into(), source })
    }
}

/// The inputs whose weights are 0 within the error bound, if the network is identified.
fn idle_inputs(solution: &Solution) -> Option<Vec<usize>> {
    let identified = solution.status == Status::Identified;
    let weights = &solution.network.as_ref().filter(|_| identified)?.layers.first()?.weights;
    let most = solution.parameter_error_bound? * weights.amax().max(1.0);
    Some((0..weights.nrows()).filter(|&k| weights.row(k).amax() <= most).collect())
}

/// What reports of versions that knew no other depth are of.
fn two_layers() -> usize {
    2
}

/// JSON has no infinities: what is not finite is absent.
fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests;
