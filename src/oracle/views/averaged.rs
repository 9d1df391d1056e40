//! Means over points a hair apart, for values with random errors.

use nalgebra::{DMatrix, DVector};
use rand_chacha::ChaCha8Rng;

use crate::draws;
use crate::oracle::{Oracle, OracleError};

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
}

impl Oracle for Averaged<'_> {
    fn input_dim(&self) -> usize {
        self.inner.input_dim()
    }

    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        if self.repeats == 1 {
            return self.inner.values(points);
        }
        let mut sum = DVector::zeros(points.ncols());
        for _ in 0..self.repeats {
            let mut near = points.clone();
            for mut x in near.column_iter_mut() {
                x.axpy(self.apart, &draws::unit_vector(&mut self.rng, points.nrows()), 1.0);
            }
            sum += self.inner.values(&near)?;
        }
        Ok(sum / self.repeats as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum of the coordinates plus an error of +-1 that belongs to the point.
    struct Rough;

    impl Oracle for Rough {
        fn input_dim(&self) -> usize {
            2
        }
        fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
            let error = |x: f64| 1.0 - 2.0 * f64::from((x.to_bits() >> 3).count_ones() % 2);
            let of = points.column_iter().map(|x| x.sum() + error(x[0]) * error(x[1]));
            Ok(DVector::from_iterator(points.ncols(), of))
        }
    }

    #[test]
    fn a_mean_of_many_has_a_small_error() {
        let points = draws::gaussian(&mut draws::stream(1, "test", 0), 2, 50);
        let rms = |repeats| {
            let rng = draws::stream(1, "averaged", 0);
            let means = Averaged::new(&mut Rough, repeats, 1e-6, rng).values(&points).unwrap();
            let errors: f64 =
                points.column_iter().zip(&means).map(|(x, v)| (v - x.sum()).powi(2)).sum();
            (errors / 50.0).sqrt()
        };
        assert_eq!(rms(1), 1.0);
        assert!((0.05..0.2).contains(&rms(100)), "{}", rms(100));
    }
}
