//! The table of a study of kinds: a row for each way in which a cell differs from the usual one.

use std::collections::HashMap;

use super::cell::{Axis, Cell, GAUSSIAN, LinkTold, YES, number};
use super::deviation::{Deviating, Deviation};
use super::hardness::Hardness;
use super::precision::Precision;
use super::summary::{CellSummary, Label, Summary};
use crate::network::Link;

/// Headings, then a row for each kind and activation: verdicts, queries, errors and how their bounds
/// hold. A kind is named by what is not usual; plain ones first, then in the order of the axes.
pub fn rows(summary: &Summary) -> Vec<Vec<String>> {
    let usual = Axis::ALL.map(|axis| usual(axis, summary));
    let unusual = |cell: &Cell| -> Vec<Axis> {
        let pairs = Axis::ALL.into_iter().zip(&usual);
        let differs = |axis: Axis, usual: &str| match axis {
            // A column of its own.
            Axis::Activation => false,
            Axis::M0 => cell.m0 != cell.d,
            // The depth says so.
            Axis::M1 if cell.depth == 1 => false,
            _ => axis.label(cell) != usual,
        };
        pairs.filter(|(axis, usual)| differs(*axis, usual)).map(|(axis, _)| axis).collect()
    };
    let mut cells: Vec<(Vec<Axis>, &CellSummary)> =
        summary.cells.iter().map(|cell| (unusual(&cell.cell), cell)).collect();
    // Within a kind the order of the coordinates stays.
    cells.sort_by_cached_key(|(axes, summary)| {
        let place = |axis: &Axis| Axis::ALL.iter().position(|a| a == axis);
        axes.iter().map(|axis| (place(axis), Label(axis.label(&summary.cell)))).collect::<Vec<_>>()
    });
    let headings = [
        "kind",
        "activation",
        "runs",
        "identified",
        "approximate",
        "not identified",
        "errors",
        "WRONG",
        "queries",
        "parameter error",
        "bound/error, least",
        "bound/error, median",
        "bounds violated",
    ];
    let mut rows = vec![headings.map(str::to_owned).to_vec()];
    rows.extend(cells.into_iter().map(|(axes, cell)| row(&axes, cell)));
    rows
}

/// The usual value of an axis: where one stands for a plain network with exact values, that one, else the
/// value that most cells have.
fn usual(axis: Axis, summary: &Summary) -> String {
    match axis {
        Axis::ActivationTold | Axis::DepthTold => return YES.to_owned(),
        Axis::LinkTold => return LinkTold::default().name().to_owned(),
        Axis::Link => return Link::default().name().to_owned(),
        Axis::Outputs => return "1".to_owned(),
        Axis::Depth => return "2".to_owned(),
        Axis::Deviating => return Deviating::default().name().to_owned(),
        Axis::Condition => return GAUSSIAN.to_owned(),
        Axis::Hardness => return Hardness::default().name().to_owned(),
        Axis::Deviation => return Deviation::default().to_string(),
        Axis::Noise => return number(0.0),
        Axis::Precision => return Precision::default().to_string(),
        _ => {}
    }
    let mut counts: HashMap<String, usize> = HashMap::new();
    for cell in &summary.cells {
        *counts.entry(axis.label(&cell.cell)).or_default() += 1;
    }
    // Of two that are as frequent, the first by name: the table must not depend on chance.
    let most = counts.into_iter().max_by(|l, r| l.1.cmp(&r.1).then_with(|| r.0.cmp(&l.0)));
    most.map_or(String::new(), |(label, _)| label)
}

fn row(unusual: &[Axis], summary: &CellSummary) -> Vec<String> {
    let cell = &summary.cell;
    let kind: Vec<String> = unusual
        .iter()
        .map(|axis| match axis {
            // These name themselves.
            Axis::Hardness | Axis::Deviation | Axis::Precision => axis.label(cell),
            Axis::ActivationTold | Axis::LinkTold | Axis::DepthTold => {
                format!("{}: {}", axis.name().replace('_', " "), axis.label(cell))
            }
            Axis::Deviating => format!("of {} output", axis.label(cell)),
            _ => format!("{} {}", axis.name(), axis.label(cell)),
        })
        .collect();
    let kind = if kind.is_empty() { "plain".to_owned() } else { kind.join(", ") };
    let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1e}"));
    let ratio = |value: Option<f64>| match value {
        Some(value) if value < 1e4 => format!("{value:.1}"),
        other => figure(other),
    };
    vec![
        kind,
        cell.activation.name().to_owned(),
        summary.runs.to_string(),
        summary.identified.to_string(),
        summary.approximate.to_string(),
        summary.not_identified.to_string(),
        summary.errors.to_string(),
        summary.wrong.to_string(),
        summary.queries.map_or("-".to_owned(), |queries| format!("{queries:.0}")),
        figure(summary.parameter_error),
        ratio(summary.bound_over_error.map(|spread| spread.least)),
        ratio(summary.bound_over_error.map(|spread| spread.median)),
        format!("{} of {}", summary.bounds_violated, summary.bounds),
    ]
}

#[cfg(test)]
mod tests {
    use crate::network::Link;
    use crate::study::cell::tests::cell;
    use crate::study::record::tests::record;
    use crate::study::{Cell, Deviation, Hardness, Precision, Summary};

    #[test]
    fn a_kind_is_what_is_not_usual() {
        let cells = [
            Cell { hardness: Hardness::TwinFirst, ..cell() },
            Cell { deviation: Deviation::Sine(1e-4), precision: Precision::F32, ..cell() },
            Cell { m0: 16, ..cell() },
            Cell { m1: 0, depth: 1, outputs: 3, link: Link::Softmax, ..cell() },
            cell(),
        ];
        let records = cells.map(|cell| crate::study::Record { cell, ..record(1) });
        let rows = super::rows(&Summary::of(&records));
        let kinds: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
        let one_layer = "outputs 3, link softmax, depth 1";
        assert_eq!(kinds, ["kind", "plain", "m0 16", one_layer, "twin-first", "sine:1e-4, f32"]);
        assert_eq!(
            rows[1][1..],
            ["tanh", "1", "1", "0", "0", "0", "0", "1001", "1.0e-14", "10.0", "10.0", "0 of 1"]
        );
    }
}
