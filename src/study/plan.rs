//! What a study is to run: axes from a TOML file and from flags.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use toml::{Table, Value};

use super::cell::{Axis, Cell};
use super::grid::{Given, Grid, MOST_RUNS, SEEDS};
use super::record::Key;
use crate::files::read_regular;

/// The name of the list of grids in a plan, which is none of an axis.
const GRID: &str = "grid";

/// A plan that cannot be carried out, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(pub(super) String);

impl PlanError {
    pub(super) fn of(axis: &str, what: impl Display) -> PlanError {
        PlanError(format!("{axis}: {what}"))
    }
}

/// The values given for each axis, as text: those that all grids share, and those of each grid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    shared: Given,
    grids: Vec<Given>,
}

/// Every axis that a plan may give: the cell's, then `seeds`.
pub fn axes() -> impl Iterator<Item = &'static str> {
    Axis::ALL.into_iter().map(Axis::name).chain([SEEDS])
}

impl FromStr for Plan {
    type Err = PlanError;

    /// Reads a TOML table whose keys are axes, each with one value or a list of values. Each table of the
    /// list `grid` is such a table too: the plan is then those grids, one after the other, and what
    /// stands above them is for all that do not say otherwise.
    fn from_str(text: &str) -> Result<Self, PlanError> {
        let mut table: Table = text.parse().map_err(|error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let line = 1 + text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count();
            PlanError(format!("line {line}: {}", error.message()))
        })?;
        let grids = match table.remove(GRID) {
            None => Vec::new(),
            Some(Value::Array(grids)) => grids,
            Some(_) => return Err(PlanError::of(GRID, "expected tables, each under [[grid]]")),
        };
        let grids = grids.into_iter().map(|grid| match grid {
            Value::Table(table) => given(table),
            _ => Err(PlanError::of(GRID, "expected tables, each under [[grid]]")),
        });
        Ok(Plan { shared: given(table)?, grids: grids.collect::<Result<_, _>>()? })
    }
}

/// The axes of a table.
fn given(table: Table) -> Result<Given, PlanError> {
    let axis = |(key, value): (String, Value)| {
        known(&key)?;
        let values = match value {
            Value::Array(values) => values,
            one => vec![one],
        };
        let texts: Result<Vec<_>, _> = values.iter().map(|value| plain(&key, value)).collect();
        texts.map(|texts| (key, texts))
    };
    table.into_iter().map(axis).collect::<Result<BTreeMap<_, _>, _>>()
}

