//! How an attempt ended, the rule for the verdict, and the choice among attempts.

use super::certify::Certificate;
use super::remedy::Remedy;
use super::tolerances::MOST_BOUND;
use crate::identify::evidence::Evidence;
use crate::identify::failure::{Failure, Halt};
use crate::identify::{Solution, Status};
use crate::network::{Network, TwoLayer};
use crate::oracle::{OracleError, StageUse};
use crate::stage::Stage;

/// What came of one way through the stages.
#[derive(Clone)]
pub struct Outcome<N = TwoLayer> {
    pub status: Status,
    pub reason: String,
    /// What may help, unless it is identified.
    pub remedy: Option<Remedy>,
    pub network: Option<N>,
    pub certificate: Option<Certificate>,
    /// Networks that the values cannot tell from it.
    pub plausible: Vec<N>,
}

impl<N> Outcome<N> {
    /// No network.
    pub fn none(failure: &Failure) -> Self {
        Outcome {
            status: Status::NotIdentified,
            reason: failure.to_string(),
            remedy: Some(Remedy::of_stage(failure.stage)),
            network: None,
            certificate: None,
            plausible: Vec::new(),
        }
    }

    /// Nothing was looked for.
    pub fn nothing() -> Self {
        Outcome::none(&Failure::new(Stage::Outputs, "no network was looked for"))
    }

    /// The verdict on a fitted network: `tolerance` is the largest bound on the parameter error of an
    /// identified one, and `accepted` says whether its widths are those given.
    pub fn judge(network: N, certificate: Certificate, tolerance: f64, accepted: bool) -> Self {
        let bound = certificate.error_bound;
        let (status, reason, remedy) = if let Some(difference) = difference(&certificate) {
            (Status::Approximate, difference, Some(of_difference(&certificate)))
        } else if bound > MOST_BOUND {
            let reason = "the values do not determine the parameters: at their accuracy the Jacobian is singular";
            (Status::Approximate, reason.to_owned(), Some(Remedy::Undetermined))
        } else if bound > tolerance {
            let reason = format!(
                "values of an accuracy of {:.1e} allow a parameter error of {bound:.2e}: \
                 within a tolerance of {:.0e} it would be identified",
                certificate.sigma,
                next_digit(bound)
            );
            (Status::Approximate, reason, Some(Remedy::LargerTolerance))
        } else if !accepted {
            let reason = "other widths were found than those given";
            (Status::NotIdentified, reason.to_owned(), Some(Remedy::OtherWidths))
        } else {
            (Status::Identified, "held-out residual at the oracle's accuracy".to_owned(), None)
        };
        Outcome {
            status,
            reason,
            remedy,
            network: Some(network),
            certificate: Some(certificate),
            plausible: Vec::new(),
        }
    }

    /// The same of the network that `of` makes of this one.
    pub fn map<M>(self, of: impl Fn(N) -> M) -> Outcome<M> {
        let Outcome { status, reason, remedy, network, certificate, plausible } = self;
        let plausible = plausible.into_iter().map(&of).collect();
        Outcome { status, reason, remedy, network: network.map(&of), certificate, plausible }
    }

    /// Would another way through the stages end here too? An identified network, and one that agrees
    /// with all values but that they do not determine more closely.
    pub fn is_final(&self) -> bool {
        let determined = |c: &Certificate| c.at_accuracy() && c.error_bound <= MOST_BOUND;
        match self.status {
            Status::Identified => true,
            Status::Approximate => self.certificate.as_ref().is_some_and(determined),
            Status::NotIdentified => false,
        }
    }

    /// Did a limit on queries, time or domain end it?
    pub fn is_limited(&self) -> bool {
        self.status == Status::NotIdentified && self.remedy.is_some_and(Remedy::is_of_limit)
    }

    /// Better evidence first.
    pub fn better_than(&self, other: &Self) -> bool {
        let rank = |o: &Self| match &o.certificate {
            _ if o.status == Status::Identified => (0, 0.0),
            Some(c) if c.at_accuracy() => (1, c.error_bound),
            Some(c) => (2, c.residual),
            None => (3, 0.0),
        };
        rank(self) < rank(other)
    }

