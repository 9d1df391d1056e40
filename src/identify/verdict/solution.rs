//! What a run returns.

use serde::{Deserialize, Serialize};

use super::remedy::Remedy;
use crate::identify::evidence::Evidence;
use crate::identify::settings::Settings;
use crate::network::Network;
use crate::oracle::StageUse;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Residuals at the oracle's accuracy, and a bound on the parameter error.
    Identified,
    /// A network that describes the black box, but not to its accuracy or not with a small bound.
    Approximate,
    /// No network; the reason names the stage.
    NotIdentified,
}

impl Status {
    /// As people say it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Identified => "identified",
            Status::Approximate => "approximate",
            Status::NotIdentified => "not identified",
        }
    }
}

impl Solution {
    /// What there is of a run with these settings that was left alone before its end.
    #[must_use]
    pub fn unfinished(reason: String, settings: &Settings) -> Self {
        Solution {
            status: Status::NotIdentified,
            reason,
            remedy: Some(Remedy::MoreTime),
            network: None,
            depth: settings.depth.unwrap_or(2),
            widths: None,
            residual: None,
            parameter_error_bound: None,
            oracle_accuracy: None,
            queries: 0,
            stages: Vec::new(),
            evidence: Evidence::default(),
        }
    }

    /// Did a limit on queries, time or domain end the run?
    pub(crate) fn is_limited(&self) -> bool {
        self.remedy.is_some_and(Remedy::is_of_limit)
    }
}

/// The result of a run. A network that cannot be identified is a result, not an error.
#[derive(Clone, Debug)]
pub struct Solution {
    /// How it ended.
    pub status: Status,
    /// Why, in a sentence.
    pub reason: String,
    /// What may help, unless it is identified.
    pub remedy: Option<Remedy>,
    /// The network, if there is one.
    pub network: Option<Network>,
    /// Hidden layers that were looked for.
    pub depth: usize,
    /// Units by layer, as far as they were found; a layer of 0 is one that was not.
    pub widths: Option<Vec<usize>>,
    /// Largest residual on held-out points.
    pub residual: Option<f64>,
    /// Bound on the parameter error, relative to each tensor's largest entry (at least 1).
    pub parameter_error_bound: Option<f64>,
    /// Measured accuracy of the oracle's values near the origin.
    pub oracle_accuracy: Option<f64>,
    /// Queries asked.
    pub queries: u64,
    /// Queries and seconds by stage.
    pub stages: Vec<StageUse>,
    /// What every stage saw.
    pub evidence: Evidence,
}
