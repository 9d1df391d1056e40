//! The native module of the Python package: the program, networks, and runs that ask Python for values.
#![forbid(unsafe_code)]

mod errors;
mod fit;
mod network;
mod probe;
mod remedy;
mod run;
mod settings;
mod worker;

use std::ffi::OsString;

use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;

/// Runs the command line and ends the process with its exit code.
///
/// It never returns: the program takes over signals, and a thread of it that was left alone ends with the process.
#[pyfunction]
fn main(py: Python<'_>, arguments: Vec<OsString>) {
    let code = py.detach(|| disentangle::cli::main(arguments));
    std::process::exit(code.into());
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // NumPy's interface is looked up when the first array is made, and a Ctrl-C in the middle of that is a panic: here it is a
    // failed import.
    PyArray1::<f64>::zeros(module.py(), 0, false).try_readonly()?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<network::Network>()?;
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(run::check, module)?)?;
    module.add_function(wrap_pyfunction!(run::identify, module)?)?;
    module.add_function(wrap_pyfunction!(fit::fit, module)?)?;
    module.add_function(wrap_pyfunction!(network::generate, module)?)?;
    module.add_function(wrap_pyfunction!(network::read, module)?)?;
    module.add_function(wrap_pyfunction!(network::compare, module)?)
}
