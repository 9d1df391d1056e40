//! A summary as pictures: success rates over two axes (heat maps) and along one (curves).
//!
//! Values stand side by side in their order, whatever their distance. Every combination of the values
//! of the other axes is a panel.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::cell::{Axis, Cell};
use super::summary::{CellSummary, Summary};
use crate::files::write_atomically;

const PANEL: (u32, u32) = (330, 270);
const COLUMNS: usize = 4;
pub(super) const FONT: &str = "sans-serif";
/// Colours that are told apart without seeing red from green (Okabe and Ito).
pub(super) const LINES: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// A picture.
#[derive(Clone, Debug)]
pub struct Figure {
    /// A file name for it.
    pub name: String,
    /// The picture, SVG.
    pub svg: String,
}

/// A picture that cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw {name}: {why}")]
pub struct PlotError {
    name: String,
    why: String,
}

/// The heat maps over `axes` and the curves along the first of them. Without `axes` those with the
/// most values are taken. A heat map needs two axes on which cells differ, a curve one; what has too
/// few is left out.
///
/// # Errors
/// [`PlotError`].
pub fn figures(summary: &Summary, axes: Option<(Axis, Axis)>) -> Result<Vec<Figure>, PlotError> {
    let (x, y) = match axes {
        Some((x, y)) => (Some(x), Some(y)),
        None => longest(summary),
    };
    let mut figures = Vec::new();
    if let (Some(x), Some(y)) = (x, y) {
        let name = format!("heat-{}-{}.svg", x.name(), y.name());
        figures.push(draw(summary, name, &[x, y], |panel, cells| heat_map(panel, cells, x, y))?);
    }
    if let Some(x) = x {
        let others = || summary.varying().into_iter().filter(|&axis| axis != x);
        let line = [Axis::Pipeline, Axis::Activation]
            .into_iter()
            .find(|&axis| others().any(|other| other == axis))
            .or_else(|| others().next());
        let name = format!("curve-{}.svg", x.name());
        let inside: Vec<Axis> = line.into_iter().chain([x]).collect();
        figures.push(draw(summary, name, &inside, |panel, cells| curves(panel, cells, x, line))?);
    }
    Ok(figures)
}

/// Writes the [`figures`] into a folder.
///
/// # Errors
/// [`PlotError`].
pub fn save(summary: &Summary, axes: Option<(Axis, Axis)>, folder: &Path) -> Result<(), PlotError> {
    for Figure { name, svg } in figures(summary, axes)? {
        write_atomically(&folder.join(&name), svg.as_bytes())
            .map_err(|error| PlotError { name, why: error.to_string() })?;
    }
    Ok(())
}

/// The two axes with the most values; pipelines are compared, not strung together.
fn longest(summary: &Summary) -> (Option<Axis>, Option<Axis>) {
    let mut axes = summary.varying();
    axes.retain(|&axis| axis != Axis::Pipeline);
    axes.sort_by_key(|axis| std::cmp::Reverse(axis.labels(cells(&summary.cells)).len()));
    (axes.first().copied(), axes.get(1).copied())
}

fn cells(summaries: &[CellSummary]) -> impl Iterator<Item = &Cell> {
    summaries.iter().map(|summary| &summary.cell)
}

pub(super) type Panel<'a, 'b> = DrawingArea<SVGBackend<'b>, plotters::coord::Shift>;
pub(super) type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Draws a panel for every combination of the axes that are not `inside` one.
fn draw(
    summary: &Summary,
    name: String,
    inside: &[Axis],
    panel: impl Fn(&Panel<'_, '_>, &Content<'_>) -> Drawn,
) -> Result<Figure, PlotError> {
    let outside: Vec<Axis> =
        summary.varying().into_iter().filter(|axis| !inside.contains(axis)).collect();
    let mut panels: Vec<Content<'_>> = Vec::new();
    for cell in &summary.cells {
        let title: Vec<String> = outside
            .iter()
            .map(|axis| format!("{} {}", axis.name(), axis.label(&cell.cell)))
            .collect();
        let title = title.join(", ");
        match panels.iter_mut().find(|panel| panel.title == title) {
            Some(panel) => panel.cells.push(cell),
            None => panels.push(Content { title, cells: vec![cell], all: &summary.cells }),
        }
    }
    picture(name, (panels.len(), COLUMNS), |area, k| panel(area, &panels[k]))
}

/// A picture of panels, numbered by row, in at most so many columns.
pub(super) fn picture(
    name: String,
    (panels, columns): (usize, usize),
    panel: impl Fn(&Panel<'_, '_>, usize) -> Drawn,
) -> Result<Figure, PlotError> {
    let columns = panels.clamp(1, columns);
    let rows = panels.div_ceil(columns).max(1);
    let mut svg = String::new();
    let mut drawn = || -> Drawn {
        let size = (PANEL.0 * columns as u32, PANEL.1 * rows as u32);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        for (k, area) in root.split_evenly((rows, columns)).iter().enumerate().take(panels) {
            panel(area, k)?;
        }
        root.present()?;
        Ok(())
    };
    match drawn() {
        Ok(()) => Ok(Figure { name, svg }),
        Err(why) => Err(PlotError { name, why: why.to_string() }),
    }
}

/// What stands in a panel.
struct Content<'a> {
    title: String,
    cells: Vec<&'a CellSummary>,
    /// Those of all panels: their axes are alike.
    all: &'a [CellSummary],
}

impl Content<'_> {
    fn labels(&self, axis: Axis) -> Vec<String> {
        axis.labels(cells(self.all))
    }
}

fn place(labels: &[String], axis: Axis, cell: &CellSummary) -> f64 {
    let label = axis.label(&cell.cell);
    labels.iter().position(|other| *other == label).map_or(f64::NAN, |place| place as f64)
}

