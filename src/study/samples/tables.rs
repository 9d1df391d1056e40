//! The tables of a study: one for each thing that a grid shows.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use super::plan::{Cell, Method, Shows, Spoilt};
use super::records::Record;
use crate::identify::Status;
use crate::study::spread::slope;

/// Errors of units after the start that count as success.
const STARTED: [f64; 2] = [1e-1, 1e-2];
/// The same of the parameters after the refinement.
const REFINED: f64 = 1e-10;
/// A share of runs from which a number of samples is enough.
const ENOUGH: f64 = 0.9;

/// All tables that the records are enough for, in Markdown.
#[must_use]
pub fn tables(records: &[Record]) -> String {
    let of = |shows| records.iter().filter(|record| record.cell.shows == shows).collect::<Vec<_>>();
    let parts = [
        starts(&of(Shows::Start)),
        ends(&of(Shows::End)),
        growth(&of(Shows::Start), &of(Shows::End)),
        exact(&of(Shows::Exact)),
        noise(&of(Shows::Noise)),
        methods(&of(Shows::Methods)),
        wrong(&of(Shows::Wrong)),
    ];
    let wrongs = records.iter().filter(|record| record.wrong).count();
    let last = format!("{} runs in all, {wrongs} of them identified and WRONG.", records.len());
    let parts: Vec<String> = parts.into_iter().flatten().chain([last]).collect();
    format!("{}\n", parts.join("\n\n"))
}

/// Records by a row and by their number of samples.
type Rows<'a, K> = BTreeMap<K, BTreeMap<usize, Vec<&'a Record>>>;

fn rows<'a, K: Ord>(records: &[&'a Record], key: impl Fn(&Cell) -> K) -> Rows<'a, K> {
    let mut rows: Rows<'a, K> = BTreeMap::new();
    for record in records {
        rows.entry(key(&record.cell)).or_default().entry(record.samples).or_default().push(record);
    }
    rows
}

/// Activation, k, d.
type Shape = (String, usize, usize);

fn shape(cell: &Cell) -> Shape {
    (cell.activation.to_string(), cell.k, cell.d)
}

fn counts(records: &[&Record]) -> Vec<usize> {
    let mut counts: Vec<usize> = records.iter().map(|record| record.samples).collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// A table of a title, its columns and its rows.
fn table(title: &str, columns: &[String], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let rule = format!("|{}", "---|".repeat(columns.len()));
    let rows = rows.into_iter().map(|row| line(&row));
    let lines: Vec<String> = [line(columns), rule].into_iter().chain(rows).collect();
    format!("{title}\n\n{}", lines.join("\n"))
}

fn heads(first: &[&str], counts: &[usize], last: &[&str]) -> Vec<String> {
    let text = |head: &&str| (*head).to_owned();
    let counts = counts.iter().map(usize::to_string);
    first.iter().map(text).chain(counts).chain(last.iter().map(text)).collect()
}

fn has(error: Option<f64>, limit: f64) -> bool {
    error.is_some_and(|error| error <= limit)
}

fn count(runs: &[&Record], of: impl Fn(&Record) -> bool) -> usize {
    runs.iter().filter(|run| of(run)).count()
}

/// The value that this share of all is no larger than.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (share * values.len() as f64).ceil() as usize;
    values.get(at.max(1) - 1).copied().unwrap_or(f64::NAN)
}

fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

fn short(value: f64) -> String {
    if value.is_finite() { format!("{value:.1e}") } else { "-".to_owned() }
}

/// The number of samples that is enough for nine runs in ten.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Enough {
    /// Between two that were tried.
    At(f64),
    /// The least that was tried, or fewer.
    Within(usize),
    /// More than all that were tried.
    Above(usize),
}

impl Display for Enough {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Enough::At(n) => {
                // To two digits.
                let unit = 10f64.powf(n.log10().floor() - 1.0).max(1.0);
                write!(f, "{:.0}", (n / unit).round() * unit)
            }
            Enough::Within(n) => write!(f, "{n} or fewer"),
            Enough::Above(n) => write!(f, "> {n}"),
        }
    }
}

