//! Means over points a hair apart, for values with random errors.

use nalgebra::{DMatrix, DVector};
use rand_chacha::ChaCha8Rng;

use crate::draws;
use crate::oracle::black_box::Oracle;
use crate::oracle::error::OracleError;
use crate::oracle::question::{Answer, Question};
use crate::oracle::view::View;

/// An oracle whose values are means of values of another one.
///
/// The error of a value may belong to its point, so that asking twice brings nothing new: the points of a
/// mean are apart by a length over which the function does not change.
pub struct Averaged<'a> {
    inner: &'a mut dyn Oracle,
    repeats: usize,
    apart: f64,
    rng: ChaCha8Rng,
}

impl<'a> Averaged<'a> {
    /// Means of `repeats` values at points about `apart` from the one asked for; of one value, that value.
    pub fn new(inner: &'a mut dyn Oracle, repeats: usize, apart: f64, rng: ChaCha8Rng) -> Self {
        Averaged { inner, repeats: repeats.max(1), apart, rng }
    }

    /// Of values, or of outputs.
    fn means(&mut self, question: Question<'_>) -> Result<DMatrix<f64>, OracleError> {
        let points = question.points;
        if self.repeats == 1 {
            return question.ask(self.inner)?.into_numbers(points.ncols());
        }
        let mut sum = DMatrix::zeros(question.rows(), points.ncols());
        for _ in 0..self.repeats {
            let mut near = points.clone();
            for mut x in near.column_iter_mut() {
                x.axpy(self.apart, &draws::unit_vector(&mut self.rng, points.nrows()), 1.0);
            }
            sum += question.at(&near).ask(self.inner)?.into_numbers(points.ncols())?;
        }
        Ok(sum / self.repeats as f64)
    }
}

impl View for Averaged<'_> {
    fn inner(&self) -> &dyn Oracle {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Oracle {
        self.inner
    }

    fn ask(&mut self, question: Question<'_>) -> Result<Answer, OracleError> {
        if question.is_of_outputs() {
            return Ok(Answer::Numbers(self.means(question)?));
        }
        question.by_values(&mut |points| {
            let means = self.means(Question::values(points))?;
            Ok(DVector::from_vec(means.data.into()))
        })
    }

    fn differences(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::function::FnOracle;

    /// The sum of the coordinates plus an error of +-1 that belongs to the point.
    fn rough(x: &[f64]) -> f64 {
        let error = |x: f64| 1.0 - 2.0 * f64::from((x.to_bits() >> 3).count_ones() % 2);
        x[0] + x[1] + error(x[0]) * error(x[1])
    }

    #[test]
    fn a_mean_of_many_has_a_small_error() {
        let points = draws::gaussian(&mut draws::stream(1, "test", 0), 2, 50);
        let rms = |repeats| {
            let rng = draws::stream(1, "averaged", 0);
            let mut rough = FnOracle::new(2, rough);
            let means = Averaged::new(&mut rough, repeats, 1e-6, rng).values(&points).unwrap();
            let errors: f64 =
                points.column_iter().zip(&means).map(|(x, v)| (v - x.sum()).powi(2)).sum();
            (errors / 50.0).sqrt()
        };
        assert_eq!(rms(1), 1.0);
        assert!((0.05..0.2).contains(&rms(100)), "{}", rms(100));
    }
}
