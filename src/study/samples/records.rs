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

#[cfg(test)]
mod tests {
    use super::super::{Shows, tables};
    use super::*;

    /// Rounding.
    const REFINED: f64 = 1e-10;
    const PLAN: &str = r#"
        kind = "samples"
        seeds = 2
        [[grid]]
        shows = "start"
        method = ["start"]
        activation = ["tanh"]
        d = [4]
        k = [2]
        n = [1000, 2000]
        [[grid]]
        shows = "methods"
        method = ["tensor", "exact", "identify"]
        activation = ["relu"]
        d = [4]
        k = [2]
        n = ["queries-of-identify"]
        [[grid]]
        shows = "wrong"
        method = ["tensor"]
        activation = ["relu"]
        d = [4]
        k = [2]
        n = [1000]
        spoilt = ["fewer-units", "shuffled"]
    "#;

    #[test]
    fn a_sweep_that_was_cut_off_is_finished_and_nothing_is_done_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.toml");
        std::fs::write(&path, PLAN).unwrap();
        let plan = Plan::load(&path).unwrap().unwrap();
        let mut done = 0;
        let records = plan.run(folder.path(), 2, |_| done += 1).unwrap();
        assert_eq!((records.len(), done), (14, 14));
        for record in &records {
            let found = record.status == Status::Identified;
            assert!(
                !record.wrong && found == (record.cell.shows == Shows::Methods),
                "{}",
                record.line()
            );
            assert_eq!(
                found,
                record.error.is_some_and(|error| error < REFINED),
                "{}",
                record.line()
            );
        }
        // As many samples as queries, of the same network.
        let of =
            |seed| records.iter().filter(move |r| r.seed == seed && r.cell.shows == Shows::Methods);
        for seed in 0..2 {
            let asked = of(seed).map(|record| record.queries).max().unwrap();
            let drawn: Vec<_> = of(seed).map(|record| record.samples).filter(|n| *n > 0).collect();
            assert_eq!(drawn, [asked as usize; 2]);
        }
        let text = tables(&records);
        for part in
            ["**The start**", "**Beside training", "0 of 2 |", "0 of them identified and WRONG"]
        {
            assert!(text.contains(part), "{text}");
        }
        // The last line is cut off: that run alone is done again.
        let file = folder.path().join(FILE);
        let stored = std::fs::read(&file).unwrap();
        std::fs::write(&file, &stored[..stored.len() - 20]).unwrap();
        assert!(is_of(folder.path()) && load(folder.path()).unwrap().len() == 13);
        let mut done = 0;
        assert_eq!(plan.run(folder.path(), 1, |_| done += 1).unwrap().len(), 14);
        assert_eq!((done, load(folder.path()).unwrap().len()), (1, 14));
    }
}