/// Where `value` of n first stays at or above `level`, on the straight line in log n between the last n that is below and the next
/// one.
fn crossing(points: &[(usize, f64)], level: f64) -> Enough {
    let below = points.iter().rposition(|(_, value)| *value < level);
    let (last, next) = match below {
        None => return Enough::Within(points.first().map_or(0, |(n, _)| *n)),
        Some(at) => (points[at], points.get(at + 1)),
    };
    let Some(&(n, value)) = next else { return Enough::Above(last.0) };
    let (before, lower) = last;
    let share = if lower.is_finite() { (level - lower) / (value - lower) } else { 1.0 };
    let (from, to) = ((before as f64).ln(), (n as f64).ln());
    Enough::At((from + share * (to - from)).exp())
}

/// n from which nine starts in ten are within the limit.
fn started(by_n: &BTreeMap<usize, Vec<&Record>>, limit: f64) -> Enough {
    let nearness = |runs: &Vec<&Record>| {
        let errors = runs.iter().map(|run| run.start_error.unwrap_or(f64::INFINITY)).collect();
        -quantile(errors, ENOUGH).ln()
    };
    let points: Vec<_> = by_n.iter().map(|(n, runs)| (*n, nearness(runs))).collect();
    crossing(&points, -limit.ln())
}

/// n from which nine fits in ten end at rounding.
fn ended(by_n: &BTreeMap<usize, Vec<&Record>>) -> Enough {
    let share =
        |runs: &Vec<&Record>| count(runs, |run| has(run.error, REFINED)) as f64 / runs.len() as f64;
    let points: Vec<_> = by_n.iter().map(|(n, runs)| (*n, share(runs))).collect();
    crossing(&points, ENOUGH)
}

fn starts(records: &[&Record]) -> Option<String> {
    let counts = counts(records);
    let row = |(shape, by_n): (Shape, BTreeMap<usize, Vec<&Record>>)| {
        let cell = |n: &usize| {
            let Some(runs) = by_n.get(n) else { return String::new() };
            let errors = runs.iter().map(|run| run.start_error.unwrap_or(f64::INFINITY)).collect();
            let within =
                STARTED.map(|limit| count(runs, |run| has(run.start_error, limit)).to_string());
            format!("{}, {} of {}, {:.2}", within[0], within[1], runs.len(), median(errors))
        };
        let enough = STARTED.map(|limit| started(&by_n, limit).to_string());
        let name = format!("{} {}-{}", shape.0, shape.2, shape.1);
        [name].into_iter().chain(counts.iter().map(cell)).chain(enough).collect()
    };
    let columns = heads(&["network"], &counts, &["90 % within 0.1", "90 % within 0.01"]);
    let title = "**The start**, moments alone: runs whose worst unit is within 0.1 and 0.01 of the truth, and its median distance, by the number \
                 of samples; and the number with which nine in ten are, on a straight line between two columns.";
    (!records.is_empty()).then(|| table(title, &columns, rows(records, shape).into_iter().map(row)))
}

fn ends(records: &[&Record]) -> Option<String> {
    let counts = counts(records);
    let row = |(shape, by_n): (Shape, BTreeMap<usize, Vec<&Record>>)| {
        let cell = |n: &usize| {
            by_n.get(n).map_or(String::new(), |runs| {
                format!("{} of {}", count(runs, |run| has(run.error, REFINED)), runs.len())
            })
        };
        let enough = ended(&by_n).to_string();
        let name = format!("{} {}-{}", shape.0, shape.2, shape.1);
        [name].into_iter().chain(counts.iter().map(cell)).chain([enough]).collect()
    };
    let columns = heads(&["network"], &counts, &["90 %"]);
    let title = "**The end**, moments and Levenberg-Marquardt: runs whose parameter error is at most 1e-10, by \
                 the number of samples.";
    (!records.is_empty()).then(|| table(title, &columns, rows(records, shape).into_iter().map(row)))
}

