//! The grid that axes span: every cell, with every seed.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use indexmap::IndexSet;

use super::cell::{Cell, DEFAULT, GAUSSIAN, LinkTold, NO, NONE, YES};
use super::deviation::{Deviating, Deviation};
use super::hardness::Hardness;
use super::plan::PlanError;
use super::precision::Precision;
use super::record::Key;
use super::run::{is_local, is_wide, takes_hessians};
use crate::identify::{FirstLayer, FitBy, Pipeline, Settings};
use crate::network::{Activation, Link};

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
/// Standard deviation of the shifts without a word on it: small beside unit weights.
const USUAL_SHIFTS: f64 = 0.05;
/// As many units as inputs.
const AS_INPUTS: &str = "d";

/// Axis -> its values, as text.
pub(super) type Given = BTreeMap<String, Vec<String>>;

/// Whether a pipeline heeds an axis.
type Heeds = fn(Pipeline) -> bool;

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
        let seeds = seeds(given)?;
        let mut span = Span { given, seeds: seeds.len(), cells: vec![least()] };
        span.ways()?;
        span.shapes()?;
        span.networks()?;
        span.values_and_limits()?;
        let heed: [(&str, Heeds); 5] = [
            ("first_layer", is_wide),
            ("fit", is_wide),
            ("radius", takes_hessians),
            ("domain_radius", is_local),
            ("hessians", takes_hessians),
        ];
        for (axis, heeds) in heed {
            if given.contains_key(axis) && !span.cells.iter().any(|cell| heeds(cell.pipeline)) {
                return Err(PlanError::of(axis, "no pipeline of the plan heeds it"));
            }
        }
        grid(span.cells, &seeds)
    }
}

/// The cells that the axes so far span.
struct Span<'a> {
    given: &'a Given,
    seeds: usize,
    cells: Vec<Cell>,
}

