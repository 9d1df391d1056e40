//! Which kind of network the black box is: what its outputs went through last, and how many hidden layers it has.
//!
//! A network of one hidden layer whose outputs went through a sigmoid or a tanh is one of two, whose second layer has a unit
//! for each output. It is found as such, also where a link that was undone would leave nothing of values near its limits.

use nalgebra::DMatrix;

use super::error::IdentifyError;
use super::run::{Run, in_domain};
use super::settings::{FirstLayer, Pipeline, Settings};
use super::tolerances::{LIMITS_ERRORS, SUM_OF_SHARES};
use super::verdict::outcome::Outcome;
use super::verdict::solution::{Solution, Status};
use super::{SettingsError, entangled, shallow, wide};
use crate::network::{Activation, Link, Network};
use crate::oracle::{Linked, Observer, Oracle, OracleError};
use crate::stage::Stage;

/// Identifies the network behind `oracle` from values alone: of one hidden layer or of two, and with the link that it has,
/// as far as the settings do not tell.
///
/// # Errors
/// Only if the oracle fails (an answer that is not finite, a dead process) or the settings do not
/// [fit](Settings::depths). The limits on queries and time, the end of the domain and every failure to identify are
/// results.
pub fn identify(
    oracle: &mut dyn Oracle,
    settings: &Settings,
    observer: &mut dyn Observer,
) -> Result<Solution, IdentifyError> {
    let depths = settings.depths(oracle.input_dim())?;
    if let Some(link) = settings.link {
        link.validate(oracle.output_dim()).map_err(SettingsError::Link)?;
    }
    let kinds = Kinds { settings, depths, link: Link::None, first_attempt: 0, seen: None };
    Ok(in_domain(oracle, settings, |oracle| kinds.identify(oracle, observer))?)
}

/// The kinds of network that are looked for.
struct Kinds<'s> {
    settings: &'s Settings,
    /// Numbers of hidden layers.
    depths: &'static [usize],
    /// What is undone before values are had.
    link: Link,
    /// Those before it were made.
    first_attempt: u64,
    /// All outputs as they are at points of many scales, if they are known.
    seen: Option<&'s DMatrix<f64>>,
}

