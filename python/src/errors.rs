//! Errors of the library as exceptions of Python.

use std::fmt::Display;
use std::path::Path;

use disentangle::Network;
use disentangle::identify::IdentifyError;
use disentangle::network::FileError;
use disentangle::oracle::{CheckpointError, OracleError};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::{PyErr, PyResult};

/// A setting, or the content of a file, that will not do.
pub fn value(error: impl Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

pub fn file(error: &FileError) -> PyErr {
    match error {
        FileError::Read { .. } | FileError::Write { .. } => PyOSError::new_err(error.to_string()),
        _ => value(error),
    }
}

pub fn checkpoint(error: &CheckpointError) -> PyErr {
    match error {
        CheckpointError::Io { .. } | CheckpointError::InUse(_) | CheckpointError::Missing(_) => {
            PyOSError::new_err(error.to_string())
        }
        _ => value(error),
    }
}

pub fn identify(error: &IdentifyError) -> PyErr {
    match error {
        IdentifyError::Oracle(OracleError::Checkpoint(error)) => checkpoint(error),
        IdentifyError::Oracle(error @ OracleError::Link { .. }) => value(error),
        IdentifyError::Oracle(error) => PyRuntimeError::new_err(error.to_string()),
        error => value(error),
    }
}

/// The network in a file.
pub fn load(path: &Path) -> PyResult<Network> {
    Network::load(path, None).map_err(|error| file(&error))
}
