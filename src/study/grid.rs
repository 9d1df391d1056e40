//! The grid that axes span: every cell, with every seed.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use indexmap::IndexSet;

use super::cell::{Cell, DEFAULT, GAUSSIAN, NO, NONE, YES};
use super::deviation::Deviation;
use super::hardness::Hardness;
use super::plan::PlanError;
use super::precision::Precision;
use super::record::Key;
use super::run::{is_local, takes_hessians};
use crate::identify::{Pipeline, Settings};
use crate::network::Activation;

/// Runs in a plan at most.
pub(super) const MOST_RUNS: usize = 1_000_000;
/// Shapes that are left out and named at most.
const MOST_NOTES: usize = 8;
/// Inputs at most: a stack of Hessians then takes a few GiB.
const MOST_INPUTS: u64 = 512;
/// Units of a layer at most.
const MOST_UNITS: u64 = 1024;
/// The name of the axis of seeds, which is none of the cell's.
pub(super) const SEEDS: &str = "seeds";
/// As many units as inputs.
const AS_INPUTS: &str = "d";

/// Axis -> its values, as text.
pub(super) type Given = BTreeMap<String, Vec<String>>;

/// What a plan comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Every cell with every seed, each pair once, in the order of the axes.
    pub runs: Vec<(Cell, u64)>,
    /// Remarks on what was left out.
    pub notes: Vec<String>,
}

