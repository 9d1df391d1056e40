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
    /// Answers of no numbers.
    #[error("needs answers of at least one number")]
    NoOutputs,
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
         it waits for more points (Python: `print(..., flush=True)`, C: `fflush(stdout)`), or needs a longer \
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
    #[error(
        "answered {found} at point {point} of a batch, where a number is due{}{stderr}",
        number_hint(found, *outputs)
    )]
    NotANumber {
        /// What it wrote, cut short.
        found: String,
        /// The point's place in the batch, from 1.
        point: usize,
        /// Values that a point has.
        outputs: usize,
        /// The last it said.
        stderr: StderrTail,
    },
    /// It wrote another number of values at a point than the outputs that it is said to have.
    #[error(
        "answered {found} values at point {point} of a batch, where {due} {} due: --output-dim {found}?{stderr}",
        if *due == 1 { "is" } else { "are" }
    )]
    Outputs {
        /// Values written.
        found: usize,
        /// Values that a point has.
        due: usize,
        /// The point's place in the batch, from 1.
        point: usize,
        /// The last it said.
        stderr: StderrTail,
    },
    /// It wrote a mebibyte without an end of line.
    #[error("wrote a line of more than 1 MiB where a number is due; each answer is a line")]
    Endless,
    /// A binary response of the wrong length.
    #[error("answered a frame of {asked} points with one of {found}; {}", frame_hint(*asked, *found, *outputs))]
    Frame {
        /// Points asked.
        asked: usize,
        /// Points announced.
        found: usize,
        /// Values that a point has.
        outputs: usize,
    },
    /// It answered points that nobody has asked.
    #[error(
        "answered more than it was asked: {0}; a point has as many values as --output-dim says, and nothing \
         else may be on stdout"
    )]
    Excess(String),
    /// One of several copies failed.
    #[error("(copy {copy} of {copies}) {source}")]
    Copy {
        /// Which, from 1.
        copy: usize,
        /// How many there are.
        copies: usize,
        /// Why.
        source: Box<ProcessError>,
    },
}

/// What may be wrong with a line, shown between backticks, that is no number.
fn number_hint(found: &str, outputs: usize) -> &'static str {
    let line = found.trim_matches('`');
    let words = || line.split_whitespace();
    let is_number = |word: &str| word.parse::<f64>().is_ok();
    let pieces: Vec<&str> = line.split([',', ';']).map(str::trim).collect();
    let separated = pieces.len() > 1 && pieces.iter().all(|piece| is_number(piece));
    let has_comma = |word: &str| word.contains(',') && is_number(&word.replacen(',', ".", 1));
    let all = |test: &dyn Fn(&str) -> bool| words().all(|word| is_number(word) || test(word));
    if line.is_empty() {
        ""
    } else if words().count() == outputs && all(&has_comma) {
        "; is that a decimal comma? Numbers have a point, as 0.5 (shell and awk: LC_ALL=C)"
    } else if separated {
        "; the values of a line are separated by spaces, not by commas"
    } else if line.contains(['[', '(']) {
        "; print the number alone, in Python `print(float(y), flush=True)`, for several outputs \
         `print(*y.tolist(), flush=True)`"
    } else {
        ""
    }
}

/// What may be wrong with a frame: its length counts points, not values.
fn frame_hint(asked: usize, found: usize, outputs: usize) -> String {
    let each = found.checked_div(asked).unwrap_or(0);
    if each < 2 || each * asked != found {
        return "is it binary?".to_owned();
    }
    if each == outputs {
        return "it begins with the number of points, not of values".to_owned();
    }
    format!(
        "{each} values where {outputs} is due: --output-dim {each}? It begins with the number of points"
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_comes_with_a_hint() {
        for (line, outputs, part) in [
            ("`0,5`", 1, "decimal comma"),
            ("`-1,25e-3`", 1, "decimal comma"),
            ("`0,5 1,5`", 2, "decimal comma"),
            ("`0.5, 1.5`", 2, "separated by spaces"),
            ("`0.5,1.5,2`", 3, "separated by spaces"),
            ("`1;2`", 2, "separated by spaces"),
            ("`[0.5]`", 1, "print(float(y)"),
            ("`tensor(0.5)`", 1, "print(float(y)"),
            ("`tensor([0.5000, 0.1000], dtype=torch.float64)`", 2, "print(*y.tolist()"),
            ("`np.float64(0.5)`", 1, "print(float(y)"),
            ("`array([0.5])`", 1, "print(float(y)"),
        ] {
            let hint = number_hint(line, outputs);
            assert!(hint.contains(part), "{line}: {hint:?}");
        }
        for line in ["``", "`loading the model`", "`0.5 x`"] {
            assert_eq!(number_hint(line, 1), "", "{line}");
        }
    }
}