fn known(axis: &str) -> Result<(), PlanError> {
    if axes().any(|name| name == axis) {
        return Ok(());
    }
    let known = axes().collect::<Vec<_>>().join(", ");
    Err(PlanError(format!("unknown axis {axis:?}; known are {known}")))
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

    /// Sets the values of an axis in all grids, in the place of those it had.
    ///
    /// # Errors
    /// If there is no such axis.
    pub fn give(&mut self, axis: &str, values: Vec<String>) -> Result<(), PlanError> {
        known(axis)?;
        for grid in &mut self.grids {
            grid.remove(axis);
        }
        self.shared.insert(axis.to_owned(), values);
        Ok(())
    }

    /// The runs of all grids, each once: every grid is the product of its axes, without cells that cannot
    /// be.
    ///
    /// # Errors
    /// [`PlanError`]: a value that makes no sense, an axis without values, too many runs, or none.
    pub fn grid(&self) -> Result<Grid, PlanError> {
        let one = [Given::new()];
        let grids = if self.grids.is_empty() { &one } else { self.grids.as_slice() };
        let mut all = Grid { runs: Vec::new(), notes: Vec::new() };
        for own in grids {
            let mut given = self.shared.clone();
            given.extend(own.iter().map(|(axis, values)| (axis.clone(), values.clone())));
            let grid = Grid::of(&given)?;
            all.runs.extend(grid.runs);
            all.notes.extend(grid.notes);
        }
        let mut seen = HashSet::new();
        all.runs.retain(|(cell, seed): &(Cell, u64)| seen.insert(Key::new(cell, *seed)));
        if all.runs.len() > MOST_RUNS {
            return Err(PlanError(format!("the grids have more than {MOST_RUNS} runs")));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identify::Pipeline;
    use crate::network::Link;

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
        assert_eq!(grid.runs.len(), 4 * 2 * 3 * 2 * 4);
        assert!(grid.notes.is_empty(), "{:?}", grid.notes);
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
    fn grids_share_what_stands_above_them_and_their_runs_are_done_once() {
        let text = "d = 6\nm1 = 2\nseeds = \"0..5\"\n[[grid]]\nhardness = [\"plain\", \"twin-first\"]\n\
                    [[grid]]\nnoise = [0, 1e-9]\nd = [6, 7]\n";
        let mut plan: Plan = text.parse().unwrap();
        // The plain cell of 6 inputs is in both.
        assert_eq!(plan.grid().unwrap().runs.len(), (2 + 4 - 1) * 5);
        plan.give("d", vec!["4".to_owned()]).unwrap();
        let runs = plan.grid().unwrap().runs;
        assert!(runs.len() == 15 && runs.iter().all(|(cell, _)| cell.d == 4));
    }

    #[test]
    fn cells_that_no_network_has_are_left_out() {
        let grid =
            grid_of("d = 4\nm1 = [1, 2]\nhardness = [\"plain\", \"twin-second\"]\nseeds = 1\n")
                .unwrap();
        assert_eq!(grid.runs.len(), 3);
        assert_eq!(grid.notes, ["skipped d 4, m0 4, m1 1: too small for twin-second"]);
    }

    #[test]
    fn a_value_given_twice_is_run_once() {
        let grid = grid_of("d = [4, 4]\nm1 = 2\nnoise = [0, -0.0]\nseeds = [\"0..3\", 1]").unwrap();
        assert_eq!(grid.runs.len(), 3);
    }

    #[test]
    fn what_a_pipeline_does_not_heed_makes_no_cells() {
        let grid = grid_of(
            "d = 4\nm1 = 2\npipeline = [\"wide\", \"entangled\", \"published\"]\nradius = [0.5, 1]\n\
             domain_radius = [2, 3]\nhessians = [10, 20]\nfirst_layer = [\"stack\", \"lines\"]\n\
             fit = [\"dense\", \"blocks\"]\nseeds = 1",
        )
        .unwrap();
        let cells =
            |pipeline: Pipeline| grid.runs.iter().filter(|run| run.0.pipeline == pipeline).count();
        let counts = [Pipeline::Wide, Pipeline::Entangled, Pipeline::Published].map(cells);
        assert_eq!(counts, [4, 2, 8]);
    }

    #[test]
    fn one_hidden_layer_has_no_second_width() {
        let grid = grid_of("d = 4\ndepth = 1\nfit = [\"auto\", \"dense\"]\nseeds = 1").unwrap();
        let cells: Vec<_> = grid.runs.iter().map(|run| (run.0.depth, run.0.m1)).collect();
        assert_eq!(cells, [(1, 0)]);
        let grid = grid_of("d = 4\nm1 = [2, 3]\ndepth = [1, 2]\nseeds = 1").unwrap();
        let cells: Vec<_> = grid.runs.iter().map(|run| (run.0.depth, run.0.m1)).collect();
        assert_eq!(cells, [(1, 0), (2, 2), (2, 3)]);
    }

    #[test]
    fn outputs_and_links_that_cannot_be_are_left_out() {
        let grid = grid_of(
            "d = 4\nm1 = 2\noutputs = [1, 2, 3]\nlink = [\"none\", \"sigmoid\", \"softmax\"]\n\
             link_told = [\"yes\", \"wrong\"]\nseeds = 1",
        )
        .unwrap();
        let count = |link: Link| grid.runs.iter().filter(|run| run.0.link == link).count();
        assert_eq!([Link::None, Link::SIGMOID, Link::Softmax].map(count), [3, 6, 3]);
        let grid = grid_of(
            "d = 4\nm1 = 2\noutputs = [1, 2]\ndeviating = [\"all\", \"one\"]\n\
             deviation = [\"none\", \"sine:1\", \"first-unit:1\"]\nseeds = 1",
        )
        .unwrap();
        // Of one output there is one way to depart, and a unit below two layers is in all outputs.
        assert_eq!(grid.runs.len(), 3 + 4);
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
            ("d = 4\nm1 = 1\nhardness = \"twin-second\"", "no run"),
            ("d = 4\nm1 = 2\nstd = nan", "std: \"NaN\" is no number"),
            ("d = 4\nm1 = 2\nactivation = \"relu\"", "relu"),
            ("d = 4\nm1 = 2\npipeline = \"deep\"", "unknown pipeline \"deep\""),
            ("d = 4\nm1 = 2\ncondition = 0.5", "or \"gaussian\""),
            ("d = 4\nm1 = 2\nradius = 1", "radius: no pipeline"),
            ("d = 4\nm1 = 2\nfit = \"sparse\"", "fit: \"sparse\" is none of auto, dense, blocks"),
            ("d = 4\nm1 = 2\npipeline = \"entangled\"\nfit = \"dense\"", "fit: no pipeline"),
            ("d = 4\nm1 = 2\npipeline = \"entangled\"\nhessians = 9", "hessians: no pipeline"),
            ("d = 4\nm1 = 2\nseeds = \"5..5\"", "is empty"),
            ("d = 4\nm1 = 2\nseeds = \"0..99999999\"", "seeds: the range"),
            ("d = 4\nm1 = 2\nwidth = 3", "unknown axis \"width\""),
            ("d = 4\nd = 5", "line 2"),
            ("d = 4\nm1 = 2\ngrid = 3", "grid: expected tables"),
            ("d = 4\nm1 = 2\ngrid = [3]", "grid: expected tables"),
            ("d = 4\nm1 = 2\n[[grid]]\nwidth = 3", "unknown axis \"width\""),
            ("d = 4\nm1 = 2\nhardness = \"soft\"", "hardness: unknown"),
            (
                "d = 4\nm1 = 2\ndeviation = \"sine\"",
                "deviation: \"sine\" is none of none, first-unit:SIZE",
            ),
            ("d = 4\nm1 = 2\nprecision = \"digits:0\"", "precision: "),
            ("d = 4\nm1 = 2\nactivation_told = \"perhaps\"", "neither yes nor no"),
            ("d = 4\nm1 = 2\npipeline = \"entangled\"\ndeviation = \"sine:1\"", "only the wide"),
            ("d = 4\nm1 = 2\nlink = \"relu\"", "link: unknown link"),
            ("d = 4\nm1 = 2\nlink_told = \"perhaps\"", "none of yes, no, wrong"),
            ("d = 4\ndepth = 3", "depth: \"3\" is no whole number from 1 to 2"),
            ("d = 4\nm1 = 2\nlink = \"softmax\"", "softmax needs two outputs"),
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