impl Kinds<'_> {
    fn identify(
        &self,
        oracle: &mut dyn Oracle,
        observer: &mut dyn Observer,
    ) -> Result<Solution, OracleError> {
        match self.settings.link {
            None => self.of_any_link(oracle, observer),
            Some(Link::None) => self.of_any_depth(oracle, observer, None),
            Some(link) => {
                let undone = self.undone(oracle, observer, (link, None))?;
                let over =
                    is_over(&undone) || link == Link::Softmax || self.settings.depth == Some(2);
                if over {
                    return Ok(undone);
                }
                let behind = self.behind(oracle, observer, (Some(link), &undone))?;
                Ok(better(undone, behind))
            }
        }
    }

    /// The link is what the values allow. As the values are it is tried once before one is undone, then as often as is
    /// left.
    fn of_any_link(
        &self,
        oracle: &mut dyn Oracle,
        observer: &mut dyn Observer,
    ) -> Result<Solution, OracleError> {
        let (mut before, mut answers) = (None, None);
        if oracle.output_dim() > 1 {
            let (look, seen) = self.look(oracle, observer, None)?;
            let knowing = Kinds { seen: seen.as_ref(), ..*self };
            if seen.as_ref().is_some_and(are_shares) {
                return knowing.undone(oracle, observer, (Link::Softmax, Some(&look)));
            }
            let soon = match seen.as_ref().and_then(may_be_behind) {
                Some(link) if self.depths.contains(&1) => {
                    knowing.one_undone(oracle, observer, (link, look))?
                }
                _ => look,
            };
            if is_over(&soon) {
                return Ok(soon);
            }
            (before, answers) = (Some(soon), seen);
        }
        let once = Settings { attempts: 1, ..self.settings.clone() };
        let first = Kinds { settings: &once, seen: answers.as_ref(), ..*self };
        let mut best = first.as_it_is(oracle, observer, before.as_ref())?;
        if is_over(&best) || best.queries == 0 {
            return Ok(best);
        }
        if answers.is_none() {
            let (look, seen) = self.look(oracle, observer, Some(&best))?;
            (best, answers) = (after(&look, best), seen);
        }
        let knowing = Kinds { seen: answers.as_ref(), ..*self };
        if let Some(link) = answers.as_ref().and_then(may_be_behind) {
            best = knowing.guessed(oracle, observer, (link, best))?;
        }
        if is_over(&best) || self.settings.attempts <= 1 {
            return Ok(best);
        }
        let later = Kinds { first_attempt: 1, ..knowing };
        let rest = later.as_it_is(oracle, observer, Some(&best))?;
        Ok(better(best, rest))
    }

    /// With no link undone; one that is the second of two layers shows there.
    fn as_it_is(
        &self,
        oracle: &mut dyn Oracle,
        observer: &mut dyn Observer,
        before: Option<&Solution>,
    ) -> Result<Solution, OracleError> {
        let several = oracle.output_dim() > 1;
        let found = self.of_any_depth(oracle, observer, before)?;
        let found =
            if several && self.depths.contains(&2) { simplified(found, None) } else { found };
        if is_over(&found) || !several || self.depths != [1] {
            return Ok(found);
        }
        Ok(better(self.behind(oracle, observer, (None, &found))?, found))
    }

    /// With a `link` undone that was only guessed, and must prove itself; `best` is what was found without.
    fn guessed(
        &self,
        oracle: &mut dyn Oracle,
        observer: &mut dyn Observer,
        (link, best): (Link, Solution),
    ) -> Result<Solution, OracleError> {
        match self.undone(oracle, observer, (link, Some(&best))) {
            // Some value farther out was not within the limits: it is no such link.
            Err(OracleError::Link { .. }) => Ok(best),
            undone => Ok(match undone? {
                undone if undone.status == Status::Identified => undone,
                undone => better(best, Solution { status: Status::NotIdentified, ..undone }),
            }),
        }
    }

    /// As two layers, of which the second is the link: `told`, or any.
    fn behind(
        &self,
        oracle: &mut dyn Oracle,
        observer: &mut dyn Observer,
        (told, before): (Option<Link>, &Solution),
    ) -> Result<Solution, OracleError> {
        let of_link = told.and_then(|link| match link {
            Link::Sigmoid { .. } => Some(Activation::Sigmoid),
            Link::Tanh { .. } => Some(Activation::Tanh),
            Link::None | Link::Softmax => None,
        });
        let settings = Settings {
            depth: Some(2),
            width: None,
            second_activation: self.settings.activation.and(of_link),
            ..self.settings.clone()
        };
        let kinds = Kinds { settings: &settings, depths: &[2], link: Link::None, ..*self };
        let found = kinds.of_any_depth(oracle, observer, Some(before))?;
        let found = simplified(found, told);
        if found.network.as_ref().is_some_and(|found| found.link != Link::None) {
            return Ok(found);
        }
        let reason = format!("{}, as two hidden layers: {}", before.reason, found.reason);
        let (status, network) = (Status::NotIdentified, None);
        Ok(Solution { status, reason, network, remedy: before.remedy, depth: 1, ..found })
    }

    /// Without a link.
    fn undone(
        &self,
        oracle: &mut dyn Oracle,
        observer: &mut dyn Observer,
        (link, before): (Link, Option<&Solution>),
    ) -> Result<Solution, OracleError> {
        let mut linked = Linked::new(oracle, link);
        let found = Kinds { link, ..*self }.of_any_depth(&mut linked, observer, before)?;
        Ok(behind_link(found, link))
    }

    /// Without a link, one hidden layer, if it may be one then: that is soon told.
    fn one_undone(
        &self,
        oracle: &mut dyn Oracle,
        observer: &mut dyn Observer,
        (link, before): (Link, Solution),
    ) -> Result<Solution, OracleError> {
        let kinds = Kinds { link, ..*self };
        let mut linked = Linked::new(oracle, link);
        let mut run = kinds.run(&mut linked, observer, Some(&before));
        let may_be_one = run.mix().and_then(|()| run.may_be_one_layer());
        let outcome = match may_be_one {
            Ok(true) => kinds.of_one(&mut run, self.settings.attempts),
            Ok(false) => Ok(Outcome::nothing()),
            Err(halt) => run.settle(Err(halt)),
        };
        match outcome.and_then(|outcome| run.solution(outcome)) {
            // It is no such link; what was asked to see that is not told.
            Err(OracleError::Link { .. }) => Ok(before),
            solution => Ok(behind_link(after(&before, solution?), link)),
        }
    }

    /// Answers of all outputs at points of many scales; `None` where the run may not ask.
    fn look(
        &self,
        oracle: &mut dyn Oracle,
        observer: &mut dyn Observer,
        before: Option<&Solution>,
    ) -> Result<(Solution, Option<DMatrix<f64>>), OracleError> {
        let mut run = self.run(oracle, observer, before);
        let (answers, outcome) = match run.answers_at_many_scales() {
            Ok(answers) => (Some(answers), Outcome::nothing()),
            Err(halt) => (None, run.settle(Err(halt))?),
        };
        Ok((run.solution(outcome)?, answers))
    }

    /// A run that may ask what is left after `before`.
    fn run<'a>(
        &self,
        oracle: &'a mut dyn Oracle,
        observer: &'a mut dyn Observer,
        before: Option<&Solution>,
    ) -> Run<'a> {
        let stages = match (self.depths, self.settings.pipeline) {
            ([1], _) => Stage::SHALLOW,
            (_, Pipeline::Wide) => Stage::WIDE,
            _ => Stage::ENTANGLED,
        };
        let asked = before.map_or(0, |before| before.queries);
        let mut run = Run::new(oracle, observer, self.settings, stages).after(asked);
        (run.link, run.first_attempt) = (self.link, self.first_attempt);
        // Answers that the link cannot have given are asked for again, and refused with their place.
        run.seen =
            self.seen.and_then(|seen| self.link.undo(&self.link.off_the_edge(seen.clone())).ok());
        run
    }

    /// With one hidden layer, or with two; `before` is what was asked before.
    fn of_any_depth(
        &self,
        oracle: &mut dyn Oracle,
        observer: &mut dyn Observer,
        before: Option<&Solution>,
    ) -> Result<Solution, OracleError> {
        let mut run = self.run(oracle, observer, before);
        let outcome = match run.mix() {
            Err(halt) => run.settle(Err(halt))?,
            Ok(()) => self.deepening(&mut run)?,
        };
        let solution = run.solution(outcome)?;
        Ok(match before {
            Some(before) => after(before, solution),
            None => solution,
        })
    }

    /// One hidden layer, which is soon told and found, then two.
    fn deepening(&self, run: &mut Run<'_>) -> Result<Outcome<Network>, OracleError> {
        match self.depths {
            [1] => return Ok(shallow::identify_on(run)?.map(Into::into)),
            [2] => return self.of_two(run),
            _ => {}
        }
        match run.probed() {
            Ok(land) if land.grows => return Ok(shallow::identify_on(run)?.map(Into::into)),
            Ok(_) => {}
            Err(halt) => return run.settle(Err(halt)),
        }
        let may_be_one = match run.may_be_one_layer() {
            Ok(may) => may,
            Err(halt) => return run.settle(Err(halt)),
        };
        if may_be_one {
            let one = self.of_one(run, self.settings.attempts)?;
            if one.is_final() || one.is_limited() {
                return Ok(one);
            }
        }
        let two = self.of_two(run)?;
        if may_be_one || two.is_final() || two.is_limited() || self.first_attempt > 0 {
            return Ok(two);
        }
        // A unit may be so flat that it changes wherever f was looked at.
        let seen = (run.depth, run.widths.clone());
        let one = self.of_one(run, 1)?;
        if one.is_final() {
            return Ok(one);
        }
        (run.depth, run.widths) = seen;
        Ok(two)
    }

    fn of_two(&self, run: &mut Run<'_>) -> Result<Outcome<Network>, OracleError> {
        (run.depth, run.widths) = (2, None);
        let two = match self.settings.pipeline {
            Pipeline::Wide => wide::identify(run),
            Pipeline::Entangled | Pipeline::Published => entangled::pipeline::identify(run),
        }?;
        Ok(two.map(Into::into))
    }

    /// Where two layers are looked for as well: far out alone.
    fn of_one(&self, run: &mut Run<'_>, attempts: u64) -> Result<Outcome<Network>, OracleError> {
        let all = run.settings.clone();
        (run.depth, run.widths) = (1, None);
        run.settings =
            Settings { attempts, first_layer: FirstLayer::Lines, ascent: None, ..all.clone() };
        let one = shallow::identify_on(run);
        run.settings = all;
        Ok(one?.map(Into::into))
    }
}

