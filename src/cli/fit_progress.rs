//! What is shown of a fit while it lasts, on stderr.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::samples::{Doing, Passes};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// A stage that was told of is told of again this much later.
const OFTEN: Duration = Duration::from_secs(30);

/// A live display if stderr is a terminal, plain lines if not, nothing if `quiet`.
pub struct FitProgress {
    /// Hidden unless stderr is a terminal.
    bar: ProgressBar,
    lines: bool,
    since: Instant,
    last: Instant,
    told: Vec<&'static str>,
}

impl FitProgress {
    /// Says that the samples are read.
    pub fn new(quiet: bool) -> FitProgress {
        let terminal = io::stderr().is_terminal();
        let bar = if terminal && !quiet {
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        } else {
            ProgressBar::hidden()
        };
        bar.enable_steady_tick(Duration::from_millis(100));
        let now = Instant::now();
        let lines = !terminal && !quiet;
        let mut progress = FitProgress { bar, lines, since: now, last: now, told: Vec::new() };
        progress.show(Doing { stage: "reading", units: 0, start: 0, starts: 0 });
        progress
    }

    /// Ends the display, also while the fit still has it.
    pub fn bar(&self) -> ProgressBar {
        self.bar.clone()
    }

    /// The passes over the samples, whose share is shown from now on.
    pub fn follow(&self, passes: Passes) {
        // The template is a constant and is tested below.
        self.bar.set_style(style(passes).unwrap_or_else(|_| ProgressStyle::default_spinner()));
    }

    /// A stage begins.
    pub fn show(&mut self, doing: Doing) {
        let text = match doing {
            Doing { stage, start: 0, .. } => stage.to_owned(),
            Doing { stage, units, start, starts } => {
                format!("{stage}, {units} units, start {start} of at most {starts}")
            }
        };
        let fresh = !self.told.contains(&doing.stage);
        if self.lines && (fresh || self.last.elapsed() > OFTEN) {
            self.told.push(doing.stage);
            self.last = Instant::now();
            // Progress that nobody can read is no reason to stop.
            let _ = writeln!(io::stderr(), "[{:7.2} s] {text}", self.since.elapsed().as_secs_f64());
        }
        self.bar.set_message(text);
    }
}

fn style(passes: Passes) -> Result<ProgressStyle, indicatif::style::TemplateError> {
    let share = move |_: &ProgressState, line: &mut dyn std::fmt::Write| {
        // What cannot be drawn is no reason to stop.
        let _ = write!(line, "{:.0} % of a pass", 100.0 * passes.share());
    };
    let template = "{spinner} [{elapsed}] {msg} ({share})";
    Ok(ProgressStyle::with_template(template)?.with_key("share", share))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_template_is_well_formed() {
        super::style(super::Passes::default()).unwrap();
    }
}
