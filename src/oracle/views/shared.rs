//! One black box a rank: every question is cut into shares, and every rank sees all answers.

use std::time::Duration;

use nalgebra::DMatrix;

use crate::oracle::black_box::Oracle;
use crate::oracle::error::OracleError;
use crate::oracle::question::{Answer, Question, Wanted};
use crate::oracle::recorded::key;
use crate::oracle::view::View;
use crate::ranks::{Team, as_bytes, to_numbers};

/// Gradients at fewer points a rank than this are cut by direction: shares by point would differ too much.
const POINTS_EACH: usize = 8;

/// The black boxes of all ranks as one. All ranks ask the same questions in the same order; each answers its share of the
/// points, and the answers of all are put together in the order of the points.
///
/// The answers are those of one black box alone, to the last bit, if the ranks' black boxes are equal and answer a point the same
/// whatever is asked with it. Stacks of Hessians are in the memory of every rank, also where the black box could keep them elsewhere.
///
/// # Errors
/// [`OracleError::Rank`] on all ranks where one of them fails, or asks something else than the first one.
pub struct Shared<'a> {
    inner: &'a mut dyn Oracle,
    team: Team,
}

impl<'a> Shared<'a> {
    /// Shares questions to `inner` among the ranks of `team`.
    pub fn new(inner: &'a mut dyn Oracle, team: Team) -> Self {
        Shared { inner, team }
    }

    /// The answers to this rank's share, and those of all ranks, in their order.
    fn exchange(
        &self,
        key: u64,
        own: Result<DMatrix<f64>, OracleError>,
    ) -> Result<Vec<Vec<f64>>, OracleError> {
        let said = self.team.gather(&encode(key, own));
        let ranks = said.iter().enumerate();
        let asked = |said: &[u8]| said.first_chunk::<8>().copied();
        let first = said.iter().next().and_then(asked);
        let strayed = ranks.clone().find(|(_, said)| asked(said) != first);
        if let Some((rank, _)) = strayed {
            let reason =
                "asks something else than rank 0: their machines compute differently".to_owned();
            return Err(OracleError::Rank { rank, reason });
        }
        ranks.map(|(rank, said)| decode(rank, &said[8..])).collect()
    }

    /// The numbers that answer a question, by point.
    fn by_point(&mut self, question: Question<'_>) -> Result<DMatrix<f64>, OracleError> {
        let (rows, asked) = (question.rows(), question.points.ncols());
        let share = self.team.share(asked);
        let own = question.points.columns(share.start, share.len()).into_owned();
        let own = ask(self.inner, question.at(&own));
        let answers = self.exchange(key(question, None), own)?.concat();
        Ok(DMatrix::from_vec(rows, asked, answers))
    }

    /// Gradients, by direction.
    fn by_direction(
        &mut self,
        question: Question<'_>,
        directions: &DMatrix<f64>,
    ) -> Result<DMatrix<f64>, OracleError> {
        let asked = question.points.ncols();
        let share = self.team.share(directions.ncols());
        let own = directions.columns(share.start, share.len()).into_owned();
        let own = ask(self.inner, question.along(question.points, &own));
        let answers = self.exchange(key(question, None), own)?;
        let mut all = DMatrix::zeros(directions.ncols(), asked);
        let mut first = 0;
        for answer in answers.into_iter().filter(|answer| !answer.is_empty()) {
            let part = DMatrix::from_vec(answer.len() / asked, asked, answer);
            all.rows_mut(first, part.nrows()).copy_from(&part);
            first += part.nrows();
        }
        Ok(all)
    }
}

/// Asks for numbers, as many as are due.
fn ask(inner: &mut dyn Oracle, question: Question<'_>) -> Result<DMatrix<f64>, OracleError> {
    let (rows, asked) = (question.rows(), question.points.ncols());
    if rows * asked == 0 {
        return Ok(DMatrix::zeros(rows, asked));
    }
    let found = question.ask(inner)?.into_numbers(asked)?;
    if found.len() == rows * asked {
        return Ok(found);
    }
    Err(OracleError::Count { asked, found: found.len() / rows })
}

const ANSWERED: u8 = 0;
const LATE: u8 = 1;
const FAILED: u8 = 2;

fn encode(key: u64, own: Result<DMatrix<f64>, OracleError>) -> Vec<u8> {
    let said = |kind: u8, rest: &[u8]| [&key.to_le_bytes()[..], &[kind], rest].concat();
    match own {
        Ok(numbers) => said(ANSWERED, as_bytes(numbers.as_slice())),
        Err(OracleError::TimeLimit(limit)) => said(LATE, as_bytes(&[limit.as_secs_f64()])),
        Err(error) => said(FAILED, error.to_string().as_bytes()),
    }
}

fn decode(rank: usize, said: &[u8]) -> Result<Vec<f64>, OracleError> {
    match (said[0], &said[1..]) {
        (ANSWERED, numbers) => Ok(to_numbers(numbers)),
        (LATE, limit) => {
            let seconds = to_numbers(limit).first().copied().unwrap_or(0.0);
            Err(OracleError::TimeLimit(Duration::from_secs_f64(seconds)))
        }
        (_, reason) => {
            let reason = String::from_utf8_lossy(reason).into_owned();
            Err(OracleError::Rank { rank, reason })
        }
    }
}

