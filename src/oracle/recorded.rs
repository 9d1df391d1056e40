//! An oracle whose answers are kept in a checkpoint.

use std::time::Instant;

use nalgebra::{DMatrix, DVector};

use super::black_box::Oracle;
use super::checkpoint::{Checkpoint, Hash};
use super::error::{OracleError, finite};
use super::log::Log;
use super::question::{Answer, Question, Wanted};
use super::view::View;

/// Seconds of work between two records.
const SLICE: f64 = 0.25;
/// Slices grow by this factor at most: a first guess at the speed may be far off.
const GROWTH: usize = 8;

/// Who turns values into derivatives, and thus what is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stencils {
    /// The black box, in a way of its own: its derivatives are recorded.
    Inner,
    /// We, from values: these are recorded, one f64 a query.
    Values,
}

/// Answers what a [`Checkpoint`] holds, in the order in which it was asked; then asks `inner`, in
/// slices of a quarter of a second, and records each before the next is asked.
///
/// A deterministic run over this oracle thus repeats itself up to where it was cut off, and goes on.
///
/// A stack that `inner` [keeps elsewhere](Oracle::keeps_stacks) stays there, and only the norms of its
/// Hessians are recorded. It is computed again when the run is repeated, without a query, and must come
/// back with the same norms.
///
/// # Errors
/// [`OracleError::Checkpoint`] if another question is asked than the one recorded, or a stack comes back
/// as another one. Answers that are not finite are errors and are not recorded: they may be asked once
/// more.
pub struct Recorded<'a> {
    inner: &'a mut dyn Oracle,
    log: Log,
    stencils: Stencils,
    /// Columns of the next slice, by kind of question.
    slices: [usize; KINDS],
    /// What values are made of, where it was said and there are several outputs.
    mixture: Option<DVector<f64>>,
}

impl<'a> Recorded<'a> {
    /// Wraps `inner`. Of several ranks that do the run together the first one has the checkpoint, which it alone reads and
    /// writes, and all of them record.
    pub fn new(
        inner: &'a mut dyn Oracle,
        checkpoint: impl Into<Option<Checkpoint>>,
        stencils: Stencils,
    ) -> Self {
        let log = Log::new(checkpoint.into(), inner.team());
        Recorded { inner, log, stencils, slices: [1; KINDS], mixture: None }
    }

    fn key(&self, question: Question<'_>) -> u64 {
        key(question, self.mixture.as_ref())
    }

    /// One answer a point, in numbers: recorded ones first, then new ones.
    fn numbers(&mut self, question: Question<'_>) -> Result<DMatrix<f64>, OracleError> {
        let points = question.points;
        let (rows, total) = (question.rows(), points.ncols());
        let mut answers = Vec::with_capacity(rows * total);
        let mut done = 0;
        // Without rows there is nothing to ask.
        while done < total && rows > 0 {
            let left = total - done;
            if let Some(record) = self.log.next()? {
                let count = record.numbers.len() / rows;
                let fits = count * rows == record.numbers.len() && (1..=left).contains(&count);
                let some = || points.columns(done, count).into_owned();
                if !fits || self.key(question.at(&some())) != record.key {
                    return Err(self.log.diverged());
                }
                answers.extend(record.numbers);
                done += count;
                continue;
            }
            let slice = &mut self.slices[kind(question.wanted)];
            let count = self.log.agreed(left.min(*slice));
            let part = points.columns(done, count).into_owned();
            let begun = Instant::now();
            let found = question.at(&part).ask(self.inner)?.into_numbers(count)?;
            let speed = count as f64 / begun.elapsed().as_secs_f64().max(1e-9);
            *slice = ((SLICE * speed) as usize).clamp(1, slice.saturating_mul(GROWTH));
            if found.len() != count * rows {
                return Err(OracleError::Count { asked: count, found: found.len() / rows });
            }
            finite(found.as_slice(), &part)?;
            let key = self.key(question.at(&part));
            self.log.append(key, found.as_slice())?;
            answers.extend(found.iter());
            done += count;
        }
        Ok(DMatrix::from_vec(rows, total, answers))
    }

