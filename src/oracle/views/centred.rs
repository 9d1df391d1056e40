//! The part of the input space that a run looks at: everything, or a ball.

use nalgebra::{DMatrix, DVector};
use rand::Rng;

use crate::oracle::black_box::Oracle;
use crate::oracle::design::Design;
use crate::oracle::error::OracleError;
use crate::oracle::question::{Answer, Question};
use crate::oracle::view::View;

/// A black box with the origin moved: y -> f(centre + y).
pub struct Centred<'a> {
    inner: &'a mut dyn Oracle,
    centre: &'a DVector<f64>,
}

impl<'a> Centred<'a> {
    /// `centre` has length d.
    pub fn new(inner: &'a mut dyn Oracle, centre: &'a DVector<f64>) -> Self {
        Centred { inner, centre }
    }
}

impl View for Centred<'_> {
    fn inner(&self) -> &dyn Oracle {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Oracle {
        self.inner
    }

    fn ask(&mut self, question: Question<'_>) -> Result<Answer, OracleError> {
        let points = shift(question.points.clone(), self.centre);
        question.at(&points).ask(self.inner)
    }

    fn inputs(&self) -> usize {
        self.centre.len()
    }
}

/// Every column moved by `by`.
pub fn shift(mut points: DMatrix<f64>, by: &DVector<f64>) -> DMatrix<f64> {
    points.column_iter_mut().for_each(|mut x| x += by);
    points
}

/// A ball around a centre; an infinite radius means all of space.
#[derive(Clone, Debug)]
pub struct Region {
    /// Length d.
    pub centre: DVector<f64>,
    /// How far from it points may lie.
    pub radius: f64,
}

impl Region {
    /// Is there an end to it?
    pub fn is_bounded(&self) -> bool {
        self.radius.is_finite()
    }

    /// The same ball with a rim of this width taken off, at most half of the radius.
    #[must_use]
    pub fn within(&self, rim: f64) -> Region {
        let radius =
            if self.is_bounded() { self.radius - rim.min(0.5 * self.radius) } else { self.radius };
        Region { centre: self.centre.clone(), radius }
    }

    /// `count` points N(centre, s^2 I), those of a scale too large for the region at its largest; s
    /// runs through `scales` from point to point.
    pub fn gaussian(&self, rng: &mut impl Rng, scales: &[f64], count: usize) -> DMatrix<f64> {
        let d = self.centre.len();
        let mut points = DMatrix::zeros(d, count);
        for (k, mut x) in points.column_iter_mut().enumerate() {
            let radius = scales[k % scales.len()] * (d as f64).sqrt();
            let point = Design::Gaussian.points(rng, &self.centre, radius, self.radius, 1);
            x.copy_from(&point.column(0));
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;

    #[test]
    fn points_stay_within_the_rim() {
        let region = Region { centre: DVector::from_vec(vec![5.0, -1.0]), radius: 2.0 };
        let inner = region.within(0.25);
        let points = inner.gaussian(&mut draws::stream(1, "region", 0), &[0.1, 1.0, 300.0], 300);
        let distances = points.column_iter().map(|x| (x - &region.centre).norm());
        let farthest = distances.fold(0.0, f64::max);
        assert!((1.0..=1.75 + 1e-12).contains(&farthest), "{farthest}");
        assert_eq!(region.within(50.0).radius, 1.0);
    }
}
