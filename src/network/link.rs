//! What the outputs of a network go through before anyone sees them, and the way back.

use std::fmt;

use nalgebra::{DMatrix, DVector};

/// The last nonlinearity of a network, from the outputs z (K of them) to the answers p.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Link {
    /// p = z.
    #[default]
    None,
    /// p = lo + (hi - lo) / (1 + exp(-z)), each output for itself.
    Sigmoid {
        /// The limit at z -> -infinity.
        lo: f64,
        /// The limit at z -> infinity.
        hi: f64,
    },
    /// p = lo + (hi - lo) (1 + tanh z) / 2, each output for itself.
    Tanh {
        /// The limit at z -> -infinity.
        lo: f64,
        /// The limit at z -> infinity.
        hi: f64,
    },
    /// p_k = exp(z_k) / sum_i exp(z_i). The answers determine z up to a number that all outputs share.
    Softmax,
}

/// A link that is none.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// Limits out of order, or not finite.
    #[error("the range of a link needs two finite numbers, the lower first")]
    Range,
    /// A range for a link that has none.
    #[error("the link {0} has no range to choose")]
    Fixed(&'static str),
    /// A softmax over one output, which is constant.
    #[error("softmax needs two outputs or more")]
    OneOutput,
    /// A name that is not known.
    #[error("unknown link {0:?}; known are none, sigmoid, tanh and softmax")]
    Unknown(String),
}

/// An answer that no finite output gives, or that rounding has put on the edge.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq)]
#[error("{value} of output {} is not strictly between the limits {lo} and {hi} of the link", output + 1)]
pub struct OffRange {
    /// The answer.
    pub value: f64,
    /// Which output, from 0.
    pub output: usize,
    /// The column of the answers.
    pub column: usize,
    /// Lower limit of the link.
    pub lo: f64,
    /// Upper limit of the link.
    pub hi: f64,
}

impl OffRange {
    /// Is the answer a limit itself, as rounding makes of answers near it, rather than beyond?
    pub fn is_at_the_edge(&self) -> bool {
        self.value == self.lo || self.value == self.hi
    }
}

impl Link {
    /// The sigmoid on its own range, (0, 1).
    pub const SIGMOID: Link = Link::Sigmoid { lo: 0.0, hi: 1.0 };
    /// The tanh on its own range, (-1, 1).
    pub const TANH: Link = Link::Tanh { lo: -1.0, hi: 1.0 };
    /// Every kind of link, on its own range.
    pub const ALL: [Link; 4] = [Link::None, Link::SIGMOID, Link::TANH, Link::Softmax];

