//! Work on a thread of its own, so that neither a signal nor the end of its time is kept waiting.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::oracle::Deadline;

/// What work that notices the end of its time may take to stop; the rest of a second is for results.
const LATE: Duration = Duration::from_millis(400);
/// As much as the main thread has.
const STACK: usize = 8 << 20;

/// What became of the work.
pub enum Ending<T> {
    /// It ended.
    Done(T),
    /// It did not end in time: it still runs, and ends with the process.
    Late,
    /// The process was told to end, by Ctrl-C for instance.
    Interrupted,
}

enum Event<T> {
    Ended(Result<T, Box<dyn Any + Send>>),
    Interrupted,
}

/// Starts `work` and waits for whatever comes first: its end, a signal, or, somewhat later than it, the
/// deadline. A panic goes on here.
pub fn attend<T: Send + 'static>(
    deadline: Option<Deadline>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Ending<T>> {
    let (to_us, events) = channel();
    on_signal(to_us.clone())?;
    let work = move || {
        // If nobody waits any more the process is about to end.
        let _ = to_us.send(Event::Ended(catch_unwind(AssertUnwindSafe(work))));
    };
    thread::Builder::new().stack_size(STACK).spawn(work)?;
    let event = match deadline {
        None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        Some(deadline) => {
            let end = deadline.at() + LATE;
            events.recv_timeout(end.saturating_duration_since(Instant::now()))
        }
    };
    match event {
        Ok(Event::Ended(Ok(result))) => Ok(Ending::Done(result)),
        Ok(Event::Ended(Err(panic))) => resume_unwind(panic),
        Ok(Event::Interrupted) => Ok(Ending::Interrupted),
        Err(RecvTimeoutError::Timeout) => Ok(Ending::Late),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the run has vanished")),
    }
}

#[cfg(unix)]
fn on_signal<T: Send + 'static>(events: Sender<Event<T>>) -> io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().spawn(move || {
        for _ in signals.forever() {
            let _ = events.send(Event::Interrupted);
        }
    })?;
    Ok(())
}

/// Elsewhere the system ends the process, which a checkpoint survives as it survives everything.
#[cfg(not(unix))]
fn on_signal<T: Send + 'static>(_: Sender<Event<T>>) -> io::Result<()> {
    Ok(())
}