    /// A stack where `inner` keeps it, and its norms in the record.
    fn stack(&mut self, question: Question<'_>) -> Result<Answer, OracleError> {
        let key = self.key(question);
        let record = self.log.next()?;
        if record.as_ref().is_some_and(|record| record.key != key) {
            return Err(self.log.diverged());
        }
        let stack = question.ask(self.inner)?.into_stack();
        let (asked, found) = (question.points.ncols(), stack.norms().len());
        if found != asked {
            return Err(OracleError::Count { asked, found });
        }
        finite(stack.norms(), question.points)?;
        match record {
            None => self.log.append(key, stack.norms())?,
            Some(record) if record.numbers == stack.norms() => {}
            Some(_) => return Err(self.log.diverged()),
        }
        Ok(Answer::Stack(stack))
    }
}

impl View for Recorded<'_> {
    fn inner(&self) -> &dyn Oracle {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Oracle {
        self.inner
    }

    fn ask(&mut self, question: Question<'_>) -> Result<Answer, OracleError> {
        if question.is_of_outputs() {
            return Ok(Answer::Numbers(self.numbers(question)?));
        }
        if self.stencils == Stencils::Values {
            return question.by_values(&mut |points| {
                let values = self.numbers(Question::values(points))?;
                Ok(DVector::from_vec(values.data.into()))
            });
        }
        let stack = matches!(question.wanted, Wanted::Stack(..));
        let some = question.rows() > 0 && question.points.ncols() > 0;
        if stack && some && self.inner.keeps_stacks() {
            return self.stack(question);
        }
        Ok(Answer::Numbers(self.numbers(question.in_numbers())?))
    }

    fn mixed(&mut self, weights: &DVector<f64>) {
        self.mixture = (self.inner.output_dim() > 1).then(|| weights.clone());
        self.inner.mix(weights);
    }

    fn differences(&self) -> bool {
        self.stencils == Stencils::Values
    }
}

const KINDS: usize = 6;

/// The number of a kind of question, a part of its [`key`].
fn kind(wanted: Wanted<'_>) -> usize {
    match wanted {
        Wanted::Values => 0,
        Wanted::Gradients(..) => 1,
        Wanted::Hessians(..) => 2,
        Wanted::Stack(..) => 3,
        Wanted::Outputs(_) => 4,
        Wanted::Parts(_) => 5,
    }
}

