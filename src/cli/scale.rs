//! `disentangle bench --suite scale`: what identification costs against the number of parameters.

use std::error::Error;
use std::path::PathBuf;

use crate::files::check_writable;
use crate::study::scale::{Measured, Route, Slopes, measure, save_figure};
use clap::Args;
use serde_json::json;

use super::progress;

/// Sizes without a word on it: some minutes in all.
const USUAL_SIZES: [usize; 4] = [32, 64, 128, 256];
/// The largest size without a word on it of the route that takes p^3 operations, a step of the fit: 10^11.
const USUAL_DENSE_MOST: usize = 64;

/// The sizes, and where the picture goes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Suite scale")]
pub struct Scale {
    /// Inputs, and units of the first layer; the second has 16 [default: 32,64,128,256]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_size)]
    sizes: Option<Vec<usize>>,
    /// The largest size at which the stack and the dense fit are measured too [default: 64]
    #[arg(long, value_name = "SIZE")]
    dense_most: Option<usize>,
    /// Draw a picture here, SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn parse_size(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(size) if (2..=1024).contains(&size) => Ok(size),
        _ => Err("expected a whole number from 2 to 1024".to_owned()),
    }
}

impl Scale {
    /// Whether anything was said on this suite.
    pub fn is_given(&self) -> bool {
        self.sizes.is_some() || self.dense_most.is_some() || self.svg.is_some()
    }

    /// Measures every size by both routes.
    pub fn run(self, json: bool) -> Result<(), Box<dyn Error>> {
        if let Some(path) = &self.svg {
            check_writable(path).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        }
        let mut sizes = self.sizes.unwrap_or(USUAL_SIZES.to_vec());
        // Memory that one run leaves with the program must not count as the peak of a smaller one.
        sizes.sort_unstable();
        sizes.dedup();
        let dense_most = self.dense_most.unwrap_or(USUAL_DENSE_MOST);
        if !json {
            super::print(&heading())?;
        }
        let mut runs = Vec::new();
        for route in Route::ALL {
            let affordable = |size: &usize| route == Route::LinesBlocks || *size <= dense_most;
            for size in sizes.iter().copied().filter(affordable) {
                let mut observer = progress::observer(false);
                observer.note(&format!("{}, {size} inputs and units", route.name()));
                let run = measure(size, route, observer.as_mut())?;
                // The display ends before anything is printed.
                drop(observer);
                if !json {
                    super::print(&row(&run))?;
                }
                runs.push(run);
            }
        }
        let slopes = Route::ALL.map(|route| Slopes::of(&runs, route));
        super::print(&if json {
            let found = json!({ "schema": "disentangle-scale-1", "runs": runs, "slopes": slopes });
            format!("{found:#}\n")
        } else {
            slopes.iter().map(powers).collect()
        })?;
        if let Some(path) = &self.svg {
            save_figure(&runs, path)
                .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        }
        Ok(())
    }
}

fn heading() -> String {
    format!(
        "{:<14}{:>12}{:>9}{:>10}{:>13}{:>9}{:>9}{:>10}{:>10}  status\n",
        "route", "d-m0-m1", "p", "seconds", "queries", "a param.", "MiB", "error", "bound"
    )
}

/// A run, and below it the seconds of its stages.
fn row(run: &Measured) -> String {
    let (d, m0, m1) = run.dims;
    let or_none = |text: Option<String>| text.unwrap_or("-".to_owned());
    let scientific = |value: Option<f64>| or_none(value.map(|value| format!("{value:.1e}")));
    let stages: Vec<String> = run
        .seconds_by_stage
        .iter()
        .map(|(stage, seconds)| format!("{stage} {seconds:.2}"))
        .collect();
    format!(
        "{:<14}{:>12}{:>9}{:>10.2}{:>13}{:>9.1}{:>9}{:>10}{:>10}  {}\n    {}\n",
        run.route.name(),
        format!("{d}-{m0}-{m1}"),
        run.parameters,
        run.seconds,
        run.queries,
        run.queries_a_parameter,
        or_none(run.peak_mib.map(|mib| format!("{mib:.0}"))),
        scientific(run.parameter_error),
        scientific(run.error_bound),
        run.status.name(),
        stages.join(", "),
    )
}

fn powers(slopes: &Slopes) -> String {
    let power = |slope: Option<f64>| slope.map_or("-".to_owned(), |slope| format!("{slope:.2}"));
    format!(
        "{:<14}grows with the power of p: seconds {}, queries {}, memory {}\n",
        slopes.route.name(),
        power(slopes.seconds),
        power(slopes.queries),
        power(slopes.memory),
    )
}
