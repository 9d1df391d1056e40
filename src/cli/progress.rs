//! What is shown of a run while it lasts, on stderr.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::oracle::{Clock, Observer, Progress, Silent};
use indicatif::{
    HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
};

/// A live display if stderr is a terminal, plain lines if not, nothing if `quiet`.
pub fn observer(quiet: bool) -> Box<dyn Observer> {
    if quiet {
        Box::new(Silent)
    } else if io::stderr().is_terminal() {
        Box::new(Display::new())
    } else {
        let now = Instant::now();
        Box::new(Lines { since: now, last: now, clock: None })
    }
}

/// In plain lines a stage that lasts is told of this often.
const OFTEN: Duration = Duration::from_secs(30);

/// One line a stage, and one now and then while it lasts.
struct Lines {
    since: Instant,
    /// When the last line was written.
    last: Instant,
    clock: Option<Clock>,
}

impl Lines {
    fn line(&mut self, text: &str) {
        self.last = Instant::now();
        // Progress that nobody can read is no reason to stop.
        let _ = writeln!(io::stderr(), "[{:7.2} s] {text}", self.since.elapsed().as_secs_f64());
    }
}

impl Observer for Lines {
    fn stage(&mut self, progress: Progress) {
        let queries = HumanCount(progress.total_queries).to_string();
        self.line(&format!("{:<8} {queries:>12} queries so far", progress.stage));
    }

    fn queries(&mut self, progress: Progress) {
        if self.last.elapsed() > OFTEN {
            let queries = HumanCount(progress.total_queries).to_string();
            let left = self.clock.as_ref().and_then(left).unwrap_or_default();
            self.line(&format!("{:<8} {queries:>12} queries so far{left}", progress.stage));
        }
    }

    fn note(&mut self, text: &str) {
        self.line(text);
    }

    fn clock(&mut self, clock: &Clock) {
        self.clock = Some(clock.clone());
    }
}

/// How long the stage under way will last, if that is known and worth a word.
fn left(clock: &Clock) -> Option<String> {
    let left = clock.left().filter(|left| left.as_secs() > 0)?;
    Some(format!(", {} more for this stage", HumanDuration(left)))
}

/// A bar over the stages, redrawn in place, with the queries of this stage and of all.
struct Display {
    bar: ProgressBar,
}

impl Display {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // The template is a constant and is tested below.
        bar.set_style(style(None).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(100));
        Display { bar }
    }

    fn show(&self, progress: Progress) {
        // Earlier stages are done; a stage entered again moves the bar back.
        self.bar.set_length(progress.stages as u64);
        self.bar.set_position((progress.stage_number as u64).saturating_sub(1));
        self.bar.set_message(format!(
            "{:<8} {} queries, {} so far",
            progress.stage,
            HumanCount(progress.stage_queries),
            HumanCount(progress.total_queries),
        ));
    }
}

/// Drawn anew by the clock, not by what happens: a fit of minutes asks nothing.
fn style(clock: Option<Clock>) -> Result<ProgressStyle, indicatif::style::TemplateError> {
    let template = "{spinner} [{elapsed}] [{bar:18}] {pos}/{len} {msg}{left}";
    let left = move |_: &ProgressState, line: &mut dyn std::fmt::Write| {
        // What cannot be drawn is no reason to stop.
        let _ = line.write_str(&clock.as_ref().and_then(left).unwrap_or_default());
    };
    Ok(ProgressStyle::with_template(template)?.progress_chars("=> ").with_key("left", left))
}

impl Observer for Display {
    fn stage(&mut self, progress: Progress) {
        self.show(progress);
    }

    fn queries(&mut self, progress: Progress) {
        self.show(progress);
    }

    fn note(&mut self, text: &str) {
        self.bar.println(text);
    }

    fn clock(&mut self, clock: &Clock) {
        if let Ok(style) = style(Some(clock.clone())) {
            self.bar.set_style(style);
        }
    }
}

impl Drop for Display {
    /// The table or the error that follows stands on a clean line.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_template_is_well_formed() {
        super::style(None).unwrap();
    }
}