/// The slope of log n against log d for each activation and each k, where at least two d have an n.
fn growth(started_records: &[&Record], ended_records: &[&Record]) -> Option<String> {
    type Of<'a> = &'a dyn Fn(&BTreeMap<usize, Vec<&Record>>) -> Enough;
    let mut slopes: BTreeMap<(String, usize), [String; 3]> = BTreeMap::new();
    let mut along = |records: &[&Record], column: usize, enough: Of<'_>| {
        let mut points: BTreeMap<(String, usize), Vec<(f64, f64)>> = BTreeMap::new();
        for ((phi, k, d), by_n) in rows(records, shape) {
            let of_k = points.entry((phi, k)).or_default();
            if let Enough::At(n) = enough(&by_n) {
                of_k.push(((d as f64).ln(), n.ln()));
            }
        }
        for (key, points) in points {
            let text = slope(&points).map_or("-".to_owned(), |slope| format!("{slope:.2}"));
            slopes.entry(key).or_insert_with(|| ["-"; 3].map(str::to_owned))[column] =
                format!("{text} ({})", points.len());
        }
    };
    along(started_records, 0, &|by_n| started(by_n, STARTED[0]));
    along(started_records, 1, &|by_n| started(by_n, STARTED[1]));
    along(ended_records, 2, &ended);
    let columns =
        heads(&["activation", "k", "start within 0.1", "start within 0.01", "end"], &[], &[]);
    let title = "**How the number of samples grows with d**: the slope of the logarithm of the number for 90 % \
                 against that of d, of as many d as are told.";
    let row = |((phi, k), slopes): ((String, usize), [String; 3])| {
        [vec![phi, k.to_string()], slopes.into()].concat()
    };
    (!slopes.is_empty()).then(|| table(title, &columns, slopes.into_iter().map(row)))
}

fn exact(records: &[&Record]) -> Option<String> {
    let key = |cell: &Cell| (cell.k, cell.outputs, cell.d);
    let row = |((k, m, d), by_n): ((usize, usize, usize), BTreeMap<usize, Vec<&Record>>)| {
        let runs: Vec<&Record> = by_n.into_values().flatten().collect();
        let worst = runs.iter().map(|run| run.error.unwrap_or(f64::INFINITY)).fold(0.0, f64::max);
        let identified = count(&runs, |run| run.status == Status::Identified);
        let seconds = median(runs.iter().map(|run| run.seconds).collect());
        vec![
            format!("{d}-{k}-{m}"),
            format!("{identified} of {}", runs.len()),
            count(&runs, |run| has(run.error, 1e-12)).to_string(),
            short(worst),
            format!("{seconds:.2}"),
        ]
    };
    let columns = heads(
        &["network", "identified", "error at most 1e-12", "largest error", "seconds"],
        &[],
        &[],
    );
    let title = "**Exact recovery without noise** (relu, `--method exact`).";
    (!records.is_empty()).then(|| table(title, &columns, rows(records, key).into_iter().map(row)))
}

fn noise(records: &[&Record]) -> Option<String> {
    let counts = counts(records);
    let key = |cell: &Cell| format!("{:e}", cell.noise);
    let row = |(noise, by_n): (String, BTreeMap<usize, Vec<&Record>>)| {
        let errors: BTreeMap<usize, f64> = by_n
            .iter()
            .map(|(n, runs)| {
                (*n, median(runs.iter().map(|run| run.error.unwrap_or(f64::INFINITY)).collect()))
            })
            .collect();
        let cell = |n: &usize| errors.get(n).map_or(String::new(), |error| short(*error));
        let points: Vec<(f64, f64)> =
            errors.iter().map(|(n, error)| ((*n as f64).ln(), error.ln())).collect();
        let slope = slope(&points).map_or("-".to_owned(), |slope| format!("{slope:.2}"));
        let runs: Vec<&Record> = by_n.into_values().flatten().collect();
        let identified = count(&runs, |run| run.status == Status::Identified);
        let last = [slope, format!("{identified} of {}", runs.len())];
        [noise].into_iter().chain(counts.iter().map(cell)).chain(last).collect()
    };
    let columns = heads(&["noise"], &counts, &["slope", "identified"]);
    let title = "**Noise**: the median parameter error by the number of samples, and the slope of its logarithm; identified within a tolerance \
                 of 1.";
    (!records.is_empty()).then(|| table(title, &columns, rows(records, key).into_iter().map(row)))
}

/// What tables and the figure call it.
pub(super) fn name(method: Method) -> &'static str {
    match method {
        Method::Start => "moments alone",
        Method::Tensor => "moments, least squares",
        Method::Exact => "moments, exact rounds",
        Method::Adam => "Adam, true width",
        Method::AdamWide => "Adam, four times the width",
        Method::Gradient => "gradient descent, true width",
        Method::GradientWide => "gradient descent, four times the width",
        Method::Identify => "`identify`, from queries",
    }
}

