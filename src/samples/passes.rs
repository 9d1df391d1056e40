//! Passes over the samples, as they look from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::file::SampleError;

/// A handle on the passes over some samples: how far the one under way is, and a way to end it. Nothing is decided by the share.
#[derive(Clone, Debug, Default)]
pub struct Passes(Arc<State>);

#[derive(Debug, Default)]
struct State {
    stopped: AtomicBool,
    /// Bits of the share that is done, from 0 to 1.
    done: AtomicU64,
}

impl Passes {
    /// Ends the pass under way, and every later one, with [`SampleError::Stopped`].
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    /// The share of the pass under way that is done.
    #[must_use]
    pub fn share(&self) -> f64 {
        f64::from_bits(self.0.done.load(Ordering::Relaxed))
    }

    /// So many of all samples of a pass are done.
    pub(super) fn check(&self, done: usize, of: usize) -> Result<(), SampleError> {
        let share = done as f64 / of.max(1) as f64;
        self.0.done.store(share.to_bits(), Ordering::Relaxed);
        if self.0.stopped.load(Ordering::Relaxed) { Err(SampleError::Stopped) } else { Ok(()) }
    }
}
