//! Does a process answer several points as it answers each of them alone?
//!
//! Programs that were written for one point at a time, or for training, may take a batch and answer its first
//! point alone, normalise by its mean, or end. No run can find a network in that: after one that
//! came to nothing, this is asked.

use std::fmt;

use nalgebra::DMatrix;

use super::ProcessOracle;
use super::error::ProcessError;
use crate::draws;

/// Points asked alone and together.
const POINTS: usize = 8;
/// Values differ where they do so by more than this share of the largest: the arithmetic of f32 depends on the size of
/// a batch, too, in the last digits.
const SAME: f64 = 1e-4;
/// What repeated questions differ by, for each unit of what batches differ by, at most: otherwise it is noise.
const REPEATED: f64 = 0.1;

/// What a process does with several points that it does not do with one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BatchTrouble {
    /// It answers a point alone, and failed on several.
    Fails,
    /// It answers a point otherwise alone than among others.
    Differs {
        /// The value alone.
        alone: f64,
        /// The value among others.
        together: f64,
    },
}

impl fmt::Display for BatchTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BatchTrouble::Fails => {
                f.write_str("the process answers a point alone, but not a batch of them")
            }
            BatchTrouble::Differs { alone, together } => write!(
                f,
                "the values depend on the size of the batch: at one point {alone:e} alone, {together:e} among {POINTS}"
            ),
        }
    }
}

impl ProcessError {
    /// May it be for the number of points that the process failed: did it answer none of several, or one?
    fn is_of_batch(&self) -> bool {
        match self {
            ProcessError::Ended { answered, asked, .. } => *answered <= 1 && *asked > 1,
            // One that is silent from the beginning would be waited for once more.
            ProcessError::TimeOut { answered, asked, .. } => *answered == 1 && *asked > 1,
            ProcessError::Frame { asked, found, .. } => *found == 1 && *asked > 1,
            ProcessError::Copy { source, .. } => source.is_of_batch(),
            _ => false,
        }
    }
}

impl ProcessOracle {
    /// What is wrong with its batches, after a run that `failure` ended, or that found nothing. It costs some thirty
    /// questions, or a few if the process does not answer points alone either.
    pub fn batch_trouble(&mut self, failure: Option<&ProcessError>) -> Option<BatchTrouble> {
        if failure.is_some_and(|failure| !failure.is_of_batch()) {
            return None;
        }
        let points =
            draws::gaussian(&mut draws::stream(0, "batch", 0), self.settings.input_dim, POINTS);
        if failure.is_some() {
            let first = self.answer_alone(points.column(0).as_slice());
            return first.is_ok().then_some(BatchTrouble::Fails);
        }
        let (alone, together) = (self.one_by_one(&points)?, self.all(&points)?);
        let (again, together_again) = (self.one_by_one(&points)?, self.all(&points)?);
        let largest = alone.iter().fold(0.0f64, |most, value| most.max(value.abs()));
        // Of all points together: two values of one point under noise agree by chance now and then.
        let noise = apart(&alone, &again).max(apart(&together, &together_again));
        let differs = |k: usize| {
            // A value that is not a number among others differs, too.
            let by = (alone[k] - together[k]).abs();
            alone[k].is_finite() && !(by <= SAME * largest || noise > REPEATED * by)
        };
        let k = (0..alone.len()).find(|&k| differs(k))?;
        Some(BatchTrouble::Differs { alone: alone[k], together: together[k] })
    }

    fn all(&mut self, points: &DMatrix<f64>) -> Option<Vec<f64>> {
        self.answer_alone(points.as_slice()).ok()
    }

    fn one_by_one(&mut self, points: &DMatrix<f64>) -> Option<Vec<f64>> {
        let answers: Result<Vec<_>, _> =
            points.column_iter().map(|point| self.answer_alone(point.as_slice())).collect();
        Some(answers.ok()?.concat())
    }
}

/// The most by which two answers to the same points differ, over all points where both are numbers.
fn apart(first: &[f64], second: &[f64]) -> f64 {
    first.iter().zip(second).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}
