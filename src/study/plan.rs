//! What a study is to run: axes from a TOML file and from flags, and the grid that they span.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use indexmap::IndexSet;
use toml::{Table, Value};

use super::cell::{Axis, Cell, DEFAULT, GAUSSIAN, NONE, Precision};
use super::record::Key;
use super::run::is_local;
use crate::files::read_regular;
use crate::identify::{Pipeline, Settings};
use crate::network::Activation;

/// Runs in a plan at most.
const MOST_RUNS: usize = 1_000_000;
/// Shapes that are left out and named at most.
const MOST_NOTES: usize = 8;
/// Inputs at most: a stack of Hessians then takes a few GiB.
const MOST_INPUTS: u64 = 512;
/// Units of a layer at most.
const MOST_UNITS: u64 = 1024;
/// The name of the axis of seeds, which is none of the cell's.
const SEEDS: &str = "seeds";
/// As many units as inputs.
const AS_INPUTS: &str = "d";

/// A plan that cannot be carried out, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(String);

impl PlanError {
    fn of(axis: &str, what: impl Display) -> PlanError {
        PlanError(format!("{axis}: {what}"))
    }
}

/// The values given for each axis, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    given: BTreeMap<String, Vec<String>>,
}

/// What a plan comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Every cell with every seed, each pair once, in the order of the axes.
    pub runs: Vec<(Cell, u64)>,
    /// Remarks on what was left out.
    pub notes: Vec<String>,
}

/// Every axis that a plan may give: the cell's, then `seeds`.
pub fn axes() -> impl Iterator<Item = &'static str> {
    Axis::ALL.into_iter().map(Axis::name).chain([SEEDS])
}

impl FromStr for Plan {
    type Err = PlanError;

    /// Reads a TOML table whose keys are axes, each with one value or a list of values.
    fn from_str(text: &str) -> Result<Self, PlanError> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let line = 1 + text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count();
            PlanError(format!("line {line}: {}", error.message()))
        })?;
        let mut plan = Plan::default();
        for (key, value) in table {
            let values = match value {
                Value::Array(values) => values,
                one => vec![one],
            };
            let texts: Result<Vec<_>, _> = values.iter().map(|value| plain(&key, value)).collect();
            plan.give(&key, texts?)?;
        }
        Ok(plan)
    }
}

/// A number or a name of a plan as a flag would have it.
fn plain(key: &str, value: &Value) -> Result<String, PlanError> {
    match value {
        Value::Integer(number) => Ok(number.to_string()),
        // With its point: 8.0 is no count.
        Value::Float(number) => Ok(format!("{number:?}")),
        Value::String(name) if name.parse::<f64>().is_err() => Ok(name.clone()),
        Value::String(name) => {
            Err(PlanError::of(key, format!("the number {name} stands in quotes")))
        }
        other => Err(PlanError::of(
            key,
            format!("expected a number, a name or a list of them, got a {}", other.type_str()),
        )),
    }
}

impl Plan {
    /// Reads a plan from a TOML file.
    ///
    /// # Errors
    /// [`PlanError`], with the file's name.
    pub fn load(path: &Path) -> Result<Plan, PlanError> {
        let named = |what: &dyn Display| PlanError(format!("{}: {what}", path.display()));
        let bytes = read_regular(path).map_err(|error| named(&error))?;
        let text = std::str::from_utf8(&bytes).map_err(|error| named(&error))?;
        text.parse().map_err(|error| named(&error))
    }

    /// Sets the values of an axis, in the place of those it had.
    ///
    /// # Errors
    /// If there is no such axis.
    pub fn give(&mut self, axis: &str, values: Vec<String>) -> Result<(), PlanError> {
        if !axes().any(|name| name == axis) {
            let known = axes().collect::<Vec<_>>().join(", ");
            return Err(PlanError(format!("unknown axis {axis:?}; known are {known}")));
        }
        self.given.insert(axis.to_owned(), values);
        Ok(())
    }

