//! `disentangle shallow-baseline`: the published experiment on one hidden layer beside our rerun.

use std::fmt::Write;

use crate::study::shallow_baseline::{Cell, HESSIANS, SPREADS, cell};
use clap::Args;
use serde::Serialize;

use super::{Outcome, SUCCESS};

/// Rerun the published experiment on one hidden layer: success rates side by side
///
/// tanh, 20 inputs and units, singular values of A at a Euclidean distance eps from 1, N Hessians on the
/// unit sphere; a run succeeds if all directions have |cos| >= 1 - 0.05^2/2. `subspace` searches the span
/// of the N Hessians, as published; `pencil` diagonalises them together, which needs no more than two.
#[derive(Args, Debug)]
pub struct ShallowBaseline {
    /// Runs a cell
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    runs: u64,
    /// Seed of the random numbers
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// The `--json` output.
#[derive(Serialize)]
struct Json<'a> {
    schema: &'static str,
    seed: u64,
    cells: &'a [Cell],
}

impl ShallowBaseline {
    /// Runs every cell and prints the tables.
    pub fn run(self) -> Outcome {
        let mut cells = Vec::new();
        for row in 0..SPREADS.len() {
            for column in 0..HESSIANS.len() {
                cells.push(cell(row, column, usize::try_from(self.runs)?, self.seed)?);
            }
        }
        super::print(&if self.json {
            let json =
                Json { schema: "disentangle-shallow-baseline-1", seed: self.seed, cells: &cells };
            serde_json::to_string_pretty(&json)? + "\n"
        } else {
            table(&cells)
        })?;
        Ok(SUCCESS)
    }
}

/// A success rate of a cell.
type Rate = fn(&Cell) -> f64;

fn table(cells: &[Cell]) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let rates: [(&str, Rate); 3] = [
        ("published", |cell| cell.published),
        ("subspace", |cell| cell.subspace),
        ("pencil", |cell| cell.pencil),
    ];
    let _ = write!(out, "{:>5}", "");
    for (name, _) in rates {
        let _ = write!(out, " | {name:<35}");
    }
    let _ = write!(out, "\n{:>5}", "eps");
    for _ in rates {
        let _ = write!(out, " |");
        HESSIANS.iter().for_each(|n| {
            let _ = write!(out, "{n:>5}");
        });
    }
    for row in cells.chunks(HESSIANS.len()) {
        let _ = write!(out, "\n{:>5}", row[0].spread);
        for (_, rate) in rates {
            let _ = write!(out, " |");
            row.iter().for_each(|cell| {
                let _ = write!(out, "{:>5.2}", rate(cell));
            });
        }
    }
    let mean = |part: fn(&Cell) -> f64| cells.iter().map(part).sum::<f64>() / cells.len() as f64;
    let most = cells.iter().map(|c| c.hessian_seconds + c.subspace_seconds).fold(0.0, f64::max);
    let _ = writeln!(
        out,
        "\n\nseconds a run (wall clock; published: 2.7 to 3.9 CPU seconds): Hessians {:.4}, subspace {:.4}, \
         pencil {:.4}; slowest cell {most:.4}\nqueries a run: {} to {}",
        mean(|c| c.hessian_seconds),
        mean(|c| c.subspace_seconds),
        mean(|c| c.pencil_seconds),
        cells.iter().map(|c| c.queries).min().unwrap_or(0),
        cells.iter().map(|c| c.queries).max().unwrap_or(0),
    );
    out
}
