//! The runs of a study, counted by cell.

use std::collections::HashMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::cell::{Axis, Cell};
use super::kinds;
use super::record::{Ending, Record};
use super::spread::Spread;
use crate::files::{write_atomically, write_json};

/// The value of [`Summary::schema`] in this version.
pub const SCHEMA: &str = "disentangle-study-1";
/// The normal quantile of a two-sided 95 % interval.
const Z: f64 = 1.959_963_984_540_054;

/// A share and its 95 % interval by Wilson's score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// k / n.
    pub share: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Of `k` successes among `n` >= 1 trials (Wilson, J. Am. Stat. Assoc. 22, 1927):
    ///
    /// ```text
    /// (p + z^2/2n +- z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n),   p = k/n
    /// ```
    pub fn wilson(k: usize, n: usize) -> Interval {
        let (share, n) = (k as f64 / n as f64, n as f64);
        let centre = share + Z * Z / (2.0 * n);
        let reach = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        // All or nothing has the end itself, which rounding would miss.
        let low = if k == 0 { 0.0 } else { (centre - reach) / scale };
        let high = if share == 1.0 { 1.0 } else { (centre + reach) / scale };
        Interval { share, low, high }
    }
}

/// The runs of one cell. A count or median is `null` where no run has the figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellSummary {
    /// The coordinates.
    #[serde(flatten)]
    pub cell: Cell,
    /// Runs finished.
    pub runs: usize,
    /// Identified, rightly or wrongly.
    pub identified: usize,
    /// Identified rightly.
    pub right: usize,
    /// The share of runs identified and right.
    pub success: Interval,
    /// Approximate.
    pub approximate: usize,
    /// Not identified.
    pub not_identified: usize,
    /// Panicked, or the black box failed.
    pub errors: usize,
    /// Identified, and not the true network.
    pub wrong: usize,
    /// With both an error and a bound on it.
    pub bounds: usize,
    /// Of these, right or not, with the error above the bound.
    pub bounds_violated: usize,
    /// Median parameter error.
    pub parameter_error: Option<f64>,
    /// The quotients of bound and error.
    pub bound_over_error: Option<Spread>,
    /// Directions that belong to no unit, over all runs.
    pub false_candidates: Option<usize>,
    /// Directions attributed to the wrong layer, over all runs.
    pub false_attributions: Option<usize>,
    /// Median share of the first layer's units found.
    pub units_found: Option<f64>,
    /// Median gap.
    pub gap: Option<f64>,
    /// Median of the smallest projection of a true a_i a_i^T.
    pub projection: Option<f64>,
    /// Median queries.
    pub queries: Option<f64>,
    /// Median seconds.
    pub seconds: Option<f64>,
}

/// All cells, and the sums over them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The version of the program that counted.
    pub version: &'static str,
    /// Runs finished.
    pub runs: usize,
    /// Identified.
    pub identified: usize,
    /// Identified, and not the true network.
    pub wrong: usize,
    /// Panicked, or the black box failed.
    pub errors: usize,
    /// With both an error and a bound on it.
    pub bounds: usize,
    /// Of these, with the error above the bound.
    pub bounds_violated: usize,
    /// The quotients of bound and error.
    pub bound_over_error: Option<Spread>,
    /// In the order of their coordinates.
    pub cells: Vec<CellSummary>,
}