impl Span<'_> {
    /// How networks are looked for.
    fn ways(&mut self) -> Result<(), PlanError> {
        self.along("pipeline", Some(Pipeline::default()), named, |cell, v| cell.pipeline = v)?;
        let first_layers = one_of(&FirstLayer::ALL, FirstLayer::name);
        self.along("first_layer", Some(FirstLayer::default()), first_layers, |cell, v| {
            cell.first_layer = v;
        })?;
        let fits = one_of(&FitBy::ALL, FitBy::name);
        self.along("fit", Some(FitBy::default()), fits, |cell, v| cell.fit = v)
    }

    /// How large the networks are, what their outputs go through, and whether that is told.
    fn shapes(&mut self) -> Result<(), PlanError> {
        let units = |text: &str| whole(text, 1..=MOST_UNITS);
        let inputs = |text: &str| whole(text, 1..=MOST_INPUTS);
        self.along("d", None, inputs, |cell, v| cell.d = v)?;
        let or_inputs = |text: &str| unless(AS_INPUTS, text, units);
        self.along("m0", Some(None), or_inputs, |cell, v| cell.m0 = v.unwrap_or(cell.d))?;
        let depths = |text: &str| whole(text, 1..=2);
        self.along("depth", Some(2), depths, |cell, v| cell.depth = v)?;
        // One hidden layer has no m1.
        let otherwise = self.cells.iter().all(|cell| cell.depth == 1).then_some(0);
        self.along("m1", otherwise, units, |cell, v| cell.m1 = v)?;
        self.along("depth_told", Some(true), told, |cell, v| cell.depth_told = v)?;
        self.along("outputs", Some(1), units, |cell, v| cell.outputs = v)?;
        let links = |text: &str| Link::named(text).map_err(|error| error.to_string());
        self.along("link", Some(Link::None), links, |cell, v| cell.link = v)?;
        let told_links = one_of(&LinkTold::ALL, LinkTold::name);
        self.along("link_told", Some(LinkTold::Yes), told_links, |cell, v| cell.link_told = v)
    }

    /// What the networks are else, and what is known of that.
    fn networks(&mut self) -> Result<(), PlanError> {
        let one_layer = self.cells.iter().all(|cell| cell.depth == 1);
        let identified = |text: &str| {
            let phi: Activation = named(text)?;
            let known = phi.saturates() || one_layer;
            known
                .then_some(phi)
                .ok_or_else(|| format!("{phi} does not saturate: it is for depth 1"))
        };
        self.along("activation", Some(Activation::Tanh), identified, |cell, v| {
            cell.activation = v;
        })?;
        self.along("activation_told", Some(true), told, |cell, v| cell.activation_told = v)?;
        let shifts = |text: &str| real(text, 0.0..=100.0);
        self.along("std", Some(USUAL_SHIFTS), shifts, |cell, v| cell.std = v)?;
        let conditions = |text: &str| unless(GAUSSIAN, text, |text| real(text, 1.0..=1e12));
        self.along("condition", Some(None), conditions, |cell, v| cell.condition = v)?;
        let plain = Some(Hardness::default());
        self.along("hardness", plain, named, |cell, v| cell.hardness = v)?;
        let none = Some(Deviation::default());
        self.along("deviation", none, named, |cell, v| cell.deviation = v)?;
        let deviating = one_of(&Deviating::ALL, Deviating::name);
        self.along("deviating", Some(Deviating::All), deviating, |cell, v| cell.deviating = v)
    }

    /// Where they are sampled, how exact the values are, and what a run may use.
    fn values_and_limits(&mut self) -> Result<(), PlanError> {
        let positive = |text: &str| real(text, 1e-9..=1e9);
        let or_default = |text: &str| unless(DEFAULT, text, positive);
        let or_none = |text: &str| unless(NONE, text, positive);
        self.along("radius", Some(None), or_default, |cell, v| cell.radius = v)?;
        self.along("domain_radius", Some(None), or_none, |cell, v| cell.domain_radius = v)?;
        let hessians = |text: &str| unless(DEFAULT, text, |text| whole(text, 1..=100_000));
        self.along("hessians", Some(None), hessians, |cell, v| cell.hessians = v)?;
        let noises = |text: &str| real(text, 0.0..=1.0);
        self.along("noise", Some(0.0), noises, |cell, v| cell.noise = v)?;
        let exact = Some(Precision::default());
        self.along("precision", exact, named, |cell, v| cell.precision = v)?;
        let Settings { max_queries, attempts, .. } = Settings::default();
        let limits = |text: &str| whole(text, 1..=1 << 53);
        self.along("max_queries", Some(max_queries), limits, |cell, v| cell.max_queries = v)?;
        let counts = |text: &str| whole(text, 1..=1000);
        self.along("attempts", Some(attempts), counts, |cell, v| cell.attempts = v)?;
        self.along("time_limit", Some(None), or_none, |cell, v| cell.time_limit = v)
    }

    /// Every cell once for each of the values of an axis.
    fn along<T: Copy>(
        &mut self,
        axis: &str,
        otherwise: Option<T>,
        read: impl Fn(&str) -> Result<T, String>,
        set: impl Fn(&mut Cell, T),
    ) -> Result<(), PlanError> {
        let values = values(self.given, axis, otherwise, read)?;
        let runs = self.cells.len().checked_mul(values.len());
        let runs = runs.and_then(|cells| cells.checked_mul(self.seeds));
        if runs.is_none_or(|runs| runs > MOST_RUNS) {
            return Err(PlanError(format!("the axes span more than {MOST_RUNS} runs")));
        }
        let with = |cell: &Cell, value: T| {
            let mut cell = cell.clone();
            set(&mut cell, value);
            cell
        };
        let cells = self.cells.iter();
        self.cells = cells.flat_map(|cell| values.iter().map(|&value| with(cell, value))).collect();
        Ok(())
    }
}

