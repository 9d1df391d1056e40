//! Points and values to fit, and how many of them.

use nalgebra::{DMatrix, DVector};

use super::tolerances::{
    MOST_JACOBIAN_ENTRIES, POINTS_BESIDE, POINTS_PER_TWO_PARAMETERS, SAMPLE_GROWTH, SAMPLE_MARGIN,
};
use crate::network::model::Model;

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
    POINTS_PER_TWO_PARAMETERS * parameters / 2 + POINTS_BESIDE
}

/// Points that a fit of `network` can take.
pub fn affordable<M: Model>(network: &M) -> usize {
    MOST_JACOBIAN_ENTRIES / network.parameter_count().max(1)
}

/// Points to add to `have` so that an error `lacks` times too large becomes small enough, if that can be had
/// for `most` points; otherwise as many as are worth it, after `spent` queries.
pub fn more_points(have: usize, lacks: f64, spent: usize, most: usize) -> Option<usize> {
    let needed = have as f64 * (SAMPLE_MARGIN * lacks).powi(2);
    let worth = spent.max(SAMPLE_GROWTH * have);
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
