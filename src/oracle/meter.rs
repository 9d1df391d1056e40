//! Counts queries and seconds by stage, enforces the limits, refuses answers that are not finite.

use std::time::Instant;

use nalgebra::{DMatrix, DVector};

use super::black_box::Oracle;
use super::deadline::Deadline;
use super::error::{OracleError, finite};
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
}

/// An oracle with a counter.
pub struct Meter<'a> {
    inner: &'a mut dyn Oracle,
    observer: &'a mut dyn Observer,
    limit: u64,
    deadline: Option<Deadline>,
    total: u64,
    /// The stages that the pipeline has where nothing fails.
    plan: &'static [Stage],
    stages: Vec<StageUse>,
    current: usize,
    /// The place in the plan that was reached, from 1.
    reached: usize,
    since: Instant,
}

impl<'a> Meter<'a> {
    /// Wraps `inner`; at most `limit` queries pass.
    pub fn new(inner: &'a mut dyn Oracle, observer: &'a mut dyn Observer, limit: u64) -> Self {
        let stages = vec![StageUse { stage: Stage::Start, queries: 0, seconds: 0.0 }];
        let (plan, current, reached): (&[Stage], _, _) = (&[], 0, 0);
        let since = Instant::now();
        Meter {
            inner,
            observer,
            limit,
            deadline: None,
            total: 0,
            plan,
            stages,
            current,
            reached,
            since,
        }
    }

    /// The same; no query passes after `deadline`, if there is one.
    #[must_use]
    pub fn until(self, deadline: Option<Deadline>) -> Self {
        Meter { deadline, ..self }
    }

    /// The same; whoever watches is told the place of a stage among `plan`.
    pub fn through(self, plan: &'static [Stage]) -> Self {
        Meter { plan, ..self }
    }

    /// From now on queries and time are booked under `stage`; it may be entered again.
    pub fn enter(&mut self, stage: Stage) {
        self.settle();
        self.current = match self.stages.iter().position(|s| s.stage == stage) {
            Some(k) => k,
            None => {
                self.stages.push(StageUse { stage, queries: 0, seconds: 0.0 });
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
    }

    /// The stage under way.
    pub fn stage(&self) -> Stage {
        self.stages[self.current].stage
    }

    /// Refuses a batch that would exceed the limit, or comes too late.
    fn allow(&self, wanted: u64) -> Result<(), OracleError> {
        if let Some(deadline) = self.deadline.filter(Deadline::passed) {
            return Err(deadline.error());
        }
        if wanted > self.limit - self.total {
            return Err(OracleError::Budget {
                limit: self.limit,
                used: self.total,
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
            total_queries: self.total,
        }
    }
}

impl View for Meter<'_> {
    fn inner(&self) -> &dyn Oracle {
        &*self.inner
    }

    // Stencils pass through whole, so that the oracle behind may do better than values. What a stack
    // computes again later are the stencils booked here: they count once.
    fn ask(&mut self, question: Question<'_>) -> Result<Answer, OracleError> {
        let asked = question.points.ncols();
        if asked == 0 && matches!(question.wanted, Wanted::Values) {
            return Ok(Answer::of_values(DVector::zeros(0)));
        }
        let queries = question.queries();
        self.allow(queries)?;
        let answer = question.ask(self.inner)?;
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