/// Is there nothing to add to a solution, or no question left?
fn is_over(solution: &Solution) -> bool {
    solution.status == Status::Identified || solution.is_limited()
}

/// Do the answers (K x n) sum up to 1 at every point, none below 0?
fn are_shares(answers: &DMatrix<f64>) -> bool {
    answers.nrows() > 1
        && answers.iter().all(|&p| p >= 0.0)
        && answers.row_sum().iter().all(|sum| (sum - 1.0).abs() <= SUM_OF_SHARES)
}

/// A link that all answers are within the limits of, those of one output at least not on the edge, where rounding has put
/// them.
fn may_be_behind(answers: &DMatrix<f64>) -> Option<Link> {
    let within = |lo: f64, hi: f64| {
        answers.iter().all(|&p| lo <= p && p <= hi)
            && answers.row_iter().any(|row| row.iter().all(|&p| lo < p && p < hi))
    };
    [(Link::SIGMOID, 0.0), (Link::TANH, -1.0)]
        .into_iter()
        .find_map(|(link, lo)| within(lo, 1.0).then_some(link))
}

/// What was found without the `link`, with it.
fn behind_link(found: Solution, link: Link) -> Solution {
    let network = found.network.map(|network| Network { link, ..network });
    Solution { network, ..found }
}

