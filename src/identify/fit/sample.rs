//! Points and values to fit, and how many of them.

use nalgebra::{DMatrix, DVector};

use crate::network::model::Model;

/// Scales of the queries, in natural scales.
pub const SCALES: [f64; 4] = [0.5, 1.0, 4.0, 16.0];
/// Points and values to fit.
#[derive(Clone, Debug)]
pub struct Sample {
    /// d x N.
    pub points: DMatrix<f64>,
    /// Length N.
    pub values: DVector<f64>,
}

/// Points for a fit of `network`, see [`size`].
pub fn size_for<M: Model>(network: &M) -> usize {
    size(network.parameter_count())
}

/// Points for a fit of so many parameters: half as many again, and some for the smallest.
pub fn size(parameters: usize) -> usize {
    3 * parameters / 2 + 400
}

/// Entries of the Jacobian of the largest sample: 160 MB.
const MOST_ENTRIES: usize = 20_000_000;
/// The error of a fit falls with the square root of the number of values; a little more, since the
/// estimate of how much is needed has an error of its own.
const MARGIN: f64 = 1.2;
/// Where the tolerance is out of reach the sample grows by this factor, or to as many values as all that came
/// before took.
const WORTHWHILE: usize = 10;

/// Points that a fit of `network` can take.
pub fn affordable<M: Model>(network: &M) -> usize {
    MOST_ENTRIES / network.parameter_count().max(1)
}

/// Points to add to `have` so that an error `lacks` times too large becomes small enough, if that can be had
/// for `most` points; otherwise as many as are worth it, after `spent` queries.
pub fn more_points(have: usize, lacks: f64, spent: usize, most: usize) -> Option<usize> {
    let needed = have as f64 * (MARGIN * lacks).powi(2);
    let worth = spent.max(WORTHWHILE * have);
    let wanted = if needed <= most as f64 { needed as usize } else { most.min(worth) };
    wanted.checked_sub(have).filter(|&more| more > 0)
}

impl Sample {
    /// The points and values of both samples.
    pub fn with(self, more: Sample) -> Sample {
        let (d, n) = self.points.shape();
        let mut points = self.points.resize_horizontally(n + more.points.ncols(), 0.0);
        points.view_mut((0, n), (d, more.points.ncols())).copy_from(&more.points);
        let all = self.values.iter().chain(more.values.iter()).copied();
        Sample { values: DVector::from_iterator(points.ncols(), all), points }
    }

    /// network(x) - f(x) at every point.
    pub fn residual<M: Model>(&self, network: &M) -> DVector<f64> {
        network.values(&self.points) - &self.values
    }

    /// Standard deviation of a value by the residuals of a `network` fitted to them.
    pub fn sigma<M: Model>(&self, network: &M) -> f64 {
        let freedom = self.values.len().saturating_sub(network.parameter_count()).max(1);
        self.residual(network).norm() / (freedom as f64).sqrt()
    }
}
