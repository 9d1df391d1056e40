//! `disentangle study`: experiments with random networks.

use std::collections::HashSet;
use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::study::{
    self, Axis, Cell, Grid, Key, Plan, Record, Shard, Store, Stored, Summary, plot,
};
use clap::{Args, value_parser};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::ranks::{self, Ranks};
use super::{DIFFERENT, Outcome, SUCCESS};

/// Sweep over random networks, and show in tables and pictures what is identified
///
/// The plan's axes and those given here span a grid; every cell is run with every seed. A run that has
/// ended is a line of DIR/runs.jsonl and is not done again: stop a study and start it as you like. At the
/// end, the table of all runs in DIR is printed and written to summary.json and summary.md, with
/// pictures beside them; kinds.md has a row for each kind of run, and the errors beside their bounds. Exit code 1 if any identified network is wrong.
///
/// Each axis takes a list with commas and replaces that of the plan. d and m1 must be given, for one hidden layer d alone.
#[derive(Args, Debug)]
pub struct Study {
    /// Axes, a TOML file: `d = [15, 30]` and so on, the names are those of the flags with _ for -
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Folder of the results
    #[arg(long, value_name = "DIR", required_unless_present_any = ["summarise", "merge"])]
    out: Option<PathBuf>,
    /// Run nothing: redo tables and pictures of this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "plan", "jobs", "Axes"])]
    summarise: Option<PathBuf>,
    /// Do only the I-th of N parts of the plan, from 1, into a file of its own in DIR: for arrays of jobs. Put the files of all parts into one
    /// folder, and merge
    #[arg(long, value_name = "I/N", requires = "out", conflicts_with_all = ["insert", "plot_axes"])]
    shard: Option<Shard>,
    /// Run nothing: put the shards in this folder together, as if the study had not been cut, and make its tables and
    /// pictures
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "plan", "jobs", "Axes", "summarise", "shard"])]
    merge: Option<PathBuf>,
    /// Put the table by kinds into this document, between the lines `<!-- study NAME -->`, where NAME is the
    /// folder's, and `<!-- end of study -->`
    #[arg(long, value_name = "FILE")]
    insert: Option<PathBuf>,
    #[command(flatten)]
    axes: Axes,
    /// Runs at a time; the cores are shared among them [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// The axes of the heat maps; curves run along the first [default: those with the most values]
    #[arg(long, value_name = "X,Y", value_parser = parse_plot_axes)]
    plot_axes: Option<PlotAxes>,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

