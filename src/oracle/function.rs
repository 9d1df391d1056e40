//! A closure as a black box.

use nalgebra::{DMatrix, DVector};

use super::black_box::Oracle;
use super::error::{OracleError, counted};

/// Values of f at the columns of a matrix.
type Batch<'f> = dyn FnMut(&DMatrix<f64>) -> DVector<f64> + Send + 'f;

/// A black box from a closure that gives its values.
pub struct FnOracle<'f> {
    inputs: usize,
    batch: Box<Batch<'f>>,
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
    pub fn batch(inputs: usize, f: impl FnMut(&DMatrix<f64>) -> DVector<f64> + Send + 'f) -> Self {
        FnOracle { inputs, batch: Box::new(f) }
    }
}

impl Oracle for FnOracle<'_> {
    fn input_dim(&self) -> usize {
        self.inputs
    }

    fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
        counted((self.batch)(points), points)
    }
}
