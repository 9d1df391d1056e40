//! Sweeps of fits to samples: a plan of its own kind, `kind = "samples"`.
//!
//! A run draws a network without shifts and samples of it, fits them by one of the [`Method`]s, and compares with the truth; the
//! baselines and `identify` are run on the same instances. A line of `runs.jsonl` is a run, and none is done twice.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use nalgebra::DMatrix;
use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use crate::files::{read_regular, write_atomically};
use crate::identify::{Settings, Status, identify};
use crate::network::{Activation, Class, Network};
use crate::oracle::{NetworkOracle, Silent};
use crate::samples::descent::{Optimiser, Training, merged, train};
use crate::samples::{FitSettings, Samples, Units, draw_samples, fit};

/// Errors of units after the start, and after the refinement, that count as success.
const STARTED: f64 = 1e-2;
const REFINED: f64 = 1e-10;
/// An error that is rounding, whatever the bound says.
const ROUNDING: f64 = 1e-9;
/// Steps of training.
const TRAINING_STEPS: usize = 20_000;
/// A share of runs from which a number of samples is enough.
const ENOUGH: f64 = 0.9;

/// How a network is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Method {
    /// Moments and Levenberg-Marquardt.
    Tensor,
    /// Moments and exact rounds.
    Exact,
    /// Training by Adam, a student of the true width.
    Adam,
    /// Training by Adam, a student of four times that width, merged.
    AdamWide,
    /// Training by gradient descent, the true width.
    Gradient,
    /// The same, four times that width, merged.
    GradientWide,
    /// From queries.
    Identify,
}

/// How samples are spoilt, so that nothing may be identified.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Spoilt {
    /// Not.
    #[default]
    No,
    /// One unit less is told.
    FewerUnits,
    /// Another activation is told.
    Activation,
    /// The inputs are uniform.
    Inputs,
    /// The outputs belong to other inputs.
    Shuffled,
}

/// The axes of a plan, each with its values.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grid {
    method: Vec<Method>,
    activation: Vec<Activation>,
    d: Vec<usize>,
    k: Vec<usize>,
    #[serde(default = "one")]
    outputs: Vec<usize>,
    n: Vec<usize>,
    #[serde(default = "none")]
    noise: Vec<f64>,
    #[serde(default = "whole")]
    spoilt: Vec<Spoilt>,
}

fn one() -> Vec<usize> {
    vec![1]
}

fn none() -> Vec<f64> {
    vec![0.0]
}

fn whole() -> Vec<Spoilt> {
    vec![Spoilt::No]
}

/// A plan of this kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Seeds 0 to this, less one.
    pub seeds: u64,
    grid: Vec<Grid>,
}

/// A cell of the grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    method: Method,
    activation: Activation,
    d: usize,
    k: usize,
    outputs: usize,
    n: usize,
    noise: f64,
    spoilt: Spoilt,
}

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    cell: Cell,
    seed: u64,
    status: Status,
    /// Largest distance of a unit of norm 1 from the nearest one of the start.
    start_error: Option<f64>,
    /// Parameter error.
    error: Option<f64>,
    bound: Option<f64>,
    queries: u64,
    seconds: f64,
    /// Identified, but not the truth within the bound.
    pub wrong: bool,
}

impl Plan {
    /// The plan in a file; `None` where it is of the usual kind, or cannot be read.
    #[must_use]
    pub fn load(path: &Path) -> Option<Result<Plan, String>> {
        let text = String::from_utf8(read_regular(path).ok()?).ok()?;
        let mut table: toml::Table = text.parse().ok()?;
        let kind = table.remove("kind")?;
        let named = |error: toml::de::Error| format!("{}: {error}", path.display());
        (kind.as_str()? == "samples").then(|| table.try_into().map_err(named))
    }