/// Hash of all that the answer depends on, the mixture of the outputs included where there are several.
pub(super) fn key(question: Question<'_>, mixture: Option<&DVector<f64>>) -> u64 {
    let mut hash = Hash::default();
    let matrix = |hash: &mut Hash, matrix: &DMatrix<f64>| {
        hash.words([matrix.nrows() as u64, matrix.ncols() as u64]);
        hash.numbers(matrix.as_slice());
    };
    hash.words([kind(question.wanted) as u64]);
    match question.wanted {
        Wanted::Values => {}
        Wanted::Outputs(count) | Wanted::Parts(count) => hash.words([count as u64]),
        Wanted::Gradients(directions, scheme, h) => {
            matrix(&mut hash, directions);
            hash.words([scheme as u64, h.to_bits()]);
        }
        Wanted::Hessians(directions, scheme, h) | Wanted::Stack(directions, scheme, h) => {
            matrix(&mut hash, directions);
            hash.words([scheme as u64, h.to_bits()]);
        }
    }
    matrix(&mut hash, question.points);
    if let Some(weights) = mixture {
        hash.numbers(weights.as_slice());
    }
    hash.end()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Map;

    use super::*;
    use crate::draws;
    use crate::network::{Activation, Class, TwoLayer};
    use crate::oracle::checkpoint::CheckpointError;
    use crate::oracle::network::NetworkOracle;
    use crate::stencil::{GradientScheme, HessianScheme};

    /// Counts what it is asked, and fails after so many points.
    struct Mortal {
        inner: NetworkOracle,
        lives: usize,
        asked: usize,
    }

    impl Oracle for Mortal {
        fn input_dim(&self) -> usize {
            self.inner.input_dim()
        }
        fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
            if self.asked + points.ncols() > self.lives {
                return Err(OracleError::Count { asked: points.ncols(), found: 0 });
            }
            self.asked += points.ncols();
            self.inner.values(points)
        }
    }

    fn mortal(lives: usize) -> Mortal {
        let network = TwoLayer::random((3, 4, 2), Class::General, Activation::Tanh, 1).unwrap();
        Mortal { inner: NetworkOracle::new(network), lives, asked: 0 }
    }

    fn open(folder: &Path) -> Checkpoint {
        Checkpoint::open(folder, &Map::new(), false).unwrap()
    }

    /// Some of each kind of question.
    fn conversation(oracle: &mut dyn Oracle, h: f64) -> Result<Vec<f64>, OracleError> {
        let mut rng = draws::stream(1, "conversation", 0);
        let directions = draws::gaussian(&mut rng, 3, 2);
        let mut said = Vec::new();
        for count in [1, 0, 5, 40] {
            let x = draws::gaussian(&mut rng, 3, count);
            said.extend(&oracle.values(&x)?);
            let (central, forward) = (GradientScheme::Central2, HessianScheme::Forward);
            said.extend(&oracle.gradients(&x, &directions, central, h)?);
            said.extend(&oracle.hessians(&x, &directions, forward, h)?);
            said.extend(&oracle.gradients(&x, &DMatrix::zeros(3, 0), central, h)?);
        }
        Ok(said)
    }

    #[test]
    fn a_run_that_keeps_dying_gets_there_and_asks_nothing_twice() {
        let plain = conversation(&mut mortal(usize::MAX), 0.1).unwrap();
        let total = {
            let mut oracle = mortal(usize::MAX);
            conversation(&mut oracle, 0.1).unwrap();
            oracle.asked
        };
        for stencils in [Stencils::Inner, Stencils::Values] {
            let folder = tempfile::tempdir().unwrap();
            let (mut asked, mut lives) = (0, 0);
            let said = loop {
                // Lives long enough for the largest question, and dies at another place each time.
                let mut oracle = mortal(450);
                lives += 1;
                let checkpoint = open(folder.path());
                let mut recorded = Recorded::new(&mut oracle, checkpoint, stencils);
                let said = conversation(&mut recorded, 0.1);
                asked += oracle.asked;
                match said {
                    Ok(said) => break said,
                    Err(OracleError::Count { .. }) => assert!(lives < 10),
                    Err(error) => panic!("{error}"),
                }
            };
            assert_eq!(said, plain);
            assert!(lives > 1 && asked == total, "{lives} lives, {asked} of {total} asked");
            // All of it again, from the checkpoint alone.
            let mut oracle = mortal(0);
            let mut recorded = Recorded::new(&mut oracle, open(folder.path()), stencils);
            assert_eq!(conversation(&mut recorded, 0.1).unwrap(), plain);
        }
    }

    #[test]
    fn another_question_is_noticed() {
        for stencils in [Stencils::Inner, Stencils::Values] {
            let folder = tempfile::tempdir().unwrap();
            let mut oracle = mortal(usize::MAX);
            let mut recorded = Recorded::new(&mut oracle, open(folder.path()), stencils);
            conversation(&mut recorded, 0.1).unwrap();
            drop(recorded);
            let mut recorded = Recorded::new(&mut oracle, open(folder.path()), stencils);
            let diverged = conversation(&mut recorded, 0.1 + 1e-16);
            let Err(OracleError::Checkpoint(error)) = diverged else { panic!("{diverged:?}") };
            assert!(matches!(error, CheckpointError::Diverged { record: 2, .. }), "{error}");
        }
    }

    #[test]
    fn what_is_not_finite_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut oracle = mortal(usize::MAX);
        let mut recorded = Recorded::new(&mut oracle, open(folder.path()), Stencils::Inner);
        let mut points = DMatrix::zeros(3, 20);
        points[(0, 12)] = f64::NAN;
        let refused = recorded.values(&points);
        assert!(matches!(refused, Err(OracleError::NotFinite { .. })), "{refused:?}");
        drop(recorded);
        // The black box has recovered: the same points with another answer for the rest.
        let mut recorded = Recorded::new(&mut oracle, open(folder.path()), Stencils::Inner);
        assert!(recorded.values(&points).is_err());
        assert!(oracle.asked > 20 && oracle.asked < 40, "{}", oracle.asked);
    }
}