/// The grid; what each axis is stands in docs/experiments.md.
#[derive(Args, Debug)]
struct Axes {
    /// How the network is looked for [default: wide]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pipeline: Option<Vec<String>>,
    /// How the wide pipeline finds the first layer: auto, stack, lines [default: auto]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    first_layer: Option<Vec<String>>,
    /// How the wide pipeline fits all parameters: auto, dense, blocks [default: auto]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    fit: Option<Vec<String>>,
    /// Inputs
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    d: Option<Vec<String>>,
    /// Units of the first layer; `d` for as many as inputs [default: d]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    m0: Option<Vec<String>>,
    /// Units of the second layer
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    m1: Option<Vec<String>>,
    /// Outputs [default: 1]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    outputs: Option<Vec<String>>,
    /// What the outputs go through: none, sigmoid, tanh, softmax [default: none]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    link: Option<Vec<String>>,
    /// What the run is told of the link: yes, no, wrong [default: yes]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    link_told: Option<Vec<String>>,
    /// Hidden layers: 1, which has no m1, or 2 [default: 2]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    depth: Option<Vec<String>>,
    /// Whether the run is told their number: yes, no [default: yes]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    depth_told: Option<Vec<String>>,
    /// Activation of both layers [default: tanh]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    activation: Option<Vec<String>>,
    /// Whether the run is told the activation: yes, no [default: yes]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    activation_told: Option<Vec<String>>,
    /// Standard deviation of the shifts [default: 0.05]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    std: Option<Vec<String>>,
    /// Condition number of A, or `gaussian` for normalised Gaussian columns [default: gaussian]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    condition: Option<Vec<String>>,
    /// What makes the network hard, by name [default: plain]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    hardness: Option<Vec<String>>,
    /// How the black box departs from the network, with its size: sine:1e-4 [default: none]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    deviation: Option<Vec<String>>,
    /// Which of several outputs depart: all, one [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    deviating: Option<Vec<String>>,
    /// Radius of the sample of Hessians of the published pipeline [default: default]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    radius: Option<Vec<String>>,
    /// Distance beyond which pipelines that stay near a point may not ask [default: none]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    domain_radius: Option<Vec<String>>,
    /// Hessians that the published pipeline takes [default: default]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    hessians: Option<Vec<String>>,
    /// Standard deviation of the error of each value [default: 0]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    noise: Option<Vec<String>>,
    /// `f64`, `f32` for values rounded to it, `f32-arithmetic` for values computed in it, `digits:6` for decimals [default: f64]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    precision: Option<Vec<String>>,
    /// Queries allowed a run [default: as identify]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    max_queries: Option<Vec<String>>,
    /// Fresh starts allowed a run [default: as identify]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    attempts: Option<Vec<String>>,
    /// Seconds allowed a run [default: none]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    time_limit: Option<Vec<String>>,
    /// Seeds; 0..20 stands for 0 to 19 [default: 0..10]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    seeds: Option<Vec<String>>,
}

impl Axes {
    /// Those that were given, by their names in a plan.
    fn given(&self) -> impl Iterator<Item = (&'static str, Vec<String>)> {
        let Axes {
            pipeline, first_layer, fit, d, m0, m1, activation, std, condition, radius, ..
        } = self;
        let Axes { activation_told, hardness, deviation, deviating, time_limit, .. } = self;
        let Axes { outputs, link, link_told, depth, depth_told, .. } = self;
        let Axes {
            domain_radius, hessians, noise, precision, max_queries, attempts, seeds, ..
        } = self;
        let axes = [
            ("pipeline", pipeline),
            ("first_layer", first_layer),
            ("fit", fit),
            ("d", d),
            ("m0", m0),
            ("m1", m1),
            ("outputs", outputs),
            ("link", link),
            ("link_told", link_told),
            ("depth", depth),
            ("depth_told", depth_told),
            ("activation", activation),
            ("activation_told", activation_told),
            ("std", std),
            ("condition", condition),
            ("hardness", hardness),
            ("deviation", deviation),
            ("deviating", deviating),
            ("radius", radius),
            ("domain_radius", domain_radius),
            ("hessians", hessians),
            ("noise", noise),
            ("precision", precision),
            ("max_queries", max_queries),
            ("attempts", attempts),
            ("time_limit", time_limit),
            ("seeds", seeds),
        ];
        axes.into_iter().filter_map(|(name, values)| values.clone().map(|values| (name, values)))
    }
}

impl Study {
    /// Runs what is left of the plan, then counts and draws everything in the folder.
    pub fn run(self) -> Outcome {
        if let Some(plan) = self.plan.as_deref().and_then(study::samples::Plan::load) {
            let plan = plan?;
            return ranks::alone(|| self.of_samples(&plan));
        }
        if let Some(shard) = self.shard {
            return self.run_shard(shard);
        }
        if let Some(folder) = self.summarise.clone().filter(|folder| study::samples::is_of(folder))
        {
            let records = study::samples::load(&folder)?;
            return self.conclude_samples(&folder, &records);
        }
        let (folder, records) = match (&self.summarise, &self.merge) {
            (Some(folder), _) => {
                let stored = study::load(folder)?;
                if stored.torn > 0 {
                    super::warn("the last line of the records is cut off, and left out");
                }
                (folder.clone(), stored.records)
            }
            (None, Some(folder)) => (folder.clone(), study::merge(folder)?),
            (None, None) => return ranks::together(|ranks| self.run_plan(ranks)),
        };
        self.conclude(&folder, &records)
    }

