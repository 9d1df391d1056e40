//! Counts queries and seconds by stage, enforces the limits, refuses answers that are not finite.

use std::time::Instant;

use nalgebra::{DMatrix, DVector};

use super::black_box::Oracle;
use super::clock::Clock;
use super::deadline::Deadline;
use super::error::{OracleError, counted_outputs, finite};
use super::mixture::Mixture;
use super::question::{Answer, Question, Wanted};
use super::view::View;
use crate::stage::Stage;

/// What an [`Observer`] is told.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// The stage under way.
    pub stage: Stage,
    /// Its place among the stages of the pipeline, from 1; that of the last one with a place, if it has none.
    pub stage_number: usize,
    /// The number of these stages.
    pub stages: usize,
    /// Queries answered in this stage.
    pub stage_queries: u64,
    /// Queries answered in all.
    pub total_queries: u64,
}

/// What a run takes for a part of the network on its way, shown to whoever watches.
///
/// The run learns nothing from having shown it: a study, which knows the truth, measures it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Found<'a> {
    /// The space in which rank-one matrices are looked for.
    Subspace {
        /// Orthonormal columns, d x k: the coordinates of the Hessians.
        frame: &'a DMatrix<f64>,
        /// Orthonormal svec's in these coordinates, k(k+1)/2 x r.
        basis: &'a DMatrix<f64>,
        /// The ratio of the singular values on both sides of the r-th place.
        gap: f64,
    },
    /// What is taken for directions a_i of the first layer.
    FirstLayer {
        /// Unit vectors, d x n.
        directions: &'a DMatrix<f64>,
        /// The point about which they were told from entangled ones, length d; `None` where that was far out.
        about: Option<&'a DVector<f64>>,
    },
}

/// Someone who watches a run.
pub trait Observer: Send {
    /// A stage began.
    fn stage(&mut self, progress: Progress);
    /// A batch of queries was answered.
    fn queries(&mut self, progress: Progress);
    /// A remark worth a line in a log.
    fn note(&mut self, text: &str);
    /// A part of the network, as far as the run can tell; a later one takes the place of an earlier.
    fn found(&mut self, _: Found<'_>) {}
    /// The time of the run that begins: it tells whenever it is asked.
    fn clock(&mut self, _: &Clock) {}
    /// What was seen by all stages that have ended, as the report has it.
    fn evidence(&mut self, _: serde_json::Value) {}
}

/// An observer that says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn stage(&mut self, _: Progress) {}
    fn queries(&mut self, _: Progress) {}
    fn note(&mut self, _: &str) {}
}

/// What one stage used.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StageUse {
    /// Which.
    pub stage: Stage,
    /// Queries answered.
    pub queries: u64,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Bytes that this rank was sent by the others that do the run with it.
    pub received: u64,
}

/// An oracle with a counter.
pub struct Meter<'a> {
    inner: &'a mut dyn Oracle,
    observer: &'a mut dyn Observer,
    limit: u64,
    clock: Clock,
    total: u64,
    /// Queries answered before, by others.
    before: u64,
    /// The stages that the pipeline has where nothing fails.
    plan: &'static [Stage],
    stages: Vec<StageUse>,
    current: usize,
    /// The place in the plan that was reached, from 1.
    reached: usize,
    since: Instant,
    /// Bytes received until then.
    received: u64,
    /// What values are of several outputs.
    mixture: Mixture,
    /// Is the next question for values to be asked of all outputs?
    keep_next: bool,
    kept: Option<Kept>,
}

/// What all outputs answered where values of their mixture were asked.
#[derive(Clone, Debug)]
pub struct Kept {
    /// d x n.
    pub points: DMatrix<f64>,
    /// K x n.
    pub outputs: DMatrix<f64>,
}