/// A cell whose coordinates are all still to be set.
fn least() -> Cell {
    Cell {
        pipeline: Pipeline::default(),
        first_layer: FirstLayer::default(),
        fit: FitBy::default(),
        d: 1,
        m0: 1,
        m1: 1,
        outputs: 1,
        link: Link::None,
        link_told: LinkTold::Yes,
        depth: 2,
        depth_told: true,
        activation: Activation::Tanh,
        activation_told: true,
        std: 0.0,
        condition: None,
        hardness: Hardness::default(),
        deviation: Deviation::default(),
        deviating: Deviating::All,
        radius: None,
        domain_radius: None,
        hessians: None,
        noise: 0.0,
        precision: Precision::default(),
        max_queries: 1,
        attempts: 1,
        time_limit: None,
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

fn grid(cells: Vec<Cell>, seeds: &[u64]) -> Result<Grid, PlanError> {
    let mut skipped = IndexSet::new();
    let mut runs = Vec::new();
    let mut seen = HashSet::new();
    for mut cell in cells {
        forget_unheeded(&mut cell);
        if is_local(cell.pipeline) && cell.deviation.leaves_the_class() {
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

/// Sets coordinates that nothing heeds to their usual values: one cell whatever these axes say.
fn forget_unheeded(cell: &mut Cell) {
    if !is_wide(cell.pipeline) {
        (cell.first_layer, cell.fit) = Default::default();
        cell.depth_told = true;
    }
    if !takes_hessians(cell.pipeline) {
        (cell.radius, cell.hessians) = (None, None);
    }
    if !is_local(cell.pipeline) {
        cell.domain_radius = None;
    }
    if cell.depth == 1 {
        (cell.m1, cell.fit) = (0, FitBy::default());
    }
    if cell.outputs == 1 || cell.deviation == Deviation::None {
        cell.deviating = Deviating::All;
    }
}

/// Why no network has these coordinates, if none has.
fn impossible(cell: &Cell) -> Option<String> {
    let Cell { d, m0, m1, hardness, .. } = *cell;
    let least = hardness.least_dims();
    let alone = cell.depth == 1;
    let second_unit = matches!(cell.deviation, Deviation::SecondUnit(_));
    let first_unit = matches!(cell.deviation, Deviation::FirstUnit(_));
    let reason = if d < least.0 || m0 < least.1 || m1 < least.2 {
        format!("too small for {}", hardness.name())
    } else if let Err(error) = cell.link.validate(cell.outputs) {
        error.to_string()
    } else if cell.link_told == LinkTold::Wrong && is_right_too(cell) {
        "no wrong link to tell".to_owned()
    } else if alone && !is_wide(cell.pipeline) {
        "one hidden layer is for the wide pipeline".to_owned()
    } else if alone && second_unit {
        "no second layer for a unit".to_owned()
    } else if !alone && first_unit && cell.deviating == Deviating::One {
        "a unit of the first of two layers is in all outputs".to_owned()
    } else {
        return None;
    };
    Some(format!("d {d}, m0 {m0}, m1 {m1}: {reason}"))
}

/// Is there no link to be told wrongly, or would the wrong one do: a softmax over two outputs is a sigmoid each.
fn is_right_too(cell: &Cell) -> bool {
    cell.link == Link::None || (cell.link == Link::Softmax && cell.outputs == 2)
}

fn told(text: &str) -> Result<bool, String> {
    match text {
        YES => Ok(true),
        NO => Ok(false),
        _ => Err(format!("{text:?} is neither {YES} nor {NO}")),
    }
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

/// One of several by its name.
fn one_of<T: Copy>(
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> impl Fn(&str) -> Result<T, String> {
    move |text| {
        let found = all.iter().copied().find(|&one| name(one) == text);
        found.ok_or_else(|| {
            let known: Vec<&str> = all.iter().copied().map(&name).collect();
            format!("{text:?} is none of {}", known.join(", "))
        })
    }
}