    /// Runs what is left of the plan, each rank its share, and concludes it.
    fn run_plan(&self, ranks: &Ranks) -> Outcome {
        let (folder, records) =
            if ranks.team().is_alone() { self.sweep()? } else { self.sweep_together(ranks)? };
        if !ranks.team().is_first() {
            return Ok(SUCCESS);
        }
        self.conclude(&folder, &records)
    }

    /// Counts and draws everything that is on record.
    fn conclude(&self, folder: &Path, records: &[Record]) -> Outcome {
        let plot_axes = self.plot_axes.as_ref().map(|PlotAxes(x, y)| (*x, *y));
        let summary = Summary::of(records);
        summary.save(folder)?;
        plot::save(&summary, plot_axes, folder)?;
        if let Some(document) = &self.insert {
            study::insert(document, &name_of(folder)?, &summary.kinds())?;
        }
        super::print(&summary.table())?;
        Ok(if summary.wrong == 0 { SUCCESS } else { DIFFERENT })
    }

    /// Does the runs of a shard that are not on record.
    fn run_shard(self, shard: Shard) -> Outcome {
        let (folder, grid) = self.planned()?;
        let (store, stored) = shard.open(&folder, &grid.runs)?;
        let records = self.complete(shard.runs(&grid.runs), store, stored)?;
        let wrong = records.iter().filter(|record| record.wrong).count();
        super::print(&format!(
            "shard {shard}: all {} runs are on record, {wrong} WRONG\n",
            records.len()
        ))?;
        Ok(if wrong == 0 { SUCCESS } else { DIFFERENT })
    }

    /// A sweep of fits to samples, whose plan has axes of its own.
    fn of_samples(self, plan: &study::samples::Plan) -> Outcome {
        if self.shard.is_some() {
            return Err("a plan of samples has no shards".into());
        }
        let folder = self.out.clone().ok_or("give --out")?;
        if let Some((axis, _)) = self.axes.given().next() {
            return Err(format!("a plan of samples has no axis {axis} on the command line").into());
        }
        if self.plot_axes.is_some() {
            return Err("a plan of samples has one figure, and no --plot-axes".into());
        }
        if let Some(document) = &self.insert {
            std::fs::create_dir_all(&folder)?;
            study::check_insert(document, &name_of(&folder)?)?;
        }
        let planned = plan.runs().len();
        let mut done = 0;
        let records = plan.run(&folder, self.jobs(), |record| {
            done += 1;
            if !self.quiet {
                // Progress that nobody can read is no reason to stop.
                let _ = writeln!(io::stderr(), "{done} of at most {planned}: {}", record.line());
            }
        })?;
        self.conclude_samples(&folder, &records)
    }

    /// Counts and draws everything that is on record of samples.
    fn conclude_samples(&self, folder: &Path, records: &[study::samples::Record]) -> Outcome {
        study::samples::save(records, folder)?;
        let tables = study::samples::tables(records);
        if let Some(document) = &self.insert {
            study::insert(document, &name_of(folder)?, &tables)?;
        }
        super::print(&tables)?;
        Ok(if records.iter().any(|record| record.wrong) { DIFFERENT } else { SUCCESS })
    }

    /// Runs at a time.
    fn jobs(&self) -> usize {
        let jobs = self.jobs.map(usize::from);
        jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
    }

    /// Does the runs that are not on record, and returns all that are, with their folder.
    fn sweep(&self) -> Result<(PathBuf, Vec<Record>), Box<dyn Error>> {
        let (folder, grid) = self.planned()?;
        let (store, stored) = Store::open(&folder)?;
        // A sweep may take hours: what would spoil its end is said now.
        if let Some(document) = &self.insert {
            study::check_insert(document, &name_of(&folder)?)?;
        }
        let records = self.complete(grid.runs, store, stored)?;
        Ok((folder, records))
    }