impl<'a> Meter<'a> {
    /// Wraps `inner`; at most `limit` queries pass.
    pub fn new(inner: &'a mut dyn Oracle, observer: &'a mut dyn Observer, limit: u64) -> Self {
        let stages = vec![StageUse { stage: Stage::Start, queries: 0, seconds: 0.0, received: 0 }];
        let (plan, current, reached): (&[Stage], _, _) = (&[], 0, 0);
        let mixture = Mixture::first(inner.output_dim());
        let (since, received) = (Instant::now(), inner.team().received());
        Meter {
            inner,
            observer,
            limit,
            clock: Clock::new(None),
            total: 0,
            before: 0,
            plan,
            stages,
            current,
            reached,
            since,
            received,
            mixture,
            keep_next: false,
            kept: None,
        }
    }

    /// What values are of several outputs.
    pub(crate) fn mixture(&self) -> &Mixture {
        &self.mixture
    }

    /// Of several outputs, all answers to the next question for values are kept in place of those that were.
    pub fn keep_next(&mut self) {
        self.keep_next = self.mixture.outputs() > 1;
    }

    /// What was kept last.
    pub fn take_kept(&mut self) -> Option<Kept> {
        self.kept.take()
    }

    /// Values by all outputs, which are kept.
    fn values_of_all(&mut self, points: &DMatrix<f64>) -> Result<Answer, OracleError> {
        self.keep_next = false;
        let outputs = counted_outputs(self.inner.parts(points)?, self.mixture.outputs(), points)?;
        let values = self.mixture.of(&outputs);
        self.kept = Some(Kept { points: points.clone(), outputs });
        Ok(Answer::of_values(values))
    }

    /// The same; no query passes after `deadline`, if there is one.
    #[must_use]
    pub fn until(self, deadline: Option<Deadline>) -> Self {
        let clock = Clock::new(deadline).of(self.inner.team());
        self.observer.clock(&clock);
        Meter { clock, ..self }
    }

    /// When the run must end, and how far the stage under way is.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// The same where `before` of the queries allowed were answered to others; whoever watches is told the sum.
    #[must_use]
    pub fn after(self, before: u64) -> Self {
        Meter { before, limit: self.limit.saturating_sub(before), ..self }
    }

    /// The same; whoever watches is told the place of a stage among `plan`.
    pub fn through(self, plan: &'static [Stage]) -> Self {
        Meter { plan, ..self }
    }

    /// From now on queries and time are booked under `stage`; it may be entered again.
    pub fn enter(&mut self, stage: Stage) {
        self.settle();
        self.clock.begin();
        self.current = match self.stages.iter().position(|s| s.stage == stage) {
            Some(k) => k,
            None => {
                self.stages.push(StageUse { stage, queries: 0, seconds: 0.0, received: 0 });
                self.stages.len() - 1
            }
        };
        self.reached = match self.plan.iter().position(|&planned| planned == stage) {
            Some(place) => place + 1,
            None => self.reached,
        };
        let progress = self.progress();
        self.observer.stage(progress);
    }

    /// Passes a remark to the observer.
    pub fn note(&mut self, text: &str) {
        self.observer.note(text);
    }

    /// Shows the observer what was found.
    pub fn found(&mut self, found: Found<'_>) {
        self.observer.found(found);
    }

    /// Shows the observer what was seen so far, so that it is known of a run that has to be left alone.
    pub fn seen(&mut self, evidence: serde_json::Value) {
        self.observer.evidence(evidence);
    }

    /// Queries answered so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Queries left under the limit.
    pub fn remaining(&self) -> u64 {
        self.limit - self.total
    }

    /// Queries and seconds by stage, in order of first entry; stages never used are left out.
    pub fn stages(&mut self) -> Vec<StageUse> {
        self.settle();
        self.stages.iter().skip(1).cloned().collect()
    }

    fn settle(&mut self) {
        self.stages[self.current].seconds += self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        let received = self.inner.team().received();
        self.stages[self.current].received += received - self.received;
        self.received = received;
    }

    /// The stage under way.
    pub fn stage(&self) -> Stage {
        self.stages[self.current].stage
    }