impl View for Shared<'_> {
    fn inner(&self) -> &dyn Oracle {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Oracle {
        self.inner
    }

    fn ranks(&self) -> Team {
        self.team.clone()
    }

    fn stacks_stay(&self) -> bool {
        false
    }

    fn ask(&mut self, question: Question<'_>) -> Result<Answer, OracleError> {
        let question = question.in_numbers();
        let few = question.points.ncols() < POINTS_EACH * self.team.count();
        let answer = match question.wanted {
            Wanted::Gradients(directions, ..) if few => self.by_direction(question, directions),
            _ => self.by_point(question),
        };
        answer.map(Answer::Numbers)
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::DVector;

    use super::*;
    use crate::draws;
    use crate::network::{Activation, Class, Network};
    use crate::oracle::cpu::CpuOracle;
    use crate::oracle::function::FnOracle;
    use crate::oracle::{Backend, Deadline, NetworkOracle, Precision};
    use crate::ranks::threads::together;
    use crate::stencil::{GradientScheme, HessianScheme};

    fn points(d: usize, count: usize) -> DMatrix<f64> {
        draws::gaussian(&mut draws::stream(1, "shared", count as u64), d, count)
    }

    /// The numbers that answer all kinds of questions, of sizes that leave ranks idle, and that do not divide.
    fn answers(f: &mut dyn Oracle) -> Vec<u64> {
        let mut all = Vec::new();
        let directions = points(5, 3);
        for count in [0, 1, 2, 7, 40] {
            let x = points(5, count);
            all.extend(f.values(&x).unwrap().iter().copied());
            all.extend(f.outputs(&x).unwrap().iter().copied());
            for scheme in [GradientScheme::Central2, GradientScheme::Central4] {
                all.extend(f.gradients(&x, &directions, scheme, 1e-3).unwrap().iter().copied());
            }
            all.extend(
                f.hessians(&x, &directions, HessianScheme::Richardson, 1e-2).unwrap().iter(),
            );
            let stack = f.hessian_stack(&x, &directions, HessianScheme::Forward, 1e-2).unwrap();
            all.extend(stack.norms());
        }
        all.into_iter().map(f64::to_bits).collect()
    }

    #[test]
    fn answers_are_those_of_one_black_box_to_the_last_bit() {
        for outputs in [1, 3] {
            let network =
                Network::random(&[5, 37, 4], outputs, Class::General, Activation::Tanh, 1).unwrap();
            let fused = || CpuOracle::new(network.clone(), Backend::Cpu, Precision::F64).unwrap();
            let plain = || NetworkOracle::new(network.clone());
            let weights = DVector::from_fn(outputs, |k, _| 1.0 + k as f64);
            let of = |f: &mut dyn Oracle| {
                f.mix(&weights);
                answers(f)
            };
            for ranks in 1..=4 {
                let shared = |team: Team| {
                    [
                        of(&mut Shared::new(&mut fused(), team.clone())),
                        of(&mut Shared::new(&mut plain(), team)),
                    ]
                };
                let alone = [of(&mut fused()), of(&mut plain())];
                assert!(together(ranks, shared).iter().all(|answers| *answers == alone), "{ranks}");
            }
        }
    }

    fn failures(ranks: usize, fails: impl Fn(usize) -> Option<OracleError> + Sync) -> Vec<String> {
        together(ranks, |team| {
            let rank = team.rank();
            let mut inner = FnOracle::fallible(2, 1, |x| {
                fails(rank).map_or_else(|| Ok(x.rows(0, 1).into_owned()), Err)
            });
            let mut shared = Shared::new(&mut inner, team);
            shared.values(&points(2, 9)).map_or_else(|error| error.to_string(), |_| String::new())
        })
    }

    #[test]
    fn a_failure_on_one_rank_ends_all_with_its_name() {
        let count = || OracleError::Count { asked: 3, found: 2 };
        let said = failures(3, |rank| (rank > 0).then(count));
        assert_eq!(said, vec!["rank 1: the oracle answered 2 values where 3 are due"; 3]);
        let late = || Deadline::after(Duration::from_millis(1500)).error();
        let said = failures(2, |rank| (rank == 1).then(late));
        assert_eq!(said, vec![late().to_string(); 2]);
    }

    #[test]
    fn ranks_that_diverge_are_named() {
        let said = together(3, |team| {
            let mut x = points(2, 9);
            x[3] += if team.rank() == 2 { 1e-15 } else { 0.0 };
            let mut inner = FnOracle::new(2, |x: &[f64]| x[0]);
            Shared::new(&mut inner, team).values(&x).unwrap_err().to_string()
        });
        assert!(
            said.iter().all(|said| said.starts_with("rank 2: asks something else")),
            "{said:?}"
        );
    }
}