    /// The same on several ranks: each writes the runs of its share into a file of its own, and the first one puts them together,
    /// those of an earlier start first. The others know no records.
    fn sweep_together(&self, ranks: &Ranks) -> Result<(PathBuf, Vec<Record>), Box<dyn Error>> {
        let team = ranks.team();
        let planned = self.planned().and_then(|(folder, grid)| {
            // In step after it: the folder is there, and whatever earlier ranks left is taken in.
            let opened = if team.is_first() { Some(self.taken_in(&folder, &grid)?) } else { None };
            let description = format!("{} {grid:?}", env!("CARGO_PKG_VERSION"));
            Ok(((folder, grid, opened), description))
        });
        let (folder, grid, opened) = ranks.agreed(planned)?;
        let known = opened.as_ref().map(|(_, records)| records.as_slice()).unwrap_or_default();
        let known: HashSet<Key> = known.iter().map(Record::key).collect();
        let is_known =
            |(cell, seed): &(Cell, u64)| u8::from(known.contains(&Key::new(cell, *seed)));
        let done = team.first(|| grid.runs.iter().map(is_known).collect());
        let open = grid.runs.iter().zip(done).filter(|(_, done)| *done == 0).map(|(run, _)| run);
        let own: Vec<_> = open.skip(team.rank()).step_by(team.count()).cloned().collect();
        let swept = Store::of_rank(&folder, team.rank())
            .map_err(Box::<dyn Error>::from)
            .and_then(|store| self.complete(own, store, Stored { records: Vec::new(), torn: 0 }));
        ranks.agreed(swept.map(|_| ((), String::new())))?;
        let Some((store, mut records)) = opened else { return Ok((folder, Vec::new())) };
        records.extend(store.absorb(&folder, &grid.runs, &records)?.1);
        Ok((folder, records))
    }

    /// The records in the folder, with what ranks left there that were cut off.
    fn taken_in(&self, folder: &Path, grid: &Grid) -> Result<(Store, Vec<Record>), Box<dyn Error>> {
        let (store, stored) = Store::open(folder)?;
        warn_of(&stored);
        if let Some(document) = &self.insert {
            study::check_insert(document, &name_of(folder)?)?;
        }
        let mut records = stored.records;
        let (store, left) = store.absorb(folder, &grid.runs, &records)?;
        records.extend(left);
        Ok((store, records))
    }

    /// The folder of the results, and the runs that are wanted.
    fn planned(&self) -> Result<(PathBuf, Grid), Box<dyn Error>> {
        // clap asks for it where nothing is to be summarised.
        let folder = self.out.clone().ok_or("give --out")?;
        let mut plan = self.plan.as_deref().map_or(Ok(Plan::default()), Plan::load)?;
        for (axis, values) in self.axes.given() {
            plan.give(axis, values)?;
        }
        let grid = plan.grid()?;
        for note in &grid.notes {
            super::warn(note);
        }
        Ok((folder, grid))
    }

    /// Does those of `runs` that are not stored, and returns all records.
    fn complete(
        &self,
        mut runs: Vec<(Cell, u64)>,
        store: Store,
        stored: Stored,
    ) -> Result<Vec<Record>, Box<dyn Error>> {
        warn_of(&stored);
        let known: HashSet<Key> = stored.records.iter().map(Record::key).collect();
        let planned = runs.len();
        runs.retain(|(cell, seed)| !known.contains(&Key::new(cell, *seed)));

        let quiet = self.quiet || ranks::is_silent();
        let progress = Progress::new(planned - runs.len(), planned, quiet);
        let fresh = study::sweep(&runs, store, self.jobs(), |record| progress.show(record))?;
        let mut records = stored.records;
        records.extend(fresh);
        Ok(records)
    }
}