    /// Refuses a batch that would exceed the limit, or comes too late.
    fn allow(&self, wanted: u64) -> Result<(), OracleError> {
        self.clock.check()?;
        if wanted > self.limit - self.total {
            return Err(OracleError::Budget {
                limit: self.before + self.limit,
                used: self.before + self.total,
                wanted,
                stage: self.stage(),
            });
        }
        Ok(())
    }

    /// Books a batch that was answered; one that was refused cost nothing.
    fn book(&mut self, answered: u64) {
        self.total += answered;
        self.stages[self.current].queries += answered;
    }

    fn report(&mut self) {
        let progress = self.progress();
        self.observer.queries(progress);
    }

    fn progress(&self) -> Progress {
        let StageUse { stage, queries, .. } = self.stages[self.current];
        Progress {
            stage,
            stage_number: self.reached,
            stages: self.plan.len(),
            stage_queries: queries,
            total_queries: self.before + self.total,
        }
    }
}

impl View for Meter<'_> {
    fn inner(&self) -> &dyn Oracle {
        &*self.inner
    }

    fn inner_mut(&mut self) -> &mut dyn Oracle {
        self.inner
    }

    fn mixed(&mut self, weights: &DVector<f64>) {
        self.mixture.set(weights);
        self.inner.mix(weights);
    }

    // Stencils pass through whole, so that the oracle behind may do better than values. What a stack
    // computes again later are the stencils booked here: they count once.
    fn ask(&mut self, question: Question<'_>) -> Result<Answer, OracleError> {
        let asked = question.points.ncols();
        if asked == 0 && (question.is_of_outputs() || matches!(question.wanted, Wanted::Values)) {
            return Ok(Answer::Numbers(DMatrix::zeros(question.rows(), 0)));
        }
        let queries = question.queries();
        self.allow(queries)?;
        let answer = match question.wanted {
            Wanted::Values if self.keep_next => self.values_of_all(question.points)?,
            _ => question.ask(self.inner)?,
        };
        self.book(queries);
        let (numbers, rows) = match &answer {
            Answer::Numbers(numbers) => (numbers.as_slice(), question.rows()),
            Answer::Stack(stack) => (stack.norms(), 1),
        };
        if numbers.len() != rows * asked {
            return Err(OracleError::Count { asked, found: numbers.len() / rows.max(1) });
        }
        finite(numbers, question.points)?;
        self.report();
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::oracle::function::FnOracle;
    use crate::stencil::{GradientScheme, HessianScheme};

    /// Answers the sum of the coordinates, or with what it is given.
    struct Sum(Option<Result<f64, usize>>, u64);

    impl Oracle for Sum {
        fn input_dim(&self) -> usize {
            3
        }

        fn values(&mut self, points: &DMatrix<f64>) -> Result<DVector<f64>, OracleError> {
            self.1 += points.ncols() as u64;
            Ok(match self.0 {
                None => points.row_sum().transpose(),
                Some(Ok(value)) => DVector::from_element(points.ncols(), value),
                Some(Err(count)) => DVector::zeros(count),
            })
        }
    }

    /// What an observer is told, in order.
    #[derive(Default)]
    struct Told(Vec<(&'static str, String, [u64; 3])>);

    impl Observer for Told {
        fn stage(&mut self, p: Progress) {
            let counts = [p.stage_number as u64, p.stage_queries, p.total_queries];
            self.0.push(("stage", p.stage.to_string(), counts));
        }

        fn queries(&mut self, p: Progress) {
            let counts = [p.stage_number as u64, p.stage_queries, p.total_queries];
            self.0.push(("queries", p.stage.to_string(), counts));
        }

        fn note(&mut self, text: &str) {
            self.0.push(("note", text.to_owned(), [0; 3]));
        }
    }

    fn points(count: usize) -> DMatrix<f64> {
        DMatrix::from_fn(3, count, |i, k| (i + k) as f64)
    }

    const CENTRAL: HessianScheme = HessianScheme::Central;
    const TWO: GradientScheme = GradientScheme::Central2;

    #[test]
    fn every_kind_of_question_is_booked_by_its_values() {
        let (mut sum, mut silent) = (Sum(None, 0), Silent);
        let mut meter = Meter::new(&mut sum, &mut silent, 1_000);
        let (identity, centres) = (DMatrix::identity(3, 2), points(4));
        meter.enter(Stage::Probe);
        meter.values(&points(5)).unwrap();
        meter.enter(Stage::Reduce);
        meter.gradients(&centres, &identity, TWO, 0.1).unwrap();
        meter.hessians(&centres, &identity, CENTRAL, 0.1).unwrap();
        meter.enter(Stage::Probe);
        meter.hessian_stack(&centres, &identity, CENTRAL, 0.1).unwrap();
        meter.values(&points(0)).unwrap();
        let by_stencil = [4 * TWO.queries(2), 4 * CENTRAL.queries(2)];
        let booked: Vec<(Stage, u64)> =
            meter.stages().iter().map(|stage| (stage.stage, stage.queries)).collect();
        let [gradients, hessians] = by_stencil;
        assert_eq!(booked, [(Stage::Probe, 5 + hessians), (Stage::Reduce, gradients + hessians)]);
        let total = 5 + gradients + 2 * hessians;
        assert_eq!((meter.total(), meter.remaining()), (total, 1_000 - total));
        assert_eq!(meter.stage(), Stage::Probe);
        // All of it was asked, and nothing else.
        assert_eq!(sum.1, total);
    }

    #[test]
    fn outputs_are_kept_of_one_question_for_values() {
        let points = points(3);
        let mut f = FnOracle::outputs(3, 3, |x| x.clone());
        let mut silent = Silent;
        let mut meter = Meter::new(&mut f, &mut silent, 100);
        meter.mix(&DVector::from_vec(vec![2.0, -1.0, 0.5]));
        let before = meter.values(&points).unwrap();
        assert!(meter.take_kept().is_none());
        meter.keep_next();
        assert_eq!(meter.values(&points).unwrap(), before);
        assert_eq!(meter.total(), 6);
        meter.values(&points.columns(0, 1).into_owned()).unwrap();
        let kept = meter.take_kept().unwrap();
        assert_eq!((&kept.points, &kept.outputs), (&points, &points));
        // There is nothing to keep of one output.
        let mut one = FnOracle::new(3, |x| x[0]);
        let mut meter = Meter::new(&mut one, &mut silent, 100);
        meter.keep_next();
        meter.values(&points).unwrap();
        assert!(meter.take_kept().is_none());
    }

    #[test]
    fn a_batch_beyond_the_limit_is_not_asked_and_costs_nothing() {
        let (mut sum, mut silent) = (Sum(None, 0), Silent);
        let mut meter = Meter::new(&mut sum, &mut silent, 10);
        meter.enter(Stage::Probe);
        meter.values(&points(7)).unwrap();
        let (identity, centre) = (DMatrix::identity(3, 3), points(1));
        let refused: [OracleError; 4] = [
            meter.values(&points(4)).unwrap_err(),
            meter.gradients(&centre, &identity, TWO, 0.1).unwrap_err(),
            meter.hessians(&centre, &identity, CENTRAL, 0.1).unwrap_err(),
            meter.hessian_stack(&centre, &identity, CENTRAL, 0.1).err().unwrap(),
        ];
        for (error, batch) in
            refused.iter().zip([4, TWO.queries(3), CENTRAL.queries(3), CENTRAL.queries(3)])
        {
            let OracleError::Budget { limit: 10, used: 7, wanted, stage } = error else {
                panic!("{error}")
            };
            assert_eq!((*wanted, *stage), (batch, Stage::Probe));
            assert!(error.is_limit());
        }
        // The rest may still be asked, to the last.
        meter.values(&points(3)).unwrap();
        assert_eq!((meter.total(), meter.remaining()), (10, 0));
        assert!(meter.values(&points(1)).is_err());
        assert_eq!(sum.1, 10);
    }

    #[test]
    fn nothing_is_asked_after_the_deadline() {
        let (mut sum, mut silent) = (Sum(None, 0), Silent);
        let limit = Duration::from_secs(3600);
        let mut meter = Meter::new(&mut sum, &mut silent, 100).until(Some(Deadline::after(limit)));
        meter.values(&points(2)).unwrap();
        let mut meter = meter.until(Some(Deadline::after(Duration::ZERO)));
        let error = meter.values(&points(2)).unwrap_err();
        assert!(matches!(error, OracleError::TimeLimit(Duration::ZERO)), "{error}");
        assert!(error.is_limit());
        let (identity, centre) = (DMatrix::identity(3, 3), points(1));
        assert!(meter.gradients(&centre, &identity, TWO, 0.1).is_err());
        assert!(meter.hessians(&centre, &identity, CENTRAL, 0.1).is_err());
        assert!(meter.hessian_stack(&centre, &identity, CENTRAL, 0.1).is_err());
        assert_eq!(meter.total(), 2);
        assert!(meter.until(None).values(&points(2)).is_ok());
        assert_eq!(sum.1, 4);
    }

    #[test]
    fn answers_that_are_none_are_refused_but_booked() {
        let centres = points(4);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let (mut sum, mut silent) = (Sum(Some(Ok(bad)), 0), Silent);
            let mut meter = Meter::new(&mut sum, &mut silent, 1_000);
            let identity = DMatrix::identity(3, 3);
            for error in [
                meter.values(&centres).unwrap_err(),
                meter.gradients(&centres, &identity, TWO, 0.1).unwrap_err(),
                meter.hessians(&centres, &identity, CENTRAL, 0.1).unwrap_err(),
                meter.hessian_stack(&centres, &identity, CENTRAL, 0.1).err().unwrap(),
            ] {
                assert!(matches!(error, OracleError::NotFinite { .. }), "{error}");
                assert!(!error.is_limit());
            }
            assert_eq!(meter.total(), 4 * (1 + TWO.queries(3) + 2 * CENTRAL.queries(3)));
        }
        let (mut sum, mut silent) = (Sum(Some(Err(3)), 0), Silent);
        let mut meter = Meter::new(&mut sum, &mut silent, 100);
        let error = meter.values(&centres).unwrap_err();
        assert!(matches!(error, OracleError::Count { asked: 4, found: 3 }), "{error}");
        assert_eq!(meter.total(), 4);
    }

    #[test]
    fn an_observer_hears_of_stages_batches_and_remarks_in_order() {
        let (mut sum, mut told) = (Sum(None, 0), Told::default());
        let mut meter = Meter::new(&mut sum, &mut told, 20).through(Stage::WIDE);
        meter.enter(Stage::Probe);
        meter.values(&points(5)).unwrap();
        meter.values(&points(2)).unwrap();
        meter.enter(Stage::Reduce);
        meter.note("a remark");
        meter.values(&points(3)).unwrap();
        assert!(meter.values(&points(11)).is_err());
        meter.enter(Stage::Probe);
        meter.values(&points(1)).unwrap();
        let told: Vec<(&str, &str, [u64; 3])> =
            told.0.iter().map(|(kind, text, counts)| (*kind, text.as_str(), *counts)).collect();
        assert_eq!(
            told,
            [
                ("stage", "probe", [1, 0, 0]),
                ("queries", "probe", [1, 5, 5]),
                ("queries", "probe", [1, 7, 7]),
                ("stage", "reduce", [2, 0, 7]),
                ("note", "a remark", [0; 3]),
                ("queries", "reduce", [2, 3, 10]),
                // Entered again, it goes on.
                ("stage", "probe", [1, 7, 10]),
                ("queries", "probe", [1, 8, 11]),
            ]
        );
    }

    #[test]
    fn seconds_are_booked_where_they_pass() {
        let (mut sum, mut silent) = (Sum(None, 0), Silent);
        let mut meter = Meter::new(&mut sum, &mut silent, 20);
        meter.enter(Stage::Probe);
        std::thread::sleep(Duration::from_millis(30));
        meter.enter(Stage::Reduce);
        let stages = meter.stages();
        assert!(stages[0].seconds >= 0.03 && stages[1].seconds >= 0.0);
    }
}