    /// The values of an axis, by `read`; `otherwise` where none were given.
    fn values<T>(
        &self,
        axis: &str,
        otherwise: Option<T>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, PlanError> {
        match (self.given.get(axis), otherwise) {
            (None, Some(value)) => Ok(vec![value]),
            (None, None) => Err(PlanError::of(axis, "no value is given")),
            (Some(texts), _) if texts.is_empty() => Err(PlanError::of(axis, "the list is empty")),
            (Some(texts), _) => {
                let values = texts.iter().map(|text| read(text.trim()));
                values.collect::<Result<_, _>>().map_err(|what| PlanError::of(axis, what))
            }
        }
    }

    /// The product of the axes, without cells that cannot be.
    ///
    /// # Errors
    /// [`PlanError`]: a value that makes no sense, an axis without values, too many runs, or none.
    pub fn grid(&self) -> Result<Grid, PlanError> {
        let units = |text: &str| whole(text, 1..=MOST_UNITS);
        let pipelines = self.values("pipeline", Some(Pipeline::default()), named)?;
        let ds = self.values("d", None, |text| whole(text, 1..=MOST_INPUTS))?;
        let m0s = self.values("m0", Some(None), |text| unless(AS_INPUTS, text, units))?;
        let m1s = self.values("m1", None, units)?;
        let activations = self.values("activation", Some(Activation::Tanh), named)?;
        let stds = self.values("std", Some(0.05), |text| real(text, 0.0..=100.0))?;
        let conditions = self.values("condition", Some(None), |text| {
            unless(GAUSSIAN, text, |text| real(text, 1.0..=1e12))
        })?;
        let positive = |text: &str| real(text, 1e-9..=1e9);
        let radii = self.values("radius", Some(None), |text| unless(DEFAULT, text, positive))?;
        let domains =
            self.values("domain_radius", Some(None), |text| unless(NONE, text, positive))?;
        let hessians = self.values("hessians", Some(None), |text| {
            unless(DEFAULT, text, |text| whole(text, 1..=100_000))
        })?;
        let noises = self.values("noise", Some(0.0), |text| real(text, 0.0..=1.0))?;
        let precisions = self.values("precision", Some(Precision::default()), precision)?;
        let limits = self.values("max_queries", Some(Settings::default().max_queries), |text| {
            whole(text, 1..=1 << 53)
        })?;
        let seeds = self.seeds()?;

        let sizes = [
            pipelines.len(),
            ds.len(),
            m0s.len(),
            m1s.len(),
            activations.len(),
            stds.len(),
            conditions.len(),
            radii.len(),
            domains.len(),
            hessians.len(),
            noises.len(),
            precisions.len(),
            limits.len(),
            seeds.len(),
        ];
        let count = sizes.into_iter().try_fold(1usize, usize::checked_mul);
        if count.is_none_or(|count| count > MOST_RUNS) {
            return Err(PlanError(format!("the axes span more than {MOST_RUNS} runs")));
        }
        let local = ["radius", "domain_radius", "hessians"];
        if let Some(axis) = local.into_iter().find(|&axis| self.given.contains_key(axis))
            && !pipelines.iter().copied().any(is_local)
        {
            return Err(PlanError::of(axis, "no pipeline of the plan samples near a point"));
        }

        let mut cells = vec![Cell {
            pipeline: Pipeline::default(),
            d: 1,
            m0: 1,
            m1: 1,
            activation: Activation::Tanh,
            std: 0.0,
            condition: None,
            radius: None,
            domain_radius: None,
            hessians: None,
            noise: 0.0,
            precision: Precision::default(),
            max_queries: 1,
        }];
        along(&mut cells, &pipelines, |cell, &value| cell.pipeline = value);
        along(&mut cells, &ds, |cell, &value| cell.d = value);
        along(&mut cells, &m0s, |cell, &value| cell.m0 = value.unwrap_or(cell.d));
        along(&mut cells, &m1s, |cell, &value| cell.m1 = value);
        along(&mut cells, &activations, |cell, &value| cell.activation = value);
        along(&mut cells, &stds, |cell, &value| cell.std = value);
        along(&mut cells, &conditions, |cell, &value| cell.condition = value);
        along(&mut cells, &radii, |cell, &value| cell.radius = value);
        along(&mut cells, &domains, |cell, &value| cell.domain_radius = value);
        along(&mut cells, &hessians, |cell, &value| cell.hessians = value);
        along(&mut cells, &noises, |cell, &value| cell.noise = value);
        along(&mut cells, &precisions, |cell, &value| cell.precision = value);
        along(&mut cells, &limits, |cell, &value| cell.max_queries = value);
        grid(cells, &seeds)
    }

    /// Seeds, in which `3..7` stands for 3, 4, 5, 6.
    fn seeds(&self) -> Result<Vec<u64>, PlanError> {
        let ranges = self.values(SEEDS, Some(0..10), |text| {
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
        if !is_local(cell.pipeline) {
            // Where it samples is the pipeline's own business: one cell whatever these axes say.
            (cell.radius, cell.domain_radius, cell.hessians) = (None, None, None);
        }
        if cell.m1 > cell.m0 {
            skipped.insert((cell.d, cell.m0, cell.m1));
            continue;
        }
        let fresh = |seed: &&u64| seen.insert(Key::new(&cell, **seed));
        let seeds: Vec<u64> = seeds.iter().filter(fresh).copied().collect();
        runs.extend(seeds.into_iter().map(|seed| (cell.clone(), seed)));
    }
    if runs.is_empty() {
        return Err(PlanError("the plan has no run: m1 > m0 in every cell".to_owned()));
    }
    let note = |(d, m0, m1)| format!("skipped d {d}, m0 {m0}, m1 {m1}: m1 > m0");
    let rest = skipped.len().saturating_sub(MOST_NOTES);
    let mut notes: Vec<String> = skipped.into_iter().take(MOST_NOTES).map(note).collect();
    if rest > 0 {
        notes.push(format!("skipped {rest} more shapes: m1 > m0"));
    }
    Ok(Grid { runs, notes })
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

fn precision(text: &str) -> Result<Precision, String> {
    let known = Precision::ALL.into_iter().find(|precision| precision.name() == text);
    known.ok_or_else(|| format!("{text:?} is neither f64 nor f32"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid_of(text: &str) -> Result<Grid, PlanError> {
        text.parse::<Plan>()?.grid()
    }

    #[test]
    fn the_grid_is_the_product_of_the_axes() {
        let grid = grid_of(
            "d = [4, 6]\nm1 = [2, 5]\nactivation = [\"tanh\", \"erf\"]\nstd = [0, 0.5, 1e-2]\n\
             condition = [\"gaussian\", 10]\nseeds = [\"3..6\", 9]\n",
        )
        .unwrap();
        // Of the four shapes, 4-4-5 is left out.
        assert_eq!(grid.runs.len(), 3 * 2 * 3 * 2 * 4);
        assert_eq!(grid.notes, ["skipped d 4, m0 4, m1 5: m1 > m0"]);
        let (cell, seed) = grid.runs.last().unwrap();
        assert_eq!((cell.d, cell.m0, cell.m1, *seed), (6, 6, 5, 9));
        assert_eq!((cell.std, cell.condition), (0.01, Some(10.0)));
    }

    #[test]
    fn a_flag_takes_the_place_of_the_plans_axis() {
        let mut plan: Plan =
            "d = [4, 6]\nm0 = [8, \"d\"]\nm1 = 2\nseeds = \"0..2\"".parse().unwrap();
        plan.give("d", vec!["5".to_owned()]).unwrap();
        let grid = plan.grid().unwrap();
        let m0s: Vec<_> = grid.runs.iter().map(|(cell, _)| (cell.d, cell.m0)).collect();
        assert_eq!(m0s, [(5, 8), (5, 8), (5, 5), (5, 5)]);
    }

    #[test]
    fn a_value_given_twice_is_run_once() {
        let grid = grid_of("d = [4, 4]\nm1 = 2\nnoise = [0, -0.0]\nseeds = [\"0..3\", 1]").unwrap();
        assert_eq!(grid.runs.len(), 3);
    }

    #[test]
    fn what_makes_no_sense_is_one_line() {
        for (text, part) in [
            ("d = 4", "m1: no value"),
            ("d = []\nm1 = 2", "d: the list is empty"),
            ("d = 4.0\nm1 = 2", "d: \"4.0\" is no whole number"),
            ("d = \"4\"\nm1 = 2", "d: the number 4 stands in quotes"),
            ("d = [[4]]\nm1 = 2", "d: expected a number, a name or a list of them, got a array"),
            ("d = true\nm1 = 2", "got a boolean"),
            ("d = 0\nm1 = 2", "from 1 to 512"),
            ("d = -4\nm1 = 2", "no whole number"),
            ("d = 100000\nm1 = 2", "from 1 to 512"),
            ("d = 4\nm1 = 9", "no run"),
            ("d = 4\nm1 = 2\nstd = nan", "std: \"NaN\" is no number"),
            ("d = 4\nm1 = 2\nactivation = \"relu\"", "relu"),
            ("d = 4\nm1 = 2\npipeline = \"deep\"", "unknown pipeline \"deep\""),
            ("d = 4\nm1 = 2\ncondition = 0.5", "or \"gaussian\""),
            ("d = 4\nm1 = 2\nradius = 1", "radius: no pipeline"),
            ("d = 4\nm1 = 2\nseeds = \"5..5\"", "is empty"),
            ("d = 4\nm1 = 2\nseeds = \"0..99999999\"", "seeds: the range"),
            ("d = 4\nm1 = 2\nwidth = 3", "unknown axis \"width\""),
            ("d = 4\nd = 5", "line 2"),
            ("d = 4\nm1 = = 2", "line 2"),
        ] {
            let error = grid_of(text).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{text:?}: {error}");
        }
        let noises = (0..1001).map(|k| format!("{k}e-6")).collect::<Vec<_>>().join(",");
        let many = format!("d = 4\nm1 = 2\nnoise = [{noises}]\nseeds = \"0..1000\"");
        assert!(grid_of(&many).unwrap_err().to_string().contains("1000000 runs"));
    }
}