    /// All cells.
    #[must_use]
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for grid in &self.grid {
            for &method in &grid.method {
                for &activation in &grid.activation {
                    for (&d, &k) in grid.d.iter().flat_map(|d| grid.k.iter().map(move |k| (d, k))) {
                        for (&outputs, &n) in
                            grid.outputs.iter().flat_map(|m| grid.n.iter().map(move |n| (m, n)))
                        {
                            for (&noise, &spoilt) in grid
                                .noise
                                .iter()
                                .flat_map(|s| grid.spoilt.iter().map(move |t| (s, t)))
                            {
                                cells.push(Cell {
                                    method,
                                    activation,
                                    d,
                                    k,
                                    outputs,
                                    n,
                                    noise,
                                    spoilt,
                                });
                            }
                        }
                    }
                }
            }
        }
        cells
    }

    /// Runs what is not on record in `folder`, and returns all of the plan that is; `show` sees each run as it ends.
    ///
    /// # Errors
    /// Those of the folder, in a line; a network or samples that cannot be drawn.
    pub fn run(&self, folder: &Path, mut show: impl FnMut(&Record)) -> Result<Vec<Record>, String> {
        let named = |error: io::Error| format!("{}: {error}", folder.display());
        std::fs::create_dir_all(folder).map_err(named)?;
        let path = folder.join("runs.jsonl");
        let mut records = stored(&path).map_err(named)?;
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(named)?;
        for cell in self.cells() {
            for seed in 0..self.seeds {
                if records.iter().any(|record| record.cell == cell && record.seed == seed) {
                    continue;
                }
                let record = run(&cell, seed)?;
                let line = serde_json::to_string(&record).map_err(|error| error.to_string())?;
                writeln!(file, "{line}").map_err(named)?;
                show(&record);
                records.push(record);
            }
        }
        Ok(records)
    }
}

impl Record {
    /// The run and its end, in a line.
    #[must_use]
    pub fn line(&self) -> String {
        let Cell { method, activation, d, k, outputs, n, noise, .. } = &self.cell;
        let error = self.error.map_or("-".to_owned(), |error| format!("{error:.1e}"));
        let status = match self.status {
            _ if self.wrong => "WRONG",
            status => status.name(),
        };
        format!(
            "{method:?} {activation} {d}-{k}-{outputs} n {n} noise {noise} seed {}: {status}, error {error}, {:.2} s",
            self.seed, self.seconds
        )
    }
}

/// Finished runs; a line that is cut off is left out, and done again.
fn stored(path: &Path) -> io::Result<Vec<Record>> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(file) => BufReader::new(file)
            .lines()
            .filter_map(|line| line.map(|line| serde_json::from_str(&line).ok()).transpose())
            .collect(),
    }
}

/// What a method came to.
struct Ended {
    status: Status,
    network: Option<Network>,
    start: Option<Units>,
    bound: Option<f64>,
    queries: u64,
}

/// One run of a cell.
///
/// # Errors
/// A network or samples that cannot be drawn, in a line.
pub fn run(cell: &Cell, seed: u64) -> Result<Record, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let truth =
        Network::random(&[cell.d, cell.k], cell.outputs, Class::Centred, cell.activation, seed)
            .map_err(|error| text(&error))?;
    let samples = instance(cell, &truth, seed);
    let begun = Instant::now();
    let ended = match cell.method {
        Method::Tensor | Method::Exact => {
            fitted(cell, samples, seed).map_err(|error| text(&error))?
        }
        Method::Identify => queried(cell, &truth, seed)?,
        _ => trained(cell, &samples, seed),
    };
    let seconds = begun.elapsed().as_secs_f64();
    let error = ended.network.as_ref().and_then(|network| truth.matching(network).parameter_error);
    let allowed = ended.bound.unwrap_or(0.0).max(ROUNDING);
    let right = cell.spoilt == Spoilt::No && error.is_some_and(|error| error <= allowed);
    Ok(Record {
        cell: cell.clone(),
        seed,
        status: ended.status,
        start_error: ended.start.map(|start| start_error(&truth, &start)),
        error,
        bound: ended.bound.filter(|bound| bound.is_finite()),
        queries: ended.queries,
        seconds,
        wrong: ended.status == Status::Identified && !right,
    })
}

/// Samples, spoilt as the cell says.
fn instance(cell: &Cell, truth: &Network, seed: u64) -> (DMatrix<f64>, DMatrix<f64>) {
    let (x, y) = draw_samples(truth, cell.n, cell.noise, seed);
    match cell.spoilt {
        Spoilt::Inputs => {
            // Uniform of variance 1, by the distribution function.
            let x = x.map(|x| 12f64.sqrt() * (0.5 * libm::erfc(-x / 2f64.sqrt()) - 0.5));
            let y = truth.outputs(&x);
            (x, y)
        }
        Spoilt::Shuffled => {
            let moved: Vec<usize> = (0..cell.n).map(|j| (j + cell.n / 2) % cell.n).collect();
            (x, y.select_columns(&moved))
        }
        _ => (x, y),
    }
}

