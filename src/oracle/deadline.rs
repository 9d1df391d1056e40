//! The point in time at which a run must end.

use std::time::{Duration, Instant};

use super::error::OracleError;

/// A limit on wall-clock time, and when it is reached.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    limit: Duration,
    at: Instant,
}

impl Deadline {
    /// `limit` from now on.
    ///
    /// # Panics
    /// If that is beyond what the clock can count, hundreds of years.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        Deadline { limit, at: Instant::now() + limit }
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
