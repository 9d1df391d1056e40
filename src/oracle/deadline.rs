//! The point in time at which a run must end.

use std::time::{Duration, Instant};

use super::error::OracleError;

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A limit on wall-clock time, and when it is reached.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    limit: Duration,
    at: Instant,
}

impl Deadline {
    /// `limit` from now on, but in a century at the latest: clocks do not count for ever.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Deadline { limit, at: Instant::now() + limit.min(CENTURY) }
    }

    /// When.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Is it over?
    #[must_use]
    pub fn passed(&self) -> bool {
        Instant::now() >= self.at
    }

    /// What a run that has reached it ends with.
    pub fn error(&self) -> OracleError {
        OracleError::TimeLimit(self.limit)
    }
}