fn fitted(
    cell: &Cell,
    (x, y): (DMatrix<f64>, DMatrix<f64>),
    seed: u64,
) -> Result<Ended, crate::samples::SampleError> {
    let told = match (cell.spoilt, cell.activation) {
        (Spoilt::Activation, Activation::Relu) => Activation::LeakyRelu,
        (Spoilt::Activation, Activation::Tanh) => Activation::Erf,
        (Spoilt::Activation, _) => Activation::Relu,
        (_, phi) => phi,
    };
    let fewer = usize::from(cell.spoilt == Spoilt::FewerUnits);
    let settings = FitSettings {
        units: Some((cell.k - fewer).max(1)),
        method: match cell.method {
            Method::Exact => crate::samples::Method::Exact,
            _ => crate::samples::Method::Tensor,
        },
        noise: cell.noise,
        // With noise the bound is what is looked at.
        tolerance: if cell.noise > 0.0 { 1.0 } else { 1e-6 },
        seed,
        ..FitSettings::new(told)
    };
    let found = fit(&Samples::new(x, y)?, &settings)?;
    let bound = found.verdict.map(|verdict| verdict.bound);
    Ok(Ended {
        status: found.status,
        network: found.network,
        start: found.start,
        bound,
        queries: 0,
    })
}

fn queried(cell: &Cell, truth: &Network, seed: u64) -> Result<Ended, String> {
    let settings =
        Settings { depth: Some(1), activation: Some(cell.activation), seed, ..Settings::default() };
    let mut oracle = NetworkOracle::new(truth.clone());
    let found = identify(&mut oracle, &settings, &mut Silent).map_err(|error| error.to_string())?;
    Ok(Ended {
        status: found.status,
        network: found.network,
        start: None,
        bound: found.parameter_error_bound,
        queries: found.queries,
    })
}

fn trained(cell: &Cell, (x, y): &(DMatrix<f64>, DMatrix<f64>), seed: u64) -> Ended {
    let (optimiser, factor) = match cell.method {
        Method::Adam => (Optimiser::Adam, 1),
        Method::AdamWide => (Optimiser::Adam, 4),
        Method::Gradient => (Optimiser::Gradient, 1),
        _ => (Optimiser::Gradient, 4),
    };
    let training = Training::usual(factor * cell.k, optimiser, TRAINING_STEPS, seed);
    let units = train(x, y, cell.activation, &training);
    let finite = units.w.iter().chain(units.u.iter()).all(|entry| entry.is_finite());
    let network = finite.then(|| Network::from(&merged(&units)));
    Ended { status: Status::Approximate, network, start: None, bound: None, queries: 0 }
}

/// The largest distance of a unit from the nearest one of the start, both of norm 1.
fn start_error(truth: &Network, start: &Units) -> f64 {
    let unit = |w: nalgebra::DVectorView<'_, f64>| w / w.norm();
    let nearest = |w: nalgebra::DVectorView<'_, f64>| {
        let w = unit(w);
        start
            .w
            .column_iter()
            .map(|v| (&w - unit(v)).norm().min((&w + unit(v)).norm()))
            .fold(f64::INFINITY, f64::min)
    };
    truth.layers[0].weights.column_iter().map(nearest).fold(0.0, f64::max)
}

/// Runs of cells that are alike but for the number of samples.
type Lines<'a> = BTreeMap<(Method, String, Spoilt), BTreeMap<usize, Vec<&'a Record>>>;

fn lines(records: &[Record]) -> Lines<'_> {
    let mut lines: Lines<'_> = BTreeMap::new();
    for record in records {
        let Cell { method, activation, d, k, outputs, n, noise, spoilt } = &record.cell;
        let name = format!("{activation} {d}-{k}-{outputs}, noise {noise}");
        lines.entry((*method, name, *spoilt)).or_default().entry(*n).or_default().push(record);
    }
    lines
}

fn median(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).map_or("-".to_owned(), |value| format!("{value:.1e}"))
}

