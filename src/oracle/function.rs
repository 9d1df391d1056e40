//! A closure as a black box.

use nalgebra::{DMatrix, DVector};

use super::black_box::Oracle;
use super::error::{OracleError, counted_outputs};
use super::mixture::Mixture;

/// Outputs of f at the columns of a matrix, a column each.
type Batch<'f> = dyn FnMut(&DMatrix<f64>) -> Result<DMatrix<f64>, OracleError> + Send + 'f;

/// A black box from a closure that gives its values.
pub struct FnOracle<'f> {
    inputs: usize,
    batch: Box<Batch<'f>>,
    mixture: Mixture,
}

impl<'f> FnOracle<'f> {
    /// f: R^d -> R with `inputs` = d, point by point in the order asked.
    ///
    /// ```
    /// use disentangle::{FnOracle, Oracle};
    ///
    /// let mut f = FnOracle::new(2, |x| (x[0] - 0.3 * x[1]).tanh());
    /// assert_eq!(f.values(&nalgebra::DMatrix::zeros(2, 3))?.len(), 3);
    /// # Ok::<(), disentangle::OracleError>(())
    /// ```
    pub fn new(inputs: usize, mut f: impl FnMut(&[f64]) -> f64 + Send + 'f) -> Self {
        FnOracle::batch(inputs, move |points| {
            DVector::from_iterator(points.ncols(), points.column_iter().map(|x| f(x.as_slice())))
        })
    }

    /// f: R^d -> R with `inputs` = d, one value for each column of a d x n matrix: for functions that
    /// are quicker at many points at a time.
    pub fn batch(
        inputs: usize,
        mut f: impl FnMut(&DMatrix<f64>) -> DVector<f64> + Send + 'f,
    ) -> Self {
        FnOracle::outputs(inputs, 1, move |points| {
            let values = f(points);
            DMatrix::from_vec(1, values.len(), values.data.into())
        })
    }

    /// f: R^d -> R^K with `inputs` = d and `outputs` = K, a K x n matrix for a d x n matrix of points.
    pub fn outputs(
        inputs: usize,
        outputs: usize,
        mut f: impl FnMut(&DMatrix<f64>) -> DMatrix<f64> + Send + 'f,
    ) -> Self {
        FnOracle::fallible(inputs, outputs, move |points| Ok(f(points)))
    }

    /// The same where the closure may have no answer, which ends the run with its error.
    pub fn fallible(
        inputs: usize,
        outputs: usize,
        f: impl FnMut(&DMatrix<f64>) -> Result<DMatrix<f64>, OracleError> + Send + 'f,
    ) -> Self {
        FnOracle { inputs, batch: Box::new(f), mixture: Mixture::first(outputs) }
    }
}

impl Oracle for FnOracle<'_> {
    fn input_dim(&self) -> usize {
        self.inputs
    }

    fn output_dim(&self) -> usize {
        self.mixture.outputs()
    }

    fn outputs(&mut self, points: &DMatrix<f64>) -> Result<DMatrix<f64>, OracleError> {
        counted_outputs((self.batch)(points)?, self.mixture.outputs(), points)
    }

    fn mix(&mut self, weights: &DVector<f64>) {
        self.mixture.set(weights);
    }

    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        let outputs = self.outputs(points)?;
        Ok(self.mixture.of(&outputs))
    }
}
