//! How an attempt ended, the rule for the verdict, and the choice among attempts.

use super::certify::Certificate;
use super::{Evidence, Failure, Halt, Solution, Status};
use crate::network::Network;
use crate::oracle::{OracleError, StageUse};

/// What came of one way through the stages.
pub struct Outcome<N = Network> {
    pub status: Status,
    pub reason: String,
    pub network: Option<N>,
    pub certificate: Option<Certificate>,
}

impl<N> Outcome<N> {
    /// No network.
    pub fn none(failure: &Failure) -> Self {
        Outcome {
            status: Status::NotIdentified,
            reason: failure.to_string(),
            network: None,
            certificate: None,
        }
    }

    /// The verdict on a fitted network: `tolerance` is the largest bound on the parameter error of an
    /// identified one, and `accepted` says whether its widths are those given.
    pub fn judge(network: N, certificate: Certificate, tolerance: f64, accepted: bool) -> Self {
        let bound = certificate.error_bound;
        let (status, reason) = if !certificate.at_accuracy() {
            (
                Status::Approximate,
                format!(
                    "held-out residual {:.2e} is {:.1e} times the accuracy of the values",
                    certificate.residual, certificate.excess
                ),
            )
        } else if !bound.is_finite() {
            (Status::Approximate, "the Jacobian is singular to working precision".to_owned())
        } else if bound > tolerance {
            (Status::Approximate, format!("the values allow a parameter error of {bound:.2e} only"))
        } else if !accepted {
            (Status::NotIdentified, "other widths were found than those given".to_owned())
        } else {
            (Status::Identified, "held-out residual at the oracle's accuracy".to_owned())
        };
        Outcome { status, reason, network: Some(network), certificate: Some(certificate) }
    }

    /// Better evidence first.
    pub fn better_than(&self, other: &Self) -> bool {
        let rank = |o: &Self| match (o.status, &o.certificate) {
            (Status::Identified, _) => f64::NEG_INFINITY,
            (_, Some(c)) => c.residual,
            (_, None) => f64::INFINITY,
        };
        rank(self) < rank(other)
    }

    /// Failures and the limits (queries, time, domain) are results of the run, reached in `stage`; what is
    /// left is a broken oracle.
    pub fn settle(result: Result<Self, Halt>, stage: &'static str) -> Result<Self, OracleError> {
        match result {
            Ok(outcome) => Ok(outcome),
            Err(Halt::Failed(failure)) => Ok(Outcome::none(&failure)),
            Err(Halt::Oracle(error @ OracleError::Budget { .. })) => {
                Ok(Outcome::none(&Failure::new("budget", error.to_string())))
            }
            Err(Halt::Oracle(error)) if error.is_limit() => {
                Ok(Outcome::none(&Failure::new(stage, error.to_string())))
            }
            Err(Halt::Oracle(error)) => Err(error),
        }
    }

    /// With what the run counted and saw.
    pub fn into_solution<W>(
        self,
        widths: Option<W>,
        oracle_accuracy: Option<f64>,
        queries: u64,
        stages: Vec<StageUse>,
        evidence: Evidence,
    ) -> Solution<N, W> {
        let certificate = self.certificate.as_ref();
        Solution {
            status: self.status,
            reason: self.reason,
            residual: certificate.map(|c| c.residual),
            parameter_error_bound: certificate.map(|c| c.error_bound).filter(|b| b.is_finite()),
            widths,
            network: self.network,
            oracle_accuracy,
            queries,
            stages,
            evidence,
        }
    }
}

/// Tries `choices` in turn until one is identified; else the best outcome, else the last failure. A limit
/// that is reached ends the trials, and what was found before it still counts.
pub fn first_identified<T, N>(
    choices: impl IntoIterator<Item = T>,
    mut outcome_of: impl FnMut(T) -> Result<Outcome<N>, Halt>,
) -> Result<Outcome<N>, Halt> {
    let mut best: Option<Outcome<N>> = None;
    let mut last = Failure::new("start", "nothing was tried");
    for choice in choices {
        match outcome_of(choice) {
            Ok(outcome) if outcome.status == Status::Identified => return Ok(outcome),
            Ok(outcome) if best.as_ref().is_none_or(|b| outcome.better_than(b)) => {
                best = Some(outcome);
            }
            Ok(_) => {}
            Err(Halt::Failed(failure)) => last = failure,
            Err(Halt::Oracle(error)) if error.is_limit() && best.is_some() => break,
            Err(halt) => return Err(halt),
        }
    }
    best.ok_or_else(|| last.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn approximate() -> Outcome<u8> {
        let (status, reason) = (Status::Approximate, "nearly".to_owned());
        Outcome { status, reason, network: Some(7), certificate: None }
    }

    fn limits() -> [OracleError; 3] {
        [
            OracleError::TimeLimit(Duration::from_millis(1500)),
            OracleError::OutsideDomain { norm: 2.0, limit: 1.0 },
            OracleError::Budget { limit: 9, used: 8, wanted: 2, stage: "stack".to_owned() },
        ]
    }

    #[test]
    fn a_limit_leaves_what_was_found_before_it() {
        for limit in limits() {
            let mut ways = vec![Err(limit.into()), Ok(approximate())];
            let best = first_identified(0..3, |_| ways.pop().expect("nothing is tried after it"));
            assert_eq!(best.unwrap().network, Some(7));
        }
    }

    #[test]
    fn a_limit_alone_is_a_result_and_a_broken_oracle_is_not() {
        for limit in limits() {
            let reason = limit.to_string();
            let settled = Outcome::<u8>::settle(Err(limit.into()), "refine").unwrap();
            assert_eq!(settled.status, Status::NotIdentified);
            assert!(settled.reason.ends_with(&reason), "{}", settled.reason);
        }
        let late = OracleError::TimeLimit(Duration::from_millis(1500));
        let settled = Outcome::<u8>::settle(Err(late.into()), "refine").unwrap();
        assert_eq!(settled.reason, "refine: the time limit of 1.5 s is reached");
        let broken = OracleError::Count { asked: 2, found: 1 };
        assert!(Outcome::<u8>::settle(Err(broken.into()), "refine").is_err());
    }
}