    /// Failures and the limits (queries, time, domain) are results of the run, reached in `stage`; what is
    /// left is a broken oracle.
    pub fn settle(result: Result<Self, Halt>, stage: Stage) -> Result<Self, OracleError> {
        match result {
            Ok(outcome) => Ok(outcome),
            Err(Halt::Failed(failure)) => Ok(Outcome::none(&failure)),
            Err(Halt::Oracle(error)) if error.is_limit() => {
                let remedy = match error {
                    OracleError::Budget { .. } => Remedy::MoreQueries,
                    OracleError::TimeLimit(_) => Remedy::MoreTime,
                    OracleError::Link { .. } => Remedy::OtherLink,
                    _ => Remedy::LargerDomain,
                };
                let outcome = Outcome::none(&Failure::new(stage, error.to_string()));
                Ok(Outcome { remedy: Some(remedy), ..outcome })
            }
            Err(Halt::Oracle(error)) => Err(error),
        }
    }
}

impl Outcome<Network> {
    /// With what the run counted and saw.
    pub fn into_solution(
        self,
        (depth, widths): (usize, Option<Vec<usize>>),
        oracle_accuracy: Option<f64>,
        queries: u64,
        stages: Vec<StageUse>,
        evidence: Evidence,
    ) -> Solution {
        let certificate = self.certificate.as_ref();
        Solution {
            status: self.status,
            reason: self.reason,
            remedy: self.remedy,
            residual: certificate.map(|c| c.residual),
            // Where the black box is not this network, how far the parameters are off is undefined.
            parameter_error_bound: certificate
                .filter(|c| c.at_accuracy())
                .map(|c| c.error_bound)
                .filter(|&bound| bound <= MOST_BOUND),
            depth,
            widths,
            network: self.network,
            oracle_accuracy,
            queries,
            stages,
            evidence,
        }
    }
}

/// How the black box differs from the network, if it does by more than the errors of its values.
fn difference(certificate: &Certificate) -> Option<String> {
    let Certificate { residual, held_out, deviating, excess, mean_excess, sigma, accuracy, .. } =
        certificate;
    if certificate.at_accuracy() {
        None
    } else if !certificate.fits() {
        Some(format!(
            "the fit leaves {sigma:.2e}, {:.1e} times the accuracy of the values; held-out residual {residual:.2e}",
            sigma / accuracy
        ))
    } else if certificate.all_but_a_few() {
        Some(format!(
            "{deviating} of {held_out} held-out points deviate by up to {residual:.2e}, {excess:.1e} times what their \
             accuracy allows, and the others agree: the black box differs from this network at up to {:.1e} of all \
             points",
            certificate.deviating_share_below()
        ))
    } else {
        Some(format!(
            "held-out residual {residual:.2e} is {excess:.1e} times what the accuracy of the values allows, {mean_excess:.1} \
             times in the mean over points of some distance"
        ))
    }
}

/// Where the black box differs from the network.
fn of_difference(certificate: &Certificate) -> Remedy {
    if certificate.fits() && certificate.all_but_a_few() {
        Remedy::ErringBlackBox
    } else {
        Remedy::MoreAttempts
    }
}

/// The least number of one significant digit that is not below a finite `x` > 0.
fn next_digit(x: f64) -> f64 {
    let unit = 10f64.powf(x.log10().floor());
    (x / unit).ceil() * unit
}

