//! Why a stage stopped.

use std::fmt;

use serde::Serialize;

use crate::oracle::OracleError;
use crate::stage::Stage;

/// A stage that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Which stage.
    pub stage: Stage,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.reason)
    }
}

impl Failure {
    pub(crate) fn new(stage: Stage, reason: impl Into<String>) -> Self {
        Failure { stage, reason: reason.into() }
    }
}

/// Why a stage stopped: the oracle broke, or the stage failed.
#[derive(Debug)]
pub(crate) enum Halt {
    Oracle(OracleError),
    Failed(Failure),
}

impl From<OracleError> for Halt {
    fn from(error: OracleError) -> Self {
        Halt::Oracle(error)
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Halt::Failed(failure)
    }
}
