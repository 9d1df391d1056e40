//! What is shown of a run while it lasts, on stderr.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use disentangle::oracle::{Observer, Progress, Silent};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A live display if stderr is a terminal, plain lines if not, nothing if `quiet`.
pub fn observer(quiet: bool) -> Box<dyn Observer> {
    if quiet {
        Box::new(Silent)
    } else if io::stderr().is_terminal() {
        Box::new(Display::new())
    } else {
        Box::new(Lines { since: Instant::now() })
    }
}

/// One line a stage.
struct Lines {
    since: Instant,
}

impl Lines {
    fn line(&self, text: &str) {
        // Progress that nobody can read is no reason to stop.
        let _ = writeln!(io::stderr(), "[{:7.2} s] {text}", self.since.elapsed().as_secs_f64());
    }
}

impl Observer for Lines {
    fn stage(&mut self, progress: Progress) {
        let queries = HumanCount(progress.total_queries).to_string();
        self.line(&format!("{:<8} {queries:>12} queries so far", progress.stage));
    }

    fn queries(&mut self, _: Progress) {}

    fn note(&mut self, text: &str) {
        self.line(text);
    }
}

/// A bar over the stages, redrawn in place, with the queries of this stage and of all.
struct Display {
    bar: ProgressBar,
}

impl Display {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // The template is a constant and is tested below.
        bar.set_style(style().unwrap_or_else(|_| ProgressStyle::default_bar()));
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

fn style() -> Result<ProgressStyle, indicatif::style::TemplateError> {
    let template = "{spinner} [{elapsed}] [{bar:18}] {pos}/{len} {wide_msg}";
    Ok(ProgressStyle::with_template(template)?.progress_chars("=> "))
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
        super::style().unwrap();
    }
}