/// A table with a row for each cell, and one of how many samples were enough.
#[must_use]
pub fn table(records: &[Record]) -> String {
    let mut rows = vec![
        "| method | network | spoilt | samples | runs | start 1e-2 | error 1e-10 | median error | identified | wrong | queries | seconds |".to_owned(),
        "|---|---|---|---|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    let mut enough = vec![
        "| method | network | 90 % start within 1e-2 | 90 % end within 1e-10 |".to_owned(),
        "|---|---|---|---|".to_owned(),
    ];
    for ((method, name, spoilt), by_n) in lines(records) {
        let share = |runs: &[&Record], of: fn(&Record) -> bool| {
            runs.iter().filter(|run| of(run)).count() as f64 / runs.len() as f64
        };
        let started: fn(&Record) -> bool =
            |run| run.start_error.is_some_and(|error| error <= STARTED);
        let ended: fn(&Record) -> bool = |run| run.error.is_some_and(|error| error <= REFINED);
        for (n, runs) in &by_n {
            let count = |of: fn(&Record) -> bool| runs.iter().filter(|run| of(run)).count();
            let errors = runs.iter().filter_map(|run| run.error).collect();
            let seconds = median(runs.iter().map(|run| run.seconds).collect());
            rows.push(format!(
                "| {method:?} | {name} | {spoilt:?} | {n} | {} | {} | {} | {} | {} | {} | {} | {seconds} |",
                runs.len(),
                count(started),
                count(ended),
                median(errors),
                count(|run| run.status == Status::Identified),
                count(|run| run.wrong),
                runs.iter().map(|run| run.queries).max().unwrap_or(0),
            ));
        }
        let least = |of: fn(&Record) -> bool| {
            let fails = by_n.iter().rev().take_while(|(_, runs)| share(runs, of) >= ENOUGH).last();
            fails.map_or("-".to_owned(), |(n, _)| n.to_string())
        };
        if spoilt == Spoilt::No
            && matches!(method, Method::Tensor | Method::Exact)
            && by_n.len() > 1
        {
            enough.push(format!("| {method:?} | {name} | {} | {} |", least(started), least(ended)));
        }
    }
    format!("{}\n\n{}\n", rows.join("\n"), enough.join("\n"))
}

/// Writes `summary.md` and `error.svg`: median errors of every method against the number of samples or queries.
///
/// # Errors
/// Those of the folder, in a line.
pub fn save(records: &[Record], folder: &Path) -> Result<(), String> {
    let named =
        |path: PathBuf, error: io::Error| format!("cannot write {}: {error}", path.display());
    let path = folder.join("summary.md");
    write_atomically(&path, table(records).as_bytes()).map_err(|error| named(path, error))?;
    let path = folder.join("error.svg");
    let picture = picture(records).map_err(|error| error.to_string())?;
    write_atomically(&path, picture.as_bytes()).map_err(|error| named(path, error))
}

/// A mark for the median error of each cell that is not spoilt, a colour a method.
fn picture(records: &[Record]) -> Result<String, Box<dyn std::error::Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (760, 480)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d((1e2..3e6f64).log_scale(), (1e-17..1e2f64).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("samples, or queries")
            .y_desc("median parameter error")
            .y_label_formatter(&|y| format!("{y:.0e}"))
            .draw()?;
        let mut methods: BTreeMap<Method, Vec<(f64, f64)>> = BTreeMap::new();
        for ((method, _, spoilt), by_n) in lines(records) {
            for (n, runs) in by_n.into_iter().filter(|_| spoilt == Spoilt::No) {
                let mut errors: Vec<f64> =
                    runs.iter().map(|run| run.error.unwrap_or(f64::INFINITY)).collect();
                errors.sort_by(f64::total_cmp);
                let asked = runs.iter().map(|run| run.queries).max().unwrap_or(0);
                let numbers = if method == Method::Identify { asked as f64 } else { n as f64 };
                // A network of other widths has no error: at the upper edge.
                methods
                    .entry(method)
                    .or_default()
                    .push((numbers, errors[errors.len() / 2].clamp(1e-17, 1e2)));
            }
        }
        for (i, (method, points)) in methods.into_iter().enumerate() {
            let colour = Palette99::pick(i).to_rgba();
            chart
                .draw_series(
                    points.into_iter().map(|point| Circle::new(point, 4, colour.filled())),
                )?
                .label(format!("{method:?}"))
                .legend(move |(x, y)| Circle::new((x + 10, y), 4, colour.filled()));
        }
        chart
            .configure_series_labels()
            .background_style(WHITE)
            .border_style(BLACK)
            .position(SeriesLabelPosition::MiddleRight)
            .draw()?;
        root.present()?;
    }
    Ok(svg)
}
