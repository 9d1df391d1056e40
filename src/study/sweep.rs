//! Many runs at a time.

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{io, thread};

use super::cell::Cell;
use super::record::{Record, RecordError, Store};
use super::run::run;

/// Why a sweep stopped before its end. What was finished is on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// A record could not be stored.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The threads of a job could not be started.
    #[error("cannot start a thread: {0}")]
    Threads(#[from] io::Error),
}

/// Does `runs`, `jobs` at a time, and stores each as it ends; `watch` sees it then. Returns them in the
/// order of their ends.
///
/// The cores are shared out: each job computes on its own pool of cores / jobs threads (at least
/// one). Results do not depend on that number.
///
/// # Errors
/// [`SweepError`]; the other jobs finish the runs that they are at.
pub fn sweep(
    runs: &[(Cell, u64)],
    store: Store,
    jobs: usize,
    watch: impl Fn(&Record) + Sync,
) -> Result<Vec<Record>, SweepError> {
    let (mut store, mut records) = (Some(store), Vec::new());
    let keep = |record: Record| -> Result<(), SweepError> {
        // Another job could not store its run, and says so.
        let Some(open) = store.take() else { return Ok(()) };
        store = Some(open.append(&record)?);
        watch(&record);
        records.push(record);
        Ok(())
    };
    shared_out(runs, jobs, |(cell, seed)| run(cell, *seed), keep)?;
    Ok(records)
}

/// Does `work` on each of `runs`, `jobs` at a time, and hands what it comes to to `keep`, one after another. Each job computes on
/// its own pool of cores / jobs threads, at least one.
///
/// # Errors
/// Those of `keep`, and threads that cannot be started; the other jobs finish the runs that they are at.
pub(super) fn shared_out<R: Sync, T: Send, E: From<io::Error> + Send>(
    runs: &[R],
    jobs: usize,
    work: impl Fn(&R) -> T + Sync,
    keep: impl FnMut(T) -> Result<(), E> + Send,
) -> Result<(), E> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let jobs = jobs.clamp(1, runs.len().max(1));
    let next = AtomicUsize::new(0);
    let keep = Mutex::new(keep);
    let job = || -> Result<(), E> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads((cores / jobs).max(1));
        let pool = pool.build().map_err(io::Error::other)?;
        while let Some(one) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let ended = pool.install(|| work(one));
            // Nobody panics while holding it.
            let mut keep = keep.lock().unwrap_or_else(|poison| poison.into_inner());
            (*keep)(ended)?;
        }
        Ok(())
    };
    let stopping = || {
        let outcome = job();
        if outcome.is_err() {
            next.store(runs.len(), Ordering::Relaxed);
        }
        outcome
    };
    let outcomes: Vec<Result<(), E>> = thread::scope(|scope| {
        let start = |_| thread::Builder::new().spawn_scoped(scope, stopping);
        let started: Vec<_> = (0..jobs).map(start).collect();
        let ended = started.into_iter().map(|job| match job {
            Ok(job) => job.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(error) => Err(error.into()),
        });
        ended.collect()
    });
    outcomes.into_iter().collect()
}
