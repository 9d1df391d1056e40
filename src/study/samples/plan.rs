//! The plan: grids of cells, each for a table of its own.

use std::fmt::{self, Display};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::read_regular;
use crate::network::Activation;

/// How a network is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Method {
    /// Moments alone: what the next two start from.
    Start,
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

/// The table that a grid is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Shows {
    /// How near the start is, by the number of samples.
    Start,
    /// How many samples the whole fit takes.
    End,
    /// Exact recovery without noise.
    Exact,
    /// The error under noise.
    Noise,
    /// All methods on the same instances.
    Methods,
    /// What must not be identified.
    Wrong,
}

/// How many samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Count {
    /// So many.
    Number(usize),
    /// As many as `identify` asks of the very network.
    Queries(OfIdentify),
}

/// The one word for [`Count::Queries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OfIdentify {
    /// `"queries-of-identify"`.
    QueriesOfIdentify,
}

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Count::Number(n) => n.fmt(f),
            Count::Queries(_) => "as many as queries".fmt(f),
        }
    }
}

/// The axes of a grid, each with its values.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grid {
    shows: Shows,
    method: Vec<Method>,
    activation: Vec<Activation>,
    d: Vec<usize>,
    k: Vec<usize>,
    #[serde(default = "one")]
    outputs: Vec<usize>,
    n: Vec<Count>,
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

/// A cell of a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The table that it is for.
    pub shows: Shows,
    /// How the network is looked for.
    pub method: Method,
    /// phi.
    pub activation: Activation,
    /// Inputs.
    pub d: usize,
    /// Units.
    pub k: usize,
    /// Outputs.
    pub outputs: usize,
    /// Samples.
    pub n: Count,
    /// Standard deviation of the noise.
    pub noise: f64,
    /// What is wrong with the samples.
    pub spoilt: Spoilt,
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

    /// All runs, seed by seed: a sweep that is stopped has done every cell as often as any other, but for one.
    #[must_use]
    pub fn runs(&self) -> Vec<(Cell, u64)> {
        let cells: Vec<Cell> = self.grid.iter().flat_map(Grid::cells).collect();
        (0..self.seeds)
            .flat_map(|seed| cells.iter().map(move |cell| (cell.clone(), seed)))
            .collect()
    }
}

impl Grid {
    fn cells(&self) -> Vec<Cell> {
        let mut cells = vec![Cell {
            shows: self.shows,
            method: Method::Tensor,
            activation: Activation::Relu,
            d: 0,
            k: 0,
            outputs: 0,
            n: Count::Number(0),
            noise: 0.0,
            spoilt: Spoilt::No,
        }];
        along(&mut cells, &self.method, |cell, &method| cell.method = method);
        along(&mut cells, &self.activation, |cell, &activation| cell.activation = activation);
        along(&mut cells, &self.d, |cell, &d| cell.d = d);
        along(&mut cells, &self.k, |cell, &k| cell.k = k);
        along(&mut cells, &self.outputs, |cell, &outputs| cell.outputs = outputs);
        along(&mut cells, &self.n, |cell, &n| cell.n = n);
        along(&mut cells, &self.noise, |cell, &noise| cell.noise = noise);
        along(&mut cells, &self.spoilt, |cell, &spoilt| cell.spoilt = spoilt);
        cells
    }
}

/// Every cell once for each value of an axis.
fn along<T>(cells: &mut Vec<Cell>, values: &[T], set: impl Fn(&mut Cell, &T)) {
    let of = |cell: Cell| values.iter().map(move |value| (cell.clone(), value)).collect::<Vec<_>>();
    *cells = std::mem::take(cells)
        .into_iter()
        .flat_map(of)
        .map(|(mut cell, value)| {
            set(&mut cell, value);
            cell
        })
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_of_the_docs_is_read_and_goes_seed_by_seed() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("studies/samples.toml");
        let plan = Plan::load(&path).unwrap().unwrap();
        let runs = plan.runs();
        let cells = runs.len() / usize::try_from(plan.seeds).unwrap();
        assert!(plan.seeds >= 20 && runs[..cells].iter().all(|(_, seed)| *seed == 0));
        assert_eq!(runs[0].0, runs[cells].0);
        for method in [Method::Adam, Method::AdamWide, Method::Gradient, Method::GradientWide] {
            let asked = |(cell, _): &(Cell, u64)| {
                cell.method == method && matches!(cell.n, Count::Queries(_))
            };
            assert!(runs.iter().any(asked), "{method:?}");
        }
        // A record is read as it was written.
        let text = serde_json::to_string(&runs[cells - 1].0).unwrap();
        assert_eq!(serde_json::from_str::<Cell>(&text).unwrap(), runs[cells - 1].0);
    }
}