/// Says what is strange about records.
fn warn_of(stored: &Stored) {
    if stored.torn > 0 {
        super::warn("the last line of the records was cut off: its run is done again");
    }
    let count = |(version, runs): (&str, usize)| format!("{runs} of {version}");
    let others: Vec<String> = stored.other_versions().into_iter().map(count).collect();
    if !others.is_empty() {
        super::warn(&format!("the records hold runs of other versions: {}", others.join(", ")));
    }
}

/// What a document calls the study in a folder.
fn name_of(folder: &Path) -> io::Result<String> {
    let folder = folder.canonicalize()?;
    Ok(folder.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

/// What is shown of a sweep while it lasts, on stderr: a bar on a terminal, else a line a run.
struct Progress {
    bar: Option<ProgressBar>,
    lines: bool,
    since: Instant,
    done: AtomicUsize,
    wrong: AtomicUsize,
    planned: usize,
}

impl Progress {
    fn new(done: usize, planned: usize, quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = (terminal && !quiet).then(|| {
            let target = ProgressDrawTarget::stderr();
            let bar = ProgressBar::with_draw_target(Some(planned as u64), target);
            // The template is a constant and is tested below.
            bar.set_style(style().unwrap_or_else(|_| ProgressStyle::default_bar()));
            // What was done before says nothing about the time that is left.
            bar.set_position(done as u64);
            bar.reset_eta();
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let progress = Progress {
            bar,
            lines: !terminal && !quiet,
            since: Instant::now(),
            done: done.into(),
            wrong: 0.into(),
            planned,
        };
        progress.line(&format!("{done} of {planned} runs are on record"));
        progress
    }

    fn line(&self, text: &str) {
        if self.lines {
            // Progress that nobody can read is no reason to stop.
            let _ = writeln!(io::stderr(), "[{:7.2} s] {text}", self.since.elapsed().as_secs_f64());
        }
    }

    fn show(&self, record: &Record) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let wrong = self.wrong.fetch_add(record.wrong.into(), Ordering::Relaxed);
        let wrong = wrong + usize::from(record.wrong);
        let verdict = if record.wrong { "WRONG" } else { record.status.name() };
        let run = format!("{}, seed {}: {verdict}", record.cell, record.seed);
        self.line(&format!("{done}/{} {run}", self.planned));
        if let Some(bar) = &self.bar {
            bar.set_message(if wrong > 0 { format!("{wrong} WRONG; {run}") } else { run });
            bar.inc(1);
        }
    }
}

impl Drop for Progress {
    /// The table or the error that follows stands on a clean line.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style() -> Result<ProgressStyle, indicatif::style::TemplateError> {
    let template = "{spinner} [{elapsed}, {eta} left] [{bar:24}] {pos}/{len} {wide_msg}";
    Ok(ProgressStyle::with_template(template)?.progress_chars("=> "))
}

/// The axes of the pictures.
#[derive(Clone, Copy, Debug)]
struct PlotAxes(Axis, Axis);

fn parse_plot_axes(text: &str) -> Result<PlotAxes, String> {
    let axis = |name: &str| Axis::ALL.into_iter().find(|axis| axis.name() == name.trim());
    let axes = text.split_once(',').and_then(|(x, y)| axis(x).zip(axis(y)));
    axes.filter(|(x, y)| x != y)
        .map(|(x, y)| PlotAxes(x, y))
        .ok_or_else(|| "expected two different axes such as std,m1".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        axes: Axes,
    }

    #[test]
    fn every_axis_has_its_flag() {
        let flags: Vec<String> = study::axes()
            .flat_map(|axis| [format!("--{}", axis.replace('_', "-")), format!("{axis},2")])
            .collect();
        let alone = Alone::parse_from([String::new()].into_iter().chain(flags));
        let given: Vec<_> = alone.axes.given().collect();
        let expected: Vec<_> =
            study::axes().map(|axis| (axis, vec![axis.to_owned(), "2".to_owned()])).collect();
        assert_eq!(given, expected);
    }

    #[test]
    fn the_template_is_well_formed() {
        style().unwrap();
    }
}