impl Grid {
    /// The product of the axes, without cells that cannot be.
    pub(super) fn of(given: &Given) -> Result<Grid, PlanError> {
        let units = |text: &str| whole(text, 1..=MOST_UNITS);
        let pipelines = values(given, "pipeline", Some(Pipeline::default()), named)?;
        let ds = values(given, "d", None, |text| whole(text, 1..=MOST_INPUTS))?;
        let m0s = values(given, "m0", Some(None), |text| unless(AS_INPUTS, text, units))?;
        let m1s = values(given, "m1", None, units)?;
        let activations = values(given, "activation", Some(Activation::Tanh), named)?;
        let told = values(given, "activation_told", Some(true), |text| match text {
            YES => Ok(true),
            NO => Ok(false),
            _ => Err(format!("{text:?} is neither {YES} nor {NO}")),
        })?;
        let stds = values(given, "std", Some(0.05), |text| real(text, 0.0..=100.0))?;
        let conditions = values(given, "condition", Some(None), |text| {
            unless(GAUSSIAN, text, |text| real(text, 1.0..=1e12))
        })?;
        let hardnesses = values(given, "hardness", Some(Hardness::default()), named)?;
        let deviations = values(given, "deviation", Some(Deviation::default()), named)?;
        let positive = |text: &str| real(text, 1e-9..=1e9);
        let radii = values(given, "radius", Some(None), |text| unless(DEFAULT, text, positive))?;
        let domains =
            values(given, "domain_radius", Some(None), |text| unless(NONE, text, positive))?;
        let hessians = values(given, "hessians", Some(None), |text| {
            unless(DEFAULT, text, |text| whole(text, 1..=100_000))
        })?;
        let noises = values(given, "noise", Some(0.0), |text| real(text, 0.0..=1.0))?;
        let precisions = values(given, "precision", Some(Precision::default()), named)?;
        let limits = values(given, "max_queries", Some(Settings::default().max_queries), |text| {
            whole(text, 1..=1 << 53)
        })?;
        let attempts = values(given, "attempts", Some(Settings::default().attempts), |text| {
            whole(text, 1..=1000)
        })?;
        let times = values(given, "time_limit", Some(None), |text| unless(NONE, text, positive))?;
        let seeds = seeds(given)?;

        let sizes = [
            pipelines.len(),
            ds.len(),
            m0s.len(),
            m1s.len(),
            activations.len(),
            told.len(),
            stds.len(),
            conditions.len(),
            hardnesses.len(),
            deviations.len(),
            radii.len(),
            domains.len(),
            hessians.len(),
            noises.len(),
            precisions.len(),
            limits.len(),
            attempts.len(),
            times.len(),
            seeds.len(),
        ];
        let count = sizes.into_iter().try_fold(1usize, usize::checked_mul);
        if count.is_none_or(|count| count > MOST_RUNS) {
            return Err(PlanError(format!("the axes span more than {MOST_RUNS} runs")));
        }
        for axis in ["radius", "domain_radius", "hessians"] {
            let heeds = if axis == "domain_radius" { is_local } else { takes_hessians };
            if given.contains_key(axis) && !pipelines.iter().copied().any(heeds) {
                return Err(PlanError::of(axis, "no pipeline of the plan heeds it"));
            }
        }

        let mut cells = vec![Cell {
            pipeline: Pipeline::default(),
            d: 1,
            m0: 1,
            m1: 1,
            activation: Activation::Tanh,
            activation_told: true,
            std: 0.0,
            condition: None,
            hardness: Hardness::default(),
            deviation: Deviation::default(),
            radius: None,
            domain_radius: None,
            hessians: None,
            noise: 0.0,
            precision: Precision::default(),
            max_queries: 1,
            attempts: 1,
            time_limit: None,
        }];
        along(&mut cells, &pipelines, |cell, &value| cell.pipeline = value);
        along(&mut cells, &ds, |cell, &value| cell.d = value);
        along(&mut cells, &m0s, |cell, &value| cell.m0 = value.unwrap_or(cell.d));
        along(&mut cells, &m1s, |cell, &value| cell.m1 = value);
        along(&mut cells, &activations, |cell, &value| cell.activation = value);
        along(&mut cells, &told, |cell, &value| cell.activation_told = value);
        along(&mut cells, &stds, |cell, &value| cell.std = value);
        along(&mut cells, &conditions, |cell, &value| cell.condition = value);
        along(&mut cells, &hardnesses, |cell, &value| cell.hardness = value);
        along(&mut cells, &deviations, |cell, &value| cell.deviation = value);
        along(&mut cells, &radii, |cell, &value| cell.radius = value);
        along(&mut cells, &domains, |cell, &value| cell.domain_radius = value);
        along(&mut cells, &hessians, |cell, &value| cell.hessians = value);
        along(&mut cells, &noises, |cell, &value| cell.noise = value);
        along(&mut cells, &precisions, |cell, &value| cell.precision = value);
        along(&mut cells, &limits, |cell, &value| cell.max_queries = value);
        along(&mut cells, &attempts, |cell, &value| cell.attempts = value);
        along(&mut cells, &times, |cell, &value| cell.time_limit = value);
        grid(cells, &seeds)
    }
}