    /// The name used in files and on the command line, without the range.
    pub fn name(self) -> &'static str {
        match self {
            Link::None => "none",
            Link::Sigmoid { .. } => "sigmoid",
            Link::Tanh { .. } => "tanh",
            Link::Softmax => "softmax",
        }
    }

    /// The link of this name, on its own range; `linear` and `identity` are none.
    ///
    /// # Errors
    /// [`LinkError::Unknown`].
    pub fn named(name: &str) -> Result<Link, LinkError> {
        let lower = name.trim().to_ascii_lowercase();
        let known = Link::ALL.into_iter().find(|link| link.name() == lower);
        match lower.as_str() {
            "linear" | "identity" => Ok(Link::None),
            _ => known.ok_or_else(|| LinkError::Unknown(name.to_owned())),
        }
    }

    /// The same kind of link on another range.
    ///
    /// # Errors
    /// [`LinkError::Fixed`] but for sigmoid and tanh, [`LinkError::Range`] unless lo < hi.
    pub fn with_range(self, lo: f64, hi: f64) -> Result<Link, LinkError> {
        let link = match self {
            Link::Sigmoid { .. } => Link::Sigmoid { lo, hi },
            Link::Tanh { .. } => Link::Tanh { lo, hi },
            Link::None | Link::Softmax => return Err(LinkError::Fixed(self.name())),
        };
        link.validate(1)?;
        Ok(link)
    }

    /// Its limits where they are not its own: another range of sigmoid or tanh.
    pub fn range(self) -> Option<(f64, f64)> {
        match self {
            Link::Sigmoid { lo, hi } | Link::Tanh { lo, hi }
                if self != Link::SIGMOID && self != Link::TANH =>
            {
                Some((lo, hi))
            }
            _ => None,
        }
    }

    /// Can it stand behind `outputs` outputs?
    ///
    /// # Errors
    /// [`LinkError::Range`], [`LinkError::OneOutput`].
    pub fn validate(self, outputs: usize) -> Result<(), LinkError> {
        match self {
            Link::Sigmoid { lo, hi } | Link::Tanh { lo, hi }
                if !(lo < hi && (hi - lo).is_finite()) =>
            {
                Err(LinkError::Range)
            }
            Link::Softmax if outputs < 2 => Err(LinkError::OneOutput),
            _ => Ok(()),
        }
    }

    /// Puts the outputs z, K x n, through it: a column a point.
    pub fn apply(self, outputs: &mut DMatrix<f64>) {
        match self {
            Link::None => (),
            Link::Sigmoid { lo, hi } => {
                outputs.apply(|z| *z = lo + (hi - lo) * super::activation::sigmoid(*z));
            }
            Link::Tanh { lo, hi } => {
                let (middle, half) = (0.5 * (lo + hi), 0.5 * (hi - lo));
                outputs.apply(|z| *z = middle + half * super::activation::tanh(*z));
            }
            // Relative to the largest, so that no exponential overflows.
            Link::Softmax => outputs.column_iter_mut().for_each(|mut column| {
                let most = column.max();
                column.apply(|z| *z = (*z - most).exp());
                let sum = column.sum();
                column /= sum;
            }),
        }
    }

    /// The outputs z behind the answers, K x n. For the softmax z_k = log p_k - mean_i log p_i: the
    /// outputs whose mean over the K is 0, as no answers tell more.
    ///
    /// # Errors
    /// [`OffRange`] at the first answer that is not strictly within the limits of the link; of a softmax
    /// an answer may be 1, where rounding has lost all the others.
    pub fn undo(self, answers: &DMatrix<f64>) -> Result<DMatrix<f64>, OffRange> {
        self.within(answers)?;
        Ok(match self {
            Link::None => answers.clone(),
            Link::Sigmoid { lo, hi } => answers.map(|p| ((p - lo) / (hi - p)).ln()),
            // In this form accurate about the middle of the range, too.
            Link::Tanh { lo, hi } => answers.map(|p| {
                let y = (p - 0.5 * (lo + hi)) / (0.5 * (hi - lo));
                0.5 * (y.ln_1p() - (-y).ln_1p())
            }),
            Link::Softmax => centred(answers.map(f64::ln)),
        })
    }

    /// By how much an error of the answers, K x n, is larger in what [`undo`](Self::undo) makes of them: for
    /// each value the largest |error of z_k| where no answer at the point is off by more than 1, to first
    /// order.
    ///
    /// # Errors
    /// As [`undo`](Self::undo).
    pub fn amplification(self, answers: &DMatrix<f64>) -> Result<DMatrix<f64>, OffRange> {
        self.within(answers)?;
        let logistic = |lo: f64, hi: f64| answers.map(|p| (hi - lo) / ((p - lo) * (hi - p)));
        Ok(match self {
            Link::None => answers.map(|_| 1.0),
            Link::Sigmoid { lo, hi } => logistic(lo, hi),
            Link::Tanh { lo, hi } => logistic(lo, hi) * 0.5,
            // z_k = (1 - 1/K) log p_k - (1/K) sum of the other logarithms.
            Link::Softmax => {
                let share = 1.0 / answers.nrows() as f64;
                let mut inverse = answers.map(f64::recip);
                for mut column in inverse.column_iter_mut() {
                    let all = share * column.sum();
                    column.apply(|own| *own = all + (1.0 - 2.0 * share) * *own);
                }
                inverse
            }
        })
    }

    /// The answers, of which those on the edge of the range are the outermost numbers within: what rounding has put there
    /// is there or farther out.
    pub fn off_the_edge(self, mut answers: DMatrix<f64>) -> DMatrix<f64> {
        if let Link::Sigmoid { lo, hi } | Link::Tanh { lo, hi } = self {
            answers.apply(|p| {
                if *p == lo {
                    *p = lo.next_up();
                } else if *p == hi {
                    *p = hi.next_down();
                }
            });
        }
        answers
    }

    /// How fast the answer goes with the output z, where each goes by itself; 1 elsewhere.
    pub fn slope(self, z: f64) -> f64 {
        let logistic = |z: f64| {
            let sigmoid = super::activation::sigmoid;
            sigmoid(z) * sigmoid(-z)
        };
        match self {
            Link::None | Link::Softmax => 1.0,
            Link::Sigmoid { lo, hi } => (hi - lo) * logistic(z),
            Link::Tanh { lo, hi } => 2.0 * (hi - lo) * logistic(2.0 * z),
        }
    }

    /// By how much the output z is off because the answer is rounded to f64. Close to a limit of 0 answers are as accurate
    /// as anywhere, close to another one they lose the output.
    pub fn rounding(self, z: f64) -> f64 {
        let answer = match self {
            Link::None | Link::Softmax => return f64::EPSILON * z.abs().max(1.0),
            Link::Sigmoid { lo, hi } => lo + (hi - lo) * super::activation::sigmoid(z),
            Link::Tanh { lo, hi } => lo + (hi - lo) * super::activation::sigmoid(2.0 * z),
        };
        f64::EPSILON * answer.abs().max(f64::MIN_POSITIVE) / self.slope(z)
    }

    /// The largest size of an answer, where each goes by itself.
    pub fn largest(self) -> f64 {
        match self {
            Link::None => f64::INFINITY,
            Link::Sigmoid { lo, hi } | Link::Tanh { lo, hi } => lo.abs().max(hi.abs()),
            Link::Softmax => 1.0,
        }
    }

    /// From the answer for the output z to that for `other`, where each goes by itself.
    pub fn between(self, z: f64, other: f64) -> f64 {
        let mut answers = DMatrix::from_row_slice(1, 2, &[z, other]);
        self.apply(&mut answers);
        answers[1] - answers[0]
    }

    fn within(self, answers: &DMatrix<f64>) -> Result<(), OffRange> {
        let (lo, hi) = match self {
            Link::None => return Ok(()),
            Link::Sigmoid { lo, hi } | Link::Tanh { lo, hi } => (lo, hi),
            Link::Softmax => (0.0, 1.0),
        };
        let inside = |p: f64| p > lo && (p < hi || (self == Link::Softmax && p == hi));
        match answers.iter().position(|&p| !inside(p)) {
            None => Ok(()),
            Some(place) => {
                let (column, output) = (place / answers.nrows(), place % answers.nrows());
                Err(OffRange { value: answers[place], output, column, lo, hi })
            }
        }
    }
}