/// The label that stands at a place, if it is that of a value.
fn label_at(labels: &[String], place: f64) -> String {
    let whole = (place - place.round()).abs() < 1e-6;
    let label = (whole && place > -0.5).then(|| labels.get(place.round() as usize)).flatten();
    label.cloned().unwrap_or_default()
}

fn heat_map(panel: &Panel<'_, '_>, content: &Content<'_>, x: Axis, y: Axis) -> Drawn {
    let (across, up) = (content.labels(x), content.labels(y));
    let mut chart = ChartBuilder::on(panel)
        .caption(&content.title, (FONT, 17))
        .margin(8)
        .x_label_area_size(38)
        .y_label_area_size(74)
        .build_cartesian_2d(-0.5..across.len() as f64 - 0.5, -0.5..up.len() as f64 - 0.5)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_labels(across.len())
        .y_labels(up.len())
        .x_label_formatter(&|&place| label_at(&across, place))
        .y_label_formatter(&|&place| label_at(&up, place))
        .x_desc(x.name())
        .y_desc(y.name())
        .label_style((FONT, 15))
        .draw()?;
    for cell in &content.cells {
        let (i, j) = (place(&across, x, cell), place(&up, y, cell));
        let share = cell.success.share;
        let corners = [(i - 0.48, j - 0.47), (i + 0.48, j + 0.47)];
        let colour = ViridisRGB.get_color(share);
        chart.draw_series([Rectangle::new(corners, colour.filled())])?;
        if cell.wrong > 0 {
            chart.draw_series([Rectangle::new(corners, RED.stroke_width(4))])?;
        }
        let ink = if share < 0.6 { WHITE } else { BLACK };
        let style = (FONT, 15).into_font().color(&ink).pos(Pos::new(HPos::Center, VPos::Center));
        let text = format!("{}/{}", cell.right, cell.runs);
        chart.draw_series([Text::new(text, (i, j), style)])?;
    }
    Ok(())
}

fn curves(panel: &Panel<'_, '_>, content: &Content<'_>, x: Axis, line: Option<Axis>) -> Drawn {
    let across = content.labels(x);
    let lines = line.map_or(vec![String::new()], |axis| content.labels(axis));
    // The names of the lines stand beside them.
    let margin = if line.is_some() { 0.55 * across.len() as f64 } else { 0.0 };
    let mut chart = ChartBuilder::on(panel)
        .caption(&content.title, (FONT, 17))
        .margin(8)
        .x_label_area_size(38)
        .y_label_area_size(52)
        .build_cartesian_2d(-0.5..across.len() as f64 - 0.5 + margin, -0.03..1.03)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(across.len() + margin.ceil() as usize)
        .y_labels(6)
        .max_light_lines(0)
        .x_label_formatter(&|&place| label_at(&across, place))
        .x_desc(x.name())
        .y_desc("identified")
        .label_style((FONT, 15))
        .draw()?;
    for (k, label) in lines.iter().enumerate() {
        let colour = LINES[k % LINES.len()];
        // Side by side, so that equal rates do not hide each other.
        let shift = 0.08 * (k as f64 - 0.5 * (lines.len() as f64 - 1.0));
        let mut points: Vec<(f64, &CellSummary)> = content
            .cells
            .iter()
            .filter(|cell| line.is_none_or(|axis| axis.label(&cell.cell) == *label))
            .map(|cell| (place(&across, x, cell) + shift, *cell))
            .collect();
        points.sort_by(|left, right| left.0.total_cmp(&right.0));
        let rate = points.iter().map(|&(at, cell)| (at, cell.success.share));
        let drawn = chart.draw_series(LineSeries::new(rate.clone(), colour.stroke_width(2)))?;
        if line.is_some() {
            drawn
                .label(label.clone())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour));
        }
        chart.draw_series(rate.map(|point| Circle::new(point, 3, colour.filled())))?;
        chart.draw_series(points.iter().map(|&(at, cell)| interval(at, cell, colour)))?;
    }
    if line.is_some() {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .label_font((FONT, 15))
            .draw()?;
    }
    Ok(())
}

/// The interval of a rate.
fn interval(at: f64, cell: &CellSummary, colour: RGBColor) -> PathElement<(f64, f64)> {
    PathElement::new([(at, cell.success.low), (at, cell.success.high)], colour)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::summary::tests::records;

    #[test]
    fn a_heat_map_has_every_cell_and_a_mark_for_wrong_answers() {
        let mut records = records();
        for k in 0..records.len() {
            let mut other = records[k].clone();
            (other.cell.m1, other.wrong) = (2, false);
            records.push(other);
        }
        let summary = Summary::of(&records);
        let figures = figures(&summary, Some((Axis::Std, Axis::M1))).unwrap();
        let names: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
        assert_eq!(names, ["heat-std-m1.svg", "curve-std.svg"]);
        let [heat, curve] = figures.as_slice() else { panic!("two figures") };
        assert!(heat.svg.starts_with("<svg") && heat.svg.trim_end().ends_with("</svg>"));
        for text in ["3/3", "1/2", "0/2", "0.05", "0.5"] {
            assert!(heat.svg.lines().any(|line| line.trim() == text), "{text}: {}", heat.svg);
        }
        assert_eq!(heat.svg.matches("#FF0000").count(), 1);
        // Two lines of two points each, with their intervals.
        assert_eq!(curve.svg.matches("<circle").count(), 4);
    }

    #[test]
    fn one_axis_gives_a_curve_only_and_one_cell_nothing() {
        let records = records();
        let of = |records| figures(&Summary::of(records), None).unwrap();
        assert_eq!(of(&records[..]).len(), 1);
        assert!(of(&records[..2]).is_empty() && of(&[]).is_empty());
    }
}
