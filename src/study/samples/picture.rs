//! All methods on the same instances in one figure, and the files of a summary.

use std::error::Error;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;

use super::plan::{Method, Shows};
use super::records::Record;
use super::tables::{name, tables};
use crate::files::write_atomically;

/// Errors outside of these are drawn at the edge; a network of another number of units has no error, and is at the upper one.
const ERRORS: (f64, f64) = (1e-17, 1e2);
/// Of the figure.
const SIZE: (u32, u32) = (1100, 460);
/// Methods with equally many samples stand beside each other: each is moved by this factor from the one before.
const BESIDE: f64 = 1.06;

/// Writes `summary.md` and `error.svg`: a mark for each run of the methods that are compared.
///
/// # Errors
/// Those of the folder, in a line.
pub fn save(records: &[Record], folder: &Path) -> Result<(), String> {
    let named =
        |path: PathBuf, error: io::Error| format!("cannot write {}: {error}", path.display());
    let path = folder.join("summary.md");
    write_atomically(&path, tables(records).as_bytes()).map_err(|error| named(path, error))?;
    let path = folder.join("error.svg");
    let picture = picture(records).map_err(|error| error.to_string())?;
    write_atomically(&path, picture.as_bytes()).map_err(|error| named(path, error))
}

/// Errors against samples or queries, and against seconds.
fn picture(records: &[Record]) -> Result<String, Box<dyn Error>> {
    let compared: Vec<&Record> =
        records.iter().filter(|record| record.cell.shows == Shows::Methods).collect();
    let mut methods: Vec<Method> = compared.iter().map(|record| record.cell.method).collect();
    methods.sort_unstable();
    methods.dedup();
    let place = |record: &Record| methods.iter().position(|&one| one == record.cell.method);
    let asked = |record: &Record| {
        let place = place(record).unwrap_or(0) as f64 - 0.5 * methods.len() as f64;
        (record.samples as f64).max(record.queries as f64) * BESIDE.powf(place)
    };
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (left, right) = root.split_horizontally(SIZE.0 / 2 - 100);
        let numbers = |of: &dyn Fn(&Record) -> f64| {
            let values = || compared.iter().map(|record| of(record)).filter(|x| *x > 0.0);
            let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
            if least < most { 0.4 * least..2.5 * most } else { 0.1..10.0 }
        };
        let seconds = |record: &Record| record.seconds;
        panel(&left, ("samples, or queries", numbers(&asked)), &methods, &compared, &asked)?;
        panel(&right, ("seconds", numbers(&seconds)), &methods, &compared, &seconds)?;
        root.present()?;
    }
    Ok(svg)
}

/// A colour a method; the panel of seconds is the wider one, for the legend.
fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    (axis, range): (&str, Range<f64>),
    methods: &[Method],
    records: &[&Record],
    x: &dyn Fn(&Record) -> f64,
) -> Result<(), Box<dyn Error>> {
    let legend = axis == "seconds";
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(if legend { 250 } else { 12 })
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(range.log_scale(), (ERRORS.0..ERRORS.1).log_scale())?;
    chart
        .configure_mesh()
        .x_desc(axis)
        .y_desc("parameter error")
        .x_labels(4)
        .x_label_formatter(&|x| format!("{x}"))
        .y_label_formatter(&|y| format!("{y:.0e}"))
        .draw()?;
    for (i, &method) in methods.iter().enumerate() {
        let colour = Palette99::pick(i).mix(0.7);
        let of_method = records.iter().filter(|record| record.cell.method == method);
        let mark = |record: &&Record| {
            let error = record.error.unwrap_or(f64::INFINITY).clamp(ERRORS.0, ERRORS.1);
            Circle::new((x(record), error), 3, colour.filled())
        };
        chart.draw_series(of_method.map(mark))?;
        if legend {
            let (x, y) = (area.dim_in_pixel().0 as i32 - 240, 30 + 22 * i as i32);
            area.draw(&Circle::new((x, y), 4, colour.filled()))?;
            area.draw(&Text::new(
                name(method).replace('`', ""),
                (x + 10, y - 6),
                ("sans-serif", 14),
            ))?;
        }
    }
    Ok(())
}
