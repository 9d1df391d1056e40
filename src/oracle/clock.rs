//! The time of a run: when it must end, and how much of the stage under way is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::deadline::Deadline;
use super::error::OracleError;
use crate::ranks::Team;

/// What is told of the time left is of no use before this share of a stage is done.
const LEAST_SHARE: f64 = 0.02;

/// Shared between a stage, which tells how far it is, and whoever watches. Nothing is decided by the share.
#[derive(Clone, Debug)]
pub struct Clock {
    deadline: Option<Deadline>,
    stage: Arc<Stage>,
    /// The part of the stage that its holder does.
    part: (f64, f64),
    /// Who must end together.
    team: Team,
}

/// The stage under way.
#[derive(Debug)]
struct Stage {
    origin: Instant,
    /// Nanoseconds from `origin` to its beginning.
    begun: AtomicU64,
    /// Bits of the share that is done, from 0 to 1.
    done: AtomicU64,
    /// Is the run to end at once?
    stopped: AtomicBool,
}

impl Clock {
    /// Of a run that begins now, and must end by `deadline`, if there is one.
    #[must_use]
    pub fn new(deadline: Option<Deadline>) -> Self {
        let stage = Stage {
            origin: Instant::now(),
            begun: AtomicU64::new(0),
            done: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        };
        Clock { deadline, stage: Arc::new(stage), part: (0.0, 1.0), team: Team::alone() }
    }

    /// The same for ranks that do the run together: the clock of the first one decides, whenever all of them look.
    pub(crate) fn of(self, team: Team) -> Self {
        Clock { team, ..self }
    }

    /// The ranks that do the run.
    pub(crate) fn team(&self) -> &Team {
        &self.team
    }

    /// The same for what is done between two shares of this one's part.
    #[must_use]
    pub fn part(&self, from: f64, to: f64) -> Self {
        let (first, last) = self.part;
        let at = |share: f64| first + (last - first) * share;
        Clock { part: (at(from), at(to)), ..self.clone() }
    }

    /// Tells the run to end as soon as it looks.
    pub fn stop(&self) {
        self.stage.stopped.store(true, Ordering::Relaxed);
    }

    /// All ranks of a run must look at the same places.
    ///
    /// # Errors
    /// [`OracleError::TimeLimit`] where the run must end, [`OracleError::Stopped`] where it was told to.
    pub fn check(&self) -> Result<(), OracleError> {
        let own = || {
            let stopped = self.stage.stopped.load(Ordering::Relaxed);
            [u8::from(stopped), u8::from(self.deadline.is_some_and(|deadline| deadline.passed()))]
        };
        match (self.team.first(|| own().to_vec()).as_slice(), self.deadline) {
            ([0, 0], _) | ([0, _], None) => Ok(()),
            ([0, _], Some(deadline)) => Err(deadline.error()),
            _ => Err(OracleError::Stopped),
        }
    }

    /// A stage begins.
    pub(crate) fn begin(&self) {
        let now = self.stage.origin.elapsed().as_nanos() as u64;
        self.stage.begun.store(now, Ordering::Relaxed);
        self.stage.done.store(0f64.to_bits(), Ordering::Relaxed);
    }

    /// This share of the part is done.
    pub(crate) fn done(&self, share: f64) {
        let (from, to) = self.part;
        let done = from + (to - from) * share.clamp(0.0, 1.0);
        self.stage.done.store(done.to_bits(), Ordering::Relaxed);
    }

    /// How long the stage under way will last, as far as it has told how much of it is done.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let done = f64::from_bits(self.stage.done.load(Ordering::Relaxed));
        let begun = Duration::from_nanos(self.stage.begun.load(Ordering::Relaxed));
        let since = self.stage.origin.elapsed().saturating_sub(begun);
        (done >= LEAST_SHARE).then(|| since.mul_f64((1.0 - done) / done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_by_the_share_that_is_done() {
        let clock = Clock::new(None);
        clock.begin();
        assert_eq!(clock.left(), None);
        std::thread::sleep(Duration::from_millis(20));
        clock.part(0.5, 1.0).part(0.0, 0.5).done(1.0);
        let (left, all) = (clock.left().unwrap(), clock.stage.origin.elapsed());
        assert!(3 * left <= all && left >= Duration::from_millis(6), "{left:?} of {all:?}");
        clock.begin();
        assert_eq!(clock.left(), None);
    }

    #[test]
    fn a_run_whose_time_is_over_is_told() {
        Clock::new(Some(Deadline::after(Duration::from_secs(3600)))).check().unwrap();
        let over = Clock::new(Some(Deadline::after(Duration::ZERO)));
        assert!(matches!(over.check(), Err(OracleError::TimeLimit(_))));
        over.part(0.0, 0.5).stop();
        assert!(matches!(over.check(), Err(OracleError::Stopped)));
    }
}