/// A summary that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct SummaryError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Summary {
    /// Counts runs.
    pub fn of(records: &[Record]) -> Summary {
        let mut groups: Vec<(&Cell, Vec<&Record>)> = Vec::new();
        let mut places = HashMap::new();
        for record in records {
            // Cells hold numbers that only their text can stand for as a key.
            let place = *places.entry(format!("{:?}", record.cell)).or_insert_with(|| {
                groups.push((&record.cell, Vec::new()));
                groups.len() - 1
            });
            groups[place].1.push(record);
        }
        groups.sort_by_cached_key(|(cell, _)| Axis::ALL.map(|axis| Label(axis.label(cell))));
        let cells: Vec<_> =
            groups.into_iter().map(|(cell, runs)| CellSummary::of(cell, &runs)).collect();
        let sum = |count: fn(&CellSummary) -> usize| cells.iter().map(count).sum();
        Summary {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            runs: records.len(),
            identified: sum(|cell| cell.identified),
            wrong: sum(|cell| cell.wrong),
            errors: sum(|cell| cell.errors),
            bounds: sum(|cell| cell.bounds),
            bounds_violated: sum(|cell| cell.bounds_violated),
            bound_over_error: bound_over_error(records),
            cells,
        }
    }

    /// The table as aligned text.
    pub fn table(&self) -> String {
        let rows = self.rows();
        let columns = rows.first().map_or(0, Vec::len);
        let width = |k: usize| rows.iter().map(|row| row[k].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:>width$}"));
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text.push_str(&self.foot());
        text
    }

    /// The table in markdown.
    pub fn markdown(&self) -> String {
        markdown(&self.rows(), &self.foot())
    }

    /// The table by kinds in markdown: a row a cell, which is named by what is not usual in it.
    pub fn kinds(&self) -> String {
        let calibration = self.bound_over_error.map(|spread| {
            let Spread { least, percentile_1, percentile_10, median, percentile_90 } = spread;
            format!(
                "bound/error of {} networks: least {least:.2}, 1 % {percentile_1:.2}, 10 % {percentile_10:.2}, \
                 median {median:.1}, 90 % {percentile_90:.1}.\n",
                self.bounds
            )
        });
        markdown(&kinds::rows(self), &(self.foot() + &calibration.unwrap_or_default()))
    }

    /// What is the same in all cells, and the sums.
    fn foot(&self) -> String {
        let cells = || self.cells.iter().map(|summary| &summary.cell);
        let mut same: Vec<String> = Axis::ALL
            .into_iter()
            .filter_map(|axis| match axis.labels(cells()).as_slice() {
                [one] => Some(format!("{} {one}", axis.name())),
                _ => None,
            })
            .collect();
        if self.m0_is_d() && !self.varying().is_empty() {
            same.retain(|text| !text.starts_with("m0 "));
            same.push("m0 = d".to_owned());
        }
        let Summary { runs, identified, wrong, errors, bounds_violated, .. } = self;
        format!(
            "In all cells: {}.\n{runs} runs, {identified} identified, {wrong} WRONG, {errors} errors, \
             {bounds_violated} bounds violated.\n",
            same.join(", ")
        )
    }

    fn m0_is_d(&self) -> bool {
        self.cells.iter().all(|summary| summary.cell.m0 == summary.cell.d)
    }

    /// The axes on which cells differ; not m0 where it is d.
    pub fn varying(&self) -> Vec<Axis> {
        let varies = |axis: &Axis| {
            axis.labels(self.cells.iter().map(|summary| &summary.cell)).len() > 1
                && !(*axis == Axis::M0 && self.m0_is_d())
        };
        Axis::ALL.into_iter().filter(varies).collect()
    }

    /// Headings, then a row a cell.
    fn rows(&self) -> Vec<Vec<String>> {
        let varying = self.varying();
        let figures = [
            "runs",
            "identified",
            "95 %",
            "approx.",
            "not id.",
            "errors",
            "WRONG",
            "false cand.",
            "false attr.",
            "units",
            "gap",
            "projection",
            "queries",
            "seconds",
        ];
        let names = varying.iter().map(|axis| axis.name()).chain(figures);
        let mut rows: Vec<Vec<String>> = vec![names.map(str::to_owned).collect()];
        rows.extend(self.cells.iter().map(|summary| {
            let coordinates = varying.iter().map(|axis| axis.label(&summary.cell));
            coordinates.chain(summary.figures()).collect()
        }));
        rows
    }

    /// Writes `summary.json`, `summary.md` and `kinds.md` into a folder.
    ///
    /// # Errors
    /// [`SummaryError`].
    pub fn save(&self, folder: &Path) -> Result<(), SummaryError> {
        let write = |name: &str, write: &dyn Fn(&Path) -> io::Result<()>| {
            let path = folder.join(name);
            write(&path).map_err(|source| SummaryError { path, source })
        };
        write("summary.json", &|path| write_json(path, self))?;
        write("summary.md", &|path| write_atomically(path, self.markdown().as_bytes()))?;
        write("kinds.md", &|path| write_atomically(path, self.kinds().as_bytes()))
    }
}