/// Every column less its mean.
pub(crate) fn centred(mut columns: DMatrix<f64>) -> DMatrix<f64> {
    let means: DVector<f64> = columns.row_mean().transpose();
    for (mut column, mean) in columns.column_iter_mut().zip(means.iter()) {
        column.add_scalar_mut(-mean);
    }
    columns
}

/// `sigmoid`, or `sigmoid on (1, 5)`.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self.range() {
            Some((lo, hi)) => write!(f, " on ({lo}, {hi})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws;

    fn links() -> Vec<Link> {
        let ranged = [Link::SIGMOID, Link::TANH].map(|link| link.with_range(1.0, 5.0).unwrap());
        Link::ALL.into_iter().chain(ranged).collect()
    }

    fn outputs() -> DMatrix<f64> {
        draws::gaussian(&mut draws::stream(1, "link", 0), 3, 200) * 3.0
    }

    fn applied(link: Link, outputs: &DMatrix<f64>) -> DMatrix<f64> {
        let mut answers = outputs.clone();
        link.apply(&mut answers);
        answers
    }

    #[test]
    fn what_was_applied_is_undone() {
        for link in links() {
            let z = if link == Link::Softmax { centred(outputs()) } else { outputs() };
            let answers = applied(link, &z);
            let undone = link.undo(&answers).unwrap();
            let allowed =
                link.amplification(&answers).unwrap() * (8.0 * f64::EPSILON * answers.amax());
            let errors = (&undone - &z).abs();
            let fine =
                errors.iter().zip(&allowed).all(|(error, allowed)| *error <= allowed + 1e-15);
            assert!(fine, "{link}: {}", errors.max());
            assert!(applied(link, &undone).relative_eq(&answers, 1e-13, 1e-13), "{link}");
        }
    }

    #[test]
    fn errors_grow_by_the_amplification_stated() {
        for link in links() {
            let answers = applied(link, &(outputs() * 0.3));
            let stated = link.amplification(&answers).unwrap();
            let h = 1e-6 * answers.min().abs();
            let z = link.undo(&answers).unwrap();
            let mut most = DMatrix::zeros(3, answers.ncols());
            for signs in 0..8 {
                let mut off = answers.clone();
                for mut column in off.column_iter_mut() {
                    for (k, p) in column.iter_mut().enumerate() {
                        *p += if signs >> k & 1 == 1 { h } else { -h };
                    }
                }
                most = (link.undo(&off).unwrap() - &z).abs().sup(&most);
            }
            let worst = (most / h - &stated).component_div(&stated).amax();
            assert!(worst < 1e-3, "{link}: {worst}");
        }
    }

    #[test]
    fn what_rounding_makes_of_the_outputs_is_known() {
        let z = DMatrix::from_fn(1, 120, |_, k| 0.6 * k as f64 - 36.0);
        for link in links().into_iter().filter(|&link| link != Link::Softmax) {
            let undone = link.undo(&link.off_the_edge(applied(link, &z))).unwrap();
            let off = |k: usize| (undone[k] - z[k]).abs() / link.rounding(z[k]);
            let worst = (0..z.len()).map(off).fold(0.0, f64::max);
            assert!(worst < 4.0, "{link}: {worst}");
        }
        // An answer near 0 tells its output, one near 1 does not.
        assert!(Link::SIGMOID.rounding(-600.0) < 1e-12 && Link::SIGMOID.rounding(40.0) > 1.0);
    }

    #[test]
    fn a_softmax_neither_overflows_nor_forgets_its_sum() {
        let z = DMatrix::from_column_slice(3, 2, &[1e300, 0.0, -1e300, 1000.0, 999.0, 998.0]);
        let p = applied(Link::Softmax, &z);
        assert_eq!(p.column(0).as_slice(), [1.0, 0.0, 0.0]);
        assert!((p.column(1).sum() - 1.0).abs() < 1e-15);
        let lone = DMatrix::from_column_slice(2, 1, &[1.0, 1e-20]);
        assert!((Link::Softmax.undo(&lone).unwrap()[0] - 10.0 * 10f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn the_edge_of_the_range_is_an_error_that_says_where() {
        for (link, edges) in [
            (Link::SIGMOID, [0.0, 1.0]),
            (Link::TANH, [-1.0, 1.5]),
            (Link::Softmax, [0.0, 1.1]),
            (Link::SIGMOID.with_range(1.0, 5.0).unwrap(), [1.0, f64::NAN]),
        ] {
            for edge in edges {
                let mut answers = applied(link, &outputs());
                answers[(1, 7)] = edge;
                let off = link.undo(&answers).unwrap_err();
                assert_eq!((off.output, off.column), (1, 7), "{link}");
                assert!(off.to_string().contains("output 2"), "{off}");
                assert!(link.amplification(&answers).is_err());
            }
        }
    }

    #[test]
    fn names_and_ranges_are_checked() {
        for link in Link::ALL {
            assert_eq!(Link::named(link.name()), Ok(link));
            assert_eq!(link.range(), None);
        }
        assert_eq!(Link::named("linear"), Ok(Link::None));
        assert!(Link::named("probit").is_err());
        assert_eq!(Link::Softmax.with_range(0.0, 2.0), Err(LinkError::Fixed("softmax")));
        for (lo, hi) in [(1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
            assert_eq!(Link::SIGMOID.with_range(lo, hi), Err(LinkError::Range));
        }
        assert_eq!(Link::Softmax.validate(1), Err(LinkError::OneOutput));
        assert_eq!(Link::TANH.with_range(1.0, 5.0).unwrap().to_string(), "tanh on (1, 5)");
    }
}
