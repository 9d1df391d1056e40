//! What is kept of every run, and the sweep that keeps it.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::plan::{Cell, Plan};
use super::run::run;
use crate::identify::Status;
use crate::study::sweep::shared_out;

const FILE: &str = "runs.jsonl";

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Of the program.
    pub version: String,
    /// What was run.
    pub cell: Cell,
    /// Of all random draws.
    pub seed: u64,
    /// How it ended.
    pub status: Status,
    /// Samples.
    pub samples: usize,
    /// Queries.
    pub queries: u64,
    /// Largest distance of a unit of norm 1 from the nearest one of the start.
    pub start_error: Option<f64>,
    /// Parameter error.
    pub error: Option<f64>,
    /// Its bound.
    pub bound: Option<f64>,
    /// By the clock, without the draw of the samples.
    pub seconds: f64,
    /// Identified, but not the truth within the bound.
    pub wrong: bool,
}

impl Record {
    /// The run and its end, in a line.
    #[must_use]
    pub fn line(&self) -> String {
        let Cell { method, activation, d, k, outputs, noise, .. } = &self.cell;
        let number = |error: Option<f64>| error.map_or("-".to_owned(), |e| format!("{e:.1e}"));
        let (start, error) = (number(self.start_error), number(self.error));
        let status = match self.status {
            _ if self.wrong => "WRONG",
            status => status.name(),
        };
        format!(
            "{method:?} {activation} {d}-{k}-{outputs} n {} noise {noise} seed {}: {status}, start {start}, error {error}, {:.2} s",
            self.samples, self.seed, self.seconds
        )
    }
}

/// The cell and the seed; an equal key is an equal run.
fn key(cell: &Cell, seed: u64) -> String {
    format!("{cell:?} {seed}")
}

/// Is there a study of this kind in the folder?
#[must_use]
pub fn is_of(folder: &Path) -> bool {
    let text = std::fs::read_to_string(folder.join(FILE)).unwrap_or_default();
    text.lines().next().is_some_and(|line| serde_json::from_str::<Record>(line).is_ok())
}

/// Finished runs; a line that is cut off is left out, and done again.
///
/// # Errors
/// Those of reading the file.
pub fn load(folder: &Path) -> io::Result<Vec<Record>> {
    let text = std::fs::read_to_string(folder.join(FILE))?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Why a sweep ended, in a line.
struct Failure(String);

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure(error.to_string())
    }
}

impl Plan {
    /// Runs what is not on record in `folder`, `jobs` at a time, and returns all of the plan that is; `show` sees each run as it
    /// ends.
    ///
    /// # Errors
    /// Those of the folder, in a line; a network or samples that cannot be drawn.
    pub fn run(
        &self,
        folder: &Path,
        jobs: usize,
        mut show: impl FnMut(&Record) + Send,
    ) -> Result<Vec<Record>, String> {
        let named = |error: io::Error| format!("{}: {error}", folder.display());
        std::fs::create_dir_all(folder).map_err(named)?;
        let mut records = match load(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            stored => stored.map_err(named)?,
        };
        let path = folder.join(FILE);
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(named)?;
        if std::fs::read(&path).map_err(named)?.last().is_some_and(|&byte| byte != b'\n') {
            // After a line that was cut off.
            writeln!(file).map_err(named)?;
        }
        let mut runs = self.runs();
        let planned: HashSet<String> = runs.iter().map(|(cell, seed)| key(cell, *seed)).collect();
        records.retain(|record| planned.contains(&key(&record.cell, record.seed)));
        let known: HashSet<String> =
            records.iter().map(|record| key(&record.cell, record.seed)).collect();
        runs.retain(|(cell, seed)| !known.contains(&key(cell, *seed)));
        let keep = |ended: Result<Record, String>| {
            let record = ended.map_err(Failure)?;
            let line = serde_json::to_string(&record).map_err(io::Error::from)?;
            writeln!(file, "{line}")?;
            show(&record);
            records.push(record);
            Ok(())
        };
        shared_out(&runs, jobs, |(cell, seed)| run(cell, *seed), keep)
            .map_err(|Failure(text)| format!("{}: {text}", folder.display()))?;
        Ok(records)
    }
}