/// Rows, the first of them headings, and what stands below.
fn markdown(rows: &[Vec<String>], foot: &str) -> String {
    let mut text = String::new();
    for (k, row) in rows.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} |", row.join(" | "));
        if k == 0 {
            let _ = writeln!(text, "|{}", "---|".repeat(row.len()));
        }
    }
    text.push('\n');
    text.push_str(foot);
    text
}

impl CellSummary {
    fn of(cell: &Cell, runs: &[&Record]) -> CellSummary {
        let ended = |ending| runs.iter().filter(|run| run.status == ending).count();
        let sum = |figure: fn(&Record) -> Option<usize>| {
            // A file may say anything.
            runs.iter().filter_map(|run| figure(run)).reduce(usize::saturating_add)
        };
        let middle = |figure: fn(&Record) -> Option<f64>| {
            median(runs.iter().filter_map(|run| figure(run)).collect())
        };
        let right =
            runs.iter().filter(|run| run.status == Ending::Identified && !run.wrong).count();
        CellSummary {
            cell: cell.clone(),
            runs: runs.len(),
            identified: ended(Ending::Identified),
            right,
            success: Interval::wilson(right, runs.len()),
            approximate: ended(Ending::Approximate),
            not_identified: ended(Ending::NotIdentified),
            errors: ended(Ending::Error),
            wrong: runs.iter().filter(|run| run.wrong).count(),
            bounds: runs.iter().filter(|run| run.bound_violated.is_some()).count(),
            bounds_violated: runs.iter().filter(|run| run.bound_violated == Some(true)).count(),
            parameter_error: middle(|run| run.parameter_error),
            bound_over_error: bound_over_error(runs.iter().copied()),
            false_candidates: sum(|run| run.false_candidates),
            false_attributions: sum(|run| run.false_attributions),
            units_found: middle(|run| run.units_found.map(|n| n as f64 / run.cell.m0 as f64)),
            gap: middle(|run| run.gap),
            projection: middle(|run| run.projection),
            queries: middle(|run| Some(run.queries as f64)),
            seconds: middle(|run| Some(run.seconds)),
        }
    }

    fn figures(&self) -> Vec<String> {
        let some = |value: Option<String>| value.unwrap_or("-".to_owned());
        vec![
            self.runs.to_string(),
            self.identified.to_string(),
            format!("{:.2} to {:.2}", self.success.low, self.success.high),
            self.approximate.to_string(),
            self.not_identified.to_string(),
            self.errors.to_string(),
            self.wrong.to_string(),
            some(self.false_candidates.map(|n| n.to_string())),
            some(self.false_attributions.map(|n| n.to_string())),
            some(self.units_found.map(|share| format!("{share:.2}"))),
            some(self.gap.map(|gap| format!("{gap:.2}"))),
            some(self.projection.map(|projection| format!("{projection:.4}"))),
            some(self.queries.map(|queries| format!("{queries:.0}"))),
            some(self.seconds.map(|seconds| format!("{seconds:.2}"))),
        ]
    }
}

fn median(values: Vec<f64>) -> Option<f64> {
    Spread::of(values).map(|spread| spread.median)
}

