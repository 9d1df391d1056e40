//! Why a process gave no answer.

use std::fmt;
use std::io;
use std::time::Duration;

/// Why a process gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// Points of dimension zero.
    #[error("needs points of at least one coordinate")]
    NoInputs,
    /// There is no shell, or no room for another process.
    #[error("`{command}` cannot be started: {source}")]
    Start {
        /// The command.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// It ended, or closed its output, with answers due, and may not be restarted again.
    #[error(
        "{status} after {answered} of {asked} answers; it was started {starts} times in all{stderr}"
    )]
    Ended {
        /// How it ended.
        status: String,
        /// Points answered in this batch.
        answered: usize,
        /// Points in this batch.
        asked: usize,
        /// How often it was started.
        starts: usize,
        /// The last it said.
        stderr: StderrTail,
    },
    /// It was silent for too long.
    #[error(
        "was silent for {:.1} s after {answered} of {asked} answers; it must flush its output before \
         it waits for more points (Python: `print(..., flush=True)`), or needs a longer \
         time-out{stderr}",
        timeout.as_secs_f64()
    )]
    TimeOut {
        /// The time allowed.
        timeout: Duration,
        /// Points answered in this batch.
        answered: usize,
        /// Points in this batch.
        asked: usize,
        /// The last it said.
        stderr: StderrTail,
    },
    /// It wrote something that is not a number.
    #[error("answered {found} at point {point} of a batch, where a number is due{stderr}")]
    NotANumber {
        /// What it wrote, cut short.
        found: String,
        /// The point's place in the batch, from 1.
        point: usize,
        /// The last it said.
        stderr: StderrTail,
    },
    /// It wrote a mebibyte without an end of line.
    #[error("wrote a line of more than 1 MiB where a number is due; each answer is a line")]
    Endless,
    /// A binary response of the wrong length.
    #[error("answered a frame of {asked} points with one of {found} values; is it binary?")]
    Frame {
        /// Points asked.
        asked: usize,
        /// Values announced.
        found: usize,
    },
    /// It answered points that nobody has asked.
    #[error("answered more than it was asked: {0}; one value a point, and nothing else on stdout")]
    Excess(String),
}

/// The last lines a process wrote on stderr, perhaps none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StderrTail(pub String);

impl fmt::Display for StderrTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LINES: usize = 10;
        let lines: Vec<&str> = self.0.lines().collect();
        if lines.is_empty() {
            return Ok(());
        }
        write!(f, "; the last it wrote on stderr:")?;
        lines[lines.len().saturating_sub(LINES)..].iter().try_for_each(|l| write!(f, "\n  {l}"))
    }
}
