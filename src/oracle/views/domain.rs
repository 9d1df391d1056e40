//! A region that no query leaves: enforced here, between whoever asks and the black box.

use nalgebra::{DMatrix, DVector};

use crate::oracle::black_box::Oracle;
use crate::oracle::error::OracleError;
use crate::oracle::question::{Answer, Question, Wanted};
use crate::oracle::view::View;

/// What the triangle inequality may lose to rounding.
const ROUNDING: f64 = 1e-12;

/// An oracle that answers within a ball and refuses everything else, unasked, with
/// [`OracleError::OutsideDomain`].
///
/// Stencils go to the inner oracle whole, and so to its own fast ways, but only after every node has
/// been found inside.
pub struct Domain<'a> {
    inner: &'a mut dyn Oracle,
    centre: DVector<f64>,
    radius: f64,
    farthest: f64,
}

impl<'a> Domain<'a> {
    /// The ball of radius `radius` around `centre` (length d).
    ///
    /// # Panics
    /// If the centre does not have as many coordinates as the oracle inputs.
    pub fn new(inner: &'a mut dyn Oracle, centre: DVector<f64>, radius: f64) -> Self {
        assert_eq!(centre.len(), inner.input_dim(), "one coordinate an input");
        Domain { inner, centre, radius, farthest: 0.0 }
    }

    /// The largest distance from the centre of any point passed on so far.
    pub fn farthest(&self) -> f64 {
        self.farthest
    }

    /// Distance from the centre; a point that is not finite counts as infinitely far.
    fn distance(&self, point: impl Iterator<Item = f64>) -> f64 {
        let squares: f64 = point.zip(self.centre.iter()).map(|(x, c)| (x - c) * (x - c)).sum();
        if squares.is_nan() { f64::INFINITY } else { squares.sqrt() }
    }

    fn admit(&mut self, norm: f64) -> Result<(), OracleError> {
        if norm > self.radius {
            return Err(OracleError::OutsideDomain { norm, limit: self.radius });
        }
        self.farthest = self.farthest.max(norm);
        Ok(())
    }

    fn admit_points(&mut self, points: &DMatrix<f64>) -> Result<(), OracleError> {
        let norms = points.column_iter().map(|x| self.distance(x.iter().copied()));
        let farthest = norms.fold(0.0, f64::max);
        self.admit(farthest)
    }

    /// Admits centre + offset for every pair of them.
    fn admit_stencils(
        &mut self,
        centres: &DMatrix<f64>,
        offsets: &DMatrix<f64>,
    ) -> Result<(), OracleError> {
        let reach = offsets.column_iter().map(|o| o.norm()).fold(0.0, f64::max);
        for x in centres.column_iter() {
            let bound = (self.distance(x.iter().copied()) + reach) * (1.0 + ROUNDING);
            if bound <= self.radius {
                self.admit(bound)?;
                continue;
            }
            for offset in offsets.column_iter() {
                let node = offset.iter().zip(x.iter()).map(|(o, x)| o + x);
                let norm = self.distance(node);
                self.admit(norm)?;
            }
        }
        Ok(())
    }
}

impl View for Domain<'_> {
    fn inner(&self) -> &dyn Oracle {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Oracle {
        self.inner
    }

    // What a stack computes again later are the nodes admitted here.
    fn ask(&mut self, question: Question<'_>) -> Result<Answer, OracleError> {
        let centres = question.points;
        match question.wanted {
            Wanted::Values | Wanted::Outputs(_) | Wanted::Parts(_) => self.admit_points(centres)?,
            Wanted::Gradients(directions, scheme, h) => {
                self.admit_stencils(centres, &scheme.offsets(directions, h))?;
            }
            Wanted::Hessians(directions, scheme, h) | Wanted::Stack(directions, scheme, h) => {
                if directions.ncols() > 0 {
                    self.admit_stencils(centres, &scheme.offsets(directions, h))?;
                }
            }
        }
        question.ask(self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stencil::{GradientScheme, HessianScheme};

    /// Answers by values only, and remembers how far from (1, 0) it was asked.
    #[derive(Default)]
    struct Witness {
        farthest: f64,
        asked: usize,
    }

    impl Oracle for Witness {
        fn input_dim(&self) -> usize {
            2
        }
        fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
            self.asked += points.ncols();
            for x in points.column_iter() {
                self.farthest = self.farthest.max((x[0] - 1.0).hypot(x[1]));
            }
            Ok(DVector::from_iterator(points.ncols(), points.column_iter().map(|x| x[0] * x[1])))
        }
    }

    fn one(x: f64, y: f64) -> DMatrix<f64> {
        DMatrix::from_column_slice(2, 1, &[x, y])
    }

    #[test]
    fn nothing_outside_is_passed_on() {
        let mut witness = Witness::default();
        let mut domain = Domain::new(&mut witness, DVector::from_vec(vec![1.0, 0.0]), 2.0);
        assert_eq!(domain.values(&one(3.0, 0.0)).unwrap()[0], 0.0);
        for (x, y) in [(3.0 + 1e-12, 0.0), (1.0, -2.1), (f64::NAN, 0.0), (f64::INFINITY, 0.0)] {
            let refused = domain.values(&one(x, y));
            assert!(matches!(refused, Err(OracleError::OutsideDomain { limit: 2.0, .. })));
        }
        let mixed = DMatrix::from_columns(&[one(1.0, 0.0).column(0), one(9.0, 0.0).column(0)]);
        assert!(domain.values(&mixed).is_err());
        assert_eq!(domain.farthest(), 2.0);
        assert_eq!((witness.asked, witness.farthest), (1, 2.0));
    }

    #[test]
    fn no_node_of_a_stencil_escapes() {
        let axes = DMatrix::identity(2, 2);
        let schemes = [
            HessianScheme::Forward,
            HessianScheme::Central,
            HessianScheme::Polarised,
            HessianScheme::Richardson,
        ];
        let gradients = [GradientScheme::Central2, GradientScheme::Central4];
        for x in (0..60).map(|k| 1.0 + 0.05 * f64::from(k)) {
            let mut witness = Witness::default();
            let mut domain = Domain::new(&mut witness, DVector::from_vec(vec![1.0, 0.0]), 2.0);
            let mut answered = Vec::new();
            for scheme in schemes {
                answered.push(domain.hessians(&one(x, 0.0), &axes, scheme, 0.25).is_ok());
            }
            for scheme in gradients {
                answered.push(domain.gradients(&one(x, 0.0), &axes, scheme, 0.25).is_ok());
            }
            assert!(witness.farthest <= 2.0);
            // Where every node fits, the stencil is answered: the bound alone refuses nothing.
            let fits = |steps: f64| (x - 1.0) + steps * 0.25 <= 2.0;
            assert_eq!(answered[4], fits(1.0));
            assert_eq!(answered[0], fits(2.0));
        }
    }
}