/// The quotients of bound and error, where there are both and the error is not 0.
fn bound_over_error<'a>(runs: impl IntoIterator<Item = &'a Record>) -> Option<Spread> {
    let ratio = |run: &Record| {
        let pair = run.bound.zip(run.parameter_error).filter(|(_, error)| *error > 0.0);
        pair.map(|(bound, error)| bound / error)
    };
    Spread::of(runs.into_iter().filter_map(ratio).collect())
}

/// The label of a coordinate, ordered as a number where it is one.
#[derive(PartialEq, Eq)]
pub(super) struct Label(pub String);

impl Ord for Label {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        Axis::compare(&self.0, &other.0)
    }
}

impl PartialOrd for Label {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::study::record::tests::record;

    #[test]
    fn wilsons_interval_has_its_known_values() {
        for (k, n, low, high) in [
            (0, 10, 0.0, 0.277_532_8),
            (10, 10, 0.722_467_2, 1.0),
            (5, 10, 0.236_593_1, 0.763_406_9),
            (81, 263, 0.255_288_5, 0.366_209_6),
            (1, 1, 0.206_549_3, 1.0),
        ] {
            let found = Interval::wilson(k, n);
            assert!((found.low - low).abs() < 1e-6, "{k} of {n}: {found:?}");
            assert!((found.high - high).abs() < 1e-6, "{k} of {n}: {found:?}");
        }
    }

    pub fn records() -> Vec<Record> {
        let mut records = Vec::new();
        for (std, seed) in [(0.5, 0), (0.5, 1), (0.05, 0), (0.05, 1), (0.05, 2)] {
            let mut record = record(seed);
            record.cell.std = std;
            records.push(record);
        }
        records[0].wrong = true;
        records[1].status = Ending::NotIdentified;
        records[1].gap = None;
        records[4].false_candidates = Some(2);
        records
    }

    #[test]
    fn runs_are_counted_by_cell() {
        let summary = Summary::of(&records());
        assert_eq!((summary.runs, summary.identified, summary.wrong), (5, 4, 1));
        assert_eq!(summary.varying(), [Axis::Std]);
        let [low, high] = summary.cells.as_slice() else { panic!("{summary:?}") };
        assert_eq!((low.cell.std, low.runs, low.identified, low.wrong), (0.05, 3, 3, 0));
        assert_eq!(
            (low.false_candidates, low.gap, low.queries),
            (Some(2), Some(3.0), Some(1001.0))
        );
        assert_eq!((high.runs, high.identified, high.wrong, high.not_identified), (2, 1, 1, 1));
        assert_eq!((summary.bounds, summary.bounds_violated), (5, 0));
        assert!((summary.bound_over_error.unwrap().least - 10.0).abs() < 1e-9);
        // A wrong answer is no success.
        assert_eq!((low.right, high.right), (3, 0));
        assert_eq!(high.success, Interval::wilson(0, 2));
    }

    #[test]
    fn tables_have_a_row_a_cell_and_the_coordinates_that_differ() {
        let summary = Summary::of(&records());
        let markdown = summary.markdown();
        let lines: Vec<&str> = markdown.lines().collect();
        assert!(lines[0].starts_with("| std | runs | identified |"), "{markdown}");
        assert!(
            lines[2].starts_with("| 0.05 | 3 | 3 | 0.44 to 1.00 | 0 | 0 | 0 | 0 | 2 |"),
            "{markdown}"
        );
        assert!(markdown.contains("5 runs, 4 identified, 1 WRONG, 0 errors, 0 bounds"));
        assert!(markdown.contains("m1 3") && markdown.contains("m0 = d"));
        let table = summary.table();
        let ends: Vec<usize> = table.lines().take(3).map(str::len).collect();
        assert!(ends.iter().all(|&end| end == ends[0]), "{table}");
    }

    #[test]
    fn nothing_is_a_summary_too() {
        let summary = Summary::of(&[]);
        assert!(summary.table().contains("0 runs") && summary.varying().is_empty());
    }
}