/// The second one, with what was asked for the first as well.
fn after(first: &Solution, second: Solution) -> Solution {
    let mut stages = first.stages.clone();
    for used in second.stages {
        match stages.iter_mut().find(|known| known.stage == used.stage) {
            Some(known) => {
                known.queries += used.queries;
                known.seconds += used.seconds;
            }
            None => stages.push(used),
        }
    }
    Solution { queries: first.queries + second.queries, stages, ..second }
}

/// The better one of two solutions, the first if they are alike; one of them counts what was asked for both.
fn better(first: Solution, second: Solution) -> Solution {
    let rank = |solution: &Solution| match solution.status {
        Status::Identified => 0,
        Status::Approximate => 1,
        Status::NotIdentified => 2,
    };
    let (mut best, other) =
        if rank(&second) < rank(&first) { (second, first) } else { (first, second) };
    if other.queries > best.queries {
        (best.queries, best.stages) = (other.queries, other.stages);
    }
    best
}

/// One hidden layer and a link, where each output is a unit of the second of two layers: the link `told`, or any.
fn simplified(solution: Solution, told: Option<Link>) -> Solution {
    let bound = solution.parameter_error_bound.unwrap_or(0.0);
    let network = solution.network.as_ref();
    match network.and_then(|found| found.last_layer_as_link(told, LIMITS_ERRORS * bound)) {
        Some(network) => {
            let widths = Some(network.widths());
            Solution { network: Some(network), widths, depth: 1, ..solution }
        }
        None => solution,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_say_which_link_may_be() {
        let answers = |values: &[f64]| DMatrix::from_row_slice(2, values.len() / 2, values);
        assert!(are_shares(&answers(&[0.25, 0.5, 0.75, 0.5])));
        assert!(!are_shares(&answers(&[0.25, 0.5, 0.7, 0.5])));
        assert_eq!(may_be_behind(&answers(&[0.25, 0.5, 0.7, 0.5])), Some(Link::SIGMOID));
        assert_eq!(may_be_behind(&answers(&[0.25, -0.5, 0.7, 0.5])), Some(Link::TANH));
        assert_eq!(may_be_behind(&answers(&[0.25, -0.5, 1.7, 0.5])), None);
        assert_eq!(may_be_behind(&answers(&[0.25, 0.5, 1.0, 0.5])), Some(Link::SIGMOID));
        assert_eq!(may_be_behind(&answers(&[-1.0, 0.5, 1.0, 0.5])), None);
    }
}