fn methods(records: &[&Record]) -> Option<String> {
    let mut groups: BTreeMap<(usize, usize, Method), BTreeMap<_, Vec<&Record>>> = BTreeMap::new();
    for record in records {
        let Cell { d, k, method, n, .. } = record.cell;
        groups.entry((d, k, method)).or_default().entry(n).or_default().push(record);
    }
    let row = |((d, k, method), by_n): ((usize, usize, Method), BTreeMap<_, Vec<&Record>>)| {
        by_n.into_values()
            .map(|runs| {
                let errors = runs.iter().map(|run| run.error.unwrap_or(f64::INFINITY)).collect();
                let seconds = median(runs.iter().map(|run| run.seconds).collect());
                let used = |of: fn(&Record) -> usize| {
                    median(runs.iter().map(|run| of(run) as f64).collect())
                };
                let asked = used(|run| run.queries as usize).max(used(|run| run.samples));
                vec![
                    name(method).to_owned(),
                    format!("{d}-{k}"),
                    format!("{asked:.0}"),
                    format!("{} of {}", count(&runs, |run| has(run.error, REFINED)), runs.len()),
                    short(median(errors)),
                    format!("{seconds:.2}"),
                ]
            })
            .collect::<Vec<_>>()
    };
    let columns = heads(
        &[
            "method",
            "network",
            "samples or queries",
            "error at most 1e-10",
            "median error",
            "seconds",
        ],
        &[],
        &[],
    );
    let title = "**Beside training and queries**, on the same instances. The median error is `-` where half of the runs end with another number of \
                 units.";
    (!records.is_empty()).then(|| table(title, &columns, groups.into_iter().flat_map(row)))
}

fn wrong(records: &[&Record]) -> Option<String> {
    let mut groups: BTreeMap<(String, String, Spoilt), Vec<&Record>> = BTreeMap::new();
    for record in records {
        let Cell { activation, noise, spoilt, .. } = &record.cell;
        groups
            .entry((activation.to_string(), format!("{noise:e}"), *spoilt))
            .or_default()
            .push(record);
    }
    let row = |((phi, noise, spoilt), runs): ((String, String, Spoilt), Vec<&Record>)| {
        let what = match spoilt {
            Spoilt::No => "nothing",
            Spoilt::FewerUnits => "one unit less told",
            Spoilt::Activation => "another activation told",
            Spoilt::Inputs => "uniform inputs",
            Spoilt::Shuffled => "labels shuffled",
        };
        let identified = count(&runs, |run| run.status == Status::Identified);
        vec![phi, noise, what.to_owned(), format!("{identified} of {}", runs.len())]
    };
    let columns = heads(&["activation", "noise", "what is wrong", "identified"], &[], &[]);
    let title = "**Never wrong**: what must not be identified.";
    (!records.is_empty()).then(|| table(title, &columns, groups.into_iter().map(row)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_crossed_on_a_line_in_log_n_from_where_it_stays() {
        let points = [(100, 0.95), (200, 0.8), (400, 1.0), (800, 0.9)];
        let Enough::At(n) = crossing(&points, 0.9) else { panic!("between two") };
        assert!((n - 200.0 * 2f64.sqrt()).abs() < 1e-9, "{n}");
        assert_eq!(crossing(&points, 0.95), Enough::Above(800));
        assert_eq!(crossing(&points[2..], 0.5), Enough::Within(400));
        let Enough::At(n) = crossing(&[(100, f64::NEG_INFINITY), (200, 1.0)], 0.5) else {
            panic!("between two")
        };
        assert!((n - 200.0).abs() < 1e-9, "{n}");
        assert_eq!(Enough::At(12_345.0).to_string(), "12000");
    }

    #[test]
    fn a_power_is_a_slope_and_quantiles_are_of_the_values() {
        let points: Vec<(f64, f64)> =
            [10f64, 20.0, 50.0].iter().map(|d| (d.ln(), (3.0 * d.powf(1.5)).ln())).collect();
        assert!((slope(&points).unwrap() - 1.5).abs() < 1e-12);
        assert_eq!(slope(&points[..1]), None);
        let values: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        assert_eq!((quantile(values.clone(), 0.9), median(values)), (18.0, 10.0));
    }
}