/// Tries `choices` in turn until one is final; else the best outcome, else the first failure. A limit
/// that is reached ends the trials, and what was found before it still counts.
pub fn first_identified<T, N>(
    choices: impl IntoIterator<Item = T>,
    mut outcome_of: impl FnMut(T) -> Result<Outcome<N>, Halt>,
) -> Result<Outcome<N>, Halt> {
    let mut best: Option<Outcome<N>> = None;
    let mut first = None;
    for choice in choices {
        match outcome_of(choice) {
            Ok(outcome) if outcome.is_final() => return Ok(outcome),
            Ok(outcome) if best.as_ref().is_none_or(|b| outcome.better_than(b)) => {
                best = Some(outcome);
            }
            Ok(_) => {}
            Err(Halt::Failed(failure)) => first = first.or(Some(failure)),
            Err(Halt::Oracle(error)) if error.is_limit() && best.is_some() => break,
            Err(halt) => return Err(halt),
        }
    }
    let nothing = || Failure::new(Stage::Start, "nothing was tried");
    best.ok_or_else(|| first.unwrap_or_else(nothing).into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn approximate() -> Outcome<u8> {
        let (status, reason) = (Status::Approximate, "nearly".to_owned());
        Outcome {
            status,
            reason,
            remedy: None,
            network: Some(7),
            certificate: None,
            plausible: Vec::new(),
        }
    }

    fn limits() -> [OracleError; 3] {
        [
            OracleError::TimeLimit(Duration::from_millis(1500)),
            OracleError::OutsideDomain { norm: 2.0, limit: 1.0 },
            OracleError::Budget { limit: 9, used: 8, wanted: 2, stage: Stage::Stack },
        ]
    }

    fn certificate(error_bound: f64) -> Certificate {
        Certificate {
            residual: 4e-8,
            held_out: 4000,
            deviating: 0,
            excess: 3.5,
            mean_excess: 1.0,
            sigma: 1e-8,
            accuracy: 1.1e-8,
            error_bound,
        }
    }

    #[test]
    fn the_verdict_follows_the_certificate() {
        let judge = |certificate, accepted| Outcome::judge(7u8, certificate, 1e-6, accepted);
        let good = judge(certificate(3e-7), true);
        assert!(good.status == Status::Identified && good.is_final());
        let clash = judge(certificate(3e-7), false);
        assert!(clash.status == Status::NotIdentified && !clash.is_final());

        let open = judge(certificate(4.1e-6), true);
        assert!(open.status == Status::Approximate && open.is_final());
        assert!(open.reason.contains("accuracy of 1.0e-8"), "{}", open.reason);
        assert!(open.reason.contains("within a tolerance of 5e-6"), "{}", open.reason);
        let singular = judge(certificate(f64::INFINITY), true);
        assert!(singular.status == Status::Approximate && !singular.is_final());

        let wrong = |certificate| {
            let outcome = judge(certificate, true);
            assert!(outcome.status == Status::Approximate && !outcome.is_final());
            assert!(good.better_than(&open) && open.better_than(&outcome));
            outcome.reason
        };
        let misfit = wrong(Certificate { sigma: 1e-7, ..certificate(3e-7) });
        assert!(misfit.contains("9.1e0 times the accuracy"), "{misfit}");
        let few = wrong(Certificate { deviating: 1, excess: 1e4, ..certificate(3e-7) });
        assert!(few.contains("1 of 4000") && few.contains("up to 1.2e-3 of all"), "{few}");
        let many = wrong(Certificate { deviating: 400, excess: 1e4, ..certificate(3e-7) });
        assert!(many.contains("1.0e4 times"), "{many}");
        let slight = wrong(Certificate { mean_excess: 2.0, ..certificate(3e-7) });
        assert!(slight.contains("2.0 times in the mean"), "{slight}");
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
            let settled = Outcome::<u8>::settle(Err(limit.into()), Stage::Refine).unwrap();
            assert_eq!(settled.status, Status::NotIdentified);
            assert!(settled.reason.ends_with(&reason), "{}", settled.reason);
        }
        let late = OracleError::TimeLimit(Duration::from_millis(1500));
        let settled = Outcome::<u8>::settle(Err(late.into()), Stage::Refine).unwrap();
        assert_eq!(settled.reason, "refine: the time limit of 1.5 s is reached");
        let broken = OracleError::Count { asked: 2, found: 1 };
        assert!(Outcome::<u8>::settle(Err(broken.into()), Stage::Refine).is_err());
    }
}
