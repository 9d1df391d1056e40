//! A black box without the nonlinearity that its outputs went through.

use nalgebra::{DMatrix, DVector};

use crate::network::Link;
use crate::oracle::black_box::Oracle;
use crate::oracle::error::{OracleError, counted_outputs, finite};
use crate::oracle::mixture::Mixture;
use crate::oracle::question::{Answer, Question, Wanted};
use crate::oracle::view::View;

/// Undoes a [`Link`] at every output of the oracle behind. Values are mixtures of what this leaves, and
/// derivatives differences of values. Of all outputs together those whose answers are on the edge of the range are the
/// outermost that there are.
///
/// # Errors
/// [`OracleError::Link`] at an answer that the link cannot have given, or that is on the edge of its range and part of a
/// value.
pub struct Linked<'a> {
    inner: &'a mut dyn Oracle,
    link: Link,
    mixture: Mixture,
}

impl<'a> Linked<'a> {
    /// Undoes `link`.
    pub fn new(inner: &'a mut dyn Oracle, link: Link) -> Self {
        let mixture = Mixture::first(inner.output_dim());
        Linked { inner, link, mixture }
    }

    /// All outputs at the points (d x n); those whose answers are on the edge count only if they are part of a value.
    fn undone(
        &mut self,
        points: &DMatrix<f64>,
        of_a_value: bool,
    ) -> Result<DMatrix<f64>, OracleError> {
        let answers = counted_outputs(self.inner.outputs(points)?, self.mixture.outputs(), points)?;
        finite(answers.as_slice(), points)?;
        let mut inside = self.link.off_the_edge(answers.clone());
        if of_a_value {
            for k in (0..inside.nrows()).filter(|&k| self.mixture.has(k)) {
                inside.set_row(k, &answers.row(k));
            }
        }
        self.link.undo(&inside).map_err(|off| {
            let point = points.column(off.column);
            let head = point.iter().take(4).copied().collect();
            OracleError::Link { off, norm: point.norm(), head }
        })
    }
}

impl View for Linked<'_> {
    fn inner(&self) -> &dyn Oracle {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Oracle {
        self.inner
    }

    fn ask(&mut self, question: Question<'_>) -> Result<Answer, OracleError> {
        if question.is_of_outputs() {
            let of_a_value = matches!(question.wanted, Wanted::Parts(_));
            return Ok(Answer::Numbers(self.undone(question.points, of_a_value)?));
        }
        question.by_values(&mut |points| {
            let outputs = self.undone(points, true)?;
            Ok(self.mixture.of(&outputs))
        })
    }

    // The mixture is of what is undone: the oracle behind is asked for its outputs alone.
    fn mixed(&mut self, weights: &DVector<f64>) {
        self.mixture.set(weights);
    }

    fn differences(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;
    use crate::network::{Activation, Class, Network};
    use crate::oracle::function::FnOracle;
    use crate::oracle::network::NetworkOracle;

    fn network(outputs: usize, link: Link) -> Network {
        let drawn = Network::random(&[4, 6, 3], outputs, Class::General, Activation::Tanh, 1);
        Network { link, ..drawn.unwrap() }
    }

    #[test]
    fn the_network_behind_the_link_is_seen() {
        let points = draws::gaussian(&mut draws::stream(1, "linked", 0), 4, 30);
        let weights = DVector::from_vec(vec![0.3, -1.0, 0.5]);
        let ranged = Link::SIGMOID.with_range(-2.0, 40.0).unwrap();
        for link in [Link::None, Link::SIGMOID, Link::TANH, Link::Softmax, ranged] {
            let network = network(3, link);
            let mut logits = network.logits(&points);
            if link == Link::Softmax {
                logits.column_iter_mut().for_each(|mut z| {
                    let mean = z.mean();
                    z.add_scalar_mut(-mean);
                });
            }
            let mut inner = NetworkOracle::new(network);
            let mut linked = Linked::new(&mut inner, link);
            assert!((linked.outputs(&points).unwrap() - &logits).amax() < 1e-10, "{link}");
            let first = linked.values(&points).unwrap() - logits.row(0).transpose();
            assert!(first.amax() < 1e-10, "{link}");
            linked.mix(&weights);
            let mixed = linked.values(&points).unwrap() - logits.tr_mul(&weights);
            assert!(mixed.amax() < 1e-10, "{link}");
        }
    }

    #[test]
    fn answers_that_no_link_gives_are_errors_with_their_point() {
        let points = DMatrix::from_column_slice(1, 3, &[0.5, 2.0, -1.0]);
        let mut identity = FnOracle::new(1, |x| x[0]);
        let error = Linked::new(&mut identity, Link::SIGMOID).values(&points).unwrap_err();
        let OracleError::Link { off, norm, .. } = &error else { panic!("{error}") };
        assert_eq!((off.value, off.column, *norm), (2.0, 1, 2.0));
        assert!(error.to_string().contains("cannot be undone"), "{error}");
        // On the edge it is no part of a value, but is told among the outputs.
        let mut edge = FnOracle::outputs(1, 2, |x| {
            DMatrix::from_fn(
                2,
                x.ncols(),
                |k, n| if k == 0 { 1.0 } else { 1.0 / (1.0 + x[n].exp()) },
            )
        });
        let mut linked = Linked::new(&mut edge, Link::SIGMOID);
        assert!(linked.outputs(&points).is_ok());
        assert!(matches!(linked.parts(&points), Err(OracleError::Link { .. })));
        let first = linked.values(&points).unwrap_err();
        assert!(matches!(first, OracleError::Link { off, .. } if off.is_at_the_edge()));
        linked.mix(&DVector::from_vec(vec![0.0, 1.0]));
        assert!(linked.parts(&points).is_ok());
        let second = linked.values(&points).unwrap() + points.row(0).transpose();
        assert!(second.amax() < 1e-14);
        assert!(linked.outputs(&points).unwrap().row(0).iter().all(|&z| z > 36.0 && z < 38.0));
        let mut broken = FnOracle::new(1, |_| f64::NAN);
        let error = Linked::new(&mut broken, Link::SIGMOID).values(&points).unwrap_err();
        assert!(matches!(error, OracleError::NotFinite { .. }), "{error}");
    }
}
