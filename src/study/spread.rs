//! How figures of many runs spread.

use serde::Serialize;

/// Quantiles of some figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub least: f64,
    /// 1 % are at most this.
    pub percentile_1: f64,
    /// 10 % are at most this.
    pub percentile_10: f64,
    /// The middle one, or the mean of the two.
    pub median: f64,
    /// 90 % are at most this.
    pub percentile_90: f64,
}

impl Spread {
    /// Of figures, if there are any.
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        // The nearest rank: the first figure that enough of them do not exceed.
        let at = |percent: usize| values.get((n * percent).div_ceil(100).max(1) - 1).copied();
        Some(Spread {
            least: *values.first()?,
            percentile_1: at(1)?,
            percentile_10: at(10)?,
            median: 0.5 * (values[(n - 1) / 2] + values[n / 2]),
            percentile_90: at(90)?,
        })
    }
}

/// The slope of the straight line nearest to points (x, y), by least squares in y; `None` unless there are two different x.
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let square: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let product: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    (square > 0.0).then(|| product / square)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_nearest_ranks() {
        assert_eq!(Spread::of(Vec::new()), None);
        let one = Spread::of(vec![3.0]).unwrap();
        assert_eq!(
            (one.least, one.percentile_1, one.median, one.percentile_90),
            (3.0, 3.0, 3.0, 3.0)
        );
        let hundred = Spread::of((1..=100).rev().map(f64::from).collect()).unwrap();
        let expected = Spread {
            least: 1.0,
            percentile_1: 1.0,
            percentile_10: 10.0,
            median: 50.5,
            percentile_90: 90.0,
        };
        assert_eq!(hundred, expected);
    }
}
