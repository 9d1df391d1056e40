//! Is it still the function that a checkpoint was begun with?
//!
//! Answers of one function continued with those of another would be no function's. Its values at a few points are kept
//! beside the answers.

use std::fs;
use std::path::Path;

use pyo3::PyResult;
use pyo3::exceptions::PyOSError;

use crate::errors::value;

const FILE: &str = "function.json";
/// Values that differ by more than this share of the largest are not those of the same function; noise is less, where
/// anything can be identified.
const SAME: f64 = 1e-3;

/// Compares the `values` of the function with those in the folder of a checkpoint that has `answers`, or keeps them there.
pub fn check(folder: &Path, values: &[f64], answers: bool) -> PyResult<()> {
    let path = folder.join(FILE);
    let unusable = |error| PyOSError::new_err(format!("cannot use {}: {error}", path.display()));
    if !answers {
        let text = serde_json::to_string(values).map_err(value)?;
        return fs::write(&path, text).map_err(unusable);
    }
    let text = fs::read_to_string(&path).map_err(unusable)?;
    let kept: Vec<f64> = serde_json::from_str(&text)
        .map_err(|error| value(format!("{} does not hold values: {error}", path.display())))?;
    let largest = kept.iter().fold(0.0f64, |most, kept| most.max(kept.abs()));
    let same = |(kept, value): (&f64, &f64)| (kept - value).abs() <= SAME * largest;
    if kept.len() == values.len() && kept.iter().zip(values).all(same) {
        return Ok(());
    }
    Err(value(format!(
        "the checkpoint {} is of another function: this one has other values; give another folder, or remove that one",
        folder.display()
    )))
}
