//! Queries and seconds by stage as seen from outside the run, for when it has to be left alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{ByStage, Report};
use crate::oracle::{Clock, Found, Observer, Progress};
use crate::stage::Stage;
use serde_json::Value;

/// An observer that counts, shared between the run and whoever waits for it.
#[derive(Clone)]
pub struct Tally(Arc<Mutex<Seen>>);

struct Seen {
    /// What is shown meanwhile.
    display: Option<Box<dyn Observer>>,
    queries: ByStage<u64>,
    seconds: ByStage<f64>,
    stage: Option<Stage>,
    evidence: Option<Value>,
    since: Instant,
}

impl Tally {
    /// Counts, and passes all on to `display`.
    pub fn new(display: Box<dyn Observer>) -> Self {
        Tally(Arc::new(Mutex::new(Seen {
            display: Some(display),
            queries: ByStage { total: 0, by_stage: Default::default() },
            seconds: ByStage { total: 0.0, by_stage: Default::default() },
            stage: None,
            evidence: None,
            since: Instant::now(),
        })))
    }

    /// Ends the display, so that what is printed next stands on a line of its own.
    pub fn close(&self) {
        self.seen().display = None;
    }

    /// The stage under way.
    pub fn stage(&self) -> Stage {
        self.seen().stage.unwrap_or(Stage::Start)
    }

    /// Writes what was counted and seen into the report of a run that did not come to its end.
    pub fn fill(&self, report: &mut Report) {
        let mut seen = self.seen();
        seen.settle();
        report.queries = seen.queries.clone();
        report.seconds = seen.seconds.clone();
        if let Some(evidence) = &seen.evidence {
            report.evidence = evidence.clone();
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Books the time since the last call.
    fn settle(&mut self) {
        if let Some(stage) = &self.stage {
            let seconds = self.since.elapsed().as_secs_f64();
            *self.seconds.by_stage.entry(stage.to_string()).or_default() += seconds;
            self.seconds.total += seconds;
        }
        self.since = Instant::now();
    }

    fn count(&mut self, progress: Progress) {
        self.queries.total = progress.total_queries;
        self.queries.by_stage.insert(progress.stage.to_string(), progress.stage_queries);
    }
}

impl Observer for Tally {
    fn stage(&mut self, progress: Progress) {
        let mut seen = self.seen();
        seen.settle();
        seen.stage = Some(progress.stage);
        seen.count(progress);
        if let Some(display) = &mut seen.display {
            display.stage(progress);
        }
    }

    fn queries(&mut self, progress: Progress) {
        let mut seen = self.seen();
        seen.count(progress);
        if let Some(display) = &mut seen.display {
            display.queries(progress);
        }
    }

    fn evidence(&mut self, evidence: Value) {
        self.seen().evidence = Some(evidence);
    }

    fn note(&mut self, text: &str) {
        if let Some(display) = &mut self.seen().display {
            display.note(text);
        }
    }

    fn clock(&mut self, clock: &Clock) {
        if let Some(display) = &mut self.seen().display {
            display.clock(clock);
        }
    }

    fn found(&mut self, found: Found<'_>) {
        if let Some(display) = &mut self.seen().display {
            display.found(found);
        }
    }
}