/// The values of an axis, by `read`; `otherwise` where none were given.
fn values<T>(
    given: &Given,
    axis: &str,
    otherwise: Option<T>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, PlanError> {
    match (given.get(axis), otherwise) {
        (None, Some(value)) => Ok(vec![value]),
        (None, None) => Err(PlanError::of(axis, "no value is given")),
        (Some(texts), _) if texts.is_empty() => Err(PlanError::of(axis, "the list is empty")),
        (Some(texts), _) => {
            let values = texts.iter().map(|text| read(text.trim()));
            values.collect::<Result<_, _>>().map_err(|what| PlanError::of(axis, what))
        }
    }
}

/// Seeds, in which `3..7` stands for 3, 4, 5, 6.
fn seeds(given: &Given) -> Result<Vec<u64>, PlanError> {
    let ranges = values(given, SEEDS, Some(0..10), |text| {
        let seed = |text: &str| whole::<u64>(text.trim(), 0..=u64::MAX >> 1);
        let range = match text.split_once("..") {
            Some((from, to)) => seed(from)?..seed(to)?,
            None => seed(text).map(|seed| seed..seed + 1)?,
        };
        if range.is_empty() {
            return Err(format!("the range {text} is empty"));
        }
        if range.end - range.start > MOST_RUNS as u64 {
            return Err(format!("the range {text} has more than {MOST_RUNS} seeds"));
        }
        Ok(range)
    })?;
    if ranges.iter().map(|range| range.end - range.start).sum::<u64>() > MOST_RUNS as u64 {
        return Err(PlanError::of(SEEDS, format!("there are more than {MOST_RUNS}")));
    }
    Ok(ranges.into_iter().flatten().collect())
}

/// Every cell once for each of the values.
fn along<T>(cells: &mut Vec<Cell>, values: &[T], set: impl Fn(&mut Cell, &T)) {
    let with = |cell: &Cell, value: &T| {
        let mut cell = cell.clone();
        set(&mut cell, value);
        cell
    };
    *cells = cells.iter().flat_map(|cell| values.iter().map(|value| with(cell, value))).collect();
}

fn grid(cells: Vec<Cell>, seeds: &[u64]) -> Result<Grid, PlanError> {
    let mut skipped = IndexSet::new();
    let mut runs = Vec::new();
    let mut seen = HashSet::new();
    for mut cell in cells {
        // What a pipeline does not heed is none of its coordinates: one cell whatever these axes say.
        if !takes_hessians(cell.pipeline) {
            (cell.radius, cell.hessians) = (None, None);
        }
        if !is_local(cell.pipeline) {
            cell.domain_radius = None;
        } else if cell.deviation.leaves_the_class() {
            let what = format!(
                "{} is for the wide pipeline, only the wide is judged on it",
                cell.deviation
            );
            return Err(PlanError::of("deviation", what));
        }
        if let Some(reason) = impossible(&cell) {
            skipped.insert(reason);
            continue;
        }
        let fresh = |seed: &&u64| seen.insert(Key::new(&cell, **seed));
        let seeds: Vec<u64> = seeds.iter().filter(fresh).copied().collect();
        runs.extend(seeds.into_iter().map(|seed| (cell.clone(), seed)));
    }
    if let (true, Some(reason)) = (runs.is_empty(), skipped.first()) {
        return Err(PlanError(format!("the plan has no run: {reason}")));
    }
    let rest = skipped.len().saturating_sub(MOST_NOTES);
    let named = skipped.into_iter().take(MOST_NOTES);
    let mut notes: Vec<String> = named.map(|reason| format!("skipped {reason}")).collect();
    if rest > 0 {
        notes.push(format!("skipped {rest} more shapes"));
    }
    Ok(Grid { runs, notes })
}

/// Why no network has these coordinates, if none has.
fn impossible(cell: &Cell) -> Option<String> {
    let Cell { d, m0, m1, hardness, .. } = *cell;
    let least = hardness.least_dims();
    let reason = if m1 > m0 {
        "m1 > m0".to_owned()
    } else if d < least.0 || m0 < least.1 || m1 < least.2 {
        format!("too small for {}", hardness.name())
    } else {
        return None;
    };
    Some(format!("d {d}, m0 {m0}, m1 {m1}: {reason}"))
}

/// `None` for the word, else what `read` makes of the text.
fn unless<T>(
    word: &str,
    text: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if text == word {
        return Ok(None);
    }
    read(text).map(Some).map_err(|error| format!("{error}, or {word:?}"))
}

fn whole<T: TryFrom<u64>>(text: &str, range: RangeInclusive<u64>) -> Result<T, String> {
    let number = text.parse::<u64>().ok().filter(|number| range.contains(number));
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
        format!("{text:?} is no whole number from {} to {}", range.start(), range.end())
    })
}

fn real(text: &str, range: RangeInclusive<f64>) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| range.contains(number));
    // The two zeros are one coordinate.
    number.map(|number| number + 0.0).ok_or_else(|| {
        format!("{text:?} is no number from {:?} to {:?}", range.start(), range.end())
    })
}

fn named<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
